//! What a server answers from, in the event loop and in its workers.

use crate::backend::Backend;
use crate::backend::RunsIn;
use crate::backend::Teller;
use crate::backend::child::Origin;
use crate::backend::script::Block;
use crate::backend::script::registry::{Names, by_command};
use crate::backend::script::start::{NamedBy, name_refused, switch_of};
use crate::backend::switch::{Belief, Slot, Switch};
use crate::limits::MIN_UID;
use crate::server::check::{self, tell_missing};
use crate::sys::error::Error;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// What the command line names.
pub enum Sources {
    /// Backends of our own by their short names.
    Own(Vec<Block>),
    /// A script, the names of this executable, and below which uid local files are believed.
    Script(Vec<Block>, Names, u32),
    /// A server of the nsss protocol, at this socket; before it, what these blocks name by short
    /// names: this machine's own files, or nothing.
    Server(Vec<Block>, OsString),
}

/// Whether workers are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Nothing can block.
    None,
    /// Nothing can now, but what is mounted later may.
    Sometimes,
    /// Some source can.
    Always,
}

impl Sources {
    /// A switch of those in this process, the others not started. Groups are merged over all
    /// backends.
    fn switch(&self) -> Result<Box<Switch>, Error> {
        match self {
            Sources::Own(blocks) => {
                switch_of(blocks, NamedBy::Short, RunsIn::Daemon, true, MIN_UID)
            }
            Sources::Script(blocks, names, min_uid) => {
                switch_of(blocks, NamedBy::Command(names), RunsIn::Daemon, true, *min_uid)
            }
            Sources::Server(files, path) => {
                let merge = !files.is_empty();
                let mut switch = switch_of(files, NamedBy::Short, RunsIn::Daemon, merge, MIN_UID)?;
                let origin = Some(Origin::server(path));
                // Until it is known whose it is.
                let (backend, belief) = (Backend::NOT_STARTED, Belief::Stranger);
                switch.add(Slot { bits: 0, backend, origin, belief });
                Ok(switch)
            }
        }
    }

    /// Names those that are not believed in everything, for `program`.
    pub fn name_refused(&self, program: &str) {
        if let Sources::Script(blocks, names, min_uid) = self {
            name_refused(program, blocks, NamedBy::Command(names), *min_uid);
        }
    }

    /// Those that answer at once, each other one as a place that says so; and whether workers are
    /// needed for others. What is not there is told by `program`.
    pub fn near(&self, program: &str) -> Result<(Box<Switch>, Others), Error> {
        let mut switch = self.switch()?;
        tell_missing(program, &mut switch);
        let mut others = Others::None;
        for slot in switch.slots() {
            // What can block is asked where it is no harm.
            if slot.backend.may_block() || slot.origin.is_some() {
                slot.backend = Backend::OFFLOADED;
                others = Others::Always;
            }
        }
        if switch.wait_for_nothing() && others == Others::None {
            others = Others::Sometimes;
        }
        Ok((switch, others))
    }

    /// All of them, where it is no harm to wait. Those in other processes are started when they
    /// are needed, and again when they have failed.
    pub fn far(&self) -> Result<Box<Switch>, Error> {
        self.switch()
    }

    /// Whether some of them are the machine's own files, and whether others are.
    pub fn kinds(&self) -> Result<(bool, bool), Error> {
        let mut switch = self.switch()?;
        let is_own = |slot: &Slot| slot.origin.is_none() && slot.backend.teller() == Teller::Own;
        let own = switch.slots().iter().any(is_own);
        Ok((own, !switch.slots().iter().all(is_own)))
    }

    /// A line for each, as it is understood.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        match self {
            Sources::Own(blocks) | Sources::Script(blocks, ..) => check::lines(blocks),
            Sources::Server(files, path) => {
                let mut lines = check::lines(files);
                lines.push([b"-s ", path.as_bytes()].concat());
                lines
            }
        }
    }

    /// Whether one of them is a program, and not ours or not to be run in process.
    pub fn start_programs(&self) -> bool {
        matches!(self, Sources::Script(blocks, names, _)
            if blocks.iter().any(|b| by_command(&b.command, names).is_none()))
    }
}
