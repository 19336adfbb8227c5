//! What the tests of `ipcserver` share: the two servers under test, clients of other users, and
//! a look at processes.

use crate::support::{
    Connection, DEADLINE, Got, Server, TempDir, have_program, nssbox, run_to_end, skip, tool,
    wait_until,
};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::Pid;
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use rustix::{net, process};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::{fs, thread};

/// A user that owns nothing, and its group. No entry for them is needed.
pub const NOBODY: u32 = 65_534;

/// A super-server: ours, or the one whose command line it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The name of the program.
    pub program: &'static str,
    /// What its messages begin with once it serves.
    pub daemon: &'static str,
}

/// s6's own.
pub const REFERENCE: Kind = Kind { program: "s6-ipcserver", daemon: "s6-ipcserverd" };

/// The applet.
pub const OURS: Kind = Kind { program: "ipcserver", daemon: "ipcserver" };

/// Runs a case with the reference, if that is installed, and then with our server.
#[track_caller]
pub fn for_each_server(case: &str, run: impl Fn(&Bench)) {
    if have_program(REFERENCE.program) {
        println!("with {}:", REFERENCE.program);
        run(&Bench::new(REFERENCE));
    } else {
        skip(case, "s6-ipcserver is not installed, only ours was run");
    }
    println!("with {}:", OURS.program);
    run(&Bench::new(OURS));
}

/// A server under test and a fresh directory to run it in.
#[derive(Debug)]
pub struct Bench {
    /// Which one.
    pub kind: Kind,
    /// Holds `bin`, and the socket `s` of a server started here.
    pub dir: TempDir,
    bin: std::path::PathBuf,
}

impl Bench {
    /// A directory with the links in it.
    #[track_caller]
    pub fn new(kind: Kind) -> Bench {
        let dir = TempDir::new();
        let bin = dir.bin();
        Bench { kind, dir, bin }
    }

    /// Whether it is ours.
    pub fn is_ours(&self) -> bool {
        self.kind == OURS
    }

    /// Replaces the links by a copy of the executable, for servers and programs that run as
    /// another user: where cargo puts the executable may be closed to them.
    #[track_caller]
    pub fn open_to_all(self) -> Bench {
        let copy = self.dir.join("nssbox");
        // By another process: a file that was open for writing here when a test in another
        // thread forked cannot be executed until that child has gone on.
        let mut cp = tool(&self.bin, "cp");
        cp.arg(nssbox()).arg(&copy);
        assert_eq!(run_to_end(cp).code, Some(0), "a copy of the executable");
        self.dir.chmod("nssbox", 0o755);
        for name in crate::support::APPLETS {
            fs::remove_file(self.bin.join(name)).expect("remove a link");
            crate::support::link(&copy, &self.bin, name);
        }
        self
    }

    /// The server without arguments, with no environment but PATH.
    pub fn command(&self) -> Command {
        tool(&self.bin, self.kind.program)
    }

    /// The server run by a shell after `setup`, such as a `umask`. Add its arguments as usual.
    pub fn command_after(&self, setup: &str) -> Command {
        let mut command = tool(&self.bin, "sh");
        let own = self.bin.join(self.kind.program);
        command.arg("-c").arg(format!("{setup}; exec \"$0\" \"$@\""));
        if own.exists() {
            command.arg(own);
        } else {
            command.arg(self.kind.program);
        }
        command
    }

    /// Starts it with `-1`, these options, the socket `s` and this program.
    #[track_caller]
    pub fn start(&self, options: &[&str], program: &[&str]) -> Server {
        self.start_command(self.command(), options, program)
    }

    /// The same with a command that is already set up, but for its arguments.
    #[track_caller]
    pub fn start_command(&self, command: Command, options: &[&str], program: &[&str]) -> Server {
        let socket = self.dir.join("s");
        let mut command = command;
        command.arg("-1").args(options).arg(&socket).args(program);
        Server::start_command(command, &socket)
    }

    /// A line that this server writes with `-v`.
    pub fn info(&self, text: &str) -> String {
        format!("{}: info: {text}\n", self.kind.daemon)
    }
}

