//! `--json`: an object a host, in a line.

use super::{Done, Report};
use crate::fleet::escape::unfinished;
use crate::fleet::line::Sink;
use crate::fleet::reason::Reason;
use crate::fleet::screen::Screen;
use crate::fleet::spool::Output;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Whole groups of base64 are made of so many bytes.
const GROUP: usize = 3;

/// What is told.
pub struct Json;

impl Report for Json {
    fn done(&mut self, done: &Done<'_>, screen: &mut Screen) {
        let reason = match &done.reason {
            Reason::Exit(_) => "exit",
            Reason::Signal(_) => "signal",
            Reason::Timeout(_) => "timeout",
            Reason::Unreachable => "unreachable",
            Reason::Interrupted => "interrupted",
            Reason::NotStarted | Reason::Module(_) => "not-started",
        };
        let (exit, signal) = match &done.reason {
            Reason::Exit(code) => (code.to_string(), "null".to_owned()),
            Reason::Signal(signal) => ("null".to_owned(), signal.to_string()),
            _ => ("null".to_owned(), "null".to_owned()),
        };
        screen.put(b"{\"host\":");
        text(done.entry.word.as_bytes(), screen);
        let (seconds, millis) = (done.millis / 1000, done.millis % 1000);
        let middle = format!(
            ",\"status\":\"{}\",\"reason\":\"{reason}\",\"exit\":{exit},\"signal\":{signal},\
             \"seconds\":{seconds}.{millis:03}",
            done.status()
        );
        screen.put(middle.as_bytes());
        let none = Output::new(0);
        let mut word = Output::new(u64::MAX);
        if let Reason::Module(text) = &done.reason {
            word.push(text.as_bytes());
        }
        let out = done.outputs.first().unwrap_or(&none);
        let err = done.outputs.get(1).unwrap_or(&word);
        stream("stdout", out, screen);
        stream("stderr", err, screen);
        if out.is_cut() || err.is_cut() {
            screen.put(b",\"truncated\":true");
        }
        screen.put(b"}\n");
    }
}

/// A member with what a stream had; what is no UTF-8 as base64.
fn stream(name: &str, output: &Output, screen: &mut Screen) {
    let spool = &output.spool;
    let (mut good, mut front) = (true, Vec::new());
    spool.each(&mut |bytes| {
        front.extend_from_slice(bytes);
        let end = front.len() - unfinished(&front);
        good &= std::str::from_utf8(front.get(..end).unwrap_or_default()).is_ok();
        front.drain(..end);
    });
    // A character that the limit has cut is left out.
    if good && (front.is_empty() || output.is_cut()) {
        screen.put(format!(",\"{name}\":\"").as_bytes());
        let mut held = Vec::new();
        spool.each(&mut |bytes| {
            held.extend_from_slice(bytes);
            let end = held.len() - unfinished(&held);
            inside(held.get(..end).unwrap_or_default(), screen);
            held.drain(..end);
        });
    } else {
        screen.put(format!(",\"{name}_b64\":\"").as_bytes());
        let mut held = Vec::new();
        spool.each(&mut |bytes| {
            held.extend_from_slice(bytes);
            let end = held.len() - held.len() % GROUP;
            screen.put(STANDARD.encode(held.get(..end).unwrap_or_default()).as_bytes());
            held.drain(..end);
        });
        screen.put(STANDARD.encode(&held).as_bytes());
    }
    screen.put(b"\"");
}

/// A string.
fn text(bytes: &[u8], screen: &mut Screen) {
    screen.put(b"\"");
    inside(bytes, screen);
    screen.put(b"\"");
}

/// The inside of a string, of valid UTF-8. Control characters are escaped, those of U+0080 to U+009F,
/// too: a terminal obeys them.
fn inside(bytes: &[u8], screen: &mut Screen) {
    let text = str::from_utf8(bytes).unwrap_or_default();
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        if !c.is_control() && c != '"' && c != '\\' {
            continue;
        }
        screen.put(bytes.get(plain..at).unwrap_or_default());
        plain = at + c.len_utf8();
        match c {
            '"' => screen.put(b"\\\""),
            '\\' => screen.put(b"\\\\"),
            '\n' => screen.put(b"\\n"),
            '\r' => screen.put(b"\\r"),
            '\t' => screen.put(b"\\t"),
            _ => screen.put(format!("\\u{:04x}", u32::from(c)).as_bytes()),
        }
    }
    screen.put(bytes.get(plain..).unwrap_or_default());
}
