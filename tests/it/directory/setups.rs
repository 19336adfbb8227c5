//! The ways of doc/nsscache.md by which an update is run, and that from Google's nsscache to ours.

use crate::support::directory::{Machine, http_config, no_machine};
use crate::support::http::Http;
use crate::support::{have_program, procfs, run_to_end, skip, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;

const PAGE: &str = include_str!("../../../doc/nsscache.md");
const USERS: &str =
    "alice:x:10001:20000:Alice:/home/alice:/bin/sh\nbob:x:10002:20000::/home/bob:\n";

#[test]
fn the_line_for_cron_updates() {
    if no_machine("the_line_for_cron_updates") {
        return;
    }
    let line = PAGE.split("`*/15 * * * * root ").nth(1).unwrap().split('`').next().unwrap();
    let line = line.replace("--sleep 60", "--sleep 0").replacen("nsscache", "\"$0\" nsscache", 1);
    let server = Http::body(USERS);
    let machine = Machine::with(&http_config("passwd", &server.url(), ""));
    let finished = run_to_end(machine.shell(&line));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("INFO:update:passwd: 2 entries from http://"),
        "{}",
        finished.stderr
    );
    assert_eq!(machine.text("passwd.cache"), USERS);
}

#[test]
fn the_service_of_runit_updates_again_and_again() {
    if no_machine("the_service_of_runit_updates_again_and_again") {
        return;
    }
    let server = Http::body(USERS);
    let machine = Machine::with(&http_config("passwd", &server.url(), ""));
    let run = concat!(env!("CARGO_MANIFEST_DIR"), "/doc/examples/runit/nsscache/run");
    fs::copy(run, machine.dir.join("run/run")).unwrap();
    let script = "mkdir /run/bin && ln -s \"$0\" /run/bin/nssbox && PATH=/run/bin:$PATH NSSCACHE_EVERY=0 \
                  exec sh /run/run >/dev/null 2>&1";
    let mut child = machine.shell(script).spawn().unwrap();
    wait_until("the second update", || server.requests().len() > 1);
    wait_until("the file is there", || machine.etc("passwd.cache").exists());
    // Nobody else runs it.
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(machine.text("passwd.cache"), USERS);
}

#[test]
fn files_of_the_original_are_taken_over() {
    if no_machine("files_of_the_original_are_taken_over") {
        return;
    }
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/nsscache/http");
    let server = Http::files(format!("{vectors}/www").into());
    let more = "allow_uid0 = yes\n";
    let machine = Machine::with(&http_config("passwd", &server.url(), more));
    // What Python's nsscache has left.
    for name in ["passwd.cache", "passwd.cache.ixname", "passwd.cache.ixuid"] {
        fs::copy(format!("{vectors}/plain/expect/{name}"), machine.etc(name)).unwrap();
    }
    machine.dir.write("lib/timestamp-passwd-modify", "2024-05-06T07:08:09Z\n");
    machine.dir.write("lib/timestamp-passwd-update", "2024-05-06T08:00:00Z\n");
    let told = machine.expect(0, &["-v", "update"]).stderr;
    let asked = server.requests().pop().unwrap();
    assert_eq!(asked.headers["if-modified-since"], "Mon, 06 May 2024 07:08:09 GMT");
    assert!(told.contains("nothing new"), "{told}");
    // Its files stay; ours are beside them.
    let same = fs::read(format!("{vectors}/plain/expect/passwd.cache.ixuid")).unwrap();
    assert_eq!(machine.read("passwd.cache.ixuid").unwrap(), same);
    assert!(machine.etc("passwd.cache.hashname").exists());
    // Another URL has another set, however old.
    let config = http_config("passwd", &server.url(), more);
    machine.expect(0, &["update", "--full"]);
    machine.config(&config.replace("/passwd\n", "/passwd.comments\n"));
    machine.expect(0, &["update", "--accept-shrink"]);
    assert!(!server.requests().pop().unwrap().headers.contains_key("if-modified-since"));
    assert_eq!(machine.text("passwd.cache"), "alice:x:1:1::/:/bin/sh\ndave:x:4:4::/:/bin/sh\n");
}

