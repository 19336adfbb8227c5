//! Each of the fifteen flaws of libnss_map, and that safe mode does not have it. The numbers are
//! those of doc/nsssd-map.md.
#![cfg(feature = "nsssd-map")]

use crate::support::map::{ALICE, BOB, Host, NOT_FOUND, uid, uid_of, user};
use crate::support::{
    self, Daemon, by_id, by_name, group_reply, grouplist, grouplist_reply, is_root, op, skip,
};
use std::fs;
use std::os::unix::fs::{chown, symlink};

/// The line that the flaws were seen with, in a host with homes for these names.
fn single(names: &[&str]) -> Host {
    let host = Host::new();
    host.config("virtual:x:15000:15001:virtual user:DIR/home:/bin/bash\n");
    host.homes(names);
    host
}

#[test]
fn flaw_1_a_name_exists_only_where_there_is_evidence() {
    let host = single(&["alice"]);
    let daemon = host.start(&["-r", "home"]);
    for probe in ["bob", "alcie", "foo", "mysql", "postgres"] {
        daemon.expect(&user(probe), &NOT_FOUND);
        daemon.expect(&by_name(op::GRP_GETBYNAME, probe), &NOT_FOUND);
        daemon.expect(&by_name(op::SHADOW_GETBYNAME, probe), &NOT_FOUND);
    }
    assert_eq!(uid_of(&daemon, "alice"), Some(15000));
}

#[test]
fn flaw_2_numbers_are_no_names() {
    let host = single(&["0", "1000", "00x"]);
    let daemon = host.start(&[]);
    assert_eq!(uid_of(&daemon, "alice"), Some(15000));
    for number in ["0", "1000", "00x", "+0", "-1"] {
        daemon.expect(&user(number), &NOT_FOUND);
        daemon.expect(&by_name(op::GRP_GETBYNAME, number), &NOT_FOUND);
    }
}

#[test]
fn flaw_3_names_are_checked() {
    let host = single(&["alice"]);
    let daemon = host.start(&[]);
    assert_eq!(uid_of(&daemon, "alice"), Some(15000));
    let long = "n".repeat(254);
    let odd = [
        "../../root",
        "a/b",
        "..",
        ".",
        "",
        "-rf",
        "a:b",
        "a b",
        "a\nroot:x:0:0::/:/bin/sh",
        "a\tb",
        "a\u{7f}",
        "alice/",
        "./alice",
        "alice.",
        &long,
    ];
    for name in odd {
        for request in
            [user(name), by_name(op::SHADOW_GETBYNAME, name), by_name(op::GRP_GETBYNAME, name)]
        {
            daemon.expect(&request, &NOT_FOUND);
        }
        daemon.expect(&grouplist(9, name), &grouplist_reply(9, &[]));
    }
}

#[test]
fn flaw_4_all_fields_of_a_shadow_entry_are_set() {
    let host = single(&[]);
    let daemon = host.start(&[]);
    let mut reply = vec![0];
    for number in [13571i64, 0, 99999, 7, -1, -1, -1] {
        reply.extend(number.to_be_bytes());
    }
    reply.extend(b"\0\0\0\x09alice\0NP\0");
    daemon.expect(&by_name(op::SHADOW_GETBYNAME, "alice"), &reply);
}

#[test]
fn flaw_5_member_lists_are_empty_and_not_left_over() {
    let host = Host::new();
    host.range("");
    host.homes(&["alice"]);
    let daemon = host.start(&[]);
    let group = group_reply("alice", "x", ALICE, &[]);
    daemon.expect(&by_name(op::GRP_GETBYNAME, "alice"), &group);
    daemon.expect(&by_id(op::GRP_GETBYGID, ALICE), &group);
    // In compat mode, too.
    let host = single(&[]);
    let daemon = host.start(&["-c"]);
    daemon.expect(&by_name(op::GRP_GETBYNAME, "alice"), &group_reply("alice", "x", 15001, &[]));
}

