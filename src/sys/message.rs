//! One-line messages on standard error, built in a fixed buffer and written with one call.

use nssproto::bytes::{DECIMAL_MAX, write_decimal};

/// Longest message; what goes over it is cut.
const ROOM: usize = 512;

/// Untrusted text is cut to so many bytes.
const QUOTE_MAX: usize = 64;

/// A line that is being put together. Nothing in it allocates, except [`Message::errno`].
pub struct Message {
    line: heapless::Vec<u8, ROOM>,
}

impl Message {
    /// `PROGRAM: KIND: `; kinds are `fatal`, `warning`, `info` and `usage`.
    pub fn new(program: &str, kind: &str) -> Self {
        let line = heapless::Vec::new();
        Message { line }.text(program).text(": ").text(kind).text(": ")
    }

    /// Text of our own.
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        // One byte is kept for the newline.
        let room = (ROOM - 1).saturating_sub(self.line.len());
        let fits = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        let _ = self.line.extend_from_slice(fits);
        self
    }

    /// A path or a word that its user gave us: whole, with control bytes as `?`.
    pub fn path(mut self, path: &[u8]) -> Self {
        for byte in path {
            let shown = if *byte < 0x20 || *byte == 0x7f { b'?' } else { *byte };
            self = self.bytes(&[shown]);
        }
        self
    }

    /// Text of somebody else: escaped, and cut to 64 bytes.
    pub fn quoted(mut self, text: &[u8]) -> Self {
        for byte in text.iter().take(QUOTE_MAX) {
            self = match byte {
                b' '..=b'~' => self.bytes(&[*byte]),
                _ => {
                    let digit = |n: u8| b"0123456789abcdef".get(usize::from(n)).copied();
                    let high = digit(byte >> 4).unwrap_or(b'?');
                    self.bytes(&[b'\\', b'x', high, digit(byte & 15).unwrap_or(b'?')])
                }
            };
        }
        if text.len() > QUOTE_MAX { self.text("...") } else { self }
    }

    /// A decimal number.
    pub fn number(self, number: u64) -> Self {
        self.bytes(write_decimal(number, &mut [0; DECIMAL_MAX]))
    }

    /// The text of an errno, as strerror(3) has it.
    pub fn errno(self, errno: rustix::io::Errno) -> Self {
        let text = std::io::Error::from(errno).to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        self.text(text)
    }

    /// Writes the line to standard error. A failure is ignored: there is nowhere to report it.
    pub fn send(mut self) {
        let _ = self.line.push(b'\n');
        let _ = rustix::io::write(rustix::stdio::stderr(), &self.line);
    }
}
