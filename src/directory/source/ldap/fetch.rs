//! A map for an update: what has changed of it, or the whole, in pages.

use super::connection::Connection;
use super::delta::Merged;
use super::entry::schema::FAULTS;
use super::follow::Followed;
use super::groups::Plan;
use super::members::BAD_MEMBER;
use super::reader::{Pieces, Reader, Taken};
use super::rows::{Collected, Head, Table};
use super::search::Query;
use super::{Ldap, users_base, whole};
use crate::directory::failure::Done;
use crate::directory::folder::Folder;
use crate::directory::intake::Entries;
use crate::directory::maps::Map;
use crate::directory::source::{Fetched, Since};
use crate::directory::stamp::Time;
use crate::directory::targets::Place;
use nssproto::ldap::Scope;

impl Ldap<'_> {
    /// The whole map; the newest change.
    pub(super) fn all(
        &mut self,
        connection: &mut Connection,
        base: &[u8],
        folder: &Folder,
        into: &mut dyn Entries,
    ) -> Done<Option<Time>> {
        (self.table, self.begun_with) = (None, None);
        let is_map = self.config.map != Map::Automount;
        // Before anything else: what changes meanwhile comes again.
        let cookie = if is_map { self.cookie_of_now(connection)? } else { Vec::new() };
        let (settings, schema) = (&self.settings, &self.schema);
        let attributes = self.attributes();
        let scope = if is_map { settings.scope } else { Scope::One };
        let query = Query { base, scope, filter: &settings.filter, attributes: &attributes };
        if self.hangs() {
            let people = users_base(self.config)?;
            let plan = Plan {
                query,
                schema,
                resolve: self.resolve,
                nested: self.nested,
                people: people.as_bytes(),
                folder,
                log: self.log,
            };
            let newest = plan.fetch(connection, &mut Pieces::new(self), into)?;
            self.begun_with = Some(cookie);
            return Ok(newest);
        }
        let mut collected = Collected::new(folder);
        let mut reader = Reader::new(folder, self);
        let (mut newest, mut place) = (None, 0);
        query.pages(connection, &mut |items| {
            place += 1;
            let taken = reader.take(items)?;
            newest = newest.max(reader.raw.modified);
            let before = into.kept();
            match taken {
                Taken::Entry => into.entry(&reader.fields, place)?,
                Taken::Unsafe => into.unsafe_entry(BAD_MEMBER, reader.fields.name())?,
                Taken::Fault(number) => {
                    into.malformed(
                        FAULTS.get(number).copied().unwrap_or_default(),
                        &reader.raw.dn,
                        place,
                    )?;
                }
            }
            collected.put(reader.raw.uuid.as_ref(), into.kept() > before)
        })?;
        if is_map {
            let head =
                Head { origin: self.table_origin(), cookie: cookie.clone(), newest, count: 0 };
            self.table = collected.finish(head)?;
            self.begun_with = Some(cookie);
        }
        Ok(newest)
    }

    /// What is new of the map.
    pub(super) fn fetch_map(&mut self, since: &Since, into: &mut dyn Entries) -> Done<Fetched> {
        let folder = Folder::open(self.config.dir()?.as_bytes())?;
        let stamps = Place::Map.stamps(self.config)?;
        let path = Place::Map.path(self.config)?;
        let anew = since.modified.is_none();
        let table = match anew || self.hangs() {
            true => None,
            false => Table::open(&stamps, &path, &self.table_origin()),
        };
        if let Some(table) = table {
            let mut own = None;
            let there = self.data()?;
            if let Some(followed) = &mut self.followed {
                // Somebody else has written: what comes here may be older than that.
                followed.stale |= followed.data != there;
            }
            let delta = match &mut self.followed {
                Some(Followed {
                    delta: Some(delta), refreshed: true, stale: false, sync, ..
                }) => {
                    delta.cookie.clone_from(&sync.cookie);
                    delta.only_present = sync.only_present;
                    None
                }
                _ => {
                    let mut connection = self.connect()?;
                    let changes = self.changes(&mut connection, &table, &folder)?;
                    self.connection = Some(connection);
                    own = changes;
                    Some(())
                }
            };
            let mut taken = match delta {
                None => self.followed.as_mut().and_then(|followed| followed.delta.take()),
                Some(()) => own,
            };
            if let Some(delta) = &mut taken {
                let merged = if delta.is_empty() {
                    Merged::Same
                } else {
                    self.merge(delta, table, &path, &folder, into)?
                };
                let newest = since.modified.max(delta.newest);
                match merged {
                    Merged::Same => {
                        // It told of all that is present, which it need not do again.
                        if delta.only_present {
                            self.table = self.renewed_table(delta.cookie.take(), &folder)?;
                        }
                        return Ok(Fetched::Unchanged);
                    }
                    Merged::Whole => return Ok(whole(newest, 0)),
                    Merged::NeedsAll => self.log.info(
                        "ldap",
                        "the directory has entries that are not known: all are fetched",
                    ),
                }
            }
        }
        if let Some(followed) = &mut self.followed {
            followed.stale |= followed.delta.is_some();
        }
        let mut connection = self.connect()?;
        let before = connection.received;
        let base = self.settings.base.clone();
        let newest = self.all(&mut connection, base.as_bytes(), &folder, into)?;
        let bytes = connection.received - before;
        self.connection = Some(connection);
        Ok(whole(newest, bytes))
    }
}
