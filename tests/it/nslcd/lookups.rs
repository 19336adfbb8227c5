//! `nsssd-nslcd` and an nslcd that does what it should: what is asked of it, what becomes of its
//! answers. tests/it/nslcd/hostile.rs has those that do not, tests/it/nslcd/real.rs the real one.

use crate::support::nslcd::{
    self, FakeNslcd, Stage, action, group, reply, request, shadow, text, user, user_reply, words,
};
use crate::support::{
    self, Daemon, Server, assert_answers, by_id, by_name, group_reply, grouplist, grouplist_reply,
    is_root, nsssd, op, run_to_end, shadow_reply, skip,
};
use rustix::net::sockopt::socket_peercred;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::channel;

/// A switch with these blocks: a bitfield and a command each.
#[track_caller]
fn switch(stage: &Stage, options: &[&str], blocks: &[(u8, &[&str])]) -> Daemon {
    let bits: Vec<String> = blocks.iter().map(|(bits, _)| bits.to_string()).collect();
    let mut all = options.to_vec();
    for ((_, words), bits) in blocks.iter().zip(&bits) {
        all.push(bits);
        all.extend(*words);
        all.push("");
    }
    stage.switch(&all)
}

fn path(socket: &Path) -> &str {
    socket.to_str().unwrap()
}

fn entry_of(action: u32, argument: Vec<u8>, entry: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    (request(action, &argument), reply(action, &[entry]))
}

/// Users `a` and `b`, groups `ga` and `gb`.
fn table() -> Vec<(Vec<u8>, Vec<u8>)> {
    let (ga, gb) = (group("ga", 10, &["a", "b"]), group("gb", 11, &["b"]));
    let bare = |name, gid| group::<&str>(name, gid, &[]);
    let numbers = [u32::MAX, 1, 2, 3, 4, 5, u32::MAX];
    vec![
        entry_of(action::USER, text("a"), user("a", 1, 10)),
        entry_of(action::UID, words(&[2]), user("b", 2, 11)),
        (request(action::USERS, &[]), reply(action::USERS, &[user("a", 1, 10), user("b", 2, 11)])),
        entry_of(action::GROUP, text("ga"), ga.clone()),
        entry_of(action::GID, words(&[11]), gb.clone()),
        (request(action::GROUPS, &[]), reply(action::GROUPS, &[ga, gb])),
        (
            request(action::GROUPS_OF, &text("b")),
            reply(action::GROUPS_OF, &[bare("ga", 10), bare("gb", 11), bare("alias", 11)]),
        ),
        (request(action::GROUPS_OF, &text("x")), reply(action::GROUPS_OF, &[])),
        entry_of(action::SHADOW, text("a"), shadow("a", numbers)),
        (request(action::SHADOWS, &[]), reply(action::SHADOWS, &[shadow("a", numbers)])),
        (request(action::USER, &text("x")), reply(action::USER, &[])),
        (request(action::UID, &words(&[9])), reply(action::UID, &[])),
        (request(action::GROUP, &text("x")), reply(action::GROUP, &[])),
        (request(action::GID, &words(&[9])), reply(action::GID, &[])),
        (request(action::SHADOW, &text("x")), reply(action::SHADOW, &[])),
    ]
}

#[test]
fn each_request_is_asked_of_nslcd_and_answered() {
    let stage = Stage::new();
    let nslcd = FakeNslcd::with_table(&stage.socket(), table());
    let a_shadow = shadow_reply("a", "*", [-1, 1, 2, 3, 4, 5, -1]);
    let daemon = stage.daemon(&[]);
    let expect = |request: &[u8], reply: &[u8]| daemon.expect(request, reply);
    expect(&by_name(op::PWD_GETBYNAME, "a"), &user_reply("a", 1, 10));
    expect(&by_id(op::PWD_GETBYUID, 2), &user_reply("b", 2, 11));
    expect(&by_name(op::GRP_GETBYNAME, "ga"), &group_reply("ga", "*", 10, &["a", "b"]));
    expect(&by_id(op::GRP_GETBYGID, 11), &group_reply("gb", "*", 11, &["b"]));
    expect(&by_name(op::SHADOW_GETBYNAME, "a"), &a_shadow);
    expect(&by_name(op::PWD_GETBYNAME, "x"), &[255]);
    expect(&by_id(op::PWD_GETBYUID, 9), &[255]);
    expect(&by_name(op::GRP_GETBYNAME, "x"), &[255]);
    expect(&by_id(op::GRP_GETBYGID, 9), &[255]);
    expect(&by_name(op::SHADOW_GETBYNAME, "x"), &[255]);
    // A group with two names comes twice, and counts once.
    expect(&grouplist(9, "b"), &grouplist_reply(9, &[10, 11]));
    expect(&grouplist(1, "b"), &grouplist_reply(1, &[10, 11]));
    expect(&grouplist(0, "b"), &grouplist_reply(0, &[10, 11]));
    expect(&grouplist(9, "x"), &grouplist_reply(9, &[]));
    assert_eq!(nslcd.count(), 14, "one connection a lookup");
    // Nobody has an empty name: nslcd is not asked.
    expect(&by_name(op::PWD_GETBYNAME, ""), &[255]);
    expect(&grouplist(9, ""), &grouplist_reply(9, &[]));
    assert_eq!(nslcd.count(), 14);
}

