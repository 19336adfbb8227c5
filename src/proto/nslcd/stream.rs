//! An entry in pieces of any size: its numbers, the length of its strings, and the strings as
//! nsss sends them, each closed by NUL (the record's *area*).
//!
//! What is larger than a buffer is gone through twice, in two replies: the first time it is
//! measured, the second time its strings are sent. [`EntrySummary`] tells whether it was the same.
//!
//! ```
//! use nssproto::entry::Db;
//! use nssproto::nslcd::stream::EntryReader;
//!
//! let (mut entry, mut room) = (EntryReader::new(Db::Group), [0; 8]);
//! let (taken, put) = entry.feed(b"\0\0\0\x01g\0\0", &mut room)?;
//! assert_eq!((taken, &room[..put]), (7, &b"g"[..]));
//! assert!(entry.summary().is_none());
//! let rest = b"\0\0\0\0\0\x05\0\0\0\x01\0\0\0\x01a";
//! let (taken, put) = entry.feed(rest, &mut room)?;
//! assert_eq!((taken, &room[..put]), (rest.len(), &b"\0\0a"[..]));
//! assert_eq!(entry.summary().unwrap().head.id(), Some(5));
//! # Ok::<(), nssproto::Malformed>(())
//! ```

use super::record::widen;
use super::{length, why};
use crate::Malformed;
use crate::bytes::{Fnv1a, copy_front};
use crate::entry::{Db, Gid, Uid};
use crate::nsss::{Head, MEMBERS_MAX};

/// What an entry comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntrySummary {
    /// What precedes its strings in a reply.
    pub head: Head,
    hash: Fnv1a,
}

/// What the field at hand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Text,
    Number,
    /// How many members follow.
    Count,
}

/// Where the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A number, or the length of a string.
    Word,
    /// In front of a string of so many bytes: the one before it is to be closed.
    Gap(u32),
    /// A string, of which so many bytes are to come.
    Text(u32),
    /// Behind the entry.
    End,
}

/// An entry while it passes.
#[derive(Clone, Copy, Debug)]
pub struct EntryReader {
    db: Db,
    field: usize,
    place: State,
    word: u32,
    word_len: u8,
    words: [u32; 7],
    members: u32,
    members_left: u32,
    strings: u32,
    area: u32,
    hash: Fnv1a,
}

impl EntryReader {
    /// At the start of an entry of `db`, behind its mark.
    pub fn new(db: Db) -> Self {
        EntryReader {
            db,
            field: 0,
            place: State::Word,
            word: 0,
            word_len: 0,
            words: [0; 7],
            members: 0,
            members_left: 0,
            strings: 0,
            area: 0,
            hash: Fnv1a::START,
        }
    }

    /// Whether the whole entry has passed.
    pub fn ended(&self) -> bool {
        self.place == State::End
    }

    /// Takes bytes of the entry from the front of `input` and puts bytes of its area to the
    /// front of `out`; how many of each. It stops behind the entry, and where there is no room.
    ///
    /// The area's last byte, a NUL, is never put: that is for the caller, once he knows that the
    /// entry may be passed on.
    pub fn feed(&mut self, input: &[u8], out: &mut [u8]) -> Result<(usize, usize), Malformed> {
        let mut at = 0;
        let taken = self.pass(input, &mut |bytes| {
            let len = copy_front(bytes, out.get_mut(at..).unwrap_or_default());
            at += len;
            len
        })?;
        Ok((taken, at))
    }

    /// The same without a place for the area; how many bytes it took.
    pub fn measure(&mut self, input: &[u8]) -> Result<usize, Malformed> {
        self.pass(input, &mut |bytes| bytes.len())
    }

