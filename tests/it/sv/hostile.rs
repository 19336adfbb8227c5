//! What is not as it should be: each is told of, nothing hangs, nothing is made and nobody else's file
//! is written to.

use super::folder::{Folder, fifo, label, now, reader, runit_status};
use crate::support::{Captured, is_root, nssbox, others_can_run_it, run_to_end, skip, wait_until};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// A running service that wants up.
fn running() -> Vec<u8> {
    runit_status(100, 4242, b'u', 0, 1)
}

/// Every file below a directory, and what is in it.
fn content(dir: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        all.push((path.display().to_string(), kind.is_file().then(|| fs::read(&path).unwrap())));
        if kind.is_dir() {
            all.extend(content(&path));
        }
    }
    all.sort();
    all
}

#[test]
fn an_ok_that_is_a_file_is_no_supervisor() {
    let folder = Folder::new();
    let path = folder.dead("svc", &running());
    fs::remove_file(path.join("supervise/ok")).unwrap();
    fs::write(path.join("supervise/ok"), "text").unwrap();
    let before = content(&path);
    for word in ["status", "down", "stop"] {
        let told = "warning: svc: unable to open supervise/ok: not a fifo\n".to_owned();
        assert_eq!(folder.sv(&[word, "svc"]), (1, told), "{word}");
    }
    assert_eq!(content(&path), before);
}

#[test]
fn a_control_that_is_a_file_is_not_written_to() {
    let folder = Folder::new();
    let _alive = folder.runit("svc", &running());
    let control = folder.path("svc/supervise/control");
    fs::remove_file(&control).unwrap();
    // As an old module for Python made it where there was none.
    fs::write(&control, "text").unwrap();
    let told = "warning: svc: unable to open supervise/control: not a fifo\n".to_owned();
    assert_eq!(folder.sv(&["down", "svc"]), (1, told));
    assert_eq!(fs::read(&control).unwrap(), b"text");
    fs::remove_file(&control).unwrap();
    let told = "warning: svc: unable to open supervise/control: file does not exist\n".to_owned();
    assert_eq!(folder.sv(&["down", "svc"]), (1, told));
    assert!(!control.exists(), "nothing is made");
}

#[test]
fn links_in_place_of_fifos_and_of_the_status_file_are_not_followed() {
    let folder = Folder::new();
    let other = folder.runit("other", &running());
    drop(other);
    let _alive = folder.runit("svc", &running());
    for name in ["ok", "control", "status"] {
        let path = folder.path("svc/supervise").join(name);
        let kept = folder.path("kept");
        fs::rename(&path, &kept).unwrap();
        symlink(folder.path("other/supervise").join(name), &path).unwrap();
        let (exit, told) = folder.sv(&["down", "svc"]);
        let what = format!("warning: svc: unable to open supervise/{name}: symbolic link loop\n");
        assert_eq!((exit, told), (1, what));
        fs::remove_file(&path).unwrap();
        fs::rename(&kept, &path).unwrap();
    }
}

#[test]
fn a_full_pipe_is_an_error_at_once() {
    let folder = Folder::new();
    let _alive = folder.runit("svc", &running());
    let mut control =
        fs::OpenOptions::new().write(true).open(folder.path("svc/supervise/control")).unwrap();
    fcntl_setfl(&control, fcntl_getfl(&control).unwrap() | OFlags::NONBLOCK).unwrap();
    while control.write(&[b'c'; 4096]).is_ok() {}
    while control.write(b"c").is_ok() {}
    let told = "warning: svc: unable to write to supervise/control: temporary failure\n";
    assert_eq!(folder.sv(&["down", "svc"]), (1, told.to_owned()));
    assert_eq!(folder.sv(&["-w", "0", "restart", "svc"]), (1, told.to_owned()));
}

#[test]
fn a_supervisor_that_is_gone_takes_no_command() {
    let folder = Folder::new();
    let path = folder.dead("svc", &running());
    fs::write(path.join("supervise/stat"), "run\n").unwrap();
    for (word, exit, told) in [
        ("down", 1, "fail: svc: runsv not running\n"),
        ("start", 1, "fail: svc: runsv not running\n"),
        ("exit", 0, "ok: svc: runsv not running\n"),
        ("shutdown", 0, "ok: svc: runsv not running\n"),
    ] {
        assert_eq!(folder.sv(&[word, "svc"]), (exit, told.to_owned()), "{word}");
    }
    let object = folder.json(&["status", "svc"]).remove(0);
    assert_eq!(object["supervised"], false);
    assert_eq!(object["error"], "runsv not running");
    // Its FIFO `control` has a reader all the same: somebody else's.
    let _reader = reader(&path.join("supervise/control"));
    assert_eq!(folder.sv(&["down", "svc"]).0, 1);
}

