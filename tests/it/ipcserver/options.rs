//! The command line of `ipcserver`: what is refused, what clusters and repeats, the socket and
//! its mode, the change of ids. What s6-ipcserver can do runs with that first.

use crate::support::ipcserver::{Bench, NOBODY, OURS, echo, for_each_server, read_to_end};
use crate::support::stage::Stage;
use crate::support::{Finished, Server, is_root, run_to_end, skip, wait_until};
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;

/// Runs it with these arguments; it is expected to end by itself.
#[track_caller]
fn refused(bench: &Bench, arguments: &[&str]) -> Finished {
    let mut command = bench.command();
    command.args(arguments).current_dir(bench.dir.path());
    run_to_end(command)
}

/// It must end with this code and say why in its first line, and on standard error only. The
/// usage may follow.
#[track_caller]
fn assert_refused(bench: &Bench, arguments: &[&str], code: i32) -> String {
    let end = refused(bench, arguments);
    let program = bench.kind.program;
    assert_eq!(end.code, Some(code), "{program} {arguments:?}: {end:?}");
    assert!(end.stderr.starts_with(program), "{arguments:?}: {end:?}");
    let lines = end.stderr.lines().count();
    assert!(lines == 1 || code == 100, "{arguments:?}: {end:?}");
    assert_eq!(end.stdout, b"", "{arguments:?}: {end:?}");
    end.stderr
}

/// The line of the log that says how many connections there may be.
#[track_caller]
fn status(server: &Server) -> String {
    let find = || {
        let log = server.stderr();
        let (_, rest) = log.split_once("status: ")?;
        rest.split_once('\n').map(|(line, _)| line.to_owned())
    };
    wait_until("the log has a status", || find().is_some());
    find().expect("a status")
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let wrong: [&[&str]; 21] = [
        &[],
        &["s"],
        &["-v", "s"],
        &["--", "s"],
        &["-Z", "s", "true"],
        &["-vZ", "s", "true"],
        &["-c"],
        &["-c", "x", "s", "true"],
        &["-cx", "s", "true"],
        &["-c", "", "s", "true"],
        &["-c", "-5", "s", "true"],
        &["-c", "5x", "s", "true"],
        &["-C", "x", "s", "true"],
        &["-b", "x", "s", "true"],
        &["-a", "999", "s", "true"],
        &["-a", "x", "s", "true"],
        &["-a", "", "s", "true"],
        &["-u", "x", "s", "true"],
        &["-g", "-1", "s", "true"],
        &["-G", "x", "s", "true"],
        &["-u", "4294967296", "s", "true"],
    ];
    for_each_server("usage", |bench| {
        for arguments in wrong {
            assert_refused(bench, arguments, 100);
            assert!(!bench.dir.join("s").exists(), "{arguments:?} left a socket");
        }
    });
}

#[test]
fn options_end_at_the_socket() {
    for_each_server("options end", |bench| {
        let server = bench.start(&[], &["echo", "-c", "5", "-v", "--"]);
        assert_eq!(read_to_end(&server.connect()), "-c 5 -v --\n");
    });
}

#[test]
fn two_dashes_end_the_options() {
    for_each_server("--", |bench| {
        let socket = bench.dir.join("-v");
        let mut command = bench.command();
        command.args(["-1", "--", "-v", "echo", "--", "x"]).current_dir(bench.dir.path());
        let mut server = Server::start_command(command, &socket);
        assert_eq!(read_to_end(&server.connect()), "-- x\n");
        server.stop();
        assert_eq!(server.stderr(), "");
    });
}

#[test]
fn options_cluster_and_the_last_of_two_wins() {
    let cases: [(&[&str], Option<&str>); 9] = [
        (&["-1vc100"], Some("0/100")),
        (&["-1vc", "100"], Some("0/100")),
        (&["-v", "-c5", "-c", "10"], Some("0/10")),
        (&["-v", "-c", "10", "-c5"], Some("0/5")),
        (&["-qvc7"], Some("0/7")),
        (&["-Qdvpc7"], Some("0/7")),
        (&["-vvc7", "--"], Some("0/7")),
        (&["-vq", "-c7"], None),
        (&["-vQ", "-c7"], None),
    ];
    for_each_server("clusters", |bench| {
        for (options, expected) in cases {
            let mut server = bench.start(options, &["cat"]);
            if let Some(expected) = expected {
                assert_eq!(status(&server), expected, "{options:?}");
            }
            echo(&server);
            assert_eq!(server.stop().code(), Some(0));
            if expected.is_none() {
                assert_eq!(server.stderr(), "", "{options:?}");
            }
        }
    });
}

