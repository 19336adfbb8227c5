//! The listening socket: made, or taken over from the supervisor; and telling that it is ready.

use crate::sys::clock::{millis, timespec};
use crate::sys::error::{Error, unable};
use crate::sys::file::path;
use crate::sys::passed::from_supervisor;
use crate::sys::socket::{address, stream};
use crate::sys::stat::lstat;
use rustix::event::poll;
use rustix::fs::{FileType, FlockOperation, Mode, OFlags, flock, open, rename, unlink};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen,
    sendto, socket_with,
};
use rustix::process::umask;
use rustix::stdio::{dup2_stdin, dup2_stdout, stdout};
use std::ffi::OsStr;
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
}

/// Milliseconds between two looks whether it has ended.
const LOOK: u64 = 5;

/// Longest path of a socket: sun_path has 108 bytes, and other programs want a NUL there.
const PATH_MAX: usize = 107;

/// A listening socket.
pub struct Listener {
    /// It does not block.
    pub socket: OwnedFd,
    /// Keeps others from replacing it while we live.
    _lock: Option<OwnedFd>,
}

/// The listening socket: the one that the supervisor passed (LISTEN_FDS), or a new one. Errors
/// exit 111.
pub fn listener(place: &Place<'_>) -> Result<Listener, Error> {
    match passed()? {
        Some(socket) => Ok(Listener { socket, _lock: None }),
        None => make(place),
    }
}

fn passed() -> Result<Option<OwnedFd>, Error> {
    let wrong = || Error::system("unable to use the socket in $LISTEN_FDS", Errno::NOTSOCK);
    let Some(socket) = from_supervisor().map_err(|_| wrong())? else { return Ok(None) };
    let fits = socket_domain(&socket) == Ok(AddressFamily::UNIX)
        && socket_type(&socket) == Ok(SocketType::STREAM);
    if !fits {
        return Err(wrong());
    }
    rustix::io::ioctl_fionbio(&socket, true)
        .map_err(unable("unable to use the socket in $LISTEN_FDS"))?;
    Ok(Some(socket))
}

fn make(place: &Place<'_>) -> Result<Listener, Error> {
    if place.path.len() > PATH_MAX {
        return Err(Error::system("unable to bind to", Errno::NAMETOOLONG).about(place.path));
    }
    let socket = stream(SocketFlags::NONBLOCK).map_err(unable("unable to make a socket"))?;
    let lock = if place.replace { Some(lock(place)?) } else { None };
    match place.swap {
        true => swap(place, &socket)?,
        false => bind_at(place.path, place, &socket)?,
    }
    Ok(Listener { socket, _lock: lock })
}

/// Makes the socket beside its place and renames it there once clients can connect.
fn swap(place: &Place<'_>, socket: &OwnedFd) -> Result<(), Error> {
    examine(place.path)?;
    let beside = [place.path.as_bytes(), b".new"].concat();
    let beside = OsStr::from_bytes(&beside);
    // Left by one that was killed: we have the lock.
    let _ = path(beside.as_bytes()).and_then(|beside| unlink(&*beside));
    bind_at(beside, place, socket)?;
    path(beside.as_bytes())
        .and_then(|beside| rename(&*beside, &*path(place.path.as_bytes())?))
        .map_err(|e| Error::system("unable to put a socket to", e).about(place.path))
}

/// Lets clients connect at `at`.
fn bind_at(at: &OsStr, place: &Place<'_>, socket: &OwnedFd) -> Result<(), Error> {
    let mut bound = bind_with_mode(socket, at, place.mode);
    if bound == Err(Errno::ADDRINUSE) && place.replace && !place.swap {
        give_way(at)?;
        bound = bind_with_mode(socket, at, place.mode);
    }
    let (what, done) = match bound {
        Ok(()) => ("unable to listen on", listen(socket, place.backlog)),
        Err(_) => ("unable to bind to", bound),
    };
    done.map_err(|e| Error::system(what, e).about(at))
}

