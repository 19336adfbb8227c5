//! The local files: passwd, group and shadow of a directory, by the rules of
//! doc/protocols/nsss.md, section 6.
//!
//! A lookup asks the path with one stat(2), so that it sees a replaced file at once; an
//! enumeration keeps the file that it began with. Small files are kept in memory, of larger
//! ones the places of recent answers.

mod ahead;
pub(super) mod file;
mod index;
mod pass;
pub(super) mod recent;
mod report;
pub mod search;

use super::client::{Enumeration, Enumerations, Hit, Line, ReadFrom, Sequel, Streamed};

use super::stamp::Stamp;
use super::window::Window;
use super::{Backend, Outcome, PerDb, RunsIn, Source, Step, Teller, spend};
use crate::limits::{CROWD, RESTARTS};
use crate::options::{Options, Spec};
use crate::sys::access::{Peer, Rights};
use crate::sys::error::Error;
use crate::sys::file::{join, path, pread_full};
use crate::sys::message::Message;
use crate::sys::sandbox::Sandbox;
use crate::sys::stat::{fstat, stat};
use file::DbFile;
use nssproto::entry::{Db, Record};
use nssproto::line::Rules;
use nssproto::line::stream::LineScanner;
use nssproto::nsss::{Head, Request};
use pass::Told;
use recent::{Location, LookupKey};
use rustix::io::Errno;
use search::{Finder, Span, Want, line_at, search};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// The options of nsssd-unix.
pub const SPEC: Spec = Spec { flags: "v", values: "d", ..Spec::NONE };

/// The local files by the arguments of nsssd-unix. Words that are no options are ignored, as
/// nsss ignores them.
pub fn make(options: &Options<'_>, _: RunsIn) -> Result<Backend, Error> {
    let dir = options.word(b'd').unwrap_or(OsStr::new("/etc"));
    let wrong = |errno| Error::system("unable to use directory", errno).about(dir);
    Unix::new(dir.as_bytes(), options.flag(b'v')).map(Backend::Unix).map_err(wrong)
}

/// The three files.
pub struct Unix {
    files: PerDb<DbFile>,
    dir: Vec<u8>,
    verbose: bool,
    layout: Layout,
}

/// How the files are called and read, and by whom they are told.
pub struct Layout {
    /// What follows the names of the databases.
    pub suffix: Vec<u8>,
    /// By whose rules they are read, where that does not go with the question.
    pub rules: Option<Rules>,
    /// Who tells them.
    pub teller: Teller,
    /// What knows where their lines are.
    pub places: Option<Box<dyn Placed>>,
}

/// What knows where the lines of a file are, by other files.
pub trait Placed {
    /// Looks for a line, or for groups, of a file that was refreshed to this version.
    fn find(
        &mut self,
        step: &mut Step<'_>,
        file: &mut DbFile,
        version: u32,
        want: Want<'_>,
    ) -> Result<Place, Errno>;

    /// Closes files that were not used for a while; whether others are open.
    fn close_idle(&mut self) -> bool;
}

/// What is known of where a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing.
    Unknown,
    /// There is none.
    Absent,
    /// It may begin there.
    At(u64),
    /// It was found: the hit says where.
    Found,
    /// The groups were collected.
    Groups,
}

impl Unix {
    /// The files `passwd`, `group` and `shadow` of `dir`. `verbose` names bad lines.
    pub fn new(dir: &[u8], verbose: bool) -> Result<Box<Self>, Errno> {
        let teller = teller(dir);
        let layout = Layout { suffix: Vec::new(), rules: None, teller, places: None };
        Unix::with_layout(dir, verbose, layout)
    }

    /// The files of `dir` that are called so.
    pub fn with_layout(dir: &[u8], verbose: bool, layout: Layout) -> Result<Box<Self>, Errno> {
        if dir.contains(&0) || layout.suffix.contains(&0) {
            return Err(Errno::INVAL);
        }
        let files = PerDb::new(|db| {
            // There is no NUL in it.
            let name = [dir, b"/", db.name().as_bytes(), &layout.suffix].concat();
            DbFile::new(db, path(&name).unwrap_or_default(), verbose)
        });
        Ok(Box::new(Unix { files, dir: dir.to_vec(), verbose, layout }))
    }
}

/// Whose files those of a directory are. By its name: where a second one is the same in truth, its
/// users are those of the first.
fn teller(mut dir: &[u8]) -> Teller {
    while let Some((b'/', front)) = dir.split_last() {
        dir = front;
    }
    // As patterns they would be compared byte by byte, in code for each.
    if dir == b"/etc" {
        Teller::Own
    } else if dir == b"/var/lib/extrausers" {
        Teller::Extrausers
    } else {
        Teller::Directory
    }
}

