//! Bytes: the C library's notions of blanks, words and numbers, and plain output.

use nssproto::bytes::{DECIMAL_MAX, write_decimal};

/// isspace() of the C locale. Rust's own ASCII whitespace lacks the vertical tab.
pub const BLANKS: &[u8] = b" \t\n\x0b\x0c\r";

/// What stands before the first of the bytes `stops`, and what after it.
pub fn split<'a>(text: &'a [u8], stops: &[u8]) -> (&'a [u8], &'a [u8]) {
    let end = text.iter().position(|byte| stops.contains(byte)).unwrap_or(text.len());
    (text.get(..end).unwrap_or_default(), text.get(end + 1..).unwrap_or_default())
}

/// The text without the bytes `what` at its front.
pub fn skip<'a>(text: &'a [u8], what: &[u8]) -> &'a [u8] {
    let start = text.iter().position(|byte| !what.contains(byte)).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

/// Whether the text begins with a blank.
pub fn is_indented(text: &[u8]) -> bool {
    text.first().is_some_and(|byte| BLANKS.contains(byte))
}

/// The line without its comment, which may begin anywhere.
pub fn uncommented(line: &[u8]) -> &[u8] {
    split(line, b"#").0
}

/// The first word of a text that does not begin with a blank, and the rest from the next word on.
pub fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let (word, rest) = split(text, BLANKS);
    (word, skip(rest, BLANKS))
}

/// Whether `wanted` is `name` or a word of `aliases`; `fold`: in any case of its letters.
pub fn is_named(wanted: &[u8], name: &[u8], aliases: &[u8], fold: bool) -> bool {
    let (mut name, mut rest) = (name, aliases);
    loop {
        if name == wanted || (fold && name.eq_ignore_ascii_case(wanted)) {
            return true;
        }
        if rest.is_empty() {
            return false;
        }
        (name, rest) = word(rest);
    }
}

/// A number of 32 bits at the front of the text as strtoul() reads it, and what follows it;
/// `None` if there is no digit, or it is larger. Base 0 takes the base from the text. Blanks, a
/// sign and, for base 16, `0x` may stand in front; of the negative numbers only zero is one.
pub fn number(text: &[u8], base: u32) -> Option<(u32, &[u8])> {
    let text = skip(text, BLANKS);
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (base, text) = match text {
        // Without a hexadecimal digit behind it, it is a zero and an x.
        [b'0', b'x' | b'X', rest @ ..]
            if matches!(base, 0 | 16) && rest.first().is_some_and(u8::is_ascii_hexdigit) =>
        {
            (16, rest)
        }
        [b'0', ..] if base == 0 => (8, text),
        _ if base == 0 => (10, text),
        _ => (base, text),
    };
    let (value, rest) = digits(text, base)?;
    (value == 0 || !negative).then_some((value, rest))
}

/// The digits at the front of the text, and what follows them; `None` if there is none, or 32 bits
/// do not hold the number.
pub fn digits(text: &[u8], base: u32) -> Option<(u32, &[u8])> {
    let (mut value, mut rest) = (0_u32, text);
    while let [first, tail @ ..] = rest {
        let digit = match first.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => digit - b'0',
            digit @ b'a'..=b'f' => digit - b'a' + 10,
            _ => break,
        };
        if u32::from(digit) >= base {
            break;
        }
        value = value.checked_mul(base)?.checked_add(digit.into())?;
        rest = tail;
    }
    (rest.len() < text.len()).then_some((value, rest))
}

/// The number that all of a key is.
pub fn whole(key: &[u8]) -> Option<u32> {
    match number(key, 10)? {
        (value, []) => Some(value),
        _ => None,
    }
}

/// A number that the end of the line or one of the bytes `ends` ends, and what follows.
pub fn field<'a>(text: &'a [u8], base: u32, ends: &[u8]) -> Option<(u32, &'a [u8])> {
    match number(text, base)? {
        (value, []) => Some((value, &[])),
        (value, [end, rest @ ..]) if ends.contains(end) => Some((value, rest)),
        _ => None,
    }
}

/// Adds blanks to what begins at `start` until it is `width` bytes wide.
pub fn pad(out: &mut Vec<u8>, start: usize, width: usize) {
    out.resize(out.len().max(start + width), b' ');
}

/// Adds words, a blank before each.
pub fn push_words(out: &mut Vec<u8>, words: &[u8]) {
    let mut rest = words;
    while !rest.is_empty() {
        let next;
        (next, rest) = word(rest);
        out.push(b' ');
        out.extend_from_slice(next);
    }
}

/// Adds what stands between the commas of `list`, without the blanks in front (those behind it
/// belong to it) and what is empty then, to a list that begins at `first` and has this separator.
pub fn push_list(out: &mut Vec<u8>, first: usize, separator: &[u8], list: &[u8]) {
    let mut rest = list;
    while !rest.is_empty() {
        let next;
        (next, rest) = split(rest, b",");
        let member = skip(next, BLANKS);
        if !member.is_empty() {
            if out.len() > first {
                out.extend_from_slice(separator);
            }
            out.extend_from_slice(member);
        }
    }
}

/// Adds a number in decimal.
pub fn push_decimal(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(write_decimal(value.into(), &mut [0; DECIMAL_MAX]));
}

/// Adds a number as hexadecimal without a leading zero.
pub fn push_hex(out: &mut Vec<u8>, value: u16) {
    if value >= 16 {
        push_hex(out, value / 16);
    }
    let digit = (value % 16) as u8;
    out.push(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
}
