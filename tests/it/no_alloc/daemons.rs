//! All opcodes over files, in every way that they are served in process.
#![cfg(all(
    feature = "abort-on-alloc",
    feature = "ipcserver",
    feature = "nsssd-switch",
    feature = "nsssd-unix"
))]

use super::accounts::{Accounts, Questions, ask_ahead, ask_all, assert_replies, status};
use crate::support::{
    self, Connection, DEADLINE, Daemon, Got, Server, TempDir, by_name, grouplist, nsssd, op,
    set_timeout, tool, wait_until,
};
use rustix::io::Errno;
use rustix::process::Signal;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Requests that a daemon must have answered at least.
const THOUSAND: usize = 1000;

/// A file is taken for settled, and places in it are remembered, so long after it was written.
/// Whoever asks on for a bit longer has had both.
const SETTLED: Duration = Duration::from_millis(200);

/// Two directories with accounts, and links to the executable.
struct House {
    dir: TempDir,
    bin: PathBuf,
    small: (Accounts, TempDir),
    large: (Accounts, TempDir),
    built: Instant,
}

impl House {
    #[track_caller]
    fn new() -> House {
        let furnished = |accounts: Accounts| {
            let dir = TempDir::new();
            accounts.write(&dir);
            (accounts, dir)
        };
        let dir = TempDir::new();
        let bin = dir.bin();
        let (small, large) = (furnished(Accounts::small()), furnished(Accounts::large()));
        House { dir, bin, small, large, built: Instant::now() }
    }

    /// `nsssd-unix` over the large files, and what it must answer.
    fn unix(&self) -> (Vec<&str>, Questions) {
        let command = vec!["nsssd-unix", "-d", self.large.1.as_str()];
        (command, Questions::new(&[&self.large.0], false))
    }

    /// A switch over the small files and then the large ones, and what it must answer.
    fn switch<'a>(&'a self, options: &[&'a str]) -> (Vec<&'a str>, Questions) {
        let mut command = vec!["nsssd-switch"];
        command.extend(options);
        for (_, dir) in [&self.small, &self.large] {
            command.extend(["0", "nsssd-unix", "-d", dir.as_str(), ""]);
        }
        let backends = [&self.small.0, &self.large.0];
        (command, Questions::new(&backends, options.contains(&"-m")))
    }

    /// A daemon on a socket pair.
    #[track_caller]
    fn start(&self, command: &[&str]) -> Daemon {
        Daemon::start(self.command(command))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = nsssd(&self.bin, words[0]);
        command.args(&words[1..]);
        command
    }

    /// A server, which must serve `program` in process.
    #[track_caller]
    fn serve(&self, options: &[&str], program: &[&str]) -> Server {
        Server::start(&self.bin, self.dir.path(), options, program)
    }

    fn is_settled(&self) -> bool {
        self.built.elapsed() > SETTLED
    }
}

/// The exit code must be this one, and nobody may have complained of an allocation.
#[track_caller]
fn assert_ended(code: Option<i32>, want: i32, stderr: &str) {
    assert!(!stderr.contains("memory allocation"), "{stderr}");
    assert_eq!(code, Some(want), "{stderr}");
}

#[track_caller]
fn assert_finishes(mut daemon: Daemon, want: i32) {
    let code = daemon.finish();
    assert_ended(code, want, &daemon.stderr());
}

#[track_caller]
fn assert_stops(mut server: Server) {
    let status = server.stop();
    assert_ended(status.code(), 0, &server.stderr());
}

/// All, and again until there were enough of them and the files are old enough; then written
/// ahead, and a byte at a time.
#[track_caller]
fn ask_for_a_while(house: &House, client: &Connection, all: &Questions) {
    ask_all(client, &all.listings);
    let mut count = all.listings.len();
    loop {
        let enough = house.is_settled() && count > THOUSAND;
        ask_all(client, &all.lookups);
        count += all.lookups.len();
        if enough {
            break;
        }
    }
    ask_ahead(client, &all.listings[..1000], 40);
    ask_ahead(client, &all.lookups, 17);
    for (request, reply) in all.lookups.iter().rev().take(60) {
        request.iter().for_each(|byte| client.send(&[*byte]));
        assert_replies(client, request, reply);
    }
}

