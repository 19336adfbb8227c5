//! What is looked up while files change: nothing is torn, nothing is older than may be, and nothing is
//! old once `nscd -i` has returned.

use super::house::{House, Place, is_long};
use crate::nscd::machine::over_etc;
use crate::support::{Server, TempDir, have_program, run_to_end, skip, tool, wait_until};
use std::fs::{self, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

fn user(n: u32) -> String {
    format!("ada:*:4001:4100:Generation {n:05}:/home/{n:05}:/bin/sh{n:05}\n")
}

fn group(n: u32) -> String {
    format!("staff:!{n}:4100:{}\n", vec!["m"; (n % 64) as usize].join(","))
}

fn house(test: &str, place: Place) -> Option<House> {
    House::new(test, place, &user(0), &group(0))
}

/// In each way in which a file may change: a map is off soon, and the next one says what the file says.
#[test]
fn a_change_of_each_kind_turns_the_map_off_and_is_in_the_next_one() {
    let test = "a_change_of_each_kind_turns_the_map_off_and_is_in_the_next_one";
    let Some(house) = house(test, Place::Disk) else { return };
    let dir = &house.bench.dir;
    let path = dir.join("passwd");
    let _server = house.serve(&[]);
    let mut client = house.client();
    let mut n = 0;
    let mut change = |what: &str, work: &dyn Fn(u32)| {
        n += 1;
        let [given, _] = house.maps();
        work(n);
        wait_until(what, || !given.is_on());
        let [given, _] = house.maps();
        assert_eq!(given.check(), 2, "{what}");
        let answer = client.ask("u ada");
        assert_eq!(answer, user(n).trim_end(), "{what}");
    };
    change("renamed over", &|n| drop(dir.replace("passwd", user(n))));
    change("written in place", &|n| fs::write(&path, user(n)).unwrap());
    change("written in place, as long as before", &|n| {
        let mut file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all(user(n).as_bytes()).unwrap();
    });
    change("appended, and cut off in front", &|n| {
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        writeln!(file, "#").unwrap();
        fs::write(&path, user(n)).unwrap();
    });
    change("removed and made anew", &|n| {
        fs::remove_file(&path).unwrap();
        dir.write("passwd", user(n));
    });
    change("through another link", &|n| {
        let link = dir.join("link");
        fs::hard_link(&path, &link).unwrap();
        fs::write(&link, user(n)).unwrap();
        fs::remove_file(&link).unwrap();
    });
    let elsewhere = dir.subdirectory("elsewhere");
    change("replaced by a symbolic link", &|n| {
        fs::write(elsewhere.join("passwd"), user(n)).unwrap();
        fs::remove_file(&path).unwrap();
        symlink(elsewhere.join("passwd"), &path).unwrap();
    });
    change("where the link leads", &|n| {
        fs::write(elsewhere.join("new"), user(n)).unwrap();
        fs::rename(elsewhere.join("new"), elsewhere.join("passwd")).unwrap();
    });
    change("a directory on the way is renamed", &|n| {
        fs::rename(&elsewhere, dir.join("away")).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("passwd"), user(n)).unwrap();
    });
    change("a link on the way is turned over", &|n| {
        // As a volume of Kubernetes is.
        let version = dir.subdirectory(&format!("..{n}"));
        fs::write(version.join("passwd"), user(n)).unwrap();
        symlink(&version, dir.join("..new")).unwrap();
        fs::rename(dir.join("..new"), dir.join("..data")).unwrap();
        let _ = fs::remove_file(&path);
        symlink("..data/passwd", &path).unwrap();
    });
    change("and turned over again", &|n| {
        let version = dir.subdirectory(&format!("..{n}"));
        fs::write(version.join("passwd"), user(n)).unwrap();
        symlink(&version, dir.join("..new")).unwrap();
        fs::rename(dir.join("..new"), dir.join("..data")).unwrap();
    });
    fs::remove_file(&path).unwrap();
    dir.write("passwd", user(0));
    change("through a shared mapping", &|n| {
        let script = "import mmap, os, sys\n\
                      f = os.open(sys.argv[1], os.O_RDWR)\n\
                      m = mmap.mmap(f, 0)\nt = sys.argv[2].encode()\nm[:len(t)] = t\n";
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(&path).arg(user(n));
        assert_eq!(run_to_end(command).code, Some(0));
    });
}

/// It is not left to the look at each second: whatever can turn the path is watched.
#[test]
fn links_and_directories_on_the_way_are_watched_where_they_stand() {
    let test = "links_and_directories_on_the_way_are_watched_where_they_stand";
    let Some(house) = house(test, Place::Disk) else { return };
    let dir = &house.bench.dir;
    dir.subdirectory("volume");
    let version = dir.subdirectory("volume/..1");
    fs::rename(dir.join("passwd"), version.join("passwd")).unwrap();
    symlink("..1", dir.join("volume/..data")).unwrap();
    symlink("volume/..data/passwd", dir.join("passwd")).unwrap();
    let server = house.serve(&[]);
    house.maps();
    let above = [dir.join(".."), dir.join("."), dir.join("volume"), version];
    for place in above {
        use std::os::unix::fs::MetadataExt as _;
        let inode = format!("ino:{:x} ", fs::metadata(&place).unwrap().ino());
        let is_watched = |entry: fs::DirEntry| {
            let info = fs::read_to_string(entry.path()).unwrap_or_default();
            info.lines().any(|line| line.starts_with("inotify ") && line.contains(&inode))
        };
        let mut all = fs::read_dir(format!("/proc/{}/fdinfo", server.pid())).unwrap();
        assert!(all.any(|entry| is_watched(entry.unwrap())), "{}", place.display());
    }
}

