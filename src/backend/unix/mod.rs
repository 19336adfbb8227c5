//! The local files: passwd, group and shadow of a directory, by the rules of
//! doc/protocols/nsss.md, section 6.
//!
//! A lookup asks the path with one stat(2), so that it sees a replaced file at once; an
//! enumeration keeps the file that it began with. Small files are kept in memory, of larger
//! ones the places of recent answers.

mod recent;
mod report;
mod search;
mod source;

use super::{Hit, Outcome, Step};
use crate::limits::RESTARTS;
use crate::sys::access::Rights;
use crate::sys::sandbox::Sandbox;
use crate::sys::stat::fstat;
use nssproto::entry::{Db, Record};
use nssproto::line;
use nssproto::line::stream::{LineCopier, LineScanner, LineSummary};
use nssproto::nsss::{Head, Request};
use recent::{Key, Known};
use rustix::io::Errno;
use search::{Finder, Span, Walk, Want, line_at, walk};
pub use source::Stamp;
use source::{Source, fill};
use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

/// The three files.
pub struct Unix {
    files: [Source; 3],
}

/// The enumerations of one client.
#[derive(Default)]
pub struct Places {
    enumerations: [Option<Enumeration>; 3],
}

/// An enumeration has the file that it began with, and its place in it.
struct Enumeration {
    file: OwnedFd,
    at: u64,
}

/// Where a request of one client stands.
#[derive(Clone, Copy, Default)]
pub struct Search {
    started: bool,
    version: u32,
    restarts: u8,
    walk: Walk,
    /// The walk began where the answer was last time.
    guessed: Option<u64>,
}

/// Which file a record that was found belongs to, and where its line is at hand.
#[derive(Clone, Copy)]
pub enum Place {
    /// The file of a database; the line is in its content.
    Content(Db),
    /// The same, in the shared window.
    Looked(Db),
    /// The file of an enumeration; the line is in the shared window.
    Enumerated(Db),
}

impl Place {
    fn db(self) -> Db {
        match self {
            Place::Content(db) | Place::Looked(db) | Place::Enumerated(db) => db,
        }
    }
}

/// A record that is sent in pieces.
#[derive(Clone, Copy)]
pub struct Long {
    of: Place,
    /// The version of the file, which must stay.
    stamp: Stamp,
    /// Offset of the line.
    at: u64,
    copier: LineCopier,
}

fn index(db: Db) -> usize {
    match db {
        Db::Passwd => 0,
        Db::Group => 1,
        Db::Shadow => 2,
    }
}

impl Unix {
    /// The files `passwd`, `group` and `shadow` of `dir`. `verbose` names bad lines.
    pub fn new(dir: &[u8], verbose: bool) -> Result<Box<Self>, Errno> {
        if dir.contains(&0) {
            return Err(Errno::INVAL);
        }
        let source = |db: Db| {
            let path = [dir, b"/", db.name().as_bytes()].concat();
            // There is no NUL in it.
            Source::new(db, CString::new(path).unwrap_or_default(), verbose)
        };
        let files = [source(Db::Passwd), source(Db::Group), source(Db::Shadow)];
        Ok(Box::new(Unix { files }))
    }

    /// Names the files to the sandbox.
    pub fn allow(&self, sandbox: &mut Sandbox) {
        for file in &self.files {
            sandbox.open_later(|| OsStr::from_bytes(file.path().to_bytes()).into());
        }
    }

    /// Makes sure that its files can be opened when all descriptors are in use.
    pub fn reserve_descriptors(&mut self) {
        self.files.iter_mut().for_each(Source::reserve_descriptor);
    }

    fn source(&mut self, db: Db) -> &mut Source {
        let [passwd, group, shadow] = &mut self.files;
        match db {
            Db::Passwd => passwd,
            Db::Group => group,
            Db::Shadow => shadow,
        }
    }

    /// Serves one request, or as much of it as fits the turn.
    pub fn ask(&mut self, step: Step<'_>, places: &mut Places, request: &Request<'_>) -> Outcome {
        let answer = match *request {
            Request::SetTimeout { .. } => Ok(Outcome::Done),
            Request::End(db) => {
                places.end(db);
                Ok(Outcome::Done)
            }
            Request::Rewind(db) => {
                self.rewind(places, db, step.rights);
                Ok(Outcome::Done)
            }
            Request::Next(db) => self.next(step, places, db),
            Request::ByName(db, name) => self.search(step, db, Want::Key(Key::Name(name.bytes()))),
            Request::ByUid(uid) => self.search(step, Db::Passwd, Want::Key(Key::Id(uid.0))),
            Request::ByGid(gid) => self.search(step, Db::Group, Want::Key(Key::Id(gid.0))),
            Request::GroupList { user, .. } => self.search(step, Db::Group, Want::Member(user)),
        };
        answer.unwrap_or_else(Outcome::failed)
    }

