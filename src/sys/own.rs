//! Whether a command is this very executable, so that it can run inside this process.

use rustix::fs::{Access, CWD, Mode, OFlags, access, fstat, openat, stat};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

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
    let ours = openat(CWD, "/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let ours = fstat(ours).ok()?;
    let theirs = stat(&*resolve(program)?).ok()?;
    if (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino) {
        return None;
    }
    let base = Path::new(program).file_name()?.to_str()?;
    if APPLETS.contains(&base) {
        return Some((base, args));
    }
    // `nssbox nsssd-unix`, `nssbox unix`, whatever nssbox is called there.
    let (applet, args) = args.split_first()?;
    Some((applet.to_str()?, args))
}

/// The file that execvp(3) would run.
fn resolve(program: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(program));
    }
    if program.is_empty() {
        return None;
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let found = std::env::split_paths(&path).map(|dir| dir.join(program));
    let mut found = found.filter(|file| access(file, Access::EXEC_OK).is_ok() && file.is_file());
    found.next()
}
