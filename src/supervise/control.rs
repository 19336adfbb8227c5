//! Commands: sent to a supervisor, and seen to be done.

use super::command::Command;
use super::find::Service;
use super::look::{Fifo, Look, Trouble, look, open_fifo};
use super::state::{Family, Phase, State, Want};
use super::text;
use crate::sys::clock::millis;
use crate::sys::message::Message;
use nssproto::supervise::Stamp;
use rustix::io::{Errno, retry_on_intr, write};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command as Program, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// What became of it.
pub enum Sent {
    /// Its supervisor has the bytes, or needed none.
    Yes,
    /// There is none. (Of this family there was one.)
    Unsupervised(Family),
    /// It was not sent.
    Trouble(Trouble),
}

const CONTROL: &str = "unable to open supervise/control";
const WRITE: &str = "unable to write to supervise/control";

/// Sends a command, unless the service is wanted so already.
pub fn send(service: &Service, command: &Command) -> Sent {
    let state = match look(service) {
        Look::Seen(state, _) => state,
        Look::Unsupervised(family) => return Sent::Unsupervised(family),
        Look::Trouble(trouble) => return Sent::Trouble(trouble),
    };
    let wanted = match command.letters {
        "u" => state.want == Want::Up,
        // TERM is sent once more if it was not.
        "d" => state.want == Want::Down && state.got_term,
        _ => false,
    };
    if wanted {
        return Sent::Yes;
    }
    match command.bytes(state.family) {
        Ok(bytes) => send_bytes(service, state.family, bytes.as_bytes()),
        Err(_) => {
            let what = "unable to control";
            let why = match state.family {
                Family::Daemontools => "daemontools has no such command",
                _ => "its supervisor has no such command",
            };
            Sent::Trouble(Trouble::refusal(what, why))
        }
    }
}

/// Sends KILL.
pub fn kill(service: &Service) -> Sent {
    match look(service) {
        Look::Seen(state, _) => send_bytes(service, state.family, b"k"),
        Look::Unsupervised(family) => Sent::Unsupervised(family),
        Look::Trouble(trouble) => Sent::Trouble(trouble),
    }
}

/// Few bytes are written whole or not at all, and at once.
fn send_bytes(service: &Service, family: Family, bytes: &[u8]) -> Sent {
    let control = match open_fifo(service, "supervise/control") {
        Ok(control) => control,
        Err(Fifo::NobodyReads) => return Sent::Unsupervised(family),
        Err(Fifo::Other) => return Sent::Trouble(Trouble::odd(CONTROL, "not a fifo")),
        Err(Fifo::Failed(errno)) => return Sent::Trouble(Trouble::warning(CONTROL, errno)),
    };
    match retry_on_intr(|| write(&control, bytes)) {
        Ok(len) if len == bytes.len() => Sent::Yes,
        Ok(_) => Sent::Trouble(Trouble::warning(WRITE, Errno::AGAIN)),
        Err(errno) => Sent::Trouble(Trouble::warning(WRITE, errno)),
    }
}

/// Whether a service is as the command wanted it: by runit's conditions, one for each byte. Only that
/// a stamp is from after the start of sv is looked at by nanoseconds, where runit takes a process of
/// the same second for a new one. `until`: how long its script `check` may take, on the clock of
/// deadlines.
pub fn is_done(
    service: &Service,
    command: &Command,
    state: &State,
    start: Stamp,
    until: u64,
) -> bool {
    let up = state.pid != 0;
    let is_new = state.since >= start;
    let check = || passes_check(service, until);
    command.letters.bytes().all(|letter| {
        let letter = match letter {
            b'C' if state.want == Want::Down => b'd',
            b'C' => b'u',
            letter => letter,
        };
        match letter {
            // Its supervisor lives.
            b'x' => false,
            b'u' => up && state.phase == Phase::Run && check(),
            b'd' => !up && state.phase == Phase::Down,
            b't' | b'k' if !up && state.want == Want::Down => true,
            b't' | b'k' => {
                up && is_new && state.phase != Phase::Finish && !state.got_term && check()
            }
            b'o' => {
                if up {
                    state.want == state.family.wants_once()
                } else {
                    is_new
                }
            }
            b'p' => !up || state.paused,
            b'c' => !up || !state.paused,
            _ => true,
        }
    })
}

/// Runs `./check` of the service, if there is one. One that cannot be run is told of and says
/// nothing, as in runit. One that is not done in time is ended.
fn passes_check(service: &Service, until: u64) -> bool {
    match service.kind("check") {
        Err(Errno::NOENT) => return true,
        Err(errno) => {
            warn(service, "unable to stat ", errno);
            return false;
        }
        Ok(_) => {}
    }
    let directory = service.directory();
    let mut program = Program::new("./check");
    program.current_dir(OsStr::from_bytes(&directory));
    // What it says is for nobody, and standard input may be a client's.
    program.stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = match program.spawn() {
        Ok(child) => child,
        Err(error) => {
            let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
            warn(service, "unable to run ", errno);
            return true;
        }
    };
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if millis() < until => sleep(Duration::from_millis(5)),
            // Nobody knows how it ends.
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

/// `warning: WHAT SERVICE/check: WHY` on standard error.
fn warn(service: &Service, what: &str, errno: Errno) {
    let mut message = Message::warning("sv");
    message.text(what).path(&service.name).text("/check: ").path(&text::errno(errno)).send();
}
