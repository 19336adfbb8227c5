//! Paths that are followed only as far as nobody can have to wait: into no file system that can
//! block, whenever it was mounted.
//!
//! One call does where no mount is crossed (openat2, Linux 5.6). Else, and without that call, the
//! path is walked name by name, and what was mounted on one is looked up in /proc/self/mountinfo.
//! To open a mounted directory as a path asks its file system nothing, to look at it may.

use super::kinds;
use crate::sys::file::{LINKS, PathRoom, c_str, fill, open, pread_full};
use crate::sys::stat::{Stat, fstat};
use crate::sys::untouched;
use nssproto::bytes::{DECIMAL_MAX, decimal_u32, write_decimal};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat_raw};
use rustix::io::{Errno, retry_on_intr};
use rustix::time::Timespec;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Where the kernel tells which mount a descriptor is on.
pub const INFO: &str = "/proc/self/fdinfo";

/// What is read of the mount table at a time; no line is longer.
const TABLE: usize = 16 * 1024;

/// Opened to be looked at, and to go on from.
const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Whether a link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastLink {
    /// It is.
    Followed,
    /// It is what was asked for.
    Kept,
}

impl LastLink {
    /// As a flag of open(2).
    pub fn flags(self) -> OFlags {
        if self == LastLink::Kept { OFlags::NOFOLLOW } else { OFlags::empty() }
    }
}

/// What is known of mounts, and room to walk a path.
pub struct Near {
    mounts: Mounts,
    /// What is still to be walked.
    rest: Box<PathRoom>,
    /// Where a link leads, and then what is to be walked behind it.
    target: Box<PathRoom>,
}

impl Near {
    /// Opens the mount table.
    pub fn new() -> Self {
        Near { mounts: Mounts::new(), rest: Box::default(), target: Box::default() }
    }

    /// The mounts.
    pub fn mounts(&mut self) -> &mut Mounts {
        &mut self.mounts
    }

    /// Opens what `path` leads to as a path. EXDEV: it leads into a file system that can block.
    pub fn open(&mut self, path: &CStr, last: LastLink) -> Result<OwnedFd, Errno> {
        match beneath(CWD, path, LOOK | last.flags()) {
            Err(Errno::XDEV) => self.walk(path, last),
            other => other,
        }
    }

    /// What stat(2) says of it, or lstat(2).
    pub fn stat(&mut self, path: &CStr, last: LastLink) -> Result<Stat, Errno> {
        fstat(&self.open(path, last)?)
    }

    /// Opens a name in a directory, with these flags.
    pub fn open_in(&mut self, dir: &OwnedFd, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        match beneath(dir, name, flags | OFlags::CLOEXEC) {
            Err(Errno::XDEV) => {
                self.mounts.step(dir, name)?;
                retry_on_intr(|| openat(dir, name, flags | OFlags::CLOEXEC, Mode::empty()))
            }
            other => other,
        }
    }

    fn walk(&mut self, path: &CStr, last: LastLink) -> Result<OwnedFd, Errno> {
        let Near { mounts, rest, target } = self;
        fill(&mut **rest, &[path.to_bytes_with_nul()])?;
        let (mut dir, mut links) = (start(rest)?, 0);
        loop {
            let slashes = rest.iter().take_while(|b| **b == b'/').count();
            rest.drain(..slashes);
            let all = c_str(rest)?;
            if all.is_empty() {
                return Ok(dir);
            }
            match beneath(&dir, all, LOOK | last.flags()) {
                Err(Errno::XDEV) => {}
                other => return other,
            }
            let end = rest.iter().position(|b| matches!(b, b'/' | 0)).unwrap_or_default();
            let is_last = rest.get(end) == Some(&0);
            if let Some(end) = rest.get_mut(end) {
                *end = 0;
            }
            let found = mounts.step(&dir, c_str(rest)?)?;
            rest.drain(..if is_last { end } else { end + 1 });
            if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::Symlink {
                dir = found;
                continue;
            }
            if is_last && last == LastLink::Kept {
                return Ok(found);
            }
            links += 1;
            if links > LINKS {
                return Err(Errno::LOOP);
            }
            target.clear();
            // Filled with zeros, so that there is a place to read into: it has room for so many.
            let _ = target.resize_default(target.capacity());
            let len = readlinkat_raw(&found, c"", target.as_mut_slice())?;
            target.truncate(len);
            for part in [b"/", rest.as_slice()] {
                target.extend_from_slice(part).map_err(|_| Errno::NAMETOOLONG)?;
            }
            std::mem::swap(rest, target);
            if rest.starts_with(b"/") {
                dir = start(rest)?;
            }
        }
    }
}

/// The mount table of this process.
pub struct Mounts {
    /// `None`: there is no /proc, and each mount counts as one that can block.
    table: Option<OwnedFd>,
    /// Mounts that cannot, as long as the table does not change.
    good: heapless::Vec<u32, 8>,
    /// What was met last that can.
    met: &'static str,
    text: &'static mut [u8],
}

