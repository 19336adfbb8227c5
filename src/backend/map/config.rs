//! A configuration as it is used, whichever format it was written in, and what is wrong with it.

use super::names::{self, Letters};
use super::template::{GidOf, Ids, Pattern, Template};
use crate::backend::text::Words;

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
    pub groups: Vec<NamedGroup<'a>>,
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
pub struct NamedGroup<'a> {
    /// The first line of the section.
    pub line: u32,
    /// Its name.
    pub name: &'a [u8],
}

/// What a section answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SectionKind {
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
    pub kind: SectionKind,
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
    pub fn gives(&self, kind: SectionKind) -> Option<(u32, u32)> {
        match self.kind {
            SectionKind::Map if kind == SectionKind::Uids || self.template.gid == GidOf::Uid => {
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
    pub fn section_of_number(&self, kind: SectionKind, id: u32) -> Option<&Section<'a>> {
        self.sections.iter().find(|s| s.kind == kind && s.has_number(id))
    }

    /// Whether some section derives a uid for each name.
    pub fn derives(&self) -> bool {
        self.sections.iter().any(Section::derives)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(ids: Ids, gid: GidOf) -> Section<'static> {
        let mut section = Section { line: 1, globs: Words(b"*"), ..Section::default() };
        (section.template.ids, section.template.gid) = (ids, gid);
        section
    }

    #[test]
    fn a_section_gives_groups_where_each_user_has_his_own() {
        let range = Ids::Range { lo: 20000, size: 10 };
        let own = section(range, GidOf::Uid);
        let bounds = Some((20000, 20009));
        assert_eq!((own.gives(SectionKind::Uids), own.gives(SectionKind::Gids)), (bounds, bounds));
        let shared = section(range, GidOf::One(500));
        let given = (shared.gives(SectionKind::Uids), shared.gives(SectionKind::Gids));
        assert_eq!(given, (bounds, None));
        assert!(own.derives() && !section(Ids::One(500), GidOf::Uid).derives());
    }

    #[test]
    fn the_first_section_that_takes_a_name_decides() {
        let mut config = Config::default();
        for globs in [&b"ops-* adm"[..], b"*"] {
            config.sections.push(Section { globs: Words(globs), ..Section::default() });
        }
        config.deny.push(Words(b"ops-x"));
        let first = |name: &[u8]| config.section_of(name).map(|s| s.globs.0.len());
        assert_eq!((first(b"adm"), first(b"ops-a"), first(b"ada")), (Some(9), Some(9), Some(1)));
        assert!(config.allows(b"ops-a") && !config.allows(b"ops-x") && !config.allows(b"-a"));
        assert!(config.is_reserved(b"root") && !config.is_reserved(b"ada"));
    }

    #[test]
    fn evidence_is_a_home_or_a_file_with_the_name_in_it() {
        let mut require = Require::default();
        assert!(require.is_empty() && require.add(b"owned-home", None).is_ok());
        assert!(require.home && require.owned);
        assert!(require.add(b"file", Some(b"/keys/%u")).is_ok() && require.files.len() == 1);
        let bad: [(&[u8], Option<&[u8]>); 5] = [
            (b"file", None),
            (b"file", Some(b"keys/%u")),
            (b"file", Some(b"/keys")),
            (b"home", Some(b"/home")),
            (b"house", None),
        ];
        for (word, path) in bad {
            assert!(require.add(word, path).is_err(), "{word:?} {path:?}");
        }
    }
}
