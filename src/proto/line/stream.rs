//! Lines larger than a buffer, in pieces of any size: a line is measured in one pass, and its
//! strings are sent in a second one.
//!
//! ```
//! use nssproto::entry::Db;
//! use nssproto::line::copy::LineCopier;
//! use nssproto::line::stream::LineScanner;
//!
//! let (first, second) = (b"staff:x:50:a", b"da,bob");
//! let mut scanner = LineScanner::new(Db::Group);
//! scanner.feed(first, b"ada");
//! scanner.feed(second, b"ada");
//! let summary = scanner.finish(b"ada")?;
//! assert!(summary.listed && !summary.named);
//!
//! // The head goes first; then the strings, as they are in an nsss reply.
//! assert_eq!(summary.head.area_len(), 16);
//! let mut copier = LineCopier::new(Db::Group, summary);
//! let mut room = [0; 16];
//! assert_eq!(copier.feed(first, &mut room)?, (12, 9));
//! assert_eq!(copier.feed(second, &mut room[9..])?, (6, 7));
//! assert!(copier.done() && room == *b"staff\0x\0ada\0bob\0");
//! # Ok::<(), nssproto::Malformed>(())
//! ```

use super::why;
use crate::Malformed;
use crate::bytes::{Decimal, Fnv1a};
use crate::entry::{Db, Gid, Uid};
use crate::nsss::{Head, MEMBERS_MAX};

/// Where the byte at hand stands in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldKind {
    Text,
    Number,
    Members,
    /// Behind a NUL, or behind the last field of a shadow line.
    Over,
}

/// Which kind of field has the number `field`, counted from 0.
fn kind_of(db: Db, field: u8) -> FieldKind {
    match (db, field) {
        (_, 0 | 1) => FieldKind::Text,
        (Db::Passwd, 2 | 3) | (Db::Group, 2) | (Db::Shadow, 2..=8) => FieldKind::Number,
        (Db::Passwd, _) => FieldKind::Text,
        (Db::Group, _) => FieldKind::Members,
        (Db::Shadow, _) => FieldKind::Over,
    }
}

/// The number of the field that takes everything that is left, colons included.
fn last(db: Db) -> u8 {
    match db {
        Db::Passwd => 6,
        Db::Group => 3,
        Db::Shadow => 9,
    }
}

/// Goes along a line byte by byte: both passes see the same fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub(super) db: Db,
    field: u8,
    kind: FieldKind,
}

impl Walk {
    pub(super) fn new(db: Db) -> Self {
        Walk { db, field: 0, kind: FieldKind::Text }
    }

    /// Where the next byte stands, and whether it is the colon that closes its field.
    pub(super) fn step(&mut self, byte: u8) -> (FieldKind, bool) {
        if byte == 0 {
            self.kind = FieldKind::Over;
        }
        let kind = self.kind;
        let closes = byte == b':' && kind != FieldKind::Over && self.field < last(self.db);
        if closes {
            self.field += 1;
            self.kind = kind_of(self.db, self.field);
        }
        (kind, closes)
    }
}

/// Compares a name with bytes that come one by one.
#[derive(Clone, Copy, Debug, Default)]
struct Match {
    at: usize,
    differs: bool,
}

impl Match {
    fn push(&mut self, byte: u8, key: &[u8]) {
        self.differs |= key.get(self.at) != Some(&byte);
        self.at += 1;
    }

    fn holds(&self, key: &[u8]) -> bool {
        !self.differs && self.at == key.len()
    }
}

/// First pass over a line: its numbers, the length of its strings, and whether it is the one
/// that is looked for.
#[derive(Clone, Copy, Debug)]
pub struct LineScanner {
    walk: Walk,
    number: Decimal,
    numbers: [u64; 7],
    wrong: Option<Malformed>,
    area: u64,
    members: u64,
    name: Match,
    member: Match,
    listed: bool,
    hash: Fnv1a,
    len: u64,
}

