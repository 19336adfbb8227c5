//! Who may say what: which answers of a source are believed (doc/security.md).

use super::ClientState;
use super::decision::stop;
use super::{Answer, Report, Slot, Switch};
use crate::backend::client::{Hit, Search};
use crate::backend::{Outcome, Teller};
use nssproto::bytes::copy_front;
use nssproto::entry::{Db, Gid, Name, Record, Uid};
use nssproto::nsss::{Head, Request};
use rustix::io::Errno;

/// How far a source is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belief {
    /// Local files: in everything.
    Local,
    /// In everything: it is marked so, or there are no local files beside it.
    All,
    /// Made of templates in a file of root's: in everything but uid 0.
    Map,
    /// In everything but gid 0 and uids below [`Switch::min_uid`], for which there are local files,
    /// and 2^32-1, which is nobody's.
    Others,
    /// The like, of a server that is neither root's nor ours. We do not ask the files ourselves, so
    /// what is refused is a failure.
    Stranger,
}

impl Belief {
    /// Whether it may say of somebody that these are his numbers.
    fn allows(self, uid: Option<u32>, gid: Option<u32>, min_uid: u32) -> bool {
        match self {
            Belief::Local | Belief::All => true,
            Belief::Map => uid != Some(0),
            // "No change" to setresuid(2) and its like, so whoever gets it stays root.
            Belief::Others | Belief::Stranger => {
                uid.is_none_or(|uid| uid >= min_uid && uid != u32::MAX)
                    && !matches!(gid, Some(0 | u32::MAX))
            }
        }
    }

    /// Gids below it are no news of this source.
    pub(super) fn least_gid(self) -> u32 {
        match self {
            Belief::Others | Belief::Stranger => 1,
            _ => 0,
        }
    }
}

/// How far it is with a record that a client's request has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judging {
    /// None was found yet.
    No,
    /// The others are asked for its name; `at`: the next of them. If others were served meanwhile,
    /// it has to be asked for again.
    Names { at: u8, waited: bool },
    /// It is asked for again.
    Again,
}

/// What is asked about: one record at a time, since few need more than a turn.
pub(super) struct Claim {
    client: Option<u32>,
    name: KeptName,
    /// Its user or group number; shadow has none.
    id: Option<u32>,
}

impl Claim {
    pub(super) const NONE: Claim = Claim { client: None, name: heapless::Vec::new(), id: None };

    /// No matter if it is another's.
    pub(super) fn release(&mut self, client: u32) {
        if self.client == Some(client) {
            self.client = None;
        }
    }
}

/// A name that is kept while others are asked for it.
type KeptName = heapless::Vec<u8, { Name::MAX }>;

/// What becomes of a record.
pub(super) enum Verdict {
    Told,
    /// It is passed over.
    Refused,
    Stop(Outcome),
}

impl Switch {
    /// Whether the record that a client's request has found may be told.
    pub(super) fn judge(&mut self, client: &mut ClientState, request: &Request<'_>) -> Verdict {
        let Some(belief) = self.slots.get(client.slot).map(|slot| slot.belief) else {
            return Verdict::Refused;
        };
        if self.slots.len() == 1 && matches!(belief, Belief::Local | Belief::All) {
            // There is nobody to hold it against.
            return Verdict::Told;
        }
        let verdict = match client.judging {
            Judging::No => self.judge_numbers(client, request, belief),
            Judging::Names { .. } => self.judge_name(client, request),
            Judging::Again => self.judge_again(client),
        };
        match verdict {
            Verdict::Refused => {
                client.judging = Judging::No;
                if let Some((backend, _)) = self.step(client) {
                    backend.release();
                }
                if let Some(observer) = &mut self.observer {
                    let (slot, outcome) = (client.slot, Outcome::Found);
                    observer(&Report { slot, outcome, refused: true, micros: 0 });
                }
                match belief {
                    Belief::Stranger => Verdict::Stop(self.refuse(client)),
                    _ => Verdict::Refused,
                }
            }
            verdict => verdict,
        }
    }

    /// The failure that stands for what is refused where nobody else is asked.
    pub(super) fn refuse(&self, client: &mut ClientState) -> Outcome {
        client.progress.fail();
        Outcome::failed(Errno::PERM)
    }

    fn judge_numbers(
        &mut self,
        client: &mut ClientState,
        request: &Request<'_>,
        belief: Belief,
    ) -> Verdict {
        let Some((uid, gid)) = self.numbers(client) else { return Verdict::Refused };
        if !belief.allows(uid, gid, self.min_uid) {
            return Verdict::Refused;
        }
        let id = uid.or(gid);
        if !(0..self.slots.len()).any(|at| self.is_asked(client, request, id, at)) {
            return Verdict::Told;
        }
        if self.claim.client.is_some_and(|other| other != client.number) {
            // Found once more in the next turn.
            client.search = Search::default();
            return Verdict::Stop(Outcome::Pending);
        }
        let Some(name) = self.name(client) else { return Verdict::Refused };
        self.claim = Claim { client: Some(client.number), name, id };
        client.judging = Judging::Names { at: client.backends().start as u8, waited: false };
        client.search = Search::default();
        self.judge_name(client, request)
    }

