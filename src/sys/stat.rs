//! What a file is, by stat(2).

#[cfg(not(rustix_use_libc))]
pub use rustix::fs::{Stat, fstat, lstat, stat};

/// The C library's own. Where rustix calls it, rustix asks statx(2) first, as it does itself, and
/// has a struct of its own that it converts both to.
#[cfg(rustix_use_libc)]
mod libc {
    use crate::sys::errno;
    use nix::sys::stat;
    use rustix::io::Errno;
    use std::ffi::CStr;
    use std::os::fd::AsFd;

    pub use nix::sys::stat::FileStat as Stat;

    /// stat(2).
    pub fn stat(path: &CStr) -> Result<Stat, Errno> {
        stat::stat(path).map_err(errno::of)
    }

    /// lstat(2).
    pub fn lstat(path: &CStr) -> Result<Stat, Errno> {
        stat::lstat(path).map_err(errno::of)
    }

    /// fstat(2).
    pub fn fstat(file: impl AsFd) -> Result<Stat, Errno> {
        stat::fstat(file.as_fd()).map_err(errno::of)
    }
}
#[cfg(rustix_use_libc)]
pub use libc::{Stat, fstat, lstat, stat};
