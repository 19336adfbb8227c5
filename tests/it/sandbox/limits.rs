//! Where the sandbox of a build with the feature `sandbox` ends: who enters one, what a server still
//! sees of files that are moved, and what not (doc/security.md). What a process may not do is not to
//! be seen from outside, so files are moved behind links to where it may not read.

use crate::support::landlock::no_landlock;
use crate::support::map::{self, ALICE, BOB, Host, NOT_FOUND, user};
use crate::support::nscd::{self, ask, asked, request};
use crate::support::{
    self, Connection, Daemon, Server, TempDir, by_name, group_reply, nsssd, op, passwd_reply,
};
use landlock::{AccessNet, Ruleset, RulesetAttr};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

const EACCES: [u8; 1] = [13];

/// As many sandboxes as the kernel lets a process be in.
const MOST: usize = 16;

fn line(uid: u32) -> String {
    format!("ada:x:{uid}:1:Ada:/home/ada:/bin/sh\n")
}

fn ada(uid: u32) -> Vec<u8> {
    passwd_reply(["ada", "x"], uid, 1, ["Ada", "/home/ada", "/bin/sh"])
}

fn ada_of_nscd(uid: u32) -> Vec<u8> {
    nscd::user(line(uid).replace(":x:", ":*:").trim_end())
}

/// A directory `etc` whose passwd is a link into `data`, beside another directory `other`.
fn stage() -> TempDir {
    let dir = TempDir::new();
    dir.bin();
    for name in ["etc", "data", "other"] {
        dir.subdirectory(name);
    }
    dir.write("data/passwd", line(1000));
    dir.write("other/passwd", line(6666));
    dir.write("etc/group", "staff:x:50:ada\n");
    symlink("../data/passwd", dir.join("etc/passwd")).unwrap();
    dir
}

/// Lets the link of [`stage`] lead elsewhere, in one step.
#[track_caller]
fn lead(dir: &TempDir, target: &str) {
    symlink(target, dir.join("etc/passwd.new")).unwrap();
    fs::rename(dir.join("etc/passwd.new"), dir.join("etc/passwd")).unwrap();
}

fn etc(dir: &TempDir) -> String {
    dir.join("etc").to_str().unwrap().to_owned()
}

/// Something that answers the nsss protocol from `etc`.
enum Nsss {
    Daemon(Daemon),
    Server { client: Connection, _server: Server },
}

impl Nsss {
    #[track_caller]
    fn expect(&self, request: &[u8], reply: &[u8]) {
        match self {
            Nsss::Daemon(daemon) => daemon.expect(request, reply),
            Nsss::Server { client, .. } => client.expect(request, reply),
        }
    }
}

/// Runs a case with a fresh directory and each of them in turn.
#[track_caller]
fn for_each(case: impl Fn(&TempDir, &Nsss)) {
    let switch = |etc| ["nsssd-switch", "3", "nsssd-unix", "-d", etc, ""];
    for words in [&["nsssd-unix", "-d", "ETC"][..], &switch("ETC")] {
        for served in [false, true] {
            println!("{words:?}, by ipcserver: {served}");
            let dir = stage();
            let etc = etc(&dir);
            let words: Vec<&str> =
                words.iter().map(|w| if *w == "ETC" { etc.as_str() } else { w }).collect();
            let bin = dir.join("bin");
            let nsss = if served {
                let server = Server::start(&bin, dir.path(), &[], &words);
                let client = server.connect();
                Nsss::Server { client, _server: server }
            } else {
                let mut command = nsssd(&bin, words[0]);
                command.args(&words[1..]);
                Nsss::Daemon(Daemon::start(command))
            };
            case(&dir, &nsss);
        }
    }
}

