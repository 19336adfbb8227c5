//! What a switch answers. A record or a list of groups is lent out: whoever has it gives it back by
//! dropping it, once, and nothing else can be asked of the switch before.

use super::{ClientState, Switch};
#[cfg(feature = "nscd")]
use crate::backend::Source;
use crate::backend::Teller;
use crate::backend::client::Hit;
use crate::backend::gids::Gids;
#[cfg(feature = "nscd")]
use crate::backend::password::{self, Subject};
use crate::sys::access::{Peer, Rights};
use nssproto::entry::{Db, Name, Record};
#[cfg(feature = "nscd")]
use nssproto::nscd::Password;
use nssproto::nsss::Head;
use rustix::io::Errno;

/// How a request ended, or that it did not yet.
pub enum Answer<'a> {
    /// Done; there is nothing to send but the status.
    Done,
    /// A record.
    Found(Found<'a>),
    /// The groups of a user.
    Groups(FoundGroups<'a>),
    /// There is no such entry, or no further one.
    NotFound,
    /// A failure with this errno; the next request may do better.
    Failed(u8),
    /// The client's budget is used up: ask again, with the same request.
    Pending,
    /// Only a backend that may block can tell: a worker has to ask, from the beginning.
    NeedsWorker,
}

/// A record that was found. It is used at once, or [`Found::into_pieces`] keeps hold of it.
pub struct Found<'a> {
    pub(super) switch: &'a mut Switch,
    pub(super) client: &'a mut ClientState,
    /// It is taken in pieces, and its backend knows when the last one has been.
    pub(super) in_pieces: bool,
}

impl Found<'_> {
    /// The record, if it is whole.
    pub fn record(&self) -> Option<Record<'_>> {
        let ClientState { slot, hit, .. } = &*self.client;
        self.switch.slots.get(*slot)?.backend.record(self.switch.shared.window.bytes(), hit)
    }

    /// The place of the backend that told it.
    pub fn source(&self) -> usize {
        self.client.slot
    }

    /// Whether it is told by the machine's own files.
    pub fn is_own(&self) -> bool {
        let slot = self.switch.slots.get(self.client.slot);
        slot.is_some_and(|slot| slot.backend.teller() == Teller::Own)
    }

    /// Whether the machine's own files, where they are a source, have its name or its number, its own
    /// source being another one. The error: they cannot be asked.
    pub fn is_owns(&mut self) -> Result<bool, Errno> {
        let Found { switch, client, .. } = self;
        switch.own_has(client)
    }

    /// Whether `peer` may see what its source says in shadow: who could open that himself, and where
    /// it is no file, root.
    pub fn shows_shadow(&self, peer: Peer) -> bool {
        let slot = self.switch.slots.get(self.client.slot);
        peer.is_root() || slot.is_some_and(|slot| slot.backend.could_open(Db::Shadow, peer))
    }

    /// The name and number of a group, the name in `room`; `None`: it is no group, or has a longer
    /// name.
    pub fn group_name(self, room: &mut [u8; Name::MAX]) -> Option<(&[u8], u32)> {
        if let Some(record) = self.record() {
            let Record::Group(group) = record else { return None };
            room.get_mut(..group.name.len())?.copy_from_slice(group.name);
            let (len, gid) = (group.name.len(), group.gid.0);
            return Some((room.get(..len)?, gid));
        }
        // Of a long one the front.
        let mut front = [0; Name::MAX + 1];
        let (backend, step) = self.switch.step(self.client)?;
        let gid = backend.begin_pieces(step)?.id()?;
        let (backend, step) = self.switch.step(self.client)?;
        let (len, _) = backend.piece(step, &mut front).ok()?;
        let name = front.get(..len)?.split(|byte| *byte == 0).next()?;
        room.get_mut(..name.len())?.copy_from_slice(name);
        Some((room.get(..name.len())?, gid))
    }

    /// Whether its password is told because of our rights, and its client has not as many: by another
    /// process, or by a file that he can be kept from by more than its mode.
    pub fn is_secret(&self) -> bool {
        let ClientState { slot, rights, hit, .. } = &*self.client;
        let Some(slot) = self.switch.slots.get(*slot).filter(|_| !rights.are_ours()) else {
            return false;
        };
        if slot.backend.asks_others() {
            return true;
        }
        let (db, field) = match (slot.backend.record(self.switch.shared.window.bytes(), hit), hit) {
            (Some(Record::Passwd(record)), _) => (Db::Passwd, record.password),
            (Some(Record::Group(record)), _) => (Db::Group, record.password),
            // Of a long one only the head is at hand.
            (None, Hit::Streamed(streamed)) if streamed.db != Db::Shadow => {
                (streamed.db, &b"?"[..])
            }
            _ => return false,
        };
        let is_text = !matches!(field, b"" | b"x" | b"*" | [b'!', ..]);
        is_text && matches!(rights, Rights::Peer(peer) if !slot.backend.could_open(db, *peer))
    }

    /// The record, if it is whole, and what is sent of its password field.
    #[cfg(feature = "nscd")]
    pub fn shown(&mut self) -> Option<Shown<'_>> {
        let ClientState { slot, hit, rights, budget, number, .. } = &mut *self.client;
        let Switch { slots, shared, passwords, .. } = &mut *self.switch;
        let source = &*slots.get(*slot)?.backend;
        let record = source.record(shared.window.bytes(), hit)?;
        let (db, name, field) = match record {
            Record::Passwd(record) => (Db::Passwd, record.name, record.password),
            Record::Group(record) => (Db::Group, record.name, record.password),
            Record::Shadow(_) => {
                return Some(Shown { record, password: Some(Password::Star), source });
            }
        };
        let subject = Subject { db, name, field, source, rights: *rights, client: *number };
        let password = password::shown(passwords.as_deref_mut(), &subject, budget, shared.batch);
        Some(Shown { record, password, source })
    }

    /// The head of the record, and what takes its strings in pieces, from now on and while others
    /// are served. `None`: it cannot be taken so.
    pub fn into_pieces(mut self) -> Option<(Head, Pieces)> {
        let (backend, step) = self.switch.step(self.client)?;
        let head = backend.begin_pieces(step)?;
        self.in_pieces = true;
        self.switch.sharing.lose();
        Some((head, Pieces(())))
    }
}

