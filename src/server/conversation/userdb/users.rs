//! A user, as systemd's clients are told one: the record, and what its peer may know of shadow.

use super::{
    Found, NAME_ROOM, NotTold, Reply, Stage, Step, keys_fit, may_be_told, sees_shadow, service,
};
use crate::backend::switch::{self, Answer, Pieces, Switch};
use crate::server::conversation::{Need, Output, spend};
use crate::sys::access::{Peer, Rights};
use nssproto::entry::{Db, Gid, Name, Passwd, Record, Uid};
use nssproto::json::ESCAPED_MAX;
use nssproto::nsss::{Head, Request};
use nssproto::userdb::record::{Privileged, UserCheck, UserWriter, encode_user_end, end};
use nssproto::userdb::{Keys, Question};
use rustix::io::Errno;

/// A user who is being told.
pub struct User {
    /// What is known of its strings, the name whole.
    check: UserCheck,
    /// The backend that has the record, and is asked for shadow.
    source: usize,
    /// The peer may know what shadow says.
    sees_shadow: bool,
    part: Part,
}

/// How far that has come.
enum Part {
    /// The strings of a long record are looked at.
    Checking(Pieces, Head),
    /// The record is asked for again, since its source cannot go back.
    Again(UserWriter, Head),
    /// They are being written.
    Writing(Pieces, UserWriter),
    /// Shadow is asked.
    Shadow,
}

/// What is read of a long record at a time.
const PIECE: usize = 256;

/// What a user who was found comes to; `open`: the reply before is to be ended first.
pub(super) fn found(
    mut found: switch::Found<'_>,
    keys: &Keys<'_>,
    peer: (Option<Peer>, &mut Option<(usize, bool)>),
    open: bool,
    out: &mut Output,
) -> Found {
    if let Err(why) = may_be_told(&mut found) {
        return Found::Not(why);
    }
    let (source, sees_shadow) = (found.source(), sees_shadow(&found, peer));
    let mut user = User { check: UserCheck::default(), source, sees_shadow, part: Part::Shadow };
    let Some(Record::Passwd(record)) = found.record() else {
        let Some((head, pieces)) = found.into_pieces() else { return Found::Not(NotTold::Failed) };
        user.part = Part::Checking(pieces, head);
        return Found::User(user);
    };
    for text in strings(&record) {
        user.check.feed(text);
        user.check.feed(&[0]);
    }
    let writer = match user.judge(record.uid, record.gid, keys) {
        Ok(writer) => writer,
        Err(why) => return Found::Not(why),
    };
    if let Some(len) = write_whole(&record, writer.clone(), open, out.room()) {
        out.add(len);
        return Found::User(user);
    }
    let Some((_, pieces)) = found.into_pieces() else { return Found::Not(NotTold::Failed) };
    user.part = Part::Writing(pieces, writer);
    Found::User(user)
}

fn strings<'a>(record: &Passwd<'a>) -> [&'a [u8]; 5] {
    [record.name, record.password, record.gecos, record.home, record.shell]
}

/// Writes the record, behind the end of the one before; `None`: there is no room for all of it.
fn write_whole(
    record: &Passwd<'_>,
    mut writer: UserWriter,
    open: bool,
    out: &mut [u8],
) -> Option<usize> {
    let before = if open { end(true) } else { b"" };
    out.get_mut(..before.len())?.copy_from_slice(before);
    let mut len = before.len();
    for text in strings(record) {
        for piece in [text, b"\0"] {
            let (taken, written) = writer.feed(piece, out.get_mut(len..)?);
            if taken < piece.len() {
                return None;
            }
            len += written;
        }
    }
    Some(len)
}

impl User {
    /// How the record is written, if it is that of the keys and may be told.
    fn judge(&self, uid: Uid, gid: Gid, keys: &Keys<'_>) -> Result<UserWriter, NotTold> {
        keys_fit(keys, self.check.name(), uid.0)?;
        self.check.finish(uid, gid).ok_or(NotTold::Hidden)
    }
}

impl Reply {
    /// Goes on with a user who is being told.
    pub(super) fn tell_user(
        &mut self,
        question: &Question<'_>,
        switch: &mut Switch,
        out: &mut Output,
    ) -> Step {
        let Stage::User(user) = &mut self.stage else { return Step::Failed };
        match user.part {
            Part::Checking(..) => self.check_pieces(question, switch),
            Part::Again(..) => self.ask_again(question, switch),
            Part::Writing(..) => self.write_pieces(switch, out),
            Part::Shadow => self.tell_shadow(switch, out),
        }
    }

