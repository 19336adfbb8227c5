//! The references: the least that two processes, or one reader of a file, can do.
#![allow(dead_code, reason = "two benches share it, and each uses a part")]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::event::epoll;

use crate::daemon::{Daemon, Link, own_executable};
use crate::files::MANY;

/// What is asked of a reference: as long as PWD_GETBYNAME of a name of five letters.
pub const PING: [u8; 10] = *b"0123456789";
/// What a reference answers: as long as the reply to that.
pub const PONG: [u8; 40] = *b"0123456789abcdefghijklmnopqrstuvwxyz0123";

/// The bytes of one read of the scan.
const PIECE: usize = 64 * 1024;

/// A bare echo over a socketpair.
pub struct Pingpong(Link);

impl Pingpong {
    /// Starts the other process.
    pub fn start() -> io::Result<Pingpong> {
        let mut command = own_executable()?;
        command.args(["--serve", "pingpong"]);
        Link::start(&mut command).map(Pingpong)
    }

    /// One exchange.
    pub fn once(&self) -> io::Result<()> {
        self.0.ask(&PING, &PONG)
    }
}

/// A server that accepts in a plain loop, ready to be asked.
pub fn start_accept(socket: &OsStr) -> io::Result<Daemon> {
    let mut command = own_executable()?;
    command.args(["--serve", "accept"]).arg(socket);
    Daemon::start_and_wait(&mut command)
}

/// A server of lasting connections that echoes, ready to be asked.
pub fn start_echo(socket: &OsStr) -> io::Result<Daemon> {
    let mut command = own_executable()?;
    command.args(["--serve", "echo"]).arg(socket);
    Daemon::start_and_wait(&mut command)
}

/// The other process of the pingpong: standard input is the socket.
pub fn serve_pingpong() -> io::Result<()> {
    let socket = io::stdin();
    let mut buf = [0; PONG.len()];
    while rustix::io::read(socket.as_fd(), &mut buf)? != 0 {
        rustix::io::write(socket.as_fd(), &PONG)?;
    }
    Ok(())
}

/// Accepts, answers once, closes: it does not wait for the client's end of file, which makes it the
/// hardest reference of its kind. Writes a newline when it listens, as `ipcserver -1` does.
pub fn serve_accept(socket: &OsStr) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    println!();
    let mut buf = [0; PONG.len()];
    loop {
        let (mut client, _) = listener.accept()?;
        if client.read(&mut buf)? != 0 {
            client.write_all(&PONG)?;
        }
    }
}

/// Serves many lasting connections from one epoll(7) loop: what a server of all clients costs at
/// least. Connections are dropped with the process.
pub fn serve_echo(socket: &OsStr) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    let queue = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let add = |fd: BorrowedFd<'_>, name: usize| {
        epoll::add(&queue, fd, epoll::EventData::new_u64(name as u64), epoll::EventFlags::IN)
    };
    add(listener.as_fd(), usize::MAX)?;
    println!();
    let (mut clients, mut events) = (Vec::new(), Vec::with_capacity(64));
    let mut buf = [0; PONG.len()];
    loop {
        events.clear();
        epoll::wait(&queue, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let Some(client) = clients.get(event.data.u64() as usize) else {
                let (client, _) = listener.accept()?;
                add(client.as_fd(), clients.len())?;
                clients.push(client);
                continue;
            };
            if rustix::io::read(client, &mut buf)? == 0 {
                epoll::delete(&queue, client)?;
            } else {
                rustix::io::write(client, &PONG)?;
            }
        }
    }
}

/// Asks a userdb for all users of the long file, and counts what it says.
pub fn read_list(socket: &OsStr) -> io::Result<()> {
    let service = Path::new(socket).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let call = format!(
        "{{\"method\":\"io.systemd.UserDatabase.GetUserRecord\",\"more\":true,\
         \"parameters\":{{\"service\":\"{service}\"}}}}\0"
    );
    let mut server = UnixStream::connect(socket)?;
    server.write_all(call.as_bytes())?;
    // The uids 65534 and 65535 are nobody's.
    let (mut buf, mut left) = (vec![0; 256 * 1024], MANY as usize - 2);
    while left > 0 {
        let len = server.read(&mut buf)?;
        let got = buf.get(..len).unwrap_or_default();
        let told = memchr::memchr_iter(0, got).count();
        if len == 0 || told > left {
            return Err(io::Error::other(format!("{left} of the list are missing")));
        }
        left -= told;
        if left == 0 && !got.ends_with(b"}}\0") {
            return Err(io::Error::other("a list that has no end"));
        }
    }
    Ok(())
}

/// Reads a file from end to end and counts its newlines: what a search of the whole file costs at
/// least.
pub struct Scan {
    file: File,
    buf: Vec<u8>,
}

impl Scan {
    /// Opens the file.
    pub fn open(path: &Path) -> io::Result<Scan> {
        Ok(Scan { file: File::open(path)?, buf: vec![0; PIECE] })
    }

    /// The number of newlines.
    pub fn count(&mut self) -> io::Result<usize> {
        let (mut at, mut newlines) = (0, 0);
        loop {
            let len = self.file.read_at(&mut self.buf, at)?;
            if len == 0 {
                return Ok(newlines);
            }
            let piece = self.buf.get(..len).unwrap_or_default();
            newlines += memchr::memchr_iter(b'\n', piece).count();
            at += len as u64;
        }
    }
}
