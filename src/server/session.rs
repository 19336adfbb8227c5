//! The clients that are being served: a table for each listener, of as many rows as it may have
//! connections. A row is memory once it is used.

use super::acceptor::Accepted;
use super::conversation::{Conversation, Conversations, Protocol};
use crate::backend::switch::Switch;
use crate::sys::access::{Peer, Rights};
use crate::sys::clock::NEVER;
use crate::sys::stream::send_some;
use nssproto::entry::Uid;
use rustix::io::Errno;
use std::ops::Range;
use std::os::fd::OwnedFd;

/// One client's connection, without its conversation.
pub struct Session {
    /// Its connection.
    pub socket: OwnedFd,
    /// Who it is, if that is known.
    pub peer: Option<Peer>,
    /// Tells it from those that had its row before.
    pub serial: u32,
    /// What of the output the client did not take yet: a range of its page. (Small numbers, since
    /// there is a row for each client that is idle.)
    unsent: (u16, u16),
    /// When its patience or ours ends, in milliseconds of the clock.
    pub deadline: u64,
    /// What epoll tells of it: room for output if set, else input; `None`: nothing.
    pub watched: Option<bool>,
    /// Is in the queue of those that have something to do.
    pub queued: bool,
    /// No worker could answer its request.
    pub unanswered: bool,
    /// What others found who asked the same does not do for it.
    pub alone: bool,
    /// Is closed when its reply in hand has been sent.
    pub leaving: bool,
    /// Something of a request has come.
    pub asked: bool,
    /// How far it has come.
    pub phase: Phase,
}

/// How far a connection has come, where there is a room in which it may have to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its request is not complete.
    Reading,
    /// It has asked, and is not served yet.
    Waiting,
    /// It is served.
    Served,
}

impl Session {
    /// Whose it is.
    pub fn uid(&self) -> Option<Uid> {
        self.peer.map(|peer| peer.uid)
    }

    /// Whether something was put aside.
    pub fn has_unsent(&self) -> bool {
        self.unsent.0 < self.unsent.1
    }

    /// Whether it has no reply in hand, and none to come of what was read.
    pub fn is_idle(&self, conversation: &dyn Conversation) -> bool {
        let busy = self.queued || self.has_unsent() || self.phase == Phase::Waiting;
        !busy && conversation.waits_for_input()
    }

    /// Sends more of what was put aside in `page`; how much. An error: the client is gone.
    pub fn send_unsent(&mut self, page: &[u8]) -> Result<usize, Errno> {
        if !self.has_unsent() {
            return Ok(0);
        }
        let (from, to) = self.unsent;
        let bytes = page.get(from.into()..to.into()).unwrap_or_default();
        let sent = send_some(&self.socket, bytes)?;
        self.unsent.0 += sent as u16;
        Ok(sent)
    }

    /// Sends `bytes`, and puts aside in `page` what the client does not take now, at most a page:
    /// see [`takes`](crate::sys::stream::takes).
    pub fn send(&mut self, bytes: &[u8], page: &mut [u8]) -> Result<(), Errno> {
        let sent = if bytes.is_empty() { 0 } else { send_some(&self.socket, bytes)? };
        let rest = bytes.get(sent..).unwrap_or_default();
        // Where the kernel had no memory for what it had room for.
        page.get_mut(..rest.len()).ok_or(Errno::NOBUFS)?.copy_from_slice(rest);
        self.unsent = (0, rest.len() as u16);
        Ok(())
    }
}

/// The sessions of all listeners. Their rows are numbered through.
#[derive(Default)]
pub struct Sessions {
    tables: Vec<Table>,
    serial: u32,
}

/// The sessions of one listener.
struct Table {
    /// The number of its first row, and that behind its last.
    first: usize,
    end: usize,
    /// What is spoken.
    protocol: Protocol,
    /// The backends that are asked for them, by their places in the switch.
    sources: Range<usize>,
    rows: Vec<Row>,
    conversations: Box<dyn Conversations>,
    /// The free row that is taken next, plus 1; 0: one that was never used.
    free: u32,
}

