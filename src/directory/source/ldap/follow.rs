//! A map that is followed: the server tells of changes as they come.

use super::connection::Connection;
use super::delta::Delta;
use super::reader::Reader;
use super::rows::{self, Table};
use super::search::Query;
use super::sync::{self, Step, Sync};
use super::{Ldap, users_base};
use crate::directory::failure::{Done, Failure};
use crate::directory::folder::Folder;
use crate::directory::maps::Map;
use crate::directory::source::Follow;
use crate::directory::state::DataStamp;
use crate::directory::targets::Place;
use nssproto::ldap::Scope;
use nssproto::ldap::control::Change;
use std::os::fd::BorrowedFd;

/// A search that goes on.
pub struct Followed {
    connection: Connection,
    /// What the server told of the search.
    pub sync: Sync,
    /// What came since the set that is in place; nothing: only that something came is known.
    pub delta: Option<Delta>,
    /// Whether all came that had changed before.
    pub refreshed: bool,
    /// Whether something came.
    changed: bool,
    /// The data that it changes.
    pub data: Option<DataStamp>,
    /// The set was not made of what came here.
    pub stale: bool,
}

impl Follow for Ldap<'_> {
    fn begin(&mut self) -> Done<bool> {
        self.followed = None;
        if self.config.map == Map::Automount {
            return Ok(false);
        }
        let folder = Folder::open(self.config.dir()?.as_bytes())?;
        let mut connection = self.connect()?;
        // Before the table is looked at: whoever writes in between has written something else.
        let data = self.data()?;
        let table = if self.hangs() { None } else { self.open_table()? };
        let known = table.is_some();
        // Somebody else writes just now, and what of the set is there is not known.
        let unknown = !known && self.begun_with.is_none();
        let cookie = match (table, &self.begun_with) {
            _ if self.refuses_cookies => Vec::new(),
            (Some(table), _) => table.head.cookie,
            (None, Some(cookie)) => cookie.clone(),
            (None, None) => self.cookie_of_now(&mut connection)?,
        };
        // (The connection is not kept: by the next question the server may have closed it.)
        if cookie.is_empty() {
            return Ok(false);
        }
        let (base, attributes) = (self.followed_base()?, self.followed_attributes());
        let query = self.followed_query(&base, &attributes);
        let sync = sync::begin(&mut connection, &query, &cookie, true)?;
        let delta = if known { Some(Delta::new(&folder)?) } else { None };
        self.followed = Some(Followed {
            connection,
            sync,
            delta,
            refreshed: false,
            changed: unknown,
            data,
            stale: false,
        });
        loop {
            match self.read_one()? {
                Step::Refreshed => return Ok(true),
                Step::RefreshRequired => {
                    // One of its own, of a moment ago.
                    self.refuses_cookies = self.begun_with.as_ref() == Some(&cookie);
                    if self.refuses_cookies {
                        return Ok(false);
                    }
                    return Err(Failure::unavailable("the server does not know its cookie"));
                }
                Step::Limit => return Ok(false),
                _ => {}
            }
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.followed.as_ref().map(|followed| followed.connection.fd())
    }

    fn has_more(&mut self) -> bool {
        self.followed.as_mut().is_some_and(|followed| followed.connection.has_more())
    }

    fn read(&mut self) -> Done<bool> {
        match self.read_one()? {
            Step::RefreshRequired | Step::Limit => {
                Err(Failure::unavailable("the server ends what it was to go on with"))
            }
            _ => Ok(self.is_changed()),
        }
    }

    fn is_changed(&self) -> bool {
        self.followed.as_ref().is_some_and(|followed| followed.changed)
    }

    fn taken(&mut self) -> Done<bool> {
        let folder = Folder::open(self.config.dir()?.as_bytes())?;
        let (hangs, data) = (self.hangs(), self.data()?);
        let known = !hangs && self.open_table()?.is_some();
        let Some(followed) = &mut self.followed else { return Ok(false) };
        // Somebody else was quick: what comes next may be older than what he has written.
        followed.stale |= followed.data != data;
        followed.changed = false;
        followed.sync.only_present = false;
        followed.delta = if known { Some(Delta::new(&folder)?) } else { None };
        Ok(!followed.stale && known != hangs)
    }
}

