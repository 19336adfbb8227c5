//! The command line of `nsssd-switch` and what it says of it. That each wrong one exits with 100
//! is in tests/vectors; here is what the user reads.
#![cfg(all(feature = "nsssd-switch", feature = "nsssd-unix"))]

use crate::support::stage::Stage;
use crate::support::{
    Daemon, Finished, by_name, is_root, op, passwd_reply, run_to_end, skip, tool,
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

fn stage() -> Stage {
    Stage::with("bob:x:1001:1000:Bob:/home/bob:/bin/sh\n", "")
}

fn ask_bob() -> Vec<u8> {
    by_name(op::PWD_GETBYNAME, "bob")
}

fn bob() -> Vec<u8> {
    passwd_reply(["bob", "x"], 1001, 1000, ["Bob", "/home/bob", "/bin/sh"])
}

/// Runs it with these words, to its end.
fn run(words: &[&str]) -> Finished {
    let stage = Stage::new();
    let mut command = stage.applet("nsssd-switch");
    command.args(words);
    run_to_end(command)
}

/// It must refuse these words, in one line that holds `said`.
#[track_caller]
fn assert_refused(words: &[&str], said: &str) {
    let end = run(words);
    assert_eq!(end.code, Some(100), "{words:?}: {end:?}");
    assert_eq!(end.stdout, b"", "{words:?}: {end:?}");
    assert!(end.stderr.starts_with("nsssd-switch: fatal: "), "{words:?}: {end:?}");
    assert!(end.stderr.contains(said), "{words:?}: {end:?}");
    assert_eq!(end.stderr.lines().count(), 1, "{words:?}: {end:?}");
}

#[test]
fn help_is_printed_and_is_no_error() {
    let stage = Stage::new();
    // Without the variables that root needs.
    let mut command = tool(&stage.bin, "nsssd-switch");
    command.arg("--help");
    let end = run_to_end(command);
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!(end.stderr, "");
    let text = String::from_utf8(end.stdout).expect("text");
    assert!(text.starts_with("Usage: nsssd-switch "), "{text}");
    for mentioned in ["-t MS", "-m", "--spawn", "BITFIELD", "EXECLINE_STRICT", "Exit codes:"] {
        assert!(text.contains(mentioned), "{mentioned} in {text}");
    }
}

#[test]
fn a_wrong_command_line_is_explained_in_one_line() {
    for (words, said) in [
        (&[][..], "no defined backends"),
        (&["-m", "--"], "no defined backends"),
        (&["0"], "missing block"),
        (&["0", "true", "", "4"], "missing block"),
        (&["0", ""], "empty block"),
        (&["0", "true", "", "1", ""], "empty block"),
        (&["0", "true"], "unterminated block"),
        (&["0", "true", "", "1", "false"], "unterminated block"),
        (&["x", "true", ""], "bitfield is not a number: x"),
        (&["-1", "true", ""], "-1"),
        (&["0", "true", "", "-1", "true", ""], "bitfield is not a number: -1"),
        (&["-t"], "-t"),
        (&["-t", "x", "0", "true", ""], "-t"),
        (&["-t", "-1", "0", "true", ""], "-t"),
        (&["-t", "4294967296", "0", "true", ""], "-t"),
        (&["-t", "", "0", "true", ""], "-t"),
        (&["-q", "0", "true", ""], "-q"),
        (&["-mq", "0", "true", ""], "-q"),
        (&["--spawned", "0", "true", ""], "--spawned"),
        // A backend of our own that runs in process is looked at at once.
        (&["0", "nsssd-unix", "-q", ""], "-q"),
        (&["0", "nsssd-unix", "-d", ""], "-d"),
    ] {
        assert_refused(words, said);
    }
}

#[test]
fn a_ninth_backend_is_refused_with_the_advice_to_chain_a_switch() {
    let nine = ["0", "true", ""].repeat(9);
    assert_refused(&nine, "too many defined backends");
    assert_refused(&nine, "let one be another nsssd-switch");
}

#[test]
fn eight_backends_are_asked_and_more_behind_a_nested_switch() {
    let stage = stage();
    let mut words = ["0", "true", ""].repeat(7);
    words.extend(["0", "nsssd-switch"]);
    words.extend([" 0", " true", " "].repeat(7));
    words.extend([" 0", " nsssd-unix", " -d"]);
    let dir = format!(" {}", stage.dir.as_str());
    words.extend([&dir, " ", ""]);
    for options in [&[][..], &["--spawn"]] {
        let mut command = stage.applet("nsssd-switch");
        command.args(options).args(&words);
        let mut daemon = Daemon::start(command);
        daemon.expect(&ask_bob(), &bob());
        daemon.expect(&by_name(op::PWD_GETBYNAME, "amy"), &[255]);
        assert_eq!(daemon.finish(), Some(0));
    }
}

#[test]
fn options_may_be_clustered_and_the_last_of_two_counts() {
    let stage = stage();
    let backend = ["nsssd-unix", "-d", stage.dir.as_str()];
    for options in [
        &["-mt200"][..],
        &["-mt", "200"],
        &["-t", "200", "-m", "--spawn", "-t0"],
        &["--spawn", "-m", "--"],
        &["-mm"],
    ] {
        let mut daemon = stage.switch(options, &[(0, &backend)]);
        daemon.expect(&ask_bob(), &bob());
        assert_eq!(daemon.finish(), Some(0), "{options:?}: {}", daemon.stderr());
    }
    // No limit after all: this backend would be late.
    let late = ["sh", "-c", "sleep 0.3; exec nsssd-unix -d \"$0\"", stage.dir.as_str()];
    let daemon = stage.switch(&["-t", "100", "-t", "0"], &[(7, &late)]);
    daemon.expect(&ask_bob(), &bob());
    let daemon = stage.switch(&["-t", "0", "-t", "100"], &[(7, &late)]);
    daemon.expect(&ask_bob(), &[5]);
}

#[test]
fn a_program_that_cannot_be_started_is_named() {
    let stage = stage();
    let missing = stage.dir.join("missing");
    let missing = missing.to_str().unwrap();
    let closed = stage.dir.write("closed", "#!/bin/sh\n");
    let backends: [(u8, &[&str]); 3] = [
        (0, &[missing]),
        (0, &[closed.to_str().unwrap()]),
        (0, &["nsssd-unix", "-d", stage.dir.as_str()]),
    ];
    let daemon = stage.switch(&[], &backends);
    daemon.expect(&ask_bob(), &bob());
    let said = daemon.stderr();
    let lines: Vec<&str> = said.lines().collect();
    let warning = |program: &str, why: &str| {
        format!("nsssd-switch: warning: unable to spawn {program}: {why}")
    };
    assert_eq!(
        lines,
        [
            warning(missing, "No such file or directory"),
            warning(closed.to_str().unwrap(), "Permission denied"),
        ]
    );
}

/// Starts the switch with EXECLINE_STRICT, on these words.
fn strict(stage: &Stage, level: &str, words: &[&OsStr]) -> Daemon {
    let mut command = stage.applet("nsssd-switch");
    command.args(words).env("EXECLINE_STRICT", level);
    Daemon::start(command)
}

/// Words of two blocks: a few are quoted by a blank, as execline does, and most are not.
fn mixed_words(dir: &str) -> Vec<String> {
    let odd = format!("\x01{}", "x".repeat(100));
    let dir = format!(" {dir}");
    ["0", "true", " quoted", "", "4", " nsssd-unix", "-d", &dir, "word", &odd, ""]
        .map(str::to_owned)
        .to_vec()
}

#[test]
fn unquoted_words_are_warned_of_one_by_one_where_that_is_wanted() {
    let stage = stage();
    let words = mixed_words(stage.dir.as_str());
    let words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
    for level in ["1", "01"] {
        let daemon = strict(&stage, level, &words);
        daemon.expect(&ask_bob(), &bob());
        let warning = |word: &str, block: u32, position: u32| {
            format!(
                "nsssd-switch: warning: unquoted argument {word} at block {block} \
                 position {position}\n"
            )
        };
        // What is not the user's own text is escaped and cut.
        let odd = format!("\\x01{}...", "x".repeat(63));
        let want = warning("true", 1, 0)
            + &warning("-d", 2, 1)
            + &warning("word", 2, 3)
            + &warning(&odd, 2, 4);
        assert_eq!(daemon.stderr(), want, "level {level}");
    }
    for level in ["0", "", "no", "-1"] {
        let daemon = strict(&stage, level, &words);
        daemon.expect(&ask_bob(), &bob());
        assert_eq!(daemon.stderr(), "", "level {level}");
    }
}

#[test]
fn unquoted_words_are_refused_where_that_is_wanted() {
    let stage = stage();
    let words = mixed_words(stage.dir.as_str());
    let words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
    for level in ["2", "3", "4294967295"] {
        let mut daemon = strict(&stage, level, &words);
        daemon.expect_eof();
        assert_eq!(daemon.wait().code(), Some(100), "level {level}");
        let said = daemon.stderr();
        let first = "nsssd-switch: fatal: unquoted argument true at block 1 position 0\n";
        assert!(said.starts_with(first), "level {level}: {said}");
    }
    let quoted = [" nsssd-unix", " -d", &format!(" {}", stage.dir.as_str())];
    let words: Vec<&OsStr> = ["0"].iter().chain(&quoted).chain(&[""]).map(OsStr::new).collect();
    let daemon = strict(&stage, "2", &words);
    daemon.expect(&ask_bob(), &bob());
    assert_eq!(daemon.stderr(), "");
}

#[test]
fn words_need_not_be_text() {
    let stage = stage();
    let dir = stage.dir.join(OsStr::from_bytes(b"\xff\xfe"));
    std::fs::create_dir(&dir).expect("a directory");
    std::fs::write(dir.join("passwd"), "bob:x:1001:1000:Bob:/home/bob:/bin/sh\n").expect("a file");
    for options in [&[][..], &["--spawn"]] {
        let mut command = stage.applet("nsssd-switch");
        command.args(options).args(["0", "nsssd-unix", "-d"]).arg(&dir).arg("");
        Daemon::start(command).expect(&ask_bob(), &bob());
    }
}

#[test]
fn the_script_is_read_before_the_environment() {
    if !is_root() {
        skip("the_script_is_read_before_the_environment", "needs root");
        return;
    }
    let stage = Stage::new();
    let mut command = tool(&stage.bin, "nsssd-switch");
    command.args(["0", "no end"]);
    let end = run_to_end(command);
    assert_eq!(end.code, Some(100));
    assert!(end.stderr.contains("unterminated block"), "{}", end.stderr);
    let mut command = tool(&stage.bin, "nsssd-switch");
    command.args(["0", "nsssd-unix", ""]);
    let end = run_to_end(command);
    assert_eq!(end.code, Some(100));
    assert_eq!(end.stderr, "nsssd-switch: fatal: IPCREMOTEEGID not set\n");
}
