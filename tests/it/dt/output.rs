//! What is printed of a run: JSON, lines as they come, tables, groups, exit codes.

use super::{Fleet, sorted, text};
use crate::support::{run_to_end, run_to_end_with_input};
use serde_json::Value;

fn objects(printed: &str) -> Vec<Value> {
    let mut all: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    all.sort_by_key(|object| object["host"].as_str().unwrap().to_owned());
    all
}

#[test]
fn json_tells_why_each_host_ended() {
    let fleet = Fleet::new("gone unknown\nslow hang\nshot die KILL\n");
    let run = fleet.dt(&[
        "--json",
        "-W",
        "1",
        "sys:{web1,web2,gone,slow,shot}",
        "ssh",
        "echo o; echo e >&2; test $WHERE = web1 || exit 3",
    ]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""));
    let told = |o: &Value| {
        let words = ["host", "status", "reason"].map(|key| o[key].as_str().unwrap().to_owned());
        (words.join(" "), o["exit"].as_u64(), o["signal"].as_u64())
    };
    let all = objects(&text(&run));
    assert_eq!(
        all.iter().map(told).collect::<Vec<_>>(),
        [
            ("gone fail unreachable".to_owned(), None, None),
            ("shot fail signal".to_owned(), None, Some(9)),
            ("slow fail timeout".to_owned(), None, None),
            ("web1 okay exit".to_owned(), Some(0), None),
            ("web2 fail exit".to_owned(), Some(3), None),
        ]
    );
    assert_eq!((all[3]["stdout"].as_str(), all[3]["stderr"].as_str()), (Some("o\n"), Some("e\n")));
    assert!(all[2]["seconds"].as_f64().unwrap() >= 1.0);
    assert!(all[0]["stderr"].as_str().unwrap().contains("Could not resolve"));
}

#[test]
fn json_has_base64_for_what_is_no_text_and_says_what_was_cut() {
    let fleet = Fleet::new("");
    let run = fleet.dt(&[
        "--json",
        "sys:a",
        "ssh",
        "printf 'a\\377b'; printf '\\033\\302\\233\"\\\\' >&2",
    ]);
    let printed = text(&run);
    // Nothing in it drives a terminal.
    assert!(printed.contains(r#""stderr":"\u001b\u009b\"\\""#), "{printed}");
    let object = &objects(&printed)[0];
    assert_eq!(object["stdout_b64"].as_str(), Some("Yf9i"));
    assert_eq!(object["stderr"].as_str(), Some("\u{1b}\u{9b}\"\\"));
    // A character that the limit cuts in two is no reason for base64.
    let run =
        fleet.dt(&["--json", "--max-output", "4", "sys:a", "ssh", "printf 'abc\\342\\202\\254d'"]);
    let object = &objects(&text(&run))[0];
    assert_eq!(
        (object["stdout"].as_str(), object["truncated"].as_bool()),
        (Some("abc"), Some(true))
    );
}

#[test]
fn long_output_is_spooled_and_comes_back_whole() {
    let fleet = Fleet::new("");
    let command = "yes 0123456789abcdef | head -n 20000";
    let wanted = "0123456789abcdef\n".repeat(20000);
    let run = fleet.dt(&["--json", "--max-output", "0", "sys:{a,b}", "ssh", command]);
    for object in objects(&text(&run)) {
        assert!(object["stdout"].as_str() == Some(&wanted), "{}", object["host"]);
    }
    let run = fleet.dt(&["sys:a", "ssh", command]);
    let line = format!("okay::dt:ssh:a:{}\n", wanted.trim_end().replace('\n', "\\n"));
    assert!(text(&run) == line);
    // Nothing is left of it.
    let left = std::fs::read_dir(fleet.dir.path()).unwrap().map(|e| e.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with(".dt")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn output_that_cannot_be_kept_is_told_and_no_failure() {
    let fleet = Fleet::new("");
    let mut command = fleet.command("dt", &["sys:a", "ssh", "yes | head -c 200000"]);
    command.env("TMPDIR", fleet.dir.join("nowhere"));
    let run = run_to_end(command);
    let told = text(&run);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        told.ends_with("… (200000 bytes, the rest lost: No such file or directory)\n"),
        "{}",
        &told[told.len() - 90..]
    );
}

#[test]
fn live_lines_come_with_their_host_and_apart() {
    let fleet = Fleet::new("bad exit 4\n");
    let run = fleet.dt(&[
        "--live",
        "sys:{web1:22,bad}",
        "ssh",
        "echo one; echo two >&2; printf '\\033[31m'",
    ]);
    assert_eq!(run.code, Some(1));
    assert_eq!(text(&run), "web1%3a22: one\nweb1%3a22: \\x1b[31m\n");
    let mut err: Vec<&str> = run.stderr.lines().collect();
    err.sort_unstable();
    assert_eq!(err, ["bad: exit 4", "web1%3a22: two"]);
}

#[test]
fn a_line_comes_before_its_host_is_done() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;
    let fleet = Fleet::new("");
    // It ends when somebody has read its first line.
    let go = fleet.dir.join("go");
    let wait =
        format!("echo first; until test -e {}; do sleep 0.05; done; echo last", go.display());
    let mut command = fleet.command("dt", &["--live", "sys:a", "ssh", &wait]);
    let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "a: first");
    std::fs::write(go, "").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "a: last");
    assert_eq!(crate::support::wait_for_exit(&mut child).code(), Some(0));
}