impl Source for Unix {
    fn ask(&mut self, mut step: Step<'_>, request: &Request<'_>) -> Outcome {
        step.rules = self.layout.rules.unwrap_or(step.rules);
        let answer = match *request {
            Request::SetTimeout { .. } => Ok(Outcome::Done),
            Request::End(db) => {
                step.shared.window.forget();
                *step.enumerations.get_mut(db) = None;
                Ok(Outcome::Done)
            }
            Request::Rewind(db) => {
                step.shared.window.forget();
                self.rewind_list(step.enumerations, db, step.rights);
                Ok(Outcome::Done)
            }
            Request::Next(db) => self.next(step, db),
            Request::ByName(db, name) => {
                self.look_up(step, db, Want::Key(LookupKey::Name(name.bytes())))
            }
            Request::ByUid(uid) => self.look_up(step, Db::Passwd, Want::Key(LookupKey::Id(uid.0))),
            Request::ByGid(gid) => self.look_up(step, Db::Group, Want::Key(LookupKey::Id(gid.0))),
            Request::GroupList { user, .. } => self.look_up(step, Db::Group, Want::Member(user)),
        };
        answer.unwrap_or_else(|errno| {
            if self.verbose {
                let mut message = Message::warning("nsssd-unix");
                message.text("unable to read ").path(self.place(request.db()));
                message.text(": ").errno(errno).send();
            }
            Outcome::failed(errno)
        })
    }

    fn has_plain_files(&self) -> bool {
        self.layout.rules.is_none() && self.layout.places.is_none()
    }

    fn lacks(&mut self, step: Step<'_>, request: &Request<'_>) -> bool {
        let (db, key) = match request {
            Request::ByName(db, name) => (*db, LookupKey::Name(name.bytes())),
            Request::ByUid(uid) => (Db::Passwd, LookupKey::Id(uid.0)),
            Request::ByGid(gid) => (Db::Group, LookupKey::Id(gid.0)),
            _ => return false,
        };
        let file = self.files.get_mut(db);
        step.lists
            && file.refresh(step.rights, step.shared.batch).is_ok()
            && file.has_index(step.budget)
            && file.index.candidate(step.rules, key, 0).is_none()
    }

    fn takes_long_names(&self) -> bool {
        true
    }

    fn place(&self, db: Option<Db>) -> &[u8] {
        db.map_or(&self.dir, |db| self.files.get(db).path().to_bytes())
    }

    /// The directory, or of its files those that no set of accounts does without.
    fn missing(&self, tell: &mut dyn FnMut(&[u8], Errno)) {
        let mut look = |name: &[u8]| {
            let looked = path(name).and_then(|name| stat(&name));
            looked.err().inspect(|errno| tell(name, *errno)).is_none()
        };
        if look(&self.dir) {
            for db in [Db::Passwd, Db::Group] {
                look(&join(&self.dir, &[db.name().as_bytes(), &self.layout.suffix].concat()));
            }
        }
    }

    fn record<'a>(&'a self, window: &'a [u8], hit: &Hit) -> Option<Record<'a>> {
        let Hit::Line(line) = hit else { return None };
        line.parsed.record(self.text(window, line)?)
    }

