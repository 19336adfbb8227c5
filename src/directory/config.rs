//! nsscache.conf: which maps there are, and what each key says for a map.

use super::failure::{Done, Failure, shown};
use super::ini::{DEFAULT, Ini, Key};
use super::keys::{self, Kind};
use super::maps::Map;
use super::secret;
use crate::limits::DIRECTORY_CONFIG;
use crate::sys::file::read_all;
use std::os::fd::AsFd;
use std::str::FromStr;

/// A configuration.
#[derive(Debug)]
pub struct Config {
    /// Its file.
    path: Vec<u8>,
    ini: Ini,
}

/// What it says for a map: the keys of the map's section, and else those of `[DEFAULT]`.
#[derive(Clone, Copy, Debug)]
pub struct MapConfig<'a> {
    /// Which one.
    pub map: Map,
    config: &'a Config,
}

/// The suffix of a map's files if the configuration does not say another.
pub const SUFFIX: &str = "cache";

impl Config {
    /// Reads the file. One with a secret in it must not be for others to read.
    pub fn read(path: &[u8]) -> Done<Config> {
        let (file, stat) = secret::open(path)?;
        let text = read_all(file.as_fd(), DIRECTORY_CONFIG)
            .map_err(|errno| Failure::system("read", path, errno))?;
        let at = |fault| Failure::refused(format!("{}: {fault}", shown(path)));
        let ini = Ini::parse(&text).map_err(at)?;
        let config = Config { path: path.to_vec(), ini };
        if let Some(key) = config.secret()
            && let Some(fault) = secret::fault(path, &stat)
        {
            let (name, line) = (&key.name, key.line);
            return Err(Failure::refused(format!("{fault} ({name} in line {line})")));
        }
        Ok(config)
    }

    /// A key that holds a secret.
    fn secret(&self) -> Option<&Key> {
        let keys = self.ini.sections.iter().flat_map(|section| &section.keys);
        keys.into_iter().find(|key| match keys::find(&key.name) {
            Some((_, Kind::Secret)) => !unquoted(&key.value).is_empty(),
            Some((_, Kind::Url)) => has_password(&key.value),
            _ => false,
        })
    }

    /// What its keys and sections have wrong, each with its line: nobody reads them, or nobody could.
    /// The first list makes `verify` fail; the second is only worth a word.
    pub fn faults(&self) -> (Vec<String>, Vec<String>) {
        let (mut faults, mut notes) = (Vec::new(), Vec::new());
        let path = shown(&self.path);
        let used: Vec<String> = self.maps(&[]).map_or(Vec::new(), |maps| {
            maps.iter().filter_map(|map| map.text("source").ok().flatten()).collect()
        });
        for section in &self.ini.sections {
            let is_map = Map::by_name(section.name.as_bytes()).is_some();
            if !is_map && section.name != DEFAULT && section.name != "suffix" {
                let (name, line) = (shown(section.name.as_bytes()), section.line);
                faults.push(format!("{path}: line {line}: there is no map [{name}]"));
                continue;
            }
            for key in &section.keys {
                let place = format!("{path}: line {}: {}", key.line, shown(key.name.as_bytes()));
                let of_suffix = section.name == "suffix";
                let known = match of_suffix {
                    true => keys::SUFFIX.iter().find(|k| k.name == key.name).map(|k| ("", k.kind)),
                    false => keys::find(&key.name),
                };
                match known {
                    None if self.ini.is_referred_to(&key.name) => {}
                    None => faults.push(match keys::meant(&key.name) {
                        Some(meant) => format!("{place}: nobody reads this key; is it {meant}?"),
                        None => format!("{place}: nobody reads this key"),
                    }),
                    Some((source, kind)) => {
                        if let Err(failure) = self.check(&section.name, key, kind) {
                            faults.push(failure.into_text());
                        } else if !source.is_empty() && !used.iter().any(|word| word == source) {
                            notes.push(format!("{place}: no map has the source {source}"));
                        }
                    }
                }
            }
        }
        (faults, notes)
    }

    /// Whether a value is of its kind.
    fn check(&self, section: &str, key: &Key, kind: Kind) -> Done {
        let value = self.value(section, &key.name)?.unwrap_or_default();
        match kind {
            // Empty is as if it were not there.
            _ if value.is_empty() => Ok(()),
            Kind::Number => number::<i64>(&value).map(drop),
            Kind::Bool => truth(&value).map(drop),
            Kind::OneOf(words) => word(&value, words).map(drop),
            Kind::Text | Kind::Secret | Kind::Url | Kind::Expression => Ok(()),
        }
        .map_err(|what| self.wrong(section, &key.name, &what))
    }

    /// `FILE: line N: KEY: what`.
    fn wrong(&self, section: &str, name: &str, what: &str) -> Failure {
        let line = self.ini.key(section, name).map_or(0, |key| key.line);
        Failure::refused(format!("{}: line {line}: {name}: {what}", shown(&self.path)))
    }

    /// The value of a key for a section, without quotes around it.
    fn value(&self, section: &str, name: &str) -> Done<Option<String>> {
        let value = self
            .ini
            .value(section, name)
            .map_err(|fault| Failure::refused(format!("{}: {fault}", shown(&self.path))))?;
        Ok(value.map(|value| unquoted(&value).to_owned()))
    }

