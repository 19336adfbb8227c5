//! Places of a switch where nobody answers.

use super::{Outcome, Source, Step};
use nssproto::nsss::Request;

/// A backend that is not started yet, or could not be: as good as one that has failed for good.
pub struct NotStarted;

impl Source for NotStarted {
    fn ask(&mut self, _: Step<'_>, _: &Request<'_>) -> Outcome {
        Outcome::Dead
    }

    fn is_dead(&self) -> bool {
        true
    }
}

/// A backend that a worker process asks, since it may block and nothing may block here.
pub struct Offloaded;

impl Source for Offloaded {
    fn ask(&mut self, _: Step<'_>, _: &Request<'_>) -> Outcome {
        Outcome::NeedsWorker
    }
}
