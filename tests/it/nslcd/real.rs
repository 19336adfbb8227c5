//! `nsssd-nslcd` in front of Debian's nslcd and slapd, with glibc's own module for the same
//! nslcd, libnss-ldapd, as the reference.

use super::ldap::{BIG, Directory, GROUPS, LOCAL_GROUP, LOCAL_PASSWD, USERS};
use crate::support::nscd::{self, Bench, ask, asked, read_to_end, request, user};
use crate::support::{
    Connection, Server, TempDir, by_name, grouplist, grouplist_reply, have_program, nssbox, op,
    passwd_reply, run_to_end, skip, wait_until,
};
use std::path::PathBuf;
use std::process::Command;

/// What is asked of both: words behind `getent` and its options.
fn calls() -> Vec<String> {
    let mut calls = Vec::new();
    for n in [0, 1, 2, 3, 7, 42, 100, USERS - 1] {
        calls.push(format!("passwd user{n:03}"));
        calls.push(format!("passwd {}", 20_000 + n));
        calls.push(format!("shadow user{n:03}"));
        calls.push(format!("initgroups user{n:03}"));
    }
    for n in [0, 1, 5, 38, BIG] {
        calls.push(format!("group group{n:02}"));
        calls.push(format!("group {}", 30_000 + n));
    }
    for misses in [
        "passwd nobody-here",
        "passwd 12345",
        "passwd 4294967295",
        "passwd ''",
        "passwd user000 nobody-here user001",
        "passwd 'in valid/name'",
        "passwd group00",
        "group nothing-here",
        "group 12345",
        "group user000",
        "group group00 12345 group01",
        "shadow nobody-here",
        "shadow 20000",
        "initgroups nobody-here",
        "initgroups member0001",
        "passwd local root 777",
        "group local users 777",
        "initgroups local",
    ] {
        calls.push(misses.to_owned());
    }
    calls.extend(["passwd", "group", "shadow"].map(str::to_owned));
    calls
}

const MARK: &str = "=== ";

/// A script that makes all calls with this getent.
fn script(getent: &str) -> String {
    let mut script = String::new();
    for call in calls() {
        script += &format!("{getent} {call} 2>/dev/null; echo '{MARK}'$?\n");
    }
    script
}

/// What each call printed, and its exit code.
fn answers(printed: &[u8]) -> Vec<String> {
    let text = String::from_utf8(printed.to_vec()).expect("text");
    let (mut answers, mut answer) = (Vec::new(), String::new());
    for line in text.split_inclusive('\n') {
        answer += line;
        if line.starts_with(MARK) {
            answers.push(std::mem::take(&mut answer));
        }
    }
    answers
}

#[track_caller]
fn compare(what: &str, theirs: &[String], ours: &[String]) {
    assert_eq!((theirs.len(), ours.len()), (calls().len(), calls().len()), "{what}");
    for (call, (theirs, ours)) in calls().iter().zip(theirs.iter().zip(ours)) {
        assert!(
            theirs == ours,
            "{what}: getent {call}\n   ours {ours:.2000}\n  glibc {theirs:.2000}"
        );
    }
    // Nobody answered nothing everywhere.
    let lines: usize = ours.iter().map(|answer| answer.lines().count()).sum();
    assert!(lines > 440, "{lines}");
}

/// Our getent, outside the namespace.
fn ours(options: &str) -> Vec<String> {
    let mut command = Command::new("sh");
    command.args(["-c", &script(&format!("'{}' getent {options}", nssbox().display()))]);
    answers(&run_to_end(command).stdout)
}

struct Stage {
    dir: TempDir,
    bin: PathBuf,
}

impl Stage {
    fn new() -> Stage {
        let dir = TempDir::new();
        let bin = dir.bin();
        dir.accounts(LOCAL_PASSWD, LOCAL_GROUP, "");
        Stage { dir, bin }
    }
}

#[test]
fn getent_tells_what_glibc_tells_with_its_own_module() {
    let Some(d) = Directory::start("getent_tells_what_glibc_tells_with_its_own_module") else {
        return;
    };
    let socket = d.socket_str();
    let theirs = answers(&d.inside(&script("getent -s ldap")).stdout);
    // The directory is what it should be.
    let passwd = &theirs[calls().len() - 3];
    assert_eq!(passwd.lines().count(), USERS as usize + 1);
    assert_eq!(theirs[calls().len() - 2].lines().count(), GROUPS as usize + 1);
    assert!(theirs[calls().len() - 2].contains("member2998"));
    assert!(passwd.starts_with("user000:x:20000:30000:User 0,,,:/home/user000:/bin/sh\n"));

    compare("in process", &theirs, &ours(&format!("-s 'ldap {socket}'")));
    let stage = Stage::new();
    let program = ["nsssd-nslcd", &socket];
    let server = Server::start(&stage.bin, stage.dir.path(), &[], &program);
    compare("ipcserver", &theirs, &ours(&format!("-S {}", server.socket().display())));
}

