//! The part of BER (ITU-T X.690) that LDAP allows itself: one-byte tags, definite lengths.
//!
//! A length may have more octets than it needs (Active Directory always sends four), but the value is
//! below 2^31. Indefinite lengths, and those of more than four octets, are malformed.

use crate::bytes::Reader;
use crate::{DecodeError, EncodeError};

/// INTEGER
pub const INTEGER: u8 = 0x02;
/// BOOLEAN
pub const BOOLEAN: u8 = 0x01;
/// OCTET STRING
pub const OCTETS: u8 = 0x04;
/// ENUMERATED
pub const ENUMERATED: u8 = 0x0a;
/// SEQUENCE
pub const SEQUENCE: u8 = 0x30;
/// SET
pub const SET: u8 = 0x31;

/// The most bytes that a value may say it has.
pub const LENGTH_MAX: u32 = i32::MAX as u32;

/// A tag, and how many bytes of value follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Class, form and number.
    pub tag: u8,
    /// Bytes of the value.
    pub len: u32,
}

const INDEFINITE: DecodeError = DecodeError::malformed("a length that is indefinite");
const TOO_LONG: DecodeError = DecodeError::malformed("a length of 2^31 or more");
const OTHER_TAG: DecodeError = DecodeError::malformed("a value of another type");
const BEHIND: DecodeError = DecodeError::malformed("something follows a value");
const CUT: DecodeError = DecodeError::malformed("a value ends before what is in it");

/// Reads a tag and a length.
pub fn head(reader: &mut Reader<'_>) -> Result<Head, DecodeError> {
    let tag = reader.u8()?;
    if tag & 0x1f == 0x1f {
        return Err(DecodeError::malformed("a tag of several bytes"));
    }
    let first = reader.u8()?;
    if first < 0x80 {
        return Ok(Head { tag, len: first.into() });
    }
    let octets = first & 0x7f;
    match octets {
        0 => return Err(INDEFINITE),
        1..=4 => {}
        _ => return Err(TOO_LONG),
    }
    let mut len = 0u32;
    for octet in reader.take(octets.into())? {
        len = len << 8 | u32::from(*octet);
    }
    if len > LENGTH_MAX { Err(TOO_LONG) } else { Ok(Head { tag, len }) }
}

/// Reads values one after the other, of bytes that are all there: what is missing is malformed.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    rest: &'a [u8],
}

impl<'a> Values<'a> {
    /// Those of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Values { rest: bytes }
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next value; 0: there is none.
    pub fn peek(&self) -> u8 {
        self.rest.first().copied().unwrap_or(0)
    }

    /// The next value, whatever it is.
    pub fn any(&mut self) -> Result<(u8, &'a [u8]), DecodeError> {
        let mut reader = Reader::new(self.rest);
        let complete =
            |error| if matches!(error, DecodeError::Incomplete(_)) { CUT } else { error };
        let head = head(&mut reader).map_err(complete)?;
        let value = reader.take(head.len as usize).map_err(complete)?;
        self.rest = self.rest.get(reader.taken()..).unwrap_or_default();
        Ok((head.tag, value))
    }

    /// The next value, which has to have this tag.
    pub fn value(&mut self, tag: u8) -> Result<&'a [u8], DecodeError> {
        match self.any()? {
            (found, value) if found == tag => Ok(value),
            _ => Err(OTHER_TAG),
        }
    }

    /// The next value if it has this tag.
    pub fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, DecodeError> {
        if self.peek() == tag { self.value(tag).map(Some) } else { Ok(None) }
    }

    /// The next value, which is made of values.
    pub fn inner(&mut self, tag: u8) -> Result<Values<'a>, DecodeError> {
        self.value(tag).map(Values::new)
    }

    /// An integer with this tag.
    pub fn integer(&mut self, tag: u8) -> Result<i32, DecodeError> {
        integer(self.value(tag)?)
    }

    /// A boolean with this tag; `default` if there is none.
    pub fn boolean(&mut self, tag: u8, default: bool) -> Result<bool, DecodeError> {
        match self.optional(tag)? {
            None => Ok(default),
            Some([byte]) => Ok(*byte != 0),
            Some(_) => Err(DecodeError::malformed("a boolean of another size")),
        }
    }

    /// An error if something is left.
    pub fn end(self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(BEHIND) }
    }
}

/// An integer of at most 32 bits, two's complement.
fn integer(bytes: &[u8]) -> Result<i32, DecodeError> {
    let Some(first) = bytes.first() else {
        return Err(DecodeError::malformed("an integer of no bytes"));
    };
    if bytes.len() > 4 {
        return Err(DecodeError::malformed("an integer of more than 32 bits"));
    }
    let sign = if *first & 0x80 == 0 { 0 } else { -1 };
    Ok(bytes.iter().fold(sign, |value, byte| value << 8 | i32::from(*byte)))
}

/// Writes values from the last to the first, so that each length is known when it is written: a unit
/// is put together at the end of the room, and moved to its front.
#[derive(Debug)]
pub struct Back<'a> {
    out: &'a mut [u8],
    /// Bytes so far, also where there is no room for them.
    len: usize,
}

impl<'a> Back<'a> {
    /// Nothing yet.
    pub fn new(out: &'a mut [u8]) -> Self {
        Back { out, len: 0 }
    }

    /// Bytes so far: given to [`Back::close`], it says what belongs into a value.
    pub fn mark(&self) -> usize {
        self.len
    }

