//! The fields that Consul and S3 have for an entry, as Google's nsscache names them.

use super::json::{Wrong, expanded, members};
use crate::directory::fields::Fields;
use crate::directory::maps::Map;

/// A field: its name, and what it is where it is missing (`%u`: the entry's name); `None`: without it
/// there is no entry.
pub type Named = (&'static str, Option<&'static str>);

/// Those of a map, in the order of its line, behind the name; `None`: there are none of such a map.
pub fn fields_of(map: Map) -> Option<&'static [Named]> {
    Some(match map {
        Map::Passwd => &[
            ("passwd", Some("x")),
            ("uid", None),
            ("gid", None),
            ("comment", Some("")),
            ("home", Some("/home/%u")),
            ("shell", Some("/bin/bash")),
        ],
        Map::Group => &[("passwd", Some("x")), ("gid", None), ("members", Some(""))],
        Map::Shadow => &[
            ("passwd", Some("*")),
            ("lstchg", Some("")),
            ("min", Some("")),
            ("max", Some("")),
            ("warn", Some("")),
            ("inact", Some("")),
            ("expire", Some("")),
            ("flag", Some("")),
        ],
        Map::Sshkey => &[("sshPublicKey", Some(""))],
        Map::Netgroup | Map::Automount => return None,
    })
}

/// An entry whose fields come one by one.
#[derive(Default)]
pub struct Record {
    /// What it is called.
    pub name: Vec<u8>,
    values: Vec<(&'static str, Vec<u8>)>,
}

impl Record {
    /// One without fields.
    pub fn of(name: &[u8]) -> Record {
        Record { name: name.to_vec(), values: Vec::new() }
    }

    /// One more field, if the map has it. The last of a name counts.
    pub fn put(&mut self, map: Map, name: &[u8], value: Vec<u8>) {
        let known = fields_of(map).unwrap_or_default().iter();
        if let Some((name, _)) = known.into_iter().find(|(known, _)| known.as_bytes() == name) {
            self.values.retain(|(known, _)| known != name);
            self.values.push((name, value));
        }
    }

    /// Bytes of its values.
    pub fn len(&self) -> usize {
        self.values.iter().map(|(_, value)| value.len()).sum()
    }

    /// Puts its line together.
    pub fn fields(&self, map: Map, fields: &mut Fields) -> Result<(), Wrong> {
        fields.clear();
        fields.push(&self.name);
        for (name, default) in fields_of(map).unwrap_or_default() {
            let found = self.values.iter().find(|(known, _)| known == name);
            match (found, default) {
                (Some((_, value)), _) if *name == "members" => members(value, fields)?,
                (Some((_, value)), _) => fields.push(value),
                (None, Some(default)) => fields.push(&expanded(default, &self.name)),
                (None, None) => return Err(Wrong::Missing),
            }
        }
        Ok(())
    }
}
