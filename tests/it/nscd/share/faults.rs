//! A server that is killed, started again, short of memory or descriptors; many who hold maps.

use super::house::{GETFDGR, GETFDPW, Given, House, Place};
use crate::support::nscd::{ask, asked, request, user};
use crate::support::{DEADLINE, Server, have_program, procfs, run_to_end, skip, tool, wait_until};
use rustix::process::Signal;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

const ADA: &str = "ada:*:4001:4100:Ada:/home/ada:/bin/bash";
const GROUP: &str = "staff:x:4100:ada\n";

fn house(test: &str, place: Place) -> Option<House> {
    House::new(test, place, &format!("{ADA}\n"), GROUP)
}

#[test]
fn nobody_has_a_map_before_somebody_asks_and_then_nothing_wakes_an_unasked_server() {
    let test = "nobody_has_a_map_before_somebody_asks_and_then_nothing_wakes_an_unasked_server";
    let Some(house) = house(test, Place::Memory) else { return };
    let server = house.serve(&[]);
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(ADA));
    assert!(!house.run.join("dbpasswd").exists());
    house.maps();
    assert!(house.run.join("dbpasswd").exists() && house.run.join("dbgroup").exists());
    assert!(!house.run.join("dbpasswd.new").exists());
}

#[test]
fn a_server_that_ends_lets_go_of_its_maps() {
    let test = "a_server_that_ends_lets_go_of_its_maps";
    for place in [Place::Memory, Place::Disk] {
        for signal in [Signal::TERM, Signal::QUIT, Signal::ABORT] {
            let Some(house) = house(test, place) else { return };
            let mut server = house.serve(&[]);
            let off = Given::ask(&house.socket(), GETFDPW).unwrap();
            let maps = house.maps();
            wait_until("what was off to be let go", || off.is_let_go());
            let mut client = house.client();
            assert_eq!(client.ask("u ada"), ADA);
            server.signal(signal);
            assert_eq!(server.wait().code(), Some(0));
            assert!(maps.iter().all(Given::is_let_go), "{place:?} {signal:?}");
            assert_eq!(fs::read_dir(&house.run).unwrap().count(), 0, "{place:?} {signal:?}");
            // He has no such user in his own files.
            assert_eq!(client.ask("u ada"), "-");
        }
    }
}

#[test]
fn a_server_that_is_started_again_lets_go_of_what_a_killed_one_has_left() {
    let test = "a_server_that_is_started_again_lets_go_of_what_a_killed_one_has_left";
    for options in [&[][..], &["--no-share"], &["-u", "4242", "-g", "4242"]] {
        let Some(house) = house(test, Place::Memory) else { return };
        let mut server = house.serve(&[]);
        let maps = house.maps();
        server.signal(Signal::KILL);
        server.wait();
        assert!(maps.iter().all(Given::is_on));
        let mut client = house.client();
        house.bench.dir.replace("passwd", "ada:*:4001:4100:New:/home/ada:/bin/bash\n");
        let _server = house.serve(options);
        assert!(maps.iter().all(Given::is_let_go), "{options:?}");
        assert!(!house.run.join("dbpasswd").exists(), "{options:?}");
        assert_eq!(client.ask("u ada"), "ada:*:4001:4100:New:/home/ada:/bin/bash");
    }
}

