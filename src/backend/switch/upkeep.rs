//! Backends that have failed: what tells of it, and what becomes of them between requests.

use super::{Belief, Slot, Switch};
use crate::backend::none::NotStarted;
use crate::backend::{Backend, Outcome};
use crate::sys::message::Message;
use nssproto::nsss::Request;
use rustix::io::Errno;
use std::os::fd::BorrowedFd;

impl Switch {
    /// What to watch while no request is in hand, by backend.
    pub fn watched(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        (0..2 * self.slots.len()).filter_map(|at| {
            let slot = self.slots.get(at / 2)?;
            Some((at / 2, slot.backend.watched(at % 2)?))
        })
    }

    /// Something was heard of backend `at` that has nothing to say: it has failed.
    pub fn fail(&mut self, at: usize) {
        if let Some(slot) = self.slots.get_mut(at) {
            slot.backend.fail();
        }
    }

    /// A child has failed of whose end nothing will tell: ask for it now and then.
    pub fn must_be_polled(&self) -> bool {
        self.slots.iter().any(|slot| slot.backend.must_be_polled())
    }

    /// Between requests: replaces backends that have failed for good, where there is a way to.
    /// (Starting a program allocates.)
    pub fn revive(&mut self) {
        self.look();
        let has_files = self.slots.iter().any(|slot| slot.belief == Belief::Local);
        for Slot { backend, origin, belief, .. } in &mut self.slots {
            let Some(origin) = origin.as_mut().filter(|_| backend.is_dead()) else { continue };
            if backend.has_answered() {
                // It was a good one, and so may be the next.
                origin.try_at_once();
            }
            let Some(started) = origin.start() else { continue };
            *backend = started.map_or_else(
                |errno| Backend::NotStarted(NotStarted(errno)),
                |child| {
                    if origin.is_server() {
                        *belief = match (child.is_ours(), has_files) {
                            (true, _) => Belief::All,
                            (false, true) => Belief::Others,
                            (false, false) => Belief::Stranger,
                        };
                    }
                    Backend::Child(child)
                },
            );
        }
    }

    /// Between requests: takes note of backends that have failed meanwhile.
    pub fn look(&mut self) {
        if self.sharing.is_kept() {
            // Its backend has something in hand.
            return;
        }
        self.slots.iter_mut().for_each(|slot| slot.backend.look());
    }

    /// Milliseconds that a backend which asks another process may take to go on with its answer, and
    /// until when it must have begun it.
    pub fn limit(&mut self, millis: u32, until: u64) {
        self.slots.iter_mut().for_each(|slot| slot.backend.limit(millis, until));
    }

    /// Takes note of ended children.
    pub fn reap(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.backend.reap());
    }
}

impl Slot {
    /// Tells a failure, with what did not answer.
    #[inline(never)]
    pub(super) fn tell(&self, program: &str, request: &Request<'_>, outcome: Outcome) {
        let errno = match outcome {
            Outcome::Failed(errno) => Errno::from_raw_os_error(errno.into()),
            Outcome::Dead => self.backend.why_dead(),
            _ => return,
        };
        let mut message = Message::new(program, "info");
        message.text("a source failed: ");
        match &self.origin {
            Some(origin) => message.path(origin.place()),
            None => message.path(self.backend.place(request.db())),
        };
        // What no call has said is told in words.
        match (outcome, errno) {
            (Outcome::Dead, Errno::IO) => message.text(": it does not answer"),
            _ => message.text(": ").errno(errno),
        };
        message.send();
    }
}
