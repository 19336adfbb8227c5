//! What can be made to fail: which calls a log of strace has, and which errors fit each of them.

use std::collections::BTreeMap;

/// One failure: the `nth` time that a process makes this call.
#[derive(Clone, Debug)]
pub struct Failure {
    pub call: String,
    pub nth: usize,
    pub error: &'static str,
}

impl Failure {
    /// As strace takes it.
    pub fn what(&self) -> String {
        format!("{}:error={}:when={}", self.call, self.error, self.nth)
    }
}

/// Each failure of each call of a log of `strace -f -o`.
pub fn failures(log: &str) -> Vec<Failure> {
    // How often a process makes a call: the most of any process.
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in log.lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        // `<... read resumed>` is the other half of a line before.
        let Some((call, _)) = rest.split_once('(') else { continue };
        if call.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
            *counts.entry((pid, call)).or_default() += 1;
        }
    }
    let mut most: BTreeMap<&str, usize> = BTreeMap::new();
    for ((_, call), count) in counts {
        let entry = most.entry(call).or_default();
        *entry = count.max(*entry);
    }
    let each = most.into_iter().flat_map(|(call, count)| {
        let nth = (1..=count).flat_map(|nth| errors(call).iter().map(move |error| (nth, *error)));
        nth.map(|(nth, error)| Failure { call: call.to_owned(), nth, error })
    });
    each.collect()
}

/// The errors that a call can end with.
fn errors(call: &str) -> &'static [&'static str] {
    match call {
        // These do not come back, or have no errors: brk tells an address in any case, and close(2)
        // has closed whatever it says, which strace's would not have.
        "exit" | "exit_group" | "rt_sigreturn" | "restart_syscall" | "brk" | "futex" | "close"
        | "rt_sigaction" | "rt_sigprocmask" | "rt_sigsuspend" | "getpid" | "gettid" | "getppid"
        | "getuid" | "geteuid" | "getgid" | "getegid" | "umask" | "set_tid_address" => &[],
        "open" | "openat" | "openat2" => &["EINTR", "EIO", "ENOMEM", "EMFILE", "EACCES"],
        "stat" | "lstat" | "fstat" | "newfstatat" | "statx" | "access" | "faccessat"
        | "faccessat2" | "readlink" | "readlinkat" | "getdents64" | "getxattr" | "lgetxattr"
        | "fgetxattr" => &["EIO", "ENOMEM", "EACCES"],
        "read" | "readv" | "pread64" | "recvfrom" | "recvmsg" | "write" | "writev" | "pwrite64"
        | "sendto" | "sendmsg" => &["EINTR", "EIO", "ENOMEM"],
        "accept" | "accept4" | "socket" | "socketpair" | "pipe" | "pipe2" | "dup" | "dup2"
        | "dup3" | "fcntl" | "epoll_create1" | "signalfd4" | "eventfd2" | "pidfd_open"
        | "timerfd_create" => &["EINTR", "EMFILE", "ENOMEM"],
        "bind" | "listen" | "connect" | "chmod" | "fchmod" | "fchmodat" | "unlink" | "unlinkat"
        | "rename" | "renameat" | "renameat2" | "link" | "linkat" | "mkdir" | "mkdirat"
        | "flock" | "chdir" => &["EINTR", "EIO", "EACCES"],
        "mmap" | "mprotect" | "munmap" | "mremap" | "madvise" | "epoll_ctl" | "sigaltstack" => {
            &["ENOMEM"]
        }
        "fork" | "vfork" | "clone" | "clone3" => &["EAGAIN", "ENOMEM"],
        "execve" | "execveat" => &["EACCES", "ENOMEM"],
        "poll" | "ppoll" | "epoll_wait" | "epoll_pwait" | "wait4" | "waitid" => {
            &["EINTR", "ENOMEM"]
        }
        "ioctl" | "setsockopt" | "getsockopt" | "getsockname" | "getpeername" | "shutdown" => {
            &["EIO", "ENOMEM"]
        }
        // Ids, limits, signals, and what else has a process of its own.
        _ => &["EPERM", "ENOMEM"],
    }
}
