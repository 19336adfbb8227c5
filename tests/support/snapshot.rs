//! Signed snapshots for tests: Debian's minisign signs whatever a test wants to have signed, and a web
//! server hands it out.

use super::directory::no_machine;
use super::http::{Http, send};
use super::{TempDir, have_program, run_to_end, skip};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Says so and gives true where there can be no machine, or no signature.
pub fn no_minisign(test: &str) -> bool {
    if !have_program("minisign") {
        skip(test, "no minisign");
        return true;
    }
    no_machine(test)
}

/// The SHA-256 of a text, as it is written.
pub fn sum(text: &[u8]) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Seconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// A folder `www` with an export, two pairs of keys beside it, and a server.
pub struct Www {
    /// `www`, and `one.key`, `one.pub`, `two.key`, `two.pub`.
    pub dir: TempDir,
    /// It has ETags.
    pub server: Http,
}

impl Www {
    /// An empty one.
    #[track_caller]
    pub fn new() -> Www {
        let dir = TempDir::new();
        dir.subdirectory("www");
        for name in ["one", "two"] {
            new_key(&dir, name);
        }
        let www = dir.join("www");
        let server = Http::new(move |request, stream| hand_out(&www, request, stream));
        Www { dir, server }
    }

    /// A file of the folder that is handed out.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join("www").join(name)
    }

    /// Its files.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.join("www")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Puts maps there; the text of a list of them.
    #[track_caller]
    pub fn list(&self, serial: u64, time: i64, maps: &[(&str, &str)]) -> String {
        let mut text = format!("nsscache-snapshot 1 serial={serial} time={time}\n");
        for (name, body) in maps {
            let (sum, entries) = (sum(body.as_bytes()), body.lines().count());
            fs::write(self.file(&format!("{name}-{sum}")), body).unwrap();
            text += &format!("{name} {sum} {} {entries}\n", body.len());
        }
        text
    }

    /// Puts a list there, signed by a key.
    #[track_caller]
    pub fn sign(&self, key: &str, text: impl AsRef<[u8]>, more: &[&str]) {
        let text = text.as_ref();
        fs::write(self.file("snapshot"), text).unwrap();
        let mut command = Command::new("minisign");
        command.arg("-S").args(more).arg("-s").arg(self.dir.join(format!("{key}.key")));
        command.arg("-m").arg(self.file("snapshot"));
        command.arg("-x").arg(self.file(&format!("snapshot-{}.minisig", sum(text))));
        let done = run_to_end(command);
        assert_eq!(done.code, Some(0), "minisign: {}", done.stderr);
    }

    /// Both, of now.
    #[track_caller]
    pub fn publish(&self, key: &str, serial: u64, maps: &[(&str, &str)]) {
        let text = self.list(serial, now(), maps);
        self.sign(key, text, &[]);
    }

    /// A public key, as it is written.
    #[track_caller]
    pub fn public(&self, key: &str) -> String {
        fs::read_to_string(self.dir.join(format!("{key}.pub"))).unwrap()
    }

    /// From now on the files are handed out as they are, whatever was before.
    pub fn serve(&self) {
        let www = self.dir.join("www");
        self.server.answer(move |request, stream| hand_out(&www, request, stream));
    }

    /// What was asked since `before` requests, without the sums.
    pub fn asked(&self, before: usize) -> Vec<String> {
        let requests = self.server.requests();
        let names = requests[before..].iter().map(|request| {
            let name = request.path.trim_start_matches('/');
            name.split_once('-').map_or(name, |(front, _)| front).to_owned()
                + if name.ends_with(".minisig") { ".minisig" } else { "" }
        });
        names.collect()
    }
}

/// Makes a pair of keys without a password.
#[track_caller]
pub fn new_key(dir: &TempDir, name: &str) {
    let mut command = Command::new("minisign");
    command.args(["-G", "-W", "-p"]).arg(dir.join(format!("{name}.pub")));
    command.arg("-s").arg(dir.join(format!("{name}.key")));
    let done = run_to_end(command);
    assert_eq!(done.code, Some(0), "minisign: {}", done.stderr);
}

/// Answers with a file of a folder, or that it is the same.
pub fn hand_out(
    www: &std::path::Path,
    request: &super::http::Request,
    stream: &mut std::net::TcpStream,
) {
    let path = www.join(request.path.trim_start_matches('/'));
    let Ok(body) = fs::read(path) else { return send(stream, "404 Not Found", &[], b"none\n") };
    let etag = format!("\"{}\"", sum(&body));
    match request.headers.get("if-none-match") {
        Some(known) if *known == etag => {
            use std::io::Write as _;
            let _ = stream.write_all(b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n");
        }
        _ => send(stream, "200 OK", &[("ETag", &etag)], &body),
    }
}

/// What a board is configured with: these maps of a snapshot, and /run/signers.
pub fn config(maps: &str, url: &str, more: &str) -> String {
    format!(
        "[DEFAULT]\nsource = http\ncache = files\nmaps = {maps}\ntimestamp_dir = /var/lib/nsscache\n\
         lockfile = /run/nsscache.lock\nfiles_dir = /etc\nhttp_retry_max = 1\nhttp_retry_delay = 0\n\
         http_snapshot_url = {url}/snapshot\nhttp_signed_by = /run/signers\n{more}\n"
    )
}
