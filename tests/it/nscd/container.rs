//! `with-nscd` in a container: whose child nscd is, what PID 1 has to do, kernels and runtimes that
//! refuse, and what a run leaves for the next one.

use crate::support::map::Host;
use crate::support::nscd::{Bench, ask, asked, request, user};
use crate::support::{
    self, Connection, Finished, have_program, is_root, procfs, run_to_end, skip, tool, wait_until,
};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

const ADA: &str = "ada:*:1001:1001:Ada:/home/ada:/bin/sh";

fn bench() -> Bench {
    Bench::new(&format!("{ADA}\n"), "staff:x:1001:ada\n")
}

/// `FRONT with-nscd -k -q -S SOCKET SCRIPT -- PROGRAM`.
fn with_nscd(bench: &Bench, front: &[&str], program: &[&str]) -> Command {
    let mut words: Vec<&str> = front.to_vec();
    words.push("with-nscd");
    let mut command = tool(&bench.bin, words[0]);
    command.args(&words[1..]).args(["-k", "-q", "-S"]).arg(bench.socket());
    command.arg("3").args(bench.unix()).args(["", "--"]).args(program);
    command
}

/// The process that made the socket.
fn server_of(bench: &Bench) -> Pid {
    let client = Connection::connect(&bench.socket());
    socket_peercred(client.stream()).unwrap().pid
}

fn has_ended(pid: Pid) -> bool {
    matches!(procfs::state(pid), None | Some('Z'))
}

/// Asks while the program runs, and ends that.
#[track_caller]
fn serves_as_long_as_the_program_runs(mut command: Command) {
    let bench_socket = command.get_args().position(|word| word == "-S").unwrap();
    let socket = command.get_args().nth(bench_socket + 1).unwrap().to_owned();
    let socket = std::path::PathBuf::from(socket);
    let mut program = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    wait_until("nscd serves", || socket.exists());
    assert_eq!(asked(&socket, &request(ask::USER, "ada")), user(ADA));
    let client = Connection::connect(&socket);
    let nscd = socket_peercred(client.stream()).unwrap().pid;
    drop(program.stdin.take());
    assert_eq!(support::wait_for_exit(&mut program).code(), Some(0));
    wait_until("nscd has ended", || has_ended(nscd));
}

#[test]
fn the_program_has_no_child_that_it_did_not_start() {
    let bench = bench();
    // It ends only when all of its children have.
    let wait = "system 'true'; 1 while wait() != -1; print 'done'";
    if have_program("perl") {
        let finished = run_to_end(with_nscd(&bench, &[], &["perl", "-e", wait]));
        assert_eq!(finished.stdout, b"done", "{}", finished.stderr);
    }
    let mut command = with_nscd(&bench, &[], &["cat"]);
    let mut program = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_child(&program);
    wait_until("the program runs", || procfs::words(pid)[0] == "cat");
    assert_eq!(procfs::children(pid), []);
    assert_eq!(asked(&bench.socket(), &request(ask::USER, "ada")), user(ADA));
    let nscd = server_of(&bench);
    drop(program.stdin.take());
    assert_eq!(support::wait_for_exit(&mut program).code(), Some(0));
    wait_until("nscd has ended", || has_ended(nscd));
}

#[test]
fn nothing_is_left_for_the_next_one() {
    let bench = bench();
    for _ in 0..2 {
        assert_eq!(run_to_end(with_nscd(&bench, &[], &["true"])).code, Some(0));
    }
    wait_until("the directory is empty", || {
        fs::read_dir(bench.dir.join("run")).unwrap().next().is_none()
    });
    // One that serves meanwhile keeps what is its own.
    let mut server = bench.serve(&[]);
    assert_eq!(run_to_end(with_nscd(&bench, &[], &["true"])).code, Some(111));
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
    server.stop();
}

