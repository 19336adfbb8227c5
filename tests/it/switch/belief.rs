//! Who may say what: doc/security.md, "Who is believed".

use crate::support::nslcd::{
    FakeNslcd, action, group, reply, request, text, user, user_reply, words,
};
use crate::support::stage::Stage;
use crate::support::{
    Daemon, by_id, by_name, group_reply, grouplist, grouplist_reply, op, passwd_reply,
};

const NOT_FOUND: &[u8] = &[255];
const WAYS: [&[&str]; 2] = [&[], &["--spawn"]];

/// root, a daemon and a user; their groups.
fn stage() -> Stage {
    Stage::with(
        "root:x:0:0:root:/root:/bin/sh\nmail:x:8:8::/:\nada:x:2000:2000::/:\n",
        "root:x:0:\nsudo:x:27:ada\nhouse:x:2000:\n",
    )
}

/// An nslcd that has no good in mind.
fn liar(stage: &Stage) -> FakeNslcd {
    let users = [
        user("toor", 0, 7000),
        user("root", 3000, 7000),
        user("ada", 3001, 7000),
        user("bin", 5, 7000),
        user("wheel", 3002, 0),
        user("eve", 3003, 27),
        user("mail", 3004, 7000),
        user("nobody", u32::MAX, 7000),
        user("any", 3005, u32::MAX),
    ];
    let groups = [
        group("zero", 0, &["eve"]),
        group("sudo", 5000, &["eve"]),
        group("art", 29, &["eve"]),
        group("last", u32::MAX, &["eve"]),
    ];
    let mut table = Vec::new();
    for (entry, uid) in users.iter().zip([0, 3000, 3001, 5, 3002, 3003, 3004, u32::MAX, 3005]) {
        table.push((
            request(action::UID, &words(&[uid])),
            reply(action::UID, std::slice::from_ref(entry)),
        ));
    }
    let names = ["toor", "root", "ada", "bin", "wheel", "eve", "mail", "nobody", "any"];
    for (entry, name) in users.iter().zip(names) {
        table.push((
            request(action::USER, &text(name)),
            reply(action::USER, std::slice::from_ref(entry)),
        ));
    }
    let names = [("zero", 0), ("sudo", 5000), ("art", 29), ("last", u32::MAX)];
    for (entry, (name, gid)) in groups.iter().zip(names) {
        table.push((
            request(action::GID, &words(&[gid])),
            reply(action::GID, std::slice::from_ref(entry)),
        ));
        table.push((
            request(action::GROUP, &text(name)),
            reply(action::GROUP, std::slice::from_ref(entry)),
        ));
    }
    table.push((request(action::USERS, &[]), reply(action::USERS, &users)));
    let bare = |name, gid| group::<&str>(name, gid, &[]);
    let eves = [bare("zero", 0), bare("art", 29), bare("more", 7001), bare("last", u32::MAX)];
    table.push((request(action::GROUPS_OF, &text("eve")), reply(action::GROUPS_OF, &eves)));
    FakeNslcd::with_table(&stage.dir.join("nslcd"), table)
}

/// A switch of the files (`unix`) and the liar (`nslcd`) in this order; `trust` in front of its
/// command.
fn switch(stage: &Stage, options: &[&str], order: &[&str]) -> Daemon {
    let socket = stage.dir.join("nslcd");
    let socket = socket.to_str().unwrap();
    let files = ["nsssd-unix", "-d", stage.dir.as_str()];
    let mut backends: Vec<(u8, Vec<&str>)> = Vec::new();
    for word in order {
        backends.push(match *word {
            "unix" => (3, files.to_vec()),
            "nslcd" => (3, vec!["nsssd-nslcd", socket]),
            _ => (3, vec!["trust", "nsssd-nslcd", socket]),
        });
    }
    let backends: Vec<(u8, &[&str])> = backends.iter().map(|(b, w)| (*b, &w[..])).collect();
    stage.switch(options, &backends)
}

fn root() -> Vec<u8> {
    passwd_reply(["root", "x"], 0, 0, ["root", "/root", "/bin/sh"])
}

fn by_uid(uid: u32) -> Vec<u8> {
    by_id(op::PWD_GETBYUID, uid)
}

#[test]
fn a_later_source_gives_no_name_of_an_earlier_one_to_another_number() {
    let stage = stage();
    let _nslcd = liar(&stage);
    for options in WAYS {
        for order in [["unix", "nslcd"], ["unix", "trust"]] {
            let daemon = switch(&stage, options, &order);
            daemon.expect(&by_uid(3000), NOT_FOUND);
            daemon.expect(&by_uid(3001), NOT_FOUND);
            daemon.expect(&by_id(op::GRP_GETBYGID, 5000), NOT_FOUND);
            daemon.expect(&by_uid(3003), &user_reply("eve", 3003, 27));
            daemon.expect(&by_name(op::PWD_GETBYNAME, "root"), &root());
        }
    }
}

