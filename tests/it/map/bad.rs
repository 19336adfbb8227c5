//! `nsssd-map` with bad input: configurations, keys, registries, full disks, missing rights.
#![cfg(feature = "nsssd-map")]

use crate::support::map::{self, ALICE, BOB, Host, KEY, uid, uid_of, user};
use crate::support::{self, Daemon, by_name, is_root, nsssd, op, skip};
use std::fs;
use std::os::unix::fs::symlink;

const EACCES: [u8; 1] = [13];
const ENOSPC: [u8; 1] = [28];

#[test]
fn every_error_is_named_with_its_line() {
    let host = Host::new();
    let text = "nssmap 2\n\
        key DIR/key\n\
        key DIR/other\n\
        registry reg\n\
        names upper\n\
        deny a/b\n\
        pin alice 5\n\
        colour red\n\
        require home\n\
        map ops-*\n\
        template o:x:100+5:=:g:/home:/bin/sh\n\
        map dev-*\n\
        template d:x:20000+40000:=:g:home:/bin/sh\n\
        rc maybe\n\
        map *\n\
        template u:x:20000+40000:=:g:/home:\n\
        map [a\n\
        map\n\
        uids 1000-2000\n\
        template app:x:5:0:g:/app:/bin/sh\n\
        uids 3000\n\
        template app:x:=:0:g:/app:/bin/sh\n\
        require owned\n";
    host.config(text);
    let run = host.tool(&["-n", "DIR/nssmap.conf"]);
    assert_eq!(run.code, Some(1));
    for line in [3, 4, 5, 6, 7, 8, 9, 11, 13, 14, 16, 17, 18, 20, 21, 23] {
        let place = host.text(&format!("nsssd-map: fatal: DIR/nssmap.conf:{line}: "));
        assert!(run.stderr.contains(&place), "line {line}: {}", run.stderr);
    }
    let mut daemon = host.start(&[]);
    assert_eq!(daemon.finish(), Some(111));
    assert!(daemon.stderr().ends_with(&host.text("unable to use configuration DIR/nssmap.conf\n")));
}

