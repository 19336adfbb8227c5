//! The codecs of nssbox: bytes in, values out, and back.
//!
//! The contract, for every module here:
//!
//! - Decoders never panic, never allocate, and read each byte at most once. What they return
//!   borrows from the input. A length is checked before it is used.
//! - Encoders write nothing past the slice they are given, and write a whole unit or nothing.
//! - What is larger than any buffer (a group of 100,000 members) is handled in pieces of any
//!   size: [`stream`] measures, copies and checks it without keeping it.
//! - No I/O, no clock, no state outside the values.
//!
//! Offsets are touched in [`bytes`] only; nothing here indexes a slice.

#![no_std]
#![forbid(unsafe_code)]

pub mod bytes;
pub mod entry;
pub mod line;
pub mod line_glibc;
pub mod nscd;
pub mod nslcd;
pub mod nsss;
pub mod stream;

/// Why bytes were refused, or could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The input ends early; at least this many further bytes are needed.
    More(usize),
    /// No further bytes can make this valid. The text says what is wrong.
    Bad(&'static str),
    /// The output slice is too small; this many bytes are needed in all.
    Room(usize),
}

/// A decoded value and the number of bytes it took from the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Took<T> {
    /// What was decoded.
    pub value: T,
    /// Bytes taken from the input.
    pub len: usize,
}
