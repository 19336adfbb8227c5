//! Python's INI dialect, as its configparser reads it: what nsscache.conf is written in.
//!
//! `[section]`; `key = value` or `key: value`, whichever stands first; keys are lower case; `#` and `;`
//! begin a comment line, and never a comment behind a value; a line that is indented deeper than its
//! key continues the value; `[DEFAULT]` holds what all sections have. `%(key)s` is replaced.
//!
//! Otherwise than there, a `%` that is no such reference stands for itself: passwords have some.

use std::fmt::{self, Display, Formatter};

/// The section whose keys all others have.
pub const DEFAULT: &str = "DEFAULT";

/// How deep `%(key)s` may lead, as in Python: a key that names itself would have no end.
const DEPTH: usize = 10;

/// A file, read.
#[derive(Debug, Default)]
pub struct Ini {
    /// In their order.
    pub sections: Vec<Section>,
}

/// A section. `[DEFAULT]` may come several times, which is one.
#[derive(Debug)]
pub struct Section {
    /// As it stands between the brackets.
    pub name: String,
    /// Where it begins.
    pub line: usize,
    /// In their order.
    pub keys: Vec<Key>,
}

/// A key and its value.
#[derive(Debug)]
pub struct Key {
    /// In lower case.
    pub name: String,
    /// As it stands, lines of it joined by LF.
    pub value: String,
    /// Where it begins.
    pub line: usize,
}

/// What is wrong, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// In words.
    pub what: String,
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Where a line of a value goes.
struct Place {
    section: usize,
    /// `None` behind a header: what is indented there continues nothing.
    key: Option<usize>,
    indent: usize,
}

