//! `nsssd-switch` with random scripts of backends that go wrong in random ways, against the
//! decision table: lookups, enumerations and lists of groups, in process and with `--spawn`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod fake;
mod model;
#[path = "../support/mod.rs"]
mod support;

use fake::Act;
use libtest_mimic::{Arguments, Failed, Trial};
use model::{Model, Seen};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{FileFailurePersistence, RngSeed, TestRunner};
use std::cell::Cell;
use std::process::ExitCode;
use support::{Connection, DEADLINE, Daemon, Got, TempDir, by_id, by_name, grouplist, nsssd, op};

fn main() -> ExitCode {
    fake::run_if_called();
    let trial = |name, cases, faults| {
        Trial::test(name, move || property(cases, faults).map_err(Failed::from))
    };
    let trials = vec![
        trial("a_switch_follows_the_decision_table", 200, Faults::All),
        trial("a_switch_follows_the_decision_table_where_backends_hang", 8, Faults::Hangs),
        trial("a_switch_follows_the_decision_table_where_large_records_break", 100, Faults::Breaks),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// What mostly goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Faults {
    /// Everything that takes no time.
    All,
    /// Backends that hang, which cost a second each.
    Hangs,
    /// Groups larger than what is kept of a reply, that break off in the middle.
    Breaks,
}

/// Milliseconds for a backend that hangs. Others must not need them, on a busy machine neither.
const TIMEOUT: &str = "1000";

/// Which program a backend is.
#[derive(Clone, Debug)]
enum Kind {
    /// `nsssd-unix`
    Unix,
    /// One that does not exist.
    Missing,
    /// One of our own, and what goes wrong with which request.
    Fake(Vec<(usize, Act)>),
}

/// One backend of a script.
#[derive(Clone, Debug)]
pub struct Plan {
    bits: u8,
    kind: Kind,
    files: [String; 3],
}

impl Plan {
    fn is_missing(&self) -> bool {
        matches!(self.kind, Kind::Missing)
    }

    fn acts(&self) -> Vec<(usize, Act)> {
        match &self.kind {
            Kind::Fake(acts) => acts.clone(),
            _ => Vec::new(),
        }
    }
}

/// A script, and what a client asks.
#[derive(Clone, Debug)]
struct Case {
    merge: bool,
    spawn: bool,
    plans: Vec<Plan>,
    requests: Vec<Vec<u8>>,
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn name() -> impl Strategy<Value = &'static str> {
    select(&NAMES[..])
}

fn files() -> impl Strategy<Value = [String; 3]> {
    let user = (name(), 1..5u32).prop_map(|(name, uid)| format!("{name}:x:{uid}:1::/:\n"));
    let members = prop_oneof![
        3 => vec(name(), 0..3).prop_map(|names| names.join(",")),
        // Larger than what is kept of a reply.
        3 => (name(), 450..900usize).prop_map(|(n, size)| format!("{n}{}", ",somebody".repeat(size))),
    ];
    let group = (name(), 1..6u32, members).prop_map(|(n, gid, m)| format!("{n}:x:{gid}:{m}\n"));
    let secret = name().prop_map(|name| format!("{name}:!:1::::::\n"));
    let file = |line: BoxedStrategy<String>| vec(line, 0..4).prop_map(|lines| lines.concat());
    (file(user.boxed()), file(group.boxed()), file(secret.boxed())).prop_map(|(p, g, s)| [p, g, s])
}

fn act(hangs: bool) -> BoxedStrategy<Act> {
    // Within the status, the head, the strings, a large record, or behind it.
    let place = prop_oneof![0..3usize, 10..70usize, 4000..4200usize, Just(1 << 20)];
    let act = prop_oneof![
        3 => (1..=255u8).prop_map(Act::Status),
        1 => Just(Act::Status(255)),
        6 => place.clone().prop_map(Act::Crash),
        2 => Just(Act::Garbage),
        2 => Just(Act::Excess),
        1 => Just(Act::Drip),
    ];
    if hangs { prop_oneof![1 => act, 2 => place.prop_map(Act::Hang)].boxed() } else { act.boxed() }
}

fn plan(hangs: bool) -> impl Strategy<Value = Plan> {
    let fake = vec((0..5usize, act(hangs)), 0..4).prop_map(Kind::Fake);
    let kind = prop_oneof![2 => Just(Kind::Unix), 1 => Just(Kind::Missing), 6 => fake];
    let bits = prop_oneof![3 => Just(0u8), 4 => 0..8u8];
    (bits, kind, files()).prop_map(|(bits, kind, files)| Plan { bits, kind, files })
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let of = |ops: &'static [u8]| select(ops);
    let names = &[op::PWD_GETBYNAME, op::GRP_GETBYNAME, op::GRP_GETBYNAME, op::SHADOW_GETBYNAME];
    prop_oneof![
        6 => (of(names), name()).prop_map(|(op, name)| by_name(op, name)),
        3 => (of(&[op::PWD_GETBYUID, op::GRP_GETBYGID]), 1..6u32)
            .prop_map(|(op, id)| by_id(op, id)),
        6 => of(&[op::PWD_GET, op::GRP_GET, op::SHADOW_GET]).prop_map(|op| vec![op]),
        1 => of(&[op::PWD_REWIND, op::GRP_REWIND, op::SHADOW_REWIND]).prop_map(|op| vec![op]),
        1 => of(&[op::PWD_END, op::GRP_END, op::SHADOW_END]).prop_map(|op| vec![op]),
        4 => (select(&[0, 1, 64, u64::MAX][..]), name()).prop_map(|(n, name)| grouplist(n, name)),
    ]
}

/// A backend that knows two large groups, and one of whose replies breaks off.
fn breaking_plan() -> impl Strategy<Value = Plan> {
    let group = (name(), 1..6u32, 450..900usize)
        .prop_map(|(n, gid, size)| format!("{n}:x:{gid}:{n}{}\n", ",somebody".repeat(size)));
    let cut = prop_oneof![
        1 => (13..80usize).prop_map(Act::Crash),
        // Around what is kept, and in what follows it.
        2 => (4050..4150usize).prop_map(Act::Crash),
        3 => (80..8200usize).prop_map(Act::Crash),
    ];
    (files(), vec(group, 2), 0..3usize, cut, select(&[0u8, 0, 1, 2, 4][..])).prop_map(
        |([passwd, _, shadow], groups, number, cut, bits)| {
            let files = [passwd, groups.concat(), shadow];
            Plan { bits, kind: Kind::Fake(vec![(number, cut)]), files }
        },
    )
}

/// Requests that mostly find one of these groups.
fn breaking_request() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => name().prop_map(|name| by_name(op::GRP_GETBYNAME, name)),
        2 => (1..6u32).prop_map(|gid| by_id(op::GRP_GETBYGID, gid)),
        4 => Just(vec![op::GRP_GET]),
        1 => request(),
    ]
}

