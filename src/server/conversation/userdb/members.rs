//! Groups, and who is in which: a membership is a reply of its own.

use super::{
    Audience, Found, NAME_ROOM, NotTold, Reply, Stage, Step, keys_fit, name_of, same_name, service,
};
use crate::backend::gids::{HASH_START, hash};
use crate::backend::switch::{self, Answer, Pieces, Switch};
use crate::limits::MERGED_GROUPS;
use crate::server::conversation::{Need, Output, Which, spend};
use nssproto::entry::{Gid, Name};
use nssproto::nsss::{Head, Request};
use nssproto::userdb::record::{encode_group, encode_membership, end};
use nssproto::userdb::{Keys, Question, is_id, is_name};

/// A name, as long as one may be.
struct NameBuffer {
    bytes: [u8; NAME_ROOM],
    /// May be more: then it is no name.
    len: usize,
}

impl NameBuffer {
    const EMPTY: NameBuffer = NameBuffer { bytes: [0; NAME_ROOM], len: 0 };

    fn add(&mut self, more: &[u8]) {
        let end = self.len.saturating_add(more.len());
        if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(more);
        }
        self.len = end;
    }

    /// The name; empty: it is none.
    fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// A group whose members are told as its strings are read: name, password, members.
pub struct Members {
    pieces: Pieces,
    gid: Gid,
    group: NameBuffer,
    /// The string in hand, and the number of those before it, at most 2.
    member: NameBuffer,
    strings: u8,
    /// Hashes of the members that were told last: a membership that is told twice is a gid twice in
    /// what the client makes of it.
    seen: [u64; SEEN],
    next_seen: usize,
    /// A piece that was read, of which the front is done.
    piece: [u8; PIECE],
    range: (usize, usize),
    ended: bool,
}

/// How many members back it is known that one was told already.
const SEEN: usize = 32;

/// What is read of a group at a time.
const PIECE: usize = 256;

/// The groups of a user, of which so many are kept at a time.
pub struct Gids {
    batch: [u32; 32],
    /// Gids of the batch that are told, and that there are.
    at: usize,
    len: usize,
    /// Gids in all batches so far, and what they were.
    taken: u64,
    hash: u64,
    /// How many there are in all, once it is known.
    total: Option<u64>,
}

impl Default for Gids {
    fn default() -> Self {
        Gids { batch: [0; 32], at: 0, len: 0, taken: 0, hash: HASH_START, total: None }
    }
}

/// Tells a group who was found; `open`: the reply before is to be ended first.
pub(super) fn group(
    mut found: switch::Found<'_>,
    keys: &Keys<'_>,
    audience: &mut Audience,
    open: bool,
    out: &mut Output,
) -> Found {
    if let Err(why) = audience.may_be_told(&mut found) {
        return Found::Not(why);
    }
    let incomplete = !audience.sees_shadow(&found);
    let mut room = [0; NAME_ROOM];
    let Some((name, gid)) = found.group_name(&mut room) else {
        return Found::Not(NotTold::Hidden);
    };
    if let Err(why) = keys_fit(keys, name, gid) {
        return Found::Not(why);
    }
    if !is_name(name) || !is_id(gid) {
        return Found::Not(NotTold::Hidden);
    }
    let before = if open { end(true) } else { b"" };
    out.put(before);
    match encode_group(name, Gid(gid), service(), incomplete, out.room()) {
        Ok(len) => {
            out.add(len);
            Found::Told
        }
        Err(_) => Found::Not(NotTold::Failed),
    }
}

/// Begins with the members of a group that was found.
pub(super) fn begin(mut found: switch::Found<'_>, audience: &Audience, stage: &mut Stage) -> Found {
    if let Err(why) = audience.may_be_told(&mut found) {
        return Found::Not(why);
    }
    let Some((Head::Group { gid, .. }, pieces)) = found.into_pieces() else {
        return Found::Not(NotTold::Failed);
    };
    *stage = Stage::Members(Members {
        pieces,
        gid,
        group: NameBuffer::EMPTY,
        member: NameBuffer::EMPTY,
        strings: 0,
        seen: [0; SEEN],
        next_seen: 0,
        piece: [0; PIECE],
        range: (0, 0),
        ended: false,
    });
    Found::Begun
}

impl Members {
    /// Whether a member was told a moment ago; he counts as told from now on.
    fn was_told(&mut self) -> bool {
        let member = self.member.get().iter().map(|byte| u32::from(*byte));
        // 0 stands for nobody.
        let hashed = member.fold(HASH_START, |hashed, byte| hash(hashed, &[byte])) | 1;
        if self.seen.contains(&hashed) {
            return true;
        }
        if let Some(place) = self.seen.get_mut(self.next_seen) {
            *place = hashed;
        }
        self.next_seen = (self.next_seen + 1) % SEEN;
        false
    }
}

impl Reply {
    /// Goes on with a group whose members are told.
    pub(super) fn tell_members(
        &mut self,
        question: &Question<'_>,
        switch: &mut Switch,
        out: &mut Output,
    ) -> Step {
        let Reply { stage: Stage::Members(members), client, .. } = self else {
            return Step::Failed;
        };
        let (from, to) = members.range;
        if from == to {
            if members.ended {
                return self.group_ended();
            }
            let Ok((len, ended)) = members.pieces.next(switch, client, &mut members.piece) else {
                return Step::Failed;
            };
            spend(client, len);
            (members.range, members.ended) = ((0, len), ended);
            return match len == 0 && !ended || client.budget == 0 {
                true if out.pending().is_empty() => Step::Need(Need::Turn),
                true => Step::Need(Need::Flush),
                false => Step::Again,
            };
        }
        let rest = members.piece.get(from..to).unwrap_or_default();
        let len = rest.iter().position(|byte| *byte == 0);
        let target = if members.strings == 0 { &mut members.group } else { &mut members.member };
        let Some(len) = len else {
            target.add(rest);
            members.range = (to, to);
            return Step::Again;
        };
        target.add(rest.get(..len).unwrap_or_default());
        members.range = (from + len + 1, to);
        self.string_ended(question, out)
    }