#[test]
fn what_another_user_left_keeps_nobody_out() {
    let test = "what_another_user_left_keeps_nobody_out";
    if !is_root() || !have_program("setpriv") {
        return skip(test, "needs root and setpriv");
    }
    if !support::others_can_run_it() {
        return skip(test, "other users cannot run the executable where it is");
    }
    let bench = bench();
    let run = bench.dir.subdirectory("run");
    fs::set_permissions(&run, fs::Permissions::from_mode(0o775)).unwrap();
    bench.dir.chmod(".", 0o755);
    // As a build step as root leaves it that was killed.
    drop(UnixListener::bind(bench.socket()).unwrap());
    bench.dir.chmod("run/socket", 0o666);
    let lock = run.join("socket.lock");
    fs::write(&lock, "").unwrap();
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o600)).unwrap();
    let front = ["setpriv", "--reuid", "1000650000", "--regid", "0", "--clear-groups"];
    let finished = run_to_end(with_nscd(&bench, &front, &["echo", "ran"]));
    assert_eq!((finished.code, &finished.stdout[..]), (Some(0), &b"ran\n"[..]), "{finished:?}");
    // A lock of another user's that is held is respected.
    wait_until("its nscd has ended", || fs::read_dir(&run).unwrap().next().is_none());
    let server = bench.serve(&[]);
    let finished = run_to_end(with_nscd(&bench, &front, &["true"]));
    assert_eq!(finished.code, Some(111));
    assert!(finished.stderr.contains("a server is listening"), "{}", finished.stderr);
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
}

#[test]
fn it_does_without_pidfds() {
    let test = "it_does_without_pidfds";
    if !have_program("strace") {
        return skip(test, "no strace");
    }
    for errno in ["EPERM", "ENOSYS"] {
        let bench = bench();
        let inject = format!("inject=pidfd_open:error={errno}");
        let trace = bench.dir.join("trace");
        let front = ["strace", "-f", "-qq", "-e", &inject, "-o", trace.to_str().unwrap()];
        serves_as_long_as_the_program_runs(with_nscd(&bench, &front, &["cat"]));
        let text = fs::read_to_string(trace).unwrap();
        assert!(text.contains(errno) && text.contains("INJECTED"), "{text}");
    }
}

/// `with-nscd` as PID 1 of a namespace of its own.
fn as_pid_1(bench: &Bench, program: &[&str]) -> Command {
    let front = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    with_nscd(bench, &front, program)
}

#[test]
fn as_pid_1_it_waits_for_orphans_and_ends_as_the_program_does() {
    let test = "as_pid_1_it_waits_for_orphans_and_ends_as_the_program_does";
    if !is_root() || !have_program("unshare") {
        return skip(test, "needs root and unshare");
    }
    let bench = bench();
    let run = |script: &str| run_to_end(as_pid_1(&bench, &["sh", "-c", script]));
    // An orphan that ended is a zombie until PID 1 waits for it. The program is no PID 1, and nscd
    // is no child of it.
    let finished = run("[ $$ != 1 ] || exit 4\n\
                        [ $(cut -d' ' -f4 /proc/$$/stat) = 1 ] || exit 5\n\
                        [ -z \"$(cat /proc/$$/task/*/children)\" ] && exit 6\n\
                        (true & true)\n\
                        while grep -q '^State:.Z' /proc/[0-9]*/status; do :; done\nexit 7");
    let expected = if procfs_has_children() { [7, 6] } else { [7, 7] };
    assert!(expected.map(Some).contains(&finished.code), "{finished:?}");
    assert_eq!(run("kill -9 $$").code, Some(137));
    assert_eq!(run_to_end(as_pid_1(&bench, &["/nonexistent"])).code, Some(127));
    // Its end is the end of all: nscd took its socket away before.
    assert!(fs::read_dir(bench.dir.join("run")).unwrap().next().is_none());
}

/// Whether /proc tells of children.
fn procfs_has_children() -> bool {
    fs::exists("/proc/self/task/self/children").unwrap_or(false)
}

#[test]
fn as_pid_1_it_passes_signals_on() {
    let test = "as_pid_1_it_passes_signals_on";
    if !is_root() || !have_program("unshare") {
        return skip(test, "needs root and unshare");
    }
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::USR1, "USR1"), (Signal::WINCH, "WINCH")]
    {
        let bench = bench();
        let up = bench.dir.join("up");
        let script =
            format!("trap 'exit 9' {name}; : > {}; while :; do sleep 0.01; done", up.display());
        let mut unshare = as_pid_1(&bench, &["sh", "-c", &script]).spawn().unwrap();
        wait_until("the program runs", || up.exists());
        let first = procfs::children(Pid::from_child(&unshare))[0];
        kill_process(first, signal).unwrap();
        assert_eq!(support::wait_for_exit(&mut unshare).code(), Some(9), "{name}");
    }
}

#[test]
fn options_come_in_any_order() {
    let bench = bench();
    let show = ["sed", "-n", "s/^NoNewPrivs:.//p", "/proc/self/status"];
    for options in [&["-q", "-n"][..], &["-n", "-q"], &["-qn"], &["-q", "-t", "300", "-n"]] {
        let mut command = tool(&bench.bin, "with-nscd");
        command.args(options).arg("--listen").arg(bench.socket());
        command.arg("3").args(bench.unix()).args(["", "--"]).args(show);
        let finished = run_to_end(command);
        assert_eq!(finished.stdout, b"1\n", "{options:?}: {}", finished.stderr);
    }
}

