//! Lines as svstat prints them, of daemontools, and of daemontools-encore for its services.

use super::find::Service;
use super::lines::number;
use super::look::{Look, is_normally_up, look};
use super::state::{More, State, Want};
use super::text::push_shown;
use nssproto::supervise::Stamp;

/// `NAME: up (pid 465) 2 seconds, paused` and a newline; a line more for a log service that the same
/// supervisor runs.
pub fn line(out: &mut Vec<u8>, service: &Service, now: Stamp) {
    push_shown(out, &service.name);
    out.extend_from_slice(b": ");
    match look(service) {
        Look::Seen(state, log) => match is_normally_up(service) {
            Ok(normally_up) => {
                push(out, &state, normally_up, now);
                if let Some(log) = log {
                    out.push(b'\n');
                    push_shown(out, &service.name);
                    out.extend_from_slice(b" log: ");
                    push(out, &log, normally_up, now);
                }
            }
            Err(trouble) => trouble.push(out),
        },
        Look::Unsupervised(family) => {
            out.extend_from_slice(family.supervisor().as_bytes());
            out.extend_from_slice(b" not running");
        }
        Look::Trouble(trouble) if trouble.kind == "fail" => match service.unreachable() {
            Some(errno) => {
                out.extend_from_slice(b"unable to chdir: ");
                out.extend_from_slice(&super::text::errno(errno));
            }
            None => trouble.push(out),
        },
        Look::Trouble(trouble) => trouble.push(out),
    }
    out.push(b'\n');
}

fn push(out: &mut Vec<u8>, state: &State, normally_up: bool, now: Stamp) {
    let mut text = |word: &str| out.extend_from_slice(word.as_bytes());
    let up = state.pid != 0;
    text(if up { "up (pid " } else { "down " });
    if up {
        number(out, state.pid.into());
        out.extend_from_slice(b") ");
    }
    number(out, state.age(now));
    let mut text = |word: &str| out.extend_from_slice(word.as_bytes());
    text(" seconds");
    state.asides(normally_up).for_each(&mut text);
    if let More::Encore(word) = state.more {
        if up && state.want == Want::Nothing {
            text(", once");
        }
        text(", ");
        text(word);
    }
}
