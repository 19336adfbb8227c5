//! What getent prints: records and groups.

use super::ask::{Found, Resolver};
use super::line::of_record;
use crate::backend::Outcome;
use crate::sys::error::{Error, Exit, unable};
use crate::sys::output::{Output, push_decimal};
use nssproto::nsss::{Head, Request};
use rustix::io::Errno;

/// Asks, and prints the record that is found as a line of its file, if glibc would.
pub fn record(
    resolver: &mut Resolver,
    request: &Request<'_>,
    out: &mut Output,
) -> Result<Outcome, Error> {
    // A record in pieces is put together: whether it can be printed shows at its end.
    let (mut line, mut head, mut area) = (None, None, Vec::new());
    let outcome = resolver.ask(request, &mut |found| match found {
        Found::Whole(record) => line = of_record(&Head::of(record, 0), &mut record.strings()),
        Found::Part(of, strings) => {
            head = Some(*of);
            area.extend_from_slice(strings);
        }
    });
    let outcome = outcome.map_err(broken)?;
    if let (Some(head), Some((_, strings))) = (&head, area.split_last()) {
        line = of_record(head, &mut strings.split(|byte| *byte == 0));
    }
    if let Some(mut line) = line.filter(|_| outcome == Outcome::Found) {
        line.push(b'\n');
        out.put(&line).map_err(unwritten)?;
    }
    Ok(outcome)
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
