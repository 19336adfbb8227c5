//! What programs that are run by hand ask of a switch, and print. They may allocate.

use crate::backend::Outcome;
use crate::backend::gids::{HASH_START, hash};
use crate::backend::switch::{Answer, ClientState, Pieces, Switch};
use crate::limits::WINDOW;
use crate::sys::access::Rights;
use nssproto::entry::{Db, Gid, Name, Uid};
use nssproto::nsss::{self, Head, Request};
use rustix::io::Errno;

/// Asks, and keeps what was said.
pub struct Names {
    switch: Box<Switch>,
    client: ClientState,
    /// A reply, or a piece of one.
    room: Vec<u8>,
    found: FoundRecord,
    /// Why the last user or group is not known, if that is a failure.
    pub failure: Option<Errno>,
}

/// The record that was found last.
enum FoundRecord {
    None,
    /// A reply in `room`, so many bytes long.
    Whole(usize),
    /// Its head; the rest is taken in pieces.
    Long(Head, Pieces),
}

/// What is known of a user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: Vec<u8>,
    /// Its uid or gid.
    pub id: u32,
    /// A user's primary group; a group's own number.
    pub gid: u32,
}

impl Names {
    /// Asks these backends.
    pub fn of(switch: Box<Switch>) -> Self {
        // A record that lies in the window has room here.
        let room = vec![0; WINDOW + Head::MAX];
        let client = switch.new_client(Rights::Own, 0);
        Names { switch, client, room, found: FoundRecord::None, failure: None }
    }

    /// The user of this name.
    pub fn user(&mut self, name: &[u8]) -> Option<Known> {
        self.one(Db::Passwd, &Request::ByName(Db::Passwd, Name::new(name)?))
    }

    /// The user (of passwd) or the group of this number.
    pub fn number(&mut self, db: Db, id: u32) -> Option<Known> {
        let by_uid = db == Db::Passwd;
        self.one(db, &if by_uid { Request::ByUid(Uid(id)) } else { Request::ByGid(Gid(id)) })
    }

    fn one(&mut self, db: Db, request: &Request<'_>) -> Option<Known> {
        self.failure = None;
        match self.ask(request, 0) {
            Outcome::Found => {}
            Outcome::Failed(errno) => {
                self.failure = Some(Errno::from_raw_os_error(errno.into()));
                return None;
            }
            _ => return None,
        }
        let (mut known, mut named) = (Known { name: Vec::new(), id: 0, gid: 0 }, false);
        let taken = self.take(db, &mut |head, area| {
            (known.id, known.gid) = match head {
                Head::Passwd { uid, gid, .. } => (uid.0, gid.0),
                Head::Group { gid, .. } => (gid.0, gid.0),
                Head::Shadow { .. } => return,
            };
            // The name comes first; the rest is taken so that the next question can be asked.
            if !named {
                let end = area.iter().position(|byte| *byte == 0);
                known
                    .name
                    .extend_from_slice(area.get(..end.unwrap_or(area.len())).unwrap_or_default());
                named = end.is_some();
            }
        });
        self.failure = taken.err();
        self.failure.is_none().then_some(known)
    }

    /// Asks one question; behind [`Outcome::Found`] see [`Names::take`].
    pub fn ask(&mut self, request: &Request<'_>, skip: u64) -> Outcome {
        self.client.budget = u64::MAX;
        self.found = FoundRecord::None;
        match self.switch.ask(&mut self.client, request, skip) {
            Answer::Done => Outcome::Done,
            Answer::Groups(_) => Outcome::Groups,
            Answer::NotFound => Outcome::NotFound,
            Answer::Failed(errno) => Outcome::Failed(errno),
            Answer::Pending => Outcome::Pending,
            Answer::NeedsWorker => Outcome::NeedsWorker,
            Answer::Found(found) => {
                let record = found.record();
                let whole = record.and_then(|record| nsss::encode(&record, &mut self.room).ok());
                self.found = match whole {
                    Some(size) => FoundRecord::Whole(size),
                    None => found
                        .into_pieces()
                        .map_or(FoundRecord::None, |(h, p)| FoundRecord::Long(h, p)),
                };
                Outcome::Found
            }
        }
    }

    /// Gives the record of `db` that was found: its head, with each piece of its strings.
    pub fn take(&mut self, db: Db, put: &mut dyn FnMut(&Head, &[u8])) -> Result<(), Errno> {
        let Names { switch, client, room, found, .. } = self;
        let (head, mut pieces) = match std::mem::replace(found, FoundRecord::None) {
            FoundRecord::None => return Err(Errno::IO),
            FoundRecord::Whole(size) => {
                let took = Head::decode(db, room.get(1..size).unwrap_or_default());
                let took = took.map_err(|_| Errno::IO)?;
                put(&took.value, room.get(1 + took.len..size).unwrap_or_default());
                return Ok(());
            }
            FoundRecord::Long(head, pieces) => (head, pieces),
        };
        loop {
            let (len, last) = pieces.next(switch, client, room)?;
            put(&head, room.get(..len).unwrap_or_default());
            if last {
                return Ok(());
            }
        }
    }

    /// Adds the groups that list a user; false if they changed meanwhile.
    /// The error is the errno of a failure.
    pub fn groups(&mut self, user: Name<'_>, all: &mut Vec<u32>) -> Result<bool, u8> {
        let request = Request::GroupList { max: u64::MAX, user };
        let (mut taken, mut total, mut taken_hash) = (0, 0, HASH_START);
        loop {
            self.client.budget = u64::MAX;
            let found = match self.switch.ask(&mut self.client, &request, taken) {
                Answer::Groups(found) => found,
                Answer::Failed(errno) => return Err(errno),
                _ => return Ok(true),
            };
            let (gids, passed) = found.gids().after_skipped();
            let now = found.gids().total();
            let changed = passed != taken_hash || (taken > 0 && total != now);
            if changed || (gids.is_empty() && taken < now) {
                return Ok(false);
            }
            total = now;
            taken_hash = hash(taken_hash, gids);
            all.extend_from_slice(gids);
            taken += gids.len() as u64;
            if taken >= total {
                return Ok(true);
            }
        }
    }
}
