//! What applets do to files and sockets, against the table of doc/security.md: each is run under
//! strace, on ordinary and odd input.

use super::page::Table;
use super::trace::{Deed, touches, traced};
use super::watch::Watch;
use crate::support::nscd::{ask, asked, request};
use crate::support::nslcd::{self, FakeNslcd};
use crate::support::{
    self, Connection, by_id, by_name, grouplist, have_program, op, receive_all, run_to_end, skip,
    tool,
};
use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

/// Says so and gives true where strace does not work.
fn cannot_trace(test: &str) -> bool {
    let mut probe = tool(Path::new("/nonexistent"), "strace");
    probe.args(["-o", "/dev/null", "true"]);
    let cannot = !have_program("strace") || run_to_end(probe).code != Some(0);
    if cannot {
        skip(test, "strace is not installed, or may not trace");
    }
    cannot
}

/// Users, groups and shadow entries, by name, by number and all of them; and odd ones.
fn questions() -> Vec<u8> {
    let mut all = vec![op::PWD_GET, op::PWD_GET, op::PWD_REWIND, op::PWD_END, op::GRP_GET];
    all.extend([op::SHADOW_GET, op::SHADOW_REWIND, op::SHADOW_END]);
    for name in ["ada", "nobody-has-this", "", "../../etc/shadow", "a/b", ".", "%u", "\n", "-x"] {
        for op in [op::PWD_GETBYNAME, op::GRP_GETBYNAME, op::SHADOW_GETBYNAME] {
            all.extend(by_name(op, name));
        }
        all.extend(grouplist(10, name));
    }
    for id in [0, 1001, 5, u32::MAX, 1_879_048_192, 1_900_000_000] {
        all.extend(by_id(op::PWD_GETBYUID, id));
        all.extend(by_id(op::GRP_GETBYGID, id));
    }
    all
}

/// No request.
const GARBAGE: [u8; 64] = [0xfe; 64];

/// Asks a server by a connection of its own.
fn ask_server(socket: &Path, requests: &[u8]) {
    let client = Connection::connect(socket);
    let _ = client.try_send(requests);
    client.half_close();
    receive_all(&client);
}

/// Asks an nscd, in and out of form.
fn ask_nscd(socket: &Path) {
    for kind in [ask::USER, ask::GROUP, ask::GROUPS, ask::UID, ask::GID] {
        for key in ["ada", "1001", "nobody-has-this", "../../etc/shadow", ""] {
            asked(socket, &request(kind, key));
        }
    }
    for kind in [ask::INVALIDATE, ask::DESCRIPTOR, ask::GETSTAT, ask::SHUTDOWN, 99, -1] {
        asked(socket, &request(kind, "passwd"));
    }
    ask_server(socket, &GARBAGE);
}

fn accounts(watch: &Watch) {
    watch.dir.accounts(
        "root:x:0:0:root:/root:/bin/sh\nada:x:1001:1001::/home/ada:/bin/sh\nbad\n",
        "staff:x:5:ada,eve\n",
        "ada:secret:19000:0:99999:7:::\n",
    );
}

