//! The second format: `nssmap 2`, then settings and sections. Every error is kept, with its line.

use super::config::{Config, Kind, Lines, Pin, Problem, Section, Words};
use super::names::{Letters, fits, glob_fault};
use super::template::{
    self, CONTROL, GidOf, Ids, LINE_MAX, NO_HOME, Pattern, TOO_FEW, TOO_LONG, Template, fields,
    text_fault,
};
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
    Section(Kind),
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
    ("map", Word::Section(Kind::Map), 0, u8::MAX),
    ("uids", Word::Section(Kind::Uids), 0, u8::MAX),
    ("gids", Word::Section(Kind::Gids), 0, u8::MAX),
    ("template", Word::Template, 0, u8::MAX),
    ("require", Word::Require, 1, 2),
    ("groups", Word::Groups, 1, u8::MAX),
    ("rc", Word::Rc, 1, 1),
];

/// What is wrong with the words behind one of these.
const WRONG_WORDS: &str = "wrong or missing words behind";

/// What is wrong with a name, of a pin or of a section of numbers.
const FORBIDDEN: &str = "a name that the rule for names forbids:";

/// Something is wrong, and was kept.
struct Kept;

/// What was found wrong.
struct Faults<'a, 'p> {
    list: &'p mut Vec<Problem<'a>>,
    /// The number of the line in hand.
    line: u64,
}

/// What is being read.
struct Reader<'a, 'p> {
    config: &'p mut Config<'a>,
    faults: Faults<'a, 'p>,
    /// The section in hand, which is the last one, has its template.
    has_template: bool,
}

/// Reads a whole file.
pub fn read<'a>(text: &'a [u8], config: &mut Config<'a>, problems: &mut Vec<Problem<'a>>) {
    let faults = Faults { list: problems, line: 0 };
    let mut reader = Reader { config, faults, has_template: false };
    for line in Lines(text) {
        reader.faults.line += 1;
        if reader.faults.line > 1 {
            // What is wrong with it was kept, and the next one is looked at.
            let _ = reader.take(line.strip_suffix(b"\r").unwrap_or(line));
        }
    }
    reader.close();
    reader.check();
}

impl<'a> Faults<'a, '_> {
    /// Keeps an error of the line in hand.
    fn wrong(&mut self, what: &'static str, word: &'a [u8]) -> Kept {
        self.at(self.line, what, word);
        Kept
    }

    fn at(&mut self, line: u64, what: &'static str, word: &'a [u8]) {
        self.list.push(Problem { line, what, word, warning: false });
    }
}

