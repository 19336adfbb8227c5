//! Which files can be believed.

use crate::sys::privilege::is_root;
use crate::sys::stat::Stat;
use rustix::fs::FileType;
use rustix::process::geteuid;

pub(super) fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Root's, or our own.
pub(super) fn is_ours(stat: &Stat) -> bool {
    stat.st_uid == geteuid().as_raw() || is_root(stat.st_uid)
}

/// Whether it can be believed: a file of root's or of `owner`'s that no other can write. A FIFO, say,
/// would read as an empty file: a list of nobody who is denied.
pub(super) fn is_safe(stat: &Stat, owner: u32) -> bool {
    fault(stat, owner).is_none()
}

/// Why it cannot be.
pub(super) fn fault(stat: &Stat, owner: u32) -> Option<Fault> {
    if !is_file(stat) {
        Some(Fault::NoFile)
    } else if stat.st_uid != owner && !is_root(stat.st_uid) {
        Some(Fault::AnotherUsers)
    } else if stat.st_mode & 0o022 != 0 {
        Some(Fault::Writable)
    } else {
        None
    }
}

/// What is wrong with a file that is to be believed.
#[derive(Clone, Copy)]
pub(super) enum Fault {
    NoFile,
    AnotherUsers,
    Writable,
}
