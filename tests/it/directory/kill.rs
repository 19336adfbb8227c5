//! An update that is killed, or whose calls fail: the old set or the new one stands whole, indexes lead to
//! nothing else, and the next run leaves nothing of it behind.

use crate::support::directory::{Machine, http_config, no_machine};
use crate::support::http::{Http, send};
use crate::support::{have_program, run_to_end, skip};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Whether each call is tried, and so many kills, or a sample.
fn is_whole() -> bool {
    std::env::var_os("NSSBOX_TEST_STRICT").is_some()
}

/// So many users, whose lines tell which set they are of.
fn users(set: &str, count: u32) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "u{n}:x:{}:1000:{set} {n}:/home/u{n}:/bin/sh", 10_000 + n);
        text
    })
}

/// A machine whose server sends one set and the other in turn.
struct House {
    machine: Machine,
    sets: [String; 2],
    _server: Http,
}

impl House {
    fn new(counts: [u32; 2]) -> House {
        let sets = [users("one", counts[0]), users("the other", counts[1])];
        let turn = AtomicU32::new(0);
        let bodies = sets.clone();
        let server = Http::new(move |_, stream| {
            let at = turn.fetch_add(1, Ordering::SeqCst) as usize % 2;
            // (nginx and the like tell when; a set without a time has no file for it.)
            let modified = [("Last-Modified", "Mon, 06 May 2024 07:08:09 GMT")];
            send(stream, "200 OK", &modified, bodies[at].as_bytes());
        });
        let machine = Machine::with(&http_config("passwd", &server.url(), "max_shrink = 100\n"));
        machine.expect(0, &["update", "--full"]);
        House { machine, sets, _server: server }
    }

    /// One of the sets stands whole, and each index that libnss-cache would believe leads to its lines.
    #[track_caller]
    fn assert_sound(&self, when: &str) {
        let data = self.machine.text("passwd.cache");
        assert!(self.sets.contains(&data), "{when}: {} bytes that are no set", data.len());
        let second = |name: &str| fs::metadata(self.machine.etc(name)).map(|file| file.mtime());
        let of_data = second("passwd.cache").unwrap();
        for (end, field) in [(".ixname", 0), (".ixuid", 2)] {
            let name = format!("passwd.cache{end}");
            match second(&name) {
                Ok(of_index) if of_index >= of_data => {}
                _ => continue,
            }
            let index = self.machine.read(&name).unwrap();
            let width = index.iter().position(|byte| *byte == b'\n').unwrap() + 1;
            assert_eq!(index.len() / width, data.lines().count(), "{when}: {name}");
            for record in index.chunks(width) {
                let mut words = record.split(|byte| *byte == 0);
                let key = std::str::from_utf8(words.next().unwrap()).unwrap();
                let offset: usize =
                    std::str::from_utf8(words.next().unwrap()).unwrap().parse().unwrap();
                let line = data[offset..].lines().next().unwrap();
                assert_eq!(line.split(':').nth(field), Some(key), "{when}: {name}");
            }
        }
    }

