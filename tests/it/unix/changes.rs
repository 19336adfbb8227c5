//! `nsssd-unix` while its files are replaced, edited, removed and appended to: a lookup always
//! tells what is there now, an enumeration stays with its file.
#![cfg(feature = "nsssd-unix")]

use crate::support::naive::Naive;
use crate::support::stage::{Stage, settle};
use crate::support::{
    Daemon, by_id, by_name, group_reply, grouplist, grouplist_reply, op, passwd_reply,
};
use std::fs::{self, File, FileTimes};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

const NOT_FOUND: [u8; 1] = [255];

/// Rounds of editing and asking: many, since the clock of file times ticks 100 to 1000 times a
/// second and most edits have to share a tick with another.
const ROUNDS: usize = 300;

fn line(name: &str, id: u32, gecos: &str) -> String {
    format!("{name}:x:{id}:1000:{gecos}:/home:/bin/sh\n")
}

fn reply(name: &str, id: u32, gecos: &str) -> Vec<u8> {
    passwd_reply([name, "x"], id, 1000, [gecos, "/home", "/bin/sh"])
}

/// More lines than are kept in memory.
fn filler() -> String {
    (0..1500).map(|number| line(&format!("filler{number}"), 100_000 + number, "F")).collect()
}

/// Three lookups each, of files that hold these accounts only in different versions.
#[track_caller]
fn expect_version(daemon: &Daemon, version: u32) {
    let gecos = format!("version {version}");
    for request in [by_name(op::PWD_GETBYNAME, "bob"), by_id(op::PWD_GETBYUID, 1001)] {
        daemon.expect(&request, &reply("bob", 1001, &gecos));
    }
    daemon.expect(&by_id(op::PWD_GETBYUID, 5000 + version), &reply("only", 5000 + version, ""));
    daemon.expect(&by_id(op::PWD_GETBYUID, 5001 + version), &NOT_FOUND);
    let member = format!("member{version}");
    let staff = group_reply("staff", "x", 50, &["bob", &member]);
    daemon.expect(&by_name(op::GRP_GETBYNAME, "staff"), &staff);
    daemon.expect(&by_id(op::GRP_GETBYGID, 50), &staff);
    daemon.expect(&grouplist(2, &member), &grouplist_reply(2, &[50]));
    daemon.expect(&grouplist(2, format!("{member}0")), &grouplist_reply(2, &[]));
}

fn passwd(version: u32, filler: &str) -> String {
    let only = line("only", 5000 + version, "");
    [&only, filler, &line("bob", 1001, &format!("version {version}"))].concat()
}

fn group(version: u32, filler: &str) -> String {
    [filler, &format!("staff:x:50:bob,member{version}\n")].concat()
}

fn group_filler() -> String {
    (0..3000).map(|number| format!("group{number}:x:{}:some,body\n", 100_000 + number)).collect()
}

#[test]
fn a_file_replaced_by_rename_is_seen_by_the_next_lookup() {
    for (passwd_filler, group_filler) in
        [(String::new(), String::new()), (filler(), group_filler())]
    {
        let stage = Stage::new();
        let write = |version| {
            stage.dir.replace("passwd", passwd(version, &passwd_filler));
            stage.dir.replace("group", group(version, &group_filler));
        };
        write(10);
        let daemon = stage.unix();
        for version in 10..40 {
            expect_version(&daemon, version);
            if version % 10 == 0 {
                // Remembered, from now on.
                settle(&stage.dir.join("group"));
                expect_version(&daemon, version);
                expect_version(&daemon, version);
            }
            write(version + 1);
        }
        expect_version(&daemon, 40);
    }
}

#[test]
fn a_new_file_of_the_same_size_and_time_is_seen() {
    let stage = Stage::new();
    let then = SystemTime::now() - Duration::from_secs(1000);
    let write = |gecos: &str| {
        let new = stage.dir.write("passwd.new", line("bob", 1001, gecos));
        let file = File::options().write(true).open(&new).expect("a file");
        file.set_times(FileTimes::new().set_modified(then)).expect("a time of a file");
        fs::rename(&new, stage.dir.join("passwd")).expect("rename");
    };
    write("a");
    let daemon = stage.unix();
    for (now, next) in [("a", "b"), ("b", "c"), ("c", "d")] {
        settle(&stage.dir.join("passwd"));
        for _ in 0..2 {
            daemon.expect(&by_name(op::PWD_GETBYNAME, "bob"), &reply("bob", 1001, now));
        }
        write(next);
    }
    daemon.expect(&by_name(op::PWD_GETBYNAME, "bob"), &reply("bob", 1001, "d"));
}

