//! `nsssd-map` with a uid for each user: the registry, the scan, collisions, pins.
#![cfg(feature = "nsssd-map")]

use crate::support::map::{ALICE, BOB, Host, NOT_FOUND, SHARED, uid, uid_of, user};
use crate::support::{
    self, Daemon, by_id, by_name, group_reply, grouplist, grouplist_reply, is_root, nsssd, op,
    procfs, skip, tool, wait_until,
};
use std::fs;
use std::os::unix::fs::{chown, symlink};

const REGISTRY: &str = "registry DIR/registry";

#[test]
fn users_are_found_by_name_and_by_uid_and_have_a_group() {
    for registry in ["", REGISTRY] {
        let host = Host::new();
        host.range(registry);
        host.homes(&["alice", "bob"]);
        let daemon = host.start(&[]);
        for (name, id) in [("alice", ALICE), ("bob", BOB)] {
            daemon.expect(&user(name), &host.passwd(name, id));
            daemon.expect(&uid(id), &host.passwd(name, id));
            daemon.expect(&by_name(op::GRP_GETBYNAME, name), &group_reply(name, "x", id, &[]));
            daemon.expect(&by_id(op::GRP_GETBYGID, id), &group_reply(name, "x", id, &[]));
            daemon.expect(&grouplist(9, name), &grouplist_reply(9, &[]));
        }
        daemon.expect(&user("carol"), &NOT_FOUND);
        daemon.expect(&uid(1_980_941_979), &NOT_FOUND);
        // A home that comes and one that goes are seen at once.
        host.homes(&["carol"]);
        daemon.expect(&user("carol"), &host.passwd("carol", 1_980_941_979));
        daemon.expect(&uid(1_980_941_979), &host.passwd("carol", 1_980_941_979));
        fs::remove_dir(host.dir.join("home/alice")).unwrap();
        daemon.expect(&user("alice"), &NOT_FOUND);
        daemon.expect(&uid(ALICE), &NOT_FOUND);
        daemon.expect(&by_id(op::GRP_GETBYGID, ALICE), &NOT_FOUND);
    }
}

#[test]
fn the_registry_holds_admitted_names_only() {
    let host = Host::new();
    host.range(REGISTRY);
    host.homes(&["alice"]);
    let daemon = host.start(&[]);
    for refused in ["nosuch", "root", "../alice", "Alice", "mysql"] {
        daemon.expect(&user(refused), &NOT_FOUND);
    }
    for _ in 0..3 {
        assert_eq!(uid_of(&daemon, "alice"), Some(ALICE));
    }
    let text = host.read("registry");
    let words: Vec<&str> = text.trim_end().split(' ').collect();
    assert_eq!((words[0], words[1], words.len()), (ALICE.to_string().as_str(), "alice", 3));
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text}");
}

#[test]
fn an_append_that_was_cut_anywhere_loses_no_earlier_entry() {
    let host = Host::new();
    host.range(REGISTRY);
    let names = ["alice", "bob", "carol"];
    host.homes(&names);
    host.homes(&["zoe"]);
    let first = host.start(&[]);
    let uids = names.map(|name| uid_of(&first, name).unwrap());
    drop(first);
    let whole = host.read("registry");
    for cut in 0..=whole.len() {
        host.dir.write("registry", &whole[..cut]);
        let daemon = host.start(&[]);
        assert_eq!(uid_of(&daemon, "zoe"), Some(1_948_116_860), "cut at {cut}");
        let after = host.read("registry");
        assert!(after.starts_with(&whole[..cut]), "cut at {cut}: {after}");
        let torn = cut > 0 && !whole[..cut].ends_with('\n');
        let added = &after[cut..];
        assert_eq!(added.starts_with('\n'), torn, "cut at {cut}: {after}");
        // Each whole line is still believed by somebody who reads the file anew.
        let reader = host.start(&[]);
        let kept = whole[..cut].matches('\n').count();
        for (name, id) in names.iter().zip(uids).take(kept) {
            reader.expect(&uid(id), &host.passwd(name, id));
        }
        for (name, id) in names.iter().zip(uids) {
            assert_eq!(uid_of(&reader, name), Some(id), "cut at {cut}");
        }
        assert_eq!(uid_of(&reader, "zoe"), Some(1_948_116_860), "cut at {cut}");
    }
}

#[test]
fn a_torn_last_line_is_named_with_its_number() {
    let host = Host::new();
    host.range(REGISTRY);
    host.homes(&["alice"]);
    host.dir.write("registry", format!("{BOB} bob 1\nnonsense\n{BOB} eve 2\n{ALICE} ali"));
    let daemon = host.start(&[]);
    assert_eq!(uid_of(&daemon, "alice"), Some(ALICE));
    let said = daemon.stderr();
    for line in [
        "registry:2: not UID NAME EPOCH; passed over: nonsense",
        "registry:3: its uid has another name already: eve",
        "registry:4: the last line has no newline; passed over",
    ] {
        assert!(said.contains(line), "{said}");
    }
}

