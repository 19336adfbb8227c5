//! doc/one-answer.md: whom `getent`, `id`, `groups` and `whoami` ask on a machine, and what they say
//! when one of them closes, lies or is silent. Each machine is a mount namespace with an /etc and a
//! /run of its own; its servers are threads of the test.

use crate::support::nscd::{self as wire, ask};
use crate::support::{
    Finished, Server, TempDir, group_reply, have_program, is_root, nssbox, others_can_run_it,
    passwd_reply, run_to_end, skip, tool,
};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const LOCAL: &str = "root:x:0:0:root:/root:/bin/sh\nlocal:x:777:777:Local:/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nlocal:x:777:\nusers:x:100:local\n";
const APP: &str = "app:x:1000650000:0:Application:/app:/bin/sh";

/// A machine of its own.
struct Machine {
    etc: TempDir,
    run: TempDir,
}

/// What was asked of a server: kind and key.
type Asked = Arc<Mutex<Vec<(i32, String)>>>;

impl Machine {
    /// With these local users, and no server. `None` where there can be none; that is said.
    fn new(test: &str) -> Option<Machine> {
        if !is_root() || !have_program("unshare") {
            skip(test, "needs root and unshare");
            return None;
        }
        let machine = Machine { etc: TempDir::new(), run: TempDir::new() };
        machine.etc.write("passwd", LOCAL);
        machine.etc.write("group", GROUP);
        machine.etc.write("shadow", "root:*:19000:0:99999:7:::\n");
        machine.etc.write("nsswitch.conf", "passwd: files\ngroup: files\n");
        for dir in ["nscd", "service/nsssd"] {
            std::fs::create_dir_all(machine.run.join(dir)).unwrap();
        }
        machine.etc.chmod("", 0o755);
        machine.run.chmod("", 0o755);
        Some(machine)
    }

    /// Runs a shell script there; `$N` is our executable.
    fn script(&self, script: &str) -> Finished {
        let text = format!(
            "mount --make-rprivate / && mount --bind '{}' /etc && mount --bind '{}' /run || exit 120\n\
             N='{}'\n{script}\n",
            self.etc.as_str(),
            self.run.as_str(),
            nssbox().display()
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &text]).env("LC_ALL", "C");
        let finished = run_to_end(command);
        assert_ne!(finished.code, Some(120), "{}", finished.stderr);
        finished
    }

    /// An applet, and what it must say: exit code, standard output, and how standard error ends.
    #[track_caller]
    fn says(&self, words: &str, code: i32, stdout: &str, stderr: &str) {
        let finished = self.script(&format!("exec $N {words}"));
        let got = String::from_utf8_lossy(&finished.stdout).into_owned();
        let told = finished.stderr.trim_end();
        assert_eq!((finished.code, got.as_str()), (Some(code), stdout), "{words}: {told}");
        let fits = if stderr.is_empty() { told.is_empty() } else { told.ends_with(stderr) };
        assert!(fits, "{words}: {told:?} does not end with {stderr:?}");
    }

    /// An nscd that answers each request so, and closes.
    fn nscd(&self, answer: impl Fn(i32, &str) -> Vec<u8> + Send + 'static) -> Asked {
        let listener = UnixListener::bind(self.run.join("nscd/socket")).unwrap();
        self.run.chmod("nscd/socket", 0o666);
        let asked = Asked::default();
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                if let Some((kind, key)) = read_request(&mut client) {
                    let reply = answer(kind, &key);
                    noted.lock().unwrap().push((kind, key));
                    // A client that refuses it need not read it to the end.
                    let _ = client.write_all(&reply);
                }
            }
        });
        asked
    }

    /// An nsss service that does so with each client.
    fn service(&self, act: impl Fn(UnixStream) + Send + 'static) {
        let listener = UnixListener::bind(self.run.join("service/nsssd/s")).unwrap();
        thread::spawn(move || listener.incoming().for_each(|client| act(client.unwrap())));
    }
}

fn read_request(client: &mut UnixStream) -> Option<(i32, String)> {
    let mut head = [0; 12];
    client.read_exact(&mut head).ok()?;
    let word = |at: usize| i32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
    let mut key = vec![0; word(8) as usize];
    client.read_exact(&mut key).ok()?;
    key.pop();
    Some((word(4), String::from_utf8(key).unwrap()))
}

