//! What `nsssd-unix` keeps of a file is believed no longer than it can be: writes of which the
//! file's times do not tell. And no file is kept busy that nobody uses.
#![cfg(feature = "nsssd-unix")]

use crate::support::stage::{Stage, settle};
use crate::support::{
    Daemon, TempDir, by_name, compiled, op, passwd_reply, procfs, skip, wait_until,
};
use rustix::process::Pid;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

const NOT_FOUND: [u8; 1] = [255];
const STALE: [u8; 1] = [116];

/// `tests/clients/late-write.c`, which has come to where its bytes are still missing.
struct LateWrite {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Drop for LateWrite {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl LateWrite {
    /// `None`: it cannot be had here, which is said.
    fn start(test: &str, how: &str, file: &Path, new: &Path) -> Option<LateWrite> {
        let dir = TempDir::new();
        let program = compiled(test, "late-write", &dir)?;
        let mut command = Command::new(&program);
        command.arg(how).arg(file).arg(new).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("late-write");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut late = LateWrite { child, input, output };
        if late.says("ready") {
            return Some(late);
        }
        assert_eq!(late.child.wait().expect("late-write").code(), Some(2));
        skip(test, "the kernel does not let userfaultfd serve a system call");
        None
    }

    fn says(&mut self, word: &str) -> bool {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("late-write");
        line.trim_end() == word
    }

