//! The second format: `nssmap 2`, then settings and sections. Every error is kept, with its line.

use super::config::{Config, Kind, Numbers, Pin, Problem, Require, Section};
use super::names::{Letters, NAME_MAX, fits, glob_fault};
use super::template::{self, GidOf, Ids, LINE_MAX, Pattern, Template, fields, text_fault};
use nssproto::bytes::{DECIMAL_MAX, decimal_u32, write_decimal};

/// What the first line is.
pub const FIRST: &[u8] = b"nssmap 2";

/// Sections of numbers.
const NUMBERS_MAX: usize = 8;

/// A section that is being read.
struct Open {
    line: u64,
    what: What,
    template: Option<Template>,
    require: Require,
    groups: Vec<Vec<u8>>,
    rc: bool,
}

enum What {
    Map(Vec<Vec<u8>>),
    Numbers(Kind, (u32, u32)),
}

struct Reader<'a> {
    config: Config,
    problems: &'a mut Vec<Problem>,
    open: Option<Open>,
    line: u64,
}

/// A word that is wrong, and why.
type Fault<'a> = (&'static str, &'a [u8]);

/// Reads a whole file.
pub fn read(text: &[u8], problems: &mut Vec<Problem>) -> Config {
    let mut reader = Reader { config: Config::default(), problems, open: None, line: 1 };
    for (number, line) in (1..).zip(text.split(|b| *b == b'\n')).skip(1) {
        reader.line = number;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Err((what, word)) = reader.take(line) {
            reader.problems.push(Problem::error(number, what, word));
        }
    }
    reader.close();
    let Reader { config, problems, .. } = reader;
    check(&config, problems);
    config
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|b| *b == b' ' || *b == b'\t').filter(|w| !w.is_empty())
}

impl Reader<'_> {
    fn take<'a>(&mut self, line: &'a [u8]) -> Result<(), Fault<'a>> {
        let mut words = words(line);
        let Some(first) = words.next().filter(|w| !w.starts_with(b"#")) else { return Ok(()) };
        if line.len() > LINE_MAX {
            return Err(("a line of more than 2048 bytes", b""));
        }
        if line.iter().any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f) {
            return Err(("a control character", b""));
        }
        let rest: Vec<&[u8]> = words.collect();
        match first {
            b"map" | b"uids" | b"gids" => self.begin(first, &rest),
            b"template" => self.template(line),
            b"require" | b"groups" | b"rc" => self.setting(first, &rest),
            _ => self.global(first, &rest),
        }
    }

    fn global<'a>(&mut self, word: &'a [u8], rest: &[&'a [u8]]) -> Result<(), Fault<'a>> {
        let line = self.line;
        let config = &mut self.config;
        match (word, rest) {
            (b"key", [path]) => set_path(&mut config.key, line, path)?,
            (b"registry", [path]) => set_path(&mut config.registry, line, path)?,
            (b"deny-file", [path]) => {
                config.deny_files.push((line, absolute(path)?.to_vec()));
            }
            (b"names", [b"lower"]) => config.letters = Letters::Lower,
            (b"names", [b"mixed"]) => config.letters = Letters::Mixed,
            (b"deny", globs) if !globs.is_empty() => {
                for glob in globs {
                    config.deny.push(checked_glob(glob)?.to_vec());
                }
            }
            (b"pin", [name, uid]) => {
                if config.pinned(name).is_some() {
                    return Err(("a second pin for", name));
                }
                let number = decimal_u32(uid).ok_or(("not a uid:", *uid))?;
                if config.holder_of(number).is_some() {
                    return Err(("a second pin to", uid));
                }
                config.pins.push(Pin { line, name: name.to_vec(), uid: number });
            }
            (b"key" | b"registry" | b"deny-file" | b"names" | b"deny" | b"pin", _) => {
                return Err(("wrong or missing words behind", word));
            }
            _ => return Err(("unknown word", word)),
        }
        Ok(())
    }

    fn begin<'a>(&mut self, word: &[u8], rest: &[&'a [u8]]) -> Result<(), Fault<'a>> {
        self.close();
        let what = match word {
            b"map" => What::Map(rest.iter().map(|g| g.to_vec()).collect()),
            b"uids" => What::Numbers(Kind::Uids, (0, 0)),
            _ => What::Numbers(Kind::Gids, (0, 0)),
        };
        let open = self.open.insert(Open {
            line: self.line,
            what,
            template: None,
            require: Require::default(),
            groups: Vec::new(),
            rc: false,
        });
        match (&mut open.what, rest) {
            (What::Map(_), []) => return Err(("a section without a glob", b"")),
            (What::Map(_), globs) => {
                for glob in globs {
                    checked_glob(glob)?;
                }
            }
            (What::Numbers(_, bounds), [range]) => {
                *bounds = match template::ids(range) {
                    Ok(ids @ Ids::Range { .. }) => ids.bounds().unwrap_or_default(),
                    Ok(_) => return Err(("not a range LO-HI:", range)),
                    Err(what) => return Err((what, range)),
                };
            }
            (What::Numbers(..), _) => return Err(("not one range LO-HI", b"")),
        }
        Ok(())
    }

    fn template<'a>(&mut self, line: &'a [u8]) -> Result<(), Fault<'a>> {
        let open = self.open.as_mut().ok_or(("outside of a section:", &b"template"[..]))?;
        if open.template.is_some() {
            return Err(("a second template in the section", b""));
        }
        let text = line.trim_ascii_start().strip_prefix(b"template").unwrap_or_default();
        let text = text.trim_ascii_start();
        open.template = Some(match &open.what {
            What::Map(_) => map_template(text),
            What::Numbers(Kind::Uids, bounds) => uid_template(text, *bounds),
            What::Numbers(Kind::Gids, bounds) => gid_template(text, *bounds),
        }?);
        Ok(())
    }

    fn setting<'a>(&mut self, word: &'a [u8], rest: &[&'a [u8]]) -> Result<(), Fault<'a>> {
        let open = self.open.as_mut().ok_or(("outside of a section:", word))?;
        if !matches!(open.what, What::Map(_)) {
            return Err(("not in a section of numbers:", word));
        }
        match (word, rest) {
            (b"require", [what]) => open.require.add(what, None).map_err(|e| (e, *what)),
            (b"require", [what, path]) => {
                open.require.add(what, Some(path)).map_err(|e| (e, *path))
            }
            (b"groups", [_, ..]) => {
                open.groups.extend(rest.iter().map(|g| g.to_vec()));
                Ok(())
            }
            (b"rc", [b"yes"]) => {
                open.rc = true;
                Ok(())
            }
            (b"rc", [b"no"]) => {
                open.rc = false;
                Ok(())
            }
            _ => Err(("wrong or missing words behind", word)),
        }
    }

    /// Ends the section in hand.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let Open { line, what, template, require, groups, rc } = open;
        let Some(template) = template else {
            // If its line was bad, that was told already.
            let bad = |p: &Problem| !p.warning && p.line >= line;
            if !self.problems.iter().any(bad) {
                self.problems.push(Problem::error(line, "a section without a template", b""));
            }
            return;
        };
        match what {
            What::Map(globs) => {
                let section = Section { line, globs, template, require, groups, rc };
                self.config.sections.push(section);
            }
            What::Numbers(kind, bounds) => {
                self.config.numbers.push(Numbers { line, kind, bounds, template });
            }
        }
    }
}