    /// Whether the backend at `at` is asked for the name in a record of the one that a client's
    /// request has come to, whose number is `id`.
    fn is_asked(
        &self,
        client: &ClientState,
        request: &Request<'_>,
        id: Option<u32>,
        at: usize,
    ) -> bool {
        let Some(slot) = self.slots.get(at).filter(|_| client.backends().contains(&at)) else {
            return false;
        };
        let belief = self.slots.get(client.slot).map_or(Belief::Others, |slot| slot.belief);
        let is_local = slot.belief == Belief::Local;
        let is_other = belief == Belief::Others;
        if belief == Belief::Local && slot.belief == Belief::Others && self.is_small(id) {
            // Whatever it says of that name would not be told.
            return false;
        }
        if at >= client.slot {
            // Those behind have the names of the numbers that are theirs alone.
            return at > client.slot && is_other && is_local;
        }
        match request {
            // By its name it would have been found there.
            Request::ByUid(_) | Request::ByGid(_) => true,
            Request::Next(Db::Shadow) | Request::ByName(Db::Shadow, _) => is_other && is_local,
            Request::Next(_) => is_other,
            _ => false,
        }
    }

    /// Whether a number is one of the machine's own accounts.
    fn is_small(&self, id: Option<u32>) -> bool {
        id.is_some_and(|id| id < self.min_uid)
    }

    /// Asks those who may have the name.
    fn judge_name(&mut self, client: &mut ClientState, request: &Request<'_>) -> Verdict {
        let (found_at, found) = (client.slot, client.hit);
        let db = match request {
            Request::ByGid(_) | Request::Next(Db::Group) | Request::ByName(Db::Group, _) => {
                Db::Group
            }
            _ => Db::Passwd,
        };
        let bytes = self.claim.name.clone();
        // Nobody else can have a name that cannot be asked for.
        let Some(name) = Name::new(&bytes) else { return Verdict::Told };
        let question = Request::ByName(db, name);
        let Judging::Names { at, waited } = client.judging else { return Verdict::Refused };
        let mut at = usize::from(at);
        while let Some(&Slot { bits, belief: other, .. }) = self.slots.get(at) {
            if !self.is_asked(client, request, self.claim.id, at) {
                at += 1;
                continue;
            }
            client.slot = at;
            let (outcome, id) = self.look_aside(client, &question);
            client.slot = found_at;
            let is_local = other == Belief::Local;
            let stops = match outcome {
                Outcome::Found => {
                    // A shadow record has no number to be the same.
                    let differs = id != self.claim.id;
                    let is_its = at < found_at || self.is_small(id);
                    if differs && is_its {
                        client.hit = found;
                        return Verdict::Refused;
                    }
                    false
                }
                Outcome::Pending => {
                    client.judging = Judging::Names { at: at as u8, waited: true };
                    return Verdict::Stop(outcome);
                }
                Outcome::NeedsWorker => return Verdict::Stop(outcome),
                // A file that is not there has no names.
                Outcome::Failed(errno) if i32::from(errno) == Errno::NOENT.raw_os_error() => false,
                Outcome::Failed(_) => is_local || bits & stop::FAILED != 0,
                Outcome::Dead => is_local || bits & stop::DEAD != 0,
                _ => false,
            };
            if stops {
                client.hit = found;
                if let Some((backend, _)) = self.step(client) {
                    backend.release();
                }
                client.progress.fail();
                return Verdict::Stop(outcome);
            }
            (client.search, at) = (Search::default(), at + 1);
        }
        if waited {
            (client.judging, client.hit) = (Judging::Again, Hit::None);
            return match self.ask_slot(client, request) {
                Outcome::Found => self.judge_again(client),
                Outcome::Pending => Verdict::Stop(Outcome::Pending),
                _ => Verdict::Stop(Outcome::failed(Errno::AGAIN)),
            };
        }
        client.hit = found;
        Verdict::Told
    }

    /// It was asked for again: whether it is still the record that was judged.
    fn judge_again(&mut self, client: &mut ClientState) -> Verdict {
        let numbers = self.numbers(client).map(|(uid, gid)| uid.or(gid));
        match self.name(client) {
            Some(name) if name == self.claim.name && numbers == Some(self.claim.id) => {
                Verdict::Told
            }
            _ => Verdict::Stop(Outcome::failed(Errno::AGAIN)),
        }
    }

