//! Servers whose executable is replaced, and those that end: whoever has come is answered, and nobody
//! is turned away where the socket stays.
#![cfg(all(
    feature = "ipcserver",
    feature = "nscd",
    feature = "nsssd-switch",
    feature = "nsssd-unix"
))]

use super::restart::{CLOSED, Crowd, NOBODY, Questions, ROUNDS, over_restarts};
use crate::support::ipcserver::house::{self, ask_one, one};
use crate::support::ipcserver::{Bench, OURS};
use crate::support::nscd::{self, ask, request};
use crate::support::{Server, TempDir, nssbox, procfs, run_to_end, tool, wait_until};
use rustix::process::Signal;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A server's executable in a place of its own, where it can be replaced.
struct Place {
    dir: TempDir,
}

impl Place {
    #[track_caller]
    fn new() -> Place {
        let place = Place { dir: TempDir::new() };
        place.put_ours();
        for name in ["ipcserver", "nscd", "nsssd-switch", "nsssd-unix"] {
            crate::support::link(&place.file(), place.dir.path(), name);
        }
        place
    }

    fn file(&self) -> PathBuf {
        self.dir.join("nssbox")
    }

    /// Another copy of our executable.
    #[track_caller]
    fn put_ours(&self) {
        self.put(&["cp", nssbox().to_str().unwrap()]);
    }

    /// Renames what this command makes onto the executable. Written by another process, as everything
    /// that is to be run.
    #[track_caller]
    fn put(&self, command: &[&str]) {
        let mut shell = Command::new("sh");
        shell
            .args(["-ec", "cd \"$0\"; \"$@\" new; mv new nssbox"])
            .arg(self.dir.path())
            .args(command);
        assert_eq!(run_to_end(shell).code, Some(0), "{command:?}");
    }

    #[track_caller]
    fn start(&self, name: &str, words: &[&str], socket: &Path) -> Server {
        let mut command = tool(self.dir.path(), name);
        command.args(words);
        Server::start_command(command, socket)
    }

    /// Whether this is what a server runs.
    fn is_run_by(&self, server: &Server) -> bool {
        let exe = format!("/proc/{}/exe", server.pid().as_raw_nonzero());
        let number = |path: PathBuf| fs::metadata(path).map(|file| file.ino()).ok();
        number(exe.into()) == number(self.file())
    }
}

/// Short questions: their answers do not wait for whoever reads slowly.
fn of_nsss() -> Questions {
    vec![(ask_one(), one())]
}

fn of_nscd() -> (nscd::Bench, Questions) {
    let ada = "ada:*:1001:1001:Ada:/home/ada:/bin/sh";
    let bench = nscd::Bench::new(&format!("{ada}\n"), "");
    (bench, vec![(request(ask::USER, "ada"), nscd::user(ada))])
}

/// Nobody asks any more; the server is there still, and ends when it is told to.
#[track_caller]
fn end_well(crowd: Crowd, mut server: Server) {
    crowd.stop();
    assert!(server.running());
    assert_eq!(server.stop().code(), Some(0));
}

/// A server of each, and what to ask it.
#[track_caller]
fn for_each_server(place: &Place, run: impl Fn(Server, &Questions)) {
    let bench = Bench::new(OURS);
    house::furnish(&bench);
    let socket = bench.dir.join("s");
    let words = ["-1", socket.to_str().unwrap(), "nsssd-unix", "-d", bench.dir.as_str()];
    run(place.start("ipcserver", &words, &socket), &of_nsss());
    let (bench, questions) = of_nscd();
    let socket = bench.socket();
    let mut words = vec!["-1", "-q", "-S", socket.to_str().unwrap(), "3"];
    words.extend(bench.unix());
    words.push("");
    run(place.start("nscd", &words, &socket), &questions);
}

#[test]
fn at_sighup_the_executable_that_is_there_now_takes_over_and_turns_nobody_away() {
    let place = Place::new();
    for_each_server(&place, |server, questions| {
        let crowd = Crowd::new(server.socket(), questions);
        for _ in 0..ROUNDS {
            crowd.wait_for_answers(20);
            place.put_ours();
            assert!(!place.is_run_by(&server));
            server.signal(Signal::HUP);
            wait_until("another executable is run", || place.is_run_by(&server));
        }
        crowd.wait_for_answers(20);
        assert_eq!([crowd.count(CLOSED), crowd.count(NOBODY)], [0, 0]);
        // Signals are its own again, and it ends as the first one did.
        end_well(crowd, server);
    });
}

/// A box that is slow starts a server in seconds, and nobody who tells it to begin anew waits for that.
#[test]
fn a_sighup_that_comes_while_it_begins_anew_is_kept() {
    let place = Place::new();
    for_each_server(&place, |server, questions| {
        let crowd = Crowd::new(server.socket(), questions);
        for _ in 0..ROUNDS {
            place.put_ours();
            wait_until("another executable is run", || {
                server.signal(Signal::HUP);
                place.is_run_by(&server)
            });
            // It has not caught its signals yet.
            for _ in 0..100 {
                server.signal(Signal::HUP);
            }
            crowd.wait_for_answers(20);
        }
        assert_eq!(crowd.count(NOBODY), 0);
        end_well(crowd, server);
    });
}

