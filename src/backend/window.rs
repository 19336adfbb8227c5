//! Where files are read that are larger than what is kept of them: one place for all, and what a list
//! has read ahead there.

use super::stamp::Digest;
use crate::limits::WINDOW;
use crate::sys::untouched;
use memchr::memchr;
use std::ops::Range;
use std::os::fd::RawFd;

/// The place, and whether it still holds the lines that were read last for a list.
pub struct Window {
    bytes: &'static mut [u8],
    held: Option<Held>,
}

/// Of what whole lines are held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The list of this descriptor: whoever opens one says so by [`Window::forget`].
    List(RawFd),
    /// This version of a file.
    Version(Digest),
}

/// Whole lines that were read.
struct Held {
    of: Of,
    /// In this batch of requests, for which one look at a file does.
    batch: u64,
    /// The offset of the first, and that behind the last.
    lines: Range<u64>,
}

impl Default for Window {
    /// 32 KiB; untouched pages cost nothing.
    fn default() -> Self {
        Window { bytes: untouched(WINDOW), held: None }
    }
}

impl Window {
    /// What was read.
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// The place to read to. What was held is lost.
    pub fn room(&mut self) -> &mut [u8] {
        self.held = None;
        self.bytes
    }

    /// At its front are now so many bytes of whole lines, read at this offset.
    pub fn hold(&mut self, of: Of, batch: u64, at: u64, len: usize) {
        self.held = Some(Held { of, batch, lines: at..at + len as u64 });
    }

    /// What is held may be of a file that was closed.
    pub fn forget(&mut self) {
        self.held = None;
    }

    /// Where the line of a file is that starts at this offset, without its LF, if it was read in this
    /// batch.
    pub fn line(&self, of: Of, batch: u64, at: u64) -> Option<Range<usize>> {
        let held = self.held.as_ref()?;
        if held.of != of || held.batch != batch || !held.lines.contains(&at) {
            return None;
        }
        let start = (at - held.lines.start) as usize;
        let lines = self.bytes.get(..(held.lines.end - held.lines.start) as usize)?;
        // The last one may lack its LF.
        let end = memchr(b'\n', lines.get(start..)?).map_or(lines.len(), |len| start + len);
        Some(start..end)
    }
}
