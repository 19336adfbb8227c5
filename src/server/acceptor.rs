//! Who comes in at a listening socket: how many, and of whom.

use super::listener::Listener;
use super::log::Log;
use super::schedule::UidCounts;
use crate::sys::access::Peer;
use crate::sys::socket::take_descriptors;
use nssproto::entry::Uid;
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};
use std::os::fd::{AsFd, OwnedFd};

/// Milliseconds until accepting is tried again after descriptors or memory ran out.
pub const PAUSE: u64 = 100;

/// Accepts the clients of a listener, and counts them.
pub struct Acceptor {
    /// Where they come in.
    pub listener: Listener,
    /// The connections of each user.
    pub uids: UidCounts,
    /// Connections.
    pub open: u32,
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

impl Acceptor {
    /// Accepts nobody yet.
    pub fn new(listener: Listener, log: Log) -> Self {
        log.status(0, listener.limits.max);
        Acceptor {
            uids: UidCounts::new(listener.limits.max),
            listener,
            open: 0,
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
            let Ok(credentials) = socket_peercred(client.socket.as_fd()) else {
                self.log.no_credentials();
                return Ok(None);
            };
            let peer = Peer::of(credentials.uid, credentials.gid);
            let count = self.uids.count(peer.uid);
            if count >= limits.max_per_uid && !limits.oldest_gives_way {
                self.log.deny(peer, count, limits.max_per_uid);
                return Ok(None);
            }
            client.count = self.uids.add(peer.uid);
            client.peer = Some(peer);
        }
        self.open += 1;
        Ok(Some(client))
    }

    /// Tells of a client that is being served, by the program `pid` if it is one.
    pub fn tell_allowed(&self, peer: Option<Peer>, pid: Option<u32>, count: u32) {
        let limits = self.listener.limits;
        let most = if peer.is_some() { limits.max_per_uid } else { limits.max };
        self.log.allow(peer, pid, count, most);
    }

    /// How many connections there are.
    pub fn tell_status(&self) {
        self.log.status(self.open, self.listener.limits.max);
    }

    /// A client has left.
    pub fn left(&mut self, uid: Option<Uid>) {
        self.open = self.open.saturating_sub(1);
        if let Some(uid) = uid {
            self.uids.remove(uid);
        }
    }

    /// Whether nobody else may come in.
    pub fn is_full(&self) -> bool {
        self.open >= self.listener.limits.max
    }
}
