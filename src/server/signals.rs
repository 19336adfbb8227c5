//! Signals as something to wait for.

use crate::sys::error::{Error, errno_of, unable};
use nix::sys::signal::{self, SigSet};
use rustix::io::{fcntl_dupfd_cloexec, read};
use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::consts::{SIGABRT, SIGCHLD, SIGHUP, SIGQUIT, SIGTERM, SIGXFSZ};
use signal_hook::{flag, low_level::pipe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// What a super-server listens to, as s6-ipcserverd does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Exit.
    Term,
    /// End the children, go on.
    Hup,
    /// End the children, exit.
    Quit,
    /// Kill the children, exit.
    Abort,
    /// A child ended.
    Child,
}

const SIGNALS: [(i32, Signal, &str); 5] = [
    (SIGTERM, Signal::Term, "SIGTERM"),
    (SIGHUP, Signal::Hup, "SIGHUP"),
    (SIGQUIT, Signal::Quit, "SIGQUIT"),
    (SIGABRT, Signal::Abort, "SIGABRT"),
    (SIGCHLD, Signal::Child, "SIGCHLD"),
];

/// Which of them came.
static CAME: [AtomicBool; SIGNALS.len()] = [const { AtomicBool::new(false) }; SIGNALS.len()];

impl Signal {
    /// Its usual name.
    pub fn name(self) -> &'static str {
        SIGNALS.iter().find(|s| s.1 == self).map_or("", |s| s.2)
    }
}

/// Undoes what was inherited of signals, and what would end or stop us for a message: a limit on the
/// size of files, and a terminal that lets nobody write from behind (`stty tostop`). Where SIGCHLD is
/// ignored, the number of a child that has ended could be another's when it is killed.
pub fn settle() {
    let mut blocked = SigSet::empty();
    blocked.add(signal::Signal::SIGTTOU);
    let _ = blocked.thread_set_mask();
    static CAME: AtomicBool = AtomicBool::new(false);
    for number in [SIGXFSZ, SIGCHLD] {
        let _ = flag::register(number, &CAME);
    }
}

/// Signals that came.
pub struct Signals {
    wake: OwnedFd,
}

impl Signals {
    /// From now on, for as long as the process lives, the signals are ours.
    pub fn catch() -> Result<Self, Error> {
        let fail = unable("unable to catch signals");
        let (wake, poke) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(&fail)?;
        for ((number, ..), came) in SIGNALS.iter().zip(&CAME) {
            // The flag first: whoever is woken must see it.
            let poke = fcntl_dupfd_cloexec(&poke, 0).map_err(&fail)?;
            flag::register(*number, came)
                .and_then(|_| pipe::register(*number, poke))
                .map_err(|e| fail(errno_of(&e)))?;
        }
        Ok(Signals { wake })
    }

    /// Readable when a signal came.
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Those that came since the last call.
    pub fn take(&mut self) -> impl Iterator<Item = Signal> {
        // Emptied before the flags are read: a signal in between wakes once more.
        let mut room = [0; 64];
        while matches!(read(&self.wake, &mut room), Ok(n) if n == room.len()) {}
        let came = CAME.iter().zip(SIGNALS);
        came.filter_map(|(flag, signal)| flag.swap(false, Ordering::SeqCst).then_some(signal.1))
    }
}
