//! Where `getent` and glibc's getent part: malformed lines, and keys that are none.
//!
//! On such lines section 6 of doc/protocols/nsss.md has the last word, so that `getent` says what
//! a server would say. Each row of this table is a row, or some, of [`differences`]; what glibc
//! says is checked as well where its version is the one that the table was made with.
//!
//! | in the file | glibc 2.36 | ours |
//! |---|---|---|
//! | `#…` with all fields | a comment, but initgroups counts the group | an entry called `#…` |
//! | blanks in front of a line | dropped | part of the name |
//! | passwd with 4, 5 or 6 fields | those missing are empty | skipped |
//! | group with 3 fields | no members | skipped |
//! | shadow with 5 or 8 fields | those missing are empty | skipped |
//! | shadow with more than 9 fields | skipped | what follows is ignored |
//! | blanks or a plus sign in front of a number | taken | skipped |
//! | colons in the shell or the member list | found, but not printed; exit code 0 | printed |
//! | empty members, blanks in front of one | dropped | members like others |
//! | `+…` and `-…` with all numbers | listed without ids (shadow: whole); never found by key | like other names |
//! | passwd and group `+…` and `-…` without numbers | listed, never found | skipped |
//! | passwd with a NUL in front of the last colon | the fields behind it are empty | skipped |
//! | shadow days from 2^31 to 2^32-2 | negative | as they are |
//! | shadow days 2^32-1 | an empty field | as it is |
//! | shadow days or flag of 2^32 or more | skipped | as they are, flag 2^64-1: empty |
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

#[track_caller]
fn assert_says(who: &str, words: &[&str], got: &Answer, (code, text): Says<'_>) {
    let shown = String::from_utf8_lossy(&got.stdout).into_owned();
    assert_eq!((got.code, shown.as_str()), (code, text), "{who}: {words:?}");
}

#[test]
fn a_hash_mark_is_part_of_a_name() {
    let test = "a_hash_mark_is_part_of_a_name";
    let line = "#a:x:1:1:g:/:/s\n";
    let rows: &[Asked] = &[
        (&["passwd"], EMPTY, (0, line)),
        (&["passwd", "#a"], NOT_FOUND, (0, line)),
        (&["passwd", "1"], NOT_FOUND, (0, line)),
    ];
    differs(test, "passwd", line, rows);
    let line = "#a:x:1:u\n";
    let rows: &[Asked] = &[
        (&["group"], EMPTY, (0, line)),
        (&["group", "#a"], NOT_FOUND, (0, line)),
        (&["group", "1"], NOT_FOUND, (0, line)),
        (&["initgroups", "u"], (0, "u                     1\n"), (0, "u                     1\n")),
    ];
    differs(test, "group", line, rows);
    let line = "#a:*:1:2:3:4:5:6:7\n";
    let rows: &[Asked] =
        &[(&["shadow"], EMPTY, (0, line)), (&["shadow", "#a"], NOT_FOUND, (0, line))];
    differs(test, "shadow", line, rows);
}

#[test]
fn blanks_in_front_of_a_line_are_part_of_the_name() {
    let test = "blanks_in_front_of_a_line_are_part_of_the_name";
    let (line, bare) = (" \ta:x:1:1:g:/:/s\n", "a:x:1:1:g:/:/s\n");
    let rows: &[Asked] = &[
        (&["passwd"], (0, bare), (0, line)),
        (&["passwd", "a"], (0, bare), NOT_FOUND),
        (&["passwd", " \ta"], NOT_FOUND, (0, line)),
        (&["passwd", "1"], (0, bare), (0, line)),
    ];
    differs(test, "passwd", line, rows);
    let (line, bare) = (" a:x:1:u\n", "a:x:1:u\n");
    let rows: &[Asked] = &[
        (&["group"], (0, bare), (0, line)),
        (&["group", "a"], (0, bare), NOT_FOUND),
        (&["group", " a"], NOT_FOUND, (0, line)),
        (&["group", "1"], (0, bare), (0, line)),
    ];
    differs(test, "group", line, rows);
    let (line, bare) = (" a:*:1:2:3:4:5:6:7\n", "a:*:1:2:3:4:5:6:7\n");
    let rows: &[Asked] = &[
        (&["shadow"], (0, bare), (0, line)),
        (&["shadow", "a"], (0, bare), NOT_FOUND),
        (&["shadow", " a"], NOT_FOUND, (0, line)),
    ];
    differs(test, "shadow", line, rows);
}

