//! A configuration as it is used, whichever format it was written in, and what is wrong with it.

use super::names::{self, Letters};
use super::template::{Ids, Pattern, Template};
use crate::sys::message::Message;

/// All of a configuration.
#[derive(Debug, Default)]
pub struct Config {
    /// Where the key is.
    pub key: Option<(u64, Vec<u8>)>,
    /// Where the registry is.
    pub registry: Option<(u64, Vec<u8>)>,
    /// How wide the rule for names is.
    pub letters: Letters,
    /// Globs of names that are refused.
    pub deny: Vec<Vec<u8>>,
    /// Files with more of them.
    pub deny_files: Vec<(u64, Vec<u8>)>,
    /// Names with a uid that is not derived.
    pub pins: Vec<Pin>,
    /// `map` sections, in their order.
    pub sections: Vec<Section>,
    /// `uids` and `gids` sections.
    pub numbers: Vec<Numbers>,
    /// A single line as libnss_map reads it, taken as libnss_map takes it.
    pub compat: bool,
}

/// `pin NAME UID`
#[derive(Clone, Debug)]
pub struct Pin {
    /// Its line.
    pub line: u64,
    /// Who.
    pub name: Vec<u8>,
    /// Which uid.
    pub uid: u32,
}

/// `map GLOB…`, or the whole of the first format.
#[derive(Debug)]
pub struct Section {
    /// Its first line.
    pub line: u64,
    /// Which names.
    pub globs: Vec<Vec<u8>>,
    /// The account.
    pub template: Template,
    /// What must be there.
    pub require: Require,
    /// Names of supplementary groups.
    pub groups: Vec<Vec<u8>>,
    /// Look at .nssmaprc.
    pub rc: bool,
}

/// Evidence that somebody wanted a name to exist; all of it must be there.
#[derive(Clone, Debug, Default)]
pub struct Require {
    /// The home is a directory.
    pub home: bool,
    /// And its owner is the uid.
    pub owned: bool,
    /// Files.
    pub files: Vec<Pattern>,
}

impl Require {
    /// Every name is admitted.
    pub fn is_empty(&self) -> bool {
        !self.home && self.files.is_empty()
    }

    /// Takes one word, and the path behind it.
    pub fn add(&mut self, word: &[u8], path: Option<&[u8]>) -> Result<(), &'static str> {
        match (word, path) {
            (b"home", None) => self.home = true,
            (b"owned-home", None) => (self.home, self.owned) = (true, true),
            (b"file", Some(path)) => {
                let pattern = Pattern::parse(path)?;
                if !path.starts_with(b"/") {
                    return Err("a path that does not begin with /");
                }
                if pattern.after.is_none() {
                    return Err("a path without %u, which would admit every name");
                }
                self.files.push(pattern);
            }
            _ => return Err("not home, owned-home or file PATH"),
        }
        Ok(())
    }
}

/// Whose numbers a section answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Users.
    Uids,
    /// Groups.
    Gids,
}

/// `uids LO-HI` or `gids LO-HI`
#[derive(Debug)]
pub struct Numbers {
    /// Its first line.
    pub line: u64,
    /// Which of the two.
    pub kind: Kind,
    /// First and last number.
    pub bounds: (u32, u32),
    /// The account; of `gids` only its name counts.
    pub template: Template,
}

impl Numbers {
    /// Whether it answers this number.
    pub fn holds(&self, kind: Kind, id: u32) -> bool {
        kind == self.kind && (self.bounds.0..=self.bounds.1).contains(&id)
    }
}

impl Config {
    /// The section that decides about `name`.
    pub fn section_of(&self, name: &[u8]) -> Option<usize> {
        let takes = |s: &Section| s.globs.iter().any(|g| names::matches(g, name));
        self.sections.iter().position(takes)
    }

    /// The uid that `name` is pinned to.
    pub fn pinned(&self, name: &[u8]) -> Option<u32> {
        self.pins.iter().find(|p| p.name == name).map(|p| p.uid)
    }

    /// Who is pinned to `uid`.
    pub fn holder_of(&self, uid: u32) -> Option<&[u8]> {
        self.pins.iter().find(|p| p.uid == uid).map(|p| p.name.as_slice())
    }

    /// The section whose range has `uid`.
    pub fn section_of_uid(&self, uid: u32) -> Option<usize> {
        self.sections.iter().position(|s| match (s.template.ids, s.template.ids.bounds()) {
            (Ids::Range { .. }, Some((lo, hi))) => (lo..=hi).contains(&uid),
            _ => false,
        })
    }

    /// Whether some section derives a uid for each name.
    pub fn derives(&self) -> bool {
        self.sections.iter().any(|s| matches!(s.template.ids, Ids::Range { .. }))
    }
}

/// Something that is wrong in a file.
#[derive(Debug)]
pub struct Problem {
    /// Its line, from 1.
    pub line: u64,
    /// What is wrong.
    pub what: &'static str,
    /// With which word; may be empty.
    pub word: Vec<u8>,
    /// It is only worth telling.
    pub warning: bool,
}

impl Problem {
    /// An error.
    pub fn error(line: u64, what: &'static str, word: &[u8]) -> Self {
        Problem { line, what, word: word.to_vec(), warning: false }
    }

    /// A warning.
    pub fn warning(line: u64, what: &'static str) -> Self {
        Problem { line, what, word: Vec::new(), warning: true }
    }

    /// `nsssd-map: fatal: FILE:LINE: WHAT WORD` on standard error.
    pub fn tell(&self, file: &[u8], kind: &str) {
        tell_line(
            file,
            self.line,
            if self.warning { "warning" } else { kind },
            self.what,
            &self.word,
        );
    }
}

/// The same for a line of any file. Does not allocate.
pub fn tell_line(file: &[u8], line: u64, kind: &str, what: &str, word: &[u8]) {
    let message = Message::new("nsssd-map", kind).path(file).text(":").number(line).text(": ");
    let message = message.text(what);
    let message = if word.is_empty() { message } else { message.text(" ").quoted(word) };
    message.send();
}
