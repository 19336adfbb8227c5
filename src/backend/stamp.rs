//! What tells two versions of a file apart, and how long that can be relied on: the one rule for
//! everything that is kept of a file.

use crate::sys::clock::{file_time, since_epoch};
use crate::sys::stat::{Stat, fstat};
use nssproto::bytes::Fnv1a;
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Times of a file this close to the clock cannot tell two writes apart: a few ticks of the
/// slowest kernel clock (100 Hz).
const FRESH: i64 = 40_000_000;

/// The same where the file system keeps whole seconds, FAT two of them.
const FRESH_SECONDS: i64 = 2_500_000_000;

/// For so long what was read is believed at most. A write(2) takes its time first and may copy its
/// bytes much later, and one into a shared mapping takes none: no stamp tells of either.
const BELIEVED: i64 = 1_000_000_000;

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

    /// Bytes of the file, and the time of its last change: seconds and nanoseconds.
    #[cfg(feature = "nsssd-cache")]
    pub fn size_and_mtime(&self) -> (u64, (i64, u32)) {
        let [_, _, size, mtime, nanos, ..] = self.0;
        (size, (mtime.cast_signed(), nanos as u32))
    }

    /// The stamp of what is open.
    pub fn of_open(file: &OwnedFd) -> Result<Self, Errno> {
        Ok(Stamp::of(&fstat(file)?))
    }

    /// Whether what was `read` of this version, at that time, still holds at `now`, if the file has
    /// the same stamp then. Both are on the clock of file times.
    ///
    /// A change before it was read has the same times only if they were young then. And what a
    /// write still had in hand is seen after as long again as the file had been unchanged, and
    /// within a second, since it is read again.
    pub fn is_settled(&self, read: i64, now: i64) -> bool {
        let [.., mtime, m_nanos, ctime, c_nanos] = self.0;
        let fresh = if m_nanos | c_nanos == 0 { FRESH_SECONDS } else { FRESH };
        let time = |seconds: u64, nanos: u64| since_epoch(seconds as i64, nanos as i64);
        let age = read.saturating_sub(time(mtime, m_nanos).max(time(ctime, c_nanos)));
        // A clock that was set back may show a time of the file again.
        age > fresh && read <= now && now - read <= age.min(BELIEVED)
    }

    /// Tells this version from most others in little room.
    pub fn digest(&self) -> Digest {
        let mut hash = Fnv1a::START;
        self.0.iter().for_each(|number| hash.feed(&number.to_ne_bytes()));
        let [_, digest @ ..] = hash.value().to_be_bytes();
        Digest(digest)
    }
}

/// A stamp in seven bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest([u8; 7]);

/// What is kept of a file: of which version it was read, and when.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    stamp: Stamp,
    at: i64,
}

impl Reading {
    /// Of this version, read after `at`, a [`file_time`].
    pub fn new(stamp: Stamp, at: i64) -> Self {
        Reading { stamp, at }
    }

    /// Of this version while it was being written: never believed.
    pub fn torn(stamp: Stamp) -> Self {
        Reading { stamp, at: i64::MIN }
    }

    /// The version.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// Whether it holds now, when the file has this stamp.
    pub fn holds(&self, stamp: &Stamp) -> bool {
        self.stamp == *stamp && self.stamp.is_settled(self.at, file_time())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// Whether it is settled right after it was read.
    fn settles(stamp: &Stamp, read: i64) -> bool {
        stamp.is_settled(read, read)
    }

    #[test]
    fn a_file_is_settled_once_its_times_are_old_enough() {
        let fine = Stamp([1, 2, 3, 100, 5, 100, 5]);
        assert!(!settles(&fine, 100 * SECOND + 40_000_000));
        assert!(settles(&fine, 100 * SECOND + 50_000_000));
        let touched_later = Stamp([1, 2, 3, 100, 5, 200, 5]);
        assert!(!settles(&touched_later, 150 * SECOND));
    }

    #[test]
    fn whole_seconds_take_longer() {
        let coarse = Stamp([1, 2, 3, 100, 0, 100, 0]);
        assert!(!settles(&coarse, 102 * SECOND) && settles(&coarse, 103 * SECOND));
    }

    #[test]
    fn what_was_read_is_believed_as_long_again_as_the_file_was_old_and_a_second_at_most() {
        let stamp = Stamp([1, 2, 3, 100, 5, 100, 5]);
        for (age, last) in [(50, 50), (400, 400), (5000, 1000)] {
            let at = |millis: i64| 100 * SECOND + 5 + millis * 1_000_000;
            assert!(stamp.is_settled(at(age), at(age + last)), "{age}");
            assert!(!stamp.is_settled(at(age), at(age + last + 1)), "{age}");
            assert!(!stamp.is_settled(at(age), at(age - 1)), "set back: {age}");
        }
    }

    #[test]
    fn a_digest_tells_versions_apart_and_a_torn_reading_is_never_believed() {
        let one = Stamp([1, 2, 3, 100, 5, 100, 5]);
        assert_eq!(one.digest(), Stamp(one.0).digest());
        for at in 0..7 {
            let mut other = one;
            other.0[at] += 1;
            assert_ne!(one.digest(), other.digest(), "{at}");
        }
        assert!(Reading::new(one, file_time()).holds(&one) && !Reading::torn(one).holds(&one));
    }
}
