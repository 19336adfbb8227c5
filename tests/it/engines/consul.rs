//! The source `consul`: the recorded run of Google's nsscache, and a stand-in that waits as Consul's
//! blocking queries do. (Debian 12 has no Consul.)

use super::{Running, config, fails, is_known};
use crate::directory::vectors::{compare, folder};
use crate::support::directory::{ALLOW, Machine, no_machine};
use crate::support::http::{Http, Request, send};
use crate::support::wait_until;
use std::fs;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// The text itself, and not Python's notation of its bytes.
const PASSWD: &[u8] = b"alice:x:10001:20000:Alice Example:/home/alice:/bin/zsh\n\
    bob:x:10002:20000::/home/bob:/bin/bash\ncarol:secret:10003:20001::/home/carol:/bin/bash\n";

/// E.3: `b'…'` is a bug; all else is the same, byte for byte.
#[test]
fn the_recorded_run_has_the_same_files() {
    if no_machine("the_recorded_run_has_the_same_files") {
        return;
    }
    let dir = folder("http/www");
    let server = Http::new(move |request, stream| {
        let path = request.path.split('?').next().unwrap().trim_start_matches('/').to_owned();
        let modified = [("Last-Modified", crate::support::http::MODIFIED)];
        send(stream, "200 OK", &modified, &fs::read(dir.join(path)).unwrap());
    });
    let text = fs::read_to_string(folder("consul/kv/nsscache.conf")).unwrap();
    let text = text.replace(":8390", &format!(":{}", server.port()));
    let machine = Machine::with(&text.replacen('\n', &format!("\n{ALLOW}"), 1));
    let finished = machine.expect(0, &["update", "--full"]);
    assert!(
        finished.stderr.contains("1 dropped: a field is missing: nouid"),
        "{}",
        finished.stderr
    );
    let differs: [(&str, &[u8]); 3] = [
        ("passwd.cache", PASSWD),
        ("passwd.cache.ixname", b"alice\x000\0\0\nbob\x0055\0\0\0\ncarol\x0094\0\n"),
        ("passwd.cache.ixuid", b"10001\x000\0\0\n10002\x0055\0\n10003\x0094\0\n"),
    ];
    // Their sizes with them.
    compare(&machine, "consul/kv", "consul/kv", "consul/kv/expect", &differs, &[]);
    let asked = server.requests().remove(0);
    assert_eq!(asked.path, "/v1/kv/org/users?recurse&dc=dc7");
    assert_eq!(asked.headers["x-consul-token"], "00000000-aaaa");
    is_known(&machine);
}

