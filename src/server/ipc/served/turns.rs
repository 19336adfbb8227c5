//! One connection's turn: what its client sent is served, and what he does not take is put aside.

use super::{Server, take_out, why};
use crate::limits::{REPLY_PIECE, TURN};
use crate::server::conversation::{Need, Wait};
use crate::server::drain::drain;
use crate::sys::clock::{NEVER, millis};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
#[cfg(feature = "nscd")]
use rustix::net::{Shutdown, shutdown};

impl Server {
    pub(super) fn heard(&mut self, event: u64, flags: epoll::EventFlags) {
        let row = (event & 0xffff_ffff) as usize;
        let Some(connection) = self.table.at(row) else { return };
        if token(row, connection.serial) != event {
            return;
        }
        if flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
            // Closed on both sides: there is nobody to answer.
            return self.close(row, why::GONE);
        }
        if connection.queued {
            return;
        }
        match connection.has_unsent() {
            true => self.enqueue(row),
            false => self.read(row),
        }
    }

    /// Takes what a client has sent. It is served with the others that were heard: see
    /// [`Switch::begin_batch`](crate::backend::switch::Switch::begin_batch).
    pub(super) fn read(&mut self, row: usize) {
        let Some(connection) = self.table.at(row) else { return };
        match recv(&connection.socket, connection.conversation.room(), RecvFlags::DONTWAIT) {
            Ok((_, 0)) => self.close(row, why::DONE),
            Ok((_, len)) => {
                connection.conversation.filled(len);
                self.enqueue(row);
            }
            Err(Errno::AGAIN | Errno::INTR) => self.wait(row, false),
            Err(_) => self.close(row, why::GONE),
        }
    }

    fn enqueue(&mut self, row: usize) {
        if let Some(connection) = self.table.at(row) {
            connection.queued = true;
            self.queue.push_back(row);
        }
    }

    /// Gives so many of those that are queued their turn.
    pub(super) fn serve(&mut self, rows: usize) {
        self.switch.begin_batch();
        for _ in 0..rows {
            if let Some(row) = self.queue.pop_front() {
                if let Some(connection) = self.table.at(row) {
                    connection.queued = false;
                    self.go_on(row);
                }
            }
        }
    }

    /// Serves a connection until it has to wait or its turn is over.
    fn go_on(&mut self, row: usize) {
        let mut turn = TURN;
        loop {
            let Some(connection) = self.table.at(row) else { return };
            let from = row * REPLY_PIECE;
            let page = self.pages.get_mut(from..from + REPLY_PIECE).unwrap_or_default();
            if let Err(why) = connection.send_unsent(page) {
                return self.close(row, why);
            }
            if connection.has_unsent() {
                return self.wait(row, true);
            }
            let need = connection.conversation.go_on(self.switch, &mut self.out, turn);
            turn = connection.conversation.turn_left();
            let sent = connection.send(self.out.pending(), page);
            self.out.clear();
            if let Err(why) = sent {
                return self.close(row, why);
            }
            match need {
                Need::Close(_) if connection.has_unsent() => {}
                Need::Close(end) => return self.close(row, end.text()),
                Need::Elsewhere => return self.hand_over(row),
                Need::Flush if turn > 0 => {}
                Need::Turn | Need::Flush => {
                    self.enqueue(row);
                    return self.await_turn(row);
                }
                Need::Input if connection.leaving => return self.close(row, why::ENDING),
                Need::Input => return self.wait(row, false),
            }
        }
    }

    /// What may block is never run here: ipcserver starts a process for each client then.
    #[cfg(not(feature = "nscd"))]
    fn hand_over(&mut self, row: usize) {
        self.close(row, why::FAILED);
    }

    /// Sets the deadline of one that waits for its turn.
    fn await_turn(&mut self, row: usize) {
        let millis = self.door.rules.client_millis;
        let Some(connection) = self.table.at(row) else { return };
        let until = connection.conversation.patience(Wait::Turn, millis).unwrap_or(NEVER);
        connection.deadline = until;
        self.note(until);
    }

    /// Deadlines are looked at when the earliest has passed.
    pub(super) fn note(&mut self, deadline: u64) {
        self.next_deadline = self.next_deadline.min(deadline);
    }

    /// Lets the connection wait, for room to write if `blocked`, else for input.
    fn wait(&mut self, row: usize, blocked: bool) {
        let Some(connection) = self.table.at(row) else { return };
        let wait = if blocked { Wait::Output } else { Wait::Input };
        let patience = connection.conversation.patience(wait, self.door.rules.client_millis);
        let deadline = patience.unwrap_or(NEVER);
        connection.deadline = deadline;
        let before = connection.watched.replace(blocked);
        let events = if blocked { epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        let data = epoll::EventData::new_u64(token(row, connection.serial));
        let watched = match before {
            Some(same) if same == blocked => Ok(()),
            Some(_) => epoll::modify(&self.epoll, &connection.socket, data, events),
            None => epoll::add(&self.epoll, &connection.socket, data, events),
        };
        self.note(deadline);
        if watched.is_err() {
            self.close(row, why::GONE);
        }
    }

    pub(super) fn close_late(&mut self) {
        let now = millis();
        let mut next = NEVER;
        for row in 0..self.table.rows() {
            let Some(connection) = self.table.at(row) else { continue };
            if connection.deadline <= now {
                self.is_late(row);
            }
            next = next.min(self.table.at(row).map_or(NEVER, |connection| connection.deadline));
        }
        self.next_deadline = next;
    }

    /// Closes a connection whose deadline has passed, unless its client takes more now: the kernel
    /// tells of room only when three quarters of the socket's buffer are free, which is too late
    /// to call a slow reader one that does not read.
    fn is_late(&mut self, row: usize) {
        let Some(connection) = self.table.at(row) else { return };
        let from = row * REPLY_PIECE;
        let page = self.pages.get(from..from + REPLY_PIECE).unwrap_or_default();
        let before = connection.unsent.0;
        match connection.send_unsent(page) {
            Ok(()) if connection.unsent.0 > before => self.go_on(row),
            _ => self.close(row, why::LATE),
        }
    }

    pub(super) fn close(&mut self, row: usize, why: &str) {
        // Closing the socket takes it out of the epoll set: it was never duplicated.
        let Some(connection) = self.table.at(row) else { return };
        if connection.conversation.drains() {
            drain(&connection.socket);
        }
        connection.conversation.leave(self.switch);
        #[cfg(feature = "nscd")]
        let why = if self.beside.desk.as_mut().is_some_and(|desk| desk.forget(row)) {
            // An asker that is stuck has the connection as well: closing it here would tell nothing.
            let _ = shutdown(&connection.socket, Shutdown::Both);
            why::FAILED
        } else {
            why
        };
        if connection.queued {
            take_out(&mut self.queue, row);
        }
        let uid = connection.uid();
        self.table.vacate(row);
        self.free.push(row);
        self.leave(uid, why);
    }

    /// A client has left.
    pub(super) fn leave(&mut self, uid: Option<u32>, why: &str) {
        self.door.leave(uid);
        self.door.log.left(uid, why);
        self.door.log.status(self.door.open);
    }
}

/// What epoll gives back for a connection: its row, and its serial number above.
fn token(row: usize, serial: u32) -> u64 {
    u64::from(serial) << 32 | (row as u64 & 0xffff_ffff)
}