    fn key<'a>(&'a self, window: &'a [u8], hit: &Hit) -> Option<(Db, &'a [u8], u32)> {
        let Hit::Line(line) = hit else { return None };
        Some((line.db, line.parsed.name(self.text(window, line)?)?, line.parsed.id()?))
    }

    fn begin_pieces(&mut self, step: Step<'_>) -> Option<Head> {
        if let Hit::Line(line) = step.hit {
            // What is kept of the file may be that of another version by the next piece.
            let from = match line.from {
                ReadFrom::Enumeration => ReadFrom::Enumeration,
                ReadFrom::Content | ReadFrom::File => ReadFrom::File,
            };
            let mut meter = LineScanner::new(line.parsed.rules(), line.db);
            meter.feed(self.text(step.shared.window.bytes(), line)?, b"");
            let mut streamed = Streamed::new(line.db, from, line.at, meter.finish(b"").ok()?);
            let version = match from {
                ReadFrom::Enumeration => {
                    let list = step.enumerations.get_mut(line.db).as_mut()?;
                    Stamp::of_open(
                        self.list_file(list, &mut step.shared.window, line.db, step.rights).ok()?.0,
                    )
                    .ok()?
                }
                _ => self.files.get(line.db).stamp(),
            };
            streamed.version = version.digest();
            *step.hit = Hit::Streamed(streamed);
        }
        match step.hit {
            Hit::Streamed(streamed) => Some(*streamed.copier.head()),
            _ => None,
        }
    }

    /// The error means that the file is no longer what was measured. That is asked before the first
    /// byte and before the last one goes out; in between, what was read is hashed.
    fn piece(&mut self, step: Step<'_>, out: &mut [u8]) -> Result<(usize, bool), Errno> {
        let Hit::Streamed(streamed) = step.hit else { return Err(Errno::INVAL) };
        let db = streamed.db;
        step.shared.holds_files = true;
        let file = match (streamed.from, step.enumerations.get_mut(db)) {
            (ReadFrom::Enumeration, list) => {
                let list = list.as_mut().ok_or(Errno::BADF)?;
                self.list_file(list, &mut step.shared.window, db, step.rights)?.0
            }
            (ReadFrom::Content | ReadFrom::File, _) => {
                let own = self.files.get_mut(db);
                // Another version may have been opened meanwhile, which the client may not read.
                if own.stamp().digest() != streamed.version {
                    return Err(Errno::STALE);
                }
                own.touch();
                own.reopen()?
            }
        };
        let is_first = streamed.copier.taken() == 0;
        let given = copy(streamed, file, step.shared.window.room(), out)?;
        let is_last = streamed.copier.done();
        if is_first || is_last {
            let same = match streamed.from {
                ReadFrom::Enumeration => Stamp::of_open(file)?.digest() == streamed.version,
                _ => self.files.get(db).is_still(),
            };
            if !same {
                return Err(Errno::STALE);
            }
        }
        Ok((given, is_last))
    }

    fn rewind(&mut self, hit: &mut Hit) -> bool {
        match hit {
            Hit::Streamed(streamed) => {
                streamed.copier = streamed.copier.again();
                true
            }
            _ => false,
        }
    }

    fn teller(&self) -> Teller {
        self.layout.teller
    }

    fn could_open(&self, db: Db, peer: Peer) -> bool {
        peer.could_read(self.files.get(db).path(), &|_| true)
    }

    fn could_read(&self, db: Db, peer: Peer) -> bool {
        let file = self.files.get(db);
        peer.could_read(file.path(), &|there| Stamp::of(there) == file.stamp())
    }

    fn allow(&self, sandbox: &mut Sandbox) {
        for db in Db::ALL {
            let path = self.files.get(db).path();
            sandbox.open_later(|| OsStr::from_bytes(path.to_bytes()).into());
        }
    }

    fn reserve_descriptors(&mut self) {
        for db in Db::ALL {
            self.files.get_mut(db).close();
        }
    }

    fn close_idle(&mut self) -> bool {
        let mut open = false;
        for db in Db::ALL {
            open |= self.files.get_mut(db).close_idle();
        }
        self.layout.places.as_mut().is_some_and(|places| places.close_idle()) | open
    }
}

