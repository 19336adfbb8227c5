//! The command words of runit's sv, and the bytes that they are to each family's supervisor.

use super::state::Family;

/// What a word does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Tells the state.
    Status,
    /// Waits until the service is as it is wanted.
    Check,
    /// Sends bytes.
    Control,
    /// Takes `down` away.
    Enable,
    /// Makes `down`.
    Disable,
}

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// What it does.
    pub action: Action,
    /// runit's bytes; what is waited for goes by them, too. `C`: by what is wanted.
    pub letters: &'static str,
    /// It waits, whether `-v` says so or not.
    pub waits: bool,
    /// KILL is sent at the end of the wait.
    pub kills: bool,
}

/// Whole words, which win over first letters.
const WORDS: &[(&str, Command)] = &[
    ("check", command(Action::Check, "C", true, false)),
    ("disable", command(Action::Disable, "d", false, false)),
    ("enable", command(Action::Enable, "u", false, false)),
    ("force-reload", command(Action::Control, "tc", true, true)),
    ("force-restart", command(Action::Control, "tcu", true, true)),
    ("force-shutdown", command(Action::Control, "x", true, true)),
    ("force-stop", command(Action::Control, "d", true, true)),
    ("reload", command(Action::Control, "h", true, false)),
    ("restart", command(Action::Control, "tcu", true, false)),
    ("shutdown", command(Action::Control, "x", true, false)),
    ("start", command(Action::Control, "u", true, false)),
    ("stop", command(Action::Control, "d", true, false)),
    ("try-restart", command(Action::Control, "tc", true, false)),
];

/// By the first letter of a word, whatever follows.
const LETTERS: &[(u8, Command)] = &[
    (b'1', command(Action::Control, "1", false, false)),
    (b'2', command(Action::Control, "2", false, false)),
    (b'D', command(Action::Control, "d", true, true)),
    (b'E', command(Action::Control, "x", true, true)),
    (b'T', command(Action::Control, "tc", true, true)),
    (b'X', command(Action::Control, "x", true, true)),
    (b'a', command(Action::Control, "a", false, false)),
    (b'c', command(Action::Control, "c", false, false)),
    (b'd', command(Action::Control, "d", false, false)),
    (b'e', command(Action::Control, "x", false, false)),
    (b'h', command(Action::Control, "h", false, false)),
    (b'i', command(Action::Control, "i", false, false)),
    (b'k', command(Action::Control, "k", false, false)),
    (b'o', command(Action::Control, "o", false, false)),
    (b'p', command(Action::Control, "p", false, false)),
    (b'q', command(Action::Control, "q", false, false)),
    (b's', command(Action::Status, "s", false, false)),
    (b't', command(Action::Control, "t", false, false)),
    (b'u', command(Action::Control, "u", false, false)),
    (b'x', command(Action::Control, "x", false, false)),
];

const fn command(action: Action, letters: &'static str, waits: bool, kills: bool) -> Command {
    Command { action, letters, waits, kills }
}

impl Command {
    /// The command of a word, by runit's rules; `None`: there is none.
    pub fn of(word: &[u8]) -> Option<Self> {
        if let Some((_, command)) = WORDS.iter().find(|(whole, _)| whole.as_bytes() == word) {
            return Some(*command);
        }
        let first = word.first()?;
        LETTERS.iter().find(|(letter, _)| letter == first).map(|(_, command)| *command)
    }

    /// The same where sv is called by the name of a service: there `status` is a whole word.
    pub fn of_script(word: &[u8]) -> Option<Self> {
        Command::of(word).filter(|found| found.action != Action::Status || word == b"status")
    }

    /// Whether the supervisor ends.
    pub fn is_exit(&self) -> bool {
        self.letters == "x"
    }

    /// The bytes for a supervisor of this family; the letter that it has not.
    ///
    /// Both daemontools and s6-supervise only end once the service is down, so exit also asks for
    /// that; s6 has a byte for restart, which sends the signal that the service ends by.
    pub fn bytes(&self, family: Family) -> Result<&'static str, char> {
        let bytes = match (family, self.letters) {
            (Family::Runit, letters) => letters,
            (_, "x") => "dx",
            (Family::S6, "tcu") => "ru",
            (Family::S6, "tc") => "r",
            (_, letters) => letters,
        };
        match bytes.chars().find(|letter| !has(family, *letter)) {
            Some(letter) => Err(letter),
            None => Ok(bytes),
        }
    }
}

fn has(family: Family, letter: char) -> bool {
    let letters = match family {
        Family::Runit => "udoxtkpchaiq12",
        Family::Daemontools => "udopchaitkx",
        Family::Encore => "udopchaitkxq12",
        // Those of 2.2 on.
        Family::S6 => "abqhkti12pcyroduDUxOQ",
    };
    letters.contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_win_over_first_letters() {
        let letters = |word: &str| Command::of(word.as_bytes()).map(|command| command.letters);
        for (word, want) in [
            ("up", Some("u")),
            ("ustart", Some("u")),
            ("restart", Some("tcu")),
            ("restarts", None),
            ("force", None),
            ("check", Some("C")),
            ("checks", Some("c")),
            ("term", Some("t")),
            ("try-restart", Some("tc")),
            ("T", Some("tc")),
            ("exit", Some("x")),
            ("status", Some("s")),
            ("sss", Some("s")),
            ("C", None),
            ("K", None),
            ("U", None),
            ("", None),
        ] {
            assert_eq!(letters(word), want, "{word}");
        }
        assert_eq!(Command::of(b"enable").unwrap().action, Action::Enable);
        assert_eq!(Command::of(b"enabled").unwrap().letters, "x");
        assert!(Command::of_script(b"s").is_none() && Command::of_script(b"status").is_some());
    }

    #[test]
    fn no_family_gets_a_letter_that_it_has_not() {
        let bytes = |word: &str, family| Command::of(word.as_bytes()).unwrap().bytes(family);
        assert_eq!(bytes("exit", Family::Runit), Ok("x"));
        assert_eq!(bytes("exit", Family::S6), Ok("dx"));
        assert_eq!(bytes("restart", Family::S6), Ok("ru"));
        assert_eq!(bytes("restart", Family::Daemontools), Ok("tcu"));
        assert_eq!(bytes("quit", Family::Daemontools), Err('q'));
        assert_eq!(bytes("1", Family::Daemontools), Err('1'));
        assert_eq!(bytes("quit", Family::Encore), Ok("q"));
    }

    #[test]
    fn the_lists_are_sorted() {
        assert!(WORDS.is_sorted_by_key(|(word, _)| word));
        assert!(LETTERS.is_sorted_by_key(|(letter, _)| letter));
    }
}
