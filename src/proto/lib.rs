//! The codecs of nssbox: bytes in, values out, and back.
//!
//! The contract, for every module here:
//!
//! - Decoders never panic, never allocate, and read each byte at most once. What they return
//!   borrows from the input. A length is checked before it is used.
//! - Encoders write nothing past the slice they are given, and write a whole unit or nothing.
//! - What is larger than any buffer (a group of 100,000 members) is handled in pieces of any
//!   size: the modules named `stream` measure, copy and check it without keeping it.
//! - No I/O, no clock, no state outside the values.
//!
//! Offsets are touched in [`bytes`] only; nothing here indexes a slice.

#![no_std]
#![forbid(unsafe_code)]

pub mod bytes;
pub mod entry;
mod error;
pub mod line;
pub mod nscd;
pub mod nslcd;
pub mod nsss;

pub use error::{DecodeError, Decoded, EncodeError, Malformed};