impl Unix {
    /// The first line with a name or number; or all groups that list a user.
    fn look_up(&mut self, mut step: Step<'_>, db: Db, want: Want<'_>) -> Result<Outcome, Errno> {
        let file = self.files.get_mut(db);
        let version = file.refresh(step.rights, step.shared.batch)?;
        step.shared.holds_files |= file.touch();
        let (key, restarts) = match want {
            Want::Key(key) => (Some(key), RESTARTS),
            // What was collected of an old version must not count.
            _ => (None, 0),
        };
        let again = step.search.resume(version, restarts)?;
        let mut place = Place::Unknown;
        if let (false, Some(places)) = (again, &mut self.layout.places) {
            place = places.find(&mut step, file, version, want)?;
            match place {
                Place::Found => return Ok(Outcome::Found),
                Place::Absent => return Ok(Outcome::NotFound),
                Place::Groups => return Ok(Outcome::Groups),
                // It is a long one.
                Place::At(at) => step.search.expect_at(at),
                Place::Unknown => {}
            }
        }
        let asks_recent = !again && place == Place::Unknown;
        let known = key.filter(|_| asks_recent).and_then(|key| file.recent.get(step.rules, key));
        if known == Some(Location::Absent) {
            return Ok(Outcome::NotFound);
        }
        let found = match file.content() {
            Some(content) => {
                let gids = &mut step.shared.gids;
                let guess = match known {
                    Some(Location::At(at)) => {
                        line_at(step.rules, db, content, at as usize, want, gids)
                    }
                    _ => None,
                };
                let found = guess.or_else(|| {
                    let finder = Finder::new(step.rules, db, want);
                    let found = finder.find(content, gids);
                    let end = found.as_ref().map_or(content.len(), |(span, _)| span.end);
                    spend(step.budget, end + finder.cost());
                    found
                });
                found.map_or(Location::Absent, |(Span { start, end, .. }, parsed)| {
                    let at = start as u64;
                    let from = ReadFrom::Content;
                    *step.hit = Hit::Line(Line { db, from, start, end, at, parsed });
                    Location::At(at)
                })
            }
            None => {
                if let (Some(LookupKey::Name(name)), None) = (key, known) {
                    if let Some(line) = step.next_in_order(file, name)? {
                        *step.hit = Hit::Line(line);
                        return Ok(Outcome::Found);
                    }
                }
                let told = match (key, known) {
                    (Some(key), None) => locate(&mut step, file, key, version)?,
                    (_, Some(Location::At(at))) => {
                        step.search.expect_at(at);
                        file.index.was_not_needed();
                        Told::Alone
                    }
                    _ => Told::Alone,
                };
                let found = match told {
                    Told::Joined | Told::Wait => None,
                    Told::Look(Location::Absent) => Some(Location::Absent),
                    Told::Look(_) | Told::Alone => search_file(&mut step, file, want)?,
                };
                let Some(found) = found else { return Ok(Outcome::Pending) };
                if found != Location::Absent && db == Db::Shadow && step.lists {
                    *step.sequel = Sequel { of: file.stamp().digest(), at: step.search.at };
                }
                found
            }
        };
        let Some(key) = key else { return Ok(Outcome::Groups) };
        if known != Some(found) {
            // If the file is not settled it is read again, and this forgotten, before it is used.
            file.recent.put(step.rules, key, found);
        }
        Ok(outcome(Some(found)))
    }

    /// The next entry of the enumeration, which begins here if need be.
    fn next(&mut self, mut step: Step<'_>, db: Db) -> Result<Outcome, Errno> {
        let mut enumeration = match step.enumerations.get_mut(db).take() {
            Some(enumeration) => enumeration,
            None => {
                step.shared.window.forget();
                self.enumerate(db, step.rights)?
            }
        };
        step.shared.holds_files = true;
        let found = self.next_entry(&mut step, &mut enumeration, db);
        *step.enumerations.get_mut(db) = Some(enumeration);
        Ok(outcome(found?))
    }

    fn next_entry(
        &self,
        step: &mut Step<'_>,
        enumeration: &mut Enumeration,
        db: Db,
    ) -> Result<Option<Location>, Errno> {
        if let Enumeration::Open { file, idle, at } = enumeration {
            if let Some(line) = step.next_read(file, at, db) {
                *idle = 0;
                *step.hit = Hit::Line(line);
                return Ok(Some(Location::At(line.at)));
            }
        }
        let (file, at) = self.list_file(enumeration, &mut step.shared.window, db, step.rights)?;
        if step.rights != Rights::Own {
            step.rights.check_read_open(&fstat(file)?, file.as_fd(), db == Db::Shadow)?;
        }
        step.search.begin_at(*at);
        let finder = Finder::for_guess(step.rules, db, Want::Any);
        let found = search(step, file, ReadFrom::Enumeration, &finder, !step.reads_ahead())?;
        if step.search.is_between_lines() {
            *at = step.search.at;
        }
        if let Hit::Streamed(streamed) = step.hit {
            streamed.version = Stamp::of_open(file)?.digest();
        }
        Ok(found)
    }

    /// The file of an enumeration that goes on, opened again if need be, and its place. ESTALE from
    /// now on, until it is begun again: there is another file.
    fn list_file<'a>(
        &self,
        enumeration: &'a mut Enumeration,
        window: &mut Window,
        db: Db,
        rights: Rights,
    ) -> Result<(&'a OwnedFd, &'a mut u64), Errno> {
        if let Enumeration::Closed { was, at } = *enumeration {
            window.forget();
            let file = match self.files.get(db).open_to_enumerate(rights) {
                Err(Errno::NOENT) => None,
                file => Some(file?),
            };
            *enumeration = match file {
                Some(file) if Stamp::of_open(&file)?.digest() == was => {
                    Enumeration::Open { file, idle: 0, at }
                }
                _ => Enumeration::Lost,
            };
        }
        match enumeration {
            Enumeration::Open { file, idle, at } => {
                *idle = 0;
                Ok((file, at))
            }
            _ => Err(Errno::STALE),
        }
    }

    fn enumerate(&mut self, db: Db, rights: Rights) -> Result<Enumeration, Errno> {
        let file = self.files.get_mut(db);
        file.name_bad_lines(rights);
        Ok(Enumeration::new(file.open_to_enumerate(rights)?))
    }

    fn rewind_list(&mut self, enumerations: &mut Enumerations, db: Db, rights: Rights) {
        match enumerations.get_mut(db) {
            Some(Enumeration::Open { at, .. }) => *at = 0,
            // A file that cannot be opened is reported by the next GET.
            place => *place = self.enumerate(db, rights).ok(),
        }
    }

    /// The text of a line.
    fn text<'a>(&'a self, window: &'a [u8], line: &Line) -> Option<&'a [u8]> {
        let text = match line.from {
            ReadFrom::Content => self.files.get(line.db).content()?,
            ReadFrom::File | ReadFrom::Enumeration => window,
        };
        text.get(line.start..line.end)
    }
}

