//! Clients served in this process: one epoll loop over a table of connections.
//!
//! Nobody waits for anybody: files are read in turns, a client that stops reading or writing
//! keeps its own place only, and that for a second. A client that asks nothing costs its row of
//! the table; the output that it did not take yet is kept in a page of its own, which is touched
//! only then.

#[cfg(feature = "nscd")]
use super::desk::{Desk, Job};
use super::signals::{Signal, Signals};
use super::{Door, Guest, PAUSE};
use crate::backend::switch::Switch;
use crate::limits::{REPLY_PIECE, TURN};
use crate::server::conversation::{Conversation, End, Need, Output, Wait};
use crate::server::drain::drain;
use crate::sys::clock::{millis, timespec};
use crate::sys::error::{Error, unable};
use crate::sys::no_alloc;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

/// Events taken at a time.
const EVENTS: usize = 64;

const SIGNAL: u64 = u64::MAX;
const LISTENER: u64 = u64::MAX - 1;
#[cfg(feature = "nscd")]
const DESK: u64 = u64::MAX - 2;
const PARENT: u64 = u64::MAX - 3;

/// What there is besides the clients.
pub struct Beside {
    /// Who answers what may block.
    #[cfg(feature = "nscd")]
    pub desk: Option<Desk>,
    /// Readable when the process has ended with which this one ends.
    pub parent: Option<OwnedFd>,
}

impl Beside {
    /// Nothing.
    #[cfg(feature = "ipcserver")]
    pub fn none() -> Self {
        Beside {
            #[cfg(feature = "nscd")]
            desk: None,
            parent: None,
        }
    }
}

/// A client's row of the table.
struct Connection<C> {
    socket: OwnedFd,
    conversation: C,
    who: Option<(u32, u32)>,
    /// Tells it from those that had its row before.
    serial: u32,
    /// What of the output the client did not take yet: a range of its page.
    unsent: (usize, usize),
    /// When its patience or ours ends, in milliseconds; `None`: never.
    deadline: Option<u64>,
    /// What epoll tells of it: room for output if set, else input; `None`: nothing yet.
    watched: Option<bool>,
    /// Is in the queue of those whose turn was over.
    queued: bool,
    /// Is closed when its reply in hand has been sent.
    leaving: bool,
}

/// Why a connection is closed, for the log.
mod why {
    pub const DONE: &str = "done";
    pub const ANSWERED: &str = "answered";
    pub const REFUSED: &str = "refused";
    pub const FAILED: &str = "a source failed";
    pub const GAVE_WAY: &str = "gave way to a newer one";
    pub const PROTOCOL: &str = "protocol error";
    pub const BROKEN: &str = "a record changed while it was being sent";
    pub const GONE: &str = "client is gone";
    pub const LATE: &str = "timed out";
    pub const ENDING: &str = "by signal";
}

impl End {
    fn text(self) -> &'static str {
        match self {
            End::Answered => why::ANSWERED,
            End::Protocol => why::PROTOCOL,
            End::Refused => why::REFUSED,
            End::Failed => why::FAILED,
            End::Broken => why::BROKEN,
        }
    }
}

struct Server<'a, C> {
    door: Door<'a>,
    beside: Beside,
    switch: &'a mut Switch,
    epoll: OwnedFd,
    table: Vec<Option<Connection<C>>>,
    /// Output not taken yet: a page for each row.
    pages: Vec<u8>,
    free: Vec<usize>,
    /// Rows whose turn was over.
    queue: VecDeque<usize>,
    out: Output,
    serial: u32,
    /// No deadline is earlier than this.
    next_deadline: Option<u64>,
    listening: bool,
    /// When to try to accept again.
    pause_ends: Option<u64>,
    ending: bool,
}

