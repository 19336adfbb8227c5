//! Clients served in this process: one epoll loop over the sessions of all listeners.
//!
//! Nobody waits for anybody: files are read in turns, a client that stops reading or writing
//! keeps its own place only, and that for a second. A client that asks nothing costs its row of
//! the table; the output that it did not take yet is kept in a page of its own, which is touched
//! only then.

mod admission;
mod offload;
mod renewal;
mod serving;

use self::admission::FEW;
use super::ServerOptions;
use super::acceptor::Acceptor;
#[cfg(feature = "share")]
use super::companion::{Companion, WATCHED};
use super::conversation::{End, Output, Protocol};
use super::listener::Listener;
use super::log::Log;
use super::schedule::{Queue, accepted_in_round};
use super::session::{Phase, Sessions};
use super::signals::{Signal, Signals, until_caught};
use super::supervisor::tell_ready;
use super::worker::pool::{MOST as MOST_WORKERS, Pool};
use crate::backend::switch::Switch;
use crate::limits::{CLIENT_MILLIS, ENDING_MILLIS, REPLY_PIECE, SHARE_LOOKUP};
use crate::sys::clock::{NEVER, millis};
use crate::sys::errno;
use crate::sys::error::{Error, unable};
use crate::sys::no_alloc;
use crate::sys::spawn::{Trial, begin_anew};
use crate::sys::watch::Watched;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout};
use rustix::event::epoll;
use rustix::io::Errno;
use std::ffi::CStr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

/// Events taken at a time.
const EVENTS: usize = 64;

/// Most listeners of a server.
const LISTENERS: usize = 8;

// What epoll gives back for what is no session: more than any row.
const SIGNAL: u32 = u32::MAX;
const PARENT: u32 = SIGNAL - 1;
const FIRST_LISTENER: u32 = PARENT - LISTENERS as u32;
const FIRST_WORKER: u32 = FIRST_LISTENER - MOST_WORKERS as u32;
#[cfg(feature = "share")]
const COMPANION: u32 = FIRST_WORKER - WATCHED as u32;

/// What the loop looks after besides its clients.
#[cfg(feature = "share")]
pub type Beside = Option<&'static mut dyn Companion>;
/// There is nothing.
#[cfg(not(feature = "share"))]
pub type Beside = ();

/// A socket, and what is spoken there.
pub struct Service {
    /// What is spoken.
    pub protocol: Protocol,
    /// Where.
    pub listener: Listener,
    /// Which backends of the switch are asked, by their places; those that there are not are left
    /// out.
    pub sources: Range<usize>,
}

/// Serves the clients of at most 8 listeners until a signal ends it, or with `parent`. What
/// may block is asked by `workers`, and by nobody if there are none.
pub fn serve(
    services: &[Service],
    server_options: &ServerOptions,
    switch: &mut Switch,
    workers: Option<&'static mut Pool>,
    parent: Option<Watched>,
    companion: Beside,
) -> Result<(), Error> {
    let mut signals = Signals::catch()?;
    server_options.log.starting();
    let served = || {
        if services.len() > LISTENERS {
            return Err(Errno::TOOBIG);
        }
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(errno::of)?;
        let server = EventLoop::new(epoll, services, server_options.log, switch, workers, parent);
        server.executable = server_options.executable.as_deref();
        #[cfg(feature = "share")]
        {
            server.companion = companion;
        }
        #[cfg(not(feature = "share"))]
        let () = companion;
        run(server, &mut signals, server_options.newline)
    };
    let Some(place) = served().map_err(unable("unable to wait for events"))? else { return Ok(()) };
    let mut sockets = Vec::new();
    for service in services {
        sockets.push((service.protocol.name(), service.listener.socket.as_fd()));
    }
    match begin_anew(place, &sockets, &until_caught()).map_err(unable("unable to begin anew"))? {}
}