impl<'a> Reader<'a, '_> {
    fn take(&mut self, line: &'a [u8]) -> Result<(), Kept> {
        let mut rest = Words(line);
        let Some(first) = rest.next().filter(|w| !w.starts_with(b"#")) else { return Ok(()) };
        if line.len() > LINE_MAX {
            return Err(self.faults.wrong(TOO_LONG, b""));
        }
        if line.iter().any(|b| *b != b'\t' && template::is_control(*b)) {
            return Err(self.faults.wrong(CONTROL, b""));
        }
        let (mut one, mut two, mut count) = (&b""[..], &b""[..], 0u8);
        for word in rest {
            match count {
                0 => one = word,
                1 => two = word,
                _ => {}
            }
            count = count.saturating_add(1);
        }
        let known = WORDS.iter().find(|w| w.0.as_bytes() == first);
        let Some((_, word, least, most)) = known else {
            return Err(self.faults.wrong("unknown word", first));
        };
        if matches!(word, Word::Template | Word::Require | Word::Groups | Word::Rc) {
            match self.config.sections.last() {
                None => return Err(self.faults.wrong("outside of a section:", first)),
                Some(section) if section.kind != Kind::Map && *word != Word::Template => {
                    return Err(self.faults.wrong("not in a section of numbers:", first));
                }
                Some(_) => {}
            }
        }
        if !(*least..=*most).contains(&count) {
            return Err(self.faults.wrong(WRONG_WORDS, first));
        }
        match word {
            Word::Section(kind) => return self.section(*kind, rest, one, count),
            Word::Template => return self.template(rest.0.trim_ascii_start()),
            Word::Pin => return self.pin(one, two),
            Word::Deny => {
                self.check_globs(rest)?;
                self.config.deny.push(rest);
            }
            Word::Key | Word::Registry | Word::DenyFile => {
                let place = match word {
                    Word::Key => Some(&mut self.config.key),
                    Word::Registry => Some(&mut self.config.registry),
                    _ => None,
                };
                let again = place.as_ref().is_some_and(|p| p.is_some());
                if again {
                    return Err(self.faults.wrong("given twice, again as", one));
                }
                if !one.starts_with(b"/") {
                    return Err(self.faults.wrong("a path that does not begin with /:", one));
                }
                match place {
                    Some(place) => *place = Some((self.faults.line, one)),
                    None => self.config.deny_files.push(one),
                }
            }
            Word::Names | Word::Rc => {
                let (no, yes): (&[u8], &[u8]) =
                    if *word == Word::Rc { (b"no", b"yes") } else { (b"lower", b"mixed") };
                if one != no && one != yes {
                    return Err(self.faults.wrong(WRONG_WORDS, first));
                }
                match self.config.sections.last_mut().filter(|_| *word == Word::Rc) {
                    Some(section) => section.rc = one == yes,
                    None if one == yes => self.config.letters = Letters::Mixed,
                    None => self.config.letters = Letters::Lower,
                }
            }
            Word::Require | Word::Groups => {
                let Some(section) = self.config.sections.last_mut() else { return Ok(()) };
                if *word == Word::Groups {
                    section.groups.push(rest);
                } else {
                    let path = (count > 1).then_some(two);
                    let added = section.require.add(one, path);
                    added.map_err(|what| self.faults.wrong(what, path.unwrap_or(one)))?;
                }
            }
        }
        Ok(())
    }

    fn pin(&mut self, name: &'a [u8], number: &'a [u8]) -> Result<(), Kept> {
        if self.config.pinned(name).is_some() {
            return Err(self.faults.wrong("a second pin for", name));
        }
        let Some(uid) = decimal_u32(number) else {
            return Err(self.faults.wrong("not a uid:", number));
        };
        if self.config.holder_of(uid).is_some() {
            return Err(self.faults.wrong("a second pin to", number));
        }
        self.config.pins.push(Pin { line: self.faults.line, name, uid });
        Ok(())
    }

    fn check_globs(&mut self, globs: Words<'a>) -> Result<(), Kept> {
        for glob in globs {
            if let Some(what) = glob_fault(glob) {
                return Err(self.faults.wrong(what, glob));
            }
        }
        Ok(())
    }

    fn section(
        &mut self,
        kind: Kind,
        rest: Words<'a>,
        range: &'a [u8],
        count: u8,
    ) -> Result<(), Kept> {
        self.close();
        let globs = if kind == Kind::Map { rest } else { Words::default() };
        let line = self.faults.line;
        self.config.begin(line, kind, globs);
        self.has_template = false;
        if kind == Kind::Map {
            if count == 0 {
                return Err(self.faults.wrong("a section without a glob", b""));
            }
            return self.check_globs(rest);
        }
        if count != 1 {
            return Err(self.faults.wrong("not one range LO-HI", b""));
        }
        let ids = template::ids(range).map_err(|what| self.faults.wrong(what, range))?;
        let (Ids::Range { .. }, Some(bounds)) = (ids, ids.bounds()) else {
            return Err(self.faults.wrong("not a range LO-HI:", range));
        };
        if let Some(section) = self.config.sections.last_mut() {
            section.numbers = bounds;
        }
        Ok(())
    }

    /// Ends the section in hand.
    fn close(&mut self) {
        let Some(open) = self.config.sections.last().filter(|_| !self.has_template) else { return };
        let line = open.line;
        self.config.sections.pop();
        // If its line was bad, that was told already.
        if !self.faults.list.iter().any(|p| !p.warning && p.line >= line) {
            self.faults.at(line, "a section without a template", b"");
        }
    }

    fn template(&mut self, text: &'a [u8]) -> Result<(), Kept> {
        if self.has_template {
            return Err(self.faults.wrong("a second template in the section", b""));
        }
        let mut parts = [&b""[..]; 7];
        let count = fields(text, &mut parts);
        let Some(section) = self.config.sections.last_mut() else { return Ok(()) };
        let (kind, (_, last)) = (section.kind, section.numbers);
        let [name, _, id, gid, gecos, mut home, shell] = parts;
        let template = &mut section.template;
        *template = Template::default();
        if kind != Kind::Gids || count == parts.len() {
            if count < parts.len() {
                return Err(self.faults.wrong(TOO_FEW, b""));
            }
            if let Some(what) = text_fault(&parts) {
                return Err(self.faults.wrong(what, b""));
            }
            if kind == Kind::Map {
                template.ids = template::ids(id).map_err(|what| self.faults.wrong(what, id))?;
            } else if home.is_empty() {
                return Err(self.faults.wrong(NO_HOME, b""));
            } else if id != b"=" {
                let what = "in a section of numbers the id must be =, not";
                return Err(self.faults.wrong(what, id));
            }
            if gid == b"0" && kind != Kind::Map {
                // Container platforms run any uid with group 0.
                template.gid = GidOf::One(0);
            } else if gid != b"=" {
                let one = template::id(gid).map_err(|what| self.faults.wrong(what, gid))?;
                template.gid = GidOf::One(one);
            } else if kind == Kind::Map && !matches!(template.ids, Ids::Range { .. }) {
                let what = "a gid of the user's own needs a range of uids, not";
                return Err(self.faults.wrong(what, id));
            }
            (template.gecos, template.shell) = (gecos, shell);
        } else if count == 4 && id == b"=" && gid.is_empty() {
            // A group(5) line, `NAME:x:=:`; of a whole template the name counts, too.
            home = b"/";
        } else {
            return Err(self.faults.wrong("not NAME:x:=: (nor seven fields)", text));
        }
        template.name = Pattern::literal(name);
        if kind != Kind::Map {
            let named = name_numbers(&mut template.name, name, last);
            named.map_err(|what| self.faults.wrong(what, name))?;
        }
        let housed = match kind {
            Kind::Map => template.home.parse_home(home),
            _ => template.home.parse(home),
        };
        housed.map_err(|what| self.faults.wrong(what, home))?;
        self.has_template = true;
        Ok(())
    }

    /// What can be judged only when all is read.
    fn check(&mut self) {
        let Reader { config, faults, .. } = self;
        let numbers = |s: &&Section| s.kind != Kind::Map;
        if let Some(over) = config.sections.iter().filter(numbers).nth(NUMBERS_MAX) {
            faults.at(over.line, "more than 8 sections of numbers", b"");
        }
        overlaps(config, Kind::Uids, faults);
        // Those of the maps alone were told as uids.
        if config.sections.iter().any(|s| s.kind == Kind::Gids) {
            overlaps(config, Kind::Gids, faults);
        }
        let derives = config.derives();
        if derives && config.key.is_none() {
            let first = config.sections.iter().find(|s| s.kind == Kind::Map);
            faults.at(first.map_or(1, |s| s.line), "a range needs a key", b"");
        }
        if let Some((line, _)) = config.registry.filter(|_| derives) {
            if !config.sections.iter().any(|s| s.derives() && !s.require.is_empty()) {
                let what = "a registry needs a section with a range and a require";
                faults.at(line, what, b"");
            }
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
            faults.at(pin.line, what, pin.name);
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

/// Ranges must not overlap; only two equal single ids may be.
fn overlaps(config: &Config, kind: Kind, faults: &mut Faults) {
    // One after the other, from the lowest: there are few.
    let (mut last, mut last_line, mut line) = (None, 0, 0);
    loop {
        let mut next = None;
        for (at, section) in config.sections.iter().enumerate() {
            let Some((low, high)) = section.gives(kind) else { continue };
            let place = Some((low, high, at));
            if place > last && (next.is_none() || place < next) {
                (next, line) = (place, section.line);
            }
        }
        let Some((low, high, _)) = next else { return };
        if let Some((lower, top, _)) = last {
            let equal = (lower, top) == (low, high) && low == high;
            if low <= top && !equal {
                let what = "its range overlaps that of an earlier section";
                faults.at(line.max(last_line), what, b"");
            }
        }
        (last, last_line) = (next, line);
    }
}
