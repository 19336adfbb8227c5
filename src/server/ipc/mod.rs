//! The super-server: accepts clients of a listening socket, and serves each one itself or
//! starts a program for it. Its behaviour is s6-ipcserver's (doc/ipcserver.md); nscd has its own
//! protocol and the same door.

#[cfg(feature = "nscd")]
mod asker;
#[cfg(feature = "nscd")]
pub mod desk;
pub mod listen;
mod log;
mod served;
pub mod setup;
mod signals;
#[cfg(feature = "ipcserver")]
mod spawned;
mod uids;

use crate::backend::switch::Switch;
#[cfg(feature = "nscd")]
use crate::limits::REQUEST_MILLIS;
#[cfg(feature = "nscd")]
use crate::server::conversation::nscd::Nscd;
#[cfg(feature = "ipcserver")]
use crate::server::conversation::nsss::Exchange;
use crate::sys::access::{Peer, Rights};
use crate::sys::error::Error;
#[cfg(feature = "nscd")]
use desk::Desk;
use log::Log;
use nssproto::entry::{Gid, Uid};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};
use signals::Signals;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use uids::Uids;

/// Milliseconds until accepting is tried again after descriptors or memory ran out.
const PAUSE: u64 = 100;

/// How clients are admitted.
pub struct Rules {
    /// Whose messages these are.
    pub name: &'static str,
    /// Most connections; over it clients wait in the backlog.
    pub max: u32,
    /// Most connections of one user; over it they are closed.
    pub max_per_uid: u32,
    /// Over it, his oldest connection without a complete request is closed instead.
    pub oldest_gives_way: bool,
    /// Whether SO_PEERCRED is looked up.
    pub credentials: bool,
    /// 0 quiet, 1 warnings, 2 each connection.
    pub verbosity: u8,
    /// Milliseconds that a client may take over a request or a reply that was begun.
    pub client_millis: u32,
    /// A newline on standard output tells that clients can be served.
    pub newline: bool,
    /// Variables that programs do not get.
    pub hidden: &'static [&'static str],
}

/// What is done for a client of ipcserver.
#[cfg(feature = "ipcserver")]
pub enum Service<'a> {
    /// Served in this process.
    Switch(&'static mut Switch),
    /// A program is started.
    Program(&'a [OsString]),
}

/// Serves until a signal ends it.
#[cfg(feature = "ipcserver")]
pub fn serve(
    listener: &'static OwnedFd,
    rules: &'static Rules,
    service: Service<'_>,
) -> Result<(), Error> {
    let signals = Signals::catch()?;
    let door = Door::new(listener, rules);
    match service {
        Service::Switch(switch) => {
            served::run::<Exchange>(door, signals, switch, served::Beside::none())
        }
        Service::Program(command) => spawned::run(door, signals, command),
    }
}

/// What an nscd asks.
#[cfg(feature = "nscd")]
pub struct Sources {
    /// What can be asked from the event loop.
    pub near: &'static mut Switch,
    /// Who asks what may block; `None`: there is nothing that may.
    pub desk: Option<&'static mut Desk>,
}

/// A desk whose askers are this executable with these words, and then call [`ask_for_desk`].
#[cfg(feature = "nscd")]
pub fn desk(rules: &Rules, first: &[&[u8]], rest: &[OsString]) -> Result<&'static mut Desk, Error> {
    Desk::open(rules.max, first, rest)
}

/// Asks sources that may block, for the clients that a desk hands over, until it is gone.
#[cfg(feature = "nscd")]
pub fn ask_for_desk(switch: &mut Switch, lookup_millis: u32) -> Result<(), Error> {
    let patience = asker::Patience { lookup_millis, client_millis: REQUEST_MILLIS };
    asker::run(served::table::<Nscd>(1), switch, &patience)
}

/// Serves the nscd protocol until a signal ends it, or `parent` does, a pidfd.
#[cfg(feature = "nscd")]
pub fn serve_nscd(
    listener: &'static OwnedFd,
    rules: &'static Rules,
    sources: Sources,
    parent: Option<&'static OwnedFd>,
) -> Result<(), Error> {
    let signals = Signals::catch()?;
    let door = Door::new(listener, rules);
    let beside = served::Beside { desk: sources.desk, parent };
    served::run::<Nscd>(door, signals, sources.near, beside)
}

impl Rules {
    /// Clients taken in at a time where others have something to say: epoll tells of the listener
    /// once in a round through all of them. 512 are about ten milliseconds' work. Fewer where a
    /// user's limit is low: what those do who were just taken in, leave among it, is seen later.
    fn guests(&self) -> u32 {
        (self.max_per_uid / 2).clamp(1, 512)
    }
}

/// Who comes in.
struct Door {
    listener: &'static OwnedFd,
    rules: &'static Rules,
    uids: Uids,
    open: u32,
    /// Where the last guest came from.
    address: Option<SocketAddrAny>,
    log: Log,
}

/// A client that was admitted.
struct Guest {
    socket: OwnedFd,
    /// uid and gid; none with `-P`.
    peer: Option<Peer>,
    /// His connections, this one included; 0 with `-P`.
    count: u32,
}

impl Guest {
    /// Whose rights count for what is served in process.
    fn asker(&self) -> Rights {
        match self.peer {
            Some(peer) => Rights::Peer(peer),
            None => Rights::Unknown,
        }
    }
}

impl Door {
    /// For as long as the process lives.
    fn new(listener: &'static OwnedFd, rules: &'static Rules) -> &'static mut Self {
        let log = Log::of(rules);
        log.starting();
        let uids = Uids::new(rules.max);
        Box::leak(Box::new(Door { listener, rules, uids, open: 0, address: None, log }))
    }

    /// Takes in the next client. `None`: nobody is there, or he was turned away. The error is
    /// one that will not go away by itself at once: most often, out of descriptors or memory.
    fn admit(&mut self) -> Result<Option<Guest>, Errno> {
        // A socket that waits, as programs expect it: what is served here says DONTWAIT each time.
        let socket = match acceptfrom_with(self.listener, SocketFlags::CLOEXEC) {
            Ok((socket, address)) => {
                self.address = address;
                socket
            }
            // He is gone already, or another process was faster.
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let mut guest = Guest { socket, peer: None, count: 0 };
        if self.rules.credentials {
            let Ok(peer) = socket_peercred(guest.socket.as_fd()) else {
                self.log.no_credentials();
                return Ok(None);
            };
            let (uid, gid) = (peer.uid.as_raw(), peer.gid.as_raw());
            let count = self.uids.count(uid);
            if count >= self.rules.max_per_uid && !self.rules.oldest_gives_way {
                self.log.deny(uid, gid, count, self.rules.max_per_uid);
                return Ok(None);
            }
            guest.count = self.uids.add(uid);
            guest.peer = Some(Peer { uid: Uid(uid), gid: Gid(gid) });
        }
        self.open += 1;
        Ok(Some(guest))
    }

    /// A client has left.
    fn leave(&mut self, uid: Option<u32>) {
        self.open = self.open.saturating_sub(1);
        if let Some(uid) = uid {
            self.uids.remove(uid);
        }
    }

    fn is_full(&self) -> bool {
        self.open >= self.rules.max
    }
}
