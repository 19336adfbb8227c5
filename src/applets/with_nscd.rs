//! with-nscd: runs a program that has an nscd of its own.
//!
//! nscd is a child that ends with the program; the program takes our place, so that whoever
//! started us waits for it.

use super::Applet;
use crate::sys::clock::timespec;
use crate::sys::error::{Error, code, errno_of, unable};
use crate::sys::message::Message;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::getpid;
use rustix::thread::set_no_new_privs;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

const USAGE: &str = "\
Usage: with-nscd [-k] [-n] [NSCD-OPTION...] [SCRIPT...] -- PROG [ARGUMENT...]

Starts nscd with these options and this script, waits until it can be asked, and
becomes PROG. nscd ends when PROG does.

  -k  if there can be no nscd, do not run PROG either
  -n  PROG and what it starts never gain privileges from set-uid files. Use it
      where PROG may write to /var/run/nscd: whoever may can forge answers
  NSCD-OPTION, SCRIPT
      those of nscd, in the same order; see nscd --help

Example: with-nscd -n 3 nsssd-unix \"\" 0 nsssd-unix -d /data/etc \"\" -- sh
Exit codes: PROG's; 100 usage, 111 system, 126 or 127 if PROG cannot be run.
";

/// The row of the table.
pub const APPLET: Applet =
    Applet { name: "with-nscd", short: "with-nscd", usage: USAGE, usage_code: 100, main };

/// Milliseconds for nscd to be ready: it binds a socket, and that is all.
const READY_MILLIS: u64 = 5000;

/// Exit codes of env(1) and its like.
mod exit {
    pub const CANNOT_RUN: u8 = 126;
    pub const NOT_FOUND: u8 = 127;
}

fn main(args: &[OsString]) -> Result<u8, Error> {
    let (mut strict, mut no_privileges, mut rest) = (false, false, args);
    while let Some((word, behind)) = rest.split_first() {
        let letters = word.as_bytes().strip_prefix(b"-").filter(|l| !l.is_empty());
        let Some(letters) = letters.filter(|l| l.iter().all(|b| b"kn".contains(b))) else { break };
        strict |= letters.contains(&b'k');
        no_privileges |= letters.contains(&b'n');
        rest = behind;
    }
    let end = rest.iter().position(|word| word == "--");
    let end = end.ok_or(Error::options("missing -- in front of the program"))?;
    let (nscd, program) = rest.split_at_checked(end).unwrap_or_default();
    let [_, program, arguments @ ..] = program else {
        return Err(Error::options("missing program"));
    };

    match start(nscd) {
        Ok(()) => {}
        // Its command line is ours.
        Err(error) if error.code == code::USAGE => return Err(error),
        Err(error) if strict => return Err(error),
        Err(error) => {
            error.print("with-nscd");
            let message = Message::new("with-nscd", "warning").text("running without nscd: ");
            message.path(program.as_bytes()).send();
        }
    }
    if no_privileges {
        set_no_new_privs(true).map_err(unable("unable to set no_new_privs"))?;
    }
    let errno = errno_of(&Command::new(program).args(arguments).exec());
    let missing = errno == Errno::NOENT;
    let code = if missing { exit::NOT_FOUND } else { exit::CANNOT_RUN };
    Err(Error::system("unable to run", errno).about(program).with_code(code))
}

/// Starts nscd as a child and waits until it is ready. What it cannot do it tells by itself.
fn start(options: &[OsString]) -> Result<(), Error> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("nscd").arg("-1").arg("--parent").arg(getpid().as_raw_nonzero().to_string());
    // A key that interrupts the program must not end what it asks.
    command.args(options).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let fail = |e: std::io::Error| Error::system("unable to start nscd", errno_of(&e));
    let mut child = command.spawn().map_err(fail)?;
    if is_ready(&mut child) {
        return Ok(());
    }
    // It has ended, or is of no use.
    let _ = child.kill();
    let status = child.wait().map_err(fail)?;
    match status.code() {
        Some(code) if code == i32::from(code::USAGE) => Err(Error::silent(code::USAGE)),
        _ => Err(Error::system("nscd did not get ready", Errno::CHILD)),
    }
}

fn is_ready(child: &mut Child) -> bool {
    let Some(mut stdout) = child.stdout.take() else { return false };
    let limit = timespec(READY_MILLIS);
    let heard = poll(&mut [PollFd::new(&stdout, PollFlags::IN)], Some(&limit));
    matches!(heard, Ok(1)) && matches!(stdout.read(&mut [0]), Ok(1))
}
