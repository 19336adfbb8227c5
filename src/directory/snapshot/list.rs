//! The list that is signed, `snapshot`: a first line `nsscache-snapshot 1 serial=N time=T` (seconds since
//! 1970), then a line `MAP HEX SIZE ENTRIES` for each map, whose file is `MAP-HEX`.
//!
//! MAP is what its file is called without the suffix, and for what automount's master lists the last name
//! of its location there.

use super::sum::is_sum;
use crate::directory::stamp::Time;
use crate::limits::DIRECTORY_BODY;
use nssproto::bytes::decimal_u64;

/// The file, and the largest one that is read.
pub const NAME: &str = "snapshot";
/// See there: more than 500 maps.
pub const MOST: usize = 64 * 1024;

const FRONT: &str = "nsscache-snapshot ";
const VERSION: &str = "1";

/// A list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Which export it is: later ones have larger numbers.
    pub serial: u64,
    /// When it was made.
    pub time: Time,
    /// What it lists.
    pub maps: Vec<Listed>,
}

/// A map of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// See the head of this file.
    pub name: String,
    /// The SHA-256 of its file.
    pub sum: String,
    /// The bytes of its file.
    pub size: u64,
    /// Its entries.
    pub entries: u64,
}

impl Listed {
    /// The name of its file.
    pub fn file(&self) -> String {
        format!("{}-{}", self.name, self.sum)
    }
}

/// The name of the signature of a list with this sum.
pub fn signature(sum: &str) -> String {
    format!("{NAME}-{sum}.minisig")
}

/// Whether a map may be called so: its file stays in its directory, and can be told from all others.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=100).contains(&name.len())
        && name.as_bytes().iter().all(plain)
        && !name.starts_with(['.', '-'])
        && name != NAME
}

/// Whether a file is of an export, whichever.
pub fn is_file(name: &[u8]) -> bool {
    let bare = name.strip_suffix(b".minisig").unwrap_or(name);
    let is_signature = bare.len() < name.len();
    let Some(at) = bare.iter().rposition(|byte| *byte == b'-') else { return false };
    let (map, sum) = (bare.get(..at).unwrap_or_default(), bare.get(at + 1..).unwrap_or_default());
    let of_list = map == NAME.as_bytes();
    let of_map = std::str::from_utf8(map).is_ok_and(is_name);
    is_sum(sum) && if is_signature { of_list } else { of_map }
}

impl List {
    /// Reads one. The error says what is wrong with it.
    pub fn parse(text: &[u8]) -> Result<List, &'static str> {
        let text = std::str::from_utf8(text).map_err(|_| "it is no text")?;
        let text = text.strip_suffix('\n').ok_or("its last line has no end")?;
        let mut lines = text.split('\n');
        let first = lines.next().and_then(|line| line.strip_prefix(FRONT)).ok_or("it is none")?;
        let mut words = first.split(' ');
        if words.next() != Some(VERSION) {
            return Err("it is of a later version");
        }
        let mut number = |front: &str| decimal_u64(words.next()?.strip_prefix(front)?.as_bytes());
        let (serial, time) = (number("serial="), number("time="));
        let time = time.and_then(|time| time.try_into().ok());
        let (Some(serial), Some(time), None) = (serial, time, words.next()) else {
            return Err("its first line has not a serial and a time");
        };
        let mut maps: Vec<Listed> = Vec::new();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let [name, sum, size, entries] = words.as_slice() else {
                return Err("a line of it has not four words");
            };
            let (size, entries) = (decimal_u64(size.as_bytes()), decimal_u64(entries.as_bytes()));
            let (Some(size), Some(entries)) = (size, entries) else {
                return Err("a size or a count in it is no number");
            };
            if !is_name(name) || !is_sum(sum.as_bytes()) {
                return Err("a name or a sum in it is none");
            }
            if size > DIRECTORY_BODY {
                return Err("a map in it is too large");
            }
            if maps.iter().any(|other| other.name == *name) {
                return Err("it has a map twice");
            }
            let (name, sum) = ((*name).to_owned(), (*sum).to_owned());
            maps.push(Listed { name, sum, size, entries });
        }
        Ok(List { serial, time, maps })
    }

    /// Its text.
    pub fn text(&self) -> String {
        let (serial, time) = (self.serial, self.time);
        let mut text = format!("{FRONT}{VERSION} serial={serial} time={time}\n");
        for Listed { name, sum, size, entries } in &self.maps {
            text += &format!("{name} {sum} {size} {entries}\n");
        }
        text
    }

    /// The map of this name.
    pub fn find(&self, name: &str) -> Option<&Listed> {
        self.maps.iter().find(|map| map.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sum;
    use super::*;

    fn good() -> List {
        let listed = |name: &str| Listed {
            name: name.to_owned(),
            sum: sum::of(name.as_bytes()),
            size: 7,
            entries: 1,
        };
        List { serial: 12, time: 34, maps: vec![listed("passwd"), listed("auto.home.cache")] }
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let list = good();
        assert!(list.text().starts_with("nsscache-snapshot 1 serial=12 time=34\npasswd "));
        assert_eq!(List::parse(list.text().as_bytes()), Ok(list.clone()));
        assert_eq!(list.find("passwd"), list.maps.first());
        assert_eq!(list.find("shadow"), None);
        let empty = List { maps: Vec::new(), ..list };
        assert_eq!(List::parse(empty.text().as_bytes()), Ok(empty));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let text = good().text();
        for (from, to) in [
            ("nsscache-snapshot 1", "nsscache-snapshot 2"),
            ("nsscache-snapshot", "nsscache-snapshots"),
            ("serial=12", "serial=-1"),
            ("serial=12", "serial=99999999999999999999"),
            ("serial=12 time=34", "time=34 serial=12"),
            ("time=34", "time=34 more=1"),
            ("time=34", "time=9999999999999999999"),
            ("passwd", "../passwd"),
            ("passwd", ".passwd"),
            ("passwd", "snapshot"),
            ("passwd", ""),
            ("passwd", "auto.home.cache"),
            (" 7 1\n", " 7\n"),
            (" 7 1\n", " 7 1 2\n"),
            (" 7 1\n", " 7x 1\n"),
            (" 7 1\n", " 7 1\r\n"),
            (" 7 1\n", " 9999999999999 1\n"),
            (" 7 1\n", " 7 1\n\n"),
        ] {
            let bad = text.replacen(from, to, 1);
            assert!(bad != text && List::parse(bad.as_bytes()).is_err(), "{from:?} {to:?}");
        }
        for cut in 0..text.len() - 1 {
            let list = List::parse(&text.as_bytes()[..cut]);
            // Whole lines are a list; it is the signature that tells.
            assert!(list.is_err() || text.as_bytes()[cut - 1] == b'\n', "{cut}");
        }
        assert!(List::parse(b"\xff\n").is_err());
    }

    #[test]
    fn files_of_an_export_are_known_by_their_names() {
        let sum = sum::of(b"");
        for name in ["passwd", "auto.home_x.cache", "a-b"] {
            assert!(is_file(format!("{name}-{sum}").as_bytes()), "{name}");
        }
        assert!(is_file(signature(&sum).as_bytes()));
        for name in [
            "snapshot".to_owned(),
            format!("snapshot-{sum}"),
            format!("passwd-{sum}.minisig"),
            format!("passwd{sum}"),
            format!("-{sum}"),
            format!(".x-{sum}"),
            format!("passwd-{sum}.gz"),
            "index.html".to_owned(),
        ] {
            assert!(!is_file(name.as_bytes()), "{name}");
        }
    }
}
