//! Whether a command is this very executable, so that it can run inside this process.

use super::file::{base, join, path};
use super::spawn::SELF;
use crate::sys::stat::{Stat, fstat, stat};
use rustix::fs::{Access, CWD, FileType, Mode, OFlags, access, openat};
use std::ffi::OsString;
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
pub fn applet(command: &[OsString]) -> Option<(&str, &[OsString])> {
    let (program, args) = command.split_first()?;
    // Opened, not asked by its name: qemu-user stands in for the former alone.
    let ours = openat(CWD, SELF, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let ours = fstat(ours).ok()?;
    let theirs = resolve(program.as_bytes())?;
    if (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino) {
        return None;
    }
    let base = str::from_utf8(base(program.as_bytes())).ok()?;
    if APPLETS.contains(&base) {
        return Some((base, args));
    }
    // `nssbox nsssd-unix`, `nssbox unix`, whatever nssbox is called there.
    let (applet, args) = args.split_first()?;
    Some((applet.to_str()?, args))
}

/// The file that execvp(3) would run.
fn resolve(program: &[u8]) -> Option<Stat> {
    if program.contains(&b'/') {
        return stat(&*path(program).ok()?).ok();
    }
    if program.is_empty() {
        return None;
    }
    let dirs = crate::sys::variable("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    for dir in dirs.as_bytes().split(|b| *b == b':') {
        let file = path(&join(dir, program)).ok()?;
        if access(&*file, Access::EXEC_OK).is_err() {
            continue;
        }
        match stat(&*file) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                return Some(stat);
            }
            _ => {}
        }
    }
    None
}
