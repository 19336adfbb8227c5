//! What a server inherits from whoever starts it, and what it finds beside its socket: signals that
//! are blocked or ignored, limits, closed descriptors, a terminal, files of others.
#![cfg(all(feature = "ipcserver", feature = "nscd", feature = "nsssd-unix"))]

use crate::support::ipcserver::house::{ask_one, furnish, one, unix};
use crate::support::ipcserver::{Bench, OURS, children_of};
use crate::support::nscd::{self, ask, asked, request, user};
use crate::support::{
    Connection, Server, have_program, is_root, run_to_end, skip, tool, wait_until,
};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::path::PathBuf;
use std::process::Command;

const ADA: &str = "ada:*:1001:1001:Ada:/home/ada:/bin/sh";

/// The servers: how each is started behind a setup, and how it is seen that it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    InProcess,
    Spawned,
    Nscd,
    /// With a source that workers ask.
    NscdProgram,
}

const KINDS: [Kind; 4] = [Kind::InProcess, Kind::Spawned, Kind::Nscd, Kind::NscdProgram];

/// A place for a server.
struct House {
    kind: Kind,
    ipc: Bench,
    nscd: nscd::Bench,
}

impl House {
    fn new(kind: Kind) -> House {
        let ipc = Bench::new(OURS);
        furnish(&ipc);
        let nscd = nscd::Bench::new(&format!("{ADA}\n"), "");
        House { kind, ipc, nscd }
    }

    fn socket(&self) -> PathBuf {
        match self.kind {
            Kind::InProcess | Kind::Spawned => self.ipc.dir.join("s"),
            _ => self.nscd.socket(),
        }
    }

    /// Its command line, which these words start.
    fn command(&self, before: &[&str]) -> Command {
        let bin = &self.nscd.bin;
        let mut words: Vec<String> = before.iter().map(|word| (*word).to_owned()).collect();
        let mut add = |more: &[&str]| words.extend(more.iter().map(|word| (*word).to_owned()));
        let socket = self.socket();
        let socket = socket.to_str().unwrap();
        let program = bin.join("nsssd-unix");
        match self.kind {
            Kind::InProcess => add(&["ipcserver", "-1v", socket]),
            Kind::Spawned => add(&["ipcserver", "-1v", "--spawn", socket]),
            Kind::Nscd => add(&["nscd", "-1v", "-S", socket, "3"]),
            // Another file is another program.
            Kind::NscdProgram => {
                add(&["nscd", "-1v", "-t", "4000", "-S", socket, "3", "sh", "-c"]);
                add(&[&format!("exec {} -d {}", program.display(), self.nscd.dir.as_str())]);
            }
        }
        match self.kind {
            Kind::InProcess | Kind::Spawned => add(&unix(&self.ipc)),
            Kind::Nscd => add(&self.nscd.unix()),
            Kind::NscdProgram => {}
        }
        if matches!(self.kind, Kind::Nscd | Kind::NscdProgram) {
            add(&[""]);
        }
        let mut command = tool(bin, &words[0]);
        command.args(&words[1..]);
        command
    }

    fn start(&self, before: &[&str]) -> Server {
        Server::start_command(self.command(before), &self.socket())
    }

    /// It serves, several times.
    #[track_caller]
    fn ask(&self) {
        for _ in 0..3 {
            match self.kind {
                Kind::InProcess | Kind::Spawned => {
                    Connection::connect(&self.socket()).expect(&ask_one(), &one());
                }
                _ => assert_eq!(asked(&self.socket(), &request(ask::USER, "ada")), user(ADA)),
            }
        }
    }
}

#[track_caller]
fn for_each_kind(before: &[&str]) {
    for kind in KINDS {
        println!("{kind:?} behind {before:?}");
        let house = House::new(kind);
        let mut server = house.start(before);
        house.ask();
        if kind == Kind::Spawned {
            wait_until("all programs are waited for", || children_of(server.pid()).is_empty());
        }
        assert_eq!(server.stop().code(), Some(0), "{kind:?} behind {before:?}");
    }
}

#[test]
fn signals_that_are_blocked_or_ignored_end_a_server_all_the_same() {
    for_each_kind(&["env", "--block-signal=TERM,CHLD,HUP,PIPE,XFSZ"]);
    for_each_kind(&["env", "--ignore-signal=TERM,CHLD,HUP,PIPE,XFSZ,TTOU"]);
}

#[test]
fn a_limit_on_the_size_of_files_ends_no_server() {
    // Its messages are in a file that may not grow.
    for_each_kind(&["sh", "-c", "ulimit -f 0; exec \"$@\"", "sh"]);
    let host = House::new(Kind::Nscd);
    let log = host.nscd.dir.write("log", [b'x'; 4096]);
    let script = format!("ulimit -f 0; exec \"$@\" 2>>{}", log.display());
    let mut server = host.start(&["sh", "-c", &script, "sh"]);
    host.ask();
    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(fs::metadata(&log).unwrap().len(), 4096);
}

#[test]
fn descriptors_that_are_closed_are_no_ones() {
    // Standard output tells that it is ready.
    for_each_kind(&["sh", "-c", "exec \"$@\" <&- 2>&-", "sh"]);
}

