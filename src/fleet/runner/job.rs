//! One program that runs: what it prints, and how it is ended.

use super::Limits;
use crate::fleet::database::Entry;
use crate::fleet::report::Report;
use crate::fleet::screen::Screen;
use crate::fleet::spool::Output;
use crate::sys::clock::{NEVER, millis};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use rustix::process::{kill_process, kill_process_group, waitpid};
use std::os::fd::OwnedFd;

/// Milliseconds between TERM and KILL, and between KILL and letting go of a pipe that somebody holds.
pub const GRACE: u64 = 2000;

/// Most that is looked through for the mark of a host that was reached.
const MARK_ROOM: usize = 16 * 1024;

/// Why a program is ended by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Whole,
    Connect,
    Interrupt,
}

/// A program that runs.
pub struct Job<'a> {
    pub entry: &'a Entry,
    pub stage: usize,
    /// Nobody else's number until its status is taken.
    pub pid: Pid,
    pub status: Option<WaitStatus>,
    /// It does not end, and is not waited for any more.
    pub left: bool,
    pub pipes: [Option<OwnedFd>; 2],
    pub outputs: [Output; 2],
    pub began: u64,
    /// What says that the host was reached, while it is looked for, and what was read so far.
    pub mark: Option<(&'a [u8], Vec<u8>)>,
    pub reached: bool,
    pub cause: Option<Cause>,
    /// When the next step against it is due, and how many there were.
    pub due: u64,
    pub steps: u32,
}

impl<'a> Job<'a> {
    /// Takes what was read of a stream.
    pub fn take(
        &mut self,
        stream: usize,
        bytes: &[u8],
        limits: &Limits,
        report: &mut dyn Report,
        screen: &mut Screen,
    ) {
        let Some((mark, held)) = self.mark.as_mut().filter(|_| stream == 0) else {
            return self.keep(stream, bytes, limits, report, screen);
        };
        held.extend_from_slice(bytes);
        let found = memchr::memmem::find(held, mark);
        let end = found.map(|at| at + mark.len()).filter(|end| held.get(*end).is_some());
        let Some(end) = end else {
            if held.len() > MARK_ROOM {
                self.give_up_mark(limits, report, screen);
            }
            return;
        };
        // In front of it is what the client said of the host's key.
        let rest = held.get(end + 1..).unwrap_or_default().to_vec();
        self.mark = None;
        self.reached = true;
        if self.cause.is_none() {
            self.due = if limits.whole == 0 { NEVER } else { self.began + limits.whole };
        }
        if !rest.is_empty() {
            self.keep(stream, &rest, limits, report, screen);
        }
    }

    /// No mark will come: what was held is output.
    pub fn give_up_mark(&mut self, limits: &Limits, report: &mut dyn Report, screen: &mut Screen) {
        let is_open = self.pipes.first().is_some_and(Option::is_some);
        if is_open && self.mark.as_ref().is_some_and(|(_, held)| held.len() <= MARK_ROOM) {
            return;
        }
        let held = self.mark.take().map(|(_, held)| held).unwrap_or_default();
        if !held.is_empty() {
            self.keep(0, &held, limits, report, screen);
        }
    }

    fn keep(
        &mut self,
        stream: usize,
        bytes: &[u8],
        limits: &Limits,
        report: &mut dyn Report,
        screen: &mut Screen,
    ) {
        if limits.live {
            report.live(self.entry, stream, bytes, screen);
        }
        if let Some(output) = self.outputs.get_mut(stream) {
            output.push(bytes);
        }
    }

    /// Whether nothing more comes of it.
    pub fn has_ended(&mut self) -> bool {
        if self.left {
            return true;
        }
        if self.status.is_none() && self.pipes.iter().all(Option::is_none) {
            let ended = waitpid(Some(self.pid), WaitOptions::NOHANG);
            self.status = ended.ok().flatten().map(|(_, status)| status);
            self.left = ended.is_err();
        }
        self.status.is_some()
    }

    /// Begins to end it.
    pub fn end(&mut self, cause: Cause, only_it: bool) {
        if self.cause.is_none() {
            self.cause = Some(cause);
            self.press(only_it);
        }
    }

    /// TERM first, KILL then, and then what it held open is let go.
    pub fn press(&mut self, only_it: bool) {
        let signal = match self.steps {
            0 => Signal::TERM,
            1 => Signal::KILL,
            _ => {
                self.pipes = [None, None];
                self.left = true;
                return;
            }
        };
        self.steps += 1;
        self.due = millis() + GRACE;
        // Its group is there as long as one of it is; the number is nobody else's until we have waited.
        let _ = match only_it {
            true => kill_process(self.pid, signal),
            false => kill_process_group(self.pid, signal),
        };
    }
}
