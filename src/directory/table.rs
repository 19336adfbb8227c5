//! Writes a hash table (nssproto::cache::hash) from keys in any order.

use super::folder::{Folder, Version};
use super::sort::Sorter;
use super::temporary::{Temporary, unwritten};
use crate::sys::error::Error;
use nssproto::cache::hash::{BLOCK, Filler, Header, Kind, OFFSET_END, hash};

/// Collects the keys of a table.
pub struct TableKeys<'a> {
    folder: &'a Folder,
    hashes: Sorter<'a>,
    /// Some offset is too large.
    useless: bool,
}

impl<'a> TableKeys<'a> {
    /// None yet.
    pub fn new(folder: &'a Folder) -> Self {
        TableKeys { folder, hashes: Sorter::new(folder), useless: false }
    }

    /// Takes a key, which was not there before, and where it leads.
    pub fn put(&mut self, key: &[u8], offset: u64) -> Result<(), Error> {
        self.useless |= offset >= OFFSET_END;
        self.hashes.put(&hash(key).to_be_bytes(), offset)
    }

    /// Writes the table behind what is in a file, which begins with room for the header; false: there
    /// is none for these keys.
    pub fn write(self, out: &mut Temporary<'_>, kind: Kind, data: &Version) -> Result<bool, Error> {
        if self.useless {
            return Ok(false);
        }
        let mut header = Header::new(kind, data.size, data.mtime, self.hashes.count);
        let past = (out.len() % BLOCK as u64) as usize;
        if past > 0 {
            out.put([0; BLOCK].get(past..).unwrap_or_default())?;
        }
        header.table = out.len();
        let mut filler = Filler::new(&header);
        let (mut sorted, mut key) = (self.hashes.sorted()?, Vec::new());
        while let Some(offset) = sorted.next(&mut key).map_err(|e| unwritten(self.folder, &e))? {
            let hash = key.first_chunk().map_or(0, |hash| u64::from_be_bytes(*hash));
            loop {
                match filler.put(hash, offset) {
                    Ok(None) => break,
                    Ok(Some(block)) => out.put(&block)?,
                    Err(_) => return Ok(false),
                }
            }
        }
        while let Some(block) = filler.end() {
            out.put(&block)?;
        }
        (header.blocks, header.size) = (filler.blocks(), out.len());
        out.put_at(&header.encode(), 0)?;
        Ok(true)
    }
}

/// A file that begins with room for a header.
pub fn begin(folder: &Folder) -> Result<Temporary<'_>, Error> {
    let mut file = Temporary::new(folder)?;
    file.put(&[0; BLOCK])?;
    Ok(file)
}
