//! Collects the groups of one user, in fixed room.
//!
//! A list of any length is sent in pieces by asking again: what was sent already is passed
//! over, and a hash tells whether it is still the same.

use crate::limits::{ASKED_BY_MERGE, MERGED_GROUPS};

/// The groups of one user.
pub struct Gids {
    merge: bool,
    /// Has room for [`MERGED_GROUPS`] from the start.
    list: Vec<u32>,
    skip: u64,
    total: u64,
    passed: u64,
    overflow: bool,
    /// Gids of the list that backends gave who ended well.
    kept: usize,
    owner: Option<u32>,
    /// Smaller gids are not taken.
    pub least: u32,
    /// Some were not.
    pub lacks: bool,
}

/// FNV-1a, a number at a time: two runs must collect the same gids.
pub fn hash(start: u64, gids: &[u32]) -> u64 {
    gids.iter().fold(start, |h, gid| (h ^ u64::from(*gid)).wrapping_mul(0x0100_0000_01b3))
}

/// The hash of no gids.
pub const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

impl Gids {
    /// Without room, where nobody asks for groups.
    pub const NONE: Gids = Gids {
        merge: false,
        list: Vec::new(),
        skip: 0,
        total: 0,
        passed: HASH_START,
        overflow: false,
        kept: 0,
        owner: None,
        least: 0,
        lacks: false,
    };

    /// `merge`: a gid counts once, whoever names it.
    pub fn new(merge: bool) -> Self {
        Gids { merge, list: Vec::with_capacity(MERGED_GROUPS), ..Gids::NONE }
    }

    /// Takes the collector for a client; false while another one is using it.
    pub fn claim(&mut self, client: u32) -> bool {
        match self.owner {
            Some(owner) => owner == client,
            None => {
                self.owner = Some(client);
                true
            }
        }
    }

    /// Whether a client has claimed it.
    pub fn is_claimed_by(&self, client: u32) -> bool {
        self.owner == Some(client)
    }

    /// Gives it back; no matter if it was not claimed.
    pub fn release(&mut self, client: u32) {
        if self.owner == Some(client) {
            self.owner = None;
        }
    }

    /// Starts a list of which the first `skip` gids are not wanted.
    pub fn start(&mut self, skip: u64) {
        self.list.clear();
        self.skip = skip;
        self.total = 0;
        self.passed = HASH_START;
        self.overflow = false;
        self.kept = 0;
        self.lacks = false;
    }

    /// The backend at hand has given all its groups: a merge keeps them.
    pub fn keep(&mut self) {
        self.kept = self.list.len();
    }

    /// Before the next backend is asked, drops what the one at hand gave and was not kept.
    pub fn next_backend(&mut self) {
        if !self.merge {
            return self.start(self.skip);
        }
        self.list.truncate(self.kept);
        self.total = self.kept as u64;
        self.overflow = false;
    }

    /// Keeps a gid where there is room.
    fn push(&mut self, gid: u32) -> bool {
        let fits = self.list.len() < MERGED_GROUPS;
        if fits {
            self.list.push(gid);
        }
        fits
    }

    /// Adds a group.
    pub fn add(&mut self, gid: u32) {
        // 2^32-1 is no id: setgroups(2) refuses the list that it is in.
        if gid < self.least || (gid == u32::MAX && self.least != 0) {
            self.lacks = true;
            return;
        }
        if self.merge {
            if !self.list.contains(&gid) {
                self.overflow |= !self.push(gid);
                self.total = self.list.len() as u64;
            }
            return;
        }
        if self.total < self.skip {
            self.passed = hash(self.passed, &[gid]);
        } else {
            // What has no room is collected by a later run.
            self.push(gid);
        }
        self.total += 1;
    }

    /// Counts groups that a peer has and did not send.
    pub fn add_unsent(&mut self, count: u64) {
        self.total = self.total.saturating_add(count);
        self.overflow |= self.merge && count > 0;
    }

