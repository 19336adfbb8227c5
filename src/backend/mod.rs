//! Where answers come from. A backend is asked with a request of the nsss protocol; what it
//! found is lent to the caller, who encodes it for himself.

pub mod child;
pub mod gids;
#[cfg(feature = "nsssd-map")]
pub mod map;
#[cfg(feature = "nsssd-nslcd")]
pub mod nslcd;
pub mod script;
pub mod switch;
pub mod unix;

use crate::limits::WINDOW;
use crate::sys::access::Rights;
use crate::sys::untouched;
use gids::Gids;
use nssproto::nsss::Head;

/// How a request ended, or that it did not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done; there is nothing to send but the status.
    Done,
    /// A record was found: see [`switch::Switch::record`].
    Found,
    /// The groups were collected: see [`gids::Gids`].
    Groups,
    /// There is no such entry, or no further one.
    NotFound,
    /// A failure with this errno; the next request may do better.
    Failed(u8),
    /// The backend failed for good.
    Dead,
    /// The turn is over: ask again, with the same request.
    Pending,
    /// Only a backend that may block can tell, and this process must not ask it.
    Elsewhere,
}

impl Outcome {
    /// A failed system call.
    pub fn failed(errno: rustix::io::Errno) -> Self {
        // Larger numbers than a status byte holds exist on MIPS only, for sockets.
        Outcome::Failed(u8::try_from(errno.raw_os_error()).unwrap_or(5).clamp(1, 254))
    }
}

/// What one client has going: who he is, his enumerations, and the request in hand.
pub struct Client {
    /// On whose behalf.
    pub rights: Rights,
    /// Tells clients of one server apart.
    pub number: u32,
    /// Bytes of files that may still be read in this turn.
    pub turn: u64,
    /// One for each backend: the places of three enumerations.
    places: heapless::Vec<unix::Places, { crate::limits::BACKENDS }>,
    /// The backend that is being asked, or that answered.
    slot: usize,
    /// What the last backend said that was really asked.
    last: Option<Outcome>,
    /// A backend that should have been asked has failed, so that "not found" is not certain.
    failed: bool,
    /// Where a search stands.
    search: unix::Search,
    /// The record that was found.
    hit: Hit,
}

impl Client {
    /// A client of nothing yet.
    // Inlined, it would be at four places.
    #[inline(never)]
    pub fn new(rights: Rights, number: u32) -> Self {
        Client {
            rights,
            number,
            turn: 0,
            places: heapless::Vec::new(),
            slot: 0,
            last: None,
            failed: false,
            search: unix::Search::default(),
            hit: Hit::None,
        }
    }

    /// Whether a backend failed that should have been asked for the request in hand.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Before each new request.
    #[inline(never)]
    pub fn begin(&mut self) {
        self.slot = 0;
        self.last = None;
        self.failed = false;
        self.search = unix::Search::default();
        self.hit = Hit::None;
    }
}

/// Where the record that was found stands.
#[derive(Clone, Copy)]
pub enum Hit {
    /// Nothing yet.
    None,
    /// A whole line in a source's content, or in the window: its range there, its offset in
    /// the file.
    Line { of: unix::Place, start: usize, end: usize, at: u64 },
    /// A line in a file that is sent in pieces.
    Long(unix::Long),
    /// In the buffer of a child, whole or its beginning.
    Child(Head),
    /// In the map, whole.
    #[cfg(feature = "nsssd-map")]
    Map(Head),
    /// In the buffer of what nslcd said, whole or its beginning.
    #[cfg(feature = "nsssd-nslcd")]
    Nslcd(Head),
}

/// What all backends of a process share, so that a client costs little.
pub struct Shared {
    /// What is read of files larger than what is kept of them.
    pub window: Vec<u8>,
    /// The groups of one user.
    pub gids: Gids,
    /// What was looked at with this number was looked at after the requests in hand had come;
    /// 0: look again for each.
    round: u64,
}

impl Shared {
    /// 32 KiB of window, 16 KiB of gids; untouched pages cost nothing.
    pub fn new(merge: bool) -> Self {
        Shared { window: untouched(WINDOW), gids: Gids::new(merge), round: 0 }
    }
}

/// What an in-process backend is given for one step.
pub struct Step<'a> {
    shared: &'a mut Shared,
    rights: Rights,
    turn: &'a mut u64,
    search: &'a mut unix::Search,
    hit: &'a mut Hit,
}
