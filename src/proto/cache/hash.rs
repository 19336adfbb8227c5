//! Hash tables in files: a key leads to an offset, by one read at any size.
//!
//! The file begins with a [`Header`], in a block of its own. The table is blocks of [`BLOCK`] bytes,
//! each with up to [`SLOTS`] slots, how many those are, and a checksum. A slot is a tag, 24 bits of
//! the key's hash, and an offset of 40 bits. A key's slot stands in the block that its hash says
//! ([`Header::home_of`]) or, where that one is full, in one of the [`SPILL`] next; so the file is
//! written front to back from keys in the order of their hashes ([`Filler`]).
//!
//! All numbers are little-endian. A checksum covers what tells this file from others ([`Header::seed`])
//! and the number of the block: damage at any byte is seen, and so is a block of another file.
//!
//! ```
//! use nssproto::cache::hash::{BLOCK, Block, Filler, Header, Kind, hash};
//!
//! let header = Header::new(Kind::Name, 1000, (1_700_000_000, 0), 1);
//! let mut filler = Filler::new(&header);
//! assert!(filler.put(hash(b"ada"), 127).unwrap().is_none());
//! let block: [u8; BLOCK] = filler.end().unwrap();
//!
//! let block = Block::decode(&block, header.seed(), 0)?;
//! assert!(block.offsets(hash(b"ada")).eq([127]));
//! assert_eq!((block.offsets(hash(b"bob")).count(), block.is_full()), (0, false));
//! # Ok::<(), nssproto::Malformed>(())
//! ```

use crate::bytes::{Fnv1a, Writer};
use crate::{EncodeError, Malformed};

/// Bytes of a block: none crosses a page.
pub const BLOCK: usize = 512;

/// Slots of a block.
pub const SLOTS: usize = 63;

/// Of which so many are used at first, on the average: hardly any block overflows.
const USED: u64 = 47;

/// How many blocks further on a slot may stand. What would be further has no place, which keys that
/// somebody has chosen for that can bring about: then there is no such file.
pub const SPILL: u32 = 7;

/// Offsets are below it.
pub const OFFSET_END: u64 = 1 << 40;

const OFFSET: u64 = OFFSET_END - 1;

/// What a file begins with: its kind of file, and the version of that.
const MAGIC: &[u8; 8] = b"nssbox\x01\n";

/// What leads where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first field of a line to the line.
    Name = 1,
    /// A number, in decimal digits, to the line.
    Id = 2,
    /// A user to the record of his groups: see [`super::members`].
    Member = 3,
}

/// What a file is, and of which data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What its keys are.
    pub kind: Kind,
    /// Bytes of the data file.
    pub data_size: u64,
    /// The time of its last change: seconds since the epoch, and nanoseconds.
    pub data_mtime: (i64, u32),
    /// Blocks that hashes say.
    pub home: u32,
    /// Where the table begins.
    pub table: u64,
    /// Blocks of the table.
    pub blocks: u32,
    /// Bytes of this file.
    pub size: u64,
}

/// The hash of a key: FNV-1a, then mixed so that all bits of it depend on all of the key.
pub fn hash(key: &[u8]) -> u64 {
    let mut fnv = Fnv1a::START;
    fnv.feed(key);
    let mut hash = fnv.value();
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

/// A step of the checksum: one to one, so that another word is never missed.
fn mix(sum: u32, word: u32) -> u32 {
    (sum ^ word).wrapping_mul(0x9e37_79b1).rotate_left(15)
}

/// The checksum of whole words, in four lanes that do not wait for each other.
fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let word = |bytes: &[u8]| bytes.first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
    let mut lanes = [seed, !seed, seed.rotate_left(8), seed.rotate_left(16)];
    let rows = bytes.chunks_exact(16);
    let rest = rows.remainder();
    for row in rows {
        for (lane, bytes) in lanes.iter_mut().zip(row.chunks_exact(4)) {
            *lane = mix(*lane, word(bytes));
        }
    }
    let rest = rest.chunks_exact(4).fold(0, |sum, bytes| mix(sum, word(bytes)));
    lanes.into_iter().fold(rest, mix)
}

