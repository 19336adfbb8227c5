//! A listening socket: made, or taken over from the supervisor.

use super::conversation::Patience;
use crate::sys::clock::{millis, timespec};
use crate::sys::error::{Error, unable};
use crate::sys::file::path;
use crate::sys::passed::from_supervisor;
use crate::sys::socket::{self, address, take_descriptors};
use crate::sys::stat::lstat;
use rustix::event::poll;
use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use rustix::fs::{fcntl_setfl, flock, open, rename, unlink};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, listen};
use rustix::process::umask;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

/// How to make the socket.
pub struct Place<'a> {
    /// Where; at most 107 bytes.
    pub path: &'a OsStr,
    /// Its mode.
    pub mode: u32,
    /// How many clients may wait.
    pub backlog: i32,
    /// A socket that nobody listens at is replaced.
    pub replace: bool,
    /// It is replaced without a moment in which there is none.
    pub swap: bool,
    /// Milliseconds for a server of ours that is there to end; 0: it is live.
    pub patience: u64,
    /// Clients may pass descriptors: a program is started that may want them.
    pub takes_descriptors: bool,
    /// The one that the supervisor passed is taken instead, if there is one.
    pub may_be_passed: bool,
}

/// How clients of a listener are admitted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections; over it clients wait in the backlog.
    pub max: u32,
    /// Most connections of one user; over it they are closed.
    pub max_per_uid: u32,
    /// Over it, his oldest connection without a complete request is closed instead.
    pub oldest_gives_way: bool,
    /// Whether SO_PEERCRED is looked up.
    pub credentials: bool,
    /// How long is waited for what.
    pub patience: Patience,
}

/// A socket that clients connect to.
pub struct Listener {
    /// It does not block.
    pub socket: OwnedFd,
    /// How clients are admitted.
    pub limits: Limits,
    /// Clients may have come to it before they were forbidden to pass descriptors.
    pub refuses_late: bool,
    /// PATH.lock, locked, so that others do not replace the socket.
    _lock: Option<OwnedFd>,
}

/// Milliseconds between two looks whether it has ended.
const LOOK: u64 = 5;

/// Longest path of a socket: sun_path has 108 bytes, and other programs want a NUL there.
const PATH_MAX: usize = 107;

impl Listener {
    /// The socket that the supervisor passed (LISTEN_FDS), or a new one. Errors exit 111.
    pub fn open(place: &Place<'_>, limits: Limits) -> Result<Self, Error> {
        if place.may_be_passed {
            let socket = passed().map_err(unable("unable to use the socket in $LISTEN_FDS"))?;
            if let Some(socket) = socket {
                take_descriptors(&socket, place.takes_descriptors);
                let refuses_late = !place.takes_descriptors;
                return Ok(Listener { socket, limits, refuses_late, _lock: None });
            }
        }
        let (socket, lock) = make(place)?;
        Ok(Listener { socket, limits, refuses_late: false, _lock: lock })
    }
}

fn passed() -> Result<Option<OwnedFd>, Errno> {
    let Some(socket) = from_supervisor().map_err(|_| Errno::NOTSOCK)? else { return Ok(None) };
    let fits = socket_domain(&socket) == Ok(AddressFamily::UNIX)
        && socket_type(&socket) == Ok(SocketType::STREAM);
    if !fits {
        return Err(Errno::NOTSOCK);
    }
    fcntl_setfl(&socket, OFlags::NONBLOCK)?;
    Ok(Some(socket))
}

fn stream() -> Result<OwnedFd, Error> {
    socket::stream(SocketFlags::NONBLOCK).map_err(unable("unable to make a socket"))
}

