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
