//! `--check`, what is told at the start of sources that are not there, and applets that find
//! themselves without links.

use crate::support::nscd::{Bench, ask, asked, request};
use crate::support::{Server, TempDir, by_id, nssbox, op, run_to_end, tool, wait_until};
use std::fs;
use std::os::unix::net::UnixListener;
use std::process::Command;

const ADA: &str = "ada:*:1001:1001:Ada:/home/ada:/bin/sh";

fn bench() -> Bench {
    Bench::new(&format!("{ADA}\n"), "staff:x:1001:ada\n")
}

/// Directories that everybody may look into: what is missing there is missing, and not refused.
fn path(bench: &Bench) -> String {
    format!("{}:/usr/bin:/bin", bench.bin.display())
}

/// `APPLET --check WORDS`: its exit code, and what it printed.
#[track_caller]
fn check(bench: &Bench, applet: &str, words: &[&str]) -> (Option<i32>, String) {
    let mut command = tool(&bench.bin, applet);
    command.arg("--check").args(words).env("PATH", path(bench));
    let finished = run_to_end(command);
    (finished.code, String::from_utf8(finished.stdout).unwrap() + &finished.stderr)
}

#[test]
fn sources_are_printed_as_understood_and_tried() {
    let bench = bench();
    let dir = bench.dir.as_str();
    let good = format!("3 nsssd-unix -d {dir}: good\n");
    for applet in ["nscd", "nsssd-switch"] {
        let words = ["3", "nsssd-unix", "-d", dir, ""];
        assert_eq!(check(&bench, applet, &words), (Some(0), good.clone()), "{applet}");
        let missing = format!("{dir}/none");
        let words = [&words[..], &["8", "nsssd-unix", "-d", &missing, "", "1", "no-such", ""]];
        let (code, text) = check(&bench, applet, &words.concat());
        assert_eq!(code, Some(1), "{text}");
        let bad = format!("0 nsssd-unix -d {missing}: {missing}: No such file or directory\n");
        assert!(text.contains(&(good.clone() + &bad)), "{text}");
        assert!(text.contains("1 no-such: no-such: No such file or directory\n"), "{text}");
        // A program that is there and does not answer.
        let (code, text) = check(&bench, applet, &["0", "true", ""]);
        assert_eq!((code, text.as_str()), (Some(1), "0 true: it does not answer\n"), "{applet}");
        // One that is there and cannot be started.
        let script = bench.dir.write("broken", "#!/no/such/interpreter\n");
        bench.dir.chmod("broken", 0o755);
        let (code, text) = check(&bench, applet, &["0", script.to_str().unwrap(), ""]);
        let broken = format!("0 {0}: No such file or directory\n", script.display());
        assert!(code == Some(1) && text.starts_with(&broken), "{text}");
    }
    let script = ["/none/s", "nsssd-switch", "3", "nsssd-unix", "-d", dir, ""];
    assert_eq!(check(&bench, "ipcserver", &script), (Some(0), good));
    assert_eq!(check(&bench, "ipcserver", &["/none/s", "no-such"]).0, Some(1));
    let server = "-s /none/s: /none/s: No such file or directory\n";
    let words = ["-s", "/none/s", "--no-files"];
    assert_eq!(check(&bench, "nscd", &words), (Some(1), server.to_owned()));
    // The machine's own files are asked before it.
    let both = format!("3 unix: good\n{server}");
    assert_eq!(check(&bench, "nscd", &["-s", "/none/s"]), (Some(1), both));
    // A script is looked at before the environment.
    assert_eq!(check(&bench, "nsssd-switch", &["0", "no end"]).0, Some(100));
    // Nothing was made.
    assert!(!bench.socket().exists());
}

#[test]
fn what_is_not_there_is_named_at_the_start() {
    let bench = bench();
    let dir = bench.dir.as_str();
    let missing = format!("{dir}/none");
    let half = bench.dir.subdirectory("half");
    fs::write(half.join("passwd"), "").unwrap();
    let start = |script: &[&str]| {
        let mut command = tool(&bench.bin, "nscd");
        command.args(["-1", "-S"]).arg(bench.socket()).args(script).env("PATH", path(&bench));
        let mut server = Server::start_command(command, &bench.socket());
        let told = server.stderr();
        server.stop();
        told
    };
    let files = ["3", "nsssd-unix", "-d", dir, ""];
    let quiet = start(&files);
    assert!(!quiet.contains("not there"), "{quiet}");
    for (more, named) in [
        (&["0", "nsssd-unix", "-d", &missing, ""][..], missing.clone()),
        (&["0", "nsssd-unix", "-d", half.to_str().unwrap(), ""], format!("{dir}/half/group")),
        (&["0", "no-such-backend", ""], "no-such-backend".to_owned()),
        #[cfg(feature = "nsssd-nslcd")]
        (&["0", "nsssd-nslcd", &missing, ""], missing.clone()),
    ] {
        let told = start(&[&files[..], more].concat());
        let line = format!("not there: {named}: No such file or directory");
        assert!(told.contains(&line), "{told}");
    }
    let socket = format!("{dir}/nsss");
    let told = start(&["-s", &socket]);
    assert!(told.contains(&format!("{socket}: No such file or directory")), "{told}");
    drop(UnixListener::bind(&socket).unwrap());
    let told = start(&["-s", &socket]);
    assert!(told.contains(&format!("{socket}: Connection refused")), "{told}");
}

