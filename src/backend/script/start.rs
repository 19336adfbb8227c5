//! Makes a switch of the blocks of a script: our own backends in this process, programs for others.

use super::grammar::{Block, TOO_MANY};
use super::registry::{self, Names, Row};
use crate::backend::child::Origin;
use crate::backend::switch::{Slot, Switch};
use crate::backend::{Backend, RunsIn};
use crate::limits::BACKENDS;
use crate::options::{Options, Spec};
use crate::sys::error::{Error, Exit};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
#[cfg(any(feature = "ipcserver", feature = "nsssd-switch"))]
use {
    crate::backend::child::Child,
    crate::sys::message::Message,
    crate::sys::privilege::{Client, become_client},
};

/// How a script's backends are run.
#[derive(Clone, Copy, Default)]
pub struct Settings {
    /// Milliseconds that a backend may take to answer; `None`: no limit.
    pub timeout: Option<u32>,
    /// Groups of a user are the union over the backends.
    pub merge: bool,
    /// Our own backends are started as programs, too.
    pub spawn: bool,
    /// The names that this executable is called by.
    pub names: Names,
}

/// The options of nsssd-switch.
pub const SWITCH: Spec =
    Spec { flags: "m", values: "t", long: &["--spawn", "--check"], ..Spec::NONE };

impl Settings {
    /// Takes the options of nsssd-switch.
    pub fn given(options: &Options<'_>, names: Names) -> Result<Self, Error> {
        let millis = options.number("-t", u64::from(u32::MAX))?.unwrap_or(0) as u32;
        Ok(Settings {
            timeout: (millis != 0).then_some(millis),
            merge: options.flag("-m"),
            spawn: options.flag("--spawn"),
            names,
        })
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
    /// By commands that are started as they are.
    Program,
    /// By our own backends' short names.
    Short,
}

impl NamedBy {
    /// The row of a command's backend and its arguments, if it can run in this process.
    fn row(self, command: &[OsString]) -> Option<(&'static Row, &[OsString])> {
        match self {
            NamedBy::Command(names) => registry::by_command(command, names),
            NamedBy::Program => None,
            NamedBy::Short => {
                let (name, args) = command.split_first()?;
                Some((registry::by_name(name.as_bytes())?, args))
            }
        }
    }
}

/// A switch of the backends that can run in this process. The others are not started.
pub fn switch_of(
    blocks: &[Block],
    named: NamedBy,
    runs_in: RunsIn,
    merge: bool,
) -> Result<Box<Switch>, Error> {
    let mut slots = Vec::with_capacity(blocks.len());
    for Block { bits, command } in blocks {
        if slots.len() == BACKENDS {
            return Err(Error::usage(TOO_MANY));
        }
        let (backend, origin) = match named.row(command) {
            Some((row, args)) => (one_of_several(row, args, runs_in)?, None),
            None => (Backend::NOT_STARTED, Some(Origin::program(command))),
        };
        slots.push(Slot { bits: *bits, backend, origin });
    }
    Ok(Switch::new(slots, merge))
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
    let named = if settings.spawn { NamedBy::Program } else { NamedBy::Command(settings.names) };
    let mut switch = switch_of(blocks, named, RunsIn::Daemon, settings.merge)?;
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
        Ok(child) => Backend::Child(Box::new(child)),
        Err(errno) => {
            let program = command.first().map(|p| p.as_bytes()).unwrap_or_default();
            let mut message = Message::warning("nsssd-switch");
            message.text("unable to spawn ");
            message.path(program).text(": ").errno(errno).send();
            Backend::NOT_STARTED
        }
    }
}
