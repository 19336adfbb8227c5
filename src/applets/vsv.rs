//! vsv: a table of services, as vsv 2.0.0.
//!
//! Follows its options and columns (doc/sv.md). Differs: states are those of the status file, so that a
//! service that is paused or ends is not `n/a`, and s6's and daemontools' are told of; sv and pstree
//! are not started, but done here.

use crate::options::Spec;
use crate::supervise::age::{Colour, colours};
use crate::supervise::command::Command;
use crate::supervise::down;
use crate::supervise::find::{Directory, Service};
use crate::supervise::run::{Options, run, stamp_of_now};
use crate::supervise::text::push_shown;
use crate::supervise::vsv::{View, table};
use crate::sys::error::{Error, Exit, Hint};
use crate::sys::output::print;
use crate::sys::stat::stat;
use rustix::io::write;
use rustix::stdio::stderr;
use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// What `--help` prints.
pub const USAGE: &[&str] = &["\
Usage: vsv [OPTION]... [status [-l] [-t] [FILTER]]
   or: vsv [OPTION]... COMMAND SERVICE...

Prints a table of the services: state, whether it is started by itself (no file
down), process, command, and since when; of those whose names have FILTER in
them. enable and disable: whether it is started by itself. Other commands are
those of sv.

  -c, --color WHEN  yes, no, auto: on a terminal, unless NO_COLOR is set
  -d, --dir DIR     services are in DIR ($SVDIR, /var/service)
  -u, --user        services are in ~/runit/service
  -l, --log         log services, too
  -t, --tree        what they run
  -v, --verbose     say how many there are

Exit codes: 0 good, 1 not.
"];

const SPEC: Spec = Spec {
    flags: "ltuv",
    values: "cd",
    alias: &[
        ("--color", b'c'),
        ("--dir", b'd'),
        ("--user", b'u'),
        ("--log", b'l'),
        ("--tree", b't'),
        ("--verbose", b'v'),
        ("--help", b'?'),
        ("--version", b'V'),
    ],
    ..Spec::NONE
};

/// Where vsv looks first.
const PLACE: &CStr = c"/var/service";

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    let given = SPEC.split(args)?;
    let painted = match given.word(b'c').map(|word| word.as_bytes()) {
        None | Some(b"auto") => colours(),
        Some(b"yes" | b"on" | b"always") => true,
        Some(b"no" | b"off" | b"never") => false,
        Some(_) => return Err(Error::options("unknown color option")),
    };
    let is_set = std::env::var_os("SVDIR").is_some_and(|place| !place.is_empty());
    let directory = match given.word(b'd') {
        None if !given.flag(b'u') && !is_set && stat(PLACE).is_ok() => {
            Directory::at(PLACE.to_bytes())
        }
        dir => Directory::choose(dir, given.flag(b'u'))?,
    };
    let (mut log, mut tree) = (given.flag(b'l'), given.flag(b't'));
    let (word, rest) = match given.rest.split_first() {
        Some((word, rest)) => (word.as_bytes(), rest),
        None => (&b"status"[..], given.rest),
    };
    let words = match word {
        // Its options stand behind it, too.
        b"status" => {
            let behind = SPEC.gather(rest)?;
            let behind = SPEC.split(&behind)?;
            log |= behind.flag(b'l');
            tree |= behind.flag(b't');
            behind.rest.to_vec()
        }
        b"help" => return Err(Error::options("help").with_hint(Hint::Help)),
        b"enable" | b"disable" => return set_down(word == b"enable", rest, &directory, painted),
        _ if log || tree => given.rest.to_vec(),
        _ => return run_sv(given.rest, &directory, painted),
    };
    let filter = words.first().map(|word| word.as_bytes()).unwrap_or_default();
    let view = View { log, tree, filter, colours: painted, now: stamp_of_now() };
    let text = table(&directory, &view)?;
    if given.flag(b'v') {
        let lines = text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b" "));
        let count = lines.count().saturating_sub(1);
        let place = String::from_utf8_lossy(&directory.path).into_owned();
        let told = format!(">  found {count} services in {place:?}\n");
        let _ = write(stderr(), told.as_bytes());
    }
    print(&text)?;
    Ok(Exit::SUCCESS)
}

/// `enable service NAME... done.`
fn set_down(
    up: bool,
    names: &[OsString],
    directory: &Directory,
    painted: bool,
) -> Result<Exit, Error> {
    if names.is_empty() {
        return Err(Error::options("at least one (1) service required").with_exit(Exit::FAILURE));
    }
    let mut exit = Exit::SUCCESS;
    for name in names.iter().map(|name| name.as_bytes()) {
        let service = Service::within(name, directory);
        let mut line = Vec::new();
        line.extend_from_slice(if up { b"enable service " } else { b"disable service " });
        let mut shown = Vec::new();
        push_shown(&mut shown, name);
        Colour::BOLD.paint(&mut line, painted, &shown);
        line.extend_from_slice(b"... ");
        let done = match service.kind("supervise") {
            Ok(_) => down::set(&service, up).map_err(|trouble| {
                let mut why = b"failed! ".to_vec();
                trouble.push(&mut why);
                why
            }),
            Err(_) => Err(b"failed! service not valid".to_vec()),
        };
        match done {
            Ok(()) => {
                Colour::GREEN.paint(&mut line, painted, b"done");
                line.push(b'.');
            }
            Err(why) => {
                Colour::RED.paint(&mut line, painted, &why);
                exit = Exit::FAILURE;
            }
        }
        line.push(b'\n');
        print(&line)?;
    }
    Ok(exit)
}

/// `vsv COMMAND SERVICE...`: as sv does it, and told of before and behind.
fn run_sv(words: &[OsString], directory: &Directory, painted: bool) -> Result<Exit, Error> {
    let fail = |what| Error::options(what).with_exit(Exit::FAILURE);
    let (word, names) = words.split_first().ok_or_else(|| fail("a command is missing"))?;
    if names.is_empty() {
        return Err(fail("a service is missing for").about(word));
    }
    let told = |head: String, colour: Colour| {
        let mut shown = Vec::new();
        push_shown(&mut shown, head.as_bytes());
        let mut line = b"[vsv] ".to_vec();
        colour.paint(&mut line, painted, &shown);
        line.push(b'\n');
        print(&line)
    };
    let line = String::from_utf8_lossy(words.join(OsStr::new(" ")).as_bytes()).into_owned();
    let place = String::from_utf8_lossy(&directory.path).into_owned();
    told(format!("Running sv command (SVDIR={place:?} sv {line})"), Colour::CYAN)?;
    let code = match Command::of(word.as_bytes()) {
        Some(command) => {
            let services = names.iter().map(|n| Service::named(n.as_bytes(), directory)).collect();
            let options = Options { colours: painted, ..Options::NONE };
            run(&command, services, options, &mut print)?
        }
        None => Exit::USAGE.code(),
    };
    let colour = if code == 0 { Colour::GREEN } else { Colour::RED };
    told(format!("[sv {line}] exit code {code}"), colour)?;
    if code == 0 { Ok(Exit::SUCCESS) } else { Ok(Exit::FAILURE) }
}
