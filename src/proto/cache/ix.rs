//! Index files of libnss-cache: records `KEY NUL OFFSET NUL PADDING LF`, all of one width, sorted by
//! the bytes of their keys, each key once.
//!
//! OFFSET is where the line begins in the data file, in decimal digits; so is a KEY that is a number.
//! PADDING is NULs. There is no header, and the width is told by the first LF.
//!
//! ```
//! use nssproto::cache::ix::{Record, width, width_at};
//!
//! let width = width(5, 3);
//! let mut room = [0; 11];
//! Record { key: b"ada", offset: 127 }.encode(width, &mut room).unwrap();
//! assert_eq!(&room, b"ada\x00127\0\0\0\n");
//! assert_eq!(width_at(&room), Some(width));
//! assert_eq!(Record::decode(&room)?.offset, 127);
//! # Ok::<(), nssproto::Malformed>(())
//! ```

use crate::bytes::{DECIMAL_MAX, Writer, decimal_u64, write_decimal};
use crate::{EncodeError, Malformed};

/// What every record has besides key, offset and padding: two NULs and a LF.
const MARKS: usize = 3;

/// The narrowest record: an empty key, an offset of one digit.
const NARROWEST: usize = MARKS + 1;

/// The width of the records whose longest key, and whose longest offset, have so many bytes; they
/// need not be in the same record.
pub fn width(longest_key: usize, longest_offset: usize) -> usize {
    longest_key + longest_offset + MARKS
}

/// How many digits an offset has.
pub fn digits(offset: u64) -> usize {
    write_decimal(offset, &mut [0; DECIMAL_MAX]).len()
}

/// The width of the records of a file that begins so. `None`: no LF, or no record is so narrow.
pub fn width_at(front: &[u8]) -> Option<usize> {
    let width = front.iter().position(|byte| *byte == b'\n')? + 1;
    (width >= NARROWEST).then_some(width)
}

/// Where the line of a key begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The key; it has no NUL.
    pub key: &'a [u8],
    /// Of the line's first byte.
    pub offset: u64,
}

impl<'a> Record<'a> {
    /// A whole record, LF included. Stricter than libnss-cache, which takes any text for an offset
    /// and does not look behind it.
    pub fn decode(record: &'a [u8]) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("no record of an index");
        let text = record.strip_suffix(b"\n").filter(|text| !text.contains(&b'\n')).ok_or(WRONG)?;
        let mut parts = text.splitn(3, |byte| *byte == 0);
        let (key, digits, padding) = (parts.next(), parts.next(), parts.next());
        let offset = digits.and_then(decimal_u64).ok_or(WRONG)?;
        if padding.is_none_or(|padding| padding.iter().any(|byte| *byte != 0)) {
            return Err(WRONG);
        }
        Ok(Record { key: key.unwrap_or_default(), offset })
    }

    /// Writes a record of this width to the front of `out`.
    pub fn encode(&self, width: usize, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut room = [0; DECIMAL_MAX];
        let offset = write_decimal(self.offset, &mut room);
        let needed = self::width(self.key.len(), offset.len());
        if self.key.iter().any(|byte| matches!(byte, 0 | b'\n')) {
            return Err(EncodeError::Unrepresentable("a key with a NUL or a line break"));
        }
        let padding = width.checked_sub(needed);
        let padding = padding.ok_or(EncodeError::Unrepresentable("a record wider than others"))?;
        let mut sink = Writer::new(out, width)?;
        sink.put_string(self.key);
        sink.put_string(offset);
        (0..padding).for_each(|_| sink.put(&[0]));
        sink.put(b"\n");
        Ok(sink.written())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_padded_to_one_width() {
        for (key, offset, want) in [
            (&b"1001"[..], 245, &b"1001\x00245\0\0\0\0\0\0\0\n"[..]),
            (b"first.last", 194, b"first.last\x00194\0\n"),
            (b"", 0, b"\x000\0\0\0\0\0\0\0\0\0\0\0\0\0\n"),
        ] {
            let mut room = [0xa5; 20];
            let record = Record { key, offset };
            let len = record.encode(16, &mut room).unwrap();
            assert_eq!(&room[..len], want);
            assert!(room[len..].iter().all(|byte| *byte == 0xa5));
            assert_eq!(Record::decode(want), Ok(record));
            assert_eq!(width_at(&room), Some(16));
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for wrong in [
            &b""[..],
            b"\n",
            b"ada\n",
            b"ada\x007\n",
            b"ada\x007\0",
            b"ada\0\0\n",
            b"ada\0seven\0\n",
            b"ada\x00-7\0\n",
            b"ada\x0018446744073709551616\0\n",
            b"ada\x007\0x\n",
            b"ada\x007\0\nada\x007\0\n",
            b"a\nda\x007\0\n",
        ] {
            assert!(Record::decode(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(
            (width_at(b"a\n"), width_at(b"\x000\0\n"), width_at(b"")),
            (None, Some(4), None)
        );
    }

    #[test]
    fn what_has_no_room_is_not_written() {
        let record = Record { key: b"ada", offset: 10 };
        assert_eq!(record.encode(8, &mut [0; 7]), Err(EncodeError::NoSpace(8)));
        assert!(record.encode(7, &mut [0; 9]).is_err());
        assert!(Record { key: b"a\0", offset: 1 }.encode(9, &mut [0; 9]).is_err());
        assert!(Record { key: b"a\n", offset: 1 }.encode(9, &mut [0; 9]).is_err());
        assert_eq!((digits(0), digits(9), digits(10), width(3, 2)), (1, 1, 2, 8));
    }
}
