//! `nsscache watch` over 10,000 users in slapd: how long a change takes, and what it costs to wait for one.
//!
//! A change counts from the end of `ldapmodify` to the first `getent` that has it. NSSBOX_WATCH_LONG=1 takes 100
//! changes 3 s apart and waits 5 minutes for wake-ups, instead of 40 changes and a minute.

use super::daemon::Daemon;
use super::ldap::{Slapd, absent, anonymous, unbound};
use super::measure::Finding;
use super::subjects::Bench;
use std::fs;
use std::io;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// Users.
const USERS: u32 = 10_000;

/// What was found.
struct Figures {
    /// Seconds, sorted.
    changes: Vec<f64>,
    /// Bytes of its own, while nothing changes.
    memory: u64,
    /// In a minute.
    wake_ups: f64,
}

fn figures(bench: &Bench) -> io::Result<&'static Figures> {
    static FIGURES: OnceLock<Figures> = OnceLock::new();
    match FIGURES.get() {
        Some(figures) => Ok(figures),
        None => {
            let found = measure(bench)?;
            Ok(FIGURES.get_or_init(|| found))
        }
    }
}

fn measure(bench: &Bench) -> io::Result<Figures> {
    let long = std::env::var_os("NSSBOX_WATCH_LONG").is_some();
    let (count, pause, idle) = match (bench.full, long) {
        (false, _) => (2, 0, 0),
        (true, false) => (40, 500, 60),
        (true, true) => (100, 3000, 300),
    };
    let slapd = Slapd::start(bench, if bench.full { USERS } else { 1000 })?;
    let place = slapd.place("watch", "passwd")?;
    let watch = unbound(&place.nsscache(bench, &["watch", "-1"]));
    let mut watch = watch;
    let watch = Daemon::start_and_wait(&mut watch)?;
    let source = format!("cache -d {}", place.path().display());
    let shell_of = |name: &str| -> io::Result<String> {
        let mut getent = Command::new(bench.files.applet("getent"));
        let out = getent.args(["-s", &source, "passwd", name]).output()?;
        let line = String::from_utf8_lossy(&out.stdout).into_owned();
        Ok(line.trim_end().rsplit(':').next().unwrap_or_default().to_owned())
    };
    let mut changes = Vec::new();
    for n in 0..count {
        let (name, shell) = (format!("user{:06}", n * 97 % 1000 + 1), format!("/bin/{n}"));
        slapd.change(&format!(
            "dn: uid={name},ou=people,dc=bench\nchangetype: modify\nreplace: loginShell\nloginShell: {shell}\n"
        ))?;
        let begun = Instant::now();
        while shell_of(&name)? != shell {
            if begun.elapsed() > Duration::from_secs(40) {
                return Err(io::Error::other("a change is not seen"));
            }
            thread::sleep(Duration::from_millis(3));
        }
        changes.push(begun.elapsed().as_secs_f64());
        thread::sleep(Duration::from_millis(pause));
    }
    changes.sort_by(f64::total_cmp);
    thread::sleep(Duration::from_secs(if bench.full { 3 } else { 0 }));
    let before = switches(watch.pid())?;
    thread::sleep(Duration::from_secs(idle));
    let wake_ups = switches(watch.pid())? - before;
    let minutes = (idle as f64 / 60.0).max(1.0);
    Ok(Figures { changes, memory: anonymous(watch.pid()), wake_ups: wake_ups as f64 / minutes })
}

/// How often its threads gave the CPU away, since they waited.
fn switches(pid: u32) -> io::Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sum += line.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(sum)
}

/// Seconds that so many of a hundred changes took at most.
pub fn change(bench: &Bench, percent: usize) -> io::Result<Finding> {
    if let Some(absent) = absent() {
        return Ok(absent);
    }
    let changes = &figures(bench)?.changes;
    let at = (changes.len() * percent).div_ceil(100).max(1) - 1;
    Ok(Finding::Number(changes.get(at).copied().unwrap_or_default()))
}

/// Memory of its own.
pub fn memory(bench: &Bench) -> io::Result<Finding> {
    if let Some(absent) = absent() {
        return Ok(absent);
    }
    Ok(Finding::Bytes(figures(bench)?.memory))
}

/// Wake-ups in a minute in which nothing changes.
pub fn wake_ups(bench: &Bench) -> io::Result<Finding> {
    if let Some(absent) = absent() {
        return Ok(absent);
    }
    Ok(Finding::Number(figures(bench)?.wake_ups))
}
