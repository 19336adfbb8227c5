//! Fields, as root and as nobody sees them.

use super::ldap::with_nslcd;
use super::machine::{GROUP_FIELDS, HASH, PROGRAMS};
use super::second::{SECOND, with_second};
use std::fmt::Write as _;
use std::fs;

/// Which source shadow is asked of decides whether `x` stays; its module is missing here.
#[test]
fn an_x_stays_where_its_own_service_is_asked_for_shadow() {
    let test = "an_x_stays_where_its_own_service_is_asked_for_shadow";
    let sources = [
        // nsswitch.conf, then the field of a user of nslcd, of a second directory, of a server.
        ("passwd: files\nshadow: files\n", ["*", "*", "*"]),
        ("passwd: files\nshadow: files ldap\n", ["x", "*", "x"]),
        ("passwd: files ldap\n", ["x", "*", "x"]),
        ("passwd: files ldap\nshadow: files\n", ["*", "*", "*"]),
        ("shadow: files sss # ldap\n", ["*", "*", "x"]),
        ("shadow:compat systemd\n", ["*", "*", "*"]),
        ("shadow: files [NOTFOUND=continue]\tldap\n", ["x", "*", "x"]),
        ("passwd: files\nshadow: files [SUCCESS=merge] extrausers\n", ["*", "*", "x"]),
        ("#shadow: ldap\nhosts: ldap\n", ["*", "*", "*"]),
    ];
    let mut wrong = String::new();
    for (switch, fields) in sources {
        let scripts = [
            "3 nsssd-unix '' 0 nsssd-nslcd /run/fake ''",
            "3 nsssd-unix '' 0 nsssd-unix -d /mnt/d2 ''",
            "-s /run/nsssd",
        ];
        for ((script, user), field) in scripts.iter().zip(["l-x", "d-x", "d-x"]).zip(fields) {
            let Some(mut machine) = with_nslcd(test) else { return };
            machine.second("d2", 2000, &SECOND);
            machine.switch(switch);
            machine.start("up ipcserver -1 /run/nsssd nsssd-switch 3 nsssd-unix '' 0 nsssd-unix -d /mnt/d2 ''");
            machine.ours(script);
            let table = format!("{user} {field} {field}");
            let (differences, _) = machine.differences(&PROGRAMS[14..], &table);
            if !differences.is_empty() {
                let _ = writeln!(wrong, "{switch:?}, {script}:\n{differences}");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// An own shadow file that nscd may not open: said, and a field is as if it had every name.
#[test]
fn a_shadow_file_that_cannot_be_opened() {
    let Some(mut machine) = with_second("a_shadow_file_that_cannot_be_opened") else { return };
    machine.etc("passwd", &[("root", "x"), ("in-passwd", "HASH")], "");
    machine.dir.write("etc/nssmap.conf", "virtual:x:15000:100:mapped:/home:/etc/welcome\n");
    machine.start("mkdir /home/zoe");
    let script = "3 nsssd-unix '' 3 nsssd-unix -d /mnt/d2 '' 0 nsssd-map -r home ''";
    machine.ours(&format!("-u 65533 -g 65534 {script}"));
    let said = machine.expect_columns(
        &PROGRAMS[14..],
        "
    root       x     x
    in-passwd  hash  hash
    d-hash     hash  hash
    d-x        x     x
    d-x-line   x     x
    d-star     *     *
    zoe        *     *
",
    );
    assert!(said.contains("/etc/shadow"), "it is said at start: {said}");
}

/// A group's field: gshadow is never looked at.
#[test]
fn groups() {
    let Some(mut machine) = with_nslcd("groups") else { return };
    let lines = |prefix: &str, gid: u32| {
        let fields = [("hash", HASH), ("x", "x"), ("star", "*"), ("bang", "!"), ("empty", "")];
        let line = |(at, (name, field)): (u32, (&str, &str))| {
            format!("{prefix}-{name}:{field}:{}:\n", gid + at)
        };
        (0..).zip(fields).map(line).collect::<String>()
    };
    let own = fs::read_to_string(machine.dir.join("etc/group")).unwrap();
    machine.dir.write("etc/group", own + &lines("own", 600));
    for (name, gid) in [("d2", 700), ("d3", 800)] {
        machine.second(name, 2000, &[]);
        machine.dir.write(&format!("mnt/{name}/group"), lines(name, gid));
    }
    machine.dir.chmod("mnt/d3/group", 0o600);
    machine.start(
        "up ipcserver -1 /run/nsssd nsssd-switch 3 nsssd-unix '' 0 nsssd-unix -d /mnt/d2 ''",
    );
    let own = "
    own-hash   hash   hash
    own-x      x      x
    own-star   *      *
    own-bang   !      !
    own-empty  empty  empty
";
    machine.expect_columns(&GROUP_FIELDS, own);
    machine.ours("3 nsssd-unix '' 3 nsssd-unix -d /mnt/d2 '' 0 nsssd-unix -d /mnt/d3 ''");
    let table = format!(
        "{own}
    d2-hash    hash   hash
    d2-x       x      x
    d2-star    *      *
    d2-bang    !      !
    d2-empty   empty  empty
    d3-hash    hash   *
    d3-x       x      x
    d3-bang    !      !
    d3-empty   empty  empty
"
    );
    machine.expect_columns(&GROUP_FIELDS, &table);
}
