//! `nsssd-nslcd` and an nslcd that is not there, hangs, breaks off or talks nonsense. It is a
//! failure of the lookup at hand and never "not found"; the next lookup asks anew.

use crate::support::nslcd::{
    FakeNslcd, Stage, action, group, read_request, reply, shadow, status, user, user_reply, words,
};
use crate::support::{
    self, DEADLINE, Daemon, Got, by_id, by_name, group_reply, grouplist, op, passwd_reply,
    receive_all, wait_until,
};
use rustix::io::Errno;
use std::io::Write as _;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A user that nslcd does not know.
#[track_caller]
fn stage() -> Stage {
    let stage = Stage::new();
    stage.dir.accounts("local:x:1005:5:::\n", "local:x:5:\n", "");
    stage
}

/// A switch of nslcd with this bitfield, then local files.
#[track_caller]
fn switch(stage: &Stage, options: &[&str], bits: &str, more: &[&str]) -> Daemon {
    let socket = stage.socket();
    let socket = socket.to_str().unwrap();
    let nslcd = [&[bits, "nsssd-nslcd"], more, &[socket, ""]].concat();
    let local = ["0", "nsssd-unix", "-d", stage.dir.as_str(), ""];
    stage.switch(&[options, &nslcd, &local].concat())
}

/// A lookup of each kind, the action that it becomes, and an entry that answers it.
fn lookups() -> Vec<(Vec<u8>, u32, Vec<u8>)> {
    vec![
        (by_name(op::PWD_GETBYNAME, "a"), action::USER, user("a", 1, 10)),
        (by_id(op::PWD_GETBYUID, 1), action::UID, user("a", 1, 10)),
        (by_name(op::GRP_GETBYNAME, "g"), action::GROUP, group("g", 5, &["a", "b"])),
        (by_id(op::GRP_GETBYGID, 5), action::GID, group("g", 5, &["a", "b"])),
        (by_name(op::SHADOW_GETBYNAME, "a"), action::SHADOW, shadow("a", [1; 7])),
        (grouplist(8, "a"), action::GROUPS_OF, group::<&str>("g", 5, &[])),
        (vec![op::PWD_GET], action::USERS, user("a", 1, 10)),
        (vec![op::GRP_GET], action::GROUPS, group("g", 5, &["a", "b"])),
        (vec![op::SHADOW_GET], action::SHADOWS, shadow("a", [1; 7])),
    ]
}

/// Says `replies` in turn, the last one for ever.
fn saying_in_turn(stage: &Stage, replies: Vec<Vec<u8>>) -> FakeNslcd {
    FakeNslcd::new(&stage.socket(), move |client, number| {
        read_request(client)?;
        client.write_all(&replies[number.min(replies.len() - 1)])
    })
}

#[test]
fn one_that_is_missing_or_refuses_is_a_failure_and_the_next_lookup_asks_anew() {
    let stage = stage();
    let daemon = stage.daemon(&[]);
    for (request, action, entry) in lookups() {
        daemon.expect(&request, &[status(Errno::NOENT)]);
        let bound = UnixListener::bind(stage.socket()).unwrap();
        drop(bound);
        // A list that failed is a failure until it is started again.
        daemon.expect(&[op::PWD_END, op::GRP_END, op::SHADOW_END], &[0; 3]);
        daemon.expect(&request, &[status(Errno::CONNREFUSED)]);
        std::fs::remove_file(stage.socket()).unwrap();
        daemon.expect(&[op::PWD_REWIND, op::GRP_REWIND, op::SHADOW_REWIND], &[0; 3]);
        let _nslcd = FakeNslcd::saying(&stage.socket(), reply(action, &[entry]));
        assert_eq!(daemon.ask(&request, 1), [0]);
        let mut rest = Vec::new();
        while let Got::Bytes(bytes) = daemon.client().recv(support::QUIET) {
            rest.extend(bytes);
        }
        assert!(rest.len() > 10);
        daemon.expect(&[op::PWD_END, op::GRP_END, op::SHADOW_END], &[0; 3]);
    }
}

