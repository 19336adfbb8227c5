//! The source `etcd`: Debian's etcd (package etcd-server), which tests/peers unpacks; and a stand-in for
//! what a real one does not do.

mod access;
mod watch;

use super::{Running, config, fails};
use crate::support::directory::{Machine, no_machine};
use crate::support::http::{Http, send};
use crate::support::{Captured, TempDir, peer, wait_for_exit, wait_until};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A member, which ends when it is dropped.
struct Etcd {
    program: PathBuf,
    dir: TempDir,
    /// For clients, for peers.
    ports: (u16, u16),
    /// What it is started with besides.
    more: Vec<String>,
    child: Option<Child>,
    stderr: Captured,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

impl Etcd {
    /// One alone, with so many users. `None`, which is said: there is none, or no machine.
    #[track_caller]
    fn start(test: &str, users: u32) -> Option<Etcd> {
        if no_machine(test) {
            return None;
        }
        let mut etcd = Etcd::prepare(test)?;
        let peer = format!("alone=http://127.0.0.1:{}", etcd.ports.1);
        etcd.more = vec!["--name".into(), "alone".into(), "--initial-cluster".into(), peer];
        // Tokens that nobody used for a second are not taken any more.
        etcd.more.extend(["--auth-token-ttl", "1", "--bcrypt-cost", "4"].map(str::to_owned));
        etcd.resume();
        etcd.wait();
        etcd.fill(users);
        Some(etcd)
    }

    #[track_caller]
    fn prepare(test: &str) -> Option<Etcd> {
        let program = peer(test, "etcd-server", "usr/bin/etcd")?;
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let held = (free(), free());
        let ports = (held.0.local_addr().unwrap().port(), held.1.local_addr().unwrap().port());
        let (dir, stderr) = (TempDir::new(), Captured::new());
        Some(Etcd { program, dir, ports, more: Vec::new(), child: None, stderr })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.0)
    }

    /// Starts it (again).
    #[track_caller]
    fn resume(&mut self) {
        let peers = format!("http://127.0.0.1:{}", self.ports.1);
        let mut command = Command::new(&self.program);
        command.arg("--data-dir").arg(self.dir.join("data")).arg("--unsafe-no-fsync");
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        if !self.more.iter().any(|word| word == "--listen-client-urls") {
            command.args(["--listen-client-urls", &self.url()]);
            command.args(["--advertise-client-urls", &self.url()]);
        }
        command.args(&self.more).stdin(Stdio::null());
        command.stdout(self.stderr.stdio()).stderr(self.stderr.stdio());
        self.child = Some(command.spawn().expect("etcd"));
    }

    /// Until it answers.
    #[track_caller]
    fn wait(&self) {
        wait_until("etcd is ready", || {
            self.try_call("kv/range", &json!({"key": encoded("a")}), None)
                .is_some_and(|answer| answer["header"].is_object() || answer["code"].is_number())
        });
    }

    #[track_caller]
    fn stop(&mut self) {
        let mut child = self.child.take().expect("a running etcd");
        kill_process(Pid::from_child(&child), Signal::TERM).expect("a child takes a signal");
        wait_for_exit(&mut child);
    }

    fn try_call(&self, path: &str, body: &Value, token: Option<&str>) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports.0)).ok()?;
        let body = body.to_string();
        let token = token.map_or(String::new(), |token| format!("Authorization: {token}\r\n"));
        let head = format!(
            "POST /v3/{path} HTTP/1.1\r\nHost: etcd\r\n{token}Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).ok()?;
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        while answer.read_line(&mut line).ok()? > 2 {
            line.clear();
        }
        let mut text = String::new();
        answer.read_to_string(&mut text).ok()?;
        // A long one is chunked.
        let begin = text.find('{')?;
        serde_json::from_str(text[begin..=text.rfind('}')?].trim()).ok()
    }

    /// Asks something that it has to grant.
    #[track_caller]
    fn call(&self, path: &str, body: &Value, token: Option<&str>) -> Value {
        let answer = self.try_call(path, body, token).expect("an answer");
        assert!(answer.get("error").is_none(), "{path} {body}: {answer}");
        answer
    }

    fn put(&self, key: &str, value: &str) {
        self.call("kv/put", &json!({"key": encoded(key), "value": encoded(value)}), None);
    }

    fn put_user(&self, name: &str, uid: u32, gecos: &str) {
        self.put(&format!("/accounts/passwd/{name}"), &line(name, uid, gecos));
    }

    fn delete(&self, key: &str) {
        self.call("kv/deleterange", &json!({"key": encoded(key)}), None);
    }

    /// So many users, 100 at a time.
    fn fill(&self, count: u32) {
        let all: Vec<u32> = (0..count).collect();
        for some in all.chunks(100) {
            let puts = some.iter().map(|at| {
                let name = format!("user{at}");
                let (key, value) =
                    (format!("/accounts/passwd/{name}"), line(&name, 20_000 + at, ""));
                json!({"request_put": {"key": encoded(&key), "value": encoded(&value)}})
            });
            self.call("kv/txn", &json!({"success": puts.collect::<Vec<_>>()}), None);
        }
    }

    /// How many watches were begun so far.
    fn watches(&self) -> u64 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports.0)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let begun = |line: &&str| {
            line.starts_with("grpc_server_started_total") && line.contains("\"Watch\"")
        };
        let line = text.lines().find(begun).expect("a count of watches");
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    fn revision(&self) -> u64 {
        let answer = self.call("kv/range", &json!({"key": encoded("x")}), None);
        answer["header"]["revision"].as_str().unwrap().parse().unwrap()
    }

    fn compact(&self) {
        self.call("kv/compaction", &json!({"revision": self.revision().to_string()}), None);
    }
}

