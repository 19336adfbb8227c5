//! Replies larger than a buffer. Their lengths stand in front of their strings, so the strings
//! are gone through twice: [`HeaderWriter`] finds the lengths and writes what precedes the strings,
//! [`StringsWriter`] lets them pass. Both hash what they see, and the reply may only be ended if they
//! saw the same.
//!
//! ```
//! use nssproto::entry::Gid;
//! use nssproto::nscd::Password;
//! use nssproto::nscd::stream::{HEADER_MAX, HeaderWriter};
//! use nssproto::nsss::Head;
//!
//! let head = Head::Group { gid: Gid(5), len: 6, members: 1 };
//! let mut room = [0; HEADER_MAX + 4 * 3];
//! let mut header = HeaderWriter::new(head, Password::AsItStands).unwrap();
//! // Lengths are written as they become known.
//! assert_eq!(header.feed(b"g\0x", &mut room)?, 0);
//! assert_eq!(header.feed(b"\0a\0", &mut room)?, 24 + 4);
//!
//! let mut strings = header.finish()?;
//! let (mut first, mut last) = (*b"g\0x", *b"\0a\0");
//! assert_eq!((strings.feed(&mut first), strings.feed(&mut last)), (3, 3));
//! assert!(strings.holds());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::Password;
use super::ReplyKind;
use super::reply::{FOUND, PASSWORD};
use crate::bytes::{Fnv1a, Writer};
use crate::nsss::Head;
use crate::{EncodeError, Malformed};

/// Most bytes that [`HeaderWriter::feed`] writes besides four for each byte that it is fed.
pub const HEADER_MAX: usize = 36;

/// StringsWriter in front of the one that is a password.
const SECRET: u32 = PASSWORD as u32;

/// First pass over the strings of a record, each closed by NUL.
#[derive(Clone, Copy, Debug)]
pub struct HeaderWriter {
    head: Head,
    /// StringsWriter that have ended.
    ended: u32,
    /// Bytes of the string at hand.
    len: u32,
    /// Lengths of the first strings, NUL included.
    lengths: [u32; 5],
    password: Password,
    hash: Fnv1a,
}

impl HeaderWriter {
    /// Of the record with this head; `None` for shadow, which the protocol has not.
    pub fn new(head: Head, password: Password) -> Option<Self> {
        let survey =
            HeaderWriter { head, ended: 0, len: 0, lengths: [0; 5], password, hash: Fnv1a::START };
        (!matches!(head, Head::Shadow { .. })).then_some(survey)
    }

    /// Which kind of reply it is.
    pub fn kind(&self) -> ReplyKind {
        match self.head {
            Head::Passwd { .. } => ReplyKind::Passwd,
            _ => ReplyKind::Group,
        }
    }

    /// Takes the next bytes of the strings and writes what they tell: the header once it is
    /// known, after it the lengths of a group's members. `out` has room for [`HEADER_MAX`] bytes
    /// and four for each byte of `area`.
    pub fn feed(&mut self, area: &[u8], out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut s = Writer::new(out, 0)?;
        self.hash.feed(area);
        for byte in area {
            self.len =
                self.len.checked_add(1).ok_or(EncodeError::Unrepresentable("string too long"))?;
            if *byte == 0 {
                self.close(&mut s)?;
            }
        }
        Ok(s.written())
    }

    fn close(&mut self, s: &mut Writer<'_>) -> Result<(), EncodeError> {
        let len = match self.password {
            Password::Star if self.ended == SECRET => self.len.min(2),
            _ => self.len,
        };
        i32::try_from(len).map_err(|_| EncodeError::Unrepresentable("string too long"))?;
        if let Some(place) = self.lengths.get_mut(self.ended as usize) {
            *place = len;
        }
        self.ended += 1;
        self.len = 0;
        let (strings, numbers) = match self.head {
            Head::Passwd { uid, gid, .. } => (5, [uid.0, gid.0]),
            Head::Group { gid, members, .. } => (2, [gid.0, members]),
            Head::Shadow { .. } => return Ok(()),
        };
        if self.ended == strings {
            // Both C libraries read the header at once.
            let (front, back) = self.lengths.split_at_checked(PASSWORD + 1).unwrap_or_default();
            [&FOUND, front, &numbers].iter().for_each(|words| s.put_words(words));
            s.put_words(back.get(..strings as usize - front.len()).unwrap_or_default());
        } else if self.ended > strings {
            s.put_words(&[len]);
        }
        Ok(())
    }

    /// After the last byte: what lets the strings pass. The error: their number is wrong.
    pub fn finish(self) -> Result<StringsWriter, Malformed> {
        if self.ended != self.head.strings() || self.len != 0 {
            return Err(Malformed("string area does not hold the expected strings"));
        }
        Ok(StringsWriter {
            head: self.head,
            ended: 0,
            password: self.password,
            given: false,
            hash: Fnv1a::START,
            expected: self.hash,
        })
    }
}