#[test]
fn lines_with_too_few_fields_are_skipped() {
    let test = "lines_with_too_few_fields_are_skipped";
    for (line, padded) in [
        ("a:x:1:1\n", "a:x:1:1:::\n"),
        ("a:x:1:1:g\n", "a:x:1:1:g::\n"),
        ("a:x:1:1:g:/h\n", "a:x:1:1:g:/h:\n"),
    ] {
        let rows: &[Asked] = &[
            (&["passwd"], (0, padded), EMPTY),
            (&["passwd", "a"], (0, padded), NOT_FOUND),
            (&["passwd", "1"], (0, padded), NOT_FOUND),
        ];
        differs(test, "passwd", line, rows);
    }
    for line in ["a:x:1\n", "a:x\n", "a\n", "a:\n"] {
        let rows: &[Asked] =
            &[(&["passwd"], EMPTY, EMPTY), (&["passwd", "a"], NOT_FOUND, NOT_FOUND)];
        differs(test, "passwd", line, rows);
    }
    let rows: &[Asked] = &[
        (&["group"], (0, "a:x:1:\n"), EMPTY),
        (&["group", "a"], (0, "a:x:1:\n"), NOT_FOUND),
        (&["group", "1"], (0, "a:x:1:\n"), NOT_FOUND),
    ];
    differs(test, "group", "a:x:1\n", rows);
    for (line, padded) in
        [("a:*:1:2:3\n", "a:*:1:2:3::::\n"), ("a:*:1:2:3:4:5:6\n", "a:*:1:2:3:4:5:6:\n")]
    {
        let rows: &[Asked] =
            &[(&["shadow"], (0, padded), EMPTY), (&["shadow", "a"], (0, padded), NOT_FOUND)];
        differs(test, "shadow", line, rows);
    }
    for line in ["a:*:1:2:3:4\n", "a:*:1:2:3:4:5\n", "a:*\n", "a:*:1:2\n"] {
        let rows: &[Asked] =
            &[(&["shadow"], EMPTY, EMPTY), (&["shadow", "a"], NOT_FOUND, NOT_FOUND)];
        differs(test, "shadow", line, rows);
    }
}

#[test]
fn what_follows_the_ninth_field_of_shadow_is_ignored() {
    let test = "what_follows_the_ninth_field_of_shadow_is_ignored";
    for (line, cut) in [
        ("a:*:1:2:3:4:5:6:7:\n", "a:*:1:2:3:4:5:6:7\n"),
        ("a:*:1:2:3:4:5:6:7:8\n", "a:*:1:2:3:4:5:6:7\n"),
        ("a:::::::::\n", "a::::::::\n"),
    ] {
        let rows: &[Asked] =
            &[(&["shadow"], EMPTY, (0, cut)), (&["shadow", "a"], NOT_FOUND, (0, cut))];
        differs(test, "shadow", line, rows);
    }
}

