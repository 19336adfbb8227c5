//! `nscd --nsss SOCKET`: one process that speaks two protocols at two sockets, each with its own
//! rights and limits, over the same sources.

use crate::support::nscd::{Bench, ask, asked, groups, no_user, read_to_end, request, user};
use crate::support::procfs;
use crate::support::{
    Connection, DEADLINE, Got, Server, by_id, by_name, group_reply, grouplist, grouplist_reply,
    is_root, op, others_can_run_it, passwd_reply, run_to_end, shadow_reply, skip, tool, wait_until,
};
use rustix::process::{Gid, Signal, Uid, kill_process};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

const ADA: &str = "ada:*:1001:1001:Ada:/home/ada:/bin/sh";
const NET: &str = "net:*:5000:5000:::";

const HASH: &str = "$6$salt$hash";
const NOBODY: u32 = 65_534;

const EIO: u8 = 5;
const EACCES: u8 = 13;
const NOT_FOUND: u8 = 255;

/// Takes requests and never answers.
const HANGS: [&str; 3] = ["sh", "-c", "exec cat >/dev/null"];

fn ada() -> Vec<u8> {
    passwd_reply(["ada", "*"], 1001, 1001, ["Ada", "/home/ada", "/bin/sh"])
}

fn net() -> Vec<u8> {
    passwd_reply(["net", "*"], 5000, 5000, ["", "", ""])
}

fn record(name: &str, password: &str, id: u32) -> Vec<u8> {
    passwd_reply([name, password], id, id, ["", "", ""])
}

fn shadow(name: &str) -> Vec<u8> {
    shadow_reply(name, HASH, [19_000, 0, 99_999, 7, -1, -1, -1])
}

fn shadow_line(name: &str) -> String {
    format!("{name}:{HASH}:19000:0:99999:7:::\n")
}

fn ask_ada() -> Vec<u8> {
    by_name(op::PWD_GETBYNAME, "ada")
}

fn ask_net() -> Vec<u8> {
    by_name(op::PWD_GETBYNAME, "net")
}

fn ask_shadow(name: &str) -> Vec<u8> {
    by_name(op::SHADOW_GETBYNAME, name)
}

fn bench() -> Bench {
    let bench = Bench::new(&format!("{ADA}\n"), "staff:x:1001:ada\n");
    secret(bench.dir.path(), &shadow_line("ada"));
    bench
}

fn secret(dir: &Path, text: &str) {
    fs::write(dir.join("shadow"), text).unwrap();
    fs::set_permissions(dir.join("shadow"), fs::Permissions::from_mode(0o600)).unwrap();
}

fn nsss_socket(bench: &Bench) -> PathBuf {
    bench.dir.join("nsss")
}

/// nscd with these options and sources, its nsss socket as the server's.
#[track_caller]
fn start(bench: &Bench, options: &[&str], sources: &[(u8, &[&str])]) -> Server {
    let nsss = nsss_socket(bench);
    let mut all = vec!["--nsss", nsss.to_str().unwrap()];
    all.extend(options);
    Server::start_command(bench.scripted(&all, sources), &nsss)
}

/// Only its own files.
#[track_caller]
fn start_local(bench: &Bench, options: &[&str]) -> Server {
    start(bench, options, &[(3, &bench.unix())])
}

/// A program that serves other files: a switch is never run inside.
fn program(bench: &Bench, passwd: &str, group: &str) -> Vec<String> {
    let dir = bench.dir.subdirectory("other");
    fs::write(dir.join("passwd"), passwd).unwrap();
    fs::write(dir.join("group"), group).unwrap();
    secret(&dir, &shadow_line("net"));
    let dir = format!(" {}", dir.display());
    ["nsssd-switch", " 0", " nsssd-unix", " -d", &dir, " "].map(str::to_owned).to_vec()
}

/// Its own files, then that program.
#[track_caller]
fn start_with(bench: &Bench, options: &[&str], program: &[String]) -> Server {
    let words: Vec<&str> = program.iter().map(String::as_str).collect();
    start(bench, &[&["-t", "4000"], options].concat(), &[(0, &bench.unix()), (0, &words)])
}