/// Serves until a signal ends it.
pub fn run<C: Conversation>(
    door: Door<'_>,
    mut signals: Signals,
    switch: &mut Switch,
    beside: Beside,
    ready: impl FnOnce(),
) -> Result<(), Error> {
    let fail = unable("unable to wait for events");
    let max = door.rules.max as usize;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(&fail)?;
    let add =
        |fd, token| epoll::add(&epoll, fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN);
    add(signals.wake(), SIGNAL).map_err(&fail)?;
    add(door.listener.as_fd(), LISTENER).map_err(&fail)?;
    #[cfg(feature = "nscd")]
    if let Some(desk) = &beside.desk {
        add(desk.wake(), DESK).map_err(&fail)?;
    }
    if let Some(parent) = &beside.parent {
        add(parent.as_fd(), PARENT).map_err(&fail)?;
    }
    let mut server: Server<'_, C> = Server {
        door,
        beside,
        switch,
        epoll,
        table: Vec::with_capacity(max),
        pages: vec![0; max * REPLY_PIECE],
        free: Vec::with_capacity(max),
        queue: VecDeque::with_capacity(max),
        out: Output::new(),
        serial: 0,
        next_deadline: None,
        listening: true,
        pause_ends: None,
        ending: false,
    };
    let mut events = Vec::with_capacity(EVENTS);
    ready();
    // From here on: no allocation.
    no_alloc(|| {
        while !(server.ending && server.door.open == 0) {
            server.step(&mut signals, &mut events)?;
        }
        server.door.log.exiting();
        Ok(())
    })
    .map_err(&fail)
}

