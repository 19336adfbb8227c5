//! Other servers of the nscd protocol, to be compared with ours: Debian's nscd and unscd, unpacked
//! by `tests/peers` and run in a mount namespace of their own, where /etc has the files of the
//! bench and /run/nscd is a directory of it.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::{Connection, Daemon};
use crate::files::Files;

/// How long a server may take until it accepts.
const START: Duration = Duration::from_secs(10);

/// Another server.
#[derive(Clone, Copy)]
pub enum Peer {
    /// glibc's nscd, answering from its cache.
    Nscd,
    /// The same with its caches for passwd and group switched off: it answers that the client
    /// may ask its own sources, without looking for anything.
    NscdOff,
    /// unscd, answering from its cache.
    Unscd,
}

impl Peer {
    /// Where its program is, or why it cannot be measured.
    fn program(self) -> Result<PathBuf, String> {
        let package = if matches!(self, Peer::Unscd) { "unscd" } else { "nscd" };
        if !rustix::process::geteuid().is_root() {
            return Err("needs root".to_owned());
        }
        let peers = std::env::var_os("NSSBOX_PEERS").map(PathBuf::from).unwrap_or_default();
        let program = peers.join(package).join("usr/sbin/nscd");
        match program.is_file() {
            true => Ok(program),
            false => Err(format!("no {package} in $NSSBOX_PEERS (see tests/peers)")),
        }
    }

    /// Lines of nscd.conf.
    fn config(self) -> &'static str {
        match self {
            Peer::Nscd => {
                "enable-cache passwd yes\nenable-cache group yes\ncheck-files passwd yes\n\
                 enable-cache hosts no\nenable-cache services no\nenable-cache netgroup no\n"
            }
            Peer::NscdOff => {
                "enable-cache passwd no\nenable-cache group no\nenable-cache hosts no\n\
                 enable-cache services no\nenable-cache netgroup no\n"
            }
            Peer::Unscd => "enable-cache passwd yes\nenable-cache group yes\n",
        }
    }

    /// Starts it over the short files, and returns when it accepts. The inner error says why it
    /// is not there.
    pub fn start(self, files: &Files) -> io::Result<Result<(Daemon, OsString), String>> {
        let program = match self.program() {
            Ok(program) => program,
            Err(why) => return Ok(Err(why)),
        };
        let dir = files.peer_directory(self.config())?;
        let foreground = if matches!(self, Peer::Unscd) { "-d" } else { "-F" };
        let script = "mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir /run/nscd &&
            mount --bind \"$1\" /run/nscd && mount -t tmpfs tmpfs /var/cache &&
            mkdir /var/cache/nscd && mount --bind \"$2\"/passwd /etc/passwd &&
            mount --bind \"$1\"/group /etc/group &&
            mount --bind \"$1\"/nsswitch.conf /etc/nsswitch.conf &&
            exec \"$3\" \"$4\" -f /run/nscd/nscd.conf";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, "sh"]).arg(&dir).arg(files.few());
        command.arg(program).arg(foreground);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = Daemon::start(&mut command)?;
        let socket = dir.join("socket").into_os_string();
        let end = Instant::now() + START;
        while Connection::open(&socket).is_err() {
            if Instant::now() > end {
                return Err(io::Error::other(format!("{command:?} does not accept")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Ok((daemon, socket)))
    }
}
