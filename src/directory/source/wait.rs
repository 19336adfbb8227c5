//! What takes as long as it takes is waited for on a thread of its own, so that whoever watches can poll
//! for it beside everything else.

use crate::directory::failure::{Done, Failure};
use crate::limits::WATCH_STACK;
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// What is told and not yet taken. Whoever tells more waits.
const HELD: usize = 64;

/// The one who waits.
pub struct Waiting<T> {
    /// A byte for each thing that was told.
    pipe: OwnedFd,
    told: Receiver<T>,
}

/// The one who tells.
pub struct Teller<T> {
    pipe: OwnedFd,
    told: SyncSender<T>,
}

impl<T: Send + 'static> Waiting<T> {
    /// Begins `work`. It ends by itself, at the latest once it tells something that nobody waits for.
    pub fn begin(work: impl FnOnce(Teller<T>) + Send + 'static) -> Done<Self> {
        let failed = |errno| Failure::system("make", b"a pipe", errno);
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(failed)?;
        let (sender, told) = sync_channel(HELD);
        let teller = Teller { pipe: theirs, told: sender };
        thread::Builder::new()
            .stack_size(WATCH_STACK)
            .spawn(move || work(teller))
            .map_err(|error| Failure::unavailable(format!("unable to begin a thread: {error}")))?;
        Ok(Waiting { pipe: ours, told })
    }

    /// Readable when something was told.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// The next thing that was told; `None`: nothing yet.
    pub fn take(&self) -> Done<Option<T>> {
        match read(&self.pipe, &mut [0; 1]) {
            Ok(0) => Err(Failure::unavailable("what was waited for ended")),
            // It was told before its byte was written.
            Ok(_) => Ok(self.told.try_recv().ok()),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(Failure::system("read", b"a pipe", errno)),
        }
    }
}

impl<T> Teller<T> {
    /// Tells something; false: nobody waits for it any more.
    pub fn tell(&self, what: T) -> bool {
        self.told.send(what).is_ok() && write(&self.pipe, b".").is_ok()
    }
}