#[test]
fn a_status_file_of_unknown_size_is_refused_by_name() {
    let folder = Folder::new();
    let _alive = folder.runit("svc", &running());
    for (size, why) in [
        (0, "bad format"),
        (1, "bad format"),
        (17, "bad format"),
        (19, "nosh"),
        (22, "bad format"),
        (26, "s6 before 2.2"),
        (34, "bad format"),
        (36, "bad format"),
        (44, "bad format"),
        (87, "nosh"),
        (88, "bad format"),
        (100_000, "bad format"),
    ] {
        fs::write(folder.path("svc/supervise/status"), vec![1; size]).unwrap();
        let told = format!("warning: svc: unable to read supervise/status: {why}\n");
        assert_eq!(folder.sv(&["status", "svc"]), (1, told.clone()), "{size} bytes");
        assert_eq!(folder.sv(&["-w0", "stop", "svc"]), (1, told), "{size} bytes");
        let object = folder.json(&["status", "svc"]).remove(0);
        assert_eq!(object["error"], format!("unable to read supervise/status: {why}"));
        assert_eq!(folder.sv(&["-e", "status", "svc"]).0, 4);
    }
}

#[test]
fn a_half_written_status_file_is_no_state() {
    let folder = Folder::new();
    let _alive = folder.runit("svc", &running());
    let whole = running();
    for len in 0..whole.len() {
        fs::write(folder.path("svc/supervise/status"), &whole[..len]).unwrap();
        let object = folder.json(&["status", "svc"]).remove(0);
        // 18 bytes are a whole file of daemontools.
        assert_eq!(object["supervised"] == true, len == 18, "{len} bytes");
    }
}

#[test]
fn a_status_that_is_a_directory_or_a_fifo_is_no_state() {
    let folder = Folder::new();
    let _alive = folder.runit("svc", &running());
    let status = folder.path("svc/supervise/status");
    fs::remove_file(&status).unwrap();
    fs::create_dir(&status).unwrap();
    let told = "warning: svc: unable to read supervise/status: is a directory\n".to_owned();
    assert_eq!(folder.sv(&["status", "svc"]), (1, told));
    fs::remove_dir(&status).unwrap();
    // Nobody writes: it does not wait.
    fifo(&status);
    let told = "warning: svc: unable to read supervise/status: bad format\n".to_owned();
    assert_eq!(folder.sv(&["status", "svc"]), (1, told));
}

#[test]
fn a_supervise_directory_of_another_user_is_told_of() {
    let test = "sv::hostile::a_supervise_directory_of_another_user_is_told_of";
    if !is_root() || !others_can_run_it() {
        return skip(test, "needs root, and an executable that others can run");
    }
    let folder = Folder::new();
    let _alive = folder.runit("svc", &running());
    let supervise = folder.path("svc/supervise");
    fs::set_permissions(&supervise, fs::Permissions::from_mode(0o700)).unwrap();
    let as_user = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "1500", "--regid", "1500", "--clear-groups"]);
        command.arg(nssbox()).arg("sv").args(args).env("SVDIR", folder.services());
        let finished = run_to_end(command);
        assert_eq!(finished.stderr, "");
        (finished.code, String::from_utf8(finished.stdout).unwrap())
    };
    let told = "warning: svc: unable to open supervise/ok: access denied\n".to_owned();
    assert_eq!(as_user(&["status", "svc"]), (Some(1), told.clone()));
    assert_eq!(as_user(&["down", "svc"]), (Some(1), told));
    assert_eq!(as_user(&["-e", "status"]).0, Some(4));
    let (_, object) = as_user(&["-j", "status", "svc"]);
    assert!(
        object.contains("\"error\":\"unable to open supervise/ok: access denied\""),
        "{object}"
    );
    // Root reads that of a user, and trusts nothing in it: here a link to a file that is root's.
    let secret = folder.dir.write("secret", "01234567890123456789");
    folder.dir.chmod("secret", 0o600);
    chown(&supervise, Some(1500), Some(1500)).unwrap();
    fs::remove_file(supervise.join("status")).unwrap();
    symlink(secret, supervise.join("status")).unwrap();
    let told = "warning: svc: unable to open supervise/status: symbolic link loop\n".to_owned();
    assert_eq!(folder.sv(&["status", "svc"]), (1, told));
}

