//! `getent` for passwd, group, shadow and initgroups, against glibc's own getent.
//!
//! Both are told `-s files`, so that no other NSS module has a say, and so that the command lines
//! are the same. Here lines are well formed: for the others see tests/it/getent/lines.rs, for
//! servers and lists of backends tests/it/getent/sources.rs.
#![cfg(feature = "getent")]

use super::glibc::{Call, accounts, call, compare, ours};
use crate::support::{TempDir, run_to_end, skip};
use std::fs;
use std::path::{Path, PathBuf};

/// Nothing is covered: the machine's own files.
const OWN: &[(&str, &str)] = &[];

const DATABASES: [&str; 3] = ["passwd", "group", "shadow"];

/// `-s files -- DATABASE KEY…`. Behind `--` a key may begin with a dash.
fn of<K: AsRef<[u8]>>(database: &str, keys: impl IntoIterator<Item = K>) -> Call {
    let mut words = call(["-s", "files", "--", database]);
    words.extend(call(keys));
    words
}

fn all_of(database: &str) -> Call {
    of(database, [""; 0])
}

/// Whether glibc and section 6 of doc/protocols/nsss.md make the same of a line.
fn is_well_formed(database: &str, line: &[u8]) -> bool {
    let fields: Vec<&[u8]> = line.split(|b| *b == b':').collect();
    let name = fields[0];
    let (count, numbers) = match database {
        "passwd" => (7, 2..4),
        "group" => (4, 2..3),
        _ => (9, 2..9),
    };
    if fields.len() != count || line.contains(&0) {
        return false;
    }
    if name.first().is_some_and(|b| b"+-#".contains(b) || b.is_ascii_whitespace() || *b == 0x0b) {
        return false;
    }
    let may_be_empty = database == "shadow";
    let fits = |text: &[u8]| {
        if text.is_empty() {
            return may_be_empty;
        }
        // Days are a signed number in glibc.
        let most = if may_be_empty { i32::MAX as u64 } else { u64::from(u32::MAX) };
        let text = std::str::from_utf8(text).unwrap_or_default();
        let is_digits = text.bytes().all(|b| b.is_ascii_digit());
        is_digits && text.parse::<u64>().is_ok_and(|n| n <= most)
    };
    let members_are_plain = |list: &[u8]| {
        let plain = |m: &[u8]| m.first().is_some_and(|b| !b.is_ascii_whitespace());
        list.is_empty() || list.split(|b| *b == b',').all(plain)
    };
    fields[numbers].iter().all(|number| fits(number))
        && (database != "group" || members_are_plain(fields[3]))
}

/// Listings, each name, number and member as a key of its own, and all of them in one call.
fn calls_for(dir: &Path) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut users: Vec<Vec<u8>> = Vec::new();
    for database in DATABASES {
        calls.push(all_of(database));
        let content = fs::read(dir.join(database)).unwrap_or_default();
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for line in content.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let fields: Vec<&[u8]> = line.split(|b| *b == b':').collect();
            keys.push(fields[0].to_vec());
            if database != "shadow" {
                keys.push(fields[2].to_vec());
            }
            if database == "group" {
                // Of a group of thousands some will do.
                let members = fields[3].split(|b| *b == b',');
                users.extend(members.take(20).map(<[u8]>::to_vec));
            } else {
                users.push(fields[0].to_vec());
            }
        }
        // Longer ones are no names here: tests/it/getent/lines.rs.
        keys.retain(|key| key.len() <= 254);
        keys.sort();
        keys.dedup();
        calls.extend(keys.iter().map(|key| of(database, [key])));
        calls.push(of(database, &keys));
    }
    users.retain(|user| user.len() <= 254);
    users.sort();
    users.dedup();
    calls.extend(users.iter().map(|user| of("initgroups", [user])));
    calls.push(of("initgroups", &users));
    calls
}