/// A connection of another user: the kernel notes who connects, and ids belong to threads.
#[track_caller]
fn connect_as(socket: &Path, id: u32) -> Connection {
    let socket = socket.to_owned();
    let connecting = thread::spawn(move || {
        let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
        set_thread_groups(&[]).expect("setgroups");
        set_thread_res_gid(gid, gid, gid).expect("setresgid");
        set_thread_res_uid(uid, uid, uid).expect("setresuid");
        UnixStream::connect(&socket).expect("connect as another user")
    });
    Connection::new(connecting.join().expect("a connection as another user"))
}

#[test]
fn one_process_answers_both_protocols() {
    let bench = bench();
    let mut server = start_local(&bench, &[]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&bench.socket()), mode(server.socket())), (0o666, 0o666));
    let client = server.connect();
    for _ in 0..3 {
        assert_eq!(asked(&bench.socket(), &request(ask::USER, "ada")), user(ADA));
        client.expect(&ask_ada(), &ada());
        client.expect(&ask_net(), &[NOT_FOUND]);
        client.expect(&grouplist(8, "ada"), &grouplist_reply(8, &[1001]));
        // Several at once, and an enumeration.
        let two = [ask_ada(), by_id(op::GRP_GETBYGID, 1001), vec![op::PWD_REWIND]].concat();
        let group = group_reply("staff", "x", 1001, &["ada"]);
        client.expect(&two, &[ada(), group, vec![0]].concat());
        client.expect(&[op::PWD_GET, op::PWD_GET], &[ada(), vec![NOT_FOUND]].concat());
        client.expect(&[op::PWD_END], &[0]);
    }
    // Each socket has its protocol and no other.
    assert_eq!(asked(&bench.socket(), &ask_ada()), b"");
    let confused = server.connect();
    confused.send(&request(ask::USER, "ada"));
    confused.expect_eof();
    assert!(procfs::children(server.pid()).is_empty());
    // A client between two requests holds nobody up at the end.
    assert_eq!(server.stop().code(), Some(0));
    client.expect_eof();
}

#[test]
fn the_files_that_a_client_may_read_are_shown_over_nsss() {
    let test = "the_files_that_a_client_may_read_are_shown_over_nsss";
    if !is_root() {
        return skip(test, "needs root");
    }
    let bench = bench();
    let server = start_local(&bench, &[]);
    let (root, nobody) = (server.connect(), connect_as(server.socket(), NOBODY));
    for _ in 0..2 {
        root.expect(&ask_shadow("ada"), &shadow("ada"));
        nobody.expect(&ask_shadow("ada"), &[EACCES]);
        nobody.expect(&[op::SHADOW_GET], &[EACCES]);
        root.expect(&[op::SHADOW_REWIND, op::SHADOW_GET], &[vec![0], shadow("ada")].concat());
        nobody.expect(&ask_ada(), &ada());
        // nscd is public, and has no shadow.
        assert_eq!(asked(&bench.socket(), &request(ask::USER, "ada")), user(ADA));
    }
    // What is read with its own rights for nscd is not shown to him over nsss.
    bench.dir.chmod("passwd", 0o600);
    assert_eq!(asked(&bench.socket(), &request(ask::USER, "ada")), user(ADA));
    nobody.expect(&ask_ada(), &[EACCES]);
    root.expect(&ask_ada(), &ada());
}

#[test]
fn a_program_tells_its_secrets_for_root_alone() {
    let test = "a_program_tells_its_secrets_for_root_alone";
    if !is_root() {
        return skip(test, "needs root");
    }
    let bench = bench();
    let with_hash = format!("{NET}\nold:{HASH}:6006:6006:::\nlocked:!{HASH}:7007:7007:::\n");
    let other = program(&bench, &with_hash, &format!("grp:{HASH}:9:ada\n"));
    let server = start_with(&bench, &[], &other);
    let old = by_name(op::PWD_GETBYNAME, "old");
    let locked = by_id(op::PWD_GETBYUID, 7007);
    let grp = by_name(op::GRP_GETBYNAME, "grp");
    let root = server.connect();
    root.expect(&ask_shadow("net"), &shadow("net"));
    root.expect(&old, &record("old", HASH, 6006));
    root.expect(&grp, &group_reply("grp", HASH, 9, &["ada"]));
    let nobody = connect_as(server.socket(), NOBODY);
    nobody.expect(&ask_shadow("net"), &[EACCES]);
    nobody.expect(&[op::SHADOW_REWIND, op::SHADOW_GET], &[0, EACCES]);
    nobody.expect(&ask_net(), &net());
    let stars = "*".repeat(HASH.len());
    nobody.expect(&old, &record("old", &stars, 6006));
    nobody.expect(&locked, &record("locked", &format!("!{stars}"), 7007));
    nobody.expect(&grp, &group_reply("grp", &stars, 9, &["ada"]));
    // In an enumeration, too, which a worker answers whole.
    nobody.expect(&[op::PWD_GET, op::PWD_GET], &[ada(), net()].concat());
    nobody.expect(&[op::PWD_GET], &record("old", &stars, 6006));
    root.expect(&[op::SHADOW_GET, op::SHADOW_GET], &[shadow("ada"), shadow("net")].concat());
}