#[test]
fn a_proxy_is_asked_for_what_is_far() {
    if no_machine("a_proxy_is_asked_for_what_is_far") {
        return;
    }
    let proxy = Http::body(USERS);
    let url = "http://user:secret@far.example";
    let more = format!("http_http_proxy = {}\n", proxy.url());
    let machine = Machine::with(&http_config("passwd", url, &more));
    let finished = machine.nsscache(&["update"]);
    assert!(
        finished.stderr.contains("a password goes to far.example in plain text"),
        "{}",
        finished.stderr
    );
    assert!(!finished.stderr.contains("secret"), "{}", finished.stderr);
    let asked = proxy.requests();
    assert!(!asked.is_empty(), "{}", finished.stderr);
    assert!(asked[0].path.contains("far.example"), "{asked:?}");
    // By the environment, and not for what is exempt.
    machine.config(&http_config("passwd", "http://far.example", ""));
    let with = |variables: &str| {
        let before = proxy.requests().len();
        run_to_end(machine.shell(&format!("{variables} exec \"$0\" nsscache update")));
        proxy.requests().len() > before
    };
    assert!(with(&format!("http_proxy={}", proxy.url())));
    assert!(!with(&format!("http_proxy={} no_proxy=example", proxy.url())));
    assert!(!with(&format!("HTTP_PROXY={}", proxy.url())));
}

/// The process below this one that watches.
fn watch_below(pid: Pid) -> Option<Pid> {
    procfs::children(pid).into_iter().find_map(|child| {
        let path = format!("/proc/{}/cmdline", child.as_raw_nonzero());
        let words = fs::read(path).unwrap_or_default();
        match words.ends_with(b"\0watch\0") || words.ends_with(b"\0watch\0-1\0") {
            true => Some(child),
            false => watch_below(child),
        }
    })
}

/// A watch under a supervisor that `script` starts as PID 1; nssbox is in /run/bin. It is there, it goes on,
/// and it is started again when it ends. `None`: a program is not there, which is said.
#[track_caller]
fn is_supervised(test: &str, programs: &[&str], script: &str) -> Option<Machine> {
    if no_machine(test) {
        return None;
    }
    if let Some(missing) = programs.iter().find(|program| !have_program(program)) {
        skip(test, &format!("no {missing}"));
        return None;
    }
    let text = "[DEFAULT]\nsource = files\ncache = files\nmaps = passwd\ntimestamp_dir = /var/lib/nsscache\n\
                lockfile = /run/nsscache.lock\nfiles_dir = /etc\nfiles_passwd_path = /etc/maps/passwd\n\
                watch_interval = 3600\n";
    let machine = Machine::with(text);
    machine.dir.subdirectory("etc/maps");
    machine.dir.write("etc/maps/passwd", USERS);
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/doc/examples");
    let script = format!(
        "mkdir /run/bin && ln -s \"$0\" /run/bin/nssbox && export PATH=/run/bin:$PATH EXAMPLES={examples}\n\
         exec unshare -p --fork --kill-child --mount-proc sh -c '{script}' >/run/log 2>&1"
    );
    let mut supervisor = machine.shell(&script).spawn().unwrap();
    let is = |want: &str| machine.read("passwd.cache").is_some_and(|text| text == want.as_bytes());
    let told = || fs::read_to_string(machine.dir.join("run/log")).unwrap_or_default();
    wait_until(&format!("the file is there: {}", told()), || is(USERS));
    let first: &str = USERS.lines().next().unwrap();
    let first = format!("{first}\n");
    machine.dir.replace("etc/maps/passwd", &first);
    wait_until("it is followed", || is(&first));
    let before = watch_below(Pid::from_child(&supervisor)).expect("a watch");
    kill_process(before, Signal::KILL).unwrap();
    wait_until("another one watches", || {
        watch_below(Pid::from_child(&supervisor)).is_some_and(|pid| pid != before)
    });
    machine.dir.replace("etc/maps/passwd", USERS);
    wait_until("it is followed again", || is(USERS));
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    Some(machine)
}

#[test]
fn s6_keeps_a_watch() {
    // s6-svwait ends once the watch has told that it is ready.
    let script = "cp -R $EXAMPLES/s6 /run/scan && rm -r /run/scan/nscd /run/scan/nsssd
        s6-svscan /run/scan & until s6-svwait -U -t 20000 /run/scan/nsscache-watch; do sleep 0.1; done
        echo ready >/run/ready; wait";
    let programs = ["s6-svscan", "s6-svwait"];
    let Some(machine) = is_supervised("s6_keeps_a_watch", &programs, script) else { return };
    assert!(machine.dir.join("run/ready").exists());
}

#[test]
fn runit_keeps_a_watch() {
    let script = "mkdir /run/sv && cp -R $EXAMPLES/runit/nsscache-watch /run/sv/ && exec runsvdir -P /run/sv";
    is_supervised("runit_keeps_a_watch", &["runsvdir"], script);
}

#[test]
fn busybox_init_keeps_a_watch() {
    let (_, rest) = PAGE.split_once("busybox init: the line `").unwrap();
    let line = rest.split('`').next().unwrap().replace("/usr/bin/nssbox", "/run/bin/nssbox");
    let script = format!("echo {line} >/etc/inittab && exec busybox init");
    is_supervised("busybox_init_keeps_a_watch", &["busybox"], &script);
}