#[test]
fn three_enumerations_and_lookups_do_not_disturb_each_other() {
    let stage = Stage::new();
    let nslcd = FakeNslcd::with_table(&stage.socket(), table());
    let mut daemon = stage.daemon(&[]);
    daemon.expect(&[op::PWD_GET], &user_reply("a", 1, 10));
    daemon.expect(&[op::GRP_GET], &group_reply("ga", "*", 10, &["a", "b"]));
    daemon.expect(&[op::SHADOW_GET], &shadow_reply("a", "*", [-1, 1, 2, 3, 4, 5, -1]));
    daemon.expect(&by_name(op::PWD_GETBYNAME, "a"), &user_reply("a", 1, 10));
    daemon.expect(&[op::PWD_GET], &user_reply("b", 2, 11));
    daemon.expect(&[op::SHADOW_GET], &[255]);
    daemon.expect(&[op::GRP_GET], &group_reply("gb", "*", 11, &["b"]));
    for _ in 0..2 {
        daemon.expect(&[op::PWD_GET], &[255]);
        daemon.expect(&[op::GRP_GET], &[255]);
    }
    assert_eq!(nslcd.count(), 4, "the end is known");
    daemon.expect(&[op::PWD_REWIND], &[0]);
    daemon.expect(&[op::GRP_END], &[0]);
    daemon.expect(&[op::PWD_GET], &user_reply("a", 1, 10));
    daemon.expect(&[op::GRP_GET], &group_reply("ga", "*", 10, &["a", "b"]));
    daemon.expect(&[op::PWD_END], &[0]);
    daemon.expect(&[op::PWD_GET], &user_reply("a", 1, 10));
    assert_eq!(daemon.finish(), Some(0));
}

#[test]
fn an_enumeration_is_walked_entry_by_entry() {
    let stage = Stage::new();
    let (go, wait) = channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let _nslcd = FakeNslcd::new(&stage.socket(), move |client, _| {
        nslcd::read_request(client)?;
        client.write_all(&words(&[2, action::USERS]))?;
        for uid in 0..3 {
            client.write_all(&user("u", uid, 7))?;
            // Nothing more before the test says so.
            let _ = wait.lock().unwrap().recv();
        }
        client.write_all(&words(&[2]))
    });
    let daemon = stage.daemon(&["-t", "0"]);
    daemon.send(&[op::PWD_GET]);
    for uid in 0..3 {
        let entry = user_reply("u", uid, 7);
        assert_eq!(daemon.recv_exact(entry.len()), entry);
        daemon.send(&[op::PWD_GET]);
        daemon.client().expect_silence();
        go.send(()).unwrap();
    }
    assert_eq!(daemon.recv_exact(1), [255]);
}

#[test]
fn many_groups_are_passed_on_whole_whatever_room_the_client_has() {
    let stage = Stage::new();
    let gids: Vec<u32> = (0..10_000).map(|n| 5000 + n).collect();
    let entries: Vec<Vec<u8>> = gids.iter().map(|gid| group::<&str>("g", *gid, &[])).collect();
    let table = vec![(request(action::GROUPS_OF, &text("u")), reply(action::GROUPS_OF, &entries))];
    let _nslcd = FakeNslcd::with_table(&stage.socket(), table);
    let daemon = stage.daemon(&[]);
    for room in [0, 1, 4096, 4097, 9999, 10_000, u64::MAX] {
        assert_answers(&daemon, &grouplist(room, "u"), &grouplist_reply(room, &gids));
    }
}

#[test]
fn names_of_254_bytes_are_asked_and_longer_ones_are_enumerated() {
    let stage = Stage::new();
    let (longest, longer) = ("n".repeat(254), "m".repeat(300));
    let users = [user(&longest, 1, 1), user(&longer, 2, 2)];
    let table = vec![
        entry_of(action::USER, text(&longest), users[0].clone()),
        (request(action::USERS, &[]), reply(action::USERS, &users)),
    ];
    let _nslcd = FakeNslcd::with_table(&stage.socket(), table);
    let daemon = stage.daemon(&[]);
    daemon.expect(&by_name(op::PWD_GETBYNAME, &longest), &user_reply(&longest, 1, 1));
    daemon.expect(&[op::PWD_GET], &user_reply(&longest, 1, 1));
    daemon.expect(&[op::PWD_GET], &user_reply(&longer, 2, 2));
    daemon.expect(&by_name(op::PWD_GETBYNAME, &longer), &[71]);
    daemon.expect_eof();
}

