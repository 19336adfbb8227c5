//! What every super-server does before it serves: whom it becomes, how many descriptors it has.

use crate::options::Options;
use crate::sys::error::Error;
use crate::sys::privilege;
use nssproto::bytes::decimal_u32;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Whom to become after binding.
pub struct Identity {
    groups: Option<Vec<u32>>,
    gid: Option<u32>,
    uid: Option<u32>,
    /// The environment was asked.
    pub from_environment: bool,
}

/// 2^32-1 means "no change" to the kernel, so it names nobody.
fn id(text: &[u8]) -> Result<u32, Error> {
    let id = decimal_u32(text).filter(|id| *id != u32::MAX);
    id.ok_or_else(|| Error::options("not a user or group id:").about(OsStr::from_bytes(text)))
}

impl Identity {
    /// `-G`, `-g`, `-u`, and `-U` for those that were not given.
    pub fn given(options: &mut Options) -> Result<Self, Error> {
        let (mut groups, mut gid, mut uid) =
            (options.value("-G"), options.value("-g"), options.value("-u"));
        let from_environment = options.flag("-U");
        if from_environment {
            groups = groups.or_else(|| std::env::var_os("GIDLIST"));
            gid = gid.or_else(|| std::env::var_os("GID"));
            uid = uid.or_else(|| std::env::var_os("UID"));
            if uid.is_none() || gid.is_none() {
                return Err(Error::usage("-U needs UID and GID in the environment"));
            }
        }
        let list = groups.map(|list| match list.is_empty() {
            true => Ok(Vec::new()),
            false => list.as_bytes().split(|b| *b == b',').map(id).collect(),
        });
        let id = |value: Option<OsString>| value.map(|v| id(v.as_bytes())).transpose();
        Ok(Identity { groups: list.transpose()?, gid: id(gid)?, uid: id(uid)?, from_environment })
    }

    /// Whether rights are given up.
    pub fn changes(&self) -> bool {
        self.groups.is_some() || self.gid.is_some() || self.uid.is_some()
    }

    /// With a new uid or gid the supplementary groups go, unless others were given: whoever
    /// gives root up does not mean to keep its groups.
    pub fn assume(self) -> Result<(), Error> {
        if !self.changes() {
            return Ok(());
        }
        privilege::become_user(&self.groups.unwrap_or_default(), self.gid, self.uid)
    }
}

/// A number of connections, brought into its range.
pub fn clamp(number: u64, most: u32) -> u32 {
    number.clamp(1, u64::from(most)) as u32
}

/// Each connection may have three enumerations open besides its socket. As far as the hard
/// limit allows; with fewer, clients wait.
pub fn raise_descriptors(connections: u32) {
    let need = u64::from(connections) * 4 + 32;
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    if limit.current.is_some_and(|soft| soft < need) {
        let raised = Rlimit { current: Some(need.min(hard)), maximum: limit.maximum };
        // It is served on with what there is.
        let _ = setrlimit(Resource::Nofile, raised);
    }
}
