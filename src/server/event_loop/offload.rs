//! Sessions whose requests only a source that may block can answer: they keep their row while they
//! wait for a worker, and while one has them. What becomes of them is their deadline's matter, as
//! with others.

use super::{EventLoop, FIRST_WORKER, watch, why};
use crate::limits::{SHARE_LOOKUP, START_MILLIS};
use crate::server::acceptor::named;
use crate::server::conversation::{Wait, Which};
use crate::server::worker::pool::Kind;
use crate::server::worker::{Job, REQUEST_MAX, Word};
use crate::sys::clock::{NEVER, millis};
use crate::sys::may_alloc;
use crate::sys::program::SELF;
use crate::sys::stream::takes_more;
use rustix::event::epoll;
use rustix::io::Errno;

/// Milliseconds after its deadline until a worker that has not said anything counts as stuck: one
/// that is stopped, or waits in the kernel for a file system that is gone, closes nothing.
const GRACE: u64 = 250;

/// How a request goes together with others that are the same.
#[derive(Clone, Copy, Default)]
struct Given {
    repeats: bool,
    followed: bool,
}

/// Milliseconds that a client may let a worker wait that others wait for.
const STALLED: u64 = 500;

/// Milliseconds until it is looked again whether a worker can be freed.
const LOOK_AGAIN: u64 = 100;

