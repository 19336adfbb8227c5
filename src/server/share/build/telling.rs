//! Which files a map may be made of: those that everybody may read, where each change is told of.

use super::Trouble;
use crate::sys::stat::fstat;
use rustix::fs::{FileType, StatFs, fstatfs};
use std::os::fd::OwnedFd;

/// File systems that tell of each change: ext2 to 4, xfs, btrfs, f2fs, tmpfs, ramfs, overlayfs,
/// squashfs, erofs, ubifs, jffs2.
const TELLING: [u32; 11] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    TMPFS,
    0x8584_58f6,
    0x794c_7630,
    0x7371_7368,
    0xe0f5_e1e2,
    0x2405_1905,
    0x72b6,
];

/// tmpfs.
pub const TMPFS: u32 = 0x0102_1994;

/// Whether it may be told what is in a file.
pub fn judge(file: &OwnedFd) -> Result<(), Trouble> {
    let there = fstat(file)?;
    let is_regular = FileType::from_raw_mode(there.st_mode) == FileType::RegularFile;
    if !is_regular || there.st_mode & 0o444 != 0o444 {
        return Err(Trouble::Unreadable);
    }
    if tells(&fstatfs(file)?) { Ok(()) } else { Err(Trouble::Foreign) }
}

/// Whether a file system tells of each change.
pub fn tells(there: &StatFs) -> bool {
    TELLING.contains(&kind(there))
}

/// Which kind it is.
#[allow(clippy::unnecessary_cast, reason = "another type on other targets")]
pub fn kind(there: &StatFs) -> u32 {
    there.f_type as u32
}