#[test]
fn a_table_has_a_row_for_each_host_and_a_summary() {
    let fleet = Fleet::new("web2 unknown\n");
    let run = fleet.dt(&[
        "-f",
        "table",
        "sys:web[1-4]",
        "ssh",
        "test $WHERE = web1 || { echo no; exit 3; }",
    ]);
    assert_eq!(run.code, Some(1));
    let printed = text(&run);
    let rows: Vec<Vec<&str>> =
        printed.lines().take(5).map(|line| line.split_whitespace().take(2).collect()).collect();
    assert_eq!(
        rows,
        [["HOST", "EXIT"], ["web1", "0"], ["web2", "unreachable"], ["web3", "3"], ["web4", "3"]]
    );
    assert!(printed.contains("web3:\n\tno\n"), "{printed}");
    assert!(
        printed.contains("4 hosts in ")
            && printed.contains(": 1 okay\n2 failed: web[3-4]\n1 unreachable: web2\n"),
        "{printed}"
    );
}

#[test]
fn equal_output_stands_once_under_its_hosts() {
    let fleet = Fleet::new("web9 hang\n");
    let run = fleet.dt(&[
        "-f",
        "group",
        "-W",
        "1",
        "sys:web[1-9],db1",
        "ssh",
        "case $WHERE in db1) echo b;; web5) exit 2;; *) echo a; echo c;; esac",
    ]);
    assert_eq!(
        text(&run),
        "web[1-4,6-8] (7)\n\ta\n\tc\n\ndb1 (1)\n\tb\n\nweb5 (1) fail\n\texit 2\n\n\
         web9 (1) fail\n\ttimeout after 1 s\n\n"
    );
}

#[test]
fn statuses_stand_in_the_line() {
    let fleet = Fleet::new("b die TERM\nc unknown\n");
    let run = fleet.dt(&["--status", "-e", "sys:{a,b,c}", "ssh", "echo 'x\\y'; exit 5"]);
    let lines = sorted(&run);
    assert_eq!(lines[0], "fail:cs15:dt:ssh:b:signal 15");
    assert!(lines[1].starts_with("fail:cu:dt:ssh:c:ssh: Could not"), "{lines:?}");
    assert_eq!(lines[2], "fail:cx5:dt:ssh:a:x\\\\y");
    // The filters pass over it.
    let run =
        run_to_end_with_input(fleet.command("dthost", &[]), (lines[2].clone() + "\n").as_bytes());
    assert_eq!(text(&run), "fail:cx5:dt:ssh:a:\n\tx\\y\n\n");
}

#[test]
fn the_largest_exit_code_counts_what_did_not_end_by_itself() {
    let fleet = Fleet::new("s die KILL\nt hang\n");
    for (hosts, command, wanted) in [
        ("sys:{a,b}", "test $WHERE = a || exit 7", 7),
        ("sys:{a,s}", "exit 3", 137),
        ("sys:{a,t}", "exit 3", 124),
        ("sys:{a,b}", "true", 0),
    ] {
        let run = fleet.dt(&["-S", "-W", "1", hosts, "ssh", command]);
        assert_eq!(run.code, Some(wanted), "{hosts}");
    }
    // With a filter it is dt's -S, and no --no-stats.
    let run = fleet.dt(&["-S", "-f", "compact", "sys:a", "ssh", "exit 9"]);
    assert!(run.code == Some(9) && text(&run).contains("Total:"), "{}", text(&run));
}

#[test]
fn forms_exclude_each_other_and_filters_are_no_tables() {
    let fleet = Fleet::new("");
    for args in [
        &["--live", "--json", "sys:a", "list"][..],
        &["-f", "host", "--json", "sys:a", "list"],
        &["-f", "nothing", "sys:a", "list"],
        &["--max-fail", "0", "sys:a", "list"],
        &["--max-fail", "101%", "sys:a", "list"],
        &["-l", "-oProxyCommand=x", "sys:a", "list"],
    ] {
        let run = fleet.dt(args);
        assert!(run.code == Some(2) && run.stdout.is_empty() && !run.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn filters_escape_what_would_drive_a_terminal() {
    let fleet = Fleet::new("");
    for applet in ["dthost", "dtstatus", "dtcompact"] {
        let input = b"fail::dt:ssh:a:x\x1b[2J\xc2\x9by\n";
        let run = run_to_end_with_input(fleet.command(applet, &[]), input);
        assert!(text(&run).contains("x\\x1b[2J\\xc2\\x9by"), "{applet}: {}", text(&run));
        assert!(!run.stdout.contains(&0x1b));
    }
}

#[test]
fn a_head_that_would_drive_a_terminal_is_escaped_too() {
    let fleet = Fleet::new("");
    for applet in ["dthost", "dtstatus", "dtcompact"] {
        let input = b"fail:\x1b[31m:d\x07t:s\x1bh:ho\x1bst:x\n";
        let run = run_to_end_with_input(fleet.command(applet, &[]), input);
        assert!(run.stdout.iter().all(|b| *b != 0x1b && *b != 7), "{applet}");
    }
}
