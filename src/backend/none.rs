//! Places of a switch where nobody answers.

use super::{Outcome, Source, Step};
use nssproto::nsss::Request;
use rustix::io::Errno;

/// A backend that is not started yet, or could not be, and why: as good as one that has failed for
/// good.
pub struct NotStarted(pub Errno);

impl Source for NotStarted {
    fn ask(&mut self, _: Step<'_>, _: &Request<'_>) -> Outcome {
        Outcome::Dead
    }

    fn is_dead(&self) -> bool {
        true
    }

    fn why_dead(&self) -> Errno {
        self.0
    }
}

/// A backend that a worker process asks, since it may block and nothing may block here.
pub struct Offloaded;

impl Source for Offloaded {
    fn ask(&mut self, _: Step<'_>, _: &Request<'_>) -> Outcome {
        Outcome::NeedsWorker
    }
}
