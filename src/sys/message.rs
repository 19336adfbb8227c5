//! One-line messages on standard error, built in a fixed buffer and written with one call.

use nssproto::bytes::{DECIMAL_MAX, hex_digit, write_decimal};
use rustix::io::Errno;

/// Longest message; what goes over it is cut.
const ROOM: usize = 512;

/// Untrusted text is cut to so many bytes.
const QUOTE_MAX: usize = 64;

/// What an errno means, as [`Message::errno`] has it.
pub fn errno_text(errno: Errno) -> Vec<u8> {
    match super::errno::text(errno) {
        Some(text) => text.to_vec(),
        None => {
            let number = errno.raw_os_error().unsigned_abs().into();
            [b"errno ", write_decimal(number, &mut [0; DECIMAL_MAX])].concat()
        }
    }
}

/// A line that is being put together. Nothing in it allocates.
pub struct Message {
    line: heapless::Vec<u8, ROOM>,
}

impl Message {
    /// `PROGRAM: KIND: `; kinds are `fatal`, `warning`, `info` and `usage`.
    pub fn new(program: &str, kind: &str) -> Self {
        let mut message = Message { line: heapless::Vec::new() };
        message.text(program).text(": ").text(kind).text(": ");
        message
    }

    /// The start of a warning. (Most are, and each call is shorter by a word.)
    pub fn warning(program: &str) -> Self {
        Message::new(program, "warning")
    }

    /// Text of our own.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        bytes.iter().for_each(|byte| self.byte(*byte));
        self
    }

    fn byte(&mut self, byte: u8) {
        // One byte is kept for the newline.
        if self.line.len() < ROOM - 1 {
            let _ = self.line.push(byte);
        }
    }

    /// A path or a word that its user gave us: whole, with control bytes as `?`.
    pub fn path(&mut self, path: &[u8]) -> &mut Self {
        for byte in path {
            self.byte(if *byte < 0x20 || *byte == 0x7f { b'?' } else { *byte });
        }
        self
    }

    /// Text of somebody else: escaped, and cut to 64 bytes.
    pub fn quoted(&mut self, text: &[u8]) -> &mut Self {
        for byte in text.iter().take(QUOTE_MAX) {
            if matches!(byte, b' '..=b'~') {
                self.byte(*byte);
            } else {
                self.bytes(&[b'\\', b'x', hex_digit(byte >> 4), hex_digit(byte & 15)]);
            }
        }
        self.text(if text.len() > QUOTE_MAX { "..." } else { "" })
    }

    /// A decimal number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.bytes(write_decimal(number, &mut [0; DECIMAL_MAX]))
    }

    /// The text of an errno, as strerror(3) has it; its number, if that is none of a call of ours.
    pub fn errno(&mut self, errno: Errno) -> &mut Self {
        match super::errno::text(errno) {
            Some(text) => self.bytes(text),
            None => self.text("errno ").number(errno.raw_os_error().unsigned_abs().into()),
        }
    }

    /// Writes the line to standard error. A failure is ignored: there is nowhere to report it.
    pub fn send(&mut self) {
        let _ = self.line.push(b'\n');
        let _ = rustix::io::write(rustix::stdio::stderr(), &self.line);
    }
}
