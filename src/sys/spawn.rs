//! Starting programs, by posix_spawn(3): the one place for it.

use super::clock::{NEVER, millis};
use super::errno;
use super::file::path;
use super::passed::{VARIABLES, pass};
use super::program::{Identity, SELF, find, identity};
use super::with_huge_pages;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{self, Pid, WaitOptions, WaitStatus, kill_process, waitpid};
use rustix::stdio::{stdin, stdout};
use std::convert::Infallible;
use std::ffi::{CStr, CString, OsString};
#[cfg(feature = "dt")]
use std::os::fd::RawFd;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A program with its arguments and its environment, which is ours to begin with. It can be
/// started again and again.
pub struct Command {
    /// This executable; otherwise the first word says what to look for along PATH.
    ours: bool,
    /// Its name and its arguments.
    words: Vec<CString>,
    environment: Vec<CString>,
    /// Signals that are blocked there; `None`: none.
    blocked: Option<SigSet>,
    /// Its standard error, which is ours otherwise, and whether it has a session of its own.
    #[cfg(feature = "dt")]
    apart: (Option<RawFd>, bool),
}

/// POSIX_SPAWN_SETSID of spawn.h, which nix has no name for.
#[cfg(feature = "dt")]
const SETSID: PosixSpawnFlags = PosixSpawnFlags::from_bits_retain(0x80);

impl Command {
    /// The program that the first of these words names. EINVAL: a word that no program can be
    /// given.
    pub fn new(words: &[OsString]) -> Result<Box<Self>, Errno> {
        Command::of(false, &[], words)
    }

    /// This executable, called by the first of these words.
    pub fn ourselves(first: &[&[u8]], rest: &[OsString]) -> Result<Box<Self>, Errno> {
        Command::of(true, first, rest)
    }

    fn of(ours: bool, first: &[&[u8]], rest: &[OsString]) -> Result<Box<Self>, Errno> {
        let words = words(first, rest)?;
        let environment = Vec::new();
        let mut command = Box::new(Command {
            ours,
            words,
            environment,
            blocked: None,
            #[cfg(feature = "dt")]
            apart: (None, false),
        });
        for (name, value) in std::env::vars_os() {
            command.add(name.as_bytes(), value.as_bytes())?;
        }
        Ok(command)
    }

    /// With these signals blocked, and not with those that are blocked here.
    pub fn block(&mut self, signals: SigSet) {
        self.blocked = Some(signals);
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), Errno> {
        self.unset(name);
        self.add(name.as_bytes(), value)
    }

    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        self.environment.push(path(&[name, b"=", value].concat())?);
        Ok(())
    }

    /// Takes a variable out.
    pub fn unset(&mut self, name: &str) {
        while let Some(at) = self.position(name) {
            self.environment.remove(at);
        }
    }

    /// What to look for along PATH.
    pub fn name(&self) -> &[u8] {
        program(&self.words)
    }

    /// Whether a variable is set.
    pub fn has(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.environment.iter().position(|variable| {
            let value = variable.as_bytes().strip_prefix(name.as_bytes());
            value.is_some_and(|value| value.first() == Some(&b'='))
        })
    }

    /// Another program, with other arguments, in the same environment.
    #[cfg(feature = "dt")]
    pub fn set_words(&mut self, words: Vec<Vec<u8>>) -> Result<(), Errno> {
        self.words = words
            .into_iter()
            .map(CString::new)
            .collect::<Result<_, _>>()
            .map_err(|_| Errno::INVAL)?;
        Ok(())
    }

    /// [`Command::start`] with another standard error, and perhaps in a session of its own: it has no
    /// terminal then, and its number is that of its process group.
    #[cfg(feature = "dt")]
    pub fn start_apart(
        &mut self,
        [stdin, stdout, stderr]: [BorrowedFd<'_>; 3],
        session: bool,
    ) -> Result<Process, Errno> {
        self.apart = (Some(stderr.as_raw_fd()), session);
        let started = self.start(stdin, stdout);
        self.apart = (None, false);
        started
    }

    /// Starts it. Whatever else is open here has CLOEXEC set; signals are at their defaults, apart
    /// from those that were ignored when we were started.
    pub fn start(&self, stdin: BorrowedFd<'_>, stdout: BorrowedFd<'_>) -> Result<Process, Errno> {
        let file = find(if self.ours { SELF.to_bytes() } else { program(&self.words) })?;
        self.start_file(&file, stdin, stdout)
    }

    fn start_file(
        &self,
        file: &CStr,
        stdin: BorrowedFd<'_>,
        stdout: BorrowedFd<'_>,
    ) -> Result<Process, Errno> {
        let spawn = || self.spawn(file, stdin, stdout);
        let pid = under_first_limit(spawn).map_err(errno::of)?;
        Ok(Process { pid: Pid::from_raw(pid.as_raw()).ok_or(Errno::SRCH)?, ended: false })
    }

    fn spawn(
        &self,
        file: &CStr,
        stdin: BorrowedFd<'_>,
        stdout: BorrowedFd<'_>,
    ) -> nix::Result<nix::unistd::Pid> {
        let mut files = PosixSpawnFileActions::init()?;
        files.add_dup2(stdin.as_raw_fd(), 0)?;
        files.add_dup2(stdout.as_raw_fd(), 1)?;
        #[cfg(feature = "dt")]
        if let (Some(stderr), _) = self.apart {
            files.add_dup2(stderr, 2)?;
        }
        let mut attributes = PosixSpawnAttr::init()?;
        // Rust's start has it ignored.
        let mut broken_pipe = SigSet::empty();
        broken_pipe.add(Signal::SIGPIPE);
        attributes.set_sigdefault(&broken_pipe)?;
        // Nothing is blocked there that was not meant to be.
        attributes.set_sigmask(&self.blocked.unwrap_or_else(SigSet::empty))?;
        let mut flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
        flags |= PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
        #[cfg(feature = "dt")]
        if self.apart.1 {
            flags |= SETSID;
        }
        attributes.set_flags(flags)?;
        let start = || posix_spawn(file, &files, &attributes, &self.words, &self.environment);
        with_huge_pages(start)
    }
}

