//! Requests: the version, an action, its argument.

use super::{VERSION, put_text, text, why};
use crate::bytes::{Reader, Writer};
use crate::entry::{Db, Gid, Name, Uid};
use crate::{DecodeError, Decoded, EncodeError};

const BY_NAME: u32 = 1;
const BY_ID: u32 = 2;
const BY_MEMBER: u32 = 6;
const ALL: u32 = 8;

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
    GroupsByMember(Name<'a>),
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
            Request::GroupsByMember(_) => base(Db::Group) + BY_MEMBER,
            Request::All(db) => base(*db) + ALL,
        }
    }

    /// Whose entries the reply has.
    pub fn db(&self) -> Db {
        match self {
            Request::ByName(db, _) | Request::All(db) => *db,
            Request::ByUid(_) => Db::Passwd,
            Request::ByGid(_) | Request::GroupsByMember(_) => Db::Group,
        }
    }

    /// Reads one request from the front of `input`.
    pub fn decode(input: &'a [u8]) -> Result<Decoded<Self>, DecodeError> {
        let mut c = Reader::new(input);
        if c.u32_be()? != VERSION {
            return Err(DecodeError::Malformed(why::VERSION));
        }
        let action = c.u32_be()?;
        let unknown = DecodeError::malformed("unknown action");
        let db = Db::ALL.into_iter().find(|db| action & 0xffff_0000 == base(*db)).ok_or(unknown)?;
        let value = match (action & 0xffff, db) {
            (BY_NAME, _) => Request::ByName(db, name(&mut c)?),
            (BY_ID, Db::Passwd) => Request::ByUid(Uid(c.u32_be()?)),
            (BY_ID, Db::Group) => Request::ByGid(Gid(c.u32_be()?)),
            (BY_MEMBER, Db::Group) => Request::GroupsByMember(name(&mut c)?),
            (ALL, _) => Request::All(db),
            _ => return Err(unknown),
        };
        Ok(Decoded { value, len: c.taken() })
    }

    /// Writes the request to the front of `out`; the number of bytes written.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let size = match self {
            Request::ByName(_, name) | Request::GroupsByMember(name) => 12 + name.bytes().len(),
            Request::ByUid(_) | Request::ByGid(_) => 12,
            Request::All(_) => 8,
        };
        let mut s = Writer::new(out, size)?;
        s.put_u32(VERSION);
        s.put_u32(self.action());
        match self {
            Request::ByName(_, name) | Request::GroupsByMember(name) => {
                put_text(&mut s, name.bytes())
            }
            Request::ByUid(uid) => s.put_u32(uid.0),
            Request::ByGid(gid) => s.put_u32(gid.0),
            Request::All(_) => {}
        }
        Ok(s.written())
    }
}

fn name<'a>(c: &mut Reader<'a>) -> Result<Name<'a>, DecodeError> {
    let mut ahead = *c;
    if ahead.u32_be()? as usize > Name::MAX {
        return Err(DecodeError::malformed("name too long"));
    }
    Name::new(text(c)?).ok_or(DecodeError::Malformed(why::NUL))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (Request::GroupsByMember(name("x")), b"\0\0\0\x02\0\x04\0\x06\0\0\0\x01x"),
            (Request::All(Db::Group), b"\0\0\0\x02\0\x04\0\x08"),
            (Request::ByName(Db::Shadow, name("s")), b"\0\0\0\x02\0\x0c\0\x01\0\0\0\x01s"),
            (Request::All(Db::Shadow), b"\0\0\0\x02\0\x0c\0\x08"),
        ];
        for (request, bytes) in cases {
            let mut out = [0xa5; Request::MAX];
            let len = request.encode(&mut out).unwrap();
            assert_eq!(&out[..len], bytes, "{request:?}");
            assert!(out[len..].iter().all(|b| *b == 0xa5));
            assert_eq!(Request::decode(bytes), Ok(Decoded { value: request, len }));
            for cut in 0..len {
                assert!(
                    matches!(Request::decode(&bytes[..cut]), Err(DecodeError::Incomplete(_))),
                    "{cut}"
                );
                assert_eq!(request.encode(&mut [0; 300][..cut]), Err(EncodeError::NoSpace(len)));
            }
        }
        let longest = [b'n'; Name::MAX];
        let request = Request::GroupsByMember(Name::new(&longest).unwrap());
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
            assert!(matches!(Request::decode(bytes), Err(DecodeError::Malformed(_))), "{bytes:?}");
        }
    }
}
