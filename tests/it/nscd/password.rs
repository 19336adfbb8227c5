//! The password field, as nscd sends it: who could read it, who has a line in shadow, who is asked
//! for shadow. tests/it/login has the programs to which it matters.

use super::machine::{can_bind, over_etc};
use crate::support::ipcserver::{NOBODY, connect_as};
use crate::support::nscd::{
    Bench, ask, asked, group, no_group, no_groups, no_user, read_to_end, request, user,
};
use crate::support::nslcd::{self, FakeNslcd};
use crate::support::{Server, TempDir, assert_same_bytes, is_root, skip};
use rustix::fs::XattrFlags;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

const HASH: &str = "$6$salt$hash";

/// Somebody.
const ANOTHER: u32 = 1500;

/// What a client of these ids is answered.
#[track_caller]
fn asked_as(server: &Server, uid: u32, kind: i32, key: &str) -> Vec<u8> {
    let client = connect_as(server, uid, uid);
    client.send(&request(kind, key));
    read_to_end(&client)
}

/// Lines with a password field of each sort in a directory that is not /etc, and what becomes of it
/// where the asker could read the file, and where he could not.
const FIELDS: [(&str, &str, &str, &str); 8] = [
    ("empty", "", "", ""),
    ("star", "*", "*", "*"),
    ("bang", "!", "!", "!"),
    ("locked", "!$6$salt$hash", "!$6$salt$hash", "!$6$salt$hash"),
    ("hash", HASH, HASH, "*"),
    ("lk", "*LK*", "*LK*", "*"),
    ("xx", "xx", "xx", "*"),
    ("x", "x", "*", "*"),
];

/// Checks what each line looks like to a user.
#[track_caller]
fn expect(server: &Server, who: &str, uid: u32, readable: bool) {
    for (at, (name, _, open, closed)) in FIELDS.iter().enumerate() {
        let (field, id) = (if readable { open } else { closed }, (1000 + at).to_string());
        let want = user(&format!("{name}:{field}:{id}:7:::"));
        for (kind, key) in [(ask::USER, *name), (ask::UID, &id)] {
            assert_same_bytes(&format!("{who}: {name}"), &asked_as(server, uid, kind, key), &want);
        }
        // A group's x is nobody's password.
        let field = if *name == "x" { "x" } else { field };
        let want = group(&format!("{name}:{field}:{id}:ada"));
        let got = asked_as(server, uid, ask::GROUP, name);
        assert_same_bytes(&format!("{who}: group {name}"), &got, &want);
    }
}

