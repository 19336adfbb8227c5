//! One-line messages on standard error, built in a fixed buffer and written with one call. Whoever
//! should read them may be stuck, with his disk full or his terminal held: what he does not take at
//! once is lost, since those who ask us must not wait for him.

use nssproto::bytes::{DECIMAL_MAX, hex_digit, write_decimal};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::{Errno, IoSlice, ReadWriteFlags, pwritev2, write};
use rustix::net::{SendFlags, send};
use rustix::stdio::stderr;
use std::os::fd::{AsRawFd, BorrowedFd};

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

    /// Writes the line to standard error if that takes it at once. A failure is ignored: there is
    /// nowhere to report it.
    pub fn send(&mut self) {
        let _ = self.line.push(b'\n');
        write_at_once(stderr(), &self.line);
    }

    /// The same, for a program that is run by hand: it waits.
    pub fn send_waiting(&mut self) {
        let _ = self.line.push(b'\n');
        let _ = write(stderr(), &self.line);
    }
}

/// Writes a line of at most PIPE_BUF bytes if it can be done without waiting, whatever is there.
pub fn write_at_once(to: BorrowedFd<'_>, line: &[u8]) {
    let kind = fstat(to).map(|stat| FileType::from_raw_mode(stat.st_mode));
    let done = match kind {
        Ok(FileType::Socket) => {
            let _ = send(to, line, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
            return;
        }
        // Another process may fill it between a look and the writing.
        Ok(FileType::Fifo) => pwritev2(to, &[IoSlice::new(line)], u64::MAX, ReadWriteFlags::NOWAIT),
        // It says that it has room when that is for a byte. An open file of our own need not wait.
        Ok(FileType::CharacterDevice) => {
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let path = if to.as_raw_fd() == 1 { c"/proc/self/fd/1" } else { c"/proc/self/fd/2" };
            open(path, flags, Mode::empty()).and_then(|own| write(&own, line))
        }
        _ => write(to, line),
    };
    match done {
        Ok(_) | Err(Errno::AGAIN | Errno::PIPE) => {}
        // An old kernel, or no right to open it.
        Err(_) => {
            if has_room(to) {
                let _ = write(to, line);
            }
        }
    }
}

fn has_room(to: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
    let timeout = super::clock::timespec(0);
    poll(&mut fds, Some(&timeout)).is_ok_and(|ready| ready > 0)
}
