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
fn put_numbers<E>(numbers: &[u64], put: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    for number in numbers {
        put(b":")?;
        if *number != Shadow::EMPTY {
            put(write_decimal(*number, &mut [0; DECIMAL_MAX]))?;
        }
    }
    Ok(())
}

/// Makes the line of a record that comes as head and strings, in pieces of any size: for records
/// larger than a buffer. Those at hand in one piece are written by [`write`](write()).
pub struct LineWriter {
    head: Head,
    strings: u32,
}

impl LineWriter {
    /// A line of the record with this head.
    pub fn new(head: Head) -> Self {
        LineWriter { head, strings: 0 }
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
