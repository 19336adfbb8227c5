//! `nsssd-unix` on long lines and large files: lines across the border of what is read at a time,
//! records around the size of what is sent at a time. Expected is what tests/support/naive.rs says.
#![cfg(feature = "nsssd-unix")]

use crate::support::naive::Naive;
use crate::support::stage::Stage;
use crate::support::{Daemon, assert_answers, by_id, by_name, grouplist, op};

/// What is read of a large file at a time.
const WINDOW: usize = 32 * 1024;

/// What is read first where one line is expected, and sent at a time.
const PIECE: usize = 4096;

/// Line lengths, LF not counted, around all that matters.
const LENGTHS: [usize; 13] = [
    PIECE - 1,
    PIECE,
    PIECE + 1,
    WINDOW - 2,
    WINDOW - 1,
    WINDOW,
    WINDOW + 1,
    WINDOW + 2,
    WINDOW + PIECE,
    40_000,
    2 * WINDOW,
    2 * WINDOW + 1,
    90_000,
];

/// Asks for all of it in every way that there is.
#[track_caller]
fn ask_everything(daemon: &Daemon, naive: &mut Naive, names: &[&str], ids: &[u32]) {
    let mut requests = Vec::new();
    for name in names {
        for opcode in [op::PWD_GETBYNAME, op::GRP_GETBYNAME, op::SHADOW_GETBYNAME] {
            requests.push(by_name(opcode, name));
        }
        requests.push(grouplist(3, name));
    }
    for id in ids {
        requests.push(by_id(op::PWD_GETBYUID, *id));
        requests.push(by_id(op::GRP_GETBYGID, *id));
    }
    for request in &requests {
        assert_answers(daemon, request, &naive.answer(request));
    }
    let opcodes =
        [(op::PWD_GET, op::PWD_END), (op::GRP_GET, op::GRP_END), (op::SHADOW_GET, op::SHADOW_END)];
    for ((get, end), size) in opcodes.into_iter().zip(naive.sizes()) {
        for _ in 0..size + 2 {
            assert_answers(daemon, &[get], &naive.answer(&[get]));
        }
        assert_answers(daemon, &[end], &naive.answer(&[end]));
    }
}

/// One account in all three files.
fn short(name: &str, id: u32) -> [String; 3] {
    [
        format!("{name}:x:{id}:1:gecos:/home:/bin/sh\n"),
        format!("{name}:x:{id}:someone,{name}\n"),
        format!("{name}:*:{id}:0:99999:7:::\n"),
    ]
}

/// The same with lines of exactly `length` bytes, LF not counted.
fn long(name: &str, id: u32, length: usize) -> [String; 3] {
    let fill = |front: String, back: &str, with: &str| {
        let room = length - front.len() - back.len();
        let filling: String = with.chars().cycle().take(room).collect();
        format!("{front}{filling}{back}\n")
    };
    [
        fill(format!("{name}:x:{id}:1:"), ":/home:/bin/sh", "gecos,"),
        fill(format!("{name}:x:{id}:"), &format!(",{name}"), "abc,de,"),
        fill(format!("{name}:"), &format!(":{id}:0:99999:7:::"), "secret"),
    ]
}

/// Lines one after the other, for each of the three files.
fn join(parts: &[[String; 3]]) -> [String; 3] {
    [0, 1, 2].map(|file| parts.iter().map(|part| part[file].as_str()).collect())
}

/// Puts the files there, asks for everything, and does it again without the last LF.
#[track_caller]
fn try_files(stage: &Stage, daemon: &Daemon, mut files: [String; 3], names: &[&str], ids: &[u32]) {
    for _ in 0..2 {
        for (name, content) in ["passwd", "group", "shadow"].iter().zip(&files) {
            stage.dir.replace(name, content);
        }
        let mut naive = Naive::new(&files[0], &files[1], &files[2]);
        ask_everything(daemon, &mut naive, names, ids);
        files = files.map(|content| content.trim_end().to_owned());
    }
}

#[test]
fn a_long_line_is_served_wherever_it_stands() {
    let stage = Stage::new();
    let daemon = stage.unix();
    let (names, ids) = (["long", "after", "lon", "someone"], [7, 8]);
    let (before, after) = (short("before", 6), short("after", 8));
    for length in LENGTHS {
        let line = long("long", 7, length);
        let alone = join(std::slice::from_ref(&line));
        try_files(&stage, &daemon, alone, &names, &ids);
        let between = join(&[before.clone(), line.clone(), after.clone()]);
        try_files(&stage, &daemon, between, &names, &ids);
        let two = join(&[line.clone(), before.clone(), long("after", 8, length), line]);
        try_files(&stage, &daemon, two, &names, &ids);
    }
}

