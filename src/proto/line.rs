//! Colon-separated lines: passwd(5), group(5), shadow(5), by the rules of
//! doc/protocols/nsss.md, section 6.
//!
//! A line comes without its LF. Nothing is trimmed, nothing is a comment, and a NUL ends the
//! line for the parser. For lines that are not at hand in one piece see [`crate::stream`].

use crate::bytes::{DECIMAL_MAX, decimal_u32, decimal_u64, write_decimal};
use crate::entry::{Db, Gid, Group, Members, Passwd, Record, Shadow, Uid};
use crate::nsss::Head;
use core::ffi::CStr;

/// What is wrong with a line, for people.
pub mod why {
    /// Empty or a comment, where there are such.
    pub const COMMENT: &str = "no entry";
    /// Fewer colons than the database needs.
    pub const FIELDS: &str = "too few fields";
    /// Not decimal digits below 2^32.
    pub const UID: &str = "bad uid";
    /// Not decimal digits below 2^32.
    pub const GID: &str = "bad gid";
    /// Not empty and not decimal digits below 2^64.
    pub const NUMBER: &str = "bad number";
}

/// A line of `db`; the error says why it has to be skipped.
///
/// - passwd: seven fields; everything after the sixth colon is the shell.
/// - group: four fields; everything after the third colon is the member list.
/// - shadow: nine fields. The flag ends at a ninth colon, if there is one, and what follows is
///   ignored.
pub fn parse(db: Db, line: &[u8]) -> Result<Record<'_>, &'static str> {
    let (count, most) = match db {
        Db::Passwd => (7, 7),
        Db::Group => (4, 4),
        Db::Shadow => (9, 10),
    };
    let mut fields = [&[][..]; 9];
    split(line, most, fields.get_mut(..count).unwrap_or_default())?;
    let [name, password, third, fourth, gecos, home, shell, ..] = fields;
    let number = |text, why| decimal_u32(text).ok_or(why);
    Ok(match db {
        Db::Passwd => {
            let (uid, gid) = (Uid(number(third, why::UID)?), Gid(number(fourth, why::GID)?));
            Record::Passwd(Passwd { name, password, uid, gid, gecos, home, shell })
        }
        Db::Group => {
            let (gid, members) = (Gid(number(third, why::GID)?), Members::from_field(fourth));
            Record::Group(Group { name, password, gid, members })
        }
        Db::Shadow => {
            let [_, _, texts @ ..] = fields;
            let mut numbers = [Shadow::EMPTY; 7];
            for (number, text) in numbers.iter_mut().zip(texts) {
                if !text.is_empty() {
                    *number = decimal_u64(text).ok_or(why::NUMBER)?;
                }
            }
            Record::Shadow(Shadow { name, password, numbers })
        }
    })
}

/// A line of passwd; see [`parse`].
pub fn parse_passwd(line: &[u8]) -> Result<Passwd<'_>, &'static str> {
    match parse(Db::Passwd, line)? {
        Record::Passwd(record) => Ok(record),
        _ => Err(why::FIELDS),
    }
}

/// A line of group; see [`parse`].
pub fn parse_group(line: &[u8]) -> Result<Group<'_>, &'static str> {
    match parse(Db::Group, line)? {
        Record::Group(record) => Ok(record),
        _ => Err(why::FIELDS),
    }
}

/// A line of shadow; see [`parse`].
pub fn parse_shadow(line: &[u8]) -> Result<Shadow<'_>, &'static str> {
    match parse(Db::Shadow, line)? {
        Record::Shadow(record) => Ok(record),
        _ => Err(why::FIELDS),
    }
}

