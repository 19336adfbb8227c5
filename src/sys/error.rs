//! Why an applet ends before its time: what the user reads, and the exit code.

use super::message::Message;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Exit codes that several applets share.
pub mod code {
    /// The peer broke the protocol.
    pub const PROTOCOL: u8 = 1;
    /// Wrong usage.
    pub const USAGE: u8 = 100;
    /// A system call failed, or a deadline passed.
    pub const SYSTEM: u8 = 111;
}

/// An error that ends an applet. It is printed once, in main.
#[derive(Debug)]
pub struct Error {
    /// The process's exit code.
    pub code: u8,
    what: &'static str,
    subject: Option<Vec<u8>>,
    cause: Option<Errno>,
    /// The command line was wrong: `--help` is pointed to.
    pub usage: bool,
}

impl Error {
    /// A failed system call, exit 111. `what` is `unable to …`.
    pub fn system(what: &'static str, cause: Errno) -> Self {
        Error { code: code::SYSTEM, what, subject: None, cause: Some(cause), usage: false }
    }

    /// Wrong usage, exit 100, that `what` tells whole.
    pub fn usage(what: &'static str) -> Self {
        Error { code: code::USAGE, what, subject: None, cause: None, usage: false }
    }

    /// A wrong command line, exit 100: where to find the right one follows.
    pub fn options(what: &'static str) -> Self {
        Error { usage: true, ..Error::usage(what) }
    }

    /// Ends without a word.
    pub fn silent(code: u8) -> Self {
        Error { code, what: "", subject: None, cause: None, usage: false }
    }

    /// Another exit code.
    pub fn with_code(self, code: u8) -> Self {
        Error { code, ..self }
    }

    /// Which file, word or variable.
    pub fn about(self, subject: impl AsRef<OsStr>) -> Self {
        Error { subject: Some(subject.as_ref().as_bytes().to_vec()), ..self }
    }

    /// `PROGRAM: fatal: WHAT SUBJECT: CAUSE` on standard error.
    pub fn print(&self, program: &str) {
        if self.what.is_empty() {
            return;
        }
        let mut message = Message::new(program, "fatal").text(self.what);
        if let Some(subject) = &self.subject {
            message = message.text(" ").path(subject);
        }
        if let Some(cause) = self.cause {
            message = message.text(": ").errno(cause);
        }
        if self.usage {
            message = message.text(" (see ").text(program).text(" --help)");
        }
        message.send();
    }
}

/// For `map_err` behind a system call that concerns nothing in particular.
pub fn unable(what: &'static str) -> impl Fn(Errno) -> Error {
    move |cause| Error::system(what, cause)
}

/// The errno of an error of std; EIO where it has none.
pub fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}
