//! A look at processes by way of /proc.

use rustix::process::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn path(pid: Pid, name: &str) -> PathBuf {
    PathBuf::from("/proc").join(pid.as_raw_nonzero().to_string()).join(name)
}

/// The fields of /proc/PID/stat from the third on: state, parent, … (proc(5)). `None` for a
/// process that is gone.
fn stat(pid: Pid) -> Option<Vec<String>> {
    let stat = fs::read_to_string(path(pid, "stat")).ok()?;
    // The name in parentheses may hold blanks and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// The state of a process: `R`, `S`, `T` stopped, `Z` dead and not waited for, …; `None` if it
/// is gone.
pub fn state(pid: Pid) -> Option<char> {
    stat(pid)?[0].chars().next()
}

/// The children of a process, dead ones that were not waited for included, oldest first.
#[track_caller]
pub fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().to_string();
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc") {
        let name = entry.expect("/proc").file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { continue };
        // A process may be gone by now.
        let Some(stat) = stat(pid) else { continue };
        if stat[1] == parent {
            // The 22nd field, the time when it started, in ticks.
            children.push((stat[19].parse::<u64>().expect("a number"), pid));
        }
    }
    children.sort_by_key(|(start, pid)| (*start, pid.as_raw_nonzero()));
    children.into_iter().map(|(_, pid)| pid).collect()
}

/// The words that a process was started with.
#[track_caller]
pub fn words(pid: Pid) -> Vec<String> {
    let line = fs::read(path(pid, "cmdline")).expect("the command line of a process");
    let words = line.split(|byte| *byte == 0);
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// The child of `parent` that has `word` in its command line.
#[track_caller]
pub fn child_with(parent: Pid, word: &str) -> Pid {
    let has_it = |pid: &Pid| words(*pid).iter().any(|w| w == word);
    let found = children(parent).into_iter().find(has_it);
    found.unwrap_or_else(|| panic!("a child with the word {word}"))
}

/// The open descriptors of a process that are sockets, each with the kernel's name for it.
#[track_caller]
pub fn sockets(pid: Pid) -> BTreeMap<i32, String> {
    let mut sockets = BTreeMap::new();
    for entry in fs::read_dir(path(pid, "fd")).expect("the descriptors of a process") {
        let entry = entry.expect("a descriptor");
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        // One that was opened to read this directory is closed again.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.to_string_lossy().into_owned();
        if target.starts_with("socket:") {
            sockets.insert(number.expect("a number"), target);
        }
    }
    sockets
}

/// A line of /proc/PID/status without its name: `Uid`, `Gid`, `Groups`, …
#[track_caller]
pub fn status(pid: Pid, field: &str) -> Vec<String> {
    let status = fs::read_to_string(path(pid, "status")).expect("the status of a process");
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let line = line.unwrap_or_else(|| panic!("no {field} in {status}"));
    line.split_whitespace().map(str::to_owned).collect()
}

/// Who traces a process, by ptrace(2).
pub fn tracer(pid: Pid) -> Option<Pid> {
    let status = fs::read_to_string(path(pid, "status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    Pid::from_raw(line.trim().parse().ok()?)
}

/// What a process has done so far: its ticks of processor time, its children's that were waited
/// for among them, and how often it gave the processor away. `None` if it is gone.
pub fn work(pid: Pid) -> Option<[u64; 2]> {
    let stat = stat(pid)?;
    // utime, stime, cutime, cstime: the 14th to the 17th field.
    let ticks = stat[11..15].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    let status = fs::read_to_string(path(pid, "status")).ok()?;
    let switches = status.lines().filter(|line| line.contains("ctxt_switches:"));
    let number = |line: &str| line.rsplit('\t').next().and_then(|n| n.parse::<u64>().ok());
    Some([ticks, switches.filter_map(number).sum()])
}

/// How many bytes a process has read so far, by read(2) and its like. `None` where the kernel
/// does not count.
pub fn bytes_read(pid: Pid) -> Option<u64> {
    let io = fs::read_to_string(path(pid, "io")).ok()?;
    io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok())
}

/// Whether a process has a file open whose path ends so.
pub fn has_open(pid: Pid, ends: &str) -> bool {
    let descriptors = fs::read_dir(path(pid, "fd")).into_iter().flatten().flatten();
    let mut files = descriptors.filter_map(|d| fs::read_link(d.path()).ok());
    files.any(|file| file.to_string_lossy().ends_with(ends))
}

/// KiB of memory that are a process's own. Not what is called private: pages of an executable that
/// was just built count there.
#[track_caller]
pub fn own_memory(pid: Pid) -> u64 {
    let rollup = fs::read_to_string(path(pid, "smaps_rollup")).expect("a running process");
    let line = rollup.lines().find_map(|l| l.strip_prefix("Anonymous:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The files and directories that a process has open below a directory, and the directory itself.
pub fn open_below(pid: Pid, dir: &Path) -> Vec<PathBuf> {
    let descriptors = fs::read_dir(path(pid, "fd")).into_iter().flatten().flatten();
    let files = descriptors.filter_map(|d| fs::read_link(d.path()).ok());
    files.filter(|file| file.starts_with(dir)).collect()
}

/// How many descriptors a process has open.
pub fn descriptors(pid: Pid) -> usize {
    let dir = format!("/proc/{}/fd", pid.as_raw_nonzero());
    fs::read_dir(dir).map_or(0, Iterator::count)
}
