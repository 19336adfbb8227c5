//! An entry of any size, item by item: a group of 100,000 members is a message of 7 MB.
//!
//! The reader keeps no more than how many bytes are left of what it is in; each item has to fit the
//! window of whoever reads.
//!
//! ```
//! use nssproto::ldap::stream::{Entry, Item};
//! use nssproto::ldap::{Attribute, Attributes, Controls, Names, Response};
//!
//! let cn = Attribute { name: b"cn", values: Names::List(&[b"a", b"b"]) };
//! let entry = Response::Entry { dn: b"cn=a", attributes: Attributes::List(&[cn]) };
//! let mut message = [0; 64];
//! let len = entry.encode(2, Controls::NONE, &mut message).unwrap();
//!
//! let mut window = &message[..len];
//! let begun = Entry::begin(window).unwrap();
//! let mut entry = begun.value;
//! window = &window[begun.len..];
//! let mut items = Vec::new();
//! while let Some(item) = entry.next(window).unwrap() {
//!     window = &window[item.len..];
//!     items.push(item.value);
//! }
//! assert_eq!(items, [Item::Dn(b"cn=a"), Item::Name(b"cn"), Item::Value(b"a"), Item::Value(b"b")]);
//! assert!(window.is_empty());
//! ```

use super::ber::{self, OCTETS, SEQUENCE, SET};
use super::response::ENTRY;
use super::{Control, front};
use crate::bytes::Reader;
use crate::{DecodeError, Decoded};

/// Whether the front of a message is that of an entry.
pub fn is_entry(front: &super::Front) -> bool {
    front.operation.tag == ENTRY
}

/// A part of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// The name of the entry: the first item.
    Dn(&'a [u8]),
    /// The name of an attribute, whose values follow.
    Name(&'a [u8]),
    /// A value of the attribute that was named last.
    Value(&'a [u8]),
    /// A control, behind all attributes.
    Control(Control<'a>),
}

/// An entry that is read.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The number of the request.
    pub id: u32,
    stage: Stage,
    /// Bytes left of the message, of the operation or the controls, of the attributes, of one of them,
    /// and of its values.
    left: [u64; DEPTH],
    /// The innermost of these that was begun.
    depth: usize,
}

const DEPTH: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Dn,
    Attributes,
    Values,
    Controls,
    Ended,
}

const LONGER: DecodeError = DecodeError::malformed("a value is longer than what it is in");
const OTHER: DecodeError = DecodeError::malformed("an entry of other parts");

impl Entry {
    /// The entry that begins at the front of `window`.
    pub fn begin(window: &[u8]) -> Result<Decoded<Entry>, DecodeError> {
        let front = front(window)?;
        if !is_entry(&front) {
            return Err(DecodeError::malformed("no entry"));
        }
        let message = front.len.checked_sub(front.head as u64).ok_or(LONGER)?;
        let left = [message, front.operation.len.into(), 0, 0, 0];
        let entry = Entry { id: front.id, stage: Stage::Dn, left, depth: 1 };
        Ok(Decoded { value: entry, len: front.head })
    }

    /// The item at the front of `window`; `None`: there are no more, and nothing is left of the
    /// message. With [`DecodeError::Incomplete`] nothing was read.
    pub fn next<'a>(&mut self, window: &'a [u8]) -> Result<Option<Decoded<Item<'a>>>, DecodeError> {
        let mut reader = Reader::new(window);
        let mut after = *self;
        let item = after.step(&mut reader)?;
        *self = after;
        Ok(item.map(|value| Decoded { value, len: reader.taken() }))
    }

    fn step<'a>(&mut self, reader: &mut Reader<'a>) -> Result<Option<Item<'a>>, DecodeError> {
        loop {
            match self.stage {
                Stage::Dn => {
                    let dn = self.text(reader, OCTETS)?;
                    self.enter(reader, SEQUENCE)?;
                    self.stage = Stage::Attributes;
                    return Ok(Some(Item::Dn(dn)));
                }
                Stage::Attributes if self.inside() == 0 => {
                    // Nothing but them is in the operation.
                    self.leave(2)?;
                    self.stage = Stage::Controls;
                    if self.inside() > 0 {
                        self.enter(reader, 0xa0)?;
                    }
                }
                Stage::Attributes => {
                    self.enter(reader, SEQUENCE)?;
                    let name = self.text(reader, OCTETS)?;
                    self.enter(reader, SET)?;
                    self.stage = Stage::Values;
                    return Ok(Some(Item::Name(name)));
                }
                Stage::Values if self.inside() == 0 => {
                    self.leave(2)?;
                    self.stage = Stage::Attributes;
                }
                Stage::Values => return Ok(Some(Item::Value(self.text(reader, OCTETS)?))),
                Stage::Controls if self.inside() == 0 => {
                    self.leave(self.depth + 1)?;
                    self.stage = Stage::Ended;
                }
                Stage::Controls => {
                    let value = self.text(reader, SEQUENCE)?;
                    return Control::inside(value).map(|control| Some(Item::Control(control)));
                }
                Stage::Ended => return Ok(None),
            }
        }
    }

    /// Bytes left of the innermost thing.
    fn inside(&self) -> u64 {
        self.left.get(self.depth).copied().unwrap_or(0)
    }

    /// Reads a head, and notes its bytes; those of its value, which what it is in has to hold before
    /// any are waited for.
    fn head(&mut self, reader: &mut Reader<'_>, tag: u8) -> Result<u64, DecodeError> {
        let before = reader.taken();
        let head = ber::head(reader)?;
        self.spend((reader.taken() - before) as u64)?;
        let len = u64::from(head.len);
        match head.tag == tag {
            false => Err(OTHER),
            true if len > self.inside() => Err(LONGER),
            true => Ok(len),
        }
    }

    /// Begins a thing that is made of others.
    fn enter(&mut self, reader: &mut Reader<'_>, tag: u8) -> Result<(), DecodeError> {
        let len = self.head(reader, tag)?;
        self.depth += 1;
        match self.left.get_mut(self.depth) {
            Some(left) => *left = len,
            None => return Err(OTHER),
        }
        Ok(())
    }

    /// Ends so many things, of which nothing may be left.
    fn leave(&mut self, levels: usize) -> Result<(), DecodeError> {
        for _ in 0..levels {
            if self.inside() > 0 {
                return Err(OTHER);
            }
            self.depth = self.depth.saturating_sub(1);
        }
        Ok(())
    }

    /// A whole value.
    fn text<'a>(&mut self, reader: &mut Reader<'a>, tag: u8) -> Result<&'a [u8], DecodeError> {
        let len = self.head(reader, tag)?;
        let value = reader.take(len as usize)?;
        self.spend(len)?;
        Ok(value)
    }

    /// Bytes were read: each thing around them has so many less.
    fn spend(&mut self, len: u64) -> Result<(), DecodeError> {
        for left in self.left.iter_mut().take(self.depth + 1) {
            *left = left.checked_sub(len).ok_or(LONGER)?;
        }
        Ok(())
    }
}
