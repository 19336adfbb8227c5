//! The second format: `nssmap 2`, then settings and sections. Every error is kept, with its line.

use super::config::{Config, NamedGroup, Pin, Section, SectionKind};
use super::names::{Letters, fits, glob_fault};
use super::problem::Problem;
use super::template::{
    self, CONTROL, GidOf, Ids, LINE_MAX, NO_HOME, Pattern, TOO_FEW, TOO_LONG, fields, text_fault,
};
use crate::backend::text::{Lines, Words};
use nssproto::bytes::{DECIMAL_MAX, decimal_u32, write_decimal};

/// What the first line is.
pub const FIRST: &[u8] = b"nssmap 2";

/// Sections of numbers.
const NUMBERS_MAX: usize = 8;

/// What a line can begin with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Key,
    Registry,
    DenyFile,
    Names,
    Deny,
    Pin,
    Section(SectionKind),
    Template,
    Require,
    Groups,
    Rc,
}

/// Each word, and how many others may follow it, 255 or more. Those without a limit look for
/// themselves.
const WORDS: &[(&str, Word, u8, u8)] = &[
    ("key", Word::Key, 1, 1),
    ("registry", Word::Registry, 1, 1),
    ("deny-file", Word::DenyFile, 1, 1),
    ("names", Word::Names, 1, 1),
    ("deny", Word::Deny, 1, u8::MAX),
    ("pin", Word::Pin, 2, 2),
    ("map", Word::Section(SectionKind::Map), 0, u8::MAX),
    ("uids", Word::Section(SectionKind::Uids), 0, u8::MAX),
    ("gids", Word::Section(SectionKind::Gids), 0, u8::MAX),
    ("template", Word::Template, 0, u8::MAX),
    ("require", Word::Require, 1, 2),
    ("groups", Word::Groups, 1, u8::MAX),
    ("rc", Word::Rc, 1, 1),
];

/// What is wrong with the words behind one of these.
const WRONG_WORDS: &str = "wrong or missing words behind";

/// What is wrong with a name, of a pin or of a section of numbers.
const FORBIDDEN: &str = "a name that the rule for names forbids:";

/// What is wrong, if anything is; with [`Reader::word`].
type Checked = Result<(), &'static str>;

/// What is being read.
struct Reader<'a, 'p> {
    config: &'p mut Config<'a>,
    problems: &'p mut Vec<Problem<'a>>,
    /// The number of the line in hand.
    line: u32,
    /// What an error in it is about; may be empty.
    word: &'a [u8],
    /// The section in hand; of line 0 before the first one.
    section: &'p mut Section<'a>,
    /// It has its template.
    has_template: bool,
}

/// Reads a whole file.
pub fn read<'a>(text: &'a [u8], config: &mut Config<'a>, problems: &mut Vec<Problem<'a>>) {
    let section = &mut Section::default();
    let mut reader = Reader { config, problems, line: 0, word: b"", section, has_template: false };
    for line in Lines(text) {
        reader.line += 1;
        if reader.line > 1 {
            reader.word = b"";
            if let Err(what) = reader.take(line.strip_suffix(b"\r").unwrap_or(line)) {
                // It is kept, and the next line is looked at.
                Problem::add(reader.problems, reader.line, what, reader.word);
            }
        }
    }
    reader.end();
    check(reader.config, reader.problems);
}

