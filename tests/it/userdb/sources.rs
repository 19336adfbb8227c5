//! Sources that are other programs: asked by workers, as with nscd.

use super::bench::{Bench, ask, ask_one, assert_lives, call, error, replies};
use crate::support::script::MUTE;
use crate::support::{procfs, wait_until};
use serde_json::{Value, json};
use std::fs;

const ADA: &str = "ada:x:72001:72001:Ada:/home/ada:/bin/sh\n";

/// A program with files of its own: a switch is never run inside.
fn program(bench: &Bench, passwd: &str, group: &str) -> [String; 6] {
    let dir = bench.dir.subdirectory("other");
    fs::write(dir.join("passwd"), passwd).unwrap();
    fs::write(dir.join("group"), group).unwrap();
    fs::write(dir.join("shadow"), "net:!:::::::\n").unwrap();
    let [switch, bits, unix, option, end] =
        ["nsssd-switch", " 0", " nsssd-unix", " -d", " "].map(str::to_owned);
    [switch, bits, unix, option, format!(" {}", dir.display()), end]
}

fn script<'a>(bench: &'a Bench, words: &'a [String]) -> Vec<&'a str> {
    let mut script = vec!["3", "nsssd-unix", "-d", bench.dir.as_str(), "", "0"];
    script.extend(words.iter().map(String::as_str));
    script
}

#[test]
fn a_program_is_asked_and_its_lists_are_told() {
    let bench = Bench::new(ADA, "staff:x:72001:ada\n", "");
    let words = program(
        &bench,
        "net:x:75000:75000:Net:/home/net:/bin/sh\n",
        "nets:x:75000:net\nmore:x:75001:ada,net\n",
    );
    let mut script = script(&bench, &words);
    script.push("");
    let server = bench.serve_script(&["-t", "4000"], &script);
    let client = server.connect();
    let name = |reply: &Value| reply["parameters"]["record"]["userName"].clone();
    assert_eq!(name(&ask_one(&client, "GetUserRecord", json!({"userName": "net"}))), "net");
    assert_eq!(name(&ask_one(&client, "GetUserRecord", json!({"uid": 75000}))), "net");
    assert_eq!(name(&ask_one(&client, "GetUserRecord", json!({"userName": "ada"}))), "ada");
    assert_eq!(
        ask_one(&client, "GetUserRecord", json!({"userName": "nosuch"})),
        error("NoRecordFound")
    );
    let conflict = json!({"userName": "net", "uid": 72001});
    assert_eq!(ask_one(&client, "GetUserRecord", conflict), error("ConflictingRecordFound"));
    let users: Vec<Value> =
        ask(&client, "GetUserRecord", json!({}), true).iter().map(name).collect();
    assert_eq!(users, ["ada", "net"]);
    let groups = ask(&client, "GetMemberships", json!({"userName": "ada"}), true);
    let groups: Vec<&Value> =
        groups.iter().map(|reply| &reply["parameters"]["groupName"]).collect();
    assert_eq!(groups, ["staff", "more"]);
    let all = ask(&client, "GetMemberships", json!({}), true);
    assert_eq!(all.len(), 4);
}

#[test]
fn a_source_that_hangs_is_no_answer_and_delays_nobody_else() {
    let bench = Bench::new(ADA, "staff:x:72001:ada\n", "");
    let server = bench.serve_script(
        &["-t", "100"],
        &[
            "3",
            "nsssd-unix",
            "-d",
            bench.dir.as_str(),
            "",
            "0",
            "sh",
            " -c",
            &format!(" {MUTE}"),
            "",
        ],
    );
    let waiting: Vec<_> = (0..12)
        .map(|_| {
            let client = server.connect();
            client.send(&call("GetUserRecord", json!({"userName": "net"}), false));
            client
        })
        .collect();
    for _ in 0..20 {
        let record = ask_one(&server.connect(), "GetUserRecord", json!({"userName": "ada"}));
        assert_eq!(record["parameters"]["record"]["uid"], 72001);
    }
    // Closed, or told that it is not known; never told that there is none.
    for client in waiting {
        if let Some(reply) = replies(&client) {
            assert_eq!(reply, [error("ServiceNotAvailable")]);
        }
    }
    assert_lives(&server);
}

