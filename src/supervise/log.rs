//! The last lines of a service's log, from where its log service writes them.
//!
//! Nothing says where that is but the log service itself: the words of its command line, and its
//! current directory. Known are svlogd of runit and busybox, multilog and s6-log: all have a file
//! `current` in a directory, and older ones beside it whose names begin with `@` and sort by time.

use super::process::{Processes, program, words};
use crate::sys::file::{open_path, path};
use crate::sys::stat::fstat;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::{Errno, pread, retry_on_intr};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Lines at most.
pub const LINES_MAX: u64 = 100_000;

/// Bytes of them at most: 16 MiB.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is read at a time.
const PIECE: u64 = 32 * 1024;

/// The last lines of what the log service of this process number writes, oldest first, without
/// newlines; or why they cannot be had.
pub fn last_lines(pid: u32, processes: &Processes, most: usize) -> Result<Vec<Vec<u8>>, String> {
    let directory = directory_of(pid, processes)?;
    let failed = |errno: Errno| {
        let text = super::text::errno(errno);
        format!("unable to read the log: {}", String::from_utf8_lossy(&text))
    };
    let mut lines = Vec::new();
    let mut bytes = 0;
    let mut take = |name: &[u8], lines: &mut Vec<Vec<u8>>| -> Result<bool, Errno> {
        let Some(mut older) = tail(directory.as_fd(), name, most - lines.len())? else {
            return Ok(false);
        };
        bytes += older.iter().map(Vec::len).sum::<usize>();
        older.append(lines);
        *lines = older;
        Ok(lines.len() < most && bytes < BYTES_MAX)
    };
    let mut wants_more = match take(b"current", &mut lines) {
        // Between two files there is none for a moment.
        Err(Errno::NOENT) => true,
        taken => taken.map_err(failed)?,
    };
    if wants_more {
        for name in older_files(directory.as_fd()).map_err(failed)? {
            wants_more = match take(&name, &mut lines) {
                // It was taken away meanwhile.
                Err(Errno::NOENT) => true,
                taken => taken.map_err(failed)?,
            };
            if !wants_more {
                break;
            }
        }
    }
    Ok(lines)
}

/// The directory that a log service writes into, or why it is not known.
fn directory_of(pid: u32, processes: &Processes) -> Result<OwnedFd, String> {
    for node in processes.tree(pid) {
        let Some(words) = words(node.pid) else { continue };
        let Some((name, words)) = program(&words) else { continue };
        let found = match name {
            b"svlogd" => svlogd_directory(words),
            b"multilog" | b"s6-log" => {
                words.iter().find(|word| matches!(word.first(), Some(b'.' | b'/')))
            }
            _ => continue,
        };
        let Some(found) = found else {
            return Err(format!("{} writes into no directory", String::from_utf8_lossy(name)));
        };
        return open_from(node.pid, found).map_err(|errno| {
            let (found, text) = (String::from_utf8_lossy(found), super::text::errno(errno));
            format!("unable to open {found}: {}", String::from_utf8_lossy(&text))
        });
    }
    Err("its log service is none of svlogd, multilog and s6-log".to_owned())
}

/// The first word of svlogd's command line that is no option.
fn svlogd_directory(words: &[Vec<u8>]) -> Option<&Vec<u8>> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_slice() {
            b"--" => return words.next(),
            [b'-', letters @ ..] if !letters.is_empty() => {
                let value = letters.iter().position(|letter| b"rRlb".contains(letter));
                // The value is the next word if nothing follows the letter.
                if value == Some(letters.len() - 1) {
                    words.next();
                }
            }
            _ => return Some(word),
        }
    }
    None
}

/// Opens a directory as the process of this number would by its name.
fn open_from(pid: u32, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let name = path(name)?;
    let current = open_path(
        format!("/proc/{pid}/cwd").as_bytes(),
        OFlags::PATH | OFlags::DIRECTORY,
        Mode::empty(),
    )?;
    let open = |name: &CStr| {
        retry_on_intr(|| openat(&current, name, OFlags::RDONLY | flags, Mode::empty()))
    };
    match open(&name) {
        // multilog is in its directory itself while it runs.
        Err(Errno::NOENT) if statat(&current, c"current", AtFlags::empty()).is_ok() => open(c"."),
        opened => opened,
    }
}

/// The names of older files, youngest first.
fn older_files(directory: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        // `s` is whole, `u` what was left when its writer ended; others are in the making.
        if name.starts_with(b"@") && (name.ends_with(b".s") || name.ends_with(b".u")) {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}

/// The last lines of a file. `None`: a processor has made something else of it.
fn tail(
    directory: BorrowedFd<'_>,
    name: &[u8],
    most: usize,
) -> Result<Option<Vec<Vec<u8>>>, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = retry_on_intr(|| openat(directory, &*path(name)?, flags, Mode::empty()))?;
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let mut text: Vec<u8> = Vec::new();
    let (mut at, mut newlines) = (stat.st_size as u64, 0);
    // One newline more: it ends what stands before the first line that is wanted.
    while at > 0 && newlines <= most && text.len() < BYTES_MAX {
        let len = at.min(PIECE);
        at -= len;
        let mut piece = vec![0; len as usize];
        let got = retry_on_intr(|| pread(&file, &mut *piece, at))?;
        piece.truncate(got);
        newlines += piece.iter().filter(|byte| **byte == b'\n').count();
        piece.append(&mut text);
        text = piece;
    }
    // gzip, xz, zstd, bzip2.
    const PACKED: [&[u8]; 4] = [b"\x1f\x8b", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"BZh"];
    if at == 0 && PACKED.iter().any(|magic| text.starts_with(magic)) {
        return Ok(None);
    }
    let body = text.strip_suffix(b"\n").unwrap_or(&text);
    if body.is_empty() && text.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let mut lines: Vec<Vec<u8>> = body.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let surplus = lines.len().saturating_sub(most);
    lines.drain(..surplus);
    Ok(Some(lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn svlogd_s_directory_is_the_first_word_that_is_no_option() {
        for (line, want) in [
            ("./main", Some("./main")),
            ("-tt ./main", Some("./main")),
            ("-v -r x -l 200 /var/log/a /var/log/b", Some("/var/log/a")),
            ("-rx -R abc main", Some("main")),
            ("-tvr x main", Some("main")),
            ("-b 1024 -- -odd", Some("-odd")),
            ("-tt", None),
        ] {
            let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.into()).collect();
            let found = svlogd_directory(&words).map(|word| String::from_utf8_lossy(word).into());
            assert_eq!(found, want.map(str::to_owned), "{line}");
        }
    }
}
