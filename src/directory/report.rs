//! What was found in the lines of a map while it was indexed.

use super::folder::Folder;
use super::progress::warn;
use nssproto::Malformed;

/// So many lines are named; the others are counted.
const NAMED: usize = 3;

/// Lines that are no entries, and keys that are there twice.
#[derive(Default)]
pub struct Report {
    /// Lines that are.
    pub entries: u64,
    /// How many are not, comments and empty ones left out.
    pub bad: u64,
    named: Vec<(u64, Malformed)>,
    /// Names that a line before it had, too.
    pub repeated_names: u64,
    /// Numbers, the same.
    pub repeated_ids: u64,
    /// The first of each.
    pub first_repeated: [Vec<u8>; 2],
}

impl Report {
    /// The line of this number, from 1 on, is no entry.
    pub fn add_bad(&mut self, line: u64, why: Malformed) {
        self.bad += 1;
        if self.named.len() < NAMED {
            self.named.push((line, why));
        }
    }

    /// A key was there before.
    pub fn add_repeated(&mut self, is_id: bool, key: &[u8]) {
        let [name, id] = &mut self.first_repeated;
        let (count, first) = match is_id {
            true => (&mut self.repeated_ids, id),
            false => (&mut self.repeated_names, name),
        };
        *count += 1;
        if *count == 1 {
            *first = key.to_vec();
        }
    }

    /// Warns of what is wrong with a file.
    pub fn warn(&self, folder: &Folder, name: &[u8]) {
        let path = folder.path_of(name);
        for (line, why) in &self.named {
            warn(|m| {
                m.path(&path).text(" line ").number(*line).text(": ").text(why.reason());
                m.text(", skipped");
            });
        }
        if self.bad > self.named.len() as u64 {
            let more = self.bad - self.named.len() as u64;
            warn(|m| {
                m.path(&path).text(": ").number(more).text(" more such lines, skipped");
            });
        }
        let [first_name, first_id] = &self.first_repeated;
        for (count, first, what) in
            [(self.repeated_names, first_name, "name"), (self.repeated_ids, first_id, "number")]
        {
            if count > 0 {
                warn(|m| {
                    m.path(&path).text(": ").number(count).text(" lines have the ").text(what);
                    m.text(" of an earlier one, the first ").quoted(first);
                    m.text("; by index, the last line of it is found");
                });
            }
        }
    }
}
