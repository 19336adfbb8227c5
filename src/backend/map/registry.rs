//! The registry: `UID NAME EPOCH` lines, only ever appended to, by several processes without a
//! lock. Of two lines for one uid the first wins, and so the first uid of a name.

use super::config::tell_line;
use super::known::Known;
use super::names::{Letters, fits};
use crate::sys::clock;
use crate::sys::file::{open, path as c_path};
use crate::sys::stat::{Stat, lstat};
use nssproto::bytes::{DECIMAL_MAX, decimal_u32, decimal_u64, write_decimal};
use rustix::fs::{Mode, OFlags, fsync};
use rustix::io::{Errno, pread, retry_on_intr, write};
use rustix::process::geteuid;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

/// How often a line is appended again that another writer's torn one has spoilt.
const TRIES: u8 = 3;

/// Why a new pair cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writable {
    /// It can.
    Yes,
    /// The file system is read-only: it works without.
    ReadOnly,
    /// Not allowed: a lookup that needs it fails with this.
    Refused(Errno),
}

/// The open file.
pub struct Registry {
    file: OwnedFd,
    path: CString,
    /// It is made if need be.
    create: bool,
    /// Whose it may be, besides root's.
    owner: u32,
    writable: Writable,
    /// What was read and understood: up to the end of the last whole line.
    read_to: u64,
    /// Lines up to there.
    lines: u64,
    /// The size at which a torn last line was told.
    told_torn: u64,
    /// Bad lines are told.
    tells: bool,
}

impl Registry {
    /// Opens the file, and makes it if need be and `create`. `None`: there is none, and none can be
    /// made on a read-only file system. Also gives what fstat says of it.
    pub fn open(path: &[u8], create: bool) -> Result<Option<(Self, Stat)>, Errno> {
        let path = c_path(path)?;
        let Some((file, writable)) = open_file(&path, create)? else { return Ok(None) };
        let stat = super::look_at(&file)?;
        let owner = geteuid().as_raw();
        let (read_to, lines, told_torn, tells) = (0, 0, 0, true);
        let registry =
            Registry { file, path, create, owner, writable, read_to, lines, told_torn, tells };
        Ok(Some((registry, stat)))
    }

    /// Where it is.
    pub fn path(&self) -> &[u8] {
        self.path.to_bytes()
    }

    /// Whether new pairs can be kept.
    pub fn writable(&self) -> Writable {
        self.writable
    }

    /// Bad lines are not told from now on.
    pub fn be_quiet(&mut self) {
        self.tells = false;
    }

