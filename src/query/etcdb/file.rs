//! A file, whole.

use super::Failure;
use crate::limits::DATABASE;
use crate::sys::file::{open_path, read_all};
use crate::sys::stat::fstat;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd as _, OwnedFd};

/// All of a file; one that is missing is empty. A pipe is refused, as it is by glibc (ESPIPE): it
/// could keep us waiting.
pub fn read(path: Vec<u8>) -> Result<Vec<u8>, Box<Failure>> {
    let (what, error) = match open(&path) {
        Ok(file) => match read_all(file.as_fd(), DATABASE) {
            Ok(text) => return Ok(text),
            Err(error) => ("read", error),
        },
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(error) => ("open", error),
    };
    Err(Failure::new(what, path, error))
}

fn open(path: &[u8]) -> Result<OwnedFd, Errno> {
    // A pipe without a writer must not hold us before we know what it is.
    let file = open_path(path, OFlags::RDONLY, Mode::empty())?;
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::Fifo => Err(Errno::SPIPE),
        _ => Ok(file),
    }
}