/// Splits a line, which a NUL may end, at colons into at most so many parts.
fn split<'a>(line: &'a [u8], most: usize, fields: &mut [&'a [u8]]) -> Result<(), &'static str> {
    let line = CStr::from_bytes_until_nul(line).map_or(line, CStr::to_bytes);
    let mut parts = line.splitn(most, |b| *b == b':');
    for field in fields {
        *field = parts.next().ok_or(why::FIELDS)?;
    }
    Ok(())
}

/// Gives `record` as a line, without LF, in pieces to `put`.
pub fn write<E>(record: &Record<'_>, mut put: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut line = FromArea::new(Head::of(record, 0));
    for text in record.strings() {
        put(text)?;
        line.end_string(&mut put)?;
    }
    Ok(())
}

/// Each number with a colon in front; [`Shadow::EMPTY`] as an empty field.
pub fn put_numbers<E>(
    numbers: &[u64],
    put: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    for number in numbers {
        put(b":")?;
        if *number != Shadow::EMPTY {
            put(write_decimal(*number, &mut [0; DECIMAL_MAX]))?;
        }
    }
    Ok(())
}

/// Makes a line of a record that comes as head and strings, in pieces of any size.
pub struct FromArea {
    head: Head,
    strings: u32,
}

impl FromArea {
    /// A line of the record with this head.
    pub fn new(head: Head) -> Self {
        FromArea { head, strings: 0 }
    }

    /// Takes the next bytes of the area, and gives what of the line they make, without LF.
    pub fn feed<E>(
        &mut self,
        area: &[u8],
        mut put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for (nth, text) in area.split(|b| *b == 0).enumerate() {
            if nth > 0 {
                self.end_string(&mut put)?;
            }
            if !text.is_empty() {
                put(text)?;
            }
        }
        Ok(())
    }

    /// Behind each string: the numbers after the password, and what separates it from the next.
    fn end_string<E>(&mut self, put: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.strings += 1;
        if self.strings == 2 {
            match &self.head {
                Head::Passwd { uid, gid, .. } => put_numbers(&[uid.0.into(), gid.0.into()], put),
                Head::Group { gid, .. } => put_numbers(&[gid.0.into()], put),
                Head::Shadow { numbers, .. } => return put_numbers(numbers, put),
            }?;
        }
        put(match self.head {
            _ if self.strings <= 2 => b":",
            _ if self.strings == self.head.strings() => b"",
            Head::Group { .. } => b",",
            _ => b":",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colons_after_the_sixth_belong_to_the_shell() {
        let r = parse_passwd(b"extra:x:1011:1012:colons:/x:/bin/sh:more:fields").unwrap();
        assert_eq!(r.shell, b"/bin/sh:more:fields");
        assert_eq!((r.uid, r.gid), (Uid(1011), Gid(1012)));
    }

    #[test]
    fn bad_lines_say_why() {
        for (line, want) in [
            (&b""[..], why::FIELDS),
            (b"short:x:1:1:only:six", why::FIELDS),
            (b"a:x:1:1:g:h\0:sh", why::FIELDS),
            (b"a:x:-1:1:::", why::UID),
            (b"a:x::1:::", why::UID),
            (b"a:x:1:4294967296:::", why::GID),
        ] {
            assert_eq!(parse_passwd(line), Err(want), "{line:?}");
        }
        assert_eq!(parse_group(b"onlycomma:x"), Err(why::FIELDS));
        assert_eq!(parse_group(b"none:x::alice"), Err(why::GID));
        assert_eq!(parse_shadow(b"t:*:1:2:3"), Err(why::FIELDS));
        assert_eq!(parse_shadow(b"neg:*:-1:0:0:0:0:0:0"), Err(why::NUMBER));
    }

    #[test]
    fn a_nul_cuts_the_last_field() {
        assert_eq!(parse_passwd(b"a:x:1:1:g:h:s\0h").unwrap().shell, b"s");
        assert_eq!(parse_group(b"g:x:1:a,b\0,c").unwrap().members.remaining(), 2);
    }

    #[test]
    fn shadow_takes_eight_and_nine_colons() {
        let e = Shadow::EMPTY;
        for line in [&b"a:*:1:2:3:::4:5"[..], b"a:*:1:2:3:::4:5:", b"a:*:1:2:3:::4:5:any:thing"] {
            assert_eq!(parse_shadow(line).unwrap().numbers, [1, 2, 3, e, e, 4, 5], "{line:?}");
        }
    }

    #[test]
    fn written_lines_are_what_was_parsed() {
        for (db, text) in [
            (Db::Passwd, &b"a:x:1:2:g,e:/home:/bin/sh:x"[..]),
            (Db::Passwd, b":::"),
            (Db::Group, b"g::5:"),
            (Db::Group, b"g:x:5:,a,"),
            (Db::Shadow, b"s:!:1:::::7:"),
        ] {
            let Ok(record) = parse(db, text) else { continue };
            let (mut out, mut at) = ([0u8; 64], 0);
            write(&record, |piece| {
                out[at..at + piece.len()].copy_from_slice(piece);
                at += piece.len();
                Ok::<(), ()>(())
            })
            .unwrap();
            assert_eq!(&out[..at], text);
        }
    }

    #[test]
    fn an_area_in_pieces_makes_the_line() {
        for (db, text) in [
            (Db::Passwd, &b"a:x:1:2:g,e:/home:/bin/sh:x"[..]),
            (Db::Passwd, b"::1:2:::"),
            (Db::Group, b"g::5:"),
            (Db::Group, b"g:x:5:,a,"),
            (Db::Group, b"g:x:5:a,bb,c"),
            (Db::Shadow, b"s:!:1:::::7:"),
        ] {
            let record = parse(db, text).unwrap();
            let mut wire = [0; 128];
            let size = crate::nsss::encode(&record, &mut wire).unwrap();
            let took = Head::decode(db, &wire[1..size]).unwrap();
            let area = &wire[1 + took.len..size];
            for piece in 1..=area.len() {
                let (mut out, mut at) = ([0u8; 64], 0);
                let mut line = FromArea::new(took.value);
                for part in area.chunks(piece) {
                    line.feed(part, |bytes| {
                        out[at..at + bytes.len()].copy_from_slice(bytes);
                        at += bytes.len();
                        Ok::<(), ()>(())
                    })
                    .unwrap();
                }
                assert_eq!(&out[..at], text, "pieces of {piece}");
            }
        }
    }
}
