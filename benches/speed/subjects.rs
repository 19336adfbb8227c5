//! The daemons that are measured, as the rows start them.
#![allow(dead_code, reason = "two benches share it, and each uses a part")]

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::daemon::{Daemon, Link};
use crate::files::Files;
use crate::measure::Plan;

/// What every row needs.
pub struct Bench {
    /// What is asked about.
    pub files: Files,
    /// Times matter.
    pub full: bool,
}

impl Bench {
    /// Writes the files, and when times matter waits until the daemons trust them.
    pub fn prepare(full: bool) -> io::Result<Bench> {
        let built = Path::new(env!("CARGO_BIN_EXE_nssbox"));
        let other = std::env::var_os("NSSBOX_EXECUTABLE").map(PathBuf::from);
        let files = Files::create(other.as_deref().unwrap_or(built))?;
        if full {
            files.settle()?;
        }
        Ok(Bench { files, full })
    }

    /// The plan for calls that take longer than an exchange.
    pub fn plan(&self, slices: u32, calls: u32) -> Plan {
        if self.full {
            Plan { rounds: 7, slices, calls }
        } else {
            Plan { rounds: 1, slices: 1, calls: 10.min(calls) }
        }
    }

    /// The plan for an exchange of a few microseconds.
    pub fn exchanges(&self) -> Plan {
        self.plan(20, 700)
    }

    /// One of the applets, its client named.
    pub fn applet(&self, name: &str) -> Command {
        let mut command = Command::new(self.files.applet(name));
        // A daemon started by root drops to these. No account need exist: it stays what it is.
        command.env("IPCREMOTEEUID", rustix::process::geteuid().as_raw().to_string());
        command.env("IPCREMOTEEGID", rustix::process::getegid().as_raw().to_string());
        command
    }

    /// `nsssd-unix -d DIR` at the other end of a socketpair.
    pub fn unix(&self, dir: &Path) -> io::Result<Link> {
        Link::start(self.applet("nsssd-unix").arg("-d").arg(dir))
    }

    /// Adds a switch over `nsssd-unix -d DIR` to a command line.
    pub fn add_script(&self, command: &mut Command, dir: &Path) {
        command.arg("0").arg(self.files.applet("nsssd-unix")).arg("-d").arg(dir).arg("");
    }

    /// `ipcserver -1 SOCKET nsssd-switch 0 nsssd-unix -d DIR ""`, listening.
    pub fn ipcserver(&self, dir: &Path) -> io::Result<(Daemon, OsString)> {
        let socket = self.files.socket("ipcserver");
        let mut command = self.applet("ipcserver");
        command.arg("-1").arg(&socket).arg(self.files.applet("nsssd-switch"));
        self.add_script(&mut command, dir);
        Ok((Daemon::start_and_wait(&mut command)?, socket))
    }

    /// `userdb -1 -S SOCKET 0 nsssd-unix -d DIR ""`, and the name of its service.
    pub fn userdb(&self, dir: &Path) -> io::Result<(Daemon, OsString, String)> {
        let socket = self.files.socket("userdb");
        let mut command = self.applet("userdb");
        command.args(["-1", "-q", "-S"]).arg(&socket);
        self.add_script(&mut command, dir);
        let daemon = Daemon::start_and_wait(&mut command)?;
        let service = Path::new(&socket).file_name().unwrap_or_default();
        let service = service.to_string_lossy().into_owned();
        Ok((daemon, socket, service))
    }

    /// `userdb -1 -S SOCKET 3 nsssd-unix "" 0 nsssd-unix -d DIR ""`.
    pub fn userdb_behind_own(&self, dir: &Path) -> io::Result<(Daemon, OsString)> {
        let socket = self.files.socket("userdb");
        let mut command = self.applet("userdb");
        command.args(["-1", "-q", "-S"]).arg(&socket);
        command.arg("3").arg(self.files.applet("nsssd-unix")).arg("");
        self.add_script(&mut command, dir);
        Ok((Daemon::start_and_wait(&mut command)?, socket))
    }

    /// A mount namespace whose /etc/passwd is the long file, kept by a process.
    pub fn machine_of_many(&self) -> io::Result<Daemon> {
        let script = "mount --make-rprivate / && mount --bind \"$1\" /etc/passwd &&
            echo 'passwd: files' >\"$2\" && mount --bind \"$2\" /etc/nsswitch.conf && echo && exec sleep 1000";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, "sh"]).arg(self.files.many().join("passwd"));
        command.arg(self.files.many().join("nsswitch.conf"));
        Daemon::start_and_wait(&mut command)
    }

    /// glibc's getent there, to /dev/null.
    pub fn getent_of_many(&self, machine: &Daemon) -> io::Result<()> {
        let mut command = inside(machine);
        succeed(command.args(["/usr/bin/getent", "passwd"]).stdout(Stdio::null()))
    }

    /// A reader of a whole list there, who is not root.
    pub fn list_by_userdb(&self, machine: &Daemon, socket: &OsStr) -> io::Result<()> {
        let mut command = inside(machine);
        command.args(["--setuid", "1500", "--setgid", "1500"]);
        succeed(command.arg(std::env::current_exe()?).args(["--serve", "list"]).arg(socket))
    }

    /// The same where /etc/shadow and /etc/nsswitch.conf are those of [`Files::few_x`].
    pub fn nscd_x(&self) -> io::Result<(Daemon, OsString)> {
        let socket = self.files.socket("nscd");
        let [dir, shadow, switch] = self.files.few_x()?;
        let script = "mount --make-rprivate / && mount --bind \"$1\" /etc/shadow &&
            mount --bind \"$2\" /etc/nsswitch.conf && shift 2 && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, "sh"]).arg(shadow).arg(switch);
        command.arg(self.files.applet("nscd"));
        command.args(["-1", "-q", "-C", "256", "-S"]).arg(&socket);
        self.add_script(&mut command, &dir);
        Ok((Daemon::start_and_wait(&mut command)?, socket))
    }

    /// `nscd -1 -S SOCKET 0 nsssd-unix -d DIR ""`, listening.
    pub fn nscd(&self, dir: &Path) -> io::Result<(Daemon, OsString)> {
        let socket = self.files.socket("nscd");
        let mut command = self.applet("nscd");
        command.args(["-1", "-q", "-C", "256", "-S"]).arg(&socket);
        self.add_script(&mut command, dir);
        Ok((Daemon::start_and_wait(&mut command)?, socket))
    }

    /// The same, with sockets for nsss and userdb; those three.
    pub fn nscd_of_three(&self, dir: &Path) -> io::Result<(Daemon, [OsString; 3])> {
        let sockets = ["nscd", "nsss", "userdb"].map(|name| self.files.socket(name));
        let [nscd, nsss, userdb] = &sockets;
        let mut command = self.applet("nscd");
        command.args(["-1", "-q", "-S"]).arg(nscd).arg("--nsss").arg(nsss);
        command.arg(format!("--userdb={}", userdb.to_string_lossy()));
        self.add_script(&mut command, dir);
        Ok((Daemon::start_and_wait(&mut command)?, sockets))
    }
}

/// Runs a program in a daemon's mount namespace.
fn inside(machine: &Daemon) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["-m", "-t", &machine.pid().to_string()]);
    command
}

fn succeed(command: &mut Command) -> io::Result<()> {
    match command.status()? {
        status if status.success() => Ok(()),
        status => Err(io::Error::other(format!("{command:?}: {status}"))),
    }
}
