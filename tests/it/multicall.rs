//! What nssbox does by itself: find the applet, list them; and what all applets have in common:
//! help, usage errors, the look of messages. For the links that it makes see tests/it/install.rs.
#![cfg(all(
    feature = "getent",
    feature = "ipcserver",
    feature = "nsssd-switch",
    feature = "nsssd-unix"
))]

use crate::support::{
    self, APPLETS, Finished, TempDir, by_name, is_root, nssbox, op, run_to_end, skip,
};
use std::ffi::OsStr;
use std::fs;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Each applet and the shorter name that `nssbox NAME` takes.
const SHORT: [(&str, &str); 4] = [
    ("getent", "getent"),
    ("ipcserver", "ipcserver"),
    ("nsssd-switch", "switch"),
    ("nsssd-unix", "unix"),
];

/// The executable by its own name, with an environment that lets daemons start as root.
fn command(program: &Path, arg0: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg0(arg0).args(args).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("IPCREMOTEEUID", "0").env("IPCREMOTEEGID", "0");
    command
}

#[track_caller]
fn run(arg0: &str, args: &[&str]) -> Finished {
    run_to_end(command(nssbox(), arg0, args))
}

/// Exit code 0, nothing on standard error; what it printed.
#[track_caller]
fn printed(finished: Finished) -> String {
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    String::from_utf8(finished.stdout).expect("text")
}

/// This exit code, nothing on standard output, and a first line on standard error that begins so.
#[track_caller]
fn assert_fails(finished: &Finished, code: i32, begins: &str) {
    assert_eq!(finished.code, Some(code), "{}", finished.stderr);
    assert_eq!(finished.stdout.escape_ascii().to_string(), "");
    assert!(finished.stderr.starts_with(begins), "{:?} is not {begins:?}", finished.stderr);
    assert!(finished.stderr.ends_with('\n'), "{:?}", finished.stderr);
}

fn all_names() -> String {
    APPLETS.map(|name| format!("{name}\n")).concat()
}

#[test]
fn list_names_all_applets_in_order() {
    assert_eq!(printed(run("nssbox", &["--list"])), all_names());
    // By any name that is no applet's, with or without a directory.
    assert_eq!(printed(run("/opt/bin/nssbox-0.1", &["--list"])), all_names());
}

#[test]
fn every_help_fits_a_terminal_and_every_applet_tells_its_version() {
    let fits = |name: &str, help: &str| {
        assert!(help.lines().count() <= 24, "{name}: {help}");
        let wide = help.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{name}");
    };
    let help = printed(run("nssbox", &["help"]));
    fits("nssbox", &help);
    for name in APPLETS {
        fits(name, &printed(run(name, &["--help"])));
        for option in ["--version", "-V"] {
            let told = printed(run(name, &[option]));
            assert_eq!(told, format!("{name} (nssbox {})\n", env!("CARGO_PKG_VERSION")));
        }
        let line = help.lines().find(|line| line.trim_start().starts_with(&format!("{name} ")));
        assert!(line.is_some_and(|line| line.len() > 30), "{name} has a line of {help}");
    }
    assert_eq!(printed(run("nssbox", &[])), help);
    assert_eq!(printed(run("nssbox", &["-V"])), printed(run("nssbox", &["--version"])));
}

