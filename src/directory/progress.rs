//! Tells how far long work has come, where somebody looks on.

use super::folder::Folder;
use crate::sys::clock::millis;
use crate::sys::message::Message;
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use rustix::io::write;
use rustix::stdio::stderr;
use std::io::IsTerminal;

/// Nothing is told of work that is done before.
const PATIENCE: u64 = 1000;

/// Milliseconds between two words.
const PAUSE: u64 = 200;

/// How far the work on one file has come.
pub struct Progress {
    /// `None`: nobody looks on.
    name: Option<Vec<u8>>,
    next: u64,
    told: bool,
}

impl Progress {
    /// Of work on a file, which begins; told on standard error if that is a terminal.
    pub fn new(folder: &Folder, name: &[u8]) -> Self {
        let is_seen = std::io::stderr().is_terminal();
        let name = is_seen.then(|| folder.path_of(name));
        Progress { name, next: millis() + PATIENCE, told: false }
    }

    /// Of work that nobody looks at.
    pub fn silent() -> Self {
        Progress { name: None, next: 0, told: false }
    }

    /// So much of all of it is done.
    pub fn at(&mut self, what: &str, done: u64, all: u64) {
        let Some(name) = &self.name else { return };
        let now = millis();
        if now < self.next {
            return;
        }
        let mut room = [0; DECIMAL_MAX];
        let share = write_decimal(done.saturating_mul(100) / all.max(1), &mut room);
        // To the beginning of the line; behind it, what was there before is removed.
        let line = [b"\r", &name[..], b": ", what.as_bytes(), b" ", share, b" %\x1b[K"].concat();
        let _ = write(stderr(), &line);
        (self.next, self.told) = (now + PAUSE, true);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.told {
            let _ = write(stderr(), b"\r\x1b[K");
        }
    }
}

/// A warning of nsscache, which waits until it can be written.
pub fn warn(tell: impl FnOnce(&mut Message)) {
    let mut message = Message::warning("nsscache");
    tell(&mut message);
    message.send_waiting();
}