#[test]
fn an_executable_that_cannot_be_run_leaves_the_one_that_runs() {
    let place = Place::new();
    for_each_server(&place, |server, questions| {
        let crowd = Crowd::new(server.socket(), questions);
        for mode in ["755", "644"] {
            crowd.wait_for_answers(20);
            // No program for this machine.
            place.put(&["sh", "-c", "echo no program >$1; chmod $0 $1", mode]);
            server.signal(Signal::HUP);
            crowd.wait_for_answers(20);
        }
        fs::remove_file(place.file()).unwrap();
        server.signal(Signal::HUP);
        crowd.wait_for_answers(20);
        assert_eq!([crowd.count(CLOSED), crowd.count(NOBODY)], [0, 0]);
        end_well(crowd, server);
        place.put_ours();
    });
}

#[test]
fn while_an_executable_is_tried_clients_are_answered() {
    let place = Place::new();
    let told = place.dir.join("told");
    let fifo = place.dir.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for_each_server(&place, |server, questions| {
        let crowd = Crowd::new(server.socket(), questions);
        // One that takes its time and fails, and, while that is known of nobody, one that is good.
        for replaced in [false, true] {
            let script = "cat >new <<'end'\n#!/bin/sh\nread -r _ <fifo\necho >told\nexit 1\nend\nchmod 755 new";
            let script = script.replace("fifo", fifo.to_str().unwrap());
            let script = script.replace("told", told.to_str().unwrap());
            place.put(&["sh", "-c", &script]);
            server.signal(Signal::HUP);
            // Opened when it reads.
            let mut go = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
            crowd.wait_for_answers(20);
            if replaced {
                place.put_ours();
                server.signal(Signal::HUP);
                crowd.wait_for_answers(20);
            }
            go.write_all(b"\n").unwrap();
            wait_until("it was not ended before its time", || told.exists());
            fs::remove_file(&told).unwrap();
            wait_until("the good one is run", || !replaced || place.is_run_by(&server));
            crowd.wait_for_answers(20);
        }
        assert_eq!(crowd.count(NOBODY), 0);
        end_well(crowd, server);
    });
}

#[test]
fn who_has_come_to_a_server_that_ends_is_answered() {
    for_each_server(&Place::new(), |mut server, questions| {
        let (question, reply) = &questions[0];
        let early = server.connect();
        // Who came before this one has come in, too.
        server.connect().expect(question, reply);
        server.signal(Signal::TERM);
        wait_until("it has the signal", || {
            procfs::status(server.pid(), "SigPnd") == ["0000000000000000"]
                && procfs::status(server.pid(), "ShdPnd") == ["0000000000000000"]
        });
        early.expect(question, reply);
        early.expect_eof();
        assert_eq!(server.wait().code(), Some(0));
    });
}

#[test]
fn what_was_asked_before_the_signal_is_answered() {
    let bench = Bench::new(OURS);
    house::furnish(&bench);
    for signal in [Signal::TERM, Signal::HUP] {
        let mut server = bench.start(&["-q"], &["nsssd-unix", "-d", bench.dir.as_str()]);
        let client = server.connect();
        client.expect(&ask_one(), &one());
        server.signal(Signal::STOP);
        wait_until("it is stopped", || procfs::state(server.pid()) == Some('T'));
        client.send(&ask_one());
        server.signal(signal);
        server.signal(Signal::CONT);
        client.expect(b"", &one());
        client.expect_eof();
        assert_eq!(server.stop().code(), Some(0));
    }
}

#[test]
fn with_the_socket_of_its_supervisor_a_restart_closes_nobodys_connection() {
    assert_eq!(over_restarts(&of_nsss()), [0, 0]);
}

#[test]
fn a_server_that_ends_leaves_the_socket_that_was_renamed_onto_its_own() {
    let (bench, questions) = of_nscd();
    let beside = bench.dir.join("run/beside");
    let mut first = bench.serve(&[]);
    // The last one of the same option counts.
    let mut second = Server::start_command(
        bench.scripted(&["-S", beside.to_str().unwrap()], &[(3, &bench.unix())]),
        &beside,
    );
    let crowd = Crowd::new(&bench.socket(), &questions);
    crowd.wait_for_answers(20);
    fs::rename(&beside, bench.socket()).unwrap();
    crowd.wait_for_answers(20);
    assert_eq!(first.stop().code(), Some(0));
    crowd.wait_for_answers(20);
    assert_eq!(crowd.count(NOBODY), 0);
    crowd.stop();
    assert_eq!(second.stop().code(), Some(0));
}
