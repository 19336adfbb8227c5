//! What every super-server does before it serves: whom it becomes, how many descriptors it has.

use super::Rules;
use crate::backend::switch::Switch;
use crate::limits::CONNECTIONS;
use crate::options::Options;
use crate::sys::error::Error;
use crate::sys::privilege;
use nssproto::bytes::decimal_u32;
use rustix::process::{Gid, Resource, Rlimit, getrlimit, prlimit};
use std::env::var_os;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Whom to become after binding.
pub struct Identity {
    groups: Option<&'static [Gid]>,
    gid: Option<u32>,
    uid: Option<u32>,
    /// The environment was asked.
    pub from_environment: bool,
}

/// 2^32-1 means "no change" to the kernel, so it names nobody.
fn id(text: &[u8]) -> Result<u32, Error> {
    match decimal_u32(text) {
        Some(id) if id != u32::MAX => Ok(id),
        _ => Err(Error::options("not a user or group id:").about(OsStr::from_bytes(text))),
    }
}

/// The value of an option, or that of a variable if the environment is asked.
fn text<'a>(
    options: &Options<'a>,
    option: &'static str,
    variable: &str,
    from_environment: bool,
) -> Option<&'a OsStr> {
    match options.word(option) {
        // It is there as long as the process, as the command line is.
        None if from_environment => Some(Box::leak(var_os(variable)?.into_boxed_os_str())),
        given => given,
    }
}

impl Identity {
    /// `-G`, `-g`, `-u`, and `-U` for those that were not given; for as long as the process lives.
    pub fn given(options: &Options<'_>) -> Result<&'static Self, Error> {
        let from_environment = options.flag("-U");
        let groups = text(options, "-G", "GIDLIST", from_environment);
        let gid = text(options, "-g", "GID", from_environment);
        let uid = text(options, "-u", "UID", from_environment);
        if from_environment && (uid.is_none() || gid.is_none()) {
            return Err(Error::usage("-U needs UID and GID in the environment"));
        }
        let identity = Identity { groups: None, gid: None, uid: None, from_environment };
        let identity = Box::leak(Box::new(identity));
        if let Some(list) = groups {
            let mut ids = Vec::new();
            // An empty list is one of no groups.
            if !list.is_empty() {
                for text in list.as_bytes().split(|b| *b == b',') {
                    ids.push(Gid::from_raw(id(text)?));
                }
            }
            identity.groups = Some(ids.leak());
        }
        if let Some(gid) = gid {
            identity.gid = Some(id(gid.as_bytes())?);
        }
        if let Some(uid) = uid {
            identity.uid = Some(id(uid.as_bytes())?);
        }
        Ok(identity)
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
        privilege::become_user(self.groups.unwrap_or_default(), self.gid, self.uid)
    }
}

impl Rules {
    /// `-c`, `-C` and, until others are set, the rules of ipcserver. `per_uid`: most connections of
    /// a user where none are given. [`Rules::flags`] comes after the other options with values. They
    /// live as long as the process.
    pub fn given(
        name: &'static str,
        per_uid: u64,
        options: &Options<'_>,
    ) -> Result<&'static mut Self, Error> {
        let max = options.number("-c", u64::MAX)?.unwrap_or(CONNECTIONS.0.into());
        let max = clamp(max, CONNECTIONS.1);
        let per_uid = options.number("-C", u64::MAX)?.unwrap_or(per_uid);
        Ok(Box::leak(Box::new(Rules {
            name,
            max,
            max_per_uid: clamp(per_uid, max),
            oldest_gives_way: false,
            credentials: true,
            verbosity: 1,
            client_millis: 0,
            newline: false,
            hidden: &[],
        })))
    }

    /// `-q`, `-v`, `-1`.
    pub fn flags(&mut self, options: &Options<'_>) {
        self.verbosity = if options.flag("-q") { 0 } else { 1 + u8::from(options.flag("-v")) };
        self.newline = options.flag("-1");
    }
}

/// Readies a switch to be asked by the event loop, after the change of user.
pub fn ready(switch: &mut Switch, rules: &Rules) {
    switch.guard();
    raise_descriptors(rules.max);
    switch.reserve_descriptors();
}

/// A number of connections, brought into its range.
pub fn clamp(number: u64, most: u32) -> u32 {
    number.clamp(1, u64::from(most)) as u32
}

/// Each connection may have three enumerations open besides its socket. As far as the hard
/// limit allows; with fewer, clients wait.
fn raise_descriptors(connections: u32) {
    let need = u64::from(connections) * 4 + 32;
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    if limit.current.is_some_and(|soft| soft < need) {
        let raised = Rlimit { current: Some(need.min(hard)), maximum: limit.maximum };
        // It is served on with what there is.
        let _ = prlimit(None, Resource::Nofile, raised);
    }
}
