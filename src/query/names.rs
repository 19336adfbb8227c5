//! What programs that are run by hand ask of a switch, and print. They may allocate.

use crate::backend::gids::{HASH_START, hash};
use crate::backend::switch::Switch;
use crate::backend::{Client, Outcome};
use crate::limits::WINDOW;
use crate::sys::access::Rights;
use nssproto::entry::{Db, Gid, Name, Uid};
use nssproto::nsss::{self, Head, Request};
use rustix::io::Errno;

/// Asks, and keeps what was said.
pub struct Names {
    switch: &'static mut Switch,
    client: Client,
    /// A reply, or a piece of one.
    room: Vec<u8>,
    /// Why the last user or group is not known, if that is a failure.
    pub failure: Option<Errno>,
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
    /// Asks these backends, until the program ends.
    pub fn of(switch: &'static mut Switch) -> &'static mut Self {
        // A record that lies in the window has room here.
        let room = vec![0; WINDOW + Head::MAX];
        let client = Client::new(Rights::Own, 0);
        let names = Box::leak(Box::new(Names { switch, client, room, failure: None }));
        names.switch.admit(&mut names.client);
        names
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

    /// Asks one question.
    pub fn ask(&mut self, request: &Request<'_>, skip: u64) -> Outcome {
        self.client.begin();
        self.client.turn = u64::MAX;
        self.switch.ask(&mut self.client, request, skip)
    }

    /// Gives the record of `db` that was found: its head, with each piece of its strings.
    pub fn take(&mut self, db: Db, put: &mut dyn FnMut(&Head, &[u8])) -> Result<(), Errno> {
        let Names { switch, client, room, .. } = self;
        let whole = switch.record(client).and_then(|record| nsss::encode(&record, room).ok());
        let (head, mut start, mut end);
        if let Some(size) = whole {
            let took = Head::decode(db, room.get(1..size).unwrap_or_default());
            let took = took.map_err(|_| Errno::IO)?;
            (head, start, end) = (took.value, 1 + took.len, size);
            switch.taken(client);
        } else {
            head = *switch.long(client).ok_or(Errno::IO)?;
            (start, end) = (0, 0);
        }
        let mut last = whole.is_some();
        loop {
            put(&head, room.get(start..end).unwrap_or_default());
            if last {
                return Ok(());
            }
            start = 0;
            (end, last) = switch.area(client, room)?;
        }
    }

    /// Adds the groups that list a user; false if they changed meanwhile.
    /// The error is the errno of a failure.
    pub fn groups(&mut self, user: Name<'_>, all: &mut Vec<u32>) -> Result<bool, u8> {
        let request = Request::GroupList { max: u64::MAX, user };
        let (mut taken, mut total, mut taken_hash) = (0, 0, HASH_START);
        loop {
            match self.ask(&request, taken) {
                Outcome::Groups => {}
                Outcome::Failed(errno) => return Err(errno),
                _ => return Ok(true),
            }
            let (gids, passed) = self.switch.gids().after_skipped();
            let now = self.switch.gids().total();
            let changed = passed != taken_hash || (taken > 0 && total != now);
            if changed || (gids.is_empty() && taken < now) {
                return Ok(false);
            }
            total = now;
            taken_hash = hash(taken_hash, gids);
            all.extend_from_slice(gids);
            taken += gids.len() as u64;
            self.switch.taken(&self.client);
            if taken >= total {
                return Ok(true);
            }
        }
    }
}
