//! The key, and the uid that it derives of a name.

use super::trust;
use crate::sys::file::{open, open_path, path as c_path};
use crate::sys::stat::fstat;
use nssproto::bytes::hex_digit;
use rustix::fs::{Mode, OFlags, fsync, unlink};
use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::rand::{GetRandomFlags, getrandom};
use siphasher::sip::SipHasher24;

/// A secret of 16 bytes, as SipHash takes it: two numbers, the lowest byte first.
pub struct Key(u64, u64);

/// Why a key file is no key.
#[derive(Debug)]
pub enum KeyError {
    /// It cannot be read.
    System(Errno),
    /// It is not what it should be.
    Bad(&'static str),
}

impl From<Errno> for KeyError {
    fn from(errno: Errno) -> Self {
        KeyError::System(errno)
    }
}

impl Key {
    /// Reads 32 hexadecimal digits, and perhaps a newline, from a file that only its owner, root
    /// or we, can read.
    pub fn read(path: &[u8]) -> Result<Self, KeyError> {
        let file = open_path(path, OFlags::RDONLY, Mode::empty())?;
        let stat = fstat(&file)?;
        let what = if !trust::is_file(&stat) {
            "the key is no regular file:"
        } else if !trust::is_ours(&stat) {
            "the key belongs to another user:"
        } else if stat.st_mode & 0o077 != 0 {
            "the key can be read or written by others (it must have mode 0400):"
        } else {
            let mut room = [0; 64];
            let len = retry_on_intr(|| read(&file, &mut room))?;
            let text = room.get(..len).unwrap_or_default();
            match Key::parse(text.strip_suffix(b"\n").unwrap_or(text)) {
                Some(key) => return Ok(key),
                None => "the key does not hold a key: 32 hexadecimal digits:",
            }
        };
        Err(KeyError::Bad(what))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut halves = [0_u64; 2];
        for (at, digit) in text.iter().enumerate() {
            let half = halves.get_mut(at / 16)?;
            *half = *half << 4 | u64::from(char::from(*digit).to_digit(16)?);
        }
        // The lowest byte came first.
        let [first, second] = halves.map(u64::swap_bytes);
        (text.len() == 32).then_some(Key(first, second))
    }

    /// `LO + ((siphash24(key, name) * SIZE) >> 64)`: the same on every machine.
    pub fn derive(&self, name: &[u8], lo: u32, size: u32) -> u32 {
        // By halves: a product of 128 bits is much code on a small processor.
        let (hash, size) = (self.hash(name), u64::from(size));
        let low = (hash & u64::from(u32::MAX)) * size;
        lo + (((hash >> 32) * size + (low >> 32)) >> 32) as u32
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        SipHasher24::new_with_keys(self.0, self.1).hash(bytes)
    }
}

/// Makes a file with a new key. One that is there already is left alone.
pub fn make(path: &[u8]) -> Result<(), Errno> {
    let mut key = [0u8; 16];
    getrandom(&mut key, GetRandomFlags::empty())?;
    let mut text = [b'\n'; 2 * 16 + 1];
    for (at, digit) in text.iter_mut().take(2 * key.len()).enumerate() {
        let byte = key.get(at / 2).copied().unwrap_or_default();
        let half = if at % 2 == 0 { byte >> 4 } else { byte & 15 };
        *digit = hex_digit(half);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let path = c_path(path)?;
    let file = open(&path, flags, Mode::from_raw_mode(0o400))?;
    let written = match retry_on_intr(|| write(&file, &text)) {
        Ok(len) if len < text.len() => Err(Errno::NOSPC),
        other => other.and_then(|_| fsync(&file)),
    };
    // Half a key would be in the way of the next attempt.
    written.inspect_err(|_| {
        let _ = unlink(&*path);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_siphash_2_4() {
        let key = Key::parse(b"000102030405060708090a0B0c0d0e0F").unwrap();
        let message: Vec<u8> = (0..15).collect();
        assert_eq!(key.hash(&message), 0xa129_ca61_49be_45e5);
        assert_eq!(key.derive(b"alice", 1_879_048_192, 134_217_728), 1_938_476_856);
        assert_eq!(key.derive(b"alice", 20000, 40000), 37711);
    }

    #[test]
    fn a_key_has_32_digits() {
        for bad in ["", "00", "000102030405060708090a0b0c0d0e0", "g00102030405060708090a0b0c0d0e0f"]
        {
            assert!(Key::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
