//! The rows of the clients, and how output goes to one.

use super::why;
use crate::backend::switch::Switch;
use crate::server::conversation::Conversation;
use crate::server::ipc::Guest;
use crate::sys::access::Peer;
use crate::sys::clock::NEVER;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use std::os::fd::OwnedFd;

/// A client's row of the table.
pub struct Connection<C: ?Sized> {
    pub socket: OwnedFd,
    pub peer: Option<Peer>,
    /// Tells it from those that had its row before.
    pub serial: u32,
    /// What of the output the client did not take yet: a range of its page.
    pub unsent: (usize, usize),
    /// When its patience or ours ends, in milliseconds of the clock.
    pub deadline: u64,
    /// What epoll tells of it: room for output if set, else input; `None`: nothing yet.
    pub watched: Option<bool>,
    /// Is in the queue of those that were heard, or whose turn was over.
    pub queued: bool,
    /// Is closed when its reply in hand has been sent.
    pub leaving: bool,
    pub conversation: C,
}

/// The connections of a server, all of one protocol. The loop is the same code for each protocol:
/// only their rows differ in size.
pub trait Table {
    /// How many rows there are, free ones among them.
    fn rows(&self) -> usize;

    /// The connection of a row; `None`: the row is free.
    fn at(&mut self, row: usize) -> Option<&mut Connection<dyn Conversation>>;

    /// Gives a guest a free row, or the one behind the last.
    fn seat(&mut self, row: usize, guest: Guest, serial: u32, switch: &Switch);

    /// Frees a row. Its client's socket is closed.
    fn vacate(&mut self, row: usize);
}

impl<C: Conversation + 'static> Table for Vec<Option<Connection<C>>> {
    fn rows(&self) -> usize {
        self.len()
    }

    fn at(&mut self, row: usize) -> Option<&mut Connection<dyn Conversation>> {
        self.get_mut(row)?.as_mut().map(|connection| connection as _)
    }

    fn seat(&mut self, row: usize, guest: Guest, serial: u32, switch: &Switch) {
        let connection = Connection {
            conversation: C::new(guest.asker(), serial, switch),
            socket: guest.socket,
            peer: guest.peer,
            serial,
            unsent: (0, 0),
            deadline: NEVER,
            watched: None,
            queued: false,
            leaving: false,
        };
        if row == self.len() {
            // As many as there may be connections, so there is room.
            self.push(None);
        }
        if let Some(place) = self.get_mut(row) {
            *place = Some(connection);
        }
    }

    fn vacate(&mut self, row: usize) {
        if let Some(place) = self.get_mut(row) {
            *place = None;
        }
    }
}

impl Connection<dyn Conversation> {
    /// Whose it is.
    pub fn uid(&self) -> Option<u32> {
        self.peer.map(|peer| peer.uid.0)
    }

    /// Whether something was put aside.
    pub fn has_unsent(&self) -> bool {
        self.unsent.0 < self.unsent.1
    }

    /// Whether it has no reply in hand, and none to come of what was read.
    pub fn is_idle(&self) -> bool {
        !self.queued && !self.has_unsent() && self.conversation.waits_for_input()
    }

    /// Sends more of what was put aside in `page`.
    pub fn send_unsent(&mut self, page: &[u8]) -> Result<(), &'static str> {
        if !self.has_unsent() {
            return Ok(());
        }
        let bytes = page.get(self.unsent.0..self.unsent.1).unwrap_or_default();
        self.unsent.0 += send_some(&self.socket, bytes)?;
        Ok(())
    }

    /// Sends `bytes`, and puts aside in `page` what the client does not take now.
    pub fn send(&mut self, bytes: &[u8], page: &mut [u8]) -> Result<(), &'static str> {
        let sent = if bytes.is_empty() { 0 } else { send_some(&self.socket, bytes)? };
        let rest = bytes.get(sent..).unwrap_or_default();
        if let Some(room) = page.get_mut(..rest.len()) {
            room.copy_from_slice(rest);
        }
        self.unsent = (0, rest.len());
        Ok(())
    }
}

/// How many of `bytes` the client takes now.
fn send_some(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, &'static str> {
    match send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Ok(len) => Ok(len),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(_) => Err(why::GONE),
    }
}