#[test]
fn a_sandboxed_server_answers_and_sees_files_that_are_replaced_made_and_led_to() {
    if no_landlock("a_sandboxed_server_answers_and_sees_files_that_are_replaced_made_and_led_to") {
        return;
    }
    let ask_staff = by_name(op::GRP_GETBYNAME, "staff");
    for_each(|dir, nsss| {
        nsss.expect(&user("ada"), &ada(1000));
        nsss.expect(&user("eve"), &NOT_FOUND);
        nsss.expect(&ask_staff, &group_reply("staff", "x", 50, &["ada"]));
        dir.replace("data/passwd", line(1001));
        dir.replace("etc/group", "staff:x:51:\n");
        nsss.expect(&user("ada"), &ada(1001));
        nsss.expect(&ask_staff, &group_reply("staff", "x", 51, &[]));
        dir.write("data/later", line(1002));
        lead(dir, "../data/later");
        nsss.expect(&user("ada"), &ada(1002));
        fs::remove_file(dir.join("etc/passwd")).unwrap();
        dir.replace("etc/passwd", line(1003));
        nsss.expect(&user("ada"), &ada(1003));
    });
}

#[test]
fn a_sandboxed_server_does_not_follow_a_link_to_where_it_may_not_read() {
    if no_landlock("a_sandboxed_server_does_not_follow_a_link_to_where_it_may_not_read") {
        return;
    }
    for_each(|dir, nsss| {
        nsss.expect(&user("ada"), &ada(1000));
        lead(dir, "../other/passwd");
        nsss.expect(&user("ada"), &EACCES);
        // An enumeration opens the file by another way.
        nsss.expect(&[op::PWD_GET], &EACCES);
        lead(dir, "../data/passwd");
        nsss.expect(&user("ada"), &ada(1000));
        // What counts is the directory, and not its name.
        fs::rename(dir.join("etc"), dir.join("former")).unwrap();
        dir.subdirectory("etc");
        dir.write("etc/passwd", line(6667));
        nsss.expect(&user("ada"), &EACCES);
        fs::rename(dir.join("etc"), dir.join("new")).unwrap();
        fs::rename(dir.join("former"), dir.join("etc")).unwrap();
        nsss.expect(&user("ada"), &ada(1000));
    });
}

#[test]
fn a_program_for_each_client_enters_a_sandbox_of_its_own() {
    if no_landlock("a_program_for_each_client_enters_a_sandbox_of_its_own") {
        return;
    }
    let dir = stage();
    let etc = etc(&dir);
    let words = ["nsssd-unix", "-d", etc.as_str()];
    let server = Server::start(&dir.join("bin"), dir.path(), &["--spawn"], &words);
    let first = server.connect();
    first.expect(&user("ada"), &ada(1000));
    lead(&dir, "../other/passwd");
    first.expect(&user("ada"), &EACCES);
    // This one begins where the link leads now.
    server.connect().expect(&user("ada"), &ada(6666));
}

#[test]
fn a_backend_that_is_a_program_is_not_in_the_sandbox_of_its_switch() {
    if no_landlock("a_backend_that_is_a_program_is_not_in_the_sandbox_of_its_switch") {
        return;
    }
    let dir = stage();
    let mut command = nsssd(&dir.join("bin"), "nsssd-switch");
    // It gets its files late, and from a place that the switch has no business with.
    let late = "read -r _ <DIR/fifo; exec nsssd-unix -d DIR/other".replace("DIR", dir.as_str());
    let mut fifo = support::tool(dir.path(), "mkfifo");
    fifo.arg(dir.join("fifo"));
    assert_eq!(support::run_to_end(fifo).code, Some(0));
    command.args(["0", "nsssd-unix", "-d", dir.as_str(), "", "0", "sh", "-c", &late, ""]);
    let daemon = Daemon::start(command);
    daemon.send(&user("ada"));
    fs::write(dir.join("fifo"), "\n").unwrap();
    assert_eq!(daemon.recv_exact(ada(6666).len()), ada(6666));
}

/// An nscd with these sources, none of them a program of others'.
fn nscd_at(dir: &TempDir, sources: &[&[&str]]) -> Server {
    let socket = dir.join("socket");
    let mut command = support::tool(&dir.join("bin"), "nscd");
    command.arg("-1").arg("-S").arg(&socket);
    for source in sources {
        command.arg("0").args(*source).arg("");
    }
    Server::start_command(command, &socket)
}

