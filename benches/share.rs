//! What glibc's programs pay for a lookup: by our shared map, by that of glibc's nscd, by our socket, by
//! files of 1,000 and of 20 lines. All on one CPU, in one run; ratios are to ours. As root, with gcc.
//!
//!     NSSBOX_PEERS=target/peers cargo bench --bench share
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

/// Rounds, of which the median counts.
const ROUNDS: usize = 7;

/// What is asked, how often; and how many times glibc's nscd may be faster.
const ROWS: [(&str, &str, u32, f64); 8] = [
    ("getpwnam, the same", "u u500", 200_000, 1.2),
    ("getpwuid, the same", "U 1500", 200_000, 1.2),
    ("getpwuid, 500 different", "U 1200-1699", 100_000, 1.2),
    ("getgrnam, the same", "g g25", 100_000, 2.0),
    ("getgrgid, 50 different", "G 5000-5049", 100_000, 2.0),
    ("getgrouplist, the same", "l u500", 100_000, 2.0),
    ("getgrouplist, 500 different", "l u200-699", 100_000, 2.0),
    ("the first of a process", "u u500", 1, 1.1),
];

/// Who answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    Map,
    Glibc,
    Socket,
    Files,
    FewFiles,
}

const SUBJECTS: [(&str, Subject); 5] = [
    ("shared map", Subject::Map),
    ("glibc's nscd", Subject::Glibc),
    ("our socket", Subject::Socket),
    ("files, 1,000 lines", Subject::Files),
    ("files, 20 lines", Subject::FewFiles),
];