fn line(name: &str, uid: u32, gecos: &str) -> String {
    format!("{name}:x:{uid}:20000:{gecos}:/home/{name}:/bin/sh")
}

fn house(url: &str, more: &str) -> Machine {
    let more = format!("etcd_endpoints = {url}\netcd_prefix = /accounts\n{more}");
    Machine::with(&config("etcd", "passwd", &more))
}

/// Whether a user is in the file.
fn has(machine: &Machine, name: &str) -> bool {
    machine.text("passwd.cache").lines().any(|line| line.starts_with(&format!("{name}:")))
}

/// How much came for an update, as the last line of a log has it.
fn bytes_of(text: &str) -> u64 {
    let (_, rest) = text.rsplit_once(" s, ").unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}

/// What an update that asks anew makes of it.
#[track_caller]
fn as_whole(machine: &Machine) {
    let sorted = || {
        let mut lines: Vec<String> =
            machine.text("passwd.cache").lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let before = sorted();
    machine.expect(0, &["update", "--full"]);
    assert_eq!(before, sorted());
}

/// Updates without a watch ask for what is newer, and know when a key is gone.
#[test]
fn updates_ask_for_what_is_newer() {
    let test = "engines::etcd::updates_ask_for_what_is_newer";
    let Some(etcd) = Etcd::start(test, 150) else { return };
    let machine = house(&etcd.url(), "");
    let update = || machine.expect(0, &["-v", "update"]).stderr;
    let all = bytes_of(&update());
    assert!(update().contains("nothing new"));
    // Others write elsewhere in the store.
    etcd.put("/other", "x");
    assert!(update().contains("nothing new"));
    etcd.put_user("user3", 20_003, "changed");
    etcd.put_user("new", 30_000, "");
    let text = update();
    assert!(
        text.contains("151 entries") && text.contains("1 added, 1 changed, 0 removed"),
        "{text}"
    );
    assert!(bytes_of(&text) < all / 10, "{text}");
    // One is gone, one came back under its name, one came.
    etcd.delete("/accounts/passwd/user5");
    etcd.delete("/accounts/passwd/user6");
    etcd.put_user("user6", 20_006, "again");
    etcd.put_user("newer", 30_001, "");
    etcd.compact();
    let text = update();
    assert!(
        text.contains("151 entries") && text.contains("1 added, 1 changed, 1 removed"),
        "{text}"
    );
    as_whole(&machine);
    // What is allowed now was not then: the lines that are there do not tell.
    let config = machine.text("nsscache.conf");
    machine.config(&config.replacen('\n', "\nallow_local_names = yes\n", 1));
    assert!(!update().contains("nothing new"));
}

#[test]
fn keys_that_are_no_names_and_values_that_are_no_lines_are_dropped() {
    let test = "engines::etcd::keys_that_are_no_names_and_values_that_are_no_lines_are_dropped";
    let Some(etcd) = Etcd::start(test, 30) else { return };
    let machine = house(&etcd.url(), "watch_interval = 5\n");
    for (key, value) in [
        ("a/b", line("a/b", 1000, "")),
        ("", line("", 1000, "")),
        ("../../root", line("../../root", 1000, "")),
        ("mallory", line("user1", 1000, "")),
        ("two", format!("{}\n{}", line("two", 1000, ""), line("root", 0, ""))),
        ("word", "word".to_owned()),
        ("binary", "\u{1}\u{0}binary".to_owned()),
        ("zero", line("zero", 0, "")),
        ("object", r#"{"uid": 1000, "gid": 1000, "gecos": "An object"}"#.to_owned()),
        ("broken", r#"{"uid": 1000, "gid""#.to_owned()),
        ("other", r#"{"name": "root", "uid": 1000, "gid": 1}"#.to_owned()),
        ("twice", r#"{"uid": 1000, "uid": 0, "gid": 1}"#.to_owned()),
    ] {
        etcd.put(&format!("/accounts/passwd/{key}"), &value);
    }
    // Not of this map.
    etcd.put("/accounts/passwd0", "x");
    etcd.put("/accounts/passwdx/user1", &line("user1", 0, ""));
    let finished = machine.expect(0, &["update"]);
    let text = machine.text("passwd.cache");
    assert_eq!(text.lines().count(), 31, "{text}");
    assert!(text.contains("object:x:1000:1000:An object::\n"));
    for told in [
        "3 dropped: a key that is no name: , ../../root, a/b",
        "2 dropped: a key whose value has another name: mallory, other",
        "a value that is no line: binary, word",
        "a line break or NUL in a field: two",
        "uid 0 (allow_uid0): zero",
        "a name that comes twice in an object: twice",
    ] {
        assert!(finished.stderr.contains(told), "{told}: {}", finished.stderr);
    }
    // The same by a watch; and a good one that becomes bad is no user any more.
    let _watch = Running::start(&machine);
    etcd.put("/accounts/passwd/user2", &line("root", 0, ""));
    etcd.put_user("mallory", 30_000, "");
    let has = |name: &str| has(&machine, name);
    wait_until("the changes are there", || has("mallory") && !has("user2"));
    assert!(!has("root"));
}

/// What a real one does not do.
#[test]
fn what_is_not_etcd_is_no_map() {
    let test = "engines::etcd::what_is_not_etcd_is_no_map";
    if no_machine(test) {
        return;
    }
    let server = Http::body("x");
    let machine = house(&server.url(), "");
    let header = r#""header":{"cluster_id":"1","revision":"5"}"#;
    let pair = |name: &str| {
        let (key, value) =
            (encoded(&format!("/accounts/passwd/{name}")), encoded(&line(name, 20_000, "")));
        format!(r#"{{"key":"{key}","create_revision":"2","mod_revision":"2","value":"{value}"}}"#)
    };
    let (a, b) = (pair("a"), pair("b"));
    for (body, code, says) in [
        ("<html>".to_owned(), 1, "JSON without"),
        ("{}".to_owned(), 1, "an answer that is not etcd's"),
        (format!("{{{header}}}"), 1, "has no entries"),
        (
            format!("{{{header},\"kvs\":[{a},{b}],\"count\":\"3\"}}"),
            75,
            "there are 3 keys, and sent 2",
        ),
        (format!("{{{header},\"kvs\":[{a}],\"count\":\"2\"}}"), 75, "there are 2 keys, and sent 1"),
        // The same page again and again.
        (
            format!("{{{header},\"kvs\":[{a}],\"more\":true,\"count\":\"2\"}}"),
            1,
            "not in their order",
        ),
        (format!("{{{header},\"kvs\":[{b},{a}],\"count\":\"2\"}}"), 1, "not in their order"),
        (
            format!("{{{header},\"kvs\":[{{\"key\":\"*\"}}],\"count\":\"1\"}}"),
            1,
            "a key that is none",
        ),
        (format!("{{{header},\"more\":true,\"count\":\"1\"}}"), 1, "a page without keys"),
    ] {
        server.set_body(body);
        fails(&machine, code, says, &[]);
    }
    // The revision is compacted in the middle of its pages: all again.
    let step = AtomicUsize::new(0);
    let page = format!("{{{header},\"kvs\":[{a}],\"more\":true,\"count\":\"2\"}}");
    let whole = format!("{{{header},\"kvs\":[{a},{b}],\"count\":\"2\"}}");
    let gone = "etcdserver: mvcc: required revision has been compacted";
    let gone = format!("{{\"error\":\"{gone}\",\"message\":\"{gone}\",\"code\":11}}");
    server.answer(move |_, stream| match step.fetch_add(1, Ordering::Relaxed) {
        0 => send(stream, "200 OK", &[], page.as_bytes()),
        1 => send(stream, "400 Bad Request", &[], gone.as_bytes()),
        _ => send(stream, "200 OK", &[], whole.as_bytes()),
    });
    machine
        .config(&machine.text("nsscache.conf").replace("etcd_retry_max = 1", "etcd_retry_max = 2"));
    let finished = machine.expect(0, &["update"]);
    assert!(
        finished.stderr.contains("required revision has been compacted"),
        "{}",
        finished.stderr
    );
    assert_eq!(machine.text("passwd.cache").lines().count(), 2);
    let asked: Vec<Vec<u8>> =
        server.requests().into_iter().rev().take(3).map(|one| one.body).collect();
    let page_of = |body: &[u8], revision: u32| {
        String::from_utf8_lossy(body).contains(&format!("\"revision\":\"{revision}\""))
    };
    assert!(page_of(&asked[0], 0) && page_of(&asked[1], 5) && page_of(&asked[2], 0));
    machine
        .config(&machine.text("nsscache.conf").replace("etcd_retry_max = 2", "etcd_retry_max = 1"));
    let body = r#"{"error":"etcdserver: request timed out","code":14,"message":"etcdserver: request timed out"}"#;
    server.answer(move |_, stream| send(stream, "503 Service Unavailable", &[], body.as_bytes()));
    fails(&machine, 75, "etcdserver: request timed out", &[]);
    // It goes on without end, in the middle of a key.
    server.answer(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"kvs\":[{\"key\":\"");
        while stream.write_all(&[b'x'; 65_536]).is_ok() {}
    });
    fails(&machine, 1, "an entry of more than 16 MiB", &[]);
}
