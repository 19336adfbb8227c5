//! One pass over a large file for all who wait for a line of it, where each by himself would read it.
//!
//! It only tells where to look: whether a line is the one that is wanted, its parse decides, and who
//! is led to another one searches by himself. A key for which no line may do has none. Who comes
//! while a pass goes on is served by the next one.

use super::recent::{ID, KEY, Location, LookupKey, digest, hash};
use super::search::behind_last_lf;
use crate::backend::spend;
use crate::sys::file::pread_full;
use crate::sys::reserve;
use memchr::memchr;
use nssproto::bytes::decimal_u32;
use nssproto::line::glibc::trim;
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Places in the table, 48 KiB that are made with the first pass, and how many are used.
const PLACES: usize = 1024;
const MOST: usize = 768;

/// A line counts as so many bytes besides its own: about half of what a search takes for it.
const LINE: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// For the next pass.
    Next,
    /// For this one.
    Now,
    /// The first line that may be wanted.
    Found(Location),
    /// No pass can tell.
    Alone,
}

#[derive(Clone, Copy)]
struct Entry {
    key: [u8; KEY],
    state: State,
}

/// What is told of a key.
pub enum Told {
    /// Look there.
    Look(Location),
    /// A pass will tell, which begins when others have joined, too.
    Joined,
    /// A pass will tell: it can go on.
    Wait,
    /// Search by yourself.
    Alone,
}

/// The keys that are waited for in one file.
pub struct Pass {
    /// A hash table with linear probing; empty until it is used.
    entries: Vec<Entry>,
    used: usize,
    /// The version of the file that it holds for.
    version: u32,
    /// How many this pass has still to find, and how many wait for the next one.
    now: usize,
    next: usize,
    /// Offset of the next line.
    at: u64,
    /// In the middle of a line that is longer than the window.
    inside: bool,
    /// There was a line whose number is written in an odd way.
    odd: bool,
}

impl Pass {
    /// Nobody waits.
    pub fn new() -> Self {
        Pass {
            entries: Vec::new(),
            used: 0,
            version: 0,
            now: 0,
            next: 0,
            at: 0,
            inside: false,
            odd: false,
        }
    }

    fn clear(&mut self) {
        self.entries.clear();
        (self.used, self.now, self.next) = (0, 0, 0);
    }

    /// What is known of a key in a version of the file. With `join`, it is waited for from now on.
    pub fn ask(&mut self, version: u32, key: LookupKey<'_>, join: bool) -> Told {
        if self.version != version {
            self.clear();
            self.version = version;
        }
        // Who wants a longer name searches by himself.
        let Some(digest) = digest(key) else { return Told::Alone };
        if let Some(entry) = self.find(key, &digest).and_then(|at| self.entries.get(at)) {
            match entry.state {
                State::Found(location) => return Told::Look(location),
                State::Next | State::Now => return Told::Wait,
                State::Alone => return Told::Alone,
                State::Free => {}
            }
        }
        if self.used >= MOST && self.now + self.next == 0 {
            // All have been told.
            self.clear();
        }
        if !join || self.used >= MOST {
            return Told::Alone;
        }
        if self.entries.is_empty() {
            if !reserve(&mut self.entries, PLACES) {
                return Told::Alone;
            }
            self.entries.resize(PLACES, Entry { key: [0; KEY], state: State::Free });
        }
        let Some(entry) = self.find(key, &digest).and_then(|at| self.entries.get_mut(at)) else {
            return Told::Alone;
        };
        *entry = Entry { key: digest, state: State::Next };
        self.used += 1;
        self.next += 1;
        Told::Joined
    }

    /// The place of a key, or the free one for it; `None`: the table is empty.
    fn find(&self, key: LookupKey<'_>, digest: &[u8; KEY]) -> Option<usize> {
        let hash = hash(key);
        let mut at = (hash ^ hash >> 15) as usize % PLACES;
        // There are always free ones.
        loop {
            let entry = self.entries.get(at)?;
            if entry.state == State::Free || entry.key == *digest {
                return Some(at);
            }
            at = (at + 1) % PLACES;
        }
    }

    /// Reads on for those who wait, as far as the budget goes.
    pub fn go_on(
        &mut self,
        file: &OwnedFd,
        window: &mut [u8],
        budget: &mut u64,
    ) -> Result<(), Errno> {
        if self.now == 0 {
            (self.now, self.next) = (self.next, 0);
            (self.at, self.inside, self.odd) = (0, false, false);
            self.turn(State::Next, |_| State::Now);
        }
        while self.now > 0 && *budget > 0 {
            let len = pread_full(file, window, self.at)?;
            let ended = len < window.len();
            let block = window.get(..len).unwrap_or_default();
            spend(budget, len + 1);
            let used = self.take(block, ended, budget);
            self.at += used as u64;
            if ended {
                let odd = self.odd;
                self.turn(State::Now, |key| match key.first() == Some(&ID) && odd {
                    true => State::Alone,
                    false => State::Found(Location::Absent),
                });
                self.now = 0;
            }
        }
        Ok(())
    }

    fn turn(&mut self, from: State, to: impl Fn(&[u8; KEY]) -> State) {
        for entry in self.entries.iter_mut().filter(|entry| entry.state == from) {
            entry.state = to(&entry.key);
        }
    }

    /// Takes the lines of a block that begins with one; how many of its bytes.
    fn take(&mut self, block: &[u8], ended: bool, budget: &mut u64) -> usize {
        let mut from = 0;
        if self.inside {
            let Some(lf) = memchr(b'\n', block) else { return block.len() };
            (self.inside, from) = (false, lf + 1);
        }
        let whole = if ended { block.len() } else { behind_last_lf(block) };
        if whole <= from && !ended {
            // The head of a long line is here, most likely; if not, its number is an odd one.
            self.take_line(block.get(from..).unwrap_or_default(), self.at + from as u64);
            self.inside = from < block.len();
            return block.len();
        }
        while from < whole {
            let rest = block.get(from..whole).unwrap_or_default();
            let len = memchr(b'\n', rest).unwrap_or(rest.len());
            self.take_line(rest.get(..len).unwrap_or_default(), self.at + from as u64);
            spend(budget, LINE);
            from += len + 1;
        }
        whole
    }

    /// A line is found by what stands in front of its first colon, blanks in front or not, and by
    /// its third field.
    fn take_line(&mut self, line: &[u8], at: u64) {
        let colon = memchr(b':', line);
        let name = line.get(..colon.unwrap_or(line.len())).unwrap_or_default();
        self.found(LookupKey::Name(name), at);
        let bare = trim(name);
        if bare.len() < name.len() {
            self.found(LookupKey::Name(bare), at);
        }
        let behind = |colon: Option<usize>, text: &'_ [u8]| colon.map(|c| text.len().min(c + 1));
        let rest = behind(colon, line).and_then(|at| line.get(at..)).unwrap_or_default();
        let rest = behind(memchr(b':', rest), rest).and_then(|at| rest.get(at..));
        let Some(rest) = rest else {
            self.odd = true;
            return;
        };
        let field = memchr(b':', rest).and_then(|end| rest.get(..end)).unwrap_or_default();
        match decimal_u32(field) {
            Some(id) => self.found(LookupKey::Id(id), at),
            None => self.odd = true,
        }
    }

    fn found(&mut self, key: LookupKey<'_>, at: u64) {
        let Some(digest) = digest(key) else { return };
        let place = self.find(key, &digest).and_then(|at| self.entries.get_mut(at));
        if let Some(entry) = place.filter(|entry| entry.state == State::Now) {
            entry.state = State::Found(Location::At(at));
            self.now -= 1;
        }
    }
}
