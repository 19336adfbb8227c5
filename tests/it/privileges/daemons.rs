//! The nsss daemons as root: they become their client before they open a file, and keep nothing
//! of root's. All tests need root.
#![cfg(all(feature = "nsssd-switch", feature = "nsssd-unix"))]

use crate::support::procfs;
use crate::support::stage::{Stage, copy_executable};
use crate::support::{
    self, APPLETS, Daemon, by_name, group_reply, is_root, link, nssbox, op, passwd_reply,
    run_to_end, shadow_reply, skip,
};
use rustix::process::Gid;
use rustix::thread::set_thread_groups;
use std::fs;
use std::os::unix::fs::chown;
use std::process::Command;
use std::thread;

/// The client. No account needs to have these numbers.
const UID: u32 = 65_534;
const GID: u32 = 65_533;

/// Supplementary groups that the super-server left behind.
const GROUPS: [u32; 3] = [4, 27, 100];

const EACCES: [u8; 1] = [13];

/// The daemons: files alone, a switch over them in process, and one over a program.
const WAYS: [&[&str]; 3] = [&["nsssd-unix"], &["nsssd-switch"], &["nsssd-switch", "--spawn"]];

/// Says so and gives `None` where there is nothing to drop. Else accounts, and executables that
/// anybody can run: where cargo puts them may be closed to the client.
#[track_caller]
fn stage(test: &str) -> Option<Stage> {
    if !is_root() {
        skip(test, "only root can become somebody else");
        return None;
    }
    let stage = Stage::new();
    let copy = stage.dir.join("nssbox");
    copy_executable(nssbox(), &copy);
    for name in APPLETS {
        fs::remove_file(stage.bin.join(name)).expect("remove a link");
        link(&copy, &stage.bin, name);
    }
    stage.dir.accounts("root:x:0:0:::\n", "root:x:0:root\n", "root:secret:19000:0:99999:7:::\n");
    Some(stage)
}

/// The command of one of the [`WAYS`] for a client.
fn command(stage: &Stage, way: &[&str], uid: u32, gid: u32) -> Command {
    let mut command = stage.applet(way[0]);
    command.args(&way[1..]);
    if way[0] == "nsssd-switch" {
        command.args(["7", "nsssd-unix", "-d", stage.dir.as_str(), ""]);
    } else {
        command.args(["-d", stage.dir.as_str()]);
    }
    command.env("IPCREMOTEEUID", uid.to_string()).env("IPCREMOTEEGID", gid.to_string());
    command
}

/// Starts a command as root with supplementary groups. They belong to threads in Linux.
#[track_caller]
fn start_with_groups(command: Command) -> Daemon {
    let starting = thread::spawn(move || {
        set_thread_groups(&GROUPS.map(Gid::from_raw)).expect("setgroups");
        Daemon::start(command)
    });
    starting.join().expect("a daemon with supplementary groups")
}

fn secret() -> Vec<u8> {
    shadow_reply("root", "secret", [19_000, 0, 99_999, 7, -1, -1, -1])
}

/// Every request for root's shadow entry is refused, but the other files are open.
#[track_caller]
fn expect_no_shadow(daemon: &Daemon) {
    for _ in 0..2 {
        daemon.expect(&by_name(op::SHADOW_GETBYNAME, "root"), &EACCES);
        daemon.expect(&by_name(op::SHADOW_GETBYNAME, "nobody"), &EACCES);
        daemon.expect(&[op::SHADOW_GET], &EACCES);
        daemon.expect(&[op::SHADOW_REWIND], &[0]);
        daemon.expect(&[op::SHADOW_GET], &EACCES);
        daemon.expect(&[op::SHADOW_END], &[0]);
        let root = passwd_reply(["root", "x"], 0, 0, ["", "", ""]);
        daemon.expect(&by_name(op::PWD_GETBYNAME, "root"), &root);
        let group = group_reply("root", "x", 0, &["root"]);
        daemon.expect(&by_name(op::GRP_GETBYNAME, "root"), &group);
    }
}

#[test]
fn the_helper_gives_groups_to_what_it_starts() {
    let Some(stage) = stage("the_helper_gives_groups_to_what_it_starts") else { return };
    let mut command = stage.applet("sh");
    command.args(["-c", "exec cat"]);
    let daemon = start_with_groups(command);
    daemon.expect(b"x", b"x");
    assert_eq!(procfs::status(daemon.pid(), "Groups"), ["4", "27", "100"]);
}

