//! Where recent answers stood in a file, so that a repeated lookup does not search again.
//!
//! What is remembered holds for what was read of one version of the file; its owner clears the
//! table when it reads again.

use crate::backend::{FNV_START, fnv1a};
use crate::sys::reserve;
use nssproto::bytes::copy_front;
use nssproto::line::Rules;

/// Places in the table: less than 4 KiB, made with the first answer.
const ENTRIES: usize = 64;

/// Longer names are remembered by their hash, and only where they were found: the line is
/// checked before it is used.
pub const KEY: usize = 32;

/// What a lookup asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LookupKey<'a> {
    /// A name.
    Name(&'a [u8]),
    /// A uid or gid.
    Id(u32),
}

/// Where the line is that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// It starts at this offset.
    At(u64),
    /// There is none.
    Absent,
}

#[derive(Clone, Copy)]
struct Entry {
    key: [u8; KEY],
    location: Option<Location>,
}

/// A direct-mapped table: a newer key takes the place of an older one.
pub struct Recent {
    /// None until something is put. Without room for them, nothing is remembered.
    entries: Vec<Entry>,
}

impl Recent {
    /// An empty table.
    pub fn new() -> Self {
        Recent { entries: Vec::new() }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// What is known of `key`.
    pub fn get(&self, rules: Rules, key: LookupKey<'_>) -> Option<Location> {
        let mut digest = [0; KEY];
        let entry = self.entries.get(place(rules, key, &mut digest))?;
        entry.location.filter(|_| entry.key == digest)
    }

    /// Remembers where the line of `key` is. That a long name is absent is not remembered.
    pub fn put(&mut self, rules: Rules, key: LookupKey<'_>, location: Location) {
        let mut digest = [0; KEY];
        let at = place(rules, key, &mut digest);
        if digest.first().is_some_and(|kind| kind & LONG == LONG) && location == Location::Absent {
            return;
        }
        if self.entries.is_empty() && reserve(&mut self.entries, ENTRIES) {
            self.entries.resize(ENTRIES, Entry { key: [0; KEY], location: None });
        }
        if let Some(entry) = self.entries.get_mut(at) {
            *entry = Entry { key: digest, location: Some(location) };
        }
    }
}

/// What a digest begins with: the kind of key, and by whose rules it was looked for.
const NAME: u8 = 1;
/// What a digest of a number begins with.
pub const ID: u8 = 2;
const LONG: u8 = 3;
const GLIBC: u8 = 4;

/// The place of a key, by its hash, and its digest, of a long name with the hash.
fn place(rules: Rules, key: LookupKey<'_>, room: &mut [u8; KEY]) -> usize {
    let hash = hash(key);
    *room = digest(key).unwrap_or_else(|| {
        let mut digest = [0; KEY];
        let [kind, _, room @ ..] = &mut digest;
        *kind = LONG;
        copy_front(&hash.to_be_bytes(), room);
        digest
    });
    let [kind, ..] = room;
    *kind |= if rules == Rules::Nsss { 0 } else { GLIBC };
    (hash ^ hash >> 16) as usize % ENTRIES
}

/// Kind, length and bytes of a key; `None`: it is too long.
pub fn digest(key: LookupKey<'_>) -> Option<[u8; KEY]> {
    let mut digits = [0; 4];
    let (kind, bytes) = parts(key, &mut digits);
    let mut digest = [0; KEY];
    let [first, len, room @ ..] = &mut digest;
    (*first, *len) = (kind, bytes.len() as u8);
    (copy_front(bytes, room) == bytes.len()).then_some(digest)
}

/// A key's kind and bytes.
fn parts<'a>(key: LookupKey<'a>, digits: &'a mut [u8; 4]) -> (u8, &'a [u8]) {
    match key {
        LookupKey::Name(name) => (NAME, name),
        LookupKey::Id(id) => {
            *digits = id.to_be_bytes();
            (ID, digits)
        }
    }
}

/// FNV-1a of a key.
pub fn hash(key: LookupKey<'_>) -> u32 {
    let mut digits = [0; 4];
    let (kind, bytes) = parts(key, &mut digits);
    fnv1a(FNV_START ^ u32::from(kind), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: Rules = Rules::Nsss;

    #[test]
    fn what_was_put_is_got_until_it_is_cleared() {
        let mut r = Recent::new();
        let long = [b'n'; 254];
        r.put(N, LookupKey::Name(b"a"), Location::At(7));
        r.put(N, LookupKey::Id(5), Location::Absent);
        r.put(N, LookupKey::Name(&long), Location::At(9));
        assert_eq!(r.get(N, LookupKey::Name(b"a")), Some(Location::At(7)));
        assert_eq!(r.get(N, LookupKey::Id(5)), Some(Location::Absent));
        assert_eq!(r.get(N, LookupKey::Name(&long)), Some(Location::At(9)));
        assert_eq!(r.get(N, LookupKey::Name(b"\0\0\0\x05")), None);
        assert_eq!(r.get(N, LookupKey::Name(b"b")), None);
        assert_eq!(r.get(Rules::Glibc, LookupKey::Name(b"a")), None);
        r.clear();
        assert_eq!(r.get(N, LookupKey::Name(b"a")), None);
    }

    #[test]
    fn the_absence_of_a_long_name_is_not_remembered() {
        let mut r = Recent::new();
        let long = [b'n'; 31];
        r.put(N, LookupKey::Name(&long), Location::Absent);
        assert_eq!(r.get(N, LookupKey::Name(&long)), None);
        r.put(N, LookupKey::Name(&long[..30]), Location::Absent);
        assert_eq!(r.get(N, LookupKey::Name(&long[..30])), Some(Location::Absent));
    }
}
