//! with-nscd: runs a program that has an nscd of its own.
//!
//! nscd is no child of the program, which may wait for all that it has: another process of ours
//! starts it and ends, and nscd watches the program. The program takes our place, so that whoever
//! started us waits for it. Only where orphans would come back to it (we are PID 1, or what prctl(2)
//! calls a subreaper) do we stay: then the program is our child, see [`stay`].

mod stay;

use super::nscd;
use crate::options::Spec;
use crate::sys::clock::timespec;
use crate::sys::error::{Error, Exit, unable};
use crate::sys::message::Message;
use crate::sys::spawn::{Command, Process, become_program};
use nix::sys::signal::SigSet;
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, child_subreaper, getpid, getppid, setsid};
use rustix::stdio::{stdin, stdout};
use rustix::thread::set_no_new_privs;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// What `--help` prints.
pub const USAGE: &[&str] = &["\
Usage: with-nscd [-k] [-n] [NSCD-OPTION...] [SCRIPT...] -- PROG [ARGUMENT...]

Starts nscd (see nscd --help), waits until it can be asked, and becomes PROG.
nscd ends when PROG does.
  with-nscd -n 3 nsssd-unix -d /data/etc \"\" -- sh

  -k  if there can be no nscd, do not run PROG either
  -n  PROG and what it starts never gain privileges from set-uid files. Use it
      where PROG may write to /var/run/nscd: whoever may can forge answers

As PID 1 it stays: it passes signals on to PROG, and waits for orphans.

Exit codes: PROG's (as PID 1 128 and the number of a signal that ended it); 100
usage, 111 system, 126 or 127 if PROG cannot be run.
"];

/// Milliseconds for nscd to be ready: it binds a socket, and that is all.
const READY_MILLIS: u64 = 5000;

/// Starts nscd for the process whose number follows, and ends. (Nothing to be called by hand.)
const START: &str = "--start";

/// Our options, and those of nscd.
const SPEC: Spec = Spec {
    flags: if cfg!(feature = "userdb") { "qv1dFKLWXZDkn" } else { "qv1dFKLWXZkn" },
    ..nscd::SPEC
};

/// Exit codes of env(1) and its like.
mod exit {
    use super::Exit;

    pub const CANNOT_RUN: Exit = Exit::new(126);
    pub const NOT_FOUND: Exit = Exit::new(127);
}

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    if let [first, pid, options @ ..] = args {
        if first == START {
            return start_for(pid, options);
        }
    }
    let given = SPEC.split(args)?;
    let (script, command) = if given.closed {
        (&[][..], given.rest)
    } else {
        let Some(end) = given.rest.iter().position(|word| word == "--") else {
            return Err(Error::options("missing -- in front of the program"));
        };
        let (script, behind) = given.rest.split_at_checked(end).unwrap_or_default();
        (script, behind.get(1..).unwrap_or_default())
    };
    let [program, ..] = command else { return Err(Error::options("missing program")) };
    let mut options = given.without("kn");
    options.extend_from_slice(script);

    let mut staying = if is_reaper() { Some(stay::Stay::begin()?) } else { None };
    let started = match &mut staying {
        Some(stay) => stay.start_nscd(&options),
        None => start_aside(&options),
    };
    if let Err(error) = started {
        // Its command line is ours.
        if given.flag(b'k') || error.exit == Exit::USAGE {
            return Err(error);
        }
        error.print("with-nscd");
        let mut message = Message::warning("with-nscd");
        message.text("running without nscd: ");
        message.path(program.as_bytes()).send();
    }
    if given.flag(b'n') {
        set_no_new_privs(true).map_err(unable("unable to set no_new_privs"))?;
    }
    let errno = match staying {
        Some(stay) => match stay.run(command) {
            Ok(exit) => return Ok(exit),
            Err(errno) => errno,
        },
        None => {
            let Err(errno) = become_program(command);
            errno
        }
    };
    let missing = errno == Errno::NOENT;
    let code = if missing { exit::NOT_FOUND } else { exit::CANNOT_RUN };
    Err(Error::system("unable to run", errno).about(program).with_exit(code))
}

