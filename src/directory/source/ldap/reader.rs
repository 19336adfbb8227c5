//! Entries of a map as they are read, and members that did not come with their group.

use super::Ldap;
use super::connect::connect;
use super::connection::{Connection, Items};
use super::entry::Raw;
use super::entry::schema::Schema;
use super::members::Collector;
use super::search::Query;
use super::settings::Settings;
use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure, shown};
use crate::directory::fields::Fields;
use crate::directory::folder::Folder;
use crate::directory::log::Log;
use crate::directory::maps::Map;
use nssproto::ldap::Scope;

/// Entries of a map, one after the other.
pub struct Reader<'a> {
    schema: &'a Schema,
    map: Map,
    members: Collector<'a>,
    pieces: Pieces<'a>,
    /// The one that was taken last.
    pub raw: Raw,
    /// Its fields.
    pub fields: Fields,
}

/// What an entry is.
pub enum Taken {
    /// One of the map.
    Entry,
    /// One that must not be written.
    Unsafe,
    /// None of the map: the number of a fault.
    Fault(usize),
}

impl<'a> Reader<'a> {
    /// One that has taken none.
    pub fn new(folder: &'a Folder, ldap: &'a Ldap<'_>) -> Self {
        let (raw, fields) = (Raw::default(), Fields::default());
        let (schema, map, members) = (&ldap.schema, ldap.config.map, Collector::new(folder));
        Reader { schema, map, members, pieces: Pieces::new(ldap), raw, fields }
    }

    /// Takes one: its fields, or what is wrong with it.
    pub fn take(&mut self, items: Items<'_>) -> Done<Taken> {
        let Reader { schema, map, members, pieces, raw, fields } = self;
        members.clear();
        let mut put = |value: &[u8]| members.put(value, *map, schema);
        raw.take(items, schema, &mut put)?;
        if let Some(from) = raw.more {
            pieces.take(&raw.dn, from, &mut put)?;
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

/// Members that did not come with their group: Active Directory sends 1,500 at a time. They are asked for
/// on a connection of their own, since the other one is in the middle of a page.
pub struct Pieces<'a> {
    settings: &'a Settings,
    config: &'a MapConfig<'a>,
    log: &'a Log,
    schema: &'a Schema,
    connection: Option<Connection>,
}

impl<'a> Pieces<'a> {
    /// Nothing is asked yet.
    pub fn new(ldap: &'a Ldap<'_>) -> Self {
        let Ldap { settings, config, log, schema, .. } = ldap;
        Pieces { settings, config, log, schema, connection: None }
    }

    /// Hands over the members of the entry from a number on.
    pub fn take(&mut self, dn: &[u8], from: u64, put: &mut dyn FnMut(&[u8]) -> Done) -> Done {
        let (schema, mut from) = (self.schema, from);
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(self.settings, self.config, self.log)?),
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
                    let text = format!("{dn}: the server sends members without end");
                    return Err(Failure::refused(text));
                }
            }
        }
    }
}
