//! `nsscache watch` is killed, the directory is restarted, cron updates beside it; while all of it changes
//! and is read.

use super::flow::{self, Flow, sorted};
use super::slapd::{Slapd, Sync, no_ldapmodify};
use super::watch::Running;
use crate::support::directory::{Machine, no_machine};
use crate::support::wait_until;
use rustix::process::Signal;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// Whether all is tried, or a sample.
fn is_whole() -> bool {
    std::env::var_os("NSSBOX_TEST_STRICT").is_some()
}

/// All that changed is in the files as soon as it tells that it is ready, and a full update finds the same.
#[track_caller]
fn expect_current(flow: &Flow, machine: &Machine, when: &str) {
    let watch = Running::start(machine);
    flow.expect(machine, when);
    drop(watch);
    let before = machine.text("passwd.cache") + &machine.text("group.cache");
    machine.expect(0, &["update", "--full"]);
    let after = machine.text("passwd.cache") + &machine.text("group.cache");
    assert_eq!(sorted(&before), sorted(&after), "{when}");
}

/// 200 times, while 1,000 changes run.
fn is_killed(test: &str, sync: Sync) {
    if no_machine(test) || no_ldapmodify(test) {
        return;
    }
    let Some(mut slapd) = Slapd::start(test, sync, &flow::ldif()) else { return };
    let machine = Machine::with(&flow::config(&slapd, "watch_interval = 1"));
    machine.expect(0, &["update"]);
    let mut flow = Flow::new();
    let reader = flow.reader(&machine);
    let kills = if is_whole() { 200 } else { 40 };
    let mut told = 0;
    for kill in 0..kills {
        flow.change(&slapd, 2);
        let mut command = machine.shell("exec \"$0\" nsscache watch");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("watch");
        let moment = flow.random(200_000);
        std::thread::sleep(Duration::from_micros(moment / 2));
        flow.change(&slapd, 3);
        std::thread::sleep(Duration::from_micros(moment / 2));
        child.kill().expect("a kill");
        assert_eq!(child.wait().expect("its end").code(), None, "kill {kill}: it ended by itself");
        told += u32::from(machine.dir.join("lib/watch-passwd").exists());
        if kill % 20 == 19 {
            flow.settle();
            slapd.stop();
            slapd.resume();
            expect_current(&flow, &machine, &format!("kill {kill}"));
        }
    }
    flow.settle();
    expect_current(&flow, &machine, "at the end");
    let sets = reader.end();
    assert!(sets > u64::from(kills) / 2 && told > kills / 4, "{sets} sets, {told} told");
    let left = machine.made().into_iter().find(|name| name.starts_with('.'));
    assert_eq!(left, None);
}

#[test]
fn a_watch_that_is_killed_goes_on_where_it_was() {
    is_killed("a_watch_that_is_killed_goes_on_where_it_was", Sync::SessionLog);
}

#[test]
fn a_watch_that_is_killed_goes_on_without_a_session_log() {
    is_killed("a_watch_that_is_killed_goes_on_without_a_session_log", Sync::Plain);
}

#[test]
fn a_watch_that_is_killed_goes_on_without_synchronization() {
    is_killed("a_watch_that_is_killed_goes_on_without_synchronization", Sync::No);
}

/// A watch lives on through restarts of the server, and misses nothing that changed around them.
#[test]
fn the_server_is_restarted_while_all_changes() {
    let test = "the_server_is_restarted_while_all_changes";
    if no_machine(test) || no_ldapmodify(test) {
        return;
    }
    for sync in [Sync::SessionLog, Sync::Plain, Sync::No] {
        let Some(mut slapd) = Slapd::start(test, sync, &flow::ldif()) else { return };
        let machine = Machine::with(&flow::config(&slapd, "watch_interval = 1"));
        let mut flow = Flow::new();
        let watch = Running::start(&machine);
        let reader = flow.reader(&machine);
        for _ in 0..if is_whole() { 10 } else { 3 } {
            flow.change(&slapd, 30);
            flow.settle();
            slapd.stop();
            slapd.resume();
            // It may not have noticed yet.
            flow.change(&slapd, 30);
            flow.settle();
            watch.signal(Signal::USR1);
            wait_until(&format!("{sync:?}: all of it is there"), || flow.is_in(&machine));
        }
        reader.end();
    }
}

/// A cron job updates, whole or not, beside a watch: each gets its turn, and no set is an older one.
#[test]
fn cron_updates_beside_a_watch() {
    let test = "cron_updates_beside_a_watch";
    if no_machine(test) || no_ldapmodify(test) {
        return;
    }
    for sync in [Sync::SessionLog, Sync::No] {
        let Some(slapd) = Slapd::start(test, sync, &flow::ldif()) else { return };
        let machine = Machine::with(&flow::config(&slapd, "watch_interval = 1"));
        let mut flow = Flow::new();
        let watch = Running::start(&machine);
        let reader = flow.reader(&machine);
        let (end, updates) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            let (end, updates, machine) = (&end, &updates, &machine);
            let cron = scope.spawn(move || {
                while !end.load(Ordering::Relaxed) {
                    let count = updates.fetch_add(1, Ordering::Relaxed);
                    let words: &[&str] =
                        if count % 3 == 0 { &["update", "--full"] } else { &["update"] };
                    machine.expect(0, words);
                }
            });
            let least = if is_whole() { 60 } else { 12 };
            for _ in 0..2000 {
                if updates.load(Ordering::Relaxed) > least || cron.is_finished() {
                    break;
                }
                flow.change(&slapd, 1);
                let pause = flow.random(40);
                std::thread::sleep(Duration::from_millis(pause));
            }
            flow.settle();
            end.store(true, Ordering::Relaxed);
            if let Err(panic) = cron.join() {
                std::panic::resume_unwind(panic);
            }
        });
        // Nobody but watch brings it.
        flow.change(&slapd, 5);
        flow.settle();
        wait_until(&format!("{sync:?}: all of it is there"), || flow.is_in(&machine));
        reader.end();
        drop(watch);
        machine.expect(0, &["update", "--full"]);
        flow.expect(&machine, "at the end");
    }
}
