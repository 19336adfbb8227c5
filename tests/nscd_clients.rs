//! `nscd` and the programs that nobody recompiled: those of glibc, and a client built with musl.
//! Each runs in a private mount namespace, where the server's socket stands at /var/run/nscd and
//! /etc has no entry for the users that are asked for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;
#[path = "nscd/mod.rs"]
mod nscd;

use common::{Finished, Server, TempDir, have_program, is_root, run_to_end, skip};
use nscd::Bench;
use std::path::PathBuf;
use std::process::Command;

/// What the server knows besides the local files.
const PASSWD: &str = "netuser:x:70001:70001:Net User:/home/net:/bin/sh\n";
const GROUP: &str = "netgroup:x:70001:\nnetstaff:x:70002:netuser,other\nusers:x:100:netuser\n";

/// What every program knows by itself.
const LOCAL_PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nlocal:x:777:777:Local:/:/bin/sh\n";
const LOCAL_GROUP: &str = "root:x:0:\nlocal:x:777:\nusers:x:100:\n";

/// The programs' machine: local files for all of them, and a server that knows more.
struct Machine {
    bench: Bench,
    _server: Server,
    local: TempDir,
}

impl Machine {
    /// `None` where no such machine can be made; that is said.
    fn new(test: &str, group: &str) -> Option<Machine> {
        if !is_root() || !have_program("unshare") {
            skip(test, "needs root and unshare");
            return None;
        }
        let bench = Bench::new(PASSWD, group);
        let local = TempDir::new();
        local.write("passwd", LOCAL_PASSWD);
        local.write("group", LOCAL_GROUP);
        local.write("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n");
        let own = ["nsssd-unix", "-d", local.as_str()];
        let server = bench.start(&[], &[(3, &own), (0, &bench.unix())]);
        let machine = Machine { bench, _server: server, local };
        let probe = machine.run("true", true);
        if probe.code != Some(0) {
            skip(test, &format!("no private mounts: {}", probe.stderr));
            return None;
        }
        Some(machine)
    }

    /// Runs a shell script there; without the server, an empty directory is at its place.
    fn run(&self, script: &str, served: bool) -> Finished {
        let socket = if served { self.bench.dir.join("run") } else { self.local.path().to_owned() };
        let local = self.local.as_str();
        let text = format!(
            "mount --make-rprivate / && mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/nscd \
             && mount --bind '{}' /var/run/nscd || exit 120\n\
             for f in passwd group nsswitch.conf; do\n\
             mount --bind '{local}'/$f /etc/$f || exit 120\ndone\n{script}\n",
            socket.display()
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &text]).env("LC_ALL", "C");
        run_to_end(command)
    }

    /// What a script prints with our server; without it, it must print something else.
    #[track_caller]
    fn expect(&self, script: &str, expected: &str) {
        let with = self.run(script, true);
        let got = String::from_utf8_lossy(&with.stdout).into_owned();
        assert_eq!(got, expected, "{script}: {}", with.stderr);
        assert_eq!(with.code, Some(0), "{script}: {}", with.stderr);
        let without = self.run(script, false);
        let got = String::from_utf8_lossy(&without.stdout).into_owned();
        assert_ne!(got, expected, "{script}, with no server");
    }
}

fn machine(test: &str) -> Option<Machine> {
    Machine::new(test, GROUP)
}

/// A client of musl, built for this test; `None` where that cannot be.
fn musl_lookup(test: &str, dir: &TempDir, how: &str) -> Option<PathBuf> {
    if !have_program("musl-gcc") {
        skip(test, "no musl-gcc");
        return None;
    }
    let program = dir.join("musl-lookup");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/musl-lookup.c");
    let mut compiler = Command::new("musl-gcc");
    compiler.args([how, "-O1", source, "-o"]).arg(&program);
    let finished = run_to_end(compiler);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    Some(program)
}

#[test]
fn programs_of_glibc_see_users_and_groups() {
    let Some(m) = machine("programs_of_glibc_see_users_and_groups") else { return };
    m.expect("getent passwd netuser 70001", &PASSWD.repeat(2));
    m.expect("getent group netstaff 70001", "netstaff:x:70002:netuser,other\nnetgroup:x:70001:\n");
    m.expect(
        "id netuser",
        "uid=70001(netuser) gid=70001(netgroup) groups=70002(netstaff),100(users),70001(netgroup)\n",
    );
    m.expect("getent initgroups netuser", "netuser               70002 100\n");
    m.expect(
        "f=/run/f; : >$f; chown netuser:netstaff $f && stat -c %u:%g:%U:%G $f",
        "70001:70002:netuser:netstaff\n",
    );
    m.expect(
        "f=/run/f; : >$f; chown 70001:70002 $f && ls -l $f | cut -d' ' -f3,4",
        "netuser netstaff\n",
    );
    // Local users stay as they were, and nobody else appears.
    let script = "getent passwd local; id -un local; getent passwd nosuch; echo $?; stat -c %U /";
    let text = "local:x:777:777:Local:/:/bin/sh\nlocal\n2\nroot\n";
    for served in [true, false] {
        assert_eq!(String::from_utf8_lossy(&m.run(script, served).stdout), text, "{served}");
    }
    // What is not served is answered by the client's own sources.
    let hosts = m.run("getent hosts localhost >/dev/null && getent services ssh/tcp", true);
    assert_eq!(hosts.code, Some(0));
}

