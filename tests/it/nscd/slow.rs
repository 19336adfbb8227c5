//! `nscd` with sources that may block: other programs, and a server of the nsss protocol. Who
//! asks one that hangs is closed by the deadline, and nobody else waits.

use crate::support::nscd::{
    Bench, ask, asked, group, groups, no_group, no_groups, no_user, read_to_end, request, user,
};
use crate::support::procfs;
use crate::support::{
    Connection, Server, assert_same_bytes, is_root, others_can_run_it, skip, wait_until,
};
use rustix::process::{Signal, kill_process};
use std::fs;

const ADA: &str = "ada:*:1001:1001:Ada:/home/ada:/bin/sh";
const NET: &str = "net:*:5000:5000:::";

/// Takes requests and never answers.
const HANGS: [&str; 3] = ["sh", "-c", "exec cat >/dev/null"];

fn bench() -> Bench {
    Bench::new(&format!("{ADA}\n"), "staff:x:1001:ada\n")
}

/// A program that serves other files: a switch is never run inside.
fn other(bench: &Bench, passwd: &str, group: &str) -> [String; 6] {
    let dir = bench.dir.subdirectory("other");
    fs::write(dir.join("passwd"), passwd).unwrap();
    fs::write(dir.join("group"), group).unwrap();
    let word = |w: &str| w.to_owned();
    [
        word("nsssd-switch"),
        word(" 0"),
        word(" nsssd-unix"),
        word(" -d"),
        format!(" {}", dir.display()),
        word(" "),
    ]
}

/// Local files, then that program.
fn with_program(bench: &Bench, passwd: &str, group: &str) -> Server {
    let words = other(bench, passwd, group);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    bench.start(&["-t", "2000"], &[(3, &bench.unix()), (0, &words)])
}

#[test]
fn a_program_is_asked_for_what_the_files_have_not() {
    let bench = bench();
    let server = with_program(&bench, &format!("{NET}\n"), "net:x:5000:\nmore:x:6:ada,net\n");
    let ask = |kind, key| asked(server.socket(), &request(kind, key));
    assert_eq!(ask(ask::USER, "ada"), user(ADA));
    assert_eq!(ask(ask::USER, "net"), user(NET));
    assert_eq!(ask(ask::UID, "5000"), user(NET));
    assert_eq!(ask(ask::GROUP, "net"), group("net:x:5000:"));
    assert_eq!(ask(ask::GROUPS, "ada"), groups(&[1001, 6]));
    assert_eq!(ask(ask::GROUPS, "net"), groups(&[6]));
    assert_eq!(ask(ask::USER, "none"), no_user());
    assert_eq!(ask(ask::GID, "77"), no_group());
    assert_eq!(ask(ask::GROUPS, "none"), no_groups());
}

#[test]
fn nobody_is_started_before_he_is_needed() {
    let bench = bench();
    let server = with_program(&bench, "", "");
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
    assert!(procfs::children(server.pid()).is_empty());
}

#[test]
fn a_program_that_hangs_delays_only_those_who_asked_it() {
    let bench = bench();
    let server = bench.start(&[], &[(3, &bench.unix()), (0, &HANGS)]);
    // More than there are askers for them.
    let asks = |at: usize| match at % 3 {
        0 => request(ask::USER, "net"),
        1 => request(ask::GID, "5000"),
        _ => request(ask::GROUPS, "net"),
    };
    let waiting: Vec<Connection> = (0..20)
        .map(|at| {
            let client = Connection::connect(server.socket());
            client.send(&asks(at));
            client
        })
        .collect();
    // Those who are known locally are answered while the others wait.
    for _ in 0..50 {
        assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
    }
    for client in &waiting {
        assert_eq!(read_to_end(client), b"", "a failure is no \"not found\"");
    }
    // It is no different afterwards.
    assert_eq!(asked(server.socket(), &request(ask::USER, "net")), b"");
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
}

#[test]
fn others_are_answered_before_the_one_who_asked_a_program_that_hangs() {
    let bench = bench();
    // Long enough that the order is no accident.
    let server = bench.start(&["-t", "4000"], &[(3, &bench.unix()), (0, &HANGS)]);
    let waiting = Connection::connect(server.socket());
    waiting.send(&request(ask::USER, "net"));
    wait_until("the program runs", || !procfs::children(server.pid()).is_empty());
    for _ in 0..50 {
        assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
    }
    waiting.expect_silence();
    waiting.expect_eof();
}

