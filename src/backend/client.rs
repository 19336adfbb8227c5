//! What is kept for one client of any backend: where his enumerations are, how far a search has
//! come, and where the record is that was found.

use super::PerDb;
use super::stamp::{Digest, Stamp};
use crate::limits::IDLE_LOOKS;
use nssproto::entry::Db;
use nssproto::line::Parsed;
use nssproto::line::copy::LineCopier;
use nssproto::line::stream::{LineScanner, LineSummary};
use nssproto::nsss::Head;

use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Where one client is in the files of one backend.
pub type Enumerations = PerDb<Option<Enumeration>>;

/// An enumeration has the file that it began with, and its place in it: the offset of the next entry.
pub enum Enumeration {
    /// It goes on in this file.
    Open {
        /// The file.
        file: OwnedFd,
        /// Looks at whether it is used, since it was.
        idle: u8,
        /// The place.
        at: u64,
    },
    /// Nobody went on for a while, and the file is not kept busy for that. If it is still the same
    /// one, it is gone on with.
    Closed {
        /// Which version it was.
        was: Digest,
        /// The place.
        at: u64,
    },
    /// Another file is in its place: what was not told yet cannot be told any more.
    Lost,
}

impl Enumeration {
    /// From the beginning of a file.
    pub fn new(file: OwnedFd) -> Self {
        Enumeration::Open { file, idle: 0, at: 0 }
    }

    /// Closes the file if nobody has gone on for a while; whether it is open.
    fn close_idle(&mut self) -> bool {
        let Enumeration::Open { file, idle, at } = self else { return false };
        *idle += 1;
        if *idle <= IDLE_LOOKS {
            return true;
        }
        *self = match Stamp::of_open(file) {
            Ok(stamp) => Enumeration::Closed { was: stamp.digest(), at: *at },
            Err(_) => Enumeration::Lost,
        };
        false
    }
}

impl Enumerations {
    /// Closes the files of those that nobody has gone on with for a while; whether others are open.
    pub fn close_idle(&mut self) -> bool {
        let mut open = false;
        for db in Db::ALL {
            open |= self.get_mut(db).as_mut().is_some_and(Enumeration::close_idle);
        }
        open
    }
}

/// Where the search in a file of lines stands; enough to go on after others were served.
#[derive(Clone, Copy, Default)]
pub struct Search {
    begun: bool,
    /// The version of the file that is searched.
    version: u32,
    restarts: u8,
    /// Offset of the next byte to read.
    pub at: u64,
    /// A line longer than the window, which is being measured.
    pub long: Option<LongLine>,
    /// The line is expected at this offset, where it was last time.
    pub guess: Option<u64>,
    /// That is what an index said, which goes on from here; 0: it is not.
    pub probe: u32,
}

/// Where the line of shadow begins that stands behind the last one that was found in a list.
#[derive(Clone, Copy, Default)]
pub struct Sequel {
    /// In this version of the file.
    pub of: Digest,
    /// Its offset.
    pub at: u64,
}

/// The part of a line that was read.
#[derive(Clone, Copy)]
pub struct LongLine {
    /// Offset of its first byte.
    pub start: u64,
    /// What was found of it.
    pub meter: LineScanner,
}

impl Search {
    /// Begins, or goes on; true if it went on in the same version of the file. EAGAIN: there were
    /// more than `most` others.
    pub fn resume(&mut self, version: u32, most: u8) -> Result<bool, Errno> {
        if self.begun && self.version == version {
            return Ok(true);
        }
        let restarts = if self.begun { self.restarts + 1 } else { 0 };
        if restarts > most {
            return Err(Errno::AGAIN);
        }
        *self = Search { begun: true, version, restarts, ..Search::default() };
        Ok(false)
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Begins at an offset, unless it has begun.
    pub fn begin_at(&mut self, at: u64) {
        if !self.begun {
            *self = Search { begun: true, at, ..Search::default() };
        }
    }

    /// Expects the line at an offset.
    pub fn expect_at(&mut self, at: u64) {
        (self.at, self.long, self.guess) = (at, None, Some(at));
    }

    /// The line is not where it was expected: from the beginning.
    pub fn start_over(&mut self) {
        (self.at, self.long, self.guess, self.probe) = (0, None, None, 0);
    }

    /// Whether it has not come anywhere, and expects nothing.
    pub fn is_fresh(&self) -> bool {
        self.at == 0 && self.long.is_none() && self.guess.is_none()
    }

    /// Whether it is between two lines, and not inside a long one.
    pub fn is_between_lines(&self) -> bool {
        self.long.is_none()
    }
}

/// Where the record stands that was found.
#[derive(Clone, Copy, Default)]
pub enum Hit {
    /// Nothing yet.
    #[default]
    None,
    /// A whole line of a file.
    Line(Line),
    /// A line of a file, to be taken in pieces.
    Streamed(Streamed),
    /// In the backend's own buffer, whole or its beginning.
    Head(Head),
}

impl Hit {
    /// The head of a record in the backend's own buffer.
    pub fn head(&self) -> Option<Head> {
        match self {
            Hit::Head(head) => Some(*head),
            _ => None,
        }
    }
}

/// Where the text of a line is at hand, and by which descriptor there is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// What the backend keeps of the file.
    Content,
    /// The window; the file that the backend has open.
    File,
    /// The window; the file of the client's enumeration.
    Enumeration,
}

/// A whole line of a file.
#[derive(Clone, Copy)]
pub struct Line {
    /// Whose file.
    pub db: Db,
    /// Where its text is.
    pub from: ReadFrom,
    /// The range there, without LF.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
    /// Its offset in the file.
    pub at: u64,
    /// What it was found to be.
    pub parsed: Parsed,
}

/// A line of a file that is sent in pieces.
#[derive(Clone, Copy)]
pub struct Streamed {
    /// Whose file.
    pub db: Db,
    /// By which descriptor it is read.
    pub from: ReadFrom,
    /// The version of the file, which must stay.
    pub version: Digest,
    /// Offset of the line.
    pub at: u64,
    /// How far it has come.
    pub copier: LineCopier,
}

impl Streamed {
    /// A line that was measured, in a file whose version is still to be told.
    pub fn new(db: Db, from: ReadFrom, at: u64, measured: LineSummary) -> Self {
        Streamed { db, from, version: Digest::default(), at, copier: LineCopier::new(db, measured) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_goes_on_in_the_same_version_and_starts_again_in_another() {
        let mut search = Search::default();
        assert_eq!(search.resume(7, 1), Ok(false));
        search.at = 100;
        assert_eq!((search.resume(7, 1), search.at), (Ok(true), 100));
        assert_eq!((search.resume(8, 1), search.at), (Ok(false), 0));
        assert_eq!(search.resume(9, 1), Err(Errno::AGAIN));
    }

    #[test]
    fn an_enumeration_begins_once() {
        let mut search = Search::default();
        search.begin_at(50);
        search.at = 70;
        search.begin_at(50);
        assert_eq!(search.at, 70);
        search.expect_at(20);
        search.start_over();
        assert_eq!((search.at, search.guess), (0, None));
    }
}
