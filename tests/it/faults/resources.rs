//! Servers that run out of what the system gives: descriptors, memory, processes, room for their
//! log. They fail what they cannot do, serve what they can, and are well when there is more again.
#![cfg(all(
    feature = "ipcserver",
    feature = "nscd",
    feature = "nsssd-nslcd",
    feature = "nsssd-switch",
    feature = "nsssd-unix"
))]

use crate::support::ipcserver::house::{ask_big, ask_one, big, furnish, one, switch, unix};
use crate::support::ipcserver::{Bench, OURS};
use crate::support::nscd::{self, ask, asked, group, no_user, request, user};
use crate::support::procfs;
use crate::support::stage::{Stage, big_group};
use crate::support::{
    self, Connection, Daemon, Got, Server, TempDir, by_id, by_name, op, passwd_reply, receive_all,
    wait_until,
};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const ADA: &str = "ada:*:1001:1001:Ada:/home/ada:/bin/sh";
const NET: &str = "net:*:5000:5000:::";

/// Sets a soft limit of a process, and sets it back when dropped.
struct Limited(Pid, Resource, Rlimit);

impl Limited {
    #[track_caller]
    fn new(pid: Pid, resource: Resource, limit: u64) -> Limited {
        // What we may at most, so may our children.
        let maximum = getrlimit(resource).maximum;
        let before = prlimit(Some(pid), resource, Rlimit { current: Some(limit), maximum });
        let before = before.expect("prlimit");
        Limited(pid, resource, before)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = prlimit(Some(self.0), self.1, self.2);
    }
}

/// As many descriptors as a process has now, whatever high numbers it inherited.
#[track_caller]
fn no_more_descriptors(pid: Pid) -> Limited {
    let open: Vec<u64> = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()))
        .expect("/proc")
        .filter_map(|entry| entry.expect("/proc").file_name().to_str()?.parse().ok())
        .collect();
    let free = (0..).find(|fd| !open.contains(fd)).expect("a number");
    Limited::new(pid, Resource::Nofile, free)
}

/// No memory that it does not have yet.
#[track_caller]
fn no_more_memory(pid: Pid) -> Limited {
    Limited::new(pid, Resource::As, 4096)
}

#[test]
fn a_server_out_of_memory_serves_on() {
    let bench = Bench::new(OURS);
    furnish(&bench);
    for program in [unix(&bench), switch(&bench)] {
        let mut server = bench.start(&[], &program);
        let early = server.connect();
        let _limit = no_more_memory(server.pid());
        for round in 0..3 {
            let clients: Vec<Connection> = (0..50).map(|_| server.connect()).collect();
            for client in clients.iter().chain([&early]) {
                client.expect(&ask_one(), &one());
                client.expect(&by_id(op::PWD_GETBYUID, 4), &[255]);
            }
            early.expect(&ask_big(), &big());
            early.expect(
                &[op::GRP_GET, op::GRP_END],
                &support::group_reply("small", "x", 5, &["one", "two"]),
            );
            early.expect(b"", &[0]);
            // Read anew.
            furnish(&bench);
            assert!(server.running(), "round {round}");
        }
        assert_eq!(server.stop().code(), Some(0));
        let bench = nscd::Bench::new(&format!("{ADA}\n"), &big_group("big", 77, 'm'));
        let mut server = bench.serve(&[]);
        let _limit = no_more_memory(server.pid());
        for _ in 0..50 {
            assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
            assert_eq!(asked(server.socket(), &request(ask::USER, "none")), no_user());
        }
        let got = asked(server.socket(), &request(ask::GROUP, "big"));
        assert!(got == group(&big_group("big", 77, 'm')), "{} bytes", got.len());
        assert_eq!(server.stop().code(), Some(0));
    }
}

