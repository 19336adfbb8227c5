//! Signed snapshots, as a board takes them: what is not as it was signed is refused with its reason, and
//! the old set stays, each file of it.

use crate::support::directory::Machine;
use crate::support::http::send;
use crate::support::snapshot::{Www, config, hand_out, no_minisign, now, sum};
use crate::support::{TempDir, compiled_library, run_to_end};
use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

const USERS: &str =
    "alice:x:10001:20000:Alice:/home/alice:/bin/sh\nbob:x:10002:20000::/home/bob:/bin/sh\n";
const GROUPS: &str = "staff:*:20000:alice,bob\n";
const MORE_USERS: &str = "alice:x:10001:20000:Alice:/home/alice:/bin/sh\n\
                          carol:x:10003:20000::/home/carol:/bin/sh\n";
const MORE_GROUPS: &str = "staff:*:20000:alice,carol\n";

const ONE: [(&str, &str); 2] = [("passwd", USERS), ("group", GROUPS)];
const OTHER: [(&str, &str); 2] = [("passwd", MORE_USERS), ("group", MORE_GROUPS)];

/// A board, and where it gets its maps.
struct Board {
    www: Www,
    machine: Machine,
}

impl Board {
    /// It has the first set, of serial 100.
    #[track_caller]
    fn new(more: &str) -> Board {
        let www = Www::new();
        www.publish("one", 100, &ONE);
        let machine = Machine::with(&config("passwd, group", &www.server.url(), more));
        machine.dir.write("run/signers", www.public("one"));
        machine.expect(0, &["update"]);
        let board = Board { www, machine };
        board.assert_has(&ONE);
        board
    }

    #[track_caller]
    fn assert_has(&self, maps: &[(&str, &str)]) {
        for (name, body) in maps {
            assert_eq!(self.machine.text(&format!("{name}.cache")), *body);
        }
    }

    /// Its files, indexes included, with what tells whether they were written again.
    fn files(&self) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
        let of = |name: String| {
            let time = fs::metadata(self.machine.etc(&name)).unwrap().modified().unwrap();
            (name.clone(), (self.machine.read(&name).unwrap(), time))
        };
        self.machine.made().into_iter().map(of).collect()
    }

    /// An update fails so, says why, and has touched nothing; `status` tells why, too.
    #[track_caller]
    fn refuses(&self, code: i32, why: &str) {
        let before = self.files();
        let finished = self.machine.expect(code, &["update"]);
        assert!(finished.stderr.contains(why), "{why}: {}", finished.stderr);
        assert!(self.files() == before, "{why}: a file is another one");
        let status = self.machine.expect(0, &["status", "--json"]).stdout;
        let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
        for map in status.as_array().unwrap() {
            assert!(map["error"].as_str().is_some_and(|text| text.contains(why)), "{why}: {map}");
        }
    }

    /// What is good is taken afterwards, though something bad was refused.
    #[track_caller]
    fn takes(&self, serial: u64, maps: &[(&str, &str)]) {
        self.www.serve();
        self.www.publish("one", serial, maps);
        self.machine.expect(0, &["update"]);
        self.assert_has(maps);
        let status = self.machine.expect(0, &["status", "--json"]).stdout;
        assert!(!String::from_utf8_lossy(&status).contains("\"error\": \""));
    }
}