#[test]
fn two_processes_share_one_registry() {
    let host = Host::new();
    host.range(REGISTRY);
    host.homes(&["user3469", "user17288"]);
    let (one, other) = (host.start(&[]), host.start(&[]));
    assert_eq!(uid_of(&one, "user3469"), Some(SHARED));
    // The other one has not read the file since.
    assert_eq!(uid_of(&other, "user17288"), None);
    other.expect(&uid(SHARED), &host.passwd("user3469", SHARED));
    assert_eq!(host.read("registry").lines().count(), 1);
}

#[test]
fn a_collision_is_refused_and_named_once_then_cured_by_a_pin() {
    let host = Host::new();
    host.homes(&["user3469", "user17288"]);
    host.range(REGISTRY);
    let daemon = host.start(&[]);
    assert_eq!(uid_of(&daemon, "user3469"), Some(SHARED));
    for _ in 0..3 {
        assert_eq!(uid_of(&daemon, "user17288"), None);
    }
    let said = daemon.stderr();
    let line =
        format!("user17288 is refused: its uid {SHARED} is that of user3469; pin one of them");
    assert_eq!(said.matches(&line).count(), 1, "{said}");
    host.range(&format!("{REGISTRY}\npin user17288 1879048200"));
    let daemon = host.start(&[]);
    assert_eq!(uid_of(&daemon, "user17288"), Some(1_879_048_200));
    assert_eq!(uid_of(&daemon, "user3469"), Some(SHARED));
    daemon.expect(&uid(1_879_048_200), &host.passwd("user17288", 1_879_048_200));
}

#[test]
fn without_a_registry_neither_of_two_that_collide_is_found() {
    let host = Host::new();
    host.homes(&["user3469"]);
    host.range("");
    let daemon = host.start(&[]);
    assert_eq!(uid_of(&daemon, "user3469"), Some(SHARED));
    host.homes(&["user17288"]);
    assert_eq!(uid_of(&daemon, "user17288"), None);
    assert_eq!(uid_of(&daemon, "user3469"), None);
    daemon.expect(&uid(SHARED), &NOT_FOUND);
    assert_eq!(daemon.stderr().matches("is refused: its uid").count(), 1, "{}", daemon.stderr());
    // A pin parts them.
    host.range("pin user17288 1879048200");
    let daemon = host.start(&[]);
    assert_eq!(uid_of(&daemon, "user3469"), Some(SHARED));
    assert_eq!(uid_of(&daemon, "user17288"), Some(1_879_048_200));
    daemon.expect(&uid(SHARED), &host.passwd("user3469", SHARED));
}

#[test]
fn a_new_key_refuses_registered_names_until_they_are_pinned() {
    let host = Host::new();
    host.homes(&["alice", "bob"]);
    host.range(REGISTRY);
    assert_eq!(uid_of(&host.start(&[]), "alice"), Some(ALICE));
    host.dir.chmod("key", 0o600);
    host.dir.write("key", "ffffffffffffffffffffffffffffffff\n");
    host.dir.chmod("key", 0o400);
    let daemon = host.start(&[]);
    assert_eq!(uid_of(&daemon, "alice"), None);
    daemon.expect(&uid(ALICE), &NOT_FOUND);
    assert!(daemon.stderr().contains("alice is refused: its uid would be"), "{}", daemon.stderr());
    assert!(uid_of(&daemon, "bob").is_some_and(|uid| uid != BOB));
    host.range(&format!("{REGISTRY}\npin alice {ALICE}"));
    assert_eq!(uid_of(&host.start(&[]), "alice"), Some(ALICE));
    // A pin that is moved is such a case, too, and is told at the start.
    host.range(&format!("{REGISTRY}\npin alice 1879048300"));
    let daemon = host.start(&[]);
    assert_eq!(uid_of(&daemon, "alice"), None);
    let said = daemon.stderr();
    let line = "nssmap.conf:4: a pin to another uid than the registry has for the name: alice";
    assert!(said.contains(line), "{said}");
}

#[test]
fn nobody_else_gets_a_pinned_uid() {
    let host = Host::new();
    host.homes(&["alice"]);
    host.range(&format!("pin zoe {ALICE}"));
    assert_eq!(uid_of(&host.start(&[]), "alice"), None);
}