#[test]
fn flaw_6_logname_does_not_decide() {
    let host = single(&["root", "alice"]);
    for name in ["root", "alice"] {
        let mut command = host.command(&[]);
        command.env("LOGNAME", name);
        let daemon = Daemon::start(command);
        daemon.expect(&uid(15000), &NOT_FOUND);
        daemon.expect(&by_id(op::GRP_GETBYGID, 15001), &NOT_FOUND);
        let refused = host.tool(&["-L", "-f", "DIR/nssmap.conf"]);
        assert_eq!(refused.code, Some(100), "a daemon takes no -L: {}", refused.stderr);
    }
    // Where the environment is the asker's own, only an admitted name counts.
    for (logname, found) in [("alice", true), ("root", false), ("../alice", false)] {
        let mut command = support::tool(&host.bin, "getent");
        command.env("LOGNAME", logname).args(["-s", &host.text("map -L -f DIR/nssmap.conf")]);
        command.args(["passwd", "15000"]);
        assert_eq!(support::run_to_end(command).code == Some(0), found, "{logname}");
    }
}

#[test]
fn flaw_7_each_user_can_have_a_uid_of_his_own() {
    let host = Host::new();
    host.range("");
    host.homes(&["alice", "bob"]);
    let daemon = host.start(&[]);
    assert_eq!((uid_of(&daemon, "alice"), uid_of(&daemon, "bob")), (Some(ALICE), Some(BOB)));
}

#[test]
fn flaw_8_no_gid_is_made_up_and_0_is_not_handed_out() {
    let host = single(&["alice"]);
    let daemon = host.start(&[]);
    for gid in [0, 4242, 15001] {
        daemon.expect(&by_id(op::GRP_GETBYGID, gid), &NOT_FOUND);
    }
    if !is_root() {
        return skip(
            "flaw_8_no_gid_is_made_up_and_0_is_not_handed_out",
            "files of root's need root",
        );
    }
    for line in ["root:x:0:\n", "nobody:x:65534:\n", "none:x:4294967295:\n"] {
        host.dir.write("home/alice/.nssmaprc", line);
        daemon.expect(&grouplist(9, "alice"), &grouplist_reply(9, &[]));
    }
    host.dir.write("home/alice/.nssmaprc", "disk:x:6:\n");
    daemon.expect(&grouplist(9, "alice"), &grouplist_reply(9, &[6]));
}

#[test]
fn flaw_9_enumerations_without_or_with_a_vanished_file_do_no_harm() {
    let host = single(&["alice"]);
    let daemon = host.start(&[]);
    daemon.expect(&[op::GRP_GET], &NOT_FOUND);
    daemon.expect(&[op::GRP_REWIND], &[0]);
    fs::remove_file(host.dir.join("nssmap.conf")).unwrap();
    fs::remove_dir(host.dir.join("home/alice")).unwrap();
    for request in [op::GRP_REWIND, op::GRP_END, op::GRP_END, op::PWD_REWIND, op::SHADOW_END] {
        daemon.expect(&[request], &[0]);
    }
    daemon.expect(&[op::PWD_GET], &NOT_FOUND);
    daemon.expect(&[op::SHADOW_GET], &NOT_FOUND);
}

#[test]
fn flaw_10_no_more_gids_are_sent_than_there_is_room_for() {
    if !is_root() {
        return skip(
            "flaw_10_no_more_gids_are_sent_than_there_is_room_for",
            "files of root's need root",
        );
    }
    let host = single(&["alice"]);
    host.dir.write("home/alice/.nssmaprc", "disk:x:6:\n");
    let daemon = host.start(&[]);
    for room in [0, 1, 2] {
        daemon.expect(&grouplist(room, "alice"), &grouplist_reply(room, &[6]));
    }
    daemon.expect(&[op::PWD_END], &[0]);
}

#[test]
fn flaw_11_nothing_leaks() {
    let host = single(&["alice"]);
    let daemon = host.start(&["-r", "home"]);
    let pid = daemon.pid().as_raw_nonzero();
    let descriptors = || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmData")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let ask = || {
        assert_eq!(uid_of(&daemon, "alice"), Some(15000));
        daemon.expect(&grouplist(0, "alice"), &grouplist_reply(0, &[]));
        daemon.expect(&[op::GRP_REWIND], &[0]);
        daemon.expect(&user("bob"), &NOT_FOUND);
    };
    ask();
    let before = (descriptors(), memory());
    (0..5000).for_each(|_| ask());
    assert_eq!((descriptors(), memory()), before);
}

