//! Colon-separated lines: passwd(5), group(5), shadow(5), by the rules of
//! doc/protocols/nsss.md, section 6, or by those of glibc ([`Rules`]).
//!
//! A line comes without its LF. By nsss's rules nothing is trimmed, nothing is a comment, and a NUL
//! ends the line for the parser; for glibc's see [`glibc`]. For lines that are not at hand in one
//! piece see [`stream`].
//!
//! ```
//! use nssproto::entry::{Db, Record};
//! use nssproto::line;
//!
//! let text = b"ada:x:1001:1000:Ada:/home/ada:/bin/sh";
//! let record = line::parse(Db::Passwd, text)?;
//! assert!(matches!(record, Record::Passwd(user) if user.home == b"/home/ada"));
//!
//! let mut copy = [0; 64];
//! let len = line::encode(&record, &mut copy).unwrap();
//! assert_eq!(copy[..len], text[..]);
//! # Ok::<(), nssproto::Malformed>(())
//! ```

pub mod copy;
pub mod glibc;
pub mod stream;
mod write;

pub use write::{LineWriter, encode, write};

use crate::Malformed;
use crate::bytes::decimal_u64;
use crate::entry::{Db, Gid, Group, Members, Passwd, Record, Shadow, Uid};
use core::ffi::CStr;

/// What is wrong with a line, for people.
pub mod why {
    use crate::Malformed;
    use crate::entry::Db;

    /// Empty or a comment, where there are such.
    pub const COMMENT: Malformed = Malformed("no entry");
    /// Fewer colons than the database needs.
    pub const FIELDS: Malformed = Malformed("too few fields");
    /// Not decimal digits below 2^32.
    pub const UID: Malformed = Malformed("bad uid");
    /// Not decimal digits below 2^32.
    pub const GID: Malformed = Malformed("bad gid");
    /// Not empty and not decimal digits below 2^64.
    pub const NUMBER: Malformed = Malformed("bad number");
    /// No name, or one with `+` or `-` in front, where that is no entry.
    pub const NAME: Malformed = Malformed("no name to be found by");

    /// What is wrong with the number in `field`, counted from 0.
    pub(super) fn number(db: Db, field: u8) -> Malformed {
        match (db, field) {
            (Db::Passwd, 2) => UID,
            (Db::Passwd, _) | (Db::Group, _) => GID,
            (Db::Shadow, _) => NUMBER,
        }
    }
}

/// By whose rules a line is read; doc/lines.md has them side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// A word, as [`Db`] is.
#[repr(u32)]
pub enum Rules {
    /// nsss's, for all questions.
    Nsss,
    /// glibc's, for keys and lists.
    Glibc,
    /// glibc's, for the groups of a user.
    GlibcMembers,
    /// Those of libnss-cache for all questions: glibc's for keys and lists, but that a name which is
    /// empty or has `+` or `-` in front is no entry's.
    Cache,
}

impl Rules {
    /// Those for the groups of a user.
    pub fn for_members(self) -> Self {
        if self == Rules::Glibc { Rules::GlibcMembers } else { self }
    }

    /// Whether blanks in front of a line are dropped, and comments skipped.
    pub(super) fn trim_lines(self) -> bool {
        matches!(self, Rules::Glibc | Rules::Cache)
    }
}

/// A line of `db` by nsss's rules; the error says why it has to be skipped.
///
/// - passwd: seven fields; everything after the sixth colon is the shell.
/// - group: four fields; everything after the third colon is the member list.
/// - shadow: nine fields. The flag ends at a ninth colon, if there is one, and what follows is
///   ignored.
pub fn parse(db: Db, line: &[u8]) -> Result<Record<'_>, Malformed> {
    parse_by(Rules::Nsss, db, line)
}

/// A line of `db` by these rules; see [`parse`] and [`glibc::parse`].
pub fn parse_by(rules: Rules, db: Db, line: &[u8]) -> Result<Record<'_>, Malformed> {
    let mut fields = Fields::new(rules);
    fields.read(db, line)?;
    Ok(fields.record(db))
}

/// A line of passwd; see [`parse`].
pub fn parse_passwd(line: &[u8]) -> Result<Passwd<'_>, Malformed> {
    match parse(Db::Passwd, line)? {
        Record::Passwd(record) => Ok(record),
        _ => Err(why::FIELDS),
    }
}

/// A line of group; see [`parse`].
pub fn parse_group(line: &[u8]) -> Result<Group<'_>, Malformed> {
    match parse(Db::Group, line)? {
        Record::Group(record) => Ok(record),
        _ => Err(why::FIELDS),
    }
}

/// A line of shadow; see [`parse`].
pub fn parse_shadow(line: &[u8]) -> Result<Shadow<'_>, Malformed> {
    match parse(Db::Shadow, line)? {
        Record::Shadow(record) => Ok(record),
        _ => Err(why::FIELDS),
    }
}

