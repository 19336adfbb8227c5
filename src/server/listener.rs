//! A listening socket: made, or taken over from the supervisor.

use super::conversation::Patience;
use crate::sys::clock::{millis, timespec};
use crate::sys::error::{Error, not_made, unable};
use crate::sys::file::path;
use crate::sys::passed::{Passed, from_supervisor};
use crate::sys::socket::{self, address, take_descriptors};
use crate::sys::stat::{Stat, fstat, lstat};
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
    /// As many clients may wait there, too: a C library whose connect fails asks nobody.
    pub lengthens: bool,
    /// What is made beside it has a name that begins with a dot, and is no socket for those who look
    /// at all that is there.
    pub hides_lock: bool,
}

/// How clients of a listener are admitted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections that are served; over it clients wait, in the backlog if there is no room.
    pub max: u32,
    /// Most connections of one user that are served; over it they wait, or are closed if there is no
    /// room.
    pub max_per_uid: u32,
    /// Most that wait for being served, those whose request is not complete included. 0: who is
    /// accepted is served.
    pub room: u32,
    /// Whether SO_PEERCRED is looked up.
    pub credentials: bool,
    /// How long is waited for what.
    pub patience: Patience,
}

impl Limits {
    /// Connections that there may be, and one more while it is decided who gives way.
    pub fn rows(&self) -> u32 {
        self.max + if self.room == 0 { 0 } else { self.room + 1 }
    }
}

/// A socket that clients connect to.
pub struct Listener {
    /// It does not block.
    pub socket: OwnedFd,
    /// How clients are admitted.
    pub limits: Limits,
    /// Clients may have come to it before they were forbidden to pass descriptors.
    pub refuses_late: bool,
    /// Where it was made; `None`: it was passed.
    made: Option<Made>,
}

/// A socket that was made, and what keeps others from replacing it.
struct Made {
    at: CString,
    /// Its device and number there: another one may be renamed onto it.
    number: (u64, u64),
    /// PATH.lock, locked, and its name.
    lock: Option<(OwnedFd, CString)>,
    /// Both are taken away at the end.
    leaves_nothing: bool,
}

/// Milliseconds between two looks whether it has ended.
pub const LOOK: u64 = 5;

/// Longest path of a socket: sun_path has 108 bytes, and other programs want a NUL there.
const PATH_MAX: usize = 107;

impl Listener {
    /// The socket that the supervisor `passed`, or a new one. Errors exit 111.
    pub fn open(place: &Place<'_>, limits: Limits, passed: Option<OwnedFd>) -> Result<Self, Error> {
        if let Some(socket) = passed {
            use_passed(&socket).map_err(unable(NOT_USABLE))?;
            take_descriptors(&socket, place.takes_descriptors);
            if place.lengthens {
                let _ = listen(&socket, place.backlog);
            }
            let refuses_late = !place.takes_descriptors;
            return Ok(Listener { socket, limits, refuses_late, made: None });
        }
        let (socket, made) = make(place)?;
        Ok(Listener { socket, limits, refuses_late: false, made: Some(made) })
    }

    /// Takes the socket and its lock away, at the end of a server that leaves nothing: another
    /// user's, in a directory that both may write, would keep the next one out. Who has given up
    /// the rights to do that leaves them.
    pub fn leave(&self) {
        match &self.made {
            Some(Made { at, number, lock: Some((lock, name)), leaves_nothing: true })
                if is_at(lock, name) =>
            {
                if numbered(at) == *number {
                    let _ = unlink(&**at);
                }
                // One with something in it is a file of others, and so is what is no file.
                let is_ours = |stat: Stat| {
                    stat.st_size == 0
                        && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                };
                if fstat(lock).is_ok_and(is_ours) {
                    let _ = unlink(&**name);
                }
            }
            _ => {}
        }
    }
}

const NOT_USABLE: &str = "unable to use the socket in $LISTEN_FDS";

/// The sockets that the supervisor passed (LISTEN_FDS).
pub fn passed() -> Result<Vec<Passed>, Error> {
    from_supervisor().map_err(|_| unable(NOT_USABLE)(Errno::NOTSOCK))
}

fn use_passed(socket: &OwnedFd) -> Result<(), Errno> {
    let fits = socket_domain(socket) == Ok(AddressFamily::UNIX)
        && socket_type(socket) == Ok(SocketType::STREAM);
    if !fits {
        return Err(Errno::NOTSOCK);
    }
    fcntl_setfl(socket, OFlags::NONBLOCK)
}

