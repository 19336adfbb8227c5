//! vsv: its columns beside those of vsv 2.0.0 itself, if that was unpacked (`.ci/run` builds it).

use super::folder::{Folder, runit_status};
use crate::support::{Finished, have_program, peer, run_to_end};
use std::fs;
use std::process::{Child, Command, Stdio};

/// Ends with the test.
struct Sleeps(Child);

impl Sleeps {
    fn new() -> Sleeps {
        let mut sleeps = Command::new("sleep");
        sleeps.arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Sleeps(sleeps.spawn().unwrap())
    }
}

impl Drop for Sleeps {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A service as runsv leaves it, with the text files that vsv reads.
fn service(folder: &Folder, name: &str, state: &str, pid: u32) -> super::folder::Alive {
    let (want, number) = match state {
        "run" => (b'u', 1),
        "finish" => (b'd', 2),
        _ => (b'd', 0),
    };
    let alive = folder.runit(name, &runit_status(0, pid, want, 0, number));
    let supervise = folder.path(name).join("supervise");
    fs::write(supervise.join("stat"), format!("{state}\n")).unwrap();
    let pid = if pid == 0 { String::new() } else { format!("{pid}\n") };
    fs::write(supervise.join("pid"), pid).unwrap();
    alive
}

/// The text without the last column, which is an age.
fn without_times(finished: &Finished) -> String {
    let text = String::from_utf8(finished.stdout.clone()).unwrap();
    let cut = |line: &str| line.chars().take(68).collect::<String>().trim_end().to_owned();
    text.lines().map(|line| cut(line) + "\n").collect()
}

#[test]
fn columns_and_messages_are_vsvs() {
    let test = "sv::vsv::columns_and_messages_are_vsvs";
    let Some(theirs) = peer(test, "vsv", "bin/vsv") else { return };
    let folder = Folder::new();
    let sleeps = Sleeps::new();
    let pid = sleeps.0.id();
    let _services = [
        service(&folder, "run", "run", pid),
        service(&folder, "run/log", "run", pid),
        service(&folder, "down", "down", 0),
        service(&folder, "finishes", "finish", pid),
        service(&folder, "a-name-that-is-far-too-long", "run", pid),
        service(&folder, "a-name-of-20-letters", "run", pid),
    ];
    fs::write(folder.path("down/down"), "").unwrap();
    fs::create_dir(folder.path("never-supervised")).unwrap();
    fs::write(folder.path("file"), "").unwrap();
    let both = |words: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(&theirs);
        // Its sv is this machine's.
        command.args(words).env("SVDIR", folder.services()).env("HOME", folder.dir.path());
        command.envs(variables.iter().copied());
        let theirs = run_to_end(command);
        let mut command = folder.command("vsv", words);
        command.env("HOME", folder.dir.path()).envs(variables.iter().copied());
        (run_to_end(command), theirs)
    };
    let services = folder.services();
    let services = services.to_str().unwrap();
    for words in [
        &[][..],
        &["status"],
        &["status", "run"],
        &["status", "nothing"],
        &["-l"],
        &["status", "-l", "down"],
        &["-l", "run"],
        &["-d", services],
        &["--dir", services, "status", "fin"],
        &["-c", "no"],
        &["--color", "never", "status"],
    ] {
        let (ours, theirs) = both(words, &[]);
        assert_eq!((ours.code, &ours.stderr), (theirs.code, &theirs.stderr), "{words:?}");
        assert_eq!(without_times(&ours), without_times(&theirs), "{words:?}");
    }
    // The last column: of what is younger than a minute, and of what is not known.
    let (ours, theirs) = both(&["status", "run"], &[]);
    for told in [&ours, &theirs] {
        let text = String::from_utf8(told.stdout.clone()).unwrap();
        let line = text.lines().nth(2).unwrap();
        assert!(line.ends_with(" seconds") || line.ends_with(" second"), "{line}");
    }
    let last = |told: &Finished| {
        let text = String::from_utf8(told.stdout.clone()).unwrap();
        text.lines().nth(2).unwrap().chars().skip(68).collect::<String>()
    };
    let (ours, theirs) = both(&["status", "never"], &[]);
    assert_eq!(last(&ours), last(&theirs));
    for words in
        [&["disable", "run"][..], &["enable", "run", "down"], &["enable", "nothing", "run"]]
    {
        let (ours, theirs) = both(words, &[]);
        assert_eq!((ours.code, ours.stdout), (theirs.code, theirs.stdout), "{words:?}");
    }
    assert!(!folder.path("run/down").exists() && !folder.path("down/down").exists());
    if have_program("sv") {
        for words in [&["up", "run"][..], &["status-of-old"], &["hup", "run", "nothing"]] {
            let (ours, theirs) = both(words, &[]);
            assert_eq!((ours.code, ours.stdout), (theirs.code, theirs.stdout), "{words:?}");
        }
    }
    // Colours, except those of the age.
    let (ours, theirs) = both(&["-c", "yes", "status", "finishes"], &[]);
    let columns = |told: &Finished| {
        let text = String::from_utf8(told.stdout.clone()).unwrap();
        text.replace("\x1b[0m", "")
            .lines()
            .nth(2)
            .unwrap()
            .split_whitespace()
            .take(6)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(columns(&ours), columns(&theirs));
}

#[test]
fn what_vsv_does_not_know_is_told_by_the_status_file() {
    let folder = Folder::new();
    let _paused = service(&folder, "paused", "run, paused", 0);
    let sleeps = Sleeps::new();
    let mut status = runit_status(200, sleeps.0.id(), b'u', 0, 1);
    status[16] = 1;
    fs::write(folder.path("paused/supervise/status"), status).unwrap();
    let finished = folder.run("vsv", &[]);
    let told = String::from_utf8(finished.stdout).unwrap();
    let line = told.lines().nth(2).unwrap();
    assert!(
        line.contains("✔ paused") && line.contains(" run ") && line.ends_with("3 minutes"),
        "{line}"
    );
    let finished = folder.run("vsv", &["-t"]);
    let told = String::from_utf8(finished.stdout).unwrap();
    assert!(told.contains("\nsleep 1000\n"), "{told}");
    // What no command line of it is.
    for words in [&["-c", "perhaps"][..], &["-x"], &["enable"], &["up"]] {
        let finished = folder.run("vsv", words);
        assert_eq!((finished.code, finished.stdout.len()), (Some(1), 0), "{words:?}");
    }
}
