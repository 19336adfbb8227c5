//! Writes the groups of each user (nssproto::cache::members).

use super::folder::{Folder, Version};
use super::sort::Sorter;
use super::table::{TableKeys, begin};
use super::temporary::{Temporary, unwritten};
use crate::limits::INDEXED_GROUPS;
use crate::sys::error::Error;
use nssproto::cache::KEY_MAX;
use nssproto::cache::hash::Kind;
use nssproto::cache::members::{MAX, Record};
use nssproto::entry::Group;

/// Collects who is in which groups.
pub struct Memberships<'a> {
    folder: &'a Folder,
    /// By user: the number of the group in the file, and its gid.
    pairs: Sorter<'a>,
    groups: u64,
}

impl<'a> Memberships<'a> {
    /// Of no group yet.
    pub fn new(folder: &'a Folder) -> Self {
        Memberships { folder, pairs: Sorter::new(folder), groups: 0 }
    }

    /// Takes the next group of the file.
    pub fn put(&mut self, group: &Group<'_>) -> Result<(), Error> {
        for member in group.members.filter(|member| member.len() <= KEY_MAX) {
            self.pairs.put(member, self.groups << 32 | u64::from(group.gid.0))?;
        }
        self.groups += 1;
        Ok(())
    }

    /// The file, of data of that version; `None`: there is none for these users.
    pub fn write(self, data: &Version) -> Result<Option<Temporary<'a>>, Error> {
        // Their numbers have 32 bits.
        if self.groups > u64::from(u32::MAX) {
            return Ok(None);
        }
        let folder = self.folder;
        let mut users = Users {
            out: begin(folder)?,
            keys: TableKeys::new(folder),
            user: None,
            gids: Vec::new(),
            room: vec![0; MAX],
        };
        let (mut pairs, mut user) = (self.pairs.sorted()?, Vec::new());
        let mut before = None;
        while let Some(pair) = pairs.next(&mut user).map_err(|e| unwritten(folder, &e))? {
            if users.user.as_ref() != Some(&user) {
                users.end()?;
                users.user = Some(user.clone());
                before = None;
            }
            // Who is listed twice in a group is in it once.
            let group = Some(pair >> 32);
            if before != group && users.gids.len() < INDEXED_GROUPS {
                users.gids.push(pair as u32);
            }
            before = group;
        }
        users.end()?;
        let Users { mut out, keys, .. } = users;
        Ok(keys.write(&mut out, Kind::Member, data)?.then_some(out))
    }
}

/// Writes the record of one user after the other.
struct Users<'a> {
    out: Temporary<'a>,
    keys: TableKeys<'a>,
    user: Option<Vec<u8>>,
    gids: Vec<u32>,
    room: Vec<u8>,
}

impl Users<'_> {
    /// Writes that of the user at hand.
    fn end(&mut self) -> Result<(), Error> {
        let Some(user) = self.user.take() else { return Ok(()) };
        self.keys.put(&user, self.out.len())?;
        // Of one who is in too many groups, that he is.
        let len = Record::encode(&user, &self.gids, &mut self.room)
            .or_else(|_| Record::encode(&user, &[], &mut self.room));
        let record = len.ok().and_then(|len| self.room.get(..len)).unwrap_or_default();
        self.gids.clear();
        self.out.put(record)
    }
}
