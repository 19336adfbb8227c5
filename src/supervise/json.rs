//! Services as JSON: an object a line, with the keys of A. J. Díaz's Python module `supervise` and
//! those that tell what it cannot.

use super::look::Trouble;
use super::report::{Report, Told};
use super::state::{More, Phase, State, Want};
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use nssproto::json::{ESCAPED_MAX, Escaper};
use nssproto::supervise::{Stamp, s6};

/// An object that is being written.
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    /// Its beginning.
    pub fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Object { out, first: true }
    }

    /// Its end.
    pub fn end(self) {
        self.out.push(b'}');
    }

    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        text(self.out, key.as_bytes());
        self.out.push(b':');
        self.out
    }

    /// A string.
    pub fn text(&mut self, key: &str, value: &[u8]) {
        let out = self.key(key);
        text(out, value);
    }

    /// A string, or null.
    pub fn text_or_null(&mut self, key: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(key, value.as_bytes()),
            None => self.raw(key, b"null"),
        }
    }

    /// A number.
    pub fn number(&mut self, key: &str, value: u64) {
        self.raw(key, write_decimal(value, &mut [0; DECIMAL_MAX]));
    }

    /// A number, or null.
    pub fn number_or_null(&mut self, key: &str, value: Option<u64>) {
        match value {
            Some(value) => self.number(key, value),
            None => self.raw(key, b"null"),
        }
    }

    /// true or false.
    pub fn bool(&mut self, key: &str, value: bool) {
        self.raw(key, if value { b"true" } else { b"false" });
    }

    /// JSON.
    pub fn raw(&mut self, key: &str, json: &[u8]) {
        self.key(key).extend_from_slice(json);
    }

    /// An object.
    pub fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        let mut inner = Object::begin(self.key(key));
        fill(&mut inner);
        inner.end();
    }

    /// A list of objects.
    pub fn objects<T>(&mut self, key: &str, of: &[T], fill: impl Fn(&T, &mut Object<'_>)) {
        let out = self.key(key);
        out.push(b'[');
        for (at, one) in of.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            let mut inner = Object::begin(out);
            fill(one, &mut inner);
            inner.end();
        }
        out.push(b']');
    }

    /// A list of strings.
    pub fn texts(&mut self, key: &str, of: &[Vec<u8>]) {
        let out = self.key(key);
        out.push(b'[');
        for (at, one) in of.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            text(out, one);
        }
        out.push(b']');
    }
}

/// Adds a string with its quotes. What is no UTF-8 is U+FFFD.
fn text(out: &mut Vec<u8>, mut bytes: &[u8]) {
    let (mut escaper, mut room) = (Escaper::default(), [0; 8 * ESCAPED_MAX]);
    out.push(b'"');
    while !bytes.is_empty() {
        let (taken, written) = escaper.feed(bytes, &mut room);
        out.extend_from_slice(room.get(..written).unwrap_or_default());
        bytes = bytes.get(taken..).unwrap_or_default();
    }
    let written = escaper.finish(&mut room);
    out.extend_from_slice(room.get(..written).unwrap_or_default());
    out.push(b'"');
}

/// `status` of the Python module, and its flags.
const DOWN: u64 = 0;
const UP: u64 = 1;
const FINISH: u64 = 2;
const NORMALLY_DOWN: u64 = 0;
const NORMALLY_UP: u64 = 1;
const PAUSED: u64 = 2;
const GOT_TERM: u64 = 0x09;
const WANT_DOWN: u64 = 0x10;
const WANT_UP: u64 = 0x11;

/// The module's `action`: the last of its flags that fits. (Its test for the file `down` is the wrong
/// way round, and is not that here.) `None`: settled.
fn action(state: &State, normally_up: bool) -> Option<u64> {
    let up = state.pid != 0;
    let flags = [
        (up && !normally_up, NORMALLY_DOWN),
        (!up && normally_up, NORMALLY_UP),
        (up && state.paused, PAUSED),
        (!up && state.want == Want::Up, WANT_UP),
        (up && state.want == Want::Down, WANT_DOWN),
        (up && state.got_term, GOT_TERM),
    ];
    flags.iter().rev().find(|(holds, _)| *holds).map(|(_, flag)| *flag)
}

