//! Whether there is evidence that somebody wanted a name: its home, its key file.

use super::config::Require;
use super::near::{LastLink, Near};
use super::template::Pattern;
use crate::backend::Outcome;
use crate::sys::file::{fill, open};
use crate::sys::stat::{Stat, lstat, stat};
use rustix::fs::{FileType, Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::CStr;
use std::os::fd::OwnedFd;

/// Room for a path, its NUL included: the longest pattern with the longest name.
pub type Room = heapless::Vec<u8, { super::template::LINE_MAX + 300 }>;

/// A pattern with a name in it, as the system wants it.
pub fn path<'a>(pattern: &Pattern, name: &[u8], room: &'a mut Room) -> Result<&'a CStr, Errno> {
    let [before, slash, name, after] = pattern.pieces(name);
    fill(room, &[before, slash, name, after, b"\0"])?;
    CStr::from_bytes_with_nul(room).map_err(|_| Errno::INVAL)
}

/// How a map looks at files.
pub enum Look {
    /// As they come: nobody else waits.
    Wait,
    /// Only where nobody can have to wait; for the rest, a worker is asked.
    Near(Near),
}

impl Look {
    /// What lstat(2) says.
    fn lstat(&mut self, path: &CStr) -> Result<Stat, Errno> {
        match self {
            Look::Wait => lstat(path),
            Look::Near(near) => near.stat(path, LastLink::Kept),
        }
    }

    /// What stat(2) says.
    pub fn stat(&mut self, path: &CStr) -> Result<Stat, Errno> {
        match self {
            Look::Wait => stat(path),
            Look::Near(near) => near.stat(path, LastLink::Followed),
        }
    }

    /// Opens a directory as a path.
    pub fn directory(&mut self, path: &CStr, last: LastLink) -> Result<OwnedFd, Errno> {
        match self {
            Look::Wait => {
                open(path, OFlags::PATH | OFlags::DIRECTORY | last.flags(), Mode::empty())
            }
            Look::Near(near) => near.open(path, last),
        }
    }

    /// Opens a name in a directory, for reading.
    pub fn open_in(&mut self, dir: &OwnedFd, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        // A FIFO in its place must not hang us.
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        match self {
            Look::Wait => retry_on_intr(|| openat(dir, name, flags, Mode::empty())),
            Look::Near(near) => near.open_in(dir, name, flags),
        }
    }
}

/// A look that failed: where it could have blocked, a worker has to look.
pub fn failed(errno: Errno) -> Outcome {
    if errno == Errno::XDEV { Outcome::NeedsWorker } else { Outcome::failed(errno) }
}

/// The owner of what a pattern leads to, without following a link. The error is "not found" if
/// nothing is there, can be there, or is of that kind; a path that cannot be looked at is a failure.
fn owner_of(
    pattern: &Pattern,
    name: &[u8],
    room: &mut Room,
    look: &mut Look,
    kind: FileType,
) -> Result<u32, Outcome> {
    match look.lstat(path(pattern, name, room).map_err(Outcome::failed)?) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == kind => Ok(stat.st_uid),
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => Err(Outcome::NotFound),
        Err(errno) => Err(failed(errno)),
    }
}

/// Looks at all that is required. The error is "not found" or a failure; else the owner of the
/// home, if the home is required, or 0.
pub fn look_for(
    require: &Require,
    home: &Pattern,
    name: &[u8],
    room: &mut Room,
    look: &mut Look,
) -> Result<u32, Outcome> {
    let mut owner = 0;
    if require.home {
        owner = owner_of(home, name, room, look, FileType::Directory)?;
    }
    for file in &require.files {
        owner_of(file, name, room, look, FileType::RegularFile)?;
    }
    Ok(owner)
}
