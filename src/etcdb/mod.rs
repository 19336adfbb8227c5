//! The databases of getent that nsss does not carry, read from their files in one directory.
//!
//! Keys, order and output are those of glibc 2.36's getent with `files` as the only service
//! (nss/getent.c, nss/nss_files/); doc/getent.md lists what differs and why. Lines are bytes in no
//! particular encoding, of any length. As in glibc, a NUL byte ends its line, a last line needs no
//! newline, a missing file is an empty one, and letters are folded in ASCII only.

mod aliases;
mod ethers;
mod gshadow;
mod hosts;
mod lines;
mod named;
#[cfg(test)]
mod tests;
mod text;

use crate::sys::file::join;
use lines::Lines;
use rustix::io::Errno;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

/// How a question ended; what was found is written by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every key was found, or there was none and the database is written.
    Found,
    /// At least one key was not found.
    NotFound,
    /// There was no key, and this database answers keys only.
    NoEnumeration,
}

/// Why a question has no answer, or half of one.
#[derive(Debug)]
pub struct Failure {
    /// What did not work: "open", "read" or "write".
    pub what: &'static str,
    /// The file. For "write" it is no path but the words `standard output`.
    pub path: Vec<u8>,
    /// The system's reason.
    pub error: Errno,
}

impl Failure {
    /// In a box: each `?` moves it.
    fn new(what: &'static str, path: Vec<u8>, error: Errno) -> Box<Self> {
        Box::new(Failure { what, path, error })
    }
}

/// Where answers go.
pub type Out<'o> = dyn FnMut(&[u8]) -> Result<(), Errno> + 'o;

/// The databases, which are also the names of their files, in the order of the alphabet.
pub const NAMES: &[&str] =
    &["aliases", "ethers", "gshadow", "hosts", "networks", "protocols", "rpc", "services"];

/// Whether [`answer`] knows the database.
pub fn is_database(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Writes what the files in `dir` say of each key to `out`, or of all there is without a key.
///
/// All keys are looked up, in order, even when one is not found. An unknown database finds
/// nothing. A file that is there and cannot be read is a [`Failure`], at once; the answers to
/// earlier keys are written even so.
pub fn answer(
    database: &str,
    dir: &[u8],
    keys: &[OsString],
    out: &mut Out<'_>,
) -> Result<Outcome, Box<Failure>> {
    let mut etc = Etc { dir, out, text: Vec::new() };
    let outcome = match database {
        "aliases" => etc.each(keys, &mut aliases::lookup),
        // glibc has no call for it either.
        "ethers" if keys.is_empty() => Ok(Outcome::NoEnumeration),
        "ethers" => etc.table("ethers", keys, ethers::line),
        "gshadow" => etc.table("gshadow", keys, gshadow::line),
        "hosts" => hosts::answer(&mut etc, keys),
        "networks" => etc.table("networks", keys, named::network),
        "protocols" => etc.table("protocols", keys, named::protocol),
        "rpc" => etc.table("rpc", keys, named::rpc),
        "services" => etc.table("services", keys, named::service),
        _ => Ok(Outcome::NotFound),
    };
    let written = etc.write();
    let outcome = outcome?;
    written.map(|()| outcome)
}

/// What a database makes of one line, which begins with neither a blank nor `#`: if the line is
/// an entry and has the key, or there is no key, its output goes to the end of the buffer and the
/// result is true. Else nothing is written.
type LineFn = fn(line: &[u8], key: Option<&[u8]>, text: &mut Vec<u8>) -> bool;

/// Writes the answer for one key, or for all there is; whether the key was found.
type Lookup<'l> = dyn FnMut(&mut Etc<'_>, Option<&[u8]>) -> Result<bool, Box<Failure>> + 'l;

/// One question: where the files are, where the answer goes.
struct Etc<'a> {
    dir: &'a [u8],
    out: &'a mut Out<'a>,
    /// Output that waits for more of it.
    text: Vec<u8>,
}

impl Etc<'_> {
    /// Output is kept until there is this much of it: few writes, and little memory.
    const ENOUGH: usize = 16 * 1024;

    /// Runs `lookup` for each key, or once with none.
    fn each(
        &mut self,
        keys: &[OsString],
        lookup: &mut Lookup<'_>,
    ) -> Result<Outcome, Box<Failure>> {
        if keys.is_empty() {
            lookup(self, None)?;
        }
        let mut outcome = Outcome::Found;
        for key in keys {
            if !lookup(self, Some(key.as_bytes()))? {
                outcome = Outcome::NotFound;
            }
        }
        Ok(outcome)
    }

    /// Answers from a file in which one line is one entry: the first that has the key.
    fn table(
        &mut self,
        file: &str,
        keys: &[OsString],
        line: LineFn,
    ) -> Result<Outcome, Box<Failure>> {
        self.each(keys, &mut |etc, key| {
            let mut lines = etc.open(file)?;
            while let Some(entry) = lines.next_entry()? {
                if line(entry, key, &mut etc.text) {
                    etc.wrote_one()?;
                    if key.is_some() {
                        return Ok(true);
                    }
                }
            }
            Ok(false)
        })
    }

    /// Opens a file of the directory.
    fn open(&self, file: &str) -> Result<Lines, Box<Failure>> {
        Lines::open(join(self.dir, file.as_bytes()))
    }

    /// Passes the output on if enough has come together.
    fn wrote_one(&mut self) -> Result<(), Box<Failure>> {
        if self.text.len() < Self::ENOUGH {
            return Ok(());
        }
        self.write()
    }

    fn write(&mut self) -> Result<(), Box<Failure>> {
        let written = (self.out)(&self.text);
        self.text.clear();
        let path = b"standard output".to_vec();
        written.map_err(|error| Failure::new("write", path, error))
    }
}
