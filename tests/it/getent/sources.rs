//! Where `getent` gets its answers: a server at a socket, the local files, a list of backends.
//! For servers that fail see tests/it/getent/hostile.rs.
#![cfg(all(feature = "getent", feature = "ipcserver", feature = "nsssd-switch"))]

use super::asking::{
    FATAL, ONE, ROOT, WARNING, answering, assert_fails, assert_prints, getent, local,
};
use super::glibc::{Answer, Whose, ask, call, ours};
use crate::support::{Finished, Server, TempDir, have_program, skip, tool};
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs a case with a server of each kind over the switch and the files of a directory.
#[track_caller]
fn with_servers(case: &str, dir: &TempDir, run: impl Fn(&str)) {
    let bin = dir.bin();
    for program in ["ipcserver", "s6-ipcserver"] {
        if !have_program(program) && program != "ipcserver" {
            skip(case, "s6-ipcserver is not installed, only ours was run");
            continue;
        }
        println!("with {program}:");
        let socket = dir.join("s");
        let mut command = tool(&bin, program);
        command.arg("-1").arg(&socket);
        command.args(["nsssd-switch", "0", "nsssd-unix", "-d", dir.as_str(), ""]);
        let mut server = Server::start_command(command, &socket);
        run(socket.to_str().expect("plain names"));
        server.stop();
    }
}

#[test]
fn a_server_answers_as_the_files_do() {
    let group = "root:x:0:\nwheel:x:10:root,one\nempty:x:11:\n";
    let shadow = "root:*:19000:0:99999:7:::\none:!:1::::::\n";
    let (dir, service) = local(&format!("{ROOT}{ONE}"), group, shadow);
    with_servers("a_server_answers_as_the_files_do", &dir, |socket| {
        for words in [
            "passwd",
            "group",
            "shadow",
            "passwd root 1001 nope",
            "passwd one root",
            "group 10 root wheel",
            "shadow one root",
            "shadow 0",
            "initgroups root one nope",
            "initgroups",
        ] {
            let words: Vec<&str> = words.split(' ').collect();
            let served = getent(["-S", socket].iter().chain(&words));
            let read = getent(["-s", &service].iter().chain(&words));
            assert_eq!(Answer::from(served), Answer::from(read), "{words:?}");
        }
        assert_prints(&getent(["-S", socket, "passwd", "one"]), ONE);
        // Options may stand behind the keys.
        assert_prints(&getent(["passwd", "one", "-S", socket]), ONE);
    });
}

#[test]
fn a_large_group_comes_whole_through_a_server() {
    let members: Vec<String> = (0..100_000).map(|n| format!("m{n:06}")).collect();
    let big = format!("big:x:77:{}\n", members.join(","));
    let (dir, service) = local(ROOT, &format!("small:x:5:one\n{big}last:x:6:\n"), "");
    assert_prints(&getent(["-s", &service, "group", "big"]), &big);
    with_servers("a_large_group_comes_whole_through_a_server", &dir, |socket| {
        assert_prints(
            &getent(["-S", socket, "group", "big", "5"]),
            &format!("{big}small:x:5:one\n"),
        );
        assert_prints(&getent(["-S", socket, "group", "77"]), &big);
        let all = format!("small:x:5:one\n{big}last:x:6:\n");
        assert_prints(&getent(["-S", socket, "group"]), &all);
    });
}

#[test]
fn a_user_in_thousands_of_groups_comes_whole_through_a_server() {
    let group: String = (1..=5000).map(|n| format!("g{n}:x:{n}:u1,x{n}\n")).collect();
    let gids: String = (1..=5000).map(|n| format!(" {n}")).collect();
    let (dir, _) = local(ROOT, &group, "");
    with_servers("a_user_in_thousands_of_groups_comes_whole_through_a_server", &dir, |socket| {
        let line = format!("u1                   {gids}\n");
        assert_prints(&getent(["-S", socket, "initgroups", "u1"]), &line);
        let lines = format!("{:21} 4096\n{line}{:21} 1\n", "x4096", "x1");
        assert_prints(&getent(["-S", socket, "initgroups", "x4096", "u1", "x1"]), &lines);
    });
}

