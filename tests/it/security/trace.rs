//! What a program did to files and sockets, as strace saw it.

use crate::support::APPLETS;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// What is done with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// Opened for reading, or as a path.
    Reads,
    /// Opened for writing, made, bound, renamed, removed, or its attributes changed.
    Changes,
    /// Connected to, or sent to. Of another family than Unix: the address.
    Connects,
    /// Executed, or tried to.
    Runs,
}

/// A deed, what it was done to, and the line of the trace.
#[derive(Clone, Debug)]
pub struct Touch {
    pub deed: Deed,
    pub path: String,
    pub line: String,
}

/// Calls that only look.
const LOOKS: [&str; 21] = [
    "access",
    "chdir",
    "faccessat",
    "faccessat2",
    "fstatat64",
    "getcwd",
    "inotify_add_watch",
    "lstat",
    "lstat64",
    "newfstatat",
    "getxattr",
    "readlink",
    "readlinkat",
    "stat",
    "stat64",
    "statfs",
    "statfs64",
    "statx",
    "fstat",
    "fstatfs",
    "fchdir",
];

/// `strace -f` of `command`, into the file `trace`.
pub fn traced(command: &Command, trace: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "4096", "-o"]).arg(trace);
    strace.args(["-e", "trace=%file,%network,fchmod,fchown,ftruncate", "-e", "signal=none"]);
    strace.arg(command.get_program()).args(command.get_args());
    strace.env_clear();
    strace.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    strace
}

/// The deeds of the first program of a trace, and of all others that are ours. What a program of
/// others does once it was run is its own.
pub fn touches(trace: &str) -> Vec<Touch> {
    let mut all = Vec::new();
    let mut first = true;
    // Who is no program of ours, and what a process is just executing.
    let (mut strangers, mut executing) = (Vec::<&str>::new(), BTreeMap::<&str, String>::new());
    for line in trace.lines() {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if call.starts_with("<... execve resumed") && call.ends_with("= 0") {
            let stranger = executing.get(pid).is_some_and(|program| !is_ours(program));
            strangers.extend(stranger.then_some(pid));
        }
        let Some((name, args)) = call.split_once('(') else { continue };
        if call.starts_with(['-', '+', '<']) || strangers.contains(&pid) {
            continue;
        }
        if name == "execve" {
            let program = paths(args).into_iter().next().unwrap_or_default();
            if std::mem::take(&mut first) {
                continue;
            }
            if args.ends_with("= 0") && !is_ours(&program) {
                strangers.push(pid);
            }
            executing.insert(pid, program);
        }
        let of = |deed, paths: Vec<String>| {
            let line = line.to_owned();
            paths.into_iter().map(move |path| Touch { deed, path, line: line.clone() })
        };
        all.extend(match deed(name, args) {
            Some((deed, paths)) => of(deed, paths),
            None => of(Deed::Reads, Vec::new()),
        });
    }
    all
}

fn is_ours(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or_default();
    program == "/proc/self/exe" || name == "nssbox" || APPLETS.contains(&name)
}

fn deed(name: &str, args: &str) -> Option<(Deed, Vec<String>)> {
    match name {
        _ if LOOKS.contains(&name) => None,
        "open" | "openat" | "openat2" => {
            let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"];
            let flags = args.rsplit('"').next().unwrap_or_default();
            let changes = writes.iter().any(|flag| flags.contains(flag));
            Some((if changes { Deed::Changes } else { Deed::Reads }, paths(args)))
        }
        "execve" | "execveat" => Some((Deed::Runs, paths(args).into_iter().take(1).collect())),
        "connect" | "sendto" | "sendmsg" | "sendmmsg" => Some((Deed::Connects, address(args))),
        "bind" => Some((Deed::Changes, address(args))),
        // Nothing of ours speaks over a network.
        "socket" if !args.starts_with("AF_UNIX") => Some((Deed::Connects, vec![args.to_owned()])),
        "fchmod" | "fchown" | "ftruncate" => {
            Some((Deed::Changes, vec![descriptor(args)?.to_owned()]))
        }
        _ if is_of_network(name) => None,
        // What a link says is not touched.
        "symlink" | "symlinkat" => Some((Deed::Changes, paths(args).into_iter().skip(1).collect())),
        // Whatever else has to do with a file.
        _ => Some((Deed::Changes, paths(args))),
    }
}

fn is_of_network(name: &str) -> bool {
    let calls = [
        "accept",
        "accept4",
        "getpeername",
        "getsockname",
        "getsockopt",
        "listen",
        "recvfrom",
        "recvmsg",
        "recvmmsg",
        "setsockopt",
        "shutdown",
        "socket",
        "socketpair",
        "recv",
        "send",
    ];
    calls.contains(&name)
}

/// The path or the address of a socket; none where the call names none.
fn address(args: &str) -> Vec<String> {
    if let Some((_, rest)) = args.split_once("sun_path=") {
        let (mark, rest) = rest.strip_prefix('@').map_or(("", rest), |rest| ("@", rest));
        return vec![format!("{mark}{}", quoted(rest).unwrap_or_default().0)];
    }
    match args.split_once("sa_family=") {
        Some((_, family)) if !family.starts_with("AF_UNIX") => vec![format!("AF={family}")],
        _ => Vec::new(),
    }
}

/// The paths among the arguments, each relative to the directory in front of it, if there is one.
fn paths(args: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), args);
    while let Some(at) = rest.find('"') {
        let (before, from) = rest.split_at(at);
        let Some((text, behind)) = quoted(from) else { break };
        let relative = !text.starts_with('/');
        found.push(match descriptor(before) {
            Some(dir) if relative => format!("{dir}/{text}").trim_end_matches('/').to_owned(),
            _ => text,
        });
        rest = behind;
    }
    found
}

/// What stands in the last `<…>`: the path of a descriptor.
fn descriptor(text: &str) -> Option<&str> {
    let (before, _) = text.rsplit_once('>')?;
    Some(before.rsplit_once('<')?.1)
}

/// A string in quotes and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('"')?;
    let mut word = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((word, text.get(at + 1..)?)),
            '\\' => word.extend(chars.next().map(|(_, escaped)| escaped)),
            other => word.push(other),
        }
    }
    None
}
