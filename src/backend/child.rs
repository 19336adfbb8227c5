//! A backend that is another program, or a server: asked over a stream as a client asks, and
//! not trusted. What breaks the protocol, ends or is late has failed for good.

use super::client::Hit;
use super::gids::Gids;
use super::{Outcome, Source, Step};
use crate::limits::{REPLY_PIECE, START_MILLIS};
use crate::sys::clock::{self, NEVER, time_left, timespec};
use crate::sys::program::{find, runs};
use crate::sys::socket::{connected, connected_within, take_descriptors};
use crate::sys::spawn::{Command, Process};
use crate::sys::stream::send_some;
use nssproto::DecodeError;
use nssproto::bytes::{DECIMAL_MAX, Reader, copy_front, write_decimal};
use nssproto::entry::Record;
use nssproto::nsss::stream::AreaChecker;
use nssproto::nsss::{GroupListHead, Head, Reply, Request};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use rustix::net::{recv, socketpair};
use rustix::process::{PidfdFlags, getegid, geteuid, pidfd_open};
use rustix::stdio::stdout;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// How to get a peer, again and again.
pub struct Origin {
    kind: OriginKind,
    /// When a program may be started, in milliseconds of the clock.
    next: u64,
}

/// The two kinds of peers.
enum OriginKind {
    Program(Vec<OsString>),
    Server(OsString),
}

/// Milliseconds between two starts of a program: one that fails at once must not keep the
/// machine busy.
const RESTART_PAUSE: u64 = 500;

impl Origin {
    /// A program.
    pub fn program(command: &[OsString]) -> Self {
        Origin { kind: OriginKind::Program(command.to_vec()), next: 0 }
    }

    /// A server's socket.
    pub fn server(path: &OsStr) -> Self {
        Origin { kind: OriginKind::Server(path.to_owned()), next: 0 }
    }

    /// Whether it is a server, which others have started.
    pub fn is_server(&self) -> bool {
        matches!(self.kind, OriginKind::Server(_))
    }

    /// The program or the server that is not there, and why.
    pub fn missing(&self) -> Option<(&[u8], Errno)> {
        match &self.kind {
            OriginKind::Program(command) => {
                let program = command.first().map(|word| word.as_bytes()).unwrap_or_default();
                find(program).and_then(|file| runs(&file)).err().map(|errno| (program, errno))
            }
            OriginKind::Server(path) => {
                let tried = connected(path, SocketFlags::NONBLOCK);
                // A full queue is one of a server that is there.
                let errno = tried.err().filter(|errno| *errno != Errno::AGAIN)?;
                Some((path.as_bytes(), errno))
            }
        }
    }

    /// The next start need not wait.
    pub fn try_at_once(&mut self) {
        self.next = 0;
    }

    /// Its name on the command line.
    pub fn place(&self) -> &[u8] {
        match &self.kind {
            OriginKind::Program(command) => command.first().map_or(b"", |word| word.as_bytes()),
            OriginKind::Server(path) => path.as_bytes(),
        }
    }

    /// A new peer; `None` if it is too early to try.
    pub fn start(&mut self) -> Option<Result<Box<Child>, Errno>> {
        match &self.kind {
            OriginKind::Program(command) => {
                let now = clock::millis();
                if now < self.next {
                    return None;
                }
                self.next = now + RESTART_PAUSE;
                Some(Child::spawn(command, None))
            }
            OriginKind::Server(path) => Some(Child::connect(path)),
        }
    }
}

/// Most of a record's strings that are taken for nothing.
const UNUSED: usize = 1024 * 1024;

/// A peer that answers nsss requests.
pub struct Child {
    stream: OwnedFd,
    process: Option<Process>,
    /// Tells that the process ended; `None` before Linux 5.3, where the end of its stream does.
    pidfd: Option<OwnedFd>,
    /// Milliseconds for an answer; `None`: no limit.
    timeout: Option<u32>,
    /// A time of the clock that no answer may come after; [`NEVER`]: no limit.
    until: u64,
    /// The same of what is being waited for.
    deadline: u64,
    answered: bool,
    dead: bool,
    /// Why it is.
    cause: Errno,
    buffer: Box<[u8]>,
    have: usize,
    /// Bytes of the buffer in front of the area of the record that was found.
    head_len: usize,
    /// The record is larger than the buffer: what of its area is still to come.
    check: Option<AreaChecker>,
}