/// What `nsssd-switch -m` refuses is told, and no part of it is printed.
#[test]
fn more_groups_than_a_merge_may_have_are_a_failure() {
    let group: String = (1..=5000).map(|n| format!("g{n}:x:{n}:u1\n")).collect();
    let (dir, _) = local(ROOT, &group, "");
    let bin = dir.bin();
    let program = ["nsssd-switch", "-m", "0", "nsssd-unix", "-d", dir.as_str(), ""];
    let server = Server::start(&bin, dir.path(), &[], &program);
    let finished = getent(["-S", server.socket().to_str().unwrap(), "initgroups", "u1"]);
    let end = "Numerical result out of range";
    assert_fails(&finished, 1, b"", WARNING, end);
}

#[test]
fn without_an_option_the_server_is_asked_and_else_the_files() {
    let test = "without_an_option_the_server_is_asked_and_else_the_files";
    let run = TempDir::new();
    let files = TempDir::new();
    files.accounts("files:x:1:1:::\n", "", "");
    let covers = [
        (run.path().to_owned(), "/run"),
        (files.join("passwd"), "/etc/passwd"),
        (files.join("group"), "/etc/group"),
    ];
    let calls = [
        call(["passwd", "files"]),
        call(["passwd", "server"]),
        call(["passwd"]),
        call(["initgroups", "u"]),
    ];
    let nobody = |dir: &Path| {
        fs::create_dir_all(dir).expect("a directory");
        drop(UnixListener::bind(dir.join("s")).expect("a socket"));
    };
    let by_files = vec![
        Answer::new(0, "files:x:1:1:::\n"),
        Answer::new(2, ""),
        Answer::new(0, "files:x:1:1:::\n"),
        Answer::new(0, "u                    \n"),
    ];
    // No socket, and then one at which nobody listens.
    let Some(answers) = ask(test, Whose::Ours, &covers, &calls) else { return };
    assert_eq!(answers, by_files);
    let place = run.join("service/nsssd");
    nobody(&place);
    assert_eq!(ask(test, Whose::Ours, &covers, &calls), Some(by_files));

    let served = TempDir::new();
    served.accounts("server:x:2:2:::\n", "g:x:7:u\n", "");
    let bin = served.bin();
    let socket = place.join("s");
    let mut command = tool(&bin, "ipcserver");
    command.arg("-1").arg(&socket).args(["nsssd-unix", "-d", served.as_str()]);
    let _server = Server::start_command(command, &socket);
    let by_server = vec![
        Answer::new(2, ""),
        Answer::new(0, "server:x:2:2:::\n"),
        Answer::new(0, "server:x:2:2:::\n"),
        Answer::new(0, "u                     7\n"),
    ];
    assert_eq!(ask(test, Whose::Ours, &covers, &calls), Some(by_server));
}

#[test]
fn nobody_at_the_named_socket_is_an_error_that_names_it() {
    let dir = TempDir::new();
    let missing = dir.join("missing");
    let stale = dir.join("stale");
    drop(UnixListener::bind(&stale).expect("a socket"));
    let file = dir.write("file", "");
    let long = PathBuf::from("x".repeat(109));
    for (path, cause) in [
        (&missing, "No such file or directory"),
        (&stale, "Connection refused"),
        (&file, "Connection refused"),
        (&dir.path().to_owned(), "Connection refused"),
        (&long, "File name too long"),
    ] {
        let path = path.to_str().expect("plain names");
        let ends = format!("{path}: {cause}");
        for words in [&["passwd", "root"][..], &["group"], &["initgroups", "root"]] {
            let finished = getent(["-S", path].iter().chain(words));
            assert_fails(&finished, 1, b"", "getent: fatal: unable to connect to ", &ends);
        }
    }
}