#[test]
fn a_board_takes_a_snapshot_and_asks_only_for_what_it_lacks() {
    if no_minisign("a_board_takes_a_snapshot_and_asks_only_for_what_it_lacks") {
        return;
    }
    let board = Board::new("");
    let Board { www, machine } = &board;
    assert_eq!(www.asked(0), ["snapshot", "snapshot.minisig", "passwd", "group"]);
    // Nothing is new: one question.
    let told = machine.expect(0, &["-v", "update"]).stderr;
    assert!(told.contains("passwd: nothing new") && told.contains("group: nothing new"), "{told}");
    assert_eq!(www.asked(4), ["snapshot"]);
    // Signed again, and nothing else.
    www.publish("one", 101, &ONE);
    machine.expect(0, &["update"]);
    assert_eq!(www.asked(5), ["snapshot", "snapshot.minisig"]);
    // One map is new.
    www.publish("one", 102, &[("passwd", USERS), ("group", MORE_GROUPS)]);
    machine.expect(0, &["update"]);
    assert_eq!(www.asked(7), ["snapshot", "snapshot.minisig", "group"]);
    board.assert_has(&[("passwd", USERS), ("group", MORE_GROUPS)]);
    // Somebody was here: what is not as it was signed is fetched again.
    fs::write(machine.etc("passwd.cache"), "eve:x:0:0::/:/bin/sh\n").unwrap();
    machine.expect(0, &["update"]);
    assert_eq!(www.asked(10), ["snapshot", "snapshot.minisig", "passwd"]);
    board.assert_has(&[("passwd", USERS)]);
    // One map alone leaves the other, and the next run finds out.
    www.publish("one", 103, &OTHER);
    machine.expect(0, &["update", "-m", "passwd"]);
    board.assert_has(&[("passwd", MORE_USERS), ("group", MORE_GROUPS)]);
    let told = machine.expect(0, &["update", "--full"]).stderr;
    assert_eq!(told, "");
    assert_eq!(www.asked(16), ["snapshot", "snapshot.minisig", "passwd", "group"]);
}

/// What an attacker between signer and board, or the one who hands out, can do to files.
#[test]
fn what_was_not_signed_is_refused() {
    if no_minisign("what_was_not_signed_is_refused") {
        return;
    }
    let board = Board::new("");
    let www = &board.www;
    let file = |name: &str, body: &str| www.file(&format!("{name}-{}", sum(body.as_bytes())));
    // The map: another one of the same size, a cut one, a longer one. The first map is good, and stays
    // where it is all the same.
    www.publish("one", 101, &OTHER);
    for (bad, why) in [
        ("staff:*:20000:alice,mallo\n", "group: it is not what was signed: its SHA-256"),
        ("staff:*:20000:alice\n", "group: it is not what was signed: it has 20 bytes of 26"),
        ("", "group: it is not what was signed: it has 0 bytes of 26"),
        (
            "staff:*:20000:alice,carol\nroot:*:0:mallory\n",
            "group: it is not what was signed: it has more than 26 bytes",
        ),
        ("no map\nat all\n12345678901\n", "group: it is not what was signed: its SHA-256"),
    ] {
        fs::write(file("group", MORE_GROUPS), bad).unwrap();
        board.refuses(1, why);
    }
    // Mixed from two exports: the old map by the name of the new one.
    fs::write(file("group", MORE_GROUPS), GROUPS).unwrap();
    board.refuses(1, "group: it is not what was signed");
    board.takes(102, &OTHER);

    // The list: changed, with the signature of another one, cut, signed in part.
    www.publish("one", 103, &ONE);
    let good = fs::read_to_string(www.file("snapshot")).unwrap();
    let signature =
        fs::read_to_string(www.file(&format!("snapshot-{}.minisig", sum(good.as_bytes()))))
            .unwrap();
    let forged = good.replace("serial=103", "serial=104");
    fs::write(www.file("snapshot"), &forged).unwrap();
    board.refuses(75, "the signature of the snapshot: HTTP status 404");
    let name = format!("snapshot-{}.minisig", sum(forged.as_bytes()));
    fs::write(www.file(&name), &signature).unwrap();
    board.refuses(1, "the signature of the snapshot does not fit: it is forged, or damaged");
    let cut = &good[..good.len() / 2];
    fs::write(www.file("snapshot"), cut).unwrap();
    fs::write(www.file(&format!("snapshot-{}.minisig", sum(cut.as_bytes()))), &signature).unwrap();
    board.refuses(1, "the signature of the snapshot does not fit");
    // The signature: cut, none, of a comment that is another one.
    fs::write(www.file("snapshot"), &good).unwrap();
    let name = format!("snapshot-{}.minisig", sum(good.as_bytes()));
    for (bad, why) in [
        (signature[..signature.len() / 2].to_owned(), "is none"),
        (String::new(), "is none"),
        ("x".repeat(20_000), "has more than 16384 bytes"),
        (signature.replace("trusted comment: ", "trusted comment: x"), "does not fit"),
    ] {
        fs::write(www.file(&name), bad).unwrap();
        board.refuses(1, why);
    }
    board.takes(104, &ONE);
}