#[test]
fn what_is_mounted_over_a_file_is_seen() {
    let test = "what_is_mounted_over_a_file_is_seen";
    if !have_program("nsenter") {
        return skip(test, "no nsenter");
    }
    let Some(house) = house(test, Place::Disk) else { return };
    let other = TempDir::new();
    other.write("passwd", user(1));
    other.write("group", group(1));
    // In a namespace of its own, where the test can mount, too.
    let script = ["3", "nsssd-unix", "-d", house.bench.dir.as_str(), ""];
    let command = over_etc(&[], &house.command(&[], &script));
    let server = Server::start_command(command, &house.socket());
    let pid = server.pid().as_raw_nonzero().to_string();
    let mount = |words: &[&str]| {
        let mut command = Command::new("nsenter");
        command.args(["-t", &pid, "-m"]).args(words);
        let done = run_to_end(command);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
    };
    let dir = house.bench.dir.as_str().to_owned();
    let file = format!("{dir}/passwd");
    let mut client = house.client();
    for (over, words, n) in [
        ("a file", vec!["mount", "--bind", other.join("passwd").to_str().unwrap(), &file], 1),
        ("unmounted", vec!["umount", &file], 0),
        ("a directory", vec!["mount", "--bind", other.as_str(), &dir], 1),
        ("unmounted", vec!["umount", &dir], 0),
    ]
    .map(|(over, words, n)| (over, words.into_iter().map(str::to_owned).collect::<Vec<_>>(), n))
    {
        let [given, _] = house.maps();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        mount(&words);
        wait_until(over, || !given.is_on());
        house.maps();
        assert_eq!(client.ask("u ada"), user(n).trim_end(), "{over}");
    }
    // What is mounted elsewhere is no reason for a new one.
    let [given, _] = house.maps();
    let cycle = given.header().gc_cycle;
    mount(&["mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
    wait_until("a look", || given.header().gc_cycle > cycle && given.is_on());
    assert!(!given.is_let_go());
    // A file system that does not tell of changes: refused from then on.
    mount(&["mount", "-t", "proc", "proc", &dir]);
    wait_until("off", || !given.is_on());
}

#[test]
fn nothing_is_old_once_nscd_has_been_told() {
    let test = "nothing_is_old_once_nscd_has_been_told";
    let Some(house) = house(test, Place::Memory) else { return };
    let _server = house.serve(&[]);
    let mut client = house.client();
    house.maps();
    for n in 1..40 {
        // Whoever writes, and is heard or not.
        let path = house.bench.dir.join("passwd");
        let mut file = OpenOptions::new().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.set_len(0).unwrap();
        file.write_all(user(n).as_bytes()).unwrap();
        let mut command = tool(&house.bench.bin, "nscd");
        command.arg("-S").arg(house.socket()).args(["-i", "passwd"]);
        assert_eq!(run_to_end(command).code, Some(0));
        assert_eq!(client.ask("u ada"), user(n).trim_end());
    }
}

#[test]
fn only_root_turns_a_map_off() {
    let test = "only_root_turns_a_map_off";
    if !have_program("setpriv") || !have_program("perl") {
        return skip(test, "no setpriv or perl");
    }
    let Some(house) = house(test, Place::Memory) else { return };
    let _server = house.serve(&[]);
    let [given, _] = house.maps();
    let cycle = given.header().gc_cycle;
    let ask = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die;\n\
               syswrite $s, pack 'l3a7', 2, 10, 7, 'passwd'; print sysread $s, my $room, 9";
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "4242", "--clear-groups", "perl", "-e", ask]).arg(house.socket());
    let finished = run_to_end(command);
    assert_eq!(finished.stdout, b"0", "{}", finished.stderr);
    assert_eq!(given.header().gc_cycle, cycle);
}

/// Looks up in several programs while both files are replaced again and again, so often with a map in
/// between; above ten changes in a second there is none.
fn torn(test: &str, millis: u64, maps: u32) {
    let Some(house) = house(test, Place::Memory) else { return };
    let _server = house.serve(&[]);
    house.maps();
    let mut clients: Vec<_> = (0..3).map(|_| house.client()).collect();
    clients.iter_mut().for_each(|client| client.send(&format!("w {millis} ada staff")));
    let end = Instant::now() + Duration::from_millis(millis);
    let (mut n, mut on, mut lookups) = (0, 0, 0);
    while Instant::now() < end {
        n += 1;
        house.bench.dir.replace("passwd", user(n));
        house.bench.dir.replace("group", group(n));
        // Every eighth time not: then the next change comes before there is one.
        if n % 8 != 0 {
            house.maps();
            on += 1;
        }
    }
    for client in &mut clients {
        let answer = client.answer();
        let numbers: Vec<u64> = answer.split(' ').map(|word| word.parse().unwrap()).collect();
        let [count, wrong, back, changes] = numbers[..] else { panic!("{answer}") };
        assert_eq!((wrong, back), (0, 0), "{answer}");
        assert!(count > 100 && changes > 2, "{answer}");
        lookups += count;
    }
    eprintln!("{lookups} lookups, {n} generations, {on} maps");
    assert!(on >= maps, "{on} maps");
    let [given, _] = house.maps();
    given.check();
}

#[test]
fn no_lookup_is_torn_while_maps_are_replaced() {
    let test = "no_lookup_is_torn_while_maps_are_replaced";
    if is_long() { torn(test, 450_000, 1000) } else { torn(test, 4000, 2) }
}