    fn check_pieces(&mut self, question: &Question<'_>, switch: &mut Switch) -> Step {
        let Reply { stage: Stage::User(user), client, lists, .. } = self else {
            return Step::Failed;
        };
        let User { check, part: Part::Checking(pieces, head), .. } = user else {
            return Step::Failed;
        };
        let mut piece = [0; PIECE];
        let Ok((len, ended)) = pieces.next(switch, client, &mut piece) else { return Step::Failed };
        check.feed(piece.get(..len).unwrap_or_default());
        spend(client, len);
        if !ended {
            return if client.budget == 0 { Step::Need(Need::Turn) } else { Step::Again };
        }
        let head = *head;
        let (Head::Passwd { uid, gid, .. }, Question::User(keys)) = (head, question) else {
            return Step::Failed;
        };
        let can_rewind = pieces.rewind(switch, client);
        let writer = match user.judge(uid, gid, keys) {
            Ok(writer) => writer,
            Err(why) => {
                self.stage = Stage::Asking;
                return self.take_found(Found::Not(why));
            }
        };
        user.part = match std::mem::replace(&mut user.part, Part::Shadow) {
            Part::Checking(pieces, _) if can_rewind => Part::Writing(pieces, writer),
            // The next of a list cannot be asked for twice.
            _ if lists.is_some() => return Step::Failed,
            _ => Part::Again(writer, head),
        };
        Step::Again
    }

    fn ask_again(&mut self, question: &Question<'_>, switch: &mut Switch) -> Step {
        let mut room = [0; NAME_ROOM];
        let super::Wanted::One(request) = super::wanted(question, &mut room) else {
            return Step::Failed;
        };
        let Reply { stage: Stage::User(user), client, .. } = self else { return Step::Failed };
        let Part::Again(writer, head) = &user.part else { return Step::Failed };
        let part = match switch.ask(client, &request, 0) {
            Answer::Pending => return Step::Need(Need::Turn),
            Answer::Found(found) => match found.into_pieces() {
                Some((again, pieces)) if again == *head => Part::Writing(pieces, writer.clone()),
                _ => return Step::Failed,
            },
            _ => return Step::Failed,
        };
        user.part = part;
        Step::Again
    }

    fn write_pieces(&mut self, switch: &mut Switch, out: &mut Output) -> Step {
        self.go_on_telling(out);
        let Reply { stage: Stage::User(user), client, .. } = self else { return Step::Failed };
        let Part::Writing(pieces, writer) = &mut user.part else { return Step::Failed };
        // What stands between strings may come for each of five.
        let most = out.room().len().saturating_sub(5 * UserWriter::ROOM) / ESCAPED_MAX;
        let mut piece = [0; PIECE];
        let area = piece.get_mut(..most.min(PIECE)).unwrap_or_default();
        if area.is_empty() {
            return Step::Need(Need::Flush);
        }
        let Ok((len, ended)) = pieces.next(switch, client, area) else {
            return Step::Need(self.broken(out));
        };
        spend(client, len);
        let read = area.get(..len).unwrap_or_default();
        let (taken, written) = writer.feed(read, out.room());
        out.add(written);
        if taken < len || (ended && !writer.is_complete()) {
            return Step::Need(self.broken(out));
        }
        if ended {
            user.part = Part::Shadow;
            return Step::Again;
        }
        if client.budget == 0 || len == 0 { Step::Need(Need::Flush) } else { Step::Again }
    }

    /// Asks the source of the record for shadow, on behalf of who asks, and ends the record.
    fn tell_shadow(&mut self, switch: &mut Switch, out: &mut Output) -> Step {
        let Reply { stage: Stage::User(user), client, peer, .. } = self else {
            return Step::Failed;
        };
        let name = Name::new(user.check.name());
        let (Some(peer), Some(name), true) = (*peer, name, user.sees_shadow) else {
            return self.hide_shadow(out);
        };
        let (rights, backends) = (client.rights, client.backends());
        client.rights = Rights::Peer(peer);
        client.limit_to(user.source..user.source + 1);
        let mut end = |told| Some(encode_user_end(service(), &told, out.room()));
        let written = match switch.ask(client, &Request::ByName(Db::Shadow, name), 0) {
            Answer::Pending => None,
            Answer::Found(found) => end(match found.record() {
                Some(Record::Shadow(shadow)) => Privileged::Shadow(shadow),
                _ => Privileged::Hidden,
            }),
            Answer::NotFound => end(Privileged::None),
            // A file that is not there has no lines.
            Answer::Failed(errno) if i32::from(errno) == Errno::NOENT.raw_os_error() => {
                end(Privileged::None)
            }
            Answer::NeedsWorker | Answer::Failed(_) | Answer::Done | Answer::Groups(_) => {
                end(Privileged::Hidden)
            }
        };
        client.rights = rights;
        client.limit_to(backends);
        match written {
            None => Step::Need(Need::Turn),
            Some(Ok(len)) => {
                out.add(len);
                self.user_ended()
            }
            Some(Err(_)) if !out.pending().is_empty() => Step::Need(Need::Flush),
            // A hash that is larger than a buffer is none.
            Some(Err(_)) => self.hide_shadow(out),
        }
    }

    fn hide_shadow(&mut self, out: &mut Output) -> Step {
        match encode_user_end(service(), &Privileged::Hidden, out.room()) {
            Ok(len) => {
                out.add(len);
                self.user_ended()
            }
            Err(_) => Step::Need(Need::Flush),
        }
    }

    fn user_ended(&mut self) -> Step {
        self.open = true;
        self.stage = Stage::Asking;
        if self.lists.is_some() { Step::Again } else { Step::Done }
    }
}
