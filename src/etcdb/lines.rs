//! The lines of a file, one at a time, of any length.

use super::{Failure, text};
use crate::sys::file;
use crate::sys::stat::fstat;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, read, retry_on_intr};
use std::os::fd::OwnedFd;

/// Bytes read at a time.
const PIECE: usize = 32 * 1024;

/// An open file and the line it stands at.
pub struct Lines {
    path: Vec<u8>,
    /// `None`: there is no such file.
    file: Option<OwnedFd>,
    /// What was read: `piece[at..end]` is still to be taken.
    piece: Vec<u8>,
    at: usize,
    end: usize,
    line: Vec<u8>,
}

impl Lines {
    /// Opens a file; one that is missing has no lines. A pipe is refused, as it is by glibc
    /// (ESPIPE): it could keep us waiting.
    pub fn open(path: Vec<u8>) -> Result<Lines, Box<Failure>> {
        let file = match open_file(&path) {
            Ok(file) => Some(file),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(Failure::new("open", path, error)),
        };
        Ok(Lines { path, file, piece: vec![0; PIECE], at: 0, end: 0, line: Vec::new() })
    }

    /// The next line, up to its newline, NUL or the end of the file.
    pub fn next(&mut self) -> Result<Option<&[u8]>, Box<Failure>> {
        if !self.read()? {
            return Ok(None);
        }
        Ok(Some(text::until(&self.line, is_end)))
    }

    /// The next line that is neither blank nor a comment, without the blanks in front of it.
    pub fn next_entry(&mut self) -> Result<Option<&[u8]>, Box<Failure>> {
        while self.read()? {
            let line = text::skip_blanks(text::until(&self.line, is_end));
            if !matches!(line.first(), None | Some(b'#')) {
                // Cut anew: a borrow that began in the loop would outlast its next turn.
                let line = text::until(&self.line, is_end);
                return Ok(Some(text::skip_blanks(line)));
            }
        }
        Ok(None)
    }

    /// Whether there is a next line and it begins with a blank.
    pub fn continues(&mut self) -> Result<bool, Box<Failure>> {
        let first = self.rest()?.first();
        Ok(first.is_some_and(|&byte| byte != b'\n' && text::is_blank(byte)))
    }

    /// Reads a line with its newline; false at the end of the file.
    fn read(&mut self) -> Result<bool, Box<Failure>> {
        self.line.clear();
        while !self.line.ends_with(b"\n") && !self.rest()?.is_empty() {
            let rest = self.piece.get(self.at..self.end).unwrap_or_default();
            let newline = rest.iter().position(|byte| *byte == b'\n');
            let len = newline.map_or(rest.len(), |at| at + 1);
            self.line.extend_from_slice(rest.get(..len).unwrap_or_default());
            self.at += len;
        }
        Ok(!self.line.is_empty())
    }

    /// What was read and not taken yet; empty at the end of the file.
    fn rest(&mut self) -> Result<&[u8], Box<Failure>> {
        if let (true, Some(file)) = (self.at == self.end, &self.file) {
            self.at = 0;
            self.end = match retry_on_intr(|| read(file, &mut *self.piece)) {
                Ok(len) => len,
                Err(error) => return Err(Failure::new("read", self.path.clone(), error)),
            };
        }
        Ok(self.piece.get(self.at..self.end).unwrap_or_default())
    }
}

fn open_file(path: &[u8]) -> Result<OwnedFd, Errno> {
    // A pipe without a writer must not hold us before we know what it is.
    let file = file::open_path(path, OFlags::RDONLY, Mode::empty())?;
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::Fifo => Err(Errno::SPIPE),
        _ => Ok(file),
    }
}

fn is_end(byte: u8) -> bool {
    matches!(byte, b'\n' | 0)
}
