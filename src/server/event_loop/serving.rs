//! One session's turn: what its client sent is served, and what he does not take is put aside.

use super::{EventLoop, why};
use crate::limits::{ENDING_MILLIS, LIST_PIECE, PIECE_SENT, REPLY_PIECE, TURN};
use crate::server::acceptor::named;
use crate::server::conversation::{End, Need, Wait};
use crate::server::session::Phase;
use crate::sys::clock::{NEVER, millis};
#[cfg(feature = "share")]
use crate::sys::passed::send_with;
use crate::sys::stream::{drain, takes};
use nix::sys::epoll::EpollFlags;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};

impl EventLoop<'_> {
    /// epoll has told of a session.
    pub(super) fn on_session_event(&mut self, event: u64, flags: EpollFlags) {
        let row = (event & 0xffff_ffff) as usize;
        let Some((session, conversation)) = self.sessions.at(row) else { return };
        if token(row, session.serial) != event {
            return;
        }
        if flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            // Closed on both sides: there is nobody to answer. But what he said last may concern
            // others: nscd's SHUTDOWN, which has no answer.
            let may_concern = session.phase == Phase::Reading || conversation.drains();
            if may_concern && !session.queued && conversation.waits_for_input() {
                let read = recv(&session.socket, conversation.room(), RecvFlags::DONTWAIT);
                if let Ok((_, len @ 1..)) = read {
                    conversation.filled(len);
                    return self.enqueue(row);
                }
            }
            return self.close(row, why::GONE);
        }
        if session.queued || session.phase == Phase::Waiting {
            return;
        }
        match session.has_unsent() {
            true => self.enqueue(row),
            false => self.read(row),
        }
    }

    /// Takes what a client has sent. It is served with the others that have asked: see
    /// [`Switch::begin_batch`](crate::backend::switch::Switch::begin_batch).
    pub(super) fn read(&mut self, row: usize) {
        let Some((session, conversation)) = self.sessions.at(row) else { return };
        match recv(&session.socket, conversation.room(), RecvFlags::DONTWAIT) {
            Ok((_, 0)) => self.close(row, why::DONE),
            Ok((_, len)) => {
                conversation.filled(len);
                session.asked = true;
                match session.phase {
                    Phase::Served => self.enqueue(row),
                    _ if conversation.has_asked() => self.wait_to_be_served(row),
                    _ => self.wait(row, false),
                }
            }
            Err(Errno::AGAIN) if session.leaving && session.asked => self.close(row, why::ENDING),
            Err(Errno::AGAIN | Errno::INTR) => self.wait(row, false),
            Err(_) => self.close(row, why::GONE),
        }
    }

    pub(super) fn enqueue(&mut self, row: usize) {
        if let Some(session) = self.sessions.session(row) {
            session.queued = true;
            self.queue.push(row, named(session.uid()));
        }
    }

    /// Gives so many of those that are queued their turn, but not more than what a turn may cost is
    /// used up by all together: others may have come meanwhile who are next.
    pub(super) fn serve(&mut self, rows: usize) {
        self.switch.begin_batch(self.queue.len());
        let mut left = TURN;
        for _ in 0..rows {
            let Some(row) = self.queue.pop() else { return };
            let Some(session) = self.sessions.session(row) else { continue };
            session.queued = false;
            let used = self.go_on(row);
            left = left.saturating_sub(used);
            if left == 0 {
                return;
            }
        }
    }

    /// Serves a session until it has to wait or its turn is over; what that cost.
    fn go_on(&mut self, row: usize) -> u64 {
        let mut budget = TURN;
        self.take_turn(row, &mut budget);
        TURN - budget
    }

    fn take_turn(&mut self, row: usize, budget: &mut u64) {
        loop {
            let Some((session, conversation)) = self.sessions.at(row) else { return };
            let from = row * REPLY_PIECE;
            let page = self.pages.get_mut(from..from + REPLY_PIECE).unwrap_or_default();
            if session.send_unsent(page).is_err() {
                return self.close(row, why::GONE);
            }
            if session.has_unsent() {
                return self.wait(row, true);
            }
            // What is put aside of a large piece would not fit the page: it is for who takes all of it.
            let large = conversation.is_long() && takes(&session.socket, LIST_PIECE);
            self.out.set_large(large);
            let need = if std::mem::take(&mut session.unanswered) {
                conversation.unanswered(&mut self.out)
            } else {
                conversation.go_on(self.switch, &mut self.out, *budget)
            };
            #[cfg(feature = "share")]
            let need = match need {
                Need::Errand(errand) => {
                    let peer = session.peer;
                    let companion = self.companion.as_mut();
                    let lent = companion.and_then(|one| one.run(errand, peer, &mut self.out));
                    let is_sent = lent.map(|lent| {
                        let sent = send_with(&session.socket, self.out.pending(), lent).is_ok();
                        self.out.clear();
                        sent
                    });
                    Need::Close(match is_sent.unwrap_or(!self.out.pending().is_empty()) {
                        true => End::Answered,
                        false => End::Refused,
                    })
                }
                need => need,
            };
            *budget = conversation.budget_left();
            let pieces = self.out.pending().len().div_ceil(REPLY_PIECE);
            *budget = budget.saturating_sub(pieces as u64 * PIECE_SENT);
            let sent = session.send(self.out.pending(), page);
            self.out.clear();
            if sent.is_err() {
                return self.close(row, why::GONE);
            }
            match need {
                Need::Close(_) if session.has_unsent() => {}
                Need::Close(end) => {
                    self.close(row, end.text());
                    if end == End::Shutdown {
                        self.makes_room = false;
                        self.end_gently(ENDING_MILLIS);
                    }
                    return;
                }
                Need::Worker(which) => return self.offload(row, which),
                Need::Flush if *budget > 0 => {}
                Need::Turn | Need::Flush => {
                    self.enqueue(row);
                    return self.set_deadline(row, Wait::Turn);
                }
                Need::Input if session.leaving => return self.close(row, why::ENDING),
                Need::Input => return self.wait(row, false),
                #[cfg(feature = "share")]
                Need::Errand(_) => return,
            }
        }
    }

    /// Sets the deadline for what a session waits for.
    pub(super) fn set_deadline(&mut self, row: usize, wait: Wait) {
        let Some(acceptor) = self.acceptors.get(self.sessions.listener_of(row)) else { return };
        let Some((session, conversation)) = self.sessions.at(row) else { return };
        let patience = acceptor.listener.limits.patience;
        session.deadline = conversation.deadline(wait, patience);
        // Deadlines are looked at when the earliest has passed.
        self.next_deadline = self.next_deadline.min(session.deadline);
    }

    /// Lets the session wait, for room to write if `blocked`, else for input.
    fn wait(&mut self, row: usize, blocked: bool) {
        if !blocked {
            self.rest(row);
        }
        self.set_deadline(row, if blocked { Wait::Output } else { Wait::Input });
        let Some(session) = self.sessions.session(row) else { return };
        let before = session.watched.replace(blocked);
        let events = if blocked { epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        let data = epoll::EventData::new_u64(token(row, session.serial));
        let watched = match before {
            Some(same) if same == blocked => Ok(()),
            Some(_) => epoll::modify(&self.epoll.0, &session.socket, data, events),
            None => epoll::add(&self.epoll.0, &session.socket, data, events),
        };
        if watched.is_err() {
            self.close(row, why::GONE);
        }
    }

    /// A session that was answered and has not asked again leaves its place to those who wait, where
    /// there is a room for it.
    fn rest(&mut self, row: usize) {
        let listener = self.sessions.listener_of(row);
        let Some(acceptor) = self.acceptors.get_mut(listener) else { return };
        let Some(session) = self.sessions.session(row) else { return };
        if acceptor.listener.limits.room > 0 && session.phase == Phase::Served {
            session.phase = Phase::Reading;
            acceptor.rests(session.uid());
            self.serve_waiting(listener);
        }
    }

    pub(super) fn close_late(&mut self) {
        let now = millis();
        let mut next = NEVER;
        self.for_each_row(&mut |server, row| {
            let deadline = server.sessions.session(row).map_or(NEVER, |session| session.deadline);
            if deadline <= now {
                server.is_late(row);
            }
            let left = server.sessions.session(row).map_or(NEVER, |session| session.deadline);
            next = next.min(left);
        });
        self.next_deadline = next;
    }

    /// Closes a session whose deadline has passed, unless its client takes more now: the kernel
    /// tells of room only when three quarters of the socket's buffer are free, which is too late
    /// to call a slow reader one that does not read.
    fn is_late(&mut self, row: usize) {
        if self.workers.as_mut().is_some_and(|workers| workers.stop_waiting(row)) {
            return self.unanswered(row);
        }
        let Some(session) = self.sessions.session(row) else { return };
        let from = row * REPLY_PIECE;
        let page = self.pages.get(from..from + REPLY_PIECE).unwrap_or_default();
        match session.send_unsent(page) {
            Ok(sent) if sent > 0 => drop(self.go_on(row)),
            _ => self.close(row, why::LATE),
        }
    }

    pub(super) fn close(&mut self, row: usize, why: &str) {
        // Closing the socket takes it out of the epoll set: while it was there, no worker had it.
        let Some((session, conversation)) = self.sessions.at(row) else { return };
        if conversation.drains() {
            drain(&session.socket);
        }
        conversation.leave(self.switch);
        let mut why = why;
        if self.workers.as_mut().is_some_and(|workers| workers.forget(row)) {
            // A worker that is stuck has the connection as well: closing it here would tell nothing.
            let _ = shutdown(&session.socket, Shutdown::Both);
            why = why::FAILED;
        }
        if session.queued {
            self.queue.remove(row);
        }
        let (uid, phase) = (session.uid(), session.phase);
        self.sessions.end(row);
        let listener = self.sessions.listener_of(row);
        if let Some(acceptor) = self.acceptors.get_mut(listener) {
            if phase == Phase::Served {
                acceptor.left(uid);
            } else {
                acceptor.queue.remove(row);
                acceptor.left_waiting(uid);
            }
            acceptor.log.left(uid, why);
            acceptor.tell_status();
        }
        self.serve_waiting(listener);
    }
}

/// What epoll gives back for a session: its row, and its serial number above.
fn token(row: usize, serial: u32) -> u64 {
    u64::from(serial) << 32 | (row as u64 & 0xffff_ffff)
}
