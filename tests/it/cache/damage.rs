//! Damaged indexes: never a wrong answer. What is expected is what the lines say.
#![cfg(feature = "nsscache")]

use super::bench::{Bench, Told};
use std::fs;

/// More than what is kept of a file in memory.
const USERS: usize = 800;

fn line(number: usize) -> String {
    format!("user{number}:x:{}:100:User {number}:/home/user{number}:/bin/sh", 5000 + number)
}

/// A directory with so many users, and all indexes.
fn indexed() -> Bench {
    let mut bench = Bench::new();
    let lines: String = (0..USERS).map(|n| line(n) + "\n").collect();
    bench.write("passwd.cache", lines);
    bench.write("group.cache", "one:*:1:user1,user2\ntwo:*:2:user2\n");
    bench.index();
    bench
}

/// Asks for some users, by name and number, who are there or not.
#[track_caller]
fn expect_all(bench: &Bench, what: &str) {
    for number in [0, 1, 7, 150, 798, 799, 800, 5000] {
        let want = if number < USERS { Told::Line(line(number)) } else { Told::NotFound };
        assert_eq!(bench.call("getpwnam", &format!("user{number}")), want, "{what}");
        assert_eq!(bench.call("getpwuid", &(5000 + number).to_string()), want, "{what}");
    }
    assert_eq!(bench.groups("user2"), [1, 2], "{what}");
    assert_eq!(bench.groups("user1"), [1], "{what}");
    assert_eq!(bench.groups("user3"), [0_u32; 0], "{what}");
}

/// The indexes of passwd and group.
const INDEXES: [&str; 9] = [
    "passwd.cache.ixname",
    "passwd.cache.ixuid",
    "passwd.cache.hashname",
    "passwd.cache.hashuid",
    "group.cache.ixname",
    "group.cache.ixgid",
    "group.cache.hashname",
    "group.cache.hashgid",
    "group.cache.hashmember",
];

#[test]
fn every_index_is_made_and_used() {
    let bench = indexed();
    for index in INDEXES {
        assert!(!bench.read(index).is_empty(), "{index}");
    }
    expect_all(&bench, "whole");
}

/// Ours have checksums: whatever byte is another, the answer is right.
#[test]
fn a_changed_byte_of_our_own_indexes_is_never_believed() {
    let mut bench = indexed();
    for index in ["passwd.cache.hashname", "passwd.cache.hashuid", "group.cache.hashmember"] {
        let good = bench.read(index);
        let used = good.iter().enumerate().filter(|(at, b)| **b != 0 || at % 64 == 0);
        for (nth, at) in used.map(|(at, _)| at).enumerate().filter(|(nth, _)| nth % 61 == 0) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (nth % 8);
            fs::write(bench.stage.dir.join(index), &bad).unwrap();
            bench.restart();
            expect_all(&bench, &format!("{index}, byte {at}"));
        }
        fs::write(bench.stage.dir.join(index), &good).unwrap();
    }
}

#[test]
fn an_index_that_was_cut_is_never_believed() {
    let mut bench = indexed();
    for index in INDEXES {
        let good = bench.read(index);
        for len in (0..good.len()).step_by(good.len() / 40 + 1).chain([1, 511, 512, 513]) {
            bench.write(index, &good[..len.min(good.len() - 1)]);
            bench.restart();
            expect_all(&bench, &format!("{index}, {len} bytes"));
        }
        bench.write(index, &good);
    }
}

