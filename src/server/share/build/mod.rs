//! Makes both maps of what local files say, in pieces: what the socket would answer, by the same rules
//! and the same encoder. Whom the socket does not tell everybody the same of, or only with a look at
//! something else, has no entry: for such keys the socket is asked.

mod members;
mod room;
pub mod telling;

use self::room::{NOTHING, add, begun, grow};
use self::telling::judge;
use super::file::{File, Place};
use crate::backend::password::rule::Field;
use crate::backend::switch::Switch;
use crate::limits::{SHARED_MILLIS, SHARED_USERS};
use crate::sys::clock::cpu_micros;
use crate::sys::file::{open, pread_full};
use crate::sys::may_alloc;
use memchr::memchr;
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use nssproto::entry::{Db, Name, Record};
use nssproto::line::glibc::has_key;
use nssproto::line::{Rules, parse_by};
use nssproto::nscd::map::{Builder, Header, Key, kind, module_for, table_size};
use nssproto::nscd::{self, KEY_MAX};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::ops::Range;
use std::os::fd::OwnedFd;

/// Passwd and group of a source.
pub struct Directory {
    /// The two files.
    pub paths: [CString; 2],
    /// Its place in the switch.
    pub slot: usize,
}

/// Why there can be no map now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A file changes.
    Changes,
    /// A file is none, or not for everybody.
    Unreadable,
    /// A file's file system does not tell of changes.
    Foreign,
    /// There would be too much in it, or it takes too long.
    TooLarge,
    /// A system call failed.
    Failed(Errno),
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Self {
        Trouble::Failed(errno)
    }
}

/// Databases that have a map.
pub const MAPPED: [Db; 2] = [Db::Passwd, Db::Group];

/// What is done next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Files are read: all passwd files, then all group files.
    Read,
    /// Lines of a database become records.
    Records(usize),
    /// The groups of those who are members.
    Members,
    /// Users who are in no group have none.
    Users,
    /// The table is made.
    Link(usize),
    /// The file is written.
    Write(usize),
    Done,
}

/// Bytes that are read or written in a turn, and lines or entries that are looked at.
const PIECE: usize = 64 * 1024;
const LINES: usize = 256;

/// How far it has come. It has memory while it is under way.
pub struct Build {
    stage: Stage,
    /// The contents of all files, one behind the other, and where each ends.
    texts: Vec<u8>,
    ends: Vec<usize>,
    reading: Option<OwnedFd>,
    /// Which file's lines are looked at, and where the next one starts.
    file: usize,
    at: usize,
    /// What becomes the map.
    map: Builder<Vec<u8>>,
    /// Keys that must have no entry, and members.
    aside: Builder<Vec<u8>>,
    /// How far both had come when this file was begun.
    before: [usize; 2],
    /// Members, in words: their first and last group in this list, how many, the next member, where his
    /// record aside is and the length of his name. Groups: gid, and the next.
    lists: Vec<u32>,
    first: u32,
    last: u32,
    users: u32,
    written: usize,
    files: [Option<File>; 2],
    micros: u32,
    /// Most bytes of what is being made.
    left: usize,
    /// Most bytes of both maps.
    pub max: usize,
    /// Most users, too.
    pub counts_users: bool,
}

fn empty() -> Builder<Vec<u8>> {
    Builder::new(Vec::new(), Vec::new())
}

impl Build {
    /// One that is not begun.
    pub fn new() -> Self {
        Build {
            stage: Stage::Done,
            texts: Vec::new(),
            ends: Vec::new(),
            reading: None,
            file: 0,
            at: 0,
            map: empty(),
            aside: empty(),
            before: [0; 2],
            lists: Vec::new(),
            first: NOTHING,
            last: NOTHING,
            users: 0,
            written: 0,
            files: [None, None],
            micros: 0,
            left: 0,
            max: 0,
            counts_users: false,
        }
    }

    /// Ends, and gives its memory back.
    pub fn clear(&mut self) {
        let (max, counts_users) = (self.max, self.counts_users);
        may_alloc(|| *self = Build { max, counts_users, ..Build::new() });
    }

    /// Begins.
    pub fn begin(&mut self) -> Result<(), Trouble> {
        self.clear();
        (self.stage, self.left) = (Stage::Read, self.max);
        may_alloc(|| self.ends.try_reserve_exact(2 * crate::limits::BACKENDS))
            .map_err(|_| Errno::NOMEM)?;
        for builder in [&mut self.map, &mut self.aside] {
            *builder = begun(Vec::new(), Vec::new())?;
        }
        Ok(())
    }

