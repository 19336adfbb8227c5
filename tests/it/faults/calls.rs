//! System calls that fail while a server serves, put there by strace's fault injection: no answer
//! is ever wrong for it, a call that a signal interrupted is made again, and afterwards the server
//! is as before (or has ended with 111, for its supervisor to start it again).
#![cfg(all(
    feature = "ipcserver",
    feature = "nscd",
    feature = "nsssd-map",
    feature = "nsssd-nslcd",
    feature = "nsssd-switch",
    feature = "nsssd-unix"
))]

use crate::support::injection::{Injection, can_inject};
use crate::support::map;
use crate::support::naive::Naive;
use crate::support::nscd::{self, ask, request};
use crate::support::nslcd::{self, FakeNslcd, action};
use crate::support::procfs;
use crate::support::stage::{Stage, big_group};
use crate::support::{
    Connection, DEADLINE, Daemon, Got, Server, by_id, by_name, grouplist, is_root, op,
    passwd_reply, skip, wait_until,
};
use rustix::process::{Pid, Signal, kill_process};
use std::cell::Cell;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

const PASSWD: &str = "root:*:0:0:root:/root:/bin/sh\nada:*:1001:1001:Ada:/home/ada:/bin/sh\n";

/// Calls on files. Those with a question mark do not exist on every architecture.
const FILES: &str = "?open,openat,?stat,?newfstatat,fstat,pread64";
/// Calls on sockets, and on what waits for them.
const SOCKETS: &str = "accept4,recvfrom,sendto,read,write,epoll_ctl";
/// Calls that wait.
const WAITS: &str = "?poll,ppoll,?epoll_wait,epoll_pwait";

/// A question and the only answer to it that is right.
type Question = (Vec<u8>, Vec<u8>);

/// How a question ended that was not answered wrongly.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Right,
    Failed,
    Closed,
}

/// Asks, and takes the answer. A front of it may come before the end of the connection.
#[track_caller]
fn see(what: &str, client: &Connection, (request, reply): &Question) -> Seen {
    let mut got = Vec::new();
    if client.try_send(request).is_err() {
        return Seen::Closed;
    }
    while got.len() < reply.len() {
        match client.recv(DEADLINE) {
            Got::Bytes(bytes) => got.extend(bytes),
            Got::End => return Seen::Closed,
            Got::Nothing => panic!("{what}: nobody answers {request:02x?}"),
        }
        if got.len() == 1 && got[0] != 0 && got[0] != 255 && got != *reply {
            return Seen::Failed;
        }
        assert!(reply.starts_with(&got), "{what}: {request:02x?} is answered {got:02x?}");
    }
    Seen::Right
}

fn group_text() -> String {
    let many: String = (0..3000).map(|n| format!("g{n}:x:{}:x{n},y\n", 3000 + n)).collect();
    format!("staff:x:5:ada,bob\n{many}last:x:6:ada\n")
}

/// Hits, misses, a list, and a file too large to be kept.
fn questions() -> Vec<Question> {
    let mut naive = Naive::new(PASSWD, group_text(), "");
    let requests = [
        by_name(op::PWD_GETBYNAME, "ada"),
        by_id(op::PWD_GETBYUID, 0),
        by_name(op::PWD_GETBYNAME, "nobody"),
        by_name(op::GRP_GETBYNAME, "last"),
        by_id(op::GRP_GETBYGID, 99_999),
        grouplist(9, "ada"),
        vec![op::GRP_END],
        vec![op::GRP_GET],
        vec![op::GRP_END],
    ];
    requests.into_iter().map(|request| (request.clone(), naive.answer(&request))).collect()
}

/// What is asked, and how.
enum Subject {
    /// One client for its whole life.
    Daemon(Daemon),
    /// A connection for each round of questions.
    Server(Server),
}

/// All that answer from the same files.
fn subjects(stage: &Stage) -> Vec<(&'static str, Subject)> {
    let own: [&str; 3] = ["nsssd-unix", "-d", stage.dir.as_str()];
    let switch = ["nsssd-switch", "0", own[0], own[1], own[2], ""];
    let server = |program: &[&str]| {
        let _ = fs::remove_file(stage.dir.join("s"));
        Subject::Server(Server::start(&stage.bin, stage.dir.path(), &["-q", "-D"], program))
    };
    vec![
        ("nsssd-unix", Subject::Daemon(stage.unix())),
        ("nsssd-switch", Subject::Daemon(stage.switch(&[], &[(0, &own)]))),
        ("nsssd-switch --spawn", Subject::Daemon(stage.switch(&["--spawn"], &[(0, &own)]))),
        ("ipcserver", server(&own)),
        ("ipcserver, a switch", server(&switch)),
    ]
}

