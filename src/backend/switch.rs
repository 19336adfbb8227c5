//! Asks backends in order, by the decision table of doc/protocols/nsss.md, section 7.
//!
//! A single backend is a switch with one place.

use super::child::{Child, Origin};
#[cfg(feature = "nsssd-map")]
use super::map::Map;
#[cfg(feature = "nsssd-nslcd")]
use super::nslcd::Nslcd;
use super::unix::Unix;
use super::{Client, Hit, Outcome, Shared, Step, unix};
use crate::sys::clock;
use crate::sys::message::Message;
use crate::sys::sandbox::Sandbox;
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use nssproto::entry::Record;
use nssproto::nsss::{Head, Request};
use rustix::io::Errno;
use std::os::fd::BorrowedFd;

/// When to stop asking: the bits of a backend's bitfield.
mod stop {
    /// The backend failed for good.
    pub const DEAD: u8 = 1;
    /// It answered a failure.
    pub const FAILED: u8 = 2;
    /// It has no such entry.
    pub const NOT_FOUND: u8 = 4;
}

/// Where answers come from.
pub enum Backend {
    /// Local files, in process.
    Unix(Box<Unix>),
    /// Templates, in process.
    #[cfg(feature = "nsssd-map")]
    Map(Box<Map>),
    /// A running nslcd, asked by this process.
    #[cfg(feature = "nsssd-nslcd")]
    Nslcd(Box<Nslcd>),
    /// Another program or a server.
    Child(Box<Child>),
    /// A program that could not be started.
    Missing,
    /// One that may block, where nothing may: another switch, elsewhere, has it.
    Elsewhere,
}

/// One backend of a switch.
pub struct Slot {
    /// When to stop at it; only the low three bits count.
    pub bits: u8,
    /// The backend.
    pub backend: Backend,
    /// How [`Switch::revive`] gets a new one when it has failed for good; `None`: that is its end.
    pub origin: Option<Origin>,
}

/// A list of backends, and what they share.
pub struct Switch {
    /// At most as many as [`crate::limits::BACKENDS`].
    slots: Vec<Slot>,
    shared: Shared,
    merge: bool,
    /// The names of the backends, where each answer is to be explained.
    explained: Vec<Vec<u8>>,
}

impl Switch {
    /// `merge`: the groups of a user are the union over the backends.
    pub fn new(slots: Vec<Slot>, merge: bool) -> Box<Self> {
        Box::new(Switch { slots, shared: Shared::new(merge), merge, explained: Vec::new() })
    }

    /// Ends with its backends: their descriptors are closed, and programs that have failed waited for.
    pub fn end(&mut self) {
        self.slots.clear();
    }

    /// Its backends, in the order in which they are asked.
    pub fn slots(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    /// A switch with one backend, for as long as the process lives.
    pub fn of(backend: Backend) -> &'static mut Self {
        Box::leak(Switch::new(vec![Slot { bits: 0, backend, origin: None }], false))
    }

    /// From now on, what each backend says is told on standard error (`getent --explain`).
    pub fn explain(&mut self, names: Vec<Vec<u8>>) {
        self.explained = names;
    }

    /// Whether a backend in process can block, so that it must not run where others wait.
    pub fn may_block(&self) -> bool {
        self.slots.iter().any(|slot| slot.backend.may_block())
    }

    /// Keeps what backends must hide from others, after a change of user.
    pub fn guard(&self) {
        #[cfg(feature = "nsssd-map")]
        for slot in &self.slots {
            if let Backend::Map(map) = &slot.backend {
                map.guard();
            }
        }
    }

    /// What must stay allowed once all has been started.
    pub fn sandbox(&self) -> Sandbox {
        let mut sandbox = Sandbox::default();
        for slot in &self.slots {
            match &slot.backend {
                Backend::Unix(unix) => unix.allow(&mut sandbox),
                #[cfg(feature = "nsssd-map")]
                Backend::Map(map) => map.allow(&mut sandbox),
                _ => {}
            }
        }
        sandbox
    }

    /// Makes sure that local files can be opened when all descriptors are in use by clients.
    pub fn reserve_descriptors(&mut self) {
        for slot in &mut self.slots {
            if let Backend::Unix(unix) = &mut slot.backend {
                unix.reserve_descriptors();
            }
        }
    }

    /// Readies `client` for this switch; not after its first request.
    pub fn admit(&self, client: &mut Client) {
        client.places.clear();
        for _ in &self.slots {
            // As many as slots, for which it has room.
            let _ = client.places.push(unix::Places::default());
        }
    }