fn files(watch: &mut Watch) {
    accounts(watch);
    for words in [&["-d", "DIR"][..], &["-v", "-d", "DIR"], &["-d", "DIR/missing"]] {
        watch.say("DIR", &["", "missing"]);
        let command = watch.command("nsssd-unix", words);
        watch.daemon(&["nsssd-unix"], &command, &questions());
        watch.daemon(&["nsssd-unix"], &command, &GARBAGE);
    }
    watch.say("DIR", &["/etc"]);
    let command = watch.command("nsssd-unix", &[]);
    watch.daemon(&["nsssd-unix"], &command, &questions());
    // What stands in a file's place, and where a link leads, is opened by the file's name.
    let odd = watch.dir.subdirectory("odd");
    watch.dir.subdirectory("odd/passwd");
    std::os::unix::fs::symlink("/etc/hostname", odd.join("group")).unwrap();
    std::os::unix::fs::symlink("shadow", odd.join("shadow")).unwrap();
    watch.say("DIR", &["odd"]);
    let command = watch.command("nsssd-unix", &["-d", "DIR/odd"]);
    watch.daemon(&["nsssd-unix"], &command, &questions());
    // A standard descriptor that is closed.
    let mut shell = tool(&watch.bin, "sh");
    let trace = watch.dir.join("closed");
    let traced = traced(&command, &trace);
    shell.args(["-c", "exec \"$0\" \"$@\" <&- >&-"]).arg("strace").args(traced.get_args());
    run_to_end(shell);
    let seen = touches(&fs::read_to_string(&trace).unwrap());
    let wrong = watch.table.check(&["nsssd-unix"], &Default::default(), &seen);
    watch.wrong.extend(wrong.into_iter().map(|touch| ("with <&-".to_owned(), touch)));
}

fn cache(watch: &mut Watch) {
    watch.dir.subdirectory("cache");
    let write = |name: &str, text: &str| watch.dir.write(&format!("cache/{name}"), text);
    write("passwd.cache", "ada:x:1001:1001::/home/ada:/bin/sh\nbad\n");
    write("group.cache", "staff:*:5:ada\n");
    write("shadow.cache", "ada:*:1::::::\n");
    write("sshkey.cache", "ada:key\n");
    write("netgroup.cache", "all (ada,,)\n");
    write("auto.home.cache", "ada server:/home/ada\n");
    write(".nsscache-1", "left");
    watch.say("DIR", &["cache"]);
    let maps = ["passwd", "group", "shadow", "sshkey", "netgroup", "automount"];
    watch.say_words("MAP", &maps);
    for words in
        [&["index", "-d", "DIR/cache"][..], &["index", "-d", "DIR/cache", "netgroup", "automount"]]
    {
        let command = watch.command("nsscache", words);
        watch.run(&["nsscache index"], &command, b"");
    }
    for words in [
        &["sshkey", "-d", "DIR/cache", "ada"][..],
        &["sshkey", "-d", "DIR/cache", "../x"],
        &["automount", "-d", "DIR/cache", "auto.home", "ada"],
        &["automount", "-d", "DIR/cache", "../x", "ada"],
    ] {
        let command = watch.command("nsscache", words);
        watch.run(&["nsscache sshkey, automount"], &command, b"");
    }
    for _ in 0..2 {
        let command = watch.command("nsssd-cache", &["-d", "DIR/cache"]);
        watch.daemon(&["nsssd-cache"], &command, &questions());
        watch.daemon(&["nsssd-cache"], &command, &GARBAGE);
        // Without its own indexes it looks for others.
        for name in ["passwd.cache.hashname", "passwd.cache.hashuid", "group.cache.hashmember"] {
            let _ = fs::remove_file(watch.dir.join("cache").join(name));
        }
    }
    watch.say("DIR", &["/etc"]);
    let command = watch.command("nsssd-cache", &[]);
    watch.daemon(&["nsssd-cache"], &command, &questions());
}

fn switch(watch: &mut Watch) {
    watch.say("DIR", &[""]);
    watch.say_programs("BACKEND", &["cat", "nosuch", "nsssd-unix"]);
    let unix = ["0", "nsssd-unix", "-d", "DIR", ""];
    let who = ["nsssd-switch", "nsssd-unix"];
    for words in [
        [&["-m"], &unix[..]].concat(),
        [&["--spawn"], &unix[..]].concat(),
        [&unix[..], &["0", "cat", "", "0", "nosuch", ""]].concat(),
        vec!["7", "nsssd-unix"],
    ] {
        let command = watch.command("nsssd-switch", &words);
        watch.daemon(&who, &command, &questions());
    }
}

