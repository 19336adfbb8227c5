//! Each call that a server makes is made to fail once, from its start to its end, by strace: what
//! it answers is right, or a failure as the protocol has it; it ends with a message, or serves
//! again and rests; and who was to give root up has.
//!
//! `cargo test` tries a sample, always the same one. NSSBOX_INJECT=N tries each Nth, 1 all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod errors;
mod house;
#[path = "../support/mod.rs"]
mod support;

use errors::{Failure, failures};
use house::{GID, House, Question, Subject, UID, connect, subjects};
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Gid, Pid};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};
use support::injection::{can_inject, release, traced};
use support::{Connection, DEADLINE, Got, Server, is_root, procfs, skip, wait_until};

/// Without NSSBOX_INJECT.
const EACH: usize = 80;

/// What found a fault once is always tried.
const ALWAYS: &[(&str, &str)] = &[
    // A backend was started as root, and kept that, where it was not known for our own.
    ("ipcserver_switch_map_u", "access:error=EACCES"),
    // A limit that may not be asked for ended the server.
    ("ipcserver_spawned", "prlimit64:error=EPERM"),
];

/// Ticks of processor time (1/100 s) that a server may use for all that it is asked here.
const TICKS: u64 = 200;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let able = arguments.list || can("inject");
    let trial =
        |(name, subject)| Trial::test(name, move || if able { run(name, subject) } else { Ok(()) });
    libtest_mimic::run(&arguments, subjects().into_iter().map(trial).collect()).exit_code()
}

fn can(test: &str) -> bool {
    if !is_root() {
        skip(test, "only root has rights to give up");
        return false;
    }
    // Groups that must not be kept.
    let groups = [4, 27].map(Gid::from_raw);
    rustix::thread::set_thread_groups(&groups).expect("setgroups");
    can_inject(test)
}

fn run(name: &str, subject: Subject) -> Result<(), Failed> {
    let each = std::env::var("NSSBOX_INJECT").ok().and_then(|n| n.parse().ok()).unwrap_or(EACH);
    let only = std::env::var("NSSBOX_INJECT_ONLY").unwrap_or_default();
    let all = failures(&record(subject));
    assert!(all.len() > 300, "only {} failures of {name}", all.len());
    // Another sample for each server, the same at each run.
    let first = name.bytes().map(usize::from).sum::<usize>() % each;
    let always = |what: &str| ALWAYS.iter().any(|(of, call)| *of == name && what.starts_with(call));
    let chosen = |at: usize, what: &str| at % each == first || always(what);
    let (mut tried, mut hit, mut bad) = (0, 0, Vec::new());
    for (at, failure) in all.iter().enumerate() {
        let what = failure.what();
        if !chosen(at, &what) || !what.contains(&only) {
            continue;
        }
        tried += 1;
        match catch_unwind(AssertUnwindSafe(|| attempt(subject, failure))) {
            Ok(was_hit) => hit += usize::from(was_hit),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
                bad.push(format!("{what}: {}", text.unwrap_or_default()));
            }
        }
    }
    println!("{name}: {hit} of {tried} failures of {} happened", all.len());
    if !bad.is_empty() {
        return Err(Failed::from(bad.join("\n")));
    }
    // What waits is not called equally often each time.
    if !only.is_empty() || hit * 10 >= tried * 6 {
        Ok(())
    } else {
        Err(Failed::from(format!("only {hit} of {tried} failures happened")))
    }
}

/// What it does when nothing fails.
fn record(subject: Subject) -> String {
    let house = House::new(subject);
    let log = house.dir.join("calls");
    let mut server = Server::start_command(traced(&house.command(), &log, None), &house.socket());
    for _ in 0..2 {
        let seen = ask(&house);
        assert!(seen.iter().all(|seen| *seen == Seen::Right), "{subject:?}: {seen:?}");
        house.touch();
    }
    if subject.gives_up {
        assert_given_up(server.pid());
    }
    rests(&mut server);
    release(server.pid());
    assert_eq!(server.stop().code(), Some(0), "{subject:?}");
    fs::read_to_string(log).expect("a log")
}

/// Whether the call failed.
fn attempt(subject: Subject, failure: &Failure) -> bool {
    let house = House::new(subject);
    let log = house.dir.join("calls");
    let command = traced(&house.command(), &log, Some(&failure.what()));
    let mut server = Server::spawn(command, &house.socket());
    let was_hit = || fs::read_to_string(&log).unwrap_or_default().contains("(INJECTED)");
    let ready = match server.ready().recv(DEADLINE) {
        Got::Bytes(bytes) => bytes == b"\n",
        Got::End => false,
        Got::Nothing => panic!("it neither serves nor ends: {}", server.stderr()),
    };
    // A source that could not be started then is not started again.
    let at_start = was_hit();
    if !ready && ends(&mut server) {
        let code = server.wait().code();
        assert!(code != Some(0), "it ends with 0 before it is ready");
        // What loads libraries says nothing where it may not map.
        let silent = server.stderr().is_empty() && !(code.is_none() && failure.call == "mmap");
        assert!(!silent, "it ends with {code:?} and says nothing");
        return was_hit();
    }
    for _ in 0..2 {
        if subject.gives_up && server.running() {
            assert_given_up(server.pid());
        }
        ask(&house);
        house.touch();
    }
    if server.running() {
        rests(&mut server);
        if server.running() {
            release(server.pid());
        }
        // Each other process of its has been let go, too.
        let end = Instant::now() + DEADLINE;
        while server.running() {
            let seen = ask(&house);
            let questions = house.questions();
            let well = |(question, seen): (&Question, &Seen)| {
                let gone = if *seen == Seen::Hidden { true } else { question.later_source };
                *seen == Seen::Right || (at_start && gone)
            };
            if questions.iter().zip(&seen).all(well) {
                break;
            }
            assert!(Instant::now() < end, "it does not come to itself: {seen:?}");
        }
    }
    if server.running() {
        if subject.gives_up {
            assert_given_up(server.pid());
        }
        rests(&mut server);
        assert_eq!(server.stop().code(), Some(0), "at SIGTERM");
    } else {
        assert_eq!(server.wait().code(), Some(111), "it ended: {}", server.stderr());
        assert!(!server.stderr().is_empty(), "it ended and says nothing");
    }
    was_hit()
}

