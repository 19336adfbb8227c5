//! `ipcserver` with a command of its own executable: one process answers all connections. Many
//! clients, slow ones, limits, and the end.

use crate::support::ipcserver::house::{
    ask_big, ask_one, big, for_each_program, furnish, one, unix,
};
use crate::support::ipcserver::{
    Bench, NOBODY, OURS, children_of, connect_as, read_bytes_to_end, ticks_of, write_script,
};
use crate::support::procfs;
use crate::support::stage::settle;
use crate::support::{
    self, Connection, DEADLINE, Got, Server, assert_same_bytes, by_id, by_name, grouplist,
    grouplist_reply, is_root, op, passwd_reply, set_timeout, wait_until,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, Signal, prlimit};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Whether the peer has closed, seen without taking a byte.
#[track_caller]
fn is_closed(client: &Connection) -> bool {
    let mut one = [PollFd::new(client.stream(), PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut one, Some(&now)).expect("poll") == 1
}

/// Asks the server for a large reply and takes the first of it.
#[track_caller]
fn start_large_reply(server: &Server) -> Connection {
    let client = server.connect();
    client.expect(&ask_big(), &big()[..13]);
    client
}

/// Half of a request: an opcode without its name.
fn half() -> Vec<u8> {
    ask_one()[..3].to_vec()
}

#[track_caller]
fn start_with_timeout(bench: &Bench, program: &[&str], millis: &str) -> Server {
    let mut command = bench.command();
    command.env("NSSSD_TIMEOUT", millis);
    bench.start_command(command, &[], program)
}

#[test]
fn a_command_of_our_own_has_no_process_for_each_client() {
    for_each_program(|bench, program| {
        let path = bench.dir.join("bin").join(program[0]);
        let mut by_path = program.to_vec();
        by_path[0] = path.to_str().expect("text");
        for program in [program, &by_path] {
            let server = bench.start(&[], program);
            let client = server.connect();
            client.expect(&ask_one(), &one());
            assert_eq!(children_of(server.pid()), []);
            client.expect(&by_name(op::PWD_GETBYNAME, "nobody"), &[255]);
            client.expect(&by_id(op::PWD_GETBYUID, 1001), &one());
            client.expect(&ask_big(), &big());
            client.expect(&ask_one(), &one());
            assert_eq!(children_of(server.pid()), []);
        }
    });
}

#[test]
fn room_for_clients_who_are_not_there_is_no_memory() {
    for_each_program(|bench, program| {
        let memory = |most| {
            let server = bench.start(&["-c", most], program);
            server.connect().expect(&ask_one(), &one());
            procfs::own_memory(server.pid())
        };
        let (few, many) = (memory("16"), memory("1024"));
        assert!(many <= few + 256, "{many} KiB for 1,024 clients, {few} for 16");
    });
}

#[test]
fn a_foreign_program_of_that_name_is_executed() {
    let bench = Bench::new(OURS);
    let program = bench.dir.join("nsssd-unix");
    write_script(&program, "exec cat");
    let server = bench.start(&[], &[program.to_str().expect("text")]);
    server.connect().expect(b"echo", b"echo");
}

#[test]
fn five_hundred_connections_are_served_at_once() {
    for_each_program(|bench, program| {
        let server = bench.start(&["-c", "600"], program);
        let clients: Vec<_> = (0..500).map(|_| server.connect()).collect();
        for _ in 0..2 {
            for client in &clients {
                client.send(&ask_one());
            }
            for client in clients.iter().rev() {
                client.expect(b"", &one());
            }
        }
    });
}

#[test]
fn the_soft_limit_of_descriptors_is_raised_for_the_table() {
    let bench = Bench::new(OURS);
    furnish(&bench);
    let command = bench.command_after("ulimit -S -n 32");
    let server = bench.start_command(command, &["-c", "200"], &unix(&bench));
    let clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for client in &clients {
        client.expect(&ask_one(), &one());
    }
}

#[test]
fn requests_written_ahead_are_answered_in_order() {
    for_each_program(|bench, program| {
        let server = bench.start(&[], program);
        let client = server.connect();
        let (mut requests, mut replies) = (Vec::new(), Vec::new());
        for _ in 0..2000 {
            requests.extend(ask_one());
            replies.extend(one());
            requests.extend(by_name(op::GRP_GETBYNAME, "missing"));
            replies.push(255);
        }
        client.expect(&requests, &replies);
    });
}

/// Requests that came together share one look at a file, which is not one from before they came.
#[test]
fn in_a_crowd_whoever_asks_after_a_file_was_replaced_gets_the_new_one() {
    let bench = Bench::new(OURS);
    furnish(&bench);
    let server = bench.start(&["-q", "-c", "64"], &unix(&bench));
    let versions = ["Old", "New"].map(|gecos| {
        let line = format!("one:x:1001:1002:{gecos}:/home/one:/bin/sh\n");
        (line, passwd_reply(["one", "x"], 1001, 1002, [gecos, "/home/one", "/bin/sh"]))
    });
    bench.dir.replace("passwd", &versions[0].0);
    let done = AtomicBool::new(false);
    let (list, none) = (grouplist(1, "none"), grouplist_reply(1, &[]));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let client = server.connect();
                while !done.load(Ordering::Relaxed) {
                    // It reads all of the large file, so that there is time for the others.
                    client.expect(&list, &none);
                    client.ask(&ask_one(), versions[0].1.len());
                    server.connect().ask(&ask_one(), versions[0].1.len());
                }
            });
        }
        let lasting = server.connect();
        let wrong = (1..40).find(|round| {
            settle(&bench.dir.join("passwd"));
            let (line, reply) = &versions[round % 2];
            bench.dir.replace("passwd", line);
            let asked = match round % 4 {
                0 | 1 => server.connect().ask(&ask_one(), reply.len()),
                _ => lasting.ask(&ask_one(), reply.len()),
            };
            asked != *reply
        });
        done.store(true, Ordering::Relaxed);
        assert_eq!(wrong, None, "an answer from the file of before");
    });
}

