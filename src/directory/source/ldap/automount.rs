//! Automount: the master, and which entry has the map of a mount point.

use super::connection::Connection;
use super::entry::Raw;
use super::search::Query;
use super::{Ldap, whole};
use crate::directory::failure::{Done, Failure, shown};
use crate::directory::fields::Fields;
use crate::directory::intake::Entries;
use crate::directory::source::Fetched;
use crate::directory::stamp::Time;
use crate::directory::targets::{Listed, Place};
use nssproto::ldap::Scope;

/// A mount point, the DN of its map, and when that was said.
type Mount = (Vec<u8>, Vec<u8>, Option<Time>);

impl Ldap<'_> {
    /// Automount's master: mount points, and the DNs of their maps.
    pub(super) fn master(&mut self, connection: &mut Connection) -> Done<Vec<Mount>> {
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

    /// Hands the mount points over, each with the DN of its map.
    pub(super) fn fetch_master(&mut self, into: &mut dyn Entries) -> Done<Fetched> {
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
    pub(super) fn automount_base(
        &mut self,
        name: &str,
        connection: &mut Connection,
    ) -> Done<Vec<u8>> {
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
