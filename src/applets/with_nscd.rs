//! with-nscd: runs a program that has an nscd of its own.
//!
//! nscd is a child that ends with the program; the program takes our place, so that whoever
//! started us waits for it.

use crate::sys::clock::timespec;
use crate::sys::error::{Error, Exit, unable};
use crate::sys::message::Message;
use crate::sys::spawn::{Command, become_program};
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitStatus, getpid};
use rustix::thread::set_no_new_privs;
use std::ffi::OsString;
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

Exit codes: PROG's; 100 usage, 111 system, 126 or 127 if PROG cannot be run.
"];

/// Milliseconds for nscd to be ready: it binds a socket, and that is all.
const READY_MILLIS: u64 = 5000;

/// Exit codes of env(1) and its like.
mod exit {
    use super::Exit;

    pub const CANNOT_RUN: Exit = Exit::new(126);
    pub const NOT_FOUND: Exit = Exit::new(127);
}

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    let (mut strict, mut no_privileges, mut rest) = (false, false, args);
    while let [word, behind @ ..] = rest {
        let [b'-', letters @ ..] = word.as_bytes() else { break };
        if letters.is_empty() || !letters.iter().all(|b| matches!(b, b'k' | b'n')) {
            break;
        }
        strict |= letters.contains(&b'k');
        no_privileges |= letters.contains(&b'n');
        rest = behind;
    }
    let Some(end) = rest.iter().position(|word| word == "--") else {
        return Err(Error::options("missing -- in front of the program"));
    };
    let (nscd, program) = rest.split_at_checked(end).unwrap_or_default();
    let command = program.get(1..).unwrap_or_default();
    let [program, ..] = command else { return Err(Error::options("missing program")) };

    if let Err(error) = start(nscd) {
        // Its command line is ours.
        if strict || error.exit == Exit::USAGE {
            return Err(error);
        }
        error.print("with-nscd");
        let mut message = Message::warning("with-nscd");
        message.text("running without nscd: ");
        message.path(program.as_bytes()).send();
    }
    if no_privileges {
        set_no_new_privs(true).map_err(unable("unable to set no_new_privs"))?;
    }
    let Err(errno) = become_program(command);
    let missing = errno == Errno::NOENT;
    let code = if missing { exit::NOT_FOUND } else { exit::CANNOT_RUN };
    Err(Error::system("unable to run", errno).about(program).with_exit(code))
}

/// Starts nscd and waits until it is ready. What it cannot do it tells by itself.
fn start(options: &[OsString]) -> Result<(), Error> {
    let ended = launch(options).map_err(unable("unable to start nscd"))?;
    match ended.map(|status| status.exit_status()) {
        None => Ok(()),
        Some(Some(code)) if code == i32::from(Exit::USAGE.code()) => {
            Err(Error::silent(Exit::USAGE))
        }
        Some(_) => Err(Error::system("nscd did not get ready", Errno::CHILD)),
    }
}

/// Starts nscd as a child; how it has ended if it did not get ready.
fn launch(options: &[OsString]) -> Result<Option<WaitStatus>, Errno> {
    let mut room = [0; DECIMAL_MAX];
    let parent = write_decimal(getpid().as_raw_nonzero().get().unsigned_abs().into(), &mut room);
    let null = open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let (answer, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut command = Command::ourselves(&[b"nscd", b"-1", b"--parent", parent], options)?;
    // A key that interrupts the program must not end what it asks.
    command.own_group();
    let child = command.start(null.as_fd(), stdout.as_fd())?;
    drop(stdout);
    if is_ready(&answer) {
        return Ok(None);
    }
    // It has ended, or is of no use.
    child.kill();
    child.wait().map(Some)
}

fn is_ready(answer: &OwnedFd) -> bool {
    let limit = timespec(READY_MILLIS);
    let heard = poll(&mut [PollFd::new(answer, PollFlags::IN)], Some(&limit));
    matches!(heard, Ok(1)) && matches!(read(answer, &mut [0; 1]), Ok(1))
}
