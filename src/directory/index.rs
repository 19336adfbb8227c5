//! Makes the indexes of a file of lines: reads it once, and checks each line as its readers will.

use super::folder::{Folder, Version};
use super::maps::Map;
use super::members::Memberships;
use super::progress::Progress;
use super::report::Report;
use super::sort::Sorter;
use super::table::{TableKeys, begin};
use super::temporary::{Temporary, unwritten};
use super::text::Lines;
use crate::sys::error::Error;
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use nssproto::cache::hash::Kind;
use nssproto::cache::ix::{Record, digits, width};
use nssproto::cache::lines::{Automount, Netgroup};
use nssproto::cache::{KEY_MAX, Key, MEMBERS, sshkey};
use nssproto::entry;
use nssproto::line::{Rules, parse_by, why};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// Indexes that have not got their names yet.
pub struct Indexes<'a> {
    /// What follows the name of the data file, and the file.
    pub files: Vec<(&'static str, Temporary<'a>)>,
    /// What was met.
    pub report: Report,
}

/// The lines of a map by one key. With each key goes where its line begins, doubled; odd: the line is
/// one that only libnss-cache tells, so that no index of our own leads to it.
struct ByKey<'a> {
    key: Key,
    lines: Sorter<'a>,
    longest_offset: usize,
}

impl ByKey<'_> {
    fn put(&mut self, key: &[u8], offset: u64, is_ours: bool) -> Result<(), Error> {
        self.longest_offset = digits(offset);
        self.lines.put(key, offset << 1 | u64::from(!is_ours))
    }
}

/// What is collected of a map.
struct Collected<'a> {
    map: Map,
    name: ByKey<'a>,
    id: ByKey<'a>,
    members: Memberships<'a>,
    report: Report,
}

/// Makes the indexes of `data`, the file of a map, which will have this size and time.
pub fn build<'a>(
    folder: &'a Folder,
    map: Map,
    name: &[u8],
    data: &File,
    version: &Version,
    progress: &mut Progress,
) -> Result<Indexes<'a>, Error> {
    let by = |key| ByKey { key, lines: Sorter::new(folder), longest_offset: 1 };
    let mut collected = Collected {
        map,
        name: by(Key::Name),
        id: by(if map == Map::Group { Key::Gid } else { Key::Uid }),
        members: Memberships::new(folder),
        report: Report::default(),
    };
    let mut lines = Lines::new(data);
    loop {
        let done = lines.done();
        let number = lines.number + 1;
        match lines.next_line() {
            Ok(Some(line)) => collected.take(number, line.offset, line.text)?,
            Ok(None) => break,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let place = [&folder.path_of(name)[..], b", line ", &decimal(number)].concat();
                let error = Error::refused("a line is longer than 16 MiB:");
                return Err(error.about(OsStr::from_bytes(&place)));
            }
            Err(error) => {
                let errno = rustix::io::Errno::from_io_error(&error);
                let errno = errno.unwrap_or(rustix::io::Errno::IO);
                return Err(folder.error("unable to read", name, errno));
            }
        }
        if number.is_multiple_of(4096) {
            progress.at("read", done, version.size);
        }
    }
    collected.write(folder, version, progress)
}

fn decimal(number: u64) -> Vec<u8> {
    write_decimal(number, &mut [0; DECIMAL_MAX]).to_vec()
}

impl<'a> Collected<'a> {
    /// Takes a line.
    fn take(&mut self, number: u64, offset: u64, text: &[u8]) -> Result<(), Error> {
        let checked = match self.map.db() {
            Some(db) => match parse_by(Rules::Cache, db, text) {
                Ok(record) => return self.take_record(offset, &record),
                Err(why::COMMENT) => return Ok(()),
                Err(why) => {
                    if let (why::NAME, Ok(record)) = (why, parse_by(Rules::Nsss, db, text)) {
                        self.take_keys(offset, &record, false)?;
                    }
                    Err(why)
                }
            },
            None if text.is_empty() || text.first() == Some(&b'#') => return Ok(()),
            None => match self.map {
                Map::Netgroup => Netgroup::parse(text).map(|_| ()),
                Map::Automount => Automount::parse(text).map(|_| ()),
                _ => match sshkey::split(text) {
                    Ok((name, _)) => {
                        self.report.entries += 1;
                        return self.take_name(offset, name, true);
                    }
                    Err(why) => Err(why),
                },
            },
        };
        match checked {
            Ok(()) => self.report.entries += 1,
            Err(why) => self.report.add_bad(number, why),
        }
        Ok(())
    }

