//! Makes a switch of the blocks of a script: our own backends in this process, programs for others.

use super::grammar::{Block, TOO_MANY};
use super::registry::{self, Names, Row};
use crate::backend::child::Origin;
#[cfg(any(feature = "ipcserver", feature = "nsssd-switch"))]
use crate::backend::none::NotStarted;
use crate::backend::switch::{Belief, Slot, Switch};
use crate::backend::{Backend, RunsIn};
use crate::limits::{BACKENDS, MIN_UID};
use crate::options::{Options, Spec};
use crate::sys::error::{Error, Exit};
use crate::sys::file::base;
use crate::sys::message::Message;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
#[cfg(any(feature = "ipcserver", feature = "nsssd-switch"))]
use {
    crate::backend::child::Child,
    crate::sys::privilege::{Client, become_client},
};

/// How a script's backends are run.
#[derive(Clone, Copy)]
pub struct Settings {
    /// Milliseconds that a backend may take to answer; `None`: no limit.
    pub timeout: Option<u32>,
    /// Groups of a user are the union over the backends.
    pub merge: bool,
    /// Our own backends are started as programs, too.
    pub spawn: bool,
    /// Uids below it are believed from local files.
    pub min_uid: u32,
    /// The names that this executable is called by.
    pub names: Names,
}

/// The options of nsssd-switch.
pub const SWITCH: Spec = Spec {
    flags: "mSX",
    values: "tY",
    alias: &[("--spawn", b'S'), ("--check", b'X'), MIN_UID_OPTION],
    ..Spec::NONE
};

/// Below which uid local files alone are believed.
pub const MIN_UID_OPTION: (&str, u8) = ("--min-uid", b'Y');

/// The value of `--min-uid`. Uid 0 always is among them.
pub fn min_uid(options: &Options<'_>) -> Result<u32, Error> {
    let given = options.number(b'Y', u64::from(u32::MAX))?;
    Ok(given.map_or(MIN_UID, |number| (number as u32).max(1)))
}

impl Settings {
    /// Takes the options of nsssd-switch.
    pub fn given(options: &Options<'_>, names: Names) -> Result<Self, Error> {
        let millis = options.number(b't', u64::from(u32::MAX))?.unwrap_or(0) as u32;
        Ok(Settings {
            timeout: (millis != 0).then_some(millis),
            merge: options.flag(b'm'),
            spawn: options.flag(b'S'),
            min_uid: min_uid(options)?,
            names,
        })
    }

    /// How the blocks name their backends.
    pub fn named(&self) -> NamedBy {
        if self.spawn { NamedBy::Program(self.names) } else { NamedBy::Command(self.names) }
    }
}

/// Whether every backend of the script can run in this process.
pub fn is_local(blocks: &[Block], settings: Settings) -> bool {
    !settings.spawn
        && blocks.iter().all(|b| registry::by_command(&b.command, settings.names).is_some())
}

/// How the blocks of a list name their backends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// By commands, of which those with these names may be our own.
    Command(Names),
    /// By commands that are started as they are. What would be our own has these names.
    Program(Names),
    /// By our own backends' short names.
    Short,
}

impl NamedBy {
    /// The row of a command's backend and its arguments, if it can run in this process.
    fn row(self, command: &[OsString]) -> Option<(&'static Row, &[OsString])> {
        match self {
            NamedBy::Command(names) => registry::by_command(command, names),
            NamedBy::Program(_) => None,
            NamedBy::Short => {
                let (name, args) = command.split_first()?;
                Some((registry::by_name(name.as_bytes())?, args))
            }
        }
    }

    /// The short name of a command's backend, in whatever process it runs. Where our own
    /// executable cannot be known, the name of the command has to do.
    fn kind(self, command: &[OsString]) -> &[u8] {
        let row = match self {
            NamedBy::Program(names) => registry::by_command(command, names),
            _ => self.row(command),
        };
        let program = command.first().map(|word| base(word.as_bytes())).unwrap_or_default();
        let by_name = || program.strip_prefix(b"nsssd-").unwrap_or_default();
        row.map_or_else(by_name, |(row, _)| row.name.as_bytes())
    }
}

