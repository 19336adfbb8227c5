//! Many who ask nscd at once, and hostile ones beside an honest one.
//!
//! `cargo bench --bench burst [-- table] [-- fair] [-- bounds] [-- --clients N] [-- --seconds N]`
//! (all three, 2000, 5), as root, prints Markdown: how many of a burst fail with each kind of source,
//! beside glibc's nscd and unscd (`NSSBOX_PEERS`, see tests/peers); how long an honest user waits
//! beside one who asks without end, against a bare server that accepts, echoes and closes; and the
//! same beside other hostile behaviours. The servers and sources are on one CPU, the clients on
//! another. The exit code is 1 if somebody was not answered by ours, or a bound was not held. Without
//! `--bench` it runs for a moment with few clients, and judges the answers alone.

#[path = "burst/attack.rs"]
mod attack;
#[path = "burst/bounds.rs"]
mod bounds;
#[path = "speed/daemon.rs"]
mod daemon;
#[path = "burst/fair.rs"]
mod fair;
#[path = "speed/files.rs"]
mod files;
#[path = "burst/sources.rs"]
mod sources;
#[path = "burst/table.rs"]
mod table;

use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use files::Files;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let served = match &args[..] {
        [serve, socket] if serve == "--serve" => Some(fair::echo(socket)),
        _ => sources::run(&args),
    };
    if let Some(served) = served {
        return served.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("burst: fatal: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> io::Result<bool> {
    let has = |word: &str| args.iter().any(|arg| arg == word);
    let full = has("--bench");
    let number = |name: &str, or: u64| {
        let at = args.iter().position(|arg| arg == name);
        at.and_then(|at| args.get(at + 1)?.parse().ok()).unwrap_or(or)
    };
    let clients = number("--clients", if full { 2000 } else { 50 }) as usize;
    let seconds = number("--seconds", if full { 5 } else { 1 });
    let time = Duration::from_secs(seconds);
    if !rustix::process::geteuid().is_root() {
        println!("burst: not measured: needs root");
        return Ok(true);
    }
    // Each connection of an attack is a descriptor.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    daemon::kill_all_after(Duration::from_secs(1200) + 40 * time);
    let files = Files::create(std::path::Path::new(env!("CARGO_BIN_EXE_nssbox")))?;
    if full {
        files.settle()?;
    }
    let all = !["table", "fair", "bounds"].iter().any(|part| has(part));
    let mut good = true;
    if all || has("table") {
        good &= table::run(&files, full)?;
    }
    if all || has("fair") {
        good &= fair::run(&files, clients, time, full)?;
    }
    if (all && full) || has("bounds") {
        good &= bounds::run(&files, time, full)?;
    }
    Ok(good)
}

/// This process, and what it starts, on the first CPU or on the last.
fn on_cpu(which: usize) -> io::Result<()> {
    // Not what is left of a choice before.
    static ALL: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    let cpus = *ALL.get_or_init(|| thread::available_parallelism().map_or(1, usize::from));
    let mut one = CpuSet::new();
    one.set(if which == 0 { 0 } else { cpus - 1 });
    // Where there is only one, all are on it.
    let _ = sched_setaffinity(None, &one);
    Ok(())
}
