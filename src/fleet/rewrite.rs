//! Changes of the database: under a lock, by a new file that takes its place, all else as it was.

use super::complaint::Complaint;
use super::database::Entry;
use crate::sys::file::{base, directory, join, open_path, path, read_all};
use crate::sys::stat::{Stat, fstat, stat};
use rustix::fs::{
    FileType, FlockOperation, Gid, Mode, OFlags, Uid, fchmod, fchown, flock, fsync, rename, unlink,
};
use rustix::io::{Errno, retry_on_intr, write};
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// What is done to a host's line.
pub struct Change {
    /// A host that is not there is added; otherwise it is an error.
    pub adds_hosts: bool,
    /// Tags that it gets.
    pub add: Vec<Vec<u8>>,
    /// Tags that it loses.
    pub remove: Vec<Vec<u8>>,
}

/// Most that is read.
const LARGEST: usize = 64 * 1024 * 1024;

/// Changes the lines of `hosts` in the file; those that are not there, of a change that adds none.
pub fn change(file: &[u8], hosts: &[Entry], change: &Change) -> Result<Vec<String>, Complaint> {
    let file = real(file);
    let failed = |what: &'static str| {
        let file = file.clone();
        move |errno: Errno| Complaint::system(what, &file, errno)
    };
    let (held, text) = locked(&file, change.adds_hosts).map_err(failed("open"))?;
    let mut lines: Vec<Vec<u8>> = text.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    // What follows the last newline is no line.
    let unended = lines.pop().filter(|line| !line.is_empty());
    lines.extend(unended);
    let mut places = std::collections::HashMap::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some(word) = word_of(line) {
            places.entry(word.to_vec()).or_insert_with(Vec::new).push(at);
        }
    }
    let mut absent = Vec::new();
    for host in hosts {
        match places.get(host.word.as_bytes()) {
            Some(found) => {
                let known = found.iter().filter_map(|at| lines.get(*at));
                let known: Vec<Vec<u8>> = known.flat_map(|line| words(line)).collect();
                let mut add: Vec<Vec<u8>> = change.add.clone();
                add.retain(|tag| !known.contains(tag));
                for at in found {
                    if let Some(line) = lines.get_mut(*at) {
                        *line = edited(line, &std::mem::take(&mut add), &change.remove);
                    }
                }
            }
            None if change.adds_hosts => {
                let mut words = vec![host.word.clone().into_bytes()];
                words.extend(change.add.iter().cloned());
                lines.push(words.join(&b' '));
            }
            None => absent.push(host.word.clone()),
        }
    }
    let mut text = lines.join(&b'\n');
    if !text.is_empty() {
        text.push(b'\n');
    }
    let new = Replacement::begin(&file).map_err(failed("write beside"))?;
    new.commit(&text).map_err(failed("replace"))?;
    drop(held);
    Ok(absent)
}

/// The file that a name leads to: a link stays one.
fn real(name: &[u8]) -> Vec<u8> {
    let real = std::fs::canonicalize(Path::new(OsStr::from_bytes(name)));
    real.map_or_else(|_| name.to_vec(), |path| path.into_os_string().into_vec())
}

/// The file, locked for us alone, and what it holds. Whoever had the lock before may have put another
/// file in its place.
fn locked(name: &[u8], creates: bool) -> Result<(OwnedFd, Vec<u8>), Errno> {
    let path = path(name)?;
    loop {
        let flags = if creates { OFlags::RDWR | OFlags::CREATE } else { OFlags::RDWR };
        let file = open_path(name, flags, Mode::from_raw_mode(0o644))?;
        retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
        let (ours, there) = (fstat(&file)?, stat(&path));
        if there.is_ok_and(|there| (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)) {
            let text = read_all(file.as_fd(), LARGEST)?;
            return Ok((file, text));
        }
    }
}

/// The host of a line.
fn word_of(line: &[u8]) -> Option<&[u8]> {
    let word = line.split(u8::is_ascii_whitespace).find(|word| !word.is_empty())?;
    let word = word.strip_prefix(b"@").unwrap_or(word);
    (!word.starts_with(b"#")).then_some(word)
}

fn words(line: &[u8]) -> Vec<Vec<u8>> {
    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.map(<[u8]>::to_vec).collect()
}

/// A line with and without these tags; its blanks stay, but for those in front of a tag that goes.
fn edited(line: &[u8], add: &[Vec<u8>], remove: &[Vec<u8>]) -> Vec<u8> {
    let body = line.trim_ascii_end();
    let end = line.get(body.len()..).unwrap_or_default();
    let (mut out, mut rest, mut first) = (Vec::new(), body, true);
    while !rest.is_empty() {
        let blanks = rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
        let word = rest.iter().skip(blanks).take_while(|b| !b.is_ascii_whitespace()).count();
        let (piece, behind) = rest.split_at(blanks + word);
        let tag = piece.get(blanks..).unwrap_or_default();
        if first || !remove.iter().any(|gone| gone == tag) {
            out.extend_from_slice(piece);
        }
        (rest, first) = (behind, false);
    }
    for tag in add {
        out.push(b' ');
        out.extend_from_slice(tag);
    }
    // A carriage return in front of the newline stays.
    if end.contains(&b'\r') {
        out.push(b'\r');
    }
    out
}

/// A file that is written beside another and takes its place.
pub struct Replacement {
    file: OwnedFd,
    path: CString,
    temporary: CString,
}

impl Replacement {
    /// Makes it, so that it is known early whether that can be. Mode and owner are those of what is
    /// there.
    pub fn begin(name: &[u8]) -> Result<Replacement, Errno> {
        let name = &real(name);
        // What is no file is not replaced by one: /dev/null would be everybody's.
        let is_file = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if stat(&path(name)?).is_ok_and(|stat| !is_file(&stat)) {
            return Err(Errno::INVAL);
        }
        let hidden = [b".", base(name), format!(".dt.{}", std::process::id()).as_bytes()].concat();
        let temporary = join(directory(name), &hidden);
        let target = path(name)?;
        let _ = unlink(temporary.as_slice());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = open_path(&temporary, flags, Mode::from_raw_mode(0o644))?;
        let new = Replacement { file, path: target, temporary: path(&temporary)? };
        if let Ok(old) = stat(&new.path) {
            let ours = fstat(&new.file)?;
            if (old.st_uid, old.st_gid) != (ours.st_uid, ours.st_gid) {
                let (uid, gid) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
                fchown(&new.file, Some(uid), Some(gid))?;
            }
            fchmod(&new.file, Mode::from_raw_mode(old.st_mode & 0o7777))?;
        }
        Ok(new)
    }

    /// Writes it whole, and puts it in place.
    pub fn commit(self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            let len = retry_on_intr(|| write(&self.file, bytes))?;
            if len == 0 {
                return Err(Errno::NOSPC);
            }
            bytes = bytes.get(len..).unwrap_or_default();
        }
        fsync(&self.file)?;
        rename(&self.temporary, &self.path)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // Gone already where it was put in place.
        let _ = unlink(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_line_keeps_what_is_not_changed() {
        for (line, add, remove, wanted) in [
            ("web3 bsd web old", &[][..], &["web"][..], "web3 bsd old"),
            ("web3 a", &[], &["a"], "web3"),
            ("  web3\tbsd  old ", &["new"], &[], "  web3\tbsd  old new"),
            ("a a", &[], &["a"], "a"),
            ("h b\r", &["c"], &["b"], "h c\r"),
        ] {
            let out = edited(line.as_bytes(), &tags(add), &tags(remove));
            assert_eq!(String::from_utf8(out).unwrap(), wanted);
        }
    }
}
