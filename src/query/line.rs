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

/// Control characters, which a terminal obeys, as `?`.
pub fn tame(line: &mut [u8]) {
    line.iter_mut().filter(|byte| byte.is_ascii_control()).for_each(|byte| *byte = b'?');
}

#[cfg(test)]
mod tests {
    use super::*;
    use nssproto::entry::{Db, Gid, Uid};
    use nssproto::line::{Rules, parse_by};

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
