//! A line on the terminal about a run: how many are done, and who is waited for longest.

use super::screen::Screen;
use crate::sys::clock::{NEVER, millis};

/// Milliseconds before there is a line, and between two.
const FIRST: u64 = 500;
const OFTEN: u64 = 200;

/// The line, where there is one.
pub struct Progress {
    /// When it is written next; [`NEVER`]: nobody sees it.
    next: u64,
}

impl Progress {
    /// None in a pipe, on a terminal that cannot erase a line, or where hosts ask something.
    pub fn new(screen: &Screen, interactive: bool) -> Progress {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let shown = screen.err_is_terminal && !interactive && !dumb;
        Progress { next: if shown { millis() + FIRST } else { NEVER } }
    }

    /// When to look again.
    pub fn due(&self) -> u64 {
        self.next
    }

    /// Writes the line if it is time: done, failed, running and all; the host that runs longest.
    pub fn show(&mut self, screen: &mut Screen, counts: [usize; 4], longest: Option<(&str, u64)>) {
        let now = millis();
        if now < self.next {
            return;
        }
        self.next = now + OFTEN;
        let [done, failed, running, all] = counts;
        let mut text = format!("dt: {done} of {all} done, {failed} failed, {running} running");
        if let Some((host, seconds)) = longest {
            text.push_str(&format!(", longest {host:.40} {seconds} s"));
        }
        screen.status(&text);
    }

    /// Takes it away.
    pub fn end(&self, screen: &mut Screen) {
        if self.next != NEVER {
            screen.status("");
        }
    }
}
