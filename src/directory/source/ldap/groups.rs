//! Groups whose members are other entries, and have to be looked for: of Active Directory, where the name
//! in a DN is not that of the user; uniqueMember; groups in groups.
//!
//! All DNs are sorted and merged with those of the entries that there are, so that one search does for
//! all members. What that search did not find is read one by one.

use super::connection::Connection;
use super::entry::Raw;
use super::entry::schema::{FAULTS, Members, Schema};
use super::members::{BAD_MEMBER, is_member, push};
use super::reader::Pieces;
use super::rows::unkept;
use super::search::Query;
use crate::directory::failure::{Done, Failure, Kind, shown};
use crate::directory::fields::Fields;
use crate::directory::folder::Folder;
use crate::directory::intake::Entries;
use crate::directory::log::Log;
use crate::directory::sort::Sorter;
use crate::directory::stamp::Time;
use crate::directory::temporary::Temporary;
use crate::limits::{LDAP_GROUPS, LDAP_STRAY};
use nssproto::ldap::{Scope, dn};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;

/// What is done with groups in groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nested {
    /// They are members by their name.
    No,
    /// Their members are added to those of the group.
    Yes,
    /// The same, and they are no members themselves.
    Users,
}

/// Records of bytes in a temporary file.
struct Spool {
    file: BufWriter<File>,
    len: u64,
}

impl Spool {
    fn new(folder: &Folder) -> Done<Spool> {
        Ok(Spool { file: BufWriter::new(Temporary::nameless(folder)?), len: 0 })
    }

    /// Adds a record; where it is.
    fn put(&mut self, parts: &[&[u8]]) -> Done<u64> {
        let at = self.len;
        let mut all = (parts.len() as u32).to_le_bytes().to_vec();
        for part in parts {
            all.extend_from_slice(&(part.len() as u32).to_le_bytes());
            all.extend_from_slice(part);
        }
        let head = (all.len() as u32).to_le_bytes();
        self.file.write_all(&head).map_err(|error| unkept(&error))?;
        self.file.write_all(&all).map_err(|error| unkept(&error))?;
        self.len += 4 + all.len() as u64;
        Ok(at)
    }

    /// All are there: they can be read.
    fn flush(&mut self) -> Done {
        self.file.flush().map_err(|error| unkept(&error))
    }

    /// The parts of the record at a place.
    fn get(&self, at: u64) -> Done<Vec<Vec<u8>>> {
        let file = self.file.get_ref();
        let mut head = [0; 4];
        file.read_exact_at(&mut head, at).map_err(|error| unkept(&error))?;
        let mut all = vec![0; u32::from_le_bytes(head) as usize];
        file.read_exact_at(&mut all, at + 4).map_err(|error| unkept(&error))?;
        let mut rest = all.get(4..).unwrap_or_default();
        let mut parts = Vec::new();
        while let Some((len, behind)) = rest.split_first_chunk() {
            let Some((part, behind)) = behind.split_at_checked(u32::from_le_bytes(*len) as usize)
            else {
                break;
            };
            parts.push(part.to_vec());
            rest = behind;
        }
        Ok(parts)
    }
}

/// What there is to know of how groups are fetched.
pub struct Plan<'a> {
    /// Which groups.
    pub query: Query<'a>,
    /// What of them.
    pub schema: &'a Schema,
    /// Whether members are called as their entries say, and not as their DNs do.
    pub resolve: bool,
    /// What becomes of groups in groups.
    pub nested: Nested,
    /// Under which entry users are looked for.
    pub people: &'a [u8],
    /// For what takes room.
    pub folder: &'a Folder,
    /// For what is worth a word.
    pub log: &'a Log,
}

/// The groups, and who is in them.
struct Found {
    /// Of each group: DN and fields, or DN, number of a fault, name.
    groups: Spool,
    /// Where each group is.
    places: Vec<u64>,
    /// The DN of a member, and the number of its group.
    members: Spool,
    newest: Option<Time>,
}

