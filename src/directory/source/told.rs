//! Changes in a folder, told by inotify.

use super::super::failure::os;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes for events that wait: some tens of them.
const ROOM: usize = 4096;

/// What tells of the files of a folder.
pub struct Told(OwnedFd);

/// What was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing.
    None,
    /// Somebody is done with writing it, or has put it in its place.
    Some,
    /// The folder is at its path no more.
    Lost,
}

impl Told {
    /// Of this folder, from now on.
    pub fn of(dir: &[u8]) -> Result<Told, Errno> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let files = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO;
        let folder = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR;
        inotify::add_watch(&inotify, os(dir), files | folder)?;
        Ok(Told(inotify))
    }

    /// Readable when there is something.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Takes all that was told of the file with this name, or of any.
    pub fn take(&self, name: Option<&[u8]>) -> News {
        let mut room = [MaybeUninit::uninit(); ROOM];
        let mut events = Reader::new(&self.0, &mut room);
        let lost =
            ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::IGNORED | ReadFlags::UNMOUNT;
        let mut news = News::None;
        loop {
            match events.next() {
                Ok(event) if event.events().intersects(lost) => news = News::Lost,
                Ok(event) if news == News::None => {
                    let of_it = name.is_none_or(|name| {
                        event.file_name().is_some_and(|found| found.to_bytes() == name)
                    });
                    // So many that nobody counts them.
                    let many = event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                    if of_it || many {
                        news = News::Some;
                    }
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return news,
                Err(_) => return News::Lost,
            }
        }
    }
}
