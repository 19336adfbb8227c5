//! Whoever writes is killed: at random moments, and at each of its calls.

use crate::reader::Reader;
use crate::readers::{Libnss, stage, writer};
use crate::rounds;
use crate::sets::{Set, USERS};
use crate::support::injection::can_inject;
use crate::support::stage::Stage;
use crate::support::{have_program, is_root, nssbox, run_to_end, skip};
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// All files are of one set, and every reader says so. What other readers answer is looked at now and
/// then only: that takes a while.
#[track_caller]
fn expect_one_set(stage: &Stage, libnss: Option<&Libnss>, what: &str) {
    let there = fs::read_to_string(stage.dir.join("passwd.cache")).expect("passwd.cache");
    let whole = [Set::A, Set::B].into_iter().find(|set| set.passwd() == there);
    let set = whole.unwrap_or_else(|| panic!("{what}: {} bytes of passwd.cache", there.len()));
    let group = fs::read_to_string(stage.dir.join("group.cache")).expect("group.cache");
    assert!([Set::A, Set::B].iter().any(|set| set.group() == group), "{what}: group.cache");
    let mut reader = Reader::new(stage);
    for user in (0..USERS + 100).step_by(7) {
        reader.user(user);
        reader.groups(user % 120);
    }
    let others = reader.count.of[usize::from(set == Set::A)];
    // Groups may be of the other set.
    assert!(others <= 443, "{what}: {others} answers of another set than {set:?}");
    if let Some(libnss) = libnss {
        libnss.expect_one_set(stage.dir.path(), what);
    }
}

/// No temporary file is left after the next run.
#[track_caller]
fn expect_clean(stage: &Stage) {
    let done = run_to_end(writer(stage, 1));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let entries = fs::read_dir(stage.dir.path()).expect("a directory");
    for entry in entries {
        let name = entry.expect("an entry").file_name().into_string().unwrap();
        assert!(!name.starts_with('.'), "{name} was left");
    }
}

pub fn at_random() {
    let test = "random_kills_leave_one_set_or_the_other";
    let stage = stage();
    let libnss = Libnss::new(test, &stage);
    let mut number = 7_u32;
    for kill in 0..(rounds() / 5).max(10) {
        let mut command = writer(&stage, 0);
        let mut child = command.stdin(Stdio::null()).spawn().expect("a writer");
        number = number.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        // A moment, and not until something has happened.
        thread::sleep(Duration::from_micros(u64::from(number >> 8) % 150_000));
        child.kill().expect("a kill");
        child.wait().expect("its end");
        let libnss = libnss.as_ref().filter(|_| kill % 10 == 0);
        expect_one_set(&stage, libnss, &format!("kill {kill}"));
    }
    expect_clean(&stage);
}

/// The calls that concern files.
const CALLS: &str = "openat,flock,fstat,newfstatat,write,pwrite64,pread64,read,fchown,fchmod,utimensat,fsync,unlinkat,renameat,renameat2,getdents64,close,lseek,fcntl";

/// Runs a command under strace, killed at the call of this number of its kind.
fn killed(command: &Command, call: &str, nth: usize) -> Option<i32> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:signal=KILL:when={nth}")]);
    strace.arg(command.get_program()).args(command.get_args());
    let status = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    use std::os::unix::process::ExitStatusExt as _;
    status.expect("strace").signal()
}

/// How often each call is made, once the directory has been opened.
fn calls(stage: &Stage, command: &Command) -> Vec<(String, usize, usize)> {
    let log = stage.dir.join("log");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", &format!("trace={CALLS}"), "-o"]).arg(&log);
    strace.arg(command.get_program()).args(command.get_args());
    let done = run_to_end(strace);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let text = fs::read_to_string(&log).expect("a log");
    fs::remove_file(&log).expect("a log");
    let (mut counts, mut begun): (Vec<(String, usize, usize)>, bool) = (Vec::new(), false);
    for line in text.lines() {
        let call = line.split_whitespace().nth(1).unwrap_or_default();
        let Some((call, _)) = call.split_once('(') else { continue };
        begun |= line.contains(stage.dir.as_str()) && line.contains("O_DIRECTORY");
        match counts.iter_mut().find(|(name, ..)| name == call) {
            Some((_, count, first)) => {
                *count += 1;
                *first += usize::from(!begun);
            }
            None => counts.push((call.to_owned(), 1, usize::from(!begun))),
        }
    }
    counts
}

