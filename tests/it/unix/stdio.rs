//! `nsssd-unix` and `nsssd-switch` on other things than a plain socket: pipes, files, sockets that
//! do not block or hold little, and clients that stop reading.
#![cfg(all(feature = "nsssd-switch", feature = "nsssd-unix"))]

use crate::support::naive::Naive;
use crate::support::stage::{Stage, big_group};
use crate::support::{
    Captured, Connection, DEADLINE, Got, assert_same_bytes, by_id, by_name, grouplist,
    grouplist_reply, op, run_to_end_with_input, wait_for_exit,
};
use rustix::net::sockopt::set_socket_send_buffer_size;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;

/// The daemons: files alone, a switch over them in process, and one over a program.
const WAYS: [&[&str]; 3] = [&["nsssd-unix"], &["nsssd-switch"], &["nsssd-switch", "--spawn"]];

fn command(stage: &Stage, way: &[&str]) -> Command {
    let own: &[&str] = &["nsssd-unix", "-d", stage.dir.as_str()];
    match way {
        ["nsssd-switch", options @ ..] => stage.switch_command(options, &[(0, own)]),
        _ => {
            let mut command = stage.applet("nsssd-unix");
            command.args(&own[1..]);
            command
        }
    }
}

/// Bytes of the first request of the conversation, and of its reply.
const REQUEST: usize = 5;
const REPLY: usize = 13 + "small x m000001 ".len();

/// A file with a large group, a conversation about it, and what has to be answered.
fn conversation() -> (String, Vec<u8>, Vec<u8>) {
    let text = format!("small:x:1:m000001\n{}last:x:2:\n", big_group("big", 77, 'm'));
    let requests = [
        by_id(op::GRP_GETBYGID, 1),
        by_name(op::GRP_GETBYNAME, "big"),
        by_name(op::GRP_GETBYNAME, "nobody"),
        vec![op::GRP_GET],
        vec![op::GRP_GET],
        vec![op::GRP_GET],
        grouplist(9, "m000001"),
    ];
    let mut naive = Naive::new("", &text, "");
    let replies = requests.iter().flat_map(|request| naive.answer(request)).collect();
    (text, requests.concat(), replies)
}

/// A daemon on a socket of the test's own making. Killed when dropped.
struct OnSocket {
    child: Child,
    client: Connection,
    stderr: Captured,
}

impl OnSocket {
    #[track_caller]
    fn start(mut command: Command, (ours, theirs): (UnixStream, UnixStream)) -> OnSocket {
        let stderr = Captured::new();
        command
            .stdin(OwnedFd::from(theirs.try_clone().expect("one more descriptor")))
            .stdout(OwnedFd::from(theirs))
            .stderr(stderr.stdio());
        let child = command.spawn().expect("a daemon");
        OnSocket { child, client: Connection::new(ours), stderr }
    }
}

impl Drop for OnSocket {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is done to a file of the stage.
type Change = fn(&Stage, &str);

#[test]
fn files_do_as_well() {
    let (text, requests, replies) = conversation();
    let stage = Stage::with("", text);
    for way in WAYS {
        for timeout in ["", "60000"] {
            let mut command = command(&stage, way);
            if !timeout.is_empty() {
                command.env("NSSSD_TIMEOUT", timeout);
            }
            let end = run_to_end_with_input(command, &requests);
            assert_eq!(end.code, Some(0), "{way:?}: {}", end.stderr);
            assert_same_bytes("standard output", &end.stdout, &replies);
        }
    }
}

#[test]
fn pipes_do_as_well() {
    let (text, requests, replies) = conversation();
    let stage = Stage::with("", text);
    for way in WAYS {
        let mut command = command(&stage, way);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a daemon");
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            output.read_to_end(&mut all).map(|_| all)
        });
        // Byte by byte, and then it waits for nothing more.
        for byte in &requests {
            input.write_all(&[*byte]).expect("send");
        }
        drop(input);
        assert_eq!(wait_for_exit(&mut child).code(), Some(0), "{way:?}");
        let got = reading.join().unwrap().expect("replies");
        assert_same_bytes("what came through the pipe", &got, &replies);
    }
}

