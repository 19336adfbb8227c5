//! Servers that are replaced, or told by SIGHUP to close their connections, while many clients
//! ask: a client gets the right answer, a closed connection, or nobody to connect to, and never a
//! wrong answer.
#![cfg(all(
    feature = "ipcserver",
    feature = "nscd",
    feature = "nsssd-switch",
    feature = "nsssd-unix"
))]

use crate::support::ipcserver::house::{ask_big, ask_one, big, for_each_program, one};
use crate::support::ipcserver::{self, Bench, OURS};
use crate::support::nscd::{self, ask, request};
use crate::support::stage::big_group;
use crate::support::{self, Connection, DEADLINE, Got, Server, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// How often a server is replaced.
pub const ROUNDS: usize = 6;

/// Clients that ask without a pause.
const CLIENTS: usize = 8;

/// Questions, each with the only answer that is right.
pub type Questions = Vec<(Vec<u8>, Vec<u8>)>;

/// Clients that ask until they are told to end.
pub struct Crowd {
    ending: Arc<AtomicBool>,
    /// Right answers, connections that were closed, and those that could not be made.
    counts: Arc<[AtomicUsize; 3]>,
    wrong: Arc<Mutex<Option<String>>>,
    threads: Vec<JoinHandle<()>>,
}

pub const RIGHT: usize = 0;
pub const CLOSED: usize = 1;
pub const NOBODY: usize = 2;

impl Crowd {
    pub fn new(socket: &Path, questions: &Questions) -> Crowd {
        let ending = Arc::new(AtomicBool::new(false));
        let counts: Arc<[AtomicUsize; 3]> = Arc::default();
        let wrong: Arc<Mutex<Option<String>>> = Arc::default();
        let clients = (0..CLIENTS).map(|number| {
            let (ending, counts, wrong) = (ending.clone(), counts.clone(), wrong.clone());
            let (socket, questions) = (socket.to_owned(), questions.clone());
            thread::spawn(move || {
                for at in number.. {
                    if ending.load(Ordering::SeqCst) {
                        return;
                    }
                    match ask_once(&socket, &questions[at % questions.len()]) {
                        Ok(end) => {
                            counts[end].fetch_add(1, Ordering::SeqCst);
                        }
                        Err(what) => {
                            *wrong.lock().unwrap() = Some(what);
                            return;
                        }
                    }
                }
            })
        });
        let threads = clients.collect();
        Crowd { ending, counts, wrong, threads }
    }

    pub fn count(&self, of: usize) -> usize {
        self.counts[of].load(Ordering::SeqCst)
    }

    /// Waits until so many more have been answered.
    #[track_caller]
    pub fn wait_for_answers(&self, more: usize) {
        let before = self.count(RIGHT);
        wait_until("clients are answered", || {
            assert!(self.wrong.lock().unwrap().is_none(), "{:?}", self.wrong);
            self.count(RIGHT) >= before + more
        });
    }

    /// Ends them; whether none had a wrong answer.
    #[track_caller]
    pub fn stop(mut self) {
        self.ending.store(true, Ordering::SeqCst);
        self.threads.drain(..).for_each(|thread| thread.join().expect("a client"));
        let [right, closed, nobody] = [RIGHT, CLOSED, NOBODY].map(|of| self.count(of));
        println!("{right} answers, {closed} closed connections, nobody there {nobody} times");
        assert!(self.wrong.lock().unwrap().is_none(), "{:?}", self.wrong);
    }
}

/// One question on a connection of its own; the error is a wrong answer.
fn ask_once(socket: &Path, (question, reply): &(Vec<u8>, Vec<u8>)) -> Result<usize, String> {
    let stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(e) => {
            return match e.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Ok(NOBODY),
                // Reset while it stood in the queue.
                io::ErrorKind::ConnectionReset => Ok(CLOSED),
                _ => Err(format!("unable to connect: {e}")),
            };
        }
    };
    let client = Connection::new(stream);
    if client.try_send(question).is_err() {
        return Ok(CLOSED);
    }
    let mut got = Vec::new();
    while got.len() < reply.len() {
        match client.recv(DEADLINE) {
            Got::Bytes(bytes) => got.extend(bytes),
            Got::End => return Ok(CLOSED),
            Got::Nothing => return Err(format!("nobody answers; {} bytes came", got.len())),
        }
        if !reply.starts_with(&got) {
            return Err(format!("{question:02x?} is answered {:02x?}", &got[..got.len().min(64)]));
        }
    }
    Ok(RIGHT)
}

/// Questions for the house.
fn of_nsss() -> Questions {
    let miss = support::by_name(support::op::PWD_GETBYNAME, "nobody");
    let small = [(ask_one(), one()), (miss, vec![255])];
    // Large ones take most of the time.
    [&vec![small; 8].concat()[..], &[(ask_big(), big())]].concat()
}

