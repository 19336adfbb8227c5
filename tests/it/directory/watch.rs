//! `nsscache watch` with sources other than a directory: files, commands and web servers; as its own user.

use crate::support::directory::{Machine, no_machine};
use crate::support::http::Http;
use crate::support::{DEADLINE, others_can_run_it, skip, wait_for_exit, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};

const ADA: &str = "ada:x:20001:20000:Ada:/home/ada:/bin/sh\n";
const BOB: &str = "bob:x:20002:20000:Bob:/home/bob:/bin/sh\n";

/// A watch, killed when it is dropped.
struct Running(Child);

impl Running {
    #[track_caller]
    fn spawn(mut command: Command) -> Running {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Running(command.spawn().expect("watch"))
    }

    /// One that has told that it is ready.
    #[track_caller]
    fn start(machine: &Machine) -> Running {
        let mut watch = Running::spawn(machine.shell("exec \"$0\" nsscache watch -1"));
        let mut byte = [0; 1];
        watch.0.stdout.take().unwrap().read_exact(&mut byte).expect("it tells that it is ready");
        watch
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("a child takes a signal");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// These maps from files in /etc/maps.
fn files(maps: &str, more: &str) -> String {
    format!(
        "[DEFAULT]\nsource = files\ncache = files\nmaps = {maps}\ntimestamp_dir = /var/lib/nsscache\n\
         lockfile = /run/nsscache.lock\nfiles_dir = /etc\nfiles_passwd_path = /etc/maps/passwd\n\
         files_group_path = /etc/maps/group\n{more}"
    )
}

/// However it is replaced: by another file, or in place; and a folder that goes and comes back.
#[test]
fn files_are_followed() {
    if no_machine("files_are_followed") {
        return;
    }
    // Nobody asks in the time of this test.
    let machine = Machine::with(&files("passwd, group", "watch_interval = 3600\n"));
    machine.dir.subdirectory("etc/maps");
    machine.dir.write("etc/maps/passwd", ADA);
    machine.dir.write("etc/maps/group", "staff:*:20000:ada\n");
    let watch = Running::start(&machine);
    let is = |name: &str, want: &str| {
        wait_until(&format!("{name} is {want}"), || machine.text(name) == want);
    };
    is("passwd.cache", ADA);
    let both = format!("{ADA}{BOB}");
    machine.dir.replace("etc/maps/passwd", &both);
    is("passwd.cache", &both);
    machine.dir.write("etc/maps/passwd", BOB);
    is("passwd.cache", BOB);
    machine.dir.replace("etc/maps/group", "staff:*:20000:bob\n");
    is("group.cache", "staff:*:20000:bob\n");
    let status = machine.expect(0, &["status", "--json"]).stdout;
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    assert_eq!(status[0]["watch"], "follows the source");
    // Removed, it is missed by nobody.
    fs::remove_file(machine.etc("maps/passwd")).unwrap();
    machine.dir.replace("etc/maps/group", "staff:*:20000:ada,bob\n");
    is("group.cache", "staff:*:20000:ada,bob\n");
    assert_eq!(machine.text("passwd.cache"), BOB);
    machine.dir.write("etc/maps/passwd", ADA);
    is("passwd.cache", ADA);
    // The folder is replaced by another.
    fs::rename(machine.etc("maps"), machine.etc("old")).unwrap();
    machine.dir.subdirectory("etc/maps");
    machine.dir.write("etc/maps/group", "staff:*:20000:ada,bob\n");
    machine.dir.write("etc/maps/passwd", &both);
    watch.signal(Signal::USR1);
    is("passwd.cache", &both);
    machine.dir.write("etc/maps/passwd", BOB);
    is("passwd.cache", BOB);
}

/// Half a file is not taken, as long as somebody writes it.
#[test]
fn a_file_that_is_being_written_is_left_alone() {
    if no_machine("a_file_that_is_being_written_is_left_alone") {
        return;
    }
    let machine = Machine::with(&files("passwd, group", "watch_interval = 3600\n"));
    machine.dir.subdirectory("etc/maps");
    machine.dir.write("etc/maps/passwd", ADA);
    machine.dir.write("etc/maps/group", "staff:*:20000:ada\n");
    let _watch = Running::start(&machine);
    let mut file = fs::File::create(machine.etc("maps/passwd")).unwrap();
    std::io::Write::write_all(&mut file, BOB.as_bytes()).unwrap();
    // Something else in that folder is told.
    machine.dir.replace("etc/maps/group", "staff:*:20000:bob\n");
    wait_until("the other map is there", || machine.text("group.cache").contains("bob"));
    assert_eq!(machine.text("passwd.cache"), ADA);
    std::io::Write::write_all(&mut file, ADA.as_bytes()).unwrap();
    drop(file);
    wait_until("it is whole", || machine.text("passwd.cache") == format!("{BOB}{ADA}"));
}

/// What tells nothing is asked, and whoever does something afterwards is called.
#[test]
fn commands_and_web_servers_are_asked() {
    if no_machine("commands_and_web_servers_are_asked") {
        return;
    }
    let server = Http::body(ADA);
    let text = files("passwd, group", "watch_interval = 1\npost_update = date >>/etc/hook\n")
        .replace("files_group_path = /etc/maps/group", "files_group_command = cat /etc/group.txt")
        + &format!("http_passwd_url = {}/passwd\n[passwd]\nsource = http\n", server.url());
    let machine = Machine::with(&text);
    machine.dir.write("etc/group.txt", "staff:*:20000:ada\n");
    let _watch = Running::start(&machine);
    assert_eq!(machine.text("passwd.cache"), ADA);
    server.set_body(BOB);
    machine.dir.write("etc/group.txt", "staff:*:20000:bob\n");
    wait_until("bob is there", || machine.text("passwd.cache") == BOB);
    wait_until("and his group", || machine.text("group.cache").ends_with(":bob\n"));
    wait_until("somebody was called", || {
        machine.read("hook").is_some_and(|hook| hook.iter().filter(|b| **b == b'\n').count() > 1)
    });
}

/// A server that is silent keeps neither the other maps nor cron's update from theirs.
#[test]
fn a_silent_source_holds_up_nobody_else() {
    if no_machine("a_silent_source_holds_up_nobody_else") {
        return;
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let more = format!(
        "watch_interval = 3600\nhttp_passwd_url = http://127.0.0.1:{port}/\nhttp_timelimit = 1000\n\
         [passwd]\nsource = http\n"
    );
    let machine = Machine::with(&files("passwd, group", &more));
    machine.dir.subdirectory("etc/maps");
    machine.dir.write("etc/maps/group", "staff:*:20000:ada\n");
    let _watch = Running::spawn(machine.shell("exec \"$0\" nsscache watch"));
    let (_asked, _) = silent.accept().unwrap();
    wait_until("the other map is there", || machine.read("group.cache").is_some());
    machine.dir.replace("etc/maps/group", "staff:*:20000:bob\n");
    wait_until("and another", || machine.text("group.cache").contains("bob"));
    machine.expect(0, &["update", "--full", "-m", "group"]);
}

/// Without any right but to its own folder.
#[test]
fn it_runs_as_its_own_user() {
    let test = "it_runs_as_its_own_user";
    if no_machine(test) {
        return;
    }
    if !others_can_run_it() {
        return skip(test, "other users cannot run the executable");
    }
    let own = 1500;
    let text = files("passwd, shadow", "files_shadow_path = /etc/maps/shadow\n")
        .replace("files_dir = /etc", "files_dir = /var/lib/nsscache/maps")
        .replace("/run/nsscache.lock", "/var/lib/nsscache/lock");
    let machine = Machine::with(&text);
    machine.dir.chmod("etc/nsscache.conf", 0o644);
    machine.dir.subdirectory("etc/maps");
    machine.dir.write("etc/maps/passwd", ADA);
    machine.dir.write("etc/maps/shadow", "ada:*:19000::::::\n");
    machine.dir.subdirectory("lib/maps");
    for name in ["lib", "lib/maps"] {
        chown(machine.dir.join(name), Some(own), Some(own)).unwrap();
    }
    let script = format!(
        "exec setpriv --reuid {own} --regid {own} --clear-groups \"$0\" nsscache watch -1 2>/run/log"
    );
    let mut watch = Running::spawn(machine.shell(&script));
    let mut byte = [0; 1];
    watch.0.stdout.take().unwrap().read_exact(&mut byte).expect("it tells that it is ready");
    let text = |name: &str| fs::read_to_string(machine.dir.join("lib/maps").join(name)).unwrap();
    assert_eq!(text("passwd.cache"), ADA);
    machine.dir.replace("etc/maps/passwd", BOB);
    wait_until("bob is there", || text("passwd.cache") == BOB);
    assert_eq!(machine.mode("lib/maps/passwd.cache"), (0o644, own, own));
    // It cannot give shadow to its group, and so nobody else can read it.
    assert_eq!(machine.mode("lib/maps/shadow.cache"), (0o600, own, own));
    let log = fs::read_to_string(machine.dir.join("run/log")).unwrap();
    assert!(log.contains("unable to give shadow to its owner"), "{log}");
    assert_eq!(fs::metadata(machine.dir.join("lib/lock")).unwrap().uid(), own);
    watch.signal(Signal::TERM);
    assert!(wait_for_exit(&mut watch.0).success());
}

/// systemd is told once all maps were asked for, and again and again that we are there.
#[test]
fn a_supervisor_is_told() {
    if no_machine("a_supervisor_is_told") {
        return;
    }
    let machine = Machine::with(&files("passwd", ""));
    machine.dir.subdirectory("etc/maps");
    machine.dir.write("etc/maps/passwd", ADA);
    let supervisor = UnixDatagram::bind(machine.dir.join("run/notify")).unwrap();
    supervisor.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut command = machine.shell("exec \"$0\" nsscache watch");
    command.env("NOTIFY_SOCKET", "/run/notify").env("WATCHDOG_USEC", "20000");
    let _watch = Running::spawn(command);
    let hear = || {
        let mut message = [0; 200];
        let len = supervisor.recv(&mut message).expect("a message");
        String::from_utf8_lossy(&message[..len]).into_owned()
    };
    assert_eq!(hear(), "READY=1\n");
    assert_eq!(machine.text("passwd.cache"), ADA);
    assert_eq!((hear(), hear()), ("WATCHDOG=1\n".to_owned(), "WATCHDOG=1\n".to_owned()));
}
