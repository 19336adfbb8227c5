//! `nsssd-switch -m`: the groups of a user are the union over the backends. All of it in process
//! and with `--spawn`.
#![cfg(all(feature = "nsssd-switch", feature = "nsssd-unix"))]

use crate::support::script::{MUTE, say, take};
use crate::support::stage::Stage;
use crate::support::{
    Daemon, assert_answers, by_id, by_name, group_reply, grouplist, grouplist_reply, op,
};
use std::fs;
use std::path::PathBuf;

/// What a client gets when all that could answer has failed for good.
const EIO: [u8; 1] = [5];
const ENOENT: [u8; 1] = [2];
const ERANGE: [u8; 1] = [34];

/// Most distinct groups of one user that a merge keeps.
const MOST: u32 = 4096;

/// In process, and as programs.
const WAYS: [&[&str]; 2] = [&["-m"], &["-m", "--spawn"]];

/// Several directories, each with a group file of its own.
struct Houses {
    stage: Stage,
    dirs: Vec<PathBuf>,
}

impl Houses {
    #[track_caller]
    fn new<T: AsRef<[u8]>>(groups: &[T]) -> Houses {
        let stage = Stage::new();
        let dirs = groups.iter().enumerate().map(|(number, group)| {
            let dir = stage.dir.subdirectory(&number.to_string());
            stage.dir.write(&format!("{number}/group"), group);
            dir
        });
        let dirs = dirs.collect();
        Houses { stage, dirs }
    }

    /// A switch over all of them, with these bitfields.
    #[track_caller]
    fn switch(&self, options: &[&str], bits: &[u8]) -> Daemon {
        let commands: Vec<[&str; 3]> =
            self.dirs.iter().map(|dir| ["nsssd-unix", "-d", dir.to_str().unwrap()]).collect();
        assert_eq!(bits.len(), commands.len());
        let backends = bits.iter().copied().zip(commands.iter().map(|command| &command[..]));
        self.stage.switch(options, &backends.collect::<Vec<_>>())
    }
}

/// A group file that lists bob in each of these, one a line.
fn groups_of_bob(gids: impl IntoIterator<Item = u32>) -> String {
    gids.into_iter().map(|gid| format!("g{gid}:x:{gid}:amy,bob\n")).collect()
}

/// Asks for bob's groups with much room, little and none; these are all of them.
#[track_caller]
fn expect_groups(daemon: &Daemon, gids: &[u32]) {
    let all = gids.len() as u64;
    for n in [all, all + 1, all.saturating_sub(1), 10_000, 1, 0, u64::MAX] {
        assert_answers(daemon, &grouplist(n, "bob"), &grouplist_reply(n, gids));
    }
}

#[test]
fn the_groups_of_all_backends_are_given_once_each_in_the_order_they_are_met() {
    let houses = Houses::new(&[
        groups_of_bob([30, 10, 20, 10]),
        "nobody:x:7:amy\n".to_owned(),
        groups_of_bob([20, 40, 30, 5, 5]),
    ]);
    for options in WAYS {
        let daemon = houses.switch(options, &[0, 7, 2]);
        expect_groups(&daemon, &[30, 10, 20, 40, 5]);
        assert_answers(&daemon, &grouplist(9, "carol"), &grouplist_reply(9, &[]));
        let amy = [30, 10, 20, 7, 40, 5];
        assert_answers(&daemon, &grouplist(9, "amy"), &grouplist_reply(9, &amy));
    }
}

#[test]
fn the_merge_concerns_nothing_else() {
    let houses = Houses::new(&["one:x:1:bob\nboth:x:3:bob\n", "two:x:2:bob\nboth:x:4:amy\n"]);
    for options in WAYS {
        let daemon = houses.switch(options, &[0, 0]);
        for (request, reply) in [
            (by_name(op::GRP_GETBYNAME, "both"), group_reply("both", "x", 3, &["bob"])),
            // The first has that name with another number.
            (by_id(op::GRP_GETBYGID, 4), vec![255]),
            (vec![op::GRP_GET], group_reply("one", "x", 1, &["bob"])),
            (vec![op::GRP_GET], group_reply("both", "x", 3, &["bob"])),
            (vec![op::GRP_GET], group_reply("two", "x", 2, &["bob"])),
            (grouplist(9, "bob"), grouplist_reply(9, &[1, 3, 2])),
            (vec![op::GRP_GET], group_reply("both", "x", 4, &["amy"])),
            (vec![op::GRP_GET], vec![255]),
        ] {
            daemon.expect(&request, &reply);
        }
    }
}

#[test]
fn without_the_option_the_first_backend_decides() {
    let houses = Houses::new(&[groups_of_bob([3, 1]), groups_of_bob([2])]);
    let none_first = Houses::new(&["nobody:x:7:amy\n".to_owned(), groups_of_bob([2])]);
    for options in [&[][..], &["--spawn"]] {
        for bits in [0, 4, 7] {
            expect_groups(&houses.switch(options, &[bits, 0]), &[3, 1]);
            // That somebody is in no group is a good answer, too.
            expect_groups(&none_first.switch(options, &[bits, 0]), &[]);
        }
    }
}

