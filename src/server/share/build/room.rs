//! Lists and buffers that become larger as they need be, up to a limit.

use super::Trouble;
use crate::sys::may_alloc;
use nssproto::EncodeError;
use nssproto::nscd::map::{Builder, Key};
use rustix::io::Errno;

/// An empty place of the lists.
pub const NOTHING: u32 = u32::MAX;

/// Buckets while records are looked for.
const BUCKETS: usize = 4093;

/// A builder in these buffers, which are made larger as they need be.
pub fn begun(data: Vec<u8>, mut table: Vec<u8>) -> Result<Builder<Vec<u8>>, Trouble> {
    grow(&mut table, 4 * BUCKETS, usize::MAX)?;
    table.truncate(4 * BUCKETS);
    Ok(Builder::new(data, table))
}

/// Makes a list at least so long, but not longer than that.
pub fn grow<T: Copy + Default>(list: &mut Vec<T>, len: usize, max: usize) -> Result<(), Trouble> {
    if len > max {
        return Err(Trouble::TooLarge);
    }
    if list.len() < len {
        if list.capacity() < len {
            let room = (2 * list.len()).clamp(len, max) - list.len();
            may_alloc(|| list.try_reserve_exact(room)).map_err(|_| Errno::NOMEM)?;
        }
        list.resize(list.capacity().min(max).max(len), T::default());
    }
    Ok(())
}

pub fn push(list: &mut Vec<u32>, words: &[u32], max: usize) -> Result<(), Trouble> {
    let len = list.len();
    if list.capacity() < len + words.len() {
        grow(list, len + words.len(), max / 4)?;
        list.truncate(len);
    }
    list.extend_from_slice(words);
    Ok(())
}

pub fn get(list: &[u32], at: usize) -> u32 {
    list.get(at).copied().unwrap_or(NOTHING)
}

pub fn set(list: &mut [u32], at: usize, word: u32) {
    if let Some(place) = list.get_mut(at) {
        *place = word;
    }
}

pub fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(NOTHING, |word| u32::from_ne_bytes(*word))
}

/// Adds a record, in as much room as it needs.
pub fn add(
    builder: &mut Builder<Vec<u8>>,
    max: usize,
    write: &dyn Fn(&mut [u8]) -> Result<usize, EncodeError>,
    keys: &[(u8, Key<'_>)],
) -> Result<(), Trouble> {
    loop {
        let have = builder.data().len();
        let written = write(builder.room()).map_err(|error| match error {
            // And its front.
            EncodeError::NoSpace(size) => EncodeError::NoSpace(have + size + 32),
            error => error,
        });
        match written.and_then(|len| builder.add(len, keys)) {
            Ok(()) => return Ok(()),
            Err(EncodeError::NoSpace(size)) => grow(builder.data_room(), size.max(4096), max)?,
            Err(_) => return Err(Trouble::TooLarge),
        }
    }
}
