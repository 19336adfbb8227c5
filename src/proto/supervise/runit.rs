//! runit 2.1.2 to 2.3: runsv.c, `update_status`.

use super::{daemontools, short};
use crate::bytes::{Reader, Writer};
use crate::{EncodeError, Malformed};

/// Bytes of the file.
pub const LEN: usize = 20;

/// `state`: nothing runs.
pub const DOWN: u8 = 0;
/// `state`: `run` does.
pub const RUN: u8 = 1;
/// `state`: `finish` does.
pub const FINISH: u8 = 2;

/// The 20 bytes. Numbers that runsv does not write are kept as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// As daemontools' file. The stamp tells when `run` started, or the service went down; `finish` keeps
    /// that of `run`.
    pub front: daemontools::Status,
    /// 1: TERM was sent, and the process lives.
    pub got_term: u8,
    /// [`DOWN`], [`RUN`] or [`FINISH`].
    pub state: u8,
}

impl Status {
    /// The first 20 bytes of a file.
    pub fn decode(file: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(file);
        let mut read = || {
            Ok(Status {
                front: daemontools::Status::read(&mut reader)?,
                got_term: reader.u8()?,
                state: reader.u8()?,
            })
        };
        read().map_err(short)
    }

    /// Writes the file; its length.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut out = Writer::new(out, LEN)?;
        self.front.put(&mut out);
        out.put(&[self.got_term, self.state]);
        Ok(out.written())
    }
}