fn stream() -> Result<OwnedFd, Error> {
    socket::stream(SocketFlags::NONBLOCK).map_err(unable("unable to make a socket"))
}

/// Makes the socket.
fn make(place: &Place<'_>) -> Result<(OwnedFd, Made), Error> {
    let at = named(place, "")?;
    if place.path.len() > PATH_MAX {
        return Err(refused("unable to bind: longer than 107 bytes:", &at));
    }
    let socket = stream()?;
    take_descriptors(&socket, place.takes_descriptors);
    let lock = if place.replace { Some(lock(place, &at)?) } else { None };
    if place.swap {
        // Made beside its place, and renamed there once clients can connect.
        examine(&at)?;
        let beside = beside(place)?;
        // Left by one that was killed: we have the lock.
        let _ = unlink(&*beside);
        bind_at(&beside, place, &socket)?;
        rename(&*beside, &*at).map_err(|e| failed("unable to put a socket to", &at, e))?;
    } else {
        bind_at(&at, place, &socket)?;
    }
    let number = numbered(&at);
    Ok((socket, Made { at, number, lock, leaves_nothing: place.swap }))
}

/// Where the socket is made before it is renamed: what is no socket is not ours, and stays.
fn beside(place: &Place<'_>) -> Result<CString, Error> {
    let other = named(place, ".new2")?;
    let usual = named(place, ".new")?;
    if examine(&usual).is_ok() {
        return Ok(usual);
    }
    examine(&other).map(|()| other)
}

/// The path of the socket, or of what is beside it.
fn named(place: &Place<'_>, suffix: &str) -> Result<CString, Error> {
    let whole = place.path.as_bytes();
    let base = whole.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (directory, base) = whole.split_at_checked(base).unwrap_or_default();
    let dot: &[u8] = if place.hides_lock && !suffix.is_empty() { b"." } else { b"" };
    let name = [directory, dot, base, suffix.as_bytes()].concat();
    path(&name).map_err(unable("unable to bind"))
}

fn failed(what: &'static str, at: &CStr, cause: Errno) -> Error {
    not_made(what, at.to_bytes(), cause)
}

fn refused(what: &'static str, at: &CStr) -> Error {
    Error::refused(what).about(OsStr::from_bytes(at.to_bytes()))
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
///
/// A lock that may not be opened is another user's. If nobody serves at the socket, he left it
/// there, and it is replaced where the directory allows.
fn lock(place: &Place<'_>, at: &CStr) -> Result<(OwnedFd, CString), Error> {
    let name = named(place, ".lock")?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let end = millis() + place.patience;
    let mut replaced = false;
    loop {
        let live = match open(&*name, flags | OFlags::NONBLOCK, Mode::RUSR | Mode::WUSR) {
            Ok(file) => match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_at(&file, &name) => return Ok((file, name)),
                // Whoever had it took it away.
                Ok(()) => continue,
                Err(Errno::WOULDBLOCK) => refused(LIVE, at),
                Err(errno) => return Err(failed("unable to lock", &name, errno)),
            },
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => match examine(at) {
                Ok(()) if !replaced && unlink(&*name).is_ok() => {
                    replaced = true;
                    continue;
                }
                Ok(()) => return Err(failed("unable to bind: cannot open", &name, errno)),
                Err(live) => live,
            },
            Err(errno) => return Err(failed("unable to bind: cannot open", &name, errno)),
        };
        if millis() >= end {
            return Err(live);
        }
        // It fails if a signal comes: then it is looked at once more, and no harm.
        let _ = poll(&mut [], Some(&timespec(LOOK)));
    }
}

/// Device and number of what is at a path; zeros: nothing.
fn numbered(at: &CStr) -> (u64, u64) {
    lstat(at).map_or((0, 0), |stat| (stat.st_dev, stat.st_ino))
}

/// Whether a file is the one of this name.
fn is_at(file: &OwnedFd, name: &CStr) -> bool {
    match (fstat(file), lstat(name)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
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
    match lstat(at) {
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(failed("unable to examine", at, errno)),
        Ok(there) if FileType::from_raw_mode(there.st_mode) != FileType::Socket => {
            return Err(refused("unable to bind: what is there is no socket:", at));
        }
        Ok(_) => {}
    }
    let probe = stream()?;
    match address(at.to_bytes()).and_then(|address| connect(&probe, &address)) {
        Err(Errno::CONNREFUSED) => Ok(()),
        Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
            Err(failed("unable to bind: cannot ask whether a server is at", at, errno))
        }
        // Accepted, or queue full: somebody may be listening.
        _ => Err(refused(LIVE, at)),
    }
}
