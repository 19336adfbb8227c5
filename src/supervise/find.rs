//! Where services are, and which names lead to them.

use crate::sys::error::{Error, Exit};
use crate::sys::file::{join, open_path, path};
use crate::sys::stat::stat;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

/// Where services are if nobody says: the first of these that is there. Debian's runit, Void's,
/// upstream's and daemontools', s6's.
const PLACES: [&str; 4] = ["/etc/service", "/var/service", "/service", "/run/service"];

/// The services of a user, as vsv has it.
const OWN: &[u8] = b"runit/service";

/// A directory of services.
pub struct Directory {
    /// Its path.
    pub path: Vec<u8>,
    fd: Result<Rc<OwnedFd>, Errno>,
}

impl Directory {
    /// The directory at this path.
    pub fn at(path: &[u8]) -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = open_path(path, flags, Mode::empty());
        Directory { path: path.to_vec(), fd: fd.map(Rc::new) }
    }

    /// The one of the command line, else the user's own if that is asked for, else $SVDIR, else the
    /// usual one. Errors exit 100.
    pub fn choose(given: Option<&OsStr>, own: bool) -> Result<Self, Error> {
        if let Some(path) = given {
            return Ok(Directory::at(path.as_bytes()));
        }
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if own {
            let home = variable("HOME").ok_or_else(|| Error::usage("$HOME is not set"))?;
            return Ok(Directory::at(&join(home.as_bytes(), OWN)));
        }
        Ok(match variable("SVDIR") {
            Some(path) => Directory::at(path.as_bytes()),
            None => Directory::usual(),
        })
    }

    /// The usual one, whatever the environment says.
    pub fn usual() -> Self {
        let is_there = |place: &&&str| path(place.as_bytes()).is_ok_and(|p| stat(&p).is_ok());
        Directory::at(PLACES.iter().find(is_there).unwrap_or(&PLACES[0]).as_bytes())
    }

    /// Itself, open.
    pub fn fd(&self) -> Result<&Rc<OwnedFd>, Errno> {
        self.fd.as_ref().map_err(|errno| *errno)
    }

    /// The names of all that may be a service, sorted: what is no directory and no link is left out,
    /// and so is what has a dot in front. Errors exit 100.
    pub fn names(&self) -> Result<Vec<Vec<u8>>, Error> {
        let failed = |errno| {
            let error = Error::system("unable to list", errno);
            error.about(OsStr::from_bytes(&self.path)).with_exit(Exit::USAGE)
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(self.fd().map_err(failed)?).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            let kind = entry.file_type();
            let may_be =
                matches!(kind, FileType::Directory | FileType::Symlink | FileType::Unknown);
            if may_be && !name.starts_with(b".") {
                names.push(name.to_vec());
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// A service: its name as it was given, and where it is.
pub struct Service {
    /// As it is shown.
    pub name: Vec<u8>,
    base: Base,
    /// From the base; empty: that itself.
    path: Vec<u8>,
}

enum Base {
    /// The current directory; or the path is whole.
    Current,
    /// A directory of services with its path, or a service.
    Open(Rc<OwnedFd>, Vec<u8>),
    /// It could not be opened.
    Missing(Errno),
}

impl Service {
    /// By runit's rule: with `/` or `.` in front or `/` at the end it is a path, else it is in the
    /// directory.
    pub fn named(name: &[u8], directory: &Directory) -> Self {
        let is_path = name.is_empty()
            || name.starts_with(b"/")
            || name.starts_with(b".")
            || name.ends_with(b"/");
        if is_path { Service::at(name) } else { Service::within(name, directory) }
    }

    /// In the directory, whatever its name is.
    pub fn within(name: &[u8], directory: &Directory) -> Self {
        let base = match directory.fd() {
            Ok(fd) => Base::Open(fd.clone(), directory.path.clone()),
            Err(errno) => Base::Missing(errno),
        };
        Service { name: name.to_vec(), base, path: name.to_vec() }
    }

    /// At this path.
    pub fn at(name: &[u8]) -> Self {
        Service { name: name.to_vec(), base: Base::Current, path: name.to_vec() }
    }

    /// One that is open.
    pub fn opened(name: &[u8], directory: OwnedFd) -> Self {
        let path = format!("/proc/self/fd/{}", directory.as_raw_fd()).into_bytes();
        Service {
            name: name.to_vec(),
            base: Base::Open(Rc::new(directory), path),
            path: Vec::new(),
        }
    }

    fn base(&self) -> Result<BorrowedFd<'_>, Errno> {
        match &self.base {
            Base::Current if self.path.is_empty() => Err(Errno::NOENT),
            Base::Current => Ok(CWD),
            Base::Open(fd, _) => Ok(fd.as_fd()),
            Base::Missing(errno) => Err(*errno),
        }
    }

    /// Opens a file of it, and waits for nobody: neither for the other end of a FIFO, nor for a
    /// terminal. A link at its end is not followed.
    pub fn open(&self, name: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let waits_not = OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
        let (base, file) = (self.base()?, join(&self.path, name.as_bytes()));
        retry_on_intr(|| openat(base, &*file, flags | waits_not, mode))
    }

    /// The kind of a file of it; links are followed.
    pub fn kind(&self, name: &str) -> Result<FileType, Errno> {
        let file = join(&self.path, name.as_bytes());
        let stat = statat(self.base()?, &*file, AtFlags::empty())?;
        Ok(FileType::from_raw_mode(stat.st_mode))
    }

    /// Why one cannot change to its directory, if that is so.
    pub fn unreachable(&self) -> Option<Errno> {
        // With a dot, the directory has to be one, and it must be allowed to search it.
        self.kind(".").err()
    }

    /// Takes a file of it away.
    pub fn unlink(&self, name: &str) -> Result<(), Errno> {
        let file = join(&self.path, name.as_bytes());
        rustix::fs::unlinkat(self.base()?, &*file, AtFlags::empty())
    }

    /// The path by which a program is started in it.
    pub fn directory(&self) -> Vec<u8> {
        match &self.base {
            Base::Open(_, base) => join(base, &self.path),
            _ => self.path.clone(),
        }
    }

    /// Its log service.
    pub fn log(&self) -> Service {
        let base = match &self.base {
            Base::Current => Base::Current,
            Base::Open(fd, path) => Base::Open(fd.clone(), path.clone()),
            Base::Missing(errno) => Base::Missing(*errno),
        };
        Service { name: join(&self.name, b"log"), base, path: join(&self.path, b"log") }
    }
}
