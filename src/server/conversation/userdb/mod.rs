//! A client of systemd's user database, without input and output: calls and their replies, in order.
//!
//! What a call asks is read from it again each time it goes on; what is kept meanwhile is how far its
//! answer has come. The end of each reply is written when it is known whether another one follows,
//! so that nothing is held back for it.

mod asked;
mod members;
mod users;

use super::{Conversation, End, Need, Output, Patience, Wait, Which};
use crate::backend::switch::{Answer, ClientState, Switch};
use crate::limits::{NSCD_ANSWER_MILLIS, SLOW_REPLY_MILLIS, USERDB_IDLE_MILLIS};
use crate::limits::{USERDB_LIST_MILLIS, USERDB_WHOLE_LIST_MILLIS};
use crate::sys::access::Rights;
use crate::sys::clock::{NEVER, millis};
use asked::{Audience, NAME_ROOM, NotTold, Wanted, by_id, keys_fit, name_of, same_name, wanted};
use members::{Gids, Members};
use nssproto::DecodeError;
use nssproto::entry::Db;
use nssproto::nsss::Request;
use nssproto::userdb::record::end;
use nssproto::userdb::{Error, Question, encode_description, encode_info};
use nssproto::varlink::{CALL_MAX, Call};
use std::sync::OnceLock;
use users::User;

/// What its replies call this version of us.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The state of a connection.
pub struct Userdb {
    input: [u8; CALL_MAX],
    have: usize,
    /// When it came, or its last call was answered, or the first byte of the next one was there.
    since: u64,
    /// A call of it was answered.
    answered: bool,
    reply: Reply,
}

/// How far the answer to the call in hand has come.
struct Reply {
    stage: Stage,
    /// A reply was written but for its end.
    open: bool,
    /// There may be many replies.
    is_list: bool,
    /// An enumeration was begun in the sources, and is to be ended there.
    lists: Option<Db>,
    /// Who asks.
    audience: Audience,
    client: ClientState,
}

#[expect(clippy::large_enum_variant, reason = "nothing is allocated while it serves")]
enum Stage {
    /// The call is not complete.
    Reading,
    /// Nothing was asked yet.
    Beginning,
    /// The record by one key, or the next one.
    Asking,
    /// Nobody has the name; whether somebody has the number.
    OtherKey,
    /// A user was found.
    User(User),
    /// The members of a group are told.
    Members(Members),
    /// The groups of a user are told.
    Gids(Gids),
    /// All was told, or a source has failed: the end is to be written.
    Ending { failed: bool },
    /// Ends once the output is sent.
    Closing(End),
}

/// What comes next.
enum Step {
    /// The next step, at once.
    Again,
    /// It is waited for this.
    Need(Need),
    /// All was told.
    Done,
    /// A source failed.
    Failed,
    /// There is an error to tell, and nothing was told.
    Refused(Error<'static>),
}

/// Room with which a reply is gone on with; each ending fits, and most replies.
const REPLY_ROOM: usize = 2048;

/// The name of the service: one for the process, since its clients know it by one socket.
static SERVICE: OnceLock<Box<str>> = OnceLock::new();

/// What systemd's userdbd is asked as, which asks all services and the machine's own files.
pub const MULTIPLEXER: &str = "io.systemd.Multiplexer";

/// Names the service, once and before anybody is served.
pub fn name_service(name: &str) {
    let _ = SERVICE.set(name.into());
}

fn service() -> &'static str {
    SERVICE.get().map_or("", |name| name)
}

impl Conversation for Userdb {
    fn new(mut client: ClientState) -> Self {
        let peer = match client.rights {
            Rights::Peer(peer) => Some(peer),
            _ => None,
        };
        // What is told of passwd and group everybody may know: no password is.
        if let Some(peer) = peer {
            client.rights = Rights::Public(peer);
        }
        let reply = Reply {
            stage: Stage::Reading,
            open: false,
            is_list: false,
            lists: None,
            audience: Audience { peer, judged: None, asks_us_alone: false },
            client,
        };
        Userdb { input: [0; CALL_MAX], have: 0, since: millis(), answered: false, reply }
    }

