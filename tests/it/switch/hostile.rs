//! `nsssd-switch` with backends that break the protocol: what they say is never passed on, and
//! they have failed for good. The backends are small shell scripts.
#![cfg(all(feature = "nsssd-switch", feature = "nsssd-unix"))]

use crate::support::procfs;
use crate::support::script::{MUTE, answering, say, take};
use crate::support::stage::Stage;
use crate::support::{
    self, Daemon, by_id, by_name, group_reply, grouplist, grouplist_reply, op, passwd_reply,
    receive_all, shadow_reply, wait_until,
};

/// What a client gets when all that could answer has failed for good.
const EIO: [u8; 1] = [5];

/// Good files for the backend behind the bad one.
fn stage() -> Stage {
    let stage = Stage::new();
    stage.dir.accounts(
        "bob:x:1001:1000:Bob:/home/bob:/bin/sh\n",
        "staff:x:50:bob,amy\n",
        "bob:*:1::::::\n",
    );
    stage
}

fn bob() -> Vec<u8> {
    passwd_reply(["bob", "x"], 1001, 1000, ["Bob", "/home/bob", "/bin/sh"])
}

fn ask_bob() -> Vec<u8> {
    by_name(op::PWD_GETBYNAME, "bob")
}

/// A switch over a script, with this bitfield, and over the good files.
#[track_caller]
fn switch(stage: &Stage, options: &[&str], bits: u8, script: &str) -> Daemon {
    let backends: [(u8, &[&str]); 2] =
        [(bits, &["sh", "-c", script]), (0, &["nsssd-unix", "-d", stage.dir.as_str()])];
    stage.switch(options, &backends)
}

/// All children were killed, if need be, and waited for.
#[track_caller]
fn expect_no_children(daemon: &Daemon) {
    wait_until("the failed child is gone", || procfs::children(daemon.pid()).is_empty());
}

/// The one who answers `request` so has failed for good: the next one is asked, or with bit 1
/// nobody is.
#[track_caller]
fn is_failure(what: &str, request: &[u8], reply: &[u8], good: &[u8]) {
    let stage = stage();
    let script = answering(request, reply);
    println!("{what}: {script}");
    let mut daemon = switch(&stage, &[], 0, &script);
    daemon.expect(request, good);
    daemon.expect(request, good);
    daemon.expect(&ask_bob(), &bob());
    expect_no_children(&daemon);
    assert_eq!(daemon.finish(), Some(0));
    // Not by the bits of failures that are answered, nor of entries that are not there.
    let daemon = switch(&stage, &[], 6, &script);
    daemon.expect(request, good);
    let daemon = switch(&stage, &[], 1, &script);
    daemon.expect(request, &EIO);
    daemon.expect(request, &EIO);
}

/// Status 0, a uid, a gid, and the string area with its length.
fn passwd_bytes(length: u32, area: &[u8]) -> Vec<u8> {
    let mut reply = vec![0, 0, 0, 3, 232, 0, 0, 3, 232];
    reply.extend(length.to_be_bytes());
    reply.extend(area);
    reply
}

/// Status 0, a gid, the lengths, and the string area.
fn group_bytes(length: u32, members: u32, area: &[u8]) -> Vec<u8> {
    let mut reply = vec![0, 0, 0, 0, 50];
    reply.extend(length.to_be_bytes());
    reply.extend(members.to_be_bytes());
    reply.extend(area);
    reply
}

#[test]
fn the_scripts_of_these_tests_can_answer_well() {
    let stage = stage();
    let reply = passwd_reply(["amy", "y"], 1007, 8, ["", "", ""]);
    let daemon = switch(&stage, &[], 0, &answering(&ask_bob(), &reply));
    daemon.expect(&ask_bob(), &reply);
    let request = by_name(op::PWD_GETBYNAME, "amy");
    let daemon = switch(&stage, &[], 4, &answering(&request, &[255]));
    daemon.expect(&request, &[255]);
}

