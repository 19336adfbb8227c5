//! Replaces a map: its data and its indexes, so that whoever reads meanwhile finds what fits.
//!
//! libnss-cache opens an index and then the data, and believes an index whose second is not before the
//! data's. So the data's second is later than that of any index before it, and between the removal of
//! those and the arrival of the data a reader that has one open gets time to be done.

use super::folder::{Folder, Version};
use super::index::{self, Indexes};
use super::maps::{Map, file_name};
use super::model::Model;
use super::progress::Progress;
use super::report::Report;
use super::temporary::{Temporary, sweep};
use crate::limits::INDEX_GRACE_MILLIS;
use crate::sys::clock::file_time;
use crate::sys::error::Error;
use nssproto::Malformed;
use nssproto::cache::lines::check;
use nssproto::entry::Record;
use nssproto::line;
use rustix::fs::{Timespec, Timestamps, futimens};
use rustix::io::Errno;
use std::fs::File;
use std::time::Duration;

/// A map that is being written. Dropped, it leaves nothing behind.
pub struct NewMap<'a> {
    folder: &'a Folder,
    map: Map,
    name: Vec<u8>,
    data: Temporary<'a>,
    /// The pause between the removal of the old indexes and the arrival of the data.
    pub grace: Duration,
}

impl<'a> NewMap<'a> {
    /// The map that has its file in this folder, under the name of the map, or of one of its maps
    /// (`auto.home`), and this suffix.
    pub fn begin(folder: &'a Folder, map: Map, name: &[u8], suffix: &[u8]) -> Result<Self, Error> {
        sweep(folder)?;
        let (name, data) = (file_name(name, suffix), Temporary::new(folder)?);
        let grace = Duration::from_millis(INDEX_GRACE_MILLIS);
        Ok(NewMap { folder, map, name, data, grace })
    }

    /// Adds bytes of lines as they are, in pieces of any size.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.data.put(bytes)
    }

    /// Adds an entry. The inner error: it cannot be told as a line, and is left out.
    pub fn put_record(&mut self, record: &Record<'_>) -> Result<Result<(), Malformed>, Error> {
        if let Err(why) = check(record) {
            return Ok(Err(why));
        }
        line::write(record, |piece| self.data.put(piece))?;
        self.data.put(b"\n")?;
        Ok(Ok(()))
    }

    /// All entries are there: makes the indexes, and puts all in the place of what is there.
    pub fn finish(self) -> Result<Report, Error> {
        self.prepare()?.put_in_place()
    }

    /// All entries are there: makes the indexes, and leaves what is there.
    pub fn prepare(self) -> Result<ReadyMap<'a>, Error> {
        let NewMap { folder, map, name: whole_name, mut data, grace } = self;
        let name = whole_name.as_slice();
        let second = second_for(folder, map, name)?;
        finish(folder, &mut data, &Model::of(map, true), second)?;
        let mut progress = Progress::new(folder, name);
        let open = data.file()?;
        let version = Version::of(open).map_err(|e| folder.error("unable to read", name, e))?;
        let built = index::build(folder, map, name, open, &version, &mut progress)?;
        drop(progress);
        let Indexes { mut files, report } = built;
        for (_, file) in &mut files {
            finish(folder, file, &Model::of(map, false), version.mtime.0)?;
        }
        Ok(ReadyMap { folder, map, name: whole_name, data, grace, files, report })
    }
}

/// A map that is written, and not in its place yet. Dropped, it leaves nothing behind.
pub struct ReadyMap<'a> {
    folder: &'a Folder,
    map: Map,
    name: Vec<u8>,
    data: Temporary<'a>,
    grace: Duration,
    files: Vec<(&'static str, Temporary<'a>)>,
    /// What was met in its lines.
    pub report: Report,
}

impl ReadyMap<'_> {
    /// Its data.
    pub fn data(&mut self) -> Result<&File, Error> {
        self.data.file()
    }

    /// Puts all in the place of what is there.
    pub fn put_in_place(self) -> Result<Report, Error> {
        let ReadyMap { folder, map, name, data, grace, files, report } = self;
        let name = name.as_slice();
        let unsynced = |errno| folder.error("unable to write in", b"", errno);
        if remove_shared(folder, map, name)? {
            folder.sync().map_err(unsynced)?;
            std::thread::sleep(grace);
        }
        data.rename(name)?;
        put_in_place(folder, map, name, files)?;
        folder.sync().map_err(unsynced)?;
        Ok(report)
    }
}

/// The second that new data gets: later than that of the data and of all indexes that are there.
fn second_for(folder: &Folder, map: Map, name: &[u8]) -> Result<i64, Error> {
    let mut second = file_time().div_euclid(1_000_000_000);
    for end in map.shared_indexes().chain([""]) {
        let name = [name, end.as_bytes()].concat();
        let there = folder.stat(&name).map_err(|e| folder.error("unable to look at", &name, e))?;
        if let Some(there) = there {
            second = second.max(Version::from(&there).mtime.0.saturating_add(1));
        }
    }
    Ok(second)
}

/// Gives a file its owner, mode and time, and makes sure that it is kept.
pub fn finish(
    folder: &Folder,
    file: &mut Temporary<'_>,
    model: &Model,
    second: i64,
) -> Result<(), Error> {
    let unwritten = |errno: Errno| folder.error("unable to write in", b"", errno);
    let open = file.file()?;
    model.put(open).map_err(unwritten)?;
    let time = Timespec { tv_sec: second, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    futimens(open, &times).map_err(unwritten)?;
    file.sync()
}

/// Gives indexes their names, and removes those that could not be made.
pub fn put_in_place(
    folder: &Folder,
    map: Map,
    name: &[u8],
    files: Vec<(&'static str, Temporary<'_>)>,
) -> Result<(), Error> {
    for end in map.own_indexes() {
        if files.iter().all(|(made, _)| *made != end) {
            remove(folder, name, end)?;
        }
    }
    for (end, file) in files {
        file.rename(&[name, end.as_bytes()].concat())?;
    }
    Ok(())
}

/// Removes the indexes that libnss-cache knows; whether there were any.
pub fn remove_shared(folder: &Folder, map: Map, name: &[u8]) -> Result<bool, Error> {
    let mut some = false;
    for end in map.shared_indexes() {
        some |= remove(folder, name, end)?;
    }
    Ok(some)
}

fn remove(folder: &Folder, name: &[u8], end: &str) -> Result<bool, Error> {
    let name = [name, end.as_bytes()].concat();
    folder.remove(&name).map_err(|errno| folder.error("unable to remove", &name, errno))
}
