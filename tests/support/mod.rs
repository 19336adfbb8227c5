//! What the integration tests share: directories, programs under test, connections, bytes; and in
//! modules of their own what the tests of one applet or subject share.
//!
//! Every wait has a deadline, so that a program that hangs is a failure and no endless run.
//! Helpers fail by panicking.
#![allow(dead_code, unused_imports, reason = "each test target takes what it needs")]

#[cfg(feature = "nsscache")]
pub mod certificates;
mod connection;
#[cfg(feature = "nsscache")]
pub mod directory;
pub mod fakebackend;
#[cfg(feature = "nsscache")]
pub mod http;
pub mod injection;
pub mod ipcserver;
#[cfg(feature = "sandbox")]
pub mod landlock;
pub mod ldap;
pub mod map;
pub mod naive;
pub mod nscd;
pub mod nslcd;
pub mod page;
mod process;
pub mod procfs;
pub mod script;
mod server;
#[cfg(feature = "signed")]
pub mod snapshot;
pub mod stage;
pub mod vector;
mod wire;

pub use connection::{Connection, Got};
pub use process::{Captured, Daemon, Finished, run_to_end, run_to_end_with_input, wait_for_exit};
pub use server::Server;
pub use wire::{
    Shadow, by_id, by_name, group_reply, grouplist, grouplist_reply, op, passwd_reply, set_timeout,
    shadow_reply,
};

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

/// The longest wait for anything that should happen. Long, since machines that build are busy.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// How long a connection must stay silent and open to count as such.
pub const QUIET: Duration = Duration::from_millis(60);

/// The names that the executable answers to as argv\[0\], as its own table has them.
pub const APPLETS: [&str; nssbox::applets::APPLETS.len()] = {
    let mut names = [""; nssbox::applets::APPLETS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = nssbox::applets::APPLETS[at].name;
        at += 1;
    }
    names
};

/// Under nohup and in the background of a shell, tests start with signals ignored, and so would all
/// that they start. With a handler here these have the usual ones. (Here they do nothing, as before.)
fn signals_as_usual() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT};
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap_or("0");
        let ignored = u64::from_str_radix(set, 16).unwrap_or(0);
        for signal in [SIGHUP, SIGINT, SIGQUIT] {
            if ignored & (1 << (signal - 1)) != 0 {
                let came = std::sync::Arc::default();
                signal_hook::flag::register(signal, came).expect("a handler");
            }
        }
    });
}

