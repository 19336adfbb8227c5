//! Asks backends in order. A single backend is a switch with one place.

mod belief;
mod client;
mod decision;
mod found;
mod sharing;
mod upkeep;

#[cfg(feature = "userdb")]
use super::KeyPlace;
use super::child::Origin;
use super::client::Search;
use super::gids::Gids;
use super::window::Window;
use super::{Backend, Outcome, Shared, Source, Step};
#[cfg(feature = "nscd")]
use super::{Teller, password::Passwords};
use crate::limits::{IDLE_LOOK_MILLIS, MIN_UID};
use crate::sys::access::Rights;
use crate::sys::clock::{self, NEVER};
use crate::sys::sandbox::Sandbox;
use belief::{Claim, Judging, Verdict};
use decision::{Next, any_of};
use nssproto::entry::{Db, Name};
use nssproto::nsss::Request;
use rustix::io::Errno;
use sharing::Sharing;

pub use belief::Belief;
pub use client::ClientState;
pub use decision::Progress;
#[cfg(feature = "nscd")]
pub use found::Shown;
pub use found::{Answer, Found, FoundGroups, Pieces};

/// One backend of a switch.
pub struct Slot {
    /// When to stop at it, as in doc/protocols/nsss.md, section 7: a sum of 1 (it failed for good),
    /// 2 (a failure) and 4 (not found).
    pub bits: u8,
    /// The backend.
    pub backend: Backend,
    /// How [`Switch::revive`] gets a new one when it has failed for good; `None`: that is its end.
    pub origin: Option<Origin>,
    /// How far it is believed.
    pub belief: Belief,
}

/// So many entries in a row that are refused end an enumeration.
const REFUSED: u32 = 4096;

/// What one backend said, for whoever wants to know it.
pub struct Report {
    /// Which backend.
    pub slot: usize,
    /// What it said.
    pub outcome: Outcome,
    /// What it has found is not believed.
    pub refused: bool,
    /// How long that took.
    pub micros: u32,
}

/// Who wants to know what each backend said.
pub type Observer = Box<dyn FnMut(&Report)>;

/// A list of backends, and what they share.
pub struct Switch {
    /// At most as many as [`crate::limits::BACKENDS`].
    slots: Vec<Slot>,
    shared: Shared,
    /// The window while a record is in the other one.
    aside: Window,
    claim: Claim,
    /// Uids below it are believed from local files.
    pub min_uid: u32,
    /// When to look for files that are not used any more.
    next_look: u64,
    merge: bool,
    /// Whose messages tell each failure.
    tells: Option<&'static str>,
    observer: Option<Observer>,
    sharing: Sharing,
    /// What passwords are judged by, where it is needed.
    #[cfg(feature = "nscd")]
    passwords: Option<Box<Passwords>>,
}

impl Switch {
    /// `merge`: the groups of a user are the union over the backends.
    pub fn new(slots: Vec<Slot>, merge: bool) -> Box<Self> {
        let mut switch = Box::new(Switch {
            slots,
            shared: Shared::new(Gids::new(merge)),
            aside: Window::default(),
            claim: Claim::NONE,
            min_uid: MIN_UID,
            next_look: NEVER,
            merge,
            tells: None,
            observer: None,
            sharing: Sharing::new(),
            #[cfg(feature = "nscd")]
            passwords: None,
        });
        // What was opened at the start, too.
        switch.close_idle(false);
        switch
    }

    /// A switch with one backend.
    pub fn of(backend: Backend) -> Box<Self> {
        Switch::new(vec![Slot { bits: 0, backend, origin: None, belief: Belief::All }], false)
    }

    /// Adds one behind the others. (Before there are clients: they have a state for each.)
    pub fn add(&mut self, slot: Slot) {
        self.slots.push(slot);
    }

    /// Ends with its backends: their descriptors are closed, and programs that have failed waited for.
    pub fn end(&mut self) {
        self.slots.clear();
    }

