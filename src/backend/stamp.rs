//! What tells two versions of a file apart, and when that can be relied on.

use crate::sys::clock::since_epoch;
use crate::sys::stat::{Stat, fstat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Times of a file this close to the clock cannot tell two writes apart: a few ticks of the
/// slowest kernel clock (100 Hz).
const FRESH: i64 = 40_000_000;

/// The same where the file system keeps whole seconds, FAT two of them.
const FRESH_SECONDS: i64 = 2_500_000_000;

/// A version of a file.
///
/// Device, inode, size, and mtime and ctime in seconds and nanoseconds: as numbers of one kind they
/// are compared at once. All 0: of no file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp([u64; 7]);

impl Stamp {
    /// The stamp of `file`.
    #[allow(clippy::unnecessary_cast, reason = "the fields have other types on other targets")]
    pub fn of(file: &Stat) -> Self {
        Stamp([
            file.st_dev as u64,
            file.st_ino as u64,
            file.st_size as u64,
            file.st_mtime as u64,
            file.st_mtime_nsec as u64,
            file.st_ctime as u64,
            file.st_ctime_nsec as u64,
        ])
    }

    /// The stamp of what is open.
    pub fn of_open(file: &OwnedFd) -> Result<Self, Errno> {
        Ok(Stamp::of(&fstat(file)?))
    }

    /// Whether a write after `now`, on the clock of file times, is sure to change the stamp.
    pub fn is_settled(&self, now: i64) -> bool {
        let [.., mtime, m_nanos, ctime, c_nanos] = self.0;
        let fresh = if m_nanos | c_nanos == 0 { FRESH_SECONDS } else { FRESH };
        let before = now.saturating_sub(fresh);
        let is_old = |time: u64, nanos: u64| since_epoch(time as i64, nanos as i64) < before;
        is_old(mtime, m_nanos) && is_old(ctime, c_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_file_is_settled_once_its_times_are_old_enough() {
        let fine = Stamp([1, 2, 3, 100, 5, 100, 5]);
        assert!(!fine.is_settled(100 * SECOND + 40_000_000));
        assert!(fine.is_settled(100 * SECOND + 50_000_000));
        let touched_later = Stamp([1, 2, 3, 100, 5, 200, 5]);
        assert!(!touched_later.is_settled(150 * SECOND));
    }

    #[test]
    fn whole_seconds_take_longer() {
        let coarse = Stamp([1, 2, 3, 100, 0, 100, 0]);
        assert!(!coarse.is_settled(102 * SECOND) && coarse.is_settled(103 * SECOND));
    }
}
