//! `supervise/status`: what a supervisor writes about the service that it runs.
//!
//! | family | bytes | codec |
//! |---|---|---|
//! | runit | 20 | [`runit`] |
//! | daemontools | 18 | [`daemontools`] |
//! | daemontools-encore | 20, with a log service 40 | [`encore`] |
//! | s6 | 35 (2.2 to 2.12, and from 2.14 on), 43 (2.13) | [`s6`] |
//!
//! No file says whose it is, and runit's and encore's have one size. [`Status::decode`] has the rule
//! that tells them apart; it is held against recorded files of all four (tests/vectors/sv and runit).
//!
//! ```
//! use nssproto::supervise::{Beside, Status, runit};
//!
//! let file = [
//!     0x40, 0, 0, 0, 0x6b, 2, 0x66, 0x7e, 0x30, 0x7c, 0xcd, 0xbc, // since when
//!     0xed, 0x33, 0, 0, // pid
//!     0, b'u', 1, 1, // not paused, wants up, got TERM, runs
//! ];
//! let beside = Beside { ok: true, stat: &|| true };
//! let Ok(Status::Runit(status)) = Status::decode(&file, beside) else { panic!("not runit's") };
//! assert_eq!((status.front.pid, status.got_term, status.state), (13293, 1, runit::RUN));
//! assert_eq!(status.front.stamp.unix_seconds(), 1795319412);
//! let mut out = [0; 20];
//! assert_eq!(Status::Runit(status).encode(&mut out), Ok(20));
//! assert_eq!(out, file);
//! ```

pub mod daemontools;
pub mod encore;
pub mod runit;
pub mod s6;

use crate::bytes::{Reader, Writer};
use crate::{DecodeError, EncodeError, Malformed};

/// The TAI64 label of 1970-01-01 00:00:00 UTC, leap seconds not counted: what is added to Unix
/// seconds.
pub const EPOCH: u64 = (1 << 62) + 10;

/// Seconds that s6 counts besides: the leap seconds up to 2017, of which there were none since.
pub const LEAP_SECONDS: u64 = 27;

/// Room for any status file.
pub const STATUS_MAX: usize = s6::GROUP_LEN;

/// A time: the TAI64N label as it stands in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Seconds, from [`EPOCH`] on.
    pub label: u64,
    /// Nanoseconds of the second.
    pub nanos: u32,
}

impl Stamp {
    /// Bytes of one.
    pub const LEN: usize = 12;

    /// The stamp of a Unix time, as runit and daemontools write it.
    pub fn of_unix(seconds: u64, nanos: u32) -> Self {
        Stamp { label: EPOCH.saturating_add(seconds), nanos }
    }

    /// Unix seconds of a stamp that counts no leap seconds. What does not fit is as far as fits.
    pub fn unix_seconds(self) -> i64 {
        i64::try_from(self.label).unwrap_or(i64::MAX).saturating_sub(EPOCH as i64)
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Stamp { label: reader.u64_be()?, nanos: reader.u32_be()? })
    }

    pub(crate) fn encode(self, out: &mut Writer<'_>) {
        out.put_u64(self.label);
        out.put_u32(self.nanos);
    }
}

/// Whose file it is, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// runit's runsv.
    Runit(runit::Status),
    /// daemontools' supervise.
    Daemontools(daemontools::Status),
    /// The supervise of daemontools-encore, which also runs the log service.
    Encore {
        /// The service.
        main: encore::Status,
        /// The executable file `log`, if there is one.
        log: Option<encore::Status>,
    },
    /// s6-supervise.
    S6(s6::Status),
}

/// What lies beside a status file, which is looked at where its bytes do not tell.
#[derive(Clone, Copy)]
pub struct Beside<'a> {
    /// A FIFO `ok`.
    pub ok: bool,
    /// Whether there is a file `stat`.
    pub stat: &'a dyn Fn() -> bool,
}

impl Status {
    /// All of a status file. `Malformed`: it is nobody's that is known here, and why.
    ///
    /// 20 bytes are encore's where byte 18 or the pid can be only its, else runit's where byte 19
    /// says that something runs; what is left means "down" in both, and is runit's where it wrote
    /// `stat`. One byte more is read over, as runit does.
    pub fn decode(file: &[u8], beside: Beside<'_>) -> Result<Self, Malformed> {
        match file.len() {
            18 if beside.ok => daemontools::Status::decode(file).map(Status::Daemontools),
            18 | 26 => Err(Malformed("s6 before 2.2")),
            19 | 87 => Err(Malformed("nosh")),
            runit::LEN | 21 => {
                let status = runit::Status::decode(file)?;
                let is_encores = status.got_term > 1
                    || status.got_term == 1 && status.state == runit::DOWN && status.front.pid != 0;
                if !is_encores && (status.state != runit::DOWN || (beside.stat)()) {
                    Ok(Status::Runit(status))
                } else {
                    encore::Status::decode(file).map(|main| Status::Encore { main, log: None })
                }
            }
            encore::WITH_LOG_LEN => {
                let (main, log) = file.split_at_checked(encore::LEN).unwrap_or_default();
                let main = encore::Status::decode(main)?;
                Ok(Status::Encore { main, log: Some(encore::Status::decode(log)?) })
            }
            s6::LEN | s6::GROUP_LEN => s6::Status::decode(file).map(Status::S6),
            _ => Err(Malformed("bad format")),
        }
    }

