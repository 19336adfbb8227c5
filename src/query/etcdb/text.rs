//! Bytes: the C library's notions of blanks, words and numbers, and plain output.

use memchr::memchr;
use nssproto::bytes::hex_digit;

/// Stands for all blanks, where a byte is looked for.
pub const BLANK: u8 = b' ';

/// Whether the byte is `what`. Blanks are those of isspace() in the C locale; Rust's own ASCII
/// whitespace lacks the vertical tab.
fn is(what: u8, byte: u8) -> bool {
    byte == what || (what == BLANK && matches!(byte, b'\t'..=b'\r'))
}

/// What is still to be read of a file, a line or a key.
pub struct Text<'a>(pub &'a [u8]);

impl<'a> Text<'a> {
    /// A line without its comment, which may begin anywhere.
    pub fn uncommented(line: &'a [u8]) -> Self {
        Text(Text(line).until(b'#'))
    }

    /// Takes what stands before the first byte `stop`, and drops that one.
    pub fn until(&mut self, stop: u8) -> &'a [u8] {
        let text = self.0;
        let end = match stop {
            BLANK => text.iter().position(|byte| is(stop, *byte)),
            _ => memchr(stop, text),
        };
        let end = end.unwrap_or(text.len());
        self.0 = text.get(end + 1..).unwrap_or_default();
        text.get(..end).unwrap_or_default()
    }

    /// Drops the bytes `what` at the front.
    pub fn skip(&mut self, what: u8) {
        while let [first, rest @ ..] = self.0 {
            if !is(what, *first) {
                break;
            }
            self.0 = rest;
        }
    }

    /// The next line, up to its newline, NUL or the end of the text.
    pub fn line(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        Some(Text(self.until(b'\n')).until(b'\0'))
    }

    /// The next line that is neither blank nor a comment, without the blanks in front of it.
    pub fn entry(&mut self) -> Option<&'a [u8]> {
        loop {
            let mut line = Text(self.line()?);
            line.skip(BLANK);
            if !matches!(line.0.first(), None | Some(b'#')) {
                return Some(line.0);
            }
        }
    }

    /// Whether the line that follows begins with a blank.
    pub fn is_indented(&self) -> bool {
        self.0.first().is_some_and(|byte| *byte != b'\n' && is(BLANK, *byte))
    }

    /// Takes a word, if the text does not begin with a blank, and drops the blanks behind it.
    pub fn word(&mut self) -> &'a [u8] {
        let word = self.until(BLANK);
        self.skip(BLANK);
        word
    }

    /// Takes a number of 32 bits as strtoul() reads it; `None` if there is no digit, or it is
    /// larger. Base 0 takes the base from the text. Blanks, a sign and, for base 16, `0x` may
    /// stand in front (without digits behind it no caller wants the zero that strtoul() takes);
    /// of the negative numbers only zero is one.
    pub fn number(&mut self, base: u32) -> Option<u32> {
        self.skip(BLANK);
        let negative = self.0.first() == Some(&b'-');
        if let [b'-' | b'+', rest @ ..] = self.0 {
            self.0 = rest;
        }
        let base = match self.0 {
            [b'0', b'x' | b'X', rest @ ..] if base != 10 => {
                self.0 = rest;
                16
            }
            [b'0', ..] if base == 0 => 8,
            _ if base == 0 => 10,
            _ => base,
        };
        self.digits(base).filter(|value| *value == 0 || !negative)
    }

    /// Takes digits; `None` if there is none, or 32 bits do not hold the number.
    pub fn digits(&mut self, base: u32) -> Option<u32> {
        let (mut value, len) = (0_u32, self.0.len());
        while let [first, rest @ ..] = self.0 {
            let digit = match first.to_ascii_lowercase() {
                digit @ b'0'..=b'9' => digit - b'0',
                digit @ b'a'..=b'f' => digit - b'a' + 10,
                _ => break,
            };
            if u32::from(digit) >= base {
                break;
            }
            value = value.checked_mul(base)?.checked_add(digit.into())?;
            self.0 = rest;
        }
        (self.0.len() < len).then_some(value)
    }

    /// Takes a number that the end of the line or the byte `end` ends, and drops that.
    pub fn field(&mut self, base: u32, end: u8) -> Option<u32> {
        let value = self.number(base)?;
        if let [first, rest @ ..] = self.0 {
            if !is(end, *first) {
                return None;
            }
            self.0 = rest;
        }
        Some(value)
    }
}

/// The number that all of a key is.
pub fn number(key: &[u8]) -> Option<u32> {
    let mut text = Text(key);
    text.number(10).filter(|_| text.0.is_empty())
}

/// Whether `wanted` is `name` or a word of `aliases`; `fold`: in any case of its letters.
pub fn is_named(wanted: &[u8], name: &[u8], aliases: &[u8], fold: bool) -> bool {
    let (mut name, mut rest) = (name, Text(aliases));
    loop {
        if name == wanted || (fold && name.eq_ignore_ascii_case(wanted)) {
            return true;
        }
        if rest.0.is_empty() {
            return false;
        }
        name = rest.word();
    }
}

/// Adds blanks to what begins at `start` until it is `width` bytes wide.
pub fn pad(out: &mut Vec<u8>, start: usize, width: usize) {
    out.resize(out.len().max(start + width), b' ');
}

/// Adds what `end` stands behind.
pub fn push(out: &mut Vec<u8>, what: &[u8], end: u8) {
    out.extend_from_slice(what);
    out.push(end);
}

/// Adds words, a blank before each.
pub fn push_words(out: &mut Vec<u8>, words: &[u8]) {
    let mut rest = Text(words);
    while !rest.0.is_empty() {
        out.push(b' ');
        out.extend_from_slice(rest.word());
    }
}

/// Adds what stands between the commas of `list`, without the blanks in front (those behind it
/// belong to it) and what is empty then, to a list that begins at `first` and has this separator.
pub fn push_list(out: &mut Vec<u8>, first: usize, separator: &[u8], list: &[u8]) {
    let mut rest = Text(list);
    while !rest.0.is_empty() {
        let mut member = Text(rest.until(b','));
        member.skip(BLANK);
        if !member.0.is_empty() {
            if out.len() > first {
                out.extend_from_slice(separator);
            }
            out.extend_from_slice(member.0);
        }
    }
}

/// Adds a number as hexadecimal without a leading zero.
pub fn push_hex(out: &mut Vec<u8>, value: u16) {
    if value >= 16 {
        push_hex(out, value / 16);
    }
    let digit = (value % 16) as u8;
    out.push(hex_digit(digit));
}
