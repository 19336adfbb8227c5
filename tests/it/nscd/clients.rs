//! `nscd` and the programs that nobody recompiled: those of glibc, and a client built with musl.

use super::machine::{Machine, musl_lookup};
use crate::support::{self, have_program, nssbox, peer, skip};

/// What the server knows besides the local files.
const PASSWD: &str = "netuser:*:70001:70001:Net User:/home/net:/bin/sh\n";
const GROUP: &str = "netgroup:x:70001:\nnetstaff:x:70002:netuser,other\nusers:x:100:netuser\n";

fn machine(test: &str) -> Option<Machine> {
    Machine::with_files(test, PASSWD, GROUP)
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
    let text = "local:*:777:777:Local:/:/bin/sh\nlocal\n2\nroot\n";
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

/// nscd's list has memberships alone, in the order of the file; the primary group is added by whoever
/// asks.
#[test]
fn the_primary_group_is_added_by_those_who_ask() {
    let test = "the_primary_group_is_added_by_those_who_ask";
    if !have_program("python3") {
        return skip(test, "no python3");
    }
    let group = "z:x:70009:u\na:x:70003:u\nown:x:70001:\nm:x:70005:x,u\n";
    let Some(m) = Machine::with_files(test, "u:x:70001:70001:::\n", group) else { return };
    let real = "python3 -c 'import os; print(*os.getgrouplist(\"u\", 70001))'";
    m.expect(real, "70009 70003 70005 70001\n");
    m.expect("getent initgroups u", "u                     70009 70003 70005\n");
    // Ours, by the same nscd.
    let ours = nssbox().display();
    m.expect(&format!("{ours} getent initgroups u"), "u                     70009 70003 70005\n");
    m.expect(&format!("{ours} id -G u"), "70001 70009 70003 70005\n");
    m.expect(&format!("{ours} groups u"), "u : own z a m\n");
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
    let Some(m) = Machine::with_files(test, PASSWD, &line) else { return };
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
    let nssbox = support::nssbox().display();
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

#[test]
fn debians_nscd_as_a_client_is_answered_and_ends_it() {
    let test = "debians_nscd_as_a_client_is_answered_and_ends_it";
    let Some(m) = machine(test) else { return };
    let Some(nscd) = peer(test, "nscd", "usr/sbin/nscd") else { return };
    let nscd = nscd.display();
    m.expect(&format!("{nscd} -i passwd && {nscd} -i group && echo done"), "done\n");
    m.run(&format!("{nscd} -g"), true);
    m.expect("getent passwd netuser", PASSWD);
    m.expect(&format!("{nscd} -K && echo done"), "done\n");
    let gone = m.run("while [ -e /run/nscd/socket ]; do :; done; getent passwd netuser", true);
    assert_eq!(gone.code, Some(2), "{}", gone.stderr);
}