#[cfg(feature = "share")]
impl Switch {
    /// What everybody is told of the password field of a record of the backend at a place, if that is a
    /// local file and the field no hash. `None`: the budget is used up.
    pub fn password_for_all(
        &mut self,
        slot: usize,
        db: Db,
        name: &[u8],
        field: &[u8],
        budget: &mut u64,
    ) -> Option<Password> {
        /// No connection has it.
        const CLIENT: u32 = u32::MAX;
        let Switch { slots, shared, passwords, .. } = self;
        let source = &*slots.get(slot)?.backend;
        let rights = Rights::Unknown;
        let subject = Subject { db, name, field, source, rights, client: CLIENT };
        password::shown(passwords.as_deref_mut(), &subject, budget, shared.batch)
    }
}

/// A record as it is sent by nscd.
#[cfg(feature = "nscd")]
pub struct Shown<'a> {
    /// The record.
    pub record: Record<'a>,
    /// What is sent of its password field. `None`: the client's budget is used up; ask for the record
    /// again.
    pub password: Option<Password>,
    source: &'a dyn Source,
}

#[cfg(feature = "nscd")]
impl Shown<'_> {
    /// Whether it is the one of this name: that, or in other letters where its source takes those for
    /// the same.
    pub fn is_called(&self, asked: &[u8]) -> bool {
        let name = self.record.name();
        name == asked || self.source.name_in_other_case(asked) == Some(name)
    }
}

impl Drop for Found<'_> {
    fn drop(&mut self) {
        if !self.in_pieces && !self.switch.sharing.is_kept() {
            if let Some((backend, _)) = self.switch.step(self.client) {
                backend.release();
            }
        }
    }
}

/// The right to take the record that a client's last request found in pieces. It ends with the
/// last piece, or when the client asks something else.
pub struct Pieces(());

impl Pieces {
    /// Puts the next bytes of the strings to the front of `out`: how many, and whether they are the
    /// last. The error means that the reply cannot be ended.
    pub fn next(
        &mut self,
        switch: &mut Switch,
        client: &mut ClientState,
        out: &mut [u8],
    ) -> Result<(usize, bool), Errno> {
        let (backend, step) = switch.step(client).ok_or(Errno::INVAL)?;
        backend.piece(step, out)
    }

    /// What is sent of the password field of the record, by the first piece of its strings. `None`:
    /// the client's budget is used up; ask for the record again.
    #[cfg(feature = "nscd")]
    pub fn password(
        &self,
        switch: &mut Switch,
        client: &mut ClientState,
        db: Db,
        first: &[u8],
    ) -> Option<Password> {
        let ClientState { slot, rights, budget, number, .. } = client;
        let Switch { slots, shared, passwords, .. } = switch;
        let mut strings = first.split(|byte| *byte == 0);
        let (name, field) = (strings.next()?, strings.next().unwrap_or_default());
        let source = &*slots.get(*slot)?.backend;
        let subject = Subject { db, name, field, source, rights: *rights, client: *number };
        password::shown(passwords.as_deref_mut(), &subject, budget, shared.batch)
    }

    /// Goes back to the first byte of the strings. False where that cannot be: ask again.
    pub fn rewind(&mut self, switch: &mut Switch, client: &mut ClientState) -> bool {
        let slot = switch.slots.get_mut(client.slot);
        slot.is_some_and(|slot| slot.backend.rewind(&mut client.hit))
    }
}

/// The groups of a user. While it is there, nobody else's can be collected.
pub struct FoundGroups<'a> {
    pub(super) switch: &'a mut Switch,
    pub(super) client: &'a ClientState,
}

impl FoundGroups<'_> {
    /// The groups.
    pub fn gids(&self) -> &Gids {
        &self.switch.shared.gids
    }

    /// Whether a backend failed that should have been asked, so that some may be missing.
    pub fn has_failed(&self) -> bool {
        self.client.has_failed()
    }
}

impl Drop for FoundGroups<'_> {
    fn drop(&mut self) {
        self.switch.shared.gids.release(self.client.number);
    }
}
