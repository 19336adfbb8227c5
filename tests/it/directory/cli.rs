//! The command line: the recorded exit codes, status, the lock, and what a configuration has wrong.

use crate::support::directory::{ALLOW, Machine, http_config, no_machine};
use crate::support::http::Http;
use crate::support::{run_to_end, wait_until};
use serde_json::Value;
use std::fs;
use std::process::Stdio;
use std::time::SystemTime;

const USERS: &str =
    "alice:x:10001:20000:Alice:/home/alice:/bin/sh\nbob:x:10002:20000::/home/bob:\n";
const GROUPS: &str = "users:x:20000:alice,bob\n";

/// A machine and its server: passwd and group.
fn house(maps: &str, more: &str) -> (Machine, Http) {
    let files = crate::support::TempDir::new();
    files.write("passwd", USERS);
    files.write("group", GROUPS);
    let server = Http::new({
        let dir = files.path().to_owned();
        // It lives as long as the server, which is as long as the test program.
        std::mem::forget(files);
        move |request, stream| match fs::read(dir.join(request.path.trim_start_matches('/'))) {
            Ok(body) => crate::support::http::send(stream, "200 OK", &[], &body),
            Err(_) => crate::support::http::send(stream, "404 Not Found", &[], b""),
        }
    });
    (Machine::with(&http_config(maps, &server.url(), more)), server)
}

#[test]
fn exit_codes_are_those_that_were_recorded() {
    let test = "exit_codes_are_those_that_were_recorded";
    if no_machine(test) {
        return;
    }
    let text = include_str!("../../vectors/nsscache/cli/runs.json");
    let runs: Vec<Value> = serde_json::from_str(text).unwrap();
    let (machine, _server) = house("passwd, group", ALLOW);
    let mut tried = 0;
    for run in &runs {
        let words: Vec<&str> =
            run["argv"].as_array().unwrap().iter().skip(1).map(|w| w.as_str().unwrap()).collect();
        if run.get("note").is_some() {
            // Held by another process: below.
            continue;
        }
        let finished = machine.nsscache(&words);
        let exit = run["exit"].as_i64().map(|code| code as i32);
        assert_eq!(finished.code, exit, "{words:?}: {}", finished.stderr);
        if let Some(stdout) = run["stdout"].as_str() {
            assert_eq!(String::from_utf8_lossy(&finished.stdout), stdout, "{words:?}");
        }
        let lines = finished.stderr.lines();
        let errors = lines.filter(|line| line.starts_with("ERROR:")).count();
        // Where theirs ends by an exception, ours says what is wrong.
        let want = match run.get("uncaught_exception") {
            Some(_) => 1,
            None => run["errors"].as_u64().unwrap() as usize,
        };
        assert_eq!(errors, want, "{words:?}: {}", finished.stderr);
        let usage = finished.stderr.contains("nsscache: fatal: ");
        if run.get("usage_on_stderr").is_some() {
            assert!(usage, "{words:?}: {}", finished.stderr);
        }
        tried += 1;
    }
    assert_eq!(tried, runs.len() - 1);
}

#[test]
fn help_is_there_for_each_command() {
    if no_machine("help_is_there_for_each_command") {
        return;
    }
    let machine = Machine::new();
    for command in [
        "update",
        "verify",
        "status",
        "repair",
        "help",
        "check-config",
        "index",
        "sshkey",
        "automount",
    ] {
        let told = machine.expect(0, &["help", command]).stdout;
        let told = String::from_utf8(told).unwrap();
        assert!(told.starts_with("Usage: nsscache "), "{told}");
        assert!(told.lines().all(|line| line.len() <= 80), "{told}");
        if command != "help" {
            let same = machine.expect(0, &[command, "--help"]).stdout;
            assert_eq!(String::from_utf8(same).unwrap(), told, "{command}");
        }
    }
}

