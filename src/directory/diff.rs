//! How a new set differs from the old one: for the log, and to leave alone what is the same.

use super::failure::{Done, Failure};
use super::fields::Fields;
use super::lines::split;
use super::maps::Map;
use super::text::Lines;
use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};

/// What became of the entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines of the old set.
    pub before: u64,
    /// Only in the new one.
    pub added: u64,
    /// In both, and not the same.
    pub changed: u64,
    /// Only in the old one.
    pub removed: u64,
    /// The same lines in the same order.
    pub same: bool,
    /// The order is so much another one that it would take too much memory to count: only `before` and
    /// `same` are told.
    pub uncounted: bool,
}

/// Entries that wait for the other side's.
const WAITING: usize = 500_000;

/// One side's entries that the other has not had so far: hashes of names, and of lines.
type Waiting = HashMap<u64, u64>;

/// Compares two files of a map.
pub fn compare(map: Map, old: &File, new: &File) -> Done<Counts> {
    let hasher = RandomState::new();
    let (mut old, mut new) = (Lines::new(old), Lines::new(new));
    let mut counts = Counts { same: true, ..Counts::default() };
    let (mut gone, mut came) = (Waiting::new(), Waiting::new());
    loop {
        let (one, other) = (next(&mut old)?, next(&mut new)?);
        counts.before += u64::from(one.is_some());
        match (one, other) {
            (None, None) => break,
            (Some(one), Some(other)) if one == other => continue,
            _ => counts.same = false,
        }
        if counts.uncounted {
            continue;
        }
        if let Some((name, line)) = one.map(|line| hashes(&hasher, map, line)) {
            match came.remove(&name) {
                Some(found) => counts.changed += u64::from(found != line),
                None => drop(gone.insert(name, line)),
            }
        }
        if let Some((name, line)) = other.map(|line| hashes(&hasher, map, line)) {
            match gone.remove(&name) {
                Some(found) => counts.changed += u64::from(found != line),
                None => drop(came.insert(name, line)),
            }
        }
        counts.uncounted = gone.len() + came.len() > WAITING;
        if counts.uncounted {
            (gone, came) = (Waiting::new(), Waiting::new());
        }
    }
    (counts.removed, counts.added) = (gone.len() as u64, came.len() as u64);
    Ok(counts)
}

fn next<'a>(lines: &'a mut Lines<'_>) -> Done<Option<&'a [u8]>> {
    match lines.next_line() {
        Ok(line) => Ok(line.map(|line| line.text)),
        Err(error) => Err(Failure::refused(format!("unable to read what is there: {error}"))),
    }
}

fn hashes(hasher: &RandomState, map: Map, line: &[u8]) -> (u64, u64) {
    let mut fields = Fields::default();
    split(line, map, &mut fields);
    (hasher.hash_one(fields.name()), hasher.hash_one(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// A file without a name.
    fn file(text: &str) -> File {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("nssbox-diff.{}.{number}", std::process::id()));
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn what_became_of_entries_is_counted() {
        for (old, new, (added, changed, removed, same)) in [
            ("", "", (0, 0, 0, true)),
            ("a:1\nb:2\n", "a:1\nb:2\n", (0, 0, 0, true)),
            ("a:1\nb:2\n", "b:2\na:1\n", (0, 0, 0, false)),
            ("a:1\nb:2\n", "a:1\nb:3\nc:4\n", (1, 1, 0, false)),
            ("a:1\nb:2\nc:3\n", "c:3\n", (0, 0, 2, false)),
            ("", "a:1\n", (1, 0, 0, false)),
            ("a:1\nb:2\nc:3\nd:4\n", "d:4\nx:1\nc:5\nb:2\n", (1, 1, 1, false)),
        ] {
            let counts = compare(Map::Passwd, &file(old), &file(new)).unwrap();
            let got = (counts.added, counts.changed, counts.removed, counts.same);
            assert_eq!(got, (added, changed, removed, same), "{old:?} {new:?}");
            assert_eq!(counts.before, old.lines().count() as u64);
        }
    }
}