    /// The maps: those asked for, or else all that are configured.
    pub fn maps(&self, asked: &[String]) -> Done<Vec<MapConfig<'_>>> {
        let configured = self.required("maps")?;
        let configured: Vec<&str> =
            configured.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        if configured.is_empty() {
            return Err(self.wrong(DEFAULT, "maps", "no map is configured"));
        }
        let names = match asked {
            [] => configured.clone(),
            asked => asked.iter().map(String::as_str).collect(),
        };
        let mut maps = Vec::new();
        for name in names {
            let known = Map::by_name(name.as_bytes()).filter(|_| configured.contains(&name));
            let Some(map) = known else {
                let name = shown(name.as_bytes());
                return Err(Failure::refused(format!("map {name} is not configured")));
            };
            maps.push(MapConfig { map, config: self });
        }
        Ok(maps)
    }

    /// A key of `[DEFAULT]` that has to be there.
    pub fn required(&self, name: &str) -> Done<String> {
        match self.value(DEFAULT, name)? {
            Some(value) if !value.is_empty() => Ok(value),
            _ => {
                let path = shown(&self.path);
                Err(Failure::refused(format!("{path}: {name} is missing in [{DEFAULT}]")))
            }
        }
    }

    /// A key of `[DEFAULT]`; empty is as if it were not there.
    pub fn text(&self, name: &str) -> Done<Option<String>> {
        Ok(self.value(DEFAULT, name)?.filter(|value| !value.is_empty()))
    }

    /// Where it was read.
    pub fn path(&self) -> &[u8] {
        &self.path
    }
}

impl MapConfig<'_> {
    fn section(&self) -> &'static str {
        self.map.name()
    }

    /// A key's value, which may be empty.
    pub fn given(&self, name: &str) -> Done<Option<String>> {
        self.config.value(self.section(), name)
    }

    /// A key's value; empty is as if it were not there.
    pub fn text(&self, name: &str) -> Done<Option<String>> {
        Ok(self.given(name)?.filter(|value| !value.is_empty()))
    }

    /// A key that has to be there.
    pub fn required(&self, name: &str) -> Done<String> {
        self.text(name)?.ok_or_else(|| {
            let (path, map) = (shown(&self.config.path), self.map.name());
            Failure::refused(format!("{path}: {name} is missing for map {map}"))
        })
    }

    /// A secret, from the configuration or from the file that the key with `_file` behind it names.
    pub fn secret(&self, name: &str) -> Done<Option<String>> {
        if let Some(value) = self.text(name)? {
            return Ok(Some(value));
        }
        match self.text(&format!("{name}_file"))? {
            Some(path) => secret::read(path.as_bytes()).map(Some),
            None => Ok(None),
        }
    }

    /// An integer, or `default`.
    pub fn number<T: FromStr>(&self, name: &str, default: T) -> Done<T> {
        match self.text(name)? {
            Some(value) => number(&value).map_err(|what| self.wrong(name, &what)),
            None => Ok(default),
        }
    }

    /// Yes or no, or `default`.
    pub fn flag(&self, name: &str, default: bool) -> Done<bool> {
        match self.text(name)? {
            Some(value) => truth(&value).map_err(|what| self.wrong(name, &what)),
            None => Ok(default),
        }
    }

    /// One of these words; the first is the default.
    pub fn one_of(&self, name: &str, words: &[&'static str]) -> Done<&'static str> {
        match self.text(name)? {
            Some(value) => word(&value, words).map_err(|what| self.wrong(name, &what)),
            None => Ok(words.first().copied().unwrap_or_default()),
        }
    }

    /// What is said for another map.
    pub fn of_map(&self, map: Map) -> MapConfig<'_> {
        MapConfig { map, config: self.config }
    }

    /// A key of the section `[suffix]`.
    pub fn of_suffix(&self, name: &str) -> Done<Option<String>> {
        Ok(self.config.value("suffix", name)?.filter(|value| !value.is_empty()))
    }

    /// What is wrong with a key.
    pub fn wrong(&self, name: &str, what: &str) -> Failure {
        self.config.wrong(self.section(), name, what)
    }

    /// The directory of its files. A relative one begins where we were started.
    pub fn dir(&self) -> Done<String> {
        self.one_of("cache", &["files"])?;
        self.required("files_dir")
    }

    /// What stands behind the names of its files, without the dot.
    pub fn suffix(&self) -> Done<String> {
        let suffix = self.given("files_cache_filename_suffix")?;
        let suffix = suffix.unwrap_or_else(|| SUFFIX.to_owned());
        match suffix.contains('/') {
            true => Err(self.wrong("files_cache_filename_suffix", "a slash in a suffix")),
            false => Ok(suffix),
        }
    }
}

/// Without the quotes around it, as nsscache takes them off.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inside) = value.strip_prefix(quote).and_then(|v| v.strip_suffix(quote)) {
            return inside;
        }
    }
    if matches!(value, "\"" | "'") { "" } else { value }
}

fn number<T: FromStr>(value: &str) -> Result<T, String> {
    // Python's nsscache takes what looks like a float, too: `5.0` is five there.
    let whole = value.strip_suffix(".0").unwrap_or(value);
    whole.parse().map_err(|_| format!("{} is no number that fits", shown(value.as_bytes())))
}

fn truth(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Ok(true),
        "0" | "no" | "false" | "off" => Ok(false),
        _ => Err(format!("{} is neither yes nor no", shown(value.as_bytes()))),
    }
}

fn word(value: &str, words: &[&'static str]) -> Result<&'static str, String> {
    words
        .iter()
        .find(|word| **word == value)
        .copied()
        .ok_or_else(|| format!("{} is none of {}", shown(value.as_bytes()), words.join(", ")))
}

/// Whether a URL has a password in it.
pub fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}
