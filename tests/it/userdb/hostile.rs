//! Large records and long lists, clients that do not read, and calls in rows.

use super::bench::{Bench, ask, ask_one, assert_lives, call, error, replies};
use crate::support::{Connection, Got, is_root, procfs, skip};
use serde_json::{Value, json};
use std::fmt::Write as _;

fn users(count: u32) -> String {
    (0..count).fold(String::new(), |mut all, n| {
        let _ = writeln!(all, "user{n}:x:{}:72001:User {n}:/home/user{n}:/bin/sh", 100_000 + n);
        all
    })
}

#[test]
fn a_group_of_any_size_is_told_member_by_member() {
    let mut group = String::from("big:x:72001:");
    (0..100_000).for_each(|n| write!(group, "{}member{n}", if n == 0 { "" } else { "," }).unwrap());
    let bench = Bench::new("", &(group + "\nbehind:x:72002:member99999\n"), "");
    let server = bench.serve(&[]);
    let client = server.connect();
    let group = ask_one(&client, "GetGroupRecord", json!({"groupName": "big"}));
    assert_eq!(group["parameters"]["record"]["gid"], 72001);
    let members = ask(&client, "GetMemberships", json!({"groupName": "big"}), true);
    let wanted = |n: usize| json!({"userName": format!("member{n}"), "groupName": "big"});
    assert_eq!(members.len(), 100_000);
    assert!(members.iter().enumerate().all(|(n, reply)| reply["parameters"] == wanted(n)));
    let pair = json!({"groupName": "big", "userName": "member99998"});
    assert_eq!(ask_one(&client, "GetMemberships", pair)["parameters"], wanted(99_998));
    let groups = ask(&client, "GetMemberships", json!({"userName": "member99999"}), true);
    let names: Vec<&Value> = groups.iter().map(|reply| &reply["parameters"]["groupName"]).collect();
    assert_eq!(names, ["big", "behind"]);
}

#[test]
fn a_record_longer_than_any_buffer_is_told_whole() {
    let gecos: String = (0..9000).map(|n| format!("{n}\t\"ü\u{7f} ")).collect();
    let home = format!("/home/{}", "d/".repeat(1500));
    let long = format!("long:x:72001:72001:{gecos}:{home}/./x:/bin//sh\n");
    let bench = Bench::new(
        &format!("{}{long}{}", users(3), users(1).replace("user0", "last")),
        "",
        "long:!:::::::\n",
    );
    let server = bench.serve(&[]);
    let client = server.connect();
    for key in [json!({"userName": "long"}), json!({"uid": 72001})] {
        let record = &ask_one(&client, "GetUserRecord", key)["parameters"]["record"];
        assert_eq!(record["realName"].as_str(), Some(&*gecos));
        assert_eq!(record["homeDirectory"].as_str(), Some(&*(home.clone() + "x")));
        assert_eq!(record["shell"], "/bin/sh");
        // Root, or whose file it is.
        assert_eq!(record["privileged"]["hashedPassword"], json!(["!"]));
    }
    let all = ask(&client, "GetUserRecord", json!({}), true);
    let names: Vec<&Value> =
        all.iter().map(|reply| &reply["parameters"]["record"]["userName"]).collect();
    assert_eq!(names, ["user0", "user1", "user2", "long", "last"]);
    assert_eq!(all[3]["parameters"]["record"]["realName"].as_str(), Some(&*gecos));
}

#[test]
fn a_long_record_that_may_not_be_told_is_passed_over() {
    let gecos = "g".repeat(50_000);
    let name = "n".repeat(300);
    let passwd = format!(
        "root:x:72001:1:{gecos}:/:/\n{name}:x:72002:1:{gecos}:/:/\nzero:x:0:0:{gecos}:/:/\n{}",
        users(1)
    );
    let bench = Bench::new(&passwd, "", "");
    let server = bench.serve(&[]);
    let client = server.connect();
    let all = ask(&client, "GetUserRecord", json!({}), true);
    assert_eq!(all.len(), 1, "{all:?}");
    for key in [
        json!({"userName": "root"}),
        json!({"uid": 72001}),
        json!({"uid": 72002}),
        json!({"userName": name}),
    ] {
        assert_eq!(ask_one(&client, "GetUserRecord", key), error("NoRecordFound"));
    }
    assert_eq!(
        ask_one(&client, "GetUserRecord", json!({"userName": "zero"})),
        error("NoRecordFound")
    );
}

