//! Account files that are replaced by what is no file, cut short, or closed, under each of the
//! servers: a failure and never "not found", until the file is there again.
#![cfg(all(
    feature = "ipcserver",
    feature = "nscd",
    feature = "nsssd-switch",
    feature = "nsssd-unix"
))]

use crate::support::ipcserver;
use crate::support::naive::Naive;
use crate::support::nscd::{self, ask, asked, no_group, no_user, request};
use crate::support::stage::{self, Stage};
use crate::support::{
    self, Connection, Daemon, Server, assert_same_bytes, by_id, by_name, grouplist, is_root, op,
    skip,
};
use rustix::fs::{CWD, Mode, mkfifoat};
use std::fs::{self, FileTimes};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

const PASSWD: &str = "root:*:0:0:root:/root:/bin/sh\nada:*:1001:1001:Ada:/home/ada:/bin/sh\n";
const GROUP: &str = "root:x:0:\nstaff:x:1001:ada,bob\n";
const SHADOW: &str = "root:*:1::::::\nada:!:19000:0:99999:7:::\n";

/// What takes the place of a file.
type Fault = (&'static str, fn(&Path));

const FAULTS: [Fault; 7] = [
    ("nothing", |_| ()),
    ("a directory", |path| fs::create_dir(path).expect("a directory")),
    ("a FIFO", |path| {
        mkfifoat(CWD, path, Mode::from_raw_mode(0o644)).expect("a FIFO");
    }),
    ("a socket", |path| drop(UnixListener::bind(path).expect("a socket"))),
    ("a device without end", |path| symlink("/dev/zero", path).expect("a link")),
    ("a link to nothing", |path| symlink("nothing", path).expect("a link")),
    ("a link to itself", |path| symlink(path, path).expect("a link")),
];

/// Who is asked over a connection that lasts.
enum Asked {
    Daemon(Daemon),
    Server { client: Connection, _server: Server },
}

impl Asked {
    fn client(&self) -> &Connection {
        match self {
            Asked::Daemon(daemon) => daemon.client(),
            Asked::Server { client, .. } => client,
        }
    }
}

/// A stage with good files, and all that serve nsss from them.
fn servers(stage: &Stage) -> Vec<(&'static str, Asked)> {
    let own: [&str; 3] = ["nsssd-unix", "-d", stage.dir.as_str()];
    let switch = ["nsssd-switch", "0", own[0], own[1], own[2], ""];
    let server = |name: &str, options: &[&str], program: &[&str]| {
        let dir = stage.dir.subdirectory(name);
        let server = Server::start(&stage.bin, &dir, options, program);
        let client = server.connect();
        Asked::Server { client, _server: server }
    };
    vec![
        ("nsssd-unix", Asked::Daemon(stage.unix())),
        ("nsssd-switch", Asked::Daemon(stage.switch(&[], &[(0, &own)]))),
        ("nsssd-switch --spawn", Asked::Daemon(stage.switch(&["--spawn"], &[(0, &own)]))),
        ("ipcserver", server("one", &[], &own)),
        ("ipcserver, a switch", server("two", &[], &switch)),
        ("ipcserver --spawn", server("three", &["--spawn"], &own)),
    ]
}

/// Each lookup in the file, and each first step of an enumeration.
fn questions(file: &str) -> Vec<Vec<u8>> {
    match file {
        "passwd" => vec![
            by_name(op::PWD_GETBYNAME, "ada"),
            by_name(op::PWD_GETBYNAME, "nobody"),
            by_id(op::PWD_GETBYUID, 1001),
            vec![op::PWD_GET],
        ],
        "group" => vec![
            by_name(op::GRP_GETBYNAME, "staff"),
            by_id(op::GRP_GETBYGID, 1001),
            grouplist(9, "ada"),
            vec![op::GRP_GET],
        ],
        _ => vec![by_name(op::SHADOW_GETBYNAME, "ada"), vec![op::SHADOW_GET]],
    }
}

const ENDS: [u8; 3] = [op::PWD_END, op::GRP_END, op::SHADOW_END];

/// The server tells what is in the files.
#[track_caller]
fn expect_all(what: &str, client: &Connection, files: [&str; 3]) {
    let mut naive = Naive::new(files[0], files[1], files[2]);
    for request in ["passwd", "group", "shadow"].into_iter().flat_map(questions) {
        let reply = naive.answer(&request);
        let got = client.ask(&request, reply.len());
        assert_same_bytes(&format!("{what}: {request:02x?}"), &got, &reply);
    }
    client.expect(&ENDS, &[0; 3]);
}

#[test]
fn what_takes_the_place_of_a_file_is_a_failure_for_each_server_until_it_is_gone() {
    let stage = Stage::new();
    stage.dir.accounts(PASSWD, GROUP, SHADOW);
    let servers = servers(&stage);
    for file in ["passwd", "group", "shadow"] {
        let path = stage.dir.join(file);
        for (fault, make) in FAULTS {
            fs::remove_file(&path).expect("remove");
            make(&path);
            for (name, server) in &servers {
                let client = server.client();
                for request in questions(file) {
                    let status = client.ask(&request, 1)[0];
                    let what = format!("{name}, {fault} for {file}: {request:02x?}");
                    assert!(status != 0 && status != 255, "{what} is answered {status}");
                }
                client.expect(&ENDS, &[0; 3]);
                // The others are files still.
                for other in ["passwd", "group", "shadow"].into_iter().filter(|o| *o != file) {
                    let request = &questions(other)[0];
                    let reply = Naive::new(PASSWD, GROUP, SHADOW).answer(request);
                    client.expect(request, &reply);
                }
            }
            if fault == "a directory" {
                fs::remove_dir(&path).expect("remove");
            } else if fault != "nothing" {
                fs::remove_file(&path).expect("remove");
            }
            stage.dir.accounts(PASSWD, GROUP, SHADOW);
            for (name, server) in &servers {
                expect_all(
                    &format!("{name} after {fault}"),
                    server.client(),
                    [PASSWD, GROUP, SHADOW],
                );
            }
        }
    }
}

#[test]
fn what_takes_the_place_of_a_file_closes_the_clients_of_nscd_until_it_is_gone() {
    let bench = nscd::Bench::new(PASSWD, GROUP);
    let server = bench.serve(&[]);
    let ada = nscd::user(PASSWD.lines().last().unwrap());
    let staff = nscd::group(GROUP.lines().last().unwrap());
    let of = [
        ("passwd", [(ask::USER, "ada"), (ask::UID, "1001"), (ask::USER, "nobody")]),
        ("group", [(ask::GROUP, "staff"), (ask::GID, "1001"), (ask::GROUPS, "ada")]),
    ];
    for (file, questions) in of {
        let path = bench.dir.join(file);
        for (fault, make) in FAULTS {
            fs::remove_file(&path).expect("remove");
            make(&path);
            for (kind, key) in questions {
                let got = asked(server.socket(), &request(kind, key));
                assert_eq!(got, b"", "{fault} for {file}: {kind} {key}");
            }
            if fault == "a directory" {
                fs::remove_dir(&path).expect("remove");
            } else if fault != "nothing" {
                fs::remove_file(&path).expect("remove");
            }
            bench.dir.write("passwd", PASSWD);
            bench.dir.write("group", GROUP);
            assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), ada);
            assert_eq!(asked(server.socket(), &request(ask::GID, "1001")), staff);
            assert_eq!(asked(server.socket(), &request(ask::USER, "nobody")), no_user());
            assert_eq!(asked(server.socket(), &request(ask::GID, "4")), no_group());
        }
    }
}