    /// Forgets `client`, who has left.
    pub fn dismiss(&mut self, client: &Client) {
        self.shared.gids.release(client.number);
    }

    /// All requests that will be asked until this is called again have been received by now: one
    /// look at a file does for them.
    pub fn hear(&mut self) {
        self.shared.round += 1;
    }

    /// Serves one request. Between two calls for the same request, after `Pending`, other
    /// clients may be served. `skip` gids of a group list are not wanted.
    pub fn ask(&mut self, client: &mut Client, request: &Request<'_>, skip: u64) -> Outcome {
        if matches!(request, Request::GroupList { .. }) && !self.claim(client, skip) {
            return Outcome::Pending;
        }
        let outcome = match request {
            Request::End(_) => {
                self.tell_all(client, request);
                Outcome::Done
            }
            Request::Rewind(_) => self.tell_all(client, request),
            _ => self.ask_in_order(client, request),
        };
        if !matches!(outcome, Outcome::Pending | Outcome::Groups) {
            self.shared.gids.release(client.number);
        }
        match outcome {
            // Not "not found": nobody has looked.
            Outcome::Dead => Outcome::failed(Errno::IO),
            outcome => outcome,
        }
    }

    /// Takes the collector of gids for a request that begins; false while another client has it.
    fn claim(&mut self, client: &Client, skip: u64) -> bool {
        let gids = &mut self.shared.gids;
        let new = !gids.is_claimed_by(client.number);
        if !gids.claim(client.number) {
            return false;
        }
        if new {
            gids.start(skip);
        }
        true
    }

    /// END and REWIND go to every backend. Good if one of them succeeds.
    fn tell_all(&mut self, client: &mut Client, request: &Request<'_>) -> Outcome {
        let mut result = Outcome::Dead;
        while client.slot < self.slots.len() {
            let outcome = self.ask_slot(client, request);
            if outcome != Outcome::Dead && result != Outcome::Done {
                result = outcome;
            }
            client.slot += 1;
        }
        result
    }

    /// Asks until one says what ends it. The groups of a user may be the union of what the backends
    /// know, in the order in which they are met.
    fn ask_in_order(&mut self, client: &mut Client, request: &Request<'_>) -> Outcome {
        let merges = self.merge && matches!(request, Request::GroupList { .. });
        // An enumeration stays with one process, too.
        let whole = merges || matches!(request, Request::Next(_));
        if whole && self.slots.iter().any(|s| matches!(s.backend, Backend::Elsewhere)) {
            return Outcome::Elsewhere;
        }
        while let Some(slot) = self.slots.get(client.slot) {
            let (bits, was_dead) = (slot.bits, slot.backend.is_dead());
            let outcome = self.ask_slot(client, request);
            let stops = match outcome {
                Outcome::Groups if merges => {
                    self.shared.gids.keep();
                    if self.shared.gids.overflowed() {
                        return Outcome::failed(Errno::RANGE);
                    }
                    0
                }
                Outcome::Done
                | Outcome::Found
                | Outcome::Groups
                | Outcome::Pending
                | Outcome::Elsewhere => return outcome,
                Outcome::NotFound => stop::NOT_FOUND,
                Outcome::Dead => stop::DEAD,
                Outcome::Failed(_) => stop::FAILED,
            };
            client.failed |= stops & (stop::DEAD | stop::FAILED) != 0;
            if bits & stops != 0 {
                return outcome;
            }
            // The last backend that was really asked has the last word, before it any that knew
            // groups.
            if !was_dead && client.last != Some(Outcome::Groups) {
                client.last = Some(outcome);
            }
            self.move_on(client);
        }
        client.last.unwrap_or(Outcome::Dead)
    }

    fn move_on(&mut self, client: &mut Client) {
        client.slot += 1;
        client.search = unix::Search::default();
        // Another client's list may be in the middle of a turn.
        if self.shared.gids.is_claimed_by(client.number) {
            self.shared.gids.next_backend();
        }
    }

    fn ask_slot(&mut self, client: &mut Client, request: &Request<'_>) -> Outcome {
        let asked = client.slot;
        if asked >= self.explained.len() {
            return self.ask_quietly(client, request);
        }
        let start = clock::micros();
        let outcome = self.ask_quietly(client, request);
        let name = self.explained.get(asked).map(Vec::as_slice).unwrap_or_default();
        explain(name, outcome, clock::micros().wrapping_sub(start));
        outcome
    }

