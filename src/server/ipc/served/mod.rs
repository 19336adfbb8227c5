//! Clients served in this process: one epoll loop over a table of connections.
//!
//! Nobody waits for anybody: files are read in turns, a client that stops reading or writing
//! keeps its own place only, and that for a second. A client that asks nothing costs its row of
//! the table; the output that it did not take yet is kept in a page of its own, which is touched
//! only then.

mod guests;
#[cfg(feature = "nscd")]
mod slow;
pub mod table;
mod turns;

use super::Door;
#[cfg(feature = "nscd")]
use super::desk::Desk;
use super::listen::tell_ready;
use super::signals::{Signal, Signals};
use crate::backend::switch::Switch;
use crate::limits::REPLY_PIECE;
use crate::server::conversation::{Conversation, End, Output};
use crate::sys::clock::{NEVER, millis, timespec};
use crate::sys::error::{Error, unable};
use crate::sys::no_alloc;
use rustix::event::epoll;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use table::{Connection, Table};

/// Events taken at a time.
const EVENTS: usize = 64;

// What epoll gives back for what is no client: more than any row.
const SIGNAL: u32 = u32::MAX;
const LISTENER: u32 = u32::MAX - 1;
const PARENT: u32 = u32::MAX - 2;
/// The first of the askers.
#[cfg(feature = "nscd")]
const ASKERS: u32 = PARENT - crate::limits::SLOW_ASKERS as u32;

/// What there is besides the clients.
pub struct Beside {
    /// Who answers what may block.
    #[cfg(feature = "nscd")]
    pub desk: Option<&'static mut Desk>,
    /// Readable when the process has ended with which this one ends.
    pub parent: Option<&'static OwnedFd>,
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

    /// An asker is a program, which needs files of its own, and may be started at any time.
    fn starts_nobody(&self) -> bool {
        #[cfg(feature = "nscd")]
        return self.desk.is_none();
        #[cfg(not(feature = "nscd"))]
        true
    }
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

struct Server {
    door: &'static mut Door,
    beside: Beside,
    switch: &'static mut Switch,
    epoll: OwnedFd,
    /// As many rows as there may be connections.
    table: &'static mut dyn Table,
    /// Output not taken yet: a page for each row.
    pages: Vec<u8>,
    free: Vec<usize>,
    /// Rows that were heard, or whose turn was over.
    queue: VecDeque<usize>,
    /// So many at its end came in a moment ago.
    guests: usize,
    out: Output,
    serial: u32,
    /// No deadline is earlier than this.
    next_deadline: u64,
    listening: bool,
    /// When to try to accept again; 0: no such pause.
    pause_ends: u64,
    ending: bool,
}

/// Rows for so many connections of a protocol, for as long as the process lives.
pub fn table<C: Conversation + 'static>(max: u32) -> &'static mut dyn Table {
    Box::leak(Box::new(Vec::<Option<Connection<C>>>::with_capacity(max as usize)))
}

/// Serves clients of a protocol until a signal ends it.
pub fn run<C: Conversation + 'static>(
    door: &'static mut Door,
    signals: &mut Signals,
    switch: &'static mut Switch,
    beside: Beside,
) -> Result<(), Error> {
    let table = table::<C>(door.rules.max);
    serve(door, signals, switch, beside, table).map_err(unable("unable to wait for events"))
}

fn serve(
    door: &'static mut Door,
    signals: &mut Signals,
    switch: &'static mut Switch,
    beside: Beside,
    table: &'static mut dyn Table,
) -> Result<(), Errno> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    watch(&epoll, signals.wake(), SIGNAL)?;
    watch(&epoll, door.listener.as_fd(), LISTENER)?;
    #[cfg(feature = "nscd")]
    if let Some(desk) = &beside.desk {
        slow::watch_askers(&epoll, desk)?;
    }
    if let Some(parent) = &beside.parent {
        watch(&epoll, parent.as_fd(), PARENT)?;
    }
    let max = door.rules.max as usize;
    // What lives as long as the process needs no code for its end.
    let server = Box::leak(Box::new(Server {
        door,
        beside,
        switch,
        epoll,
        table,
        // Zeros from the kernel: those of arrays would be written, and all pages be memory in use.
        pages: vec![0; max * REPLY_PIECE],
        free: Vec::with_capacity(max),
        queue: VecDeque::with_capacity(max),
        guests: 0,
        out: Output::new(),
        serial: 0,
        next_deadline: NEVER,
        listening: true,
        pause_ends: 0,
        ending: false,
    }));
    let mut events = Vec::with_capacity(EVENTS);
    tell_ready(server.door.rules.newline);
    if server.beside.starts_nobody() && !server.switch.sandbox().enter() {
        server.door.log.no_sandbox();
    }
    // From here on: no allocation.
    let ended = no_alloc(|| {
        while !(server.ending && server.door.open == 0) {
            server.step(signals, &mut events)?;
        }
        server.door.log.exiting();
        Ok(())
    });
    #[cfg(feature = "nscd")]
    if let Some(desk) = &mut server.beside.desk {
        desk.end();
    }
    ended
}

/// From now on, the loop is told with `token` when there is something to read.
fn watch(epoll: &OwnedFd, fd: BorrowedFd<'_>, token: u32) -> Result<(), Errno> {
    epoll::add(epoll, fd, epoll::EventData::new_u64(token.into()), epoll::EventFlags::IN)
}

/// Takes a row out of a queue; whether it was there.
pub fn take_out(queue: &mut VecDeque<usize>, row: usize) -> bool {
    let before = queue.len();
    queue.retain(|queued| *queued != row);
    queue.len() < before
}

impl Server {
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
            match event.data.u64() as u32 {
                SIGNAL => self.signalled(signals),
                // Among others that have something to say, one at a time would wait for long.
                LISTENER => guests = if events.len() > 1 { self.door.rules.guests() } else { 1 },
                PARENT => self.end_with_parent(),
                #[cfg(feature = "nscd")]
                asker if asker >= ASKERS => self.hear_asker((asker - ASKERS) as usize),
                _ => self.heard(event.data.u64(), event.flags),
            }
        }
        // Those who were heard, and those whose turn was over, as many as there are now.
        self.serve(self.queue.len());
        if self.next_deadline != NEVER && millis() >= self.next_deadline {
            self.close_late();
        }
        // Last, since those who have left make room.
        self.admit_all(guests, events.len());
        #[cfg(feature = "nscd")]
        self.assign();
        self.listen_again()
    }

    /// Milliseconds that may be waited.
    fn timeout(&self) -> Option<u64> {
        if !self.queue.is_empty() {
            return Some(0);
        }
        let next =
            self.next_deadline.min(if self.pause_ends == 0 { NEVER } else { self.pause_ends });
        (next != NEVER).then(|| next.saturating_sub(millis()))
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
                    for row in 0..self.table.rows() {
                        self.close(row, why::ENDING);
                    }
                    self.stop_listening();
                    self.ending = true;
                }
            }
        }
    }

    /// There is nobody left to serve.
    fn end_with_parent(&mut self) {
        if let Some(parent) = self.beside.parent.take() {
            let _ = epoll::delete(&self.epoll, parent);
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
        for row in 0..self.table.rows() {
            let Some(connection) = self.table.at(row) else { continue };
            connection.leaving = true;
            if connection.is_idle() {
                self.close(row, why::ENDING);
            }
        }
    }
}