/// Serves until a signal ends it; a newline tells that it is ready if `newline`. Then where the
/// executable is that goes on, if one does.
fn run<'a>(
    server: &mut EventLoop<'a>,
    signals: &mut Signals,
    newline: bool,
) -> Result<Option<&'a CStr>, Errno> {
    server.watch_all(signals)?;
    let mut watchdog = tell_ready(newline);
    // A worker is a program, which needs files of its own, and may be started at any time.
    if server.workers.is_none() && !server.switch.sandbox().enter() {
        server.log.no_sandbox();
    }
    let mut events = [EpollEvent::empty(); EVENTS];
    // From here on: no allocation.
    let ended = no_alloc(|| {
        while !(server.ending && server.acceptors.iter().all(|acceptor| acceptor.open == 0)) {
            server.step(signals, &mut events, watchdog.due)?;
            watchdog.keep_alive();
        }
        server.log.exiting();
        Ok(())
    });
    if let Some(workers) = &server.workers {
        workers.end();
    }
    #[cfg(feature = "share")]
    if let Some(companion) = &mut server.companion {
        companion.leave();
    }
    if let Some(trial) = &mut server.trial {
        trial.end();
    }
    ended?;
    let next = server.executable.filter(|_| server.makes_room);
    if next.is_none() {
        server.acceptors.iter().for_each(|acceptor| acceptor.listener.leave());
    }
    Ok(next)
}

/// Why a session is closed, for the log.
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
    pub const SHUTDOWN: &str = "root ends the server";
}

impl End {
    fn text(self) -> &'static str {
        match self {
            End::Answered => why::ANSWERED,
            End::Protocol => why::PROTOCOL,
            End::Refused => why::REFUSED,
            End::Failed => why::FAILED,
            End::Broken => why::BROKEN,
            End::Shutdown => why::SHUTDOWN,
        }
    }
}

struct EventLoop<'a> {
    log: Log,
    acceptors: Vec<Acceptor<'a>>,
    sessions: Sessions,
    switch: &'a mut Switch,
    workers: Option<&'static mut Pool>,
    /// The process with which this one ends.
    parent: Option<Watched>,
    #[cfg(feature = "share")]
    companion: Beside,
    epoll: Epoll,
    /// Output not taken yet: a page for each row.
    pages: Vec<u8>,
    /// Rows that have asked something, or whose turn was over.
    queue: Queue,
    /// So many at its end were accepted a moment ago.
    newcomers: usize,
    out: Output,
    /// Room for those who are answered together by a worker.
    followers: Vec<usize>,
    /// No deadline is earlier than this.
    next_deadline: u64,
    ending: bool,
    /// Where our executable was at the start, if another one may take our place.
    executable: Option<&'a CStr>,
    /// The one that is there now, while it is tried out.
    trial: Option<Trial>,
    /// It ends for the executable that is there now.
    makes_room: bool,
    /// Then all connections are closed, in milliseconds of the clock.
    ends_at: u64,
}