const MAP: &str = "nssmap 2\nkey DIR/key\nregistry DIR/registry\ndeny-file DIR/deny\n\
    map *\n  template u:x:1879048192+134217728:=:mapped user:DIR/home:/bin/sh\n  require home\n  \
    groups staff\n  rc yes\nuids 1000000-1999999\n  template n%u:x:=:0:number:/:/bin/sh\n";

fn map(watch: &mut Watch) {
    let write = |watch: &Watch, name: &str, text: &str| {
        watch.dir.write(name, text.replace("DIR", watch.dir.as_str()));
    };
    write(watch, "key", "000102030405060708090a0b0c0d0e0f\n");
    watch.dir.chmod("key", 0o400);
    write(watch, "deny", "oracle\n");
    write(watch, "conf", MAP);
    watch.dir.subdirectory("home");
    watch.dir.subdirectory("home/ada");
    watch.dir.write("home/ada/.nssmaprc", "staff:x:5:\n");
    write(watch, "single", "virtual:x:15000:15000:virtual:DIR/home:/bin/sh\n");
    write(watch, "far", &MAP.replace("DIR/home", "DIR/gone/far").replace("registry", "# "));
    write(watch, "folder", &MAP.replace("DIR/registry", "DIR/home"));
    write(watch, "bad", "nssmap 2\nmap\n");
    let names = "ada\neve\n../x\n";
    write(watch, "list", names);
    for (name, values) in [
        ("CONF", &["conf", "single", "far", "folder", "bad", "missing"][..]),
        ("KEY", &["key"]),
        ("DENYFILE", &["deny"]),
        ("REGISTRY", &["registry", "home"]),
        ("HOMES", &["home", "gone/far"]),
        ("ABOVE", &["gone", ""]),
        ("LIST", &["list"]),
        ("NEWKEY", &["new-key"]),
        // Of which descriptor does not matter.
        ("FDINFO", &["/proc/self/fdinfo/3", "/proc/self/fdinfo/4", "/proc/self/fdinfo/5"]),
    ] {
        watch.say(name, values);
    }
    for words in [
        &["-f", "DIR/conf"][..],
        &["-f", "DIR/single", "-r", "home"],
        &["-f", "DIR/far"],
        &["-f", "DIR/folder"],
        &["-f", "DIR/bad"],
        &["-f", "DIR/missing"],
    ] {
        let command = watch.command("nsssd-map", words);
        watch.daemon(&["nsssd-map"], &command, &questions());
    }
    let command = watch.command("nsssd-map", &["-f", "DIR/single", "-c"]);
    watch.daemon(&["nsssd-map -c"], &command, &questions());
    for words in [
        &["-n", "DIR/conf"][..],
        &["-n", "DIR/folder"],
        &["-f", "DIR/conf", "-u", "ada"],
        &["-f", "DIR/conf", "-u", "../x"],
        &["-f", "DIR/conf", "-l", "DIR/list"],
        &["-f", "DIR/conf", "-l"],
        &["-k", "DIR/new-key"],
        &["-k", "DIR/new-key"],
    ] {
        let command = watch.command("nsssd-map", words);
        watch.run(&["nsssd-map's tools"], &command, names.as_bytes());
    }
}

fn nslcd(watch: &mut Watch) {
    watch.say("NSLCD", &["nslcd"]);
    let command = watch.command("nsssd-nslcd", &["DIR/nslcd"]);
    watch.daemon(&["nsssd-nslcd"], &command, &questions());
    let path = watch.dir.join("nslcd");
    for reply in [nslcd::reply(nslcd::action::USER, &[nslcd::user("ada", 1, 2)]), vec![9; 99]] {
        let _nslcd = FakeNslcd::saying(&path, reply);
        watch.daemon(&["nsssd-nslcd"], &command, &questions());
    }
}

