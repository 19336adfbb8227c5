//! Where the event loop leaves the clients of sources that may block: askers, which are processes
//! of this executable with sources of their own. Who asked a source that hangs waits there, up to
//! his deadline, and nobody else does.
//!
//! A client's connection, his request and his deadline go to an asker in one message; it answers
//! him and says how that ended. His row of the table he keeps until then: see `served::slow`.

use crate::limits::SLOW_ASKERS;
use crate::server::conversation::End;
use crate::server::ipc::served::take_out;
use crate::sys::access::Peer;
use crate::sys::clock::millis;
use crate::sys::error::{Error, unable};
use crate::sys::passed;
use crate::sys::spawn::{Command, Process};
use nssproto::nscd::REQUEST_MAX;
use rustix::io::{Errno, IoSlice};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, recv, sendmsg, socketpair,
};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Milliseconds between two starts of an asker that ended without having answered anybody.
const RESTART_PAUSE: u64 = 500;

/// Numbers in front of a request, of the machine's own byte order: the halves of the deadline, the
/// upper one first, whether the client's uid and gid are known, and these.
pub type Head = [u32; 5];

/// A whole message to an asker.
pub const MESSAGE: usize = size_of::<Head>() + REQUEST_MAX;

/// What an asker says when the first piece of a longer reply is on its way; otherwise it says how a
/// client's request ended, by the place in [`End::ALL`].
pub const BEGUN: u8 = 0xff;

/// Askers that were killed and have not ended yet.
const DYING: usize = 4 * SLOW_ASKERS;

/// What an asker is to know of a client whose request only a slow source can answer.
pub struct Job<'a> {
    /// His connection.
    pub socket: &'a OwnedFd,
    /// His uid and gid.
    pub peer: Option<Peer>,
    /// Until when the first byte of a reply is due, in milliseconds of the clock.
    pub deadline: u64,
    /// What he sent.
    pub request: &'a [u8],
}

/// The desk: clients, by their rows, and who asks for them.
pub struct Desk {
    /// What an asker is.
    command: Box<Command>,
    seats: [Seat; SLOW_ASKERS],
    dying: heapless::Vec<Process, DYING>,
    /// Those who wait for an asker.
    waiting: VecDeque<usize>,
}

/// An asker's place.
#[derive(Default)]
struct Seat {
    asker: Option<Rights>,
    /// When one was started here last, in milliseconds of the clock; `None`: another may be
    /// started at once.
    started: Option<u64>,
}

struct Rights {
    process: Process,
    socket: OwnedFd,
    /// The client that it has.
    client: Option<usize>,
    answered: bool,
}