#[test]
fn what_takes_the_place_of_the_socket_is_a_failure_until_it_is_gone() {
    type Fault = fn(&Path);
    let faults: [Fault; 5] = [
        |path| std::fs::create_dir(path).unwrap(),
        |path| std::fs::write(path, "").unwrap(),
        |path| rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o600.into()).unwrap(),
        |path| std::os::unix::fs::symlink(path, path).unwrap(),
        |path| drop(UnixDatagram::bind(path).unwrap()),
    ];
    let stage = stage();
    let daemon = stage.daemon(&[]);
    let ends = [op::PWD_END, op::GRP_END, op::SHADOW_END];
    for make in faults {
        make(&stage.socket());
        for (request, ..) in lookups() {
            let status = daemon.ask(&request, 1)[0];
            assert!(status != 0 && status != 255, "{request:02x?} is answered {status}");
            daemon.expect(&ends, &[0; 3]);
        }
        let _ = std::fs::remove_dir(stage.socket());
        let _ = std::fs::remove_file(stage.socket());
        // Two that come one after the other are told apart, too.
        for uid in [1, 2] {
            let answer = reply(action::USER, &[user("a", uid, 10)]);
            let _nslcd = FakeNslcd::saying(&stage.socket(), answer);
            daemon.expect(&by_name(op::PWD_GETBYNAME, "a"), &user_reply("a", uid, 10));
        }
    }
}

#[test]
fn one_that_breaks_off_anywhere_is_a_failure() {
    let stage = stage();
    for (request, action, entry) in lookups() {
        let is_list = request.len() == 1;
        let whole = reply(action, &[entry]);
        let none = reply(action, &[]);
        // Of a list, the first entry is passed on as soon as it is there.
        let last = if is_list { whole.len() - 4 } else { whole.len() };
        let cuts: Vec<Vec<u8>> = (0..last).map(|cut| whole[..cut].to_vec()).collect();
        let cuts = [cuts, (0..none.len()).map(|cut| none[..cut].to_vec()).collect()].concat();
        let count = cuts.len();
        let _nslcd = saying_in_turn(&stage, cuts);
        let daemon = stage.daemon(&[]);
        for cut in 0..count {
            if is_list {
                daemon.expect(&[op::PWD_END, op::GRP_END, op::SHADOW_END], &[0; 3]);
            }
            let got = daemon.ask(&request, 1);
            assert_eq!(got, [status(Errno::PIPE)], "{request:?} cut at {cut}");
        }
    }
}

#[test]
fn what_is_no_answer_to_the_request_is_a_failure() {
    let stage = stage();
    let proto = status(Errno::PROTO);
    for (request, action, entry) in lookups() {
        let good = reply(action, std::slice::from_ref(&entry));
        let head = words(&[2, action]);
        let number = |at: usize, word: u32| {
            let mut bad = good.clone();
            bad[at..at + 4].copy_from_slice(&word.to_be_bytes());
            bad
        };
        let mut nul = good.clone();
        nul[16] = 0;
        let mut bad = vec![
            // Another version, another action, a mark that is none.
            number(0, 1),
            number(0, 3),
            number(4, action ^ 1),
            number(4, action ^ 0x000c_0000),
            number(8, 0),
            number(8, 3),
            // The length of the name, and of the password behind it.
            number(12, u32::MAX),
            number(12, 1 << 31),
            number(17, u32::MAX),
            nul,
            // Something behind the end.
            [reply(action, &[]), vec![0]].concat(),
        ];
        let is_group = [action::GROUP, action::GID, action::GROUPS, action::GROUPS_OF];
        if is_group.contains(&action) {
            // The number of members.
            bad.extend([number(26, u32::MAX), number(26, 0x3000_0001)]);
        }
        let single = request.len() > 1 && action != action::GROUPS_OF;
        if single {
            // Two where one is due, another one than was asked for, something behind the end.
            bad.push(reply(action, &[entry.clone(), entry.clone()]));
            bad.push(reply(action, &[user("other", 7, 7)]));
            bad.push(reply(action, &[group("other", 7, &["a"])]));
            bad.push([good.clone(), vec![0]].concat());
            bad.push([&head[..], &entry, &words(&[3])].concat());
        }
        let count = bad.len();
        let _nslcd = saying_in_turn(&stage, bad);
        let daemon = stage.daemon(&[]);
        for at in 0..count {
            daemon.expect(&[op::PWD_END, op::GRP_END, op::SHADOW_END], &[0; 3]);
            let got = daemon.ask(&request, 1)[0];
            // One of another kind may be too short for its fields.
            let broken = single && got == status(Errno::PIPE);
            assert!(got == proto || broken, "{request:?} number {at}: {got}");
        }
    }
}

#[test]
fn a_string_as_long_as_can_be_told_is_a_failure_when_it_does_not_come() {
    let stage = stage();
    let start = [words(&[2, action::USER, 1, i32::MAX as u32]), vec![b'a'; 100_000]].concat();
    let _nslcd = FakeNslcd::saying(&stage.socket(), start);
    let daemon = stage.daemon(&[]);
    daemon.expect(&by_name(op::PWD_GETBYNAME, "a"), &[status(Errno::PIPE)]);
}