#[test]
fn a_switch_of_files_and_nslcd_tells_what_glibc_tells_of_files_and_ldap() {
    let test = "a_switch_of_files_and_nslcd_tells_what_glibc_tells_of_files_and_ldap";
    let Some(d) = Directory::start(test) else { return };
    let socket = d.socket_str();
    // By nsswitch.conf: with `-s`, glibc takes a user's groups from the first source alone.
    let theirs = answers(&d.inside(&script("getent")).stdout);
    let stage = Stage::new();
    let dir = stage.dir.as_str();
    for spawn in [&[][..], &["--spawn"]] {
        let switch = [&["nsssd-switch", "-m"], spawn].concat();
        let blocks = ["3", "nsssd-unix", "-d", dir, "", "0", "nsssd-nslcd", &socket, ""];
        let program = [&switch[..], &blocks].concat();
        let server = Server::start(&stage.bin, stage.dir.path(), &[], &program);
        compare("switch", &theirs, &ours(&format!("-S {}", server.socket().display())));
    }
    compare("list", &theirs, &ours(&format!("-s '3 unix -d {dir}; nslcd {socket}'")));
}

/// A user by the directory, as nsss sends it.
fn user_reply(n: u32) -> Vec<u8> {
    let (name, gecos) = (format!("user{n:03}"), format!("User {n},,,"));
    let home = format!("/home/{name}");
    passwd_reply([&name, "x"], 20_000 + n, 30_000 + n % GROUPS, [&gecos, &home, "/bin/sh"])
}

/// Asks for a user, a group list and nobody; whether all was answered. What was answered must be
/// right, and "not found" is only for nobody.
#[track_caller]
fn look(client: &Connection) -> bool {
    let mut good = true;
    let list = grouplist_reply(9, &[30_000, 30_001, 30_004, 30_039]);
    for (request, reply) in
        [(by_name(op::PWD_GETBYNAME, "user007"), user_reply(7)), (grouplist(9, "user007"), list)]
    {
        let status = client.ask(&request, 1)[0];
        assert_ne!(status, 255, "a failure is no \"not found\"");
        good &= status == 0;
        if status == 0 {
            assert_eq!(client.recv_exact(reply.len() - 1), reply[1..]);
        }
    }
    let nobody = client.ask(&by_name(op::PWD_GETBYNAME, "nobody-here"), 1)[0];
    assert_ne!(nobody, 0);
    good && nobody == 255
}

/// While all is down, nobody is "not found" either.
#[track_caller]
fn look_in_vain(client: &Connection) {
    for _ in 0..20 {
        for name in ["user007", "nobody-here"] {
            let status = client.ask(&by_name(op::PWD_GETBYNAME, name), 1)[0];
            assert!(status != 0 && status != 255, "{name}: {status}");
        }
    }
}

#[test]
fn slapd_and_nslcd_come_and_go_and_lookups_fail_and_are_answered_again() {
    let test = "slapd_and_nslcd_come_and_go_and_lookups_fail_and_are_answered_again";
    let Some(mut d) = Directory::start(test) else { return };
    let stage = Stage::new();
    let socket = d.socket_str();
    // With bit 2, or the groups of the files alone would pass for all when nslcd fails.
    let blocks = ["3", "nsssd-unix", "-d", stage.dir.as_str(), "", "3", "nsssd-nslcd", &socket, ""];
    let program = [&["nsssd-switch", "-m"], &blocks[..]].concat();
    let server = Server::start(&stage.bin, stage.dir.path(), &[], &program);
    // One connection through it all, so that nothing of ours is started anew.
    let client = server.connect();
    wait_until("it is up", || look(&client));
    for _ in 0..2 {
        d.stop_slapd();
        wait_until("slapd is missed", || !look(&client));
        look_in_vain(&client);
        d.start_slapd();
        wait_until("slapd is back", || look(&client));
        d.stop_nslcd();
        wait_until("nslcd is missed", || !look(&client));
        look_in_vain(&client);
        d.start_nslcd();
        wait_until("nslcd is back", || look(&client));
        // Both, and back in the other order.
        d.stop_slapd();
        d.stop_nslcd();
        look_in_vain(&client);
        d.start_nslcd();
        look_in_vain(&client);
        d.start_slapd();
        wait_until("both are back", || look(&client));
    }
}