/// What was allowed when we were started: programs get that. (The kernel has no more than 2^31, and
/// ARMv5 no atomic numbers of 64 bits.)
static DESCRIPTORS: AtomicU32 = AtomicU32::new(0);

/// How many descriptors there are where nobody says: a sandbox may forbid to ask.
const USUAL: u64 = 1024;

/// Allows this process as many descriptors as it may have; how many.
pub fn raise_descriptors() -> u64 {
    // Not rustix's, which panics then.
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return USUAL };
    if soft != hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        let first = u32::try_from(soft).unwrap_or(u32::MAX);
        let _ = DESCRIPTORS.compare_exchange(0, first, Ordering::Relaxed, Ordering::Relaxed);
        return hard;
    }
    soft
}

/// Does something under the limit that we were started with. (What is open stays open.)
fn under_first_limit<T>(work: impl FnOnce() -> T) -> T {
    let first = DESCRIPTORS.load(Ordering::Relaxed);
    let limit = getrlimit(Resource::RLIMIT_NOFILE).ok().filter(|(_, hard)| {
        first != 0 && setrlimit(Resource::RLIMIT_NOFILE, first.into(), *hard).is_ok()
    });
    let done = work();
    if let Some((soft, hard)) = limit {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
    }
    done
}

/// Becomes the program that the first of these words names; comes back only if it cannot be run.
pub fn become_program(command: &[OsString]) -> Result<Infallible, Errno> {
    let words = words(&[], command)?;
    let file = find(program(&words))?;
    // Rust's start has it ignored, and so would be the program; a handler it does not get.
    static CAME: AtomicBool = AtomicBool::new(false);
    let _ = signal_hook::flag::register(signal_hook::consts::SIGPIPE, &CAME);
    nix::unistd::execv(&file, &words).map_err(errno::of)
}

/// The executable that is to take our place, while it is tried out: whether it has our applet, and prints
/// its help, on our standard output.
pub struct Trial {
    process: Process,
    file: Option<Identity>,
    /// When it has had its time, in milliseconds of the clock.
    pub due: u64,
}

impl Trial {
    /// Starts the executable that is at `place` now.
    pub fn start(place: &CStr, applet: &str) -> Result<Self, Errno> {
        let file = identity(place);
        let command = Command::new(&[applet.into(), "--help".into()])?;
        let process = command.start_file(place, stdin(), stdout())?;
        Ok(Trial { process, file, due: millis() + TRIAL_MILLIS })
    }

    /// Whether it runs well, once that is known: to be asked when a child has ended, and when it is due.
    pub fn result(&mut self) -> Option<bool> {
        match self.process.ended() {
            Ok(None) if millis() < self.due => None,
            Ok(None) => {
                self.end();
                None
            }
            ended => Some(matches!(ended, Ok(Some(status)) if status.exit_status() == Some(0))),
        }
    }

    /// Whether it is still the one that is at `place`.
    pub fn is_of(&self, place: &CStr) -> bool {
        self.file.is_some() && self.file == identity(place)
    }

    /// Ends it.
    pub fn end(&mut self) {
        self.process.kill();
        self.due = NEVER;
    }
}

/// Milliseconds for an executable to print its help: a box reads it from its disk, and is busy.
const TRIAL_MILLIS: u64 = 10_000;

/// Begins anew as the executable that is at `place` now, or as this one if that cannot be run, with the
/// words and the environment that we were started with and these sockets, as a supervisor passes them.
/// Signals that are `kept` wait for it to catch them. Comes back only with an error. Whatever has the first
/// numbers is closed: there is no way back.
pub fn begin_anew(
    place: &CStr,
    sockets: &[(&str, BorrowedFd<'_>)],
    kept: &SigSet,
) -> Result<Infallible, Errno> {
    let mut command = Command::new(&std::env::args_os().collect::<Vec<_>>())?;
    for (variable, value) in VARIABLES.iter().zip(pass(sockets)?) {
        command.set(variable, &value)?;
    }
    // Those that are blocked here would be there, too.
    let _ = kept.thread_set_mask();
    let run = |file: &CStr| nix::unistd::execve(file, &command.words, &command.environment);
    with_huge_pages(|| under_first_limit(|| run(place).or_else(|_| run(SELF)))).map_err(errno::of)
}

/// What to look for along PATH; there is nothing without a name.
fn program(words: &[CString]) -> &[u8] {
    words.first().map(|name| name.as_bytes()).unwrap_or_default()
}

fn words(first: &[&[u8]], rest: &[OsString]) -> Result<Vec<CString>, Errno> {
    let mut words = Vec::new();
    for word in first {
        words.push(path(word)?);
    }
    for word in rest {
        words.push(path(word.as_bytes())?);
    }
    Ok(words)
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

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Result<Option<WaitStatus>, Errno> {
        let ended = waitpid(Some(self.pid), WaitOptions::NOHANG)?;
        self.ended = ended.is_some();
        Ok(ended.map(|(_, status)| status))
    }

    /// Waits until it ends.
    pub fn wait(mut self) -> Result<WaitStatus, Errno> {
        self.ended = true;
        let ended = retry_on_intr(|| waitpid(Some(self.pid), WaitOptions::empty()))?;
        ended.map(|(_, status)| status).ok_or(Errno::CHILD)
    }
}
