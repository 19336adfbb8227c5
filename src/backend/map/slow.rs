//! File systems on which a look at a file can wait for the network, or for a mount.

use super::config::Config;
use super::scan::directory;
use super::template::Pattern;
use crate::sys::file::open_path;
use crate::sys::message::Message;
use rustix::fs::{Mode, OFlags, fstatfs};

/// `f_type` of statfs(2), from linux/magic.h and the file systems' own headers.
const SLOW: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0187, "autofs"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x564c, "NCP"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x4750_4653, "GPFS"),
];

fn name_of(kind: u32) -> Option<&'static str> {
    SLOW.iter().find(|(k, _)| *k == kind).map(|(_, name)| *name)
}

/// Whether some evidence of the configuration can block; says so.
pub fn find(config: &Config) -> bool {
    let mut found = false;
    for section in &config.sections {
        if section.require.home || section.rc {
            found |= is_slow(&section.template.home);
        }
        for file in &section.require.files {
            found |= is_slow(file);
        }
    }
    found
}

/// Whether what a pattern leads to is on a slow file system; says so.
fn is_slow(pattern: &Pattern) -> bool {
    let Some((dir, ..)) = directory(pattern) else { return false };
    let Some(kind) = kind_of(dir) else { return false };
    let mut message = Message::warning("nsssd-map");
    message.path(dir).text(" is on ").text(kind);
    message.text(": it can block, and is asked in a process of its own").send();
    true
}

/// What slow file system `dir` is on, or the nearest directory above it that exists. Opened as a
/// path only: that mounts nothing.
fn kind_of(mut dir: &[u8]) -> Option<&'static str> {
    loop {
        if let Ok(fd) = open_path(dir, OFlags::PATH, Mode::empty()) {
            return name_of(fstatfs(&fd).ok()?.f_type as u32);
        }
        let slash = dir.iter().rposition(|b| *b == b'/')?;
        dir = match (slash, dir) {
            (0, [_]) => return None,
            (0, _) => b"/",
            _ => dir.get(..slash)?,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_slow_and_local_ones_are_not() {
        assert_eq!((name_of(0x6969), name_of(0x187)), (Some("NFS"), Some("autofs")));
        // ext4, tmpfs, overlayfs.
        for local in [0xef53, 0x0102_1994, 0x794c_7630] {
            assert_eq!(name_of(local), None);
        }
        assert_eq!(kind_of(b"/proc/self/nothing/there"), None);
    }
}
