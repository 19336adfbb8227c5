//! Many clients in one process and one epoll loop.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::files::Question;

/// How long an honest client waits for an answer before that counts as an error.
const PATIENCE: Duration = Duration::from_secs(5);

/// Milliseconds between two pieces that a slow reader takes, and their size.
const SLOW_PAUSE: u64 = 20;
const SLOW_PIECE: usize = 8192;

/// Raises the limit of open files as far as it goes.
pub fn raise_descriptors() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}

/// How a protocol uses a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Dialogue {
    /// One question after the other.
    Lasting,
    /// One question, and the end follows the answer.
    Once,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Honest,
    Slow,
    Hostile,
}

struct Client {
    kind: Kind,
    socket: Option<OwnedFd>,
    /// The place in the mix.
    next: usize,
    /// Bytes of the answer that came.
    got: usize,
    asked: Instant,
    /// When a slow reader reads on.
    pause: Option<Instant>,
}

/// What came of it.
#[derive(Default)]
pub struct Report {
    /// Good answers.
    pub answers: u64,
    /// Wrong answers, none in time, or an end in the middle; honest and slow clients.
    pub errors: u64,
    /// What the first of them was.
    pub first_error: Option<String>,
    /// Connects that found the server's queue full and were made a moment later.
    pub full: u64,
    /// How long it took.
    pub time: Duration,
    /// Microseconds of each honest answer.
    latencies: Vec<u32>,
}

impl Report {
    /// Before [`Report::percentile`].
    pub fn sort(&mut self) {
        self.latencies.sort_unstable();
    }

    /// Microseconds within which so many in a hundred were answered.
    pub fn percentile(&self, percent: f64) -> u32 {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * percent / 100.0) as usize;
        self.latencies.get(at).copied().unwrap_or(0)
    }

    fn error(&mut self, what: String) {
        self.errors += 1;
        self.first_error.get_or_insert(what);
    }
}

/// The clients.
pub struct Crowd<'a> {
    socket: OsString,
    mix: &'a [Question],
    large: &'a Question,
    dialogue: Dialogue,
    epoll: OwnedFd,
    clients: Vec<Client>,
    /// Those that have to connect.
    outside: VecDeque<usize>,
    report: Report,
    buffer: Vec<u8>,
    random: u64,
}

impl<'a> Crowd<'a> {
    /// Nobody yet.
    pub fn new(
        socket: &OsStr,
        mix: &'a [Question],
        large: &'a Question,
        dialogue: Dialogue,
    ) -> io::Result<Self> {
        Ok(Crowd {
            socket: socket.to_owned(),
            mix,
            large,
            dialogue,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            clients: Vec::new(),
            outside: VecDeque::new(),
            report: Report::default(),
            buffer: vec![0; 64 * 1024],
            random: 0x9e37_79b9_7f4a_7c15,
        })
    }

    /// Nobody, for the same server.
    pub fn like(&self) -> io::Result<Self> {
        Crowd::new(&self.socket, self.mix, self.large, self.dialogue)
    }

    fn push(&mut self, kind: Kind) {
        self.outside.push_back(self.clients.len());
        let asked = Instant::now();
        self.clients.push(Client { kind, socket: None, next: 0, got: 0, asked, pause: None });
    }

    /// One that asks the mix, over and over.
    pub fn add(&mut self) {
        self.push(Kind::Honest);
    }

    /// One that asks for the large record and takes it slowly.
    pub fn add_slow(&mut self) {
        self.push(Kind::Slow);
    }

    /// One that sends garbage.
    pub fn add_hostile(&mut self) {
        self.push(Kind::Hostile);
    }

    /// Forgets what was reported so far.
    pub fn forget(&mut self) {
        self.report = Report::default();
    }

    /// Runs until that time, or until there are so many answers.
    pub fn run_until(&mut self, end: Instant, answers: u64) -> io::Result<Report> {
        let start = Instant::now();
        let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
        let mut checked = start;
        while Instant::now() < end && self.report.answers < answers {
            self.let_in();
            events.clear();
            let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
            let room = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, room, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            for event in events.iter() {
                self.heard(event.data.u64() as usize);
            }
            if checked.elapsed() > Duration::from_millis(SLOW_PAUSE / 2) {
                checked = Instant::now();
                self.look_around(checked);
            }
        }
        self.report.time = start.elapsed();
        Ok(std::mem::take(&mut self.report))
    }

    /// Connects those who are outside, until the server's queue is full.
    fn let_in(&mut self) {
        while let Some(at) = self.outside.pop_front() {
            match self.connect(at) {
                Ok(()) => {}
                Err(Errno::AGAIN) => {
                    self.report.full += 1;
                    self.outside.push_front(at);
                    return;
                }
                Err(errno) => {
                    self.report.error(format!("unable to connect: {errno}"));
                    self.outside.push_back(at);
                    return;
                }
            }
        }
    }

