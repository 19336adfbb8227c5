//! `sv serve`: one request a connection, with what the kernel tells of who asks.

use super::folder::{Folder, objects, runit_status};
use crate::support::{
    Captured, Connection, DEADLINE, Finished, Got, Server, have_program, is_root, nssbox,
    others_can_run_it, receive_all, run_to_end, skip, wait_for_exit, wait_until,
};
use serde_json::Value;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{lchown, symlink};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

fn up() -> Vec<u8> {
    runit_status(100, 4242, b'u', 0, 1)
}

/// What a client gets that sends these bytes, and then no more: the objects, the exit code, what was
/// logged.
fn ask_with(folder: &Folder, args: &[&str], request: &[u8]) -> (Vec<Value>, i32, String) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let services = folder.services();
    let mut command = folder.command("sv", &["serve", "-w", "0", "-d"]);
    let stderr = Captured::new();
    command.arg(services).args(args).stdin(OwnedFd::from(theirs.try_clone().unwrap()));
    command.stdout(OwnedFd::from(theirs)).stderr(stderr.stdio());
    let mut child = command.spawn().unwrap();
    drop(command);
    let client = Connection::new(ours);
    let _ = client.try_send(request);
    client.half_close();
    let told = receive_all(&client);
    let exit = wait_for_exit(&mut child).code().unwrap();
    (objects(&told), exit, stderr.text())
}

fn ask(folder: &Folder, request: &str) -> Vec<Value> {
    ask_with(folder, &[], format!("{request}\n").as_bytes()).0
}

/// The last line.
#[track_caller]
fn exit_of(told: &[Value]) -> i64 {
    told.last().expect("a line")["exit"].as_i64().expect("an exit code")
}

#[test]
fn states_are_told_as_by_j_and_the_exit_code_is_last() {
    let folder = Folder::new();
    let _b = folder.runit("b", &up());
    let _a = folder.runit("a", &runit_status(100, 0, b'd', 0, 0));
    let _odd = folder.runit("an odd name", &up());
    let told = ask(&folder, "status");
    let names: Vec<&str> = told.iter().filter_map(|line| line["service"].as_str()).collect();
    assert_eq!(
        (names, exit_of(&told)),
        (vec!["a", "b"], 0),
        "what no request can name is not told"
    );
    assert_eq!((&told[0]["state"], &told[1]["pid"]), (&"down".into(), &4242.into()));
    let told = ask(&folder, "status b nothing");
    assert_eq!((told.len(), exit_of(&told)), (3, 1));
    assert_eq!(told[1]["error"], "unable to open: file does not exist");
    let told = ask(&folder, "status b\r");
    assert_eq!((told.len(), exit_of(&told)), (2, 0));
}

#[test]
fn who_served_it_may_change_services_as_root_may() {
    let test = "sv::serve::who_served_it_may_change_services_as_root_may";
    if !is_root() {
        return skip(test, "needs root");
    }
    let folder = Folder::new();
    let mut service = folder.runit("s", &up());
    for (request, sent, exit, result) in [
        ("up s", "", 0, "ok"),
        ("down s", "d", 1, "timeout"),
        ("hup s", "h", 0, "ok"),
        ("restart s", "tcu", 1, "timeout"),
        ("force-stop s", "dk", 1, "kill"),
        ("disable s", "", 0, "ok"),
        ("enable s", "", 0, "ok"),
        ("once s", "o", 1, "timeout"),
    ] {
        let (told, code, log) = ask_with(&folder, &[], format!("{request}\n").as_bytes());
        assert_eq!((told[0]["result"].as_str(), exit_of(&told)), (Some(result), exit), "{request}");
        assert_eq!((service.sent().as_str(), code), (sent, 0), "{request}");
        let pid = std::process::id();
        let outcome = if exit == 0 { "ok" } else { "failed" };
        assert_eq!(log, format!("sv: info: uid 0 pid {pid}: {request}: {outcome}\n"));
    }
    // Nobody may.
    let (told, _, log) = ask_with(&folder, &["-r"], b"down s\n");
    assert_eq!((exit_of(&told), service.sent().as_str()), (1, ""));
    assert_eq!(told[0]["error"], "this server changes nothing");
    assert!(log.ends_with(": down s: refused\n"), "{log}");
}