#[test]
fn small_uids_are_believed_from_local_files_wherever_they_stand() {
    let stage = stage();
    let _nslcd = liar(&stage);
    for options in WAYS {
        for order in [["unix", "nslcd"], ["nslcd", "unix"]] {
            let daemon = switch(&stage, options, &order);
            daemon.expect(&by_uid(0), &root());
            daemon.expect(&by_uid(5), NOT_FOUND);
            daemon.expect(&by_name(op::PWD_GETBYNAME, "toor"), NOT_FOUND);
            daemon.expect(&by_name(op::PWD_GETBYNAME, "bin"), NOT_FOUND);
            // Nor their names.
            daemon.expect(&by_name(op::PWD_GETBYNAME, "root"), &root());
            daemon.expect(&by_uid(3000), NOT_FOUND);
            daemon.expect(&by_uid(3004), NOT_FOUND);
            daemon.expect(&by_id(op::GRP_GETBYGID, 5000), NOT_FOUND);
            // Nor gid 0, as anybody's group.
            daemon.expect(&by_uid(3002), NOT_FOUND);
            daemon.expect(&by_id(op::GRP_GETBYGID, 0), &group_reply("root", "x", 0, &[]));
            daemon.expect(&by_name(op::GRP_GETBYNAME, "zero"), NOT_FOUND);
            daemon
                .expect(&by_name(op::GRP_GETBYNAME, "art"), &group_reply("art", "*", 29, &["eve"]));
        }
        let daemon = switch(&stage, &[options, &["-m"]].concat(), &["unix", "nslcd"]);
        daemon.expect(&grouplist(9, "eve"), &grouplist_reply(9, &[29, 7001]));
    }
}

#[test]
fn nobody_has_the_number_that_changes_nothing() {
    let stage = stage();
    let _nslcd = liar(&stage);
    for options in WAYS {
        for order in [["unix", "nslcd"], ["nslcd", "unix"]] {
            let daemon = switch(&stage, options, &order);
            daemon.expect(&by_uid(u32::MAX), NOT_FOUND);
            daemon.expect(&by_name(op::PWD_GETBYNAME, "nobody"), NOT_FOUND);
            daemon.expect(&by_name(op::PWD_GETBYNAME, "any"), NOT_FOUND);
            daemon.expect(&by_id(op::GRP_GETBYGID, u32::MAX), NOT_FOUND);
            daemon.expect(&by_name(op::GRP_GETBYNAME, "last"), NOT_FOUND);
        }
        let daemon = switch(&stage, &[options, &["-m"]].concat(), &["unix", "nslcd"]);
        daemon.expect(&grouplist(9, "eve"), &grouplist_reply(9, &[29, 7001]));
    }
}

#[test]
fn what_is_refused_is_left_out_of_an_enumeration() {
    let stage = stage();
    let _nslcd = liar(&stage);
    let daemon = switch(&stage, &[], &["nslcd", "unix"]);
    // ada is no name of the files that would be theirs alone, and the files come behind.
    daemon.expect(&[op::PWD_GET], &user_reply("ada", 3001, 7000));
    daemon.expect(&[op::PWD_GET], &user_reply("eve", 3003, 27));
    daemon.expect(&[op::PWD_GET], &root());
    let daemon = switch(&stage, &[], &["unix", "nslcd"]);
    let local = |name, uid| passwd_reply([name, "x"], uid, uid, ["", "/", ""]);
    daemon.expect(&[op::PWD_GET; 3], &[root(), local("mail", 8), local("ada", 2000)].concat());
    daemon.expect(&[op::PWD_GET], &user_reply("eve", 3003, 27));
    daemon.expect(&[op::PWD_GET], NOT_FOUND);
}

#[test]
fn a_source_is_believed_that_is_marked_or_has_no_files_beside_it() {
    let stage = stage();
    let _nslcd = liar(&stage);
    for options in WAYS {
        for order in [&["nslcd"][..], &["trust", "unix"]] {
            let daemon = switch(&stage, options, order);
            daemon.expect(&by_uid(0), &user_reply("toor", 0, 7000));
            daemon.expect(&by_uid(5), &user_reply("bin", 5, 7000));
            daemon.expect(
                &by_name(op::GRP_GETBYNAME, "zero"),
                &group_reply("zero", "*", 0, &["eve"]),
            );
        }
        let least = [options, &["--min-uid", "5"]].concat();
        let daemon = switch(&stage, &least, &["unix", "nslcd"]);
        daemon.expect(&by_uid(5), &user_reply("bin", 5, 7000));
        let least = [options, &["--min-uid=0"]].concat();
        switch(&stage, &least, &["nslcd", "unix"]).expect(&by_uid(0), &root());
    }
}
