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
use support::nscd::{Bench, ask, asked, request, user};
use support::{Connection, procfs, skip};

const ADA: &str = "ada:x:1001:1001:Ada:/home/ada:/bin/sh";
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nada:x:1001:1001:Ada:/home/ada:/bin/sh\n\
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