#[test]
fn a_passwd_reply_that_breaks_the_protocol_is_a_failure_for_good() {
    let nul = |count: usize| vec![0; count];
    for (what, reply) in [
        ("no string area", passwd_bytes(0, b"")),
        ("four strings", passwd_bytes(4, &nul(4))),
        ("no NUL", passwd_bytes(5, b"abcde")),
        ("a NUL short", passwd_bytes(8, b"a\0b\0c\0d\0")),
        ("a NUL too many", passwd_bytes(6, &nul(6))),
        ("behind the last NUL", passwd_bytes(6, b"\0\0\0\0\0a")),
        ("many NULs in a huge area", passwd_bytes(u32::MAX, &nul(200))),
        ("many NULs in a large area", passwd_bytes(5000, &nul(200))),
        ("a byte too many", [bob(), vec![0]].concat()),
        ("two replies", [bob(), bob()].concat()),
        ("a byte behind not found", vec![255, 255]),
        ("a byte behind a failure", vec![13, 0]),
    ] {
        is_failure(what, &ask_bob(), &reply, &bob());
    }
}

#[test]
fn a_group_reply_that_breaks_the_protocol_is_a_failure_for_good() {
    let request = by_name(op::GRP_GETBYNAME, "staff");
    let good = group_reply("staff", "x", 50, &["bob", "amy"]);
    for (what, reply) in [
        ("no string area", group_bytes(0, 0, b"")),
        ("one string", group_bytes(1, 0, b"\0")),
        ("more members than bytes", group_bytes(4, 3, b"\0\0\0\0")),
        ("most members that there may be", group_bytes(u32::MAX, 0x3000_0000, b"g\0x\0")),
        ("all members that a number can hold", group_bytes(7, u32::MAX, b"g\0x\0a\0\0")),
        ("as many with name and password", group_bytes(7, u32::MAX - 1, b"g\0x\0a\0\0")),
        ("a member short", group_bytes(6, 2, b"g\0x\0a\0")),
        ("a member too many", group_bytes(8, 1, b"g\0x\0a\0b\0")),
        ("no NUL at the end", group_bytes(7, 1, b"g\0x\0\0ab")),
    ] {
        is_failure(what, &request, &reply, &good);
    }
}

#[test]
fn other_replies_that_break_the_protocol_are_failures_for_good() {
    let shadow = by_name(op::SHADOW_GETBYNAME, "bob");
    let good = shadow_reply("bob", "*", [1, -1, -1, -1, -1, -1, -1]);
    let shadow_bytes = |length: u32, area: &[u8]| {
        let mut reply = vec![0; 57];
        reply.extend(length.to_be_bytes());
        reply.extend(area);
        reply
    };
    is_failure("a shadow without strings", &shadow, &shadow_bytes(0, b""), &good);
    is_failure("a shadow with one", &shadow, &shadow_bytes(1, b"\0"), &good);
    is_failure("a shadow with three", &shadow, &shadow_bytes(3, b"\0\0\0"), &good);

    let list = grouplist(3, "bob");
    let good = grouplist_reply(3, &[50]);
    for (what, reply) in [
        ("another n", grouplist_reply(4, &[7])),
        ("no n", grouplist_reply(0, &[])),
        ("more gids than n", [&grouplist_reply(3, &[1, 2, 3, 4])[..], &[0, 0, 0, 4]].concat()),
        ("more gids than r", [&grouplist_reply(3, &[1])[..], &[0, 0, 0, 4]].concat()),
        ("not found", [&[255][..], &[0]].concat()),
    ] {
        is_failure(what, &list, &reply, &good);
    }
    is_failure("a byte behind not found", &by_id(op::PWD_GETBYUID, 1001), &[255, 0], &bob());
}

#[test]
fn a_backend_that_answers_a_rewind_wrong_has_failed() {
    let stage = stage();
    for reply in [&[0, 0][..], &[0, 5], &[13, 13]] {
        let daemon = switch(&stage, &[], 1, &answering(&[op::PWD_REWIND], reply));
        // All backends were told, and one of them is well.
        daemon.expect(&[op::PWD_REWIND], &[0]);
        expect_no_children(&daemon);
        daemon.expect(&ask_bob(), &EIO);
    }
}

