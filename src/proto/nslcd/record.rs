//! Whole entries.

use super::{put_text, text, why};
use crate::bytes::{Reader, Writer};
use crate::entry::{Db, Gid, Group, Members, Passwd, Record, Shadow, Uid};
use crate::nsss::MEMBERS_MAX;
use crate::{DecodeError, Decoded, EncodeError};

/// A number of a shadow entry, of which 32 bits are sent: days are signed, so that -1 stands for
/// an empty field; the flag, the last of the seven, is not, and is empty where all bits are set.
pub(super) fn widen(at: usize, word: u32) -> u64 {
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
pub fn decode(db: Db, input: &[u8]) -> Result<Decoded<Record<'_>>, DecodeError> {
    let mut c = Reader::new(input);
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
                return Err(DecodeError::Malformed(why::MEMBERS));
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
    Ok(Decoded { value, len: c.taken() })
}

/// Writes a whole entry, without the mark in front of it. [`EncodeError::Unrepresentable`] if it has a number that
/// nslcd cannot carry.
pub fn encode(record: &Record<'_>, out: &mut [u8]) -> Result<usize, EncodeError> {
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
            *word = narrow(at, number).ok_or(EncodeError::Unrepresentable("number too large"))?;
        }
    }
    let mut s = Writer::new(out, size)?;
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

    fn both_ways(db: Db, text: &[u8], bytes: &[u8]) {
        let record = line::parse(db, text).unwrap();
        let mut out = [0xa5; 128];
        let len = encode(&record, &mut out).unwrap();
        assert_eq!(&out[..len], bytes);
        assert!(out[len..].iter().all(|b| *b == 0xa5));
        assert_eq!(decode(db, bytes), Ok(Decoded { value: record, len }));
        for cut in 0..len {
            out.fill(0xa5);
            assert_eq!(encode(&record, &mut out[..cut]), Err(EncodeError::NoSpace(len)));
            assert!(out.iter().all(|b| *b == 0xa5), "a part of the entry was written");
            assert!(matches!(decode(db, &bytes[..cut]), Err(DecodeError::Incomplete(_))));
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
            assert!(
                matches!(encode(&record, &mut [0; 128]), Err(EncodeError::Unrepresentable(_))),
                "{text:?}"
            );
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
            assert!(matches!(decode(db, bytes), Err(DecodeError::Malformed(_))), "{bytes:?}");
        }
    }
}
