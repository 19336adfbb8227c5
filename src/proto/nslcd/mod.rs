//! The nslcd protocol, version 2: what nss-pam-ldapd's modules ask their daemon, one request a
//! connection. All integers are 32 bits, big-endian, without padding; a string is a length and
//! that many bytes without NUL.
//!
//! | | |
//! |---|---|
//! | request | the version, an action, its argument if it has one |
//! | reply | the version, the same action, then as often as there is an entry the number 1 and the entry, then the number 2 |
//! | passwd | name, password, uid, gid, gecos, home, shell |
//! | group | name, password, gid, number of members, so many names |
//! | shadow | name, password, last change, min, max, warn, inactive, expire, flag |
//!
//! A daemon that failed closes without the 2. Entries larger than a buffer are read with
//! [`pieces`]. Source: nss-pam-ldapd's nslcd.h, and what nslcd 0.9.12 was seen to send.

pub mod pieces;

use crate::bytes::{Cursor, Sink};
use crate::entry::{Db, Gid, Group, Members, Name, Passwd, Record, Shadow, Uid};
use crate::nsss::MEMBERS_MAX;
use crate::{Fault, Took};

const VERSION: u32 = 2;

const BY_NAME: u32 = 1;
const BY_ID: u32 = 2;
const BY_MEMBER: u32 = 6;
const ALL: u32 = 8;

/// Why an answer is none.
pub(crate) mod why {
    pub const VERSION: &str = "another version";
    pub const ACTION: &str = "another action";
    pub const MARK: &str = "neither an entry nor the end";
    pub const LENGTH: &str = "length below zero";
    pub const NUL: &str = "NUL in a string";
    pub const MEMBERS: &str = "too many members";
    pub const LONG: &str = "record too long";
}

/// What the actions of a database start from.
fn base(db: Db) -> u32 {
    match db {
        Db::Group => 0x0004_0000,
        Db::Passwd => 0x0008_0000,
        Db::Shadow => 0x000c_0000,
    }
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Look up by name.
    ByName(Db, Name<'a>),
    /// Look up a user by number.
    ByUid(Uid),
    /// Look up a group by number.
    ByGid(Gid),
    /// The groups that list a user; they come without their members.
    GroupsOf(Name<'a>),
    /// All entries.
    All(Db),
}

impl<'a> Request<'a> {
    /// The largest encoding: one with the longest name.
    pub const MAX: usize = 12 + Name::MAX;

    /// The number that the reply must repeat.
    pub fn action(&self) -> u32 {
        match self {
            Request::ByName(db, _) => base(*db) + BY_NAME,
            Request::ByUid(_) => base(Db::Passwd) + BY_ID,
            Request::ByGid(_) => base(Db::Group) + BY_ID,
            Request::GroupsOf(_) => base(Db::Group) + BY_MEMBER,
            Request::All(db) => base(*db) + ALL,
        }
    }

    /// Whose entries the reply has.
    pub fn db(&self) -> Db {
        match self {
            Request::ByName(db, _) | Request::All(db) => *db,
            Request::ByUid(_) => Db::Passwd,
            Request::ByGid(_) | Request::GroupsOf(_) => Db::Group,
        }
    }

    /// Reads one request from the front of `input`.
    pub fn decode(input: &'a [u8]) -> Result<Took<Self>, Fault> {
        let mut c = Cursor::new(input);
        if c.u32_be()? != VERSION {
            return Err(Fault::Bad(why::VERSION));
        }
        let action = c.u32_be()?;
        let unknown = Fault::Bad("unknown action");
        let db = Db::ALL.into_iter().find(|db| action & 0xffff_0000 == base(*db)).ok_or(unknown)?;
        let value = match (action & 0xffff, db) {
            (BY_NAME, _) => Request::ByName(db, name(&mut c)?),
            (BY_ID, Db::Passwd) => Request::ByUid(Uid(c.u32_be()?)),
            (BY_ID, Db::Group) => Request::ByGid(Gid(c.u32_be()?)),
            (BY_MEMBER, Db::Group) => Request::GroupsOf(name(&mut c)?),
            (ALL, _) => Request::All(db),
            _ => return Err(unknown),
        };
        Ok(Took { value, len: c.taken() })
    }

    /// Writes the request to the front of `out`; the number of bytes written.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, Fault> {
        let size = match self {
            Request::ByName(_, name) | Request::GroupsOf(name) => 12 + name.bytes().len(),
            Request::ByUid(_) | Request::ByGid(_) => 12,
            Request::All(_) => 8,
        };
        let mut s = Sink::new(out, size)?;
        s.put_u32(VERSION);
        s.put_u32(self.action());
        match self {
            Request::ByName(_, name) | Request::GroupsOf(name) => put_text(&mut s, name.bytes()),
            Request::ByUid(uid) => s.put_u32(uid.0),
            Request::ByGid(gid) => s.put_u32(gid.0),
            Request::All(_) => {}
        }
        Ok(s.written())
    }
}

/// What a reply begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// As in the request.
    pub action: u32,
}

