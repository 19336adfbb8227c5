//! Clients that vanish: after each byte of a request, and after each byte of a reply. Nobody else
//! notices, and nothing is left of them.
#![cfg(all(
    feature = "ipcserver",
    feature = "nscd",
    feature = "nsssd-switch",
    feature = "nsssd-unix"
))]

use crate::support::ipcserver::house::{ask_big, ask_one, big, for_each_program, one};
use crate::support::nscd::{self, ask, asked, group, request, user};
use crate::support::procfs;
use crate::support::stage::{Stage, big_group};
use crate::support::{self, Connection, Server, wait_until};
use std::fs;
use std::path::Path;

const ADA: &str = "ada:*:1001:1001:Ada:/home/ada:/bin/sh";

/// How much of a large reply is taken: around its head, around a piece, and some more.
const PARTS: [usize; 9] = [1, 12, 13, 4095, 4096, 4097, 8192, 70_001, 300_000];

/// Each front of `bytes`, the empty one and the whole included.
fn fronts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..=bytes.len()).map(|len| &bytes[..len])
}

/// Connects and leaves after each byte of `request`, and of `reply`; of the reply to `large` after
/// some.
#[track_caller]
fn leave_everywhere(socket: &Path, request: &[u8], reply: &[u8], large: &[u8]) {
    for front in fronts(request) {
        Connection::connect(socket).send(front);
        // Its own end of file is no reset, and is read as one.
        let client = Connection::connect(socket);
        client.send(front);
        client.half_close();
        drop(client);
    }
    for front in fronts(reply) {
        Connection::connect(socket).expect(request, front);
    }
    for part in PARTS {
        Connection::connect(socket).ask(large, part);
    }
}

/// How many sockets a server has before anybody has asked it.
#[track_caller]
fn idle_sockets(server: &Server) -> usize {
    // Standard output, where it said that it is ready, is one until it is closed.
    wait_until("it is ready", || !procfs::sockets(server.pid()).contains_key(&1));
    procfs::sockets(server.pid()).len()
}

/// All that a process has open.
#[track_caller]
fn descriptors(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid().as_raw_nonzero())).expect("/proc").count()
}

#[test]
fn a_client_of_ipcserver_may_leave_at_each_byte() {
    for_each_program(|bench, program| {
        for option in ["-q", "--spawn"] {
            // A place that is not given back is missed soon.
            let mut server = bench.start(&["-c", "3", option], program);
            let idle = idle_sockets(&server);
            server.connect().expect(&ask_one(), &one());
            // The server may hear only later that the first client is gone.
            wait_until("the first client is gone", || {
                procfs::children(server.pid()).is_empty()
                    && procfs::sockets(server.pid()).len() == idle
            });
            let before = descriptors(&server);
            leave_everywhere(server.socket(), &ask_one(), &one(), &ask_big());
            server.connect().expect(&ask_big(), &big());
            wait_until("nobody is there", || {
                procfs::children(server.pid()).is_empty() && descriptors(&server) == before
            });
            assert_eq!(server.stop().code(), Some(0));
        }
    });
}

#[test]
fn a_client_of_nscd_may_leave_at_each_byte() {
    let line = big_group("big", 77, 'm');
    let bench = nscd::Bench::new(&format!("{ADA}\n"), &line);
    let mut server = bench.serve(&["-c", "3", "-C", "3"]);
    let idle = idle_sockets(&server);
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
    wait_until("the first client is gone", || procfs::sockets(server.pid()).len() == idle);
    let before = descriptors(&server);
    let (small, large) = (request(ask::USER, "ada"), request(ask::GROUP, "big"));
    leave_everywhere(server.socket(), &small, &user(ADA), &large);
    assert!(asked(server.socket(), &large) == group(&line), "the large group");
    wait_until("nobody is there", || descriptors(&server) == before);
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_client_of_a_source_that_may_block_may_leave_at_each_byte() {
    let line = big_group("big", 77, 'm');
    let bench = nscd::Bench::new("", "");
    let other = bench.dir.subdirectory("other");
    fs::write(other.join("passwd"), format!("{ADA}\n")).unwrap();
    fs::write(other.join("group"), &line).unwrap();
    // A switch is never run inside, so this is a program.
    let dir = format!(" {}", other.display());
    let program = ["nsssd-switch", " 0", " nsssd-unix", " -d", &dir, " "];
    let mut server = bench.start(&["-t", "4000", "-c", "3"], &[(0, &program)]);
    let (small, large) = (request(ask::USER, "ada"), request(ask::GROUP, "big"));
    assert_eq!(asked(server.socket(), &small), user(ADA));
    let before = procfs::sockets(procfs::children(server.pid())[0]).len();
    leave_everywhere(server.socket(), &small, &user(ADA), &large);
    // Whoever has his descriptor lets go of it.
    for _ in 0..8 {
        assert!(asked(server.socket(), &large) == group(&line), "the large group");
    }
    for asker in procfs::children(server.pid()) {
        wait_until("nobody is there", || procfs::sockets(asker).len() <= before);
    }
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_client_on_standard_input_may_leave_at_each_byte() {
    let line = format!("small:x:5:one\n{}", big_group("big", 77, 'm'));
    let stage = Stage::with("one:x:1001:1002:One:/home/one:/bin/sh\n", line);
    let own: &[&str] = &["nsssd-unix", "-d", stage.dir.as_str()];
    let ways: [&dyn Fn() -> support::Daemon; 3] =
        [&|| stage.unix(), &|| stage.switch(&[], &[(0, own)]), &|| {
            stage.switch(&["--spawn"], &[(0, own)])
        }];
    for start in ways {
        for front in fronts(&ask_one()) {
            let mut daemon = start();
            daemon.send(front);
            let whole = front.is_empty() || front.len() == ask_one().len();
            let code = daemon.finish();
            // Half a request is an error; so may be a reply that nobody takes.
            assert!(code == Some(111) || whole && code == Some(0), "{front:?}: {code:?}");
        }
        for front in fronts(&one()) {
            let mut daemon = start();
            daemon.expect(&ask_one(), front);
            let code = daemon.finish();
            assert!(code == Some(0) || code == Some(111), "{front:?}: {code:?}");
        }
        for part in PARTS {
            let mut daemon = start();
            daemon.ask(&ask_big(), part);
            assert_eq!(daemon.finish(), Some(111), "{part} bytes");
        }
    }
}
