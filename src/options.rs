//! Command lines as getopt(3) reads them.
//!
//! pico-args, which reads nssbox's own, looks for an option anywhere, and knows neither `-1vc100`
//! nor "the last of two wins". Here options end at the first other word; what follows is a program
//! or a script, and taken word for word.
//!
//! An option is a letter. Where a long one alone is told of, its letter is a capital one that nobody
//! writes. `--help` and `--version` are errors here, of every applet: its row of the table answers.

use crate::sys::error::{Error, Hint};
use nssproto::bytes::decimal_u64;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Which options an applet has.
pub struct Spec {
    /// Letters that stand alone.
    pub flags: &'static str,
    /// Letters that take a value, joined or as the next word. Of several the last one counts. One that
    /// may stand alone, too, takes a joined one only.
    pub values: &'static str,
    /// Letters behind one that takes them back: in `qQv`, `-q` does so with `-Q` and `-v` before it.
    pub cancels: &'static [&'static str],
    /// Long options, `--` included, that are another way to write a letter.
    pub alias: &'static [(&'static str, u8)],
}

impl Spec {
    /// No options at all; to be filled in.
    pub const NONE: Spec = Spec { flags: "", values: "", cancels: &[], alias: &[] };
}

/// The options of a command line, which has been found good. Each question reads it again.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    spec: &'a Spec,
    args: &'a [OsString],
    /// What follows them.
    pub rest: &'a [OsString],
    /// They ended with `--`.
    pub closed: bool,
}

/// An option that was given.
struct Given<'a> {
    letter: u8,
    /// Its value.
    word: &'a [u8],
}

impl Spec {
    /// Cuts the options off `args`: they end at the first other word or at `--`. Errors are usage
    /// errors: an unknown option, a missing value. Whatever is wrong, `--help` is heard.
    pub fn split<'a>(&'a self, args: &'a [OsString]) -> Result<Options<'a>, Error> {
        let is_option = |word: &&OsString| word.as_bytes().starts_with(b"-") && *word != "--";
        for word in args.iter().take_while(is_option).map(|word| word.as_bytes()) {
            if hint(word) != Hint::SeeHelp {
                return Err(unknown(word));
            }
        }
        let mut walk = Walk { spec: self, rest: args, letters: &[], closed: false };
        for given in walk.by_ref() {
            given?;
        }
        Ok(Options { spec: self, args, rest: walk.rest, closed: walk.closed })
    }

    /// The letter that a long option stands for, and its value if it has one joined to it.
    fn aliased<'a>(&self, word: &'a [u8]) -> Option<(u8, &'a [u8])> {
        let end = word.iter().position(|b| *b == b'=').unwrap_or(word.len());
        let (name, value) = word.split_at_checked(end)?;
        let letter = self.letter_of(name)?;
        match value {
            [] => Some((letter, value)),
            [_, value @ ..] if !value.is_empty() && has(self.values, letter) => {
                Some((letter, value))
            }
            _ => None,
        }
    }

    /// The letter of a long option, which may be cut short as long as it is like no other.
    fn letter_of(&self, name: &[u8]) -> Option<u8> {
        if let Some((_, letter)) = self.alias.iter().find(|(long, _)| long.as_bytes() == name) {
            return Some(*letter);
        }
        let mut found = None;
        for (long, letter) in self.alias {
            if name.len() > 2 && long.as_bytes().starts_with(name) {
                if found.is_some_and(|other| other != *letter) {
                    return None;
                }
                found = Some(*letter);
            }
        }
        found
    }

    /// `args` with all options in front of the other words, and `--` between them: as getopt_long(3)
    /// of glibc sorts them. Errors are those of [`Spec::split`].
    pub fn gather(&self, args: &[OsString]) -> Result<Vec<OsString>, Error> {
        let (mut options, mut words, mut rest) = (Vec::new(), vec!["--".into()], args);
        while !rest.is_empty() {
            let given = self.split(rest)?;
            let taken = rest.len() - given.rest.len() - usize::from(given.closed);
            options.extend_from_slice(rest.get(..taken).unwrap_or_default());
            let here = if given.closed { given.rest.len() } else { given.rest.len().min(1) };
            let (found, behind) = given.rest.split_at_checked(here).unwrap_or_default();
            words.extend_from_slice(found);
            rest = behind;
        }
        options.append(&mut words);
        Ok(options)
    }
}

