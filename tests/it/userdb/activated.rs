//! Several sockets from a supervisor: their names tell which is which.
#![cfg(feature = "nscd")]

use super::bench::{Bench, ask_one};
use crate::support::nscd::{ask as nscd_ask, asked, request, user};
use crate::support::{Captured, Connection, by_name, op, passwd_reply, tool, wait_for_exit};
use serde_json::json;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Stdio};

const ADA: &str = "ada:*:72001:72001:Ada:/home/ada:/bin/sh";

/// A server that is passed sockets: descriptors from 3 on, by the names that its supervisor gives
/// them.
struct Activated {
    child: Child,
    stderr: Captured,
}

impl Activated {
    /// Runs `APPLET OPTIONS SCRIPT` with the sockets of these files in the bench's directory.
    fn start(bench: &Bench, sockets: &[&str], names: &str, words: &[&str]) -> Activated {
        let listeners =
            sockets.iter().map(|name| UnixListener::bind(bench.dir.join(name)).unwrap());
        // To a shell, by way of standard input, output and descriptor 2.
        let mut passed = listeners.map(|listener| Stdio::from(OwnedFd::from(listener)));
        let stderr = Captured::new();
        let mut all = String::new();
        for number in 0..sockets.len() {
            all += &format!("exec {}<&{number}; ", number + 3);
        }
        let log = bench.dir.join("log");
        let setup = format!(
            "{all} exec </dev/null >/dev/null 2>>{}; export LISTEN_FDS={} LISTEN_PID=$$ \
             LISTEN_FDNAMES={names}; exec \"$0\" \"$@\"",
            log.display(),
            sockets.len(),
        );
        let mut command = tool(&bench.dir.bin(), "sh");
        command.args(["-c", &setup]).args(words).args(bench.unix());
        for (number, socket) in (&mut passed).enumerate() {
            match number {
                0 => command.stdin(socket),
                1 => command.stdout(socket),
                _ => command.stderr(socket),
            };
        }
        Activated { child: command.spawn().expect("start the server"), stderr }
    }

    fn said(&self, bench: &Bench) -> String {
        std::fs::read_to_string(bench.dir.join("log")).unwrap_or_default() + &self.stderr.text()
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bench() -> Bench {
    Bench::new(&format!("{ADA}\n"), "staff:x:72001:ada\n", "")
}

fn assert_nscd(socket: PathBuf) {
    assert_eq!(asked(&socket, &request(nscd_ask::USER, "ada")), user(ADA));
}

fn assert_nsss(socket: PathBuf) {
    let reply = passwd_reply(["ada", "*"], 72001, 72001, ["Ada", "/home/ada", "/bin/sh"]);
    Connection::connect(&socket).expect(&by_name(op::PWD_GETBYNAME, "ada"), &reply);
}

fn assert_userdb(socket: PathBuf) {
    let record = ask_one(&Connection::connect(&socket), "GetUserRecord", json!({"uid": 72001}));
    assert_eq!(record["parameters"]["record"]["userName"], "ada");
}

/// One process, three protocols, in whatever order their sockets come.
#[test]
fn three_sockets_are_told_apart_by_their_names() {
    for (order, varlink) in
        [(["nscd", "nsss", "userdb"], "userdb"), (["userdb", "nscd", "nsss"], "varlink")]
    {
        let bench = bench();
        let path = |name: &str| bench.dir.join(format!("passed-{name}"));
        let sockets = order.map(|name| format!("passed-{name}"));
        let sockets: Vec<&str> = sockets.iter().map(String::as_str).collect();
        let names = order.map(|name| if name == "userdb" { varlink } else { name }).join(":");
        let userdb = format!("--userdb={}", bench.socket().display());
        let (nscd, nsss) = (bench.dir.join("nscd"), bench.dir.join("nsss"));
        let (nscd, nsss) = (nscd.to_str().unwrap(), nsss.to_str().unwrap());
        let words = ["nscd", "-q", "-S", nscd, "--nsss", nsss, &userdb];
        let server = Activated::start(&bench, &sockets, &names, &words);
        for _ in 0..2 {
            assert_nscd(path("nscd"));
            assert_nsss(path("nsss"));
            assert_userdb(path("userdb"));
        }
        // None is made.
        for made in ["nscd", "nsss", super::bench::SERVICE] {
            assert!(!bench.dir.join(made).exists(), "{made}");
        }
        assert_eq!(server.said(&bench), "");
    }
}

/// What was not passed is made. The one without a name of ours is for the applet's own protocol.
#[test]
fn one_that_is_not_passed_is_made() {
    for (names, passed) in [("userdb", "userdb"), ("nssbox.socket", "nscd"), ("''", "nscd")] {
        let bench = bench();
        let nscd = bench.dir.join("nscd");
        let userdb = format!("--userdb={}", bench.socket().display());
        let words = ["nscd", "-1", "-S", nscd.to_str().unwrap(), &userdb];
        let _server = Activated::start(&bench, &["passed"], names, &words);
        let (own, other) = match passed {
            "userdb" => (nscd.clone(), bench.socket()),
            _ => (bench.socket(), nscd.clone()),
        };
        crate::support::wait_until("the other is made", || own.exists());
        match passed {
            "userdb" => {
                assert_userdb(bench.dir.join("passed"));
                assert_nscd(nscd);
            }
            _ => {
                assert_nscd(bench.dir.join("passed"));
                assert_userdb(bench.socket());
            }
        }
        assert!(!other.exists(), "{names}");
    }
}

/// A server of one protocol takes the one socket, whatever its name.
#[test]
fn userdb_takes_the_one_socket() {
    for name in ["varlink", "userdb", "nscd", "x.socket", "''"] {
        let bench = bench();
        let socket = bench.socket();
        let words = ["userdb", "-S", socket.to_str().unwrap()];
        let _server = Activated::start(&bench, &["passed"], name, &words);
        assert_userdb(bench.dir.join("passed"));
        assert!(!socket.exists());
    }
}

/// Whoever connects there would wait for ever.
#[test]
fn a_socket_for_what_is_not_served_is_an_error() {
    let bench = bench();
    let nscd = bench.dir.join("nscd");
    let words = ["nscd", "-S", nscd.to_str().unwrap()];
    let mut server = Activated::start(&bench, &["passed-nscd", "passed"], "nscd:varlink", &words);
    assert_eq!(wait_for_exit(&mut server.child).code(), Some(100));
    assert!(server.said(&bench).contains("what is not served: varlink"), "{}", server.said(&bench));
}
