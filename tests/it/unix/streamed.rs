//! `nsssd-unix` while it sends a record that is larger than any buffer and the file changes: the
//! connection ends, and what the client holds is never a whole record of two versions.
#![cfg(feature = "nsssd-unix")]

use crate::support::naive::Naive;
use crate::support::stage::{Stage, big_group, settle};
use crate::support::{self, Daemon, by_id, by_name, op, receive_all};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

/// Bytes of the reply's head: status, gid, length of the strings, number of members.
const HEAD: usize = 13;

/// What happens to the file meanwhile, and whether an enumeration, which has a file of its own,
/// may bring its record to an end.
type Change = (&'static str, fn(&Stage), bool);

/// The file with its other members, of the same size.
fn other() -> String {
    big_group("big", 77, 'n')
}

const CHANGES: [Change; 9] = [
    ("replaced by a file of the same size", |s| drop(s.dir.replace("group", other())), true),
    ("replaced by a small file", |s| drop(s.dir.replace("group", "big:x:77:n\n")), true),
    ("replaced by a larger file", |s| drop(s.dir.replace("group", other() + "a:x:1:\n")), true),
    ("removed", |s| fs::remove_file(s.dir.join("group")).expect("remove"), true),
    ("emptied", |s| set_len(s, |_| 0), false),
    ("cut in the middle", |s| set_len(s, |len| len / 2), false),
    ("cut by its last byte but one", |s| set_len(s, |len| len - 2), false),
    ("overwritten in the same size", |s| overwrite(s, 0, other().as_bytes()), false),
    ("edited in its last member", |s| edit_last(s), false),
];

fn open(stage: &Stage) -> File {
    File::options().write(true).open(stage.dir.join("group")).expect("a file")
}

fn set_len(stage: &Stage, len: impl Fn(u64) -> u64) {
    let file = open(stage);
    let size = file.metadata().expect("size of a file").len();
    file.set_len(len(size)).expect("cut a file");
}

fn overwrite(stage: &Stage, at: u64, bytes: &[u8]) {
    open(stage).write_all_at(bytes, at).expect("write");
}

fn edit_last(stage: &Stage) {
    let size = fs::metadata(stage.dir.join("group")).expect("size of a file").len();
    overwrite(stage, size - 2, b"x");
}

/// For each change: asks, stops reading behind the head, changes the file, reads on. `old`: the
/// file is one that was remembered.
#[track_caller]
fn change_meanwhile(request: &[u8], changes: impl Iterator<Item = Change>, old: bool) {
    let text = big_group("big", 77, 'm');
    let whole = Naive::new("", &text, "").answer(request);
    for (what, change, _) in changes {
        let stage = Stage::with("", &text);
        if old {
            settle(&stage.dir.join("group"));
        }
        let mut daemon = stage.unix();
        let mut got = daemon.ask(request, HEAD);
        change(&stage);
        got.extend(receive_all(daemon.client()));
        assert!(got.len() < whole.len(), "{what}: {} of {} bytes", got.len(), whole.len());
        assert_eq!(got[..HEAD], whole[..HEAD], "{what}");
        assert_eq!(daemon.wait().code(), Some(111), "{what}");
        let said = daemon.stderr();
        assert!(said.starts_with("nsssd-unix: fatal: unable to finish a reply"), "{what}: {said}");
    }
}

#[test]
fn a_lookup_by_name_is_broken_off() {
    change_meanwhile(&by_name(op::GRP_GETBYNAME, "big"), CHANGES.into_iter(), false);
}

#[test]
fn a_lookup_by_number_in_a_file_that_was_remembered_is_broken_off() {
    change_meanwhile(&by_id(op::GRP_GETBYGID, 77), CHANGES.into_iter(), true);
}

#[test]
fn an_enumeration_of_a_file_that_is_written_to_is_broken_off() {
    let written = CHANGES.into_iter().filter(|(_, _, own_file)| !own_file);
    change_meanwhile(&[op::GRP_GET], written, false);
}

#[test]
fn an_enumeration_of_a_file_that_is_replaced_never_mixes_the_two() {
    let text = big_group("big", 77, 'm');
    let whole = Naive::new("", &text, "").answer(&[op::GRP_GET]);
    for (what, change, _) in CHANGES.into_iter().filter(|(_, _, own_file)| *own_file) {
        let stage = Stage::with("", &text);
        let daemon = stage.unix();
        let mut got = daemon.ask(&[op::GRP_GET], HEAD);
        change(&stage);
        // So that it ends in either case.
        daemon.client().half_close();
        got.extend(receive_all(daemon.client()));
        assert!(whole.starts_with(&got), "{what}: {} bytes", got.len());
    }
}

#[test]
fn what_is_appended_does_not_get_into_a_record_that_is_being_sent() {
    let text = big_group("big", 77, 'm');
    // Without the last LF: what is appended would belong to the same line.
    let text = text.trim_end();
    let request = by_name(op::GRP_GETBYNAME, "big");
    let whole = Naive::new("", text, "").answer(&request);
    let stage = Stage::with("", text);
    let daemon = stage.unix();
    let mut got = daemon.ask(&request, HEAD);
    let mut file = File::options().append(true).open(stage.dir.join("group")).expect("a file");
    file.write_all(b",more,members\n").expect("append");
    daemon.client().half_close();
    got.extend(receive_all(daemon.client()));
    assert!(whole.starts_with(&got), "{} bytes", got.len());
}

#[test]
fn a_client_that_reads_late_gets_the_whole_record_of_a_file_that_stays() {
    let text = big_group("big", 77, 'm') + "after:x:78:\n";
    let stage = Stage::with("", &text);
    let mut naive = Naive::new("", &text, "");
    let mut daemon = stage.unix();
    for request in [by_name(op::GRP_GETBYNAME, "big"), by_id(op::GRP_GETBYGID, 78)] {
        daemon.send(&request);
    }
    settle(&stage.dir.join("group"));
    for request in [by_name(op::GRP_GETBYNAME, "big"), by_id(op::GRP_GETBYGID, 78)] {
        let want = naive.answer(&request);
        let got = daemon.recv_exact(want.len());
        support::assert_same_bytes("a late reply", &got, &want);
    }
    assert_eq!(daemon.finish(), Some(0));
}

#[test]
fn a_client_that_leaves_in_the_middle_ends_the_daemon() {
    let stage = Stage::with("", big_group("big", 77, 'm'));
    let mut daemon: Daemon = stage.unix();
    daemon.ask(&by_name(op::GRP_GETBYNAME, "big"), HEAD);
    // No signal, but an error of its own (Q13 of the protocol's page).
    assert_eq!(daemon.finish(), Some(111));
    let said = daemon.stderr();
    assert!(said.starts_with("nsssd-unix: fatal: unable to write to stdout: "), "{said}");
}