/// Puts the next bytes of a record's strings to the front of `out`; how many.
fn copy(
    streamed: &mut Streamed,
    file: &OwnedFd,
    window: &mut [u8],
    out: &mut [u8],
) -> Result<usize, Errno> {
    let Streamed { at, copier, .. } = streamed;
    let mut given = 0;
    while !copier.done() {
        let room = out.get_mut(given..).unwrap_or_default();
        if room.is_empty() {
            break;
        }
        // As much as can be used: a line has at most one byte more for each of its area.
        let want = usize::try_from(copier.wants()).unwrap_or(usize::MAX).min(room.len() + 64);
        let want = want.min(window.len());
        let block = window.get_mut(..want).unwrap_or_default();
        let len = pread_full(file, block, *at + copier.taken())?;
        if len < block.len() {
            return Err(Errno::STALE);
        }
        let (_, put) = copier.feed(block, room).map_err(|_| Errno::STALE)?;
        given += put;
    }
    Ok(given)
}

/// Where a line may be, by the index of the file; or where many wait, by one pass for all of them.
fn locate(
    step: &mut Step<'_>,
    file: &mut DbFile,
    key: LookupKey<'_>,
    version: u32,
) -> Result<Told, Errno> {
    if !step.search.is_fresh() || !file.is_settled() {
        return Ok(Told::Alone);
    }
    if !file.build_index(&mut step.shared.window, step.budget)? {
        return Ok(Told::Wait);
    }
    if file.index.is_ready() {
        return Ok(Told::Look(expect_next(step, file, key)));
    }
    let join = step.shared.waiting >= CROWD;
    let mut told = file.pass.ask(version, key, join);
    if let Told::Wait = told {
        file.go_on_with_pass(step.shared.window.room(), step.budget)?;
        told = file.pass.ask(version, key, join);
    }
    if let Told::Look(Location::At(at)) = told {
        step.search.expect_at(at);
    }
    Ok(told)
}

/// Expects the line where the index says next, if it knows another.
fn expect_next(step: &mut Step<'_>, file: &DbFile, key: LookupKey<'_>) -> Location {
    let next = file.index.candidate(step.rules, key, step.search.probe);
    next.map_or(Location::Absent, |(at, probe)| {
        step.search.expect_at(at);
        step.search.probe = probe;
        Location::At(at)
    })
}

/// Looks in a file that is not kept. `None`: the budget is used up.
fn search_file(
    step: &mut Step<'_>,
    file: &DbFile,
    want: Want<'_>,
) -> Result<Option<Location>, Errno> {
    loop {
        let guess = step.search.guess.map(Location::At);
        let finder = match guess {
            Some(_) => Finder::for_guess(step.rules, file.db, want),
            None => Finder::new(step.rules, file.db, want),
        };
        let found = search(step, file.file()?, ReadFrom::File, &finder, guess.is_some())?;
        if found.is_none() {
            return Ok(None);
        }
        if guess.is_some() && found != guess {
            // Another key with the same hash: it is not there.
            *step.hit = Hit::None;
            match want {
                // The index may have been dropped meanwhile.
                Want::Key(key) if step.search.probe > 0 && file.index.is_ready() => {
                    if expect_next(step, file, key) == Location::Absent {
                        return Ok(Some(Location::Absent));
                    }
                }
                _ => step.search.start_over(),
            }
            continue;
        }
        step.search.guess = None;
        if let Hit::Streamed(streamed) = step.hit {
            streamed.version = file.stamp().digest();
        }
        return Ok(found);
    }
}

/// How a request for a line ends; `None`: not yet.
fn outcome(found: Option<Location>) -> Outcome {
    match found {
        Some(Location::At(_)) => Outcome::Found,
        Some(Location::Absent) => Outcome::NotFound,
        None => Outcome::Pending,
    }
}
