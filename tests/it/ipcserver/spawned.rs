//! `ipcserver` with a program of its own for each connection: what the program is given, how many
//! run, and what signals do. Each case runs with s6-ipcserver first.

use crate::support::ipcserver::{
    LIST_DESCRIPTORS, NOBODY, child_of, children_of, connect_as, connect_bound, descriptors, echo,
    for_each_server, plain_descriptors, read_to_end, write_script,
};
use crate::support::{self, Got, is_root, run_to_end, skip, tool, wait_until};
use rustix::net::SocketAddrUnix;
use rustix::process::{Signal, getegid, geteuid, kill_process};

/// `NAME=VALUE` of the output of `env`, `None` if it is not set.
fn variable<'a>(environment: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = environment.lines().filter_map(|line| line.split_once('='));
    lines.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn own_ids() -> (String, String) {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    (uid.to_string(), gid.to_string())
}

#[test]
fn a_program_is_told_who_its_client_is() {
    for_each_server("a_program_is_told_who_its_client_is", |bench| {
        let server = bench.start(&[], &["env"]);
        let environment = read_to_end(&server.connect());
        let (uid, gid) = own_ids();
        assert_eq!(variable(&environment, "PROTO"), Some("IPC"));
        assert_eq!(variable(&environment, "IPCREMOTEEUID"), Some(uid.as_str()));
        assert_eq!(variable(&environment, "IPCREMOTEEGID"), Some(gid.as_str()));
        assert_eq!(variable(&environment, "IPCREMOTEPATH"), Some(""));
        assert_eq!(variable(&environment, "IPCCONNNUM"), Some("1"));
        assert!(variable(&environment, "PATH").is_some(), "{environment}");
    });
}

#[test]
fn a_program_is_told_that_its_client_is_another_user() {
    if !is_root() {
        return skip("a_program_is_told_that_its_client_is_another_user", "needs root");
    }
    for_each_server("another user", |bench| {
        let server = bench.start(&[], &["env"]);
        let environment = read_to_end(&connect_as(&server, NOBODY, 65_533));
        assert_eq!(variable(&environment, "IPCREMOTEEUID"), Some("65534"));
        assert_eq!(variable(&environment, "IPCREMOTEEGID"), Some("65533"));
    });
}

#[test]
fn a_program_is_told_the_path_that_its_client_is_bound_to() {
    for_each_server("the path of a client", |bench| {
        let server = bench.start(&[], &["env"]);
        let path = bench.dir.join("a client=odd");
        let own = SocketAddrUnix::new(&path).expect("an address");
        let environment = read_to_end(&connect_bound(&server, &own));
        assert_eq!(variable(&environment, "IPCREMOTEPATH"), path.to_str());
    });
}

#[test]
fn an_abstract_name_of_a_client_is_no_path() {
    for_each_server("an abstract name", |bench| {
        let server = bench.start(&[], &["env"]);
        let name = format!("{}/client", bench.dir.as_str());
        let own = SocketAddrUnix::new_abstract_name(name.as_bytes()).expect("an address");
        let environment = read_to_end(&connect_bound(&server, &own));
        assert_eq!(variable(&environment, "IPCREMOTEPATH"), Some(""));
    });
}

#[test]
fn connections_are_counted_for_each_user() {
    for_each_server("connections are counted", |bench| {
        let server = bench.start(&[], &["sh", "-c", "echo \"$IPCCONNNUM\"; exec cat"]);
        let first = server.connect();
        first.expect(b"", b"1\n");
        let second = server.connect();
        second.expect(b"", b"2\n");
        if is_root() {
            connect_as(&server, NOBODY, NOBODY).expect(b"", b"1\n");
        }
        drop(first);
        wait_until("a place is given back", || server.connect().ask(b"", 2) == b"2\n");
        second.expect(b"still here", b"still here");
    });
}