#[test]
fn status_tells_what_is_known() {
    if no_machine("status_tells_what_is_known") {
        return;
    }
    let www = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/nsscache/http/www");
    let server = Http::files(www.into());
    let more = "[automount]\nfiles_cache_filename_suffix =\n";
    let config = http_config("passwd, automount", &server.url(), &format!("{ALLOW}{more}"));
    let machine = Machine::with(&config);
    machine.expect(0, &["update"]);
    let text = |words: &[&str]| String::from_utf8(machine.expect(0, words).stdout).unwrap();
    let told = text(&["status", "-m", "passwd"]);
    let mut lines = told.lines();
    assert_eq!(lines.next(), Some("NSS map: passwd"));
    assert_eq!(lines.next(), Some("last-modify-timestamp: Mon May  6 07:08:09 2024"));
    // Local time.
    let mut berlin =
        machine.shell("TZ=CET-1CEST,M3.5.0,M10.5.0/3 exec \"$0\" nsscache status -m passwd");
    berlin.env_remove("TZ");
    let berlin = String::from_utf8(run_to_end(berlin).stdout).unwrap();
    assert!(berlin.contains("last-modify-timestamp: Mon May  6 09:08:09 2024\n"), "{berlin}");
    let epoch = text(&["status", "--epoch", "-m", "passwd", "--template=%(key)s=%(value)s"]);
    assert!(
        epoch.starts_with("last-modify-timestamp=1714979289\nlast-update-timestamp=1"),
        "{epoch}"
    );
    let automount = text(&[
        "status",
        "-m",
        "automount",
        "--template=%(key)s",
        "--automount-template=%(automount)s %(key)s",
    ]);
    assert_eq!(
        automount,
        "last-modify-timestamp\nlast-update-timestamp\n/etc/auto.home last-modify-timestamp\n\
         /etc/auto.home last-update-timestamp\n/etc/auto.usr_proj last-modify-timestamp\n\
         /etc/auto.usr_proj last-update-timestamp\n"
    );
    let json: Value = serde_json::from_str(&text(&["status", "--json"])).unwrap();
    assert_eq!(json[0]["map"], "passwd");
    assert_eq!(json[0]["entries"], 12);
    assert_eq!(json[0]["modified"], "2024-05-06T07:08:09Z");
    assert_eq!(json[0]["origin"], format!("{}/passwd", server.url()));
    assert_eq!(json[0]["error"], Value::Null);
    assert_eq!(json[2]["file"], "/etc/auto.home");
    // And what went wrong last.
    server.set_body("");
    machine.expect(1, &["update", "-m", "passwd"]);
    let json: Value = serde_json::from_str(&text(&["status", "--json", "-m", "passwd"])).unwrap();
    assert!(json[0]["error"].as_str().unwrap().contains("no entries"), "{json}");
    assert_eq!(json[0]["entries"], 12);
    machine.expect(1, &["status", "--template=%(nosuch)s"]);
}

/// Holds the lock of a machine until its input ends; says so in a file.
const HOLDER: &str = "import fcntl, os, sys\n\
    f = open('/run/nsscache.lock', 'a+')\n\
    fcntl.lockf(f, fcntl.LOCK_EX)\n\
    f.seek(0); f.truncate(); f.write('%d\\n' % os.getpid()); f.flush()\n\
    open('/run/held', 'w').close()\n\
    sys.stdin.read()\n";

#[test]
fn one_at_a_time() {
    if no_machine("one_at_a_time") {
        return;
    }
    let (machine, _server) = house("passwd", "");
    machine.dir.write("run/nsscache-holder.py", HOLDER);
    // As Python's nsscache holds it.
    let mut holder = machine.shell("exec python3 /run/nsscache-holder.py");
    let mut holder = holder.stdin(Stdio::piped()).spawn().unwrap();
    wait_until("the lock is held", || machine.dir.join("run/held").exists());
    let finished = machine.expect(200, &["update"]);
    assert!(
        finished.stderr.contains("ERROR:nsscache:another process has the lock"),
        "{}",
        finished.stderr
    );
    machine.expect(200, &["repair"]);
    machine.expect(0, &["status"]);
    assert!(machine.made().is_empty());
    // Its command line has "nsscache" in it: it is asked to end.
    machine.expect(0, &["update", "--force-lock"]);
    assert!(!holder.wait().unwrap().success());
    assert_eq!(machine.text("passwd.cache"), USERS);
    // A number that a dead process has left holds nothing.
    machine.dir.write("run/nsscache.lock", "4194303\n");
    machine.expect(0, &["update"]);
    assert_eq!(machine.mode("run/nsscache.lock").0, 0o644);
}

#[test]
fn sleep_comes_first() {
    if no_machine("sleep_comes_first") {
        return;
    }
    let (machine, _server) = house("passwd", "");
    let begun = SystemTime::now();
    machine.expect(0, &["update", "--sleep=1"]);
    assert!(begun.elapsed().unwrap().as_secs() >= 1);
}

