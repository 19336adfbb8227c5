//! Another executable that takes our place: it is tried out beside us, who go on serving meanwhile.

use super::EventLoop;
use crate::limits::RENEWAL_MILLIS;
use crate::server::signals::Signal;
use crate::sys::may_alloc;
use crate::sys::program::is_replaced;
use crate::sys::spawn::Trial;

impl EventLoop<'_> {
    /// Whether another executable is there now, which is tried out from here on.
    pub(super) fn tries_executable(&mut self) -> bool {
        let place = self.executable.filter(|place| !self.ending && is_replaced(place));
        let Some(place) = place else { return false };
        self.trial = may_alloc(|| Trial::start(place, self.log.name)).ok();
        if self.trial.is_none() {
            self.log.cannot_begin_anew(place.to_bytes());
        }
        self.trial.is_some()
    }

    /// If it is known now whether the other executable runs: it takes our place, or the connections are
    /// closed as without it.
    pub(super) fn look_at_trial(&mut self) {
        let result = self.trial.as_mut().and_then(Trial::result);
        let (Some(runs), Some(place)) = (result, self.executable) else { return };
        let is_there = self.trial.take().is_some_and(|trial| trial.is_of(place));
        if self.ending || (!is_there && self.tries_executable()) {
            return;
        }
        if runs && is_there {
            self.log.received(Signal::Hup, "beginning anew");
            self.makes_room = true;
            return self.end_gently(RENEWAL_MILLIS);
        }
        self.log.cannot_begin_anew(place.to_bytes());
        self.see_off();
    }
}