/// A row that was used once.
enum Row {
    Used(Session),
    /// What is free behind it, as in [`Table::free`].
    Free(u32),
}

impl Row {
    fn session(&mut self) -> Option<&mut Session> {
        match self {
            Row::Used(session) => Some(session),
            Row::Free(_) => None,
        }
    }
}

impl Sessions {
    /// Rows for so many sessions of a protocol, asking these backends, for one more listener.
    pub fn add_listener(&mut self, protocol: Protocol, sources: Range<usize>, max: u32) {
        let (first, max) = (self.max(), max as usize);
        self.tables.push(Table {
            first,
            end: first + max,
            protocol,
            sources,
            rows: Vec::with_capacity(max),
            conversations: protocol.conversations(max),
            free: 0,
        });
    }

    /// How many there may be.
    pub fn max(&self) -> usize {
        self.tables.last().map_or(0, |table| table.end)
    }

    /// The rows of a listener that were ever used; others are free.
    pub fn rows(&self, listener: usize) -> Range<usize> {
        self.tables.get(listener).map_or(0..0, |table| table.first..table.first + table.rows.len())
    }

    /// The listener of a row.
    pub fn listener_of(&self, row: usize) -> usize {
        self.tables.iter().position(|table| row < table.end).unwrap_or_default()
    }

    /// What is spoken in a row, and the backends that are asked for it.
    pub fn asked_by(&self, row: usize) -> Option<(Protocol, Range<usize>)> {
        let table = self.tables.get(self.listener_of(row))?;
        Some((table.protocol, table.sources.clone()))
    }

    /// The session of a row, and its conversation; `None`: the row is free.
    pub fn at(&mut self, row: usize) -> Option<(&mut Session, &mut dyn Conversation)> {
        let (table, at) = self.table(row)?;
        Some((table.rows.get_mut(at)?.session()?, table.conversations.at(at)?))
    }

    fn table(&mut self, row: usize) -> Option<(&mut Table, usize)> {
        let table = self.tables.iter_mut().find(|table| row < table.end)?;
        let at = row.checked_sub(table.first)?;
        Some((table, at))
    }

    /// The session of a row.
    pub fn session(&mut self, row: usize) -> Option<&mut Session> {
        let (table, at) = self.table(row)?;
        table.rows.get_mut(at)?.session()
    }

    /// Gives a client of a listener a row; its listener admits no more than there are. `None`: there
    /// is none.
    pub fn begin(
        &mut self,
        listener: usize,
        client: Accepted,
        phase: Phase,
        switch: &Switch,
    ) -> Option<usize> {
        let table = self.tables.get_mut(listener)?;
        self.serial = self.serial.wrapping_add(1);
        let at = table.free.checked_sub(1).map_or(table.rows.len(), |at| at as usize);
        let session = Session {
            socket: client.socket,
            peer: client.peer,
            serial: self.serial,
            unsent: (0, 0),
            deadline: NEVER,
            watched: None,
            queued: false,
            unanswered: false,
            alone: false,
            leaving: false,
            asked: false,
            phase,
        };
        let mut client = switch.new_client(Rights::of(client.peer), self.serial);
        client.limit_to(table.sources.clone());
        table.conversations.begin(at, client);
        match table.rows.get_mut(at) {
            Some(row) => match std::mem::replace(row, Row::Used(session)) {
                Row::Free(next) => table.free = next,
                Row::Used(_) => return None,
            },
            None => table.rows.push(Row::Used(session)),
        }
        Some(table.first + at)
    }

    /// Frees a row. Its client's socket is closed.
    pub fn end(&mut self, row: usize) {
        let Some((table, at)) = self.table(row) else { return };
        if let Some(row @ Row::Used(_)) = table.rows.get_mut(at) {
            *row = Row::Free(table.free);
            table.free = at as u32 + 1;
            table.conversations.end(at);
        }
    }

    /// The serial number that was given last.
    pub fn last_serial(&self) -> u32 {
        self.serial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_row_is_as_small_as_one_in_use() {
        assert_eq!(size_of::<Row>(), size_of::<Session>());
    }
}
