//! Who asks, and whether that user could have opened a file himself.

use crate::sys::stat::Stat;
use rustix::io::Errno;

/// On whose behalf files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// The process has the asker's own rights: the kernel decides.
    Ourselves,
    /// A client of a server with more rights than he has, known by SO_PEERCRED. His
    /// supplementary groups are not known and do not count, as after nsss's drop.
    Peer {
        /// Effective user id.
        uid: u32,
        /// Effective group id.
        gid: u32,
    },
    /// A client of a server that tells everybody the same, with its own rights (nscd). His ids
    /// matter only where an answer is about whoever asks.
    Public {
        /// Effective user id.
        uid: u32,
        /// Effective group id.
        gid: u32,
    },
    /// A client whose credentials were not looked up (`ipcserver -P`): sees what everybody may
    /// see, and nothing secret.
    Unknown,
}

impl Asker {
    /// EACCES unless a file of this owner, group and mode can be read: the rule of
    /// path_resolution(7) where the first class that applies decides. A `secret` one is not for the
    /// unknown, whatever its mode.
    pub fn check_read(self, file: &Stat, secret: bool) -> Result<(), Errno> {
        let bit = match self {
            Asker::Ourselves | Asker::Public { .. } => return Ok(()),
            Asker::Peer { uid: 0, .. } => return Ok(()),
            Asker::Unknown if secret => return Err(Errno::ACCESS),
            Asker::Peer { uid, .. } if uid == file.st_uid => 0o400,
            Asker::Peer { gid, .. } if gid == file.st_gid => 0o040,
            Asker::Peer { .. } | Asker::Unknown => 0o004,
        };
        if file.st_mode & bit == 0 { Err(Errno::ACCESS) } else { Ok(()) }
    }
}
