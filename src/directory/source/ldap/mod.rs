//! The source `ldap`: a map is what a search in a directory finds.
//!
//! Whole maps are fetched in pages. What changed since comes by synchronization (RFC 4533) where the
//! server has it, else by modifyTimestamp and a list of all entryUUIDs; a table beside the timestamps
//! ([`rows`]) says which line each entry has. Maps whose lines hang on other entries are fetched whole.

mod connect;
mod connection;
mod delta;
mod entry;
mod expression;
mod groups;
mod members;
mod rows;
mod search;
mod settings;
mod sync;
mod time;
#[cfg(feature = "tls")]
mod tls;

use self::connection::{Connection, Items};
use self::delta::{Change as Kept, Delta, Merged};
use self::entry::schema::{FAULTS, Members, Schema};
use self::entry::{Raw, UUID};
use self::groups::{Nested, Plan};
use self::members::{BAD_MEMBER, Collector};
use self::rows::{Collected, Head, Table};
use self::search::Query;
use self::settings::Settings;
use self::sync::{Step, Sync};
use super::{Fetched, Follow, Object, Since, Source, retries};
use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure, os, shown};
use crate::directory::fields::Fields;
use crate::directory::folder::Folder;
use crate::directory::intake::Entries;
use crate::directory::log::Log;
use crate::directory::maps::Map;
use crate::directory::stamp::Time;
use crate::directory::state::{DataStamp, Validators};
use crate::directory::targets::{Listed, Place};
use nssproto::ldap::Scope;
use nssproto::ldap::control::Change;
use std::fs::File;
use std::os::fd::BorrowedFd;

/// Keys by which the lines of the same entries are others.
const SHAPE: [&str; 11] = [
    "ldap_uidregex",
    "ldap_groupregex",
    "ldap_offset",
    "ldap_override_shell",
    "ldap_home_dir",
    "ldap_use_rid",
    "files_shadow_zero",
    "allow_uid0",
    "allow_local_names",
    "allow_odd_names",
    "allow_duplicate_ids",
];

/// How a map is fetched.
pub struct Ldap<'a> {
    config: &'a MapConfig<'a>,
    log: &'a Log,
    retries: (u32, u32),
    settings: Settings,
    schema: Schema,
    nested: Nested,
    /// Members are called as their entries say.
    resolve: bool,
    /// What is asked, until it breaks.
    connection: Option<Connection>,
    /// Where members are asked for that did not come with their group.
    beside: Option<Connection>,
    /// The table of the set that was handed over last, until that is in its place.
    table: Option<rows::Ready>,
    /// What is followed.
    followed: Option<Followed>,
}

/// A search that goes on.
struct Followed {
    connection: Connection,
    sync: Sync,
    /// What came since the set that is in place; nothing: only that something came is known.
    delta: Option<Delta>,
    refreshed: bool,
    /// Whether something came.
    changed: bool,
    /// The data that it changes.
    data: Option<DataStamp>,
    /// The set was not made of what came here.
    stale: bool,
}

impl<'a> Ldap<'a> {
    /// What the configuration says.
    pub fn new(config: &'a MapConfig<'a>, log: &'a Log) -> Done<Self> {
        let schema = Schema::read(config)?;
        let nested = match config.text("ldap_nested_groups")?.as_deref() {
            Some("users") => Nested::Users,
            _ => match config.flag("ldap_nested_groups", false)? {
                true => Nested::Yes,
                false => Nested::No,
            },
        };
        let resolve = config.flag("ldap_resolve_members", schema.ad)?;
        Ok(Ldap {
            config,
            log,
            retries: retries(config, "ldap")?,
            settings: Settings::read(config)?,
            nested: if schema.members == Members::Names { Nested::No } else { nested },
            resolve: resolve && schema.members == Members::Dns || schema.members == Members::Unique,
            schema,
            connection: None,
            beside: None,
            table: None,
            followed: None,
        })
    }

    /// Whether lines hang on other entries than their own.
    fn hangs(&self) -> bool {
        self.config.map == Map::Group && (self.resolve || self.nested != Nested::No)
    }