impl Subject {
    fn pid(&self) -> Pid {
        match self {
            Subject::Daemon(daemon) => daemon.pid(),
            Subject::Server(server) => server.pid(),
        }
    }

    /// Asks everything some times; what was seen. It stops where the server has ended.
    #[track_caller]
    fn ask(&self, what: &str, stage: &Stage, questions: &[Question], rounds: usize) -> Vec<Seen> {
        let mut seen = Vec::new();
        for _ in 0..rounds {
            // Read anew each time.
            stage.dir.replace("passwd", PASSWD);
            let connection;
            let client = match self {
                Subject::Daemon(daemon) => daemon.client(),
                Subject::Server(server) => {
                    let Ok(stream) = UnixStream::connect(server.socket()) else {
                        seen.push(Seen::Closed);
                        return seen;
                    };
                    connection = Connection::new(stream);
                    &connection
                }
            };
            for question in questions {
                seen.push(see(what, client, question));
                if seen.last() == Some(&Seen::Closed) {
                    break;
                }
            }
        }
        seen
    }

    /// The exit code, if it has ended.
    fn ended(&mut self) -> Option<Option<i32>> {
        match self {
            Subject::Daemon(daemon) => {
                let dead = matches!(procfs::state(daemon.pid()), None | Some('Z'));
                dead.then(|| daemon.wait().code())
            }
            Subject::Server(server) => (!server.running()).then(|| server.wait().code()),
        }
    }
}

#[test]
fn interrupted_calls_are_made_again() {
    if !can_inject("interrupted_calls_are_made_again") {
        return;
    }
    let stage = Stage::with(PASSWD, group_text());
    // Not stat and fstat, which no signal interrupts.
    let calls = format!("?open,openat,pread64,{SOCKETS},{WAITS}").replace(",epoll_ctl", "");
    let mut count = 0;
    for (name, subject) in subjects(&stage) {
        subject.ask(name, &stage, &questions(), 1);
        let mut pids = procfs::children(subject.pid());
        pids.push(subject.pid());
        let what = format!("{calls}:error=EINTR:when=1+2");
        let injection = Injection::new(&pids, stage.dir.path(), &what).expect("strace");
        let seen = subject.ask(name, &stage, &questions(), 5);
        assert!(seen.iter().all(|s| *s == Seen::Right), "{name}: {seen:?}");
        count += injection.stop();
    }
    assert!(count > 100, "only {count} calls failed");
}

#[test]
fn a_failed_call_is_never_a_wrong_answer() {
    if !can_inject("a_failed_call_is_never_a_wrong_answer") {
        return;
    }
    let stage = Stage::with(PASSWD, group_text());
    let questions = questions();
    let failures = Cell::new(0);
    for error in ["EIO", "ENFILE", "ENOMEM"] {
        for calls in [FILES, SOCKETS, WAITS] {
            // Each of seven calls in turn, each time another one.
            for first in [1, 4] {
                let mut count = 0;
                for (name, mut subject) in subjects(&stage) {
                    let what = format!("{name}, {error} from call {first} of {calls}");
                    let seen = subject.ask(&what, &stage, &questions, 1);
                    assert!(seen.iter().all(|s| *s == Seen::Right), "{what}: {seen:?}");
                    let inject = format!("{calls}:error={error}:when={first}+7");
                    let pids = [subject.pid()];
                    let injection =
                        Injection::new(&pids, stage.dir.path(), &inject).expect("strace");
                    let seen = subject.ask(&what, &stage, &questions, 4);
                    failures
                        .set(failures.get() + seen.iter().filter(|s| **s != Seen::Right).count());
                    count += injection.stop();
                    // A daemon ends with its connection. Whoever is still there is well, if perhaps
                    // not at once: strace may let go in the middle of a call, which then fails.
                    let closed = seen.contains(&Seen::Closed);
                    let ends = closed && matches!(subject, Subject::Daemon(_));
                    wait_until(
                        &format!("{what}: it has ended, or is well again"),
                        || match subject.ended() {
                            Some(code) => {
                                assert_eq!(code, Some(111), "{what}");
                                true
                            }
                            None if ends => false,
                            None => {
                                let seen = subject.ask(&what, &stage, &questions, 1);
                                // A backend that failed its switch has failed for good.
                                let failed =
                                    |s: &Seen| *s == Seen::Failed && name.ends_with("--spawn");
                                seen.iter().all(|s| *s == Seen::Right || failed(s))
                            }
                        },
                    );
                }
                assert!(count > 0, "{error}: no call of {calls} failed");
            }
        }
    }
    assert!(failures.get() > 50, "only {} questions failed", failures.get());
}