    fn ask_quietly(&mut self, client: &mut Client, request: &Request<'_>) -> Outcome {
        let Client { slot, places, search, hit, turn, rights, .. } = client;
        let (Some(slot), Some(places)) = (self.slots.get_mut(*slot), places.get_mut(*slot)) else {
            return Outcome::Dead;
        };
        let step = Step { shared: &mut self.shared, rights: *rights, turn, search, hit };
        match &mut slot.backend {
            Backend::Unix(unix) => unix.ask(step, places, request),
            #[cfg(feature = "nsssd-map")]
            Backend::Map(map) => map.ask(step, request),
            #[cfg(feature = "nsssd-nslcd")]
            Backend::Nslcd(nslcd) => nslcd.ask(step, request),
            Backend::Child(child) => child.ask(request, &mut step.shared.gids, step.hit),
            Backend::Missing => Outcome::Dead,
            Backend::Elsewhere => Outcome::Elsewhere,
        }
    }

    /// The record that was found, if it is whole. Valid until anything else is asked.
    pub fn record(&self, client: &Client) -> Option<Record<'_>> {
        match (self.slots.get(client.slot).map(|s| &s.backend)?, &client.hit) {
            (Backend::Unix(unix), Hit::Line { of, start, end, .. }) => {
                unix.record(&self.shared.window, *of, *start, *end)
            }
            #[cfg(feature = "nsssd-map")]
            (Backend::Map(map), Hit::Map(head)) => map.record(head),
            #[cfg(feature = "nsssd-nslcd")]
            (Backend::Nslcd(nslcd), Hit::Nslcd(head)) => nslcd.record(head),
            (Backend::Child(child), Hit::Child(head)) => child.record(head),
            _ => None,
        }
    }

    /// Whether another process has told the record that was found, and not a file.
    pub fn was_told(&self, client: &Client) -> bool {
        match self.slots.get(client.slot).map(|slot| &slot.backend) {
            #[cfg(feature = "nsssd-nslcd")]
            Some(Backend::Nslcd(_)) => true,
            Some(Backend::Child(_)) => true,
            _ => false,
        }
    }

    /// The head of the record that was found, which will be taken in pieces.
    pub fn long<'a>(&self, client: &'a mut Client) -> Option<&'a Head> {
        let hit = &mut client.hit;
        if let (Hit::Line { .. }, Backend::Unix(unix)) =
            (&*hit, &self.slots.get(client.slot)?.backend)
        {
            unix.measure(&self.shared.window, client.places.get(client.slot)?, hit)?;
        }
        match hit {
            Hit::Long(long) => Some(long.head()),
            Hit::Child(head) => Some(head),
            #[cfg(feature = "nsssd-nslcd")]
            Hit::Nslcd(head) => Some(head),
            _ => None,
        }
    }

    /// The next bytes of the strings of a record that is taken in pieces, and whether they are
    /// the last. The error means that the reply cannot be ended.
    pub fn area(&mut self, client: &mut Client, out: &mut [u8]) -> Result<(usize, bool), Errno> {
        let slot = self.slots.get_mut(client.slot).ok_or(Errno::INVAL)?;
        match (&mut slot.backend, &mut client.hit, client.places.get(client.slot)) {
            (Backend::Unix(unix), Hit::Long(long), Some(places)) => {
                let len = unix.area(&mut self.shared.window, places, long, out)?;
                Ok((len, long.done()))
            }
            #[cfg(feature = "nsssd-nslcd")]
            (Backend::Nslcd(nslcd), Hit::Nslcd(_), _) => nslcd.area(out),
            (Backend::Child(child), Hit::Child(_), _) => child.area(out),
            _ => Err(Errno::INVAL),
        }
    }

    /// Goes back to the first byte of the strings of a record that is taken in pieces. False
    /// where that cannot be: ask again.
    pub fn rewind(&self, client: &mut Client) -> bool {
        match &mut client.hit {
            Hit::Long(long) => {
                long.rewind();
                true
            }
            _ => false,
        }
    }

    /// The record or the groups that were found have been taken whole.
    pub fn taken(&mut self, client: &Client) {
        if let Some(Backend::Child(child)) = self.slots.get_mut(client.slot).map(|s| &mut s.backend)
        {
            child.taken();
        }
        self.shared.gids.release(client.number);
    }

    /// The groups that were found.
    pub fn gids(&self) -> &super::gids::Gids {
        &self.shared.gids
    }

    /// What to watch while no request is in hand, by backend.
    pub fn watched(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        (0..2 * self.slots.len()).filter_map(|at| match &self.slots.get(at / 2)?.backend {
            Backend::Child(child) => Some((at / 2, child.watched(at % 2)?)),
            _ => None,
        })
    }

    /// Something was heard of backend `at` that has nothing to say: it has failed.
    pub fn fail(&mut self, at: usize) {
        if let Some(Backend::Child(child)) = self.slots.get_mut(at).map(|s| &mut s.backend) {
            child.fail();
        }
    }

    /// A child has failed of whose end nothing will tell: ask for it now and then.
    pub fn must_be_polled(&self) -> bool {
        self.slots.iter().any(|s| matches!(&s.backend, Backend::Child(c) if c.must_be_polled()))
    }

    /// Between requests: replaces backends that have failed for good, where there is a way to.
    /// (Starting a program allocates.)
    pub fn revive(&mut self) {
        self.look();
        for Slot { backend, origin, .. } in &mut self.slots {
            let Some(origin) = origin.as_mut().filter(|_| backend.is_dead()) else { continue };
            if matches!(backend, Backend::Child(child) if child.has_answered()) {
                // It was a good one, and so may be the next.
                origin.try_at_once();
            }
            if let Some(child) = origin.start() {
                *backend = Backend::Child(Box::new(child));
            }
        }
    }

    /// Between requests: takes note of backends that have failed meanwhile.
    pub fn look(&mut self) {
        for slot in &mut self.slots {
            if let Backend::Child(child) = &mut slot.backend {
                child.look();
            }
        }
    }

    /// Milliseconds that a backend which asks another process may take to go on with its answer, and
    /// until when it must have begun it.
    pub fn limit(&mut self, millis: u32, until: Option<u64>) {
        for slot in &mut self.slots {
            match &mut slot.backend {
                Backend::Child(child) => child.limit(millis, until),
                #[cfg(feature = "nsssd-nslcd")]
                Backend::Nslcd(nslcd) => nslcd.limit(millis, until),
                _ => {}
            }
        }
    }

    /// Takes note of ended children.
    pub fn reap(&mut self) {
        for slot in &mut self.slots {
            if let Backend::Child(child) = &mut slot.backend {
                child.reap();
            }
        }
    }
}

