//! When a switch stops asking, and what it says then: the decision table of
//! doc/protocols/nsss.md, section 7.

use crate::backend::Outcome;

/// When to stop asking: the bits of a backend's bitfield.
pub mod stop {
    /// The backend failed for good.
    pub const DEAD: u8 = 1;
    /// It answered a failure.
    pub const FAILED: u8 = 2;
    /// It has no such entry.
    pub const NOT_FOUND: u8 = 4;
}

/// What follows an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is the switch's answer, or the request is not over yet.
    Stop(Outcome),
    /// The next backend is asked; behind the last one see [`Progress::last_word`].
    GoOn,
}

/// What the backends said that have been asked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What the last one said that was really asked.
    last: Option<Outcome>,
    failed: bool,
}

impl Progress {
    /// Whether a backend failed that should have been asked.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// What was found must not be told, or those who might know better failed.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// Takes what a backend said. `bits` says when to stop at it; `was_dead`: it had failed for good
    /// before; `merges`: the groups of all backends are wanted.
    pub fn take(&mut self, outcome: Outcome, bits: u8, was_dead: bool, merges: bool) -> Next {
        let stops = match outcome {
            Outcome::Groups if merges => 0,
            Outcome::Done
            | Outcome::Found
            | Outcome::Groups
            | Outcome::Pending
            | Outcome::NeedsWorker => return Next::Stop(outcome),
            Outcome::NotFound => stop::NOT_FOUND,
            Outcome::Dead => stop::DEAD,
            Outcome::Failed(_) => stop::FAILED,
        };
        self.failed |= stops & (stop::DEAD | stop::FAILED) != 0;
        if bits & stops != 0 {
            return Next::Stop(outcome);
        }
        // The last backend that was really asked has the last word, before it any that knew groups.
        if !was_dead && self.last != Some(Outcome::Groups) {
            self.last = Some(outcome);
        }
        Next::GoOn
    }

    /// The switch's answer when there is no further backend.
    pub fn last_word(&self) -> Outcome {
        self.last.unwrap_or(Outcome::Dead)
    }
}

/// What END and REWIND come to, which every backend is told: good if one of them succeeds. `before`
/// is what those before it came to; it begins with [`Outcome::Dead`].
pub fn any_of(before: Outcome, outcome: Outcome) -> Outcome {
    match (before, outcome) {
        (Outcome::Done, _) | (_, Outcome::Dead) => before,
        _ => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Dead, Done, Failed, Found, Groups, NeedsWorker, NotFound, Pending};

    /// What a switch of these backends says: bits, what the backend says, and whether it had failed
    /// before.
    fn asked(merges: bool, backends: &[(u8, Outcome, bool)]) -> (Outcome, bool) {
        let mut progress = Progress::default();
        for (bits, outcome, was_dead) in backends {
            if let Next::Stop(outcome) = progress.take(*outcome, *bits, *was_dead, merges) {
                return (outcome, progress.has_failed());
            }
        }
        (progress.last_word(), progress.has_failed())
    }

    #[test]
    fn what_was_found_ends_the_search_whatever_the_bits_say() {
        for outcome in [Done, Found, Groups, Pending, NeedsWorker] {
            for bits in 0..8 {
                assert_eq!(asked(false, &[(bits, outcome, false)]), (outcome, false));
            }
        }
    }

    #[test]
    fn each_bit_stops_at_one_kind_of_answer() {
        let kinds = [(Dead, 1), (Failed(5), 2), (NotFound, 4)];
        for (outcome, its_bit) in kinds {
            for bits in 0..8 {
                let then = if bits & its_bit == 0 { Found } else { outcome };
                let said = asked(false, &[(bits, outcome, false), (0, Found, false)]);
                assert_eq!(said, (then, outcome != NotFound), "{bits} {outcome:?}");
            }
        }
    }

    #[test]
    fn the_last_that_was_really_asked_has_the_last_word() {
        let first = (0, Failed(13), false);
        assert_eq!(asked(false, &[first, (0, NotFound, false)]).0, NotFound);
        // One that had failed before was not asked, one that fails now was.
        assert_eq!(asked(false, &[first, (0, Dead, true)]).0, Failed(13));
        assert_eq!(asked(false, &[first, (0, Dead, false)]).0, Dead);
        assert_eq!(asked(false, &[(0, Dead, true), (0, Dead, true)]).0, Dead);
    }

    #[test]
    fn a_failure_that_was_passed_over_is_remembered() {
        assert!(asked(false, &[(0, Failed(5), false), (0, NotFound, false)]).1);
        assert!(asked(false, &[(0, Dead, true), (0, Found, false)]).1);
        assert!(!asked(false, &[(0, NotFound, false), (0, NotFound, false)]).1);
    }

    #[test]
    fn a_merge_asks_all_and_any_that_knew_groups_wins() {
        let groups = (7, Groups, false);
        assert_eq!(asked(true, &[groups, (0, NotFound, false)]), (Groups, false));
        assert_eq!(asked(true, &[(0, NotFound, false), groups, (0, Dead, false)]), (Groups, true));
        assert_eq!(asked(true, &[groups, (2, Failed(5), false)]), (Failed(5), true));
        assert_eq!(asked(true, &[groups, (0, Failed(5), false)]), (Groups, true));
    }

    #[test]
    fn what_all_are_told_is_good_if_one_succeeds() {
        let told = |outcomes: &[Outcome]| outcomes.iter().fold(Dead, |all, one| any_of(all, *one));
        assert_eq!(told(&[Failed(2), Done, Failed(3)]), Done);
        assert_eq!(told(&[Failed(2), Dead, Failed(3)]), Failed(3));
        assert_eq!(told(&[Dead, Dead]), Dead);
    }
}