/// What is signed, and not good for all that.
#[test]
fn what_was_signed_for_something_else_is_refused() {
    if no_minisign("what_was_signed_for_something_else_is_refused") {
        return;
    }
    let board = Board::new("");
    let www = &board.www;
    // Of another key; by minisign's old format.
    www.publish("two", 200, &OTHER);
    board.refuses(1, "the signature of the snapshot is by no key of /run/signers");
    www.sign("one", www.list(200, now(), &OTHER), &["-l"]);
    board.refuses(1, "is of minisign's legacy format");
    // No list, a later one, one with a name that leads elsewhere, a huge one.
    let good = www.list(200, now(), &OTHER);
    for (bad, why) in [
        ("passwd\n".to_owned(), "the snapshot is signed, but it is none"),
        (good.replace("snapshot 1", "snapshot 2"), "is signed, but it is of a later version"),
        (good.replace("\npasswd ", "\n../passwd "), "is signed, but a name or a sum in it is none"),
        (good.replace("\ngroup ", "\npasswd "), "is signed, but it has a map twice"),
        ("#".repeat(65_537), "has more than 65536 bytes"),
        // It lacks a map that we want: the other one is not taken, either.
        (good.replace("\ngroup ", "\nnetgroup "), "the snapshot has no group"),
    ] {
        www.sign("one", bad, &[]);
        board.refuses(1, why);
    }
    // A map that this board refuses keeps all of them out.
    let bad = MORE_GROUPS.replace(":20000:", ":many:");
    www.publish("one", 201, &[("passwd", MORE_USERS), ("group", &bad)]);
    board.refuses(1, "group: 1 of 1 entries are malformed");
    board.takes(202, &OTHER);
}

#[test]
fn an_older_snapshot_is_refused() {
    if no_minisign("an_older_snapshot_is_refused") {
        return;
    }
    let board = Board::new("");
    let Board { www, machine } = &board;
    let old = fs::read(www.file("snapshot")).unwrap();
    board.takes(101, &OTHER);
    // Played back, all of it rightly signed.
    fs::write(www.file("snapshot"), &old).unwrap();
    board.refuses(1, "the snapshot has serial 100, and 101 was here before");
    // It is remembered whatever becomes of the maps.
    for name in machine.made() {
        fs::remove_file(machine.etc(&name)).unwrap();
    }
    board.refuses(1, "the snapshot has serial 100, and 101 was here before");
    // The same serial again is another export with the same key.
    www.publish("one", 101, &ONE);
    board.refuses(1, "the snapshot has serial 101 as another one before");
    // Whoever knows what he does says so.
    fs::write(www.file("snapshot"), &old).unwrap();
    machine.expect(0, &["update", "--accept-serial"]);
    board.assert_has(&ONE);
    machine.expect(0, &["update"]);
    // What is kept is damaged: nothing is believed, and the reason told.
    machine.dir.write("lib/snapshot-serials", "RW\n");
    www.publish("one", 102, &OTHER);
    board.refuses(1, "snapshot-serials is damaged");
    fs::remove_file(machine.dir.join("lib/snapshot-serials")).unwrap();
    board.takes(102, &OTHER);
}

