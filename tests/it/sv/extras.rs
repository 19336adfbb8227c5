//! What runit's sv has not: JSON, LSB's exit code, lists, trees, logs, the user's own services, colours.

use super::folder::{Folder, now, objects, runit_status, same_line};
use crate::support::{have_program, nssbox, peer, run_to_end, skip, wait_until};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn up(age: u64) -> Vec<u8> {
    runit_status(age, 4242, b'u', 0, 1)
}

fn down(age: u64) -> Vec<u8> {
    runit_status(age, 0, b'd', 0, 0)
}

#[test]
fn json_has_the_modules_keys_and_those_it_cannot_hold() {
    let folder = Folder::new();
    let _alive = folder.runit("httpd", &up(7));
    let _log = folder.runit("httpd/log", &up(9));
    let mut object = folder.json(&["status", "httpd"]).remove(0);
    let since = object["since"].as_str().unwrap().to_owned();
    assert!(since.len() == 20 && since.ends_with('Z'), "{since}");
    for (key, at) in [("uptime", 7), ("log", 0)] {
        if key == "uptime" {
            let uptime = object[key].as_u64().unwrap();
            assert!((at..at + 30).contains(&uptime), "{uptime}");
        }
    }
    assert_eq!(object["log"]["service"], "httpd/log");
    assert_eq!(object["log"]["pid"], 4242);
    let map = object.as_object_mut().unwrap();
    for key in ["uptime", "since", "log"] {
        map.remove(key).unwrap();
    }
    let want = serde_json::json!({
        "service": "httpd", "supervised": true, "format": "runit", "status": 1, "state": "run",
        "pid": 4242, "action": null, "paused": false, "want": "up", "got_term": false, "normally": "up",
    });
    assert_eq!(object, want);
}