#[test]
fn a_list_of_backends_is_asked_in_order() {
    let (_a, a) =
        local("x:a:1:1:::\nonlya:a:2:2:::\n", "ga:a:1:u,v\nboth:a:9:u\n", "x:a:1::::::\n");
    let (_b, b) =
        local("x:b:3:3:::\nonlyb:b:2:2:::\n", "gb:b:2:v,u\nboth:b:9:u\n", "y:b:2::::::\n");
    let both = format!("{a}; {b}");
    let ask = |words: &str| getent(["-s", &both].into_iter().chain(words.split(' ')));
    assert_prints(&ask("passwd x onlya onlyb"), "x:a:1:1:::\nonlya:a:2:2:::\nonlyb:b:2:2:::\n");
    assert_prints(&ask("passwd 2"), "onlya:a:2:2:::\n");
    // By its number, nobody is told a name that the first has with another one.
    let stranger = ask("passwd 2 3");
    assert_eq!(stranger.code, Some(2));
    assert_eq!(stranger.stdout, b"onlya:a:2:2:::\n");
    assert_prints(&ask("passwd"), "x:a:1:1:::\nonlya:a:2:2:::\nx:b:3:3:::\nonlyb:b:2:2:::\n");
    assert_prints(&ask("shadow y x"), "y:b:2::::::\nx:a:1::::::\n");
    // Memberships are merged, a gid counts once, in the order of the first to name it.
    assert_prints(&ask("initgroups u v"), &format!("{:21} 1 9 2\n{:21} 1 2\n", "u", "v"));
    let turned = format!("{b};{a}");
    let finished = getent(["-s", &turned, "initgroups", "u"]);
    assert_prints(&finished, &format!("{:21} 2 9 1\n", "u"));
}

#[test]
fn a_bitfield_says_when_to_stop() {
    let (dir_a, a) = local("x:a:1:1:::\n", "", "");
    let (_b, b) = local("x:b:3:3:::\ny:b:4:4:::\n", "g:b:5:u\n", "");
    let ask = |bits: &str, words: &str| {
        getent(["-s", &format!("{bits}{a};{b}")].into_iter().chain(words.split(' ')))
    };
    // Bit 4: what the first does not know is unknown.
    for (bits, is_found) in
        [("", true), ("0 ", true), ("1 ", true), ("2 ", true), ("3 ", true), ("8 ", true)]
            .into_iter()
            .chain([("4 ", false), ("5 ", false), ("6 ", false), ("7 ", false), ("12 ", false)])
    {
        println!("bits {bits:?}");
        let finished = ask(bits, "passwd y");
        let want = if is_found { (Some(0), "y:b:4:4:::\n") } else { (Some(2), "") };
        let text = String::from_utf8_lossy(&finished.stdout).into_owned();
        assert_eq!((finished.code, text.as_str(), finished.stderr.as_str()), (want.0, want.1, ""));
        assert_prints(&ask(bits, "passwd x"), "x:a:1:1:::\n");
    }
    // Bit 2: its failure is the answer. A missing file is one.
    for name in ["passwd", "group"] {
        fs::remove_file(dir_a.join(name)).expect("a file to remove");
    }
    for (bits, stops) in [("", false), ("1 ", false), ("4 ", false), ("5 ", false)]
        .into_iter()
        .chain([("2 ", true), ("3 ", true), ("6 ", true), ("7 ", true)])
    {
        println!("bits {bits:?}");
        let finished = ask(bits, "passwd y");
        let members = ask(bits, "initgroups u");
        if stops {
            let ends = "No such file or directory";
            assert_fails(&finished, 2, b"", WARNING, ends);
            assert_fails(&members, 0, format!("{:21}\n", "u").as_bytes(), WARNING, ends);
        } else {
            assert_prints(&finished, "y:b:4:4:::\n");
            assert_prints(&members, &format!("{:21} 5\n", "u"));
        }
    }
}