#[test]
fn what_others_put_at_the_name_of_a_map_is_not_written_to() {
    let test = "what_others_put_at_the_name_of_a_map_is_not_written_to";
    let Some(house) = house(test, Place::Memory) else { return };
    let text = "x".repeat(200);
    fs::write(house.run.join("dbpasswd"), &text).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", house.run.join("dbgroup")).unwrap();
    let before = fs::read("/etc/passwd").unwrap();
    let mut server = house.serve(&["--no-share"]);
    assert_eq!(fs::read_to_string(house.run.join("dbpasswd")).unwrap(), text);
    assert_eq!(fs::read("/etc/passwd").unwrap(), before);
    assert_eq!(server.stop().code(), Some(0));
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn the_map_of_a_killed_server_is_left_by_itself() {
    let test = "the_map_of_a_killed_server_is_left_by_itself";
    for place in [Place::Memory, Place::Disk] {
        let Some(house) = house(test, place) else { return };
        let mut server = house.serve(&[]);
        let maps = house.maps();
        let mut client = house.client();
        wait_until("a lookup by the map", || client.ask("u ada") == ADA);
        client.ask("g staff");
        server.signal(Signal::KILL);
        server.wait();
        let killed = Instant::now();
        for given in &maps {
            // Believed until 300 s behind its stamp: five seconds from the last one.
            let header = given.header();
            assert!(given.is_on() && header.timestamp + 300 <= seconds() + 5, "{header:?}");
        }
        // From then on his own files count, which have no such user.
        while client.ask("u ada") != "-" {
            assert!(killed.elapsed() < DEADLINE, "believed for ever");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(killed.elapsed() < Duration::from_secs(7), "{:?}", killed.elapsed());
    }
}

#[test]
fn a_map_is_stamped_as_long_as_its_server_lives() {
    let test = "a_map_is_stamped_as_long_as_its_server_lives";
    let Some(house) = house(test, Place::Disk) else { return };
    let _server = house.serve(&[]);
    let [given, _] = house.maps();
    let before = given.header().timestamp;
    wait_until("two stamps", || given.header().timestamp >= before + 2);
    assert!(given.is_on());
}

#[test]
fn without_memory_for_a_map_there_is_none_and_no_client_meets_a_hole() {
    let test = "without_memory_for_a_map_there_is_none_and_no_client_meets_a_hole";
    let users: String =
        (0..3000).map(|n| format!("u{n}:*:{}:100::/home/u{n}:/bin/sh\n", 100_000 + n)).collect();
    let Some(house) = House::new(test, Place::Memory, &users, GROUP) else { return };
    // A tmpfs that has room for a tenth of it.
    let full = house.bench.dir.subdirectory("full");
    let mount = |words: &[&str]| {
        let mut command = Command::new("mount");
        command.args(words).arg(&full);
        run_to_end(command).code
    };
    if mount(&["-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs"]) != Some(0) {
        return skip(test, "no mounts");
    }
    let socket = full.join("socket");
    let mut command = tool(&house.bench.bin, "nscd");
    command.arg("-1").arg("-S").arg(&socket);
    command.args(["3", "nsssd-unix", "-d", house.bench.dir.as_str(), ""]);
    let mut server = Server::start_command(command, &socket);
    let given = Given::ask(&socket, GETFDPW).unwrap();
    wait_until("a message", || server.stderr().contains("No space left"));
    assert!(!given.is_on());
    assert_eq!(Given::ask(&socket, GETFDPW).unwrap().bytes().len() as u64, given.size);
    let answer = asked(&socket, &request(ask::USER, "u7"));
    assert_eq!(answer, user("u7:*:100007:100::/home/u7:/bin/sh"));
    // There is some again.
    mount(&["-o", "remount,size=16m"]);
    house.bench.dir.replace("passwd", &users);
    wait_until("maps", || Given::ask(&socket, GETFDPW).is_some_and(|given| given.is_on()));
    assert_eq!(server.stop().code(), Some(0));
    let mut command = Command::new("umount");
    assert_eq!(
        run_to_end({
            command.arg(&full);
            command
        })
        .code,
        Some(0)
    );
}

#[test]
fn without_descriptors_there_is_no_map_until_there_are_some() {
    let test = "without_descriptors_there_is_no_map_until_there_are_some";
    if !have_program("prlimit") {
        return skip(test, "no prlimit");
    }
    let Some(house) = house(test, Place::Memory) else { return };
    let mut server = house.serve(&[]);
    let off = [GETFDPW, GETFDGR].map(|kind| Given::ask(&house.socket(), kind).unwrap());
    let old = house.maps();
    // What it has open for these is given back before it is counted.
    wait_until("what was off to be let go", || off.iter().all(|g| g.is_on() || g.is_let_go()));
    let limit = |number: u32| {
        let mut command = Command::new("prlimit");
        command.args(["--pid", &server.pid().as_raw_nonzero().to_string()]);
        command.arg(format!("--nofile={number}:4096"));
        assert_eq!(run_to_end(command).code, Some(0));
    };
    // The limit is of their numbers: one that is not used is left below it, for a client.
    let fds = format!("/proc/{}/fd", server.pid().as_raw_nonzero());
    let is_free = |number: &u32| !Path::new(&fds).join(number.to_string()).is_symlink();
    limit((0..).filter(is_free).nth(1).unwrap());
    house.bench.dir.replace("passwd", "ada:*:4001:4100:New:/home/ada:/bin/bash\n");
    wait_until("off", || !old[0].is_on());
    wait_until("a message", || server.stderr().contains("Too many open files"));
    assert!(!Given::ask(&house.socket(), GETFDPW).unwrap().is_on());
    limit(4096);
    let [given, _] = house.maps();
    wait_until("let go", || old[0].is_let_go());
    assert_eq!(given.check(), 2);
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn many_hold_maps_of_which_the_dead_ones_cost_a_page() {
    let test = "many_hold_maps_of_which_the_dead_ones_cost_a_page";
    let users = |n: u32| -> String {
        let line = |id: u32| format!("u{id}:*:{}:{n}::/home/u{id}:/bin/sh\n", 100_000 + id);
        (0..1500).map(line).collect()
    };
    let Some(house) = House::new(test, Place::Disk, &users(0), GROUP) else { return };
    let server = house.serve(&[]);
    // It may have inherited some from tests beside this one.
    let before = procfs::descriptors(server.pid());
    let mut held = Vec::new();
    for n in 1..20 {
        held.extend(house.maps());
        house.bench.dir.replace("passwd", users(n));
        wait_until("let go", || held.iter().all(Given::is_let_go));
    }
    for given in &held {
        use std::os::unix::fs::MetadataExt as _;
        let there = given.file.metadata().unwrap();
        assert_eq!(there.len(), given.size);
        assert!(there.blocks() * 512 <= 4096, "{} of {}", there.blocks(), given.size);
    }
    // The server has none of them any more.
    let [given, _] = house.maps();
    assert!(given.check() == 3000);
    wait_until("closed", || procfs::descriptors(server.pid()) < before + 20);
}

#[test]
fn many_ask_for_maps_at_once() {
    let test = "many_ask_for_maps_at_once";
    let Some(house) = house(test, Place::Memory) else { return };
    let server = house.serve(&[]);
    house.maps();
    let before = procfs::descriptors(server.pid());
    let mut held = Vec::new();
    for n in 0..500 {
        let kind = if n % 2 == 0 { GETFDPW } else { GETFDGR };
        held.push(Given::ask(&house.socket(), kind).expect("a map"));
    }
    assert!(held.iter().all(Given::is_on));
    house.bench.dir.replace("passwd", "eve:*:4002:4100:Eve:/:/bin/sh\n");
    wait_until("let go", || held.iter().all(Given::is_let_go));
    house.maps();
    wait_until("descriptors", || procfs::descriptors(server.pid()) <= before + 1);
}
