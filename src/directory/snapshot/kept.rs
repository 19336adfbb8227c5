//! The last serial of each key, which outlives everything but the folder it is in: lines `KEY SERIAL HEX`
//! in `snapshot-serials` beside the timestamps, HEX being the sum of the list.

use super::list::List;
use super::sum::is_sum;
use crate::directory::failure::{Done, Failure, shown};
use crate::directory::folder::Folder;
use crate::directory::temporary::{Temporary, sweep};
use crate::sys::file::{join, read_path};
use nssproto::bytes::decimal_u64;
use rustix::io::Errno;

/// Its file.
const NAME: &str = "snapshot-serials";

/// What was accepted last.
pub struct Kept {
    dir: String,
    rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    key: String,
    serial: u64,
    sum: String,
}

impl Kept {
    /// That of a folder of timestamps, which may not be there yet. What cannot be read is no reason to
    /// accept anything.
    pub fn read(dir: &str) -> Done<Kept> {
        let path = join(dir.as_bytes(), NAME.as_bytes());
        let text = match read_path(&path) {
            Ok(text) => text,
            Err(Errno::NOENT) => Vec::new(),
            Err(errno) => return Err(Failure::system("read", &path, errno)),
        };
        let rows = rows(&text).ok_or_else(|| {
            let path = shown(&path);
            Failure::refused(format!("{path} is damaged; without it any serial is accepted"))
        })?;
        Ok(Kept { dir: dir.to_owned(), rows })
    }

    /// The last serial of a key.
    pub fn of(&self, key: &str) -> Option<u64> {
        self.rows.iter().find(|row| row.key == key).map(|row| row.serial)
    }

    /// Whether a list that this key has signed is none that was replaced; if so, it is the last one from
    /// now on. `force`: the serial may be any.
    pub fn accept(&mut self, key: &str, list: &List, sum: &str, force: bool) -> Done {
        let row = Row { key: key.to_owned(), serial: list.serial, sum: sum.to_owned() };
        let last = self.rows.iter().position(|last| last.key == key);
        let last = last.and_then(|at| self.rows.get_mut(at));
        match last {
            Some(last) if *last == row => return Ok(()),
            Some(last) if !force && list.serial < last.serial => {
                let (serial, last) = (list.serial, last.serial);
                return Err(Failure::refused(format!(
                    "the snapshot has serial {serial}, and {last} was here before: it is an older one; \
                     --accept-serial accepts that"
                )));
            }
            Some(last) if !force && list.serial == last.serial => {
                let serial = list.serial;
                return Err(Failure::refused(format!(
                    "the snapshot has serial {serial} as another one before: do two exports have one key? \
                     --accept-serial accepts it"
                )));
            }
            Some(last) => *last = row,
            None => self.rows.push(row),
        }
        self.write()
    }

    fn write(&self) -> Done {
        let failed = |error: std::io::Error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            Failure::system("make", self.dir.as_bytes(), errno)
        };
        std::fs::create_dir_all(&self.dir).map_err(failed)?;
        let folder = Folder::open(self.dir.as_bytes())?;
        sweep(&folder)?;
        let mut file = Temporary::new(&folder)?;
        for Row { key, serial, sum } in &self.rows {
            file.put(format!("{key} {serial} {sum}\n").as_bytes())?;
        }
        file.sync()?;
        file.rename(NAME.as_bytes())?;
        let unkept = |errno| folder.error("unable to write in", b"", errno);
        Ok(folder.sync().map_err(unkept)?)
    }
}

fn rows(text: &[u8]) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    for line in std::str::from_utf8(text).ok()?.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [key, serial, sum] = words.as_slice() else { return None };
        let serial = decimal_u64(serial.as_bytes())?;
        let (key, sum) = ((*key).to_owned(), (*sum).to_owned());
        if key.is_empty() || !is_sum(sum.as_bytes()) {
            return None;
        }
        rows.push(Row { key, serial, sum });
    }
    Some(rows)
}

#[cfg(test)]
mod tests {
    use super::super::sum;
    use super::*;

    #[test]
    fn only_later_serials_are_accepted() {
        let dir = std::env::temp_dir().join(format!("nssbox-kept.{}", std::process::id()));
        let dir = dir.to_str().unwrap();
        let list = |serial| List { serial, time: 0, maps: Vec::new() };
        let (one, other) = (sum::of(b"one"), sum::of(b"other"));
        let mut kept = Kept::read(dir).unwrap();
        kept.accept("A", &list(5), &one, false).unwrap();
        kept.accept("B", &list(3), &one, false).unwrap();
        let mut kept = Kept::read(dir).unwrap();
        assert_eq!((kept.of("A"), kept.of("B"), kept.of("C")), (Some(5), Some(3), None));
        kept.accept("A", &list(5), &one, false).unwrap();
        let same = kept.accept("A", &list(5), &other, false).unwrap_err();
        assert!(same.text.contains("as another one before"), "{}", same.text);
        let older = kept.accept("A", &list(4), &other, false).unwrap_err();
        assert!(older.text.contains("an older one"), "{}", older.text);
        assert_eq!(Kept::read(dir).unwrap().of("A"), Some(5));
        kept.accept("A", &list(4), &other, true).unwrap();
        assert_eq!(Kept::read(dir).unwrap().of("A"), Some(4));
        for text in ["A 5\n", "A x y\n", "A 5 z\n", "\n"] {
            std::fs::write(format!("{dir}/{NAME}"), text).unwrap();
            assert!(Kept::read(dir).is_err(), "{text:?}");
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
}
