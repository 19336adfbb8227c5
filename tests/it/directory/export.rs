//! `nsscache export`: what it writes, when, and what it leaves alone.

use crate::support::directory::Machine;
use crate::support::http::Http;
use crate::support::snapshot::{config, hand_out, new_key, no_minisign, now, sum};
use crate::support::{run_to_end, wait_until};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

const MAPS: [(&str, &str); 5] = [
    ("passwd", "alice:x:10001:20000:Alice:/home/alice:/bin/sh\nbob:x:10002:20000::/home/bob:\n"),
    ("group", "staff:*:20000:alice,bob\nempty:*:20001:\n"),
    ("shadow", "alice:$6$x$y:19000:0:99999:7:::\nbob:*:::::::\n"),
    ("netgroup", "all (-,alice,) (-,bob,)\nhosts  (h,,)\n"),
    ("sshkey", "alice:['ssh-ed25519 AAAA a', 'ssh-ed25519 BBBB b']\nbob:ssh-ed25519 CCCC c\n"),
];

/// A machine with maps of files, a key, and a folder to export to.
struct Exporter(Machine);

impl Exporter {
    #[track_caller]
    fn new() -> Exporter {
        let mut text =
            "[DEFAULT]\nsource = files\ncache = files\nmaps = passwd, group, shadow, netgroup, automount, sshkey\n\
             timestamp_dir = /var/lib/nsscache\nlockfile = /run/nsscache.lock\nfiles_dir = /etc\n\
             files_automount_base_path = /run/auto\n"
                .to_owned();
        for (map, _) in MAPS {
            text += &format!("files_{map}_path = /run/{map}\n");
        }
        let machine = Machine::with(&text);
        for (map, body) in MAPS {
            machine.dir.write(&format!("run/{map}"), body);
        }
        machine.dir.subdirectory("run/auto");
        machine
            .dir
            .write("run/auto/auto.master", "/home auto.home\n/usr/local nfs:/x/auto.local -ro\n");
        machine.dir.write("run/auto/auto.home", "alice -rw server:/home/alice\n* server:/home/&\n");
        machine.dir.write("run/auto/auto.local", "src server:/src\n");
        machine.dir.subdirectory("run/www");
        new_key(&machine.dir, "run/exporter");
        machine.expect(0, &["update"]);
        Exporter(machine)
    }

    #[track_caller]
    fn export(&self, code: i32, more: &[&str]) -> String {
        let words = [&["-v", "export", "-k", "/run/exporter.key"], more, &["/run/www"]].concat();
        self.0.expect(code, &words).stderr
    }

    /// What is handed out now, held against its list.
    #[track_caller]
    fn files(&self) -> BTreeMap<String, String> {
        let text = fs::read_to_string(self.0.dir.join("run/www/snapshot")).unwrap();
        checked(&self.0.dir.join("run/www"), &text)
    }
}

/// The maps of a list, each of which is there as the list says.
#[track_caller]
fn checked(www: &Path, text: &str) -> BTreeMap<String, String> {
    let mut maps = BTreeMap::new();
    assert!(www.join(format!("snapshot-{}.minisig", sum(text.as_bytes()))).exists(), "{text}");
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split(' ').collect();
        let body = fs::read_to_string(www.join(format!("{}-{}", words[0], words[1]))).unwrap();
        assert_eq!(
            (sum(body.as_bytes()).as_str(), body.len().to_string().as_str()),
            (words[1], words[2])
        );
        maps.insert(words[0].to_owned(), body);
    }
    maps
}

#[test]
fn all_maps_come_out_as_they_went_in() {
    if no_minisign("all_maps_come_out_as_they_went_in") {
        return;
    }
    let exporter = Exporter::new();
    let www = exporter.0.dir.join("run/www");
    // Shadow is for who asks for it, and then for nobody else to read.
    exporter.export(0, &[]);
    assert!(!exporter.files().contains_key("shadow"));
    exporter.export(0, &["--shadow"]);
    let files = exporter.files();
    let shadow = format!("run/www/shadow-{}", sum(files["shadow"].as_bytes()));
    assert_eq!(exporter.0.mode(&shadow).0, 0o600);
    let group = format!("run/www/group-{}", sum(files["group"].as_bytes()));
    assert_eq!(exporter.0.mode(&group).0, 0o644);
    assert_eq!(exporter.0.mode("run/www/snapshot").0, 0o644);
    for (map, _) in MAPS {
        assert_eq!(files[map], exporter.0.text(&format!("{map}.cache")), "{map}");
    }
    // A board has the same, byte for byte.
    let server = Http::new(move |request, stream| hand_out(&www, request, stream));
    let maps = "passwd, group, shadow, netgroup, automount, sshkey";
    let board = Machine::with(&config(maps, &server.url(), ""));
    let signers = fs::read(exporter.0.dir.join("run/exporter.pub")).unwrap();
    board.dir.write("run/signers", signers);
    board.expect(0, &["update"]);
    assert_eq!(board.made(), exporter.0.made());
    // (Tables of ours tell the time of the data.)
    for name in board.made().iter().filter(|name| !name.contains(".hash")) {
        assert_eq!(board.read(name), exporter.0.read(name), "{name}");
    }
    assert_eq!(board.text("auto.home.cache"), "alice -rw server:/home/alice\n* server:/home/&\n");
    assert_eq!(board.mode("etc/shadow.cache"), exporter.0.mode("etc/shadow.cache"));
    let before = server.requests().len();
    board.expect(0, &["update"]);
    assert_eq!(server.requests().len(), before + 1);
    // A map of automount that is changed, and one that is new.
    exporter.0.dir.write("run/auto/auto.local", "src server:/src2\n");
    exporter.0.dir.write("run/auto/auto.new", "x server:/x\n");
    exporter
        .0
        .dir
        .write("run/auto/auto.master", "/home auto.home\n/usr/local auto.local\n/new auto.new\n");
    exporter.0.expect(0, &["update"]);
    exporter.export(0, &["--shadow"]);
    board.expect(0, &["update"]);
    for name in ["auto.master.cache", "auto.home.cache", "auto.usr_local.cache", "auto.new.cache"] {
        assert_eq!(board.read(name), exporter.0.read(name), "{name}");
    }
    assert!(board.text("auto.usr_local.cache").contains("/src2"));
}

