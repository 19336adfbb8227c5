//! Searches an index of libnss-cache (nssproto::cache::ix): with preads, the last of which has some
//! hundred records that must be in order.

use crate::limits::{INDEX_FRONT, INDEX_READ};
use crate::sys::file::{open, pread_full};
use crate::sys::stat::fstat;
use memchr::memchr;
use nssproto::cache::ix::{Record, width_at};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

/// Steps of a search whose records are remembered: they are the same for all keys.
const REMEMBERED: usize = 5;

/// Longest key of such a record.
const SHORT: usize = 23;

/// An index that is open.
pub struct Ix {
    file: OwnedFd,
    /// Bytes of a record.
    width: usize,
    size: u64,
    /// The keys that the first steps meet, as a heap: the first one has number 1, those of the next step
    /// behind number N have 2 N and 2 N + 1. Empty: not read yet, or a long one.
    met: [heapless::Vec<u8, SHORT>; 1 << REMEMBERED],
}

/// What an index says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Its line begins there.
    At(u64),
    /// There is no such key.
    Absent,
    /// It is damaged.
    Nothing,
}

impl Ix {
    /// The index at `path` of a data file that was changed in that second, if it is not older, and
    /// of whole records. One of the second `other` is one of other data, as its owner knows. `room` is as
    /// large as what is read at a time: see [`crate::limits::WINDOW`].
    pub fn open(
        path: &CStr,
        data_second: i64,
        other: Option<i64>,
        room: &mut [u8],
    ) -> Result<Option<Ix>, Errno> {
        let file = open(path, OFlags::RDONLY, Mode::empty())?;
        let there = fstat(&file)?;
        #[allow(clippy::unnecessary_cast, reason = "the fields have other types on other targets")]
        let (second, size) = (there.st_mtime as i64, there.st_size as u64);
        let is_file = FileType::from_raw_mode(there.st_mode) == FileType::RegularFile;
        if !is_file || size == 0 || second < data_second || other == Some(second) {
            return Ok(None);
        }
        let Some(width) = width_of(&file, room)? else { return Ok(None) };
        // So that the last read fits.
        let is_narrow = 4 * width + INDEX_READ <= room.len();
        let is_whole = size % width as u64 == 0;
        let met = [const { heapless::Vec::new() }; 1 << REMEMBERED];
        Ok((is_narrow && is_whole).then_some(Ix { file, width, size, met }))
    }

    /// Whether the open file has the size that it had when it was opened.
    pub fn is_still(&self) -> bool {
        #[allow(clippy::unnecessary_cast, reason = "the field has another type on other targets")]
        fstat(&self.file).is_ok_and(|there| there.st_size as u64 == self.size)
    }

    /// Looks a key up.
    pub fn find(&mut self, key: &[u8], room: &mut [u8]) -> Result<Told, Errno> {
        let (width, count) = (self.width as u64, self.size / self.width as u64);
        // The record is among those from `low` on, before `high`.
        let (mut low, mut high, mut number) = (0, count, 1);
        while (high - low) * width > INDEX_READ as u64 {
            let middle = low + (high - low) / 2;
            if self.is_behind(key, middle, number, room)? {
                low = middle + 1;
            } else {
                high = middle;
            }
            number = 2 * number + usize::from(low > middle);
        }
        // Two more at each end: among these it stands, if the index is in order there.
        let (from, to) = (low.saturating_sub(2), (high + 2).min(count));
        let Some(records) = self.read(from, to, room)? else { return Ok(Told::Nothing) };
        let (mut before, mut found, mut after) = (None, None, None);
        let mut last = None;
        for record in records.chunks_exact(self.width) {
            // As patterns, they would be compared in code for each.
            let there = key_of(record);
            // A key that stands there twice could lead to another line than the first.
            if last.is_some_and(|last| last >= there) || record.last() != Some(&b'\n') {
                return Ok(Told::Nothing);
            }
            last = Some(there);
            if there == key {
                found = Some(record);
            } else if there < key {
                before = Some(record);
            } else if after.is_none() {
                after = Some(record);
            }
        }
        // What decides is looked at closely.
        if let Some(record) = found {
            return Ok(
                Record::decode(record).map_or(Told::Nothing, |record| Told::At(record.offset))
            );
        }
        let is_good = |record: Option<&[u8]>, is_end: bool| match record {
            Some(record) => Record::decode(record).is_ok(),
            None => is_end,
        };
        let is_absent = is_good(before, from == 0) && is_good(after, to == count);
        Ok(if is_absent { Told::Absent } else { Told::Nothing })
    }

    /// Whether a key is behind that of the record `at`, which is met by the step of this number.
    fn is_behind(
        &mut self,
        key: &[u8],
        at: u64,
        number: usize,
        room: &mut [u8],
    ) -> Result<bool, Errno> {
        if let Some(there) = self.met.get(number).filter(|there| !there.is_empty()) {
            return Ok(there.as_slice() < key);
        }
        let Some(record) = self.read(at, at + 1, room)? else { return Err(Errno::IO) };
        let there = key_of(record);
        if let (Some(place), Ok(there)) = (self.met.get_mut(number), there.try_into()) {
            *place = there;
        }
        Ok(there < key)
    }

    /// The records from number `from` on, before number `to`; `None`: the file is shorter.
    fn read<'a>(&self, from: u64, to: u64, room: &'a mut [u8]) -> Result<Option<&'a [u8]>, Errno> {
        let len = (to - from) as usize * self.width;
        let Some(room) = room.get_mut(..len) else { return Ok(None) };
        let got = pread_full(&self.file, room, from * self.width as u64)?;
        Ok((got == len).then_some(room))
    }
}