#[test]
fn after_the_change_of_user_shadow_is_shown_to_nobody() {
    let test = "after_the_change_of_user_shadow_is_shown_to_nobody";
    if !is_root() || !others_can_run_it() {
        return skip(test, "needs root, and an executable that others can reach");
    }
    let bench = bench();
    let other = program(&bench, &format!("{NET}\n"), "");
    let server = start_with(&bench, &["-u", "65534", "-g", "65534"], &other);
    for client in [server.connect(), connect_as(server.socket(), NOBODY)] {
        client.expect(&ask_ada(), &ada());
        client.expect(&ask_net(), &net());
        client.expect(&ask_shadow("ada"), &[EACCES]);
        client.expect(&ask_shadow("net"), &[EACCES]);
        client.expect(&[op::SHADOW_GET], &[EACCES]);
    }
}

#[test]
fn a_program_is_asked_for_what_the_files_have_not_and_the_connection_goes_on() {
    let bench = bench();
    let other = program(&bench, &format!("{NET}\n"), "net:x:5000:\nmore:x:6:ada,net\n");
    let server = start_with(&bench, &[], &other);
    let client = server.connect();
    client.expect(&ask_ada(), &ada());
    assert!(procfs::children(server.pid()).is_empty(), "nobody is started before he is needed");
    for _ in 0..3 {
        client.expect(&ask_net(), &net());
        client.expect(&by_id(op::GRP_GETBYGID, 6), &group_reply("more", "x", 6, &["ada", "net"]));
        client.expect(&grouplist(8, "ada"), &grouplist_reply(8, &[1001, 6]));
        client.expect(&by_name(op::PWD_GETBYNAME, "none"), &[NOT_FOUND]);
        // In one go, with slow ones between others.
        let many = [ask_ada(), ask_net(), ask_ada(), ask_net()].concat();
        client.expect(&many, &[ada(), net(), ada(), net()].concat());
    }
    assert_eq!(asked(&bench.socket(), &request(ask::USER, "net")), user(NET));
    assert_eq!(asked(&bench.socket(), &request(ask::GROUPS, "ada")), groups(&[1001, 6]));
}

#[test]
fn a_large_group_of_a_program_is_sent_whole() {
    let names: Vec<String> = (0..50_000).map(|n| format!("m{n}")).collect();
    let members: Vec<&str> = names.iter().map(String::as_str).collect();
    let bench = bench();
    let other = program(&bench, "", &format!("big:x:7:{}\n", members.join(",")));
    let server = start_with(&bench, &[], &other);
    let client = server.connect();
    let (ask_big, big) = (by_name(op::GRP_GETBYNAME, "big"), group_reply("big", "x", 7, &members));
    for _ in 0..2 {
        assert!(client.ask(&ask_big, big.len()) == big);
        client.expect(&ask_ada(), &ada());
    }
    // Who leaves in the middle costs nobody else an answer.
    let leaves = server.connect();
    leaves.ask(&ask_big, 1000);
    drop(leaves);
    for _ in 0..8 {
        assert!(client.ask(&ask_big, big.len()) == big);
    }
}

