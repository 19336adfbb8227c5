//! Why an applet ends before its time: what the user reads, and the exit code.

use super::message::Message;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// An exit code, 0 to 255. A word, so that a result of it or an error is returned in registers.
pub type Code = usize;

/// Exit codes that several applets share.
pub mod code {
    use super::Code;

    /// The peer broke the protocol.
    pub const PROTOCOL: Code = 1;
    /// Wrong usage.
    pub const USAGE: Code = 100;
    /// A system call failed, or a deadline passed.
    pub const SYSTEM: Code = 111;
}

/// An error that ends an applet. It is printed once, in main. Boxed, since each `?` moves it: that
/// makes the executable 15 KB smaller.
#[derive(Debug)]
pub struct Error(Box<Story>);

/// What an error tells.
#[derive(Debug)]
pub struct Story {
    /// The process's exit code.
    pub code: Code,
    what: &'static str,
    subject: Option<Vec<u8>>,
    cause: Option<Errno>,
    /// The command line was wrong: `--help` is pointed to.
    pub usage: bool,
}

impl std::ops::Deref for Error {
    type Target = Story;

    fn deref(&self) -> &Story {
        &self.0
    }
}

impl Error {
    #[inline(never)]
    fn new(code: Code, what: &'static str, cause: Option<Errno>) -> Self {
        Error(Box::new(Story { code, what, subject: None, cause, usage: false }))
    }

    /// A failed system call, exit 111. `what` is `unable to …`.
    pub fn system(what: &'static str, cause: Errno) -> Self {
        Error::new(code::SYSTEM, what, Some(cause))
    }

    /// Wrong usage, exit 100, that `what` tells whole.
    pub fn usage(what: &'static str) -> Self {
        Error::new(code::USAGE, what, None)
    }

    /// A wrong command line, exit 100: where to find the right one follows.
    pub fn options(what: &'static str) -> Self {
        let mut error = Error::usage(what);
        error.0.usage = true;
        error
    }

    /// Ends without a word.
    pub fn silent(code: Code) -> Self {
        Error::new(code, "", None)
    }

    /// Another exit code.
    pub fn with_code(mut self, code: Code) -> Self {
        self.0.code = code;
        self
    }

    /// Which file, word or variable.
    pub fn about(self, subject: impl AsRef<OsStr>) -> Self {
        self.about_bytes(subject.as_ref().as_bytes())
    }

    #[inline(never)]
    fn about_bytes(mut self, subject: &[u8]) -> Self {
        self.0.subject = Some(subject.to_vec());
        self
    }

    /// `PROGRAM: fatal: WHAT SUBJECT: CAUSE` on standard error.
    pub fn print(&self, program: &str) {
        if self.what.is_empty() {
            return;
        }
        let mut message = Message::new(program, "fatal");
        message.text(self.what);
        if let Some(subject) = &self.subject {
            message.text(" ").path(subject);
        }
        if let Some(cause) = self.cause {
            message.text(": ").errno(cause);
        }
        if self.usage {
            message.text(" (see ").text(program).text(" --help)");
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
