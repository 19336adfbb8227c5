//! A file, whole, and its lines.

use super::{Failure, text};
use crate::limits::DATABASE;
use crate::sys::file::{open_path, read_all};
use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::io::Errno;
use std::os::fd::{AsFd as _, OwnedFd};

/// All of a file; one that is missing is empty. A pipe is refused, as it is by glibc (ESPIPE): it
/// could keep us waiting.
pub fn read(path: Vec<u8>) -> Result<Vec<u8>, Box<Failure>> {
    let (what, error) = match open(&path) {
        Ok(file) => match read_all(file.as_fd(), DATABASE) {
            Ok(text) => return Ok(text),
            Err(error) => ("read", error),
        },
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(error) => ("open", error),
    };
    Err(Failure::new(what, path, error))
}

fn open(path: &[u8]) -> Result<OwnedFd, Errno> {
    // A pipe without a writer must not hold us before we know what it is.
    let file = open_path(path, OFlags::RDONLY, Mode::empty())?;
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::Fifo => Err(Errno::SPIPE),
        _ => Ok(file),
    }
}

/// The lines of a text that are still to be taken.
pub struct Lines<'a>(pub &'a [u8]);

impl<'a> Lines<'a> {
    /// The next line, up to its newline, NUL or the end of the text.
    pub fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let line;
        (line, self.0) = text::split(self.0, b"\n");
        Some(text::split(line, b"\0").0)
    }

    /// The next line that is neither blank nor a comment, without the blanks in front of it.
    pub fn next_entry(&mut self) -> Option<&'a [u8]> {
        loop {
            let line = text::skip(self.next()?, text::BLANKS);
            if !matches!(line.first(), None | Some(b'#')) {
                return Some(line);
            }
        }
    }

    /// Whether there is a next line and it begins with a blank.
    pub fn continues(&self) -> bool {
        text::is_indented(self.0) && !self.0.starts_with(b"\n")
    }
}
