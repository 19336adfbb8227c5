//! Many who ask at once: nobody is turned away, and uids take turns.

use crate::support::ipcserver::{NOBODY, connect_as};
use crate::support::nscd::{
    Bench, ask, group, groups, no_group, no_groups, no_user, read_to_end, request, user,
};
use crate::support::{self, Connection, Got, Server, is_root, others_can_run_it, skip};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Pid, Signal};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Far above `-C` and `-c`.
const MANY: usize = 512;

/// All ask before the first answer is read.
#[track_caller]
fn all_are_answered(server: &Server, questions: &[(Vec<u8>, Vec<u8>)]) {
    let connect = |(bytes, _): &(Vec<u8>, Vec<u8>)| {
        let client = Connection::connect(server.socket());
        client.send(bytes);
        client
    };
    let clients: Vec<Connection> = questions.iter().map(connect).collect();
    for (client, (_, reply)) in clients.iter().zip(questions) {
        assert_eq!(&read_to_end(client), reply);
    }
}

fn line(at: usize) -> String {
    let gecos = "User ".repeat(20);
    format!("user{at}:*:{}:100:{gecos}:/home/user{at}:/bin/sh", 1000 + at)
}

#[test]
fn many_who_ask_for_different_lines_of_a_large_file_are_all_answered() {
    // Larger than what is indexed.
    let count = 40_000;
    let mut passwd = String::new();
    // Names twice, numbers twice, and lines that are none: the first good one counts.
    passwd += "user7:x:none:100:::\nuser500:x:oops\nzero:*:00004242:100:::\n";
    for at in 0..count {
        passwd += &line(at);
        passwd.push('\n');
    }
    passwd += "user7:x:1:1:later:::\nlast:*:4242:100:::";
    let members: Vec<String> = (0..6000).map(|at| format!("member{at}")).collect();
    let long = format!("long:x:7:{}", members.join(","));
    let filler = "member".repeat(12);
    let mut groups = String::from("short:x:8:\n");
    for at in 0..60_000 {
        groups += &format!("group{at}:x:{}:{filler}\n", 10_000 + at);
        if at == 1000 {
            groups += &long;
            groups.push('\n');
        }
    }
    let bench = Bench::new(&passwd, &groups);
    let server = bench.serve(&[]);
    let mut questions = vec![
        (request(ask::USER, "zero"), user("zero:*:4242:100:::")),
        (request(ask::UID, "4242"), user("zero:*:4242:100:::")),
        (request(ask::USER, "last"), user("last:*:4242:100:::")),
        (request(ask::GROUP, "long"), group(&long)),
        (request(ask::GID, "7"), group(&long)),
        (request(ask::GROUP, "short"), group("short:x:8:")),
    ];
    for at in 0..MANY / 8 {
        let row = at * 300;
        questions.push((
            request(ask::USER, &format!("user{row}")),
            user(&line(row).replacen(":x:", ":*:", 1)),
        ));
        questions.push((
            request(ask::UID, &(1001 + row).to_string()),
            user(&line(row + 1).replacen(":x:", ":*:", 1)),
        ));
        questions.push((request(ask::USER, &format!("nobody{at}")), no_user()));
        let name = format!("group{row}");
        let reply = group(&format!("{name}:x:{}:{filler}", 10_000 + row));
        questions.push((request(ask::GROUP, &name), reply));
        questions.push((request(ask::GID, &(4_000_000 + at).to_string()), no_group()));
    }
    for _ in 0..2 {
        all_are_answered(&server, &questions);
    }
}

/// An nsss server of which each answer takes so long: nobody is there. How many it was asked for.
fn slow(bench: &Bench, millis: u64) -> (String, Arc<AtomicUsize>) {
    let path = bench.dir.join("slow");
    let listener = UnixListener::bind(&path).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let count = Arc::clone(&count);
            thread::spawn(move || answer_nobody(client, millis, &count));
        }
    });
    (path.to_str().unwrap().to_owned(), asked)
}

