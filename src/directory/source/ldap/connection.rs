//! A connection to a server: bytes in a window, messages out of it.

use crate::directory::failure::{Done, Failure};
use crate::limits::{LDAP_ENTRY, LDAP_MESSAGE, LDAP_WINDOW};
use nssproto::DecodeError;
use nssproto::ldap::stream::{self, Entry, Item};
use nssproto::ldap::{Controls, Front, Message, Request, Response, front};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What carries the bytes.
pub enum Stream {
    /// TCP as it is.
    Tcp(TcpStream),
    /// A socket of this machine.
    Unix(UnixStream),
    /// TCP with TLS.
    #[cfg(feature = "tls")]
    Tls(Box<super::tls::TlsStream>),
}

impl Stream {
    /// How long a read or a write may take.
    fn set_timeout(&self, time: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(tcp) => {
                tcp.set_read_timeout(Some(time)).and_then(|()| tcp.set_write_timeout(Some(time)))
            }
            Stream::Unix(unix) => {
                unix.set_read_timeout(Some(time)).and_then(|()| unix.set_write_timeout(Some(time)))
            }
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => {
                let tcp = &tls.sock;
                tcp.set_read_timeout(Some(time)).and_then(|()| tcp.set_write_timeout(Some(time)))
            }
        }
    }

    fn reader(&mut self) -> &mut dyn Read {
        match self {
            Stream::Tcp(tcp) => tcp,
            Stream::Unix(unix) => unix,
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => tls.as_mut(),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(tcp) => tcp.write_all(bytes),
            Stream::Unix(unix) => unix.write_all(bytes),
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }
}

/// A connection.
pub struct Connection {
    stream: Stream,
    window: Vec<u8>,
    /// What of the window was received and is not used yet.
    start: usize,
    end: usize,
    /// The number of the last request.
    id: u32,
    silence: Duration,
    /// Bytes received.
    pub received: u64,
}

impl Connection {
    /// One that carries nothing yet.
    pub fn new(stream: Stream, silence: Duration) -> Done<Self> {
        let unable = |error| Failure::unavailable(format!("unable to use a socket: {error}"));
        stream.set_timeout(silence).map_err(unable)?;
        let window = vec![0; LDAP_WINDOW];
        Ok(Connection { stream, window, start: 0, end: 0, id: 0, silence, received: 0 })
    }

    /// The stream, to put TLS on it; an error if something came that nobody asked for.
    #[cfg(feature = "tls")]
    pub fn into_stream(self) -> Done<Stream> {
        match self.start == self.end {
            true => Ok(self.stream),
            false => Err(Failure::refused("the server sends in plain text behind its StartTLS")),
        }
    }

