//! What is started, and when: users, batches, failures, clients, signals, and readers that leave.

use super::{Fleet, sorted, text};
use crate::support::{is_root, run_to_end, wait_for_exit, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::process::{Child, Stdio};

#[test]
fn a_user_takes_the_place_of_all_users() {
    let fleet = Fleet::new("");
    fleet.dt(&["-l", "ops", "sys:root@a|b@c,d", "ssh", "true"]);
    let mut calls = fleet.calls();
    calls.sort();
    assert!(calls[0].starts_with("ssh|ops|a||ops@c|"), "{calls:?}");
    assert!(calls[1].starts_with("ssh|ops|d|"), "{calls:?}");
}

#[test]
fn hosts_are_left_out() {
    let fleet = Fleet::new("");
    let run = fleet.dt(&["-x", "sys:web[2-3]", "-x", "sys:web5", "sys:web[1-6]", "list"]);
    let hosts: Vec<String> =
        sorted(&run).iter().map(|line| line.split(':').nth(4).unwrap().to_owned()).collect();
    assert_eq!(hosts, ["web1", "web4", "web6"]);
}

#[test]
fn the_next_batch_begins_when_all_are_done() {
    let fleet = Fleet::new("");
    let mark = fleet.dir.join("mark");
    let mark = mark.display();
    let command = format!("case $WHERE in a1) sleep 0.4; touch {mark};; a3) test -e {mark};; esac");
    let run = fleet.dt(&["--batch", "2", "sys:a[1-4]", "ssh", &command]);
    assert_eq!(run.code, Some(0), "{}", text(&run));
    // Without it, nobody waits.
    fs::remove_file(fleet.dir.join("mark")).unwrap();
    let run = fleet.dt(&["sys:a[1-4]", "ssh", &command]);
    assert_eq!(run.code, Some(1), "{}", text(&run));
}

#[test]
fn too_many_failures_start_no_more() {
    let fleet = Fleet::new("");
    let failed = fleet.dir.join("left");
    for (options, started) in [
        (&["--batch", "2", "--max-fail", "1"][..], 2),
        (&["--batch", "2", "--max-fail", "100%"], 4),
        (&["-C", "1", "--max-fail", "2"], 3),
        (&["-C", "1", "--max-fail", "50%"], 4),
        (&["-C", "1"], 6),
    ] {
        let fails = "case $WHERE in a1|a3|a4) exit 1;; esac";
        let mut args = options.to_vec();
        args.extend(["--failed", failed.to_str().unwrap(), "sys:a[1-6]", "ssh", fails]);
        let before = fleet.calls().len();
        let run = fleet.dt(&args);
        assert_eq!(run.code, Some(1));
        assert_eq!(fleet.calls().len() - before, started, "{options:?}");
        let lines = sorted(&run);
        let info = lines.iter().filter(|line| line.starts_with("info::dt:ssh:")).count();
        assert_eq!((lines.len(), info), (6, 6 - started), "{options:?}: {lines:?}");
        // Who was not started is listed as well.
        let listed = fs::read_to_string(&failed).unwrap().lines().count();
        let fails = lines.iter().filter(|line| line.starts_with("fail:")).count();
        assert_eq!(listed, fails + info, "{options:?}");
    }
}

#[test]
fn who_failed_can_be_run_again() {
    let fleet = Fleet::new("b exit 1\n");
    fleet.dir.write("db", "a x\nroot@b:22 x y\nc x\n");
    let run = fleet.dt(&["-D", "db", "--failed", "left", "tag:x", "ssh", "true"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(fs::read_to_string(fleet.dir.join("left")).unwrap(), "root@b:22 x y\n");
    let run = fleet.dt(&["-D", "left", "--failed", "left", "all:", "ssh", "true"]);
    assert_eq!((run.code, text(&run)), (Some(1), "fail::dt:ssh:root@b%3a22:exit 1\n".to_owned()));
    let run = fleet.dt(&["--failed", "nowhere/left", "sys:a", "ssh", "true"]);
    assert_eq!(run.code, Some(2), "it is known before a host is asked");
}

#[test]
fn dropbears_client_is_held_to_the_time_for_connecting() {
    let fleet = Fleet::new("dead silent\nlost print Host key is not known\n");
    let mut command = fleet
        .command("dt", &["--json", "-T", "1", "sys:u@{web1:2222,dead}", "ssh", "echo hi; exit 3"]);
    command.env("DTOOLS_SSH", "dbclient");
    let run = run_to_end(command);
    let printed = text(&run);
    assert!(
        printed.contains(r#""host":"u@web1:2222","status":"fail","reason":"exit","exit":3"#),
        "{printed}"
    );
    assert!(printed.contains(r#""stdout":"hi\n""#), "{printed}");
    assert!(
        printed.contains(r#""reason":"unreachable""#)
            && printed.contains("connecting timed out after 1 s"),
        "{printed}"
    );
    // A command that takes longer than that is none of it.
    let mut command = fleet.command("dt", &["-T", "1", "sys:web1", "ssh", "sleep 1.5; echo hi"]);
    command.env("DTOOLS_SSH", "dbclient");
    assert_eq!(text(&run_to_end(command)), "okay::dt:ssh:web1:hi\n");
    // A mark that does not come is no output that is lost.
    let mut command = fleet.command("dt", &["sys:lost", "ssh", "true"]);
    command.env("DTOOLS_SSH", "dbclient");
    assert!(text(&run_to_end(command)).contains("Host key is not known"));
}

#[test]
fn a_program_gets_a_session_of_its_own_and_nothing_else_of_ours() {
    let fleet = Fleet::new("");
    let script = |name: &str, text: &str| {
        fleet.dir.write(name, format!("#!/bin/sh\n{text}\n"));
        fleet.dir.chmod(name, 0o755);
    };
    // Its number, and that of its session.
    script("session", "cut -d' ' -f6 /proc/$$/stat | grep -qx $$");
    script("files", "ls /proc/self/fd | tr '\\n' ' '");
    let run = fleet.dt(&["-C", "4", "sys:a[1-4]", "local", "./session"]);
    assert_eq!(run.code, Some(0), "{}", text(&run));
    // What we were started with, and what a shell and ls have open, is there without dt, too.
    let mut direct = std::process::Command::new(fleet.dir.join("files"));
    direct.current_dir(fleet.dir.path());
    let wanted = text(&run_to_end(direct));
    let run = fleet.dt(&["-C", "4", "sys:a[1-4]", "local", "./files"]);
    for line in sorted(&run) {
        assert_eq!(line.split(':').nth(5), Some(wanted.as_str()));
    }
}

#[test]
fn standard_input_goes_whole_to_each() {
    let fleet = Fleet::new("");
    let input = "0123456789abcdef\n".repeat(20_000);
    let run = fleet.dt_with(&["--stdin", "sys:a[1-20]", "ssh", "wc -c"], &input);
    let lines = sorted(&run);
    assert_eq!(lines.len(), 20);
    assert!(lines.iter().all(|line| line.ends_with(":340000")), "{lines:?}");
    let run = fleet.dt_with(&["--stdin", "-D", "-", "all:", "ssh", "wc -c"], "a\n");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
}

/// A run that does not end by itself, with its output in a pipe.
fn hanging(fleet: &Fleet, args: &[&str]) -> Child {
    let mut command = fleet.command("dt", args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// No process has the fake's folder in its environment.
fn none_is_left(fleet: &Fleet) {
    let mark = format!("FAKE_SSH_DIR={}", fleet.dir.join("fake").display());
    wait_until("no child is left", || {
        let mut left = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let environ = entry.ok()?.path().join("environ");
            let text = fs::read(environ).ok()?;
            memmem(&text, mark.as_bytes()).then_some(())
        });
        left.next().is_none()
    });
}

fn memmem(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// SIGTERM ends it, and all that it started.
#[track_caller]
fn ends_by_term(fleet: &Fleet, mut child: Child) {
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(wait_for_exit(&mut child).code(), Some(130));
    none_is_left(fleet);
}

#[test]
fn signals_end_all_with_a_line_for_each_host() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let fleet = Fleet::new("slow hang\nstub stubborn\n");
        let mark = fleet.dir.join("mark");
        let said = format!("echo hi; touch {}; sleep 30", mark.display());
        let hosts = "sys:{fast,slow,stub,zlate}";
        let child = hanging(&fleet, &["-C", "3", hosts, "ssh", &said]);
        wait_until("three have begun", || mark.exists() && fleet.calls().len() == 3);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{signal:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        let mut lines: Vec<&str> = printed.lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "fail::dt:ssh:fast:hi\\ninterrupted",
                "fail::dt:ssh:slow:interrupted",
                "fail::dt:ssh:stub:interrupted",
                "fail::dt:ssh:zlate:interrupted",
            ],
            "{signal:?}"
        );
        none_is_left(&fleet);
    }
}

#[test]
fn a_timeout_ends_what_the_program_has_started_too() {
    let fleet = Fleet::new("");
    let run = fleet.dt(&["-W", "1", "sys:a", "ssh", "sleep 31 & sleep 30; echo late"]);
    assert_eq!(
        (run.code, text(&run)),
        (Some(124), "fail::dt:ssh:a:timeout after 1 s\n".to_owned())
    );
    none_is_left(&fleet);
}

#[test]
fn a_reader_that_leaves_ends_all() {
    let fleet = Fleet::new("slow hang\n");
    let mut child = hanging(&fleet, &["sys:{slow,slow2}", "ssh", "sleep 30"]);
    wait_until("they have begun", || fleet.calls().len() == 2);
    // Nothing was printed yet: it is noticed all the same.
    drop(child.stdout.take());
    assert_eq!(wait_for_exit(&mut child).code(), Some(130));
    none_is_left(&fleet);
}

#[test]
fn a_reader_that_does_not_read_keeps_nobody_from_ending_it() {
    let fleet = Fleet::new("slow hang\n");
    let child = hanging(&fleet, &["sys:{big,slow}", "ssh", "yes | head -c 500000"]);
    wait_until("they have begun", || fleet.calls().len() == 2);
    // Its pipe is held here, and not read.
    ends_by_term(&fleet, child);
}

/// The same where the signal comes while it waits for its reader, and a host has nothing to say.
#[test]
fn a_reader_that_stopped_reading_keeps_nobody_from_ending_it() {
    let fleet = Fleet::new("slow hang\n");
    let mut child = hanging(&fleet, &["sys:{big,slow}", "ssh", "yes | head -c 500000"]);
    let stdout = child.stdout.take().unwrap();
    // (A page of it may be half full.)
    wait_until("the pipe is full", || rustix::io::ioctl_fionread(&stdout).unwrap() > 32_768);
    ends_by_term(&fleet, child);
}

/// Standard output is a socket, which is not watched: that its reader left is noticed by writing.
#[test]
fn a_reader_that_is_gone_when_it_is_written_to_ends_all() {
    let fleet = Fleet::new("slow hang\n");
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(ours);
    let mut command = fleet.command("dt", &["sys:{a,slow}", "ssh", "echo x"]);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command.stdout(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
    let mut child = command.spawn().unwrap();
    // It has the only other end.
    drop(command);
    assert_eq!(wait_for_exit(&mut child).code(), Some(130));
    none_is_left(&fleet);
}

/// The same where the signal was answered before there was something to print.
#[test]
fn a_reader_that_does_not_read_what_is_printed_at_the_end_is_left() {
    let fleet = Fleet::new("");
    let ready = fleet.dir.join("ready");
    let command = format!(
        "trap 'yes | head -c 500000; exit' TERM; : >{}; while :; do sleep 0.05; done",
        ready.display()
    );
    let child = hanging(&fleet, &["sys:big", "ssh", &command]);
    wait_until("it waits for the signal", || ready.exists());
    ends_by_term(&fleet, child);
}

#[test]
fn a_full_disk_behind_standard_output_is_told() {
    if !is_root() && fs::metadata("/dev/full").is_err() {
        return;
    }
    let fleet = Fleet::new("");
    let mut command = fleet.command("dt", &["sys:a", "ssh", "echo hi"]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() != Some(0), "{:?}", output.status);
    assert!(told.contains("No space left on device"), "{told}");
}

#[test]
fn many_hosts_with_few_descriptors() {
    let fleet = Fleet::new("");
    let mut command = std::process::Command::new("sh");
    let dt = fleet.command("dt", &[]);
    // Room for a dozen at a time, where fifty are asked for.
    command.args(["-c", "ulimit -n 20; exec \"$@\"", "sh"]).arg(dt.get_program());
    command.args(["-C", "50", "sys:n[1-200]", "local", "echo"]).current_dir(fleet.dir.path());
    let run = run_to_end(command);
    assert_eq!((run.code, sorted(&run).len()), (Some(0), 200), "{} {}", text(&run), run.stderr);
}

#[test]
fn what_is_no_file_is_not_replaced() {
    let fleet = Fleet::new("");
    for file in ["/dev/null", "."] {
        let run = fleet.dt(&["--failed", file, "sys:a", "ssh", "true"]);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
    }
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    assert!(fleet.calls().is_empty());
}
