//! The lock: a POSIX record lock on the lock file, as Google's nsscache takes it, so that theirs and
//! ours never update at the same time. It ends with the process that holds it.

use super::failure::{Failure, os};
use super::log::Log;
use crate::sys::file::{open_path, read_path};
use rustix::fs::{FlockOperation, Mode, OFlags, fcntl_lock, ftruncate, unlink};
use rustix::io::{Errno, write};
use rustix::process::{Pid, Signal, getpid, kill_process};
use std::os::fd::OwnedFd;

/// The lock, until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: OwnedFd,
}

/// Why there is none.
#[derive(Debug)]
pub enum NotLocked {
    /// Another process has it.
    Held,
    /// It cannot be had.
    Failed(Failure),
}

/// Where Google's nsscache keeps its lock if the configuration does not say.
pub const DEFAULT: &str = "/var/run/nsscache";

/// The lock that `nsscache watch` has for its life.
pub fn of_watch(path: &str) -> String {
    format!("{path}.watch")
}

/// Whether a process has the lock of this file.
pub fn is_held(path: &str) -> bool {
    let Ok(file) = open_path(path.as_bytes(), OFlags::RDWR | OFlags::NOFOLLOW, Mode::empty())
    else {
        return false;
    };
    let tried = fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive);
    matches!(tried, Err(Errno::AGAIN | Errno::ACCESS))
}

impl Lock {
    /// Takes the lock of this file, which is made if need be, without waiting. `force`: whoever has it
    /// is asked to end, if it is an nsscache, and the file is made anew.
    pub fn take(path: &str, force: bool, log: &Log) -> Result<Lock, NotLocked> {
        let name = path.as_bytes();
        match Lock::open(name) {
            Err(NotLocked::Held) if force => {}
            done => return done,
        }
        let watch = read_path(of_watch(path).as_bytes()).unwrap_or_default();
        if is_held(&of_watch(path)) && read_path(name).is_ok_and(|holder| holder == watch) {
            // It goes on, and the lock is free again as soon as it has written.
            return Err(NotLocked::Held);
        }
        end_holder(name, log);
        unlink(os(name))
            .map_err(|errno| NotLocked::Failed(Failure::system("remove", name, errno)))?;
        log.warning("lock", format!("the lock {path} was taken by force"));
        Lock::open(name)
    }

    fn open(name: &[u8]) -> Result<Lock, NotLocked> {
        let failed = |what| move |errno| NotLocked::Failed(Failure::system(what, name, errno));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW;
        let file = open_path(name, flags, Mode::from_raw_mode(0o644)).map_err(failed("open"))?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => return Err(NotLocked::Held),
            Err(errno) => return Err(failed("lock")(errno)),
        }
        // Whose it is is only told to people: a full disk is no reason not to update.
        let pid = format!("{}\n", getpid().as_raw_nonzero());
        let _ = ftruncate(&file, 0).and_then(|()| write(&file, pid.as_bytes()));
        Ok(Lock { _file: file })
    }
}

/// Asks the process whose number is in the lock file to end, if its command line says nsscache.
fn end_holder(name: &[u8], log: &Log) {
    let number = read_path(name).unwrap_or_default();
    let number = String::from_utf8_lossy(&number).trim().parse().unwrap_or(0);
    let Some(pid) = Pid::from_raw(number) else { return };
    let words = read_path(format!("/proc/{number}/cmdline").as_bytes()).unwrap_or_default();
    if number > 1 && words.windows(8).any(|part| part == b"nsscache") {
        log.warning("lock", format!("process {number} is asked to end"));
        let _ = kill_process(pid, Signal::TERM);
    }
}
