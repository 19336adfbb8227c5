//! Groups whose members are other entries, and what an update hears of.

use super::slapd::{Slapd, Sync, no_ldapmodify};
use super::watch::{Running, config};
use crate::support::directory::{Machine, no_machine};
use crate::support::wait_until;
use std::fmt::Write as _;

/// A group of 10,000 names and one of 10,000 DNs, both sorted, each member once.
#[test]
fn large_groups_are_whole() {
    let test = "large_groups_are_whole";
    if no_machine(test) {
        return;
    }
    let mut more = String::from(
        "\n\ndn: cn=large,ou=group,dc=example,dc=org\nobjectClass: posixGroup\ncn: large\ngidNumber: 30001\n",
    );
    for n in (0..10_000).rev() {
        let _ = writeln!(more, "memberUid: member{n:05}");
    }
    more += "\ndn: cn=dns,ou=dngroup,dc=example,dc=org\nobjectClass: dnGroup\ncn: dns\ngidNumber: 30002\n";
    for n in (0..10_000).rev() {
        let _ = writeln!(more, "member: uid=member{n:05},ou=people,dc=example,dc=org");
    }
    let Some(slapd) = Slapd::start(test, Sync::Plain, &more) else { return };
    let want: Vec<String> = (0..10_000).map(|n| format!("member{n:05}")).collect();
    let want = want.join(",");
    let machine = Machine::with(&config(&slapd, ""));
    machine.expect(0, &["update", "-m", "group"]);
    assert!(machine.text("group.cache").contains(&format!("\nlarge:*:30001:{want}\n")));
    let text = config(&slapd, "ldap_rfc2307bis = yes").replace("ou=group,", "ou=dngroup,");
    machine.config(&text.replace("posixGroup", "dnGroup"));
    machine.expect(0, &["update", "--accept-shrink", "-m", "group"]);
    assert!(machine.text("group.cache").contains(&format!("\ndns:*:30002:{want}\n")));
}

/// A user's own name, not that of his DN; a change of it arrives in the groups.
#[test]
fn members_are_called_as_their_entries_say() {
    let test = "members_are_called_as_their_entries_say";
    if no_machine(test) || no_ldapmodify(test) {
        return;
    }
    let more = "\n\ndn: cn=Jane Doe,ou=users,ou=ad,dc=example,dc=org\nobjectClass: adUser\ncn: Jane Doe\n\
        sAMAccountName: jdoe\nobjectSid:: AQUAAAAAAAUVAAAAPRK3S0WnjeJ3Wv+zWAQAAA==\n\n\
        dn: cn=resolved,ou=groups,ou=ad,dc=example,dc=org\nobjectClass: adGroup\ncn: resolved\n\
        sAMAccountName: resolved\nobjectSid:: AQUAAAAAAAUVAAAAPRK3S0WnjeJ3Wv+ztAQAAA==\n\
        member: CN=Jane\\20Doe,OU=users,ou=ad,dc=example,dc=org\nmember: cn=ops,ou=groups,ou=ad,dc=example,dc=org\n\
        member: cn=nobody,ou=users,ou=ad,dc=example,dc=org\n";
    let Some(slapd) = Slapd::start(test, Sync::Plain, more) else { return };
    let text = config(&slapd, "ldap_ad = yes\nldap_nested_groups = users\n")
        .replace("ou=people,", "ou=users,ou=ad,")
        .replace("posixAccount", "adUser")
        .replace("ou=group,", "ou=groups,ou=ad,")
        .replace("posixGroup", "adGroup");
    let machine = Machine::with(&text);
    machine.expect(0, &["update"]);
    let line = |machine: &Machine| {
        let text = machine.text("group.cache");
        text.lines().find(|line| line.starts_with("resolved:")).unwrap().to_owned()
    };
    // Nobody knows who `nobody` is; the group itself is left out, its members are there.
    assert_eq!(line(&machine), "resolved:*:1204:jdoe,Ad.User3");
    let _watch = Running::start(&machine);
    slapd.change(
        "dn: cn=Jane Doe,ou=users,ou=ad,dc=example,dc=org\nchangetype: modify\nreplace: sAMAccountName\nsAMAccountName: jroe\n",
    );
    wait_until("her group has her new name", || line(&machine) == "resolved:*:1204:jroe,Ad.User3");
}

