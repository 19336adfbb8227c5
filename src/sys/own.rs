//! Whether a command is this very executable, so that it can run inside this process.

use super::file::{base, join, path};
use super::spawn::SELF;
use crate::sys::stat::{Stat, fstat, stat};
use rustix::fs::{Access, CWD, FileType, Mode, OFlags, access, openat};
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
    if !is_ours(&resolve(program.as_bytes())?) {
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

/// The file that execvp(3) would run.
fn resolve(program: &[u8]) -> Option<CString> {
    if program.contains(&b'/') {
        return path(program).ok();
    }
    if program.is_empty() {
        return None;
    }
    let dirs = std::env::var_os("PATH");
    let dirs = dirs.as_deref().unwrap_or(OsStr::new("/bin:/usr/bin"));
    for dir in dirs.as_bytes().split(|b| *b == b':') {
        let file = path(&join(dir, program)).ok()?;
        let regular = |stat: Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if access(&*file, Access::EXEC_OK).is_ok() && stat(&file).is_ok_and(regular) {
            return Some(file);
        }
    }
    None
}
