//! Which line of a map's file is of which entry of the directory: so a change or a deletion is brought
//! into the file without all the others.
//!
//! A file beside the timestamps: a header of lines `KEY VALUE` that ends with an empty one, then rows of
//! 20 bytes, sorted: the entryUUID, and the number of its line, little endian; all ones: it has none. It
//! is written after the data is in its place, and names that by size and time: a table that does not fit
//! is none, and the whole map is fetched.

use crate::directory::failure::{Done, Failure, os};
use crate::directory::folder::Folder;
use crate::directory::sort::Sorter;
use crate::directory::stamp::{Stamps, Time};
use crate::directory::state::DataStamp;
use crate::directory::temporary::{Temporary, sweep};
use crate::limits::LDAP_COOKIE;
use nssproto::bytes::hex_digit;
use nssproto::ldap::control::Uuid;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};

/// The number of an entry that has no line.
pub const NO_LINE: u32 = u32::MAX;

const MAGIC: &str = "nsscache-rows 1";
const ROW: usize = 20;
/// Bytes of a header's line, a cookie in it.
const HEADER_LINE: u64 = 2 * LDAP_COOKIE as u64 + 64;

/// What a table belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Servers, base, scope, filter, attributes.
    pub origin: String,
    /// What the server calls the state; empty: it does not.
    pub cookie: Vec<u8>,
    /// The newest change.
    pub newest: Option<Time>,
    /// Rows.
    pub count: u64,
}

/// A table that fits its data.
pub struct Table {
    /// What it says of itself.
    pub head: Head,
    rows: BufReader<File>,
}

/// Where it is.
pub fn path(stamps: &Stamps) -> Vec<u8> {
    stamps.beside("rows")
}

impl Table {
    /// The table of this data file, if it is one of `origin`.
    pub fn open(stamps: &Stamps, data: &[u8], origin: &str) -> Option<Table> {
        let data = DataStamp::of(data)?;
        let mut rows = BufReader::new(File::open(os(&path(stamps))).ok()?);
        let mut line = || {
            let mut text = String::new();
            rows.by_ref().take(HEADER_LINE).read_line(&mut text).ok()?;
            text.strip_suffix('\n').map(str::to_owned)
        };
        if line()? != MAGIC {
            return None;
        }
        let (mut head, mut fits) = (Head::default(), false);
        loop {
            let text = line()?;
            let Some((key, value)) = text.split_once(' ') else {
                if text.is_empty() {
                    break;
                }
                return None;
            };
            match key {
                "origin" => head.origin = value.to_owned(),
                "cookie" => head.cookie = unhex(value)?,
                "newest" => head.newest = value.parse().ok(),
                "count" => head.count = value.parse().ok()?,
                "data" => fits = value == format!("{} {}", data.size, data.mtime),
                _ => {}
            }
        }
        let at = rows.stream_position().ok()?;
        let size = rows.get_ref().metadata().ok()?.len();
        let whole = size.checked_sub(at)? == head.count.checked_mul(ROW as u64)?;
        (fits && whole && head.origin == origin).then_some(Table { head, rows })
    }

    /// The same rows, at another state of the server.
    pub fn with_cookie(mut self, cookie: Vec<u8>, folder: &Folder) -> Done<Ready> {
        let mut rows = Temporary::nameless(folder)?;
        io::copy(&mut self.rows, &mut rows).map_err(|error| unkept(&error))?;
        Ok(Ready { head: Head { cookie, ..self.head }, rows })
    }

    /// The next row.
    pub fn next(&mut self) -> io::Result<Option<(Uuid, u32)>> {
        read_row(&mut self.rows)
    }
}

fn read_row(rows: &mut impl Read) -> io::Result<Option<(Uuid, u32)>> {
    let mut row = [0; ROW];
    match rows.read_exact(&mut row) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let (Some(uuid), Some(line)) = (row.first_chunk(), row.last_chunk()) else { return Ok(None) };
    Ok(Some((*uuid, u32::from_le_bytes(*line))))
}