/// What the first pass found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineSummary {
    /// Ready to be sent.
    pub head: Head,
    /// The line's name is the key.
    pub named: bool,
    /// The key is among the members of the group.
    pub listed: bool,
    pub(super) hash: Fnv1a,
    pub(super) len: u64,
}

impl LineScanner {
    /// A meter at the start of a line of `db`.
    // Inlined, it would be at four places.
    #[inline(never)]
    pub fn new(db: Db) -> Self {
        LineScanner {
            walk: Walk::new(db),
            number: Decimal::default(),
            numbers: [u64::MAX; 7],
            wrong: None,
            area: 0,
            members: 0,
            name: Match::default(),
            member: Match::default(),
            listed: false,
            hash: Fnv1a::START,
            len: 0,
        }
    }

    /// Takes the next bytes of the line, LF excluded. `key` is the name that is looked for as
    /// name or member; any bytes if there is none. It must be the same in every call.
    pub fn feed(&mut self, bytes: &[u8], key: &[u8]) {
        self.hash.feed(bytes);
        for byte in bytes {
            self.push(*byte, key);
        }
        self.len += bytes.len() as u64;
    }

    fn push(&mut self, byte: u8, key: &[u8]) {
        let field = self.walk.field;
        match self.walk.step(byte) {
            (_, true) => self.close_field(field),
            (FieldKind::Text, _) => {
                self.area += 1;
                if field == 0 {
                    self.name.push(byte, key);
                }
            }
            (FieldKind::Number, _) => self.number.push(byte),
            (FieldKind::Members, _) => {
                self.members = self.members.max(1);
                self.area += 1;
                if byte == b',' {
                    self.members += 1;
                    self.close_member(key);
                } else {
                    self.member.push(byte, key);
                }
            }
            (FieldKind::Over, _) => {}
        }
    }

    fn close_field(&mut self, field: u8) {
        let db = self.walk.db;
        match kind_of(db, field) {
            FieldKind::Text => self.area += 1,
            FieldKind::Number => {
                let limit = if db == Db::Shadow { u64::MAX } else { u64::from(u32::MAX) };
                let number = self.number.value().filter(|n| *n <= limit);
                let empty = db == Db::Shadow && self.number.is_empty();
                let at = usize::from(field).checked_sub(2);
                match (number, at.and_then(|at| self.numbers.get_mut(at))) {
                    (Some(number), Some(place)) => *place = number,
                    _ if empty => {}
                    _ => self.wrong = self.wrong.or(Some(why_number(db, field))),
                }
                self.number = Decimal::default();
            }
            FieldKind::Members | FieldKind::Over => {}
        }
    }

    fn close_member(&mut self, key: &[u8]) {
        self.listed |= self.member.holds(key);
        self.member = Match::default();
    }

    /// Ends the line; the error says why it has to be skipped, as [`crate::line::parse`] does.
    pub fn finish(mut self, key: &[u8]) -> Result<LineSummary, Malformed> {
        let Walk { db, field, .. } = self.walk;
        let needed = if db == Db::Shadow { 8 } else { last(db) };
        if field < needed {
            return Err(why::FIELDS);
        }
        self.close_field(field);
        if self.members > 0 {
            self.area += 1;
            self.close_member(key);
        }
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let len = u32::try_from(self.area).map_err(|_| Malformed("record too long"))?;
        let members = u32::try_from(self.members).ok().filter(|m| *m <= MEMBERS_MAX);
        let members = members.ok_or(Malformed("too many members"))?;
        let [first, second, ..] = self.numbers;
        // Numbers of passwd and group were checked to be below 2^32.
        let head = match db {
            Db::Passwd => Head::Passwd { uid: Uid(first as u32), gid: Gid(second as u32), len },
            Db::Group => Head::Group { gid: Gid(first as u32), len, members },
            Db::Shadow => Head::Shadow { numbers: self.numbers, len },
        };
        let named = self.name.holds(key);
        Ok(LineSummary { head, named, listed: self.listed, hash: self.hash, len: self.len })
    }
}

