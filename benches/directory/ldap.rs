//! Whole maps from Debian's slapd, beside `ldapsearch` of the same entries and attributes to /dev/null.
//!
//! NSSBOX_TEST_LDAP and NSSBOX_PEERS name what `tests/peers DIR ldap ldap-utils` has unpacked. slapd has all
//! CPUs, the two that are compared have one; of CPU theirs alone counts. NSSBOX_LDAP_USERS=1000000 takes
//! so many users instead of 100,000.

use super::daemon::Daemon;
use super::measure::{Finding, Pair, Plan, rounds};
use super::subjects::Bench;
use nix::sys::resource::{UsageWho, getrusage};
use std::fs;
use std::io::{self, BufWriter, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Users, and members of the large group.
const USERS: u32 = 100_000;
const MEMBERS: u32 = 100_000;

const BASE: &str = "dc=bench";
/// Who may write, and by which password.
pub const ADMIN: [&str; 2] = ["cn=admin,dc=bench", "bench"];

/// What nsscache asks for of a user.
const ATTRIBUTES: [&str; 10] = [
    "uid",
    "uidNumber",
    "gidNumber",
    "gecos",
    "cn",
    "fullName",
    "homeDirectory",
    "loginShell",
    "modifyTimestamp",
    "entryUUID",
];

/// A server of a database, ended when it is dropped.
pub struct Slapd {
    _daemon: Daemon,
    port: u16,
}

/// How many users.
fn users(bench: &Bench) -> u32 {
    let asked = std::env::var("NSSBOX_LDAP_USERS").ok().and_then(|number| number.parse().ok());
    if bench.full { asked.unwrap_or(USERS) } else { 1000 }
}

fn failed(what: impl std::fmt::Display) -> io::Error {
    io::Error::other(what.to_string())
}

/// A program of OpenLDAP; `None`: it was not unpacked.
fn program(path: &str) -> Option<Command> {
    let root = PathBuf::from(std::env::var_os("NSSBOX_TEST_LDAP")?);
    let peers = PathBuf::from(std::env::var_os("NSSBOX_PEERS").unwrap_or_default());
    let places = [root.join(path), peers.join("ldap-utils").join(path)];
    let mut command = Command::new(places.into_iter().find(|place| place.exists())?);
    let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
    let root = root.display();
    let libraries = format!("{root}/usr/lib/{triple}:{root}/lib/{triple}");
    command.env("LD_LIBRARY_PATH", libraries).env("LDAPNOINIT", "1").stdin(Stdio::null());
    Some(command)
}

/// The same with all CPUs, where this process has one.
pub fn unbound(command: &Command) -> Command {
    let mut whole = Command::new("taskset");
    whole.arg("0xffffffff").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            whole.env(name, value);
        }
    }
    whole
}

/// Whether all programs are there.
pub fn absent() -> Option<Finding> {
    let all = ["usr/sbin/slapd", "usr/bin/ldapsearch", "usr/bin/ldapmodify"];
    let missing = all.into_iter().find(|path| program(path).is_none())?;
    let name = missing.rsplit('/').next().unwrap_or_default();
    Some(Finding::Absent(format!("no {name} (tests/peers DIR ldap ldap-utils)")))
}

