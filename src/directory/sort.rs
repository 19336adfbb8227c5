//! Sorts pairs of a key and a number that may be more than fit memory: runs of sorted pairs go to a
//! temporary file, and are merged.

use super::folder::Folder;
use super::temporary::{Temporary, unwritten};
use crate::limits::{SORT_READ, SORT_ROOM};
use crate::sys::error::Error;
use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;

/// A pair that is kept: its key stands in the room of all keys.
struct Pair {
    /// The first eight bytes of the key, which nearly all comparisons end with.
    front: u64,
    start: u32,
    len: u32,
    value: u64,
}

/// Takes pairs in any order.
pub struct Sorter<'a> {
    folder: &'a Folder,
    keys: Vec<u8>,
    pairs: Vec<Pair>,
    file: Option<BufWriter<File>>,
    /// Where each run ends in the file.
    ends: Vec<u64>,
    len: u64,
    /// How many pairs came.
    pub count: u64,
    /// Bytes of the longest key.
    pub longest: usize,
}

impl<'a> Sorter<'a> {
    /// An empty one, whose temporary file is in that folder, if it needs one.
    pub fn new(folder: &'a Folder) -> Self {
        Sorter {
            folder,
            keys: Vec::new(),
            pairs: Vec::new(),
            file: None,
            ends: Vec::new(),
            len: 0,
            count: 0,
            longest: 0,
        }
    }

    /// Takes a pair. Keys are shorter than 64 KiB.
    pub fn put(&mut self, key: &[u8], value: u64) -> Result<(), Error> {
        let used = self.keys.len() + self.pairs.len() * size_of::<Pair>();
        if used + key.len() > SORT_ROOM && !self.pairs.is_empty() {
            self.write_run()?;
        }
        let (start, len) = (self.keys.len() as u32, key.len() as u32);
        self.keys.extend_from_slice(key);
        self.pairs.push(Pair { front: front(key), start, len, value });
        self.count += 1;
        self.longest = self.longest.max(key.len());
        Ok(())
    }

    fn sort(&mut self) {
        let keys = &self.keys;
        self.pairs.sort_unstable_by(|one, other| {
            let full = || key_of(keys, one).cmp(key_of(keys, other));
            one.front.cmp(&other.front).then_with(full).then(one.value.cmp(&other.value))
        });
    }

    fn write_run(&mut self) -> Result<(), Error> {
        self.sort();
        let folder = self.folder;
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = Temporary::nameless(folder)?;
                self.file.insert(BufWriter::with_capacity(SORT_READ, file))
            }
        };
        for pair in &self.pairs {
            let key = key_of(&self.keys, pair);
            let len = u16::try_from(key.len()).unwrap_or(u16::MAX);
            let parts = [&len.to_le_bytes()[..], &pair.value.to_le_bytes(), key];
            for part in parts {
                file.write_all(part).map_err(|e| unwritten(folder, &e))?;
                self.len += part.len() as u64;
            }
        }
        self.ends.push(self.len);
        self.keys.clear();
        self.pairs.clear();
        Ok(())
    }

    /// There are no more: gives them in the order of their keys, and of their numbers where keys are
    /// the same.
    pub fn sorted(mut self) -> Result<Sorted, Error> {
        if self.file.is_none() {
            self.sort();
            return Ok(Sorted::Kept(Kept { keys: self.keys, pairs: self.pairs, at: 0 }));
        }
        if !self.pairs.is_empty() {
            self.write_run()?;
        }
        let (mut file, folder) = (None, self.folder);
        if let Some(out) = self.file {
            file = Some(out.into_inner().map_err(|e| unwritten(folder, e.error()))?);
        }
        let (mut runs, mut at) = (Vec::new(), 0);
        for end in self.ends {
            runs.push(Run { at, end, room: Vec::new(), used: 0, key: Vec::new(), value: 0 });
            at = end;
        }
        let mut merge = Merge { file, runs, queue: Vec::new() };
        let begun = merge.begin();
        begun.map_err(|e| unwritten(folder, &e))?;
        Ok(Sorted::Merged(merge))
    }
}

/// The first eight bytes as a number that is in the order of the bytes.
fn front(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    nssproto::bytes::copy_front(key, &mut bytes);
    u64::from_be_bytes(bytes)
}

fn key_of<'a>(keys: &'a [u8], pair: &Pair) -> &'a [u8] {
    keys.get(pair.start as usize..).and_then(|keys| keys.get(..pair.len as usize)).unwrap_or(b"")
}