#[test]
fn enumerations_of_several_clients_do_not_meet() {
    let bench = bench();
    let other = program(&bench, &format!("{NET}\nzoe:*:6006:6:::\n"), "");
    let server = start_with(&bench, &[], &other);
    let zoe = passwd_reply(["zoe", "*"], 6006, 6, ["", "", ""]);
    let clients = [server.connect(), server.connect(), server.connect()];
    for _ in 0..2 {
        for client in &clients {
            client.expect(&[op::PWD_REWIND, op::PWD_GET], &[vec![0], ada()].concat());
        }
        for client in &clients {
            client.expect(&[op::PWD_GET], &net());
            // Lookups do not disturb it.
            client.expect(&by_id(op::PWD_GETBYUID, 6006), &zoe);
        }
        for client in &clients {
            client.expect(&[op::PWD_GET, op::PWD_GET], &[zoe.clone(), vec![NOT_FOUND]].concat());
        }
        // From its start, in the same worker.
        clients[0].expect(&[op::PWD_REWIND, op::PWD_GET], &[vec![0], ada()].concat());
        for client in &clients {
            client.expect(&[op::PWD_END], &[0]);
        }
    }
    // One that left in the middle has no heir.
    clients[0].expect(&[op::PWD_GET, op::PWD_GET], &[ada(), net()].concat());
    drop(clients);
    for _ in 0..8 {
        let client = server.connect();
        client.expect(&[op::PWD_GET, op::PWD_GET], &[ada(), net()].concat());
    }
}

#[test]
fn an_enumeration_whose_worker_is_lost_fails_and_does_not_begin_anew() {
    let bench = bench();
    let other = program(&bench, &format!("{NET}\n"), "");
    let server = start_with(&bench, &[], &other);
    let client = server.connect();
    client.expect(&[op::PWD_GET], &ada());
    for child in procfs::children(server.pid()) {
        kill_process(child, Signal::KILL).unwrap();
    }
    wait_until("the dead are gone", || procfs::children(server.pid()).is_empty());
    client.expect(&[op::PWD_GET], &[EIO]);
    client.expect(&[op::PWD_GET], &[EIO]);
    client.expect(&ask_net(), &net());
    client.expect(&[op::PWD_REWIND, op::PWD_GET], &[vec![0], ada()].concat());
    client.expect(&[op::PWD_GET, op::PWD_GET], &[net(), vec![NOT_FOUND]].concat());
}

/// A client that has had the first entry: as soon as there is a worker for it.
#[track_caller]
fn enumerating(server: &Server) -> Connection {
    let mut begun = None;
    wait_until("the first entry", || {
        let client = server.connect();
        client.send(&[op::PWD_GET]);
        // Where the machine is busy, a worker may not have been started in time.
        let got = client.recv(DEADLINE);
        begun = (got == Got::Bytes(ada())).then_some(client);
        begun.is_some()
    });
    begun.unwrap()
}

#[test]
fn more_enumerations_than_workers_take_the_places_of_those_that_rest() {
    let bench = bench();
    let other = program(&bench, &format!("{NET}\n"), "");
    let server = start_with(&bench, &["-t", "500"], &other);
    let rest: Vec<Connection> = (0..4).map(|_| enumerating(&server)).collect();
    let _late = enumerating(&server);
    assert!(procfs::children(server.pid()).len() <= 8);
    // One of those has lost its place, and is told.
    let statuses = rest.iter().map(|client| client.ask(&[op::PWD_GET], 1)[0]);
    assert!(statuses.filter(|status| *status == EIO).count() >= 1);
}

#[test]
fn a_program_that_hangs_delays_only_those_who_asked_it() {
    let bench = bench();
    // The bit says that a source that has failed is not passed over.
    let server = start(&bench, &[], &[(3, &bench.unix()), (1, &HANGS)]);
    let before = Instant::now();
    // More than there are workers for them.
    let waiting: Vec<Connection> = (0..20).map(|_| server.connect()).collect();
    for (at, client) in waiting.iter().enumerate() {
        match at % 3 {
            0 => client.send(&ask_net()),
            1 => client.send(&[op::PWD_GET, op::PWD_GET]),
            _ => client.send(&by_id(op::GRP_GETBYGID, 5000)),
        }
    }
    let other = server.connect();
    for _ in 0..50 {
        other.expect(&ask_ada(), &ada());
        assert_eq!(asked(&bench.socket(), &request(ask::USER, "ada")), user(ADA));
    }
    for (at, client) in waiting.iter().enumerate() {
        let first = client.recv_exact(1);
        if at % 3 == 1 {
            // The first entry is one of the files, if there was a worker to begin with.
            if first == [0] {
                client.recv_exact(ada().len() - 1);
            }
            assert_eq!(client.recv_exact(1), [EIO], "a failure is no end of the list");
        } else {
            assert_eq!(first, [EIO], "a failure is no \"not found\"");
        }
    }
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
    // Their connections go on.
    for client in &waiting {
        client.expect(&ask_ada(), &ada());
    }
}