#[test]
fn without_the_option_a_long_list_is_passed_on_whole() {
    // Longer than what a merge keeps.
    let all: Vec<u32> = (0..5000).rev().collect();
    let houses = Houses::new(&[groups_of_bob(all.iter().copied())]);
    for options in [&[][..], &["--spawn"]] {
        let daemon = houses.switch(options, &[7]);
        for n in [0, 10, 1019, 1020, 1021, 4096, 4097, 5000, 6000, u64::MAX] {
            assert_answers(&daemon, &grouplist(n, "bob"), &grouplist_reply(n, &all));
        }
    }
}

#[test]
fn many_groups_are_merged_whole_and_in_order() {
    let houses = Houses::new(&[
        groups_of_bob((0..1000).map(|n| 1000 + (n * 7919) % 1000)),
        groups_of_bob((0..2000).rev()),
    ]);
    let mut all: Vec<u32> = (0..1000).map(|n| 1000 + (n * 7919) % 1000).collect();
    all.extend((0..1000).rev());
    for options in WAYS {
        let daemon = houses.switch(options, &[0, 0]);
        for n in [0, 1018, 1019, 1020, 1021, 1999, 2000, 6000] {
            assert_answers(&daemon, &grouplist(n, "bob"), &grouplist_reply(n, &all));
        }
    }
}

#[test]
fn as_many_groups_as_there_is_room_for_are_merged_and_one_more_is_a_failure() {
    let full = groups_of_bob(0..MOST);
    let half = groups_of_bob(0..MOST / 2);
    let rest = groups_of_bob(MOST / 2..MOST);
    let all: Vec<u32> = (0..MOST).collect();
    for houses in [Houses::new(&[&half, &rest]), Houses::new(&[&half, &full])] {
        for options in WAYS {
            let daemon = houses.switch(options, &[0, 0]);
            for n in [u64::from(MOST) + 1000, 1] {
                assert_answers(&daemon, &grouplist(n, "bob"), &grouplist_reply(n, &all));
            }
        }
    }
    let more = groups_of_bob(0..MOST + 1);
    let other = groups_of_bob([MOST + 7]);
    for houses in [Houses::new(&[&full, &other]), Houses::new(&[&more, ""])] {
        for options in WAYS {
            let daemon = houses.switch(options, &[0, 7]);
            // However little room the client has.
            for n in [5000, 0] {
                daemon.expect(&grouplist(n, "bob"), &ERANGE);
            }
            daemon.expect(&grouplist(9, "carol"), &grouplist_reply(9, &[]));
        }
    }
}

#[test]
fn only_distinct_groups_count() {
    // One group file that names the same few groups again and again.
    let few = groups_of_bob((0..5000).map(|n| 7 + n % 5));
    let houses = Houses::new(&[few, groups_of_bob([8, 100])]);
    for options in WAYS {
        expect_groups(&houses.switch(options, &[0, 0]), &[7, 8, 9, 10, 11, 100]);
    }
}

#[test]
fn a_failure_fails_the_merge_where_its_bit_says_so() {
    let houses = Houses::new(&[groups_of_bob([1, 2]), String::new(), groups_of_bob([3])]);
    fs::remove_file(houses.dirs[1].join("group")).expect("remove a file");
    for options in WAYS {
        for bits in [0, 1, 4, 5] {
            expect_groups(&houses.switch(options, &[7, bits, 7]), &[1, 2, 3]);
        }
        for bits in [2, 3, 6, 7] {
            let daemon = houses.switch(options, &[0, bits, 0]);
            for n in [9, 0] {
                daemon.expect(&grouplist(n, "bob"), &ENOENT);
            }
        }
    }
    // And once the file is there, all is well.
    let mut daemons: Vec<Daemon> =
        WAYS.iter().map(|options| houses.switch(options, &[0, 2, 0])).collect();
    for daemon in &daemons {
        daemon.expect(&grouplist(9, "bob"), &ENOENT);
    }
    fs::write(houses.dirs[1].join("group"), groups_of_bob([9, 1])).expect("write a file");
    for daemon in &mut daemons {
        expect_groups(daemon, &[1, 2, 9, 3]);
        assert_eq!(daemon.finish(), Some(0));
    }
}

#[test]
fn a_merge_of_failures_is_a_failure() {
    let houses = Houses::new(&[String::new(), String::new()]);
    for dir in &houses.dirs {
        fs::remove_file(dir.join("group")).expect("remove a file");
    }
    for options in WAYS {
        houses.switch(options, &[0, 0]).expect(&grouplist(9, "bob"), &ENOENT);
    }
}

/// A script that takes the request for bob's groups, repeats its n, and says these bytes behind.
fn list_of_bob(rest: &[u8]) -> String {
    let request = grouplist(0, "bob");
    let (opcode, rest_of_request) = (&request[..1], &request[9..]);
    let repeat = "dd bs=1 count=8 2>/dev/null;";
    take(opcode) + &say(&[0]) + repeat + &take(rest_of_request) + &say(rest)
}

