//! `ipcserver` as a service: activation and readiness, files that change, `--spawn`, what it asks
//! of the system, and our daemons under s6's own server.

use crate::support::ipcserver::house::{
    MEMBERS, ask_big, ask_one, ask_secret, big, big_line, for_each_program, furnish, one, secret,
    switch, unix,
};
use crate::support::ipcserver::{
    Bench, NOBODY, OURS, REFERENCE, child_of, children_of, connect_as, descriptors, echo,
    plain_descriptors, read_bytes_to_end, read_to_end,
};
use crate::support::procfs;
use crate::support::stage;
use crate::support::{
    self, Captured, Connection, DEADLINE, Server, have_program, is_root, skip, wait_for_exit,
    wait_until,
};
use rustix::process::{Signal, kill_process};
use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::process::{Child, Stdio};

/// A server that was given its socket. Killed when dropped.
struct Activated {
    child: Child,
    stderr: Captured,
}

impl Activated {
    /// Runs the server with `listener` as descriptor 3; `pid` is what LISTEN_PID says, to a shell.
    #[track_caller]
    fn start(bench: &Bench, listener: &UnixListener, pid: &str, arguments: &[&str]) -> Activated {
        let stderr = Captured::new();
        let setup = format!("export LISTEN_FDS=1 LISTEN_PID={pid}; exec 3<&0 </dev/null");
        let listener = listener.try_clone().expect("one more descriptor");
        let child = bench
            .command_after(&setup)
            .args(arguments)
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::null())
            .stderr(stderr.stdio())
            .spawn()
            .expect("start the server");
        Activated { child, stderr }
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_socket_passed_by_the_supervisor_is_served() {
    let bench = Bench::new(OURS);
    furnish(&bench);
    let path = bench.dir.join("s");
    for (program, request, reply) in
        [(unix(&bench), ask_one(), one()), (vec!["cat"], b"echo".to_vec(), b"echo".to_vec())]
    {
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("bind");
        let mut arguments = vec![path.to_str().expect("text")];
        arguments.extend(program);
        let mut server = Activated::start(&bench, &listener, "$$", &arguments);
        // The supervisor listens from the start: a client need not wait.
        let client = Connection::connect(&path);
        client.send(&request);
        let mut got = client.recv(DEADLINE);
        if let support::Got::Bytes(bytes) = &mut got {
            let rest = reply.len() - bytes.len();
            bytes.extend(client.recv_exact(rest));
        }
        assert_eq!(got, support::Got::Bytes(reply), "{}", server.stderr.text());
        drop(client);
        kill_process(rustix::process::Pid::from_child(&server.child), Signal::TERM).expect("kill");
        assert_eq!(wait_for_exit(&mut server.child).code(), Some(0));
        // It belongs to the supervisor, which goes on listening.
        assert!(path.exists());
        Connection::connect(&path);
    }
}

#[test]
fn a_program_does_not_inherit_the_socket_of_the_supervisor() {
    let bench = Bench::new(OURS);
    let path = bench.dir.join("s");
    let listener = UnixListener::bind(&path).expect("bind");
    let mut arguments = vec![path.to_str().expect("text")];
    arguments.extend(["sh", "-c", "ls -l /proc/$$/fd; env | grep ^LISTEN_; true"]);
    let _server = Activated::start(&bench, &listener, "$$", &arguments);
    let said = read_to_end(&Connection::connect(&path));
    let numbers: Vec<_> = descriptors(&said).into_iter().map(|d| d.0).collect();
    assert_eq!(numbers, plain_descriptors(&bench.dir), "{said}");
    assert!(!said.contains("LISTEN_"), "{said}");
}

#[test]
fn a_socket_passed_to_another_process_is_left_alone() {
    let bench = Bench::new(OURS);
    let other = bench.dir.join("other");
    let listener = UnixListener::bind(&other).expect("bind");
    let path = bench.dir.join("s");
    let arguments = [path.to_str().expect("text"), "cat"];
    let _server = Activated::start(&bench, &listener, "1", &arguments);
    wait_until("the server listens on its own socket", || path.exists());
    wait_until("the server answers", || std::os::unix::net::UnixStream::connect(&path).is_ok());
    Connection::connect(&path).expect(b"echo", b"echo");
    let unserved = Connection::connect(&other);
    unserved.send(b"echo");
    unserved.expect_silence();
}

#[test]
fn the_supervisor_is_notified_when_the_server_is_ready() {
    let bench = Bench::new(OURS);
    furnish(&bench);
    let path = bench.dir.join("notify");
    let name = format!("{}/notify", bench.dir.as_str());
    let by_path = UnixDatagram::bind(&path).expect("bind");
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let by_name = UnixDatagram::bind_addr(&address).expect("bind");
    for (supervisor, value) in
        [(by_path, path.to_str().expect("text").to_owned()), (by_name, format!("@{name}"))]
    {
        supervisor.set_read_timeout(Some(DEADLINE)).expect("deadline");
        for program in [unix(&bench), vec!["cat"]] {
            let socket = bench.dir.join("s");
            let mut command = bench.command();
            command.env("NOTIFY_SOCKET", &value).arg(&socket).args(program);
            // Without -1: the message alone is the sign.
            let mut server = Server::spawn(command, &socket);
            let mut message = [0; 200];
            let n = supervisor.recv(&mut message).expect("a message");
            let message = std::str::from_utf8(&message[..n]).expect("text");
            assert!(message.lines().any(|line| line == "READY=1"), "{message}");
            drop(server.connect());
            assert_eq!(server.stop().code(), Some(0));
        }
    }
}

#[test]
fn a_supervisor_that_is_gone_stops_nothing() {
    let bench = Bench::new(OURS);
    let mut command = bench.command();
    command.env("NOTIFY_SOCKET", bench.dir.join("missing"));
    let server = bench.start_command(command, &[], &["cat"]);
    echo(&server);
}

#[test]
fn a_replaced_file_is_seen_by_the_next_question() {
    for_each_program(|bench, program| {
        let server = bench.start(&[], program);
        let client = server.connect();
        for n in 0..50_u32 {
            // Once as vipw does, once in place, as long as before.
            let uid = 1000 + n;
            let line = format!("one:x:{uid}:1002:One:/home/one:/bin/sh\n");
            if n % 2 == 0 {
                bench.dir.replace("passwd", &line);
            } else {
                bench.dir.write("passwd", &line);
            }
            let texts = ["One", "/home/one", "/bin/sh"];
            let expected = support::passwd_reply(["one", "x"], uid, 1002, texts);
            client.expect(&ask_one(), &expected);
            client.expect(&ask_one(), &expected);
        }
        fs::remove_file(bench.dir.join("passwd")).expect("remove");
        client.expect(&ask_one(), &[2]);
    });
}

#[test]
fn a_file_that_changes_under_a_large_reply_never_makes_a_wrong_one() {
    type Change = fn(&Bench);
    let changes: [(&str, Change); 5] = [
        ("replaced", |bench| {
            bench.dir.replace("group", big_line('w'));
        }),
        ("overwritten", |bench| {
            let mut file =
                fs::OpenOptions::new().write(true).open(bench.dir.join("group")).expect("open");
            let small = "small:x:5:one,two\n";
            let content = format!("{small}{}", big_line('w'));
            file.write_all(content.as_bytes()).expect("write");
        }),
        ("cut in half", |bench| {
            let file =
                fs::OpenOptions::new().write(true).open(bench.dir.join("group")).expect("open");
            file.set_len(4 * MEMBERS as u64).expect("truncate");
        }),
        ("emptied", |bench| {
            bench.dir.write("group", "");
        }),
        ("removed", |bench| {
            fs::remove_file(bench.dir.join("group")).expect("remove");
        }),
    ];
    for_each_program(|bench, program| {
        for (name, change) in changes {
            furnish(bench);
            let mut command = bench.command();
            command.env("NSSSD_TIMEOUT", "20000");
            let server = bench.start_command(command, &[], program);
            let client = server.connect();
            client.send(&ask_big());
            let mut got = client.recv_exact(13);
            change(bench);
            client.half_close();
            got.extend(read_bytes_to_end(&client));
            let complete = got.len() >= big().len();
            println!("{name}: {} bytes", got.len());
            // The old one is right where its file is whole, if without a name.
            assert!(!complete || got == big(), "{name}: a wrong reply");
            let whole = ["replaced", "removed"].contains(&name);
            assert!(!complete || whole, "{name}: {} bytes", got.len());
            server.connect().expect(&ask_one(), &one());
        }
    });
}

#[test]
fn spawn_makes_a_process_for_each_connection() {
    for_each_program(|bench, program| {
        let mut server = bench.start(&["--spawn"], program);
        let client = server.connect();
        client.expect(&ask_one(), &one());
        let child = child_of(server.pid());
        let pid = child.as_raw_nonzero();
        let environment = fs::read(format!("/proc/{pid}/environ")).expect("its environment");
        let environment = String::from_utf8_lossy(&environment).into_owned();
        let uid = format!("IPCREMOTEEUID={}", rustix::process::geteuid().as_raw());
        assert!(environment.split('\0').any(|v| v == uid), "{environment}");
        let other = server.connect();
        other.expect(&ask_big(), &big());
        assert_eq!(children_of(server.pid()).len(), 2);
        kill_process(child, Signal::KILL).expect("kill the child");
        client.expect_eof();
        other.expect(&ask_secret(), &secret());
        if is_root() && !support::others_can_run_it() {
            skip("spawn_makes_a_process_for_each_connection", "others cannot run what was built");
        } else if is_root() {
            let nobody = connect_as(&server, NOBODY, NOBODY);
            nobody.expect(&ask_secret(), &[13]);
            nobody.expect(&ask_one(), &one());
        }
        drop(other);
        wait_until("no child is left", || children_of(server.pid()).is_empty());
        assert_eq!(server.stop().code(), Some(0));
    });
}

#[test]
fn a_foreign_backend_that_hangs_holds_up_its_client_alone() {
    let bench = Bench::new(OURS);
    furnish(&bench);
    let mut program = switch(&bench);
    program.extend(["0", "sh", "-c", "exec cat >/dev/null", ""]);
    let mut server = bench.start(&[], &program);
    let hanging = server.connect();
    hanging.send(&support::by_name(support::op::PWD_GETBYNAME, "missing"));
    for _ in 0..3 {
        server.connect().expect(&ask_one(), &one());
    }
    hanging.expect_silence();
    // As with nsss, the switch of that client waits on; this ends it, and so its backends.
    server.signal(Signal::ABORT);
    assert_eq!(server.wait().code(), Some(0));
    hanging.expect_eof();
}

/// A server under strace, `None` where that does not work; `strace` ends with it.
#[track_caller]
fn start_traced(bench: &Bench, program: &[&str]) -> Option<Server> {
    // One that has just changed is read again for each question.
    stage::settle(&bench.dir.join("passwd"));
    let mut command = support::tool(&bench.dir.join("bin"), "strace");
    command.args(["-f", "-o"]).arg(bench.dir.join("trace"));
    command.arg(bench.dir.join("bin").join("ipcserver"));
    let socket = bench.dir.join("s");
    command.arg("-1").arg(&socket).args(program);
    let server = Server::spawn(command, &socket);
    if server.ready().recv(DEADLINE) != support::Got::Bytes(b"\n".into()) {
        let why = format!("strace does not work here: {}", server.stderr());
        skip("start_traced", &why);
        return None;
    }
    Some(server)
}

/// Ends a traced server; its system calls, start and end included.
#[track_caller]
fn calls_until_its_end(bench: &Bench, mut server: Server) -> Vec<String> {
    kill_process(child_of(server.pid()), Signal::TERM).expect("end the server");
    assert_eq!(server.wait().code(), Some(0));
    let trace = fs::read_to_string(bench.dir.join("trace")).expect("a trace");
    let calls = trace.lines().filter_map(|line| line.split_once(' '));
    let calls = calls.map(|(_pid, call)| call.trim_start());
    calls.filter(|call| !call.starts_with(['-', '+', '<'])).map(str::to_owned).collect()
}

/// How many system calls a server makes for `questions` on one connection, start and end included.
#[track_caller]
fn system_calls(bench: &Bench, program: &[&str], questions: usize) -> Option<usize> {
    let server = start_traced(bench, program)?;
    let client = server.connect();
    for _ in 0..questions {
        client.expect(&ask_one(), &one());
    }
    drop(client);
    let calls = calls_until_its_end(bench, server);
    for forbidden in ["fork", "vfork", "clone", "clone3", "execve", "execveat"] {
        let made = calls.iter().filter(|call| call.split('(').next() == Some(forbidden));
        // The first execve is strace's own, of the server.
        let most = usize::from(forbidden == "execve");
        assert!(made.count() <= most, "{forbidden} in {calls:?}");
    }
    Some(calls.len())
}

#[test]
fn a_question_takes_six_system_calls_at_most_and_no_process() {
    const NAME: &str = "a_question_takes_six_system_calls_at_most_and_no_process";
    if !have_program("strace") {
        return skip(NAME, "strace is not installed");
    }
    for_each_program(|bench, program| {
        let few = system_calls(bench, program, 10);
        let many = system_calls(bench, program, 210);
        if let (Some(few), Some(many)) = (few, many) {
            let each = (many - few).div_ceil(200);
            println!("{each} system calls for a question");
            assert!(each <= 6, "{each} system calls for a question");
            assert!(each >= 2, "{each} system calls: the trace is not right");
        }
    });
}

#[test]
fn clients_that_ask_together_share_one_look_at_the_file() {
    const NAME: &str = "clients_that_ask_together_share_one_look_at_the_file";
    const ROUNDS: usize = 10;
    if !have_program("strace") {
        return skip(NAME, "strace is not installed");
    }
    for_each_program(|bench, program| {
        let Some(server) = start_traced(bench, program) else { return };
        let pid = child_of(server.pid());
        let clients: Vec<_> = (0..16).map(|_| server.connect()).collect();
        clients.iter().for_each(|client| client.expect(&ask_one(), &one()));
        for _ in 0..ROUNDS {
            kill_process(pid, Signal::STOP).expect("stop the server");
            wait_until("it has stopped", || matches!(procfs::state(pid), Some('T' | 't')));
            clients.iter().for_each(|client| client.send(&ask_one()));
            kill_process(pid, Signal::CONT).expect("let the server go on");
            clients.iter().for_each(|client| client.expect(&[], &one()));
        }
        drop(clients);
        let calls = calls_until_its_end(bench, server);
        let looks = calls.iter().filter(|call| call.contains("stat") && call.contains("passwd"));
        let (least, most) = (16 + ROUNDS, 16 + 3 * ROUNDS);
        let looks = looks.count();
        assert!((least..=most).contains(&looks), "{looks} looks for {} questions", 16 * ROUNDS);
    });
}

#[test]
fn our_daemons_answer_under_the_server_of_s6() {
    const NAME: &str = "our_daemons_answer_under_the_server_of_s6";
    if !have_program(REFERENCE.program) {
        return skip(NAME, "s6-ipcserver is not installed");
    }
    let drop_rights: &[&str] = &["-u", "65534", "-g", "65534", "-G", ""];
    for options in [&[], drop_rights] {
        if !options.is_empty() && !is_root() {
            skip(NAME, "needs root to be another user");
            continue;
        }
        let bench = Bench::new(REFERENCE).open_to_all();
        furnish(&bench);
        for program in [unix(&bench), switch(&bench)] {
            let server = bench.start(options, &program);
            let client = server.connect();
            client.expect(&ask_one(), &one());
            client.expect(&ask_big(), &big());
            if options.is_empty() {
                client.expect(&ask_secret(), &secret());
            } else {
                client.expect(&ask_secret(), &[13]);
            }
            if is_root() {
                let nobody = connect_as(&server, NOBODY, NOBODY);
                nobody.expect(&ask_one(), &one());
                nobody.expect(&ask_secret(), &[13]);
            }
        }
    }
}

/// Says all that a supervisor is told until it has heard `text` so often.
fn heard(supervisor: &UnixDatagram, text: &str, times: usize) {
    let mut message = [0; 200];
    let mut left = times;
    while left > 0 {
        let len = supervisor.recv(&mut message).expect("a message");
        left -= usize::from(message[..len] == *text.as_bytes());
    }
}

#[test]
fn a_supervisor_that_wants_to_know_is_told_that_the_server_still_serves() {
    let bench = Bench::new(OURS);
    furnish(&bench);
    let path = bench.dir.join("notify");
    let supervisor = UnixDatagram::bind(&path).expect("bind");
    supervisor.set_read_timeout(Some(DEADLINE)).expect("deadline");
    for program in [unix(&bench), vec!["sh", "-c", "echo ${WATCHDOG_USEC-none}; cat"]] {
        let mut command = bench.command();
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "20000");
        let mut server = bench.start_command(command, &[], &program);
        heard(&supervisor, "READY=1\n", 1);
        // With nobody there, and with clients.
        heard(&supervisor, "WATCHDOG=1\n", 3);
        let client = server.connect();
        match program[0] {
            "sh" => client.expect(b"", b"none\n"),
            _ => client.expect(&ask_one(), &one()),
        }
        heard(&supervisor, "WATCHDOG=1\n", 3);
        // A supervisor that does not listen holds up nobody.
        support::wait_until("its queue is full", || {
            UnixDatagram::unbound()
                .and_then(|other| {
                    other.set_nonblocking(true)?;
                    other.send_to(b"x", &path)
                })
                .is_err()
        });
        drop(server.connect());
        if program[0] != "sh" {
            client.expect(&ask_one(), &one());
        }
        assert_eq!(server.stop().code(), Some(0));
        supervisor.set_nonblocking(true).expect("no waiting");
        while supervisor.recv(&mut [0; 200]).is_ok() {}
        supervisor.set_nonblocking(false).expect("waiting");
    }
    // For another process, and for nobody: nothing.
    for (name, value) in [("WATCHDOG_PID", "1"), ("WATCHDOG_USEC", "0")] {
        let mut command = bench.command();
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "2000").env(name, value);
        let mut server = bench.start_command(command, &[], &unix(&bench));
        for _ in 0..3 {
            server.connect().expect(&ask_one(), &one());
        }
        assert_eq!(server.stop().code(), Some(0));
        let mut message = [0; 200];
        let len = supervisor.recv(&mut message).expect("a message");
        assert_eq!(&message[..len], b"READY=1\n");
        supervisor.set_nonblocking(true).expect("no waiting");
        assert!(supervisor.recv(&mut message).is_err());
        supervisor.set_nonblocking(false).expect("waiting");
    }
}
