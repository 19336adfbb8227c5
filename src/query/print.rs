//! What getent prints: records and groups.

use super::ask::{Found, Resolver};
use crate::backend::Outcome;
use crate::limits::PRINTED_RECORD;
use crate::sys::error::{Error, Exit, unable};
use crate::sys::output::{Output, push_decimal};
use nssproto::entry::Record;
use nssproto::line::LineWriter;
use nssproto::nsss::{Head, Request};
use rustix::io::Errno;
use rustix::stdio::stdout;
use std::convert::Infallible;
use std::io::IsTerminal;

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Printed {
    /// It was printed, or there was none: see the outcome.
    Answered(Outcome),
    /// It was found, and its fields would make another line: nothing was printed.
    Refused,
}

/// Asks, and prints the record that is found as a line of its file.
pub fn record(
    resolver: &mut Resolver,
    request: &Request<'_>,
    out: &mut Output,
) -> Result<Printed, Error> {
    let (mut line, mut written) = (None, Ok(()));
    // As glibc's does for the machine's own files; but a terminal obeys them.
    let raw = resolver.is_local() && !stdout().is_terminal();
    let outcome = resolver.ask(request, &mut |found| {
        let line = match found {
            Found::Whole(record) => line.insert(Line::of(record, raw)),
            Found::Part(head, strings) => {
                let line = line.get_or_insert_with(|| Line::new(*head, raw));
                line.feed(strings);
                line
            }
        };
        written = line.make_room(out);
        written.is_ok()
    });
    written.map_err(unwritten)?;
    let outcome = outcome.map_err(broken)?;
    let Some(line) = line.filter(|_| outcome == Outcome::Found) else {
        return Ok(Printed::Answered(outcome));
    };
    match line.end() {
        Some(text) => out.put(&text).map_err(unwritten).map(|()| Printed::Answered(outcome)),
        None => Ok(Printed::Refused),
    }
}

/// A record on its way to be a line, as glibc's putpwent(3) and its like would write it.
struct Line {
    writer: LineWriter,
    head: Head,
    /// The number of the string that is being fed.
    nth: usize,
    /// Kept until all of it is seen, unless that is too much.
    text: Vec<u8>,
    kept: bool,
    refused: bool,
    /// Control characters are printed.
    raw: bool,
}

impl Line {
    fn new(head: Head, raw: bool) -> Self {
        let writer = LineWriter::new(head);
        Line { writer, head, nth: 0, text: Vec::new(), kept: true, refused: false, raw }
    }

    /// That of a whole record.
    fn of(record: &Record<'_>, raw: bool) -> Self {
        let mut line = Line::new(Head::of(record, 0), raw);
        for text in record.strings() {
            line.feed(text);
            line.feed(&[0]);
        }
        line
    }

    /// Takes the next bytes of the record's strings, each closed by NUL.
    fn feed(&mut self, area: &[u8]) {
        let mut clean = area.to_vec();
        for byte in &mut clean {
            match *byte {
                0 => self.nth += 1,
                b':' | b'\n' if self.is_gecos() => *byte = b' ',
                b':' | b'\n' => self.refused = true,
                b',' if self.is_member() => self.refused = true,
                control if control.is_ascii_control() && !self.raw => *byte = b'?',
                _ => {}
            }
        }
        let Line { writer, text, .. } = self;
        let Ok(()) = writer.feed(&clean, |piece| {
            text.extend_from_slice(piece);
            Ok::<(), Infallible>(())
        });
    }

    /// Prints what there is of a line that is too long to be kept.
    fn make_room(&mut self, out: &mut Output) -> Result<(), Errno> {
        if self.kept && self.text.len() <= PRINTED_RECORD {
            return Ok(());
        }
        if !self.refused {
            self.kept = false;
            out.put(&self.text)?;
        } else if !self.kept {
            // Its beginning has been printed.
            return Err(Errno::INVAL);
        }
        self.text.clear();
        Ok(())
    }

    fn is_gecos(&self) -> bool {
        self.nth == 2 && matches!(self.head, Head::Passwd { .. })
    }

    fn is_member(&self) -> bool {
        self.nth >= 2 && matches!(self.head, Head::Group { .. })
    }

    /// What is left of it, LF and all; `None` if it cannot be a line.
    fn end(mut self) -> Option<Vec<u8>> {
        self.text.push(b'\n');
        (!self.refused).then_some(self.text)
    }
}

/// A record as its line, without control characters; `None` if its fields would make another one.
pub fn line_of(record: &Record<'_>) -> Option<Vec<u8>> {
    Line::of(record, false).end()
}

/// A name as it is printed among others: control characters would make it another line, or are
/// obeyed by a terminal.
pub fn push_name(text: &mut Vec<u8>, name: &[u8]) {
    let shown = |byte: &u8| if byte.is_ascii_control() { b'?' } else { *byte };
    text.extend(name.iter().map(shown));
}

/// Width of a name in front of its groups.
const PADDED: usize = 21;

/// Prints a user and the groups that list him, on a line.
pub fn groups(user: &[u8], gids: &[u32], out: &mut Output) -> Result<(), Error> {
    let mut line = user.to_vec();
    line.resize(line.len().max(PADDED), b' ');
    // 2^32-1 stands for none, and glibc leaves it out.
    for gid in gids.iter().filter(|gid| **gid != u32::MAX) {
        line.push(b' ');
        push_decimal(&mut line, *gid);
    }
    line.push(b'\n');
    out.put(&line).map_err(unwritten)
}

/// A record that changed, or went away, before it was taken to its end.
pub fn broken(errno: Errno) -> Error {
    unable("unable to read a record to its end")(errno).with_exit(Exit::FAILURE)
}

/// Standard output takes no more.
pub fn unwritten(errno: Errno) -> Error {
    if errno == Errno::PIPE {
        // `getent passwd | head`: the reader has seen enough.
        return Error::silent(Exit::FAILURE);
    }
    Error::system("unable to write to stdout", errno).with_exit(Exit::FAILURE)
}
