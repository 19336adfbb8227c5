//! What is remembered of a map between two runs, beside its timestamps: which set its file holds and
//! what the source called it, so that only something newer is asked for; and for `status` how the last
//! run ended.
//!
//! Lines `KEY VALUE` in `state-MAP`. Nothing of it is needed: without it, or if it does not fit the
//! data file, the whole map is fetched, or all that is newer than the modify timestamp.

use super::failure::{Done, os};
use super::stamp::{Stamps, Time};
use crate::sys::file::read_path;
use rustix::fs::stat;

/// What a source calls the set that it sent, word for word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// HTTP's ETag.
    pub etag: Option<String>,
    /// HTTP's Last-Modified; of a file, its time in nanoseconds.
    pub modified: Option<String>,
}

/// What makes a data file another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataStamp {
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime: i128,
}

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// What the set came from: the URL without a password, a path, a command.
    pub origin: Option<String>,
    /// What its source calls it.
    pub validators: Validators,
    /// The data file that it was written to.
    pub data: Option<DataStamp>,
    /// Its entries.
    pub entries: Option<u64>,
    /// Why the last run failed; `None`: it did not.
    pub error: Option<String>,
    /// When that was.
    pub failed: Option<Time>,
}

impl DataStamp {
    /// That of a file; `None`: there is none.
    pub fn of(path: &[u8]) -> Option<DataStamp> {
        let stat = stat(os(path)).ok()?;
        let mtime = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
        Some(DataStamp { size: stat.st_size.try_into().ok()?, mtime })
    }
}

impl State {
    /// What is remembered of the map with these timestamps.
    pub fn read(stamps: &Stamps) -> State {
        let text = read_path(&stamps.beside("state")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut state = State::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            let text = || Some(value.to_owned());
            match key {
                "origin" => state.origin = text(),
                "etag" => state.validators.etag = text(),
                "modified" => state.validators.modified = text(),
                "data" => {
                    state.data = value.split_once(' ').and_then(|(size, mtime)| {
                        Some(DataStamp { size: size.parse().ok()?, mtime: mtime.parse().ok()? })
                    });
                }
                "entries" => state.entries = value.parse().ok(),
                "error" => state.error = text(),
                "failed" => state.failed = value.parse().ok(),
                _ => {}
            }
        }
        state
    }

    /// Remembers it.
    pub fn write(&self, stamps: &Stamps) -> Done {
        let mut text = String::new();
        let mut line = |key: &str, value: Option<String>| {
            // A server's own words stay in their line.
            if let Some(value) = value.filter(|value| !value.contains(char::is_control)) {
                text.push_str(&format!("{key} {value}\n"));
            }
        };
        line("origin", self.origin.clone());
        line("etag", self.validators.etag.clone());
        line("modified", self.validators.modified.clone());
        line("data", self.data.map(|data| format!("{} {}", data.size, data.mtime)));
        line("entries", self.entries.map(|count| count.to_string()));
        line("error", self.error.clone());
        line("failed", self.failed.map(|time| time.to_string()));
        stamps.write_file(&stamps.beside("state"), &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let dir = std::env::temp_dir().join(format!("nssbox-state.{}", std::process::id()));
        let stamps = Stamps::new(dir.to_str().unwrap(), "passwd");
        assert_eq!(State::read(&stamps), State::default());
        let state = State {
            origin: Some("http://host/passwd".to_owned()),
            validators: Validators { etag: Some("W/\"x y\"".to_owned()), modified: None },
            data: Some(DataStamp { size: 7, mtime: 1_714_979_289_000_000_001 }),
            entries: Some(3),
            error: None,
            failed: None,
        };
        state.write(&stamps).unwrap();
        assert_eq!(State::read(&stamps), state);
        // What would be two lines is none.
        let hostile = State {
            validators: Validators { etag: Some("x\norigin y".to_owned()), modified: None },
            ..State::default()
        };
        hostile.write(&stamps).unwrap();
        assert_eq!(State::read(&stamps), State::default());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
