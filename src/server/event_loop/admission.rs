//! Who comes in, and who has to wait or to leave for it.

use super::{EventLoop, FIRST_LISTENER, watch, why};
use crate::server::acceptor::{Accepted, PAUSE};
use crate::server::schedule::oldest;
use crate::sys::clock::millis;
use rustix::event::epoll;
use rustix::io::Errno;
use std::os::fd::AsFd;

/// Newcomers that are served together in a crowd: with each one more, a row of the table is in use
/// that would else never be, where clients leave as soon as they are answered.
const TOGETHER: usize = 16;

/// So many events at a time are no crowd: whoever is answered at once, on a processor that he shares
/// with us, may well be back before we look again.
const FEW: usize = 4;

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

    /// Gives those who came in and have asked their turn, before those whose turn was over.
    fn serve_newcomers(&mut self) {
        let newcomers = std::mem::take(&mut self.newcomers).min(self.queue.len());
        self.queue.last_first(newcomers);
        self.serve(newcomers);
    }

    /// Takes in the next who waits; false if there is none, or an error.
    fn accept(&mut self, listener: usize) -> bool {
        let Some(acceptor) = self.acceptors.get_mut(listener).filter(|a| a.accepting) else {
            return false;
        };
        let max_per_uid = acceptor.listener.limits.max_per_uid;
        let more = match acceptor.accept() {
            Ok(Some(mut client)) => {
                if client.count > max_per_uid {
                    // Who came in with him may be answered, and leave.
                    self.serve_newcomers();
                    client.count = self.count(listener, &client);
                }
                if client.count <= max_per_uid || self.oldest_gives_way(listener, &client) {
                    self.begin(listener, client);
                } else {
                    self.turn_away(listener, &client);
                }
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

    /// The connections of a client's uid, as they are now.
    fn count(&self, listener: usize, client: &Accepted) -> u32 {
        let acceptor = self.acceptors.get(listener);
        acceptor.zip(client.peer).map_or(0, |(acceptor, peer)| acceptor.uids.count(peer.uid))
    }

    /// Closes the oldest idle session of a client's uid for him; false if there is none.
    fn oldest_gives_way(&mut self, listener: usize, client: &Accepted) -> bool {
        let uid = client.peer.map(|peer| peer.uid);
        let (rows, now) = (self.sessions.rows(listener), self.sessions.last_serial());
        let idle = rows.filter_map(|row| {
            let (session, conversation) = self.sessions.at(row)?;
            let gives_way = session.uid() == uid && session.is_idle(conversation);
            gives_way.then_some((row, session.serial))
        });
        let Some(row) = oldest(now, idle) else { return false };
        self.close(row, why::GAVE_WAY);
        true
    }

    fn turn_away(&mut self, listener: usize, client: &Accepted) {
        let Some((acceptor, peer)) = self.acceptors.get_mut(listener).zip(client.peer) else {
            return;
        };
        acceptor.log.deny(peer, client.count - 1, acceptor.listener.limits.max_per_uid);
        acceptor.left(Some(peer.uid));
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

    fn begin(&mut self, listener: usize, client: Accepted) {
        let Some(acceptor) = self.acceptors.get_mut(listener) else { return };
        acceptor.tell_allowed(client.peer, None, client.count);
        acceptor.tell_status();
        let Some(row) = self.sessions.begin(listener, client, self.switch) else { return };
        // Most clients have asked by now; one that is answered at once is never waited for.
        self.read(row);
        if self.sessions.session(row).is_some_and(|session| session.queued) {
            self.newcomers += 1;
        }
    }
}