#[test]
fn one_that_takes_names_in_any_case_may_answer_so() {
    let stage = stage();
    let _nslcd = FakeNslcd::saying(&stage.socket(), reply(action::USER, &[user("ada", 1, 2)]));
    let daemon = stage.daemon(&[]);
    daemon.expect(&by_name(op::PWD_GETBYNAME, "ADA"), &user_reply("ada", 1, 2));
}

#[test]
fn one_that_is_silent_is_a_failure_after_the_limit() {
    let stage = stage();
    let silent = |client: &mut UnixStream, number: usize| {
        let asked = read_request(client)?;
        if number.is_multiple_of(2) {
            std::thread::park_timeout(DEADLINE);
        }
        let action = u32::from_be_bytes(asked[4..8].try_into().unwrap());
        let replies = lookups().into_iter().find(|(_, known, _)| *known == action);
        client.write_all(&reply(action, &[replies.unwrap().2]))
    };
    let _nslcd = FakeNslcd::new(&stage.socket(), silent);
    for (request, _, _) in lookups() {
        let daemon = stage.daemon(&["-t", "100"]);
        daemon.expect(&request, &[status(Errno::TIMEDOUT)]);
        daemon.expect(&[op::PWD_END, op::GRP_END, op::SHADOW_END], &[0; 3]);
        assert_eq!(daemon.ask(&request, 1), [0]);
    }
}

#[test]
fn there_is_a_limit_by_default() {
    let stage = stage();
    let _nslcd = FakeNslcd::new(&stage.socket(), |client, _| {
        read_request(client)?;
        std::thread::park_timeout(3 * DEADLINE);
        Ok(())
    });
    let daemon = stage.daemon(&[]);
    daemon.expect(&by_name(op::PWD_GETBYNAME, "a"), &[status(Errno::TIMEDOUT)]);
}

#[test]
fn the_limit_holds_where_connecting_waits() {
    let stage = stage();
    let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
    let unix = rustix::net::AddressFamily::UNIX;
    let stream =
        || rustix::net::socket_with(unix, rustix::net::SocketType::STREAM, flags, None).unwrap();
    let address = rustix::net::SocketAddrUnix::new(stage.socket()).unwrap();
    let listener = stream();
    rustix::net::bind(&listener, &address).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    // Until the queue is full.
    let mut queue = Vec::new();
    loop {
        let client = stream();
        match rustix::net::connect(&client, &address) {
            Ok(()) => queue.push(client),
            Err(errno) => {
                assert_eq!(errno, Errno::AGAIN);
                break;
            }
        }
    }
    let daemon = stage.daemon(&["-t", "100"]);
    daemon.expect(&by_name(op::PWD_GETBYNAME, "a"), &[status(Errno::TIMEDOUT)]);
}

/// Sends an entry after each pause, until the daemon has had enough.
fn dripping(stage: &Stage, pause: Duration) -> (FakeNslcd, Arc<AtomicBool>) {
    let over = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&over);
    let nslcd = FakeNslcd::new(&stage.socket(), move |client, _| {
        let asked = read_request(client)?;
        let action = u32::from_be_bytes(asked[4..8].try_into().unwrap());
        let entry = if action == action::USERS { user("u", 1, 1) } else { group("g", 5, &["a"]) };
        // Without a pause, faster than it can be read.
        let entry = if pause.is_zero() { entry.repeat(5000) } else { entry };
        let mut write = || -> std::io::Result<()> {
            client.write_all(&words(&[2, action]))?;
            loop {
                client.write_all(&entry)?;
                std::thread::sleep(pause);
            }
        };
        let result = write();
        tell.store(true, Ordering::SeqCst);
        result
    });
    (nslcd, over)
}

#[test]
fn the_limit_counts_for_the_whole_lookup_however_many_entries_come() {
    let stage = stage();
    // Now and then, and without any pause.
    for pause in [Duration::from_millis(20), Duration::ZERO] {
        let (_nslcd, over) = dripping(&stage, pause);
        let daemon = stage.daemon(&["-t", "200"]);
        daemon.expect(&grouplist(8, "a"), &[status(Errno::TIMEDOUT)]);
        wait_until("the connection is closed", || over.load(Ordering::SeqCst));
    }
}

#[test]
fn an_enumeration_may_take_longer_than_the_limit_for_an_entry() {
    let stage = stage();
    let (_nslcd, over) = dripping(&stage, Duration::from_millis(50));
    let daemon = stage.daemon(&["-t", "1000"]);
    for _ in 0..30 {
        daemon.expect(&[op::PWD_GET], &user_reply("u", 1, 1));
    }
    assert!(!over.load(Ordering::SeqCst));
    daemon.expect(&[op::PWD_END], &[0]);
    wait_until("the connection is closed", || over.load(Ordering::SeqCst));
}

