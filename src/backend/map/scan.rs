//! Which names there are, found by reading the directories of homes or of key files: the way
//! from uid to name, and to collisions, where there is no registry.
//!
//! A scan goes on where it stopped, whichever client asks next.

use super::config::{Config, Section};
use super::evidence::{Look, failed};
use super::near::LastLink;
use super::template::Pattern;
use crate::backend::stamp::{Reading, Stamp};
use crate::backend::{Outcome, spend};
use crate::limits::IDLE_LOOKS;
use crate::sys::clock;
use crate::sys::file::path as c_path;
use rustix::fs::{FileType, OFlags, RawDir};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

/// Bytes of directory entries that are read at a time: about a thousand names.
const BLOCK: usize = 32 * 1024;

/// What a byte of directory entries costs of the budget, in bytes of files: names are looked at
/// one by one.
const COST: usize = 8;

/// One directory.
struct Dir {
    section: &'static Section<'static>,
    path: CString,
    /// What an entry has around the name.
    entry: Pattern<'static>,
    /// What it must be; `None` where more of the path follows it.
    kind: Option<FileType>,
    /// How it was when it was read; `None`: it was not there.
    reading: Option<Reading>,
}

/// All directories of a configuration.
pub struct Scan {
    dirs: Vec<Dir>,
    /// The one that is being read, or the number of them.
    at: usize,
    open: Option<OwnedFd>,
    /// Looks at whether that is used, since it was.
    idle: u8,
    ran: bool,
    block: Box<[MaybeUninit<u8>]>,
}

/// The directory of a pattern's place, and what stands before the name in an entry of it; `None`
/// if there is no place.
pub fn directory<'a>(pattern: &Pattern<'a>) -> Option<(&'a [u8], &'a [u8])> {
    pattern.after?;
    let (dir, front) = if pattern.slash {
        (pattern.before, &b""[..])
    } else {
        let slash = pattern.before.iter().rposition(|b| *b == b'/')?;
        (pattern.before.get(..slash)?, pattern.before.get(slash + 1..)?)
    };
    Some((if dir.is_empty() { b"/" } else { dir }, front))
}

impl Scan {
    /// The directories of the sections that derive a uid and require something. Nothing is
    /// opened yet.
    pub fn new(config: &'static Config<'static>) -> Self {
        let mut dirs = Vec::new();
        for section in &config.sections {
            if !section.derives() {
                continue;
            }
            let (pattern, kind) = match section.require.files.first() {
                _ if section.require.home => (&section.template.home, FileType::Directory),
                Some(file) => (file, FileType::RegularFile),
                None => continue,
            };
            let Some((path, before)) = directory(pattern) else { continue };
            let Ok(path) = c_path(path) else { continue };
            let after = pattern.after.unwrap_or_default();
            let slash = after.iter().position(|b| *b == b'/');
            let kind = if slash.is_none() { Some(kind) } else { None };
            let after = after.get(..slash.unwrap_or(after.len()));
            let entry = Pattern { before, slash: false, after };
            dirs.push(Dir { section, path, entry, kind, reading: None });
        }
        let (at, block) = (dirs.len(), Box::new_uninit_slice(BLOCK));
        Scan { at, dirs, open: None, idle: 0, ran: false, block }
    }

    /// All of them.
    pub fn directories(&self) -> impl Iterator<Item = &CStr> {
        self.dirs.iter().map(|dir| &*dir.path)
    }

    /// Whether one is under way.
    pub fn is_running(&self) -> bool {
        self.at < self.dirs.len()
    }

    /// Whether what was found still holds: one stat for each directory.
    pub fn is_current(&self, look: &mut Look) -> bool {
        let same = |dir: &Dir| match (look.stat(&dir.path), &dir.reading) {
            (Ok(stat), Some(reading)) => reading.holds(&Stamp::of(&stat)),
            (Err(Errno::NOENT | Errno::NOTDIR), None) => true,
            _ => false,
        };
        self.ran && self.dirs.iter().all(same)
    }

    /// Gives it up if nobody went on with it for a while; whether a directory is open.
    pub fn close_idle(&mut self) -> bool {
        self.idle += u8::from(self.open.is_some());
        if self.idle > IDLE_LOOKS {
            (self.open, self.idle, self.ran) = (None, 0, false);
            self.at = self.dirs.len();
        }
        self.open.is_some()
    }

    /// Begins anew.
    pub fn start(&mut self) {
        self.at = 0;
        self.open = None;
    }

    /// Goes on as far as the budget goes, with each name that was found. The error is that it is used up, or a
    /// directory that cannot be read.
    pub fn go_on(
        &mut self,
        look: &mut Look,
        budget: &mut u64,
        each: impl FnMut(&'static Section<'static>, &[u8]),
    ) -> Result<(), Outcome> {
        self.idle = 0;
        let done = self.read(look, budget, each);
        if done != Err(Outcome::Pending) {
            self.at = self.dirs.len();
            self.ran = done.is_ok();
        }
        done
    }

    fn read(
        &mut self,
        look: &mut Look,
        budget: &mut u64,
        mut each: impl FnMut(&'static Section<'static>, &[u8]),
    ) -> Result<(), Outcome> {
        while let Some(dir) = self.dirs.get_mut(self.at) {
            if *budget == 0 {
                return Err(Outcome::Pending);
            }
            let opened = match self.open.take() {
                None => begin(dir, look).map_err(failed)?,
                open => open,
            };
            let Some(fd) = opened else {
                self.at += 1;
                continue;
            };
            let mut entries = RawDir::new(&fd, &mut self.block);
            // At most the block and a bit.
            let mut read = 0;
            while let Some(entry) = entries.next() {
                let entry = entry.map_err(Outcome::failed)?;
                let name = entry.file_name().to_bytes();
                read += name.len() + 24;
                let is = entry.file_type();
                // Some file systems do not tell; then the name's own evidence does, when asked.
                let fits = dir.kind.is_none_or(|k| k == is || is == FileType::Unknown);
                if let Some(name) = dir.entry.name_in(name).filter(|_| fits) {
                    each(dir.section, name);
                }
                if entries.is_buffer_empty() {
                    break;
                }
            }
            spend(budget, read * COST);
            if read == 0 {
                self.at += 1;
            } else {
                self.open = Some(fd);
            }
        }
        Ok(())
    }
}

/// Opens a directory and takes note of how it looks; `None` if it is not there.
fn begin(dir: &mut Dir, look: &mut Look) -> Result<Option<OwnedFd>, Errno> {
    let now = clock::file_time();
    let found = look.directory(&dir.path, LastLink::Followed);
    let fd = match found.and_then(|found| look.open_in(&found, c".", OFlags::DIRECTORY)) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR) => {
            dir.reading = None;
            return Ok(None);
        }
        Err(errno) => return Err(errno),
    };
    let stamp = Stamp::of_open(&fd)?;
    dir.reading = Some(Reading::new(stamp, now));
    Ok(Some(fd))
}
