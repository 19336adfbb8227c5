//! `nsssd-unix` with many users, many groups, many members: what is asked again is remembered, and
//! nothing is cut short.
#![cfg(feature = "nsssd-unix")]

use crate::support::naive::Naive;
use crate::support::procfs;
use crate::support::stage::{Stage, big_group, big_members, settle};
use crate::support::{
    Daemon, assert_answers, by_id, by_name, grouplist, grouplist_reply, op, skip,
};

const NOT_FOUND: [u8; 1] = [255];

/// Lines of a large passwd.
const USERS: u32 = 20_000;

/// Line `number` of a passwd of that many; the numbers of the users have zeros in front.
fn user(number: u32, gecos: &str) -> String {
    format!("user{number}:x:{:08}:{number}:{gecos}:/home/user{number}:/bin/sh\n", 10_000 + number)
}

fn users(gecos: &str) -> String {
    (0..USERS).map(|number| user(number, gecos)).collect()
}

/// First, last and some between them, by name and by number; then what is not there.
fn keys() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut there = Vec::new();
    for number in [0, 1, USERS / 2, USERS / 2 + 1, USERS - 2, USERS - 1] {
        there.push(by_name(op::PWD_GETBYNAME, format!("user{number}")));
        there.push(by_id(op::PWD_GETBYUID, 10_000 + number));
    }
    let mut absent = Vec::new();
    for name in ["user", "user20000", "ser0", "User0", "x", "", "nobody"] {
        absent.push(by_name(op::PWD_GETBYNAME, name));
    }
    // Numbers that other numbers end with, or that are gids and no uids.
    for id in [0, 1, 9_999, 10_000 + USERS, 4_294_967_295, 429_496_729] {
        absent.push(by_id(op::PWD_GETBYUID, id));
    }
    (there, absent)
}

#[test]
fn a_large_passwd_gives_the_same_answer_again_and_a_new_one_once_it_is_replaced() {
    let stage = Stage::new();
    let (there, absent) = keys();
    let daemon = stage.unix();
    for (round, gecos) in ["one", "another", "third"].iter().enumerate() {
        // The last version has its users in the opposite order.
        let text = match round {
            2 => (0..USERS).rev().map(|number| user(number, gecos)).collect(),
            _ => users(gecos),
        };
        stage.dir.replace("passwd", &text);
        let mut naive = Naive::new(&text, "", "");
        for settled in [false, true] {
            if settled {
                settle(&stage.dir.join("passwd"));
            }
            for _ in 0..2 {
                for request in &there {
                    let want = naive.answer(request);
                    assert!(want.len() > 1, "{request:02x?}");
                    // Twice in a row, and again in the next turn.
                    assert_answers(&daemon, request, &want);
                    assert_answers(&daemon, request, &want);
                }
                for request in absent.iter().chain(&absent) {
                    assert_answers(&daemon, request, &NOT_FOUND);
                }
            }
        }
    }
}

#[test]
fn asking_again_does_not_read_the_file_again() {
    let stage = Stage::new();
    let text = users("gecos");
    stage.dir.replace("passwd", &text);
    settle(&stage.dir.join("passwd"));
    let daemon = stage.unix();
    let size = u64::try_from(text.len()).unwrap();
    let Some(mut before) = procfs::bytes_read(daemon.pid()) else {
        skip("asking_again_does_not_read_the_file_again", "the kernel does not count reads");
        return;
    };
    let mut cost = |request: &[u8], reply: &[u8]| {
        assert_answers(&daemon, request, reply);
        let now = procfs::bytes_read(daemon.pid()).expect("a count");
        let cost = now - before;
        before = now;
        cost
    };
    let mut naive = Naive::new(&text, "", "");
    for (request, there) in [
        (by_name(op::PWD_GETBYNAME, "user19999"), true),
        (by_id(op::PWD_GETBYUID, 10_000 + USERS - 1), true),
        (by_name(op::PWD_GETBYNAME, "nobody"), false),
        (by_id(op::PWD_GETBYUID, 7), false),
    ] {
        let reply = naive.answer(&request);
        assert_eq!(reply.len() > 1, there);
        let first = cost(&request, &reply);
        assert!(first >= size, "the first time, {first} of {size} bytes were read");
        for _ in 0..5 {
            let again = cost(&request, &reply);
            assert!(again < 64 * 1024, "asked again, {again} of {size} bytes were read");
        }
    }
}