    /// Asks a backend for a name, without losing what another one has found: the window is its own.
    /// The number of what it has.
    pub(super) fn look_aside(
        &mut self,
        client: &mut ClientState,
        question: &Request<'_>,
    ) -> (Outcome, Option<u32>) {
        std::mem::swap(&mut self.shared.window, &mut self.aside);
        client.hit = Hit::None;
        let outcome = match self.step(client) {
            Some((backend, step)) => backend.ask(step, question),
            None => Outcome::Dead,
        };
        let mut id = None;
        if outcome == Outcome::Found {
            id = self.numbers(client).and_then(|(uid, gid)| uid.or(gid));
            if let Some((backend, _)) = self.step(client) {
                backend.release();
            }
        }
        std::mem::swap(&mut self.shared.window, &mut self.aside);
        (outcome, id)
    }

    /// [`Switch::ask`], without losing what is in the window.
    pub fn ask_aside<T>(
        &mut self,
        client: &mut ClientState,
        request: &Request<'_>,
        with: impl FnOnce(Answer<'_>) -> T,
    ) -> T {
        std::mem::swap(&mut self.shared.window, &mut self.aside);
        let result = with(self.ask(client, request, 0));
        std::mem::swap(&mut self.shared.window, &mut self.aside);
        result
    }

    /// Whether the machine's own files have the name or the number of the record that a client's request
    /// has found elsewhere, in one turn. The error: they cannot be asked.
    pub(super) fn own_has(&mut self, client: &mut ClientState) -> Result<bool, Errno> {
        let (found_at, found, budget) = (client.slot, client.hit, client.budget);
        let (db, name, id) = self.key(client).ok_or(Errno::IO)?;
        let by_id = match db {
            Db::Passwd => Request::ByUid(Uid(id)),
            _ => Request::ByGid(Gid(id)),
        };
        // A name that cannot be asked for is longer than any that is told.
        let by_name = Name::new(&name).map(|name| Request::ByName(db, name));
        let mut has = Ok(false);
        client.budget = u64::MAX;
        for at in (0..self.slots.len()).filter(|at| *at != found_at) {
            let slot = self.slots.get(at).filter(|slot| slot.backend.teller() == Teller::Own);
            if slot.is_none() {
                continue;
            }
            for question in by_name.iter().chain([&by_id]) {
                (client.slot, client.search) = (at, Search::default());
                if self.step(client).is_some_and(|(backend, step)| backend.lacks(step, question)) {
                    continue;
                }
                has = match self.look_aside(client, question).0 {
                    Outcome::Found => Ok(true),
                    Outcome::NotFound => continue,
                    // A file that is not there has nobody.
                    Outcome::Failed(errno) if i32::from(errno) == Errno::NOENT.raw_os_error() => {
                        continue;
                    }
                    _ => Err(Errno::IO),
                };
                break;
            }
        }
        let spent = u64::MAX - client.budget;
        client.budget = budget.saturating_sub(spent);
        (client.slot, client.hit, client.search) = (found_at, found, Search::default());
        has
    }

    /// Whether it is a user or a group that was found, its name, of which the beginning may be all, and its
    /// number.
    fn key(&mut self, client: &mut ClientState) -> Option<(Db, KeptName, u32)> {
        let slot = self.slots.get(client.slot)?;
        if let Some((db, name, id)) = slot.backend.key(self.shared.window.bytes(), &client.hit) {
            let name = name.get(..Name::MAX).unwrap_or(name);
            return Some((db, KeptName::from_slice(name).ok()?, id));
        }
        let (db, id) = match self.numbers(client)? {
            (Some(uid), _) => (Db::Passwd, uid),
            (None, gid) => (Db::Group, gid?),
        };
        Some((db, self.name(client)?, id))
    }

    /// The uid and the gid of the record that was found.
    fn numbers(&mut self, client: &mut ClientState) -> Option<(Option<u32>, Option<u32>)> {
        let whole = self.whole(client).map(|record| Head::of(&record, 0));
        let head = match whole {
            Some(head) => head,
            None => {
                let (backend, step) = self.step(client)?;
                backend.begin_pieces(step)?
            }
        };
        Some(match head {
            Head::Passwd { uid, gid, .. } => (Some(uid.0), Some(gid.0)),
            Head::Group { gid, .. } => (None, Some(gid.0)),
            Head::Shadow { .. } => (None, None),
        })
    }

    /// Its name; of one that is longer than any that can be asked for, the beginning.
    pub(super) fn name(&mut self, client: &mut ClientState) -> Option<KeptName> {
        let mut room = [0; Name::MAX];
        let len = match self.whole(client) {
            Some(record) => copy_front(record.name(), &mut room),
            None => {
                let (backend, step) = self.step(client)?;
                let len = backend.peek(step, &mut room).ok()?;
                let area = room.get(..len)?;
                area.iter().position(|byte| *byte == 0).unwrap_or(len)
            }
        };
        heapless::Vec::from_slice(room.get(..len)?).ok()
    }

    /// It, if it is not to be taken in pieces.
    pub(super) fn whole(&self, client: &ClientState) -> Option<Record<'_>> {
        let slot = self.slots.get(client.slot)?;
        slot.backend.record(self.shared.window.bytes(), &client.hit)
    }
}
