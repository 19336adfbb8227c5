//! What a child reads on its standard input: each has a place of its own in it.

use super::spool::nameless;
use crate::sys::errno;
use crate::sys::file::open;
use nix::sys::memfd::{MFdFlags, memfd_create};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr, write};
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};

/// What to read.
pub enum Input {
    /// Nothing.
    Null,
    /// Our own standard input (`-i`).
    Ours,
    /// A file, from its front.
    File(OwnedFd),
}

impl Input {
    /// These bytes, which are in no file: keys, a password.
    pub fn of_bytes(bytes: &[u8]) -> Result<Input, Errno> {
        let file = memfd_create(c"dt", MFdFlags::MFD_CLOEXEC).map_err(errno::of)?;
        put(&file, bytes)?;
        Ok(Input::File(file))
    }

    /// These bytes, which may be many.
    pub fn of_many_bytes(bytes: &[u8]) -> Result<Input, Errno> {
        let file = nameless()?;
        put(&file, bytes)?;
        Ok(Input::File(file))
    }

    /// A descriptor for one child; `None` is our own.
    pub fn open(&self) -> Result<Option<OwnedFd>, Errno> {
        match self {
            Input::Ours => Ok(None),
            Input::Null => open(c"/dev/null", OFlags::RDONLY, Mode::empty()).map(Some),
            // The same file by whatever name it has now, and with an offset of its own.
            Input::File(file) => {
                let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()));
                let path = path.map_err(|_| Errno::INVAL)?;
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                rustix::fs::open(path.as_c_str(), flags, Mode::empty()).map(Some)
            }
        }
    }
}

fn put(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let len = retry_on_intr(|| write(file, bytes))?;
        bytes = bytes.get(len..).unwrap_or_default();
    }
    Ok(())
}