    fn room(&mut self) -> &mut [u8] {
        self.input.get_mut(self.have..).unwrap_or_default()
    }

    fn filled(&mut self, len: usize) {
        if self.have == 0 && len > 0 {
            self.since = millis();
        }
        self.have = (self.have + len).min(CALL_MAX);
    }

    fn request(&self) -> &[u8] {
        let input = self.input.get(..self.have).unwrap_or_default();
        let len = Call::decode(input).map_or(0, |call| call.len);
        input.get(..len).unwrap_or_default()
    }

    fn waits_for_input(&self) -> bool {
        matches!(self.reply.stage, Stage::Reading)
    }

    fn has_asked(&self) -> bool {
        let input = self.input.get(..self.have).unwrap_or_default();
        !matches!(Call::decode(input), Err(DecodeError::Incomplete(_)))
    }

    fn drains(&self) -> bool {
        true
    }

    fn budget_left(&self) -> u64 {
        self.reply.client.budget
    }

    fn deadline(&self, wait: Wait, patience: Patience) -> u64 {
        let Patience { client_millis, lookup_millis } = patience;
        let limit = match wait {
            // Others are served before it.
            Wait::Turn if self.waits_for_input() => {
                return self.since + u64::from(NSCD_ANSWER_MILLIS);
            }
            Wait::Turn => return NEVER,
            // Since it began: who sends byte by byte has no more time than others.
            Wait::Input if self.have > 0 || !self.answered => {
                return self.since + u64::from(client_millis);
            }
            Wait::Input => return self.since + u64::from(USERDB_IDLE_MILLIS),
            Wait::Worker => NSCD_ANSWER_MILLIS,
            Wait::Source => lookup_millis,
            // A program may do something with each entry of a list, and is told nothing of an end.
            Wait::Output if self.reply.is_list => USERDB_LIST_MILLIS,
            Wait::Output => client_millis,
        };
        millis() + u64::from(limit)
    }

    fn leave(&self, switch: &mut Switch) {
        switch.dismiss(&self.reply.client);
    }

    fn close_idle(&mut self) -> bool {
        self.reply.client.close_idle()
    }

    fn is_long(&self) -> bool {
        self.reply.is_list
    }

    fn reply_millis(&self) -> u32 {
        if self.reply.is_list { USERDB_WHOLE_LIST_MILLIS } else { SLOW_REPLY_MILLIS }
    }

    fn answered(&mut self) {
        self.take(self.request().len());
    }

    fn unanswered(&mut self, out: &mut Output) -> Need {
        let len = self.request().len();
        let need = self.reply.refuse(&Error::ServiceNotAvailable, out);
        self.answer(len, need)
    }

    fn go_on(&mut self, switch: &mut Switch, out: &mut Output, budget: u64) -> Need {
        self.reply.client.budget = budget;
        if let Stage::Closing(end) = self.reply.stage {
            return Need::Close(end);
        }
        let input = self.input.get(..self.have).unwrap_or_default();
        let call = match Call::decode(input) {
            Ok(call) => call,
            Err(DecodeError::Incomplete(_)) => return Need::Input,
            Err(_) => return self.reply.close(End::Protocol),
        };
        if call.value.upgrade {
            return self.reply.close(End::Protocol);
        }
        if let Stage::Reading = self.reply.stage {
            self.reply.stage = Stage::Beginning;
        }
        let own = if self.reply.audience.asks_us_alone { MULTIPLEXER } else { service() };
        let need = match Question::decode(&call.value, own) {
            // Whatever it asks, nobody is told.
            _ if call.value.oneway => None,
            Err(error) => self.reply.refuse(&error, out),
            Ok(question) => self.reply.go_on(&question, switch, out),
        };
        let len = call.len;
        self.answer(len, need)
    }
}

impl Userdb {
    /// A connection of somebody who takes this for systemd's userdbd.
    pub fn multiplexer(client: ClientState) -> Self {
        let mut new = Userdb::new(client);
        new.reply.audience.asks_us_alone = true;
        new
    }

