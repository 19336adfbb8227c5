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
//!
//! A protocol is a folder: `mod.rs` says what goes over the wire and gives whole requests, replies
//! and records, its module `stream` what is larger than a buffer. All share the records of
//! [`entry`] and the errors below.
//!
//! Everything is decoded from the front of what has been received so far. A stream is read until
//! [`DecodeError::Incomplete`] comes no more:
//!
//! ```
//! use nssproto::{DecodeError, nslcd::ResultCode};
//!
//! let received = [0, 0, 0];
//! assert_eq!(ResultCode::decode(&received), Err(DecodeError::Incomplete(1)));
//! let received = [0, 0, 0, 1, 0, 0];
//! let decoded = ResultCode::decode(&received).unwrap();
//! assert_eq!(decoded.value, ResultCode::Begin);
//! assert_eq!(received[decoded.len..], [0, 0]);
//! ```

#![no_std]
#![forbid(unsafe_code)]

// Tests alone may allocate.
#[cfg(test)]
extern crate std;

pub mod bytes;
pub mod cache;
pub mod entry;
mod error;
pub mod json;
pub mod ldap;
pub mod line;
pub mod nscd;
pub mod nslcd;
pub mod nsss;
pub mod supervise;
pub mod userdb;
pub mod varlink;

pub use error::{DecodeError, Decoded, EncodeError, Malformed};

#[cfg(doctest)]
#[doc = include_str!("README.md")]
struct Readme;
