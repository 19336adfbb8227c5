//! A site of 2,000 users and 300 groups, some of them in each other: what changes in its directory is seen
//! by `watch`, and by programs of glibc, which ask our nscd.

use super::slapd::{Slapd, Sync, account_ldif, no_ldapmodify, places_ldif};
use super::watch::{Running, config};
use crate::support::directory::{Machine, no_machine};
use crate::support::{have_program, run_to_end, skip, wait_until};
use std::fmt::Write as _;
use std::process::{Child, Stdio};

const USERS: u32 = 2000;
/// Those of 20 members each. Behind them: ten of which each is in the one before, and a large one.
const GROUPS: u32 = 289;
const NESTED: u32 = 10;
const LARGE: u32 = 10_000;

fn ldif() -> String {
    let mut text = places_ldif("site");
    for n in 0..USERS {
        text += &account_ldif("site", &format!("s{n}"), &format!("Site {n}"), 40_000 + n, 50_000);
    }
    let mut group = |name: &str, gid: u32, members: &mut dyn Iterator<Item = String>| {
        let _ = write!(
            text,
            "\ndn: cn={name},ou=sitegroup,dc=example,dc=org\nobjectClass: dnGroup\ncn: {name}\ngidNumber: {gid}\n"
        );
        for member in members {
            let _ = writeln!(text, "member: {member},dc=example,dc=org");
        }
    };
    for n in 0..GROUPS {
        let mut members = (0..20).map(|m| format!("uid=s{},ou=site", (n * 7 + m * 97) % USERS));
        group(&format!("g{n}"), 50_000 + n, &mut members);
    }
    for n in 0..NESTED {
        let own = format!("uid=s{n},ou=site");
        let inner = format!("cn=nest{},ou=sitegroup", n + 1);
        // The last one is in a circle.
        let inner = if n + 1 < NESTED { inner } else { "cn=nest0,ou=sitegroup".to_owned() };
        group(&format!("nest{n}"), 51_000 + n, &mut [own, inner].into_iter());
    }
    group("large", 52_000, &mut (0..LARGE).map(|n| format!("uid=s{n},ou=site")));
    text
}

fn site(slapd: &Slapd) -> String {
    config(slapd, "watch_interval = 1\nldap_rfc2307bis = yes\nldap_nested_groups = users\n")
        .replace("ou=people,", "ou=site,")
        .replace("ou=group,", "ou=sitegroup,")
        .replace("posixGroup", "dnGroup")
}

/// Our nscd there, which ends with the test.
struct Nscd(Child);

impl Nscd {
    #[track_caller]
    fn start(machine: &Machine) -> Nscd {
        let script = "mkdir -p /run/nscd && exec \"$0\" nscd -q 3 nsssd-unix '' 0 nsssd-cache ''";
        let mut command = machine.shell(script);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("nscd");
        let socket = machine.dir.join("run/nscd/socket");
        wait_until("nscd listens", || socket.exists());
        Nscd(child)
    }
}

impl Drop for Nscd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What glibc's getent prints there.
fn getent(machine: &Machine, words: &str) -> String {
    let done = run_to_end(machine.shell(&format!("exec /usr/bin/getent {words}")));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn what_changes_is_seen_by_programs_of_glibc() {
    let test = "what_changes_is_seen_by_programs_of_glibc";
    if no_machine(test) || no_ldapmodify(test) {
        return;
    }
    if !have_program("/usr/bin/getent") {
        return skip(test, "no getent of glibc");
    }
    for sync in [Sync::Plain, Sync::No] {
        let Some(slapd) = Slapd::start(test, sync, &ldif()) else { return };
        let machine = Machine::with(&site(&slapd));
        let _watch = Running::start(&machine);
        let _nscd = Nscd::start(&machine);
        assert_eq!(machine.text("passwd.cache").lines().count(), USERS as usize);
        assert_eq!(machine.text("group.cache").lines().count(), 300);
        let expect = |what: &str, words: &str, want: &str| {
            wait_until(&format!("{sync:?}: {what}"), || getent(&machine, words) == want);
        };
        // (No hash is known: nobody logs in by password. doc/nscd.md, "The password field")
        let user = |name: &str, n: u32, shell: &str| {
            format!("{name}:*:{}:50000:Site {n}:/home/s{n}:{shell}\n", 40_000 + n)
        };
        expect("a user is there", "passwd s1999", &user("s1999", 1999, "/bin/sh"));
        expect("by his number, too", "passwd 41999", &user("s1999", 1999, "/bin/sh"));
        // All of the groups in it, and itself in a circle.
        let nested = |more: &str| {
            let names: Vec<String> = (0..NESTED - 1).map(|n| format!("s{n}")).collect();
            format!("nest0:*:51000:{},{more}s9\n", names.join(","))
        };
        expect("groups in groups", "group nest0", &nested(""));
        let large = getent(&machine, "group large");
        assert_eq!(large.trim_end().split([':', ',']).count(), 3 + LARGE as usize);
        // Add, change, rename, delete.
        slapd.change(
            "dn: uid=new,ou=site,dc=example,dc=org\nchangetype: add\nobjectClass: account\n\
             objectClass: posixAccount\nuid: new\ncn: Site 5000\nuidNumber: 45000\ngidNumber: 50000\n\
             homeDirectory: /home/s5000\nloginShell: /bin/sh\n\n\
             dn: cn=nest9,ou=sitegroup,dc=example,dc=org\nchangetype: modify\nadd: member\n\
             member: uid=new,ou=site,dc=example,dc=org\n",
        );
        expect("somebody new", "passwd new", &user("new", 5000, "/bin/sh"));
        expect("in a group within nine", "group nest0", &nested("new,"));
        expect("his groups", "initgroups new", &{
            let gids: Vec<String> = (0..NESTED).map(|n| (51_000 + n).to_string()).collect();
            format!("new                   {}\n", gids.join(" "))
        });
        slapd.change(
            "dn: uid=new,ou=site,dc=example,dc=org\nchangetype: modify\nreplace: loginShell\nloginShell: /bin/ksh\n",
        );
        expect("another shell", "passwd 45000", &user("new", 5000, "/bin/ksh"));
        slapd.change(
            "dn: uid=new,ou=site,dc=example,dc=org\nchangetype: modrdn\nnewrdn: uid=newer\ndeleteoldrdn: 1\n",
        );
        expect("another name", "passwd newer", &user("newer", 5000, "/bin/ksh"));
        expect("and not the old one", "passwd new", "");
        slapd.change("dn: uid=newer,ou=site,dc=example,dc=org\nchangetype: delete\n");
        expect("nobody", "passwd newer", "");
        expect("nor his number", "passwd 45000", "");
        slapd.change("dn: cn=large,ou=sitegroup,dc=example,dc=org\nchangetype: delete\n");
        expect("no large group", "group 52000", "");
        machine.expect(0, &["update", "--full"]);
        assert_eq!(machine.text("passwd.cache").lines().count(), USERS as usize);
    }
}
