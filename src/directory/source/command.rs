//! What a command prints, by a deadline, and only if it ends well.

use crate::directory::failure::{Done, Failure};
use crate::sys::clock::millis;
use crate::sys::file::open_path;
use crate::sys::spawn::{Command, Process};
use crate::sys::stream::wait_for;
use rustix::event::PollFlags;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// How often it is looked whether a command that prints no more has ended.
const LOOK: Duration = Duration::from_millis(5);

/// A running command. It is killed if it is not read to its end.
pub struct Output {
    process: Option<Process>,
    pipe: OwnedFd,
    deadline: u64,
    seconds: u64,
}

impl Output {
    /// Starts `command` by the shell, with nothing on its standard input and none of our descriptors.
    pub fn of(command: &str, seconds: u64) -> Done<Output> {
        let failed = |errno| Failure::system("start", command.as_bytes(), errno);
        let nothing = open_path(b"/dev/null", OFlags::RDONLY, Mode::empty()).map_err(failed)?;
        let (pipe, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
        let words: Vec<OsString> = ["/bin/sh", "-c", command].map(OsString::from).into();
        let process = Command::new(&words)
            .and_then(|shell| shell.start(nothing.as_fd(), theirs.as_fd()))
            .map_err(failed)?;
        let deadline = millis().saturating_add(seconds.saturating_mul(1000));
        Ok(Output { process: Some(process), pipe, deadline, seconds })
    }

    fn late(&self) -> io::Error {
        let seconds = self.seconds;
        let text = format!("the command did not end within {seconds} s (files_timelimit)");
        io::Error::other(Failure::unavailable(text))
    }

    /// Waits until the command has ended, and looks how.
    fn end(&mut self) -> io::Result<()> {
        while let Some(process) = &mut self.process {
            if let Some(status) = process.ended().map_err(io::Error::from)? {
                self.process = None;
                return match (status.exit_status(), status.terminating_signal()) {
                    (Some(0), _) => Ok(()),
                    (Some(code), _) => Err(failure(format!("exited {code}"))),
                    (None, signal) => {
                        Err(failure(format!("was ended by signal {}", signal.unwrap_or(0))))
                    }
                };
            }
            if millis() >= self.deadline {
                return Err(self.late());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

fn failure(what: String) -> io::Error {
    io::Error::other(Failure::unavailable(format!("the command {what}")))
}

impl io::Read for Output {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.deadline.saturating_sub(millis());
            if left == 0 || !wait_for(&self.pipe, PollFlags::IN, Some(left))? {
                return Err(self.late());
            }
            match read(&self.pipe, &mut *out) {
                Ok(0) if !out.is_empty() => return self.end().map(|()| 0),
                Err(Errno::INTR) => {}
                done => return Ok(done?),
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
            let _ = process.wait();
        }
    }
}