    /// Goes on for a turn; true when both are written.
    pub fn go_on(
        &mut self,
        directories: &[Directory],
        places: &[Option<Place>; 2],
        switch: &mut Switch,
    ) -> Result<bool, Trouble> {
        let before = cpu_micros();
        // What it asks of the switch is looked at now.
        switch.begin_batch(1);
        match self.stage {
            Stage::Read => self.read(directories)?,
            Stage::Records(db) => self.records(db, directories, switch)?,
            Stage::Members => self.members()?,
            Stage::Users => self.groupless(directories.len())?,
            Stage::Link(db) => {
                if self.map.link(8 * LINES) {
                    self.stage = Stage::Write(db);
                }
            }
            Stage::Write(db) => self.write(db, places)?,
            Stage::Done => {}
        }
        self.micros = self.micros.saturating_add(cpu_micros().wrapping_sub(before));
        if self.micros > SHARED_MILLIS * 1000 {
            return Err(Trouble::TooLarge);
        }
        Ok(self.stage == Stage::Done)
    }

    /// What was written.
    pub fn take(&mut self) -> [Option<File>; 2] {
        std::mem::take(&mut self.files)
    }

    /// Reads a piece of a file, from its beginning.
    fn read(&mut self, directories: &[Directory]) -> Result<(), Trouble> {
        let count = directories.len();
        if self.file == 2 * count {
            (self.file, self.at, self.stage) = (0, 0, Stage::Records(0));
            return Ok(());
        }
        let path = directories.get(self.file % count).and_then(|d| d.paths.get(self.file / count));
        let path = path.ok_or(Errno::INVAL)?;
        let file = match &mut self.reading {
            Some(file) => file,
            None => {
                let opened = open(path, OFlags::RDONLY, Mode::empty())?;
                judge(&opened)?;
                self.at = 0;
                self.reading.insert(opened)
            }
        };
        let start = self.texts.len();
        grow(&mut self.texts, start + PIECE, self.max + PIECE)?;
        let room = self.texts.get_mut(start..start + PIECE).unwrap_or_default();
        let len = pread_full(file, room, self.at as u64)?;
        self.texts.truncate(start + len);
        self.at += len;
        if len < PIECE {
            self.ends.push(self.texts.len());
            (self.reading, self.file) = (None, self.file + 1);
        }
        Ok(())
    }

    /// Where the lines of a file are.
    fn text(&self, file: usize) -> Range<usize> {
        let end = |file: usize| self.ends.get(file).copied().unwrap_or_default();
        file.checked_sub(1).map_or(0, end)..end(file)
    }

    /// The next line of that file; `None`: there is no further one.
    fn next_line(&mut self) -> Option<Range<usize>> {
        let Range { start, end } = self.text(self.file);
        let start = start.max(self.at);
        let rest = self.texts.get(start..end).filter(|rest| !rest.is_empty())?;
        let len = memchr(b'\n', rest).unwrap_or(rest.len());
        self.at = start + len + 1;
        Some(start..start + len)
    }

    /// Makes records of lines of a database.
    fn records(
        &mut self,
        db: usize,
        directories: &[Directory],
        switch: &mut Switch,
    ) -> Result<(), Trouble> {
        let count = directories.len();
        for _ in 0..LINES {
            let at = self.at;
            let Some(line) = self.next_line() else {
                self.file += 1;
                self.at = 0;
                self.before = [self.map.data().len(), self.aside.data().len()];
                if self.file == (db + 1) * count {
                    self.before = [0; 2];
                    self.stage = if db == 0 { self.link(0)? } else { Stage::Members };
                }
                return Ok(());
            };
            let which = self.file - db * count;
            let slot = directories.get(which).map_or(0, |directory| directory.slot);
            if !self.record(db, line.clone(), which > 0, slot, switch)? {
                // It goes on with this line.
                self.at = at;
                return Ok(());
            }
            if db == 1 {
                self.membership(line)?;
            }
        }
        Ok(())
    }

