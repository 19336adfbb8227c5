//! Clients whose requests only a slow source can answer: they keep their row while they wait at the
//! desk, and while an asker has them. What comes of them is their deadline's matter, as with others.

use super::{ASKERS, Server, watch, why};
use crate::limits::{SLOW_ASKERS, SLOW_REPLY_MILLIS};
use crate::server::conversation::Wait;
use crate::server::ipc::desk::{Desk, Job};
use crate::sys::clock::millis;
use crate::sys::may_alloc;
use crate::sys::program::SELF;
use rustix::event::epoll;
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Milliseconds after its deadline until an asker that has not said anything counts as stuck: one
/// that is stopped, or waits in the kernel for a file system that is gone, closes nothing.
const GRACE: u64 = 250;

/// From now on, the loop is told of an asker that has something to say.
pub(super) fn watch_asker(epoll: &OwnedFd, desk: &Desk, at: usize) -> Result<(), Errno> {
    desk.socket(at).map_or(Ok(()), |socket| watch(epoll, socket, ASKERS + at as u32))
}

/// The same of all that are there.
pub(super) fn watch_askers(epoll: &OwnedFd, desk: &Desk) -> Result<(), Errno> {
    (0..SLOW_ASKERS).try_for_each(|at| watch_asker(epoll, desk, at))
}

impl Server {
    /// Gives a connection to those who may wait for slow sources.
    pub(super) fn hand_over(&mut self, row: usize) {
        let Some(connection) = self.table.at(row) else { return };
        let Some(desk) = &mut self.beside.desk else { return self.close(row, why::FAILED) };
        connection.conversation.leave(self.switch);
        if connection.watched.take().is_some() {
            let _ = epoll::delete(&self.epoll, &connection.socket);
        }
        let patience = connection.conversation.patience(Wait::Turn, self.door.rules.client_millis);
        let deadline = patience.unwrap_or_else(millis);
        connection.deadline = deadline;
        desk.put(row);
        self.note(deadline);
    }

    /// Gives those who wait to askers that are free. Who cannot be helped is done with.
    pub(super) fn assign(&mut self) {
        while let Some(row) = self.beside.desk.as_ref().and_then(|desk| desk.first()) {
            let at = self.free_asker();
            let Some(desk) = &mut self.beside.desk else { return };
            let Some(at) = at else {
                if desk.is_staffed() {
                    return;
                }
                self.close(row, why::FAILED);
                continue;
            };
            let Some(connection) = self.table.at(row) else { return };
            let deadline = connection.deadline;
            let request = connection.conversation.request();
            let (socket, peer) = (&connection.socket, connection.peer);
            // If it has ended, another one may do better.
            if desk.give(at, &Job { socket, peer, deadline, request }) {
                connection.deadline = deadline + GRACE;
            }
        }
    }

    /// An asker that has nothing to do; one is started if there is none.
    fn free_asker(&mut self) -> Option<usize> {
        let desk = self.beside.desk.as_mut()?;
        if let Some(at) = desk.idle() {
            return Some(at);
        }
        let at = desk.vacant()?;
        let epoll = &self.epoll;
        match may_alloc(|| desk.start(at).and_then(|()| watch_asker(epoll, desk, at))) {
            Ok(()) => Some(at),
            Err(errno) => {
                desk.dismiss(at);
                self.door.log.cannot_spawn(SELF.to_bytes(), errno);
                None
            }
        }
    }

    /// An asker has something to say.
    pub(super) fn hear_asker(&mut self, at: usize) {
        let Some(desk) = &mut self.beside.desk else { return };
        match desk.hear(at) {
            Some((row, Some(end))) => self.close(row, end.text()),
            Some((row, None)) => {
                if let Some(connection) = self.table.at(row) {
                    connection.deadline += u64::from(SLOW_REPLY_MILLIS);
                }
            }
            None => {}
        }
    }
}
