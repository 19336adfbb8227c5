//! Who asks, and whether that user could have opened a file himself.

use crate::sys::stat::Stat;
use nssproto::entry::{Gid, Uid};
use rustix::io::Errno;

/// Who is at the other end of a socket, by SO_PEERCRED: effective ids as the kernel tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Effective user id.
    pub uid: Uid,
    /// Effective group id.
    pub gid: Gid,
}

impl Peer {
    /// By the ids of a system call.
    pub fn of(uid: rustix::fs::Uid, gid: rustix::fs::Gid) -> Self {
        Peer { uid: Uid(uid.as_raw()), gid: Gid(gid.as_raw()) }
    }

    /// Whether it is root.
    pub fn is_root(self) -> bool {
        self.uid == Uid(0)
    }
}

/// With whose rights files are read for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Those of this process, which are his own: the kernel decides.
    Own,
    /// Those of a client of a server which has more rights than he. His supplementary groups are
    /// not known and do not count, as after nsss's drop.
    Peer(Peer),
    /// Those of this process, which tells everybody the same (nscd). The client's ids matter only
    /// where an answer is about himself.
    Public(Peer),
    /// Those of a client whose credentials were not looked up (`ipcserver -P`): he sees what
    /// everybody may see, and nothing secret.
    Unknown,
}

impl Rights {
    /// Those of a client of a server, by his credentials if they were looked up.
    pub fn of(peer: Option<Peer>) -> Self {
        peer.map_or(Rights::Unknown, Rights::Peer)
    }

    /// Whether he may see what this process is told for its own rights' sake.
    pub fn are_ours(self) -> bool {
        match self {
            Rights::Own => true,
            Rights::Peer(peer) => peer.is_root(),
            Rights::Public(_) | Rights::Unknown => false,
        }
    }

    /// EACCES unless a file of this owner, group and mode can be read: the rule of
    /// path_resolution(7) where the first class that applies decides. A `secret` one is not for the
    /// unknown, whatever its mode.
    pub fn check_read(self, file: &Stat, secret: bool) -> Result<(), Errno> {
        let bit = match self {
            Rights::Own | Rights::Public(_) => return Ok(()),
            Rights::Peer(peer) if peer.is_root() => return Ok(()),
            Rights::Unknown if secret => return Err(Errno::ACCESS),
            Rights::Peer(peer) if peer.uid.0 == file.st_uid => 0o400,
            Rights::Peer(peer) if peer.gid.0 == file.st_gid => 0o040,
            Rights::Peer(_) | Rights::Unknown => 0o004,
        };
        if file.st_mode & bit == 0 { Err(Errno::ACCESS) } else { Ok(()) }
    }
}