#[test]
fn a_script_check_runs_in_its_service_and_without_the_client() {
    let test = "sv::serve::a_script_check_runs_in_its_service_and_without_the_client";
    if !is_root() {
        return skip(test, "needs root");
    }
    let folder = Folder::new();
    let _service = folder.runit("s", &up());
    super::live::script(&folder.path("s/check"), "#!/bin/sh\ncat >read; pwd >where; exit 0\n");
    let told = ask(&folder, "check s");
    assert_eq!((exit_of(&told), &told[0]["result"]), (0, &"ok".into()), "{told:?}");
    let place = fs::read_to_string(folder.path("s/where")).unwrap();
    assert_eq!(place.trim_end(), folder.path("s").to_str().unwrap());
    assert_eq!(fs::read(folder.path("s/read")).unwrap(), b"");
}

#[test]
fn a_directory_that_is_not_there_is_told_of() {
    let folder = Folder::new();
    let nothing = folder.dir.join("nothing");
    let (told, _, log) = ask_with(&folder, &["-d", nothing.to_str().unwrap()], b"status\n");
    assert_eq!((exit_of(&told), &told[0]["error"]), (111, &"unable to list the services".into()));
    assert!(log.starts_with("sv: fatal: unable to list "), "{log}");
    let (told, _, _) = ask_with(&folder, &["-d", nothing.to_str().unwrap()], b"hup s\n");
    assert_eq!(exit_of(&told), 1);
}

#[test]
fn what_is_no_request_is_refused_and_changes_nothing() {
    let folder = Folder::new();
    let mut service = folder.runit("s", &up());
    let long = format!("status {}\n", "s ".repeat(2100));
    for request in [
        "\n",
        "exit s\n",
        "x s\n",
        "shutdown s\n",
        "force-shutdown s\n",
        "E s\n",
        "d s\n",
        "down\n",
        "down s s\n",
        "down ../services/s\n",
        "down ..\n",
        "down .s\n",
        "down /s\n",
        "down s/\n",
        "down s/log\n",
        "status s;down\n",
        "status \0\n",
        "serve\n",
        "GET / HTTP/1.0\r\n\r\n",
        // No whole line.
        "",
        "down s",
        &long,
    ] {
        let (told, code, log) = ask_with(&folder, &[], request.as_bytes());
        assert_eq!((exit_of(&told), code), (100, 1), "{request:?}");
        assert!(told.len() == 2 && told[0]["error"].is_string(), "{request:?}");
        assert_eq!((service.sent().as_str(), log.as_str()), ("", ""), "{request:?}");
    }
}

#[test]
fn a_client_who_says_nothing_is_left_within_its_time() {
    let folder = Folder::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut command = folder.command("sv", &["serve", "-d"]);
    command.arg(folder.services()).stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    let client = Connection::new(ours);
    client.send(b"sta");
    let told = objects(&receive_all(&client));
    assert_eq!(exit_of(&told), 100);
    assert_eq!(wait_for_exit(&mut child).code(), Some(1));
}

#[test]
fn standard_input_must_be_a_connected_socket_of_the_machine() {
    let folder = Folder::new();
    let serve = |stdin: Stdio, stderr: Option<OwnedFd>| -> Finished {
        let captured = Captured::new();
        let mut command = folder.command("sv", &["serve"]);
        command.stdin(stdin).stdout(Stdio::null());
        command.stderr(stderr.map_or(captured.stdio(), Stdio::from));
        let mut child = command.spawn().unwrap();
        drop(command);
        let code = wait_for_exit(&mut child).code();
        Finished { code, stdout: Vec::new(), stderr: captured.text() }
    };
    let fatal = "sv: fatal: standard input is no stream socket of AF_UNIX\n";
    let file = File::open("/dev/null").unwrap();
    let (pipe, _writer) = std::io::pipe().unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = std::net::TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    let (datagrams, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
    for stdin in [
        Stdio::from(file),
        Stdio::from(pipe),
        Stdio::from(OwnedFd::from(tcp)),
        Stdio::from(OwnedFd::from(datagrams)),
    ] {
        let finished = serve(stdin, None);
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(100), fatal));
    }
    // Where the log would go to the client.
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let theirs = OwnedFd::from(theirs);
    let finished = serve(Stdio::from(theirs.try_clone().unwrap()), Some(theirs));
    assert_eq!(finished.code, Some(100));
}

