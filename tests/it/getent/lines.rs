//! `getent` and lines that are not well formed: it says what glibc's getent says of the same file,
//! by the rules of doc/lines.md. And where the two part: keys that are none.
//!
//! What glibc says is checked as well where its version is the one that the rows were made with.
//!
//! | key | glibc 2.36 | ours |
//! |---|---|---|
//! | a number above 2^32-1 | its low 32 bits; above 2^64-1: 2^32-1 | no id: not found |
//! | a negative number but -0 | the same, of its complement | no id: not found |
//! | a name of more than 254 bytes | found | not found, as over nsss |
#![cfg(feature = "getent")]

use super::glibc::{Answer, Call, Whose, accounts, ask, call, compare, ours, version};
use crate::support::{TempDir, run_to_end, skip};

/// The version whose answers the rows hold.
const GLIBC: &str = "2.36";

/// Exit code and standard output.
type Says<'a> = (i32, &'a str);

/// A question, glibc's answer and ours.
type Asked<'a> = (&'a [&'a str], Says<'a>, Says<'a>);

/// A question, and what both answer.
type Same<'a> = (&'a [&'a str], Says<'a>);

/// Nothing was found, or nothing is there to list.
const NOT_FOUND: Says<'static> = (2, "");
const EMPTY: Says<'static> = (0, "");

/// Makes a database of these bytes, the others empty, and asks. The first word of a question is
/// the database that is named to getent.
#[track_caller]
fn differs(test: &str, file: &str, content: impl AsRef<[u8]>, asked: &[Asked<'_>]) {
    let dir = TempDir::new();
    dir.accounts("", "", "");
    dir.write(file, content);
    for (words, _, want) in asked {
        // As an ordinary user may ask: our own lists of backends need no mounts.
        let service = format!("unix -d {}", dir.as_str());
        let got = run_to_end(ours(["-s", &service, "--"].iter().chain(*words)));
        assert_eq!(got.stderr, "", "{words:?}");
        assert_says("ours", words, &got.into(), *want);
    }
    match version() {
        None => return skip(test, "no getent of glibc, only ours was asked"),
        Some(version) if version != GLIBC => {
            return skip(test, &format!("glibc {version}, only ours was asked"));
        }
        Some(_) => {}
    }
    let of = |words: &&[&str]| call(["-s", "files", "--"].iter().chain(*words));
    let calls: Vec<Call> = asked.iter().map(|(words, ..)| of(words)).collect();
    let Some(answers) = ask(test, Whose::Glibc, &accounts(dir.path()), &calls) else { return };
    for ((words, want, _), got) in asked.iter().zip(&answers) {
        assert_says("glibc", words, got, *want);
    }
}

/// The same where both say the same.
#[track_caller]
fn same(test: &str, file: &str, content: impl AsRef<[u8]>, asked: &[Same<'_>]) {
    let asked: Vec<Asked> = asked.iter().map(|(words, says)| (*words, *says, *says)).collect();
    differs(test, file, content, &asked);
}

#[track_caller]
fn assert_says(who: &str, words: &[&str], got: &Answer, (code, text): Says<'_>) {
    let shown = String::from_utf8_lossy(&got.stdout).into_owned();
    assert_eq!((got.code, shown.as_str()), (code, text), "{who}: {words:?}");
}

#[test]
fn a_hash_mark_makes_a_comment_that_counts_for_memberships() {
    let test = "a_hash_mark_makes_a_comment_that_counts_for_memberships";
    let line = "#a:x:1:1:g:/:/s\n";
    let rows: &[Same] =
        &[(&["passwd"], EMPTY), (&["passwd", "#a"], NOT_FOUND), (&["passwd", "1"], NOT_FOUND)];
    same(test, "passwd", line, rows);
    let line = "#a:x:1:u\n";
    let rows: &[Same] = &[
        (&["group"], EMPTY),
        (&["group", "#a"], NOT_FOUND),
        (&["group", "1"], NOT_FOUND),
        (&["initgroups", "u"], (0, "u                     1\n")),
    ];
    same(test, "group", line, rows);
    let line = "#a:*:1:2:3:4:5:6:7\n";
    let rows: &[Same] = &[(&["shadow"], EMPTY), (&["shadow", "#a"], NOT_FOUND)];
    same(test, "shadow", line, rows);
}

#[test]
fn blanks_in_front_of_a_line_are_dropped() {
    let test = "blanks_in_front_of_a_line_are_dropped";
    let (line, bare) = (" \ta:x:1:1:g:/:/s\n", "a:x:1:1:g:/:/s\n");
    let rows: &[Same] = &[
        (&["passwd"], (0, bare)),
        (&["passwd", "a"], (0, bare)),
        (&["passwd", " \ta"], NOT_FOUND),
        (&["passwd", "1"], (0, bare)),
    ];
    same(test, "passwd", line, rows);
    let (line, bare) = (" a:x:1:u\n", "a:x:1:u\n");
    let rows: &[Same] = &[
        (&["group"], (0, bare)),
        (&["group", "a"], (0, bare)),
        (&["group", " a"], NOT_FOUND),
        (&["group", "1"], (0, bare)),
    ];
    same(test, "group", line, rows);
    let (line, bare) = (" a:*:1:2:3:4:5:6:7\n", "a:*:1:2:3:4:5:6:7\n");
    let rows: &[Same] =
        &[(&["shadow"], (0, bare)), (&["shadow", "a"], (0, bare)), (&["shadow", " a"], NOT_FOUND)];
    same(test, "shadow", line, rows);
}

#[test]
fn fields_may_be_missing_behind_the_numbers() {
    let test = "fields_may_be_missing_behind_the_numbers";
    for (line, padded) in [
        ("a:x:1:1\n", "a:x:1:1:::\n"),
        ("a:x:1:1:g\n", "a:x:1:1:g::\n"),
        ("a:x:1:1:g:/h\n", "a:x:1:1:g:/h:\n"),
    ] {
        let rows: &[Same] = &[
            (&["passwd"], (0, padded)),
            (&["passwd", "a"], (0, padded)),
            (&["passwd", "1"], (0, padded)),
        ];
        same(test, "passwd", line, rows);
    }
    for line in ["a:x:1\n", "a:x\n", "a\n", "a:\n"] {
        let rows: &[Same] = &[(&["passwd"], EMPTY), (&["passwd", "a"], NOT_FOUND)];
        same(test, "passwd", line, rows);
    }
    let rows: &[Same] = &[
        (&["group"], (0, "a:x:1:\n")),
        (&["group", "a"], (0, "a:x:1:\n")),
        (&["group", "1"], (0, "a:x:1:\n")),
    ];
    same(test, "group", "a:x:1\n", rows);
    for (line, padded) in
        [("a:*:1:2:3\n", "a:*:1:2:3::::\n"), ("a:*:1:2:3:4:5:6\n", "a:*:1:2:3:4:5:6:\n")]
    {
        let rows: &[Same] = &[(&["shadow"], (0, padded)), (&["shadow", "a"], (0, padded))];
        same(test, "shadow", line, rows);
    }
    for line in ["a:*:1:2:3:4\n", "a:*:1:2:3:4:5\n", "a:*\n", "a:*:1:2\n"] {
        let rows: &[Same] = &[(&["shadow"], EMPTY), (&["shadow", "a"], NOT_FOUND)];
        same(test, "shadow", line, rows);
    }
}

#[test]
fn shadow_lines_of_more_than_nine_fields_are_skipped() {
    let test = "shadow_lines_of_more_than_nine_fields_are_skipped";
    for line in ["a:*:1:2:3:4:5:6:7:\n", "a:*:1:2:3:4:5:6:7:8\n", "a:::::::::\n"] {
        let rows: &[Same] = &[(&["shadow"], EMPTY), (&["shadow", "a"], NOT_FOUND)];
        same(test, "shadow", line, rows);
    }
}

#[test]
fn numbers_may_have_blanks_and_a_plus_sign_in_front() {
    let test = "numbers_may_have_blanks_and_a_plus_sign_in_front";
    for line in ["a:x:+1:+1:g:/:/s\n", "a:x: 1: 1:g:/:/s\n", "a:x:1:+1:g:/:/s\n"] {
        let plain = "a:x:1:1:g:/:/s\n";
        let rows: &[Same] = &[
            (&["passwd"], (0, plain)),
            (&["passwd", "a"], (0, plain)),
            (&["passwd", "1"], (0, plain)),
        ];
        same(test, "passwd", line, rows);
    }
    for line in ["a:x:+1:u\n", "a:x: 1:u\n"] {
        let rows: &[Same] = &[
            (&["group"], (0, "a:x:1:u\n")),
            (&["group", "a"], (0, "a:x:1:u\n")),
            (&["group", "1"], (0, "a:x:1:u\n")),
            (&["initgroups", "u"], (0, "u                     1\n")),
        ];
        same(test, "group", line, rows);
    }
    for line in ["a:*:+1:2:3:4:5:6:7\n", "a:*: 1:2:3:4:5:6:7\n", "a:*:1:2:3:4:5:6:+7\n"] {
        let plain = "a:*:1:2:3:4:5:6:7\n";
        let rows: &[Same] = &[(&["shadow"], (0, plain)), (&["shadow", "a"], (0, plain))];
        same(test, "shadow", line, rows);
    }
    // Here both agree.
    for number in ["-1", "0x1", "1x", "1 ", "", "4294967296", "18446744073709551617"] {
        let rows: &[Same] = &[
            (&["passwd"], EMPTY),
            (&["passwd", "a"], NOT_FOUND),
            (&["passwd", "1"], NOT_FOUND),
            (&["passwd", "0"], NOT_FOUND),
        ];
        same(test, "passwd", format!("a:x:{number}:1:g:/:/s\n"), rows);
        let rows: &[Same] = &[(&["group"], EMPTY), (&["group", "a", "1"], NOT_FOUND)];
        same(test, "group", format!("a:x:{number}:u\n"), rows);
    }
}

#[test]
fn colons_of_the_last_field_would_make_another_line() {
    let test = "colons_of_the_last_field_would_make_another_line";
    let same: &[(&str, &str, &[&[&str]])] = &[
        ("passwd", "a:x:1:1:g:/:/s:more\n", &[&["passwd"], &["passwd", "a"], &["passwd", "1"]]),
        ("group", "a:x:1:u:v,w\n", &[&["group"], &["group", "a"], &["group", "1"]]),
    ];
    for (file, line, calls) in same {
        let dir = TempDir::new();
        dir.accounts("", "", "");
        dir.write(file, line);
        for words in *calls {
            let service = format!("unix -d {}", dir.as_str());
            let got = run_to_end(ours(["-s", &service, "--"].iter().chain(*words)));
            assert!(got.stderr.ends_with(": not printed\n"), "{words:?}: {}", got.stderr);
            assert_says("ours", words, &got.into(), EMPTY);
        }
        let calls = calls.iter().map(|words| call(["-s", "files"].iter().chain(*words)));
        compare(test, &accounts(dir.path()), &calls.collect::<Vec<_>>());
    }
    let list = (0, "u:v                   1\n");
    let rows: &[Asked] = &[(&["initgroups", "u:v"], list, list)];
    differs(test, "group", "a:x:1:u:v,w\n", rows);
}

#[test]
fn members_are_trimmed_in_front_and_empty_ones_dropped() {
    let test = "members_are_trimmed_in_front_and_empty_ones_dropped";
    for (members, theirs) in
        [(",u", "u"), ("u,", "u"), ("u,,v", "u,v"), (",", ""), (",,", ""), (" u, v ,w", "u,v ,w")]
    {
        let (line, trimmed) = (format!("a:x:1:{members}\n"), format!("a:x:1:{theirs}\n"));
        let rows: &[Same] = &[(&["group"], (0, &trimmed)), (&["group", "a"], (0, &trimmed))];
        same(test, "group", &line, rows);
    }
    let in_one = |user: &str| format!("{user:21} 1\n");
    let in_none = |user: &str| format!("{user:21}\n");
    let rows: &[Same] = &[
        (&["initgroups", "u"], (0, &in_one("u"))),
        (&["initgroups", " u"], (0, &in_none(" u"))),
        (&["initgroups", ""], (0, &in_none(""))),
        (&["initgroups", "v "], (0, &in_one("v "))),
        (&["initgroups", "w"], (0, &in_one("w"))),
    ];
    same(test, "group", "a:x:1: u,, v ,w\n", rows);
}

#[test]
fn lines_for_nis_are_listed_without_ids_and_never_found() {
    let test = "lines_for_nis_are_listed_without_ids_and_never_found";
    for mark in ["+", "-", "+n", "-n", "+@n"] {
        let (line, bare) = (format!("{mark}:x:1:1:g:/:/s\n"), format!("{mark}:x:::g:/:/s\n"));
        let rows: &[Same] = &[
            (&["passwd"], (0, &bare)),
            (&["passwd", mark], NOT_FOUND),
            (&["passwd", "1"], NOT_FOUND),
        ];
        same(test, "passwd", &line, rows);
        let line = format!("{mark}::::::\n");
        let rows: &[Same] = &[(&["passwd"], (0, &line)), (&["passwd", mark], NOT_FOUND)];
        same(test, "passwd", &line, rows);

        let (line, bare) = (format!("{mark}:x:1:u\n"), format!("{mark}:x::u\n"));
        let rows: &[Same] = &[
            (&["group"], (0, &bare)),
            (&["group", mark], NOT_FOUND),
            (&["group", "1"], NOT_FOUND),
        ];
        same(test, "group", &line, rows);
        let line = format!("{mark}:::\n");
        let rows: &[Same] = &[(&["group"], (0, &line)), (&["group", mark], NOT_FOUND)];
        same(test, "group", &line, rows);

        for line in [format!("{mark}:*:1:2:3:4:5:6:7\n"), format!("{mark}::::::::\n")] {
            let rows: &[Same] = &[(&["shadow"], (0, &line)), (&["shadow", mark], NOT_FOUND)];
            same(test, "shadow", &line, rows);
        }
    }
}

#[test]
fn a_nul_ends_a_line() {
    let test = "a_nul_ends_a_line";
    let rows: &[Same] =
        &[(&["passwd"], (0, "a:x:1:1:g::\n")), (&["passwd", "a"], (0, "a:x:1:1:g::\n"))];
    same(test, "passwd", "a:x:1:1:g\0ecos:/h:/s\n", rows);
    let cut = (0, "a:x:1:1:g:/h:/s\n");
    let rows: &[Same] = &[(&["passwd"], cut), (&["passwd", "a"], cut)];
    same(test, "passwd", "a:x:1:1:g:/h:/s\0h:more\n", rows);
    let cut = (0, "a:x:1:u,v\n");
    let rows: &[Same] = &[(&["group"], cut), (&["group", "a"], cut)];
    same(test, "group", "a:x:1:u,v\0,w\n", rows);
    let cut = (0, "a:*:1:2:3:4:5:6:7\n");
    let rows: &[Same] = &[(&["shadow"], cut), (&["shadow", "a"], cut)];
    same(test, "shadow", "a:*:1:2:3:4:5:6:7\x008\n", rows);
}

#[test]
fn numbers_of_shadow_have_32_bits() {
    let test = "numbers_of_shadow_have_32_bits";
    for (days, theirs) in [("2147483648", "-2147483648"), ("4294967294", "-2"), ("4294967295", "")]
    {
        let (line, wrapped) =
            (format!("a:*:{days}:::::{days}:\n"), format!("a:*:{theirs}:::::{theirs}:\n"));
        let rows: &[Same] = &[(&["shadow"], (0, &wrapped)), (&["shadow", "a"], (0, &wrapped))];
        same(test, "shadow", &line, rows);
    }
    for line in [
        "a:*:4294967296::::::\n",
        "a:*:9223372036854775808::::::\n",
        "a:*:::::::4294967296\n",
        "a:*:::::::18446744073709551614\n",
    ] {
        let rows: &[Same] = &[(&["shadow"], EMPTY), (&["shadow", "a"], NOT_FOUND)];
        same(test, "shadow", line, rows);
    }
    let rows: &[Same] = &[(&["shadow"], EMPTY), (&["shadow", "a"], NOT_FOUND)];
    same(test, "shadow", "a:*:::::::18446744073709551615\n", rows);
    let flag = (0, "a:*:::::::4294967294\n");
    let rows: &[Same] = &[(&["shadow"], flag)];
    same(test, "shadow", flag.1, rows);
    for number in ["18446744073709551616", "-1", "0x1", "1x"] {
        let rows: &[Same] = &[(&["shadow"], EMPTY), (&["shadow", "a"], NOT_FOUND)];
        same(test, "shadow", format!("a:*:{number}::::::\n"), rows);
        same(test, "shadow", format!("a:*:::::::{number}\n"), rows);
    }
}

#[test]
fn a_number_that_fits_no_id_is_no_id() {
    let test = "a_number_that_fits_no_id_is_no_id";
    let (zero, five) = ("a:x:0:0:g:/:/s\n", "b:x:5:5:g:/:/s\n");
    let most = "m:x:4294967295:1:g:/:/s\n";
    let file = [zero, five, most].concat();
    let rows: &[Asked] = &[
        (&["passwd", "4294967295"], (0, most), (0, most)),
        (&["passwd", "4294967296"], (0, zero), NOT_FOUND),
        (&["passwd", "4294967301"], (0, five), NOT_FOUND),
        (&["passwd", "18446744073709551615"], (0, most), NOT_FOUND),
        (&["passwd", "18446744073709551616"], (0, most), NOT_FOUND),
        (&["passwd", "99999999999999999999999"], (0, most), NOT_FOUND),
        (&["passwd", "-1"], (0, most), NOT_FOUND),
        (&["passwd", "-4294967291"], (0, five), NOT_FOUND),
        (&["passwd", "-18446744073709551616"], (0, most), NOT_FOUND),
        (&["passwd", "-0"], (0, zero), (0, zero)),
        (&["passwd", "5", "4294967296"], (0, &[five, zero].concat()), (2, five)),
    ];
    differs(test, "passwd", file, rows);
    let (zero, most) = ("a:x:0:u\n", "m:x:4294967295:u\n");
    let rows: &[Asked] = &[
        (&["group", "4294967295"], (0, most), (0, most)),
        (&["group", "4294967296"], (0, zero), NOT_FOUND),
        (&["group", "-1"], (0, most), NOT_FOUND),
        (&["group", "18446744073709551616"], (0, most), NOT_FOUND),
    ];
    differs(test, "group", [zero, most].concat(), rows);
}

#[test]
fn names_too_long_for_nsss_are_listed_and_not_found() {
    let test = "names_too_long_for_nsss_are_listed_and_not_found";
    for (length, is_name) in [(254, true), (255, false), (300, false)] {
        let name = "n".repeat(length);
        let line = format!("{name}:x:1:1:g:/:/s\n");
        let by_name = if is_name { (0, line.as_str()) } else { NOT_FOUND };
        let rows: &[Asked] = &[
            (&["passwd"], (0, &line), (0, &line)),
            (&["passwd", "1"], (0, &line), (0, &line)),
            (&["passwd", &name], (0, &line), by_name),
        ];
        differs(test, "passwd", &line, rows);
        let line = format!("g:x:1:{name}\n");
        let (member, none) = (format!("{name} 1\n"), format!("{name}\n"));
        let by_name = if is_name { &member } else { &none };
        let rows: &[Asked] = &[
            (&["group", "g"], (0, &line), (0, &line)),
            (&["initgroups", &name], (0, &member), (0, by_name)),
        ];
        differs(test, "group", &line, rows);
    }
}
