//! Where the lines of a file stand that is too large to be kept: by name and by number, for the
//! rules of nsss and of glibc.
//!
//! It holds for one version of the file, whose owner clears it. It only tells where to look; whether
//! a line is the one that is wanted, its parse decides. A key of which it knows no line has none.

use super::recent::{LookupKey, hash};
use super::search::behind_last_lf;
use crate::backend::spend;
use crate::backend::window::Window;
use crate::limits::{INDEX_SLOTS, INDEXED_FILE};
use crate::sys::file::pread_full;
use crate::sys::stat::fstat;
use crate::sys::{may_alloc, reserve};
use memchr::memchr;
use nssproto::entry::Db;
use nssproto::line::glibc::has_key;
use nssproto::line::{Rules, parse_by};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Searches in one version of a file before it is indexed: that costs as much as some fifty.
const SEARCHES: u8 = 16;

/// Lookups in a row without need of it, after which it is dropped.
const UNUSED: u32 = 65_536;

/// Most slots that are looked at for one key: a file with one number in all its lines is not indexed.
const PROBES: usize = 256;

/// A byte of a file that is indexed counts as so many that are searched.
const WORK: usize = 8;

/// A slot holds the offset of a line; above it, bits of the key's hash; above these, whose rules
/// find the line by that key: never none, so that 0 is an empty slot.
const NSSS: u32 = 1 << 31;
const GLIBC: u32 = 1 << 30;
const TAG: u32 = GLIBC - 1 - OFFSET;
const OFFSET: u32 = INDEXED_FILE as u32 - 1;

/// How far it has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many searches were made without it.
    Searched(u8),
    /// Lines up to this offset are in it.
    Building(u64),
    /// All of them are.
    Ready,
    /// The file is too large, or of another kind than files of users are.
    Useless,
}

/// An open hash table with linear probing: the lines of one key are met in the order of the file.
pub struct Index {
    /// None, or as many as a power of two, in room for [`INDEX_SLOTS`].
    slots: Vec<u32>,
    filled: usize,
    state: State,
    /// Lookups since it was of use.
    unused: u32,
}

impl Index {
    /// An empty one.
    pub fn new() -> Self {
        Index { slots: Vec::new(), filled: 0, state: State::Searched(0), unused: 0 }
    }

    /// Forgets all, and gives memory back.
    pub fn clear(&mut self) {
        self.state = State::Searched(0);
        may_alloc(|| self.slots = Vec::new());
    }

    /// The file was read again, which is due now and then. If it `is_new`, what is asked of it has to
    /// show that it needs an index; else one that was of use is built again.
    /// `size`: of the file, which may be too large for one.
    pub fn outdate(&mut self, is_new: bool, size: u64) {
        if size > INDEXED_FILE || self.state == State::Useless && !is_new {
            self.state = State::Useless;
            return;
        }
        let was_ready = self.is_ready() && !is_new;
        self.state = State::Searched(if was_ready { SEARCHES } else { 0 });
    }

    /// Whether it knows all lines.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Whether there cannot be one of this version of the file.
    pub fn is_useless(&self) -> bool {
        self.state == State::Useless
    }

    /// A lookup did without it.
    pub fn was_not_needed(&mut self) {
        self.unused = self.unused.saturating_add(1);
        if self.unused == UNUSED {
            self.clear();
        }
    }

    /// A lookup has need of it: goes on with building it from `file`, which is read to `window`, as
    /// far as `budget` goes. False: it goes on in the next turn.
    pub fn build(
        &mut self,
        db: Db,
        file: &OwnedFd,
        window: &mut Window,
        budget: &mut u64,
    ) -> Result<bool, Errno> {
        self.unused = 0;
        if let State::Searched(count) = self.state {
            self.state = State::Searched(count + 1);
            if count == SEARCHES {
                let size = fstat(file)?.st_size as u64;
                // Two keys for a line of 60 bytes, and half as many slots again.
                self.begin(size.min(20 * INDEX_SLOTS as u64) as usize / 20);
            }
        }
        while let State::Building(at) = self.state {
            if *budget == 0 {
                return Ok(false);
            }
            let window = window.room();
            let len = pread_full(file, window, at)?;
            spend(budget, len * WORK + 1);
            let ended = len < window.len();
            let block = window.get(..len).unwrap_or_default();
            let whole = if ended { len } else { behind_last_lf(block) };
            let next = at + whole as u64;
            if next > INDEXED_FILE || whole == 0 && !ended {
                // A line longer than the window is one that would have to be measured.
                self.state = State::Useless;
            } else if !self.add_lines(db, block.get(..whole).unwrap_or_default(), at) {
                self.begin(self.slots.len() * 2);
            } else {
                self.state = if ended { State::Ready } else { State::Building(next) };
            }
        }
        Ok(true)
    }

    /// Goes on with building it from lines that are all there are and at hand; whether it is ready.
    pub fn build_of(&mut self, db: Db, lines: &[u8], budget: &mut u64) -> bool {
        if let State::Searched(_) = self.state {
            spend(budget, lines.len() * WORK);
            self.begin(lines.len() / 20);
        }
        while let State::Building(_) = self.state {
            match self.add_lines(db, lines, 0) {
                true => self.state = State::Ready,
                false => self.begin(self.slots.len() * 2),
            }
        }
        self.is_ready()
    }

