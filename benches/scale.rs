//! Speed by the size of the passwd file and by the number of clients.
//!
//! `cargo bench --bench scale [-- ROW…]`, of which `benches/plot` makes doc/speed.svg. Conditions,
//! the command line and the exit code are those of the bench `speed`. The number in a row's name is
//! that of lines or of clients; times are of one lookup.

#[path = "speed/daemon.rs"]
mod daemon;
#[path = "speed/driver.rs"]
mod driver;
#[path = "speed/files.rs"]
mod files;
#[path = "speed/measure.rs"]
mod measure;
#[path = "speed/reference.rs"]
mod reference;
#[path = "speed/subjects.rs"]
mod subjects;

use std::ffi::OsStr;
use std::io;
use std::process::ExitCode;

use daemon::{Connection, Link};
use driver::Row;
use files::{DONE, PWD_END, Question};
use measure::{Finding, Limit, Pair, Plan, rounds, time, turns};
use reference::{PING, PONG, Pingpong, Scan, start_accept, start_echo};
use subjects::Bench;

/// So many of the last users of a file are asked for in turn where nothing shall be remembered.
const OTHERS: u32 = 24;

macro_rules! rows {
    ($run:ident: $($name:literal $number:literal),*) => {
        [$(Row { name: $name, limit: Limit::None, run: |bench| $run(bench, $number) }),*]
    };
}

fn main() -> ExitCode {
    let mut all = Vec::new();
    all.extend(rows!(first: "first-30" 30, "first-1000" 1000, "first-100000" 100_000,
        "first-1000000" 1_000_000));
    all.extend(rows!(others: "others-30" 30, "others-1000" 1000, "others-100000" 100_000,
        "others-1000000" 1_000_000));
    all.extend(rows!(unknown: "unknown-30" 30, "unknown-1000" 1000, "unknown-100000" 100_000,
        "unknown-1000000" 1_000_000));
    all.extend(rows!(again: "again-30" 30, "again-1000" 1000, "again-100000" 100_000,
        "again-1000000" 1_000_000));
    all.extend(rows!(lasting: "lasting-1" 1, "lasting-16" 16, "lasting-256" 256));
    all.extend(rows!(connect: "connect-1" 1, "connect-16" 16, "connect-256" 256));
    all.extend(rows!(nscd: "nscd-1" 1, "nscd-16" 16, "nscd-256" 256));
    driver::main(&all)
}

/// Fewer calls the more a call does.
fn plan(bench: &Bench, slices: u32, calls: u32, each: u32) -> Plan {
    bench.plan(slices, (calls / each).max(1))
}

/// What a lookup that reads all of a file costs at least: a bare exchange and a scan.
fn floor(bench: &Bench, lines: u32) -> io::Result<impl FnMut() -> io::Result<()>> {
    let ping = Pingpong::start()?;
    let mut scan = Scan::open(&bench.files.sized(lines, bench.full)?.join("passwd"))?;
    let mut once = move || match scan.count()? {
        newlines if newlines == lines as usize => ping.once(),
        other => Err(io::Error::other(format!("counted {other} lines"))),
    };
    once()?;
    Ok(once)
}

/// A daemon over a file of so many lines, that has not yet looked at it.
fn unix(bench: &Bench, lines: u32) -> io::Result<Link> {
    let unix = bench.unix(&bench.files.sized(lines, bench.full)?)?;
    unix.ask(&PWD_END, &DONE)?;
    Ok(unix)
}

/// A daemon's first lookup, of the last user.
fn first(bench: &Bench, lines: u32) -> io::Result<Finding> {
    let (plan, question) = (plan(bench, 20, 1, 1), files::of_sized(lines));
    let mut floor = floor(bench, lines)?;
    rounds(plan, || {
        let mut pair = Pair::default();
        for _ in 0..plan.slices.min(8_000_000 / lines) {
            let unix = unix(bench, lines)?;
            let mut ask = || unix.ask(&question.request, &question.reply);
            pair.subject.add(time(1, &mut ask)?, 1);
            pair.reference.add(time(1, &mut floor)?, 1);
        }
        Ok(pair)
    })
}