#[test]
fn each_failure_is_told_with_its_path() {
    let bench = bench();
    let dir = bench.dir.as_str();
    let missing = format!("{dir}/none");
    let half = bench.dir.subdirectory("half");
    fs::write(half.join("passwd"), "").unwrap();
    let half = half.to_str().unwrap();
    let gone = "No such file or directory";
    let files = ["3", "nsssd-unix", "-d", dir, ""];
    let told = |server: &Server, path: &str, why: &str, times: usize| {
        let line = format!("info: a source failed: {path}: {why}\n");
        wait_until(&line, || server.stderr().matches(&line).count() >= times);
    };
    for (more, place) in [
        (&["0", "nsssd-unix", "-d", &missing, ""][..], format!("{missing}/group")),
        (&["0", "nsssd-unix", "-d", half, ""], format!("{half}/group")),
        (&["0", "no-such-backend", ""], "no-such-backend".to_owned()),
        (&["0", &missing, ""], missing.clone()),
        #[cfg(feature = "nsssd-nslcd")]
        (&["0", "nsssd-nslcd", &missing, ""], missing.clone()),
    ] {
        // Both by its own option and by that of glibc's.
        for option in ["-v", "-d"] {
            let mut command = tool(&bench.bin, "nscd");
            command.args(["-1", option, "-S"]).arg(bench.socket()).args(files).args(more);
            command.env("PATH", path(&bench));
            let server = Server::start_command(command, &bench.socket());
            for times in 1..=2 {
                assert_eq!(asked(server.socket(), &request(ask::GROUP, "nobody")), b"");
                told(&server, &place, gone, times);
            }
        }
    }
    let socket = format!("{dir}/nsss");
    for why in [gone, "Connection refused"] {
        let mut command = tool(&bench.bin, "nscd");
        command.args(["-1", "-v", "-S"]).arg(bench.socket()).args(["-s", &socket, "--no-files"]);
        let server = Server::start_command(command, &bench.socket());
        for times in 1..=2 {
            assert_eq!(asked(server.socket(), &request(ask::GROUP, "nobody")), b"");
            told(&server, &socket, why, times);
        }
        if why == gone {
            drop(UnixListener::bind(&socket).unwrap());
        }
    }
    for program in
        [&["nsssd-unix", "-d", half][..], &["nsssd-switch", "0", "nsssd-unix", "-d", half, ""]]
    {
        let server = Server::start(&bench.bin, bench.dir.path(), &["-v"], program);
        let client = server.connect();
        for times in 1..=2 {
            assert_eq!(client.ask(&by_id(op::GRP_GETBYGID, 5), 1), [2]);
            told(&server, &format!("{half}/group"), gone, times);
        }
    }
}

#[test]
fn one_file_without_links_finds_its_own_applets() {
    let dir = TempDir::new();
    let alone = dir.subdirectory("opt").join("nssbox");
    fs::hard_link(nssbox(), &alone).or_else(|_| fs::copy(nssbox(), &alone).map(|_| ())).unwrap();
    wait_until("the copy can be run", || Command::new(&alone).arg("--version").output().is_ok());
    dir.write("passwd", format!("{ADA}\n"));
    dir.write("group", "");
    let run = |words: &[&str]| {
        let mut command = Command::new(&alone);
        command.args(words).env_clear().env("PATH", "/usr/bin:/bin");
        command
    };
    let socket = dir.join("s");
    let path = socket.to_str().unwrap();
    let unix = ["nsssd-unix", "-d", dir.as_str()];
    let switch = [&["nsssd-switch", "3"], &unix[..], &[""]].concat();
    let short = [&["switch", "3", "unix"], &unix[1..], &[""]].concat();
    let spawned = [&["nsssd-switch", "--spawn", "3"], &unix[..], &[""]].concat();
    for command in [&unix[..], &switch, &short, &spawned] {
        let mut server =
            Server::start_command(run(&[&["ipcserver", "-1", path], command].concat()), &socket);
        let finished = run_to_end(run(&["getent", "--ask", path, "passwd", "ada"]));
        let text = String::from_utf8_lossy(&finished.stdout).into_owned();
        assert_eq!(
            text,
            format!("{ADA}\n"),
            "{command:?}: {} {}",
            finished.stderr,
            server.stderr()
        );
        server.stop();
    }
    // A program of that name goes first.
    let bin = dir.subdirectory("first");
    fs::write(bin.join("nsssd-unix"), "#!/bin/sh\nexit 3\n").unwrap();
    dir.chmod("first/nsssd-unix", 0o755);
    let mut command = run(&["nscd", "--check", "0", "nsssd-unix", ""]);
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    let finished = run_to_end(command);
    let text = String::from_utf8_lossy(&finished.stdout).into_owned();
    assert_eq!(text, "0 nsssd-unix: it does not answer\n");
}
