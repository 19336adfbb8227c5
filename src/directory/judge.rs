//! Which entries may become users and groups of this machine: a directory that is taken over, or has a
//! slip in it, must not become root here.

use super::config::MapConfig;
use super::failure::{Done, Failure, shown};
use super::fields::Fields;
use super::log::Log;
use super::maps::Map;
use crate::sys::file::read_path;
use std::collections::HashSet;

/// Smaller ids are those of the machine's own users: kept, and named.
const MIN_UID: u32 = 500;

/// Names of a reason that are told.
const NAMED: usize = 10;

/// Why an entry is dropped, or only told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It would be root.
    Uid0,
    /// This machine has a user of that name.
    LocalName,
    /// Readers of the file would take its name for another, or for something else.
    OddName,
    /// It would break a line, or be more than it says.
    Unsafe(&'static str),
    /// Two have the same id, and that is not allowed.
    DuplicateId,
    /// Kept: a small id.
    LowId,
    /// Kept: this machine has a group of that name.
    LocalGroup,
    /// Kept: two have the same id.
    SharedId,
    /// It is no entry.
    Malformed(&'static str),
    /// A later one of that name took its place.
    Replaced,
}

impl Reason {
    fn is_kept(self) -> bool {
        matches!(self, Reason::LowId | Reason::LocalGroup | Reason::SharedId | Reason::Replaced)
    }

    fn text(self) -> String {
        match self {
            Reason::Uid0 => "uid 0 (allow_uid0)".to_owned(),
            Reason::LocalName => "names of /etc/passwd (allow_local_names)".to_owned(),
            Reason::OddName => "odd names (allow_odd_names)".to_owned(),
            Reason::Unsafe(what) => what.to_owned(),
            Reason::DuplicateId => "ids of others (allow_duplicate_ids)".to_owned(),
            Reason::LowId => "ids below min_uid".to_owned(),
            Reason::LocalGroup => "names of /etc/group".to_owned(),
            Reason::SharedId => "ids of others".to_owned(),
            Reason::Malformed(what) => what.to_owned(),
            Reason::Replaced => "names that come again, of which the last counts".to_owned(),
        }
    }
}

/// What is allowed for a map, and what was found.
pub struct Judge {
    map: Map,
    allow_uid0: bool,
    allow_local_names: bool,
    /// Whether names are allowed that readers pass over.
    pub allow_odd_names: bool,
    /// Whether two may have the same id.
    pub allow_duplicate_ids: bool,
    refuse: bool,
    min_uid: u32,
    /// Names of users here, or of groups.
    local: HashSet<Vec<u8>>,
    found: Vec<Found>,
}

/// How often a reason was met.
struct Found {
    reason: Reason,
    count: u64,
    names: Vec<String>,
}

impl Judge {
    /// What the configuration allows. `target` is the map's file: if that is the machine's own, its
    /// names are no others.
    pub fn new(config: &MapConfig<'_>, target: &[u8]) -> Done<Judge> {
        let local: &[u8] = match config.map {
            Map::Passwd | Map::Shadow | Map::Sshkey => b"/etc/passwd",
            Map::Group => b"/etc/group",
            Map::Netgroup | Map::Automount => b"",
        };
        let text = if local.is_empty() || local == target {
            Vec::new()
        } else {
            read_path(local).unwrap_or_default()
        };
        let name = |line: &[u8]| line.split(|byte| *byte == b':').next().map(<[u8]>::to_vec);
        let local = text.split(|byte| *byte == b'\n').filter_map(name);
        Ok(Judge {
            map: config.map,
            allow_uid0: config.flag("allow_uid0", false)?,
            allow_local_names: config.flag("allow_local_names", false)?,
            allow_odd_names: config.flag("allow_odd_names", false)?,
            // Of two names that have the same derived id the second is somebody else.
            allow_duplicate_ids: config
                .flag("allow_duplicate_ids", config.text("scim_derive_key")?.is_none())?,
            refuse: config.one_of("on_bad_entry", &["drop", "refuse"])? == "refuse",
            min_uid: config.number("min_uid", MIN_UID)?,
            local: local.filter(|name| !name.is_empty()).collect(),
            found: Vec::new(),
        })
    }

    /// Begins anew, for another attempt.
    pub fn restart(&mut self) {
        self.found.clear();
    }

    /// Whether an entry is kept.
    pub fn admits(&mut self, fields: &Fields) -> Done<bool> {
        let name = fields.name();
        let is_user = matches!(self.map, Map::Passwd | Map::Shadow | Map::Sshkey);
        // What readers may pass over: glibc's take a name to begin behind blanks.
        let bare = name.trim_ascii();
        if !self.allow_odd_names && is_odd(name, self.map) {
            return self.note(Reason::OddName, name).map(|()| false);
        }
        if is_user && !self.allow_local_names && self.local.contains(bare) {
            return self.note(Reason::LocalName, name).map(|()| false);
        }
        match fields.id(self.map) {
            Some(0) if self.map == Map::Passwd && !self.allow_uid0 => {
                return self.note(Reason::Uid0, name).map(|()| false);
            }
            Some(id) if id < self.min_uid => self.note(Reason::LowId, name)?,
            _ => {}
        }
        if self.map == Map::Group && self.local.contains(bare) {
            self.note(Reason::LocalGroup, name)?;
        }
        Ok(true)
    }

    /// Notes why an entry is dropped, or that it is kept. An error if such a map is to be refused.
    pub fn note(&mut self, reason: Reason, name: &[u8]) -> Done {
        if self.refuse && !reason.is_kept() {
            let (name, text) = (shown(name), reason.text());
            return Err(Failure::refused(format!("{name}: {text}; on_bad_entry = refuse")));
        }
        self.note_many(reason, name, 1);
        Ok(())
    }

    /// Notes that so many are kept, of which this is the first.
    pub fn note_many(&mut self, reason: Reason, name: &[u8], count: u64) {
        let at = match self.found.iter().position(|found| found.reason == reason) {
            Some(at) => at,
            None => {
                self.found.push(Found { reason, count: 0, names: Vec::new() });
                self.found.len() - 1
            }
        };
        if let Some(found) = self.found.get_mut(at) {
            found.count += count;
            let most = if reason.is_kept() { 3 } else { NAMED };
            if found.names.len() < most {
                found.names.push(shown(name));
            }
        }
    }

    /// A warning for each reason that was met: how often, and the first names.
    pub fn report(&self, log: &Log) {
        for Found { reason, count, names } in &self.found {
            let (map, text) = (self.map.name(), reason.text());
            let done = if reason.is_kept() { "kept" } else { "dropped" };
            let done = if *reason == Reason::Replaced { "replaced" } else { done };
            let more = if names.len() as u64 == *count { "" } else { ", ..." };
            let names = names.join(", ");
            log.warning("update", format!("{map}: {count} {done}: {text}: {names}{more}"));
        }
    }
}

/// Whether readers of the file, or programs, would take a name for something else: `+` and `-` stand
/// for NIS, `#` for a comment, a blank in front for nothing, a slash leads out of a directory.
fn is_odd(name: &[u8], map: Map) -> bool {
    if matches!(map, Map::Automount | Map::Netgroup) {
        return name.iter().any(u8::is_ascii_control);
    }
    let first = name.first().copied().unwrap_or(b' ');
    matches!(first, b'+' | b'-' | b'#')
        || name.trim_ascii().len() != name.len()
        || name == b"."
        || name == b".."
        || name.iter().any(|byte| *byte == b'/' || byte.is_ascii_control())
}