/// Others are served while one does not read, and what he is told has no end.
#[test]
fn who_does_not_read_a_list_holds_nobody() {
    let bench = Bench::new(&users(20_000), "", "");
    let server = bench.serve(&[]);
    let slow = server.connect();
    slow.send(&call("GetUserRecord", json!({}), true));
    for _ in 0..50 {
        let client = server.connect();
        let record = ask_one(&client, "GetUserRecord", json!({"uid": 119_999}));
        assert_eq!(record["parameters"]["record"]["userName"], "user19999");
    }
    let all = replies(&slow).expect("the whole list");
    assert_eq!(all.len(), 20_000);
}

#[test]
fn calls_in_a_row_are_answered_in_order_and_each_list_begins_anew() {
    let bench = Bench::new(&users(50), "", "");
    let server = bench.serve(&[]);
    let client = server.connect();
    let mut calls = Vec::new();
    for n in 0..30 {
        calls.extend(call("GetUserRecord", json!({"userName": format!("user{n}")}), false));
        calls.extend(call("GetUserRecord", json!({}), true));
    }
    client.send(&calls);
    let mut bytes = Vec::new();
    let wanted = 30 * 51;
    while bytes.iter().filter(|byte| **byte == 0).count() < wanted {
        let Got::Bytes(more) = client.recv(crate::support::DEADLINE) else {
            panic!("{wanted} replies")
        };
        bytes.extend(more);
    }
    let messages: Vec<Value> = bytes
        .split(|byte| *byte == 0)
        .filter(|m| !m.is_empty())
        .map(|m| serde_json::from_slice(m).unwrap())
        .collect();
    for (n, of_one) in messages.chunks(51).enumerate() {
        assert_eq!(of_one[0]["parameters"]["record"]["userName"], format!("user{n}"));
        assert!(of_one[1..].iter().enumerate().all(|(at, reply)| {
            reply["parameters"]["record"]["userName"] == format!("user{at}")
        }));
    }
}

#[test]
fn memory_does_not_grow_with_clients_that_leave() {
    if !is_root() {
        return skip(
            "memory_does_not_grow_with_clients_that_leave",
            "only root sees a server's memory",
        );
    }
    let bench = Bench::new(&users(2000), "", "");
    let server = bench.serve(&[]);
    let round = || {
        let clients: Vec<Connection> = (0..100).map(|_| server.connect()).collect();
        clients.iter().for_each(|client| client.send(&call("GetUserRecord", json!({}), true)));
        drop(clients);
        assert_lives(&server);
    };
    (0..3).for_each(|_| round());
    let before = procfs::own_memory(server.pid());
    (0..50).for_each(|_| round());
    let after = procfs::own_memory(server.pid());
    // Those of a round may come before the server has seen the last ones leave, and then take places
    // that were never used: some 6 KiB each.
    assert!(after <= before + 800, "{before} KiB, then {after}");
}

/// Who comes back before the end of his last connection was seen takes another place, not each time
/// one more: a place takes some kilobytes.
#[test]
fn one_client_after_another_takes_few_places() {
    if !is_root() {
        return skip(
            "one_client_after_another_takes_few_places",
            "only root sees a server's memory",
        );
    }
    let bench = Bench::new(&users(20), "", "");
    let server = bench.serve(&[]);
    let ask = || ask_one(&server.connect(), "GetUserRecord", json!({"userName": "user7"}));
    ask();
    let before = procfs::own_memory(server.pid());
    for _ in 0..2000 {
        ask();
    }
    let after = procfs::own_memory(server.pid());
    assert!(after <= before + 48, "{before} KiB, then {after}");
}