    /// How many gids are worth asking a peer for when our client has room for `max`. A merge
    /// needs all: which of them are new is not known before.
    pub fn worth_asking(&self, max: u64) -> u64 {
        match self.merge {
            true => ASKED_BY_MERGE,
            false => max.min(self.skip + MERGED_GROUPS as u64),
        }
    }

    /// A merge had more distinct gids than its room.
    pub fn overflowed(&self) -> bool {
        self.overflow
    }

    /// How many groups list the user.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The gids from number `skip` on, as far as they were kept, and the hash of those before.
    pub fn after_skipped(&self) -> (&[u32], u64) {
        if !self.merge {
            return (&self.list, self.passed);
        }
        let at = usize::try_from(self.skip).unwrap_or(usize::MAX).min(self.list.len());
        let (before, after) = self.list.split_at_checked(at).unwrap_or_default();
        (after, hash(HASH_START, before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(gids: &Gids) -> (Vec<u32>, u64) {
        (gids.after_skipped().0.to_vec(), gids.total())
    }

    #[test]
    fn a_list_has_one_owner_until_he_gives_it_back() {
        let mut gids = Gids::new(false);
        assert!(gids.claim(1) && gids.claim(1) && !gids.claim(2));
        gids.release(2);
        assert!(gids.is_claimed_by(1));
        gids.release(1);
        assert!(gids.claim(2));
    }

    #[test]
    fn what_was_sent_is_passed_over_and_hashed() {
        let mut gids = Gids::new(false);
        gids.start(2);
        [5, 6, 7, 7].iter().for_each(|gid| gids.add(*gid));
        assert_eq!(collected(&gids), (vec![7, 7], 4));
        assert_eq!(gids.after_skipped().1, hash(HASH_START, &[5, 6]));
        // A list that is another one shows it.
        gids.start(2);
        [5, 8, 7, 7].iter().for_each(|gid| gids.add(*gid));
        assert_ne!(gids.after_skipped().1, hash(HASH_START, &[5, 6]));
    }

    #[test]
    fn without_a_merge_the_next_backend_begins_anew() {
        let mut gids = Gids::new(false);
        gids.start(0);
        gids.add(5);
        gids.keep();
        gids.next_backend();
        gids.add(6);
        assert_eq!(collected(&gids), (vec![6], 1));
    }

    #[test]
    fn a_merge_keeps_each_once_of_those_who_ended_well() {
        let mut gids = Gids::new(true);
        gids.start(1);
        [5, 6, 5].iter().for_each(|gid| gids.add(*gid));
        gids.keep();
        gids.next_backend();
        // This one breaks off.
        gids.add(7);
        gids.next_backend();
        [6, 8].iter().for_each(|gid| gids.add(*gid));
        gids.keep();
        assert_eq!(collected(&gids), (vec![6, 8], 3));
        assert_eq!(gids.after_skipped().1, hash(HASH_START, &[5]));
    }

    #[test]
    fn a_merge_of_more_than_fit_overflows_and_a_list_of_one_backend_does_not() {
        let more = MERGED_GROUPS as u32 + 1;
        let mut gids = Gids::new(true);
        gids.start(0);
        (0..more).for_each(|gid| gids.add(gid));
        assert!(gids.overflowed());
        gids.next_backend();
        assert!(!gids.overflowed());
        gids.add_unsent(1);
        assert!(gids.overflowed());

        let mut gids = Gids::new(false);
        gids.start(0);
        (0..more).for_each(|gid| gids.add(gid));
        gids.add_unsent(3);
        assert!(!gids.overflowed());
        assert_eq!(collected(&gids), ((0..more - 1).collect(), u64::from(more) + 3));
    }

    #[test]
    fn a_peer_is_asked_for_what_has_room() {
        let mut gids = Gids::new(false);
        gids.start(10);
        assert_eq!(gids.worth_asking(5), 5);
        assert_eq!(gids.worth_asking(u64::MAX), 10 + MERGED_GROUPS as u64);
        assert_eq!(Gids::new(true).worth_asking(5), ASKED_BY_MERGE);
    }
}