/// A cookie that the server does not know, or never gave, is no reason to miss anything.
#[test]
fn a_cookie_of_nobody_brings_the_whole_map() {
    let test = "a_cookie_of_nobody_brings_the_whole_map";
    if no_machine(test) || no_ldapmodify(test) {
        return;
    }
    for sync in [Sync::Plain, Sync::SessionLog] {
        let Some(slapd) = Slapd::start(test, sync, "") else { return };
        let machine = Machine::with(&config(&slapd, ""));
        for cookie in [
            "rubbish",
            "rid=000,csn=",
            "rid=000,csn=20000101000000.000000Z#000000#000#000000",
            "rid=000,csn=20990101000000.000000Z#000000#000#000000",
            "rid=000,csn=20200101000000.000000Z#000000#001#000000",
        ] {
            machine.expect(0, &["update", "--full"]);
            let hex: String = cookie.bytes().map(|byte| format!("{byte:02x}")).collect();
            let path = machine.dir.join("lib/rows-passwd");
            let table = std::fs::read(&path).unwrap();
            let at = |what: &[u8]| table.windows(what.len()).position(|part| part == what).unwrap();
            let from = at(b"cookie ") + 7;
            let to = from + table[from..].iter().position(|byte| *byte == b'\n').unwrap();
            std::fs::write(&path, [&table[..from], hex.as_bytes(), &table[to..]].concat()).unwrap();
            let shell = format!("/bin/{}", cookie.len());
            slapd.change(&format!(
                "dn: uid=bob,ou=people,dc=example,dc=org\nchangetype: modify\nreplace: loginShell\nloginShell: {shell}\n"
            ));
            // A state that is yet to come is one in which the server has told all.
            let words: &[&str] =
                if cookie.contains("2099") { &["update", "--full"] } else { &["update"] };
            let finished = machine.nsscache(&[&["-v"], words].concat());
            assert_eq!(finished.code, Some(0), "{cookie}: {}", finished.stderr);
            let text = machine.text("passwd.cache");
            assert!(
                text.contains(&format!(":{shell}\n")),
                "{sync:?} {cookie}: {}",
                finished.stderr
            );
        }
    }
}

/// The table of a map.
fn table(machine: &Machine) -> Vec<u8> {
    std::fs::read(machine.dir.join("lib/rows-passwd")).unwrap()
}

/// What changes elsewhere makes the server tell of all that is present, once.
#[test]
fn a_state_of_the_server_is_kept_where_nothing_of_the_map_changed() {
    let test = "a_state_of_the_server_is_kept_where_nothing_of_the_map_changed";
    if no_machine(test) || no_ldapmodify(test) {
        return;
    }
    let Some(slapd) = Slapd::start(test, Sync::Plain, "") else { return };
    let machine = Machine::with(&config(&slapd, ""));
    machine.expect(0, &["update"]);
    let (data, before) = (machine.text("passwd.cache"), table(&machine));
    slapd.change(
        "dn: cn=elsewhere,ou=group,dc=example,dc=org\nchangetype: add\nobjectClass: posixGroup\n\
         cn: elsewhere\ngidNumber: 30200\n",
    );
    let finished = machine.expect(0, &["-v", "update", "-m", "passwd"]);
    assert!(finished.stderr.contains("nothing new"), "{}", finished.stderr);
    let after = table(&machine);
    assert_ne!(after, before);
    assert_eq!(after.len(), before.len());
    machine.expect(0, &["update", "-m", "passwd"]);
    assert_eq!(table(&machine), after);
    // It still is one.
    slapd.change("dn: uid=carol,ou=people,dc=example,dc=org\nchangetype: delete\n");
    let finished = machine.expect(0, &["-v", "update", "-m", "passwd"]);
    assert!(finished.stderr.contains("1 removed, "), "{}", finished.stderr);
    assert!(finished.stderr.contains(", 0 bytes"), "{}", finished.stderr);
    assert_ne!(machine.text("passwd.cache"), data);
}

/// Whoever puts two names into one member has his own group dropped, and holds up nobody else.
#[test]
fn a_member_that_is_two_drops_its_group_alone() {
    let test = "a_member_that_is_two_drops_its_group_alone";
    if no_machine(test) || no_ldapmodify(test) {
        return;
    }
    for sync in [Sync::SessionLog, Sync::No] {
        let Some(slapd) = Slapd::start(test, sync, "") else { return };
        let text = config(&slapd, "ldap_rfc2307bis = yes\nwatch_interval = 1\n")
            .replace("ou=group,", "ou=dngroup,");
        let machine = Machine::with(&text.replace("posixGroup", "dnGroup"));
        machine.expect(0, &["update"]);
        let _watch = Running::start(&machine);
        let group = |name: &str, gid: u32, member: &str| {
            format!(
                "dn: cn={name},ou=dngroup,dc=example,dc=org\nchangetype: add\nobjectClass: dnGroup\ncn: {name}\n\
                 gidNumber: {gid}\nmember: {member},dc=example,dc=org\n\n"
            )
        };
        slapd.change(&group("evil", 30_100, "uid=a\\2Croot,ou=people"));
        slapd.change(&group("good", 30_101, "uid=ada,ou=people"));
        wait_until(&format!("{sync:?}: the other one is there"), || {
            machine.text("group.cache").contains("\ngood:*:30101:ada\n")
        });
        assert!(!machine.text("group.cache").contains("evil"));
        machine.expect(0, &["update"]);
        // Mended, it is one.
        slapd.change(
            "dn: cn=evil,ou=dngroup,dc=example,dc=org\nchangetype: modify\nreplace: member\n\
             member: uid=bob,ou=people,dc=example,dc=org\n",
        );
        wait_until(&format!("{sync:?}: it is there, too"), || {
            machine.text("group.cache").contains("\nevil:*:30100:bob\n")
        });
    }
}
