//! The registry: `UID NAME EPOCH` lines, only ever appended to, by several processes without a
//! lock. Of two lines for one uid the first wins, and so the first uid of a name.

use super::names::{Letters, fits};
use super::pairs::Pairs;
use super::problem::{Level, tell_line};
use super::trust::{Fault, fault, is_safe};
use crate::backend::stamp::{Reading, Stamp};
use crate::backend::text::cut;
use crate::limits::IDLE_LOOKS;
use crate::sys::clock;
use crate::sys::errno;
use crate::sys::file::{fill, open, path as c_path};
use crate::sys::stat::{Stat, fstat, lstat};
use nix::sys::resource::{Resource, getrlimit};
use nssproto::bytes::{DECIMAL_MAX, decimal_u32, decimal_u64, write_decimal};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, fsync, tell};
use rustix::io::{Errno, pread, pwrite, retry_on_intr, write};
use rustix::process::{Gid, Uid, getegid, geteuid};
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

/// How often a line is appended again that another writer's torn one has spoilt.
const TRIES: u8 = 3;

/// Longest line.
const LINE: usize = 128;

/// Bytes that must be allowed behind what was read: our line, and those of others meanwhile.
const MARGIN: u64 = 64 * 1024;

/// Whether new pairs can be kept. The error is EROFS on a read-only file system, where it works
/// without; with another one a lookup that needs it fails.
pub type Writable = Result<(), Errno>;

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
    lines: u32,
    /// What was read last does not end with a newline.
    torn: bool,
    /// The size at which a torn last line was told.
    told_torn: u64,
    /// Bad lines are told.
    tells: bool,
    /// With which ids it was opened.
    opener: (Uid, Gid),
    /// Looks at whether it is used, since it was.
    idle: u8,
    /// It is closed, and was read so far as of then; `file` is another one, of no file system.
    closed: Option<Reading>,
}

impl Registry {
    /// Opens the file, and makes it if need be and `create`. `None`: there is none, and none can be
    /// made on a read-only file system.
    pub fn open(path: &[u8], create: bool) -> Result<Option<Self>, Errno> {
        let path = c_path(path)?;
        let Some((file, writable)) = open_file(&path, create)? else { return Ok(None) };
        Ok(Some(Registry {
            file,
            path,
            create,
            owner: geteuid().as_raw(),
            writable,
            read_to: 0,
            lines: 0,
            torn: false,
            told_torn: 0,
            tells: true,
            opener: (geteuid(), getegid()),
            idle: 0,
            closed: None,
        }))
    }