#[test]
fn only_what_changed_is_written() {
    if no_minisign("only_what_changed_is_written") {
        return;
    }
    let exporter = Exporter::new();
    let www = exporter.0.dir.join("run/www");
    let names = || -> Vec<String> {
        let names = fs::read_dir(&www).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let serial = || -> u64 {
        let text = fs::read_to_string(www.join("snapshot")).unwrap();
        text.split("serial=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    let second = || fs::metadata(www.join("snapshot")).unwrap().mtime();
    let before = now() as u64;
    exporter.export(0, &[]);
    assert!((before..=now() as u64).contains(&serial()));
    let (first, count, at) = (serial(), names().len(), second());
    // Nothing has changed: a list and its signature. A web server sees that it is another one, though it
    // has the same size and was made within the same second.
    exporter.export(0, &[]);
    assert!(serial() > first && second() > at);
    assert_eq!(names().len(), count + 1);
    // Or not even that.
    let second = serial();
    assert!(exporter.export(0, &["--renew=24"]).contains("nothing new since snapshot"));
    assert_eq!((serial(), names().len()), (second, count + 1));
    exporter.export(0, &["--renew=0"]);
    assert!(serial() > second);
    exporter.0.dir.write("run/passwd", MAPS[0].1.replace("Alice", "A."));
    exporter.0.expect(0, &["update"]);
    exporter.export(0, &["--renew=24"]);
    assert_eq!(names().len(), count + 4);
    // A damaged file of an earlier export is made anew.
    let files = exporter.files();
    let group = www.join(format!("group-{}", sum(files["group"].as_bytes())));
    fs::write(&group, "x").unwrap();
    exporter.export(0, &[]);
    assert_eq!(exporter.files(), files);
    // Files that are not ours stay; old ones of ours only until nobody can need them.
    fs::write(www.join("index.html"), "x").unwrap();
    let old = names().len();
    exporter.export(0, &[]);
    exporter.export(0, &[]);
    assert_eq!(names().len(), old + 2, "nothing is removed within a day");
    let unlisted = fs::read_to_string(www.join(".unlisted")).unwrap();
    let day = now() - 86_400;
    let aged: String = unlisted
        .lines()
        .map(|line| format!("{} {day}\n", line.rsplit_once(' ').unwrap().0))
        .collect();
    fs::write(www.join(".unlisted"), aged).unwrap();
    let said = exporter.export(0, &[]);
    assert!(said.contains("old files removed"), "{said}");
    let left = names();
    assert!(left.contains(&"index.html".to_owned()));
    // The current list, and those of the two exports before.
    assert_eq!(left.iter().filter(|name| name.ends_with(".minisig")).count(), 3, "{left:?}");
    assert_eq!(left.iter().filter(|name| name.starts_with("passwd-")).count(), 1, "{left:?}");
    assert_eq!(exporter.files(), files);
}

#[test]
fn nothing_is_exported_that_boards_should_not_get() {
    if no_minisign("nothing_is_exported_that_boards_should_not_get") {
        return;
    }
    let exporter = Exporter::new();
    let Exporter(machine) = &exporter;
    let www = machine.dir.join("run/www");
    let users = |count: u32| {
        (0..count).fold(String::new(), |text, n| {
            text + &format!("u{n}:x:{}:20000::/home/u{n}:/bin/sh\n", 10_000 + n)
        })
    };
    fs::write(machine.etc("passwd.cache"), users(100)).unwrap();
    exporter.export(0, &[]);
    let good = fs::read(www.join("snapshot")).unwrap();
    let refuses = |more: &[&str], why: &str| {
        let said = exporter.export(1, more);
        assert!(said.contains(why), "{why}: {said}");
        assert_eq!(fs::read(www.join("snapshot")).unwrap(), good, "{why}");
    };
    fs::write(machine.etc("passwd.cache"), users(79)).unwrap();
    refuses(&[], "79 entries, and 100 were exported: more than max_shrink = 20 percent are gone");
    fs::write(machine.etc("passwd.cache"), "").unwrap();
    refuses(&["--accept-shrink"], "/etc/passwd.cache has no entries");
    fs::remove_file(machine.etc("passwd.cache")).unwrap();
    refuses(&[], "unable to open /etc/passwd.cache");
    fs::write(machine.etc("passwd.cache"), users(100)).unwrap();
    // The key: for others to read, no key, one with a password.
    machine.dir.chmod("run/exporter.key", 0o644);
    refuses(&[], "chmod 600 /run/exporter.key");
    let key = fs::read(machine.dir.join("run/exporter.key")).unwrap();
    machine.dir.write("run/exporter.key", "x\n");
    machine.dir.chmod("run/exporter.key", 0o600);
    refuses(&[], "minisign could not sign");
    machine.dir.write("run/exporter.key", key);
    machine.dir.chmod("run/exporter.key", 0o600);
    let path = "PATH=/nonexistent exec \"$0\" nsscache export -k /run/exporter.key /run/www";
    let done = run_to_end(machine.shell(path));
    assert!(done.stderr.contains("unable to run minisign"), "{}", done.stderr);
    // A clock that is behind: such a list would be refused everywhere.
    let text = String::from_utf8(good.clone()).unwrap();
    let ahead = format!("time={}", now() + 1000);
    let (time, rest) = text.split_once("time=").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    fs::write(www.join("snapshot"), format!("{time}{ahead}\n{rest}")).unwrap();
    let said = exporter.export(1, &[]);
    assert!(said.contains("this machine's clock says"), "{said}");
    fs::write(www.join("snapshot"), &good).unwrap();
    // Two at a time.
    let held = fs::File::open(&www).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert!(exporter.export(200, &[]).contains("another process exports"));
    // Closed alone it would stay: a child that another test starts has it until it executes.
    rustix::fs::flock(&held, rustix::fs::FlockOperation::Unlock).unwrap();
    fs::write(machine.etc("passwd.cache"), users(79)).unwrap();
    exporter.export(0, &["--accept-shrink"]);
    assert!(exporter.files()["passwd"].starts_with("u0:"));
    // Wrong words.
    for words in [&["export"][..], &["export", "/run/www"], &["export", "-k", "/run/exporter.key"]]
    {
        machine.expect(2, words);
    }
    let said = machine.expect(1, &["export", "-k", "/run/exporter.key", "/run/none"]).stderr;
    assert!(said.contains("/run/none"), "{said}");
    let said =
        machine.expect(1, &["export", "-m", "shadow", "-k", "/run/exporter.key", "/run/www"]);
    assert!(said.stderr.contains("--shadow"), "{}", said.stderr);
}

/// At any moment there is a list, and all that it lists.
#[test]
fn an_export_that_is_killed_leaves_a_whole_one() {
    if no_minisign("an_export_that_is_killed_leaves_a_whole_one") {
        return;
    }
    let exporter = Exporter::new();
    let Exporter(machine) = &exporter;
    let www = machine.dir.join("run/www");
    let begun = Instant::now();
    exporter.export(0, &[]);
    let mut usual = begun.elapsed();
    let (mut killed, mut lists) = (0, BTreeMap::new());
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..60 {
        // xorshift
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut file =
            fs::OpenOptions::new().append(true).open(machine.etc("passwd.cache")).unwrap();
        writeln!(file, "u{round}:x:{}:20000::/:", 11_000 + round).unwrap();
        let words = "exec \"$0\" nsscache export -k /run/exporter.key /run/www 2>/dev/null";
        let mut child = machine.shell(words).spawn().unwrap();
        std::thread::sleep(
            usual.mul_f64((random % 1000) as f64 / 500.0) + Duration::from_millis(1),
        );
        let _ = child.kill();
        let early = !child.wait().unwrap().success();
        killed += u32::from(early);
        // It takes longer or shorter as the machine is busy: about half of them shall end early.
        usual = usual.mul_f64(if early { 1.1 } else { 0.9 });
        let text = fs::read_to_string(www.join("snapshot")).unwrap();
        lists.insert(text.clone(), round);
        checked(&www, &text);
        // Older ones are whole, too.
        lists.keys().for_each(|text| drop(checked(&www, text)));
    }
    assert!(killed > 15 && lists.len() > 5, "{killed} ended early, {} lists", lists.len());
    wait_until("the lock is free", || {
        machine.nsscache(&["export", "-k", "/run/exporter.key", "/run/www"]).code == Some(0)
    });
    let names = fs::read_dir(&www).unwrap();
    let left = names.filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".nsscache-")
    });
    assert_eq!(left.count(), 0);
}
