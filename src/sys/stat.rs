//! What a file is: the C library's stat(2). rustix has a struct of its own where it calls libc, asks
//! statx(2) first, as the C library does itself, and converts what either tells.

use super::errno;
use nix::sys::stat;
pub use nix::sys::stat::FileStat as Stat;
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::AsFd;

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
    stat::fstat(file).map_err(errno::of)
}