    /// Makes a record of a line; `is_second`: there are files in front of its. False: once more, in the
    /// next turn.
    fn record(
        &mut self,
        db: usize,
        line: Range<usize>,
        is_second: bool,
        slot: usize,
        switch: &mut Switch,
    ) -> Result<bool, Trouble> {
        let which = if db == 0 { Db::Passwd } else { Db::Group };
        let line = self.texts.get(line).unwrap_or_default();
        let Ok(record) = parse_by(Rules::Glibc, which, line) else { return Ok(true) };
        let (name, mut digits) = (record.name(), [0; DECIMAL_MAX]);
        if !has_key(name) {
            return Ok(true);
        }
        let id = write_decimal(record.id().unwrap_or_default().into(), &mut digits);
        let (by_name, by_id, field, at) = match record {
            Record::Group(group) => {
                let lengths = 4 * group.members.remaining() as usize;
                (kind::GROUP, kind::GID, group.password, 24 + lengths)
            }
            Record::Passwd(user) => (kind::USER, kind::UID, user.password, 36),
            Record::Shadow(_) => return Ok(true),
        };
        let named = taken(&self.map, &self.aside, self.before, by_name, name);
        let numbered = taken(&self.map, &self.aside, self.before, by_id, id);
        let [is_first, is_first_id] = [named, numbered].map(|taken| taken == Taken::No);
        // The first line of a key wins, also where it is not told to everybody.
        let hides = Field::of(field) == Field::Text || name.len() >= KEY_MAX;
        // By number, no source gives somebody a name that one in front of it has.
        let is_doubtful = is_second && (named == Taken::Before || name.len() > Name::MAX);
        let mut keys = [(0, Key::Behind(b"")); 2];
        let mut count = 0;
        let mut blocked = keys;
        let mut blocks = 0;
        let mut put = |blocks_it: bool, key| {
            let (list, len) = match blocks_it {
                true => (&mut blocked, &mut blocks),
                false => (&mut keys, &mut count),
            };
            if let Some(place) = list.get_mut(*len) {
                *place = key;
                *len += 1;
            }
        };
        if is_first {
            let key = if hides { Key::Behind(name) } else { Key::Within(at, name.len()) };
            put(hides, (by_name, key));
        }
        if is_first_id {
            put(hides || is_doubtful, (by_id, Key::Behind(id)));
        }
        if count > 0 {
            let password = match switch.password_for_all(slot, which, name, field, &mut { 1 << 20 })
            {
                Some(password) => password,
                None => return Ok(false),
            };
            let keys = keys.get(..count).unwrap_or_default();
            let write = |room: &mut [u8]| nscd::encode(&record, password, room);
            add(&mut self.map, self.left, &write, keys)?;
            self.users += u32::from(db == 0 && is_first);
            if self.counts_users && self.users > SHARED_USERS {
                return Err(Trouble::TooLarge);
            }
        }
        if blocks > 0 {
            let keys = blocked.get(..blocks).unwrap_or_default();
            add(&mut self.aside, self.left, &|_| Ok(0), keys)?;
        }
        Ok(true)
    }

    /// Begins with the table of a file.
    fn link(&mut self, db: usize) -> Result<Stage, Trouble> {
        let module = module_for(self.map.entries());
        let size = table_size(module);
        let max = self.left.saturating_sub(self.map.data().len());
        grow(self.map.table_room(), size, max)?;
        self.map.begin_link(module);
        self.written = 0;
        Ok(Stage::Link(db))
    }

    /// Writes a piece of a file: the data, then what is in front of them.
    fn write(&mut self, db: usize, places: &[Option<Place>; 2]) -> Result<(), Trouble> {
        let header = Header {
            gc_cycle: 0,
            timestamp: 0,
            module: module_for(self.map.entries()),
            data_size: self.map.data().len() as u32,
            entries: self.map.entries(),
        };
        let Some(place) = self.files.get_mut(db) else { return Ok(()) };
        let file = match place {
            Some(file) => file,
            None => place.insert(File::make(places.get(db).and_then(Option::as_ref))?),
        };
        let data = self.map.data();
        let piece = data.get(self.written..).unwrap_or_default();
        let piece = piece.get(..PIECE).unwrap_or(piece);
        file.write(piece, (header.data_at() + self.written) as u64)?;
        self.written += piece.len();
        if self.written < data.len() {
            return Ok(());
        }
        file.write(self.map.table(), nscd::map::HEADER as u64)?;
        file.finish(header)?;
        self.left = self.left.saturating_sub(header.file_size());
        self.at = 0;
        if db == 1 {
            self.stage = Stage::Done;
            return Ok(());
        }
        let mut data = std::mem::take(self.map.data_room());
        let table = std::mem::take(self.map.table_room());
        data.truncate(self.left);
        self.map = begun(data, table)?;
        self.stage = Stage::Records(1);
        Ok(())
    }
}

/// Whether there is a record of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    No,
    /// Of this file.
    Here,
    /// Of one in front.
    Before,
}

fn taken(
    map: &Builder<Vec<u8>>,
    aside: &Builder<Vec<u8>>,
    before: [usize; 2],
    kind: u8,
    key: &[u8],
) -> Taken {
    for (builder, before) in [map, aside].into_iter().zip(before) {
        if let Some(at) = builder.find(kind, key) {
            return if at < before { Taken::Before } else { Taken::Here };
        }
    }
    Taken::No
}