/// A line that was parsed, of less than 4 GiB, without its bytes: the numbers, and where the texts are. It gives the
/// record again without a second parse, which a search needs that lends its result later.
///
/// ```
/// use nssproto::entry::Db;
/// use nssproto::line::{Parsed, Rules, parse};
///
/// let text = b"staff:x:50:ada,bob";
/// let parsed = Parsed::new(Rules::Nsss, Db::Group, text)?;
/// assert_eq!(parsed.record(text), parse(Db::Group, text).ok());
/// # Ok::<(), nssproto::Malformed>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    rules: Rules,
    db: Db,
    /// Where the first field starts.
    start: u32,
    /// Bytes of each field.
    lens: [u32; 9],
    numbers: [u64; 7],
    members: u32,
}

impl Parsed {
    /// Parses a line of `db`; see [`parse`] and [`glibc::parse`].
    pub fn new(rules: Rules, db: Db, line: &[u8]) -> Result<Self, Malformed> {
        let mut read = Fields::new(rules);
        read.read(db, line)?;
        let Fields { fields, numbers, members, .. } = &read;
        let start = if rules.trim_lines() { glibc::blanks(line) as u32 } else { 0 };
        let mut lens = [0; 9];
        for (len, field) in lens.iter_mut().zip(fields) {
            *len = field.len() as u32;
        }
        Ok(Parsed { rules, db, start, lens, numbers: *numbers, members: *members })
    }

    /// By whose rules it was parsed.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// The name in the same line.
    pub fn name<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        let [len, ..] = self.lens;
        line.get(self.start as usize..)?.get(..len as usize)
    }

    /// Its user or group number; shadow has none.
    pub fn id(&self) -> Option<u32> {
        let [id, ..] = self.numbers;
        (self.db != Db::Shadow).then_some(id as u32)
    }

    /// The record of the same line; `None`: this line is too short to be the same.
    pub fn record<'a>(&self, line: &'a [u8]) -> Option<Record<'a>> {
        let (mut fields, mut at) = ([&[][..]; 9], self.start as usize);
        for (field, len) in fields.iter_mut().zip(self.lens).take(count(self.db)) {
            let len = len as usize;
            // An empty one may be missing.
            if len > 0 {
                *field = line.get(at..)?.get(..len)?;
            }
            at += len + 1;
        }
        let Parsed { rules, db, numbers, members, .. } = *self;
        Some(Fields { rules, fields, numbers, members }.record(db))
    }
}

/// How many fields a line has.
fn count(db: Db) -> usize {
    match db {
        Db::Passwd => 7,
        Db::Group => 4,
        Db::Shadow => 9,
    }
}

/// What a line is made of.
struct Fields<'a> {
    rules: Rules,
    fields: [&'a [u8]; 9],
    /// Those fields that are numbers, in their order.
    numbers: [u64; 7],
    /// How many members the last field of a group has.
    members: u32,
}

impl<'a> Fields<'a> {
    /// Of a line that has yet to be read: a result with all of it would be copied.
    fn new(rules: Rules) -> Self {
        Fields { rules, fields: [&[]; 9], numbers: [Shadow::EMPTY; 7], members: 0 }
    }

    /// Splits a line and reads its numbers.
    fn read(&mut self, db: Db, line: &'a [u8]) -> Result<(), Malformed> {
        let (nsss, shadow, count) = (self.rules == Rules::Nsss, db == Db::Shadow, count(db));
        let mut line = CStr::from_bytes_until_nul(line).map_or(line, CStr::to_bytes);
        if self.rules.trim_lines() {
            line = glibc::trim(line);
            if let None | Some(b'#') = line.first() {
                return Err(why::COMMENT);
            }
        }
        let (mut rest, mut have) = (Some(line), 0);
        for field in self.fields.iter_mut().take(count) {
            let Some(mut text) = rest else { break };
            if shadow && !nsss && have == 5 {
                text = glibc::trim(text);
            }
            // For glibc, none begins at the end of the line.
            if text.is_empty() && !nsss {
                break;
            }
            have += 1;
            // The last one takes all colons that are left, but for nsss the flag of shadow.
            let whole = have == count && !(nsss && shadow);
            let colon = if whole { None } else { text.iter().position(|b| *b == b':') };
            *field = text.get(..colon.unwrap_or(text.len())).unwrap_or_default();
            rest = colon.and_then(|colon| text.get(colon + 1..));
        }
        if nsss && have < count {
            return Err(why::FIELDS);
        }
        let has_key = nsss || glibc::has_key(self.fields[0]);
        if self.rules == Rules::Cache && (!has_key || self.fields[0].is_empty()) {
            return Err(why::NAME);
        }
        // A line for NIS may be nothing but a name.
        let alone = !has_key && have < 2;
        let read = match db {
            Db::Passwd => 2,
            Db::Group => 1,
            Db::Shadow if alone => 3,
            Db::Shadow => 7,
        };
        for (at, (number, text)) in
            self.numbers.iter_mut().zip(&self.fields[2..]).enumerate().take(read)
        {
            let missing = at + 2 >= have;
            if alone || text.is_empty() && !missing && !shadow && !has_key {
                *number = 0;
            } else if missing && shadow && matches!(at, 3 | 6) {
                // Of glibc's the last four may be missing together, the flag alone, too.
                break;
            } else if missing || !text.is_empty() || !shadow {
                let value = match nsss {
                    true => decimal_u64(text).filter(|n| shadow || *n <= u32::MAX.into()),
                    false if shadow && at < 6 => glibc::number(text).map(glibc::days_of),
                    false => glibc::number(text).map(u64::from),
                };
                *number = value.ok_or_else(|| why::number(db, at as u8 + 2))?;
            }
        }
        if db == Db::Group {
            self.members = match nsss {
                true => Members::from_field(self.fields[3]),
                false => Members::from_trimmed_field(self.fields[3]),
            }
            .remaining();
        }
        Ok(())
    }

