//! `nscd` as a service: its socket and directory, readiness, signals, its command line; and
//! `with-nscd`, which starts one for a program.

use crate::support::nscd::{Bench, ask, asked, read_to_end, request, user};
use crate::support::procfs;
use crate::support::{
    self, Connection, DEADLINE, Finished, Server, have_program, is_root, nssbox, run_to_end, skip,
    tool, wait_until,
};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Child, Command, Stdio};

const ADA: &str = "ada:*:1001:1001:Ada:/home/ada:/bin/sh";

fn bench() -> Bench {
    Bench::new(&format!("{ADA}\n"), "staff:x:1001:ada\n")
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn everybody_may_ask_and_nobody_else_may_replace_it() {
    let bench = bench();
    let mut shell = tool(&bench.bin, "sh");
    let command = bench.scripted(&[], &[(3, &bench.unix())]);
    shell.args(["-c", "umask 077; exec \"$0\" \"$@\""]).arg(command.get_program());
    shell.args(command.get_args());
    let server = Server::start_command(shell, &bench.socket());
    assert_eq!((mode(server.socket()), mode(&bench.dir.join("run"))), (0o666, 0o755));
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
}

#[test]
fn a_directory_that_others_may_write_is_told_of() {
    let test = "a_directory_that_others_may_write_is_told_of";
    if !is_root() {
        return skip(test, "whoever is not root has no choice");
    }
    for (mode, told) in [(0o755, false), (0o775, true), (0o757, true)] {
        let bench = bench();
        bench.dir.subdirectory("run");
        bench.dir.chmod("run", mode);
        let mut command = tool(&bench.bin, "nscd");
        command.args(["-1", "-S"]).arg(bench.socket()).arg("3").args(bench.unix()).arg("");
        let server = Server::start_command(command, &bench.socket());
        assert_eq!(server.stderr().contains("can forge answers"), told, "{}", server.stderr());
        assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
    }
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_stays() {
    let bench = bench();
    fs::create_dir(bench.dir.join("run")).unwrap();
    drop(UnixListener::bind(bench.socket()).unwrap());
    let before = fs::metadata(bench.socket()).unwrap().ino();
    let server = bench.serve(&[]);
    let there = fs::metadata(server.socket()).unwrap();
    assert!(there.file_type().is_socket());
    assert_ne!(there.ino(), before);
    let (code, told) = bench.fails(bench.scripted(&[], &[(3, &bench.unix())]));
    assert_eq!(code, Some(111));
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
}

#[test]
fn another_server_and_a_file_are_left_alone() {
    let bench = bench();
    fs::create_dir(bench.dir.join("run")).unwrap();
    let other = UnixListener::bind(bench.socket()).unwrap();
    let command = || bench.scripted(&[], &[(3, &bench.unix())]);
    assert_eq!(bench.fails(command()).0, Some(111));
    drop(other);
    fs::remove_file(bench.socket()).unwrap();
    fs::write(bench.socket(), "a file").unwrap();
    assert_eq!(bench.fails(command()).0, Some(111));
    assert_eq!(fs::read(bench.socket()).unwrap(), b"a file");
}

#[test]
fn signals_end_it_with_zero() {
    let bench = bench();
    for signal in [Signal::TERM, Signal::QUIT, Signal::ABORT] {
        let mut server = bench.serve(&[]);
        let silent = Connection::connect(server.socket());
        assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
        silent.expect_eof();
    }
    let server = bench.serve(&[]);
    let silent = Connection::connect(server.socket());
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
    server.signal(Signal::HUP);
    assert_eq!(read_to_end(&silent), b"");
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let bench = bench();
    for words in [
        &["-x"][..],
        &["-t", "x", "0", "nsssd-unix", ""],
        &["-t", "5000", "0", "nsssd-unix", ""],
        &["-s", "/run/s", "0", "nsssd-unix", ""],
        &["nsssd-unix"],
        &["0", "nsssd-unix"],
        &["0", "nsssd-unix", "-x", ""],
        &["--parent", "0"],
        &["-u", "ada", "0", "nsssd-unix", ""],
    ] {
        let mut command = bench.command(&[]);
        command.args(words);
        let (code, told) = bench.fails(command);
        assert_eq!(code, Some(100), "{words:?}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(!bench.socket().exists(), "{words:?}");
    }
}

#[test]
fn it_gives_root_up_after_binding() {
    let test = "it_gives_root_up_after_binding";
    if !is_root() {
        return skip(test, "needs root");
    }
    let bench = bench();
    let server = bench.serve(&["-u", "65534", "-g", "65534"]);
    assert_eq!(procfs::status(server.pid(), "Uid"), ["65534"; 4]);
    assert_eq!(procfs::status(server.pid(), "Groups"), [""; 0]);
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
}

#[test]
fn a_supervisor_may_pass_the_socket_and_is_told_when_it_is_served() {
    let bench = bench();
    let socket = bench.dir.join("passed");
    let listener = UnixListener::bind(&socket).unwrap();
    let notify = bench.dir.join("notify");
    let supervisor = UnixDatagram::bind(&notify).unwrap();
    supervisor.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut shell = tool(&bench.bin, "sh");
    let text = "export LISTEN_FDS=1 LISTEN_PID=$$; exec 3<&0 </dev/null; exec \"$0\" \"$@\"";
    let command = bench.scripted(&[], &[(3, &bench.unix())]);
    shell.args(["-c", text]).arg(command.get_program()).args(command.get_args());
    shell.env("NOTIFY_SOCKET", &notify).stdin(OwnedFd::from(listener)).stdout(Stdio::null());
    let mut nscd = shell.spawn().unwrap();
    let mut message = [0; 200];
    let n = supervisor.recv(&mut message).unwrap();
    assert_eq!(&message[..n], b"READY=1\n");
    assert_eq!(asked(&socket, &request(ask::USER, "ada")), user(ADA));
    // The one that -S names is not made.
    assert!(!bench.socket().exists());
    rustix::process::kill_process(Pid::from_child(&nscd), Signal::TERM).unwrap();
    assert_eq!(support::wait_for_exit(&mut nscd).code(), Some(0));
    assert!(socket.exists());
}

/// `with-nscd OPTIONS SCRIPT -- PROGRAM` over the bench's files and its socket.
fn with_nscd(bench: &Bench, options: &[&str], program: &[&str]) -> Command {
    let mut command = tool(&bench.bin, "with-nscd");
    command.args(options).args(["-q", "-S"]).arg(bench.socket());
    command.arg("3").args(bench.unix()).args(["", "--"]).args(program);
    command
}

#[test]
fn one_program_after_the_other_has_an_nscd() {
    let bench = bench();
    let start = || {
        let mut command = with_nscd(&bench, &["-k"], &["cat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    };
    let end = |mut program: Child| {
        drop(program.stdin.take());
        assert_eq!(support::wait_for_exit(&mut program).code(), Some(0));
    };
    // We hold what the nscd of the one before holds until it has ended.
    fs::create_dir(bench.dir.join("run")).unwrap();
    let lock_file = || fs::File::create(bench.dir.join("run/socket.lock")).unwrap();
    let lock = lock_file();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let program = start();
    let pid = Pid::from_child(&program);
    // What starts nscd, and that.
    let nscd = || Some(*procfs::children(*procfs::children(pid).first()?).first()?);
    wait_until("its nscd starts", || nscd().is_some());
    drop(lock);
    wait_until("the program runs", || procfs::words(pid)[0] == "cat");
    assert_eq!(asked(&bench.socket(), &request(ask::USER, "ada")), user(ADA));
    end(program);
    end(start());
    // One that stays is told of.
    let free = || flock(lock_file(), FlockOperation::NonBlockingLockExclusive).is_ok();
    wait_until("none holds the lock", free);
    let server = bench.serve(&[]);
    let finished = run_to_end(with_nscd(&bench, &["-k"], &["true"]));
    assert_eq!(finished.code, Some(111), "{}", finished.stderr);
    assert!(finished.stderr.contains("a server is listening"), "{}", finished.stderr);
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
}

#[test]
fn exit_codes_are_those_of_the_program() {
    let bench = bench();
    let code = |program: &[&str]| run_to_end(with_nscd(&bench, &[], program)).code;
    assert_eq!(code(&["sh", "-c", "exit 7"]), Some(7));
    assert_eq!(code(&["/nonexistent/program"]), Some(127));
    assert_eq!(code(&["/"]), Some(126));
}

#[test]
fn the_program_starts_with_the_signals_ignored_that_were_before() {
    let bench = bench();
    let words = ["grep", "^SigIgn", "/proc/self/status"];
    // The first 31 only: those behind belong to the C library.
    let ignored = |command: Command| {
        let text = String::from_utf8(run_to_end(command).stdout).unwrap();
        let set = text.trim_end().strip_prefix("SigIgn:\t").expect("a set of signals");
        u64::from_str_radix(set, 16).expect("hexadecimal") & 0x7fff_ffff
    };
    let mut plain = tool(&bench.bin, words[0]);
    plain.args(&words[1..]);
    assert_eq!(ignored(with_nscd(&bench, &[], &words)), ignored(plain));
}

#[test]
fn without_a_socket_the_program_runs_all_the_same_unless_told_not_to() {
    let bench = bench();
    fs::write(bench.dir.join("run"), "no directory").unwrap();
    let finished = run_to_end(with_nscd(&bench, &[], &["echo", "ran"]));
    assert_eq!((finished.code, finished.stdout.as_slice()), (Some(0), &b"ran\n"[..]));
    assert!(finished.stderr.contains("running without nscd"), "{}", finished.stderr);
    let finished = run_to_end(with_nscd(&bench, &["-k"], &["echo", "ran"]));
    assert_eq!((finished.code, finished.stdout.len()), (Some(111), 0));
}

#[test]
fn what_with_nscd_does_not_understand_is_a_usage_error() {
    let bench = bench();
    for words in
        [&["0", "nsssd-unix", ""][..], &["--"], &["-z", "--", "true"], &["7", "--", "true"]]
    {
        let mut command = tool(&bench.bin, "with-nscd");
        let finished = run_to_end({
            command.args(words);
            command
        });
        assert_eq!(finished.code, Some(100), "{words:?}: {}", finished.stderr);
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    }
}

#[test]
fn set_uid_files_give_nothing_to_a_program_under_n() {
    let bench = bench();
    let show = ["sed", "-n", "s/^NoNewPrivs:.//p", "/proc/self/status"];
    assert_eq!(run_to_end(with_nscd(&bench, &["-n"], &show)).stdout, b"1\n");
    assert_eq!(run_to_end(with_nscd(&bench, &[], &show)).stdout, b"0\n");
}

#[test]
fn an_arbitrary_uid_has_a_name() {
    let test = "an_arbitrary_uid_has_a_name";
    if !is_root() || !have_program("unshare") || !have_program("setpriv") {
        return skip(test, "needs root, unshare and setpriv");
    }
    let bench = Bench::new(
        "app:*:1000650000:0:Template:/home/app:/bin/sh\n",
        "app:x:1000650000:\nwork:x:4242:app\n",
    );
    // Where cargo puts the executable may be closed to that uid.
    let copy = bench.dir.join("nssbox");
    for name in support::APPLETS {
        fs::remove_file(bench.bin.join(name)).unwrap();
    }
    let (dir, bin) = (bench.dir.as_str(), bench.bin.display());
    let script = |prefix: &str| {
        format!(
            "cp '{}' '{}' && '{}' --install -s '{bin}' || exit 121\n\
             export PATH='{bin}':/usr/bin:/bin\n\
             mount --make-rprivate / && mount -t tmpfs -o mode=755 tmpfs /run || exit 120\n\
             mkdir /run/nscd && chown 1000650000 /run/nscd || exit 120\n\
             rm '{bin}'/id '{bin}'/whoami\n\
             exec setpriv --reuid 1000650000 --clear-groups {prefix} sh -c 'whoami; id'\n",
            nssbox().display(),
            copy.display(),
            copy.display(),
        )
    };
    let run = |prefix: &str| -> Finished {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script(prefix)]).env("LC_ALL", "C");
        run_to_end(command)
    };
    let with = run(&format!("with-nscd -n -q 3 nsssd-unix '' 0 nsssd-unix -d '{dir}' '' --"));
    if with.code == Some(120) {
        return skip(test, &format!("no private mounts: {}", with.stderr));
    }
    let text = String::from_utf8_lossy(&with.stdout).into_owned();
    let expected = "app\nuid=1000650000(app) gid=0(root) groups=0(root)\n";
    assert_eq!(text, expected, "{}", with.stderr);
    assert!(!String::from_utf8_lossy(&run("").stdout).contains("app"));
}
