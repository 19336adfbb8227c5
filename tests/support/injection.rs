//! strace's fault injection: on processes that run, or on a program from its first call on.

use super::stage::Stage;
use super::{Captured, DEADLINE, have_program, op, procfs, skip, wait_for_exit, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// strace on processes, making some of their calls fail. Detaches when dropped.
pub struct Injection {
    strace: Child,
    log: PathBuf,
}

impl Injection {
    /// `what` is a list of calls, an error and when: `read:error=EIO:when=1+3`. `None` where strace
    /// may not attach.
    #[track_caller]
    pub fn new(pids: &[Pid], dir: &Path, what: &str) -> Option<Injection> {
        let (log, stderr) = (dir.join("calls"), Captured::new());
        let calls = what.split(':').next().unwrap();
        let mut command = Command::new("strace");
        command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={what}"), "-o"]);
        command.arg(&log).args(pids.iter().flat_map(|p| ["-p".to_owned(), p.to_string()]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr.stdio());
        let mut strace = command.spawn().expect("strace");
        let has_attached = || {
            let said = stderr.text();
            pids.iter().all(|p| said.contains(&format!("Process {p} attached")))
        };
        // It ends with the process that it is on.
        wait_until("strace has attached", || {
            has_attached() || strace.try_wait().expect("its state").is_some()
        });
        has_attached().then_some(Injection { strace, log })
    }

    /// How many calls were made to fail so far.
    pub fn count(&self) -> usize {
        fs::read_to_string(&self.log).unwrap_or_default().matches("(INJECTED)").count()
    }

    /// Lets go of the processes, and gives the count.
    #[track_caller]
    pub fn stop(mut self) -> usize {
        let _ = kill_process(Pid::from_child(&self.strace), Signal::TERM);
        wait_for_exit(&mut self.strace);
        self.count()
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        // By SIGTERM, so that it detaches.
        let _ = kill_process(Pid::from_child(&self.strace), Signal::TERM);
        let _ = self.strace.wait();
    }
}

/// Whether strace is there and may attach to a process of ours, or else the test is skipped.
pub fn can_inject(test: &str) -> bool {
    if !have_program("strace") {
        skip(test, "strace is not installed");
        return false;
    }
    let stage = Stage::with("root:*:0:0:root:/root:/bin/sh\n", "");
    let daemon = stage.unix();
    daemon.expect(&[op::PWD_END], &[0]);
    let may =
        Injection::new(&[daemon.pid()], stage.dir.path(), "read:error=EINTR:when=1").is_some();
    if !may {
        skip(test, "strace may not attach to a process here");
    }
    may
}

/// The command, and all that it starts, under strace from its first call on; what fails is as for
/// [`Injection::new`], counted in each process by itself. The process that is started becomes the
/// command: strace is a grandchild (`-D`), and lets go at [`release`].
pub fn traced(command: &Command, log: &Path, what: Option<&str>) -> Command {
    let mut strace = Command::new("strace");
    // With -I 1 it listens to SIGTERM. Signals are no calls.
    strace.args(["-D", "-I", "1", "-f", "-q", "-e", "signal=none", "-o"]).arg(log);
    if let Some(what) = what {
        let calls = what.split(':').next().unwrap();
        strace.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={what}")]);
    }
    strace.arg("--").arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        strace.env(name, value.unwrap());
    }
    strace
}

/// Makes whoever traces a process let go of it, and of its relatives.
#[track_caller]
pub fn release(pid: Pid) {
    let tracer = || procfs::tracer(pid);
    if let Some(strace) = tracer() {
        let _ = kill_process(strace, Signal::TERM);
        wait_until("strace has let go", || tracer().is_none());
    }
}
