//! A client of the nscd protocol, without input and output: one request, one reply, the end.
//!
//! Each ending is one that both C libraries take well: a source that fails closes the
//! connection, which sends glibc to its own sources, and only what was looked for everywhere is
//! "not found".

#[cfg(feature = "share")]
use super::Errand;
use super::groups::Groups;
use super::{Conversation, End, Need, Output, Patience, Wait, Which, spend};
use crate::backend::switch::{Answer, ClientState, Found, FoundGroups, Pieces, Shown, Switch};
use crate::limits::{NSCD_ANSWER_MILLIS, REPLY_PIECE};
use crate::sys::access::Rights;
use crate::sys::clock::{NEVER, millis};
use nssproto::entry::{Db, Gid, Name, Uid};
use nssproto::line::Rules;
use nssproto::nscd::stream::{HEADER_MAX, HeaderWriter, StringsWriter};
use nssproto::nscd::{self, REQUEST_MAX, ReplyKind, Request};
use nssproto::nsss::{self, Head};
use nssproto::{DecodeError, EncodeError};

/// The state of a connection.
pub struct Nscd {
    input: [u8; REQUEST_MAX],
    have: usize,
    /// More may have been sent than the request.
    more: bool,
    by_root: bool,
    /// When it came, in milliseconds of the clock.
    since: u64,
    /// A byte of the reply has been given out.
    begun: bool,
    lookup: Lookup,
}

/// What has become of the request.
struct Lookup {
    state: State,
    groups: Groups,
    client: ClientState,
}

enum State {
    /// The request is not complete.
    Reading,
    /// The record is being looked up, or the groups are.
    Asking,
    /// There are no groups; whether there is such a user.
    IsUser,
    /// Of a record, only its head was seen.
    Unseen(Pieces, Head),
    /// The strings of a record are being measured.
    Survey(Pieces, HeaderWriter),
    /// The record is asked for again, since its source cannot go back.
    Again(StringsWriter),
    /// The strings of a record are being sent.
    Strings(Pieces, StringsWriter),
    /// Ends once the output is sent.
    Closing(End),
}

/// What is asked of the sources.
type Question<'a> = nsss::Request<'a>;

impl Conversation for Nscd {
    // Made where it stays: else two kilobytes would be moved twice for each connection.
    #[inline(always)]
    fn new(mut client: ClientState) -> Self {
        let by_root = matches!(client.rights, Rights::Peer(peer) if peer.is_root());
        // Everybody may know what nscd tells: the files are read with our own rights.
        if let Rights::Peer(peer) = client.rights {
            client.rights = Rights::Public(peer);
        }
        // It stands in front of a C library, and says what that would have read.
        client.rules = Rules::Glibc;
        Nscd {
            input: [0; REQUEST_MAX],
            have: 0,
            more: true,
            by_root,
            since: millis(),
            begun: false,
            lookup: Lookup { state: State::Reading, groups: Groups::NONE, client },
        }
    }

    fn room(&mut self) -> &mut [u8] {
        self.input.get_mut(self.have..).unwrap_or_default()
    }

    fn filled(&mut self, len: usize) {
        self.have = (self.have + len).min(REQUEST_MAX);
        self.more = self.have == REQUEST_MAX;
    }

    fn request(&self) -> &[u8] {
        self.input.get(..self.have).unwrap_or_default()
    }

    fn waits_for_input(&self) -> bool {
        matches!(self.lookup.state, State::Reading)
    }

    fn has_asked(&self) -> bool {
        !matches!(Request::decode(self.request()), Err(DecodeError::Incomplete(_)))
    }

    fn shares(&self) -> bool {
        true
    }

    fn drains(&self) -> bool {
        self.more
    }

    fn budget_left(&self) -> u64 {
        self.lookup.client.budget
    }

    fn deadline(&self, wait: Wait, patience: Patience) -> u64 {
        let Patience { client_millis, lookup_millis } = patience;
        let last = self.since + u64::from(NSCD_ANSWER_MILLIS);
        match wait {
            // Since it came: who sends byte by byte has no more time than others.
            Wait::Input => self.since + u64::from(client_millis),
            Wait::Turn if self.begun => NEVER,
            // However long it waited: what is left of that is the source's.
            Wait::Turn | Wait::Worker => last,
            Wait::Source => last.min(millis() + u64::from(lookup_millis)),
            // A client that does not read makes nobody else wait.
            Wait::Output => millis() + u64::from(client_millis),
        }
    }