#[test]
fn without_credentials_a_program_is_told_of_none() {
    for_each_server("-P", |bench| {
        let mut command = bench.command();
        // A program must not take what the server's own parent said for its client.
        command.envs([("IPCREMOTEEUID", "7"), ("IPCREMOTEEGID", "7"), ("IPCCONNNUM", "7")]);
        let server = bench.start_command(command, &["-P"], &["env"]);
        let environment = read_to_end(&server.connect());
        assert_eq!(variable(&environment, "PROTO"), Some("IPC"));
        assert_eq!(variable(&environment, "IPCREMOTEEUID"), None);
        assert_eq!(variable(&environment, "IPCREMOTEEGID"), None);
        assert_eq!(variable(&environment, "IPCREMOTEPATH"), Some(""));
        assert_eq!(variable(&environment, "IPCCONNNUM"), Some(""));
    });
}

#[test]
fn inherited_variables_give_way_to_those_of_the_client() {
    for_each_server("inherited variables", |bench| {
        let mut command = bench.command();
        command.envs([("PROTO", "TCP"), ("IPCREMOTEEUID", "77777"), ("IPCREMOTEPATH", "/odd")]);
        let server = bench.start_command(command, &[], &["env"]);
        let environment = read_to_end(&server.connect());
        let (uid, _) = own_ids();
        for (name, value) in [("PROTO", "IPC"), ("IPCREMOTEEUID", &uid), ("IPCREMOTEPATH", "")] {
            let start = format!("{name}=");
            let all: Vec<_> = environment.lines().filter(|line| line.starts_with(&start)).collect();
            assert_eq!(all, [format!("{name}={value}")]);
        }
    });
}

#[test]
fn a_program_has_the_socket_as_input_and_output_and_no_other_descriptor() {
    for_each_server("descriptors", |bench| {
        let server = bench.start(&[], &LIST_DESCRIPTORS);
        let _other = server.connect();
        let listing = read_to_end(&server.connect());
        let open = descriptors(&listing);
        let numbers: Vec<_> = open.iter().map(|d| d.0.clone()).collect();
        assert_eq!(numbers, plain_descriptors(&bench.dir), "{listing}");
        assert!(open[0].1.starts_with("socket:"), "{listing}");
        assert_eq!(open[0].1, open[1].1, "{listing}");
        assert_ne!(open[0].1, open[2].1, "{listing}");
    });
}

#[test]
fn a_program_starts_with_no_signal_blocked_or_ignored() {
    const SIGNALS: [&str; 4] = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"];
    // The first 31 only: those behind belong to the C library, which ignores them in a child.
    let parse = |status: &str| -> Vec<u64> {
        let sets = status.lines().filter_map(|line| line.split_once(":\t"));
        sets.map(|(_, set)| u64::from_str_radix(set, 16).expect("hexadecimal") & 0x7fff_ffff)
            .collect()
    };
    for_each_server("signals of a program", |bench| {
        let server = bench.start(&[], &SIGNALS);
        let mut plain = tool(bench.dir.path(), SIGNALS[0]);
        plain.args(&SIGNALS[1..]);
        let plain = String::from_utf8(run_to_end(plain).stdout).expect("text");
        assert_eq!(parse(&plain).len(), 2, "{plain}");
        assert_eq!(parse(&read_to_end(&server.connect())), parse(&plain));
    });
}

#[test]
fn the_end_of_the_clients_output_reaches_the_program() {
    for_each_server("half close", |bench| {
        let server = bench.start(&[], &["sh", "-c", "cat; echo end"]);
        let client = server.connect();
        client.send(b"question\n");
        client.half_close();
        assert_eq!(read_to_end(&client), "question\nend\n");
    });
}

#[test]
fn programs_that_ended_are_waited_for() {
    for_each_server("no zombies", |bench| {
        let server = bench.start(&[], &["true"]);
        for _ in 0..20 {
            read_to_end(&server.connect());
        }
        wait_until("no child is left", || children_of(server.pid()).is_empty());
    });
}

