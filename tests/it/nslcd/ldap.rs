//! A real LDAP directory: Debian's slapd on a socket, with users and groups made here, and
//! Debian's nslcd in front of it, in a mount namespace where /etc and /run are the test's own.
//! Neither is installed: tests/peers puts their packages into a folder, which
//! NSSBOX_TEST_LDAP names.

use crate::support::ldap::Unpacked;
use crate::support::{
    Captured, Finished, TempDir, have_program, is_root, run_to_end, skip, wait_for_exit, wait_until,
};
use rustix::process::{Pid, Signal, kill_process};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// What every program in the namespace knows by itself.
pub const LOCAL_PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nlocal:x:777:777:Local:/:/bin/sh\n";
/// Its groups; one lists a user of the directory.
pub const LOCAL_GROUP: &str = "root:x:0:\nlocal:x:777:\nusers:x:100:user003\n";

/// How many users the directory has: `user000`, uid 20000, and so on.
pub const USERS: u32 = 200;
/// How many groups: `group00`, gid 30000, and so on.
pub const GROUPS: u32 = 40;
/// The number of the one with [`MEMBERS`] members.
pub const BIG: u32 = 39;
/// `member0000` and so on, and one user.
pub const MEMBERS: u32 = 3000;

const BASE: &str = "dc=example,dc=org";

/// The two daemons. Both are killed when dropped.
pub struct Directory {
    unpacked: Unpacked,
    /// Their files: `etc`, `run` with the socket of nslcd, the database.
    pub dir: TempDir,
    slapd: Option<Child>,
    nslcd: Option<Child>,
    stderr: Captured,
}

impl Directory {
    /// Makes the directory and starts both. `None` where that cannot be, which is said.
    #[track_caller]
    pub fn start(test: &str) -> Option<Directory> {
        let unpacked = Unpacked::find(test)?;
        if !is_root() || !have_program("unshare") {
            skip(test, "needs root and unshare");
            return None;
        }
        let dir = TempDir::new();
        for name in ["etc", "run", "db"] {
            dir.subdirectory(name);
        }
        let ldapi = format!("ldapi://{}", dir.as_str().replace('/', "%2F") + "%2Fldapi");
        dir.write("slapd.conf", slapd_conf(unpacked.root(), &dir));
        dir.write("ldif", ldif());
        dir.write("etc/passwd", LOCAL_PASSWD);
        dir.write("etc/group", LOCAL_GROUP);
        dir.write("etc/shadow", "");
        let sources = "passwd: files ldap\ngroup: files ldap\nshadow: files ldap\n";
        dir.write("etc/nsswitch.conf", sources);
        // It gives up at once where slapd is away, and tries again with each lookup.
        let retry = "reconnect_sleeptime 1\nreconnect_retrytime 1\n";
        dir.write("etc/nslcd.conf", format!("uri {ldapi}\nbase {BASE}\n{retry}"));
        let stderr = Captured::new();
        unpacked.add_entries(&dir);
        let mut directory = Directory { unpacked, dir, slapd: None, nslcd: None, stderr };
        let probe = directory.inside("true");
        if probe.code != Some(0) {
            skip(test, &format!("no private mounts: {}", probe.stderr));
            return None;
        }
        directory.start_slapd();
        directory.start_nslcd();
        Some(directory)
    }

