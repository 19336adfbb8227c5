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
use crate::sys::access::Asker;
use crate::sys::sandbox::Sandbox;
use crate::sys::stat::fstat;
use nssproto::entry::{Db, Name, Record};
use nssproto::line;
use nssproto::nsss::{Head, Request};
use nssproto::stream::{Copier, Measured, Meter};
use recent::{Key, Known};

use rustix::io::Errno;
use search::{Finder, Needle, Walk, Walked, Want, walk};
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
    copier: Copier,
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
    pub fn new(dir: &[u8], verbose: bool) -> Result<Self, Errno> {
        if dir.contains(&0) {
            return Err(Errno::INVAL);
        }
        let files = Db::ALL.map(|db| {
            let path = [dir, b"/", db.name().as_bytes()].concat();
            // There is no NUL in it.
            Source::new(db, CString::new(path).unwrap_or_default(), verbose)
        });
        Ok(Unix { files })
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
                self.rewind(places, db, step.asker);
                Ok(Outcome::Done)
            }
            Request::Next(db) => self.next(step, places, db),
            Request::ByName(db, name) => self.lookup(step, db, Key::Name(name.bytes())),
            Request::ByUid(uid) => self.lookup(step, Db::Passwd, Key::Id(uid.0)),
            Request::ByGid(gid) => self.lookup(step, Db::Group, Key::Id(gid.0)),
            Request::GroupList { user, .. } => self.groups(step, user),
        };
        answer.unwrap_or_else(Outcome::failed)
    }

    /// The first line with this name or number.
    fn lookup(&mut self, step: Step<'_>, db: Db, key: Key<'_>) -> Result<Outcome, Errno> {
        let source = self.source(db);
        let again = step.search.resume(source.refresh(step.asker, step.shared.round)?)?;
        let known = if again { None } else { source.recent.get(key) };
        if known == Some(Known::Absent) {
            return Ok(Outcome::NotFound);
        }
        if let Some(content) = source.content() {
            let guess = match known {
                Some(Known::At(at)) => search::line_at(db, content, at as usize, key),
                _ => None,
            };
            let found = guess.or_else(|| {
                let mut needle = Needle::default_room();
                let finder = Finder::new(db, Want::Key(key), &mut needle);
                finder.find(content, 0, &mut step.shared.gids)
            });
            let at = found.map(|span| span.start as u64);
            if guess.is_none() {
                source.recent.put(key, at.map_or(Known::Absent, Known::At));
            }
            return Ok(found.map_or(Outcome::NotFound, |span| {
                let (of, at) = (Place::Content(db), span.start as u64);
                *step.hit = Hit::Line { of, start: span.start, end: span.end, at };
                Outcome::Found
            }));
        }
        if let Some(Known::At(at)) = known {
            step.search.guess(at);
        }
        let mut needle = Needle::default_room();
        let finder = Finder::new(db, Want::Key(key), &mut needle);
        let stamp = source.stamp().ok_or(Errno::BADF)?;
        let of = Place::Looked(db);
        loop {
            let near = step.search.guessed.is_some();
            let (window, gids) = (&mut step.shared.window, &mut step.shared.gids);
            let walk_ = &mut step.search.walk;
            let found = walk(source.file()?, window, walk_, &finder, near, step.turn, gids)?;
            let at = match found {
                Walked::Pending => return Ok(Outcome::Pending),
                Walked::Line(_, at) | Walked::Long(_, at) => Some(at),
                Walked::End => None,
            };
            if step.search.guessed.is_some_and(|guess| at != Some(guess)) {
                // Another key with the same hash: it is not there.
                *step.search = Search { guessed: None, walk: Walk::default(), ..*step.search };
                continue;
            }
            if source.is_settled() {
                source.recent.put(key, at.map_or(Known::Absent, Known::At));
            }
            return Ok(lend(step.hit, of, stamp, &found));
        }
    }

    /// All groups that list `user`.
    fn groups(&mut self, step: Step<'_>, user: Name<'_>) -> Result<Outcome, Errno> {
        let source = self.source(Db::Group);
        let version = source.refresh(step.asker, step.shared.round)?;
        if step.search.started && step.search.version != version {
            // What was collected of the old version must not count.
            return Err(Errno::AGAIN);
        }
        step.search.resume(version)?;
        let mut needle = Needle::default_room();
        let finder = Finder::new(Db::Group, Want::Member(user), &mut needle);
        let gids = &mut step.shared.gids;
        if let Some(content) = source.content() {
            finder.find(content, 0, gids);
            return Ok(Outcome::Groups);
        }
        let window = &mut step.shared.window;
        let walked =
            walk(source.file()?, window, &mut step.search.walk, &finder, false, step.turn, gids)?;
        Ok(if matches!(walked, Walked::Pending) { Outcome::Pending } else { Outcome::Groups })
    }

    /// The next entry of the enumeration, which begins here if need be.
    fn next(&mut self, step: Step<'_>, places: &mut Places, db: Db) -> Result<Outcome, Errno> {
        let place = places.enumerations.get_mut(index(db)).ok_or(Errno::INVAL)?;
        if place.is_none() {
            let source = self.source(db);
            source.name_bad_lines(step.asker);
            let file = source.open_to_enumerate()?;
            *place = Some(Enumeration { file, at: 0 });
        }
        let enumeration = place.as_mut().ok_or(Errno::BADF)?;
        let secret = db == Db::Shadow;
        if step.asker != Asker::Ourselves {
            step.asker.check_read(&fstat(&enumeration.file)?, secret)?;
        }
        if !step.search.started {
            *step.search =
                Search { started: true, walk: Walk::from(enumeration.at), ..Search::default() };
        }
        let mut needle = Needle::default_room();
        let finder = Finder::new(db, Want::Any, &mut needle);
        let (window, gids) = (&mut step.shared.window, &mut step.shared.gids);
        let walk_ = &mut step.search.walk;
        let found = walk(&enumeration.file, window, walk_, &finder, true, step.turn, gids)?;
        if walk_.is_between_lines() {
            enumeration.at = walk_.at;
        }
        let stamp = match found {
            Walked::Long(..) => Stamp::of(&fstat(&enumeration.file)?),
            _ => Stamp::default(),
        };
        Ok(lend(step.hit, Place::Enumerated(db), stamp, &found))
    }

    fn rewind(&mut self, places: &mut Places, db: Db, asker: Asker) {
        let Some(place) = places.enumerations.get_mut(index(db)) else { return };
        match place {
            Some(enumeration) => enumeration.at = 0,
            // A file that cannot be opened is reported by the next GET.
            None => {
                let source = self.source(db);
                source.name_bad_lines(asker);
                let file = source.open_to_enumerate().ok();
                let secret = db == Db::Shadow;
                let may_read = |f: &OwnedFd| asker.check_read(&fstat(f)?, secret);
                let file = file.filter(|f| may_read(f).is_ok());
                *place = file.map(|file| Enumeration { file, at: 0 });
            }
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
    pub fn measure(&self, window: &[u8], places: &Places, hit: &mut Hit) -> Option<Head> {
        let Hit::Line { of, start, end, at } = *hit else { return None };
        let source = self.files.get(index(of.db()))?;
        let (text, of, stamp) = match of {
            Place::Content(db) => (source.content()?, Place::Looked(db), source.stamp()?),
            Place::Looked(_) => (window, of, source.stamp()?),
            Place::Enumerated(db) => (window, of, Stamp::of(&fstat(places.file(db)?).ok()?)),
        };
        let mut meter = Meter::new(of.db());
        meter.feed(text.get(start..end)?, b"");
        let measured = meter.finish(b"").ok()?;
        *hit = Hit::Long(Long::new(of, stamp, at, measured));
        Some(measured.head)
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
        let Long { of, stamp, at, ref mut copier, .. } = *long;
        let source = self.source(of.db());
        let (file, same) = match of {
            Place::Content(_) | Place::Looked(_) => {
                (source.file()?, source.stamp() == Some(stamp) && source.is_current())
            }
            Place::Enumerated(db) => {
                let file = places.file(db).ok_or(Errno::BADF)?;
                (file, Stamp::of(&fstat(file)?) == stamp)
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
            let len = fill(file, block, at + copier.taken())?;
            if len < block.len() {
                return Err(Errno::STALE);
            }
            let (_, put) = copier.feed(block, room).map_err(|_| Errno::STALE)?;
            given += put;
        }
        Ok(given)
    }
}

/// Keeps what a walk has found.
fn lend(hit: &mut Hit, of: Place, stamp: Stamp, found: &Walked) -> Outcome {
    match found {
        Walked::Pending => return Outcome::Pending,
        Walked::End => return Outcome::NotFound,
        Walked::Line(span, at) => {
            *hit = Hit::Line { of, start: span.start, end: span.end, at: *at };
        }
        Walked::Long(measured, at) => *hit = Hit::Long(Long::new(of, stamp, *at, *measured)),
    }
    Outcome::Found
}

impl Long {
    fn new(of: Place, stamp: Stamp, at: u64, measured: Measured) -> Self {
        Long { of, stamp, at, copier: Copier::new(of.db(), measured) }
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
    /// Begins, or goes on; true if it went on in the same version of the file.
    fn resume(&mut self, version: u32) -> Result<bool, Errno> {
        if self.started && self.version == version {
            return Ok(true);
        }
        let restarts = if self.started { self.restarts + 1 } else { 0 };
        if restarts > RESTARTS {
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