impl Ini {
    /// Reads a whole file.
    pub fn parse(text: &[u8]) -> Result<Ini, Fault> {
        let mut ini = Ini::default();
        let mut place: Option<Place> = None;
        for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let number = at + 1;
            let fault = |what: &str| Fault { line: number, what: what.to_owned() };
            let line = std::str::from_utf8(line).map_err(|_| fault("no UTF-8"))?;
            let value = line.trim();
            if value.starts_with(['#', ';']) {
                continue;
            }
            if value.is_empty() {
                // An empty line may stand inside a value.
                if let Some(key) = place.as_ref().and_then(|place| ini.key_at(place)) {
                    key.value.push('\n');
                }
                continue;
            }
            let indent = line.len() - line.trim_start().len();
            if let Some(at) = &place
                && at.key.is_some()
                && indent > at.indent
            {
                if let Some(key) = ini.key_at(at) {
                    key.value.push('\n');
                    key.value.push_str(value);
                }
            } else if let Some(name) = header(value) {
                let section = ini.section_for(name, number)?;
                place = Some(Place { section, key: None, indent });
            } else {
                let Some(at) = &mut place else {
                    return Err(fault("a key in front of all sections"));
                };
                at.indent = indent;
                at.key = Some(ini.add(at.section, value, number)?);
            }
        }
        for key in ini.sections.iter_mut().flat_map(|section| &mut section.keys) {
            key.value.truncate(key.value.trim_end().len());
        }
        Ok(ini)
    }

    fn key_at(&mut self, place: &Place) -> Option<&mut Key> {
        self.sections.get_mut(place.section)?.keys.get_mut(place.key?)
    }

    fn section_for(&mut self, name: &str, line: usize) -> Result<usize, Fault> {
        match self.sections.iter().position(|section| section.name == name) {
            Some(at) if name == DEFAULT => Ok(at),
            Some(_) => Err(Fault { line, what: format!("section [{name}] again") }),
            None => {
                self.sections.push(Section { name: name.to_owned(), line, keys: Vec::new() });
                Ok(self.sections.len() - 1)
            }
        }
    }

    fn add(&mut self, section: usize, line: &str, number: usize) -> Result<usize, Fault> {
        let fault = |what: String| Fault { line: number, what };
        let Some((name, value)) = line.split_once(['=', ':']) else {
            return Err(fault(format!("neither a section nor a key with a value: {line}")));
        };
        let name = name.trim().to_lowercase();
        let Some(section) = self.sections.get_mut(section) else { return Ok(0) };
        if name.is_empty() {
            return Err(fault("a value without a key".to_owned()));
        }
        if section.keys.iter().any(|key| key.name == name) {
            return Err(fault(format!("{name} again in section [{}]", section.name)));
        }
        let value = value.trim().to_owned();
        section.keys.push(Key { name, value, line: number });
        Ok(section.keys.len() - 1)
    }

    /// The section of this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// A key of a section, or else of `[DEFAULT]`, as it stands.
    pub fn key(&self, section: &str, name: &str) -> Option<&Key> {
        let of = |section: &str| self.section(section)?.keys.iter().find(|key| key.name == name);
        of(section).or_else(|| of(DEFAULT))
    }

    /// The value of such a key, with all references replaced.
    pub fn value(&self, section: &str, name: &str) -> Result<Option<String>, Fault> {
        let Some(key) = self.key(section, name) else { return Ok(None) };
        self.replaced(section, key, &key.value, 0).map(Some)
    }

    fn replaced(
        &self,
        section: &str,
        key: &Key,
        value: &str,
        depth: usize,
    ) -> Result<String, Fault> {
        let fault = |what: String| Fault { line: key.line, what };
        if depth > DEPTH {
            return Err(fault(format!("{} leads to itself", key.name)));
        }
        let mut out = String::new();
        let mut rest = value;
        while let Some((front, behind)) = rest.split_once('%') {
            out.push_str(front);
            rest = behind;
            if let Some(behind) = behind.strip_prefix('%') {
                out.push('%');
                rest = behind;
            } else if let Some((name, behind)) = reference(behind) {
                let name = name.to_lowercase();
                let Some(other) = self.key(section, &name) else {
                    return Err(fault(format!("%({name})s: there is no such key")));
                };
                out.push_str(&self.replaced(section, other, &other.value, depth + 1)?);
                rest = behind;
            } else {
                out.push('%');
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    /// Whether some value refers to this key.
    pub fn is_referred_to(&self, name: &str) -> bool {
        let keys = self.sections.iter().flat_map(|section| &section.keys);
        keys.flat_map(|key| key.value.split('%'))
            .filter_map(reference)
            .any(|(found, _)| found.to_lowercase() == name)
    }
}

/// The name between the brackets of a header, and nothing of what is behind them.
fn header(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix('[')?.rsplit_once(']')?;
    (!name.is_empty()).then_some(name)
}

/// `(name)s` at the front, and what is behind it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (name, behind) = text.strip_prefix('(')?.split_once(')')?;
    Some((name, behind.strip_prefix('s')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, section: &str, key: &str) -> Option<String> {
        Ini::parse(text.as_bytes()).unwrap().value(section, key).unwrap()
    }

    fn fault(text: &str) -> String {
        Ini::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn values_are_as_python_reads_them() {
        // Each of these was read by Python's configparser.
        let text = "[DEFAULT]\nA = 1 ; no comment\nb:2=3\n c = more\n# comment\n; comment\n  \n\
                    \n    even more\nd=\ne = x\n[m]\na = mine\n";
        assert_eq!(value(text, "m", "a").unwrap(), "mine");
        assert_eq!(value(text, "x", "a").unwrap(), "1 ; no comment");
        assert_eq!(value(text, "m", "b").unwrap(), "2=3\nc = more\n\n\neven more");
        assert_eq!(value(text, "m", "c"), None);
        assert_eq!(value(text, "m", "d").unwrap(), "");
        assert_eq!(value(text, "m", "e").unwrap(), "x");
    }

    #[test]
    fn references_are_replaced_and_other_percents_kept() {
        let text = "[DEFAULT]\na = x\nb = %(A)s/%(c)s 100% %%(a)s %(\nc = <%(a)s>\n[m]\na = y\n";
        assert_eq!(value(text, "q", "b").unwrap(), "x/<x> 100% %(a)s %(");
        assert_eq!(value(text, "m", "b").unwrap(), "y/<y> 100% %(a)s %(");
        for text in ["[DEFAULT]\na = %(b)s\nb = %(a)s\n", "[DEFAULT]\na = %(nosuch)s\n"] {
            assert!(Ini::parse(text.as_bytes()).unwrap().value("x", "a").is_err());
        }
        assert!(Ini::parse(text.as_bytes()).unwrap().is_referred_to("c"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        assert_eq!(fault("a = 1\n"), "line 1: a key in front of all sections");
        assert_eq!(fault("[a]\nx = 1\nX: 2\n"), "line 3: x again in section [a]");
        assert_eq!(fault("[a]\n\n[a]\n"), "line 3: section [a] again");
        assert_eq!(
            fault("[a]\nnothing\n"),
            "line 2: neither a section nor a key with a value: nothing"
        );
        assert_eq!(fault("[a]\n= 1\n"), "line 2: a value without a key");
        assert!(Ini::parse(b"[a]\nx = \xff\n").is_err());
        // Indented, but behind a header: a key.
        assert_eq!(value("[a]\n  x = 1\n", "a", "x").unwrap(), "1");
        assert!(Ini::parse(b"[DEFAULT]\na=1\n[DEFAULT]\nb=1\n").is_ok());
    }
}
