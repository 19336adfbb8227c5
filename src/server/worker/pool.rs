//! The workers, as the event loop has them: who works for which session, and who waits for one.

use super::{Job, Word};
use crate::limits::{KEPT_IDLE_MILLIS, KEPT_WORKERS, SHARE_LOOKUP, WORKERS};
use crate::server::acceptor::named;
use crate::server::conversation::End;
use crate::server::schedule::Queue;
use crate::sys::clock::{NEVER, millis};
use crate::sys::error::{Error, unable};
use crate::sys::passed;
use crate::sys::spawn::{Command, Process};
use nssproto::entry::Uid;
use rustix::io::{Errno, IoSlice};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, recv, sendmsg, socketpair,
};
use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Milliseconds between two starts of a worker that ended without having answered anybody.
const RESTART_PAUSE: u64 = 500;

/// Most workers.
pub const MOST: usize = WORKERS + KEPT_WORKERS;

/// Workers that were killed and have not ended yet.
const DYING: usize = 4 * MOST;

/// In place of a session that has ended before its worker came to it.
const NOBODY: usize = usize::MAX;

/// In place of the worker of sessions that were behind another one when it ended.
const NO_WORKER: usize = usize::MAX;

/// Which of the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Those who answer one request at a time, whose ever that is.
    Shared,
    /// Those who stay with a session from one request to the next.
    Kept,
}

impl Kind {
    /// Their places.
    fn places(self) -> Range<usize> {
        match self {
            Kind::Shared => 0..WORKERS,
            Kind::Kept => WORKERS..MOST,
        }
    }
}

/// The workers of a server. Sessions are known by their rows.
pub struct Pool {
    /// What a worker is.
    command: Box<Command>,
    places: Vec<Place>,
    /// How many places of each kind are used.
    each: usize,
    /// There is room for `DYING`.
    dying: Vec<Process>,
    /// Sessions that ask the same as the one that a worker has, behind it: the worker's place, and
    /// their rows in the order in which they were given.
    followers: Vec<(usize, usize)>,
    /// Those who wait for a worker of each kind.
    shared_queue: Queue,
    kept_queue: Queue,
}

/// Where a worker may be.
#[derive(Default)]
struct Place {
    worker: Option<Worker>,
    /// When one was started here last, in milliseconds of the clock; 0: another may be started at
    /// once.
    started: u64,
}

struct Worker {
    process: Process,
    socket: OwnedFd,
    /// The session that it has, and whose it is.
    session: Option<usize>,
    uid: Uid,
    /// It has a request of it.
    busy: bool,
    /// Since when it sends a longer reply, in milliseconds of the clock; [`NEVER`]: it does not.
    begun: u64,
    /// Since when it has none, in milliseconds of the clock.
    idle_since: u64,
    answered: bool,
}