/// The key of a record, or all of it.
fn key_of(record: &[u8]) -> &[u8] {
    record.get(..memchr(0, record).unwrap_or(record.len())).unwrap_or_default()
}

/// The width of the records: the first LF tells it.
fn width_of(file: &OwnedFd, room: &mut [u8]) -> Result<Option<usize>, Errno> {
    let mut len = INDEX_READ;
    loop {
        let front = room.get_mut(..len).unwrap_or_default();
        let got = pread_full(file, front, 0)?;
        let width = width_at(front.get(..got).unwrap_or_default());
        if width.is_some() || got < len || len >= INDEX_FRONT {
            return Ok(width);
        }
        len = INDEX_FRONT.min(room.len());
        if len <= INDEX_READ {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::WINDOW;
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn with<T>(bytes: &[u8], work: impl FnOnce(Option<Ix>, &mut [u8]) -> T) -> T {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nssbox-ix.{}.{number}", std::process::id());
        let file = std::env::temp_dir().join(name);
        fs::write(&file, bytes).unwrap();
        let path = CString::new(file.as_os_str().as_bytes()).unwrap();
        let mut room = vec![0; WINDOW];
        let ix = Ix::open(&path, 0, None, &mut room).unwrap();
        fs::remove_file(&file).unwrap();
        work(ix, &mut room)
    }

    /// Keys of one digit more than `most` has, with their numbers as offsets.
    fn records(keys: impl Iterator<Item = u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for key in keys {
            let mut room = [0; 32];
            let text = format!("k{key:06}");
            Record { key: text.as_bytes(), offset: key }.encode(20, &mut room).unwrap();
            bytes.extend_from_slice(&room[..20]);
        }
        bytes
    }

    #[test]
    fn an_index_that_has_a_key_twice_tells_nothing() {
        let mut bytes = records([1, 3, 3, 5].into_iter());
        for (offset, record) in bytes.chunks_exact_mut(20).enumerate() {
            let key: Vec<u8> = key_of(record).to_vec();
            Record { key: &key, offset: offset as u64 }.encode(20, record).unwrap();
        }
        with(&bytes, |ix, room| {
            let mut ix = ix.unwrap();
            for key in ["k000001", "k000002", "k000003", "k000004"] {
                assert_eq!(ix.find(key.as_bytes(), room), Ok(Told::Nothing), "{key}");
            }
        });
    }

    #[test]
    fn every_key_is_found_at_any_size_and_no_other() {
        for count in [1, 2, 3, 200, 204, 205, 206, 207, 1000, 5000] {
            with(&records((0..count).map(|n| 2 * n)), |ix, room| {
                let mut ix = ix.unwrap();
                for n in 0..=2 * count {
                    let want = if n % 2 == 0 && n < 2 * count { Told::At(n) } else { Told::Absent };
                    assert_eq!(ix.find(format!("k{n:06}").as_bytes(), room), Ok(want), "{count}");
                }
                for key in [&b""[..], b"a", b"z", b"k", b"k000000x"] {
                    assert_eq!(ix.find(key, room), Ok(Told::Absent));
                }
            });
        }
    }

    #[test]
    fn what_is_not_in_order_says_nothing() {
        for count in [2, 12, 205, 5000] {
            with(&records((0..count).rev()), |ix, room| {
                let mut ix = ix.unwrap();
                // Whatever is met in the middle may be right.
                let find = |n: u64| ix.find(format!("k{n:06}").as_bytes(), room);
                let told: Vec<_> = (0..count).map(find).collect();
                assert!(told.iter().all(|told| *told != Ok(Told::Absent)), "{count}");
                assert!(told.contains(&Ok(Told::Nothing)), "{count}");
                assert_eq!(ix.find(b"k9", room), Ok(Told::Nothing));
            });
        }
        // Two that are the wrong way round, and one that is there twice.
        let mut swapped: Vec<u64> = (0..1000).collect();
        swapped.swap(500, 501);
        let twice = (0..1000).map(|n| n - n % 2);
        for bytes in [records(swapped.into_iter()), records(twice)] {
            with(&bytes, |ix, room| {
                let mut ix = ix.unwrap();
                for n in 500..502 {
                    let told = ix.find(format!("k{n:06}").as_bytes(), room);
                    assert_ne!(told, Ok(Told::Absent), "{n}");
                }
            });
        }
    }

    #[test]
    fn what_is_no_index_is_not_opened() {
        let good = records(0..10);
        for bad in [&b""[..], &good[..199], &good[..5], b"\n\n\n", b"no line"] {
            with(bad, |ix, _| assert!(ix.is_none()));
        }
        let wide = [vec![b'k'; 64 * 1024], b"\n".to_vec()].concat();
        with(&wide, |ix, _| assert!(ix.is_none()));
        let mut odd = good.clone();
        odd[100] = b'\n';
        with(&odd, |ix, room| {
            assert_eq!(ix.unwrap().find(b"k000003", room), Ok(Told::Nothing));
        });
        assert_eq!(
            Ix::open(c"/nonexistent/x", 0, None, &mut vec![0; WINDOW]).err(),
            Some(Errno::NOENT)
        );
        assert!(Ix::open(c"/", 0, None, &mut vec![0; WINDOW]).unwrap().is_none());
    }
}