#[test]
fn two_hosts_with_one_key_agree_on_ten_thousand_names() {
    let name = "two_hosts_with_one_key_agree_on_ten_thousand_names";
    if !is_root() {
        return skip(name, "mount namespaces need root");
    }
    let host = Host::new();
    // The last one collides with the 3469th, and no other pair of them does.
    let names: Vec<String> =
        (1..10_000).map(|n| format!("user{n}")).chain(["user17288".to_owned()]).collect();
    host.dir.write("names", names.join("\n"));
    let config = |more: &str| {
        let text = format!(
            "nssmap 2\nkey /mnt/key\nregistry /mnt/registry\n{more}\nmap *\n \
             template u:x:1879048192+134217728:=:g:/mnt/home:/bin/sh\n require home\n"
        );
        host.dir.write("conf", text);
    };
    // A host has its own root: here, its own /mnt, which holds all that is asked.
    let start = || {
        let mut command = nsssd(&host.bin, "unshare");
        let script = "mount -t tmpfs host /mnt && cp -p \"$1/key\" \"$1/conf\" /mnt \
                      && mkdir /mnt/home && cd /mnt/home && xargs mkdir < \"$1/names\" \
                      && exec nsssd-map -f /mnt/conf";
        command.args(["-m", "sh", "-c", script, "host"]).arg(host.dir.path());
        Daemon::start(command)
    };
    config("");
    let hosts = [start(), start()];
    let answers: Vec<Vec<Option<u32>>> =
        hosts.iter().map(|h| names.iter().map(|n| uid_of(h, n)).collect()).collect();
    assert!(answers[0] == answers[1], "the hosts do not agree");
    let refused: Vec<&String> =
        names.iter().zip(&answers[0]).filter(|(_, uid)| uid.is_none()).map(|(n, _)| n).collect();
    assert_eq!(refused, ["user17288"]);
    for host in &hosts {
        let said = host.stderr();
        let line = "user17288 is refused: its uid 1999329994 is that of user3469";
        assert!(said.contains(line), "{said}");
    }
    config("pin user17288 1879048200");
    let cured = start();
    assert_eq!(uid_of(&cured, "user3469"), Some(SHARED));
    assert_eq!(uid_of(&cured, "user17288"), Some(1_879_048_200));
}

#[test]
fn an_owned_home_must_belong_to_the_derived_uid() {
    if !is_root() {
        return skip("an_owned_home_must_belong_to_the_derived_uid", "chown needs root");
    }
    let host = Host::new();
    host.config(
        "nssmap 2\nkey DIR/key\nmap *\n template u:x:1879048192+134217728:=:mapped user:DIR/home:/bin/sh\n \
         require owned-home\n",
    );
    host.homes(&["alice", "bob"]);
    chown(host.dir.join("home/alice"), Some(ALICE), Some(ALICE)).unwrap();
    let daemon = host.start(&[]);
    daemon.expect(&user("alice"), &host.passwd("alice", ALICE));
    daemon.expect(&uid(ALICE), &host.passwd("alice", ALICE));
    daemon.expect(&user("bob"), &NOT_FOUND);
    daemon.expect(&uid(BOB), &NOT_FOUND);
}

#[test]
fn a_home_that_is_a_link_or_a_file_is_no_evidence() {
    let host = Host::new();
    host.range("");
    host.homes(&["alice"]);
    symlink("alice", host.dir.join("home/bob")).unwrap();
    host.dir.write("home/carol", "");
    let daemon = host.start(&[]);
    assert_eq!(uid_of(&daemon, "alice"), Some(ALICE));
    for name in ["bob", "carol"] {
        daemon.expect(&user(name), &NOT_FOUND);
    }
    daemon.expect(&uid(BOB), &NOT_FOUND);
    // It may vanish between two steps of one request at worst: then it is simply not there.
    fs::remove_dir_all(host.dir.join("home")).unwrap();
    daemon.expect(&user("alice"), &NOT_FOUND);
    daemon.expect(&uid(ALICE), &NOT_FOUND);
}

#[test]
fn groups_are_looked_up_in_etc_group_and_never_root() {
    if !is_root() {
        return skip("groups_are_looked_up_in_etc_group_and_never_root", "mounts need root");
    }
    let host = Host::new();
    host.homes(&["alice", "ops-a"]);
    host.config(
        "nssmap 2\nkey DIR/key\nmap ops-*\n template o:x:15000:15000:g:DIR/home:/bin/sh\n require home\n \
         groups gpio nosuch root dialout\nmap *\n template u:x:20000+400:=:g:DIR/home:/bin/sh\n require home\n",
    );
    host.dir.write("group", "root:x:0:\ndialout:x:20:someone\ngpio:x:997:\n");
    let mut command = nsssd(&host.bin, "unshare");
    let script = "mount --bind \"$1/group\" /etc/group && exec nsssd-map -f \"$1/nssmap.conf\"";
    command.args(["-m", "sh", "-c", script, "host"]).arg(host.dir.path());
    let daemon = Daemon::start(command);
    daemon.expect(&grouplist(9, "ops-a"), &grouplist_reply(9, &[997, 20]));
    daemon.expect(&grouplist(9, "alice"), &grouplist_reply(9, &[]));
    daemon.expect(&grouplist(9, "ops-b"), &grouplist_reply(9, &[]));
    // Written in place, for the mount is of the file.
    fs::write(host.dir.join("group"), "dialout:x:21:\nroot:x:0:\n").unwrap();
    daemon.expect(&grouplist(9, "ops-a"), &grouplist_reply(9, &[21]));
    let said = daemon.stderr();
    for group in ["nosuch", "root"] {
        assert!(said.contains(&format!("no group that can be given: {group}")), "{said}");
    }
}

