//! `nscd` over a map: mapped users, and uids that no file knows, have names in programs of both C
//! libraries; local users stay as they were.
#![cfg(feature = "nsssd-map")]

use super::machine::{Machine, musl_lookup};
use crate::support::nscd::{Bench, ask, asked, no_user, read_to_end, request, user};
use crate::support::{Connection, have_program, skip};
use std::fs;

/// A user for each home, and a name for each number of a platform's range: one that tells the
/// number, and one that all of them share.
const MAP: &str = "nssmap 2
uids 1000000000-1000000099
  template app:x:=:0:Application:/app:/bin/sh
uids 1000650000-1000659999
  template u%u:x:=:0:Number:/app:/bin/sh
gids 1000650000-1000659999
  template g%u:x:=:
map *
  template mapped:x:777:777:Mapped:DIR/home:/bin/sh
  require home
  groups users
";

/// A bench with a map, and the words of the backend.
fn furnish(bench: Bench) -> (Bench, [String; 3]) {
    let home = bench.dir.subdirectory("home");
    fs::create_dir(home.join("alice")).unwrap();
    let file = bench.dir.write("map.conf", MAP.replace("DIR", bench.dir.as_str()));
    let words = ["nsssd-map".to_owned(), "-f".to_owned(), file.to_str().unwrap().to_owned()];
    (bench, words)
}

fn machine(test: &str) -> Option<Machine> {
    let (bench, words) = furnish(Machine::bench(test, "", "")?);
    Machine::new(test, bench, &words.each_ref().map(String::as_str))
}

fn alice(m: &Machine) -> String {
    format!("alice:*:777:777:Mapped:{}/home/alice:/bin/sh\n", m.bench.dir.as_str())
}

const NUMBER: &str = "u1000650000:*:1000650000:0:Number:/app:/bin/sh\n";

#[test]
fn programs_of_glibc_see_mapped_users_and_arbitrary_uids() {
    let test = "programs_of_glibc_see_mapped_users_and_arbitrary_uids";
    let Some(m) = machine(test) else { return };
    m.expect("getent passwd alice", &alice(&m));
    m.expect("id alice", "uid=777(local) gid=777(local) groups=100(users),777(local)\n");
    m.expect("getent passwd 1000650000 u1000650000", &NUMBER.repeat(2));
    m.expect("getent group 1000650001", "g1000650001:x:1000650001:\n");
    m.expect(
        "f=/run/f; : >$f; chown alice $f && stat -c %u:%U $f; chown 1000650000:1000650000 $f && \
         ls -l $f | cut -d' ' -f3,4",
        "777:local\nu1000650000 g1000650000\n",
    );
    m.expect("setpriv --reuid 1000000007 --clear-groups sh -c 'whoami; id -un'", "app\napp\n");
    // By a name that all numbers share: the one who asks.
    let as_uid = |uid: &str| format!("setpriv --reuid {uid} --clear-groups getent passwd app");
    m.expect(&as_uid("1000000007"), "app:*:1000000007:0:Application:/app:/bin/sh\n");
    assert_eq!(m.run(&as_uid("4242"), true).code, Some(2));
    // Nobody else appears, and local users stay as they were.
    let script = "getent passwd local bob nobody; id -un local; stat -c %U /";
    let text = "local:*:777:777:Local:/:/bin/sh\nlocal\nroot\n";
    for served in [true, false] {
        assert_eq!(String::from_utf8_lossy(&m.run(script, served).stdout), text, "{served}");
    }
}

#[test]
fn scripts_and_ssh_see_mapped_users_and_arbitrary_uids() {
    let test = "scripts_and_ssh_see_mapped_users_and_arbitrary_uids";
    let Some(m) = machine(test) else { return };
    for program in ["perl", "python3", "ssh-keygen", "setpriv"] {
        if !have_program(program) {
            return skip(test, &format!("no {program}"));
        }
    }
    m.expect("perl -e 'print join(\":\", (getpwnam \"alice\")[0,2]), \"\\n\"'", "alice:777\n");
    m.expect(
        "python3 -c 'import os, pwd\nprint(pwd.getpwuid(1000650000).pw_name, \
         os.getgrouplist(\"alice\", 777))'",
        "u1000650000 [100, 777]\n",
    );
    // It refuses to run for a uid without a name.
    let keygen = "setpriv --reuid 1000650000 --clear-groups ssh-keygen -q -t ed25519 -N '' \
                  -f /dev/stdout </dev/null 2>&1 | grep -c 'No user exists' || :";
    m.expect(keygen, "0\n");
    m.expect("setpriv --reuid alice --regid 777 --init-groups id -G", "777 100\n");
}

#[test]
fn programs_of_musl_see_mapped_users_and_arbitrary_uids() {
    let test = "programs_of_musl_see_mapped_users_and_arbitrary_uids";
    let Some(m) = machine(test) else { return };
    for how in ["-static", "-rdynamic"] {
        let Some(program) = musl_lookup(test, &m.local, how) else { return };
        let program = program.display();
        m.expect(&format!("{program} passwd alice"), &alice(&m));
        m.expect(&format!("{program} passwd 1000650000 u1000650000"), &NUMBER.repeat(2));
        m.expect(&format!("{program} group 1000650000"), "g1000650000:x:1000650000:\n");
        let local = m.run(&format!("{program} passwd local bob"), true);
        let text = "local:*:777:777:Local:/:/bin/sh\n!bob: not found\n";
        assert_eq!(String::from_utf8_lossy(&local.stdout), text, "{}", local.stderr);
    }
}

#[test]
fn a_uid_above_the_range_and_a_name_out_of_place_are_not_found() {
    let (bench, words) = furnish(Bench::new("", ""));
    let server = bench.start(&[], &[(0, &words.each_ref().map(String::as_str))]);
    let names = ["../../root", "", "root", "u1000649999", "u01000650000", "u4294967296", "a:b"];
    for name in names {
        let got = asked(server.socket(), &request(ask::USER, name));
        assert_eq!(got, no_user(), "{name}");
    }
    for uid in ["999999999", "1000660000", "4294967295", "4294967296", "01000650000"] {
        assert_eq!(asked(server.socket(), &request(ask::UID, uid)), no_user(), "{uid}");
    }
    // Half a key, then the rest.
    let whole = request(ask::UID, "1000650000");
    let client = Connection::connect(server.socket());
    client.send(&whole[..15]);
    client.send(&whole[15..]);
    assert_eq!(read_to_end(&client), user(NUMBER.trim_end()));
}