#[test]
fn it_says_why_there_is_no_nscd() {
    let bench = bench();
    fs::write(bench.dir.join("run"), "no directory").unwrap();
    let finished = run_to_end(with_nscd(&bench, &[], &["true"]));
    assert_eq!(finished.code, Some(111));
    let told = finished.stderr;
    assert!(told.contains("nscd: fatal: ") && told.contains("run/socket"), "{told}");
    assert!(told.contains("did not get ready: exit code 111") && !told.contains("child"), "{told}");
}

#[test]
fn a_directory_that_cannot_be_made_is_told_by_its_own_error() {
    let test = "a_directory_that_cannot_be_made_is_told_by_its_own_error";
    if !is_root() || !have_program("unshare") {
        return skip(test, "needs root and unshare");
    }
    let run = |mount: &str| -> Finished {
        let bench = bench();
        let dir = bench.dir.as_str();
        let script = format!(
            "mkdir {dir}/ro && mount -t tmpfs -o {mount} tmpfs {dir}/ro || exit 120; \
             exec \"$0\" -S {dir}/ro/nscd/socket"
        );
        let mut command = tool(&bench.bin, "unshare");
        command.args(["-m", "sh", "-c", &script]).arg(bench.bin.join("nscd"));
        run_to_end(command)
    };
    let finished = run("ro");
    assert_eq!(finished.code, Some(111), "{finished:?}");
    let told = finished.stderr;
    assert!(told.contains("ro/nscd: Read-only file system"), "{told}");
    let bench = bench();
    let (code, told) = bench.fails({
        let mut command = tool(&bench.bin, "nscd");
        command.arg("-S").arg(bench.dir.join("missing/nscd/socket"));
        command
    });
    assert_eq!(code, Some(111));
    assert!(told.contains("missing/nscd (first run mkdir -p "), "{told}");
    assert!(told.ends_with("missing): No such file or directory\n"), "{told}");
}

#[test]
fn a_socket_that_may_not_be_asked_is_told_by_its_own_error() {
    let test = "a_socket_that_may_not_be_asked_is_told_by_its_own_error";
    if !is_root() || !have_program("setpriv") || !support::others_can_run_it() {
        return skip(test, "needs root, setpriv, and an executable for all");
    }
    let bench = bench();
    bench.dir.chmod(".", 0o755);
    bench.dir.subdirectory("run");
    bench.dir.chmod("run", 0o777);
    drop(UnixListener::bind(bench.socket()).unwrap());
    bench.dir.chmod("run/socket", 0o600);
    let mut command = tool(&bench.bin, "setpriv");
    command.args(["--reuid", "1234", "--clear-groups"]).arg(bench.bin.join("nscd"));
    command.arg("-S").arg(bench.socket()).arg("3").args(bench.unix()).arg("");
    let (code, told) = bench.fails(command);
    let why = format!(
        "cannot ask whether a server is at {}: Permission denied\n",
        bench.socket().display()
    );
    assert_eq!(code, Some(111), "{told}");
    assert!(told.ends_with(&why), "{told}");
}

/// In a user namespace without root, the files of root are those of somebody unknown.
#[test]
#[cfg(feature = "nsssd-map")]
fn a_configuration_of_root_is_believed_where_root_is_not_mapped() {
    let test = "a_configuration_of_root_is_believed_where_root_is_not_mapped";
    if !is_root() || !have_program("unshare") || !support::others_can_run_it() {
        return skip(test, "needs root, unshare, and an executable for all");
    }
    let host = Host::new();
    let file = host.config("nssmap 2\nuids 33-40\n  template u%u:x:=:33:g:/:/bin/sh\n");
    host.dir.chmod(".", 0o755);
    let check = |options: &[&str]| {
        let mut command = tool(&host.bin, "unshare");
        command.args(options).arg(host.bin.join("nsssd-map")).arg("-n").arg(&file);
        run_to_end(command)
    };
    let unmapped = ["--user", "--map-user=1000", "--map-group=1000"];
    let finished = check(&unmapped);
    if finished.stderr.contains("unshare failed") {
        return skip(test, &finished.stderr);
    }
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    // With root in there, it is somebody else.
    chown(&file, Some(1234), None).unwrap();
    let finished = check(&["--user", "--map-root-user"]);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("is another user's"), "{}", finished.stderr);
}