    fn take_record(&mut self, offset: u64, record: &entry::Record<'_>) -> Result<(), Error> {
        self.report.entries += 1;
        self.take_keys(offset, record, true)?;
        match record {
            entry::Record::Group(group) => self.members.put(group),
            _ => Ok(()),
        }
    }

    fn take_keys(
        &mut self,
        offset: u64,
        record: &entry::Record<'_>,
        is_ours: bool,
    ) -> Result<(), Error> {
        if record.name().is_empty() {
            return Ok(());
        }
        self.take_name(offset, record.name(), is_ours)?;
        let Some(id) = record.id() else { return Ok(()) };
        self.id.put(write_decimal(id.into(), &mut [0; DECIMAL_MAX]), offset, is_ours)
    }

    /// A name that is longer than a key is looked for in the lines.
    fn take_name(&mut self, offset: u64, name: &[u8], is_ours: bool) -> Result<(), Error> {
        if name.len() > KEY_MAX { Ok(()) } else { self.name.put(name, offset, is_ours) }
    }

    /// Writes all of them.
    fn write(
        self,
        folder: &'a Folder,
        version: &Version,
        progress: &mut Progress,
    ) -> Result<Indexes<'a>, Error> {
        let Collected { map, name, id, members, report } = self;
        let mut indexes = Indexes { files: Vec::new(), report };
        for by in [name, id] {
            if map.keys().contains(&by.key) {
                write_by(folder, map, by, version, &mut indexes, progress)?;
            }
        }
        if map == Map::Group {
            if let Some(file) = members.write(version)? {
                indexes.files.push((MEMBERS, file));
            }
        }
        Ok(indexes)
    }
}

/// Writes both indexes by one key.
fn write_by<'a>(
    folder: &'a Folder,
    map: Map,
    by: ByKey<'a>,
    version: &Version,
    indexes: &mut Indexes<'a>,
    progress: &mut Progress,
) -> Result<(), Error> {
    let ByKey { key, lines, longest_offset } = by;
    let (width, all) = (width(lines.longest, longest_offset), lines.count);
    let has_table = map.db().is_some();
    let mut writer = KeyWriter {
        out: Temporary::new(folder)?,
        width,
        room: vec![0; width],
        table: TableKeys::new(folder),
        has_table,
    };
    let (mut sorted, mut next) = (lines.sorted()?, Vec::new());
    let (mut last, mut done) = (None::<LastLine>, 0);
    while let Some(value) = sorted.next(&mut next).map_err(|e| unwritten(folder, &e))? {
        done += 1;
        if u64::is_multiple_of(done, 4096) {
            progress.at("sorted", done, all);
        }
        let is_repeated = last.as_ref().is_some_and(|last| last.key == next);
        if is_repeated && map == Map::Sshkey {
            // A user's keys may stand in several lines, the first of which is to be found.
            continue;
        }
        if is_repeated {
            indexes.report.add_repeated(key != Key::Name, &next);
        } else {
            if let Some(last) = &last {
                writer.put(last)?;
            }
            let mut key = last.take().map_or_else(Vec::new, |last| last.key);
            std::mem::swap(&mut key, &mut next);
            last = Some(LastLine { key, at: 0, ours: None });
        }
        if let Some(last) = &mut last {
            last.at = value >> 1;
            last.ours = if value & 1 == 0 { Some(last.at) } else { last.ours };
        }
    }
    if let Some(last) = &last {
        writer.put(last)?;
    }
    let KeyWriter { out, table, .. } = writer;
    indexes.files.push((key.ix(), out));
    if has_table {
        let mut out = begin(folder)?;
        let kind = if key == Key::Name { Kind::Name } else { Kind::Id };
        if table.write(&mut out, kind, version)? {
            indexes.files.push((key.hash(), out));
        }
    }
    Ok(())
}

/// Writes keys in order.
struct KeyWriter<'a> {
    out: Temporary<'a>,
    width: usize,
    room: Vec<u8>,
    table: TableKeys<'a>,
    has_table: bool,
}

/// The last line of a key, and the last one that is ours.
struct LastLine {
    key: Vec<u8>,
    at: u64,
    ours: Option<u64>,
}

impl KeyWriter<'_> {
    fn put(&mut self, line: &LastLine) -> Result<(), Error> {
        let record = Record { key: &line.key, offset: line.at };
        // It fits: the width is that of the longest.
        if let Ok(len) = record.encode(self.width, &mut self.room) {
            self.out.put(self.room.get(..len).unwrap_or_default())?;
        }
        match line.ours {
            Some(offset) if self.has_table => self.table.put(&line.key, offset),
            _ => Ok(()),
        }
    }
}
