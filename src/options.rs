//! Command lines as getopt(3) reads them, with pico-args for the options themselves.
//!
//! pico-args looks for an option anywhere and knows neither `-1vc100` nor "the last of two
//! wins". So the head of the command line is cut off first, split into single options, and only
//! that is handed over; what follows is a program or a script, and taken word for word.

use crate::sys::error::Error;
use nssproto::bytes::decimal_u64;
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Which options an applet has.
pub struct Spec {
    /// Letters that stand alone.
    pub flags: &'static str,
    /// Letters that take a value, joined or as the next word.
    pub values: &'static str,
    /// What a letter takes back of those before it: `('q', "Qv")`.
    pub cancels: &'static [(char, &'static str)],
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

/// The options of a command line; what follows them was returned beside.
pub struct Options {
    given: pico_args::Arguments,
    /// They ended with `--`.
    pub closed: bool,
}

impl Spec {
    /// Cuts the options off `args`: they end at the first other word or at `--`. Errors are
    /// usage errors: an unknown option, a missing value.
    pub fn split<'a>(&self, args: &'a [OsString]) -> Result<(Options, &'a [OsString]), Error> {
        let mut head: Vec<(u8, Vec<OsString>)> = Vec::new();
        let mut rest = args;
        let mut closed = false;
        while let Some((word, behind)) = rest.split_first() {
            let bytes = word.as_bytes();
            let Some(letters) = bytes.strip_prefix(b"-").filter(|l| !l.is_empty()) else { break };
            rest = behind;
            if letters == b"-" {
                closed = true;
                break;
            }
            if let Some(long) = self.long.iter().find(|l| l.as_bytes() == bytes) {
                head.push((0, vec![OsString::from(long)]));
                continue;
            }
            let short = self.shorten(bytes);
            let mut letters = match &short {
                Some(short) => short.as_slice(),
                None if letters.starts_with(b"-") => return Err(unknown(bytes)),
                None => letters,
            };
            while let Some((letter, joined)) = letters.split_first() {
                letters = joined;
                let option = OsString::from_vec(vec![b'-', *letter]);
                if self.values.as_bytes().contains(letter) {
                    let value = match joined {
                        [] => {
                            let (value, behind) = rest.split_first().ok_or_else(|| {
                                Error::options("missing value of option").about(&option)
                            })?;
                            rest = behind;
                            value.clone()
                        }
                        _ => OsStr::from_bytes(joined).to_owned(),
                    };
                    let repeats = self.repeat.as_bytes().contains(letter);
                    head.retain(|(other, _)| repeats || other != letter);
                    head.push((*letter, vec![option, value]));
                    break;
                }
                if !self.flags.as_bytes().contains(letter) {
                    return Err(unknown(option.as_bytes()));
                }
                let cancels = self.cancels.iter().find(|c| c.0 == char::from(*letter));
                let cancels = cancels.map_or("", |c| c.1).as_bytes();
                head.retain(|(other, _)| other != letter && !cancels.contains(other));
                head.push((*letter, vec![option]));
            }
        }
        let words = head.into_iter().flat_map(|(_, words)| words).collect();
        Ok((Options { given: pico_args::Arguments::from_vec(words), closed }, rest))
    }

    /// `--service=x` as `sx`, if there is such an alias.
    fn shorten(&self, word: &[u8]) -> Option<Vec<u8>> {
        let (name, value) = match word.iter().position(|b| *b == b'=') {
            Some(at) => (word.get(..at)?, word.get(at + 1..)),
            None => (word, None),
        };
        let (_, letter) = self.alias.iter().find(|(long, _)| long.as_bytes() == name)?;
        let takes = self.values.contains(*letter);
        if value.is_some_and(|v| !takes || v.is_empty()) {
            return None;
        }
        Some([&[*letter as u8], value.unwrap_or_default()].concat())
    }
}

fn unknown(option: &[u8]) -> Error {
    Error::options("unknown option").about(OsStr::from_bytes(option))
}

impl Options {
    /// The value of `option` (`-t`). Ask for values before flags: a value may look like one.
    pub fn value(&mut self, option: &'static str) -> Option<OsString> {
        let whole = |value: &OsStr| Ok::<_, Infallible>(value.to_owned());
        self.given.opt_value_from_os_str(option, whole).ok().flatten()
    }

    /// A decimal number, at most `most`.
    pub fn number(&mut self, option: &'static str, most: u64) -> Result<Option<u64>, Error> {
        let Some(value) = self.value(option) else { return Ok(None) };
        let number = decimal_u64(value.as_bytes()).filter(|n| *n <= most);
        let wrong = || Error::options("not a number that fits option").about(option);
        number.map(Some).ok_or_else(wrong)
    }

    /// Whether `flag` (`-v`, `--spawn`) was given.
    pub fn flag(&mut self, flag: &'static str) -> bool {
        self.given.contains(flag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: Spec = Spec {
        flags: "1vqdD",
        values: "cps",
        cancels: &[('v', "q"), ('q', "v"), ('d', "D"), ('D', "d")],
        repeat: "s",
        long: &["--spawn"],
        alias: &[("--service", 's'), ("--verbose", 'v')],
    };

    fn split(line: &str) -> Result<(Options, Vec<String>), Error> {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let (options, rest) = SPEC.split(&args)?;
        Ok((options, rest.iter().map(|w| w.to_str().unwrap().to_owned()).collect()))
    }

    #[test]
    fn clustered_letters_are_single_options() {
        let (mut o, rest) = split("-1vc100 path -v").unwrap();
        assert_eq!(o.number("-c", 200).unwrap(), Some(100));
        assert!(o.flag("-1") && o.flag("-v") && !o.flag("-d"));
        assert_eq!(rest, ["path", "-v"]);
    }

    #[test]
    fn the_last_of_two_wins() {
        let (mut o, _) = split("-c 5 -c 10 -d -D -vq x").unwrap();
        assert_eq!(o.number("-c", 200).unwrap(), Some(10));
        assert!(o.flag("-D") && !o.flag("-d") && o.flag("-q") && !o.flag("-v"));
    }

    #[test]
    fn a_value_may_look_like_an_option() {
        let (mut o, rest) = split("-p -v --spawn -- -x").unwrap();
        assert_eq!(o.value("-p").unwrap(), "-v");
        assert!(!o.flag("-v") && o.flag("--spawn"));
        assert_eq!(rest, ["-x"]);
    }

    #[test]
    fn long_ones_are_their_letters() {
        let (mut o, rest) = split("--service=a --verbose --service b -sc x").unwrap();
        assert!(o.flag("-v") && !o.closed);
        let services: Vec<_> = std::iter::from_fn(|| o.value("-s")).collect();
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