    /// Writes the file that this is; its length.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        match self {
            Status::Runit(status) => status.encode(out),
            Status::Daemontools(status) => status.encode(out),
            Status::Encore { main, log: None } => main.encode(out),
            Status::Encore { main, log: Some(log) } => {
                if out.len() < encore::WITH_LOG_LEN {
                    return Err(EncodeError::NoSpace(encore::WITH_LOG_LEN));
                }
                let len = main.encode(out)?;
                Ok(len + log.encode(out.get_mut(len..).unwrap_or_default())?)
            }
            Status::S6(status) => status.encode(out),
        }
    }
}

/// Too few bytes are no file that is still being sent: it is what it is.
fn short(error: DecodeError) -> Malformed {
    match error {
        DecodeError::Malformed(malformed) => malformed,
        DecodeError::Incomplete(_) => Malformed("bad format"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 bytes that end so.
    fn file(tail: [u8; 8]) -> [u8; 20] {
        let mut file = [0x40; 20];
        file[12..].copy_from_slice(&tail);
        file
    }

    fn family(file: &[u8], ok: bool, stat: bool) -> &'static str {
        match Status::decode(file, Beside { ok, stat: &|| stat }) {
            Ok(Status::Runit(_)) => "runit",
            Ok(Status::Daemontools(_)) => "daemontools",
            Ok(Status::Encore { log: None, .. }) => "encore",
            Ok(Status::Encore { .. }) => "encore with log",
            Ok(Status::S6(_)) => "s6",
            Err(malformed) => malformed.reason(),
        }
    }

    #[test]
    fn twenty_bytes_are_told_apart_by_what_only_one_family_writes() {
        for (tail, stat, whose) in [
            ([1, 0, 0, 0, 0, b'u', 3, 0], true, "encore"),
            ([1, 0, 0, 0, 0, b'u', 1, 0], true, "encore"),
            // A leftover `stat`, or none, misleads nobody where the bytes tell.
            ([1, 0, 0, 0, 0, b'u', 1, 1], false, "runit"),
            ([1, 0, 0, 0, 0, b'd', 0, 2], false, "runit"),
            ([0, 0, 0, 0, 0, b'd', 5, 0], true, "encore"),
            ([0, 0, 0, 0, 0, b'd', 1, 0], true, "runit"),
            ([0, 0, 0, 0, 0, b'd', 0, 0], true, "runit"),
            ([0, 0, 0, 0, 0, b'd', 0, 0], false, "encore"),
            ([1, 0, 0, 0, 0, b'd', 0, 0], false, "encore"),
        ] {
            assert_eq!(family(&file(tail), true, stat), whose, "{tail:?}");
            let mut longer = [0; 21];
            longer[..20].copy_from_slice(&file(tail));
            assert_eq!(family(&longer, true, stat), whose, "{tail:?}, and a byte");
        }
    }

    #[test]
    fn other_sizes_are_somebody_s_or_refused_by_name() {
        let bytes = [0; 100];
        for (len, ok, whose) in [
            (18, true, "daemontools"),
            (18, false, "s6 before 2.2"),
            (26, true, "s6 before 2.2"),
            (19, true, "nosh"),
            (87, true, "nosh"),
            (35, false, "s6"),
            (43, false, "s6"),
            (40, true, "encore with log"),
            (0, true, "bad format"),
            (17, true, "bad format"),
            (22, true, "bad format"),
            (44, true, "bad format"),
        ] {
            assert_eq!(family(&bytes[..len], ok, true), whose, "{len} bytes, ok: {ok}");
        }
    }

    #[test]
    fn times_are_told_as_far_as_they_fit() {
        assert_eq!(Stamp::of_unix(7, 1).unix_seconds(), 7);
        assert_eq!(Stamp { label: 0, nanos: 0 }.unix_seconds(), -(1 << 62) - 10);
        assert_eq!(Stamp { label: u64::MAX, nanos: 0 }.unix_seconds(), i64::MAX - EPOCH as i64);
    }

    #[test]
    fn what_has_no_room_is_not_written() {
        let file = [7; 40];
        let status = Status::decode(&file, Beside { ok: true, stat: &|| false }).unwrap();
        let mut out = [0xa5; 39];
        assert_eq!(status.encode(&mut out), Err(EncodeError::NoSpace(40)));
        assert_eq!(out, [0xa5; 39]);
    }
}
