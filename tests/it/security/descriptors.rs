//! Descriptors that clients pass: doc/security.md, "Descriptors that clients pass".

use crate::support::ipcserver::house::{ask_one, furnish, one, unix};
use crate::support::ipcserver::{Bench, OURS};
use crate::support::nscd::{self, ask, asked, request, user};
use crate::support::{Server, skip};
use rustix::io::{Errno, IoSlice};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};

const ADA: &str = "ada:*:1001:1001:Ada:/home/ada:/bin/sh";

/// Passes a descriptor with these bytes.
fn pass(stream: &UnixStream, bytes: &[u8]) -> Result<usize, Errno> {
    let file = fs::File::open("/dev/null").unwrap();
    let fds = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
}

/// Whether the kernel has SO_PASSRIGHTS.
fn kernel_refuses() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 16)
}

#[track_caller]
fn refuses(server: &Server) {
    // Before it is accepted, and later.
    let client = UnixStream::connect(server.socket()).unwrap();
    assert_eq!(pass(&client, b"\0"), Err(Errno::PERM));
}

#[test]
fn no_client_can_pass_a_descriptor_to_a_server() {
    if !kernel_refuses() {
        return skip("no_client_can_pass_a_descriptor_to_a_server", "needs Linux 6.16");
    }
    let bench = Bench::new(OURS);
    furnish(&bench);
    for options in [&[][..], &["--spawn"]] {
        let server = bench.start(options, &unix(&bench));
        refuses(&server);
        let client = server.connect();
        client.expect(&ask_one(), &one());
        assert_eq!(pass(client.stream(), &ask_one()), Err(Errno::PERM));
        client.expect(&ask_one(), &one());
    }
    // A socket that was passed to it.
    let path = bench.dir.join("passed");
    let listener = UnixListener::bind(&path).unwrap();
    let early = UnixStream::connect(&path).unwrap();
    let mut command = bench.command_after("export LISTEN_FDS=1; exec 3<&0 </dev/null; true");
    command.arg("-1").arg(&path).args(unix(&bench)).stdin(std::os::fd::OwnedFd::from(listener));
    command.stdout(std::process::Stdio::null());
    let mut server = command.spawn().unwrap();
    let early = crate::support::Connection::new(early);
    early.expect(&ask_one(), &one());
    assert_eq!(pass(early.stream(), &ask_one()), Err(Errno::PERM));
    assert_eq!(pass(&UnixStream::connect(&path).unwrap(), b"\0"), Err(Errno::PERM));
    server.kill().unwrap();
    server.wait().unwrap();

    let bench = nscd::Bench::new(&format!("{ADA}\n"), "");
    let nsss = bench.dir.join("nsss");
    let server = bench.start(&["--nsss", nsss.to_str().unwrap()], &[(3, &bench.unix())]);
    refuses(&server);
    assert_eq!(pass(&UnixStream::connect(&nsss).unwrap(), b"\0"), Err(Errno::PERM));
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
}

#[test]
fn a_program_that_is_not_ours_may_be_passed_some() {
    let bench = Bench::new(OURS);
    let server = bench.start(&[], &["cat"]);
    let client = UnixStream::connect(server.socket()).unwrap();
    assert_eq!(pass(&client, b"x"), Ok(1));
}