#[test]
fn a_server_with_too_little_memory_at_its_start_serves_well_or_not_at_all() {
    let bench = Bench::new(OURS);
    furnish(&bench);
    let (mut served, mut ended) = (0, 0);
    // KiB of address space: from too little for the loader to more than enough.
    for limit in (1000..30_000).step_by(700) {
        let socket = bench.dir.join("s");
        let mut command = bench.command_after(&format!("ulimit -v {limit}"));
        command.arg("-1").arg(&socket).args(unix(&bench));
        let mut server = Server::spawn(command, &socket);
        if server.ready().recv(support::DEADLINE) == Got::Bytes(b"\n".into()) {
            served += 1;
            let clients: Vec<Connection> = (0..50).map(|_| server.connect()).collect();
            for client in &clients {
                client.expect(&ask_one(), &one());
            }
            clients[0].expect(&ask_big(), &big());
            assert_eq!(server.stop().code(), Some(0), "{limit}");
        } else {
            ended += 1;
            assert_ne!(server.wait().code(), Some(0), "{limit}");
        }
    }
    assert!(served > 5 && ended > 2, "{served} served, {ended} ended");
}

#[test]
fn a_server_that_cannot_start_programs_closes_their_clients_until_it_can() {
    let bench = Bench::new(OURS);
    furnish(&bench);
    let mut server = bench.start(&["--spawn"], &unix(&bench));
    let early = server.connect();
    early.expect(&ask_one(), &one());
    let limit = no_more_memory(server.pid());
    for _ in 0..20 {
        let client = server.connect();
        let _ = client.try_send(&ask_one());
        let got = receive_all(&client);
        assert!(got.is_empty(), "{got:02x?}");
    }
    // Whoever has a program keeps it.
    early.expect(&ask_one(), &one());
    drop(limit);
    assert!(server.running());
    server.connect().expect(&ask_one(), &one());
    drop(early);
    wait_until("nobody is left", || procfs::children(server.pid()).is_empty());
    assert_eq!(server.stop().code(), Some(0));
}

/// nscd over local files and a program.
fn nscd_with_program() -> (nscd::Bench, Server) {
    let bench = nscd::Bench::new(&format!("{ADA}\n"), "");
    let other = bench.dir.subdirectory("other");
    fs::write(other.join("passwd"), format!("{NET}\n")).unwrap();
    fs::write(other.join("group"), "").unwrap();
    let dir = format!(" {}", other.display());
    let program = ["nsssd-switch", " 0", " nsssd-unix", " -d", &dir, " "];
    let server = bench.start(&["-t", "4000"], &[(3, &bench.unix()), (0, &program)]);
    (bench, server)
}

#[test]
fn an_nscd_out_of_memory_or_descriptors_answers_what_it_knows_itself() {
    for limit in [no_more_memory, no_more_descriptors] {
        let (_bench, mut server) = nscd_with_program();
        assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
        // Two for the clients below, none for an asker.
        let spare = [Connection::connect(server.socket()), Connection::connect(server.socket())];
        wait_until("both are there", || {
            spare.iter().all(|c| c.try_send(&request(ask::USER, "ada")[..1]).is_ok())
        });
        assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
        let limit = limit(server.pid());
        drop(spare);
        for _ in 0..10 {
            assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
            assert_eq!(asked(server.socket(), &request(ask::USER, "net")), b"");
        }
        drop(limit);
        wait_until("it is asked again", || {
            let got = asked(server.socket(), &request(ask::USER, "net"));
            assert!(got.is_empty() || got == user(NET), "{got:02x?}");
            !got.is_empty()
        });
        assert_eq!(server.stop().code(), Some(0));
    }
}

#[test]
fn a_daemon_out_of_descriptors_fails_and_does_not_miss() {
    let stage = Stage::with(format!("{ADA}\n"), "staff:x:5:ada\n");
    let own: &[&str] = &["nsssd-unix", "-d", stage.dir.as_str()];
    let ada = passwd_reply(["ada", "*"], 1001, 1001, ["Ada", "/home/ada", "/bin/sh"]);
    let lookup = by_name(op::PWD_GETBYNAME, "ada");
    for daemon in [stage.unix(), stage.switch(&[], &[(0, own)])] {
        // Nothing was opened yet.
        daemon.expect(&[op::PWD_END], &[0]);
        let limit = no_more_descriptors(daemon.pid());
        for request in [&lookup[..], &[op::PWD_GET], &[op::GRP_GET]] {
            daemon.expect(request, &[24]);
        }
        drop(limit);
        daemon.expect(&lookup, &ada);
        // Kept open: a lookup in a new version of it needs no further one.
        let _limit = no_more_descriptors(daemon.pid());
        stage.dir.replace("passwd", format!("root:*:0:0:::\n{ADA}\n"));
        daemon.expect(&lookup, &ada);
        daemon.expect(&[op::PWD_GET], &[24]);
    }
    let mut command = stage.applet("nsssd-nslcd");
    command.arg(stage.dir.join("nslcd"));
    let daemon = Daemon::start(command);
    daemon.expect(&[op::PWD_END], &[0]);
    let limit = no_more_descriptors(daemon.pid());
    daemon.expect(&lookup, &[24]);
    drop(limit);
    daemon.expect(&lookup, &[2]);
}