#[test]
fn a_shadow_file_that_is_not_there_has_no_lines() {
    let bench = Bench::new(&users(1), "", "");
    std::fs::remove_file(bench.dir.join("shadow")).unwrap();
    let server = bench.serve(&[]);
    let record = ask_one(&server.connect(), "GetUserRecord", json!({"userName": "user0"}));
    assert_eq!(record["parameters"]["incomplete"], !is_root());
    assert_eq!(record["parameters"]["record"]["privileged"], Value::Null);
}

/// Who is silent, or rests, gives way to who asks: the oldest of a uid first.
#[test]
fn silence_keeps_nobody_out() {
    let bench = Bench::new(&users(3), "", "");
    let server = bench.serve(&["-c", "4", "-C", "4"]);
    let rested = server.connect();
    ask_one(&rested, "GetUserRecord", json!({"userName": "user0"}));
    let silent: Vec<Connection> = (0..1000).map(|_| server.connect()).collect();
    for n in 0..20 {
        let client = server.connect();
        let record =
            ask_one(&client, "GetUserRecord", json!({"userName": format!("user{}", n % 3)}));
        assert_eq!(record["parameters"]["record"]["uid"], 100_000 + n % 3);
    }
    // That one came first.
    rested.expect_eof();
    drop(silent);
}

/// Over the limits a call waits; an answered connection that asks nothing is in nobody's way.
#[test]
fn a_call_over_the_limit_waits_for_its_turn() {
    let bench = Bench::new(&users(3), "", "");
    let server = bench.serve(&["-c", "1", "-C", "1"]);
    let clients: Vec<Connection> = (0..50).map(|_| server.connect()).collect();
    for round in 0..3 {
        for client in &clients {
            client.send(&call("GetUserRecord", json!({"uid": 100_000 + round}), false));
        }
        for client in &clients {
            let record = replies(client).expect("an answer");
            assert_eq!(record[0]["parameters"]["record"]["userName"], format!("user{round}"));
        }
    }
}

/// What JSON cannot hold as it stands, or systemd's clients refuse.
#[test]
fn odd_bytes_are_told_as_they_can_be_or_not_at_all() {
    let bench = Bench::new("", "", "");
    let passwd: &[u8] = b"jo:x:72001:1:J\xf6rg, \"x\" \\ \x01\x7f:/home/j\xf6:/bin/sh\n\
        J\xf6rg:x:72002:1::/:/bin/sh\nq\"\\q:x:72003:1::/:/bin/sh\n\xef\xbf\xbe:x:72004:1::/:/\n\
        bell\x07:x:72005:1::/:/\n blank:x:72006:1::/:/\nKing.of-Kings$:x:72007:1:\xf0\x9f\x98\x80:/k:/k\n";
    bench.dir.write("passwd", passwd);
    let server = bench.serve(&[]);
    let all = ask(&server.connect(), "GetUserRecord", json!({}), true);
    let fields = |field: &str| -> Vec<Value> {
        all.iter().map(|reply| reply["parameters"]["record"][field].clone()).collect()
    };
    assert_eq!(fields("userName"), ["jo", "q\"\\q", "King.of-Kings$"]);
    assert_eq!(fields("realName"), ["J\u{fffd}rg, \"x\" \\ \u{1}\u{7f}", "", "\u{1f600}"]);
    assert_eq!(fields("homeDirectory"), ["/", "/", "/k"]);
    for key in [json!({"userName": "q\"\\q"}), json!({"uid": 72003})] {
        let user = ask_one(&server.connect(), "GetUserRecord", key);
        assert_eq!(user["parameters"]["record"]["userName"], "q\"\\q");
    }
    for key in [json!({"uid": 72002}), json!({"uid": 72004}), json!({"userName": "bell\u{7}"})] {
        assert_eq!(ask_one(&server.connect(), "GetUserRecord", key), error("NoRecordFound"));
    }
}