    /// `put` takes bytes of the area, as many as it says.
    fn pass(
        &mut self,
        input: &[u8],
        put: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Result<usize, Malformed> {
        let mut rest = input;
        loop {
            match self.place {
                State::End => break,
                State::Word => {
                    let Some((byte, behind)) = rest.split_first() else { break };
                    rest = behind;
                    self.hash.feed(&[*byte]);
                    self.word = self.word << 8 | u32::from(*byte);
                    self.word_len += 1;
                    if self.word_len == 4 {
                        self.word_len = 0;
                        self.close_word()?;
                    }
                }
                State::Gap(len) => {
                    if put(&[0]) == 0 {
                        break;
                    }
                    self.place = State::Text(len);
                }
                State::Text(0) => self.move_on(),
                State::Text(left) => {
                    let len = rest.len().min(left as usize);
                    let text = rest.get(..len).unwrap_or_default();
                    if text.contains(&0) {
                        return Err(why::NUL);
                    }
                    let len = if text.is_empty() { 0 } else { put(text) };
                    let (text, behind) = rest.split_at_checked(len).unwrap_or_default();
                    self.hash.feed(text);
                    rest = behind;
                    self.place = State::Text(left - text.len() as u32);
                    if text.is_empty() {
                        break;
                    }
                }
            }
        }
        Ok(input.len() - rest.len())
    }

    /// What the field at hand is; `None`: there is none left.
    fn field(&self) -> Option<Field> {
        match (self.db, self.field) {
            (_, 0 | 1) | (Db::Passwd, 4..=6) => Some(Field::Text),
            (Db::Passwd, 2 | 3) | (Db::Group, 2) | (Db::Shadow, 2..=8) => Some(Field::Number),
            (Db::Group, 3) => Some(Field::Count),
            (Db::Group, _) => (self.members_left > 0).then_some(Field::Text),
            _ => None,
        }
    }

    fn close_word(&mut self) -> Result<(), Malformed> {
        match self.field() {
            Some(Field::Text) => {
                let len = length(self.word)?;
                let area = self.area.checked_add(len).and_then(|area| area.checked_add(1));
                self.area = area.ok_or(why::LONG)?;
                self.place = if self.strings == 0 { State::Text(len) } else { State::Gap(len) };
                self.strings += 1;
                return Ok(());
            }
            Some(Field::Number) => {
                if let Some(place) = self.words.get_mut(self.field - 2) {
                    *place = self.word;
                }
            }
            Some(Field::Count) => {
                if self.word > MEMBERS_MAX {
                    return Err(why::MEMBERS);
                }
                self.members = self.word;
                self.members_left = self.word;
            }
            None => {}
        }
        self.move_on();
        Ok(())
    }

    /// Behind a field.
    fn move_on(&mut self) {
        if (self.db, self.field) == (Db::Group, 4) {
            self.members_left -= 1;
        } else {
            self.field += 1;
        }
        self.place = if self.field().is_some() { State::Word } else { State::End };
    }

    /// What it came to; `None`: there is more of it to come.
    pub fn summary(&self) -> Option<EntrySummary> {
        if !self.ended() {
            return None;
        }
        let len = self.area;
        let [first, second, ..] = self.words;
        let head = match self.db {
            Db::Passwd => Head::Passwd { uid: Uid(first), gid: Gid(second), len },
            Db::Group => Head::Group { gid: Gid(first), len, members: self.members },
            Db::Shadow => {
                let mut numbers = [0; 7];
                for (at, (number, word)) in numbers.iter_mut().zip(self.words).enumerate() {
                    *number = widen(at, word);
                }
                Head::Shadow { numbers, len }
            }
        };
        Some(EntrySummary { head, hash: self.hash })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{decode, encode};
    use super::*;
    use crate::{DecodeError, line, nsss};

    /// A small generator of repeatable odd numbers.
    struct Odd(u64);

    impl Odd {
        fn below(&mut self, n: usize) -> usize {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 33) as usize % n
        }
    }

    /// Feeds `bytes` in odd pieces, with odd room for what comes out.
    fn in_pieces(
        db: Db,
        bytes: &[u8],
        odd: &mut Odd,
        out: &mut [u8],
    ) -> Result<(usize, usize, Option<EntrySummary>), Malformed> {
        let mut passage = EntryReader::new(db);
        let (mut from, mut at, mut idle) = (0, 0, 0);
        // Little room and few bytes at a time may move nothing.
        while !passage.ended() && idle < 100 {
            let (end, room) = ((from + odd.below(9)).min(bytes.len()), at + odd.below(5));
            let (taken, put) = passage.feed(&bytes[from..end], &mut out[at..room])?;
            idle = if taken + put > 0 { 0 } else { idle + 1 };
            from += taken;
            at += put;
        }
        Ok((from, at, passage.summary()))
    }

    #[test]
    fn pieces_give_what_the_whole_entry_gives() {
        let lines: [(Db, &[u8]); 8] = [
            (Db::Passwd, b"bob:x:1001:1000:Bob:/home/bob:/bin/sh"),
            (Db::Passwd, b"::4294967295:0:::"),
            (Db::Group, b"g:x:5:alice,bob,carol"),
            (Db::Group, b"g::5:,,"),
            (Db::Group, b"g:x:5:"),
            (Db::Group, b"::0:"),
            (Db::Shadow, b"s:!:100:0:99999:7:::3"),
            (Db::Shadow, b":::::::::"),
        ];
        let mut odd = Odd(3);
        for (db, text) in lines {
            let record = line::parse(db, text).unwrap();
            let mut bytes = [0xa5; 160];
            // More may lie behind it.
            let len = encode(&record, &mut bytes).unwrap();
            let mut want = [0; 160];
            let size = nsss::encode(&record, &mut want).unwrap();
            for _ in 0..200 {
                let mut area = [0xa5; 160];
                let (taken, put, measured) = in_pieces(db, &bytes, &mut odd, &mut area).unwrap();
                assert_eq!(taken, len);
                let measured = measured.unwrap();
                area[put] = 0;
                let at = measured.head.size();
                assert_eq!(&area[..put + 1], &want[at..size], "{text:?}");
                let mut head = [0; 64];
                assert_eq!(measured.head.encode(&mut head), Ok(at));
                assert_eq!(head[..at], want[..at]);
                let mut sight = EntryReader::new(db);
                assert_eq!(sight.measure(&bytes), Ok(len));
                assert_eq!(sight.summary(), Some(measured));
            }
        }
    }

    #[test]
    fn odd_bytes_are_judged_alike_in_pieces_and_whole() {
        let mut odd = Odd(11);
        let (mut good, mut bad) = (0, 0);
        for _ in 0..40_000 {
            let db = Db::ALL[odd.below(3)];
            let words: [&[u8]; 8] = [
                b"\0\0\0\0",
                b"\0\0\0\x01",
                b"\0\0\0\x01a",
                b"\0\0\0\x02ab",
                b"\0\0\0\x05",
                b"a",
                b"\0",
                b"\xff\xff\xff\xff",
            ];
            let (mut bytes, mut len) = ([0; 128], 0);
            for _ in 0..odd.below(14) {
                let word = words[[0, 0, 1, 2, 2, 2, 3, 3, 3, 4, 5, 6, 7][odd.below(13)]];
                bytes[len..len + word.len()].copy_from_slice(word);
                len += word.len();
            }
            let bytes = &bytes[..len];
            match (decode(db, bytes), in_pieces(db, bytes, &mut odd, &mut [0; 256])) {
                (Ok(took), Ok((taken, _, Some(_)))) => {
                    assert_eq!(took.len, taken, "{bytes:?}");
                    good += 1;
                }
                (Err(DecodeError::Incomplete(_)), Ok((_, _, None))) => {}
                // A NUL may be seen before the rest of its string has come.
                (Err(DecodeError::Malformed(_) | DecodeError::Incomplete(_)), Err(_)) => bad += 1,
                (whole, pieces) => panic!("{db:?} {bytes:?}: {whole:?} but {pieces:?}"),
            }
        }
        assert!(good > 1000 && bad > 1000, "{good} good, {bad} bad");
    }

    #[test]
    fn entries_that_differ_in_any_byte_do_not_measure_alike() {
        let record = line::parse(Db::Group, b"g:x:5:alice,bob").unwrap();
        let mut bytes = [0; 64];
        let len = encode(&record, &mut bytes).unwrap();
        let measure = |bytes: &[u8]| {
            let mut passage = EntryReader::new(Db::Group);
            let _ = passage.measure(bytes);
            passage.summary()
        };
        let same = measure(&bytes[..len]);
        assert!(same.is_some());
        for at in 0..len {
            let mut other = bytes;
            other[at] ^= 1;
            assert_ne!(measure(&other), same, "byte {at}");
        }
    }

    #[test]
    fn strings_that_cannot_be_told_in_32_bits_are_refused() {
        let mut passage = EntryReader::new(Db::Group);
        assert_eq!(passage.measure(b"\xff\xff\xff\xff"), Err(why::LENGTH));
        let mut passage = EntryReader::new(Db::Group);
        assert_eq!(passage.measure(b"\0\0\0\0\0\0\0\0\0\0\0\x05\x30\0\0\x01"), Err(why::MEMBERS));
        // Two strings of 2^31-1 bytes have 2^32 with their NULs. It is seen at the second length.
        let mut passage =
            EntryReader { area: i32::MAX as u32 + 1, strings: 1, ..EntryReader::new(Db::Group) };
        assert_eq!(passage.measure(b"\x7f\xff\xff\xff"), Err(why::LONG));
    }
}