#[test]
fn the_first_section_that_fits_decides() {
    let host = Host::new();
    host.homes(&["dev-a", "guest", "zed"]);
    host.config(
        "nssmap 2\nkey DIR/key\ndeny z*\nmap dev-* ops-*\n template d:x:20000+40000:=:dev:DIR/home:/bin/sh\n \
         require home\nmap *\n template guest:x:15000:15000:a guest:DIR/home/%u/in:/bin/false\n",
    );
    let out = |name: &str| {
        let config = host.dir.join("nssmap.conf");
        String::from_utf8(host.tool(&["-f", config.to_str().unwrap(), "-u", name]).stdout).unwrap()
    };
    assert!(out("dev-a").contains(":dev:"), "{}", out("dev-a"));
    assert_eq!(
        out("guest"),
        host.text("guest:x:15000:15000:a guest:DIR/home/guest/in:/bin/false\n")
    );
    assert_eq!(out("zed"), "");
    assert_eq!(out("root"), "");
    let daemon = host.start(&[]);
    assert_eq!(
        uid_of(&daemon, "dev-a"),
        Some(out("dev-a").split(':').nth(2).unwrap().parse().unwrap())
    );
    assert_eq!(uid_of(&daemon, "dev-b"), None);
    assert_eq!(uid_of(&daemon, "anybody"), Some(15000));
    assert_eq!(uid_of(&daemon, "zed"), None);
    daemon.expect(&by_name(op::GRP_GETBYNAME, "guest"), &NOT_FOUND);
    daemon.expect(&uid(15000), &NOT_FOUND);
    let said = daemon.stderr();
    assert!(
        said.contains("nssmap.conf:7: without require, every well-formed name exists"),
        "{said}"
    );
}

#[test]
fn getent_serves_it_in_process_behind_the_files() {
    let host = Host::new();
    host.range(REGISTRY);
    host.homes(&["alice"]);
    let ask = |words: &[&str]| {
        let mut command = tool(&host.bin, "getent");
        command.args(["-s", &host.text("unix; map -f DIR/nssmap.conf")]).args(words);
        support::run_to_end(command)
    };
    let line = host.text(&format!("alice:x:{ALICE}:{ALICE}:mapped user:DIR/home/alice:/bin/sh\n"));
    assert_eq!(String::from_utf8(ask(&["passwd", "alice"]).stdout).unwrap(), line);
    assert_eq!(String::from_utf8(ask(&["passwd", &ALICE.to_string()]).stdout).unwrap(), line);
    assert_eq!(ask(&["group", "alice"]).stdout, format!("alice:x:{ALICE}:\n").into_bytes());
    assert_eq!(ask(&["shadow", "alice"]).code, Some(0));
    assert_eq!((ask(&["passwd", "../../root"]).code), Some(2));
    assert_eq!((ask(&["passwd", "nosuch"]).code), Some(2));
}

#[test]
fn a_registry_is_closed_when_nobody_uses_it_and_goes_on_as_it_is_then() {
    let host = Host::new();
    host.range("registry DIR/registry");
    host.homes(&["ann", "bob", "eve"]);
    let daemon = host.start(&[]);
    let closed = || {
        wait_until("nothing is open", || {
            procfs::open_below(daemon.pid(), host.dir.path()).is_empty()
        });
    };
    closed();
    let ann = uid_of(&daemon, "ann").unwrap();
    closed();
    // Somebody else appends, and then puts another file in its place.
    let other = host.start(&[]);
    let bob = uid_of(&other, "bob").unwrap();
    daemon.expect(&uid(bob), &host.passwd("bob", bob));
    closed();
    host.dir.replace("registry", format!("{} other 1\n", BOB));
    assert_eq!(uid_of(&daemon, "eve").map(|uid| uid != ann), Some(true));
    assert!(host.read("registry").contains(" eve "));
    assert!(!host.read("registry").contains(" ann "));
}
