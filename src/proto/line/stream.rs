//! Lines larger than a buffer, in pieces of any size: a line is measured in one pass, and its
//! strings are sent in a second one.
//!
//! ```
//! use nssproto::entry::Db;
//! use nssproto::line::copy::LineCopier;
//! use nssproto::line::Rules;
//! use nssproto::line::stream::LineScanner;
//!
//! let (first, second) = (b"staff:x:50:a", b"da,bob");
//! let mut scanner = LineScanner::new(Rules::Nsss, Db::Group);
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

use super::{Rules, glibc, why};
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
    /// Behind a NUL, behind the last field of a shadow line, or a blank that is dropped.
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
    pub(super) rules: Rules,
    pub(super) db: Db,
    field: u8,
    kind: FieldKind,
    /// Blanks are dropped until another byte comes.
    trims: bool,
    /// Bytes of the field were seen, and of the member.
    in_field: bool,
    pub(super) in_member: bool,
    /// A NUL ended the line.
    ended: bool,
}

impl Walk {
    pub(super) fn new(rules: Rules, db: Db) -> Self {
        Walk {
            rules,
            db,
            field: 0,
            kind: FieldKind::Text,
            trims: rules.trim_lines(),
            in_field: false,
            in_member: false,
            ended: false,
        }
    }

    /// Where the next byte stands, and whether it closes its field or member.
    pub(super) fn step(&mut self, byte: u8) -> (FieldKind, bool) {
        if byte == 0 {
            self.ended = true;
        }
        if self.ended || self.trims && glibc::is_blank(byte) {
            return (FieldKind::Over, false);
        }
        let kind = self.kind;
        self.trims = false;
        if kind == FieldKind::Members {
            let closes = byte == b',';
            self.in_field = true;
            self.trims = closes && self.rules != Rules::Nsss;
            self.in_member = !closes;
            return (kind, closes);
        }
        let closes = byte == b':' && self.field < last(self.db);
        self.in_field = !closes;
        if closes {
            self.field += 1;
            self.kind = kind_of(self.db, self.field);
            self.trims = self.kind == FieldKind::Members && self.rules != Rules::Nsss;
        }
        (kind, closes)
    }

    /// How many strings the end of the line closes: the last member, and texts that are missing.
    pub(super) fn open_strings(&self) -> u32 {
        let members = if self.rules == Rules::Nsss { self.in_field } else { self.in_member };
        match (self.db, self.field) {
            (Db::Group, 3..) => members.into(),
            (Db::Passwd, 2..) => u32::from(7 - self.field).min(3),
            (Db::Passwd, field) => u32::from(5 - field),
            (_, field) => u32::from(2_u8.saturating_sub(field)),
        }
    }
}

/// Compares a name with bytes that come one by one.
#[derive(Clone, Copy, Debug, Default)]
struct Match {
    at: u32,
    differs: bool,
}

impl Match {
    fn push(&mut self, byte: u8, key: &[u8]) {
        self.differs |= key.get(self.at as usize) != Some(&byte);
        self.at = self.at.saturating_add(1);
    }

    fn holds(&self, key: &[u8]) -> bool {
        !self.differs && self.at as usize == key.len()
    }
}

/// A number, byte by byte.
#[derive(Clone, Copy, Debug, Default)]
struct Number {
    decimal: Decimal,
    /// More than blanks came.
    begun: bool,
    negative: bool,
    /// Blanks came in front.
    blanks: bool,
}

impl Number {
    fn push(&mut self, byte: u8, rules: Rules) {
        if !self.begun && rules != Rules::Nsss {
            if glibc::is_blank(byte) {
                self.blanks = true;
                return;
            }
            self.begun = true;
            self.negative = byte == b'-';
            if let b'-' | b'+' = byte {
                return;
            }
        }
        self.begun = true;
        self.decimal.push(byte);
    }

    fn value(&self) -> Option<u64> {
        let value = self.decimal.value()?;
        Some(if self.negative { value.wrapping_neg() } else { value })
    }

    fn is_empty(&self) -> bool {
        !self.begun && !self.blanks
    }
}

