//! Where answers come from. A backend is asked with a request of the nsss protocol; what it
//! found is lent to the caller, who encodes it for himself.

#[cfg(any(feature = "nsssd-cache", feature = "nsscache"))]
pub mod cache;
pub mod child;
pub mod client;
pub mod gids;
#[cfg(feature = "nsssd-map")]
pub mod map;
pub mod none;
#[cfg(feature = "nsssd-nslcd")]
pub mod nslcd;
#[cfg(feature = "nscd")]
pub mod nsswitch;
#[cfg(feature = "nscd")]
pub mod password;
pub mod script;
pub mod stamp;
pub mod switch;
#[cfg(any(feature = "nsssd-map", feature = "nscd"))]
pub mod text;
pub mod unix;
pub mod window;

use crate::sys::access::{Peer, Rights};
use crate::sys::sandbox::Sandbox;
use client::{Enumerations, Hit, Search, Sequel};
use gids::Gids;
use nssproto::entry::{Db, Record};
use nssproto::line::Rules;
use nssproto::nsss::{Head, Request};
use rustix::io::Errno;
#[cfg(feature = "userdb")]
use stamp::Digest;
use std::ops::{Deref, DerefMut};
use std::os::fd::BorrowedFd;
use window::Window;

/// Something that answers. What it does not need it leaves out.
///
/// The switch calls [`Source::ask`] until that no longer says [`Outcome::Pending`]. Behind
/// [`Outcome::Found`] comes either [`Source::record`], or [`Source::begin_pieces`] and then
/// [`Source::piece`] to the last one, and [`Source::release`] unless it was taken in pieces.
/// [`switch::Found`] sees to that order.
pub trait Source {
    /// Serves one request, or as much of it as fits the client's budget.
    fn ask(&mut self, step: Step<'_>, request: &Request<'_>) -> Outcome;

    /// From now on [`Source::ssh_keys`] is asked.
    #[cfg(feature = "userdb")]
    fn tell_ssh_keys(&mut self) {}

    /// Puts the next bytes of the files with a user's ssh keys to the front of `out`, who was found here:
    /// how many; 0: there are no more. The last byte of a file is LF.
    #[cfg(feature = "userdb")]
    fn ssh_keys(
        &mut self,
        rights: Rights,
        name: &[u8],
        place: &mut KeyPlace,
        out: &mut [u8],
    ) -> Result<usize, Errno> {
        let _ = (rights, name, place, out);
        Ok(0)
    }

    /// Whether it is known without a search that nobody has the key of `request`.
    fn lacks(&mut self, step: Step<'_>, request: &Request<'_>) -> bool {
        let _ = (step, request);
        false
    }

    /// The record that was found, if it is whole.
    fn record<'a>(&'a self, window: &'a [u8], hit: &Hit) -> Option<Record<'a>> {
        let _ = (window, hit);
        None
    }