#[test]
fn numbers_are_digits_and_nothing_else() {
    let test = "numbers_are_digits_and_nothing_else";
    for line in ["a:x:+1:+1:g:/:/s\n", "a:x: 1: 1:g:/:/s\n", "a:x:1:+1:g:/:/s\n"] {
        let plain = "a:x:1:1:g:/:/s\n";
        let rows: &[Asked] = &[
            (&["passwd"], (0, plain), EMPTY),
            (&["passwd", "a"], (0, plain), NOT_FOUND),
            (&["passwd", "1"], (0, plain), NOT_FOUND),
        ];
        differs(test, "passwd", line, rows);
    }
    for line in ["a:x:+1:u\n", "a:x: 1:u\n"] {
        let rows: &[Asked] = &[
            (&["group"], (0, "a:x:1:u\n"), EMPTY),
            (&["group", "a"], (0, "a:x:1:u\n"), NOT_FOUND),
            (&["group", "1"], (0, "a:x:1:u\n"), NOT_FOUND),
            (
                &["initgroups", "u"],
                (0, "u                     1\n"),
                (0, "u                    \n"),
            ),
        ];
        differs(test, "group", line, rows);
    }
    for line in ["a:*:+1:2:3:4:5:6:7\n", "a:*: 1:2:3:4:5:6:7\n", "a:*:1:2:3:4:5:6:+7\n"] {
        let plain = "a:*:1:2:3:4:5:6:7\n";
        let rows: &[Asked] =
            &[(&["shadow"], (0, plain), EMPTY), (&["shadow", "a"], (0, plain), NOT_FOUND)];
        differs(test, "shadow", line, rows);
    }
    // Here both agree.
    for number in ["-1", "0x1", "1x", "1 ", "", "4294967296", "18446744073709551617"] {
        let rows: &[Asked] = &[
            (&["passwd"], EMPTY, EMPTY),
            (&["passwd", "a"], NOT_FOUND, NOT_FOUND),
            (&["passwd", "1"], NOT_FOUND, NOT_FOUND),
            (&["passwd", "0"], NOT_FOUND, NOT_FOUND),
        ];
        differs(test, "passwd", format!("a:x:{number}:1:g:/:/s\n"), rows);
        let rows: &[Asked] =
            &[(&["group"], EMPTY, EMPTY), (&["group", "a", "1"], NOT_FOUND, NOT_FOUND)];
        differs(test, "group", format!("a:x:{number}:u\n"), rows);
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
fn members_are_split_at_commas_and_not_trimmed() {
    let test = "members_are_split_at_commas_and_not_trimmed";
    for (members, theirs) in
        [(",u", "u"), ("u,", "u"), ("u,,v", "u,v"), (",", ""), (",,", ""), (" u, v ,w", "u,v ,w")]
    {
        let (line, trimmed) = (format!("a:x:1:{members}\n"), format!("a:x:1:{theirs}\n"));
        let rows: &[Asked] = &[
            (&["group"], (0, &trimmed), (0, &line)),
            (&["group", "a"], (0, &trimmed), (0, &line)),
        ];
        differs(test, "group", &line, rows);
    }
    let in_one = |user: &str| format!("{user:21} 1\n");
    let in_none = |user: &str| format!("{user:21}\n");
    let rows: &[Asked] = &[
        (&["initgroups", "u"], (0, &in_one("u")), (0, &in_none("u"))),
        (&["initgroups", " u"], (0, &in_none(" u")), (0, &in_one(" u"))),
        (&["initgroups", ""], (0, &in_none("")), (0, &in_one(""))),
        (&["initgroups", "v "], (0, &in_one("v ")), (0, &in_none("v "))),
        (&["initgroups", "w"], (0, &in_one("w")), (0, &in_one("w"))),
    ];
    differs(test, "group", "a:x:1: u,, v ,w\n", rows);
}

#[test]
fn nis_marks_have_no_meaning() {
    let test = "nis_marks_have_no_meaning";
    for mark in ["+", "-", "+n", "-n", "+@n"] {
        let (line, bare) = (format!("{mark}:x:1:1:g:/:/s\n"), format!("{mark}:x:::g:/:/s\n"));
        let rows: &[Asked] = &[
            (&["passwd"], (0, &bare), (0, &line)),
            (&["passwd", mark], NOT_FOUND, (0, &line)),
            (&["passwd", "1"], NOT_FOUND, (0, &line)),
        ];
        differs(test, "passwd", &line, rows);
        let line = format!("{mark}::::::\n");
        let rows: &[Asked] =
            &[(&["passwd"], (0, &line), EMPTY), (&["passwd", mark], NOT_FOUND, NOT_FOUND)];
        differs(test, "passwd", &line, rows);

        let (line, bare) = (format!("{mark}:x:1:u\n"), format!("{mark}:x::u\n"));
        let rows: &[Asked] = &[
            (&["group"], (0, &bare), (0, &line)),
            (&["group", mark], NOT_FOUND, (0, &line)),
            (&["group", "1"], NOT_FOUND, (0, &line)),
        ];
        differs(test, "group", &line, rows);
        let line = format!("{mark}:::\n");
        let rows: &[Asked] =
            &[(&["group"], (0, &line), EMPTY), (&["group", mark], NOT_FOUND, NOT_FOUND)];
        differs(test, "group", &line, rows);

        for line in [format!("{mark}:*:1:2:3:4:5:6:7\n"), format!("{mark}::::::::\n")] {
            let rows: &[Asked] = &[
                (&["shadow"], (0, &line), (0, &line)),
                (&["shadow", mark], NOT_FOUND, (0, &line)),
            ];
            differs(test, "shadow", &line, rows);
        }
    }
}

#[test]
fn a_nul_ends_a_line() {
    let test = "a_nul_ends_a_line";
    let rows: &[Asked] = &[
        (&["passwd"], (0, "a:x:1:1:g::\n"), EMPTY),
        (&["passwd", "a"], (0, "a:x:1:1:g::\n"), NOT_FOUND),
    ];
    differs(test, "passwd", "a:x:1:1:g\0ecos:/h:/s\n", rows);
    let cut = (0, "a:x:1:1:g:/h:/s\n");
    let rows: &[Asked] = &[(&["passwd"], cut, cut), (&["passwd", "a"], cut, cut)];
    differs(test, "passwd", "a:x:1:1:g:/h:/s\0h:more\n", rows);
    let cut = (0, "a:x:1:u,v\n");
    let rows: &[Asked] = &[(&["group"], cut, cut), (&["group", "a"], cut, cut)];
    differs(test, "group", "a:x:1:u,v\0,w\n", rows);
    let cut = (0, "a:*:1:2:3:4:5:6:7\n");
    let rows: &[Asked] = &[(&["shadow"], cut, cut), (&["shadow", "a"], cut, cut)];
    differs(test, "shadow", "a:*:1:2:3:4:5:6:7\x008\n", rows);
}

#[test]
fn large_numbers_of_shadow_are_printed_as_they_are() {
    let test = "large_numbers_of_shadow_are_printed_as_they_are";
    for (days, theirs) in [("2147483648", "-2147483648"), ("4294967294", "-2"), ("4294967295", "")]
    {
        let (line, wrapped) =
            (format!("a:*:{days}:::::{days}:\n"), format!("a:*:{theirs}:::::{theirs}:\n"));
        let rows: &[Asked] = &[
            (&["shadow"], (0, &wrapped), (0, &line)),
            (&["shadow", "a"], (0, &wrapped), (0, &line)),
        ];
        differs(test, "shadow", &line, rows);
    }
    for line in [
        "a:*:4294967296::::::\n",
        "a:*:9223372036854775808::::::\n",
        "a:*:::::::4294967296\n",
        "a:*:::::::18446744073709551614\n",
    ] {
        let rows: &[Asked] =
            &[(&["shadow"], EMPTY, (0, line)), (&["shadow", "a"], NOT_FOUND, (0, line))];
        differs(test, "shadow", line, rows);
    }
    // On the wire -1 is the empty field.
    let ours = (0, "a:*:::::::\n");
    let rows: &[Asked] = &[(&["shadow"], EMPTY, ours), (&["shadow", "a"], NOT_FOUND, ours)];
    differs(test, "shadow", "a:*:::::::18446744073709551615\n", rows);
    let flag = (0, "a:*:::::::4294967294\n");
    let rows: &[Asked] = &[(&["shadow"], flag, flag)];
    differs(test, "shadow", flag.1, rows);
    for number in ["18446744073709551616", "-1", "0x1", "1x"] {
        let rows: &[Asked] =
            &[(&["shadow"], EMPTY, EMPTY), (&["shadow", "a"], NOT_FOUND, NOT_FOUND)];
        differs(test, "shadow", format!("a:*:{number}::::::\n"), rows);
        differs(test, "shadow", format!("a:*:::::::{number}\n"), rows);
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