/// Makes an executable script, by another process for the reason above.
#[track_caller]
pub fn write_script(path: &Path, content: &str) {
    let mut shell = Command::new("sh");
    let write = r#"printf '#!/bin/sh\n%s\n' "$1" >"$0.new" &&
        chmod 755 "$0.new" && mv "$0.new" "$0""#;
    shell.args(["-c", write]).arg(path).arg(content);
    assert_eq!(run_to_end(shell).code, Some(0), "a script");
}

/// All bytes up to the end of file, as text.
#[track_caller]
pub fn read_to_end(client: &Connection) -> String {
    String::from_utf8(read_bytes_to_end(client)).expect("text")
}

/// All bytes up to the end of file.
#[track_caller]
pub fn read_bytes_to_end(client: &Connection) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        match client.recv(DEADLINE) {
            Got::Bytes(bytes) => all.extend(bytes),
            Got::End => return all,
            Got::Nothing => panic!("no end of file after {} bytes", all.len()),
        }
    }
}

/// Connects, and checks through a program that echoes that the connection is served.
#[track_caller]
pub fn echo(server: &Server) -> Connection {
    let client = server.connect();
    client.expect(b"x", b"x");
    client
}

/// Connects with a socket that has a name of its own.
#[track_caller]
pub fn connect_bound(server: &Server, own: &SocketAddrUnix) -> Connection {
    let socket = net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        // Else a program that another test starts now would have it.
        SocketFlags::CLOEXEC,
        None,
    )
    .expect("a socket");
    net::bind(&socket, own).expect("bind the client");
    let address = SocketAddrUnix::new(server.socket()).expect("the address of the server");
    net::connect(&socket, &address).expect("connect");
    Connection::new(UnixStream::from(socket))
}

/// Connects as another user, without supplementary groups. Needs root.
///
/// The kernel notes who a client is when it connects, and ids belong to threads: a thread that
/// gives its own away makes the connection.
#[track_caller]
pub fn connect_as(server: &Server, uid: u32, gid: u32) -> Connection {
    try_connect_as(server.socket(), uid, gid).expect("connect as another user")
}

/// The same, where perhaps nobody listens: `None`.
#[track_caller]
pub fn try_connect_as(socket: &Path, uid: u32, gid: u32) -> Option<Connection> {
    let socket = socket.to_owned();
    let connecting = thread::spawn(move || {
        let (uid, gid) = (process::Uid::from_raw(uid), process::Gid::from_raw(gid));
        set_thread_groups(&[]).expect("setgroups");
        set_thread_res_gid(gid, gid, gid).expect("setresgid");
        set_thread_res_uid(uid, uid, uid).expect("setresuid");
        UnixStream::connect(&socket).ok()
    });
    connecting.join().expect("a connection as another user").map(Connection::new)
}

/// The children of a process, dead ones that were not waited for included.
#[track_caller]
pub fn children_of(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().get().to_string();
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc") {
        let name = entry.expect("/proc").file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        // A process may be gone by now.
        let Some(stat) = stat_of(pid) else { continue };
        if stat[1] == parent {
            children.extend(Pid::from_raw(pid));
        }
    }
    children
}

/// The only child of a process, waited for.
#[track_caller]
pub fn child_of(parent: Pid) -> Pid {
    let mut found = None;
    wait_until("the server has one child", || {
        let children = children_of(parent);
        found = children.first().copied();
        children.len() == 1
    });
    found.expect("a child")
}

/// Lists what the shell has open, for [`descriptors`].
pub const LIST_DESCRIPTORS: [&str; 3] = ["sh", "-c", "ls -l /proc/$$/fd; true"];

/// Number and target of each descriptor in the output of [`LIST_DESCRIPTORS`], from lines such
/// as `… 1 -> socket:[26655]`.
pub fn descriptors(listing: &str) -> Vec<(String, String)> {
    let lines = listing.lines().filter_map(|line| line.split_once(" -> "));
    let parsed = lines.map(|(left, target)| {
        let number = left.rsplit(' ').next().unwrap_or_default();
        (number.to_owned(), target.to_owned())
    });
    parsed.collect()
}

