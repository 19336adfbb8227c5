//! Names and numbers of users and groups, for programs that print them. They may allocate.

use super::switch::Switch;
use super::{Client, Outcome};
use crate::sys::access::Asker;
use nssproto::entry::{Db, Gid, Name, Record, Uid};
use nssproto::nsss::{Head, Request};
use rustix::io::Errno;

/// Asks, and keeps what was said.
pub struct Names {
    switch: Switch,
    client: Client,
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
    pub fn of(switch: Switch) -> Self {
        let mut client = Client::new(Asker::Ourselves, 0);
        switch.admit(&mut client);
        Names { switch, client }
    }

    /// The user of this name.
    pub fn user(&mut self, name: &[u8]) -> Result<Option<Known>, Errno> {
        match Name::new(name) {
            Some(name) => self.one(&Request::ByName(Db::Passwd, name)),
            None => Ok(None),
        }
    }

    /// The user of this number.
    pub fn uid(&mut self, uid: u32) -> Result<Option<Known>, Errno> {
        self.one(&Request::ByUid(Uid(uid)))
    }

    /// The group of this number.
    pub fn gid(&mut self, gid: u32) -> Result<Option<Known>, Errno> {
        self.one(&Request::ByGid(Gid(gid)))
    }

    /// Asks one question; a failure is its errno.
    fn ask(&mut self, request: &Request<'_>, skip: u64) -> Result<Outcome, Errno> {
        self.client.begin();
        self.client.turn = u64::MAX;
        match self.switch.ask(&mut self.client, request, skip) {
            Outcome::Failed(errno) => Err(Errno::from_raw_os_error(errno.into())),
            outcome => Ok(outcome),
        }
    }

    fn one(&mut self, request: &Request<'_>) -> Result<Option<Known>, Errno> {
        if self.ask(request, 0)? != Outcome::Found {
            return Ok(None);
        }
        let (name, id, gid) = match self.switch.record(&self.client) {
            Some(Record::Passwd(r)) => (Some(r.name), r.uid.0, r.gid.0),
            Some(Record::Group(r)) => (Some(r.name), r.gid.0, r.gid.0),
            Some(Record::Shadow(_)) | None => (None, 0, 0),
        };
        if let Some(name) = name {
            let known = Known { name: name.to_vec(), id, gid };
            self.switch.taken(&self.client);
            return Ok(Some(known));
        }
        let (id, gid) = match self.switch.long(&mut self.client).ok_or(Errno::IO)? {
            Head::Passwd { uid, gid, .. } => (uid.0, gid.0),
            Head::Group { gid, .. } => (gid.0, gid.0),
            Head::Shadow { .. } => return Err(Errno::IO),
        };
        // The name comes first; the rest is taken so that the next question can be asked.
        let (mut name, mut complete, mut ended) = (Vec::new(), false, false);
        let mut room = [0; 4096];
        while !ended {
            let (len, last) = self.switch.area(&mut self.client, &mut room)?;
            let piece = room.get(..len).unwrap_or_default();
            if !complete {
                let end = piece.iter().position(|b| *b == 0);
                name.extend_from_slice(piece.get(..end.unwrap_or(len)).unwrap_or_default());
                complete = end.is_some();
            }
            ended = last;
        }
        Ok(Some(Known { name, id, gid }))
    }

    /// The groups of a user: `primary`, and those that list him.
    pub fn groups(&mut self, user: &[u8], primary: u32) -> Result<Vec<u32>, Errno> {
        let mut all = vec![primary];
        let Some(user) = Name::new(user) else { return Ok(all) };
        let request = Request::GroupList { max: u64::MAX, user };
        let (mut taken, mut total) = (0, 1);
        while taken < total {
            if self.ask(&request, taken)? != Outcome::Groups {
                break;
            }
            let (gids, _) = self.switch.gids().after_skipped();
            total = self.switch.gids().total();
            if gids.is_empty() && taken < total {
                return Err(Errno::STALE);
            }
            all.extend(gids.iter().filter(|gid| **gid != primary));
            taken += gids.len() as u64;
            self.switch.taken(&self.client);
        }
        Ok(all)
    }
}