fn nscd_user(socket: &Path) -> Vec<u8> {
    asked(socket, &request(ask::USER, "ada"))
}

#[test]
fn nscd_that_may_start_askers_is_in_no_sandbox() {
    if no_landlock("nscd_that_may_start_askers_is_in_no_sandbox") {
        return;
    }
    let dir = stage();
    let other = dir.join("other");
    let program = ["sh", "-c", "exec nsssd-unix -d \"$0\"", other.to_str().unwrap()];
    let server = nscd_at(&dir, &[&["nsssd-unix", "-d", &etc(&dir)], &program]);
    assert_eq!(nscd_user(server.socket()), ada_of_nscd(1000));
    lead(&dir, "../other/passwd");
    assert_eq!(nscd_user(server.socket()), ada_of_nscd(6666));
}

#[test]
fn a_sandboxed_map_keeps_its_registry_and_sees_homes_that_are_made_later() {
    if no_landlock("a_sandboxed_map_keeps_its_registry_and_sees_homes_that_are_made_later") {
        return;
    }
    // Without a registry the way from a uid to its name is a list of the homes.
    for registry in ["registry DIR/registry", ""] {
        let host = Host::new();
        host.range(registry);
        host.homes(&["alice"]);
        let config = host.dir.join("nssmap.conf");
        let words = ["nsssd-map", "-f", config.to_str().unwrap()];
        let server = Server::start(&host.bin, host.dir.path(), &[], &words);
        let client = server.connect();
        client.expect(&user("alice"), &host.passwd("alice", ALICE));
        client.expect(&user("bob"), &NOT_FOUND);
        host.homes(&["bob"]);
        if !registry.is_empty() {
            client.expect(&user("bob"), &host.passwd("bob", BOB));
            let lines = host.read("registry");
            assert!(["alice", "bob"].iter().all(|name| lines.contains(name)), "{lines}");
            // One that is put in its place is read and appended to, one that is removed made anew.
            host.dir.replace("registry", lines);
            host.homes(&["carol"]);
            client.expect(&user("bob"), &host.passwd("bob", BOB));
            assert_eq!(client.ask(&user("carol"), 1), [0]);
            assert!(host.read("registry").contains("carol"), "{}", host.read("registry"));
            let client = server.connect();
            fs::remove_file(host.dir.join("registry")).unwrap();
            host.homes(&["dora"]);
            assert_eq!(client.ask(&user("dora"), 1), [0]);
            assert!(host.read("registry").contains("dora"), "{}", host.read("registry"));
            server.connect().expect(&user("bob"), &host.passwd("bob", BOB));
        }
        let client = server.connect();
        client.expect(&map::uid(BOB), &host.passwd("bob", BOB));
        client.expect(&user("bob"), &host.passwd("bob", BOB));
    }
}

#[test]
fn a_server_that_gets_no_sandbox_says_so_and_serves() {
    if no_landlock("a_server_that_gets_no_sandbox_says_so_and_serves") {
        return;
    }
    for (options, told) in [(&[][..], true), (&["-q"], false)] {
        let dir = stage();
        let etc = etc(&dir);
        // A sandbox is a thread's and of what it starts; this one ends.
        let start = || {
            for _ in 0..MOST {
                let rules = Ruleset::default().handle_access(AccessNet::BindTcp).unwrap();
                rules.create().unwrap().restrict_self().unwrap();
            }
            Server::start(&dir.join("bin"), dir.path(), options, &["nsssd-unix", "-d", &etc])
        };
        let server = std::thread::scope(|scope| scope.spawn(start).join().unwrap());
        let client = server.connect();
        client.expect(&user("ada"), &ada(1000));
        lead(&dir, "../other/passwd");
        client.expect(&user("ada"), &ada(6666));
        let warning = "ipcserver: warning: no sandbox: the kernel has no landlock, or refuses it\n";
        assert_eq!(server.stderr(), if told { warning } else { "" });
    }
}
