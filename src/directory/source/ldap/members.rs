//! Members of a group or a netgroup: sorted, and put into one field. However many there are, they are
//! sorted through a temporary file.

use super::entry::Raw;
use super::entry::schema::{Members, Schema};
use crate::directory::failure::{Done, Failure, shown};
use crate::directory::fields::Fields;
use crate::directory::folder::Folder;
use crate::directory::maps::Map;
use crate::directory::sort::{Sorted, Sorter};
use crate::limits::DIRECTORY_LINE;
use nssproto::ldap::dn;

/// Why a group must not be written.
pub const BAD_MEMBER: &str = "a member whose name would be several, or none";

/// Members that are collected.
pub struct Collector<'a> {
    folder: &'a Folder,
    sorter: Option<Sorter<'a>>,
    name: Vec<u8>,
}

impl<'a> Collector<'a> {
    /// None yet. What has no room goes to a file of that folder.
    pub fn new(folder: &'a Folder) -> Self {
        Collector { folder, sorter: None, name: Vec::new() }
    }

    /// A value of the member attribute.
    pub fn put(&mut self, value: &[u8], map: Map, schema: &Schema) -> Done {
        self.name.clear();
        match map {
            Map::Group => name_of(value, schema, &mut self.name),
            _ => self.name.extend_from_slice(value),
        }
        if self.name.is_empty() {
            return Ok(());
        }
        if self.name.len() > usize::from(u16::MAX) {
            return Err(Failure::refused("a member whose name has more than 64 KiB"));
        }
        let folder = self.folder;
        let sorter = self.sorter.get_or_insert_with(|| Sorter::new(folder));
        Ok(sorter.put(&self.name, 0)?)
    }

    /// Adds the field of them all to a group. False: it must not be written.
    pub fn finish(&mut self, map: Map, raw: &Raw, fields: &mut Fields) -> Done<bool> {
        let Some(sorter) = self.sorter.take() else {
            // A netgroup of nobody has no field.
            if map == Map::Group {
                fields.push(b"");
            }
            return Ok(true);
        };
        join(sorter.sorted()?, map, &raw.dn, fields)
    }

    /// The entry is none of the map: forgets its members.
    pub fn clear(&mut self) {
        self.sorter = None;
    }
}

/// The name of a member of a group.
fn name_of(value: &[u8], schema: &Schema, name: &mut Vec<u8>) {
    let first = match schema.members {
        // Some directories have DNs there.
        Members::Names if !value.contains(&b',') || !value.contains(&b'=') => None,
        _ => dn::first(value),
    };
    match (first, schema.members) {
        (Some(first), _) => name.extend(dn::unescape(first)),
        (None, Members::Names) => name.extend_from_slice(value),
        (None, _) => {}
    }
    if let Some(expression) = &schema.group_regex {
        *name = expression.joined(name);
    }
}

/// Puts names into a field, each once. False: one of them must not be written.
fn join(mut sorted: Sorted, map: Map, dn: &[u8], fields: &mut Fields) -> Done<bool> {
    let separator = if map == Map::Group { b',' } else { b' ' };
    let (mut key, mut last) = (Vec::new(), Vec::new());
    let mut good = true;
    while sorted.next(&mut key).map_err(|error| super::rows::unkept(&error))?.is_some() {
        if key == last {
            continue;
        }
        good &= is_member(&key, separator);
        push(fields, &key, separator, last.is_empty(), dn)?;
        std::mem::swap(&mut key, &mut last);
    }
    fields.end();
    Ok(good)
}

/// Whether a name is one member.
pub fn is_member(name: &[u8], separator: u8) -> bool {
    !name.is_empty() && !name.iter().any(|byte| *byte == separator || byte.is_ascii_control())
}

/// Adds a name to the field of members.
pub fn push(fields: &mut Fields, name: &[u8], separator: u8, is_first: bool, dn: &[u8]) -> Done {
    let text = fields.text();
    if text.len() + name.len() >= DIRECTORY_LINE {
        let (dn, most) = (shown(dn), DIRECTORY_LINE >> 20);
        return Err(Failure::refused(format!("{dn} has more than {most} MiB of members")));
    }
    if !is_first {
        text.push(separator);
    }
    text.extend_from_slice(name);
    Ok(())
}