    /// Reads what was appended since, by whomever, through `window`.
    pub fn refresh(&mut self, known: &mut Known, window: &mut [u8]) -> Result<(), Errno> {
        let mut stat = super::look_at(&self.file)?;
        let replaced = self.is_replaced(&stat);
        if replaced {
            stat = self.reopen()?;
        }
        #[allow(clippy::unnecessary_cast, reason = "it has another type on other targets")]
        let size = stat.st_size as u64;
        if replaced || size < self.read_to {
            // Or somebody cut it. What is gone is believed no longer.
            known.clear();
            (self.read_to, self.lines) = (0, 0);
        }
        while self.read_to < size {
            let len = retry_on_intr(|| pread(&self.file, &mut *window, self.read_to))?;
            let block = window.get(..len).unwrap_or_default();
            let mut rest = block;
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                let (line, behind) = rest.split_at_checked(end).unwrap_or_default();
                rest = behind.get(1..).unwrap_or_default();
                self.lines += 1;
                self.take(line, known);
            }
            let whole = (block.len() - rest.len()) as u64;
            self.read_to += whole;
            if whole == 0 {
                if block.len() == window.len() {
                    // A line without end: no writer of ours makes one.
                    self.read_to += block.len() as u64;
                    continue;
                }
                if self.told_torn != size && !block.is_empty() {
                    self.told_torn = size;
                    self.tell(self.lines + 1, "the last line has no newline; passed over", b"");
                }
                break;
            }
        }
        Ok(())
    }

    /// Whether another file has its place: what is appended to this one is lost.
    fn is_replaced(&self, ours: &Stat) -> bool {
        match lstat(&*self.path) {
            Ok(there) => (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino),
            Err(Errno::NOENT) => true,
            // Who has dropped his privileges may not look there.
            Err(_) => ours.st_nlink == 0,
        }
    }

    /// Opens the file that has its place. An error leaves everything as it is, to be tried again.
    fn reopen(&mut self) -> Result<Stat, Errno> {
        let (file, writable) = open_file(&self.path, self.create)?.ok_or(Errno::NOENT)?;
        let stat = super::look_at(&file)?;
        if !super::is_safe(&stat, self.owner) {
            return Err(Errno::PERM);
        }
        (self.file, self.writable) = (file, writable);
        Ok(stat)
    }

    fn take(&self, line: &[u8], known: &mut Known) {
        if line.is_empty() {
            return;
        }
        let Some((uid, name)) = parse(line) else {
            return self.tell(self.lines, "not UID NAME EPOCH; passed over:", line);
        };
        match known.register(name, uid) {
            Ok(()) => {}
            Err(Some(_)) => self.tell(self.lines, "its uid has another name already:", name),
            Err(None) if known.is_full() => {
                self.tell(self.lines, "more than 65536 names; passed over:", name);
            }
            Err(None) => self.tell(self.lines, "has another uid already:", name),
        }
    }

    fn tell(&self, line: u64, what: &str, word: &[u8]) {
        if self.tells {
            tell_line(self.path(), line, "warning", what, word);
        }
    }

    /// Appends a pair, and reads back what the file says then: somebody else may have been first,
    /// so `known` has the last word.
    pub fn append(
        &mut self,
        name: &[u8],
        uid: u32,
        known: &mut Known,
        window: &mut [u8],
    ) -> Result<(), Errno> {
        let mut tries = 0;
        loop {
            self.refresh(known, window)?;
            if known.uid_of(name).is_some() || known.nth(uid, 0).is_some() {
                return Ok(());
            }
            if tries == TRIES {
                return Err(Errno::IO);
            }
            tries += 1;
            if known.is_full() {
                return Err(Errno::NOSPC);
            }
            let mut line = heapless::Vec::<u8, 128>::new();
            let (mut digits, mut time) = ([0; DECIMAL_MAX], [0; DECIMAL_MAX]);
            let start: &[u8] = if self.ends_with_newline()? { b"" } else { b"\n" };
            let uid_text = write_decimal(u64::from(uid), &mut digits);
            let seconds = write_decimal(clock::file_seconds(), &mut time);
            // All of it fits: 1 + 10 + 1 + 32 + 1 + 20 + 1.
            for text in [start, uid_text, b" ", name, b" ", seconds, b"\n"] {
                let _ = line.extend_from_slice(text);
            }
            // One call, so that lines of two writers do not mix. Part of it means a full disk; what
            // is torn then is passed over by all readers.
            if retry_on_intr(|| write(&self.file, &line))? < line.len() {
                return Err(Errno::NOSPC);
            }
            fsync(&self.file)?;
        }
    }

    fn ends_with_newline(&self) -> Result<bool, Errno> {
        #[allow(clippy::unnecessary_cast, reason = "it has another type on other targets")]
        let size = super::look_at(&self.file)?.st_size as u64;
        let mut last = [0];
        if size == 0 {
            return Ok(true);
        }
        let len = retry_on_intr(|| pread(&self.file, &mut last, size - 1))?;
        Ok(len == 0 || last == [b'\n'])
    }
}

/// Opens it to append, or if that is not allowed to read.
fn open_file(path: &CStr, create: bool) -> Result<Option<(OwnedFd, Writable)>, Errno> {
    let read = || open(path, OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty());
    let mut write = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW;
    write.set(OFlags::CREATE, create);
    match open(path, write, Mode::from_raw_mode(0o644)) {
        Ok(file) => Ok(Some((file, Writable::Yes))),
        Err(Errno::ROFS) => match read() {
            Ok(file) => Ok(Some((file, Writable::ReadOnly))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        },
        Err(Errno::NOENT) if !create => Ok(None),
        Err(refused) => Ok(Some((read().map_err(|_| refused)?, Writable::Refused(refused)))),
    }
}

fn parse(line: &[u8]) -> Option<(u32, &[u8])> {
    let mut words = line.split(|b| *b == b' ');
    let (uid, name, epoch) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !fits(name, Letters::Mixed) {
        return None;
    }
    decimal_u64(epoch)?;
    Some((decimal_u32(uid)?, name))
}