fn set_path<'a>(
    place: &mut Option<(u64, Vec<u8>)>,
    line: u64,
    path: &'a [u8],
) -> Result<(), Fault<'a>> {
    if place.is_some() {
        return Err(("given twice, again as", path));
    }
    *place = Some((line, absolute(path)?.to_vec()));
    Ok(())
}

fn absolute(path: &[u8]) -> Result<&[u8], Fault<'_>> {
    if path.starts_with(b"/") {
        Ok(path)
    } else {
        Err(("a path that does not begin with /:", path))
    }
}

fn checked_glob(glob: &[u8]) -> Result<&[u8], Fault<'_>> {
    glob_fault(glob).map_or(Ok(glob), |what| Err((what, glob)))
}

fn map_template(text: &[u8]) -> Result<Template, Fault<'_>> {
    let parts = fields(text).ok_or(("fewer than seven fields", &b""[..]))?;
    if let Some(what) = text_fault(&parts) {
        return Err((what, b""));
    }
    let [name, _, uid, gid, gecos, home, shell] = parts;
    let ids = template::ids(uid).map_err(|what| (what, uid))?;
    let gid = match (gid, ids) {
        (b"=", Ids::Range { .. }) => GidOf::Uid,
        (b"=", _) => return Err(("a gid of the user's own needs a range of uids, not", uid)),
        _ => GidOf::One(template::id(gid).map_err(|what| (what, gid))?),
    };
    Ok(Template {
        name: Pattern { before: name.to_vec(), after: None },
        ids,
        gid,
        gecos: gecos.to_vec(),
        home: template::home(home).map_err(|what| (what, home))?,
        shell: shell.to_vec(),
    })
}

fn uid_template(text: &[u8], bounds: (u32, u32)) -> Result<Template, Fault<'_>> {
    let parts = fields(text).ok_or(("fewer than seven fields", &b""[..]))?;
    if let Some(what) = text_fault(&parts) {
        return Err((what, b""));
    }
    let [name, _, id, gid, gecos, home, shell] = parts;
    if home.is_empty() {
        return Err((template::NO_HOME, b""));
    }
    if id != b"=" {
        return Err(("in a section of numbers the id must be =, not", id));
    }
    let gid = match gid {
        b"=" => GidOf::Uid,
        // Container platforms run any uid with group 0.
        b"0" => GidOf::One(0),
        _ => GidOf::One(template::id(gid).map_err(|what| (what, gid))?),
    };
    Ok(Template {
        name: number_name(name, bounds)?,
        ids: Ids::Asked,
        gid,
        gecos: gecos.to_vec(),
        home: Pattern::parse(home).map_err(|what| (what, home))?,
        shell: shell.to_vec(),
    })
}

