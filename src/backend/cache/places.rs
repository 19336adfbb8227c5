//! Where the lines of the data files stand, by the indexes beside them.

use super::hash::Table;
use super::ix::{Ix, Told};
use crate::backend::client::{Hit, Line, ReadFrom};
use crate::backend::unix::file::DbFile;
use crate::backend::unix::recent::LookupKey;
use crate::backend::unix::search::{Want, line_at};
use crate::backend::unix::{Place, Placed};
use crate::backend::{PerDb, Step, spend};
use crate::limits::{CANDIDATE, IDLE_LOOKS, INDEX_BELIEVED_MILLIS, LIKELY_LINE, ONE_LINE, WINDOW};
use crate::sys::clock::millis;
use crate::sys::file::{path, pread_full};
use memchr::memchr;
use nssproto::DecodeError;
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use nssproto::cache::hash::Kind;
use nssproto::cache::members::{MAX, Record};
use nssproto::cache::{KEY_MAX, Key, MEMBERS};
use nssproto::entry::Db;
use nssproto::line::Rules;
use nssproto::line::glibc::has_key;
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

/// An index beside a data file, of which no more is known than what it was when it was opened.
struct Index<T> {
    path: CString,
    /// None: there was none that fits.
    open: Option<T>,
    /// For which version of the data file, and until when, in milliseconds of the clock.
    version: u32,
    until: u64,
    /// Looks at whether it is used, since it was.
    idle: u8,
}

impl<T> Index<T> {
    fn new(path: CString) -> Self {
        Index { path, open: None, version: 0, until: 0, idle: 0 }
    }

    /// What is open, opened again if need be: another one may have come into its place.
    fn get(
        &mut self,
        version: u32,
        open: impl FnOnce(&CStr) -> Result<Option<T>, Errno>,
    ) -> Option<&mut T> {
        let now = millis();
        if self.version != version || now >= self.until {
            // The old one's descriptor is free for the new one.
            self.open = None;
            // One that cannot be opened is missing, as far as that goes.
            self.open = open(&self.path).ok().flatten();
            (self.version, self.until) = (version, now + INDEX_BELIEVED_MILLIS);
        }
        self.idle = 0;
        self.open.as_mut()
    }

    /// It is damaged: nobody looks at it any more until it is opened again.
    fn drop(&mut self) {
        self.open = None;
    }

    /// Closes it if it has not been used for a while; whether it is open.
    fn close_idle(&mut self) -> bool {
        self.idle += u8::from(self.open.is_some());
        if self.idle > IDLE_LOOKS {
            (self.idle, self.open, self.until) = (0, None, 0);
        }
        self.open.is_some()
    }
}

/// Both indexes by one key.
struct ByKey {
    kind: Kind,
    table: Index<Table>,
    ix: Index<Ix>,
    /// The table is one of other data, which was changed in that second: an index of libnss-cache from
    /// then was made with it, and is of that data, too. By its time alone it might be believed.
    other: Option<i64>,
}

impl ByKey {
    fn new(data: &[u8], key: Key) -> Result<Self, Errno> {
        let at = |end: &str| path(&[data, end.as_bytes()].concat());
        let kind = if key == Key::Name { Kind::Name } else { Kind::Id };
        let (table, ix) = (Index::new(at(key.hash())?), Index::new(at(key.ix())?));
        Ok(ByKey { kind, table, ix, other: None })
    }
}

/// The indexes of a data file.
struct OfFile {
    name: ByKey,
    id: ByKey,
    members: Index<Table>,
}

/// Those of all three.
pub struct Places {
    files: PerDb<OfFile>,
}

impl Places {
    /// Beside the files of this directory, whose names end so. Nothing is opened yet.
    pub fn new(dir: &[u8], suffix: &[u8]) -> Result<Self, Errno> {
        let of = |db: Db| -> Result<OfFile, Errno> {
            let data = [dir, b"/", db.name().as_bytes(), suffix].concat();
            let id = if db == Db::Group { Key::Gid } else { Key::Uid };
            Ok(OfFile {
                name: ByKey::new(&data, Key::Name)?,
                id: ByKey::new(&data, id)?,
                members: Index::new(path(&[&data, MEMBERS.as_bytes()].concat())?),
            })
        };
        Ok(Places { files: PerDb::each(of(Db::Passwd)?, of(Db::Group)?, of(Db::Shadow)?) })
    }
}