fn ipcserver(watch: &mut Watch) {
    watch.say("DIR", &[""]);
    watch.say("SOCKET", &["s"]);
    watch.say("NOTIFY", &["notify", "@notify"]);
    watch.say_programs("PROG", &["cat", "nosuch", "nsssd-unix"]);
    watch.say_programs("BACKEND", &["cat"]);
    let _supervisor = UnixDatagram::bind(watch.dir.join("notify")).unwrap();
    let files = ["nsssd-unix", "-d", "DIR"];
    let inside = [&["nsssd-switch", "0"], &files[..], &[""]].concat();
    // The second one on finds a socket in its place.
    for (program, options, who) in [
        (&files[..], &["-1"][..], &["ipcserver", "nsssd-unix"][..]),
        (&inside, &["-1", "-v"], &["ipcserver", "nsssd-unix"]),
        (&files, &["-1", "--spawn"], &["ipcserver", "nsssd-unix"]),
        (&["cat"], &["-1", "-P"], &["ipcserver"]),
        (&["nosuch"], &["-1q"], &["ipcserver"]),
    ] {
        let words = [options, &["DIR/s"], program].concat();
        let mut command = watch.command("ipcserver", &words);
        command.env("NOTIFY_SOCKET", watch.path("notify"));
        watch.server(who, &command, "s", |socket| {
            ask_server(socket, &questions());
            ask_server(socket, &GARBAGE);
        });
    }
    let mut command = watch.command("ipcserver", &["-1", "DIR/s", "cat"]);
    command.env("NOTIFY_SOCKET", format!("@{}", watch.path("notify")));
    watch.server(&["ipcserver"], &command, "s", |socket| ask_server(socket, b"x"));
    // Others are there: a server, a file.
    let _live = UnixListener::bind(watch.dir.join("live")).unwrap();
    watch.dir.write("file", "");
    for other in ["live", "file"] {
        watch.say("SOCKET", &[other]);
        let command = watch.command("ipcserver", &[&format!("DIR/{other}"), "cat"]);
        assert_eq!(watch.run(&["ipcserver"], &command, b"").code, Some(111));
    }
}

fn nscd(watch: &mut Watch) {
    watch.say("DIR", &["", "/etc"]);
    watch.say("SOCKETDIR", &["run"]);
    watch.say("SOCKET", &["run/socket"]);
    watch.say("NSSS", &["nsss"]);
    watch.say_programs("BACKEND", &["cat"]);
    let files = ["3", "nsssd-unix", "-d", "DIR", ""];
    let map = ["0", "nsssd-map", "-f", "DIR/conf", ""];
    for (script, who) in [
        (vec![], &["nsssd-unix"][..]),
        (files.to_vec(), &["nsssd-unix"]),
        ([&files[..], &map].concat(), &["nsssd-unix", "nsssd-map"]),
        (
            [&files[..], &["0", "nsssd-nslcd", "DIR/nslcd", ""]].concat(),
            &["nsssd-unix", "nsssd-nslcd"],
        ),
        ([&files[..], &["0", "cat", ""]].concat(), &["nsssd-unix"]),
        (vec!["-s", "DIR/nsss"], &["nsssd-unix"]),
        (vec!["-s", "DIR/nsss", "--no-files"], &[]),
    ] {
        let words = [&["-1", "-t", "4000", "-S", "DIR/run/socket"], &script[..]].concat();
        // From the second one on, a socket is there that nobody serves any more.
        let _ = std::os::unix::net::UnixListener::bind(watch.path("run/socket"));
        let mut command = watch.command("nscd", &words);
        command.env("NOTIFY_SOCKET", watch.path("notify"));
        let who = [&["nscd"], who].concat();
        watch.server(&who, &command, "run/socket", ask_nscd);
    }
    watch.say_programs("PROG", &["true", "nosuch"]);
    let who = ["with-nscd", "nscd", "nsssd-unix"];
    let with = ["-t", "4000", "-S", "DIR/run/socket"];
    for program in ["true", "nosuch"] {
        // What one that was killed has left.
        let _ = fs::remove_file(watch.path("run/socket"));
        drop(UnixListener::bind(watch.path("run/socket")).unwrap());
        let words = [&with[..], &files, &["--", program]].concat();
        let command = watch.command("with-nscd", &words);
        watch.run(&who, &command, b"");
    }
    let command = watch.command("with-nscd", &["-k", "-S", "DIR/no/where/s", "--", "true"]);
    watch.say("SOCKET", &["no/where/s"]);
    watch.say("SOCKETDIR", &["no/where"]);
    assert_eq!(watch.run(&who, &command, b"").code, Some(111));
}