#[test]
fn clients_that_leave_at_once_do_no_harm() {
    for_each_server("clients that leave", |bench| {
        let server = bench.start(&["-c", "2"], &["sh", "-c", "echo hello; exec cat"]);
        for _ in 0..20 {
            drop(server.connect());
        }
        server.connect().expect(b"", b"hello\n");
        wait_until("no child is left", || children_of(server.pid()).is_empty());
    });
}

#[test]
fn over_the_limit_clients_wait_until_one_has_ended() {
    for_each_server("-c", |bench| {
        let mut server = bench.start(&["-c", "2"], &["cat"]);
        let (first, second) = (echo(&server), echo(&server));
        let third = server.connect();
        third.send(b"patience");
        third.expect_silence();
        second.expect(b"served", b"served");
        drop(first);
        third.expect(b"", b"patience");
        server.stop();
    });
}

#[test]
fn a_client_over_the_limit_of_its_user_is_closed_at_once() {
    for_each_server("-C", |bench| {
        let server = bench.start(&["-v", "-C", "1"], &["cat"]);
        let first = echo(&server);
        server.connect().expect_eof();
        let (uid, gid) = own_ids();
        let deny = bench.info(&format!("deny {uid}:{gid} count 1/1"));
        wait_until("the refusal is named", || {
            // The reference adds errno, which has no meaning there.
            server.stderr().contains(deny.trim_end())
        });
        if is_root() {
            let other = connect_as(&server, NOBODY, NOBODY);
            other.expect(b"another user", b"another user");
        }
        first.expect(b"still here", b"still here");
        drop(first);
        wait_until("a place is given back", || {
            let next = server.connect();
            next.try_send(b"x").is_ok() && next.recv(support::DEADLINE) == Got::Bytes(b"x".into())
        });
    });
}

#[test]
fn without_credentials_there_is_no_limit_for_a_user() {
    for_each_server("-P -C", |bench| {
        let server = bench.start(&["-P", "-C", "1"], &["cat"]);
        let _first = echo(&server);
        echo(&server);
    });
}

#[test]
fn a_program_that_cannot_be_executed_closes_the_connection() {
    for_each_server("no program", |bench| {
        let mut server = bench.start(&[], &["/nonexistent/program"]);
        for _ in 0..3 {
            server.connect().expect_eof();
        }
        wait_until("the program is named", || server.stderr().contains("/nonexistent/program"));
        assert!(server.running());
        assert_eq!(server.stop().code(), Some(0));
    });
}

#[test]
fn a_program_that_appears_later_is_executed() {
    for_each_server("a late program", |bench| {
        let program = bench.dir.join("late");
        let server = bench.start(&[], &[program.to_str().expect("text")]);
        server.connect().expect_eof();
        write_script(&program, "echo here");
        assert_eq!(read_to_end(&server.connect()), "here\n");
    });
}

#[test]
fn the_log_tells_of_each_connection() {
    let (uid, gid) = own_ids();
    for (script, end) in
        [("exit 0", "exitcode 0"), ("exit 3", "exitcode 3"), ("kill -9 $$", "signal 9")]
    {
        for_each_server("-v", |bench| {
            let script = format!("echo $$; {script}");
            let mut server = bench.start(&["-v", "-c", "40"], &["sh", "-c", &script]);
            let pid = read_to_end(&server.connect());
            let pid = pid.trim();
            wait_until("the end is told", || server.stderr().matches("status: 0/40").count() == 2);
            assert_eq!(server.stop().code(), Some(0));
            let expected = [
                "starting",
                "status: 0/40",
                &format!("allow {uid}:{gid} pid {pid} count 1/40"),
                "status: 1/40",
                &format!("end pid {pid} uid {uid} {end}"),
                "status: 0/40",
                "received SIGTERM, quitting",
                "exiting",
            ];
            let expected: String = expected.iter().map(|line| bench.info(line)).collect();
            assert_eq!(server.stderr(), expected);
        });
    }
}