/// Locks PATH.lock, as s6 does: of two servers that find the same stale socket, one must not
/// remove the other's new one.
fn lock(place: &Place<'_>) -> Result<OwnedFd, Error> {
    let name = [place.path.as_bytes(), b".lock"].concat();
    let name = OsStr::from_bytes(&name);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = path(name.as_bytes())
        .and_then(|name| open(&*name, flags | OFlags::NONBLOCK, mode))
        .map_err(|e| Error::system("unable to bind: cannot open", e).about(name))?;
    let end = millis() + place.patience;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if millis() < end => {
                // It fails if a signal comes: then it is looked at once more, and no harm.
                let _ = poll(&mut [], Some(&timespec(LOOK)));
            }
            Err(Errno::WOULDBLOCK) => return Err(live(place.path)),
            Err(errno) => return Err(Error::system("unable to lock", errno).about(name)),
        }
    }
}

fn live(path: &OsStr) -> Error {
    Error::system("unable to bind: a server is listening at", Errno::ADDRINUSE).about(path)
}

/// Binds with the umask set so that the socket never has another mode than the wanted one.
fn bind_with_mode(socket: &OwnedFd, path: &OsStr, mode: u32) -> Result<(), Errno> {
    let address = address(path.as_bytes())?;
    let before = umask(Mode::from_raw_mode(!mode & 0o777));
    let bound = bind(socket, &address);
    umask(before);
    bound
}

/// Removes a socket that nobody listens at. A live one, and what is no socket, stays.
fn give_way(at: &OsStr) -> Result<(), Error> {
    examine(at)?;
    path(at.as_bytes())
        .and_then(|at| unlink(&*at))
        .map_err(|e| Error::system("unable to remove stale socket", e).about(at))
}

/// Whether what is at `at` may be replaced: a socket that nobody listens at, or nothing.
fn examine(at: &OsStr) -> Result<(), Error> {
    let (what, why) = match path(at.as_bytes()).and_then(|at| lstat(&*at)) {
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => ("unable to examine", errno),
        Ok(there) if FileType::from_raw_mode(there.st_mode) != FileType::Socket => {
            ("unable to bind: what is there is no socket:", Errno::EXIST)
        }
        Ok(_) => {
            let probe = stream(SocketFlags::NONBLOCK).map_err(unable("unable to make a socket"))?;
            match address(at.as_bytes()).and_then(|address| connect(&probe, &address)) {
                Err(Errno::CONNREFUSED) => return Ok(()),
                // Accepted, queue full, or no right to ask: somebody may be listening.
                _ => return Err(live(at)),
            }
        }
    };
    Err(Error::system(what, why).about(at))
}

/// Tells whoever started us that clients will be served: a newline on standard output if
/// `newline`, and READY=1 to NOTIFY_SOCKET. Standard input and output are closed.
pub fn tell_ready(newline: bool) {
    if newline {
        // Nobody reading it is no reason not to serve.
        let _ = rustix::io::write(stdout(), b"\n");
    }
    // Without /dev (early in an initramfs) anything serves that can be neither read nor written.
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let null = open(c"/dev/null", flags, Mode::empty())
        .or_else(|_| open(c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()));
    if let Ok(null) = null {
        let _ = dup2_stdin(&null);
        let _ = dup2_stdout(&null);
    }
    notify();
}

/// sd_notify(3): a datagram to a path, or to an abstract name that begins with `@`.
fn notify() {
    let Some(name) = crate::sys::variable("NOTIFY_SOCKET") else { return };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddrUnix::new_abstract_name(name),
        None => address(name.as_bytes()),
    };
    let (family, kind, flags) = (AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC);
    if let (Ok(address), Ok(socket)) = (address, socket_with(family, kind, flags, None)) {
        let _ = sendto(&socket, b"READY=1\n", SendFlags::NOSIGNAL, &address);
    }
}
