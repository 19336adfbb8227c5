//! Replies: a header whose size the kind of request decides, then what was found.

use super::VERSION;
use crate::EncodeError;
use crate::bytes::Writer;
use crate::entry::Record;

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

/// What is shown of a password field: every local user may ask, so never a hash.
pub(super) fn shown(password: &[u8]) -> &[u8] {
    match password {
        b"" | b"x" | b"*" => password,
        _ if password.starts_with(b"!") => b"!",
        _ => b"x",
    }
}

/// Writes a reply, found: two lengths, two numbers, the other lengths, then all strings. In front
/// of the strings are 36 bytes for a user; for a group 24, and four for each member.
/// [`EncodeError::Unrepresentable`] for shadow, which the protocol has not.
pub fn encode(record: &Record<'_>, out: &mut [u8]) -> Result<usize, EncodeError> {
    let mut strings = record.strings();
    if let Some(password) = strings.password() {
        *password = shown(password);
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

/// Which header a "not found" has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// 36 bytes.
    Passwd,
    /// 24 bytes.
    Group,
    /// 12 bytes.
    Initgroups,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Db;
    use crate::line::parse;

    #[test]
    fn no_reply_is_cut_and_no_hash_is_shown() {
        let p = parse(Db::Passwd, b"ada:$6$salt$hash:1:2:::").unwrap();
        let g = parse(Db::Group, b"g:!hash:5:a,,b").unwrap();
        let mut out = [0xa5; 128];
        let n = encode(&p, &mut out).unwrap();
        assert_eq!(n, 36 + 4 + 2 + 1 + 1 + 1);
        assert_eq!(&out[36..n], b"ada\0x\0\0\0\0");
        let n = encode(&g, &mut out).unwrap();
        assert_eq!(&out[24 + 12..n], b"g\0!\0a\0\0b\0");
        for cut in 0..n {
            out.fill(0xa5);
            assert_eq!(encode(&g, &mut out[..cut]), Err(EncodeError::NoSpace(n)));
            assert!(out.iter().all(|b| *b == 0xa5), "a part was written");
        }
        let sizes = [(ReplyKind::Passwd, 36), (ReplyKind::Group, 24), (ReplyKind::Initgroups, 12)];
        for (kind, size) in sizes {
            assert_eq!(encode_not_found(kind, &mut out), Ok(size));
        }
        assert_eq!(encode_unserved(32, &mut out), Ok(32));
        assert_eq!(encode_initgroups(3, &mut out), Ok(12));
    }
}
