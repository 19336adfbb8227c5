//! varlink, the protocol of systemd's services: JSON objects over a stream socket, each closed by a NUL.
//!
//! | call | |
//! |---|---|
//! | `method` | string: interface, a dot, method |
//! | `parameters` | object; `null` or absent: an empty one |
//! | `more` | bool: several replies are welcome |
//! | `oneway` | bool: none is |
//! | `upgrade` | bool: another protocol follows |
//!
//! | reply | |
//! |---|---|
//! | `parameters` | object |
//! | `error` | string: the name of the error that `parameters` are of |
//! | `continues` | bool: another reply follows |
//!
//! Source: varlink.org, "Method Call" and "Method Reply"; systemd's sd-varlink for what it refuses.
//!
//! ```
//! use nssproto::varlink::Call;
//!
//! let received = b"{\"method\":\"org.varlink.service.GetInfo\",\"more\":false}\0";
//! let call = Call::decode(received).unwrap();
//! assert_eq!(call.len, received.len());
//! assert!(call.value.method.is("org.varlink.service.GetInfo"));
//! assert!(call.value.parameters.is_none());
//! ```

use crate::json::{Members, Message, Text, Value};
use crate::{DecodeError, Decoded, EncodeError, Malformed};

/// Bytes of the longest call that is taken, its NUL included.
pub const CALL_MAX: usize = 4096;

/// A method call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// Interface, a dot, method.
    pub method: Text<'a>,
    /// An object, as it stands.
    pub parameters: Option<&'a [u8]>,
    /// Several replies are welcome.
    pub more: bool,
    /// No reply is.
    pub oneway: bool,
    /// Another protocol is to follow.
    pub upgrade: bool,
}

/// A reply, or one of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// An object, as it stands.
    pub parameters: Option<&'a [u8]>,
    /// The name of an error; this is the last reply then.
    pub error: Option<Text<'a>>,
    /// Another reply follows.
    pub continues: bool,
}

/// The first message of `input`, without its NUL. One that is longer than `max` with it is malformed.
fn message(input: &[u8], max: usize) -> Result<Decoded<&[u8]>, DecodeError> {
    match input.iter().take(max).position(|byte| *byte == 0) {
        Some(end) => Ok(Decoded { value: input.get(..end).unwrap_or_default(), len: end + 1 }),
        None if input.len() >= max => Err(DecodeError::malformed("the message is too long")),
        None => Err(DecodeError::Incomplete(1)),
    }
}

/// A member that may be there once.
struct Once<T>(Option<T>);

impl<T> Once<T> {
    fn set(&mut self, value: T) -> Result<(), Malformed> {
        match self.0.replace(value) {
            None => Ok(()),
            Some(_) => Err(Malformed("a member comes twice")),
        }
    }
}

/// A member that is an object, if it is there.
fn object(value: Value<'_>) -> Result<Option<&[u8]>, Malformed> {
    match value {
        Value::Object(object) => Ok(Some(object)),
        Value::Null => Ok(None),
        _ => Err(Malformed("parameters that are no object")),
    }
}

/// A member that is a bool.
fn bool(value: Value<'_>) -> Result<bool, Malformed> {
    match value {
        Value::Bool(bool) => Ok(bool),
        Value::Null => Ok(false),
        _ => Err(Malformed("a member that is no bool")),
    }
}

/// A member that is a string.
fn text(value: Value<'_>) -> Result<Text<'_>, Malformed> {
    match value {
        Value::Text(text) => Ok(text),
        _ => Err(Malformed("a member that is no string")),
    }
}

impl<'a> Call<'a> {
    /// The call that `input` begins with. Members that are unknown are passed over.
    pub fn decode(input: &'a [u8]) -> Result<Decoded<Self>, DecodeError> {
        let Decoded { value: document, len } = message(input, CALL_MAX)?;
        let (mut method, mut parameters) = (Once(None), Once(None));
        let (mut more, mut oneway, mut upgrade) = (Once(None), Once(None), Once(None));
        for member in Members::of(document)? {
            let (name, value) = member?;
            if name.is("method") {
                method.set(text(value)?)?;
            } else if name.is("parameters") {
                parameters.set(object(value)?)?;
            } else if name.is("more") {
                more.set(bool(value)?)?;
            } else if name.is("oneway") {
                oneway.set(bool(value)?)?;
            } else if name.is("upgrade") {
                upgrade.set(bool(value)?)?;
            }
        }
        let Some(method) = method.0 else { return Err(DecodeError::malformed("no method")) };
        let call = Call {
            method,
            parameters: parameters.0.flatten(),
            more: more.0 == Some(true),
            oneway: oneway.0 == Some(true),
            upgrade: upgrade.0 == Some(true),
        };
        if call.more && call.oneway {
            return Err(DecodeError::malformed("more and no reply at once"));
        }
        Ok(Decoded { value: call, len })
    }
}

impl<'a> Reply<'a> {
    /// The reply that `input` begins with, of at most `max` bytes with its NUL. As the clients do, it
    /// takes no other members than those of a reply.
    pub fn decode(input: &'a [u8], max: usize) -> Result<Decoded<Self>, DecodeError> {
        let Decoded { value: document, len } = message(input, max)?;
        let (mut parameters, mut error, mut continues) = (Once(None), Once(None), Once(None));
        for member in Members::of(document)? {
            let (name, value) = member?;
            if name.is("parameters") {
                parameters.set(object(value)?)?;
            } else if name.is("error") {
                error.set(text(value)?)?;
            } else if name.is("continues") {
                continues.set(bool(value)?)?;
            } else {
                return Err(DecodeError::malformed("a member that no reply has"));
            }
        }
        let reply = Reply {
            parameters: parameters.0.flatten(),
            error: error.0,
            continues: continues.0 == Some(true),
        };
        if reply.continues && reply.error.is_some() {
            return Err(DecodeError::malformed("an error that continues"));
        }
        Ok(Decoded { value: reply, len })
    }
}

/// An error of varlink itself: `org.varlink.service.…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<'a> {
    /// No such interface; its name is all of this method's in front of the last dot.
    InterfaceNotFound(Text<'a>),
    /// The same, where an interface was asked for by name.
    NoSuchInterface(Text<'a>),
    /// The interface has no such method.
    MethodNotFound(Text<'a>),
    /// The parameter of this name is unknown, missing or of the wrong type.
    InvalidParameter(Text<'a>),
    /// The call has to say that several replies are welcome.
    ExpectedMore,
}

impl Error<'_> {
    /// Writes the reply, its NUL included: the number of bytes.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let (name, parameter, value, len) = match self {
            Error::InterfaceNotFound(method) => {
                let dot = method.bytes().enumerate().filter(|(_, byte)| *byte == b'.').last();
                let len = dot.map_or(0, |(at, _)| at);
                ("InterfaceNotFound", "interface", Some(method), len)
            }
            Error::NoSuchInterface(name) => {
                ("InterfaceNotFound", "interface", Some(name), usize::MAX)
            }
            Error::MethodNotFound(name) => ("MethodNotFound", "method", Some(name), usize::MAX),
            Error::InvalidParameter(name) => {
                ("InvalidParameter", "parameter", Some(name), usize::MAX)
            }
            Error::ExpectedMore => ("ExpectedMore", "", None, 0),
        };
        let mut message = Message::new(out);
        message.put(b"{\"error\":\"org.varlink.service.").put(name.as_bytes());
        message.put(b"\",\"parameters\":{");
        if let Some(value) = value {
            message.text(parameter.bytes()).put(b":").text(value.bytes().take(len));
        }
        message.put(b"}}\0").finish()
    }
}
