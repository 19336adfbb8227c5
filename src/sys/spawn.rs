//! Starting programs, by posix_spawn(3): the one place for it.

use super::errno;
use super::file::path;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::{SigSet, Signal};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{self, Pid, WaitOptions, WaitStatus, kill_process, waitpid};
use std::ffi::{CStr, CString, OsString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
#[cfg(feature = "with-nscd")]
use std::sync::atomic::AtomicBool;

/// How this executable is found. It need not be there any more under its name.
pub const SELF: &CStr = c"/proc/self/exe";

/// A program with its arguments and its environment, which is ours to begin with. It can be
/// started again and again.
pub struct Command {
    /// A path, or what to look for along PATH.
    file: CString,
    /// Its name and its arguments.
    words: Vec<CString>,
    environment: Vec<CString>,
    own_group: bool,
}

impl Command {
    /// The program that the first of these words names. EINVAL: there is none, or a word that no
    /// program can be given.
    pub fn new(words: &[OsString]) -> Result<Box<Self>, Errno> {
        let file = words.first().ok_or(Errno::INVAL)?;
        Command::of(path(file.as_bytes())?, words)
    }

    /// This executable, as the applet that is the first of these words.
    pub fn ourselves(words: &[OsString]) -> Result<Box<Self>, Errno> {
        Command::of(SELF.to_owned(), words)
    }

    fn of(file: CString, words: &[OsString]) -> Result<Box<Self>, Errno> {
        let mut command = Box::new(Command {
            file,
            words: Vec::with_capacity(words.len()),
            environment: Vec::new(),
            own_group: false,
        });
        for word in words {
            command.words.push(path(word.as_bytes())?);
        }
        for (name, value) in std::env::vars_os() {
            command.environment.push(variable(name.into_vec(), value.as_bytes())?);
        }
        Ok(command)
    }

    /// In a process group of its own: what a terminal sends to ours does not reach it.
    pub fn own_group(&mut self) {
        self.own_group = true;
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), Errno> {
        self.unset(name);
        self.environment.push(variable(name.as_bytes().to_vec(), value)?);
        Ok(())
    }

    /// Takes a variable out.
    pub fn unset(&mut self, name: &str) {
        while let Some(at) = self.find(name) {
            self.environment.remove(at);
        }
    }

    /// Whether a variable is set.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.environment.iter().position(|variable| {
            let value = variable.as_bytes().strip_prefix(name.as_bytes());
            value.is_some_and(|value| value.first() == Some(&b'='))
        })
    }

    /// Starts it. Whatever else is open here has CLOEXEC set; signals are at their defaults, apart
    /// from those that were ignored when we were started.
    pub fn start(&self, stdin: BorrowedFd<'_>, stdout: BorrowedFd<'_>) -> Result<Process, Errno> {
        let mut files = PosixSpawnFileActions::init().map_err(errno::of)?;
        files.add_dup2(stdin.as_raw_fd(), 0).map_err(errno::of)?;
        files.add_dup2(stdout.as_raw_fd(), 1).map_err(errno::of)?;
        let mut attributes = PosixSpawnAttr::init().map_err(errno::of)?;
        // Rust's start has it ignored.
        let mut broken_pipe = SigSet::empty();
        broken_pipe.add(Signal::SIGPIPE);
        attributes.set_sigdefault(&broken_pipe).map_err(errno::of)?;
        // The group to be in is 0, a new one, if nothing else was set.
        let mut flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
        if self.own_group {
            flags |= PosixSpawnFlags::POSIX_SPAWN_SETPGROUP;
        }
        attributes.set_flags(flags).map_err(errno::of)?;
        let pid = posix_spawnp(&self.file, &files, &attributes, &self.words, &self.environment);
        let pid = Pid::from_raw(pid.map_err(errno::of)?.as_raw()).ok_or(Errno::SRCH)?;
        Ok(Process { pid, ended: false })
    }

    /// Becomes it; comes back only if it cannot be run.
    #[cfg(feature = "with-nscd")]
    pub fn exec(&self) -> Errno {
        // Rust's start has it ignored, and so would be the program; a handler it does not get.
        static CAME: AtomicBool = AtomicBool::new(false);
        let _ = signal_hook::flag::register(signal_hook::consts::SIGPIPE, &CAME);
        match nix::unistd::execvpe(&self.file, &self.words, &self.environment) {
            Err(error) => errno::of(error),
            Ok(never) => match never {},
        }
    }
}

fn variable(mut name: Vec<u8>, value: &[u8]) -> Result<CString, Errno> {
    name.push(b'=');
    name.extend_from_slice(value);
    CString::new(name).map_err(|_| Errno::INVAL)
}

/// A program that was started.
pub struct Process {
    /// Its number. Nobody else gets it until it has been seen that it ended.
    pub pid: Pid,
    ended: bool,
}

impl Process {
    /// Ends it; it may have ended already.
    pub fn kill(&self) {
        if !self.ended {
            let _ = kill_process(self.pid, process::Signal::KILL);
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        if !self.ended {
            self.ended = !matches!(waitpid(Some(self.pid), WaitOptions::NOHANG), Ok(None));
        }
        self.ended
    }

    /// Waits until it ends.
    pub fn wait(mut self) -> Result<WaitStatus, Errno> {
        self.ended = true;
        let ended = retry_on_intr(|| waitpid(Some(self.pid), WaitOptions::empty()))?;
        ended.map(|(_, status)| status).ok_or(Errno::CHILD)
    }
}
