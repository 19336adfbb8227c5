//! What every decoder and encoder returns.

use core::error::Error;
use core::fmt::{self, Display, Formatter};

/// A decoded value and the number of bytes it took from the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded<T> {
    /// What was decoded.
    pub value: T,
    /// Bytes taken from the input.
    pub len: usize,
}

/// Bytes that nothing can make valid, and what is wrong with them, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub(crate) &'static str);

impl Malformed {
    /// What is wrong: a few words without a full stop.
    pub fn reason(self) -> &'static str {
        self.0
    }
}

/// Why the front of an input could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends early; at least this many further bytes are needed.
    Incomplete(usize),
    /// No further bytes can make this valid.
    Malformed(Malformed),
}

/// Why a value was not written. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The output is too small; this many bytes are needed in all.
    NoSpace(usize),
    /// The protocol cannot carry the value. The text says why, for people.
    Unrepresentable(&'static str),
}

impl DecodeError {
    /// The error of bytes that are wrong in this way.
    pub(crate) const fn malformed(reason: &'static str) -> Self {
        DecodeError::Malformed(Malformed(reason))
    }
}

impl From<Malformed> for DecodeError {
    fn from(malformed: Malformed) -> Self {
        DecodeError::Malformed(malformed)
    }
}

impl Display for Malformed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Display for DecodeError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Incomplete(missing) => {
                write!(f, "incomplete: at least {missing} more bytes are needed")
            }
            DecodeError::Malformed(malformed) => malformed.fmt(f),
        }
    }
}

impl Display for EncodeError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::NoSpace(size) => write!(f, "no space: {size} bytes are needed"),
            EncodeError::Unrepresentable(reason) => f.write_str(reason),
        }
    }
}

impl Error for Malformed {}
impl Error for DecodeError {}
impl Error for EncodeError {}