/// Whether orphans become our children.
fn is_reaper() -> bool {
    getpid().is_init() || matches!(child_subreaper(), Ok(Some(_)))
}

/// Starts nscd by way of a process that ends once it is ready. Why it cannot be that one tells.
fn start_aside(options: &[OsString]) -> Result<(), Error> {
    let starter = || {
        let mut room = [0; DECIMAL_MAX];
        let first = [b"with-nscd", START.as_bytes(), number(getpid(), &mut room)];
        Command::ourselves(&first, options)?.start(stdin(), stdout())?.wait()
    };
    let ended = starter().map_err(unable("unable to start nscd"))?;
    match ended.exit_status() {
        Some(0) => Ok(()),
        Some(code) if code == i32::from(Exit::USAGE.code()) => Err(Error::silent(Exit::USAGE)),
        Some(_) => Err(Error::silent(Exit::SYSTEM)),
        None => Err(Error::refused("nscd did not get ready: what starts it was killed")),
    }
}

/// What that process does: nscd will be nobody's child, and in no session with a terminal.
fn start_for(pid: &OsStr, options: &[OsString]) -> Result<Exit, Error> {
    let pid = nscd::process_id(pid)?;
    // It fails for who leads a group already.
    let _ = setsid();
    let nscd = start(pid, options, None)?;
    // Only now that nscd watches it: the number may have been given to another process before.
    if getppid() != Some(pid) {
        nscd.kill();
    }
    Ok(Exit::SUCCESS)
}

/// Starts nscd for a process, and waits until it is ready. `blocked`: the signals that are blocked
/// there, if not those that are here.
fn start(pid: Pid, options: &[OsString], blocked: Option<SigSet>) -> Result<Process, Error> {
    let fail = unable("unable to start nscd");
    let (nscd, answer) = launch(pid, options, blocked).map_err(&fail)?;
    let what = match heard(&answer) {
        Heard::Ready => return Ok(nscd),
        Heard::Nothing => "nscd did not get ready within 5 s",
        Heard::End => {
            let ended = nscd.wait().map_err(&fail)?;
            return Err(match (ended.exit_status(), ended.terminating_signal()) {
                // Wrong usage, which it has told.
                (Some(code), _) if code == i32::from(Exit::USAGE.code()) => {
                    Error::silent(Exit::USAGE)
                }
                (Some(code), _) => numbered("nscd did not get ready: exit code", code),
                (_, signal) => {
                    numbered("nscd did not get ready: killed by signal", signal.unwrap_or(0))
                }
            });
        }
    };
    nscd.kill();
    let _ = nscd.wait();
    Err(Error::refused(what))
}

fn numbered(what: &'static str, number: i32) -> Error {
    let mut room = [0; DECIMAL_MAX];
    let digits = write_decimal(number.unsigned_abs().into(), &mut room);
    Error::refused(what).about(OsStr::from_bytes(digits))
}

/// Starts nscd as a child; what it says comes from the pipe.
fn launch(
    pid: Pid,
    options: &[OsString],
    blocked: Option<SigSet>,
) -> Result<(Process, OwnedFd), Errno> {
    let mut room = [0; DECIMAL_MAX];
    let null = open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let (answer, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
    let words: [&[u8]; 4] = [b"nscd", b"-1", b"--parent", number(pid, &mut room)];
    let mut command = Command::ourselves(&words, options)?;
    if let Some(blocked) = blocked {
        command.block(blocked);
    }
    Ok((command.start(null.as_fd(), stdout.as_fd())?, answer))
}

fn number(pid: Pid, room: &mut [u8; DECIMAL_MAX]) -> &[u8] {
    write_decimal(pid.as_raw_nonzero().get().unsigned_abs().into(), room)
}

/// What nscd said while it started.
enum Heard {
    Ready,
    End,
    Nothing,
}

fn heard(answer: &OwnedFd) -> Heard {
    let limit = timespec(READY_MILLIS);
    match poll(&mut [PollFd::new(answer, PollFlags::IN)], Some(&limit)) {
        Ok(1) => {}
        _ => return Heard::Nothing,
    }
    match read(answer, &mut [0; 1]) {
        Ok(1) => Heard::Ready,
        _ => Heard::End,
    }
}
