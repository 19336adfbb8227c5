//! nsssd-map: answers nsss requests on standard input with accounts made of templates; and the
//! tools for its configuration.
//!
//! Follows libnss_map in what a single template answers (doc/nsssd-map.md). Differs: names are
//! checked, a second format.

use super::help;
use crate::backend::map::start::{Host, Plan, SPEC, fail, lasting};
use crate::backend::map::{Map, collisions, key, put, show};
use crate::backend::switch::Switch;
use crate::backend::{Backend, Source};
use crate::options::Spec;
use crate::query::print::line_of;
use crate::server::signals::settle;
use crate::server::stdio;
use crate::sys::error::{Error, Exit};
use crate::sys::file::{read_all, read_path};
use crate::sys::no_huge_pages;
use crate::sys::output;
use crate::sys::privilege;
use rustix::stdio::{stderr, stdin};
use rustix::termios::isatty;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// What `--help` prints.
pub const USAGE: &[&str] = &[
    "\
Usage: nsssd-map [-f FILE] [-c] [-r WHAT]... [-n FILE|-u NAME|-l [LIST]|-k FILE]
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
  -k FILE  make a key file
",
    LOOKS,
    help::DAEMON_END,
];

/// Whether this build has the tools that look at names.
const HAS_LOOKS: bool = cfg!(feature = "map-tools");

const LOOKS: &str = if HAS_LOOKS {
    "  -u NAME  print the line that NAME would have, whether it is admitted or not
  -l       print those names of LIST or standard input, one a line, that would
           have the same uid\n"
} else {
    ""
};

/// The tools' options, too.
const TOOLS: Spec = Spec { flags: "cLl", values: "frnuk", ..SPEC };

/// In place of a tool's letter.
const SERVE: u8 = 0;

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    settle();
    no_huge_pages();
    let options = TOOLS.split(args)?;
    let mut task = SERVE;
    for one in *b"nukl" {
        if options.flag(one) {
            if task != SERVE {
                return Err(Error::options("only one of -n, -u, -l and -k can be done"));
            }
            task = one;
        }
    }
    let value = options.word(task).unwrap_or_default().as_bytes();
    let mut plan = Plan::take(&options)?;
    match task {
        b'u' | b'l' if !HAS_LOOKS => Err(Error::lacking("-u and -l")),
        b'n' => {
            plan.file = lasting(value);
            check_file(plan)
        }
        b'u' => preview(plan, value),
        b'k' => {
            key::make(value).map_err(|errno| fail("unable to make key file", value, errno))?;
            Ok(Exit::SUCCESS)
        }
        b'l' => list(plan, options.rest.first()),
        _ => serve(plan),
    }
}

fn serve(plan: Plan) -> Result<Exit, Error> {
    let client = privilege::client()?;
    let timeout = privilege::exchange_timeout()?;
    // Key and registry are root's.
    let map = Map::open(plan, Host::Daemon)?;
    privilege::become_client(client)?;
    map.guard();
    let mut switch = Switch::of(Backend::Map(map));
    stdio::serve(&mut switch, timeout)?;
    Ok(Exit::SUCCESS)
}

fn check_file(plan: Plan) -> Result<Exit, Error> {
    Map::open(plan, Host::Check).map_err(|e| e.with_exit(Exit::FAILURE))?;
    Ok(Exit::SUCCESS)
}

fn preview(plan: Plan, name: &[u8]) -> Result<Exit, Error> {
    let mut map = Map::open(plan, Host::Tool)?;
    let head = map.preview(name)?;
    // With -c, a name may have what makes another line.
    let line = map.record_of(&head).and_then(|record| line_of(&record));
    let Some(line) = line else {
        let what = "a record that would be another line for";
        return Err(Error::usage(what).about(OsStr::from_bytes(name)).with_exit(Exit::FAILURE));
    };
    print(&line)
}

fn list(plan: Plan, file: Option<&OsString>) -> Result<Exit, Error> {
    let map = Map::open(plan, Host::Tool)?;
    let (text, name) = match file {
        Some(file) => (read_path(file.as_bytes()), file.as_bytes()),
        None => (read_all(stdin(), usize::MAX), &b"stdin"[..]),
    };
    let text = text.map_err(|errno| fail("unable to read", name, errno))?;
    let watches = isatty(stderr());
    let mut found = collisions(&map, &text, watches)?;
    if watches {
        show(b"\r\x1b[K");
    }
    let out = &mut found.lines;
    print(out)?;
    out.clear();
    put(out, found.derived, b" names, ");
    put(out, found.refused, b" refused, ");
    put(out, found.pairs, b" collisions\n");
    show(out);
    Ok(if found.pairs == 0 { Exit::SUCCESS } else { Exit::FAILURE })
}

fn print(text: &[u8]) -> Result<Exit, Error> {
    output::print(text)?;
    Ok(Exit::SUCCESS)
}
