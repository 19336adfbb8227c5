//! Replays the vectors under tests/vectors/ against the executable, one trial for each file and
//! way to reach a daemon:
//!
//! - `NAME`: the daemon on a socket pair;
//! - `NAME@spawn`: the same, for a switch that runs its backends as children (`--spawn`);
//! - `NAME@ipcserver`: the daemon behind ipcserver.
//!
//! `nsssd-unix` is given `-d DIR`, with the vector's own files, so that neither root nor mount
//! namespaces are needed. This executable is the switch's fake backend, too, and plays the nslcd
//! of those that have one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, thread};
use support::nslcd::FakeNslcd;
use support::vector::{self, Step, Then, Vector};
use support::{Connection, DEADLINE, Daemon, Got, QUIET, Server, TempDir, fakebackend};

const SETS: [&str; 3] = ["nsss", "nsss-chain", "nsss-documented"];

/// Between two steps: long enough to see most bytes that are too many.
const BETWEEN: Duration = Duration::from_millis(10);

/// Where the fake nslcd listens, in the directory of a trial.
const SOCKET: &str = "nslcd.sock";

/// The exit code of a wrong command line.
const USAGE: i32 = 100;

fn main() -> ExitCode {
    fakebackend::run_if_called();
    let mut args = Arguments::from_args();
    // They wait more than they work.
    args.test_threads = args.test_threads.or(Some(8));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let trials = SETS
        .iter()
        .flat_map(|set| vector::files_in(&root.join(set)))
        .flat_map(|path| trials(&path))
        .collect();
    libtest_mimic::run(&args, trials).exit_code()
}

/// How a daemon is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Plain,
    Spawn,
    Ipcserver,
}

impl Mode {
    fn suffix(self) -> &'static str {
        match self {
            Mode::Plain => "",
            Mode::Spawn => "@spawn",
            Mode::Ipcserver => "@ipcserver",
        }
    }

    fn applies_to(self, vector: &Vector) -> bool {
        match self {
            Mode::Plain => true,
            Mode::Spawn => vector.daemon[0] == "nsssd-switch",
            // The environment is the server's there, and a wrong command line the server's fault.
            Mode::Ipcserver => vector.env.is_empty() && vector.exit != Some(USAGE),
        }
    }
}

fn trials(path: &Path) -> Vec<Trial> {
    let vector = match Vector::read(path) {
        Ok(vector) => vector,
        Err(why) => {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            return vec![Trial::test(name, move || Err(Failed::from(why)))];
        }
    };
    let vector: &'static Vector = Box::leak(Box::new(vector));
    [Mode::Plain, Mode::Spawn, Mode::Ipcserver]
        .into_iter()
        .filter(|mode| mode.applies_to(vector))
        .map(|mode| {
            let name = format!("{}{}", vector.name, mode.suffix());
            Trial::ignorable_test(name, move || trial(vector, mode))
        })
        .collect()
}

fn trial(vector: &Vector, mode: Mode) -> Result<Completion, Failed> {
    if !support::is_root() && (vector.needs_root || vector.name.starts_with("root-")) {
        let why = "privileges can be dropped by root only";
        support::skip(&vector.name, why);
        return Ok(Completion::ignored_with(why));
    }
    let stage = Stage::new(vector);
    let outcome = match mode {
        Mode::Plain => on_a_socket_pair(vector, &stage, &stage.argv(vector)),
        Mode::Spawn => {
            let mut argv = stage.argv(vector);
            argv.insert(1, "--spawn".to_owned());
            on_a_socket_pair(vector, &stage, &argv)
        }
        Mode::Ipcserver => behind_ipcserver(vector, &stage, &stage.argv(vector)),
    };
    outcome.map(|()| Completion::Completed).map_err(Failed::from)
}

/// The directory of one trial: the programs in `bin`, the accounts in `etc`.
struct Stage {
    /// Ended before the directory goes.
    _nslcd: Option<FakeNslcd>,
    dir: TempDir,
    bin: PathBuf,
    etc: String,
}

impl Stage {
    fn new(vector: &Vector) -> Stage {
        let dir = TempDir::new();
        let bin = dir.bin();
        let me = env::current_exe().expect("the path of this test");
        support::link(&me, &bin, fakebackend::NAME);
        let etc = dir.subdirectory("etc");
        for (name, mode) in [("passwd", 0o644), ("group", 0o644), ("shadow", 0o600)] {
            let content = fs::read(vector.input.join(name)).expect("an input file");
            let name = format!("etc/{name}");
            dir.write(&name, content);
            dir.chmod(&name, mode);
        }
        let etc = etc.to_str().expect("a plain name").to_owned();
        let table = vector.nslcd.clone();
        let nslcd = (!table.is_empty()).then(|| FakeNslcd::with_table(&dir.join(SOCKET), table));
        Stage { _nslcd: nslcd, dir, bin, etc }
    }

