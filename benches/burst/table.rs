//! Many of one uid who ask the C library at once, each for another name: tests/clients/burst.c over
//! each kind of source, with nssbox's nscd, glibc's and unscd, and how many a slower source bears.
//!
//! Clients and servers are in mount namespaces of their own, where /etc has an account of root's
//! alone, but for what glibc's nscd and unscd read there.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::{Connection, Daemon, own_executable};
use crate::files::Files;
use crate::on_cpu;

/// Lines of the near files, and the first account of them.
const LINES: u32 = 300_000;
const FIRST: u32 = 100_001;

/// Takes words: a folder of this bench, then what is to be run; `$1` and so on are those behind.
const ETC: &str = "mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir /run/nscd \
     /run/nslcd && mount --bind \"$ROOT/run\" /run/nscd && mount --bind \"$ROOT/nslcd\" /run/nslcd && \
     mount --bind \"$ACCOUNTS/passwd\" /etc/passwd && mount --bind \"$ACCOUNTS/group\" /etc/group && \
     mount --bind \"$ACCOUNTS/nsswitch.conf\" /etc/nsswitch.conf && mount -t tmpfs tmpfs /var/cache && \
     mkdir /var/cache/nscd && exec \"$@\"";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Near,
    Socket,
    Program,
    Nslcd,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    Ours,
    Glibc,
    Unscd,
}

struct Bench<'a> {
    files: &'a Files,
    root: PathBuf,
    /// The two clients, where they could be compiled.
    clients: Vec<(&'static str, PathBuf)>,
}

pub fn run(files: &Files, full: bool) -> io::Result<bool> {
    let bench = Bench::new(files, if full { LINES } else { 1000 })?;
    let counts: &[u32] = if full { &[128, 512] } else { &[16] };
    println!("| source | askers | C library | nssbox nscd | glibc's nscd | unscd |");
    println!("|---|---|---|---|---|---|");
    let mut good = true;
    let sources = [
        (Source::Near, "files of 300,000 lines"),
        (Source::Socket, "`-s`, 2 ms"),
        (Source::Program, "a program, 2 ms"),
        (Source::Nslcd, "nslcd, 2 ms"),
    ];
    for (source, name) in sources {
        for &count in counts {
            for (library, client) in &bench.clients {
                let cell = |server| bench.cell(server, source, client, count);
                let (ours, failed) = cell(Server::Ours)?;
                let (glibc, unscd) = (cell(Server::Glibc)?.0, cell(Server::Unscd)?.0);
                println!("| {name} | {count} | {library} | {ours} | {glibc} | {unscd} |");
                good &= failed == 0;
            }
        }
    }
    println!();
    if let (true, Some((_, client))) = (full, bench.clients.last()) {
        for millis in [20, 50, 100] {
            good &= bench.slower(millis, client)?;
        }
        println!();
    }
    Ok(good)
}

impl<'a> Bench<'a> {
    fn new(files: &'a Files, lines: u32) -> io::Result<Self> {
        let root = files.folder("burst")?;
        for folder in ["run", "nslcd", "near", "few", "ldap"] {
            fs::create_dir_all(root.join(folder))?;
            fs::set_permissions(root.join(folder), fs::Permissions::from_mode(0o755))?;
        }
        let user = |at| format!("u{at:06}:*:{at}:{at}:Some Name:/home/u{at:06}:/bin/sh\n");
        let group = |at| format!("u{at:06}:x:{at}:u{at:06}\n");
        let accounts = FIRST..FIRST + lines;
        let text = |line: &dyn Fn(u32) -> String| accounts.clone().map(line).collect::<String>();
        for (folder, users, groups, services) in [
            ("near", text(&user), text(&group), "files"),
            ("few", String::new(), String::new(), "files"),
            ("ldap", String::new(), String::new(), "files ldap"),
        ] {
            let dir = root.join(folder);
            fs::write(dir.join("passwd"), format!("root:x:0:0::/root:/bin/sh\n{users}"))?;
            fs::write(dir.join("group"), format!("root:x:0:\n{groups}"))?;
            let services = format!("passwd: {services}\ngroup: {services}\n");
            fs::write(dir.join("nsswitch.conf"), services)?;
        }
        let config = "enable-cache passwd yes\nenable-cache group yes\n";
        fs::write(root.join("nscd.conf"), config)?;
        std::thread::sleep(Duration::from_secs(3));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/burst.c");
        let mut clients = Vec::new();
        for (name, compiler, option) in [("glibc", "cc", "-O1"), ("musl", "musl-gcc", "-static")] {
            let to = root.join(name);
            let mut command = Command::new(compiler);
            match command.args([option, "-o"]).arg(&to).arg(source).status() {
                Ok(status) if status.success() => clients.push((name, to)),
                _ => println!("not measured: {name}: no {compiler}"),
            }
        }
        Ok(Bench { files, root, clients })
    }

    /// A program under such an /etc.
    fn command(&self, accounts: &str, program: &OsStr) -> Command {
        let mut command = Command::new("unshare");
        command.env("ROOT", &self.root).env("ACCOUNTS", self.root.join(accounts));
        command.args(["-m", "sh", "-c", ETC, "sh"]).arg(program);
        command
    }

    fn socket(&self) -> PathBuf {
        self.root.join("run/socket")
    }