#[test]
fn the_log_has_question_marks_for_an_unknown_client() {
    for_each_server("-P -v", |bench| {
        let server = bench.start(&["-P", "-v", "-c", "40"], &["cat"]);
        let first = echo(&server);
        let pid = child_of(server.pid()).as_raw_nonzero();
        let allow = bench.info(&format!("allow ?:? pid {pid} count ?/40"));
        wait_until("the client is told", || server.stderr().contains(&allow));
        drop(first);
        let end = bench.info(&format!("end pid {pid} uid ? exitcode 0"));
        wait_until("the end is told", || server.stderr().contains(&end));
    });
}

#[test]
fn without_v_there_is_no_log() {
    for_each_server("no -v", |bench| {
        for options in [&[][..], &["-q"], &["-Q"]] {
            let mut server = bench.start(options, &["true"]);
            read_to_end(&server.connect());
            assert_eq!(server.stop().code(), Some(0));
            assert_eq!(server.stderr(), "");
        }
    });
}

#[test]
fn sigterm_ends_the_server_and_leaves_programs_alone() {
    for_each_server("SIGTERM", |bench| {
        let mut server = bench.start(&["-v"], &["cat"]);
        let client = echo(&server);
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(0));
        client.expect(b"still here", b"still here");
        let log = server.stderr();
        let last = bench.info("received SIGTERM, quitting") + &bench.info("exiting");
        assert!(log.ends_with(&last), "{log}");
    });
}

#[test]
fn sighup_ends_programs_and_the_server_goes_on() {
    for_each_server("SIGHUP", |bench| {
        let mut server = bench.start(&["-v"], &["cat"]);
        let client = echo(&server);
        // A stopped program shows that SIGCONT is sent as well.
        kill_process(child_of(server.pid()), Signal::STOP).expect("stop the program");
        server.signal(Signal::HUP);
        client.expect_eof();
        echo(&server);
        assert!(server.running());
        let line = bench.info("received SIGHUP, sending SIGTERM+SIGCONT to all connections");
        assert!(server.stderr().contains(&line), "{}", server.stderr());
    });
}

#[test]
fn sigquit_ends_programs_and_the_server() {
    for_each_server("SIGQUIT", |bench| {
        let mut server = bench.start(&["-v"], &["cat"]);
        let (first, second) = (echo(&server), echo(&server));
        for child in children_of(server.pid()) {
            kill_process(child, Signal::STOP).expect("stop the program");
        }
        server.signal(Signal::QUIT);
        assert_eq!(server.wait().code(), Some(0));
        first.expect_eof();
        second.expect_eof();
        let line =
            bench.info("received SIGQUIT, sending SIGTERM+SIGCONT to all connections and quitting");
        assert!(server.stderr().contains(&line), "{}", server.stderr());
    });
}

#[test]
fn a_program_that_ignores_sigterm_outlives_sigquit_but_not_sigabrt() {
    for_each_server("SIGABRT", |bench| {
        let stubborn = ["sh", "-c", "trap '' TERM; exec cat"];
        let mut server = bench.start(&[], &stubborn);
        let client = echo(&server);
        server.signal(Signal::QUIT);
        assert_eq!(server.wait().code(), Some(0));
        client.expect(b"still here", b"still here");

        let mut server = bench.start(&["-v"], &stubborn);
        let client = echo(&server);
        server.signal(Signal::ABORT);
        assert_eq!(server.wait().code(), Some(0));
        client.expect_eof();
        let line = bench.info("received SIGABRT, sending SIGKILL to all connections and quitting");
        assert!(server.stderr().contains(&line), "{}", server.stderr());
    });
}

#[test]
fn readiness_is_a_newline_and_then_the_end_of_standard_output() {
    for_each_server("-1", |bench| {
        // The newline itself is awaited, and compared, by each start.
        let server = bench.start(&[], &["true"]);
        server.ready().expect_eof();
        assert_eq!(read_to_end(&server.connect()), "");

        let socket = bench.dir.join("quiet");
        let mut command = bench.command();
        command.arg(&socket).arg("true");
        let server = support::Server::spawn(command, &socket);
        server.ready().expect_eof();
        wait_until("the socket is there", || socket.exists());
    });
}
