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

/// Who is told something, and what of it is for him.
pub(super) struct Audience {
    /// Whose connection it is.
    pub peer: Option<Peer>,
    /// A source, and whether he may see what it says in shadow, as it was judged in this call.
    pub judged: Option<(usize, bool)>,
    /// He asks nobody else, so that what the machine's own files have is told, too.
    pub asks_us_alone: bool,
}

impl Audience {
    /// Whether a record may be told as far as the machine's own files are concerned: not by others if
    /// these have it, or somebody of its name or number. systemd's programs ask here before they look at
    /// those.
    pub fn may_be_told(&self, found: &mut Found<'_>) -> Result<(), NotTold> {
        let hidden = match found.is_own() {
            true => !self.asks_us_alone,
            false => found.is_owns().map_err(|_| NotTold::Failed)?,
        };
        if hidden { Err(NotTold::Hidden) } else { Ok(()) }
    }

    /// Whether he may see what the source of a record says in shadow. One look at that file and the
    /// directories above does for a call, as for who opens it; the file itself is judged at each entry.
    pub fn sees_shadow(&mut self, found: &Found<'_>) -> bool {
        let source = found.source();
        match self.judged {
            Some((same, sees)) if same == source => sees,
            _ => {
                let sees = self.peer.is_some_and(|peer| found.shows_shadow(peer));
                self.judged = Some((source, sees));
                sees
            }
        }
    }
}

/// Whether a record is the one that was asked for, by its name if that was given. Sources in other
/// processes may err, and the clients hold nothing against what they asked.
pub(super) fn keys_fit(keys: &Keys<'_>, name: &[u8], id: u32) -> Result<(), NotTold> {
    let is_named = keys.name.map(|key| same_name(key, name));
    match (is_named, keys.id.map(|key| key == id)) {
        (Some(Err(why)), _) => Err(why),
        (None, Some(false)) => Err(NotTold::Failed),
        (Some(Ok(())), Some(false)) => Err(NotTold::Conflicts),
        _ => Ok(()),
    }
}

/// Whether a name is that of a key. In other letters it is another name, which a source that takes
/// upper and lower case for the same has: of the asked one nobody is told. Else its source errs.
pub(super) fn same_name(key: Text<'_>, name: &[u8]) -> Result<(), NotTold> {
    if key.bytes().eq(name.iter().copied()) {
        return Ok(());
    }
    let lower = |byte: u8| byte.to_ascii_lowercase();
    match key.bytes().map(lower).eq(name.iter().copied().map(lower)) {
        true => Err(NotTold::OtherName),
        false => Err(NotTold::Failed),
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
    /// It is somebody else's, who has the name in other letters.
    OtherName,
    /// It is not the one that was asked for: its source errs.
    Failed,
    /// It has one of two keys.
    Conflicts,
}