#[test]
fn a_terminal_that_nobody_may_write_to_from_behind_stops_no_server() {
    let test = "a_terminal_that_nobody_may_write_to_from_behind_stops_no_server";
    if !have_program("script") || !have_program("setsid") {
        return skip(test, "script (bsdutils) is not installed");
    }
    for kind in KINDS {
        let house = House::new(kind);
        // In the background of a terminal of its own, which is its log.
        let script = "stty tostop; set -m; \"$@\" 2>/dev/tty & echo $! >\"$0\"; wait";
        let pid = house.nscd.dir.join("pid");
        let inner = house.command(&[]);
        let words: Vec<String> = [inner.get_program().to_str().unwrap().to_owned()]
            .into_iter()
            .chain(inner.get_args().map(|word| word.to_str().unwrap().to_owned()))
            .map(|word| format!("'{word}'"))
            .collect();
        let line = format!("sh -c '{}' '{}' {}", script, pid.display(), words.join(" "));
        let mut command = tool(&house.nscd.bin, "script");
        command.args(["-qec", &line, "/dev/null"]);
        // The newline of readiness is the terminal's.
        let server = Server::spawn(command, &house.socket());
        wait_until("it listens", || {
            std::os::unix::net::UnixStream::connect(house.socket()).is_ok()
        });
        house.ask();
        let text = fs::read_to_string(&pid).expect("a process id");
        let ours = rustix::process::Pid::from_raw(text.trim().parse().expect("a number"));
        rustix::process::kill_process(ours.expect("one"), Signal::TERM).expect("to end it");
        drop(server);
    }
}

#[test]
fn a_file_of_others_beside_the_socket_stays() {
    for kind in KINDS {
        let house = House::new(kind);
        let beside = |suffix: &str| PathBuf::from(format!("{}{suffix}", house.socket().display()));
        fs::create_dir_all(house.socket().parent().unwrap()).unwrap();
        // A lock is a plain file, of whomever: what is in it stays.
        fs::write(beside(".lock"), "keep").unwrap();
        house.start(&[]).stop();
        assert_eq!(fs::read(beside(".lock")).unwrap(), b"keep");
        for suffix in ["", ".new"] {
            let _ = fs::remove_file(beside(suffix));
            fs::write(beside(suffix), "keep").unwrap();
            if suffix.is_empty() {
                let finished = run_to_end(house.command(&[]));
                assert_eq!(finished.code, Some(111), "{kind:?} {suffix}");
                assert!(
                    finished.stderr.contains("what is there is no socket"),
                    "{}",
                    finished.stderr
                );
            } else {
                house.start(&[]).stop();
            }
            assert_eq!(fs::read(beside(suffix)).unwrap(), b"keep", "{kind:?} {suffix}");
            fs::remove_file(beside(suffix)).unwrap();
        }
        if is_root() {
            // What is no file is not taken for a lock that is empty.
            let made =
                Command::new("mknod").arg(beside(".lock.new")).args(["c", "1", "3"]).status();
            assert!(made.unwrap().success());
            fs::rename(beside(".lock.new"), beside(".lock")).unwrap();
            house.start(&[]).stop();
            let left = fs::symlink_metadata(beside(".lock")).unwrap();
            assert!(left.file_type().is_char_device(), "{kind:?}");
            fs::remove_file(beside(".lock")).unwrap();
        }
        // Neither is waited for, nor gone through: to be told is enough.
        let victim = house.nscd.dir.write("victim", "keep");
        for suffix in ["", ".new", ".lock"] {
            for what in ["dir", "fifo", "link", "dangling"] {
                let place = beside(suffix);
                for left in ["", ".lock"] {
                    let _ = fs::remove_file(beside(left));
                }
                match what {
                    "dir" => fs::create_dir(&place).unwrap(),
                    "fifo" => rustix::fs::mkfifoat(rustix::fs::CWD, &place, 0o666.into()).unwrap(),
                    "link" => symlink(&victim, &place).unwrap(),
                    _ => symlink(house.nscd.dir.join("none"), &place).unwrap(),
                }
                let before = fs::symlink_metadata(&place).unwrap();
                // No room is needed at SOCKET.new where nothing is at the socket.
                if suffix == ".new" {
                    house.start(&[]).stop();
                } else {
                    let finished = run_to_end(house.command(&[]));
                    let said = finished.stderr;
                    assert_eq!(finished.code, Some(111), "{kind:?} {suffix} {what}: {said}");
                    assert!(said.contains("unable to"), "{kind:?} {suffix} {what}: {said}");
                }
                let after = fs::symlink_metadata(&place).unwrap();
                assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
                assert_eq!(fs::read(&victim).unwrap(), b"keep", "{kind:?} {suffix} {what}");
                assert!(!house.nscd.dir.join("none").exists(), "{kind:?} {suffix} {what}");
                let removed = if what == "dir" { fs::remove_dir } else { fs::remove_file };
                removed(&place).unwrap();
            }
        }
        // What a server that was killed has left is replaced.
        let mut server = house.start(&[]);
        server.signal(Signal::KILL);
        server.wait();
        house.start(&[]).stop();
    }
}
