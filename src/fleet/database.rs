//! The hosts that are known: words and tags of a file, of standard input or of another tool's inventory.

use super::complaint::{Complaint, tell};
use super::host::Address;
pub mod inventory;

use self::inventory::Format;
use crate::sys::file::{join, read_all, read_path};
use rustix::io::Errno;
use rustix::stdio::stdin;
use std::cell::{Cell, OnceCell};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// A host, and what it is tagged with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `[USER@]HOST[:PORT][|[USER@]PROXY[:PORT]]`, which [`Address::parse`] takes.
    pub word: String,
    /// Its tags, as they stand.
    pub tags: Vec<String>,
}

impl Entry {
    /// A host without tags.
    pub fn bare(word: String) -> Entry {
        Entry { word, tags: Vec::new() }
    }

    /// What it says.
    pub fn address(&self) -> Address {
        // Checked where it was read.
        let none = || super::host::Host { user: None, name: String::new(), port: None };
        Address::parse(&self.word).unwrap_or_else(|_| Address { host: none(), proxy: None })
    }
}

/// Most that is read of a database: a hundred thousand hosts with a dozen tags.
const LARGEST: usize = 64 * 1024 * 1024;

/// Where hosts come from; each is read when it is needed first.
pub struct Database {
    format: Format,
    /// A file's name, `None` for standard input.
    path: Option<Vec<u8>>,
    /// Whether somebody has named it.
    named: bool,
    entries: OnceCell<Vec<Entry>>,
    stdin: Cell<bool>,
}

impl Database {
    /// What `-D` says, else DTOOLS_DB, else ~/.dtdb, else ~/.ssh/known_hosts.
    pub fn of(option: Option<&OsStr>) -> Database {
        let variable = std::env::var_os("DTOOLS_DB").filter(|value| !value.is_empty());
        let named = option.map(OsStr::to_owned).or(variable);
        let (format, path, named) = match named {
            Some(word) => {
                let (format, path) = split_format(word.as_bytes());
                (format, (path != b"-").then(|| path.to_vec()), true)
            }
            None => {
                let home = std::env::var_os("HOME").map(OsString::into_vec).unwrap_or_default();
                let own = join(&home, b".dtdb");
                let known = join(&home, b".ssh/known_hosts");
                match exists(&own) || !exists(&known) {
                    true => (Format::Dt, Some(own), false),
                    false => (Format::KnownHosts, Some(known), false),
                }
            }
        };
        Database { format, path, named, entries: OnceCell::new(), stdin: Cell::new(false) }
    }

    /// All of it. A file that somebody has named must be there.
    pub fn entries(&self) -> Result<&[Entry], Complaint> {
        if let Some(entries) = self.entries.get() {
            return Ok(entries);
        }
        let text = match &self.path {
            None => self.standard_input()?,
            Some(path) => match read_path(path) {
                Ok(text) if text.len() <= LARGEST => text,
                Ok(_) => return Err(Complaint::system("read", path, Errno::FBIG)),
                Err(Errno::NOENT) if !self.named => Vec::new(),
                Err(errno) => return Err(Complaint::system("read", path, errno)),
            },
        };
        let entries = inventory::parse(self.format, &String::from_utf8_lossy(&text));
        Ok(self.entries.get_or_init(|| checked(entries)))
    }

    /// Standard input, which can be read once only.
    pub fn standard_input(&self) -> Result<Vec<u8>, Complaint> {
        if self.stdin.replace(true) {
            return Err(Complaint::usage("standard input is wanted twice"));
        }
        let text = read_all(stdin(), LARGEST);
        text.map_err(|errno| Complaint::system("read", b"standard input", errno))
    }

    /// The hosts of standard input, one a line, with tags.
    pub fn from_standard_input(&self) -> Result<Vec<Entry>, Complaint> {
        let text = self.standard_input()?;
        Ok(checked(inventory::parse(Format::Dt, &String::from_utf8_lossy(&text))))
    }

    /// The file to change, if it is one of ours.
    pub fn file(&self) -> Result<Vec<u8>, Complaint> {
        match (self.format, self.named, &self.path) {
            (Format::Dt, _, Some(path)) => Ok(path.clone()),
            // It serves for want of a database; what is added begins one.
            (Format::KnownHosts, false, Some(_)) => {
                let home = std::env::var_os("HOME").map(OsString::into_vec).unwrap_or_default();
                Ok(join(&home, b".dtdb"))
            }
            _ => Err(Complaint::module("only a file of the format dt can be changed")),
        }
    }
}

fn exists(path: &[u8]) -> bool {
    crate::sys::file::path(path).is_ok_and(|path| crate::sys::stat::stat(&path).is_ok())
}

/// `FORMAT:FILE`, if the word in front is a format; anything else is a file's name.
fn split_format(word: &[u8]) -> (Format, &[u8]) {
    for (name, format) in inventory::FORMATS {
        let behind = word.strip_prefix(name.as_bytes());
        if let Some(path) = behind.and_then(|rest| rest.strip_prefix(b":")) {
            return (*format, path);
        }
    }
    (Format::Dt, word)
}

/// Leaves out, by name, what ssh cannot be given. A host that stands there twice is one with the tags
/// of both.
fn checked(entries: Vec<Entry>) -> Vec<Entry> {
    let mut good: Vec<Entry> = Vec::with_capacity(entries.len());
    let mut places = std::collections::HashMap::new();
    for entry in entries {
        if let Err(why) = Address::parse(&entry.word) {
            tell("info", &format!("left out {:.80}: {why}", entry.word));
            continue;
        }
        let place = *places.entry(entry.word.clone()).or_insert(good.len());
        match good.get_mut(place) {
            Some(known) => {
                for tag in entry.tags {
                    if !known.tags.contains(&tag) {
                        known.tags.push(tag);
                    }
                }
            }
            None => good.push(entry),
        }
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_counts_only_if_it_is_one() {
        assert_eq!(split_format(b"genders:/etc/genders"), (Format::Genders, &b"/etc/genders"[..]));
        assert_eq!(split_format(b"dt:-"), (Format::Dt, &b"-"[..]));
        assert_eq!(split_format(b"other:file"), (Format::Dt, &b"other:file"[..]));
        assert_eq!(split_format(b"genders"), (Format::Dt, &b"genders"[..]));
    }

    #[test]
    fn a_host_that_stands_there_twice_has_both_tags() {
        let line =
            |word: &str, tag: &str| Entry { word: word.to_owned(), tags: vec![tag.to_owned()] };
        let found = checked(vec![line("a", "x"), line("b", "x"), line("a", "y"), line("a", "x")]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].tags, ["x", "y"]);
    }
}
