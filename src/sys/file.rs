//! Files, and their names.

use rustix::io::{Errno, read, retry_on_intr};
use std::ffi::CString;
use std::os::fd::BorrowedFd;

/// What is read at a time.
const PIECE: usize = 32 * 1024;

/// The rest of `file`. EFBIG: it has more than `most` bytes.
pub fn read_all(file: BorrowedFd<'_>, most: usize) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::new();
    let mut len = 0;
    loop {
        text.resize(len + PIECE, 0);
        let room = text.get_mut(len..).unwrap_or_default();
        let got = retry_on_intr(|| read(file, &mut *room))?;
        len += got;
        text.truncate(len);
        if len > most {
            return Err(Errno::FBIG);
        }
        if got == 0 {
            return Ok(text);
        }
    }
}

/// The path of `name` in the directory `dir`.
pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if dir.is_empty() || dir.ends_with(b"/") { b"" } else { b"/" };
    [dir, slash, name].concat()
}

/// The last name of a path, without slashes at its end.
pub fn base(path: &[u8]) -> &[u8] {
    let mut path = path;
    while let [front @ .., b'/'] = path {
        path = front;
    }
    path.rsplit(|b| *b == b'/').next().unwrap_or_default()
}

/// A path as the kernel takes it. rustix makes one by itself, in its own code for each call.
pub fn path(path: &[u8]) -> Result<CString, Errno> {
    CString::new(path).map_err(|_| Errno::INVAL)
}
