//! The directory that the files stand in, which is opened once: what becomes of its path later is no
//! matter.

use crate::sys::error::Error;
use crate::sys::file::{join, path};
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, openat, renameat, statat,
    unlinkat,
};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// An open directory.
pub struct Folder {
    fd: OwnedFd,
    path: Vec<u8>,
}

/// What tells that a file is still the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    device: u64,
    inode: u64,
    /// Its bytes.
    pub size: u64,
    /// Its last change: seconds since the epoch, and nanoseconds.
    pub mtime: (i64, u32),
}

impl Version {
    /// That of what is open.
    pub fn of(file: impl AsFd) -> Result<Self, Errno> {
        fstat(file).map(|stat| Version::from(&stat))
    }
}

impl From<&Stat> for Version {
    #[allow(clippy::unnecessary_cast, reason = "the fields have other types on other targets")]
    fn from(stat: &Stat) -> Self {
        Version {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: stat.st_size as u64,
            mtime: (stat.st_mtime as i64, stat.st_mtime_nsec as u32),
        }
    }
}

impl Folder {
    /// Opens it; a link to one is one.
    pub fn open(dir: &[u8]) -> Result<Self, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = path(dir)
            .and_then(|dir| retry_on_intr(|| openat(rustix::fs::CWD, &dir, flags, Mode::empty())));
        let wrong = |errno| Error::system("unable to open directory", errno);
        let fd = opened.map_err(|errno| wrong(errno).about(OsStr::from_bytes(dir)))?;
        Ok(Folder { fd, path: dir.to_vec() })
    }

    /// The path of a file in it, for people.
    pub fn path_of(&self, name: &[u8]) -> Vec<u8> {
        join(&self.path, name)
    }

    /// The path by which it was opened.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// An error about a file in it.
    pub fn error(&self, what: &'static str, name: &[u8], errno: Errno) -> Error {
        Error::system(what, errno).about(OsStr::from_bytes(&self.path_of(name)))
    }

    /// Opens a file of data to read it: none that has no end, or waits for somebody.
    pub fn open_data(&self, name: &[u8]) -> Result<File, Errno> {
        let file = self.open_at(name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(file.into()),
            FileType::Directory => Err(Errno::ISDIR),
            _ => Err(Errno::INVAL),
        }
    }

    /// Opens a file.
    pub fn open_at(&self, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let (name, mode) = (path(name)?, Mode::RUSR | Mode::WUSR);
        retry_on_intr(|| openat(&self.fd, &name, flags | OFlags::CLOEXEC, mode))
    }

    /// What is at a name, links followed; `None`: nothing.
    pub fn stat(&self, name: &[u8]) -> Result<Option<Stat>, Errno> {
        match statat(&self.fd, &path(name)?, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Removes a file, if it is there; whether it was.
    pub fn remove(&self, name: &[u8]) -> Result<bool, Errno> {
        match unlinkat(&self.fd, &path(name)?, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Gives a file another name, in place of what has it.
    pub fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        renameat(&self.fd, &path(from)?, &self.fd, &path(to)?)
    }

    /// Makes sure that names are kept, in the order in which they were made. Some file systems cannot.
    pub fn sync(&self) -> Result<(), Errno> {
        match rustix::fs::fsync(&self.fd) {
            Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
            other => other,
        }
    }

    /// Takes its lock, which ends with the process, or does not wait for it: false.
    pub fn lock(&self) -> Result<bool, Errno> {
        match flock(&self.fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// The names in it that begin so.
    pub fn names(&self, front: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name.starts_with(front) {
                names.push(name);
            }
        }
        Ok(names)
    }
}