#[test]
fn a_source_that_fails_is_not_one_that_has_nobody() {
    let bench = Bench::new(ADA, "", "");
    let server = bench
        .serve_script(&[], &["3", "nsssd-unix", "-d", bench.dir.as_str(), "", "0", "false", ""]);
    let client = server.connect();
    for (method, key, more) in [
        ("GetUserRecord", json!({"userName": "net"}), false),
        ("GetGroupRecord", json!({"gid": 75000}), false),
        ("GetUserRecord", json!({}), true),
        ("GetMemberships", json!({"userName": "net"}), true),
    ] {
        client.send(&call(method, key, more));
        let Some(all) = replies(&client) else { return };
        assert_eq!(all.last(), Some(&error("ServiceNotAvailable")), "{method}: {all:?}");
    }
    wait_until("no program is left", || procfs::children(server.pid()).len() <= 8);
}

/// A file that cannot be read is a failure, too: here a directory in its place.
#[test]
fn a_list_that_breaks_says_so() {
    let bench = Bench::new(ADA, "", "");
    fs::remove_file(bench.dir.join("group")).unwrap();
    fs::create_dir(bench.dir.join("group")).unwrap();
    let server = bench.serve(&[]);
    let client = server.connect();
    assert_eq!(
        ask_one(&client, "GetGroupRecord", json!({"groupName": "x"})),
        error("ServiceNotAvailable")
    );
    let all = ask(&client, "GetGroupRecord", json!({}), true);
    assert_eq!(all, [error("ServiceNotAvailable")]);
    assert_eq!(ask(&client, "GetUserRecord", json!({}), true).len(), 1);
}

/// One process, one switch, three protocols.
#[cfg(feature = "nscd")]
#[test]
fn nscd_and_nsss_are_served_by_the_same_process() {
    use crate::support::nscd::{ask as nscd_ask, asked, request, user};
    use crate::support::{Connection, Server, by_name, op, passwd_reply, tool};
    // What stands for itself: `x` would depend on this machine's nsswitch.conf.
    let bench = Bench::new(&ADA.replace(":x:", ":*:"), "staff:x:72001:ada\n", "");
    let (nscd, nsss) = (bench.dir.join("nscd"), bench.dir.join("nsss"));
    let mut command = tool(&bench.dir.bin(), "nscd");
    command.arg("-1").arg("-S").arg(&nscd).arg("--nsss").arg(&nsss);
    command.arg(format!("--userdb={}", bench.socket().display())).args(bench.unix());
    let server = Server::start_command(command, &bench.socket());
    let line = "ada:*:72001:72001:Ada:/home/ada:/bin/sh";
    let client = server.connect();
    for _ in 0..3 {
        assert_eq!(asked(&nscd, &request(nscd_ask::USER, "ada")), user(line));
        let record = ask_one(&client, "GetUserRecord", json!({"uid": 72001}));
        assert_eq!(record["parameters"]["record"]["userName"], "ada");
        let reply = passwd_reply(["ada", "*"], 72001, 72001, ["Ada", "/home/ada", "/bin/sh"]);
        Connection::connect(&nsss).expect(&by_name(op::PWD_GETBYNAME, "ada"), &reply);
    }
}

/// Its value is joined to it: what follows is the script.
#[cfg(feature = "nscd")]
#[test]
fn userdb_of_nscd_takes_no_word() {
    use crate::support::{run_to_end, tool};
    let bench = Bench::new("", "", "");
    let mut command = tool(&bench.dir.bin(), "nscd");
    command.arg("-S").arg(bench.dir.join("nscd")).args(["--userdb", "3", "nsssd-unix", ""]);
    let done = run_to_end(command);
    assert_eq!(done.code, Some(100), "{}", done.stderr);
    assert!(done.stderr.contains("nothing but local files"), "{}", done.stderr);
}

