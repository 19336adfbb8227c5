//! Why dt does not do what it was told: a line on standard error as dtools prints it.

use crate::sys::error::{Error, Exit};
use crate::sys::message::errno_text;
use rustix::io::Errno;
use rustix::stdio::stderr;

/// Wrong usage, no host, a database that cannot be read.
pub const USAGE: Exit = Exit::new(2);

/// A command's own error: it was not run anywhere.
pub const MODULE: Exit = Exit::new(3);

/// What is wrong, and the exit code that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The process's exit code.
    pub exit: Exit,
    /// In words.
    pub text: String,
}

impl Complaint {
    /// Wrong usage, and all that is found before a host is asked: exit 2.
    pub fn usage(text: impl Into<String>) -> Self {
        Complaint { exit: USAGE, text: text.into() }
    }

    /// A command's own error: exit 3.
    pub fn module(text: impl Into<String>) -> Self {
        Complaint { exit: MODULE, text: text.into() }
    }

    /// A failed system call: `unable to WHAT SUBJECT: CAUSE`, exit 2.
    pub fn system(what: &str, subject: &[u8], cause: Errno) -> Self {
        Complaint::usage(failure(what, subject, cause))
    }

    /// Prints it; the error that ends the applet without another word.
    pub fn end(self) -> Error {
        tell("fail", &self.text);
        Error::silent(self.exit)
    }
}

/// `unable to WHAT SUBJECT: CAUSE`.
pub fn failure(what: &str, subject: &[u8], cause: Errno) -> String {
    let (subject, cause) = (String::from_utf8_lossy(subject), errno_text(cause));
    format!("unable to {what} {subject}: {}", String::from_utf8_lossy(&cause))
}

/// `STATUS::dt:TEXT` on standard error; control characters, which a file may have had, as `?`.
pub fn tell(status: &str, text: &str) {
    let text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let line = format!("{status}::dt:{text}\n");
    let mut rest = line.as_bytes();
    while !rest.is_empty() {
        match rustix::io::retry_on_intr(|| rustix::io::write(stderr(), rest)) {
            Ok(len) if len > 0 => rest = rest.get(len..).unwrap_or_default(),
            // There is nowhere to report it.
            _ => return,
        }
    }
}