/// First pass over a line: its numbers, the length of its strings, and whether it is the one
/// that is looked for.
#[derive(Clone, Copy, Debug)]
pub struct LineScanner {
    walk: Walk,
    /// The byte that the name begins with.
    first: Option<u8>,
    number: Number,
    numbers: [u64; 7],
    wrong: Option<Malformed>,
    /// As many as can be counted.
    area: u32,
    members: u32,
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
    /// By glibc's rules: it can be found by its name and number.
    pub has_key: bool,
    pub(super) rules: Rules,
    pub(super) hash: Fnv1a,
    pub(super) len: u64,
}

impl LineScanner {
    /// A meter at the start of a line of `db`.
    // Inlined, it would be at four places.
    #[inline(never)]
    pub fn new(rules: Rules, db: Db) -> Self {
        LineScanner {
            walk: Walk::new(rules, db),
            first: None,
            number: Number::default(),
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
        let Walk { field, in_member, .. } = self.walk;
        match self.walk.step(byte) {
            (FieldKind::Members, true) => self.close_member(key, in_member),
            (_, true) => self.close_field(field),
            (FieldKind::Text, _) => {
                self.area = self.area.saturating_add(1);
                if field == 0 {
                    self.name.push(byte, key);
                    self.first = self.first.or(Some(byte));
                }
            }
            (FieldKind::Number, _) => self.number.push(byte, self.walk.rules),
            (FieldKind::Members, _) => {
                self.area = self.area.saturating_add(1);
                self.member.push(byte, key);
            }
            (FieldKind::Over, _) => {}
        }
    }

    fn close_field(&mut self, field: u8) {
        let Walk { rules, db, .. } = self.walk;
        match kind_of(db, field) {
            FieldKind::Text => self.area = self.area.saturating_add(1),
            FieldKind::Number => {
                let limit = match (rules, db) {
                    (Rules::Nsss, Db::Shadow) => u64::MAX,
                    _ => u64::from(u32::MAX),
                };
                let mut number = self.number.value().filter(|n| *n <= limit);
                if rules != Rules::Nsss && db == Db::Shadow && field < 8 {
                    number = number.map(|days| glibc::days_of(days as u32));
                }
                let mut empty = db == Db::Shadow && self.number.is_empty();
                if rules != Rules::Nsss {
                    // The fourth number of shadow may be blanks.
                    empty |= db == Db::Shadow && field == 5 && !self.number.begun;
                    if db != Db::Shadow && self.number.is_empty() && !self.has_key() {
                        number = Some(0);
                    }
                }
                let at = usize::from(field).checked_sub(2);
                match (number, at.and_then(|at| self.numbers.get_mut(at))) {
                    (Some(number), Some(place)) => *place = number,
                    _ if empty => {}
                    _ => self.wrong = self.wrong.or(Some(why::number(db, field))),
                }
                self.number = Number::default();
            }
            FieldKind::Members | FieldKind::Over => {}
        }
    }

    fn has_key(&self) -> bool {
        !matches!(self.first, Some(b'+' | b'-'))
    }

    /// `any`: it has a byte. Empty ones do not count for glibc.
    fn close_member(&mut self, key: &[u8], any: bool) {
        if any || self.walk.rules == Rules::Nsss {
            self.area = self.area.saturating_add(1);
            self.members = self.members.saturating_add(1);
            self.listed |= self.member.holds(key);
            self.member = Match::default();
        }
    }

    /// Ends the line; the error says why it has to be skipped, as [`crate::line::parse`] does.
    pub fn finish(&mut self, key: &[u8]) -> Result<LineSummary, Malformed> {
        let Walk { rules, db, field, in_field, .. } = self.walk;
        match rules {
            Rules::Nsss if field < (if db == Db::Shadow { 8 } else { last(db) }) => {
                return Err(why::FIELDS);
            }
            Rules::Nsss => {}
            _ => self.check_fields()?,
        }
        let (kind, open) = (kind_of(db, field), self.walk.open_strings());
        if kind == FieldKind::Number && (in_field || rules == Rules::Nsss) {
            self.close_field(field);
        }
        match kind {
            FieldKind::Members if open > 0 => self.close_member(key, true),
            _ => self.area = self.area.saturating_add(open),
        }
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let (len, members) = (self.area, self.members);
        if len == u32::MAX {
            return Err(Malformed("record too long"));
        }
        if members > MEMBERS_MAX {
            return Err(Malformed("too many members"));
        }
        let [first, second, ..] = self.numbers;
        // Numbers of passwd and group were checked to be below 2^32.
        let head = match db {
            Db::Passwd => Head::Passwd { uid: Uid(first as u32), gid: Gid(second as u32), len },
            Db::Group => Head::Group { gid: Gid(first as u32), len, members },
            Db::Shadow => Head::Shadow { numbers: self.numbers, len },
        };
        let named = self.name.holds(key);
        let (listed, has_key) = (self.listed, self.has_key());
        let LineScanner { hash, len, .. } = *self;
        Ok(LineSummary { head, named, listed, has_key, rules, hash, len })
    }

    /// Whether the fields that glibc needs are there. Those of a line for NIS that is nothing but a
    /// name are 0.
    fn check_fields(&mut self) -> Result<(), Malformed> {
        let Walk { rules, db, field, in_field, .. } = self.walk;
        if rules.trim_lines() && self.first == Some(b'#') {
            return Err(why::COMMENT);
        }
        if rules == Rules::Cache && (!self.has_key() || self.first.is_none()) {
            return Err(why::NAME);
        }
        if !self.has_key() && (field == 0 || field == 1 && !in_field) {
            self.numbers.iter_mut().take(3).for_each(|number| *number = 0);
            return Ok(());
        }
        let ended_well = match db {
            Db::Passwd => field > 3 || field == 3 && in_field,
            Db::Group => field > 2 || field == 2 && in_field,
            // Five, or eight; behind a colon the last four are missing, or the flag is.
            Db::Shadow => matches!((field, in_field), (4 | 7, true) | (5 | 8, _)),
        };
        if !ended_well || db == Db::Shadow && field == 5 && self.number.begun {
            return Err(if db == Db::Shadow { why::NUMBER } else { why::FIELDS });
        }
        Ok(())
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
    use crate::line::Parsed;
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
            let alphabet: [&[u8]; 20] = [
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
                b" ",
                b"+",
                b"#",
                b"-18446744073709551611",
                b"s:x:1:2:3",
                b"s:x:1:2:3:4:5:2147483648",
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

    fn measure(rules: Rules, db: Db, line: &[u8], odd: &mut Odd) -> Result<LineSummary, Malformed> {
        let mut meter = LineScanner::new(rules, db);
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
        for rules in [Rules::Nsss, Rules::Glibc, Rules::GlibcMembers, Rules::Cache] {
            let mut odd = Odd(7);
            let mut good = 0;
            for _ in 0..60_000 {
                let (mut room, mut db) = ([0; 64], Db::ALL[odd.below(3)]);
                if rules == Rules::GlibcMembers {
                    db = Db::Group;
                }
                let len = odd.line(&mut room);
                good += usize::from(compare(rules, db, &room[..len], &mut odd));
            }
            assert!(good > 1000, "only {good} good lines");
        }
    }

    /// Whether it is a good line, by the whole of it and by its pieces.
    fn compare(rules: Rules, db: Db, text: &[u8], odd: &mut Odd) -> bool {
        let measured = measure(rules, db, text, odd);
        let record = match (Parsed::new(rules, db, text), measured) {
            (Err(why), Err(same)) => {
                assert!(why == same || rules != Rules::Nsss, "{db:?} {text:?}");
                return false;
            }
            (Ok(parsed), Ok(_)) => parsed.record(text).unwrap(),
            (whole, pieces) => {
                panic!("{rules:?} {db:?} {}: {whole:?} but {pieces:?}", text.escape_ascii())
            }
        };
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
        assert_eq!(&got[..at], &want[..n], "{rules:?} {db:?} {}", text.escape_ascii());
        assert_eq!(measured.named, record.name() == b"a");
        assert_eq!(measured.has_key, line::glibc::has_key(record.name()));
        if let crate::entry::Record::Group(mut g) = record {
            assert_eq!(measured.listed, g.members.any(|m| m == b"a"), "{text:?}");
        }
        true
    }

    #[test]
    fn a_changed_line_is_never_sent_whole() {
        let text = b"g:x:5:alice,bob,carol";
        let mut odd = Odd(1);
        let measured = measure(Rules::Nsss, Db::Group, text, &mut odd).unwrap();
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
