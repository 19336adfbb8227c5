//! Whether files are still what they were: by inotify, by the mount table, by their stamps, and by what
//! is in them, since some writes are seen nowhere else.

use super::way::Way;
use crate::backend::stamp::Stamp;
use crate::sys::file::{base, open, path, pread_full};
use crate::sys::privilege::keep_secret;
use crate::sys::stat::{fstat, stat};
use nssproto::bytes::{Fnv1a, Reader};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, read, retry_on_intr};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A file that is watched.
struct Place {
    path: CString,
    /// The way to it, and the file.
    steps: heapless::Vec<Step, STEPS>,
    /// How it was; that of no file: it could not be looked at.
    stamp: Stamp,
}

/// Most names on the way to a file.
const STEPS: usize = 64;

/// What is watched of a file's way.
#[derive(Clone, Copy)]
struct Step {
    /// What inotify calls it.
    watch: i32,
    /// Hash of the name that matters in a directory; `None`: whatever happens there does.
    name: Option<u64>,
}

/// The files.
pub struct Watch {
    inotify: OwnedFd,
    mounts: Option<OwnedFd>,
    places: Vec<Place>,
    way: Box<Way>,
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
        Ok(Watch { inotify, mounts, places: Vec::new(), way: Box::default(), sum: Sum::START })
    }

    /// Adds a file, which need not be there.
    pub fn add(&mut self, file: &[u8]) -> Result<(), Errno> {
        let path = path(file)?;
        self.places.push(Place { path, steps: heapless::Vec::new(), stamp: Stamp::default() });
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
        for at in 0..self.places.len() {
            let Watch { inotify, places, way, .. } = self;
            let Some(place) = places.get_mut(at) else { continue };
            let old = std::mem::take(&mut place.steps);
            let armed = place.arm(inotify, way);
            for step in old {
                if !self.is_watch(step.watch) {
                    // It may be gone, with its file.
                    let _ = inotify::remove_watch(&self.inotify, step.watch);
                }
            }
            armed?;
        }
        self.places.iter_mut().for_each(|place| place.stamp = place.now());
        self.sum = Sum::START;
        Ok(())
    }

    fn is_watch(&self, watch: i32) -> bool {
        self.places.iter().any(|place| place.steps.iter().any(|step| step.watch == watch))
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
            let hash = hash(name);
            let concerns = |step: &Step| {
                let is_its = name.is_empty() || step.name.is_none_or(|own| own == hash);
                step.watch == watch.cast_signed() && is_its
            };
            let has_lost = what & OVERFLOW != 0;
            if has_lost || self.places.iter().any(|place| place.steps.iter().any(concerns)) {
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

/// What happens to a file or directory itself.
const ITSELF: WatchFlags =
    WatchFlags::ATTRIB.union(WatchFlags::DELETE_SELF).union(WatchFlags::MOVE_SELF);
/// In a directory, to its names.
const NAMES: WatchFlags = WatchFlags::MOVE.union(WatchFlags::CREATE).union(WatchFlags::DELETE);
/// To what is in a file.
const CONTENT: WatchFlags = WatchFlags::MODIFY.union(WatchFlags::CLOSE_WRITE);

fn hash(name: &[u8]) -> u64 {
    let mut hash = Fnv1a::START;
    hash.feed(name);
    hash.value()
}

impl Place {
    /// Watches the way to it, from its front to its end, and then itself.
    fn arm(&mut self, inotify: &OwnedFd, way: &mut Way) -> Result<(), Errno> {
        let Place { path, steps, .. } = self;
        let mut add = |path: &CStr, flags, name| {
            let watch = match inotify::add_watch(inotify, path, flags) {
                Ok(watch) => watch,
                // One that comes, or opens itself, is told of by what stands above it.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => return Ok(()),
                Err(errno) => return Err(errno),
            };
            steps.push(Step { watch, name }).map_err(|_| Errno::NAMETOOLONG)
        };
        way.walk(path.to_bytes(), &mut |dir, name| add(dir, ITSELF | NAMES, Some(hash(name))))?;
        add(path, ITSELF | NAMES | CONTENT, None)
    }

    fn now(&self) -> Stamp {
        stat(&self.path).map_or(Stamp::default(), |now| Stamp::of(&now))
    }

    /// To be read to its end.
    fn open(&self) -> Result<OwnedFd, Errno> {
        let file = open(&self.path, OFlags::RDONLY, Mode::empty())?;
        if base(self.path.to_bytes()) == b"shadow" {
            keep_secret();
        }
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(file),
            _ => Err(Errno::INVAL),
        }
    }
}