/// A service, without the end of the line: `fill` may add to it.
pub fn report(
    out: &mut Vec<u8>,
    name: &[u8],
    report: &Report,
    now: Stamp,
    fill: impl FnOnce(&mut Object<'_>),
) {
    let mut object = Object::begin(out);
    told(&mut object, name, &report.main, now);
    if let Told::State(..) = report.main {
        match &report.log {
            None => object.raw("log", b"null"),
            Some(log) => {
                let name = [name, b"/log"].concat();
                object.object("log", |object| told(object, &name, log, now));
            }
        }
    }
    fill(&mut object);
    object.end();
}

fn told(object: &mut Object<'_>, name: &[u8], told: &Told, now: Stamp) {
    object.text("service", name);
    match told {
        Told::State(found, normally_up) => state(object, found, *normally_up, now),
        Told::Unsupervised(family) => {
            object.bool("supervised", false);
            object.text("format", family.word().as_bytes());
            object.text("error", format!("{} not running", family.supervisor()).as_bytes());
        }
        Told::Trouble(trouble) => self::trouble(object, trouble),
    }
}

/// What cannot be said.
fn trouble(object: &mut Object<'_>, trouble: &Trouble) {
    let mut words = Vec::new();
    trouble.push(&mut words);
    object.bool("supervised", false);
    object.text("error", &words);
}

fn state(object: &mut Object<'_>, state: &State, normally_up: bool, now: Stamp) {
    object.bool("supervised", true);
    object.text("format", state.family.word().as_bytes());
    object.number(
        "status",
        match state.phase {
            _ if state.pid == 0 => DOWN,
            Phase::Finish => FINISH,
            _ => UP,
        },
    );
    object.text_or_null("state", state.phase.word());
    object.number_or_null("pid", (state.pid != 0).then_some(state.pid.into()));
    object.number("uptime", state.age(now));
    object.number_or_null("action", action(state, normally_up));
    object.bool("paused", state.pid != 0 && state.paused);
    object.text_or_null(
        "want",
        match state.want {
            Want::Up => Some("up"),
            Want::Down => Some("down"),
            Want::Nothing => None,
        },
    );
    object.bool("got_term", state.pid != 0 && state.got_term);
    object.text("normally", if normally_up { b"up" } else { b"down" });
    object.text_or_null("since", date(state.since.unix_seconds()).as_deref());
    if state.since > now {
        object.text("clock", b"skewed");
    }
    match state.more {
        More::None => {}
        More::Encore(word) => object.text("phase", word.as_bytes()),
        More::S6(status) => more_of_s6(object, &status),
    }
}

/// Readiness, how it ended, its process group.
fn more_of_s6(object: &mut Object<'_>, status: &s6::Status) {
    object.bool("ready", status.pid != 0 && status.has(s6::READY));
    if let Some(group) = status.group.filter(|group| *group != 0) {
        object.number("pgid", group);
    }
    let runs = status.pid != 0 && !status.has(s6::FINISHING);
    if !runs && !status.is_unstarted() {
        match status.wait & 0x7f {
            0 => object.number("exit_code", (status.wait >> 8).into()),
            signal => object.number("signal", signal.into()),
        }
    }
}

/// `2026-11-22T03:50:18Z`. `None`: before the epoch, or after the year 9999.
pub fn date(seconds: i64) -> Option<String> {
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds < 253_402_300_800)?;
    let (days, second) = (seconds / 86400, seconds % 86400);
    // Years from March on, in cycles of 400 years: leap days are at the end of one.
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = 400 * cycle + year + u64::from(month >= 10);
    let month = if month < 10 { month + 3 } else { month - 9 };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// A service that nothing is known of but this error.
pub fn error(out: &mut Vec<u8>, name: &[u8], error: &[u8]) {
    let mut object = Object::begin(out);
    object.text("service", name);
    object.bool("supervised", false);
    object.text("error", error);
    object.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_078_012_800, "2004-02-29T00:00:00Z"),
            (1_795_319_418, "2026-11-22T03:50:18Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(date(seconds).as_deref(), Some(text), "{seconds}");
        }
        assert_eq!((date(-1), date(253_402_300_800)), (None, None));
    }

    #[test]
    fn strings_are_escaped() {
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        object.text("a", b"\"\n\xff\\");
        object.texts("b", &[b"x".to_vec(), Vec::new()]);
        object.number_or_null("c", None);
        object.end();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "{\"a\":\"\\\"\\u000a\u{fffd}\\\\\",\"b\":[\"x\",\"\"],\"c\":null}");
    }
}