/// The socket, and what keeps others from replacing it.
fn make(place: &Place<'_>) -> Result<(OwnedFd, Option<OwnedFd>), Error> {
    let at = named(place, "")?;
    if place.path.len() > PATH_MAX {
        return Err(failed("unable to bind to", &at, Errno::NAMETOOLONG));
    }
    let socket = stream()?;
    take_descriptors(&socket, place.takes_descriptors);
    let lock = if place.replace { Some(lock(place)?) } else { None };
    if !place.swap {
        bind_at(&at, place, &socket)?;
        return Ok((socket, lock));
    }
    // Made beside its place, and renamed there once clients can connect.
    examine(&at)?;
    let beside = named(place, ".new")?;
    // Left by one that was killed: we have the lock. What is no socket is not ours.
    examine(&beside)?;
    let _ = unlink(&*beside);
    bind_at(&beside, place, &socket)?;
    rename(&*beside, &*at).map_err(|e| failed("unable to put a socket to", &at, e))?;
    Ok((socket, lock))
}

/// The path of the socket, or of what is beside it.
fn named(place: &Place<'_>, suffix: &str) -> Result<CString, Error> {
    let name = [place.path.as_bytes(), suffix.as_bytes()].concat();
    path(&name).map_err(unable("unable to bind"))
}

fn failed(what: &'static str, at: &CStr, cause: Errno) -> Error {
    Error::system(what, cause).about(OsStr::from_bytes(at.to_bytes()))
}

/// Lets clients connect at `at`.
fn bind_at(at: &CStr, place: &Place<'_>, socket: &OwnedFd) -> Result<(), Error> {
    let mut bound = bind_with_mode(socket, at, place.mode);
    if bound == Err(Errno::ADDRINUSE) && place.replace && !place.swap {
        // A live one, and what is no socket, stays.
        examine(at)?;
        unlink(at).map_err(|e| failed("unable to remove stale socket", at, e))?;
        bound = bind_with_mode(socket, at, place.mode);
    }
    let (what, done) = match bound {
        Ok(()) => ("unable to listen on", listen(socket, place.backlog)),
        Err(_) => ("unable to bind to", bound),
    };
    done.map_err(|e| failed(what, at, e))
}

/// Locks PATH.lock, as s6 does: of two servers that find the same stale socket, one must not
/// remove the other's new one.
fn lock(place: &Place<'_>) -> Result<OwnedFd, Error> {
    let name = named(place, ".lock")?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = open(&*name, flags | OFlags::NONBLOCK, Mode::RUSR | Mode::WUSR)
        .map_err(|e| failed("unable to bind: cannot open", &name, e))?;
    let end = millis() + place.patience;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if millis() < end => {
                // It fails if a signal comes: then it is looked at once more, and no harm.
                let _ = poll(&mut [], Some(&timespec(LOOK)));
            }
            Err(Errno::WOULDBLOCK) => {
                return Err(failed(LIVE, &named(place, "")?, Errno::ADDRINUSE));
            }
            Err(errno) => return Err(failed("unable to lock", &name, errno)),
        }
    }
}

const LIVE: &str = "unable to bind: a server is listening at";

/// Binds with the umask set so that the socket never has another mode than the wanted one.
fn bind_with_mode(socket: &OwnedFd, at: &CStr, mode: u32) -> Result<(), Errno> {
    let address = address(at.to_bytes())?;
    let before = umask(Mode::from_raw_mode(!mode & 0o777));
    let bound = bind(socket, &address);
    umask(before);
    bound
}

/// Whether what is at `at` may be replaced: a socket that nobody listens at, or nothing.
fn examine(at: &CStr) -> Result<(), Error> {
    let (what, why) = match lstat(at) {
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => ("unable to examine", errno),
        Ok(there) if FileType::from_raw_mode(there.st_mode) != FileType::Socket => {
            ("unable to bind: what is there is no socket:", Errno::EXIST)
        }
        Ok(_) => {
            let probe = stream()?;
            match address(at.to_bytes()).and_then(|address| connect(&probe, &address)) {
                Err(Errno::CONNREFUSED) => return Ok(()),
                // Accepted, queue full, or no right to ask: somebody may be listening.
                _ => (LIVE, Errno::ADDRINUSE),
            }
        }
    };
    Err(failed(what, at, why))
}