    /// What to wait at.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Tcp(tcp) => tcp.as_fd(),
            Stream::Unix(unix) => unix.as_fd(),
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => tls.sock.as_fd(),
        }
    }

    /// Whether there is something to read that the descriptor does not tell of.
    pub fn has_more(&mut self) -> bool {
        if self.start < self.end {
            return true;
        }
        #[cfg(feature = "tls")]
        if let Stream::Tls(tls) = &mut self.stream {
            return tls
                .conn
                .process_new_packets()
                .is_ok_and(|state| state.plaintext_bytes_to_read() > 0);
        }
        false
    }

    /// Sends a request; its number.
    pub fn send(&mut self, request: &Request<'_>, controls: Controls<'_>) -> Done<u32> {
        let id = if self.id >= i32::MAX as u32 { 1 } else { self.id + 1 };
        self.id = id;
        let mut out = vec![0; 1024];
        let len = loop {
            match request.encode(id, controls, &mut out) {
                Ok(len) => break len,
                Err(nssproto::EncodeError::NoSpace(size)) if size <= LDAP_MESSAGE => {
                    out.resize(size, 0);
                }
                Err(error) => return Err(Failure::refused(format!("unable to ask: {error}"))),
            }
        };
        let sent = self.stream.write(out.get(..len).unwrap_or_default());
        // It may hold a password.
        out.fill(0);
        sent.map_err(|error| self.broken(&error))?;
        Ok(id)
    }

    fn broken(&self, error: &io::Error) -> Failure {
        #[cfg(feature = "tls")]
        if let Some(failure) = super::tls::refusal(error) {
            return failure;
        }
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => self.silent(),
            _ => Failure::unavailable(format!("the connection broke: {error}")),
        }
    }

    fn silent(&self) -> Failure {
        let seconds = self.silence.as_secs();
        Failure::unavailable(format!("the server is silent for {seconds} s (ldap_timelimit)"))
    }

    /// Receives more, behind what waits in the window, which is moved to the front.
    fn fill(&mut self) -> Done {
        if self.start > 0 {
            self.window.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let room = self.window.get_mut(self.end..).unwrap_or_default();
        let got = loop {
            match self.stream.reader().read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(&error)),
                Ok(0) => return Err(Failure::unavailable("the server closed the connection")),
                Ok(got) => break got,
            }
        };
        self.end += got;
        self.received += got as u64;
        Ok(())
    }

    /// Waits until `look` finds what it wants at the front of what was received. One deadline for the
    /// whole of it: a server that sends a byte now and then is as good as a silent one.
    fn wait<T>(&mut self, mut look: impl FnMut(&[u8]) -> Result<T, DecodeError>) -> Done<T> {
        let mut deadline = None;
        loop {
            let waiting = self.window.get(self.start..self.end).unwrap_or_default();
            match look(waiting) {
                Ok(found) => return Ok(found),
                Err(DecodeError::Incomplete(missing)) => {
                    let size = waiting.len().saturating_add(missing);
                    if size > LDAP_MESSAGE {
                        let most = LDAP_MESSAGE >> 10;
                        let text = format!("the server sends a value of more than {most} KiB");
                        return Err(Failure::refused(text));
                    }
                    if size > self.window.len() {
                        self.window.resize(size, 0);
                    }
                }
                Err(error) => return Err(Failure::refused(format!("the server sends {error}"))),
            }
            let deadline = deadline.get_or_insert_with(|| Instant::now() + self.silence);
            if Instant::now() >= *deadline {
                return Err(self.silent());
            }
            self.fill()?;
        }
    }

    /// The front of the next message.
    pub fn front(&mut self) -> Done<Front> {
        let front = self.wait(front)?;
        if front.len > LDAP_ENTRY {
            let (len, most) = (front.len, LDAP_ENTRY >> 20);
            return Err(Failure::refused(format!(
                "a message of {len} bytes; {most} MiB are the most"
            )));
        }
        Ok(front)
    }

    /// The next message, which is no entry.
    pub fn message(&mut self) -> Done<Message<'_, Response<'_>>> {
        let decoded = self.wait(|bytes| Response::decode(bytes).map(|decoded| decoded.len))?;
        let from = self.start;
        self.start += decoded;
        let bytes = self.window.get(from..self.start).unwrap_or_default();
        match Response::decode(bytes) {
            Ok(decoded) => Ok(decoded.value),
            Err(error) => Err(Failure::refused(format!("the server sends {error}"))),
        }
    }

    /// The next message, which is an entry.
    pub fn entry(&mut self) -> Done<Items<'_>> {
        let begun = self.wait(Entry::begin)?;
        self.start += begun.len;
        Ok(Items { connection: self, entry: begun.value })
    }
}

/// Whether a message is an entry.
pub fn is_entry(front: &Front) -> bool {
    stream::is_entry(front)
}

/// The items of an entry.
pub struct Items<'c> {
    connection: &'c mut Connection,
    entry: Entry,
}

impl Items<'_> {
    /// The next one; `None`: there are no more.
    pub fn next(&mut self) -> Done<Option<Item<'_>>> {
        let entry = self.entry;
        // First how long it is, since it is lent from the window.
        let len = self.connection.wait(|bytes| {
            let mut entry = entry;
            entry.next(bytes).map(|item| item.map_or(0, |item| item.len))
        })?;
        let connection = &mut *self.connection;
        let bytes = connection.window.get(connection.start..connection.end).unwrap_or_default();
        connection.start += len;
        match self.entry.next(bytes) {
            Ok(item) => Ok(item.map(|item| item.value)),
            Err(error) => Err(Failure::refused(format!("the server sends {error}"))),
        }
    }
}