/// The checksum of a block, which stands in its last four bytes.
fn block_sum(seed: u32, number: u32, block: &[u8; BLOCK]) -> u32 {
    let start = seed ^ number.wrapping_mul(0x85eb_ca6b) ^ 0x6c8e_9cf5;
    block.split_last_chunk::<4>().map_or(0, |(front, _)| checksum(start, front))
}

/// The last four bytes.
fn stated_sum(block: &[u8; BLOCK]) -> u32 {
    block.last_chunk().map_or(0, |sum| u32::from_le_bytes(*sum))
}

impl Header {
    /// Of a file with so many keys, whose table begins right behind the header and has yet to be
    /// written.
    pub fn new(kind: Kind, data_size: u64, data_mtime: (i64, u32), keys: u64) -> Self {
        // More would be 100 GB.
        let home = u32::try_from(keys.div_ceil(USED)).unwrap_or(u32::MAX).clamp(1, u32::MAX / 2);
        let (table, size) = (BLOCK as u64, 0);
        Header { kind, data_size, data_mtime, home, table, blocks: 0, size }
    }

    /// The block that a hash says.
    pub fn home_of(&self, hash: u64) -> u32 {
        (((hash >> 32) * u64::from(self.home)) >> 32) as u32
    }

    /// Where a block stands in the file; `None`: the table has no such.
    pub fn place_of(&self, number: u32) -> Option<u64> {
        (number < self.blocks).then(|| self.table + u64::from(number) * BLOCK as u64)
    }

    /// What the checksums of the blocks begin with.
    pub fn seed(&self) -> u32 {
        let mut fnv = Fnv1a::START;
        fnv.feed(&[self.kind as u8]);
        fnv.feed(&self.data_size.to_le_bytes());
        fnv.feed(&self.data_mtime.0.to_le_bytes());
        fnv.feed(&self.data_mtime.1.to_le_bytes());
        fnv.feed(&self.home.to_le_bytes());
        (fnv.value() ^ fnv.value() >> 32) as u32
    }

    /// The block that a file begins with.
    pub fn encode(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        // There is room.
        if let Ok(mut sink) = Writer::new(&mut block, 64) {
            sink.put(MAGIC);
            sink.put(&(self.kind as u32).to_le_bytes());
            sink.put(&self.home.to_le_bytes());
            sink.put(&self.data_size.to_le_bytes());
            sink.put(&self.data_mtime.0.to_le_bytes());
            sink.put(&self.data_mtime.1.to_le_bytes());
            sink.put(&self.blocks.to_le_bytes());
            sink.put(&self.table.to_le_bytes());
            sink.put(&self.size.to_le_bytes());
        }
        with_sum(block, 0, u32::MAX)
    }

    /// The header in a block.
    pub fn decode(block: &[u8; BLOCK]) -> Result<Self, Malformed> {
        if block.get(..MAGIC.len()) != Some(MAGIC) {
            return Err(Malformed("no such file, or of another version"));
        }
        if stated_sum(block) != block_sum(0, u32::MAX, block) {
            return Err(Malformed("damaged header"));
        }
        let word = |at: usize| {
            let word = block.get(4 * at..).and_then(<[u8]>::first_chunk);
            word.map_or(0, |word| u32::from_le_bytes(*word))
        };
        let long = |at: usize| u64::from(word(at + 1)) << 32 | u64::from(word(at));
        let header = Header {
            kind: match word(2) {
                1 => Kind::Name,
                2 => Kind::Id,
                3 => Kind::Member,
                _ => return Err(Malformed("a kind of keys that is not known")),
            },
            home: word(3),
            data_size: long(4),
            data_mtime: (long(6).cast_signed(), word(8)),
            blocks: word(9),
            table: long(10),
            size: long(12),
        };
        // Offsets of all that is read are below that of 2^63, then.
        let end = u64::from(header.blocks) * BLOCK as u64 + header.table.min(1 << 62);
        if header.home == 0 || header.blocks < header.home || end != header.size {
            return Err(Malformed("a table that is not where it should be"));
        }
        Ok(header)
    }
}