/// Requests that end a connection, with what is still answered and the exit code of a daemon that
/// had only this client.
fn fatal() -> Vec<(Vec<u8>, Vec<u8>, i32)> {
    let proto = status(Errno::PROTO);
    vec![
        (vec![0x7f], vec![], 1),
        ([set_timeout(5), vec![0xff]].concat(), vec![0], 1),
        (by_name(op::PWD_GETBYNAME, "n".repeat(255)), vec![proto], 1),
        (grouplist(1, "n".repeat(300)), vec![proto], 1),
        (vec![op::SHADOW_GETBYNAME, 0xff, 0xff, 0xff, 0xff], vec![proto], 1),
    ]
}

#[test]
fn the_local_files_are_served_without_allocation() {
    let house = House::new();
    let (command, asked) = house.unix();
    for options in [&[][..], &["-v"]] {
        let daemon = house.start(&[&command, options].concat());
        ask_for_a_while(&house, daemon.client(), &asked);
        assert_finishes(daemon, 0);
    }
}

#[test]
fn a_switch_serves_its_own_backends_without_allocation() {
    let house = House::new();
    for options in [&[][..], &["-m"], &["-t", "10000"]] {
        let (command, asked) = house.switch(options);
        let daemon = house.start(&command);
        ask_for_a_while(&house, daemon.client(), &asked);
        assert_finishes(daemon, 0);
    }
}

#[test]
fn a_switch_asks_children_without_allocation() {
    let house = House::new();
    for options in [&["--spawn"][..], &["--spawn", "-m"], &["--spawn", "-t", "10000"]] {
        let (command, asked) = house.switch(options);
        let daemon = house.start(&command);
        ask_all(daemon.client(), &asked.listings[..1000]);
        ask_ahead(daemon.client(), &asked.lookups, 17);
        assert_finishes(daemon, 0);
    }
}

#[test]
fn backends_that_fail_are_dropped_without_allocation() {
    let house = House::new();
    let small = house.small.1.as_str();
    let asked = Questions::new(&[&house.small.0], false);
    for broken in [&["true"][..], &["false"], &["yes"], &["no-such-program"], &["sleep", "60"]] {
        println!("behind {broken:?}:");
        let mut command = vec!["nsssd-switch", "-t", "50", "0"];
        command.extend(broken);
        command.extend(["", "0", "nsssd-unix", "-d", small, ""]);
        let daemon = house.start(&command);
        asked.ask(daemon.client());
        assert_finishes(daemon, 0);
    }
    let daemon = house.start(&["nsssd-switch", "1", "false", ""]);
    let io = status(Errno::IO);
    for request in [vec![op::PWD_GET], vec![op::GRP_REWIND], by_name(op::PWD_GETBYNAME, "x")] {
        daemon.expect(&request, &[io]);
    }
    assert_finishes(daemon, 0);
}

#[test]
fn files_that_are_missing_change_or_are_none_are_met_without_allocation() {
    let house = House::new();
    let (accounts, dir) = (Accounts::small(), TempDir::new());
    let daemon = house.start(&["nsssd-unix", "-v", "-d", dir.as_str()]);
    let get = by_name(op::PWD_GETBYNAME, "small1");
    let enoent = status(Errno::NOENT);
    daemon.expect(&get, &[enoent]);
    daemon.expect(&[op::GRP_GET], &[enoent]);
    accounts.write(&dir);
    Questions::new(&[&accounts], false).ask(daemon.client());
    // Another version at the same place, larger than what is kept of it, and small again.
    let large = Accounts::large();
    large.write(&dir);
    Questions::new(&[&large], false).ask(daemon.client());
    dir.replace("passwd", "small1:x:1:1:::\n");
    daemon.expect(&get, &support::passwd_reply(["small1", "x"], 1, 1, ["", "", ""]));
    dir.replace("passwd", "bad\nworse:x:1\nsmall1:x:y:1:::\n");
    daemon.expect(&get, &[255]);
    std::fs::remove_file(dir.join("passwd")).expect("remove passwd");
    std::fs::create_dir(dir.join("passwd")).expect("a directory called passwd");
    daemon.send(&get);
    let status = daemon.recv_exact(1)[0];
    assert!(status != 0 && status != 255, "status {status}");
    assert_finishes(daemon, 0);
}

#[test]
fn a_record_that_breaks_ends_the_daemon_without_allocation() {
    let house = House::new();
    let dir = TempDir::new();
    let line = |letter: &str| {
        // More than any socket holds.
        format!("big:x:7:{}\n", vec![letter.repeat(7); 1_000_000].join(","))
    };
    dir.accounts("", line("a"), "");
    for unix in [&["nsssd-unix"][..], &["nsssd-switch", "-m", "0", "nsssd-unix"]] {
        let mut command = [unix, &["-d", dir.as_str()]].concat();
        if unix.len() > 1 {
            command.push("");
        }
        dir.replace("group", line("a"));
        let mut daemon = house.start(&command);
        daemon.send(&by_name(op::GRP_GETBYNAME, "big"));
        daemon.recv_exact(1000);
        dir.replace("group", line("b"));
        while let Got::Bytes(_) = daemon.client().recv(DEADLINE) {}
        let code = daemon.wait().code();
        assert_ended(code, 111, &daemon.stderr());
    }
}

