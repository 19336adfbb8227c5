//! One file, kept open, and kept in memory when it is small: what is known of it, and whether
//! that still holds.

use super::recent::Recent;
use super::report;
use crate::limits::WINDOW;
use crate::sys::access::Rights;
use crate::sys::clock::{file_time, since_epoch};
use crate::sys::file;
use crate::sys::privilege::keep_secret;
use crate::sys::stat::{Stat, fstat, stat};
use crate::sys::untouched;
use nssproto::entry::Db;
use rustix::fs::{FileType, Mode, OFlags, open};
use rustix::io::{Errno, pread, retry_on_intr};
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

/// Times of a file this close to the clock cannot tell two writes apart: a few ticks of the
/// slowest kernel clock (100 Hz).
const FRESH: i64 = 40_000_000;

/// The same where the file system keeps whole seconds, FAT two of them.
const FRESH_SECONDS: i64 = 2_500_000_000;

/// How often a file that changes while it is being read is read again at once.
const TRIES: u8 = 3;

/// What tells two versions of a file apart.
///
/// Device, inode, size, and mtime and ctime in seconds and nanoseconds: as numbers of one kind they
/// are compared at once. All 0: of no file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp([u64; 7]);

impl Stamp {
    /// The stamp of `file`.
    // Inlined, it would be at seven places.
    #[inline(never)]
    #[allow(clippy::unnecessary_cast, reason = "the fields have other types on other targets")]
    pub fn of(file: &Stat) -> Self {
        Stamp([
            file.st_dev as u64,
            file.st_ino as u64,
            file.st_size as u64,
            file.st_mtime as u64,
            file.st_mtime_nsec as u64,
            file.st_ctime as u64,
            file.st_ctime_nsec as u64,
        ])
    }

    /// The stamp of what is open.
    pub fn of_open(file: &OwnedFd) -> Result<Self, Errno> {
        Ok(Stamp::of(&fstat(file)?))
    }

    /// Whether a write after `now`, on the clock of file times, is sure to change the stamp.
    pub fn is_settled(&self, now: i64) -> bool {
        let [.., mtime, m_nanos, ctime, c_nanos] = self.0;
        let fresh = if m_nanos | c_nanos == 0 { FRESH_SECONDS } else { FRESH };
        let before = now.saturating_sub(fresh);
        let is_old = |time: u64, nanos: u64| since_epoch(time as i64, nanos as i64) < before;
        is_old(mtime, m_nanos) && is_old(ctime, c_nanos)
    }
}

/// A file of a database.
pub struct Source {
    /// Which database.
    pub db: Db,
    path: CString,
    file: Option<OwnedFd>,
    stamp: Stamp,
    settled: bool,
    /// What stat(2) last said of what is known, and in which round.
    seen: Option<(u64, Stat)>,
    content: Vec<u8>,
    /// Bytes of `content` that are the whole file; `None` for a file larger than that.
    kept: Option<usize>,
    /// Counts the versions that were seen.
    version: u32,
    /// Name bad lines on standard error.
    verbose: bool,
    /// Where recent answers stood in a file that is not kept.
    pub recent: Recent,
}

impl Source {
    /// The file of `db` at `path`. Nothing is opened yet.
    pub fn new(db: Db, path: CString, verbose: bool) -> Self {
        Source {
            db,
            path,
            file: None,
            stamp: Stamp::default(),
            settled: false,
            seen: None,
            content: untouched(WINDOW),
            kept: None,
            version: 0,
            verbose,
            recent: Recent::new(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &CStr {
        &self.path
    }

    /// Makes sure that what is known of the file holds now, and that `rights` may read it. One
    /// stat(2) where nothing has changed, and one for all requests of a `round` that is not 0.
    /// Returns the number of the version.
    pub fn refresh(&mut self, rights: Rights, round: u64) -> Result<u32, Errno> {
        // A round that has passed does not come again.
        if let Some((_, seen)) = self.seen.as_ref().filter(|(at, _)| *at == round) {
            rights.check_read(seen, self.is_secret())?;
            return Ok(self.version);
        }
        let now = stat(&self.path).inspect_err(|_| self.forget())?;
        rights.check_read(&now, self.is_secret())?;
        if self.settled && self.stamp == Stamp::of(&now) {
            if round != 0 {
                self.seen = Some((round, now));
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

    /// Takes a descriptor now, so that there is one when the file has to be opened.
    pub fn reserve_descriptor(&mut self) {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        self.file = self.file.take().or_else(|| open("/", flags, Mode::empty()).ok());
    }

    /// What was known is no longer true. The descriptor is kept for the next version.
    fn forget(&mut self) {
        self.stamp = Stamp::default();
        self.settled = false;
        self.kept = None;
        self.recent.clear();
    }

    fn load(&mut self, rights: Rights) -> Result<(), Errno> {
        let mut file = open_to_read(self.db, &self.path);
        // The one that is open is of no more use.
        if matches!(file, Err(Errno::MFILE)) && self.file.take().is_some() {
            file = open_to_read(self.db, &self.path);
        }
        let file = file?;
        for _ in 0..TRIES {
            let clock = file_time();
            let before = fstat(&file)?;
            // The path may lead elsewhere since it was looked at.
            rights.check_read(&before, self.is_secret())?;
            let stamp = Stamp::of(&before);
            let len = fill(&file, &mut self.content, 0)?;
            let whole = len < self.content.len();
            if !whole && FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
                // A device without end; an empty one (/dev/null) is fine.
                return Err(Errno::INVAL);
            }
            self.settled = stamp.is_settled(clock);
            self.recent.clear();
            self.kept = whole.then_some(len);
            if self.stamp != stamp {
                self.stamp = stamp;
                self.version = self.version.wrapping_add(1);
                if self.verbose {
                    report::bad_lines(self.db, &self.path, &file);
                }
            }
            if Stamp::of_open(&file)? == stamp {
                break;
            }
            // Written to while it was being read: believed this once at most.
            self.settled = false;
        }
        self.file = Some(file);
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

    /// Opens for an enumeration what can be read to an end: a file, or a device that is empty, such
    /// as /dev/null. EISDIR for a directory, EINVAL for an endless device, EACCES for what `rights`
    /// may not read.
    pub fn open_to_enumerate(&self, rights: Rights) -> Result<OwnedFd, Errno> {
        let file = open_to_read(self.db, &self.path)?;
        let there = fstat(&file)?;
        rights.check_read(&there, self.is_secret())?;
        let kind = FileType::from_raw_mode(there.st_mode);
        if kind != FileType::RegularFile && fill(&file, &mut [0], 0)? > 0 {
            return Err(Errno::INVAL);
        }
        Ok(file)
    }

    /// The stamp of what is open.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Whether the path still leads to what is open, unchanged since it had this stamp.
    pub fn is_still(&self, stamp: &Stamp) -> bool {
        self.stamp == *stamp && stat(&self.path).is_ok_and(|now| Stamp::of(&now) == *stamp)
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

/// Reads from offset `at` until `room` is full or the file ends; the number of bytes. Less than
/// `room` means that the file ended there.
pub fn fill(file: &OwnedFd, room: &mut [u8], at: u64) -> Result<usize, Errno> {
    let mut len = 0;
    while let Some(rest) = room.get_mut(len..).filter(|r| !r.is_empty()) {
        match retry_on_intr(|| pread(file, &mut *rest, at + len as u64))? {
            0 => break,
            n => len += n,
        }
    }
    Ok(len)
}
