//! Reads a file line by line, of any size, from its beginning.

use crate::limits::INDEXED_LINE;
use memchr::memchr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What is read at a time.
const PIECE: usize = 64 * 1024;

/// The lines of a file.
pub struct Lines<'a> {
    file: &'a File,
    room: Vec<u8>,
    /// Of the room: the next line begins here, and what was read ends there.
    start: usize,
    end: usize,
    /// Where in the file the room begins.
    base: u64,
    ended: bool,
    /// How many lines there were.
    pub number: u64,
}

/// A line.
pub struct TextLine<'a> {
    /// Where it begins.
    pub offset: u64,
    /// Without its LF; the last one may have none.
    pub text: &'a [u8],
}

impl<'a> Lines<'a> {
    /// From the first one on.
    pub fn new(file: &'a File) -> Self {
        Lines::from(file, 0)
    }

    /// From the one on that begins at this offset.
    pub fn from(file: &'a File, base: u64) -> Self {
        let room = vec![0; PIECE];
        Lines { file, room, start: 0, end: 0, base, ended: false, number: 0 }
    }

    /// Bytes of the file that lie behind.
    pub fn done(&self) -> u64 {
        self.base + self.start as u64
    }

    /// The next line. An error of the kind [`io::ErrorKind::InvalidData`]: it is longer than
    /// [`INDEXED_LINE`].
    pub fn next_line(&mut self) -> io::Result<Option<TextLine<'_>>> {
        let mut searched = 0;
        let (len, lf) = loop {
            let rest = self.room.get(self.start..self.end).unwrap_or_default();
            let behind = rest.get(searched..).unwrap_or_default();
            if let Some(at) = memchr(b'\n', behind) {
                break (searched + at, 1);
            }
            if self.ended {
                if rest.is_empty() {
                    return Ok(None);
                }
                break (rest.len(), 0);
            }
            searched = rest.len();
            self.fill()?;
        };
        let offset = self.base + self.start as u64;
        let text = self.room.get(self.start..self.start + len).unwrap_or_default();
        self.start += len + lf;
        self.number += 1;
        Ok(Some(TextLine { offset, text }))
    }

    /// Reads on, behind what is kept of a line.
    fn fill(&mut self) -> io::Result<()> {
        let kept = self.end - self.start;
        if kept > INDEXED_LINE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.room.copy_within(self.start..self.end, 0);
        self.base += self.start as u64;
        (self.start, self.end) = (0, kept);
        if kept == self.room.len() {
            self.room.resize(2 * kept, 0);
        }
        let room = self.room.get_mut(kept..).unwrap_or_default();
        let got = loop {
            match self.file.read_at(room, self.base + kept as u64) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.end += got;
        self.ended = got == 0;
        Ok(())
    }
}
