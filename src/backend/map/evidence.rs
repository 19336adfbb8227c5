//! Whether there is evidence that somebody wanted a name: its home, its key file.

use super::config::Require;
use super::template::Pattern;
use crate::backend::Outcome;
use crate::sys::stat::lstat;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::ffi::CStr;

/// Room for a path, its NUL included: the longest pattern with the longest name.
pub type Room = heapless::Vec<u8, { super::template::LINE_MAX + 300 }>;

/// A pattern with a name in it, as the system wants it.
pub fn path<'a>(pattern: &Pattern, name: &[u8], room: &'a mut Room) -> Result<&'a CStr, Errno> {
    let [before, slash, name, after] = pattern.pieces(name);
    super::fill(room, &[before, slash, name, after, b"\0"])?;
    CStr::from_bytes_with_nul(room).map_err(|_| Errno::INVAL)
}

/// The owner of what a pattern leads to, without following a link. The error is "not found" if
/// nothing is there, can be there, or is of that kind; a path that cannot be looked at is a failure.
fn owner_of(
    pattern: &Pattern,
    name: &[u8],
    room: &mut Room,
    kind: FileType,
) -> Result<u32, Outcome> {
    match lstat(path(pattern, name, room).map_err(Outcome::failed)?) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == kind => Ok(stat.st_uid),
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => Err(Outcome::NotFound),
        Err(errno) => Err(Outcome::failed(errno)),
    }
}

/// Looks at all that is required. The error is "not found" or a failure; else the owner of the
/// home, if the home is required, or 0.
pub fn look_for(
    require: &Require,
    home: &Pattern,
    name: &[u8],
    room: &mut Room,
) -> Result<u32, Outcome> {
    let mut owner = 0;
    if require.home {
        owner = owner_of(home, name, room, FileType::Directory)?;
    }
    for file in &require.files {
        owner_of(file, name, room, FileType::RegularFile)?;
    }
    Ok(owner)
}
