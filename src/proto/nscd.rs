//! The nscd protocol, version 2: what unmodified glibc and musl programs ask at
//! /var/run/nscd/socket, one request a connection. All integers are 32 bits in the machine's
//! own byte order, without padding.
//!
//! | request | bytes |
//! |---|---|
//! | version | 4, the number 2 |
//! | type | 4 |
//! | key_len | 4, the NUL included |
//! | key | key_len |
//!
//! | reply | bytes after version 2 and found |
//! |---|---|
//! | passwd | name_len, passwd_len, uid, gid, gecos_len, dir_len, shell_len, then five strings |
//! | group | name_len, passwd_len, gid, mem_cnt, then mem_cnt lengths, two strings, the members |
//! | initgroups | ngrps, then so many gids |
//!
//! Every length counts a NUL, so that none is 0. Source: glibc's nscd-client.h, musl's
//! nscd_query.c, and what both programs were seen to send and to accept.

pub mod long;

use crate::bytes::{Cursor, Sink, decimal_u32};
use crate::entry::{Gid, Group, Passwd, Record, Uid};
use crate::{Fault, Took};

const VERSION: u32 = 2;

/// Bytes in front of a key.
const HEADER: usize = 12;

/// Longest key that a client sends, its NUL included; a longer one is no request.
pub const KEY_MAX: usize = 1024;

/// Room for any request.
pub const REQUEST_MAX: usize = HEADER + KEY_MAX;

/// A request, or what is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// The descriptor of a shared cache, which there is none of: close.
    Descriptor,
    /// A database that is not served here: a reply of so many bytes says so, and the client
    /// asks its own sources at once.
    Unserved(usize),
    /// SHUTDOWN and GETSTAT, which are not for clients: close.
    Control,
}

