//! One answer by each way: in process in the switch, as a program, ipcserver, nscd, getent, userdb.
#![cfg(all(feature = "nsscache", feature = "getent", feature = "nscd", feature = "ipcserver"))]

use super::bench::{Bench, Told, told};
use crate::support::nscd::{ask, read_to_end, request};
use crate::support::{Daemon, Server, by_id, by_name, grouplist, grouplist_reply, op, run_to_end};

const ADA: &str = "ada:x:70001:70001:Ada:/home/ada:/bin/sh";

fn bench() -> Bench {
    let mut bench = Bench::new();
    let filler: String =
        (0..2000).map(|n| format!("u{n}:x:{}:1::/:/bin/sh\n", 10_000 + n)).collect();
    bench.write("passwd.cache", format!("{filler}{ADA}\n{filler}"));
    bench.write("group.cache", "ada:*:70001:\nstaff:*:70050:u1,ada\nmore:*:70051:ada\n");
    bench.write("shadow.cache", "ada:*:19000:0:99999:7:::\n");
    bench.index();
    bench
}

#[track_caller]
fn expect(daemon: &Daemon, way: &str) {
    let line = |text: &str| Told::Line(text.to_owned());
    assert_eq!(told(daemon, &by_name(op::PWD_GETBYNAME, "ada")), line(ADA), "{way}");
    assert_eq!(told(daemon, &by_id(op::PWD_GETBYUID, 70_001)), line(ADA), "{way}");
    assert_eq!(
        told(daemon, &by_id(op::GRP_GETBYGID, 70_050)),
        line("staff:*:70050:u1,ada"),
        "{way}"
    );
    assert_eq!(
        told(daemon, &by_name(op::SHADOW_GETBYNAME, "ada")),
        line("ada:*:19000:0:99999:7:::"),
        "{way}"
    );
    assert_eq!(told(daemon, &by_name(op::PWD_GETBYNAME, "nobody-there")), Told::NotFound, "{way}");
    daemon.expect(&grouplist(9, "ada"), &grouplist_reply(9, &[70_050, 70_051]));
}

#[test]
fn a_switch_asks_it_in_process_and_as_a_program() {
    let bench = bench();
    let dir = bench.stage.dir.as_str().to_owned();
    let words = ["nsssd-cache", "-d", &dir];
    for options in [&[][..], &["--spawn"], &["-m"]] {
        let daemon = bench.stage.switch(options, &[(0, &words)]);
        expect(&daemon, &format!("{options:?}"));
    }
}

#[test]
fn ipcserver_and_nscd_serve_it() {
    let bench = bench();
    let dir = bench.stage.dir.as_str().to_owned();
    let script = ["nsssd-switch", "0", "nsssd-cache", "-d", &dir, ""];
    let server = Server::start(&bench.stage.bin, bench.stage.dir.path(), &["-q"], &script);
    let client = server.connect();
    client.send(&by_name(op::PWD_GETBYNAME, "ada"));
    assert_eq!(client.recv_exact(1), [0]);
    drop(server);

    let socket = bench.stage.dir.join("nscd");
    let mut command = bench.stage.applet("nscd");
    command.args(["-1", "-q", "-S"]).arg(&socket).args(&script[1..]);
    let server = Server::start_command(command, &socket);
    let asked = |kind: i32, key: &str| {
        let client = server.connect();
        client.send(&request(kind, key));
        read_to_end(&client)
    };
    let reply = asked(ask::USER, "ada");
    assert!(reply.ends_with(b"Ada\0/home/ada\0/bin/sh\0"), "{}", reply.escape_ascii());
    assert_eq!(asked(ask::UID, "70001"), reply);
}

#[test]
fn getent_knows_it_as_cache() {
    let bench = bench();
    let list = format!("cache -d {}", bench.stage.dir.as_str());
    let get = |words: &[&str]| {
        let mut command = bench.stage.applet("getent");
        command.args(["-s", &list]).args(words);
        let done = run_to_end(command);
        (done.code, String::from_utf8(done.stdout).unwrap())
    };
    assert_eq!(get(&["passwd", "ada"]), (Some(0), format!("{ADA}\n")));
    assert_eq!(get(&["passwd", "70001"]), (Some(0), format!("{ADA}\n")));
    assert_eq!(
        get(&["initgroups", "ada"]),
        (Some(0), "ada                   70050 70051\n".to_owned())
    );
    assert_eq!(get(&["passwd", "nosuch"]).0, Some(2));
    assert_eq!(get(&["passwd"]).1.lines().count(), 4001);
}

#[cfg(feature = "userdb")]
#[test]
fn userdb_serves_it() {
    let bench = bench();
    let dir = bench.stage.dir.as_str().to_owned();
    let socket = bench.stage.dir.join("org.example.Cache");
    let mut command = bench.stage.applet("userdb");
    command.args(["-1", "-q", "-S"]).arg(&socket).args(["0", "nsssd-cache", "-d", &dir, ""]);
    let server = Server::start_command(command, &socket);
    let client = server.connect();
    client.send(
        b"{\"method\":\"io.systemd.UserDatabase.GetUserRecord\",\"parameters\":{\"userName\":\"ada\",\
          \"service\":\"org.example.Cache\"}}\0",
    );
    let mut reply = Vec::new();
    while reply.last() != Some(&0) {
        reply.extend(client.recv_exact(1));
    }
    let text = String::from_utf8(reply).unwrap();
    assert!(text.contains("\"uid\":70001") && text.contains("/home/ada"), "{text}");
}

/// A new set is seen by the next lookup, with its indexes or without.
#[test]
fn a_new_set_is_seen_at_once() {
    let mut bench = bench();
    for round in 0..5 {
        let lines: String = (0..3000)
            .map(|n| format!("v{round}.{n}:x:{}:1::/:\n", 100_000 * (round + 1) + n))
            .collect();
        bench.stage.dir.replace("passwd.cache", &lines);
        let want = Told::Line(format!("v{round}.777:x:{}:1::/:", 100_000 * (round + 1) + 777));
        assert_eq!(bench.call("getpwnam", &format!("v{round}.777")), want);
        assert_eq!(bench.call("getpwuid", &(100_000 * (round + 1) + 777).to_string()), want);
        assert_eq!(bench.call("getpwnam", "ada"), Told::NotFound);
        if round % 2 == 0 {
            // Not by a daemon that was started anew.
            let mut command = bench.stage.applet("nsscache");
            command.args(["index", "-d", bench.stage.dir.as_str(), "passwd"]);
            assert_eq!(run_to_end(command).code, Some(0));
            assert_eq!(bench.call("getpwnam", &format!("v{round}.777")), want);
        }
    }
    bench.restart();
}
