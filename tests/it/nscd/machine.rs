//! A machine for programs that nobody recompiled: a private mount namespace where the server's
//! socket stands at /var/run/nscd, and /etc has no entry for the users that are asked for.

use crate::support::nscd::Bench;
use crate::support::{Finished, Server, TempDir, have_program, is_root, run_to_end, skip};
use std::path::PathBuf;
use std::process::Command;

/// What every program knows by itself.
const LOCAL_PASSWD: &str = "root:*:0:0:root:/root:/bin/sh\nlocal:*:777:777:Local:/:/bin/sh\n";
const LOCAL_GROUP: &str = "root:x:0:\nlocal:x:777:\nusers:x:100:\n";

/// The programs' machine: local files for all of them, and a server that knows more.
pub struct Machine {
    /// Where the server is, and its files.
    pub bench: Bench,
    /// The files that stand in /etc there.
    pub local: TempDir,
    _server: Server,
}

impl Machine {
    /// A server that asks `passwd` and `group` behind the local files. `None` where no such
    /// machine can be made; that is said.
    pub fn with_files(test: &str, passwd: &str, group: &str) -> Option<Machine> {
        let bench = Machine::bench(test, passwd, group)?;
        let dir = bench.dir.as_str().to_owned();
        Machine::new(test, bench, &["nsssd-unix", "-d", &dir])
    }

    /// What a server needs; `None` where no machine can be made, which is said.
    pub fn bench(test: &str, passwd: &str, group: &str) -> Option<Bench> {
        if !is_root() || !have_program("unshare") {
            skip(test, "needs root and unshare");
            return None;
        }
        Some(Bench::new(passwd, group))
    }

    /// A server that asks this backend behind the local files.
    pub fn new(test: &str, bench: Bench, backend: &[&str]) -> Option<Machine> {
        let local = TempDir::new();
        local.write("passwd", LOCAL_PASSWD);
        local.write("group", LOCAL_GROUP);
        local.write("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n");
        let own = ["nsssd-unix", "-d", local.as_str()];
        let server = bench.start(&[], &[(3, &own), (0, backend)]);
        let machine = Machine { bench, local, _server: server };
        let probe = machine.run("true", true);
        if probe.code != Some(0) {
            skip(test, &format!("no private mounts: {}", probe.stderr));
            return None;
        }
        Some(machine)
    }

    /// Runs a shell script there; without the server, an empty directory is at its place.
    pub fn run(&self, script: &str, served: bool) -> Finished {
        let socket = if served { self.bench.dir.join("run") } else { self.local.path().to_owned() };
        let local = self.local.as_str();
        let text = format!(
            "mount --make-rprivate / && mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/nscd \
             && mount --bind '{}' /var/run/nscd || exit 120\n\
             for f in passwd group nsswitch.conf; do\n\
             mount --bind '{local}'/$f /etc/$f || exit 120\ndone\n{script}\n",
            socket.display()
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &text]).env("LC_ALL", "C");
        run_to_end(command)
    }

    /// What a script prints with our server; without it, it must print something else.
    #[track_caller]
    pub fn expect(&self, script: &str, expected: &str) {
        let with = self.run(script, true);
        let got = String::from_utf8_lossy(&with.stdout).into_owned();
        assert_eq!(got, expected, "{script}: {}", with.stderr);
        assert_eq!(with.code, Some(0), "{script}: {}", with.stderr);
        let without = self.run(script, false);
        let got = String::from_utf8_lossy(&without.stdout).into_owned();
        assert_ne!(got, expected, "{script}, with no server");
    }
}

/// Whether a test can put files over those of /etc, for a program of its own; said if not.
pub fn can_bind(test: &str) -> bool {
    let may = is_root() && have_program("unshare");
    if !may {
        skip(test, "needs root and unshare");
    }
    may
}

/// The same command where each of these stands over a file of /etc, or over /etc itself.
pub fn over_etc(mounts: &[(PathBuf, &str)], command: &Command) -> Command {
    let mut script = "mount --make-rprivate /".to_owned();
    for (path, name) in mounts {
        script += &format!("\nmount --bind '{}' '/etc/{name}' || exit 120", path.display());
    }
    let mut over = Command::new("unshare");
    over.args(["-m", "sh", "-c", &(script + "\nexec \"$0\" \"$@\"")]);
    over.arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            over.env(name, value);
        }
    }
    over
}

/// A client of musl, built for this test; `None` where that cannot be, which is said.
pub fn musl_lookup(test: &str, dir: &TempDir, how: &str) -> Option<PathBuf> {
    if !have_program("musl-gcc") {
        skip(test, "no musl-gcc");
        return None;
    }
    let program = dir.join("musl-lookup");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/musl-lookup.c");
    let mut compiler = Command::new("musl-gcc");
    compiler.args([how, "-O1", source, "-o"]).arg(&program);
    let finished = run_to_end(compiler);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    Some(program)
}