#[test]
fn a_backend_that_speaks_unasked_has_failed() {
    for byte in [0, 5, 255] {
        for (bits, reply) in [(0, bob()), (6, bob()), (1, EIO.to_vec())] {
            let stage = stage();
            let started = stage.dir.join("started");
            let script = format!(": >{};{}{MUTE}", started.display(), say(&[byte]));
            let daemon = switch(&stage, &[], bits, &script);
            wait_until("the child runs", || started.exists());
            expect_no_children(&daemon);
            daemon.expect(&ask_bob(), &reply);
            daemon.expect(&ask_bob(), &reply);
        }
    }
}

#[test]
fn a_backend_that_speaks_between_two_requests_has_failed() {
    let stage = stage();
    let ready = stage.dir.join("ready");
    let amy = passwd_reply(["amy", "y"], 1007, 8, ["", "", ""]);
    // Speaks up once the test has seen its answer.
    let script = format!(
        "{}{}until test -e {}; do :; done;{}{MUTE}",
        take(&ask_bob()),
        say(&amy),
        ready.display(),
        say(&amy)
    );
    let daemon = switch(&stage, &[], 0, &script);
    daemon.expect(&ask_bob(), &amy);
    stage.dir.write("ready", "");
    expect_no_children(&daemon);
    daemon.expect(&ask_bob(), &bob());
}

#[test]
fn a_backend_that_closes_its_socket_is_killed() {
    let stage = stage();
    let reply = passwd_reply(["amy", "y"], 1007, 8, ["", "", ""]);
    let live_on = "exec sleep 1000 </dev/null >/dev/null";
    for script in [live_on.to_owned(), take(&ask_bob()) + live_on] {
        let daemon = switch(&stage, &[], 0, &script);
        daemon.expect(&ask_bob(), &bob());
        expect_no_children(&daemon);
    }
    let daemon = switch(&stage, &[], 1, &(take(&ask_bob()) + &say(&reply) + live_on));
    daemon.expect(&ask_bob(), &reply);
    expect_no_children(&daemon);
    daemon.expect(&ask_bob(), &EIO);
}

#[test]
fn a_backend_that_ends_in_the_very_request_has_failed() {
    let stage = stage();
    for script in [
        // Before it, in it, behind it, and within the answer.
        "exit 0".to_owned(),
        "kill -KILL $$".to_owned(),
        "dd bs=1 count=3 >/dev/null 2>&1".to_owned(),
        take(&ask_bob()),
        take(&ask_bob()) + "kill -KILL $$",
        take(&ask_bob()) + &say(&bob()[..1]),
        take(&ask_bob()) + &say(&bob()[..13]) + "kill -SEGV $$",
        take(&ask_bob()) + &say(&bob()[..bob().len() - 1]),
    ] {
        println!("{script}");
        for (bits, reply) in [(0, bob()), (6, bob()), (1, EIO.to_vec()), (7, EIO.to_vec())] {
            let daemon = switch(&stage, &[], bits, &script);
            daemon.expect(&ask_bob(), &reply);
            expect_no_children(&daemon);
            daemon.expect(&ask_bob(), &reply);
        }
    }
}

#[test]
fn an_answer_counts_although_its_backend_ends_behind_it() {
    let stage = stage();
    let amy = passwd_reply(["amy", "y"], 1007, 8, ["", "", ""]);
    let daemon = switch(&stage, &[], 7, &(take(&ask_bob()) + &say(&amy)));
    daemon.expect(&ask_bob(), &amy);
    expect_no_children(&daemon);
    daemon.expect(&ask_bob(), &EIO);
}