fn has(letters: &str, letter: u8) -> bool {
    letters.as_bytes().contains(&letter)
}

fn unknown(option: &[u8]) -> Error {
    let error = Error::options("unknown option").about(OsStr::from_bytes(option));
    error.with_hint(hint(option))
}

/// What asks for something in every applet, whatever its list has.
const HINTS: [(&str, Hint); 5] = [
    ("--help", Hint::Help),
    ("--usage", Hint::Help),
    ("-?", Hint::Help),
    ("--version", Hint::Version),
    ("-V", Hint::Version),
];

fn hint(option: &[u8]) -> Hint {
    let found = HINTS.iter().find(|(word, _)| word.as_bytes() == option);
    found.map_or(Hint::SeeHelp, |(_, hint)| *hint)
}

fn about(what: &'static str, letter: u8) -> Error {
    Error::options(what).about(OsStr::from_bytes(&[b'-', letter]))
}

/// Goes through the options in front of a command line. An error is the last thing it has.
struct Walk<'a> {
    spec: &'a Spec,
    rest: &'a [OsString],
    /// Of the word in front of `rest`.
    letters: &'a [u8],
    closed: bool,
}

impl<'a> Walk<'a> {
    /// Takes an option. If it has a value that is `joined` or else the next word.
    fn take(&mut self, letter: u8, joined: &'a [u8]) -> Result<Given<'a>, Error> {
        let (mut word, mut left) = (&b""[..], joined);
        if has(self.spec.values, letter) && !(joined.is_empty() && has(self.spec.flags, letter)) {
            (word, left) = (joined, b"");
            if joined.is_empty() {
                let [next, behind @ ..] = self.rest else {
                    return Err(about("missing value of option", letter));
                };
                (word, self.rest) = (next.as_bytes(), behind);
            }
        } else if !has(self.spec.flags, letter) {
            return Err(unknown(&[b'-', letter]));
        }
        self.letters = left;
        Ok(Given { letter, word })
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Given<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.letters.is_empty() {
            let (word, behind) = self.rest.split_first()?;
            let letters = word.as_bytes().strip_prefix(b"-").filter(|rest| !rest.is_empty())?;
            self.rest = behind;
            if word == "--" {
                self.closed = true;
                return None;
            }
            let word = word.as_bytes();
            if let Some((letter, value)) = self.spec.aliased(word) {
                return Some(self.take(letter, value));
            }
            if letters.starts_with(b"-") {
                return Some(Err(unknown(word)));
            }
            self.letters = letters;
        }
        let (letter, joined) = self.letters.split_first()?;
        Some(self.take(*letter, joined))
    }
}

impl<'a> Options<'a> {
    /// Each option, in order.
    fn given(&self) -> impl Iterator<Item = Given<'a>> + use<'a> {
        Walk { spec: self.spec, rest: self.args, letters: &[], closed: false }.flatten()
    }

    /// The value of an option, unless it was taken back.
    pub fn word(&self, letter: u8) -> Option<&'a OsStr> {
        let mut found = None;
        for given in self.given() {
            let by = |c: &&str| c.as_bytes().first() == Some(&given.letter) && has(c, letter);
            if given.letter == letter {
                found = Some(OsStr::from_bytes(given.word));
            } else if self.spec.cancels.iter().any(by) {
                found = None;
            }
        }
        found
    }

