//! `sv status` over a thousand services, beside a program in C that makes the same calls on the same
//! files, and beside runit's sv.
//!
//! `cargo bench --bench services [-- [--strict] [ROW…]]`. Conditions and the exit code are those of the
//! bench `speed`. A time is that of a whole run: started, all services told of to /dev/null, ended.

#[path = "speed/daemon.rs"]
mod daemon;
#[path = "speed/measure.rs"]
mod measure;

use measure::{Finding, HEADING, Limit, Plan, line, rounds, turns};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// Services.
const COUNT: u32 = 1000;

/// Where runit's sv is.
const RUNIT: &str = "/usr/bin/sv";

/// A directory of services, each with a reader of its FIFO `ok`.
struct Services {
    dir: PathBuf,
    names: Vec<String>,
    _readers: Vec<OwnedFd>,
}

impl Services {
    fn make() -> io::Result<Services> {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit)?;
        let dir = std::env::temp_dir().join(format!("nssbox-services.{}", std::process::id()));
        fs::create_dir(&dir)?;
        let mut services = Services { dir, names: Vec::new(), _readers: Vec::new() };
        for number in 0..COUNT {
            services.add(format!("service-{number:04}"))?;
        }
        Ok(services)
    }

    fn add(&mut self, name: String) -> io::Result<()> {
        let supervise = self.dir.join("services").join(&name).join("supervise");
        fs::create_dir_all(&supervise)?;
        let fifo = supervise.join("ok");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        self._readers.push(open(&fifo, flags, Mode::empty())?);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let label = (1 << 62) + 10 + now - 100_000;
        let mut status = label.to_be_bytes().to_vec();
        status.extend([0, 0, 0, 0, 0x92, 0x10, 0, 0, 0, b'u', 0, 1]);
        fs::write(supervise.join("status"), status)?;
        self.names.push(name);
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.dir.join("services")
    }

    /// The reference, compiled.
    fn reference(&self) -> io::Result<Command> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/services.c");
        let program = self.dir.join("services.out");
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&program).arg(source);
        if !compiler.status()?.success() {
            return Err(io::Error::other("services.c does not compile"));
        }
        let mut command = Command::new(program);
        command.arg(self.path());
        Ok(command)
    }

    fn ours(&self) -> Command {
        let built = || env!("CARGO_BIN_EXE_nssbox").into();
        let nssbox = std::env::var_os("NSSBOX_EXECUTABLE").unwrap_or_else(built);
        let mut command = Command::new(nssbox);
        command.args(["sv", "status"]).env("SVDIR", self.path());
        command
    }

    fn runit(&self) -> Command {
        let mut command = Command::new(RUNIT);
        command.arg("status").args(&self.names).env("SVDIR", self.path());
        command
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// All services are told of.
fn check(mut command: Command) -> io::Result<()> {
    let out = command.stderr(Stdio::inherit()).output()?;
    let told = out.stdout.split(|byte| *byte == b'\n').filter(|line| {
        line.starts_with(b"run: service-") && line.windows(11).any(|text| text == b" (pid 4242)")
    });
    let told = told.count();
    if told != COUNT as usize || !out.status.success() {
        return Err(io::Error::other(format!("{command:?}: {told} services, {}", out.status)));
    }
    Ok(())
}

fn run_once(command: &mut Command) -> io::Result<()> {
    let status = command.stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{command:?}: {status}"))) }
}

fn compare(plan: Plan, mut reference: Command, mut subject: Command) -> io::Result<Finding> {
    rounds(plan, || turns(plan, || run_once(&mut reference), || run_once(&mut subject)))
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("services: fatal: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[OsString]) -> io::Result<bool> {
    let has = |word: &str| args.iter().any(|arg| arg == word);
    let full = has("--bench") && !has("--test");
    let names: Vec<_> = args.iter().filter(|arg| !arg.to_string_lossy().starts_with('-')).collect();
    let wants = |row: &str| {
        names.is_empty() || names.iter().any(|part| row.contains(&*part.to_string_lossy()))
    };
    let plan = match full {
        true => Plan { rounds: 7, slices: 4, calls: 10 },
        false => Plan { rounds: 1, slices: 1, calls: 1 },
    };
    daemon::pin()?;
    let services = Services::make()?;
    check(services.ours())?;
    println!("{HEADING}");
    let mut good = true;
    let mut tell = |name: &str, finding: &Finding, limit: Limit| {
        println!("{}", line(name, finding, limit));
        good &= finding.within(limit);
    };
    if wants("services-c") {
        check(services.reference()?)?;
        let finding = compare(plan, services.reference()?, services.ours())?;
        tell("services-c", &finding, Limit::Ratio(1.5));
    }
    if wants("services-runit") {
        let finding = match Path::new(RUNIT).exists() {
            true => {
                check(services.runit())?;
                compare(plan, services.runit(), services.ours())?
            }
            false => Finding::Absent(format!("no {RUNIT}")),
        };
        tell("services-runit", &finding, Limit::Ratio(1.0));
    }
    Ok(good || !has("--strict"))
}
