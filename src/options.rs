//! Command lines as getopt(3) reads them.
//!
//! pico-args, which reads nssbox's own, looks for an option anywhere, and knows neither `-1vc100`
//! nor "the last of two wins". Here options end at the first other word; what follows is a program
//! or a script, and taken word for word.

use crate::sys::error::Error;
use nssproto::bytes::decimal_u64;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Which options an applet has.
pub struct Spec {
    /// Letters that stand alone.
    pub flags: &'static str,
    /// Letters that take a value, joined or as the next word. Of several the last one counts.
    pub values: &'static str,
    /// Letters behind one that takes them back: in `qQv`, `-q` does so with `-Q` and `-v` before it.
    pub cancels: &'static [&'static str],
    /// Long options, `--` included, that stand alone.
    pub long: &'static [&'static str],
    /// Long options that are another way to write a letter.
    pub alias: &'static [(&'static str, char)],
}

impl Spec {
    /// No options at all; to be filled in.
    pub const NONE: Spec = Spec { flags: "", values: "", cancels: &[], long: &[], alias: &[] };
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
    /// Or [`LONG`].
    letter: u8,
    /// Its value; of a long one its name, `--` included.
    word: &'a [u8],
}

/// Instead of a letter.
const LONG: u8 = 0;

impl Spec {
    /// Cuts the options off `args`: they end at the first other word or at `--`. Errors are usage
    /// errors: an unknown option, a missing value.
    pub fn split<'a>(&'a self, args: &'a [OsString]) -> Result<Options<'a>, Error> {
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
        let letter = self.letter_of(name)? as u8;
        match value {
            [] => Some((letter, value)),
            [_, value @ ..] if !value.is_empty() && has(self.values, letter) => {
                Some((letter, value))
            }
            _ => None,
        }
    }

