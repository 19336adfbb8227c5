//! Runs applets under strace and holds what they do against the page.

use super::page::{Names, Table};
use super::trace::{Touch, touches, traced};
use crate::support::{Daemon, Finished, Server, TempDir, receive_all, run_to_end_with_input, tool};
use rustix::process::{Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory for all that the applets are shown, and what was wrong so far.
pub struct Watch {
    pub dir: TempDir,
    pub bin: PathBuf,
    pub table: Table,
    names: Names,
    /// What an applet did and may not, and in which case.
    pub wrong: Vec<(String, Touch)>,
    /// Deeds that were looked at.
    pub count: usize,
}

impl Watch {
    pub fn new() -> Watch {
        let dir = TempDir::new();
        let bin = dir.bin();
        Watch { dir, bin, table: Table::read(), names: Names::new(), wrong: Vec::new(), count: 0 }
    }

    /// The path of a file there.
    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().expect("text").to_owned()
    }

    /// From now on a word of the table stands for these, relative to the directory.
    pub fn say(&mut self, name: &'static str, values: &[&str]) {
        let values = values.iter().map(|value| match value.strip_prefix('@') {
            Some(abstract_name) => format!("@{}", self.path(abstract_name)),
            None => self.path(value).trim_end_matches('/').to_owned(),
        });
        self.names.insert(name, values.collect());
    }

    /// The same of words that are no paths.
    pub fn say_words(&mut self, name: &'static str, words: &[&str]) {
        self.names.insert(name, words.iter().map(|word| (*word).to_owned()).collect());
    }

    /// The same for programs: wherever they are looked for.
    pub fn say_programs(&mut self, name: &'static str, programs: &[&str]) {
        let dirs = [self.bin.to_str().expect("text"), "/usr/bin", "/bin"];
        let all = programs.iter().flat_map(|p| dirs.iter().map(move |dir| format!("{dir}/{p}")));
        self.names.insert(name, all.collect());
    }

    /// An applet of the link farm, with few directories in PATH. DIR stands for the directory.
    pub fn command(&self, name: &str, words: &[&str]) -> Command {
        let mut command = tool(&self.bin, name);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.bin.display()));
        command.env("IPCREMOTEEUID", "0").env("IPCREMOTEEGID", "0");
        command.args(words.iter().map(|word| word.replace("DIR", self.dir.as_str())));
        command
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(&mut self, who: &[&str], command: &Command, input: &[u8]) -> Finished {
        let trace = self.dir.join("trace");
        let finished = run_to_end_with_input(traced(command, &trace), input);
        self.judge(who, command, &trace);
        finished
    }

    /// Runs a daemon that is sent these bytes, and then the end; what it said.
    #[track_caller]
    pub fn daemon(&mut self, who: &[&str], command: &Command, requests: &[u8]) -> Vec<u8> {
        let trace = self.dir.join("trace");
        let mut daemon = Daemon::start(traced(command, &trace));
        // It may have ended already.
        let _ = daemon.client().try_send(requests);
        daemon.client().half_close();
        let said = receive_all(daemon.client());
        daemon.finish();
        self.judge(who, command, &trace);
        said
    }

    /// Runs a server, started with `-1`, while `ask` does something with it.
    #[track_caller]
    pub fn server(&mut self, who: &[&str], command: &Command, socket: &str, ask: impl Fn(&Path)) {
        let trace = self.dir.join("trace");
        let socket = self.dir.join(socket);
        let mut server = Server::start_command(traced(command, &trace), &socket);
        ask(&socket);
        let child = crate::support::procfs::children(server.pid())[0];
        kill_process(child, Signal::TERM).expect("end the server");
        assert_eq!(server.wait().code(), Some(0), "{}", server.stderr());
        self.judge(who, command, &trace);
    }

    #[track_caller]
    fn judge(&mut self, who: &[&str], command: &Command, trace: &Path) {
        let text = fs::read_to_string(trace).expect("a trace");
        fs::remove_file(trace).expect("remove it");
        assert!(text.contains("execve("), "{command:?}: no trace: {text}");
        let touches = touches(&text);
        self.count += touches.len();
        let wrong = self.table.check(who, &self.names, &touches);
        self.wrong.extend(wrong.into_iter().map(|touch| (format!("{command:?}"), touch)));
    }
}
