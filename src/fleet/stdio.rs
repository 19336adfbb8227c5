//! The filters as programs: lines on standard input.

use super::escape::escaped;
use super::filter::Filter;
use super::line::{Head, Sink};
use crate::sys::error::{Error, Exit};
use crate::sys::output::Output;
use rustix::io::{read, retry_on_intr};
use rustix::stdio::stdin;

/// Standard output, and the first error that it met.
struct Printed {
    output: Output,
    failed: Option<Error>,
}

impl Sink for Printed {
    fn put(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.failed = self.output.put(bytes).err();
        }
    }
}

/// Filters standard input to its end. What is not a line yet waits, but for the last one.
pub fn run(filter: &mut dyn Filter) -> Result<Exit, Error> {
    let mut printed = Printed { output: Output::default(), failed: None };
    let (mut room, mut held) = (vec![0; 32 * 1024], Vec::new());
    loop {
        let len = retry_on_intr(|| read(stdin(), &mut room))
            .map_err(|e| Error::system("unable to read stdin", e).with_exit(Exit::FAILURE))?;
        let mut rest = room.get(..len).unwrap_or_default();
        while let Some(at) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at(at);
            held.extend_from_slice(line);
            take(filter, &held, &mut printed);
            held.clear();
            rest = behind.get(1..).unwrap_or_default();
        }
        held.extend_from_slice(rest);
        if len == 0 {
            break;
        }
        if let Some(error) = printed.failed.take() {
            return Err(error);
        }
        // Whoever watches sees what there is.
        printed.output.flush()?;
    }
    if !held.is_empty() {
        take(filter, &held, &mut printed);
    }
    filter.end(&mut printed);
    printed.failed.map_or(Ok(()), Err)?;
    printed.output.flush()?;
    Ok(Exit::SUCCESS)
}

/// What a terminal would obey is escaped: nobody knows who has written it.
fn take(filter: &mut dyn Filter, line: &[u8], printed: &mut Printed) {
    let line = escaped(line, false);
    let (head, message) = Head::parse(&line);
    filter.line(&head, &message, printed);
}
