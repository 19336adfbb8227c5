//! Files that hold a secret: others must not be able to read them.

use super::failure::{Done, Failure};
use crate::limits::DIRECTORY_SECRET;
use crate::sys::file::{open_path, read_all};
use crate::sys::stat::{Stat, fstat};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::os::fd::{AsFd, OwnedFd};

/// Opens a file for reading, and what it is.
pub fn open(path: &[u8]) -> Done<(OwnedFd, Stat)> {
    let unable = |errno| Failure::system("open", path, errno);
    let file = open_path(path, OFlags::RDONLY, Mode::empty()).map_err(unable)?;
    let stat = fstat(&file).map_err(unable)?;
    Ok((file, stat))
}

/// Why a file is no place for a secret; `None`: it is one.
pub fn fault(path: &[u8], stat: &Stat) -> Option<String> {
    let name = super::failure::shown(path);
    let mode = stat.st_mode & 0o7777;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        Some(format!("{name} holds a secret and is no regular file"))
    } else if stat.st_uid != 0 && stat.st_uid != geteuid().as_raw() {
        Some(format!("{name} holds a secret and belongs to uid {}: chown root {name}", stat.st_uid))
    } else if mode & 0o077 != 0 {
        Some(format!("{name} holds a secret and has mode {mode:04o}: chmod 600 {name}"))
    } else {
        None
    }
}

/// The content of a file that is a secret, without the newline at its end.
pub fn read(path: &[u8]) -> Done<String> {
    let (file, stat) = open(path)?;
    if let Some(fault) = fault(path, &stat) {
        return Err(Failure::refused(fault));
    }
    let text = read_all(file.as_fd(), DIRECTORY_SECRET)
        .map_err(|errno| Failure::system("read", path, errno))?;
    let text = text.strip_suffix(b"\n").unwrap_or(&text);
    match std::str::from_utf8(text) {
        Ok(text) if !text.contains(['\n', '\0']) => Ok(text.to_owned()),
        _ => Err(Failure::system("take a secret from", path, Errno::INVAL)),
    }
}
