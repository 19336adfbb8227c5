//! `nsssd-map` when its configuration, key or registry is replaced by what is no file, cut short,
//! or on a full disk: nobody is mapped wrongly, and nobody's pair is lost.
#![cfg(all(feature = "ipcserver", feature = "nsssd-map", feature = "nsssd-switch"))]

use crate::support::map::{ALICE, BOB, Host, KEY, NOT_FOUND, SHARED, uid, uid_of, user};
use crate::support::{self, Connection, Daemon, Server, is_root, nsssd, run_to_end, skip};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// What takes the place of a file.
type Fault = (&'static str, fn(&Path));

/// None of these blocks, and none is an empty file.
const FAULTS: [Fault; 4] = [
    ("a directory", |path| fs::create_dir(path).expect("a directory")),
    ("a FIFO", |path| mkfifoat(CWD, path, Mode::from_raw_mode(0o400)).expect("a FIFO")),
    ("a socket", |path| drop(UnixListener::bind(path).expect("a socket"))),
    ("a link to itself", |path| symlink(path, path).expect("a link")),
];

#[track_caller]
fn remove(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(file) if file.is_dir() => fs::remove_dir(path).expect("remove"),
        _ => fs::remove_file(path).expect("remove"),
    }
}

/// A host whose map keeps a registry and has a list of denied names.
fn host() -> Host {
    let host = Host::new();
    host.homes(&["alice", "bob"]);
    host.range("registry DIR/registry\ndeny-file DIR/deny");
    host.dir.write("deny", "mallory\n");
    host.dir.write("registry", "");
    host
}

#[test]
fn what_takes_the_place_of_a_file_of_the_map_ends_it_at_start() {
    let host = host();
    for file in ["nssmap.conf", "deny", "key", "registry"] {
        let path = host.dir.join(file);
        let content = fs::read(&path).unwrap();
        for (fault, make) in FAULTS {
            remove(&path);
            make(&path);
            let mut daemon = host.start(&[]);
            assert_eq!(daemon.finish(), Some(111), "{fault} for {file}");
            assert!(daemon.stderr().contains(path.to_str().unwrap()), "{}", daemon.stderr());
            assert_eq!(host.tool(&["-n", "DIR/nssmap.conf"]).code, Some(1), "{fault} for {file}");
            remove(&path);
            fs::write(&path, &content).unwrap();
            host.dir.chmod(file, if file == "key" { 0o400 } else { 0o644 });
        }
        assert_eq!(uid_of(&host.start(&[]), "alice"), Some(ALICE));
    }
}

#[test]
fn a_configuration_cut_at_any_byte_is_refused_or_maps_nobody_to_another_uid() {
    let host = host();
    let text = fs::read_to_string(host.dir.join("nssmap.conf")).unwrap();
    // Cut within the directory of its registry, a map would make one in /, or in /tmp.
    let registry = text.find("registry /").unwrap() + "registry ".len();
    let elsewhere = registry + 1..=registry + host.dir.as_str().len();
    // Behind the last word there is nothing to lose.
    for len in (0..text.trim_end().len()).filter(|len| !elsewhere.contains(len)) {
        host.dir.write("nssmap.conf", &text[..len]);
        host.dir.write("registry", "");
        let daemon = host.start(&[]);
        if daemon.client().try_send(&user("alice")).is_err() {
            continue;
        }
        match daemon.client().recv(support::DEADLINE) {
            support::Got::End => {}
            support::Got::Bytes(bytes) if bytes == NOT_FOUND => {}
            // Whatever stands behind the numbers may be short.
            support::Got::Bytes(bytes) => assert_eq!(bytes[..9], host.passwd("alice", ALICE)[..9]),
            support::Got::Nothing => panic!("it hangs with {len} bytes"),
        }
    }
}

/// Who asks a map that goes on while its files change.
enum Asked {
    Daemon(Daemon),
    Server { client: Connection, _server: Server },
}

impl Asked {
    fn client(&self) -> &Connection {
        match self {
            Asked::Daemon(daemon) => daemon.client(),
            Asked::Server { client, .. } => client,
        }
    }
}