impl Pool {
    /// Workers for at most `max` sessions at a time. A worker is this executable, as the applet that
    /// is the first of the words `first`, and is started when it is needed; it has to call
    /// [`super::main::serve`]. `kept`: some may be kept by sessions. It lives as long as the process.
    pub fn new(
        max: u32,
        kept: bool,
        first: &[&[u8]],
        rest: &[OsString],
    ) -> Result<&'static mut Self, Error> {
        let command = Command::ourselves(first, rest);
        let mut command = command.map_err(unable("unable to start a worker"))?;
        passed::VARIABLES.iter().for_each(|name| command.unset(name));
        let places = if kept { MOST } else { WORKERS };
        let mut pool = Pool {
            command,
            places: Vec::new(),
            each: WORKERS,
            dying: Vec::with_capacity(DYING),
            // Twice, since those of workers that have ended are given again.
            followers: Vec::with_capacity(2 * MOST * SHARE_LOOKUP),
            shared_queue: Queue::new(max as usize),
            kept_queue: Queue::new(if kept { max as usize } else { 0 }),
        };
        pool.places.resize_with(places, Place::default);
        Ok(Box::leak(Box::new(pool)))
    }

    /// Starts all workers now: they may need rights that are given up next. So there are half as
    /// many, since they stay.
    pub fn start_all(&mut self) -> Result<(), Error> {
        self.each = WORKERS / 2;
        for at in 0..self.places.len() {
            if [Kind::Shared, Kind::Kept].iter().any(|kind| self.used(*kind).contains(&at)) {
                self.start(at).map_err(unable("unable to start a worker"))?;
            }
        }
        Ok(())
    }

    /// At the end nobody is left to be answered.
    pub fn end(&self) {
        for worker in self.places.iter().filter_map(|place| place.worker.as_ref()) {
            worker.process.kill();
        }
    }

    /// Those who wait for a worker of a kind.
    pub fn queue(&mut self, kind: Kind) -> &mut Queue {
        match kind {
            Kind::Shared => &mut self.shared_queue,
            Kind::Kept => &mut self.kept_queue,
        }
    }

    /// The next who waits for a worker of a kind, and may have one: a uid has at most half of them.
    pub fn next(&self, kind: Kind) -> Option<usize> {
        let places = self.of(kind).count();
        let has = |uid| {
            let his =
                |p: &Place| p.worker.as_ref().is_some_and(|w| w.session.is_some() && w.uid == uid);
            self.of(kind).filter(|place| his(place)).count()
        };
        self.waiting(kind).next_if(|uid| has(uid) < places.div_ceil(2))
    }

    fn waiting(&self, kind: Kind) -> &Queue {
        match kind {
            Kind::Shared => &self.shared_queue,
            Kind::Kept => &self.kept_queue,
        }
    }

    /// Lets nobody of this row wait for a worker any more; whether he did.
    pub fn stop_waiting(&mut self, session: usize) -> bool {
        self.shared_queue.remove(session) || self.kept_queue.remove(session)
    }

    /// The places of a kind that are used.
    fn used(&self, kind: Kind) -> Range<usize> {
        let Range { start, end } = kind.places();
        start..end.min(start + self.each)
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Place> {
        self.places.get(self.used(kind)).unwrap_or_default().iter()
    }

    /// The first place of a kind that is such a one.
    fn find(&self, kind: Kind, is: &dyn Fn(&Place) -> bool) -> Option<usize> {
        self.used(kind).find(|at| self.places.get(*at).is_some_and(is))
    }

    /// Whether there are any workers of a kind.
    pub fn is_staffed(&self, kind: Kind) -> bool {
        self.find(kind, &|place| place.worker.is_some()).is_some()
    }

    /// A place whose worker has nobody.
    pub fn idle(&self, kind: Kind) -> Option<usize> {
        self.find(kind, &|p| p.worker.as_ref().is_some_and(|w| w.session.is_none()))
    }

    /// A place where a worker may be started.
    pub fn vacant(&self, kind: Kind) -> Option<usize> {
        // A file system that is gone must not fill the machine with those who wait for it.
        if self.dying.len() > DYING - MOST {
            return None;
        }
        let now = millis();
        self.find(kind, &|p| {
            p.worker.is_none() && (p.started == 0 || now >= p.started + RESTART_PAUSE)
        })
    }

    /// The worker that a session keeps.
    pub fn kept_by(&self, session: usize) -> Option<usize> {
        let is_his = |p: &Place| p.worker.as_ref().is_some_and(|w| w.session == Some(session));
        self.find(Kind::Kept, &is_his)
    }

    /// Ends the kept worker that was not asked for longest, and for long: its session does without.
    /// One of `whose`, or of anybody.
    pub fn take_from_idle(&mut self, whose: Option<Uid>) {
        // Later than this, none is idle for long.
        let mut since = millis().saturating_sub(KEPT_IDLE_MILLIS);
        let mut longest = None;
        for at in Kind::Kept.places() {
            let worker = self.places.get(at).and_then(|place| place.worker.as_ref());
            let Some(worker) = worker.filter(|w| w.session.is_some() && !w.busy) else { continue };
            if whose.is_none_or(|uid| worker.uid == uid) && worker.idle_since <= since {
                (since, longest) = (worker.idle_since, Some(at));
            }
        }
        if let Some(at) = longest {
            self.dismiss(at);
        }
    }

    /// Whose session waits longest for a worker of a kind.
    pub fn first_to_wait(&self, kind: Kind) -> Option<Uid> {
        let mut first = None;
        self.waiting(kind).next_if(|uid| {
            first = Some(uid);
            true
        });
        first
    }

    /// The sessions whose workers have been sending a longer reply for more than so many
    /// milliseconds.
    pub fn sending(&self, kind: Kind, longer: u64) -> impl Iterator<Item = usize> {
        let until = millis().saturating_sub(longer);
        let sending = move |place: &Place| {
            place.worker.as_ref().filter(|w| w.busy && w.begun <= until)?.session
        };
        self.of(kind).filter_map(sending)
    }

    /// Starts a worker.
    pub fn start(&mut self, at: usize) -> Result<(), Errno> {
        let Some(place) = self.places.get_mut(at) else { return Ok(()) };
        place.started = millis();
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let process = self.command.start(theirs.as_fd(), theirs.as_fd())?;
        place.worker = Some(Worker {
            process,
            socket: ours,
            session: None,
            uid: Uid(u32::MAX),
            busy: false,
            begun: NEVER,
            idle_since: 0,
            answered: false,
        });
        Ok(())
    }

    fn worker(&mut self, at: usize) -> Option<&mut Worker> {
        self.places.get_mut(at)?.worker.as_mut()
    }

    /// Readable when [`Pool::receive`] has something to do there.
    pub fn socket(&self, at: usize) -> Option<BorrowedFd<'_>> {
        Some(self.places.get(at)?.worker.as_ref()?.socket.as_fd())
    }

    /// Gives a session's request and its connection to a worker that has nothing to do; false if
    /// that has ended.
    pub fn give(&mut self, at: usize, session: usize, socket: &OwnedFd, job: &Job<'_>) -> bool {
        let Some(worker) = self.worker(at) else { return false };
        let sent = send(&worker.socket, socket, job).is_ok();
        if !sent {
            self.dismiss(at);
        } else if job.repeats {
            self.followers.push((at, session));
        } else {
            (worker.session, worker.busy, worker.begun) = (Some(session), true, NEVER);
            worker.uid = named(job.peer.map(|peer| peer.uid));
        }
        sent
    }

    /// Takes what a worker says of a session; `None`: nothing that the loop has to know.
    pub fn receive(&mut self, at: usize) -> Option<(usize, Word)> {
        let worker = self.worker(at)?;
        let mut byte = [0];
        let received = recv(&worker.socket, &mut byte, RecvFlags::DONTWAIT);
        let session = worker.session.filter(|_| worker.busy);
        let word = match received {
            Ok((_, 1)) => Word::of(byte[0]),
            Err(Errno::AGAIN | Errno::INTR) => return None,
            // It has ended. Who keeps it without a request finds that out with the next one.
            _ => {
                self.dismiss(at);
                return Some((session.filter(|row| *row != NOBODY)?, Word::Ended(End::Failed)));
            }
        };
        let session = session?;
        if word == Word::Begun {
            worker.begun = millis();
        } else {
            let next = self.take_follower(at);
            let worker = self.worker(at)?;
            (worker.answered, worker.busy, worker.idle_since) = (true, next.is_some(), millis());
            worker.begun = NEVER;
            if next.is_some() || word != Word::Answered || !Kind::Kept.places().contains(&at) {
                worker.session = next;
            }
        }
        (session != NOBODY).then_some((session, word))
    }

    /// The session that keeps a worker needs it no longer.
    pub fn release(&mut self, at: usize) {
        if let Some(worker) = self.worker(at) {
            worker.session = None;
        }
    }

    /// Forgets a session that ends, and ends the workers that have it; whether one was busy with it.
    pub fn forget(&mut self, session: usize) -> bool {
        self.stop_waiting(session);
        for (_, row) in self.followers.iter_mut().filter(|(_, row)| *row == session) {
            *row = NOBODY;
        }
        let mut busy = false;
        // It may keep one while another answers it.
        for at in 0..self.places.len() {
            let Some(worker) = self.worker(at).filter(|w| w.session == Some(session)) else {
                continue;
            };
            busy |= worker.busy;
            self.dismiss(at);
        }
        busy
    }

    /// A worker has ended, or is ended now.
    pub fn dismiss(&mut self, at: usize) {
        let Some(place) = self.places.get_mut(at) else { return };
        let Some(Worker { mut process, answered, .. }) = place.worker.take() else { return };
        if answered {
            // It was a good one, and so may be the next.
            place.started = 0;
        }
        for (worker, _) in self.followers.iter_mut().filter(|(worker, _)| *worker == at) {
            *worker = NO_WORKER;
        }
        process.kill();
        // Not waited for: one that is stuck in the kernel ends when that lets it.
        if !process.has_ended() {
            // There is room: see `Pool::vacant`.
            self.dying.push(process);
        }
    }

    /// A session that was behind another one whose worker has ended; it may be gone meanwhile.
    pub fn take_left_over(&mut self) -> Option<usize> {
        self.take_follower(NO_WORKER)
    }

    /// The next who is behind the session of a worker.
    fn take_follower(&mut self, at: usize) -> Option<usize> {
        let place = self.followers.iter().position(|(worker, _)| *worker == at)?;
        Some(self.followers.remove(place).1)
    }

    /// A child of this process has ended.
    pub fn child_ended(&mut self) {
        self.dying.retain_mut(|process| !process.has_ended());
    }
}

/// Gives a request and its client's connection to a worker.
fn send(worker: &OwnedFd, client: &OwnedFd, job: &Job<'_>) -> Result<(), Errno> {
    let head = job.head();
    let parts = [IoSlice::new(head.as_flattened()), IoSlice::new(job.request)];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let sockets = [client.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&sockets));
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(worker, &parts, &mut control, flags).map(|_| ())
}
