//! Strings and numbers, as they stand in a document.

use crate::Malformed;
use crate::bytes::decimal_u64;
use core::fmt::{self, Debug, Formatter};

/// A string between its quotes, whose escapes and UTF-8 were checked.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    raw: &'a [u8],
}

impl<'a> Text<'a> {
    /// A string that needs no escapes.
    pub(crate) const fn plain(text: &'a str) -> Self {
        Text { raw: text.as_bytes() }
    }

    /// The string that `quoted` is, quotes included.
    pub fn of(quoted: &'a [u8]) -> Result<Self, Malformed> {
        match Text::split(quoted)? {
            (text, []) => Ok(text),
            _ => Err(Malformed("something follows the string")),
        }
    }

    /// The string that `input` begins with, and what is behind it.
    pub(super) fn split(input: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let inside = input.strip_prefix(b"\"").ok_or(Malformed("no string"))?;
        let mut rest = inside;
        loop {
            let Some((byte, behind)) = rest.split_first() else {
                return Err(Malformed("a string is not complete"));
            };
            match byte {
                b'"' => {
                    let raw = inside.get(..inside.len() - rest.len()).unwrap_or_default();
                    core::str::from_utf8(raw).map_err(|_| Malformed("a string is no UTF-8"))?;
                    return Ok((Text { raw }, behind));
                }
                b'\\' => (_, rest) = unescape(behind)?,
                0..0x20 => return Err(Malformed("a control character in a string")),
                _ => rest = behind,
            }
        }
    }

    /// What stands between the quotes.
    pub fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// The string itself, in bytes of UTF-8.
    pub fn bytes(self) -> Bytes<'a> {
        Bytes { rest: self.raw, character: [0; 4], left: 0 }
    }

    /// Whether it is this string.
    pub fn is(self, other: &str) -> bool {
        self.bytes().eq(other.bytes())
    }

    /// Copies the string into `room`; `None`: it is longer.
    pub fn copy_to(self, room: &mut [u8]) -> Option<&[u8]> {
        let mut len = 0;
        for byte in self.bytes() {
            *room.get_mut(len)? = byte;
            len += 1;
        }
        room.get(..len)
    }
}

impl Debug for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.raw.escape_ascii())
    }
}

/// The same string, however it is escaped.
impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes().eq(other.bytes())
    }
}

impl Eq for Text<'_> {}

/// The bytes of a string, unescaped.
#[derive(Clone, Debug)]
pub struct Bytes<'a> {
    rest: &'a [u8],
    /// A character that was escaped; `left` bytes at its end are to come.
    character: [u8; 4],
    left: usize,
}

impl Iterator for Bytes<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if let Some(at) = self.character.len().checked_sub(self.left)
            && let Some(byte) = self.character.get(at)
        {
            self.left -= 1;
            return Some(*byte);
        }
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        if *byte != b'\\' {
            return Some(*byte);
        }
        let character;
        (character, self.rest) = unescape(rest).ok()?;
        let len = character.len_utf8();
        let place = self.character.get_mut(4 - len..)?;
        character.encode_utf8(place);
        self.left = len;
        self.next()
    }
}

/// The character of an escape, whose backslash was taken, and what is behind it.
fn unescape(escape: &[u8]) -> Result<(char, &[u8]), Malformed> {
    let (byte, rest) = escape.split_first().ok_or(Malformed("an escape is not complete"))?;
    let character = match byte {
        b'"' | b'\\' | b'/' => char::from(*byte),
        b'b' => '\x08',
        b'f' => '\x0c',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unescape_unit(rest),
        _ => return Err(Malformed("an escape that is none")),
    };
    Ok((character, rest))
}

/// The character of one `uXXXX`, or of two that are a surrogate pair.
fn unescape_unit(digits: &[u8]) -> Result<(char, &[u8]), Malformed> {
    let lone = Malformed("half of a surrogate pair");
    let (unit, rest) = hex(digits)?;
    if let Some(character) = char::from_u32(unit) {
        return Ok((character, rest));
    }
    let (low, rest) = hex(rest.strip_prefix(b"\\u").ok_or(lone)?)?;
    match (unit, low) {
        (0xd800..0xdc00, 0xdc00..0xe000) => {
            let pair = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            Ok((char::from_u32(pair).ok_or(lone)?, rest))
        }
        _ => Err(lone),
    }
}

fn hex(digits: &[u8]) -> Result<(u32, &[u8]), Malformed> {
    let bad = Malformed("an escape without four hexadecimal digits");
    let (digits, rest) = digits.split_at_checked(4).ok_or(bad)?;
    let mut unit = 0;
    for digit in digits {
        unit = unit << 4 | char::from(*digit).to_digit(16).ok_or(bad)?;
    }
    Ok((unit, rest))
}

/// A number, as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number<'a> {
    raw: &'a [u8],
}

impl<'a> Number<'a> {
    /// The number that `input` begins with, and what is behind it.
    pub(super) fn split(input: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let mut rest = input.strip_prefix(b"-").unwrap_or(input);
        rest = match rest.strip_prefix(b"0") {
            Some([b'0'..=b'9', ..]) => return Err(Malformed("a number with a leading zero")),
            Some(rest) => rest,
            None => digits(rest)?,
        };
        if let Some(fraction) = rest.strip_prefix(b".") {
            rest = digits(fraction)?;
        }
        if let [b'e' | b'E', exponent @ ..] = rest {
            let unsigned = match exponent {
                [b'+' | b'-', unsigned @ ..] => unsigned,
                _ => exponent,
            };
            rest = digits(unsigned)?;
        }
        let raw = input.get(..input.len() - rest.len()).unwrap_or_default();
        Ok((Number { raw }, rest))
    }

    /// What stands there.
    pub fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// Its value, if that is written as an integer without a sign, of at most `u64::MAX`.
    pub fn as_u64(self) -> Option<u64> {
        decimal_u64(self.raw)
    }

    /// Its value, if that is written as an integer within the bounds of `i64`.
    pub fn as_i64(self) -> Option<i64> {
        match self.raw.strip_prefix(b"-") {
            None => self.as_u64()?.try_into().ok(),
            Some(digits) => 0i64.checked_sub_unsigned(decimal_u64(digits)?),
        }
    }
}

/// What is behind one digit or more.
fn digits(input: &[u8]) -> Result<&[u8], Malformed> {
    let len = input.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match len {
        0 => Err(Malformed("a number without digits")),
        _ => Ok(input.get(len..).unwrap_or_default()),
    }
}
