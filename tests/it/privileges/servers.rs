//! What `ipcserver` and `nscd` keep of what they were started with: ids, capabilities, the right to
//! gain others, descriptors; and what they hide once they have seen a secret (doc/security.md).
#![cfg(all(feature = "ipcserver", feature = "nscd", feature = "nsssd-nslcd"))]

use crate::support::ipcserver::house::{ask_one, ask_secret, furnish, one, secret, unix};
use crate::support::ipcserver::{
    self, Bench, LIST_DESCRIPTORS, NOBODY, OURS, REFERENCE, child_of, descriptors,
};
use crate::support::ipcserver::{for_each_server, read_to_end};
use crate::support::nscd::{self, ask, asked, request, user};
use crate::support::procfs;
use crate::support::stage;
use crate::support::{
    self, APPLETS, Connection, Daemon, Server, is_root, link, nssbox, others_can_run_it, skip,
    tool, wait_until,
};
use rustix::process::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Whom a server is told to become.
const UID: &str = "65534";
const GID: &str = "65533";
const DROP: [&str; 4] = ["-u", UID, "-g", GID];

/// Groups that nobody meant a server to have.
const WITH_GROUPS: [&str; 2] = ["--groups", "4,27,100"];

/// A program that ends with its client.
const CAT: [&str; 1] = ["cat"];

/// Says so and gives true where there is nothing to drop.
fn cannot_drop(test: &str) -> bool {
    let cannot = !is_root() || !support::have_program("setpriv");
    if cannot {
        skip(test, "needs root and setpriv");
    }
    cannot
}

/// `command`, run by setpriv with supplementary groups.
fn with_groups(command: &Command) -> Command {
    let mut setpriv = Command::new("setpriv");
    setpriv.args(WITH_GROUPS).arg(command.get_program()).args(command.get_args());
    copy_environment(command, &mut setpriv);
    setpriv
}

/// Every variable of `from`, which clears what it inherits, as all tools here do.
fn copy_environment(from: &Command, to: &mut Command) {
    to.env_clear();
    to.envs(from.get_envs().filter_map(|(name, value)| Some((name, value?))));
}

/// Nothing of root's is left in this process.
#[track_caller]
fn expect_dropped(what: &str, pid: Pid) {
    let none: [String; 0] = [];
    assert_eq!(procfs::status(pid, "Groups"), none, "{what}");
    // Real, effective, saved, file system.
    assert_eq!(procfs::status(pid, "Uid"), [UID; 4], "{what}");
    assert_eq!(procfs::status(pid, "Gid"), [GID; 4], "{what}");
    for set in ["CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(procfs::status(pid, set), ["0000000000000000"], "{what}: {set}");
    }
}

#[track_caller]
fn gains_no_more(pid: Pid) -> bool {
    procfs::status(pid, "NoNewPrivs") == ["1"]
}

/// A listening socket is descriptor 3 of a program that a shell becomes. Killed when dropped.
struct Activated(Child);

