//! Replies: a status byte, and after a 0 what was asked for.
//!
//! | reply | bytes after the status |
//! |---|---|
//! | passwd | u32 uid, u32 gid, u32 L, L bytes: five strings, each closed by NUL |
//! | group | u32 gid, u32 L, u32 m, L bytes: 2+m strings |
//! | shadow | 7 x u64, u32 L, L bytes: two strings |
//! | group list | u64 n as asked, u64 r, min(n, r) x u32 |
//!
//! The strings are the record's *area*; what stands in front of it is its [`Head`].

use crate::bytes::{Reader, Writer};
use crate::entry::{Db, Gid, Group, Members, Passwd, Record, Shadow, Uid};
use crate::{DecodeError, Decoded, EncodeError, Malformed};

/// Status bytes with a meaning of their own; 1 to 254 are errnos of the machine.
pub mod status {
    /// Success.
    pub const OK: u8 = 0;
    /// Not found, or end of the list.
    pub const NOT_FOUND: u8 = 255;
}

/// Most members of a group that nsss sends; more is ENAMETOOLONG. (nsss-switch.h: 0x30000000)
pub const MEMBERS_MAX: u32 = 0x3000_0000;

/// What precedes the strings of a record, and tells their length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// 13 bytes with the status.
    Passwd {
        /// User number.
        uid: Uid,
        /// Primary group.
        gid: Gid,
        /// Bytes of the area.
        len: u32,
    },
    /// 13 bytes with the status.
    Group {
        /// Group number.
        gid: Gid,
        /// Bytes of the area.
        len: u32,
        /// Number of members.
        members: u32,
    },
    /// 61 bytes with the status.
    Shadow {
        /// As in [`Shadow::numbers`].
        numbers: [u64; 7],
        /// Bytes of the area.
        len: u32,
    },
}

impl Head {
    /// The largest encoding, that of shadow: status, seven u64, one u32.
    pub const MAX: usize = 1 + 7 * 8 + 4;

    /// That of `record`, whose area has `len` bytes.
    pub fn of(record: &Record<'_>, len: u32) -> Self {
        match record {
            Record::Passwd(r) => Head::Passwd { uid: r.uid, gid: r.gid, len },
            Record::Group(r) => Head::Group { gid: r.gid, len, members: r.members.remaining() },
            Record::Shadow(r) => Head::Shadow { numbers: r.numbers, len },
        }
    }

    /// Bytes of the strings.
    pub fn area_len(&self) -> u32 {
        match self {
            Head::Passwd { len, .. } | Head::Group { len, .. } | Head::Shadow { len, .. } => *len,
        }
    }

    /// The number that the record is found by; a shadow record has none.
    pub fn id(&self) -> Option<u32> {
        match self {
            Head::Passwd { uid: Uid(id), .. } | Head::Group { gid: Gid(id), .. } => Some(*id),
            Head::Shadow { .. } => None,
        }
    }

    /// Of which database the record is.
    pub fn db(&self) -> Db {
        match self {
            Head::Passwd { .. } => Db::Passwd,
            Head::Group { .. } => Db::Group,
            Head::Shadow { .. } => Db::Shadow,
        }
    }

    /// Number of strings.
    pub fn strings(&self) -> u32 {
        match self {
            Head::Passwd { .. } => 5,
            Head::Group { members, .. } => members.saturating_add(2),
            Head::Shadow { .. } => 2,
        }
    }

    /// Bytes of the encoding, status included.
    pub fn size(&self) -> usize {
        match self {
            Head::Passwd { .. } | Head::Group { .. } => 13,
            Head::Shadow { .. } => Self::MAX,
        }
    }

    /// Writes status 0 and the head.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut s = Writer::new(out, self.size())?;
        self.put(&mut s);
        Ok(s.written())
    }

    fn put(&self, s: &mut Writer<'_>) {
        s.put(&[status::OK]);
        let words = match self {
            Head::Passwd { uid, gid, len } => [uid.0, gid.0, *len],
            Head::Group { gid, len, members } => [gid.0, *len, *members],
            Head::Shadow { numbers, len } => {
                numbers.iter().for_each(|n| s.put_u64(*n));
                return s.put_u32(*len);
            }
        };
        words.iter().for_each(|n| s.put_u32(*n));
    }

    /// Reads the head that follows a status 0. [`DecodeError::Malformed`] if no area can fit its counts.
    pub fn decode(db: Db, input: &[u8]) -> Result<Decoded<Head>, DecodeError> {
        let mut c = Reader::new(input);
        let (mut numbers, mut words) = ([0; 7], [0; 3]);
        let (longs, shorts) = if db == Db::Shadow { (7, 1) } else { (0, 3) };
        for number in numbers.iter_mut().take(longs) {
            *number = c.u64_be()?;
        }
        for word in words.iter_mut().take(shorts) {
            *word = c.u32_be()?;
        }
        let [first, second, third] = words;
        let value = match db {
            Db::Passwd => Head::Passwd { uid: Uid(first), gid: Gid(second), len: third },
            Db::Group => Head::Group { gid: Gid(first), len: second, members: third },
            Db::Shadow => Head::Shadow { numbers, len: first },
        };
        if value.strings() >= MEMBERS_MAX + 2 {
            return Err(DecodeError::malformed("too many members"));
        }
        if value.area_len() < value.strings() {
            return Err(DecodeError::malformed("string area shorter than its strings"));
        }
        Ok(Decoded { value, len: c.taken() })
    }
}