#[test]
fn a_login_takes_its_groups_from_it() {
    let test = "a_login_takes_its_groups_from_it";
    let Some(m) = machine(test) else { return };
    if !have_program("setpriv") {
        return skip(test, "no setpriv");
    }
    m.expect("setpriv --reuid netuser --regid netgroup --init-groups id -G", "70001 100 70002\n");
}

#[test]
fn scripting_languages_see_users_and_groups() {
    let test = "scripting_languages_see_users_and_groups";
    let Some(m) = machine(test) else { return };
    if have_program("perl") {
        m.expect(
            "perl -e 'print join(\":\", (getpwnam \"netuser\")[0,2,3]), \" \", \
             scalar(getgrgid 70002), \"\\n\"'",
            "netuser:70001:70001 netstaff\n",
        );
    } else {
        skip(test, "no perl");
    }
    if have_program("python3") {
        m.expect(
            "python3 -c 'import os, pwd, grp\n\
             print(pwd.getpwnam(\"netuser\").pw_uid, grp.getgrnam(\"netstaff\").gr_mem, \
             sorted(os.getgrouplist(\"netuser\", 70001)))'",
            "70001 ['netuser', 'other'] [100, 70001, 70002]\n",
        );
    } else {
        skip(test, "no python3");
    }
    if have_program("ssh-keygen") {
        // It refuses to run for a uid without a name.
        m.expect(
            "setpriv --reuid 70001 --clear-groups ssh-keygen -q -t ed25519 -N '' -f /dev/stdout \
             </dev/null 2>&1 | grep -c 'No user exists' || :",
            "0\n",
        );
    } else {
        skip(test, "no ssh-keygen");
    }
}

fn programs_of_musl(test: &str, how: &str) {
    let Some(m) = machine(test) else { return };
    let Some(program) = musl_lookup(test, &m.local, how) else { return };
    let program = program.to_str().unwrap();
    m.expect(&format!("{program} passwd netuser 70001"), &PASSWD.repeat(2));
    m.expect(&format!("{program} group netstaff"), "netstaff:x:70002:netuser,other\n");
    // musl drops gids that the local file has, whoever its members are there.
    m.expect(&format!("{program} grouplist netuser"), "netuser: 70001 70002\n");
    m.expect(&format!("{program} repeat 250 passwd netuser | sort -u"), PASSWD);
    let missing = m.run(&format!("{program} passwd nosuch 4; {program} grouplist nosuch"), true);
    let text = "!nosuch: not found\n!4: not found\nnosuch: 65534\n";
    assert_eq!(String::from_utf8_lossy(&missing.stdout), text, "{}", missing.stderr);
}

#[test]
fn static_programs_of_musl_see_users_and_groups() {
    programs_of_musl("static_programs_of_musl_see_users_and_groups", "-static");
}

#[test]
fn dynamic_programs_of_musl_see_users_and_groups() {
    programs_of_musl("dynamic_programs_of_musl_see_users_and_groups", "-rdynamic");
}

#[test]
fn a_group_of_a_hundred_thousand_members_reaches_both_libraries() {
    let test = "a_group_of_a_hundred_thousand_members_reaches_both_libraries";
    let members: Vec<String> = (0..100_000).map(|n| format!("m{n:06}")).collect();
    let line = format!("big:x:80000:{}\n", members.join(","));
    let Some(m) = Machine::new(test, &line) else { return };
    m.local.write("expected", &line);
    let expected = m.local.join("expected");
    let same = |program: &str| format!("{program} | cmp - '{}' && echo same", expected.display());
    m.expect(&same("getent group big"), "same\n");
    m.expect(&same("getent group 80000"), "same\n");
    m.expect("getent initgroups m099999", "m099999               80000\n");
    let Some(program) = musl_lookup(test, &m.local, "-static") else { return };
    m.expect(&same(&format!("{} group big", program.display())), "same\n");
}

#[test]
fn sources_that_the_script_does_not_ask_are_named() {
    let test = "sources_that_the_script_does_not_ask_are_named";
    let Some(m) = machine(test) else { return };
    m.local.write("nsswitch.conf", "passwd: files [NOTFOUND=return] sss\ngroup: files systemd\n");
    let nssbox = common::nssbox().display();
    let text = |options: &str| {
        // It refuses to be started twice, after the warning.
        let script = format!("{nssbox} nscd {options}");
        m.run(&script, true).stderr
    };
    let warned = text("");
    for named in ["for passwd what this nscd does not ask: sss;", "does not ask: systemd;"] {
        assert!(warned.contains(named), "{warned}");
    }
    assert!(!text("-q").contains("does not ask"));
}