/// `action` is the last of the module's flags that fits.
#[test]
fn action_is_the_modules() {
    let folder = Folder::new();
    for (at, (pid, paused, want, term, state, has_down, action)) in [
        (4242, 0, b'u', 0, 1, false, None),
        (4242, 0, b'u', 0, 1, true, Some(0)),
        (4242, 1, b'u', 0, 1, true, Some(2)),
        (4242, 1, b'd', 0, 1, true, Some(0x10)),
        (4242, 1, b'd', 1, 1, true, Some(0x09)),
        (0, 0, b'd', 0, 0, false, Some(1)),
        (0, 0, b'd', 0, 0, true, None),
        (0, 0, b'u', 0, 0, false, Some(0x11)),
        (4242, 0, b'd', 0, 2, false, Some(0x10)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut status = runit_status(5, pid, want, term, state);
        status[16] = paused;
        let name = format!("s{at}");
        let _alive = folder.runit(&name, &status);
        if has_down {
            fs::write(folder.path(&name).join("down"), "").unwrap();
        }
        let object = folder.json(&["status", &name]).remove(0);
        assert_eq!(object["action"].as_u64(), action, "{object}");
        let status = if pid == 0 {
            0
        } else if state == 2 {
            2
        } else {
            1
        };
        assert_eq!(object["status"], status, "{object}");
    }
}

#[test]
fn commands_tell_what_came_of_them_as_json() {
    let folder = Folder::new();
    let _up = folder.runit("up", &up(100));
    let _down = folder.runit("down", &down(100));
    let gone = folder.dead("gone", &up(100));
    fs::write(gone.join("supervise/stat"), "").unwrap();
    let finished = folder.run("sv", &["start", "-j", "up", "-w0", "down", "gone", "none"]);
    assert_eq!(finished.code, Some(3));
    let mut told: Vec<(String, String)> = objects(&finished.stdout)
        .iter()
        .map(|o| (o["service"].as_str().unwrap().into(), o["result"].as_str().unwrap().into()))
        .collect();
    told.sort();
    let want = [("down", "timeout"), ("gone", "fail"), ("none", "fail"), ("up", "ok")];
    assert_eq!(told, want.map(|(name, result)| (name.to_owned(), result.to_owned())));
    let sent = folder.json(&["hup", "up"]).remove(0);
    assert_eq!((&sent["result"], &sent["pid"]), (&"sent".into(), &4242.into()));
    let enabled = folder.json(&["disable", "up"]).remove(0);
    assert_eq!((&enabled["result"], &enabled["normally"]), (&"ok".into(), &"down".into()));
}

#[test]
fn the_exit_code_of_lsb_is_the_main_services() {
    let folder = Folder::new();
    let _up = folder.runit("up", &up(100));
    let _log = folder.runit("up/log", &down(100));
    let _down = folder.runit("down", &down(100));
    let _down_log = folder.runit("down/log", &up(100));
    let gone = folder.dead("gone", &up(100));
    fs::write(gone.join("supervise/stat"), "").unwrap();
    for (names, code) in [
        (&["up"][..], 0),
        (&["down"], 3),
        (&["gone"], 4),
        (&["none"], 4),
        (&["up", "down"], 3),
        (&["down", "none", "up"], 4),
        (&[], 4),
    ] {
        let words = [&["-e", "status"], names].concat();
        assert_eq!(folder.sv(&words).0, code, "{names:?}");
    }
    // Called by the name of a service: runit 2.3's change, by which a log has no say.
    for (name, code) in [("up", 0), ("down", 3)] {
        folder.script(name);
        let finished = folder.run(name, &["status"]);
        assert_eq!(finished.code, Some(code), "{name}");
        assert!(String::from_utf8(finished.stdout).unwrap().contains("; "), "{name} has a log");
    }
    for (name, words, code) in [
        ("none", &["status"][..], 1),
        ("gone", &["status"], 1),
        ("up", &["bogus"], 2),
        ("up", &["s"], 2),
        ("up", &[], 2),
        ("up", &["-Z"], 2),
        ("up", &["enable"], 2),
    ] {
        folder.script(name);
        assert_eq!(folder.run(name, words).code, Some(code), "{name} {words:?}");
    }
}

#[test]
fn status_without_a_service_is_about_all_but_those_with_a_dot() {
    let folder = Folder::new();
    let made = now();
    let _b = folder.runit("b", &up(1));
    let _a = folder.runit("a", &down(2));
    let _hidden = folder.runit(".hidden", &up(3));
    fs::write(folder.path("file"), "").unwrap();
    fs::create_dir(folder.path("c")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path("link")).unwrap();
    std::os::unix::fs::symlink("file", folder.path("to-file")).unwrap();
    let (exit, told) = folder.sv(&["status"]);
    let want = "down: a: 2s, normally up\nrun: b: (pid 4242) 1s\n\
                warning: c: unable to open supervise/ok: file does not exist\n";
    same_line("a list", &told, want, made);
    assert_eq!(exit, 1);
    // Only the whole word, since runit's sv takes any other for one that lacks a service.
    let finished = folder.run("sv", &["stat"]);
    assert_eq!(finished.code, Some(100));
    assert_eq!(finished.stderr, "usage: sv [-v] [-w sec] command service ...\n\n");
    let mut command = folder.command("sv", &["status"]);
    command.env("SVDIR", folder.path("nothing"));
    let finished = run_to_end(command);
    assert_eq!((finished.code, finished.stdout.len()), (Some(100), 0));
    assert!(finished.stderr.starts_with("sv: fatal: unable to list "), "{}", finished.stderr);
}

#[test]
fn services_are_where_the_command_line_or_svdir_or_the_user_says() {
    let folder = Folder::new();
    let _there = folder.runit("there", &up(1));
    let home = folder.dir.subdirectory("home");
    fs::create_dir(home.join("runit")).unwrap();
    std::os::unix::fs::symlink(folder.services(), home.join("runit/service")).unwrap();
    let services = folder.services();
    let services = services.to_str().unwrap();
    for (args, dir, code) in [
        (&["status", "there"][..], services, 0),
        (&["status", "there"], "/nonexistent", 1),
        (&["-d", services, "status", "there"], "/nonexistent", 0),
        (&["status", "there", "-d", services], "", 0),
        (&["-u", "status", "there"], "/nonexistent", 0),
    ] {
        let mut command = folder.command("sv", args);
        command.env("SVDIR", dir).env("HOME", &home);
        assert_eq!(run_to_end(command).code, Some(code), "{args:?} {dir}");
    }
    let finished = folder.run("sv", &["-u", "status", "there"]);
    assert_eq!(
        (finished.code, finished.stderr.as_str()),
        (Some(100), "sv: fatal: $HOME is not set\n")
    );
}

#[test]
fn options_of_other_commands_are_a_wrong_command_line() {
    let folder = Folder::new();
    let mut service = folder.runit("s", &up(1));
    for args in [
        &["-e", "down", "s"][..],
        &["-t", "restart", "s"],
        &["-l", "3", "up", "s"],
        &["-n", "down", "s"],
        &["-r", "status", "s"],
        &["-g", "x", "down", "s"],
        &["-l", "x", "status", "s"],
        &["-l", "100001", "status", "s"],
        &["-Z", "down", "s"],
        &["-j", "serve"],
        &["serve", "s"],
        &["down"],
        &[],
    ] {
        let finished = folder.run("sv", args);
        assert_eq!((finished.code, finished.stdout.len()), (Some(100), 0), "{args:?}");
        assert!(!finished.stderr.is_empty(), "{args:?}");
    }
    assert_eq!(service.sent(), "");
    // Waiting: what is no number leaves runit's 7 s, or $SVWAIT.
    for (words, variable, waits) in
        [(&["-w", "0"][..], "900", 0), (&["-w", "x"], "0", 0), (&["-w", "0x"], "900", 0)]
    {
        let mut command = folder.command("sv", &[words, &["stop", "s"]].concat());
        command.env("SVWAIT", variable);
        assert_eq!((run_to_end(command).code, waits), (Some(1), 0), "{words:?}");
    }
}

/// Programs that end with the test, and what those have started that are leaders of a group.
struct Children(Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A process tree: a shell, and what it has started.
#[test]
fn trees_have_the_processes_of_a_service_and_no_others() {
    let folder = Folder::new();
    let mut shell = Command::new("sh");
    shell.args(["-c", "sleep 1003 & sleep 1004; exit 0"]).stdin(Stdio::null());
    shell.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let children = Children(vec![shell.spawn().unwrap()]);
    let pid = children.0[0].id();
    let _alive = folder.runit("s", &runit_status(5, pid, b'u', 0, 1));
    wait_until("both have started", || {
        folder.sv(&["-t", "status", "s"]).1.matches("sleep 100").count() == 4
    });
    let (_, told) = folder.sv(&["-t", "status", "s"]);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 4, "{told}");
    assert_eq!(lines[1], format!("  {pid} sh -c sleep 1003 & sleep 1004; exit 0"));
    for (line, seconds) in lines[2..].iter().zip(["1003", "1004"]) {
        let (number, command) = line.strip_prefix("    ").unwrap().split_once(' ').unwrap();
        assert_eq!(command, format!("sleep {seconds}"));
        number.parse::<u32>().unwrap();
    }
    let object = folder.json(&["-t", "status", "s"]).remove(0);
    let processes = object["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 3);
    assert!(processes[1..].iter().all(|process| process["parent"] == pid));
}

/// A log service of this name that really runs and has been given these lines.
fn logger(test: &str, name: &str, log: &Path) -> Option<(Child, PathBuf)> {
    let program = match name {
        "multilog" => peer(test, "daemontools", "usr/bin/multilog")?,
        _ if have_program(name) => name.into(),
        _ => {
            skip(test, &format!("no {name}"));
            return None;
        }
    };
    let words: &[&str] = match name {
        "svlogd" => &["-l", "200", "main"],
        // Small files, so that some lines are in older ones.
        "multilog" => &["t", "s4096", "n20", "./main"],
        _ => &["-b", "n20", "s4096", "T", "./main"],
    };
    fs::create_dir_all(log.join("main")).unwrap();
    if name == "svlogd" {
        fs::write(log.join("main/config"), "s4096\nn20\n").unwrap();
    }
    let mut command = Command::new(program);
    command.args(words).current_dir(log).stdin(Stdio::piped()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    Some((child, log.join("main")))
}

#[test]
fn the_last_lines_of_the_log_come_from_where_its_log_service_writes() {
    let test = "sv::extras::the_last_lines_of_the_log_come_from_where_its_log_service_writes";
    for name in ["svlogd", "multilog", "s6-log"] {
        let folder = Folder::new();
        let _alive = folder.runit("s", &up(5));
        let log = folder.path("s/log");
        fs::create_dir(&log).unwrap();
        let Some((mut child, directory)) = logger(test, name, &log) else { return };
        let mut input = child.stdin.take().unwrap();
        let children = Children(vec![child]);
        let pid = children.0[0].id();
        let _log = folder.runit("s/log", &runit_status(5, pid, b'u', 0, 1));
        let line = |number: u32| format!("line {number} {}\n", "x".repeat(40));
        let all: String = (0..400).map(line).collect();
        std::io::Write::write_all(&mut input, all.as_bytes()).unwrap();
        let last = |count: &str| folder.sv(&["-l", count, "status", "s"]).1;
        wait_until("all lines are written", || last("1").contains("line 399 "));
        let files = fs::read_dir(&directory).unwrap().flatten();
        let older = files.filter(|f| f.file_name().to_string_lossy().starts_with('@')).count();
        assert!(older >= 2, "{name}: {older} older files");
        for count in [0, 1, 3, 150, 300] {
            let told = last(&count.to_string());
            let lines: Vec<&str> = told.lines().skip(1).collect();
            assert_eq!(lines.len(), count, "{name}: {count} lines");
            for (line, number) in lines.iter().zip(400 - count..) {
                assert!(
                    line.starts_with("  | ") && line.contains(&format!("line {number} ")),
                    "{line}"
                );
            }
        }
        let object = folder.json(&["-l", "2", "status", "s"]).remove(0);
        assert_eq!(object["log_lines"].as_array().unwrap().len(), 2, "{name}: {object}");
        // What is no file is not read.
        fs::remove_file(directory.join("current")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", directory.join("current")).unwrap();
        assert!(
            last("2").contains("(no log: unable to read the log: symbolic link loop)"),
            "{name}"
        );
    }
}

#[test]
fn a_log_that_cannot_be_found_is_told_of() {
    let folder = Folder::new();
    let _alive = folder.runit("s", &up(5));
    let why = |want: &str| {
        let told = folder.sv(&["-l", "5", "status", "s"]).1;
        assert!(told.ends_with(&format!("  (no log: {want})\n")), "{told}");
    };
    why("it has no log service");
    let log = folder.runit("s/log", &down(5));
    why("its log service does not run");
    drop(log);
    let mut sleeps = Command::new("sleep");
    let children = Children(vec![sleeps.arg("1000").spawn().unwrap()]);
    let status = runit_status(5, children.0[0].id(), b'u', 0, 1);
    fs::write(folder.path("s/log/supervise/status"), status).unwrap();
    let _ok = super::folder::reader(&folder.path("s/log/supervise/ok"));
    why("its log service is none of svlogd, multilog and s6-log");
    let object = folder.json(&["-l", "5", "status", "s"]).remove(0);
    assert!(object["log_lines"].is_null() && object["log_error"].is_string(), "{object}");
}

/// What sv prints on a terminal.
fn on_a_terminal(folder: &Folder, words: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new("script");
    let line = format!("'{}' {words}", nssbox().display());
    command.args(["-qec", &line, "/dev/null"]).env("SVDIR", folder.services());
    command.env_remove("NO_COLOR").env("TERM", "xterm");
    for (name, value) in variables {
        command.env(name, value);
    }
    String::from_utf8(run_to_end(command).stdout).unwrap().replace('\r', "")
}

#[test]
fn ages_have_colours_on_a_terminal() {
    if !have_program("script") {
        return skip("sv::extras::ages_have_colours_on_a_terminal", "no script");
    }
    let folder = Folder::new();
    let _old = folder.runit("old", &up(1000));
    for (age, colour) in [(0, "\x1b[31m"), (10, "\x1b[33m")] {
        // Made anew, since a slow machine makes it older.
        let told = (0..20)
            .map(|_| {
                let _ = fs::remove_dir_all(folder.path("young"));
                let _young = folder.runit("young", &up(age));
                on_a_terminal(&folder, "sv status old young", &[])
            })
            .find(|told| told.contains(colour));
        let told = told.unwrap_or_else(|| panic!("no {colour:?} at {age} s"));
        let old = told.lines().next().unwrap();
        assert!(!old.contains('\x1b'), "{told:?}");
        assert!(told.contains("s\x1b[0m\n"), "{told:?}");
    }
    let _young = folder.runit("younger", &up(0));
    for variables in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        let told = on_a_terminal(&folder, "sv status younger", &variables);
        assert!(!told.contains('\x1b') && told.starts_with("run: younger: "), "{told:?}");
    }
    // Set and empty is not set.
    let told = on_a_terminal(&folder, "sv status younger", &[("NO_COLOR", "")]);
    assert!(told.contains('\x1b'), "{told:?}");
    assert!(!folder.sv(&["status", "younger"]).1.contains('\x1b'));
}
