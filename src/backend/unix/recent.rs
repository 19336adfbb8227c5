//! Where recent answers stood in a file, so that a repeated lookup does not search again.
//!
//! What is remembered holds for what was read of one version of the file; its owner clears the
//! table when it reads again.

/// Places in the table: less than 4 KiB, touched with the first answer.
const ENTRIES: usize = 64;

/// Longer names are remembered by their hash, and only where they were found: the line is
/// checked before it is used.
const KEY: usize = 32;

/// What a lookup asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// A name.
    Name(&'a [u8]),
    /// A uid or gid.
    Id(u32),
}

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Its first line starts at this offset.
    At(u64),
    /// No line has it.
    Absent,
}

#[derive(Clone, Copy)]
struct Entry {
    hash: u32,
    key: [u8; KEY],
    known: Option<Known>,
}

/// A direct-mapped table: a newer key takes the place of an older one.
pub struct Recent {
    /// Empty until something is put; the room for all was allocated at the start.
    entries: Vec<Entry>,
}

impl Recent {
    /// An empty table.
    pub fn new() -> Self {
        Recent { entries: Vec::with_capacity(ENTRIES) }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// What is known of `key`.
    pub fn get(&self, key: Key<'_>) -> Option<Known> {
        let (hash, short) = digest(key);
        let entry = self.entries.get(hash as usize % ENTRIES)?;
        let same = entry.hash == hash && short.is_none_or(|s| s == entry.key);
        entry.known.filter(|_| same)
    }

    /// Remembers `known` of `key`. That a long name is absent is not remembered.
    pub fn put(&mut self, key: Key<'_>, known: Known) {
        let (hash, short) = digest(key);
        if short.is_none() && known == Known::Absent {
            return;
        }
        if self.entries.is_empty() {
            self.entries.resize(ENTRIES, Entry { hash: 0, key: [0; KEY], known: None });
        }
        if let Some(entry) = self.entries.get_mut(hash as usize % ENTRIES) {
            *entry = Entry { hash, key: short.unwrap_or([0; KEY]), known: Some(known) };
        }
    }
}

/// FNV-1a of the key, and the key itself if it is short enough: its kind, its length, its bytes.
fn digest(key: Key<'_>) -> (u32, Option<[u8; KEY]>) {
    let digits;
    let (kind, bytes) = match key {
        Key::Name(name) => (1, name),
        Key::Id(id) => {
            digits = id.to_be_bytes();
            (2, &digits[..])
        }
    };
    let start = 0x811c_9dc5 ^ u32::from(kind);
    let hash = bytes.iter().fold(start, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193));
    let mut short = [kind; KEY];
    let fits = match short.get_mut(2..2 + bytes.len()) {
        Some(room) => {
            room.copy_from_slice(bytes);
            true
        }
        None => false,
    };
    short[1] = bytes.len() as u8;
    (hash ^ hash >> 16, fits.then_some(short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_got_until_it_is_cleared() {
        let mut r = Recent::new();
        let long = [b'n'; 254];
        r.put(Key::Name(b"a"), Known::At(7));
        r.put(Key::Id(5), Known::Absent);
        r.put(Key::Name(&long), Known::At(9));
        assert_eq!(r.get(Key::Name(b"a")), Some(Known::At(7)));
        assert_eq!(r.get(Key::Id(5)), Some(Known::Absent));
        assert_eq!(r.get(Key::Name(&long)), Some(Known::At(9)));
        assert_eq!(r.get(Key::Name(b"\0\0\0\x05")), None);
        assert_eq!(r.get(Key::Name(b"b")), None);
        r.clear();
        assert_eq!(r.get(Key::Name(b"a")), None);
    }

    #[test]
    fn the_absence_of_a_long_name_is_not_remembered() {
        let mut r = Recent::new();
        let long = [b'n'; 31];
        r.put(Key::Name(&long), Known::Absent);
        assert_eq!(r.get(Key::Name(&long)), None);
        r.put(Key::Name(&long[..30]), Known::Absent);
        assert_eq!(r.get(Key::Name(&long[..30])), Some(Known::Absent));
    }
}
