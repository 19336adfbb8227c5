//! dt: the vectors, what it prints, what it starts, and real clients and servers of ssh.

mod database;
mod output;
mod real;
mod run;
mod terminal;
mod vectors;

use crate::support::{Finished, TempDir, link, link_farm, run_to_end, run_to_end_with_input};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A folder with our links, the fake ssh of the vectors and what it keeps.
pub struct Fleet {
    pub dir: TempDir,
}

impl Fleet {
    /// Hosts that answer as this table says: `HOST ACTION [ARGUMENT]` (tests/vectors/dt/README.md).
    #[track_caller]
    pub fn new(table: &str) -> Fleet {
        let dir = TempDir::new();
        for name in ["bin", "fakebin", "fake", "fake/hosts", "home"] {
            dir.subdirectory(name);
        }
        link_farm(&dir.join("bin"));
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/dt/fakebin");
        dir.write("fakebin/fakessh", fs::read(vectors.join("fakessh")).unwrap());
        dir.chmod("fakebin/fakessh", 0o755);
        for name in ["ssh", "scp", "ping", "dbclient"] {
            link(Path::new("fakessh"), &dir.join("fakebin"), name);
        }
        dir.write("fake/table", table);
        Fleet { dir }
    }

    /// An applet, not started yet, in this folder.
    pub fn command(&self, applet: &str, args: &[&str]) -> Command {
        let mut command = Command::new(self.dir.join("bin").join(applet));
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(args).current_dir(self.dir.path()).env_clear();
        command.env("PATH", format!("{}:{path}", self.dir.join("fakebin").display()));
        command.env("HOME", self.dir.join("home")).env("TMPDIR", self.dir.path());
        command.env("FAKE_SSH_DIR", self.dir.join("fake")).env("LC_ALL", "C.UTF-8");
        command
    }

    /// Runs dt to its end.
    #[track_caller]
    pub fn dt(&self, args: &[&str]) -> Finished {
        run_to_end(self.command("dt", args))
    }

    /// The same with a text on standard input.
    #[track_caller]
    pub fn dt_with(&self, args: &[&str], input: &str) -> Finished {
        run_to_end_with_input(self.command("dt", args), input.as_bytes())
    }

    /// The calls of the fake: `PROGRAM|USER|HOST|PORT|JUMP|BATCH|TIMEOUT|KEYS|COMMAND`.
    pub fn calls(&self) -> Vec<String> {
        let log = fs::read_to_string(self.dir.join("fake/log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

/// Standard output as text.
pub fn text(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.stdout).into_owned()
}

/// Its lines, sorted: hosts are done in any order.
pub fn sorted(finished: &Finished) -> Vec<String> {
    let mut lines: Vec<String> = text(finished).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