/// An nscd that knows [`APP`], his groups, and nobody else.
fn knows_app(kind: i32, key: &str) -> Vec<u8> {
    match (kind, key) {
        (ask::USER, "app") | (ask::UID, "1000650000") => wire::user(APP),
        (ask::GID, "0") => wire::group("wheel:x:0:app"),
        (ask::GID, "7") | (ask::GROUP, "seven") => wire::group("seven:x:7:app,bo"),
        (ask::GROUPS, "app") => wire::groups(&[7, 0]),
        (ask::USER | ask::UID, _) => wire::no_user(),
        (ask::GROUP | ask::GID, _) => wire::no_group(),
        _ => wire::no_groups(),
    }
}

fn unserved(kind: i32) -> Vec<u8> {
    let words = match kind {
        ask::USER | ask::UID => 9,
        ask::GROUP | ask::GID => 6,
        _ => 3,
    };
    let mut all = vec![0; words];
    (all[0], all[1]) = (2, u32::MAX);
    wire::reply(&all, &[])
}

const LOCAL_ID: &str = "uid=777(local) gid=777(local) groups=777(local),100(users)\n";

#[test]
fn by_key_nscd_is_asked_and_what_it_says_is_final() {
    let Some(machine) = Machine::new("by_key_nscd_is_asked_and_what_it_says_is_final") else {
        return;
    };
    let asked = machine.nscd(knows_app);
    let line = format!("{APP}\n");
    machine.says("getent passwd app 1000650000", 0, &line.repeat(2), "");
    machine.says("getent group seven 7", 0, &"seven:x:7:app,bo\n".repeat(2), "");
    machine.says("getent initgroups app", 0, "app                   7 0\n", "");
    let all = "uid=1000650000(app) gid=0(wheel) groups=0(wheel),7(seven)\n";
    machine.says("id app", 0, all, "");
    machine.says("groups app", 0, "app : wheel seven\n", "");
    let me = "exec setpriv --reuid 1000650000 --regid 0 --clear-groups $N whoami";
    if others_can_run_it() {
        let finished = machine.script(me);
        assert_eq!(finished.stdout, b"app\n", "{}", finished.stderr);
    } else {
        skip("whoami of another uid", "others cannot run our executable");
    }
    machine.says("getent passwd local", 2, "", "");
    machine.says("id local", 1, "", "id: warning: no such user: local");
    // Its own protocol has neither shadow nor lists.
    asked.lock().unwrap().clear();
    machine.says("getent passwd", 0, LOCAL, "");
    machine.says("getent group", 0, GROUP, "");
    machine.says("getent shadow root", 0, "root:*:19000:0:99999:7:::\n", "");
    assert_eq!(*asked.lock().unwrap(), []);
    let told = machine.script("exec $N getent --explain passwd app").stderr;
    assert!(told.starts_with("getent: explain: /var/run/nscd/socket: found ("), "{told}");
    // Whoever is named on the command line is asked, and nobody else.
    machine.says("getent -s unix passwd local", 0, "local:x:777:777:Local:/:/bin/sh\n", "");
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn where_nobody_answers_the_files_do_and_then_the_map() {
    let test = "where_nobody_answers_the_files_do_and_then_the_map";
    let Some(machine) = Machine::new(test) else { return };
    let map =
        "nssmap 2\nuids 1000000000-1999999999\n  template app:x:=:0:Application:/app:/bin/sh\n";
    let check = |machine: &Machine| {
        machine.says("id local", 0, LOCAL_ID, "");
        machine.says("getent passwd 1000650000", 0, &format!("{APP}\n"), "");
        machine.says("id -un 1000650000", 0, "app\n", "");
        machine.says("getent group 100", 0, "users:x:100:local\n", "");
        machine.says("getent passwd nosuch", 2, "", "");
        machine.says("id nosuch", 1, "", "no such user: nosuch");
    };
    machine.etc.write("nssmap.conf", map);
    // No socket; nobody behind it; one that does not serve these databases.
    check(&machine);
    for socket in ["nscd/socket", "service/nsssd/s"] {
        drop(UnixListener::bind(machine.run.join(socket)).unwrap());
    }
    check(&machine);
    std::fs::remove_file(machine.run.join("nscd/socket")).unwrap();
    let asked = machine.nscd(|kind, _| unserved(kind));
    check(&machine);
    assert!(!asked.lock().unwrap().is_empty());
}

/// What the files know is told; what they lack, others may know.
#[test]
fn one_that_closes_leaves_the_files_and_what_they_lack_is_a_failure() {
    let test = "one_that_closes_leaves_the_files_and_what_they_lack_is_a_failure";
    for whose in ["nscd", "nsss"] {
        let Some(machine) = Machine::new(test) else { return };
        match whose {
            "nscd" => drop(machine.nscd(|_, _| Vec::new())),
            _ => machine.service(drop),
        }
        println!("{whose}");
        machine.says("id local", 0, LOCAL_ID, "");
        machine.says("groups local", 0, "local : local users\n", "");
        machine.says("getent passwd local", 0, "local:x:777:777:Local:/:/bin/sh\n", "");
        machine.says(
            "getent initgroups local root",
            0,
            "local                 100\nroot                 \n",
            "",
        );
        let end = ": Input/output error";
        machine.says("id nosuch", 1, "", &format!("id: warning: unable to look up nosuch{end}"));
        machine.says("id -un 5", 1, "", &format!("unable to look up 5{end}"));
        machine.says("groups nosuch", 1, "", end);
        machine.says("getent passwd nosuch", 2, "", end);
        machine.says("getent initgroups nosuch", 1, "", end);
        if whose == "nsss" {
            // The files are no list of all that there is.
            machine.says("getent passwd", 1, "", end);
            machine.says("getent shadow root", 0, "root:*:19000:0:99999:7:::\n", "");
        }
    }
}

/// Each has an exit code of its own, and the time of one deadline.
#[test]
fn one_that_is_silent_is_a_failure_that_is_said() {
    let test = "one_that_is_silent_is_a_failure_that_is_said";
    let calls = [
        ("whoami", 1),
        ("id", 1),
        ("id root", 1),
        ("id -un", 1),
        ("groups root", 1),
        ("getent passwd root 0 local", 2),
        ("getent initgroups root", 1),
    ];
    // Taken and not answered; not even taken, since the queue is full.
    thread::scope(|scope| {
        for (place, is_full) in
            [("nscd/socket", false), ("service/nsssd/s", false), ("nscd/socket", true)]
        {
            for (words, code) in calls {
                scope.spawn(move || {
                    let Some(machine) = Machine::new(test) else { return };
                    let _held = silent(&machine.run.join(place), is_full);
                    let before = Instant::now();
                    let finished = machine.script(&format!("exec $N {words}"));
                    let told = &finished.stderr;
                    assert_eq!(finished.code, Some(code), "{place} {words}: {told}");
                    assert!(told.ends_with(": Connection timed out\n"), "{place} {words}: {told}");
                    assert!(!told.contains("no such user"), "{place} {words}: {told}");
                    let took = before.elapsed();
                    assert!(took > Duration::from_secs(4), "{place} {words}: {took:?}");
                });
            }
        }
    });
}

/// A socket whose server never says anything.
fn silent(path: &Path, is_full: bool) -> Vec<std::os::fd::OwnedFd> {
    // Programs that other tests start are not to have it.
    let (family, kind, flags) = (AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC);
    let new = || socket_with(family, kind, flags, None).unwrap();
    let (server, address) = (new(), SocketAddrUnix::new(path).unwrap());
    bind(&server, &address).unwrap();
    listen(&server, 0).unwrap();
    let mut held = vec![server];
    if is_full {
        let client = new();
        connect(&client, &address).unwrap();
        held.push(client);
    }
    held
}

#[test]
fn an_nscds_reply_that_makes_no_sense_is_a_failure() {
    let test = "an_nscds_reply_that_makes_no_sense_is_a_failure";
    let with = |at: usize, word: u32| {
        let mut reply = wire::user("local:x:777:777:Local:/:/bin/sh");
        reply[4 * at..4 * at + 4].copy_from_slice(&word.to_ne_bytes());
        reply
    };
    let good = with(0, 2);
    let mut other_version = wire::no_user();
    other_version[0] = 0;
    let replies = [
        ("cut", good[..good.len() - 1].to_vec()),
        ("a part of its header", good[..20].to_vec()),
        ("another version", with(0, 1)),
        ("not found in another version", other_version),
        ("neither found nor not", with(1, 2)),
        ("a length of 0", with(2, 0)),
        ("a NUL elsewhere", with(2, 5)),
        ("another name", wire::user("root:x:777:777:Local:/:/bin/sh")),
        ("a length below zero", with(8, u32::MAX)),
    ];
    for (what, reply) in replies {
        let Some(machine) = Machine::new(test) else { return };
        machine.nscd(move |_, _| reply.clone());
        println!("{what}");
        machine.says("getent passwd local", 2, "", "passwd: Input/output error");
        machine.says("id -u local", 1, "", "unable to look up local: Input/output error");
    }
    let Some(machine) = Machine::new(test) else { return };
    machine.nscd(|_, _| wire::user("local:x:777:777:Local:/:/bin/sh"));
    // A number must be the one asked for; a name may be in another case (LDAP).
    machine.says("getent passwd 778", 2, "", "passwd: Input/output error");
    machine.says("getent passwd LOCAL", 0, "local:x:777:777:Local:/:/bin/sh\n", "");
}

/// In an address space of 256 MiB.
#[test]
fn no_reply_takes_memory_without_limit() {
    let test = "no_reply_takes_memory_without_limit";
    let endless = |head: Vec<u8>, words: &'static str, place: &'static str, what: &str| {
        let Some(machine) = Machine::new(test) else { return };
        let listener = UnixListener::bind(machine.run.join(place)).unwrap();
        thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let _ = client.read(&mut [0; 1024]);
                let _ = client.write_all(&head);
                while client.write_all(&[b'A'; 1 << 16]).is_ok() {}
            }
        });
        let before = Instant::now();
        let finished = machine.script(&format!("ulimit -v 262144; exec $N {words}"));
        let told = finished.stderr.trim_end();
        assert!(matches!(finished.code, Some(1 | 2)), "{words}: {:?} {told}", finished.code);
        assert!(told.ends_with(what), "{words}: {told}");
        assert_eq!(finished.stdout, b"", "{words}");
        assert!(before.elapsed() < Duration::from_secs(30));
    };
    let user = || wire::reply(&[2, 1, 0x7fff_ffff, 2, 1, 1, 1, 1, 1], &[]);
    let nscd = "nscd/socket";
    let large = "Value too large for defined data type";
    endless(user(), "id u", nscd, large);
    endless(user(), "getent passwd u", nscd, large);
    endless(wire::reply(&[2, 1, 2, 2, 1, 0x0100_0000], &[]), "getent group g", nscd, large);
    endless(wire::reply(&[2, 1, 0x7fff_ffff], &[]), "getent initgroups u", nscd, large);
    let service = "service/nsssd/s";
    let name = [&[0][..], &[0, 0, 0, 5, 0, 0, 0, 5], &[0xff; 4]].concat();
    let group = [&[0][..], &[0, 0, 0, 5], &[0xff; 4], &[0, 0xff, 0xff, 0xff]].concat();
    endless(group, "getent group g", service, large);
    endless(name, "id u", service, "unable to look up u: Value too large for defined data type");
}

