//! The nslcd protocol, version 2: what nss-pam-ldapd's modules ask their daemon, one request a
//! connection. All integers are 32 bits, big-endian, without padding; a string is a length and
//! that many bytes without NUL.
//!
//! | | |
//! |---|---|
//! | request | the version, an action, its argument if it has one |
//! | reply | the version, the same action, then as often as there is an entry the number 1 and the entry, then the number 2 |
//! | passwd | name, password, uid, gid, gecos, home, shell |
//! | group | name, password, gid, number of members, so many names |
//! | shadow | name, password, last change, min, max, warn, inactive, expire, flag |
//!
//! A daemon that failed closes without the 2. Entries larger than a buffer are read with
//! [`stream`]. Source: nss-pam-ldapd's nslcd.h, and what nslcd 0.9.12 was seen to send.
//!
//! ```
//! use nssproto::entry::{Db, Uid};
//! use nssproto::line;
//! use nssproto::nslcd::{self, ReplyHeader, Request, ResultCode};
//!
//! // What a client sends.
//! let request = Request::ByUid(Uid(1001));
//! let mut wire = [0; Request::MAX];
//! let len = request.encode(&mut wire)?;
//!
//! // What a daemon makes of it and answers.
//! let action = Request::decode(&wire[..len])?.value.action();
//! let record = line::parse(Db::Passwd, b"ada:*:1001:1000:Ada:/home/ada:/bin/sh")?;
//! let mut reply = [0; 128];
//! let mut len = ReplyHeader { action }.encode(&mut reply)?;
//! len += ResultCode::Begin.encode(&mut reply[len..])?;
//! len += nslcd::encode(&record, &mut reply[len..])?;
//! len += ResultCode::End.encode(&mut reply[len..])?;
//!
//! // What the client makes of that.
//! let mut at = ReplyHeader::decode(request.action(), &reply[..len])?.len;
//! while let ResultCode::Begin = ResultCode::decode(&reply[at..len])?.value {
//!     at += ResultCode::SIZE;
//!     let decoded = nslcd::decode(request.db(), &reply[at..len])?;
//!     assert_eq!(decoded.value, record);
//!     at += decoded.len;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod record;
mod reply;
mod request;
pub mod stream;

pub use record::{decode, encode};
pub use reply::{ReplyHeader, ResultCode};
pub use request::Request;

use crate::bytes::{Reader, Writer};
use crate::{DecodeError, Malformed};

const VERSION: u32 = 2;

/// What may be wrong with an answer.
mod why {
    use crate::Malformed;

    pub const VERSION: Malformed = Malformed("another version");
    pub const ACTION: Malformed = Malformed("another action");
    pub const RESULT: Malformed = Malformed("neither an entry nor the end");
    pub const LENGTH: Malformed = Malformed("length below zero");
    pub const NUL: Malformed = Malformed("NUL in a string");
    pub const MEMBERS: Malformed = Malformed("too many members");
    pub const LONG: Malformed = Malformed("record too long");
}

fn put_text(s: &mut Writer<'_>, text: &[u8]) {
    s.put_u32(text.len() as u32);
    s.put(text);
}

/// A length as it may stand in front of a string: nslcd's are signed.
fn length(word: u32) -> Result<u32, Malformed> {
    if word > i32::MAX as u32 { Err(why::LENGTH) } else { Ok(word) }
}

fn text<'a>(c: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let len = length(c.u32_be()?)?;
    let text = c.take(len as usize)?;
    if text.contains(&0) { Err(DecodeError::Malformed(why::NUL)) } else { Ok(text) }
}
