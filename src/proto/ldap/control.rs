//! Controls, and the values of those that are known here.

use super::Names;
use super::ber::{BOOLEAN, Back, ENUMERATED, INTEGER, OCTETS, SEQUENCE, SET, Values};
use crate::{DecodeError, EncodeError};

/// Something that goes with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control<'a> {
    /// An object identifier, as text.
    pub name: &'a [u8],
    /// Whether a server that does not know it has to refuse.
    pub critical: bool,
    /// What it says.
    pub value: Option<&'a [u8]>,
}

/// Paged results (RFC 2696).
pub const PAGED: &[u8] = b"1.2.840.113556.1.4.319";
/// Synchronization is asked for (RFC 4533).
pub const SYNC_REQUEST: &[u8] = b"1.3.6.1.4.1.4203.1.9.1.1";
/// What became of an entry.
pub const SYNC_STATE: &[u8] = b"1.3.6.1.4.1.4203.1.9.1.2";
/// The end of a synchronization.
pub const SYNC_DONE: &[u8] = b"1.3.6.1.4.1.4203.1.9.1.3";

impl<'a> Control<'a> {
    pub(super) fn decode(list: &mut Values<'a>) -> Result<Self, DecodeError> {
        Control::inside(list.value(SEQUENCE)?)
    }

    /// What its sequence holds.
    pub(super) fn inside(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut values = Values::new(bytes);
        let name = values.value(OCTETS)?;
        let critical = values.boolean(BOOLEAN, false)?;
        let value = values.optional(OCTETS)?;
        values.end()?;
        Ok(Control { name, critical, value })
    }

    pub(super) fn encode(&self, back: &mut Back<'_>) {
        let mark = back.mark();
        if let Some(value) = self.value {
            back.value(OCTETS, value);
        }
        if self.critical {
            back.boolean(BOOLEAN, true);
        }
        back.value(OCTETS, self.name);
        back.close(SEQUENCE, mark);
    }
}

/// The value of [`PAGED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paged<'a> {
    /// Entries of a page; in an answer how many there may be in all, or 0.
    pub size: u32,
    /// Where the next page begins; empty: at the start, or there is none.
    pub cookie: &'a [u8],
}

impl<'a> Paged<'a> {
    /// Reads the value.
    pub fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let mut outer = Values::new(value);
        let mut values = outer.inner(SEQUENCE)?;
        let size = values.integer(INTEGER)?.max(0).cast_unsigned();
        let cookie = values.value(OCTETS)?;
        values.end()?;
        outer.end()?;
        Ok(Paged { size, cookie })
    }

    /// Writes it; its bytes.
    pub fn encode(self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut back = Back::new(out);
        back.value(OCTETS, self.cookie);
        back.integer(INTEGER, self.size.min(i32::MAX as u32).cast_signed());
        back.close(SEQUENCE, 0);
        back.finish()
    }
}

/// The value of [`SYNC_REQUEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncRequest<'a> {
    /// Whether the search goes on with what changes later.
    pub persist: bool,
    /// What the server called the state that we have.
    pub cookie: Option<&'a [u8]>,
    /// Whether the server may send all anew where it does not know that state, instead of saying so.
    pub reload: bool,
}

const REFRESH_ONLY: i32 = 1;
const REFRESH_AND_PERSIST: i32 = 3;

impl<'a> SyncRequest<'a> {
    /// Reads the value.
    pub fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let mut outer = Values::new(value);
        let mut values = outer.inner(SEQUENCE)?;
        let persist = match values.integer(ENUMERATED)? {
            REFRESH_ONLY => false,
            REFRESH_AND_PERSIST => true,
            _ => return Err(DecodeError::malformed("an unknown way to synchronize")),
        };
        let cookie = values.optional(OCTETS)?;
        let reload = values.boolean(BOOLEAN, false)?;
        values.end()?;
        outer.end()?;
        Ok(SyncRequest { persist, cookie, reload })
    }

    /// Writes it; its bytes.
    pub fn encode(self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut back = Back::new(out);
        if self.reload {
            back.boolean(BOOLEAN, true);
        }
        if let Some(cookie) = self.cookie {
            back.value(OCTETS, cookie);
        }
        back.integer(ENUMERATED, if self.persist { REFRESH_AND_PERSIST } else { REFRESH_ONLY });
        back.close(SEQUENCE, 0);
        back.finish()
    }
}

/// The sixteen bytes of an entryUUID.
pub type Uuid = [u8; 16];

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is there, as it was.
    Present,
    /// It is new.
    Add,
    /// It is another.
    Modify,
    /// It is gone.
    Delete,
}

/// The value of [`SYNC_STATE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncState<'a> {
    /// What became of it.
    pub change: Change,
    /// Which entry.
    pub uuid: Uuid,
    /// The state that was reached.
    pub cookie: Option<&'a [u8]>,
}

const CHANGES: [Change; 4] = [Change::Present, Change::Add, Change::Modify, Change::Delete];

fn uuid(bytes: &[u8]) -> Result<Uuid, DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::malformed("an entryUUID that has not 16 bytes"))
}