#[test]
fn a_user_has_no_more_groups_than_the_kernel_takes() {
    let test = "a_user_has_no_more_groups_than_the_kernel_takes";
    for (count, fits) in [(65_536, true), (65_537, false)] {
        let Some(machine) = Machine::new(test) else { return };
        let gids: Vec<u32> = (1..=count).collect();
        machine.nscd(move |kind, key| match kind {
            ask::GROUPS => wire::groups(&gids),
            _ => knows_app(kind, key),
        });
        let finished = machine.script("exec $N getent initgroups app");
        assert_eq!(finished.code, Some(i32::from(!fits)), "{}", finished.stderr);
        let ends = finished.stderr.ends_with("Numerical result out of range\n");
        assert_eq!((finished.stdout.is_empty(), ends), (!fits, !fits), "{}", finished.stderr);
    }
}

/// Fields with a colon or a newline would make records of their own; control characters are obeyed
/// by terminals.
#[test]
fn what_is_printed_is_one_line() {
    let dir = TempDir::new();
    let (bin, path) = (dir.bin(), dir.join("s"));
    let run = |applet: &str, words: &[&str], reply: Vec<u8>| {
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            while matches!(client.read(&mut [0; 512]), Ok(1..)) && client.write_all(&reply).is_ok()
            {
            }
        });
        let mut command = tool(&bin, applet);
        command.arg("-S").arg(&path).args(words);
        let finished = run_to_end(command);
        (finished.code, String::from_utf8(finished.stdout).unwrap(), finished.stderr)
    };
    let getent = |reply| run("getent", &["passwd", "eve"], reply);
    let ids = (3001, 3001);
    let user =
        |name: &str, password: &str, rest| passwd_reply([name, password], ids.0, ids.1, rest);
    // As glibc's putpwent(3): blanks in the comment, and no line at all for the others.
    let forged = user("eve", "*", ["x\nroot2::0:0:forged:/root", "/h", "/bin/sh"]);
    let want = "eve:*:3001:3001:x root2  0 0 forged /root:/h:/bin/sh\n";
    assert_eq!(getent(forged), (Some(0), want.to_owned(), String::new()));
    let told = "getent: warning: an entry of passwd has fields that would make another line: not printed\n";
    for reply in [
        user("eve\nroot2", "*", ["", "/h", "/s"]),
        user("eve:0", "*", ["", "/h", "/s"]),
        user("eve", "*\n", ["", "/h", "/s"]),
        user("eve", "*", ["", "/h:/x", "/s"]),
        user("eve", "*", ["", "/h", "/s\nroot2::0:0:::"]),
    ] {
        assert_eq!(getent(reply), (Some(0), String::new(), told.to_owned()));
    }
    let odd = user("eve", "*", ["\x1b[2J\r\x7f", "/h\t", "/s"]);
    assert_eq!(getent(odd), (Some(0), "eve:*:3001:3001:?[2J??:/h?:/s\n".to_owned(), String::new()));
    for members in [&["a,b"][..], &["a\nroot2:x:0:"], &["a", "b:c"]] {
        let reply = group_reply("g", "x", 5, members);
        let (code, out, _) = run("getent", &["group", "g"], reply);
        assert_eq!((code, out.as_str()), (Some(0), ""), "{members:?}");
    }
    // In pieces.
    let members: Vec<String> = (0..200_000).map(|n| format!("m{n:07}")).collect();
    let mut members: Vec<&str> = members.iter().map(String::as_str).collect();
    let (code, out, told) = run("getent", &["group", "g"], group_reply("g", "x", 5, &members));
    let whole = format!("g:x:5:{}\n", members.join(","));
    assert!(code == Some(0) && out == whole, "{} bytes, {told}", out.len());
    members[199_999] = "a\nroot2:x:0:";
    let (code, out, _) = run("getent", &["group", "g"], group_reply("g", "x", 5, &members));
    assert_eq!((code, out.as_str()), (Some(0), ""));
    let name = user("eve\nroot\x1b[2J", "*", ["", "/h", "/s"]);
    let (code, out, _) = run("id", &["-un", "eve"], name.clone());
    assert_eq!((code, out.as_str()), (Some(0), "eve?root?[2J\n"));
    let (_, out, _) = run("whoami", &[], name);
    assert_eq!(out, "eve?root?[2J\n");
    // libnss_map's own way takes any name.
    let map = dir.write("map", "x:y:15000:15000::/h:/b\n");
    for (name, want) in
        [("a\nb", ""), ("a:b", ""), ("a\x1b[2J", "a?[2J:x:15000:15000::/h/a?[2J:/b\n")]
    {
        let mut command = tool(&bin, "nsssd-map");
        command.args(["-c", "-u", name, "-f"]).arg(&map);
        let finished = run_to_end(command);
        assert_eq!(String::from_utf8(finished.stdout).unwrap(), want);
        assert_eq!(finished.code, Some(i32::from(want.is_empty())), "{}", finished.stderr);
        assert!(finished.stderr.lines().count() <= 1, "{}", finished.stderr);
    }
}

