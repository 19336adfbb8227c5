//! s6 2.2 to 2.15: s6-supervise.c, `s6_svstatus_pack`. Its stamps count leap seconds.

use super::{LEAP_SECONDS, Stamp, short};
use crate::bytes::{Reader, Writer};
use crate::{EncodeError, Malformed};

/// Bytes of the file.
pub const LEN: usize = 35;
/// Bytes of a file with a process group: 2.13.0 to 2.13.2.
pub const GROUP_LEN: usize = 43;

/// `flags`: STOP was sent.
pub const PAUSED: u8 = 1;
/// `flags`: `finish` runs.
pub const FINISHING: u8 = 2;
/// `flags`: the service is wanted up.
pub const WANT_UP: u8 = 4;
/// `flags`: it has said that it is ready; of one that is down: `finish` has ended.
pub const READY: u8 = 8;

/// The 35 or 43 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// When the service went up or down last.
    pub stamp: Stamp,
    /// When it became ready last.
    pub ready: Stamp,
    /// 0: no process. While `finish` runs, that of `finish`. Big-endian in the file.
    pub pid: u64,
    /// Only in files of 43 bytes.
    pub group: Option<u64>,
    /// How `run` ended last, as wait(2) has it.
    pub wait: u16,
    /// [`PAUSED`], [`FINISHING`], [`WANT_UP`], [`READY`].
    pub flags: u8,
}

impl Status {
    /// A whole file.
    pub fn decode(file: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(file);
        let mut read = || {
            Ok(Status {
                stamp: Stamp::decode(&mut reader)?,
                ready: Stamp::decode(&mut reader)?,
                pid: reader.u64_be()?,
                group: if file.len() == GROUP_LEN { Some(reader.u64_be()?) } else { None },
                wait: reader.u16_be()?,
                flags: reader.u8()?,
            })
        };
        read().map_err(short)
    }

    /// Writes the file; its length.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let size = if self.group.is_some() { GROUP_LEN } else { LEN };
        let mut out = Writer::new(out, size)?;
        self.stamp.encode(&mut out);
        self.ready.encode(&mut out);
        out.put_u64(self.pid);
        if let Some(group) = self.group {
            out.put_u64(group);
        }
        out.put(&self.wait.to_be_bytes());
        out.put(&[self.flags]);
        Ok(out.written())
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// A service that was down from the start and is not started yet (2.13 on).
    pub fn is_unstarted(&self) -> bool {
        self.pid == 0 && self.has(PAUSED)
    }

    /// Its stamp without leap seconds, as those of the other families.
    pub fn since(&self) -> Stamp {
        without_leap_seconds(self.stamp)
    }

    /// The time of readiness without leap seconds.
    pub fn ready_since(&self) -> Stamp {
        without_leap_seconds(self.ready)
    }
}

fn without_leap_seconds(stamp: Stamp) -> Stamp {
    Stamp { label: stamp.label.saturating_sub(LEAP_SECONDS), ..stamp }
}
