//! What an honest client sees beside each hostile behaviour, against what he sees without it.

use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::attack::{After, Attack, beside};
use crate::daemon::{Daemon, own_executable};
use crate::files::{self, Files, MANY, asked_by_nscd};
use crate::on_cpu;

/// INITGROUPS, GETGRBYNAME, INVALIDATE.
const GROUPS: u32 = 15;
const GROUP: u32 = 2;
const INVALIDATE: u32 = 10;

/// A hostile behaviour, and what an honest client's 99 of 100 take at most, in milliseconds.
struct Row {
    what: &'static str,
    attack: Attack,
    /// The honest one asks the source that may block.
    far: bool,
    bound: f64,
}

/// Asks by name, or what else goes with that number.
fn of(kind: u32, name: fn(usize) -> String) -> Box<dyn Fn(usize) -> Vec<u8> + Send + Sync> {
    Box::new(move |number| asked_by_nscd(kind, &name(number)))
}

fn rows() -> Vec<Row> {
    let row = |what, (uids, each), ask, after, far, bound| {
        let attack = Attack { uids, each, ask, after, nice: 10 };
        Row { what, attack, far, bound }
    };
    let known = || of(0, |_| "us030".to_owned());
    let silent = || -> Box<dyn Fn(usize) -> Vec<u8> + Send + Sync> { Box::new(|_| Vec::new()) };
    let large = || of(GROUP, |_| format!("g{MANY}"));
    let hanging = || of(0, |number| format!("hang{number}"));
    let (reads, stops) = (After::Reads, After::Stops);
    vec![
        row("2,000 silent connections of 40 uids", (40, 50), silent(), stops, false, 50.0),
        row("1,000 requests byte by byte", (1, 1000), known(), After::ByteByByte, false, 50.0),
        row("5,000 connections of one uid that ask", (1, 5000), known(), reads, false, 250.0),
        row("2,000 of 40 uids that ask", (40, 50), known(), reads, false, 250.0),
        row("500 that ask and leave at once", (1, 500), known(), After::Leaves, false, 100.0),
        row(
            "64 that stop reading a group of 100,000 members",
            (1, 64),
            large(),
            stops,
            false,
            100.0,
        ),
        row("64 of 8 uids that read it slowly", (8, 8), large(), After::Slowly, false, 100.0),
        row(
            "500 that search files of 300,000 lines in vain",
            (1, 500),
            of(0, |number| format!("nobody{number}")),
            reads,
            false,
            100.0,
        ),
        row(
            "500 that have group lists looked for in them",
            (1, 500),
            of(GROUPS, |number| format!("nobody{number}")),
            reads,
            false,
            100.0,
        ),
        row(
            "500 INVALIDATE of who is not root",
            (1, 500),
            of(INVALIDATE, |_| "passwd".to_owned()),
            reads,
            false,
            100.0,
        ),
        row(
            "500 requests that are none",
            (1, 500),
            Box::new(|number| vec![number as u8; 64]),
            reads,
            false,
            100.0,
        ),
        row("one uid that asks a source that hangs", (1, 500), hanging(), reads, true, 50.0),
        row("the same, of eight uids: all workers", (8, 60), hanging(), reads, true, 3500.0),
    ]
}

pub fn run(files: &Files, time: Duration, judge: bool) -> io::Result<bool> {
    let near = files.sized(300_000, judge)?;
    std::fs::copy(files.many().join("group"), near.join("group"))?;
    let slow = files.socket("slow");
    on_cpu(0)?;
    let mut command = own_executable()?;
    let _source = Daemon::start_and_wait(command.args(["--nslcd", "0"]).arg(&slow))?;
    let socket = files.socket("nscd");
    let start = || {
        let mut command = Command::new(files.applet("nscd"));
        command.args(["-1", "-q", "-S"]).arg(&socket).arg("0");
        command.arg(files.applet("nsssd-unix")).arg("-d").arg(files.few()).arg("").arg("0");
        command.arg(files.applet("nsssd-unix")).arg("-d").arg(&near).arg("").arg("0");
        command.arg(files.applet("nsssd-nslcd")).arg(&slow).arg("");
        Daemon::start_and_wait(&mut command)
    };
    let [few, far] = [files::last_of_few_by_nscd(), files::of_source_by_nscd(555_555)];
    println!("| beside | p50 | p99 | without | of that | failed | bound of p99 |");
    println!("|---|---|---|---|---|---|---|");
    let mut good = true;
    for Row { what, attack, far: is_far, bound } in rows() {
        on_cpu(0)?;
        let server = start()?;
        on_cpu(1)?;
        let question = if is_far { &far } else { &few };
        // What is started for the first is there for the others.
        beside(&socket, question, None, time / 10)?;
        let alone = beside(&socket, question, None, time / 2)?;
        let with = beside(&socket, question, Some(&attack), time)?;
        drop(server);
        let [a50, a99] = [50, 99].map(|percent| alone.percentile(percent));
        let [w50, w99] = [50, 99].map(|percent| with.percentile(percent));
        println!(
            "| {what} | {w50:.2} ms | {w99:.2} ms | {a50:.2}, {a99:.2} ms | {:.1}, {:.1} x | {} of \
             {} | {bound:.0} ms{} |",
            w50 / a50,
            w99 / a99,
            with.failed,
            with.millis.len(),
            if w99 > bound { ", **over**" } else { "" },
        );
        good &= with.failed == 0 && (!judge || w99 <= bound);
    }
    on_cpu(0)?;
    let server = start()?;
    on_cpu(1)?;
    good &= ends(server, &socket)?;
    Ok(good)
}

/// A server is told to end while clients read slowly, and another one takes its place.
fn ends(server: Daemon, socket: &OsStr) -> io::Result<bool> {
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = UnixStream::connect(socket)?;
        client.write_all(&asked_by_nscd(GROUP, &format!("g{MANY}")))?;
        client.read_exact(&mut [0; 4])?;
        clients.push(client);
    }
    let before = Instant::now();
    server.terminate()?;
    let done = std::sync::atomic::AtomicBool::new(false);
    let took = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                clients.iter_mut().for_each(|client| {
                    let _ = client.read(&mut [0; 4096]);
                });
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let ended = server.wait();
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        ended.map(|()| before.elapsed().as_secs_f64())
    })?;
    println!(
        "\nSIGTERM beside 8 that read that group slowly: ended after {took:.2} s (bound 5 s)\n"
    );
    Ok(took < 6.0)
}
