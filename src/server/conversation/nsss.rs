//! A client of the nsss protocol, without input and output: requests and replies until it leaves.
//! Whoever moves the bytes may block, or serve others meanwhile.

use super::groups::Groups;
use super::hidden::Hidden;
use super::{Conversation, End, Need, Output, Patience, Wait, Which};
use crate::backend::gids::Gids;
use crate::backend::switch::{Answer, ClientState, Found, Pieces, Switch};
use crate::limits::NSCD_ANSWER_MILLIS;
use crate::sys::clock::{NEVER, millis};
use nssproto::entry::Db;
use nssproto::nsss::{self, GroupListHead, Request, RequestError, status};
use nssproto::{Decoded, EncodeError};
use rustix::io::Errno;

/// What a connection reads at a time: a request and a good part of those written ahead.
const INPUT: usize = 512;

/// The state of a connection.
pub struct Nsss {
    input: [u8; INPUT],
    have: usize,
    state: State,
    groups: Groups,
    /// What hides the password of the record in hand, if its client may not know it.
    hidden: Option<Hidden>,
    lists: Lists,
    client: ClientState,
    idle_millis: u32,
}

/// What a request is where it matters who answers it.
#[derive(Clone, Copy)]
enum Kind {
    /// The next entry of an enumeration.
    Next(Db),
    /// The beginning or the end of one.
    Restart(Db),
    /// What no other request has to do with.
    Lookup(Option<Db>),
}

impl Kind {
    fn of(request: &Request<'_>) -> Self {
        match *request {
            Request::Next(db) => Kind::Next(db),
            Request::Rewind(db) | Request::End(db) => Kind::Restart(db),
            _ => Kind::Lookup(request.db()),
        }
    }

    fn db(self) -> Option<Db> {
        match self {
            Kind::Next(db) | Kind::Restart(db) => Some(db),
            Kind::Lookup(db) => db,
        }
    }
}

/// The enumerations that a worker has: it is the same one from entry to entry.
#[derive(Clone, Copy, Default)]
struct Lists {
    /// A bit for each database whose enumeration was begun there.
    begun: u8,
    /// The worker is lost, and so is where they stood.
    lost: bool,
}

impl Lists {
    fn bit(db: Db) -> u8 {
        match db {
            Db::Passwd => 1,
            Db::Group => 2,
            Db::Shadow => 4,
        }
    }

    fn has(self, db: Db) -> bool {
        self.begun & Lists::bit(db) != 0
    }

    fn begin(&mut self, db: Db) {
        self.begun |= Lists::bit(db);
    }

    fn end(&mut self, db: Db) {
        self.begun &= !Lists::bit(db);
        self.lost &= self.begun != 0;
    }
}

enum State {
    /// Between requests, or in one.
    Reading,
    /// The request at the front of the input is being looked up.
    Asking,
    /// A record is being sent in pieces.
    Record(Pieces),
    /// Ends once the output is sent.
    Closing(End),
}

impl Nsss {
    /// Whether it is between two requests.
    pub fn is_idle(&self) -> bool {
        self.have == 0 && matches!(self.state, State::Reading)
    }

    /// Milliseconds that it may stay between two requests; 0: no limit.
    pub fn idle_millis(&self) -> u32 {
        self.idle_millis
    }

