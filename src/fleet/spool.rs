//! What a host printed, while it is not printed here: in memory at first, then in a file without a name.

use crate::sys::file::{join, open_path, pread_full};
use rustix::fs::{Mode, OFlags, unlink};
use rustix::io::{Errno, retry_on_intr, write};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::{AtomicU32, Ordering};

/// What is kept in memory: with the usual 15 hosts at a time that is a megabyte.
const MEMORY: usize = 64 * 1024;

/// Bytes to be read later, from their front, as often as it takes.
#[derive(Default)]
pub struct Spool {
    /// The end of it; all, as long as it is short.
    memory: Vec<u8>,
    file: Option<OwnedFd>,
    /// What is in the file.
    filed: u64,
    /// Why something of it is missing.
    failed: Option<Errno>,
}

impl Spool {
    /// Adds bytes. What cannot be kept is lost from then on, and [`Spool::failure`] tells why.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        if self.memory.len() + bytes.len() <= MEMORY {
            self.memory.extend_from_slice(bytes);
            return;
        }
        let memory = std::mem::take(&mut self.memory);
        self.failed = self.keep(&memory).and_then(|()| self.keep(bytes)).err();
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.filed + self.memory.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Why the rest is missing.
    pub fn failure(&self) -> Option<Errno> {
        self.failed
    }

    /// Gives all of it, piece by piece.
    pub fn each(&self, to: &mut dyn FnMut(&[u8])) {
        if let Some(file) = &self.file {
            let mut room = vec![0; MEMORY];
            let mut at = 0;
            while at < self.filed {
                let Ok(len @ 1..) = pread_full(file, &mut room, at) else { break };
                let left = usize::try_from(self.filed - at).unwrap_or(len);
                to(room.get(..len.min(left)).unwrap_or_default());
                at += len as u64;
            }
        }
        if !self.memory.is_empty() {
            to(&self.memory);
        }
    }

    fn keep(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        if self.file.is_none() {
            self.file = Some(nameless()?);
        }
        let Some(file) = &self.file else { return Err(Errno::BADF) };
        while !bytes.is_empty() {
            let len = retry_on_intr(|| write(file, bytes))?;
            if len == 0 {
                return Err(Errno::NOSPC);
            }
            self.filed += len as u64;
            bytes = bytes.get(len..).unwrap_or_default();
        }
        Ok(())
    }
}

/// A new file in TMPDIR that nobody else can name.
pub fn nameless() -> Result<OwnedFd, Errno> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let dir = std::env::var_os("TMPDIR").filter(|dir| !dir.is_empty());
    let dir = dir.unwrap_or_else(|| OsString::from("/tmp")).into_vec();
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = join(&dir, format!(".dt.{}.{count}", std::process::id()).as_bytes());
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::APPEND;
        match open_path(&name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => {
                unlink(name.as_slice())?;
                return Ok(file);
            }
            // Left by a run that was killed and had our number.
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The output of a host, up to its limit.
pub struct Output {
    /// What is kept of it.
    pub spool: Spool,
    most: u64,
    total: u64,
}

impl Output {
    /// None yet. `most`: bytes that are kept.
    pub fn new(most: u64) -> Output {
        Output { spool: Spool::default(), most, total: 0 }
    }

    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = self.most.saturating_sub(self.total);
        self.total += bytes.len() as u64;
        let kept = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
        if kept > 0 {
            self.spool.push(bytes.get(..kept).unwrap_or_default());
        }
    }

    /// How many bytes it had in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether some of it was not kept.
    pub fn is_cut(&self) -> bool {
        self.spool.len() < self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_comes_back_whole() {
        let text: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        for piece in [1000, 4096, 65_536, 70_000] {
            let mut spool = Spool::default();
            text.chunks(piece).for_each(|piece| spool.push(piece));
            for _ in 0..2 {
                let mut got = Vec::new();
                spool.each(&mut |bytes| got.extend_from_slice(bytes));
                assert!(got == text && spool.len() == 300_000 && spool.file.is_some());
            }
        }
    }

    #[test]
    fn output_is_kept_up_to_its_limit_and_counted_beyond() {
        let mut output = Output::new(10);
        output.push(b"12345678");
        assert!(!output.is_cut());
        output.push(b"90abc");
        output.push(b"def");
        assert_eq!((output.total(), output.spool.len(), output.is_cut()), (16, 10, true));
    }
}
