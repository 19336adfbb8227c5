//! Descriptors that come from other processes.

use super::errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nssproto::bytes::{DECIMAL_MAX, decimal_u32, decimal_u64, write_decimal};
use rustix::io::{Errno, FdFlags, IoSliceMut, fcntl_dupfd_cloexec, fcntl_setfd, retry_on_intr};
use rustix::net::sockopt::socket_acceptconn;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recvmsg, socketpair};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage};
#[cfg(feature = "share")]
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::getpid;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

/// What tells of sockets from the supervisor; for us, and not for what we start.
pub const VARIABLES: [&str; 3] = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// The number of the first one, by the protocol.
const FIRST: RawFd = 3;

/// A socket that the supervisor passed.
pub struct Passed {
    /// What it calls it; empty: nothing.
    pub name: Vec<u8>,
    /// The socket.
    pub socket: OwnedFd,
}

/// The descriptors that the supervisor passed, as sd_listen_fds_with_names(3) has them: the first one,
/// and of the others those that listen. The error: there is no first one.
pub fn from_supervisor() -> Result<Vec<Passed>, Errno> {
    let text = |name| std::env::var_os(name).unwrap_or_default();
    let count = decimal_u64(text("LISTEN_FDS").as_bytes()).unwrap_or(0);
    let pid = text("LISTEN_PID");
    let ours = decimal_u32(pid.as_bytes()) == Some(getpid().as_raw_nonzero().get().unsigned_abs());
    let mut all = Vec::new();
    if !(pid.is_empty() || ours) {
        return Ok(all);
    }
    let names = text("LISTEN_FDNAMES");
    let mut names = names.as_bytes().split(|byte| *byte == b':');
    for number in (FIRST..).take(count.min(1 << 20) as usize) {
        let name = names.next().unwrap_or_default().to_vec();
        match copy(number) {
            Err(errno) if number == FIRST => return Err(errno),
            Err(_) => break,
            // Programs that are started have no use for it. Nothing of ours listens yet.
            Ok(socket) if number == FIRST || socket_acceptconn(&socket) == Ok(true) => {
                let _ = nix::unistd::close(number);
                all.push(Passed { name, socket });
            }
            Ok(_) => {}
        }
    }
    Ok(all)
}

/// Gives sockets the numbers that a supervisor gives them, for the program that this process becomes;
/// what [`VARIABLES`] are there.
pub fn pass(sockets: &[(&str, BorrowedFd<'_>)]) -> Result<[Vec<u8>; 3], Errno> {
    let above = FIRST + sockets.len() as RawFd;
    let (mut aside, mut names) = (Vec::new(), Vec::new());
    for (name, socket) in sockets {
        // Out of the way of those numbers, which others may have, or they themselves in another order.
        aside.push(fcntl_dupfd_cloexec(socket, above)?);
        names.extend_from_slice(name.as_bytes());
        names.push(b':');
    }
    names.pop();
    for number in FIRST..above {
        // Nobody may have it.
        let _ = nix::unistd::close(number);
    }
    for socket in aside {
        let passed = fcntl_dupfd_cloexec(&socket, FIRST)?;
        fcntl_setfd(&passed, FdFlags::empty())?;
        // It is the program's.
        let _ = passed.into_raw_fd();
    }
    let pid = getpid().as_raw_nonzero().get().unsigned_abs();
    let text = |number| write_decimal(number, &mut [0; DECIMAL_MAX]).to_vec();
    Ok([text(sockets.len() as u64), text(pid.into()), names])
}

/// A copy of an open descriptor, by its number. There is no safe call for that; but what a process
/// sends to itself it owns.
fn copy(number: RawFd) -> Result<OwnedFd, Errno> {
    let (from, to) =
        socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let (word, rights) = ([IoSlice::new(&[0])], [number]);
    let rights = [ControlMessage::ScmRights(&rights)];
    sendmsg::<()>(from.as_raw_fd(), &word, &rights, MsgFlags::empty(), None).map_err(errno::of)?;
    receive(to.as_fd(), &mut [0])?.1.ok_or(Errno::BADF)
}

/// Sends bytes, whole, and a descriptor beside them, without waiting.
#[cfg(feature = "share")]
pub fn send_with(socket: &OwnedFd, bytes: &[u8], passed: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let passed = [passed];
    control.push(SendAncillaryMessage::ScmRights(&passed));
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = retry_on_intr(|| {
        rustix::net::sendmsg(socket, &[rustix::io::IoSlice::new(bytes)], &mut control, flags)
    })?;
    if sent == bytes.len() { Ok(()) } else { Err(Errno::AGAIN) }
}

/// The next message on a socket and the descriptor that it brings; 0 bytes: there will be none.
pub fn receive(
    socket: BorrowedFd<'_>,
    message: &mut [u8],
) -> Result<(usize, Option<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let got =
        retry_on_intr(|| recvmsg(socket, &mut [IoSliceMut::new(message)], &mut control, flags))?;
    let passed = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut passed) => passed.next(),
        _ => None,
    });
    Ok((got.bytes, passed))
}
