//! The file that glibc's programs map instead of asking: all answers of a database, found by a hash
//! table. Its descriptor is the answer to GETFDPW and GETFDGR.
//!
//! All numbers are in the machine's own order, without padding.
//!
//! | part | bytes |
//! |---|---|
//! | header | 120: version 2, its size, gc_cycle, certainly_running, timestamp (8), 16, module, data_size, first_free, two numbers of entries, 60 |
//! | table | module × 4, and zeros to a multiple of 16: the first entry of each bucket |
//! | data | records and entries, at multiples of 8 |
//!
//! What refers to something is an offset from the first byte of data; `u32::MAX`: there is none.
//!
//! | record | entry |
//! |---|---|
//! | 4 size, 4 payload's, 8 timeout, notfound, nreloads, usable, 0, 4 ttl; payload; keys | type, first, 2 of 0, 4 key's length, 4 key, 4 owner, 4 next, 4 record, 8 of 0 |
//!
//! A payload is the reply that the socket would send ([`encode`](super::encode)). A key is what a
//! request has, with its NUL; where its text is, is free. Of the entries with the same key the first in
//! their bucket's chain counts. Source: glibc's nscd-client.h, and files of its nscd.
//!
//! ```
//! use nssproto::entry::Db;
//! use nssproto::line::parse;
//! use nssproto::nscd::map::{self, Builder, Header, Key, Map, kind};
//! use nssproto::nscd::{self, Password};
//!
//! let record = parse(Db::Passwd, b"ada:x:1001:1000:Ada:/home/ada:/bin/sh")?;
//! let (mut data, mut table) = ([0; 1024], [0; 4 * 31]);
//! let mut builder = Builder::new(&mut data[..], &mut table[..]);
//! let len = nscd::encode(&record, Password::AsItStands, builder.room())?;
//! builder.add(len, &[(kind::UID, Key::Behind(b"1001"))])?;
//!
//! // A file is the header, the table and the data, one behind the other.
//! let module = map::module_for(builder.entries());
//! builder.begin_link(module);
//! assert!(builder.link(usize::MAX));
//! let header = Header { entries: 1, module, data_size: builder.data().len() as u32, ..Header::OFF };
//! let file = [&header.encode()[..], builder.table(), builder.data()].concat();
//! assert_eq!(Map::check(&file)?.find(kind::UID, b"1001"), Some(&builder.data()[24..24 + len]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod read;

pub use read::{Entry, Map};

use crate::{EncodeError, Malformed};

/// Bytes of the header.
pub const HEADER: usize = 120;

/// Bytes of an entry.
const ENTRY: usize = 32;

/// Bytes of a record in front of its payload.
const RECORD: usize = 24;

/// There is no further one.
const END: u32 = u32::MAX;

/// Of an entry, where the next one of its chain is referred to; its record; where the one stands that
/// was added before it, as long as it is not linked.
mod entry {
    pub const NEXT: usize = 16;
    pub const RECORD: usize = 20;
    pub const BEFORE: usize = 24;
}

/// Numbers of requests, which are types of entries.
pub mod kind {
    /// A user by name.
    pub const USER: u8 = 0;
    /// A user by number.
    pub const UID: u8 = 1;
    /// A group by name.
    pub const GROUP: u8 = 2;
    /// A group by number.
    pub const GID: u8 = 3;
    /// The groups of a user.
    pub const GROUPS: u8 = 15;
}

/// Where the header says whether the map counts: an odd number: it does not, and the socket is asked.
pub const GC_CYCLE: u64 = 8;

/// Where its timestamp is.
pub const TIMESTAMP: u64 = 16;

/// Clients believe a map for so many seconds after its timestamp.
const BELIEVED: u64 = 300;

/// The timestamp of a map that is believed until `seconds` after `now`, which is in seconds since the
/// epoch.
pub fn lease(now: u64, seconds: u64) -> u64 {
    now.wrapping_add(seconds).wrapping_sub(BELIEVED)
}

/// What is told at the front of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// See [`GC_CYCLE`].
    pub gc_cycle: u32,
    /// See [`lease`].
    pub timestamp: u64,
    /// Buckets of the table.
    pub module: u32,
    /// Bytes of data.
    pub data_size: u32,
    /// How many entries there are.
    pub entries: u32,
}

impl Header {
    /// Of a map that has nothing, and is off.
    pub const OFF: Header =
        Header { gc_cycle: 1, timestamp: 0, module: 1, data_size: 0, entries: 0 };

