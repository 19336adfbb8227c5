//! What is in a map is what the socket would answer, and glibc's programs find it without a system call.

use super::house::{Client, GETFDGR, GETFDPW, Given, House, Place};
use crate::lines::odd::{Dice, File};
use crate::support::nscd::{ask, asked, request};
use crate::support::{Finished, Server, TempDir, have_program, peer, run_to_end, skip, wait_until};
use nssproto::entry::{Db, Record};
use nssproto::nscd::map::{Map, kind};
use nssproto::nscd::{Reply, ReplyKind};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::{collections::BTreeSet, fs};

const PASSWD: &str = "\
root:*:0:0:root:/root:/bin/sh
ada:*:4001:4100:Ada Lovelace:/home/ada:/bin/bash
hidden:$6$salt$hash:4002:4100::/home/hidden:
ada:*:4009:4100:second line:/:/bin/sh
4001:*:4444:4100:digits:/:/bin/sh
hidden:*:4003:4100:behind it:/:/bin/sh
late:*:4002:4100:its number:/:/bin/sh
";
const GROUP: &str = "\
root:x:0:
staff:x:4100:ada,hidden,ghost
wheel:!:4101:ada
again:x:4100:ada,root
secret:$6$hash:4102:ada
none::4103:
";

/// What every lookup of the files above answers: a question, and the answer.
const LOOKUPS: &[(&str, &str)] = &[
    ("u ada", "ada:*:4001:4100:Ada Lovelace:/home/ada:/bin/bash"),
    ("U 4001", "ada:*:4001:4100:Ada Lovelace:/home/ada:/bin/bash"),
    ("U 4009", "ada:*:4009:4100:second line:/:/bin/sh"),
    ("u 4001", "4001:*:4444:4100:digits:/:/bin/sh"),
    ("g staff", "staff:x:4100:ada,hidden,ghost"),
    ("G 4101", "wheel:!:4101:ada"),
    ("g none", "none::4103:"),
    ("l ada", "4100,4101,4102,77777"),
    ("l root", "4100,77777"),
    ("l ghost", "4100,77777"),
    ("l late", "77777"),
];

/// Waits until a client has the maps: it makes no system call any more.
#[track_caller]
fn settle(house: &House, client: &mut Client) {
    // What he gets first is off: he has to ask once more.
    let off = [GETFDPW, GETFDGR].map(|kind| Given::ask(&house.socket(), kind).unwrap());
    client.ask("u root");
    client.ask("g root");
    house.maps();
    wait_until("what was off to be let go", || off.iter().all(|g| g.is_on() || g.is_let_go()));
}

#[test]
fn repeated_lookups_of_glibc_make_no_system_call() {
    let test = "repeated_lookups_of_glibc_make_no_system_call";
    for place in [Place::Memory, Place::Disk] {
        no_system_call(test, place, "");
    }
}

/// The same with Debian 13's.
#[test]
fn nor_do_those_of_a_newer_glibc() {
    let test = "nor_do_those_of_a_newer_glibc";
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    let libc = format!("usr/lib/{triplet}/libc.so.6");
    let Some(libc) = peer(test, "libc6@trixie", &libc) else { return };
    let folder = libc.parent().unwrap();
    let loaders = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let mut loaders = loaders.filter(|path| path.to_string_lossy().contains("/ld-linux"));
    let loader = loaders.next().expect("a loader beside the library");
    let run = format!("'{}' --library-path '{}' ", loader.display(), folder.display());
    no_system_call(test, Place::Memory, &run);
}