fn why_number(db: Db, field: u8) -> Malformed {
    match (db, field) {
        (Db::Passwd, 2) => why::UID,
        (Db::Passwd, _) | (Db::Group, _) => why::GID,
        (Db::Shadow, _) => why::NUMBER,
    }
}

impl LineSummary {
    /// Bytes of the line, LF excluded.
    pub fn line_len(&self) -> u64 {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::copy::LineCopier;
    use crate::{line, nsss};

    /// A small generator of repeatable odd lines.
    struct Odd(u64);

    impl Odd {
        fn below(&mut self, n: usize) -> usize {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 33) as usize % n
        }

        fn line(&mut self, out: &mut [u8; 64]) -> usize {
            let alphabet: [&[u8]; 14] = [
                b":",
                b":",
                b":",
                b":",
                b",",
                b"a",
                b"x",
                b"1",
                b"42",
                b"a:x:1:2:",
                b"g:x:5:",
                b"s:x:1:2:3:4:::",
                b"\0",
                b"4294967296",
            ];
            let mut len = 0;
            for _ in 0..self.below(12) {
                let piece = alphabet[self.below(alphabet.len())];
                if len + piece.len() <= out.len() {
                    out[len..len + piece.len()].copy_from_slice(piece);
                    len += piece.len();
                }
            }
            len
        }
    }

    fn measure(db: Db, line: &[u8], odd: &mut Odd) -> Result<LineSummary, Malformed> {
        let mut meter = LineScanner::new(db);
        let mut rest = line;
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(1 + odd.below(rest.len()));
            meter.feed(head, b"a");
            rest = tail;
        }
        meter.finish(b"a")
    }

    #[test]
    fn pieces_give_what_the_whole_line_gives() {
        let mut odd = Odd(7);
        let mut good = 0;
        for _ in 0..60_000 {
            let (mut room, db) = ([0; 64], Db::ALL[odd.below(3)]);
            let len = odd.line(&mut room);
            let text = &room[..len];
            let measured = measure(db, text, &mut odd);
            let record = match (line::parse(db, text), measured) {
                (Err(why), Err(same)) => {
                    assert_eq!(why, same, "{db:?} {text:?}");
                    continue;
                }
                (Ok(record), Ok(_)) => record,
                (whole, pieces) => panic!("{db:?} {text:?}: {whole:?} but {pieces:?}"),
            };
            good += 1;
            let measured = measured.unwrap();
            let mut want = [0xa5; 256];
            let n = nsss::encode(&record, &mut want).unwrap();
            let mut got = [0xa5; 256];
            let mut at = measured.head.encode(&mut got).unwrap();
            let mut copier = LineCopier::new(db, measured);
            let mut pos = 0;
            while !copier.done() {
                let end = (pos + odd.below(9)).min(text.len());
                let room = at + odd.below(5);
                let (taken, given) = copier.feed(&text[pos..end], &mut got[at..room]).unwrap();
                pos += taken;
                at += given;
            }
            assert_eq!(&got[..at], &want[..n], "{db:?} {text:?}");
            assert_eq!(measured.named, record.name() == b"a");
            if let crate::entry::Record::Group(mut g) = record {
                assert_eq!(measured.listed, g.members.any(|m| m == b"a"), "{text:?}");
            }
        }
        assert!(good > 1000, "only {good} good lines");
    }

    #[test]
    fn a_changed_line_is_never_sent_whole() {
        let text = b"g:x:5:alice,bob,carol";
        let mut odd = Odd(1);
        let measured = measure(Db::Group, text, &mut odd).unwrap();
        for at in 0..text.len() {
            let mut other = *text;
            other[at] ^= 1;
            let mut copier = LineCopier::new(Db::Group, measured);
            let mut out = [0; 64];
            assert!(copier.feed(&other, &mut out).is_err(), "byte {at}");
        }
        let mut copier = LineCopier::new(Db::Group, measured);
        let (_, given) = copier.feed(&text[..text.len() - 1], &mut [0; 64]).unwrap();
        assert!(given < measured.head.area_len() as usize);
    }
}
