//! `nscd` over its socket, byte by byte: what was recorded of glibc's nscd, and what it has to
//! take from clients of any sort.

use super::machine::{can_bind, over_etc};
use crate::support::nscd::{
    Bench, ask, asked, group, groups, no_group, no_groups, no_user, raw, read_to_end, request, user,
};
use crate::support::procfs;
use crate::support::{self, Connection, Got, Server, assert_same_bytes, is_root, wait_until};

use std::fs;
use std::path::Path;

const ADA: &str = "ada:*:1001:1001:Ada:/home/ada:/bin/sh";
const PASSWD: &str = "root:*:0:0:root:/root:/bin/sh\nada:*:1001:1001:Ada:/home/ada:/bin/sh\n\
                      bob:$6$salt$hash:1002:1001::/:\n";
const GROUP: &str = "root:x:0:\nstaff:x:1001:ada,bob\nwheel:secret:10:ada\n";

fn bench() -> Bench {
    Bench::new(PASSWD, GROUP)
}

/// What a vector holds that is looked at here.
struct Vector {
    name: String,
    server: String,
    request: Vec<u8>,
    reply: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let unhex = |text: &str| -> Vec<u8> {
        let digit = |b: u8| char::from(b).to_digit(16).unwrap() as u8;
        text.as_bytes().chunks(2).map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
    };
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/nscd"));
    let paths = files.unwrap().map(|file| file.unwrap().path());
    let json = paths.filter(|path| path.extension().is_some_and(|e| e == "json"));
    json.map(|path| {
        let value: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let text = |key: &str| value[key].as_str().unwrap().to_owned();
        let (name, server) = (text("name"), text("server"));
        Vector { name, server, request: unhex(&text("request")), reply: unhex(&text("reply")) }
    })
    .collect()
}

/// The files that glibc's nscd answered from.
const INPUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/nscd/input");

#[test]
#[cfg(target_endian = "little")]
fn recorded_exchanges_are_matched_from_etc() {
    if !can_bind("recorded_exchanges_are_matched_from_etc") {
        return;
    }
    let bench = bench();
    let command = bench.scripted(&["--no-share"], &[(3, &["nsssd-unix"])]);
    let mounts = ["passwd", "group"].map(|name| (Path::new(INPUT).join(name), name));
    let command = over_etc(&mounts, &command);
    matches_recorded(&Server::start_command(command, &bench.socket()), |reply| reply);
}

/// Told of a second directory, the `x` of a user who has no line in shadow is `*`.
#[test]
#[cfg(target_endian = "little")]
fn recorded_exchanges_are_matched_from_a_second_directory() {
    if !can_bind("recorded_exchanges_are_matched_from_a_second_directory") {
        return;
    }
    let bench = bench();
    let command = bench.scripted(&["--no-share"], &[(3, &["nsssd-unix", "-d", INPUT])]);
    let shadow = (bench.dir.write("shadow", ""), "shadow");
    let command = over_etc(&[shadow], &command);
    matches_recorded(&Server::start_command(command, &bench.socket()), |mut reply| {
        // Found, and the second string: behind nine words and the first one.
        let word = |at: usize| u32::from_ne_bytes(reply[4 * at..][..4].try_into().unwrap());
        let at = 36 + word(2) as usize;
        if word(1) == 1 && word(3) == 2 && reply[at] == b'x' {
            reply[at] = b'*';
        }
        reply
    });
}

#[track_caller]
fn matches_recorded(server: &Server, changed: impl Fn(Vec<u8>) -> Vec<u8>) {
    let mut seen = 0;
    let mut vectors = vectors();
    // That one ends the server.
    vectors.sort_by_key(|v| v.name == "ctl-shutdown-root");
    for v in vectors {
        let name = v.name.as_str();
        let ours = v.server == "glibc nscd 2.36, caches on, shared off";
        let lookup = ["pw-", "gr-", "ig-"].iter().any(|p| name.starts_with(p));
        let expected = match name {
            // Such a user has no groups, and is not unknown.
            "ig-no-groups-glibc" => groups(&[]),
            "raw-key-without-nul" => Vec::new(),
            "raw-uid-empty" | "raw-uid-trailing-junk" => no_user(),
            "ctl-getstat-root" | "ctl-shutdown-root" => Vec::new(),
            "ctl-invalidate-root" if !is_root() => Vec::new(),
            // The client reads so many bytes, and all but the first eight may be zero.
            _ if name.contains("-disabled-") && !lookup => {
                let size = match name.split('-').next().unwrap() {
                    "ai" => 24,
                    "innetgr" => 12,
                    _ => v.reply.len(),
                };
                [&v.reply[..8], &vec![0; size - 8]].concat()
            }
            _ if lookup && !ours => continue,
            _ if name.starts_with("pw-") || name == "raw-two-requests" => changed(v.reply),
            _ => v.reply,
        };
        assert_same_bytes(name, &asked(server.socket(), &v.request), &expected);
        seen += 1;
    }
    assert!(seen >= 50, "only {seen} vectors");
}

