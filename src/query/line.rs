//! A record as a line, as glibc's putpwent(3), putgrent(3) and putspent(3) write it.

use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use nssproto::line::glibc::has_key;
use nssproto::nsss::Head;

/// The line of a record by its head and its strings, without LF. `None`: it holds what would end a
/// field or the line, and glibc prints nothing then; in the gecos field a blank takes its place.
/// Lines for NIS have no ids.
pub fn of_record(head: &Head, strings: &mut dyn Iterator<Item = &[u8]>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let mut ids = true;
    for (at, text) in strings.enumerate() {
        let is_member = at >= 2 && matches!(head, Head::Group { .. });
        if at == 0 {
            ids = has_key(text);
        } else {
            line.push(if is_member && at > 2 { b',' } else { b':' });
        }
        let ends = |byte: &u8| matches!(byte, b':' | b'\n') || is_member && *byte == b',';
        if at == 2 && matches!(head, Head::Passwd { .. }) {
            line.extend(text.iter().map(|byte| if ends(byte) { b' ' } else { *byte }));
        } else if text.iter().any(ends) {
            return None;
        } else {
            line.extend_from_slice(text);
        }
        if at == 1 {
            match head {
                Head::Passwd { uid, gid, .. } => {
                    push_number(&mut line, ids.then_some(uid.0.into()));
                    push_number(&mut line, ids.then_some(gid.0.into()));
                }
                Head::Group { gid, .. } => push_number(&mut line, ids.then_some(gid.0.into())),
                Head::Shadow { numbers, .. } => {
                    for number in numbers.map(u64::cast_signed) {
                        push_number(&mut line, (number != -1).then_some(number));
                    }
                }
            }
        }
    }
    if let Head::Group { members: 0, .. } = head {
        line.push(b':');
    }
    Some(line)
}

/// A colon, and a number or nothing.
fn push_number(line: &mut Vec<u8>, number: Option<i64>) {
    line.push(b':');
    let Some(number) = number else { return };
    if number < 0 {
        line.push(b'-');
    }
    line.extend_from_slice(write_decimal(number.unsigned_abs(), &mut [0; DECIMAL_MAX]));
}

/// Control characters, which a terminal obeys, as `?`; of UTF-8 also U+0080 to U+009F and what ends
/// a line or turns it round (U+2028 to U+202E, U+2066 to U+2069).
pub fn tame(mut line: &mut [u8]) {
    while !line.is_empty() {
        let len = match *line {
            [..=0x1f | 0x7f, ..] => 1,
            [0xc2, 0x80..=0x9f, ..] => 2,
            [0xe2, 0x80, 0xa8..=0xae, ..] | [0xe2, 0x81, 0xa6..=0xa9, ..] => 3,
            _ => 0,
        };
        let (front, rest) = line.split_at_mut(len.max(1));
        if len != 0 {
            front.fill(b'?');
        }
        line = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nssproto::entry::{Db, Gid, Uid};
    use nssproto::line::{Rules, parse_by};

    #[test]
    fn what_a_terminal_would_obey_is_tamed() {
        for (line, want) in [
            ("a\tb\u{1b}[1m\u{7f}", "a?b?[1m?"),
            ("J\u{f6}rg \u{20ac} \u{a0}", "J\u{f6}rg \u{20ac} \u{a0}"),
            ("\u{85}\u{9b}x", "????x"),
            ("\u{2027}\u{2028}\u{202e}\u{202f}", "\u{2027}??????\u{202f}"),
            ("\u{2066}\u{206a}", "???\u{206a}"),
        ] {
            let mut bytes = line.as_bytes().to_vec();
            tame(&mut bytes);
            assert_eq!(String::from_utf8(bytes).unwrap(), want);
        }
        let mut bytes = *b"\xc2";
        tame(&mut bytes);
        assert_eq!(bytes, *b"\xc2");
    }

    #[test]
    fn lines_are_those_of_glibc() {
        for (db, text, want) in [
            (Db::Passwd, "a:x:01:2:g:h:s", Some("a:x:1:2:g:h:s")),
            (Db::Passwd, "a:x:1:2", Some("a:x:1:2:::")),
            (Db::Passwd, "a:x:1:2:g:h:s:t", None),
            (Db::Passwd, "-a:x:1:2:g:h:s", Some("-a:x:::g:h:s")),
            (Db::Passwd, "+", Some("+::::::")),
            (Db::Group, "g:x:5", Some("g:x:5:")),
            (Db::Group, "g:x:5:, a,b ,", Some("g:x:5:a,b ")),
            (Db::Group, "g:x:5:a:b", None),
            (Db::Group, "+g:x:5:a,b", Some("+g:x::a,b")),
            (Db::Shadow, "a:*:1:2:3", Some("a:*:1:2:3::::")),
            (Db::Shadow, "a:*:2147483648::4294967295:::1:", Some("a:*:-2147483648:::::1:")),
            (Db::Shadow, "+", Some("+::0:0:0::::")),
        ] {
            let record = parse_by(Rules::Glibc, db, text.as_bytes()).unwrap();
            let line = of_record(&Head::of(&record, 0), &mut record.strings());
            assert_eq!(line.as_deref(), want.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn what_would_end_a_field_ends_none() {
        let of = |strings: &[&[u8]]| {
            let head = Head::Passwd { uid: Uid(1), gid: Gid(2), len: 0 };
            of_record(&head, &mut strings.iter().copied())
        };
        assert_eq!(of(&[b"a", b"x", b"g:\n", b"h", b"s"]), Some(b"a:x:1:2:g  :h:s".to_vec()));
        assert_eq!(of(&[b"a", b"x", b"g", b"h\n", b"s"]), None);
        assert_eq!(of(&[b"a", b"x:", b"g", b"h", b"s"]), None);
    }
}
