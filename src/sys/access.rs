//! Who asks, and whether that user could have opened a file himself.
//!
//! The kernel is not asked, since it knows only our own rights. So this is its rule for what can be
//! seen from here, and "no" for what cannot: see doc/security.md, "What is judged how".

use crate::sys::stat::{Stat, lstat};
use nssproto::bytes::decimal_u32;
use nssproto::entry::{Gid, Uid};
use rustix::fs::{FileType, OFlags, fgetxattr, getxattr};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

/// Who is at the other end of a socket, by SO_PEERCRED: effective ids as the kernel tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Effective user id.
    pub uid: Uid,
    /// Effective group id.
    pub gid: Gid,
}

impl Peer {
    /// By the ids of a system call.
    pub fn of(uid: rustix::fs::Uid, gid: rustix::fs::Gid) -> Self {
        Peer { uid: Uid(uid.as_raw()), gid: Gid(gid.as_raw()) }
    }

    /// Whether it is root.
    pub fn is_root(self) -> bool {
        self.uid == Uid(0)
    }

    /// Whether he could open the file of this path for reading, and that is what it was when it was
    /// looked at: its own bits, no access control list, and the same of every directory above.
    pub fn could_read(self, path: &CStr, is_it: &dyn Fn(&Stat) -> bool) -> bool {
        self.is_root()
            || self.may_reach(path) == Some(true) && {
                let there = |file: &Stat| is_plain(file) && self.is_in_class(file, Want::Read);
                lstat(path).is_ok_and(|file| there(&file) && is_it(&file)) && !has_acl(path)
            }
    }

