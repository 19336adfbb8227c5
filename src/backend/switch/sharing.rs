//! One answer for several clients who ask the same.

use super::{ClientState, Progress, Switch};
use crate::backend::Outcome;
use crate::backend::client::Hit;
use nssproto::nsss::Request;

/// A request as it is sent.
type Encoded = heapless::Vec<u8, { Request::MAX }>;

/// What is kept of an answer, and for whom. Of a record, its backend has it still.
pub(super) struct Sharing {
    /// The answer is kept for others.
    keeps: bool,
    /// Nothing is asked: what was kept is told, or else that a worker is needed.
    repeats: bool,
    /// It was not, since what was kept is another answer, or none.
    missed: bool,
    /// The answer, if one is kept; and to what.
    outcome: Option<Outcome>,
    request: Encoded,
    slot: usize,
    progress: Progress,
    hit: Hit,
}

impl Sharing {
    /// Nothing is kept, for nobody.
    pub(super) fn new() -> Self {
        Sharing {
            keeps: false,
            repeats: false,
            missed: false,
            outcome: None,
            request: Encoded::new(),
            slot: 0,
            progress: Progress::default(),
            hit: Hit::None,
        }
    }

    /// What the client is told who repeats.
    pub(super) fn repeated(&self) -> Option<Outcome> {
        self.outcome.filter(|_| self.repeats)
    }

    /// Whether a backend has something in hand for others.
    pub(super) fn is_kept(&self) -> bool {
        self.outcome.is_some()
    }

    /// It is taken in pieces, and not whole any more.
    pub(super) fn lose(&mut self) {
        self.outcome = None;
    }
}

fn encode(request: &Request<'_>, room: &mut Encoded) {
    // There is room for each.
    let _ = room.resize_default(Request::MAX);
    let len = request.encode(room).unwrap_or(0);
    room.truncate(len);
}

impl Switch {
    /// What the next client is told may be told again to others, who ask the same and are known to
    /// have asked by now (`followed`); or he is one of those (`repeats`), and nobody is asked for him.
    /// Only for clients who may all see the same of the sources.
    pub fn share(&mut self, repeats: bool, followed: bool) {
        if !repeats {
            self.forget_told();
        }
        let sharing = &mut self.sharing;
        (sharing.keeps, sharing.repeats) = (repeats || followed, repeats);
        sharing.missed = false;
    }

    /// Whether a client who repeats asked what was not kept.
    pub fn was_not_told(&self) -> bool {
        self.sharing.missed
    }

    fn forget_told(&mut self) {
        if self.sharing.outcome.take() == Some(Outcome::Found) {
            if let Some(slot) = self.slots.get_mut(self.sharing.slot) {
                slot.backend.release();
            }
        }
    }

    /// Gives a client who repeats what was kept; false if it is not for his request.
    pub(super) fn tell_again(&mut self, client: &mut ClientState, request: &Request<'_>) -> bool {
        let sharing = &mut self.sharing;
        if sharing.repeats {
            let mut asked = Encoded::new();
            encode(request, &mut asked);
            if sharing.outcome.is_none() || sharing.request != asked {
                sharing.missed = true;
                return false;
            }
            (client.slot, client.progress, client.hit) =
                (sharing.slot, sharing.progress, sharing.hit);
        }
        true
    }

    pub(super) fn ask_anew(
        &mut self,
        client: &mut ClientState,
        request: &Request<'_>,
        skip: u64,
    ) -> Outcome {
        if !self.sharing.keeps {
            return self.outcome(client, request, skip);
        }
        self.forget_told();
        let outcome = self.outcome(client, request, skip);
        let is_whole = match outcome {
            Outcome::NotFound | Outcome::Failed(_) | Outcome::Dead => true,
            Outcome::Found => self.whole(client).is_some(),
            _ => false,
        };
        if is_whole {
            let sharing = &mut self.sharing;
            sharing.outcome = Some(outcome);
            encode(request, &mut sharing.request);
            (sharing.slot, sharing.progress, sharing.hit) =
                (client.slot, client.progress, client.hit);
        }
        outcome
    }
}
