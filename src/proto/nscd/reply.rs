//! Replies: a header whose size the kind of request decides, then what was found.

use super::VERSION;
use crate::bytes::{Reader, Writer};
use crate::entry::{Gid, Group, Members, Passwd, Record, Uid};
use crate::nsss::MEMBERS_MAX;
use crate::{DecodeError, Decoded, EncodeError};

pub(super) const FOUND: [u32; 2] = [VERSION, 1];

/// The number of the string that is a password; its length is the last in front of the numbers.
pub(super) const PASSWORD: usize = 1;

/// A length with its NUL; a string that is longer than the protocol's signed lengths is an
/// error.
fn length(text: &[u8]) -> Result<u32, EncodeError> {
    let len = i32::try_from(text.len() + 1)
        .map_err(|_| EncodeError::Unrepresentable("string too long"))?;
    Ok(len as u32)
}

/// What is sent of a password field that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Password {
    /// The field. Every local user may ask, so it must be nothing that the asker may not know.
    AsItStands,
    /// `*`: there is an account, and no password fits.
    Star,
}

impl Password {
    /// What is sent of this field.
    pub(super) fn of(self, field: &[u8]) -> &[u8] {
        match self {
            Password::Star if !field.is_empty() => b"*",
            _ => field,
        }
    }
}

/// Which request a reply belongs to: a reply does not tell, and its size depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyKind {
    /// A header of 36 bytes.
    Passwd,
    /// A header of 24 bytes.
    Group,
    /// A header of 12 bytes.
    Initgroups,
}

impl ReplyKind {
    /// Words of the header.
    fn words(self) -> usize {
        match self {
            ReplyKind::Passwd => 9,
            ReplyKind::Group => 6,
            ReplyKind::Initgroups => 3,
        }
    }
}

/// Writes a reply, found: two lengths, two numbers, the other lengths, then all strings. In front
/// of the strings are 36 bytes for a user; for a group 24, and four for each member.
/// [`EncodeError::Unrepresentable`] for shadow, which the protocol has not.
pub fn encode(
    record: &Record<'_>,
    password: Password,
    out: &mut [u8],
) -> Result<usize, EncodeError> {
    let mut strings = record.strings();
    if let Some(field) = strings.password() {
        *field = password.of(field);
    }
    let numbers = match record {
        Record::Passwd(r) => [r.uid.0, r.gid.0],
        Record::Group(r) => [r.gid.0, strings.members()],
        Record::Shadow(_) => return Err(EncodeError::Unrepresentable("shadow is not served")),
    };
    let tail = strings.count().saturating_mul(4).saturating_add(strings.area_len());
    let mut s = Writer::new(out, tail.saturating_add(16))?;
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
pub fn encode_initgroups(count: u32, out: &mut [u8]) -> Result<usize, EncodeError> {
    encode_words(&[VERSION, 1, count], out)
}

fn encode_words(words: &[u32], out: &mut [u8]) -> Result<usize, EncodeError> {
    let mut s = Writer::new(out, 4 * words.len())?;
    s.put_words(words);
    Ok(s.written())
}

/// Writes "looked, there is none", the whole header of its kind: final for glibc.
pub fn encode_not_found(kind: ReplyKind, out: &mut [u8]) -> Result<usize, EncodeError> {
    const NONE: u32 = u32::MAX;
    let words: &[u32] = match kind {
        ReplyKind::Passwd => &[VERSION, 0, 0, 0, NONE, NONE, 0, 0, 0],
        ReplyKind::Group => &[VERSION, 0, 0, 0, NONE, 0],
        ReplyKind::Initgroups => &[VERSION, 0, 0],
    };
    encode_words(words, out)
}

/// Writes "not served here", `size` bytes of which all but the first eight are zero.
pub fn encode_unserved(size: usize, out: &mut [u8]) -> Result<usize, EncodeError> {
    let mut s = Writer::new(out, size)?;
    s.put_words(&[VERSION, u32::MAX]);
    while s.written() < size {
        s.put(&[0]);
    }
    Ok(size)
}

/// Writes the answer to INVALIDATE: 0, or 22 (EINVAL) for an unknown database. 4 bytes.
pub fn encode_invalidated(known: bool, out: &mut [u8]) -> Result<usize, EncodeError> {
    encode_words(&[if known { 0 } else { 22 }], out)
}

/// A reply as a client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply<'a> {
    /// A user or a group.
    Found(Record<'a>),
    /// The groups of a user, who is known.
    Groups(Gids<'a>),
    /// There is none: final.
    NotFound,
    /// The server does not serve this database: to be looked up in another way.
    Unserved,
}

/// The gids of an initgroups reply. A copy starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gids<'a>(&'a [u8]);

impl Iterator for Gids<'_> {
    type Item = Gid;

    fn next(&mut self) -> Option<Gid> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(Gid(u32::from_ne_bytes(*first)))
    }
}