impl Activated {
    #[track_caller]
    fn start(command: &Command, sockets: usize, listener: UnixListener) -> Activated {
        let mut shell = Command::new("sh");
        let more: String = (1..sockets).map(|n| format!("exec {}<&0; ", n + 3)).collect();
        let text = format!(
            "export LISTEN_FDS={sockets} LISTEN_PID=$$; exec 3<&0; {more} exec \"$0\" \"$@\" \
             </dev/null"
        );
        shell.args(["-c", &text]).arg(command.get_program()).args(command.get_args());
        copy_environment(command, &mut shell);
        shell.stdin(OwnedFd::from(listener)).stdout(Stdio::null());
        Activated(shell.spawn().expect("start a server"))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn capabilities_go_where_the_kernel_was_told_to_leave_them() {
    if cannot_drop("capabilities_go_where_the_kernel_was_told_to_leave_them") {
        return;
    }
    let keeping = |command: &Command| {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--securebits", "+no_setuid_fixup"]);
        setpriv.arg(command.get_program()).args(command.get_args());
        copy_environment(command, &mut setpriv);
        setpriv
    };
    let bench = Bench::new(OURS);
    furnish(&bench);
    let server = bench.start_command(keeping(&bench.command()), &DROP, &unix(&bench));
    let nscd = nscd::Bench::new("ada:x:1001:1001::/:\n", "");
    let command = keeping(&nscd.scripted(&DROP, &[(3, &nscd.unix())]));
    let nscd = Server::start_command(command, &nscd.socket());
    for server in [&server, &nscd] {
        for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
            assert_eq!(procfs::status(server.pid(), set), ["0000000000000000"], "{set}");
        }
    }
}

#[test]
fn ipcserver_keeps_nothing_of_roots_however_it_is_told_and_whatever_it_serves() {
    let test = "ipcserver_keeps_nothing_of_roots_however_it_is_told_and_whatever_it_serves";
    if cannot_drop(test) {
        return;
    }
    let told: [(&str, &str); 2] = [("UID", UID), ("GID", GID)];
    let options = [(&DROP[..], &told[..0]), (&["-U"], &told)];
    let bench = Bench::new(OURS);
    furnish(&bench);
    for (options, variables) in options {
        for program in [unix(&bench), CAT.to_vec()] {
            let what = format!("{options:?} {program:?}");
            let mut command = bench.command();
            command.envs(variables.iter().copied());
            let server = bench.start_command(with_groups(&command), options, &program);
            expect_dropped(&what, server.pid());
            let client = server.connect();
            if program == CAT {
                client.expect(b"x", b"x");
                expect_dropped(&what, child_of(server.pid()));
            } else {
                client.expect(&ask_one(), &one());
            }
            // Of what it made for itself, root keeps the lock.
            let lock = fs::metadata(bench.dir.join("s.lock")).expect("a lock");
            assert_eq!((lock.uid(), lock.mode() & 0o777), (0, 0o600));
        }
    }
}

#[test]
fn a_server_with_a_socket_of_its_supervisor_gives_root_up_too() {
    let test = "a_server_with_a_socket_of_its_supervisor_gives_root_up_too";
    if cannot_drop(test) {
        return;
    }
    let bench = Bench::new(OURS);
    furnish(&bench);
    let path = bench.dir.join("passed");
    let text = path.to_str().unwrap().to_owned();
    let mut ipcserver = bench.command();
    ipcserver.args(DROP).arg(&text).args(unix(&bench));
    let mut nscd = tool(&bench.dir.join("bin"), "nscd");
    nscd.args(DROP).args(["-q", "-S", &text, "3"]).args(unix(&bench)).arg("");
    for (command, request, reply) in [
        (ipcserver, ask_one(), one()),
        (nscd, request(ask::USER, "one"), user("one:x:1001:1002:One:/home/one:/bin/sh")),
    ] {
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("bind");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("chmod");
        let server = Activated::start(&with_groups(&command), 1, listener);
        let client = Connection::connect(&path);
        client.send(&request);
        assert_eq!(client.recv_exact(reply.len()), reply);
        expect_dropped(&format!("{command:?}"), server.pid());
    }
}

/// A source that hangs, is a program, and ends with whoever asks it.
const HANGS: [&str; 3] = ["sh", "-c", "exec cat >/dev/null"];

#[test]
fn nscd_its_askers_and_their_programs_keep_nothing_of_roots() {
    let test = "nscd_its_askers_and_their_programs_keep_nothing_of_roots";
    if cannot_drop(test) {
        return;
    }
    if !others_can_run_it() {
        return skip(test, "needs an executable that others can reach");
    }
    let bench = nscd::Bench::new("", "");
    // A busy machine takes longer to look than a client has by default.
    let options = [&DROP[..], &["-t", "4000"]].concat();
    let command = bench.scripted(&options, &[(0, &bench.unix()), (0, &HANGS)]);
    let server = Server::start_command(with_groups(&command), server_socket(&bench));
    let client = Connection::connect(server.socket());
    client.send(&request(ask::USER, "nobody-has-this"));
    expect_dropped("nscd", server.pid());
    let askers = procfs::children(server.pid());
    assert_eq!(askers.len(), 4, "all are started while there are rights");
    let mut programs = Vec::new();
    wait_until("an asker has started the program", || {
        programs = askers.iter().flat_map(|asker| procfs::children(*asker)).collect();
        !programs.is_empty()
    });
    for asker in askers {
        wait_until("an asker has changed its user", || procfs::status(asker, "Uid")[0] == UID);
        expect_dropped("an asker", asker);
    }
    for program in programs {
        expect_dropped("a program", program);
    }
}

fn server_socket(bench: &nscd::Bench) -> &'static Path {
    Box::leak(bench.socket().into_boxed_path())
}

