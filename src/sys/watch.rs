//! The end of a process that is no child of ours.

use super::file::{open_path, pread_full};
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, read};
use rustix::process::{Pid, PidfdFlags, pidfd_open, test_kill_process};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Nanoseconds between two looks where nothing tells of the end.
const LOOK: i64 = 250_000_000;

/// A process that is watched.
pub struct Watched {
    pid: Pid,
    /// Readable when it may have ended.
    event: OwnedFd,
    how: How,
}

/// How its end is known.
enum How {
    /// By a pidfd, which tells by itself.
    Told,
    /// By its status in /proc, looked at now and then. It stays that of this process, whoever gets
    /// the number.
    Status(OwnedFd),
    /// By its number, for want of /proc.
    Number,
}

impl Watched {
    /// Watches the process of this number. ESRCH: there is none. Filters of container runtimes
    /// refuse pidfd_open(2), kernels before 5.3 do not know it; there it is looked at four times a
    /// second.
    pub fn begin(pid: Pid) -> Result<Self, Errno> {
        let refused = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(event) => return Ok(Watched { pid, event, how: How::Told }),
            Err(errno) => errno,
        };
        if refused == Errno::SRCH {
            return Err(refused);
        }
        let mut room = [0; DECIMAL_MAX];
        let number = write_decimal(pid.as_raw_nonzero().get().unsigned_abs().into(), &mut room);
        let path = [b"/proc/", number, b"/stat"].concat();
        let how = open_path(&path, OFlags::RDONLY, Mode::empty()).map_or(How::Number, How::Status);
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let event = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let interval = Timespec { tv_sec: 0, tv_nsec: LOOK as _ };
        let often = Itimerspec { it_interval: interval, it_value: interval };
        timerfd_settime(&event, TimerfdTimerFlags::empty(), &often)?;
        let mut watched = Watched { pid, event, how };
        if watched.has_ended() { Err(Errno::SRCH) } else { Ok(watched) }
    }

    /// Readable when [`Watched::has_ended`] is to be asked.
    pub fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    /// Whether it has ended, once the event was readable.
    pub fn has_ended(&mut self) -> bool {
        if let How::Told = self.how {
            return true;
        }
        // Until the next look.
        let _ = read(&self.event, &mut [0; 8]);
        match &self.how {
            How::Status(file) => {
                let mut room = [0; 128];
                let len = pread_full(file, &mut room, 0).unwrap_or(0);
                is_dead(room.get(..len).unwrap_or_default())
            }
            // One that may not be signalled is there.
            _ => test_kill_process(self.pid) == Err(Errno::SRCH),
        }
    }
}

/// Whether a line of /proc/PID/stat, `PID (NAME) STATE …`, is that of a process that has ended.
fn is_dead(line: &[u8]) -> bool {
    // A name may have parentheses, too; behind it are numbers.
    let end = line.iter().rposition(|b| *b == b')');
    let state = end.and_then(|end| line.get(end + 2));
    state.is_none_or(|state| matches!(state, b'Z' | b'X'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_who_has_ended() {
        assert!(!is_dead(b"7 (cat) S 1 7 7 0"));
        assert!(!is_dead(b"7 (a) Z (b) R 1 7 7 0"));
        assert!(is_dead(b"7 (cat) Z 1 7 7 0"));
        assert!(is_dead(b"7 (S) X 1"));
        assert!(is_dead(b"") && is_dead(b"7 (cat)"));
    }
}