#[test]
fn a_list_that_broke_is_a_failure_until_it_is_started_again() {
    let stage = stage();
    let whole = reply(action::USERS, &[user("a", 1, 1), user("b", 2, 2)]);
    let cut = whole[..whole.len() - 10].to_vec();
    let nslcd = saying_in_turn(&stage, vec![cut, whole]);
    let daemon = stage.daemon(&[]);
    let failed = [status(Errno::PIPE)];
    daemon.expect(&[op::PWD_GET], &user_reply("a", 1, 1));
    daemon.expect(&[op::PWD_GET], &failed);
    daemon.expect(&[op::PWD_GET], &failed);
    assert_eq!(nslcd.count(), 1, "it is not begun again by itself");
    daemon.expect(&[op::PWD_REWIND], &[0]);
    daemon.expect(&[op::PWD_GET], &user_reply("a", 1, 1));
    daemon.expect(&[op::PWD_GET], &user_reply("b", 2, 2));
    daemon.expect(&[op::PWD_GET], &[255]);
}

/// Members that do not fit the buffer.
fn members(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("member{n:06}")).collect()
}

#[test]
fn a_large_group_that_changed_meanwhile_ends_the_connection_before_its_last_byte() {
    let stage = stage();
    let first = members(2000);
    let changed = |change: &dyn Fn(&mut Vec<String>)| {
        let mut members = first.clone();
        change(&mut members);
        group("g", 5, &members)
    };
    let good = group("g", 5, &first);
    let whole = |entry: Vec<u8>| reply(action::GROUP, &[entry]);
    let seconds = vec![
        whole(changed(&|m| m[1999].replace_range(11..12, "x"))),
        whole(changed(&|m| m[0].replace_range(11..12, "x"))),
        whole(changed(&|m| m.push("more".into()))),
        whole(changed(&|m| m[1999].push_str("more"))),
        whole(changed(&|m| m.extend(members(4000)))),
        whole(changed(&|m| m[1999].push_str(&"more".repeat(9000)))),
        whole(changed(&|m| m.truncate(1999))),
        whole(changed(&|m| m.truncate(0))),
        whole(group("g", 6, &first)),
        whole(group("h", 5, &first)),
        reply(action::GROUP, &[]),
        reply(action::GROUP, &[good.clone(), good.clone()]),
        reply(action::GID, std::slice::from_ref(&good)),
        [reply(action::GROUP, std::slice::from_ref(&good)), vec![0]].concat(),
        whole(good.clone())[..20_000].to_vec(),
        whole(good.clone())[..12 + good.len() - 4].to_vec(),
        vec![],
    ];
    let names: Vec<&str> = first.iter().map(String::as_str).collect();
    let want = group_reply("g", "*", 5, &names);
    for (at, second) in seconds.into_iter().enumerate() {
        let _nslcd = saying_in_turn(&stage, vec![whole(good.clone()), second]);
        let mut daemon = stage.daemon(&[]);
        daemon.send(&by_name(op::GRP_GETBYNAME, "g"));
        let got = receive_all(daemon.client());
        assert!(got.len() < want.len(), "change {at}: {} of {} bytes", got.len(), want.len());
        assert_eq!(daemon.wait().code(), Some(111));
        assert!(daemon.stderr().contains("unable to finish a reply"), "{}", daemon.stderr());
    }
    // And unchanged, it comes whole.
    let _nslcd = saying_in_turn(&stage, vec![whole(good)]);
    let daemon = stage.daemon(&[]);
    daemon.expect(&by_name(op::GRP_GETBYNAME, "g"), &want);
}

#[test]
fn a_large_group_that_hangs_when_asked_for_again_ends_the_connection() {
    let stage = stage();
    let whole = reply(action::GROUP, &[group("g", 5, &members(2000))]);
    let _nslcd = FakeNslcd::new(&stage.socket(), move |client, number| {
        read_request(client)?;
        if number == 0 {
            return client.write_all(&whole);
        }
        client.write_all(&whole[..15_000])?;
        std::thread::park_timeout(DEADLINE);
        Ok(())
    });
    let mut daemon = stage.daemon(&["-t", "200"]);
    daemon.send(&by_name(op::GRP_GETBYNAME, "g"));
    let got = receive_all(daemon.client());
    assert!(got[0] == 0 && got.len() < 30_000, "{}", got.len());
    assert_eq!(daemon.wait().code(), Some(111));
}