#[test]
fn flaw_12_a_long_name_or_record_gets_an_answer() {
    let host = Host::new();
    let gecos = "g".repeat(1500);
    host.config(&format!("virtual:x:15000:15001:{gecos}:DIR/home:/bin/bash\n"));
    let daemon = host.start(&["-c"]);
    let name = "n".repeat(254);
    let home = host.text(&format!("DIR/home/{name}"));
    let texts = [gecos.as_str(), home.as_str(), "/bin/bash"];
    daemon.expect(&user(&name), &support::passwd_reply([name.as_str(), "x"], 15000, 15001, texts));
    let daemon = host.start(&[]);
    daemon.expect(&user(&name), &NOT_FOUND);
    let most = "n".repeat(32);
    assert_eq!(uid_of(&daemon, &most), Some(15000));
    daemon.expect(&user(&"n".repeat(33)), &NOT_FOUND);
}

#[test]
fn flaw_13_a_link_in_place_of_nssmaprc_is_not_followed() {
    if !is_root() {
        return skip(
            "flaw_13_a_link_in_place_of_nssmaprc_is_not_followed",
            "files of root's need root",
        );
    }
    let host = single(&["alice", "bob", "carol", "dora"]);
    let rc = host.dir.write("rc", "disk:x:6:\n");
    symlink(&rc, host.dir.join("home/alice/.nssmaprc")).unwrap();
    fs::hard_link(&rc, host.dir.join("home/bob/.nssmaprc")).unwrap();
    // Carol could rename what stands in her home.
    host.dir.write("home/carol/.nssmaprc", "disk:x:6:\n");
    chown(host.dir.join("home/carol"), Some(15000), Some(15000)).unwrap();
    symlink(host.dir.join("home/dora"), host.dir.join("home/eve")).unwrap();
    host.dir.write("home/dora/.nssmaprc", "disk:x:6:\n");
    let daemon = host.start(&[]);
    for name in ["alice", "bob", "carol", "eve"] {
        daemon.expect(&grouplist(9, name), &grouplist_reply(9, &[]));
    }
    daemon.expect(&grouplist(9, "dora"), &grouplist_reply(9, &[6]));
    host.dir.chmod("home/dora", 0o775);
    daemon.expect(&grouplist(9, "dora"), &grouplist_reply(9, &[]));
}

#[test]
fn flaw_14_a_bad_configuration_is_named_and_one_that_others_write_is_refused() {
    let host = Host::new();
    for (line, what) in [
        ("v:x:4294967295:1000:g:/h:/bin/sh\n", ":1: an id with a meaning of its own"),
        ("# c\n\nv:x:1000:1000:g:h:/bin/sh\n", ":3: a home that does not begin with /"),
        ("v:x:1000\n", ":1: fewer than seven fields"),
    ] {
        host.config(line);
        let daemon = host.start(&[]);
        daemon.expect(&user("alice"), &NOT_FOUND);
        assert!(daemon.stderr().contains(what), "{line}: {}", daemon.stderr());
        assert_eq!(host.tool(&["-n", "DIR/nssmap.conf"]).code, Some(1), "{line}");
    }
    host.config("v:x:1000:1000:g:/h:/bin/sh\n");
    for mode in [0o666, 0o664, 0o646] {
        host.dir.chmod("nssmap.conf", mode);
        for option in [&[][..], &["-c"]] {
            let mut daemon = host.start(option);
            assert_eq!(daemon.finish(), Some(111));
            let said = daemon.stderr();
            assert!(said.contains("fatal: configuration is writable by others"), "{said}");
        }
    }
    if is_root() {
        host.dir.chmod("nssmap.conf", 0o644);
        chown(host.dir.join("nssmap.conf"), Some(1), None).unwrap();
        assert_eq!(host.start(&[]).finish(), Some(111));
    }
}

#[test]
fn flaw_15_only_who_has_a_key_file_of_his_own_is_a_valid_name() {
    let host = single(&[]);
    host.dir.subdirectory("keys");
    host.dir.write("keys/alice", "ssh-ed25519 AAAA\n");
    symlink("alice", host.dir.join("keys/bob")).unwrap();
    let daemon = host.start(&["-r", &host.text("file:DIR/keys/%u")]);
    assert_eq!(uid_of(&daemon, "alice"), Some(15000));
    for name in ["nosuch", "bob", "root", "../keys/alice"] {
        daemon.expect(&user(name), &NOT_FOUND);
    }
}