#[test]
fn a_socket_that_does_not_block_does_as_well() {
    let (text, requests, replies) = conversation();
    let stage = Stage::with("", text);
    for way in WAYS {
        for timeout in ["0", "60000"] {
            let (ours, theirs) = UnixStream::pair().expect("a socket pair");
            theirs.set_nonblocking(true).expect("a socket that does not block");
            let mut command = command(&stage, way);
            command.env("NSSSD_TIMEOUT", timeout);
            let mut daemon = OnSocket::start(command, (ours, theirs));
            // It has to wait for a request, for the rest of it, and for room.
            daemon.client.expect_silence();
            daemon.client.send(&requests[..REQUEST + 2]);
            let first = daemon.client.recv_exact(REPLY);
            daemon.client.expect_silence();
            daemon.client.send(&requests[REQUEST + 2..]);
            let rest = daemon.client.recv_exact(replies.len() - REPLY);
            assert_same_bytes("replies", &[first, rest].concat(), &replies);
            daemon.client.expect(&[op::GRP_END], &[0]);
            daemon.client.half_close();
            daemon.client.expect_eof();
            assert_eq!(wait_for_exit(&mut daemon.child).code(), Some(0), "{way:?}");
        }
    }
}

#[test]
fn a_client_that_stops_reading_is_given_up_on_after_the_limit() {
    let (text, ..) = conversation();
    let stage = Stage::with("", text);
    for way in WAYS {
        let mut command = command(&stage, way);
        command.env("NSSSD_TIMEOUT", "300");
        let pair = UnixStream::pair().expect("a socket pair");
        let mut daemon = OnSocket::start(command, pair);
        daemon.client.send(&by_name(op::GRP_GETBYNAME, "big"));
        assert_eq!(wait_for_exit(&mut daemon.child).code(), Some(111), "{way:?}");
        let said = daemon.stderr.text();
        let want = format!("{}: fatal: unable to write to stdout: ", way[0]);
        assert!(said.lines().any(|line| line.starts_with(&want)), "{way:?}: {said}");
    }
}

/// A socket that takes little more than a piece of a reply before its reader has to read.
fn tight_pair() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    set_socket_send_buffer_size(&theirs, 1).expect("a small buffer");
    (ours, theirs)
}

#[test]
fn a_list_of_groups_never_mixes_two_versions_of_a_file() {
    let file = |first: u32| -> String {
        (0..5000).map(|number| format!("g:x:{}:bob\n", first + number)).collect()
    };
    let gids: Vec<u32> = (0..5000).collect();
    let whole = grouplist_reply(20_000, &gids);
    let changes: [(&str, Change); 4] = [
        ("replaced", |stage, other| drop(stage.dir.replace("group", other))),
        ("overwritten", |stage, other| drop(stage.dir.write("group", other))),
        ("emptied", |stage, _| drop(stage.dir.write("group", ""))),
        ("removed", |stage, _| fs::remove_file(stage.dir.join("group")).expect("remove")),
    ];
    for (what, change) in changes {
        for way in WAYS {
            let stage = Stage::with("", file(0));
            let mut daemon = OnSocket::start(command(&stage, way), tight_pair());
            let mut got = daemon.client.ask(&grouplist(20_000, "bob"), 17);
            change(&stage, &file(100_000));
            while got.len() < whole.len()
                && let Got::Bytes(bytes) = daemon.client.recv(DEADLINE)
            {
                got.extend(bytes);
            }
            assert!(whole.starts_with(&got), "{what}, {way:?}: {} bytes", got.len());
            // The old file as it was, if it was open when it lost its name and was looked at for the last time
            // just before.
            if got.len() == whole.len() {
                assert!(matches!(what, "replaced" | "removed"), "{what}, {way:?}");
                continue;
            }
            assert_eq!(wait_for_exit(&mut daemon.child).code(), Some(111), "{what}, {way:?}");
        }
    }
    // And nothing is lost if it stays.
    for way in WAYS {
        let stage = Stage::with("", file(0));
        let daemon = OnSocket::start(command(&stage, way), tight_pair());
        daemon.client.send(&grouplist(20_000, "bob"));
        let got = daemon.client.recv_exact(whole.len());
        assert_same_bytes("the list", &got, &whole);
    }
}
