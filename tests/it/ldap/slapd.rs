//! Debian's slapd with the directory of the vectors. It is never installed: tests/peers unpacks it, and
//! NSSBOX_TEST_LDAP says where; ldapmodify comes from the same place, from NSSBOX_PEERS, or from PATH.

use crate::directory::vectors::folder;
use crate::support::ldap::Unpacked;
use crate::support::{Captured, Finished, TempDir, run_to_end, skip, wait_for_exit, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The one who may write.
pub const ADMIN: &str = "cn=admin,dc=example,dc=org";

/// A server, which ends when it is dropped.
pub struct Slapd {
    unpacked: Unpacked,
    dir: TempDir,
    child: Option<Child>,
    stderr: Captured,
    /// Where it listens.
    pub port: u16,
    /// Where it listens for TLS, if it has a certificate.
    pub secure_port: u16,
}

/// Whether it synchronizes, and from what it can tell of deletions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    No,
    Plain,
    SessionLog,
}

impl Slapd {
    /// One with the vectors' directory and `more` behind it. `None`, which is said: there is none.
    #[track_caller]
    pub fn start(test: &str, sync: Sync, more: &str) -> Option<Slapd> {
        Slapd::with(test, sync, more, TempDir::new(), |_, conf| conf)
    }

    /// The same, its slapd.conf changed. `dir` is where it will be.
    #[track_caller]
    pub fn with(
        test: &str,
        sync: Sync,
        more: &str,
        dir: TempDir,
        change: impl FnOnce(&TempDir, String) -> String,
    ) -> Option<Slapd> {
        let unpacked = Unpacked::find(test)?;
        dir.subdirectory("db");
        let text = |name: &str| fs::read_to_string(folder("ldap").join(name)).unwrap();
        dir.write("local.schema", text("local.schema"));
        dir.write("ldif", text("directory.ldif") + more);
        let root = unpacked.root().to_str().unwrap();
        let mut conf = text("slapd.conf")
            .replace("work/db", &format!("{}/db", dir.as_str()))
            .replace("work/slapd.pid", &format!("{}/pid", dir.as_str()))
            .replace("include local", &format!("include {}/local", dir.as_str()))
            .replace("/etc/ldap", &format!("{root}/etc/ldap"))
            .replace("/usr/lib/ldap", &format!("{root}/usr/lib/ldap"));
        conf += "dbnosync\n";
        if sync != Sync::No {
            conf = conf.replace("back_mdb.la\n", "back_mdb.la\nmoduleload syncprov.la\n");
            conf += "overlay syncprov\n";
        }
        if sync == Sync::SessionLog {
            conf += "syncprov-sessionlog 10000\n";
        }
        let conf = change(&dir, conf);
        dir.write("slapd.conf", conf);
        // Free now: nobody else is likely to take it at once.
        let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, secure_port] = held.map(|held| held.local_addr().unwrap().port());
        let stderr = Captured::new();
        let mut slapd = Slapd { unpacked, dir, child: None, stderr, port, secure_port };
        slapd.unpacked.add_entries(&slapd.dir);
        slapd.resume();
        Some(slapd)
    }

    /// Its URI.
    pub fn uri(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// The URI of its socket.
    pub fn socket_uri(&self) -> String {
        format!("ldapi://{}%2Fldapi", self.dir.as_str().replace('/', "%2F"))
    }

    /// Starts it (again).
    #[track_caller]
    pub fn resume(&mut self) {
        let mut command = self.unpacked.program("usr/sbin/slapd");
        let conf = self.dir.join("slapd.conf");
        let mut uris = format!("{} {}", self.uri(), self.socket_uri());
        if fs::read_to_string(&conf).unwrap().contains("TLSCertificateFile") {
            uris += &format!(" ldaps://127.0.0.1:{}", self.secure_port);
        }
        command.args(["-d", "0", "-h", &uris, "-f"]).arg(conf);
        command.stdin(Stdio::null()).stdout(self.stderr.stdio()).stderr(self.stderr.stdio());
        self.child = Some(command.spawn().expect("slapd"));
        let port = self.port;
        wait_until(&format!("slapd listens; it says: {}", self.stderr.text()), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
    }

    /// Starts it anew with these limits for everybody.
    #[track_caller]
    pub fn limit(&mut self, limits: &str) {
        self.stop();
        let path = self.dir.join("slapd.conf");
        let conf = fs::read_to_string(&path).unwrap();
        fs::write(path, conf.replace("size.prtotal=unlimited", limits)).unwrap();
        self.resume();
    }

    /// Ends it.
    #[track_caller]
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("a running slapd");
        kill_process(Pid::from_child(&child), Signal::TERM).expect("a child takes a signal");
        wait_for_exit(&mut child);
    }

    /// ldapmodify, which will ask this server.
    pub fn modify(&self) -> Command {
        let tool = "usr/bin/ldapmodify";
        let peers = env::var_os("NSSBOX_PEERS").map(|dir| PathBuf::from(dir).join("ldap-utils"));
        let places = [Some(self.unpacked.root().to_owned()), peers];
        let found =
            places.into_iter().flatten().map(|dir| dir.join(tool)).find(|path| path.exists());
        let mut command = Command::new(found.unwrap_or_else(|| "ldapmodify".into()));
        command.env("LD_LIBRARY_PATH", self.unpacked.libraries()).env("LDAPNOINIT", "1");
        command.args(["-x", "-H", &self.uri()]);
        command
    }

    /// Changes the directory, by LDIF.
    #[track_caller]
    pub fn change(&self, ldif: &str) -> Finished {
        self.dir.write("changes", ldif);
        let mut command = self.modify();
        command.args(["-D", ADMIN, "-w", "vector-secret", "-f"]).arg(self.dir.join("changes"));
        let done = run_to_end(command);
        assert_eq!(done.code, Some(0), "ldapmodify: {}", done.stderr);
        done
    }
}

/// A place for users, `ou=OU`, and one for groups, `ou=OUgroup`; an empty line is in front.
pub fn places_ldif(ou: &str) -> String {
    format!(
        "\n\ndn: ou={ou},dc=example,dc=org\nobjectClass: organizationalUnit\nou: {ou}\n\n\
         dn: ou={ou}group,dc=example,dc=org\nobjectClass: organizationalUnit\nou: {ou}group\n"
    )
}

/// A user there, called `cn`; an empty line is in front.
pub fn account_ldif(ou: &str, uid: &str, cn: &str, number: u32, gid: u32) -> String {
    format!(
        "\ndn: uid={uid},ou={ou},dc=example,dc=org\nobjectClass: account\nobjectClass: posixAccount\n\
         uid: {uid}\ncn: {cn}\nuidNumber: {number}\ngidNumber: {gid}\nhomeDirectory: /home/{uid}\n\
         loginShell: /bin/sh\n"
    )
}

/// Whether there is no ldapmodify, which is said.
pub fn no_ldapmodify(test: &str) -> bool {
    let below = |name: &str, dir: &str| {
        env::var_os(name)
            .is_some_and(|path| PathBuf::from(path).join(dir).join("usr/bin/ldapmodify").exists())
    };
    let there = below("NSSBOX_TEST_LDAP", "")
        || below("NSSBOX_PEERS", "ldap-utils")
        || crate::support::have_program("ldapmodify");
    if !there {
        skip(test, "no ldapmodify (tests/peers DIR ldap-utils)");
    }
    !there
}

impl Drop for Slapd {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