#[test]
fn an_unknown_request_closes_its_connection_alone() {
    for_each_program(|bench, program| {
        let server = bench.start(&[], program);
        let (client, other) = (server.connect(), server.connect());
        other.expect(&ask_one(), &one());
        client.send(&[0x7f]);
        client.expect_eof();
        other.expect(&ask_one(), &one());
    });
}

#[test]
fn clients_that_leave_in_the_middle_do_no_harm() {
    for_each_program(|bench, program| {
        let mut server = bench.start(&["-c", "3"], program);
        for _ in 0..20 {
            start_large_reply(&server);
            server.connect().send(&half());
        }
        server.connect().expect(&ask_one(), &one());
        assert_eq!(server.stop().code(), Some(0));
    });
}

#[test]
fn a_client_that_stops_is_closed_and_disturbs_nobody() {
    for_each_program(|bench, program| {
        let server = bench.start(&[], program);
        let idle = server.connect();
        idle.expect(&ask_one(), &one());
        let deaf = start_large_reply(&server);
        let mute = server.connect();
        mute.send(&half());
        let other = server.connect();
        wait_until("both are closed", || {
            other.expect(&ask_one(), &one());
            is_closed(&deaf) && is_closed(&mute)
        });
        mute.expect_eof();
        assert!(read_bytes_to_end(&deaf).len() < big().len() - 13);
        // It was silent for longer than both, but owed nothing.
        idle.expect(&ask_one(), &one());
    });
}

#[test]
fn nsssd_timeout_makes_the_deadline_shorter_or_longer() {
    let patient = Bench::new(OURS);
    let usual = Bench::new(OURS);
    let hasty = Bench::new(OURS);
    for bench in [&patient, &usual, &hasty] {
        furnish(bench);
    }
    let servers = [
        start_with_timeout(&patient, &unix(&patient), "60000"),
        usual.start(&[], &unix(&usual)),
        start_with_timeout(&hasty, &unix(&hasty), "50"),
    ];
    // In this order: the one that waits longest has waited longest.
    let clients = servers.each_ref().map(|server| {
        let client = server.connect();
        client.send(&half());
        client
    });
    clients[2].expect_eof();
    assert!(!is_closed(&clients[1]), "the usual deadline is longer");
    clients[1].expect_eof();
    assert!(!is_closed(&clients[0]), "the usual deadline is shorter");
    clients[0].expect(&ask_one()[3..], &one());
}

