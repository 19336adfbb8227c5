//! The script of nsssd-switch: `bitfield backend… ""`, once or more (doc/protocols/nsss.md,
//! section 7).

use crate::limits::BACKENDS;
use crate::sys::error::Error;
use nssproto::bytes::decimal_u32;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The word in front of the command of a source that is believed in everything.
pub const TRUST: &str = "trust";

/// One `bitfield backend… ""`.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// When to stop at the backend; see [`Slot::bits`](crate::backend::switch::Slot::bits).
    pub bits: u8,
    /// Its command: a program and its arguments.
    pub command: Vec<OsString>,
    /// It is believed in everything (doc/security.md).
    pub trusted: bool,
}

impl Block {
    /// A backend by its bitfield and its command, in front of which [`TRUST`] may be.
    pub fn new(bits: u32, mut command: Vec<OsString>) -> Self {
        let trusted = command.first().is_some_and(|word| word == TRUST) && command.len() > 1;
        if trusted {
            command.remove(0);
        }
        Block { bits: (bits & 7) as u8, command, trusted }
    }
}

/// A word of a command that execline did not quote.
pub struct Unquoted<'a> {
    /// The word.
    pub word: &'a [u8],
    /// In which block, from 1.
    pub block: usize,
    /// At which place of its command, from 0.
    pub position: usize,
}

/// What is wrong with more blocks than that.
pub const TOO_MANY: &str =
    "too many defined backends (8; for more, let one be another nsssd-switch)";

/// Reads the words of a script. Errors are usage errors, and what `unquoted` says of such a word.
pub fn parse(
    words: &[OsString],
    unquoted: &mut dyn FnMut(&Unquoted<'_>) -> Result<(), Error>,
) -> Result<Vec<Block>, Error> {
    let (mut blocks, mut bits, mut command) = (Vec::new(), None, Vec::new());
    for word in words {
        let Some(number) = bits else {
            bits = decimal_u32(word.as_bytes());
            if bits.is_none() {
                return Err(Error::options("bitfield is not a number:").about(word));
            }
            continue;
        };
        if !word.is_empty() {
            // execline puts a blank in front of each word of a block.
            let bytes = word.as_bytes();
            let quoted = bytes.strip_prefix(b" ");
            if quoted.is_none() {
                let (block, position) = (blocks.len() + 1, command.len());
                unquoted(&Unquoted { word: bytes, block, position })?;
            }
            command.push(OsStr::from_bytes(quoted.unwrap_or(bytes)).to_owned());
            continue;
        }
        let empty = command.iter().all(|word| word == TRUST);
        if empty || blocks.len() == BACKENDS {
            return Err(Error::usage(if empty { "empty block" } else { TOO_MANY }));
        }
        blocks.push(Block::new(number, command));
        (bits, command) = (None, Vec::new());
    }
    match bits {
        Some(_) if command.is_empty() => Err(Error::usage("missing block")),
        Some(_) => Err(Error::usage("unterminated block (it ends with an empty word)")),
        None if blocks.is_empty() => Err(Error::options("no defined backends")),
        None => Ok(blocks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::error::Exit;

    /// The blocks of words that commas separate, and the unquoted words.
    fn read(text: &str) -> (Result<Vec<Block>, Error>, Vec<String>) {
        let words: Vec<OsString> = text.split(',').map(OsString::from).collect();
        let mut told = Vec::new();
        let blocks = parse(&words, &mut |unquoted| {
            let word = String::from_utf8_lossy(unquoted.word);
            told.push(format!("{word} {}.{}", unquoted.block, unquoted.position));
            Ok(())
        });
        (blocks, told)
    }

    fn block(bits: u8, command: &str) -> Block {
        Block::new(bits.into(), command.split(' ').map(OsString::from).collect())
    }

    #[test]
    fn blocks_end_with_an_empty_word() {
        let (blocks, told) = read("3, nsssd-unix, -d, /etc,,0, b,");
        assert_eq!(blocks.unwrap(), [block(3, "nsssd-unix -d /etc"), block(0, "b")]);
        assert!(told.is_empty());
    }

    #[test]
    fn a_word_in_front_of_a_command_says_that_it_is_believed() {
        let blocks = read("0, trust, a, trust,,0,trust, trust,a,,0, a,").0;
        let [first, second, third] = &blocks.unwrap()[..] else { panic!("three blocks") };
        assert!(first.trusted && first.command == ["a", "trust"]);
        assert!(second.trusted && second.command == ["trust", "a"]);
        assert!(!third.trusted);
        assert_eq!(read("0, trust,").0.unwrap_err().exit, Exit::USAGE);
    }

    #[test]
    fn only_three_bits_count() {
        assert_eq!(read("4294967295, a,").0.unwrap(), [block(7, "a")]);
    }

    #[test]
    fn unquoted_words_are_taken_as_they_are_and_told_with_their_place() {
        let (blocks, told) = read("0, a,,1,b, c,d,");
        assert_eq!(blocks.unwrap(), [block(0, "a"), block(1, "b c d")]);
        assert_eq!(told, ["b 2.0", "d 2.2"]);
        let words = ["0".into(), "a".into(), "".into()];
        assert!(parse(&words, &mut |_| Err(Error::silent(Exit::USAGE))).is_err());
    }

    #[test]
    fn one_blank_is_taken_away_and_no_more() {
        assert_eq!(read("0,  a, ,").0.unwrap()[0].command, [" a", ""]);
    }

    #[test]
    fn there_are_eight_blocks_at_most() {
        let blocks = |count| "0, a,,".repeat(count);
        assert_eq!(read(&(blocks(7) + "0, a,")).0.unwrap().len(), 8);
        assert_eq!(read(&(blocks(8) + "0, a,")).0.unwrap_err().exit, Exit::USAGE);
    }

    #[test]
    fn what_is_no_script_is_a_usage_error() {
        for text in ["", "x", "-1, a,", "4294967296, a,", "0", "0,", "0, a", "0, a,,1"] {
            assert_eq!(read(text).0.unwrap_err().exit, Exit::USAGE, "{text}");
        }
        assert_eq!(parse(&[], &mut |_| Ok(())).unwrap_err().exit, Exit::USAGE);
    }
}