    /// Its backends, in the order in which they are asked.
    pub fn slots(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    /// From now on, what each backend says is reported.
    pub fn observe(&mut self, observer: Observer) {
        self.observer = Some(observer);
    }

    /// From now on each failure of a backend is told by `program`.
    pub fn tell_failures(&mut self, program: &'static str) {
        self.tells = Some(program);
    }

    /// Whether a backend in process can block, so that it must not run where others wait.
    pub fn may_block(&self) -> bool {
        self.slots.iter().any(|slot| slot.backend.may_block())
    }

    /// From now on it runs where others wait: what may block is a worker's. Whether some lookup may
    /// turn out to be.
    pub fn wait_for_nothing(&mut self) -> bool {
        self.slots.iter_mut().fold(false, |some, slot| slot.backend.wait_for_nothing() | some)
    }

    /// Keeps what backends must hide from others, after a change of user.
    pub fn guard(&self) {
        self.slots.iter().for_each(|slot| slot.backend.guard());
    }

    /// From now on [`Found::shown`] can be asked: what it needs to look at besides the sources is
    /// made where one of them is not the machine's own files. Whether it is.
    #[cfg(feature = "nscd")]
    pub fn judge_passwords(&mut self) -> bool {
        let is_own = |slot: &Slot| slot.backend.teller() == Teller::Own;
        if !self.slots.iter().all(is_own) {
            self.passwords = Passwords::new();
        }
        self.passwords.is_some()
    }

    /// The same where systemd's userdb tells what the sources have in shadow.
    #[cfg(feature = "nscd")]
    pub fn judge_passwords_beside_userdb(&mut self) -> bool {
        let judges = self.judge_passwords();
        if let Some(passwords) = &mut self.passwords {
            passwords.tells_shadow = true;
        }
        #[cfg(feature = "userdb")]
        self.tell_ssh_keys();
        judges
    }

    /// From now on [`Switch::ssh_keys`] is asked.
    #[cfg(feature = "userdb")]
    pub fn tell_ssh_keys(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.backend.tell_ssh_keys());
    }

    /// The next bytes of the files with the ssh keys of a user whom the backend at `source` has told: see
    /// [`Source::ssh_keys`].
    #[cfg(feature = "userdb")]
    pub fn ssh_keys(
        &mut self,
        client: &ClientState,
        source: usize,
        name: &[u8],
        place: &mut KeyPlace,
        out: &mut [u8],
    ) -> Result<usize, Errno> {
        let slot = self.slots.get_mut(source).ok_or(Errno::INVAL)?;
        slot.backend.ssh_keys(client.rights, name, place, out)
    }

    /// What must stay allowed once all has been started.
    pub fn sandbox(&self) -> Sandbox {
        let mut sandbox = Sandbox::default();
        #[cfg(feature = "nscd")]
        if let Some(passwords) = &self.passwords {
            passwords.allow(&mut sandbox);
        }
        self.slots.iter().for_each(|slot| slot.backend.allow(&mut sandbox));
        sandbox
    }

