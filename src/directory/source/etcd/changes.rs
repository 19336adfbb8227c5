//! Changes in their order, and what they make of a map.

use crate::limits::DIRECTORY_CHANGES;
use std::collections::HashMap;

/// A key that was written, or deleted.
#[derive(Clone, Debug)]
pub struct Event {
    /// The key without the prefix of the map.
    pub name: Vec<u8>,
    /// What it has now; `None`: it is gone.
    pub value: Option<Vec<u8>>,
    /// The revision in which it came to be.
    pub created: u64,
    /// The revision of the change.
    pub modified: u64,
}

/// All changes from one revision to another.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// What is behind this revision is there.
    base: u64,
    /// Up to this one.
    pub upto: u64,
    events: Vec<Event>,
    /// What they take.
    pub bytes: usize,
    /// There were too many of them.
    pub lost: bool,
}

impl Changes {
    /// None so far.
    pub fn behind(revision: u64) -> Changes {
        Changes { base: revision, upto: revision, ..Changes::default() }
    }

    /// One more.
    pub fn put(&mut self, event: Event) {
        self.upto = self.upto.max(event.modified);
        let value = event.value.as_ref().map_or(0, Vec::len);
        self.bytes += event.name.len() + value + size_of::<Event>();
        if self.bytes > DIRECTORY_CHANGES {
            self.lost = true;
            self.events = Vec::new();
        }
        if !self.lost {
            self.events.push(event);
        }
    }

    /// What a watch told, up to a revision. It may tell once more what is there.
    pub fn follow(&mut self, events: Vec<Event>, revision: u64) {
        let known = self.upto;
        events.into_iter().filter(|event| event.modified > known).for_each(|event| self.put(event));
        self.upto = self.upto.max(revision);
    }

    /// Whether there is something to be fetched.
    pub fn has_some(&self) -> bool {
        self.lost || !self.events.is_empty()
    }

    /// Whether all that is behind a revision is there.
    pub fn reach(&self, revision: u64) -> bool {
        !self.lost && self.base <= revision
    }

    fn later(&self, revision: u64) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.modified > revision)
    }

    /// Whether nothing is behind a revision.
    pub fn is_empty(&self, revision: u64) -> bool {
        self.later(revision).next().is_none()
    }

    /// Keys that came to be behind a revision.
    pub fn added(&self, revision: u64) -> u64 {
        self.later(revision).filter(|event| event.created > revision).count() as u64
    }

    /// How many keys there are, of so many at a revision.
    pub fn count(&self, before: u64, revision: u64) -> u64 {
        self.later(revision).fold(before, |count, event| match &event.value {
            None => count.saturating_sub(1),
            Some(_) if event.created == event.modified => count + 1,
            Some(_) => count,
        })
    }

    /// What is in place up to a revision is needed no more.
    pub fn forget(&mut self, revision: u64) {
        self.events.retain(|event| event.modified > revision);
        let value = |event: &Event| event.value.as_ref().map_or(0, Vec::len);
        let size = |event: &Event| event.name.len() + value(event) + size_of::<Event>();
        self.bytes = self.events.iter().map(size).sum();
        self.base = self.base.max(revision);
    }

    /// The last change of each key behind a revision.
    pub fn latest(&self, revision: u64) -> Latest<'_> {
        let (mut order, mut at) = (Vec::new(), HashMap::new());
        for event in self.later(revision) {
            let new = Some((event.name.as_slice(), event.value.as_deref()));
            match at.get(event.name.as_slice()) {
                Some(place) => {
                    if let Some(slot) = order.get_mut(*place) {
                        *slot = new;
                    }
                }
                None => {
                    at.insert(event.name.as_slice(), order.len());
                    order.push(new);
                }
            }
        }
        Latest { order, at }
    }
}

/// A name, and what it has now.
type Last<'a> = (&'a [u8], Option<&'a [u8]>);

/// What became of keys, in the order in which they changed first.
pub struct Latest<'a> {
    order: Vec<Option<Last<'a>>>,
    at: HashMap<&'a [u8], usize>,
}

impl<'a> Latest<'a> {
    /// What became of this one, once; `None`: it did not change.
    pub fn take(&mut self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        let place = self.at.get(name)?;
        let (_, value) = self.order.get_mut(*place)?.take()?;
        Some(value)
    }

    /// Those that were not taken and have a value: they are new.
    pub fn rest(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.order.into_iter().flatten().filter_map(|(name, value)| Some((name, value?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, value: Option<&str>, created: u64, modified: u64) -> Event {
        let value = value.map(|value| value.as_bytes().to_vec());
        Event { name: name.as_bytes().to_vec(), value, created, modified }
    }

    #[test]
    fn the_last_change_of_a_key_counts() {
        let mut changes = Changes::behind(10);
        for one in [
            event("a", Some("1"), 3, 11),
            event("new", Some("2"), 12, 12),
            event("gone", None, 0, 13),
            event("a", Some("3"), 3, 14),
            event("flash", Some("4"), 15, 15),
            event("flash", None, 0, 16),
        ] {
            changes.put(one);
        }
        assert_eq!(changes.upto, 16);
        assert_eq!(changes.count(5, 10), 5);
        assert_eq!(changes.count(5, 13), 5);
        let mut latest = changes.latest(10);
        assert_eq!(latest.take(b"a"), Some(Some(&b"3"[..])));
        assert_eq!(latest.take(b"gone"), Some(None));
        assert_eq!(latest.take(b"other"), None);
        assert_eq!(latest.rest().collect::<Vec<_>>(), [(&b"new"[..], &b"2"[..])]);
        assert!(changes.reach(10) && !changes.reach(9));
        changes.forget(15);
        assert!(!changes.is_empty(15) && changes.is_empty(16) && !changes.reach(14));
    }

    #[test]
    fn what_is_told_twice_counts_once() {
        let mut changes = Changes::behind(10);
        changes.follow(vec![event("a", Some("1"), 3, 10)], 10);
        assert!(!changes.has_some());
        // Two of one revision, and then again.
        for _ in 0..2 {
            changes.follow(vec![event("a", None, 0, 11), event("b", Some("2"), 11, 11)], 11);
            assert_eq!((changes.count(5, 10), changes.later(10).count()), (5, 2));
        }
        changes.follow(Vec::new(), 15);
        assert_eq!(changes.upto, 15);
    }

    #[test]
    fn too_many_changes_are_none() {
        let mut changes = Changes::behind(1);
        let value = "x".repeat(1 << 20);
        for revision in 2..20 {
            changes.put(event("a", Some(&value), 2, revision));
        }
        assert!(changes.lost && changes.has_some() && !changes.reach(1));
        assert_eq!(changes.upto, 19);
    }
}