impl<C: Conversation> Server<'_, C> {
    fn step(&mut self, signals: &mut Signals, events: &mut Vec<epoll::Event>) -> Result<(), Errno> {
        let timeout = self.timeout().map(timespec);
        events.clear();
        let room = rustix::buffer::spare_capacity(events);
        match epoll::wait(&self.epoll, room, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno),
        }
        let mut guests = 0;
        for event in events.iter() {
            match event.data.u64() {
                SIGNAL => self.signalled(signals),
                // Among others that have something to say, one at a time would wait for long.
                LISTENER => guests = if events.len() > 1 { self.door.rules.guests() } else { 1 },
                #[cfg(feature = "nscd")]
                DESK => self.clear_desk(),
                PARENT => self.end_with_parent(),
                token => self.heard(token, event.flags),
            }
        }
        // Those whose turn was over, as many as there are now.
        for _ in 0..self.queue.len() {
            if let Some(row) = self.queue.pop_front() {
                if let Some(Some(connection)) = self.table.get_mut(row) {
                    connection.queued = false;
                    self.go_on(row, false);
                }
            }
        }
        if self.next_deadline.is_some_and(|d| millis() >= d) {
            self.close_late();
        }
        #[cfg(feature = "nscd")]
        if self.beside.desk.as_ref().and_then(Desk::deadline).is_some_and(|d| millis() >= d) {
            self.clear_desk();
        }
        // Last, since those who have left make room.
        self.admit_all(guests);
        self.listen_again()
    }

    /// Milliseconds that may be waited.
    fn timeout(&self) -> Option<u64> {
        if !self.queue.is_empty() {
            return Some(0);
        }
        #[cfg(feature = "nscd")]
        let desk = self.beside.desk.as_ref().and_then(Desk::deadline);
        #[cfg(not(feature = "nscd"))]
        let desk = None;
        let next = [self.next_deadline, self.pause_ends, desk].into_iter().flatten().min()?;
        Some(next.saturating_sub(millis()))
    }

    fn signalled(&mut self, signals: &mut Signals) {
        for signal in signals.take() {
            match signal {
                Signal::Child =>
                {
                    #[cfg(feature = "nscd")]
                    if let Some(desk) = &mut self.beside.desk {
                        desk.child_ended();
                    }
                }
                // What would end the children ends the connections.
                Signal::Hup => {
                    self.door.log.received(signal, "closing all connections");
                    self.see_off();
                }
                Signal::Term | Signal::Quit => {
                    self.door.log.received(signal, "quitting");
                    self.end_gently();
                }
                Signal::Abort => {
                    self.door.log.received(signal, "quitting");
                    for row in 0..self.table.len() {
                        self.close(row, why::ENDING);
                    }
                    #[cfg(feature = "nscd")]
                    while let Some(done) = self.beside.desk.as_mut().and_then(Desk::abandon) {
                        self.leave(done.uid, done.why.text());
                    }
                    self.stop_listening();
                    self.ending = true;
                }
            }
        }
    }

    /// Clients of slow sources have left.
    #[cfg(feature = "nscd")]
    fn clear_desk(&mut self) {
        while let Some(done) = self.beside.desk.as_mut().and_then(Desk::next_done) {
            self.leave(done.uid, done.why.text());
        }
    }

    /// There is nobody left to serve.
    fn end_with_parent(&mut self) {
        if let Some(parent) = self.beside.parent.take() {
            let _ = epoll::delete(&self.epoll, &parent);
        }
        self.door.log.parent_ended();
        self.end_gently();
    }

    /// No further client; those that have a reply in hand get it.
    fn end_gently(&mut self) {
        self.ending = true;
        let _ = epoll::delete(&self.epoll, self.door.listener);
        self.listening = false;
        self.see_off();
    }

    /// Closes all connections, those that have a reply in hand when it has been sent.
    fn see_off(&mut self) {
        for row in 0..self.table.len() {
            let Some(Some(connection)) = self.table.get_mut(row) else { continue };
            connection.leaving = true;
            if !connection.has_unsent() && connection.conversation.waits_for_input() {
                self.close(row, why::ENDING);
            }
        }
    }

    /// Takes in those who wait, at most so many.
    fn admit_all(&mut self, most: u32) {
        let mut left = most;
        while left > 0 && self.listening && self.admit() {
            left -= 1;
        }
    }

    /// Takes in the next who waits; false if there is none, or an error.
    fn admit(&mut self) -> bool {
        let more = match self.door.admit() {
            Ok(Some(guest)) => {
                match self.has_place_for(&guest) {
                    true => self.seat(guest),
                    false => self.turn_away(guest),
                }
                true
            }
            Ok(None) => false,
            Err(errno) => {
                self.door.log.cannot_accept(errno);
                self.pause_ends = Some(millis() + PAUSE);
                self.stop_listening();
                false
            }
        };
        if self.door.is_full() {
            self.stop_listening();
        }
        more
    }

    /// Whether a guest's uid is within its limit, or an older connection of it gave way.
    fn has_place_for(&mut self, guest: &Guest) -> bool {
        if guest.who.is_none() || guest.count <= self.door.rules.max_per_uid {
            return true;
        }
        let now = self.serial;
        let uid = guest.who.map(|w| w.0);
        let each = self.table.iter().enumerate();
        let waiting = each.filter_map(|(row, place)| {
            let connection = place.as_ref()?;
            let silent = connection.uid() == uid && connection.conversation.waits_for_input();
            // Serial numbers begin again some day: the difference tells the age.
            silent.then(|| (now.wrapping_sub(connection.serial), row))
        });
        match waiting.max() {
            Some((_, row)) => {
                self.close(row, why::GAVE_WAY);
                true
            }
            None => false,
        }
    }

    fn turn_away(&mut self, guest: Guest) {
        if let Some((uid, gid)) = guest.who {
            self.door.log.deny(uid, gid, guest.count - 1, self.door.rules.max_per_uid);
            self.door.leave(Some(uid));
        }
    }

    fn stop_listening(&mut self) {
        if self.listening && epoll::delete(&self.epoll, self.door.listener).is_ok() {
            self.listening = false;
        }
    }

    fn listen_again(&mut self) -> Result<(), Errno> {
        if self.listening || self.ending || self.door.is_full() {
            return Ok(());
        }
        if self.pause_ends.is_some_and(|end| end > millis()) {
            return Ok(());
        }
        self.pause_ends = None;
        self.listening = true;
        let data = epoll::EventData::new_u64(LISTENER);
        epoll::add(&self.epoll, self.door.listener, data, epoll::EventFlags::IN)
    }

    fn seat(&mut self, guest: Guest) {
        self.serial = self.serial.wrapping_add(1);
        let asker = guest.asker();
        let row = match self.free.pop() {
            Some(row) => row,
            None => {
                // As many as there may be connections, so there is room.
                self.table.push(None);
                self.table.len() - 1
            }
        };
        let conversation = C::new(asker, self.serial, self.switch);
        let connection = Connection {
            socket: guest.socket,
            conversation,
            who: guest.who,
            serial: self.serial,
            unsent: (0, 0),
            deadline: None,
            watched: None,
            queued: false,
            leaving: false,
        };
        let most =
            if guest.who.is_some() { self.door.rules.max_per_uid } else { self.door.rules.max };
        self.door.log.allow(guest.who, None, guest.count, most);
        self.door.log.status(self.door.open);
        if let Some(place) = self.table.get_mut(row) {
            *place = Some(connection);
        }
        // Most clients have asked by now; one that is answered at once is never waited for.
        self.go_on(row, true);
    }

    fn heard(&mut self, event: u64, flags: epoll::EventFlags) {
        let row = (event & 0xffff_ffff) as usize;
        let Some(Some(connection)) = self.table.get(row) else { return };
        if token(row, connection.serial) != event {
            return;
        }
        if flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
            // Closed on both sides: there is nobody to answer.
            return self.close(row, why::GONE);
        }
        if !connection.queued {
            self.go_on(row, true);
        }
    }

    /// Serves a connection until it has to wait or its turn is over. With `may_read`, its
    /// socket may have something.
    fn go_on(&mut self, row: usize, mut may_read: bool) {
        let mut turn = TURN;
        loop {
            let Some(Some(connection)) = self.table.get_mut(row) else { return };
            let from = row * REPLY_PIECE;
            let page = self.pages.get_mut(from..from + REPLY_PIECE).unwrap_or_default();
            if let Err(why) = connection.send_unsent(page) {
                return self.close(row, why);
            }
            if connection.has_unsent() {
                return self.wait(row, true);
            }
            let need = connection.conversation.go_on(self.switch, &mut self.out, turn);
            turn = connection.conversation.turn_left();
            let sent = connection.send(self.out.pending(), page);
            self.out.clear();
            if let Err(why) = sent {
                return self.close(row, why);
            }
            match need {
                Need::Close(_) if connection.has_unsent() => {}
                Need::Close(end) => return self.close(row, end.text()),
                Need::Elsewhere => return self.hand_over(row),
                Need::Flush if turn > 0 => {}
                Need::Turn | Need::Flush => {
                    connection.queued = true;
                    self.queue.push_back(row);
                    return self.await_turn(row);
                }
                Need::Input if connection.leaving => return self.close(row, why::ENDING),
                Need::Input if !may_read => return self.wait(row, false),
                Need::Input => {
                    may_read = false;
                    let room = connection.conversation.room();
                    match recv(&connection.socket, room, RecvFlags::DONTWAIT) {
                        Ok((_, 0)) => return self.close(row, why::DONE),
                        Ok((_, len)) => connection.conversation.filled(len),
                        Err(Errno::AGAIN | Errno::INTR) => return self.wait(row, false),
                        Err(_) => return self.close(row, why::GONE),
                    }
                }
            }
        }
    }

    /// Gives a connection to those who may wait for slow sources.
    #[cfg(feature = "nscd")]
    fn hand_over(&mut self, row: usize) {
        let (Some(place), Some(desk)) = (self.table.get_mut(row), &mut self.beside.desk) else {
            return self.close(row, why::FAILED);
        };
        let Some(connection) = place.take() else { return };
        connection.conversation.leave(self.switch);
        self.free.push(row);
        if connection.watched.is_some() {
            let _ = epoll::delete(&self.epoll, &connection.socket);
        }
        let patience = connection.conversation.patience(Wait::Turn, self.door.rules.client_millis);
        let mut request = heapless::Vec::new();
        // A request that is complete has room there.
        let _ = request.extend_from_slice(connection.conversation.request());
        desk.put(Job {
            socket: connection.socket,
            who: connection.who,
            deadline: patience.unwrap_or_else(millis),
            request,
        });
        self.clear_desk();
    }

    /// What may block is never run here: ipcserver starts a process for each client then.
    #[cfg(not(feature = "nscd"))]
    fn hand_over(&mut self, row: usize) {
        self.close(row, why::FAILED);
    }

    /// Sets the deadline of one that waits for its turn.
    fn await_turn(&mut self, row: usize) {
        let millis = self.door.rules.client_millis;
        let Some(Some(connection)) = self.table.get_mut(row) else { return };
        connection.deadline = connection.conversation.patience(Wait::Turn, millis);
        let deadline = connection.deadline;
        self.note(deadline);
    }

    /// Deadlines are looked at when the earliest has passed.
    fn note(&mut self, deadline: Option<u64>) {
        self.next_deadline = [self.next_deadline, deadline].into_iter().flatten().min();
    }

    /// Lets the connection wait, for room to write if `blocked`, else for input.
    fn wait(&mut self, row: usize, blocked: bool) {
        let Some(Some(connection)) = self.table.get_mut(row) else { return };
        let wait = if blocked { Wait::Output } else { Wait::Input };
        let deadline = connection.conversation.patience(wait, self.door.rules.client_millis);
        connection.deadline = deadline;
        let before = connection.watched.replace(blocked);
        let events = if blocked { epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        let data = epoll::EventData::new_u64(token(row, connection.serial));
        let watched = match before {
            Some(same) if same == blocked => Ok(()),
            Some(_) => epoll::modify(&self.epoll, &connection.socket, data, events),
            None => epoll::add(&self.epoll, &connection.socket, data, events),
        };
        self.note(deadline);
        if watched.is_err() {
            self.close(row, why::GONE);
        }
    }

    fn close_late(&mut self) {
        let now = millis();
        let mut next: Option<u64> = None;
        for row in 0..self.table.len() {
            let Some(Some(connection)) = self.table.get(row) else { continue };
            match connection.deadline {
                Some(deadline) if deadline <= now => {
                    self.is_late(row);
                    let left = self.table.get(row).and_then(|p| p.as_ref()?.deadline);
                    next = [next, left].into_iter().flatten().min();
                }
                Some(deadline) => next = Some(next.map_or(deadline, |n| n.min(deadline))),
                None => {}
            }
        }
        self.next_deadline = next;
    }

    /// Closes a connection whose deadline has passed, unless its client takes more now: the kernel
    /// tells of room only when three quarters of the socket's buffer are free, which is too late
    /// to call a slow reader one that does not read.
    fn is_late(&mut self, row: usize) {
        let Some(Some(connection)) = self.table.get_mut(row) else { return };
        let from = row * REPLY_PIECE;
        let page = self.pages.get(from..from + REPLY_PIECE).unwrap_or_default();
        let before = connection.unsent.0;
        match connection.send_unsent(page) {
            Ok(()) if connection.unsent.0 > before => self.go_on(row, false),
            _ => self.close(row, why::LATE),
        }
    }

    fn close(&mut self, row: usize, why: &str) {
        // Closing the socket takes it out of the epoll set: it was never duplicated.
        let Some(connection) = self.table.get_mut(row).and_then(Option::take) else { return };
        if connection.conversation.drains() {
            drain(&connection.socket);
        }
        connection.conversation.leave(self.switch);
        if connection.queued {
            self.queue.retain(|queued| *queued != row);
        }
        self.free.push(row);
        self.leave(connection.uid(), why);
    }

    /// A client has left.
    fn leave(&mut self, uid: Option<u32>, why: &str) {
        self.door.leave(uid);
        self.door.log.left(uid, why);
        self.door.log.status(self.door.open);
    }
}

