//! On a terminal: the line that tells how far it is, colours, ^C, and a question.

use super::{Fleet, text};
use crate::support::{have_program, run_to_end, skip};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// What the terminal showed, and the exit code; `None` without python3, which is said.
#[track_caller]
fn on_terminal(test: &str, fleet: &Fleet, steps: &Value, args: &[&str]) -> Option<(String, i64)> {
    if !have_program("python3") {
        skip(test, "no python3");
        return None;
    }
    let dt = fleet.command("dt", args);
    let mut command = Command::new("python3");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/dt/terminal.py");
    command.arg(script).arg(steps.to_string()).arg(dt.get_program()).args(dt.get_args());
    command.env_clear().env("TERM", "xterm").current_dir(fleet.dir.path());
    let variables = dt.get_envs().filter_map(|(name, value)| Some((name, value?)));
    command.envs(variables);
    let run = run_to_end(command);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let told: Value = serde_json::from_slice(&run.stdout).unwrap();
    Some((told["shown"].as_str().unwrap().to_owned(), told["exit"].as_i64().unwrap()))
}

#[test]
fn a_line_tells_how_far_it_is_and_goes_away() {
    let fleet = Fleet::new("b exit 3\n");
    let go = fleet.dir.join("go");
    let said = format!("until test -e {}; do sleep 0.05; done", go.display());
    let steps = json!([
        ["expect", "dt: 2 of 3 done, 1 failed, 1 running, longest c [1-9][0-9]* s\u{1b}\\[K"],
        ["send", ""],
    ]);
    let args = ["sys:{a,b,c}", "ssh", &format!("test $WHERE = a || {{ {said}; }}")];
    // It waits for the line; a second one makes the file that ends it.
    let waits = std::thread::scope(|scope| {
        scope.spawn(|| {
            crate::support::wait_until("it has begun", || fleet.calls().len() == 3);
            // Its line comes after half a second, and again; no time is measured here.
            std::thread::sleep(std::time::Duration::from_millis(2500));
            std::fs::write(&go, "").unwrap();
        });
        on_terminal("a_line_tells_how_far_it_is_and_goes_away", &fleet, &steps, &args)
    });
    let Some((shown, exit)) = waits else { return };
    assert_eq!(exit, 1);
    // The line is gone when a host's stands there, and at the end.
    assert!(
        shown.contains("\r\u{1b}[K\u{1b}[32;1mokay\u{1b}[0;0m::dt:\u{1b}[34;1mssh"),
        "{shown:?}"
    );
    let last = shown.rsplit("\u{1b}[K").next().unwrap();
    assert!(!last.contains("dt: "), "{shown:?}");
}

#[test]
fn the_first_interrupt_tells_who_runs_and_the_second_ends_all() {
    let test = "the_first_interrupt_tells_who_runs_and_the_second_ends_all";
    let fleet = Fleet::new("slow hang\nstub stubborn\n");
    let steps = json!([
        ["expect", "okay"],
        ["send", "\u{3}"],
        [
            "expect",
            "1 of 3 done, 0 failed, 2 running:\r?\n  (slow|stub) [0-9]+ s\r?\n  (slow|stub) [0-9]+ s"
        ],
        ["expect", "again within 2 s"],
        ["send", "\u{3}"],
        ["expect", "slow.*interrupted"],
    ]);
    let args = ["-N", "sys:{fast,slow,stub}", "ssh", "true"];
    let Some((shown, exit)) = on_terminal(test, &fleet, &steps, &args) else { return };
    assert_eq!(exit, 130, "{shown:?}");
    for line in
        ["fail::dt:ssh:slow:interrupted", "fail::dt:ssh:stub:interrupted", "okay::dt:ssh:fast:"]
    {
        assert!(shown.contains(line), "{line}: {shown:?}");
    }
}

#[test]
fn interrupts_far_apart_end_nothing() {
    let fleet = Fleet::new("");
    let go = fleet.dir.join("go");
    let said = format!("until test -e {}; do sleep 0.05; done", go.display());
    let steps = json!([
        ["file", fleet.dir.join("fake/log")],
        ["send", "\u{3}"],
        ["expect", "again within 2 s"],
        // Two lines of the run later: more than two seconds.
        ["expect", "longest a [3-9] s"],
        ["send", "\u{3}"],
        ["expect", "again within 2 s"],
    ]);
    let args = ["-N", "sys:a", "ssh", &said];
    let shown = std::thread::scope(|scope| {
        scope.spawn(|| {
            crate::support::wait_until("it has begun", || fleet.calls().len() == 1);
            std::thread::sleep(std::time::Duration::from_secs(6));
            std::fs::write(&go, "").unwrap();
        });
        on_terminal("interrupts_far_apart_end_nothing", &fleet, &steps, &args)
    });
    let Some((shown, exit)) = shown else { return };
    assert_eq!(exit, 0, "{shown:?}");
}

#[test]
fn no_progress_and_no_colours_where_nobody_wants_them() {
    let fleet = Fleet::new("");
    let mut command = fleet.command("dt", &["sys:a", "ssh", "sleep 1; echo hi"]);
    command.env("TERM", "xterm");
    let run = run_to_end(command);
    assert_eq!((text(&run).as_str(), run.stderr.as_str()), ("okay::dt:ssh:a:hi\n", ""));
}

#[test]
fn one_by_one_a_host_may_ask_at_the_terminal() {
    let test = "one_by_one_a_host_may_ask_at_the_terminal";
    let fleet = Fleet::new("");
    let steps =
        json!([["send", "hello\n"], ["expect", "okay::dt:ssh:a:got hello"], ["send", "you\n"]]);
    let args = ["-N", "-i", "sys:{a,b}", "ssh", "read x; echo got $x"];
    let Some((shown, exit)) = on_terminal(test, &fleet, &steps, &args) else { return };
    assert!(exit == 0 && shown.contains("okay::dt:ssh:b:got you"), "{shown:?}");
    // sudo's password is asked for once, and not shown.
    let steps = json!([["expect", "Password: "], ["send", "secret\n"], ["expect", "okay.*okay"]]);
    let args = ["-N", "-i", "sys:{a,b}", "sudo", "id"];
    fleet.dir.write("fakebin/sudo", "#!/bin/sh\nread -r x\necho \"$1 $2 [$3] $4, $x\"\n");
    fleet.dir.chmod("fakebin/sudo", 0o755);
    fleet.dir.subdirectory("fakebin/remote");
    crate::support::link(Path::new("../sudo"), &fleet.dir.join("fakebin/remote"), "sudo");
    let Some((shown, exit)) = on_terminal(test, &fleet, &steps, &args) else { return };
    assert_eq!(exit, 0, "{shown:?}");
    let before = shown.split("okay").next().unwrap();
    assert!(!before.contains("secret"), "{shown:?}");
    assert!(shown.contains("okay::dt:sudo:b:-S -p [] id, secret"), "{shown:?}");
}