#[test]
fn a_record_up_to_the_buffer_is_asked_for_once_and_a_larger_one_twice() {
    let stage = Stage::new();
    // 13 bytes of head, `g`, `*` and the member, each with its NUL.
    for len in [4076, 4077, 4078, 4090, 4091, 4092, 4093, 4094, 4200, 9000] {
        let member = "m".repeat(len);
        let members = [member.as_str()];
        let table = vec![entry_of(action::GROUP, text("g"), group("g", 5, &members))];
        let nslcd = FakeNslcd::with_table(&stage.socket(), table);
        let daemon = stage.daemon(&[]);
        let want = group_reply("g", "*", 5, &members);
        assert_answers(&daemon, &by_name(op::GRP_GETBYNAME, "g"), &want);
        assert_answers(&daemon, &by_name(op::GRP_GETBYNAME, "g"), &want);
        let whole = len + 5 <= 4096;
        assert_eq!(nslcd.count(), if whole { 2 } else { 4 }, "{len}");
    }
}

#[test]
fn a_hundred_thousand_members_come_whole_by_name_by_number_and_in_a_list() {
    let stage = Stage::new();
    let members: Vec<String> = (0..100_000).map(|n| format!("member{n}")).collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    let (big, small) = (group("big", 7, &members), group("small", 8, &["a"]));
    let table = vec![
        entry_of(action::GROUP, text("big"), big.clone()),
        entry_of(action::GID, words(&[7]), big.clone()),
        (request(action::GROUPS, &[]), reply(action::GROUPS, &[small.clone(), big, small])),
    ];
    let _nslcd = FakeNslcd::with_table(&stage.socket(), table);
    let (big, small) = (group_reply("big", "*", 7, &members), group_reply("small", "*", 8, &["a"]));
    for daemon in [
        stage.daemon(&[]),
        switch(&stage, &[], &[(0, &["nsssd-nslcd", path(&stage.socket())])]),
        switch(&stage, &["--spawn"], &[(0, &["nsssd-nslcd", path(&stage.socket())])]),
    ] {
        assert_answers(&daemon, &by_name(op::GRP_GETBYNAME, "big"), &big);
        assert_answers(&daemon, &by_id(op::GRP_GETBYGID, 7), &big);
        daemon.expect(&[op::GRP_GET], &small);
        assert_answers(&daemon, &[op::GRP_GET], &big);
        daemon.expect(&[op::GRP_GET], &small);
        daemon.expect(&[op::GRP_GET], &[255]);
    }
}

#[test]
fn without_limit_it_waits_until_nslcd_answers() {
    let stage = Stage::new();
    let (go, wait) = channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let _nslcd = FakeNslcd::new(&stage.socket(), move |client, _| {
        nslcd::read_request(client)?;
        let _ = wait.lock().unwrap().recv();
        client.write_all(&reply(action::UID, &[user("a", 1, 10)]))
    });
    let daemon = stage.daemon(&["-t", "0"]);
    daemon.send(&by_id(op::PWD_GETBYUID, 1));
    daemon.client().expect_silence();
    go.send(()).unwrap();
    assert_eq!(daemon.recv_exact(1), [0]);
}

#[test]
fn nslcd_sees_the_rights_of_the_client() {
    let test = "nslcd_sees_the_rights_of_the_client";
    if !is_root() {
        return skip(test, "privileges can be dropped by root only");
    }
    let stage = Stage::new();
    let (tell, told) = channel();
    let tell = std::sync::Mutex::new(tell);
    let _nslcd = FakeNslcd::new(&stage.socket(), move |client, _| {
        let peer = socket_peercred(&*client)?;
        nslcd::read_request(client)?;
        let _ = tell.lock().unwrap().send((peer.uid.as_raw(), peer.gid.as_raw()));
        client.write_all(&reply(action::SHADOW, &[]))
    });
    if !support::others_can_run_it() {
        return skip(test, "the executable is out of others' reach");
    }
    for words in [
        vec!["nsssd-nslcd", path(&stage.socket())],
        vec!["nsssd-switch", "0", "nsssd-nslcd", path(&stage.socket()), ""],
        vec!["nsssd-switch", "--spawn", "0", "nsssd-nslcd", path(&stage.socket()), ""],
    ] {
        let mut command = nsssd(&stage.bin, words[0]);
        command.args(&words[1..]).env("IPCREMOTEEUID", "4242").env("IPCREMOTEEGID", "4343");
        let daemon = Daemon::start(command);
        daemon.expect(&by_name(op::SHADOW_GETBYNAME, "a"), &[255]);
        assert_eq!(told.recv().unwrap(), (4242, 4343), "{words:?}");
    }
}