impl<C> Connection<C> {
    fn uid(&self) -> Option<u32> {
        self.who.map(|who| who.0)
    }

    fn has_unsent(&self) -> bool {
        self.unsent.0 < self.unsent.1
    }

    /// Sends more of what was put aside in `page`.
    fn send_unsent(&mut self, page: &[u8]) -> Result<(), &'static str> {
        if !self.has_unsent() {
            return Ok(());
        }
        let bytes = page.get(self.unsent.0..self.unsent.1).unwrap_or_default();
        self.unsent.0 += send_some(&self.socket, bytes)?;
        Ok(())
    }

    /// Sends `bytes`, and puts aside in `page` what the client does not take now.
    fn send(&mut self, bytes: &[u8], page: &mut [u8]) -> Result<(), &'static str> {
        let sent = if bytes.is_empty() { 0 } else { send_some(&self.socket, bytes)? };
        let rest = bytes.get(sent..).unwrap_or_default();
        if let Some(room) = page.get_mut(..rest.len()) {
            room.copy_from_slice(rest);
        }
        self.unsent = (0, rest.len());
        Ok(())
    }
}

/// How many of `bytes` the client takes now.
fn send_some(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, &'static str> {
    match send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Ok(len) => Ok(len),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(_) => Err(why::GONE),
    }
}

/// What epoll gives back for a connection: its row, and its serial number above.
fn token(row: usize, serial: u32) -> u64 {
    u64::from(serial) << 32 | (row as u64 & 0xffff_ffff)
}