    // Inlined, it would be at two places.
    #[inline(never)]
    fn record(&self, db: Db) -> Record<'a> {
        let [name, password, _, fourth, gecos, home, shell, ..] = self.fields;
        let numbers = self.numbers;
        // Those of passwd and group are below 2^32.
        let [first, second, ..] = numbers;
        let (first, second) = (first as u32, second as u32);
        match db {
            Db::Passwd => {
                let (uid, gid) = (Uid(first), Gid(second));
                Record::Passwd(Passwd { name, password, uid, gid, gecos, home, shell })
            }
            Db::Group => {
                let members = match self.rules {
                    Rules::Nsss => Members::from_counted_field(fourth, self.members),
                    _ => Members::from_counted_trimmed(fourth, self.members),
                };
                Record::Group(Group { name, password, gid: Gid(first), members })
            }
            Db::Shadow => Record::Shadow(Shadow { name, password, numbers }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colons_after_the_sixth_belong_to_the_shell() {
        let r = parse_passwd(b"extra:x:1011:1012:colons:/x:/bin/sh:more:fields").unwrap();
        assert_eq!(r.shell, b"/bin/sh:more:fields");
        assert_eq!((r.uid, r.gid), (Uid(1011), Gid(1012)));
    }

    #[test]
    fn bad_lines_say_why() {
        for (line, want) in [
            (&b""[..], why::FIELDS),
            (b"short:x:1:1:only:six", why::FIELDS),
            (b"a:x:1:1:g:h\0:sh", why::FIELDS),
            (b"a:x:-1:1:::", why::UID),
            (b"a:x::1:::", why::UID),
            (b"a:x:1:4294967296:::", why::GID),
        ] {
            assert_eq!(parse_passwd(line), Err(want), "{line:?}");
        }
        assert_eq!(parse_group(b"onlycomma:x"), Err(why::FIELDS));
        assert_eq!(parse_group(b"none:x::alice"), Err(why::GID));
        assert_eq!(parse_shadow(b"t:*:1:2:3"), Err(why::FIELDS));
        assert_eq!(parse_shadow(b"neg:*:-1:0:0:0:0:0:0"), Err(why::NUMBER));
    }

    #[test]
    fn a_nul_cuts_the_last_field() {
        assert_eq!(parse_passwd(b"a:x:1:1:g:h:s\0h").unwrap().shell, b"s");
        assert_eq!(parse_group(b"g:x:1:a,b\0,c").unwrap().members.remaining(), 2);
    }

    #[test]
    fn shadow_takes_eight_and_nine_colons() {
        let e = Shadow::EMPTY;
        for line in [&b"a:*:1:2:3:::4:5"[..], b"a:*:1:2:3:::4:5:", b"a:*:1:2:3:::4:5:any:thing"] {
            assert_eq!(parse_shadow(line).unwrap().numbers, [1, 2, 3, e, e, 4, 5], "{line:?}");
        }
    }

    #[test]
    fn a_parsed_line_gives_its_record_again() {
        for (db, text) in [
            (Db::Passwd, &b"a:x:001:02:g,e:/home:/bin/sh:x"[..]),
            (Db::Passwd, b"::1:2:::"),
            (Db::Passwd, b"a:x:1:1:g:h:s\0h"),
            (Db::Group, b"g::5:"),
            (Db::Group, b"g:pw:0005:,a,\0b"),
            (Db::Shadow, b"s:!:1:::::7:"),
            (Db::Shadow, b"a:*:1:2:3:::4:5:any:thing"),
        ] {
            let (parsed, whole) =
                (Parsed::new(Rules::Nsss, db, text).unwrap(), parse(db, text).unwrap());
            assert_eq!(parsed.record(text), Some(whole), "{text:?}");
            assert_eq!((parsed.name(text), parsed.id()), (Some(whole.name()), whole.id()));
            assert_eq!(parsed.record(b"a"), None);
        }
        assert_eq!(Parsed::new(Rules::Nsss, Db::Group, b"g:x"), Err(why::FIELDS));
    }
}
