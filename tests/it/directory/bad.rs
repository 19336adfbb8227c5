//! What servers, files and commands may do: the old files stay, nothing is left behind, and the exit code
//! says so.

use crate::support::directory::{Machine, http_config, no_machine};
use crate::support::http::{Http, Request, send};
use crate::support::run_to_end;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};
use std::{fs, thread};

const OLD: &str = "old:x:10000:10000:Old:/home/old:/bin/sh\n";
const NEW: &str = "new:x:10001:10000:New:/home/new:/bin/sh\n";

/// A machine that has the old set, and a server that would send the new one.
fn house(more: &str) -> (Machine, Http) {
    let server = Http::body(OLD);
    let machine = Machine::with(&http_config("passwd", &server.url(), more));
    machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache"), OLD);
    server.set_body(NEW);
    (machine, server)
}

/// An update fails so, says so, and leaves all as it is.
#[track_caller]
fn fails(machine: &Machine, code: i32, told: &str) {
    let before = machine.made();
    let finished = machine.expect(code, &["update", "--full"]);
    assert!(finished.stderr.contains(told), "{told:?} is not in {}", finished.stderr);
    assert_eq!(machine.text("passwd.cache"), OLD, "{told}");
    assert_eq!(machine.made(), before, "{told}");
}

/// The server says these bytes.
fn says(server: &Http, bytes: impl Into<Vec<u8>>) {
    let bytes = bytes.into();
    server.answer(move |_: &Request, stream: &mut TcpStream| {
        let _ = stream.write_all(&bytes);
    });
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_body_that_is_cut_anywhere_is_none() {
    if no_machine("a_body_that_is_cut_anywhere_is_none") {
        return;
    }
    let (machine, server) = house("");
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{NEW}", NEW.len());
    for len in 0..whole.len() {
        says(&server, &whole.as_bytes()[..len]);
        fails(&machine, 75, "ERROR:update:passwd: ");
    }
    // Chunked, without its last chunk.
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{NEW}\r\n",
        NEW.len()
    );
    says(&server, chunked.clone());
    fails(&machine, 75, "ERROR:update:passwd: ");
    says(&server, format!("{chunked}0\r\n\r\n"));
    machine.expect(0, &["update", "--full"]);
    assert_eq!(machine.text("passwd.cache"), NEW);
}

#[test]
fn lies_about_the_length_are_found_out() {
    if no_machine("lies_about_the_length_are_found_out") {
        return;
    }
    let (machine, server) = house("");
    let with = |length: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{NEW}");
    for length in ["1000000", "99999999999999999999", "-5", "x"] {
        says(&server, with(length));
        fails(&machine, 75, "ERROR:update:passwd: ");
    }
    // Shorter than it is: the line is not whole.
    says(&server, with("10"));
    fails(&machine, 1, "1 of 1 entries are malformed");
}

#[test]
fn what_is_too_large_is_given_up() {
    if no_machine("what_is_too_large_is_given_up") {
        return;
    }
    let (machine, server) = house("");
    // 10 GB are announced; so much would come.
    server.answer(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n");
        let piece = vec![b'x'; 1 << 20];
        while stream.write_all(&piece).is_ok() {}
    });
    fails(&machine, 1, "line 1 is longer than 16 MiB");
    let entry = format!("[{{\"name\":\"{}", "x".repeat(20 << 20));
    let (json, _) = (Http::body(entry), ());
    let config = http_config("passwd", &json.url(), "http_format = json\n");
    machine.config(&config);
    fails(&machine, 1, "an entry of more than 16 MiB");
    machine.config(&http_config("passwd", &server.url(), ""));
    let bomb = gzip(&vec![b'\n'; 256 << 20]);
    assert!(bomb.len() < 2 << 20);
    server.answer(move |_, stream| send(stream, "200 OK", &[("Content-Encoding", "gzip")], &bomb));
    fails(&machine, 1, "unpacks to more than 200 times its size");
    // A head without end.
    server.answer(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X-More: yes\r\n").is_ok() {}
    });
    fails(&machine, 75, "ERROR:update:passwd: ");
}