    /// Where the set is called from: what a table has to be of.
    fn table_origin(&self) -> String {
        let names: Vec<&str> =
            self.schema.attributes.iter().map(|(name, _)| name.as_str()).collect();
        // Whatever else makes a line another one.
        let shape: Vec<String> = SHAPE
            .iter()
            .filter_map(|name| Some(format!("{name}={}", self.config.text(name).ok()??)))
            .collect();
        let origin = self.settings.origin(&self.settings.base);
        let all = format!("{origin} {} {}", names.join(","), shape.join(" "));
        all.replace(char::is_control, "?")
    }

    /// A connection, the one that is there or another. Whoever is done gives it back.
    fn connect(&mut self) -> Done<Connection> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => connect::connect(&self.settings, self.config, self.log),
        }
    }

    /// The names that are asked for.
    fn attributes(&self) -> Vec<&[u8]> {
        let names = self.schema.attributes.iter().map(|(name, _)| name.as_bytes());
        names.chain([self.schema.modified_attribute().as_bytes(), UUID.as_bytes()]).collect()
    }

    /// The whole map; the newest change.
    fn all(
        &mut self,
        connection: &mut Connection,
        base: &[u8],
        folder: &Folder,
        into: &mut dyn Entries,
    ) -> Done<Option<Time>> {
        self.table = None;
        let is_map = self.config.map != Map::Automount;
        let (mut beside, config, log) = (self.beside.take(), self.config, self.log);
        let (settings, schema) = (&self.settings, &self.schema);
        let attributes = self.attributes();
        let scope = if is_map { settings.scope } else { Scope::One };
        let query = Query { base, scope, filter: &settings.filter, attributes: &attributes };
        if self.hangs() {
            let people = users_base(config)?;
            let plan = Plan {
                query,
                schema,
                resolve: self.resolve,
                nested: self.nested,
                people: people.as_bytes(),
                folder,
                log,
            };
            let mut more = |dn: &[u8], from: u64, put: &mut dyn FnMut(&[u8]) -> Done| {
                more_members(&mut beside, settings, config, log, schema, dn, from, put)
            };
            return plan.fetch(connection, &mut more, into);
        }
        // Before anything else: what changes meanwhile comes again.
        let cookie = match is_map && sync::is_there(connection)? {
            true => sync::cookie_of_now(connection, &query)?,
            false => Vec::new(),
        };
        let mut collected = Collected::new(folder);
        let mut reader = Reader::new(folder, schema, config.map);
        let (mut newest, mut place) = (None, 0);
        query.pages(connection, &mut |items| {
            place += 1;
            let taken = reader.take(items, &mut |dn, from, put| {
                more_members(&mut beside, settings, config, log, schema, dn, from, put)
            })?;
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
            let head = Head { origin: self.table_origin(), cookie, newest, count: 0 };
            self.table = collected.finish(head)?;
        }
        Ok(newest)
    }

    /// What has changed since a table was written; `None`: it cannot be told.
    fn changes(
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
            let mut reader = Reader::new(folder, &self.schema, self.config.map);
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
        let mut reader = Reader::new(folder, &self.schema, self.config.map);
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
        let mut beside = None;
        let (settings, config, log, schema) = (&self.settings, self.config, self.log, &self.schema);
        let taken = reader.take(items, &mut |dn, from, put| {
            more_members(&mut beside, settings, config, log, schema, dn, from, put)
        })?;
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
            Taken::Unsafe => {
                Err(Failure::refused(format!("{}: {BAD_MEMBER}", shown(reader.fields.name()))))
            }
            Taken::Fault(number) => delta.change(&uuid, &Kept::Fault(number, &reader.raw.dn)),
        }
    }

    /// One message of a synchronization.
    fn step(
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

    /// Brings changes into the set that is there.
    fn merge(
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

    fn fetch_map(&mut self, since: &Since, into: &mut dyn Entries) -> Done<Fetched> {
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
                    Merged::Same => return Ok(Fetched::Unchanged),
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

    /// Automount's master: mount points, and the DNs of their maps.
    fn master(&mut self, connection: &mut Connection) -> Done<Vec<Mount>> {
        let filter = "(&(objectclass=automountMap)(ou=auto.master))";
        let mut base = Vec::new();
        let query = Query {
            base: self.settings.base.as_bytes(),
            scope: Scope::Subtree,
            filter,
            attributes: &[b"1.1"],
        };
        let mut raw = Raw::default();
        query.pages(connection, &mut |items| {
            raw.take(items, &self.schema, &mut |_| Ok(()))?;
            base.clone_from(&raw.dn);
            Ok(())
        })?;
        if base.is_empty() {
            let base = shown(self.settings.base.as_bytes());
            return Err(Failure::refused(format!("nothing under {base} is {filter}")));
        }
        let attributes = self.attributes();
        let query = Query {
            base: &base,
            scope: Scope::One,
            filter: &self.settings.filter,
            attributes: &attributes,
        };
        let mut found = Vec::new();
        query.pages(connection, &mut |items| {
            raw.take(items, &self.schema, &mut |_| Ok(()))?;
            let (mount, location) = (raw.first("cn"), raw.first("automountInformation"));
            if let (Some(mount), Some(location)) = (mount, location)
                && location.starts_with(b"ldap")
            {
                let third = location.splitn(3, |byte| *byte == b':').nth(2).unwrap_or_default();
                let dn = third.split(|byte| *byte == b' ').next().unwrap_or_default();
                found.push((mount.to_vec(), dn.to_vec(), raw.modified));
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn fetch_master(&mut self, into: &mut dyn Entries) -> Done<Fetched> {
        let mut connection = self.connect()?;
        let before = connection.received;
        let master = self.master(&mut connection)?;
        let mut fields = Fields::default();
        let mut newest = None;
        for (at, (mount, dn, modified)) in master.iter().enumerate() {
            fields.clear();
            fields.push(mount);
            // A slash would end what it is told by.
            for byte in dn {
                match byte {
                    b'/' => fields.text().extend_from_slice(b"\\2F"),
                    byte => fields.text().push(*byte),
                }
            }
            fields.end();
            newest = newest.max(*modified);
            into.entry(&fields, at as u64 + 1)?;
        }
        let bytes = connection.received - before;
        self.connection = Some(connection);
        Ok(whole(newest, bytes))
    }

    /// The DN of a map that the master lists. A local master has the name of our file instead.
    fn automount_base(&mut self, name: &str, connection: &mut Connection) -> Done<Vec<u8>> {
        if name.contains('=') {
            return Ok(name.as_bytes().to_vec());
        }
        for (mount, dn, _) in self.master(connection)? {
            let mount = String::from_utf8_lossy(&mount).into_owned();
            let place = Place::Automount(Listed { mount, name: String::new() });
            if place.file(self.config)? == name.as_bytes() {
                return Ok(dn);
            }
        }
        Err(Failure::refused(format!("the directory's master lists nothing whose file is {name}")))
    }
}

fn whole(modified: Option<Time>, bytes: u64) -> Fetched {
    Fetched::Whole { modified, validators: Validators::default(), bytes }
}

/// Under which entry users are.
fn users_base(config: &MapConfig<'_>) -> Done<String> {
    config.of_map(Map::Passwd).required("ldap_base")
}

/// Members that did not come with their group: Active Directory sends 1,500 at a time.
#[expect(clippy::too_many_arguments, reason = "what a connection needs, and what is asked on it")]
fn more_members(
    beside: &mut Option<Connection>,
    settings: &Settings,
    config: &MapConfig<'_>,
    log: &Log,
    schema: &Schema,
    dn: &[u8],
    mut from: u64,
    put: &mut dyn FnMut(&[u8]) -> Done,
) -> Done {
    // The other one is in the middle of a page.
    let connection = match beside {
        Some(connection) => connection,
        None => beside.insert(connect::connect(settings, config, log)?),
    };
    let mut raw = Raw::default();
    loop {
        let name = format!("{};range={from}-*", schema.member_attribute());
        let query = Query {
            base: dn,
            scope: Scope::Base,
            filter: "(objectClass=*)",
            attributes: &[name.as_bytes()],
        };
        let mut next = None;
        query.pages(connection, &mut |items| {
            raw.take(items, schema, put)?;
            next = raw.more;
            Ok(())
        })?;
        match next {
            None => return Ok(()),
            Some(next) if next > from => from = next,
            Some(_) => {
                let dn = shown(dn);
                return Err(Failure::refused(format!(
                    "{dn}: the server sends members without end"
                )));
            }
        }
    }
}

/// Entries of a map, one after the other.
struct Reader<'a> {
    schema: &'a Schema,
    map: Map,
    members: Collector<'a>,
    raw: Raw,
    fields: Fields,
}

/// A mount point, the DN of its map, and when that was said.
type Mount = (Vec<u8>, Vec<u8>, Option<Time>);

/// What an entry is.
enum Taken {
    Entry,
    Unsafe,
    Fault(usize),
}

/// Asks for the members of an entry from a number on, and hands each to what it is given.
type More<'m> = dyn FnMut(&[u8], u64, &mut dyn FnMut(&[u8]) -> Done) -> Done + 'm;

impl<'a> Reader<'a> {
    fn new(folder: &'a Folder, schema: &'a Schema, map: Map) -> Self {
        let (raw, fields) = (Raw::default(), Fields::default());
        Reader { schema, map, members: Collector::new(folder), raw, fields }
    }

    /// Takes one: its fields, or what is wrong with it.
    fn take(&mut self, items: Items<'_>, more: &mut More<'_>) -> Done<Taken> {
        let Reader { schema, map, members, raw, fields } = self;
        members.clear();
        let mut put = |value: &[u8]| members.put(value, *map, schema);
        raw.take(items, schema, &mut put)?;
        if let Some(from) = raw.more {
            more(&raw.dn, from, &mut put)?;
        }
        if let Err(fault) = schema.fields(raw, fields) {
            return Ok(Taken::Fault(fault));
        }
        if matches!(map, Map::Group | Map::Netgroup) && !members.finish(*map, raw, fields)? {
            return Ok(Taken::Unsafe);
        }
        Ok(Taken::Entry)
    }
}

impl Source for Ldap<'_> {
    fn origin(&self, object: Object<'_>) -> Done<String> {
        Ok(match object {
            Object::Automount(name) if name.contains('=') => self.settings.origin(name),
            _ => self.settings.origin(&self.settings.base),
        })
    }

    fn fetch(
        &mut self,
        object: Object<'_>,
        since: &Since,
        into: &mut dyn Entries,
    ) -> Done<Fetched> {
        match object {
            Object::Map => self.fetch_map(since, into),
            Object::Master => self.fetch_master(into),
            Object::Automount(name) => {
                let folder = Folder::open(self.config.dir()?.as_bytes())?;
                let mut connection = self.connect()?;
                let before = connection.received;
                let base = self.automount_base(name, &mut connection)?;
                let newest = self.all(&mut connection, &base, &folder, into)?;
                let bytes = connection.received - before;
                self.connection = Some(connection);
                Ok(whole(newest, bytes))
            }
        }
    }

    fn stands(&mut self, object: Object<'_>, as_handed: bool) -> Done {
        let stamps = Place::Map.stamps(self.config)?;
        match (object, self.table.take()) {
            (Object::Map, Some(table)) if as_handed => {
                table.write(&stamps, &Place::Map.path(self.config)?)
            }
            (Object::Map, _) => rows::remove(&stamps),
            _ => Ok(()),
        }
    }

    fn probe(&mut self, object: Object<'_>) -> Done {
        let mut connection = self.connect()?;
        if object == Object::Master {
            self.master(&mut connection)?;
            return Ok(());
        }
        let base = self.settings.base.clone();
        let query = Query {
            base: base.as_bytes(),
            scope: Scope::Base,
            filter: "(objectClass=*)",
            attributes: &[b"1.1"],
        };
        query.pages(&mut connection, &mut |mut items| {
            while items.next()?.is_some() {}
            Ok(())
        })?;
        self.connection = Some(connection);
        Ok(())
    }

    fn retries(&self) -> (u32, u32) {
        self.retries
    }

    fn follow(&mut self) -> Option<&mut dyn Follow> {
        Some(self)
    }
}

impl Follow for Ldap<'_> {
    fn begin(&mut self) -> Done<bool> {
        self.followed = None;
        if self.config.map == Map::Automount {
            return Ok(false);
        }
        let folder = Folder::open(self.config.dir()?.as_bytes())?;
        let stamps = Place::Map.stamps(self.config)?;
        let path = Place::Map.path(self.config)?;
        let mut connection = self.connect()?;
        let table = Table::open(&stamps, &path, &self.table_origin());
        let hangs = self.hangs();
        let people = if hangs { Some(users_base(self.config)?) } else { None };
        // Of a map whose lines hang on others all under the nearest common entry is followed.
        let base = match &people {
            Some(people) => common(&self.settings.base, people),
            None => self.settings.base.clone(),
        };
        let attributes = if hangs { vec![&b"1.1"[..]] } else { self.attributes() };
        let query = Query {
            base: base.as_bytes(),
            scope: if hangs { Scope::Subtree } else { self.settings.scope },
            filter: if hangs { "(objectClass=*)" } else { &self.settings.filter },
            attributes: &attributes,
        };
        let cookie = match table {
            Some(table) if !hangs => table.head.cookie,
            _ if base.is_empty() || !sync::is_there(&mut connection)? => Vec::new(),
            _ => sync::cookie_of_now(&mut connection, &query)?,
        };
        if cookie.is_empty() {
            self.connection = Some(connection);
            return Ok(false);
        }
        let (known, data) = (!hangs && self.has_table()?, self.data()?);
        let sync = sync::begin(&mut connection, &query, &cookie, true)?;
        let delta = if known { Some(Delta::new(&folder)?) } else { None };
        self.followed = Some(Followed {
            connection,
            sync,
            delta,
            refreshed: false,
            changed: false,
            data,
            stale: false,
        });
        loop {
            self.read_one()?;
            let Some(followed) = &self.followed else { return Ok(false) };
            if followed.refreshed {
                return Ok(true);
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
        self.read_one()?;
        Ok(self.is_changed())
    }

    fn is_changed(&self) -> bool {
        self.followed.as_ref().is_some_and(|followed| followed.changed)
    }

    fn taken(&mut self) -> Done<bool> {
        let folder = Folder::open(self.config.dir()?.as_bytes())?;
        let (hangs, data) = (self.hangs(), self.data()?);
        let known = !hangs && self.has_table()?;
        let Some(followed) = &mut self.followed else { return Ok(false) };
        followed.changed = false;
        followed.sync.only_present = false;
        // The next changes are those to the set that stands now.
        followed.data = data;
        followed.delta = if known { Some(Delta::new(&folder)?) } else { None };
        Ok(!followed.stale && known != hangs)
    }
}

impl Ldap<'_> {
    fn data(&self) -> Done<Option<DataStamp>> {
        Ok(DataStamp::of(&Place::Map.path(self.config)?))
    }

    fn has_table(&self) -> Done<bool> {
        let (stamps, path) = (Place::Map.stamps(self.config)?, Place::Map.path(self.config)?);
        Ok(Table::open(&stamps, &path, &self.table_origin()).is_some())
    }
}

impl Ldap<'_> {
    /// Reads a message of what is followed.
    fn read_one(&mut self) -> Done {
        let Some(mut followed) = self.followed.take() else { return Ok(()) };
        let folder = Folder::open(self.config.dir()?.as_bytes())?;
        let Followed { connection, sync, delta, .. } = &mut followed;
        let step = match delta {
            Some(delta) => {
                let mut reader = Reader::new(&folder, &self.schema, self.config.map);
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
                return Err(Failure::unavailable("the server does not know its cookie"));
            }
            Step::Limit => return Ok(()),
        }
        followed.changed |= followed.sync.only_present;
        self.followed = Some(followed);
        Ok(())
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
