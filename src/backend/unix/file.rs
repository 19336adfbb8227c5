//! One file, kept in memory when it is small, else open while it is used: what is known of it, and
//! whether that still holds.

use super::index::Index;
use super::pass::Pass;
use super::recent::Recent;
use super::report;
use crate::backend::stamp::{Reading, Stamp};
use crate::backend::window::Window;
use crate::limits::{IDLE_LOOKS, WINDOW};
use crate::sys::access::Rights;
use crate::sys::clock::file_time;
use crate::sys::file::{self, pread_full};
use crate::sys::privilege::keep_secret;
use crate::sys::stat::{Stat, fstat, stat};
use crate::sys::untouched;
use nssproto::entry::Db;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

/// How often a file that changes while it is being read is read again at once.
const TRIES: u8 = 3;

/// A file of a database.
pub struct DbFile {
    /// Which database.
    pub db: Db,
    path: CString,
    /// Open as long as it is used, unless all of it is kept.
    file: Option<OwnedFd>,
    /// Looks at whether it is used, since it was.
    idle: u8,
    /// A descriptor in its place while it is closed, so that there is one when it has to be opened.
    reserve: Option<OwnedFd>,
    /// Of which version is what is known.
    reading: Reading,
    /// What stat(2) last said of what is known, and in which batch of requests.
    seen: Option<(u64, Stat)>,
    content: &'static mut [u8],
    /// Bytes of `content` that are the whole file; `None` for a file larger than that.
    kept: Option<usize>,
    /// Counts the versions that were seen.
    version: u32,
    /// Name bad lines on standard error.
    verbose: bool,
    /// Where recent answers stood in a file that is not kept.
    pub recent: Recent,
    /// Where all lines stand in such a file.
    pub index: Index,
    /// Those who wait for a line of such a file.
    pub pass: Pass,
}

