//! A configuration as it is used, whichever format it was written in, and what is wrong with it.

use super::names::{self, Letters};
use super::template::{GidOf, Ids, Pattern, Template};
use crate::sys::message::Message;

/// Words that blanks separate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words<'a>(pub &'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let blank = |b: &u8| matches!(b, b' ' | b'\t');
        let start = self.0.iter().position(|b| !blank(b))?;
        let text = self.0.get(start..)?;
        let end = text.iter().position(blank).unwrap_or(text.len());
        let (word, rest) = text.split_at_checked(end)?;
        self.0 = rest;
        Some(word)
    }
}

/// What stands before the first `byte` of a text, and what behind it; `None` if it is not there.
pub fn cut(text: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|b| *b == byte) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    }
}

/// The lines of a text, without their LF. One with an LF at its end has no empty line behind it.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a>(pub &'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    #[inline(never)]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let (line, rest) = cut(self.0, b'\n');
        self.0 = rest.unwrap_or_default();
        Some(line)
    }
}

/// All of a configuration. Its texts are those of the files it was read from.
#[derive(Debug, Default)]
pub struct Config<'a> {
    /// Where the key is.
    pub key: Option<(u32, &'a [u8])>,
    /// Where the registry is.
    pub registry: Option<(u32, &'a [u8])>,
    /// How wide the rule for names is.
    pub letters: Letters,
    /// Globs of names that are refused.
    pub deny: Vec<Words<'a>>,
    /// Files with more of them.
    pub deny_files: Vec<&'a [u8]>,
    /// Names with a uid that is not derived.
    pub pins: Vec<Pin<'a>>,
    /// Sections, in their order.
    pub sections: Vec<Section<'a>>,
    /// Supplementary groups of all sections, in their order.
    pub groups: Vec<Named<'a>>,
    /// Names of templates that are users by themselves.
    pub own: Vec<&'a [u8]>,
    /// A single line as libnss_map reads it, taken as libnss_map takes it.
    pub compat: bool,
}

/// `pin NAME UID`
#[derive(Debug)]
pub struct Pin<'a> {
    /// Its line.
    pub line: u32,
    /// Who.
    pub name: &'a [u8],
    /// Which uid.
    pub uid: u32,
}

/// A group that some section names.
#[derive(Debug)]
pub struct Named<'a> {
    /// The first line of the section.
    pub line: u32,
    /// Its name.
    pub name: &'a [u8],
    /// Its gid, as far as that is known.
    pub gid: Option<u32>,
}

/// What a section answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Names: `map GLOB…`, or the whole of the first format.
    #[default]
    Map,
    /// Numbers of users: `uids LO-HI`.
    Uids,
    /// Numbers of groups: `gids LO-HI`.
    Gids,
}

/// A section.
#[derive(Debug, Default)]
pub struct Section<'a> {
    /// Its first line.
    pub line: u32,
    /// What it answers.
    pub kind: Kind,
    /// Which names; none in a section of numbers.
    pub globs: Words<'a>,
    /// First and last number; of a section of numbers only.
    pub numbers: (u32, u32),
    /// The account; of `gids` only its name counts.
    pub template: Template<'a>,
    /// What must be there.
    pub require: Require<'a>,
    /// Look at .nssmaprc.
    pub rc: bool,
}

impl<'a> Section<'a> {
    /// The beginning of one; what it gives follows.
    // Inlined, it would be at four places.
    #[inline(never)]
    pub fn new(line: u32, kind: Kind, globs: Words<'a>) -> Self {
        Section { line, kind, globs, ..Section::default() }
    }

    /// Whether a section of numbers answers this one.
    pub fn has_number(&self, id: u32) -> bool {
        (self.numbers.0..=self.numbers.1).contains(&id)
    }

    /// Whether it derives a uid for each name.
    pub fn derives(&self) -> bool {
        matches!(self.template.ids, Ids::Range { .. })
    }

    /// The first and the last number that it gives to users, or to groups; `None` if it gives none,
    /// or one group that others have, too.
    pub fn gives(&self, kind: Kind) -> Option<(u32, u32)> {
        match self.kind {
            Kind::Map if kind == Kind::Uids || self.template.gid == GidOf::Uid => {
                self.template.ids.bounds()
            }
            _ if self.kind == kind => Some(self.numbers),
            _ => None,
        }
    }
}

