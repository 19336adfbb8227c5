//! Sockets with a path.

use super::access::Peer;
use super::clock::{duration, timespec};
use super::{errno, file};
use nix::libc::{self, SOL_SOCKET};
use nix::sys::socket::sockopt::{PeerCredentials, SetBool};
use nix::sys::socket::{SetSockOpt, getsockopt};
use nssproto::entry::{Gid, Uid};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// The address of a path. (rustix takes any kind of path, with code of its own for each.)
pub fn address(path: &[u8]) -> Result<SocketAddrUnix, Errno> {
    SocketAddrUnix::new(&*file::path(path)?)
}

/// A stream socket, to which no descriptors can be passed; it is closed in programs that are
/// started.
pub fn stream(flags: SocketFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    take_descriptors(&socket, false);
    Ok(socket)
}

/// `SO_PASSRIGHTS` of Linux 6.16, which no library has yet; the number is that of all our boards.
const PASS_RIGHTS: libc::c_int = 83;

/// Whether descriptors can be passed to a socket.
#[derive(Clone)]
struct PassRights;

nix::setsockopt_impl!(PassRights, SOL_SOCKET, PASS_RIGHTS, bool, SetBool);

/// Whether peers can pass descriptors to a socket, and to those that will come in at it. To close one
/// for the last time may take as long as its owner likes, and receiving what it came with closes it.
/// An old kernel lets them in any case.
pub fn take_descriptors(socket: &OwnedFd, take: bool) {
    let _ = PassRights.set(socket, &take);
}

/// A connection to the server that listens at `path`.
pub fn connected(path: &OsStr, flags: SocketFlags) -> Result<OwnedFd, Errno> {
    let address = address(path.as_bytes())?;
    let socket = stream(flags)?;
    connect(&socket, &address)?;
    Ok(socket)
}

/// Who is at the other end of a connection. Not by rustix: its credentials have a process id that is
/// not 0, and 0 is what the kernel tells of a process in another pid namespace.
pub fn peer(socket: impl AsFd) -> Result<Peer, Errno> {
    let peer = getsockopt(&socket, PeerCredentials).map_err(errno::of)?;
    Ok(Peer { uid: Uid(peer.uid()), gid: Gid(peer.gid()) })
}

/// The same, and the number of his process; 0 where it is in another pid namespace.
#[cfg(feature = "sv")]
pub fn peer_process(socket: impl AsFd) -> Result<(Peer, u32), Errno> {
    let peer = getsockopt(&socket, PeerCredentials).map_err(errno::of)?;
    let ids = Peer { uid: Uid(peer.uid()), gid: Gid(peer.gid()) };
    Ok((ids, u32::try_from(peer.pid()).unwrap_or(0)))
}

/// A connection that is made within a time; ETIMEDOUT where the server's queue stays full for so many milliseconds.
pub fn connected_within(path: &OsStr, millis: u32) -> Result<OwnedFd, Errno> {
    let address = address(path.as_bytes())?;
    let socket = stream(SocketFlags::empty())?;
    set_socket_timeout(&socket, Timeout::Send, Some(duration(timespec(millis.into()))))?;
    connect(&socket, &address).map_err(|errno| match errno {
        Errno::AGAIN => Errno::TIMEDOUT,
        errno => errno,
    })?;
    Ok(socket)
}