#[test]
fn help_and_version_go_to_standard_output() {
    let help = printed(run("nssbox", &["--help"]));
    assert!(help.starts_with("Usage: nssbox "), "{help}");
    for option in ["--list", "--install", "--help", "--version"] {
        assert!(help.contains(option), "{help}");
    }
    assert_eq!(printed(run("nssbox", &["-h"])), help);
    // Called without a word it says what it would take.
    assert_eq!(printed(run("nssbox", &[])), help);
    let version = printed(run("nssbox", &["--version"]));
    assert_eq!(version, format!("nssbox {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_applet_helps_under_each_of_its_names() {
    for (name, short) in SHORT {
        let help = printed(run("nssbox", &[name, "--help"]));
        let first = help.lines().next().unwrap_or_default();
        assert!(first.starts_with(&format!("Usage: {name} ")), "{first}");
        assert!(help.ends_with('\n') && help.contains("Exit codes:"), "{help}");
        for (arg0, args) in [
            ("nssbox", &[short, "--help"][..]),
            (name, &["--help"]),
            (&format!("/usr/local/bin/{name}"), &["--help"]),
            (&format!("./{name}"), &["--help"]),
            (&format!("../{name}"), &["--help", "more", "words"]),
            // An argument that is an applet's name is one all the same.
            (name, &["--help", "getent"]),
            // Behind other options, whatever follows.
            (name, &["-1", "--help", "-Z"]),
            ("nssbox", &[short, "-v", "--help"]),
        ] {
            assert_eq!(printed(run(arg0, args)), help, "{arg0} {args:?}");
        }
    }
}

#[test]
fn every_applet_knows_the_short_forms_and_no_help_of_another_one() {
    for (name, _) in SHORT {
        let help = printed(run(name, &["--help"]));
        assert_eq!(printed(run(name, &["-?"])), help, "{name}");
        assert_eq!(printed(run(name, &["--usage"])), help, "{name}");
    }
    // What a backend is given is no question of ours.
    let finished = run("getent", &["-s", "unix --help", "passwd"]);
    assert_fails(&finished, 1, "getent: fatal: unknown option --help");
    assert_eq!(finished.stdout, b"");
}

#[test]
fn an_applet_does_its_work_under_each_of_its_names() {
    let dir = TempDir::new();
    let line = "one:x:1001:1002:One:/home/one:/bin/sh\n";
    dir.accounts(line, "", "");
    let etc = dir.as_str();
    let service = format!("unix -d {etc}");
    let asked = ["-s", &service, "passwd", "one"];
    let through = |first: &'static str| [&[first][..], &asked].concat();
    assert_eq!(printed(run("getent", &asked)), line);
    assert_eq!(printed(run("/x/getent", &asked)), line);
    assert_eq!(printed(run("nssbox", &through("getent"))), line);
    assert_eq!(printed(run("whatever", &through("getent"))), line);

    let request = by_name(op::PWD_GETBYNAME, "one");
    let reply = support::passwd_reply(["one", "x"], 1001, 1002, ["One", "/home/one", "/bin/sh"]);
    let unix = ["-d", etc];
    let own = nssbox().to_str().expect("a path that is text");
    let switch = ["0", own, "unix", "-d", etc, ""];
    for (arg0, args) in [
        ("nsssd-unix", unix.to_vec()),
        ("nssbox", [&["nsssd-unix"][..], &unix].concat()),
        ("nssbox", [&["unix"][..], &unix].concat()),
        ("nsssd-switch", switch.to_vec()),
        ("nssbox", [&["nsssd-switch"][..], &switch].concat()),
        ("nssbox", [&["switch"][..], &switch].concat()),
    ] {
        let command = command(nssbox(), arg0, &args);
        let finished = support::run_to_end_with_input(command, &request);
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{arg0} {args:?}");
        assert_eq!(finished.stdout, reply, "{arg0} {args:?}");
    }
}

#[test]
fn an_unknown_applet_is_named_and_exits_127() {
    for (arg0, args, named) in [
        ("nssbox", &["nope"][..], "nope"),
        ("nssbox", &["nope", "--help"], "nope"),
        ("nssbox", &["--nope"], "--nope"),
        ("nssbox", &[""], ""),
        ("nssbox", &["nssbox"], "nssbox"),
        ("nssbox", &["Getent"], "Getent"),
        ("nssbox", &["/bin/getent"], "/bin/getent"),
        ("nssbox", &["-l"], "-l"),
        ("/opt/nssbox-0.1", &["nope"], "nope"),
        ("nope", &[], "nope"),
        ("/bin/nope", &[], "nope"),
        ("nope", &["passwd"], "nope"),
    ] {
        let finished = run(arg0, args);
        assert_eq!(finished.stderr, format!("nssbox: fatal: no such applet: {named}\n"));
        assert_eq!((finished.code, finished.stdout.as_slice()), (Some(127), &b""[..]), "{args:?}");
    }
}

#[test]
fn names_that_are_no_text_are_unknown_applets() {
    let name = OsStr::from_bytes(b"get\xff\x1b[2Jent");
    let mut as_word = Command::new(nssbox());
    as_word.arg0("nssbox").arg(name);
    let mut as_name = Command::new(nssbox());
    as_name.arg0(name);
    for command in [as_word, as_name] {
        let finished = run_to_end(command);
        assert_fails(&finished, 127, "nssbox: fatal: no such applet: get");
        assert!(!finished.stderr.contains('\x1b'), "{:?}", finished.stderr);
    }
}

#[test]
fn usage_errors_go_to_standard_error_with_the_applets_code() {
    for (name, args, code, what) in [
        ("nsssd-unix", "-x", 100, "unknown option -x"),
        ("nsssd-unix", "-vx", 100, "unknown option -x"),
        ("nsssd-unix", "--nope", 100, "unknown option --nope"),
        ("nsssd-unix", "-d", 100, "missing value of option -d"),
        ("nsssd-switch", "-x", 100, "unknown option -x"),
        ("nsssd-switch", "-t", 100, "missing value of option -t"),
        ("nsssd-switch", "-t x 0 a ", 100, "not a number that fits option -t"),
        ("nsssd-switch", "-t -1 0 a ", 100, "not a number that fits option -t"),
        ("nsssd-switch", "-m", 100, "no defined backends"),
        ("nsssd-switch", "x a ", 100, "bitfield is not a number: x"),
        ("ipcserver", "-1", 100, "missing path and program"),
        ("ipcserver", "s", 100, "missing program"),
        ("ipcserver", "-Z s cat", 100, "unknown option -Z"),
        ("ipcserver", "-c", 100, "missing value of option -c"),
        ("ipcserver", "-c x s cat", 100, "not a number that fits option -c"),
        ("ipcserver", "-a 888 s cat", 100, "not an octal mode up to 0777: 888"),
        ("ipcserver", "-u x s cat", 100, "not a user or group id: x"),
        ("getent", "-x", 64, "unknown option -x"),
        ("getent", "--nope", 64, "unknown option --nope"),
        ("getent", "-s", 64, "missing value of option -s"),
        ("getent", "-S", 64, "missing value of option -S"),
        ("getent", "-i", 1, "wrong number of arguments"),
        ("getent", "nope", 1, "unknown database: nope"),
    ] {
        let want = format!("{name}: fatal: {what} (see {name} --help)\n");
        let words: Vec<&str> = args.split(' ').collect();
        let (_, short) = SHORT.iter().find(|(long, _)| *long == name).expect("an applet");
        // However it was called, it goes by its name.
        for finished in [run(name, &words), run("nssbox", &[&[*short][..], &words].concat())] {
            assert_eq!(finished.stderr, want, "{name} {args}");
            assert_eq!((finished.code, finished.stdout.as_slice()), (Some(code), &b""[..]));
        }
    }
}

#[test]
fn other_errors_are_one_line_that_names_what_failed() {
    let dir = TempDir::new();
    let missing = dir.join("missing/s");
    let missing = missing.to_str().expect("plain names");
    let gone = "No such file or directory";
    for (name, args, code, begins, ends) in [
        ("nsssd-switch", vec!["0"], 100, "missing block", ""),
        ("nsssd-switch", vec!["0", ""], 100, "empty block", ""),
        ("ipcserver", vec![missing, "cat"], 111, "unable to bind", gone),
        ("getent", vec!["-S", missing, "passwd"], 1, "unable to connect to", gone),
        ("getent", vec!["netgroup"], 1, "database is not served", "netgroup"),
    ] {
        let finished = run(name, &args);
        assert_fails(&finished, code, &format!("{name}: fatal: {begins}"));
        let text = finished.stderr;
        assert!(text.ends_with(&format!("{ends}\n")) && text.lines().count() == 1, "{text}");
        assert!(!args.contains(&missing) || text.contains(missing), "{text}");
    }
}

#[test]
fn a_daemon_started_as_root_wants_to_know_its_client() {
    if !is_root() {
        return skip("a_daemon_started_as_root_wants_to_know_its_client", "needs root");
    }
    for (name, args) in [("nsssd-unix", &[][..]), ("nsssd-switch", &["0", "nsssd-unix", ""])] {
        let mut nameless = command(nssbox(), name, args);
        nameless.env_remove("IPCREMOTEEGID");
        let want = format!("{name}: fatal: IPCREMOTEEGID not set\n");
        assert_fails(&run_to_end(nameless), 100, &want);
        for bad in ["", "x", "-1", "4294967296", " 1"] {
            let mut wrong = command(nssbox(), name, args);
            wrong.env("IPCREMOTEEUID", bad);
            let want = format!("{name}: fatal: invalid $IPCREMOTEEUID\n");
            assert_fails(&run_to_end(wrong), 100, &want);
        }
    }
}

/// Runs with standard output as given; exit code and standard error.
#[track_caller]
fn run_into(arg0: &str, args: &[&str], stdout: impl Into<Stdio>) -> (Option<i32>, String) {
    let mut command = command(nssbox(), arg0, args);
    command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    let output = command.output().expect("nssbox");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// What prints a text and is done.
fn printing() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut all =
        vec![("nssbox", vec!["--list"]), ("nssbox", vec!["--help"]), ("nssbox", vec!["--version"])];
    all.extend(APPLETS.map(|name| (name, vec!["--help"])));
    all.extend(APPLETS.map(|name| (name, vec!["--version"])));
    all
}

#[test]
fn a_text_that_cannot_be_written_is_an_error() {
    for (arg0, args) in printing() {
        if let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") {
            let (code, stderr) = run_into(arg0, &args, full);
            assert_eq!(code, Some(1), "{arg0} {args:?} into /dev/full");
            let told =
                format!("{arg0}: fatal: unable to write to stdout: No space left on device\n");
            assert_eq!(stderr, told, "{args:?}");
        }
        // Shut down, and not closed: a child that another test starts meanwhile has a copy.
        let (reader, writer) = UnixStream::pair().expect("a socket pair");
        reader.shutdown(Shutdown::Both).expect("shutdown");
        let (code, stderr) = run_into(arg0, &args, OwnedFd::from(writer));
        assert_eq!(code, Some(1), "{arg0} {args:?} into a socket without a reader: {stderr}");
    }
}

#[test]
fn closed_descriptors_are_no_reason_to_panic() {
    let shell = |script: &str, arg0: &str, args: &[&str]| {
        let dir = TempDir::new();
        support::link(nssbox(), dir.path(), arg0);
        let mut command = command(Path::new("sh"), "sh", &["-c", script]);
        command.arg(dir.join(arg0)).args(args);
        run_to_end(command)
    };
    for (arg0, args) in printing() {
        for script in ["exec \"$0\" \"$@\" >&-", "exec \"$0\" \"$@\" <&- >&- 2>&-"] {
            let finished = shell(script, arg0, &args);
            // Rust opens /dev/null in place of what is closed.
            assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{arg0} {args:?}");
        }
    }
    let finished = shell("exec \"$0\" \"$@\" 2>&-", "nsssd-unix", &["-x"]);
    assert_eq!((finished.code, finished.stdout.as_slice()), (Some(100), &b""[..]));
    let finished = shell("exec \"$0\" \"$@\" <&-", "nsssd-unix", &[]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_daemon_that_cannot_write_its_reply_says_so() {
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
        return skip("a_daemon_that_cannot_write_its_reply_says_so", "no /dev/full");
    };
    let dir = TempDir::new();
    dir.accounts("", "", "");
    let input = dir.write("input", by_name(op::PWD_GETBYNAME, "one"));
    let mut command = command(nssbox(), "nsssd-unix", &["-d", dir.as_str()]);
    command.stdin(fs::File::open(input).expect("the request")).stdout(full).stderr(Stdio::piped());
    let output = command.output().expect("nsssd-unix");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let want = "nsssd-unix: fatal: unable to write to stdout: No space left on device\n";
    assert_eq!((output.status.code(), stderr.as_str()), (Some(111), want));
}
