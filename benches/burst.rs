//! How long an honest user waits at nscd's socket beside one who asks without end, against a bare
//! server that accepts, echoes and closes, beside the same one.
//!
//! `cargo bench --bench burst [-- --clients N] [-- --seconds N]` (2000, 5), as root. The server is
//! alone on one CPU, the clients are on another. The exit code is 1 if an honest client was not
//! answered, or if 99 of 100 of his answers took more than three times what the echo took. Without
//! `--bench` it runs for a second with few clients, and judges the answers alone.

#[path = "speed/daemon.rs"]
mod daemon;
#[path = "speed/files.rs"]
mod files;

use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use daemon::Daemon;
use files::{Files, Question};
use rustix::process::Uid;
use rustix::thread::{CpuSet, sched_setaffinity, set_thread_res_uid};

/// Who asks without end.
const HOSTILE: u32 = 64_999;

/// At most so many times the echo's.
const FAIR: f64 = 3.0;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [serve, socket] = &args[..] {
        if serve == "--serve" {
            return echo(socket).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
        }
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
    let full = args.iter().any(|arg| arg == "--bench");
    let number = |name: &str, or: u64| {
        let at = args.iter().position(|arg| arg == name);
        at.and_then(|at| args.get(at + 1)?.parse().ok()).unwrap_or(or)
    };
    let clients = number("--clients", if full { 2000 } else { 50 }) as usize;
    let time = Duration::from_secs(number("--seconds", if full { 5 } else { 1 }));
    if !rustix::process::geteuid().is_root() {
        println!("burst: not measured: needs root");
        return Ok(true);
    }
    daemon::kill_all_after(Duration::from_secs(120) + 8 * time);
    let files = Files::create(std::path::Path::new(env!("CARGO_BIN_EXE_nssbox")))?;
    files.settle()?;
    let question = files::last_of_few_by_nscd();
    let echoed = Question { request: question.request.clone(), reply: question.request.clone() };

    let socket = files.socket("echo");
    on_cpu(0)?;
    let mut command = daemon::own_executable()?;
    let _echo = Daemon::start(command.arg("--serve").arg(&socket))?;
    on_cpu(1)?;
    while UnixStream::connect(&socket).is_err() {
        thread::sleep(Duration::from_millis(5));
    }
    let bare = beside(&socket, &echoed, clients, time)?;

    let socket = files.socket("nscd");
    let mut command = Command::new(files.applet("nscd"));
    command.args(["-1", "-q", "-S"]).arg(&socket).arg("0");
    command.arg(files.applet("nsssd-unix")).arg("-d").arg(files.few()).arg("");
    on_cpu(0)?;
    let _nscd = Daemon::start_and_wait(&mut command)?;
    on_cpu(1)?;
    let ours = beside(&socket, &question, clients, time)?;

    let ratio = ours.percentile(99) / bare.percentile(99);
    for (name, times) in [("echo", &bare), ("nscd", &ours)] {
        println!(
            "{name}: {} answers, {} failed, p50 {:.2} ms, p99 {:.2} ms",
            times.millis.len(),
            times.failed,
            times.percentile(50),
            times.percentile(99)
        );
    }
    println!(
        "p99 beside {clients} connections of another uid: {ratio:.2} of the echo's (limit {FAIR})"
    );
    Ok(ours.failed == 0 && (!full || ratio <= FAIR))
}

/// This process, and what it starts, on the first CPU or on the last.
fn on_cpu(which: usize) -> io::Result<()> {
    let cpus = thread::available_parallelism()?.get();
    let mut one = CpuSet::new();
    one.set(if which == 0 { 0 } else { cpus.max(2) - 1 });
    // Where there is only one, all are on it.
    let _ = sched_setaffinity(None, &one);
    Ok(())
}

/// Accepts, reads once, answers the same, closes.
fn echo(socket: &str) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    rustix::net::listen(&listener, 4096)?;
    let mut bytes = [0; 4096];
    loop {
        let (mut client, _) = listener.accept()?;
        if let Ok(len) = client.read(&mut bytes) {
            let _ = client.write_all(bytes.get(..len).unwrap_or_default());
        }
    }
}

struct Times {
    /// Sorted.
    millis: Vec<f64>,
    failed: usize,
}

impl Times {
    fn percentile(&self, percent: usize) -> f64 {
        let at = self.millis.len().saturating_sub(1) * percent / 100;
        self.millis.get(at).copied().unwrap_or(0.0)
    }
}

/// What an honest client meets beside so many connections of a hostile one.
fn beside(
    socket: &OsStr,
    question: &Question,
    clients: usize,
    time: Duration,
) -> io::Result<Times> {
    let done = Arc::new(AtomicBool::new(false));
    let (path, bytes, stop) = (socket.to_owned(), question.request.clone(), Arc::clone(&done));
    let hostile = thread::spawn(move || attack(&path, &bytes, clients, &stop));
    thread::sleep(Duration::from_millis(300));
    let (mut times, end) = (Times { millis: Vec::new(), failed: 0 }, Instant::now() + time);
    while Instant::now() < end {
        let before = Instant::now();
        let answered = ask(socket, question).unwrap_or(false);
        times.millis.push(before.elapsed().as_secs_f64() * 1000.0);
        times.failed += usize::from(!answered);
        thread::sleep(Duration::from_millis(3));
    }
    done.store(true, Ordering::SeqCst);
    let _ = hostile.join();
    times.millis.sort_by(f64::total_cmp);
    Ok(times)
}

fn ask(socket: &OsStr, question: &Question) -> io::Result<bool> {
    let mut client = UnixStream::connect(socket)?;
    client.set_read_timeout(Some(Duration::from_secs(6)))?;
    client.write_all(&question.request)?;
    let mut reply = Vec::new();
    client.read_to_end(&mut reply)?;
    Ok(reply == question.reply)
}

/// Keeps so many connections open, each of which has asked.
fn attack(socket: &OsStr, bytes: &[u8], clients: usize, stop: &AtomicBool) -> io::Result<()> {
    let uid = Uid::from_raw(HOSTILE);
    set_thread_res_uid(uid, uid, uid)?;
    let mut open: Vec<UnixStream> = Vec::with_capacity(clients);
    let mut reply = [0; 4096];
    while !stop.load(Ordering::SeqCst) {
        while open.len() < clients {
            // In the kernel's queue, or beyond it: that waits, as any client does.
            let Ok(mut client) = UnixStream::connect(socket) else { break };
            let _ = client.write_all(bytes);
            client.set_nonblocking(true)?;
            open.push(client);
        }
        open.retain_mut(|client| match client.read(&mut reply) {
            Ok(len) => len > 0,
            Err(why) => why.kind() == io::ErrorKind::WouldBlock,
        });
    }
    Ok(())
}