impl Plan<'_> {
    /// Fetches all, and hands it over; the newest change.
    pub fn fetch(
        &self,
        connection: &mut Connection,
        pieces: &mut Pieces<'_>,
        into: &mut dyn Entries,
    ) -> Done<Option<Time>> {
        let folder = self.folder;
        let mut wanted = Sorter::new(folder);
        let mut known = Sorter::new(folder);
        let mut names = Spool::new(folder)?;
        let mut found = self.groups(connection, pieces, &mut wanted, &mut known, &mut names)?;
        if self.resolve {
            self.people(connection, &mut known, &mut names)?;
        }
        names.flush()?;
        found.members.flush()?;
        found.groups.flush()?;
        let lists = self.lists(connection, &found, wanted, known, &names)?;
        let mut fields = Fields::default();
        for (number, place) in found.places.iter().enumerate() {
            let parts = found.groups.get(*place)?;
            let (dn, rest) = parts.split_first().ok_or_else(odd)?;
            if let [fault, name] = rest {
                let fault = fault.first().and_then(|number| FAULTS.get(usize::from(*number)));
                into.malformed(fault.copied().unwrap_or_default(), name, number as u64 + 1)?;
                continue;
            }
            fields.clear();
            rest.iter().for_each(|field| fields.push(field));
            if self.all_members(number, &lists, dn, &mut fields)? {
                into.entry(&fields, number as u64 + 1)?;
            } else {
                into.unsafe_entry(BAD_MEMBER, fields.name())?;
            }
        }
        Ok(found.newest)
    }

    /// The groups themselves, and the DNs of their members.
    fn groups(
        &self,
        connection: &mut Connection,
        pieces: &mut Pieces<'_>,
        wanted: &mut Sorter<'_>,
        known: &mut Sorter<'_>,
        names: &mut Spool,
    ) -> Done<Found> {
        let folder = self.folder;
        let mut found = Found {
            groups: Spool::new(folder)?,
            places: Vec::new(),
            members: Spool::new(folder)?,
            newest: None,
        };
        let (mut raw, mut fields) = (Raw::default(), Fields::default());
        self.query.pages(connection, &mut |items| {
            let number = found.places.len() as u32;
            let members = &mut found.members;
            let mut member = |value: &[u8]| {
                let at = members.put(&[value, &number.to_le_bytes()])?;
                put(wanted, value, at)
            };
            raw.take(items, self.schema, &mut member)?;
            if let Some(next) = raw.more {
                pieces.take(&raw.dn, next, &mut member)?;
            }
            found.newest = found.newest.max(raw.modified);
            let place = match self.schema.fields(&raw, &mut fields) {
                Ok(()) => {
                    let at = names.put(&[b"g", &number.to_le_bytes(), fields.name()])?;
                    put(known, &raw.dn, at)?;
                    let mut parts = vec![raw.dn.as_slice()];
                    parts.extend((0..fields.len()).map(|at| fields.get(at)));
                    found.groups.put(&parts)?
                }
                Err(fault) => found.groups.put(&[&raw.dn, &[fault as u8], &raw.dn])?,
            };
            if found.places.len() >= LDAP_GROUPS {
                return Err(Failure::refused(format!(
                    "more than {LDAP_GROUPS} groups with DNs in them"
                )));
            }
            found.places.push(place);
            Ok(())
        })?;
        Ok(found)
    }

    /// The attribute that names a user.
    fn user_attribute(&self) -> &str {
        if self.schema.members == Members::Unique { "uid" } else { &self.schema.uid }
    }

    /// Whoever may be a member, by DN: one search for all.
    fn people(
        &self,
        connection: &mut Connection,
        known: &mut Sorter<'_>,
        names: &mut Spool,
    ) -> Done {
        let attribute = self.user_attribute();
        let filter = format!("({attribute}=*)");
        let query = Query {
            base: self.people,
            scope: Scope::Subtree,
            filter: &filter,
            attributes: &[attribute.as_bytes()],
        };
        let searched = query.pages(connection, &mut |items| {
            let (dn, values) = named(items, attribute)?;
            let mut parts: Vec<&[u8]> = vec![b"u"];
            parts.extend(values.iter().map(Vec::as_slice));
            let at = names.put(&parts)?;
            put(known, &dn, at)
        });
        match searched {
            // Whoever is a member is read by itself.
            Err(failure) if failure.kind == Kind::Refused => {
                self.log.debug("ldap", format!("users are looked for one by one: {failure}"));
                Ok(())
            }
            done => done.map(drop),
        }
    }

    /// Of each group the names of its members, in their order, and which of them are groups.
    fn lists(
        &self,
        connection: &mut Connection,
        found: &Found,
        wanted: Sorter<'_>,
        known: Sorter<'_>,
        names: &Spool,
    ) -> Done<Lists> {
        let mut sorted = Sorter::new(self.folder);
        let mut spool = Spool::new(self.folder)?;
        let (mut wanted, mut known) = (wanted.sorted()?, known.sorted()?);
        let (mut dn, mut entry) = (Vec::new(), Vec::new());
        let mut at_entry = known.next(&mut entry).map_err(|error| unkept(&error))?;
        let (mut strays, mut lost) = (0u64, 0u64);
        while let Some(at) = wanted.next(&mut dn).map_err(|error| unkept(&error))? {
            while at_entry.is_some() && entry < dn {
                at_entry = known.next(&mut entry).map_err(|error| unkept(&error))?;
            }
            let member = found.members.get(at)?;
            let [value, group] = member.as_slice() else { return Err(odd()) };
            let group = group.first_chunk().map_or(0, |number| u32::from_le_bytes(*number));
            let is_known = at_entry.filter(|_| entry == dn);
            let mut is_group = None;
            let all = match is_known {
                Some(at) => {
                    let parts = names.get(at)?;
                    match parts.as_slice() {
                        [kind, number, name] if kind == b"g" => {
                            is_group = number.first_chunk().map(|n| u32::from_le_bytes(*n));
                            vec![name.clone()]
                        }
                        [_, rest @ ..] => rest.to_vec(),
                        [] => Vec::new(),
                    }
                }
                None if self.resolve => {
                    strays += 1;
                    if strays > LDAP_STRAY {
                        return Err(Failure::refused(format!(
                            "more than {LDAP_STRAY} members are outside {}",
                            shown(self.people)
                        )));
                    }
                    self.stray(connection, value)?
                }
                None => vec![dn::unescape(dn::first(value).unwrap_or_default()).collect()],
            };
            // A group has no uid: uniqueMember counts users alone.
            let counts = self.schema.members != Members::Unique || is_group.is_none();
            let first = if self.schema.members == Members::Unique { all.len() } else { 1 };
            lost += u64::from(all.is_empty());
            for (nth, name) in all.into_iter().take(first).enumerate().filter(|_| counts) {
                let name = match &self.schema.group_regex {
                    Some(expression) => expression.joined(&name),
                    None => name,
                };
                if name.is_empty() {
                    continue;
                }
                let order = if self.schema.members == Members::Unique { value } else { &name };
                let mut key = group.to_be_bytes().to_vec();
                key.extend_from_slice(order.get(..60_000).unwrap_or(order));
                key.extend_from_slice(&(nth as u32).to_be_bytes());
                let of_group = is_group.map_or(u32::MAX, |number| number).to_le_bytes();
                let at = spool.put(&[&group.to_le_bytes(), &of_group, &name])?;
                sorted.put(&key, at)?;
            }
        }
        if lost > 0 {
            self.log.info(
                "ldap",
                format!("{lost} members have no name that is known, and are left out"),
            );
        }
        spool.flush()?;
        let mut lists = Lists { spool: Spool::new(self.folder)?, runs: HashMap::new() };
        let mut sorted = sorted.sorted()?;
        let mut key = Vec::new();
        while let Some(at) = sorted.next(&mut key).map_err(|error| unkept(&error))? {
            let parts = spool.get(at)?;
            let [group, of_group, name] = parts.as_slice() else { return Err(odd()) };
            let at = lists.spool.put(&[of_group, name])?;
            let group = group.first_chunk().map_or(0, |number| u32::from_le_bytes(*number));
            let run = lists.runs.entry(group).or_insert((at, 0));
            run.1 += 1;
        }
        lists.spool.flush()?;
        Ok(lists)
    }

    /// The names of an entry that no search has found.
    fn stray(&self, connection: &mut Connection, dn: &[u8]) -> Done<Vec<Vec<u8>>> {
        let attribute = self.user_attribute();
        let query = Query {
            base: dn,
            scope: Scope::Base,
            filter: "(objectClass=*)",
            attributes: &[attribute.as_bytes()],
        };
        let mut names = Vec::new();
        let read = query.pages(connection, &mut |items| {
            names = named(items, attribute)?.1;
            Ok(())
        });
        match read {
            // It is gone, or not for us.
            Err(failure) if failure.kind == Kind::Refused => Ok(Vec::new()),
            done => done.map(|_| names),
        }
    }

    /// Adds the field of all members of a group. False: one of them must not be written.
    fn all_members(
        &self,
        group: usize,
        lists: &Lists,
        dn: &[u8],
        fields: &mut Fields,
    ) -> Done<bool> {
        let mut seen = HashSet::new();
        let mut visited = HashSet::from([group as u32]);
        let mut waiting = vec![group as u32];
        let (mut good, mut is_first) = (true, true);
        while let Some(group) = waiting.pop() {
            let mut inner = Vec::new();
            for (name, of_group) in lists.of(group)? {
                let nested = of_group.filter(|_| self.nested != Nested::No);
                if let Some(number) = nested {
                    inner.push(number);
                }
                if nested.is_some() && self.nested == Nested::Users || seen.contains(&name) {
                    continue;
                }
                good &= is_member(&name, b',');
                push(fields, &name, b',', is_first, dn)?;
                is_first = false;
                seen.insert(name);
            }
            // The first of them comes next.
            inner.retain(|number| visited.insert(*number));
            waiting.extend(inner.into_iter().rev());
        }
        fields.end();
        Ok(good)
    }
}

