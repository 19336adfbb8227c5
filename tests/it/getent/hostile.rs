//! What `getent -S` says when a server closes, fails or lies: nothing that is not whole may look
//! as if it were.
#![cfg(feature = "getent")]

use super::asking::{
    FATAL, ONE, WARNING, answering, assert_fails, assert_prints, getent, hostile, one_reply,
    read_request,
};
use crate::support::{TempDir, group_reply, grouplist_reply};
use std::io::Write as _;

#[test]
fn a_reply_may_come_byte_by_byte() {
    let dir = TempDir::new();
    let socket = hostile(&dir, |client| {
        read_request(client)?;
        one_reply().iter().try_for_each(|byte| client.write_all(&[*byte]))
    });
    assert_prints(&getent(["-S", &socket, "passwd", "one"]), ONE);
}

#[test]
fn a_server_that_closes_is_a_failure_and_no_answer() {
    let dir = TempDir::new();
    let ends = ": Input/output error";
    for reads_first in [false, true] {
        let socket =
            || hostile(&dir, move |client| if reads_first { read_request(client) } else { Ok(()) });
        for words in [&["passwd", "one"][..], &["passwd", "0"], &["group", "g"], &["shadow", "one"]]
        {
            let finished = getent(["-S", &socket()].iter().chain(words));
            let begins = format!("{WARNING}unable to look up in {}", words[0]);
            assert_fails(&finished, 2, b"", &begins, ends);
        }
        for database in ["passwd", "group", "shadow"] {
            let finished = getent(["-S", &socket(), database]);
            assert_fails(&finished, 1, b"", WARNING, ends);
        }
        let finished = getent(["-S", &socket(), "initgroups", "one"]);
        assert_fails(&finished, 1, b"", WARNING, ends);
    }
}

#[test]
fn a_status_that_is_no_success_is_told_as_an_error() {
    let dir = TempDir::new();
    for (status, ends) in [(13, "Permission denied"), (5, "Input/output error"), (110, "out")] {
        let socket = answering(&dir, vec![vec![status]]);
        assert_fails(&getent(["-S", &socket, "shadow", "one"]), 2, b"", WARNING, ends);
    }
    let socket = answering(&dir, vec![vec![255], one_reply(), vec![2]]);
    let finished = getent(["-S", &socket, "passwd", "nope", "one", "other"]);
    let ends = "No such file or directory";
    assert_fails(&finished, 2, ONE.as_bytes(), WARNING, ends);
}

#[test]
fn garbage_is_never_printed() {
    let dir = TempDir::new();
    let short = one_reply();
    let area = 13;
    let replace = |at: usize, byte: u8| {
        let mut reply = one_reply();
        reply[at] = byte;
        reply
    };
    let garbage: Vec<Vec<u8>> = vec![
        // No string area at all.
        [vec![0; 9], vec![0, 0, 0, 0]].concat(),
        // The last string is not closed.
        replace(short.len() - 1, b'x'),
        // A string too many, one too few.
        replace(short.len() - 2, 0),
        replace(area + 3, b'x'),
        // More than a reply.
        [short.clone(), vec![0]].concat(),
        [vec![255], short].concat(),
        // The record ends early.
        one_reply()[..one_reply().len() - 1].to_vec(),
        one_reply()[..5].to_vec(),
        vec![0],
        vec![],
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
    ];
    for reply in garbage {
        let shown = reply.escape_ascii().to_string();
        let finished = getent(["-S", &answering(&dir, vec![reply]), "passwd", "one"]);
        println!("{shown}: {finished:?}");
        assert_fails(&finished, 2, b"", WARNING, "");
    }
}

#[test]
fn after_garbage_a_server_is_not_asked_again() {
    let dir = TempDir::new();
    let replies = vec![[one_reply(), vec![1]].concat(), one_reply(), one_reply()];
    let finished = getent(["-S", &answering(&dir, replies), "passwd", "one", "one"]);
    assert_eq!((finished.code, finished.stdout.as_slice()), (Some(2), &b""[..]));
    let warning = "getent: warning: unable to look up in passwd: Input/output error\n";
    assert_eq!(finished.stderr, warning.repeat(2));
}