#[test]
fn a_slow_server_has_the_deadline_and_no_more() {
    if no_machine("a_slow_server_has_the_deadline_and_no_more") {
        return;
    }
    let (machine, server) = house("http_timelimit = 1\n");
    // Each of these for ever, a byte now and then.
    let drip = |front: &'static [u8], byte: &'static [u8]| {
        move |_: &Request, stream: &mut TcpStream| {
            let _ = stream.write_all(front);
            while stream.write_all(byte).is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        }
    };
    for (front, byte) in [
        (&b""[..], &b"H"[..]),
        (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"a"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ] {
        server.answer(drip(front, byte));
        let begun = Instant::now();
        fails(&machine, 75, "ERROR:update:passwd: ");
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", front.escape_ascii());
    }
    server.answer(|_, _| thread::sleep(Duration::from_secs(30)));
    fails(&machine, 75, "not done within 1 s (http_timelimit)");
}

#[test]
fn redirects_and_other_statuses_are_failures() {
    if no_machine("redirects_and_other_statuses_are_failures") {
        return;
    }
    let (machine, server) = house("");
    for to in ["file:///etc/passwd", "http://127.0.0.1:1/", "/passwd"] {
        server.answer(move |_, stream| {
            send(stream, "302 Found", &[("Location", to)], NEW.as_bytes())
        });
        fails(&machine, 75, &format!("HTTP status 302: not followed to {to}"));
    }
    for status in ["206 Partial Content", "304 Not Modified", "403 No", "500 No", "204 None"] {
        server.answer(move |_, stream| send(stream, status, &[], b""));
        fails(&machine, 75, &format!("HTTP status {}", &status[..3]));
    }
    server
        .answer(|_, stream| send(stream, "200 OK", &[("Content-Encoding", "br")], NEW.as_bytes()));
    fails(&machine, 1, "the body is packed by br");
    server.answer(|_, stream| {
        send(stream, "200 OK", &[("Content-Encoding", "gzip")], NEW.as_bytes())
    });
    fails(&machine, 75, "a body that is said to be gzip");
    machine.config(&http_config("passwd", "file:///etc", ""));
    fails(&machine, 1, "neither http nor https: file:///etc/passwd");
}

#[test]
fn attempts_are_made_as_often_as_is_said() {
    if no_machine("attempts_are_made_as_often_as_is_said") {
        return;
    }
    let (machine, server) = house("");
    let config = http_config("passwd", &server.url(), "").replace("retry_max = 1", "retry_max = 3");
    machine.config(&config);
    server.answer(|_, stream| send(stream, "503 Busy", &[], b""));
    let before = server.requests().len();
    fails(&machine, 75, "attempt 2 of 3 failed: HTTP status 503");
    assert_eq!(server.requests().len() - before, 3);
    // The second attempt does it, and nothing of the first is in it.
    let count = std::sync::atomic::AtomicU32::new(0);
    server.answer(move |_, stream| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => {
            let half =
                format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{OLD}toor:x:0:0::/:\n");
            let _ = stream.write_all(half.as_bytes());
        }
        _ => send(stream, "200 OK", &[], NEW.as_bytes()),
    });
    let finished = machine.expect(0, &["update", "--full"]);
    assert_eq!(machine.text("passwd.cache"), NEW);
    assert!(!finished.stderr.contains("toor"), "{}", finished.stderr);
}

#[test]
fn json_that_is_broken_or_deep_is_no_map() {
    if no_machine("json_that_is_broken_or_deep_is_no_map") {
        return;
    }
    let (machine, server) = house("");
    machine.config(&http_config("passwd", &server.url(), "http_format = json\n"));
    let good = r#"{"name":"new","uid":10001,"gid":10000}"#;
    for (body, code, told) in [
        (format!("[{good}"), 75, "ends in the middle"),
        (format!("[{good},"), 75, "ends in the middle"),
        (format!("[{good} {good}]"), 1, "without a comma"),
        (format!("[{good}] x"), 1, "something follows"),
        (format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)), 1, "nested deeper than 64"),
        (
            format!("[{}{}]", "{\"a\":".repeat(10_000), "}".repeat(10_000)),
            1,
            "nested deeper than 64",
        ),
        ("{\"name\":\"new\"}".to_owned(), 1, "without the array"),
        ("[1,2,3]".to_owned(), 1, "3 of 3 entries are malformed"),
        (NEW.to_owned(), 1, "without the array"),
    ] {
        server.set_body(body);
        fails(&machine, code, told);
    }
    server.set_body(format!("[{good}]"));
    machine.expect(0, &["update", "--full"]);
    assert_eq!(machine.text("passwd.cache"), "new:x:10001:10000:::\n");
}

