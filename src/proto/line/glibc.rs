//! Colon-separated lines as glibc 2.36's own files service reads them: passwd(5), group(5),
//! shadow(5). doc/lines.md has these rules beside nsss's.
//!
//! A line comes without its LF, and a NUL ends it for the parser. Blanks are the six bytes of
//! isspace(3) in the C locale. What glibc 2.36 makes of blanks in front of a line that a NUL or
//! the end of the file ends is a fault of its own (it repeats the last bytes) and not followed.

use super::{Rules, why};
use crate::Malformed;
use crate::entry::{Db, Group, Record};

/// A line of `db` as lookups by key and listings read it; the error says why it is skipped.
///
/// Blanks in front are dropped. Comments are skipped. Of a number, blanks and a sign in front are
/// taken. What is missing behind the last number is empty; passwd and group need the numbers, and
/// everything after the sixth, third colon is the shell, the member list. A record that
/// [`has_key`] denies is listed and not found.
pub fn parse(db: Db, line: &[u8]) -> Result<Record<'_>, Malformed> {
    super::parse_by(Rules::Glibc, db, line)
}

/// A line of group as getgrouplist(3) reads it: nothing in front is dropped, there are no
/// comments, and a `+` or `-` in front of the name keeps nobody out.
pub fn parse_membership(line: &[u8]) -> Result<Group<'_>, Malformed> {
    match super::parse_by(Rules::GlibcMembers, Db::Group, line)? {
        Record::Group(group) => Ok(group),
        _ => Err(why::FIELDS),
    }
}

/// Whether a record of that name is found by its name and its number: those for NIS are not.
pub fn has_key(name: &[u8]) -> bool {
    !matches!(name.first(), Some(b'+' | b'-'))
}

/// Blanks, a sign, digits, and nothing behind them. What is below 2^64 may have a minus sign, and
/// is taken from 2^64 then: only of the very largest something is left that has 32 bits.
pub(super) fn number(text: &[u8]) -> Option<u32> {
    let text = trim(text);
    let (negative, digits) = match text.split_first()? {
        (b'-', digits) => (true, digits),
        (b'+', digits) => (false, digits),
        _ => (false, text),
    };
    let value = crate::bytes::decimal_u64(digits)?;
    u32::try_from(if negative { value.wrapping_neg() } else { value }).ok()
}

/// Days are signed and have 32 bits: 2^32-1 is an empty field.
pub(super) fn days_of(number: u32) -> u64 {
    i64::from(number.cast_signed()).cast_unsigned()
}

/// One of the six bytes of isspace(3).
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// How many blanks are in front of `text`.
pub(super) fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|b| is_blank(**b)).count()
}

