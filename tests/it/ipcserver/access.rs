//! Who may see what of a server that answers in one process: a client sees the files that it
//! could read itself. Nearly all of it needs root, to be several users.

use crate::support::ipcserver::house::{
    ask_big, ask_one, ask_secret, big, for_each_program, furnish, one, secret, unix,
};
use crate::support::ipcserver::{Bench, NOBODY, OURS, connect_as};
use crate::support::{
    Server, TempDir, by_id, by_name, grouplist, have_program, is_root, op, passwd_reply, skip, tool,
};
use rustix::fs::XattrFlags;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;

/// Somebody whose number is his alone.
const ANOTHER: u32 = 1500;

/// The status of a client that may not read a file.
const EACCES: u8 = 13;

#[test]
fn shadow_is_shown_to_those_who_may_read_it() {
    if !is_root() {
        return skip("shadow_is_shown_to_those_who_may_read_it", "needs root");
    }
    // Owner, group and mode of the file; uid and gid of the client; whether it may.
    let cases = [
        ((0, 0, 0o600), (0, 0), true),
        ((0, 0, 0o000), (0, 0), true),
        ((0, 0, 0o600), (NOBODY, NOBODY), false),
        ((0, 0, 0o600), (NOBODY, 0), false),
        ((0, 42, 0o640), (NOBODY, 42), true),
        ((0, 42, 0o640), (NOBODY, NOBODY), false),
        ((0, 42, 0o620), (NOBODY, 42), false),
        ((ANOTHER, 0, 0o400), (ANOTHER, NOBODY), true),
        // The number of nobody is that of many, and told of more.
        ((NOBODY, 0, 0o400), (NOBODY, NOBODY), false),
        ((0, NOBODY, 0o640), (ANOTHER, NOBODY), false),
        ((0, 0, 0o644), (NOBODY, NOBODY), true),
        // He may be in the file's group by one of his further groups.
        ((0, 0, 0o604), (ANOTHER, ANOTHER), false),
        // The owner's own bits count for the owner, and the group's for the group.
        ((NOBODY, 42, 0o044), (NOBODY, 42), false),
        ((0, 42, 0o604), (NOBODY, 42), false),
    ];
    for_each_program(|bench, program| {
        let server = bench.start(&[], program);
        for (file, client, allowed) in cases {
            let (owner, group, mode) = file;
            chown(bench.dir.join("shadow"), Some(owner), Some(group)).expect("chown");
            bench.dir.chmod("shadow", mode);
            let (uid, gid) = client;
            let client = connect_as(&server, uid, gid);
            println!("file {owner}:{group} {mode:o}, client {uid}:{gid}");
            if allowed {
                client.expect(&ask_secret(), &secret());
            } else {
                client.expect(&ask_secret(), &[EACCES]);
                client.expect(&[op::SHADOW_GET], &[EACCES]);
            }
            client.expect(&ask_one(), &one());
        }
    });
}

/// What a file's mode does not say: with a list of rights its bits for the group are a mask; a
/// directory above may be closed; a link may lead through one.
#[test]
fn shadow_is_not_shown_where_more_than_its_mode_counts() {
    if !is_root() {
        return skip("shadow_is_not_shown_where_more_than_its_mode_counts", "needs root");
    }
    let dir = TempDir::new();
    let inner = dir.subdirectory("inner");
    let (bench, shadow) = (Bench::new(OURS), dir.join("inner/shadow"));
    furnish(&bench);
    for name in ["passwd", "group", "shadow"] {
        fs::copy(bench.dir.join(name), dir.join("inner").join(name)).unwrap();
    }
    chown(&shadow, Some(0), Some(ANOTHER)).unwrap();
    dir.chmod("inner/shadow", 0o640);
    let server = bench.start(&[], &["nsssd-unix", "-d", inner.to_str().unwrap()]);
    let is_shown = |what: &str, may: bool| {
        println!("{what}");
        let client = connect_as(&server, ANOTHER, ANOTHER);
        let want = if may { secret() } else { vec![EACCES] };
        client.expect(&ask_secret(), &want);
        client.expect(&[op::SHADOW_GET], &want);
        client.expect(&ask_one(), &one());
        // Root is told in any case.
        server.connect().expect(&ask_secret(), &secret());
    };
    is_shown("by its group", true);
    set_acl(&shadow, &[(1, 6, MANY), (2, 4, 34), (4, 0, MANY), (0x10, 4, MANY), (0x20, 0, MANY)]);
    is_shown("a list of rights", false);
    rustix::fs::removexattr(&shadow, ACL).unwrap();
    dir.chmod("inner/shadow", 0o640);
    is_shown("without it", true);
    for directory in ["inner", ""] {
        for (mode, may) in [(0o700, false), (0o701, false), (0o711, true), (0o755, true)] {
            dir.chmod(directory, mode);
            is_shown(&format!("{directory:?} {mode:o}"), may);
        }
    }
    set_acl(
        dir.path(),
        &[(1, 7, MANY), (2, 0, ANOTHER), (4, 5, MANY), (0x10, 5, MANY), (0x20, 5, MANY)],
    );
    is_shown("a list of rights above", false);
    rustix::fs::removexattr(dir.path(), ACL).unwrap();
    is_shown("without it", true);
    fs::rename(&shadow, dir.join("inner/elsewhere")).unwrap();
    symlink(dir.join("inner/elsewhere"), &shadow).unwrap();
    is_shown("a link", false);
}

