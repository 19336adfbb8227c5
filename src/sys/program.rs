//! Programs: the file that a command runs, and whether that is this very executable.

use super::file::{base, join, path};
use super::stat::{fstat, stat};
use rustix::fs::{Access, CWD, FileType, Mode, OFlags, access, openat, readlink};
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// How this executable is found. It need not be there any more under its name.
pub const SELF: &CStr = c"/proc/self/exe";

/// If `command` would start this very executable, the one of `names` that it would be called by,
/// and its arguments. Any symlink name counts: what decides is device and inode of /proc/self/exe.
/// Without /proc no command is our own, and all are started as usual.
pub fn own_command<'a>(
    command: &'a [OsString],
    names: &[&'static str],
) -> Option<(&'static str, &'a [OsString])> {
    let (program, args) = command.split_first()?;
    if !is_ours(&find(program.as_bytes()).ok()?) {
        return None;
    }
    let known = |word: &[u8]| names.iter().find(|name| name.as_bytes() == word).copied();
    if let Some(name) = known(base(program.as_bytes())) {
        return Some((name, args));
    }
    // By another name, the first argument says what it is called as.
    let (name, args) = args.split_first()?;
    Some((known(name.as_bytes())?, args))
}

/// `command`, or if its program is one of `names` that is not found along PATH, this executable called
/// by it: one file without links does for all.
pub fn by_ourselves(mut command: Vec<OsString>, names: &[&'static str]) -> Vec<OsString> {
    let program = command.first().map(|program| program.as_bytes()).unwrap_or_default();
    let is_known = names.iter().any(|name| name.as_bytes() == program);
    if is_known && find(program) == Err(Errno::NOENT) {
        command.insert(0, OsStr::from_bytes(SELF.to_bytes()).to_owned());
    }
    command
}

/// Where this executable is; `None`: nobody can tell.
pub fn executable() -> Option<CString> {
    readlink(SELF, Vec::new()).ok()
}

/// Device and inode of a file.
pub type Identity = (u64, u64);

/// Those of the file that has this name now.
pub fn identity(file: &CStr) -> Option<Identity> {
    stat(file).ok().map(|file| (file.st_dev, file.st_ino))
}

/// Whether another executable has taken the place of ours.
pub fn is_replaced(place: &CStr) -> bool {
    !is_ours(place) && runs(place).is_ok()
}

/// Whether a file is our own executable.
pub fn is_ours(file: &CStr) -> bool {
    // Opened, not asked by its name: qemu-user stands in for the former alone.
    let ours = openat(CWD, SELF, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).and_then(fstat);
    ours.is_ok_and(|ours| Some((ours.st_dev, ours.st_ino)) == identity(file))
}

/// The file that execvp(3) would run, and its errors.
pub fn find(program: &[u8]) -> Result<CString, Errno> {
    if program.contains(&b'/') {
        return path(program);
    }
    let mut error = Errno::NOENT;
    if program.is_empty() {
        return Err(error);
    }
    let dirs = std::env::var_os("PATH");
    let dirs = dirs.as_deref().unwrap_or(OsStr::new("/usr/local/bin:/bin:/usr/bin"));
    for dir in dirs.as_bytes().split(|b| *b == b':') {
        let Ok(file) = path(&join(dir, program)) else { continue };
        match runs(&file) {
            Ok(()) => return Ok(file),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            // There may be another one.
            Err(errno @ (Errno::ACCESS | Errno::NAMETOOLONG)) => error = errno,
            Err(errno) => return Err(errno),
        }
    }
    Err(error)
}

/// Whether a file can be run.
pub fn runs(file: &CStr) -> Result<(), Errno> {
    access(file, Access::EXEC_OK)?;
    match FileType::from_raw_mode(stat(file)?.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(Errno::ACCESS),
    }
}