impl<'a> SyncState<'a> {
    /// Reads the value.
    pub fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let mut outer = Values::new(value);
        let mut values = outer.inner(SEQUENCE)?;
        let number = usize::try_from(values.integer(ENUMERATED)?).ok();
        let change = number.and_then(|number| CHANGES.get(number).copied());
        let change = change.ok_or(DecodeError::malformed("an unknown change of an entry"))?;
        let uuid = uuid(values.value(OCTETS)?)?;
        let cookie = values.optional(OCTETS)?;
        values.end()?;
        outer.end()?;
        Ok(SyncState { change, uuid, cookie })
    }

    /// Writes it; its bytes.
    pub fn encode(self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut back = Back::new(out);
        if let Some(cookie) = self.cookie {
            back.value(OCTETS, cookie);
        }
        back.value(OCTETS, &self.uuid);
        let number = CHANGES.iter().position(|change| *change == self.change).unwrap_or(0);
        back.integer(ENUMERATED, number as i32);
        back.close(SEQUENCE, 0);
        back.finish()
    }
}

/// The value of [`SYNC_DONE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncDone<'a> {
    /// The state that was reached.
    pub cookie: Option<&'a [u8]>,
    /// Whether deletions were told; otherwise what was not told to be present is gone.
    pub deletes: bool,
}

impl<'a> SyncDone<'a> {
    /// Reads the value.
    pub fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let mut outer = Values::new(value);
        let mut values = outer.inner(SEQUENCE)?;
        let cookie = values.optional(OCTETS)?;
        let deletes = values.boolean(BOOLEAN, false)?;
        values.end()?;
        outer.end()?;
        Ok(SyncDone { cookie, deletes })
    }

    /// Writes it; its bytes.
    pub fn encode(self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut back = Back::new(out);
        if self.deletes {
            back.boolean(BOOLEAN, true);
        }
        if let Some(cookie) = self.cookie {
            back.value(OCTETS, cookie);
        }
        back.close(SEQUENCE, 0);
        back.finish()
    }
}

/// The value of the intermediate message [`super::SYNC_INFO`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncInfo<'a> {
    /// A state was reached.
    Cookie(&'a [u8]),
    /// A phase in which deletions are told ends; `done`: and the refresh with it.
    Deletes {
        /// The state that was reached.
        cookie: Option<&'a [u8]>,
        /// Whether changes follow as they come.
        done: bool,
    },
    /// The same of a phase in which it is told what is present.
    Presents {
        /// The state that was reached.
        cookie: Option<&'a [u8]>,
        /// Whether changes follow as they come.
        done: bool,
    },
    /// Entries that are gone, or present.
    Set {
        /// The state that was reached.
        cookie: Option<&'a [u8]>,
        /// Whether they are gone.
        deletes: bool,
        /// Which ones.
        uuids: Names<'a>,
    },
}

const NEW_COOKIE: u8 = 0x80;
const REFRESH_DELETE: u8 = 0xa1;
const REFRESH_PRESENT: u8 = 0xa2;
const ID_SET: u8 = 0xa3;

impl<'a> SyncInfo<'a> {
    /// Reads the value.
    pub fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let mut outer = Values::new(value);
        let (tag, inside) = outer.any()?;
        outer.end()?;
        if tag == NEW_COOKIE {
            return Ok(SyncInfo::Cookie(inside));
        }
        let mut values = Values::new(inside);
        let cookie = values.optional(OCTETS)?;
        let info = match tag {
            REFRESH_DELETE => SyncInfo::Deletes { cookie, done: values.boolean(BOOLEAN, true)? },
            REFRESH_PRESENT => SyncInfo::Presents { cookie, done: values.boolean(BOOLEAN, true)? },
            ID_SET => {
                let deletes = values.boolean(BOOLEAN, false)?;
                let uuids = Names::decode(values.value(SET)?)?;
                for one in uuids.iter() {
                    uuid(one)?;
                }
                SyncInfo::Set { cookie, deletes, uuids }
            }
            _ => return Err(DecodeError::malformed("an unknown message of synchronization")),
        };
        values.end()?;
        Ok(info)
    }

    /// Writes it; its bytes.
    pub fn encode(self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut back = Back::new(out);
        let (tag, cookie) = match self {
            SyncInfo::Cookie(cookie) => {
                back.value(NEW_COOKIE, cookie);
                return back.finish();
            }
            SyncInfo::Deletes { cookie, done } => {
                if !done {
                    back.boolean(BOOLEAN, false);
                }
                (REFRESH_DELETE, cookie)
            }
            SyncInfo::Presents { cookie, done } => {
                if !done {
                    back.boolean(BOOLEAN, false);
                }
                (REFRESH_PRESENT, cookie)
            }
            SyncInfo::Set { cookie, deletes, uuids } => {
                uuids.encode(&mut back);
                back.close(SET, 0);
                if deletes {
                    back.boolean(BOOLEAN, true);
                }
                (ID_SET, cookie)
            }
        };
        if let Some(cookie) = cookie {
            back.value(OCTETS, cookie);
        }
        back.close(tag, 0);
        back.finish()
    }

    /// Those of [`SyncInfo::Set`].
    pub fn uuids(self) -> impl Iterator<Item = Uuid> {
        let names = match self {
            SyncInfo::Set { uuids, .. } => uuids,
            _ => Names::NONE,
        };
        names.iter().filter_map(|bytes| bytes.try_into().ok())
    }
}
