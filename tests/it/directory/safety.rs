//! What a directory must not do to a machine: by default none of it, each allowed by its option.

use crate::support::directory::{Machine, http_config, no_machine};
use crate::support::http::Http;
use std::fmt::Write as _;

/// A machine with these users in its directory, and the server.
fn house(body: &str, more: &str) -> (Machine, Http) {
    let server = Http::body(body);
    (Machine::with(&http_config("passwd", &server.url(), more)), server)
}

/// So many users, from the first on.
fn users(first: u32, count: u32) -> String {
    (first..first + count).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "u{n}:x:{}:1000:User {n}:/home/u{n}:/bin/sh", 10_000 + n);
        text
    })
}

#[test]
fn nobody_becomes_root_or_a_user_of_this_machine() {
    if no_machine("nobody_becomes_root_or_a_user_of_this_machine") {
        return;
    }
    let good = users(0, 30);
    let body = format!(
        "{good}toor:x:0:0::/root:/bin/sh\nroot:x:10500:0::/:/bin/sh\ndaemon:x:10501:1::/:/bin/sh\n\
         zero:x:00:1::/:/bin/sh\nnone:x:4294967295:1::/:/bin/sh\n:x:10502:1::/:/bin/sh\n\
         +:x:10503:1::/:/bin/sh\n-x:x:10504:1::/:/bin/sh\n  root:x:10505:1::/:/bin/sh\n\
         a/b:x:10506:1::/:/bin/sh\n..:x:10507:1::/:/bin/sh\nlow:x:7:7::/:/bin/sh\n"
    );
    let (machine, _server) = house(&body, "");
    let finished = machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache"), format!("{good}low:x:7:7::/:/bin/sh\n"));
    for told in [
        "passwd: 2 dropped: uid 0 (allow_uid0): toor, zero",
        "passwd: 3 dropped: names of /etc/passwd (allow_local_names): root, daemon",
        "dropped: an empty name",
        "dropped: an id that stands for none (4294967295): none",
        "dropped: odd names (allow_odd_names): +, -x, ",
        "passwd: 1 kept: ids below min_uid: low",
    ] {
        let told = told.replace("3 dropped: names", "2 dropped: names");
        assert!(finished.stderr.contains(&told), "{told}: {}", finished.stderr);
    }

    let (machine, _server) = house(&body, "on_bad_entry = refuse\n");
    let finished = machine.expect(1, &["update"]);
    assert!(finished.stderr.contains("toor: uid 0"), "{}", finished.stderr);
    assert!(machine.made().is_empty(), "{:?}", machine.made());

    let allowed = "allow_uid0 = yes\nallow_local_names = yes\nmin_uid = 0\n";
    let (machine, _server) = house("toor:x:0:0::/:\nroot:x:1:1::/:\n", allowed);
    let finished = machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache"), "toor:x:0:0::/:\nroot:x:1:1::/:\n");
    assert_eq!(finished.stderr, "");
}

#[test]
fn keys_and_hashes_of_this_machines_users_are_not_the_directorys() {
    if no_machine("keys_and_hashes_of_this_machines_users_are_not_the_directorys") {
        return;
    }
    let server = Http::new(|request, stream| {
        let body: &[u8] = match request.path.as_str() {
            "/sshkey" => b"alice:ssh-ed25519 AAAA a\nroot:ssh-ed25519 BBBB evil\n",
            "/shadow" => b"root:$6$x$y:1:0:9:7:::\nalice:*:1:0:9:7:::\n",
            _ => b"root:x:0:alice\nstaff:x:50:alice\nwheel:x:10000:alice\n",
        };
        crate::support::http::send(stream, "200 OK", &[], body);
    });
    let machine = Machine::with(&http_config("sshkey, shadow, group", &server.url(), ""));
    let finished = machine.expect(0, &["update"]);
    assert_eq!(machine.text("sshkey.cache"), "alice:ssh-ed25519 AAAA a\n");
    assert_eq!(machine.text("shadow.cache"), "alice:*:1::9:7:::\n");
    // Kept, and told.
    assert_eq!(
        machine.text("group.cache"),
        "root:x:0:alice\nstaff:x:50:alice\nwheel:x:10000:alice\n"
    );
    assert!(
        finished.stderr.contains("group: 1 kept: names of /etc/group: root"),
        "{}",
        finished.stderr
    );
    assert!(
        finished.stderr.contains("group: 2 kept: ids below min_uid: root, staff"),
        "{}",
        finished.stderr
    );
    // No password hash for everybody.
    assert_eq!(machine.mode("etc/shadow.cache"), (0o640, 0, 42));
    std::fs::remove_file(machine.etc("shadow")).unwrap();
    machine.expect(0, &["update", "--full", "-m", "shadow"]);
    assert_eq!(machine.mode("etc/shadow.cache"), (0o600, 0, 0));
    assert_eq!(machine.mode("etc/shadow.cache.ixname"), (0o600, 0, 0));
}