/// `nscd -s`: glibc never looks at the files behind it, so it does itself.
#[test]
fn nscd_asks_its_machines_own_files_before_a_server() {
    let bench =
        wire::Bench::new("root:x:0:0:another:/:/bin/no\nnet:x:5000:5000:::\n", "root:x:0:net\n");
    let nsss = Server::start(&bench.bin, bench.dir.path(), &[], &bench.unix());
    let start = |options: &[&str]| {
        let mut command = bench.command(&["-t", "4000", "-s"]);
        command.arg(nsss.socket()).args(options);
        Server::start_command(command, &bench.socket())
    };
    let theirs = wire::user("root:x:0:0:another:/:/bin/no");
    // A password that none of the own files has.
    let net = wire::user("net:*:5000:5000:::");
    let root = |kind, key: &str| wire::asked(&bench.socket(), &wire::request(kind, key));
    let server = start(&[]);
    for _ in 0..4 {
        for (kind, key) in [(ask::USER, "root"), (ask::UID, "0")] {
            let got = root(kind, key);
            assert!(!got.is_empty() && got != theirs, "{key}");
        }
        assert_eq!(root(ask::USER, "net"), net);
        // Of both.
        assert_eq!(root(ask::GROUPS, "net"), wire::groups(&[0]));
    }
    drop(server);
    let server = start(&["--no-files"]);
    assert_eq!((root(ask::USER, "root"), root(ask::UID, "0")), (theirs.clone(), theirs));
    drop(server);
    // Without its server, the local users are those that there are.
    drop(nsss);
    let mut command = bench.command(&["-s"]);
    command.arg(bench.dir.join("nowhere"));
    let _server = Server::start_command(command, &bench.socket());
    assert!(!root(ask::USER, "root").is_empty());
    assert_eq!(root(ask::USER, "nosuch"), b"", "others may know him");
    let mut command = bench.command(&["--no-files"]);
    command.args(["3", "nsssd-unix", ""]);
    assert_eq!(bench.fails(command).0, Some(100));
}