    fn connect(&mut self, at: usize) -> Result<(), Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(self.socket.as_os_str())?)?;
        let data = epoll::EventData::new_u64(at as u64);
        epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN)?;
        if let Some(client) = self.clients.get_mut(at) {
            client.socket = Some(socket);
        }
        self.ask(at);
        Ok(())
    }

    fn question(&self, at: usize) -> Option<(&'a Question, Kind)> {
        let client = self.clients.get(at)?;
        let question = match client.kind {
            Kind::Slow => self.large,
            _ => self.mix.get(client.next % self.mix.len())?,
        };
        Some((question, client.kind))
    }

    fn ask(&mut self, at: usize) {
        let Some((question, kind)) = self.question(at) else { return };
        let mut garbage = [0; 64];
        let bytes = match kind {
            Kind::Hostile => {
                for byte in &mut garbage {
                    // xorshift64
                    self.random ^= self.random << 13;
                    self.random ^= self.random >> 7;
                    self.random ^= self.random << 17;
                    *byte = self.random as u8;
                }
                garbage.as_slice()
            }
            _ => question.request.as_slice(),
        };
        let Some(client) = self.clients.get_mut(at) else { return };
        (client.got, client.asked) = (0, Instant::now());
        let Some(socket) = &client.socket else { return };
        let sent = rustix::net::send(socket, bytes, rustix::net::SendFlags::NOSIGNAL);
        if sent != Ok(bytes.len()) && kind != Kind::Hostile {
            self.report.error(format!("a request was not taken: {sent:?}"));
        }
    }

    fn leave(&mut self, at: usize) {
        if let Some(client) = self.clients.get_mut(at) {
            (client.socket, client.pause) = (None, None);
            self.outside.push_back(at);
        }
    }

    /// Reads what there is, once.
    fn heard(&mut self, at: usize) {
        let Some((question, kind)) = self.question(at) else { return };
        let Some(client) = self.clients.get_mut(at) else { return };
        let Some(socket) = &client.socket else { return };
        if client.pause.is_some() {
            return;
        }
        let most = if kind == Kind::Slow { SLOW_PIECE } else { self.buffer.len() };
        let room = self.buffer.get_mut(..most).unwrap_or_default();
        let len = match rustix::io::read(socket.as_fd(), &mut *room) {
            Err(Errno::AGAIN | Errno::INTR) => return,
            other => other.unwrap_or(0),
        };
        if kind == Kind::Hostile {
            if len == 0 {
                self.leave(at);
            }
            return;
        }
        let got = room.get(..len).unwrap_or_default();
        let due = question.reply.get(client.got..).unwrap_or_default();
        if len == 0 && due.is_empty() && self.dialogue == Dialogue::Once {
            return self.answered(at, kind);
        }
        if len == 0 || !due.starts_with(got) {
            let what = if len == 0 { "the end" } else { "wrong bytes" };
            let text = format!("{what} after {} of {} bytes", client.got, question.reply.len());
            self.report.error(text);
            return self.leave(at);
        }
        client.got += len;
        if kind == Kind::Slow {
            self.rest(at);
        }
        if due.len() == len && self.dialogue == Dialogue::Lasting {
            self.answered(at, kind);
        }
    }

    fn answered(&mut self, at: usize, kind: Kind) {
        let Some(client) = self.clients.get_mut(at) else { return };
        self.report.answers += 1;
        if kind == Kind::Honest {
            let micros = client.asked.elapsed().as_micros();
            self.report.latencies.push(u32::try_from(micros).unwrap_or(u32::MAX));
        }
        client.next = (client.next + 1) % self.mix.len();
        match self.dialogue {
            Dialogue::Lasting => self.ask(at),
            Dialogue::Once => self.leave(at),
        }
    }

    /// A slow reader does not look at its socket for a while.
    fn rest(&mut self, at: usize) {
        if let Some(client) = self.clients.get_mut(at) {
            client.pause = Some(Instant::now() + Duration::from_millis(SLOW_PAUSE));
            self.watch(at, epoll::EventFlags::empty());
        }
    }

    fn watch(&self, at: usize, flags: epoll::EventFlags) {
        let socket = self.clients.get(at).and_then(|client| client.socket.as_ref());
        if let Some(socket) = socket {
            let data = epoll::EventData::new_u64(at as u64);
            let _ = epoll::modify(&self.epoll, socket, data, flags);
        }
    }

    /// Wakes slow readers, and finds those who wait for too long.
    fn look_around(&mut self, now: Instant) {
        for at in 0..self.clients.len() {
            let Some(client) = self.clients.get_mut(at) else { continue };
            if client.pause.is_some_and(|end| end <= now) {
                client.pause = None;
                client.asked = now;
                self.watch(at, epoll::EventFlags::IN);
            } else if client.kind != Kind::Hostile
                && client.socket.is_some()
                && now.duration_since(client.asked) > PATIENCE
            {
                self.report.error("no answer for five seconds".to_owned());
                self.leave(at);
            }
        }
    }
}