impl<'a> EventLoop<'a> {
    /// It lives as long as the process.
    fn new(
        epoll: Epoll,
        services: &'a [Service],
        log: Log,
        switch: &'a mut Switch,
        workers: Option<&'static mut Pool>,
        parent: Option<Watched>,
    ) -> &'a mut Self {
        let (mut sessions, mut acceptors) = (Sessions::default(), Vec::new());
        for Service { protocol, listener, sources } in services {
            sessions.add_listener(*protocol, sources.clone(), listener.limits.rows());
            acceptors.push(Acceptor::new(listener, log, sessions.max()));
        }
        let max = sessions.max();
        Box::leak(Box::new(EventLoop {
            log,
            acceptors,
            sessions,
            switch,
            workers,
            parent,
            #[cfg(feature = "share")]
            companion: None,
            epoll,
            // Zeros from the kernel: those of arrays would be written, and all pages be memory in
            // use.
            pages: vec![0; max * REPLY_PIECE],
            queue: Queue::new(max),
            newcomers: 0,
            out: Output::default(),
            followers: Vec::with_capacity(SHARE_LOOKUP),
            next_deadline: NEVER,
            ending: false,
            executable: None,
            trial: None,
            makes_room: false,
            ends_at: NEVER,
        }))
    }

    fn watch_all(&mut self, signals: &Signals) -> Result<(), Errno> {
        watch(&self.epoll, signals.wake(), SIGNAL)?;
        if let Some(parent) = &self.parent {
            watch(&self.epoll, parent.event(), PARENT)?;
        }
        #[cfg(feature = "share")]
        self.watch_companion()?;
        for listener in 0..self.acceptors.len() {
            self.accept_again(listener)?;
        }
        (0..MOST_WORKERS).try_for_each(|at| self.watch_worker(at))
    }

    /// Serves what there is to serve; without anything, it is over at the time `until`.
    fn step(
        &mut self,
        signals: &mut Signals,
        room: &mut [EpollEvent],
        until: u64,
    ) -> Result<(), Errno> {
        // rustix would divide 64 bits for it, which nothing else does: half a kilobyte of code.
        let timeout = self.timeout(until);
        let events = match self.epoll.wait(room, timeout).map_err(errno::of) {
            Ok(count) => room.get(..count).unwrap_or_default(),
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        // Which listeners have clients to accept.
        let mut accepts = [false; LISTENERS];
        for event in events.iter() {
            match event.data() as u32 {
                SIGNAL => self.signalled(signals),
                PARENT => self.end_with_parent(),
                #[cfg(feature = "share")]
                token if (COMPANION..FIRST_WORKER).contains(&token) => {
                    if let Some(companion) = &mut self.companion {
                        companion.on_event((token - COMPANION) as usize);
                    }
                }
                token if token >= FIRST_LISTENER => {
                    let listener = (token - FIRST_LISTENER) as usize;
                    if let Some(accepts) = accepts.get_mut(listener) {
                        *accepts = true;
                    }
                }
                token if token >= FIRST_WORKER => {
                    self.on_worker_event((token - FIRST_WORKER) as usize);
                }
                _ => self.on_session_event(event.data(), event.events()),
            }
        }
        // Those who have asked, and those whose turn was over, as many as there are now.
        self.serve(self.queue.len());
        #[cfg(feature = "share")]
        if let Some(companion) = &mut self.companion {
            if companion.due() <= millis() {
                companion.attend(self.switch);
            }
        }
        if self.next_deadline != NEVER && millis() >= self.next_deadline {
            self.close_late();
        }
        if self.ends_at != NEVER && millis() >= self.ends_at {
            self.close_all();
        }
        if self.trial.as_ref().is_some_and(|trial| millis() >= trial.due) {
            self.look_at_trial();
        }
        let look = self.switch.next_look();
        if look != NEVER && millis() >= look {
            self.close_idle();
        }
        // Last, since those who have left make room.
        for (listener, _) in accepts.into_iter().enumerate().filter(|(_, accepts)| *accepts) {
            let most = self.accepted_in_round(listener, events.len());
            self.accept_all(listener, most, events.len());
        }
        self.assign_workers();
        (0..self.acceptors.len()).try_for_each(|listener| self.accept_again(listener))
    }

    /// How many clients may be accepted at once when there are so many events: epoll tells of a
    /// listener once in a round through all that have something to say or to do, where one at a time
    /// would wait for long. Where few have, it is one for each of them: a client that asks again and
    /// again, on a new connection each time, may be back before we look again, and each time before
    /// the end of his last one is seen he would take one more row.
    fn accepted_in_round(&self, listener: usize, events: usize) -> u32 {
        let limits = self.acceptors.get(listener).map(|acceptor| acceptor.listener.limits);
        let most = limits.map_or(1, |limits| accepted_in_round(limits.max_per_uid, limits.room));
        if events > FEW || !self.queue.is_empty() {
            return most;
        }
        most.min(events.saturating_sub(1).max(1) as u32)
    }

    /// Closes files that nobody has used for a while.
    fn close_idle(&mut self) {
        let mut open = false;
        self.for_each_row(&mut |server, row| {
            open |=
                server.sessions.at(row).is_some_and(|(_, conversation)| conversation.close_idle());
        });
        self.switch.close_idle(open);
    }

    /// How long may be waited, at most to the time `until`.
    fn timeout(&mut self, until: u64) -> EpollTimeout {
        if !self.queue.is_empty() {
            return EpollTimeout::ZERO;
        }
        let pauses = self.acceptors.iter().map(|acceptor| acceptor.pause_ends);
        let next = self.next_deadline.min(self.ends_at).min(self.switch.next_look()).min(until);
        let next = self.trial.as_ref().map_or(next, |trial| next.min(trial.due));
        let next = pauses.filter(|ends| *ends != 0).fold(next, u64::min);
        #[cfg(feature = "share")]
        let next = self.companion.as_ref().map_or(next, |one| next.min(one.due()));
        if next == NEVER {
            return EpollTimeout::NONE;
        }
        EpollTimeout::try_from(next.saturating_sub(millis())).unwrap_or(EpollTimeout::MAX)
    }

    fn signalled(&mut self, signals: &mut Signals) {
        while let Some(signal) = signals.take() {
            match signal {
                Signal::Child => {
                    if let Some(workers) = &mut self.workers {
                        workers.child_ended();
                    }
                    self.look_at_trial();
                }
                // It is about to begin anew.
                Signal::Hup if self.trial.is_some() => {}
                Signal::Hup if self.tries_executable() => {}
                // What would end the children ends the connections.
                Signal::Hup => {
                    self.log.received(signal, "closing all connections");
                    self.see_off();
                }
                Signal::Term | Signal::Quit => {
                    self.log.received(signal, "quitting");
                    self.makes_room = false;
                    self.end_gently(ENDING_MILLIS);
                }
                Signal::Abort => {
                    self.log.received(signal, "quitting");
                    self.makes_room = false;
                    self.ending = true;
                    self.stop_accepting_all();
                    self.close_all();
                }
            }
        }
    }

    /// If its end was seen, there is nobody left to serve.
    fn end_with_parent(&mut self) {
        if !self.parent.as_mut().is_some_and(Watched::has_ended) {
            return;
        }
        if let Some(parent) = self.parent.take() {
            let _ = epoll::delete(&self.epoll.0, parent.event());
        }
        self.log.parent_ended();
        self.end_gently(ENDING_MILLIS);
    }

    fn close_all(&mut self) {
        self.for_each_row(&mut |server, row| server.close(row, why::ENDING));
    }

    /// No further client; those that have a reply in hand get it, if they take it in so many
    /// milliseconds.
    fn end_gently(&mut self, within: u64) {
        self.ending = true;
        self.ends_at = self.ends_at.min(millis() + within);
        self.stop_accepting_all();
        self.see_off();
    }

    /// Closes all sessions, those that have a reply in hand when it has been sent. Who has asked, and
    /// was not read yet, is answered. So is who has come and is about to ask: at a server that goes on
    /// where he has one question, at one that ends if he asks within a second. He has no other server.
    fn see_off(&mut self) {
        let late = millis() + u64::from(CLIENT_MILLIS);
        self.for_each_row(&mut |server, row| {
            let Some((session, conversation)) = server.sessions.at(row) else { return };
            if session.phase == Phase::Reading && !server.ending {
                return;
            }
            session.leaving = true;
            if !session.is_idle(conversation) {
                return;
            }
            server.read(row);
            if let Some(session) = server.sessions.session(row).filter(|session| !session.asked) {
                session.deadline = session.deadline.min(late);
                server.next_deadline = server.next_deadline.min(late);
            }
        });
    }

    #[cfg(feature = "share")]
    fn watch_companion(&self) -> Result<(), Errno> {
        for which in 0..WATCHED {
            let watched = self.companion.as_ref().and_then(|one| one.watched(which));
            if let Some((fd, events)) = watched {
                let data = epoll::EventData::new_u64(u64::from(COMPANION + which as u32));
                epoll::add(&self.epoll.0, fd, data, events)?;
            }
        }
        Ok(())
    }

    /// Does something with all rows, of which some may be free.
    fn for_each_row(&mut self, work: &mut dyn FnMut(&mut Self, usize)) {
        for listener in 0..self.acceptors.len() {
            for row in self.sessions.rows(listener) {
                work(self, row);
            }
        }
    }
}

/// From now on, the loop is told with `token` when there is something to read.
fn watch(epoll: &Epoll, fd: BorrowedFd<'_>, token: u32) -> Result<(), Errno> {
    epoll::add(&epoll.0, fd, epoll::EventData::new_u64(token.into()), epoll::EventFlags::IN)
}