#[test]
fn a_link_out_of_the_directory_is_followed_if_root_owns_it() {
    let test = "sv::serve::a_link_out_of_the_directory_is_followed_if_root_owns_it";
    if !is_root() {
        return skip(test, "needs root");
    }
    let folder = Folder::new();
    let mut inside = folder.runit("inside", &up());
    let mut outside = folder.runit("../outside", &up());
    for (link, target, owner, opens) in [
        ("roots", "../outside", 0, true),
        ("theirs", "../outside", 1500, false),
        ("whole", folder.dir.join("outside").to_str().unwrap(), 1500, false),
        ("within", "inside", 1500, true),
        ("around", "../services/inside", 1500, false),
        ("proc", "/proc/self/cwd", 1500, false),
    ] {
        let path = folder.path(link);
        symlink(target, &path).unwrap();
        lchown(&path, Some(owner), Some(owner)).unwrap();
        let told = ask(&folder, &format!("hup {link}"));
        assert_eq!(exit_of(&told) == 0, opens, "{link}: {told:?}");
        let sent = format!("{}{}", inside.sent(), outside.sent());
        assert_eq!(sent, if opens { "h" } else { "" }, "{link}");
        if !opens {
            let why = "a link out of the directory that is not root's";
            assert_eq!(told[0]["error"], why, "{link}");
        }
    }
    // Neither a file nor a link to itself is a service.
    fs::write(folder.path("file"), "").unwrap();
    symlink("loop", folder.path("loop")).unwrap();
    for name in ["file", "loop"] {
        assert_eq!(exit_of(&ask(&folder, &format!("hup {name}"))), 1, "{name}");
    }
}

/// What a client of this user gets from ipcserver.
fn ask_as(server: &Server, ids: &[&str], request: &str) -> Vec<Value> {
    let script = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die;\n\
                  print $s \"$ARGV[1]\\n\"; $s->flush; print while <$s>";
    let mut command = Command::new("setpriv");
    command.args(ids).args(["perl", "-e", script]).arg(server.socket()).arg(request);
    let finished = run_to_end(command);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    objects(&finished.stdout)
}

#[test]
fn under_ipcserver_root_and_the_group_may_change_and_others_read() {
    let test = "sv::serve::under_ipcserver_root_and_the_group_may_change_and_others_read";
    if !is_root() || !others_can_run_it() || !have_program("perl") || !have_program("unshare") {
        return skip(test, "needs root, perl and unshare");
    }
    let folder = Folder::new();
    let mut service = folder.runit("s", &up());
    // Of the machine: one user whose primary group is another, and who is listed in the group.
    let dir = &folder.dir;
    dir.write(
        "passwd",
        "root:x:0:0::/:/bin/sh\nada:x:1501:1501::/:/bin/sh\nbob:x:1502:1502::/:/bin/sh\n",
    );
    dir.write("group", "root:x:0:\noperators:x:1600:ada\nothers:x:1601:bob\n");
    let mount = format!(
        "mount --make-rprivate / && mount -t tmpfs none /run &&\n\
         mount --bind '{0}/passwd' /etc/passwd && mount --bind '{0}/group' /etc/group || exit 120\n\
         exec '{1}' ipcserver -1 -a 0666 '{0}/s' '{1}' sv serve -w 0 -d '{0}/services' -g \"$0\"\n",
        dir.as_str(),
        nssbox().display()
    );
    for group in ["operators", "1600"] {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &mount, group]);
        let server = Server::start_command(command, &dir.join("s"));
        let operator = ["--reuid", "1700", "--regid", "1600", "--clear-groups"];
        let ada = ["--reuid", "1501", "--regid", "1501", "--clear-groups"];
        let bob = ["--reuid", "1502", "--regid", "1502", "--clear-groups"];
        let unknown = ["--reuid", "1503", "--regid", "1503", "--clear-groups"];
        let nobody = ["--reuid", "65534", "--regid", "1600", "--clear-groups"];
        // That he says so himself counts only for the group that he has as his own.
        let says_so = ["--reuid", "1503", "--regid", "1503", "--groups", "1600"];
        let root = ["--reuid", "0", "--regid", "0", "--clear-groups"];
        for (ids, may) in [
            (operator, true),
            (ada, true),
            (bob, false),
            (unknown, false),
            (nobody, false),
            (root, true),
        ] {
            let told = ask_as(&server, &ids, "hup s");
            assert_eq!(exit_of(&told) == 0, may, "{group} {ids:?}: {told:?}");
            assert_eq!(service.sent(), if may { "h" } else { "" }, "{group} {ids:?}");
            let told = ask_as(&server, &ids, "status s");
            assert_eq!((exit_of(&told), &told[0]["pid"]), (0, &4242.into()), "{ids:?}");
        }
        let told = ask_as(&server, &says_so, "hup s");
        assert_eq!((exit_of(&told), service.sent().as_str()), (1, ""));
        assert_eq!(told[0]["error"], "you may not change services here");
        wait_until("changes are logged", || {
            let log = server.stderr();
            ["uid 1501 pid ", ": hup s: ok\n", "uid 1502 pid ", ": hup s: refused\n"]
                .iter()
                .all(|part| log.contains(part))
        });
    }
}