#[test]
fn all_ids_are_the_clients_and_no_group_is_left() {
    let Some(stage) = stage("all_ids_are_the_clients_and_no_group_is_left") else { return };
    for way in WAYS {
        for (uid, gid) in [(UID, GID), (0, 0), (0, GID), (UID, 0)] {
            let daemon = start_with_groups(command(&stage, way, uid, gid));
            daemon.expect(&[op::PWD_END], &[0]);
            let children = procfs::children(daemon.pid());
            assert_eq!(children.len(), usize::from(way.len() == 2), "{way:?}");
            for pid in [daemon.pid()].into_iter().chain(children) {
                let shown = format!("{way:?}, {:?}", procfs::words(pid));
                let none: [String; 0] = [];
                assert_eq!(procfs::status(pid, "Groups"), none, "{shown}");
                // Real, effective, saved, file system.
                assert_eq!(procfs::status(pid, "Uid"), [uid.to_string().as_str(); 4], "{shown}");
                assert_eq!(procfs::status(pid, "Gid"), [gid.to_string().as_str(); 4], "{shown}");
            }
        }
    }
}

#[test]
fn a_client_sees_of_the_shadow_file_what_it_could_read_itself() {
    let Some(stage) = stage("a_client_sees_of_the_shadow_file_what_it_could_read_itself") else {
        return;
    };
    let shadow = stage.dir.join("shadow");
    // Owner, group, mode, and whether the client may read that.
    for (owner, group, mode, may_read) in [
        (0, 0, 0o600, false),
        (0, 0, 0o640, false),
        // A group that the daemon was started with.
        (0, GROUPS[0], 0o640, false),
        (0, 0, 0o644, true),
        (0, GID, 0o640, true),
        (UID, 0, 0o400, true),
        // Only the first class that applies decides.
        (UID, 0, 0o044, false),
        (0, GID, 0o604, false),
        (0, 0, 0o000, false),
    ] {
        chown(&shadow, Some(owner), Some(group)).expect("chown");
        stage.dir.chmod("shadow", mode);
        for way in WAYS {
            println!("{way:?}: {owner}:{group} {mode:o}");
            let daemon = start_with_groups(command(&stage, way, UID, GID));
            if may_read {
                daemon.expect(&by_name(op::SHADOW_GETBYNAME, "root"), &secret());
                daemon.expect(&[op::SHADOW_GET], &secret());
            } else {
                expect_no_shadow(&daemon);
            }
            let daemon = start_with_groups(command(&stage, way, 0, 0));
            daemon.expect(&by_name(op::SHADOW_GETBYNAME, "root"), &secret());
            daemon.expect(&[op::SHADOW_GET], &secret());
        }
    }
}

#[test]
fn a_closed_passwd_or_group_is_a_failure_and_no_empty_list() {
    let Some(stage) = stage("a_closed_passwd_or_group_is_a_failure_and_no_empty_list") else {
        return;
    };
    stage.dir.chmod("passwd", 0o600);
    stage.dir.chmod("group", 0o640);
    for way in WAYS {
        let daemon = start_with_groups(command(&stage, way, UID, GID));
        for request in [
            by_name(op::PWD_GETBYNAME, "root"),
            support::by_id(op::PWD_GETBYUID, 0),
            vec![op::PWD_GET],
            by_name(op::GRP_GETBYNAME, "root"),
            support::by_id(op::GRP_GETBYGID, 0),
            support::grouplist(5, "root"),
            vec![op::GRP_GET],
        ] {
            daemon.expect(&request, &EACCES);
        }
    }
}

#[test]
fn a_client_without_a_number_is_refused() {
    let Some(stage) = stage("a_client_without_a_number_is_refused") else { return };
    for way in WAYS {
        for variable in ["IPCREMOTEEUID", "IPCREMOTEEGID"] {
            // The largest number means "no change" to the kernel, so that root would stay root.
            for value in ["4294967295", "4294967296", "-1", "+1", " 1", "1 ", "0x1", "1,2", ""] {
                let mut command = command(&stage, way, UID, GID);
                command.env(variable, value);
                let end = run_to_end(command);
                assert_eq!(end.code, Some(100), "{way:?} {variable}={value}: {end:?}");
                let want = format!("{}: fatal: invalid ${variable}\n", way[0]);
                assert_eq!(end.stderr, want);
            }
            let mut command = command(&stage, way, UID, GID);
            command.env_remove(variable);
            let end = run_to_end(command);
            assert_eq!(end.code, Some(100), "{way:?} without {variable}: {end:?}");
            assert_eq!(end.stderr, format!("{}: fatal: {variable} not set\n", way[0]));
        }
    }
}

#[test]
fn the_largest_number_that_is_one_is_taken() {
    let Some(stage) = stage("the_largest_number_that_is_one_is_taken") else { return };
    let largest = u32::MAX - 1;
    let daemon = start_with_groups(command(&stage, WAYS[0], largest, largest));
    daemon.expect(&by_name(op::SHADOW_GETBYNAME, "root"), &EACCES);
    assert_eq!(procfs::status(daemon.pid(), "Uid"), [largest.to_string().as_str(); 4]);
}