#[test]
fn credentials_can_be_switched_off_and_on_again() {
    for_each_server("-P -p", |bench| {
        for (options, known) in
            [(&["-P", "-p"][..], true), (&["-Pp"], true), (&["-p", "-P"], false)]
        {
            let server = bench.start(options, &["sh", "-c", "echo ${IPCREMOTEEUID+known}"]);
            let said = read_to_end(&server.connect());
            assert_eq!(said.trim() == "known", known, "{options:?}");
        }
    });
}

#[test]
fn limits_out_of_range_are_brought_into_it() {
    for_each_server("limits", |bench| {
        let most = if bench.is_ours() { "8192" } else { "1000" };
        let large = if bench.is_ours() { "5000" } else { "1000" };
        for (limit, expected) in [("0", "1"), ("5000", large), ("9000", most)] {
            let server = bench.start(&["-v", "-c", limit], &["cat"]);
            assert_eq!(status(&server), format!("0/{expected}"), "-c {limit}");
            echo(&server);
        }
        for (options, count) in [
            (["-c", "20", "-C", "50"], "count 1/20\n"),
            (["-c", "20", "-C", "0"], "count 1/1\n"),
            (["-C", "20", "-c", "30"], "count 1/20\n"),
        ] {
            let mut command = bench.command();
            command.arg("-v");
            let server = bench.start_command(command, &options, &["cat"]);
            let _client = echo(&server);
            wait_until(count.trim(), || server.stderr().contains(count));
        }
    });
}

#[test]
fn a_backlog_can_be_named() {
    for_each_server("-b", |bench| {
        for backlog in ["0", "1", "5", "100000"] {
            let server = bench.start(&["-b", backlog], &["cat"]);
            echo(&server);
        }
    });
}

#[test]
fn the_option_l_of_older_servers_is_taken_and_ignored() {
    // s6 2.11.3 has it no longer; the documentation of nsss still has.
    let bench = Bench::new(OURS);
    for options in [&["-l0"][..], &["-l", "0"], &["-vl0"], &["-l", "0", "-l1"]] {
        let server = bench.start(options, &["cat"]);
        echo(&server);
    }
    assert_refused(&bench, &["-l"], 100);
}

#[test]
fn the_socket_has_the_mode_that_is_asked_for_whatever_the_umask() {
    for_each_server("-a", |bench| {
        for umask in ["umask 0", "umask 077"] {
            for (options, mode) in [
                (&[][..], 0o777),
                (&["-a", "0700"], 0o700),
                (&["-a", "700"], 0o700),
                (&["-a0666"], 0o666),
                (&["-a", "0600", "-a", "0660"], 0o660),
            ] {
                let command = bench.command_after(umask);
                let server = bench.start_command(command, options, &["true"]);
                let socket = fs::metadata(server.socket()).expect("the socket");
                assert!(socket.file_type().is_socket());
                let got = socket.permissions().mode() & 0o7777;
                assert_eq!(got, mode, "{umask}, {options:?}: {got:o}");
            }
        }
    });
}

#[test]
fn a_path_of_107_bytes_is_bound_and_a_longer_one_refused() {
    for_each_server("long paths", |bench| {
        let longest = "x".repeat(107);
        let mut command = bench.command();
        command.args(["-1", &longest, "true"]).current_dir(bench.dir.path());
        Server::start_command(command, &bench.dir.join(&longest));
        assert!(bench.dir.join(&longest).exists());
        assert_refused(bench, &[&"y".repeat(108), "true"], 111);
        assert_refused(bench, &[&"y".repeat(5000), "true"], 111);
    });
}

#[test]
fn a_socket_that_cannot_be_bound_is_named() {
    for_each_server("unable to bind", |bench| {
        let said = assert_refused(bench, &["missing/s", "true"], 111);
        assert!(said.contains("missing/s"), "{said}");
    });
}

