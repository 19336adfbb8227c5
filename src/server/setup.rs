//! What every server of a socket does before it serves: whom it becomes, how many clients it
//! admits, how many descriptors it has.

use super::ServerOptions;
use super::conversation::Patience;
use super::listener::Limits;
use super::log::Log;
use crate::backend::switch::Switch;
use crate::limits::{CLIENT_MILLIS, CONNECTIONS, NSCD_ROOM};
use crate::options::Options;
use crate::sys::access::shared_ids;
use crate::sys::error::Error;
use crate::sys::privilege;
use crate::sys::program;
use crate::sys::spawn::raise_descriptors;
use nssproto::bytes::decimal_u32;
use rustix::process::Gid;
use std::env::var_os;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Whom to become after binding.
pub struct Identity {
    groups: Option<Vec<Gid>>,
    gid: Option<u32>,
    uid: Option<u32>,
    /// The environment was asked.
    pub from_environment: bool,
}

/// 2^32-1 means "no change" to the kernel, so it names nobody.
fn id(text: &OsStr) -> Result<u32, Error> {
    match decimal_u32(text.as_bytes()) {
        Some(id) if id != u32::MAX => Ok(id),
        _ => Err(Error::options("not a user or group id:").about(text)),
    }
}

impl Identity {
    /// `-G`, `-g`, `-u`, and `-U` for those that were not given.
    pub fn given(options: &Options<'_>) -> Result<Self, Error> {
        let from_environment = options.flag(b'U');
        let text = |option, variable: &str| -> Option<OsString> {
            match options.word(option) {
                None if from_environment => var_os(variable),
                given => given.map(OsStr::to_owned),
            }
        };
        let number = |option, variable: &str| text(option, variable).map(|t| id(&t)).transpose();
        let groups = text(b'G', "GIDLIST").map(|list| gids(&list)).transpose()?;
        let (gid, uid) = (number(b'g', "GID")?, number(b'u', "UID")?);
        if from_environment && (uid.is_none() || gid.is_none()) {
            return Err(Error::usage("-U needs UID and GID in the environment"));
        }
        Ok(Identity { groups, gid, uid, from_environment })
    }

    /// Whether rights are given up.
    pub fn changes(&self) -> bool {
        self.groups.is_some() || self.gid.is_some() || self.uid.is_some()
    }

    /// With a new uid or gid the supplementary groups go, unless others were given: whoever
    /// gives root up does not mean to keep its groups.
    pub fn assume(&self) -> Result<(), Error> {
        if !self.changes() {
            return Ok(());
        }
        privilege::become_user(self.groups.as_deref().unwrap_or_default(), self.gid, self.uid)
    }
}

/// A list with commas; an empty one is one of no groups.
fn gids(list: &OsStr) -> Result<Vec<Gid>, Error> {
    let mut gids = Vec::new();
    if !list.is_empty() {
        for text in list.as_bytes().split(|b| *b == b',') {
            gids.push(Gid::from_raw(id(OsStr::from_bytes(text))?));
        }
    }
    Ok(gids)
}

/// `-c` and `-C`, which hold for each socket by itself.
pub struct Connections {
    max: u32,
    per_uid: Option<u32>,
}

impl Connections {
    /// Takes the two options.
    pub fn given(options: &Options<'_>) -> Result<Self, Error> {
        let max = options.number(b'c', u64::MAX)?.unwrap_or(CONNECTIONS.0.into());
        // As s6-ipcserver does, a number out of range is brought into it.
        let max = clamp(max, CONNECTIONS.1);
        let per_uid = options.number(b'C', u64::MAX)?.map(|most| clamp(most, max));
        Ok(Connections { max, per_uid })
    }

    /// The limits of a socket as in ipcserver, where a connection may last. `per_uid`: most
    /// connections of a user where none are given.
    pub fn limits(&self, per_uid: u32) -> Limits {
        Limits {
            max: self.max,
            max_per_uid: self.per_uid.unwrap_or(per_uid.min(self.max)),
            room: 0,
            credentials: true,
            patience: Patience { client_millis: CLIENT_MILLIS, lookup_millis: 0 },
        }
    }
}

impl ServerOptions {
    /// `-q`, `-v`, `-1`, after all options with values.
    pub fn given(name: &'static str, options: &Options<'_>, identity: &Identity) -> Self {
        let verbosity = if options.flag(b'q') { 0 } else { 1 + u8::from(options.flag(b'v')) };
        let log = Log { name, verbosity };
        let newline = options.flag(b'1');
        let begins_anew = !(identity.changes() || cfg!(feature = "sandbox"));
        let executable = if begins_anew { program::executable() } else { None };
        ServerOptions { log, newline, hidden: &[], executable }
    }
}

/// Readies a switch to be asked by the event loop, after the change of user.
pub fn ready(switch: &mut Switch) {
    switch.guard();
    // Later there may be no way to read them.
    shared_ids();
    raise_descriptors();
    switch.reserve_descriptors();
}

/// A number of connections, brought into its range.
pub fn clamp(number: u64, most: u32) -> u32 {
    number.clamp(1, u64::from(most)) as u32
}

/// The limits of a socket where clients wait in a room, if `others` have descriptors, too. Where few
/// are allowed, three of four are for those who wait.
pub fn with_room(limits: Limits, others: u32) -> Limits {
    let all = raise_descriptors();
    let allowed = all.saturating_sub(u64::from(others) + SPARE_DESCRIPTORS).max(all / 2);
    let served = allowed.saturating_sub(NSCD_ROOM.into()).max(allowed / 4).max(FEW_SERVED);
    let max = clamp(served, limits.max);
    let half = if max < limits.max { max.div_ceil(2) } else { max };
    let room = clamp(allowed.saturating_sub(max.into()), NSCD_ROOM);
    Limits { max, max_per_uid: limits.max_per_uid.min(half), room, ..limits }
}

/// At least so many are served at a time: twice the workers.
const FEW_SERVED: u64 = 16;

/// Descriptors that are not connections: files, workers, what is being started.
const SPARE_DESCRIPTORS: u64 = 64;
