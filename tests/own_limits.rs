//! Tests that change what their whole process is allowed, and so have it for themselves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::path::Path;
use support::nscd::{Bench, ask, asked, request, user};
use support::{Connection, Server, by_name, op, passwd_reply, procfs, skip, tool};

const ADA: &str = "ada:*:1001:1001:Ada:/home/ada:/bin/sh";
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nada:*:1001:1001:Ada:/home/ada:/bin/sh\n\
                      bob:$6$salt$hash:1002:1001::/:\n";
const GROUP: &str = "root:x:0:\nstaff:x:1001:ada,bob\nwheel:secret:10:ada\n";

fn bench() -> Bench {
    Bench::new(PASSWD, GROUP)
}

#[test]
fn ten_thousand_connections_leave_it_as_it_was() {
    let name = "ten_thousand_connections_leave_it_as_it_was";
    let limit = getrlimit(Resource::Nofile);
    let enough = limit.maximum.is_none_or(|most| most >= 10_500);
    if !enough {
        return skip(name, "fewer than 10,500 descriptors are allowed");
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(10_500), maximum: limit.maximum }).unwrap();
    let bench = bench();
    let server = bench.serve(&[]);
    let memory = || procfs::own_memory(server.pid());
    let flood = |count: usize| -> Vec<Connection> {
        let each = (0..count).map(|at| {
            if at % 500 == 0 {
                assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
            }
            Connection::connect(server.socket())
        });
        each.collect()
    };
    let idle = memory();
    // As many as may wait bring in what there is once for all: the room of which doc/nscd.md tells.
    let first = flood(3_000);
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
    drop(first);
    let before = memory();
    assert!(before - idle <= 5 * 1024, "{} kB for the room", before - idle);
    let all = flood(10_000);
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
    for client in &all {
        client.expect_eof();
    }
    let grown = memory().saturating_sub(before);
    assert!(grown <= 16, "{grown} kB more than before");
}

const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// The kernel makes huge pages of its own accord; dropped: as it was before.
struct AlwaysHuge(String);

impl AlwaysHuge {
    fn set() -> Option<AlwaysHuge> {
        let text = fs::read_to_string(HUGE_PAGES).ok()?;
        let before = text.split_once('[')?.1.split_once(']')?.0.to_owned();
        fs::write(HUGE_PAGES, "always").ok()?;
        Some(AlwaysHuge(before))
    }
}

impl Drop for AlwaysHuge {
    fn drop(&mut self) {
        let _ = fs::write(HUGE_PAGES, &self.0);
    }
}

/// A map with room for a registry's pairs, behind the files.
fn map(bench: &Bench) -> String {
    bench.dir.subdirectory("home");
    bench.dir.subdirectory("home/zoe");
    bench.dir.write("key", "0123456789abcdef0123456789abcdef\n");
    bench.dir.chmod("key", 0o400);
    // Those who are known already are all over the tables.
    let line = |n: u32| format!("{} name{n} 1\n", 1_879_048_192 + n * 1000);
    bench.dir.write("registry", (0..300).map(line).collect::<String>());
    let map = "nssmap 2\nkey DIR/key\nregistry DIR/registry\nmap *\n  \
               template u:x:1879048192+134217728:=:mapped user:DIR/home:/bin/sh\n  require home\n";
    bench.dir.write("map", map.replace("DIR", bench.dir.as_str()));
    bench.dir.join("map").to_str().unwrap().to_owned()
}

#[test]
fn huge_pages_make_no_server_large_and_are_left_to_the_programs_that_it_starts() {
    let name = "huge_pages_make_no_server_large_and_are_left_to_the_programs_that_it_starts";
    let Some(_always) = AlwaysHuge::set() else {
        return skip(name, "/sys does not let huge pages be made always");
    };
    let bench = bench();
    let map = map(&bench);
    let dir = bench.dir.as_str();
    let script = ["0", "nsssd-unix", "-d", dir, "", "0", "nsssd-map", "-f", &map, ""];
    let expect_small = |server: &Server, what: &str| {
        let text =
            fs::read_to_string(format!("/proc/{}/smaps_rollup", server.pid().as_raw_nonzero()));
        let text = text.unwrap();
        let huge = text.lines().find_map(|line| line.strip_prefix("AnonHugePages:")).unwrap();
        assert_eq!(huge.trim(), "0 kB", "{what}");
    };
    let socket = bench.dir.join("s");
    let mut command = tool(&bench.bin, "ipcserver");
    command.args(["-1", "-c", "8192"]).arg(&socket).arg("nsssd-switch").args(script);
    let server = Server::start_command(command, &socket);
    let ada = passwd_reply(["ada", "*"], 1001, 1001, ["Ada", "/home/ada", "/bin/sh"]);
    server.connect().expect(&by_name(op::PWD_GETBYNAME, "ada"), &ada);
    assert_eq!(server.connect().ask(&by_name(op::PWD_GETBYNAME, "zoe"), 1), [0]);
    expect_small(&server, "ipcserver");
    let socket = bench.socket();
    let mut command = bench.command(&["-c", "8192"]);
    command.args(script);
    let server = Server::start_command(command, &socket);
    assert_eq!(asked(&socket, &request(ask::USER, "ada")), user(ADA));
    assert!(!asked(&socket, &request(ask::USER, "zoe")).is_empty());
    expect_small(&server, "nscd");
    if !Path::new("/proc/self/status").is_file() || !allowed(rustix::process::getpid()) {
        return skip(name, "/proc does not tell who may have huge pages");
    }
    assert!(!allowed(server.pid()));
    let socket = bench.dir.join("p");
    let mut command = tool(&bench.bin, "ipcserver");
    command.arg("-1").arg(&socket).args(["grep", "THP_enabled", "/proc/self/status"]);
    let server = Server::start_command(command, &socket);
    let told = support::ipcserver::read_to_end(&server.connect());
    assert_eq!(told.split_whitespace().last(), Some("1"), "{told}");
}

/// Whether a process may have huge pages.
fn allowed(pid: rustix::process::Pid) -> bool {
    let status =
        fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    status.lines().any(|line| line.starts_with("THP_enabled:") && line.ends_with('1'))
}