/// A serial counts as seen once it was checked, though its maps never came.
#[test]
fn a_snapshot_whose_maps_are_held_back_cannot_be_rolled_back() {
    if no_minisign("a_snapshot_whose_maps_are_held_back_cannot_be_rolled_back") {
        return;
    }
    let board = Board::new("");
    let www = &board.www;
    www.publish("one", 101, &[("passwd", MORE_USERS), ("group", GROUPS)]);
    let between = fs::read(www.file("snapshot")).unwrap();
    www.publish("one", 102, &OTHER);
    fs::remove_file(www.file(&format!("group-{}", sum(MORE_GROUPS.as_bytes())))).unwrap();
    board.refuses(75, "group: HTTP status 404");
    fs::write(www.file("snapshot"), between).unwrap();
    board.refuses(1, "the snapshot has serial 101, and 102 was here before");
    board.takes(103, &OTHER);
}

#[test]
fn half_an_upload_is_asked_for_again_and_then_left() {
    if no_minisign("half_an_upload_is_asked_for_again_and_then_left") {
        return;
    }
    let board = Board::new("");
    let Board { www, machine } = &board;
    // The list is there before the rest, which never comes.
    www.publish("one", 101, &OTHER);
    let map = www.file(&format!("group-{}", sum(MORE_GROUPS.as_bytes())));
    let body = fs::read(&map).unwrap();
    fs::remove_file(&map).unwrap();
    let before = www.server.requests().len();
    board.refuses(75, "group: HTTP status 404");
    let twice = ["snapshot", "snapshot.minisig", "passwd", "group"].repeat(2);
    assert_eq!(www.asked(before), twice);
    // It comes while it is waited for.
    let (dir, count) = (www.dir.join("www"), AtomicU32::new(0));
    www.server.answer(move |request, stream| {
        if request.path.starts_with("/group-") && count.fetch_add(1, Ordering::SeqCst) == 0 {
            send(stream, "404 Not Found", &[], b"");
            fs::write(&map, &body).unwrap();
            return;
        }
        hand_out(&dir, request, stream);
    });
    let told = machine.expect(0, &["update"]).stderr;
    assert!(told.contains("the snapshot is asked for again: group: HTTP status 404"), "{told}");
    board.assert_has(&OTHER);
    // A cache has the old list's map for the new one, once.
    let (dir, count) = (www.dir.join("www"), AtomicU32::new(0));
    www.publish("one", 102, &ONE);
    www.server.answer(move |request, stream| {
        if request.path.starts_with("/group-") && count.fetch_add(1, Ordering::SeqCst) == 0 {
            return send(stream, "200 OK", &[], MORE_GROUPS.as_bytes());
        }
        hand_out(&dir, request, stream);
    });
    machine.expect(0, &["update"]);
    board.assert_has(&ONE);
    // A connection that breaks off in the middle of a map.
    www.publish("one", 103, &OTHER);
    let dir = www.dir.join("www");
    www.server.answer(move |request, stream| {
        use std::io::Write as _;
        if request.path.starts_with("/group-") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\nstaff:*:2");
            return;
        }
        hand_out(&dir, request, stream);
    });
    board.refuses(75, "group: broken off");
    // 304 to a question without a condition.
    www.server.answer(|_, stream| send(stream, "304 Not Modified", &[], b""));
    fs::remove_file(machine.etc("group.cache")).unwrap();
    board.refuses(75, "HTTP status 304");
    board.takes(104, &OTHER);
}

#[test]
fn a_frozen_snapshot_is_named() {
    if no_minisign("a_frozen_snapshot_is_named") {
        return;
    }
    let age = "http_signed_max_age = 100000";
    let board = Board::new(age);
    let Board { www, machine } = &board;
    // New to us, and long held back.
    www.sign("one", www.list(101, now() - 200_000, &OTHER), &[]);
    board
        .refuses(1, "more than http_signed_max_age = 100000; is somebody holding newer ones back?");
    // Old enough to be near it: it is taken, and nothing newer comes.
    www.sign("one", www.list(101, now() - 50_000, &OTHER), &[]);
    machine.expect(0, &["update"]);
    machine.expect(0, &["update"]);
    let url = www.server.url();
    machine.config(&config("passwd, group", &url, "http_signed_max_age = 40000"));
    let before = www.server.requests().len();
    board.refuses(1, "more than http_signed_max_age = 40000");
    // That was a 304.
    assert_eq!(www.asked(before), ["snapshot"]);
    assert!(www.server.requests()[before].headers.contains_key("if-none-match"));
    board.assert_has(&OTHER);
    // Seven days, if nothing is said; 0: for ever.
    machine.config(&config("passwd, group", &url, ""));
    machine.expect(0, &["update"]);
    www.sign("one", www.list(102, now() - 8 * 86_400, &ONE), &[]);
    board.refuses(1, "more than http_signed_max_age = 604800");
    machine.config(&config("passwd, group", &url, "http_signed_max_age = 0"));
    machine.expect(0, &["update"]);
    board.assert_has(&ONE);
}

