//! The gids of the groups that sections name, from /etc/group as it is now.

use super::config::{Config, Lines, tell_line};
use crate::backend::unix::Stamp;
use crate::sys::file::open;
use crate::sys::stat::stat;
use nssproto::line::parse_group;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, pread, retry_on_intr};
use std::ffi::CStr;

/// Where they are.
pub const FILE: &CStr = c"/etc/group";

/// A group that some section names.
struct Named {
    name: &'static [u8],
    gid: Option<u32>,
}

/// All of them.
#[derive(Default)]
pub struct Groups {
    named: Vec<Named>,
    stamp: Option<Stamp>,
}

impl Groups {
    /// The groups of all sections; nothing is read yet.
    pub fn new(config: &Config<'static>) -> Self {
        let mut groups = Groups::default();
        for section in &config.sections {
            for words in &section.groups {
                for name in *words {
                    if !groups.named.iter().any(|n| n.name == name) {
                        groups.named.push(Named { name, gid: None });
                    }
                }
            }
        }
        groups
    }

    /// No section has groups, so the file is never read.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// The gid of a group; never 0.
    pub fn gid(&self, name: &[u8]) -> Option<u32> {
        self.named.iter().find(|n| n.name == name).and_then(|n| n.gid).filter(|gid| *gid != 0)
    }

    /// Reads the file, in pieces through `window`, if it is another one than last time.
    pub fn refresh(&mut self, window: &mut [u8]) -> Result<(), Errno> {
        if self.named.is_empty() || Some(Stamp::of(&stat(FILE)?)) == self.stamp {
            return Ok(());
        }
        let file = open(FILE, OFlags::RDONLY, Mode::empty())?;
        let stamp = Stamp::of(&super::look_at(&file)?);
        self.named.iter_mut().for_each(|n| n.gid = None);
        let (mut at, mut inside) = (0, false);
        loop {
            let len = retry_on_intr(|| pread(&file, &mut *window, at))?;
            let block = window.get(..len).unwrap_or_default();
            if block.is_empty() {
                break;
            }
            // Whole lines, or the front of one that is longer than the window: its gid stands
            // before its members, and what follows it is no line.
            let whole = block.iter().rposition(|b| *b == b'\n').map_or(block.len(), |end| end + 1);
            let block = block.get(..whole).unwrap_or_default();
            for line in Lines(block) {
                if !inside {
                    self.take(line);
                }
                inside = false;
            }
            inside = !block.ends_with(b"\n");
            at += whole as u64;
        }
        self.stamp = Some(stamp);
        Ok(())
    }

    fn take(&mut self, line: &[u8]) {
        let name = line.split(|b| *b == b':').next().unwrap_or_default();
        let wanted = self.named.iter_mut().find(|n| n.name == name && n.gid.is_none());
        if let (Some(named), Ok(group)) = (wanted, parse_group(line)) {
            named.gid = Some(group.gid.0);
        }
    }

    /// Names those that are not there, or are group 0, at the line of their section.
    pub fn tell_missing(&self, config: &Config, path: &[u8]) {
        for section in &config.sections {
            for words in &section.groups {
                for name in words.filter(|n| self.gid(n).is_none()) {
                    tell_line(path, section.line, "warning", "no group that can be given:", name);
                }
            }
        }
    }
}
