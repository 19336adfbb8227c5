//! Replies, as a client reads them. What a client does not use is passed over.

use super::Error;
use crate::Malformed;
use crate::json::{Elements, Members, Text, Value};
use crate::varlink::{self, Reply};

/// What a reply tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Told<'a> {
    /// A user.
    User(User<'a>),
    /// A group.
    Group {
        /// Its name.
        name: Text<'a>,
        /// Its number.
        gid: Option<u32>,
        /// There may be more that is not told to this peer.
        incomplete: bool,
    },
    /// A user is a member of a group.
    Membership {
        /// The user's name.
        user: Text<'a>,
        /// The group's.
        group: Text<'a>,
    },
    /// There is none, for this reason.
    None(Error<'a>),
    /// An error that is none of the user database.
    Failed(Text<'a>),
}

/// A user's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User<'a> {
    /// Login name.
    pub name: Text<'a>,
    /// User number.
    pub uid: Option<u32>,
    /// Primary group.
    pub gid: Option<u32>,
    /// The whole gecos.
    pub real_name: Option<Text<'a>>,
    /// Home directory.
    pub home: Option<Text<'a>>,
    /// Login shell.
    pub shell: Option<Text<'a>>,
    /// The password's hash, if this peer may know it.
    pub hash: Option<Text<'a>>,
    /// There may be more that is not told to this peer.
    pub incomplete: bool,
}

impl<'a> Told<'a> {
    /// What `reply` tells.
    pub fn decode(reply: &Reply<'a>) -> Result<Self, Malformed> {
        if let Some(error) = reply.error {
            return Ok(refusal(error));
        }
        let parameters = reply.parameters.ok_or(Malformed("a reply that tells nothing"))?;
        let (mut record, mut incomplete, mut user, mut group) = (None, false, None, None);
        for member in Members::of(parameters)? {
            match member? {
                (name, Value::Object(object)) if name.is("record") => record = Some(object),
                (name, Value::Bool(bool)) if name.is("incomplete") => incomplete = bool,
                (name, Value::Text(text)) if name.is("userName") => user = Some(text),
                (name, Value::Text(text)) if name.is("groupName") => group = Some(text),
                _ => {}
            }
        }
        match (record, user, group) {
            (Some(record), ..) => Self::record(record, incomplete),
            (None, Some(user), Some(group)) => Ok(Told::Membership { user, group }),
            _ => Err(Malformed("neither a record nor a membership")),
        }
    }

    fn record(record: &'a [u8], incomplete: bool) -> Result<Self, Malformed> {
        let [mut user, mut group, mut real_name, mut home, mut shell, mut hash] = [None; 6];
        let (mut uid, mut gid) = (None, None);
        let mut has_service = false;
        for member in Members::of(record)? {
            let (name, value) = member?;
            match value {
                Value::Text(text) => {
                    has_service |= name.is("service");
                    let places: [(&str, &mut Option<Text<'a>>); 5] = [
                        ("userName", &mut user),
                        ("groupName", &mut group),
                        ("realName", &mut real_name),
                        ("homeDirectory", &mut home),
                        ("shell", &mut shell),
                    ];
                    for (field, place) in places {
                        if name.is(field) {
                            *place = Some(text);
                        }
                    }
                }
                Value::Number(number) => {
                    let id = number.as_u64().and_then(|id| u32::try_from(id).ok());
                    if name.is("uid") {
                        uid = id;
                    } else if name.is("gid") {
                        gid = id;
                    }
                }
                Value::Object(object) if name.is("privileged") => hash = first_hash(object)?,
                _ => {}
            }
        }
        match (user, group) {
            _ if !has_service => Err(Malformed("a record of no service")),
            (Some(name), None) => {
                let user = User { name, uid, gid, real_name, home, shell, hash, incomplete };
                Ok(Told::User(user))
            }
            (None, Some(name)) => Ok(Told::Group { name, gid, incomplete }),
            _ => Err(Malformed("a record of neither a user nor a group")),
        }
    }
}

fn refusal(error: Text<'_>) -> Told<'_> {
    let errors = [
        ("io.systemd.UserDatabase.NoRecordFound", Error::NoRecordFound),
        ("io.systemd.UserDatabase.ConflictingRecordFound", Error::ConflictingRecordFound),
        ("io.systemd.UserDatabase.ServiceNotAvailable", Error::ServiceNotAvailable),
        ("io.systemd.UserDatabase.BadService", Error::BadService),
        ("org.varlink.service.ExpectedMore", Error::Varlink(varlink::Error::ExpectedMore)),
    ];
    let known = errors.into_iter().find(|(name, _)| error.is(name));
    known.map_or(Told::Failed(error), |(_, error)| Told::None(error))
}

fn first_hash(privileged: &[u8]) -> Result<Option<Text<'_>>, Malformed> {
    for member in Members::of(privileged)? {
        if let (name, Value::Array(hashes)) = member?
            && name.is("hashedPassword")
            && let Some(Value::Text(hash)) = Elements::of(hashes)?.next().transpose()?
        {
            return Ok(Some(hash));
        }
    }
    Ok(None)
}