impl EventLoop<'_> {
    /// From now on, the loop is told of a worker that has something to say.
    pub(super) fn watch_worker(&self, at: usize) -> Result<(), Errno> {
        let socket = self.workers.as_ref().and_then(|workers| workers.socket(at));
        socket.map_or(Ok(()), |socket| watch(&self.epoll, socket, FIRST_WORKER + at as u32))
    }

    /// Lets a worker answer a session's request.
    pub(super) fn offload(&mut self, row: usize, which: Which) {
        self.set_deadline(row, Wait::Worker);
        let Some((session, conversation)) = self.sessions.at(row) else { return };
        conversation.leave(self.switch);
        if session.watched.take().is_some() {
            let _ = epoll::delete(&self.epoll.0, &session.socket);
        }
        let fits = conversation.request().len() <= REQUEST_MAX;
        let Some(workers) = self.workers.as_mut().filter(|_| fits) else {
            return self.unanswered(row);
        };
        match which {
            Which::Any => workers.queue(Kind::Shared).push(row, named(session.uid())),
            Which::New => workers.queue(Kind::Kept).push(row, named(session.uid())),
            Which::Kept => {
                let given = workers
                    .kept_by(row)
                    .is_some_and(|at| self.give(at, row, true, Given::default()));
                if !given {
                    self.unanswered(row);
                }
            }
        }
    }

    /// Gives those who wait to workers that are free. Who cannot be helped is told.
    pub(super) fn assign_workers(&mut self) {
        while let Some(row) = self.workers.as_mut().and_then(|workers| workers.take_left_over()) {
            self.offload(row, Which::Any);
        }
        self.assign(Kind::Shared);
        self.assign(Kind::Kept);
    }

    fn assign(&mut self, kind: Kind) {
        while let Some(row) = self.next_to_assign(kind) {
            let at = self.free_worker(kind);
            let Some(workers) = &mut self.workers else { return };
            match at {
                // If it has ended, another one may do better.
                Some(at) => {
                    let mut followers = std::mem::take(&mut self.followers);
                    self.find_who_asks_the_same(kind, row, &mut followers);
                    let given = Given { repeats: false, followed: !followers.is_empty() };
                    if self.give(at, row, false, given) {
                        self.take_from_queue(kind, row);
                        self.give_to_follow(at, &followers);
                    }
                    followers.clear();
                    self.followers = followers;
                }
                None if workers.is_staffed(kind) => return self.free_by_force(kind),
                None => {
                    self.take_from_queue(kind, row);
                    self.unanswered(row);
                }
            }
        }
    }

    fn next_to_assign(&mut self, kind: Kind) -> Option<usize> {
        let workers = self.workers.as_mut()?;
        let row = workers.next(kind);
        let waits = row.is_none().then(|| workers.first_to_wait(kind)).flatten();
        if waits.is_some() {
            // He has as many as he may have: one of his own, that he does not use.
            workers.take_from_idle(waits);
            self.next_deadline = self.next_deadline.min(millis() + LOOK_AGAIN);
            return self.workers.as_ref()?.next(kind);
        }
        row
    }

    /// Somebody waits, and all workers are busy: one whose client does not take the reply is freed.
    fn free_by_force(&mut self, kind: Kind) {
        let Some(workers) = &self.workers else { return };
        let mut stuck = workers.sending(kind, STALLED).filter(|row| {
            let socket = self.sessions.session(*row).map(|session| &session.socket);
            socket.is_some_and(|socket| !takes_more(socket))
        });
        let row = stuck.next();
        drop(stuck);
        self.next_deadline = self.next_deadline.min(millis() + LOOK_AGAIN);
        if let Some(row) = row {
            self.close(row, why::LATE);
        }
    }

    fn take_from_queue(&mut self, kind: Kind, row: usize) {
        if let Some(workers) = &mut self.workers {
            workers.queue(kind).take(row);
        }
    }

    /// Who else waits for a worker, and has asked the same.
    fn find_who_asks_the_same(&mut self, kind: Kind, row: usize, same: &mut Vec<usize>) {
        let Some(workers) = self.workers.as_mut().filter(|_| kind == Kind::Shared) else { return };
        let Some((session, conversation)) = self.sessions.at(row) else { return };
        if session.alone || !conversation.shares() {
            return;
        }
        // Where nobody has his turn, the room for output is free.
        self.out.put(conversation.request());
        let listener = self.sessions.listener_of(row);
        for other in workers.queue(kind).rows().filter(|other| *other != row) {
            if self.sessions.listener_of(other) != listener {
                continue;
            }
            let Some((session, conversation)) = self.sessions.at(other) else { continue };
            if !session.alone && conversation.request() == self.out.pending() {
                same.push(other);
                if same.len() == SHARE_LOOKUP {
                    break;
                }
            }
        }
        self.out.clear();
    }

    /// Gives a worker those who ask the same as the one that it has.
    fn give_to_follow(&mut self, at: usize, followers: &[usize]) {
        for (place, row) in followers.iter().enumerate() {
            if let Some(workers) = &mut self.workers {
                workers.stop_waiting(*row);
            }
            let given = Given { repeats: true, followed: place + 1 < followers.len() };
            if !self.give(at, *row, false, given) {
                self.offload(*row, Which::Any);
            }
        }
    }

    /// Gives a session's request to a worker; false if that has ended.
    fn give(&mut self, at: usize, row: usize, continues: bool, given: Given) -> bool {
        // The worker counts from when it begins.
        self.set_deadline(row, Wait::Worker);
        let last = self.sessions.session(row).map_or(NEVER, |session| session.deadline);
        self.set_deadline(row, Wait::Source);
        let Some((protocol, sources)) = self.sessions.asked_by(row) else { return false };
        let Some((session, conversation)) = self.sessions.at(row) else { return false };
        let Some(workers) = &mut self.workers else { return false };
        let deadline = session.deadline.saturating_add(START_MILLIS.into()).min(last);
        let request = conversation.request();
        let peer = session.peer;
        let Given { repeats, followed } = given;
        let job = Job { protocol, sources, peer, deadline, continues, repeats, followed, request };
        let given = workers.give(at, row, &session.socket, &job);
        if given {
            session.deadline = deadline.saturating_add(GRACE);
        }
        given
    }

    /// A worker that has nobody; one is started if there is none.
    fn free_worker(&mut self, kind: Kind) -> Option<usize> {
        let workers = self.workers.as_mut()?;
        if let Some(at) = workers.idle(kind) {
            return Some(at);
        }
        if kind == Kind::Kept && workers.vacant(kind).is_none() {
            workers.take_from_idle(None);
        }
        let at = workers.vacant(kind)?;
        let started = may_alloc(|| workers.start(at));
        match started.and_then(|()| self.watch_worker(at)) {
            Ok(()) => Some(at),
            Err(errno) => {
                if let Some(workers) = &mut self.workers {
                    workers.dismiss(at);
                }
                self.log.cannot_spawn(SELF.to_bytes(), errno);
                None
            }
        }
    }

    /// A worker has something to say.
    pub(super) fn on_worker_event(&mut self, at: usize) {
        let Some(workers) = &mut self.workers else { return };
        let Some((row, word)) = workers.receive(at) else { return };
        let Some((session, conversation)) = self.sessions.at(row) else { return };
        match word {
            Word::Begun => {
                let more = conversation.reply_millis();
                session.deadline = session.deadline.saturating_add(more.into());
            }
            Word::Back => {
                session.alone = true;
                self.offload(row, Which::Any);
            }
            Word::Ended(end) => self.close(row, end.text()),
            Word::Answered => {
                session.deadline = NEVER;
                conversation.answered();
                if !conversation.keeps_worker() {
                    workers.release(at);
                }
                // There may be more of what its client sent.
                self.enqueue(row);
            }
        }
    }

    /// No worker can answer a session's request: it is told in its next turn.
    pub(super) fn unanswered(&mut self, row: usize) {
        if let Some(session) = self.sessions.session(row) {
            session.deadline = NEVER;
            session.unanswered = true;
            self.enqueue(row);
        }
    }
}
