//! Many who ask at once: nobody is turned away, and uids take turns.

use crate::support::ipcserver::{NOBODY, connect_as};
use crate::support::nscd::{Bench, ask, group, no_group, no_user, read_to_end, request, user};
use crate::support::{Connection, Got, Server, is_root, others_can_run_it, skip};
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
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
    format!("user{at}:x:{}:100:{gecos}:/home/user{at}:/bin/sh", 1000 + at)
}

#[test]
fn many_who_ask_for_different_lines_of_a_large_file_are_all_answered() {
    // Larger than what is indexed.
    let count = 40_000;
    let mut passwd = String::new();
    // Names twice, numbers twice, and lines that are none: the first good one counts.
    passwd += "user7:x:none:100:::\nuser500:x:oops\nzero:x:00004242:100:::\n";
    for at in 0..count {
        passwd += &line(at);
        passwd.push('\n');
    }
    passwd += "user7:x:1:1:later:::\nlast:x:4242:100:::";
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
        (request(ask::USER, "zero"), user("zero:x:4242:100:::")),
        (request(ask::UID, "4242"), user("zero:x:4242:100:::")),
        (request(ask::USER, "last"), user("last:x:4242:100:::")),
        (request(ask::GROUP, "long"), group(&long)),
        (request(ask::GID, "7"), group(&long)),
        (request(ask::GROUP, "short"), group("short:x:8:")),
    ];
    for at in 0..MANY / 4 {
        let row = at * 300;
        questions.push((request(ask::USER, &format!("user{row}")), user(&line(row))));
        questions.push((request(ask::UID, &(1001 + row).to_string()), user(&line(row + 1))));
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
    let server = Server::start_command(bench.command(&["-s", &path]), &bench.socket());
    let questions: Vec<_> =
        (0..MANY).map(|at| (request(ask::UID, &(5000 + at).to_string()), no_user())).collect();
    all_are_answered(&server, &questions);
}

#[test]
fn uids_take_turns_at_a_slow_source() {
    let test = "uids_take_turns_at_a_slow_source";
    if !is_root() || !others_can_run_it() {
        return skip(test, "needs root");
    }
    let bench = Bench::new("", "");
    let (path, _) = slow(&bench, 50);
    let server = Server::start_command(bench.command(&["-s", &path]), &bench.socket());
    let many: Vec<Connection> = (0..60)
        .map(|at| {
            let client = connect_as(&server, NOBODY, NOBODY);
            client.send(&request(ask::UID, &(5000 + at).to_string()));
            client
        })
        .collect();
    let other = Connection::connect(server.socket());
    other.send(&request(ask::UID, "7"));
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
    let bench = Bench::new("root:x:0:0:::\n", "");
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
        assert_eq!(read_to_end(&client), user("root:x:0:0:::"));
    }
    drop(many);
}
