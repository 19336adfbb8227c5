//! Services that really run: under runit's runsv, daemontools' supervise and s6-supervise. Each command
//! is given by us to one and by the supervisor's own tool to another one that is in the same state; then
//! both must be seen to come to the same. Each supervisor has a directory of its own.

use super::folder::{same_line, without_ages};
use super::live::After::{self, Ended, Gone, Got, Runs, Starts, Stopped, Wants};
use super::live::Before::{
    self, Down, Finishing, NeverUp, Once, Paused, Stubborn, StubbornStopping, Up,
};
use super::live::Family::{self, Daemontools, Runit, S6};
use super::live::{Live, Tools, script};
use crate::support::{DEADLINE, TempDir, run_to_end, tool, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// A pair of command and state: our command, their tool's options, what comes of it.
type Pair = (Before, &'static str, &'static str, After);

const RUNIT: &[Pair] = &[
    (Down, "up", "up", Starts(2)),
    (Down, "start", "start", Starts(2)),
    (NeverUp, "up", "up", Starts(1)),
    (NeverUp, "once", "once", Starts(1)),
    (Up, "down", "down", Gone),
    (Up, "stop", "stop", Gone),
    (Up, "once", "once", Wants('d')),
    (Up, "pause", "pause", Stopped),
    (Paused, "cont", "cont", Runs),
    (Paused, "stop", "stop", Gone),
    (Up, "hup", "hup", Got("HUP")),
    (Up, "reload", "reload", Got("HUP")),
    (Up, "alarm", "alarm", Got("ALRM")),
    (Up, "interrupt", "interrupt", Got("INT")),
    (Up, "quit", "quit", Got("QUIT")),
    (Up, "1", "1", Got("USR1")),
    (Up, "2", "2", Got("USR2")),
    (Up, "term", "term", Starts(2)),
    (Stubborn, "term", "term", Got("TERM")),
    (Up, "kill", "kill", Starts(2)),
    (Up, "restart", "restart", Starts(2)),
    (Down, "restart", "restart", Starts(2)),
    (Up, "try-restart", "try-restart", Starts(2)),
    (Up, "exit", "exit", Ended),
    (Down, "shutdown", "shutdown", Ended),
    (Once, "up", "up", Wants('u')),
    (Once, "term", "term", Gone),
    (StubbornStopping, "kill", "kill", Gone),
    (StubbornStopping, "up", "up", Wants('u')),
    (Stubborn, "-w1 force-stop", "-w1 force-stop", Gone),
    (Stubborn, "-w1 force-restart", "-w1 force-restart", Starts(2)),
    (Stubborn, "-w1 D", "-w1 D", Gone),
    (Stubborn, "-w1 force-shutdown", "-w1 force-shutdown", Ended),
    (Finishing, "up", "up", Wants('u')),
];

const DAEMONTOOLS: &[Pair] = &[
    (Down, "up", "-u", Starts(2)),
    (Down, "start", "-u", Starts(2)),
    (NeverUp, "once", "-o", Starts(1)),
    (Up, "down", "-d", Gone),
    (Up, "stop", "-d", Gone),
    (Up, "once", "-o", Wants('-')),
    (Up, "pause", "-p", Stopped),
    (Paused, "cont", "-c", Runs),
    (Up, "hup", "-h", Got("HUP")),
    (Up, "alarm", "-a", Got("ALRM")),
    (Up, "interrupt", "-i", Got("INT")),
    (Up, "term", "-t", Starts(2)),
    (Up, "kill", "-k", Starts(2)),
    (Up, "restart", "-tcu", Starts(2)),
    (Once, "up", "-u", Wants('u')),
    (Up, "exit", "-dx", Ended),
    (Down, "shutdown", "-dx", Ended),
    (StubbornStopping, "kill", "-k", Gone),
];

const S6_PAIRS: &[Pair] = &[
    (Down, "up", "-u", Starts(2)),
    (Down, "start", "-u", Starts(2)),
    (NeverUp, "up", "-u", Starts(1)),
    (NeverUp, "once", "-o", Starts(1)),
    (Up, "down", "-d", Gone),
    (Up, "stop", "-d", Gone),
    (Up, "once", "-o", Wants('d')),
    (Up, "pause", "-p", Stopped),
    (Paused, "cont", "-c", Runs),
    (Up, "hup", "-h", Got("HUP")),
    (Up, "alarm", "-a", Got("ALRM")),
    (Up, "interrupt", "-i", Got("INT")),
    (Up, "quit", "-q", Got("QUIT")),
    (Up, "1", "-1", Got("USR1")),
    (Up, "2", "-2", Got("USR2")),
    (Up, "term", "-t", Starts(2)),
    (Stubborn, "term", "-t", Got("TERM")),
    (Up, "kill", "-k", Starts(2)),
    (Up, "restart", "-ru", Starts(2)),
    (Once, "up", "-u", Wants('u')),
    (Up, "exit", "-dx", Ended),
    (StubbornStopping, "kill", "-k", Gone),
    (Finishing, "up", "-u", Wants('u')),
];

/// One pair; what is wrong.
fn try_pair(tools: &Tools, (before, ours, theirs, after): Pair) -> Option<String> {
    let mut by_us = Live::start(tools, before);
    let mut by_them = Live::start(tools, before);
    let (at_first, got_at_first, _) = by_them.seen();
    assert_eq!(
        (at_first, got_at_first),
        {
            let (state, got, _) = by_us.seen();
            (state, got)
        },
        "{before:?} is not the same twice"
    );
    by_them.run(&tools.control, theirs, "./svc");
    let (exit, told) = by_us.run(Path::new("sv"), ours, "./svc");
    let end = Instant::now() + DEADLINE;
    while !by_them.shows(after) {
        if Instant::now() > end {
            return Some(format!("{theirs} of their own tool: {:?}", by_them.seen()));
        }
        thread::sleep(Duration::from_millis(10));
    }
    loop {
        let (us, them) = (by_us.seen(), by_them.seen());
        if us == them && by_us.shows(after) {
            break;
        }
        if Instant::now() > end {
            return Some(format!("{us:?}, but {them:?} by their own tool; {exit:?} {told}"));
        }
        thread::sleep(Duration::from_millis(10));
    }
    // A command that waits for the effect says what came of it; -w1 waits too short for some.
    let waits = !ours.starts_with('-')
        && ["start", "stop", "restart", "reload", "try-restart", "shutdown"].contains(&ours);
    if waits && (exit != Some(0) || !told.starts_with("ok: ")) {
        return Some(format!("{exit:?} {told}"));
    }
    None
}

/// All pairs of a family at the same time; each is named in what is wrong.
fn hold(test: &str, family: Family, pairs: &[Pair]) {
    let Some(tools) = Tools::find(test, family) else { return };
    let next = Mutex::new(pairs.iter());
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                loop {
                    let Some(pair) = next.lock().unwrap().next() else { break };
                    if let Some(why) = try_pair(&tools, *pair) {
                        let name = format!("{family:?}, {:?}: {}", pair.0, pair.1);
                        wrong.lock().unwrap().push(format!("{name}: {why}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), pairs.len(), wrong.join("\n"));
}

#[test]
fn runits_services_do_what_they_do_by_runits_sv() {
    hold("sv::real::runits_services_do_what_they_do_by_runits_sv", Runit, RUNIT);
}

#[test]
fn daemontools_services_do_what_they_do_by_svc() {
    hold("sv::real::daemontools_services_do_what_they_do_by_svc", Daemontools, DAEMONTOOLS);
}

#[test]
fn s6_services_do_what_they_do_by_s6_svc() {
    hold("sv::real::s6_services_do_what_they_do_by_s6_svc", S6, S6_PAIRS);
}

#[test]
fn there_are_sixty_pairs_and_none_twice() {
    let mut all = Vec::new();
    for (family, pairs) in [(Runit, RUNIT), (Daemontools, DAEMONTOOLS), (S6, S6_PAIRS)] {
        all.extend(pairs.iter().map(|pair| format!("{family:?}, {:?}: {}", pair.0, pair.1)));
    }
    let count = all.len();
    all.sort();
    all.dedup();
    assert!(count >= 60 && all.len() == count, "{count} pairs, {} names", all.len());
}

/// Every state as their own tool tells it, and as we do.
#[test]
fn states_are_told_as_by_their_own_tools() {
    let test = "sv::real::states_are_told_as_by_their_own_tools";
    for family in [Runit, Daemontools, S6] {
        let Some(tools) = Tools::find(test, family) else { return };
        for before in [Up, Down, NeverUp, Paused, Once, StubbornStopping, Finishing] {
            if (family, before) == (Daemontools, Finishing) {
                continue;
            }
            let live = Live::start(&tools, before);
            let what = format!("{family:?}, {before:?}");
            let made = super::folder::now();
            match family {
                Runit => {
                    let theirs = live.run(&tools.tell, "status", "svc");
                    let ours = live.run(Path::new("sv"), "status", "svc");
                    assert_eq!(ours.0, theirs.0, "{what}");
                    same_line(&what, &ours.1, &theirs.1, made);
                }
                Daemontools => {
                    let theirs = live.run(&tools.tell, "", "svc");
                    let ours = live.run(Path::new("svstat"), "", "svc");
                    assert_eq!(ours.0, theirs.0, "{what}");
                    same_line(&what, &ours.1, &theirs.1, made);
                }
                S6 => {
                    let fields = "-o up,wantedup,normallyup,paused,pid";
                    let theirs = live.run(&tools.tell, fields, "svc").1;
                    let ours = live.run(Path::new("sv"), "-j status", "svc").1;
                    let object: serde_json::Value = serde_json::from_str(&ours).unwrap();
                    let up = object["state"] == "run";
                    let pid = if up { object["pid"].to_string() } else { "-1".to_owned() };
                    let ours = format!(
                        "{up} {} {} {} {pid}\n",
                        object["want"] == "up",
                        object["normally"] == "up",
                        object["paused"],
                    );
                    assert_eq!(ours, theirs, "{what}");
                }
            }
        }
    }
}

/// tests/vectors/runit-cli.json: command lines with what runit 2.1.2 printed, in the order of then.
#[test]
fn recorded_command_lines_print_what_runits_sv_printed() {
    let test = "sv::real::recorded_command_lines_print_what_runits_sv_printed";
    let Some(tools) = Tools::find(test, Runit) else { return };
    let dir = TempDir::new();
    dir.bin();
    let services = dir.subdirectory("services");
    let mut running = Vec::new();
    let sleeps = "#!/bin/sh\nexec sleep 1000\n";
    let ignores = "#!/usr/bin/perl\n$SIG{TERM} = 'IGNORE'; sleep 1000 while 1;\n";
    for (name, run, down) in [
        ("a", sleeps, false),
        ("d", sleeps, true),
        ("t", ignores, false),
        ("x", "#!/bin/sh\nexit 3\n", false),
        ("l", sleeps, false),
        ("l/log", "#!/bin/sh\nexec cat >/dev/null\n", false),
        ("n", sleeps, false),
        ("chk", sleeps, false),
    ] {
        fs::create_dir(services.join(name)).unwrap();
        script(&services.join(name).join("run"), run);
        if down {
            fs::write(services.join(name).join("down"), "").unwrap();
        }
    }
    script(&services.join("chk/check"), "#!/bin/sh\nexit 1\n");
    for name in ["a", "d", "t", "x", "l", "chk"] {
        let mut command = Command::new(&tools.supervisor);
        command.arg(services.join(name)).stdin(Stdio::null()).stderr(Stdio::null());
        running.push(KillOnDrop(command.spawn().unwrap(), services.join(name)));
    }
    let sv = |words: &[&str]| {
        let mut command = tool(&dir.join("bin"), "sv");
        command.args(words).env("SVDIR", &services).current_dir(dir.path());
        run_to_end(command)
    };
    for ready in [&["-w30", "start", "d", "a", "t"][..], &["-w30", "stop", "l"]] {
        wait_until("services are as recorded", || sv(ready).code == Some(0));
    }
    wait_until("the log service runs", || {
        String::from_utf8(sv(&["status", "l/log"]).stdout).unwrap().starts_with("run: ")
    });
    let path = format!("{}/tests/vectors/runit-cli.json", env!("CARGO_MANIFEST_DIR"));
    let all: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let (mut same, mut other) = (0, Vec::new());
    for record in all["runs"].as_array().unwrap() {
        let words: Vec<&str> =
            record["argv"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
        let line = words.join(" ");
        let here = services.to_str().unwrap();
        let words: Vec<String> =
            words[1..].iter().map(|word| word.replace("/var/service", here)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let finished = sv(&words);
        let plain = |text: &str| without_pids(&without_ages(&text.replace(here, "/var/service")).0);
        let got = String::from_utf8(finished.stdout).unwrap();
        let got = (finished.code.unwrap().into(), plain(&got), finished.stderr);
        let text = |key: &str| record[key].as_str().unwrap().to_owned();
        let want = (record["exit"].as_i64().unwrap(), plain(&text("stdout")), text("stderr"));
        if got == want { same += 1 } else { other.push(line) }
    }
    // Ours lists all of them; the others were caught in the middle of a restart, of which runit's sv
    // says that it is done if the process is of the same second.
    const OTHERWISE: &[&str] = &[
        "sv status",
        "sv status /var/service/d",
        "sv reload d",
        "sv -w1 try-restart d",
        "sv s d",
        "sv stop d",
        "sv status n nosuch d",
    ];
    let odd: Vec<&String> =
        other.iter().filter(|line| !OTHERWISE.contains(&line.as_str())).collect();
    assert!(odd.is_empty() && same >= 22, "{same} are the same; {odd:?}");
    assert!(other.iter().any(|line| line == "sv status"));
}

/// A supervisor, and where its services are.
struct KillOnDrop(Child, PathBuf);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        for name in ["supervise/pid", "log/supervise/pid"] {
            let pid = fs::read_to_string(self.1.join(name)).unwrap_or_default();
            if let Some(pid) = pid.trim().parse().ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// `(pid N)` for each pid.
fn without_pids(text: &str) -> String {
    let mut pieces = text.split("(pid ");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out += "(pid N";
        out += piece.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out
}
