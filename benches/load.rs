//! Load and soak: thousands of clients at the same time, each answer compared byte for byte, and
//! what the server holds at the end against what it held at the start.
//!
//! `cargo bench --bench load [-- OPTIONS]`: `--clients N` (5000), `--seconds N` (60), `--soak N`
//! (lookups, 10,000,000; 0: none). The exit code is 1 if an honest client got a wrong answer or
//! none, or if a server grew. Without `--bench` (`cargo test --benches`) it runs for a second with
//! few clients.

#[path = "load/crowd.rs"]
mod crowd;
#[path = "speed/daemon.rs"]
mod daemon;
#[path = "speed/files.rs"]
mod files;

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crowd::{Crowd, Dialogue, Report};
use daemon::Daemon;
use files::{FEW, Files, MANY, Question, SOME};

/// What a server may grow by while it runs, in bytes: pages of the C library's own that are
/// touched late. One byte a client would be seen.
const GROWTH: u64 = 64 * 1024;

/// What nscd may besides under load: what slow readers have not taken yet is kept in a page of their
/// row, and there are many more rows than are in use at a time.
const PAGES: u64 = 2 * 1024 * 1024;

/// More than may wait at nscd: its room is memory once it was full, and stays (doc/nscd.md).
const FILLING: usize = 3000;

/// How long a server may take for what it does at once on an idle machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of a hundred clients, how many read slowly.
const SLOW: usize = 1;

struct Options {
    clients: usize,
    seconds: u64,
    soak: u64,
}

impl Options {
    fn parse() -> Result<Options, String> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let full = args.iter().any(|arg| arg == "--bench");
        let mut options = match full {
            true => Options { clients: 5000, seconds: 60, soak: 10_000_000 },
            false => Options { clients: 100, seconds: 1, soak: 1000 },
        };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let mut number = || {
                let value = words.next().and_then(|n| n.parse::<u64>().ok());
                value.ok_or_else(|| format!("{word} needs a number"))
            };
            match word.as_str() {
                "--clients" => options.clients = number()?.clamp(4, 8000) as usize,
                "--seconds" => options.seconds = number()?,
                "--soak" => options.soak = number()?,
                _ => {}
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    match Options::parse().map_err(io::Error::other).and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("load: fatal: {why}");
            ExitCode::FAILURE
        }
    }
}

/// A server under load.
struct Server {
    name: &'static str,
    daemon: Daemon,
    socket: OsString,
}

impl Server {
    fn start(files: &Files, name: &'static str) -> io::Result<Server> {
        let socket = files.socket(name);
        let mut command = Command::new(files.applet(name));
        command.args(["-1", "-q", "-c", "8192", "-C", "8192"]);
        if name == "nscd" {
            command.arg("-S").arg(&socket);
        } else {
            command.args(["-a", "666"]).arg(&socket).arg(files.applet("nsssd-switch"));
        }
        let unix = files.applet("nsssd-unix");
        command.arg("3").arg(unix).arg("-d").arg(files.few()).arg("");
        Ok(Server { name, daemon: Daemon::start_and_wait(&mut command)?, socket })
    }

    fn memory(&self) -> io::Result<u64> {
        self.daemon.memory("Anonymous")
    }
}

/// What the clients ask, and the large record that slow readers ask for.
fn questions(name: &str) -> (Vec<Question>, Question) {
    if name == "nscd" {
        let mix = vec![
            files::last_of_few_by_nscd(),
            files::nobody_by_nscd(),
            files::group_by_nscd(FEW),
            files::last_of_few_by_nscd(),
            files::group_by_nscd(SOME),
        ];
        return (mix, files::group_by_nscd(MANY));
    }
    let mut mix = vec![files::last_of_few(), files::nobody(), files::group_question(FEW)];
    mix.extend(files::enumeration(3));
    mix.extend([files::last_of_few(), files::group_question(SOME)]);
    (mix, files::group_question(MANY))
}

fn run(options: &Options) -> io::Result<bool> {
    let files = Files::create(Path::new(env!("CARGO_BIN_EXE_nssbox")))?;
    daemon::kill_all_after(Duration::from_secs(options.seconds * 4 + 3600));
    crowd::raise_descriptors()?;
    let mut good = true;
    for name in ["ipcserver", "nscd"] {
        good &= load(&files, name, options)?;
    }
    for name in ["ipcserver", "nscd"] {
        if options.soak > 0 {
            good &= soak(&files, name, options.soak)?;
        }
    }
    Ok(good)
}