impl<'a> Reader<'a, '_> {
    fn take(&mut self, line: &'a [u8]) -> Checked {
        let mut rest = Words(line);
        let Some(first) = rest.next().filter(|w| !w.starts_with(b"#")) else { return Ok(()) };
        if line.len() > LINE_MAX {
            return Err(TOO_LONG);
        }
        if line.iter().any(|b| *b != b'\t' && template::is_control(*b)) {
            return Err(CONTROL);
        }
        self.word = first;
        let known = WORDS.iter().find(|w| w.0.as_bytes() == first);
        let Some((_, word, least, most)) = known else { return Err("unknown word") };
        if matches!(word, Word::Template | Word::Require | Word::Groups | Word::Rc) {
            if self.section.line == 0 {
                return Err("outside of a section:");
            }
            if self.section.kind != SectionKind::Map && *word != Word::Template {
                return Err("not in a section of numbers:");
            }
        }
        let count = rest.count().min(255) as u8;
        if !(*least..=*most).contains(&count) {
            return Err(WRONG_WORDS);
        }
        let mut words = rest;
        let (one, two) = (words.next().unwrap_or_default(), words.next());
        match word {
            Word::Section(kind) => return self.section(*kind, rest, one, count),
            Word::Template => return self.template(rest.0.trim_ascii_start()),
            Word::Pin => return self.pin(one, two.unwrap_or_default()),
            Word::Deny => {
                self.check_globs(rest)?;
                self.config.deny.push(rest);
            }
            Word::Key | Word::Registry | Word::DenyFile => {
                self.word = one;
                let place = match word {
                    Word::Key => Some(&mut self.config.key),
                    Word::Registry => Some(&mut self.config.registry),
                    _ => None,
                };
                if place.as_ref().is_some_and(|p| p.is_some()) {
                    return Err("given twice, again as");
                }
                if !one.starts_with(b"/") {
                    return Err("a path that does not begin with /:");
                }
                match place {
                    Some(place) => *place = Some((self.line, one)),
                    None => self.config.deny_files.push(one),
                }
            }
            Word::Names => {
                let mixed = is_second(one, "lower", "mixed")?;
                self.config.letters = if mixed { Letters::Mixed } else { Letters::Lower };
            }
            Word::Rc => self.section.rc = is_second(one, "no", "yes")?,
            Word::Require => {
                self.word = two.unwrap_or(one);
                self.section.require.add(one, two)?;
            }
            Word::Groups => {
                let line = self.section.line;
                for name in rest {
                    self.config.groups.push(NamedGroup { line, name });
                }
            }
        }
        Ok(())
    }

    fn pin(&mut self, name: &'a [u8], number: &'a [u8]) -> Checked {
        self.word = name;
        if self.config.pinned(name).is_some() {
            return Err("a second pin for");
        }
        self.word = number;
        let uid = decimal_u32(number).ok_or("not a uid:")?;
        if self.config.holder_of(uid).is_some() {
            return Err("a second pin to");
        }
        self.config.pins.push(Pin { line: self.line, name, uid });
        Ok(())
    }

    fn check_globs(&mut self, globs: Words<'a>) -> Checked {
        for glob in globs {
            self.word = glob;
            glob_fault(glob).map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    fn section(
        &mut self,
        kind: SectionKind,
        rest: Words<'a>,
        range: &'a [u8],
        count: u8,
    ) -> Checked {
        let globs = if kind == SectionKind::Map { rest } else { Words::default() };
        self.end();
        (self.section.line, self.section.kind, self.section.globs) = (self.line, kind, globs);
        self.word = b"";
        if kind == SectionKind::Map {
            return if count == 0 {
                Err("a section without a glob")
            } else {
                self.check_globs(rest)
            };
        }
        if count != 1 {
            return Err("not one range LO-HI");
        }
        self.word = range;
        let ids = template::ids(range, template::LOWEST_NUMBER)?;
        let (Ids::Range { .. }, Some(bounds)) = (ids, ids.bounds()) else {
            return Err("not a range LO-HI:");
        };
        self.section.numbers = bounds;
        Ok(())
    }

    /// Ends the section in hand.
    fn end(&mut self) {
        let section = std::mem::take(self.section);
        let line = section.line;
        if self.has_template {
            self.config.sections.push(section);
        } else if line > 0 && self.problems.last().is_none_or(|p| p.line < line.into()) {
            // If one of its lines was bad, that was told already.
            Problem::add(self.problems, line, "a section without a template", b"");
        }
        self.has_template = false;
    }

    fn template(&mut self, text: &'a [u8]) -> Checked {
        self.word = b"";
        if self.has_template {
            return Err("a second template in the section");
        }
        let (parts, count) = fields(text);
        let (kind, (_, last)) = (self.section.kind, self.section.numbers);
        let [name, _, id, gid, gecos, home, shell] = &parts;
        let mut home = *home;
        let template = &mut self.section.template;
        if kind != SectionKind::Gids || count == parts.len() {
            if count < parts.len() {
                return Err(TOO_FEW);
            }
            text_fault(&parts)?;
            if kind != SectionKind::Map && home.is_empty() {
                return Err(NO_HOME);
            }
            self.word = id;
            if kind == SectionKind::Map {
                template.ids = template::ids(id, template::LOWEST)?;
            } else if *id != b"=" {
                return Err("in a section of numbers the id must be =, not");
            }
            template.gid = GidOf::Uid;
            if *gid == b"0" && kind != SectionKind::Map {
                // Container platforms run any uid with group 0.
                template.gid = GidOf::One(0);
            } else if *gid != b"=" {
                self.word = gid;
                let lowest = match kind {
                    SectionKind::Map => template::LOWEST,
                    _ => template::LOWEST_NUMBER,
                };
                template.gid = GidOf::One(template::id(gid, lowest)?);
            } else if kind == SectionKind::Map && !matches!(template.ids, Ids::Range { .. }) {
                return Err("a gid of the user's own needs a range of uids, not");
            }
            (template.gecos, template.shell) = (gecos, shell);
        } else if count == 4 && *id == b"=" && gid.is_empty() {
            // A group(5) line, `NAME:x:=:`; of a whole template the name counts, too.
            home = b"/";
        } else {
            self.word = text;
            return Err("not NAME:x:=: (nor seven fields)");
        }
        self.word = name;
        template.name = Pattern::literal(name);
        if kind != SectionKind::Map {
            name_numbers(&mut template.name, name, last)?;
        }
        self.word = home;
        match kind {
            SectionKind::Map => template.home.parse_home(home)?,
            _ => template.home.parse(home)?,
        }
        self.has_template = true;
        Ok(())
    }
}

/// Which of two words this is.
fn is_second(word: &[u8], first: &str, second: &str) -> Result<bool, &'static str> {
    let is = word == second.as_bytes();
    if is || word == first.as_bytes() { Ok(is) } else { Err(WRONG_WORDS) }
}

