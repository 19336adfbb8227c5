//! The texts of strerror(3). Its own are reached through std only, and bring its formatting.

use rustix::io::Errno;

/// Two lists of the same order: no pointers, and not a row of room for each errno of the kernel.
macro_rules! texts {
    ($($errno:ident => $text:literal,)*) => {
        const CODES: &[u16] = &[$(Errno::$errno.raw_os_error() as u16,)*];
        const TEXTS: &str = concat!($($text, "\n",)*);
    };
}

// glibc's. All that files, local sockets and processes fail with; others are told by number.
texts! {
    PERM => "Operation not permitted",
    NOENT => "No such file or directory",
    SRCH => "No such process",
    INTR => "Interrupted system call",
    IO => "Input/output error",
    NXIO => "No such device or address",
    TOOBIG => "Argument list too long",
    NOEXEC => "Exec format error",
    BADF => "Bad file descriptor",
    CHILD => "No child processes",
    AGAIN => "Resource temporarily unavailable",
    NOMEM => "Cannot allocate memory",
    ACCESS => "Permission denied",
    FAULT => "Bad address",
    BUSY => "Device or resource busy",
    EXIST => "File exists",
    XDEV => "Invalid cross-device link",
    NODEV => "No such device",
    NOTDIR => "Not a directory",
    ISDIR => "Is a directory",
    INVAL => "Invalid argument",
    NFILE => "Too many open files in system",
    MFILE => "Too many open files",
    NOTTY => "Inappropriate ioctl for device",
    TXTBSY => "Text file busy",
    FBIG => "File too large",
    NOSPC => "No space left on device",
    SPIPE => "Illegal seek",
    ROFS => "Read-only file system",
    MLINK => "Too many links",
    PIPE => "Broken pipe",
    RANGE => "Numerical result out of range",
    NAMETOOLONG => "File name too long",
    NOLCK => "No locks available",
    NOSYS => "Function not implemented",
    NOTEMPTY => "Directory not empty",
    LOOP => "Too many levels of symbolic links",
    PROTO => "Protocol error",
    BADMSG => "Bad message",
    OVERFLOW => "Value too large for defined data type",
    NOTSOCK => "Socket operation on non-socket",
    MSGSIZE => "Message too long",
    PROTOTYPE => "Protocol wrong type for socket",
    NOPROTOOPT => "Protocol not available",
    OPNOTSUPP => "Operation not supported",
    ADDRINUSE => "Address already in use",
    CONNRESET => "Connection reset by peer",
    NOBUFS => "No buffer space available",
    NOTCONN => "Transport endpoint is not connected",
    SHUTDOWN => "Cannot send after transport endpoint shutdown",
    TIMEDOUT => "Connection timed out",
    CONNREFUSED => "Connection refused",
    STALE => "Stale file handle",
    UCLEAN => "Structure needs cleaning",
    NOKEY => "Required key not available",
    REMOTEIO => "Remote I/O error",
    DQUOT => "Disk quota exceeded",
}

/// The same number, of nix.
pub fn of(error: nix::errno::Errno) -> Errno {
    Errno::from_raw_os_error(error as i32)
}

/// What `errno` means; `None` for one that is not expected.
pub fn text(errno: Errno) -> Option<&'static [u8]> {
    let at = CODES.iter().position(|code| i32::from(*code) == errno.raw_os_error())?;
    TEXTS.as_bytes().split(|byte| *byte == b'\n').nth(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_c_library() {
        for code in CODES.iter().map(|code| i32::from(*code)) {
            let theirs = std::io::Error::from_raw_os_error(code).to_string();
            let theirs = theirs.split(" (os error").next().unwrap_or_default();
            let ours = str::from_utf8(text(Errno::from_raw_os_error(code)).unwrap()).unwrap();
            assert!(ours == theirs || cfg!(not(target_env = "gnu")), "{ours}, not {theirs}");
        }
    }
}
