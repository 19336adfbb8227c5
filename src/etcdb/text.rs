//! Bytes: the C library's notions of blanks, words and numbers, and plain output.

use std::net::Ipv6Addr;

/// isspace() of the C locale. Rust's own ASCII whitespace lacks the vertical tab.
pub fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// What stands before the first byte of that kind, or all.
pub fn until(line: &[u8], stop: fn(u8) -> bool) -> &[u8] {
    split(line, stop).0
}

/// What stands before the first byte of that kind, and what after it.
pub fn split(line: &[u8], stop: fn(u8) -> bool) -> (&[u8], &[u8]) {
    let mut parts = line.splitn(2, |&byte| stop(byte));
    let head = parts.next().unwrap_or_default();
    (head, parts.next().unwrap_or_default())
}

/// The line without the blanks at its front.
pub fn skip_blanks(line: &[u8]) -> &[u8] {
    let mut rest = line;
    while let [first, tail @ ..] = rest {
        if !is_blank(*first) {
            break;
        }
        rest = tail;
    }
    rest
}

/// The line without its comment, which may begin anywhere.
pub fn uncommented(line: &[u8]) -> &[u8] {
    until(line, |byte| byte == b'#')
}

/// The first word of a line that does not begin with a blank, and the rest from the next word on.
pub fn word(line: &[u8]) -> (&[u8], &[u8]) {
    let (word, rest) = split(line, is_blank);
    (word, skip_blanks(rest))
}

/// The words of a line.
pub fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| is_blank(byte)).filter(|word| !word.is_empty())
}

/// A number at the front of the text as strtoull() reads it, and what follows it; `None` without
/// a digit. Base 0 takes the base from the text. Blanks, a sign and, for base 16, `0x` may stand
/// in front. Too large a number is `u64::MAX`, a negative one wraps.
pub fn number(text: &[u8], base: u32) -> Option<(u64, &[u8])> {
    let text = skip_blanks(text);
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
    let mut value = Some(0_u64);
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let digit = match first {
            b'0'..=b'9' => first - b'0',
            b'a'..=b'z' => first - b'a' + 10,
            b'A'..=b'Z' => first - b'A' + 10,
            _ => break,
        };
        if u32::from(digit) >= base {
            break;
        }
        value = value
            .and_then(|value| value.checked_mul(base.into()))
            .and_then(|value| value.checked_add(digit.into()));
        rest = tail;
    }
    if rest.len() == text.len() {
        return None;
    }
    let value = match value {
        Some(value) if negative => value.wrapping_neg(),
        Some(value) => value,
        None => u64::MAX,
    };
    Some((value, rest))
}

/// A field of 32 bits that the end of the line or one byte of that kind ends, and what follows.
/// A larger number is none.
pub fn field(text: &[u8], base: u32, ends: fn(u8) -> bool) -> Option<(u32, &[u8])> {
    let (value, rest) = number(text, base)?;
    let value = u32::try_from(value).ok()?;
    match rest {
        [] => Some((value, rest)),
        [end, rest @ ..] if ends(*end) => Some((value, rest)),
        _ => None,
    }
}

/// An IPv4 address as inet_aton() reads it, highest byte first, and what follows it: one to four
/// numbers, of which the last fills what the others leave. What follows begins with a blank.
pub fn inet_aton(text: &[u8]) -> Option<(u32, &[u8])> {
    let mut text = text;
    let mut address = 0;
    for shift in [24_u32, 16, 8, 0] {
        if !text.first()?.is_ascii_digit() {
            return None;
        }
        let (value, rest) = number(text, 0)?;
        let value = u32::try_from(value).ok()?;
        match rest {
            [b'.', rest @ ..] if value <= 0xff && shift > 0 => {
                address |= value << shift;
                text = rest;
            }
            // Of four bytes, shift / 8 + 1 are left.
            [] if value <= u32::MAX >> (24 - shift) => return Some((address | value, rest)),
            [end, ..] if is_blank(*end) && value <= u32::MAX >> (24 - shift) => {
                return Some((address | value, rest));
            }
            _ => return None,
        }
    }
    None
}

/// Adds blanks to what begins at `start` until it is `width` bytes wide.
pub fn pad(out: &mut Vec<u8>, start: usize, width: usize) {
    out.resize(out.len().max(start + width), b' ');
}

/// Adds a number in decimal.
pub fn push_decimal(out: &mut Vec<u8>, value: u32) {
    if value >= 10 {
        push_decimal(out, value / 10);
    }
    push_digit(out, value % 10);
}

/// Adds a number as hexadecimal without a leading zero.
pub fn push_hex(out: &mut Vec<u8>, value: u16) {
    if value >= 16 {
        push_hex(out, value / 16);
    }
    push_digit(out, u32::from(value % 16));
}

fn push_digit(out: &mut Vec<u8>, digit: u32) {
    let digit = digit as u8;
    out.push(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
}

/// Adds the IPv4 address at the end of one of IPv6, as inet_ntop() writes it.
pub fn push_v4(out: &mut Vec<u8>, address: Ipv6Addr) {
    let [.., a, b, c, d] = address.octets();
    for (i, byte) in [a, b, c, d].into_iter().enumerate() {
        if i > 0 {
            out.push(b'.');
        }
        push_decimal(out, byte.into());
    }
}

/// Adds an address as inet_ntop() writes it.
///
/// The first of the longest runs of two zeros or more is left out, and what maps IPv4 or has only
/// zeros in front of it is dotted behind that.
pub fn push_v6(out: &mut Vec<u8>, address: Ipv6Addr) {
    let groups = address.segments();
    let (mut start, mut len, mut zeros) = (0, 1, 0);
    for (at, group) in groups.iter().enumerate() {
        zeros = if *group == 0 { zeros + 1 } else { 0 };
        if zeros > len {
            (start, len) = (at + 1 - zeros, zeros);
        }
    }
    if len == 1 {
        len = 0;
    }
    let dotted =
        matches!(groups, [0, 0, 0, 0, 0, 0, 1..=u16::MAX, _] | [0, 0, 0, 0, 0, 0xffff, _, _]);
    let mut colon = false;
    for (at, group) in groups.into_iter().enumerate() {
        if len > 0 && at == start {
            out.extend_from_slice(b"::");
            colon = false;
        }
        if (start..start + len).contains(&at) {
            continue;
        }
        if colon {
            out.push(b':');
        }
        colon = true;
        if dotted && at == 6 {
            return push_v4(out, address);
        }
        push_hex(out, group);
    }
}
