//! `nsssd-unix` from outside: its command line, odd names and lines, odd things in place of the
//! files, what it says of bad lines. What tests/vectors covers is not repeated here.
#![cfg(feature = "nsssd-unix")]

use crate::support::stage::{self, Stage};
use crate::support::{
    Daemon, Finished, by_id, by_name, group_reply, grouplist, grouplist_reply, op, passwd_reply,
    run_to_end, shadow_reply, tool,
};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

const NOT_FOUND: [u8; 1] = [255];
const EISDIR: [u8; 1] = [21];
const ENOENT: [u8; 1] = [2];

const BOB: &str = "bob:x:1001:1000:Bob:/home/bob:/bin/sh\n";

fn bob() -> Vec<u8> {
    passwd_reply(["bob", "x"], 1001, 1000, ["Bob", "/home/bob", "/bin/sh"])
}

/// Requests that read passwd, group and shadow, each in every way that there is.
fn every_lookup() -> [Vec<Vec<u8>>; 3] {
    [
        vec![by_name(op::PWD_GETBYNAME, "bob"), by_id(op::PWD_GETBYUID, 1001), vec![op::PWD_GET]],
        vec![
            by_name(op::GRP_GETBYNAME, "staff"),
            by_id(op::GRP_GETBYGID, 50),
            grouplist(3, "bob"),
            vec![op::GRP_GET],
        ],
        vec![by_name(op::SHADOW_GETBYNAME, "bob"), vec![op::SHADOW_GET]],
    ]
}

/// Ends all three enumerations.
#[track_caller]
fn end_enumerations(daemon: &Daemon) {
    for end in [op::PWD_END, op::GRP_END, op::SHADOW_END] {
        daemon.expect(&[end], &[0]);
    }
}

/// Runs it with these arguments and nothing in the environment, to its end.
fn run(arguments: &[&str]) -> Finished {
    let stage = Stage::new();
    let mut command = tool(&stage.bin, "nsssd-unix");
    command.args(arguments);
    run_to_end(command)
}

#[test]
fn help_is_printed_and_is_no_error() {
    let end = run(&["--help"]);
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!(end.stderr, "");
    let text = String::from_utf8(end.stdout).expect("text");
    assert!(text.starts_with("Usage: nsssd-unix [-d DIR] [-v]\n"), "{text}");
    for mentioned in ["-d DIR", "-v", "NSSSD_TIMEOUT", "IPCREMOTEEUID", "Exit codes:"] {
        assert!(text.contains(mentioned), "{mentioned} in {text}");
    }
}

#[test]
fn wrong_options_are_named_and_exit_with_100() {
    for (arguments, named) in [
        (&["-d"][..], "-d"),
        (&["-v", "-d"], "-d"),
        (&["-vd"], "-d"),
        (&["-x"], "-x"),
        (&["-vx"], "-x"),
        (&["-d", "/etc", "-q"], "-q"),
        (&["--nonsense"], "--nonsense"),
        (&["--dir=/etc"], "--dir=/etc"),
    ] {
        let end = run(arguments);
        assert_eq!(end.code, Some(100), "{arguments:?}: {end:?}");
        assert_eq!(end.stdout, b"", "{arguments:?}");
        assert!(end.stderr.starts_with("nsssd-unix: fatal: "), "{arguments:?}: {end:?}");
        assert!(end.stderr.contains(&format!(" {named}")), "{arguments:?}: {end:?}");
        assert!(end.stderr.contains("nsssd-unix --help"), "{arguments:?}: {end:?}");
        assert_eq!(end.stderr.lines().count(), 1, "{arguments:?}: {end:?}");
    }
}

#[test]
fn the_directory_is_the_last_one_given_however_it_is_written() {
    let stage = Stage::with(BOB, "");
    let other = stage.dir.subdirectory("other");
    fs::write(other.join("passwd"), "amy:x:7:7:::\n").expect("a file");
    let (good, other) = (stage.dir.as_str(), other.to_str().expect("a plain name"));
    let joined = format!("-d{good}");
    let clustered = format!("-vd{good}");
    for arguments in [
        &["-d", good][..],
        &[&joined],
        &[&clustered],
        &["-d", other, "-d", good],
        &["-d", good, "--", "-d", other],
        &["-d", good, "word", "-d", other],
    ] {
        let mut command = stage.applet("nsssd-unix");
        command.args(arguments);
        let mut daemon = Daemon::start(command);
        daemon.expect(&by_name(op::PWD_GETBYNAME, "bob"), &bob());
        assert_eq!(daemon.finish(), Some(0), "{arguments:?}");
    }
}

