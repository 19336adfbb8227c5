//! `nscd` called as glibc's is: to invalidate, to end another one, for statistics.

use crate::support::nscd::{Bench, ask, asked, raw, request, user};
use crate::support::{
    self, Finished, Server, have_program, is_root, procfs, run_to_end, skip, tool,
};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

const ADA: &str = "ada:*:1001:1001:Ada:/home/ada:/bin/sh";

fn bench() -> Bench {
    Bench::new(&format!("{ADA}\n"), "staff:x:1001:ada\n")
}

/// `nscd -S SOCKET WORDS`.
fn nscd(bench: &Bench, socket: &Path, words: &[&str]) -> Finished {
    let mut command = tool(&bench.bin, "nscd");
    command.arg("-S").arg(socket).args(words);
    run_to_end(command)
}

#[track_caller]
fn answers(server: &Server) {
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
}

#[test]
fn useradd_may_call_it_whether_one_runs_or_not() {
    let bench = bench();
    if !is_root() {
        let finished = nscd(&bench, &bench.socket(), &["-i", "passwd"]);
        assert_eq!(finished.code, Some(4), "{}", finished.stderr);
        return skip("useradd_may_call_it_whether_one_runs_or_not", "needs root");
    }
    // The exit code by which useradd knows that there is none.
    let finished = nscd(&bench, &bench.socket(), &["-i", "passwd"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(1), ""));
    let server = bench.serve(&[]);
    for table in ["passwd", "group", "hosts", "services", "netgroup"] {
        for words in [&["-i", table][..], &[&format!("--invalidate={table}")]] {
            let finished = nscd(&bench, server.socket(), words);
            assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{words:?}");
        }
    }
    let finished = nscd(&bench, server.socket(), &["-i", "shadow"]);
    assert_eq!(finished.code, Some(64), "{}", finished.stderr);
    assert!(finished.stderr.contains("shadow"), "{}", finished.stderr);
    answers(&server);
}

#[test]
fn only_root_may_invalidate_and_end_it() {
    let test = "only_root_may_invalidate_and_end_it";
    if !is_root() || !have_program("setpriv") || !support::others_can_run_it() {
        return skip(test, "needs root, setpriv, and an executable for all");
    }
    let bench = bench();
    bench.dir.chmod(".", 0o755);
    let server = bench.serve(&[]);
    let as_other = |words: &[&str]| {
        let mut command = tool(&bench.bin, "setpriv");
        command.args(["--reuid", "1234", "--clear-groups"]).args(words);
        run_to_end(command)
    };
    let program = bench.bin.join("nscd");
    let socket = server.socket().to_str().unwrap();
    for word in ["-K", "-ipasswd"] {
        let finished = as_other(&[program.to_str().unwrap(), "-S", socket, word]);
        assert_eq!(finished.code, Some(4), "{word}: {}", finished.stderr);
    }
    // Asked in words of the protocol, too.
    if have_program("perl") {
        let ask = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die;\n\
                   syswrite $s, pack 'l3', 2, 8, 0; print sysread $s, my $room, 9";
        let finished = as_other(&["perl", "-e", ask, socket]);
        assert_eq!(finished.stdout, b"0", "{}", finished.stderr);
    }
    answers(&server);
}

#[test]
fn root_ends_it() {
    let test = "root_ends_it";
    if !is_root() {
        return skip(test, "needs root");
    }
    let bench = bench();
    let mut server = bench.serve(&[]);
    assert_eq!(nscd(&bench, server.socket(), &["-K"]).code, Some(0));
    assert_eq!(server.wait().code(), Some(0));
    assert!(!bench.socket().exists());
    assert_eq!(nscd(&bench, &bench.socket(), &["--shutdown"]).code, Some(1));
    let mut server = bench.serve(&[]);
    assert_eq!(asked(server.socket(), &raw(2, ask::SHUTDOWN, 0, b"")), b"");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn the_next_one_can_be_started_once_it_was_ended() {
    let test = "the_next_one_can_be_started_once_it_was_ended";
    if !is_root() {
        return skip(test, "needs root");
    }
    let members = "somebody,".repeat(300_000);
    let bench = Bench::new("", &format!("all:x:5:{members}last\n"));
    let mut server = bench.serve(&[]);
    // Who does not read keeps it for a second more.
    let mut client = UnixStream::connect(server.socket()).unwrap();
    client.write_all(&request(ask::GROUP, "all")).unwrap();
    client.read_exact(&mut [0]).unwrap();
    assert_eq!(nscd(&bench, server.socket(), &["-K"]).code, Some(0));
    assert!(UnixStream::connect(bench.socket()).is_err(), "somebody is there still");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn statistics_are_refused_and_a_group_is_not_meant() {
    let bench = bench();
    for words in [&["-g"][..], &["--statistics"]] {
        let finished = nscd(&bench, &bench.socket(), words);
        assert_eq!(finished.code, Some(1), "{words:?}");
        assert!(finished.stderr.contains("not running"), "{}", finished.stderr);
    }
    let server = bench.serve(&["-d", "-F", "-f", "/etc/nscd.conf", "--nthreads=5"]);
    for words in [&["-g"][..], &["--statistics"]] {
        let finished = nscd(&bench, server.socket(), words);
        assert_eq!(finished.code, Some(1), "{words:?}");
        assert!(finished.stderr.contains("no statistics"), "{}", finished.stderr);
    }
    answers(&server);
    drop(server);
    if is_root() {
        let server = bench.serve(&["-g", "1234"]);
        assert_eq!(procfs::status(server.pid(), "Gid"), ["1234"; 4]);
        answers(&server);
    }
}
