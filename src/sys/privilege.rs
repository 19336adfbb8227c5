//! The start that is common to the nsss daemons (doc/protocols/nsss.md, section 5), and what a
//! server gives up for good (doc/security.md).

use super::error::{Error, unable};
use super::file::{open, pread_full};
use nssproto::bytes::decimal_u32;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Gid, Uid, geteuid, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::os::unix::ffi::OsStrExt;

/// Whom to become.
#[derive(Clone, Copy)]
pub struct Client {
    gid: u32,
    uid: u32,
}

/// As root, the client that the super-server named by IPCREMOTEEGID and IPCREMOTEEUID. Not root:
/// `None`, nothing to do.
///
/// Errors: exit 100 for a variable that is missing or no number.
pub fn client() -> Result<Option<Client>, Error> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let missing = "IPCREMOTEEGID not set";
    let gid = id("IPCREMOTEEGID", missing, "invalid $IPCREMOTEEGID")?;
    let missing = "IPCREMOTEEUID not set";
    let uid = id("IPCREMOTEEUID", missing, "invalid $IPCREMOTEEUID")?;
    Ok(Some(Client { gid, uid }))
}

/// Becomes the client: no supplementary groups (nsss keeps them), then its gid, then its uid.
/// Errors: exit 111 for a refused call.
pub fn become_client(client: Option<Client>) -> Result<(), Error> {
    match client {
        Some(Client { gid, uid }) => become_user(&[], Some(gid), Some(uid)),
        None => Ok(()),
    }
}

/// Sets the supplementary groups, then all three group ids, then all three user ids. Whoever is not
/// root then has no capabilities.
///
/// The calls are per thread in Linux; the process has only one.
pub fn become_user(groups: &[Gid], gid: Option<u32>, uid: Option<u32>) -> Result<(), Error> {
    set_thread_groups(groups).map_err(unable("unable to set supplementary groups"))?;
    if let Some(gid) = gid {
        let id = Gid::from_raw(gid);
        set_thread_res_gid(id, id, id).map_err(unable("unable to setgid"))?;
    }
    if let Some(uid) = uid {
        let id = Uid::from_raw(uid);
        set_thread_res_uid(id, id, id).map_err(unable("unable to setuid"))?;
        if uid != 0 {
            // The kernel takes them away, too, but not where it was told not to (securebits).
            let none = CapabilitySet::empty();
            let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
            set_capabilities(None, none).map_err(unable("unable to drop capabilities"))?;
        }
    }
    Ok(())
}

/// From here on no program that this process starts gains rights by a set-uid file. Not for a
/// process that starts programs of others, which may be meant to.
pub fn gain_no_more() {
    // A kernel before 3.5 does not know it; nothing of ours needs it.
    let _ = set_no_new_privs(true);
}

/// Nobody may look into this process, not even who it becomes, and it leaves no core file: it has
/// seen a secret. A change of user can undo it.
pub fn keep_secret() {
    // It fails for unknown values only.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// What stat(2) says of an owner who is not mapped into our user namespace.
const UNMAPPED: u32 = 65534;

/// Whether the owner of a file is root. Where root is not mapped into our user namespace (a
/// container without root), that is one of those who are not: nobody in here is one of them.
pub fn is_root(uid: u32) -> bool {
    uid == 0 || (uid == UNMAPPED && !is_root_mapped().unwrap_or(true))
}

/// By the kernel's list, `INSIDE OUTSIDE COUNT` a line.
// Inlined, its room would be a page of the stack for whoever asks about any other uid.
#[inline(never)]
fn is_root_mapped() -> Result<bool, Errno> {
    let file = open(c"/proc/self/uid_map", OFlags::RDONLY, Mode::empty())?;
    let mut room = [0; 4096];
    let len = pread_full(&file, &mut room, 0)?;
    let list = room.get(..len).unwrap_or_default();
    Ok(list.split(|b| *b == b'\n').any(|line| line.trim_ascii_start().starts_with(b"0 ")))
}

/// A number in the environment.
fn number(name: &str, invalid: &'static str) -> Result<Option<u32>, Error> {
    let Some(value) = std::env::var_os(name) else { return Ok(None) };
    decimal_u32(value.as_bytes()).map(Some).ok_or_else(|| Error::usage(invalid))
}

fn id(name: &str, missing: &'static str, invalid: &'static str) -> Result<u32, Error> {
    match number(name, invalid)? {
        // That means "no change" to the kernel, so it names nobody.
        Some(u32::MAX) => Err(Error::usage(invalid)),
        Some(id) => Ok(id),
        None => Err(Error::usage(missing)),
    }
}

/// NSSSD_TIMEOUT: milliseconds for each read or write inside an exchange; 0 or absent: `None`.
/// Anything but a decimal 32-bit number is a usage error.
pub fn exchange_timeout() -> Result<Option<u32>, Error> {
    Ok(number("NSSSD_TIMEOUT", "invalid $NSSSD_TIMEOUT")?.filter(|millis| *millis != 0))
}
