//! LDAP version 3 (RFC 4511), as far as a client that reads directories needs it, both ways: bind
//! (simple and SASL), unbind, search, abandon, extended requests (StartTLS); entries, references,
//! results, intermediate messages; the controls of paged results (RFC 2696) and of content
//! synchronization (RFC 4533).
//!
//! Every message is a SEQUENCE of a number, an operation and perhaps controls. [`front`] says, of the
//! first bytes of a message, how long it is and what: a whole one is decoded by [`Response::decode`], an
//! entry of any size is read item by item with [`stream::Entry`].
//!
//! ```
//! use nssproto::ldap::{Controls, Filter, Names, Request, Response, Scope, Search, front};
//!
//! let mut room = [0; 64];
//! let search = Request::Search(Search {
//!     base: b"ou=people,dc=example,dc=org",
//!     scope: Scope::One,
//!     filter: Filter::parse(b"(uid=ada)", &mut room).unwrap(),
//!     attributes: Names::List(&[b"uid", b"uidNumber"]),
//!     ..Search::default()
//! });
//! let mut out = [0; 256];
//! let len = search.encode(7, Controls::NONE, &mut out).unwrap();
//! let sent = Request::decode(&out[..len]).unwrap();
//! assert_eq!((sent.value.id, sent.value.operation), (7, search));
//!
//! let answer = b"\x30\x0c\x02\x01\x07\x65\x07\x0a\x01\x00\x04\x00\x04\x00";
//! assert_eq!(front(answer).unwrap().len, 14);
//! let answer = Response::decode(answer).unwrap().value;
//! assert!(matches!(answer.operation, Response::Done(outcome) if outcome.code == 0));
//! ```

pub mod ber;
pub mod control;
pub mod dn;
mod filter;
mod request;
mod response;
pub mod stream;

pub use control::Control;
pub use filter::{FILTER_DEPTH, Filter};
pub use request::{Credentials, Request, Scope, Search};
pub use response::{Attribute, Attributes, Outcome, Response};

use crate::bytes::Reader;
use crate::{DecodeError, Decoded, EncodeError};
use ber::{Back, Head, INTEGER, OCTETS, SEQUENCE, Values};

/// Codes of results that mean something to a client (RFC 4511, A.1; RFC 4533, 5).
pub mod code {
    /// It is done.
    pub const SUCCESS: u32 = 0;
    /// Longer than the server, or we, allow.
    pub const TIME_LIMIT: u32 = 3;
    /// More than the server, or we, allow.
    pub const SIZE_LIMIT: u32 = 4;
    /// Ask another server.
    pub const REFERRAL: u32 = 10;
    /// More than an administrator allows.
    pub const ADMIN_LIMIT: u32 = 11;
    /// A critical control or an extension that the server does not have.
    pub const UNAVAILABLE_EXTENSION: u32 = 12;
    /// There is no such entry.
    pub const NO_SUCH_OBJECT: u32 = 32;
    /// Wrong password.
    pub const INVALID_CREDENTIALS: u32 = 49;
    /// Later.
    pub const BUSY: u32 = 51;
    /// The server is shutting down, or not up yet.
    pub const UNAVAILABLE: u32 = 52;
    /// The server will not.
    pub const UNWILLING: u32 = 53;
    /// Begin anew: the cookie is of no use.
    pub const SYNC_REFRESH_REQUIRED: u32 = 4096;
}

/// The name of the extended operation StartTLS.
pub const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
/// The name of the intermediate message of RFC 4533.
pub const SYNC_INFO: &[u8] = b"1.3.6.1.4.1.4203.1.9.1.4";

/// A message's number and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a, T> {
    /// The number of the request: 0 is the server's own.
    pub id: u32,
    /// What is asked or told.
    pub operation: T,
    /// What goes with it.
    pub controls: Controls<'a>,
}

/// What the first bytes of a message say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Front {
    /// Bytes of the whole message.
    pub len: u64,
    /// Bytes up to the value of the operation.
    pub head: usize,
    /// The number of the request.
    pub id: u32,
    /// The operation: its tag, and the bytes of its value.
    pub operation: Head,
}

/// Reads the front of a message, of which some 20 bytes have to be there.
pub fn front(input: &[u8]) -> Result<Front, DecodeError> {
    let mut reader = Reader::new(input);
    let outer = ber::head(&mut reader)?;
    if outer.tag != SEQUENCE {
        return Err(DecodeError::malformed("no LDAP message"));
    }
    let begun = reader.taken();
    let number = ber::head(&mut reader)?;
    if number.tag != INTEGER || number.len > 4 {
        return Err(DecodeError::malformed("a message without a number"));
    }
    let mut id = 0u32;
    for byte in reader.take(number.len as usize)? {
        id = id << 8 | u32::from(*byte);
    }
    if number.len == 0 || id > i32::MAX as u32 {
        return Err(DecodeError::malformed("the number of a message"));
    }
    let operation = ber::head(&mut reader)?;
    let inside = (reader.taken() - begun) as u64 + u64::from(operation.len);
    if inside > u64::from(outer.len) {
        return Err(DecodeError::malformed("an operation is longer than its message"));
    }
    let len = begun as u64 + u64::from(outer.len);
    Ok(Front { len, head: reader.taken(), id, operation })
}

