//! `nsssd-switch` and its child processes: the dead are waited for, the late are killed, nobody
//! has another's socket.
#![cfg(all(feature = "nsssd-switch", feature = "nsssd-unix"))]

use crate::support::naive::Naive;
use crate::support::procfs;
use crate::support::stage::{Stage, big_group};
use crate::support::{
    Daemon, by_id, by_name, grouplist, op, passwd_reply, receive_all, wait_until,
};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What a client gets when all that could answer has failed for good.
const EIO: [u8; 1] = [5];
const NOT_FOUND: [u8; 1] = [255];

/// Two directories of accounts. Both know bob, under their own names for him.
struct Two {
    stage: Stage,
    first: PathBuf,
    second: PathBuf,
}

impl Two {
    fn new() -> Two {
        let stage = Stage::new();
        let make = |name: &str, id: u32| {
            let dir = stage.dir.subdirectory(name);
            stage.dir.write(
                &format!("{name}/passwd"),
                format!("bob:x:1001:1000:{name}:/:\n{name}:x:{id}:{id}:::\n"),
            );
            stage.dir.write(&format!("{name}/group"), format!("staff:x:{id}:bob\n"));
            stage.dir.write(&format!("{name}/shadow"), "");
            dir
        };
        let (first, second) = (make("first", 1), make("second", 2));
        Two { stage, first, second }
    }

    /// A switch over both as programs; the first one with this bitfield.
    #[track_caller]
    fn switch(&self, options: &[&str], bits: u8) -> Daemon {
        let options = [&["--spawn"], options].concat();
        let (first, second) = (self.first.to_str().unwrap(), self.second.to_str().unwrap());
        let backends: [(u8, &[&str]); 2] =
            [(bits, &["nsssd-unix", "-d", first]), (0, &["nsssd-unix", "-d", second])];
        self.stage.switch(&options, &backends)
    }

    /// The child on the first directory, or on the second. The switch must have answered before.
    #[track_caller]
    fn child(&self, daemon: &Daemon, number: usize) -> Pid {
        let dir = [&self.first, &self.second][number];
        procfs::child_with(daemon.pid(), dir.to_str().unwrap())
    }
}

fn ask_bob() -> Vec<u8> {
    by_name(op::PWD_GETBYNAME, "bob")
}

fn bob_of(dir: &str) -> Vec<u8> {
    passwd_reply(["bob", "x"], 1001, 1000, [dir, "/", ""])
}

/// What the client gets of a switch whose first backend, with this bitfield, failed for good.
fn without_the_first(bits: u8) -> Vec<u8> {
    if bits & 1 == 0 { bob_of("second") } else { EIO.to_vec() }
}

#[track_caller]
fn signal(pid: Pid, signal: Signal) {
    kill_process(pid, signal).expect("a child takes a signal");
}

/// A child that is stopped, and killed in the end, so that it does not outlive the test.
struct Stopped(Pid);

