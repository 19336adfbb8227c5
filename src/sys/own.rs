//! The file that a command runs, and whether that is this very executable, so that it can run
//! inside this process.

use super::file::{base, join, path};
use super::spawn::SELF;
use crate::sys::stat::{fstat, stat};
use rustix::fs::{Access, CWD, FileType, Mode, OFlags, access, openat};
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The names of all applets, short ones and those that this build leaves out included: any other
/// name of the executable takes the applet from its first argument.
pub const APPLETS: &[&str] = &[
    "getent",
    "groups",
    "id",
    "ipcserver",
    "map",
    "nscd",
    "nslcd",
    "nsssd-map",
    "nsssd-nslcd",
    "nsssd-switch",
    "nsssd-unix",
    "switch",
    "unix",
    "whoami",
    "with-nscd",
];

/// If `command` would start our own executable, the applet's name and its arguments. Any symlink
/// name counts: what decides is device and inode of /proc/self/exe. Without /proc no command is our
/// own, and all are started as usual.
pub fn applet(command: &[OsString]) -> Option<(&'static str, &[OsString])> {
    let (program, args) = command.split_first()?;
    if !is_ours(&find(program.as_bytes()).ok()?) {
        return None;
    }
    let known = |name: &[u8]| APPLETS.iter().find(|applet| applet.as_bytes() == name);
    if let Some(applet) = known(base(program.as_bytes())) {
        return Some((applet, args));
    }
    // `nssbox nsssd-unix`, `nssbox unix`, whatever nssbox is called there.
    let (applet, args) = args.split_first()?;
    Some((known(applet.as_bytes())?, args))
}

/// Whether a file is our own executable.
pub fn is_ours(file: &CStr) -> bool {
    // Opened, not asked by its name: qemu-user stands in for the former alone.
    let ours = openat(CWD, SELF, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).and_then(fstat);
    match (ours, stat(file)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
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
fn runs(file: &CStr) -> Result<(), Errno> {
    access(file, Access::EXEC_OK)?;
    match FileType::from_raw_mode(stat(file)?.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(Errno::ACCESS),
    }
}
