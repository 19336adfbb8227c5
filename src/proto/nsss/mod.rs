//! The nsss protocol: what a client asks and what a daemon answers, on a stream without
//! alignment, padding or greeting. All integers are unsigned and big-endian.
//!
//! Replies have no tag and no end: what was asked decides how a reply is read, and a reply's head
//! tells how much follows.
//!
//! Source: doc/protocols/nsss.md of nssbox, sections 2 and 3.
//!
//! ```
//! use nssproto::entry::{Db, Name};
//! use nssproto::nsss::{self, Reply, Request, status};
//! use nssproto::line;
//!
//! // What a client sends.
//! let request = Request::ByName(Db::Group, Name::new(b"staff").unwrap());
//! let mut wire = [0; Request::MAX];
//! let len = request.encode(&mut wire)?;
//! assert_eq!(wire[..len], *b"\x13\0\0\0\x06staff\0");
//!
//! // What a daemon makes of it and answers.
//! let decoded = Request::decode(&wire[..len])?;
//! assert_eq!((decoded.value, decoded.len), (request, len));
//! let record = line::parse(Db::Group, b"staff:x:50:ada,bob")?;
//! let mut reply = [0; 64];
//! let len = nsss::encode(&record, &mut reply)?;
//!
//! // What the client makes of that: the head, and the strings behind it.
//! let decoded = Reply::decode(&request, &reply[..len])?;
//! let Reply::Record(head) = decoded.value else { panic!("no record") };
//! assert_eq!(decoded.len + head.area_len() as usize, len);
//! assert_eq!(head.record(&reply[decoded.len..len])?, record);
//!
//! // Not found is a single byte.
//! assert_eq!(Reply::decode(&request, &[status::NOT_FOUND])?.value, Reply::NotFound);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod reply;
mod request;
pub mod stream;

pub use reply::{GroupListHead, Head, MEMBERS_MAX, Reply, encode, status};
pub use request::{Request, RequestError};
