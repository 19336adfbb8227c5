//! Ages: colours by them, and vsv's words for them.

use rustix::termios::isatty;
use std::io::stdout;

/// Whether standard output is a terminal.
pub fn is_terminal() -> bool {
    isatty(stdout())
}

/// Whether standard output gets colours: a terminal does, unless NO_COLOR says otherwise
/// (no-color.org: any value that is not empty).
pub fn colours() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    is_terminal() && !is_set("NO_COLOR") && !dumb
}

/// A colour or a style of terminals, by its SGR number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub &'static str);

impl Colour {
    /// As text is.
    pub const NONE: Colour = Colour("");
    /// Bold.
    pub const BOLD: Colour = Colour("1");
    /// Faint.
    pub const DIM: Colour = Colour("2");
    /// Trouble, and less than 5 s.
    pub const RED: Colour = Colour("31");
    /// Well.
    pub const GREEN: Colour = Colour("32");
    /// Less than 30 s.
    pub const YELLOW: Colour = Colour("33");
    /// A pid.
    pub const MAGENTA: Colour = Colour("35");
    /// What is done.
    pub const CYAN: Colour = Colour("36");

    /// Of an age in seconds; `old` is that of the old.
    pub fn of_age(seconds: u64, old: Colour) -> Self {
        match seconds {
            0..5 => Colour::RED,
            5..30 => Colour::YELLOW,
            _ => old,
        }
    }

    /// Adds `text` in this colour.
    pub fn paint(self, out: &mut Vec<u8>, on: bool, text: &[u8]) {
        let on = on && !self.0.is_empty();
        if on {
            out.extend_from_slice(b"\x1b[");
            out.extend_from_slice(self.0.as_bytes());
            out.push(b'm');
        }
        out.extend_from_slice(text);
        if on {
            out.extend_from_slice(b"\x1b[0m");
        }
    }
}

/// `3 minutes`, as vsv has it: whole units of the largest that fits.
pub fn in_words(seconds: u64) -> String {
    const UNITS: [(u64, &str); 7] = [
        (365 * 24 * 3600, "year"),
        (30 * 24 * 3600, "month"),
        (7 * 24 * 3600, "week"),
        (24 * 3600, "day"),
        (3600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let unit = UNITS.iter().find(|(size, _)| seconds >= *size);
    let (size, name) = unit.copied().unwrap_or((1, "second"));
    let count = seconds / size;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_words() {
        for (seconds, words) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (7199, "1 hour"),
            (3 * 86400, "3 days"),
            (7 * 86400, "1 week"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(in_words(seconds), words);
        }
    }

    #[test]
    fn the_youngest_are_red_and_the_young_yellow() {
        for (age, colour) in
            [(0, Colour::RED), (4, Colour::RED), (5, Colour::YELLOW), (29, Colour::YELLOW)]
        {
            assert_eq!(Colour::of_age(age, Colour::DIM), colour);
        }
        assert_eq!(Colour::of_age(30, Colour::DIM), Colour::DIM);
    }
}