#[test]
fn a_good_configuration_passes_in_silence() {
    let host = Host::new();
    host.range("registry DIR/registry\nnames mixed\ndeny oracle [a-c]x?*\npin zoe 1879048200 ");
    let run = host.tool(&["-n", "DIR/nssmap.conf"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(!host.dir.join("registry").exists(), "a check makes no files");
}

#[test]
fn ranges_must_not_overlap() {
    let host = Host::new();
    let section = |glob: &str, ids: &str| {
        format!("map {glob}\n template u:x:{ids}:=:g:/home:/bin/sh\n require home\n")
    };
    let uids = |range: &str| format!("uids {range}\n template a%u:x:=:0:g:/:/bin/sh\n");
    for (one, other, line) in [
        (section("a*", "20000+1000"), section("*", "20999-30000"), 6),
        (section("a*", "20000+1000"), uids("19000-20000"), 6),
        (uids("1000-2000"), uids("2000-3000"), 5),
    ] {
        host.config(&format!("nssmap 2\nkey DIR/key\n{one}{other}"));
        let run = host.tool(&["-n", "DIR/nssmap.conf"]);
        let said = format!(":{line}: its range overlaps that of an earlier section");
        assert!(run.code == Some(1) && run.stderr.contains(&said), "{one}{other}{}", run.stderr);
    }
    let nine: String = (1..10).map(|n| uids(&format!("{n}000-{n}100"))).collect();
    host.config(&format!("nssmap 2\n{nine}"));
    let run = host.tool(&["-n", "DIR/nssmap.conf"]);
    assert!(run.stderr.contains("more than 8 sections of numbers"), "{}", run.stderr);
}

#[test]
fn a_key_of_the_wrong_length_or_mode_is_fatal() {
    let host = Host::new();
    host.range("");
    let fatal = |said: &str| {
        let mut daemon = host.start(&[]);
        assert_eq!(daemon.finish(), Some(111), "{said}");
        assert!(daemon.stderr().contains(said), "{}", daemon.stderr());
        assert_eq!(host.tool(&["-n", "DIR/nssmap.conf"]).code, Some(1));
    };
    for key in ["", "0001", &KEY[2..], "zz0102030405060708090a0b0c0d0e0f\n"] {
        host.dir.chmod("key", 0o600);
        host.dir.write("key", key);
        host.dir.chmod("key", 0o400);
        fatal("nssmap.conf:2: the key does not hold a key: 32 hexadecimal digits");
    }
    host.dir.chmod("key", 0o644);
    host.dir.write("key", KEY);
    fatal("the key can be read or written by others (it must have mode 0400)");
    fs::remove_file(host.dir.join("key")).unwrap();
    fatal("unable to read key");
}

#[test]
fn a_key_file_is_made_once_and_is_secret() {
    use std::os::unix::fs::PermissionsExt as _;
    let host = Host::new();
    host.range("");
    fs::remove_file(host.dir.join("key")).unwrap();
    assert_eq!(host.tool(&["-k", "DIR/key"]).code, Some(0));
    let first = host.read("key");
    assert_eq!(first.len(), 33);
    let mode = fs::metadata(host.dir.join("key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o400);
    let again = host.tool(&["-k", "DIR/key"]);
    assert_eq!(again.code, Some(111));
    assert!(again.stderr.contains("File exists"), "{}", again.stderr);
    assert_eq!(host.read("key"), first);
    assert_eq!(host.tool(&["-n", "DIR/nssmap.conf"]).code, Some(0));
    fs::remove_file(host.dir.join("key")).unwrap();
    host.tool(&["-k", "DIR/key"]);
    assert_ne!(host.read("key"), first);
}

#[test]
fn a_missing_configuration_is_told_and_nobody_is_found() {
    let host = Host::new();
    let daemon = host.start(&[]);
    daemon.expect(&user("alice"), &map::NOT_FOUND);
    daemon.expect(&by_name(op::GRP_GETBYNAME, "alice"), &map::NOT_FOUND);
    assert_eq!(daemon.stderr().matches("there is no ").count(), 1);
    assert_eq!(host.tool(&["-n", "DIR/nssmap.conf"]).code, Some(1));
}

#[test]
fn wrong_words_are_usage_errors() {
    let host = Host::new();
    host.range("");
    for words in [
        &["-x"][..],
        &["-r", "house"],
        &["-r", "file:/keys/all"],
        &["-r", "file:keys/%u"],
        &["-n", "a", "-u", "b"],
        &["-f", "DIR/nssmap.conf", "-r", "home"],
        &["-f"],
    ] {
        let run = host.tool(words);
        assert_eq!(run.code, Some(100), "{words:?} {}", run.stderr);
    }
}

#[test]
fn a_deny_file_counts_and_its_bad_lines_are_named() {
    let host = Host::new();
    host.homes(&["alice", "bob"]);
    host.range("deny-file DIR/deny");
    host.dir.write("deny", "# nobody of these\n\nal*\n");
    let daemon = host.start(&[]);
    assert_eq!((uid_of(&daemon, "alice"), uid_of(&daemon, "bob")), (None, Some(BOB)));
    daemon.expect(&uid(ALICE), &map::NOT_FOUND);
    host.dir.write("deny", "al*\n[a\n");
    let run = host.tool(&["-n", "DIR/nssmap.conf"]);
    assert!(run.code == Some(1) && run.stderr.contains("deny:2: a set without an end in [a"));
    fs::remove_file(host.dir.join("deny")).unwrap();
    assert_eq!(host.start(&[]).finish(), Some(111));
}

#[test]
fn a_full_disk_is_a_failure_and_no_missing_user() {
    let name = "a_full_disk_is_a_failure_and_no_missing_user";
    if !is_root() {
        return skip(name, "mounts need root");
    }
    let host = Host::new();
    host.range("registry DIR/full/registry");
    host.homes(&["alice", "bob"]);
    host.dir.subdirectory("full");
    let mut command = nsssd(&host.bin, "unshare");
    // Two pages: one for what stands in the registry, one that is used up.
    let script = "mount -t tmpfs -o size=8k full \"$1/full\" && cd \"$1/full\" \
                  && head -c 4090 /dev/zero | tr '\\0' '\\n' > registry \
                  && head -c 4096 /dev/zero > ballast; exec nsssd-map -f \"$1/nssmap.conf\"";
    command.args(["-m", "sh", "-c", script, "host"]).arg(host.dir.path());
    let daemon = Daemon::start(command);
    // The first line is torn by the end of the page; nothing is said of anybody.
    for name in ["alice", "bob", "alice"] {
        daemon.expect(&user(name), &ENOSPC);
    }
}

#[test]
fn without_rights_to_the_key_a_lookup_fails_and_does_not_miss() {
    let name = "without_rights_to_the_key_a_lookup_fails_and_does_not_miss";
    if !is_root() {
        return skip(name, "another user's process needs root");
    }
    let host = Host::new();
    host.range("registry DIR/registry");
    host.homes(&["alice"]);
    // As root, all is opened before the client's ids are taken.
    let as_client = |command: &mut std::process::Command| {
        command.env("IPCREMOTEEUID", "12345").env("IPCREMOTEEGID", "12345");
    };
    let mut command = host.command(&[]);
    as_client(&mut command);
    let daemon = Daemon::start(command);
    daemon.expect(&user("alice"), &host.passwd("alice", ALICE));
    let pid = daemon.pid().as_raw_nonzero();
    let owner = |file: &str| {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(format!("/proc/{pid}/{file}")).unwrap().uid()
    };
    // An undumpable process's files belong to root; its ids are the client's.
    assert_eq!(owner("mem"), 0);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Uid:\t12345\t12345\t12345"), "{status}");
    // The same in a switch that runs it in its process.
    let config = host.dir.join("nssmap.conf");
    let script = ["0", "nsssd-map", "-f", config.to_str().unwrap(), ""];
    let mut command = nsssd(&host.bin, "nsssd-switch");
    as_client(command.args(script));
    Daemon::start(command).expect(&user("alice"), &host.passwd("alice", ALICE));
    // Started by a switch that has dropped its rights: a failure.
    let copy = host.dir.join("nssbox");
    map::copy_executable(&copy);
    let mut command = nsssd(&host.bin, "setpriv");
    command.args(["--reuid=12345", "--regid=12345", "--clear-groups"]).arg(&copy);
    command.arg("nsssd-map").arg("-f").arg(&config);
    let daemon = Daemon::start(command);
    daemon.expect(&user("alice"), &EACCES);
    daemon.expect(&user("nosuch"), &map::NOT_FOUND);
    assert!(daemon.stderr().contains("may not read the key"), "{}", daemon.stderr());
    // A home that may not be looked at is a failure, too.
    host.dir.chmod("home", 0o700);
    daemon.expect(&user("nosuch"), &EACCES);
}

#[test]
fn a_registry_that_others_write_or_that_is_a_link_is_refused() {
    let host = Host::new();
    host.range("registry DIR/registry");
    host.dir.write("registry", "");
    host.dir.chmod("registry", 0o666);
    assert_eq!(host.start(&[]).finish(), Some(111));
    fs::remove_file(host.dir.join("registry")).unwrap();
    symlink("elsewhere", host.dir.join("registry")).unwrap();
    assert_eq!(host.start(&[]).finish(), Some(111));
}

#[test]
fn on_a_read_only_root_the_homes_tell() {
    if !is_root() {
        return skip("on_a_read_only_root_the_homes_tell", "mounts need root");
    }
    let host = Host::new();
    host.range("registry DIR/registry");
    host.homes(&["alice", "bob", "user3469", "user17288"]);
    host.dir.write("registry", format!("{} user17288 1\n", map::SHARED));
    let mut command = nsssd(&host.bin, "unshare");
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" \
                  && exec nsssd-map -f \"$1/nssmap.conf\"";
    command.args(["-m", "sh", "-c", script, "host"]).arg(host.dir.path());
    let daemon = Daemon::start(command);
    daemon.expect(&uid(ALICE), &host.passwd("alice", ALICE));
    daemon.expect(&user("bob"), &host.passwd("bob", BOB));
    // What was registered before counts.
    daemon.expect(&user("user17288"), &host.passwd("user17288", map::SHARED));
    daemon.expect(&user("user3469"), &map::NOT_FOUND);
    assert_eq!(host.read("registry").lines().count(), 1);
}

#[test]
fn a_broken_map_does_not_take_the_local_files_away() {
    let host = Host::new();
    host.config("nssmap 2\nnonsense\n");
    host.dir.accounts("bob:x:1001:1000:::\n", "", "");
    let mut command = nsssd(&host.bin, "nsssd-switch");
    let config = host.dir.join("nssmap.conf");
    command.args(["0", "nsssd-unix", "-d", host.dir.as_str(), ""]);
    command.args(["0", "nsssd-map", "-f", config.to_str().unwrap(), ""]);
    let daemon = Daemon::start(command);
    daemon.expect(&user("bob"), &support::passwd_reply(["bob", "x"], 1001, 1000, ["", "", ""]));
    assert!(
        daemon.stderr().contains("nssmap.conf:2: unknown word nonsense"),
        "{}",
        daemon.stderr()
    );
}

#[test]
fn a_list_of_names_is_searched_for_collisions() {
    let host = Host::new();
    host.range("");
    let names: Vec<String> = (1..=100_000).map(|n| format!("user{n}")).collect();
    host.dir.write("names", names.join("\n") + "\nroot\nuser1\n");
    let run = host.tool(&["-f", "DIR/nssmap.conf", "-l", "DIR/names"]);
    assert_eq!(run.code, Some(1));
    let found = String::from_utf8(run.stdout).unwrap();
    assert!(found.lines().any(|l| l == "1999329994 user17288 user3469"), "{found}");
    let said = format!("100000 names, 1 refused, {} collisions\n", found.lines().count());
    assert_eq!(run.stderr, said, "no progress where there is no terminal");
}