    /// The first line with a name or number; or all groups that list a user.
    fn search(&mut self, mut step: Step<'_>, db: Db, want: Want<'_>) -> Result<Outcome, Errno> {
        let source = self.source(db);
        let version = source.refresh(step.rights, step.shared.round)?;
        let (key, restarts) = match want {
            Want::Key(key) => (Some(key), RESTARTS),
            // What was collected of an old version must not count.
            _ => (None, 0),
        };
        let again = step.search.resume(version, restarts)?;
        let known = key.filter(|_| !again).and_then(|key| source.recent.get(key));
        if known == Some(Known::Absent) {
            return Ok(Outcome::NotFound);
        }
        let found = match source.content() {
            Some(content) => {
                let gids = &mut step.shared.gids;
                let guess = match known {
                    Some(Known::At(at)) => line_at(db, content, at as usize, want, gids),
                    _ => None,
                };
                let found = guess.or_else(|| Finder::new(db, want).find(content, gids));
                found.map_or(Known::Absent, |Span { start, end, .. }| {
                    let at = start as u64;
                    *step.hit = Hit::Line { of: Place::Content(db), start, end, at };
                    Known::At(at)
                })
            }
            None => {
                if let Some(Known::At(at)) = known {
                    step.search.guess(at);
                }
                let Some(found) = look(&mut step, source, want)? else {
                    return Ok(Outcome::Pending);
                };
                found
            }
        };
        let Some(key) = key else { return Ok(Outcome::Groups) };
        if known != Some(found) {
            // If the file is not settled it is read again, and this forgotten, before it is used.
            source.recent.put(key, found);
        }
        Ok(outcome(Some(found)))
    }

    /// The next entry of the enumeration, which begins here if need be.
    fn next(&mut self, mut step: Step<'_>, places: &mut Places, db: Db) -> Result<Outcome, Errno> {
        let place = places.enumerations.get_mut(index(db)).ok_or(Errno::INVAL)?;
        let enumeration = match place {
            Some(enumeration) => {
                if step.rights != Rights::Own {
                    step.rights.check_read(&fstat(&enumeration.file)?, db == Db::Shadow)?;
                }
                enumeration
            }
            None => place.insert(self.enumerate(db, step.rights)?),
        };
        if !step.search.started {
            *step.search =
                Search { started: true, walk: Walk::from(enumeration.at), ..Search::default() };
        }
        let finder = Finder::new(db, Want::Any);
        let found = walk(&mut step, &enumeration.file, Place::Enumerated(db), &finder, true)?;
        if step.search.walk.is_between_lines() {
            enumeration.at = step.search.walk.at;
        }
        if let Hit::Long(long) = step.hit {
            long.stamp = Stamp::of_open(&enumeration.file)?;
        }
        Ok(outcome(found))
    }

    fn enumerate(&mut self, db: Db, rights: Rights) -> Result<Enumeration, Errno> {
        let source = self.source(db);
        source.name_bad_lines(rights);
        Ok(Enumeration { file: source.open_to_enumerate(rights)?, at: 0 })
    }

    fn rewind(&mut self, places: &mut Places, db: Db, rights: Rights) {
        match places.enumerations.get_mut(index(db)) {
            Some(Some(enumeration)) => enumeration.at = 0,
            // A file that cannot be opened is reported by the next GET.
            Some(place) => *place = self.enumerate(db, rights).ok(),
            None => {}
        }
    }