/// An index of libnss-cache in which two records, all of them, or none are in order; of other offsets;
/// of records for keys that are not there.
#[test]
fn an_index_of_libnss_cache_that_is_not_sound_is_never_believed() {
    let mut bench = indexed();
    bench.remove("passwd.cache.hashname");
    bench.remove("passwd.cache.hashuid");
    for index in ["passwd.cache.ixname", "passwd.cache.ixuid"] {
        let good = bench.read(index);
        let width = good.iter().position(|b| *b == b'\n').unwrap() + 1;
        let records: Vec<&[u8]> = good.chunks(width).collect();
        let mut all: Vec<(String, Vec<u8>)> = Vec::new();
        all.push((
            "reversed".into(),
            records.iter().rev().flat_map(|r| r.iter().copied()).collect(),
        ));
        for at in [0, 100, 798] {
            let mut swapped = records.clone();
            swapped.swap(at, at + 1);
            all.push((format!("{at} swapped"), swapped.concat()));
        }
        for byte in (0..good.len()).step_by(197) {
            let mut bad = good.clone();
            bad[byte] ^= 3;
            all.push((format!("byte {byte}"), bad));
        }
        let zeros = vec![0; good.len()];
        all.push(("zeros".into(), zeros));
        all.push(("offsets beyond".into(), with_offsets(&records, width, |_| "999999".into())));
        all.push(("offsets of others".into(), with_offsets(&records, width, |_| "0".into())));
        all.push(("in lines".into(), with_offsets(&records, width, |at| (at + 3).to_string())));
        all.push((
            "one before".into(),
            with_offsets(&records, width, |at| at.saturating_sub(1).to_string()),
        ));
        for (what, bad) in all {
            // A key that is another one in a sound index is not there: that cannot be told.
            if is_sound(&bad, width)
                && !what.contains("ffsets")
                && !what.contains("in lines")
                && what != "one before"
            {
                continue;
            }
            bench.write(index, &bad);
            bench.restart();
            for number in [0, 1, 7, 150, 798, 799] {
                let key = if index.ends_with("name") {
                    format!("user{number}")
                } else {
                    (5000 + number).to_string()
                };
                let call = if index.ends_with("name") { "getpwnam" } else { "getpwuid" };
                assert_eq!(bench.call(call, &key), Told::Line(line(number)), "{index}: {what}");
            }
        }
        bench.write(index, &good);
    }
}

fn is_sound(index: &[u8], width: usize) -> bool {
    let key = |record: &[u8]| record.split(|b| *b == 0).next().unwrap_or_default().to_vec();
    let keys: Vec<_> = index.chunks(width).map(key).collect();
    let whole = index.chunks(width).all(|record| record.last() == Some(&b'\n'));
    whole && keys.windows(2).all(|pair| pair[0] < pair[1])
}

fn with_offsets(records: &[&[u8]], width: usize, offset: impl Fn(u64) -> String) -> Vec<u8> {
    let mut all = Vec::new();
    let wider = width + 3;
    for record in records {
        let mut parts = record.split(|b| *b == 0);
        let key = parts.next().unwrap();
        let at = std::str::from_utf8(parts.next().unwrap()).unwrap().parse().unwrap();
        let mut new = [key, b"\0", offset(at).as_bytes(), b"\0"].concat();
        new.resize(wider - 1, 0);
        new.push(b'\n');
        all.extend(new);
    }
    all
}

/// One that is of another machine's byte order has another checksum; one of another version another
/// beginning.
#[test]
fn an_index_of_another_kind_is_not_ours() {
    let mut bench = indexed();
    let index = "passwd.cache.hashname";
    let good = bench.read(index);
    let turned: Vec<u8> = good.chunks(8).flat_map(|c| c.iter().rev().copied()).collect();
    let mut later = good.clone();
    later[6] = 2;
    for (what, bad) in [
        ("byte order", turned),
        ("version", later),
        ("another kind", bench.read("passwd.cache.hashuid")),
    ] {
        fs::write(bench.stage.dir.join(index), bad).unwrap();
        bench.restart();
        expect_all(&bench, what);
    }
}

/// The tables are bound to size and time of the data: with other data they are of no use.
#[test]
fn an_index_of_other_data_is_not_believed() {
    let mut bench = indexed();
    let kept: Vec<_> = INDEXES.iter().map(|index| (*index, bench.read(index))).collect();
    let other: String = (0..USERS).rev().map(|n| line(n) + "\n").collect();
    assert_eq!(other.len(), bench.read("passwd.cache").len());
    bench.write("passwd.cache", &other);
    bench.set_time("passwd.cache", 2000, 0);
    for (index, bytes) in &kept {
        bench.write(index, bytes);
    }
    bench.restart();
    expect_all(&bench, "another time");
    // Of the future, with other offsets: each hit is looked at.
    for (index, _) in &kept {
        bench.set_time(index, 9_000_000_000, 0);
    }
    bench.restart();
    expect_all(&bench, "from the future");
}