#[test]
fn ends_of_all_kinds_come_without_allocation() {
    let house = House::new();
    let small = house.small.1.as_str();
    for command in [&["nsssd-unix", "-d", small][..], &["nsssd-switch", "0", "nsssd-unix", ""]] {
        for (request, reply, code) in fatal() {
            let mut daemon = house.start(command);
            daemon.expect(&request, &reply);
            daemon.expect_eof();
            let ended = daemon.wait().code();
            assert_ended(ended, code, &daemon.stderr());
        }
        // Between two requests, in the middle of one, and when its patience has an end.
        assert_finishes(house.start(command), 0);
        let daemon = house.start(command);
        daemon.send(&[op::PWD_GETBYNAME, 0, 0]);
        assert_finishes(daemon, 111);
        let mut daemon = house.start(command);
        daemon.expect(&set_timeout(10), &[0]);
        let ended = daemon.wait().code();
        assert_ended(ended, 0, &daemon.stderr());
        let mut impatient = house.command(command);
        impatient.env("NSSSD_TIMEOUT", "10");
        let mut daemon = Daemon::start(impatient);
        daemon.send(&[op::PWD_GETBYUID, 0]);
        let ended = daemon.wait().code();
        assert_ended(ended, 111, &daemon.stderr());
    }
    // A client that does not take its reply, and one that leaves before its end.
    let large = house.large.1.as_str();
    let big = by_name(op::GRP_GETBYNAME, "many").repeat(20);
    let mut impatient = house.command(&["nsssd-unix", "-d", large]);
    impatient.env("NSSSD_TIMEOUT", "10");
    let mut daemon = Daemon::start(impatient);
    daemon.send(&big);
    let ended = daemon.wait().code();
    assert_ended(ended, 111, &daemon.stderr());
    let daemon = house.start(&["nsssd-unix", "-d", large]);
    daemon.send(&big);
    daemon.recv_exact(100);
    assert_finishes(daemon, 111);
}

#[test]
fn clients_come_and_go_without_allocation() {
    let house = House::new();
    for options in [&[][..], &["-m"]] {
        let (program, asked) = house.switch(options);
        let server = house.serve(&["-v"], &program);
        thread::scope(|scope| {
            for client in 1..5 {
                let (server, lookups) = (&server, &asked.lookups);
                scope.spawn(move || {
                    // They leave and come again.
                    for part in lookups.chunks(3 * client) {
                        ask_ahead(&server.connect(), part, 2 * client);
                    }
                });
            }
        });
        let client = server.connect();
        ask_for_a_while(&house, &client, &asked);
        drop(client);
        for (request, reply, _) in fatal() {
            let client = server.connect();
            client.expect(&request, &reply);
            client.expect_eof();
        }
        assert_stops(server);
    }
}

#[test]
fn a_full_table_turns_clients_away_without_allocation() {
    let house = House::new();
    let (program, _) = house.unix();
    let get = by_name(op::PWD_GETBYNAME, "large1");
    let is_answered = |client: &Connection| client.recv(DEADLINE) != Got::End;
    let server = house.serve(&["-v", "-c", "3"], &program);
    for _ in 0..20 {
        let clients: Vec<Connection> = (0..7).map(|_| server.connect()).collect();
        clients.iter().for_each(|client| client.send(&get));
        // Over three they wait, each for one that leaves.
        for client in clients {
            assert!(is_answered(&client));
        }
    }
    assert_stops(server);

    let server = house.serve(&["-v", "-c", "5", "-C", "2"], &program);
    // Those of the round before may not be seen to have left at once.
    let admitted = || {
        let mut admitted = None;
        wait_until("there is room again", || {
            let client = server.connect();
            if client.try_send(&get).is_ok() && is_answered(&client) {
                admitted = Some(client);
            }
            admitted.is_some()
        });
        admitted
    };
    for _ in 0..20 {
        let (_one, _two) = (admitted(), admitted());
        server.connect().expect_eof();
    }
    assert_stops(server);
}

