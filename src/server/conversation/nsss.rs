//! One connection's conversation, without its input and output: bytes in, bytes out, and what
//! it waits for. Whoever moves the bytes may block, or serve others meanwhile.

use crate::backend::switch::Switch;
use crate::backend::{Client, Outcome};
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
    client: Client,
    idle_millis: u32,
}

#[derive(Clone, Copy)]
enum State {
    /// Between requests, or in one.
    Reading,
    /// The request at the front of the input is being looked up.
    Asking,
    /// A record is being sent in pieces.
    Record,
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
            self.client.begin();
            self.groups = Groups::NONE;
            self.state = State::Asking;
        }
        let max = match request {
            Request::GroupList { max, .. } => max,
            _ => 0,
        };
        match switch.ask(&mut self.client, &request, self.groups.sent()) {
            Outcome::Pending => Need::Turn,
            Outcome::Found => self.send_record(switch, out, len),
            Outcome::Groups => self.send_groups(switch, out, max, len),
            // A list that was begun cannot become a failure.
            _ if self.groups.sent() > 0 => self.close(End::Broken),
            Outcome::Done => self.answer(out, status::OK, len),
            Outcome::NotFound => self.answer(out, status::NOT_FOUND, len),
            Outcome::Failed(errno) => self.answer(out, errno, len),
            Outcome::Dead | Outcome::Elsewhere => {
                self.answer(out, Errno::IO.raw_os_error() as u8, len)
            }
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

    /// Sends a record whole if it fits, else its head and as much of its strings as fits.
    fn send_record(&mut self, switch: &mut Switch, out: &mut Output, len: usize) -> Need {
        let whole = match switch.record(&self.client) {
            Some(record) => nsss::encode(&record, out.room()),
            None => Err(EncodeError::NoSpace(0)),
        };
        match whole {
            Ok(size) => {
                out.add(size);
                switch.taken(&self.client);
                self.take(len);
                return Need::Flush;
            }
            Err(EncodeError::NoSpace(_)) => {}
            Err(_) => return self.answer(out, Errno::NAMETOOLONG.raw_os_error() as u8, len),
        }
        let Some(head) = switch.long(&mut self.client) else {
            return self.close(End::Broken);
        };
        match head.encode(out.room()) {
            Ok(size) => out.add(size),
            Err(_) => return self.close(End::Broken),
        }
        self.take(len);
        self.state = State::Record;
        self.send_area(switch, out)
    }

    fn send_area(&mut self, switch: &mut Switch, out: &mut Output) -> Need {
        match switch.area(&mut self.client, out.room()) {
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

    /// Sends the groups of a user, from where the last piece ended.
    fn send_groups(&mut self, switch: &mut Switch, out: &mut Output, max: u64, len: usize) -> Need {
        let gids = switch.gids();
        if self.groups.sent() == 0 {
            let head = GroupListHead { max, total: gids.total() };
            if let Ok(size) = head.encode(out.room()) {
                out.add(size);
            }
        }
        let ended = self.groups.send(gids, max, u32::to_be_bytes, out);
        switch.taken(&self.client);
        match ended {
            None => return self.close(End::Broken),
            Some(true) => self.take(len),
            Some(false) => {
                self.client.begin();
                self.state = State::Asking;
            }
        }
        Need::Flush
    }
}

impl Conversation for Exchange {
    fn new(rights: Rights, number: u32, switch: &Switch) -> Self {
        let mut client = Client::new(rights, number);
        switch.admit(&mut client);
        Exchange {
            input: [0; INPUT],
            have: 0,
            state: State::Reading,
            groups: Groups::NONE,
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
        self.client.turn
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
        self.client.turn = turn;
        match self.state {
            State::Closing(end) => Need::Close(end),
            State::Reading | State::Asking => self.read(switch, out),
            State::Record => self.send_area(switch, out),
        }
    }
}

fn proto_errno() -> u8 {
    Errno::PROTO.raw_os_error() as u8
}
