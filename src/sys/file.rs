//! Files, and their names.

use heapless::VecView;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, pread, read, retry_on_intr};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What is read at a time.
const PIECE: usize = 32 * 1024;

/// The longest path, with its NUL.
pub type PathRoom = heapless::Vec<u8, 4096>;

/// As many links are followed in one path as the kernel follows.
pub const LINKS: u32 = 40;

/// Opens a file for ourselves only, and waits for nobody: a FIFO in its place does not block, a
/// terminal does not become ours.
pub fn open(path: &CStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    retry_on_intr(|| openat(CWD, path, flags, mode))
}

/// The same of a path that allocates.
pub fn open_path(name: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    open(&path(name)?, flags, mode)
}

/// All of a file that nothing is known of.
pub fn read_path(path: &[u8]) -> Result<Vec<u8>, Errno> {
    read_all(open_path(path, OFlags::RDONLY, Mode::empty())?.as_fd(), usize::MAX)
}

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

/// Reads from offset `at` until `room` is full or the file ends; the number of bytes. Less than
/// `room` means that the file ended there.
pub fn pread_full(file: &OwnedFd, room: &mut [u8], at: u64) -> Result<usize, Errno> {
    let mut len = 0;
    while let Some(rest) = room.get_mut(len..).filter(|r| !r.is_empty()) {
        match retry_on_intr(|| pread(file, &mut *rest, at + len as u64))? {
            0 => break,
            n => len += n,
        }
    }
    Ok(len)
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

/// The directory that a path names something in; empty: the current one.
pub fn directory(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|b| *b == b'/') {
        Some(0) => b"/",
        end => path.get(..end.unwrap_or(0)).unwrap_or_default(),
    }
}

/// A path as the kernel takes it. rustix makes one by itself, in its own code for each call.
pub fn path(path: &[u8]) -> Result<CString, Errno> {
    CString::new(path).map_err(|_| Errno::INVAL)
}

/// Fills `room` with texts, the one behind the other. ENAMETOOLONG: it is too small.
pub fn fill(room: &mut VecView<u8>, texts: &[&[u8]]) -> Result<(), Errno> {
    room.clear();
    for text in texts {
        room.extend_from_slice(text).map_err(|_| Errno::NAMETOOLONG)?;
    }
    Ok(())
}

/// A path that ends with a NUL, as the kernel takes it. EINVAL: there is none.
pub fn c_str(path: &[u8]) -> Result<&CStr, Errno> {
    CStr::from_bytes_until_nul(path).map_err(|_| Errno::INVAL)
}
