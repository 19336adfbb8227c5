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
    /// Letters with a value of which each one given counts.
    pub repeat: &'static str,
    /// Long options, `--` included, that stand alone.
    pub long: &'static [&'static str],
    /// Long options that are another way to write a letter.
    pub alias: &'static [(&'static str, char)],
}

impl Spec {
    /// No options at all; to be filled in.
    pub const NONE: Spec =
        Spec { flags: "", values: "", cancels: &[], repeat: "", long: &[], alias: &[] };
}

/// The options of a command line, for as long as the process lives; what follows them was returned
/// beside.
pub struct Options<'a> {
    spec: &'a Spec,
    given: Vec<Given<'a>>,
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
    /// Cuts the options off `args`: they end at the first other word or at `--`. Errors are
    /// usage errors: an unknown option, a missing value.
    pub fn split<'a>(
        &'a self,
        args: &'a [OsString],
    ) -> Result<(&'a mut Options<'a>, &'a [OsString]), Error> {
        let options = Box::leak(Box::new(Options { spec: self, given: Vec::new(), closed: false }));
        let mut rest = args;
        while let [word, behind @ ..] = rest {
            let bytes = word.as_bytes();
            let [b'-', letters @ ..] = bytes else { break };
            if letters.is_empty() {
                break;
            }
            rest = behind;
            if word == "--" {
                options.closed = true;
                break;
            }
            if self.long.iter().any(|long| word == long) {
                options.given.push(Given { letter: LONG, word: bytes });
            } else if let Some((letter, value)) = self.aliased(bytes) {
                options.take(letter, value, &mut rest)?;
            } else if letters.starts_with(b"-") {
                return Err(unknown(bytes));
            } else {
                let mut letters = letters;
                while let [letter, joined @ ..] = letters {
                    letters = options.take(*letter, joined, &mut rest)?;
                }
            }
        }
        Ok((options, rest))
    }

    /// The letter that a long option stands for, and its value if it has one joined to it.
    fn aliased<'a>(&self, word: &'a [u8]) -> Option<(u8, &'a [u8])> {
        let end = word.iter().position(|b| *b == b'=').unwrap_or(word.len());
        let (name, value) = word.split_at_checked(end)?;
        let (_, letter) = self.alias.iter().find(|(long, _)| long.as_bytes() == name)?;
        let letter = *letter as u8;
        match value {
            [] => Some((letter, value)),
            [_, value @ ..] if !value.is_empty() && has(self.values, letter) => {
                Some((letter, value))
            }
            _ => None,
        }
    }
}

fn has(letters: &str, letter: u8) -> bool {
    letters.as_bytes().contains(&letter)
}

fn unknown(option: &[u8]) -> Error {
    Error::options("unknown option").about(OsStr::from_bytes(option))
}

impl<'a> Options<'a> {
    /// Takes an option. If it has a value that is `joined` or else the next word; what is left of
    /// `joined`.
    fn take(
        &mut self,
        letter: u8,
        joined: &'a [u8],
        rest: &mut &'a [OsString],
    ) -> Result<&'a [u8], Error> {
        let (mut value, mut left) = (&b""[..], joined);
        if has(self.spec.values, letter) {
            (value, left) = (joined, b"");
            if joined.is_empty() {
                let [word, behind @ ..] = *rest else {
                    let option = [b'-', letter];
                    let option = OsStr::from_bytes(&option);
                    return Err(Error::options("missing value of option").about(option));
                };
                (value, *rest) = (word.as_bytes(), behind);
            }
        } else if !has(self.spec.flags, letter) {
            return Err(unknown(&[b'-', letter]));
        }
        self.given.push(Given { letter, word: value });
        Ok(left)
    }

    /// The value of `option` (`-t`); of one that repeats the next one.
    pub fn word(&mut self, option: &'static str) -> Option<&'a OsStr> {
        let at = self.find(option)?;
        Some(OsStr::from_bytes(self.given.remove(at).word))
    }

    /// Where `option` was given, unless it was taken back.
    fn find(&self, option: &str) -> Option<usize> {
        let letter = match option.as_bytes() {
            [b'-', letter] => *letter,
            _ => LONG,
        };
        let is = |given: &Given<'_>| {
            given.letter == letter && (letter != LONG || given.word == option.as_bytes())
        };
        if has(self.spec.repeat, letter) {
            return self.given.iter().position(is);
        }
        for (at, given) in self.given.iter().enumerate().rev() {
            if is(given) {
                return Some(at);
            }
            let by = |c: &&str| c.as_bytes().first() == Some(&given.letter) && has(c, letter);
            if self.spec.cancels.iter().any(by) {
                return None;
            }
        }
        None
    }

    /// A decimal number, at most `most`.
    pub fn number(&mut self, option: &'static str, most: u64) -> Result<Option<u64>, Error> {
        let Some(value) = self.word(option) else { return Ok(None) };
        match decimal_u64(value.as_bytes()) {
            Some(number) if number <= most => Ok(Some(number)),
            _ => Err(Error::options("not a number that fits option").about(option)),
        }
    }

    /// Whether `flag` (`-v`, `--spawn`) was given.
    pub fn flag(&self, flag: &'static str) -> bool {
        self.find(flag).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: Spec = Spec {
        flags: "1vqdD",
        values: "cps",
        cancels: &["vq", "qv", "dD", "Dd"],
        repeat: "s",
        long: &["--spawn"],
        alias: &[("--service", 's'), ("--verbose", 'v')],
    };

    fn split(line: &str) -> Result<(&'static mut Options<'static>, Vec<String>), Error> {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let (options, rest) = SPEC.split(args.leak())?;
        Ok((options, rest.iter().map(|w| w.to_str().unwrap().to_owned()).collect()))
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
        let services: Vec<_> = std::iter::from_fn(|| o.word("-s")).collect();
        assert_eq!(services, ["a", "b", "c"]);
        assert_eq!(rest, ["x"]);
        assert!(split("--verbose=1").is_err());
        assert!(split("-v -- -v").unwrap().0.closed);
    }

    #[test]
    fn what_is_unknown_or_incomplete_is_a_usage_error() {
        for line in ["-x", "-vx", "--nonsense", "-c"] {
            assert!(split(line).is_err_and(|e| e.usage && e.code == 100), "{line}");
        }
        for line in ["-c x", "-c -1", "-c 201", "-c18446744073709551616"] {
            assert!(split(line).unwrap().0.number("-c", 200).is_err(), "{line}");
        }
    }

    #[test]
    fn a_lone_dash_and_an_empty_word_are_no_options() {
        assert_eq!(split("-v - -c").unwrap().1, ["-", "-c"]);
        assert_eq!(split("").unwrap().1, [""]);
    }
}