/// The numbers of the descriptors that any child of ours has: what this process was given by its
/// own parent goes to all of them.
#[track_caller]
pub fn plain_descriptors(dir: &TempDir) -> Vec<String> {
    let mut plain = tool(dir.path(), LIST_DESCRIPTORS[0]);
    plain.args(&LIST_DESCRIPTORS[1..]);
    let listing = String::from_utf8(run_to_end(plain).stdout).expect("text");
    descriptors(&listing).into_iter().map(|(number, _)| number).collect()
}

/// The processor time that a process has used, in ticks of 1/100 s.
#[track_caller]
pub fn ticks_of(pid: Pid) -> u64 {
    let stat = stat_of(pid.as_raw_nonzero().get()).expect("a running process");
    let number = |at: usize| stat[at].parse::<u64>().expect("a number");
    number(11) + number(12)
}

/// The fields of /proc/PID/stat from the third on: state, parent, … (proc(5)).
fn stat_of(pid: i32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The name in parentheses may hold blanks and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// The accounts that the tests of serving in process ask for.
pub mod house {
    use super::Bench;
    use crate::support::{by_name, group_reply, op, passwd_reply, shadow_reply};

    /// Members of the group `big`: its reply, of 800,019 bytes, fits into no socket buffer.
    pub const MEMBERS: usize = 100_000;

    /// Puts passwd, group (0644) and shadow (0600) into the directory of the server.
    #[track_caller]
    pub fn furnish(bench: &Bench) {
        bench.dir.accounts(
            "root:x:0:0:root:/root:/bin/sh\none:x:1001:1002:One:/home/one:/bin/sh\n",
            format!("small:x:5:one,two\n{}", big_line('m')),
            "root:secret:19000:0:99999:7:::\none:*:19001:0:99999:7:::\n",
        );
    }

    /// The line of `big`, its members' names beginning with `letter`.
    pub fn big_line(letter: char) -> String {
        let names = big_names(letter).join(",");
        format!("big:x:77:{names}\n")
    }

    fn big_names(letter: char) -> Vec<String> {
        (0..MEMBERS).map(|n| format!("{letter}{n:06}")).collect()
    }

    /// Asks for the user `one`.
    pub fn ask_one() -> Vec<u8> {
        by_name(op::PWD_GETBYNAME, "one")
    }

    /// What is known of `one`.
    pub fn one() -> Vec<u8> {
        passwd_reply(["one", "x"], 1001, 1002, ["One", "/home/one", "/bin/sh"])
    }

    /// Asks for the group `big`.
    pub fn ask_big() -> Vec<u8> {
        by_name(op::GRP_GETBYNAME, "big")
    }

    /// The group `big`.
    pub fn big() -> Vec<u8> {
        let names = big_names('m');
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        group_reply("big", "x", 77, &names)
    }

    /// Asks for the shadow entry of root.
    pub fn ask_secret() -> Vec<u8> {
        by_name(op::SHADOW_GETBYNAME, "root")
    }

    /// The shadow entry of root.
    pub fn secret() -> Vec<u8> {
        shadow_reply("root", "secret", [19_000, 0, 99_999, 7, -1, -1, -1])
    }

    /// The files alone, as a program for `ipcserver`.
    pub fn unix(bench: &Bench) -> Vec<&str> {
        vec!["nsssd-unix", "-d", bench.dir.as_str()]
    }

    /// The files behind a switch.
    pub fn switch(bench: &Bench) -> Vec<&str> {
        let mut program = vec!["nsssd-switch", "0"];
        program.extend(unix(bench));
        program.push("");
        program
    }

    /// Runs a case with the files alone and with a switch in front, in our server.
    #[track_caller]
    pub fn for_each_program(run: impl Fn(&Bench, &[&str])) {
        for program in [unix, switch] {
            let bench = Bench::new(super::OURS);
            furnish(&bench);
            let program = program(&bench);
            println!("with {}:", program[0]);
            run(&bench, &program);
        }
    }
}
