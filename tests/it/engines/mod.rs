//! `nsscache` and the engines that others have: etcd as Debian has it, and stand-ins for what Debian has
//! not, which answer as is recorded or documented.

mod consul;
mod etcd;
mod gcs;
#[cfg(feature = "s3")]
mod s3;
mod scim;
#[cfg(feature = "s3")]
mod signature;

use crate::support::directory::Machine;
use crate::support::{Captured, DEADLINE, Finished, run_to_end};
use rustix::process::{Pid, Signal, kill_process};
use std::io::Read as _;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A configuration of these maps, each from `source`.
pub fn config(source: &str, maps: &str, more: &str) -> String {
    format!(
        "[DEFAULT]\nsource = {source}\ncache = files\nmaps = {maps}\ntimestamp_dir = /var/lib/nsscache\n\
         lockfile = /run/nsscache.lock\nfiles_dir = /etc\n{source}_retry_max = 1\n{source}_retry_delay = 0\n{more}"
    )
}

/// Runs `nsscache` with these words and variables.
#[track_caller]
pub fn run(machine: &Machine, words: &[&str], env: &[(&str, &str)]) -> Finished {
    let mut command = machine.shell("exec \"$0\" nsscache \"$@\"");
    command.args(words).envs(env.iter().copied());
    run_to_end(command)
}

/// An update that has to fail so, and leaves the file as it was.
#[track_caller]
pub fn fails(machine: &Machine, code: i32, says: &str, env: &[(&str, &str)]) {
    let before = machine.read("passwd.cache");
    let finished = run(machine, &["update", "--full"], env);
    assert_eq!(finished.code, Some(code), "{says}: {}", finished.stderr);
    assert!(finished.stderr.contains(says), "{says}: {}", finished.stderr);
    assert_eq!(machine.read("passwd.cache"), before, "{says}");
}

/// Writes a file of /etc that only root can read.
pub fn secret(machine: &Machine, name: &str, text: &str) {
    machine.dir.write(&format!("etc/{name}"), text);
    machine.dir.chmod(&format!("etc/{name}"), 0o600);
}

/// A watch that runs, killed when it is dropped.
pub struct Running {
    child: Child,
    log: Captured,
}

impl Running {
    /// One that has told that it is ready.
    #[track_caller]
    pub fn start(machine: &Machine) -> Running {
        let log = Captured::new();
        let mut command = machine.shell("exec \"$0\" nsscache -v watch -1");
        command.stdout(Stdio::piped()).stderr(log.stdio()).stdin(Stdio::null());
        let mut child = command.spawn().expect("watch");
        let mut byte = [0; 1];
        child.stdout.take().unwrap().read_exact(&mut byte).expect("it tells that it is ready");
        Running { child, log }
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until it has said something.
    #[track_caller]
    pub fn says(&self, text: &str) {
        let end = Instant::now() + DEADLINE;
        while !self.log().contains(text) {
            assert!(Instant::now() < end, "not said: {text}; but: {}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Has it update now.
    pub fn wake(&self) {
        kill_process(Pid::from_child(&self.child), Signal::USR1).expect("a child takes a signal");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the watch said:\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All keys of a source are known, and none is for another one.
#[track_caller]
pub fn is_known(machine: &Machine) {
    let checked = machine.expect(0, &["-v", "check-config"]);
    assert!(checked.stdout.is_empty(), "{}", String::from_utf8_lossy(&checked.stdout));
    assert!(!checked.stderr.contains("no map has the source"), "{}", checked.stderr);
}