    /// Puts bytes in front of what is there.
    pub fn put(&mut self, bytes: &[u8]) {
        let before = self.len;
        self.len = before.saturating_add(bytes.len());
        let size = self.out.len();
        let (Some(start), Some(end)) = (size.checked_sub(self.len), size.checked_sub(before))
        else {
            return;
        };
        if let Some(room) = self.out.get_mut(start..end) {
            room.copy_from_slice(bytes);
        }
    }

    /// What came since `mark` is the value of this tag.
    pub fn close(&mut self, tag: u8, mark: usize) {
        let len = self.len - mark;
        let octets = (len as u32).to_be_bytes();
        match len {
            0..0x80 => self.put(&[len as u8]),
            _ => {
                let zeros = octets.iter().take_while(|octet| **octet == 0).count();
                let used = octets.get(zeros..).unwrap_or_default();
                self.put(used);
                self.put(&[0x80 | used.len() as u8]);
            }
        }
        self.put(&[tag]);
    }

    /// A value.
    pub fn value(&mut self, tag: u8, value: &[u8]) {
        let mark = self.mark();
        self.put(value);
        self.close(tag, mark);
    }

    /// An integer.
    pub fn integer(&mut self, tag: u8, value: i32) {
        let bytes = value.to_be_bytes();
        let sign = if value < 0 { 0xff } else { 0 };
        let mut spare = 0;
        for pair in bytes.windows(2) {
            match pair {
                [first, second] if *first == sign && (*second ^ sign) & 0x80 == 0 => spare += 1,
                _ => break,
            }
        }
        self.value(tag, bytes.get(spare..).unwrap_or_default());
    }

    /// A boolean.
    pub fn boolean(&mut self, tag: u8, value: bool) {
        self.value(tag, &[if value { 0xff } else { 0 }]);
    }

    /// The unit is whole: lends it.
    pub fn into_bytes(self) -> Result<&'a [u8], EncodeError> {
        let Some(start) = self.out.len().checked_sub(self.len) else {
            return Err(EncodeError::NoSpace(self.len));
        };
        Ok(self.out.get(start..).unwrap_or_default())
    }

    /// The unit is whole: moves it to the front; its bytes.
    pub fn finish(self) -> Result<usize, EncodeError> {
        let Some(start) = self.out.len().checked_sub(self.len) else {
            return Err(EncodeError::NoSpace(self.len));
        };
        if self.len > LENGTH_MAX as usize {
            return Err(EncodeError::Unrepresentable("a message of 2^31 bytes or more"));
        }
        self.out.copy_within(start.., 0);
        Ok(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Back<'_>), out: &mut [u8]) -> &[u8] {
        let mut back = Back::new(out);
        write(&mut back);
        let len = back.finish().unwrap();
        &out[..len]
    }

    #[test]
    fn integers_are_as_short_as_can_be_and_read_back() {
        for (value, bytes) in [
            (0, &[2, 1, 0][..]),
            (127, &[2, 1, 127]),
            (128, &[2, 2, 0, 128]),
            (256, &[2, 2, 1, 0]),
            (-1, &[2, 1, 0xff]),
            (-128, &[2, 1, 0x80]),
            (-129, &[2, 2, 0xff, 0x7f]),
            (i32::MAX, &[2, 4, 0x7f, 0xff, 0xff, 0xff]),
            (i32::MIN, &[2, 4, 0x80, 0, 0, 0]),
        ] {
            let mut out = [0; 16];
            assert_eq!(written(|back| back.integer(INTEGER, value), &mut out), bytes);
            assert_eq!(Values::new(bytes).integer(INTEGER), Ok(value));
        }
        assert!(Values::new(&[2, 0]).integer(INTEGER).is_err());
        assert!(Values::new(&[2, 5, 0, 0, 0, 0, 1]).integer(INTEGER).is_err());
    }

    #[test]
    fn lengths_may_be_padded_and_must_be_definite() {
        let of = |bytes: &[u8]| head(&mut Reader::new(bytes)).map(|head| head.len);
        assert_eq!(of(&[0x30, 5]), Ok(5));
        assert_eq!(of(&[0x30, 0x81, 5]), Ok(5));
        assert_eq!(of(&[0x30, 0x84, 0, 0, 1, 5]), Ok(261));
        assert_eq!(of(&[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff]), Ok(LENGTH_MAX));
        assert_eq!(of(&[0x30, 0x84, 0x80, 0, 0, 0]), Err(TOO_LONG));
        assert_eq!(of(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), Err(TOO_LONG));
        assert_eq!(of(&[0x30, 0x85, 0, 0, 0, 0, 5]), Err(TOO_LONG));
        assert_eq!(of(&[0x30, 0xff]), Err(TOO_LONG));
        assert_eq!(of(&[0x30, 0x80]), Err(INDEFINITE));
        assert_eq!(of(&[0x30, 0x82, 1]), Err(DecodeError::Incomplete(1)));
        assert!(of(&[0x1f, 1]).is_err());
    }

    #[test]
    fn what_has_no_room_tells_how_much_it_needs() {
        for len in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let value = [7; 65_536];
            let mut out = [0; 65_600];
            let whole = written(|back| back.value(OCTETS, &value[..len]), &mut out).len();
            let mut less = [0xa5; 65_600];
            let mut back = Back::new(&mut less[..whole - 1]);
            back.value(OCTETS, &value[..len]);
            assert_eq!(back.finish(), Err(EncodeError::NoSpace(whole)));
            let mut values = Values::new(&out[..whole]);
            assert_eq!(values.value(OCTETS).map(<[u8]>::len), Ok(len));
            assert!(values.end().is_ok());
        }
    }
}
