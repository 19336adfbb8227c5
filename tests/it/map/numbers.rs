//! `nsssd-map` for numbers without a name, and behind super-servers.
#![cfg(feature = "nsssd-map")]

use crate::support::map::{self, ALICE, Host, NOT_FOUND, uid, user};
use crate::support::{
    Daemon, Finished, Server, by_id, by_name, group_reply, grouplist, grouplist_reply,
    have_program, is_root, op, passwd_reply, run_to_end, skip, tool,
};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

const EACCES: [u8; 1] = [13];

/// In the range of the container platform that everybody knows.
const ANY: u32 = 1_000_650_000;

const NUMBERS: &str = "nssmap 2\n\
    uids 1000000000-1999999999\n  template app:x:=:0:Application user:/app:/bin/sh\n\
    uids 3000-3999\n  template u%u:x:=:=:user %u:/srv/%u:/bin/sh\n\
    gids 1000000000-1999999999\n  template grp:x:=:\n\
    gids 3000-3999\n  template g%u:x:=:\n";

fn host() -> Host {
    let host = Host::new();
    host.config(NUMBERS);
    host
}

fn app(uid: u32) -> Vec<u8> {
    passwd_reply(["app", "x"], uid, 0, ["Application user", "/app", "/bin/sh"])
}

/// A daemon that was told who its client is.
fn asked_by(host: &Host, uid: &str, gid: &str) -> Daemon {
    let mut command = host.command(&[]);
    command.env("IPCREMOTEEUID", uid).env("IPCREMOTEEGID", gid);
    Daemon::start(command)
}

#[test]
fn a_uid_that_nobody_knows_has_a_name() {
    let host = host();
    let daemon = host.start(&[]);
    for id in [1_000_000_000, ANY, 1_999_999_999] {
        daemon.expect(&uid(id), &app(id));
        daemon.expect(&by_id(op::GRP_GETBYGID, id), &group_reply("grp", "x", id, &[]));
    }
    for id in [0, 999_999_999, 2_000_000_000, 2999, 4000, u32::MAX] {
        daemon.expect(&uid(id), &NOT_FOUND);
        daemon.expect(&by_id(op::GRP_GETBYGID, id), &NOT_FOUND);
    }
    daemon.expect(&grouplist(9, "app"), &grouplist_reply(9, &[]));
}

#[test]
fn the_name_of_all_is_that_of_the_asker() {
    let host = host();
    let any = ANY.to_string();
    let (uid, gid) =
        if is_root() { (any.as_str(), any.as_str()) } else { (any.as_str(), "1000000001") };
    let daemon = asked_by(&host, uid, gid);
    daemon.expect(&user("app"), &app(ANY));
    let gid: u32 = gid.parse().unwrap();
    daemon.expect(&by_name(op::GRP_GETBYNAME, "grp"), &group_reply("grp", "x", gid, &[]));
    daemon.expect(&by_name(op::GRP_GETBYNAME, "app"), &NOT_FOUND);
    drop(daemon);
    let daemon = asked_by(&host, "0", "0");
    daemon.expect(&user("app"), &NOT_FOUND);
    daemon.expect(&by_name(op::GRP_GETBYNAME, "grp"), &NOT_FOUND);
}

#[test]
fn a_name_with_digits_is_parsed_back() {
    let host = host();
    let daemon = host.start(&[]);
    let reply = passwd_reply(["u3001", "x"], 3001, 3001, ["user %u", "/srv/3001", "/bin/sh"]);
    daemon.expect(&uid(3001), &reply);
    daemon.expect(&user("u3001"), &reply);
    daemon.expect(&by_name(op::GRP_GETBYNAME, "g3001"), &group_reply("g3001", "x", 3001, &[]));
    for name in
        ["u", "u03001", "u2999", "u4000", "u3001x", "u4294970297", "g3001", "3001", "u+3001"]
    {
        daemon.expect(&user(name), &NOT_FOUND);
    }
}

#[test]
fn over_a_socket_pair_nobody_knows_who_asks() {
    if is_root() {
        // Root has to be told who asks in any case: somebody else runs it here.
        let host = host();
        let copy = host.dir.join("nssbox");
        map::copy_executable(&copy);
        let mut command = tool(&host.bin, copy.to_str().unwrap());
        command.uid(ANY).gid(ANY).arg("nsssd-map").arg("-f").arg(host.dir.join("nssmap.conf"));
        let daemon = Daemon::start(command);
        daemon.expect(&user("app"), &EACCES);
        daemon.expect(&uid(ANY), &app(ANY));
        return;
    }
    let host = host();
    let mut command = tool(&host.bin, "nsssd-map");
    command.arg("-f").arg(host.dir.join("nssmap.conf"));
    let daemon = Daemon::start(command);
    daemon.expect(&user("app"), &EACCES);
}

/// `getent -S SOCKET` as another user, by a copy of the executable that he can reach.
fn getent_as(host: &Host, id: u32, socket: &Path, words: &[&str]) -> Finished {
    let copy = host.dir.join("nssbox");
    if !copy.exists() {
        map::copy_executable(&copy);
    }
    let mut command = tool(&host.bin, copy.to_str().unwrap());
    command.uid(id).gid(id).args(["getent", "-S"]).arg(socket).args(words);
    run_to_end(command)
}

