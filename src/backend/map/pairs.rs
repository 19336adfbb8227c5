//! Which name has which uid, as far as that is known: from the registry, or from the homes or
//! key files that are there. In fixed room; both ways in one step.

use super::names::NAME_MAX;
use crate::backend::{FNV_START, fnv1a};

/// Most pairs. A registry may not grow over this.
pub const PAIRS: usize = 65536;

/// Twice as many places as pairs, so that a search ends soon.
const PLACES: usize = 2 * PAIRS;

/// What is wrong with a name.
const OTHER_UID: &str = "has another uid already:";

/// What is wrong with a name, too.
const OTHER_NAME: &str = "its uid has another name already:";

/// One pair.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// The uid.
    pub uid: u32,
    len: u8,
    name: [u8; NAME_MAX],
}

impl Pair {
    /// The name.
    pub fn name(&self) -> &[u8] {
        self.name.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// All pairs.
pub struct Pairs {
    pairs: Vec<Pair>,
    /// Number of a pair plus one, at the place of its name's hash or the next free one.
    by_name: Vec<u32>,
    /// The same by uid.
    by_uid: Vec<u32>,
    /// So many of them came from the registry.
    registered: usize,
}

impl Pairs {
    /// Room for all pairs; untouched pages cost nothing. Without `used`, no room at all.
    pub fn new(used: bool) -> Self {
        let (pairs, places) = if used { (PAIRS, PLACES) } else { (0, 0) };
        Pairs {
            pairs: Vec::with_capacity(pairs),
            by_name: vec![0; places],
            by_uid: vec![0; places],
            registered: 0,
        }
    }

    /// The uid of `name`.
    pub fn uid_of(&self, name: &[u8]) -> Option<u32> {
        let found = self.search(&self.by_name, name_hash(name), 0, &|p| p.name() == name);
        found.map(|(_, pair)| pair.uid)
    }

    /// Those with `uid`: one if registered, perhaps several that were found by a scan.
    pub fn with_uid(&self, uid: u32) -> impl Iterator<Item = &Pair> {
        (0..).map_while(move |number| self.nth(uid, number))
    }

    /// One of them.
    pub fn nth(&self, uid: u32, number: usize) -> Option<&Pair> {
        self.numbered(uid, number).map(|(_, pair)| pair)
    }

    fn numbered(&self, uid: u32, number: usize) -> Option<(usize, &Pair)> {
        self.search(&self.by_uid, uid_hash(uid), number, &|p| p.uid == uid)
    }

    /// Number `skip` of those pairs that are `wanted`, from a place on up to the first free one;
    /// and which of all pairs it is, from 1.
    fn search(
        &self,
        places: &[u32],
        hash: usize,
        mut skip: usize,
        wanted: &dyn Fn(&Pair) -> bool,
    ) -> Option<(usize, &Pair)> {
        for at in 0..places.len() {
            let number = *places.get((hash + at) % PLACES)? as usize;
            let pair = self.pairs.get(number.checked_sub(1)?)?;
            if wanted(pair) {
                if skip == 0 {
                    return Some((number, pair));
                }
                skip -= 1;
            }
        }
        None
    }

    /// Whether the registry has `uid`.
    pub fn is_registered(&self, uid: u32) -> bool {
        // Of the pairs with a uid the registered one, if any, was put first.
        self.numbered(uid, 0).is_some_and(|(number, _)| number <= self.registered)
    }

    /// Whether no further pair has room.
    pub fn is_full(&self) -> bool {
        self.pairs.len() == self.pairs.capacity()
    }

    /// Adds a pair that the registry has. The first of a name, and the first of a uid, win; the
    /// error tells what is wrong with another one.
    pub fn register(&mut self, name: &[u8], uid: u32) -> Result<(), &'static str> {
        match self.uid_of(name) {
            Some(known) if known == uid => return Ok(()),
            Some(_) => return Err(OTHER_UID),
            None => {}
        }
        if self.nth(uid, 0).is_some() {
            return Err(OTHER_NAME);
        }
        if !self.add(name, uid) {
            return Err("more than 65536 names; passed over:");
        }
        self.registered = self.pairs.len();
        Ok(())
    }

    /// Adds a pair that a scan found, unless the registry has its name or its uid.
    pub fn find(&mut self, name: &[u8], uid: u32) {
        if self.uid_of(name).is_none() && !self.is_registered(uid) {
            self.add(name, uid);
        }
    }

    fn add(&mut self, name: &[u8], uid: u32) -> bool {
        let mut pair = Pair { uid, len: name.len() as u8, name: [0; NAME_MAX] };
        let Some(room) = pair.name.get_mut(..name.len()) else { return false };
        room.copy_from_slice(name);
        if self.is_full() {
            return false;
        }
        self.pairs.push(pair);
        self.place(self.pairs.len() - 1);
        true
    }

    /// Puts the number of a pair in its places.
    fn place(&mut self, at: usize) {
        if let Some(pair) = self.pairs.get(at) {
            put(&mut self.by_name, name_hash(pair.name()), at as u32 + 1);
            put(&mut self.by_uid, uid_hash(pair.uid), at as u32 + 1);
        }
    }

    /// Forgets what a scan found.
    pub fn forget_found(&mut self) {
        if self.pairs.len() == self.registered {
            return;
        }
        self.pairs.truncate(self.registered);
        self.by_name.fill(0);
        self.by_uid.fill(0);
        for at in 0..self.registered {
            self.place(at);
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.registered = 0;
        self.forget_found();
    }
}

fn put(places: &mut [u32], hash: usize, number: u32) {
    for at in 0..places.len() {
        if let Some(free) = places.get_mut((hash + at) % PLACES).filter(|p| **p == 0) {
            *free = number;
            return;
        }
    }
}

/// The place of a uid: the upper bits of a product, so that neighbours part.
fn uid_hash(uid: u32) -> usize {
    upper_bits(uid.wrapping_mul(0x9e37_79b1))
}

fn upper_bits(hash: u32) -> usize {
    (hash >> (32 - PLACES.trailing_zeros())) as usize
}

/// FNV-1a, of which the upper bits are the better ones.
fn name_hash(name: &[u8]) -> usize {
    upper_bits(fnv1a(FNV_START, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_and_of_a_uid_wins() {
        let mut known = Pairs::new(true);
        assert!(known.register(b"a", 1).is_ok() && known.register(b"a", 1).is_ok());
        assert_eq!(known.register(b"a", 2), Err(OTHER_UID));
        assert_eq!(known.register(b"b", 1), Err(OTHER_NAME));
        assert_eq!((known.uid_of(b"a"), known.uid_of(b"b")), (Some(1), None));
    }

    #[test]
    fn what_was_found_is_forgotten_and_what_is_registered_stays() {
        let mut known = Pairs::new(true);
        known.register(b"a", 1).unwrap();
        known.find(b"b", 1);
        known.find(b"c", 2);
        known.find(b"d", 2);
        assert_eq!(known.with_uid(1).count(), 1);
        assert_eq!(known.with_uid(2).map(Pair::name).collect::<Vec<_>>(), [b"c", b"d"]);
        known.forget_found();
        assert_eq!((known.uid_of(b"a"), known.uid_of(b"c")), (Some(1), None));
        assert_eq!(known.with_uid(2).count(), 0);
    }

    #[test]
    fn it_is_never_more_than_full() {
        let mut known = Pairs::new(true);
        for uid in 0..=PAIRS as u32 {
            known.find(format!("n{uid}").as_bytes(), uid);
        }
        assert!(known.is_full() && known.uid_of(b"n65535") == Some(65535));
        assert_eq!(known.uid_of(b"n65536"), None);
        known.clear();
        assert!(!known.is_full() && known.uid_of(b"n1").is_none());
        assert_eq!(Pairs::new(false).uid_of(b"n1"), None);
    }
}
