//! What a call asks of the sources, and whether what they have is to be told.

use crate::backend::switch::Found;
use crate::sys::access::Peer;
use nssproto::entry::{Db, Gid, Name, Uid};
use nssproto::json::Text;
use nssproto::nsss::Request;
use nssproto::userdb::{Keys, Question, is_id, is_name};

/// Room for a name that can be asked for.
pub(super) const NAME_ROOM: usize = Name::MAX;

/// What a question asks the sources for.
pub(super) enum Wanted<'a> {
    /// One record.
    One(Request<'a>),
    /// Each of a database.
    All(Db),
    /// Somebody of whom nothing is told.
    Nobody,
}

/// Whether a record may be told as far as the machine's own files are concerned: not if these have it, or
/// somebody of its name or number. systemd's programs ask here before they look at those.
pub(super) fn may_be_told(found: &mut Found<'_>) -> Result<(), NotTold> {
    match found.is_own() || found.is_owns().map_err(|_| NotTold::Failed)? {
        true => Err(NotTold::Hidden),
        false => Ok(()),
    }
}

/// Whether a peer may see what the source of a record says in shadow. One look at that file and the
/// directories above does for a call, as for who opens it; the file itself is judged at each entry.
pub(super) fn sees_shadow(
    found: &Found<'_>,
    (peer, judged): (Option<Peer>, &mut Option<(usize, bool)>),
) -> bool {
    let source = found.source();
    match *judged {
        Some((same, sees)) if same == source => sees,
        _ => {
            let sees = peer.is_some_and(|peer| found.shows_shadow(peer));
            *judged = Some((source, sees));
            sees
        }
    }
}

/// Whether a record is the one that was asked for, by its name if that was given. Sources in other
/// processes may err, and the clients hold nothing against what they asked.
pub(super) fn keys_fit(keys: &Keys<'_>, name: &[u8], id: u32) -> Result<(), NotTold> {
    let is_named = keys.name.map(|key| key.bytes().eq(name.iter().copied()));
    match (is_named, keys.id.map(|key| key == id)) {
        (Some(false), _) | (None, Some(false)) => Err(NotTold::Failed),
        (Some(true), Some(false)) => Err(NotTold::Conflicts),
        _ => Ok(()),
    }
}

/// The name of a key, unescaped into `room`; `None`: nobody of that name is told.
pub(super) fn name_of<'a>(key: Text<'_>, room: &'a mut [u8; NAME_ROOM]) -> Option<Name<'a>> {
    let name = key.copy_to(room)?;
    Name::new(name).filter(|name| is_name(name.bytes()))
}

/// What a question asks for first. `room`: for its name.
pub(super) fn wanted<'a>(question: &Question<'_>, room: &'a mut [u8; NAME_ROOM]) -> Wanted<'a> {
    let (db, name) = match question {
        Question::User(keys) => (Db::Passwd, keys.name),
        Question::Group(keys) => (Db::Group, keys.name),
        Question::Memberships { group, .. } => (Db::Group, *group),
        _ => return Wanted::Nobody,
    };
    if let Some(key) = name {
        let name = name_of(key, room);
        return name.map_or(Wanted::Nobody, |name| Wanted::One(Request::ByName(db, name)));
    }
    match (question, by_id(question)) {
        (_, Some(request)) => Wanted::One(request),
        (Question::User(keys) | Question::Group(keys), None) if keys.id.is_some() => Wanted::Nobody,
        _ => Wanted::All(db),
    }
}

/// The question for the number alone; `None`: there is none, or nobody's who is told.
pub(super) fn by_id(question: &Question<'_>) -> Option<Request<'static>> {
    match question {
        Question::User(keys) => keys.id.filter(|id| is_id(*id)).map(|id| Request::ByUid(Uid(id))),
        Question::Group(keys) => keys.id.filter(|id| is_id(*id)).map(|id| Request::ByGid(Gid(id))),
        _ => None,
    }
}

/// Why a record is not told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NotTold {
    /// Nobody is to know of it from us.
    Hidden,
    /// It is not the one that was asked for: its source errs.
    Failed,
    /// It has one of two keys.
    Conflicts,
}
