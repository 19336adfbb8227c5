//! Processes: started on one CPU, asked over a socket, weighed, and ended whatever happens.
#![allow(dead_code, reason = "two benches share it, and each uses a part")]

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The children that are alive.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Binds this process, and what it starts, to one CPU and names it. The last one that is allowed:
/// interrupts tend to meet the first.
pub fn pin() -> io::Result<usize> {
    let allowed = sched_getaffinity(None)?;
    let cpu = (0..CpuSet::MAX_CPU)
        .rfind(|&cpu| allowed.is_set(cpu))
        .ok_or_else(|| io::Error::other("no CPU is allowed"))?;
    let mut one = CpuSet::new();
    one.set(cpu);
    sched_setaffinity(None, &one)?;
    Ok(cpu)
}

/// Kills all children after that time. Whoever waits for one of them meets an end of file then: a
/// deadline for each read would cost time in the very loops that are timed.
pub fn kill_all_after(time: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(time);
        eprintln!("speed: not done after {} s, ending what still runs", time.as_secs());
        for &pid in RUNNING.lock().iter().flat_map(|pids| pids.iter()) {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
}

/// This executable, to be run as the other process of a reference.
pub fn own_executable() -> io::Result<Command> {
    std::env::current_exe().map(Command::new)
}

/// A child, killed when dropped.
pub struct Daemon(Child);

impl Daemon {
    /// Its number.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Starts it.
    pub fn start(command: &mut Command) -> io::Result<Daemon> {
        let child = command
            .spawn()
            .map_err(|why| io::Error::other(format!("unable to start {command:?}: {why}")))?;
        if let Ok(mut pids) = RUNNING.lock() {
            pids.push(Pid::from_child(&child));
        }
        Ok(Daemon(child))
    }

    /// Starts a server and returns when it has written its newline.
    pub fn start_and_wait(command: &mut Command) -> io::Result<Daemon> {
        let mut daemon = Daemon::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let mut ready = [0; 1];
        match daemon.0.stdout.take().map(|mut out| out.read(&mut ready)) {
            Some(Ok(1)) => Ok(daemon),
            _ => Err(io::Error::other(format!("{command:?} ended before it was ready"))),
        }
    }

    /// Tells it to end.
    pub fn terminate(&self) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.0), Signal::TERM)?)
    }

    /// Waits for its end.
    pub fn wait(mut self) -> io::Result<()> {
        self.0.wait().map(drop)
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> io::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.0.id()))?.count())
    }

    /// The memory of the process and its descendants, in bytes: the sum of one line of
    /// /proc/PID/smaps_rollup (proc_pid_smaps(5)), say `Rss`. Unlike VmRSS of /proc/PID/status,
    /// these numbers are counted when they are read, and so exact.
    pub fn memory(&self, line: &str) -> io::Result<u64> {
        let mut family = vec![self.0.id()];
        let mut sum = 0;
        while let Some(pid) = family.pop() {
            sum += match process_memory(pid, line) {
                // A worker of it that has ended meanwhile holds nothing any more.
                Err(why) if pid != self.0.id() && has_ended(&why) => 0,
                other => other?,
            };
            family.extend(children(pid)?);
        }
        Ok(sum)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // First off the list: its number may soon belong to another.
        if let Ok(mut pids) = RUNNING.lock() {
            let own = Pid::from_child(&self.0);
            pids.retain(|&pid| pid != own);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn process_memory(pid: u32, line: &str) -> io::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path)?;
    let kib =
        text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':')?.strip_suffix("kB"));
    kib.and_then(|number| number.trim().parse::<u64>().ok())
        .map(|number| number * 1024)
        .ok_or_else(|| io::Error::other(format!("no {line} in {path}")))
}

/// Whether reading a file of /proc failed because its process is gone, or waits to be reaped.
fn has_ended(why: &io::Error) -> bool {
    let gone = [Errno::NOENT, Errno::SRCH];
    gone.iter().any(|errno| why.raw_os_error() == Some(errno.raw_os_error()))
}

/// The processes whose parent is `parent`.
fn children(parent: u32) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        // A process that has gone meanwhile is nobody's child.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // PID (NAME) STATE PARENT …, and the name may hold a parenthesis.
        let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
        if after_name.split(' ').nth(1) == Some(&parent.to_string()) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// A connection.
pub struct Connection(UnixStream);

impl Connection {
    /// Connects to a server.
    pub fn open(socket: &OsStr) -> io::Result<Connection> {
        UnixStream::connect(socket).map(Connection)
    }

    /// Sends a request, which fits the socket's buffer.
    pub fn send(&self, request: &[u8]) -> io::Result<()> {
        match rustix::io::write(self.0.as_fd(), request)? {
            len if len == request.len() => Ok(()),
            _ => Err(io::Error::other("the request was not taken whole")),
        }
    }

    /// Reads as many bytes as are expected and holds them against that.
    pub fn expect(&self, reply: &[u8]) -> io::Result<()> {
        let mut buf = [0; 4096];
        let mut left = reply;
        while !left.is_empty() {
            let room = buf.get_mut(..left.len().min(4096)).unwrap_or_default();
            let len = rustix::io::read(self.0.as_fd(), &mut *room)?;
            let got = room.get(..len).unwrap_or_default();
            left = match left.strip_prefix(got) {
                Some(rest) if len != 0 => rest,
                _ => return Err(wrong(got, left)),
            };
        }
        Ok(())
    }

    /// One exchange.
    pub fn ask(&self, request: &[u8], reply: &[u8]) -> io::Result<()> {
        self.send(request)?;
        self.expect(reply)
    }

    /// The only exchange of a connection: the end of it must follow.
    pub fn ask_and_end(&self, request: &[u8], reply: &[u8]) -> io::Result<()> {
        self.ask(request, reply)?;
        self.expect_end()
    }

    /// Reads the end of the connection, and nothing before it.
    pub fn expect_end(&self) -> io::Result<()> {
        match rustix::io::read(self.0.as_fd(), &mut [0; 1])? {
            0 => Ok(()),
            _ => Err(io::Error::other("more than the reply")),
        }
    }
}

fn wrong(got: &[u8], wanted: &[u8]) -> io::Error {
    let wanted = wanted.get(..got.len().max(8)).unwrap_or(wanted);
    let show = |bytes: &[u8]| bytes.get(..48).unwrap_or(bytes).escape_ascii().to_string();
    match got {
        [] => io::Error::other(format!("end of file instead of {}", show(wanted))),
        _ => io::Error::other(format!("wrong answer: {} instead of {}", show(got), show(wanted))),
    }
}

/// A daemon at the other end of a socketpair, and the connection to it.
pub struct Link {
    /// First, so that the daemon meets its end of file before it is killed.
    connection: Connection,
    _daemon: Daemon,
}

impl Link {
    /// Starts a daemon whose standard input and output are the socket.
    pub fn start(command: &mut Command) -> io::Result<Link> {
        let (ours, theirs) = UnixStream::pair()?;
        let (input, output) = (OwnedFd::from(theirs.try_clone()?), OwnedFd::from(theirs));
        let daemon = Daemon::start(command.stdin(input).stdout(output))?;
        // Until the command is given up, it holds the daemon's end open.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Link { connection: Connection(ours), _daemon: daemon })
    }

    /// One exchange.
    pub fn ask(&self, request: &[u8], reply: &[u8]) -> io::Result<()> {
        self.connection.ask(request, reply)
    }
}