fn case(faults: Faults) -> BoxedStrategy<Case> {
    let hangs = faults == Faults::Hangs;
    let (plan, request) = match faults {
        Faults::Breaks => (breaking_plan().boxed(), breaking_request().boxed()),
        _ => (plan(hangs).boxed(), request().boxed()),
    };
    (any::<bool>(), any::<bool>(), vec(plan, 1..5), vec(request, 1..14))
        .prop_map(|(merge, spawn, plans, requests)| Case { merge, spawn, plans, requests })
        .boxed()
}

/// Runs so many cases, always the same ones; and first those that have failed before.
fn property(cases: u32, faults: Faults) -> Result<(), String> {
    let hangs = faults == Faults::Hangs;
    let saved = FileFailurePersistence::Direct("tests/switch_random/failures.txt");
    let config = ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: Some(Box::new(saved)),
        max_shrink_iters: if hangs { 40 } else { 600 },
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };
    let met = Cell::new(Met::default());
    let run = TestRunner::new(config).run(&case(faults), |case| check(&case, hangs, &met));
    run.map_err(|failure| failure.to_string())?;
    // Or it would prove little.
    let Met { failures, broken } = met.get();
    println!("{cases} cases: {failures} backends failed for good, {broken} replies broke off");
    let cases = cases as usize;
    let enough = match faults {
        Faults::All => failures >= cases / 2 && broken > 0,
        Faults::Hangs => failures >= cases / 2,
        Faults::Breaks => broken >= cases / 2,
    };
    if enough { Ok(()) } else { Err(format!("only {failures} failures, {broken} broken replies")) }
}

