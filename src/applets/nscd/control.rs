//! What glibc's nscd is called for while another one runs: `-i TABLE` by useradd and its like, `-K`,
//! `-g`. With its exit codes.

use super::SOCKET;
use crate::limits::{ANSWER_MILLIS, ENDING_MILLIS};
use crate::options::Options;
use crate::server::listener::LOOK;
use crate::sys::clock::{millis, timespec};
use crate::sys::error::{Error, Exit};
use crate::sys::socket::connected;
use crate::sys::stream::{send_all, wait_for};
use nssproto::nscd::{DATABASES, REQUEST_MAX, Request};
use rustix::event::{PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketFlags, recv};
use rustix::process::getuid;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

/// `-g` without a value, or this.
pub const STATISTICS: &str = "--statistics";

/// Exit codes of glibc's nscd.
mod exit {
    use super::Exit;

    pub const NOT_ROOT: Exit = Exit::new(4);
    pub const UNKNOWN_TABLE: Exit = Exit::new(64);
}

/// What stands before `-g` where that asks for statistics: it is the last word, without a value.
pub fn statistics(args: &[OsString]) -> Option<&[OsString]> {
    let (last, before) = args.split_last()?;
    let options = super::SPEC.split(before).ok()?;
    // `--st` and longer mean no other one.
    let long = last.len() > 3 && STATISTICS.as_bytes().starts_with(last.as_bytes());
    let asked = long || last == "-g";
    (asked && options.rest.is_empty() && !options.closed).then_some(before)
}

/// Whether there is an nscd, which gives no statistics: they are of a cache that we have not.
pub fn tell_statistics(before: &[OsString]) -> Result<Exit, Error> {
    let options = super::SPEC.split(before)?;
    let socket = options.word(b'S').unwrap_or(OsStr::new(SOCKET));
    let what = match connect(socket) {
        Ok(_) => "this nscd keeps no cache and gives no statistics",
        Err(_) => "nscd is not running",
    };
    Err(Error::refused(what).with_exit(Exit::FAILURE))
}

/// Does what another nscd is to be told; `None`: nothing.
pub fn run(options: &Options<'_>, socket: &OsStr) -> Result<Option<Exit>, Error> {
    let tables = options.words(b'i');
    for table in &tables {
        if !DATABASES.contains(&table.as_bytes()) {
            let error = Error::refused("not a known database:").about(table);
            return Err(error.with_exit(exit::UNKNOWN_TABLE));
        }
    }
    let ends = options.flag(b'K');
    if tables.is_empty() && !ends {
        return Ok(None);
    }
    if !getuid().is_root() {
        let error = Error::refused("only root may use -i and -K");
        return Err(error.with_exit(exit::NOT_ROOT));
    }
    for table in tables {
        // Where none runs there is nothing to forget: useradd knows the exit code.
        let Ok(nscd) = ask(socket, &Request::Invalidate(table.as_bytes())) else {
            return Ok(Some(Exit::FAILURE));
        };
        if let Err(errno) = forgotten(&nscd) {
            let error = Error::system("unable to invalidate", errno).about(table);
            return Err(error.with_exit(Exit::FAILURE));
        }
    }
    let done = !ends || end(socket).is_ok();
    Ok(Some(if done { Exit::SUCCESS } else { Exit::FAILURE }))
}

/// Ends nscd, and waits until nobody is there: then the next one can be started. Who was started
/// again meanwhile is not waited for without end.
fn end(socket: &OsStr) -> Result<(), Errno> {
    drop(ask(socket, &Request::Shutdown)?);
    let until = millis() + ENDING_MILLIS;
    while connect(socket).is_ok() && millis() < until {
        let _ = poll(&mut [], Some(&timespec(LOOK)));
    }
    Ok(())
}

fn connect(socket: &OsStr) -> Result<OwnedFd, Errno> {
    connected(socket, SocketFlags::NONBLOCK)
}

/// Sends a request; where its answer comes from.
fn ask(socket: &OsStr, request: &Request<'_>) -> Result<OwnedFd, Errno> {
    let nscd = connect(socket)?;
    let mut room = [0; REQUEST_MAX];
    let len = request.encode(&mut room).map_err(|_| Errno::INVAL)?;
    let until = millis() + u64::from(ANSWER_MILLIS);
    send_all(&nscd, room.get(..len).unwrap_or_default(), until)?;
    Ok(nscd)
}

/// Waits until a table was forgotten. An nscd that closes without an answer knows no such request,
/// or has done it: as to glibc's, that is no error.
fn forgotten(nscd: &OwnedFd) -> Result<(), Errno> {
    if !wait_for(nscd, PollFlags::IN, Some(ANSWER_MILLIS.into()))? {
        return Err(Errno::TIMEDOUT);
    }
    let mut answer = [0; size_of::<i32>()];
    match recv(nscd, &mut answer, RecvFlags::empty())?.1 {
        0 => Ok(()),
        _ => match i32::from_ne_bytes(answer) {
            0 => Ok(()),
            errno => Err(Errno::from_raw_os_error(errno)),
        },
    }
}
