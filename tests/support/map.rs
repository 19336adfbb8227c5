//! What the tests of `nsssd-map` share: a directory with a key, homes and a configuration.

use crate::support::{
    Daemon, Finished, TempDir, by_id, by_name, nsssd, op, passwd_reply, run_to_end, tool,
};
use std::fs;
use std::path::{Path, PathBuf};

/// The key of the vectors.
pub const KEY: &str = "000102030405060708090a0b0c0d0e0f\n";

/// "alice" under that key in 2^27 ids from 1879048192.
pub const ALICE: u32 = 1_938_476_856;
/// "bob".
pub const BOB: u32 = 1_884_362_773;
/// The uid that both user3469 and user17288 derive.
pub const SHARED: u32 = 1_999_329_994;

pub const NOT_FOUND: [u8; 1] = [255];

/// A directory as a host has it.
pub struct Host {
    pub dir: TempDir,
    pub bin: PathBuf,
}

impl Host {
    /// With a key, a directory `home`, and no configuration yet.
    #[track_caller]
    pub fn new() -> Host {
        let dir = TempDir::new();
        let bin = dir.bin();
        dir.write("key", KEY);
        dir.chmod("key", 0o400);
        dir.subdirectory("home");
        Host { dir, bin }
    }

    /// `DIR` stands for the directory.
    pub fn text(&self, text: &str) -> String {
        text.replace("DIR", self.dir.as_str())
    }

    /// Writes the configuration.
    #[track_caller]
    pub fn config(&self, text: &str) -> PathBuf {
        self.dir.write("nssmap.conf", self.text(text))
    }

    /// Each name its own uid, homes as evidence; `more` are further settings.
    #[track_caller]
    pub fn range(&self, more: &str) {
        self.config(&format!(
            "nssmap 2\nkey DIR/key\n{more}\nmap *\n  \
             template u:x:1879048192+134217728:=:mapped user:DIR/home:/bin/sh\n  require home\n"
        ));
    }

    /// Makes homes.
    #[track_caller]
    pub fn homes(&self, names: &[&str]) {
        for name in names {
            fs::create_dir(self.dir.join("home").join(name)).unwrap();
        }
    }

    /// `nsssd-map -f CONFIG`, not started.
    pub fn command(&self, options: &[&str]) -> std::process::Command {
        let mut command = nsssd(&self.bin, "nsssd-map");
        command.arg("-f").arg(self.dir.join("nssmap.conf")).args(options);
        command
    }

    /// The same, started.
    #[track_caller]
    pub fn start(&self, options: &[&str]) -> Daemon {
        Daemon::start(self.command(options))
    }

    /// `nsssd-map` as a tool, with DIR in its words.
    #[track_caller]
    pub fn tool(&self, words: &[&str]) -> Finished {
        let mut command = tool(&self.bin, "nsssd-map");
        command.args(words.iter().map(|w| self.text(w)));
        run_to_end(command)
    }

    /// The line of `name` in a range.
    pub fn passwd(&self, name: &str, uid: u32) -> Vec<u8> {
        let home = self.text(&format!("DIR/home/{name}"));
        passwd_reply([name, "x"], uid, uid, ["mapped user", &home, "/bin/sh"])
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap()
    }
}

/// Copies the executable to where other users can reach it. By a program: a descriptor of ours to
/// write with could be in a child of another test, and then the copy would not run.
#[track_caller]
pub fn copy_executable(to: &Path) {
    let mut command = std::process::Command::new("cp");
    command.arg(crate::support::nssbox()).arg(to);
    let run = run_to_end(command);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

/// PWD_GETBYNAME.
pub fn user(name: &str) -> Vec<u8> {
    by_name(op::PWD_GETBYNAME, name)
}

/// PWD_GETBYUID.
pub fn uid(uid: u32) -> Vec<u8> {
    by_id(op::PWD_GETBYUID, uid)
}

/// The uid in the reply to [`user`]; `None`: not found. Any other status is a failure.
#[track_caller]
pub fn uid_of(daemon: &Daemon, name: &str) -> Option<u32> {
    match daemon.ask(&user(name), 1)[0] {
        0 => {
            let head = daemon.recv_exact(12);
            let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
            daemon.recv_exact(number(8) as usize);
            Some(number(0))
        }
        255 => None,
        status => panic!("{name}: status {status}: {}", daemon.stderr()),
    }
}
