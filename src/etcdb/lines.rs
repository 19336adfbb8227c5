//! The lines of a file, one at a time, of any length.

use super::{Failure, text};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

/// An open file and the line it stands at.
pub struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    line: Vec<u8>,
}

impl Lines {
    /// Opens a file; `None` when there is no such file. A pipe is refused, as it is by glibc
    /// (ESPIPE): it could keep us waiting.
    pub fn open(path: PathBuf) -> Result<Option<Lines>, Failure> {
        let opened = OpenOptions::new()
            .read(true)
            // A pipe without a writer must not hold us before we know what it is.
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(&path)
            .and_then(|file| {
                if file.metadata()?.file_type().is_fifo() {
                    return Err(Errno::SPIPE.into());
                }
                Ok(file)
            });
        match opened {
            Ok(file) => Ok(Some(Lines {
                path,
                reader: BufReader::with_capacity(32 * 1024, file),
                line: Vec::new(),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure { what: "open", path, error }),
        }
    }

    /// The next line, up to its newline, NUL or the end of the file.
    pub fn next(&mut self) -> Result<Option<&[u8]>, Failure> {
        if !self.read()? {
            return Ok(None);
        }
        Ok(Some(text::until(&self.line, is_end)))
    }

    /// The next line that is neither blank nor a comment, without the blanks in front of it.
    pub fn next_entry(&mut self) -> Result<Option<&[u8]>, Failure> {
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
    pub fn continues(&mut self) -> Result<bool, Failure> {
        match self.reader.fill_buf() {
            Ok(bytes) => {
                Ok(bytes.first().is_some_and(|&byte| byte != b'\n' && text::is_blank(byte)))
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Reads a line with its newline; false at the end of the file.
    fn read(&mut self) -> Result<bool, Failure> {
        self.line.clear();
        match self.reader.read_until(b'\n', &mut self.line) {
            Ok(len) => Ok(len > 0),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: io::Error) -> Failure {
        Failure { what: "read", path: self.path.clone(), error }
    }
}

fn is_end(byte: u8) -> bool {
    matches!(byte, b'\n' | 0)
}