/// Evidence that somebody wanted a name to exist; all of it must be there.
#[derive(Debug, Default)]
pub struct Require<'a> {
    /// The home is a directory.
    pub home: bool,
    /// And its owner is the uid.
    pub owned: bool,
    /// Files.
    pub files: Vec<Pattern<'a>>,
}

impl<'a> Require<'a> {
    /// Every name is admitted.
    pub fn is_empty(&self) -> bool {
        !self.home && self.files.is_empty()
    }

    /// Takes one word, and the path behind it.
    pub fn add(&mut self, word: &[u8], path: Option<&'a [u8]>) -> Result<(), &'static str> {
        let known = ["home", "owned-home", "file"].iter().position(|w| w.as_bytes() == word);
        match (known, path) {
            (Some(which @ (0 | 1)), None) => {
                self.home = true;
                self.owned |= which == 1;
            }
            (Some(2), Some(path)) => {
                let mut pattern = Pattern::default();
                pattern.parse(path)?;
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

impl<'a> Config<'a> {
    /// Whether `name` fits the rule, and is not denied.
    pub fn allows(&self, name: &[u8]) -> bool {
        names::fits(name, self.letters) && !self.denies(name)
    }

    /// Whether a `deny` takes `name`.
    pub fn denies(&self, name: &[u8]) -> bool {
        self.deny.iter().any(|globs| names::any_matches(*globs, name))
    }

    /// Whether `name` belongs to the system, or is that of a template's own user.
    pub fn is_reserved(&self, name: &[u8]) -> bool {
        names::is_reserved(name) || self.own.contains(&name)
    }

    /// The section that decides about `name`.
    pub fn section_of(&self, name: &[u8]) -> Option<&Section<'a>> {
        self.sections.iter().find(|s| names::any_matches(s.globs, name))
    }

    /// The uid that `name` is pinned to.
    pub fn pinned(&self, name: &[u8]) -> Option<u32> {
        self.pins.iter().find(|p| p.name == name).map(|p| p.uid)
    }

    /// Who is pinned to `uid`.
    pub fn holder_of(&self, uid: u32) -> Option<&[u8]> {
        self.pins.iter().find(|p| p.uid == uid).map(|p| p.name)
    }

    /// The section whose range has `uid`.
    pub fn section_of_uid(&self, uid: u32) -> Option<&Section<'a>> {
        self.sections.iter().find(|s| s.template.ids.range_has(uid))
    }

    /// The section of numbers that has `id`.
    pub fn section_of_number(&self, kind: Kind, id: u32) -> Option<&Section<'a>> {
        self.sections.iter().find(|s| s.kind == kind && s.has_number(id))
    }

    /// Whether some section derives a uid for each name.
    pub fn derives(&self) -> bool {
        self.sections.iter().any(Section::derives)
    }
}

/// Something that is wrong in a file.
#[derive(Debug)]
pub struct Problem<'a> {
    /// Its line, from 1.
    pub line: u64,
    /// What is wrong.
    pub what: &'static str,
    /// With which word; may be empty.
    pub word: &'a [u8],
    /// It is only worth telling.
    pub warning: bool,
}

impl<'a> Problem<'a> {
    /// Adds an error.
    pub fn add(list: &mut Vec<Self>, line: u32, what: &'static str, word: &'a [u8]) {
        list.push(Problem { line: line.into(), what, word, warning: false });
    }

    /// Adds something that is only worth telling.
    pub fn warn(list: &mut Vec<Self>, line: u32, what: &'static str) {
        list.push(Problem { line: line.into(), what, word: b"", warning: true });
    }
}

/// How bad something in a file is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It is only worth telling.
    Warning,
    /// What cannot be used for it.
    Fatal,
}

/// `nsssd-map: fatal: FILE:LINE: WHAT WORD` on standard error. Does not allocate.
pub fn tell_line(file: &[u8], line: u32, level: Level, what: &str, word: &[u8]) {
    let kind = if level == Level::Fatal { "fatal" } else { "warning" };
    let mut message = Message::new("nsssd-map", kind);
    message.path(file).text(":").number(line.into()).text(": ");
    message.text(what);
    if !word.is_empty() {
        message.text(" ").quoted(word);
    }
    message.send();
}