#[test]
fn check_config_names_each_fault_with_its_line() {
    if no_machine("check_config_names_each_fault_with_its_line") {
        return;
    }
    let (machine, _server) = house("passwd, group", "");
    assert_eq!(machine.expect(0, &["check-config"]).stdout, b"");
    let config = fs::read_to_string(machine.etc("nsscache.conf")).unwrap();
    let lines = config.lines().count();
    machine.config(&format!(
        "{config}rfc2307bis = 1\nhttp_retry_max = often\n\n[pasword]\nx = 1\n[group]\non_bad_entry = keep\n"
    ));
    // A key that comes twice is an error of the whole file.
    let finished = machine.expect(1, &["check-config"]);
    assert!(
        finished.stderr.contains("http_retry_max again in section [DEFAULT]"),
        "{}",
        finished.stderr
    );
    machine.config(&format!(
        "{config}rfc2307bis = 1\nallow_uid0 = perhaps\n\n[pasword]\nx = 1\n[group]\non_bad_entry = keep\n"
    ));
    let told = String::from_utf8(machine.expect(1, &["check-config"]).stdout).unwrap();
    let line = |n: usize| format!("/etc/nsscache.conf: line {}: ", lines + n);
    assert_eq!(
        told,
        format!(
            "{}rfc2307bis: nobody reads this key; is it ldap_rfc2307bis?\n\
             {}allow_uid0: perhaps is neither yes nor no\n\
             {}there is no map [pasword]\n\
             {}on_bad_entry: keep is none of drop, refuse\n",
            line(1),
            line(2),
            line(4),
            line(7)
        )
    );
    // verify counts them; an update warns, and fails where it needs the value.
    machine.config(&format!("{config}rfc2307bis = 1\n"));
    let finished = machine.expect(0, &["update"]);
    assert!(
        finished.stderr.contains("WARNING:nsscache:/etc/nsscache.conf: line"),
        "{}",
        finished.stderr
    );
    let before = machine.nsscache(&["verify"]).code.unwrap();
    machine.config(&config);
    assert_eq!(machine.nsscache(&["verify"]).code, Some(before - 1));
}

#[test]
fn a_configuration_with_a_secret_is_not_for_others() {
    if no_machine("a_configuration_with_a_secret_is_not_for_others") {
        return;
    }
    let (machine, server) = house("passwd", "");
    let url = server.url().replace("http://", "http://user:p%40ss@");
    machine.config(&http_config("passwd", &url, ""));
    machine.expect(0, &["update"]);
    let request = server.requests().pop().unwrap();
    // user:p@ss
    assert_eq!(request.headers["authorization"], "Basic dXNlcjpwQHNz");
    machine.dir.chmod("etc/nsscache.conf", 0o644);
    let finished = machine.expect(1, &["update", "--full"]);
    assert!(finished.stderr.contains("chmod 600 /etc/nsscache.conf"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("p%40ss"), "{}", finished.stderr);
    // A file of its own for it.
    let config = http_config("passwd", &server.url(), "http_passwd_url_file = /etc/url\n");
    let config: String = config
        .lines()
        .filter(|l| !l.starts_with("http_passwd_url ="))
        .map(|l| format!("{l}\n"))
        .collect();
    machine.config(&config);
    machine.dir.chmod("etc/nsscache.conf", 0o644);
    machine.dir.write("etc/url", format!("{url}/passwd\n"));
    let finished = machine.expect(1, &["update"]);
    assert!(finished.stderr.contains("chmod 600 /etc/url"), "{}", finished.stderr);
    machine.dir.chmod("etc/url", 0o400);
    machine.expect(0, &["update"]);
    // Nor does a debug log tell it.
    let finished = machine.expect(0, &["-d", "update", "--full"]);
    assert!(
        !finished.stderr.contains("p%40ss") && !finished.stderr.contains("p@ss"),
        "{}",
        finished.stderr
    );
    let state = fs::read_to_string(machine.dir.join("lib/state-passwd")).unwrap();
    assert!(!state.contains("p%40ss"), "{state}");
}

#[test]
fn post_update_runs_once_where_something_is_new() {
    if no_machine("post_update_runs_once_where_something_is_new") {
        return;
    }
    let (machine, _server) = house("passwd, group", "post_update = echo ran >>/run/ran\n");
    machine.expect(0, &["update"]);
    let ran = || fs::read_to_string(machine.dir.join("run/ran")).unwrap_or_default();
    assert_eq!(ran(), "ran\n");
    machine.expect(0, &["update"]);
    assert_eq!(ran(), "ran\n", "nothing was new");
    machine.expect(0, &["update", "--full"]);
    assert_eq!(ran(), "ran\nran\n");
}
