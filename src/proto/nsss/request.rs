//! Requests: an opcode, then what that opcode carries.
//!
//! | carried | bytes |
//! |---|---|
//! | u32 | 4 |
//! | name | u32 length that counts the NUL (1..=255), then the bytes, the last of which is NUL |
//! | GRP_GETLIST | u64 room, then a name |

use crate::bytes::{Reader, Writer};
use crate::entry::{Db, Gid, Name, Uid};
use crate::{DecodeError, Decoded, EncodeError};
use core::error::Error;
use core::fmt::{self, Display, Formatter};

const SET_TIMEOUT: u8 = 0o001;
const END: u8 = 0;
const REWIND: u8 = 1;
const NEXT: u8 = 2;
const BY_NAME: u8 = 3;
const BY_ID: u8 = 4;
const GROUP_LIST: u8 = 0o025;

/// The opcode that the five requests of a database start from.
fn base(db: Db) -> u8 {
    match db {
        Db::Passwd => 0o010,
        Db::Group => 0o020,
        Db::Shadow => 0o040,
    }
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Exit 0 after so many milliseconds without a request; 0 = never.
    SetTimeout {
        /// Milliseconds.
        millis: u32,
    },
    /// Close the enumeration.
    End(Db),
    /// ReplyHeader the enumeration, or go back to its first entry.
    Rewind(Db),
    /// The next entry of the enumeration.
    Next(Db),
    /// Look up by name.
    ByName(Db, Name<'a>),
    /// Look up a user by number.
    ByUid(Uid),
    /// Look up a group by number.
    ByGid(Gid),
    /// The groups that list a user as a member.
    GroupList {
        /// The client has room for so many gids. Only a cap: nothing is allocated by it.
        max: u64,
        /// The user.
        user: Name<'a>,
    },
}

/// Why a daemon cannot serve what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// The request is not complete; at least so many further bytes are needed.
    Incomplete(usize),
    /// A name of length 0, without its NUL, or with another one: answer EPROTO, pass over
    /// `len` bytes and go on.
    InvalidName {
        /// Bytes of the whole request.
        len: usize,
    },
    /// A name longer than nsss takes: answer EPROTO and close, for nsss does not read it.
    NameTooLong,
    /// No such opcode: close.
    UnknownOpcode(u8),
}

impl Display for RequestError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Incomplete(missing) => DecodeError::Incomplete(*missing).fmt(f),
            RequestError::InvalidName { .. } => {
                f.write_str("name without its NUL, or with another")
            }
            RequestError::NameTooLong => f.write_str("name too long"),
            RequestError::UnknownOpcode(opcode) => write!(f, "unknown opcode {opcode:#o}"),
        }
    }
}

impl Error for RequestError {}

impl<'a> Request<'a> {
    /// The largest encoding: GRP_GETLIST with the longest name.
    pub const MAX: usize = 1 + 8 + 4 + Name::MAX + 1;

    /// Reads one request from the front of `input`.
    pub fn decode(input: &'a [u8]) -> Result<Decoded<Request<'a>>, RequestError> {
        let mut c = Reader::new(input);
        let opcode = c.u8().map_err(incomplete)?;
        let value = match opcode {
            SET_TIMEOUT => Request::SetTimeout { millis: word(&mut c)? },
            GROUP_LIST => {
                let max = c.u64_be().map_err(incomplete)?;
                Request::GroupList { max, user: name(&mut c)? }
            }
            _ => {
                let db = Db::ALL.into_iter().find(|db| opcode & !7 == base(*db));
                let db = db.ok_or(RequestError::UnknownOpcode(opcode))?;
                match (opcode & 7, db) {
                    (END, _) => Request::End(db),
                    (REWIND, _) => Request::Rewind(db),
                    (NEXT, _) => Request::Next(db),
                    (BY_NAME, _) => Request::ByName(db, name(&mut c)?),
                    (BY_ID, Db::Passwd) => Request::ByUid(Uid(word(&mut c)?)),
                    (BY_ID, Db::Group) => Request::ByGid(Gid(word(&mut c)?)),
                    _ => return Err(RequestError::UnknownOpcode(opcode)),
                }
            }
        };
        Ok(Decoded { value, len: c.taken() })
    }

    /// Writes the request to the front of `out`; the number of bytes written.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut s = Writer::new(out, self.size())?;
        s.put(&[self.opcode()]);
        match self {
            Request::SetTimeout { millis: n } | Request::ByUid(Uid(n)) | Request::ByGid(Gid(n)) => {
                s.put_u32(*n);
            }
            Request::End(_) | Request::Rewind(_) | Request::Next(_) => {}
            Request::ByName(_, name) => put_name(&mut s, *name),
            Request::GroupList { max, user } => {
                s.put_u64(*max);
                put_name(&mut s, *user);
            }
        }
        Ok(s.written())
    }

    fn size(&self) -> usize {
        1 + match self {
            Request::SetTimeout { .. } | Request::ByUid(_) | Request::ByGid(_) => 4,
            Request::End(_) | Request::Rewind(_) | Request::Next(_) => 0,
            Request::ByName(_, name) => 4 + name.bytes().len() + 1,
            Request::GroupList { user, .. } => 8 + 4 + user.bytes().len() + 1,
        }
    }

