//! Many users, many clients.

use super::bench::{Bench, ask_one, assert_lives, call, replies};
use crate::support::{Connection, DEADLINE, Got, is_root, procfs, skip};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Lines of so many users.
fn users(count: u32) -> String {
    (0..count).fold(String::new(), |mut all, n| {
        let _ = writeln!(all, "u{n}:x:{}:72001:User {n}:/home/u{n}:/bin/sh", 100_000 + n);
        all
    })
}

/// Reads on: how many messages there were, and the last bytes.
fn read_on(client: &Connection, messages: &mut usize) -> Option<Vec<u8>> {
    match client.recv(DEADLINE) {
        Got::Bytes(more) => {
            *messages += more.iter().filter(|byte| **byte == 0).count();
            Some(more)
        }
        Got::End => None,
        Got::Nothing => panic!("nothing after {messages} records"),
    }
}

/// Whoever stops in between gets all of it, and takes no memory for what he did not read.
#[test]
fn a_million_users_are_listed_to_a_slow_reader() {
    // The executable of a quick run is not optimised.
    let count = if std::env::var_os("NSSBOX_TEST_STRICT").is_some() { 1_000_000 } else { 100_000 };
    let bench = Bench::new(&users(count as u32), "", "");
    let server = bench.serve(&[]);
    assert_lives(&server);
    let before = is_root().then(|| procfs::own_memory(server.pid()));
    let client = server.connect();
    client.send(&call("GetUserRecord", json!({}), true));
    let (mut messages, mut last) = (0, Vec::new());
    let mut pauses = 0;
    while messages < count {
        last = read_on(&client, &mut messages).expect("not the end");
        // Others ask while he does not read.
        if messages > pauses * count / 10 {
            pauses += 1;
            let user = ask_one(&server.connect(), "GetUserRecord", json!({"uid": 100_007}));
            assert_eq!(user["parameters"]["record"]["userName"], "u7");
        }
    }
    assert!(last.ends_with(b"}\0") && !last.ends_with(b"\"continues\":true}\0"));
    if let Some(before) = before {
        let after = procfs::own_memory(server.pid());
        assert!(after <= before + 1024, "{before} KiB, then {after}");
    }
    // And a second call of the same connection is answered.
    let user = ask_one(&client, "GetUserRecord", json!({"uid": 100_000}));
    assert_eq!(user["parameters"]["record"]["userName"], "u0");
}

/// Shadow beyond any index is read in the order of passwd. Of some who have no line, and of others whose
/// line is elsewhere, nothing wrong is told.
#[test]
fn each_of_a_long_list_has_his_own_hash() {
    if !is_root() {
        return skip("each_of_a_long_list_has_his_own_hash", "only root is told");
    }
    const COUNT: usize = 45_000;
    let hash = |n: usize| format!("$6${n}${}", "h".repeat(80));
    let mut lines: Vec<String> = (0..COUNT)
        .filter(|n| n % 3000 != 7)
        .map(|n| format!("u{n}:{}:19000:0:99999:7:::\n", hash(n)))
        .collect();
    lines.swap(10, 40_000);
    lines.insert(100, "nobodys:*:1::::::\nbad line\n".into());
    lines.push("u1:other:1::::::\n".into());
    let bench = Bench::new(&users(COUNT as u32), "", &lines.concat());
    let server = bench.serve(&[]);
    let client = server.connect();
    client.send(&call("GetUserRecord", json!({}), true));
    let (mut messages, mut all) = (0, Vec::new());
    while messages < COUNT {
        all.extend(read_on(&client, &mut messages).expect("not the end"));
    }
    let all = String::from_utf8(all).expect("UTF-8");
    assert_eq!(messages, COUNT);
    for (n, reply) in all.split_terminator('\0').enumerate() {
        assert!(reply.contains(&format!("\"userName\":\"u{n}\"")), "{reply}");
        let wanted = format!("\"hashedPassword\":[\"{}\"]", hash(n));
        let is_told =
            if n % 3000 == 7 { !reply.contains("privileged") } else { reply.contains(&wanted) };
        assert!(is_told, "{reply}");
    }
}

/// All of them ask, none leaves: each is answered once.
#[test]
fn thousands_of_clients_are_answered() {
    let bench = Bench::new(&users(100), "", "");
    let server = bench.serve(&[]);
    let python = "import socket, sys, resource\n\
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n\
        count = min(5000, hard - 50)\n\
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))\n\
        again = 0\n\
        def ask(n):\n\
        \x20 c = socket.socket(socket.AF_UNIX); c.connect(sys.argv[1]); c.settimeout(40)\n\
        \x20 c.sendall(sys.argv[2].replace('77', str(100000 + n % 100)).encode() + b'\\0')\n\
        \x20 return c\n\
        clients = [ask(n) for n in range(count)]\n\
        for n, c in enumerate(clients):\n\
        \x20 text = b''\n\
        \x20 while not text.endswith(b'\\0'):\n\
        \x20   more = c.recv(4096)\n\
        \x20   if not more:\n\
        \x20     # On a machine so busy that a second passes between connect and call.\n\
        \x20     again += 1\n\
        \x20     assert again < 20 and not text, 'closed: %d' % n\n\
        \x20     c = ask(n)\n\
        \x20   text += more\n\
        \x20 assert ('\"userName\":\"u%d\"' % (n % 100)).encode() in text, text\n\
        print(count)\n";
    let call = call("GetUserRecord", json!({"uid": 77}), false);
    let call = String::from_utf8(call[..call.len() - 1].to_vec()).unwrap();
    let mut command = std::process::Command::new("python3");
    command.args(["-c", python]).arg(server.socket()).arg(call);
    let done = crate::support::run_to_end(command);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(String::from_utf8_lossy(&done.stdout).trim().parse::<u32>().unwrap() > 900);
    assert_lives(&server);
}

/// A client that leaves in the middle of a list is in nobody's way, nor is what it was told.
#[test]
fn lists_that_are_left_and_lists_that_go_on_do_not_meet() {
    let bench = Bench::new(&users(3000), &"g:x:5:a,b\n".repeat(2000), "");
    let server = bench.serve(&[]);
    for _ in 0..5 {
        let (one, other, third) = (server.connect(), server.connect(), server.connect());
        one.send(&call("GetUserRecord", json!({}), true));
        other.send(&call("GetMemberships", json!({}), true));
        third.send(&call("GetUserRecord", json!({}), true));
        drop(one);
        let all = replies(&third).expect("a list");
        let is_nth = |(n, reply): (usize, &Value)| {
            reply["parameters"]["record"]["userName"] == format!("u{n}")
        };
        assert!(all.len() == 3000 && all.iter().enumerate().all(is_nth));
        let all = replies(&other).expect("a list");
        assert!(all.len() == 4000 && all.iter().all(|r| r["parameters"]["groupName"] == "g"));
    }
}