#[test]
fn a_client_that_reads_slowly_does_not_use_up_the_limit() {
    let stage = stage();
    // More than the sockets hold.
    let members = members(200_000);
    let whole = reply(action::GROUP, &[group("g", 5, &members)]);
    let _nslcd = saying_in_turn(&stage, vec![whole]);
    let daemon = stage.daemon(&["-t", "1000"]);
    daemon.send(&by_name(op::GRP_GETBYNAME, "g"));
    daemon.recv_exact(1000);
    // Longer than the limit: that is what this test is about.
    std::thread::sleep(Duration::from_millis(1500));
    let names: Vec<&str> = members.iter().map(String::as_str).collect();
    let want = group_reply("g", "*", 5, &names);
    assert!(daemon.recv_exact(want.len() - 1000) == want[1000..]);
}

#[test]
fn a_client_that_leaves_is_not_waited_for() {
    let stage = stage();
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let _nslcd = FakeNslcd::new(&stage.socket(), move |client, _| {
        read_request(client)?;
        *count.lock().unwrap() += 1;
        std::thread::park_timeout(3 * DEADLINE);
        Ok(())
    });
    for mut daemon in [stage.daemon(&["-t", "0"]), switch(&stage, &[], "0", &["-t", "0"])] {
        let before = *asked.lock().unwrap();
        daemon.send(&by_name(op::PWD_GETBYNAME, "a"));
        wait_until("nslcd is asked", || *asked.lock().unwrap() > before);
        assert_eq!(daemon.finish(), Some(111));
    }
}

#[test]
fn a_switch_judges_a_failure_by_bit_2_and_asks_again_the_next_time() {
    let stage = stage();
    let local = passwd_reply(["local", "x"], 1005, 5, ["", "", ""]);
    let ask_local = by_name(op::PWD_GETBYNAME, "local");
    for options in [&[][..], &["--spawn"]] {
        for (bits, falls) in [("0", true), ("1", true), ("2", false), ("3", false), ("4", true)] {
            let daemon = switch(&stage, options, bits, &[]);
            let want = if falls { local.clone() } else { vec![status(Errno::NOENT)] };
            daemon.expect(&ask_local, &want);
            daemon.expect(&ask_local, &want);
            let entry = user("local", 1077, 77);
            let _nslcd = FakeNslcd::saying(&stage.socket(), reply(action::USER, &[entry]));
            daemon.expect(&ask_local, &user_reply("local", 1077, 77));
        }
    }
}

#[test]
fn a_switch_gives_up_for_good_one_that_is_later_than_its_own_limit() {
    let stage = stage();
    let local = passwd_reply(["local", "x"], 1005, 5, ["", "", ""]);
    for options in [&["-t", "100"][..], &["-t", "100", "--spawn"]] {
        let nslcd = FakeNslcd::new(&stage.socket(), |client, _| {
            read_request(client)?;
            std::thread::park_timeout(DEADLINE);
            Ok(())
        });
        let ask = by_name(op::PWD_GETBYNAME, "local");
        let daemon = switch(&stage, options, "2", &[]);
        for _ in 0..3 {
            daemon.expect(&ask, &local);
        }
        assert_eq!(nslcd.count(), 1, "{options:?}");
        let daemon = switch(&stage, options, "1", &[]);
        daemon.expect(&ask, &[status(Errno::IO)]);
        daemon.expect(&ask, &[status(Errno::IO)]);
        assert_eq!(nslcd.count(), 2, "{options:?}");
        // By its own, which is shorter, it fails each time anew.
        let daemon = switch(&stage, &["-t", "5000"], "2", &["-t", "50"]);
        daemon.expect(&ask, &[status(Errno::TIMEDOUT)]);
        daemon.expect(&ask, &[status(Errno::TIMEDOUT)]);
        assert_eq!(nslcd.count(), 4);
    }
}

#[test]
fn a_merge_does_not_keep_the_groups_of_one_that_broke_off() {
    let stage = stage();
    let whole = reply(action::GROUPS_OF, &[group::<&str>("g", 77, &[])]);
    let _nslcd = FakeNslcd::saying(&stage.socket(), whole[..whole.len() - 4].to_vec());
    stage.dir.write("group", "local:x:5:a\n");
    let daemon = switch(&stage, &["-m"], "0", &[]);
    daemon.expect(&grouplist(9, "a"), &support::grouplist_reply(9, &[5]));
    let daemon = switch(&stage, &["-m"], "2", &[]);
    daemon.expect(&grouplist(9, "a"), &[status(Errno::PIPE)]);
}