/// A group(5) line, `NAME:x:=:`; or a whole template, of which the name counts.
fn gid_template(text: &[u8], bounds: (u32, u32)) -> Result<Template, Fault<'_>> {
    if fields(text).is_some() {
        return uid_template(text, bounds);
    }
    let mut parts = text.split(|b| *b == b':');
    let (name, _, id) = (parts.next(), parts.next(), parts.next());
    let (Some(name), Some(b"="), Some(b""), None) = (name, id, parts.next(), parts.next()) else {
        return Err(("not NAME:x:=: (nor seven fields)", text));
    };
    Ok(Template {
        name: number_name(name, bounds)?,
        ids: Ids::Asked,
        gid: GidOf::Uid,
        gecos: Vec::new(),
        home: Pattern { before: b"/".to_vec(), after: None },
        shell: Vec::new(),
    })
}

/// The name of a section of numbers must be one that people may have, with the largest number in.
fn number_name(text: &[u8], bounds: (u32, u32)) -> Result<Pattern, Fault<'_>> {
    let name = Pattern::parse(text).map_err(|what| (what, text))?;
    let mut room = [0; DECIMAL_MAX];
    let digits = write_decimal(u64::from(bounds.1), &mut room);
    let whole: Vec<u8> = name.pieces(digits).collect::<Vec<_>>().concat();
    if !fits(&whole, Letters::Mixed) {
        return Err(("a name that the rule for names forbids:", text));
    }
    Ok(name)
}

/// What can be judged only when all is read.
fn check(config: &Config, problems: &mut Vec<Problem>) {
    let mut error = |line, what, word: &[u8]| problems.push(Problem::error(line, what, word));
    if config.numbers.len() > NUMBERS_MAX {
        let line = config.numbers.get(NUMBERS_MAX).map_or(0, |n| n.line);
        error(line, "more than 8 sections of numbers", b"");
    }
    let maps = config.sections.iter();
    let uids = maps.clone().filter_map(|s| Some((s.line, s.template.ids.bounds()?)));
    let numbers = |kind| config.numbers.iter().filter(move |n| n.kind == kind);
    let of = |kind| numbers(kind).map(|n| (n.line, n.bounds));
    overlaps(uids.chain(of(Kind::Uids)).collect(), &mut error);
    let gids = maps.filter(|s| s.template.gid == GidOf::Uid);
    let gids = gids.filter_map(|s| Some((s.line, s.template.ids.bounds()?)));
    let before = gids.clone().count();
    let gids: Vec<_> = gids.chain(of(Kind::Gids)).collect();
    // Those of the maps alone were told as uids.
    if gids.len() > before {
        overlaps(gids, &mut error);
    }
    let derives = config.derives();
    match &config.key {
        None if derives => {
            let line = config.sections.first().map_or(1, |s| s.line);
            error(line, "a range needs a key", b"");
        }
        _ => {}
    }
    if let Some((line, _)) = &config.registry {
        let used =
            |s: &Section| !s.require.is_empty() && matches!(s.template.ids, Ids::Range { .. });
        if derives && !config.sections.iter().any(used) {
            error(*line, "a registry needs a section with a range and a require", b"");
        }
    }
    for pin in &config.pins {
        let section = config.section_of(&pin.name).and_then(|s| config.sections.get(s));
        if pin.name.len() > NAME_MAX || !fits(&pin.name, config.letters) {
            error(pin.line, "a name that the rule for names forbids:", &pin.name);
            continue;
        }
        match section.map(|s| s.template.ids) {
            Some(ids @ Ids::Range { .. })
                if ids.bounds().is_some_and(|(lo, hi)| (lo..=hi).contains(&pin.uid)) => {}
            Some(Ids::Range { .. }) => {
                error(pin.line, "a pin outside of the range of its section:", &pin.name);
            }
            _ => error(pin.line, "a pin for a name that no section derives:", &pin.name),
        }
    }
}

/// Ranges must not overlap; only two equal single ids may be.
fn overlaps(mut ranges: Vec<(u64, (u32, u32))>, error: &mut impl FnMut(u64, &'static str, &[u8])) {
    ranges.sort_by_key(|r| r.1);
    for pair in ranges.windows(2) {
        let [(a, one), (b, other)] = pair else { continue };
        let equal = one == other && one.0 == one.1;
        if other.0 <= one.1 && !equal {
            error(*a.max(b), "its range overlaps that of an earlier section", b"");
        }
    }
}