/// By number, those in front are asked for the name as well, which the model does not know:
/// tests/it/switch/belief.rs does.
fn is_by_number(request: &[u8]) -> bool {
    [op::PWD_GETBYUID, op::GRP_GETBYGID].iter().any(|op| request.first() == Some(op))
}

/// What was met in all cases.
#[derive(Clone, Copy, Default)]
struct Met {
    failures: usize,
    broken: usize,
}

fn check(case: &Case, hangs: bool, met: &Cell<Met>) -> Result<(), TestCaseError> {
    let dir = TempDir::new();
    let bin = dir.bin();
    support::link(&std::env::current_exe().unwrap(), &bin, fake::NAME);
    let mut command = nsssd(&bin, "nsssd-switch");
    command.args(case.merge.then_some("-m")).args(case.spawn.then_some("--spawn"));
    if hangs {
        command.args(["-t", TIMEOUT]);
    }
    for (number, plan) in case.plans.iter().enumerate() {
        let own = own_files(&dir, number, &plan.files);
        command.arg(plan.bits.to_string());
        match &plan.kind {
            Kind::Unix => command.args(["nsssd-unix", "-d", &own]),
            Kind::Missing => command.arg("no-such-program"),
            // What is said of small numbers is to be believed here: the table is what is tried.
            Kind::Fake(acts) => command
                .args(["trust", fake::NAME, &own])
                .args(acts.iter().map(|(at, act)| act.word(*at))),
        };
        command.arg("");
    }
    let mut daemon = Daemon::start(command);
    let mut model = Model::new(&case.plans, case.merge);
    for (number, request) in case.requests.iter().enumerate() {
        if case.plans.len() > 1 && is_by_number(request) {
            continue;
        }
        let seen = model.answer(request);
        daemon.send(request);
        let fits = match &seen {
            Seen::Reply(replies) => is_answered(daemon.client(), replies),
            Seen::Broken(reply) => is_broken(daemon.client(), reply),
        };
        prop_assert!(fits, "request {number} ({request:02x?}) does not lead to {seen:02x?}");
        if matches!(seen, Seen::Broken(_)) {
            met.set(Met { broken: met.get().broken + 1, ..met.get() });
            return Ok(());
        }
    }
    let failures = met.get().failures + model.failures();
    met.set(Met { failures, ..met.get() });
    prop_assert_eq!(daemon.finish(), Some(0));
    Ok(())
}

/// A directory of its own for the files of one backend.
fn own_files(dir: &TempDir, number: usize, files: &[String; 3]) -> String {
    dir.subdirectory(&number.to_string());
    for (name, content) in ["passwd", "group", "shadow"].iter().zip(files) {
        dir.write(&format!("{number}/{name}"), content);
    }
    format!("{}/{number}", dir.as_str())
}

/// Takes a reply; whether it is one of these.
fn is_answered(client: &Connection, replies: &[Vec<u8>]) -> bool {
    // Of several that are possible, each is a status alone.
    let size = replies[0].len();
    let mut got = Vec::new();
    while got.len() < size {
        match client.recv(DEADLINE) {
            Got::Bytes(bytes) => got.extend(bytes),
            Got::End | Got::Nothing => return false,
        }
        if !replies.iter().any(|reply| reply.starts_with(&got)) {
            return false;
        }
    }
    got.len() == size
}

/// Takes a part of a reply and the end of the connection.
fn is_broken(client: &Connection, reply: &[u8]) -> bool {
    let mut got = Vec::new();
    loop {
        match client.recv(DEADLINE) {
            Got::Bytes(bytes) => {
                got.extend(bytes);
                if got.len() >= reply.len() || !reply.starts_with(&got) {
                    return false;
                }
            }
            Got::End => return true,
            Got::Nothing => return false,
        }
    }
}