#[test]
fn a_bad_nsssd_timeout_is_a_usage_error() {
    let bench = Bench::new(OURS);
    furnish(&bench);
    for value in ["", "x", "-1", "4294967296"] {
        let mut command = bench.command();
        command.env("NSSSD_TIMEOUT", value).arg(bench.dir.join("s")).args(unix(&bench));
        let end = support::run_to_end(command);
        assert_eq!(end.code, Some(100), "{value:?}: {end:?}");
        assert!(end.stderr.contains("NSSSD_TIMEOUT"), "{value:?}: {end:?}");
    }
}

#[test]
fn the_deadline_starts_again_with_each_byte() {
    for_each_program(|bench, program| {
        let server = start_with_timeout(bench, program, "2000");
        let client = server.connect();
        let request = ask_one();
        // In all longer than the deadline, each pause far shorter.
        for byte in &request {
            client.send(&[*byte]);
            thread::sleep(Duration::from_millis(250));
        }
        client.expect(b"", &one());
    });
}

#[test]
fn a_client_that_takes_a_large_reply_slowly_gets_it_whole() {
    let bench = Bench::new(OURS);
    furnish(&bench);
    let server = start_with_timeout(&bench, &unix(&bench), "500");
    let client = server.connect();
    client.send(&ask_big());
    let mut got = Vec::new();
    // Far more than the deadline passes before the kernel tells that the socket has room again.
    while got.len() < 240_000 {
        got.extend(client.recv_exact(4096));
        thread::sleep(Duration::from_millis(25));
    }
    got.extend(client.recv_exact(big().len() - got.len()));
    assert_same_bytes("big", &got, &big());
    client.expect(&ask_one(), &one());
}

#[test]
fn over_the_limit_clients_wait_until_one_has_left() {
    for_each_program(|bench, program| {
        let server = bench.start(&["-c", "2"], program);
        let (first, second, third) = (server.connect(), server.connect(), server.connect());
        first.expect(&ask_one(), &one());
        third.send(&ask_one());
        second.expect(&ask_one(), &one());
        third.expect_silence();
        drop(second);
        third.expect(b"", &one());
        first.expect(&ask_one(), &one());
    });
}

#[test]
fn a_client_over_the_limit_of_its_user_is_closed_at_once() {
    for_each_program(|bench, program| {
        let server = bench.start(&["-C", "2"], program);
        let (first, second) = (server.connect(), server.connect());
        first.expect(&ask_one(), &one());
        server.connect().expect_eof();
        if is_root() {
            let other = connect_as(&server, NOBODY, NOBODY);
            other.expect(&ask_one(), &one());
        }
        second.expect(&ask_one(), &one());
        drop(first);
        wait_until("a place is given back", || {
            let client = server.connect();
            let _ = client.try_send(&ask_one());
            client.recv(DEADLINE) == Got::Bytes(one())
        });
    });
}

/// Connects more clients than there are descriptors for, and takes the answers in turn.
#[track_caller]
fn serve_in_turn(server: &Server, mut when_full: impl FnMut(&[Connection])) {
    let mut clients: Vec<_> = (0..60).map(|_| server.connect()).collect();
    for client in &clients {
        client.send(&ask_one());
    }
    clients[0].expect(b"", &one());
    when_full(&clients);
    // Each that leaves makes room for one more.
    for client in clients.drain(..).skip(1) {
        client.expect(b"", &one());
    }
}

#[test]
fn out_of_descriptors_the_server_serves_on_and_rests() {
    for_each_program(|bench, program| {
        let mut server = bench.start(&["-c", "100"], program);
        server.connect().expect(&ask_one(), &one());
        let open: Vec<u64> = fs::read_dir(format!("/proc/{}/fd", server.pid().as_raw_nonzero()))
            .expect("its descriptors")
            .filter_map(|entry| entry.expect("a descriptor").file_name().to_str()?.parse().ok())
            .collect();
        // Room for ten more, whatever high numbers it inherited.
        let limit = (0..).filter(|fd| !open.contains(fd)).nth(10);
        let limit = Rlimit { current: limit, maximum: limit };
        prlimit(Some(server.pid()), Resource::Nofile, limit).expect("prlimit");
        serve_in_turn(&server, |clients| {
            let last = clients.last().expect("a client");
            last.expect_silence();
            let before = ticks_of(server.pid());
            assert_eq!(last.recv(Duration::from_millis(500)), Got::Nothing);
            // In 50 ticks of waiting. A loop that does not rest uses all it is given.
            let used = ticks_of(server.pid()) - before;
            assert!(used <= 10, "{used} ticks of processor time");
            clients[0].expect(&ask_one(), &one());
        });
        assert_eq!(server.stop().code(), Some(0));
    });
}