    /// The letter of a long option, which may be cut short as long as it is like no other.
    fn letter_of(&self, name: &[u8]) -> Option<char> {
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
    Error::options("unknown option").about(OsStr::from_bytes(option))
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
        if has(self.spec.values, letter) {
            (word, left) = (joined, b"");
            if joined.is_empty() {
                let [next, behind @ ..] = self.rest else {
                    let option = [b'-', letter];
                    let option = OsStr::from_bytes(&option);
                    return Err(Error::options("missing value of option").about(option));
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
            if self.spec.long.iter().any(|long| word == long.as_bytes()) {
                return Some(Ok(Given { letter: LONG, word }));
            }
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

    /// The value of `option` (`-t`), unless it was taken back.
    pub fn word(&self, option: &str) -> Option<&'a OsStr> {
        let mut found = None;
        for given in self.given() {
            let by =
                |c: &&str| c.as_bytes().first() == Some(&given.letter) && has(c, letter(option));
            if given.is(option) {
                found = Some(OsStr::from_bytes(given.word));
            } else if self.spec.cancels.iter().any(by) {
                found = None;
            }
        }
        found
    }

    /// The values of an option of which each one counts.
    pub fn words(&self, option: &str) -> Vec<&'a OsStr> {
        let mut words = Vec::new();
        for given in self.given() {
            if given.is(option) {
                words.push(OsStr::from_bytes(given.word));
            }
        }
        words
    }

    /// A decimal number, at most `most`.
    pub fn number(&self, option: &str, most: u64) -> Result<Option<u64>, Error> {
        let Some(value) = self.word(option) else { return Ok(None) };
        match decimal_u64(value.as_bytes()) {
            Some(number) if number <= most => Ok(Some(number)),
            _ => Err(Error::options("not a number that fits option").about(option)),
        }
    }

    /// The same words without these letters, for another program that does not have them: what
    /// follows the options is left out.
    pub fn without(&self, letters: &str) -> Vec<OsString> {
        let mut words = Vec::new();
        for given in self.given() {
            if given.letter == LONG {
                words.push(OsStr::from_bytes(given.word).to_owned());
            } else if !has(letters, given.letter) {
                let option = [b'-', given.letter];
                words.push(OsStr::from_bytes(&option).to_owned());
                if has(self.spec.values, given.letter) {
                    words.push(OsStr::from_bytes(given.word).to_owned());
                }
            }
        }
        words
    }

    /// Whether `flag` (`-v`, `--spawn`) was given.
    pub fn flag(&self, flag: &str) -> bool {
        self.word(flag).is_some()
    }
}

/// The letter of an option that is written `-t`.
fn letter(option: &str) -> u8 {
    match option.as_bytes() {
        [b'-', letter] => *letter,
        _ => LONG,
    }
}

impl Given<'_> {
    fn is(&self, option: &str) -> bool {
        self.letter == letter(option) && (self.letter != LONG || self.word == option.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::error::Exit;

    const SPEC: Spec = Spec {
        flags: "1vqdD",
        values: "cps",
        cancels: &["vq", "qv", "dD", "Dd"],
        long: &["--spawn"],
        alias: &[("--service", 's'), ("--verbose", 'v')],
    };

    fn split(line: &str) -> Result<(Options<'static>, Vec<String>), Error> {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let options = SPEC.split(args.leak())?;
        Ok((options, options.rest.iter().map(|w| w.to_str().unwrap().to_owned()).collect()))
    }

    #[test]
    fn clustered_letters_are_single_options() {
        let (o, rest) = split("-1vc100 path -v").unwrap();
        assert_eq!(o.number("-c", 200).unwrap(), Some(100));
        assert!(o.flag("-1") && o.flag("-v") && !o.flag("-d"));
        assert_eq!(rest, ["path", "-v"]);
    }

    #[test]
    fn the_last_of_two_wins() {
        let (o, _) = split("-c 5 -c 10 -d -D -vq x").unwrap();
        assert_eq!(o.number("-c", 200).unwrap(), Some(10));
        assert!(o.flag("-D") && !o.flag("-d") && o.flag("-q") && !o.flag("-v"));
    }

    #[test]
    fn a_value_may_look_like_an_option() {
        let (o, rest) = split("-p -v --spawn -- -x").unwrap();
        assert_eq!(o.word("-p").unwrap(), "-v");
        assert!(!o.flag("-v") && o.flag("--spawn"));
        assert_eq!(rest, ["-x"]);
    }

    #[test]
    fn long_ones_are_their_letters() {
        let (o, rest) = split("--service=a --verbose --service b -sc x").unwrap();
        assert!(o.flag("-v") && !o.closed);
        let services = o.words("-s");
        assert_eq!(services, ["a", "b", "c"]);
        assert_eq!(rest, ["x"]);
        assert!(split("--verbose=1").is_err());
        // Cut short.
        assert_eq!(split("--serv=a --verb").unwrap().0.words("-s"), ["a"]);
        assert!(split("--v").is_ok() && split("--x").is_err());
        assert!(split("-v -- -v").unwrap().0.closed);
    }

    #[test]
    fn what_is_unknown_or_incomplete_is_a_usage_error() {
        for line in ["-x", "-vx", "--nonsense", "-c"] {
            assert!(split(line).is_err_and(|e| e.usage && e.exit == Exit::USAGE), "{line}");
        }
        for line in ["-c x", "-c -1", "-c 201", "-c18446744073709551616"] {
            assert!(split(line).unwrap().0.number("-c", 200).is_err(), "{line}");
        }
    }

    #[test]
    fn a_short_form_of_several_is_none_of_them() {
        let alias = &[("--group", 'g'), ("--groups", 'G'), ("--help", '?'), ("--helping", '?')];
        let spec = Spec { alias, ..Spec::NONE };
        let of = |name: &str| spec.letter_of(name.as_bytes());
        assert_eq!((of("--group"), of("--groups"), of("--grou")), (Some('g'), Some('G'), None));
        assert_eq!((of("--he"), of("--"), of("--x")), (Some('?'), None, None));
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
