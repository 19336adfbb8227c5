//! sv: tells and changes the state of services, as runit's sv.
//!
//! Follows runit 2.3: words, lines, exit codes, waiting (doc/sv.md). Differs: options stand anywhere; it
//! also reads daemontools, daemontools-encore and s6; -j, -e, -t, -l, -u, -n, -d; the words enable,
//! disable and serve; `status` without a service is about all.

use crate::options::{Options as Given, Spec};
use crate::supervise::age::{colours, is_terminal};
use crate::supervise::command::{Action, Command};
use crate::supervise::find::{Directory, Service};
use crate::supervise::log::LINES_MAX;
use crate::supervise::run::{Options, run};
use crate::supervise::serve::{Server, serve};
use crate::sys::error::{Error, Exit};
use crate::sys::file::base;
use crate::sys::output::print;
use crate::sys::program::find;
use rustix::fs::readlink;
use rustix::io::write;
use rustix::stdio::stderr;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// What `--help` prints.
pub const USAGE: &[&str] = &["\
Usage: sv [OPTION]... COMMAND SERVICE...
   or: sv serve [-r] [-g GROUP] [-d DIR], or by a link: SERVICE [-w SEC] COMMAND

Tells (status) and changes the state of services of runit, daemontools and s6.
Commands: up down once pause cont hup alarm interrupt quit 1 2 term kill exit;
that wait: start stop restart reload shutdown try-restart check force-stop
force-restart force-reload force-shutdown; enable disable: at the next start.

  -v, -w SEC  wait for each command; SEC seconds ($SVWAIT, 7)
  -d DIR      services are in DIR ($SVDIR, /etc/service)
  -u          in ~/runit/service
  -j          JSON, a line a service
  -e          status: exit 0 up, 3 down, 4 unknown
  -t          status: the processes as trees
  -l N        status: the last N lines of the log
  -n          enable, disable: also start, stop
  -r, -g GROUP  serve: nobody, GROUP besides root may change

status without SERVICE tells of all; one with / or . in front, or / at its end,
is a path. Exit codes: 0 good, 1 to 99 so many services were not, 100 usage.
"];

const SPEC: Spec = Spec {
    flags: "vjetunr",
    values: "wdlg",
    alias: &[("--help", b'?'), ("--version", b'V')],
    ..Spec::NONE
};

/// What runit's sv prints of a command line without a known command, or without services.
const SHORT: &str = "usage: sv [-v] [-w sec] command service ...\n\n";

/// Exit codes where sv is called by the name of a service: as those of init scripts.
const SCRIPT_USAGE: u8 = 2;
const SCRIPT_FATAL: u8 = 151;

/// Seconds that are waited.
const WAIT: u64 = 7;

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    let args = SPEC.gather(args)?;
    let given = SPEC.split(&args)?;
    let Some((word, names)) = given.rest.split_first() else { return Ok(usage(SHORT, 100)) };
    let wait = wait(&given);
    if word == "serve" {
        return start_serving(&given, names, wait);
    }
    let Some(command) = Command::of(word.as_bytes()) else { return Ok(usage(SHORT, 100)) };
    check_options(&given, &command)?;
    let lists = names.is_empty() && word == "status";
    if names.is_empty() && !lists {
        return Ok(usage(SHORT, 100));
    }
    let log_lines = given.number(b'l', LINES_MAX)?.map(|lines| lines as usize);
    let directory = Directory::choose(given.word(b'd'), given.flag(b'u'))?;
    let services = match lists {
        true => directory.names()?.iter().map(|n| Service::within(n, &directory)).collect(),
        false => names.iter().map(|n| Service::named(n.as_bytes(), &directory)).collect(),
    };
    let options = Options {
        wait,
        verbose: given.flag(b'v') || given.flag(b'w'),
        json: given.flag(b'j'),
        lsb: given.flag(b'e'),
        script: false,
        tree: given.flag(b't'),
        log_lines,
        now: given.flag(b'n'),
        listed: lists,
        terminal: is_terminal(),
        colours: colours(),
    };
    run(&command, services, options, &mut print).map(Exit::new)
}