#[test]
fn a_map_that_shrinks_too_much_is_refused() {
    if no_machine("a_map_that_shrinks_too_much_is_refused") {
        return;
    }
    let (machine, server) = house(&users(0, 100), "");
    machine.expect(0, &["update"]);
    server.set_body(users(0, 80));
    machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache"), users(0, 80));
    server.set_body(users(0, 63));
    let finished = machine.expect(1, &["update"]);
    assert!(finished.stderr.contains("63 entries where 80 were"), "{}", finished.stderr);
    assert_eq!(machine.text("passwd.cache"), users(0, 80));
    machine.expect(1, &["update", "--full"]);
    machine.expect(0, &["update", "--accept-shrink"]);
    assert_eq!(machine.text("passwd.cache"), users(0, 63));
    // So few are no accident.
    server.set_body(users(0, 20));
    machine.expect(0, &["update", "--accept-shrink"]);
    server.set_body(users(0, 10));
    machine.expect(0, &["update"]);
    server.set_body("");
    let finished = machine.expect(1, &["update"]);
    assert!(finished.stderr.contains("has no entries"), "{}", finished.stderr);
    assert_eq!(machine.text("passwd.cache"), users(0, 10));
    // As nsscache: data and indexes are empty.
    machine.expect(0, &["update", "--force-write"]);
    assert_eq!(machine.text("passwd.cache"), "");
    assert_eq!(machine.text("passwd.cache.ixname"), "");
    let (machine, server) = house(&users(0, 100), "max_shrink = 100\n");
    machine.expect(0, &["update"]);
    server.set_body(users(0, 1));
    machine.expect(0, &["update"]);
}

#[test]
fn two_with_one_id_are_told_or_one_is_dropped() {
    if no_machine("two_with_one_id_are_told_or_one_is_dropped") {
        return;
    }
    let body = "a:x:1001:1::/:\nb:x:1002:1::/:\nc:x:1001:1::/:\na:x:1003:1:again:/:\n";
    let (machine, _server) = house(body, "");
    let finished = machine.expect(0, &["update"]);
    // The last of a name, in the place of the first.
    assert_eq!(
        machine.text("passwd.cache"),
        "a:x:1003:1:again:/:\nb:x:1002:1::/:\nc:x:1001:1::/:\n"
    );
    assert!(finished.stderr.contains("1 replaced: names that come again"), "{}", finished.stderr);
    let body = "a:x:1001:1::/:\nb:x:1002:1::/:\nc:x:1001:1::/:\n";
    let (machine, _server) = house(body, "");
    let finished = machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache"), body);
    assert!(finished.stderr.contains("passwd: 1 kept: ids of others: 1001"), "{}", finished.stderr);
    let (machine, _server) = house(body, "allow_duplicate_ids = no\n");
    machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache"), "a:x:1001:1::/:\nb:x:1002:1::/:\n");
}

#[test]
fn keys_that_come_again_replace_all_of_the_earlier_ones() {
    if no_machine("keys_that_come_again_replace_all_of_the_earlier_ones") {
        return;
    }
    let server = Http::body("a:['k1', 'k2']\nb:k3\na:['k4', 'k5']\nc:k6\n");
    let more = "files_sshkey_format = lines\n";
    let machine = Machine::with(&http_config("sshkey", &server.url(), more));
    machine.expect(0, &["update"]);
    assert_eq!(machine.text("sshkey.cache"), "a:k4\na:k5\nb:k3\nc:k6\n");
    assert_eq!(machine.expect(0, &["sshkey", "a"]).stdout, b"k4\nk5\n");
    machine.config(&http_config("sshkey", &server.url(), ""));
    machine.expect(0, &["update", "--full"]);
    assert_eq!(machine.text("sshkey.cache"), "a:['k4', 'k5']\nb:k3\nc:k6\n");
    assert_eq!(machine.expect(0, &["sshkey", "a"]).stdout, b"k4\nk5\n");
}

#[test]
fn json_injects_nothing() {
    if no_machine("json_injects_nothing") {
        return;
    }
    let mut body = String::from("[");
    for n in 0..40 {
        let _ = write!(body, r#"{{"name":"u{n}","uid":{},"gid":1000}},"#, 10_000 + n);
    }
    for field in ["name", "gecos", "home", "shell", "passwd"] {
        for evil in [r"x\nevil:x:0:0::/:/bin/sh", r"x\u0000y", r"x\ry", r"x:0:0"] {
            let mut user = String::from(r#"{"uid":20000,"gid":1000"#);
            if field != "name" {
                user += r#","name":"victim""#;
            }
            let _ = write!(body, "{user},\"{field}\":\"{evil}\"}},");
        }
    }
    body += r#"{"name":"twice","uid":1000,"uid":0,"gid":0}]"#;
    let (machine, _server) = house(&body, "http_format = json\n");
    let finished = machine.expect(0, &["update"]);
    let text = machine.text("passwd.cache");
    assert_eq!(text.lines().count(), 40, "{text}");
    assert!(
        !text.contains("evil") && !text.contains("victim") && !text.contains("twice"),
        "{text}"
    );
    assert!(finished.stderr.contains("a line break or NUL in a field"), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("a name that comes twice in an object"),
        "{}",
        finished.stderr
    );
}