#[test]
fn the_directory_that_is_missing_can_be_made_as_the_error_says() {
    let stage = Stage::new();
    let socket = stage.dir.join("a/b/s");
    for (name, words) in [
        ("ipcserver", vec![socket.to_str().unwrap(), "true"]),
        ("ipcserver", vec!["-D", socket.to_str().unwrap(), "true"]),
        ("nscd", vec!["-S", socket.to_str().unwrap(), "3", "nsssd-unix", ""]),
        ("nscd", vec!["-S", "n", "--nsss", socket.to_str().unwrap(), "3", "nsssd-unix", ""]),
    ] {
        let mut command = stage.applet(name);
        command.args(&words).current_dir(stage.dir.path());
        let said = run_to_end(command).stderr;
        let hint = said.split_once("(first run ").and_then(|(_, rest)| rest.split_once(')'));
        let (hint, cause) = hint.unwrap_or_else(|| panic!("{words:?}: {said}"));
        assert!(cause.starts_with(": No such file"), "{said}");
        // nscd makes the last one itself.
        let made = socket.parent().filter(|_| words[0] != "-S" || words[2] == "--nsss");
        let made = made.unwrap_or(socket.parent().unwrap().parent().unwrap());
        assert_eq!(hint, format!("mkdir -p {}", made.display()));
    }
}

#[test]
fn a_socket_that_nobody_listens_on_is_replaced() {
    for_each_server("a stale socket", |bench| {
        for options in [&[][..], &["-d"], &["-D", "-d"]] {
            let _ = fs::remove_file(bench.dir.join("s"));
            drop(UnixListener::bind(bench.dir.join("s")).expect("a stale socket"));
            // A program that another test starts has it as well, until it is run.
            wait_until("a socket of nobody", || UnixStream::connect(bench.dir.join("s")).is_err());
            let server = bench.start(options, &["cat"]);
            echo(&server);
        }
    });
}

#[test]
fn with_capital_d_no_socket_is_replaced() {
    for_each_server("-D", |bench| {
        drop(UnixListener::bind(bench.dir.join("s")).expect("a stale socket"));
        for options in [&["-D"][..], &["-d", "-D"], &["-dD"]] {
            let mut arguments = options.to_vec();
            arguments.extend(["s", "true"]);
            let said = assert_refused(bench, &arguments, 111);
            assert!(said.contains(" s"), "{said}");
        }
        let kept = fs::metadata(bench.dir.join("s")).expect("the old socket");
        assert!(kept.file_type().is_socket());
    });
}

/// s6-ipcserver takes the path from the server that listens on it.
#[test]
fn a_socket_that_somebody_listens_on_is_refused() {
    let bench = Bench::new(OURS);
    let first = bench.start(&[], &["cat"]);
    let path = bench.dir.join("s");
    let path = path.to_str().expect("text");
    let said = assert_refused(&bench, &[path, "true"], 111);
    assert!(said.contains(path), "{said}");
    echo(&first);

    // Also one that is too busy to accept.
    let other = bench.dir.join("busy");
    let _listener = UnixListener::bind(&other).expect("a listener");
    let other = other.to_str().expect("text");
    let said = assert_refused(&bench, &[other, "true"], 111);
    assert!(said.contains(other), "{said}");
}

/// s6-ipcserver deletes a file and puts its socket there.
#[test]
fn what_is_no_socket_is_never_deleted() {
    let bench = Bench::new(OURS);
    bench.dir.write("s", "precious\n");
    fs::create_dir(bench.dir.join("directory")).expect("a directory");
    std::os::unix::fs::symlink("s", bench.dir.join("link")).expect("a link");
    for name in ["s", "directory", "link"] {
        let said = assert_refused(&bench, &[name, "true"], 111);
        assert!(said.contains(name), "{said}");
    }
    assert_eq!(fs::read_to_string(bench.dir.join("s")).expect("the file"), "precious\n");
    assert!(bench.dir.join("directory").is_dir());
    assert!(bench.dir.join("link").is_symlink());
}