#[test]
fn a_name_that_holds_a_separator_or_a_path_finds_nothing() {
    let stage = Stage::new();
    stage.dir.accounts(
        format!("root:x:0:0:::\nroot2:x:0:0:::\n{BOB}"),
        "root:x:0:bob\nstaff:x:50:root,bob\n",
        "root:*:1::::::\nbob:*:2::::::\n",
    );
    stage.dir.subdirectory("sub");
    let daemon = stage.unix();
    for name in [
        ":",
        "\n",
        ",",
        "",
        "root:x",
        "root:x:0:0:::",
        "root:x:0:0:::\n",
        "root:x:0:0:::\nroot2",
        "root:*:1::::::\nbob",
        "\nroot2",
        "root\n",
        "x:0:bob\nstaff",
        "root,bob",
        ",bob",
        "bob\n",
        "0:bob\nstaff:x:50:root",
        "../../root",
        "../passwd",
        "/etc/passwd",
        "sub/../root",
        "+",
        "-",
        "*",
    ] {
        for opcode in [op::PWD_GETBYNAME, op::GRP_GETBYNAME, op::SHADOW_GETBYNAME] {
            daemon.expect(&by_name(opcode, name), &NOT_FOUND);
        }
        daemon.expect(&grouplist(4, name), &grouplist_reply(4, &[]));
    }
    daemon.expect(&grouplist(4, "bob"), &grouplist_reply(4, &[0, 50]));
}

#[test]
fn a_nul_ends_its_line() {
    let stage = Stage::new();
    stage.dir.accounts(
        b"na\0me:x:1:1:::\nearly:x:2:2:g\0:h:s\nnumber:x:3\0:3:g:h:s\nlast:x:4:4:g:h:/s\0h:t\n\
          all:x:5:5:g:h:\0sh\n\0\nplain:x:6:6:g:h:s\n",
        b"early:x\0:1:a\ngid:x:2\0:a\nlast:x:3:a,b\0,c\nnone:x:4:\0a\ncut:x:5:a,\0b\n",
        b"early:*:1::::\0::\nlast:*:1::::::2\0:3\nname\0:*:1::::::2\n",
    );
    let daemon = stage.unix();
    for name in ["na", "early", "number"] {
        daemon.expect(&by_name(op::PWD_GETBYNAME, name), &NOT_FOUND);
    }
    let user = |name, id, shell| passwd_reply([name, "x"], id, id, ["g", "h", shell]);
    daemon.expect(&by_id(op::PWD_GETBYUID, 3), &NOT_FOUND);
    daemon.expect(&[op::PWD_GET], &user("last", 4, "/s"));
    daemon.expect(&[op::PWD_GET], &user("all", 5, ""));
    daemon.expect(&[op::PWD_GET], &user("plain", 6, "s"));
    daemon.expect(&[op::PWD_GET], &NOT_FOUND);

    daemon.expect(&by_name(op::GRP_GETBYNAME, "early"), &NOT_FOUND);
    daemon.expect(&by_id(op::GRP_GETBYGID, 2), &NOT_FOUND);
    let group = |name, gid, members: &[&str]| group_reply(name, "x", gid, members);
    daemon.expect(&by_id(op::GRP_GETBYGID, 3), &group("last", 3, &["a", "b"]));
    daemon.expect(&by_name(op::GRP_GETBYNAME, "none"), &group("none", 4, &[]));
    daemon.expect(&by_name(op::GRP_GETBYNAME, "cut"), &group("cut", 5, &["a", ""]));
    daemon.expect(&grouplist(9, "a"), &grouplist_reply(9, &[3, 5]));
    daemon.expect(&grouplist(9, "c"), &grouplist_reply(9, &[]));

    let last = shadow_reply("last", "*", [1, -1, -1, -1, -1, -1, 2]);
    daemon.expect(&[op::SHADOW_GET], &last);
    daemon.expect(&[op::SHADOW_GET], &NOT_FOUND);
    daemon.expect(&by_name(op::SHADOW_GETBYNAME, "early"), &NOT_FOUND);
}

#[test]
fn a_directory_in_place_of_a_file_is_a_failure_until_it_is_gone() {
    let stage = Stage::new();
    for name in ["passwd", "group", "shadow"] {
        stage.dir.subdirectory(name);
    }
    let daemon = stage.unix();
    for _ in 0..2 {
        for request in every_lookup().iter().flatten() {
            daemon.expect(request, &EISDIR);
        }
        // As with a missing file.
        for request in [op::PWD_REWIND, op::GRP_REWIND, op::SHADOW_REWIND] {
            daemon.expect(&[request], &[0]);
        }
        end_enumerations(&daemon);
    }
    fs::remove_dir(stage.dir.join("passwd")).expect("remove a directory");
    stage.dir.write("passwd", BOB);
    for request in &every_lookup()[0] {
        daemon.expect(request, &bob());
    }
}

