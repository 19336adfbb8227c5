//! The groups of a user: a record of his name and of the gids of all groups that list him, in the order
//! of their lines.
//!
//! The file is a [`super::hash`] table whose keys are users' names and whose offsets lead to records of
//! the same file. A record is: its length, two bytes, little-endian; the length of the name, a byte; the
//! name; the gids, each in groups of seven bits from the lowest on, the highest bit of a byte telling that
//! another one follows; a checksum, four bytes, little-endian.
//!
//! A user in more groups than a record has room for has a record without gids: his groups are to be
//! looked for in the lines. Who is in no group has none.
//!
//! ```
//! use nssproto::cache::members::Record;
//!
//! let mut room = [0; 64];
//! let len = Record::encode(b"ada", &[50, 20000], &mut room).unwrap();
//! let record = Record::decode(&room).unwrap();
//! assert_eq!((record.len, record.value.name), (len, &b"ada"[..]));
//! assert!(record.value.gids.eq([50, 20000]));
//! ```

use super::KEY_MAX;
use crate::bytes::{Fnv1a, Reader, Writer};
use crate::{DecodeError, Decoded, EncodeError, Malformed};

/// Bytes of a record at most: some 8,000 groups.
pub const MAX: usize = 32 * 1024;

/// The least: what is there besides a name and gids.
const LEAST: usize = 2 + 1 + 4;

/// The groups of a user.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The user.
    pub name: &'a [u8],
    /// His groups; none: they are to be looked for in the lines.
    pub gids: Gids<'a>,
}

/// Gids of a record.
#[derive(Clone, Copy, Debug)]
pub struct Gids<'a>(&'a [u8]);

impl Iterator for Gids<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (gid, rest) = number(self.0)?;
        self.0 = rest;
        Some(gid)
    }
}

/// The number at the front of `bytes`, and what follows it. `None`: there is none of 32 bits.
fn number(mut bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0_u64;
    for shift in [0, 7, 14, 21, 28] {
        let (byte, rest) = bytes.split_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        bytes = rest;
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, bytes));
        }
    }
    None
}

fn put_number(mut value: u32, put: &mut dyn FnMut(u8)) {
    while value > 0x7f {
        put(value as u8 | 0x80);
        value >>= 7;
    }
    put(value as u8);
}

/// Of all of a record that is in front of it.
fn checksum(front: &[u8]) -> u32 {
    let mut fnv = Fnv1a::START;
    fnv.feed(front);
    (fnv.value() ^ fnv.value() >> 32) as u32
}

impl<'a> Record<'a> {
    /// The record at the front of `bytes`. Its gids have been checked.
    pub fn decode(bytes: &'a [u8]) -> Result<Decoded<Self>, DecodeError> {
        const WRONG: DecodeError = DecodeError::Malformed(Malformed("damaged record of groups"));
        let len = usize::from(Reader::new(bytes).u16_le()?);
        if !(LEAST..=MAX).contains(&len) {
            return Err(WRONG);
        }
        let record = Reader::new(bytes).take(len)?;
        let (front, sum) = record.split_last_chunk::<4>().ok_or(WRONG)?;
        if checksum(front) != u32::from_le_bytes(*sum) {
            return Err(WRONG);
        }
        let mut reader = Reader::new(front);
        let name = reader.u16_le().and_then(|_| reader.u8()).map_err(|_| WRONG)?;
        let name = reader.take(name.into()).map_err(|_| WRONG)?;
        let gids = front.get(reader.taken()..).ok_or(WRONG)?;
        let mut rest = gids;
        while !rest.is_empty() {
            (_, rest) = number(rest).ok_or(WRONG)?;
        }
        Ok(Decoded { value: Record { name, gids: Gids(gids) }, len })
    }

    /// Writes the record of a user to the front of `out`. [`EncodeError::Unrepresentable`]: the name is
    /// longer than a key, or he is in too many groups.
    pub fn encode(name: &[u8], gids: &[u32], out: &mut [u8]) -> Result<usize, EncodeError> {
        if name.len() > KEY_MAX {
            return Err(EncodeError::Unrepresentable("a name longer than a key"));
        }
        let mut len = LEAST + name.len();
        gids.iter().for_each(|gid| put_number(*gid, &mut |_| len += 1));
        if len > MAX {
            return Err(EncodeError::Unrepresentable("a user in too many groups"));
        }
        let mut sink = Writer::new(out, len)?;
        sink.put(&(len as u16).to_le_bytes());
        sink.put(&[name.len() as u8]);
        sink.put(name);
        gids.iter().for_each(|gid| put_number(*gid, &mut |byte| sink.put(&[byte])));
        let sum = checksum(out.get(..len - 4).unwrap_or_default());
        if let Some(place) = out.get_mut(len - 4..len) {
            place.copy_from_slice(&sum.to_le_bytes());
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIDS: [u32; 7] = [0, 127, 128, 16_383, 16_384, 1 << 28, u32::MAX];

    #[test]
    fn what_is_written_is_read_and_any_bit_counts() {
        let mut room = [0xa5; 64];
        let len = Record::encode(b"ada", &GIDS, &mut room).unwrap();
        let record = Record::decode(&room).unwrap();
        assert!(record.len == len && record.value.name == b"ada" && record.value.gids.eq(GIDS));
        for bit in 0..len * 8 {
            let mut other = room;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(&other).is_err(), "{bit}");
        }
        for short in 0..len {
            assert!(matches!(Record::decode(&room[..short]), Err(DecodeError::Incomplete(_))));
        }
    }

    #[test]
    fn too_many_groups_and_too_little_room_write_nothing() {
        let mut room = [0xa5; 16];
        assert_eq!(Record::encode(b"ada", &GIDS, &mut room), Err(EncodeError::NoSpace(29)));
        let many = [u32::MAX; MAX / 5 + 1];
        assert!(matches!(
            Record::encode(b"ada", &many, &mut room),
            Err(EncodeError::Unrepresentable(_))
        ));
        assert!(Record::encode(&[b'n'; KEY_MAX + 1], &[], &mut [0; 999]).is_err());
        assert_eq!(room, [0xa5; 16]);
        assert_eq!(Record::encode(b"ada", &[], &mut room), Ok(10));
        assert_eq!(Record::decode(&room).unwrap().value.gids.count(), 0);
    }
}
