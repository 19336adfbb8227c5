//! Records, as replies: JSON objects that are written in pieces.
//!
//! A user's record is made from its strings as all codecs here have them, each closed by a NUL: name,
//! password, gecos, home directory, shell. They are passed twice, in pieces of any size: first to
//! [`UserCheck`], which finds what of it may be told, then to [`UserWriter`]. Nothing is kept of them.

use super::path::{Check, Kind, Mender, Told};
use super::{NAME_MAX, is_id, is_name, is_plain_name, is_primary_gid, path};
use crate::EncodeError;
use crate::entry::{Gid, Passwd, Shadow, Uid};
use crate::json::{ESCAPED_MAX, Escaper, Message, is_plain};

/// What a peer is told of a user's password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privileged<'a> {
    /// Nothing, and that there may be more.
    Hidden,
    /// There is no shadow entry.
    None,
    /// This entry.
    Shadow(Shadow<'a>),
}

/// The first pass over a user's strings.
#[derive(Clone, Debug)]
pub struct UserCheck {
    name: [u8; NAME_MAX],
    name_len: usize,
    field: Field,
    home: Check,
    shell: Check,
}

/// The string that a byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Password,
    Gecos,
    Home,
    Shell,
    End,
}

impl Field {
    fn next(self) -> Field {
        match self {
            Field::Name => Field::Password,
            Field::Password => Field::Gecos,
            Field::Gecos => Field::Home,
            Field::Home => Field::Shell,
            Field::Shell | Field::End => Field::End,
        }
    }
}

/// The next piece of the string in hand, what is behind it, and whether the string ended.
fn split(input: &[u8]) -> (&[u8], &[u8], bool) {
    match input.iter().position(|byte| *byte == 0) {
        Some(end) => {
            let rest = input.get(end + 1..).unwrap_or_default();
            (input.get(..end).unwrap_or_default(), rest, true)
        }
        None => (input, &[], false),
    }
}

impl Default for UserCheck {
    fn default() -> Self {
        UserCheck {
            name: [0; NAME_MAX],
            name_len: 0,
            field: Field::Name,
            home: Check::default(),
            shell: Check::default(),
        }
    }
}

impl UserCheck {
    /// Takes the next strings.
    pub fn feed(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            let (piece, rest, ended) = split(input);
            match self.field {
                Field::Name => {
                    // A longer one is none.
                    let end = self.name_len.saturating_add(piece.len());
                    if let Some(place) = self.name.get_mut(self.name_len..end) {
                        place.copy_from_slice(piece);
                    }
                    self.name_len = end;
                }
                Field::Home => self.home.feed(piece),
                Field::Shell => self.shell.feed(piece),
                Field::Password | Field::Gecos | Field::End => {}
            }
            if ended {
                self.field = self.field.next();
            }
            input = rest;
        }
    }

    /// The user's name, once its strings were taken; empty: it cannot be told.
    pub fn name(&self) -> &[u8] {
        self.name.get(..self.name_len).unwrap_or_default()
    }

    /// How the record is written; `None`: it is not to be told, or its strings are not complete.
    pub fn finish(&self, uid: Uid, gid: Gid) -> Option<UserWriter> {
        let told = is_id(uid.0) && is_primary_gid(gid.0) && is_name(self.name());
        (told && self.field == Field::End).then(|| UserWriter {
            uid,
            gid,
            home: self.home.clone().finish(Kind::Home),
            shell: self.shell.clone().finish(Kind::Shell),
            field: Field::Name,
            begun: false,
            escaper: Escaper::default(),
            mender: Mender::default(),
        })
    }
}

/// Writes a user's record, up to its `service`.
#[derive(Clone, Debug)]
pub struct UserWriter {
    uid: Uid,
    gid: Gid,
    home: Told,
    shell: Told,
    field: Field,
    /// What stands in front of the field was written.
    begun: bool,
    escaper: Escaper,
    mender: Mender,
}

/// Room for what stands between two strings, and for one escaped byte of either, which a path may turn
/// into three.
const BETWEEN: usize = 128 + 3 * ESCAPED_MAX;

