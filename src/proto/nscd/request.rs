//! Requests: the version, a type, and a key that is closed by NUL.

use super::ReplyKind;
use super::VERSION;
use crate::bytes::{DECIMAL_MAX, Reader, Writer, decimal_u32, write_decimal};
use crate::entry::{Db, Gid, Uid};
use crate::{DecodeError, Decoded, EncodeError};

/// Bytes in front of a key.
const HEADER: usize = 12;

/// Longest key that a client sends, its NUL included; a longer one is no request.
pub const KEY_MAX: usize = 1024;

/// Room for any request.
pub const REQUEST_MAX: usize = HEADER + KEY_MAX;

/// A request, or what is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// A user by name.
    PasswdByName(&'a [u8]),
    /// A user by number. `None`: the key is no number, so there is no such user.
    PasswdByUid(Option<Uid>),
    /// A group by name.
    GroupByName(&'a [u8]),
    /// A group by number.
    GroupByGid(Option<Gid>),
    /// The groups that list a user.
    Initgroups(&'a [u8]),
    /// Forget what is cached of a database; for root only.
    Invalidate(&'a [u8]),
    /// The descriptor of the [map](super::map) of a database; `None`: of one that has none, so close.
    Descriptor(Option<Db>),
    /// A database that is not served here: a reply of so many bytes says so, and the client
    /// asks its own sources at once.
    Unserved(usize),
    /// SHUTDOWN: root ends the server, which does not answer; for others, close.
    Shutdown,
    /// GETSTAT, whose answer is no protocol: close.
    Statistics,
}

impl<'a> Request<'a> {
    /// Reads a request. [`DecodeError::Malformed`]: read what comes and close without a reply, since closing
    /// with bytes unread is an error to musl's client.
    pub fn decode(input: &'a [u8]) -> Result<Decoded<Request<'a>>, DecodeError> {
        let mut c = Reader::new(input);
        let (version, kind, key_len) = (c.u32_ne()?, c.u32_ne()?, c.u32_ne()?);
        if version != VERSION {
            return Err(DecodeError::malformed("wrong version"));
        }
        if key_len as usize > KEY_MAX {
            return Err(DecodeError::malformed("key too long"));
        }
        let key = c.take(key_len as usize)?;
        let text = match key.split_last() {
            Some((0, text)) if !text.contains(&0) => text,
            _ if matches!(kind, 0..=3 | 10 | 15) => {
                return Err(DecodeError::malformed("key without its NUL, or with another one"));
            }
            _ => &[],
        };
        let value = match kind {
            0 => Request::PasswdByName(text),
            1 => Request::PasswdByUid(number(text).map(Uid)),
            2 => Request::GroupByName(text),
            3 => Request::GroupByGid(number(text).map(Gid)),
            // Four sorts of host lookup, two of them with raw addresses for keys.
            4..=7 => Request::Unserved(32),
            8 if text.is_empty() => Request::Shutdown,
            9 => Request::Statistics,
            10 => Request::Invalidate(text),
            11 if text == b"passwd" => Request::Descriptor(Some(Db::Passwd)),
            12 if text == b"group" => Request::Descriptor(Some(Db::Group)),
            11..=13 | 18 | 21 => Request::Descriptor(None),
            14 => Request::Unserved(24),
            15 => Request::Initgroups(text),
            16 | 17 => Request::Unserved(24),
            19 => Request::Unserved(16),
            20 => Request::Unserved(12),
            _ => return Err(DecodeError::malformed("unknown type")),
        };
        Ok(Decoded { value, len: c.taken() })
    }

    /// Writes the request to the front of `out`; the number of bytes written.
    /// [`EncodeError::Unrepresentable`] for what is no lookup and no invalidation, for a key with a
    /// NUL, and for one longer than [`KEY_MAX`] with its NUL.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let unfit = EncodeError::Unrepresentable("a request that clients do not send");
        let mut digits = [0; DECIMAL_MAX];
        let (kind, key) = match *self {
            Request::PasswdByName(name) => (0, name),
            Request::PasswdByUid(Some(Uid(id))) => (1, write_decimal(id.into(), &mut digits)),
            Request::GroupByName(name) => (2, name),
            Request::GroupByGid(Some(Gid(id))) => (3, write_decimal(id.into(), &mut digits)),
            Request::Shutdown => (8, &b""[..]),
            Request::Invalidate(database) => (10, database),
            Request::Descriptor(Some(db @ Db::Passwd)) => (11, db.name().as_bytes()),
            Request::Descriptor(Some(db @ Db::Group)) => (12, db.name().as_bytes()),
            Request::Initgroups(user) => (15, user),
            _ => return Err(unfit),
        };
        if let Request::Shutdown = self {
            let mut s = Writer::new(out, HEADER)?;
            s.put_words(&[VERSION, kind, 0]);
            return Ok(s.written());
        }
        if key.len() >= KEY_MAX || key.contains(&0) {
            return Err(EncodeError::Unrepresentable("key too long, or with a NUL"));
        }
        let key_len = key.len() + 1;
        let mut s = Writer::new(out, HEADER + key_len)?;
        s.put_words(&[VERSION, kind, key_len as u32]);
        s.put_string(key);
        Ok(s.written())
    }

    /// How its reply is to be read; `None`: it is no lookup.
    pub fn reply_kind(&self) -> Option<ReplyKind> {
        match self {
            Request::PasswdByName(_) | Request::PasswdByUid(_) => Some(ReplyKind::Passwd),
            Request::GroupByName(_) | Request::GroupByGid(_) => Some(ReplyKind::Group),
            Request::Initgroups(_) => Some(ReplyKind::Initgroups),
            _ => None,
        }
    }
}

/// 1 to 10 digits below 2^32. A failure must never become 0, which is root.
fn number(text: &[u8]) -> Option<u32> {
    if text.len() > 10 { None } else { decimal_u32(text) }
}

/// The databases of glibc's nscd.
pub const DATABASES: [&[u8]; 5] = [b"passwd", b"group", b"hosts", b"services", b"netgroup"];

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: i32, kind: i32, key_len: i32, key: &[u8]) -> ([u8; 64], usize) {
        let mut bytes = [0; 64];
        for (room, word) in bytes.chunks_mut(4).zip([version, kind, key_len]) {
            room.copy_from_slice(&word.to_ne_bytes());
        }
        bytes[12..12 + key.len()].copy_from_slice(key);
        (bytes, 12 + key.len())
    }

    fn decoded(kind: i32, key: &[u8]) -> Result<Request<'static>, DecodeError> {
        let (bytes, len) = request(2, kind, key.len() as i32, key);
        Request::decode(&bytes[..len]).map(|took| {
            assert_eq!(took.len, len);
            match took.value {
                Request::PasswdByName(k) => {
                    Request::PasswdByName(if k == b"ada" { b"ada" } else { b"?" })
                }
                Request::PasswdByUid(id) => Request::PasswdByUid(id),
                Request::GroupByGid(id) => Request::GroupByGid(id),
                Request::Unserved(n) => Request::Unserved(n),
                Request::Descriptor(db) => Request::Descriptor(db),
                _ => Request::Statistics,
            }
        })
    }

    #[test]
    fn requests_come_in_any_pieces() {
        let (bytes, len) = request(2, 0, 4, b"ada\0");
        for cut in 0..len {
            assert!(
                matches!(Request::decode(&bytes[..cut]), Err(DecodeError::Incomplete(n)) if n > 0)
            );
        }
        assert_eq!(decoded(0, b"ada\0"), Ok(Request::PasswdByName(b"ada")));
    }

    #[test]
    fn what_is_no_number_is_never_root() {
        for text in [&b"\0"[..], b"4001x\0", b"+0\0", b" 0\0", b"-1\0", b"0x0\0", b"4294967296\0"] {
            assert_eq!(decoded(1, text), Ok(Request::PasswdByUid(None)), "{text:?}");
            assert_eq!(decoded(3, text), Ok(Request::GroupByGid(None)), "{text:?}");
        }
        assert_eq!(decoded(1, b"4294967295\0"), Ok(Request::PasswdByUid(Some(Uid(u32::MAX)))));
        assert_eq!(decoded(1, b"0\0"), Ok(Request::PasswdByUid(Some(Uid(0)))));
        assert_eq!(decoded(1, b"00000000000\0"), Ok(Request::PasswdByUid(None)));
    }

    #[test]
    fn odd_requests_are_refused() {
        for (version, kind, key_len) in [
            (1, 0, 4),
            (0x0200_0000, 0, 4),
            (2, -1, 4),
            (2, 22, 4),
            (2, 0, -1),
            (2, 0, 1025),
            (2, 0, 0),
        ] {
            let (bytes, len) = request(version, kind, key_len, b"ada\0");
            let got = Request::decode(&bytes[..len]);
            assert!(
                matches!(got, Err(DecodeError::Malformed(_))),
                "{version} {kind} {key_len}: {got:?}"
            );
        }
        let (bytes, _) = request(2, 0, i32::MAX, b"ada\0");
        assert!(matches!(Request::decode(&bytes), Err(DecodeError::Malformed(_))));
        assert!(decoded(0, b"ada").is_err());
        assert!(decoded(0, b"a\0a\0").is_err());
        assert_eq!(decoded(6, &[127, 0, 0, 1]), Ok(Request::Unserved(32)));
        assert_eq!(decoded(11, b"passwd\0"), Ok(Request::Descriptor(Some(Db::Passwd))));
        for (kind, key) in
            [(11, &b"group\0"[..]), (12, b"passwd\0"), (11, b"passwd"), (13, b"hosts\0")]
        {
            assert_eq!(decoded(kind, key), Ok(Request::Descriptor(None)), "{kind}");
        }
    }

    #[test]
    fn requests_are_read_as_they_are_written() {
        for request in [
            Request::PasswdByName(b"ada"),
            Request::PasswdByUid(Some(Uid(0))),
            Request::GroupByName(b""),
            Request::GroupByGid(Some(Gid(u32::MAX))),
            Request::Initgroups(&[b'u'; KEY_MAX - 1]),
            Request::Invalidate(b"group"),
            Request::Descriptor(Some(Db::Passwd)),
            Request::Descriptor(Some(Db::Group)),
            Request::Shutdown,
        ] {
            let mut out = [0xa5; REQUEST_MAX];
            let len = request.encode(&mut out).unwrap();
            assert_eq!(Request::decode(&out), Ok(Decoded { value: request, len }));
            assert_eq!(
                request.encode(&mut [0; REQUEST_MAX][..len - 1]),
                Err(EncodeError::NoSpace(len))
            );
        }
        for request in [
            Request::PasswdByUid(None),
            Request::Statistics,
            Request::PasswdByName(b"a\0b"),
            Request::Initgroups(&[b'u'; KEY_MAX]),
        ] {
            let got = request.encode(&mut [0; 2 * REQUEST_MAX]);
            assert!(matches!(got, Err(EncodeError::Unrepresentable(_))), "{request:?}");
        }
    }
}