#[test]
fn a_file_cut_at_any_byte_is_read_as_it_is() {
    let stage = Stage::new();
    stage.dir.accounts(PASSWD, GROUP, SHADOW);
    let servers = servers(&stage);
    for (at, text) in [PASSWD, GROUP, SHADOW].into_iter().enumerate() {
        let name = ["passwd", "group", "shadow"][at];
        for len in (0..=text.len()).rev() {
            // In place, as a disk that ran full leaves it.
            let path = stage.dir.join(name);
            let file = fs::OpenOptions::new().write(true).open(path).expect("open");
            file.set_len(len as u64).expect("truncate");
            let mut files = [PASSWD, GROUP, SHADOW];
            files[at] = &text[..len];
            for (server, asked) in &servers {
                expect_all(&format!("{server}, {len} bytes of {name}"), asked.client(), files);
            }
        }
        stage.dir.accounts(PASSWD, GROUP, SHADOW);
    }
}

/// Gives a file this time, in seconds since the epoch.
#[track_caller]
fn set_time(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let file = fs::OpenOptions::new().write(true).open(path).expect("open");
    file.set_times(FileTimes::new().set_accessed(time).set_modified(time)).expect("set times");
}

#[test]
fn files_are_read_as_they_are_whatever_their_times() {
    let stage = Stage::new();
    stage.dir.accounts(PASSWD, GROUP, SHADOW);
    let servers = servers(&stage);
    let bench = nscd::Bench::new(PASSWD, GROUP);
    let nscd = bench.serve(&[]);
    // A board without a battery begins in 1970, with files of later days; then its clock is set.
    let times =
        [4_102_444_800, 0, 1, 1, 4_102_444_799, 1_700_000_000, 1_699_999_999, 2, 4_102_444_800];
    for (round, time) in times.into_iter().enumerate() {
        for in_place in [false, true] {
            // As long as the one before.
            let uid = 2000 + 2 * round + usize::from(in_place);
            let line = format!("ada:*:{uid}:1001:Ada:/home/ada:/bin/sh");
            let passwd = format!("root:*:0:0:root:/root:/bin/sh\n{line}\n");
            for dir in [&stage.dir, &bench.dir] {
                let path = if in_place {
                    dir.write("passwd", &passwd)
                } else {
                    dir.replace("passwd", &passwd)
                };
                set_time(&path, time);
            }
            for _ in 0..2 {
                for (name, server) in &servers {
                    expect_all(
                        &format!("{name}, {time}"),
                        server.client(),
                        [&passwd, GROUP, SHADOW],
                    );
                }
                assert_eq!(asked(nscd.socket(), &request(ask::USER, "ada")), nscd::user(&line));
            }
            if in_place {
                // Long enough to be remembered, where its times are not of the future.
                stage::settle(&stage.dir.join("passwd"));
                expect_all("settled", servers[0].1.client(), [&passwd, GROUP, SHADOW]);
            }
        }
    }
}

