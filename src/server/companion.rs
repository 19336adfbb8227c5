//! What an event loop looks after besides its clients: something that has descriptors to wait for and
//! times to wake up, and that a conversation may want something of.

use super::conversation::{Errand, Output};
use crate::backend::switch::Switch;
use crate::sys::access::Peer;
use rustix::event::epoll::EventFlags;
use std::os::fd::BorrowedFd;

/// Most descriptors of one.
pub const WATCHED: usize = 2;

/// One of them. The loop knows nothing else of it.
pub trait Companion {
    /// What to wait for, by number, from the start to the end.
    fn watched(&self, which: usize) -> Option<(BorrowedFd<'_>, EventFlags)>;

    /// That of this number has something to tell. It takes no time.
    fn on_event(&mut self, which: usize);

    /// When [`Companion::attend`] is to be called, in milliseconds of the clock;
    /// [`NEVER`](crate::sys::clock::NEVER): not before something else happens.
    fn due(&self) -> u64;

    /// Does a piece of what there is to do, of about a millisecond. Nobody's lookup is in hand.
    fn attend(&mut self, switch: &mut Switch);

    /// Does what a client wants of it. What is in `out` is sent then; beside it, the descriptor that it
    /// lends.
    fn run(
        &mut self,
        errand: Errand,
        peer: Option<Peer>,
        out: &mut Output,
    ) -> Option<BorrowedFd<'_>>;

    /// The server ends: nobody asks it any more.
    fn leave(&mut self);
}
