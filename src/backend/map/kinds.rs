//! File systems on which a look at a file can wait for the network, or for a mount.

/// What cannot be told, and so may be one.
pub const UNKNOWN: &str = "an unknown file system";

/// Names of the mount table, and how they are told. Each also stands for those that go on with a dot:
/// `fuse.sshfs`.
const SLOW: &[(&str, &str)] = &[
    ("nfs", "NFS"),
    ("nfs4", "NFS"),
    ("cifs", "CIFS"),
    ("smb3", "SMB"),
    ("smbfs", "SMB"),
    ("autofs", "autofs"),
    ("fuse", "FUSE"),
    ("fuseblk", "FUSE"),
    ("virtiofs", "FUSE"),
    ("9p", "9p"),
    ("ceph", "Ceph"),
    ("afs", "AFS"),
    ("coda", "Coda"),
    ("ncpfs", "NCP"),
    ("lustre", "Lustre"),
    ("gfs2", "GFS2"),
    ("ocfs2", "OCFS2"),
    ("gpfs", "GPFS"),
    ("pvfs2", "OrangeFS"),
];

/// How a kind of file system is told, if it is a slow one.
pub fn kind_of(kind: &[u8]) -> Option<&'static str> {
    let name = kind.split(|b| *b == b'.').next().unwrap_or_default();
    SLOW.iter().find(|(slow, _)| slow.as_bytes() == name).map(|(_, told)| *told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_slow_and_local_ones_are_not() {
        for (kind, told) in [("nfs4", "NFS"), ("autofs", "autofs"), ("fuse.sshfs", "FUSE")] {
            assert_eq!(kind_of(kind.as_bytes()), Some(told));
        }
        for local in ["ext4", "tmpfs", "overlay", "fusectl", ""] {
            assert_eq!(kind_of(local.as_bytes()), None);
        }
    }
}