#[test]
fn a_program_that_ended_is_started_again() {
    let bench = bench();
    let server = with_program(&bench, &format!("{NET}\n"), "");
    assert_eq!(asked(server.socket(), &request(ask::USER, "net")), user(NET));
    for child in procfs::children(server.pid()) {
        kill_process(child, Signal::KILL).unwrap();
    }
    wait_until("it is asked again", || {
        asked(server.socket(), &request(ask::USER, "net")) == user(NET)
    });
    wait_until("no dead child is left", || {
        procfs::children(server.pid()).iter().all(|pid| procfs::state(*pid) != Some('Z'))
    });
}

#[test]
fn a_process_that_is_stuck_itself_holds_nobody_up_for_long() {
    let bench = bench();
    let server = with_program(&bench, &format!("{NET}\n"), "");
    assert_eq!(asked(server.socket(), &request(ask::USER, "net")), user(NET));
    // Who asked is stopped, as by a file system that is gone.
    for child in procfs::children(server.pid()) {
        kill_process(child, Signal::STOP).unwrap();
    }
    let waiting = Connection::connect(server.socket());
    waiting.send(&request(ask::USER, "net"));
    for _ in 0..50 {
        assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
    }
    assert_eq!(read_to_end(&waiting), b"", "a failure is no \"not found\"");
    // It is killed, and another takes its place.
    wait_until("it is asked again", || {
        asked(server.socket(), &request(ask::USER, "net")) == user(NET)
    });
    wait_until("no dead child is left", || {
        procfs::children(server.pid()).iter().all(|pid| procfs::state(*pid) != Some('Z'))
    });
}

#[test]
fn who_asks_a_program_is_replaced_also_after_the_change_of_user() {
    let test = "who_asks_a_program_is_replaced_also_after_the_change_of_user";
    if !is_root() || !others_can_run_it() {
        return skip(test, "needs root, and an executable that others can reach");
    }
    let bench = bench();
    let words = other(&bench, &format!("{NET}\n"), "");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let options = ["-t", "2000", "-u", "65534", "-g", "65534"];
    let server = bench.start(&options, &[(3, &bench.unix()), (0, &words)]);
    assert_eq!(asked(server.socket(), &request(ask::USER, "net")), user(NET));
    for round in 0..2 {
        let children = procfs::children(server.pid());
        assert!(!children.is_empty(), "{round}");
        for child in children {
            assert_eq!(procfs::status(child, "Uid"), ["65534"; 4]);
            kill_process(child, Signal::KILL).unwrap();
        }
        wait_until("it is asked again", || {
            asked(server.socket(), &request(ask::USER, "net")) == user(NET)
        });
    }
}

#[test]
fn a_program_that_cannot_be_started_closes_what_only_it_could_know() {
    let bench = bench();
    let server = bench.start(&[], &[(3, &bench.unix()), (0, &["/nonexistent/nsssd-x"])]);
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
    assert_eq!(asked(server.socket(), &request(ask::USER, "net")), b"");
    assert_eq!(asked(server.socket(), &request(ask::GROUPS, "ada")), b"");
}

#[test]
fn a_large_group_of_a_program_is_asked_for_twice_and_sent_whole() {
    let members: Vec<String> = (0..100_000).map(|n| format!("m{n}")).collect();
    let line = format!("big:x:7:{}", members.join(","));
    let bench = bench();
    let server = with_program(&bench, "", &format!("{line}\n"));
    for (kind, key) in [(ask::GROUP, "big"), (ask::GID, "7")] {
        let got = asked(server.socket(), &request(kind, key));
        assert_same_bytes(key, &got, &group(&line));
    }
    // A client that leaves in the middle costs nobody else an answer.
    let client = Connection::connect(server.socket());
    client.send(&request(ask::GROUP, "big"));
    client.recv_exact(24);
    drop(client);
    for _ in 0..8 {
        let got = asked(server.socket(), &request(ask::GID, "7"));
        assert_same_bytes("again", &got, &group(&line));
    }
}

#[test]
fn an_nsss_server_is_asked_over_lasting_connections() {
    let bench = bench();
    let nsss = Server::start(&bench.bin, bench.dir.path(), &[], &bench.unix());
    let mut command = bench.command(&["-t", "2000", "-s"]);
    command.arg(nsss.socket());
    let server = Server::start_command(command, &bench.socket());
    for _ in 0..20 {
        assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
        assert_eq!(asked(server.socket(), &request(ask::GROUPS, "ada")), groups(&[1001]));
        assert_eq!(asked(server.socket(), &request(ask::USER, "net")), no_user());
    }
    // It goes, and everything is closed; it comes back, and is asked again.
    drop(nsss);
    for _ in 0..8 {
        assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), b"");
    }
    let _nsss = Server::start(&bench.bin, bench.dir.path(), &[], &bench.unix());
    for _ in 0..8 {
        assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
    }
}
