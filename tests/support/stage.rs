//! A directory with account files and with links to the applets, and daemons on those files.

use crate::support::{Daemon, TempDir, nsssd, wait_until};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// The directory: account files, and `bin`.
#[derive(Debug)]
pub struct Stage {
    /// Where the account files are.
    pub dir: TempDir,
    /// Where the applets are.
    pub bin: PathBuf,
}

impl Stage {
    /// No account files yet.
    #[track_caller]
    pub fn new() -> Stage {
        let dir = TempDir::new();
        let bin = dir.bin();
        Stage { dir, bin }
    }

    /// With passwd and group, and an empty shadow.
    #[track_caller]
    pub fn with(passwd: impl AsRef<[u8]>, group: impl AsRef<[u8]>) -> Stage {
        let stage = Stage::new();
        stage.dir.accounts(passwd, group, "");
        stage
    }

    /// An applet, in an environment that suits it.
    pub fn applet(&self, name: &str) -> Command {
        nsssd(&self.bin, name)
    }

    /// `nsssd-unix -d` on the files.
    #[track_caller]
    pub fn unix(&self) -> Daemon {
        self.unix_with(&[])
    }

    /// The same with more options.
    #[track_caller]
    pub fn unix_with(&self, options: &[&str]) -> Daemon {
        let mut command = self.applet("nsssd-unix");
        command.args(["-d", self.dir.as_str()]).args(options);
        Daemon::start(command)
    }

    /// `nsssd-switch` with these options and backends: a bitfield and a command each.
    #[track_caller]
    pub fn switch(&self, options: &[&str], backends: &[(u8, &[&str])]) -> Daemon {
        Daemon::start(self.switch_command(options, backends))
    }

    /// The same, to be started by the caller.
    pub fn switch_command(&self, options: &[&str], backends: &[(u8, &[&str])]) -> Command {
        let mut command = self.applet("nsssd-switch");
        command.args(options);
        for (bits, words) in backends {
            command.arg(bits.to_string()).args(*words).arg("");
        }
        command
    }
}

/// Makes an executable copy of a file.
///
/// A program copies it: had we the new file open for writing, a child that another test is just
/// starting would have it open as well for a moment, and nobody could execute it.
#[track_caller]
pub fn copy_executable(from: &Path, to: &Path) {
    let status = Command::new("cp").arg(from).arg(to).status().expect("cp");
    assert!(status.success(), "cp {} {}: {status}", from.display(), to.display());
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).expect("chmod");
}

/// Waits until a file was unchanged for so long that its times tell it from any later version,
/// and the daemon may remember what it has found in it.
#[track_caller]
pub fn settle(path: &Path) {
    wait_until("the file is old enough", || {
        let file = fs::metadata(path).expect("a file");
        let nanos = u32::try_from(file.ctime_nsec()).expect("nanoseconds");
        let changed = Duration::new(u64::try_from(file.ctime()).expect("a time"), nanos);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time");
        now.saturating_sub(changed) > Duration::from_millis(150)
    });
}

/// So many bytes fit into no chain of three sockets: a program that sends them to us has to wait
/// until we read.
pub fn too_much_for_sockets() -> usize {
    let size = fs::read_to_string("/proc/sys/net/core/wmem_default");
    let size = size.ok().and_then(|size| size.trim().parse().ok());
    4 * size.unwrap_or(212_992).max(200_000)
}

/// A group line, LF included, whose members `LETTER000000`, `LETTER000001`, … take more bytes
/// than fit into sockets, and are 100,000 at least.
pub fn big_group(name: &str, gid: u32, letter: char) -> String {
    format!("{name}:x:{gid}:{}\n", big_members(letter).join(","))
}

/// The members of [`big_group`].
pub fn big_members(letter: char) -> Vec<String> {
    let count = (too_much_for_sockets() / 8).max(100_000);
    (0..count).map(|number| format!("{letter}{number:06}")).collect()
}
