//! Where the event loop leaves the clients of sources that may block: askers, which are processes
//! of this executable with sources of their own. Who asked a source that hangs waits there, up to
//! his deadline, and nobody else does.
//!
//! A client's connection, his request and his deadline go to an asker in one message; it answers
//! him and says how that ended. Of the connection nothing stays here.

use super::log::Log;
use crate::limits::{SLOW_ASKERS, SLOW_REPLY_MILLIS};
use crate::server::conversation::End;
use crate::sys::clock::{earlier, millis, timespec};
use crate::sys::error::{Error, unable};
use crate::sys::may_alloc;
use crate::sys::passed;
use crate::sys::spawn::{self, Command, Process};
use nssproto::nscd::REQUEST_MAX;
use rustix::event::epoll;
use rustix::io::{Errno, IoSlice};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown,
    SocketFlags, SocketType, recv, sendmsg, shutdown, socketpair,
};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Milliseconds between two starts of an asker that ended without having answered anybody.
const RESTART_PAUSE: u64 = 500;

/// Bytes in front of a request: the deadline (8), whether the client's uid and gid are known (1),
/// and these (4 each). Of the machine's own byte order.
pub const HEAD: usize = 17;

/// A whole message to an asker.
pub const MESSAGE: usize = HEAD + REQUEST_MAX;

/// What an asker says when the first piece of a longer reply is on its way; otherwise it says how a
/// client's request ended, by the place in [`End::ALL`].
pub const BEGUN: u8 = 0xff;

/// Milliseconds after its deadline until an asker that has not said anything counts as stuck: one
/// that is stopped, or waits in the kernel for a file system that is gone, closes nothing.
const GRACE: u64 = 250;

/// Askers that were killed and have not ended yet.
const DYING: usize = 4 * SLOW_ASKERS;

/// A client whose request only a slow source can answer.
pub struct Job {
    /// His connection.
    pub socket: OwnedFd,
    /// His uid and gid.
    pub who: Option<(u32, u32)>,
    /// Until when the first byte of a reply is due, in milliseconds of the clock.
    pub deadline: u64,
    /// What he sent.
    pub request: heapless::Vec<u8, REQUEST_MAX>,
}

/// A client that is done with, and why.
pub struct Done {
    /// Who he was.
    pub uid: Option<u32>,
    /// For the log.
    pub why: End,
}

/// The desk: jobs in, ends out.
pub struct Desk {
    /// What an asker is.
    command: Command,
    seats: [Seat; SLOW_ASKERS],
    dying: heapless::Vec<Process, DYING>,
    queue: VecDeque<Job>,
    /// Tells of the askers that have something to say.
    epoll: OwnedFd,
    log: Log,
}

/// An asker's place.
#[derive(Default)]
struct Seat {
    asker: Option<Asker>,
    /// When one was started here last, in milliseconds of the clock; `None`: another may be
    /// started at once.
    started: Option<u64>,
}

struct Asker {
    process: Process,
    socket: OwnedFd,
    /// The client that it has.
    client: Option<Held>,
    answered: bool,
}

/// A client that an asker has.
struct Held {
    uid: Option<u32>,
    /// Kept, so that his connection can be ended whatever his asker does.
    socket: OwnedFd,
    /// When his asker counts as stuck, and when it does once a reply has begun.
    until: u64,
    last: u64,
}

/// At the end nobody is left to be answered.
impl Drop for Desk {
    fn drop(&mut self) {
        for asker in self.seats.iter_mut().filter_map(|seat| seat.asker.as_mut()) {
            asker.process.kill();
        }
    }
}

