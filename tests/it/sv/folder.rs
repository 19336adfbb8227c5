//! A directory of services that are made by hand: status files, and FIFOs with a reader that nobody
//! answers at.

use crate::support::{Finished, TempDir, run_to_end, tool, wait_until};
use rustix::fs::{CWD, FileType, FlockOperation, Mode, OFlags, fcntl_lock, mknodat, open};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the epoch.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

pub fn unhex(text: &str) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
}

/// The TAI64 label of a Unix time.
pub fn label(unix: f64) -> [u8; 8] {
    (4_611_686_018_427_387_914_u64.wrapping_add(unix as u64)).to_be_bytes()
}

/// runit's status file of a service that changed so many seconds ago.
pub fn runit_status(age: u64, pid: u32, want: u8, got_term: u8, state: u8) -> Vec<u8> {
    let mut file = label(now() - age as f64).to_vec();
    file.extend([0; 4]);
    file.extend(pid.to_le_bytes());
    file.extend([0, want, got_term, state]);
    file
}

/// The directory. Services live as long as it.
pub struct Folder {
    pub dir: TempDir,
    bin: PathBuf,
}

/// A service whose supervisor seems to live: something reads its FIFOs, or holds its lock.
pub struct Alive {
    ok: Option<File>,
    control: Option<File>,
    _lock: Option<OwnedFd>,
    supervise: PathBuf,
}

impl Drop for Alive {
    /// Nobody reads its FIFOs any more: a child that another test starts has them until it executes.
    fn drop(&mut self) {
        let had = [("ok", self.ok.take().is_some()), ("control", self.control.take().is_some())];
        for (name, _) in had.into_iter().filter(|(_, had)| *had) {
            let path = self.supervise.join(name);
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            // The last one may have taken the folder away.
            wait_until("a service is without supervisor", || {
                thread::panicking() || open(&path, flags, Mode::empty()).is_err()
            });
        }
    }
}

impl Alive {
    /// The bytes that were written to `control` so far.
    pub fn sent(&mut self) -> String {
        let mut sent = Vec::new();
        // The end of what there is: nobody has it open for writing, or nothing came.
        let _ = self.control.as_mut().unwrap().read_to_end(&mut sent);
        String::from_utf8(sent).unwrap()
    }
}

pub fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// Reads a FIFO, as its supervisor does.
pub fn reader(path: &Path) -> File {
    File::from(
        open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).unwrap(),
    )
}

impl Folder {
    pub fn new() -> Folder {
        let dir = TempDir::new();
        let bin = dir.bin();
        fs::create_dir(dir.join("services")).unwrap();
        Folder { dir, bin }
    }

    /// Where the services are.
    pub fn services(&self) -> PathBuf {
        self.dir.join("services")
    }

    /// The path of a service, or of a file of it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.services().join(name)
    }

    /// A service with this status file whose supervisor is gone: FIFOs without a reader.
    pub fn dead(&self, name: &str, status: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.join("supervise")).unwrap();
        fs::write(path.join("run"), "").unwrap();
        fifo(&path.join("supervise/ok"));
        fifo(&path.join("supervise/control"));
        fs::write(path.join("supervise/status"), status).unwrap();
        path
    }

    /// A service of runit, daemontools or encore with this status file.
    pub fn alive(&self, name: &str, status: &[u8]) -> Alive {
        let path = self.dead(name, status);
        let ok = reader(&path.join("supervise/ok"));
        let control = reader(&path.join("supervise/control"));
        let supervise = path.join("supervise");
        Alive { ok: Some(ok), control: Some(control), _lock: None, supervise }
    }

    /// One of runit.
    pub fn runit(&self, name: &str, status: &[u8]) -> Alive {
        let alive = self.alive(name, status);
        fs::write(self.path(name).join("supervise/stat"), "").unwrap();
        alive
    }

    /// One of s6, whose supervisor lives or not.
    pub fn s6(&self, name: &str, status: &[u8], lives: bool) -> Alive {
        let path = self.path(name);
        fs::create_dir_all(path.join("supervise")).unwrap();
        fs::write(path.join("run"), "").unwrap();
        fifo(&path.join("supervise/control"));
        fs::write(path.join("supervise/status"), status).unwrap();
        let supervise = path.join("supervise");
        let mut alive = Alive { ok: None, control: None, _lock: None, supervise };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let lock = open(path.join("supervise/lock"), flags, Mode::RUSR | Mode::WUSR).unwrap();
        if lives {
            fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
            alive.control = Some(reader(&path.join("supervise/control")));
            alive._lock = Some(lock);
        }
        alive
    }

    /// An applet in this directory, with SVDIR.
    pub fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = tool(&self.bin, name);
        command.args(args).env("SVDIR", self.services()).current_dir(self.services());
        command
    }

    pub fn run(&self, name: &str, args: &[&str]) -> Finished {
        run_to_end(self.command(name, args))
    }

    /// `sv ARGS`: exit code, standard output.
    #[track_caller]
    pub fn sv(&self, args: &[&str]) -> (i32, String) {
        let finished = self.run("sv", args);
        assert_eq!(finished.stderr, "", "{args:?}");
        (finished.code.unwrap(), String::from_utf8(finished.stdout).unwrap())
    }

    /// `sv -j ARGS`: the objects.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Vec<Value> {
        let finished = self.run("sv", &[&["-j"], args].concat());
        objects(&finished.stdout)
    }

    /// A link called `name` to our sv.
    pub fn script(&self, name: &str) {
        let path = self.bin.join(name);
        if !path.exists() {
            std::os::unix::fs::symlink(self.bin.join("sv"), path).unwrap();
        }
    }
}

/// A JSON object a line.
#[track_caller]
pub fn objects(text: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(text).unwrap();
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    text.lines().map(parse).collect()
}

/// Text with each age (`7s`, `7 seconds`) as `Ns`, and the ages.
pub fn without_ages(text: &str) -> (String, Vec<u64>) {
    let (mut out, mut ages, mut digits) = (String::new(), Vec::new(), String::new());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let follows = &rest[c.len_utf8()..];
        if c.is_ascii_digit() {
            digits.push(c);
        } else {
            let is_age = !digits.is_empty()
                && (c == 's' && !follows.starts_with(|c: char| c.is_ascii_alphanumeric())
                    || rest.starts_with(" seconds"));
            if is_age {
                ages.push(digits.parse().unwrap_or(u64::MAX));
                out.push('N');
            } else {
                out.push_str(&digits);
            }
            digits.clear();
            out.push(c);
        }
        rest = follows;
    }
    (out + &digits, ages)
}

/// Texts are equal, but ages may be later by what has passed since `made`, as [`now`] tells it.
#[track_caller]
pub fn same_line(what: &str, got: &str, want: &str, made: f64) {
    let passed = (now() - made) as u64 + 1;
    let ((got_text, got_ages), (want_text, want_ages)) = (without_ages(got), without_ages(want));
    assert_eq!(got_text, want_text, "{what}");
    for (got, want) in got_ages.iter().zip(&want_ages) {
        let near = *want <= *got && *got <= want + passed || *want == *got;
        assert!(near, "{what}: {got} s, not {want} to {} s", want + passed);
    }
}