    /// Its bytes. What nobody reads is 0, and so is what would say that the map counts for ever.
    pub fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        for (at, word) in [
            (0, super::VERSION),
            (4, HEADER as u32),
            (GC_CYCLE as usize, self.gc_cycle),
            (40, self.module),
            (44, self.data_size),
            (48, self.data_size),
            (52, self.entries),
            (56, self.entries),
        ] {
            put(&mut bytes, at, word);
        }
        let timestamp = bytes.get_mut(TIMESTAMP as usize..).and_then(<[u8]>::first_chunk_mut);
        if let Some(timestamp) = timestamp {
            *timestamp = self.timestamp.to_ne_bytes();
        }
        bytes
    }

    /// Reads the front of a file.
    pub fn decode(front: &[u8]) -> Result<Header, Malformed> {
        let field = |at| word(front, at).ok_or(Malformed("header is cut"));
        if front.len() < HEADER || field(0)? != super::VERSION || field(4)? != HEADER as u32 {
            return Err(Malformed("no header of this version"));
        }
        let timestamp = front.get(TIMESTAMP as usize..).and_then(<[u8]>::first_chunk);
        Ok(Header {
            gc_cycle: field(GC_CYCLE as usize)?,
            timestamp: timestamp.map_or(0, |bytes| u64::from_ne_bytes(*bytes)),
            module: field(40)?,
            data_size: field(44)?,
            entries: field(52)?,
        })
    }

    /// Where its data begin.
    pub fn data_at(&self) -> usize {
        HEADER + table_size(self.module)
    }

    /// Bytes of the whole file.
    pub fn file_size(&self) -> usize {
        self.data_at() + self.data_size as usize
    }
}

/// Bytes of a table with so many buckets.
pub fn table_size(module: u32) -> usize {
    (module as usize * 4).next_multiple_of(16)
}

/// How many buckets are for so many entries: the smallest prime that is not below that; 1 for none. The
/// hash is a multiple of a number that a power of two would know little of.
pub fn module_for(entries: u32) -> u32 {
    let is_prime = |number: &u32| {
        let mut divisors = (2..).take_while(|divisor| divisor * divisor <= *number);
        *number > 1 && divisors.all(|divisor| !number.is_multiple_of(divisor))
    };
    if entries == 0 { 1 } else { (entries..).find(is_prime).unwrap_or(1) }
}

/// The hash of a key, over its NUL as well: sdbm.
fn hash(text: &[u8]) -> u32 {
    let step = |hash: u32, byte: u8| hash.wrapping_mul(65_599).wrapping_add(byte.into());
    step(text.iter().fold(0, |hash, byte| step(hash, *byte)), 0)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

fn put(bytes: &mut [u8], at: usize, word: u32) {
    if let Some(place) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = word.to_ne_bytes();
    }
}

/// Where the text of a key is.
#[derive(Clone, Copy, Debug)]
pub enum Key<'a> {
    /// In the payload, at this offset, with so many bytes before its NUL.
    Within(usize, usize),
    /// To be put behind it.
    Behind(&'a [u8]),
}