/// Puts the checksum into a block.
fn with_sum(mut block: [u8; BLOCK], seed: u32, number: u32) -> [u8; BLOCK] {
    let sum = block_sum(seed, number, &block);
    if let Some(place) = block.last_chunk_mut() {
        *place = sum.to_le_bytes();
    }
    block
}

/// A block of a table, whose checksum holds.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    slots: &'a [u8],
}

impl<'a> Block<'a> {
    /// The block of this number, in a file with this seed.
    pub fn decode(block: &'a [u8; BLOCK], seed: u32, number: u32) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("damaged block");
        if stated_sum(block) != block_sum(seed, number, block) {
            return Err(WRONG);
        }
        let count = usize::from(*block.get(SLOTS * 8).ok_or(WRONG)?).min(SLOTS);
        Ok(Block { slots: block.get(..count * 8).ok_or(WRONG)? })
    }

    /// The offsets in slots that may be those of a key with this hash.
    pub fn offsets(&self, hash: u64) -> impl Iterator<Item = u64> + use<'a> {
        let slots = self.slots.chunks_exact(8).filter_map(<[u8]>::first_chunk);
        let slots = slots.map(|slot| u64::from_le_bytes(*slot));
        slots.filter(move |slot| slot >> 40 == hash & 0xff_ffff).map(|slot| slot & OFFSET)
    }

    /// Whether slots may stand in the next block that belong here.
    pub fn is_full(&self) -> bool {
        self.slots.len() == SLOTS * 8
    }
}

/// Puts slots into blocks, one block after the other.
#[derive(Debug)]
pub struct Filler {
    header: Header,
    seed: u32,
    number: u32,
    count: usize,
    block: [u8; BLOCK],
}

impl Filler {
    /// At the first block of the table of this header.
    pub fn new(header: &Header) -> Self {
        let header = *header;
        Filler { header, seed: header.seed(), number: 0, count: 0, block: [0; BLOCK] }
    }

    /// Takes the next slot, whose hash is not below that of the one before. A block that comes back is
    /// complete and goes to the file; the slot is not taken then, and is to be put again.
    ///
    /// [`EncodeError::Unrepresentable`]: it has no place, and there is no such table.
    pub fn put(&mut self, hash: u64, offset: u64) -> Result<Option<[u8; BLOCK]>, EncodeError> {
        const NO_PLACE: EncodeError = EncodeError::Unrepresentable("a key has no place in a table");
        let home = self.header.home_of(hash);
        if offset >= OFFSET_END || self.number > home.saturating_add(SPILL) {
            return Err(NO_PLACE);
        }
        if self.number < home || self.count == SLOTS {
            return self.flush().map(Some);
        }
        let slot = (hash & 0xff_ffff) << 40 | offset;
        let place = self.block.get_mut(self.count * 8..).and_then(<[u8]>::first_chunk_mut);
        *place.ok_or(NO_PLACE)? = slot.to_le_bytes();
        self.count += 1;
        Ok(None)
    }

    fn flush(&mut self) -> Result<[u8; BLOCK], EncodeError> {
        let mut block = core::mem::replace(&mut self.block, [0; BLOCK]);
        if let Some(place) = block.get_mut(SLOTS * 8) {
            *place = self.count as u8;
        }
        let done = with_sum(block, self.seed, self.number);
        (self.number, self.count) = (self.number + 1, 0);
        Ok(done)
    }

    /// The next of the blocks that are left when there are no more slots; `None`: that was the last,
    /// and [`Filler::blocks`] tells how many there are.
    pub fn end(&mut self) -> Option<[u8; BLOCK]> {
        let more = self.number < self.header.home || self.count > 0;
        if more { self.flush().ok() } else { None }
    }

