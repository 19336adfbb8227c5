//! A supervisor with a service that really runs, in a state that a test wants.

use super::folder::{label, now};
use crate::support::{TempDir, have_program, peer, run_to_end, skip, tool, wait_until};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use After::{Ended, Gone, Got, Runs, Starts, Stopped, Wants};
use Before::{Down, Finishing, NeverUp, Once, Paused, Stubborn, StubbornStopping, Up};
use Family::{Daemontools, Runit, S6};

/// Whose supervisor it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Runit,
    Daemontools,
    S6,
}

/// The state that a command meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// It runs.
    Up,
    /// It was stopped.
    Down,
    /// It has a file `down`, and was never started.
    NeverUp,
    /// It runs, and was stopped by STOP.
    Paused,
    /// It runs, and nobody starts it again.
    Once,
    /// It does not mind TERM, and runs.
    Stubborn,
    /// The same, and was told to stop.
    StubbornStopping,
    /// `finish` runs.
    Finishing,
}

/// What must be seen of the service that the other tool was for, before ours is compared.
#[derive(Clone, Copy, Debug)]
pub enum After {
    /// Its process was told this.
    Got(&'static str),
    /// It has started so often.
    Starts(usize),
    /// No process.
    Gone,
    /// The supervisor has ended.
    Ended,
    /// STOP was sent.
    Stopped,
    /// It runs, not stopped.
    Runs,
    /// A change of what is wanted alone: what that is.
    Wants(char),
}

/// The programs of a family: where they are, the supervisor, the tool for commands.
#[derive(Clone)]
pub struct Tools {
    pub family: Family,
    pub supervisor: PathBuf,
    pub control: PathBuf,
    pub tell: PathBuf,
}

impl Tools {
    /// `None`, and said, if they are not there.
    pub fn find(test: &str, family: Family) -> Option<Tools> {
        let (supervisor, control, tell) = match family {
            Runit => ("runsv", "/usr/bin/sv", "/usr/bin/sv"),
            S6 => ("s6-supervise", "s6-svc", "s6-svstat"),
            Daemontools => {
                let supervise = peer(test, "daemontools", "usr/bin/supervise")?;
                let beside = |name: &str| supervise.with_file_name(name);
                let (control, tell) = (beside("svc"), beside("svstat"));
                return Some(Tools { family, supervisor: supervise, control, tell });
            }
        };
        if !have_program(supervisor) || !have_program("perl") {
            skip(test, &format!("no {supervisor} or no perl"));
            return None;
        }
        Some(Tools {
            family,
            supervisor: supervisor.into(),
            control: control.into(),
            tell: tell.into(),
        })
    }
}

/// A supervisor and its service.
pub struct Live {
    dir: TempDir,
    tools: Tools,
    child: Child,
}

/// Tells of each start and each signal in the file `got`.
const RUN: &str = "#!/usr/bin/perl\n\
    sub got { open my $g, '>>', 'got'; syswrite $g, \"$_[0]\\n\"; }\n\
    $SIG{$_} = \\&got for qw(HUP ALRM INT QUIT USR1 USR2 CONT);\n\
    $SIG{TERM} = sub { got('TERM'); exit 0 unless -e 'stubborn' };\n\
    got('start');\n\
    sleep 1000 while 1;\n";

const FINISH: &str = "#!/bin/sh\necho finish >>got\nwhile [ -e slow ]; do sleep 0.05; done\n";

pub fn script(path: &Path, text: &str) {
    // Written by a program: were it open here for writing while another test starts one, nobody could run it.
    let mut options = fs::OpenOptions::new();
    let new = path.with_extension("new");
    options.write(true).create(true).truncate(true).mode(0o755);
    options.open(&new).unwrap().write_all(text.as_bytes()).unwrap();
    let mut copy = Command::new("cp");
    copy.arg("-p").arg(&new).arg(path);
    assert_eq!(run_to_end(copy).code, Some(0));
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Live {
    pub fn start(tools: &Tools, before: Before) -> Live {
        let dir = TempDir::new();
        dir.bin();
        let service = dir.subdirectory("svc");
        script(&service.join("run"), RUN);
        if before == Finishing {
            script(&service.join("finish"), FINISH);
            fs::write(service.join("slow"), "").unwrap();
        }
        if before == NeverUp {
            fs::write(service.join("down"), "").unwrap();
        }
        if matches!(before, Stubborn | StubbornStopping) {
            fs::write(service.join("stubborn"), "").unwrap();
        }
        let child = Command::new(&tools.supervisor)
            .arg(&service)
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let live = Live { dir, tools: tools.clone(), child };
        live.come_to(before);
        live
    }

    fn service(&self) -> PathBuf {
        self.dir.join("svc")
    }

    pub fn got(&self) -> String {
        fs::read_to_string(self.service().join("got")).unwrap_or_default()
    }

    fn starts(&self) -> usize {
        self.got().lines().filter(|line| *line == "start").count()
    }

    /// Bytes for the supervisor, by nobody's tool.
    fn send(&self, bytes: &str) {
        let path = self.service().join("supervise/control");
        let mut control = fs::OpenOptions::new().write(true).open(path).unwrap();
        control.write_all(bytes.as_bytes()).unwrap();
    }

    fn come_to(&self, before: Before) {
        if self.tools.family != S6 {
            let ok = self.service().join("supervise/ok");
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            wait_until("the supervisor lives", || open(&ok, flags, Mode::empty()).is_ok());
        }
        if before == NeverUp {
            wait_until("the supervisor is there", || self.state().is_some());
            return;
        }
        wait_until("the service runs", || {
            self.starts() == 1 && self.state().is_some_and(|state| state.up)
        });
        let is = |what: &str, is_so: &dyn Fn(&State) -> bool| {
            wait_until(what, || self.state().is_some_and(|state| is_so(&state)));
        };
        match before {
            Up | Stubborn | NeverUp => {}
            Down => {
                self.send("d");
                is("it is down", &|state| !state.up && state.want == 'd');
            }
            Paused => {
                self.send("p");
                is("it is paused", &|state| state.paused);
            }
            Once => {
                self.send("o");
                is("it runs once", &|state| state.want != 'u');
            }
            StubbornStopping => {
                self.send("d");
                is("it is to stop", &|state| state.want == 'd');
                wait_until("it got TERM, and CONT behind it", || self.got().contains("CONT"));
                let of_runit = self.tools.family == Runit;
                is("runsv has written so", &|state| !of_runit || state.more == 0x11);
            }
            Finishing => {
                self.send("d");
                wait_until("finish runs", || self.got().contains("finish"));
                is("its supervisor has written so", &|state| state.up && state.more & 2 != 0);
            }
        }
        // runit's sv takes a process that has started in the same second for a new one.
        let file = fs::read(self.service().join("supervise/status")).unwrap();
        let of_runit = self.tools.family == Runit;
        wait_until("the second is over", || !of_runit || label(now())[..] > file[..8]);
    }

    /// The state, read here from the bytes; `None`: there is none yet.
    pub fn state(&self) -> Option<State> {
        let file = fs::read(self.service().join("supervise/status")).ok()?;
        let byte = |at: usize| file.get(at).copied();
        let want = |byte| match byte {
            b'u' => 'u',
            b'd' => 'd',
            _ => '-',
        };
        Some(match self.tools.family {
            S6 => {
                let flags = byte(34)?;
                State {
                    up: file[24..32] != [0; 8],
                    paused: flags & 1 != 0,
                    want: if flags & 4 != 0 { 'u' } else { 'd' },
                    more: flags,
                }
            }
            Daemontools => State {
                up: file[12..16] != [0; 4],
                paused: byte(16)? != 0,
                want: want(byte(17)?),
                more: 0,
            },
            Runit => State {
                up: file[12..16] != [0; 4],
                paused: byte(16)? != 0,
                want: want(byte(17)?),
                more: byte(18)? << 4 | byte(19)?,
            },
        })
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// All that a command may change.
    pub fn seen(&mut self) -> (Option<State>, String, bool) {
        let ended = self.has_ended();
        // Whether CONT still finds the process that TERM was sent to is chance.
        let got = self.got().replace("CONT\n", "");
        (self.state(), got, ended)
    }

    pub fn shows(&mut self, after: After) -> bool {
        let (state, got, ended) = self.seen();
        let Some(state) = state else { return false };
        match after {
            Got(signal) => got.lines().any(|line| line == signal),
            Starts(times) => self.starts() == times && state.up,
            Gone => !state.up,
            Ended => ended,
            Stopped => state.paused,
            Runs => state.up && !state.paused,
            Wants(what) => state.want == what,
        }
    }

    /// A tool of this machine, or ours.
    pub fn run(&self, program: &Path, words: &str, dir: &str) -> (Option<i32>, String) {
        let name = program.to_str().unwrap();
        let mut command = tool(&self.dir.join("bin"), name);
        command.args(words.split_whitespace()).arg(dir).current_dir(self.dir.path());
        command.env("SVDIR", self.dir.path());
        let finished = run_to_end(command);
        (finished.code, String::from_utf8(finished.stdout).unwrap() + &finished.stderr)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    up: bool,
    paused: bool,
    want: char,
    more: u8,
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.service().join("slow"));
        let _ = self.child.kill();
        let _ = self.child.wait();
        // What it ran goes on without it.
        let file = fs::read(self.service().join("supervise/status")).unwrap_or_default();
        let pid = match self.tools.family {
            S6 => file.get(28..32).map(|b| i32::from_be_bytes(b.try_into().unwrap())),
            _ => file.get(12..16).map(|b| i32::from_le_bytes(b.try_into().unwrap())),
        };
        if let Some(pid) = pid.filter(|pid| *pid > 0).and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
