//! Lines as runit's sv prints them.

use super::age::Colour;
use super::report::Told;
use super::state::{Family, Phase, State};
use super::text::push_shown;
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use nssproto::supervise::Stamp;

/// How lines are printed.
#[derive(Clone, Copy)]
pub struct Style {
    /// The time that ages are counted to.
    pub now: Stamp,
    /// With colours.
    pub colours: bool,
}

/// Adds a number.
pub fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(write_decimal(number, &mut [0; DECIMAL_MAX]));
}

/// Adds text of our own.
fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// `run: NAME: (pid 13168) 1s, paused`, without a newline.
pub fn state(out: &mut Vec<u8>, name: &[u8], state: &State, normally_up: bool, style: Style) {
    if let Some(word) = state.phase.word() {
        text(out, word);
        text(out, ": ");
    }
    push_shown(out, name);
    text(out, ": ");
    if state.phase != Phase::Down {
        text(out, "(pid ");
        // runit's is an int that is printed as an unsigned long.
        number(out, i64::from(state.pid as i32) as u64);
        text(out, ") ");
    }
    let age = state.age(style.now);
    let mut seconds = Vec::new();
    number(&mut seconds, age);
    seconds.push(b's');
    Colour::of_age(age, Colour::NONE).paint(out, style.colours, &seconds);
    state.asides(normally_up).for_each(|word| text(out, word));
    if state.pid != 0 && state.got_term {
        text(out, ", got TERM");
    }
}

/// `KIND: NAME: …`, without a newline.
fn about(out: &mut Vec<u8>, kind: &str, name: &[u8]) {
    text(out, kind);
    text(out, ": ");
    push_shown(out, name);
    text(out, ": ");
}

/// `fail: NAME: runsv not running`, without a newline; `ok` where that is what was wanted.
pub fn unsupervised(out: &mut Vec<u8>, name: &[u8], family: Family, wanted: bool) {
    about(out, if wanted { "ok" } else { "fail" }, name);
    text(out, family.supervisor());
    text(out, " not running");
}

/// A service in a line without a newline, called `shown` where it is known and `name` where it is not.
pub fn told(out: &mut Vec<u8>, shown: &[u8], name: &[u8], told: &Told, style: Style) {
    match told {
        Told::State(found, normally_up) => state(out, shown, found, *normally_up, style),
        Told::Unsupervised(family) => unsupervised(out, name, *family, false),
        Told::Trouble(trouble) => {
            about(out, trouble.kind, name);
            trouble.push(out);
        }
    }
}
