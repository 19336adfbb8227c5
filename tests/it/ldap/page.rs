//! The set-ups of doc/nsscache.md: each as the page has it, but for names of hosts.

use super::slapd::{Slapd, Sync, no_ldapmodify};
use super::watch::Running;
use crate::support::directory::{Machine, no_machine};
use crate::support::{TempDir, wait_until};

const PAGE: &str = include_str!("../../../doc/nsscache.md");

/// The indented block behind the paragraph that has these words.
#[track_caller]
fn block(words: &str) -> String {
    let (_, rest) = PAGE.split_once(words).unwrap_or_else(|| panic!("the page has no \"{words}\""));
    let (_, rest) = rest.split_once("\n\n").unwrap();
    rest.lines()
        .map_while(|line| line.strip_prefix("    "))
        .fold(String::new(), |text, line| text + line + "\n")
}

/// A reader with a password, and a password for a user.
const READER: &str = "\n\ndn: cn=reader,dc=example,dc=org\nobjectClass: organizationalRole\n\
    objectClass: simpleSecurityObject\ncn: reader\nuserPassword: let-me\n\n\
    dn: uid=hashed,ou=people,dc=example,dc=org\nobjectClass: account\nobjectClass: posixAccount\n\
    objectClass: shadowAccount\nuid: hashed\ncn: Hashed\nuidNumber: 29000\ngidNumber: 20000\n\
    homeDirectory: /home/hashed\nuserPassword: {CRYPT}$6$salt$hash\nshadowLastChange: 19000\n";

/// With the secret where the page has it, and this server in place of the page's.
fn machine(text: &str, slapd: &Slapd) -> Machine {
    let machine = Machine::new();
    machine.dir.write("etc/nsscache.secret", "let-me\n");
    machine.dir.chmod("etc/nsscache.secret", 0o600);
    let text: String = text
        .lines()
        .map(|line| match line.starts_with("ldap_uri") {
            true => format!("ldap_uri = {}\nlockfile = /run/nsscache.lock\n", slapd.uri()),
            false => format!("{line}\n"),
        })
        .collect();
    machine.config(&text);
    machine
}

#[test]
fn openldap_as_the_page_has_it() {
    let test = "openldap_as_the_page_has_it";
    if no_machine(test) || no_ldapmodify(test) {
        return;
    }
    let lines = block("slapd hands out pages of a whole map");
    let (module, database) = lines.split_once('\n').unwrap();
    let slapd = Slapd::with(test, Sync::No, READER, TempDir::new(), |_, conf| {
        // Nobody but the reader gets whole maps, or passwords.
        conf.replace("back_mdb.la\n", &format!("back_mdb.la\n{module}\n"))
            .replace("limits    * size.prtotal=unlimited\n", "")
            .replace(",entryCSN eq", " eq")
            + database
            + "access to attrs=userPassword by dn.exact=\"cn=reader,dc=example,dc=org\" read by * auth\n\
               access to * by * read\n"
    });
    let Some(slapd) = slapd else { return };
    let machine = machine(&block("OpenLDAP, with accounts as in RFC 2307"), &slapd);
    machine.expect(0, &["check-config"]);
    let _watch = Running::start(&machine);
    for map in ["passwd", "group", "shadow"] {
        let status = machine.expect(0, &["status", "--json", "-m", map]).stdout;
        let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
        assert_eq!(status[0]["watch"], "follows the source", "{map}: {status}");
        assert!(machine.text(&format!("{map}.cache")).lines().count() > 5, "{map}");
    }
    let shadow = machine.text("shadow.cache");
    assert!(shadow.contains("\nhashed:$6$salt$hash:19000:"), "{shadow}");
    assert_eq!(machine.mode("etc/shadow.cache"), (0o640, 0, 42));
    slapd.change(
        "dn: uid=hashed,ou=people,dc=example,dc=org\nchangetype: modify\nreplace: userPassword\n\
         userPassword: {CRYPT}$6$salt$other\n",
    );
    wait_until("the hash is another", || {
        machine.text("shadow.cache").contains("\nhashed:$6$salt$other:")
    });
}

/// slapd with entries that look like those of Active Directory: the filters are others.
#[test]
fn active_directory_as_the_page_has_it() {
    let test = "active_directory_as_the_page_has_it";
    if no_machine(test) {
        return;
    }
    let Some(slapd) = Slapd::start(test, Sync::No, READER) else { return };
    let text = block("Active Directory; names are those")
        .replace("cn=reader,cn=Users,", "cn=reader,")
        .replace("cn=Users,", "ou=ad,");
    let (users, groups) = ("(objectClass=adUser)", "(objectClass=adGroup)");
    let text: String = text
        .lines()
        .map(|line| match line.strip_prefix("ldap_filter = ") {
            Some("(objectClass=group)") => format!("ldap_filter = {groups}\n"),
            Some(filter) => {
                assert!(filter.contains("(objectClass=user)"), "{filter}");
                format!("ldap_filter = {users}\n")
            }
            None => format!("{line}\n"),
        })
        .collect();
    let machine = machine(&text, &slapd);
    machine.expect(0, &["check-config"]);
    machine.expect(0, &["update"]);
    let users = machine.text("passwd.cache");
    assert!(users.lines().count() > 2, "{users}");
    for line in users.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        assert!(fields[2].parse::<u32>().unwrap() > 200_000, "{line}");
        assert_eq!(fields[6], "/bin/sh", "{line}");
    }
    assert!(machine.text("group.cache").lines().count() > 2);
}