/// Names of members, group by group.
struct Lists {
    spool: Spool,
    /// Of a group: where its first member is, and how many there are.
    runs: HashMap<u32, (u64, u32)>,
}

impl Lists {
    /// Each member of a group, and the number of the group that it is.
    fn of(&self, group: u32) -> Done<Vec<(Vec<u8>, Option<u32>)>> {
        let Some((mut at, count)) = self.runs.get(&group).copied() else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for _ in 0..count {
            let parts = self.spool.get(at)?;
            // The record's own length, its count, and the lengths of its parts.
            at += 8 + parts.iter().map(|part| 4 + part.len() as u64).sum::<u64>();
            let Ok([of_group, name]) = <[Vec<u8>; 2]>::try_from(parts) else { return Err(odd()) };
            let of_group = of_group.first_chunk().map(|number| u32::from_le_bytes(*number));
            found.push((name, of_group.filter(|number| *number != u32::MAX)));
        }
        Ok(found)
    }
}

fn odd() -> Failure {
    Failure::refused("a temporary file that is not as it was written")
}

/// Puts a DN, in its plain form, with where more of it is.
fn put(sorter: &mut Sorter<'_>, text: &[u8], at: u64) -> Done {
    let plain: Vec<u8> = dn::plain(text).take(60_000).collect();
    Ok(sorter.put(&plain, at)?)
}

/// The DN of an entry, and the values of an attribute.
fn named(
    mut items: super::connection::Items<'_>,
    attribute: &str,
) -> Done<(Vec<u8>, Vec<Vec<u8>>)> {
    use nssproto::ldap::stream::Item;
    let (mut dn, mut values, mut wanted) = (Vec::new(), Vec::new(), false);
    while let Some(item) = items.next()? {
        match item {
            Item::Dn(text) => dn.extend_from_slice(text),
            Item::Name(name) => wanted = name.eq_ignore_ascii_case(attribute.as_bytes()),
            Item::Value(value) if wanted => values.push(value.to_vec()),
            _ => {}
        }
    }
    Ok((dn, values))
}
