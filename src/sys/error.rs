//! Why an applet ends before its time: what the user reads, and the exit code.

use super::file::directory;
use super::message::Message;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// An exit code. A word, so that a result of it or an error is returned in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(usize);

impl Exit {
    /// All is well.
    pub const SUCCESS: Exit = Exit(0);
    /// A tool found something wrong, or did not find what it was asked for.
    pub const FAILURE: Exit = Exit(1);
    /// The peer broke the protocol.
    pub const PROTOCOL: Exit = Exit(1);
    /// Wrong usage.
    pub const USAGE: Exit = Exit(100);
    /// A system call failed, or a deadline passed.
    pub const SYSTEM: Exit = Exit(111);

    /// One that has another meaning.
    pub const fn new(code: u8) -> Self {
        Exit(code as usize)
    }

    /// What the process's parent sees.
    pub const fn code(self) -> u8 {
        self.0 as u8
    }
}

/// An error that ends an applet. It is printed once, in main. Boxed, since each `?` moves it: that
/// makes the executable 15 KB smaller.
#[derive(Debug)]
pub struct Error(Box<Story>);

/// What an error tells.
#[derive(Debug)]
pub struct Story {
    /// The process's exit code.
    pub exit: Exit,
    what: &'static str,
    subject: Option<Vec<u8>>,
    cause: Option<Errno>,
    /// Whether the command line is at fault, and how.
    pub hint: Hint,
}

/// Where a command line leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// It is not at fault.
    None,
    /// It is wrong: `--help` is pointed to.
    SeeHelp,
    /// It asks for help.
    Help,
    /// It asks which version this is.
    Version,
}

impl std::ops::Deref for Error {
    type Target = Story;

    fn deref(&self) -> &Story {
        &self.0
    }
}

impl Error {
    #[inline(never)]
    fn new(exit: Exit, what: &'static str, cause: Option<Errno>) -> Self {
        Error(Box::new(Story { exit, what, subject: None, cause, hint: Hint::None }))
    }

    /// A failed system call, exit 111. `what` is `unable to …`.
    pub fn system(what: &'static str, cause: Errno) -> Self {
        Error::new(Exit::SYSTEM, what, Some(cause))
    }

    /// What cannot be done though no system call failed, exit 111.
    pub fn refused(what: &'static str) -> Self {
        Error::new(Exit::SYSTEM, what, None)
    }

    /// Wrong usage, exit 100, that `what` tells whole.
    pub fn usage(what: &'static str) -> Self {
        Error::new(Exit::USAGE, what, None)
    }

    /// A wrong command line, exit 100: where to find the right one follows.
    pub fn options(what: &'static str) -> Self {
        Error::usage(what).with_hint(Hint::SeeHelp)
    }

    /// What a build with fewer features has not, exit 100.
    pub fn lacking(option: &str) -> Self {
        Error::usage("this build has no").about(option)
    }

    /// Ends without a word.
    pub fn silent(exit: Exit) -> Self {
        Error::new(exit, "", None)
    }

    /// Another hint.
    pub fn with_hint(mut self, hint: Hint) -> Self {
        self.0.hint = hint;
        self
    }

    /// Another exit code.
    pub fn with_exit(mut self, exit: Exit) -> Self {
        self.0.exit = exit;
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

    /// `WHAT SUBJECT: CAUSE`
    #[cfg(feature = "nsscache")]
    pub fn text(&self) -> String {
        let mut text = self.what.to_owned();
        if let Some(subject) = &self.subject {
            text = format!("{text} {}", String::from_utf8_lossy(subject));
        }
        match self.cause {
            Some(cause) => {
                let cause = super::message::errno_text(cause);
                format!("{text}: {}", String::from_utf8_lossy(&cause))
            }
            None => text,
        }
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
        if self.hint != Hint::None {
            message.text(" (see ").text(program).text(" --help)");
        }
        message.send();
    }
}

/// Why nothing can be made at `at`; where the directory is missing, what to do.
pub fn not_made(what: &'static str, at: &[u8], cause: Errno) -> Error {
    let hint = [at, b" (first run mkdir -p ", directory(at), b")"].concat();
    let subject = if cause == Errno::NOENT { &hint } else { at };
    Error::system(what, cause).about(OsStr::from_bytes(subject))
}

/// For `map_err` behind a system call that concerns nothing in particular.
pub fn unable(what: &'static str) -> impl Fn(Errno) -> Error {
    move |cause| Error::system(what, cause)
}
