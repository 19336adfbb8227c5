//! Times as LDAP writes them (RFC 4517, 3.3.13).

use crate::directory::stamp::{Time, iso, parse_iso};

/// `20240101013900Z`; of Active Directory `20240101013900.0Z`. A fraction is passed over.
pub fn parse(text: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(text).ok()?;
    let (digits, _) = text.split_once(['.', ',', 'Z'])?;
    if !text.ends_with('Z') || digits.len() != 14 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, len: usize| digits.get(from..from + len);
    let date = format!("{}-{}-{}", part(0, 4)?, part(4, 2)?, part(6, 2)?);
    parse_iso(&format!("{date}T{}:{}:{}Z", part(8, 2)?, part(10, 2)?, part(12, 2)?))
}

/// The way back.
pub fn write(time: Time, ad: bool) -> String {
    let digits: String = iso(time).chars().filter(char::is_ascii_digit).collect();
    digits + if ad { ".0Z" } else { "Z" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        assert_eq!(parse(b"20240101013900Z"), Some(1_704_073_140));
        assert_eq!(parse(b"20240101013900.0Z"), Some(1_704_073_140));
        assert_eq!(parse(b"20240101013900.123456Z"), Some(1_704_073_140));
        assert_eq!(write(1_704_073_140, false), "20240101013900Z");
        assert_eq!(write(1_704_073_140, true), "20240101013900.0Z");
        for bad in [
            &b""[..],
            b"20240101013900",
            b"2024010101390Z",
            b"20240101013900+0100",
            b"20241301013900Z",
        ] {
            assert_eq!(parse(bad), None);
        }
    }
}
