//! One connection to nslcd, which is one exchange: a request, and the reply as far as it is
//! taken.

use crate::limits::NSLCD_INPUT;
use crate::sys::clock::{duration, millis, time_left};
use crate::sys::socket;
use crate::sys::stream::send_some;
use nssproto::nslcd::stream::{EntryReader, EntrySummary};
use nssproto::nslcd::{ReplyHeader, Request, ResultCode};
use nssproto::{DecodeError, Decoded, entry::Db};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, Shutdown, SocketAddrUnix, SocketFlags};
use rustix::net::{connect, recv, shutdown};
use rustix::stdio::stdout;
use std::os::fd::OwnedFd;

/// How long to wait, and for whom.
#[derive(Clone, Copy)]
pub struct WaitLimit {
    /// A time of the clock, in milliseconds; [`NEVER`](crate::sys::clock::NEVER): without
    /// end.
    pub until: u64,
    /// Our own standard output is the client's: if he leaves, nobody needs the answer.
    pub for_client: bool,
}

impl WaitLimit {
    /// An error if no time is left.
    fn check(&self) -> Result<(), Errno> {
        if millis() < self.until { Ok(()) } else { Err(Errno::TIMEDOUT) }
    }
}

/// A request as it is sent.
#[derive(Clone, Copy)]
pub struct Query {
    bytes: [u8; Request::MAX],
    len: usize,
    action: u32,
    db: Db,
}

impl Query {
    /// Of this request.
    pub fn new(request: &Request<'_>) -> Result<Self, Errno> {
        let mut bytes = [0; Request::MAX];
        let len = request.encode(&mut bytes).map_err(|_| Errno::INVAL)?;
        Ok(Query { bytes, len, action: request.action(), db: request.db() })
    }

    /// Whose entries are asked for.
    pub fn db(&self) -> Db {
        self.db
    }
}

/// A connection, or a place for one.
pub struct Connection {
    stream: Option<OwnedFd>,
    buffer: Box<[u8]>,
    /// What of the buffer was received and not taken yet.
    have: (usize, usize),
    /// It ended before the first byte.
    unheard: bool,
}

impl Connection {
    /// A place for one.
    pub fn new() -> Self {
        let buffer = vec![0; NSLCD_INPUT].into_boxed_slice();
        Connection { stream: None, buffer, have: (0, 0), unheard: false }
    }

    /// Ends it, whatever is still to come.
    pub fn close(&mut self) {
        self.stream = None;
        self.have = (0, 0);
    }

    /// Connects, asks, and reads the reply up to its first mark.
    pub fn ask(
        &mut self,
        address: &SocketAddrUnix,
        question: &Query,
        wait: WaitLimit,
    ) -> Result<(), Errno> {
        self.close();
        self.unheard = false;
        let stream = socket::stream(SocketFlags::empty())?;
        wait.check()?;
        if let Some(left) = time_left(wait.until) {
            // Where its queue is full, connecting waits, and poll(2) could not tell for what.
            set_socket_timeout(&stream, Timeout::Send, Some(duration(left)))?;
        }
        loop {
            match connect(&stream, address) {
                Ok(()) => break,
                Err(Errno::INTR) => {
                    wait.check()?;
                }
                Err(Errno::AGAIN) => return Err(Errno::TIMEDOUT),
                Err(errno) => return Err(errno),
            }
        }
        self.stream = Some(stream);
        self.send(question.bytes.get(..question.len).unwrap_or_default(), wait)?;
        let header = self.read(wait, |bytes| ReplyHeader::decode(question.action, bytes));
        self.unheard = matches!(header, Err(Errno::PIPE | Errno::CONNRESET)) && self.is_empty();
        header.map(|_| ())
    }

    /// Whether another entry follows.
    pub fn mark(&mut self, wait: WaitLimit) -> Result<ResultCode, Errno> {
        let mark = self.read(wait, ResultCode::decode)?;
        if mark == ResultCode::End && self.have.0 != self.have.1 {
            // Nothing may follow the end.
            return Err(Errno::PROTO);
        }
        Ok(mark)
    }

