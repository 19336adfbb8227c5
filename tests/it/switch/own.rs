//! Which backends `nsssd-switch` runs inside itself: those that are its own executable, whatever
//! they are called. All others are processes.
#![cfg(all(feature = "nsssd-switch", feature = "nsssd-unix"))]

use crate::support::procfs;
use crate::support::stage::{Stage, copy_executable};
use crate::support::{Daemon, TempDir, by_name, link, nssbox, op, passwd_reply};

fn stage() -> Stage {
    Stage::with("bob:x:1001:1000:Bob:/home/bob:/bin/sh\n", "")
}

fn ask_bob() -> Vec<u8> {
    by_name(op::PWD_GETBYNAME, "bob")
}

fn bob() -> Vec<u8> {
    passwd_reply(["bob", "x"], 1001, 1000, ["Bob", "/home/bob", "/bin/sh"])
}

/// The commands under which our own executable is a backend.
fn own_commands(stage: &Stage, other: &TempDir) -> Vec<Vec<String>> {
    let bin = |name: &str| stage.bin.join(name).to_str().unwrap().to_owned();
    for name in ["nssbox", "nsssd-other", "some-box", "unix"] {
        link(nssbox(), &stage.bin, name);
    }
    let deep = other.subdirectory("deep");
    link(&stage.bin.join("nsssd-unix"), &deep, "nsssd-unix");
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    vec![
        words(&["nsssd-unix"]),
        words(&[&bin("nsssd-unix")]),
        words(&[deep.join("nsssd-unix").to_str().unwrap()]),
        words(&["nssbox", "nsssd-unix"]),
        words(&["nssbox", "unix"]),
        words(&[&bin("nssbox"), "nsssd-unix"]),
        words(&[nssbox().to_str().unwrap(), "nsssd-unix"]),
        words(&["some-box", "nsssd-unix"]),
        words(&["some-box", "unix"]),
        words(&["nsssd-other", "nsssd-unix"]),
        words(&["unix"]),
        words(&[&bin("unix")]),
    ]
}

#[test]
fn our_own_executable_is_run_in_process_whatever_it_is_called() {
    let stage = stage();
    let other = TempDir::new();
    for command in own_commands(&stage, &other) {
        let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
        words.extend(["-d", stage.dir.as_str()]);
        for (options, children) in [(&[][..], 0), (&["--spawn"], 1)] {
            let mut daemon = stage.switch(options, &[(0, &words)]);
            daemon.expect(&ask_bob(), &bob());
            let found = procfs::children(daemon.pid()).len();
            assert_eq!(found, children, "{command:?} with {options:?}");
            assert_eq!(daemon.finish(), Some(0));
            assert_eq!(daemon.stderr(), "", "{command:?} with {options:?}");
        }
    }
}

#[test]
fn a_program_that_only_looks_like_ours_is_started() {
    let stage = stage();
    let dir = stage.dir.as_str();
    let copy = stage.dir.join("nsssd-unix");
    copy_executable(nssbox(), &copy);
    let mut daemon = stage.switch(&[], &[(0, &[copy.to_str().unwrap(), "-d", dir])]);
    daemon.expect(&ask_bob(), &bob());
    assert_eq!(procfs::children(daemon.pid()).len(), 1, "another file");
    assert_eq!(daemon.finish(), Some(0));

    // A nested switch may have children of its own.
    let nested = ["nsssd-switch", " 0", " nsssd-unix", " -d", &format!(" {dir}"), " "];
    let mut daemon = stage.switch(&[], &[(0, &nested)]);
    daemon.expect(&ask_bob(), &bob());
    let children = procfs::children(daemon.pid());
    assert_eq!(children.len(), 1, "a nested switch");
    assert_eq!(procfs::children(children[0]).len(), 0, "what is nested in it");
    assert_eq!(daemon.finish(), Some(0));
}

#[test]
fn what_comes_first_in_the_search_path_counts() {
    let stage = stage();
    let front = stage.dir.subdirectory("front");
    let script = format!("#!/bin/sh\nexec {} \"$@\"\n", stage.bin.join("nsssd-unix").display());
    let script = stage.dir.write("script", script);
    copy_executable(&script, &front.join("nsssd-unix"));
    let path = format!("{}:{}:/usr/bin:/bin", front.display(), stage.bin.display());
    let backend = ["nsssd-unix", "-d", stage.dir.as_str()];
    // Not executable at first: passed over.
    for (mode, children) in [(0o644, 0), (0o755, 1)] {
        stage.dir.chmod("front/nsssd-unix", mode);
        let mut command = stage.switch_command(&[], &[(0, &backend)]);
        command.env("PATH", &path);
        let daemon = Daemon::start(command);
        daemon.expect(&ask_bob(), &bob());
        assert_eq!(procfs::children(daemon.pid()).len(), children, "mode {mode:o}");
    }
}

#[test]
fn another_applet_is_no_backend_whatever_words_follow_it() {
    let stage = stage();
    for words in [&["getent", "nsssd-unix"][..], &["getent", "unix"], &["nssbox", "getent", "unix"]]
    {
        let backends: [(u8, &[&str]); 2] =
            [(0, words), (0, &["nsssd-unix", "-d", stage.dir.as_str()])];
        let daemon = stage.switch(&[], &backends);
        // Had it been taken for a backend, it would know root and not answer this.
        daemon.expect(&[op::PWD_GET], &bob());
    }
}