/// A file that everybody may read by its mode, in a directory that not everybody may pass: its users
/// are no secret, their hashes are.
#[test]
fn a_hash_in_passwd_is_hidden_where_the_way_to_it_is_closed() {
    if !is_root() {
        return skip("a_hash_in_passwd_is_hidden_where_the_way_to_it_is_closed", "needs root");
    }
    let (dir, bench) = (TempDir::new(), Bench::new(OURS));
    let inner = dir.subdirectory("inner");
    let long = "g".repeat(40_000);
    let line =
        |name: &str, hash: &str, gecos: &str| format!("{name}:{hash}:7:8:{gecos}:/:/bin/sh\n");
    let text = line("ada", "$6$hash", "") + &line("bob", "x", "") + &line("eve", "$6$", &long);
    dir.write("inner/passwd", text);
    dir.write("inner/group", "");
    let server = bench.start(&[], &["nsssd-unix", "-d", inner.to_str().unwrap()]);
    fn user(name: &str, password: &str, gecos: &str) -> Vec<u8> {
        passwd_reply([name, password], 7, 8, [gecos, "/", "/bin/sh"])
    }
    let expect = |uid: u32, ada: &str, eve: &str| {
        let all = [user("ada", ada, ""), user("bob", "x", ""), user("eve", eve, &long)];
        let client = connect_as(&server, uid, uid);
        for (name, want) in ["ada", "bob", "eve"].iter().zip(&all) {
            client.expect(&by_name(op::PWD_GETBYNAME, name), want);
        }
        for want in &all {
            client.expect(&[op::PWD_GET], want);
        }
    };
    expect(ANOTHER, "$6$hash", "$6$");
    dir.chmod("inner", 0o700);
    expect(ANOTHER, "*******", "***");
    expect(0, "$6$hash", "$6$");
}

const ACL: &str = "system.posix_acl_access";

/// The id of an entry that names nobody.
const MANY: u32 = u32::MAX;

/// Gives a file a list of rights: tag, rights and id of each entry.
#[track_caller]
fn set_acl(path: &Path, entries: &[(u16, u16, u32)]) {
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    rustix::fs::setxattr(path, ACL, &list, XattrFlags::empty())
        .expect("a file system with lists of rights");
}

/// In a user namespace all those that it has not have one number: a group of them is not another.
#[test]
fn ids_that_cannot_be_told_apart_are_nobodys() {
    let test = "ids_that_cannot_be_told_apart_are_nobodys";
    if !is_root() || !have_program("unshare") {
        return skip(test, "needs root and unshare");
    }
    let bench = Bench::new(OURS);
    furnish(&bench);
    chown(bench.dir.join("shadow"), Some(0), Some(ANOTHER)).unwrap();
    bench.dir.chmod("shadow", 0o640);
    let socket = bench.dir.join("s");
    let mut command = tool(&bench.dir.join("bin"), "unshare");
    command.args(["-U", "-r", "ipcserver", "-1"]).arg(&socket).args(unix(&bench));
    let server = Server::start_command(command, &socket);
    server.connect().expect(&ask_secret(), &secret());
    let client = connect_as(&server, ANOTHER + 1, ANOTHER + 1);
    client.expect(&ask_secret(), &[EACCES]);
    client.expect(&ask_one(), &one());
}

#[test]
fn what_root_was_shown_is_not_shown_to_the_next_client() {
    if !is_root() {
        return skip("what_root_was_shown_is_not_shown_to_the_next_client", "needs root");
    }
    for_each_program(|bench, program| {
        let server = bench.start(&[], program);
        let (root, nobody) = (server.connect(), connect_as(&server, NOBODY, NOBODY));
        for _ in 0..3 {
            root.expect(&ask_secret(), &secret());
            nobody.expect(&ask_secret(), &[EACCES]);
            root.expect(&[op::SHADOW_GET], &secret());
            nobody.expect(&[op::SHADOW_GET], &[EACCES]);
            root.expect(&[op::SHADOW_END], &[0]);
            nobody.expect(&[op::SHADOW_END], &[0]);
        }
    });
}

