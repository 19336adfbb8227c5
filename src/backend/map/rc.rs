//! `.nssmaprc` in a home: a group line, whose gid its user gets.

use super::evidence::{Look, failed};
use super::near::LastLink;
use super::trust::is_file;
use crate::backend::Outcome;
use crate::backend::text::Lines;
use crate::sys::file::pread_full;
use crate::sys::stat::{Stat, fstat};
use nssproto::line::parse_group;
use rustix::io::Errno;
use std::ffi::CStr;

const NAME: &CStr = c".nssmaprc";

/// Gids from here on mean something else (nobody, "do not change"), or are nobody's to hand out.
const RESERVED: u32 = 65534;

/// The gid of the first good line, if there is such a file and it can be trusted. `strict`: no link
/// is followed, and the home must be root's, since people who share a uid could rename a file of
/// root's from one home to another.
pub fn gid(
    home: &CStr,
    strict: bool,
    look: &mut Look,
    window: &mut [u8],
) -> Result<Option<u32>, Outcome> {
    match read_gid(home, strict, look, window) {
        Ok(gid) => Ok(gid),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(failed(errno)),
    }
}

fn read_gid(
    home: &CStr,
    strict: bool,
    look: &mut Look,
    window: &mut [u8],
) -> Result<Option<u32>, Errno> {
    let last = if strict { LastLink::Kept } else { LastLink::Followed };
    let home = look.directory(home, last)?;
    if strict && !is_roots(&fstat(&home)?) {
        return Ok(None);
    }
    let file = look.open_in(&home, NAME, last.flags())?;
    let stat = fstat(&file)?;
    if !is_file(&stat) || !is_roots(&stat) || stat.st_gid != 0 || (strict && stat.st_nlink != 1) {
        return Ok(None);
    }
    let len = pread_full(&file, window, 0)?;
    for line in Lines(window.get(..len).unwrap_or_default()) {
        match parse_group(line) {
            Ok(group) if !line.starts_with(b"#") => {
                let gid = group.gid.0;
                return Ok(Some(gid).filter(|g| !strict || (1..RESERVED).contains(g)));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Root's, and writable by nobody else.
fn is_roots(stat: &Stat) -> bool {
    stat.st_uid == 0 && stat.st_mode & 0o022 == 0
}
