//! The databases of getent that nsss does not carry, read from their files in one directory.
//!
//! Keys, order and output are those of glibc 2.36's getent with `files` as the only service
//! (nss/getent.c, nss/nss_files/); doc/getent.md lists what differs and why. Lines are bytes in no
//! particular encoding, of any length. As in glibc, a NUL byte ends its line, a last line needs no
//! newline, a missing file is an empty one, and letters are folded in ASCII only.

mod address;
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
use lines::{Lines, read};
use rustix::io::Errno;
pub use text::{split, whole as number};

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
const DATABASES: [(&str, Entries); 8] = [
    ("aliases", Entries::Own(aliases::lookup)),
    ("ethers", Entries::Lines(ethers::line)),
    ("gshadow", Entries::Lines(gshadow::line)),
    ("hosts", Entries::Own(hosts::lookup)),
    ("networks", Entries::Lines(named::network)),
    ("protocols", Entries::Lines(named::protocol)),
    ("rpc", Entries::Lines(named::rpc)),
    ("services", Entries::Lines(named::service)),
];

/// Where the entries of a database are.
enum Entries {
    /// One line is one entry, and the first that has the key answers it.
    ///
    /// What is made of a line, which begins with neither a blank nor `#`: if it is an entry and
    /// has the key, or there is no key, its output goes to the end of the buffer and the result
    /// is true. Else nothing is written.
    Lines(fn(line: &[u8], key: Option<&[u8]>, text: &mut Vec<u8>) -> bool),
    /// Its own rules: writes the answer for one key, or for all there is; whether the key was
    /// found.
    Own(fn(&mut Etc<'_>, key: Option<&[u8]>) -> Result<bool, Box<Failure>>),
}

fn find(name: &str) -> Option<&'static (&'static str, Entries)> {
    DATABASES.iter().find(|database| database.0 == name)
}

/// Whether [`answer`] knows the database.
pub fn is_database(name: &str) -> bool {
    find(name).is_some()
}

/// Writes what the files in `dir` say of each key to `out`, or of all there is without a key.
///
/// All keys are looked up, in order, even when one is not found. An unknown database finds
/// nothing. A file that is there and cannot be read is a [`Failure`], at once; the answers to
/// earlier keys are written even so.
pub fn answer(
    database: &str,
    dir: &[u8],
    keys: &[&[u8]],
    out: &mut Out<'_>,
) -> Result<Outcome, Box<Failure>> {
    let Some(database) = find(database) else {
        return Ok(Outcome::NotFound);
    };
    let mut etc = Etc { dir, out, text: Vec::new(), multi: false };
    let outcome = etc.answer(database, keys);
    let written = etc.write();
    let outcome = outcome?;
    written.map(|()| outcome)
}

/// One question: where the files are, where the answer goes.
struct Etc<'a> {
    dir: &'a [u8],
    out: &'a mut Out<'a>,
    /// Output that waits for more of it.
    text: Vec<u8>,
    /// Of hosts: all lines of a name count, and not the first alone.
    multi: bool,
}

impl Etc<'_> {
    /// Output is kept until there is this much of it: few writes, and little memory.
    const ENOUGH: usize = 16 * 1024;

    fn answer(
        &mut self,
        (name, entries): &(&str, Entries),
        keys: &[&[u8]],
    ) -> Result<Outcome, Box<Failure>> {
        if keys.is_empty() {
            // glibc has no call for it either.
            if *name == "ethers" {
                return Ok(Outcome::NoEnumeration);
            }
            self.look_up(name, entries, None)?;
        } else if *name == "hosts" {
            self.multi = hosts::multi(self)?;
        }
        let mut outcome = Outcome::Found;
        for key in keys {
            if !self.look_up(name, entries, Some(key))? {
                outcome = Outcome::NotFound;
            }
        }
        Ok(outcome)
    }

    fn look_up(
        &mut self,
        name: &str,
        entries: &Entries,
        key: Option<&[u8]>,
    ) -> Result<bool, Box<Failure>> {
        let line = match entries {
            Entries::Own(lookup) => return lookup(self, key),
            Entries::Lines(line) => line,
        };
        let file = self.read(name)?;
        let mut lines = Lines(&file);
        while let Some(entry) = lines.next_entry() {
            if line(entry, key, &mut self.text) {
                self.wrote_one()?;
                if key.is_some() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// A file of the directory.
    fn read(&self, file: &str) -> Result<Vec<u8>, Box<Failure>> {
        read(join(self.dir, file.as_bytes()))
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