#[test]
fn users_groups_and_memberships_are_found() {
    let bench = bench();
    let server = bench.serve(&[]);
    let ask = |kind, key| asked(server.socket(), &request(kind, key));
    for (kind, key) in [(ask::USER, "ada"), (ask::UID, "1001")] {
        assert_eq!(ask(kind, key), user(ADA));
    }
    for (kind, key) in [(ask::GROUP, "staff"), (ask::GID, "1001")] {
        assert_eq!(ask(kind, key), group("staff:x:1001:ada,bob"));
    }
    assert_eq!(ask(ask::GROUPS, "ada"), groups(&[1001, 10]));
    assert_eq!(ask(ask::GROUPS, "root"), groups(&[]));
    assert_eq!(ask(ask::USER, "nobody"), no_user());
    assert_eq!(ask(ask::GID, "4"), no_group());
    assert_eq!(ask(ask::GROUPS, "nobody"), no_groups());
}

#[test]
fn a_changed_file_is_seen_at_once() {
    let bench = bench();
    let server = bench.serve(&[]);
    assert_eq!(asked(server.socket(), &request(ask::USER, "eve")), no_user());
    bench.dir.replace("passwd", "eve:*:7:7:::\n");
    assert_eq!(asked(server.socket(), &request(ask::USER, "eve")), user("eve:*:7:7:::"));
}

/// Requests that get no reply. To a client of musl the end must not look like an error.
fn refused() -> Vec<Vec<u8>> {
    let long = vec![b'a'; 3000];
    let swapped: Vec<u8> = [2, 0, 4].map(|n: i32| n.swap_bytes().to_ne_bytes()).concat();
    vec![
        raw(2, ask::USER, -1, b"ada\0"),
        raw(2, ask::USER, 0, b""),
        raw(2, ask::USER, i32::MAX, &long),
        raw(2, ask::USER, i32::MIN, b"ada\0"),
        raw(2, ask::USER, 1025, &long[..1025]),
        raw(2, 22, 4, b"ada\0"),
        raw(2, -1, 4, b"ada\0"),
        raw(2, i32::MAX, 4, b"ada\0"),
        raw(1, ask::USER, 4, b"ada\0"),
        raw(0, ask::USER, 4, b"ada\0"),
        [swapped, b"ada\0".to_vec()].concat(),
        raw(2, ask::USER, 3, b"ada"),
        raw(2, ask::USER, 4, b"a\0a\0"),
        raw(2, ask::USER, 5, b"ada\0\0"),
        raw(2, ask::SHUTDOWN, 4, b"ada\0"),
        raw(2, ask::GETSTAT, 0, b""),
        request(ask::DESCRIPTOR, "passwd"),
        request(12, "group"),
        request(13, "hosts"),
        request(18, "services"),
        request(21, "netgroup"),
    ]
}

#[test]
fn odd_requests_are_closed_without_a_reply_or_an_error() {
    let bench = bench();
    let server = bench.serve(&["--no-share"]);
    for bytes in refused() {
        let got = asked(server.socket(), &bytes);
        assert_eq!(got, b"", "{}", bytes[..bytes.len().min(40)].escape_ascii());
    }
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
}

#[test]
fn a_second_request_is_thrown_away() {
    let bench = bench();
    let server = bench.serve(&[]);
    let one = request(ask::USER, "ada");
    assert_eq!(asked(server.socket(), &[one.clone(), one].concat()), user(ADA));
}

#[test]
fn requests_may_be_split_at_every_byte() {
    let bench = bench();
    let server = bench.serve(&[]);
    let bytes = request(ask::USER, "ada");
    for at in 1..bytes.len() {
        let client = Connection::connect(server.socket());
        client.send(&bytes[..at]);
        // That others are served between shows that the part was read.
        assert_eq!(asked(server.socket(), &request(ask::UID, "1001")), user(ADA));
        client.send(&bytes[at..]);
        assert_eq!(read_to_end(&client), user(ADA), "split at {at}");
    }
}

