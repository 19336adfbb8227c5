//! Standard output.

use super::error::{Error, Exit};
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use rustix::io::{Errno, retry_on_intr, write};
use rustix::stdio::stdout;

/// What is kept until there is this much of it: few writes, and little memory.
const ENOUGH: usize = 8 * 1024;

/// Standard output, with a buffer: who is done with it calls [`Output::flush`].
#[derive(Default)]
pub struct Output {
    text: Vec<u8>,
}

impl Output {
    /// Adds `bytes`.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.text.extend_from_slice(bytes);
        if self.text.len() < ENOUGH { Ok(()) } else { self.flush() }
    }

    /// Writes out what is left. After an error it is gone.
    pub fn flush(&mut self) -> Result<(), Error> {
        let done = print(&self.text);
        self.text.clear();
        done
    }
}

/// Writes `bytes` and nothing else. Errors exit 1.
pub fn print(mut bytes: &[u8]) -> Result<(), Error> {
    while !bytes.is_empty() {
        match retry_on_intr(|| write(stdout(), bytes)) {
            Ok(0) => return Err(unwritten(Errno::IO)),
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(errno) => return Err(unwritten(errno)),
        }
    }
    Ok(())
}

fn unwritten(errno: Errno) -> Error {
    let error = match errno {
        // `getent passwd | head`: the reader has seen enough.
        Errno::PIPE => Error::silent(Exit::FAILURE),
        _ => Error::system("unable to write to stdout", errno),
    };
    error.with_exit(Exit::FAILURE)
}

/// Adds a number in decimal.
pub fn push_decimal(text: &mut Vec<u8>, number: u32) {
    text.extend_from_slice(write_decimal(number.into(), &mut [0; DECIMAL_MAX]));
}