    fn go_on(&mut self, switch: &mut Switch, out: &mut Output, budget: u64) -> Need {
        let lookup = &mut self.lookup;
        lookup.client.budget = budget;
        let need = match lookup.state {
            State::Reading | State::Asking | State::IsUser | State::Again(_) => {
                self.read(switch, out)
            }
            _ => lookup.proceed(switch, out),
        };
        self.begun |= !out.pending().is_empty();
        need
    }

    fn leave(&self, switch: &mut Switch) {
        switch.dismiss(&self.lookup.client);
    }
}

impl Nscd {
    /// Goes on with the request, once it is complete.
    fn read(&mut self, switch: &mut Switch, out: &mut Output) -> Need {
        let lookup = &mut self.lookup;
        let input = self.input.get(..self.have).unwrap_or_default();
        let took = match Request::decode(input) {
            Ok(took) => took,
            Err(DecodeError::Incomplete(_)) => return Need::Input,
            Err(_) => {
                // What belongs to it may still be in the socket.
                self.more = true;
                return lookup.close(End::Protocol);
            }
        };
        self.more |= took.len < self.have;
        // In a line of a file nobody can be called so, and PAM asks for such a name with each password
        // (pam_unix_non_existent:). A source that refuses it, as nslcd does, has not failed.
        let is_name = |name: &&[u8]| !name.iter().any(|byte| matches!(byte, b':' | b'\n'));
        let named = |name| Name::new_long(name).filter(|name| is_name(&name.bytes()));
        let by_name = |db, name| named(name).map(|name| Question::ByName(db, name));
        let groups_of = |user| Question::GroupList { max: u64::MAX, user };
        // `None`: nobody can have that name or number.
        let (question, kind) = match took.value {
            Request::PasswdByName(name) => (by_name(Db::Passwd, name), ReplyKind::Passwd),
            Request::PasswdByUid(uid) => (uid.map(Question::ByUid), ReplyKind::Passwd),
            Request::GroupByName(name) => (by_name(Db::Group, name), ReplyKind::Group),
            Request::GroupByGid(gid) => (gid.map(Question::ByGid), ReplyKind::Group),
            // A member of a group may well have a colon in its name.
            Request::Initgroups(user) => {
                (Name::new_long(user).map(groups_of), ReplyKind::Initgroups)
            }
            Request::Unserved(size) => {
                let written = nscd::encode_unserved(size, out.room());
                return lookup.answer(out, written);
            }
            Request::Invalidate(database) if self.by_root => {
                // Files are looked at anew for each request: the shared map alone has to be forgotten.
                let known = nscd::DATABASES.contains(&database);
                let written = nscd::encode_invalidated(known, out.room());
                let need = lookup.answer(out, written);
                #[cfg(feature = "share")]
                if known {
                    return Need::Errand(Errand::Forget);
                }
                return need;
            }
            #[cfg(feature = "share")]
            Request::Descriptor(Some(db)) => {
                lookup.close(End::Answered);
                return Need::Errand(Errand::Lend(db));
            }
            Request::Shutdown if self.by_root => return lookup.close(End::Shutdown),
            // Invalidate and Shutdown from others, Descriptor, Statistics.
            _ => return lookup.close(End::Refused),
        };
        let Some(question) = question else { return lookup.none(out, kind) };
        if let State::Reading = lookup.state {
            lookup.state = State::Asking;
        }
        lookup.ask(switch, out, &question, kind)
    }
}

/// Whether a record is the one that was asked for: a source in another process may err, and a
/// client that checks takes another name for an error.
fn fits(question: &Question<'_>, found: &Shown<'_>) -> bool {
    match question {
        Question::ByName(_, asked) => found.is_called(asked.bytes()),
        _ => has_asked_id(question, found.record.id()),
    }
}

/// Whether that is its number, which is what is known of a record that is taken in pieces.
fn has_asked_id(question: &Question<'_>, id: Option<u32>) -> bool {
    match question {
        Question::ByUid(Uid(asked)) | Question::ByGid(Gid(asked)) => id == Some(*asked),
        _ => matches!(question, Question::ByName(..)),
    }
}

impl Lookup {
    fn close(&mut self, end: End) -> Need {
        self.state = State::Closing(end);
        Need::Close(end)
    }

    /// Ends with what an encoder wrote.
    fn answer(&mut self, out: &mut Output, written: Result<usize, EncodeError>) -> Need {
        match written {
            Ok(len) => {
                out.add(len);
                self.close(End::Answered)
            }
            Err(_) => self.close(End::Failed),
        }
    }