/// The bytes of an answer of nscd, or a front of them.
#[track_caller]
fn see_nscd(what: &str, socket: &Path, request: &[u8], reply: &[u8]) -> bool {
    let Ok(stream) = UnixStream::connect(socket) else { return false };
    let client = Connection::new(stream);
    let _ = client.try_send(request);
    let mut got = Vec::new();
    loop {
        match client.recv(DEADLINE) {
            Got::Bytes(bytes) => got.extend(bytes),
            Got::End => break,
            Got::Nothing => panic!("{what}: nobody answers"),
        }
    }
    assert!(reply.starts_with(&got), "{what}: {request:02x?} is answered {got:02x?}");
    got.len() == reply.len()
}

#[test]
fn failed_and_interrupted_calls_of_nscd_and_its_askers_are_no_wrong_answers() {
    if !can_inject("failed_and_interrupted_calls_of_nscd_and_its_askers_are_no_wrong_answers") {
        return;
    }
    let big = big_group("big", 77, 'm');
    let questions = [
        (request(ask::USER, "ada"), nscd::user(PASSWD.lines().last().unwrap())),
        (request(ask::GROUP, "big"), nscd::group(&big)),
        (request(ask::USER, "none"), nscd::no_user()),
        (request(ask::USER, "net"), nscd::user("net:*:5000:5000:::")),
        (request(ask::GID, "4"), nscd::no_group()),
    ];
    for error in ["EINTR", "EIO", "ENFILE", "ENOMEM"] {
        for calls in [
            &format!("?open,openat,pread64,{SOCKETS},recvmsg,sendmsg").replace(",epoll_ctl", ""),
            WAITS,
        ] {
            let bench = nscd::Bench::new(PASSWD, &big);
            let other = bench.dir.subdirectory("other");
            fs::write(other.join("passwd"), "net:*:5000:5000:::\n").unwrap();
            fs::write(other.join("group"), "").unwrap();
            let dir = format!(" {}", other.display());
            let program = ["nsssd-switch", " 0", " nsssd-unix", " -d", &dir, " "];
            let sources: [(u8, &[&str]); 2] = [(3, &bench.unix()), (0, &program)];
            let mut server = bench.start(&["-t", "4000"], &sources);
            let what = format!("{error} of {calls}");
            let all = |server: &Server, rounds| -> Vec<bool> {
                let each = (0..rounds).flat_map(|_| &questions);
                each.map(|(ask, reply)| see_nscd(&what, server.socket(), ask, reply)).collect()
            };
            assert!(all(&server, 1).iter().all(|right| *right), "{what}");
            let mut pids = procfs::children(server.pid());
            assert!(!pids.is_empty());
            pids.push(server.pid());
            let often = if error == "EINTR" { "1+2" } else { "2+5" };
            let inject = format!("{calls}:error={error}:when={often}");
            let injection = Injection::new(&pids, bench.dir.path(), &inject).expect("strace");
            let seen = all(&server, 4);
            assert!(injection.stop() > 0, "{what}: no call failed");
            assert!(error != "EINTR" || seen.iter().all(|right| *right), "{what}: {seen:?}");
            // Its last call may have failed a moment ago: it has ended then, or will.
            let mut ended = false;
            wait_until("it has ended, or all is well again", || {
                ended = !server.running();
                ended || !all(&server, 1).contains(&false)
            });
            if ended {
                assert_eq!(server.wait().code(), Some(111), "{what}");
                continue;
            }
            assert_eq!(server.stop().code(), Some(0), "{what}");
        }
    }
}