impl<'a> Reply<'a> {
    /// Reads a whole reply to a request of this kind from the front of `input`.
    pub fn decode(kind: ReplyKind, input: &'a [u8]) -> Result<Decoded<Self>, DecodeError> {
        let mut c = Reader::new(input);
        let mut words = [0; 9];
        for word in words.iter_mut().take(kind.words()) {
            *word = c.u32_ne()?;
        }
        let [version, found, name, password, first, second, gecos, home, shell] = words;
        if version != VERSION {
            return Err(DecodeError::malformed("wrong version"));
        }
        let value = match (found, kind) {
            (0, _) => Reply::NotFound,
            (u32::MAX, _) => Reply::Unserved,
            (1, ReplyKind::Passwd) => {
                let (name, password) = (string(&mut c, name)?, string(&mut c, password)?);
                let (uid, gid) = (Uid(first), Gid(second));
                let (gecos, home) = (string(&mut c, gecos)?, string(&mut c, home)?);
                let shell = string(&mut c, shell)?;
                Reply::Found(Record::Passwd(Passwd {
                    name,
                    password,
                    uid,
                    gid,
                    gecos,
                    home,
                    shell,
                }))
            }
            (1, ReplyKind::Group) => {
                if second > MEMBERS_MAX {
                    return Err(DecodeError::malformed("too many members"));
                }
                let mut lengths = Reader::new(c.take(second as usize * 4)?);
                let (name, password) = (string(&mut c, name)?, string(&mut c, password)?);
                let start = c.taken();
                for _ in 0..second {
                    string(&mut c, lengths.u32_ne()?)?;
                }
                let members = input.get(start..c.taken()).unwrap_or_default();
                let members = Members::from_strings(members, second);
                Reply::Found(Record::Group(Group { name, password, gid: Gid(first), members }))
            }
            (1, ReplyKind::Initgroups) => {
                let size = usize::try_from(name).ok().and_then(|count| count.checked_mul(4));
                let size = size.ok_or(DecodeError::malformed("too many groups"))?;
                Reply::Groups(Gids(c.take(size)?))
            }
            _ => return Err(DecodeError::malformed("neither found nor not found")),
        };
        Ok(Decoded { value, len: c.taken() })
    }
}