    /// Ends where nothing was found: only if everyone was asked.
    fn none(&mut self, out: &mut Output, kind: ReplyKind) -> Need {
        if self.client.has_failed() {
            return self.close(End::Failed);
        }
        let written = nscd::encode_not_found(kind, out.room());
        self.answer(out, written)
    }

    /// Asks the sources, and begins with the reply.
    fn ask(
        &mut self,
        switch: &mut Switch,
        out: &mut Output,
        question: &Question<'_>,
        kind: ReplyKind,
    ) -> Need {
        let asked = match (&self.state, *question) {
            (State::IsUser, Question::GroupList { user, .. }) => Question::ByName(Db::Passwd, user),
            (_, question) => question,
        };
        let Lookup { state, groups, client } = self;
        // What was found is given back before the next step.
        let step = match switch.ask(client, &asked, groups.sent()) {
            Answer::Pending => NextStep::Wait(Need::Turn),
            Answer::Found(found) => match *state {
                State::Again(strings) => go_on_again(found, strings, state, out),
                State::IsUser => NextStep::NoGroups,
                _ => begin_record(found, out, question, state),
            },
            _ if matches!(state, State::Again(_)) => broken(state, out),
            Answer::NeedsWorker => NextStep::Wait(Need::Worker(Which::Any)),
            Answer::Groups(found) => send_groups(&found, groups, state, out),
            Answer::NotFound if groups.sent() == 0 => NextStep::NotFound,
            _ => close(state, End::Failed),
        };
        match step {
            NextStep::Wait(need) => need,
            NextStep::GoOn => self.proceed(switch, out),
            NextStep::AskForUser => {
                self.state = State::IsUser;
                self.ask(switch, out, question, kind)
            }
            NextStep::NoGroups => {
                let written = nscd::encode_initgroups(0, out.room());
                self.answer(out, written)
            }
            NextStep::NotFound => self.none(out, kind),
        }
    }

    /// Goes on with what needs no question.
    fn proceed(&mut self, switch: &mut Switch, out: &mut Output) -> Need {
        match self.state {
            State::Unseen(..) => self.survey_unseen(switch, out),
            State::Survey(..) => self.survey(switch, out),
            State::Strings(..) => self.send_strings(switch, out),
            State::Closing(end) => Need::Close(end),
            _ => self.broken(out),
        }
    }

    /// Begins to measure a record of which nothing was seen but its head: what is sent of its
    /// password is known from its first piece.
    fn survey_unseen(&mut self, switch: &mut Switch, out: &mut Output) -> Need {
        let Lookup { state, client, .. } = self;
        let State::Unseen(mut pieces, head) = std::mem::replace(state, State::Asking) else {
            return self.broken(out);
        };
        let mut piece = [0; MEASURED];
        let Ok((len, false)) = pieces.next(switch, client, &mut piece) else {
            return self.broken(out);
        };
        spend(client, len);
        let piece = piece.get(..len).unwrap_or_default();
        let Some(password) = pieces.password(switch, client, head.db(), piece) else {
            return Need::Turn;
        };
        let Some(mut survey) = HeaderWriter::new(head, password) else { return self.broken(out) };
        match survey.feed(piece, out.room()) {
            Ok(len) => out.add(len),
            Err(_) => return self.broken(out),
        }
        self.state = State::Survey(pieces, survey);
        Need::Flush
    }

    /// Measures strings; a group's lengths are sent meanwhile: four bytes for each string, which may
    /// be one byte long.
    fn survey(&mut self, switch: &mut Switch, out: &mut Output) -> Need {
        let Lookup { state: State::Survey(pieces, survey), client, .. } = self else {
            return self.broken(out);
        };
        let mut piece = [0; MEASURED];
        loop {
            let most = out.room().len().saturating_sub(HEADER_MAX) / 4;
            let area = piece.get_mut(..most).unwrap_or_default();
            let Ok((len, ended)) = pieces.next(switch, client, area) else {
                return self.broken(out);
            };
            spend(client, len);
            match survey.feed(area.get(..len).unwrap_or_default(), out.room()) {
                Ok(len) => out.add(len),
                Err(_) => return self.broken(out),
            }
            if ended {
                break;
            }
            // A source that has no more at the moment must not keep what is known from its client.
            if len < most || out.room().len() < REPLY_PIECE / 2 || client.budget == 0 {
                return Need::Flush;
            }
        }
        let Ok(strings) = survey.finish() else { return self.broken(out) };
        let rewound = pieces.rewind(switch, client);
        self.state = match std::mem::replace(&mut self.state, State::Reading) {
            State::Survey(pieces, _) if rewound => State::Strings(pieces, strings),
            _ => State::Again(strings),
        };
        Need::Flush
    }

