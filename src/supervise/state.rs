//! The state of a service, whatever family its supervisor is of.

use nssproto::supervise::{Stamp, Status, daemontools, encore, runit, s6};

/// A family of supervisors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// runit.
    Runit,
    /// daemontools.
    Daemontools,
    /// daemontools-encore.
    Encore,
    /// s6.
    S6,
}

impl Family {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Family::Runit => "runit",
            Family::Daemontools => "daemontools",
            Family::Encore => "encore",
            Family::S6 => "s6",
        }
    }

    /// The program that supervises a service.
    pub fn supervisor(self) -> &'static str {
        match self {
            Family::Runit => "runsv",
            Family::Daemontools | Family::Encore => "supervise",
            Family::S6 => "s6-supervise",
        }
    }

    /// What is wanted of a service that was asked to run once, while it does.
    pub fn wants_once(self) -> Want {
        match self {
            Family::Runit | Family::S6 => Want::Down,
            Family::Daemontools | Family::Encore => Want::Nothing,
        }
    }
}

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing.
    Down,
    /// The service.
    Run,
    /// What cleans up behind it: `finish`, encore's `stop`.
    Finish,
    /// A number that runsv does not write.
    Unknown,
}

impl Phase {
    /// runit's word; there is none for the unknown.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Phase::Down => Some("down"),
            Phase::Run => Some("run"),
            Phase::Finish => Some("finish"),
            Phase::Unknown => None,
        }
    }
}

/// What is wanted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// That it runs.
    Up,
    /// That it does not.
    Down,
    /// Neither: it is not started again, nor stopped.
    Nothing,
}

impl Want {
    fn of(byte: u8) -> Self {
        match byte {
            b'u' => Want::Up,
            b'd' => Want::Down,
            _ => Want::Nothing,
        }
    }
}

/// What only some families tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// Nothing more.
    None,
    /// What encore's svstat calls the state.
    Encore(&'static str),
    /// s6's.
    S6(s6::Status),
}

/// The state of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Whose supervisor wrote it.
    pub family: Family,
    /// Since when, without leap seconds.
    pub since: Stamp,
    /// 0: no process.
    pub pid: u32,
    /// What runs.
    pub phase: Phase,
    /// STOP was sent.
    pub paused: bool,
    /// What is wanted.
    pub want: Want,
    /// TERM was sent, and it lives.
    pub got_term: bool,
    /// What else its family tells.
    pub more: More,
}

/// The state that a status file tells, and that of the log service if it is in the same file.
pub fn of(status: &Status) -> (State, Option<State>) {
    match status {
        Status::Runit(status) => (of_runit(status), None),
        Status::Daemontools(status) => (of_front(Family::Daemontools, status), None),
        Status::Encore { main, log } => (of_encore(main), log.as_ref().map(of_encore)),
        Status::S6(status) => (of_s6(status), None),
    }
}

/// What the files of three families begin with.
fn of_front(family: Family, front: &daemontools::Status) -> State {
    State {
        family,
        since: front.stamp,
        pid: front.pid,
        phase: if front.pid == 0 { Phase::Down } else { Phase::Run },
        paused: front.paused != 0,
        want: Want::of(front.want),
        got_term: false,
        more: More::None,
    }
}

fn of_runit(status: &runit::Status) -> State {
    State {
        phase: match status.state {
            runit::DOWN => Phase::Down,
            runit::RUN => Phase::Run,
            runit::FINISH => Phase::Finish,
            _ => Phase::Unknown,
        },
        got_term: status.got_term != 0,
        ..of_front(Family::Runit, &status.front)
    }
}

fn of_encore(status: &encore::Status) -> State {
    let front = of_front(Family::Encore, &status.front);
    State {
        phase: match status.state {
            // The script `stop` runs once the service is stopped.
            encore::STOPPED if front.phase == Phase::Run => Phase::Finish,
            _ => front.phase,
        },
        got_term: status.state == encore::STOPPING && status.front.pid != 0,
        more: More::Encore(status.word()),
        ..front
    }
}

fn of_s6(status: &s6::Status) -> State {
    State {
        family: Family::S6,
        since: status.since(),
        // No process has a larger one.
        pid: u32::try_from(status.pid).unwrap_or(u32::MAX),
        phase: match status.pid {
            0 => Phase::Down,
            _ if status.has(s6::FINISHING) => Phase::Finish,
            _ => Phase::Run,
        },
        paused: status.has(s6::PAUSED) && status.pid != 0,
        want: if status.has(s6::WANT_UP) { Want::Up } else { Want::Down },
        got_term: false,
        more: More::S6(*status),
    }
}

impl State {
    /// What is not as it is by itself, or is to be otherwise, as runit's sv and daemontools' svstat say it.
    pub fn asides(&self, normally_up: bool) -> impl Iterator<Item = &'static str> {
        let up = self.pid != 0;
        let words = [
            (up && !normally_up, ", normally down"),
            (!up && normally_up, ", normally up"),
            (up && self.paused, ", paused"),
            (!up && self.want == Want::Up, ", want up"),
            (up && self.want == Want::Down, ", want down"),
        ];
        words.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word)
    }

    /// Seconds since it changed last. A stamp in the future, as of a machine whose clock was set
    /// back, is 0.
    pub fn age(&self, now: Stamp) -> u64 {
        now.label.saturating_sub(self.since.label)
    }
}