/// A message taken apart: its number, its operation, the value of that, its controls.
type Parts<'a> = (u32, Head, &'a [u8], Controls<'a>);

/// A whole message at the front of `input`.
fn whole(input: &[u8]) -> Result<Decoded<Parts<'_>>, DecodeError> {
    let front = front(input)?;
    let len =
        usize::try_from(front.len).map_err(|_| DecodeError::malformed("a message too long"))?;
    let Some(message) = input.get(..len) else {
        return Err(DecodeError::Incomplete(len - input.len()));
    };
    let rest = message.get(front.head..).unwrap_or_default();
    let Some((value, behind)) = rest.split_at_checked(front.operation.len as usize) else {
        return Err(DecodeError::malformed("an operation is longer than its message"));
    };
    let controls = controls(behind)?;
    Ok(Decoded { value: (front.id, front.operation, value, controls), len })
}

/// What is behind an operation.
fn controls(behind: &[u8]) -> Result<Controls<'_>, DecodeError> {
    let mut values = Values::new(behind);
    let Some(list) = values.optional(0xa0)? else {
        values.end()?;
        return Ok(Controls::NONE);
    };
    values.end()?;
    let mut each = Values::new(list);
    while !each.is_empty() {
        Control::decode(&mut each)?;
    }
    Ok(Controls::Wire(list))
}

/// Puts a message around an operation that was written.
fn envelope(
    mut back: Back<'_>,
    id: u32,
    operation: impl FnOnce(&mut Back<'_>) -> Result<(), EncodeError>,
    controls: Controls<'_>,
) -> Result<usize, EncodeError> {
    let id = i32::try_from(id);
    let id = id.map_err(|_| EncodeError::Unrepresentable("the number of a message"))?;
    match controls {
        Controls::Wire(list) if !list.is_empty() => back.value(0xa0, list),
        Controls::List(list) if !list.is_empty() => {
            let mark = back.mark();
            list.iter().rev().for_each(|control| control.encode(&mut back));
            back.close(0xa0, mark);
        }
        _ => {}
    }
    operation(&mut back)?;
    back.integer(INTEGER, id);
    back.close(SEQUENCE, 0);
    back.finish()
}

/// A list of texts: names of attributes, URIs.
#[derive(Clone, Copy, Debug)]
pub enum Names<'a> {
    /// To be written.
    List(&'a [&'a [u8]]),
    /// As they came, sound.
    Wire(&'a [u8]),
}

impl<'a> Names<'a> {
    /// None.
    pub const NONE: Names<'static> = Names::List(&[]);

    /// What came, of which all have to be octet strings.
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut values = Values::new(bytes);
        while !values.is_empty() {
            values.value(OCTETS)?;
        }
        Ok(Names::Wire(bytes))
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let (list, bytes) = match self {
            Names::List(list) => (list, &[][..]),
            Names::Wire(bytes) => (&[][..], bytes),
        };
        let mut values = Values::new(bytes);
        let wire = core::iter::from_fn(move || values.value(OCTETS).ok());
        list.iter().copied().chain(wire)
    }

    fn encode(self, back: &mut Back<'_>) {
        match self {
            Names::List(list) => list.iter().rev().for_each(|name| back.value(OCTETS, name)),
            Names::Wire(bytes) => back.put(bytes),
        }
    }
}

impl PartialEq for Names<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Names<'_> {}

/// The controls of a message.
#[derive(Clone, Copy, Debug)]
pub enum Controls<'a> {
    /// To be written.
    List(&'a [Control<'a>]),
    /// As they came, sound.
    Wire(&'a [u8]),
}

impl<'a> Controls<'a> {
    /// None.
    pub const NONE: Controls<'static> = Controls::List(&[]);

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Control<'a>> {
        let (list, bytes) = match self {
            Controls::List(list) => (list, &[][..]),
            Controls::Wire(bytes) => (&[][..], bytes),
        };
        let mut values = Values::new(bytes);
        let wire = core::iter::from_fn(move || Control::decode(&mut values).ok());
        list.iter().copied().chain(wire)
    }

    /// The value of the one with this name.
    pub fn value(self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter().find(|control| control.name == name)?.value
    }
}

impl PartialEq for Controls<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Controls<'_> {}
