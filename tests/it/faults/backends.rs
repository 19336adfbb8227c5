//! `nscd` and `ipcserver` over a backend that is a program and crashes, hangs, or says too much:
//! its client gets an answer or a closed connection, never a wrong answer, and nobody else notices.
#![cfg(all(
    feature = "ipcserver",
    feature = "nscd",
    feature = "nsssd-switch",
    feature = "nsssd-unix"
))]

use crate::support::nscd::{Bench, ask, asked, group, request, user};
use crate::support::procfs;
use crate::support::script::{MUTE, say, take};
use crate::support::{Server, by_name, group_reply, op, passwd_reply, receive_all, wait_until};
use std::fs;

const ADA: &str = "ada:*:1001:1001:Ada:/home/ada:/bin/sh";
const NET: &str = "net:*:5000:5000:Net:/home/net:/bin/sh";

/// What a backend is asked for, and what it should say.
fn exchange() -> (Vec<u8>, Vec<u8>) {
    let reply = passwd_reply(["net", "*"], 5000, 5000, ["Net", "/home/net", "/bin/sh"]);
    (by_name(op::PWD_GETBYNAME, "net"), reply)
}

/// The ways to fail in a lookup of a small record.
fn failures() -> Vec<(&'static str, String)> {
    let (request, reply) = exchange();
    let cut = |len: usize| say(&reply[..len]);
    vec![
        ("ends at once", "exit 0".into()),
        ("is killed at once", "kill -KILL $$".into()),
        ("ends in the request", take(&request[..3]) + "exit 0"),
        ("ends behind the request", take(&request)),
        ("ends in the head", take(&request) + &cut(5)),
        ("crashes in the strings", take(&request) + &cut(20) + "kill -SEGV $$"),
        ("ends a byte short", take(&request) + &cut(reply.len() - 1)),
        ("hangs at once", MUTE.into()),
        ("hangs in the head", take(&request) + &cut(5) + MUTE),
        ("hangs a byte short", take(&request) + &cut(reply.len() - 1) + MUTE),
        ("is stopped in the request", take(&request) + "kill -STOP $$;" + &say(&reply)),
        // One that speaks a moment later than it is asked has answered: a failure then.
        ("speaks unasked", say(&[5]) + MUTE),
        ("says a byte too much", take(&request) + &say(&[&reply[..], &[0]].concat()) + MUTE),
        ("says it twice", take(&request) + &say(&[&reply[..], &reply].concat()) + MUTE),
        ("says \"not found\" twice", take(&request) + &say(&[255, 255]) + MUTE),
        ("closes its socket", "exec sleep 1000 </dev/null >/dev/null".into()),
    ]
}

/// A script that does so the first time, and from then on takes the place of a good backend.
fn once(bench: &Bench, script: &str) -> String {
    let failed = bench.dir.join("failed");
    let _ = fs::remove_file(&failed);
    let good = bench.dir.join("other");
    let failed = failed.display();
    format!(
        "if test -e {failed}; then exec nsssd-unix -d {}; fi; : >{failed}; {script}",
        good.display()
    )
}

fn bench() -> Bench {
    let bench = Bench::new(&format!("{ADA}\n"), "");
    let other = bench.dir.subdirectory("other");
    fs::write(other.join("passwd"), format!("{NET}\n")).unwrap();
    fs::write(other.join("group"), "").unwrap();
    bench
}

#[test]
fn a_backend_of_nscd_that_fails_closes_its_client_and_is_started_again() {
    for (what, script) in failures() {
        let bench = bench();
        let script = once(&bench, &script);
        let backend = ["sh", "-c", script.as_str()];
        // Time enough for what does not hang.
        let options: &[&str] =
            if what.contains("hangs") || what.contains("stopped") { &[] } else { &["-t", "4000"] };
        let mut server = bench.start(options, &[(3, &bench.unix()), (0, &backend)]);
        let got = asked(server.socket(), &request(ask::USER, "net"));
        assert_eq!(got, b"", "one that {what}");
        assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA), "{what}");
        wait_until("it is asked again", || {
            let got = asked(server.socket(), &request(ask::USER, "net"));
            assert!(got.is_empty() || got == user(NET), "after one that {what}: {got:02x?}");
            !got.is_empty()
        });
        assert_eq!(server.stop().code(), Some(0));
    }
}

#[test]
fn a_backend_of_nscd_that_ends_behind_its_answer_has_answered() {
    let bench = bench();
    let (asked_for, reply) = exchange();
    let script = once(&bench, &(take(&asked_for) + &say(&reply)));
    let server = bench.start(&["-t", "4000"], &[(3, &bench.unix()), (0, &["sh", "-c", &script])]);
    assert_eq!(asked(server.socket(), &request(ask::USER, "net")), user(NET));
    wait_until("it is asked again", || {
        let got = asked(server.socket(), &request(ask::USER, "net"));
        assert!(got.is_empty() || got == user(NET), "{got:02x?}");
        !got.is_empty()
    });
}