/// A key, and its value.
pub type Key = (String, &'static str);

fn listing(keys: &[Key]) -> String {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let one = |(key, value): &Key| format!("{{\"Key\":\"{key}\",\"Value\":\"{}\"}}", encode(value));
    format!("[{}]", keys.iter().map(one).collect::<Vec<_>>().join(","))
}

fn user(name: &str, uid: &'static str) -> Vec<Key> {
    vec![(format!("u/{name}/gid"), "20000"), (format!("u/{name}/uid"), uid)]
}

/// Consul: what it has, at which index; whoever asks with that index waits for another one.
#[derive(Clone)]
struct Store(Arc<(Mutex<(u64, String)>, Condvar)>);

impl Store {
    fn serve(body: &str) -> (Store, Http) {
        let store = Store(Arc::new((Mutex::new((7, body.to_owned())), Condvar::new())));
        let told = store.clone();
        let server = Http::new(move |request: &Request, stream| {
            let (lock, changed) = &*told.0;
            let value = |name: &str| {
                let (_, query) = request.path.split_once('?')?;
                query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
            };
            let asked: Option<u64> = value("index").map(|index| index.parse().unwrap());
            let wait =
                value("wait").map_or(300, |wait| wait.trim_end_matches('s').parse().unwrap());
            let end = Instant::now() + Duration::from_secs(wait);
            let mut now = lock.lock().unwrap();
            while asked == Some(now.0) && Instant::now() < end {
                now = changed.wait_timeout(now, end - Instant::now()).unwrap().0;
            }
            let (index, body) = now.clone();
            drop(now);
            send(stream, "200 OK", &[("X-Consul-Index", &index.to_string())], body.as_bytes());
        });
        (store, server)
    }

    fn set(&self, index: u64, body: &str) {
        let (lock, changed) = &*self.0;
        *lock.lock().unwrap() = (index, body.to_owned());
        changed.notify_all();
    }
}

fn house(more: &str) -> (Machine, Store, Http) {
    let (store, server) = Store::serve(&listing(&user("ada", "20001")));
    let url = format!("consul_passwd_url = {}/v1/kv/u\n{more}", server.url());
    (Machine::with(&config("consul", "passwd", &url)), store, server)
}

fn line(name: &str, uid: &str) -> String {
    format!("{name}:x:{uid}:20000::/home/{name}:/bin/bash\n")
}

#[test]
fn blocking_queries_tell_of_changes() {
    if no_machine("blocking_queries_tell_of_changes") {
        return;
    }
    let (machine, store, server) = house("watch_interval = 2\n");
    let watch = Running::start(&machine);
    let has = |text: &str| machine.text("passwd.cache") == text;
    assert!(has(&line("ada", "20001")));
    store.set(9, &listing(&user("ada", "20002")));
    wait_until("ada has another uid", || has(&line("ada", "20002")));
    // It goes back: another server, with an older copy.
    store.set(3, &listing(&user("bob", "20003")));
    wait_until("bob is there", || has(&line("bob", "20003")));
    // And on from there, over a query that ended without a change.
    let asked = || server.requests().iter().filter(|one| one.path.contains("index=3&")).count();
    wait_until("nothing comes, and it is asked again", || asked() > 1);
    store.set(4, &listing(&user("bob", "20004")));
    wait_until("bob has another uid", || has(&line("bob", "20004")));
    let log = watch.log();
    assert!(!log.contains("ERROR"), "{log}");
    // What was waited for is what was fetched: nobody asked for it once more.
    let plain = server.requests().iter().filter(|one| !one.path.contains("index=")).count();
    assert_eq!(plain, 1);
    let status = machine.expect(0, &["status", "--json"]).stdout;
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    assert_eq!(status[0]["watch"], "follows the source");
}

/// An index that is known is no news.
#[test]
fn the_same_index_is_the_same_map() {
    if no_machine("the_same_index_is_the_same_map") {
        return;
    }
    let (machine, store, _server) = house("");
    machine.expect(0, &["update"]);
    let again = machine.expect(0, &["-v", "update"]);
    assert!(again.stderr.contains("nothing new"), "{}", again.stderr);
    store.set(8, &listing(&user("bob", "20002")));
    machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache"), line("bob", "20002"));
}

/// Whoever answers at once without a change does not get asked in a circle.
#[test]
fn a_server_that_does_not_wait_is_left_alone() {
    if no_machine("a_server_that_does_not_wait_is_left_alone") {
        return;
    }
    let (machine, _store, server) = house("");
    let body = listing(&user("ada", "20001"));
    server.answer(move |_, stream| {
        send(stream, "200 OK", &[("X-Consul-Index", "7")], body.as_bytes());
    });
    let watch = Running::start(&machine);
    watch.says("Consul does not wait for changes");
    assert!(server.requests().len() < 20);
}

#[test]
fn what_consul_refuses_is_told() {
    if no_machine("what_consul_refuses_is_told") {
        return;
    }
    let (machine, _store, server) = house("");
    machine.expect(0, &["update"]);
    let body = listing(&user("ada", "20001"));
    let says =
        |status: &'static str, headers: &'static [(&'static str, &'static str)], body: &str| {
            let body = body.to_owned();
            server.answer(move |_, stream| send(stream, status, headers, body.as_bytes()));
        };
    says("403 Forbidden", &[], "ACL not found");
    fails(&machine, 1, "HTTP status 403: ACL not found", &[]);
    says("500 Internal Server Error", &[], "No cluster leader");
    fails(&machine, 75, "HTTP status 500: No cluster leader", &[]);
    // A token that may see a part makes the map shorter, without a word.
    says(
        "200 OK",
        &[("X-Consul-Index", "9"), ("X-Consul-Results-Filtered-By-ACLs", "true")],
        &body,
    );
    fails(&machine, 1, "the token may not read all keys", &[]);
    says("404 Not Found", &[("X-Consul-Index", "9")], "");
    fails(&machine, 1, "has no entries", &[]);
    says("200 OK", &[("X-Consul-Index", "9")], "<html>");
    fails(&machine, 1, "JSON without the array of entries", &[]);
    says("200 OK", &[("X-Consul-Index", "9")], body.trim_end_matches(']'));
    fails(&machine, 75, "JSON that ends in the middle", &[]);
}

#[test]
fn keys_that_are_no_entries_are_dropped_or_refused() {
    if no_machine("keys_that_are_no_entries_are_dropped_or_refused") {
        return;
    }
    let (machine, store, _server) = house("");
    let mut keys = vec![("u/ada/comment".to_owned(), "Ada\nroot:x:0:0::/:/bin/sh")];
    keys.extend(user("ada", "20001"));
    keys.extend(user("bob", "20002"));
    // What lies in a user's folder is not in his way.
    keys.push(("u/bob/keys/laptop".to_owned(), "k"));
    keys.push(("u/bob/shell".to_owned(), "/bin/zsh"));
    keys.extend(user("", "20003"));
    keys.push(("lone".to_owned(), "x"));
    store.set(8, &listing(&keys));
    let finished = machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache"), "bob:x:20002:20000::/home/bob:/bin/zsh\n");
    for told in ["a line break or NUL in a field: ada", "a field is missing: keys", "an empty name"]
    {
        assert!(finished.stderr.contains(told), "{told}: {}", finished.stderr);
    }
    // Half of an entry here, and half there.
    let mut split = user("ada", "20001");
    split.extend(user("bob", "20002"));
    split.push(("u/ada/shell".to_owned(), "/bin/zsh"));
    store.set(9, &listing(&split));
    fails(&machine, 1, "the keys of ada do not lie together", &[]);
    let odd = listing(&user("ada", "20001")).replace("\"Value\":\"", "\"Value\":\"*");
    store.set(10, &odd);
    fails(&machine, 1, "a value that is no base64", &[]);
}