    /// Whether he may search each directory on the way to the end of a path. `None`: there is no
    /// saying, since the path is not whole or too long.
    fn may_reach(self, path: &CStr) -> Option<bool> {
        let bytes = path.to_bytes();
        if bytes.first() != Some(&b'/') {
            return None;
        }
        let mut room = [0; PATH_MAX];
        for at in (0..bytes.len()).filter(|at| bytes.get(*at) == Some(&b'/')) {
            // The root directory is its own slash.
            let len = at.max(1);
            room.get_mut(..len)?.copy_from_slice(bytes.get(..len)?);
            *room.get_mut(len)? = 0;
            let above = CStr::from_bytes_until_nul(&room).ok()?;
            let directory = lstat(above).ok()?;
            let is_one = FileType::from_raw_mode(directory.st_mode) == FileType::Directory;
            if !is_one || !self.is_in_class(&directory, Want::Search) || has_acl(above) {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Whether each class of a file's mode that may be his allows it: the owner's for the owner
    /// alone. Whether he is in the file's group is known of one group, his further ones are not, so
    /// that of others the bits for group and others must allow it. An id that stands for many is
    /// nobody's, and may be anybody's.
    fn is_in_class(self, file: &Stat, want: Want) -> bool {
        let bit = want as u32;
        let mode = file.st_mode;
        let (owner, group, other) = (mode & bit << 6 != 0, mode & bit << 3 != 0, mode & bit != 0);
        let (many_users, many_groups) = shared_ids();
        let is_owner = self.uid.0 == file.st_uid;
        let is_shared = is_owner && self.uid.0 == many_users;
        if is_owner && !is_shared {
            return owner;
        }
        let is_group = self.gid.0 == file.st_gid && self.gid.0 != many_groups;
        group && (other || is_group) && (owner || !is_shared)
    }
}

/// What is wanted of a file: a bit of a class of its mode.
#[derive(Clone, Copy)]
enum Want {
    Read = 4,
    Search = 1,
}

/// The longest path that is judged.
const PATH_MAX: usize = 4096;

/// Where lists of rights stand besides the mode: with one of them, the mode says something else.
const ACLS: [&CStr; 2] = [c"system.posix_acl_access", c"system.nfs4_acl"];

/// Whether a file has no links to follow: those could lead through directories that are not seen.
fn is_plain(file: &Stat) -> bool {
    FileType::from_raw_mode(file.st_mode) != FileType::Symlink
}

fn has_acl(path: &CStr) -> bool {
    ACLS.iter().any(|name| is_there(getxattr(path, *name, &mut [0_u8; 0])))
}

/// The same of what is open.
fn has_acl_open(file: BorrowedFd<'_>) -> bool {
    ACLS.iter().any(|name| is_there(fgetxattr(file, *name, &mut [0_u8; 0])))
}

/// Only a file system that knows says that there is none.
fn is_there(asked: Result<usize, Errno>) -> bool {
    !matches!(asked, Err(Errno::NODATA | Errno::NOTSUP))
}

/// The uid and the gid that the kernel tells in place of those that this user namespace has not, or
/// this mount. They are read once, before anything is served.
pub fn shared_ids() -> (u32, u32) {
    static IDS: OnceLock<(u32, u32)> = OnceLock::new();
    *IDS.get_or_init(|| {
        let id = |path| number_in(path).unwrap_or(65534);
        (id(c"/proc/sys/kernel/overflowuid"), id(c"/proc/sys/kernel/overflowgid"))
    })
}

fn number_in(path: &CStr) -> Option<u32> {
    let file = super::file::open(path, OFlags::RDONLY, rustix::fs::Mode::empty()).ok()?;
    let mut room = [0; 16];
    let len = super::file::pread_full(&file, &mut room, 0).ok()?;
    decimal_u32(room.get(..len)?.trim_ascii())
}

/// With whose rights files are read for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Those of this process, which are his own: the kernel decides.
    Own,
    /// Those of a client of a server which has more rights than he. His supplementary groups are
    /// not known and give him nothing.
    Peer(Peer),
    /// Those of this process, which tells everybody the same (nscd). The client's ids matter only
    /// where an answer is about himself.
    Public(Peer),
    /// Those of a client whose credentials were not looked up (`ipcserver -P`): he sees what
    /// everybody may see, and nothing secret.
    Unknown,
}

impl Rights {
    /// Those of a client of a server, by his credentials if they were looked up.
    pub fn of(peer: Option<Peer>) -> Self {
        peer.map_or(Rights::Unknown, Rights::Peer)
    }

    /// Whether he may see what this process is told for its own rights' sake.
    pub fn are_ours(self) -> bool {
        match self {
            Rights::Own => true,
            Rights::Peer(peer) => peer.is_root(),
            Rights::Public(_) | Rights::Unknown => false,
        }
    }

    /// EACCES unless the file at `path`, which is this one, can be read. A `secret` one is not for
    /// the unknown, whatever its mode. Lists of rights and directories above are looked at where it
    /// is secret, or not for everybody by its mode: with a file that everybody may read, each lookup
    /// of a user would pay for it.
    pub fn check_read(self, file: &Stat, path: &CStr, secret: bool) -> Result<(), Errno> {
        let same = |there: &Stat| (there.st_dev, there.st_ino) == (file.st_dev, file.st_ino);
        self.check(file, secret, |peer| peer.could_read(path, &same))
    }

    /// The same of what is open, once the way there was judged: see [`Rights::check_read`].
    pub fn check_read_open(
        self,
        file: &Stat,
        open: BorrowedFd<'_>,
        secret: bool,
    ) -> Result<(), Errno> {
        self.check(file, secret, |_| !has_acl_open(open))
    }

    fn check(self, file: &Stat, secret: bool, and: impl FnOnce(Peer) -> bool) -> Result<(), Errno> {
        let for_everybody = file.st_mode & 0o444 == 0o444;
        let may = match self {
            Rights::Own | Rights::Public(_) => true,
            Rights::Peer(peer) if peer.is_root() => true,
            Rights::Peer(_) if for_everybody && !secret => true,
            Rights::Peer(peer) => peer.is_in_class(file, Want::Read) && and(peer),
            Rights::Unknown => for_everybody && !secret,
        };
        if may { Ok(()) } else { Err(Errno::ACCESS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::{Path, PathBuf};

    const NOBODY: u32 = 65534;

    /// A file of this owner, group and mode, as far as it is looked at.
    fn file(uid: u32, gid: u32, mode: u32) -> Stat {
        let mut file = lstat(c"/").unwrap();
        (file.st_uid, file.st_gid, file.st_mode) = (uid, gid, mode);
        file
    }

    fn peer(uid: u32, gid: u32) -> Peer {
        Peer { uid: Uid(uid), gid: Gid(gid) }
    }

    #[test]
    fn only_the_classes_that_may_be_his_count_and_all_of_them() {
        // Owner, group, mode; uid and gid of the peer; whether he may read.
        let cases = [
            ((7, 8, 0o400), (7, 8), true),
            ((7, 8, 0o044), (7, 8), false),
            ((7, 8, 0o040), (9, 8), true),
            ((7, 8, 0o004), (9, 8), false),
            ((7, 8, 0o004), (9, 9), false),
            ((7, 8, 0o040), (9, 9), false),
            ((7, 8, 0o044), (9, 9), true),
            // An id that stands for many: perhaps the owner, perhaps of the group, perhaps neither.
            ((NOBODY, 8, 0o400), (NOBODY, 9), false),
            ((NOBODY, 8, 0o044), (NOBODY, 9), false),
            ((NOBODY, 8, 0o440), (NOBODY, 8), true),
            ((NOBODY, 8, 0o444), (NOBODY, 9), true),
            ((NOBODY, 8, 0o044), (9, 9), true),
            ((7, NOBODY, 0o040), (9, NOBODY), false),
            ((7, NOBODY, 0o044), (9, NOBODY), true),
            ((7, NOBODY, 0o400), (7, NOBODY), true),
        ];
        assert_eq!(shared_ids(), (NOBODY, NOBODY), "this machine has others");
        for ((owner, group, mode), (uid, gid), may) in cases {
            let file = file(owner, group, mode);
            let peer = peer(uid, gid);
            assert_eq!(
                peer.is_in_class(&file, Want::Read),
                may,
                "{owner}:{group} {mode:o} {peer:?}"
            );
            let search = self::file(owner, group, mode >> 2);
            assert_eq!(peer.is_in_class(&search, Want::Search), may, "{mode:o} {peer:?}");
        }
    }

    #[test]
    fn what_everybody_may_read_is_for_the_unknown_but_no_secret() {
        let path = c"/nonexistent";
        let check = |rights: Rights, mode, secret| {
            rights.check_read(&file(0, 0, mode), path, secret).is_ok()
        };
        assert!(check(Rights::Unknown, 0o444, false) && !check(Rights::Unknown, 0o444, true));
        assert!(!check(Rights::Unknown, 0o044, false) && !check(Rights::Unknown, 0o604, false));
        let (somebody, root) = (Rights::Peer(peer(7, 7)), Rights::Peer(peer(0, 0)));
        // By its mode alone; any other is looked for, and is not there.
        assert!(check(somebody, 0o644, false));
        assert!(!check(somebody, 0o644, true) && !check(somebody, 0o044, false));
        assert!(check(root, 0o000, true) && check(Rights::Own, 0o000, true));
        assert!(check(Rights::Public(peer(7, 7)), 0o000, true));
    }

    /// A fresh directory, and a file in it that everybody may read.
    fn made(name: &str) -> (PathBuf, PathBuf) {
        let dir = std::env::temp_dir().join(format!("nssbox-access.{}.{name}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        let file = dir.join("file");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        (dir, file)
    }

    fn could_read(path: &Path) -> bool {
        let somebody = peer(4242, 4242);
        somebody.could_read(&CString::new(path.as_os_str().as_bytes()).unwrap(), &|_| true)
    }

    #[test]
    fn each_directory_above_counts_and_no_link_is_followed() {
        let (dir, file) = made("walk");
        assert!(could_read(&file));
        assert!(could_read(&dir.join("./file")));
        let doubled = [dir.as_os_str().as_bytes(), b"//file"].concat();
        assert!(could_read(Path::new(std::ffi::OsStr::from_bytes(&doubled))));
        for (mode, may) in [(0o700, false), (0o701, false), (0o710, false), (0o711, true)] {
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(could_read(&file), may, "{mode:o}");
        }
        assert!(!could_read(&dir.join("missing")) && !could_read(&file.join("below")));
        assert!(!could_read(Path::new("Cargo.toml")), "a path that is not whole");
        let (link, by_link) = (dir.join("link"), dir.join("dir"));
        symlink(&file, &link).unwrap();
        symlink(&dir, &by_link).unwrap();
        assert!(!could_read(&link) && !could_read(&by_link.join("file")));
        assert!(peer(0, 0).could_read(c"anything", &|_| false), "root");
        let other = fs::metadata(&file).unwrap().ino() + 1;
        let path = CString::new(file.as_os_str().as_bytes()).unwrap();
        #[allow(clippy::unnecessary_cast, reason = "another type on other targets")]
        let is_other = |there: &Stat| there.st_ino as u64 == other;
        assert!(!peer(4242, 4242).could_read(&path, &is_other), "another file");
        fs::remove_dir_all(&dir).unwrap();
    }
}
