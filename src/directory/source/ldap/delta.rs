//! What has changed since a set was written, and the bringing of it into that set.
//!
//! Changes go to a temporary file as they come, what is present to another: a server may tell of any
//! number. They are merged with the table in the order of the UUIDs, and then with the file in the order
//! of its lines.

use super::entry::schema::FAULTS;
use super::members::BAD_MEMBER;
use super::rows::{Collected, NO_LINE, Table, unkept};
use crate::directory::failure::{Done, Failure};
use crate::directory::fields::Fields;
use crate::directory::folder::Folder;
use crate::directory::intake::Entries;
use crate::directory::lines::{Lines, split};
use crate::directory::maps::Map;
use crate::directory::sort::{Sorted, Sorter};
use crate::directory::stamp::Time;
use crate::directory::temporary::Temporary;
use crate::limits::DIRECTORY_LINE;
use nssproto::ldap::control::Uuid;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

/// What came.
pub struct Delta {
    changes: BufWriter<File>,
    len: u64,
    present: BufWriter<File>,
    /// How many changes came.
    pub count: u64,
    /// Whether what was not told to be present, and not changed, is gone.
    pub only_present: bool,
    /// Whether the list of what is present has the changed ones, too.
    pub is_complete: bool,
    /// What the server calls the state that was reached.
    pub cookie: Option<Vec<u8>>,
    /// The newest change.
    pub newest: Option<Time>,
}

/// What a change is.
pub enum Change<'a> {
    /// It is gone.
    Gone,
    /// Its fields.
    Entry(&'a Fields),
    /// Its name, where it must not be written.
    Unsafe(&'a [u8]),
    /// It is no entry of the map: the number of one of [`FAULTS`].
    Fault(usize, &'a [u8]),
}

const GONE: u8 = 0;
const ENTRY: u8 = 1;
const UNSAFE: u8 = 2;
/// Its number is added.
const FAULT: u8 = 16;

/// Length of a record's head: UUID, kind, bytes that follow.
const HEAD: usize = 16 + 1 + 4;

impl Delta {
    /// Nothing yet. Its files are in that folder.
    pub fn new(folder: &Folder) -> Done<Delta> {
        let file = || Temporary::nameless(folder).map(|file| BufWriter::with_capacity(4096, file));
        Ok(Delta {
            changes: file()?,
            len: 0,
            present: file()?,
            count: 0,
            only_present: false,
            is_complete: false,
            cookie: None,
            newest: None,
        })
    }

    /// An entry changed.
    pub fn change(&mut self, uuid: &Uuid, change: &Change<'_>) -> Done {
        let mut body = Vec::new();
        let kind = match change {
            Change::Gone => GONE,
            Change::Unsafe(name) => {
                body.extend_from_slice(name);
                UNSAFE
            }
            Change::Fault(number, name) => {
                body.extend_from_slice(name);
                FAULT + *number as u8
            }
            Change::Entry(fields) => {
                for at in 0..fields.len() {
                    let field = fields.get(at);
                    body.extend_from_slice(&(field.len() as u32).to_le_bytes());
                    body.extend_from_slice(field);
                }
                ENTRY
            }
        };
        let mut head = [uuid.as_slice(), &[kind]].concat();
        head.extend_from_slice(&(body.len() as u32).to_le_bytes());
        let written = self.changes.write_all(&head).and_then(|()| self.changes.write_all(&body));
        written.map_err(|error| unkept(&error))?;
        self.len += (head.len() + body.len()) as u64;
        self.count += 1;
        Ok(())
    }

    /// An entry is there, as it was.
    pub fn is_present(&mut self, uuid: &Uuid) -> Done {
        self.present.write_all(uuid).map_err(|error| unkept(&error))
    }

    /// Nothing came that could be another set.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && !self.only_present
    }

    /// Changes by UUID. The number of one is twice its place in the file, and 1 more if it is gone.
    fn changed(&mut self, folder: &Folder) -> Done<Stream> {
        let mut sorter = Sorter::new(folder);
        self.changes.flush().map_err(|error| unkept(&error))?;
        let file = self.changes.get_ref().try_clone().map_err(|error| unkept(&error))?;
        let mut reader = BufReader::new(file);
        reader.seek(SeekFrom::Start(0)).map_err(|error| unkept(&error))?;
        let mut at = 0;
        while at < self.len {
            let mut head = [0; HEAD];
            reader.read_exact(&mut head).map_err(|error| unkept(&error))?;
            let (uuid, kind, len) = parts(&head);
            sorter.put(&uuid, at << 1 | u64::from(kind == GONE))?;
            reader.seek_relative(len.into()).map_err(|error| unkept(&error))?;
            at += HEAD as u64 + u64::from(len);
        }
        // Writing goes on at the end.
        let end = SeekFrom::Start(self.len);
        self.changes.seek(end).map_err(|error| unkept(&error))?;
        Stream::new(sorter.sorted()?)
    }

    fn presents(&mut self, folder: &Folder) -> Done<Stream> {
        let mut sorter = Sorter::new(folder);
        self.present.flush().map_err(|error| unkept(&error))?;
        let file = self.present.get_ref().try_clone().map_err(|error| unkept(&error))?;
        let mut reader = BufReader::new(file);
        reader.seek(SeekFrom::Start(0)).map_err(|error| unkept(&error))?;
        let mut uuid = [0; 16];
        while reader.read_exact(&mut uuid).is_ok() {
            sorter.put(&uuid, 0)?;
        }
        self.present.seek(SeekFrom::End(0)).map_err(|error| unkept(&error))?;
        Stream::new(sorter.sorted()?)
    }

    /// Hands the change at a place of the file over.
    fn hand(&self, at: u64, fields: &mut Fields, place: u64, into: &mut dyn Entries) -> Done {
        let file = self.changes.get_ref();
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, at).map_err(|error| unkept(&error))?;
        let (_, kind, len) = parts(&head);
        if len as usize > 2 * DIRECTORY_LINE {
            return Err(Failure::refused("a temporary file that is not as it was written"));
        }
        let mut body = vec![0; len as usize];
        file.read_exact_at(&mut body, at + HEAD as u64).map_err(|error| unkept(&error))?;
        if kind == UNSAFE {
            return into.unsafe_entry(BAD_MEMBER, &body);
        }
        if kind != ENTRY {
            let what = FAULTS.get(usize::from(kind.wrapping_sub(FAULT))).copied();
            return into.malformed(what.unwrap_or_default(), &body, place);
        }
        fields.clear();
        let mut rest = body.as_slice();
        while let Some((len, behind)) = rest.split_first_chunk() {
            let len = u32::from_le_bytes(*len) as usize;
            let Some((field, behind)) = behind.split_at_checked(len) else { break };
            fields.push(field);
            rest = behind;
        }
        into.entry(fields, place)
    }
}