    /// Begins with at least so many empty slots.
    fn begin(&mut self, slots: usize) {
        let slots = slots.max(1024).next_power_of_two();
        self.slots.clear();
        self.filled = 0;
        self.state = State::Useless;
        if slots <= INDEX_SLOTS && reserve(&mut self.slots, INDEX_SLOTS) {
            self.slots.resize(slots, 0);
            self.state = State::Building(0);
        }
    }

    /// Takes whole lines that start at this offset; false if there are too many for the slots.
    fn add_lines(&mut self, db: Db, block: &[u8], at: u64) -> bool {
        let mut from = 0;
        while let Some(rest) = block.get(from..).filter(|rest| !rest.is_empty()) {
            let len = memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest.get(..len).unwrap_or_default();
            let offset = at as u32 + from as u32;
            for (rules, mark) in [(Rules::Nsss, NSSS), (Rules::Glibc, GLIBC)] {
                let Ok(record) = parse_by(rules, db, line) else { continue };
                if rules == Rules::Glibc && !has_key(record.name()) {
                    continue;
                }
                let id = record.id().map(LookupKey::Id);
                if !self.put(LookupKey::Name(record.name()), mark | offset)
                    || id.is_some_and(|id| !self.put(id, mark | offset))
                {
                    return false;
                }
            }
            from += len + 1;
        }
        true
    }

    /// Takes a key of a line. By the other rules it has the same one, most often.
    fn put(&mut self, key: LookupKey<'_>, slot: u32) -> bool {
        let (hash, mask) = (hash(key), self.slots.len().wrapping_sub(1));
        let slot = slot | hash & TAG;
        for nth in 0..PROBES {
            let Some(place) = self.slots.get_mut((hash as usize).wrapping_add(nth) & mask) else {
                break;
            };
            if *place == 0 || (*place ^ slot) & (TAG | OFFSET) == 0 {
                self.filled += usize::from(*place == 0);
                *place |= slot;
                return self.filled <= self.slots.len() / 4 * 3;
            }
        }
        false
    }

    /// Where a line may be that these rules find by `key`, and what to pass for `from` to get the next
    /// one; 0: the first in the file. `None`: there is no other.
    pub fn candidate(&self, rules: Rules, key: LookupKey<'_>, from: u32) -> Option<(u64, u32)> {
        let (hash, mask) = (hash(key), self.slots.len().wrapping_sub(1));
        let rules = if rules == Rules::Nsss { NSSS } else { GLIBC };
        for nth in from..PROBES as u32 {
            let slot = *self.slots.get((hash as usize).wrapping_add(nth as usize) & mask)?;
            if slot == 0 {
                return None;
            }
            if slot & TAG == hash & TAG && slot & rules != 0 {
                return Some((u64::from(slot & OFFSET), nth + 1));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(slots: usize, lines: &[u8]) -> Index {
        let mut index = Index::new();
        index.begin(slots);
        assert!(index.add_lines(Db::Passwd, lines, 0));
        index
    }

    fn all(index: &Index, rules: Rules, key: LookupKey<'_>) -> Vec<u64> {
        let (mut found, mut from) = (Vec::new(), 0);
        while let Some((at, next)) = index.candidate(rules, key, from) {
            found.push(at);
            from = next;
        }
        found
    }

    #[test]
    fn lines_are_met_in_order_by_the_rules_that_find_them() {
        let lines = b"a:x:1:1:::\n a:x:2:2:::\nb:x:1:1\n#c:x:+3:3:::\n+d:x:4:4:::\na:x:5:1:::\n";
        let index = built(0, lines);
        for (rules, key, want) in [
            (Rules::Nsss, LookupKey::Name(b"a"), &[0, 56][..]),
            (Rules::Glibc, LookupKey::Name(b"a"), &[0, 11, 56]),
            (Rules::Nsss, LookupKey::Name(b" a"), &[11]),
            (Rules::Glibc, LookupKey::Name(b" a"), &[]),
            (Rules::Nsss, LookupKey::Id(1), &[0]),
            (Rules::Glibc, LookupKey::Id(1), &[0, 23]),
            (Rules::Glibc, LookupKey::Name(b"#c"), &[]),
            (Rules::Nsss, LookupKey::Id(4), &[44]),
            (Rules::Glibc, LookupKey::Id(4), &[]),
        ] {
            assert_eq!(all(&index, rules, key), want, "{rules:?}");
        }
    }

    #[test]
    fn one_number_in_all_lines_is_too_much() {
        let mut index = Index::new();
        index.begin(1 << 14);
        let lines: String = (0..PROBES + 1).map(|n| format!("u{n}:x:7:7:::\n")).collect();
        assert!(!index.add_lines(Db::Passwd, lines.as_bytes(), 0));
        index.begin(INDEX_SLOTS * 2);
        assert!(index.state == State::Useless);
    }

    #[test]
    fn thousands_of_lines_are_found_each() {
        let line = |n: u32| format!("user{n:05}:x:{}:100::/home/user{n:05}:/bin/sh\n", 10_000 + n);
        let lines: String = (0..5000).map(line).collect();
        let index = built(lines.len() / 20, lines.as_bytes());
        let mut at = 0;
        for n in 0..5000 {
            for key in [LookupKey::Name(&line(n).as_bytes()[..9]), LookupKey::Id(10_000 + n)] {
                for rules in [Rules::Nsss, Rules::Glibc] {
                    assert!(all(&index, rules, key).contains(&at), "{n}");
                }
            }
            at += line(n).len() as u64;
        }
        let others =
            (0..5000).filter(|n| index.candidate(Rules::Glibc, LookupKey::Id(*n), 0).is_some());
        assert!(others.count() < 200);
    }
}
