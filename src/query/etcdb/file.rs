//! A file, whole.

use crate::limits::DATABASE;
use crate::sys::error::{Error, Exit};
use crate::sys::file::{open_path, read_all};
use crate::sys::stat::fstat;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

/// All of a file; one that is missing is empty. A pipe is refused, as it is by glibc (ESPIPE): it
/// could keep us waiting.
pub fn read(path: &[u8]) -> Result<Vec<u8>, Error> {
    let (what, errno) = match open(path) {
        Ok(file) => match read_all(file.as_fd(), DATABASE) {
            Ok(text) => return Ok(text),
            Err(errno) => ("unable to read", errno),
        },
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(errno) => ("unable to open", errno),
    };
    Err(Error::system(what, errno).about(OsStr::from_bytes(path)).with_exit(Exit::FAILURE))
}

fn open(path: &[u8]) -> Result<OwnedFd, Errno> {
    // A pipe without a writer must not hold us before we know what it is.
    let file = open_path(path, OFlags::RDONLY, Mode::empty())?;
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::Fifo => Err(Errno::SPIPE),
        _ => Ok(file),
    }
}