/// A program may do something with each entry, and takes an end for the end of the list.
#[test]
fn a_list_of_a_program_waits_for_a_slow_reader() {
    let bench = Bench::new(ADA, "", "");
    let users: String = (0..20_000)
        .map(|n| format!("user{n}:x:{}:75000:User {n}:/home/user{n}:/bin/sh\n", 100_000 + n))
        .collect();
    let words = program(&bench, &users, "");
    let mut script = script(&bench, &words);
    script.push("");
    let server = bench.serve_script(&["-t", "500"], &script);
    let client = server.connect();
    client.send(&call("GetUserRecord", json!({}), true));
    // In all far more than a reply of one record may take, each pause far shorter.
    let (mut bytes, mut messages) = (client.recv_exact(4096), 0);
    for _ in 0..28 {
        std::thread::sleep(std::time::Duration::from_millis(250));
        bytes.extend(client.recv_exact(4096));
    }
    messages += bytes.iter().filter(|byte| **byte == 0).count();
    while messages < 20_001 {
        match client.recv(crate::support::DEADLINE) {
            crate::support::Got::Bytes(more) => {
                messages += more.iter().filter(|byte| **byte == 0).count();
                bytes = more;
            }
            other => panic!("{other:?} after {messages} records"),
        }
    }
    assert!(!String::from_utf8_lossy(&bytes).ends_with("continues\":true}\0"));
}

/// A source that takes upper and lower case for the same has somebody of another name: of the one that was
/// asked for nobody is told, and that is no failure. (nscd tells him in the source's spelling.)
#[cfg(feature = "nsssd-nslcd")]
#[test]
fn a_name_in_other_letters_is_nobodys() {
    use crate::support::nslcd::{self, FakeNslcd, action};
    let bench = Bench::new(ADA, "", "");
    let path = bench.dir.join("nslcd");
    let answer = |action, argument: &[u8], entries: &[Vec<u8>]| {
        (nslcd::request(action, argument), nslcd::reply(action, entries))
    };
    let (john, staff) =
        (nslcd::user("john", 72005, 72006), nslcd::group("staff", 72007, &["john"]));
    let id = |id: u32| nslcd::words(&[id]);
    let _nslcd = FakeNslcd::with_table(
        &path,
        vec![
            answer(action::USER, &nslcd::text("john"), std::slice::from_ref(&john)),
            answer(action::USER, &nslcd::text("JOHN"), std::slice::from_ref(&john)),
            answer(action::USER, &nslcd::text("jane"), std::slice::from_ref(&john)),
            answer(action::UID, &id(72005), &[john]),
            answer(action::GROUP, &nslcd::text("Staff"), std::slice::from_ref(&staff)),
            answer(action::GROUP, &nslcd::text("staff"), &[staff]),
        ],
    );
    let script = ["3", "nsssd-unix", "-d", bench.dir.as_str(), ""];
    let script = [&script[..], &["0", "nsssd-nslcd", path.to_str().unwrap(), ""]].concat();
    let server = bench.serve_script(&["-t", "4000"], &script);
    let one = |method, key| ask_one(&server.connect(), method, key);
    let john = one("GetUserRecord", json!({"userName": "john"}));
    assert_eq!(john["parameters"]["record"]["uid"], 72005);
    let none = error("NoRecordFound");
    assert_eq!(one("GetUserRecord", json!({"userName": "JOHN"})), none);
    assert_eq!(one("GetGroupRecord", json!({"groupName": "Staff"})), none);
    let members = |group: &str| json!({"groupName": group, "userName": "john"});
    assert_eq!(one("GetMemberships", members("Staff")), none);
    assert_eq!(one("GetMemberships", members("staff"))["parameters"]["groupName"], "staff");
    // The number is another's.
    let both = one("GetUserRecord", json!({"userName": "JOHN", "uid": 72005}));
    assert_eq!(both, error("ConflictingRecordFound"));
    // One who is called otherwise altogether: the source errs.
    assert_eq!(one("GetUserRecord", json!({"userName": "jane"})), error("ServiceNotAvailable"));
}