impl Backend {
    /// Whether it runs in this process and can block.
    pub fn may_block(&self) -> bool {
        match self {
            #[cfg(feature = "nsssd-map")]
            Backend::Map(map) => map.may_block(),
            #[cfg(feature = "nsssd-nslcd")]
            Backend::Nslcd(_) => true,
            _ => false,
        }
    }

    /// Told to one that runs in the process of a switch for a single client, on its standard
    /// output: the milliseconds after which the switch gives a backend up.
    pub fn serve_one_client(&mut self, millis: Option<u32>) {
        match self {
            #[cfg(feature = "nsssd-nslcd")]
            Backend::Nslcd(nslcd) => {
                nslcd.watch_client();
                nslcd.give_up_after(millis);
            }
            _ => {
                let _ = millis;
            }
        }
    }

    fn is_dead(&self) -> bool {
        match self {
            Backend::Unix(_) | Backend::Elsewhere => false,
            #[cfg(feature = "nsssd-map")]
            Backend::Map(_) => false,
            #[cfg(feature = "nsssd-nslcd")]
            Backend::Nslcd(nslcd) => nslcd.is_dead(),
            Backend::Child(child) => child.is_dead(),
            Backend::Missing => true,
        }
    }
}

/// `NAME: found (0.012 ms)` on standard error.
fn explain(name: &[u8], outcome: Outcome, micros: u32) {
    let mut message = Message::new("getent", "explain");
    message.path(name).text(": ");
    message.text(match outcome {
        Outcome::Found | Outcome::Groups | Outcome::Done => "found",
        Outcome::NotFound => "not found",
        Outcome::Failed(_) => "failed, ",
        Outcome::Dead => "failed for good",
        Outcome::Pending | Outcome::Elsewhere => "not done yet",
    });
    if let Outcome::Failed(errno) = outcome {
        message.errno(Errno::from_raw_os_error(errno.into()));
    }
    // The digits of the fraction, behind a 1 that keeps its zeros.
    let mut room = [0; DECIMAL_MAX];
    let fraction = write_decimal((1000 + micros % 1000).into(), &mut room);
    message.text(" (").number((micros / 1000).into()).text(".");
    message.path(fraction.get(1..).unwrap_or_default()).text(" ms)").send();
}
