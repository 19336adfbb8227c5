//! A client of the nscd protocol, without input and output: one request, one reply, the end.
//!
//! Each ending is one that both C libraries take well: a source that fails closes the
//! connection, which sends glibc to its own sources, and only what was looked for everywhere is
//! "not found".

use super::conversation::{Conversation, End, Need, Output, Wait};
use crate::backend::gids::{HASH_START, hash};
use crate::backend::switch::Switch;
use crate::backend::{Client, Outcome};
use crate::limits::{REPLY_PIECE, REQUEST_MILLIS};
use crate::sys::access::Asker;
use crate::sys::clock::millis;
use nssproto::Fault;
use nssproto::entry::{Db, Name, Record};
use nssproto::nscd::long::{HEADER_MAX, Strings, Survey};
use nssproto::nscd::{self, Kind, REQUEST_MAX, Request};
use nssproto::nsss;

/// The state of a connection.
pub struct Nscd {
    input: [u8; REQUEST_MAX],
    have: usize,
    /// More may have been sent than the request.
    more: bool,
    state: State,
    /// How far a list of groups has been sent.
    sent: Sent,
    /// What measures the strings of a record, and what lets them pass.
    survey: Option<Survey>,
    strings: Option<Strings>,
    client: Client,
    by_root: bool,
    /// When it came, and then when its request was complete: milliseconds of the clock.
    since: u64,
    /// A byte of the reply has been given out.
    begun: bool,
}

#[derive(Clone, Copy)]
enum State {
    /// The request is not complete.
    Reading,
    /// The record is being looked up.
    Asking,
    /// Groups are being collected.
    Groups,
    /// There are no groups; whether there is such a user.
    IsUser,
    /// The strings of a record are being measured.
    Survey,
    /// The record is asked for again, since its source cannot go back.
    Again,
    /// The strings of a record are being sent.
    Strings,
    /// Ends once the output is sent.
    Closing(End),
}

/// How far a list of groups has been sent.
struct Sent {
    count: u64,
    total: u64,
    hash: u64,
}

/// What is asked of the sources.
type Question<'a> = nsss::Request<'a>;

impl Conversation for Nscd {
    fn new(asker: Asker, number: u32, switch: &Switch) -> Self {
        // Everybody may know what nscd tells: the files are read with our own rights.
        let public = match asker {
            Asker::Peer { uid, gid } => Asker::Public { uid, gid },
            other => other,
        };
        let mut client = Client::new(public, number);
        switch.admit(&mut client);
        Nscd {
            input: [0; REQUEST_MAX],
            have: 0,
            more: true,
            state: State::Reading,
            sent: Sent { count: 0, total: 0, hash: HASH_START },
            survey: None,
            strings: None,
            client,
            by_root: matches!(asker, Asker::Peer { uid: 0, .. }),
            since: millis(),
            begun: false,
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
        matches!(self.state, State::Reading)
    }

    fn drains(&self) -> bool {
        self.more
    }

    fn turn_left(&self) -> u64 {
        self.client.turn
    }

    fn patience(&self, wait: Wait, client_millis: u32) -> Option<u64> {
        match wait {
            // Since it came: who sends byte by byte has no more time than others.
            Wait::Input => Some(self.since + u64::from(REQUEST_MILLIS)),
            Wait::Turn if !self.begun => Some(self.since + u64::from(client_millis)),
            Wait::Turn => None,
            // A client that does not read makes nobody else wait.
            Wait::Output => Some(millis() + u64::from(REQUEST_MILLIS)),
        }
    }

    fn go_on(&mut self, switch: &mut Switch, out: &mut Output, turn: u64) -> Need {
        self.client.turn = turn;
        let need = match self.state {
            State::Closing(end) => Need::Close(end),
            State::Reading => self.read(switch, out),
            State::Asking => self.ask(switch, out),
            State::Groups => self.collect(switch, out),
            State::IsUser => self.is_user(switch, out),
            State::Survey => self.survey(switch, out),
            State::Again => self.ask_again(switch, out),
            State::Strings => self.send_strings(switch, out),
        };
        self.begun |= !out.pending().is_empty();
        need
    }

    fn leave(&self, switch: &mut Switch) {
        switch.dismiss(&self.client);
    }
}

/// What a request asks of the sources; `None`: nobody can have that name or number.
fn question<'a>(request: &Request<'a>) -> Option<Question<'a>> {
    match *request {
        Request::PasswdByName(name) => Some(Question::ByName(Db::Passwd, Name::new(name)?)),
        Request::GroupByName(name) => Some(Question::ByName(Db::Group, Name::new(name)?)),
        Request::PasswdByUid(uid) => uid.map(Question::ByUid),
        Request::GroupByGid(gid) => gid.map(Question::ByGid),
        Request::Initgroups(user) => {
            Some(Question::GroupList { max: u64::MAX, user: Name::new(user)? })
        }
        _ => None,
    }
}