/// Where nothing can be written to.
fn full() -> Stdio {
    Stdio::from(File::options().write(true).open("/dev/full").expect("/dev/full"))
}

/// A log: on a full disk, or a pipe that its reader leaves alone.
enum Log {
    Full,
    Stuck {
        path: PathBuf,
        _reader: File,
    },
    /// A logger at a socket.
    Socket {
        ours: UnixStream,
        _reader: UnixStream,
    },
}

impl Log {
    #[track_caller]
    fn new(dir: &TempDir, jammed: bool) -> Log {
        if !jammed {
            return Log::Full;
        }
        let path = dir.join("log");
        let _ = fs::remove_file(&path);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).expect("a FIFO");
        let reader = at_once().read(true).open(&path).expect("its reader");
        Log::Stuck { path, _reader: reader }
    }

    fn stdio(&self) -> Stdio {
        match self {
            Log::Full => full(),
            Log::Socket { ours, .. } => Stdio::from(OwnedFd::from(ours.try_clone().unwrap())),
            Log::Stuck { path, .. } => {
                Stdio::from(File::options().write(true).open(path).expect("its writer"))
            }
        }
    }

    /// From now on there is no room in it.
    #[track_caller]
    fn fill(&self) {
        if let Log::Stuck { path, .. } = self {
            // A descriptor of our own, since the server's has to wait.
            let mut writer = at_once().write(true).open(path).expect("its writer");
            while writer.write(&[b'\n'; 256]).is_ok() {}
            while writer.write(b"\n").is_ok() {}
        }
        if let Log::Socket { ours, .. } = self {
            // Not by O_NONBLOCK, which would be the server's, too.
            let flags = rustix::net::SendFlags::DONTWAIT;
            while rustix::net::send(ours, b"x", flags).is_ok() {}
        }
    }

    fn socket() -> Log {
        let (ours, reader) = UnixStream::pair().unwrap();
        Log::Socket { ours, _reader: reader }
    }
}

/// Reads and writes nothing that would have to wait.
fn at_once() -> fs::OpenOptions {
    let mut options = File::options();
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    options
}

/// Starts a server with this for its log, which is full from then on. `-1` is among its words.
#[track_caller]
fn start_with_log(mut command: Command, log: &Log) -> Ending {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let theirs = OwnedFd::from(theirs);
    command.stdin(Stdio::null()).stdout(theirs).stderr(log.stdio());
    let server = Ending(command.spawn().expect("a server"));
    Connection::new(ours).expect(b"", b"\n");
    log.fill();
    server
}

/// Ends a server by SIGTERM, and a test that fails before that kills it.
struct Ending(std::process::Child);