impl Start {
    /// Bytes of the encoding.
    pub const SIZE: usize = 8;

    /// Writes it to the front of `out`.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, Fault> {
        let mut s = Sink::new(out, Self::SIZE)?;
        s.put_u32(VERSION);
        s.put_u32(self.action);
        Ok(s.written())
    }

    /// Reads it; [`Fault::Bad`] if it is the start of another reply than that to `action`.
    pub fn decode(action: u32, input: &[u8]) -> Result<Took<Self>, Fault> {
        let mut c = Cursor::new(input);
        if c.u32_be()? != VERSION {
            return Err(Fault::Bad(why::VERSION));
        }
        if c.u32_be()? != action {
            return Err(Fault::Bad(why::ACTION));
        }
        Ok(Took { value: Start { action }, len: c.taken() })
    }
}

/// What comes next in a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// An entry follows.
    Entry,
    /// That was all.
    End,
}

impl Mark {
    /// Bytes of the encoding.
    pub const SIZE: usize = 4;

    /// Writes it to the front of `out`.
    pub fn encode(self, out: &mut [u8]) -> Result<usize, Fault> {
        let mut s = Sink::new(out, Self::SIZE)?;
        s.put_u32(match self {
            Mark::Entry => 1,
            Mark::End => 2,
        });
        Ok(s.written())
    }

    /// Reads it from the front of `input`.
    pub fn decode(input: &[u8]) -> Result<Took<Self>, Fault> {
        let mut c = Cursor::new(input);
        let value = match c.u32_be()? {
            1 => Mark::Entry,
            2 => Mark::End,
            _ => return Err(Fault::Bad(why::MARK)),
        };
        Ok(Took { value, len: c.taken() })
    }
}

fn put_text(s: &mut Sink<'_>, text: &[u8]) {
    s.put_u32(text.len() as u32);
    s.put(text);
}

/// A length as it may stand in front of a string: nslcd's are signed.
fn length(word: u32) -> Result<u32, &'static str> {
    if word > i32::MAX as u32 { Err(why::LENGTH) } else { Ok(word) }
}

fn text<'a>(c: &mut Cursor<'a>) -> Result<&'a [u8], Fault> {
    let len = length(c.u32_be()?).map_err(Fault::Bad)?;
    let text = c.take(len as usize)?;
    if text.contains(&0) { Err(Fault::Bad(why::NUL)) } else { Ok(text) }
}

fn name<'a>(c: &mut Cursor<'a>) -> Result<Name<'a>, Fault> {
    let mut ahead = *c;
    if ahead.u32_be()? as usize > Name::MAX {
        return Err(Fault::Bad("name too long"));
    }
    Name::new(text(c)?).ok_or(Fault::Bad(why::NUL))
}

/// A number of a shadow entry, of which 32 bits are sent: days are signed, so that -1 stands for
/// an empty field; the flag, the last of the seven, is not, and is empty where all bits are set.
fn widen(at: usize, word: u32) -> u64 {
    match (at, word) {
        (6, u32::MAX) => Shadow::EMPTY,
        (6, word) => u64::from(word),
        (_, word) => i64::from(word as i32) as u64,
    }
}

/// [`widen`] the other way; `None`: it does not fit.
fn narrow(at: usize, number: u64) -> Option<u32> {
    let word = number as u32;
    (widen(at, word) == number).then_some(word)
}

/// Reads a whole entry of `db` from the front of `input`.
pub fn decode(db: Db, input: &[u8]) -> Result<Took<Record<'_>>, Fault> {
    let mut c = Cursor::new(input);
    let (name, password) = (text(&mut c)?, text(&mut c)?);
    let value = match db {
        Db::Passwd => {
            let (uid, gid) = (Uid(c.u32_be()?), Gid(c.u32_be()?));
            let (gecos, home, shell) = (text(&mut c)?, text(&mut c)?, text(&mut c)?);
            Record::Passwd(Passwd { name, password, uid, gid, gecos, home, shell })
        }
        Db::Group => {
            let (gid, count) = (Gid(c.u32_be()?), c.u32_be()?);
            if count > MEMBERS_MAX {
                return Err(Fault::Bad(why::MEMBERS));
            }
            let start = c.taken();
            for _ in 0..count {
                text(&mut c)?;
            }
            let members = input.get(start..c.taken()).unwrap_or_default();
            let members = Members::from_counted(members, count);
            Record::Group(Group { name, password, gid, members })
        }
        Db::Shadow => {
            let mut numbers = [0; 7];
            for (at, number) in numbers.iter_mut().enumerate() {
                *number = widen(at, c.u32_be()?);
            }
            Record::Shadow(Shadow { name, password, numbers })
        }
    };
    Ok(Took { value, len: c.taken() })
}