/// Which header the reply to a request has.
fn kind(request: &Request<'_>) -> Kind {
    match request {
        Request::PasswdByName(_) | Request::PasswdByUid(_) => Kind::Passwd,
        Request::GroupByName(_) | Request::GroupByGid(_) => Kind::Group,
        _ => Kind::Initgroups,
    }
}

/// Whether a record is the one that was asked for: a source in another process may err, and a
/// client that checks takes another name for an error.
fn fits(record: &Record<'_>, question: &Question<'_>) -> bool {
    match question {
        Question::ByName(_, name) => record.name() == name.bytes(),
        Question::ByUid(uid) => record.id() == Some(uid.0),
        Question::ByGid(gid) => record.id() == Some(gid.0),
        _ => false,
    }
}

/// The same by what is known of a record that is taken in pieces.
fn may_fit(head: &nsss::Head, question: &Question<'_>) -> bool {
    match (head, question) {
        (nsss::Head::Passwd { uid, .. }, Question::ByUid(asked)) => uid == asked,
        (nsss::Head::Group { gid, .. }, Question::ByGid(asked)) => gid == asked,
        (nsss::Head::Passwd { .. }, Question::ByName(Db::Passwd, _)) => true,
        (nsss::Head::Group { .. }, Question::ByName(Db::Group, _)) => true,
        _ => false,
    }
}

/// A whole reply, or why there is none.
fn encode(record: &Record<'_>, out: &mut [u8]) -> Result<usize, Fault> {
    match record {
        Record::Passwd(record) => nscd::encode_passwd(record, out),
        Record::Group(record) => nscd::encode_group(record, out),
        Record::Shadow(_) => Err(Fault::Bad("shadow is not served")),
    }
}

impl Nscd {
    fn close(&mut self, end: End) -> Need {
        self.state = State::Closing(end);
        Need::Close(end)
    }

    /// Ends with what an encoder wrote.
    fn answer(&mut self, out: &mut Output, written: Result<usize, Fault>) -> Need {
        match written {
            Ok(len) => {
                out.add(len);
                self.close(End::Answered)
            }
            Err(_) => self.close(End::Failed),
        }
    }

    /// Ends where nothing was found: only if everyone was asked.
    fn none(&mut self, out: &mut Output, kind: Kind) -> Need {
        if self.client.has_failed() {
            return self.close(End::Failed);
        }
        let written = nscd::encode_not_found(kind, out.room());
        self.answer(out, written)
    }

    /// The question of the complete request at hand; `input` is borrowed apart from the rest.
    fn question(input: &[u8]) -> Option<(Question<'_>, Kind)> {
        let request = Request::decode(input).ok()?.value;
        Some((question(&request)?, kind(&request)))
    }

