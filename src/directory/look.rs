//! Looks into cache files for other programs: the keys of a user for sshd, an entry for autofs.

use super::folder::{Folder, Version};
use super::maps::{Map, file_name};
use super::text::{Lines, TextLine};
use crate::backend::cache::ix::{Ix, Told};
use crate::limits::WINDOW;
use crate::sys::error::Error;
use crate::sys::file::{path, pread_full};
use nssproto::Malformed;
use nssproto::cache::lines::Automount;
use nssproto::cache::{KEY_MAX, Key, sshkey};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

/// Puts the keys of a user to `out`, a line each; whether he has any. A key that is none is left out
/// and told to `warn`.
pub fn keys_of(
    folder: &Folder,
    suffix: &[u8],
    user: &[u8],
    out: &mut Vec<u8>,
    warn: &mut dyn FnMut(Malformed),
) -> Result<bool, Error> {
    let name = file_name(Map::Sshkey.name().as_bytes(), suffix);
    let Some(file) = open(folder, &name)? else { return Ok(false) };
    let unread = |errno| folder.error("unable to read", &name, errno);
    let from = match first_line(folder, &name, &file, user).map_err(unread)? {
        Start::At(offset) => offset,
        Start::Nowhere => return Ok(false),
        Start::Unknown => 0,
    };
    let mut lines = Lines::from(&file, from);
    let (mut begun, len) = (false, out.len());
    while let Some(line) = read(folder, &name, &mut lines)? {
        let Ok((name, value)) = sshkey::split(line.text) else { continue };
        if name == user {
            begun = true;
            add_keys(value, out, warn);
        } else if begun {
            // A user's lines stand together.
            break;
        }
    }
    Ok(out.len() > len)
}

fn add_keys(value: &[u8], out: &mut Vec<u8>, warn: &mut dyn FnMut(Malformed)) {
    for key in sshkey::keys(value) {
        match key {
            Ok(key) => {
                let len = out.len();
                out.extend(key.bytes());
                if out.len() > len {
                    out.push(b'\n');
                }
            }
            Err(why) => warn(why),
        }
    }
}

/// Where to begin.
enum Start {
    At(u64),
    Nowhere,
    Unknown,
}

/// Where the first line of a user is, by index, if that can be believed: as nsssd-cache does.
fn first_line(folder: &Folder, name: &[u8], data: &File, user: &[u8]) -> Result<Start, Errno> {
    let version = Version::of(data)?;
    let mut room = vec![0; WINDOW];
    let index = path(&[&folder.path_of(name)[..], Key::Name.ix().as_bytes()].concat())?;
    let Ok(Some(mut ix)) = Ix::open(&index, version.mtime.0, None, &mut room) else {
        return Ok(Start::Unknown);
    };
    if user.len() > KEY_MAX {
        return Ok(Start::Unknown);
    }
    let told = ix.find(user, &mut room)?;
    let is_still = || -> Result<bool, Errno> {
        let now = folder.stat(name)?;
        Ok(ix.is_still() && now.is_some_and(|now| Version::from(&now) == version))
    };
    match told {
        Told::At(offset) if begins(data, offset, user)? => Ok(Start::At(offset)),
        Told::Absent if is_still()? => Ok(Start::Nowhere),
        _ => Ok(Start::Unknown),
    }
}

/// Whether a line of the user begins at an offset.
fn begins(data: &File, offset: u64, user: &[u8]) -> Result<bool, Errno> {
    let front = u64::from(offset > 0);
    let want = [if front > 0 { &b"\n"[..] } else { b"" }, user, b":"].concat();
    let mut room = vec![0; want.len()];
    let file: OwnedFd = data.try_clone().map_err(|_| Errno::MFILE)?.into();
    let len = pread_full(&file, &mut room, offset - front)?;
    Ok(len == room.len() && room == want)
}

/// Puts what stands for a key in an automount map to `out`, or for `*` where the key is not there:
/// options and location, as autofs takes them of a program. Whether there is any.
pub fn automount(
    folder: &Folder,
    suffix: &[u8],
    map: &[u8],
    key: &[u8],
    out: &mut Vec<u8>,
) -> Result<bool, Error> {
    let name = file_name(map, suffix);
    let Some(file) = open(folder, &name)? else { return Ok(false) };
    let mut lines = Lines::from(&file, 0);
    let mut wildcard = None;
    while let Some(line) = read(folder, &name, &mut lines)? {
        let Ok(entry) = Automount::parse(line.text) else { continue };
        let is_wanted = entry.key == key;
        if is_wanted || entry.key == b"*" && wildcard.is_none() {
            let text = line.text.get(entry.key.len() + 1..).unwrap_or_default();
            wildcard = Some(text.to_vec());
        }
        if is_wanted {
            break;
        }
    }
    let Some(text) = wildcard else { return Ok(false) };
    out.extend_from_slice(&text);
    out.push(b'\n');
    Ok(true)
}

/// The file of a map; `None`: there is none.
fn open(folder: &Folder, name: &[u8]) -> Result<Option<File>, Error> {
    match folder.open_data(name) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(folder.error("unable to read", name, errno)),
    }
}

fn read<'a>(
    folder: &Folder,
    name: &[u8],
    lines: &'a mut Lines<'_>,
) -> Result<Option<TextLine<'a>>, Error> {
    lines.next_line().map_err(|error: io::Error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::FBIG);
        folder.error("unable to read", name, errno)
    })
}