/// Its standard output is closed: that is its end, or it goes on without.
fn ends(server: &mut Server) -> bool {
    let end = Instant::now() + DEADLINE;
    while server.running() {
        if connect(server.socket(), 0).is_some() {
            return false;
        }
        assert!(Instant::now() < end, "it neither serves nor ends: {}", server.stderr());
        thread::sleep(Duration::from_millis(2));
    }
    true
}

/// A process and all under it.
fn family(pid: Pid) -> Vec<Pid> {
    let mut all = vec![pid];
    let mut at = 0;
    while at < all.len() {
        all.extend(procfs::children(all[at]));
        at += 1;
    }
    all
}

/// It and its processes come to rest, and had little to do until then.
fn rests(server: &mut Server) {
    let work = |server: &Server| -> Vec<Option<[u64; 2]>> {
        family(server.pid()).into_iter().map(procfs::work).collect()
    };
    let mut before = work(server);
    let mut same = 0;
    wait_until("it rests", || {
        thread::sleep(Duration::from_millis(10));
        let now = work(server);
        same = if now == before { same + 1 } else { 0 };
        before = now;
        same == 2 || !server.running()
    });
    let ticks: u64 = before.iter().flatten().map(|[ticks, _]| ticks).sum();
    assert!(ticks <= TICKS, "{ticks} ticks of processor time");
}

/// Nothing of root's is left in it, and in no process of its.
fn assert_given_up(pid: Pid) {
    for pid in family(pid) {
        let kept = || {
            // It may be gone by now.
            let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
                return Vec::new();
            };
            let kept = |line: &&str| {
                let Some((field, value)) = line.split_once(':') else { return false };
                let words: Vec<&str> = value.split_whitespace().collect();
                match field {
                    "Uid" => words != [UID; 4],
                    "Gid" => words != [GID; 4],
                    "Groups" => !words.is_empty(),
                    "CapPrm" | "CapEff" | "CapAmb" => words != ["0000000000000000"],
                    _ => false,
                }
            };
            status.lines().filter(kept).map(str::to_owned).collect::<Vec<_>>()
        };
        // A worker gives up before it asks anybody, not before it begins.
        let end = Instant::now() + DEADLINE;
        while !kept().is_empty() {
            // It may end between two looks.
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words);
            assert!(Instant::now() < end, "{pid}, {words:?}, keeps {:?}", kept());
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// How a question ended that was not answered wrongly.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Right,
    /// But for a hash.
    Hidden,
    Failed,
    Closed,
}

/// Asks everything: each user his questions on one connection, or nscd each on its own.
fn ask(house: &House) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut connection: Option<(u32, Connection)> = None;
    for question in house.questions() {
        let open = connection.take().filter(|(uid, _)| *uid == question.uid && !house.is_nscd());
        let client = open.map(|(_, client)| client);
        let Some(client) = client.or_else(|| connect(&house.socket(), question.uid)) else {
            seen.push(Seen::Closed);
            continue;
        };
        let saw = see(&client, &question, house.is_nscd());
        if saw != Seen::Closed {
            connection = Some((question.uid, client));
        }
        seen.push(saw);
    }
    seen
}

/// Asks, and takes the answer. A front of it may come before the end of the connection.
fn see(client: &Connection, question: &Question, is_nscd: bool) -> Seen {
    let Question { uid, request, reply, hidden, .. } = question;
    if client.try_send(request).is_err() {
        return Seen::Closed;
    }
    let mut got = Vec::new();
    loop {
        match client.recv(DEADLINE) {
            Got::Bytes(bytes) => got.extend(bytes),
            Got::End => return Seen::Closed,
            Got::Nothing => panic!("nobody answers {request:02x?} of uid {uid}"),
        }
        if got == *reply {
            return Seen::Right;
        }
        if Some(&got) == hidden.as_ref() {
            return Seen::Hidden;
        }
        if got.len() == 1 && got[0] != 0 && got[0] != 255 && !is_nscd {
            return Seen::Failed;
        }
        assert!(
            reply.starts_with(&got) || hidden.as_ref().is_some_and(|h| h.starts_with(&got)),
            "{request:02x?} of uid {uid} is answered {:02x?}",
            &got[..got.len().min(80)]
        );
    }
}
