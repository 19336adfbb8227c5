//! A file read back as a client searches it, and held against all that it has to be.

use super::super::{Reply, ReplyKind};
use super::{END, HEADER, Header, RECORD, entry, hash, kind, table_size, word};
use crate::Malformed;
use crate::bytes::decimal_u32;

/// What clients read of an entry: a program of 32 bits allots no more.
const ENTRY: usize = 28;

/// A file that was found good.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    /// What its front tells.
    pub header: Header,
    table: &'a [u8],
    data: &'a [u8],
}

/// A key and what is found by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// One of [`kind`].
    pub kind: u8,
    /// Without its NUL.
    pub key: &'a [u8],
    /// The reply.
    pub payload: &'a [u8],
    next: u32,
}

impl<'a> Map<'a> {
    /// Takes a whole file: its sizes, each chain, each entry and its record are good; each payload is a
    /// whole reply to a request with that key, and one that is found, if the map says so. (Files of glibc's
    /// nscd have records that were not found, too.)
    pub fn check(file: &'a [u8]) -> Result<Self, Malformed> {
        let header = Header::decode(file)?;
        let Header { module, data_size, .. } = header;
        let rest = file.get(HEADER..).ok_or(Malformed("header is cut"))?;
        if module == 0 || module as usize > rest.len() / 4 {
            return Err(Malformed("no table, or one that is cut"));
        }
        let halves = rest.split_at_checked(table_size(module));
        let (table, data) = halves.ok_or(Malformed("table is cut"))?;
        if data.len() != data_size as usize {
            return Err(Malformed("data of another size"));
        }
        let map = Map { header, table, data };
        let mut entries = 0;
        for bucket in 0..module {
            let mut at = map.first(bucket);
            while at != END {
                let entry = map.entry(at).ok_or(Malformed("entry is out of bounds"))?;
                if hash(entry.key) % module != bucket {
                    return Err(Malformed("entry in another bucket"));
                }
                entry.check()?;
                entries += 1;
                if entries > header.entries {
                    return Err(Malformed("more entries than are told, or a circle"));
                }
                at = entry.next;
            }
        }
        if entries == header.entries {
            Ok(map)
        } else {
            Err(Malformed("fewer entries than are told"))
        }
    }

    fn first(&self, bucket: u32) -> u32 {
        word(self.table, 4 * bucket as usize).unwrap_or(END)
    }

    /// The payload that a client finds by a key, which is without its NUL.
    pub fn find(&self, kind: u8, key: &[u8]) -> Option<&'a [u8]> {
        let mut at = self.first(hash(key) % self.header.module);
        while at != END {
            let entry = self.entry(at)?;
            if entry.kind == kind && entry.key == key {
                return Some(entry.payload);
            }
            at = entry.next;
        }
        None
    }

    /// All entries, bucket by bucket.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'_, 'a> {
        (0..self.header.module).flat_map(move |bucket| {
            let mut at = self.first(bucket);
            core::iter::from_fn(move || {
                let entry = if at == END { None } else { self.entry(at) }?;
                at = entry.next;
                Some(entry)
            })
        })
    }

    /// The entry that stands there; `None`: it or its record is not whole, or not as it has to be.
    fn entry(&self, at: u32) -> Option<Entry<'a>> {
        let start = at as usize;
        let bytes = self.data.get(start..start.checked_add(ENTRY)?)?;
        let [len, key] = [word(bytes, 4)?, word(bytes, 8)?].map(|number| number as usize);
        let record = word(bytes, entry::RECORD)? as usize;
        let next = word(bytes, entry::NEXT)?;
        let ([size, payload], head) = (self.sizes(record)?, self.data.get(record..)?);
        let is_whole = record.is_multiple_of(8)
            && start.is_multiple_of(8)
            && payload <= size.checked_sub(RECORD)?;
        let (0, key) = self.data.get(key..key.checked_add(len)?)?.split_last()? else {
            return None;
        };
        let payload = head.get(..size)?.get(RECORD..RECORD + payload)?;
        // Its third byte says that it can be used.
        let usable = head.get(18) == Some(&1);
        let is_good = is_whole && usable && !key.contains(&0);
        is_good.then_some(Entry { kind: *bytes.first()?, key, payload, next })
    }

    fn sizes(&self, record: usize) -> Option<[usize; 2]> {
        let size = word(self.data, record)? as usize;
        Some([size, word(self.data, record.checked_add(4)?)? as usize])
    }
}

impl Entry<'_> {
    /// Whether its payload is a whole reply to its key.
    fn check(&self) -> Result<(), Malformed> {
        let kind = match self.kind {
            kind::USER | kind::UID => ReplyKind::Passwd,
            kind::GROUP | kind::GID => ReplyKind::Group,
            kind::GROUPS => ReplyKind::Initgroups,
            _ => return Err(Malformed("entry of an unknown type")),
        };
        let reply =
            Reply::decode(kind, self.payload).map_err(|_| Malformed("payload is no reply"))?;
        if reply.len != self.payload.len() {
            return Err(Malformed("payload is longer than its reply"));
        }
        let Reply::Found(record) = reply.value else { return Ok(()) };
        let fits = match self.kind {
            kind::USER | kind::GROUP => record.name() == self.key,
            _ => record.id() == decimal_u32(self.key),
        };
        if fits { Ok(()) } else { Err(Malformed("payload of another key")) }
    }
}
