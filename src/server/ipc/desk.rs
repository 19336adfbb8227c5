//! Where the event loop leaves the clients of sources that may block: a few threads, each with
//! connections of its own to those sources. Who asked a source that hangs waits here, up to his
//! deadline, and nobody else does.

use crate::backend::switch::Switch;
use crate::limits::{SLOW_ASKERS, SLOW_REPLY_MILLIS};
use crate::server::conversation::{Conversation, End, Need, Output};
use crate::server::drain::drain;
use crate::sys::clock::{millis, timespec};
use crate::sys::error::{Error, errno_of, unable};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Room on the stack of a thread: its deepest call starts a program.
const STACK: usize = 256 * 1024;

/// A client whose request only a slow source can answer.
pub struct Job<C> {
    /// His connection.
    pub socket: OwnedFd,
    /// Where it stands.
    pub conversation: C,
    /// Who he is.
    pub uid: Option<u32>,
    /// Until when the first byte of a reply is due, in milliseconds of the clock.
    pub deadline: u64,
}

/// A client that is done with, and why.
pub struct Done {
    /// Who he was.
    pub uid: Option<u32>,
    /// For the log.
    pub why: End,
}

/// The desk: jobs in, ends out.
pub struct Desk<C> {
    papers: Mutex<Papers<C>>,
    more: Condvar,
    wake: OwnedFd,
    /// Milliseconds for an answer, and for each piece after its first.
    lookup_millis: u32,
    /// Milliseconds for a client to take a piece.
    client_millis: u32,
}

struct Papers<C> {
    jobs: VecDeque<Job<C>>,
    done: Vec<Done>,
    /// How often a child of this process has ended.
    ends: u64,
}

impl<C: Conversation + Send + 'static> Desk<C> {
    /// A desk for at most `max` clients at a time.
    pub fn open(max: u32, lookup_millis: u32, client_millis: u32) -> Result<Arc<Self>, Error> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let wake = eventfd(0, flags).map_err(unable("unable to make an eventfd"))?;
        let max = max as usize;
        let papers =
            Papers { jobs: VecDeque::with_capacity(max), done: Vec::with_capacity(max), ends: 0 };
        Ok(Arc::new(Desk {
            papers: Mutex::new(papers),
            more: Condvar::new(),
            wake,
            lookup_millis,
            client_millis,
        }))
    }

    /// Starts the threads; `switch` makes the sources of each.
    pub fn staff(
        self: &Arc<Self>,
        mut switch: impl FnMut() -> Result<Switch, Error>,
    ) -> Result<(), Error> {
        for _ in 0..SLOW_ASKERS {
            let (desk, mut switch) = (Arc::clone(self), switch()?);
            let work = move || {
                let (mut out, mut ends) = (Output::new(), 0);
                loop {
                    let Some(job) = desk.take(&mut ends) else {
                        switch.look();
                        continue;
                    };
                    let uid = job.uid;
                    let why = desk.serve(&mut switch, job, &mut out);
                    out.clear();
                    desk.file(Done { uid, why });
                }
            };
            let thread = std::thread::Builder::new().name("slow".into()).stack_size(STACK);
            thread
                .spawn(work)
                .map_err(|e| Error::system("unable to start a thread", errno_of(&e)))?;
        }
        Ok(())
    }

    /// Leaves a client here.
    pub fn put(&self, job: Job<C>) {
        self.papers.lock().unwrap_or_else(PoisonError::into_inner).jobs.push_back(job);
        self.more.notify_one();
    }

    /// Readable when a client is done with.
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// The next client that is done with.
    pub fn next_done(&self) -> Option<Done> {
        // Emptied first: what is filed from now on wakes once more.
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        self.papers.lock().unwrap_or_else(PoisonError::into_inner).done.pop()
    }

    /// A child has ended: one of the threads may have to take note.
    pub fn child_ended(&self) {
        let mut papers = self.papers.lock().unwrap_or_else(PoisonError::into_inner);
        papers.ends = papers.ends.wrapping_add(1);
        drop(papers);
        self.more.notify_all();
    }

    /// The next job; `None` if there is none and a child has ended since `ends` of them had.
    fn take(&self, ends: &mut u64) -> Option<Job<C>> {
        let mut papers = self.papers.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = papers.jobs.pop_front() {
                return Some(job);
            }
            if *ends != papers.ends {
                *ends = papers.ends;
                return None;
            }
            papers = self.more.wait(papers).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn file(&self, done: Done) {
        self.papers.lock().unwrap_or_else(PoisonError::into_inner).done.push(done);
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Answers a client, or closes his connection.
    fn serve(&self, switch: &mut Switch, mut job: Job<C>, out: &mut Output) -> End {
        let conversation = &mut job.conversation;
        if millis() >= job.deadline {
            // Those before him took all the time there was.
            return End::Failed;
        }
        switch.revive();
        switch.limit(self.lookup_millis, Some(job.deadline));
        let last = job.deadline + u64::from(SLOW_REPLY_MILLIS);
        let end = loop {
            let need = conversation.go_on(switch, out, u64::MAX);
            if !out.pending().is_empty() {
                switch.limit(self.lookup_millis, None);
                let until = last.min(millis() + u64::from(self.client_millis));
                if flush(&job.socket, out.pending(), until).is_err() {
                    break End::Broken;
                }
                out.clear();
            }
            match need {
                Need::Flush | Need::Turn => {}
                Need::Input | Need::Elsewhere => break End::Failed,
                Need::Close(end) => break end,
            }
        };
        if conversation.drains() {
            drain(&job.socket);
        }
        conversation.leave(switch);
        end
    }
}

/// Sends all of `bytes` before `until`.
fn flush(socket: &OwnedFd, mut bytes: &[u8], until: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let left = timespec(until.saturating_sub(millis()));
                match poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&left)) {
                    Ok(0) => return Err(Errno::TIMEDOUT),
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