#[test]
fn who_starts_no_program_of_others_can_gain_no_rights() {
    let bench = Bench::new(OURS);
    furnish(&bench);
    let dir = bench.dir.as_str().to_owned();
    let own = unix(&bench);
    let switch = [&["nsssd-switch", "0"], &own[..], &[""]].concat();
    for program in [own.clone(), switch] {
        let server = bench.start(&[], &program);
        server.connect().expect(&ask_one(), &one());
        assert!(gains_no_more(server.pid()), "{program:?}");
    }
    // Programs are started by these; ours that serve a client themselves make up for it.
    for (program, of_child) in [(CAT.to_vec(), false), (own.clone(), true)] {
        let server = bench.start(&["--spawn"], &program);
        let client = server.connect();
        match of_child {
            true => client.expect(&ask_one(), &one()),
            false => client.expect(b"x", b"x"),
        }
        assert!(!gains_no_more(server.pid()), "{program:?}");
        assert_eq!(gains_no_more(child_of(server.pid())), of_child, "{program:?}");
    }
    // A switch has started its programs when it begins to serve.
    let stage = stage::Stage::new();
    let own: &[&str] = &["nsssd-unix", "-d", &dir];
    let sleeps: &[&str] = &["sleep", "1000"];
    let daemon = stage.switch(&[], &[(0, own), (0, sleeps)]);
    daemon.expect(&ask_one(), &one());
    assert!(gains_no_more(daemon.pid()));
    let program = procfs::child_with(daemon.pid(), "sleep");
    assert!(!gains_no_more(program));
    kill(program);
}

#[track_caller]
fn kill(pid: Pid) {
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
}

#[test]
fn nscd_can_gain_no_rights_unless_it_asks_programs_of_others() {
    const ADA: &str = "ada:*:1001:1001:Ada:/home/ada:/bin/sh";
    let bench = nscd::Bench::new(&format!("{ADA}\n"), "");
    let nslcd = bench.dir.join("nslcd");
    let own: [&str; 2] = ["nsssd-nslcd", nslcd.to_str().unwrap()];
    for (source, expected) in [(&own[..], true), (&HANGS[..], false)] {
        let server = bench.start(&["-t", "2000"], &[(3, &bench.unix()), (0, source)]);
        assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
        let client = Connection::connect(server.socket());
        client.send(&request(ask::USER, "nobody-has-this"));
        let mut askers = Vec::new();
        wait_until("an asker is there", || {
            askers = procfs::children(server.pid());
            !askers.is_empty()
        });
        for pid in [server.pid()].into_iter().chain(askers) {
            assert_eq!(gains_no_more(pid), expected, "{source:?}: {:?}", procfs::words(pid));
        }
    }
}

/// A set-uid copy of the executable; `None` where set-uid files give nothing, which is said.
#[track_caller]
fn set_uid_id(test: &str, bench: &Bench) -> Option<std::path::PathBuf> {
    let file = bench.dir.join("set-uid");
    stage::copy_executable(nssbox(), &file);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4755)).expect("chmod");
    let mut command = tool(bench.dir.path(), "setpriv");
    command.args(["--reuid", UID, "--regid", GID, "--clear-groups"]).arg(&file).args(["id", "-u"]);
    let works = support::run_to_end(command).stdout == b"0\n";
    if !works {
        skip(test, "set-uid files give nothing in the temporary directory");
    }
    works.then_some(file)
}