    fn source(&self, source: Source, millis: u32) -> io::Result<Option<Daemon>> {
        let (kind, path) = match source {
            Source::Socket => ("--nsss", self.root.join("nsss")),
            Source::Nslcd => ("--nslcd", self.root.join("nslcd/socket")),
            _ => return Ok(None),
        };
        let _ = fs::remove_file(&path);
        let mut command = own_executable()?;
        command.args([kind, &millis.to_string()]).arg(path);
        Daemon::start_and_wait(&mut command).map(Some)
    }

    fn ours(&self, source: Source) -> io::Result<Daemon> {
        let unix = self.files.applet("nsssd-unix");
        let mut command = self.command("few", self.files.applet("nscd").as_os_str());
        command.args(["-1", "-q"]);
        if source == Source::Socket {
            command.arg("-s").arg(self.root.join("nsss"));
        } else {
            command.arg("3").arg(&unix).args(["", "0"]);
        }
        match source {
            Source::Near => command.arg(unix).arg("-d").arg(self.root.join("near")).arg(""),
            Source::Program => {
                command.arg(own_executable()?.get_program()).args(["--program", "2", ""])
            }
            Source::Nslcd => {
                command.arg(self.files.applet("nsssd-nslcd")).arg("/run/nslcd/socket").arg("")
            }
            Source::Socket => &mut command,
        };
        Daemon::start_and_wait(&mut command)
    }

    /// The inner error says why it cannot be asked.
    fn peer(&self, server: Server, source: Source) -> io::Result<Result<Daemon, &'static str>> {
        let accounts = match source {
            Source::Near => "near",
            Source::Nslcd => "ldap",
            Source::Socket | Source::Program => return Ok(Err("cannot ask it")),
        };
        let peers = std::env::var_os("NSSBOX_PEERS").map(PathBuf::from).unwrap_or_default();
        let (name, foreground) =
            if server == Server::Glibc { ("nscd", "-F") } else { ("unscd", "-d") };
        let program = peers.join(name).join("usr/sbin/nscd");
        let modules = peers.join("ldap/lib").join(concat!("x86_64", "-linux-gnu"));
        if !program.is_file() {
            return Ok(Err("not measured: see tests/peers"));
        }
        if source == Source::Nslcd && !modules.join("libnss_ldap.so.2").is_file() {
            return Ok(Err("not measured: no libnss-ldapd"));
        }
        let mut command = self.command(accounts, program.as_os_str());
        command.arg(foreground).arg("-f").arg(self.root.join("nscd.conf"));
        command.env("LD_LIBRARY_PATH", modules);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = Daemon::start(&mut command)?;
        let end = Instant::now() + Duration::from_secs(10);
        while Connection::open(self.socket().as_os_str()).is_err() {
            if Instant::now() > end {
                return Ok(Err("does not start"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Ok(daemon))
    }

    /// What is said of a burst, and how many failed.
    fn cell(
        &self,
        server: Server,
        source: Source,
        client: &Path,
        count: u32,
    ) -> io::Result<(String, u32)> {
        let _ = fs::remove_file(self.socket());
        on_cpu(0)?;
        let _source = self.source(source, 2)?;
        let daemon = match server {
            Server::Ours => Ok(self.ours(source)?),
            _ => self.peer(server, source)?,
        };
        on_cpu(1)?;
        match daemon {
            Ok(_daemon) => {
                let burst = self.burst(client, count)?;
                let (failed, p99) = (burst.failed, burst.p99);
                Ok((format!("{failed} failed, p99 {p99} ms"), failed))
            }
            Err(why) => Ok((why.to_owned(), 0)),
        }
    }

    fn burst(&self, client: &Path, count: u32) -> io::Result<Burst> {
        let mut command = self.command("few", client.as_os_str());
        command.args([&count.to_string(), "1", "name", &FIRST.to_string()]);
        let out = command.stderr(Stdio::null()).output()?.stdout;
        let text = String::from_utf8_lossy(&out).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        let behind = |word: &str| {
            let at = words.iter().position(|w| *w == word)?;
            words.get(at + 1).copied()
        };
        let number = |word| behind(word).and_then(|n| n.parse().ok());
        match (number("answered"), number("failed"), behind("p99")) {
            (Some(answered), Some(failed), Some(p99)) => {
                Ok(Burst { answered, failed, p99: p99.to_owned() })
            }
            _ => Err(io::Error::other(format!("{command:?} said {text:?}"))),
        }
    }

    /// How many a slower source bears: of more than that so many are answered. Nine of ten of them
    /// alone are all answered.
    fn slower(&self, millis: u32, client: &Path) -> io::Result<bool> {
        on_cpu(0)?;
        let _source = self.source(Source::Socket, millis)?;
        let _server = self.ours(Source::Socket)?;
        on_cpu(1)?;
        let borne = self.burst(client, 2000)?.answered;
        let fewer = borne * 9 / 10;
        let failed = self.burst(client, fewer)?.failed;
        println!(
            "- `-s`, {millis} ms an answer: of 2,000 who ask at once {borne} are answered; of {fewer} \
             {failed} fail"
        );
        Ok(failed == 0)
    }
}

struct Burst {
    answered: u32,
    failed: u32,
    p99: String,
}
