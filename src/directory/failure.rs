//! Why a map is not updated, and what comes of it.

use rustix::io::Errno;
use std::ffi::OsStr;
use std::fmt::{self, Display, Formatter};
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;

/// What may be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The source cannot be reached, or stopped in the middle: it is tried again, and exit 75 in the end.
    Unavailable,
    /// What the source says, or the configuration, will not do: exit 1.
    Refused,
}

/// A failure, in one line for the log. It is a pointer, so that a result of nothing is one word, which costs
/// every `?` of this part little.
#[derive(Clone, Debug)]
pub struct Failure(Box<Why>);

/// What a [`Failure`] says.
#[derive(Clone, Debug)]
pub struct Why {
    /// What may be done.
    pub kind: Kind,
    /// In words.
    pub text: String,
}

/// A result of this part.
pub type Done<T = ()> = Result<T, Failure>;

impl Failure {
    /// What it is, in words.
    #[cold]
    fn new(kind: Kind, text: String) -> Self {
        Failure(Box::new(Why { kind, text }))
    }

    /// Trying again does not help.
    pub fn refused(text: impl Into<String>) -> Self {
        Failure::new(Kind::Refused, text.into())
    }

    /// Trying again may help.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Failure::new(Kind::Unavailable, text.into())
    }

    /// The same, with what is told of it.
    pub fn adding(mut self, told: &str) -> Self {
        self.0.text.push_str(": ");
        self.0.text.push_str(told);
        self
    }

    /// The same; trying again does not help.
    pub fn refusing(mut self) -> Self {
        self.0.kind = Kind::Refused;
        self
    }

    /// Its words.
    pub fn into_text(self) -> String {
        self.0.text
    }

    /// The same in other words.
    pub fn reworded(mut self, text: String) -> Self {
        self.0.text = text;
        self
    }

    /// A failed system call: `unable to WHAT PATH: …`.
    pub fn system(what: &str, path: &[u8], errno: Errno) -> Self {
        let reason = crate::sys::message::errno_text(errno);
        let reason = String::from_utf8_lossy(&reason);
        Failure::refused(format!("unable to {what} {}: {reason}", shown(path)))
    }
}

impl Deref for Failure {
    type Target = Why;

    fn deref(&self) -> &Why {
        &self.0
    }
}

impl std::error::Error for Failure {}

impl From<crate::sys::error::Error> for Failure {
    fn from(error: crate::sys::error::Error) -> Self {
        Failure::refused(error.text())
    }
}

impl Failure {
    /// An error of reading a body: our own words about it, or else a connection that broke.
    pub fn of_reading(error: std::io::Error) -> Self {
        match error.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(error) => Failure::unavailable(format!("broken off: {error}")),
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Bytes of somebody else in a line of the log: escaped, and cut to 64 characters.
pub fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 64;
    let text = String::from_utf8_lossy(bytes);
    let mut out: String = text
        .chars()
        .take(MOST)
        .flat_map(|c| {
            let plain = !c.is_control() && c != char::REPLACEMENT_CHARACTER;
            let escaped = (!plain).then(|| c.escape_default());
            plain.then_some(c).into_iter().chain(escaped.into_iter().flatten())
        })
        .collect();
    if text.chars().nth(MOST).is_some() {
        out.push_str("...");
    }
    out
}

/// A path of our own, for what takes `OsStr`.
pub fn os(path: &[u8]) -> &OsStr {
    OsStr::from_bytes(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_write_lines() {
        assert_eq!(shown(b"a\nb\x1b[0m"), "a\\nb\\u{1b}[0m");
        assert_eq!(shown("J\u{f6}rg".as_bytes()), "J\u{f6}rg");
        assert_eq!(shown(&[b'x'; 70]).len(), 67);
    }
}