/// Repeated lookups of a client that is run by these words: right, and without a system call.
#[track_caller]
fn no_system_call(test: &str, place: Place, loader: &str) {
    if !have_program("strace") {
        return skip(test, "no strace");
    }
    let Some(house) = House::new(test, place, PASSWD, GROUP) else { return };
    let _server = house.serve(&[]);
    let trace = house.bench.dir.join("trace");
    let run = format!("exec strace -f -o '{}' {loader}\"$0\"", trace.display());
    let mut client = house.run_client(&run);
    settle(&house, &mut client);
    for (question, answer) in LOOKUPS {
        assert_eq!(client.ask(question), *answer, "{question}");
    }
    for (question, answer) in LOOKUPS {
        assert_eq!(client.ask(&format!("n 100 {question}")), *answer, "{question}");
    }
    // Not in it: asked for by the socket, and found.
    let by_socket = client.ask("n 100 u hidden");
    assert_eq!(by_socket, "hidden:$6$salt$hash:4002:4100::/home/hidden:");
    drop(client);
    let trace = fs::read_to_string(trace).unwrap();
    let mut between = None;
    let mut counts = Vec::new();
    for line in trace.lines() {
        match (line.contains(" getppid("), between) {
            (true, None) => between = Some(0),
            (true, Some(count)) => {
                counts.push(count);
                between = None;
            }
            (false, Some(count)) => between = Some(count + 1),
            (false, None) => {}
        }
    }
    let by_socket = counts.pop();
    assert_eq!(counts, vec![0; LOOKUPS.len()], "{place:?}");
    assert!(by_socket > Some(300), "{place:?}: {by_socket:?}");
}

#[test]
fn a_hash_is_in_no_map_and_keeps_its_place() {
    let test = "a_hash_is_in_no_map_and_keeps_its_place";
    let Some(house) = House::new(test, Place::Memory, PASSWD, GROUP) else { return };
    let _server = house.serve(&[]);
    let [users, groups] = house.maps();
    let (users, groups) = (users.bytes(), groups.bytes());
    let (users, groups) = (Map::check(&users).unwrap(), Map::check(&groups).unwrap());
    for (map, kind, key, there) in [
        (users, kind::USER, "ada", true),
        (users, kind::USER, "hidden", false),
        (users, kind::UID, "4002", false),
        (users, kind::UID, "4003", true),
        (users, kind::USER, "late", true),
        (groups, kind::GROUP, "secret", false),
        (groups, kind::GID, "4102", false),
        (groups, kind::GROUPS, "hidden", true),
        (groups, kind::GROUPS, "nobody", false),
    ] {
        assert_eq!(map.find(kind, key.as_bytes()).is_some(), there, "{kind} {key}");
    }
    for bytes in [house.maps()[0].bytes(), house.maps()[1].bytes()] {
        assert!(!bytes.windows(3).any(|text| text == b"$6$"), "a hash");
    }
}

/// All keys that a file may have, found or not.
fn keys(files: &[&[u8]]) -> BTreeSet<Vec<u8>> {
    let mut keys = BTreeSet::new();
    for field in files.iter().flat_map(|file| file.split(|b| b"\n:,".contains(b))) {
        for text in [field, field.trim_ascii_start()] {
            keys.insert(text.to_vec());
        }
    }
    keys.extend((0..12).map(|id: u32| id.to_string().into_bytes()));
    keys.retain(|key| key.len() < 1024 && !key.contains(&0));
    keys
}

/// Whether a reply says that there is something, and shows nothing but what all may know.
fn is_for_all(kind: ReplyKind, reply: &[u8]) -> bool {
    let Ok(reply) = Reply::decode(kind, reply) else { return false };
    match reply.value {
        Reply::Found(Record::Passwd(user)) => is_plain(user.password),
        Reply::Found(Record::Group(group)) => is_plain(group.password),
        Reply::Groups(_) => true,
        _ => false,
    }
}

fn is_plain(field: &[u8]) -> bool {
    matches!(field, b"" | b"x" | b"*" | [b'!', ..])
}