impl Mounts {
    fn new() -> Self {
        let table = open(c"/proc/self/mountinfo", OFlags::RDONLY, Mode::empty()).ok();
        let good = heapless::Vec::new();
        Mounts { table, good, met: kinds::UNKNOWN, text: untouched(TABLE) }
    }

    /// The kind of file system that the last EXDEV was about.
    pub fn met(&self) -> &'static str {
        self.met
    }

    /// Opens one name in a directory. EXDEV: something is mounted there that can block.
    fn step(&mut self, dir: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
        match beneath(dir, name, LOOK | OFlags::NOFOLLOW) {
            Err(Errno::XDEV) => {}
            other => return other,
        }
        let flags = LOOK | OFlags::NOFOLLOW;
        let found = retry_on_intr(|| openat(dir, name, flags, Mode::empty()))?;
        if self.is_good(&found)? { Ok(found) } else { Err(Errno::XDEV) }
    }

    /// Whether what is open is on a file system that cannot block.
    pub fn is_good(&mut self, file: &OwnedFd) -> Result<bool, Errno> {
        let Some(table) = &self.table else {
            self.met = kinds::UNKNOWN;
            return Ok(false);
        };
        // A mount table that has changed may have given a number to another mount.
        let mut changed = [PollFd::new(table, PollFlags::PRI)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if retry_on_intr(|| poll(&mut changed, Some(&now))) != Ok(0) {
            self.good.clear();
        }
        let number = mount_of(file)?;
        if self.good.contains(&number) {
            return Ok(true);
        }
        let mut kind = Some(kinds::UNKNOWN);
        self.each_mount(&mut |mount| {
            if mount.number == number {
                kind = kinds::kind_of(mount.kind);
            }
        })?;
        if let Some(kind) = kind {
            self.met = kind;
            return Ok(false);
        }
        if self.good.is_full() {
            self.good.clear();
        }
        let _ = self.good.push(number);
        Ok(true)
    }

    /// Goes through all mounts.
    pub fn each_mount(&mut self, each: &mut dyn FnMut(Mount<'_>)) -> Result<(), Errno> {
        let Some(table) = &self.table else { return Ok(()) };
        let mut at = 0;
        loop {
            let len = pread_full(table, self.text, at)?;
            let text = self.text.get(..len).unwrap_or_default();
            let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |lf| lf + 1);
            let lines = text.get(..whole).unwrap_or_default();
            lines.split(|b| *b == b'\n').filter_map(Mount::parse).for_each(&mut *each);
            if whole == 0 {
                return Ok(());
            }
            at += whole as u64;
        }
    }
}

/// A line of the mount table.
pub struct Mount<'a> {
    number: u32,
    /// Where it is.
    pub place: &'a [u8],
    /// The kind of file system.
    pub kind: &'a [u8],
}

impl<'a> Mount<'a> {
    /// `36 35 98:0 /root /place options… - kind source options`
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut words = line.split(|b| *b == b' ');
        let number = decimal_u32(words.next()?)?;
        let place = words.nth(3)?;
        words.find(|word| *word == b"-")?;
        Some(Mount { number, place, kind: words.next()? })
    }
}

/// Where a path begins.
fn start(path: &[u8]) -> Result<OwnedFd, Errno> {
    let dir = if path.starts_with(b"/") { c"/" } else { c"." };
    open(dir, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
}

/// Opens what is on the file system of `dir`. EXDEV: it is on another one, or that cannot be told.
fn beneath(dir: impl AsFd, path: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let open = || openat2(&dir, path, flags, Mode::empty(), ResolveFlags::NO_XDEV);
    match retry_on_intr(open) {
        // Before Linux 5.6, or a container's filter that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => Err(Errno::XDEV),
        other => other,
    }
}

/// The number of the mount that what is open is on: of that, its file system need not be asked.
fn mount_of(file: &OwnedFd) -> Result<u32, Errno> {
    let mut path = heapless::Vec::<u8, 64>::new();
    let mut digits = [0; DECIMAL_MAX];
    let number = write_decimal(u64::from(file.as_raw_fd().unsigned_abs()), &mut digits);
    fill(&mut path, &[INFO.as_bytes(), b"/", number, b"\0"])?;
    let info = open(c_str(&path)?, OFlags::RDONLY, Mode::empty())?;
    let mut text = [0; 256];
    let len = pread_full(&info, &mut text, 0)?;
    let mut lines = text.get(..len).unwrap_or_default().split(|b| *b == b'\n');
    let number = lines.find_map(|line| line.strip_prefix(b"mnt_id:\t"));
    number.and_then(decimal_u32).ok_or(Errno::NODATA)
}