/// Options that belong to other commands are a wrong command line.
fn check_options(given: &Given<'_>, command: &Command) -> Result<(), Error> {
    let is_status = command.action == Action::Status;
    let is_down = matches!(command.action, Action::Enable | Action::Disable);
    for (letter, belongs) in [
        (b'e', is_status),
        (b't', is_status),
        (b'l', is_status),
        (b'n', is_down),
        (b'r', false),
        (b'g', false),
    ] {
        if given.flag(letter) && !belongs {
            let option = [b'-', letter];
            return Err(Error::options("not for this command:").about(OsStr::from_bytes(&option)));
        }
    }
    Ok(())
}

/// -w, else $SVWAIT; what begins with no number changes nothing.
fn wait(given: &Given<'_>) -> u64 {
    let variable = std::env::var_os("SVWAIT");
    let seconds = |word: &OsStr| {
        let digits = word.as_bytes().iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(None, |number: Option<u64>, digit| {
            let number = number.unwrap_or(0).saturating_mul(10);
            Some(number.saturating_add(u64::from(digit - b'0')))
        })
    };
    let from_variable = variable.as_deref().and_then(seconds);
    given.word(b'w').and_then(seconds).or(from_variable).unwrap_or(WAIT)
}

/// `text` on standard error; the exit code.
fn usage(text: &str, code: u8) -> Exit {
    let _ = write(stderr(), text.as_bytes());
    Exit::new(code)
}

/// `sv serve`: what is served comes from the command line, and from nowhere else.
fn start_serving(given: &Given<'_>, names: &[OsString], wait: u64) -> Result<Exit, Error> {
    if let Some(letter) = b"jetlnu".iter().find(|letter| given.flag(**letter)) {
        let option = [b'-', *letter];
        return Err(Error::options("not for this command:").about(OsStr::from_bytes(&option)));
    }
    if let Some(word) = names.first() {
        return Err(Error::options("serve takes no service:").about(word));
    }
    let directory = match given.word(b'd') {
        Some(path) => Directory::at(path.as_bytes()),
        None => Directory::usual(),
    };
    let (group, read_only) = (given.word(b'g'), given.flag(b'r'));
    serve(&Server { directory: &directory, group, read_only, wait })
}

/// Whether this executable was called by a link to sv with another name: an init script, whose name is
/// the service.
pub fn is_script(program: &[u8]) -> bool {
    let target = find(program).and_then(|file| readlink(&*file, Vec::new()));
    target.is_ok_and(|target| base(target.to_bytes()) == b"sv")
}

/// Called by the name of a service; the exit code.
pub fn script(name: &[u8], args: &[OsString]) -> Exit {
    let text = || {
        let mut text = Vec::new();
        crate::supervise::text::push_shown(&mut text, name);
        let name = String::from_utf8_lossy(&text).into_owned();
        format!("usage: {name} [-w sec] command\n\n")
    };
    let Ok(given) = SPEC.split(args) else { return usage(&text(), SCRIPT_USAGE) };
    let word = given.rest.first().map(|word| word.as_bytes()).unwrap_or_default();
    let Some(command) = Command::of_script(word) else { return usage(&text(), SCRIPT_USAGE) };
    if matches!(command.action, Action::Enable | Action::Disable) {
        return usage(&text(), SCRIPT_USAGE);
    }
    let options = Options {
        wait: wait(&given),
        verbose: given.flag(b'v') || given.flag(b'w'),
        script: true,
        terminal: is_terminal(),
        colours: colours(),
        ..Options::NONE
    };
    let done = Directory::choose(None, false).and_then(|directory| {
        let services = vec![Service::named(name, &directory)];
        run(&command, services, options, &mut print)
    });
    match done {
        Ok(code) => Exit::new(code),
        Err(error) => {
            error.print("sv");
            Exit::new(SCRIPT_FATAL)
        }
    }
}
