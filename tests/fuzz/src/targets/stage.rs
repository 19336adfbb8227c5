//! Files for what reads files, and connections without sockets.

use super::{cut, first};
use nssbox::backend::Backend;
use nssbox::backend::switch::Switch;
use nssbox::backend::unix::Unix;
use nssbox::server::conversation::{Conversation, Need, Output};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

/// A directory of one thread, in memory where that can be had.
pub struct Dir(PathBuf);

thread_local! {
    static DIR: Dir = Dir::new();
}

impl Dir {
    fn new() -> Dir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nssbox-fuzz.{}.{number}", process::id());
        let places = [PathBuf::from("/dev/shm"), env::temp_dir()];
        // Nobody but root could read what is in it, so that none is shown a hash.
        let made = |p: &PathBuf| fs::DirBuilder::new().mode(0o700).create(p).is_ok();
        let found = places.iter().map(|p| p.join(&name)).find(made);
        Dir(found.expect("a directory"))
    }

    /// Calls `work` with the directory of this thread.
    pub fn with<T>(work: impl FnOnce(&Path) -> T) -> T {
        DIR.with(|dir| work(&dir.0))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // A leftover is no reason to fail.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Most bytes of one file: some windows.
const FILE_MAX: usize = 160 * 1024;

/// What a session begins with: how bytes are moved, the three files, and the requests.
pub struct Scene<'a> {
    /// Bits, for the target to use: the lowest two and from bit 4 on for how it is served.
    pub flags: u8,
    /// How many bytes each read gives, in turn.
    chunks: &'a [u8],
    /// The files' contents.
    pub files: [Vec<u8>; 3],
    /// What the client sends.
    pub requests: &'a [u8],
}

impl<'a> Scene<'a> {
    /// `FLAGS CHUNKS ff ff PASSWD ff ff GROUP ff ff SHADOW ff ff REQUESTS`
    pub fn read(data: &'a [u8]) -> Scene<'a> {
        let (flags, data) = first(data);
        let (chunks, data) = cut(data);
        let (passwd, data) = cut(data);
        let (group, data) = cut(data);
        let (shadow, requests) = cut(data);
        Scene { flags, chunks, files: [passwd, group, shadow].map(grown), requests }
    }

    /// A switch on these files.
    pub fn switch(&self, merge: bool) -> Box<Switch> {
        let unix = Dir::with(|dir| {
            for (name, content) in ["passwd", "group", "shadow"].iter().zip(&self.files) {
                fs::write(dir.join(name), content).expect("a file");
            }
            Unix::new(dir.as_os_str().as_bytes(), false).expect("a directory")
        });
        let slot = nssbox::backend::switch::Slot {
            bits: 0,
            backend: Backend::Unix(unix),
            origin: None,
            belief: nssbox::backend::switch::Belief::All,
        };
        Switch::new(vec![slot], merge)
    }

    /// Bytes of files for the next step. What is left of a turn may be little, but the turn
    /// behind it is a whole one: far more than a window, or a long line is never passed.
    fn turn(&self, whole: bool) -> u64 {
        if whole { 70_000 } else { [u64::MAX, 1, 4096, 70_000][usize::from(self.flags & 3)] }
    }

    fn chunk(&self, number: usize) -> usize {
        match self.chunks {
            [] => 64,
            chunks => usize::from(chunks[number % chunks.len()]) + 1,
        }
    }
}

/// Makes large files of few bytes: `1e N` repeats the byte before it 32·N times, `1d N` the line
/// before it, LF included, N times.
fn grown(text: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        let again = match byte {
            0x1e => {
                let count = 32 * usize::from(bytes.next().unwrap_or(0));
                all.last().map(|last| vec![*last; count])
            }
            0x1d => {
                let count = usize::from(bytes.next().unwrap_or(0));
                let end = all.len().saturating_sub(1);
                let start = all[..end].iter().rposition(|b| *b == b'\n').map_or(0, |lf| lf + 1);
                Some(all[start..].repeat(count))
            }
            other => Some(vec![other]),
        };
        let again = again.unwrap_or_default();
        if all.len() + again.len() > FILE_MAX {
            break;
        }
        all.extend_from_slice(&again);
    }
    all
}

/// One client: his side of the conversation, and what came of it.
pub struct Peer<'a, C> {
    conversation: C,
    scene: &'a Scene<'a>,
    /// Bytes sent, and how often.
    sent: usize,
    sends: usize,
    /// All replies.
    pub replies: Vec<u8>,
    /// The server has closed.
    pub closed: bool,
    /// Nothing more will happen.
    done: bool,
    /// Its turn was over.
    waited: bool,
}

impl<'a, C: Conversation> Peer<'a, C> {
    pub fn new(conversation: C, scene: &'a Scene<'a>) -> Self {
        let replies = Vec::new();
        Peer {
            conversation,
            scene,
            sent: 0,
            sends: 0,
            replies,
            closed: false,
            done: false,
            waited: false,
        }
    }

    fn step(&mut self, switch: &mut Switch, out: &mut Output) {
        out.set_large(self.scene.flags & 32 != 0 && self.conversation.is_long());
        let need = self.conversation.go_on(switch, out, self.scene.turn(self.waited));
        self.waited = need == Need::Turn;
        self.replies.extend_from_slice(out.pending());
        out.clear();
        match need {
            Need::Flush | Need::Turn => {}
            Need::Worker(_) => panic!("files do not block"),
            // Nobody is there to lend anything.
            Need::Close(_) | Need::Errand(_) => (self.closed, self.done) = (true, true),
            Need::Input => {
                assert!(self.conversation.waits_for_input());
                let rest = &self.scene.requests[self.sent..];
                let room = self.conversation.room();
                assert!(!room.is_empty(), "a request that has no room");
                let len = self.scene.chunk(self.sends).min(rest.len()).min(room.len());
                room[..len].copy_from_slice(&rest[..len]);
                self.conversation.filled(len);
                (self.sent, self.sends) = (self.sent + len, self.sends + 1);
                self.done = len == 0;
            }
        }
    }
}

/// Serves all clients to the end of what they send, one step each in turn.
pub fn serve<C: Conversation>(peers: &mut [Peer<'_, C>], switch: &mut Switch) {
    let mut out = Output::default();
    // Each step reads or sends something, or uses a turn up.
    for _ in 0..20_000_000 {
        if peers.iter().all(|peer| peer.done) {
            return;
        }
        if peers.iter().any(|peer| peer.scene.flags & 16 != 0) {
            // One look at a file does for all of them, and a list is read ahead.
            switch.begin_batch(peers.len());
        }
        for peer in peers.iter_mut().filter(|peer| !peer.done) {
            peer.step(switch, &mut out);
            if peer.done {
                peer.conversation.leave(switch);
            }
        }
    }
    panic!("a session without an end");
}