/// Many of the last users in turn.
fn others(bench: &Bench, lines: u32) -> io::Result<Finding> {
    let questions: Vec<Question> = (0..OTHERS).map(|n| files::of_sized(lines - n)).collect();
    against_scan(bench, lines, &questions)
}

/// Unknown names in turn.
fn unknown(bench: &Bench, lines: u32) -> io::Result<Finding> {
    let nobody = |n| Question { reply: vec![255], ..files::of_sized(lines + 1 + n) };
    let questions: Vec<Question> = (0..OTHERS).map(nobody).collect();
    against_scan(bench, lines, &questions)
}

fn against_scan(bench: &Bench, lines: u32, questions: &[Question]) -> io::Result<Finding> {
    let plan = plan(bench, 10, 300_000, lines.max(1000));
    let mut floor = floor(bench, lines)?;
    let mut at = 0;
    rounds(plan, || {
        let unix = unix(bench, lines)?;
        turns(plan, &mut floor, || {
            at = (at + 1) % questions.len();
            questions.get(at).map_or(Ok(()), |q| unix.ask(&q.request, &q.reply))
        })
    })
}

/// The last user again and again.
fn again(bench: &Bench, lines: u32) -> io::Result<Finding> {
    let (plan, question) = (bench.exchanges(), files::of_sized(lines));
    rounds(plan, || {
        let (ping, unix) = (Pingpong::start()?, unix(bench, lines)?);
        unix.ask(&question.request, &question.reply)?;
        turns(plan, || ping.once(), || unix.ask(&question.request, &question.reply))
    })
}

fn open_all(socket: &OsStr, clients: u32) -> io::Result<Vec<Connection>> {
    (0..clients).map(|_| Connection::open(socket)).collect()
}

/// All send, then all read.
fn all_ask(clients: &[Connection], request: &[u8], reply: &[u8]) -> io::Result<()> {
    clients.iter().try_for_each(|client| client.send(request))?;
    clients.iter().try_for_each(|client| client.expect(reply))
}

/// Lasting connections to ipcserver with a switch.
fn lasting(bench: &Bench, clients: u32) -> io::Result<Finding> {
    let (plan, question) = (plan(bench, 20, 700, clients), files::last_of_few());
    rounds(plan, || {
        let bare = bench.files.socket("echo");
        let _reference = start_echo(&bare)?;
        let (_server, socket) = bench.ipcserver(&bench.files.few())?;
        let (echoes, asked) = (open_all(&bare, clients)?, open_all(&socket, clients)?);
        let pair = turns(
            plan,
            || all_ask(&echoes, &PING, &PONG),
            || all_ask(&asked, &question.request, &question.reply),
        )?;
        Ok(pair.of_exchanges(clients))
    })
}

/// All connect, all ask, all read, all close.
fn connect(bench: &Bench, clients: u32) -> io::Result<Finding> {
    let (plan, question) = (plan(bench, 20, 300, clients), files::last_of_few());
    rounds(plan, || {
        let bare = bench.files.socket("accept");
        let _reference = start_accept(&bare)?;
        let (_server, socket) = bench.ipcserver(&bench.files.few())?;
        let pair = turns(
            plan,
            || all_ask(&open_all(&bare, clients)?, &PING, &PONG),
            || all_ask(&open_all(&socket, clients)?, &question.request, &question.reply),
        )?;
        Ok(pair.of_exchanges(clients))
    })
}

/// The same with nscd, whose clients read to the end.
fn nscd(bench: &Bench, clients: u32) -> io::Result<Finding> {
    let (plan, question) = (plan(bench, 20, 300, clients), files::last_of_few_by_nscd());
    let once = |socket: &OsStr, request: &[u8], reply: &[u8]| {
        let clients = open_all(socket, clients)?;
        all_ask(&clients, request, reply)?;
        clients.iter().try_for_each(Connection::expect_end)
    };
    rounds(plan, || {
        let bare = bench.files.socket("accept");
        let _reference = start_accept(&bare)?;
        let (_server, socket) = bench.nscd(&bench.files.few())?;
        let pair = turns(
            plan,
            || once(&bare, &PING, &PONG),
            || once(&socket, &question.request, &question.reply),
        )?;
        Ok(pair.of_exchanges(clients))
    })
}
