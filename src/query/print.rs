//! What getent prints: records and groups.

use super::ask::{Found, Resolver};
use super::line::{of_record, tame};
use crate::backend::Outcome;
use crate::limits::PRINTED_RECORD;
use crate::sys::error::{Error, Exit, unable};
use crate::sys::output::{Output, push_decimal};
use nssproto::entry::Record;
use nssproto::nsss::{Head, Request};
use rustix::io::Errno;
use rustix::stdio::stdout;
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
    // As glibc's does for the machine's own files; but a terminal obeys control characters.
    let raw = resolver.is_local() && !stdout().is_terminal();
    // A record in pieces is put together: whether it can be printed shows at its end.
    let (mut line, mut head, mut area) = (None, None, Vec::new());
    let outcome = resolver.ask(request, &mut |found| match found {
        Found::Whole(record) => {
            line = of_record(&Head::of(record, 0), &mut record.strings());
            true
        }
        Found::Part(of, strings) => {
            head = Some(*of);
            area.extend_from_slice(strings);
            area.len() <= PRINTED_RECORD
        }
    });
    let outcome = outcome.map_err(broken)?;
    if let (Some(head), Some((_, strings))) = (&head, area.split_last()) {
        line = of_record(head, &mut strings.split(|byte| *byte == 0));
    }
    if outcome != Outcome::Found {
        return Ok(Printed::Answered(outcome));
    }
    let Some(mut line) = line else { return Ok(Printed::Refused) };
    if !raw {
        tame(&mut line);
    }
    line.push(b'\n');
    out.put(&line)?;
    Ok(Printed::Answered(outcome))
}

/// A record as its line, without control characters; `None` if its fields would make another one.
pub fn line_of(record: &Record<'_>) -> Option<Vec<u8>> {
    let mut line = of_record(&Head::of(record, 0), &mut record.strings())?;
    tame(&mut line);
    line.push(b'\n');
    Some(line)
}

/// A name as it is printed among others: control characters would make it another line, or are
/// obeyed by a terminal.
pub fn push_name(text: &mut Vec<u8>, name: &[u8]) {
    let start = text.len();
    text.extend_from_slice(name);
    tame(text.get_mut(start..).unwrap_or_default());
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
    out.put(&line)
}

/// A record that changed, or went away, before it was taken to its end.
pub fn broken(errno: Errno) -> Error {
    unable("unable to read a record to its end")(errno).with_exit(Exit::FAILURE)
}