impl<'a> Request<'a> {
    /// Reads a request. [`Fault::Bad`]: read what comes and close without a reply, since closing
    /// with bytes unread is an error to musl's client.
    pub fn decode(input: &'a [u8]) -> Result<Took<Request<'a>>, Fault> {
        let mut c = Cursor::new(input);
        let (version, kind, key_len) = (c.u32_ne()?, c.u32_ne()?, c.u32_ne()?);
        if version != VERSION {
            return Err(Fault::Bad("wrong version"));
        }
        if key_len as usize > KEY_MAX {
            return Err(Fault::Bad("key too long"));
        }
        let key = c.take(key_len as usize)?;
        let text = match key.split_last() {
            Some((0, text)) if !text.contains(&0) => text,
            _ if matches!(kind, 0..=3 | 10 | 15) => {
                return Err(Fault::Bad("key without its NUL, or with another one"));
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
            8 | 9 => Request::Control,
            10 => Request::Invalidate(text),
            11..=13 | 18 | 21 => Request::Descriptor,
            14 => Request::Unserved(24),
            15 => Request::Initgroups(text),
            16 | 17 => Request::Unserved(24),
            19 => Request::Unserved(16),
            20 => Request::Unserved(12),
            _ => return Err(Fault::Bad("unknown type")),
        };
        Ok(Took { value, len: c.taken() })
    }
}

/// 1 to 10 digits below 2^32. A failure must never become 0, which is root.
fn number(text: &[u8]) -> Option<u32> {
    if text.len() > 10 { None } else { decimal_u32(text) }
}

const FOUND: [u32; 2] = [VERSION, 1];

/// The number of the string that is a password; its length is the last in front of the numbers.
const PASSWORD: usize = 1;

/// A length with its NUL; a string that is longer than the protocol's signed lengths is an
/// error.
fn length(text: &[u8]) -> Result<u32, Fault> {
    let len = i32::try_from(text.len() + 1).map_err(|_| Fault::Bad("string too long"))?;
    Ok(len as u32)
}

/// What is shown of a password field: every local user may ask, so never a hash.
pub fn shown(password: &[u8]) -> &[u8] {
    match password {
        b"" | b"x" | b"*" => password,
        _ if password.starts_with(b"!") => b"!",
        _ => b"x",
    }
}

/// Writes a passwd reply, found: 36 bytes and the strings.
pub fn encode_passwd(record: &Passwd<'_>, out: &mut [u8]) -> Result<usize, Fault> {
    encode(&Record::Passwd(*record), out)
}

/// Writes a group reply, found: 24 bytes, the members' lengths, then all strings.
pub fn encode_group(record: &Group<'_>, out: &mut [u8]) -> Result<usize, Fault> {
    encode(&Record::Group(*record), out)
}

/// Writes a reply, found: two lengths, two numbers, the other lengths, then all strings.
/// [`Fault::Bad`] for shadow, which the protocol has not.
pub fn encode(record: &Record<'_>, out: &mut [u8]) -> Result<usize, Fault> {
    let mut strings = record.strings();
    if let Some(password) = strings.password() {
        *password = shown(password);
    }
    let numbers = match record {
        Record::Passwd(r) => [r.uid.0, r.gid.0],
        Record::Group(r) => [r.gid.0, strings.members()],
        Record::Shadow(_) => return Err(Fault::Bad("shadow is not served")),
    };
    let tail = strings.count().saturating_mul(4).saturating_add(strings.area_len());
    let mut s = Sink::new(out, tail.saturating_add(16))?;
    s.put_words(&FOUND);
    for (at, text) in strings.enumerate() {
        s.put_words(&[length(text)?]);
        if at == PASSWORD {
            s.put_words(&numbers);
        }
    }
    for text in strings {
        s.put_string(text);
    }
    Ok(s.written())
}

/// Writes the front of an initgroups reply for a user that is known; `count` gids in native
/// order follow. 12 bytes.
pub fn encode_initgroups(count: u32, out: &mut [u8]) -> Result<usize, Fault> {
    encode_words(&[VERSION, 1, count], out)
}

fn encode_words(words: &[u32], out: &mut [u8]) -> Result<usize, Fault> {
    let mut s = Sink::new(out, 4 * words.len())?;
    s.put_words(words);
    Ok(s.written())
}

/// Which header a "not found" has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 36 bytes.
    Passwd,
    /// 24 bytes.
    Group,
    /// 12 bytes.
    Initgroups,
}

/// Writes "looked, there is none", the whole header of its kind: final for glibc.
pub fn encode_not_found(kind: Kind, out: &mut [u8]) -> Result<usize, Fault> {
    const NONE: u32 = u32::MAX;
    let words: &[u32] = match kind {
        Kind::Passwd => &[VERSION, 0, 0, 0, NONE, NONE, 0, 0, 0],
        Kind::Group => &[VERSION, 0, 0, 0, NONE, 0],
        Kind::Initgroups => &[VERSION, 0, 0],
    };
    encode_words(words, out)
}

/// Writes "not served here", `size` bytes of which all but the first eight are zero.
pub fn encode_unserved(size: usize, out: &mut [u8]) -> Result<usize, Fault> {
    let mut s = Sink::new(out, size)?;
    s.put_words(&[VERSION, u32::MAX]);
    while s.written() < size {
        s.put(&[0]);
    }
    Ok(size)
}

/// Writes the answer to INVALIDATE: 0, or 22 (EINVAL) for an unknown database. 4 bytes.
pub fn encode_invalidated(known: bool, out: &mut [u8]) -> Result<usize, Fault> {
    encode_words(&[if known { 0 } else { 22 }], out)
}

/// The databases of glibc's nscd.
pub const DATABASES: [&[u8]; 5] = [b"passwd", b"group", b"hosts", b"services", b"netgroup"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::{parse_group, parse_passwd};

    fn request(version: i32, kind: i32, key_len: i32, key: &[u8]) -> ([u8; 64], usize) {
        let mut bytes = [0; 64];
        for (room, word) in bytes.chunks_mut(4).zip([version, kind, key_len]) {
            room.copy_from_slice(&word.to_ne_bytes());
        }
        bytes[12..12 + key.len()].copy_from_slice(key);
        (bytes, 12 + key.len())
    }

    fn decoded(kind: i32, key: &[u8]) -> Result<Request<'static>, Fault> {
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
                Request::Descriptor => Request::Descriptor,
                _ => Request::Control,
            }
        })
    }

    #[test]
    fn requests_come_in_any_pieces() {
        let (bytes, len) = request(2, 0, 4, b"ada\0");
        for cut in 0..len {
            assert!(matches!(Request::decode(&bytes[..cut]), Err(Fault::More(n)) if n > 0));
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
            assert!(matches!(got, Err(Fault::Bad(_))), "{version} {kind} {key_len}: {got:?}");
        }
        let (bytes, _) = request(2, 0, i32::MAX, b"ada\0");
        assert!(matches!(Request::decode(&bytes), Err(Fault::Bad(_))));
        assert!(decoded(0, b"ada").is_err());
        assert!(decoded(0, b"a\0a\0").is_err());
        assert_eq!(decoded(6, &[127, 0, 0, 1]), Ok(Request::Unserved(32)));
        assert_eq!(decoded(11, b"passwd\0"), Ok(Request::Descriptor));
    }

    #[test]
    fn no_reply_is_cut_and_no_hash_is_shown() {
        let p = parse_passwd(b"ada:$6$salt$hash:1:2:::").unwrap();
        let g = parse_group(b"g:!hash:5:a,,b").unwrap();
        let mut out = [0xa5; 128];
        let n = encode_passwd(&p, &mut out).unwrap();
        assert_eq!(n, 36 + 4 + 2 + 1 + 1 + 1);
        assert_eq!(&out[36..n], b"ada\0x\0\0\0\0");
        let n = encode_group(&g, &mut out).unwrap();
        assert_eq!(&out[24 + 12..n], b"g\0!\0a\0\0b\0");
        for cut in 0..n {
            out.fill(0xa5);
            assert_eq!(encode_group(&g, &mut out[..cut]), Err(Fault::Room(n)));
            assert!(out.iter().all(|b| *b == 0xa5), "a part was written");
        }
        let sizes = [(Kind::Passwd, 36), (Kind::Group, 24), (Kind::Initgroups, 12)];
        for (kind, size) in sizes {
            assert_eq!(encode_not_found(kind, &mut out), Ok(size));
        }
        assert_eq!(encode_unserved(32, &mut out), Ok(32));
        assert_eq!(encode_initgroups(3, &mut out), Ok(12));
    }
}
