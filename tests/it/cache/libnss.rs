//! Debian's libnss-cache reads what `nsscache index` writes.
#![cfg(feature = "nsscache")]

use super::bench::{Bench, Told};
use crate::support::{Finished, have_program, is_root, peer, run_to_end, skip};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

const USERS: u32 = 5000;

/// A user: names of ASCII and others, uids up to 2^31-1.
fn user(number: u32) -> (String, u32) {
    let name = match number % 5 {
        0 => format!("jörg{number}"),
        1 => format!("山田{number}"),
        2 => format!("a.very.long-name_{number}"),
        _ => format!("u{number}"),
    };
    (name, if number.is_multiple_of(3) { i32::MAX as u32 - number } else { 10 + number * 7 })
}

fn line(number: u32) -> String {
    let (name, uid) = user(number);
    format!("{name}:x:{uid}:100:Häns Müller {number}:/home/{number}:/bin/sh")
}

fn group(number: u32) -> String {
    let members: Vec<String> = (0..number % 900).map(|n| user(n * 7 % USERS).0).collect();
    format!("gruppe-ä{number}:*:{}:{}", 40_000 + number, members.join(","))
}

struct Machine {
    bench: Bench,
    library: PathBuf,
}

impl Machine {
    fn new(test: &str) -> Option<Machine> {
        if !is_root() || !have_program("unshare") || !have_program("getent") {
            skip(test, "needs root, unshare and glibc's getent");
            return None;
        }
        let name = format!("usr/lib/{}-linux-gnu/libnss_cache.so.2", std::env::consts::ARCH);
        let library = peer(test, "libnss-cache", &name)?;
        let mut bench = Bench::new();
        bench.write("passwd.cache", (0..USERS).map(|n| line(n) + "\n").collect::<String>());
        bench.write("group.cache", (0..1000).map(|n| group(n) + "\n").collect::<String>());
        bench.write(
            "shadow.cache",
            (0..USERS).map(|n| format!("{}:*:{n}::::::\n", user(n).0)).collect::<String>(),
        );
        bench.index();
        Some(Machine { bench, library: library.parent().unwrap().into() })
    }

    /// Runs glibc's getent with our files in its /etc.
    fn getent(&self, database: &str, keys: &[String]) -> Finished {
        let script =
            "cd \"$DIR\" && mount --bind . /etc && shift && exec /usr/bin/getent -s cache \"$@\"";
        let mut command = Command::new("unshare");
        command
            .args(["-m", "--propagation", "private", "sh", "-c", script, "sh", "x", database])
            .args(keys);
        command
            .env("DIR", self.bench.stage.dir.path())
            .env("LD_LIBRARY_PATH", &self.library)
            .env("LC_ALL", "C.UTF-8");
        run_to_end(command)
    }

    #[track_caller]
    fn expect(&self, database: &str, keys: Vec<String>, lines: Vec<String>) {
        for (keys, lines) in keys.chunks(500).zip(lines.chunks(500)) {
            let done = self.getent(database, keys);
            let out = String::from_utf8_lossy(&done.stdout).into_owned();
            let got: Vec<&str> = out.lines().collect();
            assert!(
                got == lines,
                "{database} {:?}...: {:?} {}",
                keys.first(),
                done.code,
                done.stderr
            );
        }
    }
}

#[test]
fn libnss_cache_finds_everybody_by_our_indexes() {
    let Some(machine) = Machine::new("libnss_cache_finds_everybody_by_our_indexes") else { return };
    let all = 0..USERS;
    machine.expect(
        "passwd",
        all.clone().map(|n| user(n).0).collect(),
        all.clone().map(line).collect(),
    );
    machine.expect(
        "passwd",
        all.clone().map(|n| user(n).1.to_string()).collect(),
        all.clone().map(line).collect(),
    );
    let groups = 0..1000;
    machine.expect(
        "group",
        groups.clone().map(|n| format!("gruppe-ä{n}")).collect(),
        groups.clone().map(group).collect(),
    );
    machine.expect(
        "group",
        groups.clone().map(|n| (40_000 + n).to_string()).collect(),
        groups.map(group).collect(),
    );
    let shadow = |n: u32| format!("{}:*:{n}::::::", user(n).0);
    machine.expect(
        "shadow",
        all.clone().map(|n| user(n).0).collect(),
        all.clone().map(shadow).collect(),
    );
    // And so does nsssd-cache.
    for number in all {
        let want = Told::Line(line(number));
        assert_eq!(machine.bench.call("getpwnam", &user(number).0), want);
        assert_eq!(machine.bench.call("getpwuid", &user(number).1.to_string()), want);
    }
    let nobody = machine.getent("passwd", &["nosuch".into(), "5".into()]);
    assert_eq!((nobody.code, nobody.stdout.len()), (Some(2), 0));
}

/// It uses them: what is not in an index, it does not find. So ids above 2^31-1 are never found by it,
/// which it looks for as negative numbers; nsssd-cache finds them.
#[test]
fn ids_above_2_31_are_found_by_nsssd_cache_alone() {
    let test = "ids_above_2_31_are_found_by_nsssd_cache_alone";
    let Some(mut machine) = Machine::new(test) else { return };
    let mut lines = String::new();
    for id in [0_u32, 2_147_483_647, 2_147_483_648, 4_294_967_294] {
        writeln!(lines, "id{id}:x:{id}:1:::").unwrap();
    }
    machine.bench.write("passwd.cache", &lines);
    machine.bench.index();
    for (id, theirs) in
        [(0_u32, true), (2_147_483_647, true), (2_147_483_648, false), (4_294_967_294, false)]
    {
        let found = machine.getent("passwd", &[id.to_string()]).code == Some(0);
        assert_eq!(found, theirs, "libnss-cache: {id}");
        let want = Told::Line(format!("id{id}:x:{id}:1:::"));
        assert_eq!(machine.bench.call("getpwuid", &id.to_string()), want);
    }
    machine.bench.remove("passwd.cache.ixuid");
    assert_eq!(machine.getent("passwd", &["4294967294".into()]).code, Some(0), "without an index");
}

/// A line that glibc cannot read is in no index of ours: if it were, and were the last one, libnss-cache
/// would have getent aborted.
#[test]
fn no_index_of_ours_has_getent_aborted() {
    let Some(mut machine) = Machine::new("no_index_of_ours_has_getent_aborted") else { return };
    machine.bench.write("shadow.cache", "ada:*:1::::::\nneg:*:-1::::::\n");
    machine.bench.index();
    let done = machine.getent("shadow", &["neg".into()]);
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    assert_eq!(machine.bench.call("getspnam", "neg"), Told::NotFound);
}