#[test]
fn files_and_commands_are_held_to_the_same() {
    if no_machine("files_and_commands_are_held_to_the_same") {
        return;
    }
    let (machine, _server) = house("");
    let base = "[DEFAULT]\nsource = files\ncache = files\nmaps = passwd\ntimestamp_dir = /var/lib/nsscache\n\
                lockfile = /run/nsscache.lock\nfiles_dir = /etc\nfiles_timelimit = 1\n";
    let with =
        |key: &str, value: &str| machine.config(&format!("{base}files_passwd_{key} = {value}\n"));
    for (command, told) in [
        (format!("printf '{NEW}'; exit 3"), "the command exited 3"),
        (format!("printf '{NEW}'; kill -9 $$"), "the command was ended by signal 9"),
        ("sleep 60".to_owned(), "did not end within 1 s"),
        (format!("printf '{NEW}'; exec >&-; sleep 60"), "did not end within 1 s"),
        ("while :; do echo x; sleep 0.1; done".to_owned(), "did not end within 1 s"),
        ("exec /nonexistent/program".to_owned(), "the command exited 127"),
    ] {
        with("command", &command.replace('\n', "\\n"));
        fails(&machine, 75, told);
    }
    // None of our descriptors, and nothing to read.
    with(
        "command",
        "ls /proc/self/fd >/run/fds; cat; printf 'new:x:10001:10000:New:/home/new:/bin/sh\\n'",
    );
    machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache"), NEW);
    let any = run_to_end(machine.shell("exec ls /proc/self/fd")).stdout;
    let any = String::from_utf8(any).unwrap();
    assert_eq!(fs::read_to_string(machine.dir.join("run/fds")).unwrap(), any);
    machine.dir.write("etc/passwd.cache", OLD);

    for (path, told) in [
        ("/etc/nosuch", "unable to open /etc/nosuch: No such file or directory"),
        ("/etc", "is no regular file"),
        ("/run/fifo", "is no regular file"),
        ("/dev/zero", "is no regular file"),
    ] {
        let _ = rustix::fs::mknodat(
            rustix::fs::CWD,
            machine.dir.join("run/fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        );
        with("path", path);
        let code = if path == "/etc/nosuch" { 75 } else { 1 };
        fails(&machine, code, told);
    }
    machine.dir.write("run/users", NEW);
    with("path", "/run/users");
    machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache"), NEW);
    // Nothing is read again while it is the same.
    let told = machine.expect(0, &["-v", "update"]).stderr;
    assert!(told.contains("passwd: nothing new from /run/users"), "{told}");
    machine.dir.write("run/users", gzip(OLD.as_bytes()));
    let told = machine.expect(0, &["-v", "update"]).stderr;
    assert!(
        told.contains("passwd: 1 entries from /run/users: 1 added, 0 changed, 1 removed"),
        "{told}"
    );
    assert_eq!(machine.text("passwd.cache"), OLD);
}

#[test]
fn a_place_that_cannot_be_written_to_is_told() {
    if no_machine("a_place_that_cannot_be_written_to_is_told") {
        return;
    }
    let (machine, _server) = house("");
    let told = |command: &str, code: i32, what: &str| {
        let finished = run_to_end(machine.shell(command));
        assert_eq!(finished.code, Some(code), "{command}: {}", finished.stderr);
        assert!(finished.stderr.contains(what), "{command}: {}", finished.stderr);
    };
    told(
        "mount -o remount,bind,ro /etc && exec \"$0\" nsscache update --full",
        1,
        "Read-only file system",
    );
    // So small a file system is full before the map is whole.
    let small = "cp /etc/passwd.cache /run/; mkdir /mnt/d && mount -t tmpfs -o size=64k none /mnt/d && cp /run/passwd.cache /mnt/d";
    let config = fs::read_to_string(machine.etc("nsscache.conf")).unwrap();
    let users: String =
        (0..5000).map(|n| format!("u{n}:x:{}:1::/home/u{n}:/bin/sh\n", 10_000 + n)).collect();
    let server = Http::body(users);
    machine.config(
        &http_config("passwd", &server.url(), "").replace("files_dir = /etc", "files_dir = /mnt/d"),
    );
    told(
        &format!(
            "mount -t tmpfs none /mnt && {small} && {{ \"$0\" nsscache update --full; code=$?; \
             cmp /run/passwd.cache /mnt/d/passwd.cache && ls -A /mnt/d >/run/left; exit $code; }}"
        ),
        1,
        "No space left on device",
    );
    assert_eq!(fs::read_to_string(machine.dir.join("run/left")).unwrap(), "passwd.cache\n");
    // A target that is not there, or leads elsewhere, which is followed as /etc's owner wants it.
    machine.config(&config.replace("files_dir = /etc", "files_dir = /etc/none"));
    let finished = machine.expect(1, &["update", "--full"]);
    assert!(
        finished.stderr.contains("/etc/none: No such file or directory"),
        "{}",
        finished.stderr
    );
    machine.dir.subdirectory("run/real");
    symlink("/run/real", machine.etc("link")).unwrap();
    machine.config(&config.replace("files_dir = /etc", "files_dir = /etc/link"));
    machine.expect(0, &["update", "--full"]);
    assert_eq!(fs::read_to_string(machine.dir.join("run/real/passwd.cache")).unwrap(), NEW);
    // Nor can a lock be a link that somebody has put there.
    fs::remove_file(machine.dir.join("run/nsscache.lock")).unwrap();
    symlink("/etc/hosts", machine.dir.join("run/nsscache.lock")).unwrap();
    let finished = machine.expect(1, &["update"]);
    assert!(finished.stderr.contains("unable to open /run/nsscache.lock"), "{}", finished.stderr);
    assert_eq!(machine.text("hosts"), "127.0.0.1 localhost\n");
}

#[test]
fn times_far_away_are_no_reason_to_fail() {
    if no_machine("times_far_away_are_no_reason_to_fail") {
        return;
    }
    let (machine, server) = house("");
    // A server of the future is believed, and told.
    server.answer(|_, stream| {
        send(
            stream,
            "200 OK",
            &[("Last-Modified", "Fri, 01 Jan 2100 00:00:00 GMT")],
            NEW.as_bytes(),
        );
    });
    machine.expect(0, &["update"]);
    server.answer(|request, stream| {
        let since = request.headers.get("if-modified-since").cloned().unwrap_or_default();
        let status = if since.contains("2100") { "304 Not Modified" } else { "200 OK" };
        send(stream, status, &[], b"");
    });
    let finished = machine.expect(0, &["-v", "update"]);
    assert!(finished.stderr.contains("ahead of this machine's clock"), "{}", finished.stderr);
    assert!(finished.stderr.contains("nothing new"), "{}", finished.stderr);
    // Rubbish counts as never.
    for rubbish in ["", "yesterday\n", "2024-99-99T00:00:00Z\n", "\u{0}\u{0}"] {
        machine.dir.write("lib/timestamp-passwd-modify", rubbish);
        machine.dir.write("lib/state-passwd", rubbish);
        server.set_body(NEW);
        machine.expect(0, &["update"]);
        let told = machine.expect(0, &["status"]).stdout;
        assert!(
            String::from_utf8_lossy(&told).contains("last-modify-timestamp: Unknown"),
            "{rubbish:?}"
        );
    }
    // A file of 2100 is older than what comes.
    let future = fs::File::options().append(true).open(machine.etc("passwd.cache")).unwrap();
    let time = std::time::UNIX_EPOCH + Duration::from_secs(4_102_444_800);
    future.set_modified(time).unwrap();
    server.set_body(OLD);
    machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache"), OLD);
    let at = |name: &str| fs::metadata(machine.etc(name)).unwrap().modified().unwrap();
    assert!(at("passwd.cache") > time);
    assert!(at("passwd.cache.ixname") >= at("passwd.cache"));
}
