//! Standard output and error of a run, and the signals that come while it waits for them: whoever
//! reads slowly, or not at all, does not keep dt from being ended.

use super::complaint::{failure, tell};
use super::line::Sink;
use crate::server::signals::caught;
use crate::sys::clock::{millis, timespec};
use crate::sys::error::Error;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, write};
use rustix::stdio::{stderr, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What is kept until it is written.
const ENOUGH: usize = 32 * 1024;

/// Milliseconds that a reader who does not read is waited for once dt has to end.
const PATIENCE: u64 = 1000;

/// What has to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// SIGINT.
    Interrupt,
    /// SIGTERM or SIGHUP: end.
    End,
    /// A child has ended.
    Child,
}

/// Where a run prints.
pub struct Screen {
    out: Vec<u8>,
    err: Vec<u8>,
    /// Standard output by a descriptor of our own, which does not wait; `None`: it cannot be had, and
    /// the usual one waits.
    own: Option<OwnedFd>,
    signals: SignalFd,
    came: Vec<Came>,
    /// Nobody reads any more.
    gone: bool,
    /// dt has to end.
    ends: bool,
    /// A line about the run stands on the terminal.
    status: bool,
    /// Whether standard output and standard error are terminals.
    pub out_is_terminal: bool,
    /// The same of standard error.
    pub err_is_terminal: bool,
}

impl Screen {
    /// From now on, signals are ours.
    pub fn new() -> Result<Screen, Error> {
        let mut ours = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD] {
            ours.add(signal);
        }
        let (signals, _) = caught(&ours, SfdFlags::SFD_NONBLOCK)?;
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        // A file has an offset that would be its own, and is always ready.
        let own = match is_file() {
            true => None,
            false => open(c"/proc/self/fd/1", flags, Mode::empty()).ok(),
        };
        Ok(Screen {
            out: Vec::new(),
            err: Vec::new(),
            own,
            signals,
            came: Vec::new(),
            gone: false,
            ends: false,
            status: false,
            out_is_terminal: rustix::termios::isatty(stdout()),
            err_is_terminal: rustix::termios::isatty(stderr()),
        })
    }

    /// Readable when a signal came.
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    /// To watch for its reader's end, by an error.
    pub fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.own.as_ref().filter(|_| !self.gone).map(AsFd::as_fd)
    }

    /// Nobody reads: what is printed is lost.
    pub fn lose(&mut self) {
        self.gone = true;
        self.out.clear();
    }

    /// dt has to end: from now on, a reader who does not read is waited for a second at most.
    pub fn end(&mut self) {
        self.ends = true;
    }

    /// Whether nobody reads.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether dt has to end.
    pub fn is_ending(&self) -> bool {
        self.ends
    }

    /// Something was noticed while it wrote, and is not answered yet.
    pub fn has_news(&self) -> bool {
        !self.came.is_empty() || self.has_lost()
    }

    /// Whether its reader left, and dt has yet to end for that.
    pub fn has_lost(&self) -> bool {
        self.gone && !self.ends
    }

    /// The signals that came.
    pub fn signals(&mut self) -> Vec<Came> {
        self.look();
        std::mem::take(&mut self.came)
    }

    fn look(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            let number = signal.ssi_signo;
            self.came.push(if number == Signal::SIGINT as u32 {
                Came::Interrupt
            } else if number == Signal::SIGCHLD as u32 {
                Came::Child
            } else {
                Came::End
            });
        }
    }

    /// Adds to standard error.
    pub fn err(&mut self, bytes: &[u8]) {
        self.err.extend_from_slice(bytes);
        if self.err.len() >= ENOUGH {
            self.flush();
        }
    }

    /// A line about the run in place of the one that stands there; empty: none.
    pub fn status(&mut self, text: &str) {
        self.flush();
        if !text.is_empty() || self.status {
            let line = format!("\r{text}\x1b[K");
            let line = if text.is_empty() { "\r\x1b[K" } else { &line };
            let _ = write(stderr(), line.as_bytes());
        }
        self.status = !text.is_empty();
    }

    /// Writes all that is kept.
    pub fn flush(&mut self) {
        if self.out.is_empty() && self.err.is_empty() {
            return;
        }
        if std::mem::take(&mut self.status) {
            let _ = write(stderr(), b"\r\x1b[K");
        }
        let out = std::mem::take(&mut self.out);
        let mut rest = out.as_slice();
        let mut ends = None;
        while !rest.is_empty() && !self.gone {
            let to = self.own.as_ref().map_or(stdout(), AsFd::as_fd);
            match write(to, rest) {
                Ok(len) => {
                    rest = rest.get(len..).unwrap_or_default();
                    ends = None;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(&mut ends),
                Err(Errno::PIPE) => self.gone = true,
                Err(errno) => {
                    self.gone = true;
                    tell("fail", &failure("write to", b"standard output", errno));
                }
            }
        }
        // The room is used again.
        self.out = out;
        self.out.clear();
        let err = std::mem::take(&mut self.err);
        let mut rest = err.as_slice();
        while !rest.is_empty() {
            match write(stderr(), rest) {
                Ok(len @ 1..) => rest = rest.get(len..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                _ => break,
            }
        }
    }

    /// Waits for the reader, or for a signal; whoever wants dt to end waits a second at most.
    fn wait(&mut self, ends: &mut Option<u64>) {
        self.look();
        let interrupts = self.came.iter().filter(|came| **came == Came::Interrupt).count();
        let asked = if self.err_is_terminal { 2 } else { 1 };
        if self.ends || self.came.contains(&Came::End) || interrupts >= asked {
            let end = *ends.get_or_insert_with(|| millis() + PATIENCE);
            if millis() >= end {
                self.gone = true;
                return;
            }
        }
        let left = ends.map(|end| timespec(end.saturating_sub(millis())));
        let to = self.own.as_ref().map_or(stdout(), AsFd::as_fd);
        let mut fds = [
            PollFd::from_borrowed_fd(to, PollFlags::OUT),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
        ];
        let _ = poll(&mut fds, left.as_ref());
    }
}

impl Sink for Screen {
    fn put(&mut self, bytes: &[u8]) {
        if self.gone {
            return;
        }
        self.out.extend_from_slice(bytes);
        if self.out.len() >= ENOUGH {
            self.flush();
        }
    }
}

fn is_file() -> bool {
    use rustix::fs::{FileType, fstat};
    fstat(stdout()).is_ok_and(|stat| {
        matches!(
            FileType::from_raw_mode(stat.st_mode),
            FileType::RegularFile | FileType::BlockDevice
        )
    })
}