#[test]
fn running_out_of_descriptors_is_borne_without_allocation() {
    let house = House::new();
    let (program, _) = house.unix();
    let mut command = tool(&house.bin, "sh");
    let socket = house.dir.join("s");
    command.args(["-c", "ulimit -n 24; exec \"$@\"", "sh"]).arg(house.bin.join("ipcserver"));
    command.args(["-1v", "-c", "100"]).arg(&socket).args(program);
    let server = Server::start_command(command, &socket);
    let get = by_name(op::GRP_GETBYNAME, "g1");
    let clients: Vec<Connection> = (0..40).map(|_| server.connect()).collect();
    clients.iter().for_each(|client| client.send(&get));
    wait_until("descriptors are used up", || server.stderr().contains("unable to accept"));
    for client in clients {
        assert_ne!(client.recv(DEADLINE), Got::End);
    }
    assert_stops(server);
}

#[test]
fn clients_that_stall_are_dropped_without_allocation() {
    let house = House::new();
    let (program, asked) = house.unix();
    let mut command = tool(&house.bin, "ipcserver");
    let socket = house.dir.join("s");
    command.env("NSSSD_TIMEOUT", "2000").args(["-1v", "-b", "50"]).arg(&socket).args(program);
    let server = Server::start_command(command, &socket);
    let reads_nothing = server.connect();
    reads_nothing.send(&by_name(op::GRP_GETBYNAME, "many").repeat(30));
    let stops_in_a_request = server.connect();
    stops_in_a_request.send(&[op::PWD_GETBYNAME, 0, 0, 0]);
    let says_nothing = server.connect();
    let idle = server.connect();
    idle.expect(&set_timeout(10), &[0]);
    let leaves_at_once = server.connect();
    leaves_at_once.send(&by_name(op::GRP_GETBYNAME, "many").repeat(30));
    drop(leaves_at_once);

    asked.ask(&server.connect());
    idle.expect_eof();
    stops_in_a_request.expect_eof();
    wait_until("the one that does not read is dropped", || {
        server.stderr().matches("timed out").count() >= 3
    });
    says_nothing.expect(&set_timeout(0), &[0]);
    assert_stops(server);
}

#[test]
fn a_file_that_changes_under_a_reply_is_met_without_allocation() {
    let house = House::new();
    let dir = TempDir::new();
    dir.accounts("one:x:1:1:::\n", "", "");
    let line = |letter: &str| format!("big:x:7:{}\n", vec![letter.repeat(7); 1_000_000].join(","));
    dir.write("group", line("a"));
    let server = house.serve(&["-v"], &["nsssd-unix", "-v", "-d", dir.as_str()]);
    let client = server.connect();
    client.send(&by_name(op::GRP_GETBYNAME, "big"));
    client.recv_exact(1000);
    dir.replace("group", line("b"));
    while let Got::Bytes(_) = client.recv(DEADLINE) {}
    let reply = support::passwd_reply(["one", "x"], 1, 1, ["", "", ""]);
    server.connect().expect(&by_name(op::PWD_GETBYNAME, "one"), &reply);
    assert_stops(server);
}

#[test]
fn signals_end_a_server_without_allocation() {
    let house = House::new();
    let dir = TempDir::new();
    let names: Vec<String> = (0..200_000).map(|n| format!("m{n:06}")).collect();
    dir.accounts("", format!("big:x:7:{}\n", names.join(",")), "");
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let reply = support::group_reply("big", "x", 7, &names);
    let get = by_name(op::GRP_GETBYNAME, "big");
    let program = ["nsssd-unix", "-d", dir.as_str()];
    for signal in [Signal::TERM, Signal::QUIT] {
        let mut server = house.serve(&["-v"], &program);
        let hung_up = server.connect();
        hung_up.expect(&set_timeout(0), &[0]);
        server.signal(Signal::HUP);
        hung_up.expect_eof();
        let idle = server.connect();
        idle.expect(&set_timeout(0), &[0]);
        // A reply in hand is finished first.
        let busy = server.connect();
        busy.send(&get);
        let head = busy.recv_exact(100);
        server.signal(signal);
        idle.expect_eof();
        let rest = busy.recv_exact(reply.len() - 100);
        assert!([head, rest].concat() == reply);
        busy.expect_eof();
        let status = server.wait();
        assert_ended(status.code(), 0, &server.stderr());
    }
    // SIGABRT as a signal is one that is caught.
    let mut server = house.serve(&["-v"], &program);
    let busy = server.connect();
    busy.send(&get.repeat(20));
    busy.recv_exact(100);
    server.signal(Signal::ABORT);
    let status = server.wait();
    assert_ended(status.code(), 0, &server.stderr());
}
