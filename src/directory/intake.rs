//! Where a source's entries arrive: judged, made into lines, and handed to the writer.

use super::failure::{Done, Failure};
use super::fields::{Fault, Fields, Style};
use super::judge::{Judge, Reason};
use super::log::Log;
use super::maps::Map;
use crate::sys::clock::millis;

/// What takes the entries of a source.
pub trait Entries {
    /// An entry; `place` is its line, or its number.
    fn entry(&mut self, fields: &Fields, place: u64) -> Done;
    /// What is no entry.
    fn malformed(&mut self, what: &'static str, name: &[u8], place: u64) -> Done;
    /// An entry that must not be written.
    fn unsafe_entry(&mut self, what: &'static str, name: &[u8]) -> Done;
    /// How many entries have a line so far, where that is known.
    fn kept(&self) -> u64 {
        0
    }
}

/// What takes the lines of a new set.
pub trait Target {
    /// One more line, LF included, in the order of the source. `name` is its key.
    fn line(&mut self, name: &[u8], line: &[u8]) -> Done;
}

/// Milliseconds between two lines of progress.
const PROGRESS_MILLIS: u64 = 250;

/// Malformed entries, in percent, over which a map is refused: then it is not the slip of one entry.
const MALFORMED_PERCENT: u64 = 10;

/// The entries of one attempt to fetch a map.
pub struct Intake<'a> {
    map: Map,
    style: Style,
    judge: &'a mut Judge,
    target: &'a mut dyn Target,
    log: &'a Log,
    line: Vec<u8>,
    next_progress: u64,
    /// Entries that were kept.
    pub entries: u64,
    malformed: u64,
    /// The first malformed one.
    first_malformed: Option<String>,
}

impl<'a> Intake<'a> {
    /// Nothing so far.
    pub fn new(
        map: Map,
        style: Style,
        judge: &'a mut Judge,
        target: &'a mut dyn Target,
        log: &'a Log,
    ) -> Self {
        let next_progress = millis() + PROGRESS_MILLIS;
        let (line, entries, malformed) = (Vec::new(), 0, 0);
        let first_malformed = None;
        Intake {
            map,
            style,
            judge,
            target,
            log,
            line,
            next_progress,
            entries,
            malformed,
            first_malformed,
        }
    }

    /// Whether what came may be a map: not too much of it was malformed.
    pub fn finish(&self) -> Done {
        let all = self.entries + self.malformed;
        if self.malformed * 100 > all * MALFORMED_PERCENT {
            let first = self.first_malformed.as_deref().unwrap_or_default();
            let text = format!("{} of {all} entries are malformed ({first})", self.malformed);
            return Err(Failure::refused(text));
        }
        Ok(())
    }
}

impl Entries for Intake<'_> {
    fn entry(&mut self, fields: &Fields, place: u64) -> Done {
        self.line.clear();
        match fields.write(self.map, self.style, &mut self.line) {
            Ok(()) => {}
            Err(Fault::Malformed(what)) => return self.malformed(what, fields.name(), place),
            Err(Fault::Unsafe(what)) => {
                return self.judge.note(Reason::Unsafe(what), fields.name());
            }
        }
        if !self.judge.admits(fields)? {
            return Ok(());
        }
        self.target.line(fields.name(), &self.line)?;
        self.entries += 1;
        if self.entries.is_multiple_of(1024) && millis() >= self.next_progress {
            self.next_progress = millis() + PROGRESS_MILLIS;
            self.log.progress(format!("{}: {} entries", self.map.name(), self.entries));
        }
        Ok(())
    }

    fn malformed(&mut self, what: &'static str, name: &[u8], place: u64) -> Done {
        self.malformed += 1;
        if self.first_malformed.is_none() {
            self.first_malformed = Some(format!("line {place}: {what}"));
        }
        self.judge.note(Reason::Malformed(what), name)
    }

    fn unsafe_entry(&mut self, what: &'static str, name: &[u8]) -> Done {
        self.judge.note(Reason::Unsafe(what), name)
    }

    fn kept(&self) -> u64 {
        self.entries
    }
}