#[test]
fn users_in_no_order_are_found_without_a_search_each() {
    let test = "users_in_no_order_are_found_without_a_search_each";
    let stage = Stage::new();
    // One name and one number that two lines have, far from each other, and nobody's twin.
    let text = users("gecos") + "user7:x:1:1:second:/:/s\ntwin:x:00010008:1:second:/:/s\n";
    stage.dir.replace("passwd", &text);
    settle(&stage.dir.join("passwd"));
    let daemon = stage.unix();
    let mut naive = Naive::new(&text, "", "");
    let Some(start) = procfs::bytes_read(daemon.pid()) else {
        return skip(test, "the kernel does not count reads");
    };
    let mut ask = |numbers: &mut dyn Iterator<Item = u32>| {
        for number in numbers.map(|number| number * 7919 % (USERS + 100)) {
            for request in [
                by_name(op::PWD_GETBYNAME, format!("user{number}")),
                by_id(op::PWD_GETBYUID, 10_000 + number),
            ] {
                assert_answers(&daemon, &request, &naive.answer(&request));
            }
        }
    };
    // In the first ones it is found out that this is what is asked.
    ask(&mut (0..20));
    let before = procfs::bytes_read(daemon.pid()).expect("a count");
    assert!(before - start > u64::try_from(text.len()).unwrap());
    ask(&mut (20..1520));
    let cost = procfs::bytes_read(daemon.pid()).expect("a count") - before;
    // With a search each it were 1,500 times the file. (It is read again every second.)
    let size = u64::try_from(text.len()).unwrap();
    assert!(cost < 60 * size, "{cost} of {size} bytes were read for 3,000 lookups");
    for (request, want) in [
        (by_name(op::PWD_GETBYNAME, "user7"), "user7"),
        (by_id(op::PWD_GETBYUID, 10_008), "user8"),
        (by_id(op::PWD_GETBYUID, 1), "user7"),
    ] {
        let reply = naive.answer(&request);
        assert!(String::from_utf8_lossy(&reply).contains(want));
        assert_answers(&daemon, &request, &reply);
    }
    // Another version is another file.
    let text = text.replace("user19998:", "other:").replace("user3:", "user19998:");
    stage.dir.replace("passwd", &text);
    let mut naive = Naive::new(&text, "", "");
    for name in ["user19998", "other", "user3", "user4"] {
        let request = by_name(op::PWD_GETBYNAME, name);
        assert_answers(&daemon, &request, &naive.answer(&request));
    }
}

#[test]
fn more_keys_than_are_remembered_keep_their_answers() {
    let stage = Stage::new();
    let text = users("gecos");
    stage.dir.replace("passwd", &text);
    settle(&stage.dir.join("passwd"));
    let mut naive = Naive::new(&text, "", "");
    let daemon = stage.unix();
    let step = 199;
    for _ in 0..2 {
        for number in (0..USERS + 2000).step_by(step) {
            for request in [
                by_name(op::PWD_GETBYNAME, format!("user{number}")),
                by_id(op::PWD_GETBYUID, 10_000 + number),
            ] {
                let want = naive.answer(&request);
                assert_answers(&daemon, &request, &want);
            }
        }
    }
}

#[test]
fn names_too_long_to_be_remembered_whole_are_told_apart() {
    let name = |number: u32| format!("{}{number:05}", "a-name-that-goes-on-".repeat(12));
    let line = |number| format!("{}:x:{number}:1:::\n", name(number));
    let text: String = (0..400).map(line).collect();
    let stage = Stage::with(&text, "");
    settle(&stage.dir.join("passwd"));
    let mut naive = Naive::new(&text, "", "");
    let daemon = stage.unix();
    for _ in 0..2 {
        for number in 0..410 {
            let request = by_name(op::PWD_GETBYNAME, name(number));
            let want = naive.answer(&request);
            assert_eq!(want.len() > 1, number < 400);
            assert_answers(&daemon, &request, &want);
        }
    }
}

