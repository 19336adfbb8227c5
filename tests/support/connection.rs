//! Our end of a socket.

use super::{DEADLINE, QUIET};
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// What one read brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    /// At least one byte.
    Bytes(Vec<u8>),
    /// End of file, or a reset connection.
    End,
    /// The time was up.
    Nothing,
}

/// Our end of a stream socket, with [`DEADLINE`] on each read and write.
#[derive(Debug)]
pub struct Connection(UnixStream);

impl Connection {
    /// Takes a connected socket over.
    #[track_caller]
    pub fn new(stream: UnixStream) -> Connection {
        stream.set_write_timeout(Some(DEADLINE)).expect("a socket takes a deadline");
        Connection(stream)
    }

    /// Connects to a listening socket.
    #[track_caller]
    pub fn connect(path: &Path) -> Connection {
        let stream = UnixStream::connect(path)
            .unwrap_or_else(|e| panic!("unable to connect to {}: {e}", path.display()));
        Connection::new(stream)
    }

    /// The socket itself.
    pub fn stream(&self) -> &UnixStream {
        &self.0
    }

    /// Sends all of `bytes`.
    #[track_caller]
    pub fn send(&self, bytes: &[u8]) {
        self.try_send(bytes)
            .unwrap_or_else(|e| panic!("unable to send {} bytes: {e}", bytes.len()));
    }

    /// Sends all of `bytes`; for when the peer may have closed already.
    pub fn try_send(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.0).write_all(bytes)
    }

    /// Shuts our sending side down: the peer reads end of file.
    pub fn half_close(&self) {
        // Fails if the peer is gone, which the next read shows.
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// One read, waiting no longer than `limit`.
    #[track_caller]
    pub fn recv(&self, limit: Duration) -> Got {
        // Zero would mean no limit.
        let limit = limit.max(Duration::from_millis(1));
        self.0.set_read_timeout(Some(limit)).expect("a socket takes a deadline");
        let mut buffer = vec![0; 65_536];
        loop {
            match (&self.0).read(&mut buffer) {
                Ok(0) => return Got::End,
                Ok(n) => {
                    buffer.truncate(n);
                    return Got::Bytes(buffer);
                }
                Err(e) => match e.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Got::Nothing,
                    io::ErrorKind::ConnectionReset => return Got::End,
                    _ => panic!("unable to read: {e}"),
                },
            }
        }
    }

    /// Exactly `n` bytes; more stay in the socket.
    #[track_caller]
    pub fn recv_exact(&self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        let mut have = 0;
        let end = Instant::now() + DEADLINE;
        while have < n {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{have} of {n} bytes came in time");
            self.0.set_read_timeout(Some(left)).expect("a socket takes a deadline");
            match (&self.0).read(&mut bytes[have..]) {
                Ok(0) => panic!("end of file after {have} of {n} bytes"),
                Ok(more) => have += more,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => panic!("{have} of {n} bytes came: {e}"),
            }
        }
        bytes
    }

    /// Sends a request and takes `n` bytes of reply.
    #[track_caller]
    pub fn ask(&self, request: &[u8], n: usize) -> Vec<u8> {
        self.send(request);
        self.recv_exact(n)
    }

    /// Sends a request and compares the reply. What follows the reply is not looked at.
    #[track_caller]
    pub fn expect(&self, request: &[u8], reply: &[u8]) {
        let got = self.ask(request, reply.len());
        assert!(got == reply, "request {request:02x?}\n     got {got:02x?}\nexpected {reply:02x?}");
    }

    /// End of file must come, and no byte before it.
    #[track_caller]
    pub fn expect_eof(&self) {
        match self.recv(DEADLINE) {
            Got::End => {}
            got => panic!("expected end of file, got {got:?}"),
        }
    }

    /// For a moment nothing may come, neither bytes nor end of file.
    #[track_caller]
    pub fn expect_silence(&self) {
        match self.recv(QUIET) {
            Got::Nothing => {}
            got => panic!("expected silence, got {got:?}"),
        }
    }
}