/// Rows that are collected, in any order.
pub struct Collected<'a> {
    folder: &'a Folder,
    sorter: Sorter<'a>,
    /// The number of the next line.
    line: u64,
    /// An entry had no entryUUID, or there are too many: there is no table.
    useless: bool,
}

impl<'a> Collected<'a> {
    /// None yet.
    pub fn new(folder: &'a Folder) -> Self {
        Collected { folder, sorter: Sorter::new(folder), line: 0, useless: false }
    }

    /// An entry, and whether it has a line: the next one.
    pub fn put(&mut self, uuid: Option<&Uuid>, has_line: bool) -> Done {
        let number = if has_line { u32::try_from(self.line).unwrap_or(NO_LINE) } else { NO_LINE };
        self.useless |= has_line && number == NO_LINE || uuid.is_none();
        self.line += u64::from(has_line);
        if let Some(uuid) = uuid {
            self.sorter.put(uuid, number.into())?;
        }
        Ok(())
    }

    /// All are there; nothing if there is to be no table.
    pub fn finish(self, mut head: Head) -> Done<Option<Ready>> {
        if self.useless {
            return Ok(None);
        }
        head.count = self.sorter.count;
        let mut rows = BufWriter::new(Temporary::nameless(self.folder)?);
        let (mut sorted, mut key) = (self.sorter.sorted()?, Vec::new());
        let mut last = Vec::new();
        while let Some(line) = sorted.next(&mut key).map_err(|error| unkept(&error))? {
            if key == last {
                // Two entries of one UUID: a server that is not sound.
                return Ok(None);
            }
            let line = (line as u32).to_le_bytes();
            rows.write_all(&key).and_then(|()| rows.write_all(&line)).map_err(|e| unkept(&e))?;
            std::mem::swap(&mut key, &mut last);
        }
        let rows = rows.into_inner().map_err(|error| unkept(error.error()))?;
        Ok(Some(Ready { head, rows }))
    }
}

/// A table whose data is not in its place yet.
pub struct Ready {
    /// What it will say of itself.
    pub head: Head,
    rows: File,
}

impl Ready {
    /// The data is in its place: writes the table.
    pub fn write(mut self, stamps: &Stamps, data: &[u8]) -> Done {
        let path = path(stamps);
        let Some(data) = DataStamp::of(data) else { return remove(stamps) };
        let slash = path.iter().rposition(|byte| *byte == b'/');
        let (dir, name) = match slash {
            Some(at) => path.split_at_checked(at + 1).unwrap_or((b"./", &path)),
            None => (&b"./"[..], path.as_slice()),
        };
        let _ = std::fs::create_dir_all(os(dir));
        let folder = Folder::open(dir)?;
        sweep(&folder)?;
        let mut out = Temporary::new(&folder)?;
        let Head { origin, cookie, newest, count } = &self.head;
        let mut text = format!("{MAGIC}\norigin {origin}\ncookie {}\n", hex(cookie));
        if let Some(newest) = newest {
            text.push_str(&format!("newest {newest}\n"));
        }
        text.push_str(&format!("count {count}\ndata {} {}\n\n", data.size, data.mtime));
        out.put(text.as_bytes())?;
        self.rows.rewind().map_err(|error| unkept(&error))?;
        let mut piece = vec![0; 16 * 1024];
        loop {
            let got = self.rows.read(&mut piece).map_err(|error| unkept(&error))?;
            if got == 0 {
                break;
            }
            out.put(piece.get(..got).unwrap_or_default())?;
        }
        out.sync()?;
        out.rename(name)?;
        Ok(())
    }
}

/// There is to be no table.
pub fn remove(stamps: &Stamps) -> Done {
    let path = path(stamps);
    match rustix::fs::unlink(os(&path)) {
        Ok(()) | Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(()),
        Err(errno) => Err(Failure::system("remove", &path, errno)),
    }
}

/// What could not be kept in a temporary file.
pub fn unkept(error: &io::Error) -> Failure {
    Failure::refused(format!("unable to use a temporary file: {error}"))
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [hex_digit(byte >> 4), hex_digit(byte & 15)]);
    digits.map(char::from).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some((digit(high)? << 4 | digit(low)?) as u8),
        _ => None,
    };
    pairs.map(byte).collect()
}
