//! Words of runit's messages, and names that are shown on terminals.

use crate::sys::message::errno_text;
use rustix::io::Errno;

/// The errors that files fail with, as djb's error_str(3) has them, which runit and daemontools
/// print. Others read as in the rest of nssbox.
const TEXTS: &[(Errno, &str)] = &[
    (Errno::NOENT, "file does not exist"),
    (Errno::ACCESS, "access denied"),
    (Errno::PERM, "permission denied"),
    (Errno::NOTDIR, "not a directory"),
    (Errno::ISDIR, "is a directory"),
    (Errno::LOOP, "symbolic link loop"),
    (Errno::NAMETOOLONG, "file name too long"),
    (Errno::NXIO, "device not configured"),
    (Errno::AGAIN, "temporary failure"),
    (Errno::PIPE, "broken pipe"),
    (Errno::IO, "input/output error"),
    (Errno::NOMEM, "out of memory"),
    (Errno::EXIST, "file already exists"),
    (Errno::NOSPC, "out of disk space"),
    (Errno::DQUOT, "disk quota exceeded"),
    (Errno::ROFS, "read-only file system"),
    (Errno::NFILE, "system cannot open more files"),
    (Errno::MFILE, "process cannot open more files"),
    (Errno::NODEV, "device does not support operation"),
    (Errno::TXTBSY, "text busy"),
    (Errno::BUSY, "device busy"),
    (Errno::INVAL, "invalid argument"),
    (Errno::STALE, "stale NFS file handle"),
];

/// What an errno means.
pub fn errno(errno: Errno) -> Vec<u8> {
    let known = TEXTS.iter().find(|(number, _)| *number == errno);
    known.map_or_else(|| errno_text(errno), |(_, text)| text.as_bytes().to_vec())
}

/// Adds text of others: a control byte is `?`, so that it moves no cursor and makes no line.
pub fn push_shown(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().map(|byte| if is_control(*byte) { b'?' } else { *byte }));
}

/// Whether a byte may do something to a terminal.
pub fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}