fn answer_nobody(mut client: UnixStream, millis: u64, count: &AtomicUsize) {
    let mut head = [0; 5];
    while client.read_exact(&mut head).is_ok() {
        let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        // By name or by number.
        if head[0] == 11 && client.read_exact(&mut vec![0; len]).is_err() {
            return;
        }
        count.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(millis));
        if client.write_all(&[255]).is_err() {
            return;
        }
    }
}

#[test]
fn many_who_ask_a_slow_source_are_all_answered() {
    let bench = Bench::new("", "");
    let (path, _) = slow(&bench, 1);
    let server =
        Server::start_command(bench.command(&["--no-files", "-s", &path]), &bench.socket());
    all_are_answered(&server, &questions(MANY));
}

/// `nscd` with these options behind a line of shell.
fn behind(bench: &Bench, line: &str, options: &[&str]) -> Command {
    let own = bench.command(options);
    let mut command = support::tool(&bench.bin, "sh");
    command.arg("-c").arg(format!("{line}; exec \"$0\" \"$@\"")).arg(own.get_program());
    command.args(own.get_args());
    command
}

/// By uid, each another.
fn questions(count: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    (0..count).map(|at| (request(ask::UID, &(5000 + at).to_string()), no_user())).collect()
}

#[test]
fn many_are_all_answered_where_few_descriptors_are_allowed() {
    for limit in [64, 128, 256, 600] {
        let bench = Bench::new("", "");
        let (path, _) = slow(&bench, 1);
        let line = format!("ulimit -n {limit}");
        let command = behind(&bench, &line, &["--no-files", "-s", &path]);
        let server = Server::start_command(command, &bench.socket());
        all_are_answered(&server, &questions(if limit == 600 { 256 } else { MANY }));
    }
}

#[test]
fn many_are_all_answered_at_a_socket_that_was_passed_with_a_short_queue() {
    let bench = Bench::new("", "");
    let (path, _) = slow(&bench, 1);
    let socket = bench.dir.join("passed");
    let listener = UnixListener::bind(&socket).unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    let line = "export LISTEN_FDS=1 LISTEN_PID=$$; exec 3<&0 </dev/null";
    let mut command = behind(&bench, line, &["--no-files", "-s", &path]);
    let (ready, theirs) = UnixStream::pair().unwrap();
    command.stdin(OwnedFd::from(listener)).stdout(OwnedFd::from(theirs));
    let mut nscd = command.spawn().unwrap();
    drop(command);
    assert_eq!(Connection::new(ready).recv(support::DEADLINE), Got::Bytes(b"\n".to_vec()));
    rustix::process::kill_process(Pid::from_child(&nscd), Signal::STOP).unwrap();
    // As glibc connects: where the queue is full, there is no server.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let clients: Vec<_> = (0..MANY)
        .map(|_| {
            let client = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
            let connected = connect(&client, &SocketAddrUnix::new(&socket).unwrap());
            (client, connected)
        })
        .collect();
    nscd.kill().unwrap();
    nscd.wait().unwrap();
    let full = clients.iter().filter(|(_, connected)| connected.is_err()).count();
    assert_eq!(full, 0, "of {MANY} found the queue full");
}

#[test]
fn who_is_about_to_ask_when_sighup_comes_is_answered() {
    let bench = Bench::new("root:*:0:0:::\n", "");
    let server = bench.serve(&[]);
    let bytes = request(ask::USER, "root");
    let clients: Vec<Connection> = (0..64).map(|_| Connection::connect(server.socket())).collect();
    // All of them were accepted before the answer to this one.
    let one_more = Connection::connect(server.socket());
    one_more.send(&bytes);
    assert_eq!(read_to_end(&one_more), user("root:*:0:0:::"));
    server.signal(Signal::HUP);
    for client in &clients {
        client.send(&bytes);
        assert_eq!(read_to_end(client), user("root:*:0:0:::"));
    }
}