fn parts(head: &[u8; HEAD]) -> (Uuid, u8, u32) {
    let mut uuid = [0; 16];
    nssproto::bytes::copy_front(head, &mut uuid);
    let kind = head.get(16).copied().unwrap_or(GONE);
    let len = head.last_chunk().map_or(0, |len| u32::from_le_bytes(*len));
    (uuid, kind, len)
}

/// Pairs in order, of which the first that was not taken is seen.
struct Stream {
    sorted: Sorted,
    key: Vec<u8>,
    value: Option<u64>,
}

impl Stream {
    fn new(sorted: Sorted) -> Done<Stream> {
        let mut stream = Stream { sorted, key: Vec::new(), value: None };
        stream.step()?;
        Ok(stream)
    }

    fn step(&mut self) -> Done {
        self.value = self.sorted.next(&mut self.key).map_err(|error| unkept(&error))?;
        Ok(())
    }

    /// Takes all with this key; the last number.
    fn take(&mut self, key: &[u8]) -> Done<Option<u64>> {
        let mut last = None;
        while self.value.is_some() && self.key == key {
            last = self.value;
            self.step()?;
        }
        Ok(last)
    }

    /// The first key.
    fn front(&self) -> Option<&[u8]> {
        self.value.map(|_| self.key.as_slice())
    }
}

/// What is done with a line.
const KEEP: u64 = u64::MAX;
const DROP: u64 = u64::MAX - 1;

/// How a merge ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// All entries of the new set were handed over.
    Whole,
    /// It is the set that is there.
    Same,
    /// The table does not know what the server has: nothing was handed over.
    NeedsAll,
}