#[test]
fn under_systemd_it_is_served_and_the_pages_units_are_good() {
    let test = "sv::serve::under_systemd_it_is_served_and_the_pages_units_are_good";
    if !have_program("systemd-socket-activate") || !have_program("systemd-analyze") {
        return skip(test, "no systemd-socket-activate");
    }
    let folder = Folder::new();
    let _service = folder.runit("s", &up());
    let socket = folder.dir.join("socket");
    let stderr = Captured::new();
    let mut command = Command::new("systemd-socket-activate");
    command.args(["--accept", "--inetd", "-l"]).arg(&socket).arg(nssbox());
    command.args(["sv", "serve", "-d"]).arg(folder.services());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr.stdio());
    let mut child = command.spawn().unwrap();
    wait_until("it listens", || UnixStream::connect(&socket).is_ok());
    let client = Connection::connect(&socket);
    client.send(b"status s\n");
    let told = objects(&receive_all(&client));
    assert_eq!((&told[0]["pid"], exit_of(&told)), (&4242.into(), 0), "{}", stderr.text());
    child.kill().unwrap();
    child.wait().unwrap();
    // The page's units, with the executable where it is here.
    let page = include_str!("../../../doc/sv.md");
    let block = |title: &str| -> String {
        let from = page.find(&format!("    {title}\n")).expect("a unit");
        let lines = page[from..].lines().take_while(|line| line.starts_with("    "));
        lines.map(|line| format!("{}\n", &line[4..])).collect()
    };
    let unit = block("[Service]").replace("/usr/bin/nssbox", nssbox().to_str().unwrap());
    folder.dir.write("nssbox-sv@.service", unit);
    folder.dir.write("nssbox-sv.socket", block("[Socket]"));
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no"]).arg(folder.dir.join("nssbox-sv.socket"));
    let finished = run_to_end(command);
    let ours: Vec<&str> =
        finished.stderr.lines().filter(|line| line.contains("nssbox-sv")).collect();
    assert_eq!((finished.code, ours), (Some(0), Vec::new()), "{}", finished.stderr);
}

#[test]
fn a_client_who_takes_no_reply_is_left() {
    let folder = Folder::new();
    let _service = folder.runit("s", &up());
    for number in 0..3000 {
        symlink("s", folder.path(&format!("s{number:05}"))).unwrap();
    }
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut command = folder.command("sv", &["serve", "-d"]);
    command.arg(folder.services()).stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    let client = Connection::new(ours);
    client.send(b"status\n");
    assert_eq!(wait_for_exit(&mut child).code(), Some(111));
    // What was sent before is there.
    assert!(matches!(client.recv(DEADLINE), Got::Bytes(_)));
}
