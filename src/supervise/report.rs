//! What `status` tells of a service: its state, and its log service's.

use super::find::Service;
use super::look::{Look, Trouble, is_normally_up, look};
use super::state::{Family, State};
use rustix::fs::FileType;
use rustix::io::Errno;

/// A service, or its log service.
pub enum Told {
    /// Its state, and whether it is started with its supervisor.
    State(State, bool),
    /// Its supervisor does not run.
    Unsupervised(Family),
    /// It cannot be said.
    Trouble(Trouble),
}

/// A service with its log service.
pub struct Report {
    /// The service.
    pub main: Told,
    /// Its log service, if there is one. It is not looked at where the service itself is not known.
    pub log: Option<Told>,
}

/// Looks at a service, and at its log service.
pub fn report(service: &Service) -> Report {
    let (state, log) = match look(service) {
        Look::Seen(state, log) => (state, log),
        other => return Report { main: told(service, other), log: None },
    };
    let main = told(service, Look::Seen(state, None));
    let log = match (log, service.kind("log")) {
        // encore has one file `down` for both.
        (Some(log), _) => Some(told(service, Look::Seen(log, None))),
        (None, Err(Errno::NOENT)) => None,
        // There, it is a program, which is run if it can be.
        (None, Ok(kind)) if state.family == Family::Encore && kind != FileType::Directory => None,
        (None, Ok(FileType::Directory)) => {
            let log = service.log();
            let seen = look(&log);
            Some(told(&log, seen))
        }
        (None, odd) => {
            let what = "unable to change directory";
            let errno = odd.err().unwrap_or(Errno::NOTDIR);
            Some(Told::Trouble(Trouble::warning(what, errno)))
        }
    };
    Report { main, log }
}

fn told(service: &Service, look: Look) -> Told {
    match look {
        Look::Seen(state, _) => match is_normally_up(service) {
            Ok(normally_up) => Told::State(state, normally_up),
            Err(trouble) => Told::Trouble(trouble),
        },
        Look::Unsupervised(family) => Told::Unsupervised(family),
        Look::Trouble(trouble) => Told::Trouble(trouble),
    }
}

/// A service alone.
pub fn report_main(service: &Service) -> Told {
    told(service, look(service))
}
