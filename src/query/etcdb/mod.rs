//! The databases of getent that nsss does not carry, read from their files in one directory.
//!
//! Keys, order and output are those of glibc 2.36's getent with `files` as the only service
//! (nss/getent.c, nss/nss_files/); doc/getent.md lists what differs and why. Lines are bytes in no
//! particular encoding, of any length. As in glibc, a NUL byte ends its line, a last line needs no
//! newline, a missing file is an empty one, and letters are folded in ASCII only.

mod address;
mod aliases;
mod ethers;
mod file;
mod gshadow;
mod hosts;
mod named;
#[cfg(test)]
mod tests;
mod text;

use crate::sys::error::Error;
use crate::sys::file::join;
use file::read;
pub use text::{Text, number};

/// Whether this build has these databases.
pub const IS_READ: bool = cfg!(feature = "etc-databases");

/// How a question ended; what was found is written by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Every key was found, or there was none and the database is written.
    Found,
    /// At least one key was not found.
    NotFound,
    /// There was no key, and this database answers keys only.
    NoEnumeration,
}

/// Where answers go.
pub type Out<'o> = dyn FnMut(&[u8]) -> Result<(), Error> + 'o;

/// The databases, which are also the names of their files, in the order of the alphabet.
const DATABASES: [(&str, Kind); 8] = [
    ("aliases", Kind::Aliases),
    ("ethers", Kind::Ethers),
    ("gshadow", Kind::Gshadow),
    ("hosts", Kind::Hosts),
    ("networks", Kind::Networks),
    ("protocols", Kind::Protocols),
    ("rpc", Kind::Rpc),
    ("services", Kind::Services),
];

/// A database.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Aliases,
    Ethers,
    Gshadow,
    Hosts,
    Networks,
    Protocols,
    Rpc,
    Services,
}

fn find(name: &[u8]) -> Option<(&'static str, Kind)> {
    DATABASES.iter().find(|database| database.0.as_bytes() == name).copied()
}

/// Whether [`answer`] knows the database.
pub fn is_database(name: &[u8]) -> bool {
    find(name).is_some()
}

/// Writes what the files in `dir` say of each key to `out`, or of all there is without a key.
///
/// All keys are looked up, in order, even when one is not found. An unknown database finds
/// nothing. A file that is there and cannot be read is an error, at once; the answers to earlier
/// keys are written even so.
pub fn answer(
    database: &[u8],
    dir: &[u8],
    keys: &[&[u8]],
    out: &mut Out<'_>,
) -> Result<Status, Error> {
    let Some((name, kind)) = find(database) else {
        return Ok(Status::NotFound);
    };
    let mut etc = Etc { dir, out, name, kind, text: Vec::new(), found: false, multi: None };
    let outcome = etc.answer(keys);
    let written = etc.write();
    let outcome = outcome?;
    written.map(|()| outcome)
}

/// One question: where the files are, where the answer goes.
struct Etc<'a> {
    dir: &'a [u8],
    out: &'a mut Out<'a>,
    name: &'static str,
    kind: Kind,
    /// Output that waits for more of it.
    text: Vec<u8>,
    /// Whether there is an entry with the key.
    found: bool,
    /// Of hosts: whether all lines of a name count, and not the first alone, once it is known.
    multi: Option<bool>,
}

impl Etc<'_> {
    /// Output is kept until there is this much of it: few writes, and little memory.
    const ENOUGH: usize = 16 * 1024;

    fn answer(&mut self, keys: &[&[u8]]) -> Result<Status, Error> {
        if keys.is_empty() {
            // glibc has no call for it either.
            if self.kind == Kind::Ethers {
                return Ok(Status::NoEnumeration);
            }
            self.look_up(None)?;
        }
        let mut outcome = Status::Found;
        for key in keys {
            self.found = false;
            self.look_up(Some(key))?;
            if !self.found {
                outcome = Status::NotFound;
            }
        }
        Ok(outcome)
    }

    /// Writes the answer for one key, or for all there is.
    fn look_up(&mut self, key: Option<&[u8]>) -> Result<(), Error> {
        match self.kind {
            Kind::Aliases => return aliases::lookup(self, key),
            Kind::Hosts => return hosts::lookup(self, key),
            _ => {}
        }
        // Elsewhere one line is one entry, and the first that has the key answers it.
        let file = self.read(self.name)?;
        let mut lines = Text(&file);
        while let Some(entry) = lines.entry() {
            if self.line(entry, key) {
                self.found_one()?;
                if key.is_some() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// What is made of one line, which begins with neither a blank nor `#`: if the line is an
    /// entry and has the key, or there is no key, its output goes to the end of the buffer and
    /// the result is true. Else nothing is written.
    fn line(&mut self, line: &[u8], key: Option<&[u8]>) -> bool {
        match self.kind {
            Kind::Ethers => ethers::line(line, key, &mut self.text),
            Kind::Gshadow => gshadow::line(line, key, &mut self.text),
            kind => named::line(kind, line, key, &mut self.text).is_some(),
        }
    }

    /// A file of the directory.
    fn read(&self, file: &str) -> Result<Vec<u8>, Error> {
        read(&join(self.dir, file.as_bytes()))
    }

    /// An entry was found, and written; passes the output on if enough has come together.
    fn found_one(&mut self) -> Result<(), Error> {
        self.found = true;
        if self.text.len() < Self::ENOUGH {
            return Ok(());
        }
        self.write()
    }

    fn write(&mut self) -> Result<(), Error> {
        let written = (self.out)(&self.text);
        self.text.clear();
        written
    }
}