/// `text` without the blanks in front.
pub fn trim(text: &[u8]) -> &[u8] {
    text.get(blanks(text)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Shadow;
    use crate::line::Parsed;

    /// Name, uid, gid, gecos, home, shell.
    type User<'a> = (&'a [u8], u32, u32, &'a [u8], &'a [u8], &'a [u8]);

    fn users(lines: &[&[u8]], want: Option<User<'_>>) {
        for line in lines {
            let got = match parse(Db::Passwd, line) {
                Ok(Record::Passwd(r)) => Some((r.name, r.uid.0, r.gid.0, r.gecos, r.home, r.shell)),
                _ => None,
            };
            assert_eq!(got, want, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn fields_of_passwd_may_be_missing_behind_the_gid() {
        users(&[b"a:x:1:2", b"a:x:1:2:", b"a:x:1:2:::"], Some((b"a", 1, 2, b"", b"", b"")));
        users(&[b"a:x:1:2:g:/h"], Some((b"a", 1, 2, b"g", b"/h", b"")));
        users(&[b"a:x:1:2:g:/h:s:t:u"], Some((b"a", 1, 2, b"g", b"/h", b"s:t:u")));
        users(&[b":x:1:2:g:/h:s"], Some((b"", 1, 2, b"g", b"/h", b"s")));
        users(&[b"a", b"a:", b"a:x", b"a:x:1", b"a:x:1:", b"a:x::1:::", b":::::"], None);
    }

    #[test]
    fn blanks_in_front_are_dropped_and_comments_skipped() {
        users(&[b"\x0b\x0c\r\t a:x:1:2"], Some((b"a", 1, 2, b"", b"", b"")));
        users(&[b"a :x:1:2"], Some((b"a ", 1, 2, b"", b"", b"")));
        users(&[b"", b" ", b"\r", b"#a:x:1:2", b" #a:x:1:2", b"\0a:x:1:2", b" \0a:x:1:2"], None);
    }

    #[test]
    fn a_nul_ends_the_line() {
        users(&[b"a:x:1:2\0:g:h:s", b"a:x:1:2:\0:"], Some((b"a", 1, 2, b"", b"", b"")));
        users(&[b"a:x:1:2:g:h:s\0x"], Some((b"a", 1, 2, b"g", b"h", b"s")));
        users(&[b"a:x:1\0:2:g:h:s"], None);
    }

    #[test]
    fn numbers_are_those_of_strtoul_within_32_bits() {
        for (text, want) in [
            ("0", Some(0)),
            ("010", Some(10)),
            ("4294967295", Some(u32::MAX)),
            (" +5", Some(5)),
            ("\x0b\r5", Some(5)),
            ("-0", Some(0)),
            ("-18446744073709551615", Some(1)),
            ("-18446744069414584321", Some(u32::MAX)),
            ("-18446744069414584320", None),
            ("4294967296", None),
            ("18446744073709551616", None),
            ("-18446744073709551616", None),
            ("-1", None),
            ("5 ", None),
            ("5\r", None),
            ("0x5", None),
            ("+-5", None),
            ("- 5", None),
            ("+", None),
            (" ", None),
        ] {
            assert_eq!(number(text.as_bytes()), want, "{text:?}");
            let mut line = [0; 32];
            line[..3].copy_from_slice(b"a::");
            line[3..3 + text.len()].copy_from_slice(text.as_bytes());
            assert_eq!(parse_membership(&line).ok().map(|g| g.gid.0), want, "{text:?}");
        }
    }

    #[test]
    fn records_for_nis_need_no_numbers_and_have_no_key() {
        users(&[b"+", b"+:", b"+::::::"], Some((b"+", 0, 0, b"", b"", b"")));
        users(&[b"-", b"-:"], Some((b"-", 0, 0, b"", b"", b"")));
        users(&[b"+a:x:::", b" +a:x::0"], Some((b"+a", 0, 0, b"", b"", b"")));
        users(&[b"-a:x:1:2:g:h:s"], Some((b"-a", 1, 2, b"g", b"h", b"s")));
        users(&[b"+a:x", b"+a:x:", b"+a:x:1", b"+a:x:1:", b"+a:x::", b"+a:x: :1:::"], None);
        for (line, want) in
            [(&b"+"[..], Some(0)), (b"+:x::", Some(0)), (b"+:x:5", Some(5)), (b"+:x:", None)]
        {
            assert_eq!(parse_membership(line).ok().map(|g| g.gid.0), want);
        }
        assert!(has_key(b"") && has_key(b"a+") && !has_key(b"+") && !has_key(b"-a"));
    }

    #[test]
    fn members_are_trimmed_in_front_and_empty_ones_dropped() {
        for (field, want) in [
            ("", &[][..]),
            (" ", &[]),
            (",", &[]),
            (" , ,,", &[]),
            ("u", &["u"]),
            (",u,,v,", &["u", "v"]),
            (" u,\tv ,w", &["u", "v ", "w"]),
            ("u u,u\r,\r", &["u u", "u\r"]),
            ("u:v,w", &["u:v", "w"]),
        ] {
            let mut line = [0; 32];
            line[..6].copy_from_slice(b"g:x:5:");
            line[6..6 + field.len()].copy_from_slice(field.as_bytes());
            let members = parse_membership(&line).unwrap().members;
            assert_eq!(members.remaining() as usize, want.len(), "{field:?}");
            assert_eq!(members.area_len(), want.iter().map(|m| m.len() + 1).sum(), "{field:?}");
            assert!(members.eq(want.iter().map(|m| m.as_bytes())), "{field:?}");
        }
    }

    #[test]
    fn memberships_know_neither_blanks_nor_comments() {
        assert_eq!(parse_membership(b" g:x:5:u").unwrap().name, b" g");
        assert_eq!(parse_membership(b"#g:x:5:u").unwrap().name, b"#g");
        // With the blank in front, it is no record for NIS.
        assert!(parse_membership(b" +g:x::u").is_err());
        assert!(parse(Db::Group, b" +g:x::u").is_ok());
    }

    #[test]
    fn numbers_of_shadow_are_signed_and_of_32_bits() {
        const E: u64 = Shadow::EMPTY;
        for (line, want) in [
            ("a:*:1:2:3", Some([1, 2, 3, E, E, E, E])),
            ("a:*:1:2::", Some([1, 2, E, E, E, E, E])),
            ("a:*:1:2:3: \r", Some([1, 2, 3, E, E, E, E])),
            ("a:*:1:2:3: :5:6:7", Some([1, 2, 3, E, 5, 6, 7])),
            ("a:*:1:2:3:4:5::", Some([1, 2, 3, 4, 5, E, E])),
            ("a:*:1:2:3:4:5:6", Some([1, 2, 3, 4, 5, 6, E])),
            ("a:*:1:2:3:4:5:6: +7", Some([1, 2, 3, 4, 5, 6, 7])),
            ("a::::::::", Some([E; 7])),
            ("a:*:4294967295:2147483648:3", Some([E, E << 31, 3, E, E, E, E])),
            ("a:*:1:2:3:4:5:6:4294967295", Some([1, 2, 3, 4, 5, 6, 0xffff_ffff])),
            ("+", Some([0, 0, 0, E, E, E, E])),
            ("a:*", None),
            ("+a:*", None),
            ("a:*:1:2", None),
            ("a:*:1:2:", None),
            ("a:*:::", None),
            ("a:*: :2:3", None),
            ("a:*:1:2:3\r", None),
            ("a:*:1:2:3:4", None),
            ("a:*:1:2:3:4:5", None),
            ("a:*:1:2:3:4:5:", None),
            ("a:*:1:2:3:4:5:6:7:", None),
            ("a:*:1:2:3:4:5:6: ", None),
            ("a:*:-1:2:3", None),
            ("a:*:4294967296:2:3", None),
            ("a:*:1:2:3:4:5:6:4294967296", None),
        ] {
            let got = match parse(Db::Shadow, line.as_bytes()) {
                Ok(Record::Shadow(record)) => Some(record.numbers),
                _ => None,
            };
            assert_eq!(got, want, "{line:?}");
        }
    }

    #[test]
    fn a_parsed_line_gives_its_record_again() {
        for (db, text) in [
            (Db::Passwd, &b" \ta:x:001:+2:g,e:/home:/bin/sh:x"[..]),
            (Db::Passwd, b"a:x:1:2"),
            (Db::Passwd, b"+"),
            (Db::Passwd, b"+a:x:::g"),
            (Db::Passwd, b"a:x:1:2\0:g:h:s"),
            (Db::Group, b"\rg:x: 5:, u,,v,"),
            (Db::Group, b"g:x:5"),
            (Db::Shadow, b" s:!:1:2:3: "),
        ] {
            let parsed = Parsed::new(Rules::Glibc, db, text).unwrap();
            assert_eq!(parsed.record(text), parse(db, text).ok(), "{text:?}");
            assert!(parsed.record(text).is_some());
        }
        let parsed = Parsed::new(Rules::GlibcMembers, Db::Group, b" g:x:5:u").unwrap();
        let record = parsed.record(b" g:x:5:u");
        assert_eq!(record, parse_membership(b" g:x:5:u").ok().map(Record::Group));
    }
}
