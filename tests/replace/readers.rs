//! Readers in a loop.

use crate::reader::Reader;
use crate::rounds;
use crate::sets::Set;
use crate::support::stage::Stage;
use crate::support::{
    Captured, Finished, compiled, have_program, is_root, peer, run_to_end, skip, wait_for_exit,
};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Our own executable, which writes sets.
pub fn writer(stage: &Stage, count: usize) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this executable"));
    command.args(["--write", stage.dir.as_str(), &count.to_string()]);
    command
}

/// A directory with the set A, indexed.
#[track_caller]
pub fn stage() -> Stage {
    let stage = Stage::new();
    let done = run_to_end(writer(&stage, 1));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    stage
}

/// libnss-cache and the program that asks it; `None` where they cannot be had.
pub struct Libnss {
    library: PathBuf,
    client: PathBuf,
}

impl Libnss {
    pub fn new(test: &str, stage: &Stage) -> Option<Libnss> {
        if !is_root() || !have_program("unshare") {
            skip(test, "needs root and unshare");
            return None;
        }
        let name = format!("usr/lib/{}-linux-gnu/libnss_cache.so.2", std::env::consts::ARCH);
        let library = peer(test, "libnss-cache", &name)?;
        Some(Libnss { library, client: compiled(test, "cache-loop", &stage.dir)? })
    }

    fn command(&self, dir: &Path, until: &str) -> Command {
        let script = "mount --bind \"$DIR\" /etc && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]);
        command.arg(&self.client).arg(&self.library).arg(until).env("DIR", dir);
        command
    }

    /// Each question once.
    #[track_caller]
    pub fn expect_one_set(&self, dir: &Path, what: &str) {
        let done: Finished = run_to_end(self.command(dir, "once"));
        let out = String::from_utf8_lossy(&done.stdout).into_owned();
        assert_eq!(out, "lookups 717, wrong 0, failed 0, slow 0\n", "{what}: {}", done.stderr);
    }
}

/// A loop that goes on until a file is there.
struct Looping {
    child: Child,
    out: Captured,
    err: Captured,
    stop: PathBuf,
}

impl Looping {
    fn start(libnss: &Libnss, stage: &Stage) -> Looping {
        let (out, err) = (Captured::new(), Captured::new());
        let stop = stage.dir.join("stop");
        let mut command = libnss.command(stage.dir.path(), "/etc/stop");
        command.stdin(Stdio::null()).stdout(out.stdio()).stderr(err.stdio());
        Looping { child: command.spawn().expect("unshare"), out, err, stop }
    }

    #[track_caller]
    fn expect_right(mut self) {
        std::fs::write(&self.stop, "").expect("a file");
        let status = wait_for_exit(&mut self.child);
        let out = self.out.text();
        println!("libnss-cache: {}", out.trim());
        assert!(status.success(), "{out}{}", self.err.text());
        assert!(!out.starts_with("lookups 0,"), "{out}");
    }
}

/// Asks in a loop while a program runs.
#[track_caller]
fn ask_while(stage: &Stage, mut program: Command, ask: impl Fn(&mut Reader, u32) + Sync) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reader = Reader::new(stage);
            let mut number = 1_u32;
            while !done.load(Ordering::Relaxed) {
                number = number.wrapping_mul(1_103_515_245).wrapping_add(12_345);
                ask(&mut reader, (number >> 8) % 3100);
            }
            reader.count
        });
        let status = program.status().expect("a program");
        done.store(true, Ordering::Relaxed);
        let count = reader.join().map_err(|panic| *panic.downcast::<String>().unwrap());
        let count = count.unwrap_or_else(|why| panic!("{why}"));
        println!("nsssd-cache: {count:?}");
        assert!(status.success(), "{status}");
        assert!(count.of.iter().all(|of| *of > 0), "both sets are seen: {count:?}");
    });
}

pub fn while_replaced() {
    let test = "readers_see_one_set_or_the_other_while_maps_are_replaced";
    let stage = stage();
    let libnss = Libnss::new(test, &stage);
    let looping = libnss.as_ref().map(|libnss| Looping::start(libnss, &stage));
    ask_while(&stage, writer(&stage, rounds()), |reader, user| reader.user(user));
    if let Some(looping) = looping {
        looping.expect_right();
    }
}

pub fn groups_while_replaced() {
    let stage = stage();
    ask_while(&stage, writer(&stage, rounds() / 5), |reader, user| reader.groups(user % 120));
}

/// Somebody else renames data into its place, as rsync does, and then `nsscache index` runs. Times grow by
/// a second each time, as libnss-cache needs.
pub fn while_indexed() {
    let stage = stage();
    for (name, set) in [("a", Set::A), ("b", Set::B)] {
        stage.dir.write(name, set.passwd());
    }
    let script = "cd \"$1\"; n=$2; at=2000000000
        while [ $n -gt 0 ]; do
            for set in b a; do
                at=$((at + 1)); cp $set new && touch -d @$at new && mv new passwd.cache || exit 1
                \"$3\" nsscache index -d . passwd || exit 1
            done
            n=$((n - 1))
        done";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", stage.dir.as_str(), &(rounds() / 10).to_string()]);
    command.arg(crate::support::nssbox());
    ask_while(&stage, command, |reader, user| reader.user(user));
}