/// Writes a whole reply: status 0, head and strings. [`EncodeError::NoSpace`] tells the size that it
/// needs; a record that fits no buffer is sent with [`Head`] and pieces of its strings. [`EncodeError::Unrepresentable`] if its
/// strings are too long for 32 bits, or its members too many.
pub fn encode(record: &Record<'_>, out: &mut [u8]) -> Result<usize, EncodeError> {
    let strings = record.strings();
    if strings.members() > MEMBERS_MAX {
        return Err(EncodeError::Unrepresentable("too many members"));
    }
    let len = u32::try_from(strings.area_len())
        .map_err(|_| EncodeError::Unrepresentable("record too long"))?;
    let head = Head::of(record, len);
    let mut s = Writer::new(out, head.size() + len as usize)?;
    head.put(&mut s);
    for text in strings {
        s.put_string(text);
    }
    Ok(s.written())
}

/// The numbers in front of the gids of a group list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupListHead {
    /// As in the request.
    pub max: u64,
    /// Groups that list the user; min(max, total) gids follow.
    pub total: u64,
}

impl GroupListHead {
    /// Bytes of the encoding, status included.
    pub const SIZE: usize = 17;

    /// Number of gids that follow.
    pub fn sent(&self) -> u64 {
        self.max.min(self.total)
    }

    /// Writes status 0 and the two numbers.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut s = Writer::new(out, Self::SIZE)?;
        s.put(&[status::OK]);
        s.put_u64(self.max);
        s.put_u64(self.total);
        Ok(s.written())
    }

    /// Reads the numbers that follow a status 0. `asked` is the request's number, which the
    /// reply must repeat.
    pub fn decode(asked: u64, input: &[u8]) -> Result<Decoded<Self>, DecodeError> {
        let mut c = Reader::new(input);
        let value = GroupListHead { max: c.u64_be()?, total: c.u64_be()? };
        if value.max != asked {
            return Err(DecodeError::malformed("group list for another request"));
        }
        Ok(Decoded { value, len: c.taken() })
    }
}

/// A reply as its reader sees it, without the strings or gids that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Success without data.
    Done,
    /// Success; the area follows.
    Record(Head),
    /// Success; the gids follow.
    GroupList(GroupListHead),
    /// Not found, or end of the list.
    NotFound,
    /// A failure: an errno of the machine, 1 to 254.
    Failed(u8),
}

impl Reply {
    /// Reads the front of a reply to `request`: status, and head if there is one. A reply has
    /// no tag, so what was asked decides its shape.
    pub fn decode(
        request: &super::Request<'_>,
        input: &[u8],
    ) -> Result<Decoded<Reply>, DecodeError> {
        let Some((first, rest)) = input.split_first() else {
            return Err(DecodeError::Incomplete(1));
        };
        let (value, len) = match (*first, request, request.db()) {
            (status::NOT_FOUND, ..) => (Reply::NotFound, 0),
            (errno, ..) if errno != status::OK => (Reply::Failed(errno), 0),
            (_, super::Request::GroupList { max, .. }, _) => {
                let head = GroupListHead::decode(*max, rest)?;
                (Reply::GroupList(head.value), head.len)
            }
            (_, _, Some(db)) if request.wants_record() => {
                let head = Head::decode(db, rest)?;
                (Reply::Record(head.value), head.len)
            }
            _ => (Reply::Done, 0),
        };
        Ok(Decoded { value, len: 1 + len })
    }
}