    /// Name and number of the user or group that was found, where they are had without the record.
    fn key<'a>(&'a self, window: &'a [u8], hit: &Hit) -> Option<(Db, &'a [u8], u32)> {
        let _ = (window, hit);
        None
    }

    /// The head of the record that was found, whose strings will be taken in pieces.
    fn begin_pieces(&mut self, step: Step<'_>) -> Option<Head> {
        let _ = step;
        None
    }

    /// Puts the next bytes of the strings to the front of `out`: how many, and whether they are the
    /// last. The error means that the reply cannot be ended.
    fn piece(&mut self, step: Step<'_>, out: &mut [u8]) -> Result<(usize, bool), Errno> {
        let _ = (step, out);
        Err(Errno::INVAL)
    }

    /// Puts the first bytes of the strings of a record that is not whole to the front of `out`, so
    /// many as its name takes, which ends with NUL; how many. All of them can still be taken.
    fn peek(&mut self, mut step: Step<'_>, out: &mut [u8]) -> Result<usize, Errno> {
        self.begin_pieces(step.again()).ok_or(Errno::INVAL)?;
        let (len, _) = self.piece(step.again(), out)?;
        self.rewind(step.hit);
        Ok(len)
    }

    /// Goes back to the first byte of the strings. False where that cannot be: ask again.
    fn rewind(&mut self, hit: &mut Hit) -> bool {
        let _ = hit;
        false
    }

    /// The record that was found is no longer used.
    fn release(&mut self) {}

    /// Whether a lookup can block, so that it must not run where others wait.
    fn may_block(&self) -> bool {
        false
    }

    /// Whether it can be asked for a name longer than [`nssproto::entry::Name::MAX`]; else it has none.
    fn takes_long_names(&self) -> bool {
        false
    }

    /// From now on it runs where others wait: what may block is a worker's. Whether some lookup may
    /// turn out to be.
    fn wait_for_nothing(&mut self) -> bool {
        false
    }

    /// Whether it is another process that answers, by our rights and not by the client's.
    fn asks_others(&self) -> bool {
        false
    }

    /// Whether all that it says is in a file of lines for each database ([`Source::place`]), read from
    /// the first one on by the rules that go with the question.
    fn has_plain_files(&self) -> bool {
        false
    }

    /// Who that is where it matters who told a record.
    fn teller(&self) -> Teller {
        Teller::Other
    }

    /// Whether `peer` could open by himself the file that the last record of `db` was read from.
    fn could_read(&self, db: Db, peer: Peer) -> bool {
        let _ = (db, peer);
        false
    }

    /// Whether `peer` could open by himself the file of `db` that is there now.
    fn could_open(&self, db: Db, peer: Peer) -> bool {
        let _ = (db, peer);
        false
    }

    /// The name of the record that was found, where it is the asked one in other letters: in upper
    /// or lower case, which this source ignores.
    fn name_in_other_case(&self, asked: &[u8]) -> Option<&[u8]> {
        let _ = asked;
        None
    }

    /// Whether it has failed for good.
    fn is_dead(&self) -> bool {
        false
    }

    /// Why it has.
    fn why_dead(&self) -> Errno {
        Errno::IO
    }

    /// The path that questions about `db` are answered from; empty: there is none.
    fn place(&self, db: Option<Db>) -> &[u8] {
        let _ = db;
        b""
    }

    /// Names what must stay allowed once all has been started.
    fn allow(&self, sandbox: &mut Sandbox) {
        let _ = sandbox;
    }

    /// Hides what it knows from other processes, after a change of user.
    fn guard(&self) {}

    /// Tells what it needs and is not there: a path, and why it cannot be used.
    fn missing(&self, tell: &mut dyn FnMut(&[u8], Errno)) {
        let _ = tell;
    }

    /// Makes sure that its files can be opened when all descriptors are in use.
    fn reserve_descriptors(&mut self) {}

    /// Closes files that were not used since the last look but few; whether others are open. See
    /// [`crate::limits::IDLE_LOOKS`].
    fn close_idle(&mut self) -> bool {
        false
    }

    /// Milliseconds that another process may take to go on with its answer, and until when it must
    /// have begun it, in milliseconds of the clock.
    fn limit(&mut self, millis: u32, until: u64) {
        let _ = (millis, until);
    }

    /// It runs for a single client, who is on our standard output; `millis`: after so many, the
    /// switch gives it up for good.
    fn serve_one_client(&mut self, millis: Option<u32>) {
        let _ = millis;
    }

    /// What to watch while no request is in hand, number 0 and 1: it is readable when the backend
    /// has failed.
    fn watched(&self, which: usize) -> Option<BorrowedFd<'_>> {
        let _ = which;
        None
    }

    /// What was watched was readable.
    fn fail(&mut self) {}

    /// Between requests: takes note of a failure meanwhile.
    fn look(&mut self) {}

    /// Takes note of the end of a process, so that none stays a zombie.
    fn reap(&mut self) {}

    /// There is a process of whose end nothing will tell: call [`Source::reap`] now and then.
    fn must_be_polled(&self) -> bool {
        false
    }

    /// Whether it ever answered: if it has failed since, another one of its kind may do better.
    fn has_answered(&self) -> bool {
        false
    }
}

/// A backend where the switch keeps it.
pub enum Backend {
    /// Local files, in process.
    Unix(Box<unix::Unix>),
    /// Templates, in process.
    #[cfg(feature = "nsssd-map")]
    Map(Box<map::Map>),
    /// A running nslcd, asked by this process.
    #[cfg(feature = "nsssd-nslcd")]
    Nslcd(Box<nslcd::Nslcd>),
    /// Another program or a server.
    Child(Box<child::Child>),
    /// One that is not started yet, or could not be.
    NotStarted(none::NotStarted),
    /// One that may block, where nothing may: a worker process asks it.
    Offloaded(none::Offloaded),
}

impl Backend {
    /// One that is not started yet, or could not be.
    pub const NOT_STARTED: Backend = Backend::NotStarted(none::NotStarted(Errno::IO));

    /// One that a worker process asks.
    pub const OFFLOADED: Backend = Backend::Offloaded(none::Offloaded);
}

impl Deref for Backend {
    type Target = dyn Source;

    // Inlined, the match would be at fifteen places.
    #[inline(never)]
    fn deref(&self) -> &(dyn Source + 'static) {
        match self {
            Backend::Unix(unix) => &**unix,
            #[cfg(feature = "nsssd-map")]
            Backend::Map(map) => &**map,
            #[cfg(feature = "nsssd-nslcd")]
            Backend::Nslcd(nslcd) => &**nslcd,
            Backend::Child(child) => &**child,
            Backend::NotStarted(none) => none,
            Backend::Offloaded(none) => none,
        }
    }
}

impl DerefMut for Backend {
    #[inline(never)]
    fn deref_mut(&mut self) -> &mut (dyn Source + 'static) {
        match self {
            Backend::Unix(unix) => &mut **unix,
            #[cfg(feature = "nsssd-map")]
            Backend::Map(map) => &mut **map,
            #[cfg(feature = "nsssd-nslcd")]
            Backend::Nslcd(nslcd) => &mut **nslcd,
            Backend::Child(child) => &mut **child,
            Backend::NotStarted(none) => none,
            Backend::Offloaded(none) => none,
        }
    }
}

