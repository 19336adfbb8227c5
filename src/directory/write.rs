//! A new set as the source sends it: one entry a name, the last of which counts, in the place of the first.

use super::config::MapConfig;
use super::failure::{Done, Failure};
use super::fields::Fields;
use super::folder::Folder;
use super::intake::Target;
use super::judge::{Judge, Reason};
use super::lines::split;
use super::maps::Map;
use super::set::{NewMap, ReadyMap};
use super::sort::Sorter;
use super::text::Lines;
use crate::limits::{DIRECTORY_REPEATED, INDEX_GRACE_MILLIS};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::time::Duration;

/// A set that is being written.
pub struct NewSet<'a> {
    folder: &'a Folder,
    map: Map,
    base: String,
    suffix: String,
    grace: Duration,
    /// From the first line on: where nothing is new, nothing is made.
    inner: Option<NewMap<'a>>,
    /// Names of a map that has no index, which would tell of those that come again.
    names: HashSet<u64>,
    hasher: RandomState,
    repeated: bool,
}

/// Which lines of a set are left out, and which ones move: by their offsets.
#[derive(Default)]
struct Plan {
    /// In the place of the first of a name stands the last.
    moved: HashMap<u64, u64>,
    dropped: HashSet<u64>,
}

/// By what two entries are one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Name,
    Id,
}

impl<'a> NewSet<'a> {
    /// The set of the file `base` of a map, to be written beside what is there.
    pub fn begin(folder: &'a Folder, config: &MapConfig<'_>, base: String) -> Done<Self> {
        let millis = config.number("index_grace_ms", INDEX_GRACE_MILLIS)?;
        let (map, suffix) = (config.map, config.suffix()?);
        let grace = Duration::from_millis(millis);
        let inner = None;
        let (names, hasher, repeated) = (HashSet::new(), RandomState::new(), false);
        Ok(NewSet { folder, map, base, suffix, grace, inner, names, hasher, repeated })
    }

    /// All entries are there: settles which of those that share a name or an id stay, and makes the
    /// indexes.
    pub fn ready(self, judge: &mut Judge) -> Done<ReadyMap<'a>> {
        let NewSet { folder, map, base, suffix, grace, inner, repeated, .. } = self;
        let inner = match inner {
            Some(inner) => inner,
            None => begin(folder, map, &base, &suffix, grace)?,
        };
        let mut ready = inner.prepare()?;
        if repeated || (map.db().is_some() && ready.report.repeated_names > 0) {
            let again = begin(folder, map, &base, &suffix, grace)?;
            ready = settle(folder, map, ready.data()?, again, By::Name, judge)?;
        }
        if ready.report.repeated_ids > 0 && !judge.allow_duplicate_ids {
            let again = begin(folder, map, &base, &suffix, grace)?;
            ready = settle(folder, map, ready.data()?, again, By::Id, judge)?;
        }
        if ready.report.repeated_ids > 0 {
            let [_, first] = &ready.report.first_repeated;
            judge.note_many(Reason::SharedId, first, ready.report.repeated_ids);
        }
        // Odd names are allowed where nobody is to read them as entries.
        if ready.report.bad > 0 && !judge.allow_odd_names {
            // Each line was checked before it was written.
            let bad = ready.report.bad;
            return Err(Failure::refused(format!(
                "{bad} lines of the new file cannot be read back"
            )));
        }
        Ok(ready)
    }
}

impl Target for NewSet<'_> {
    fn line(&mut self, name: &[u8], line: &[u8]) -> Done {
        if self.map.db().is_none() && !self.repeated {
            self.repeated = !self.names.insert(self.hasher.hash_one(name));
        }
        let inner = match &mut self.inner {
            Some(inner) => inner,
            None => {
                let new = begin(self.folder, self.map, &self.base, &self.suffix, self.grace)?;
                self.inner.insert(new)
            }
        };
        Ok(inner.put(line)?)
    }
}

fn begin<'a>(
    folder: &'a Folder,
    map: Map,
    base: &str,
    suffix: &str,
    grace: Duration,
) -> Done<NewMap<'a>> {
    let mut new = NewMap::begin(folder, map, base.as_bytes(), suffix.as_bytes())?;
    new.grace = grace;
    Ok(new)
}

