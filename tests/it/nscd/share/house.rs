//! Files, a server on them whose socket is in memory or not, and programs of glibc that ask it.

use crate::nscd::machine::over_etc;
use crate::support::nscd::{Bench, ask, request};
use crate::support::{
    Connection, DEADLINE, Server, TempDir, compiled, have_program, is_root, skip, tool, wait_until,
};
use nssproto::nscd::map::{Header, Map};
use rustix::io::IoSliceMut;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;
use std::{env, process, thread};

/// Requests for a descriptor.
pub const GETFDPW: i32 = ask::DESCRIPTOR;
pub const GETFDGR: i32 = 12;

/// What the clients know by themselves: nobody whom the server knows.
const LOCAL_PASSWD: &str = "root:LOCAL:0:0:local:/:/bin/sh\n";
const LOCAL_GROUP: &str = "root:LOCAL:0:\n";

/// Where the socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In memory, so that maps have names there.
    Memory,
    /// On a disk.
    Disk,
}

pub struct House {
    pub bench: Bench,
    /// The socket's directory.
    pub run: PathBuf,
    client: PathBuf,
    local: TempDir,
}

impl House {
    /// `None` where that cannot be, which is said.
    pub fn new(test: &str, place: Place, passwd: &str, group: &str) -> Option<House> {
        if !is_root() || !have_program("unshare") {
            skip(test, "needs root and unshare");
            return None;
        }
        let bench = Bench::new(passwd, group);
        let local = TempDir::new();
        let client = compiled(test, "shared", &local)?;
        local.write("passwd", LOCAL_PASSWD);
        local.write("group", LOCAL_GROUP);
        local.write("nsswitch.conf", "passwd: files\ngroup: files\n");
        let run = match place {
            Place::Disk => bench.dir.subdirectory("socket"),
            Place::Memory => {
                let name = bench.dir.path().file_name().unwrap().to_str().unwrap();
                let run = Path::new("/dev/shm").join(format!("{name}.{}", process::id()));
                fs::create_dir(&run).unwrap();
                fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
                run
            }
        };
        Some(House { bench, run, client, local })
    }

    pub fn socket(&self) -> PathBuf {
        self.run.join("socket")
    }

    /// `nscd` with these options and this script.
    pub fn command(&self, options: &[&str], script: &[&str]) -> Command {
        let mut command = tool(&self.bench.bin, "nscd");
        command.arg("-1").arg("-S").arg(self.socket()).args(options).args(script);
        command
    }

    /// The server on the files of the house, as a second directory's.
    #[track_caller]
    pub fn serve(&self, options: &[&str]) -> Server {
        let script = ["3", "nsssd-unix", "-d", self.bench.dir.as_str(), ""];
        Server::start_command(self.command(options, &script), &self.socket())
    }

    /// The same where they stand in /etc, as own files.
    #[track_caller]
    pub fn serve_own(&self, options: &[&str]) -> Server {
        let files = ["passwd", "group"].map(|name| (self.bench.dir.join(name), name));
        let command = over_etc(&files, &self.command(options, &["3", "nsssd-unix", ""]));
        Server::start_command(command, &self.socket())
    }

    /// A program of glibc.
    #[track_caller]
    pub fn client(&self) -> Client {
        self.run_client("exec \"$0\"")
    }

    /// The same, run by a shell that is told to.
    #[track_caller]
    pub fn run_client(&self, run: &str) -> Client {
        let local = self.local.as_str();
        let text = format!(
            "mount --make-rprivate / && mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/nscd \
             && mount --bind '{}' /var/run/nscd || exit 120\n\
             for f in passwd group nsswitch.conf; do\n\
             mount --bind '{local}'/$f /etc/$f || exit 120\ndone\n{run}\n",
            self.run.display()
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &text]).arg(&self.client).env("LC_ALL", "C");
        Client::start(command)
    }

    /// Waits until a map is given out that counts; the two.
    #[track_caller]
    pub fn maps(&self) -> [Given; 2] {
        let socket = self.socket();
        wait_until("maps that count", || {
            let given = [GETFDPW, GETFDGR].map(|kind| Given::ask(&socket, kind));
            given.iter().all(|given| given.as_ref().is_some_and(Given::is_on))
        });
        [GETFDPW, GETFDGR].map(|kind| Given::ask(&socket, kind).expect("a map"))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.run);
    }
}

/// What a client gets instead of an answer.
pub struct Given {
    pub file: File,
    pub size: u64,
}

impl Given {
    /// Asks for it. `None`: it was refused.
    #[track_caller]
    pub fn ask(socket: &Path, kind: i32) -> Option<Given> {
        let name = if kind == GETFDPW { "passwd" } else { "group" };
        let client = Connection::connect(socket);
        client.stream().set_read_timeout(Some(DEADLINE)).unwrap();
        client.send(&request(kind, name));
        let mut bytes = [0; 64];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let parts = &mut [IoSliceMut::new(&mut bytes)];
        let got = recvmsg(client.stream(), parts, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
        let mut files: Vec<_> = control
            .drain()
            .flat_map(|message| match message {
                RecvAncillaryMessage::ScmRights(files) => files.collect(),
                _ => Vec::new(),
            })
            .collect();
        if got.bytes == 0 {
            assert!(files.is_empty());
            return None;
        }
        assert_eq!(files.len(), 1, "descriptors");
        let (front, size) = bytes[..got.bytes].split_at(name.len() + 1);
        assert_eq!(front, [name.as_bytes(), &[0]].concat());
        let size = u64::from_ne_bytes(size.try_into().unwrap());
        let file = File::from(files.remove(0));
        assert_eq!(file.metadata().unwrap().len(), size, "told, and there");
        Some(Given { file, size })
    }

    /// What is in it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.size as usize];
        self.file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    pub fn header(&self) -> Header {
        Header::decode(&self.bytes()).unwrap()
    }

    pub fn is_on(&self) -> bool {
        self.header().gc_cycle.is_multiple_of(2)
    }

    /// Whether its server has let go of it.
    pub fn is_let_go(&self) -> bool {
        let header = self.header();
        !header.gc_cycle.is_multiple_of(2) && header.timestamp == 0
    }

    /// It is whole, and right as far as it can be seen.
    #[track_caller]
    pub fn check(&self) -> usize {
        let bytes = self.bytes();
        Map::check(&bytes).unwrap_or_else(|e| panic!("{e:?}")).entries().count()
    }
}

/// A program of glibc that is asked for lookups.
pub struct Client {
    pub child: Child,
    stdin: ChildStdin,
    answers: Receiver<String>,
}

impl Client {
    #[track_caller]
    fn start(mut command: Command) -> Client {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, answers) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n') {
                let Ok(line) = line else { return };
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        Client { child, stdin, answers }
    }

    pub fn send(&mut self, command: &str) {
        writeln!(self.stdin, "{command}").expect("a client that runs");
    }

    #[track_caller]
    pub fn answer(&mut self) -> String {
        let end = Instant::now() + DEADLINE;
        match self.answers.recv_timeout(end - Instant::now()) {
            Ok(answer) => answer,
            Err(e) => panic!("{e}: {:?}", self.child.try_wait()),
        }
    }

    #[track_caller]
    pub fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.answer()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a long run is wanted: NSSBOX_SHARE_LONG in the environment.
pub fn is_long() -> bool {
    env::var_os("NSSBOX_SHARE_LONG").is_some()
}