/// A map has what the socket answers to all, and nothing else: whatever is asked.
#[track_caller]
fn same_as_the_socket(house: &House, files: &[&[u8]], all: bool) -> usize {
    let [users, groups] = house.maps();
    let (users, groups) = (users.bytes(), groups.bytes());
    let (users, groups) = (Map::check(&users).unwrap(), Map::check(&groups).unwrap());
    let kinds = [
        (users, kind::USER, ask::USER, ReplyKind::Passwd),
        (users, kind::UID, ask::UID, ReplyKind::Passwd),
        (groups, kind::GROUP, ask::GROUP, ReplyKind::Group),
        (groups, kind::GID, ask::GID, ReplyKind::Group),
        (groups, kind::GROUPS, ask::GROUPS, ReplyKind::Initgroups),
    ];
    let mut keys = keys(files);
    for entry in users.entries().chain(groups.entries()) {
        keys.insert(entry.key.to_vec());
    }
    let mut found = 0;
    for key in &keys {
        for (map, kind, number, reply) in kinds {
            let mut bytes = request(number, "");
            bytes.truncate(12);
            bytes[8..12].copy_from_slice(&(key.len() as u32 + 1).to_ne_bytes());
            let by_socket = asked(&house.socket(), &[&bytes[..], key, &[0]].concat());
            let shown = (kind, key.escape_ascii().to_string());
            match map.find(kind, key) {
                Some(payload) => {
                    assert_eq!(payload, by_socket, "{shown:?}");
                    found += 1;
                }
                None if all && number != ask::UID && number != ask::GID => {
                    assert!(!is_for_all(reply, &by_socket), "{shown:?} is missing");
                }
                None if all => {
                    // A key that is no number as clients write it.
                    let text = String::from_utf8_lossy(key);
                    let id = text.parse::<u32>().ok().filter(|id| id.to_string() == text);
                    assert!(id.is_none() || !is_for_all(reply, &by_socket), "{shown:?}");
                }
                None => {}
            }
        }
    }
    found
}

#[test]
fn a_map_says_what_the_socket_says_of_odd_lines() {
    let test = "a_map_says_what_the_socket_says_of_odd_lines";
    let (mut found, mut dice) = (0, Dice::new(17));
    for own in [true, false] {
        for _ in 0..6 {
            let files = [Db::Passwd, Db::Group].map(|db| File::odd(db, &mut dice).bytes);
            let Some(house) = House::new(test, Place::Disk, "", "") else { return };
            house.bench.dir.write("passwd", &files[0]);
            house.bench.dir.write("group", &files[1]);
            let _server = if own { house.serve_own(&[]) } else { house.serve(&[]) };
            found += same_as_the_socket(&house, &[&files[0], &files[1]], true);
        }
    }
    assert!(found > 500, "{found}");
}

#[test]
fn several_directories_are_one_map_as_they_are_one_answer() {
    let test = "several_directories_are_one_map_as_they_are_one_answer";
    let mut dice = Dice::new(23);
    let mut found = 0;
    for _ in 0..6 {
        let Some(house) = House::new(test, Place::Disk, "", "") else { return };
        let mut texts = Vec::new();
        let mut script = Vec::new();
        for name in ["one", "two", "three"] {
            let dir = house.bench.dir.subdirectory(name);
            for db in [Db::Passwd, Db::Group] {
                let text = File::odd(db, &mut dice).bytes;
                house.bench.dir.write(&format!("{name}/{}", db.name()), &text);
                texts.push(text);
            }
            script.extend(["0".to_owned(), "nsssd-unix".into(), "-d".into()]);
            script.extend([dir.to_str().unwrap().to_owned(), String::new()]);
        }
        let script: Vec<&str> = script.iter().map(String::as_str).collect();
        let _server = Server::start_command(house.command(&[], &script), &house.socket());
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        // By number, whom it is not sure of it leaves to the socket.
        found += same_as_the_socket(&house, &texts, false);
    }
    assert!(found > 300, "{found}");
}