/// A record too large for one piece is printed while it comes: if it breaks, its line must not end.
#[test]
fn a_long_record_that_breaks_is_not_printed_as_if_whole() {
    let dir = TempDir::new();
    let members: Vec<String> = (0..20_000).map(|n| format!("m{n:06}")).collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    let whole = group_reply("big", "x", 77, &members);
    let line = format!("big:x:77:{}", members.join(","));
    let mut unclosed = whole.clone();
    *unclosed.last_mut().unwrap() = b'x';
    // Two names that became one, and one that became two.
    let mut fewer = whole.clone();
    fewer[whole.len() - 9] = b'x';
    let mut more = whole.clone();
    more[whole.len() - 3] = 0;
    for (what, reply) in [
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("without its last byte", whole[..whole.len() - 1].to_vec()),
        ("cut behind its head", whole[..13].to_vec()),
        ("not closed", unclosed),
        ("a member less", fewer),
        ("a member more", more),
    ] {
        for words in [&["group", "big"][..], &["group", "77"], &["group"]] {
            let socket = answering(&dir, vec![reply.clone()]);
            let finished = getent(["-S", &socket].iter().chain(words));
            println!("{what}, {words:?}");
            assert_eq!(finished.code, Some(1), "{}", finished.stderr);
            let printed = String::from_utf8_lossy(&finished.stdout);
            assert!(line.starts_with(&*printed), "{printed:.200}");
            let begins = "getent: fatal: unable to read a record to its end: ";
            assert!(finished.stderr.starts_with(begins), "{}", finished.stderr);
        }
    }
    let finished = getent(["-S", &answering(&dir, vec![whole]), "group", "big"]);
    assert_prints(&finished, &format!("{line}\n"));
}

#[test]
fn an_endless_record_is_given_up_when_the_server_is() {
    let dir = TempDir::new();
    let socket = hostile(&dir, |client| {
        read_request(client)?;
        client.write_all(&[&[0; 9][..], &[0xff; 4]].concat())?;
        // Four GiB are announced, some of them come.
        client.write_all(&vec![b'x'; 1 << 20])
    });
    let finished = getent(["-S", &socket, "passwd", "one"]);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(!finished.stdout.contains(&b'\n'));
    assert!(finished.stderr.starts_with(FATAL), "{}", finished.stderr);
}

#[test]
fn a_listing_that_breaks_is_told() {
    let dir = TempDir::new();
    let replies = vec![one_reply(), one_reply(), one_reply()[..9].to_vec()];
    let finished = getent(["-S", &answering(&dir, replies), "passwd"]);
    assert_fails(&finished, 1, ONE.repeat(2).as_bytes(), WARNING, "Input/output error");
}

/// A list of more groups than one reply brings comes in rounds.
#[test]
fn a_group_list_that_breaks_is_not_printed_as_if_whole() {
    let dir = TempDir::new();
    let gids: Vec<u32> = (1..=5000).collect();
    let first = grouplist_reply(4096, &gids);
    let second = grouplist_reply(8192, &gids);
    let line = |gids: &[u32]| {
        let gids: String = gids.iter().map(|gid| format!(" {gid}")).collect();
        format!("u1                   {gids}\n")
    };
    let whole = answering(&dir, vec![first.clone(), second.clone()]);
    assert_prints(&getent(["-S", &whole, "initgroups", "u1"]), &line(&gids));

    let fewer = grouplist_reply(8192, &gids[..4200]);
    let others: Vec<u32> = (2..=5001).collect();
    let others = grouplist_reply(8192, &others);
    for (what, rest) in [
        ("closed", vec![]),
        ("a failure", vec![vec![5]]),
        ("cut", vec![second[..20_000].to_vec()]),
        ("another list", vec![others]),
        ("a shorter list", vec![fewer]),
    ] {
        let replies = [vec![first.clone()], rest].concat();
        let finished = getent(["-S", &answering(&dir, replies), "initgroups", "u1"]);
        println!("{what}: {:?} {}", finished.code, finished.stderr);
        assert_eq!(finished.code, Some(1), "{what}: {}", finished.stderr);
        let told = finished.stderr.starts_with(FATAL) || finished.stderr.starts_with(WARNING);
        assert!(told, "{what}: {}", finished.stderr);
        assert_eq!(finished.stdout, b"", "{what}");
    }
}

#[test]
fn a_group_list_that_makes_no_sense_is_not_printed() {
    let dir = TempDir::new();
    let other_room = grouplist_reply(7, &[1, 2, 3]);
    let cut = grouplist_reply(4096, &[1, 2, 3]);
    let cut = cut[..cut.len() - 1].to_vec();
    let more = [grouplist_reply(4096, &[1, 2, 3]), vec![0; 4]].concat();
    for reply in [other_room, cut, more] {
        let finished = getent(["-S", &answering(&dir, vec![reply]), "initgroups", "u1"]);
        assert_fails(&finished, 1, b"", WARNING, "Input/output error");
    }
}