/// What can be judged only when all is read.
fn check<'a>(config: &Config<'a>, problems: &mut Vec<Problem<'a>>) {
    let (mut numbers, mut gids, mut first) = (0, false, 0);
    let (mut derives, mut registers) = (false, false);
    for section in &config.sections {
        if section.kind == SectionKind::Map {
            first = if first == 0 { section.line } else { first };
            derives |= section.derives();
            registers |= section.derives() && !section.require.is_empty();
            continue;
        }
        gids |= section.kind == SectionKind::Gids;
        numbers += 1;
        if numbers == NUMBERS_MAX + 1 {
            Problem::add(problems, section.line, "more than 8 sections of numbers", b"");
        }
    }
    overlaps(config, SectionKind::Uids, problems);
    // Those of the maps alone were told as uids.
    if gids {
        overlaps(config, SectionKind::Gids, problems);
    }
    if derives && config.key.is_none() {
        Problem::add(problems, first, "a range needs a key", b"");
    }
    if let Some((line, _)) = config.registry.filter(|_| derives && !registers) {
        let what = "a registry needs a section with a range and a require";
        Problem::add(problems, line, what, b"");
    }
    for pin in &config.pins {
        let section = config.section_of(pin.name);
        let what = if !fits(pin.name, config.letters) {
            FORBIDDEN
        } else if !section.is_some_and(|s| s.derives()) {
            "a pin for a name that no section derives:"
        } else if !section.is_some_and(|s| s.template.ids.range_has(pin.uid)) {
            "a pin outside of the range of its section:"
        } else {
            continue;
        };
        Problem::add(problems, pin.line, what, pin.name);
    }
}

/// Ranges must not overlap; only equal single ids may be.
fn overlaps(config: &Config, kind: SectionKind, problems: &mut Vec<Problem>) {
    for (at, section) in config.sections.iter().enumerate() {
        let Some((low, high)) = section.gives(kind) else { continue };
        let meets = |other: &Section| {
            other.gives(kind).is_some_and(|(lower, top)| {
                lower <= high && low <= top && (low != high || lower != top)
            })
        };
        if config.sections.iter().take(at).any(meets) {
            let what = "its range overlaps that of an earlier section";
            Problem::add(problems, section.line, what, b"");
        }
    }
}

/// The name of a section of numbers must be one that people may have, with the largest number in.
fn name_numbers<'a>(name: &mut Pattern<'a>, text: &'a [u8], last: u32) -> Result<(), &'static str> {
    name.parse(text)?;
    let mut room = [0; DECIMAL_MAX];
    let whole = name.pieces(write_decimal(u64::from(last), &mut room)).concat();
    if fits(&whole, Letters::Mixed) { Ok(()) } else { Err(FORBIDDEN) }
}