/// Makes the table and the data of a file in two buffers, which may be exchanged for larger ones
/// ([`Builder::data_room`]) before more is added.
///
/// While records are added, the table is one of a size of its own, which serves to find what was added
/// before; [`Builder::begin_link`] and [`Builder::link`] make the file's.
pub struct Builder<B> {
    data: B,
    table: B,
    module: u32,
    used: usize,
    /// The entry that was added last; while it is linked, the next one to be.
    last: u32,
    entries: u32,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Builder<B> {
    /// Nothing, in these buffers. The table has a bucket for each four bytes, at least one.
    pub fn new(data: B, mut table: B) -> Self {
        let module = (table.as_ref().len() / 4).max(1) as u32;
        table.as_mut().fill(0xff);
        Builder { data, table, module, used: 0, last: END, entries: 0 }
    }

    /// How many entries were added.
    pub fn entries(&self) -> u32 {
        self.entries
    }

    /// The data so far.
    pub fn data(&self) -> &[u8] {
        self.data.as_ref().get(..self.used).unwrap_or_default()
    }

    /// The file's table, once all is linked.
    pub fn table(&self) -> &[u8] {
        self.table.as_ref().get(..table_size(self.module)).unwrap_or_default()
    }

    /// The buffer of the data, to be made larger; what is in it has to stay.
    pub fn data_room(&mut self) -> &mut B {
        &mut self.data
    }

    /// The buffer of the table, which has to have [`table_size`] bytes before it is linked.
    pub fn table_room(&mut self) -> &mut B {
        &mut self.table
    }

    /// Where the payload of the next record is to be put.
    pub fn room(&mut self) -> &mut [u8] {
        self.data.as_mut().get_mut(self.used + RECORD..).unwrap_or_default()
    }

    /// Adds the record whose payload of so many bytes was put to [`Builder::room`], and an entry for each
    /// key. [`EncodeError::NoSpace`]: the data need so many bytes; nothing was added.
    pub fn add(&mut self, len: usize, keys: &[(u8, Key<'_>)]) -> Result<(), EncodeError> {
        let behind = |key: &Key<'_>| match key {
            Key::Within(..) => 0,
            Key::Behind(text) => text.len() + 1,
        };
        let size = RECORD + len + keys.iter().map(|(_, key)| behind(key)).sum::<usize>();
        let record = self.used;
        let mut at = record + size.next_multiple_of(8);
        let end = at + keys.len() * ENTRY;
        let data = self.data.as_mut();
        if end > data.len() || i32::try_from(end).is_err() {
            return Err(EncodeError::NoSpace(end));
        }
        // Clients read the sizes, and that it is usable; nscd's own timeout is one that never comes.
        let one = u32::from_ne_bytes([0, 0, 1, 0]);
        let words = [size as u32, len as u32].into_iter().chain(long(0x7fff_ffff)).chain([one, 0]);
        words.enumerate().for_each(|(n, word)| put(data, record + 4 * n, word));
        let mut text = record + RECORD + len;
        // The keys, and what is left between them and the entries.
        if let Some(rest) = data.get_mut(text..end) {
            rest.fill(0);
        }
        for (n, (kind, key)) in keys.iter().enumerate() {
            let (key, len) = match *key {
                Key::Within(from, len) => (record + RECORD + from, len),
                Key::Behind(bytes) => {
                    let key = text;
                    if let Some(place) = data.get_mut(key..key + bytes.len()) {
                        place.copy_from_slice(bytes);
                    }
                    text += bytes.len() + 1;
                    (key, bytes.len())
                }
            };
            let first = u32::from_ne_bytes([*kind, u8::from(n == 0), 0, 0]);
            let hash = hash(data.get(key..key + len).unwrap_or_default());
            let bucket = 4 * (hash % self.module) as usize;
            let next = word(self.table.as_ref(), bucket).unwrap_or(END);
            let words = [first, len as u32 + 1, key as u32, END, next, record as u32, self.last];
            words.iter().enumerate().for_each(|(n, word)| put(data, at + 4 * n, *word));
            put(self.table.as_mut(), bucket, at as u32);
            self.last = at as u32;
            at += ENTRY;
        }
        self.used = end;
        self.entries += keys.len() as u32;
        Ok(())
    }

    /// Where the record of a key stands, if one was added with it: not after it began to be linked.
    pub fn find(&self, kind: u8, key: &[u8]) -> Option<usize> {
        let data = self.data.as_ref();
        let bucket = 4 * (hash(key) % self.module) as usize;
        let mut at = word(self.table.as_ref(), bucket)?;
        while at != END {
            let entry = at as usize;
            let is_kind = data.get(entry) == Some(&kind);
            if is_kind && word(data, entry + 4) == u32::try_from(key.len() + 1).ok() {
                let text = word(data, entry + 8)? as usize;
                if data.get(text..text + key.len()) == Some(key) {
                    return Some(word(data, entry + entry::RECORD)? as usize);
                }
            }
            at = word(data, entry + entry::NEXT)?;
        }
        None
    }

    /// The payload of the record that stands there, and what is behind it.
    pub fn payload(&self, record: usize) -> &[u8] {
        self.data.as_ref().get(record + RECORD..).unwrap_or_default()
    }

    /// From now on nothing is added: the table is the file's, with so many buckets.
    pub fn begin_link(&mut self, module: u32) {
        self.module = module.max(1);
        let (front, behind) = (4 * self.module as usize, table_size(self.module));
        let table = self.table.as_mut();
        if let Some(buckets) = table.get_mut(..front) {
            buckets.fill(0xff);
        }
        if let Some(rest) = table.get_mut(front..behind) {
            rest.fill(0);
        }
    }

    /// Goes on with that, for so many entries; true when all are linked.
    pub fn link(&mut self, most: usize) -> bool {
        // From the last to the first, each in front: a chain has the order in which they were added.
        for _ in 0..most {
            if self.last == END {
                return true;
            }
            let at = self.last as usize;
            let data = self.data.as_mut();
            let number = |field| word(data, at + field).unwrap_or(END);
            let (len, key) = (number(4) as usize, number(8) as usize);
            let text = data.get(key..(key + len).saturating_sub(1)).unwrap_or_default();
            let bucket = 4 * (hash(text) % self.module) as usize;
            let before = number(entry::BEFORE);
            let table = self.table.as_mut();
            put(data, at + entry::NEXT, word(table, bucket).unwrap_or(END));
            put(data, at + entry::BEFORE, 0);
            put(table, bucket, at as u32);
            self.last = before;
        }
        self.last == END
    }
}

/// The two words of a number of 64 bits.
fn long(number: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = number.to_ne_bytes();
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}

/// Writes the data of the reply to GETFDPW and GETFDGR, beside which the descriptor goes: the name of the
/// database with its NUL, and the size of the file.
pub fn encode_granted(database: &[u8], size: u64, out: &mut [u8]) -> Result<usize, EncodeError> {
    let mut s = crate::bytes::Writer::new(out, database.len() + 9)?;
    s.put_string(database);
    s.put_words(&long(size));
    Ok(s.written())
}