    /// The call at the front of the input is done, unless it has a need.
    fn answer(&mut self, len: usize, need: Option<Need>) -> Need {
        if need.is_none() {
            self.take(len);
        }
        need.unwrap_or(Need::Flush)
    }

    fn take(&mut self, len: usize) {
        self.input.copy_within(len.min(self.have)..self.have, 0);
        self.have = self.have.saturating_sub(len);
        (self.since, self.answered) = (millis(), true);
        let reply = &mut self.reply;
        (reply.stage, reply.open, reply.is_list, reply.lists) =
            (Stage::Reading, false, false, None);
        reply.client.set_lists(false);
    }
}

impl Reply {
    fn close(&mut self, end: End) -> Need {
        self.stage = Stage::Closing(end);
        Need::Close(end)
    }

    /// Ends in the middle of a reply. What is in hand must not go out: with it, the reply might look
    /// whole.
    fn broken(&mut self, out: &mut Output) -> Need {
        out.clear();
        self.close(End::Broken)
    }

    /// Tells an error, where nothing was told; `None`: it was.
    fn refuse(&mut self, error: &Error<'_>, out: &mut Output) -> Option<Need> {
        match error.encode(out.room()) {
            Ok(len) => {
                out.add(len);
                None
            }
            Err(_) if !out.pending().is_empty() => Some(Need::Flush),
            // It would echo a name that is too long for that.
            Err(_) => Some(self.close(End::Protocol)),
        }
    }

    /// Goes on with a question as far as it can; `None`: it is answered.
    fn go_on(
        &mut self,
        question: &Question<'_>,
        switch: &mut Switch,
        out: &mut Output,
    ) -> Option<Need> {
        loop {
            if out.room().len() < REPLY_ROOM && !out.pending().is_empty() {
                return Some(Need::Flush);
            }
            let step = match &mut self.stage {
                Stage::Reading | Stage::Beginning => self.begin(question, out),
                Stage::Asking => self.ask(question, switch, out),
                Stage::OtherKey => self.ask_other_key(question, switch),
                Stage::User(_) => self.tell_user(question, switch, out),
                Stage::Members(_) => self.tell_members(question, switch, out),
                Stage::Gids(_) => self.tell_groups(question, switch, out),
                Stage::Ending { failed } => {
                    let failed = *failed;
                    return self.finish(failed, switch, out);
                }
                Stage::Closing(end) => return Some(Need::Close(*end)),
            };
            match step {
                Step::Again => {}
                Step::Need(need) => return Some(need),
                Step::Done => self.stage = Stage::Ending { failed: false },
                Step::Failed => self.stage = Stage::Ending { failed: true },
                Step::Refused(error) => return self.refuse(&error, out),
            }
        }
    }

    /// What needs no source is told at once.
    fn begin(&mut self, question: &Question<'_>, out: &mut Output) -> Step {
        self.audience.judged = None;
        let written = match question {
            Question::Info => encode_info("nssbox", "userdb", VERSION, out.room()),
            Question::Description(text) => encode_description(text, out.room()),
            Question::Memberships { user: Some(user), group: None } => {
                self.is_list = true;
                if name_of(*user, &mut [0; NAME_ROOM]).is_none() {
                    return Step::Done;
                }
                self.stage = Stage::Gids(Gids::default());
                return Step::Again;
            }
            _ => {
                self.is_list = matches!(question, Question::Memberships { .. });
                self.stage = Stage::Asking;
                return Step::Again;
            }
        };
        match written {
            Ok(len) => {
                out.add(len);
                self.open = true;
                Step::Done
            }
            Err(_) => Step::Refused(Error::ServiceNotAvailable),
        }
    }

