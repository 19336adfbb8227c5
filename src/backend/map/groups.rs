//! The gids of the groups that sections name, from /etc/group as it is now.

use super::config::NamedGroup;
use super::problem::{Level, tell_line};
use crate::backend::client::{Enumerations, Hit, Search, Sequel};
use crate::backend::unix::Unix;
use crate::backend::{Outcome, Shared, Source, Step};
use crate::sys::access::Rights;
use nssproto::entry::{Db, Name};
use nssproto::line::Rules;
use nssproto::nsss::{Head, Request};

/// Where they are.
pub const FILE: &[u8] = b"/etc/group";

/// All of them.
pub struct SectionGroups {
    named: Vec<NamedGroup<'static>>,
    /// `None`: no section has groups, so the file is never read.
    files: Option<Box<Unix>>,
}

impl SectionGroups {
    /// The groups of all sections; nothing is read yet.
    pub fn new(named: Vec<NamedGroup<'static>>) -> Self {
        let files = if named.is_empty() { None } else { Unix::new(b"/etc", false).ok() };
        SectionGroups { named, files }
    }

    /// No section has groups.
    pub fn is_empty(&self) -> bool {
        self.files.is_none()
    }

    /// Adds those of the section that begins in this line.
    pub fn add(&mut self, line: u32, shared: &mut Shared) -> Result<(), Outcome> {
        let Some(files) = &mut self.files else { return Ok(()) };
        for named in self.named.iter().filter(|n| n.line == line) {
            if let Some(gid) = given(files, named.name, shared)? {
                shared.gids.add(gid);
            }
        }
        Ok(())
    }

    /// Looks whether all can be read. Where it `tells`, names those that are not there, or are group
    /// 0, at the line of their section.
    pub fn check(&mut self, path: &[u8], tells: bool, shared: &mut Shared) -> Result<(), Outcome> {
        let Some(files) = &mut self.files else { return Ok(()) };
        for named in &self.named {
            if given(files, named.name, shared)?.is_none() && tells {
                let what = "no group that can be given:";
                tell_line(path, named.line, Level::Warning, what, named.name);
            }
        }
        Ok(())
    }

    /// Closes the file if it was not used for a while; whether it is open.
    pub fn close_idle(&mut self) -> bool {
        self.files.as_mut().is_some_and(|files| files.close_idle())
    }
}

/// The gid of a group; never 0.
fn given(files: &mut Unix, name: &[u8], shared: &mut Shared) -> Result<Option<u32>, Outcome> {
    let Some(name) = Name::new_long(name) else { return Ok(None) };
    // It is told at once: no pass over the file waits for others.
    let waiting = std::mem::replace(&mut shared.waiting, 1);
    let gid = look_up(files, name, shared);
    shared.waiting = waiting;
    gid
}

fn look_up(files: &mut Unix, name: Name<'_>, shared: &mut Shared) -> Result<Option<u32>, Outcome> {
    let mut step = Step {
        shared,
        rights: Rights::Own,
        rules: Rules::Nsss,
        lists: false,
        budget: &mut { u64::MAX },
        search: &mut Search::default(),
        enumerations: &mut Enumerations::default(),
        sequel: &mut Sequel::default(),
        hit: &mut Hit::None,
    };
    match files.ask(step.again(), &Request::ByName(Db::Group, name)) {
        // Its line may be longer than the window.
        Outcome::Found => match files.begin_pieces(step) {
            Some(Head::Group { gid, .. }) if gid.0 != 0 => Ok(Some(gid.0)),
            _ => Ok(None),
        },
        Outcome::NotFound => Ok(None),
        failure => Err(failure),
    }
}
