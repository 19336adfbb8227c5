//! An entry as it comes: what of its attributes is wanted.

pub mod schema;

use self::schema::{Keep, Schema};
use super::connection::Items;
use super::time;
use crate::directory::failure::{Done, Failure, shown};
use crate::directory::stamp::Time;
use crate::limits::DIRECTORY_LINE;
use nssproto::ldap::control::{Change, SYNC_STATE, SyncState, Uuid};
use nssproto::ldap::stream::Item;

/// What was kept of an entry. Its room is used again for the next one.
#[derive(Default)]
pub struct Raw {
    /// Its name.
    pub dn: Vec<u8>,
    /// The first values, by the order of the schema's attributes.
    firsts: Vec<(String, Option<Vec<u8>>)>,
    all: Vec<u8>,
    ends: Vec<usize>,
    /// What it is known by.
    pub uuid: Option<Uuid>,
    /// When it changed.
    pub modified: Option<Time>,
    /// What became of it, where that is told.
    pub change: Option<Change>,
    /// What the server calls the state behind it.
    pub cookie: Option<Vec<u8>>,
    /// Members are in pieces: the number of the first that did not come.
    pub more: Option<u64>,
}

/// What every search asks for, besides what its schema wants.
pub const UUID: &str = "entryUUID";

impl Raw {
    /// The first value of an attribute.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        let found = self.firsts.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        found.1.as_deref()
    }

    /// All values of the one of which all are kept.
    pub fn all(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, end)| self.all.get(start..*end))
    }

    fn clear(&mut self, schema: &Schema) {
        if self.firsts.len() != schema.attributes.len() {
            let names = schema.attributes.iter().map(|(name, _)| (name.clone(), None));
            self.firsts = names.collect();
        }
        self.firsts.iter_mut().for_each(|(_, value)| *value = None);
        self.dn.clear();
        self.all.clear();
        self.ends.clear();
        (self.uuid, self.modified, self.change, self.cookie, self.more) =
            (None, None, None, None, None);
    }

    /// Takes an entry; each value of which all are wanted sorted goes to `sorted`.
    pub fn take(
        &mut self,
        mut items: Items<'_>,
        schema: &Schema,
        sorted: &mut dyn FnMut(&[u8]) -> Done,
    ) -> Done {
        self.clear(schema);
        let modified = schema.modified_attribute();
        let mut into = Into::Nothing;
        while let Some(item) = items.next()? {
            match item {
                Item::Dn(dn) => self.dn.extend_from_slice(dn),
                Item::Name(name) => into = self.place(name, schema, modified),
                Item::Value(value) => self.value(value, into, sorted)?,
                Item::Control(control) if control.name == SYNC_STATE => {
                    let bad = |error| Failure::refused(format!("the server sends {error}"));
                    let state =
                        SyncState::decode(control.value.unwrap_or_default()).map_err(bad)?;
                    (self.uuid, self.change) = (Some(state.uuid), Some(state.change));
                    self.cookie = state.cookie.map(<[u8]>::to_vec);
                }
                Item::Control(_) => {}
            }
        }
        Ok(())
    }

    /// Where the values of an attribute go.
    fn place(&mut self, name: &[u8], schema: &Schema, modified: &str) -> Into {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is(UUID) {
            return Into::Uuid;
        }
        if is(modified) {
            return Into::Modified;
        }
        let (bare, range) = ranged(name);
        let found = schema
            .attributes
            .iter()
            .position(|(known, _)| known.as_bytes().eq_ignore_ascii_case(bare));
        let Some(at) = found else { return Into::Nothing };
        let keep = schema.attributes.get(at).map(|(_, keep)| *keep);
        match (keep, range) {
            (Some(Keep::Sorted), range) => {
                if let Some(Some(last)) = range {
                    self.more = Some(last.saturating_add(1));
                }
                Into::Sorted
            }
            // Of other attributes one with options is another.
            (_, Some(_)) => Into::Nothing,
            (Some(Keep::All), None) => Into::All,
            (_, None) => Into::First(at),
        }
    }

    fn value(&mut self, value: &[u8], into: Into, sorted: &mut dyn FnMut(&[u8]) -> Done) -> Done {
        match into {
            Into::Nothing => {}
            Into::First(at) => {
                if let Some((_, place @ None)) = self.firsts.get_mut(at) {
                    *place = Some(value.to_vec());
                }
            }
            Into::All => {
                if self.all.len() + value.len() > DIRECTORY_LINE {
                    let (dn, most) = (shown(&self.dn), DIRECTORY_LINE >> 20);
                    return Err(Failure::refused(format!("{dn} has more than {most} MiB of keys")));
                }
                self.all.extend_from_slice(value);
                self.ends.push(self.all.len());
            }
            Into::Sorted => sorted(value)?,
            Into::Uuid => self.uuid = self.uuid.or_else(|| uuid_of(value)),
            Into::Modified => self.modified = self.modified.or_else(|| time::parse(value)),
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Into {
    Nothing,
    First(usize),
    All,
    Sorted,
    Uuid,
    Modified,
}

/// The name of an attribute without `;range=0-1499`, and the last number of that; nothing: that was
/// all. Names with other options are others.
fn ranged(name: &[u8]) -> (&[u8], Option<Option<u64>>) {
    let Some(at) = name.iter().position(|byte| *byte == b';') else { return (name, None) };
    let (bare, options) = name.split_at_checked(at).unwrap_or((name, b""));
    const RANGE: &[u8] = b";range=";
    match options.split_at_checked(RANGE.len()) {
        Some((front, range)) if front.eq_ignore_ascii_case(RANGE) => {
            let last = range.split(|byte| *byte == b'-').nth(1).unwrap_or_default();
            (bare, Some(nssproto::bytes::decimal_u64(last)))
        }
        _ => (name, None),
    }
}

/// `597ae2f6-16a6-1027-98f4-d28b5365dc14`
pub fn uuid_of(text: &[u8]) -> Option<Uuid> {
    let digit = |byte: &u8| (*byte as char).to_digit(16).map(|digit| digit as u8);
    let mut digits = text.iter().filter(|byte| **byte != b'-').map(digit);
    let mut uuid = [0; 16];
    for byte in &mut uuid {
        *byte = digits.next()?? << 4 | digits.next()??;
    }
    digits.next().is_none().then_some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_told_from_other_options() {
        assert_eq!(ranged(b"member"), (&b"member"[..], None));
        assert_eq!(ranged(b"member;range=0-1499"), (&b"member"[..], Some(Some(1499))));
        assert_eq!(ranged(b"member;Range=1500-*"), (&b"member"[..], Some(None)));
        assert_eq!(ranged(b"cn;lang-de"), (&b"cn;lang-de"[..], None));
    }

    #[test]
    fn uuids_are_read() {
        let uuid = uuid_of(b"597ae2f6-16a6-1027-98f4-d28b5365dc14").unwrap();
        assert_eq!(uuid[..4], [0x59, 0x7a, 0xe2, 0xf6]);
        assert_eq!(uuid_of(b"597ae2f6"), None);
        assert_eq!(uuid_of(b"597ae2f6-16a6-1027-98f4-d28b5365dc1400"), None);
        assert_eq!(uuid_of(b""), None);
    }
}