    /// Goes on with the request at the front of the input, once it is complete.
    fn read(&mut self, switch: &mut Switch, out: &mut Output) -> Need {
        let took = match Request::decode(self.input.get(..self.have).unwrap_or_default()) {
            Ok(took) => took,
            Err(RequestError::Incomplete(_)) => return Need::Input,
            Err(RequestError::InvalidName { len }) => return self.fail(out, Errno::PROTO, len),
            Err(RequestError::NameTooLong) => {
                out.push(status_of(Errno::PROTO));
                return self.close(End::Protocol);
            }
            Err(_) => return self.close(End::Protocol),
        };
        let (request, len) = (took.value, took.len);
        if let Request::SetTimeout { millis } = request {
            self.idle_millis = millis;
            return self.answer(out, status::OK, len);
        }
        let kind = Kind::of(&request);
        let max = match request {
            Request::GroupList { max, .. } => max,
            _ => 0,
        };
        if let State::Reading = self.state {
            match kind {
                Kind::Next(db) | Kind::Restart(db) if self.lists.has(db) && !self.lists.lost => {
                    self.state = State::Asking;
                    return Need::Worker(Which::Kept);
                }
                Kind::Next(db) if self.lists.has(db) => return self.fail(out, Errno::IO, len),
                Kind::Restart(db) => self.lists.end(db),
                _ => {}
            }
            self.groups = Groups::NONE;
            self.state = State::Asking;
        }
        let Nsss { client, groups, hidden, .. } = self;
        // What was found is given back before the next step.
        let step = match switch.ask(client, &request, groups.sent()) {
            Answer::Pending => NextStep::Turn,
            Answer::Found(found) => begin_record(found, out, kind, hidden),
            Answer::Groups(found) => send_groups(found.gids(), groups, max, out),
            // A list that was begun cannot become a failure.
            _ if groups.sent() > 0 => NextStep::Break,
            Answer::Done => NextStep::Status(status::OK),
            Answer::NotFound => NextStep::Status(status::NOT_FOUND),
            Answer::Failed(errno) => NextStep::Status(errno),
            Answer::NeedsWorker => NextStep::Worker,
        };
        match step {
            NextStep::Turn => Need::Turn,
            NextStep::Worker => self.ask_worker(kind, out, len),
            NextStep::Flush => Need::Flush,
            NextStep::Status(status) => self.answer(out, status, len),
            NextStep::Done => {
                self.take(len);
                Need::Flush
            }
            NextStep::SendPieces(pieces) => {
                self.take(len);
                self.state = State::Record(pieces);
                self.send_piece(switch, out)
            }
            NextStep::Break => self.close(End::Broken),
        }
    }

    /// Only a source that may block knows more.
    fn ask_worker(&mut self, kind: Kind, out: &mut Output, len: usize) -> Need {
        match kind {
            // Nothing was begun there that could end.
            Kind::Restart(_) => self.answer(out, status::OK, len),
            // Secrets are told to us, and not to him.
            _ if kind.db() == Some(Db::Shadow) && !self.client.rights.are_ours() => {
                self.fail(out, Errno::ACCESS, len)
            }
            Kind::Next(_) if self.lists.lost => self.fail(out, Errno::IO, len),
            Kind::Next(db) => {
                let first = self.lists.begun == 0;
                self.lists.begin(db);
                Need::Worker(if first { Which::New } else { Which::Kept })
            }
            Kind::Lookup(_) => Need::Worker(Which::Any),
        }
    }

    /// Answers a failure to the request that is `len` bytes long.
    fn fail(&mut self, out: &mut Output, errno: Errno, len: usize) -> Need {
        self.answer(out, status_of(errno), len)
    }

    /// Answers a bare status to the request that is `len` bytes long.
    fn answer(&mut self, out: &mut Output, status: u8, len: usize) -> Need {
        out.push(status);
        self.take(len);
        Need::Flush
    }

    /// The request at the front of the input is done.
    fn take(&mut self, len: usize) {
        self.input.copy_within(len.min(self.have)..self.have, 0);
        self.have = self.have.saturating_sub(len);
        self.state = State::Reading;
    }

    fn close(&mut self, end: End) -> Need {
        self.state = State::Closing(end);
        Need::Close(end)
    }

    /// Sends as much as fits of a record that is taken in pieces.
    fn send_piece(&mut self, switch: &mut Switch, out: &mut Output) -> Need {
        let State::Record(pieces) = &mut self.state else { return self.close(End::Broken) };
        match pieces.next(switch, &mut self.client, out.room()) {
            Ok((len, ended)) => {
                if let Some(hidden) = &mut self.hidden {
                    hidden.pass(out.room().get_mut(..len).unwrap_or_default());
                }
                out.add(len);
                if ended {
                    self.state = State::Reading;
                }
                Need::Flush
            }
            Err(_) => {
                // What is in hand must not go out: with it, the record might look whole.
                out.clear();
                self.close(End::Broken)
            }
        }
    }
}

/// What is done next about a request.
enum NextStep {
    /// It goes on when others had their turn.
    Turn,
    /// A worker answers it, if anybody may.
    Worker,
    /// It goes on when the output has been sent.
    Flush,
    /// A bare status is its answer.
    Status(u8),
    /// All of its answer is in the output.
    Done,
    /// The head of a record is, and its strings follow.
    SendPieces(Pieces),
    /// Its answer cannot be ended.
    Break,
}

