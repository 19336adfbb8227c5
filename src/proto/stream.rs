//! Records larger than a buffer, in pieces of any size: a line is measured in one pass and
//! its strings are sent in a second one; a peer's strings are checked while they pass.

use crate::bytes::{Decimal, Hash};
use crate::entry::{Db, Gid, Name, Uid};
use crate::line::why;
use crate::nsss::{Head, MEMBERS_MAX};

/// Where the byte at hand stands in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Text,
    Number,
    Members,
    /// Behind a NUL, or behind the last field of a shadow line.
    Over,
}

/// Which kind of field has the number `field`, counted from 0.
fn place(db: Db, field: u8) -> Place {
    match (db, field) {
        (_, 0 | 1) => Place::Text,
        (Db::Passwd, 2 | 3) | (Db::Group, 2) | (Db::Shadow, 2..=8) => Place::Number,
        (Db::Passwd, _) => Place::Text,
        (Db::Group, _) => Place::Members,
        (Db::Shadow, _) => Place::Over,
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
struct Walk {
    db: Db,
    field: u8,
    place: Place,
}

impl Walk {
    fn new(db: Db) -> Self {
        Walk { db, field: 0, place: Place::Text }
    }

    /// Where the next byte stands, and whether it is the colon that closes its field.
    fn step(&mut self, byte: u8) -> (Place, bool) {
        if byte == 0 {
            self.place = Place::Over;
        }
        let place = self.place;
        let closes = byte == b':' && place != Place::Over && self.field < last(self.db);
        if closes {
            self.field += 1;
            self.place = crate::stream::place(self.db, self.field);
        }
        (place, closes)
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
pub struct Meter {
    walk: Walk,
    number: Decimal,
    numbers: [u64; 7],
    wrong: Option<&'static str>,
    area: u64,
    members: u64,
    name: Match,
    member: Match,
    listed: bool,
    hash: Hash,
    len: u64,
}

/// What the first pass found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Ready to be sent.
    pub head: Head,
    /// The line's name is the key.
    pub named: bool,
    /// The key is among the members of the group.
    pub listed: bool,
    hash: Hash,
    len: u64,
}

impl Meter {
    /// A meter at the start of a line of `db`.
    // Inlined, it would be at four places.
    #[inline(never)]
    pub fn new(db: Db) -> Self {
        Meter {
            walk: Walk::new(db),
            number: Decimal::default(),
            numbers: [u64::MAX; 7],
            wrong: None,
            area: 0,
            members: 0,
            name: Match::default(),
            member: Match::default(),
            listed: false,
            hash: Hash::START,
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
            (Place::Text, _) => {
                self.area += 1;
                if field == 0 {
                    self.name.push(byte, key);
                }
            }
            (Place::Number, _) => self.number.push(byte),
            (Place::Members, _) => {
                self.members = self.members.max(1);
                self.area += 1;
                if byte == b',' {
                    self.members += 1;
                    self.close_member(key);
                } else {
                    self.member.push(byte, key);
                }
            }
            (Place::Over, _) => {}
        }
    }

    fn close_field(&mut self, field: u8) {
        let db = self.walk.db;
        match place(db, field) {
            Place::Text => self.area += 1,
            Place::Number => {
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
            Place::Members | Place::Over => {}
        }
    }

    fn close_member(&mut self, key: &[u8]) {
        self.listed |= self.member.holds(key);
        self.member = Match::default();
    }

    /// Ends the line; the error says why it has to be skipped, as [`crate::line::parse`] does.
    pub fn finish(mut self, key: &[u8]) -> Result<Measured, &'static str> {
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
        let len = u32::try_from(self.area).map_err(|_| "record too long")?;
        let members = u32::try_from(self.members).ok().filter(|m| *m <= MEMBERS_MAX);
        let members = members.ok_or("too many members")?;
        let [first, second, ..] = self.numbers;
        // Numbers of passwd and group were checked to be below 2^32.
        let head = match db {
            Db::Passwd => Head::Passwd { uid: Uid(first as u32), gid: Gid(second as u32), len },
            Db::Group => Head::Group { gid: Gid(first as u32), len, members },
            Db::Shadow => Head::Shadow { numbers: self.numbers, len },
        };
        let named = self.name.holds(key);
        Ok(Measured { head, named, listed: self.listed, hash: self.hash, len: self.len })
    }
}

fn why_number(db: Db, field: u8) -> &'static str {
    match (db, field) {
        (Db::Passwd, 2) => why::UID,
        (Db::Passwd, _) | (Db::Group, _) => why::GID,
        (Db::Shadow, _) => why::NUMBER,
    }
}

impl Measured {
    /// Bytes of the line, LF excluded.
    pub fn line_len(&self) -> u64 {
        self.len
    }
}

/// Second pass over a measured line: its strings, each closed by NUL.
#[derive(Clone, Copy, Debug)]
pub struct Copier {
    walk: Walk,
    any_member: bool,
    ended: bool,
    taken: u64,
    given: u64,
    hash: Hash,
    measured: Measured,
}

impl Copier {
    /// A copier at the start of the line of `db` that was measured.
    pub fn new(db: Db, measured: Measured) -> Self {
        Copier {
            walk: Walk::new(db),
            any_member: false,
            ended: false,
            taken: 0,
            given: 0,
            hash: Hash::START,
            measured,
        }
    }

    /// A copier at the start of the same line.
    pub fn again(&self) -> Self {
        Copier::new(self.walk.db, self.measured)
    }

    /// The head of the record.
    pub fn head(&self) -> &Head {
        &self.measured.head
    }

    /// Bytes of the line that are still to be fed.
    pub fn wants(&self) -> u64 {
        self.measured.len - self.taken
    }

    /// Bytes of the line that were fed.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether the whole area was given out.
    pub fn done(&self) -> bool {
        self.ended
    }

    /// Takes bytes of the line from the front of `input` and puts bytes of the area to the
    /// front of `out`; how many of each. The area's last byte is only given out once the whole
    /// line was seen to be the one that was measured; if it is another one, the error says so
    /// and what is missing must never be sent.
    pub fn feed(&mut self, input: &[u8], out: &mut [u8]) -> Result<(usize, usize), &'static str> {
        let area = u64::from(self.measured.head.area_len());
        let wants = usize::try_from(self.wants()).unwrap_or(usize::MAX).min(input.len());
        let input = input.get(..wants).unwrap_or_default();
        let mut rest = input.iter();
        let mut room = out.iter_mut();
        while room.len() > 0 {
            let Some(byte) = rest.next() else { break };
            if let Some(byte) = self.push(*byte) {
                self.given += 1;
                // The last byte is held back until the line has been verified.
                if self.given < area {
                    if let Some(place) = room.next() {
                        *place = byte;
                    }
                }
            }
        }
        let taken = input.len() - rest.len();
        self.hash.feed(input.get(..taken).unwrap_or_default());
        self.taken += taken as u64;
        if self.wants() == 0 && !self.ended {
            // The end of the line closes a string, where there is one.
            let closes = self.any_member || self.walk.db == Db::Passwd;
            if self.hash != self.measured.hash || self.given + u64::from(closes) != area {
                return Err("file changed while its record was being sent");
            }
            // Without room for the last byte it is taken up again in the next call.
            if let Some(place) = room.next() {
                *place = 0;
                self.ended = true;
            }
        }
        let left = room.len();
        Ok((taken, out.len() - left))
    }

    /// The byte of the area that `byte` of the line becomes, if any.
    fn push(&mut self, byte: u8) -> Option<u8> {
        match self.walk.step(byte) {
            (Place::Text, closes) => Some(if closes { 0 } else { byte }),
            (Place::Members, _) => {
                self.any_member = true;
                Some(if byte == b',' { 0 } else { byte })
            }
            (Place::Number | Place::Over, _) => None,
        }
    }
}

/// Checks the area of a peer's record while it passes: the right length, the right number of
/// strings, the last byte a NUL.
#[derive(Clone, Copy, Debug)]
pub struct AreaCheck {
    left: u32,
    strings: u32,
}

impl AreaCheck {
    /// A check of the area that follows `head`.
    pub fn new(head: &Head) -> Self {
        AreaCheck { left: head.area_len(), strings: head.strings() }
    }

    /// Bytes that are still to come.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// Takes the next bytes, at most [`AreaCheck::left`]; the error means that they must not be
    /// passed on.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let wrong = "string area does not hold the expected strings";
        let nuls = bytes.iter().filter(|b| **b == 0).count();
        let len = u32::try_from(bytes.len()).map_err(|_| wrong)?;
        self.left = self.left.checked_sub(len).ok_or(wrong)?;
        self.strings =
            u32::try_from(nuls).ok().and_then(|n| self.strings.checked_sub(n)).ok_or(wrong)?;
        if self.left == 0 && (self.strings != 0 || bytes.last() != Some(&0)) {
            return Err(wrong);
        }
        Ok(())
    }
}