#[test]
fn two_files_that_differ_in_nothing_but_their_content_are_told_apart() {
    let stage = Stage::new();
    let then = FileTimes::new().set_modified(SystemTime::now() - Duration::from_secs(1000));
    let ctime = |path: &Path| {
        let file = fs::metadata(path).expect("a file");
        (file.ctime(), file.ctime_nsec())
    };
    let mut files = [stage.dir.join("one"), stage.dir.join("two")];
    // Made within one tick of the clock of file times, unless that has no ticks.
    for _ in 0..1000 {
        for (path, gecos) in files.iter().zip(["one", "two"]) {
            let _ = fs::remove_file(path);
            let mut file = File::create(path).expect("a file");
            file.write_all(line("bob", 1001, gecos).as_bytes()).expect("write");
            file.set_times(then).expect("a time of a file");
        }
        if ctime(&files[0]) == ctime(&files[1]) {
            break;
        }
    }
    settle(&files[1]);
    let (link, new) = (stage.dir.join("passwd"), stage.dir.join("passwd.new"));
    symlink(&files[0], &link).expect("a link");
    let daemon = stage.unix();
    for gecos in ["one", "two", "one", "two"] {
        for _ in 0..2 {
            daemon.expect(&by_name(op::PWD_GETBYNAME, "bob"), &reply("bob", 1001, gecos));
        }
        files.swap(0, 1);
        symlink(&files[0], &new).expect("a link");
        fs::rename(&new, &link).expect("rename a link");
    }
}

#[test]
fn an_edit_that_puts_the_time_back_is_seen() {
    let stage = Stage::with(line("bob", 1001, "a"), "");
    let path = stage.dir.join("passwd");
    let then = SystemTime::now() - Duration::from_secs(1000);
    let file = File::options().write(true).open(&path).expect("a file");
    let put_back = || file.set_times(FileTimes::new().set_modified(then)).expect("a time");
    put_back();
    let daemon = stage.unix();
    for (now, next) in [("a", "b"), ("b", "c"), ("c", "d")] {
        settle(&path);
        for _ in 0..2 {
            daemon.expect(&by_name(op::PWD_GETBYNAME, "bob"), &reply("bob", 1001, now));
        }
        file.write_all_at(line("bob", 1001, next).as_bytes(), 0).expect("write");
        put_back();
    }
    daemon.expect(&by_name(op::PWD_GETBYNAME, "bob"), &reply("bob", 1001, "d"));
}

/// Edits passwd in place, over and over, and asks each time. `content` gives each round's file,
/// always of the same size, and what is then known of bob.
#[track_caller]
fn edit_in_place(mut content: impl FnMut(usize) -> (String, Vec<u8>)) {
    let (text, _) = content(0);
    let stage = Stage::with(&text, "");
    let file = File::options().write(true).open(stage.dir.join("passwd")).expect("a file");
    let daemon = stage.unix();
    for round in 0..ROUNDS {
        let (new, bob) = content(round);
        assert_eq!(new.len(), text.len(), "an edit keeps the size");
        file.write_all_at(new.as_bytes(), 0).expect("write");
        daemon.expect(&by_name(op::PWD_GETBYNAME, "bob"), &bob);
        if round % 3 == 0 {
            daemon.expect(&by_id(op::PWD_GETBYUID, 1001), &bob);
        }
        if round % 50 == 0 {
            // One edit meets a file that was remembered.
            settle(&stage.dir.join("passwd"));
            daemon.expect(&by_name(op::PWD_GETBYNAME, "bob"), &bob);
            daemon.expect(&by_name(op::PWD_GETBYNAME, "bob"), &bob);
        }
    }
}

#[test]
fn an_edit_in_place_within_a_tick_of_the_clock_is_seen() {
    edit_in_place(|round| {
        let gecos = format!("round {round:03}");
        (line("bob", 1001, &gecos), reply("bob", 1001, &gecos))
    });
}

#[test]
fn an_edit_in_place_of_a_large_file_is_seen() {
    let filler = filler();
    edit_in_place(|round| {
        let gecos = format!("round {round:03}");
        let (bob, amy) = (line("bob", 1001, &gecos), line("amy", 1002, &gecos));
        // What was remembered of bob's place is where amy is now.
        let (first, second) = if round % 2 == 0 { (bob, amy) } else { (amy, bob) };
        ([first, filler.clone(), second].concat(), reply("bob", 1001, &gecos))
    });
}

