//! Standard output.

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
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        self.text.extend_from_slice(bytes);
        if self.text.len() < ENOUGH { Ok(()) } else { self.flush() }
    }

    /// Writes out what is left. After an error it is gone.
    pub fn flush(&mut self) -> Result<(), Errno> {
        let mut rest = self.text.as_slice();
        let mut done = Ok(());
        while !rest.is_empty() && done.is_ok() {
            match retry_on_intr(|| write(stdout(), rest)) {
                Ok(0) => done = Err(Errno::IO),
                Ok(len) => rest = rest.get(len..).unwrap_or_default(),
                Err(errno) => done = Err(errno),
            }
        }
        self.text.clear();
        done
    }
}

/// Writes `bytes` and nothing else.
pub fn print(bytes: &[u8]) -> Result<(), Errno> {
    let mut output = Output::default();
    output.put(bytes)?;
    output.flush()
}

/// Adds a number in decimal.
pub fn push_decimal(text: &mut Vec<u8>, number: u32) {
    text.extend_from_slice(write_decimal(number.into(), &mut [0; DECIMAL_MAX]));
}