#[test]
fn a_server_with_few_descriptors_from_the_start_serves_all() {
    for_each_program(|bench, program| {
        let command = bench.command_after("ulimit -n 30");
        let mut server = bench.start_command(command, &["-c", "100"], program);
        serve_in_turn(&server, |_| ());
        assert_eq!(server.stop().code(), Some(0));
    });
}

#[test]
fn a_client_can_have_itself_closed_when_idle() {
    for_each_program(|bench, program| {
        let server = bench.start(&[], program);
        let (never, changed, client) = (server.connect(), server.connect(), server.connect());
        never.expect(&set_timeout(0), &[0]);
        changed.expect(&set_timeout(100), &[0]);
        changed.expect(&set_timeout(600_000), &[0]);
        client.expect(&set_timeout(200), &[0]);
        client.expect(&ask_one(), &one());
        client.expect_eof();
        never.expect(&ask_one(), &one());
        changed.expect(&ask_one(), &one());
    });
}

#[test]
fn sigterm_lets_replies_in_hand_be_finished() {
    for_each_program(|bench, program| {
        let mut command = bench.command();
        command.env("NSSSD_TIMEOUT", "20000");
        let mut server = bench.start_command(command, &["-v"], program);
        let idle = server.connect();
        idle.expect(&ask_one(), &one());
        let client = start_large_reply(&server);
        server.signal(Signal::TERM);
        wait_until("the signal is told", || server.stderr().contains("SIGTERM"));
        idle.expect_eof();
        assert!(read_bytes_to_end(&client) == big()[13..], "a cut reply");
        assert_eq!(server.wait().code(), Some(0));
        let late = std::os::unix::net::UnixStream::connect(server.socket());
        assert!(late.is_err(), "nobody listens any longer");
    });
}

#[test]
fn sigterm_does_not_wait_for_a_client_that_does_not_read() {
    for_each_program(|bench, program| {
        let mut server = bench.start(&[], program);
        let client = start_large_reply(&server);
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(0));
        assert!(read_bytes_to_end(&client).len() < big().len() - 13);
    });
}

#[test]
fn sighup_closes_connections_and_the_server_goes_on() {
    for_each_program(|bench, program| {
        let mut server = bench.start(&[], program);
        let client = server.connect();
        client.expect(&ask_one(), &one());
        server.signal(Signal::HUP);
        client.expect_eof();
        server.connect().expect(&ask_one(), &one());
        assert!(server.running());
    });
}

#[test]
fn sigquit_and_sigabrt_close_connections_and_end_the_server() {
    for_each_program(|bench, program| {
        for signal in [Signal::QUIT, Signal::ABORT] {
            let mut server = bench.start(&[], program);
            let client = start_large_reply(&server);
            server.signal(signal);
            assert_eq!(server.wait().code(), Some(0), "{signal:?}");
            assert!(read_bytes_to_end(&client).len() < big().len() - 13);
        }
    });
}

#[test]
fn a_miss_of_one_client_leaves_the_group_list_of_another_whole() {
    let bench = Bench::new(OURS);
    // It takes several turns to read, and the user is in its first group and in its last one.
    let others = "group:x:1:somebody,else\n".repeat(500_000);
    let group = format!("first:x:7:bob\n{others}last:x:8:bob\n");
    bench.dir.accounts("ada:x:1:1::/:\n", group, "");
    let server = bench.start(&[], &["nsssd-unix", "-d", bench.dir.as_str()]);
    let (lists, misses) = (server.connect(), server.connect());
    for _ in 0..3 {
        lists.send(&grouplist(4, "bob"));
        for _ in 0..50 {
            misses.expect(&by_name(op::PWD_GETBYNAME, "nobody"), &[255]);
        }
        lists.expect(&[], &grouplist_reply(4, &[7, 8]));
    }
}