#[test]
fn numbers_that_are_none_are_nobody() {
    let bench = bench();
    let server = bench.serve(&[]);
    for key in ["", "+0", "-0", " 0", "0x0", "0 ", "4294967296", "18446744073709551616", "root"] {
        assert_eq!(asked(server.socket(), &request(ask::UID, key)), no_user(), "{key}");
        assert_eq!(asked(server.socket(), &request(ask::GID, key)), no_group(), "{key}");
    }
    for long in [254, 255, 1023] {
        let name = "n".repeat(long);
        assert_eq!(asked(server.socket(), &request(ask::USER, &name)), no_user());
        assert_eq!(asked(server.socket(), &request(ask::GROUPS, &name)), no_groups());
    }
}

#[test]
fn half_a_request_and_silence_is_closed_and_stops_nobody() {
    let bench = bench();
    let server = bench.serve(&[]);
    let bytes = request(ask::USER, "ada");
    let silent: Vec<Connection> =
        (0..bytes.len()).map(|_| Connection::connect(server.socket())).collect();
    for (at, client) in silent.iter().enumerate() {
        client.send(&bytes[..at]);
        assert_eq!(asked(server.socket(), &bytes), user(ADA));
    }
    for client in &silent {
        client.expect_eof();
    }
}

#[test]
fn who_has_not_asked_takes_no_share_and_who_has_waits_for_one() {
    let bench = bench();
    let server = bench.serve(&["-C", "1", "-c", "1"]);
    let silent: Vec<Connection> = (0..8).map(|_| Connection::connect(server.socket())).collect();
    for client in &silent {
        assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
        client.send(&request(ask::USER, "ada")[..5]);
    }
    for client in &silent {
        client.send(&request(ask::USER, "ada")[5..]);
    }
    for client in &silent {
        assert_eq!(read_to_end(client), user(ADA), "all have kept their places");
    }
}

/// With so few descriptors that 34 clients may wait, and that is told.
fn with_little_room(bench: &Bench, script: &[&str]) -> Server {
    let own = bench.command(&["-c", "16"]);
    let mut command = support::tool(&bench.bin, "sh");
    command.arg("-c").arg("ulimit -n 100; exec \"$0\" \"$@\"").arg(own.get_program());
    let words: Vec<_> = own.get_args().filter(|word| *word != "-q").collect();
    command.args(words).args(script);
    let server = Server::start_command(command, &bench.socket());
    assert!(server.stderr().contains("room for 34 waiting clients"), "{}", server.stderr());
    server
}

#[test]
fn in_a_full_room_the_oldest_who_has_not_asked_gives_way() {
    let bench = bench();
    let server = with_little_room(&bench, &["3", "nsssd-unix", "-d", bench.dir.as_str(), ""]);
    let silent: Vec<Connection> = (0..34).map(|_| Connection::connect(server.socket())).collect();
    for client in &silent {
        client.send(&request(ask::USER, "ada")[..5]);
    }
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA), "needs no room");
    let one_more = Connection::connect(server.socket());
    assert_eq!(read_to_end(&silent[0]), b"");
    // He was given a tenth of a second to ask, and the others have a second.
    for client in silent.iter().skip(1).chain([&one_more]) {
        let from = if std::ptr::eq(client, &one_more) { 0 } else { 5 };
        client.send(&request(ask::USER, "ada")[from..]);
        assert_eq!(read_to_end(client), user(ADA));
    }
}

#[test]
fn a_client_that_never_reads_is_closed_and_stops_nobody() {
    let members: Vec<String> = (0..100_000).map(|n| format!("member{n:06}")).collect();
    let line = format!("big:x:7:{}", members.join(","));
    let bench = Bench::new(PASSWD, &line);
    let server = bench.serve(&[]);
    // Once it has answered it has let go of its standard output.
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
    let idle = procfs::sockets(server.pid()).len();
    let client = Connection::connect(server.socket());
    client.send(&request(ask::GROUP, "big"));
    for _ in 0..20 {
        assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
    }
    // Its connection ends though it never read: what is left in the socket is no whole reply.
    let expected = group(&line);
    wait_until("the server gives up", || procfs::sockets(server.pid()).len() == idle);
    let mut got = Vec::new();
    while let Got::Bytes(bytes) = client.recv(support::DEADLINE) {
        got.extend(bytes);
    }
    assert!(got.len() < expected.len(), "{} bytes", got.len());
    assert_same_bytes("what was sent", &got, &expected[..got.len()]);
}

