//! Records as lines: the way back of [`super::parse`].

use crate::EncodeError;
use crate::bytes::{DECIMAL_MAX, Writer, write_decimal};
use crate::entry::{Record, Shadow};
use crate::nsss::Head;
use core::convert::Infallible;

/// Gives `record` as its line, without LF, in pieces to `put`; the error is that of `put`. The
/// opposite of [`super::parse`], but for zeros in front of a number and what a line has behind its
/// last field.
///
/// Fields are not searched for colons and LFs, which a record of another source may hold.
pub fn write<E>(record: &Record<'_>, mut put: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut line = LineWriter::new(Head::of(record, 0));
    for text in record.strings() {
        put(text)?;
        line.end_string(&mut put)?;
    }
    Ok(())
}

/// Writes `record` as its line, without LF, to the front of `out`; the number of bytes written.
/// [`EncodeError::NoSpace`] tells the size that it needs. See [`write`](write()).
pub fn encode(record: &Record<'_>, out: &mut [u8]) -> Result<usize, EncodeError> {
    let mut size = 0;
    let Ok(()) = write(record, |piece| {
        size += piece.len();
        Ok::<(), Infallible>(())
    });
    let mut sink = Writer::new(out, size)?;
    let Ok(()) = write(record, |piece| {
        sink.put(piece);
        Ok::<(), Infallible>(())
    });
    Ok(sink.written())
}

/// Each number with a colon in front; [`Shadow::EMPTY`] as an empty field.
fn put_numbers<E>(
    numbers: &[u64],
    signed: bool,
    put: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    for number in numbers {
        put(b":")?;
        if *number != Shadow::EMPTY {
            let negative = signed && number.cast_signed() < 0;
            if negative {
                put(b"-")?;
            }
            let number = if negative { number.wrapping_neg() } else { *number };
            put(write_decimal(number, &mut [0; DECIMAL_MAX]))?;
        }
    }
    Ok(())
}

/// Makes the line of a record that comes as head and strings, in pieces of any size: for records
/// larger than a buffer. Those at hand in one piece are written by [`write`](write()).
pub struct LineWriter {
    head: Head,
    strings: u32,
    /// As glibc writes it; and then, without ids, since the name is one for NIS.
    by_glibc: bool,
    no_ids: bool,
    begun: bool,
}

impl LineWriter {
    /// A line of the record with this head.
    pub fn new(head: Head) -> Self {
        LineWriter { head, strings: 0, by_glibc: false, no_ids: false, begun: false }
    }

    /// The same as putpwent(3) and its like write it: a name with `+` or `-` in front has no ids,
    /// and the numbers of shadow are signed.
    pub fn by_glibc(head: Head) -> Self {
        LineWriter { by_glibc: true, ..LineWriter::new(head) }
    }

    /// Takes the next bytes of the area, and gives what of the line they make, without LF.
    pub fn feed<E>(
        &mut self,
        area: &[u8],
        mut put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if let (false, Some(first)) = (self.begun, area.first()) {
            self.begun = true;
            self.no_ids = self.by_glibc && matches!(first, b'+' | b'-');
        }
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
                Head::Passwd { .. } if self.no_ids => put(b"::"),
                Head::Group { .. } if self.no_ids => put(b":"),
                Head::Passwd { uid, gid, .. } => {
                    put_numbers(&[uid.0.into(), gid.0.into()], false, put)
                }
                Head::Group { gid, .. } => put_numbers(&[gid.0.into()], false, put),
                Head::Shadow { numbers, .. } => {
                    return put_numbers(numbers, self.by_glibc, put);
                }
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
    use super::super::parse;
    use super::*;
    use crate::entry::Db;

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
    fn a_line_is_written_whole_or_not_at_all() {
        let text = b"g:x:5:a,bb,c";
        let record = parse(Db::Group, text).unwrap();
        for room in 0..20 {
            let mut out = [0xa5; 20];
            if room < text.len() {
                assert_eq!(
                    encode(&record, &mut out[..room]),
                    Err(EncodeError::NoSpace(text.len()))
                );
                assert_eq!(out, [0xa5; 20]);
            } else {
                assert_eq!(encode(&record, &mut out[..room]), Ok(text.len()));
                assert_eq!(&out[..text.len()], text);
            }
        }
    }

    #[test]
    fn glibc_writes_no_ids_for_nis_and_signed_numbers() {
        for (db, text, want) in [
            (Db::Passwd, &b"a:x:01:2"[..], &b"a:x:1:2:::"[..]),
            (Db::Passwd, b"-a:x:1:2:g:h:s", b"-a:x:::g:h:s"),
            (Db::Passwd, b"+", b"+::::::"),
            (Db::Group, b"+g:x:5:a,b", b"+g:x::a,b"),
            (Db::Group, b"+", b"+:::"),
            (Db::Shadow, b"a:*:2147483648::4294967295:::1:", b"a:*:-2147483648:::::1:"),
            (Db::Shadow, b"+", b"+::0:0:0::::"),
        ] {
            let record = super::super::glibc::parse(db, text).unwrap();
            let mut writer = LineWriter::by_glibc(Head::of(&record, 0));
            let (mut out, mut at) = ([0u8; 64], 0);
            for part in record.strings().flat_map(|text| [text, &[0]]) {
                writer
                    .feed(part, |bytes| {
                        out[at..at + bytes.len()].copy_from_slice(bytes);
                        at += bytes.len();
                        Ok::<(), ()>(())
                    })
                    .unwrap();
            }
            assert_eq!(&out[..at], want);
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
                let mut line = LineWriter::new(took.value);
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