/// Whether all was well, said in a line.
fn verdict(server: &Server, what: &str, report: &Report, before: (u64, usize)) -> io::Result<bool> {
    let after = (server.memory()?, server.daemon.descriptors()?);
    let grown = after.0.saturating_sub(before.0);
    let most = GROWTH + if server.name == "nscd" && what != "soak" { PAGES } else { 0 };
    let good = report.errors == 0 && grown <= most && after.1 <= before.1;
    println!(
        "{:<9} {what}: {} answers in {:.1} s, p50 {} us, p99 {} us, max {} us; errors {}, \
         connects put off {}; memory {} -> {} KiB, descriptors {} -> {}  {}",
        server.name,
        report.answers,
        report.time.as_secs_f64(),
        report.percentile(50.0),
        report.percentile(99.0),
        report.percentile(100.0),
        report.errors,
        report.full,
        before.0 / 1024,
        after.0 / 1024,
        before.1,
        after.1,
        if good { "ok" } else { "BAD" },
    );
    if let Some(first) = &report.first_error {
        println!("{:<9} the first error: {first}", server.name);
    }
    Ok(good)
}

/// A server with the crowd that asks it, and how many descriptors it had before.
struct Trial<'a> {
    crowd: Crowd<'a>,
    server: &'a Server,
    descriptors: usize,
}

impl<'a> Trial<'a> {
    fn new(server: &'a Server, mix: &'a [Question], large: &'a Question) -> io::Result<Self> {
        let dialogue = if server.name == "nscd" { Dialogue::Once } else { Dialogue::Lasting };
        let crowd = || Crowd::new(&server.socket, mix, large, dialogue);
        if server.name == "nscd" {
            let all = (0..FILLING).map(|_| UnixStream::connect(&server.socket));
            drop(all.collect::<io::Result<Vec<_>>>()?);
        }
        // What the server opens once for all is open afterwards.
        let mut first = crowd()?;
        first.add();
        first.run_until(Instant::now() + PATIENCE, mix.len() as u64)?;
        drop(first);
        server.wait_for_descriptors(0, Duration::from_millis(200))?;
        let descriptors = server.daemon.descriptors()?;
        Ok(Trial { crowd: crowd()?, server, descriptors })
    }

    /// Runs it, a part first that does not count, and says how it went.
    fn run(mut self, what: &str, time: Duration, answers: u64) -> io::Result<bool> {
        // What a crowd of this size takes once is there after a tenth.
        self.crowd.run_until(Instant::now() + time / 10, answers / 10)?;
        let memory = self.server.memory()?;
        self.crowd.forget();
        let mut report = self.crowd.run_until(Instant::now() + time, answers)?;
        let mut last = self.crowd.like()?;
        drop(self.crowd);
        // The queue is worked off in its order: once this one is answered, all of them have left.
        last.add();
        last.run_until(Instant::now() + PATIENCE, 1)?;
        drop(last);
        self.server.wait_for_descriptors(self.descriptors, PATIENCE)?;
        report.sort();
        verdict(self.server, what, &report, (memory, self.descriptors))
    }
}

/// All clients at once for the given time, among them slow readers and one that sends garbage.
fn load(files: &Files, name: &'static str, options: &Options) -> io::Result<bool> {
    let (server, (mix, large)) = (Server::start(files, name)?, questions(name));
    let mut trial = Trial::new(&server, &mix, &large)?;
    for at in 0..options.clients {
        match at % 100 < SLOW {
            true => trial.crowd.add_slow(),
            false => trial.crowd.add(),
        }
    }
    trial.crowd.add_hostile();
    let what = format!("{} clients", options.clients);
    trial.run(&what, Duration::from_secs(options.seconds), u64::MAX)
}

/// So many lookups by a few clients.
fn soak(files: &Files, name: &'static str, lookups: u64) -> io::Result<bool> {
    let (server, (mix, large)) = (Server::start(files, name)?, questions(name));
    let mut trial = Trial::new(&server, &mix, &large)?;
    (0..16).for_each(|_| trial.crowd.add());
    trial.run("soak", Duration::from_secs(3000), lookups)
}

impl Server {
    /// Waits until those who have left are forgotten, or for so long.
    fn wait_for_descriptors(&self, before: usize, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        while self.daemon.descriptors()? > before && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}
