//! What has changed since a set was written: asked for, and brought into that set.

use super::connection::{Connection, Items};
use super::delta::{self, Change as Kept, Delta, Merged};
use super::entry::{Raw, UUID};
use super::reader::{Reader, Taken};
use super::rows::{self, Collected, Table};
use super::search::Query;
use super::sync::{self, Step, Sync};
use super::{Ldap, time};
use crate::directory::failure::{Done, Failure, os};
use crate::directory::folder::Folder;
use crate::directory::intake::Entries;
use crate::directory::targets::Place;
use nssproto::ldap::control::Change;
use std::fs::File;

impl Ldap<'_> {
    /// What has changed since a table was written; `None`: it cannot be told.
    pub(super) fn changes(
        &self,
        connection: &mut Connection,
        table: &Table,
        folder: &Folder,
    ) -> Done<Option<Delta>> {
        let attributes = self.attributes();
        let settings = &self.settings;
        let query = Query {
            base: settings.base.as_bytes(),
            scope: settings.scope,
            filter: &settings.filter,
            attributes: &attributes,
        };
        if !table.head.cookie.is_empty() {
            let mut sync = sync::begin(connection, &query, &table.head.cookie, false)?;
            let mut delta = Delta::new(folder)?;
            let mut reader = Reader::new(folder, self);
            return loop {
                match self.step(connection, &mut sync, &mut delta, &mut reader)? {
                    Step::Ended => {
                        delta.cookie = sync.cookie.take();
                        delta.only_present = sync.only_present;
                        break Ok(Some(delta));
                    }
                    Step::RefreshRequired | Step::Limit => break Ok(None),
                    _ => {}
                }
            };
        }
        let Some(newest) = table.head.newest else { return Ok(None) };
        let mut delta = Delta::new(folder)?;
        let mut reader = Reader::new(folder, self);
        let (modified, since) =
            (self.schema.modified_attribute(), time::write(newest, self.schema.ad));
        // Those of that second come again: another may have come in it since.
        let filter = format!("(&{}({modified}>={since}))", settings.filter);
        let changed = Query { filter: &filter, ..query };
        changed.pages(connection, &mut |items| self.changed(items, &mut reader, &mut delta))?;
        let mut complete = true;
        let listed = Query { attributes: &[UUID.as_bytes()], ..query };
        let mut raw = Raw::default();
        listed.pages(connection, &mut |items| {
            raw.take(items, &self.schema, &mut |_| Ok(()))?;
            match &raw.uuid {
                Some(uuid) => delta.is_present(uuid),
                None => {
                    complete = false;
                    Ok(())
                }
            }
        })?;
        (delta.only_present, delta.is_complete) = (true, true);
        Ok(complete.then_some(delta))
    }

    /// An entry that has changed, or of which a synchronization tells.
    fn changed(&self, items: Items<'_>, reader: &mut Reader<'_>, delta: &mut Delta) -> Done {
        let taken = reader.take(items)?;
        let Some(uuid) = reader.raw.uuid else {
            return Err(Failure::refused("a changed entry has no entryUUID"));
        };
        match reader.raw.change {
            Some(Change::Delete) => return delta.change(&uuid, &Kept::Gone),
            Some(Change::Present) => return delta.is_present(&uuid),
            Some(Change::Add | Change::Modify) | None => {}
        }
        delta.newest = delta.newest.max(reader.raw.modified);
        match taken {
            Taken::Entry => delta.change(&uuid, &Kept::Entry(&reader.fields)),
            Taken::Unsafe => delta.change(&uuid, &Kept::Unsafe(reader.fields.name())),
            Taken::Fault(number) => delta.change(&uuid, &Kept::Fault(number, &reader.raw.dn)),
        }
    }

    /// One message of a synchronization.
    pub(super) fn step(
        &self,
        connection: &mut Connection,
        sync: &mut Sync,
        delta: &mut Delta,
        reader: &mut Reader<'_>,
    ) -> Done<Step> {
        let step = sync.step(connection)?;
        match &step {
            Step::Entry => {
                self.changed(connection.entry()?, reader, delta)?;
                sync.keep(reader.raw.cookie.as_deref())?;
            }
            Step::Uuids(uuids, Change::Delete) => {
                uuids.iter().try_for_each(|uuid| delta.change(uuid, &Kept::Gone))?;
            }
            Step::Uuids(uuids, _) => uuids.iter().try_for_each(|uuid| delta.is_present(uuid))?,
            _ => {}
        }
        Ok(step)
    }

    /// The table that is there, with what the server calls its state now; nothing if that is the same.
    pub(super) fn renewed_table(
        &self,
        cookie: Option<Vec<u8>>,
        folder: &Folder,
    ) -> Done<Option<rows::Ready>> {
        match (self.open_table()?, cookie) {
            (Some(table), Some(cookie)) if cookie != table.head.cookie => {
                table.with_cookie(cookie, folder).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Brings changes into the set that is there.
    pub(super) fn merge(
        &mut self,
        delta: &mut Delta,
        table: Table,
        path: &[u8],
        folder: &Folder,
        into: &mut dyn Entries,
    ) -> Done<Merged> {
        let mut head = table.head.clone();
        head.newest = head.newest.max(delta.newest);
        if let Some(cookie) = &delta.cookie {
            head.cookie.clone_from(cookie);
        }
        let data = File::open(os(path)).map_err(|error| rows::unkept(&error))?;
        let mut collected = Collected::new(folder);
        let merged =
            delta::merge(delta, table, data, self.config.map, folder, &mut collected, into);
        if merged.is_err() {
            // Whatever it was, it is not to be met again.
            rows::remove(&Place::Map.stamps(self.config)?)?;
        }
        let merged = merged?;
        if merged == Merged::Whole {
            self.table = collected.finish(head)?;
        }
        Ok(merged)
    }
}