#[test]
fn a_service_may_be_for_one_database() {
    let (_a, a) = local("x:a:1:1:::\n", "x:a:1:\n", "");
    let (_b, b) = local("x:b:2:2:::\n", "x:b:2:\n", "");
    let (for_passwd, for_group) = (format!("passwd:{a}"), format!("group:{b}"));
    let ask = |words: &[&str]| getent(words);
    assert_prints(&ask(&["-s", &for_passwd, "-s", &for_group, "passwd", "x"]), "x:a:1:1:::\n");
    assert_prints(&ask(&["-s", &for_passwd, "-s", &for_group, "group", "x"]), "x:b:2:\n");
    // The last one that fits.
    assert_prints(&ask(&["-s", &b, "-s", &for_passwd, "passwd", "x"]), "x:a:1:1:::\n");
    assert_prints(&ask(&["-s", &for_passwd, "-s", &b, "passwd", "x"]), "x:b:2:2:::\n");
    // For another database the server is asked.
    let dir = TempDir::new();
    let socket = dir.join("nobody");
    let finished = ask(&["-s", &for_group, "-S", socket.to_str().unwrap(), "passwd", "x"]);
    assert_fails(&finished, 1, b"", FATAL, "No such file or directory");
    let finished = ask(&["-s", &for_passwd, "-S", socket.to_str().unwrap(), "passwd", "x"]);
    assert_prints(&finished, "x:a:1:1:::\n");
}

#[test]
fn a_service_that_is_none_is_an_error() {
    for service in [
        "nope",
        "unix; nope",
        "0 nope",
        "passwd:nope",
        "",
        " ",
        ";",
        "unix;",
        "3",
        "nsssd-unix",
        "UNIX",
    ] {
        let finished = getent(["-s", service, "passwd", "root"]);
        assert_eq!((finished.code, finished.stdout.as_slice()), (Some(1), &b""[..]), "{service:?}");
        assert!(finished.stderr.starts_with(FATAL), "{service:?}: {}", finished.stderr);
    }
    let finished = getent(["-s", "nope", "passwd", "root"]);
    assert!(finished.stderr.contains("nope"), "{}", finished.stderr);
    let finished = getent(["-s", "unix -x", "passwd", "root"]);
    assert_eq!((finished.code, finished.stdout.as_slice()), (Some(1), &b""[..]));
    assert!(finished.stderr.contains("-x"), "{}", finished.stderr);
    // Eight are the most.
    let (_dir, one) = local(ROOT, "", "");
    let some = |n: usize| vec![one.as_str(); n].join(";");
    assert_prints(&getent(["-s", &some(8), "passwd", "root"]), ROOT);
    let finished = getent(["-s", &some(9), "passwd", "root"]);
    assert_eq!((finished.code, finished.stdout.as_slice()), (Some(1), &b""[..]));
    assert!(finished.stderr.contains("too many"), "{}", finished.stderr);
}

/// The lines of `--explain` with their times cut off, which must be there.
#[track_caller]
fn explained(finished: &Finished) -> Vec<&str> {
    let lines = finished.stderr.lines().map(|line| {
        let (said, time) = line.rsplit_once(" (").unwrap_or_else(|| panic!("no time: {line}"));
        let millis = time.strip_suffix(" ms)").unwrap_or_else(|| panic!("no time: {line}"));
        let (whole, thousandths) = millis.split_once('.').unwrap_or_else(|| panic!("{line}"));
        assert!(whole.parse::<u64>().is_ok() && thousandths.len() == 3, "{line}");
        said.strip_prefix("getent: explain: ").unwrap_or_else(|| panic!("{line}"))
    });
    lines.collect()
}