/// A map on standard input, and one in the process of a server.
fn maps(host: &Host) -> [Asked; 2] {
    let config = host.dir.join("nssmap.conf");
    let map = ["nsssd-map", "-f", config.to_str().unwrap()];
    let _ = fs::remove_file(host.dir.join("s"));
    let server = Server::start(&host.bin, host.dir.path(), &[], &map);
    [Asked::Daemon(host.start(&[])), Asked::Server { client: server.connect(), _server: server }]
}

#[test]
fn a_configuration_that_is_replaced_counts_from_the_next_start() {
    let host = host();
    for map in maps(&host) {
        map.client().expect(&user("alice"), &host.passwd("alice", ALICE));
        let path = host.dir.join("nssmap.conf");
        let content = fs::read_to_string(&path).unwrap();
        host.dir.replace("nssmap.conf", "nssmap 2\nnonsense\n");
        host.dir.replace("deny", "*\n");
        map.client().expect(&user("bob"), &host.passwd("bob", BOB));
        map.client().expect(&user("mallory"), &NOT_FOUND);
        assert_eq!(host.start(&[]).finish(), Some(111));
        host.dir.replace("nssmap.conf", content);
        map_is(&host, "alice", None);
        host.dir.replace("deny", "mallory\n");
        map_is(&host, "alice", Some(ALICE));
    }
}

/// What a map that is started now says of a name.
#[track_caller]
fn map_is(host: &Host, name: &str, uid: Option<u32>) {
    assert_eq!(uid_of(&host.start(&[]), name), uid, "{name}");
}

#[test]
fn a_registry_that_is_replaced_or_removed_loses_no_pair() {
    // These two derive one uid; whoever is in the registry first has it.
    let (first, second) = ("user3469", "user17288");
    for number in 0..2 {
        for removed in [false, true] {
            let host = host();
            host.homes(&[first, second]);
            let map = &maps(&host)[number];
            map.client().expect(&user("alice"), &host.passwd("alice", ALICE));
            if removed {
                fs::remove_file(host.dir.join("registry")).unwrap();
                map.client().expect(&user(first), &host.passwd(first, SHARED));
            } else {
                // As `sort -u` of two registries does it, or an editor.
                host.dir.replace("registry", format!("{SHARED} {first} 1\n{ALICE} alice 1\n"));
            }
            map.client().expect(&user(second), &NOT_FOUND);
            map.client().expect(&uid(SHARED), &host.passwd(first, SHARED));
            map.client().expect(&user("bob"), &host.passwd("bob", BOB));
            let text = host.read("registry");
            assert!(text.contains(" bob ") && text.contains(first), "{text}");
            // What was answered holds after the next start, too.
            map_is(&host, "bob", Some(BOB));
            map_is(&host, first, Some(SHARED));
            map_is(&host, second, None);
        }
    }
}

#[test]
fn what_takes_the_place_of_a_registry_is_a_failure_until_it_is_gone() {
    for number in 0..2 {
        for (fault, make) in FAULTS {
            let host = host();
            let map = &maps(&host)[number];
            map.client().expect(&user("alice"), &host.passwd("alice", ALICE));
            let path = host.dir.join("registry");
            let content = fs::read(&path).unwrap();
            remove(&path);
            make(&path);
            let status = map.client().ask(&user("bob"), 1)[0];
            assert!(status != 0 && status != 255, "{fault}: {status}");
            map.client().expect(&user("nosuch"), &NOT_FOUND);
            remove(&path);
            fs::write(&path, content).unwrap();
            host.dir.chmod("registry", 0o644);
            map.client().expect(&user("bob"), &host.passwd("bob", BOB));
            map.client().expect(&user("alice"), &host.passwd("alice", ALICE));
        }
    }
}

