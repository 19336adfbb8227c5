//! Who comes in at a listening socket: how many, and of whom.

use super::listener::{Limits, Listener};
use super::log::Log;
use super::schedule::{Queue, UidCounts, gives_way};
use crate::sys::access::Peer;
use crate::sys::socket::{peer, take_descriptors};
use nssproto::entry::Uid;
use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};
use std::os::fd::OwnedFd;

/// Milliseconds until accepting is tried again after descriptors or memory ran out.
pub const PAUSE: u64 = 100;

/// Accepts the clients of a listener, and counts them.
pub struct Acceptor<'a> {
    /// Where they come in.
    pub listener: &'a Listener,
    /// The connections of each user that are served.
    pub uids: UidCounts,
    /// Those of each user that are not yet.
    pub waiting: UidCounts,
    /// Those of them whose request is complete, by row.
    pub queue: Queue,
    /// Connections.
    pub open: u32,
    /// Those that are served.
    pub served: u32,
    /// The event loop is told of those who wait.
    pub accepting: bool,
    /// When to try to accept again; 0: no such pause.
    pub pause_ends: u64,
    /// What is told of them.
    pub log: Log,
    /// Where the last client came from.
    pub address: Option<SocketAddrAny>,
}

/// A client that was admitted.
pub struct Accepted {
    /// His connection.
    pub socket: OwnedFd,
    /// uid and gid; none with `-P`.
    pub peer: Option<Peer>,
    /// His connections, this one included; 0 with `-P`.
    pub count: u32,
}

impl<'a> Acceptor<'a> {
    /// Accepts nobody yet. `rows`: where clients that wait are below that number.
    pub fn new(listener: &'a Listener, log: Log, rows: usize) -> Self {
        let Limits { max, room, .. } = listener.limits;
        log.status(0, max);
        Acceptor {
            uids: UidCounts::new(max),
            waiting: UidCounts::new(if room == 0 { 0 } else { room + 1 }),
            queue: Queue::new(if room == 0 { 0 } else { rows }),
            listener,
            open: 0,
            served: 0,
            accepting: false,
            pause_ends: 0,
            log,
            address: None,
        }
    }

    /// Takes in the next client. `None`: nobody is there, or he was turned away. The error is
    /// one that will not go away by itself at once: most often, out of descriptors or memory.
    pub fn accept(&mut self) -> Result<Option<Accepted>, Errno> {
        // A socket that waits, as programs expect it: what is served here says DONTWAIT each time.
        let socket = match acceptfrom_with(&self.listener.socket, SocketFlags::CLOEXEC) {
            Ok((socket, address)) => {
                self.address = address;
                socket
            }
            // He is gone already, or another process was faster.
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        if self.listener.refuses_late {
            take_descriptors(&socket, false);
        }
        let limits = self.listener.limits;
        let mut client = Accepted { socket, peer: None, count: 0 };
        if limits.credentials {
            let Ok(peer) = peer(&client.socket) else {
                self.log.no_credentials();
                return Ok(None);
            };
            let count = self.uids.count(peer.uid) + self.waiting.count(peer.uid);
            if count >= limits.max_per_uid && limits.room == 0 {
                self.log.deny(peer, count, limits.max_per_uid);
                return Ok(None);
            }
            client.count = count + 1;
            client.peer = Some(peer);
        }
        self.open += 1;
        if limits.room == 0 {
            self.count_served(client.peer.map(|peer| peer.uid));
        } else {
            self.waiting.add(named(client.peer.map(|peer| peer.uid)));
        }
        Ok(Some(client))
    }

    fn count_served(&mut self, uid: Option<Uid>) {
        self.served += 1;
        if let Some(uid) = uid {
            self.uids.add(uid);
        }
    }

    /// A client that waited is served from now on.
    pub fn serve(&mut self, uid: Option<Uid>) {
        self.waiting.remove(named(uid));
        self.count_served(uid);
    }

    /// A client that was served waits again, for what he asks next.
    pub fn rests(&mut self, uid: Option<Uid>) {
        self.waiting.add(named(uid));
        self.served = self.served.saturating_sub(1);
        if let Some(uid) = uid {
            self.uids.remove(uid);
        }
    }

    /// Whether one more of these may be served.
    pub fn may_serve(&self, uid: Option<Uid>) -> bool {
        let Limits { max, max_per_uid, .. } = self.listener.limits;
        self.served < max && self.uids.count(named(uid)) < max_per_uid
    }

    /// The row of the next client to be served, if one may be.
    pub fn next_to_serve(&mut self) -> Option<usize> {
        let Limits { max, max_per_uid, .. } = self.listener.limits;
        if self.served >= max || self.queue.is_empty() {
            return None;
        }
        self.queue.pop_if(|uid| self.uids.count(uid) < max_per_uid)
    }

    /// Whose connection has to give way, now that somebody of `uid` waits.
    pub fn gives_way(&self, uid: Option<Uid>) -> Option<Uid> {
        gives_way(self.listener.limits.room, &self.waiting, self.open - self.served, named(uid))
    }

    /// Whether there are any whose request is not complete.
    pub fn has_incomplete(&self) -> bool {
        (self.open - self.served) as usize > self.queue.len()
    }

    /// Tells of a client that is being served, by the program `pid` if it is one.
    pub fn tell_allowed(&self, peer: Option<Peer>, pid: Option<u32>, count: u32) {
        let limits = self.listener.limits;
        let most = if peer.is_some() { limits.max_per_uid } else { limits.max };
        self.log.allow(peer, pid, count, most);
    }

    /// How many connections there are.
    pub fn tell_status(&self) {
        self.log.status(self.served, self.listener.limits.max);
    }

    /// A client that was served has left.
    pub fn left(&mut self, uid: Option<Uid>) {
        self.open = self.open.saturating_sub(1);
        self.served = self.served.saturating_sub(1);
        if let Some(uid) = uid {
            self.uids.remove(uid);
        }
    }

    /// A client that waited has left.
    pub fn left_waiting(&mut self, uid: Option<Uid>) {
        self.open = self.open.saturating_sub(1);
        self.waiting.remove(named(uid));
    }

    /// Whether nobody else may come in.
    pub fn is_full(&self) -> bool {
        self.has_no_room() || self.open >= self.listener.limits.rows()
    }

    /// Whether more wait than may, and nobody gave way.
    pub fn has_no_room(&self) -> bool {
        let Limits { room, .. } = self.listener.limits;
        room > 0 && self.open - self.served > room
    }
}

/// Where clients take turns by uid, all of whom nothing is known are one.
pub fn named(uid: Option<Uid>) -> Uid {
    uid.unwrap_or(Uid(u32::MAX))
}