#[test]
fn explain_tells_what_each_backend_said() {
    let (dir_a, a) = local("x:a:1:1:::\n", "", "");
    let (_b, b) = local("y:b:4:4:::\n", "g:b:5:u\n", "");
    let both = format!("{a};{b}");
    let ask = |words: &str| getent(["--explain", "-s", &both].into_iter().chain(words.split(' ')));
    let (found, not_found) = ("unix: found", "unix: not found");

    let finished = ask("passwd x");
    assert_eq!(explained(&finished), [found]);
    assert_eq!((finished.code, finished.stdout.as_slice()), (Some(0), &b"x:a:1:1:::\n"[..]));
    assert_eq!(explained(&ask("passwd y")), [not_found, found]);
    assert_eq!(explained(&ask("passwd z")), [not_found, not_found]);
    assert_eq!(explained(&ask("passwd x y")), [found, not_found, found]);
    assert_eq!(explained(&ask("initgroups u")), [found, found]);
    // Options may stand behind the keys.
    assert_eq!(explained(&ask("passwd x --explain")), [found]);
    fs::remove_file(dir_a.join("passwd")).expect("a file to remove");
    let failed = "unix: failed, No such file or directory";
    assert_eq!(explained(&ask("passwd y")), [failed, found]);
}

#[test]
fn explain_has_one_line_for_a_server() {
    let (dir, _) = local(&format!("{ROOT}{ONE}"), "", "");
    let bin = dir.bin();
    let part = format!("nsssd-switch 0 nsssd-unix -d {0} | 0 nsssd-unix -d {0} |", dir.as_str());
    let program: Vec<&str> = part.split(' ').map(|w| if w == "|" { "" } else { w }).collect();
    let server = Server::start(&bin, dir.path(), &[], &program);
    let socket = server.socket().to_str().expect("plain names");
    let ask = |words: &str| getent(["--explain", "-S", socket].into_iter().chain(words.split(' ')));
    let said = |what: &str| format!("{socket}: {what}");
    assert_eq!(explained(&ask("passwd one")), [said("found")]);
    assert_eq!(explained(&ask("passwd nope")), [said("not found")]);
    assert_eq!(explained(&ask("initgroups one")), [said("found")]);

    let finished = getent(["--explain", "-S", &answering(&dir, vec![vec![13]]), "shadow", "one"]);
    assert!(finished.stderr.contains(": failed, Permission denied ("), "{}", finished.stderr);
    let finished = getent(["--explain", "-S", &answering(&dir, vec![]), "shadow", "one"]);
    assert!(finished.stderr.contains(": failed for good ("), "{}", finished.stderr);
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    if !Path::new("/dev/full").exists() {
        return skip("output_that_cannot_be_written_is_an_error", "no /dev/full");
    }
    let members = vec!["someone"; 20_000].join(",");
    let (dir, service) = local(ROOT, &format!("g:x:1:one\nbig:x:2:{members}\n"), "");
    for words in [
        &["passwd"][..],
        &["passwd", "root"],
        &["passwd", "nope", "root"],
        &["group", "big"],
        &["group"],
        &["initgroups", "one"],
        &["--help"],
        &["--version"],
    ] {
        let mut command = ours(["-s", &service].iter().chain(words));
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        command.stdin(Stdio::null()).stdout(full).stderr(Stdio::piped());
        let output = command.output().expect("getent");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {text}");
        let want = "getent: fatal: unable to write to stdout: No space left on device\n";
        assert_eq!(text, want, "{words:?}");
    }
    drop(dir);
}

/// `getent passwd | head` has seen enough: that needs no words.
#[test]
fn a_reader_that_is_gone_ends_it_quietly() {
    let members = vec!["someone"; 100_000].join(",");
    let (_dir, service) = local(ROOT, &format!("big:x:2:{members}\n"), "");
    for database in ["group", "passwd"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command: Command = ours(["-s", &service, database]);
        command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
        let output = command.output().expect("getent");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*text), (Some(1), ""), "{database}");
    }
}