#[test]
fn uids_take_turns_at_a_slow_source() {
    let test = "uids_take_turns_at_a_slow_source";
    if !is_root() || !others_can_run_it() {
        return skip(test, "needs root");
    }
    let bench = Bench::new("", "");
    let (path, _) = slow(&bench, 50);
    let server =
        Server::start_command(bench.command(&["--no-files", "-s", &path]), &bench.socket());
    let many: Vec<Connection> = (0..60)
        .map(|at| {
            let client = connect_as(&server, NOBODY, NOBODY);
            client.send(&request(ask::UID, &(5000 + at).to_string()));
            client
        })
        .collect();
    let other = Connection::connect(server.socket());
    other.send(&request(ask::UID, "4007"));
    assert_eq!(read_to_end(&other), no_user());
    let waiting =
        many.iter().filter(|client| client.recv(Duration::from_millis(1)) == Got::Nothing);
    let waiting = waiting.count();
    assert!(waiting > 30, "{waiting} of 60 wait still");
}

#[test]
fn a_uid_that_has_all_places_keeps_nobody_from_being_served() {
    let test = "a_uid_that_has_all_places_keeps_nobody_from_being_served";
    if !is_root() || !others_can_run_it() {
        return skip(test, "needs root");
    }
    let bench = Bench::new("root:*:0:0:::\n", "");
    let server = bench.serve(&[]);
    // More than there are places of both kinds, silent or not.
    let many: Vec<Connection> = (0..2600)
        .map(|at| {
            let client = connect_as(&server, NOBODY, NOBODY);
            let bytes = request(ask::USER, "root");
            let _ = client.try_send(if at % 2 == 0 { &bytes } else { &bytes[..3] });
            client
        })
        .collect();
    for _ in 0..20 {
        let client = Connection::connect(server.socket());
        client.send(&request(ask::USER, "root"));
        assert_eq!(read_to_end(&client), user("root:*:0:0:::"));
    }
    drop(many);
}

#[test]
fn those_who_ask_a_slow_source_the_same_share_a_lookup() {
    let bench = Bench::new("", "");
    let (path, asked) = slow(&bench, 100);
    let server =
        Server::start_command(bench.command(&["--no-files", "-s", &path]), &bench.socket());
    // One after the other they would take more than glibc waits.
    let questions: Vec<_> = (0..MANY).map(|_| (request(ask::UID, "5000"), no_user())).collect();
    all_are_answered(&server, &questions);
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked < MANY / 8, "{asked} lookups for {MANY} who ask the same");
}

#[test]
fn those_who_ask_a_program_the_same_are_told_the_same() {
    let members: Vec<String> = (0..2000).map(|at| format!("member{at}")).collect();
    let (small, large) = ("small:x:7:ada,bob", format!("large:x:8:{}", members.join(",")));
    let ada = "ada:*:5:7:Ada:/home/ada:/bin/sh";
    let bench = Bench::new(&format!("{ada}\n"), &format!("{small}\n{large}\n"));
    let words =
        ["nsssd-switch", " 0", " nsssd-unix", " -d", &format!(" {}", bench.dir.as_str()), " "];
    let server = bench.start(&[], &[(0, &words)]);
    let all = [
        (request(ask::USER, "ada"), user(ada)),
        (request(ask::GROUP, "small"), group(small)),
        (request(ask::GID, "8"), group(&large)),
        (request(ask::GROUPS, "ada"), groups(&[7])),
        (request(ask::USER, "nobody"), no_user()),
        (request(ask::GROUPS, "nobody"), no_groups()),
    ];
    for question in &all {
        all_are_answered(&server, &vec![question.clone(); 40]);
    }
    let mixed: Vec<_> = (0..120).map(|at| all[at % all.len()].clone()).collect();
    all_are_answered(&server, &mixed);
}