/// Whether `user` is among `members`.
pub fn lists(mut members: crate::entry::Members<'_>, user: Name<'_>) -> bool {
    members.any(|m| m == user.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
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

    fn measure(db: Db, line: &[u8], odd: &mut Odd) -> Result<Measured, &'static str> {
        let mut meter = Meter::new(db);
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
            let mut copier = Copier::new(db, measured);
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
            let mut copier = Copier::new(Db::Group, measured);
            let mut out = [0; 64];
            assert!(copier.feed(&other, &mut out).is_err(), "byte {at}");
        }
        let mut copier = Copier::new(Db::Group, measured);
        let (_, given) = copier.feed(&text[..text.len() - 1], &mut [0; 64]).unwrap();
        assert!(given < measured.head.area_len() as usize);
    }

    #[test]
    fn a_peers_area_is_checked_in_any_pieces() {
        let head = Head::Group { gid: Gid(1), len: 8, members: 1 };
        for (area, good) in [
            (&b"g\0x\0abc\0"[..], true),
            (b"g\0x\0abcd", false),
            (b"g\0xyabc\0", false),
            (b"g\0\0\0abc\0", false),
        ] {
            for cut in 0..area.len() {
                let mut check = AreaCheck::new(&head);
                let first = check.feed(&area[..cut]);
                assert_eq!(first.and_then(|()| check.feed(&area[cut..])).is_ok(), good);
            }
        }
        assert!(AreaCheck::new(&head).feed(b"123456789").is_err());
    }
}