/// Sends a record whole if it fits, else its head.
fn begin_record(
    found: Found<'_>,
    out: &mut Output,
    kind: Kind,
    hidden: &mut Option<Hidden>,
) -> NextStep {
    *hidden = found.is_secret().then_some(Hidden::START);
    if hidden.is_some() && kind.db() == Some(Db::Shadow) {
        return NextStep::Status(status_of(Errno::ACCESS));
    }
    if let Some(record) = found.record() {
        match nsss::encode(&record, out.room()) {
            Ok(size) => {
                if let Some(hidden) = hidden {
                    let strings = size.saturating_sub(record.strings().area_len());
                    hidden.pass(out.room().get_mut(strings..size).unwrap_or_default());
                }
                out.add(size);
                return NextStep::Done;
            }
            Err(EncodeError::NoSpace(_)) => {}
            Err(_) => return NextStep::Status(status_of(Errno::NAMETOOLONG)),
        }
    }
    let Some((head, pieces)) = found.into_pieces() else { return NextStep::Break };
    match head.encode(out.room()) {
        Ok(size) => out.add(size),
        Err(_) => return NextStep::Break,
    }
    NextStep::SendPieces(pieces)
}

/// Sends the groups of a user, from where the last piece ended.
fn send_groups(gids: &Gids, groups: &mut Groups, max: u64, out: &mut Output) -> NextStep {
    if groups.sent() == 0 {
        let head = GroupListHead { max, total: gids.total() };
        if let Ok(size) = head.encode(out.room()) {
            out.add(size);
        }
    }
    match groups.send(gids, max, u32::to_be_bytes, out) {
        None => NextStep::Break,
        Some(true) => NextStep::Done,
        Some(false) => NextStep::Flush,
    }
}

impl Conversation for Nsss {
    fn new(client: ClientState) -> Self {
        Nsss {
            input: [0; INPUT],
            have: 0,
            state: State::Reading,
            groups: Groups::NONE,
            hidden: None,
            lists: Lists::default(),
            client,
            idle_millis: 0,
        }
    }

    fn room(&mut self) -> &mut [u8] {
        self.input.get_mut(self.have..).unwrap_or_default()
    }

    fn filled(&mut self, len: usize) {
        self.have = (self.have + len).min(INPUT);
    }

    fn waits_for_input(&self) -> bool {
        matches!(self.state, State::Reading)
    }

    fn budget_left(&self) -> u64 {
        self.client.budget
    }

    fn deadline(&self, wait: Wait, patience: Patience) -> u64 {
        let limit = match wait {
            Wait::Turn => 0,
            Wait::Worker => NSCD_ANSWER_MILLIS,
            Wait::Source => patience.lookup_millis,
            Wait::Input if self.is_idle() => self.idle_millis,
            Wait::Input | Wait::Output => patience.client_millis,
        };
        if limit == 0 { NEVER } else { millis() + u64::from(limit) }
    }

    fn leave(&self, switch: &mut Switch) {
        switch.dismiss(&self.client);
    }

    fn close_idle(&mut self) -> bool {
        self.client.close_idle()
    }

    fn go_on(&mut self, switch: &mut Switch, out: &mut Output, budget: u64) -> Need {
        self.client.budget = budget;
        match self.state {
            State::Closing(end) => Need::Close(end),
            State::Reading | State::Asking => self.read(switch, out),
            State::Record(_) => self.send_piece(switch, out),
        }
    }

    fn request(&self) -> &[u8] {
        let input = self.input.get(..self.have).unwrap_or_default();
        let len = Request::decode(input).map_or(0, |took| took.len);
        input.get(..len).unwrap_or_default()
    }

    fn answered(&mut self) {
        let input = self.input.get(..self.have).unwrap_or_default();
        let Ok(Decoded { value, len }) = Request::decode(input) else { return };
        if let Request::End(db) = value {
            self.lists.end(db);
        }
        self.take(len);
    }

    fn unanswered(&mut self, out: &mut Output) -> Need {
        let input = self.input.get(..self.have).unwrap_or_default();
        let Ok(Decoded { value, len }) = Request::decode(input) else {
            return self.close(End::Failed);
        };
        self.lists.lost |= matches!(Kind::of(&value), Kind::Next(_) | Kind::Restart(_));
        self.fail(out, Errno::IO, len)
    }

    fn keeps_worker(&self) -> bool {
        self.lists.begun != 0
    }
}

fn status_of(errno: Errno) -> u8 {
    errno.raw_os_error() as u8
}