#[test]
fn a_registry_cut_at_any_byte_gives_nobody_the_uid_of_another() {
    let (first, second) = ("user3469", "user17288");
    let host = host();
    host.homes(&[first, second]);
    let line = format!("{SHARED} {first} 1700000000\n");
    for number in 0..2 {
        for len in 0..=line.len() {
            host.dir.write("registry", &line);
            let map = &maps(&host)[number];
            map.client().expect(&user(first), &host.passwd(first, SHARED));
            map.client().expect(&user(second), &NOT_FOUND);
            let file = fs::OpenOptions::new().write(true).open(host.dir.join("registry")).unwrap();
            file.set_len(len as u64).unwrap();
            // A cut line counts while it can be read, once another is written behind it. Else whoever
            // asks first now has the uid, and nobody else has it.
            let counts = len > line.find(" 17").unwrap() + 1;
            if counts {
                map.client().expect(&user(second), &NOT_FOUND);
            }
            let (one, other) = if counts { (first, second) } else { (second, first) };
            map.client().expect(&user(one), &host.passwd(one, SHARED));
            map.client().expect(&user(other), &NOT_FOUND);
            map_is(&host, one, Some(SHARED));
            map_is(&host, other, None);
        }
    }
}

#[test]
fn a_key_that_does_not_fit_on_the_disk_is_not_left_half_made() {
    let name = "a_key_that_does_not_fit_on_the_disk_is_not_left_half_made";
    if !is_root() {
        return skip(name, "mounts need root");
    }
    let host = Host::new();
    host.dir.subdirectory("full");
    let mut command = nsssd(&host.bin, "unshare");
    let script = "mount -t tmpfs -o size=4k full \"$1/full\" && cd \"$1/full\" \
                  && head -c 4096 /dev/zero > ballast; nsssd-map -k key; echo $?; \
                  test -e key; echo $?; rm ballast; nsssd-map -k key; echo $?; wc -c <key";
    command.args(["-m", "sh", "-c", script, "host"]).arg(host.dir.path());
    let run = run_to_end(command);
    let out = String::from_utf8_lossy(&run.stdout).into_owned();
    assert_eq!(out.split_whitespace().collect::<Vec<_>>(), ["111", "1", "0", "33"], "{run:?}");
    assert!(run.stderr.contains("No space left on device"), "{}", run.stderr);
    assert_eq!(KEY.len(), 33);
}

/// A process that has become its client has the limits that he sets (prlimit(2)), at any moment.
#[test]
fn a_limit_that_a_client_sets_tears_no_line_of_a_registry() {
    let host = Host::new();
    host.range("registry DIR/registry");
    let names: Vec<String> = (0..2000).map(|n| format!("user{n}")).collect();
    host.homes(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let daemon = host.start(&[]);
    assert!(uid_of(&daemon, &names[0]).is_some());
    let limit = |current| {
        let limit = Rlimit { current, maximum: getrlimit(Resource::Fsize).maximum };
        prlimit(Some(daemon.pid()), Resource::Fsize, limit).expect("prlimit");
    };
    let path = host.dir.join("registry");
    let size = || fs::metadata(&path).unwrap().len();
    // One that stays: nothing is written at all.
    limit(Some(size() + 5));
    let before = host.read("registry");
    daemon.expect(&user("user1"), &[27]);
    assert_eq!(host.read("registry"), before);
    // One that comes and goes, also between a look at it and the write.
    let ending = AtomicBool::new(false);
    let (mut given, mut refused, mut other) = (1, 0, None);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ending.load(Ordering::SeqCst) {
                limit(None);
                limit(Some(size() + 5));
            }
        });
        for name in &names[1..] {
            match daemon.ask(&user(name), 1)[0] {
                0 => {
                    let head = daemon.recv_exact(12);
                    daemon.recv_exact(u32::from_be_bytes(head[8..].try_into().unwrap()) as usize);
                    given += 1;
                }
                27 | 28 => refused += 1,
                status => other = Some(status),
            }
            if other.is_some() || (given > 50 && refused > 50) {
                break;
            }
            // For the other one to do something.
            thread::yield_now();
        }
        ending.store(true, Ordering::SeqCst);
    });
    assert_eq!(other, None, "neither found nor refused");
    assert!(given > 1 && refused > 1, "{given} given, {refused} refused");
    let text = host.read("registry");
    assert!(text.ends_with('\n'));
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert!(lines.iter().all(|line| line.split(' ').count() == 3), "{text}");
    assert_eq!(lines.len(), given, "{text}");
}