/// Asks a userdb, in and out of form.
fn ask_userdb(socket: &Path) {
    let mut calls = Vec::new();
    for (method, keys) in [
        (
            "GetUserRecord",
            vec![r#""userName":"ada","#, r#""uid":1001,"#, r#""userName":"../x","#, ""],
        ),
        ("GetGroupRecord", vec![r#""groupName":"staff","#, r#""gid":5,"#, ""]),
        ("GetMemberships", vec![r#""userName":"ada","#, r#""groupName":"staff","#, ""]),
    ] {
        for keys in keys {
            calls.push(format!(
                r#"{{"method":"io.systemd.UserDatabase.{method}","parameters":{{{keys}"service":"org.x"}},"more":true}}"#
            ) + "\0");
        }
    }
    ask_server(socket, calls.concat().as_bytes());
    ask_server(socket, &GARBAGE);
}

fn userdb(watch: &mut Watch) {
    watch.say("DIR", &["", "/etc"]);
    watch.say("SOCKETDIR", &["services"]);
    watch.say("SOCKET", &["services/org.x"]);
    watch.say("BESIDE", &["services/.org.x"]);
    watch.say_programs("BACKEND", &["cat"]);
    let files = ["3", "nsssd-unix", "-d", "DIR", ""];
    for (script, who) in [
        (files.to_vec(), &["userdb", "nsssd-unix"][..]),
        ([&["3", "nsssd-unix", ""], &files[..]].concat(), &["userdb", "nsssd-unix"]),
        ([&files[..], &["0", "cat", ""]].concat(), &["userdb", "nsssd-unix"]),
    ] {
        let words = [&["-1", "-t", "4000", "-S", "DIR/services/org.x"], &script[..]].concat();
        let mut command = watch.command("userdb", &words);
        command.env("NOTIFY_SOCKET", watch.path("notify"));
        watch.server(who, &command, "services/org.x", ask_userdb);
        let _ = fs::remove_file(watch.path("services/org.x"));
        drop(UnixListener::bind(watch.path("services/org.x")).unwrap());
    }
}

fn by_hand(watch: &mut Watch) {
    watch.say("DIR", &["/etc"]);
    watch.say("NSSS", &["nsss"]);
    let databases = [
        "passwd",
        "group",
        "shadow",
        "initgroups",
        "gshadow",
        "services",
        "protocols",
        "rpc",
        "networks",
        "ethers",
        "aliases",
        "hosts",
        "ahosts",
        "nosuch",
    ];
    let who = ["getent", "nsssd-unix"];
    for database in databases {
        for key in [&[][..], &["root"], &["0", "127.0.0.1", "../x", ""]] {
            let words = [&[database][..], key].concat();
            let command = watch.command("getent", &words);
            watch.run(&who, &command, b"");
        }
    }
    for words in
        [&[][..], &["--help"], &["-S", "DIR/nsss", "passwd", "ada"], &["--explain", "passwd"]]
    {
        let command = watch.command("getent", words);
        watch.run(&who, &command, b"");
    }
    watch.say("DIR", &[""]);
    let list = "unix -d DIR; map -f DIR/conf; nslcd DIR/nslcd";
    let who = ["getent", "nsssd-unix", "nsssd-map", "nsssd-nslcd"];
    for key in ["ada", "eve", "nobody-has-this"] {
        let command = watch.command("getent", &["-s", list, "initgroups", key]);
        watch.run(&who, &command, b"");
    }
    watch.say("DIR", &["/etc"]);
    let who = ["id, groups, whoami", "nsssd-unix"];
    for applet in ["id", "groups", "whoami"] {
        for words in [&[][..], &["-S", "DIR/nsss"], &["root", "nobody-has-this"], &["--wrong"]] {
            let command = watch.command(applet, words);
            watch.run(&who, &command, b"");
        }
    }
}

fn services(watch: &mut Watch) {
    use crate::sv::folder::{fifo, reader, runit_status};
    use std::os::unix::process::CommandExt as _;
    let log = "services/s/log";
    let mut held = Vec::new();
    for (name, pid) in [("services/s", std::process::id()), (log, 0)] {
        let supervise = watch.dir.join(name).join("supervise");
        fs::create_dir_all(&supervise).unwrap();
        for end in ["ok", "control"] {
            fifo(&supervise.join(end));
            held.push(reader(&supervise.join(end)));
        }
        fs::write(supervise.join("status"), runit_status(5, pid, b'u', 0, 1)).unwrap();
    }
    // A log service by its name, and its directory, which is called as its only word.
    watch.dir.subdirectory("services/s/log/1000");
    watch.dir.write("services/s/log/1000/current", "a\n");
    watch.dir.write("services/s/log/1000/@4.s", "b\n");
    let mut logger = std::process::Command::new("sleep");
    logger.arg0("svlogd").arg("1000").current_dir(watch.dir.join(log));
    let mut logger = logger.stdout(std::process::Stdio::null()).spawn().unwrap();
    let status = runit_status(5, logger.id(), b'u', 0, 1);
    fs::write(watch.dir.join(log).join("supervise/status"), status).unwrap();
    fs::create_dir_all(watch.dir.join("services/s6/supervise")).unwrap();
    fs::write(watch.dir.join("services/s6/supervise/status"), [0; 35]).unwrap();
    fs::write(watch.dir.join("services/s6/supervise/lock"), "").unwrap();
    crate::support::stage::copy_executable(
        Path::new("/bin/true"),
        &watch.dir.join("services/s/check"),
    );
    watch.say("SVDIR", &["services"]);
    watch.say("SERVICE", &["services/s", log, "services/s6", "services/s6/log", "services/none"]);
    watch.say("LOG", &["services/s/log/1000"]);
    for words in [
        &["status"][..],
        &["-j", "status", "s", "s6", "none"],
        &["-t", "-l", "9", "status", "s"],
        &["down", "s", "s6", "none"],
        &["check", "s"],
        &["disable", "s", "none"],
        &["enable", "s"],
        &["nonsense"],
    ] {
        let mut command = watch.command("sv", words);
        command.env("SVDIR", watch.path("services"));
        watch.run(&["sv, svstat, vsv"], &command, b"");
    }
    let command = watch.command("svstat", &["DIR/services/s", "DIR/services/s6"]);
    watch.run(&["sv, svstat, vsv"], &command, b"");
    let command = watch.command("vsv", &["-lt", "-d", "DIR/services"]);
    watch.run(&["sv, svstat, vsv"], &command, b"");
    logger.kill().unwrap();
    logger.wait().unwrap();
}

fn itself(watch: &mut Watch) {
    watch.say("LINKS", &["links"]);
    watch.dir.subdirectory("links");
    support::link(support::nssbox(), &watch.bin, "nssbox");
    for words in [&["--list"][..], &["--help"], &["nosuch"], &["--install", "-s", "DIR/links"]] {
        let command = watch.command("nssbox", words);
        watch.run(&["nssbox --install"], &command, b"");
    }
}

#[test]
fn each_applet_touches_what_the_page_says_and_nothing_else() {
    if cannot_trace("each_applet_touches_what_the_page_says_and_nothing_else") {
        return;
    }
    let mut watch = Watch::new();
    for case in
        [files, cache, switch, map, nslcd, ipcserver, nscd, userdb, by_hand, services, itself]
    {
        case(&mut watch);
    }
    println!("{} deeds", watch.count);
    let mut shown: Vec<String> = Vec::new();
    for (case, touch) in &watch.wrong {
        shown.push(format!("{:?} {}\n  {}\n  {case}", touch.deed, touch.path, touch.line));
    }
    shown.sort();
    shown.dedup_by_key(|text| text.lines().next().map(str::to_owned));
    assert!(shown.is_empty(), "doc/security.md does not have this:\n{}", shown.join("\n"));
    // What only some machines have: a C library that is not linked in.
    let is_libc =
        |path: &str| path.starts_with("/etc/ld.so") || path.contains("maps") || path == "LIBRARY";
    // The map was not run otherwise.
    let was_run = |who: &str| support::is_root() || !who.starts_with("nsssd-map");
    // Nor does an ordinary user's strace see the paths of one who has read shadow.
    let is_hidden = |who: &str, path: &str| match who {
        "userdb" => path == "/proc/self/exe",
        "nsssd-cache" => path.ends_with(".cache.NAME"),
        "nscd" => matches!(path, "/proc/self/fd/NAME" | "/memfd:nscd"),
        _ => false,
    };
    let is_read = |who: &str, path: &str| support::is_root() || !is_hidden(who, path);
    let mut unseen = watch.table.unseen();
    unseen.retain(|entry| {
        !is_libc(&entry.path) && was_run(&entry.who) && is_read(&entry.who, &entry.path)
    });
    assert!(unseen.is_empty(), "doc/security.md has what was never seen: {unseen:#?}");
    assert!(watch.count > 500, "{} deeds: the traces are not right", watch.count);
}

/// A program that does one thing of each kind.
const MISCHIEF: &str = r#"use Socket; my $d = shift; chdir $d;
    open F, "<", "/etc/hostname"; open F, ">", "$d/written"; mkdir "made";
    rename "written", "$d/renamed"; symlink "renamed", "linked"; chmod 0600, "renamed";
    unlink "renamed"; socket S, PF_UNIX, SOCK_STREAM, 0; connect S, sockaddr_un("$d/asked");
    bind S, sockaddr_un("$d/bound"); socket I, PF_INET, SOCK_DGRAM, 0;
    connect I, sockaddr_in(9, inet_aton("127.0.0.1")); exec "/nonexistent/run";"#;

#[test]
fn what_no_applet_may_do_would_be_seen() {
    let test = "what_no_applet_may_do_would_be_seen";
    if cannot_trace(test) {
        return;
    }
    if !have_program("perl") {
        return skip(test, "no perl");
    }
    let watch = Watch::new();
    let trace = watch.dir.join("trace");
    let mut command = tool(&watch.bin, "perl");
    command.args(["-e", MISCHIEF]).arg(watch.dir.path());
    run_to_end(traced(&command, &trace));
    let text = fs::read_to_string(&trace).unwrap();
    let wrong = Table::read().check(&["nsssd-unix"], &Default::default(), &touches(&text));
    let in_dir = |name: &str| watch.path(name);
    for (deed, path) in [
        (Deed::Reads, "/etc/hostname".to_owned()),
        (Deed::Changes, in_dir("written")),
        (Deed::Changes, "made".to_owned()),
        (Deed::Changes, in_dir("renamed")),
        (Deed::Changes, "linked".to_owned()),
        (Deed::Connects, in_dir("asked")),
        (Deed::Changes, in_dir("bound")),
        (Deed::Runs, "/nonexistent/run".to_owned()),
    ] {
        let seen = wrong.iter().any(|touch| (touch.deed, &touch.path) == (deed, &path));
        assert!(seen, "{deed:?} {path} in {text}");
    }
    let families =
        wrong.iter().filter(|t| t.path.contains("AF_INET") || t.path.contains("PF_INET"));
    assert!(families.count() >= 2, "{text}");
}
