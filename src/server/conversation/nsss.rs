//! One connection's conversation, without its input and output: bytes in, bytes out, and what
//! it waits for. Whoever moves the bytes may block, or serve others meanwhile.

use crate::backend::gids::Gids;
use crate::backend::switch::{Answer, ClientState, Found, Pieces, Switch};
use crate::server::conversation::groups::Groups;
use crate::server::conversation::{Conversation, End, Need, Output, Wait};
use crate::sys::access::Rights;
use crate::sys::clock::millis;
use nssproto::EncodeError;
use nssproto::nsss::{self, GroupListHead, Request, RequestError, status};
use rustix::io::Errno;

/// What a connection reads at a time: a request and a good part of those written ahead.
const INPUT: usize = 512;

/// The state of a connection.
pub struct Exchange {
    input: [u8; INPUT],
    have: usize,
    state: State,
    groups: Groups,
    client: ClientState,
    idle_millis: u32,
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

impl Exchange {
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
            Err(RequestError::InvalidName { len }) => return self.answer(out, proto_errno(), len),
            Err(RequestError::NameTooLong) => {
                out.push(proto_errno());
                return self.close(End::Protocol);
            }
            Err(_) => return self.close(End::Protocol),
        };
        let (request, len) = (took.value, took.len);
        if let Request::SetTimeout { millis } = request {
            self.idle_millis = millis;
            return self.answer(out, status::OK, len);
        }
        if let State::Reading = self.state {
            self.groups = Groups::NONE;
            self.state = State::Asking;
        }
        let max = match request {
            Request::GroupList { max, .. } => max,
            _ => 0,
        };
        let (client, groups) = (&mut self.client, &mut self.groups);
        // What was found is given back before the next step.
        let step = match switch.ask(client, &request, groups.sent()) {
            Answer::Pending => NextStep::Turn,
            Answer::Found(found) => begin_record(found, out),
            Answer::Groups(found) => send_groups(found.gids(), groups, max, out),
            // A list that was begun cannot become a failure.
            _ if groups.sent() > 0 => NextStep::Break,
            Answer::Done => NextStep::Status(status::OK),
            Answer::NotFound => NextStep::Status(status::NOT_FOUND),
            Answer::Failed(errno) => NextStep::Status(errno),
            Answer::NeedsWorker => NextStep::Status(Errno::IO.raw_os_error() as u8),
        };
        match step {
            NextStep::Turn => Need::Turn,
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
fn begin_record(found: Found<'_>, out: &mut Output) -> NextStep {
    if let Some(record) = found.record() {
        match nsss::encode(&record, out.room()) {
            Ok(size) => {
                out.add(size);
                return NextStep::Done;
            }
            Err(EncodeError::NoSpace(_)) => {}
            Err(_) => return NextStep::Status(Errno::NAMETOOLONG.raw_os_error() as u8),
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

impl Conversation for Exchange {
    fn new(rights: Rights, number: u32, switch: &Switch) -> Self {
        Exchange {
            input: [0; INPUT],
            have: 0,
            state: State::Reading,
            groups: Groups::NONE,
            client: switch.new_client(rights, number),
            idle_millis: 0,
        }
    }

    fn room(&mut self) -> &mut [u8] {
        self.input.get_mut(self.have..).unwrap_or_default()
    }

    fn filled(&mut self, len: usize) {
        self.have = (self.have + len).min(INPUT);
    }

    #[cfg(feature = "nscd")]
    fn request(&self) -> &[u8] {
        self.input.get(..self.have).unwrap_or_default()
    }

    fn waits_for_input(&self) -> bool {
        matches!(self.state, State::Reading)
    }

    /// Replies end here with a status, and a client that gets none has lost its server anyway.
    fn drains(&self) -> bool {
        false
    }

    fn turn_left(&self) -> u64 {
        self.client.budget
    }

    fn patience(&self, wait: Wait, client_millis: u32) -> Option<u64> {
        let limit = match wait {
            Wait::Turn => 0,
            Wait::Input if self.is_idle() => self.idle_millis,
            Wait::Input | Wait::Output => client_millis,
        };
        (limit != 0).then(|| millis() + u64::from(limit))
    }

    fn leave(&self, switch: &mut Switch) {
        switch.dismiss(&self.client);
    }

    fn go_on(&mut self, switch: &mut Switch, out: &mut Output, turn: u64) -> Need {
        self.client.budget = turn;
        match self.state {
            State::Closing(end) => Need::Close(end),
            State::Reading | State::Asking => self.read(switch, out),
            State::Record(_) => self.send_piece(switch, out),
        }
    }
}

fn proto_errno() -> u8 {
    Errno::PROTO.raw_os_error() as u8
}
