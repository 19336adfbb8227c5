//! The groups of each user: the members of all lines are kept in the order in which they came, then each
//! has a record.

use super::room::{NOTHING, add, get, number, push, set};
use super::{Build, LINES, Stage, Trouble};
use crate::limits::MERGED_GROUPS;
use nssproto::EncodeError;
use nssproto::entry::Db;
use nssproto::line::glibc::{has_key, parse_membership};
use nssproto::line::{Rules, parse_by};
use nssproto::nscd::map::{Builder, Key, kind};
use nssproto::nscd::{self, KEY_MAX};
use std::ops::Range;

impl Build {
    /// Notes who is a member by a line of group.
    pub(super) fn membership(&mut self, line: Range<usize>) -> Result<(), Trouble> {
        let text = self.texts.get(line).unwrap_or_default();
        let Ok(group) = parse_membership(text) else { return Ok(()) };
        for name in group.members {
            // Nobody can ask for a longer one.
            if name.len() >= KEY_MAX {
                continue;
            }
            let member = match self.aside.find(kind::GROUPS, name) {
                Some(at) => number(self.aside.payload(at)),
                None => {
                    let member = self.lists.len() as u32;
                    let record = self.aside.data().len() as u32;
                    let words = [NOTHING, NOTHING, 0, NOTHING, record, name.len() as u32];
                    push(&mut self.lists, &words, self.max)?;
                    let write = |room: &mut [u8]| {
                        let place = room.first_chunk_mut().ok_or(EncodeError::NoSpace(4))?;
                        *place = member.to_ne_bytes();
                        Ok(4)
                    };
                    add(&mut self.aside, self.left, &write, &[(kind::GROUPS, Key::Behind(name))])?;
                    if self.last == NOTHING {
                        self.first = member;
                    } else {
                        set(&mut self.lists, self.last as usize + 3, member);
                    }
                    self.last = member;
                    member
                }
            } as usize;
            // A gid counts once, whoever names it.
            let mut at = get(&self.lists, member);
            while at != NOTHING && get(&self.lists, at as usize) != group.gid.0 {
                at = get(&self.lists, at as usize + 1);
            }
            if at != NOTHING {
                continue;
            }
            let new = self.lists.len() as u32;
            push(&mut self.lists, &[group.gid.0, NOTHING], self.max)?;
            let last = get(&self.lists, member + 1);
            let before = if last == NOTHING { member } else { last as usize + 1 };
            set(&mut self.lists, before, new);
            set(&mut self.lists, member + 1, new);
            let count = get(&self.lists, member + 2) + 1;
            set(&mut self.lists, member + 2, count);
        }
        Ok(())
    }

    /// Writes the groups of members.
    pub(super) fn members(&mut self) -> Result<(), Trouble> {
        for _ in 0..LINES {
            if self.first == NOTHING {
                (self.file, self.at, self.stage) = (0, 0, Stage::Users);
                return Ok(());
            }
            let (lists, member) = (&self.lists, self.first as usize);
            let [first, count, next, record, len] = [0, 2, 3, 4, 5].map(|n| get(lists, member + n));
            self.first = next;
            // Of a user with more, no source tells any.
            if count as usize > MERGED_GROUPS {
                continue;
            }
            // His name is the key behind the payload.
            let name = self.aside.payload(record as usize).get(4..4 + len as usize);
            let key = Key::Behind(name.unwrap_or_default());
            let write = |room: &mut [u8]| {
                let front = nscd::encode_initgroups(count, room)?;
                let size = front + 4 * count as usize;
                let gids = room.get_mut(front..size).ok_or(EncodeError::NoSpace(size))?;
                let mut at = first;
                for place in gids.chunks_exact_mut(4) {
                    place.copy_from_slice(&get(lists, at as usize).to_ne_bytes());
                    at = get(lists, at as usize + 1);
                }
                Ok(size)
            };
            add(&mut self.map, self.left, &write, &[(kind::GROUPS, key)])?;
        }
        Ok(())
    }

    /// Writes for users who are members of no group that they have none.
    pub(super) fn groupless(&mut self, count: usize) -> Result<(), Trouble> {
        for _ in 0..LINES {
            let Some(line) = self.next_line() else {
                (self.file, self.at) = (self.file + 1, 0);
                if self.file == count {
                    self.stage = self.link(1)?;
                }
                return Ok(());
            };
            let line = self.texts.get(line).unwrap_or_default();
            let Ok(user) = parse_by(Rules::Glibc, Db::Passwd, line) else { continue };
            let name = user.name();
            let is_known = |builder: &Builder<_>| builder.find(kind::GROUPS, name).is_some();
            if !has_key(name)
                || name.len() >= KEY_MAX
                || is_known(&self.map)
                || is_known(&self.aside)
            {
                continue;
            }
            let write = |room: &mut [u8]| nscd::encode_initgroups(0, room);
            add(&mut self.map, self.left, &write, &[(kind::GROUPS, Key::Behind(name))])?;
        }
        Ok(())
    }
}