    fn read(&mut self, switch: &mut Switch, out: &mut Output) -> Need {
        let input = self.input.get(..self.have).unwrap_or_default();
        let took = match Request::decode(input) {
            Ok(took) => took,
            Err(Fault::More(_)) => return Need::Input,
            Err(_) => {
                // What belongs to it may still be in the socket.
                self.more = true;
                return self.close(End::Protocol);
            }
        };
        self.more |= took.len < self.have;
        match took.value {
            Request::Unserved(size) => {
                let written = nscd::encode_unserved(size, out.room());
                self.answer(out, written)
            }
            Request::Invalidate(database) if self.by_root => {
                // Files are looked at anew for each request: there is nothing to forget.
                let known = nscd::DATABASES.contains(&database);
                let written = nscd::encode_invalidated(known, out.room());
                self.answer(out, written)
            }
            Request::Invalidate(_) | Request::Descriptor | Request::Control => {
                self.close(End::Refused)
            }
            request => {
                let kind = kind(&request);
                if question(&request).is_none() {
                    return self.none(out, kind);
                }
                self.since = millis();
                self.client.begin();
                if kind == Kind::Initgroups {
                    self.state = State::Groups;
                    return self.collect(switch, out);
                }
                self.state = State::Asking;
                self.ask(switch, out)
            }
        }
    }

    fn ask(&mut self, switch: &mut Switch, out: &mut Output) -> Need {
        let input = self.input.get(..self.have).unwrap_or_default();
        let Some((question, kind)) = Self::question(input) else {
            return self.close(End::Failed);
        };
        match switch.ask(&mut self.client, &question, 0) {
            Outcome::Pending => return Need::Turn,
            Outcome::Elsewhere => {
                self.client.begin();
                return Need::Elsewhere;
            }
            Outcome::Found => {}
            Outcome::NotFound => return self.none(out, kind),
            _ => return self.close(End::Failed),
        }
        if let Some(record) = switch.record(&self.client) {
            if !fits(&record, &question) {
                return self.close(End::Failed);
            }
            let written = encode(&record, out.room());
            if !matches!(written, Err(Fault::Room(_))) {
                switch.taken(&self.client);
                return self.answer(out, written);
            }
        }
        match switch.long(&mut self.client) {
            Some(head) if may_fit(&head, &question) => self.survey = Survey::new(head),
            _ => self.survey = None,
        }
        if self.survey.is_none() {
            return self.close(End::Failed);
        }
        self.state = State::Survey;
        self.survey(switch, out)
    }

    /// Measures strings; a group's lengths are sent meanwhile: four bytes for each string, which may
    /// be one byte long.
    fn survey(&mut self, switch: &mut Switch, out: &mut Output) -> Need {
        let mut piece = [0; (REPLY_PIECE - HEADER_MAX) / 4];
        loop {
            let most = out.room().len().saturating_sub(HEADER_MAX) / 4;
            let area = piece.get_mut(..most).unwrap_or_default();
            let Ok((len, ended)) = switch.area(&mut self.client, area) else {
                return self.broken(out);
            };
            self.spend(len);
            let Some(survey) = &mut self.survey else { return self.broken(out) };
            match survey.feed(area.get(..len).unwrap_or_default(), out.room()) {
                Ok(len) => out.add(len),
                Err(_) => return self.broken(out),
            }
            if ended {
                break;
            }
            // A source that has no more at the moment must not keep what is known from its client.
            if len < most || out.room().len() < REPLY_PIECE / 2 || self.client.turn == 0 {
                return Need::Flush;
            }
        }
        self.strings = self.survey.take().and_then(|survey| survey.finish().ok());
        if self.strings.is_none() {
            return self.broken(out);
        }
        self.state = match switch.rewind(&mut self.client) {
            true => State::Strings,
            false => {
                switch.taken(&self.client);
                self.client.begin();
                State::Again
            }
        };
        Need::Flush
    }

    /// Asks for a record that was measured once more.
    fn ask_again(&mut self, switch: &mut Switch, out: &mut Output) -> Need {
        let input = self.input.get(..self.have).unwrap_or_default();
        let Some((question, _)) = Self::question(input) else { return self.broken(out) };
        match switch.ask(&mut self.client, &question, 0) {
            Outcome::Pending => Need::Turn,
            Outcome::Found
                if switch.long(&mut self.client) == self.strings.as_ref().map(Strings::head) =>
            {
                self.state = State::Strings;
                self.send_strings(switch, out)
            }
            _ => self.broken(out),
        }
    }