/// A board that begins in 1970, as one without a battery does.
#[test]
fn with_a_clock_at_1970_the_age_is_not_judged() {
    let test = "with_a_clock_at_1970_the_age_is_not_judged";
    if no_minisign(test) {
        return;
    }
    let dir = TempDir::new();
    let Some(library) = compiled_library(test, "early", &dir) else { return };
    let board = Board::new("");
    let Board { www, machine } = &board;
    let early = |words: &str| {
        let script =
            format!("export LD_PRELOAD={}\nexec \"$0\" nsscache {words}", library.display());
        run_to_end(machine.shell(&script))
    };
    // Eight days old: with a clock it would be refused.
    www.sign("one", www.list(101, now() - 8 * 86_400, &OTHER), &[]);
    board.refuses(1, "http_signed_max_age");
    let done = early("update");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let said = "this machine's clock says 1970-01-01T";
    assert!(
        done.stderr.contains(said) && done.stderr.contains("age is not judged"),
        "{}",
        done.stderr
    );
    board.assert_has(&OTHER);
    // Nothing new is worth the same word; an older one is refused all the same.
    let done = early("update");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains(said), "{}", done.stderr);
    www.publish("one", 100, &ONE);
    let done = early("update");
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("101 was here before"), "{}", done.stderr);
    board.assert_has(&OTHER);
}

#[test]
fn keys_change_without_a_gap() {
    if no_minisign("keys_change_without_a_gap") {
        return;
    }
    let board = Board::new("");
    let Board { www, machine } = &board;
    // First the boards: the old one still signs.
    let (old, new) = (www.public("one"), www.public("two"));
    machine.dir.write("run/signers", format!("{old}{new}"));
    board.takes(101, &OTHER);
    // Then the exporter, whose serials go on.
    www.publish("two", 102, &ONE);
    machine.expect(0, &["update"]);
    board.assert_has(&ONE);
    // From now on the old key is worth nothing, however high its serial is.
    www.publish("one", 1_000_000, &OTHER);
    board.refuses(1, "has replaced");
    www.publish("two", 103, &OTHER);
    machine.expect(0, &["update"]);
    board.assert_has(&OTHER);
    // In the end the old one is taken out.
    machine.dir.write("run/signers", &new);
    www.publish("two", 104, &ONE);
    machine.expect(0, &["update"]);
    www.publish("one", 1_000_001, &OTHER);
    board.refuses(1, "is by no key of");
}