/// Questions for nscd, and where they are answered.
fn of_nscd() -> (nscd::Bench, Questions) {
    let ada = "ada:*:1001:1001:Ada:/home/ada:/bin/sh";
    let big = big_group("big", 77, 'm');
    let bench = nscd::Bench::new(&format!("{ada}\n"), &big);
    let small = [
        (request(ask::USER, "ada"), nscd::user(ada)),
        (request(ask::USER, "none"), nscd::no_user()),
        (request(ask::UID, "1001"), nscd::user(ada)),
    ];
    let large = (request(ask::GROUP, "big"), nscd::group(&big));
    (bench, [&vec![small; 5].concat()[..], &[large]].concat())
}

/// Replaces a server under load, by the signals in turn.
#[track_caller]
fn replace_under_load(socket: &Path, questions: &Questions, start: impl Fn() -> Server) {
    let mut server = start();
    let crowd = Crowd::new(socket, questions);
    for round in 0..ROUNDS {
        crowd.wait_for_answers(20);
        match [Signal::TERM, Signal::QUIT, Signal::KILL][round % 3] {
            Signal::KILL => {
                server.signal(Signal::KILL);
                server.wait();
            }
            signal => {
                server.signal(signal);
                assert_eq!(server.wait().code(), Some(0), "{signal:?}");
            }
        }
        server = start();
    }
    crowd.wait_for_answers(20);
    crowd.stop();
    assert!(server.running());
}

/// Starts a server as a supervisor does, who tries again: a program that one that was killed had
/// just begun to start holds its socket for a moment more.
#[track_caller]
fn supervise(bench: &Bench, option: &str, program: &[&str]) -> Server {
    let socket = bench.dir.join("s");
    let end = Instant::now() + DEADLINE;
    loop {
        let mut command = bench.command();
        command.args(["-1", option]).arg(&socket).args(program);
        let mut server = Server::spawn(command, &socket);
        if server.ready().recv(DEADLINE) == Got::Bytes(b"\n".into()) {
            return server;
        }
        assert_eq!(server.wait().code(), Some(111));
        let said = server.stderr();
        assert!(said.contains("a server is listening") && Instant::now() < end, "{said}");
    }
}

#[test]
fn an_ipcserver_that_is_replaced_under_load_gives_no_wrong_answer() {
    for_each_program(|bench, program| {
        for option in ["-q", "--spawn"] {
            let socket = bench.dir.join("s");
            replace_under_load(&socket, &of_nsss(), || supervise(bench, option, program));
        }
    });
}

#[test]
fn an_nscd_that_is_replaced_under_load_gives_no_wrong_answer() {
    let (bench, questions) = of_nscd();
    replace_under_load(&bench.socket(), &questions, || bench.serve(&[]));
}

/// A server on a socket that its supervisor keeps.
struct Activated(Child);

impl Activated {
    #[track_caller]
    fn start(bench: &Bench, listener: &UnixListener, socket: &Path) -> Activated {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let listener = listener.try_clone().expect("one more descriptor");
        let mut command =
            bench.command_after("export LISTEN_FDS=1 LISTEN_PID=$$; exec 3<&0 </dev/null");
        command.arg("-1").arg(socket).args(ipcserver::house::unix(bench));
        command.stdin(OwnedFd::from(listener)).stdout(OwnedFd::from(theirs));
        let child = command.stderr(Stdio::null()).spawn().expect("a server");
        drop(command);
        Connection::new(ours).expect(b"", b"\n");
        Activated(child)
    }

    #[track_caller]
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).expect("kill");
        assert_eq!(support::wait_for_exit(&mut self.0).code(), Some(0));
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many were [CLOSED] and how many met [NOBODY] while a server whose supervisor keeps its socket was
/// started anew again and again under a crowd.
pub fn over_restarts(questions: &Questions) -> [usize; 2] {
    let bench = Bench::new(OURS);
    ipcserver::house::furnish(&bench);
    let socket: PathBuf = bench.dir.join("s");
    let listener = UnixListener::bind(&socket).expect("bind");
    let mut server = Activated::start(&bench, &listener, &socket);
    let crowd = Crowd::new(&socket, questions);
    for _ in 0..ROUNDS {
        crowd.wait_for_answers(20);
        server.stop();
        server = Activated::start(&bench, &listener, &socket);
    }
    crowd.wait_for_answers(20);
    let counts = [crowd.count(CLOSED), crowd.count(NOBODY)];
    crowd.stop();
    server.stop();
    counts
}

#[test]
fn with_the_socket_of_its_supervisor_nobody_is_turned_away_by_a_restart() {
    let [_, nobody] = over_restarts(&of_nsss());
    assert_eq!(nobody, 0);
}

#[test]
fn connections_closed_by_sighup_under_load_had_no_wrong_answer() {
    let hang_up = |mut server: Server, questions: &Questions| {
        let crowd = Crowd::new(server.socket(), questions);
        for _ in 0..ROUNDS {
            crowd.wait_for_answers(20);
            server.signal(Signal::HUP);
        }
        crowd.wait_for_answers(20);
        assert_eq!(crowd.count(NOBODY), 0, "it goes on listening");
        crowd.stop();
        assert!(server.running());
        assert_eq!(server.stop().code(), Some(0));
    };
    for_each_program(|bench, program| {
        for option in ["-q", "--spawn"] {
            hang_up(bench.start(&[option], program), &of_nsss());
        }
    });
    let (bench, questions) = of_nscd();
    hang_up(bench.serve(&[]), &questions);
}