    /// Why it cannot be believed.
    pub(super) fn fault(&self) -> Result<Option<Fault>, Errno> {
        Ok(fault(&fstat(&self.file)?, self.owner))
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
    pub fn refresh(&mut self, known: &mut Pairs, window: &mut [u8]) -> Result<(), Errno> {
        self.idle = 0;
        let closed = self.closed;
        let mut stat = if closed.is_some() { self.reopen()? } else { fstat(&self.file)? };
        let mut replaced = closed.is_some_and(|was| !was.holds(&Stamp::of(&stat)));
        if closed.is_none() && self.is_replaced(&stat) {
            replaced = true;
            stat = self.reopen()?;
        }
        #[allow(clippy::unnecessary_cast, reason = "it has another type on other targets")]
        let size = stat.st_size as u64;
        if replaced || size < self.read_to {
            // Or somebody cut it. What is gone is believed no longer.
            known.clear();
            (self.read_to, self.lines, self.torn) = (0, 0, false);
        }
        while self.read_to < size {
            let len = retry_on_intr(|| pread(&self.file, &mut *window, self.read_to))?;
            let mut rest = window.get(..len).unwrap_or_default();
            self.torn = true;
            while let (line, Some(behind)) = cut(rest, b'\n') {
                (rest, self.torn) = (behind, false);
                self.lines += 1;
                self.take(line, known);
            }
            if !self.torn {
                self.read_to += (len - rest.len()) as u64;
            } else if len == window.len() {
                // A line without end: no writer of ours makes one.
                self.read_to += len as u64;
            } else {
                if self.told_torn != size && len > 0 {
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
        match lstat(&self.path) {
            Ok(there) => (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino),
            Err(Errno::NOENT) => true,
            // Who has dropped his privileges may not look there.
            Err(_) => ours.st_nlink == 0,
        }
    }

    /// Opens the file that has its place. An error leaves everything as it is, to be tried again.
    fn reopen(&mut self) -> Result<Stat, Errno> {
        let (file, writable) = open_file(&self.path, self.create)?.ok_or(Errno::NOENT)?;
        let stat = fstat(&file)?;
        if !is_safe(&stat, self.owner) {
            return Err(Errno::PERM);
        }
        (self.file, self.writable, self.closed) = (file, writable, None);
        Ok(stat)
    }

    /// Closes the file if it has not been used for a while and can be opened again: by a process that
    /// still is who it was. Whether one is open that will be closed.
    pub fn close_idle(&mut self) -> bool {
        if self.closed.is_some() || self.opener != (geteuid(), getegid()) {
            return false;
        }
        self.idle += 1;
        if self.idle > IDLE_LOOKS {
            let clock = clock::file_time();
            if let (Ok(stamp), Ok(none)) =
                (Stamp::of_open(&self.file), eventfd(0, EventfdFlags::CLOEXEC))
            {
                (self.file, self.closed) = (none, Some(Reading::new(stamp, clock)));
            }
            self.idle = 0;
        }
        self.closed.is_none()
    }

    fn take(&self, line: &[u8], known: &mut Pairs) {
        if line.is_empty() {
            return;
        }
        let (what, word) = match parse(line) {
            Some((uid, name)) => (known.register(name, uid), name),
            None => (Err("not UID NAME EPOCH; passed over:"), line),
        };
        if let Err(what) = what {
            self.tell(self.lines, what, word);
        }
    }

    fn tell(&self, line: u32, what: &str, word: &[u8]) {
        if self.tells {
            tell_line(self.path(), line, Level::Warning, what, word);
        }
    }

    /// Appends a pair, and reads back what the file says then: somebody else may have been first,
    /// so `known` has the last word.
    pub fn append(
        &mut self,
        name: &[u8],
        uid: u32,
        known: &mut Pairs,
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
            let mut line = heapless::Vec::<u8, LINE>::new();
            let (mut digits, mut time) = ([0; DECIMAL_MAX], [0; DECIMAL_MAX]);
            let start: &[u8] = if self.torn { b"\n" } else { b"" };
            let uid_text = write_decimal(u64::from(uid), &mut digits);
            let seconds = write_decimal(clock::file_seconds(), &mut time);
            // All of it fits: 1 + 10 + 1 + 32 + 1 + 20 + 1.
            fill(&mut line, &[start, uid_text, b" ", name, b" ", seconds, b"\n"])?;
            self.is_allowed()?;
            // One call, so that lines of two writers do not mix.
            let len = retry_on_intr(|| write(&self.file, &line))?;
            if len < line.len() {
                self.blank(len);
                return Err(Errno::NOSPC);
            }
            fsync(&self.file)?;
        }
    }
}

impl Registry {
    /// Whether the file may become longer. A process that has become its client has the limits that
    /// he sets, and its line would be cut.
    fn is_allowed(&self) -> Result<(), Errno> {
        let (most, _) = getrlimit(Resource::RLIMIT_FSIZE).map_err(errno::of)?;
        if most < self.read_to + MARGIN { Err(Errno::FBIG) } else { Ok(()) }
    }

    /// Makes empty lines of the last `len` bytes that were appended by us: the disk is full, or our
    /// client has set a limit meanwhile. Others may have appended behind them, so they are not cut
    /// off.
    fn blank(&self, len: usize) {
        let empty = [b'\n'; LINE];
        let (Ok(end), Ok(flags)) = (tell(&self.file), fcntl_getfl(&self.file)) else { return };
        // With O_APPEND an offset counts for nothing.
        let _ = fcntl_setfl(&self.file, flags - OFlags::APPEND);
        let at = end.saturating_sub(len as u64);
        let _ = pwrite(&self.file, empty.get(..len).unwrap_or_default(), at);
        let _ = fcntl_setfl(&self.file, flags);
    }
}

/// Opens it to append, or if that is not allowed to read.
fn open_file(path: &CStr, create: bool) -> Result<Option<(OwnedFd, Writable)>, Errno> {
    let mut flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW;
    flags.set(OFlags::CREATE, create);
    let refused = match open(path, flags, Mode::from_raw_mode(0o644)) {
        Ok(file) => return Ok(Some((file, Ok(())))),
        Err(Errno::NOENT) if !create => return Ok(None),
        Err(refused) => refused,
    };
    match open(path, OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(file) => Ok(Some((file, Err(refused)))),
        Err(Errno::NOENT) if refused == Errno::ROFS => Ok(None),
        Err(errno) => Err(if refused == Errno::ROFS { errno } else { refused }),
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
