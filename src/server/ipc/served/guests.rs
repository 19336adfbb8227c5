//! Who comes in, and who has to wait or to leave for it.

use super::{LISTENER, Server, watch, why};
use crate::server::ipc::{Guest, PAUSE};
use crate::sys::access::Peer;
use crate::sys::clock::millis;
use nssproto::entry::{Gid, Uid};
use rustix::event::epoll;
use rustix::io::Errno;
use std::os::fd::AsFd;

/// Guests that are served together in a crowd: with each one more, a row of the table is in use that
/// would else never be, where guests leave as soon as they are answered.
const TOGETHER: usize = 16;

/// So many events at a time are no crowd: whoever is answered at once, on a processor that he shares
/// with us, may well be back before we look again.
const FEW: usize = 4;

impl Server {
    /// Takes in those who wait, at most so many; `events` tells how many had something to say.
    pub(super) fn admit_all(&mut self, most: u32, events: usize) {
        let together = if events > FEW { TOGETHER } else { 1 };
        let mut left = most;
        while left > 0 && self.listening && self.admit() {
            left -= 1;
            if self.guests >= together {
                self.serve_guests();
            }
        }
        self.serve_guests();
    }

    /// Gives those who came in and have asked their turn, before those whose turn was over.
    fn serve_guests(&mut self) {
        let guests = std::mem::take(&mut self.guests).min(self.queue.len());
        for _ in 0..guests {
            if let Some(row) = self.queue.pop_back() {
                self.queue.push_front(row);
            }
        }
        self.serve(guests);
    }

    /// Takes in the next who waits; false if there is none, or an error.
    fn admit(&mut self) -> bool {
        let more = match self.door.admit() {
            Ok(Some(mut guest)) => {
                if guest.count > self.door.rules.max_per_uid {
                    // Who came in with him may be answered, and leave.
                    self.serve_guests();
                    guest.count = guest.peer.map_or(0, |peer| self.door.uids.count(peer.uid.0));
                }
                match self.has_place_for(&guest) {
                    true => self.seat(guest),
                    false => self.turn_away(guest),
                }
                true
            }
            Ok(None) => false,
            Err(errno) => {
                self.door.log.cannot_accept(errno);
                self.pause_ends = millis() + PAUSE;
                self.stop_listening();
                false
            }
        };
        if self.door.is_full() {
            self.stop_listening();
        }
        more
    }

    /// Whether a guest's uid is within its limit, or an older connection of it gave way.
    fn has_place_for(&mut self, guest: &Guest) -> bool {
        if guest.peer.is_none() || guest.count <= self.door.rules.max_per_uid {
            return true;
        }
        let now = self.serial;
        let uid = guest.peer.map(|peer| peer.uid.0);
        let mut oldest = None;
        let mut greatest = 0;
        for row in 0..self.table.rows() {
            let Some(connection) = self.table.at(row) else { continue };
            if connection.uid() == uid && connection.is_idle() {
                // Serial numbers begin again some day: the difference tells the age.
                let age = now.wrapping_sub(connection.serial);
                if age >= greatest {
                    (oldest, greatest) = (Some(row), age);
                }
            }
        }
        match oldest {
            Some(row) => {
                self.close(row, why::GAVE_WAY);
                true
            }
            None => false,
        }
    }

    fn turn_away(&mut self, guest: Guest) {
        if let Some(Peer { uid: Uid(uid), gid: Gid(gid) }) = guest.peer {
            self.door.log.deny(uid, gid, guest.count - 1, self.door.rules.max_per_uid);
            self.door.leave(Some(uid));
        }
    }

    pub(super) fn stop_listening(&mut self) {
        if self.listening && epoll::delete(&self.epoll, self.door.listener).is_ok() {
            self.listening = false;
        }
    }

    pub(super) fn listen_again(&mut self) -> Result<(), Errno> {
        if self.listening || self.ending || self.door.is_full() {
            return Ok(());
        }
        if self.pause_ends != 0 && self.pause_ends > millis() {
            return Ok(());
        }
        self.pause_ends = 0;
        self.listening = true;
        watch(&self.epoll, self.door.listener.as_fd(), LISTENER)
    }

    fn seat(&mut self, guest: Guest) {
        self.serial = self.serial.wrapping_add(1);
        let row = self.free.pop().unwrap_or(self.table.rows());
        let rules = self.door.rules;
        let most = if guest.peer.is_some() { rules.max_per_uid } else { rules.max };
        self.door.log.allow(guest.peer, None, guest.count, most);
        self.door.log.status(self.door.open);
        self.table.seat(row, guest, self.serial, self.switch);
        // Most clients have asked by now; one that is answered at once is never waited for.
        self.read(row);
        if self.table.at(row).is_some_and(|connection| connection.queued) {
            self.guests += 1;
        }
    }
}
