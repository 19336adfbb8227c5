//! Lines of the maps netgroup and automount, and what no entry of any map may have in a field.
//!
//! ```
//! use nssproto::cache::lines::{Automount, Netgroup};
//!
//! let entry = Automount::parse(b"ada -rw,hard server:/home/ada")?;
//! assert_eq!((entry.key, entry.options, entry.location), (&b"ada"[..], &b"-rw,hard"[..], &b"server:/home/ada"[..]));
//! assert_eq!(Automount::parse(b"ada server:/home/ada")?.options, b"");
//! assert_eq!(Netgroup::parse(b"hosts (a,,) (b,,)")?.entries, b"(a,,) (b,,)");
//! # Ok::<(), nssproto::Malformed>(())
//! ```

use crate::Malformed;
use crate::entry::Record;

/// What is wrong with a line or an entry, for people.
pub mod why {
    use crate::Malformed;

    /// The name or key is empty.
    pub const NO_NAME: Malformed = Malformed("empty name");
    /// The name has `+` or `-` in front: that is for NIS.
    pub const FOR_NIS: Malformed = Malformed("a name that begins with + or -");
    /// A comment is not an entry.
    pub const COMMENT: Malformed = Malformed("a name that begins with # or a blank");
    /// A field holds what ends it.
    pub const SEPARATOR: Malformed = Malformed("a separator inside a field");
    /// A field holds a line break, CR or NUL.
    pub const LINE_BREAK: Malformed = Malformed("a line break or a NUL inside a field");
    /// There is no place.
    pub const NO_LOCATION: Malformed = Malformed("no location");
}

/// Whether a text would end its line or what reads it.
fn breaks(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, 0 | b'\n' | b'\r'))
}

/// What keeps a record from being written as a line that is read as this record: a field that would end
/// itself or its line, a name that nobody finds. In the last field of passwd, too, nothing is let
/// through.
pub fn check(record: &Record<'_>) -> Result<(), Malformed> {
    match record.name() {
        [] => return Err(why::NO_NAME),
        [b'+' | b'-', ..] => return Err(why::FOR_NIS),
        [b'#' | b' ' | b'\t'..=b'\r', ..] => return Err(why::COMMENT),
        _ => {}
    }
    for text in record.strings() {
        if breaks(text) {
            return Err(why::LINE_BREAK);
        }
        if text.contains(&b':') {
            return Err(why::SEPARATOR);
        }
    }
    if let Record::Group(group) = record {
        for member in group.members {
            // A member is trimmed where it is read, and an empty one is none.
            if member.is_empty() || member.contains(&b',') || member.first() == Some(&b' ') {
                return Err(why::SEPARATOR);
            }
        }
    }
    Ok(())
}

/// An entry of netgroup: `NAME ENTRIES`, or just `NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Netgroup<'a> {
    /// The name.
    pub name: &'a [u8],
    /// Triples and names of netgroups, separated by single spaces.
    pub entries: &'a [u8],
}

impl<'a> Netgroup<'a> {
    /// The entry of a line, without its LF.
    pub fn parse(line: &'a [u8]) -> Result<Self, Malformed> {
        let (name, entries) = at_space(line).unwrap_or((line, &[]));
        let entry = Netgroup { name, entries };
        entry.check().map(|()| entry)
    }

    fn check(&self) -> Result<(), Malformed> {
        check_words(self.name, &[self.name, self.entries])
    }

    /// Gives its line, without LF, in pieces to `put`, if it has one.
    pub fn write(&self, mut put: impl FnMut(&[u8])) -> Result<(), Malformed> {
        self.check()?;
        put(self.name);
        if !self.entries.is_empty() {
            put(b" ");
            put(self.entries);
        }
        Ok(())
    }
}

/// An entry of an automount map: `KEY OPTIONS LOCATION`, or `KEY LOCATION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Automount<'a> {
    /// What is mounted below the mount point, or the mount point itself.
    pub key: &'a [u8],
    /// Mount options, or empty.
    pub options: &'a [u8],
    /// From where.
    pub location: &'a [u8],
}

impl<'a> Automount<'a> {
    /// The entry of a line, without its LF. What follows the second space is the location, spaces
    /// included.
    pub fn parse(line: &'a [u8]) -> Result<Self, Malformed> {
        let (key, rest) = at_space(line).ok_or(why::NO_LOCATION)?;
        let (options, location) = at_space(rest).unwrap_or((&[], rest));
        let entry = Automount { key, options, location };
        entry.check().map(|()| entry)
    }

    fn check(&self) -> Result<(), Malformed> {
        check_words(self.key, &[self.key, self.options, self.location])?;
        if self.location.is_empty() || self.options.contains(&b' ') {
            return Err(why::NO_LOCATION);
        }
        if self.options.is_empty() && self.location.contains(&b' ') {
            return Err(why::SEPARATOR);
        }
        Ok(())
    }