    /// The vector's argv, {tmp} and {nslcd} filled in, with `-d DIR` after each `nsssd-unix`, which in the vectors is always the
    /// name of a program. Leading blanks are execline's quoting: the new words get as many.
    fn argv(&self, vector: &Vector) -> Vec<String> {
        let mut argv = Vec::new();
        for word in &vector.daemon {
            let socket = self.dir.join(SOCKET);
            let word = word.replace("{nslcd}", socket.to_str().expect("a plain name"));
            let word = word.replace("{tmp}", self.dir.as_str());
            argv.push(word.clone());
            if let Some(blanks) = word.strip_suffix("nsssd-unix") {
                argv.push(format!("{blanks}-d"));
                argv.push(format!("{blanks}{}", self.etc));
            }
        }
        argv
    }
}

fn on_a_socket_pair(vector: &Vector, stage: &Stage, argv: &[String]) -> Result<(), String> {
    let (name, args) = argv.split_first().expect("a program");
    let mut command = support::nsssd(&stage.bin, name);
    command.args(args);
    for (name, value) in &vector.env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut daemon = Daemon::start(command);
    replay(vector, daemon.client()).map_err(|why| with_stderr(&why, &daemon.stderr()))?;
    // Whatever came before, it must end once its client is gone.
    let code = daemon.finish();
    if vector.exit.is_some() && code != vector.exit {
        let why = format!("exit code {code:?}, expected {:?}", vector.exit);
        return Err(with_stderr(&why, &daemon.stderr()));
    }
    Ok(())
}

fn behind_ipcserver(vector: &Vector, stage: &Stage, argv: &[String]) -> Result<(), String> {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let mut server = Server::start(&stage.bin, stage.dir.path(), &[], &words);
    let client = server.connect();
    replay(vector, &client).map_err(|why| with_stderr(&why, &server.stderr()))?;
    drop(client);
    let status = server.stop();
    if !status.success() {
        let why = format!("ipcserver: {status} after SIGTERM");
        return Err(with_stderr(&why, &server.stderr()));
    }
    Ok(())
}

fn with_stderr(why: &str, stderr: &str) -> String {
    match stderr.lines().next() {
        Some(line) => format!("{why}\nstderr: {line}"),
        None => why.to_owned(),
    }
}

/// Plays all steps and looks at what follows them.
fn replay(vector: &Vector, client: &Connection) -> Result<(), String> {
    for (number, step) in vector.steps.iter().enumerate() {
        let last = number + 1 == vector.steps.len();
        play(step, last, client).map_err(|why| format!("step {number}: {why}"))?;
    }
    let limit = match vector.then {
        Then::Closes => DEADLINE,
        Then::StaysOpen => QUIET,
    };
    match (vector.then, client.recv(limit)) {
        (Then::Closes, Got::End) | (Then::StaysOpen, Got::Nothing) => Ok(()),
        (_, Got::Bytes(more)) => Err(format!("end: bytes too many: {more:02x?}")),
        (_, Got::End) => Err("end: closed, expected to stay open".into()),
        (_, Got::Nothing) => Err("end: stays open, expected to close".into()),
    }
}

fn play(step: &Step, last: bool, client: &Connection) -> Result<(), String> {
    thread::sleep(step.sleep);
    // The peer may have closed already; the next read tells.
    let _ = client.try_send(&step.send);
    if step.eof {
        client.half_close();
    }
    let end = Instant::now() + DEADLINE;
    let mut got = Vec::new();
    let mut state = Got::Nothing;
    while got.len() < step.expect.len() {
        state = client.recv(end.saturating_duration_since(Instant::now()));
        match &state {
            Got::Bytes(more) => got.extend(more),
            Got::End | Got::Nothing => break,
        }
    }
    // After the last step this is left to the one who looks at the end.
    if got.len() >= step.expect.len() && !step.eof && !last {
        state = client.recv(BETWEEN);
        if let Got::Bytes(more) = &state {
            got.extend(more);
        }
    }
    match difference(&got, &step.expect) {
        None => Ok(()),
        Some(why) if state == Got::End => Err(format!("{why} (connection closed)")),
        Some(why) => Err(why),
    }
}

/// What is wrong and where, if anything is.
fn difference(got: &[u8], want: &[Option<u8>]) -> Option<String> {
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        match want {
            Some(want) if got != want => {
                return Some(format!("byte {at} is {got:02x}, expected {want:02x}"));
            }
            None if *got == 0 => {
                return Some(format!("byte {at} is 00, expected anything else"));
            }
            _ => {}
        }
    }
    (got.len() != want.len())
        .then(|| format!("reply has {} bytes, expected {}", got.len(), want.len()))
}