#[test]
fn a_configuration_that_only_seems_to_check_is_refused() {
    if no_minisign("a_configuration_that_only_seems_to_check_is_refused") {
        return;
    }
    let board = Board::new("");
    let Board { www, machine } = &board;
    let good = config("passwd, group", &www.server.url(), "");
    machine.expect(0, &["check-config"]);
    let checked = |config: &str, why: &str| {
        machine.config(config);
        for (command, code) in [("check-config", 1), ("update", 1)] {
            let done = machine.expect(code, &[command]);
            let said = String::from_utf8_lossy(&done.stdout).into_owned() + &done.stderr;
            assert!(said.contains(why), "{why}: {said}");
        }
    };
    checked(&good.replace("http_signed_by = /run/signers\n", ""), "http_signed_by is missing");
    let url = format!("http_snapshot_url = {}/snapshot\n", www.server.url());
    checked(&good.replace(&url, "http_passwd_url = http://h/\n"), "http_snapshot_url is missing");
    let both = "http_passwd_url = http://localhost/passwd\n";
    checked(&format!("{good}{both}"), "http_snapshot_url says where the map is");
    for (keys, mode, why) in [
        (www.public("one"), 0o666, "others can write /run/signers"),
        (www.public("one"), 0o664, "others can write /run/signers"),
        ("untrusted comment: x\n".to_owned(), 0o644, "it has no public key"),
        ("what\n".to_owned(), 0o644, "line 1 is no public key of minisign"),
        (www.public("one").repeat(2), 0o644, "has a key again"),
    ] {
        machine.dir.write("run/signers", keys);
        machine.dir.chmod("run/signers", mode);
        checked(&good, why);
    }
    // A map may come from elsewhere.
    machine.dir.write("run/signers", www.public("one"));
    machine.dir.chmod("run/signers", 0o644);
    let apart = format!(
        "{good}[group]\nsource = files\nhttp_snapshot_url =\nhttp_signed_by =\nfiles_group_path = /run/group\n"
    );
    machine.dir.write("run/group", "own:*:30000:\n");
    machine.config(&apart);
    www.publish("one", 101, &OTHER);
    machine.expect(0, &["update"]);
    board.assert_has(&[("passwd", MORE_USERS), ("group", "own:*:30000:\n")]);
}

/// A client judges that only where its configuration says so.
#[test]
fn a_map_that_shrank_is_judged_by_whoever_exports() {
    if no_minisign("a_map_that_shrank_is_judged_by_whoever_exports") {
        return;
    }
    let board = Board::new("");
    let Board { www, machine } = &board;
    let users = |count: u32| {
        (0..count).fold(String::new(), |text, n| {
            text + &format!("u{n}:x:{}:20000::/home/u{n}:/bin/sh\n", 10_000 + n)
        })
    };
    let (many, few) = (users(100), users(50));
    board.takes(101, &[("passwd", &many), ("group", GROUPS)]);
    board.takes(102, &[("passwd", &few), ("group", GROUPS)]);
    machine.config(&config("passwd, group", &www.server.url(), "max_shrink = 20"));
    board.takes(103, &[("passwd", &many), ("group", GROUPS)]);
    www.publish("one", 104, &[("passwd", &few), ("group", MORE_GROUPS)]);
    board.refuses(1, "passwd: 50 entries where 100 were");
    machine.expect(0, &["update", "--accept-shrink"]);
    board.assert_has(&[("passwd", &few), ("group", MORE_GROUPS)]);
}

/// `watch` asks once for all maps, and has them together.
#[test]
fn a_watch_keeps_all_maps_of_a_snapshot() {
    use crate::ldap::watch::Running;
    use crate::support::wait_until;
    use rustix::process::Signal;
    if no_minisign("a_watch_keeps_all_maps_of_a_snapshot") {
        return;
    }
    let board = Board::new("watch_interval = 1");
    let Board { www, machine } = &board;
    let watch = Running::start(machine);
    www.publish("one", 101, &OTHER);
    wait_until("the other set is there", || {
        machine.text("group.cache") == MORE_GROUPS && machine.text("passwd.cache") == MORE_USERS
    });
    wait_until("nothing is new, again and again", || {
        www.asked(0).ends_with(&["snapshot".to_owned(), "snapshot".to_owned()])
    });
    let status = machine.expect(0, &["status", "--json"]).stdout;
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    for map in status.as_array().unwrap() {
        assert_eq!(map["watch"], "asks every 1 s", "{map}");
    }
    // An older one: it stays as it is, and goes on when a good one comes.
    www.publish("one", 99, &ONE);
    wait_until("status tells of it", || {
        let status = machine.expect(0, &["status", "--json"]).stdout;
        String::from_utf8_lossy(&status).contains("101 was here before")
    });
    board.assert_has(&OTHER);
    www.publish("one", 102, &ONE);
    watch.signal(Signal::USR1);
    wait_until("the first set is there again", || machine.text("group.cache") == GROUPS);
    board.assert_has(&ONE);
}
