//! The gids of the groups that sections name, from /etc/group as it is now.

use super::config::NamedGroup;
use super::problem::{Level, tell_line};
use super::text::cut;
use crate::backend::gids::Gids;
use crate::backend::stamp::{Reading, Stamp};
use crate::sys::clock::file_time;
use crate::sys::file::open;
use crate::sys::stat::stat;
use nssproto::line::parse_group;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, pread, retry_on_intr};
use std::ffi::CStr;

/// Where they are.
pub const FILE: &CStr = c"/etc/group";

/// All of them.
#[derive(Default)]
pub struct SectionGroups {
    named: Vec<NamedGroup<'static>>,
    /// Of which version of the file they are.
    reading: Reading,
}

impl SectionGroups {
    /// The groups of all sections; nothing is read yet.
    pub fn new(named: Vec<NamedGroup<'static>>) -> Self {
        SectionGroups { named, reading: Reading::default() }
    }

    /// No section has groups, so the file is never read.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// Adds those of the section that begins in this line.
    pub fn add(&self, line: u32, gids: &mut Gids) {
        for named in self.named.iter().filter(|n| n.line == line) {
            if let Some(gid) = given(named) {
                gids.add(gid);
            }
        }
    }

    /// Reads the file, in pieces through `window`, if it may be another one than last time.
    pub fn refresh(&mut self, window: &mut [u8]) -> Result<(), Errno> {
        if self.named.is_empty() || self.reading.holds(&super::stamp(stat(FILE))?) {
            return Ok(());
        }
        let clock = file_time();
        let file = open(FILE, OFlags::RDONLY, Mode::empty())?;
        let stamp = super::stamp(super::look_at(&file))?;
        self.reading = Reading::torn(stamp);
        self.named.iter_mut().for_each(|n| n.gid = None);
        let (mut at, mut inside) = (0, false);
        loop {
            let len = retry_on_intr(|| pread(&file, &mut *window, at))?;
            if len == 0 {
                break;
            }
            let (mut rest, mut whole) = (window.get(..len).unwrap_or_default(), 0);
            while !rest.is_empty() {
                let (line, behind) = cut(rest, b'\n');
                if behind.is_none() && whole > 0 {
                    break;
                }
                // Or the front of a line that is longer than the window: its gid stands before its
                // members, and what follows it is no line.
                if !inside {
                    self.take(line);
                }
                inside = behind.is_none();
                rest = behind.unwrap_or_default();
                whole = len - rest.len();
            }
            at += whole as u64;
        }
        if Stamp::of_open(&file)? == stamp {
            self.reading = Reading::new(stamp, clock);
        }
        Ok(())
    }

    fn take(&mut self, line: &[u8]) {
        let (name, _) = cut(line, b':');
        for named in &mut self.named {
            if named.name == name && named.gid.is_none() {
                named.gid = parse_group(line).ok().map(|group| group.gid.0);
            }
        }
    }

    /// Names those that are not there, or are group 0, at the line of their section.
    pub fn tell_missing(&self, path: &[u8]) {
        for named in self.named.iter().filter(|n| given(n).is_none()) {
            let what = "no group that can be given:";
            tell_line(path, named.line, Level::Warning, what, named.name);
        }
    }
}

/// The gid of a group; never 0.
fn given(named: &NamedGroup) -> Option<u32> {
    named.gid.filter(|gid| *gid != 0)
}
