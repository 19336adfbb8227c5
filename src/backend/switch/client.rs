//! What a switch keeps for one client: his places in each backend, and how far the request in hand
//! has come.

use super::Progress;
use super::belief::Judging;
use crate::backend::client::{Enumerations, Hit, Search, Sequel};
use crate::limits::BACKENDS;
use crate::sys::access::Rights;
use nssproto::line::Rules;
use std::ops::Range;

/// One client of a switch; [`Switch::new_client`](super::Switch::new_client) makes it.
pub struct ClientState {
    /// On whose behalf.
    pub rights: Rights,
    /// By whose rules files are read for his questions; nsss's, until they are set.
    pub rules: Rules,
    /// He asks for all there are, and much of it in each turn: it is read ahead for him.
    pub(super) lists: bool,
    /// The backends before it have no further entry for him.
    pub(super) lists_at: usize,
    /// Where he is in shadow then.
    pub(super) sequel: Sequel,
    /// Tells clients of one switch apart.
    pub number: u32,
    /// Bytes of files that may still be read before others are served.
    pub budget: u64,
    /// The backends that he may ask.
    backends: Range<u8>,
    /// One for each backend.
    pub(super) enumerations: heapless::Vec<Enumerations, BACKENDS>,
    /// The backend that is being asked, or that answered.
    pub(super) slot: usize,
    /// What those before it said.
    pub(super) progress: Progress,
    /// The request in hand is to be asked again: it goes on where it stopped.
    pub(super) pending: bool,
    /// How far it is with what was found.
    pub(super) judging: Judging,
    /// Where a search stands.
    pub(super) search: Search,
    /// The record that was found.
    pub(super) hit: Hit,
}

impl ClientState {
    pub(super) fn new(rights: Rights, number: u32, count: usize) -> Self {
        let mut enumerations = heapless::Vec::new();
        for _ in 0..count {
            // A switch has no more backends than there is room for.
            let _ = enumerations.push(Enumerations::default());
        }
        ClientState {
            rights,
            rules: Rules::Nsss,
            lists: false,
            lists_at: 0,
            sequel: Sequel::default(),
            number,
            budget: 0,
            backends: 0..enumerations.len() as u8,
            enumerations,
            slot: 0,
            progress: Progress::default(),
            pending: false,
            judging: Judging::No,
            search: Search::default(),
            hit: Hit::None,
        }
    }

    /// Whether a backend failed that should have been asked for the request in hand, so that "not
    /// found" is not certain.
    pub fn has_failed(&self) -> bool {
        self.progress.has_failed()
    }

    /// From his next request on, only these backends are asked, by their places.
    pub fn limit_to(&mut self, backends: Range<usize>) {
        let end = backends.end.min(self.enumerations.len());
        self.backends = backends.start.min(end) as u8..end as u8;
    }

    /// The backends that he may ask.
    pub fn backends(&self) -> Range<usize> {
        self.backends.start.into()..self.backends.end.into()
    }

    /// From now on he asks for all there are, or does so no more.
    pub fn set_lists(&mut self, lists: bool) {
        (self.lists, self.lists_at) = (lists, 0);
    }

    /// Closes the files of enumerations that he has not gone on with for a while; whether others are
    /// open.
    pub fn close_idle(&mut self) -> bool {
        self.enumerations.iter_mut().fold(false, |open, of_one| of_one.close_idle() | open)
    }

    /// Forgets the last request, before a new one.
    pub(super) fn begin(&mut self) {
        self.slot = self.backends.start.into();
        self.progress = Progress::default();
        self.judging = Judging::No;
        self.search = Search::default();
        self.hit = Hit::None;
    }
}