/// How far each source of a script is believed: see doc/security.md.
pub fn beliefs(blocks: &[Block], named: NamedBy) -> Vec<Belief> {
    let has_local = blocks.iter().any(|block| named.kind(&block.command) == b"unix");
    let belief = |block: &Block| {
        let kind = named.kind(&block.command);
        if kind == b"unix" {
            Belief::Local
        } else if kind == b"map" {
            Belief::Map
        } else if block.trusted || !has_local {
            Belief::All
        } else {
            Belief::Others
        }
    };
    blocks.iter().map(belief).collect()
}

/// Names the sources that are not believed in everything.
pub fn name_refused(program: &str, blocks: &[Block], named: NamedBy, min_uid: u32) {
    for (block, belief) in blocks.iter().zip(beliefs(blocks, named)) {
        if belief == Belief::Others {
            let command = block.command.first().map(|word| word.as_bytes()).unwrap_or_default();
            let mut message = Message::new(program, "info");
            message.path(command).text(" is not believed about gid 0 and uids below ");
            message.number(min_uid.into()).text(", which local files have; see \"trust\"").send();
        }
    }
}

/// A switch of the backends that can run in this process. The others are not started.
pub fn switch_of(
    blocks: &[Block],
    named: NamedBy,
    runs_in: RunsIn,
    merge: bool,
    min_uid: u32,
) -> Result<Box<Switch>, Error> {
    let mut slots = Vec::with_capacity(blocks.len());
    for (Block { bits, command, .. }, belief) in blocks.iter().zip(beliefs(blocks, named)) {
        if slots.len() == BACKENDS {
            return Err(Error::usage(TOO_MANY));
        }
        let (backend, origin) = match named.row(command) {
            Some((row, args)) => (one_of_several(row, args, runs_in)?, None),
            None => (Backend::NOT_STARTED, Some(Origin::program(command))),
        };
        slots.push(Slot { bits: *bits, backend, origin, belief });
    }
    let mut switch = Switch::new(slots, merge);
    switch.min_uid = min_uid;
    Ok(switch)
}

/// A backend beside others. One that has failed is told and missing: as a program it would end, and
/// the others go on. Only a wrong command line is an error.
fn one_of_several(row: &Row, args: &[OsString], runs_in: RunsIn) -> Result<Backend, Error> {
    row.make(args, runs_in).or_else(|error| match error.exit {
        Exit::USAGE => Err(error),
        _ => {
            error.print(&["nsssd-", row.name].concat());
            Ok(Backend::NOT_STARTED)
        }
    })
}

/// Starts the backends. One that cannot be started has failed for good; wrong options of one
/// that runs in this process are a usage error. Rights are given up for `client` after those in
/// this process, which may need rights to start, and before all programs.
#[cfg(any(feature = "ipcserver", feature = "nsssd-switch"))]
pub fn start(
    blocks: &[Block],
    settings: Settings,
    client: Option<Client>,
) -> Result<Box<Switch>, Error> {
    let Settings { merge, min_uid, .. } = settings;
    let mut switch = switch_of(blocks, settings.named(), RunsIn::Daemon, merge, min_uid)?;
    become_client(client)?;
    for (slot, block) in switch.slots().iter_mut().zip(blocks) {
        match &mut slot.backend {
            Backend::NotStarted(_) if slot.origin.is_some() => {
                slot.backend = spawn(&block.command, settings.timeout);
            }
            own => own.serve_one_client(settings.timeout),
        }
    }
    switch.guard();
    Ok(switch)
}

#[cfg(any(feature = "ipcserver", feature = "nsssd-switch"))]
fn spawn(command: &[OsString], timeout: Option<u32>) -> Backend {
    match Child::spawn(command, timeout) {
        Ok(child) => Backend::Child(child),
        Err(errno) => {
            let program = command.first().map(|p| p.as_bytes()).unwrap_or_default();
            let mut message = Message::warning("nsssd-switch");
            message.text("unable to spawn ");
            message.path(program).text(": ").errno(errno).send();
            Backend::NotStarted(NotStarted(errno))
        }
    }
}