#[test]
fn a_live_socket_of_another_user_is_refused() {
    if !is_root() {
        return skip("a_live_socket_of_another_user_is_refused", "needs root");
    }
    // To a user without write permission a live socket looks like no stale one either.
    let bench = Bench::new(OURS).open_to_all();
    bench.dir.chmod("", 0o777);
    let first = bench.start(&["-a", "0700"], &["cat"]);
    let mut command = bench.command();
    command.args([first.socket().as_os_str(), "true".as_ref()]).uid(NOBODY).gid(NOBODY);
    let end = run_to_end(command);
    assert_eq!(end.code, Some(111), "{end:?}");
    echo(&first);
}

#[test]
fn ids_are_changed_after_the_socket_is_bound() {
    if !is_root() {
        return skip("ids_are_changed_after_the_socket_is_bound", "needs root");
    }
    // Options, uid, gid, all groups.
    let cases: [(&[&str], &str, &str, &str); 8] = [
        (&["-u", "1234", "-g", "2345", "-G", "7"], "1234", "2345", "2345 7"),
        (&["-u1234", "-g2345", "-G7,8"], "1234", "2345", "2345 7 8"),
        (&["-G", "5,6"], "0", "0", "0 5 6"),
        (&["-g", "1234", "-G", ""], "0", "1234", "1234"),
        (&["-U"], "1111", "2222", "2222 33 44"),
        (&["-U", "-u", "99"], "99", "2222", "2222 33 44"),
        (&["-u", "99", "-U"], "1111", "2222", "2222 33 44"),
        (&["-u", "5", "-u", "1234", "-g", "2345", "-G", "7"], "1234", "2345", "2345 7"),
    ];
    for_each_server("-u -g -G -U", |bench| {
        for (options, uid, gid, groups) in cases {
            // A directory that the new user may not write to, and root's socket.
            let mut command = bench.command();
            command.envs([("UID", "1111"), ("GID", "2222"), ("GIDLIST", "33,44")]);
            let script = "id -u; id -g; id -G";
            let server = bench.start_command(command, options, &["sh", "-c", script]);
            let said = read_to_end(&server.connect());
            assert_eq!(said, format!("{uid}\n{gid}\n{groups}\n"), "{options:?}");
            // The server itself runs as that user, not only its programs.
            let status = format!("/proc/{}/status", server.pid().as_raw_nonzero());
            let status = fs::read_to_string(status).expect("its status");
            let ids = format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n");
            assert!(status.contains(&ids), "{options:?}: {status}");
            let ids = format!("Gid:\t{gid}\t{gid}\t{gid}\t{gid}\n");
            assert!(status.contains(&ids), "{options:?}: {status}");
        }
    });
}

#[test]
fn ids_from_the_environment_are_not_passed_on() {
    if !is_root() {
        return skip("ids_from_the_environment_are_not_passed_on", "needs root");
    }
    for_each_server("-U", |bench| {
        let mut command = bench.command();
        command.envs([("UID", "1111"), ("GID", "2222"), ("GIDLIST", "33,44")]);
        let server = bench.start_command(command, &["-U"], &["env"]);
        let environment = read_to_end(&server.connect());
        for name in ["UID=", "GID=", "GIDLIST="] {
            let set = environment.lines().any(|line| line.starts_with(name));
            assert!(!set, "{environment}");
        }
    });
}

#[test]
fn ids_missing_from_the_environment_are_an_error() {
    if !is_root() {
        return skip("ids_missing_from_the_environment_are_an_error", "needs root");
    }
    for_each_server("-U without UID", |bench| {
        let mut command = bench.command();
        command.args(["-U", "s", "true"]).current_dir(bench.dir.path());
        let end = run_to_end(command);
        assert_eq!(end.code, Some(100), "{end:?}");
        assert!(end.stderr.contains("UID"), "{end:?}");
    });
}

#[test]
fn without_root_ids_cannot_be_changed() {
    for_each_server("-u as a user", |bench| {
        let bench = Bench::new(bench.kind).open_to_all();
        bench.dir.chmod("", 0o777);
        let mut command = bench.command();
        command.args(["-u", "1234", "s", "true"]).current_dir(bench.dir.path());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let end = run_to_end(command);
        assert_eq!(end.code, Some(111), "{end:?}");
    });
}
