//! Who comes in, who is served, and who has to wait or to leave for it.
//!
//! At a listener with a room all are let in, and what they ask is read at once. Whose request is
//! complete waits in the queue of his uid until `-c` and `-C` let him be served.

use super::{EventLoop, FIRST_LISTENER, watch, why};
use crate::limits::SMALL_ROOM;
use crate::server::acceptor::{Accepted, PAUSE, named};
use crate::server::conversation::Wait;
use crate::server::schedule::oldest;
use crate::server::session::Phase;
use crate::sys::clock::{NEVER, millis};
use nssproto::entry::Uid;
use rustix::event::epoll;
use rustix::io::Errno;
use std::os::fd::AsFd;

/// Newcomers that are served together in a crowd: with each one more, a row of the table is in use
/// that would else never be, where clients leave as soon as they are answered.
const TOGETHER: usize = 16;

/// So many events at a time are no crowd: whoever is answered at once, on a processor that he shares
/// with us, may well be back before we look again.
pub(super) const FEW: usize = 4;

/// Milliseconds from a client's connect until his request is late, where there is little room.
const ABOUT_TO_ASK: u64 = 100;

impl EventLoop<'_> {
    /// Takes in those who wait at a listener, at most so many; `events` tells how many had something
    /// to say.
    pub(super) fn accept_all(&mut self, listener: usize, most: u32, events: usize) {
        let together = if events > FEW { TOGETHER } else { 1 };
        let mut left = most;
        while left > 0 && self.accept(listener) {
            left -= 1;
            if self.newcomers >= together {
                self.serve_newcomers();
            }
        }
        self.serve_newcomers();
    }

    /// Serves those who came in and have asked, if nobody else has something to do: those have their
    /// turns first, of each uid one.
    fn serve_newcomers(&mut self) {
        let newcomers = std::mem::take(&mut self.newcomers);
        if newcomers >= self.queue.len() {
            self.serve(newcomers);
        }
    }

    /// Takes in the next who waits; false if there is none, or an error.
    fn accept(&mut self, listener: usize) -> bool {
        let Some(acceptor) = self.acceptors.get_mut(listener).filter(|a| a.accepting) else {
            return false;
        };
        let more = match acceptor.accept() {
            Ok(Some(client)) => {
                self.begin(listener, client);
                true
            }
            Ok(None) => false,
            Err(errno) => {
                acceptor.log.cannot_accept(errno);
                acceptor.pause_ends = millis() + PAUSE;
                self.stop_accepting(listener);
                false
            }
        };
        if self.acceptors.get(listener).is_some_and(|acceptor| acceptor.is_full()) {
            self.stop_accepting(listener);
        }
        more
    }

    fn begin(&mut self, listener: usize, client: Accepted) {
        let Some(acceptor) = self.acceptors.get_mut(listener) else { return };
        let has_room = acceptor.listener.limits.room > 0;
        let phase = if has_room { Phase::Reading } else { Phase::Served };
        let uid = client.peer.map(|peer| peer.uid);
        acceptor.tell_allowed(client.peer, None, client.count);
        acceptor.tell_status();
        let Some(row) = self.sessions.begin(listener, client, phase, self.switch) else { return };
        // Most clients have asked by now; one that is answered at once is never waited for.
        self.read(row);
        if self.sessions.session(row).is_some_and(|session| session.queued) {
            self.newcomers += 1;
        } else if has_room {
            self.make_room(listener, uid);
        }
    }

    /// A client's request is complete: he is served, now or when it is his turn.
    pub(super) fn wait_to_be_served(&mut self, row: usize) {
        let listener = self.sessions.listener_of(row);
        let Some(acceptor) = self.acceptors.get_mut(listener) else { return };
        let Some(session) = self.sessions.session(row) else { return };
        // Whose place is free, and who is the only one, need not be put in the queue first.
        let at_once = acceptor.queue.is_empty() && acceptor.may_serve(session.uid());
        if at_once {
            acceptor.serve(session.uid());
            session.phase = Phase::Served;
        } else {
            session.phase = Phase::Waiting;
            acceptor.queue.push(row, named(session.uid()));
        }
        // More of what he sent is of no interest before that.
        if session.watched.take().is_some() {
            let _ = epoll::delete(&self.epoll.0, &session.socket);
        }
        self.set_deadline(row, Wait::Turn);
        if at_once {
            self.enqueue(row);
        } else {
            self.serve_waiting(listener);
        }
    }

    /// Lets those be served who wait for that, as many as may be.
    pub(super) fn serve_waiting(&mut self, listener: usize) {
        while let Some(acceptor) = self.acceptors.get_mut(listener) {
            let Some(row) = acceptor.next_to_serve() else { return };
            let Some(session) = self.sessions.session(row) else { return };
            acceptor.serve(session.uid());
            session.phase = Phase::Served;
            self.enqueue(row);
        }
    }

    /// Closes connections of those who have more than their part of the room, now that somebody of
    /// `uid` is in it: the oldest whose request is not complete, else the newest.
    fn make_room(&mut self, listener: usize, uid: Option<Uid>) {
        while let Some(acceptor) = self.acceptors.get(listener) {
            let Some(owner) = acceptor.gives_way(uid) else { return };
            let is_small = acceptor.listener.limits.room < SMALL_ROOM;
            let newest = acceptor.queue.last_of(owner).filter(|_| !is_small);
            let has_incomplete = acceptor.has_incomplete();
            let incomplete =
                if has_incomplete { self.oldest_incomplete(listener, owner) } else { None };
            let Some(row) = incomplete.or(newest) else {
                // Until then nobody is accepted: see `accept_again`.
                self.next_deadline = self.next_deadline.min(millis() + ABOUT_TO_ASK);
                return;
            };
            self.close(row, why::GAVE_WAY);
        }
    }

    fn oldest_incomplete(&mut self, listener: usize, owner: Uid) -> Option<usize> {
        let limits = self.acceptors.get(listener)?.listener.limits;
        // In a small room not whom it was only a moment ago that he came: he is about to ask.
        let late = match limits.room < SMALL_ROOM {
            true => millis() + u64::from(limits.patience.client_millis) - ABOUT_TO_ASK,
            false => NEVER,
        };
        let (rows, now) = (self.sessions.rows(listener), self.sessions.last_serial());
        oldest(
            now,
            rows.filter_map(|row| {
                let session = self.sessions.session(row)?;
                let gives_way = session.phase == Phase::Reading
                    && named(session.uid()) == owner
                    && session.deadline <= late;
                gives_way.then_some((row, session.serial))
            }),
        )
    }

    pub(super) fn stop_accepting_all(&mut self) {
        (0..self.acceptors.len()).for_each(|listener| self.stop_accepting(listener));
    }

    fn stop_accepting(&mut self, listener: usize) {
        let Some(acceptor) = self.acceptors.get_mut(listener).filter(|a| a.accepting) else {
            return;
        };
        if epoll::delete(&self.epoll.0, &acceptor.listener.socket).is_ok() {
            acceptor.accepting = false;
        }
    }

    /// Accepts clients if there is nothing against it.
    pub(super) fn accept_again(&mut self, listener: usize) -> Result<(), Errno> {
        if self.acceptors.get(listener).is_some_and(|a| !a.accepting && a.has_no_room()) {
            self.make_room(listener, None);
        }
        let Some(acceptor) = self.acceptors.get_mut(listener) else { return Ok(()) };
        if acceptor.accepting || self.ending || acceptor.is_full() {
            return Ok(());
        }
        if acceptor.pause_ends != 0 && acceptor.pause_ends > millis() {
            return Ok(());
        }
        acceptor.pause_ends = 0;
        acceptor.accepting = true;
        watch(&self.epoll, acceptor.listener.socket.as_fd(), FIRST_LISTENER + listener as u32)
    }
}