#[test]
fn a_name_with_dots_is_a_path_and_never_one_below_the_directory() {
    let folder = Folder::new();
    let _alive = folder.runit("svc", &running());
    let told = |name: &str| {
        let what = "unable to change to service directory: file does not exist";
        (1, format!("fail: {name}: {what}\n"))
    };
    // The current directory is that of the services.
    for name in ["../svc", "..//svc", "./nothing", "svc/../nothing", "nothing/", ""] {
        assert_eq!(folder.sv(&["status", name]), told(name));
    }
    for name in ["../services/svc", "./svc", "svc/", "svc/../svc"] {
        let (exit, line) = folder.sv(&["status", name]);
        assert!(exit == 0 && line.starts_with(&format!("run: {name}: (pid 4242) ")), "{line}");
    }
    // Taken word for word, whatever SVDIR says.
    let mut command = folder.command("sv", &["status", "../svc"]);
    command.env("SVDIR", folder.path("svc"));
    let finished = run_to_end(command);
    assert_eq!((finished.code, finished.stdout), (Some(1), told("../svc").1.into_bytes()));
}

#[test]
fn a_stamp_in_the_future_is_no_age() {
    let folder = Folder::new();
    let mut status = running();
    status[..8].copy_from_slice(&label(now() + 5000.0));
    let _alive = folder.runit("svc", &status);
    assert_eq!(folder.sv(&["status", "svc"]), (0, "run: svc: (pid 4242) 0s\n".to_owned()));
    let object = folder.json(&["status", "svc"]).remove(0);
    assert_eq!((&object["uptime"], &object["clock"]), (&0.into(), &"skewed".into()));
    // A clock that has begun in 1970, and the largest label.
    for first in [0x40, 0xff] {
        status[..8].copy_from_slice(&[first; 8]);
        if first == 0x40 {
            status[..8].copy_from_slice(&label(3.0));
        }
        fs::write(folder.path("svc/supervise/status"), &status).unwrap();
        let object = folder.json(&["status", "svc"]).remove(0);
        assert_eq!(object["clock"].is_null(), first == 0x40, "{object}");
        assert_eq!(object["since"].is_null(), first == 0xff, "{object}");
        assert_eq!(folder.sv(&["status", "svc"]).0, 0);
    }
}