    fn send_strings(&mut self, switch: &mut Switch, out: &mut Output) -> Need {
        let room = out.room();
        let Ok((len, ended)) = switch.area(&mut self.client, room) else {
            return self.broken(out);
        };
        self.spend(len);
        let Some(strings) = &mut self.strings else { return self.broken(out) };
        let put = strings.feed(room.get_mut(..len).unwrap_or_default());
        out.add(put);
        match ended {
            false => Need::Flush,
            true if strings.holds() => self.close(End::Answered),
            true => self.broken(out),
        }
    }

    /// Pieces of a record count as work, as searching does.
    fn spend(&mut self, len: usize) {
        self.client.turn = self.client.turn.saturating_sub(len as u64 + 1);
    }

    /// Ends in the middle of a reply. What is in hand must not go out: with it, the reply might
    /// look whole.
    fn broken(&mut self, out: &mut Output) -> Need {
        out.clear();
        self.close(End::Broken)
    }

    /// The groups that list a user, from where the last piece ended.
    fn collect(&mut self, switch: &mut Switch, out: &mut Output) -> Need {
        let input = self.input.get(..self.have).unwrap_or_default();
        let Some((question, kind)) = Self::question(input) else {
            return self.close(End::Failed);
        };
        let sent = &mut self.sent;
        match switch.ask(&mut self.client, &question, sent.count) {
            Outcome::Pending => return Need::Turn,
            Outcome::Elsewhere => {
                self.client.begin();
                return Need::Elsewhere;
            }
            // A list of which a part is not known is no list.
            Outcome::Groups if self.client.has_failed() => {
                switch.taken(&self.client);
                return self.close(End::Failed);
            }
            Outcome::Groups => {}
            Outcome::NotFound if sent.count == 0 => return self.none(out, kind),
            _ => return self.close(End::Failed),
        }
        let gids = switch.gids();
        let total = gids.total();
        let (fresh, passed) = gids.after_skipped();
        let changed = sent.count > 0 && (passed != sent.hash || total != sent.total);
        if sent.count == 0 && total > 0 {
            sent.total = total;
            let count = i32::try_from(total).unwrap_or(-1);
            match nscd::encode_initgroups(count as u32, out.room()) {
                Ok(len) if count > 0 => out.add(len),
                _ => {}
            }
        }
        let fits = out.room().len() / 4;
        let piece = fresh.get(..fits.min(fresh.len())).unwrap_or_default();
        piece.iter().for_each(|gid| out.put(&gid.to_ne_bytes()));
        sent.hash = hash(sent.hash, piece);
        sent.count += piece.len() as u64;
        let stuck = piece.is_empty() && total > 0;
        let ended = sent.count == total;
        switch.taken(&self.client);
        if changed || stuck {
            return self.broken(out);
        }
        self.client.begin();
        if total == 0 {
            self.state = State::IsUser;
            return self.is_user(switch, out);
        }
        if ended {
            return self.close(End::Answered);
        }
        Need::Flush
    }

    /// A user without groups is found and has none; nobody is not found.
    fn is_user(&mut self, switch: &mut Switch, out: &mut Output) -> Need {
        let input = self.input.get(..self.have).unwrap_or_default();
        let Some((Question::GroupList { user, .. }, kind)) = Self::question(input) else {
            return self.close(End::Failed);
        };
        match switch.ask(&mut self.client, &Question::ByName(Db::Passwd, user), 0) {
            Outcome::Pending => Need::Turn,
            Outcome::Elsewhere => {
                self.client.begin();
                Need::Elsewhere
            }
            Outcome::Found => {
                switch.taken(&self.client);
                let written = nscd::encode_initgroups(0, out.room());
                self.answer(out, written)
            }
            Outcome::NotFound => self.none(out, kind),
            _ => self.close(End::Failed),
        }
    }
}