#[test]
fn of_duplicates_the_first_is_found_on_either_side_of_a_border() {
    let twin = |gecos: &str| format!("twin:x:0777:1:{gecos}:/:\n");
    let text = users("gecos");
    let other = text.replace("gecos", "other");
    // Both in front of the border, one on each side, both behind it, and far apart.
    let border = text.match_indices('\n').find(|(at, _)| *at > 20_000).unwrap().0 + 1;
    let (near, far) = text.split_at(border);
    for text in [
        [&twin("first"), &twin("second"), &text].map(String::as_str).concat(),
        [near, &twin("first"), &twin("second"), far, &other].concat(),
        [near, &twin("first"), far, &twin("second")].concat(),
        [near, far, &twin("first"), &twin("second")].concat(),
        [&twin("first"), near, far, &other, &twin("second")].concat(),
    ] {
        let stage = Stage::with(&text, "");
        settle(&stage.dir.join("passwd"));
        let mut naive = Naive::new(&text, "", "");
        let daemon = stage.unix();
        for request in [
            by_name(op::PWD_GETBYNAME, "twin"),
            by_id(op::PWD_GETBYUID, 777),
            by_name(op::PWD_GETBYNAME, "user19999"),
            by_id(op::PWD_GETBYUID, 10_000 + USERS - 1),
        ] {
            let want = naive.answer(&request);
            for _ in 0..2 {
                assert_answers(&daemon, &request, &want);
            }
        }
    }
}

#[test]
fn a_group_of_a_hundred_thousand_members_is_served_whole() {
    let big = big_group("big", 77, 'm');
    let last = big_members('m').pop().expect("a member");
    let text = format!("before:x:76:{last}\n{big}after:x:78:m000000,{last}\n");
    let stage = Stage::with("", &text);
    let mut naive = Naive::new("", &text, "");
    let mut daemon = stage.unix();
    let check = |daemon: &Daemon, naive: &mut Naive| {
        for request in [
            by_name(op::GRP_GETBYNAME, "big"),
            by_id(op::GRP_GETBYGID, 77),
            // Past it.
            by_name(op::GRP_GETBYNAME, "after"),
            by_id(op::GRP_GETBYGID, 78),
            by_name(op::GRP_GETBYNAME, &last),
            by_id(op::GRP_GETBYGID, 79),
            grouplist(9, &last),
            grouplist(9, "m000000"),
            grouplist(0, last.trim_start_matches('m')),
            // The big one is the second of three.
            vec![op::GRP_GET],
            vec![op::GRP_GET],
            by_name(op::GRP_GETBYNAME, "before"),
            vec![op::GRP_GET],
            vec![op::GRP_GET],
            vec![op::GRP_REWIND],
            vec![op::GRP_GET],
            vec![op::GRP_END],
        ] {
            assert_answers(daemon, &request, &naive.answer(&request));
        }
    };
    check(&daemon, &mut naive);
    settle(&stage.dir.join("group"));
    check(&daemon, &mut naive);
    assert_answers(&daemon, &grouplist(9, &last), &grouplist_reply(9, &[76, 77, 78]));
    assert_eq!(daemon.finish(), Some(0));
}

#[test]
fn a_user_in_thousands_of_groups_gets_as_many_of_them_as_he_has_room_for() {
    const GROUPS: u32 = 5000;
    let numbers = [0, 1, 10, 1018, 1019, 1020, 1021, 4095, 4096, 4097, 4999, 5000, 5001, 6000];
    // Numbers that go up and down, so that the order shows.
    let gid = |number: u32| 1000 + (number * 7919) % GROUPS;
    let all: Vec<u32> = (0..GROUPS).map(gid).collect();
    let line = |number| format!("group{number}:x:{}:amy,bob\nnone{number}:x:1:amy\n", gid(number));
    let text: String = (0..GROUPS).map(line).collect();
    let stage = Stage::with("", &text);
    let mut daemon = stage.unix();
    for _ in 0..2 {
        for n in numbers.into_iter().chain([u64::MAX, 1 << 62, 1 << 32]) {
            assert_answers(&daemon, &grouplist(n, "bob"), &grouplist_reply(n, &all));
        }
        assert_answers(&daemon, &grouplist(9, "carol"), &grouplist_reply(9, &[]));
    }
    assert_eq!(daemon.finish(), Some(0));
}

#[test]
fn group_lists_around_the_size_of_a_piece_are_whole() {
    // Just so many that a list in a small file ends with a piece, or one gid before or behind.
    for groups in [1018, 1019, 1020, 1021, 2042, 2043, 2044] {
        let text: String = (0..groups).map(|number| format!("g:x:{number}:b\n")).collect();
        let gids: Vec<u32> = (0..groups).collect();
        let stage = Stage::with("", &text);
        let daemon = stage.unix();
        for n in [0, u64::from(groups) - 1, u64::from(groups), u64::from(groups) + 1] {
            assert_answers(&daemon, &grouplist(n, "b"), &grouplist_reply(n, &gids));
        }
    }
}