/// Entries of so many users, and one large group, in a database that is made once.
fn database(bench: &Bench, users: u32) -> io::Result<PathBuf> {
    let name = format!("ldap-{users}");
    let root = bench.files.sized(1, false)?;
    let dir = root.parent().map(|root| root.join(&name)).unwrap_or_default();
    if dir.exists() {
        return Ok(dir);
    }
    let dir = bench.files.folder(&name)?;
    fs::create_dir(dir.join("db"))?;
    let mut out = BufWriter::new(fs::File::create(dir.join("ldif"))?);
    write!(
        out,
        "dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: bench\no: bench\n"
    )?;
    for ou in ["people", "group"] {
        write!(out, "\ndn: ou={ou},{BASE}\nobjectClass: organizationalUnit\nou: {ou}\n")?;
    }
    for n in 1..=users {
        let uid = 100_000 + n;
        write!(
            out,
            "\ndn: uid=user{n:06},ou=people,{BASE}\nobjectClass: account\nobjectClass: posixAccount\n\
             uid: user{n:06}\ncn: User {n}\nuidNumber: {uid}\ngidNumber: 100\n\
             homeDirectory: /home/user{n:06}\nloginShell: /bin/sh\n"
        )?;
    }
    let members = if bench.full { MEMBERS } else { 100 };
    write!(
        out,
        "\ndn: cn=large,ou=group,{BASE}\nobjectClass: groupOfNames\nobjectClass: extensibleObject\n\
         cn: large\ngidNumber: 200000\n"
    )?;
    for n in 1..=members {
        writeln!(out, "member: uid=user{n:06},ou=people,{BASE}")?;
    }
    out.into_inner().map_err(|error| failed(error.error()))?.sync_all()?;
    let root = std::env::var("NSSBOX_TEST_LDAP").map_err(failed)?;
    let schemas = ["core", "cosine", "inetorgperson", "nis"];
    let schemas = schemas.map(|name| format!("include {root}/etc/ldap/schema/{name}.schema\n"));
    let path = dir.display();
    let conf = format!(
        "{}modulepath {root}/usr/lib/ldap\nmoduleload back_mdb.la\nmoduleload syncprov.la\n\
         loglevel none\nsizelimit unlimited\ndatabase mdb\nsuffix {BASE}\nrootdn {}\nrootpw {}\n\
         directory {path}/db\nmaxsize 17179869184\ndbnosync\n\
         index objectClass,uid,uidNumber,entryCSN,entryUUID,modifyTimestamp eq\n\
         limits * size.prtotal=unlimited\noverlay syncprov\nsyncprov-sessionlog 10000\n",
        schemas.concat(),
        ADMIN[0],
        ADMIN[1],
    );
    fs::write(dir.join("slapd.conf"), conf)?;
    let mut add = program("usr/sbin/slapadd").ok_or_else(|| failed("no slapadd"))?;
    add.args(["-q", "-f"]).arg(dir.join("slapd.conf")).arg("-l").arg(dir.join("ldif"));
    add.stdout(Stdio::null()).stderr(Stdio::null());
    run(unbound(&add))?;
    Ok(dir)
}

