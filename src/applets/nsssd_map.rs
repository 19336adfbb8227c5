//! nsssd-map: answers nsss requests on standard input with accounts made of templates; and the
//! tools for its configuration.
//!
//! Follows libnss_map in what a single template answers (doc/nsssd-map.md). Differs: names are
//! checked, a second format.

use super::Applet;
use crate::backend::map::start::{Host, Plan, SPEC};
use crate::backend::map::{Map, collisions, key};
use crate::backend::switch::{Backend, Switch};
use crate::options::{Options, Spec};
use crate::server::stdio;
use crate::sys::error::{Error, unable};
use crate::sys::privilege;
use nssproto::line;
use rustix::io::Errno;
use rustix::stdio::stderr;
use rustix::termios::isatty;
use std::ffi::{OsStr, OsString};
use std::io::{BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;

const USAGE: &str = "\
Usage: nsssd-map [-f FILE] [-c] [-r WHAT]...
   or: nsssd-map [-c] -n FILE
   or: nsssd-map [-f FILE] [-c] -u NAME
   or: nsssd-map [-f FILE] -l [LIST]
   or: nsssd-map -k FILE

Answers one nsss client on standard input and output: each admitted name, or
number, is an account made of the template in /etc/nssmap.conf. Run it under a
super-server, behind nsssd-unix in a nsssd-switch.

  -f FILE  another configuration
  -c       compat: answer as libnss_map did, unsafe names and all
  -r WHAT  admit a name only if there is evidence for it: home, owned-home or
           file:PATH with %u for the name (a single template only)
  -L       in getent -s: let LOGNAME name the asker where people share a uid

  -n FILE  check a configuration, name every error
  -u NAME  print the line that NAME would have, whether it is admitted or not
  -l       read names from LIST or standard input, a line each, and print those
           that would have the same uid
  -k FILE  make a key file

Exit codes: 0 end of the client, or nothing wrong; 1 no nsss client, or
something wrong (-n, -u, -l); 100 usage; 111 system.
";

/// The row of the table.
pub const APPLET: Applet =
    Applet { name: "nsssd-map", short: "map", usage: USAGE, usage_code: 100, main };

/// A tool found something wrong.
const WRONG: u8 = 1;

/// The tools' options, too.
const TOOLS: Spec = Spec { flags: "cLl", values: "frnuk", ..SPEC };

/// What is to be done.
enum Task {
    Serve,
    Check(OsString),
    Foretell(OsString),
    Collisions,
    MakeKey(OsString),
}

fn task(options: &mut Options) -> Result<Task, Error> {
    let tasks = [
        options.value("-n").map(Task::Check),
        options.value("-u").map(Task::Foretell),
        options.value("-k").map(Task::MakeKey),
        options.flag("-l").then_some(Task::Collisions),
    ];
    let mut tasks = tasks.into_iter().flatten();
    match (tasks.next(), tasks.next()) {
        (None, _) => Ok(Task::Serve),
        (Some(task), None) => Ok(task),
        _ => Err(Error::options("only one of -n, -u, -l and -k can be done")),
    }
}

fn main(args: &[OsString]) -> Result<u8, Error> {
    let (mut options, words) = TOOLS.split(args)?;
    let task = task(&mut options)?;
    let mut plan = Plan::take(&mut options)?;
    match task {
        Task::Serve => serve(&plan),
        Task::Check(file) => {
            plan.file = file.as_bytes().to_vec();
            check(plan)
        }
        Task::Foretell(name) => foretell(&plan, &name),
        Task::Collisions => list(&plan, words.first()),
        Task::MakeKey(file) => {
            let wrong = |errno| Error::system("unable to make key file", errno).about(&file);
            key::make(file.as_bytes()).map_err(wrong)?;
            Ok(0)
        }
    }
}

fn serve(plan: &Plan) -> Result<u8, Error> {
    let client = privilege::client()?;
    let timeout = privilege::exchange_timeout()?;
    // Key and registry are root's.
    let map = Map::open(plan, Host::Daemon)?;
    privilege::become_client(client)?;
    map.guard();
    let mut switch = Switch::of(Backend::Map(Box::new(map)));
    stdio::serve(&mut switch, timeout)?;
    Ok(0)
}

fn check(mut plan: Plan) -> Result<u8, Error> {
    plan.strict = true;
    match rustix::fs::stat(OsStr::from_bytes(&plan.file)) {
        Err(errno) => {
            let error = Error::system("unable to open", errno);
            return Err(error.about(OsStr::from_bytes(&plan.file)).with_code(WRONG));
        }
        Ok(_) => Map::open(&plan, Host::Check).map_err(|e| e.with_code(WRONG))?,
    };
    Ok(0)
}

fn foretell(plan: &Plan, name: &OsStr) -> Result<u8, Error> {
    let mut map = Map::open(plan, Host::Tool)?;
    let head = map.foretell(name.as_bytes())?;
    let record = map.record(&head).ok_or(unable("unable to print")(Errno::INVAL))?;
    let mut text = Vec::new();
    let _ = line::write(&record, |piece| {
        text.extend_from_slice(piece);
        Ok::<(), std::convert::Infallible>(())
    });
    text.push(b'\n');
    std::io::stdout().write_all(&text).map_err(output)?;
    Ok(0)
}

fn list(plan: &Plan, file: Option<&OsString>) -> Result<u8, Error> {
    let map = Map::open(plan, Host::Tool)?;
    let text = match file {
        Some(file) => std::fs::read(file),
        None => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).map(|_| text)
        }
    };
    let text = text.map_err(|e| {
        let errno = e.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
        Error::system("unable to read", errno).about(file.map_or(OsStr::new("stdin"), |f| f))
    })?;
    let names: Vec<&[u8]> =
        text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|n| !n.is_empty()).collect();
    let shows = isatty(stderr());
    let show = |text: String| {
        // Progress is no reason to fail.
        let _ = std::io::stderr().write_all(text.as_bytes());
    };
    let total = names.len();
    let found = collisions(&map, &names, |done| {
        if shows {
            show(format!("\r{done} of {total}"));
        }
    })?;
    if shows {
        show("\r\x1b[K".to_owned());
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    let name = |number: usize| names.get(number).copied().unwrap_or_default().escape_ascii();
    for (uid, one, other) in &found.pairs {
        writeln!(out, "{uid} {} {}", name(*one), name(*other)).map_err(output)?;
    }
    out.flush().map_err(output)?;
    let collisions = found.pairs.len();
    let (derived, refused) = (found.derived, found.refused);
    show(format!("{derived} names, {refused} refused, {collisions} collisions\n"));
    Ok(if collisions == 0 { 0 } else { WRONG })
}

fn output(error: std::io::Error) -> Error {
    let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
    Error::system("unable to write to stdout", errno)
}