/// Writes the set once more, without those that a later one of their name, or an earlier one of their
/// id, has made superfluous.
fn settle<'a>(
    folder: &'a Folder,
    map: Map,
    data: &File,
    mut again: NewMap<'a>,
    by: By,
    judge: &mut Judge,
) -> Done<ReadyMap<'a>> {
    let plan = plan(folder, map, data, by, judge)?;
    let mut lines = Lines::new(data);
    let mut entry = Entry::default();
    while let Some(line) = lines.next_line().map_err(unread)? {
        if entry.begins(map, line.text) {
            entry.is_kept = !plan.dropped.contains(&line.offset);
            if let Some(last) = plan.moved.get(&line.offset) {
                entry.is_kept = false;
                copy(map, data, *last, &mut again)?;
            }
        }
        if entry.is_kept {
            again.put(line.text)?;
            again.put(b"\n")?;
        }
    }
    Ok(again.prepare()?)
}

/// The entry that lines belong to: one of sshkey may have a line for each key, one behind the other.
#[derive(Default)]
struct Entry {
    fields: Fields,
    name: Vec<u8>,
    begun: bool,
    is_kept: bool,
}

impl Entry {
    /// Whether a line begins an entry.
    fn begins(&mut self, map: Map, line: &[u8]) -> bool {
        split(line, map, &mut self.fields);
        let goes_on = self.begun && map == Map::Sshkey && self.name == self.fields.name();
        if !goes_on {
            self.begun = true;
            self.name.clear();
            self.name.extend_from_slice(self.fields.name());
        }
        !goes_on
    }
}

/// Adds the entry at an offset.
fn copy(map: Map, data: &File, offset: u64, again: &mut NewMap<'_>) -> Done {
    let mut lines = Lines::from(data, offset);
    let mut entry = Entry::default();
    let mut is_first = true;
    while let Some(line) = lines.next_line().map_err(unread)? {
        if entry.begins(map, line.text) && !is_first {
            break;
        }
        is_first = false;
        again.put(line.text)?;
        again.put(b"\n")?;
    }
    Ok(())
}

fn plan(folder: &Folder, map: Map, data: &File, by: By, judge: &mut Judge) -> Done<Plan> {
    let mut sorter = Sorter::new(folder);
    let mut lines = Lines::new(data);
    let mut entry = Entry::default();
    while let Some(line) = lines.next_line().map_err(unread)? {
        if !entry.begins(map, line.text) {
            continue;
        }
        let id = entry.fields.id(map).map(|id| id.to_string());
        let key = match by {
            By::Name => Some(entry.fields.name()),
            By::Id => id.as_deref().map(str::as_bytes),
        };
        if let Some(key) = key {
            sorter.put(key, line.offset)?;
        }
    }
    let mut plan = Plan::default();
    let mut sorted = sorter.sorted()?;
    let (mut key, mut last_key, mut first, mut last) = (Vec::new(), Vec::new(), None, 0);
    loop {
        let next = sorted.next(&mut key).map_err(unread)?;
        match (next, first) {
            (Some(offset), Some(_)) if key == last_key => {
                plan.dropped.insert(offset);
                last = offset;
                if plan.dropped.len() > DIRECTORY_REPEATED {
                    let text = format!("more than {DIRECTORY_REPEATED} entries come again");
                    return Err(Failure::refused(text));
                }
            }
            (next, _) => {
                if let Some(first) = first
                    && first != last
                {
                    note(&mut plan, by, first, last, &last_key, judge)?;
                }
                let Some(offset) = next else { break };
                (first, last) = (Some(offset), offset);
                std::mem::swap(&mut key, &mut last_key);
            }
        }
    }
    Ok(plan)
}

/// Notes a name or an id that several have.
fn note(plan: &mut Plan, by: By, first: u64, last: u64, key: &[u8], judge: &mut Judge) -> Done {
    match by {
        By::Name => {
            plan.moved.insert(first, last);
            judge.note(Reason::Replaced, key)
        }
        By::Id => judge.note(Reason::DuplicateId, key),
    }
}

fn unread(error: io::Error) -> Failure {
    Failure::refused(format!("unable to read what was written: {error}"))
}
