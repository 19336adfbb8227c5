//! A record as a line, as glibc's putpwent(3), putgrent(3) and putspent(3) write it.

use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use nssproto::entry::Shadow;
use nssproto::nsss::Head;

/// The line of a record by its head and its strings, without LF. `None`: it holds what would end a
/// field or the line, and glibc prints nothing then; in the gecos field a blank takes its place.
pub fn of_record(head: &Head, strings: &mut dyn Iterator<Item = &[u8]>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    for (at, text) in strings.enumerate() {
        let is_member = at >= 2 && matches!(head, Head::Group { .. });
        if at > 0 {
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
                    push_number(&mut line, uid.0.into());
                    push_number(&mut line, gid.0.into());
                }
                Head::Group { gid, .. } => push_number(&mut line, gid.0.into()),
                Head::Shadow { numbers, .. } => {
                    numbers.iter().for_each(|number| push_number(&mut line, *number));
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
fn push_number(line: &mut Vec<u8>, number: u64) {
    line.push(b':');
    if number != Shadow::EMPTY {
        line.extend_from_slice(write_decimal(number, &mut [0; DECIMAL_MAX]));
    }
}

/// Control characters, which a terminal obeys, as `?`.
pub fn tame(line: &mut [u8]) {
    line.iter_mut().filter(|byte| byte.is_ascii_control()).for_each(|byte| *byte = b'?');
}

#[cfg(test)]
mod tests {
    use super::*;
    use nssproto::entry::{Gid, Uid};

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
