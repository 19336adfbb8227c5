//! A fake nslcd: takes requests at a socket and does with each what it was told to.

use crate::support::{Daemon, TempDir, nsssd, passwd_reply};
use rustix::io::Errno;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// A directory with links to the applets, local files with nothing in them, and a place for
/// nslcd's socket.
#[derive(Debug)]
pub struct Stage {
    pub dir: TempDir,
    pub bin: PathBuf,
}

impl Stage {
    #[track_caller]
    pub fn new() -> Stage {
        let dir = TempDir::new();
        let bin = dir.bin();
        dir.accounts("", "", "");
        Stage { dir, bin }
    }

    /// Where nslcd is to listen.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("nslcd")
    }

    /// `nsssd-nslcd OPTIONS SOCKET`.
    #[track_caller]
    pub fn daemon(&self, options: &[&str]) -> Daemon {
        let mut command = nsssd(&self.bin, "nsssd-nslcd");
        command.args(options).arg(self.socket());
        Daemon::start(command)
    }

    /// A switch with these options, bitfields and commands, as its command line has them.
    #[track_caller]
    pub fn switch(&self, words: &[&str]) -> Daemon {
        let mut command = nsssd(&self.bin, "nsssd-switch");
        command.args(words);
        Daemon::start(command)
    }
}

/// The status byte of a failure.
pub fn status(errno: Errno) -> u8 {
    u8::try_from(errno.raw_os_error()).unwrap()
}

/// What a client is told of [`user`].
pub fn user_reply(name: &str, uid: u32, gid: u32) -> Vec<u8> {
    passwd_reply([name, "*"], uid, gid, ["G", "/h", "/s"])
}

/// The actions.
pub mod action {
    pub const USER: u32 = 0x0008_0001;
    pub const UID: u32 = 0x0008_0002;
    pub const USERS: u32 = 0x0008_0008;
    pub const GROUP: u32 = 0x0004_0001;
    pub const GID: u32 = 0x0004_0002;
    pub const GROUPS_OF: u32 = 0x0004_0006;
    pub const GROUPS: u32 = 0x0004_0008;
    pub const SHADOW: u32 = 0x000c_0001;
    pub const SHADOWS: u32 = 0x000c_0008;
}

/// Words, big-endian.
pub fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A string behind its length.
pub fn text(text: &str) -> Vec<u8> {
    [&words(&[text.len() as u32])[..], text.as_bytes()].concat()
}

/// The entry of a user, its mark in front.
pub fn user(name: &str, uid: u32, gid: u32) -> Vec<u8> {
    [words(&[1]), text(name), text("*"), words(&[uid, gid]), text("G"), text("/h"), text("/s")]
        .concat()
}

/// The entry of a group, its mark in front.
pub fn group<S: AsRef<str>>(name: &str, gid: u32, members: &[S]) -> Vec<u8> {
    let mut entry = [words(&[1]), text(name), text("*"), words(&[gid, members.len() as u32])];
    entry[3].extend(members.iter().flat_map(|m| text(m.as_ref())));
    entry.concat()
}

/// The entry of a password, its mark in front.
pub fn shadow(name: &str, numbers: [u32; 7]) -> Vec<u8> {
    [words(&[1]), text(name), text("*"), words(&numbers)].concat()
}

/// A whole reply with these entries.
pub fn reply(action: u32, entries: &[Vec<u8>]) -> Vec<u8> {
    [words(&[2, action]), entries.concat(), words(&[2])].concat()
}

/// The request with this argument.
pub fn request(action: u32, argument: &[u8]) -> Vec<u8> {
    [&words(&[2, action])[..], argument].concat()
}

/// What is done with a connection: `count` is the number of those before it.
type Act = dyn Fn(&mut UnixStream, usize) -> std::io::Result<()> + Send + Sync;

/// The server, each connection in a thread of its own. Its socket goes with it.
pub struct FakeNslcd {
    path: PathBuf,
    ending: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<UnixStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeNslcd {
    /// Does so with each connection, and closes it.
    #[track_caller]
    pub fn new(
        path: &Path,
        act: impl Fn(&mut UnixStream, usize) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> FakeNslcd {
        FakeNslcd::start(path, Arc::new(act))
    }

    fn start(path: &Path, act: Arc<Act>) -> FakeNslcd {
        let listener = UnixListener::bind(path).expect("a socket for nslcd");
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).expect("chmod");
        let (ending, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let open = Arc::new(Mutex::new(Vec::new()));
        let (ends, counter, opened) = (Arc::clone(&ending), Arc::clone(&count), Arc::clone(&open));
        let thread = thread::spawn(move || {
            while let Ok((mut client, _)) = listener.accept() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let act = Arc::clone(&act);
                let copy = client.try_clone().expect("one more descriptor");
                let mut opened = opened.lock().expect("no thread panics with it");
                opened.retain(|stream: &UnixStream| stream.peer_addr().is_ok());
                opened.push(copy);
                thread::spawn(move || {
                    // What goes wrong here shows in what the daemon says.
                    let _ = act(&mut client, number);
                    let _ = client.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        FakeNslcd { path: path.to_owned(), ending, count, open, thread: Some(thread) }
    }

    /// Answers these requests so, and closes without a word on others.
    #[track_caller]
    pub fn with_table(path: &Path, table: Vec<(Vec<u8>, Vec<u8>)>) -> FakeNslcd {
        FakeNslcd::new(path, move |client, _| {
            let request = read_request(client)?;
            match table.iter().find(|(known, _)| *known == request) {
                Some((_, reply)) => client.write_all(reply),
                None => Ok(()),
            }
        })
    }

    /// Reads a request, says this to whatever it is, and closes.
    #[track_caller]
    pub fn saying(path: &Path, reply: Vec<u8>) -> FakeNslcd {
        FakeNslcd::new(path, move |client, _| {
            read_request(client)?;
            client.write_all(&reply)
        })
    }

    /// Connections so far.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

impl Drop for FakeNslcd {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        for stream in self.open.lock().expect("no thread panics with it").drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        // So that it looks.
        let _ = UnixStream::connect(&self.path);
        let _ = fs::remove_file(&self.path);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads a request to its end, which the end of file tells.
pub fn read_request(client: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let mut request = Vec::new();
    client.read_to_end(&mut request)?;
    Ok(request)
}
