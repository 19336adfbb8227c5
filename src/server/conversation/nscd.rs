//! A client of the nscd protocol, without input and output: one request, one reply, the end.
//!
//! Each ending is one that both C libraries take well: a source that fails closes the
//! connection, which sends glibc to its own sources, and only what was looked for everywhere is
//! "not found".

use super::groups::Groups;
use super::{Conversation, End, Need, Output, Patience, Wait, Which};
use crate::backend::switch::Switch;
use crate::backend::{Client, Outcome};
use crate::limits::REPLY_PIECE;
use crate::sys::access::Rights;
use crate::sys::clock::millis;
use nssproto::Fault;
use nssproto::entry::{Db, Gid, Name, Uid};
use nssproto::nscd::long::{HEADER_MAX, Strings, Survey};
use nssproto::nscd::{self, Kind, REQUEST_MAX, Request};
use nssproto::nsss;

/// The state of a connection.
pub struct Nscd {
    input: [u8; REQUEST_MAX],
    have: usize,
    /// More may have been sent than the request.
    more: bool,
    by_root: bool,
    /// When it came, and then when its request was complete: milliseconds of the clock.
    since: u64,
    /// A byte of the reply has been given out.
    begun: bool,
    lookup: Lookup,
}

/// What has become of the request.
struct Lookup {
    state: State,
    groups: Groups,
    /// What measures the strings of a record, and what lets them pass.
    survey: Option<Survey>,
    strings: Option<Strings>,
    client: Client,
}