impl Ending {
    #[track_caller]
    fn stop(mut self) {
        rustix::process::kill_process(Pid::from_child(&self.0), rustix::process::Signal::TERM)
            .unwrap();
        assert_eq!(support::wait_for_exit(&mut self.0).code(), Some(0));
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_log_that_cannot_be_written_stops_no_server() {
    for jammed in [false, true] {
        let bench = Bench::new(OURS);
        furnish(&bench);
        for (number, options) in
            [&["-v"][..], &["-v", "--spawn"], &["-v", "-C", "1"]].into_iter().enumerate()
        {
            let log = Log::new(&bench.dir, jammed);
            let socket = bench.dir.join(format!("s{number}"));
            let mut command = bench.command();
            command.arg("-1").args(options).arg(&socket).args(unix(&bench));
            let server = start_with_log(command, &log);
            // A program that another test starts may have the client before for a moment.
            for _ in 0..40 {
                wait_until("a place is free", || {
                    let client = Connection::connect(&socket);
                    let _ = client.try_send(&ask_one());
                    client.recv(support::DEADLINE) == Got::Bytes(one())
                });
            }
            server.stop();
        }
        let bench = nscd::Bench::new(&format!("{ADA}\n"), "");
        let log = Log::new(&bench.dir, jammed);
        let mut command = tool_without_q(&bench);
        command.args(["-v", "0"]).args(bench.unix()).arg("");
        let server = start_with_log(command, &log);
        for _ in 0..20 {
            assert_eq!(asked(&bench.socket(), &request(ask::USER, "ada")), user(ADA));
        }
        server.stop();
    }
}

/// nscd that is not quiet.
fn tool_without_q(bench: &nscd::Bench) -> Command {
    let mut command = support::tool(&bench.bin, "nscd");
    command.args(["-1", "-S"]).arg(bench.socket());
    command
}

/// Two names that share a uid by this key, of which the second is told.
const KEY: &str = "000102030405060708090a0b0c0d0e0f\n";
const SHARED: [&str; 2] = ["user3469", "user17288"];

#[test]
fn messages_of_a_map_stop_no_server() {
    for number in 0..3 {
        let bench = nscd::Bench::new(&format!("{ADA}\n"), "");
        let dir = bench.dir.as_str();
        bench.dir.write("key", KEY);
        bench.dir.chmod("key", 0o400);
        bench.dir.subdirectory("reg");
        let homes = bench.dir.subdirectory("homes");
        SHARED.iter().for_each(|name| fs::create_dir(homes.join(name)).unwrap());
        let template = "template dev:x:1879048192+134217728:=:dev";
        let config = format!(
            "nssmap 2\nkey {dir}/key\nregistry {dir}/reg/registry\nmap *\n  {template}:{dir}/homes:/bin/sh\n  require home\n"
        );
        let config = bench.dir.write("conf", config);
        let map = ["nsssd-map", "-f", config.to_str().unwrap()];
        for log in [Log::new(&bench.dir, true), Log::socket()] {
            let _ = fs::remove_file(bench.dir.join("reg/registry"));
            let mut command = support::tool(&bench.bin, ["nscd", "ipcserver", "ipcserver"][number]);
            match number {
                0 => command.args(["-1", "-q", "-S"]).arg(bench.socket()),
                1 => command.args(["-1", "-q"]).arg(bench.socket()).args(["nsssd-switch", "-m"]),
                _ => command.args(["-1", "-q", "--spawn"]).arg(bench.socket()).arg("nsssd-switch"),
            };
            fs::create_dir_all(bench.dir.join("run")).unwrap();
            command.arg("0").args(bench.unix()).arg("").arg("0").args(map).arg("");
            let server = start_with_log(command, &log);
            for name in [SHARED[0], SHARED[1], "ada", SHARED[1], "ada"] {
                if number == 0 {
                    let got = asked(&bench.socket(), &request(ask::USER, name));
                    assert!(name != "ada" || got == user(ADA));
                    continue;
                }
                let client = Connection::connect(&bench.socket());
                client.send(&by_name(op::PWD_GETBYNAME, name));
                let Got::Bytes(got) = client.recv(support::DEADLINE) else { panic!("{name}") };
                assert_eq!(got[0] == 0, name != SHARED[1], "{name}");
            }
            server.stop();
        }
    }
}

#[test]
fn messages_that_do_not_fit_on_the_disk_stop_no_daemon() {
    let stage = Stage::with(format!("bad line\n{ADA}\n"), "");
    let ada = passwd_reply(["ada", "*"], 1001, 1001, ["Ada", "/home/ada", "/bin/sh"]);
    let own: &[&str] = &["nsssd-unix", "-v", "-d", stage.dir.as_str()];
    let switched = stage.switch_command(&[], &[(0, own)]);
    let mut single = stage.applet("nsssd-unix");
    single.args(&own[1..]);
    for mut command in [single, switched] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        command.stdin(OwnedFd::from(theirs.try_clone().unwrap()));
        command.stdout(OwnedFd::from(theirs)).stderr(full());
        let mut child = command.spawn().unwrap();
        drop(command);
        let client = Connection::new(ours);
        client.expect(&by_name(op::PWD_GETBYNAME, "ada"), &ada);
        client.expect(&by_name(op::PWD_GETBYNAME, "bob"), &[255]);
        drop(client);
        assert_eq!(support::wait_for_exit(&mut child).code(), Some(0));
    }
}