#[test]
fn a_set_uid_program_gains_its_rights_as_under_the_server_of_s6() {
    let test = "a_set_uid_program_gains_its_rights_as_under_the_server_of_s6";
    if cannot_drop(test) {
        return;
    }
    for_each_server(test, |bench| {
        let Some(file) = set_uid_id(test, bench) else { return };
        let server = bench.start(&DROP, &[file.to_str().unwrap(), "id", "-u"]);
        assert_eq!(read_to_end(&server.connect()), "0\n");
    });
}

/// What a process has open, by number; regular files and directories by their path.
#[track_caller]
fn open_in(pid: Pid) -> BTreeMap<i32, String> {
    let dir = format!("/proc/{}/fd", pid.as_raw_nonzero());
    let entries = fs::read_dir(dir).expect("its descriptors").flatten();
    let open = entries.filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned()))
    });
    open.collect()
}

/// Takes one that begins so, and is no standard descriptor, away.
#[track_caller]
fn take(open: &mut BTreeMap<i32, String>, begins: &str) {
    let found = open.iter().find(|(n, what)| **n > 2 && what.starts_with(begins));
    let number = *found.unwrap_or_else(|| panic!("no {begins} in {open:?}")).0;
    open.remove(&number);
}

#[test]
fn a_server_has_open_what_it_needs_and_what_it_was_given() {
    let test = "a_server_has_open_what_it_needs_and_what_it_was_given";
    if !Path::new("/proc/self/fd").exists() {
        return skip(test, "no /proc");
    }
    let bench = Bench::new(OURS);
    furnish(&bench);
    let dir = bench.dir.as_str().to_owned();
    // What this process was given by its own parent goes to all of them.
    let given: Vec<i32> =
        ipcserver::plain_descriptors(&bench.dir).iter().map(|n| n.parse().unwrap()).collect();
    let socket = bench.dir.join("s");
    let nscd_socket = bench.dir.join("n");
    let mut nscd = tool(&bench.dir.join("bin"), "nscd");
    nscd.args(["-1", "-q", "-S"]).arg(&nscd_socket).args(["3", "nsssd-unix", "-d", &dir, ""]);
    let mut serves = bench.command();
    serves.arg("-1").arg(&socket).args(unix(&bench));
    let mut starts = bench.command();
    starts.arg("-1").arg(&socket).args(CAT);
    // Local files are opened before all descriptors are in use by clients.
    for (command, socket, lock, epolls, files) in [
        (serves, &socket, "s.lock", 1, 3),
        (starts, &socket, "s.lock", 0, 0),
        // And /etc's own, where other files than those have users.
        (nscd, &nscd_socket, "n.lock", 1, 6),
    ] {
        let shown = format!("{command:?}");
        let mut shell = tool(bench.dir.path(), "sh");
        shell.args(["-c", "exec 7</dev/zero; exec \"$0\" \"$@\""]);
        shell.arg(command.get_program()).args(command.get_args());
        copy_environment(&command, &mut shell);
        let server = Server::start_command(shell, socket);
        wait_until("standard output is closed", || {
            open_in(server.pid()).get(&1).is_some_and(|what| what == "/dev/null")
        });
        let mut open = open_in(server.pid());
        println!("{shown}: {open:?}");
        assert_eq!(open.remove(&0).as_deref(), Some("/dev/null"));
        assert_eq!(open.remove(&1).as_deref(), Some("/dev/null"));
        assert!(open.remove(&2).is_some(), "where messages go");
        assert_eq!(open.remove(&7).as_deref(), Some("/dev/zero"), "it may be meant for programs");
        given.iter().for_each(|number| drop(open.remove(number)));
        take(&mut open, bench.dir.join(lock).to_str().unwrap());
        (0..epolls).for_each(|_| take(&mut open, "anon_inode:[eventpoll]"));
        // Kept for the files, until one is opened.
        (0..files).for_each(|_| take(&mut open, "anon_inode:[eventfd]"));
        if socket == &nscd_socket {
            // By which it will know whether a shared map holds.
            take(&mut open, "anon_inode:inotify");
            take(&mut open, "/proc/");
        }
        // It reads signals there.
        take(&mut open, "anon_inode:[signalfd]");
        // It listens here.
        take(&mut open, "socket:");
        assert!(open.is_empty(), "{shown}: {open:?}");
    }
}