/// Hands over the set of `data`, a file whose lines `table` knows, as `delta` changes it.
pub fn merge(
    delta: &mut Delta,
    mut table: Table,
    data: File,
    map: Map,
    folder: &Folder,
    rows: &mut Collected<'_>,
    into: &mut dyn Entries,
) -> Done<Merged> {
    let mut changed = delta.changed(folder)?;
    let mut present = delta.presents(folder)?;
    // By line, those without one behind all others; and what is new, by its place.
    let (mut actions, mut fresh) = (Sorter::new(folder), Sorter::new(folder));
    let mut row = table.next().map_err(|error| unkept(&error))?;
    let mut differs = false;
    loop {
        let of_row = row.as_ref().map(|(uuid, _)| uuid.as_slice());
        let heads = [of_row, changed.front(), present.front()];
        let Some(uuid) = heads.into_iter().flatten().min().map(<[u8]>::to_vec) else { break };
        let change = changed.take(&uuid)?;
        let is_present = present.take(&uuid)?.is_some();
        let line = match row {
            Some((of_row, line)) if of_row.as_slice() == uuid => {
                row = table.next().map_err(|error| unkept(&error))?;
                Some(line)
            }
            _ => None,
        };
        // Changed and then deleted, between two searches.
        let gone = delta.only_present && !is_present && (change.is_none() || delta.is_complete);
        let what = match change {
            _ if gone => DROP,
            Some(change) if change & 1 == 1 => DROP,
            Some(change) => change >> 1,
            None => KEEP,
        };
        differs |= what != KEEP && !(what == DROP && line.is_none());
        match (line, what) {
            (Some(line), what) if line != NO_LINE || what == KEEP || what == DROP => {
                actions.put(&[&line.to_be_bytes(), uuid.as_slice()].concat(), what)?;
            }
            (_, DROP) => {}
            (None, KEEP) => return Ok(Merged::NeedsAll),
            (_, place) => fresh.put(&[&place.to_be_bytes(), uuid.as_slice()].concat(), place)?,
        }
    }
    if !differs {
        return Ok(Merged::Same);
    }
    write(delta, actions, fresh, data, map, rows, into)?;
    Ok(Merged::Whole)
}

fn write(
    delta: &mut Delta,
    actions: Sorter<'_>,
    fresh: Sorter<'_>,
    data: File,
    map: Map,
    rows: &mut Collected<'_>,
    into: &mut dyn Entries,
) -> Done {
    let unfit = || Failure::unavailable("the table of entries does not fit the file");
    let mut actions = Stream::new(actions.sorted()?)?;
    let mut lines = Lines::new(data);
    let mut fields = Fields::default();
    let mut number = 0u32;
    while let Some(line) = lines.next_line()? {
        let (Some(what), Some((of_line, uuid))) = (actions.value, actions.key.split_first_chunk())
        else {
            return Err(unfit());
        };
        if u32::from_be_bytes(*of_line) != number {
            return Err(unfit());
        }
        let uuid: Option<Uuid> = uuid.try_into().ok();
        let before = into.kept();
        match what {
            DROP => {}
            KEEP => {
                split(line, map, &mut fields);
                into.entry(&fields, u64::from(number) + 1)?;
            }
            place => delta.hand(place, &mut fields, u64::from(number) + 1, into)?,
        }
        if what != DROP {
            rows.put(uuid.as_ref(), into.kept() > before)?;
        }
        number += 1;
        actions.step()?;
    }
    // Those that had no line, and have none.
    while let Some(what) = actions.value {
        let Some((of_line, uuid)) = actions.key.split_first_chunk() else { return Err(unfit()) };
        if u32::from_be_bytes(*of_line) != NO_LINE {
            return Err(unfit());
        }
        if what == KEEP {
            rows.put(uuid.try_into().ok().as_ref(), false)?;
        }
        actions.step()?;
    }
    let mut fresh = Stream::new(fresh.sorted()?)?;
    while let Some(place) = fresh.value {
        number += 1;
        let uuid: Option<Uuid> = fresh.key.last_chunk().copied();
        let before = into.kept();
        delta.hand(place, &mut fields, number.into(), into)?;
        rows.put(uuid.as_ref(), into.kept() > before)?;
        fresh.step()?;
    }
    Ok(())
}
