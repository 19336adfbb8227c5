//! `nsssd-nslcd`, as a daemon and inside a switch, while it asks nslcd, whether that answers or not.
#![cfg(all(feature = "abort-on-alloc", feature = "nsssd-nslcd", feature = "nsssd-switch"))]

use crate::support::nslcd::{
    FakeNslcd, Stage, action, group, read_request, reply, shadow, user, words,
};
use crate::support::{
    DEADLINE, Daemon, assert_answers, by_id, by_name, group_reply, grouplist, grouplist_reply, op,
    passwd_reply, receive_all, shadow_reply,
};
use rustix::io::Errno;
use std::io::Write as _;

/// The daemon, and switches with it in process.
#[track_caller]
fn daemons(stage: &Stage, options: &[&str]) -> Vec<Daemon> {
    let socket = stage.socket();
    let switch = |more: &[&str]| {
        let local = ["0", "nsssd-unix", "-d", stage.dir.as_str(), "", "2", "nsssd-nslcd"];
        let socket = [socket.to_str().unwrap(), ""];
        stage.switch(&[more, &local, options, &socket].concat())
    };
    vec![stage.daemon(options), switch(&["-m"]), switch(&["-m", "-t", "60000"])]
}

fn assert_ended(mut daemon: Daemon, code: i32) {
    daemon.close();
    let ended = daemon.wait().code();
    let stderr = daemon.stderr();
    assert!(!stderr.contains("memory allocation"), "{stderr}");
    assert_eq!(ended, Some(code), "{stderr}");
}

fn members() -> Vec<String> {
    (0..5000).map(|n| format!("member{n:04}")).collect()
}

/// Entries for each action; a name or a number decides nothing here.
fn answer(asked: &[u8]) -> Vec<u8> {
    let action = u32::from_be_bytes(asked[4..8].try_into().unwrap());
    let miss = asked.ends_with(b"none") || asked.ends_with(&[0, 0, 0, 99]);
    let gids = (1..=6000).map(|gid| group::<&str>("g", gid, &[]));
    let entries = match action {
        _ if miss => vec![],
        action::USER | action::UID => vec![user("a", 1001, 10)],
        action::USERS => vec![user("a", 1001, 10), user("b", 1002, 10)],
        action::GROUP | action::GID => vec![group("big", 5, &members())],
        action::GROUPS => vec![group("big", 5, &members()), group("big", 6, &["a"])],
        action::GROUPS_OF if asked.ends_with(b"few") => gids.take(3).collect(),
        action::GROUPS_OF => gids.collect(),
        _ => vec![shadow("a", [u32::MAX; 7])],
    };
    reply(action, &entries)
}

#[test]
fn nslcd_is_asked_without_allocation() {
    let stage = Stage::new();
    let _nslcd = FakeNslcd::new(&stage.socket(), |client, _| {
        let asked = read_request(client)?;
        client.write_all(&answer(&asked))
    });
    let a = passwd_reply(["a", "*"], 1001, 10, ["G", "/h", "/s"]);
    let b = passwd_reply(["b", "*"], 1002, 10, ["G", "/h", "/s"]);
    let members = members();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    let (big, small) = (group_reply("big", "*", 5, &members), group_reply("big", "*", 6, &["a"]));
    let aged = shadow_reply("a", "*", [-1; 7]);
    for (number, daemon) in daemons(&stage, &[]).into_iter().enumerate() {
        for _ in 0..30 {
            daemon.expect(&by_name(op::PWD_GETBYNAME, "a"), &a);
            daemon.expect(&by_id(op::PWD_GETBYUID, 1001), &a);
            daemon.expect(&by_name(op::SHADOW_GETBYNAME, "a"), &aged);
            assert_answers(&daemon, &by_name(op::GRP_GETBYNAME, "big"), &big);
            assert_answers(&daemon, &by_id(op::GRP_GETBYGID, 5), &big);
            for db in [op::PWD_GETBYNAME, op::GRP_GETBYNAME, op::SHADOW_GETBYNAME] {
                daemon.expect(&by_name(db, "none"), &[255]);
                daemon.expect(&by_name(db, ""), &[255]);
            }
            daemon.expect(&by_id(op::PWD_GETBYUID, 99), &[255]);
            daemon.expect(&grouplist(2, "few"), &grouplist_reply(2, &[1, 2, 3]));
            daemon.expect(&[op::PWD_GET], &a);
            daemon.expect(&[op::SHADOW_GET], &aged);
            daemon.expect(&[op::PWD_GET], &b);
            daemon.expect(&[op::PWD_GET], &[255]);
            daemon.expect(&[op::SHADOW_REWIND], &[0]);
            daemon.expect(&[op::PWD_END], &[0]);
        }
        assert_answers(&daemon, &[op::GRP_GET], &big);
        daemon.expect(&[op::GRP_GET], &small);
        daemon.expect(&[op::GRP_GET], &[255]);
        // More than are kept; a merge says so.
        let gids: Vec<u32> = (1..=6000).collect();
        let want = match number {
            0 => grouplist_reply(6000, &gids),
            _ => vec![u8::try_from(Errno::RANGE.raw_os_error()).unwrap()],
        };
        daemon.expect(&grouplist(6000, "many"), &want);
        assert_ended(daemon, 0);
    }
}

#[test]
fn failures_of_nslcd_are_met_without_allocation() {
    let stage = Stage::new();
    let requests = [
        by_name(op::PWD_GETBYNAME, "a"),
        by_id(op::GRP_GETBYGID, 5),
        grouplist(9, "a"),
        vec![op::PWD_GET],
    ];
    let fail = |daemon: &Daemon| {
        for request in &requests {
            let status = daemon.ask(request, 1)[0];
            assert!(status != 0 && status != 255, "{request:?}: {status}");
            daemon.expect(&[op::PWD_END], &[0]);
        }
    };
    // Missing, refusing, closing, breaking off, talking nonsense, silent.
    let daemons = daemons(&stage, &["-t", "50"]);
    daemons.iter().for_each(fail);
    drop(std::os::unix::net::UnixListener::bind(stage.socket()).unwrap());
    daemons.iter().for_each(fail);
    std::fs::remove_file(stage.socket()).unwrap();
    for (said, silent) in
        [(vec![], false), (words(&[2]), false), (words(&[2, 3, 4, 5]), false), (vec![], true)]
    {
        let _nslcd = FakeNslcd::new(&stage.socket(), move |client, _| {
            read_request(client)?;
            client.write_all(&said)?;
            if silent {
                std::thread::park_timeout(DEADLINE);
            }
            Ok(())
        });
        daemons.iter().for_each(fail);
    }
    daemons.into_iter().for_each(|daemon| assert_ended(daemon, 0));
}

#[test]
fn a_large_group_that_changed_ends_the_daemon_without_allocation() {
    let stage = Stage::new();
    for _ in 0..3 {
        let _nslcd = FakeNslcd::new(&stage.socket(), |client, number| {
            read_request(client)?;
            let mut members = members();
            members[4000] = format!("member{}", number % 2);
            client.write_all(&reply(action::GROUP, &[group("big", 5, &members)]))
        });
        for daemon in daemons(&stage, &[]) {
            daemon.send(&by_name(op::GRP_GETBYNAME, "big"));
            assert_eq!(receive_all(daemon.client())[0], 0);
            assert_ended(daemon, 111);
        }
    }
}
