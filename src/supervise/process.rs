//! Processes, by way of /proc: their command lines, and who started whom.

use super::text::is_control;
use crate::sys::file::{base, open_path, read_all};
use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::AsFd;

/// Of a command line, so much is read.
const COMMAND_MAX: usize = 128 * 1024;

/// Processes below each other that are told of; a service has two or three.
const DEPTH_MAX: usize = 64;

/// A process.
struct Process {
    pid: u32,
    parent: u32,
    /// What the kernel calls it.
    name: Vec<u8>,
}

/// A process of a tree.
pub struct Node {
    /// Its number.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// 0: the root.
    pub depth: usize,
    /// Its command line, words joined by blanks; of one that has none, its name in brackets.
    pub command: Vec<u8>,
}

/// All processes of a moment.
pub struct Processes(Vec<Process>);

impl Processes {
    /// Those of now, oldest numbers first. Without /proc there is none.
    pub fn now() -> Self {
        let mut all = Vec::new();
        let proc = open_path(b"/proc", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
        for entry in proc.and_then(Dir::read_from).into_iter().flatten().flatten() {
            if let Some(pid) = nssproto::bytes::decimal_u32(entry.file_name().to_bytes()) {
                all.extend(process(pid));
            }
        }
        all.sort_unstable_by_key(|process| process.pid);
        Processes(all)
    }

    /// A process and what it has started, parents first.
    pub fn tree(&self, root: u32) -> Vec<Node> {
        let mut nodes = Vec::new();
        if let Some(process) = self.0.iter().find(|process| process.pid == root) {
            self.push(process, 0, &mut nodes);
        }
        nodes
    }

    fn push(&self, process: &Process, depth: usize, nodes: &mut Vec<Node>) {
        let Process { pid, parent, .. } = *process;
        let command = match words(pid) {
            Some(words) => words.join(&b' '),
            None => [b"[", process.name.as_slice(), b"]"].concat(),
        };
        let command =
            command.iter().map(|byte| if is_control(*byte) { b'?' } else { *byte }).collect();
        nodes.push(Node { pid, parent, depth, command });
        if depth < DEPTH_MAX {
            for child in self.0.iter().filter(|child| child.parent == pid && child.pid != pid) {
                self.push(child, depth + 1, nodes);
            }
        }
    }
}

/// `PID (NAME) STATE PARENT …`; the name may hold blanks and parentheses.
fn process(pid: u32) -> Option<Process> {
    let stat = read(pid, "stat").ok()?;
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let name = stat.get(open + 1..close)?.to_vec();
    let mut fields = stat.get(close + 1..)?.trim_ascii().split(|byte| *byte == b' ');
    let parent = nssproto::bytes::decimal_u32(fields.nth(1)?)?;
    Some(Process { pid, parent, name })
}

/// The words that a process was started with. `None`: it is gone, or has none, as the kernel's own.
pub fn words(pid: u32) -> Option<Vec<Vec<u8>>> {
    let line = read(pid, "cmdline").ok()?;
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    if line.is_empty() {
        return None;
    }
    Some(line.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect())
}

/// The words of a program, without the name of a multi-call executable in front of it.
pub fn program(words: &[Vec<u8>]) -> Option<(&[u8], &[Vec<u8>])> {
    let (first, rest) = words.split_first()?;
    if base(first) == b"busybox" {
        let (first, rest) = rest.split_first()?;
        return Some((base(first), rest));
    }
    Some((base(first), rest))
}

fn read(pid: u32, name: &str) -> Result<Vec<u8>, Errno> {
    let path = format!("/proc/{pid}/{name}");
    let file = open_path(path.as_bytes(), OFlags::RDONLY, Mode::empty())?;
    read_all(file.as_fd(), COMMAND_MAX)
}