    /// A whole run is good, and leaves nothing but what belongs there.
    #[track_caller]
    fn assert_mended(&self, when: &str) {
        let finished = self.machine.nsscache(&["update", "--full"]);
        assert_eq!(finished.code, Some(0), "{when}: {}", finished.stderr);
        self.assert_sound(when);
        let made = self.machine.made();
        let known = |name: &String| name.starts_with("passwd.cache");
        assert!(made.iter().all(known) && made.len() >= 3, "{when}: {made:?}");
        let mut beside: Vec<String> = fs::read_dir(self.machine.dir.join("lib"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        beside.sort();
        let want = ["state-passwd", "timestamp-passwd-modify", "timestamp-passwd-update"];
        assert_eq!(beside, want, "{when}");
    }
}

#[test]
fn two_hundred_kills_at_random_moments_leave_a_whole_set() {
    if no_machine("two_hundred_kills_at_random_moments_leave_a_whole_set") {
        return;
    }
    let house = House::new([3000, 2500]);
    let begun = Instant::now();
    house.assert_mended("before");
    let usual = begun.elapsed();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut killed, rounds) = (0, if is_whole() { 200 } else { 40 });
    for round in 0..rounds {
        // xorshift
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut command = house.machine.shell("exec \"$0\" nsscache update --full 2>/dev/null");
        let mut child = command.spawn().unwrap();
        std::thread::sleep(
            usual.mul_f64((random % 1000) as f64 / 1000.0) + Duration::from_millis(1),
        );
        let _ = child.kill();
        killed += u32::from(!child.wait().unwrap().success());
        house.assert_sound(&format!("kill {round}"));
    }
    // Were they all too late, nothing was tried.
    assert!(killed > rounds / 4, "{killed} of {rounds} ended early");
    house.assert_mended("after all");
}

/// The calls by which an update changes what is on the disk, or could.
const CALLS: &str = "openat,write,pwrite64,rename,renameat,renameat2,unlink,unlinkat,fsync,fchmod,fchown,\
                     utimensat,ftruncate,mkdir,flock,fcntl,fstat,newfstatat,statx,pread64,getdents64";

/// Runs an update once for each call in turn, at which `fault` happens.
#[track_caller]
fn at_each_call(test: &str, calls: &[&str], fault: &str) -> u32 {
    let house = House::new([300, 250]);
    let mut tried = 0;
    for call in calls {
        for when in (1..2000).step_by(if is_whole() { 1 } else { 4 }) {
            let strace = format!(
                "exec strace -f -qq -o /run/trace -e trace={call} -e inject={call}:{fault}:when={when} \
                 \"$0\" nsscache update --full 2>/dev/null"
            );
            let finished = run_to_end(house.machine.shell(&strace));
            let place = format!("{call} {when}");
            house.assert_sound(&place);
            let trace = fs::read_to_string(house.machine.dir.join("run/trace")).unwrap_or_default();
            let met = trace.contains("(INJECTED)") || trace.contains("killed by SIGKILL");
            if !met {
                assert_eq!(finished.code, Some(0), "{place}: {}", finished.stderr);
                break;
            }
            tried += 1;
            if tried % 7 == 0 {
                house.assert_mended(&place);
            }
        }
        house.assert_mended(call);
    }
    println!("{test}: {tried} calls");
    tried
}

/// Those calls of the list that this machine's strace knows and an update makes.
fn calls_made(machine: &Machine) -> Vec<&'static str> {
    let mut made = Vec::new();
    for call in CALLS.split(',') {
        let counted = format!(
            "exec strace -f -qq -o /run/trace -e trace={call} \"$0\" nsscache update --full 2>/dev/null"
        );
        if run_to_end(machine.shell(&counted)).code == Some(0)
            && fs::metadata(machine.dir.join("run/trace")).is_ok_and(|trace| trace.len() > 0)
        {
            made.push(call);
        }
    }
    made
}

fn no_strace(test: &str) -> bool {
    let missing = !have_program("strace");
    if missing {
        skip(test, "no strace");
    }
    missing
}

#[test]
fn a_kill_at_each_file_call_leaves_a_whole_set() {
    let test = "a_kill_at_each_file_call_leaves_a_whole_set";
    if no_machine(test) || no_strace(test) {
        return;
    }
    let calls = calls_made(&House::new([30, 25]).machine);
    assert!(calls.contains(&"fsync") && calls.len() > 7, "{calls:?}");
    let tried = at_each_call(test, &calls, "signal=KILL");
    assert!(tried > if is_whole() { 100 } else { 20 }, "{tried}");
}

#[test]
fn a_full_disk_at_each_call_leaves_a_whole_set() {
    let test = "a_full_disk_at_each_call_leaves_a_whole_set";
    if no_machine(test) || no_strace(test) {
        return;
    }
    let all = calls_made(&House::new([30, 25]).machine);
    let writing =
        ["openat", "write", "pwrite64", "rename", "renameat", "renameat2", "fsync", "mkdir"];
    let calls: Vec<&str> = all.into_iter().filter(|call| writing.contains(call)).collect();
    let tried = at_each_call(test, &calls, "error=ENOSPC");
    assert!(tried > if is_whole() { 40 } else { 8 }, "{tried}");
}