impl Ldap<'_> {
    /// The data that is in place.
    pub(super) fn data(&self) -> Done<Option<DataStamp>> {
        Ok(DataStamp::of(&Place::Map.path(self.config)?))
    }

    /// The set that is in place is that to which the next changes come. Nobody else writes now.
    pub(super) fn mark(&mut self) -> Done {
        let data = self.data()?;
        if let Some(followed) = &mut self.followed {
            followed.data = data;
        }
        Ok(())
    }

    /// The table of the set that is in place.
    pub(super) fn open_table(&self) -> Done<Option<Table>> {
        let (stamps, path) = (Place::Map.stamps(self.config)?, Place::Map.path(self.config)?);
        Ok(Table::open(&stamps, &path, &self.table_origin()))
    }

    /// Under which entry is followed. Of a map whose lines hang on others it is the nearest one that all
    /// of them are under; empty: there is none.
    fn followed_base(&self) -> Done<String> {
        match self.hangs() {
            true => Ok(common(&self.settings.base, &users_base(self.config)?)),
            false => Ok(self.settings.base.clone()),
        }
    }

    /// What of the entries: where each change means that all is fetched, nothing.
    fn followed_attributes(&self) -> Vec<&[u8]> {
        if self.hangs() { vec![b"1.1"] } else { self.attributes() }
    }

    fn followed_query<'q>(&'q self, base: &'q str, attributes: &'q [&'q [u8]]) -> Query<'q> {
        let (scope, filter) = match self.hangs() {
            true => (Scope::Subtree, "(objectClass=*)"),
            false => (self.settings.scope, self.settings.filter.as_str()),
        };
        Query { base: base.as_bytes(), scope, filter, attributes }
    }

    /// What the server calls its state now; empty: it does not synchronize.
    pub(super) fn cookie_of_now(&self, connection: &mut Connection) -> Done<Vec<u8>> {
        let base = self.followed_base()?;
        if self.refuses_cookies || base.is_empty() || !sync::is_there(connection)? {
            return Ok(Vec::new());
        }
        sync::cookie_of_now(connection, &self.followed_query(&base, &[b"1.1"]))
    }

    /// Reads a message of what is followed. Nothing is followed any more if there is no use in it.
    fn read_one(&mut self) -> Done<Step> {
        let Some(mut followed) = self.followed.take() else { return Ok(Step::Limit) };
        let folder = Folder::open(self.config.dir()?.as_bytes())?;
        let Followed { connection, sync, delta, .. } = &mut followed;
        let step = match delta {
            Some(delta) => {
                let mut reader = Reader::new(&folder, self);
                self.step(connection, sync, delta, &mut reader)?
            }
            None => {
                let step = sync.step(connection)?;
                if matches!(step, Step::Entry) {
                    let mut items = connection.entry()?;
                    while items.next()?.is_some() {}
                }
                step
            }
        };
        match step {
            Step::Entry | Step::Uuids(_, Change::Delete) => followed.changed = true,
            Step::Refreshed => followed.refreshed = true,
            Step::Uuids(..) | Step::Nothing => {}
            Step::Ended => {
                return Err(Failure::unavailable("the server ends what it was to go on with"));
            }
            // Another way is found when it begins anew.
            Step::RefreshRequired => {
                rows::remove(&Place::Map.stamps(self.config)?)?;
                return Ok(step);
            }
            Step::Limit => return Ok(step),
        }
        followed.changed |= followed.sync.only_present;
        self.followed = Some(followed);
        Ok(step)
    }
}

/// The nearest entry that two are under; empty: the root.
fn common(one: &str, other: &str) -> String {
    let parts =
        |dn: &str| -> Vec<String> { dn.split(',').map(|part| part.trim().to_owned()).collect() };
    let (one, other) = (parts(one), parts(other));
    let same = one.iter().rev().zip(other.iter().rev());
    let count = same.take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
    one.get(one.len() - count..).unwrap_or_default().join(",")
}