/// A record of 300 KB, of which a script says the first `members`.
fn large(members: usize) -> (Vec<u8>, String, Vec<u8>) {
    let asked_for = by_name(op::GRP_GETBYNAME, "big");
    let all: Vec<&str> = vec!["abcdefghi"; 30_000];
    let whole = group_reply("big", "x", 77, &all);
    let head = &whole[..13 + 6];
    let more = format!("yes abcdefghi | head -n {members} | tr '\\n' '\\000';");
    let script = take(&asked_for) + &say(head) + &more;
    (whole, script, group(&format!("big:x:77:{}", all.join(","))))
}

#[test]
fn half_a_large_record_never_looks_whole_to_a_client_of_nscd() {
    let ((_, whole, expected), (_, half, _)) = (large(30_000), large(20_000));
    // It is asked for twice; the first time only the lengths are known then.
    for (what, first, second) in [
        ("half", half.clone(), half.clone()),
        ("half and a byte less", half.clone() + &say(b"abcdefghi"), "exit 0".into()),
        ("half, and hangs", half.clone() + MUTE, MUTE.into()),
        ("the whole, then half", whole.clone(), half.clone()),
        ("the whole, then nothing", whole.clone(), "exit 0".into()),
        ("the whole, then half, and hangs", whole.clone(), half + MUTE),
        ("the whole, then not found", whole.clone(), say(&[255])),
        ("the whole, then another", whole.clone(), {
            let (asked_for, other) = (by_name(op::GRP_GETBYNAME, "big"), vec!["abcdefghj"; 30_000]);
            let reply = group_reply("big", "x", 77, &other);
            let more = "yes abcdefghj | head -n 30000 | tr '\\n' '\\000';";
            take(&asked_for) + &say(&reply[..19]) + more
        }),
    ] {
        let bench = bench();
        let script = format!("{first} {second}");
        let server = bench.start(&["-t", "500"], &[(0, &["sh", "-c", &script])]);
        let got = asked(server.socket(), &request(ask::GROUP, "big"));
        assert!(got.len() < expected.len(), "{what}: {} bytes", got.len());
        // Of another record it may have had the front.
        let right = what.ends_with("another") || expected.starts_with(&got);
        assert!(right, "{what}: {} bytes that are wrong", got.len());
    }
    let bench = bench();
    let script = format!("{whole} {whole} {MUTE}");
    let server = bench.start(&["-t", "4000"], &[(0, &["sh", "-c", &script])]);
    let got = asked(server.socket(), &request(ask::GROUP, "big"));
    assert!(got == expected, "the whole: {} bytes", got.len());
}

#[test]
fn a_backend_under_ipcserver_that_fails_leaves_its_client_the_next_one() {
    for (what, script) in failures() {
        let bench = bench();
        let other = bench.dir.join("other");
        let other = ["nsssd-unix", "-d", other.to_str().unwrap()];
        let mut program = vec!["nsssd-switch", "-t", "1000", "0"];
        program.extend(["sh", "-c", &script, "", "0"]);
        program.extend(other);
        program.push("");
        let mut server = Server::start(&bench.bin, bench.dir.path(), &[], &program);
        let (asked_for, reply) = exchange();
        let clients = [server.connect(), server.connect()];
        for client in &clients {
            client.send(&asked_for);
        }
        for client in clients {
            let got = client.recv_exact(reply.len());
            assert_eq!(got, reply, "one that {what}");
            // It has failed for good, for this client.
            client.expect(&asked_for, &reply);
        }
        wait_until("nobody is left", || procfs::children(server.pid()).is_empty());
        assert_eq!(server.stop().code(), Some(0));
    }
}

#[test]
fn half_a_large_record_never_looks_whole_to_a_client_of_ipcserver() {
    let (whole, script, _) = large(20_000);
    let bench = bench();
    for rest in ["exit 0", "kill -KILL $$", MUTE, &(say(b"abcdefghi") + MUTE)] {
        let script = format!("{script} {rest}");
        let program = ["nsssd-switch", "-t", "500", "0", "sh", "-c", &script, ""];
        let mut server = Server::start(&bench.bin, bench.dir.path(), &[], &program);
        let client = server.connect();
        client.send(&by_name(op::GRP_GETBYNAME, "big"));
        let got = receive_all(&client);
        assert!(got.len() < whole.len() && whole.starts_with(&got), "{rest}: {}", got.len());
        assert_eq!(server.stop().code(), Some(0));
    }
}