    /// The values of an option of which each one counts.
    pub fn words(&self, letter: u8) -> Vec<&'a OsStr> {
        let mut words = Vec::new();
        for given in self.given() {
            if given.letter == letter {
                words.push(OsStr::from_bytes(given.word));
            }
        }
        words
    }

    /// A decimal number, at most `most`.
    pub fn number(&self, letter: u8, most: u64) -> Result<Option<u64>, Error> {
        let Some(value) = self.word(letter) else { return Ok(None) };
        match decimal_u64(value.as_bytes()) {
            Some(number) if number <= most => Ok(Some(number)),
            _ => Err(about("not a number that fits option", letter)),
        }
    }

    /// The same words without these letters, for another program that does not have them: what
    /// follows the options is left out.
    pub fn without(&self, letters: &str) -> Vec<OsString> {
        let mut words = Vec::new();
        for given in self.given() {
            if !has(letters, given.letter) {
                let mut option = vec![b'-', given.letter];
                let joined = has(self.spec.flags, given.letter);
                if joined {
                    option.extend_from_slice(given.word);
                }
                words.push(OsString::from_vec(option));
                if has(self.spec.values, given.letter) && !joined {
                    words.push(OsStr::from_bytes(given.word).to_owned());
                }
            }
        }
        words
    }

    /// Whether an option was given.
    pub fn flag(&self, letter: u8) -> bool {
        self.word(letter).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::error::{Exit, Hint};

    const SPEC: Spec = Spec {
        flags: "1vqdDS",
        values: "cps",
        cancels: &["vq", "qv", "dD", "Dd"],
        alias: &[("--service", b's'), ("--verbose", b'v'), ("--spawn", b'S')],
    };

    fn split(line: &str) -> Result<(Options<'static>, Vec<String>), Error> {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let options = SPEC.split(args.leak())?;
        Ok((options, options.rest.iter().map(|w| w.to_str().unwrap().to_owned()).collect()))
    }

    #[test]
    fn clustered_letters_are_single_options() {
        let (o, rest) = split("-1vc100 path -v").unwrap();
        assert_eq!(o.number(b'c', 200).unwrap(), Some(100));
        assert!(o.flag(b'1') && o.flag(b'v') && !o.flag(b'd'));
        assert_eq!(rest, ["path", "-v"]);
    }

    #[test]
    fn the_last_of_two_wins() {
        let (o, _) = split("-c 5 -c 10 -d -D -vq x").unwrap();
        assert_eq!(o.number(b'c', 200).unwrap(), Some(10));
        assert!(o.flag(b'D') && !o.flag(b'd') && o.flag(b'q') && !o.flag(b'v'));
    }

    #[test]
    fn a_value_may_look_like_an_option() {
        let (o, rest) = split("-p -v --spawn -- -x").unwrap();
        assert_eq!(o.word(b'p').unwrap(), "-v");
        assert!(!o.flag(b'v') && o.flag(b'S'));
        assert_eq!(rest, ["-x"]);
    }

    #[test]
    fn long_ones_are_their_letters() {
        let (o, rest) = split("--service=a --verbose --service b -sc x").unwrap();
        assert!(o.flag(b'v') && !o.closed);
        let services = o.words(b's');
        assert_eq!(services, ["a", "b", "c"]);
        assert_eq!(rest, ["x"]);
        assert!(split("--verbose=1").is_err());
        // Cut short.
        assert_eq!(split("--serv=a --verb").unwrap().0.words(b's'), ["a"]);
        assert!(split("--v").is_ok() && split("--x").is_err());
        assert!(split("-v -- -v").unwrap().0.closed);
    }

    #[test]
    fn what_is_unknown_or_incomplete_is_a_usage_error() {
        for line in ["-x", "-vx", "--nonsense", "-c"] {
            assert!(
                split(line).is_err_and(|e| e.hint == Hint::SeeHelp && e.exit == Exit::USAGE),
                "{line}"
            );
        }
        for line in ["-c x", "-c -1", "-c 201", "-c18446744073709551616"] {
            assert!(split(line).unwrap().0.number(b'c', 200).is_err(), "{line}");
        }
    }

    #[test]
    fn a_short_form_of_several_is_none_of_them() {
        let alias = &[("--group", b'g'), ("--groups", b'G'), ("--help", b'?'), ("--helping", b'?')];
        let spec = Spec { alias, ..Spec::NONE };
        let of = |name: &str| spec.letter_of(name.as_bytes());
        assert_eq!((of("--group"), of("--groups"), of("--grou")), (Some(b'g'), Some(b'G'), None));
        assert_eq!((of("--he"), of("--"), of("--x")), (Some(b'?'), None, None));
    }

    #[test]
    fn gathered_options_stand_in_front() {
        for (line, want) in [
            ("a -v b -c 5 d", "-v -c 5 -- a b d"),
            ("a -- -v", "-- a -v"),
            ("-v", "-v --"),
            ("a -c -- -v -- -v", "-c -- -v -- a -v"),
        ] {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let gathered = SPEC.gather(&args).unwrap();
            assert_eq!(gathered.join(" ".as_ref()), want, "{line}");
        }
        assert!(SPEC.gather(&["a".into(), "-x".into()]).is_err());
    }

    #[test]
    fn a_lone_dash_and_an_empty_word_are_no_options() {
        assert_eq!(split("-v - -c").unwrap().1, ["-", "-c"]);
        assert_eq!(split("").unwrap().1, [""]);
    }
}
