//! with-nscd as PID 1 of a container, or as a subreaper: the program is a child, beside nscd. Signals
//! are passed on to it, and whoever ends is waited for.

use super::start;
use crate::server::signals::caught;
use crate::sys::clock::{millis, timespec};
use crate::sys::error::{Error, Exit};
use crate::sys::spawn::{Command, Process};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use rustix::event::poll;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, waitpid};
use rustix::stdio::{stdin, stdout};
use std::ffi::OsString;

/// Milliseconds for nscd to take its socket away once the program has ended.
const ENDING_MILLIS: u64 = 500;

/// What the kernel says of a signal that it sent by itself, for a key at the terminal.
const BY_KERNEL: i32 = 0x80;

/// Signals that a terminal sends to the program as well: it is in our process group.
const OF_TERMINALS: [Signal; 4] = [Signal::INT, Signal::QUIT, Signal::TSTP, Signal::WINCH];

/// Signals are ours from here on: even those that PID 1 would never get.
pub struct Stay {
    signals: SignalFd,
    /// What was blocked before.
    before: SigSet,
    nscd: Option<Process>,
}

impl Stay {
    /// Blocks all signals, so that none is lost.
    pub fn begin() -> Result<Self, Error> {
        let (signals, before) = caught(&SigSet::all(), SfdFlags::empty())?;
        Ok(Stay { signals, before, nscd: None })
    }

    /// Starts nscd, which ends with this process.
    pub fn start_nscd(&mut self, options: &[OsString]) -> Result<(), Error> {
        self.nscd = Some(start(getpid(), options, Some(self.before))?);
        Ok(())
    }

    /// Runs the program to its end; our exit code. The error is why it cannot be run.
    pub fn run(mut self, command: &[OsString]) -> Result<Exit, Errno> {
        let program = match self.start(command) {
            Ok(program) => program.pid,
            Err(errno) => {
                self.end_nscd();
                return Err(errno);
            }
        };
        loop {
            match self.signals.read_signal() {
                Ok(Some(signal)) if signal.ssi_signo == Signal::CHILD.as_raw() as u32 => {
                    if let Some(status) = self.reap(program) {
                        self.end_nscd();
                        return Ok(exit_of(status));
                    }
                }
                Ok(Some(signal)) => pass_on(&signal, program),
                _ => {}
            }
        }
    }

    fn start(&self, command: &[OsString]) -> Result<Process, Errno> {
        let mut program = Command::new(command)?;
        program.block(self.before);
        program.start(stdin(), stdout())
    }

    /// Takes note of all that have ended; how the program has.
    fn reap(&mut self, program: Pid) -> Option<WaitStatus> {
        let mut ended = None;
        while let Ok(Some((pid, status))) = waitpid(None, WaitOptions::NOHANG) {
            if pid == program {
                ended = Some(status);
            }
            // Its number may be another process's next.
            self.nscd = self.nscd.take().filter(|nscd| nscd.pid != pid);
        }
        ended
    }

    fn end_nscd(&mut self) {
        let Some(nscd) = &mut self.nscd else { return };
        let _ = kill_process(nscd.pid, Signal::TERM);
        let until = millis() + ENDING_MILLIS;
        while !nscd.has_ended() && millis() < until {
            let _ = poll(&mut [], Some(&timespec(5)));
        }
    }
}

fn pass_on(signal: &siginfo, program: Pid) {
    let number = i32::try_from(signal.ssi_signo).unwrap_or(0);
    // Those of real time have no names there.
    let Some(number) = Signal::from_named_raw(number) else { return };
    if signal.ssi_code != BY_KERNEL || !OF_TERMINALS.contains(&number) {
        let _ = kill_process(program, number);
    }
}

/// As a shell has it.
fn exit_of(status: WaitStatus) -> Exit {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (_, signal) => 128 + signal.unwrap_or(0),
    };
    Exit::new(u8::try_from(code).unwrap_or(u8::MAX))
}
