//! A user, as systemd's clients are told one: the record, and what its peer may know of shadow.

use super::{Audience, Found, NAME_ROOM, NotTold, Reply, Stage, Step, keys_fit, service};
use crate::backend::KeyPlace;
use crate::backend::switch::{self, Answer, Pieces, Switch};
use crate::server::conversation::{Need, Output, spend};
use crate::sys::access::Rights;
use nssproto::EncodeError;
use nssproto::entry::{Db, Gid, Name, Passwd, Record, Uid};
use nssproto::json::ESCAPED_MAX;
use nssproto::nsss::{Head, Request};
use nssproto::userdb::keys::KeysWriter;
use nssproto::userdb::record::{Privileged, UserCheck, UserWriter, end};
use nssproto::userdb::record::{encode_plain_user, encode_user_end, encode_user_shadow};
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
    /// His ssh keys are.
    Keys(KeysWriter, KeyPlace),
}

/// What became of the question for shadow.
enum Shadowed {
    /// It goes on in another turn.
    Pending,
    /// It was written, or there was no room: bytes, and what goes on.
    Told(Result<(usize, KeysWriter), EncodeError>),
    /// It cannot be read.
    Hidden,
}

/// What is read of a long record at a time.
const PIECE: usize = 256;

/// What a user who was found comes to; `open`: the reply before is to be ended first.
pub(super) fn found(
    mut found: switch::Found<'_>,
    keys: &Keys<'_>,
    audience: &mut Audience,
    stage: &mut Stage,
    (open, out): (bool, &mut Output),
) -> Found {
    if let Err(why) = audience.may_be_told(&mut found) {
        return Found::Not(why);
    }
    let (source, sees_shadow) = (found.source(), audience.sees_shadow(&found));
    let mut check = UserCheck::default();
    let Some(Record::Passwd(record)) = found.record() else {
        let Some((head, pieces)) = found.into_pieces() else { return Found::Not(NotTold::Failed) };
        let part = Part::Checking(pieces, head);
        *stage = Stage::User(User { check, source, sees_shadow, part });
        return Found::Begun;
    };
    let before = if open { end(true) } else { b"" };
    let room = out.room().get_mut(before.len()..).unwrap_or_default();
    let plain = match keys_fit(keys, record.name, record.uid.0) {
        Ok(()) => encode_plain_user(&record, room),
        Err(_) => None,
    };
    let part = if let Some(len) = plain {
        out.put(before);
        out.add(len);
        if !sees_shadow && write_hidden(out) {
            return Found::Told;
        }
        check.feed(record.name);
        Part::Shadow
    } else {
        for text in strings(&record) {
            check.feed(text);
            check.feed(&[0]);
        }
        let writer = match judge(&check, record.uid, record.gid, keys) {
            Ok(writer) => writer,
            Err(why) => return Found::Not(why),
        };
        if let Some(len) = write_whole(&record, writer.clone(), before, out.room()) {
            out.add(len);
            Part::Shadow
        } else {
            let Some((_, pieces)) = found.into_pieces() else { return Found::Not(NotTold::Failed) };
            Part::Writing(pieces, writer)
        }
    };
    *stage = Stage::User(User { check, source, sees_shadow, part });
    Found::Begun
}

/// Writes the end of a record whose peer may know nothing of shadow; whether there was room.
fn write_hidden(out: &mut Output) -> bool {
    let written = encode_user_end(service(), &Privileged::Hidden, out.room());
    if let Ok(len) = written {
        out.add(len);
    }
    written.is_ok()
}

/// How a record is written, if it is that of the keys and may be told.
fn judge(check: &UserCheck, uid: Uid, gid: Gid, keys: &Keys<'_>) -> Result<UserWriter, NotTold> {
    keys_fit(keys, check.name(), uid.0)?;
    check.finish(uid, gid).ok_or(NotTold::Hidden)
}

fn strings<'a>(record: &Passwd<'a>) -> [&'a [u8]; 5] {
    [record.name, record.password, record.gecos, record.home, record.shell]
}