/// A passwd, group and shadow with everything that lines in good order may hold.
fn odd_accounts() -> TempDir {
    let n254 = "n".repeat(254);
    let n255 = "m".repeat(255);
    let long = "g".repeat(9000);
    let members: Vec<String> = (0..5000).map(|n| format!("user{n:05}")).collect();
    let members = members.join(",");
    let passwd = format!(
        "root:x:0:0:root:/root:/bin/bash\nempty::1:1:::\ndup:x:2:2:first:/1:/1\n\
         dup:x:3:3:second:/2:/2\nsameid:x:2:9:third:/3:/3\nj\u{f6}rg:x:5:5:J\u{f6}rg \u{20ac}:/h:/s\n\
         {n254}:x:7:7:long name:/:/s\n{n255}:x:8:8:too long a key:/:/s\nlong:x:10:10:{long}:/:/s\n\
         zeros:x:007:0009:z:/:/s\nmorezeros:x:00000000000000011:00012:z:/:/s\n\
         control:x:13:13:\u{1}\u{1b}[1m\t\u{7f}:/:/s\r\nmost:x:4294967295:4294967295:m:/:/s\n\
         4294967294:x:4294967294:1:m:/:/s\n123:x:77:1:digits:/:/s\n77:x:78:1:digits:/:/s\n\
         in space:x:90:90:sp ace:/ :/ s\ntail :x:91:91::/:\ncomma,name:x:93:93:a,b,c:/:/s\n\
         x+y-z#:x:94:94::/:/s\nDUP:x:95:95:case counts:/:/s\n:x:96:96:no name:/:/s\n\n\n"
    );
    let mut passwd = passwd.into_bytes();
    passwd.extend(b"lat\xefn:x:6:6:\xff\xfe\x80:/h:/s\nlast:x:99:99:no newline:/:/s");
    let group = format!(
        "root:x:0:\nempty::1:\none:x:2:u1\ndup:x:3:u1\ndup:x:4:u1,u2\nsame:x:2:u2,u3\n\
         j\u{f6}rg:x:5:j\u{f6}rg,u1\n{n254}:x:7:{n254},u1\n{n255}:x:8:{n255},u2\nzeros:x:0070:u1\n\
         many:x:71:{members},u1\ntwice:x:72:u1,u2,u1\nmost:x:4294967295:u4\nless:x:4294967294:u1\n\
         77:x:78:u 5\ntail:x:79:u1 ,u6\ncase:x:80:U1\n:x:81:u7\n\n"
    );
    let mut group = group.into_bytes();
    group.extend(b"lat\xefn:\x01:6:lat\xefn,u\x1b[2J\nlast:x:99:u1");
    let shadow = format!(
        "root:*:1:2:3:4:5:6:7\nempty::::::::\ndup:a:1::::::\ndup:b:2::::::\nzeros:*:0001:00:007:::000:\n\
         {n254}:x:1::::::\nj\u{f6}rg:!:19000:0:99999:7:::\n0:a number:1::::::\n\
         most:*:2147483647:2147483647:2147483647:2147483647:2147483647:2147483647:2147483647\n\
         \nlong:{long}:1::::::\nlast:*:1:2:3:4:5:6:7"
    );
    let dir = TempDir::new();
    dir.accounts(passwd, group, shadow);
    dir
}

/// The folders with account files of the vectors.
fn vector_inputs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/nsss/input");
    let folders = fs::read_dir(&folder).expect("the vectors").map(|e| e.expect("a folder").path());
    let mut folders: Vec<PathBuf> = folders.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

#[test]
fn the_machines_own_files_read_the_same() {
    let test = "the_machines_own_files_read_the_same";
    for database in DATABASES {
        // Shadow may be closed to us; then it is to glibc, too.
        let content = fs::read(Path::new("/etc").join(database)).unwrap_or_default();
        let mut lines = content.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        if !lines.all(|line| is_well_formed(database, line)) {
            return skip(test, &format!("/etc/{database} has malformed lines"));
        }
    }
    compare(test, OWN, &calls_for(Path::new("/etc")));
}

#[test]
fn odd_files_in_good_order_read_the_same() {
    let odd = odd_accounts();
    let test = "odd_files_in_good_order_read_the_same";
    compare(test, &accounts(odd.path()), &calls_for(odd.path()));
}

#[test]
fn the_good_lines_of_the_vectors_read_the_same() {
    let test = "the_good_lines_of_the_vectors_read_the_same";
    for folder in vector_inputs() {
        let dir = TempDir::new();
        for database in DATABASES {
            let content = fs::read(folder.join(database)).expect("an input of the vectors");
            let lines = content.split_inclusive(|b| *b == b'\n');
            let good: Vec<&[u8]> = lines
                .filter(|line| is_well_formed(database, line.strip_suffix(b"\n").unwrap_or(line)))
                .collect();
            dir.write(database, good.concat());
        }
        compare(test, &accounts(dir.path()), &calls_for(dir.path()));
    }
}

