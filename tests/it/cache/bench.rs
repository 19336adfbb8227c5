//! A directory with cache files, and a daemon on them.

use crate::support::stage::Stage;
use crate::support::{Daemon, by_id, by_name, op};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use std::fs;
use std::path::{Path, PathBuf};

/// The vectors.
pub fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/nsscache")
}

/// What came of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Line(String),
    NotFound,
    Failed(u8),
}

pub struct Bench {
    pub stage: Stage,
    daemon: Daemon,
}

impl Bench {
    /// An empty directory.
    #[track_caller]
    pub fn new() -> Bench {
        let stage = Stage::new();
        let daemon = start(&stage);
        Bench { stage, daemon }
    }

    /// With the files of a folder of the vectors; the data is older than the indexes.
    #[track_caller]
    pub fn of(folder: &str) -> Bench {
        let bench = Bench::new();
        bench.take(&vectors().join(folder));
        bench
    }

    /// Copies the files of a folder.
    #[track_caller]
    pub fn take(&self, folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder of the vectors") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            self.write(&name, fs::read(&path).unwrap());
        }
    }

    /// Writes a file: data of the second 1000, an index of 1050.
    #[track_caller]
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        self.stage.dir.write(name, bytes);
        let is_index = name.contains(".ix") || name.contains(".hash");
        self.set_time(name, if is_index { 1050 } else { 1000 }, 0);
    }

    /// Sets the time of a file.
    #[track_caller]
    pub fn set_time(&self, name: &str, second: i64, nanos: u32) {
        set_time(&self.stage.dir.join(name), second, nanos);
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.stage.dir.join(name));
    }

    /// What is in a file.
    #[track_caller]
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.stage.dir.join(name)).expect("a file")
    }

    /// Removes all indexes.
    pub fn remove_indexes(&self) {
        for entry in fs::read_dir(self.stage.dir.path()).expect("a directory") {
            let name = entry.expect("an entry").file_name().to_str().unwrap().to_owned();
            if name.contains(".ix") || name.contains(".hash") {
                self.remove(&name);
            }
        }
    }

    /// Another daemon, that knows nothing.
    pub fn restart(&mut self) {
        self.daemon = start(&self.stage);
    }

    /// Ends the daemon, which has to end well.
    #[cfg(feature = "abort-on-alloc")]
    #[track_caller]
    pub fn end(&mut self) {
        self.daemon.close();
        assert!(self.daemon.wait().success());
    }

    /// Makes the indexes by `nsscache index`, and starts anew.
    #[cfg(feature = "nsscache")]
    #[track_caller]
    pub fn index(&mut self) {
        let mut command = self.stage.applet("nsscache");
        command.args(["index", "-d", self.stage.dir.as_str()]);
        let done = crate::support::run_to_end(command);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        self.restart();
    }

    /// Asks as a function of the C library.
    #[track_caller]
    pub fn call(&self, function: &str, key: &str) -> Told {
        let id = || key.parse().expect("a number");
        let request = match function {
            "getpwnam" => by_name(op::PWD_GETBYNAME, key),
            "getpwuid" => by_id(op::PWD_GETBYUID, id()),
            "getgrnam" => by_name(op::GRP_GETBYNAME, key),
            "getgrgid" => by_id(op::GRP_GETBYGID, id()),
            "getspnam" => by_name(op::SHADOW_GETBYNAME, key),
            _ => panic!("{function}"),
        };
        self.ask(&request)
    }

    /// What a request brings.
    #[track_caller]
    pub fn ask(&self, request: &[u8]) -> Told {
        told(&self.daemon, request)
    }

    /// The gids of a user.
    #[track_caller]
    pub fn groups(&self, user: &str) -> Vec<u32> {
        self.daemon.send(&crate::support::grouplist(5000, user));
        let head = self.daemon.recv_exact(17);
        assert_eq!(head[0], 0, "groups of {user}");
        let count = u64::from_be_bytes(head[9..17].try_into().unwrap());
        let gids = self.daemon.recv_exact(4 * count.min(5000) as usize);
        gids.chunks_exact(4).map(|gid| u32::from_be_bytes(gid.try_into().unwrap())).collect()
    }

    /// The names of an enumeration.
    #[track_caller]
    pub fn names(&self, get: u8) -> Vec<String> {
        let mut names = Vec::new();
        loop {
            match self.ask(&[get]) {
                Told::Line(line) => names.push(line.split(':').next().unwrap().to_owned()),
                Told::NotFound => return names,
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Sets the time of a file.
#[track_caller]
pub fn set_time(path: &Path, second: i64, nanos: u32) {
    let time = Timespec { tv_sec: second, tv_nsec: nanos.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::empty()).expect("a file whose time can be set");
}

fn start(stage: &Stage) -> Daemon {
    let mut command = stage.applet("nsssd-cache");
    command.args(["-d", stage.dir.as_str()]);
    Daemon::start(command)
}

/// What a request brings, as a line of the database.
#[track_caller]
pub fn told(daemon: &Daemon, request: &[u8]) -> Told {
    daemon.send(request);
    match daemon.recv_exact(1)[0] {
        0 => {}
        255 => return Told::NotFound,
        status => return Told::Failed(status),
    }
    let word = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    let strings = |len: u32| -> Vec<String> {
        let bytes = daemon.recv_exact(len as usize);
        let mut all: Vec<String> =
            bytes.split(|b| *b == 0).map(|s| String::from_utf8_lossy(s).into_owned()).collect();
        all.pop();
        all
    };
    let line = match request[0] {
        op::PWD_GETBYNAME | op::PWD_GETBYUID | op::PWD_GET => {
            let head = daemon.recv_exact(12);
            let s = strings(word(&head[8..]));
            let (uid, gid) = (word(&head[..4]), word(&head[4..8]));
            format!("{}:{}:{uid}:{gid}:{}:{}:{}", s[0], s[1], s[2], s[3], s[4])
        }
        op::GRP_GETBYNAME | op::GRP_GETBYGID | op::GRP_GET => {
            let head = daemon.recv_exact(12);
            let s = strings(word(&head[4..8]));
            format!("{}:{}:{}:{}", s[0], s[1], word(&head[..4]), s[2..].join(","))
        }
        _ => {
            let head = daemon.recv_exact(60);
            let s = strings(word(&head[56..]));
            let number = |bytes: &[u8]| match i64::from_be_bytes(bytes.try_into().unwrap()) {
                -1 => String::new(),
                number => number.to_string(),
            };
            let numbers: Vec<String> = head[..56].chunks_exact(8).map(number).collect();
            format!("{}:{}:{}", s[0], s[1], numbers.join(":"))
        }
    };
    Told::Line(line)
}
