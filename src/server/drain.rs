//! What is read only so that it is not left.

use rustix::net::{RecvFlags, recv};
use std::os::fd::OwnedFd;

/// Most bytes that are read: more than any client of good will sends.
const MOST: usize = 64 * 1024;

/// Reads what a client has sent, and drops it: if it were left, closing the socket would be an
/// error to him, and no end.
pub fn drain(socket: &OwnedFd) {
    let mut room = [0; 1024];
    for _ in 0..MOST / room.len() {
        match recv(socket, &mut room, RecvFlags::DONTWAIT) {
            Ok((_, len)) if len > 0 => {}
            _ => return,
        }
    }
}