impl Head {
    /// The record whose area is `area`, whole. [`Malformed`] if the area is not exactly the
    /// strings that the head counts.
    pub fn record<'a>(&self, area: &'a [u8]) -> Result<Record<'a>, Malformed> {
        let bad = Malformed("string area does not hold the expected strings");
        let nuls = area.iter().filter(|b| **b == 0).count();
        if area.len() != self.area_len() as usize
            || area.last() != Some(&0)
            || nuls != self.strings() as usize
        {
            return Err(bad);
        }
        let (mut rest, mut texts) = (area, [&[][..]; 5]);
        let count = if let Head::Passwd { .. } = self { 5 } else { 2 };
        for text in texts.iter_mut().take(count) {
            let end = rest.iter().position(|b| *b == 0).ok_or(bad)?;
            *text = rest.get(..end).unwrap_or_default();
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        let [name, password, gecos, home, shell] = texts;
        Ok(match *self {
            Head::Passwd { uid, gid, .. } => {
                Record::Passwd(Passwd { name, password, uid, gid, gecos, home, shell })
            }
            Head::Group { gid, members, .. } => Record::Group(Group {
                name,
                password,
                gid,
                members: Members::from_strings(rest, members),
            }),
            Head::Shadow { numbers, .. } => Record::Shadow(Shadow { name, password, numbers }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Request;
    use super::*;
    use crate::entry::Name;
    use crate::line;

    fn both_ways(db: Db, text: &[u8], reply: &[u8]) {
        let record = line::parse(db, text).unwrap();
        let mut out = [0xa5; 256];
        let n = encode(&record, &mut out).unwrap();
        assert_eq!(&out[..n], reply);
        assert!(out[n..].iter().all(|b| *b == 0xa5), "bytes behind the reply were written");
        let took = Head::decode(db, &reply[1..]).unwrap();
        assert_eq!(took.value.record(&reply[1 + took.len..]), Ok(record));
        for cut in 0..n {
            out.fill(0xa5);
            assert_eq!(encode(&record, &mut out[..cut]), Err(EncodeError::NoSpace(n)));
            assert!(out.iter().all(|b| *b == 0xa5), "a part of the reply was written");
        }
        for cut in 0..took.len {
            assert!(matches!(
                Head::decode(db, &reply[1..1 + cut]),
                Err(DecodeError::Incomplete(_))
            ));
        }
    }

    #[test]
    fn records_are_read_as_they_are_written() {
        both_ways(
            Db::Passwd,
            b"bob::1001:1000:::",
            b"\0\0\0\x03\xe9\0\0\x03\xe8\0\0\0\x08bob\0\0\0\0\0",
        );
        both_ways(Db::Group, b"g:x:5:a,", b"\0\0\0\0\x05\0\0\0\x07\0\0\0\x02g\0x\0a\0\0");
        both_ways(Db::Group, b"g::5:", b"\0\0\0\0\x05\0\0\0\x03\0\0\0\0g\0\0");
        let mut shadow = [0u8; 61 + 4];
        shadow[8] = 1;
        shadow[9..57].fill(0xff);
        shadow[60] = 4;
        shadow[61..].copy_from_slice(b"s\0!\0");
        both_ways(Db::Shadow, b"s:!:1::::::", &shadow);
    }

    #[test]
    fn an_area_with_other_strings_than_announced_is_refused() {
        let head = |len| Head::Group { gid: Gid(1), len, members: 1 };
        assert!(head(5).record(b"g\0x\0\0").is_ok());
        for area in [&b"g\0x\0"[..], b"g\0xaa", b"g\0\0\0\0", b"g\0x\0a", b""] {
            assert!(head(5).record(area).is_err(), "{area:?}");
        }
        assert!(matches!(Head::decode(Db::Passwd, &[0; 12]), Err(DecodeError::Malformed(_))));
        let many = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x30, 0, 0, 0];
        assert!(matches!(Head::decode(Db::Group, &many), Err(DecodeError::Malformed(_))));
    }

    #[test]
    fn a_reply_is_read_by_what_was_asked() {
        let user = Name::new(b"u").unwrap();
        let list = Request::GroupList { max: 2, user };
        let bytes = b"\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x05";
        let head = GroupListHead { max: 2, total: 5 };
        assert_eq!(head.sent(), 2);
        let took = Decoded { value: Reply::GroupList(head), len: 17 };
        assert_eq!(Reply::decode(&list, bytes), Ok(took));
        let mut out = [0; 17];
        assert_eq!(head.encode(&mut out), Ok(17));
        assert_eq!(&out, bytes);
        let other = Request::GroupList { max: 3, user };
        assert!(matches!(Reply::decode(&other, bytes), Err(DecodeError::Malformed(_))));
        let end = Request::End(Db::Passwd);
        assert_eq!(Reply::decode(&end, b"\0"), Ok(Decoded { value: Reply::Done, len: 1 }));
        assert_eq!(Reply::decode(&list, b"\xff"), Ok(Decoded { value: Reply::NotFound, len: 1 }));
        assert_eq!(Reply::decode(&list, b"\x0d"), Ok(Decoded { value: Reply::Failed(13), len: 1 }));
        assert_eq!(Reply::decode(&list, b""), Err(DecodeError::Incomplete(1)));
    }
}