/// Who tells a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// The machine's own files.
    Own,
    /// Those of another directory.
    Directory,
    /// Those of the directory that glibc's module `extrausers` reads.
    Extrausers,
    /// Those that glibc's module `cache` reads.
    Cache,
    /// A map.
    Map,
    /// nslcd.
    Nslcd,
    /// Another program, or a server.
    Other,
}

/// In whose process a backend runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunsIn {
    /// That of whoever asks, a program run by hand: its ids and its environment are his.
    Caller,
    /// A daemon's.
    Daemon,
}

/// How a backend ended with a request, or that it did not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// Its kind is a word: ARM would mask a byte before each use.
#[repr(u32)]
pub enum Outcome {
    /// Done; there is nothing to send but the status.
    Done,
    /// A record was found: see [`Source::record`].
    Found,
    /// The groups were collected: see [`gids::Gids`].
    Groups,
    /// There is no such entry, or no further one.
    NotFound,
    /// A failure with this errno; the next request may do better.
    Failed(u8),
    /// The backend failed for good.
    Dead,
    /// The budget is used up: ask again, with the same request.
    Pending,
    /// What may block has to be asked: a worker has to do it.
    NeedsWorker,
}

impl Outcome {
    /// A failed system call.
    pub fn failed(errno: Errno) -> Self {
        // Larger numbers than a status byte holds exist on MIPS only, for sockets.
        Outcome::Failed(u8::try_from(errno.raw_os_error()).unwrap_or(5).clamp(1, 254))
    }
}

/// What all backends of a switch share, so that a client costs little.
pub struct Shared {
    /// What is read of files larger than what is kept of them.
    pub window: Window,
    /// The groups of one user.
    pub gids: Gids,
    /// All requests that are asked while it stays the same had come before the first of them was
    /// asked, so that one look at a file does for them; 0: look for each.
    pub batch: u64,
    /// How many clients have something to do, the one who asks included.
    pub waiting: usize,
    /// Some file is open that has to be closed when it is not used any more.
    pub holds_files: bool,
}

impl Shared {
    /// 32 KiB of window; untouched pages cost nothing.
    pub fn new(gids: Gids) -> Self {
        Shared { window: Window::default(), gids, batch: 0, waiting: 1, holds_files: false }
    }
}

/// Takes what was done, in bytes of files, from what may still be read in a turn.
pub fn spend(budget: &mut u64, bytes: usize) {
    *budget = budget.saturating_sub(bytes as u64);
}

/// How far the files with a user's ssh keys have been read.
#[cfg(feature = "userdb")]
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyPlace {
    /// Which of them.
    pub file: u8,
    /// The offset there.
    pub at: u32,
    /// Which version of it.
    pub version: Digest,
}

/// What a backend is given for one step.
pub struct Step<'a> {
    /// What all backends share.
    pub shared: &'a mut Shared,
    /// On whose behalf.
    pub rights: Rights,
    /// By whose rules files are read for this question.
    pub rules: Rules,
    /// It is one of many questions, as they come in a list.
    pub lists: bool,
    /// Bytes of files that may still be read in this step.
    pub budget: &'a mut u64,
    /// Where the search of this request stands.
    pub search: &'a mut Search,
    /// The client's enumerations in this backend.
    pub enumerations: &'a mut Enumerations,
    /// Where the next line of shadow may be.
    pub sequel: &'a mut Sequel,
    /// Where the record stands that was found.
    pub hit: &'a mut Hit,
}

impl Step<'_> {
    /// The same, lent on.
    pub fn again(&mut self) -> Step<'_> {
        Step {
            shared: self.shared,
            rights: self.rights,
            rules: self.rules,
            lists: self.lists,
            budget: self.budget,
            search: self.search,
            enumerations: self.enumerations,
            sequel: self.sequel,
            hit: self.hit,
        }
    }
}

/// The hash of no bytes, for [`fnv1a`].
pub const FNV_START: u32 = 0x811c_9dc5;

/// FNV-1a: `start`, going on with these bytes.
pub fn fnv1a(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// One of a kind for each database.
#[derive(Clone, Copy, Debug, Default)]
pub struct PerDb<T> {
    passwd: T,
    group: T,
    shadow: T,
}

impl<T> PerDb<T> {
    /// Makes one for each.
    pub fn new(mut make: impl FnMut(Db) -> T) -> Self {
        PerDb { passwd: make(Db::Passwd), group: make(Db::Group), shadow: make(Db::Shadow) }
    }

    /// These.
    pub fn each(passwd: T, group: T, shadow: T) -> Self {
        PerDb { passwd, group, shadow }
    }

    /// That of a database.
    // Inlined, the choice would be at thirty places.
    #[inline(never)]
    pub fn get(&self, db: Db) -> &T {
        match db {
            Db::Passwd => &self.passwd,
            Db::Group => &self.group,
            Db::Shadow => &self.shadow,
        }
    }

    /// The same, to be changed.
    #[inline(never)]
    pub fn get_mut(&mut self, db: Db) -> &mut T {
        match db {
            Db::Passwd => &mut self.passwd,
            Db::Group => &mut self.group,
            Db::Shadow => &mut self.shadow,
        }
    }
}