#[test]
fn a_program_has_what_the_server_was_given_and_nothing_of_the_servers() {
    for_each_server("descriptors that a parent left open", |bench| {
        let mut command = bench.command_after("exec 7</dev/zero");
        command.env("LC_ALL", "C");
        let server = bench.start_command(command, &[], &LIST_DESCRIPTORS);
        let listing = read_to_end(&server.connect());
        let mut numbers: Vec<_> = descriptors(&listing).into_iter().map(|d| d.0).collect();
        assert!(numbers.contains(&"7".to_owned()), "{listing}");
        numbers.retain(|number| number != "7");
        assert_eq!(numbers, ipcserver::plain_descriptors(&bench.dir), "{listing}");
    });
    assert_ne!(REFERENCE, OURS);
}

#[test]
fn of_several_passed_sockets_a_program_gets_none() {
    let bench = Bench::new(OURS);
    let path = bench.dir.join("passed");
    let listener = UnixListener::bind(&path).expect("bind");
    let mut command = bench.command();
    command.arg(&path).args(LIST_DESCRIPTORS);
    let _server = Activated::start(&command, 3, listener);
    let listing = read_to_end(&Connection::connect(&path));
    let numbers: Vec<_> = descriptors(&listing).into_iter().map(|d| d.0).collect();
    assert_eq!(numbers, ipcserver::plain_descriptors(&bench.dir), "{listing}");
}

/// Whether others of the same user may look into a process: else its files in /proc are root's.
fn shows_itself(pid: Pid) -> bool {
    let file = format!("/proc/{}/environ", pid.as_raw_nonzero());
    fs::metadata(file).expect("a process").uid() == NOBODY
}

#[test]
fn whoever_has_read_shadow_cannot_be_looked_into_by_its_own_user() {
    let test = "whoever_has_read_shadow_cannot_be_looked_into_by_its_own_user";
    if !is_root() {
        return skip(test, "needs root");
    }
    let bench = Bench::new(OURS);
    furnish(&bench);
    chown(bench.dir.join("shadow"), Some(NOBODY), None).expect("chown");
    bench.dir.chmod("", 0o777);
    let copy = bench.dir.join("nssbox");
    stage::copy_executable(nssbox(), &copy);
    for name in APPLETS {
        fs::remove_file(bench.dir.join("bin").join(name)).expect("remove a link");
        link(&copy, &bench.dir.join("bin"), name);
    }
    let mut command = bench.command();
    command.uid(NOBODY).gid(NOBODY);
    let server = bench.start_command(command, &[], &unix(&bench));
    let client = server.connect();
    client.expect(&ask_one(), &one());
    assert!(shows_itself(server.pid()));
    client.expect(&ask_secret(), &secret());
    assert!(!shows_itself(server.pid()));
    // An enumeration opens the file by itself.
    for request in [ask_secret(), vec![support::op::SHADOW_GET]] {
        let mut command = support::nsssd(&bench.dir.join("bin"), "nsssd-unix");
        command.args(["-d", bench.dir.as_str()]).uid(NOBODY).gid(NOBODY);
        let daemon = Daemon::start(command);
        daemon.expect(&ask_one(), &one());
        assert!(shows_itself(daemon.pid()));
        daemon.expect(&request, &secret());
        assert!(!shows_itself(daemon.pid()));
    }
}