#[test]
fn a_file_that_may_not_be_read_is_a_failure_for_each_server() {
    let name = "a_file_that_may_not_be_read_is_a_failure_for_each_server";
    if !is_root() || !support::others_can_run_it() {
        return skip(name, "needs root, and an executable that others can reach");
    }
    let bench = ipcserver::Bench::new(ipcserver::OURS);
    bench.dir.accounts(PASSWD, GROUP, SHADOW);
    let rights = ["-u", "65534", "-g", "65534"];
    let own = ["nsssd-unix", "-d", bench.dir.as_str()];
    // As that user the server cannot open it; as root it can, and must not show it.
    let [closed, open, spawn] = ["closed", "open", "spawn"].map(|n| bench.dir.subdirectory(n));
    let bin = bench.dir.join("bin");
    let servers = [
        Server::start(&bin, &closed, &rights, &own),
        Server::start(&bin, &open, &[], &own),
        Server::start(&bin, &spawn, &["--spawn"], &own),
    ];
    let mut nscd = support::tool(&bin, "nscd");
    let socket = bench.dir.join("run/socket");
    nscd.args(["-1", "-q", "-S"]).arg(&socket).args(rights).args(["3"]).args(own).arg("");
    let nscd = Server::start_command(nscd, &socket);
    for file in ["passwd", "group"] {
        bench.dir.chmod(file, 0o600);
        for server in &servers {
            let client = ipcserver::connect_as(server, ipcserver::NOBODY, ipcserver::NOBODY);
            for request in questions(file) {
                client.expect(&request, &[13]);
            }
        }
        let kind = if file == "passwd" { ask::UID } else { ask::GID };
        assert_eq!(asked(nscd.socket(), &request(kind, "1001")), b"");
        assert_eq!(asked(nscd.socket(), &request(kind, "4")), b"");
        bench.dir.chmod(file, 0o644);
        for server in &servers {
            let client = ipcserver::connect_as(server, ipcserver::NOBODY, ipcserver::NOBODY);
            let request = &questions(file)[0];
            client.expect(request, &Naive::new(PASSWD, GROUP, SHADOW).answer(request));
        }
    }
}
