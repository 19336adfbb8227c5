//! What is read ahead for whoever asks for all there are: many lines by one system call, and shadow in
//! the order of passwd.

use super::file::DbFile;
use super::search::behind_last_lf;
use crate::backend::client::{Line, ReadFrom, Sequel};
use crate::backend::window::Of;
use crate::backend::{Step, spend};
use crate::limits::CANDIDATE;
use crate::sys::file::pread_full;
use nssproto::entry::Db;
use nssproto::line::Parsed;
use rustix::io::Errno;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};

/// So many lines of shadow are looked at for the next one in the order of passwd, which may have fewer.
const LOOKED_AT: usize = 16;

impl Step<'_> {
    /// Whether more is read than the line that is asked for: many are, in one batch.
    pub fn reads_ahead(&self) -> bool {
        self.lists && self.shared.batch != 0
    }

    /// The next entry of a list, if its line was read before in this batch; the place `at` goes to
    /// behind it.
    pub fn next_read(&mut self, file: &OwnedFd, at: &mut u64, db: Db) -> Option<Line> {
        // Else it is in the middle of a search.
        if !self.reads_ahead() || self.search.has_begun() {
            return None;
        }
        let of = Of::List(file.as_raw_fd());
        loop {
            let Range { start, end } = self.shared.window.line(of, self.shared.batch, *at)?;
            let line_at = std::mem::replace(at, *at + (end - start) as u64 + 1);
            let line = self.shared.window.bytes().get(start..end)?;
            spend(self.budget, line.len() + CANDIDATE);
            if let Ok(parsed) = Parsed::new(self.rules, db, line) {
                let from = ReadFrom::Enumeration;
                return Some(Line { db, from, start, end, at: line_at, parsed });
            }
        }
    }

    /// The line of a name in shadow, if it is one of the next behind that of the name before. Asked
    /// only where the file is too large for an index: each name would be a search of all of it. (Of two
    /// lines of one name, a list may so tell the second.)
    pub fn next_in_order(&mut self, file: &mut DbFile, name: &[u8]) -> Result<Option<Line>, Errno> {
        if file.db != Db::Shadow || !self.reads_ahead() || !file.index.is_useless() {
            return Ok(None);
        }
        let version = file.stamp().digest();
        let (of, batch) = (Of::Version(version), self.shared.batch);
        let mut at = if self.sequel.of == version { self.sequel.at } else { 0 };
        for _ in 0..LOOKED_AT {
            let window = &mut self.shared.window;
            let place = match window.line(of, batch, at) {
                Some(place) => place,
                None => {
                    let room = window.room();
                    let len = pread_full(file.reopen()?, room, at)?;
                    spend(self.budget, len);
                    let ended = len < room.len();
                    let read = room.get(..len).unwrap_or_default();
                    let whole = if ended { len } else { behind_last_lf(read) };
                    window.hold(of, batch, at, whole);
                    let Some(place) = window.line(of, batch, at) else { return Ok(None) };
                    place
                }
            };
            let Range { start, end } = place;
            let line = window.bytes().get(place).unwrap_or_default();
            let behind = at + line.len() as u64 + 1;
            if line.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&b':')) {
                spend(self.budget, line.len() + CANDIDATE);
                if let Ok(parsed) = Parsed::new(self.rules, file.db, line) {
                    *self.sequel = Sequel { of: version, at: behind };
                    return Ok(Some(Line {
                        db: file.db,
                        from: ReadFrom::File,
                        start,
                        end,
                        at,
                        parsed,
                    }));
                }
            }
            at = behind;
        }
        Ok(None)
    }
}
