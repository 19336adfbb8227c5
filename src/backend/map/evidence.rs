//! Whether there is evidence that somebody wanted a name: its home, its key file.

use super::config::Require;
use super::template::Pattern;
use crate::backend::Outcome;
use rustix::fs::{FileType, Stat, lstat};
use rustix::io::Errno;
use std::ffi::CStr;

/// Room for a path, its NUL included: the longest pattern with the longest name.
pub type Room = heapless::Vec<u8, { super::template::LINE_MAX + 300 }>;

/// A pattern with a name in it, as the system wants it.
pub fn path<'a>(pattern: &Pattern, name: &[u8], room: &'a mut Room) -> Result<&'a CStr, Errno> {
    room.clear();
    for piece in pattern.pieces(name) {
        room.extend_from_slice(piece).map_err(|_| Errno::NAMETOOLONG)?;
    }
    room.push(0).map_err(|_| Errno::NAMETOOLONG)?;
    CStr::from_bytes_with_nul(room).map_err(|_| Errno::INVAL)
}

/// What is at `path`, without following a link; `None`: nothing, or nothing that can be there. A
/// path that cannot be looked at is a failure.
fn look(path: &CStr) -> Result<Option<Stat>, Outcome> {
    match lstat(path) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => Ok(None),
        Err(errno) => Err(Outcome::failed(errno)),
    }
}

/// Looks at all that is required. The error is "not found" or a failure; else the owner of the
/// home, if the home is required.
pub fn look_for(
    require: &Require,
    home: &Pattern,
    name: &[u8],
    room: &mut Room,
) -> Result<Option<u32>, Outcome> {
    let is = |stat: &Stat, what| FileType::from_raw_mode(stat.st_mode) == what;
    let mut owner = None;
    if require.home {
        let home = path(home, name, room).map_err(Outcome::failed)?;
        let stat = look(home)?.filter(|s| is(s, FileType::Directory)).ok_or(Outcome::NotFound)?;
        owner = Some(stat.st_uid);
    }
    for file in &require.files {
        let file = path(file, name, room).map_err(Outcome::failed)?;
        look(file)?.filter(|s| is(s, FileType::RegularFile)).ok_or(Outcome::NotFound)?;
    }
    Ok(owner)
}
