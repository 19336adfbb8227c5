//! daemontools-encore 1.10: supervise.c, `make_status`. A file has this once, or twice where the
//! supervisor also runs `log`.

use super::{daemontools, short};
use crate::bytes::{Reader, Writer};
use crate::{EncodeError, Malformed};

/// Bytes for one service.
pub const LEN: usize = 20;
/// Bytes of a file with that of the log service behind it.
pub const WITH_LOG_LEN: usize = 2 * LEN;

/// `state`: the service is down, or its `stop` script runs.
pub const STOPPED: u8 = 0;
/// `state`: its `start` script runs.
pub const STARTING: u8 = 1;
/// `state`: it has started, and has no `run` script.
pub const STARTED: u8 = 2;
/// `state`: its `run` script does.
pub const RUNNING: u8 = 3;
/// `state`: it was sent TERM, and lives.
pub const STOPPING: u8 = 4;
/// `state`: its `start` script failed, or `run` ended with exit code 100.
pub const FAILED: u8 = 5;

/// The 20 bytes. Numbers that supervise does not write are kept as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// As daemontools' file.
    pub front: daemontools::Status,
    /// [`STOPPED`] to [`FAILED`].
    pub state: u8,
    /// Byte 19, always 0.
    pub last: u8,
}

impl Status {
    /// The first 20 bytes of a file.
    pub fn decode(file: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(file);
        let mut read = || {
            Ok(Status {
                front: daemontools::Status::read(&mut reader)?,
                state: reader.u8()?,
                last: reader.u8()?,
            })
        };
        read().map_err(short)
    }

    /// Writes 20 bytes; how many.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut out = Writer::new(out, LEN)?;
        self.front.put(&mut out);
        out.put(&[self.state, self.last]);
        Ok(out.written())
    }

    /// What svstat calls the state.
    pub fn word(&self) -> &'static str {
        match self.state {
            STOPPED => "stopped",
            STARTING => "starting",
            STARTED => "started",
            RUNNING => "running",
            STOPPING => "stopping",
            FAILED => "failed",
            _ => "status unknown",
        }
    }
}