#[track_caller]
fn at_each_call(test: &str, command: impl Fn(&Stage) -> Command) {
    if !is_root() || !can_inject(test) {
        return skip(test, "needs root and strace");
    }
    let stage = stage();
    let libnss = Libnss::new(test, &stage);
    let (mut kills, mut at, mut tried) = (0, 0, 0);
    for (call, count, before) in calls(&stage, &command(&stage)) {
        for nth in before + 1..=count {
            at += 1;
            if rounds() < 1000 && at % 5 != 0 {
                continue;
            }
            tried += 1;
            if killed(&command(&stage), &call, nth) == Some(9) {
                kills += 1;
            }
            let libnss = libnss
                .as_ref()
                .filter(|_| tried % 8 == 0 || call.starts_with("rename") || call == "unlinkat");
            expect_one_set(&stage, libnss, &format!("{call} {nth}"));
        }
    }
    println!("{kills} kills at {tried} of {at} calls");
    assert!(tried > 20 && kills * 10 >= tried * 9, "{kills} kills of {tried}");
    expect_clean(&stage);
}

pub fn at_each_call_of_writing() {
    at_each_call("a_kill_at_each_call_of_a_replacement_leaves_one_set", |stage| writer(stage, 1));
}

pub fn at_each_call_of_indexing() {
    at_each_call("a_kill_at_each_call_of_indexing_leaves_the_set", |stage| {
        let mut command = Command::new(nssbox());
        command.args(["nsscache", "index", "-d", stage.dir.as_str(), "passwd", "group"]);
        command
    });
}

/// On disks of growing size, a replacement fails, and the old set stays; until there is room.
pub fn full_disk() {
    let test = "a_full_disk_leaves_the_old_set";
    if !is_root() || !have_program("unshare") {
        return skip(test, "needs root and unshare");
    }
    let stage = stage();
    let script = "set -e
        mount -t tmpfs -o size=${ROOM}k none /mnt
        for f in passwd group; do cp -p \"$DIR\"/$f.cache* /mnt/; done
        set +e
        \"$WRITER\" --write /mnt 1
        echo $?
        ls -A /mnt | grep '^\\.'
        cmp -s \"$DIR/passwd.cache\" /mnt/passwd.cache && echo old || echo new
        \"$BOX\" getent -s 'cache -d /mnt' passwd user700 10701 20701";
    let (mut failed, mut done) = (0, false);
    for room in (480..1200).step_by(24) {
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-c", script]);
        command.env("ROOM", room.to_string()).env("DIR", stage.dir.path()).env("BOX", nssbox());
        command.env("WRITER", std::env::current_exe().expect("this executable"));
        let ran = run_to_end(command);
        let out = String::from_utf8_lossy(&ran.stdout).into_owned();
        let [a, b] = [Set::A, Set::B].map(|set| [700, 701].map(|user| set.line(user).unwrap()));
        let set = |[one, two]: &[String; 2]| format!("{one}\n{two}\n");
        match out.as_str() {
            // There is not even room for what is there.
            "" if ran.stderr.contains("cp:") => {}
            text if text == format!("1\nold\n{}", set(&a)) => failed += 1,
            // passwd was replaced, and there was no room for group.
            text if text == format!("1\nnew\n{}", set(&b)) => failed += 1,
            text if text == format!("0\nnew\n{}", set(&b)) => done = true,
            _ => panic!("{room} KiB: {out}{}", ran.stderr),
        }
    }
    assert!(failed > 2 && done, "{failed}, {done}");
}
