//! Distinguished names as text (RFC 4514), as far as members of groups need it.

use super::filter::digit;

/// The parts of a DN, from the entry itself up: `attribute` and `value` of each, the value with its
/// escapes. Of a part of several attributes the first.
pub fn parts(dn: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = Some(dn);
    core::iter::from_fn(move || {
        let text = rest?;
        let end = unescaped(text, |byte| matches!(byte, b',' | b';'));
        let part = text.get(..end).unwrap_or_default();
        rest = text.get(end + 1..);
        let first = part.get(..unescaped(part, |byte| byte == b'+')).unwrap_or_default();
        let equals = first.iter().position(|byte| *byte == b'=')?;
        let (attribute, value) = first.split_at_checked(equals)?;
        Some((attribute.trim_ascii(), trim(value.get(1..).unwrap_or_default())))
    })
}

/// The value of the first part, with its escapes: what an entry is called.
pub fn first(dn: &[u8]) -> Option<&[u8]> {
    parts(dn).next().map(|(_, value)| value)
}

/// Where a byte is found that is neither escaped nor in quotes; else the end.
fn unescaped(text: &[u8], is: impl Fn(u8) -> bool) -> usize {
    let (mut escaped, mut quoted) = (false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            byte if !quoted && is(*byte) => return at,
            _ => {}
        }
    }
    text.len()
}

/// Without blanks around it that are not escaped.
fn trim(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii_start();
    let bare = value.trim_ascii_end();
    let slashes = bare.iter().rev().take_while(|byte| **byte == b'\\').count();
    if slashes % 2 == 1 { value.get(..bare.len() + 1).unwrap_or(bare) } else { bare }
}

/// The bytes that a value stands for: `\2C` and `\,` a comma.
pub fn unescape(value: &[u8]) -> impl Iterator<Item = u8> {
    let value = match value {
        [b'"', inside @ .., b'"'] => inside,
        value => value,
    };
    let mut rest = value;
    core::iter::from_fn(move || {
        let (byte, mut behind) = rest.split_first()?;
        let mut found = *byte;
        if found == b'\\' {
            match behind {
                [high, low, more @ ..] if digit(*high).is_some() && digit(*low).is_some() => {
                    found = digit(*high)? << 4 | digit(*low)?;
                    behind = more;
                }
                [next, more @ ..] => (found, behind) = (*next, more),
                [] => {}
            }
        }
        rest = behind;
        Some(found)
    })
}

/// A DN by which two that are written differently are the same: attributes and values in lower case,
/// one blank for several, no escapes. What separates it are bytes that no such DN has.
pub fn plain(dn: &[u8]) -> impl Iterator<Item = u8> {
    parts(dn).flat_map(|(attribute, value)| {
        let mut blank = false;
        let value = unescape(value).filter(move |byte| {
            let again = blank && *byte == b' ';
            blank = *byte == b' ';
            !again
        });
        let lower = |byte: u8| byte.to_ascii_lowercase();
        let attribute = attribute.iter().copied().map(lower).chain([1]);
        attribute.chain(value.map(lower)).chain([0])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn names_are_taken_out_of_dns() {
        let of =
            |dn: &str| -> Vec<u8> { unescape(first(dn.as_bytes()).unwrap_or_default()).collect() };
        assert_eq!(of("uid=ada,ou=people"), b"ada");
        assert_eq!(of("uid=corp\\5Csvc,ou=people"), b"corp\\svc");
        assert_eq!(of("cn=Doe\\, Jane,ou=people"), b"Doe, Jane");
        assert_eq!(of("cn=\"Doe, Jane\",ou=people"), b"Doe, Jane");
        assert_eq!(of("cn=x\\20,ou=people"), b"x ");
        assert_eq!(of("cn=x\\ ,ou=people"), b"x ");
        assert_eq!(of(" cn = with space , ou=people"), b"with space");
        assert_eq!(of("cn=a+uid=b,ou=people"), b"a");
        assert_eq!(of("nonsense"), b"");
        assert_eq!(of(""), b"");
        assert_eq!(of("cn=a\\"), b"a\\");
    }

    #[test]
    fn one_entry_has_one_plain_name() {
        let of = |dn: &str| -> Vec<u8> { plain(dn.as_bytes()).collect() };
        let one = of("uid=Ada,ou=People,dc=example");
        assert_eq!(of("UID=ada, ou = people ,DC=Example"), one);
        assert_eq!(of("uid=a\\64a,ou=people,dc=example"), one);
        assert_ne!(of("uid=ada,ou=people"), one);
        assert_ne!(of("uid=a\\,da,ou=people"), of("uid=a,da=,ou=people"));
        assert_eq!(of("cn=a  b"), of("cn=a b"));
    }
}