/// A file in the words of tests/vectors/nscd-map.
fn told(name: &str, bytes: &[u8]) -> Value {
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
    let fields = [
        ("version", 0),
        ("header_size", 4),
        ("gc_cycle", 8),
        ("nscd_certainly_running", 12),
        ("module", 40),
        ("data_size", 44),
        ("first_free", 48),
        ("nentries", 52),
        ("maxnentries", 56),
        ("maxnsearched", 60),
    ];
    let header: Vec<Value> = fields
        .iter()
        .map(|(field, at)| json!({"offset": at, "size": 4, "field": field, "value": word(*at)}))
        .collect();
    let module = word(40) as usize;
    let base = 120 + (4 * module).div_ceil(16) * 16;
    let buckets: Vec<u32> = (0..module).map(|n| word(120 + 4 * n)).collect();
    let (mut entries, mut records) = (Vec::new(), Vec::new());
    for (bucket, first) in buckets.iter().enumerate() {
        let mut next = *first;
        while next != u32::MAX {
            let at = base + next as usize;
            let (len, key, packet) = (word(at + 4), word(at + 8), word(at + 20));
            let text = &bytes[base + key as usize..][..len as usize];
            let hash =
                text.iter().fold(0_u32, |h, c| h.wrapping_mul(65599).wrapping_add(u32::from(*c)));
            let text: String = text.iter().map(|byte| char::from(*byte)).collect();
            entries.push(json!({"bucket": bucket, "ref": next, "type": bytes[at],
                "first": bytes[at + 1], "len": len, "key": key, "owner": word(at + 12).cast_signed(),
                "next": word(at + 16), "packet": packet, "key_text": text, "hash": hash}));
            let record = base + packet as usize;
            records.push(
                json!({"ref": packet, "allocsize": word(record), "recsize": word(record + 4),
                "timeout": long(record + 8), "notfound": bytes[record + 16],
                "usable": bytes[record + 18], "payload": {"found": word(record + 28)}}),
            );
            next = word(at + 16);
        }
    }
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"name": name, "hex": hex, "zeros_after": 0, "size": bytes.len(), "header": header,
        "data_at": base, "buckets": buckets, "entries": entries, "records": records})
}

#[test]
fn the_script_beside_the_vectors_takes_our_files() {
    let test = "the_script_beside_the_vectors_takes_our_files";
    if !have_program("python3") {
        return skip(test, "no python3");
    }
    let users: String = (0..700).map(|n| format!("u{n}:*:{}:100::/:\n", 100_000 + n)).collect();
    let groups: String = (0..300).map(|n| format!("g{n}:x:{n}:u{n},u{}\n", n * 7)).collect();
    for (passwd, group) in [(PASSWD, GROUP), (&users, &groups), ("", "")] {
        let Some(house) = House::new(test, Place::Memory, passwd, group) else { return };
        let _server = house.serve(&[]);
        let dir = TempDir::new();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/nscd-map/check.py");
        let script_here = dir.write("check.py", fs::read(script).unwrap());
        for (name, given) in ["map-passwd", "map-group"].iter().zip(house.maps()) {
            dir.write(&format!("{name}.json"), told(name, &given.bytes()).to_string());
        }
        let mut command = Command::new("python3");
        command.arg(script_here);
        let Finished { code, stdout, stderr } = run_to_end(command);
        let stdout = String::from_utf8_lossy(&stdout).into_owned();
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert_eq!(stdout.lines().count(), 2, "{stdout}");
    }
}

#[test]
fn what_cannot_be_shared_is_refused_and_answered_as_before() {
    let test = "what_cannot_be_shared_is_refused_and_answered_as_before";
    let Some(house) = House::new(test, Place::Memory, PASSWD, GROUP) else { return };
    let dir = house.bench.dir.as_str().to_owned();
    let program = house.bench.dir.write("program", "#!/bin/sh\nexec sleep 60\n");
    let program = program.to_str().unwrap().to_owned();
    let unix = ["3", "nsssd-unix", "-d", &dir, ""];
    let nslcd = ["0", "nsssd-nslcd", "/nonexistent", ""];
    let program = ["0", &program[..], ""];
    let stops = ["4", "nsssd-unix", "-d", &dir, "", "0", "nsssd-unix", "-d", &dir, ""];
    let conf = house.bench.dir.write("map.conf", "v:x:9000:9000::/:/bin/sh\n");
    let map = ["0", "nsssd-map", "-c", conf.to_str().unwrap(), ""];
    house.bench.dir.write("passwd.cache", PASSWD);
    house.bench.dir.write("group.cache", GROUP);
    let cache = ["0", "nsssd-cache", "-d", &dir, ""];
    let cases: [(&[&str], Vec<&str>); 7] = [
        (&["--no-share"], unix.to_vec()),
        (&["--share", "--no-share"], unix.to_vec()),
        (&[], [&unix[..], &nslcd].concat()),
        (&["--share"], [&unix[..], &program].concat()),
        (&[], [&unix[..], &map].concat()),
        (&[], stops.to_vec()),
        (&[], [&unix[..], &cache].concat()),
    ];
    for (options, script) in cases {
        let server = Server::start_command(house.command(options, &script), &house.socket());
        for kind in [GETFDPW, GETFDGR] {
            assert!(Given::ask(server.socket(), kind).is_none(), "{options:?} {script:?}");
        }
        // hosts, services, netgroups; and names that do not fit.
        for (kind, name) in [(13, "hosts"), (18, "services"), (21, "netgroup"), (11, "group")] {
            assert_eq!(asked(server.socket(), &request(kind, name)), b"", "{name}");
        }
        let mut client = house.client();
        // All groups of a user need each source.
        for (question, answer) in LOOKUPS.iter().filter(|(question, _)| !question.starts_with('l'))
        {
            assert_eq!(client.ask(question), *answer, "{question} {script:?}");
        }
        if !options.contains(&"--no-share") {
            assert!(server.stderr().contains("no shared map"), "{}", server.stderr());
        }
    }
}