#[test]
fn rights_are_looked_at_for_each_question() {
    if !is_root() {
        return skip("rights_are_looked_at_for_each_question", "needs root");
    }
    for_each_program(|bench, program| {
        let server = bench.start(&[], program);
        let client = connect_as(&server, NOBODY, NOBODY);
        client.expect(&ask_secret(), &[EACCES]);
        bench.dir.chmod("shadow", 0o644);
        client.expect(&ask_secret(), &secret());
        bench.dir.chmod("shadow", 0o600);
        client.expect(&ask_secret(), &[EACCES]);
    });
}

#[test]
fn a_name_that_is_not_in_shadow_is_not_given_away() {
    if !is_root() {
        return skip("a_name_that_is_not_in_shadow_is_not_given_away", "needs root");
    }
    for_each_program(|bench, program| {
        let server = bench.start(&[], program);
        let missing = by_name(op::SHADOW_GETBYNAME, "missing");
        server.connect().expect(&missing, &[255]);
        connect_as(&server, NOBODY, NOBODY).expect(&missing, &[EACCES]);
    });
}

#[test]
fn passwd_and_group_have_rights_as_well() {
    if !is_root() {
        return skip("passwd_and_group_have_rights_as_well", "needs root");
    }
    for_each_program(|bench, program| {
        bench.dir.chmod("passwd", 0o600);
        bench.dir.chmod("group", 0o600);
        let server = bench.start(&[], program);
        let (root, nobody) = (server.connect(), connect_as(&server, NOBODY, NOBODY));
        root.expect(&ask_one(), &one());
        root.expect(&ask_big(), &big());
        for request in [
            ask_one(),
            by_id(op::PWD_GETBYUID, 1001),
            vec![op::PWD_GET],
            ask_big(),
            by_id(op::GRP_GETBYGID, 5),
            vec![op::GRP_GET],
            grouplist(10, "one"),
        ] {
            nobody.expect(&request, &[EACCES]);
        }
        root.expect(&by_id(op::PWD_GETBYUID, 1001), &one());
    });
}

#[test]
fn without_credentials_shadow_is_shown_to_nobody() {
    for_each_program(|bench, program| {
        bench.dir.chmod("shadow", 0o644);
        let server = bench.start(&["-P"], program);
        let client = server.connect();
        client.expect(&ask_secret(), &[EACCES]);
        client.expect(&[op::SHADOW_GET], &[EACCES]);
        client.expect(&ask_one(), &one());
        client.expect(&ask_big(), &big());
        if is_root() {
            let nobody = connect_as(&server, NOBODY, NOBODY);
            nobody.expect(&ask_secret(), &[EACCES]);
            nobody.expect(&ask_one(), &one());
        }
    });
}

#[test]
fn an_ordinary_user_sees_shadow_as_the_system_has_it() {
    if is_root() {
        return; // Covered with more users above.
    }
    for_each_program(|bench, program| {
        let server = bench.start(&[], program);
        let client = server.connect();
        client.expect(&ask_secret(), &secret());
        bench.dir.chmod("shadow", 0o000);
        client.expect(&ask_secret(), &[EACCES]);
        client.expect(&ask_one(), &one());
    });
}

#[test]
fn a_server_that_gave_its_rights_away_shows_shadow_to_nobody() {
    if !is_root() {
        return skip("a_server_that_gave_its_rights_away_shows_shadow_to_nobody", "needs root");
    }
    for_each_program(|bench, program| {
        let server = bench.start(&["-u", "65534", "-g", "65534", "-G", ""], program);
        for client in [server.connect(), connect_as(&server, NOBODY, NOBODY)] {
            client.expect(&ask_secret(), &[EACCES]);
            client.expect(&ask_one(), &one());
        }
    });
}

#[test]
fn a_server_of_an_ordinary_user_answers_others() {
    if !is_root() {
        return skip("a_server_of_an_ordinary_user_answers_others", "needs root");
    }
    let bench = Bench::new(OURS).open_to_all();
    furnish(&bench);
    bench.dir.chmod("", 0o777);
    let mut command = bench.command();
    command.uid(ANOTHER).gid(ANOTHER);
    let server = bench.start_command(command, &[], &unix(&bench));
    for client in [server.connect(), connect_as(&server, 1234, 1234)] {
        client.expect(&ask_one(), &one());
        client.expect(&ask_secret(), &[EACCES]);
    }
    // Its own file it may read, but shows it to those only who could.
    chown(bench.dir.join("shadow"), Some(ANOTHER), None).expect("chown");
    server.connect().expect(&ask_secret(), &secret());
    connect_as(&server, ANOTHER, ANOTHER).expect(&ask_secret(), &secret());
    connect_as(&server, 1234, 1234).expect(&ask_secret(), &[EACCES]);
}
