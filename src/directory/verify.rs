//! `nsscache verify`: whether nsswitch.conf lists the caches, sources answer, and programs see what the
//! files hold.

use super::config::{Config, MapConfig, SUFFIX};
use super::failure::{Done, Failure};
use super::fields::Fields;
use super::lines::{Lines, split};
use super::log::Log;
use super::maps::Map;
use super::source::{Object, run_command};
use super::targets::Place;
use super::update::source;
use crate::limits::COMMAND_SECONDS;
use crate::sys::file::{open_path, read_path};
use crate::sys::program;
use rustix::fs::{Mode, OFlags};
use std::collections::HashSet;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};

/// nsswitch.conf, where there is one.
const NSSWITCH: &[u8] = b"/etc/nsswitch.conf";

/// nsswitch.conf alone: a warning for each map that it does not look up in our files.
pub fn switch(maps: &[MapConfig<'_>], log: &Log) -> Done {
    let Ok(text) = read_path(NSSWITCH) else {
        log.info("verify", "no nsswitch.conf: nothing lists the caches");
        return Ok(());
    };
    let text = String::from_utf8_lossy(&text);
    for map in maps.iter().filter(|map| map.map != Map::Sshkey) {
        let name = map.map.name();
        let line = text.lines().find_map(|line| {
            let line = line.split('#').next().unwrap_or_default();
            line.trim_start().strip_prefix(name)?.trim_start().strip_prefix(':')
        });
        let Some(line) = line else {
            log.warning("verify", format!("nsswitch.conf has no line for {name}"));
            continue;
        };
        // Without a suffix the file is the one that `files` reads.
        let service = if map.suffix()? == SUFFIX { "cache" } else { "files" };
        if !line.split_ascii_whitespace().any(|word| word == service) {
            log.warning("verify", format!("nsswitch.conf does not list {service} for {name}"));
        }
    }
    Ok(())
}

/// The sources: an error for each one that does not have what is configured.
pub fn sources(maps: &[MapConfig<'_>], log: &Log) {
    for map in maps {
        let object = if map.map == Map::Automount { Object::Master } else { Object::Map };
        let probed = source(map, log).and_then(|mut source| source.probe(object));
        if let Err(failure) = probed {
            log.error("verify", format!("{}: {failure}", map.map.name()));
        }
    }
}

/// The caches: an error for each map whose file has entries that this machine's programs do not see.
pub fn caches(maps: &[MapConfig<'_>], log: &Log) {
    for map in maps.iter().filter(|map| !matches!(map.map, Map::Netgroup | Map::Automount)) {
        if let Err(failure) = cache(map, log) {
            log.error("verify", format!("{}: {failure}", map.map.name()));
        }
    }
}

/// All of it, and the keys that nobody reads. What is wrong is in the log, which counts it.
pub fn all(config: &Config, maps: &[MapConfig<'_>], log: &Log) -> Done {
    let (faults, _) = config.faults();
    for fault in faults {
        log.error("verify", fault);
    }
    switch(maps, log)?;
    sources(maps, log);
    caches(maps, log);
    Ok(())
}

fn cache(config: &MapConfig<'_>, log: &Log) -> Done {
    let path = Place::Map.path(config)?;
    let map = config.map;
    // Keys are of users whom programs see.
    let database = if map == Map::Sshkey { Map::Passwd } else { map };
    let hasher = RandomState::new();
    let mut seen = HashSet::new();
    let command = match program::find(b"getent") {
        Ok(_) => format!("getent {}", database.name()),
        Err(_) => {
            let dir = config.dir()?;
            let suffix = config.suffix()?;
            log.info("verify", "no getent here: our own is asked");
            let ours = "/proc/self/exe getent -s";
            let options = format!("-d {} -s {}", word(&dir)?, word(&suffix)?);
            format!("{ours} 'unix; cache {options}' {}", database.name())
        }
    };
    let mut printed = Lines::new(run_command(&command, COMMAND_SECONDS)?);
    let mut fields = Fields::default();
    while let Some(line) = printed.next_line()? {
        split(line, database, &mut fields);
        seen.insert(hash(&hasher, map, &fields));
    }
    let file = open_path(&path, OFlags::RDONLY, Mode::empty())
        .map_err(|errno| Failure::system("open", &path, errno))?;
    let mut lines = Lines::new(File::from(file));
    let (mut missing, mut first) = (0u64, String::new());
    while let Some(line) = lines.next_line()? {
        split(line, map, &mut fields);
        if !seen.contains(&hash(&hasher, map, &fields)) {
            missing += 1;
            if first.is_empty() {
                first = super::failure::shown(fields.name());
            }
        }
    }
    match missing {
        0 => Ok(()),
        _ => Err(Failure::refused(format!(
            "{missing} entries are not seen by getent, {first} first"
        ))),
    }
}

/// An entry, but for its password, which is not for everybody. Of keys the name alone.
fn hash(hasher: &RandomState, map: Map, fields: &Fields) -> u64 {
    let count = if map == Map::Sshkey { 1 } else { fields.len() };
    let told: Vec<&[u8]> = (0..count).filter(|at| *at != 1).map(|at| fields.get(at)).collect();
    hasher.hash_one(told)
}

/// A word that goes through the shell, and through our own splitting of words, as it is.
fn word(text: &str) -> Done<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    match !text.is_empty() && text.chars().all(plain) {
        true => Ok(text),
        false => Err(Failure::refused(format!("unable to ask for the files in {text}"))),
    }
}
