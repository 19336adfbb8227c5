//! Filters: their text (RFC 4515) and what goes over the wire (RFC 4511, 4.5.1).

use super::ber::{Back, OCTETS, Values};
use crate::{DecodeError, EncodeError};

/// How deep filters may be nested.
pub const FILTER_DEPTH: u32 = 32;

const AND: u8 = 0xa0;
const OR: u8 = 0xa1;
const NOT: u8 = 0xa2;
const EQUAL: u8 = 0xa3;
const SUBSTRINGS: u8 = 0xa4;
const GREATER: u8 = 0xa5;
const LESS: u8 = 0xa6;
const PRESENT: u8 = 0x87;
const APPROXIMATE: u8 = 0xa8;
const EXTENSIBLE: u8 = 0xa9;

/// A filter as it goes over the wire, sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter<'a>(&'a [u8]);

/// Why a text is no filter.
const BAD: EncodeError = EncodeError::Unrepresentable("a filter that is not as RFC 4515 has it");
const DEEP: EncodeError = EncodeError::Unrepresentable("a filter that is nested too deep");

impl Filter<'static> {
    /// `(objectClass=*)`: every entry.
    pub const ALL: Filter<'static> = Filter(b"\x87\x0bobjectClass");
}

impl<'a> Filter<'a> {
    /// The filter that a text says, written to `out`.
    ///
    /// ```
    /// use nssproto::ldap::Filter;
    ///
    /// let mut out = [0; 64];
    /// let filter = Filter::parse(b"(&(objectClass=*)(uid=a\\2ab))", &mut out).unwrap();
    /// assert_eq!(filter.bytes().len(), 27);
    /// assert!(Filter::parse(b"(uid=a", &mut out).is_err());
    /// ```
    pub fn parse(text: &[u8], out: &'a mut [u8]) -> Result<Self, EncodeError> {
        let text = text.trim_ascii();
        let mut back = Back::new(out);
        let rest = match text.first() {
            Some(b'(') => filter(text, &mut back, FILTER_DEPTH)?,
            // Many leave the outer ones away.
            Some(_) => {
                item(text, &mut back)?;
                b""
            }
            None => return Err(BAD),
        };
        if !rest.is_empty() {
            return Err(BAD);
        }
        back.into_bytes().map(Filter)
    }

    /// What a request has, which is looked at whole.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut values = Values::new(bytes);
        check(&mut values, FILTER_DEPTH)?;
        values.end()?;
        Ok(Filter(bytes))
    }

    /// As it goes over the wire.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// Looks at one filter.
fn check(values: &mut Values<'_>, depth: u32) -> Result<(), DecodeError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(DecodeError::malformed("a filter that is nested too deep"));
    };
    let (tag, value) = values.any()?;
    let mut inner = Values::new(value);
    match tag {
        AND | OR => {
            while !inner.is_empty() {
                check(&mut inner, depth)?;
            }
        }
        NOT => check(&mut inner, depth)?,
        EQUAL | GREATER | LESS | APPROXIMATE => {
            inner.value(OCTETS)?;
            inner.value(OCTETS)?;
        }
        SUBSTRINGS => {
            inner.value(OCTETS)?;
            let mut parts = inner.inner(super::ber::SEQUENCE)?;
            while !parts.is_empty() {
                if !matches!(parts.any()?.0, 0x80..=0x82) {
                    return Err(DecodeError::malformed("a part of a substring filter"));
                }
            }
        }
        PRESENT => return Ok(()),
        EXTENSIBLE => {
            inner.optional(0x81)?;
            inner.optional(0x82)?;
            inner.value(0x83)?;
            inner.boolean(0x84, false)?;
        }
        _ => return Err(DecodeError::malformed("a filter of an unknown kind")),
    }
    inner.end()
}

/// A filter in parentheses at the front of `text`; what is behind it.
fn filter<'t>(text: &'t [u8], back: &mut Back<'_>, depth: u32) -> Result<&'t [u8], EncodeError> {
    let Some(depth) = depth.checked_sub(1) else { return Err(DEEP) };
    let end = end_of(text)?;
    let (inside, rest) = text.split_at_checked(end).ok_or(BAD)?;
    let inside = inside.get(1..end - 1).ok_or(BAD)?;
    match inside.split_first() {
        Some((b'&', list)) => filters(list, back, AND, depth)?,
        Some((b'|', list)) => filters(list, back, OR, depth)?,
        Some((b'!', one)) => {
            let mark = back.mark();
            if !filter(one.trim_ascii(), back, depth)?.is_empty() {
                return Err(BAD);
            }
            back.close(NOT, mark);
        }
        _ => item(inside, back)?,
    }
    Ok(rest)
}

