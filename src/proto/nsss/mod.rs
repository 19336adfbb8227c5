//! The nsss protocol: what a client asks and what a daemon answers, on a stream without
//! alignment, padding or greeting. All integers are unsigned and big-endian.
//!
//! Source: doc/protocols/nsss.md, sections 2 and 3.

mod reply;
mod request;
pub mod stream;

pub use reply::{GroupListHead, Head, MEMBERS_MAX, Reply, encode, status};
pub use request::{Request, RequestError};