/// As `setfacl -m u:nobody:-` does: the bits of the mode still say that everybody may read.
#[track_caller]
fn set_acl(path: &Path) {
    let entry = |tag: u16, rights: u16, id: u32| {
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let all = u32::MAX;
    let entries = [(1, 6, all), (2, 0, NOBODY), (4, 4, all), (0x10, 4, all), (0x20, 4, all)];
    let entries = entries.map(|(tag, rights, id)| entry(tag, rights, id)).concat();
    let list = [&2_u32.to_le_bytes()[..], &entries].concat();
    rustix::fs::setxattr(path, "system.posix_acl_access", &list, XattrFlags::empty())
        .expect("a file system with lists of rights");
}

#[test]
fn a_hash_is_for_those_who_could_read_its_file() {
    if !is_root() {
        return skip("a_hash_is_for_those_who_could_read_its_file", "needs root");
    }
    let (mut passwd, mut groups) = (String::new(), String::new());
    for (at, (name, field, ..)) in FIELDS.iter().enumerate() {
        let _ = writeln!(passwd, "{name}:{field}:{}:7:::", 1000 + at);
        let _ = writeln!(groups, "{name}:{field}:{}:ada", 1000 + at);
    }
    let (bench, files) = (Bench::new("", ""), TempDir::new());
    let dir = files.subdirectory("dir");
    for (name, text) in [("dir/passwd", &passwd), ("dir/group", &groups)] {
        files.write(name, text);
    }
    let dir = dir.to_str().unwrap();
    let chmod = |mode| {
        for name in ["dir/passwd", "dir/group"] {
            files.chmod(name, mode);
        }
    };
    let server = bench.start(&[], &[(3, &["nsssd-unix", "-d", dir])]);
    expect(&server, "everybody", ANOTHER, true);
    chmod(0o600);
    expect(&server, "root", 0, true);
    expect(&server, "another", ANOTHER, false);
    // One of the groups that are not seen of him may be the file's.
    chmod(0o604);
    expect(&server, "perhaps of the group", ANOTHER, false);
    chmod(0o644);
    files.chmod("dir", 0o711);
    expect(&server, "who may pass", ANOTHER, true);
    files.chmod("", 0o700);
    expect(&server, "who may not come near", ANOTHER, false);
    expect(&server, "root", 0, true);
    files.chmod("", 0o755);
    set_acl(&files.join("dir/passwd"));
    set_acl(&files.join("dir/group"));
    expect(&server, "whom a list may deny it", ANOTHER, false);
    expect(&server, "root", 0, true);
    drop(server);
    for name in ["dir/passwd", "dir/group"] {
        rustix::fs::removexattr(files.join(name), "system.posix_acl_access").unwrap();
    }
    chmod(0o644);
    let link = files.join("link");
    symlink(dir, &link).unwrap();
    let server = bench.start(&[], &[(3, &["nsssd-unix", "-d", link.to_str().unwrap()])]);
    expect(&server, "by a link", ANOTHER, false);
    expect(&server, "root", 0, true);
}

/// A record of any length: whole, in pieces, and longer than what is read at a time.
#[test]
fn a_field_of_a_long_record_is_no_other() {
    if !is_root() {
        return skip("a_field_of_a_long_record_is_no_other", "needs root");
    }
    for size in [3900, 4060, 4096, 5000, 40_000] {
        for (_, field, open, closed) in FIELDS {
            let rest = "g".repeat(size);
            let bench = Bench::new(
                &format!("ada:{field}:5:6:{rest}:/h:/bin/sh\n"),
                &format!("staff:{field}:5:{rest}\n"),
            );
            let server = bench.serve(&[]);
            for (mode, uid, shown) in
                [(0o644, ANOTHER, open), (0o600, ANOTHER, closed), (0o600, 0, open)]
            {
                for name in ["passwd", "group"] {
                    bench.dir.chmod(name, mode);
                }
                let want = user(&format!("ada:{shown}:5:6:{rest}:/h:/bin/sh"));
                assert_same_bytes(field, &asked_as(&server, uid, ask::UID, "5"), &want);
                let shown = if field == "x" { "x" } else { shown };
                let want = group(&format!("staff:{shown}:5:{rest}"));
                assert_same_bytes(field, &asked_as(&server, uid, ask::GID, "5"), &want);
            }
        }
    }
}

/// A line of shadow far behind what is read in a turn; asked for by name and by number, and for
/// records that are taken in pieces.
#[test]
fn an_x_stays_where_shadow_has_a_line() {
    if !can_bind("an_x_stays_where_shadow_has_a_line") {
        return;
    }
    let long = "g".repeat(40_000);
    let lines = format!(
        "ada:x:1001:7:::\nbob:x:1002:7:::\nlong:x:1003:7:{long}::\nlung:x:1004:7:{long}::\n"
    );
    let bench = Bench::new(&lines, "");
    bench.dir.write("etc.passwd", "root:x:0:0::/:\n");
    bench.dir.write("etc.nsswitch.conf", "shadow: files\n");
    for more in [0, 100_000] {
        let mut shadow = String::new();
        for at in 0..more {
            let _ = writeln!(shadow, "user{at}:*:20000:0:99999:7:::");
        }
        shadow.push_str("ada:*:20000:0:99999:7:::\nlong:*:20000:0:99999:7:::\n");
        bench.dir.write("etc.shadow", shadow);
        bench.dir.chmod("etc.shadow", 0o600);
        let command = bench.scripted(&["-t", "4000"], &[(3, &["nsssd-unix"]), (0, &bench.unix())]);
        let names = ["passwd", "shadow", "nsswitch.conf"];
        let mounts = names.map(|name| (bench.dir.join(format!("etc.{name}")), name));
        let server = Server::start_command(over_etc(&mounts, &command), &bench.socket());
        for (at, line) in lines.lines().enumerate() {
            let name = line.split(':').next().unwrap();
            let has_line = matches!(name, "ada" | "long");
            let want = if has_line { line.to_owned() } else { line.replacen(":x:", ":*:", 1) };
            for _ in 0..2 {
                for (kind, key) in [(ask::USER, name), (ask::UID, &(1001 + at).to_string())] {
                    let got = asked(server.socket(), &request(kind, key));
                    assert_same_bytes(&format!("{name}, {more} more"), &got, &user(&want));
                }
            }
        }
    }
}

/// A second directory and a program: of a name that has no line, gets one and loses it, of the file's
/// own absence, and of what nsswitch.conf lists meanwhile.
#[test]
fn shadow_and_its_sources_are_looked_at_each_time() {
    if !can_bind("shadow_and_its_sources_are_looked_at_each_time") {
        return;
    }
    let bench = Bench::new("ada:x:1001:7:::\n", "");
    let etc = bench.dir.subdirectory("etc");
    let script = format!("#!/bin/sh\nexec nsssd-unix -d {}\n", bench.dir.as_str());
    bench.dir.write("program", script);
    bench.dir.chmod("program", 0o755);
    let program = bench.dir.join("program");
    for (source, by_service) in [(&bench.unix()[..], "*"), (&[program.to_str().unwrap()], "x")] {
        bench.dir.write("etc/passwd", "root:x:0:0::/:\n");
        bench.dir.write("etc/nsswitch.conf", "shadow: files\n");
        let command = bench.scripted(&["-t", "4000"], &[(3, &["nsssd-unix"]), (0, source)]);
        // The directory, so that a file can come and go.
        let command = over_etc(&[(etc.clone(), "")], &command);
        let server = Server::start_command(command, &bench.socket());
        let is = |field: &str| {
            let got = asked(server.socket(), &request(ask::USER, "ada"));
            assert_same_bytes(source[0], &got, &user(&format!("ada:{field}:1001:7:::")));
        };
        is("*");
        bench.dir.write("etc/shadow", "ada:*:20000:0:99999:7:::\n");
        is("x");
        bench.dir.replace("etc/shadow", "eve:*:20000:0:99999:7:::\n");
        is("*");
        bench.dir.write("etc/nsswitch.conf", "shadow: files other\n");
        is(by_service);
        bench.dir.replace("etc/nsswitch.conf", "shadow: files\n");
        is("*");
        bench.dir.write("etc/nsswitch.conf", "passwd: other\n");
        is(by_service);
        fs::remove_file(etc.join("nsswitch.conf")).unwrap();
        is("*");
        fs::remove_file(etc.join("shadow")).unwrap();
        is("*");
    }
}

/// A source that ignores case tells in its own spelling; and nothing, if one in front of it has that
/// name: who asks for another spelling is not him.
#[test]
fn a_name_in_other_letters_is_told_as_nslcd_spells_it() {
    let bench = Bench::new("jim:*:1:1:::\n", "adm:*:1:\n");
    let path = bench.dir.join("nslcd");
    let many: Vec<String> = (0..2000).map(|n| format!("member{n}")).collect();
    let action = nslcd::action::GROUP;
    let answer = |action, asked: &str, entry| {
        let reply = nslcd::reply(action, &[entry]);
        (nslcd::request(action, &nslcd::text(asked)), reply)
    };
    let user_of =
        |asked: &str, name| answer(nslcd::action::USER, asked, nslcd::user(name, 5005, 6));
    let _nslcd = FakeNslcd::with_table(
        &path,
        vec![
            user_of("john", "john"),
            user_of("JOHN", "john"),
            user_of("JIM", "jim"),
            user_of("JoE", "JOHN"),
            answer(action, "Staff", nslcd::group("STAFF", 7, &["a"])),
            answer(action, "ADM", nslcd::group("adm", 8, &["a"])),
            answer(action, "MANY", nslcd::group("many", 9, &many)),
            answer(action, "Adm", nslcd::group("adm", 9, &many)),
        ],
    );
    let source = ["nsssd-nslcd", path.to_str().unwrap()];
    let server = bench.start(&["-t", "4000"], &[(3, &bench.unix()), (0, &source)]);
    let user = user("john:*:5005:6:G:/h:/s");
    let large = group(&format!("many:*:9:{}", many.join(",")));
    for (kind, key, want) in [
        (ask::USER, "john", user.clone()),
        (ask::USER, "JOHN", user),
        (ask::USER, "JIM", no_user()),
        // Not the one that was asked for.
        (ask::USER, "JoE", Vec::new()),
        (ask::GROUP, "Staff", group("STAFF:*:7:a")),
        (ask::GROUP, "ADM", no_group()),
        (ask::GROUP, "MANY", large),
        (ask::GROUP, "Adm", no_group()),
    ] {
        assert_same_bytes(key, &asked(server.socket(), &request(kind, key)), &want);
    }
}

/// nslcd closes before it says anything where a name is none by its `validnames`. Where it would
/// have answered, and where it has begun to, a close is a failure.
#[test]
fn a_close_by_nslcd_is_no_failure_where_the_name_is_none() {
    let bench = Bench::new("", "");
    let path = bench.dir.join("nslcd");
    let nslcd = FakeNslcd::with_table(&path, Vec::new());
    let source = ["nsssd-nslcd", path.to_str().unwrap()];
    let server = bench.start(&["-t", "4000"], &[(3, &bench.unix()), (0, &source)]);
    for (kind, none) in [(ask::USER, no_user()), (ask::GROUP, no_group())] {
        for name in ["-a", "a ", "a/b", "a+b", "\u{e4}"] {
            assert_same_bytes(name, &asked(server.socket(), &request(kind, name)), &none);
        }
        assert_eq!(asked(server.socket(), &request(kind, "ada")), b"");
    }
    assert_eq!(asked(server.socket(), &request(ask::GROUPS, "a+b")), no_groups());
    assert_eq!(asked(server.socket(), &request(ask::GROUPS, "ada")), b"");
    drop(nslcd);
    let header = nslcd::words(&[2, nslcd::action::USER]);
    let _nslcd = FakeNslcd::saying(&path, header);
    assert_eq!(asked(server.socket(), &request(ask::USER, "a+b")), b"", "it has begun");
}

/// PAM asks for `pam_unix_non_existent:` with each password. In a line of a file nobody can be called
/// so, and a close would send glibc past nscd for its next 99 questions.
#[test]
fn a_name_that_no_file_can_have_is_asked_of_nobody() {
    let bench = Bench::new("ada:*:1:1:::\n", "");
    let server = bench.start(&[], &[(0, &bench.unix()), (0, &["false"])]);
    for name in ["pam_unix_non_existent:", ":", "a\nb", "\n"] {
        // A member of a group may be called so, by glibc's rules.
        for (kind, want) in [(ask::USER, no_user()), (ask::GROUP, no_group())] {
            assert_same_bytes(name, &asked(server.socket(), &request(kind, name)), &want);
        }
    }
    assert_eq!(asked(server.socket(), &request(ask::USER, "nobody-knows")), b"");
}
