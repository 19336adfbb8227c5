//! Updates over HTTP, beside curl of the same file to the same file system.

use super::measure::{Finding, Pair, Plan, rounds, time};
use super::subjects::Bench;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;

/// Users of a full update.
const USERS: u32 = 100_000;

const MODIFIED: &str = "Mon, 06 May 2024 07:08:09 GMT";

/// A server of that many users, made when it is needed first: its port.
fn server(bench: &Bench) -> io::Result<u16> {
    static PORT: OnceLock<u16> = OnceLock::new();
    if let Some(port) = PORT.get() {
        return Ok(*port);
    }
    let count = if bench.full { USERS } else { USERS / 100 };
    let body = fs::read(bench.files.sized(count, false)?.join("passwd"))?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // The next client comes all the same.
            let _ = answer(stream, &body);
        }
    });
    Ok(*PORT.get_or_init(|| port))
}

fn answer(mut stream: TcpStream, body: &[u8]) -> io::Result<()> {
    let mut head = Vec::new();
    let mut room = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut room)? {
            0 => return Ok(()),
            len => head.extend_from_slice(room.get(..len).unwrap_or_default()),
        }
    }
    let asked = String::from_utf8_lossy(&head).to_lowercase();
    if asked.contains("\r\nif-modified-since:") {
        return stream.write_all(b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n");
    }
    let len = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nLast-Modified: {MODIFIED}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

/// A directory with a configuration for it, on a disk or in memory.
fn place(bench: &Bench, name: &str, in_memory: bool) -> io::Result<PathBuf> {
    let dir = match in_memory {
        true => {
            let dir = PathBuf::from(format!("/dev/shm/nssbox-bench.{}", std::process::id()));
            fs::create_dir_all(&dir)?;
            dir
        }
        false => bench.files.folder(name)?,
    };
    let (path, port) = (dir.display(), server(bench)?);
    let config = format!(
        "[DEFAULT]\nsource = http\ncache = files\nmaps = passwd\ntimestamp_dir = {path}/stamps\n\
         lockfile = {path}/lock\nfiles_dir = {path}\nhttp_passwd_url = http://127.0.0.1:{port}/passwd\n\
         min_uid = 0\n"
    );
    fs::write(dir.join("nsscache.conf"), config)?;
    Ok(dir)
}

fn update(bench: &Bench, dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(bench.files.applet("nsscache"));
    command.arg("-c").arg(dir.join("nsscache.conf")).arg("update").args(words);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn curl(dir: &Path, port: u16, words: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command.args(["-s", "-S", "-f", "-o"]).arg(dir.join("curl")).args(words);
    command.arg(format!("http://127.0.0.1:{port}/passwd")).stdin(Stdio::null());
    command
}

fn run(mut command: Command) -> io::Result<()> {
    match command.status()?.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{command:?} failed"))),
    }
}

fn beside(bench: &Bench, dir: &Path, ours: &[&str], theirs: &[&str]) -> io::Result<Finding> {
    let (plan, port) =
        (Plan { rounds: if bench.full { 7 } else { 1 }, ..bench.plan(1, 1) }, server(bench)?);
    run(update(bench, dir, &["--full"]))?;
    rounds(plan, || {
        let mut pair = Pair::default();
        for _ in 0..if bench.full { 3 } else { 1 } {
            pair.reference.add(time(1, &mut || run(curl(dir, port, theirs)))?, 1);
            pair.subject.add(time(1, &mut || run(update(bench, dir, ours)))?, 1);
        }
        Ok(pair)
    })
}

/// A full update with all indexes; in memory, where an fsync costs nothing, or on the disk.
pub fn full(bench: &Bench, in_memory: bool) -> io::Result<Finding> {
    let dir = place(bench, "http-full", in_memory)?;
    let found = beside(bench, &dir, &["--full"], &[]);
    let same = fs::read(dir.join("passwd.cache")).ok() == fs::read(dir.join("curl")).ok();
    if in_memory {
        fs::remove_dir_all(&dir)?;
    }
    if same { found } else { Err(io::Error::other("another file than curl's")) }
}

/// Nothing new, beside `curl -z`.
pub fn unchanged(bench: &Bench) -> io::Result<Finding> {
    let dir = place(bench, "http-304", false)?;
    beside(bench, &dir, &[], &["-z", MODIFIED])
}

/// The most memory that a full update has of its own.
pub fn memory(bench: &Bench) -> io::Result<Finding> {
    let dir = place(bench, "http-memory", false)?;
    run(update(bench, &dir, &["--full"]))?;
    let mut child = update(bench, &dir, &["--full"]).spawn()?;
    let (path, mut most) = (format!("/proc/{}/status", child.id()), 0);
    while child.try_wait()?.is_none() {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let kib = text.lines().find_map(|line| line.strip_prefix("RssAnon:")?.strip_suffix("kB"));
        most = most.max(kib.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0));
        thread::sleep(std::time::Duration::from_micros(500));
    }
    Ok(Finding::Bytes(most * 1024))
}
