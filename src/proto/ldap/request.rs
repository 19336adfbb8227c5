//! What a client asks.

use super::ber::{BOOLEAN, Back, ENUMERATED, INTEGER, OCTETS, SEQUENCE, Values};
use super::{Controls, Filter, Message, Names, envelope, whole};
use crate::{DecodeError, Decoded, EncodeError};

/// How far a search goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The entry itself.
    Base,
    /// The entries directly under it.
    #[default]
    One,
    /// It and all under it.
    Subtree,
}

const SCOPES: [Scope; 3] = [Scope::Base, Scope::One, Scope::Subtree];

/// Who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// A password; empty: nobody.
    Simple(&'a [u8]),
    /// A mechanism of SASL, and what it begins with.
    Sasl(&'a [u8], Option<&'a [u8]>),
}

/// A search. Aliases are not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search<'a> {
    /// The entry where it begins.
    pub base: &'a [u8],
    /// How far it goes.
    pub scope: Scope,
    /// The most entries; 0: as many as there are.
    pub size_limit: u32,
    /// Seconds; 0: as long as it takes.
    pub time_limit: u32,
    /// Which entries.
    pub filter: Filter<'a>,
    /// What of them; none: all that users may set.
    pub attributes: Names<'a>,
}

impl Default for Search<'_> {
    /// All that is directly under the root.
    fn default() -> Self {
        Search {
            base: b"",
            scope: Scope::One,
            size_limit: 0,
            time_limit: 0,
            filter: Filter::ALL,
            attributes: Names::NONE,
        }
    }
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Says who one is.
    Bind {
        /// A DN; empty with SASL, and for nobody.
        name: &'a [u8],
        /// The proof.
        credentials: Credentials<'a>,
    },
    /// The end.
    Unbind,
    /// Asks for entries.
    Search(Search<'a>),
    /// No longer wants an answer to the request of this number.
    Abandon(u32),
    /// Something else, by name.
    Extended {
        /// An object identifier, as text.
        name: &'a [u8],
        /// What is to be said with it.
        value: Option<&'a [u8]>,
    },
}

const BIND: u8 = 0x60;
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const ABANDON: u8 = 0x50;
const EXTENDED: u8 = 0x77;
const VERSION: i32 = 3;
const SIMPLE: u8 = 0x80;
const SASL: u8 = 0xa3;

impl<'a> Request<'a> {
    /// Writes a whole message; its bytes.
    pub fn encode(
        &self,
        id: u32,
        controls: Controls<'_>,
        out: &mut [u8],
    ) -> Result<usize, EncodeError> {
        envelope(Back::new(out), id, |back| self.put(back), controls)
    }

    fn put(&self, back: &mut Back<'_>) -> Result<(), EncodeError> {
        let mark = back.mark();
        match self {
            Request::Bind { name, credentials } => {
                match credentials {
                    Credentials::Simple(password) => back.value(SIMPLE, password),
                    Credentials::Sasl(mechanism, first) => {
                        let mark = back.mark();
                        if let Some(first) = first {
                            back.value(OCTETS, first);
                        }
                        back.value(OCTETS, mechanism);
                        back.close(SASL, mark);
                    }
                }
                back.value(OCTETS, name);
                back.integer(INTEGER, VERSION);
                back.close(BIND, mark);
            }
            Request::Unbind => back.value(UNBIND, b""),
            Request::Search(search) => search.put(back)?,
            Request::Abandon(id) => back.integer(ABANDON, number(*id)?),
            Request::Extended { name, value } => {
                if let Some(value) = value {
                    back.value(0x81, value);
                }
                back.value(0x80, name);
                back.close(EXTENDED, mark);
            }
        }
        Ok(())
    }

    /// A message at the front of `input`.
    pub fn decode(input: &'a [u8]) -> Result<Decoded<Message<'a, Self>>, DecodeError> {
        let Decoded { value: (id, head, value, controls), len } = whole(input)?;
        let mut values = Values::new(value);
        let operation = match head.tag {
            BIND => {
                if values.integer(INTEGER)? != VERSION {
                    return Err(DecodeError::malformed("another version of LDAP than 3"));
                }
                let name = values.value(OCTETS)?;
                let credentials = match values.any()? {
                    (SIMPLE, password) => Credentials::Simple(password),
                    (SASL, inside) => {
                        let mut inside = Values::new(inside);
                        let mechanism = inside.value(OCTETS)?;
                        let first = inside.optional(OCTETS)?;
                        inside.end()?;
                        Credentials::Sasl(mechanism, first)
                    }
                    _ => return Err(DecodeError::malformed("an unknown way to authenticate")),
                };
                Request::Bind { name, credentials }
            }
            UNBIND => {
                values = Values::new(b"");
                if !value.is_empty() {
                    return Err(DecodeError::malformed("an unbind that says something"));
                }
                Request::Unbind
            }
            SEARCH => Request::Search(Search::take(&mut values)?),
            ABANDON => {
                values = Values::new(b"");
                let mut id = 0u32;
                if value.is_empty() || value.len() > 4 {
                    return Err(DecodeError::malformed("the number of a message"));
                }
                value.iter().for_each(|byte| id = id << 8 | u32::from(*byte));
                if id > i32::MAX as u32 {
                    return Err(DecodeError::malformed("the number of a message"));
                }
                Request::Abandon(id)
            }
            EXTENDED => {
                let name = values.value(0x80)?;
                Request::Extended { name, value: values.optional(0x81)? }
            }
            _ => return Err(DecodeError::malformed("an unknown request")),
        };
        values.end()?;
        Ok(Decoded { value: Message { id, operation, controls }, len })
    }
}

fn number(value: u32) -> Result<i32, EncodeError> {
    i32::try_from(value).map_err(|_| EncodeError::Unrepresentable("a number of 2^31 or more"))
}

impl<'a> Search<'a> {
    fn put(&self, back: &mut Back<'_>) -> Result<(), EncodeError> {
        let mark = back.mark();
        self.attributes.encode(back);
        back.close(SEQUENCE, mark);
        back.put(self.filter.bytes());
        back.boolean(BOOLEAN, false);
        back.integer(INTEGER, number(self.time_limit)?);
        back.integer(INTEGER, number(self.size_limit)?);
        back.integer(ENUMERATED, 0);
        let scope = SCOPES.iter().position(|scope| *scope == self.scope).unwrap_or(0);
        back.integer(ENUMERATED, scope as i32);
        back.value(OCTETS, self.base);
        back.close(SEARCH, mark);
        Ok(())
    }

    fn take(values: &mut Values<'a>) -> Result<Self, DecodeError> {
        let base = values.value(OCTETS)?;
        let scope = usize::try_from(values.integer(ENUMERATED)?).ok();
        let scope = scope.and_then(|scope| SCOPES.get(scope).copied());
        let scope = scope.ok_or(DecodeError::malformed("an unknown scope"))?;
        // How aliases are followed, and whether only types are wanted, is not ours to tell.
        values.integer(ENUMERATED)?;
        let limit = |number: i32| {
            u32::try_from(number).map_err(|_| DecodeError::malformed("a limit below zero"))
        };
        let size_limit = limit(values.integer(INTEGER)?)?;
        let time_limit = limit(values.integer(INTEGER)?)?;
        values.boolean(BOOLEAN, false)?;
        let before = values.rest();
        values.any()?;
        let len = before.len() - values.rest().len();
        let filter = Filter::decode(before.get(..len).unwrap_or_default())?;
        let attributes = Names::decode(values.value(SEQUENCE)?)?;
        Ok(Search { base, scope, size_limit, time_limit, filter, attributes })
    }
}