/// How many groups there are, and some of them.
fn count_and_gids(count: u64, gids: &[u32]) -> Vec<u8> {
    let gids = gids.iter().flat_map(|gid| gid.to_be_bytes());
    count.to_be_bytes().into_iter().chain(gids).collect()
}

#[test]
fn a_foreign_backend_takes_part() {
    let stage = Stage::with("", groups_of_bob([1, 2]));
    let script = list_of_bob(&count_and_gids(3, &[2, 8, 2])) + MUTE;
    let daemon = stage.switch(
        &["-m", "-t", "20000"],
        &[(7, &["sh", "-c", &script]), (0, &["nsssd-unix", "-d", stage.dir.as_str()])],
    );
    daemon.expect(&grouplist(9, "bob"), &grouplist_reply(9, &[2, 8, 1]));
}

/// Answers as nsss's own nsssd-unix does, which fails where 4 n bytes are more than there are
/// (Q14 of the protocol's page). It knows 5000 groups, all of them 7.
const WITH_LITTLE_MEMORY: &str = r#"
while test -n "$(dd bs=1 count=1 2>/dev/null | od -An -tx1)"; do
  n=$((0x$(dd bs=1 count=8 2>/dev/null | od -An -v -tx1 | tr -d ' \n')))
  dd bs=1 count=8 >/dev/null 2>&1
  if test $n -lt 0 || test $n -gt 1000000; then
    printf '\014'
  else
    printf '\000\000\000\000\000'
    printf "$(printf '\%03o' $((n >> 24)) $((n >> 16 & 255)) $((n >> 8 & 255)) $((n & 255)))"
    printf '\000\000\000\000\000\000\023\210'
    printf "$(yes '\000\000\000\007' | head -n $((n < 5000 ? n : 5000)) | tr -d '\n')"
  fi
done
"#;

#[test]
fn a_backend_that_takes_memory_for_what_it_is_asked_for_takes_part() {
    let stage = Stage::with("", groups_of_bob([1, 2]));
    let script = stage.dir.write("script", WITH_LITTLE_MEMORY);
    let daemon = stage.switch(
        &["-m", "-t", "20000"],
        &[(7, &["sh", script.to_str().unwrap()]), (0, &["nsssd-unix", "-d", stage.dir.as_str()])],
    );
    for n in [9, 2, 9] {
        assert_answers(&daemon, &grouplist(n, "bob"), &grouplist_reply(n, &[7, 1, 2]));
    }
}

#[test]
fn a_backend_that_broke_off_does_not_fill_a_list_that_is_full() {
    let stage = Stage::with("", groups_of_bob(0..MOST));
    let own = ["nsssd-unix", "-d", stage.dir.as_str()];
    let script = list_of_bob(&count_and_gids(2, &[MOST + 1]));
    let daemon =
        stage.switch(&["-m", "-t", "20000"], &[(0, &own), (0, &["sh", "-c", &script]), (0, &own)]);
    let all: Vec<u32> = (0..MOST).collect();
    assert_answers(&daemon, &grouplist(9, "bob"), &grouplist_reply(9, &all));
}

#[test]
fn a_backend_that_failed_for_good_fails_the_merge_by_bit_0_and_else_adds_nothing() {
    let stage = Stage::with("", groups_of_bob([1, 2]));
    let request = grouplist(9, "bob");
    for script in [
        "exit 0".to_owned(),
        // It has two, and gives none or one of them.
        list_of_bob(&count_and_gids(2, &[])),
        list_of_bob(&count_and_gids(2, &[8])),
        // A byte too many.
        list_of_bob(&[&count_and_gids(1, &[8])[..], &[0]].concat()) + MUTE,
        // A list for another request.
        take(&request) + &say(&grouplist_reply(1, &[8])) + MUTE,
    ] {
        println!("{script}");
        let good = grouplist_reply(9, &[1, 2]);
        for (bits, reply) in [(0, &good[..]), (6, &good), (1, &EIO)] {
            let daemon = stage.switch(
                &["-m", "-t", "20000"],
                &[(bits, &["sh", "-c", &script]), (0, &["nsssd-unix", "-d", stage.dir.as_str()])],
            );
            daemon.expect(&request, reply);
            daemon.expect(&request, reply);
        }
    }
}

#[test]
fn a_backend_that_crashes_behind_one_without_an_answer_is_a_failure() {
    // What the switch asks its backends.
    let asked = grouplist(65_536, "bob");
    let crash = take(&asked) + "exit 0";
    for status in [255, 1] {
        let first = take(&asked) + &say(&[status]) + MUTE;
        let backends: [(u8, &[&str]); 2] = [(0, &["sh", "-c", &first]), (0, &["sh", "-c", &crash])];
        let daemon = Stage::new().switch(&["-m"], &backends);
        assert_answers(&daemon, &grouplist(9, "bob"), &EIO);
    }
}