impl Desk {
    /// A desk for at most `max` clients at a time, for as long as the process lives. An asker is this
    /// executable, as the applet that is the first of the words `first`, and is started when it is
    /// needed.
    pub fn open(max: u32, first: &[&[u8]], rest: &[OsString]) -> Result<&'static mut Self, Error> {
        let command = Command::ourselves(first, rest);
        let mut command = command.map_err(unable("unable to start an asker"))?;
        passed::VARIABLES.iter().for_each(|name| command.unset(name));
        Ok(Box::leak(Box::new(Desk {
            command,
            seats: Default::default(),
            dying: heapless::Vec::new(),
            waiting: VecDeque::with_capacity(max as usize),
        })))
    }

    /// Starts all askers now: they may need rights that are given up next.
    pub fn start_all(&mut self) -> Result<(), Error> {
        for at in 0..self.seats.len() {
            self.start(at).map_err(unable("unable to start an asker"))?;
        }
        Ok(())
    }

    /// At the end nobody is left to be answered.
    pub fn end(&self) {
        for asker in self.seats.iter().filter_map(|seat| seat.asker.as_ref()) {
            asker.process.kill();
        }
    }

    /// Lets a client wait for an asker.
    pub fn put(&mut self, client: usize) {
        self.waiting.push_back(client);
    }

    /// Who has waited longest for an asker.
    pub fn first(&self) -> Option<usize> {
        self.waiting.front().copied()
    }

    /// Whether there are any askers.
    pub fn is_staffed(&self) -> bool {
        self.seats.iter().any(|seat| seat.asker.is_some())
    }

    /// A seat whose asker has nothing to do.
    pub fn idle(&self) -> Option<usize> {
        let is_idle = |s: &Seat| s.asker.as_ref().is_some_and(|a| a.client.is_none());
        self.seats.iter().position(is_idle)
    }

    /// A seat where an asker may be started.
    pub fn vacant(&self) -> Option<usize> {
        // A file system that is gone must not fill the machine with those who wait for it.
        if self.dying.len() > DYING - SLOW_ASKERS {
            return None;
        }
        let now = millis();
        self.seats.iter().position(|s| {
            s.asker.is_none() && s.started.is_none_or(|started| now >= started + RESTART_PAUSE)
        })
    }

    /// Starts an asker.
    pub fn start(&mut self, at: usize) -> Result<(), Errno> {
        let Some(seat) = self.seats.get_mut(at) else { return Ok(()) };
        seat.started = Some(millis());
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let process = self.command.start(theirs.as_fd(), theirs.as_fd())?;
        seat.asker = Some(Rights { process, socket: ours, client: None, answered: false });
        Ok(())
    }

    /// Readable when [`Desk::hear`] has something to do there.
    pub fn socket(&self, at: usize) -> Option<BorrowedFd<'_>> {
        Some(self.seats.get(at)?.asker.as_ref()?.socket.as_fd())
    }

    /// Gives the first of those who wait to an idle asker; false if it has ended.
    pub fn give(&mut self, at: usize, job: &Job<'_>) -> bool {
        let Some(seat) = self.seats.get_mut(at) else { return false };
        let Some(asker) = &mut seat.asker else { return false };
        let sent = send(&asker.socket, job).is_ok();
        match sent {
            true => asker.client = self.waiting.pop_front(),
            false => drop(seat.vacate(&mut self.dying)),
        }
        sent
    }

    /// Hears of an asker's client how that ended; no end: a longer reply is on its way.
    pub fn hear(&mut self, at: usize) -> Option<(usize, Option<End>)> {
        let seat = self.seats.get_mut(at)?;
        let asker = seat.asker.as_mut()?;
        let mut word = [0];
        match recv(&asker.socket, &mut word, RecvFlags::DONTWAIT) {
            Ok((_, 1)) if word == [BEGUN] => Some((asker.client?, None)),
            Ok((_, 1)) => {
                asker.answered = true;
                let [word] = word;
                let why = End::ALL.get(usize::from(word)).copied().unwrap_or(End::Failed);
                Some((asker.client.take()?, Some(why)))
            }
            Err(Errno::AGAIN | Errno::INTR) => None,
            _ => Some((seat.vacate(&mut self.dying)?, Some(End::Failed))),
        }
    }

    /// Gives a client up, and ends the asker that has him; false if he is not here.
    pub fn forget(&mut self, client: usize) -> bool {
        let has_him =
            |seat: &&mut Seat| seat.asker.as_ref().is_some_and(|a| a.client == Some(client));
        if let Some(seat) = self.seats.iter_mut().find(has_him) {
            return seat.vacate(&mut self.dying).is_some();
        }
        take_out(&mut self.waiting, client)
    }

    /// Ends an asker that cannot be heard.
    pub fn dismiss(&mut self, at: usize) {
        if let Some(seat) = self.seats.get_mut(at) {
            seat.vacate(&mut self.dying);
        }
    }

    /// A child of this process has ended.
    pub fn child_ended(&mut self) {
        self.dying.retain_mut(|process| !process.has_ended());
    }
}

impl Seat {
    /// Its asker has ended, or is ended now; the client that it had.
    fn vacate(&mut self, dying: &mut heapless::Vec<Process, DYING>) -> Option<usize> {
        let Rights { mut process, client, answered, .. } = self.asker.take()?;
        if answered {
            // It was a good one, and so may be the next.
            self.started = None;
        }
        process.kill();
        // Not waited for: one that is stuck in the kernel ends when that lets it.
        if !process.has_ended() {
            // There is room: see `Desk::vacant`.
            let _ = dying.push(process);
        }
        client
    }
}

/// Gives a client to an asker that waits for one.
fn send(asker: &OwnedFd, job: &Job<'_>) -> Result<(), Errno> {
    let (uid, gid) = job.peer.map_or((0, 0), |peer| (peer.uid.0, peer.gid.0));
    let (high, low) = ((job.deadline >> 32) as u32, job.deadline as u32);
    let head: Head = [high, low, job.peer.is_some().into(), uid, gid];
    let head = head.map(u32::to_ne_bytes);
    let parts = [IoSlice::new(head.as_flattened()), IoSlice::new(job.request)];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let sockets = [job.socket.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&sockets));
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(asker, &parts, &mut control, flags).map(|_| ())
}