/// A string of `len` bytes, the last of which is its only NUL.
fn string<'a>(c: &mut Reader<'a>, len: u32) -> Result<&'a [u8], DecodeError> {
    if i32::try_from(len).is_err() {
        return Err(DecodeError::malformed("length below zero"));
    }
    match c.take(len as usize)?.split_last() {
        Some((0, text)) if !text.contains(&0) => Ok(text),
        _ => Err(DecodeError::malformed("string without its NUL, or with another one")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Db;
    use crate::line::parse;

    #[test]
    fn no_reply_is_cut_and_a_password_gives_way_to_a_star() {
        let p = parse(Db::Passwd, b"ada:$6$salt$hash:1:2:::").unwrap();
        let g = parse(Db::Group, b"g:!hash:5:a,,b").unwrap();
        let mut out = [0xa5; 128];
        let n = encode(&p, Password::Star, &mut out).unwrap();
        assert_eq!(n, 36 + 4 + 2 + 1 + 1 + 1);
        assert_eq!(&out[36..n], b"ada\0*\0\0\0\0");
        let n = encode(&p, Password::AsItStands, &mut out).unwrap();
        assert_eq!(&out[36..n], b"ada\0$6$salt$hash\0\0\0\0");
        let n = encode(&g, Password::Star, &mut out).unwrap();
        assert_eq!(&out[24 + 12..n], b"g\0*\0a\0\0b\0");
        for cut in 0..n {
            out.fill(0xa5);
            assert_eq!(encode(&g, Password::Star, &mut out[..cut]), Err(EncodeError::NoSpace(n)));
            assert!(out.iter().all(|b| *b == 0xa5), "a part was written");
        }
        let sizes = [(ReplyKind::Passwd, 36), (ReplyKind::Group, 24), (ReplyKind::Initgroups, 12)];
        for (kind, size) in sizes {
            assert_eq!(encode_not_found(kind, &mut out), Ok(size));
        }
        assert_eq!(encode_unserved(32, &mut out), Ok(32));
        assert_eq!(encode_initgroups(3, &mut out), Ok(12));
    }

    #[test]
    fn replies_are_read_as_they_are_written() {
        for (kind, db, text) in [
            (ReplyKind::Passwd, Db::Passwd, &b"ada:x:1:2:Ada:/home/ada:/bin/sh"[..]),
            (ReplyKind::Passwd, Db::Passwd, b"::1:2:::"),
            (ReplyKind::Group, Db::Group, b"g:x:5:a,,bob"),
            (ReplyKind::Group, Db::Group, b"g:x:5:"),
        ] {
            let record = parse(db, text).unwrap();
            let mut out = [0xa5; 128];
            let len = encode(&record, Password::AsItStands, &mut out).unwrap();
            let value = Reply::Found(record);
            assert_eq!(Reply::decode(kind, &out), Ok(Decoded { value, len }), "{text:?}");
            for cut in 0..len {
                let got = Reply::decode(kind, &out[..cut]);
                assert!(matches!(got, Err(DecodeError::Incomplete(n)) if n > 0), "{cut}");
            }
        }
        for kind in [ReplyKind::Passwd, ReplyKind::Group, ReplyKind::Initgroups] {
            let mut out = [0xa5; 36];
            let len = encode_not_found(kind, &mut out).unwrap();
            assert_eq!(len, kind.words() * 4);
            assert_eq!(Reply::decode(kind, &out), Ok(Decoded { value: Reply::NotFound, len }));
            encode_unserved(len, &mut out).unwrap();
            assert_eq!(Reply::decode(kind, &out), Ok(Decoded { value: Reply::Unserved, len }));
        }
        let mut out = [0; 20];
        encode_initgroups(2, &mut out).unwrap();
        out[12..16].copy_from_slice(&7u32.to_ne_bytes());
        let reply = Reply::decode(ReplyKind::Initgroups, &out).unwrap();
        let Reply::Groups(gids) = reply.value else { panic!("{reply:?}") };
        assert!(gids.eq([Gid(7), Gid(0)]) && reply.len == 20);
    }

    #[test]
    fn replies_with_odd_strings_and_lengths_are_refused() {
        let record = parse(Db::Group, b"g:x:5:a,b").unwrap();
        let mut good = [0; 64];
        let len = encode(&record, Password::AsItStands, &mut good).unwrap();
        let words = [(0, 1), (1, 2), (2, 1), (2, 0), (3, u32::MAX), (5, u32::MAX), (6, 3)];
        for (word, value) in words {
            let mut bad = good;
            bad[4 * word..4 * word + 4].copy_from_slice(&u32::to_ne_bytes(value));
            let got = Reply::decode(ReplyKind::Group, &bad[..len]);
            assert!(matches!(got, Err(DecodeError::Malformed(_))), "{word} {value}: {got:?}");
        }
    }
}