    fn send_strings(&mut self, switch: &mut Switch, out: &mut Output) -> Need {
        let Lookup { state: State::Strings(pieces, strings), client, .. } = self else {
            return self.broken(out);
        };
        let room = out.room();
        let Ok((len, ended)) = pieces.next(switch, client, room) else {
            return self.broken(out);
        };
        spend(client, len);
        let put = strings.feed(room.get_mut(..len).unwrap_or_default());
        out.add(put);
        match ended {
            false => Need::Flush,
            true if strings.holds() => self.close(End::Answered),
            true => self.broken(out),
        }
    }

    /// Ends in the middle of a reply. What is in hand must not go out: with it, the reply might
    /// look whole.
    fn broken(&mut self, out: &mut Output) -> Need {
        out.clear();
        self.close(End::Broken)
    }
}

/// What is measured at a time: a reply's buffer has room for as many lengths.
const MEASURED: usize = (REPLY_PIECE - HEADER_MAX) / 4;

/// What is done next about a request.
enum NextStep {
    /// It waits.
    Wait(Need),
    /// What its state says.
    GoOn,
    /// There are no groups; whether there is such a user is another question.
    AskForUser,
    NoGroups,
    NotFound,
}

/// It ends.
fn close(state: &mut State, end: End) -> NextStep {
    *state = State::Closing(end);
    NextStep::GoOn
}

/// It ends in the middle of a reply: see [`Lookup::broken`].
fn broken(state: &mut State, out: &mut Output) -> NextStep {
    out.clear();
    close(state, End::Broken)
}

/// Sends a record whole if it fits.
fn begin_record(
    mut found: Found<'_>,
    out: &mut Output,
    question: &Question<'_>,
    state: &mut State,
) -> NextStep {
    let mut password = None;
    if let Some(shown) = found.shown() {
        if !fits(question, &shown) {
            return close(state, End::Failed);
        }
        password = shown.password;
        let Some(password) = password else { return NextStep::Wait(Need::Turn) };
        match nscd::encode(&shown.record, password, out.room()) {
            Ok(len) => {
                out.add(len);
                return close(state, End::Answered);
            }
            Err(EncodeError::NoSpace(_)) => {}
            Err(_) => return close(state, End::Failed),
        }
    }
    let Some((head, pieces)) = found.into_pieces() else { return close(state, End::Failed) };
    if !has_asked_id(question, head.id()) {
        return close(state, End::Failed);
    }
    *state = match password.map(|password| HeaderWriter::new(head, password)) {
        None => State::Unseen(pieces, head),
        Some(Some(survey)) => State::Survey(pieces, survey),
        Some(None) => State::Closing(End::Failed),
    };
    NextStep::GoOn
}

/// Goes on with a record that was measured, if it is still the same.
fn go_on_again(
    found: Found<'_>,
    strings: StringsWriter,
    state: &mut State,
    out: &mut Output,
) -> NextStep {
    match found.into_pieces() {
        Some((head, pieces)) if head == strings.head() => {
            *state = State::Strings(pieces, strings);
            NextStep::GoOn
        }
        _ => broken(state, out),
    }
}

/// Sends the groups that list a user, from where the last piece ended. A user without groups is
/// found and has none; nobody is not found.
fn send_groups(
    found: &FoundGroups<'_>,
    groups: &mut Groups,
    state: &mut State,
    out: &mut Output,
) -> NextStep {
    let total = found.gids().total();
    // A list of which a part is not known is no list.
    if found.has_failed() || total > i32::MAX as u64 {
        return close(state, End::Failed);
    }
    if groups.sent() == 0 {
        if total == 0 {
            return NextStep::AskForUser;
        }
        if let Ok(len) = nscd::encode_initgroups(total as u32, out.room()) {
            out.add(len);
        }
    }
    match groups.send(found.gids(), u64::MAX, u32::to_ne_bytes, out) {
        None => broken(state, out),
        Some(true) => close(state, End::Answered),
        Some(false) => NextStep::Wait(Need::Flush),
    }
}