impl Slapd {
    /// One with so many users.
    pub fn start(bench: &Bench, users: u32) -> io::Result<Slapd> {
        let dir = database(bench, users)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = program("usr/sbin/slapd").ok_or_else(|| failed("no slapd"))?;
        command.args(["-d", "0", "-h", &format!("ldap://127.0.0.1:{port}"), "-f"]);
        command.arg(dir.join("slapd.conf"));
        let mut command = unbound(&command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = Daemon::start(&mut command)?;
        let end = Instant::now() + Duration::from_secs(40);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > end {
                return Err(failed("slapd does not listen"));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(Slapd { _daemon: daemon, port })
    }

    /// A folder with a configuration for it; in memory, where an fsync costs nothing.
    pub fn place(&self, name: &str, map: &str) -> io::Result<Place> {
        let dir = format!("/dev/shm/nssbox-bench.{}.{name}", std::process::id());
        fs::create_dir_all(&dir)?;
        let port = self.port;
        fs::write(
            format!("{dir}/nsscache.conf"),
            format!(
                "[DEFAULT]\nsource = ldap\ncache = files\nmaps = {map}\ntimestamp_dir = {dir}/stamps\n\
                 lockfile = {dir}/lock\nfiles_dir = {dir}\nldap_uri = ldap://127.0.0.1:{port}\n\
                 ldap_base = ou=people,{BASE}\nldap_filter = (objectClass=posixAccount)\nmin_uid = 0\n\
                 [group]\nldap_base = ou=group,{BASE}\nldap_filter = (objectClass=groupOfNames)\n\
                 ldap_rfc2307bis = yes\n"
            ),
        )?;
        Ok(Place(dir.into()))
    }

    /// `ldapsearch` of all users to /dev/null.
    fn search(&self) -> io::Result<()> {
        let mut command = program("usr/bin/ldapsearch").ok_or_else(|| failed("no ldapsearch"))?;
        command.args(["-x", "-LLL", "-o", "ldif-wrap=no", "-E", "pr=1000/noprompt", "-H"]);
        command.arg(format!("ldap://127.0.0.1:{}", self.port));
        command.args([
            "-b",
            &format!("ou=people,{BASE}"),
            "-s",
            "one",
            "(objectClass=posixAccount)",
        ]);
        command.args(ATTRIBUTES).stdout(Stdio::null());
        run(command)
    }

    /// Changes entries, by LDIF.
    pub fn change(&self, ldif: &str) -> io::Result<()> {
        let mut command = program("usr/bin/ldapmodify").ok_or_else(|| failed("no ldapmodify"))?;
        command.args(["-x", "-D", ADMIN[0], "-w", ADMIN[1], "-H"]);
        command.arg(format!("ldap://127.0.0.1:{}", self.port));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(ldif.as_bytes())?;
        }
        if child.wait()?.success() { Ok(()) } else { Err(failed("ldapmodify failed")) }
    }
}

/// A folder that goes with the row.
pub struct Place(PathBuf);

impl Place {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `nsscache` with its configuration.
    pub fn nsscache(&self, bench: &Bench, words: &[&str]) -> Command {
        let mut command = Command::new(bench.files.applet("nsscache"));
        command.arg("-c").arg(self.0.join("nsscache.conf")).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(mut command: Command) -> io::Result<()> {
    match command.status()?.success() {
        true => Ok(()),
        false => Err(failed(format!("{command:?} failed"))),
    }
}

/// CPU that all children have had that were waited for.
fn cpu() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = |value: nix::sys::time::TimeVal| {
        Duration::from_secs(value.tv_sec() as u64) + Duration::from_micros(value.tv_usec() as u64)
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

/// What a call takes: of wall clock, or of CPU.
fn cost(of_cpu: bool, call: impl FnOnce() -> io::Result<()>) -> io::Result<Duration> {
    let (begun, before) = (Instant::now(), cpu()?);
    call()?;
    Ok(if of_cpu { cpu()? - before } else { begun.elapsed() })
}

/// A whole update of all users with all indexes.
pub fn full(bench: &Bench, of_cpu: bool) -> io::Result<Finding> {
    if let Some(absent) = absent() {
        return Ok(absent);
    }
    let count = users(bench);
    let slapd = Slapd::start(bench, count)?;
    let place = slapd.place("full", "passwd")?;
    let update = || run(place.nsscache(bench, &["update", "--full"]));
    // Neither is the first that asks.
    slapd.search()?;
    update()?;
    let data = fs::read(place.path().join("passwd.cache"))?;
    if data.iter().filter(|byte| **byte == b'\n').count() != count as usize {
        return Err(failed("another number of users"));
    }
    rounds(Plan { rounds: if bench.full { 3 } else { 1 }, ..bench.plan(1, 1) }, || {
        let mut pair = Pair::default();
        pair.reference.add(cost(of_cpu, || slapd.search())?, 1);
        pair.subject.add(cost(of_cpu, update)?, 1);
        Ok(pair)
    })
}

/// The most memory of its own that a whole update of a map has.
pub fn memory(bench: &Bench, map: &str) -> io::Result<Finding> {
    if let Some(absent) = absent() {
        return Ok(absent);
    }
    let slapd = Slapd::start(bench, users(bench))?;
    let place = slapd.place("memory", map)?;
    let update = || place.nsscache(bench, &["update", "--full"]);
    run(update())?;
    let mut child = update().spawn()?;
    let mut most = 0;
    while child.try_wait()?.is_none() {
        most = most.max(anonymous(child.id()));
        thread::sleep(Duration::from_micros(500));
    }
    Ok(Finding::Bytes(most))
}

/// RssAnon of a process, in bytes.
pub fn anonymous(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = text.lines().find_map(|line| line.strip_prefix("RssAnon:")?.strip_suffix("kB"));
    kib.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}
