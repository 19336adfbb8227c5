//! Bytes to and from descriptors: the loops that go on where a call did a part of it.

use super::clock::{millis, timespec};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, write};
use rustix::net::sockopt::socket_send_buffer_size;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::os::fd::{AsFd, OwnedFd};

/// Most bytes that [`drain`] reads: more than any client of good will sends.
const DRAINED: usize = 64 * 1024;

/// How many of `bytes` the peer takes now, without waiting: none if there is no room.
pub fn send_some(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    match send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        sent => sent,
    }
}

/// Whether the peer takes more now: less than a quarter of what fits is waiting for it.
pub fn takes_more(socket: &OwnedFd) -> bool {
    !matches!(wait_for(socket, PollFlags::OUT, Some(0)), Ok(false))
}

/// Whether the peer takes so many bytes now, all of them: see unix_writable() and
/// unix_stream_sendmsg() in Linux's net/unix/af_unix.c.
pub fn takes(socket: &OwnedFd, bytes: usize) -> bool {
    socket_send_buffer_size(socket).is_ok_and(|size| size / 4 >= bytes) && takes_more(socket)
}

/// Sends all of `bytes` until `deadline`, in milliseconds of the clock; ETIMEDOUT if it has passed.
pub fn send_all(socket: &OwnedFd, mut bytes: &[u8], deadline: u64) -> Result<(), Errno> {
    let mut late = false;
    while !bytes.is_empty() {
        let len = send_some(socket, bytes)?;
        if len > 0 {
            (bytes, late) = (bytes.get(len..).unwrap_or_default(), false);
            continue;
        }
        if late {
            return Err(Errno::TIMEDOUT);
        }
        // The kernel tells of room only when three quarters of the buffer are free: one more try
        // tells a peer that reads slowly from one that does not.
        late = !wait_for(socket, PollFlags::OUT, Some(deadline.saturating_sub(millis())))?;
    }
    Ok(())
}

/// Writes all of `bytes` to what may not wait by itself; `millis` for each piece, `None`: for ever.
/// ETIMEDOUT if they have passed.
pub fn write_all(to: impl AsFd, mut bytes: &[u8], millis: Option<u32>) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(&to, bytes) {
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                if !wait_for(&to, PollFlags::OUT, millis.map(u64::from))? {
                    return Err(Errno::TIMEDOUT);
                }
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Waits at most so many milliseconds for events, or an error; false if they have passed. A signal
/// ends it early, as an event does.
pub fn wait_for(fd: impl AsFd, events: PollFlags, millis: Option<u64>) -> Result<bool, Errno> {
    match poll(&mut [PollFd::new(&fd, events)], millis.map(timespec).as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(true),
        Err(errno) => Err(errno),
    }
}

/// Reads what a client has sent, and drops it: if it were left, closing the socket would be an
/// error to him, and no end.
pub fn drain(socket: &OwnedFd) {
    let mut room = [0; 1024];
    for _ in 0..DRAINED / room.len() {
        match recv(socket, &mut room, RecvFlags::DONTWAIT) {
            Ok((_, len)) if len > 0 => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::io::Read as _;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn a_peer_that_does_not_read_costs_the_deadline_and_no_more() {
        let (ours, _theirs) = pair();
        let before = millis();
        let sent = send_all(&ours, &vec![b'x'; 1 << 22], before + 30);
        assert_eq!(sent, Err(Errno::TIMEDOUT));
        assert!(millis() - before < 5000);
        assert_eq!(send_some(&ours, b"x"), Ok(0));
    }

    #[test]
    fn all_of_it_is_sent() {
        let (ours, theirs) = pair();
        let text: Vec<u8> = (0..1 << 20).map(|n| (n % 251) as u8).collect();
        let sent = text.clone();
        let sender = std::thread::spawn(move || send_all(&ours, &sent, millis() + 10_000));
        let mut got = Vec::new();
        std::fs::File::from(theirs).read_to_end(&mut got).unwrap();
        assert!(got == text && sender.join().unwrap() == Ok(()));
    }

    #[test]
    fn what_was_sent_is_drained_without_waiting() {
        let (ours, theirs) = pair();
        assert_eq!(send_some(&ours, &[b'x'; 5000]), Ok(5000));
        drain(&theirs);
        assert_eq!(recv(&theirs, &mut [0; 1], RecvFlags::DONTWAIT).err(), Some(Errno::AGAIN));
    }
}