#[test]
fn a_program_and_its_children_have_no_map() {
    let test = "a_program_and_its_children_have_no_map";
    let Some(house) = House::new(test, Place::Memory, PASSWD, GROUP) else { return };
    let pid = std::process::id().to_string();
    let server = house.serve(&["--share", "--parent", &pid]);
    assert!(Given::ask(server.socket(), GETFDPW).is_none());
}

#[test]
fn more_than_the_limit_stays_off_and_is_said() {
    let test = "more_than_the_limit_stays_off_and_is_said";
    let line = |n: u32| format!("u{n}:*:{}:100:{}:/:\n", 100_000 + n, "long ".repeat(60));
    let users: String = (0..4000).map(line).collect();
    let Some(house) = House::new(test, Place::Disk, &users, "g:x:1:u1\n") else { return };
    let server = house.serve(&["--share-max", "1"]);
    let given = Given::ask(server.socket(), GETFDPW).unwrap();
    wait_until("a message", || server.stderr().contains("too many users"));
    assert!(!given.is_on() && !given.is_let_go());
    let mut client = house.client();
    assert!(client.ask("u u3999").starts_with("u3999:*:103999:"));
    // Smaller ones fit again.
    house.bench.dir.replace("passwd", "few:*:7:7:::\n");
    wait_until("the map to be let go", || given.is_let_go());
    assert!(house.maps()[0].check() == 2);
}

#[test]
fn a_large_set_of_users_is_shared_whole() {
    let test = "a_large_set_of_users_is_shared_whole";
    let users: String = (0..3000)
        .map(|n| format!("u{n}:*:{}:100:User {n}:/home/u{n}:/bin/sh\n", 100_000 + n))
        .collect();
    let members: Vec<String> = (0..3000).map(|n| format!("u{n}")).collect();
    let mut groups = format!("all:x:500:{}\n", members.join(","));
    (0..3000).for_each(|n| groups += &format!("g{n}:x:{}:u{n}\n", 200_000 + n));
    let Some(house) = House::new(test, Place::Memory, &users, &groups) else { return };
    let _server = house.serve(&[]);
    let [passwd, group] = house.maps();
    assert_eq!((passwd.check(), group.check()), (6000, 2 * 3001 + 3000));
    let mut client = house.client();
    assert_eq!(client.ask("l u2999"), "500,202999,77777");
    assert_eq!(client.ask("g all").len(), format!("all:x:500:{}", members.join(",")).len());
}

/// Whether glibc's own nscd and ours are asked in the same way by a program: with what another one maps.
#[test]
fn a_client_takes_the_map_of_whichever_server_is_there() {
    let test = "a_client_takes_the_map_of_whichever_server_is_there";
    let Some(nscd) = peer(test, "nscd", "usr/sbin/nscd") else { return };
    assert!(Path::new(&nscd).exists());
    let Some(house) = House::new(test, Place::Memory, PASSWD, GROUP) else { return };
    let mut server = house.serve(&[]);
    let mut client = house.client();
    settle(&house, &mut client);
    let before = client.ask("u ada");
    server.stop();
    // Nobody is there; the map was let go.
    assert_eq!(client.ask("u ada"), "-");
    let _server = house.serve(&[]);
    assert_ne!(before, "-");
}
