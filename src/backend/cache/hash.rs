//! Looks a key up in a hash table on disk (nssproto::cache::hash): one pread, hardly ever two.

use crate::sys::file::{open, pread_full};
use crate::sys::stat::fstat;
use nssproto::cache::hash::{BLOCK, Block, Header, Kind, SPILL, hash};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

/// A table that is open, and fits its data file.
pub struct Table {
    /// For what slots lead to, where that is in the same file.
    pub file: OwnedFd,
    header: Header,
    seed: u32,
}

impl Table {
    /// The table of this kind at `path`, of a data file of that size that was changed then (seconds
    /// and nanoseconds), if it is one. Of one that is a table of other data, the second in which that
    /// was changed goes to `other`.
    pub fn open(
        path: &CStr,
        kind: Kind,
        (size, mtime): (u64, (i64, u32)),
        other: &mut Option<i64>,
    ) -> Result<Option<Table>, Errno> {
        let file = open(path, OFlags::RDONLY, Mode::empty())?;
        let there = fstat(&file)?;
        let mut block = [0; BLOCK];
        let is_file = FileType::from_raw_mode(there.st_mode) == FileType::RegularFile;
        if !is_file || pread_full(&file, &mut block, 0)? < BLOCK {
            return Ok(None);
        }
        let Ok(header) = Header::decode(&block) else { return Ok(None) };
        #[allow(clippy::unnecessary_cast, reason = "the field has another type on other targets")]
        let fits = header.kind == kind && header.size == there.st_size as u64;
        let is_other = header.data_size != size || header.data_mtime != mtime;
        if is_other {
            *other = Some(header.data_mtime.0);
        }
        Ok((fits && !is_other).then(|| Table { file, seed: header.seed(), header }))
    }

    /// The first offset that a key has there. `None`: it has none. The error: the table is damaged, or
    /// cannot be read.
    ///
    /// An offset may be that of another key, once in some million; then it is not known whether there
    /// are others.
    pub fn find(&self, key: &[u8]) -> Result<Option<u64>, Errno> {
        let hash = hash(key);
        let home = self.header.home_of(hash);
        let mut block = [0; BLOCK];
        for number in home..=home.saturating_add(SPILL) {
            let Some(at) = self.header.place_of(number) else { break };
            if pread_full(&self.file, &mut block, at)? < BLOCK {
                return Err(Errno::IO);
            }
            let block = Block::decode(&block, self.seed, number).map_err(|_| Errno::IO)?;
            if let Some(offset) = block.offsets(hash).next() {
                return Ok(Some(offset));
            }
            if !block.is_full() {
                break;
            }
        }
        Ok(None)
    }
}