impl Stopped {
    #[track_caller]
    fn new(pid: Pid) -> Stopped {
        signal(pid, Signal::STOP);
        wait_until("the child has stopped", || procfs::state(pid) == Some('T'));
        Stopped(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = kill_process(self.0, Signal::KILL);
    }
}

/// It is gone, and no zombie either.
#[track_caller]
fn expect_gone(pid: Pid) {
    wait_until("the child is gone", || procfs::state(pid).is_none());
}

#[test]
fn a_child_that_dies_between_requests_is_waited_for_at_once() {
    let two = Two::new();
    for bits in [0, 1, 6, 7] {
        for how in [Signal::KILL, Signal::TERM, Signal::ABORT] {
            let mut daemon = two.switch(&[], bits);
            daemon.expect(&ask_bob(), &bob_of("first"));
            let child = two.child(&daemon, 0);
            signal(child, how);
            expect_gone(child);
            daemon.expect(&ask_bob(), &without_the_first(bits));
            daemon.expect(&ask_bob(), &without_the_first(bits));
            assert_eq!(daemon.finish(), Some(0));
        }
    }
}

#[test]
fn a_child_that_dies_between_the_bytes_of_a_request_is_waited_for_at_once() {
    let two = Two::new();
    let daemon = two.switch(&[], 0);
    daemon.expect(&ask_bob(), &bob_of("first"));
    let child = two.child(&daemon, 0);
    let (front, rest) = (&ask_bob()[..4], &ask_bob()[4..]);
    daemon.send(front);
    daemon.client().expect_silence();
    signal(child, Signal::KILL);
    expect_gone(child);
    daemon.expect(rest, &bob_of("second"));
}

#[test]
fn when_all_children_are_dead_every_request_but_end_fails() {
    let two = Two::new();
    let mut daemon = two.switch(&[], 0);
    daemon.expect(&ask_bob(), &bob_of("first"));
    for number in [0, 1] {
        let child = two.child(&daemon, number);
        signal(child, Signal::KILL);
        expect_gone(child);
    }
    for request in [
        ask_bob(),
        by_id(op::GRP_GETBYGID, 1),
        grouplist(4, "bob"),
        vec![op::PWD_GET],
        vec![op::SHADOW_REWIND],
    ] {
        daemon.expect(&request, &EIO);
    }
    daemon.expect(&[op::PWD_END], &[0]);
    assert_eq!(daemon.finish(), Some(0));
}

#[test]
fn a_child_that_dies_in_a_request_is_passed_over() {
    let two = Two::new();
    for bits in [0, 1, 6] {
        let daemon = two.switch(&[], bits);
        daemon.expect(&ask_bob(), &bob_of("first"));
        let child = Stopped::new(two.child(&daemon, 0));
        daemon.send(&ask_bob());
        daemon.client().expect_silence();
        signal(child.0, Signal::KILL);
        daemon.expect(&[], &without_the_first(bits));
        expect_gone(child.0);
        daemon.expect(&ask_bob(), &without_the_first(bits));
    }
}

#[test]
fn an_enumeration_goes_on_without_the_dead() {
    let two = Two::new();
    let daemon = two.switch(&[], 0);
    daemon.expect(&[op::PWD_GET], &bob_of("first"));
    let child = two.child(&daemon, 0);
    signal(child, Signal::KILL);
    daemon.expect(&[op::PWD_GET], &bob_of("second"));
    daemon.expect(&[op::PWD_GET], &passwd_reply(["second", "x"], 2, 2, ["", "", ""]));
    daemon.expect(&[op::PWD_GET], &NOT_FOUND);
}

#[test]
fn the_dead_are_noticed_where_the_end_of_children_is_ignored() {
    let two = Two::new();
    let inner = two.stage.switch_command(
        &["--spawn"],
        &[
            (0, &["nsssd-unix", "-d", two.first.to_str().unwrap()]),
            (0, &["nsssd-unix", "-d", two.second.to_str().unwrap()]),
        ],
    );
    let mut command = two.stage.applet("sh");
    command.args(["-c", "trap '' CHLD; exec \"$0\" \"$@\""]);
    command.arg(inner.get_program()).args(inner.get_args());
    let mut daemon = Daemon::start(command);
    daemon.expect(&ask_bob(), &bob_of("first"));
    let child = two.child(&daemon, 0);
    signal(child, Signal::KILL);
    expect_gone(child);
    daemon.expect(&ask_bob(), &bob_of("second"));
    assert_eq!(daemon.finish(), Some(0));
}

#[test]
fn a_child_that_is_stopped_is_waited_for_when_there_is_no_limit() {
    let two = Two::new();
    let daemon = two.switch(&[], 0);
    daemon.expect(&ask_bob(), &bob_of("first"));
    let child = Stopped::new(two.child(&daemon, 0));
    daemon.send(&ask_bob());
    daemon.client().expect_silence();
    signal(child.0, Signal::CONT);
    daemon.expect(&[], &bob_of("first"));
}

#[test]
fn a_child_that_is_late_is_killed_and_waited_for() {
    let two = Two::new();
    for bits in [0, 1] {
        let mut daemon = two.switch(&["-t", "1000"], bits);
        daemon.expect(&ask_bob(), &bob_of("first"));
        let child = Stopped::new(two.child(&daemon, 0));
        daemon.expect(&ask_bob(), &without_the_first(bits));
        // Nothing more is asked meanwhile.
        expect_gone(child.0);
        daemon.expect(&ask_bob(), &without_the_first(bits));
        assert_eq!(daemon.finish(), Some(0));
    }
}

#[test]
fn the_switch_ends_although_a_child_is_stopped() {
    let two = Two::new();
    for options in [&[][..], &["-t", "60000"]] {
        let mut daemon = two.switch(options, 0);
        daemon.expect(&ask_bob(), &bob_of("first"));
        let children = [0, 1].map(|number| Stopped::new(two.child(&daemon, number)));
        assert_eq!(daemon.finish(), Some(0));
        drop(children);
    }
}

#[test]
fn the_switch_ends_when_its_client_leaves_in_the_middle_of_a_request() {
    let two = Two::new();
    for options in [&["-t", "1000"][..], &[]] {
        let mut daemon = two.switch(options, 0);
        daemon.expect(&ask_bob(), &bob_of("first"));
        let children = [0, 1].map(|number| Stopped::new(two.child(&daemon, number)));
        daemon.send(&ask_bob());
        daemon.client().expect_silence();
        let code = daemon.finish();
        // The answer that nobody takes is an error.
        assert!(code == Some(0) || code == Some(111), "{options:?}: {code:?}");
        drop(children);
    }
}

#[test]
fn a_client_that_has_asked_its_last_question_still_gets_the_answer() {
    let two = Two::new();
    for options in [&["-t", "60000"][..], &[]] {
        let mut daemon = two.switch(options, 0);
        daemon.expect(&ask_bob(), &bob_of("first"));
        let child = Stopped::new(two.child(&daemon, 0));
        daemon.send(&ask_bob());
        daemon.client().half_close();
        daemon.client().expect_silence();
        signal(child.0, Signal::CONT);
        daemon.expect(&[], &bob_of("first"));
        daemon.expect_eof();
        assert_eq!(daemon.wait().code(), Some(0));
    }
}

#[test]
fn children_end_with_their_switch() {
    let two = Two::new();
    let mut daemon = two.switch(&[], 0);
    daemon.expect(&ask_bob(), &bob_of("first"));
    let children = procfs::children(daemon.pid());
    assert_eq!(children.len(), 2);
    assert_eq!(daemon.finish(), Some(0));
    for child in children {
        // Where nothing waits for orphans they stay as zombies.
        wait_until("the child has ended", || matches!(procfs::state(child), None | Some('Z')));
    }
}

#[test]
fn a_child_that_dies_while_it_streams_ends_the_connection() {
    let stage = Stage::with("", big_group("big", 77, 'm'));
    let request = by_name(op::GRP_GETBYNAME, "big");
    let whole = Naive::new("", big_group("big", 77, 'm'), "").answer(&request);
    // The second one could answer, too, but is too late.
    let command = ["nsssd-unix", "-d", stage.dir.as_str()];
    for stop in [false, true] {
        let options: &[&str] = if stop { &["--spawn", "-t", "1000"] } else { &["--spawn"] };
        let mut daemon = stage.switch(options, &[(0, &command), (0, &command)]);
        let mut got = daemon.ask(&request, 13);
        let child = procfs::children(daemon.pid())[0];
        let guard = Stopped::new(child);
        if !stop {
            signal(child, Signal::KILL);
        }
        got.extend(receive_all(daemon.client()));
        assert!(got.len() < whole.len(), "{} bytes", got.len());
        assert!(whole.starts_with(&got));
        assert_eq!(daemon.wait().code(), Some(111));
        drop(guard);
    }
}

#[test]
fn a_file_that_changes_while_it_is_streamed_ends_the_connection() {
    for options in [&[][..], &["--spawn"]] {
        for emptied in [false, true] {
            let text = big_group("big", 77, 'm');
            let stage = Stage::with("", &text);
            let request = by_name(op::GRP_GETBYNAME, "big");
            let whole = Naive::new("", &text, "").answer(&request);
            let command = ["nsssd-unix", "-d", stage.dir.as_str()];
            let mut daemon = stage.switch(options, &[(0, &command), (0, &command)]);
            let mut got = daemon.ask(&request, 13);
            if emptied {
                stage.dir.write("group", "");
            } else {
                stage.dir.replace("group", big_group("big", 77, 'n'));
            }
            got.extend(receive_all(daemon.client()));
            assert!(got.len() < whole.len(), "{} bytes", got.len());
            assert_eq!(daemon.wait().code(), Some(111));
        }
    }
}

#[test]
fn children_have_their_own_socket_and_no_other() {
    let two = Two::new();
    let (first, second) = (two.first.to_str().unwrap(), two.second.to_str().unwrap());
    let daemon = two.stage.switch(
        &["--spawn", "-t", "20000"],
        &[
            (0, &["nsssd-unix", "-d", first]),
            (0, &["nsssd-unix", "-d", second]),
            (0, &["sh", "-c", "exec cat >/dev/null"]),
            (0, &["nsssd-switch", " 0", " nsssd-unix", " -d", &format!(" {first}"), " "]),
        ],
    );
    daemon.expect(&ask_bob(), &bob_of("first"));
    let children = procfs::children(daemon.pid());
    assert_eq!(children.len(), 4);
    // Whatever the tests themselves were given by their own parent does not count.
    let inherited: BTreeSet<String> =
        procfs::sockets(rustix::process::getpid()).into_values().collect();
    let mut seen: BTreeSet<String> = procfs::sockets(daemon.pid()).into_values().collect();
    for child in children {
        let mut sockets = procfs::sockets(child);
        sockets.retain(|_, socket| !inherited.contains(socket));
        let words = procfs::words(child);
        // That one wrote its standard output elsewhere.
        let count = if words[0] == "cat" { 1 } else { 2 };
        let numbers: Vec<i32> = sockets.keys().copied().collect();
        assert_eq!(numbers, [0, 1][..count], "{words:?}: {sockets:?}");
        let own: BTreeSet<String> = sockets.into_values().collect();
        assert_eq!(own.len(), 1, "{words:?}: both are one socket");
        assert!(seen.is_disjoint(&own), "{words:?} has a socket of somebody else");
        seen.extend(own);
    }
}