#[test]
fn groups_that_share_a_gid_are_listed_each() {
    let dir = TempDir::new();
    dir.accounts("", "a:x:2:u1\nb:x:3:u1\nc:x:2:u1\nd:x:3:u1,u2\n", "");
    let calls = [of("initgroups", ["u1", "u2"])];
    compare("groups_that_share_a_gid_are_listed_each", &accounts(dir.path()), &calls);
}

#[test]
fn a_user_may_be_in_thousands_of_groups() {
    let dir = TempDir::new();
    let group: String = (1..=5000).map(|n| format!("g{n}:x:{n}:u1,x{n}\n")).collect();
    dir.accounts("", group, "");
    let calls = [of("initgroups", ["u1"]), of("initgroups", ["x4999", "u1", "x1"])];
    compare("a_user_may_be_in_thousands_of_groups", &accounts(dir.path()), &calls);
}

#[test]
fn several_keys_are_answered_in_turn_and_a_missing_one_shows_in_the_exit_code() {
    let odd = odd_accounts();
    let mut calls = Vec::new();
    for database in DATABASES {
        for keys in [
            &["root", "dup", "root"][..],
            &["root", "nope", "dup"],
            &["nope", "root"],
            &["root", "dup", "nope"],
            &["nope", "neither"],
            &["nope"],
            &[""],
            &["root", "", "dup"],
        ] {
            calls.push(of(database, keys));
        }
    }
    let test = "several_keys_are_answered_in_turn_and_a_missing_one_shows_in_the_exit_code";
    compare(test, &accounts(odd.path()), &calls);
}

#[test]
fn numeric_keys_are_what_strtoul_takes() {
    let odd = odd_accounts();
    let mut calls = Vec::new();
    for key in [
        "5",
        "+5",
        " 5",
        "\t5",
        "\n5",
        "\u{b}5",
        "\u{c}5",
        "\r5",
        " \t +5",
        "007",
        "+007",
        "-0",
        " -0",
        "-00",
        "00",
        "5 ",
        "5x",
        "x5",
        "0x5",
        "5.",
        "5,2",
        "--5",
        "++5",
        "+-5",
        "+ 5",
        "- 0",
        "+",
        "-",
        " ",
        "\u{a0}5",
        "4294967294",
        "4294967295",
        "0004294967295",
        "123",
        "77",
        "78",
        "1e1",
    ] {
        for database in DATABASES {
            calls.push(of(database, [key]));
        }
    }
    compare("numeric_keys_are_what_strtoul_takes", &accounts(odd.path()), &calls);
}

#[test]
fn bytes_that_are_no_text_are_keys_like_others() {
    let odd = odd_accounts();
    let mut calls = Vec::new();
    for key in [
        &b"lat\xefn"[..],
        b"lat\xee",
        b"\xff",
        b"\xa05",
        b"u\x1b[2J",
        b"a\nb",
        b"dup:x",
        b"dup\nroot",
        b"jo\xcc\x88rg",
    ] {
        for database in ["passwd", "group", "shadow", "initgroups"] {
            calls.push(of(database, [key]));
            calls.push(of(database, [key, b"root"]));
        }
    }
    compare("bytes_that_are_no_text_are_keys_like_others", &accounts(odd.path()), &calls);
}

#[test]
fn initgroups_pads_the_user_and_knows_no_missing_one() {
    let odd = odd_accounts();
    let (n20, n21, n22) = ("u".repeat(20), "u".repeat(21), "u".repeat(22));
    let keys: [&[&str]; 8] = [
        &["u1"],
        &["nope"],
        &["root"],
        &["u1", "nope", "u2", "u1"],
        &[""],
        &[&n20, &n21, &n22],
        &["0", "5", "j\u{f6}rg"],
        // Not one listing for all users.
        &[],
    ];
    let calls: Vec<Call> = keys.iter().map(|keys| of("initgroups", *keys)).collect();
    let test = "initgroups_pads_the_user_and_knows_no_missing_one";
    compare(test, &accounts(odd.path()), &calls);
}