    /// Blocks that are complete.
    pub fn blocks(&self) -> u32 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn table(header: &mut Header, keys: &[Vec<u8>]) -> Result<Vec<[u8; BLOCK]>, EncodeError> {
        let slots = keys.iter().enumerate().map(|(at, key)| (hash(key), at as u64));
        let mut slots: Vec<_> = slots.collect();
        slots.sort();
        let (mut filler, mut blocks) = (Filler::new(header), Vec::new());
        for (hash, offset) in slots {
            while let Some(block) = filler.put(hash, offset)? {
                blocks.push(block);
            }
        }
        while let Some(block) = filler.end() {
            blocks.push(block);
        }
        header.blocks = filler.blocks();
        header.size = header.table + blocks.len() as u64 * BLOCK as u64;
        Ok(blocks)
    }

    fn look_up(header: &Header, blocks: &[[u8; BLOCK]], key: &[u8]) -> Vec<u64> {
        let (hash, mut found) = (hash(key), Vec::new());
        let home = header.home_of(hash);
        for number in home..=home + SPILL {
            let Some(block) = blocks.get(number as usize) else { break };
            let block = Block::decode(block, header.seed(), number).unwrap();
            found.extend(block.offsets(hash));
            if !block.is_full() {
                break;
            }
        }
        found
    }

    fn names(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|at| std::format!("user{at}").into_bytes()).collect()
    }

    #[test]
    fn every_key_is_found_and_hardly_any_other() {
        for count in [0, 1, 46, 47, 48, 500, 20_000] {
            let keys = names(count);
            let mut header = Header::new(Kind::Name, 7, (8, 9), count as u64);
            let blocks = table(&mut header, &keys).unwrap();
            assert!(blocks.len() <= count.div_ceil(USED as usize).max(1) + 2, "{}", blocks.len());
            for (at, key) in keys.iter().enumerate() {
                assert!(look_up(&header, &blocks, key).contains(&(at as u64)), "{key:?}");
            }
            let others = (0..count).filter(|at| {
                !look_up(&header, &blocks, std::format!("nobody{at}").as_bytes()).is_empty()
            });
            assert!(others.count() <= 2);
            assert_eq!(Header::decode(&header.encode()), Ok(header));
        }
    }

    #[test]
    fn damage_at_any_bit_is_seen() {
        let mut header = Header::new(Kind::Id, 7, (8, 9), 40);
        let blocks = table(&mut header, &names(40)).unwrap();
        let first = header.encode();
        for bit in 0..BLOCK * 8 {
            let mut block = blocks[0];
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(Block::decode(&block, header.seed(), 0).is_err(), "{bit}");
            let mut block = first;
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&block).is_err(), "{bit}");
        }
        assert!(Block::decode(&blocks[0], header.seed(), 1).is_err(), "another place");
        let others = [
            Header { data_size: 6, ..header },
            Header { data_mtime: (9, 9), ..header },
            Header { data_mtime: (8, 8), ..header },
            Header { kind: Kind::Name, ..header },
        ];
        for other in others {
            assert!(Block::decode(&blocks[0], other.seed(), 0).is_err(), "{other:?}");
        }
        assert!(Block::decode(&[0; BLOCK], header.seed(), 0).is_err(), "nothing");
    }

    #[test]
    fn a_header_that_cannot_be_is_refused() {
        let mut good = Header::new(Kind::Member, 7, (-1, 9), 100);
        (good.blocks, good.size) = (3, 4 * BLOCK as u64);
        assert_eq!(Header::decode(&good.encode()), Ok(good));
        for bad in [
            Header { home: 0, ..good },
            Header { blocks: 2, ..good },
            Header { size: good.size + 1, ..good },
            Header { table: u64::MAX, ..good },
        ] {
            assert!(Header::decode(&bad.encode()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn keys_that_crowd_one_place_have_no_table() {
        let header = Header::new(Kind::Name, 7, (8, 9), 100_000);
        let (mut filler, mut taken) = (Filler::new(&header), 0);
        let end = loop {
            match filler.put(0, taken) {
                Ok(None) => taken += 1,
                Ok(Some(_)) => {}
                Err(error) => break error,
            }
        };
        assert!(matches!(end, EncodeError::Unrepresentable(_)));
        assert_eq!(taken, (SPILL as u64 + 1) * SLOTS as u64);
        assert!(Filler::new(&header).put(0, OFFSET_END).is_err());
    }
}