/// A directory of one test, mode 0755, removed with all it holds when dropped.
///
/// It stands under the system's temporary directory and not under `target`, since the path of a
/// socket may have 107 bytes at most.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// A fresh, empty directory.
    #[track_caller]
    pub fn new() -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        signals_as_usual();
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("nssbox-test.{}.{number}", std::process::id());
            let path = env::temp_dir().join(name);
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let dir = TempDir(path);
                    // The umask has no say here: a client of another uid must pass.
                    dir.chmod("", 0o755);
                    return dir;
                }
                // Left by a killed run that had our process id.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => panic!("unable to create {}: {e}", path.display()),
            }
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of `name` in it, whether it exists or not.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// Its path as text, for command lines.
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("temporary directories have plain names")
    }

    /// Writes a file of mode 0644, in place if it exists, and returns its path.
    #[track_caller]
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, content).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        self.chmod(name, 0o644);
        path
    }

    /// Writes a new file of mode 0644 beside the old one and renames it over that, as vipw does.
    #[track_caller]
    pub fn replace(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let new = self.write(&format!("{name}.new"), content);
        let path = self.join(name);
        fs::rename(&new, &path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    }

    /// Sets the mode of a file in it; the empty name is the directory itself.
    #[track_caller]
    pub fn chmod(&self, name: &str, mode: u32) {
        let path = if name.is_empty() { self.0.clone() } else { self.join(name) };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .unwrap_or_else(|e| panic!("chmod {}: {e}", path.display()));
    }

    /// Writes passwd, group (0644) and shadow (0600): what `nsssd-unix -d` reads.
    #[track_caller]
    pub fn accounts(
        &self,
        passwd: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
        shadow: impl AsRef<[u8]>,
    ) {
        self.write("passwd", passwd);
        self.write("group", group);
        self.write("shadow", shadow);
        self.chmod("shadow", 0o600);
    }

    /// Makes a subdirectory of mode 0755 and returns its path.
    #[track_caller]
    pub fn subdirectory(&self, name: &str) -> PathBuf {
        let path = self.join(name);
        fs::create_dir(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        self.chmod(name, 0o755);
        path
    }

    /// Makes a subdirectory `bin` with [`link_farm`] in it and returns its path.
    #[track_caller]
    pub fn bin(&self) -> PathBuf {
        let bin = self.subdirectory("bin");
        link_farm(&bin);
        bin
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // A leftover directory is no reason to fail a test that passed.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The executable under test: the one that cargo has just built, unless NSSBOX_TEST_BIN names
/// another, as build/vectors does with those for boards.
pub fn nssbox() -> &'static Path {
    static OTHER: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| env::var_os("NSSBOX_TEST_BIN").map(PathBuf::from));
    OTHER.as_deref().unwrap_or(Path::new(env!("CARGO_BIN_EXE_nssbox")))
}

/// Puts a symbolic link to the executable under test into `dir` for each applet.
#[track_caller]
pub fn link_farm(dir: &Path) {
    for name in APPLETS {
        link(nssbox(), dir, name);
    }
}

/// Puts a symbolic link called `name` to `target` into `dir`.
#[track_caller]
pub fn link(target: &Path, dir: &Path, name: &str) {
    let link = dir.join(name);
    std::os::unix::fs::symlink(target, &link)
        .unwrap_or_else(|e| panic!("unable to link {}: {e}", link.display()));
}

/// `name`, looked up in `bin` and then in PATH, with argv\[0\] as it stands and an environment
/// that holds PATH (with `bin` in front) and nothing else.
pub fn tool(bin: &Path, name: &str) -> Command {
    use std::os::unix::process::CommandExt as _;
    let own = bin.join(name);
    let program = if own.exists() { own } else { PathBuf::from(name) };
    let mut command = Command::new(program);
    command
        .arg0(name)
        .env_clear()
        .env("PATH", search_path(bin).expect("directories without colons"));
    command
}

/// [`tool`] with the IPCREMOTE variables of a client that is root, which a daemon wants that was
/// started as root. Others ignore them.
pub fn nsssd(bin: &Path, name: &str) -> Command {
    let mut command = tool(bin, name);
    command.env("IPCREMOTEEUID", "0").env("IPCREMOTEEGID", "0");
    command
}

fn search_path(bin: &Path) -> Result<std::ffi::OsString, env::JoinPathsError> {
    let inherited = env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    env::join_paths(std::iter::once(bin.to_owned()).chain(env::split_paths(&inherited)))
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether PATH has an executable file of that name.
pub fn have_program(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| {
        fs::metadata(dir.join(name))
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    })
}

/// A program of a Debian package that was unpacked by `tests/peers`, and not installed; `None` if
/// it was not, which is said.
pub fn peer(test: &str, package: &str, program: &str) -> Option<PathBuf> {
    let dir = env::var_os("NSSBOX_PEERS").map(PathBuf::from).unwrap_or_default();
    let program = dir.join(package).join(program);
    if !program.is_file() {
        skip(test, &format!("no {package} in $NSSBOX_PEERS (see tests/peers)"));
        return None;
    }
    Some(program)
}

/// Compiles `tests/clients/NAME.c` into a directory; `None` if that cannot be, which is said.
#[track_caller]
pub fn compiled(test: &str, name: &str, dir: &TempDir) -> Option<PathBuf> {
    compiled_with(test, name, dir, &["-pthread"])
}

/// The same as a library for LD_PRELOAD.
#[track_caller]
pub fn compiled_library(test: &str, name: &str, dir: &TempDir) -> Option<PathBuf> {
    compiled_with(test, name, dir, &["-shared", "-fPIC"])
}

#[track_caller]
fn compiled_with(test: &str, name: &str, dir: &TempDir, more: &[&str]) -> Option<PathBuf> {
    if !have_program("gcc") {
        skip(test, "no gcc");
        return None;
    }
    let program = dir.join(name);
    let source = format!("{}/tests/clients/{name}.c", env!("CARGO_MANIFEST_DIR"));
    let mut compiler = Command::new("gcc");
    compiler.args(["-O2", "-Wall", "-Wextra", "-Werror"]).args(more).arg("-o");
    compiler.arg(&program).arg(source);
    let built = run_to_end(compiler);
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    Some(program)
}

/// Says on standard error that a test did not run, for the caller to return after it.
///
/// With NSSBOX_TEST_STRICT in the environment that is a failure.
#[track_caller]
pub fn skip(name: &str, why: &str) {
    if env::var_os("NSSBOX_TEST_STRICT").is_some() {
        panic!("{name} must not be skipped here: {why}");
    }
    // Not eprintln: its output is hidden for tests that pass.
    let _ = writeln!(io::stderr(), "SKIPPED {name}: {why}");
}

/// Polls until `condition` holds; `what` names it in the failure.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// All bytes up to the end of file.
#[track_caller]
pub fn receive_all(client: &Connection) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        match client.recv(DEADLINE) {
            Got::Bytes(bytes) => all.extend(bytes),
            Got::End => return all,
            Got::Nothing => panic!("no end of file after {} bytes", all.len()),
        }
    }
}

/// Compares bytes that may be many: of two that differ only the place is shown, and a little
/// of what is there.
#[track_caller]
pub fn assert_same_bytes(what: &str, got: &[u8], want: &[u8]) {
    if got == want {
        return;
    }
    let same = got.iter().zip(want).take_while(|(got, want)| got == want).count();
    let near = |bytes: &[u8]| {
        let bytes = &bytes[same.saturating_sub(16).min(bytes.len())..];
        bytes[..bytes.len().min(48)].escape_ascii().to_string()
    };
    panic!(
        "{what}: {} bytes, expected {}; the first {same} are equal, then\n     got {}\nexpected {}",
        got.len(),
        want.len(),
        near(got),
        near(want)
    );
}

/// Asks on `daemon`'s socket and compares the reply, as [`assert_same_bytes`] does.
#[track_caller]
pub fn assert_answers(daemon: &Daemon, request: &[u8], reply: &[u8]) {
    // A status alone is read first: a failure must not be waited out.
    let mut got = daemon.ask(request, 1);
    if got == [0] {
        got.extend(daemon.recv_exact(reply.len() - 1));
    }
    let shown = request[..request.len().min(40)].escape_ascii();
    assert_same_bytes(&format!("reply to \"{shown}\""), &got, reply);
}

/// Whether other users can run the executable under test: the folders above it let them pass.
pub fn others_can_run_it() -> bool {
    let open = |dir: &Path| fs::metadata(dir).is_ok_and(|m| m.permissions().mode() & 0o001 != 0);
    nssbox().ancestors().all(open)
}
