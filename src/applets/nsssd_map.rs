//! nsssd-map: answers nsss requests on standard input with accounts made of templates; and the
//! tools for its configuration.
//!
//! Follows libnss_map in what a single template answers (doc/nsssd-map.md). Differs: names are
//! checked, a second format.

use super::{Applet, help};
use crate::backend::map::start::{Host, Plan, SPEC, lasting};
use crate::backend::map::{Map, collisions, key};
use crate::backend::switch::{Backend, Switch};
use crate::options::Spec;
use crate::server::stdio;
use crate::sys::error::{Error, unable};
use crate::sys::stat::stat;
use crate::sys::file::{path, read_all, read_path};
use crate::sys::output;
use crate::sys::privilege;
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use nssproto::entry::Record;
use rustix::io::Errno;
use rustix::stdio::{stderr, stdin};
use rustix::termios::isatty;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

const USAGE: &[&str] = &[
    "\
Usage: nsssd-map [-f FILE] [-c] [-r WHAT]...
   or: nsssd-map [-c] -n FILE
   or: nsssd-map [-f FILE] [-c] -u NAME
   or: nsssd-map [-f FILE] -l [LIST]
   or: nsssd-map -k FILE
",
    help::DAEMON,
    "by accounts
made of the template in /etc/nssmap.conf, for each admitted name or number. Run
it under a super-server, behind nsssd-unix in a nsssd-switch.

  -f FILE  another configuration
  -c       compat: answer as libnss_map did, unsafe names and all
  -r WHAT  admit a name only if there is evidence for it: home, owned-home or
           file:PATH with %u for the name (a single template only)
  -L       in getent -s: let LOGNAME name the asker where people share a uid

Tools, exit code 1 if something is wrong:
  -n FILE  check a configuration, name every error
  -u NAME  print the line that NAME would have, whether it is admitted or not
  -l       print those names of LIST or standard input, one a line, that would
           have the same uid
  -k FILE  make a key file
",
    help::DAEMON_END,
];

/// The row of the table.
pub const APPLET: Applet =
    Applet { name: "nsssd-map", short: "map", usage: USAGE, usage_code: 100, main };

/// A tool found something wrong.
const WRONG: u8 = 1;

/// The tools' options, too.
const TOOLS: Spec = Spec { flags: "cLl", values: "frnuk", ..SPEC };

fn main(args: &[OsString]) -> Result<u8, Error> {
    let (mut options, words) = TOOLS.split(args)?;
    let (check, name, key) = (options.value("-n"), options.value("-u"), options.value("-k"));
    let lists = options.flag("-l");
    let tasks = [check.is_some(), name.is_some(), key.is_some(), lists];
    if tasks.iter().filter(|t| **t).count() > 1 {
        return Err(Error::options("only one of -n, -u, -l and -k can be done"));
    }
    let mut plan = Plan::take(&mut options)?;
    if let Some(file) = check {
        plan.file = lasting(file);
        check_file(&mut plan)
    } else if let Some(name) = name {
        foretell(&mut plan, name.as_bytes())
    } else if let Some(file) = key {
        let wrong = |errno| Error::system("unable to make key file", errno).about(&file);
        key::make(file.as_bytes()).map_err(wrong)?;
        Ok(0)
    } else if lists {
        list(&mut plan, words.first())
    } else {
        serve(&mut plan)
    }
}

fn serve(plan: &mut Plan) -> Result<u8, Error> {
    let client = privilege::client()?;
    let timeout = privilege::exchange_timeout()?;
    // Key and registry are root's.
    let map = Map::open(plan, Host::Daemon)?;
    privilege::become_client(client)?;
    map.guard();
    let mut switch = Switch::of(Backend::Map(map));
    stdio::serve(&mut switch, timeout)?;
    Ok(0)
}

fn check_file(plan: &mut Plan) -> Result<u8, Error> {
    plan.strict = true;
    let file = OsStr::from_bytes(plan.file);
    let opened = match path(plan.file).and_then(|file| stat(&file)) {
        Err(errno) => Err(Error::system("unable to open", errno).about(file)),
        Ok(_) => Map::open(plan, Host::Check),
    };
    opened.map_err(|e| e.with_code(WRONG))?;
    Ok(0)
}

fn foretell(plan: &mut Plan, name: &[u8]) -> Result<u8, Error> {
    let mut map = Map::open(plan, Host::Tool)?;
    let head = map.foretell(name)?;
    let Some(Record::Passwd(user)) = map.record(&head) else {
        return Err(unable("unable to print")(Errno::INVAL));
    };
    let mut out = [user.name, b":", user.password, b":"].concat();
    put(&mut out, user.uid.0 as usize, b":");
    put(&mut out, user.gid.0 as usize, b":");
    for text in [user.gecos, b":", user.home, b":", user.shell, b"\n"] {
        out.extend_from_slice(text);
    }
    print(&out)
}

fn list(plan: &mut Plan, file: Option<&OsString>) -> Result<u8, Error> {
    let map = Map::open(plan, Host::Tool)?;
    let text = match file {
        Some(file) => read_path(file.as_bytes()),
        None => read_all(stdin(), usize::MAX),
    };
    let text = text.map_err(|errno| {
        let subject = file.map_or(OsStr::new("stdin"), |f| f);
        Error::system("unable to read", errno).about(subject)
    })?;
    let shows = isatty(stderr());
    let found = collisions(&map, &text, &|done, total| {
        if shows {
            let mut out = b"\r".to_vec();
            put(&mut out, done, b" of ");
            put(&mut out, total, b"");
            show(&out);
        }
    })?;
    if shows {
        show(b"\r\x1b[K");
    }
    let mut out = Vec::new();
    for (uid, one, other) in &found.pairs {
        put(&mut out, *uid as usize, b" ");
        // Derived names fit the rule: there is nothing to escape.
        for text in [one, &b" "[..], other, b"\n"] {
            out.extend_from_slice(text);
        }
    }
    print(&out)?;
    out.clear();
    put(&mut out, found.derived, b" names, ");
    put(&mut out, found.refused, b" refused, ");
    put(&mut out, found.pairs.len(), b" collisions\n");
    show(&out);
    Ok(if found.pairs.is_empty() { 0 } else { WRONG })
}

/// Appends a number and what follows it.
fn put(out: &mut Vec<u8>, number: usize, text: &[u8]) {
    out.extend_from_slice(write_decimal(number as u64, &mut [0; DECIMAL_MAX]));
    out.extend_from_slice(text);
}

/// Progress, and what came of it: no reason to fail.
fn show(text: &[u8]) {
    let _ = rustix::io::write(stderr(), text);
}

fn print(text: &[u8]) -> Result<u8, Error> {
    output::print(text).map_err(unable("unable to write to stdout"))?;
    Ok(0)
}