    fn opcode(&self) -> u8 {
        match self {
            Request::SetTimeout { .. } => SET_TIMEOUT,
            Request::End(db) => base(*db) + END,
            Request::Rewind(db) => base(*db) + REWIND,
            Request::Next(db) => base(*db) + NEXT,
            Request::ByName(db, _) => base(*db) + BY_NAME,
            Request::ByUid(_) => base(Db::Passwd) + BY_ID,
            Request::ByGid(_) => base(Db::Group) + BY_ID,
            Request::GroupList { .. } => GROUP_LIST,
        }
    }

    /// The database that is asked; SET_TIMEOUT asks none.
    pub fn db(&self) -> Option<Db> {
        match self {
            Request::SetTimeout { .. } => None,
            Request::End(db) | Request::Rewind(db) | Request::Next(db) => Some(*db),
            Request::ByName(db, _) => Some(*db),
            Request::ByUid(_) => Some(Db::Passwd),
            Request::ByGid(_) | Request::GroupList { .. } => Some(Db::Group),
        }
    }

    /// Whether a success carries a record, and not just the status or a group list.
    pub fn wants_record(&self) -> bool {
        matches!(
            self,
            Request::Next(_) | Request::ByName(..) | Request::ByUid(_) | Request::ByGid(_)
        )
    }
}

/// The error of a [`Reader`], which knows no other than that there is too little.
fn incomplete(error: DecodeError) -> RequestError {
    match error {
        DecodeError::Incomplete(n) => RequestError::Incomplete(n),
        _ => RequestError::Incomplete(1),
    }
}

fn word(c: &mut Reader<'_>) -> Result<u32, RequestError> {
    c.u32_be().map_err(incomplete)
}

fn name<'a>(c: &mut Reader<'a>) -> Result<Name<'a>, RequestError> {
    let len = word(c)? as usize;
    if len > Name::MAX + 1 {
        return Err(RequestError::NameTooLong);
    }
    let text = c.take(len).map_err(incomplete)?;
    let text = text.strip_suffix(&[0]).and_then(Name::new);
    text.ok_or(RequestError::InvalidName { len: c.taken() })
}

fn put_name(s: &mut Writer<'_>, name: Name<'_>) {
    s.put_u32(name.bytes().len() as u32 + 1);
    s.put_string(name.bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both_ways(request: Request<'_>, bytes: &[u8]) {
        let mut out = [0xa5; Request::MAX];
        let n = request.encode(&mut out).unwrap();
        assert_eq!(&out[..n], bytes, "{request:?}");
        assert_eq!(Request::decode(bytes), Ok(Decoded { value: request, len: bytes.len() }));
        for cut in 0..bytes.len() {
            assert!(
                matches!(Request::decode(&bytes[..cut]), Err(RequestError::Incomplete(n)) if n > 0)
            );
            assert_eq!(request.encode(&mut out[..cut]), Err(EncodeError::NoSpace(bytes.len())));
        }
    }

    #[test]
    fn requests_are_read_as_they_are_written() {
        let one = Name::new(b"one").unwrap();
        both_ways(Request::ByName(Db::Passwd, one), b"\x0b\0\0\0\x04one\0");
        both_ways(Request::ByName(Db::Shadow, Name::new(b"").unwrap()), b"\x23\0\0\0\x01\0");
        both_ways(Request::ByUid(Uid(0x01020304)), b"\x0c\x01\x02\x03\x04");
        both_ways(Request::ByGid(Gid(u32::MAX)), b"\x14\xff\xff\xff\xff");
        both_ways(Request::SetTimeout { millis: 30000 }, b"\x01\0\0\x75\x30");
        both_ways(
            Request::GroupList { max: 3, user: one },
            b"\x15\0\0\0\0\0\0\0\x03\0\0\0\x04one\0",
        );
        for (db, op) in [(Db::Passwd, 8), (Db::Group, 16), (Db::Shadow, 32)] {
            both_ways(Request::End(db), &[op]);
            both_ways(Request::Rewind(db), &[op + 1]);
            both_ways(Request::Next(db), &[op + 2]);
        }
        let long = Name::new(&[b'n'; 254]).unwrap();
        assert_eq!(Request::GroupList { max: 1, user: long }.size(), Request::MAX);
    }

    #[test]
    fn every_other_first_byte_is_refused() {
        let known = [1, 8, 9, 10, 11, 12, 16, 17, 18, 19, 20, 21, 32, 33, 34, 35];
        for op in (0..=255).filter(|op| !known.contains(op)) {
            assert_eq!(Request::decode(&[op, 0, 0, 0, 0]), Err(RequestError::UnknownOpcode(op)));
        }
    }

    #[test]
    fn odd_names_keep_the_stream_in_step_where_nsss_does() {
        assert_eq!(Request::decode(b"\x0b\0\0\0\0"), Err(RequestError::InvalidName { len: 5 }));
        assert_eq!(
            Request::decode(b"\x0b\0\0\0\x03abc"),
            Err(RequestError::InvalidName { len: 8 })
        );
        assert_eq!(
            Request::decode(b"\x0b\0\0\0\x04a\0b\0"),
            Err(RequestError::InvalidName { len: 9 })
        );
        assert_eq!(Request::decode(b"\x0b\0\0\x01\0"), Err(RequestError::NameTooLong));
        assert_eq!(Request::decode(b"\x0b\xff\xff\xff\xff"), Err(RequestError::NameTooLong));
    }
}