#[test]
fn what_is_no_file_is_no_index_and_no_data() {
    let mut bench = indexed();
    let path = |name: &str| bench.stage.dir.join(name);
    for index in INDEXES {
        bench.remove(index);
    }
    for index in ["passwd.cache.hashname", "group.cache.hashmember"] {
        fs::create_dir(path(index)).unwrap();
    }
    rustix::fs::mkfifoat(rustix::fs::CWD, path("passwd.cache.ixname"), 0o644.into()).unwrap();
    std::os::unix::fs::symlink("passwd.cache.ixuid", path("passwd.cache.ixuid")).unwrap();
    bench.restart();
    expect_all(&bench, "directories, a FIFO and a loop");
    bench.remove("passwd.cache");
    let path = |name: &str| bench.stage.dir.join(name);
    rustix::fs::mkfifoat(rustix::fs::CWD, path("passwd.cache"), 0o644.into()).unwrap();
    assert!(matches!(bench.call("getpwnam", "user1"), Told::Failed(_)));
    bench.remove("passwd.cache");
    let path = |name: &str| bench.stage.dir.join(name);
    fs::create_dir(path("passwd.cache")).unwrap();
    assert!(matches!(bench.call("getpwnam", "user1"), Told::Failed(_)));
}

/// Lines with CR or NUL, without the last LF, and longer than what is read at a time.
#[test]
fn odd_lines_are_found_by_each_way() {
    let long = "m".repeat(100_000);
    let lines = format!(
        "cr:x:1:1:g:/h:/bin/sh\r\nnul:x:2:1:g:/h:/bin\0sh\n\n# no:x:9:9:::\n  front:x:3:1:g:/h:/s\nlong:x:4:1:{long}:/h:/s\nshort:x:5:1\nlast:x:6:1:g:/h:/s"
    );
    let mut bench = Bench::new();
    bench.write("passwd.cache", &lines);
    bench.write("group.cache", "");
    bench.index();
    for way in ["hash", "ix", "lines"] {
        for (name, id, want) in [
            ("cr", 1, "cr:x:1:1:g:/h:/bin/sh\r".to_owned()),
            ("nul", 2, "nul:x:2:1:g:/h:/bin".to_owned()),
            ("front", 3, "front:x:3:1:g:/h:/s".to_owned()),
            ("long", 4, format!("long:x:4:1:{long}:/h:/s")),
            ("short", 5, "short:x:5:1:::".to_owned()),
            ("last", 6, "last:x:6:1:g:/h:/s".to_owned()),
        ] {
            assert_eq!(bench.call("getpwnam", name), Told::Line(want.clone()), "{way}");
            assert_eq!(bench.call("getpwuid", &id.to_string()), Told::Line(want), "{way}");
        }
        assert_eq!(bench.call("getpwuid", "9"), Told::NotFound, "{way}");
        match way {
            "hash" => ["hashname", "hashuid"]
                .iter()
                .for_each(|e| bench.remove(&format!("passwd.cache.{e}"))),
            _ => bench.remove_indexes(),
        }
        bench.restart();
    }
}

/// `bob:` stands in the line of `xbob`, too, and in one that is longer than what is read at first: an
/// offset counts only at the start of a line.
#[test]
fn an_offset_into_the_middle_of_a_line_leads_to_nobody() {
    for filler in [0, 800] {
        let filler: String = (0..filler).map(|n| line(n) + "\n").collect();
        let long = "g".repeat(2000);
        let text =
            format!("xbob:x:77:1:::\nxeve:x:78:1:{long}:/:\n{filler}bob:x:7:1:::\neve:x:8:1:::\n");
        let mut bench = Bench::new();
        bench.write("passwd.cache", &text);
        let at = [("bob", 1), ("eve", text.find("eve").unwrap())];
        let mut index = Vec::new();
        for (key, offset) in at {
            let mut record = format!("{key}\0{offset}\0").into_bytes();
            record.resize(15, 0);
            record.push(b'\n');
            index.extend(record);
        }
        bench.write("passwd.cache.ixname", index);
        bench.restart();
        assert_eq!(bench.call("getpwnam", "bob"), Told::Line("bob:x:7:1:::".into()));
        assert_eq!(bench.call("getpwnam", "eve"), Told::Line("eve:x:8:1:::".into()));
    }
}
