//! What the tests of `nscd` share: the server on a socket of its own, and the bytes of its
//! protocol.

use crate::support::{Connection, DEADLINE, Server, TempDir, run_to_end, tool};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Numbers of requests.
pub mod ask {
    pub const USER: i32 = 0;
    pub const UID: i32 = 1;
    pub const GROUP: i32 = 2;
    pub const GID: i32 = 3;
    pub const SHUTDOWN: i32 = 8;
    pub const GETSTAT: i32 = 9;
    pub const INVALIDATE: i32 = 10;
    pub const DESCRIPTOR: i32 = 11;
    pub const GROUPS: i32 = 15;
}

/// A request with any header and key.
pub fn raw(version: i32, kind: i32, key_len: i32, key: &[u8]) -> Vec<u8> {
    let words = [version, kind, key_len].map(i32::to_ne_bytes).concat();
    [&words, key].concat()
}

/// A request as the libraries send it.
pub fn request(kind: i32, key: &str) -> Vec<u8> {
    let key = [key.as_bytes(), &[0]].concat();
    raw(2, kind, key.len() as i32, &key)
}

/// Words, then strings each closed by NUL.
pub fn reply(words: &[u32], strings: &[&str]) -> Vec<u8> {
    let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
    for text in strings {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes
}

fn len(text: &str) -> u32 {
    text.len() as u32 + 1
}

/// The reply to the user of a passwd line.
pub fn user(line: &str) -> Vec<u8> {
    let f: Vec<&str> = line.splitn(7, ':').collect();
    let number = |at: usize| f[at].parse().expect("a number");
    let words = [2, 1, len(f[0]), len(f[1]), number(2), number(3), len(f[4]), len(f[5]), len(f[6])];
    reply(&words, &[f[0], f[1], f[4], f[5], f[6]])
}

/// The reply to the group of a group line.
pub fn group(line: &str) -> Vec<u8> {
    let f: Vec<&str> = line.trim_end().splitn(4, ':').collect();
    let members: Vec<&str> = if f[3].is_empty() { vec![] } else { f[3].split(',').collect() };
    let gid = f[2].parse().expect("a number");
    let mut words = vec![2, 1, len(f[0]), len(f[1]), gid, members.len() as u32];
    words.extend(members.iter().map(|m| len(m)));
    reply(&words, &[&[f[0], f[1]], &members[..]].concat())
}

/// The reply to a known user in these groups.
pub fn groups(gids: &[u32]) -> Vec<u8> {
    reply(&[&[2, 1, gids.len() as u32], gids].concat(), &[])
}

const NONE: u32 = u32::MAX;

/// There is no such user.
pub fn no_user() -> Vec<u8> {
    reply(&[2, 0, 0, 0, NONE, NONE, 0, 0, 0], &[])
}

/// There is no such group.
pub fn no_group() -> Vec<u8> {
    reply(&[2, 0, 0, 0, NONE, 0], &[])
}

/// There is no such user to be in groups.
pub fn no_groups() -> Vec<u8> {
    reply(&[2, 0, 0], &[])
}

/// All bytes up to the end, which must be no error to the client: musl takes a reset for one.
#[track_caller]
pub fn read_to_end(client: &Connection) -> Vec<u8> {
    client.stream().set_read_timeout(Some(DEADLINE)).expect("a socket takes a deadline");
    let mut all = Vec::new();
    match client.stream().read_to_end(&mut all) {
        Ok(_) => all,
        Err(e) => panic!("{e} after {} bytes", all.len()),
    }
}

/// A directory with account files, and servers on them.
#[derive(Debug)]
pub struct Bench {
    /// The directory: `passwd`, `group`, `bin`, and `run/socket`.
    pub dir: TempDir,
    /// Where the applets are.
    pub bin: PathBuf,
}

impl Bench {
    /// With these files.
    #[track_caller]
    pub fn new(passwd: &str, group: &str) -> Bench {
        let dir = TempDir::new();
        let bin = dir.bin();
        dir.write("passwd", passwd);
        dir.write("group", group);
        Bench { dir, bin }
    }

    /// The socket of a server started here.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("run/socket")
    }

    /// `nscd -1 -S run/socket OPTIONS`, the script to be added.
    pub fn command(&self, options: &[&str]) -> Command {
        let mut command = tool(&self.bin, "nscd");
        command.args(["-1", "-q", "-S"]).arg(self.socket()).args(options);
        command
    }

    /// Starts it with these sources: a bitfield and a command each.
    #[track_caller]
    pub fn start(&self, options: &[&str], sources: &[(u8, &[&str])]) -> Server {
        Server::start_command(self.scripted(options, sources), &self.socket())
    }

    /// The same, to be started by the caller.
    pub fn scripted(&self, options: &[&str], sources: &[(u8, &[&str])]) -> Command {
        let mut command = self.command(options);
        for (bits, words) in sources {
            command.arg(bits.to_string()).args(*words).arg("");
        }
        command
    }

    /// Starts it with its own files for the only source.
    #[track_caller]
    pub fn serve(&self, options: &[&str]) -> Server {
        self.start(options, &[(3, &self.unix())])
    }

    /// The command of the source that reads the files.
    pub fn unix(&self) -> [&str; 3] {
        ["nsssd-unix", "-d", self.dir.as_str()]
    }

    /// Runs it to its end: for command lines that are refused.
    #[track_caller]
    pub fn fails(&self, command: Command) -> (Option<i32>, String) {
        let finished = run_to_end(command);
        assert!(finished.stdout.is_empty());
        (finished.code, finished.stderr)
    }
}

/// Asks, and reads the reply to its end.
#[track_caller]
pub fn asked(socket: &Path, request: &[u8]) -> Vec<u8> {
    let client = Connection::connect(socket);
    client.send(request);
    read_to_end(&client)
}