/// Our ipcserver in its three ways, and s6's, each with the map behind the local files.
fn for_each_server(test: impl Fn(&str, &Host, &Path), config: impl Fn(&Host)) {
    let ways = [("ipcserver", &[][..]), ("ipcserver", &["--spawn"]), ("s6-ipcserver", &[])];
    for (program, options) in ways {
        if !have_program(program) && program != "ipcserver" {
            skip("for_each_server", "there is no s6-ipcserver");
            continue;
        }
        let host = Host::new();
        config(&host);
        let map = host.dir.join("nssmap.conf");
        let socket = host.dir.join("s");
        let mut command = tool(&host.bin, program);
        command.arg("-1").args(options).arg(&socket);
        command
            .args(["nsssd-switch", "0", "nsssd-unix", "", "0", "nsssd-map", "-f"])
            .arg(&map)
            .arg("");
        let _server = Server::start_command(command, &socket);
        test(&format!("{program} {options:?}"), &host, &socket);
    }
}

#[test]
fn behind_each_super_server_a_mapped_name_is_found_and_a_path_is_not() {
    for_each_server(
        |way, host, socket| {
            let ask = |key: &str| {
                let mut command = tool(&host.bin, "getent");
                command.arg("-S").arg(socket).args(["passwd", key]);
                run_to_end(command)
            };
            let got = ask("alice");
            let line =
                host.text(&format!("alice:x:{ALICE}:{ALICE}:mapped user:DIR/home/alice:/bin/sh\n"));
            assert_eq!(String::from_utf8(got.stdout).unwrap(), line, "{way}: {}", got.stderr);
            let got = ask("../../root");
            assert_eq!((got.code, got.stdout.as_slice()), (Some(2), &b""[..]), "{way}");
            assert_eq!(ask("root").code, Some(0), "{way}");
            assert_eq!(ask(&ALICE.to_string()).code, Some(0), "{way}");
        },
        |host| {
            host.range("registry DIR/registry");
            host.homes(&["alice"]);
        },
    );
}

#[test]
fn behind_each_super_server_a_container_user_finds_himself() {
    if !is_root() {
        let name = "behind_each_super_server_a_container_user_finds_himself";
        return skip(name, "another user's process needs root");
    }
    for_each_server(
        |way, host, socket| {
            let ask = |id, key: &str| {
                let got = getent_as(host, id, socket, &["passwd", key]);
                String::from_utf8(got.stdout).unwrap()
            };
            let line = format!("app:x:{ANY}:0:Application user:/app:/bin/sh\n");
            assert_eq!(ask(ANY, "app"), line, "{way}");
            assert_eq!(ask(ANY, &ANY.to_string()), line, "{way}");
            assert_eq!(ask(12345, "app"), "", "{way}");
            assert_eq!(ask(12345, &ANY.to_string()), line, "{way}");
        },
        |host| {
            host.config(NUMBERS);
        },
    );
}

#[test]
fn a_server_that_does_not_look_who_asks_fails_and_does_not_miss() {
    let host = host();
    let map = host.dir.join("nssmap.conf");
    let words = ["nsssd-map", "-f", map.to_str().unwrap()];
    let server = Server::start(&host.bin, host.dir.path(), &["-P"], &words);
    let client = server.connect();
    client.expect(&user("app"), &EACCES);
    client.expect(&by_name(op::GRP_GETBYNAME, "grp"), &EACCES);
    client.expect(&uid(ANY), &app(ANY));
}

#[test]
fn one_process_serves_all_clients_of_a_map() {
    let host = Host::new();
    host.range("registry DIR/registry");
    host.homes(&["alice"]);
    let map = host.dir.join("nssmap.conf");
    let words = ["nsssd-map", "-f", map.to_str().unwrap()];
    let server = Server::start(&host.bin, host.dir.path(), &[], &words);
    let clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &clients {
        client.expect(&user("alice"), &host.passwd("alice", ALICE));
    }
    let pid = server.pid().as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    if let Ok(children) = children {
        assert_eq!(children, "");
    }
    assert_eq!(host.read("registry").lines().count(), 1);
}

#[test]
fn evidence_on_an_autofs_is_never_asked_in_the_event_loop() {
    let name = "evidence_on_an_autofs_is_never_asked_in_the_event_loop";
    if !is_root() {
        return skip(name, "mounts need root");
    }
    let host = Host::new();
    host.range("");
    // Nobody answers at the other end of the pipe: whoever looked at a home would wait for ever.
    let mount = "mkfifo \"$1/pipe\" && exec 4<>\"$1/pipe\" && mount -t autofs \
                 -o fd=4,pgrp=$$,minproto=5,maxproto=5,indirect auto \"$1/home\" && ";
    let in_namespace = |then: &str| {
        let mut command = tool(&host.bin, "unshare");
        command.args(["-m", "sh", "-c", &format!("{mount}{then}"), "host"]).arg(host.dir.path());
        command
    };
    let probe = run_to_end(in_namespace("true"));
    if probe.code != Some(0) {
        return skip(name, &format!("there is no autofs here: {}", probe.stderr.trim_end()));
    }
    fs::remove_file(host.dir.join("pipe")).unwrap();
    let serve = "exec ipcserver -1 \"$1/s\" nsssd-switch 0 nsssd-unix '' \
                 0 nsssd-map -f \"$1/nssmap.conf\" ''";
    let server = Server::start_command(in_namespace(serve), &host.dir.join("s"));
    let line = "is on autofs: it can block, and is asked in a process of its own";
    assert!(server.stderr().contains(line), "{}", server.stderr());
    let client = server.connect();
    // A reserved name, for which no home is looked at.
    client.expect(&user("mysql"), &NOT_FOUND);
    let pid = server.pid().as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    assert_eq!(children.split_whitespace().count(), 1, "a process for the client");
}
