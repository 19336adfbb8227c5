//! Programs under test: daemons on a socket pair, and those that just run to their end.

use super::{Connection, DEADLINE};
use rustix::process::Pid;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Standard error (or output) of a program, kept in a file without a name.
#[derive(Debug)]
pub struct Captured(File);

impl Captured {
    /// A fresh one.
    #[track_caller]
    pub fn new() -> Captured {
        let dir = super::TempDir::new();
        let file = fs::OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .open(dir.join("captured"))
            .expect("a file for output");
        Captured(file)
    }

    /// A descriptor for the program to write to.
    #[track_caller]
    pub fn stdio(&self) -> Stdio {
        Stdio::from(self.0.try_clone().expect("one more descriptor"))
    }

    /// All that was written so far.
    #[track_caller]
    pub fn bytes(&self) -> Vec<u8> {
        let size = self.0.metadata().expect("size of output").len();
        let mut bytes = vec![0; usize::try_from(size).expect("output is small")];
        self.0.read_exact_at(&mut bytes, 0).expect("read output");
        bytes
    }

    /// The same as text, bad UTF-8 replaced.
    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

/// A daemon on one end of a socket pair as standard input and output; we hold the other end.
///
/// Killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    connection: Option<Connection>,
    stderr: Captured,
}

impl Daemon {
    /// Starts `command`, whose three standard descriptors are set here.
    #[track_caller]
    pub fn start(mut command: Command) -> Daemon {
        match Daemon::try_start(&mut command) {
            Ok(daemon) => daemon,
            Err(e) => panic!("unable to start {command:?}: {e}"),
        }
    }

    /// The same for a program that may be missing.
    pub fn try_start(command: &mut Command) -> io::Result<Daemon> {
        let stderr = Captured::new();
        let (ours, theirs) = UnixStream::pair()?;
        command
            .stdin(OwnedFd::from(theirs.try_clone()?))
            .stdout(OwnedFd::from(theirs))
            .stderr(stderr.stdio());
        let child = command.spawn();
        // The command keeps its descriptors: let go of the socket, or no end of file would come.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Daemon { child: child?, connection: Some(Connection::new(ours)), stderr })
    }

    /// Our end. Panics after [`Daemon::close`].
    #[track_caller]
    pub fn client(&self) -> &Connection {
        self.connection.as_ref().expect("a connection not closed")
    }

    /// [`Connection::send`] on our end.
    #[track_caller]
    pub fn send(&self, bytes: &[u8]) {
        self.client().send(bytes);
    }

    /// [`Connection::recv_exact`] on our end.
    #[track_caller]
    pub fn recv_exact(&self, n: usize) -> Vec<u8> {
        self.client().recv_exact(n)
    }

    /// [`Connection::ask`] on our end.
    #[track_caller]
    pub fn ask(&self, request: &[u8], n: usize) -> Vec<u8> {
        self.client().ask(request, n)
    }

    /// [`Connection::expect`] on our end.
    #[track_caller]
    pub fn expect(&self, request: &[u8], reply: &[u8]) {
        self.client().expect(request, reply);
    }

    /// [`Connection::expect_eof`] on our end.
    #[track_caller]
    pub fn expect_eof(&self) {
        self.client().expect_eof();
    }

    /// Closes our end.
    pub fn close(&mut self) {
        self.connection = None;
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for its end, our end left as it is.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        wait_for_exit(&mut self.child)
    }

    /// Closes our end, waits and gives the exit code; `None` if a signal killed it.
    #[track_caller]
    pub fn finish(&mut self) -> Option<i32> {
        self.close();
        self.wait().code()
    }

    /// What it wrote to standard error so far.
    #[track_caller]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Kills and reaps a child, if that is still to be done.
pub(super) fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Waits for the end of a child; one that does not end in time is killed, and that is a failure.
#[track_caller]
pub fn wait_for_exit(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().expect("state of a child") {
            return status;
        }
        if Instant::now() >= deadline {
            let pid = child.id();
            end(child);
            panic!("process {pid} did not end in time");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// How a program ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code, `None` if a signal killed it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error, bad UTF-8 replaced.
    pub stderr: String,
}

/// Runs a program to its end, with nothing on standard input.
#[track_caller]
pub fn run_to_end(command: Command) -> Finished {
    run_to_end_with_input(command, b"")
}

/// Runs a program to its end, with a file of these bytes as standard input.
#[track_caller]
pub fn run_to_end_with_input(mut command: Command, input: &[u8]) -> Finished {
    let dir = super::TempDir::new();
    let stdin = File::open(dir.write("stdin", input)).expect("standard input");
    let (stdout, stderr) = (Captured::new(), Captured::new());
    command.stdin(stdin).stdout(stdout.stdio()).stderr(stderr.stdio());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("unable to start {command:?}: {e}"));
    let status = wait_for_exit(&mut child);
    Finished { code: status.code(), stdout: stdout.bytes(), stderr: stderr.text() }
}
