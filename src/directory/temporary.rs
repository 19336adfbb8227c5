//! Temporary files beside their target. Whoever makes one holds a lock on it as long as he lives; what
//! nobody holds was left by somebody who was killed, and is removed by the next.

use super::folder::Folder;
use crate::sys::clock::file_time;
use crate::sys::error::Error;
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use rustix::fs::{FlockOperation, OFlags, flock, fstat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};

/// What their names begin with.
const FRONT: &[u8] = b".nsscache-";

/// What is written at a time.
const PIECE: usize = 64 * 1024;

/// A file that has not got its name yet, and that is removed if it does not get one.
pub struct Temporary<'a> {
    folder: &'a Folder,
    name: Vec<u8>,
    out: BufWriter<File>,
    /// Bytes written.
    len: u64,
}

impl<'a> Temporary<'a> {
    /// A new one, which only its owner can read.
    pub fn new(folder: &'a Folder) -> Result<Self, Error> {
        let made = create(folder);
        let (name, fd) = made.map_err(|e| folder.error("unable to make a file in", b"", e))?;
        let out = BufWriter::with_capacity(PIECE, fd.into());
        Ok(Temporary { folder, name, out, len: 0 })
    }

    /// One without a name, for what is read again by this process alone.
    pub fn nameless(folder: &Folder) -> Result<File, Error> {
        let made = create(folder).and_then(|(name, fd)| folder.remove(&name).map(|_| fd));
        made.map(File::from).map_err(|e| folder.error("unable to make a file in", b"", e))
    }

    /// Adds bytes.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.len += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|e| unwritten(self.folder, &e))
    }

    /// Bytes written so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts bytes in place of those at an offset.
    pub fn put_at(&mut self, bytes: &[u8], at: u64) -> Result<(), Error> {
        let done = self.out.flush().and_then(|()| self.out.get_ref().write_all_at(bytes, at));
        done.map_err(|e| unwritten(self.folder, &e))
    }

    /// The file, all that was put in it.
    pub fn file(&mut self) -> Result<&File, Error> {
        self.out.flush().map_err(|e| unwritten(self.folder, &e))?;
        Ok(self.out.get_ref())
    }

    /// Its path, for another program.
    pub fn path(&self) -> Vec<u8> {
        self.folder.path_of(&self.name)
    }

    /// Makes sure that its content is kept.
    pub fn sync(&mut self) -> Result<(), Error> {
        let folder = self.folder;
        let synced = rustix::fs::fsync(self.file()?);
        synced.map_err(|e| folder.error("unable to write in", b"", e))
    }

    /// Gives it its name, in place of what has it.
    pub fn rename(mut self, name: &[u8]) -> Result<(), Error> {
        let renamed = self.folder.rename(&self.name, name);
        renamed.map_err(|e| self.folder.error("unable to replace", name, e))?;
        self.name.clear();
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            // The next run does it otherwise.
            let _ = self.folder.remove(&self.name);
        }
    }
}

/// What could not be written in a folder.
pub fn unwritten(folder: &Folder, error: &io::Error) -> Error {
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    folder.error("unable to write in", b"", errno)
}

fn create(folder: &Folder) -> Result<(Vec<u8>, OwnedFd), Errno> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let number = file_time().cast_unsigned() ^ u64::from(std::process::id()) << 40;
        let number = number.wrapping_add(count.into());
        let name = [FRONT, write_decimal(number, &mut [0; DECIMAL_MAX])].concat();
        let fd = match folder.open_at(&name, flags) {
            Err(Errno::EXIST) => continue,
            fd => fd?,
        };
        // Before it was locked, somebody may have taken it for one that was left behind.
        match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if fstat(&fd)?.st_nlink == 1 => return Ok((name, fd)),
            Ok(()) | Err(Errno::WOULDBLOCK) => {}
            // A file system without locks.
            Err(_) => return Ok((name, fd)),
        }
    }
}

/// Removes what killed runs have left.
pub fn sweep(folder: &Folder) -> Result<(), Error> {
    let names = folder.names(FRONT).map_err(|e| folder.error("unable to list", b"", e))?;
    for name in names {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let Ok(fd) = folder.open_at(&name, flags) else { continue };
        if flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = folder.remove(&name);
        }
    }
    Ok(())
}