/// Pairs in order.
pub enum Sorted {
    /// All were kept.
    Kept(Kept),
    /// From a file.
    Merged(Merge),
}

/// Pairs that were sorted in memory.
pub struct Kept {
    keys: Vec<u8>,
    pairs: Vec<Pair>,
    at: usize,
}

impl Sorted {
    /// Puts the next pair's key in place of what `key` holds; its number. `None`: there are no more.
    pub fn next(&mut self, key: &mut Vec<u8>) -> io::Result<Option<u64>> {
        match self {
            Sorted::Kept(Kept { keys, pairs, at }) => {
                let Some(pair) = pairs.get(*at) else { return Ok(None) };
                *at += 1;
                key.clear();
                key.extend_from_slice(key_of(keys, pair));
                Ok(Some(pair.value))
            }
            Sorted::Merged(merge) => merge.next(key),
        }
    }
}

/// A run that is read.
struct Run {
    /// What is to be read next of the file, and where the run ends.
    at: u64,
    end: u64,
    room: Vec<u8>,
    used: usize,
    /// The pair at its front.
    key: Vec<u8>,
    value: u64,
}

impl Run {
    /// Takes the next pair; false: that was the last.
    fn step(&mut self, file: &File) -> io::Result<bool> {
        if self.at == self.end && self.used == self.room.len() {
            return Ok(false);
        }
        let mut head = [0; 10];
        self.fill(file, &mut head)?;
        let [low, high, value @ ..] = head;
        self.value = u64::from_le_bytes(value);
        let mut key = std::mem::take(&mut self.key);
        key.resize(u16::from_le_bytes([low, high]).into(), 0);
        let filled = self.fill(file, &mut key);
        self.key = key;
        filled.map(|()| true)
    }

    fn fill(&mut self, file: &File, mut to: &mut [u8]) -> io::Result<()> {
        while !to.is_empty() {
            if self.used == self.room.len() {
                let len = usize::try_from(self.end - self.at).unwrap_or(SORT_READ).min(SORT_READ);
                if len == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.room.resize(len, 0);
                file.read_exact_at(&mut self.room, self.at)?;
                (self.at, self.used) = (self.at + len as u64, 0);
            }
            let from = self.room.get(self.used..).unwrap_or_default();
            let len = nssproto::bytes::copy_front(from, to);
            self.used += len;
            to = to.get_mut(len..).unwrap_or_default();
        }
        Ok(())
    }
}

/// Runs that are merged.
pub struct Merge {
    file: Option<File>,
    runs: Vec<Run>,
    /// A heap of the numbers of runs, the one with the first pair in front.
    queue: Vec<usize>,
}

impl Merge {
    fn begin(&mut self) -> io::Result<()> {
        let Merge { file: Some(file), runs, queue } = self else { return Ok(()) };
        for (number, run) in runs.iter_mut().enumerate() {
            if run.step(file)? {
                queue.push(number);
            }
        }
        for at in (0..self.queue.len()).rev() {
            self.sink(at);
        }
        Ok(())
    }

    fn next(&mut self, key: &mut Vec<u8>) -> io::Result<Option<u64>> {
        let Merge { file: Some(file), runs, queue } = self else { return Ok(None) };
        let Some(run) = queue.first().and_then(|first| runs.get_mut(*first)) else {
            return Ok(None);
        };
        key.clear();
        key.extend_from_slice(&run.key);
        let value = run.value;
        if !run.step(file)? {
            queue.swap_remove(0);
        }
        self.sink(0);
        Ok(Some(value))
    }

    /// Moves a run down to where those behind it are later.
    fn sink(&mut self, mut at: usize) {
        loop {
            let least = [2 * at + 1, 2 * at + 2].into_iter().fold(at, |least, child| {
                if self.compare(child, least) == Ordering::Less { child } else { least }
            });
            if least == at {
                return;
            }
            self.queue.swap(at, least);
            at = least;
        }
    }

    fn compare(&self, one: usize, other: usize) -> Ordering {
        let at = |place: usize| self.queue.get(place).and_then(|number| self.runs.get(*number));
        match (at(one), at(other)) {
            (Some(one), Some(other)) => one.key.cmp(&other.key).then(one.value.cmp(&other.value)),
            // There is none.
            _ => Ordering::Greater,
        }
    }
}