#[test]
fn a_long_malformed_line_is_skipped() {
    let stage = Stage::new();
    let daemon = stage.unix();
    let (names, ids) = (["bad", "before", "after", "", "x"], [6, 7, 8]);
    let (before, after) = (short("before", 6), short("after", 8));
    for length in [WINDOW - 1, WINDOW, WINDOW + 1, 40_000, 100_000] {
        let word = "x".repeat(length);
        let zeros = "0".repeat(length);
        let bad: [[String; 3]; 4] = [
            // Too few fields.
            [0, 1, 2].map(|_| format!("bad{word}\n")),
            // A number that is none, behind much else.
            [
                format!("bad:{word}:7x:7:::\n"),
                format!("bad:{word}:7x:a\n"),
                format!("bad:{word}:7x::::::\n"),
            ],
            // Many fields, all of them empty.
            [0, 1, 2].map(|_| ":".repeat(length) + "\n"),
            // A good number of many digits: not malformed at all.
            [
                format!("bad:x:{zeros}7:{zeros}:::\n"),
                format!("bad:x:{zeros}7:a\n"),
                format!("bad:x:{zeros}7::::::{zeros}\n"),
            ],
        ];
        for bad in bad {
            let files = join(&[before.clone(), bad, after.clone()]);
            try_files(&stage, &daemon, files, &names, &ids);
        }
    }
}

#[test]
fn a_nul_early_in_a_long_line_makes_a_short_record() {
    let stage = Stage::new();
    let daemon = stage.unix();
    let (names, ids) = (["cut", "before", "after", "a", "b"], [6, 7, 8]);
    let (before, after) = (short("before", 6), short("after", 8));
    let rest = "r:,".repeat(14_000);
    for cut in [
        ["cut:x:7:7:g:h:s\0", "cut:x:7:a,\0b,", "cut:*:7::::::1\0"],
        ["cut:x:7:7:g:h:\0", "cut:x:7:\0", "cut:*:7::::::\0:"],
        ["cut:x:7:7:g:h\0:", "cut:x:7\0:", "cut:*:7:::::\0:"],
        ["\0cut:x:7:7:g:h:", "cut\0:x:7:", "cut:\0*:7::::::"],
    ] {
        let cut = cut.map(|front| format!("{front}{rest}\n"));
        let files = join(&[before.clone(), cut, after.clone()]);
        try_files(&stage, &daemon, files, &names, &ids);
    }
}

/// Lines of about 1000 bytes that are exactly `size` bytes together, with numbers from 10,000.
fn filler(size: usize) -> [String; 3] {
    let mut parts = Vec::new();
    let mut left = size;
    let mut number = 0;
    while left > 0 {
        let length = if left < 2000 { left } else { 1000 };
        parts.push(long(&format!("filler{number}"), 10_000 + number, length - 1));
        left -= length;
        number += 1;
    }
    join(&parts)
}

#[test]
fn a_line_that_straddles_the_window_is_found_at_every_offset() {
    let stage = Stage::new();
    let daemon = stage.unix();
    let target = short("target", 7);
    let longest = target.iter().map(String::len).max().unwrap();
    let names = ["target", "after", "filler32", "arget", "targe", "someone"];
    let ids = [7, 8, 10_032];
    for before in WINDOW - longest - 2..WINDOW + 3 {
        let files = join(&[filler(before), target.clone(), short("after", 8)]);
        assert_eq!(files[0].find("target"), Some(before));
        for (name, content) in ["passwd", "group", "shadow"].iter().zip(&files) {
            stage.dir.replace(name, content);
        }
        let mut naive = Naive::new(&files[0], &files[1], &files[2]);
        ask_everything(&daemon, &mut naive, &names, &ids);
    }
}

#[test]
fn a_file_of_about_the_windows_size_is_served_whole() {
    let stage = Stage::new();
    let daemon = stage.unix();
    let last = short("last", 7);
    for size in WINDOW - 2..WINDOW + 3 {
        let parts = [0, 1, 2].map(|file| filler(size - last[file].len())[file].clone());
        let files = join(&[parts, last.clone()]);
        assert!(files.iter().all(|file| file.len() == size));
        try_files(&stage, &daemon, files, &["last", "filler0", "las"], &[7, 10_000]);
    }
}

#[test]
fn records_of_about_one_piece_are_sent_whole() {
    let stage = Stage::new();
    let daemon = stage.unix();
    let (names, ids) = (["exact", "after"], [7, 8]);
    // In files that are kept in memory, and in ones that are not.
    for filler in [join(&[]), filler(2 * WINDOW)] {
        for pieces in [1, 2, 3] {
            for size in pieces * PIECE - 2..pieces * PIECE + 3 {
                // What the head and the NULs take, and the line's separators do not.
                let exact = [
                    long("exact", 7, size - 13 + ":7:1".len() - 1),
                    long("exact", 7, size - 13 + ":7".len() - 1),
                    long("exact", 7, size - 61 + ":7:0:99999:7:::".len() - 1),
                ];
                let exact = [0, 1, 2].map(|file| exact[file][file].clone());
                let files = join(&[filler.clone(), exact, short("after", 8)]);
                let mut naive = Naive::new(&files[0], &files[1], &files[2]);
                for opcode in [op::PWD_GETBYNAME, op::GRP_GETBYNAME, op::SHADOW_GETBYNAME] {
                    let reply = naive.answer(&by_name(opcode, "exact"));
                    assert_eq!(reply.len(), size, "opcode {opcode:o}");
                }
                try_files(&stage, &daemon, files, &names, &ids);
            }
        }
    }
}
