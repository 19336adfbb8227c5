//! Looks at a service: whether its supervisor lives, and what it says.

use super::find::Service;
use super::state::{self, Family, State};
use super::text;
use crate::sys::stat::fstat;
use nssproto::supervise::{Beside, STATUS_MAX, Status};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, read, retry_on_intr};
use rustix::pipe::fcntl_getpipe_size;
use rustix::process::{Flock, FlockType, fcntl_getlk};
use std::os::fd::OwnedFd;

/// What was seen.
pub enum Look {
    /// Its state; that of its log service, if the same file tells it.
    Seen(State, Option<State>),
    /// A supervisor of this family was there, and is no more.
    Unsupervised(Family),
    /// It cannot be said.
    Trouble(Trouble),
}

/// What went wrong, in runit's words.
pub struct Trouble {
    /// `fail` or `warning`.
    pub kind: &'static str,
    what: &'static str,
    why: Why,
}

enum Why {
    Errno(Errno),
    Text(&'static str),
}

/// A kind of [`Trouble`]: the service cannot be reached at all.
const FAIL: &str = "fail";
const WARNING: &str = "warning";

impl Trouble {
    /// A call failed.
    pub fn warning(what: &'static str, errno: Errno) -> Self {
        Trouble { kind: WARNING, what, why: Why::Errno(errno) }
    }

    /// What is there is not what it should be.
    pub fn odd(what: &'static str, why: &'static str) -> Self {
        Trouble { kind: WARNING, what, why: Why::Text(why) }
    }

    /// It cannot be done.
    pub fn failure(what: &'static str, errno: Errno) -> Self {
        Trouble { kind: FAIL, what, why: Why::Errno(errno) }
    }

    /// The same, where no call failed.
    pub fn refusal(what: &'static str, why: &'static str) -> Self {
        Trouble { kind: FAIL, what, why: Why::Text(why) }
    }

    /// Adds `WHAT: WHY`.
    pub fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.what.as_bytes());
        out.extend_from_slice(b": ");
        match self.why {
            Why::Errno(errno) => out.extend_from_slice(&text::errno(errno)),
            Why::Text(text) => out.extend_from_slice(text.as_bytes()),
        }
    }

    /// Whether the service itself is not there.
    pub fn is_missing(&self) -> bool {
        let gone = matches!(self.why, Why::Errno(Errno::NOENT | Errno::NOTDIR));
        self.kind == FAIL && gone
    }
}

/// What is said of a FIFO's place where there is something else.
const NO_FIFO: &str = "not a fifo";
const OK: &str = "unable to open supervise/ok";
const STATUS: &str = "unable to open supervise/status";
const READ: &str = "unable to read supervise/status";

/// Looks at a service.
pub fn look(service: &Service) -> Look {
    match open_fifo(service, "supervise/ok") {
        Ok(_) => match read_status(service, true) {
            Ok(status) => {
                let (state, log) = state::of(&status);
                Look::Seen(state, log)
            }
            Err(trouble) => Look::Trouble(trouble),
        },
        Err(Fifo::NobodyReads) => Look::Unsupervised(match read_status(service, true) {
            Ok(status) => state::of(&status).0.family,
            // As runit has it, which does not read it.
            Err(_) => Family::Runit,
        }),
        Err(Fifo::Other) => Look::Trouble(Trouble::odd(OK, NO_FIFO)),
        Err(Fifo::Failed(errno)) => {
            if let Some(errno) = service.unreachable() {
                let what = "unable to change to service directory";
                return Look::Trouble(Trouble::failure(what, errno));
            }
            // s6 has none.
            let status = match errno {
                Errno::NOENT => read_status(service, false),
                _ => return Look::Trouble(Trouble::warning(OK, errno)),
            };
            match status {
                Ok(status) => look_at_lock(service, &status),
                // What could be read and is refused is told of; a service that never ran has none.
                Err(trouble) if trouble.what == READ => Look::Trouble(trouble),
                Err(_) => Look::Trouble(Trouble::warning(OK, errno)),
            }
        }
    }
}

/// Whether s6-supervise lives: it holds a lock, of POSIX's kind.
fn look_at_lock(service: &Service, status: &Status) -> Look {
    let (state, log) = state::of(status);
    if state.family != Family::S6 {
        return Look::Trouble(Trouble::warning(OK, Errno::NOENT));
    }
    let what = "unable to open supervise/lock";
    let lock = match service.open("supervise/lock", OFlags::RDONLY, Mode::empty()) {
        Ok(lock) => lock,
        Err(Errno::NOENT) => return Look::Unsupervised(Family::S6),
        Err(errno) => return Look::Trouble(Trouble::warning(what, errno)),
    };
    match fcntl_getlk(&lock, &Flock::from(FlockType::WriteLock)) {
        Ok(Some(_)) => Look::Seen(state, log),
        Ok(None) => Look::Unsupervised(Family::S6),
        Err(errno) => Look::Trouble(Trouble::warning("unable to test supervise/lock", errno)),
    }
}

/// Why a FIFO was not opened for writing.
pub enum Fifo {
    /// Nobody has it open for reading.
    NobodyReads,
    /// It is something else.
    Other,
    /// The call failed.
    Failed(Errno),
}

/// Opens a FIFO for writing. Nothing is made where there is none, and nothing else is written to.
pub fn open_fifo(service: &Service, name: &str) -> Result<OwnedFd, Fifo> {
    let fifo = service.open(name, OFlags::WRONLY, Mode::empty()).map_err(|errno| match errno {
        Errno::NXIO => Fifo::NobodyReads,
        errno => Fifo::Failed(errno),
    })?;
    // Only a pipe has a size of one, which is less work for the kernel than fstat(2). (Before 2.6.35 it
    // is not known.)
    let is_fifo = match fcntl_getpipe_size(&fifo) {
        Ok(_) => true,
        Err(Errno::INVAL) => {
            fstat(&fifo).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
        }
        Err(_) => false,
    };
    if is_fifo { Ok(fifo) } else { Err(Fifo::Other) }
}

fn read_status(service: &Service, ok: bool) -> Result<Status, Trouble> {
    let file = service
        .open("supervise/status", OFlags::RDONLY, Mode::empty())
        .map_err(|errno| Trouble::warning(STATUS, errno))?;
    // Larger than any, so that the size tells.
    let mut room = [0; 2 * STATUS_MAX + 2];
    let len =
        retry_on_intr(|| read(&file, &mut room)).map_err(|errno| Trouble::warning(READ, errno))?;
    let stat = || service.kind("supervise/stat").is_ok();
    Status::decode(room.get(..len).unwrap_or_default(), Beside { ok, stat: &stat })
        .map_err(|malformed| Trouble::odd(READ, malformed.reason()))
}

/// Whether the service is started with its supervisor: there is no file `down`.
pub fn is_normally_up(service: &Service) -> Result<bool, Trouble> {
    match service.kind("down") {
        Ok(_) => Ok(false),
        Err(Errno::NOENT) => Ok(true),
        Err(errno) => Err(Trouble::warning("unable to stat down", errno)),
    }
}
