//! Whose the files are, and who may read them: as the machine's own file of the same name.

use super::maps::Map;
use super::progress::warn;
use crate::sys::stat::{Stat, stat};
use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};
use rustix::io::Errno;
use std::ffi::CString;
use std::fs::File;

/// Mode and owner of a file.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    mode: u32,
    /// Its own, if it does not matter.
    owner: Option<(u32, u32)>,
    /// It must not be read by more people than these, even where it cannot be given away.
    secret: bool,
}

impl Model {
    /// Of the files of a map: as /etc/MAP, wherever they are. `is_data`: not of an index.
    pub fn of(map: Map, is_data: bool) -> Self {
        let own = CString::new([b"/etc/", map.name().as_bytes()].concat());
        let there = own.ok().and_then(|own| stat(&own).ok());
        let secret = map == Map::Shadow;
        match there {
            Some(there) => Model::like(&there, secret),
            None => {
                let mode = match map {
                    Map::Shadow => 0o600,
                    Map::Sshkey if is_data => 0o444,
                    _ => 0o644,
                };
                Model { mode, owner: None, secret }
            }
        }
    }

    /// As that of a file that is there.
    pub fn like(there: &Stat, secret: bool) -> Self {
        let mode = there.st_mode & 0o777;
        Model { mode, owner: Some((there.st_uid, there.st_gid)), secret }
    }

    /// Gives a file this mode and owner. Who may not give it away keeps it, and what is secret to
    /// himself.
    pub fn put(&self, file: &File) -> Result<(), Errno> {
        let mut mode = self.mode;
        if let Some((uid, gid)) = self.owner {
            let (owner, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
            match fchown(file, Some(owner), Some(group)) {
                Ok(()) => {}
                Err(Errno::PERM) if self.secret => {
                    mode = 0o600;
                    warn(|m| {
                        m.text("unable to give shadow to its owner: only we can read it");
                    });
                }
                Err(Errno::PERM) => {}
                Err(errno) => return Err(errno),
            }
        }
        fchmod(file, Mode::from_raw_mode(mode))
    }
}
