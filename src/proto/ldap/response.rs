//! What a server tells.

use super::ber::{Back, ENUMERATED, OCTETS, SEQUENCE, SET, Values};
use super::{Controls, Message, Names, envelope, whole};
use crate::{DecodeError, Decoded, EncodeError};

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// One of [`super::code`], or another.
    pub code: u32,
    /// How much of a DN there is.
    pub matched: &'a [u8],
    /// For people.
    pub message: &'a [u8],
    /// Where else to ask.
    pub referral: Names<'a>,
}

/// An attribute of an entry, and its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its name, perhaps with options: `member;range=0-1499`.
    pub name: &'a [u8],
    /// Its values.
    pub values: Names<'a>,
}

/// The attributes of an entry.
#[derive(Clone, Copy, Debug)]
pub enum Attributes<'a> {
    /// To be written.
    List(&'a [Attribute<'a>]),
    /// As they came, sound.
    Wire(&'a [u8]),
}

impl<'a> Attributes<'a> {
    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Attribute<'a>> {
        let (list, bytes) = match self {
            Attributes::List(list) => (list, &[][..]),
            Attributes::Wire(bytes) => (&[][..], bytes),
        };
        let mut values = Values::new(bytes);
        let wire = core::iter::from_fn(move || attribute(&mut values).ok());
        list.iter().copied().chain(wire)
    }
}

impl PartialEq for Attributes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Attributes<'_> {}

fn attribute<'a>(list: &mut Values<'a>) -> Result<Attribute<'a>, DecodeError> {
    let mut values = list.inner(SEQUENCE)?;
    let name = values.value(OCTETS)?;
    let found = Names::decode(values.value(SET)?)?;
    values.end()?;
    Ok(Attribute { name, values: found })
}

/// A message of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// How a bind ended, and what SASL has to say.
    Bind(Outcome<'a>, Option<&'a [u8]>),
    /// An entry that was searched for.
    Entry {
        /// Its name.
        dn: &'a [u8],
        /// What was asked for.
        attributes: Attributes<'a>,
    },
    /// Where there may be more.
    Reference(Names<'a>),
    /// How a search ended.
    Done(Outcome<'a>),
    /// How an extended operation ended.
    Extended {
        /// How.
        outcome: Outcome<'a>,
        /// What it was, or what the server says on its own.
        name: Option<&'a [u8]>,
        /// What it has to say.
        value: Option<&'a [u8]>,
    },
    /// Something between.
    Intermediate {
        /// What it is.
        name: Option<&'a [u8]>,
        /// What it says.
        value: Option<&'a [u8]>,
    },
}

const BIND: u8 = 0x61;
/// The operation of an entry, which may be of any size.
pub(super) const ENTRY: u8 = 0x64;
const DONE: u8 = 0x65;
const REFERENCE: u8 = 0x73;
const EXTENDED: u8 = 0x78;
const INTERMEDIATE: u8 = 0x79;
const REFERRAL: u8 = 0xa3;

impl<'a> Outcome<'a> {
    fn take(values: &mut Values<'a>) -> Result<Self, DecodeError> {
        let code = u32::try_from(values.integer(ENUMERATED)?);
        let code = code.map_err(|_| DecodeError::malformed("a result below zero"))?;
        let matched = values.value(OCTETS)?;
        let message = values.value(OCTETS)?;
        let referral = values.optional(REFERRAL)?.unwrap_or_default();
        Ok(Outcome { code, matched, message, referral: Names::decode(referral)? })
    }

    fn put(&self, back: &mut Back<'_>) -> Result<(), EncodeError> {
        if self.referral.iter().next().is_some() {
            let mark = back.mark();
            self.referral.encode(back);
            back.close(REFERRAL, mark);
        }
        back.value(OCTETS, self.message);
        back.value(OCTETS, self.matched);
        let code = i32::try_from(self.code);
        let code = code.map_err(|_| EncodeError::Unrepresentable("a result of 2^31 or more"))?;
        back.integer(ENUMERATED, code);
        Ok(())
    }
}

impl<'a> Response<'a> {
    /// A message at the front of `input`.
    pub fn decode(input: &'a [u8]) -> Result<Decoded<Message<'a, Self>>, DecodeError> {
        let Decoded { value: (id, head, value, controls), len } = whole(input)?;
        let mut values = Values::new(value);
        let operation = match head.tag {
            BIND => {
                let outcome = Outcome::take(&mut values)?;
                Response::Bind(outcome, values.optional(0x87)?)
            }
            ENTRY => {
                let dn = values.value(OCTETS)?;
                let bytes = values.value(SEQUENCE)?;
                let mut each = Values::new(bytes);
                while !each.is_empty() {
                    attribute(&mut each)?;
                }
                Response::Entry { dn, attributes: Attributes::Wire(bytes) }
            }
            REFERENCE => {
                values = Values::new(b"");
                Response::Reference(Names::decode(value)?)
            }
            DONE => Response::Done(Outcome::take(&mut values)?),
            EXTENDED => {
                let outcome = Outcome::take(&mut values)?;
                let name = values.optional(0x8a)?;
                Response::Extended { outcome, name, value: values.optional(0x8b)? }
            }
            INTERMEDIATE => {
                let name = values.optional(0x80)?;
                Response::Intermediate { name, value: values.optional(0x81)? }
            }
            _ => return Err(DecodeError::malformed("an unknown response")),
        };
        values.end()?;
        Ok(Decoded { value: Message { id, operation, controls }, len })
    }

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
        let optional = |back: &mut Back<'_>, tag, value: &Option<&[u8]>| {
            if let Some(value) = value {
                back.value(tag, value);
            }
        };
        let tag = match self {
            Response::Bind(outcome, sasl) => {
                optional(back, 0x87, sasl);
                outcome.put(back)?;
                BIND
            }
            Response::Entry { dn, attributes } => {
                match attributes {
                    Attributes::Wire(bytes) => back.put(bytes),
                    Attributes::List(list) => {
                        for attribute in list.iter().rev() {
                            let mark = back.mark();
                            attribute.values.encode(back);
                            back.close(SET, mark);
                            back.value(OCTETS, attribute.name);
                            back.close(SEQUENCE, mark);
                        }
                    }
                }
                back.close(SEQUENCE, mark);
                back.value(OCTETS, dn);
                ENTRY
            }
            Response::Reference(uris) => {
                uris.encode(back);
                REFERENCE
            }
            Response::Done(outcome) => {
                outcome.put(back)?;
                DONE
            }
            Response::Extended { outcome, name, value } => {
                optional(back, 0x8b, value);
                optional(back, 0x8a, name);
                outcome.put(back)?;
                EXTENDED
            }
            Response::Intermediate { name, value } => {
                optional(back, 0x81, value);
                optional(back, 0x80, name);
                INTERMEDIATE
            }
        };
        back.close(tag, mark);
        Ok(())
    }
}