/// Second pass over the strings.
#[derive(Clone, Copy, Debug)]
pub struct StringsWriter {
    head: Head,
    ended: u32,
    password: Password,
    /// The star was put.
    given: bool,
    hash: Fnv1a,
    expected: Fnv1a,
}

impl StringsWriter {
    /// The head that the record must still have, if it was asked for again.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Makes of the next bytes of the strings what is sent, in place, and returns how many that
    /// are: the password may give way to a star.
    pub fn feed(&mut self, area: &mut [u8]) -> usize {
        self.hash.feed(area);
        let mut put = 0;
        for at in 0..area.len() {
            let Some(byte) = area.get(at).copied() else { break };
            let secret = self.ended == SECRET && self.password == Password::Star;
            self.ended += u32::from(byte == 0);
            if !secret || byte == 0 {
                put = place(area, put, byte);
            } else if !self.given {
                // In the place of the password's first byte; the rest goes.
                self.given = true;
                put = place(area, put, b'*');
            }
        }
        put
    }

    /// Whether both passes saw the same; asked before the last piece is sent.
    pub fn holds(&self) -> bool {
        self.hash == self.expected
    }
}

fn place(area: &mut [u8], at: usize, byte: u8) -> usize {
    match area.get_mut(at) {
        Some(room) => {
            *room = byte;
            at + 1
        }
        None => at,
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;
    use crate::entry::{Gid, Group, Members, Passwd, Record, Uid};

    /// Both passes in pieces of `step` bytes.
    fn in_pieces(
        head: Head,
        password: Password,
        area: &[u8],
        step: usize,
        out: &mut [u8; 512],
    ) -> usize {
        let mut survey = HeaderWriter::new(head, password).unwrap();
        let mut at = 0;
        for piece in area.chunks(step) {
            at += survey.feed(piece, &mut out[at..]).unwrap();
        }
        let mut strings = survey.finish().unwrap();
        for piece in area.chunks(step) {
            out[at..at + piece.len()].copy_from_slice(piece);
            at += strings.feed(&mut out[at..at + piece.len()]);
        }
        assert!(strings.holds());
        at
    }

    #[test]
    fn pieces_make_the_same_reply_as_one_whole() {
        for password in ["", "x", "*", "xx", "*LK*", "!", "!!", "!hash", "$6$salt$hash", "y"] {
            let mut area = [0; 128];
            let mut len = 0;
            for text in ["group", password, "a", "", "member"] {
                area[len..len + text.len()].copy_from_slice(text.as_bytes());
                len += text.len() + 1;
            }
            let area = &area[..len];
            let members = &area[5 + password.len() + 2..];
            let group = Group {
                name: b"group",
                password: password.as_bytes(),
                gid: Gid(7),
                members: Members::from_strings(members, 3),
            };
            let user = Passwd {
                name: b"group",
                password: password.as_bytes(),
                uid: Uid(6),
                gid: Gid(7),
                gecos: b"a",
                home: b"",
                shell: b"member",
            };
            let (mut whole, mut pieces) = ([0xa5; 512], [0xa5; 512]);
            let steps = (1..area.len() + 1).flat_map(|step| [(step, false), (step, true)]);
            for (step, star) in steps {
                let shown = if star { Password::Star } else { Password::AsItStands };
                let n = encode(&Record::Group(group), shown, &mut whole).unwrap();
                let head = Head::Group { gid: Gid(7), len: len as u32, members: 3 };
                let m = in_pieces(head, shown, area, step, &mut pieces);
                assert_eq!(whole[..n], pieces[..m], "{password:?} {step}");
                let n = encode(&Record::Passwd(user), shown, &mut whole).unwrap();
                let head = Head::Passwd { uid: Uid(6), gid: Gid(7), len: len as u32 };
                let m = in_pieces(head, shown, area, step, &mut pieces);
                assert_eq!(whole[..n], pieces[..m], "{password:?} {step}");
            }
        }
    }

    #[test]
    fn a_second_pass_over_other_bytes_does_not_hold() {
        let head = Head::Group { gid: Gid(7), len: 6, members: 1 };
        let mut survey = HeaderWriter::new(head, Password::Star).unwrap();
        survey.feed(b"g\0x\0a\0", &mut [0; 64]).unwrap();
        let mut strings = survey.finish().unwrap();
        let mut other = *b"g\0x\0b\0";
        strings.feed(&mut other);
        assert!(!strings.holds());
    }

    #[test]
    fn a_wrong_number_of_strings_is_an_error() {
        let head = Head::Group { gid: Gid(7), len: 6, members: 2 };
        let mut survey = HeaderWriter::new(head, Password::Star).unwrap();
        survey.feed(b"g\0x\0a\0", &mut [0; 64]).unwrap();
        assert!(survey.finish().is_err());
        assert!(
            HeaderWriter::new(Head::Shadow { numbers: [0; 7], len: 2 }, Password::Star).is_none()
        );
    }
}