impl Desk {
    /// A desk for at most `max` clients at a time. An asker is this executable as nscd, with
    /// `arguments`, and is started when it is needed.
    pub fn open(max: u32, mut arguments: Vec<OsString>, log: Log) -> Result<Self, Error> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC);
        arguments.insert(0, "nscd".into());
        let command = Command::ourselves(&arguments);
        let mut command = command.map_err(unable("unable to start an asker"))?;
        passed::VARIABLES.iter().for_each(|name| command.unset(name));
        Ok(Desk {
            command,
            seats: Default::default(),
            dying: heapless::Vec::new(),
            queue: VecDeque::with_capacity(max as usize),
            epoll: epoll.map_err(unable("unable to wait for events"))?,
            log,
        })
    }

    /// Starts all askers now: they may need rights that are given up next.
    pub fn start_all(&mut self) -> Result<(), Error> {
        for at in 0..self.seats.len() {
            self.start(at).map_err(unable("unable to start an asker"))?;
        }
        Ok(())
    }

    /// Leaves a client here. [`Desk::next_done`] sees to it that he is asked for.
    pub fn put(&mut self, job: Job) {
        self.queue.push_back(job);
    }

    /// Readable when [`Desk::next_done`] has something to do.
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Gives those who wait to askers that are free; the next client that is done with.
    pub fn next_done(&mut self) -> Option<Done> {
        loop {
            if let Some(done) = self.late().or_else(|| self.assign()) {
                return Some(done);
            }
            let at = self.heard()?;
            if let Some(done) = self.hear(at) {
                return Some(done);
            }
        }
    }

    /// Ends all askers; a client that was here.
    pub fn abandon(&mut self) -> Option<Done> {
        if let Some(job) = self.queue.pop_front() {
            return Some(failed(job.who.map(|w| w.0)));
        }
        for seat in &mut self.seats {
            if let Some(held) = seat.vacate(&mut self.dying) {
                return Some(failed(held.uid));
            }
        }
        None
    }

    /// When [`Desk::next_done`] has something to do even if nothing is heard, in milliseconds of
    /// the clock.
    pub fn deadline(&self) -> Option<u64> {
        let mut next = self.queue.front().map(|job| job.deadline);
        for seat in &self.seats {
            next = earlier(next, seat.held().map(|held| held.until));
        }
        next
    }

    /// A child of this process has ended.
    pub fn child_ended(&mut self) {
        self.dying.retain_mut(|process| !process.has_ended());
    }

    /// Somebody whose time is over: he waited for an asker in vain, or his is stuck.
    fn late(&mut self) -> Option<Done> {
        let now = millis();
        if self.queue.front().is_some_and(|job| job.deadline <= now) {
            return self.queue.pop_front().map(|job| failed(job.who.map(|w| w.0)));
        }
        let is_stuck = |seat: &Seat| seat.held().is_some_and(|held| held.until <= now);
        let seat = self.seats.iter_mut().find(|seat| is_stuck(seat))?;
        let held = seat.vacate(&mut self.dying)?;
        // The stuck one has the connection as well: closing it here would tell the client nothing.
        let _ = shutdown(&held.socket, Shutdown::Both);
        Some(failed(held.uid))
    }

    /// Somebody who cannot be helped is done with.
    fn assign(&mut self) -> Option<Done> {
        while !self.queue.is_empty() {
            let Some(at) = self.free_seat() else {
                let waits = self.seats.iter().any(|s| s.asker.is_some());
                let job = if waits { None } else { self.queue.pop_front() };
                return job.map(|job| failed(job.who.map(|w| w.0)));
            };
            let (Some(job), Some(seat)) = (self.queue.front(), self.seats.get_mut(at)) else {
                break;
            };
            let Some(asker) = &mut seat.asker else { break };
            match send(&asker.socket, job) {
                Ok(()) => asker.client = self.queue.pop_front().map(Held::of),
                // It has ended; another one may do better.
                Err(_) => drop(seat.vacate(&mut self.dying)),
            }
        }
        None
    }

    /// A seat whose asker has nothing to do; one is started if there is none.
    fn free_seat(&mut self) -> Option<usize> {
        let is_idle = |s: &Seat| s.asker.as_ref().is_some_and(|a| a.client.is_none());
        if let Some(at) = self.seats.iter().position(is_idle) {
            return Some(at);
        }
        // A file system that is gone must not fill the machine with those who wait for it.
        if self.dying.len() > DYING - SLOW_ASKERS {
            return None;
        }
        let now = millis();
        let is_free = |s: &Seat| {
            s.asker.is_none() && s.started.is_none_or(|started| now >= started + RESTART_PAUSE)
        };
        let at = self.seats.iter().position(is_free)?;
        may_alloc(|| match self.start(at) {
            Ok(()) => Some(at),
            Err(errno) => {
                self.log.cannot_spawn(spawn::SELF.to_bytes(), errno);
                None
            }
        })
    }

    fn start(&mut self, at: usize) -> Result<(), Errno> {
        let Some(seat) = self.seats.get_mut(at) else { return Ok(()) };
        seat.started = Some(millis());
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let process = self.command.start(theirs.as_fd(), theirs.as_fd())?;
        let asker = Asker { process, socket: ours, client: None, answered: false };
        let data = epoll::EventData::new_u64(at as u64);
        epoll::add(&self.epoll, &asker.socket, data, epoll::EventFlags::IN)?;
        seat.asker = Some(asker);
        Ok(())
    }

    /// The seat of an asker that has something to say.
    fn heard(&self) -> Option<usize> {
        let mut event = [MaybeUninit::uninit()];
        loop {
            let now = timespec(0);
            match epoll::wait(&self.epoll, &mut event, Some(&now)) {
                Ok((told, _)) => return told.first().map(|e| e.data.u64() as usize),
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
    }

    /// Hears that a client is done with, or that the asker has ended.
    fn hear(&mut self, at: usize) -> Option<Done> {
        let seat = self.seats.get_mut(at)?;
        let asker = seat.asker.as_mut()?;
        let mut word = [0];
        match recv(&asker.socket, &mut word, RecvFlags::DONTWAIT) {
            Ok((_, 1)) if word == [BEGUN] => {
                if let Some(held) = &mut asker.client {
                    held.until = held.last;
                }
                None
            }
            Ok((_, 1)) => {
                asker.answered = true;
                let [word] = word;
                let why = End::ALL.get(usize::from(word)).copied().unwrap_or(End::Failed);
                asker.client.take().map(|held| Done { uid: held.uid, why })
            }
            Err(Errno::AGAIN | Errno::INTR) => None,
            _ => seat.vacate(&mut self.dying).map(|held| failed(held.uid)),
        }
    }
}

impl Seat {
    /// The client that its asker has.
    fn held(&self) -> Option<&Held> {
        self.asker.as_ref()?.client.as_ref()
    }

    /// Its asker has ended, or is ended now; the client that it had.
    fn vacate(&mut self, dying: &mut heapless::Vec<Process, DYING>) -> Option<Held> {
        let Asker { mut process, client, answered, .. } = self.asker.take()?;
        if answered {
            // It was a good one, and so may be the next.
            self.started = None;
        }
        process.kill();
        // Not waited for: one that is stuck in the kernel ends when that lets it.
        if !process.has_ended() {
            // There is room: see `free_seat`.
            let _ = dying.push(process);
        }
        client
    }
}

impl Held {
    fn of(job: Job) -> Self {
        let until = job.deadline + GRACE;
        let last = until + u64::from(SLOW_REPLY_MILLIS);
        Held { uid: job.who.map(|w| w.0), socket: job.socket, until, last }
    }
}

fn failed(uid: Option<u32>) -> Done {
    Done { uid, why: End::Failed }
}

/// Gives a client to an asker that waits for one.
fn send(asker: &OwnedFd, job: &Job) -> Result<(), Errno> {
    let (uid, gid) = job.who.unwrap_or_default();
    let mut message = heapless::Vec::<u8, MESSAGE>::new();
    let known = [u8::from(job.who.is_some())];
    let parts: [&[u8]; 5] =
        [&job.deadline.to_ne_bytes(), &known, &uid.to_ne_bytes(), &gid.to_ne_bytes(), &job.request];
    // There is room for all of them.
    parts.iter().for_each(|part| drop(message.extend_from_slice(part)));
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let sockets = [job.socket.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&sockets));
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(asker, &[IoSlice::new(&message)], &mut control, flags).map(|_| ())
}
