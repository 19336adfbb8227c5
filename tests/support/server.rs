//! The super-server under test.

use super::process::{end, wait_for_exit};
use super::{Captured, Connection, DEADLINE, Got};
use rustix::process::{Pid, Signal, kill_process};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A super-server that listens, started with `-1`. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    socket: PathBuf,
    ready: Connection,
    stderr: Captured,
}

impl Server {
    /// `ipcserver -1 OPTIONS SOCKET PROGRAM`, from `bin`, with the socket `s` in `dir`.
    #[track_caller]
    pub fn start(bin: &Path, dir: &Path, options: &[&str], program: &[&str]) -> Server {
        let socket = dir.join("s");
        let mut command = super::tool(bin, "ipcserver");
        command.arg("-1").args(options).arg(&socket).args(program);
        Server::start_command(command, &socket)
    }

    /// The same with a whole command line, `-1` among its words, that listens on `socket`.
    #[track_caller]
    pub fn start_command(command: Command, socket: &Path) -> Server {
        let shown = format!("{command:?}");
        let mut server = Server::spawn(command, socket);
        let end = Instant::now() + DEADLINE;
        match server.ready.recv(DEADLINE) {
            Got::Bytes(bytes) => assert_eq!(bytes, b"\n", "readiness is one newline"),
            got => {
                // What it says may come a moment after it closed standard output.
                while got == Got::End && server.running() && Instant::now() < end {
                    thread::sleep(Duration::from_millis(2));
                }
                panic!("{shown} is not ready, {got:?}: {}", server.stderr());
            }
        }
        server
    }

    /// The same without waiting for readiness.
    #[track_caller]
    pub fn spawn(mut command: Command, socket: &Path) -> Server {
        let stderr = Captured::new();
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        command.stdin(Stdio::null()).stdout(OwnedFd::from(theirs)).stderr(stderr.stdio());
        let child = command.spawn().unwrap_or_else(|e| panic!("unable to start {command:?}: {e}"));
        Server { child, socket: socket.to_owned(), ready: Connection::new(ours), stderr }
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its standard output: after the newline, end of file is due.
    pub fn ready(&self) -> &Connection {
        &self.ready
    }

    /// A new connection to it.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::connect(&self.socket)
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Whether it has not ended yet.
    #[track_caller]
    pub fn running(&mut self) -> bool {
        self.child.try_wait().expect("state of a child").is_none()
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("a child takes a signal");
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        wait_for_exit(&mut self.child)
    }

    /// Ends it by SIGTERM and waits.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        if self.running() {
            self.signal(Signal::TERM);
        }
        self.wait()
    }

    /// What it wrote to standard error so far.
    #[track_caller]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
