//! The line formats as sources send them: lines in, entries out.

use super::failure::{Done, Failure};
use super::fields::Fields;
use super::intake::Entries;
use super::maps::Map;
use crate::limits::DIRECTORY_LINE;
use std::io::{ErrorKind, Read};

/// What is read at a time.
const PIECE: usize = 32 * 1024;

/// The lines of a body, one after the other.
pub struct Lines<R> {
    body: R,
    room: Vec<u8>,
    /// What of `room` is not given out yet.
    start: usize,
    end: usize,
    ended: bool,
    /// Of the line that was given out last, from 1.
    pub number: u64,
    /// Bytes so far.
    pub bytes: u64,
}

impl<R: Read> Lines<R> {
    /// Those of `body`.
    pub fn new(body: R) -> Self {
        let room = vec![0; PIECE];
        Lines { body, room, start: 0, end: 0, ended: false, number: 0, bytes: 0 }
    }

    /// The next line without LF, and without a CR at its end; the last one may lack its LF.
    pub fn next_line(&mut self) -> Done<Option<&[u8]>> {
        let mut looked = self.start;
        let len = loop {
            let waiting = self.room.get(looked..self.end).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', waiting) {
                break looked - self.start + at;
            }
            looked = self.end;
            if self.ended {
                if self.start == self.end {
                    return Ok(None);
                }
                break self.end - self.start;
            }
            looked -= self.fill()?;
        };
        let line = self.start..self.start + len;
        self.start = (line.end + 1).min(self.end);
        self.number += 1;
        let line = self.room.get(line).unwrap_or_default();
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    /// Reads more; how far what waits was moved to the front for it.
    fn fill(&mut self) -> Done<usize> {
        let moved = self.start;
        self.room.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - moved);
        if self.end > DIRECTORY_LINE {
            let (line, most) = (self.number + 1, DIRECTORY_LINE >> 20);
            return Err(Failure::refused(format!("line {line} is longer than {most} MiB")));
        }
        if self.room.len() - self.end < PIECE / 2 {
            self.room.resize(2 * self.room.len(), 0);
        }
        let got = loop {
            match self.body.read(self.room.get_mut(self.end..).unwrap_or_default()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => break done.map_err(Failure::of_reading)?,
            }
        };
        self.ended = got == 0;
        self.end += got;
        self.bytes += got as u64;
        Ok(moved)
    }
}

/// Hands all entries of a body over; its bytes.
pub fn read(body: impl Read, map: Map, into: &mut dyn Entries) -> Done<u64> {
    let mut lines = Lines::new(body);
    let mut fields = Fields::default();
    loop {
        let number = lines.number + 1;
        let Some(line) = lines.next_line()? else { return Ok(lines.bytes) };
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        split(line, map, &mut fields);
        into.entry(&fields, number)?;
    }
}

/// Takes a line apart. One that has too few fields is found out later.
pub fn split(line: &[u8], map: Map, fields: &mut Fields) {
    fields.clear();
    let (separator, most, drop_rest) = match map {
        Map::Passwd => (b':', 7, true),
        Map::Group => (b':', 4, true),
        Map::Shadow => (b':', 9, true),
        Map::Netgroup | Map::Automount => (b' ', 2, false),
        Map::Sshkey => (b':', 2, false),
    };
    // autofs takes tabs, too.
    let is_separator = |byte: &u8| *byte == separator || map == Map::Automount && *byte == b'\t';
    match drop_rest {
        true => line.split(is_separator).take(most).for_each(|field| fields.push(field)),
        false => line.splitn(most, is_separator).for_each(|field| fields.push(field)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a body in pieces of so many bytes.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let len = self.1.min(self.0.len()).min(out.len());
            let (now, rest) = self.0.split_at(len);
            out[..len].copy_from_slice(now);
            self.0 = rest;
            Ok(len)
        }
    }

    fn lines(body: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(Drip(body, piece));
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            found.push(line.to_vec());
        }
        assert_eq!(lines.bytes, body.len() as u64);
        found
    }

    #[test]
    fn lines_are_found_however_they_come() {
        let long = vec![b'x'; 3 * PIECE];
        let body = [&b"a\nbc\r\n\n"[..], &long, b"\nlast"].concat();
        for piece in [1, 2, 3, 1000, PIECE, 1 << 20] {
            let found = lines(&body, piece);
            assert_eq!(found, [&b"a"[..], b"bc", b"", &long, b"last"], "{piece}");
        }
        assert_eq!(lines(b"", 1), [b""; 0]);
        assert_eq!(lines(b"\n", 1), [b""]);
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let mut lines = Lines::new(std::io::repeat(b'x'));
        let failure = lines.next_line().unwrap_err();
        assert_eq!(failure.text, "line 1 is longer than 16 MiB");
        assert!(lines.bytes <= 2 * DIRECTORY_LINE as u64);
    }

    #[test]
    fn lines_are_taken_apart_by_the_rules_of_their_map() {
        let of = |line: &str, map| {
            let mut fields = Fields::default();
            split(line.as_bytes(), map, &mut fields);
            (0..fields.len())
                .map(|at| String::from_utf8(fields.get(at).to_vec()).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of("a:x:1:2:A:/h:/s:more:yet", Map::Passwd),
            ["a", "x", "1", "2", "A", "/h", "/s"]
        );
        assert_eq!(of("a:x", Map::Passwd), ["a", "x"]);
        assert_eq!(of("c:from=\"2001:db8::1\" k", Map::Sshkey), ["c", "from=\"2001:db8::1\" k"]);
        assert_eq!(of("all  hosts (,a,)", Map::Netgroup), ["all", " hosts (,a,)"]);
        assert_eq!(of("src\t-ro h:/src", Map::Automount), ["src", "-ro h:/src"]);
    }
}
