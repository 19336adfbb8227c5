//! The super-server: accepts clients of a listening socket, and serves each one itself or
//! starts a program for it. Its behaviour is s6-ipcserver's (doc/ipcserver.md).

pub mod listen;
mod log;
mod served;
mod signals;
mod spawned;
mod uids;

use crate::backend::switch::Switch;
use crate::sys::access::Asker;
use crate::sys::error::Error;
use log::Log;
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};
use signals::Signals;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use uids::Uids;

/// How clients are admitted.
pub struct Rules {
    /// Most connections; over it clients wait in the backlog.
    pub max: u32,
    /// Most connections of one user; over it they are closed.
    pub max_per_uid: u32,
    /// Whether SO_PEERCRED is looked up.
    pub credentials: bool,
    /// 0 quiet, 1 warnings, 2 each connection.
    pub verbosity: u8,
    /// Milliseconds that a client may take over a request or a reply that was begun.
    pub client_millis: u32,
    /// Variables that programs do not get.
    pub hidden: &'static [&'static str],
}

/// What is done for a client.
pub enum Service<'a> {
    /// Served in this process.
    Switch(&'a mut Switch),
    /// A program is started.
    Program(&'a [OsString]),
}

/// Serves until a signal ends it. `ready` is called once clients can be served.
pub fn serve(
    listener: &OwnedFd,
    rules: &Rules,
    service: Service<'_>,
    ready: impl FnOnce(),
) -> Result<(), Error> {
    let signals = Signals::catch()?;
    let door = Door {
        listener,
        rules,
        uids: Uids::new(rules.max),
        open: 0,
        log: Log { verbosity: rules.verbosity, max: rules.max },
    };
    door.log.starting();
    match service {
        Service::Switch(switch) => served::run(door, signals, switch, ready),
        Service::Program(command) => spawned::run(door, signals, command, ready),
    }
}

/// Who comes in.
struct Door<'a> {
    listener: &'a OwnedFd,
    rules: &'a Rules,
    uids: Uids,
    open: u32,
    log: Log,
}

/// A client that was admitted.
struct Guest {
    socket: OwnedFd,
    /// uid and gid; none with `-P`.
    who: Option<(u32, u32)>,
    /// His connections, this one included; 0 with `-P`.
    count: u32,
    address: Option<SocketAddrAny>,
}

impl Guest {
    /// Whose rights count for what is served in process.
    fn asker(&self) -> Asker {
        match self.who {
            Some((uid, gid)) => Asker::Peer { uid, gid },
            None => Asker::Unknown,
        }
    }
}

impl Door<'_> {
    /// Takes in the next client. `None`: nobody is there, or he was turned away. The error is
    /// one that will not go away by itself at once: most often, out of descriptors or memory.
    fn admit(&mut self) -> Result<Option<Guest>, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (socket, address) = match acceptfrom_with(self.listener, flags) {
            Ok(accepted) => accepted,
            // He is gone already, or another process was faster.
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let mut guest = Guest { socket, who: None, count: 0, address };
        if self.rules.credentials {
            let Ok(peer) = socket_peercred(guest.socket.as_fd()) else {
                self.log.no_credentials();
                return Ok(None);
            };
            let (uid, gid) = (peer.uid.as_raw(), peer.gid.as_raw());
            let count = self.uids.count(uid);
            if count >= self.rules.max_per_uid {
                self.log.deny(uid, gid, count, self.rules.max_per_uid);
                return Ok(None);
            }
            guest.count = self.uids.add(uid);
            guest.who = Some((uid, gid));
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