#[test]
fn a_group_of_a_hundred_thousand_members_is_sent_whole() {
    let members: Vec<String> = (0..100_000).map(|n| format!("m{n}")).collect();
    let line = format!("big:hash:7:{}", members.join(","));
    let bench = Bench::new(PASSWD, &format!("small:x:8:\n{line}\nlast:x:9:m5\n"));
    let server = bench.serve(&[]);
    let expected = group(&line);
    for (kind, key) in [(ask::GROUP, "big"), (ask::GID, "7")] {
        let got = asked(server.socket(), &request(kind, key));
        assert_same_bytes(key, &got, &expected);
    }
    assert_eq!(asked(server.socket(), &request(ask::GROUPS, "m5")), groups_of_nobody());
    assert_eq!(asked(server.socket(), &request(ask::GROUP, "last")), group("last:x:9:m5"));
}

/// Memberships count for those who have no passwd entry, too.
fn groups_of_nobody() -> Vec<u8> {
    groups(&[7, 9])
}

#[test]
fn a_long_passwd_entry_is_sent_whole() {
    for size in [3900, 4060, 4096, 5000, 40_000] {
        let line = format!("ada:*LK*:5:6:{}:/home/{}:/bin/sh", "g".repeat(size), "h".repeat(9));
        let bench = Bench::new(&format!("{line}\n"), GROUP);
        let server = bench.serve(&[]);
        let expected = user(&line);
        assert_same_bytes("uid", &asked(server.socket(), &request(ask::UID, "5")), &expected);
    }
}

#[test]
fn many_groups_are_a_list_in_pieces() {
    let lines: String = (0..3000).map(|n| format!("g{n}:x:{}:ada\n", 5000 + n)).collect();
    let bench = Bench::new(PASSWD, &lines);
    let server = bench.serve(&[]);
    let gids: Vec<u32> = (5000..8000).collect();
    let got = asked(server.socket(), &request(ask::GROUPS, "ada"));
    assert_same_bytes("groups", &got, &groups(&gids));
}

#[test]
fn memberships_are_the_union_over_the_sources() {
    let bench = bench();
    let other = bench.dir.subdirectory("other");
    fs::write(other.join("passwd"), "net:*:5000:5000:::\n").unwrap();
    fs::write(other.join("group"), "staff:x:1001:ada\nnet:x:5000:ada\n").unwrap();
    let more = ["nsssd-unix", "-d", other.to_str().unwrap()];
    let server = bench.start(&[], &[(3, &bench.unix()), (0, &more)]);
    assert_eq!(asked(server.socket(), &request(ask::GROUPS, "ada")), groups(&[1001, 10, 5000]));
    assert_eq!(asked(server.socket(), &request(ask::USER, "net")), user("net:*:5000:5000:::"));
    assert_eq!(asked(server.socket(), &request(ask::USER, "none")), no_user());
}

#[test]
fn a_source_that_fails_is_never_a_name_not_found() {
    let bench = bench();
    let missing = ["nsssd-unix", "-d", "/nonexistent"];
    for sources in
        [[(0_u8, &missing[..]), (0, &bench.unix())], [(0, &bench.unix()), (0, &missing[..])]]
    {
        let server = bench.start(&[], &sources);
        assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
        for (kind, key) in [(ask::USER, "eve"), (ask::GID, "4"), (ask::GROUPS, "ada")] {
            assert_eq!(asked(server.socket(), &request(kind, key)), b"", "{key}");
        }
    }
    let server = bench.start(&[], &[(3, &missing), (0, &bench.unix())]);
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), b"", "3 stops at a failure");
}

#[test]
fn only_root_invalidates() {
    let bench = bench();
    let server = bench.serve(&[]);
    let answer = |n: i32| if is_root() { n.to_ne_bytes().to_vec() } else { Vec::new() };
    for (database, code) in [("passwd", 0), ("group", 0), ("hosts", 0), ("shadow", 22), ("", 22)] {
        let got = asked(server.socket(), &request(ask::INVALIDATE, database));
        assert_eq!(got, answer(code), "{database}");
    }
}