#[test]
fn users_that_come_and_go_within_a_tick_are_seen() {
    let (none, amy) = (line("none", 1009, "x"), line("amy", 1001, "xx"));
    for filler in [String::new(), filler()] {
        let stage = Stage::with("", "");
        let daemon = stage.unix();
        for round in 0..ROUNDS {
            let here = round % 2 == 0;
            let last = if here { &amy } else { &none };
            // Truncated first, and then written.
            stage.dir.write("passwd", [&filler, last.as_str()].concat());
            let want = if here { reply("amy", 1001, "xx") } else { NOT_FOUND.to_vec() };
            daemon.expect(&by_name(op::PWD_GETBYNAME, "amy"), &want);
            daemon.expect(&by_id(op::PWD_GETBYUID, 1001), &want);
        }
    }
}

#[test]
fn an_enumeration_stays_with_its_file_while_lookups_see_the_new_one() {
    let names = |word: &str, count: u32| -> String {
        (0..count).map(|number| line(&format!("{word}{number}"), number, word)).collect()
    };
    for count in [3, 2000] {
        let stage = Stage::with(names("old", count), "");
        let daemon = stage.unix();
        daemon.expect(&[op::PWD_GET], &reply("old0", 0, "old"));
        stage.dir.replace("passwd", names("new", count));
        for number in 1..count {
            daemon.expect(&[op::PWD_GET], &reply(&format!("old{number}"), number, "old"));
            let name = format!("new{}", number % 7);
            let want = if number % 7 < count {
                reply(&name, number % 7, "new")
            } else {
                NOT_FOUND.to_vec()
            };
            daemon.expect(&by_name(op::PWD_GETBYNAME, &name), &want);
        }
        daemon.expect(&by_name(op::PWD_GETBYNAME, "old1"), &NOT_FOUND);
        daemon.expect(&[op::PWD_GET], &NOT_FOUND);
        // Back to the start of the same file.
        daemon.expect(&[op::PWD_REWIND], &[0]);
        daemon.expect(&[op::PWD_GET], &reply("old0", 0, "old"));
        fs::remove_file(stage.dir.join("passwd")).expect("remove");
        daemon.expect(&[op::PWD_GET], &reply("old1", 1, "old"));
        daemon.expect(&[op::PWD_END], &[0]);
        daemon.expect(&[op::PWD_GET], &[2]);
        stage.dir.replace("passwd", names("new", count));
        daemon.expect(&[op::PWD_GET], &reply("new0", 0, "new"));
    }
}

#[test]
fn lines_appended_during_an_enumeration_appear_even_after_its_end() {
    for filler in [String::new(), group_filler()] {
        let stage = Stage::with("", &filler);
        let mut naive = Naive::new("", &filler, "");
        let daemon = stage.unix();
        for _ in 0..naive.sizes()[1] {
            daemon.expect(&[op::GRP_GET], &naive.answer(&[op::GRP_GET]));
        }
        daemon.expect(&[op::GRP_GET], &NOT_FOUND);
        daemon.expect(&[op::GRP_GET], &NOT_FOUND);
        let mut file = File::options().append(true).open(stage.dir.join("group")).expect("a file");
        for round in 0..5 {
            // The last one lacks its LF at first.
            write!(file, "a{round}:x:{round}:\nb{round}:x:{round}:m").expect("append");
            daemon.expect(&[op::GRP_GET], &group_reply(&format!("a{round}"), "x", round, &[]));
            daemon.expect(&[op::GRP_GET], &group_reply(&format!("b{round}"), "x", round, &["m"]));
            daemon.expect(&[op::GRP_GET], &NOT_FOUND);
            writeln!(file).expect("append");
            daemon.expect(&[op::GRP_GET], &NOT_FOUND);
        }
        // Appended while the enumeration stands in the middle.
        daemon.expect(&[op::GRP_REWIND], &[0]);
        let first = daemon.ask(&[op::GRP_GET], 1);
        assert_eq!(first, [0]);
    }
}

#[test]
fn an_enumeration_of_a_file_that_was_cut_short_is_over() {
    let stage = Stage::with(filler(), "");
    let mut naive = Naive::new(filler(), "", "");
    let daemon = stage.unix();
    for _ in 0..10 {
        daemon.expect(&[op::PWD_GET], &naive.answer(&[op::PWD_GET]));
    }
    File::options().write(true).truncate(true).open(stage.dir.join("passwd")).expect("truncate");
    daemon.expect(&[op::PWD_GET], &NOT_FOUND);
    stage.dir.write("passwd", filler());
    daemon.expect(&[op::PWD_GET], &naive.answer(&[op::PWD_GET]));
}
