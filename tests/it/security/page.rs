//! The table of doc/security.md: who may do what to which paths.

use super::trace::{Deed, Touch};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The columns behind the first.
const COLUMNS: [Deed; 4] = [Deed::Reads, Deed::Changes, Deed::Connects, Deed::Runs];

/// What a name in capitals stands for in a case.
pub type Names = BTreeMap<&'static str, Vec<String>>;

/// A path of the table, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub who: String,
    pub deed: Deed,
    pub path: String,
}

/// The table, and what of it was seen.
pub struct Table {
    entries: Vec<Entry>,
    seen: BTreeSet<Entry>,
}

impl Table {
    /// Of the page.
    #[track_caller]
    pub fn read() -> Table {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("doc/security.md");
        let page = fs::read_to_string(page).expect("doc/security.md");
        let (_, page) = page.split_once("## What each applet touches\n").expect("the section");
        let rows = page.lines().filter(|line| line.starts_with('|')).skip(2);
        let mut entries = Vec::new();
        for row in rows {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 1 + COLUMNS.len(), "{row}");
            for (deed, cell) in COLUMNS.iter().zip(&cells[1..]) {
                // Every second piece stands between backticks.
                for path in cell.split('`').skip(1).step_by(2) {
                    let (who, path) = (cells[0].to_owned(), path.to_owned());
                    entries.push(Entry { who, deed: *deed, path });
                }
            }
        }
        Table { entries, seen: BTreeSet::new() }
    }

    /// The deeds that the rows of `who`, and of every applet, do not allow.
    #[track_caller]
    pub fn check(&mut self, who: &[&str], names: &Names, touches: &[Touch]) -> Vec<Touch> {
        for who in who {
            assert!(self.entries.iter().any(|e| e.who == *who), "no row of {who}");
        }
        let mut wrong = Vec::new();
        for touch in touches {
            let allows = |e: &&Entry| {
                (who.contains(&&*e.who) || e.who == "every applet")
                    && e.deed == touch.deed
                    && matches(&e.path, &touch.path, names)
            };
            match self.entries.iter().filter(allows).collect::<Vec<_>>() {
                none if none.is_empty() => wrong.push(touch.clone()),
                some => self.seen.extend(some.into_iter().cloned()),
            }
        }
        wrong
    }

    /// What stands there and was never seen.
    pub fn unseen(&self) -> Vec<&Entry> {
        self.entries.iter().filter(|e| !self.seen.contains(e)).collect()
    }
}

/// Whether a path is what the pattern says. A word in capitals stands for each of its values,
/// NAME for one component, ANY for anything, LIBRARY for a shared library where systems have them.
fn matches(pattern: &str, path: &str, names: &Names) -> bool {
    if pattern == "LIBRARY" {
        let file = path.rsplit('/').next().unwrap_or_default();
        return ["/lib", "/usr/lib"].iter().any(|dir| path.starts_with(dir))
            && file.contains(".so");
    }
    let Some(at) = pattern.find(|c: char| c.is_ascii_uppercase()) else { return pattern == path };
    let (before, rest) = pattern.split_at(at);
    let end = rest.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(rest.len());
    let (name, behind) = rest.split_at(end);
    let Some(path) = path.strip_prefix(before) else { return false };
    if name == "NAME" {
        let (component, path) = path.split_at(path.find('/').unwrap_or(path.len()));
        return !component.is_empty() && matches(behind, path, names);
    }
    if name == "ANY" {
        let ends = (0..=path.len()).filter_map(|at| path.get(at..));
        return { ends }.any(|path| matches(behind, path, names));
    }
    let values = names.get(name).into_iter().flatten();
    { values }.any(|value| path.strip_prefix(&**value).is_some_and(|p| matches(behind, p, names)))
}
