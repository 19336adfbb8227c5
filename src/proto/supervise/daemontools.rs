//! daemontools 0.76: supervise.c, `announce`. The files of runit and of daemontools-encore begin so.

use super::{Stamp, short};
use crate::bytes::{Reader, Writer};
use crate::{DecodeError, EncodeError, Malformed};

/// Bytes of the file.
pub const LEN: usize = 18;

/// The 18 bytes. Numbers that supervise does not write are kept as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// When the pid changed last.
    pub stamp: Stamp,
    /// 0: no process. Little-endian in the file.
    pub pid: u32,
    /// 1: STOP was sent.
    pub paused: u8,
    /// `u` or `d`; 0: nothing is wanted, as after "once". runsv writes `d` for exit, too.
    pub want: u8,
}

impl Status {
    /// The first 18 bytes of a file.
    pub fn decode(file: &[u8]) -> Result<Self, Malformed> {
        Status::read(&mut Reader::new(file)).map_err(short)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Status {
            stamp: Stamp::decode(reader)?,
            pid: reader.u32_le()?,
            paused: reader.u8()?,
            want: reader.u8()?,
        })
    }

    /// Writes the file; its length.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut out = Writer::new(out, LEN)?;
        self.put(&mut out);
        Ok(out.written())
    }

    pub(super) fn put(&self, out: &mut Writer<'_>) {
        self.stamp.encode(out);
        out.put(&self.pid.to_le_bytes());
        out.put(&[self.paused, self.want]);
    }
}
