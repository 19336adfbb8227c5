//! The source `ldap`: a map is what a search in a directory finds.
//!
//! Whole maps are fetched in pages. What changed since comes by synchronization (RFC 4533) where the
//! server has it, else by modifyTimestamp and a list of all entryUUIDs; a table beside the timestamps
//! ([`rows`]) says which line each entry has. Maps whose lines hang on other entries are fetched whole.

mod automount;
mod changes;
mod connect;
mod connection;
mod delta;
mod entry;
mod expression;
mod fetch;
mod follow;
mod groups;
mod members;
mod reader;
mod rows;
mod search;
mod settings;
mod sync;
mod time;
#[cfg(feature = "tls")]
mod tls;

use self::connection::Connection;
use self::entry::UUID;
use self::entry::schema::{Members, Schema};
use self::follow::Followed;
use self::groups::Nested;
use self::search::Query;
use self::settings::Settings;
use super::{Fetched, Follow, Object, Since, Source, retries};
use crate::directory::config::MapConfig;
use crate::directory::failure::Done;
use crate::directory::folder::Folder;
use crate::directory::intake::Entries;
use crate::directory::log::Log;
use crate::directory::maps::Map;
use crate::directory::stamp::Time;
use crate::directory::state::Validators;
use crate::directory::targets::Place;
use nssproto::ldap::Scope;

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
    /// The table of the set that was handed over last, until that is in its place.
    table: Option<rows::Ready>,
    /// What the server called its state before the set that was fetched whole last; empty: it does not.
    begun_with: Option<Vec<u8>>,
    /// It does not take the cookies that it gives.
    refuses_cookies: bool,
    /// What is followed.
    followed: Option<Followed>,
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
            table: None,
            begun_with: None,
            refuses_cookies: false,
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
}

fn whole(modified: Option<Time>, bytes: u64) -> Fetched {
    Fetched::Whole { modified, validators: Validators::default(), bytes }
}

/// Under which entry users are.
fn users_base(config: &MapConfig<'_>) -> Done<String> {
    config.of_map(Map::Passwd).required("ldap_base")
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
                table.write(&stamps, &Place::Map.path(self.config)?)?;
            }
            (Object::Map, _) => rows::remove(&stamps)?,
            _ => {}
        }
        self.mark()
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

    fn stays(&mut self) -> Done {
        if let Some(table) = self.table.take() {
            table.write(&Place::Map.stamps(self.config)?, &Place::Map.path(self.config)?)?;
        }
        self.mark()
    }

    fn rest(&mut self) {
        self.connection = None;
    }

    fn follow(&mut self) -> Option<&mut dyn Follow> {
        Some(self)
    }
}