    /// Reads an entry of `db` to its end. As much of its area as `area` has room for goes there,
    /// without the NUL at its end; how much.
    pub fn entry(
        &mut self,
        db: Db,
        area: &mut [u8],
        wait: WaitLimit,
    ) -> Result<(EntrySummary, usize), Errno> {
        let (mut passage, mut kept) = (EntryReader::new(db), 0);
        loop {
            kept += self.feed(&mut passage, area.get_mut(kept..).unwrap_or_default())?;
            let taken = passage.measure(self.bytes()).map_err(|_| Errno::PROTO)?;
            self.take(taken);
            match passage.summary() {
                Some(measured) => return Ok((measured, kept)),
                None => self.receive(wait)?,
            }
        }
    }

    /// Lets what was received of an entry pass, as far as `out` has room for its area; how much
    /// of that there was.
    pub fn feed(&mut self, passage: &mut EntryReader, out: &mut [u8]) -> Result<usize, Errno> {
        let (taken, put) = passage.feed(self.bytes(), out).map_err(|_| Errno::PROTO)?;
        self.take(taken);
        Ok(put)
    }

    /// Whether it ended before it said anything.
    pub fn is_unheard(&self) -> bool {
        self.unheard
    }

    /// Whether all that was received has been taken.
    pub fn is_empty(&self) -> bool {
        self.have.0 == self.have.1
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.get(self.have.0..self.have.1).unwrap_or_default()
    }

    fn take(&mut self, len: usize) {
        self.have.0 = (self.have.0 + len).min(self.have.1);
    }

    fn read<T>(
        &mut self,
        wait: WaitLimit,
        decode: impl Fn(&[u8]) -> Result<Decoded<T>, DecodeError>,
    ) -> Result<T, Errno> {
        loop {
            match decode(self.bytes()) {
                Ok(took) => {
                    self.take(took.len);
                    return Ok(took.value);
                }
                Err(DecodeError::Incomplete(_)) => self.receive(wait)?,
                Err(_) => return Err(Errno::PROTO),
            }
        }
    }

    /// Reads what there is, at least a byte.
    pub fn receive(&mut self, wait: WaitLimit) -> Result<(), Errno> {
        let stream = self.stream.as_ref().ok_or(Errno::PIPE)?;
        // What is left is the beginning of a number.
        self.buffer.copy_within(self.have.0..self.have.1, 0);
        self.have = (0, self.have.1 - self.have.0);
        let room = self.buffer.get_mut(self.have.1..).unwrap_or_default();
        if room.is_empty() {
            return Err(Errno::PROTO);
        }
        loop {
            // Also where it sends without a pause.
            wait.check()?;
            match recv(stream, &mut *room, RecvFlags::DONTWAIT) {
                // Without the mark of the end: it has failed.
                Ok((_, 0)) => return Err(Errno::PIPE),
                Ok((_, len)) => {
                    self.have.1 += len;
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => pause(stream, PollFlags::IN, wait)?,
                Err(errno) => return Err(errno),
            }
        }
    }

    fn send(&mut self, mut bytes: &[u8], wait: WaitLimit) -> Result<(), Errno> {
        let stream = self.stream.as_ref().ok_or(Errno::PIPE)?;
        while !bytes.is_empty() {
            match send_some(stream, bytes)? {
                0 => pause(stream, PollFlags::OUT, wait)?,
                len => bytes = bytes.get(len..).unwrap_or_default(),
            }
        }
        // As nsss does. One that has closed already has said all that it will.
        let _ = shutdown(stream, Shutdown::Write);
        Ok(())
    }
}

/// Waits for the stream; the error if the time is up or the client leaves before.
fn pause(stream: &OwnedFd, events: PollFlags, wait: WaitLimit) -> Result<(), Errno> {
    loop {
        wait.check()?;
        let timeout = time_left(wait.until);
        let client = match wait.for_client {
            true => PollFd::from_borrowed_fd(stdout(), PollFlags::empty()),
            false => PollFd::new(stream, PollFlags::empty()),
        };
        let mut fds = [PollFd::new(stream, events), client];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) => return Err(Errno::TIMEDOUT),
            Ok(_) if !fds[0].revents().is_empty() => return Ok(()),
            Ok(_) => return Err(Errno::PIPE),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
