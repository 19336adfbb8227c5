//! Whether files are still what they were: by inotify, by the mount table, by their stamps, and by what
//! is in them, since some writes are seen nowhere else.

use crate::backend::stamp::Stamp;
use crate::sys::file::{directory, open, path, pread_full};
use crate::sys::privilege::keep_secret;
use crate::sys::stat::{fstat, stat};
use nssproto::bytes::{Fnv1a, Reader};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, read, retry_on_intr};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A file that is watched.
struct Place {
    /// The file, and where it stands.
    paths: [CString; 2],
    /// What inotify calls the two.
    watches: [i32; 2],
    /// How it was; that of no file: it could not be looked at.
    stamp: Stamp,
}

/// No watch.
const NONE: i32 = -1;

/// The files.
pub struct Watch {
    inotify: OwnedFd,
    mounts: Option<OwnedFd>,
    places: Vec<Place>,
    sum: Sum,
}

/// How far the sum over all that is in the files has come.
struct Sum {
    place: usize,
    file: Option<OwnedFd>,
    at: u64,
    hash: Fnv1a,
}

impl Sum {
    const START: Sum = Sum { place: 0, file: None, at: 0, hash: Fnv1a::START };
}

/// Bytes of files that are added up in a turn.
const PIECE: usize = 64 * 1024;

impl Watch {
    /// Of nothing yet.
    pub fn new() -> Result<Self, Errno> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // Without it, what is mounted over a file is seen by its stamp, once a second.
        let mounts = open(c"/proc/self/mountinfo", OFlags::RDONLY, Mode::empty()).ok();
        Ok(Watch { inotify, mounts, places: Vec::new(), sum: Sum::START })
    }

    /// Adds a file, which need not be there.
    pub fn add(&mut self, file: &[u8]) -> Result<(), Errno> {
        let front = directory(file);
        let front = if front.is_empty() { b"." } else { front };
        let paths = [path(file)?, path(front)?];
        self.places.push(Place { paths, watches: [NONE; 2], stamp: Stamp::default() });
        Ok(())
    }

    /// What tells of events.
    pub fn inotify(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// What tells of mounts: with an urgent condition.
    pub fn mounts(&self) -> Option<BorrowedFd<'_>> {
        self.mounts.as_ref().map(AsFd::as_fd)
    }

    /// From now on each change of what is there now is noticed.
    pub fn arm(&mut self) -> Result<(), Errno> {
        let flags = WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        for at in 0..self.places.len() {
            for which in 0..2 {
                let Some(place) = self.places.get_mut(at) else { continue };
                let Place { paths, watches, .. } = place;
                let (Some(path), Some(watch)) = (paths.get(which), watches.get_mut(which)) else {
                    continue;
                };
                let new = match inotify::add_watch(&self.inotify, &**path, flags) {
                    Ok(new) => new,
                    // One that comes, or opens itself, is told of by what stands above it.
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => NONE,
                    Err(errno) => return Err(errno),
                };
                let old = std::mem::replace(watch, new);
                if old != new && !self.is_watch(old) {
                    // It may be gone, with its file.
                    let _ = inotify::remove_watch(&self.inotify, old);
                }
            }
        }
        self.places.iter_mut().for_each(|place| place.stamp = place.now());
        self.sum = Sum::START;
        Ok(())
    }

    fn is_watch(&self, watch: i32) -> bool {
        self.places.iter().any(|place| place.watches.contains(&watch))
    }

    /// Whether a file is another one by its stamp than when it was armed.
    pub fn differs(&self) -> bool {
        self.places.iter().any(|place| place.stamp != place.now())
    }

    /// Whether inotify has told of something that concerns a file, since it was asked last. `None`: it
    /// has told of something else, and may have more to tell: somebody may write to another file of the
    /// directory without end.
    pub fn has_heard(&mut self) -> Option<bool> {
        let mut room = [0; 4096];
        match retry_on_intr(|| read(&self.inotify, &mut room)) {
            Ok(len @ 1..) if self.concerns(room.get(..len).unwrap_or_default()) => Some(true),
            Ok(1..) => None,
            Err(Errno::AGAIN) => Some(false),
            _ => Some(true),
        }
    }

    fn concerns(&self, events: &[u8]) -> bool {
        let mut events = Reader::new(events);
        // Number of the watch, what, another number, bytes of the name with NULs behind it.
        while let (Ok(watch), Ok(what), Ok(_), Ok(len)) =
            (events.u32_ne(), events.u32_ne(), events.u32_ne(), events.u32_ne())
        {
            let Ok(name) = events.take(len as usize) else { return true };
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            let has_lost = what & OVERFLOW != 0;
            let is_its = |place: &Place| name.is_empty() || place.name() == name;
            let knows = |place: &Place| place.watches.contains(&watch.cast_signed());
            if has_lost || self.places.iter().any(|place| knows(place) && is_its(place)) {
                return true;
            }
        }
        false
    }

    /// Goes on with a sum over what is in all files. `None`: there is more.
    pub fn sum(&mut self) -> Option<u64> {
        let mut room = [0; 4096];
        for _ in 0..PIECE / room.len() {
            let Some(place) = self.places.get(self.sum.place) else {
                let Sum { hash, .. } = std::mem::replace(&mut self.sum, Sum::START);
                return Some(hash.value());
            };
            let sum = &mut self.sum;
            let len = match &sum.file {
                None => place.open().map(|file| {
                    sum.file = Some(file);
                    room.len()
                }),
                Some(file) => {
                    let len = pread_full(file, &mut room, sum.at);
                    sum.hash.feed(room.get(..len.unwrap_or(0)).unwrap_or_default());
                    sum.at += room.len() as u64;
                    len
                }
            };
            if len != Ok(room.len()) {
                // Where one ends, and what was wrong, counts, too.
                let end = len.map_or_else(|errno| !errno.raw_os_error(), |len| len as i32);
                sum.hash.feed(&end.to_ne_bytes());
                (sum.file, sum.at, sum.place) = (None, 0, sum.place + 1);
            }
        }
        None
    }
}

/// IN_Q_OVERFLOW.
const OVERFLOW: u32 = 0x4000;

impl Place {
    fn now(&self) -> Stamp {
        let [path, _] = &self.paths;
        stat(path).map_or(Stamp::default(), |now| Stamp::of(&now))
    }

    fn name(&self) -> &[u8] {
        let [path, _] = &self.paths;
        path.to_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// To be read to its end.
    fn open(&self) -> Result<OwnedFd, Errno> {
        let [path, _] = &self.paths;
        let file = open(path, OFlags::RDONLY, Mode::empty())?;
        if self.name() == b"shadow" {
            keep_secret();
        }
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(file),
            _ => Err(Errno::INVAL),
        }
    }
}