#[test]
fn ipcserver_gives_each_client_a_process_and_one_that_waits_holds_up_nobody() {
    let stage = Stage::new();
    let _nslcd = FakeNslcd::new(&stage.socket(), |client, _| {
        let asked = nslcd::read_request(client)?;
        if asked == request(action::USER, &text("a")) {
            return client.write_all(&reply(action::USER, &[user("a", 1, 10)]));
        }
        // Silent for longer than the test waits.
        std::thread::park_timeout(support::DEADLINE);
        Ok(())
    });
    let socket = stage.socket();
    for program in [
        vec!["nsssd-nslcd", "-t", "0", path(&socket)],
        vec!["nsssd-switch", "0", "nsssd-nslcd", "-t", "0", path(&socket), ""],
    ] {
        let server = Server::start(&stage.bin, stage.dir.path(), &[], &program);
        let waiting: Vec<_> = (0..5).map(|_| server.connect()).collect();
        waiting.iter().for_each(|client| client.send(&by_name(op::PWD_GETBYNAME, "silent")));
        for _ in 0..5 {
            server.connect().expect(&by_name(op::PWD_GETBYNAME, "a"), &user_reply("a", 1, 10));
        }
        waiting[0].expect_silence();
    }
}

#[test]
fn wrong_command_lines_are_told_before_anything_is_done() {
    let stage = Stage::new();
    let run = |words: &[&str]| {
        let mut command = nsssd(&stage.bin, words[0]);
        command.args(&words[1..]);
        let finished = run_to_end(command);
        (finished.code, finished.stderr)
    };
    let socket = stage.dir.join("s");
    for (words, what) in [
        (&["nsssd-nslcd"][..], "missing socket of nslcd"),
        (&["nsssd-nslcd", "-t", "1"], "missing socket of nslcd"),
        (&["nsssd-nslcd", "/a", "/b"], "a word too many: /b"),
        (&["nsssd-nslcd", "-t", "-1", "/a"], "not a number that fits option -t"),
        (&["nsssd-nslcd", "-x", "/a"], "unknown option -x"),
    ] {
        let (code, stderr) = run(words);
        assert_eq!(code, Some(100), "{stderr}");
        assert!(stderr.starts_with(&format!("nsssd-nslcd: fatal: {what}")), "{stderr}");
        let server = [&["ipcserver", path(&socket)], words].concat();
        assert_eq!(run(&server).0, Some(100));
        assert!(!socket.exists());
        let switch = [&["nsssd-switch", "0"], words, &[""]].concat();
        assert_eq!(run(&switch).0, Some(100));
    }
    let (code, stderr) = run(&["nsssd-nslcd", &format!("/{}", "x".repeat(120))]);
    assert_eq!(code, Some(111));
    assert!(stderr.starts_with("nsssd-nslcd: fatal: unable to use socket /xxx"), "{stderr}");
}

#[test]
fn getent_asks_it_by_the_name_of_either_world() {
    let stage = Stage::new();
    let _nslcd = FakeNslcd::with_table(&stage.socket(), table());
    stage.dir.accounts("l:x:9:9:L:/:/bin/sh\n", "l:x:9:b\n", "");
    let run = |list: &str, words: &[&str]| {
        let mut command = nsssd(&stage.bin, "getent");
        command.args(["-s", list]).args(words);
        let finished = run_to_end(command);
        (finished.code, String::from_utf8(finished.stdout).unwrap(), finished.stderr)
    };
    for name in ["nslcd", "ldap"] {
        let list = |trust| {
            format!("unix -d {}; {trust}{name} {}", stage.dir.as_str(), path(&stage.socket()))
        };
        // Small uids are those of the files.
        assert_eq!(run(&list(""), &["passwd"]).1, "l:x:9:9:L:/:/bin/sh\n");
        let list = list("trust ");
        let (code, out, err) = run(&list, &["passwd"]);
        assert_eq!(
            (code, out.as_str(), err.as_str()),
            (Some(0), "l:x:9:9:L:/:/bin/sh\na:*:1:10:G:/h:/s\nb:*:2:11:G:/h:/s\n", "")
        );
        let (_, out, _) = run(&list, &["initgroups", "b"]);
        assert_eq!(out, "b                     9 10 11\n");
        assert_eq!(run(&list, &["passwd", "x"]).0, Some(2));
    }
    let (code, _, err) = run("nslcd /nonexistent/socket", &["passwd", "a"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("No such file or directory"), "{err}");
}