#[test]
fn files_that_are_missing_or_empty_hold_nothing() {
    let test = "files_that_are_missing_or_empty_hold_nothing";
    let mut calls = Vec::new();
    for database in DATABASES {
        calls.extend([all_of(database), of(database, ["root"]), of(database, ["0", "nope"])]);
    }
    calls.extend([of("initgroups", ["root"]), all_of("initgroups")]);
    let none = TempDir::new();
    compare(test, &[(none.path(), "/etc")], &calls);
    for content in ["", "\n", "\n\n \n"] {
        let dir = TempDir::new();
        dir.accounts(content, content, content);
        compare(test, &accounts(dir.path()), &calls);
    }
}

#[test]
fn options_are_those_of_glibc() {
    let odd = odd_accounts();
    let calls = [
        "-s files passwd root",
        "passwd -s files root",
        "passwd root -s files",
        "passwd root -s files dup",
        "-sfiles passwd root",
        "--service=files passwd root",
        "--service files passwd root",
        "passwd root --service=files",
        "-s passwd:files passwd root",
        "-s passwd:files -s group:files group root",
        "-s group:files -s passwd:files passwd root",
        "-s initgroups:files -s group:files initgroups u1",
        "-i -s files passwd root",
        "-A -s files passwd root",
        "-iAsfiles passwd root",
        "--no-idn -s files passwd root",
        "--no-addrconfig --no-idn -s files passwd root",
        "-s files -- passwd root",
        "-s files passwd -- root",
        "-s files passwd root --",
        "-s files passwd root -- 0 nope",
        "-s files passwd -- --help",
        "-s files passwd -- -s",
        "-s files passwd - root",
        "-s nope:files passwd root",
        "-Z passwd",
        "-sfiles -Z passwd root",
        "--nope passwd root",
        "passwd --nope",
        "--no-idn=1 passwd root",
        "-s",
        "passwd root -s",
        "--service",
    ];
    let calls = calls.map(|line| call(line.split(' ')));
    compare("options_are_those_of_glibc", &accounts(odd.path()), &calls);
}

/// Where the texts differ, the exit codes are those of glibc all the same.
#[test]
fn exit_codes_without_an_answer_are_those_of_glibc() {
    let code = |words: &[&str]| run_to_end(ours(words)).code;
    assert_eq!(code(&[]), Some(1), "no database");
    assert_eq!(code(&["-s", "files"]), Some(1), "no database");
    assert_eq!(code(&["--"]), Some(1), "no database");
    assert_eq!(code(&["nope"]), Some(1), "an unknown database");
    assert_eq!(code(&["nope", "root"]), Some(1), "an unknown database");
    assert_eq!(code(&["-Z"]), Some(64), "an unknown option");
    assert_eq!(code(&["initgroups"]), Some(3), "no listing");
    for words in
        [&["--help"][..], &["-?"], &["--usage"], &["passwd", "root", "--help"], &["-s", "", "-?"]]
    {
        let finished = run_to_end(ours(words));
        let text = String::from_utf8(finished.stdout).expect("text");
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{words:?}");
        assert!(text.starts_with("Usage: getent"), "{words:?}: {text}");
    }
    for words in [&["--version"][..], &["-V"], &["passwd", "--version"]] {
        let finished = run_to_end(ours(words));
        let text = String::from_utf8(finished.stdout).expect("text");
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{words:?}");
        assert!(text.starts_with("getent "), "{words:?}: {text}");
        assert!(text.contains(env!("CARGO_PKG_VERSION")), "{words:?}: {text}");
    }
}

#[test]
fn a_database_that_is_not_served_is_named() {
    for database in ["netgroup", "ahosts", "ahostsv4", "ahostsv6"] {
        for keys in [&[][..], &["localhost"]] {
            let finished = run_to_end(ours(std::iter::once(&database).chain(keys)));
            assert_eq!(finished.code, Some(1), "{database}");
            assert_eq!(finished.stdout, b"", "{database}");
            let text = finished.stderr;
            assert!(text.starts_with("getent: fatal: "), "{text}");
            assert!(text.contains("not served") && text.contains(database), "{text}");
        }
    }
}