#[test]
fn a_worker_that_is_stuck_itself_costs_its_client_the_connection_and_nobody_else_anything() {
    let bench = bench();
    let other = program(&bench, &format!("{NET}\n"), "");
    let words: Vec<&str> = other.iter().map(String::as_str).collect();
    let server = start(&bench, &["-t", "1000"], &[(0, &bench.unix()), (0, &words)]);
    let client = server.connect();
    wait_until("it is asked", || {
        client.ask(&ask_net(), 1) == [0] && {
            client.recv_exact(net().len() - 1);
            true
        }
    });
    for child in procfs::children(server.pid()) {
        kill_process(child, Signal::STOP).unwrap();
    }
    client.send(&ask_net());
    let local = server.connect();
    for _ in 0..50 {
        local.expect(&ask_ada(), &ada());
    }
    client.expect_eof();
    wait_until("another takes its place", || {
        local.ask(&ask_net(), 1) == [0] && {
            local.recv_exact(net().len() - 1);
            true
        }
    });
}

#[test]
fn each_socket_has_limits_of_its_own() {
    let bench = bench();
    let server = start_local(&bench, &["-c", "2", "-C", "2"]);
    let nscd: Vec<Connection> = (0..2).map(|_| Connection::connect(&bench.socket())).collect();
    // The nscd socket is full of silent clients, the other one is not.
    let nsss: Vec<Connection> = (0..2).map(|_| server.connect()).collect();
    nsss.iter().for_each(|client| client.expect(&ask_ada(), &ada()));
    // Now that is full, too: the third waits, and the nscd socket is not touched by it.
    let third = server.connect();
    third.send(&ask_ada());
    third.expect_silence();
    nscd.iter().for_each(|client| client.send(&request(ask::USER, "ada")));
    nscd.iter().for_each(|client| assert_eq!(read_to_end(client), user(ADA)));
    assert_eq!(asked(&bench.socket(), &request(ask::USER, "net")), no_user());
    third.expect_silence();
    drop(nsss);
    assert_eq!(third.recv_exact(ada().len()), ada());
}

#[test]
fn at_the_nsss_socket_the_newest_of_a_user_is_turned_away_at_the_other_the_oldest() {
    let bench = bench();
    let server = start_local(&bench, &["-c", "8", "-C", "2"]);
    let nsss = [server.connect(), server.connect()];
    nsss.iter().for_each(|client| client.expect(&ask_ada(), &ada()));
    server.connect().expect_eof();
    nsss.iter().for_each(|client| client.expect(&ask_ada(), &ada()));
    let oldest = Connection::connect(&bench.socket());
    let _next = Connection::connect(&bench.socket());
    assert_eq!(asked(&bench.socket(), &request(ask::USER, "ada")), user(ADA));
    oldest.expect_eof();
}

#[test]
fn getent_asks_it_as_it_asks_ipcserver() {
    let bench = bench();
    let other = program(&bench, &format!("{NET}\n"), "net:x:5000:\n");
    let server = start_with(&bench, &[], &other);
    let getent = |words: &[&str]| {
        let mut command = tool(&bench.bin, "getent");
        command.arg("-S").arg(server.socket()).args(words);
        let finished = run_to_end(command);
        (finished.code, String::from_utf8(finished.stdout).unwrap())
    };
    assert_eq!(getent(&["passwd", "ada", "5000"]), (Some(0), format!("{ADA}\n{NET}\n")));
    for _ in 0..6 {
        assert_eq!(getent(&["passwd"]), (Some(0), format!("{ADA}\n{NET}\n")));
        let all = "staff:x:1001:ada\nnet:x:5000:\n";
        assert_eq!(getent(&["group"]), (Some(0), all.to_owned()));
    }
    assert_eq!(getent(&["passwd", "none"]).0, Some(2));
}

#[test]
fn a_socket_that_is_served_already_is_left_alone() {
    let bench = bench();
    let server = start_local(&bench, &[]);
    let nsss = nsss_socket(&bench);
    let mut second = tool(&bench.bin, "nscd");
    second.arg("-S").arg(bench.dir.join("run/another")).arg("--nsss").arg(&nsss);
    second.args(["3", "nsssd-unix", ""]);
    let finished = run_to_end(second);
    assert_eq!(finished.code, Some(111), "{}", finished.stderr);
    assert!(matches!(server.connect().recv(Duration::from_millis(60)), Got::Nothing));
    server.connect().expect(&ask_ada(), &ada());
}