/// Writes a whole entry, without the mark in front of it. [`Fault::Bad`] if it has a number that
/// nslcd cannot carry.
pub fn encode(record: &Record<'_>, out: &mut [u8]) -> Result<usize, Fault> {
    let texts: &[&[u8]] = match record {
        Record::Passwd(r) => &[r.name, r.password, r.gecos, r.home, r.shell],
        Record::Group(r) => &[r.name, r.password],
        Record::Shadow(r) => &[r.name, r.password],
    };
    let texts: usize = texts.iter().map(|text| 4 + text.len()).sum();
    let size = texts
        + match record {
            Record::Passwd(_) => 8,
            Record::Group(r) => 8 + r.members.area_len() + 3 * r.members.remaining() as usize,
            Record::Shadow(_) => 28,
        };
    let mut words = [0; 7];
    if let Record::Shadow(r) = record {
        for (at, (word, number)) in words.iter_mut().zip(r.numbers).enumerate() {
            *word = narrow(at, number).ok_or(Fault::Bad("number too large"))?;
        }
    }
    let mut s = Sink::new(out, size)?;
    match record {
        Record::Passwd(r) => {
            put_text(&mut s, r.name);
            put_text(&mut s, r.password);
            s.put_u32(r.uid.0);
            s.put_u32(r.gid.0);
            [r.gecos, r.home, r.shell].iter().for_each(|text| put_text(&mut s, text));
        }
        Record::Group(r) => {
            put_text(&mut s, r.name);
            put_text(&mut s, r.password);
            s.put_u32(r.gid.0);
            s.put_u32(r.members.remaining());
            r.members.for_each(|text| put_text(&mut s, text));
        }
        Record::Shadow(r) => {
            put_text(&mut s, r.name);
            put_text(&mut s, r.password);
            words.iter().for_each(|word| s.put_u32(*word));
        }
    }
    Ok(s.written())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line;

    fn name(text: &str) -> Name<'_> {
        Name::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn requests_are_read_as_they_are_written() {
        let cases: [(Request<'_>, &[u8]); 9] = [
            (Request::ByName(Db::Passwd, name("ab")), b"\0\0\0\x02\0\x08\0\x01\0\0\0\x02ab"),
            (Request::ByUid(Uid(3000)), b"\0\0\0\x02\0\x08\0\x02\0\0\x0b\xb8"),
            (Request::All(Db::Passwd), b"\0\0\0\x02\0\x08\0\x08"),
            (Request::ByName(Db::Group, name("")), b"\0\0\0\x02\0\x04\0\x01\0\0\0\0"),
            (Request::ByGid(Gid(u32::MAX)), b"\0\0\0\x02\0\x04\0\x02\xff\xff\xff\xff"),
            (Request::GroupsOf(name("x")), b"\0\0\0\x02\0\x04\0\x06\0\0\0\x01x"),
            (Request::All(Db::Group), b"\0\0\0\x02\0\x04\0\x08"),
            (Request::ByName(Db::Shadow, name("s")), b"\0\0\0\x02\0\x0c\0\x01\0\0\0\x01s"),
            (Request::All(Db::Shadow), b"\0\0\0\x02\0\x0c\0\x08"),
        ];
        for (request, bytes) in cases {
            let mut out = [0xa5; Request::MAX];
            let len = request.encode(&mut out).unwrap();
            assert_eq!(&out[..len], bytes, "{request:?}");
            assert!(out[len..].iter().all(|b| *b == 0xa5));
            assert_eq!(Request::decode(bytes), Ok(Took { value: request, len }));
            for cut in 0..len {
                assert!(matches!(Request::decode(&bytes[..cut]), Err(Fault::More(_))), "{cut}");
                assert_eq!(request.encode(&mut [0; 300][..cut]), Err(Fault::Room(len)));
            }
        }
        let longest = [b'n'; Name::MAX];
        let request = Request::GroupsOf(Name::new(&longest).unwrap());
        assert_eq!(request.encode(&mut [0; Request::MAX]), Ok(Request::MAX));
    }

    #[test]
    fn requests_of_another_version_or_kind_are_refused() {
        let cases: [&[u8]; 6] = [
            b"\0\0\0\x01\0\x08\0\x08",
            b"\0\0\0\x02\0\x10\0\x08",
            b"\0\0\0\x02\0\x0c\0\x02\0\0\0\0",
            b"\0\0\0\x02\0\x08\0\x06\0\0\0\0",
            b"\0\0\0\x02\0\x08\0\x01\0\0\0\xff",
            b"\0\0\0\x02\0\x08\0\x01\0\0\0\x02a\0",
        ];
        for bytes in cases {
            assert!(matches!(Request::decode(bytes), Err(Fault::Bad(_))), "{bytes:?}");
        }
    }

    #[test]
    fn a_reply_to_another_request_is_refused() {
        let start = Start { action: 0x0008_0001 };
        let mut out = [0xa5; 12];
        assert_eq!(start.encode(&mut out), Ok(8));
        assert_eq!(Start::decode(0x0008_0001, &out), Ok(Took { value: start, len: 8 }));
        assert!(matches!(Start::decode(0x0008_0002, &out), Err(Fault::Bad(why::ACTION))));
        out[3] = 1;
        assert!(matches!(Start::decode(0x0008_0001, &out), Err(Fault::Bad(why::VERSION))));
        for mark in [Mark::Entry, Mark::End] {
            mark.encode(&mut out).unwrap();
            assert_eq!(Mark::decode(&out), Ok(Took { value: mark, len: 4 }));
        }
        for word in [0, 3, u32::MAX] {
            assert!(matches!(Mark::decode(&word.to_be_bytes()), Err(Fault::Bad(_))));
        }
    }

    fn both_ways(db: Db, text: &[u8], bytes: &[u8]) {
        let record = line::parse(db, text).unwrap();
        let mut out = [0xa5; 128];
        let len = encode(&record, &mut out).unwrap();
        assert_eq!(&out[..len], bytes);
        assert!(out[len..].iter().all(|b| *b == 0xa5));
        assert_eq!(decode(db, bytes), Ok(Took { value: record, len }));
        for cut in 0..len {
            out.fill(0xa5);
            assert_eq!(encode(&record, &mut out[..cut]), Err(Fault::Room(len)));
            assert!(out.iter().all(|b| *b == 0xa5), "a part of the entry was written");
            assert!(matches!(decode(db, &bytes[..cut]), Err(Fault::More(_))));
        }
    }

    #[test]
    fn entries_are_read_as_they_are_written() {
        both_ways(
            Db::Passwd,
            b"u:*:3000:3001:U:/h:/s",
            b"\0\0\0\x01u\0\0\0\x01*\0\0\x0b\xb8\0\0\x0b\xb9\0\0\0\x01U\0\0\0\x02/h\0\0\0\x02/s",
        );
        both_ways(
            Db::Group,
            b"g::5:ab,,c",
            b"\0\0\0\x01g\0\0\0\0\0\0\0\x05\0\0\0\x03\0\0\0\x02ab\0\0\0\0\0\0\0\x01c",
        );
        both_ways(Db::Group, b"g::5:", b"\0\0\0\x01g\0\0\0\0\0\0\0\x05\0\0\0\0");
        let mut shadow = [0xff; 9 + 28];
        shadow[..9].copy_from_slice(b"\0\0\0\x01s\0\0\0\0");
        shadow[9..13].copy_from_slice(&[0, 0, 0, 7]);
        both_ways(Db::Shadow, b"s::7::::::", &shadow);
        shadow[33..].copy_from_slice(&[0xff, 0xff, 0xff, 0xfe]);
        both_ways(Db::Shadow, b"s::7::::::4294967294", &shadow);
    }

    #[test]
    fn what_32_bits_cannot_carry_is_not_sent() {
        for text in [&b"s::2147483648::::::"[..], b"s::::::::4294967295", b"s::::::::4294967296"] {
            let record = line::parse(Db::Shadow, text).unwrap();
            assert!(matches!(encode(&record, &mut [0; 128]), Err(Fault::Bad(_))), "{text:?}");
        }
    }

    #[test]
    fn bad_lengths_counts_and_strings_are_refused() {
        let cases: [(Db, &[u8]); 4] = [
            (Db::Passwd, b"\xff\xff\xff\xff"),
            (Db::Passwd, b"\x80\0\0\0"),
            (Db::Passwd, b"\0\0\0\x02a\0\0\0\0\0"),
            (Db::Group, b"\0\0\0\x01g\0\0\0\0\0\0\0\x05\xff\xff\xff\xff"),
        ];
        for (db, bytes) in cases {
            assert!(matches!(decode(db, bytes), Err(Fault::Bad(_))), "{bytes:?}");
        }
    }
}