    /// Gives its line, without LF, in pieces to `put`, if it has one.
    pub fn write(&self, mut put: impl FnMut(&[u8])) -> Result<(), Malformed> {
        self.check()?;
        put(self.key);
        for text in [self.options, self.location].into_iter().filter(|text| !text.is_empty()) {
            put(b" ");
            put(text);
        }
        Ok(())
    }
}

/// What stands before the first space, and what behind it.
fn at_space(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b' ')?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn check_words(name: &[u8], texts: &[&[u8]]) -> Result<(), Malformed> {
    if name.is_empty() {
        return Err(why::NO_NAME);
    }
    if name.first() == Some(&b'#') {
        return Err(why::COMMENT);
    }
    if name.contains(&b' ') {
        return Err(why::SEPARATOR);
    }
    if texts.iter().any(|text| breaks(text)) { Err(why::LINE_BREAK) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Gid, Group, Members, Passwd, Uid};
    use std::vec::Vec;

    #[test]
    fn automount_lines_are_read_and_written() {
        for (line, want) in [
            (&b"ada srv:/home/ada"[..], Some((&b"ada"[..], &b""[..], &b"srv:/home/ada"[..]))),
            (b"* -rw srv:/home/&", Some((b"*", b"-rw", b"srv:/home/&"))),
            (b"/home /etc/auto.home", Some((b"/home", b"", b"/etc/auto.home"))),
            (b"a -o x y", Some((b"a", b"-o", b"x y"))),
            (b"a", None),
            (b"a ", None),
            (b"a -o ", None),
            (b"a  x", Some((b"a", b"", b"x"))),
            (b" a x", None),
            (b"#a x", None),
            (b"a x\r", None),
            (b"a x\0y", None),
        ] {
            let entry = Automount::parse(line).ok();
            assert_eq!(entry.map(|e| (e.key, e.options, e.location)), want, "{line:?}");
            if let Some(entry) = entry {
                let mut text = Vec::new();
                entry.write(|piece| text.extend_from_slice(piece)).unwrap();
                assert_eq!(Automount::parse(&text), Ok(entry));
            }
        }
        let smuggled = Automount { key: b"a", options: b"", location: b"x\nroot y" };
        assert_eq!(smuggled.write(|_| {}), Err(why::LINE_BREAK));
        let ambiguous = Automount { key: b"a", options: b"", location: b"x y" };
        assert_eq!(ambiguous.write(|_| {}), Err(why::SEPARATOR));
    }

    #[test]
    fn netgroup_lines_are_read_and_written() {
        for (line, name, entries) in [
            (&b"all"[..], &b"all"[..], &b""[..]),
            (b"all (a,,) more", b"all", b"(a,,) more"),
            (b"all ", b"all", b""),
        ] {
            let entry = Netgroup::parse(line).unwrap();
            assert_eq!((entry.name, entry.entries), (name, entries));
            let mut text = Vec::new();
            entry.write(|piece| text.extend_from_slice(piece)).unwrap();
            assert_eq!(Netgroup::parse(&text), Ok(entry));
        }
        assert!(Netgroup::parse(b"").is_err() && Netgroup::parse(b" x").is_err());
        assert!(Netgroup { name: b"a b", entries: b"" }.write(|_| {}).is_err());
    }

    #[test]
    fn no_field_smuggles_anything() {
        let user = |name, home| {
            let (uid, gid) = (Uid(1), Gid(2));
            Record::Passwd(Passwd { name, password: b"x", uid, gid, gecos: b"", home, shell: b"" })
        };
        assert_eq!(check(&user(b"ada", b"/home/ada")), Ok(()));
        for (name, home, want) in [
            (&b""[..], &b"/"[..], why::NO_NAME),
            (b"+ada", b"/", why::FOR_NIS),
            (b"-", b"/", why::FOR_NIS),
            (b"#ada", b"/", why::COMMENT),
            (b" ada", b"/", why::COMMENT),
            (b"ada", b"/\nroot2:x:0:0:::", why::LINE_BREAK),
            (b"ada", b"/\r", why::LINE_BREAK),
            (b"ada", b"/\0", why::LINE_BREAK),
            (b"ada", b"/:/bin/sh", why::SEPARATOR),
            (b"a:a", b"/", why::SEPARATOR),
        ] {
            assert_eq!(check(&user(name, home)), Err(want), "{name:?} {home:?}");
        }
        let group = |members: &'static [u8], count| {
            let members = Members::from_strings(members, count);
            Record::Group(Group { name: b"g", password: b"*", gid: Gid(7), members })
        };
        assert_eq!(check(&group(b"a\0b\0", 2)), Ok(()));
        for (members, count) in [(&b"a,b\0"[..], 1), (b"\0", 1), (b" a\0", 1), (b"a:b\0", 1)] {
            assert_eq!(check(&group(members, count)), Err(why::SEPARATOR), "{members:?}");
        }
        assert_eq!(check(&group(b"a\n\0", 1)), Err(why::LINE_BREAK));
    }
}