#[test]
fn a_uid_that_asks_for_long_searches_delays_another_by_a_turn_and_not_by_all_of_them() {
    let test = "a_uid_that_asks_for_long_searches_delays_another_by_a_turn_and_not_by_all_of_them";
    if !is_root() || !others_can_run_it() {
        return skip(test, "needs root");
    }
    // Each line has to be parsed to see that it is no group of "x".
    let groups = "group:x:none:member,x\n".repeat(200_000);
    let bench = Bench::new("root:*:0:0:::\n", &groups);
    let server = bench.serve(&[]);
    let many: Vec<Connection> = (0..60)
        .map(|_| {
            let client = connect_as(&server, NOBODY, NOBODY);
            client.send(&request(ask::GROUPS, "x"));
            client
        })
        .collect();
    let other = Connection::connect(server.socket());
    other.send(&request(ask::USER, "root"));
    assert_eq!(read_to_end(&other), user("root:*:0:0:::"));
    let nothing = |client: &&Connection| client.recv(Duration::from_millis(1)) == Got::Nothing;
    let waiting = many.iter().filter(nothing).count();
    assert!(waiting > 30, "{waiting} of 60 wait still");
}

#[test]
fn a_slow_reader_does_not_keep_a_server_that_is_to_end() {
    let members: Vec<String> = (0..300_000).map(|at| format!("member{at:06}")).collect();
    let line = format!("all:x:5000:{}", members.join(","));
    let bench = Bench::new("", &line);
    let mut server = bench.serve(&[]);
    let client = Connection::connect(server.socket());
    client.send(&request(ask::GROUP, "all"));
    assert!(matches!(client.recv(support::DEADLINE), Got::Bytes(_)));
    // It takes some now and then, so it is never called one that does not read.
    let mut reader = client.stream().try_clone().unwrap();
    let reading = thread::spawn(move || {
        let mut bytes = 0;
        let mut some = [0; 4096];
        while let Ok(len @ 1..) = reader.read(&mut some) {
            bytes += len;
            // The rest of what the socket holds is read at once when the server is gone.
            if bytes < 256 * 1024 {
                thread::sleep(Duration::from_millis(100));
            }
        }
        bytes
    });
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    drop(client);
    assert!(reading.join().unwrap() < line.len(), "it was not sent to its end");
}

#[test]
fn slow_readers_of_large_replies_keep_no_worker_that_others_wait_for() {
    let test = "slow_readers_of_large_replies_keep_no_worker_that_others_wait_for";
    if !is_root() || !others_can_run_it() {
        return skip(test, "needs root");
    }
    let members: Vec<String> = (0..60_000).map(|at| format!("member{at:06}")).collect();
    let bench = Bench::new("", &format!("all:x:5000:{}\nsmall:x:7:\n", members.join(",")));
    let dir = format!(" {}", bench.dir.as_str());
    let words = ["nsssd-switch", " 0", " nsssd-unix", " -d", &dir, " "];
    let server = bench.start(&["-t", "2000"], &[(0, &words)]);
    // Three users, who would keep twelve. They read now and then.
    let slow: Vec<Connection> = (0..12)
        .map(|at| {
            let client = connect_as(&server, NOBODY - at % 3, NOBODY);
            client.send(&request(ask::GROUP, "all"));
            client
        })
        .collect();
    let sockets: Vec<UnixStream> =
        slow.iter().map(|client| client.stream().try_clone().unwrap()).collect();
    thread::spawn(move || {
        for _ in 0..40 {
            for mut socket in &sockets {
                socket.set_nonblocking(true).unwrap();
                let _ = socket.read(&mut [0; 4096]);
            }
            thread::sleep(Duration::from_millis(250));
        }
    });
    for _ in 0..3 {
        let other = Connection::connect(server.socket());
        other.send(&request(ask::GID, "7"));
        assert_eq!(read_to_end(&other), group("small:x:7:"));
    }
    drop(slow);
}