/// `nscd` over local files and the real nslcd, in a directory of its own.
fn nscd_over(d: &Directory, millis: &str) -> (Bench, Server) {
    let bench = Bench::new(LOCAL_PASSWD, LOCAL_GROUP);
    let socket = d.socket_str();
    let sources: [(u8, &[&str]); 2] = [(3, &bench.unix()), (0, &["nsssd-nslcd", &socket])];
    let server = bench.start(&["-t", millis], &sources);
    (bench, server)
}

#[test]
fn programs_of_both_c_libraries_see_ldap_users_through_nscd() {
    let test = "programs_of_both_c_libraries_see_ldap_users_through_nscd";
    let Some(d) = Directory::start(test) else { return };
    let (bench, _server) = nscd_over(&d, "4000");
    // Without its module, and with our socket: what they know comes through nscd alone.
    let through_nscd = |script: &str| {
        d.dir.write("etc/nsswitch.conf", "passwd: files\ngroup: files\n");
        let mount =
            format!("mkdir /run/nscd && mount --bind {}/run /run/nscd\n", bench.dir.as_str());
        let finished = d.inside(&(mount + "unset LD_LIBRARY_PATH\n" + script));
        String::from_utf8(finished.stdout).unwrap()
    };
    let by_module = |script: &str| {
        d.dir.write("etc/nsswitch.conf", "passwd: files ldap\ngroup: files ldap\n");
        String::from_utf8(d.inside(script).stdout).unwrap()
    };
    let id = "id user003 | cut -d' ' -f1,2; id -G user003 | tr ' ' '\\n' | sort -n; id -un 20007\n\
              id -Gn user007 | tr ' ' '\\n' | sort; id nobody-here >/dev/null 2>&1; echo $?\n";
    let want = by_module(id);
    assert!(want.starts_with("uid=20003(user003) gid=30003(group03)\n100\n30000\n"), "{want}");
    assert!(want.contains("group39") && want.ends_with("1\n"), "{want}");
    assert_eq!(through_nscd(id), want);
    let keys = "getent passwd user199 20100; getent group group39 30001; getent passwd nobody-here";
    let want = by_module(keys);
    assert_eq!(want.lines().count(), 4);
    // Nobody is asked for shadow who knows of them.
    let want = want.replace(":x:20", ":*:20");
    let got = through_nscd(keys);
    assert!(got == want, "got {got:.300}\nexpected {want:.300}");
    if !have_program("musl-gcc") {
        return skip(test, "no musl-gcc");
    }
    let program = d.dir.join("musl-lookup");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/musl-lookup.c");
    let mut compiler = Command::new("musl-gcc");
    compiler.args(["-static", "-O1", source, "-o"]).arg(&program);
    let built = run_to_end(compiler);
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    let program = program.display();
    let got =
        through_nscd(&format!("{program} passwd user199 20100; {program} group group39 30001"));
    assert!(got == want, "musl: got {got:.300}\nexpected {want:.300}");
    let got = through_nscd(&format!("{program} grouplist user003"));
    assert_eq!(got, "user003: 100 30000 30003\n");
    let got = through_nscd(&format!("{program} passwd nobody-here"));
    assert_eq!(got, "!nobody-here: not found\n");
}

#[test]
fn a_stopped_nslcd_delays_only_those_who_ask_it() {
    let test = "a_stopped_nslcd_delays_only_those_who_ask_it";
    let Some(d) = Directory::start(test) else { return };
    let (_bench, server) = nscd_over(&d, "4000");
    let local = LOCAL_PASSWD.lines().nth(1).unwrap().replace(":x:", ":*:");
    let known = "user003:*:20003:30003:User 3,,,:/home/user003:/bin/sh";
    let ask_known = || asked(server.socket(), &request(ask::USER, "user003"));
    assert_eq!(ask_known(), user(known));
    d.suspend_nslcd();
    // More than can wait at a time.
    let waiting: Vec<Connection> = (0..12)
        .map(|at| {
            let client = Connection::connect(server.socket());
            let kind = [ask::USER, ask::GROUP, ask::GROUPS][at % 3];
            client.send(&request(kind, "user003"));
            client
        })
        .collect();
    for _ in 0..50 {
        assert_eq!(asked(server.socket(), &request(ask::USER, "local")), user(&local));
    }
    // Those who know only local users were answered before anybody's deadline.
    waiting[0].expect_silence();
    for client in &waiting {
        assert_eq!(read_to_end(client), b"", "a failure is no \"not found\"");
    }
    d.resume_nslcd();
    wait_until("nslcd goes on", || ask_known() == user(known));
    assert_eq!(asked(server.socket(), &request(ask::USER, "nobody-here")), nscd::no_user());
}