#[test]
fn a_reply_in_single_bytes_is_as_good() {
    let stage = stage();
    let reply = passwd_reply(["amy", "y"], 1007, 8, ["Amy", "/home/amy", "/bin/sh"]);
    // A process for each byte, so that most of them come alone.
    let bytes = |reply: &[u8]| -> String {
        reply.iter().map(|byte| format!("({});", say(&[*byte]).trim_end_matches(';'))).collect()
    };
    let script = take(&ask_bob()) + &bytes(&reply) + MUTE;
    let daemon = switch(&stage, &["-t", "20000"], 7, &script);
    daemon.expect(&ask_bob(), &reply);
    let request = grouplist(3, "bob");
    let list = grouplist_reply(3, &[4, 5, 6, 7]);
    let script = take(&request) + &bytes(&list) + MUTE;
    let daemon = switch(&stage, &["-t", "20000"], 7, &script);
    daemon.expect(&request, &list);
}

#[test]
fn half_a_reply_and_then_silence_is_a_failure_with_a_limit() {
    let stage = stage();
    for length in [0, 1, 5, 13, 20, bob().len() - 1] {
        let script = take(&ask_bob()) + &say(&bob()[..length]) + MUTE;
        for (bits, reply) in [(0, bob()), (6, bob()), (1, EIO.to_vec())] {
            let daemon = switch(&stage, &["-t", "200"], bits, &script);
            daemon.expect(&ask_bob(), &reply);
            expect_no_children(&daemon);
            daemon.expect(&ask_bob(), &reply);
        }
    }
}

/// A backend that begins a record of 300 KB and goes on as `rest` says; from here on no other
/// one can stand in.
#[track_caller]
fn breaks_off(options: &[&str], rest: &str, members: u32, length: u32) {
    let stage = stage();
    let request = by_name(op::GRP_GETBYNAME, "big");
    let head = group_bytes(length, members, b"big\0x\0");
    let script = take(&request) + &say(&head) + rest;
    println!("{script}");
    let mut daemon = switch(&stage, options, 0, &script);
    let got = {
        daemon.send(&request);
        receive_all(daemon.client())
    };
    assert!(got.len() < 13 + length as usize, "{} bytes", got.len());
    assert!(got.starts_with(&head[..13]), "{:?}", &got[..got.len().min(20)]);
    assert_eq!(daemon.wait().code(), Some(111));
    assert!(daemon.stderr().starts_with("nsssd-switch: fatal: unable to finish a reply"));
}

/// So many members of 9 letters each.
fn members(count: u32) -> String {
    format!("yes abcdefghi | head -n {count} | tr '\\n' '\\000';")
}

#[test]
fn a_large_record_that_breaks_in_the_middle_ends_the_connection() {
    let length = 6 + 30_000 * 10;
    let most = members(29_999);
    breaks_off(&[], "exit 0", 30_000, length);
    breaks_off(&[], &(most.clone() + "exit 0"), 30_000, length);
    breaks_off(&[], &(most.clone() + &say(b"abcdefghi")), 30_000, length);
    breaks_off(&["-t", "200"], &(most.clone() + MUTE), 30_000, length);
    // Too many strings, one too few, a last one without its NUL.
    breaks_off(&[], &(most.clone() + &say(b"abcd\0fghi\0") + MUTE), 30_000, length);
    breaks_off(&[], &(most.clone() + &say(b"abcdefghi\0") + MUTE), 30_001, length);
    breaks_off(&[], &(most.clone() + &say(b"abcd\0fghij") + MUTE), 30_000, length);
    // An area of 4 GiB.
    breaks_off(&[], &(most + "exit 0"), 30_000, u32::MAX);
}

#[test]
fn a_large_record_of_a_script_passes() {
    let stage = stage();
    let request = by_name(op::GRP_GETBYNAME, "big");
    let head = group_bytes(6 + 30_000 * 10, 30_000, b"big\0x\0");
    let script = take(&request) + &say(&head) + &members(30_000) + MUTE;
    let mut daemon = switch(&stage, &["-t", "20000"], 0, &script);
    let want = [&head[..], &b"abcdefghi\0".repeat(30_000)].concat();
    support::assert_answers(&daemon, &request, &want);
    // It is still there, and asked before the other one.
    assert_eq!(procfs::children(daemon.pid()).len(), 1);
    assert_eq!(daemon.finish(), Some(0));
}