    /// Lets the rest of its bytes come.
    fn go_on(&mut self) {
        self.input.as_mut().expect("a pipe").write_all(b"\n").expect("late-write");
        assert!(self.says("done"));
    }
}

/// Some pages of users, the last of whom has this uid; small enough to be kept.
fn users(last: u32) -> String {
    let mut users: String =
        (0..300).map(|n| format!("user{n}:x:{}:1000::/home:/bin/sh\n", 3000 + n)).collect();
    users.push_str(&format!("last:x:{last}:1000::/home:/bin/sh\n"));
    users
}

fn last(uid: u32) -> Vec<u8> {
    passwd_reply(["last", "x"], uid, 1000, ["", "/home", "/bin/sh"])
}

/// Asks until the daemon answers from memory, then lets the writer go on; the new content must be
/// seen.
fn a_late_write_is_seen(test: &str, how: &str, filler: &str) {
    let stage = Stage::new();
    let passwd = stage.dir.write("passwd", users(4444) + filler);
    let new = stage.dir.write("new", users(5555) + filler);
    let daemon = stage.unix();
    let ask = by_name(op::PWD_GETBYNAME, "last");
    daemon.expect(&ask, &last(4444));
    let Some(mut writer) = LateWrite::start(test, how, &passwd, &new) else { return };
    // Its times are set: from now on they tell nothing of it.
    settle(&passwd);
    for _ in 0..3 {
        daemon.expect(&ask, &last(4444));
    }
    writer.go_on();
    wait_until("what was written late is answered", || {
        daemon.ask(&ask, last(5555).len()) == last(5555)
    });
}

#[test]
fn what_a_write_that_stopped_in_the_middle_had_in_hand_is_seen() {
    let test = "what_a_write_that_stopped_in_the_middle_had_in_hand_is_seen";
    a_late_write_is_seen(test, "paused", "");
    let filler: String =
        (0..1000).map(|n| format!("more{n}:x:{}:1000::/home:/bin/sh\n", 6000 + n)).collect();
    a_late_write_is_seen(test, "paused", &filler);
}

#[test]
fn what_is_written_through_a_shared_mapping_is_seen() {
    a_late_write_is_seen("what_is_written_through_a_shared_mapping_is_seen", "mapped", "");
}

/// Whether a process has something below a directory open.
fn holds(pid: Pid, dir: &TempDir) -> bool {
    !procfs::open_below(pid, dir.path()).is_empty()
}

fn large() -> String {
    (0..2000).map(|n| format!("user{n}:x:{}:1000::/home:/bin/sh\n", 3000 + n)).collect()
}

fn user(number: u32) -> Vec<u8> {
    let name = format!("user{number}");
    passwd_reply([&name, "x"], 3000 + number, 1000, ["", "/home", "/bin/sh"])
}

fn ask(number: u32) -> Vec<u8> {
    by_name(op::PWD_GETBYNAME, format!("user{number}"))
}

#[test]
fn no_file_stays_open_that_nobody_uses_and_then_nothing_wakes_the_daemon() {
    let stage = Stage::with(large(), "");
    settle(&stage.dir.join("passwd"));
    let daemon = stage.unix();
    for round in 0..3 {
        daemon.expect(&ask(7), &user(7));
        daemon.expect(&[op::PWD_GET], &user(0));
        wait_until("nothing is open", || !holds(daemon.pid(), &stage.dir));
        // It closes a file just before it goes to sleep, and a busy machine may wait for a page:
        // a timer of 300 ms would wake it in every 400.
        let waits = || procfs::status(daemon.pid(), "voluntary_ctxt_switches");
        wait_until(&format!("nothing wakes it, round {round}"), || {
            let before = waits();
            thread::sleep(Duration::from_millis(400));
            waits() == before
        });
        daemon.expect(&[op::PWD_END], &[0]);
    }
    // What is kept needs no file.
    stage.dir.replace("passwd", users(4444));
    settle(&stage.dir.join("passwd"));
    daemon.expect(&by_name(op::PWD_GETBYNAME, "last"), &last(4444));
    assert!(!holds(daemon.pid(), &stage.dir));
}

#[test]
fn an_enumeration_goes_on_where_it_was_after_its_file_was_closed() {
    let stage = Stage::with(large(), "");
    let daemon = stage.unix();
    for number in 0..5 {
        daemon.expect(&[op::PWD_GET], &user(number));
        wait_until("its file is closed", || !holds(daemon.pid(), &stage.dir));
    }
    daemon.expect(&[op::PWD_REWIND], &[0]);
    daemon.expect(&[op::PWD_GET], &user(0));
}

#[test]
fn an_enumeration_whose_file_was_replaced_while_it_was_closed_fails_until_it_begins_again() {
    let stage = Stage::with(large(), "");
    let daemon = stage.unix();
    for begin_again in [op::PWD_END, op::PWD_REWIND] {
        daemon.expect(&[op::PWD_END], &[0]);
        daemon.expect(&[op::PWD_GET], &user(0));
        wait_until("its file is closed", || !holds(daemon.pid(), &stage.dir));
        stage.dir.replace("passwd", large());
        daemon.expect(&[op::PWD_GET], &STALE);
        daemon.expect(&[op::PWD_GET], &STALE);
        daemon.expect(&[begin_again], &[0]);
        daemon.expect(&[op::PWD_GET], &user(0));
    }
    wait_until("its file is closed", || !holds(daemon.pid(), &stage.dir));
    std::fs::remove_file(stage.dir.join("passwd")).expect("passwd");
    daemon.expect(&[op::PWD_GET], &STALE);
}

#[test]
fn a_large_file_that_was_closed_is_believed_only_if_it_is_the_same() {
    let stage = Stage::with(large(), "");
    settle(&stage.dir.join("passwd"));
    let daemon = stage.unix();
    for _ in 0..2 {
        daemon.expect(&ask(1999), &user(1999));
        daemon.expect(&by_name(op::PWD_GETBYNAME, "nobody"), &NOT_FOUND);
    }
    wait_until("nothing is open", || !holds(daemon.pid(), &stage.dir));
    daemon.expect(&ask(1999), &user(1999));
    wait_until("nothing is open", || !holds(daemon.pid(), &stage.dir));
    stage.dir.replace("passwd", large() + "nobody:x:9:1000::/home:/bin/sh\n");
    let nobody = passwd_reply(["nobody", "x"], 9, 1000, ["", "/home", "/bin/sh"]);
    daemon.expect(&by_name(op::PWD_GETBYNAME, "nobody"), &nobody);
}

/// A daemon with a client that takes the first bytes of a large group and rests.
fn rest_in_a_group(stage: &Stage, group: &str) -> Daemon {
    stage.dir.write("group", group);
    settle(&stage.dir.join("group"));
    let daemon = stage.unix();
    daemon.send(&by_name(op::GRP_GETBYNAME, "big"));
    daemon
}

#[test]
fn a_reply_in_pieces_is_ended_although_its_client_rests() {
    let stage = Stage::new();
    let group = crate::support::stage::big_group("big", 50, 'm');
    let daemon = rest_in_a_group(&stage, &group);
    let members = crate::support::stage::big_members('m');
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    let whole = crate::support::group_reply("big", "x", 50, &members);
    assert!(daemon.recv_exact(20) == whole[..20]);
    thread::sleep(Duration::from_millis(500));
    assert!(daemon.recv_exact(whole.len() - 20) == whole[20..]);
}