fn main() -> ExitCode {
    if env::args().any(|word| word == "--test") || !rustix::process::geteuid().is_root() {
        println!("share: not measured (needs root)");
        return ExitCode::SUCCESS;
    }
    let dir = env::temp_dir().join(format!("nssbox-share.{}", std::process::id()));
    furnish(&dir);
    let nscd = env::var_os("NSSBOX_PEERS").map(PathBuf::from).unwrap_or_default();
    let nscd = nscd.join("nscd/usr/sbin/nscd");
    let mut figures = vec![vec![Vec::new(); SUBJECTS.len()]; ROWS.len()];
    for _ in 0..ROUNDS {
        for (at, (_, subject)) in SUBJECTS.iter().enumerate() {
            if *subject == Subject::Glibc && !nscd.is_file() {
                continue;
            }
            for (row, nanos) in round(&dir, *subject, &nscd).into_iter().enumerate() {
                figures[row][at].push(nanos);
            }
        }
    }
    fs::remove_dir_all(&dir).unwrap();
    print!("{:30}", "microseconds (ratio)");
    SUBJECTS.iter().for_each(|(name, _)| print!("{name:>22}"));
    println!();
    let mut good = true;
    for ((what, _, _, limit), figures) in ROWS.iter().zip(&mut figures) {
        print!("{what:30}");
        let medians: Vec<Option<f64>> = figures.iter_mut().map(|of| median(of)).collect();
        let ours = medians[0].unwrap();
        for nanos in &medians {
            match nanos {
                Some(nanos) => print!("{:>13.3} {:>7.2}x", nanos / 1000.0, nanos / ours),
                None => print!("{:>22}", "not measured"),
            }
        }
        let over = medians[1].is_some_and(|glibc| ours > limit * glibc);
        println!("{}", if over { "  OVER" } else { "" });
        good &= !over;
    }
    if good || !env::args().any(|word| word == "--strict") {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn median(figures: &mut [f64]) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

fn furnish(dir: &Path) {
    fs::create_dir_all(dir.join("few")).unwrap();
    let users = |count: u32| -> String {
        let line = |n: u32| format!("u{n}:x:{}:5000:User {n}:/home/u{n}:/bin/sh\n", 1000 + n);
        let few = |n: u32| if count < 100 { n * 25 + 25 } else { n };
        (0..count).map(|n| line(few(n))).collect()
    };
    let groups = |count: u32| -> String {
        let members =
            |n: u32| (0..40).map(|m| format!("u{}", (n * 20 + m) % 1000)).collect::<Vec<_>>();
        let few = |n: u32| if count < 50 { n * 5 } else { n };
        (0..count)
            .map(few)
            .map(|n| format!("g{n}:x:{}:{}\n", 5000 + n, members(n).join(",")))
            .collect()
    };
    fs::write(dir.join("passwd"), users(1000)).unwrap();
    fs::write(dir.join("group"), groups(50)).unwrap();
    fs::write(dir.join("few/passwd"), users(20)).unwrap();
    fs::write(dir.join("few/group"), groups(10)).unwrap();
    fs::write(dir.join("nsswitch.conf"), "passwd: files\ngroup: files\n").unwrap();
    fs::write(
        dir.join("nscd.conf"),
        "enable-cache passwd yes\nshared passwd yes\nenable-cache group yes\nshared group yes\n\
         positive-time-to-live passwd 3600\npositive-time-to-live group 3600\n\
         enable-cache hosts no\nenable-cache services no\nenable-cache netgroup no\n",
    )
    .unwrap();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/shared.c");
    let built = Command::new("gcc").args(["-O2", source, "-o"]).arg(dir.join("client")).status();
    assert!(built.unwrap().success(), "gcc");
}

/// The figures of one subject, in nanoseconds.
fn round(dir: &Path, subject: Subject, nscd: &Path) -> Vec<f64> {
    let ours = env!("CARGO_BIN_EXE_nssbox");
    let start = match subject {
        Subject::Map => format!("{ours} nscd -q 3 nsssd-unix '' &"),
        Subject::Socket => format!("{ours} nscd -q --no-share 3 nsssd-unix '' &"),
        Subject::Glibc => format!(
            "mount -t tmpfs tmpfs /var/cache; mkdir /var/cache/nscd; {} -F -f {}/nscd.conf &",
            nscd.display(),
            dir.display()
        ),
        Subject::Files | Subject::FewFiles => ":".to_owned(),
    };
    let few = if subject == Subject::FewFiles { "few/" } else { "" };
    let dir = dir.display();
    let (mut warm, mut asks) = (String::new(), String::new());
    for (_, question, count, _) in ROWS {
        let count = match subject {
            Subject::Map | Subject::Glibc => count,
            _ => count.min(1000),
        };
        warm += &format!("t 1000 {question}\n");
        // The first lookup is that of a process of its own.
        asks += &match count {
            1 => String::new(),
            count => format!("t {count} {question}\n"),
        };
    }
    let script = format!(
        "mount --make-rprivate /; mount -t tmpfs -o mode=755 tmpfs /run; mkdir /run/nscd
         for f in passwd group; do mount --bind {dir}/{few}$f /etc/$f; done
         mount --bind {dir}/nsswitch.conf /etc/nsswitch.conf
         {start}
         server=$!
         [ '{start}' = : ] || while [ ! -S /run/nscd/socket ]; do sleep 0.05; done
         {dir}/client <<END >/dev/null
{warm}END
         sleep 2
         {dir}/client <<END >/dev/null
{warm}END
         {dir}/client <<END
{warm}{asks}END
         for n in 1 2 3 4 5 6 7 8 9 10 11; do echo 't 1 u u500' | {dir}/client; done
         [ '{start}' = : ] || kill $server"
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "taskset", "-c", "0", "sh", "-s"]).env("LC_ALL", "C");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let figures: Vec<f64> = text.lines().map(|line| line.parse().expect(line)).collect();
    let (asked, mut first) = (figures[ROWS.len()..].to_vec(), Vec::new());
    let (rows, firsts) = asked.split_at(ROWS.len() - 1);
    first.extend_from_slice(firsts);
    let mut rows = rows.to_vec();
    rows.push(median(&mut first).expect("first lookups"));
    rows
}