/// Filters one after the other, written from the last to the first.
fn filters(list: &[u8], back: &mut Back<'_>, tag: u8, depth: u32) -> Result<(), EncodeError> {
    let mark = back.mark();
    let mut list = list.trim_ascii();
    while !list.is_empty() {
        let start = last_of(list)?;
        let (before, last) = list.split_at_checked(start).ok_or(BAD)?;
        if !filter(last, back, depth)?.is_empty() {
            return Err(BAD);
        }
        list = before.trim_ascii();
    }
    back.close(tag, mark);
    Ok(())
}

/// How long the parentheses at the front are.
fn end_of(text: &[u8]) -> Result<usize, EncodeError> {
    let mut open = 0u32;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'(' => open += 1,
            b')' => open = open.checked_sub(1).ok_or(BAD)?,
            _ if open == 0 => return Err(BAD),
            _ => {}
        }
        if open == 0 {
            return Ok(at + 1);
        }
    }
    Err(BAD)
}

/// Where the parentheses at the end begin.
fn last_of(text: &[u8]) -> Result<usize, EncodeError> {
    let mut open = 0u32;
    for (at, byte) in text.iter().enumerate().rev() {
        match byte {
            b')' => open += 1,
            b'(' => open = open.checked_sub(1).ok_or(BAD)?,
            _ if open == 0 => return Err(BAD),
            _ => {}
        }
        if open == 0 {
            return Ok(at);
        }
    }
    Err(BAD)
}

/// `uid=ada` and its like.
fn item(text: &[u8], back: &mut Back<'_>) -> Result<(), EncodeError> {
    let at = text.iter().position(|byte| *byte == b'=').ok_or(BAD)?;
    let (left, right) = text.split_at_checked(at).ok_or(BAD)?;
    let value = right.get(1..).unwrap_or_default();
    if value.iter().any(|byte| matches!(byte, b'(' | b')' | 0)) {
        return Err(BAD);
    }
    let (tag, attribute) = match left.split_last() {
        Some((b'>', attribute)) => (GREATER, attribute),
        Some((b'<', attribute)) => (LESS, attribute),
        Some((b'~', attribute)) => (APPROXIMATE, attribute),
        Some((b':', attribute)) => return extensible(attribute, value, back),
        _ => (EQUAL, left),
    };
    let attribute = description(attribute)?;
    let stars = value.iter().filter(|byte| **byte == b'*').count();
    let mark = back.mark();
    match (tag, stars, value) {
        (EQUAL, 1, b"*") => back.value(PRESENT, attribute),
        (EQUAL, 1.., _) => {
            let parts = stars + 1;
            for number in (0..parts).rev() {
                let part = value.split(|byte| *byte == b'*').nth(number).unwrap_or_default();
                let kind = match number {
                    0 => 0x80,
                    last if last == stars => 0x82,
                    _ => 0x81,
                };
                let outer = matches!(kind, 0x80 | 0x82);
                if part.is_empty() && outer {
                    continue;
                }
                let mark = back.mark();
                unescape(part, back)?;
                back.close(kind, mark);
            }
            back.close(super::ber::SEQUENCE, mark);
            back.value(OCTETS, attribute);
            back.close(SUBSTRINGS, mark);
        }
        (_, 1.., _) => return Err(BAD),
        _ => {
            unescape(value, back)?;
            back.close(OCTETS, mark);
            back.value(OCTETS, attribute);
            back.close(tag, mark);
        }
    }
    Ok(())
}