    /// A string of the group is whole: its name, its password or a member.
    fn string_ended(&mut self, question: &Question<'_>, out: &mut Output) -> Step {
        let Question::Memberships { user, group } = question else { return Step::Failed };
        let Stage::Members(members) = &mut self.stage else { return Step::Failed };
        if members.strings < 2 {
            members.strings += 1;
            members.member.len = 0;
            let name = members.group.get();
            match group.map_or(Ok(()), |key| same_name(key, name)) {
                Ok(()) => {}
                Err(NotTold::OtherName) => return self.group_ended(),
                Err(_) => return Step::Failed,
            }
            let told = is_name(name) && is_id(members.gid.0);
            return if told { Step::Again } else { self.group_ended() };
        }
        let member = members.member.get();
        let wanted = user.is_none_or(|key| key.bytes().eq(member.iter().copied()));
        if wanted && is_name(member) && !members.was_told() {
            self.go_on_telling(out);
            let Stage::Members(members) = &mut self.stage else { return Step::Failed };
            match encode_membership(members.member.get(), members.group.get(), out.room()) {
                Ok(len) => {
                    out.add(len);
                    self.open = true;
                }
                Err(_) => return Step::Failed,
            }
            if user.is_some() {
                return self.group_ended();
            }
        }
        let Stage::Members(members) = &mut self.stage else { return Step::Failed };
        members.member.len = 0;
        Step::Again
    }

    fn group_ended(&mut self) -> Step {
        self.stage = Stage::Asking;
        if self.lists.is_some() { Step::Again } else { Step::Done }
    }

    /// Goes on with the groups of a user.
    pub(super) fn tell_groups(
        &mut self,
        question: &Question<'_>,
        switch: &mut Switch,
        out: &mut Output,
    ) -> Step {
        let Question::Memberships { user: Some(key), .. } = question else { return Step::Failed };
        let mut room = [0; NAME_ROOM];
        let Some(user) = name_of(*key, &mut room) else { return Step::Done };
        let Reply { stage: Stage::Gids(gids), client, audience, .. } = self else {
            return Step::Failed;
        };
        let Some(gid) = gids.batch.get(gids.at..gids.len).and_then(|left| left.first()).copied()
        else {
            return match gids.total {
                Some(total) if gids.taken == total => Step::Done,
                _ => self.next_gids(user, switch),
            };
        };
        let mut room = [0; NAME_ROOM];
        let group = match switch.ask(client, &Request::ByGid(Gid(gid)), 0) {
            Answer::Pending => return Step::Need(Need::Turn),
            Answer::Found(mut found) => match audience.may_be_told(&mut found) {
                Ok(()) => match found.group_name(&mut room) {
                    Some((name, number)) if number == gid => Some(name),
                    Some(_) => return Step::Failed,
                    None => None,
                },
                Err(NotTold::Hidden) => None,
                Err(_) => return Step::Failed,
            },
            Answer::NotFound => None,
            _ => return Step::Failed,
        };
        if group.is_none() && client.has_failed() {
            return Step::Failed;
        }
        if let Some(group) = group.filter(|group| is_name(group) && is_id(gid)) {
            self.go_on_telling(out);
            match encode_membership(user.bytes(), group, out.room()) {
                Ok(len) => {
                    out.add(len);
                    self.open = true;
                }
                Err(_) if !out.pending().is_empty() => return Step::Need(Need::Flush),
                Err(_) => return Step::Failed,
            }
        }
        if let Stage::Gids(gids) = &mut self.stage {
            gids.at += 1;
        }
        Step::Again
    }

    /// Asks for the next gids of a user. All have to be known before the first is told, so that none
    /// may be missing from a source that fails.
    fn next_gids(&mut self, user: Name<'_>, switch: &mut Switch) -> Step {
        let Reply { stage: Stage::Gids(gids), client, .. } = self else { return Step::Failed };
        let request = Request::GroupList { max: u64::MAX, user };
        let found = match switch.ask(client, &request, gids.taken) {
            Answer::Groups(found) => found,
            Answer::Pending => return Step::Need(Need::Turn),
            Answer::NeedsWorker => return Step::Need(Need::Worker(Which::Any)),
            _ => return Step::Failed,
        };
        let total = found.gids().total();
        let (fresh, passed) = found.gids().after_skipped();
        let is_same = gids.taken == 0 || (passed == gids.hash && gids.total == Some(total));
        if found.has_failed() || !is_same || total > MERGED_GROUPS as u64 {
            return Step::Failed;
        }
        let left = usize::try_from(total - gids.taken).unwrap_or(usize::MAX);
        let len = fresh.len().min(gids.batch.len()).min(left);
        let batch = fresh.get(..len).unwrap_or_default();
        if let Some(place) = gids.batch.get_mut(..len) {
            place.copy_from_slice(batch);
        }
        gids.hash = hash(gids.hash, batch);
        (gids.at, gids.len, gids.total) = (0, len, Some(total));
        gids.taken += len as u64;
        // A list that has no more where it should.
        if len == 0 && gids.taken < total { Step::Failed } else { Step::Again }
    }
}