#[test]
fn services_that_come_and_go_while_they_are_listed_harm_nobody() {
    let folder = Folder::new();
    let _stays = folder.runit("stays", &running());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let made = folder.path("goes");
            while !over.load(Ordering::Relaxed) {
                let _alive = folder.runit("goes", &running());
                let _ = symlink("goes", folder.path("link"));
                fs::rename(&made, folder.dir.join("away")).unwrap();
                let _ = fs::remove_file(folder.path("link"));
                fs::remove_dir_all(folder.dir.join("away")).unwrap();
            }
        });
        for _ in 0..60 {
            let finished = folder.run("sv", &["status"]);
            let told = String::from_utf8(finished.stdout).unwrap();
            assert!(told.contains("run: stays: (pid 4242) "), "{told}");
            assert!(finished.stderr.is_empty(), "{}", finished.stderr);
            // It may be seen half made, never as a directory that is not there.
            assert!(!told.contains("service directory"), "{told}");
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn names_cannot_move_the_cursor() {
    let folder = Folder::new();
    let _alive = folder.runit("a\x1b[2Jb\nc", &running());
    let (exit, told) = folder.sv(&["status"]);
    assert_eq!((exit, told.lines().count()), (0, 1), "{told:?}");
    assert!(told.starts_with("run: a?[2Jb?c: (pid 4242) "), "{told:?}");
    let object = folder.json(&["status"]).remove(0);
    assert_eq!(object["service"], "a\x1b[2Jb\nc");
}

#[test]
fn a_check_that_hangs_is_ended_and_one_that_cannot_run_is_told_of() {
    let folder = Folder::new();
    let _alive = folder.runit("svc", &running());
    let check = folder.path("svc/check");
    fs::write(&check, "#!/bin/sh\necho no; echo $$ >pid; exec sleep 1000\n").unwrap();
    fs::set_permissions(&check, fs::Permissions::from_mode(0o755)).unwrap();
    let (exit, told) = folder.sv(&["-w", "1", "check", "svc"]);
    assert!(exit == 1 && told.starts_with("timeout: run: svc: "), "{told}");
    let pid = fs::read_to_string(folder.path("svc/pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    wait_until("the script is gone", || rustix::process::test_kill_process(pid).is_err());
    fs::set_permissions(&check, fs::Permissions::from_mode(0o644)).unwrap();
    let finished = folder.run("sv", &["check", "svc"]);
    assert_eq!(finished.code, Some(0));
    assert_eq!(finished.stderr, "sv: warning: unable to run svc/check: access denied\n");
    // Killed, it says nothing either way: not as it should be.
    fs::write(&check, "#!/bin/sh\nkill -9 $$\n").unwrap();
    fs::set_permissions(&check, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(folder.sv(&["-w", "0", "check", "svc"]).0, 1);
}

#[test]
fn ten_thousand_services_are_told_of() {
    let folder = Folder::new();
    // Of each kind one lives; the others have the same files by links.
    let _alive = folder.runit("s", &running());
    for number in 0..9999 {
        symlink("s", folder.path(&format!("s{number:05}"))).unwrap();
    }
    let (exit, told) = folder.sv(&["status"]);
    assert_eq!((exit, told.lines().count()), (0, 10_000));
    let names: Vec<&str> = told.lines().map(|line| line.split(": ").nth(1).unwrap()).collect();
    assert!(names.is_sorted());
    let objects = folder.json(&["status"]);
    assert_eq!(objects.len(), 10_000);
    assert!(objects.iter().all(|object| object["pid"] == 4242));
}

#[test]
fn a_reader_that_leaves_early_ends_it_quietly() {
    let folder = Folder::new();
    let _alive = folder.runit("s", &running());
    for number in 0..2000 {
        symlink("s", folder.path(&format!("s{number:05}"))).unwrap();
    }
    let stderr = Captured::new();
    let mut command = folder.command("sv", &["status"]);
    let (ours, theirs) = std::io::pipe().unwrap();
    command.stdin(Stdio::null()).stdout(theirs).stderr(stderr.stdio());
    drop(ours);
    let mut child = command.spawn().unwrap();
    drop(command);
    let status = crate::support::wait_for_exit(&mut child);
    assert_eq!((status.code(), stderr.text().as_str()), (Some(1), ""));
}

#[test]
fn down_is_made_and_removed_and_nothing_else() {
    let folder = Folder::new();
    let mut service = folder.runit("svc", &running());
    let down = folder.path("svc/down");
    for _ in 0..2 {
        assert_eq!(folder.sv(&["disable", "svc"]), (0, String::new()));
        assert!(down.is_file());
    }
    assert_eq!(folder.sv(&["-v", "disable", "svc"]), (0, "ok: svc: normally down\n".into()));
    assert!(folder.sv(&["status", "svc"]).1.ends_with("s, normally down\n"));
    for _ in 0..2 {
        assert_eq!(folder.sv(&["enable", "svc"]), (0, String::new()));
        assert!(!down.exists());
    }
    assert_eq!(service.sent(), "");
    // Not where there is no service; not through a link that leads nowhere.
    fs::create_dir(folder.path("none")).unwrap();
    let told = "fail: none: no service: neither run nor supervise is there\n".to_owned();
    assert_eq!(folder.sv(&["disable", "none"]), (1, told));
    symlink("/nonexistent/file", &down).unwrap();
    let told = "fail: svc: unable to stat down: file does not exist\n".to_owned();
    assert_eq!(folder.sv(&["disable", "svc"]), (1, told));
    fs::remove_file(&down).unwrap();
    fs::create_dir(&down).unwrap();
    let told = "fail: svc: unable to remove down: is a directory\n".to_owned();
    assert_eq!(folder.sv(&["enable", "svc"]), (1, told));
    // -n: at once, too.
    fs::remove_dir(&down).unwrap();
    let (exit, told) = folder.sv(&["-n", "-w0", "disable", "svc"]);
    assert!(exit == 1 && told.starts_with("timeout: run: svc: "), "{told}");
    assert_eq!((service.sent().as_str(), down.exists()), ("d", true));
}

/// What a signal does to it while it waits is what it does to any program.
#[test]
fn a_wait_can_be_interrupted() {
    let folder = Folder::new();
    let _alive = folder.runit("svc", &running());
    let mut child = folder.command("sv", &["-w", "1000", "stop", "svc"]).spawn().unwrap();
    let kind = fs::metadata(folder.path("svc/supervise/control")).unwrap().file_type();
    assert!(kind.is_fifo());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = crate::support::wait_for_exit(&mut child);
    assert_eq!(status.code(), None);
}