impl DbFile {
    /// The file of `db` at `path`. Nothing is opened yet.
    pub fn new(db: Db, path: CString, verbose: bool) -> Self {
        DbFile {
            db,
            path,
            file: None,
            idle: 0,
            reserve: None,
            reading: Reading::default(),
            seen: None,
            content: untouched(WINDOW),
            kept: None,
            version: 0,
            verbose,
            recent: Recent::new(),
            index: Index::new(),
            pass: Pass::new(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &CStr {
        &self.path
    }

    /// Makes sure that what is known of the file holds now, and that `rights` may read it. One
    /// stat(2) where nothing has changed, and one for all requests of a `batch` that is not 0.
    /// Returns the number of the version.
    pub fn refresh(&mut self, rights: Rights, batch: u64) -> Result<u32, Errno> {
        // A batch that has passed does not come again.
        if let Some((_, seen)) = self.seen.as_ref().filter(|(at, _)| *at == batch) {
            rights.check_read(seen, &self.path, self.is_secret())?;
            return Ok(self.version);
        }
        // (A combinator would copy what stat tells.)
        let now = match stat(&self.path) {
            Ok(now) => now,
            Err(errno) => {
                self.forget();
                return Err(errno);
            }
        };
        rights.check_read(&now, &self.path, self.is_secret())?;
        if self.reading.holds(&Stamp::of(&now)) && (self.kept.is_some() || self.reopen().is_ok()) {
            if batch != 0 {
                self.seen = Some((batch, now));
            }
            return Ok(self.version);
        }
        self.load(rights).inspect_err(|_| self.forget())?;
        Ok(self.version)
    }

    /// Names bad lines, if that is wanted, where only an enumeration reads the file.
    pub fn name_bad_lines(&mut self, rights: Rights) {
        if self.verbose {
            // What is wrong with the file itself is met by the enumeration.
            let _ = self.refresh(rights, 0);
        }
    }

    /// Whether it holds what not everybody may know.
    pub fn is_secret(&self) -> bool {
        self.db == Db::Shadow
    }

    /// What was known is no longer true.
    fn forget(&mut self) {
        self.reading = Reading::default();
        self.kept = None;
        self.recent.clear();
        self.index.clear();
        self.close();
    }

    /// Closes it. A descriptor is kept all the same, of no file system.
    pub fn close(&mut self) {
        self.file = None;
        if self.reserve.is_none() {
            self.reserve = eventfd(0, EventfdFlags::CLOEXEC).ok();
        }
    }

    /// Closes it if it has not been used for a while; whether it is open.
    pub fn close_idle(&mut self) -> bool {
        self.idle += u8::from(self.file.is_some());
        if self.idle > IDLE_LOOKS {
            self.idle = 0;
            self.close();
            // Nobody asks at the moment.
            self.index.clear();
        }
        self.file.is_some()
    }

    fn open(&mut self) -> Result<OwnedFd, Errno> {
        let mut file = open_to_read(self.db, &self.path);
        // The one that is open is of no more use.
        if matches!(file, Err(Errno::MFILE))
            && (self.reserve.take().is_some() | self.file.take().is_some())
        {
            file = open_to_read(self.db, &self.path);
        }
        file
    }

    /// The file, opened again if need be. ESTALE: that is another version than what is known.
    pub fn reopen(&mut self) -> Result<&OwnedFd, Errno> {
        if self.file.is_none() {
            let file = self.open()?;
            if Stamp::of_open(&file)? != *self.reading.stamp() {
                return Err(Errno::STALE);
            }
            self.file = Some(file);
        }
        self.file()
    }

    fn load(&mut self, rights: Rights) -> Result<(), Errno> {
        let file = self.open()?;
        for _ in 0..TRIES {
            let clock = file_time();
            let before = fstat(&file)?;
            // The path may lead elsewhere since it was looked at.
            rights.check_read(&before, &self.path, self.is_secret())?;
            let stamp = Stamp::of(&before);
            let len = pread_full(&file, self.content, 0)?;
            let whole = len < self.content.len();
            if !whole && FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
                // A device without end; an empty one (/dev/null) is fine.
                return Err(Errno::INVAL);
            }
            let is_new = *self.reading.stamp() != stamp;
            self.reading = Reading::new(stamp, clock);
            self.recent.clear();
            self.index.outdate(is_new, before.st_size as u64);
            self.kept = whole.then_some(len);
            if is_new {
                self.version = self.version.wrapping_add(1);
                if self.verbose {
                    report::bad_lines(self.db, &self.path, &file);
                }
            }
            if Stamp::of_open(&file)? == stamp {
                break;
            }
            // Written to while it was being read: believed this once at most.
            self.reading = Reading::torn(stamp);
        }
        self.file = Some(file);
        if self.kept.is_some() {
            self.close();
        }
        Ok(())
    }

    /// The whole file, if it is small.
    pub fn content(&self) -> Option<&[u8]> {
        self.kept.and_then(|len| self.content.get(..len))
    }

    /// The open file.
    pub fn file(&self) -> Result<&OwnedFd, Errno> {
        self.file.as_ref().ok_or(Errno::BADF)
    }

    /// Whether what is known holds for as long as stat(2) says the same.
    pub fn is_settled(&self) -> bool {
        self.reading.holds(self.reading.stamp())
    }

    /// Reads on for those who wait for a line.
    pub fn go_on_with_pass(&mut self, window: &mut [u8], budget: &mut u64) -> Result<(), Errno> {
        let file = self.file.as_ref().ok_or(Errno::BADF)?;
        self.pass.go_on(file, window, budget)
    }

    /// It is used; whether it is open.
    pub fn touch(&mut self) -> bool {
        self.idle = 0;
        self.file.is_some()
    }

    /// Opens for an enumeration what can be read to an end: a file, or a device that is empty, such
    /// as /dev/null. EISDIR for a directory, EINVAL for an endless device, EACCES for what `rights`
    /// may not read.
    pub fn open_to_enumerate(&self, rights: Rights) -> Result<OwnedFd, Errno> {
        let file = open_to_read(self.db, &self.path)?;
        let there = fstat(&file)?;
        rights.check_read(&there, &self.path, self.is_secret())?;
        let kind = FileType::from_raw_mode(there.st_mode);
        if kind != FileType::RegularFile && pread_full(&file, &mut [0], 0)? > 0 {
            return Err(Errno::INVAL);
        }
        Ok(file)
    }

    /// Goes on with the index of a file that is not kept and settled; true if there is no more to do in
    /// this turn.
    pub fn build_index(&mut self, window: &mut Window, budget: &mut u64) -> Result<bool, Errno> {
        self.reopen()?;
        let file = self.file.as_ref().ok_or(Errno::BADF)?;
        self.index.build(self.db, file, window, budget)
    }

    /// Whether all lines are indexed. Of a file that is kept that is done now; of another one, lookups
    /// see to it.
    pub fn has_index(&mut self, budget: &mut u64) -> bool {
        match self.kept.and_then(|len| self.content.get(..len)) {
            Some(lines) => self.index.build_of(self.db, lines, budget),
            None => self.index.is_ready() && self.is_settled(),
        }
    }

    /// The stamp of what is known.
    pub fn stamp(&self) -> Stamp {
        *self.reading.stamp()
    }

    /// Whether the path still leads to what is known.
    pub fn is_still(&self) -> bool {
        stat(&self.path).is_ok_and(|now| Stamp::of(&now) == self.stamp())
    }
}

/// Opens for reading. Whoever has shadow open shows itself to nobody.
fn open_to_read(db: Db, path: &CStr) -> Result<OwnedFd, Errno> {
    let file = file::open(path, OFlags::RDONLY, Mode::empty())?;
    if db == Db::Shadow {
        keep_secret();
    }
    Ok(file)
}