/// `cn:dn:caseExactMatch:=x`: `left` is what stands before `:=`.
fn extensible(left: &[u8], value: &[u8], back: &mut Back<'_>) -> Result<(), EncodeError> {
    let mark = back.mark();
    let mut words = left.split(|byte| *byte == b':');
    let attribute = words.next().unwrap_or_default();
    let (mut dn, mut rule) = (false, None);
    for word in words {
        if word.eq_ignore_ascii_case(b"dn") && !dn && rule.is_none() {
            dn = true;
        } else if rule.is_none() {
            rule = Some(description(word)?);
        } else {
            return Err(BAD);
        }
    }
    if attribute.is_empty() && rule.is_none() {
        return Err(BAD);
    }
    if dn {
        back.boolean(0x84, true);
    }
    let inner = back.mark();
    unescape(value, back)?;
    back.close(0x83, inner);
    if !attribute.is_empty() {
        back.value(0x82, description(attribute)?);
    }
    if let Some(rule) = rule {
        back.value(0x81, rule);
    }
    back.close(EXTENSIBLE, mark);
    Ok(())
}

/// The name of an attribute or a rule, with options.
fn description(text: &[u8]) -> Result<&[u8], EncodeError> {
    let text = text.trim_ascii();
    let plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b';' | b'_');
    if !text.is_empty() && text.iter().all(plain) { Ok(text) } else { Err(BAD) }
}

/// Writes a value, of which `\2a` and its like stand for a byte.
fn unescape(text: &[u8], back: &mut Back<'_>) -> Result<(), EncodeError> {
    let mut rest = text;
    // A backslash and its digits are seen from behind: two digits with a backslash before them.
    while let Some((last, before)) = rest.split_last() {
        if let [.., b'\\', high, low] = rest
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            back.put(&[high << 4 | low]);
            rest = rest.get(..rest.len() - 3).unwrap_or_default();
            continue;
        }
        if *last == b'\\' {
            return Err(BAD);
        }
        back.put(&[*last]);
        rest = before;
    }
    Ok(())
}

/// The value of a hexadecimal digit.
pub(super) fn digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_what_goes_over_the_wire() {
        let of = |text: &str| {
            let mut out = [0; 256];
            let filter = Filter::parse(text.as_bytes(), &mut out).map(|f| f.bytes().to_vec());
            if let Ok(bytes) = &filter {
                assert_eq!(Filter::decode(bytes).unwrap().bytes(), bytes, "{text}");
            }
            filter.ok()
        };
        assert_eq!(of("(cn=*)").unwrap(), b"\x87\x02cn");
        assert_eq!(of("cn=*").unwrap(), b"\x87\x02cn");
        assert_eq!(of("(cn=a)").unwrap(), b"\xa3\x07\x04\x02cn\x04\x01a");
        assert_eq!(of("(cn>=a)").unwrap(), b"\xa5\x07\x04\x02cn\x04\x01a");
        assert_eq!(of("(!(cn=a))").unwrap(), b"\xa2\x09\xa3\x07\x04\x02cn\x04\x01a");
        assert_eq!(
            of("(&(cn=a) (sn=\\2a))").unwrap(),
            b"\xa0\x12\xa3\x07\x04\x02cn\x04\x01a\xa3\x07\x04\x02sn\x04\x01*"
        );
        assert_eq!(of("(&)").unwrap(), b"\xa0\x00");
        assert_eq!(
            of("(cn=a*b*c)").unwrap(),
            b"\xa4\x0f\x04\x02cn\x30\x09\x80\x01a\x81\x01b\x82\x01c"
        );
        assert_eq!(of("(cn=*b*)").unwrap(), b"\xa4\x09\x04\x02cn\x30\x03\x81\x01b");
        assert_eq!(of("(a:=x)").unwrap(), b"\xa9\x06\x82\x01a\x83\x01x");
        assert_eq!(
            of("(a:dn:1.2:=x)").unwrap(),
            b"\xa9\x0e\x81\x031.2\x82\x01a\x83\x01x\x84\x01\xff"
        );
        for bad in [
            "",
            "(",
            ")",
            "(cn=a",
            "cn=a)",
            "((cn=a))",
            "(cn)",
            "(=a)",
            "(!)",
            "(!(a=b)(c=d))",
            "(cn=a)(sn=b)",
            "(&(cn=a)x)",
            "(cn=\\zz)",
            "(cn=a\\)",
            "(c n=a)",
            "(:=x)",
            "(cn>=a*)",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
        let deep = |levels: usize| "(!".repeat(levels) + "(a=b)" + &")".repeat(levels);
        assert!(of(&deep(31)).is_some());
        assert!(of(&deep(32)).is_none());
    }
}