    /// The record of a whole line that was found.
    pub fn record<'a>(
        &'a self,
        window: &'a [u8],
        of: Place,
        start: usize,
        end: usize,
    ) -> Option<Record<'a>> {
        let text = match of {
            Place::Content(db) => self.files.get(index(db))?.content()?,
            Place::Looked(_) | Place::Enumerated(_) => window,
        };
        line::parse(of.db(), text.get(start..end)?).ok()
    }

    /// Makes a whole line that was found one that is sent in pieces.
    pub fn measure(&self, window: &[u8], places: &Places, hit: &mut Hit) -> Option<()> {
        let Hit::Line { of, start, end, at } = *hit else { return None };
        let source = self.files.get(index(of.db()))?;
        let (text, of, stamp) = match of {
            Place::Content(db) => (source.content()?, Place::Looked(db), source.stamp()),
            Place::Looked(_) => (window, of, source.stamp()),
            Place::Enumerated(db) => (window, of, Stamp::of_open(places.file(db)?).ok()?),
        };
        let mut meter = LineScanner::new(of.db());
        meter.feed(text.get(start..end)?, b"");
        let measured = meter.finish(b"").ok()?;
        *hit = Hit::Long(Long { stamp, ..Long::new(of, at, measured) });
        Some(())
    }

    /// The next bytes of a record that is sent in pieces; the error means that the file is no
    /// longer what was measured, and the reply cannot be ended.
    pub fn area(
        &mut self,
        window: &mut [u8],
        places: &Places,
        long: &mut Long,
        out: &mut [u8],
    ) -> Result<usize, Errno> {
        let Long { of, stamp, at, copier } = long;
        let source = self.source(of.db());
        let (file, same) = match *of {
            Place::Content(_) | Place::Looked(_) => (source.file()?, source.is_still(stamp)),
            Place::Enumerated(db) => {
                let file = places.file(db).ok_or(Errno::BADF)?;
                (file, Stamp::of_open(file)? == *stamp)
            }
        };
        if !same {
            return Err(Errno::STALE);
        }
        let mut given = 0;
        while !copier.done() {
            let room = out.get_mut(given..).unwrap_or_default();
            if room.is_empty() {
                break;
            }
            // As much as can be used: a line has at most one byte more for each of its area.
            let want = usize::try_from(copier.wants()).unwrap_or(usize::MAX).min(room.len() + 64);
            let block = window.get_mut(..want.min(window.len())).unwrap_or_default();
            let len = fill(file, block, *at + copier.taken())?;
            if len < block.len() {
                return Err(Errno::STALE);
            }
            let (_, put) = copier.feed(block, room).map_err(|_| Errno::STALE)?;
            given += put;
        }
        Ok(given)
    }
}

/// Looks in a file that is not kept. `None`: the turn is over.
fn look(step: &mut Step<'_>, source: &Source, want: Want<'_>) -> Result<Option<Known>, Errno> {
    let finder = Finder::new(source.db, want);
    loop {
        let guess = step.search.guessed.map(Known::At);
        let of = Place::Looked(source.db);
        let found = walk(step, source.file()?, of, &finder, guess.is_some())?;
        if found.is_none() {
            return Ok(None);
        }
        step.search.guessed = None;
        if guess.is_some() && found != guess {
            // Another key with the same hash: it is not there.
            *step.hit = Hit::None;
            step.search.walk = Walk::default();
            continue;
        }
        if let Hit::Long(long) = step.hit {
            long.stamp = source.stamp();
        }
        return Ok(found);
    }
}

/// How a request for a line ends; `None`: not yet.
fn outcome(found: Option<Known>) -> Outcome {
    match found {
        Some(Known::At(_)) => Outcome::Found,
        Some(Known::Absent) => Outcome::NotFound,
        None => Outcome::Pending,
    }
}

impl Long {
    /// Of a file whose stamp is still to be told.
    fn new(of: Place, at: u64, measured: LineSummary) -> Self {
        Long { of, stamp: Stamp::default(), at, copier: LineCopier::new(of.db(), measured) }
    }

    /// Ready to be sent.
    pub fn head(&self) -> &Head {
        self.copier.head()
    }

    /// From its first byte again.
    pub fn rewind(&mut self) {
        self.copier = self.copier.again();
    }

    /// Whether all of it was given out.
    pub fn done(&self) -> bool {
        self.copier.done()
    }
}

impl Places {
    fn file(&self, db: Db) -> Option<&OwnedFd> {
        self.enumerations.get(index(db))?.as_ref().map(|e| &e.file)
    }

    fn end(&mut self, db: Db) {
        if let Some(place) = self.enumerations.get_mut(index(db)) {
            *place = None;
        }
    }
}

impl Search {
    /// Begins, or goes on; true if it went on in the same version of the file. EAGAIN: there were
    /// more than `most` others.
    fn resume(&mut self, version: u32, most: u8) -> Result<bool, Errno> {
        if self.started && self.version == version {
            return Ok(true);
        }
        let restarts = if self.started { self.restarts + 1 } else { 0 };
        if restarts > most {
            return Err(Errno::AGAIN);
        }
        *self = Search { started: true, version, restarts, ..Search::default() };
        Ok(false)
    }

    fn guess(&mut self, at: u64) {
        self.guessed = Some(at);
        self.walk = Walk::from(at);
    }
}