    /// Where nslcd listens, as seen from outside.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("run/socket")
    }

    /// The same as text.
    pub fn socket_str(&self) -> String {
        self.socket().to_str().expect("a plain name").to_owned()
    }

    /// A command line in the namespace, where glibc finds its module for LDAP.
    fn namespace(&self, script: &str) -> Command {
        let dir = self.dir.as_str();
        let mounts = format!(
            "mount --make-rprivate / && mount --bind {dir}/etc /etc \
             && mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/nslcd \
             && mount --bind {dir}/run /run/nslcd || exit 120\n"
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c"]).arg(mounts + script);
        command.env("LD_LIBRARY_PATH", self.unpacked.libraries()).env("LC_ALL", "C");
        command
    }

    /// Runs a shell script there.
    #[track_caller]
    pub fn inside(&self, script: &str) -> Finished {
        run_to_end(self.namespace(script))
    }

    /// Starts slapd, and waits until it can be asked.
    #[track_caller]
    pub fn start_slapd(&mut self) {
        let socket = self.dir.join("ldapi");
        let url = format!("ldapi://{}", socket.to_str().unwrap().replace('/', "%2F"));
        let mut command = self.unpacked.program("usr/sbin/slapd");
        command.args(["-d", "0", "-h", &url, "-f"]).arg(self.dir.join("slapd.conf"));
        self.slapd = Some(self.spawn(command));
        self.await_socket("slapd", &socket);
    }

    /// Ends slapd.
    #[track_caller]
    pub fn stop_slapd(&mut self) {
        stop(self.slapd.take());
    }

    /// Starts nslcd, and waits until it can be asked.
    #[track_caller]
    pub fn start_nslcd(&mut self) {
        let program = self.unpacked.root().join("usr/sbin/nslcd");
        let command = self.namespace(&format!("exec {} -n", program.display()));
        self.nslcd = Some(self.spawn(command));
        self.await_socket("nslcd", &self.socket());
    }

    /// Ends nslcd.
    #[track_caller]
    pub fn stop_nslcd(&mut self) {
        stop(self.nslcd.take());
    }

    /// Suspends nslcd, and waits until each of its threads stands still.
    #[track_caller]
    pub fn suspend_nslcd(&self) {
        self.signal_nslcd(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.nslcd.as_ref().expect("a running nslcd").id());
        let stands = |task: std::io::Result<fs::DirEntry>| {
            let stat = fs::read_to_string(task.expect("/proc").path().join("stat"));
            stat.is_ok_and(|stat| stat.contains(") T "))
        };
        wait_until("nslcd stands still", || fs::read_dir(&tasks).expect("/proc").all(stands));
    }

    /// Lets nslcd go on.
    #[track_caller]
    pub fn resume_nslcd(&self) {
        self.signal_nslcd(Signal::CONT);
    }

    #[track_caller]
    fn signal_nslcd(&self, signal: Signal) {
        let nslcd = self.nslcd.as_ref().expect("a running nslcd");
        kill_process(Pid::from_child(nslcd), signal).expect("a child takes a signal");
    }

    #[track_caller]
    fn spawn(&self, mut command: Command) -> Child {
        command.stdin(Stdio::null()).stdout(self.stderr.stdio()).stderr(self.stderr.stdio());
        command.spawn().unwrap_or_else(|e| panic!("unable to start {command:?}: {e}"))
    }

    #[track_caller]
    fn await_socket(&self, what: &str, socket: &std::path::Path) {
        let connects = || UnixStream::connect(socket).is_ok();
        wait_until(&format!("{what} listens; it says: {}", self.stderr.text()), connects);
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        for child in [&mut self.nslcd, &mut self.slapd].into_iter().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[track_caller]
fn stop(child: Option<Child>) {
    let mut child = child.expect("a running daemon");
    kill_process(Pid::from_child(&child), Signal::TERM).expect("a child takes a signal");
    wait_for_exit(&mut child);
}

fn slapd_conf(unpacked: &std::path::Path, dir: &TempDir) -> String {
    let root = unpacked.display();
    let mut text = format!("modulepath {root}/usr/lib/ldap\nmoduleload back_mdb\n");
    for schema in ["core", "cosine", "inetorgperson", "nis"] {
        let _ = writeln!(text, "include {root}/etc/ldap/schema/{schema}.schema");
    }
    text + &format!(
        "sizelimit unlimited\ndatabase mdb\nsuffix {BASE}\ndirectory {}/db\nmaxsize 67108864\n\
         dbnosync\nindex objectClass,uid,cn,uidNumber,gidNumber,memberUid eq\n",
        dir.as_str()
    )
}

/// Who is in group number `group`, by the rules of this directory.
fn members(group: u32) -> Vec<String> {
    if group == BIG {
        let many = (0..MEMBERS - 1).map(|n| format!("member{n:04}"));
        return many.chain(["user007".to_owned()]).collect();
    }
    (0..USERS).filter(|n| n % (group + 2) == 1).map(|n| format!("user{n:03}")).collect()
}

fn ldif() -> String {
    let mut text = format!("dn: {BASE}\nobjectClass: domain\ndc: example\n\n");
    for n in 0..USERS {
        // One is larger than any buffer.
        let gecos = if n == USERS - 1 { "g".repeat(6000) } else { format!("User {n},,,") };
        let (uid, gid) = (20_000 + n, 30_000 + n % GROUPS);
        let _ = writeln!(
            text,
            "dn: uid=user{n:03},{BASE}\nobjectClass: account\nobjectClass: posixAccount\n\
             objectClass: shadowAccount\nuid: user{n:03}\ncn: User {n}\nuidNumber: {uid}\n\
             gidNumber: {gid}\nhomeDirectory: /home/user{n:03}\nloginShell: /bin/sh\n\
             gecos: {gecos}\nuserPassword: {{CRYPT}}$6$salt$hash{n}"
        );
        if n % 2 == 0 {
            let _ = writeln!(text, "shadowLastChange: {}\nshadowMax: 99999", 19_000 + n);
        }
        if n % 3 == 0 {
            let _ = writeln!(text, "shadowExpire: {}\nshadowFlag: {n}", 30_000 + n);
        }
        text.push('\n');
    }
    for n in 0..GROUPS {
        let gid = 30_000 + n;
        let _ = writeln!(
            text,
            "dn: cn=group{n:02},{BASE}\nobjectClass: posixGroup\ncn: group{n:02}\ngidNumber: {gid}"
        );
        for member in members(n) {
            let _ = writeln!(text, "memberUid: {member}");
        }
        text.push('\n');
    }
    text
}
