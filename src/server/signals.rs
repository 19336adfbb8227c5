//! Signals as something to wait for.

use crate::sys::errno;
use crate::sys::error::{Error, unable};
use nix::sys::signal::{self, SigSet, SigmaskHow};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicBool;

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

const SIGNALS: [(signal::Signal, Signal, &str); 5] = [
    (signal::Signal::SIGTERM, Signal::Term, "SIGTERM"),
    (signal::Signal::SIGHUP, Signal::Hup, "SIGHUP"),
    (signal::Signal::SIGQUIT, Signal::Quit, "SIGQUIT"),
    (signal::Signal::SIGABRT, Signal::Abort, "SIGABRT"),
    (signal::Signal::SIGCHLD, Signal::Child, "SIGCHLD"),
];

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
    settle_with(SigSet::empty());
}

/// [`settle`] of a server: a SIGHUP from now on, or while the executable before this one began anew as it,
/// is kept until the server catches it. By default it would be the end.
pub fn settle_server() {
    settle_with(until_caught());
}

/// What is not to be lost between two executables: an older one that never catches it goes on without.
pub fn until_caught() -> SigSet {
    let mut kept = SigSet::empty();
    kept.add(signal::Signal::SIGHUP);
    kept
}

fn settle_with(mut blocked: SigSet) {
    blocked.add(signal::Signal::SIGTTOU);
    blocked.add(signal::Signal::SIGXFSZ);
    let _ = blocked.thread_set_mask();
    static CAME: AtomicBool = AtomicBool::new(false);
    let _ = signal_hook::flag::register(signal_hook::consts::SIGCHLD, &CAME);
}

/// Signals that came. They are blocked: programs are started without that.
pub struct Signals {
    came: SignalFd,
}

impl Signals {
    /// From now on, for as long as the process lives, the signals are ours.
    pub fn catch() -> Result<Self, Error> {
        let mut ours = SigSet::empty();
        SIGNALS.iter().for_each(|signal| ours.add(signal.0));
        Ok(Signals { came: caught(&ours, SfdFlags::SFD_NONBLOCK)?.0 })
    }

    /// Readable when a signal came.
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.came.as_fd()
    }

    /// The next that came.
    pub fn take(&mut self) -> Option<Signal> {
        let number = self.came.read_signal().ok()??.ssi_signo;
        SIGNALS.iter().find(|signal| signal.0 as u32 == number).map(|signal| signal.1)
    }
}

/// Blocks signals, so that none is lost, and takes them by a descriptor; and what was blocked before.
pub fn caught(signals: &SigSet, flags: SfdFlags) -> Result<(SignalFd, SigSet), Error> {
    let caught = || {
        let before = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        Ok((SignalFd::with_flags(signals, SfdFlags::SFD_CLOEXEC | flags)?, before))
    };
    caught().map_err(|e| unable("unable to catch signals")(errno::of(e)))
}
