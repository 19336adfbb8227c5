//! `nsssd-unix -v`: malformed lines are named, once for each version of a file.
#![cfg(feature = "nsssd-unix")]

use crate::support::stage::{self, Stage};
use crate::support::{Daemon, by_id, by_name, grouplist, op};

const NOT_FOUND: [u8; 1] = [255];

/// What it has to say of a line of `file`.
fn warning(stage: &Stage, file: &str, line: usize, why: &str) -> String {
    let path = stage.dir.join(file);
    format!("nsssd-unix: warning: {} line {line}: {why}, skipped\n", path.display())
}

/// Looks for what is not there, so that the whole file is read.
#[track_caller]
fn look_up(daemon: &Daemon, opcode: u8) {
    daemon.expect(&by_name(opcode, "nobody-at-all"), &NOT_FOUND);
}

#[test]
fn each_bad_line_is_named_with_its_number_and_what_is_wrong() {
    let stage = Stage::new();
    stage.dir.accounts(
        "a:x:1:1:::\n\nb:x:two:2:::\nc:x:3:-3:::\n# comment\nd:x:4:4:\n+::::::\ne:x:4294967296:5:::\n\
         f:x:6:6:::",
        "a:x:1:\nb:x::b\nc:x\nd:x:4:a:b\ne:x:5",
        "a:*:1::::::\nb:*:1:::::\nc:*:-1::::::\nd:*:1:::::::rest\ne:*:18446744073709551616::::::",
    );
    let daemon = stage.unix_with(&["-v"]);
    let of = |file, lines: &[(usize, &str)]| {
        lines.iter().map(|(line, why)| warning(&stage, file, *line, why)).collect::<String>()
    };
    look_up(&daemon, op::PWD_GETBYNAME);
    let passwd = of(
        "passwd",
        &[
            (3, "bad uid"),
            (4, "bad gid"),
            (5, "too few fields"),
            (6, "too few fields"),
            (7, "bad uid"),
            (8, "bad uid"),
        ],
    );
    assert_eq!(daemon.stderr(), passwd);
    look_up(&daemon, op::GRP_GETBYNAME);
    let group = of("group", &[(2, "bad gid"), (3, "too few fields"), (5, "too few fields")]);
    assert_eq!(daemon.stderr(), passwd.clone() + &group);
    look_up(&daemon, op::SHADOW_GETBYNAME);
    let shadow = of("shadow", &[(2, "too few fields"), (3, "bad number"), (5, "bad number")]);
    assert_eq!(daemon.stderr(), passwd + &group + &shadow);
}

#[test]
fn a_version_of_a_file_is_complained_of_once() {
    let stage = Stage::with("bad\na:x:1:1:::\n", "");
    let daemon = stage.unix_with(&["-v"]);
    let ask_all = || {
        for _ in 0..3 {
            look_up(&daemon, op::PWD_GETBYNAME);
            daemon.expect(&by_id(op::PWD_GETBYUID, 77), &NOT_FOUND);
        }
    };
    ask_all();
    let first = warning(&stage, "passwd", 1, "too few fields");
    assert_eq!(daemon.stderr(), first);
    // Kept in memory from now on, and the old version still.
    stage::settle(&stage.dir.join("passwd"));
    ask_all();
    assert_eq!(daemon.stderr(), first);
    stage.dir.replace("passwd", "a:x:1:1:::\nworse\nb:x:b:1:::\n");
    ask_all();
    let second =
        warning(&stage, "passwd", 2, "too few fields") + &warning(&stage, "passwd", 3, "bad uid");
    assert_eq!(daemon.stderr(), first.clone() + &second);
    stage.dir.replace("passwd", "a:x:1:1:::\n");
    ask_all();
    assert_eq!(daemon.stderr(), first + &second);
}

#[test]
fn an_enumeration_and_a_group_list_name_bad_lines_too() {
    for (file, request) in [
        ("passwd", vec![op::PWD_GET]),
        ("group", vec![op::GRP_GET]),
        ("group", grouplist(0, "bob")),
        ("shadow", vec![op::SHADOW_GET]),
    ] {
        let stage = Stage::new();
        stage.dir.accounts("bad\n", "bad\n", "bad\n");
        let daemon = stage.unix_with(&["-v"]);
        daemon.ask(&request, 1);
        let want = warning(&stage, file, 1, "too few fields");
        assert_eq!(daemon.stderr(), want, "after request {request:02x?}");
    }
}

#[test]
fn lines_of_a_large_file_are_counted_on() {
    let stage = Stage::new();
    let good = "user:x:1:1:gecos:/home:/bin/sh\n";
    let long = format!("long:x:2:2:{}:/home:/bin/sh\n", "g".repeat(70_000));
    let long_bad = format!("long:x:2:two:{}:/home:/bin/sh\n", "g".repeat(70_000));
    let passwd = [&good.repeat(3000), &long, "bad\n", &long_bad, "\n", good, "also:bad"].concat();
    stage.dir.accounts(passwd, "", "");
    let daemon = stage.unix_with(&["-v"]);
    look_up(&daemon, op::PWD_GETBYNAME);
    look_up(&daemon, op::PWD_GETBYNAME);
    let want = warning(&stage, "passwd", 3002, "too few fields")
        + &warning(&stage, "passwd", 3003, "bad gid")
        + &warning(&stage, "passwd", 3006, "too few fields");
    assert_eq!(daemon.stderr(), want);
}

#[test]
fn nothing_is_said_unasked() {
    let stage = Stage::with("bad\n", "bad\n");
    let daemon = stage.unix();
    look_up(&daemon, op::PWD_GETBYNAME);
    look_up(&daemon, op::GRP_GETBYNAME);
    daemon.expect(&[op::PWD_GET], &NOT_FOUND);
    assert_eq!(daemon.stderr(), "");
}