impl Placed for Places {
    fn find(
        &mut self,
        step: &mut Step<'_>,
        file: &mut DbFile,
        version: u32,
        want: Want<'_>,
    ) -> Result<Place, Errno> {
        let of_file = self.files.get_mut(file.db);
        step.shared.holds_files = true;
        let mut digits = [0; DECIMAL_MAX];
        let (index, key) = match want {
            Want::Key(LookupKey::Name(name)) => (&mut of_file.name, name),
            Want::Key(LookupKey::Id(id)) => {
                (&mut of_file.id, write_decimal(id.into(), &mut digits))
            }
            Want::Member(user) => {
                return Ok(groups(step, file, version, &mut of_file.members, user.bytes()));
            }
            Want::Any => return Ok(Place::Unknown),
        };
        if key.is_empty() || !has_key(key) {
            return Ok(Place::Absent);
        }
        if key.len() > KEY_MAX {
            return Ok(Place::Unknown);
        }
        let data = file.stamp();
        let ByKey { kind, table, ix, other } = index;
        let open = |path: &CStr| {
            *other = None;
            Table::open(path, *kind, data.size_and_mtime(), other)
        };
        if let Some(open) = table.get(version, open) {
            match open.find(key) {
                Ok(None) => return Ok(Place::Absent),
                Ok(Some(at)) => match line(step, file, at, want)? {
                    Place::Unknown => {}
                    place => return Ok(place),
                },
                Err(_) => table.drop(),
            }
        }
        let room = step.shared.window.room();
        let (_, (second, _)) = data.size_and_mtime();
        let Some(open) = ix.get(version, |path| Ix::open(path, second, *other, room)) else {
            return Ok(Place::Unknown);
        };
        spend(step.budget, WINDOW);
        match open.find(key, step.shared.window.room()) {
            Ok(Told::At(at)) => line(step, file, at, want),
            // It was written, or another one came, while it was being read.
            Ok(Told::Absent) if open.is_still() && file.is_still() => Ok(Place::Absent),
            Ok(Told::Absent) => Ok(Place::Unknown),
            Ok(Told::Nothing) | Err(_) => {
                ix.drop();
                Ok(Place::Unknown)
            }
        }
    }

    fn close_idle(&mut self) -> bool {
        let mut open = false;
        for db in Db::ALL {
            let OfFile { name, id, members } = self.files.get_mut(db);
            open |= members.close_idle();
            for ByKey { table, ix, .. } in [name, id] {
                open |= table.close_idle() | ix.close_idle();
            }
        }
        open
    }
}

/// The line at an offset, if one begins there and it is the one that is wanted.
fn line(step: &mut Step<'_>, file: &mut DbFile, at: u64, want: Want<'_>) -> Result<Place, Errno> {
    let db = file.db;
    let gids = &mut step.shared.gids;
    if let Some(content) = file.content() {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let found = content
            .get(start..)
            .and_then(|rest| rest.first())
            .and_then(|_| line_at(Rules::Cache, db, content, start, want, gids));
        let Some((span, parsed)) = found else { return Ok(Place::Unknown) };
        let (start, end) = (span.start, span.end);
        *step.hit = Hit::Line(Line { db, from: ReadFrom::Content, start, end, at, parsed });
        return Ok(Place::Found);
    }
    // With the byte in front of it.
    let front = usize::from(at > 0);
    let room = step.shared.window.room().get_mut(..LIKELY_LINE).unwrap_or_default();
    let size = room.len();
    let len = pread_full(file.reopen()?, room, at - front as u64)?;
    spend(step.budget, len + CANDIDATE);
    let block = room.get(..len).unwrap_or_default();
    let begins = front == 0 || block.first() == Some(&b'\n');
    let Some(text) = block.get(front..).filter(|text| begins && !text.is_empty()) else {
        return Ok(Place::Unknown);
    };
    if len == size && memchr(b'\n', text).is_none() {
        return Ok(Place::At(at));
    }
    let Some((span, parsed)) = line_at(Rules::Cache, db, block, front, want, gids) else {
        return Ok(Place::Unknown);
    };
    let (start, end) = (span.start, span.end);
    *step.hit = Hit::Line(Line { db, from: ReadFrom::File, start, end, at, parsed });
    Ok(Place::Found)
}

/// Collects the groups of a user, if they are told.
fn groups(
    step: &mut Step<'_>,
    file: &DbFile,
    version: u32,
    index: &mut Index<Table>,
    user: &[u8],
) -> Place {
    if user.len() > KEY_MAX {
        return Place::Unknown;
    }
    let data = file.stamp().size_and_mtime();
    let Some(table) = index.get(version, |path| Table::open(path, Kind::Member, data, &mut None))
    else {
        return Place::Unknown;
    };
    let told = match table.find(user) {
        Ok(None) => return Place::Groups,
        Ok(Some(at)) => record(&table.file, at, step.shared.window.room()),
        Err(errno) => Err(errno),
    };
    let Ok(record) = told else {
        index.drop();
        return Place::Unknown;
    };
    let mut gids = record.gids.peekable();
    if record.name != user || gids.peek().is_none() {
        return Place::Unknown;
    }
    for gid in gids {
        step.shared.gids.add(gid);
        spend(step.budget, 4);
    }
    Place::Groups
}

/// The record of a user's groups at this offset.
fn record<'a>(file: &OwnedFd, at: u64, room: &'a mut [u8]) -> Result<Record<'a>, Errno> {
    let mut size = ONE_LINE;
    loop {
        let (len, more) = {
            let front = room.get_mut(..size).ok_or(Errno::IO)?;
            let len = pread_full(file, front, at)?;
            let more = matches!(
                Record::decode(front.get(..len).unwrap_or_default()),
                Err(DecodeError::Incomplete(_))
            );
            (len, more)
        };
        if !more || size >= MAX || len < size {
            let record = Record::decode(room.get(..len).unwrap_or_default());
            return record.map(|record| record.value).map_err(|_| Errno::IO);
        }
        size = MAX;
    }
}