    /// Asks for what is next: the record by a key, or another one of the list.
    fn ask(&mut self, question: &Question<'_>, switch: &mut Switch, out: &mut Output) -> Step {
        let mut room = [0; NAME_ROOM];
        let request = match wanted(question, &mut room) {
            Wanted::One(request) => request,
            Wanted::All(db) => {
                if self.lists.is_none() {
                    self.client.set_lists(true);
                }
                (self.lists, self.is_list) = (Some(db), true);
                Request::Next(db)
            }
            Wanted::Nobody => return self.not_found(question),
        };
        let Reply { client, audience, open, stage, .. } = self;
        let next = match switch.ask(client, &request, 0) {
            Answer::Found(found) => match question {
                Question::User(keys) => users::found(found, keys, audience, stage, (*open, out)),
                Question::Group(keys) => members::group(found, keys, audience, *open, out),
                _ => members::begin(found, audience, stage),
            },
            Answer::Pending => return Step::Need(Need::Turn),
            Answer::NeedsWorker => return Step::Need(Need::Worker(Which::Any)),
            Answer::NotFound => Found::None,
            Answer::Failed(_) | Answer::Done | Answer::Groups(_) => Found::Not(NotTold::Failed),
        };
        match next {
            Found::None | Found::Not(NotTold::OtherName) => self.not_found(question),
            found => self.take_found(found),
        }
    }

    /// What becomes of a record that was found.
    fn take_found(&mut self, found: Found) -> Step {
        match found {
            Found::Told => self.open = true,
            Found::Begun => return Step::Again,
            Found::Not(NotTold::Failed) => return Step::Failed,
            Found::Not(NotTold::Conflicts) => return Step::Refused(Error::ConflictingRecordFound),
            Found::Not(NotTold::Hidden) if self.lists.is_some() => {}
            Found::Not(NotTold::Hidden | NotTold::OtherName) | Found::None => return Step::Done,
        }
        match self.stage {
            Stage::Asking if self.lists.is_none() => Step::Done,
            _ => Step::Again,
        }
    }

    /// Nobody has the name or number; if both were asked for, the number may still be somebody's.
    fn not_found(&mut self, question: &Question<'_>) -> Step {
        if self.client.has_failed() {
            return Step::Failed;
        }
        match question {
            Question::User(keys) | Question::Group(keys)
                if self.lists.is_none() && keys.name.is_some() && keys.id.is_some() =>
            {
                self.stage = Stage::OtherKey;
                Step::Again
            }
            _ => Step::Done,
        }
    }

    fn ask_other_key(&mut self, question: &Question<'_>, switch: &mut Switch) -> Step {
        let Some(request) = by_id(question) else { return Step::Done };
        let Reply { client, audience, .. } = self;
        let found = match switch.ask(client, &request, 0) {
            Answer::Found(mut found) => match audience.may_be_told(&mut found) {
                Ok(()) => true,
                Err(NotTold::Hidden) => false,
                Err(_) => return Step::Failed,
            },
            Answer::Pending => return Step::Need(Need::Turn),
            Answer::NeedsWorker => return Step::Need(Need::Worker(Which::Any)),
            Answer::NotFound => false,
            _ => return Step::Failed,
        };
        if self.client.has_failed() {
            return Step::Failed;
        }
        if found { Step::Refused(Error::ConflictingRecordFound) } else { Step::Done }
    }

    /// Ends the reply that is open, if there is one: another one follows.
    fn go_on_telling(&mut self, out: &mut Output) {
        if self.open {
            out.put(end(true));
        }
        self.open = false;
    }

    /// Ends the answer: with an error, if a source `failed` or nothing was told.
    fn finish(&mut self, failed: bool, switch: &mut Switch, out: &mut Output) -> Option<Need> {
        self.client.set_lists(false);
        if let Some(db) = self.lists.take() {
            switch.ask(&mut self.client, &Request::End(db), 0);
        }
        self.is_list = false;
        if self.open && !failed {
            self.open = false;
            out.put(end(false));
            return None;
        }
        self.go_on_telling(out);
        let error = if failed { Error::ServiceNotAvailable } else { Error::NoRecordFound };
        self.refuse(&error, out)
    }
}

/// What has become of what was asked for.
enum Found {
    /// There is none, or no further one.
    None,
    /// It was told, but for the end of the reply.
    Told,
    /// There is one, and it is not told.
    Not(NotTold),
    /// It is told bit by bit: that is the next stage.
    Begun,
}