/// Writes the record, behind the end of the one before; `None`: there is no room for all of it.
fn write_whole(
    record: &Passwd<'_>,
    mut writer: UserWriter,
    before: &[u8],
    out: &mut [u8],
) -> Option<usize> {
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
            Part::Keys(..) => self.tell_keys(switch, out),
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
        let writer = match judge(&user.check, uid, gid, keys) {
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
        let Reply { stage: Stage::User(user), client, audience, .. } = self else {
            return Step::Failed;
        };
        let name = Name::new(user.check.name());
        let (Some(peer), Some(name), true) = (audience.peer, name, user.sees_shadow) else {
            return self.hide_shadow(out);
        };
        let (rights, backends) = (client.rights, client.backends());
        client.rights = Rights::Peer(peer);
        client.limit_to(user.source..user.source + 1);
        let mut end = |told: Privileged<'_>| {
            let written = encode_user_shadow(service(), &told, out.room());
            Shadowed::Told(written.map(|len| (len, KeysWriter::new(&told))))
        };
        let request = Request::ByName(Db::Shadow, name);
        let written = switch.ask_aside(client, &request, |answer| match answer {
            Answer::Pending => Shadowed::Pending,
            Answer::Found(found) => match found.record() {
                Some(Record::Shadow(shadow)) => end(Privileged::Shadow(shadow)),
                _ => Shadowed::Hidden,
            },
            Answer::NotFound => end(Privileged::None),
            // A file that is not there has no lines.
            Answer::Failed(errno) if i32::from(errno) == Errno::NOENT.raw_os_error() => {
                end(Privileged::None)
            }
            Answer::NeedsWorker | Answer::Failed(_) | Answer::Done | Answer::Groups(_) => {
                Shadowed::Hidden
            }
        });
        client.rights = rights;
        client.limit_to(backends);
        match written {
            Shadowed::Pending => Step::Need(Need::Turn),
            Shadowed::Told(Ok((len, keys))) => {
                out.add(len);
                user.part = Part::Keys(keys, KeyPlace::default());
                Step::Again
            }
            Shadowed::Told(Err(_)) if !out.pending().is_empty() => Step::Need(Need::Flush),
            // A hash that is larger than a buffer is none.
            Shadowed::Told(Err(_)) | Shadowed::Hidden => self.hide_shadow(out),
        }
    }

    /// Goes on with the ssh keys that the source of the record has of him, and ends the record.
    fn tell_keys(&mut self, switch: &mut Switch, out: &mut Output) -> Step {
        let Reply { stage: Stage::User(user), client, .. } = self else { return Step::Failed };
        let User { check, source, part: Part::Keys(keys, place), .. } = user else {
            return Step::Failed;
        };
        let most = out.room().len().saturating_sub(KeysWriter::ROOM) / ESCAPED_MAX;
        let mut piece = [0; PIECE];
        let area = piece.get_mut(..most.min(PIECE)).unwrap_or_default();
        if area.is_empty() {
            return Step::Need(Need::Flush);
        }
        let read = switch.ssh_keys(client, *source, check.name(), place, area);
        let len = match read {
            Ok(len) => len,
            Err(_) if keys.is_in_key() => return Step::Need(self.broken(out)),
            Err(_) => 0,
        };
        if len > 0 {
            spend(client, len);
            let (taken, written) = keys.feed(area.get(..len).unwrap_or_default(), out.room());
            out.add(written);
            return match taken < len {
                true => Step::Need(self.broken(out)),
                false if client.budget == 0 => Step::Need(Need::Flush),
                false => Step::Again,
            };
        }
        match keys.finish(read.is_err(), out.room()) {
            Ok(len) => {
                out.add(len);
                self.user_ended()
            }
            Err(_) => Step::Need(Need::Flush),
        }
    }

    fn hide_shadow(&mut self, out: &mut Output) -> Step {
        if write_hidden(out) { self.user_ended() } else { Step::Need(Need::Flush) }
    }

    fn user_ended(&mut self) -> Step {
        self.open = true;
        self.stage = Stage::Asking;
        if self.lists.is_some() { Step::Again } else { Step::Done }
    }
}