    /// Makes sure that local files can be opened when all descriptors are in use by clients.
    pub fn reserve_descriptors(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.backend.reserve_descriptors());
        #[cfg(feature = "nscd")]
        if let Some(passwords) = &mut self.passwords {
            passwords.reserve_descriptor();
        }
    }

    /// When [`Switch::close_idle`] is to be called, in milliseconds of the clock; [`NEVER`]: no file
    /// is open.
    pub fn next_look(&mut self) -> u64 {
        #[cfg(feature = "nscd")]
        if let Some(passwords) = &self.passwords {
            self.shared.holds_files |= passwords.holds_files();
        }
        if self.shared.holds_files && self.next_look == NEVER {
            self.next_look = clock::millis() + IDLE_LOOK_MILLIS;
        }
        self.next_look
    }

    /// Closes files that were not used for a while. `clients_hold`: those of clients were looked at,
    /// by [`ClientState::close_idle`], and some are open.
    pub fn close_idle(&mut self, clients_hold: bool) {
        let slots = &mut self.slots;
        self.shared.holds_files =
            slots.iter_mut().fold(clients_hold, |open, slot| slot.backend.close_idle() | open);
        #[cfg(feature = "nscd")]
        if let Some(passwords) = &mut self.passwords {
            self.shared.holds_files |= passwords.close_idle();
        }
        self.next_look = NEVER;
    }

    /// A client of this switch; `number` tells him from its others.
    pub fn new_client(&self, rights: Rights, number: u32) -> ClientState {
        ClientState::new(rights, number, self.slots.len())
    }

    /// Forgets `client`, who has left, perhaps in the middle of a request.
    pub fn dismiss(&mut self, client: &ClientState) {
        self.shared.gids.release(client.number);
        self.claim.release(client.number);
        #[cfg(feature = "nscd")]
        if let Some(passwords) = &mut self.passwords {
            passwords.release(client.number);
        }
    }

    /// All requests that will be asked until this is called again have been received by now: one
    /// look at a file does for them.
    /// `waiting`: how many clients have something to do.
    pub fn begin_batch(&mut self, waiting: usize) {
        self.shared.batch += 1;
        self.shared.waiting = waiting;
    }

    /// Serves one request. After [`Answer::Pending`] the same request is asked again, and other
    /// clients may be served before. `skip` gids of a group list are not wanted.
    pub fn ask<'a>(
        &'a mut self,
        client: &'a mut ClientState,
        request: &Request<'_>,
        skip: u64,
    ) -> Answer<'a> {
        if !client.pending {
            client.begin();
            if client.lists && matches!(request, Request::Next(_)) {
                client.slot = client.slot.max(client.lists_at);
            }
            if !self.tell_again(client, request) {
                return Answer::NeedsWorker;
            }
        }
        let outcome = match self.sharing.repeated() {
            Some(outcome) => outcome,
            None => self.ask_anew(client, request, skip),
        };
        client.pending = outcome == Outcome::Pending;
        match outcome {
            Outcome::Done => Answer::Done,
            Outcome::Found if client.lists && matches!(request, Request::Next(_)) => {
                // One that has failed is to be missed at the end.
                if !client.has_failed() {
                    client.lists_at = client.slot;
                }
                Answer::Found(Found { switch: self, client, in_pieces: false })
            }
            Outcome::Found => Answer::Found(Found { switch: self, client, in_pieces: false }),
            Outcome::Groups => Answer::Groups(FoundGroups { switch: self, client }),
            Outcome::NotFound => Answer::NotFound,
            Outcome::Failed(errno) => Answer::Failed(errno),
            // Not "not found": nobody has looked.
            Outcome::Dead => Answer::Failed(Errno::IO.raw_os_error() as u8),
            Outcome::Pending => Answer::Pending,
            Outcome::NeedsWorker => Answer::NeedsWorker,
        }
    }

    fn outcome(&mut self, client: &mut ClientState, request: &Request<'_>, skip: u64) -> Outcome {
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
        if outcome != Outcome::Pending {
            self.claim.release(client.number);
        }
        outcome
    }

    /// Takes the collector of gids for a request that begins; false while another client has it.
    fn claim(&mut self, client: &ClientState, skip: u64) -> bool {
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

    /// END and REWIND go to every backend.
    fn tell_all(&mut self, client: &mut ClientState, request: &Request<'_>) -> Outcome {
        let mut result = Outcome::Dead;
        while self.slot_of(client).is_some() {
            result = any_of(result, self.ask_slot(client, request));
            client.slot += 1;
        }
        result
    }

    /// Asks until one says what ends it. The groups of a user may be the union of what the backends
    /// know, in the order in which they are met.
    fn ask_in_order(&mut self, client: &mut ClientState, request: &Request<'_>) -> Outcome {
        let merges = self.merge && matches!(request, Request::GroupList { .. });
        let is_offloaded = |slot: &Slot| matches!(slot.backend, Backend::Offloaded(_));
        // An enumeration stays with one process, too.
        let whole = merges && !has_long_name(request) || matches!(request, Request::Next(_));
        let slots = self.slots.get(client.backends()).unwrap_or_default();
        if whole && slots.iter().any(is_offloaded) {
            return Outcome::NeedsWorker;
        }
        let mut refused = 0;
        while let Some(slot) = self.slot_of(client) {
            let (bits, was_dead) = (slot.bits, slot.backend.is_dead());
            let mut outcome = match client.judging {
                Judging::Names { .. } => Outcome::Found,
                Judging::No | Judging::Again => self.ask_slot(client, request),
            };
            if let (Outcome::Found, Request::ByName(db, asked)) = (outcome, *request) {
                if client.judging == Judging::No {
                    outcome = self.in_other_case(client, db, asked);
                }
            }
            if outcome == Outcome::Found {
                match self.judge(client, request) {
                    Verdict::Told => {}
                    Verdict::Stop(outcome) => return outcome,
                    Verdict::Refused => {
                        refused += 1;
                        client.search = Search::default();
                        match request {
                            // The next entry of the same list.
                            Request::Next(_) if refused < REFUSED => {}
                            Request::Next(_) => return Outcome::failed(Errno::PROTO),
                            _ => {
                                let _ =
                                    client.progress.take(Outcome::NotFound, 0, was_dead, merges);
                                self.move_on(client);
                            }
                        }
                        continue;
                    }
                }
            }
            if outcome == Outcome::Groups && self.is_strangers(client) {
                outcome = self.refuse(client);
            }
            if merges && outcome == Outcome::Groups {
                self.shared.gids.keep();
                if self.shared.gids.overflowed() {
                    return Outcome::failed(Errno::RANGE);
                }
            }
            if let Next::Stop(outcome) = client.progress.take(outcome, bits, was_dead, merges) {
                return outcome;
            }
            self.move_on(client);
        }
        client.progress.last_word()
    }

    /// What comes of a record whose source takes upper and lower case for the same, and has another
    /// spelling of the name that was asked for: nothing, if one before it has a record of that
    /// spelling. Whoever has that name is not him.
    fn in_other_case(&mut self, client: &mut ClientState, db: Db, asked: Name<'_>) -> Outcome {
        let backend = self.slots.get(client.slot).map(|slot| &slot.backend);
        if backend.is_none_or(|backend| backend.name_in_other_case(asked.bytes()).is_none()) {
            return Outcome::Found;
        }
        let Some(bytes) = self.name(client) else { return Outcome::Found };
        let Some(name) = Name::new(&bytes) else { return Outcome::Found };
        // He waits for a source that may block already.
        let budget = std::mem::replace(&mut client.budget, u64::MAX);
        let (found_at, found, mut outcome) = (client.slot, client.hit, Outcome::Found);
        for before in client.backends().start..found_at {
            (client.slot, client.search) = (before, Search::default());
            if self.look_aside(client, &Request::ByName(db, name)).0 == Outcome::Found {
                outcome = Outcome::NotFound;
                break;
            }
        }
        (client.slot, client.hit, client.budget) = (found_at, found, budget);
        outcome
    }

    /// The backend that a client's request has come to; `None`: he may ask no further one.
    fn slot_of(&self, client: &ClientState) -> Option<&Slot> {
        self.slots.get(client.slot).filter(|_| client.backends().contains(&client.slot))
    }

    /// Whether the groups that were collected are those of a server that is not believed, and lack
    /// what it has no right to say.
    fn is_strangers(&self, client: &ClientState) -> bool {
        let slot = self.slots.get(client.slot);
        slot.is_some_and(|slot| slot.belief == Belief::Stranger) && self.shared.gids.lacks
    }

    fn move_on(&mut self, client: &mut ClientState) {
        client.slot += 1;
        client.search = Search::default();
        // Another client's list may be in the middle of a turn.
        if self.shared.gids.is_claimed_by(client.number) {
            self.shared.gids.next_backend();
        }
    }

    fn ask_slot(&mut self, client: &mut ClientState, request: &Request<'_>) -> Outcome {
        if let Request::GroupList { .. } = request {
            let belief = self.slots.get(client.slot).map(|slot| slot.belief);
            self.shared.gids.least = belief.map_or(0, |belief| belief.least_gid());
        }
        let start = self.observer.as_ref().map(|_| clock::micros());
        let outcome = match self.step(client) {
            Some((backend, _)) if has_long_name(request) && !backend.takes_long_names() => {
                Outcome::NotFound
            }
            Some((backend, step)) => backend.ask(step, request),
            None => Outcome::Dead,
        };
        if let (Some(program), Some(slot)) = (self.tells, self.slots.get(client.slot)) {
            slot.tell(program, request, outcome);
        }
        if let (Some(start), Some(observer)) = (start, &mut self.observer) {
            let micros = clock::micros().wrapping_sub(start);
            observer(&Report { slot: client.slot, outcome, refused: false, micros });
        }
        outcome
    }

    /// The backend that a client's request has come to, and what it is given.
    fn step<'a>(
        &'a mut self,
        client: &'a mut ClientState,
    ) -> Option<(&'a mut dyn Source, Step<'a>)> {
        let ClientState { slot, enumerations, search, hit, budget, rights, rules, .. } = client;
        let (lists, sequel) = (client.lists, &mut client.sequel);
        let enumerations = enumerations.get_mut(*slot)?;
        let slot = self.slots.get_mut(*slot)?;
        let (shared, rights, rules) = (&mut self.shared, *rights, *rules);
        let step = Step { shared, rights, rules, lists, budget, search, enumerations, sequel, hit };
        Some((&mut *slot.backend, step))
    }
}

/// Whether it asks for a name that most backends cannot be asked for.
fn has_long_name(request: &Request<'_>) -> bool {
    match request {
        Request::ByName(_, name) | Request::GroupList { user: name, .. } => name.is_long(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nssproto::entry::Uid;

    #[test]
    fn a_client_asks_the_backends_of_his_range_and_no_others() {
        let slot = |backend| Slot { bits: 0, backend, origin: None, belief: Belief::All };
        let slots = vec![slot(Backend::NOT_STARTED), slot(Backend::OFFLOADED)];
        let mut switch = Switch::new(slots, true);
        let user = Name::new(b"ada").unwrap();
        let groups = Request::GroupList { max: 1, user };
        let asks = [Request::ByUid(Uid(1)), Request::Next(Db::Passwd), groups];
        for (backends, offloads) in [(0..2, true), (1..9, true), (0..1, false), (7..9, false)] {
            let mut client = switch.new_client(Rights::Own, 1);
            client.limit_to(backends.clone());
            for request in &asks {
                let needs_worker =
                    matches!(switch.ask(&mut client, request, 0), Answer::NeedsWorker);
                assert_eq!(needs_worker, offloads, "{backends:?} {request:?}");
            }
        }
    }
}