#[test]
fn interrupted_calls_of_the_map_and_of_nslcds_client_are_made_again() {
    if !can_inject("interrupted_calls_of_the_map_and_of_nslcds_client_are_made_again") {
        return;
    }
    if is_root() {
        interrupt_the_map();
    } else {
        skip("the map", "only root may trace a process that has a key");
    }

    let stage = Stage::new();
    let socket = stage.dir.join("nslcd");
    let answer = nslcd::reply(action::USER, &[nslcd::user("a", 1, 10)]);
    let _nslcd = FakeNslcd::saying(&socket, answer);
    let mut command = stage.applet("nsssd-nslcd");
    command.arg(&socket);
    let daemon = Daemon::start(command);
    let question = by_name(op::PWD_GETBYNAME, "a");
    let right = passwd_reply(["a", "*"], 1, 10, ["G", "/h", "/s"]);
    daemon.expect(&question, &right);
    let what = format!("connect,recvfrom,sendto,read,write,{WAITS}:error=EINTR:when=1+2");
    let injection = Injection::new(&[daemon.pid()], stage.dir.path(), &what).expect("strace");
    for _ in 0..10 {
        daemon.expect(&question, &right);
    }
    assert!(injection.stop() > 10);
}

#[track_caller]
fn interrupt_the_map() {
    let host = map::Host::new();
    let names: Vec<String> = (0..20).map(|n| format!("user{n}")).collect();
    host.homes(&names.iter().map(String::as_str).collect::<Vec<_>>());
    host.range("registry DIR/registry");
    let daemon = host.start(&[]);
    let first = map::uid_of(&daemon, "user0");
    let what = format!("?open,openat,pread64,read,write,{WAITS}:error=EINTR:when=1+2");
    let injection = Injection::new(&[daemon.pid()], host.dir.path(), &what).expect("strace");
    for name in &names {
        assert!(map::uid_of(&daemon, name).is_some(), "{name}");
    }
    assert_eq!(map::uid_of(&daemon, "user0"), first);
    assert!(injection.stop() > 20);
    assert_eq!(host.read("registry").lines().count(), names.len());
}

/// Sends signals to processes as fast as it can, until it is dropped.
struct Storm {
    ending: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Storm {
    fn new(pids: Vec<Pid>, signals: &'static [Signal]) -> Storm {
        let (ending, count): (Arc<AtomicBool>, Arc<AtomicUsize>) = Default::default();
        let (ends, counter) = (Arc::clone(&ending), Arc::clone(&count));
        let thread = thread::spawn(move || {
            // In whole rounds: whoever was stopped goes on.
            while !ends.load(Ordering::SeqCst) {
                for (pid, signal) in pids.iter().flat_map(|p| signals.iter().map(move |s| (p, s))) {
                    let _ = kill_process(*pid, *signal);
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Storm { ending, count, thread: Some(thread) }
    }

    /// Whether it was a storm yet.
    fn has_raged(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 300
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        // Before its processes are waited for: their numbers may be another's then.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn a_storm_of_signals_changes_no_answer() {
    let stage = Stage::with(PASSWD, group_text());
    // SIGCHLD is what a server catches, stopping and going on what nobody can; URG and WINCH are
    // ignored by all.
    let storms: [&[Signal]; 2] =
        [&[Signal::CHILD, Signal::URG, Signal::WINCH], &[Signal::STOP, Signal::CONT]];
    for signals in storms {
        for (name, subject) in subjects(&stage) {
            subject.ask(name, &stage, &questions(), 1);
            let mut pids = procfs::children(subject.pid());
            pids.push(subject.pid());
            let storm = Storm::new(pids, signals);
            wait_until("there was a storm", || {
                let seen = subject.ask(name, &stage, &questions(), 4);
                assert!(seen.iter().all(|s| *s == Seen::Right), "{name}: {seen:?}");
                storm.has_raged()
            });
        }
        let big = big_group("big", 77, 'm');
        let bench = nscd::Bench::new(PASSWD, &big);
        let server = bench.serve(&[]);
        let storm = Storm::new(vec![server.pid()], signals);
        let ada = nscd::user(PASSWD.lines().last().unwrap());
        wait_until("there was a storm", || {
            for _ in 0..4 {
                assert_eq!(nscd::asked(server.socket(), &request(ask::USER, "ada")), ada);
                let got = nscd::asked(server.socket(), &request(ask::GROUP, "big"));
                assert!(got == nscd::group(&big), "{} bytes", got.len());
            }
            storm.has_raged()
        });
    }
}