impl UserWriter {
    /// Bytes of room with which [`UserWriter::feed`] goes on.
    pub const ROOM: usize = BETWEEN;

    /// Writes the front of `input`: bytes taken and bytes written. It goes on as long as
    /// [`UserWriter::ROOM`] bytes are free.
    pub fn feed(&mut self, input: &[u8], out: &mut [u8]) -> (usize, usize) {
        let mut rest = input;
        let mut len = 0;
        loop {
            let room = out.get_mut(len..).unwrap_or_default();
            if room.len() < BETWEEN || self.field == Field::End {
                break;
            }
            if !self.begun {
                len += self.begin(room);
                self.begun = true;
                continue;
            }
            let (piece, _, ended) = split(rest);
            if !piece.is_empty() {
                let (taken, written) = self.push(piece, room);
                rest = rest.get(taken..).unwrap_or_default();
                len += written;
            } else if ended {
                rest = rest.get(1..).unwrap_or_default();
                len += self.end(room);
            } else {
                break;
            }
        }
        (input.len() - rest.len(), len)
    }

    /// Whether all strings were taken.
    pub fn is_complete(&self) -> bool {
        self.field == Field::End
    }

    fn begin(&mut self, out: &mut [u8]) -> usize {
        let mut message = Message::new(out);
        match self.field {
            Field::Name => message.put(b"{\"parameters\":{\"record\":{\"userName\":\""),
            Field::Gecos => {
                message.put(b"\",\"uid\":").number(self.uid.0.into());
                message.put(b",\"gid\":").number(self.gid.0.into()).put(b",\"realName\":\"")
            }
            Field::Home => message.put(b"\",\"homeDirectory\":\""),
            Field::Shell => message.put(b"\",\"shell\":\""),
            Field::Password | Field::End => &mut message,
        };
        message.finish().unwrap_or_default()
    }

    /// Bytes of a string: of its front those taken, and those written. At least one is taken.
    fn push(&mut self, piece: &[u8], out: &mut [u8]) -> (usize, usize) {
        let told = match self.field {
            Field::Name | Field::Gecos => Told::Plain,
            Field::Home => self.home,
            Field::Shell => self.shell,
            Field::Password | Field::End => return (piece.len(), 0),
        };
        match (told, piece.first()) {
            (Told::Plain, _) => self.escaper.feed(piece, out),
            (Told::Mended, Some(byte)) => {
                (1, self.escaper.feed(self.mender.push(*byte).bytes(), out).1)
            }
            _ => (piece.len(), 0),
        }
    }

    fn end(&mut self, out: &mut [u8]) -> usize {
        let path = match self.field {
            Field::Home => Some(self.home),
            Field::Shell => Some(self.shell),
            _ => None,
        };
        let mut len = 0;
        match path {
            Some(Told::Instead(path)) => len = self.escaper.feed(path.as_bytes(), out).1,
            Some(Told::Mended) => len = self.escaper.feed(self.mender.finish().bytes(), out).1,
            Some(Told::Plain) | None => {}
        }
        len += self.escaper.finish(out.get_mut(len..).unwrap_or_default());
        self.mender = Mender::default();
        self.begun = false;
        self.field = self.field.next();
        len
    }
}

/// Writes a user's record up to its `service`, as [`UserWriter`] does, if it is at hand and like most: a
/// name, a comment and paths of plain letters. The number of bytes; `None`: it is not to be told, or in
/// need of a closer look, or there is no room.
pub fn encode_plain_user(record: &Passwd<'_>, out: &mut [u8]) -> Option<usize> {
    let Passwd { name, uid, gid, gecos, home, shell, .. } = *record;
    let is_told = is_id(uid.0) && is_primary_gid(gid.0) && is_plain_name(name);
    if !is_told || !is_plain(gecos) || !path::is_plain(home) || !path::is_plain(shell) {
        return None;
    }
    let mut message = Message::new(out);
    message.put(b"{\"parameters\":{\"record\":{\"userName\":\"").put(name);
    message.put(b"\",\"uid\":").number(uid.0.into()).put(b",\"gid\":").number(gid.0.into());
    message.put(b",\"realName\":\"").put(gecos);
    message.put(b"\",\"homeDirectory\":\"").put(home);
    message.put(b"\",\"shell\":\"").put(shell).finish().ok()
}