impl Drop for Child {
    fn drop(&mut self) {
        // One that has failed was killed, so this does not wait; another one ends by itself.
        if let (true, Some(process)) = (self.dead, self.process.take()) {
            let _ = process.wait();
        }
    }
}

impl Source for Child {
    fn ask(&mut self, step: Step<'_>, request: &Request<'_>) -> Outcome {
        if self.dead {
            self.reap();
            return Outcome::Dead;
        }
        self.start_clock();
        let exchanged = self.exchange(request, &mut step.shared.gids, step.hit);
        exchanged.unwrap_or_else(|errno| self.give_up(errno))
    }

    fn asks_others(&self) -> bool {
        true
    }

    fn record<'a>(&'a self, _: &'a [u8], hit: &Hit) -> Option<Record<'a>> {
        hit.head()?.record(self.held()).ok()
    }

    fn begin_pieces(&mut self, step: Step<'_>) -> Option<Head> {
        step.hit.head()
    }

    fn piece(&mut self, _: Step<'_>, out: &mut [u8]) -> Result<(usize, bool), Errno> {
        self.area(out).inspect_err(|errno| {
            self.give_up(*errno);
        })
    }

    fn peek(&mut self, _: Step<'_>, out: &mut [u8]) -> Result<usize, Errno> {
        self.start_clock();
        while self.check.is_some() && self.held().len() < out.len() && !self.held().contains(&0) {
            if let Err(errno) = self.receive_checked() {
                self.give_up(errno);
                return Err(errno);
            }
        }
        Ok(copy_front(self.held(), out))
    }

    /// What is still to come of a larger record is taken, too: other answers are behind it.
    fn release(&mut self) {
        let (mut room, mut taken) = ([0; 512], 0);
        while self.check.is_some() && taken < UNUSED {
            match self.area(&mut room) {
                Ok((len, _)) => taken += len,
                Err(_) => break,
            }
        }
        // If there is more: see `look`.
        if self.check.is_none() {
            self.have = 0;
        }
    }

    fn is_dead(&self) -> bool {
        self.dead
    }

    fn why_dead(&self) -> Errno {
        self.cause
    }

    fn has_answered(&self) -> bool {
        self.answered
    }

    fn limit(&mut self, millis: u32, until: u64) {
        self.timeout = Some(millis);
        self.until = until;
    }

    /// Its stream (0) and its process (1), where a byte, or the end, tells that it has failed. Of
    /// one that has failed, only its end is of interest, until it has been seen.
    fn watched(&self, which: usize) -> Option<BorrowedFd<'_>> {
        match (which, self.dead) {
            (0, false) => Some(self.stream.as_fd()),
            (0, true) => None,
            (_, dead) => {
                self.pidfd.as_ref().filter(|_| !dead || self.process.is_some()).map(AsFd::as_fd)
            }
        }
    }

    fn fail(&mut self) {
        self.give_up(Errno::PIPE);
    }

    /// Notices a peer that has ended, said something unasked, or was not heard to the end.
    fn look(&mut self) {
        if self.dead {
            return self.reap();
        }
        let heard = |fd| poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timespec(0)));
        let left_over = self.have > 0 || self.check.is_some();
        if left_over || (0..2).filter_map(|n| self.watched(n)).any(|fd| heard(fd) != Ok(0)) {
            self.give_up(Errno::PROTO);
        }
    }

    fn reap(&mut self) {
        if self.dead && self.process.as_mut().is_some_and(Process::has_ended) {
            self.process = None;
        }
    }

    fn must_be_polled(&self) -> bool {
        self.dead && self.process.is_some() && self.pidfd.is_none()
    }
}