#[test]
fn a_missing_file_is_a_failure_until_it_comes_back() {
    let stage = Stage::new();
    let group = "staff:x:50:bob\n";
    let shadow = "bob:*:1::::::\n";
    let replies = |request: &[u8]| match request[0] & 0o70 {
        0o10 => bob(),
        0o40 => shadow_reply("bob", "*", [1, -1, -1, -1, -1, -1, -1]),
        _ if request[0] == op::GRP_GETLIST => grouplist_reply(3, &[50]),
        _ => group_reply("staff", "x", 50, &["bob"]),
    };
    let daemon = stage.unix();
    for round in 0..3 {
        for request in every_lookup().iter().flatten() {
            daemon.expect(request, &ENOENT);
        }
        end_enumerations(&daemon);
        stage.dir.accounts(BOB, group, shadow);
        // Old enough to be kept in memory, which must not outlive it.
        if round > 0 {
            stage::settle(&stage.dir.join("shadow"));
        }
        for request in every_lookup().iter().flatten() {
            daemon.expect(request, &replies(request));
        }
        end_enumerations(&daemon);
        for name in ["passwd", "group", "shadow"] {
            fs::remove_file(stage.dir.join(name)).expect("remove a file");
        }
    }
}

#[test]
fn what_is_no_file_fails_and_does_not_block() {
    let stage = Stage::new();
    for name in ["passwd", "group"] {
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        rustix::fs::mkfifoat(rustix::fs::CWD, stage.dir.join(name), mode).expect("a FIFO");
    }
    let _listener = UnixListener::bind(stage.dir.join("shadow")).expect("a socket");
    let mut daemon = stage.unix();
    for request in every_lookup().iter().flatten() {
        let status = daemon.ask(request, 1)[0];
        assert!(status != 0 && status != 255, "{request:02x?} is answered {status}");
    }
    end_enumerations(&daemon);
    assert_eq!(daemon.finish(), Some(0));
}

#[test]
fn the_null_device_is_an_empty_file() {
    let stage = Stage::new();
    for name in ["passwd", "group", "shadow"] {
        symlink("/dev/null", stage.dir.join(name)).expect("a link");
    }
    let daemon = stage.unix();
    for request in every_lookup().iter().flatten() {
        if request[0] == op::GRP_GETLIST {
            daemon.expect(request, &grouplist_reply(3, &[]));
        } else {
            daemon.expect(request, &NOT_FOUND);
        }
    }
}

/// Asks for a user in the device of zeros.
#[track_caller]
fn ask_endless(request: &[u8]) {
    let stage = Stage::new();
    symlink("/dev/zero", stage.dir.join("passwd")).expect("a link");
    let daemon = stage.unix();
    let status = daemon.ask(request, 1)[0];
    assert!(status != 0 && status != 255, "{request:02x?} is answered {status}");
}

#[test]
fn a_lookup_in_a_device_without_end_fails() {
    ask_endless(&by_name(op::PWD_GETBYNAME, "bob"));
    ask_endless(&by_id(op::PWD_GETBYUID, 1));
}

#[test]
fn an_enumeration_of_a_device_without_end_fails() {
    ask_endless(&[op::PWD_GET]);
}

#[test]
fn a_link_that_is_turned_elsewhere_leads_to_the_new_file() {
    let stage = Stage::new();
    let file = |name: &str, gecos: &str| {
        stage.dir.write(name, format!("bob:x:1001:1000:{gecos}:/home/bob:/bin/sh\n"))
    };
    let targets = [file("one", "one"), file("two", "two")];
    let (link, new) = (stage.dir.join("passwd"), stage.dir.join("passwd.new"));
    symlink(&targets[0], &link).expect("a link");
    let daemon = stage.unix();
    for round in 0..6 {
        let gecos = ["one", "two"][round % 2];
        let reply = passwd_reply(["bob", "x"], 1001, 1000, [gecos, "/home/bob", "/bin/sh"]);
        daemon.expect(&by_name(op::PWD_GETBYNAME, "bob"), &reply);
        daemon.expect(&by_id(op::PWD_GETBYUID, 1001), &reply);
        symlink(&targets[(round + 1) % 2], &new).expect("a link");
        fs::rename(&new, &link).expect("rename a link");
    }
}