/// What ends each reply that tells something, once it is known whether `more` replies to the same call
/// follow.
pub fn end(more: bool) -> &'static [u8] {
    if more { b",\"continues\":true}\0" } else { b"}\0" }
}

/// Writes the end of a user's record, behind what [`UserWriter`] has written: the number of bytes. [`end`]
/// follows.
pub fn encode_user_end(
    service: &str,
    privileged: &Privileged<'_>,
    out: &mut [u8],
) -> Result<usize, EncodeError> {
    let mut message = Message::new(out);
    shadow(service, privileged, &mut message);
    if let Privileged::Shadow(_) = privileged {
        message.put(b"}");
    }
    end_record(matches!(privileged, Privileged::Hidden), &mut message)
}

/// The same, but that a writer of keys goes on with the user's ssh keys, and ends it.
pub fn encode_user_shadow(
    service: &str,
    privileged: &Privileged<'_>,
    out: &mut [u8],
) -> Result<usize, EncodeError> {
    let mut message = Message::new(out);
    shadow(service, privileged, &mut message);
    message.finish()
}

fn shadow(service: &str, privileged: &Privileged<'_>, message: &mut Message<'_>) {
    message.put(b"\",\"service\":").string(service.as_bytes());
    if let Privileged::Shadow(shadow) = privileged {
        aging(shadow, message);
        message.put(b",\"privileged\":{\"hashedPassword\":[");
        message.string(shadow.password).put(b"]");
    }
}

pub(super) fn end_record(
    incomplete: bool,
    message: &mut Message<'_>,
) -> Result<usize, EncodeError> {
    message.put(b"},\"incomplete\":").put(if incomplete { b"true}" } else { b"false}" }).finish()
}

/// The fields of password ageing that have a value, days as microseconds.
fn aging(shadow: &Shadow<'_>, message: &mut Message<'_>) {
    const NAMES: [&str; 6] = [
        "lastPasswordChangeUSec",
        "passwordChangeMinUSec",
        "passwordChangeMaxUSec",
        "passwordChangeWarnUSec",
        "passwordChangeInactiveUSec",
        "notAfterUSec",
    ];
    const DAY: u64 = 86_400_000_000;
    for (name, days) in NAMES.iter().zip(shadow.numbers) {
        // More days than microseconds have room for, an empty field and a negative number are "never".
        if let Some(microseconds) = days.checked_mul(DAY) {
            message.put(b",").string(name.as_bytes()).put(b":").number(microseconds);
        }
    }
    if shadow.numbers.first() == Some(&0) {
        message.put(b",\"passwordChangeNow\":true");
    }
}

/// Writes a group's record as a reply: the number of bytes; [`end`] follows. Members are told by
/// [`encode_membership`], and its password by nobody.
pub fn encode_group(
    name: &[u8],
    gid: Gid,
    service: &str,
    incomplete: bool,
    out: &mut [u8],
) -> Result<usize, EncodeError> {
    if !is_id(gid.0) || !is_name(name) {
        return Err(EncodeError::Unrepresentable("a group that is not to be told"));
    }
    let mut message = Message::new(out);
    message.put(b"{\"parameters\":{\"record\":{\"groupName\":").string(name);
    message.put(b",\"gid\":").number(gid.0.into());
    message.put(b",\"service\":").string(service.as_bytes());
    end_record(incomplete, &mut message)
}

/// Writes a membership as a reply: the number of bytes; [`end`] follows.
pub fn encode_membership(user: &[u8], group: &[u8], out: &mut [u8]) -> Result<usize, EncodeError> {
    if !is_name(user) || !is_name(group) {
        return Err(EncodeError::Unrepresentable("a membership that is not to be told"));
    }
    let mut message = Message::new(out);
    message.put(b"{\"parameters\":{\"userName\":").string(user);
    message.put(b",\"groupName\":").string(group).put(b"}").finish()
}