impl Child {
    /// Starts `command` with one end of a socket pair as its standard input and output.
    pub fn spawn(command: &[OsString], timeout: Option<u32>) -> Result<Box<Self>, Errno> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        take_descriptors(&ours, false);
        let mut command = Command::new(command)?;
        // A daemon of nsss that is started by root wants to know on whose behalf.
        for (name, id) in
            [("IPCREMOTEEUID", geteuid().as_raw()), ("IPCREMOTEEGID", getegid().as_raw())]
        {
            if !command.has(name) {
                command.set(name, write_decimal(id.into(), &mut [0; DECIMAL_MAX]))?;
            }
        }
        let process = command.start(theirs.as_fd(), theirs.as_fd())?;
        let pidfd = pidfd_open(process.pid, PidfdFlags::empty()).ok();
        let mut child = Child::on(ours, timeout);
        (child.process, child.pidfd) = (Some(process), pidfd);
        Ok(child)
    }

    /// The server that listens at `path`, if its queue is not full.
    pub fn connect(path: &OsStr) -> Result<Box<Self>, Errno> {
        let socket = connected(path, SocketFlags::NONBLOCK)?;
        fcntl_setfl(&socket, OFlags::empty())?;
        Ok(Child::on(socket, None))
    }

    /// Whether the server is root's or our own, so that nobody else's answers come from it.
    pub fn is_ours(&self) -> bool {
        let server = socket_peercred(&self.stream).map(|peer| peer.uid);
        server.is_ok_and(|uid| uid.is_root() || uid == geteuid())
    }

    /// The same; ETIMEDOUT where the queue stays full for so many milliseconds, which each answer
    /// may take, too.
    pub fn connect_within(path: &OsStr, millis: u32) -> Result<Box<Self>, Errno> {
        Ok(Child::on(connected_within(path, millis)?, Some(millis)))
    }

    /// Why it has failed for good: EPIPE and ECONNRESET if it closed without a word, ETIMEDOUT if
    /// it was late; `None`: it has not.
    pub fn cause(&self) -> Option<Errno> {
        self.dead.then_some(self.cause)
    }

    /// A server at the other end of `stream`.
    fn on(stream: OwnedFd, timeout: Option<u32>) -> Box<Self> {
        Box::new(Child {
            stream,
            process: None,
            pidfd: None,
            timeout,
            until: NEVER,
            deadline: NEVER,
            answered: false,
            dead: false,
            cause: Errno::IO,
            buffer: vec![0; REPLY_PIECE].into_boxed_slice(),
            have: 0,
            head_len: 0,
            check: None,
        })
    }

    /// It has failed for good, and is ended.
    fn give_up(&mut self, cause: Errno) -> Outcome {
        if let (false, Some(process)) = (self.dead, &self.process) {
            process.kill();
        }
        if !self.dead {
            self.cause = cause;
        }
        self.dead = true;
        self.reap();
        Outcome::Dead
    }

    /// From now on, an answer or a piece of it is waited for.
    fn start_clock(&mut self) {
        let own = self.timeout.map_or(NEVER, |t| clock::millis() + u64::from(t));
        self.deadline = own.min(self.until);
        // What it takes to start is not its answer's.
        if self.until != NEVER && self.process.is_some() && !self.answered {
            self.deadline += u64::from(START_MILLIS);
        }
    }

    fn exchange(
        &mut self,
        request: &Request<'_>,
        gids: &mut Gids,
        hit: &mut Hit,
    ) -> Result<Outcome, Errno> {
        if self.have > 0 || self.check.is_some() {
            // Left over from a reply that was not taken to its end.
            return Err(Errno::PROTO);
        }
        self.head_len = 0;
        let mut out = [0; Request::MAX];
        let asked = match *request {
            // Not more than there is room for: the rest is asked for again.
            Request::GroupList { max, user } => {
                Request::GroupList { max: gids.worth_asking(max), user }
            }
            other => other,
        };
        let len = asked.encode(&mut out).map_err(|_| Errno::INVAL)?;
        self.send(out.get(..len).unwrap_or_default())?;
        let reply = loop {
            match Reply::decode(&asked, self.held()) {
                Ok(took) => break took,
                Err(DecodeError::Incomplete(_)) => self.receive()?,
                Err(_) => return Err(Errno::PROTO),
            }
        };
        self.answered = true;
        let outcome = match reply.value {
            Reply::Done => Outcome::Done,
            Reply::NotFound => Outcome::NotFound,
            Reply::Failed(errno) => Outcome::Failed(errno),
            Reply::GroupList(head) => {
                self.drop_front(reply.len);
                self.receive_gids(head, gids)?;
                return Ok(Outcome::Groups);
            }
            Reply::Record(head) => {
                self.head_len = reply.len;
                self.receive_record(&head)?;
                *hit = Hit::Head(head);
                return Ok(Outcome::Found);
            }
        };
        if self.have != reply.len {
            return Err(Errno::PROTO);
        }
        self.have = 0;
        Ok(outcome)
    }

    /// A record that fits is read whole and checked, so that another backend can still be
    /// asked; of a larger one what there is.
    fn receive_record(&mut self, head: &Head) -> Result<(), Errno> {
        let size = self.head_len + head.area_len() as usize;
        if size > self.buffer.len() {
            let mut check = AreaChecker::new(head);
            check.feed(self.held()).map_err(|_| Errno::PROTO)?;
            self.check = Some(check);
            return Ok(());
        }
        while self.have < size {
            self.receive()?;
        }
        head.record(self.held()).map(|_| ()).map_err(|_| Errno::PROTO)
    }

    fn receive_gids(&mut self, head: GroupListHead, gids: &mut Gids) -> Result<(), Errno> {
        let mut left = usize::try_from(head.sent()).map_err(|_| Errno::PROTO)?;
        loop {
            let mut words = Reader::new(self.held());
            while left > 0 {
                let Ok(gid) = words.u32_be() else { break };
                gids.add(gid);
                left -= 1;
            }
            let taken = words.taken();
            self.drop_front(taken);
            if left == 0 {
                break;
            }
            self.receive()?;
        }
        if self.have > 0 {
            return Err(Errno::PROTO);
        }
        gids.add_unsent(head.total - head.sent());
        Ok(())
    }

    /// The next bytes of the area of the record that was found, and whether it ends with them.
    fn area(&mut self, out: &mut [u8]) -> Result<(usize, bool), Errno> {
        if self.have <= self.head_len {
            self.have = 0;
            self.head_len = 0;
            self.start_clock();
            self.receive_checked()?;
        }
        let len = copy_front(self.held(), out);
        self.head_len += len;
        let ended = self.head_len == self.have && self.check.is_none_or(|c| c.left() == 0);
        if ended {
            self.check = None;
            self.have = 0;
        }
        Ok((len, ended))
    }

    /// What was received and not passed on, without the head of a record.
    fn held(&self) -> &[u8] {
        self.buffer.get(self.head_len..self.have).unwrap_or_default()
    }

    fn drop_front(&mut self, len: usize) {
        self.buffer.copy_within(len.min(self.have)..self.have, 0);
        self.have = self.have.saturating_sub(len);
    }

    /// Reads what there is, at least a byte.
    fn receive(&mut self) -> Result<(), Errno> {
        self.wait(PollFlags::IN)?;
        let room = self.buffer.get_mut(self.have..).unwrap_or_default();
        if room.is_empty() {
            return Err(Errno::PROTO);
        }
        loop {
            match recv(&self.stream, &mut *room, RecvFlags::empty()) {
                Ok((_, 0)) if self.have > 0 => return Err(Errno::PROTO),
                Ok((_, 0)) => return Err(Errno::PIPE),
                Ok((_, len)) => {
                    self.have += len;
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Reads more of a record that is larger than the buffer.
    fn receive_checked(&mut self) -> Result<(), Errno> {
        let mut check = self.check.ok_or(Errno::PROTO)?;
        let before = self.have;
        self.receive()?;
        let new = self.buffer.get(before..self.have).unwrap_or_default();
        check.feed(new).map_err(|_| Errno::PROTO)?;
        self.check = Some(check);
        Ok(())
    }

    fn send(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            match send_some(&self.stream, bytes)? {
                0 => self.wait(PollFlags::OUT)?,
                len => bytes = bytes.get(len..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    /// Waits for the stream; the error if the deadline passes, or the process or our own client
    /// ends before.
    fn wait(&self, events: PollFlags) -> Result<(), Errno> {
        loop {
            let timeout = time_left(self.deadline);
            let watched = match &self.pidfd {
                Some(pidfd) => PollFd::new(pidfd, PollFlags::IN),
                None => PollFd::new(&self.stream, PollFlags::empty()),
            };
            // Whoever asked may leave: our own standard output tells.
            let client = match &self.process {
                Some(_) => PollFd::from_borrowed_fd(stdout(), PollFlags::empty()),
                None => PollFd::new(&self.stream, PollFlags::empty()),
            };
            let mut fds = [PollFd::new(&self.stream, events), watched, client];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return Err(Errno::TIMEDOUT),
                // What it said before it ended still counts.
                Ok(_) if !fds[0].revents().is_empty() => return Ok(()),
                Ok(_) => return Err(Errno::PIPE),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}
