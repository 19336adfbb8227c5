//! Changes of etcd as a watch sees them.

use super::{Etcd, Running, as_whole, bytes_of, has, house};
use crate::engines::is_known;
use crate::support::http::Http;
use crate::support::wait_until;
use serde_json::Value;
use std::io::{Write as _, copy};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// 2,000 users; 1,000 changes are seen in their order; a compaction, a restart, and another one while the
/// watch is away.
#[test]
fn changes_are_seen_in_their_order() {
    let test = "engines::etcd::watch::changes_are_seen_in_their_order";
    let Some(mut etcd) = Etcd::start(test, 2000) else { return };
    let machine = house(&etcd.url(), "etcd_page_size = 300\nwatch_interval = 2\n");
    let watch = Running::start(&machine);
    let text = || machine.text("passwd.cache");
    assert_eq!(text().lines().count(), 2000);
    let seen = || -> u32 {
        let text = text();
        let line = text.lines().find(|line| line.starts_with("user7:")).unwrap();
        line.split(':').nth(4).unwrap().parse().unwrap_or(0)
    };
    let mut last = 0;
    for at in 1..=1000 {
        etcd.put_user("user7", 20_007, &at.to_string());
        let now = seen();
        assert!(now >= last && now <= at, "{last} {now} {at}");
        last = now;
        if at % 100 == 0 {
            wait_until("a hundred changes are there", || seen() == at);
        }
    }
    wait_until("the last change is there", || seen() == 1000);
    assert_eq!(text().lines().count(), 2000);
    // Each kind of change, and one that comes and goes.
    etcd.put_user("new", 30_000, "");
    etcd.delete("/accounts/passwd/user9");
    etcd.put_user("flash", 30_001, "");
    etcd.delete("/accounts/passwd/flash");
    let has = |name: &str| has(&machine, name);
    wait_until("one is new and one is gone", || has("new") && !has("user9") && !has("flash"));
    // None of it was fetched whole once more.
    let updates = || -> Vec<u64> {
        let log = watch.log();
        log.lines().filter(|line| line.contains("entries from")).map(bytes_of).collect()
    };
    let all = updates();
    assert!(all[1..].iter().all(|bytes| *bytes < all[0] / 2), "{all:?}");
    etcd.compact();
    etcd.put_user("after", 30_002, "");
    wait_until("the watch goes on over a compaction", || has("after"));
    // Away, while what it was told last is compacted.
    etcd.stop();
    etcd.resume();
    etcd.wait();
    etcd.put_user("away", 30_003, "");
    etcd.delete("/accounts/passwd/user10");
    etcd.compact();
    watch.wake();
    wait_until("what happened meanwhile is there", || has("away") && !has("user10"));
    etcd.put_user("again", 30_004, "");
    wait_until("it is followed again", || has("again"));
    // What it would begin with when its time is over is compacted meanwhile: it asks for what is newer.
    let asked = || watch.log().matches("nothing new").count();
    let before = asked();
    for _ in 0..3 {
        etcd.put("/other", "x");
    }
    etcd.compact();
    wait_until("what is newer is asked for", || asked() > before);
    etcd.put_user("last", 30_006, "");
    wait_until("it is followed from there", || has("last"));
    assert!(*updates().last().unwrap() < all[0] / 2, "{}", watch.log());
    // Somebody else updates meanwhile.
    as_whole(&machine);
    etcd.put_user("later", 30_005, "");
    wait_until("it is followed from there", || has("later"));
    let status = machine.expect(0, &["status", "--json"]).stdout;
    let status: Value = serde_json::from_slice(&status).unwrap();
    assert_eq!(status[0]["watch"], "follows the source");
    drop(watch);
    as_whole(&machine);
    is_known(&machine);
}

/// A user is deleted, and that is compacted, while the watch is on its way to etcd: one that asks for
/// what follows the last revision it has is not told of it by etcd 3.4.23 (etcd-io/etcd#18089).
#[test]
fn what_is_deleted_while_a_watch_begins_is_gone() {
    let test = "engines::etcd::watch::what_is_deleted_while_a_watch_begins_is_gone";
    let Some(etcd) = Etcd::start(test, 20) else { return };
    let (open, port) = (Arc::new(AtomicBool::new(false)), etcd.ports.0);
    let gate = Arc::clone(&open);
    let between = Http::new(move |request, stream| {
        if request.path == "/v3/watch" {
            wait_until("watches are let through", || gate.load(Ordering::Relaxed));
        }
        let mut etcd = TcpStream::connect(("127.0.0.1", port)).expect("etcd listens");
        let head = format!(
            "{} {} HTTP/1.1\r\nHost: etcd\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            request.method,
            request.path,
            request.body.len()
        );
        let asked = etcd.write_all(head.as_bytes()).and_then(|()| etcd.write_all(&request.body));
        // Either may have seen enough.
        let _ = asked.and_then(|()| copy(&mut etcd, stream));
    });
    let machine = house(&between.url(), "watch_interval = 120\n");
    let _watch = Running::start(&machine);
    assert!(has(&machine, "user7"));
    wait_until("the watch is on its way", || {
        between.requests().iter().any(|request| request.path == "/v3/watch")
    });
    etcd.delete("/accounts/passwd/user7");
    etcd.compact();
    open.store(true, Ordering::Relaxed);
    wait_until("the user is gone", || !has(&machine, "user7"));
    etcd.put_user("new", 30_000, "");
    wait_until("it is followed from there", || has(&machine, "new"));
    as_whole(&machine);
}

/// A watch that begins anew begins with the last change that it was told of, which is not brought in again.
#[test]
fn a_watch_that_is_renewed_brings_nothing_twice() {
    let test = "engines::etcd::watch::a_watch_that_is_renewed_brings_nothing_twice";
    let Some(etcd) = Etcd::start(test, 20) else { return };
    let machine = house(&etcd.url(), "watch_interval = 2\n");
    let watch = Running::start(&machine);
    etcd.put_user("new", 30_000, "");
    wait_until("the change is there", || has(&machine, "new"));
    let begun = etcd.watches();
    wait_until("it was renewed", || etcd.watches() > begun + 2);
    etcd.put_user("newer", 30_001, "");
    wait_until("the next change is there", || has(&machine, "newer"));
    watch.says("22 entries");
    assert!(!watch.log().contains("nothing new"), "{}", watch.log());
}