#[derive(Clone, Copy)]
enum State {
    /// The request is not complete.
    Reading,
    /// The record is being looked up, or the groups are.
    Asking,
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

/// What is asked of the sources.
type Question<'a> = nsss::Request<'a>;

impl Conversation for Nscd {
    fn new(rights: Rights, number: u32, switch: &Switch) -> Self {
        // Everybody may know what nscd tells: the files are read with our own rights.
        let public = match rights {
            Rights::Peer(peer) => Rights::Public(peer),
            other => other,
        };
        let mut client = Client::new(public, number);
        switch.admit(&mut client);
        Nscd {
            input: [0; REQUEST_MAX],
            have: 0,
            more: true,
            by_root: matches!(rights, Rights::Peer(peer) if peer.is_root()),
            since: millis(),
            begun: false,
            lookup: Lookup {
                state: State::Reading,
                groups: Groups::NONE,
                survey: None,
                strings: None,
                client,
            },
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

    fn drains(&self) -> bool {
        self.more
    }

    fn turn_left(&self) -> u64 {
        self.lookup.client.turn
    }

    fn deadline(&self, wait: Wait, patience: Patience) -> Option<u64> {
        let Patience { client_millis, lookup_millis } = patience;
        match wait {
            // Since it came: who sends byte by byte has no more time than others.
            Wait::Input => Some(self.since + u64::from(client_millis)),
            Wait::Turn if self.begun => None,
            Wait::Turn | Wait::Worker => Some(self.since + u64::from(lookup_millis)),
            // A client that does not read makes nobody else wait.
            Wait::Output => Some(millis() + u64::from(client_millis)),
        }
    }

    fn go_on(&mut self, switch: &mut Switch, out: &mut Output, turn: u64) -> Need {
        let lookup = &mut self.lookup;
        lookup.client.turn = turn;
        let need = match lookup.state {
            State::Closing(end) => Need::Close(end),
            State::Survey => lookup.survey(switch, out),
            State::Strings => lookup.send_strings(switch, out),
            _ => self.read(switch, out),
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
            Err(Fault::More(_)) => return Need::Input,
            Err(_) => {
                // What belongs to it may still be in the socket.
                self.more = true;
                return lookup.close(End::Protocol);
            }
        };
        self.more |= took.len < self.have;
        let by_name = |db, name| Name::new(name).map(|name| Question::ByName(db, name));
        let groups_of = |user| Question::GroupList { max: u64::MAX, user };
        // `None`: nobody can have that name or number.
        let (question, kind) = match took.value {
            Request::PasswdByName(name) => (by_name(Db::Passwd, name), Kind::Passwd),
            Request::PasswdByUid(uid) => (uid.map(Question::ByUid), Kind::Passwd),
            Request::GroupByName(name) => (by_name(Db::Group, name), Kind::Group),
            Request::GroupByGid(gid) => (gid.map(Question::ByGid), Kind::Group),
            Request::Initgroups(user) => (Name::new(user).map(groups_of), Kind::Initgroups),
            Request::Unserved(size) => {
                let written = nscd::encode_unserved(size, out.room());
                return lookup.answer(out, written);
            }
            Request::Invalidate(database) if self.by_root => {
                // Files are looked at anew for each request: there is nothing to forget.
                let known = nscd::DATABASES.contains(&database);
                let written = nscd::encode_invalidated(known, out.room());
                return lookup.answer(out, written);
            }
            Request::Invalidate(_) | Request::Descriptor | Request::Control => {
                return lookup.close(End::Refused);
            }
        };
        let Some(question) = question else { return lookup.none(out, kind) };
        if let State::Reading = lookup.state {
            self.since = millis();
            lookup.client.begin();
            lookup.state = State::Asking;
        }
        lookup.ask(switch, out, &question, kind)
    }
}

/// Whether a record is the one that was asked for: a source in another process may err, and a
/// client that checks takes another name for an error. The name is not known of a record that is
/// taken in pieces.
fn fits(question: &Question<'_>, name: Option<&[u8]>, id: Option<u32>) -> bool {
    match question {
        Question::ByName(_, asked) => name.is_none_or(|name| name == asked.bytes()),
        Question::ByUid(Uid(asked)) | Question::ByGid(Gid(asked)) => id == Some(*asked),
        _ => false,
    }
}

impl Lookup {
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

    /// Asks the sources, and begins with the reply.
    fn ask(
        &mut self,
        switch: &mut Switch,
        out: &mut Output,
        question: &Question<'_>,
        kind: Kind,
    ) -> Need {
        let state = self.state;
        let asked = match (state, *question) {
            (State::IsUser, Question::GroupList { user, .. }) => Question::ByName(Db::Passwd, user),
            (_, question) => question,
        };
        match switch.ask(&mut self.client, &asked, self.groups.sent()) {
            Outcome::Pending => Need::Turn,
            Outcome::Found if matches!(state, State::Again) => {
                match (switch.long(&mut self.client), &self.strings) {
                    (Some(head), Some(strings)) if *head == strings.head() => {}
                    _ => return self.broken(out),
                }
                self.state = State::Strings;
                self.send_strings(switch, out)
            }
            _ if matches!(state, State::Again) => self.broken(out),
            Outcome::Elsewhere => {
                self.client.begin();
                Need::Worker(Which::Any)
            }
            Outcome::Found if matches!(state, State::IsUser) => {
                switch.taken(&self.client);
                let written = nscd::encode_initgroups(0, out.room());
                self.answer(out, written)
            }
            Outcome::Found => self.send_record(switch, out, question),
            Outcome::Groups => self.send_groups(switch, out, question, kind),
            Outcome::NotFound if self.groups.sent() == 0 => self.none(out, kind),
            _ => self.close(End::Failed),
        }
    }

    /// Sends a record whole if it fits, else begins to measure it.
    fn send_record(
        &mut self,
        switch: &mut Switch,
        out: &mut Output,
        question: &Question<'_>,
    ) -> Need {
        if let Some(record) = switch.record(&self.client) {
            if !fits(question, Some(record.name()), record.id()) {
                return self.close(End::Failed);
            }
            let written = nscd::encode(&record, out.room());
            if !matches!(written, Err(Fault::Room(_))) {
                switch.taken(&self.client);
                return self.answer(out, written);
            }
        }
        match switch.long(&mut self.client) {
            Some(head) if fits(question, None, head.id()) => self.survey = Survey::new(*head),
            _ => return self.close(End::Failed),
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
        match self.survey.map(Survey::finish) {
            Some(Ok(strings)) => self.strings = Some(strings),
            _ => return self.broken(out),
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

    /// Sends the groups that list a user, from where the last piece ended. A user without groups is
    /// found and has none; nobody is not found.
    fn send_groups(
        &mut self,
        switch: &mut Switch,
        out: &mut Output,
        question: &Question<'_>,
        kind: Kind,
    ) -> Need {
        let gids = switch.gids();
        let total = gids.total();
        // A list of which a part is not known is no list.
        if self.client.has_failed() || total > i32::MAX as u64 {
            switch.taken(&self.client);
            return self.close(End::Failed);
        }
        if self.groups.sent() == 0 {
            if total == 0 {
                switch.taken(&self.client);
                self.client.begin();
                self.state = State::IsUser;
                return self.ask(switch, out, question, kind);
            }
            if let Ok(len) = nscd::encode_initgroups(total as u32, out.room()) {
                out.add(len);
            }
        }
        let ended = self.groups.send(gids, u64::MAX, u32::to_ne_bytes, out);
        switch.taken(&self.client);
        match ended {
            None => self.broken(out),
            Some(true) => self.close(End::Answered),
            Some(false) => {
                self.client.begin();
                Need::Flush
            }
        }
    }
}
