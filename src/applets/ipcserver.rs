//! ipcserver: a super-server for a Unix domain socket.
//!
//! Follows s6-ipcserver (doc/ipcserver.md). Differs: nssbox's own nsss daemons are served in
//! this process, one event loop for all clients; a live socket is never taken over.

use super::{NAMES, help};
use crate::backend::RunsIn;
use crate::backend::child::Origin;
use crate::backend::script::registry::{self, by_command};
use crate::backend::script::start::{SWITCH, Settings, is_local, name_refused, start};
use crate::backend::script::{self, Block};
use crate::backend::switch::Switch;
use crate::limits::BACKENDS;
use crate::options::Spec;
use crate::server::ServerOptions;
use crate::server::check;
use crate::server::conversation::Protocol;
use crate::server::event_loop::{Service, serve};
use crate::server::listener::{self, Listener, Place};
use crate::server::setup::{Connections, Identity, ready};
use crate::server::signals::settle_server;
use crate::server::spawned;
use crate::sys::error::{Error, Exit, Hint};
use crate::sys::message::Message;
use crate::sys::no_huge_pages;
use crate::sys::privilege;
use crate::sys::program::{by_ourselves, own_command};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// What `--help` prints.
pub const USAGE: &[&str] = &[
    "\
Usage: ipcserver [OPTION]... PATH PROG...

Listens at the socket PATH and runs PROG for each client, with the socket as its
standard input and output. All clients of a nsssd-... of nssbox that needs no
other program are served in this process instead. NSSSD_TIMEOUT: milliseconds
there for a client to finish a request or reply (1000).

  -Q         warnings only (the default)
  -d, -D     replace a dead socket (the default); refuse if PATH exists
  -p, -P     look up the clients' credentials (the default); do not
  -C MAX     most connections of one user (as -c); others are closed
  -b N       how many clients may wait (all that the system allows)
  -a MODE    mode of the socket (0777)
  -U         -G, -g and -u from GIDLIST, GID and UID in the environment
  --spawn    run PROG for each client in any case
",
    help::SERVER,
    help::CHECK,
    help::SERVER_END,
];

const SPEC: Spec = Spec {
    flags: "qQvdDPp1USX",
    values: "cCbaGgul",
    cancels: &["qQv", "Qqv", "vqQ", "dD", "Dd", "Pp", "pP", "UGgu"],
    alias: &[("--spawn", b'S'), ("--check", check::OPTION)],
};

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    settle_server();
    no_huge_pages();
    let options = SPEC.split(args)?;
    let [path, command @ ..] = options.rest else {
        return Err(Error::options("missing path and program"));
    };
    if command.is_empty() {
        return Err(Error::options("missing program"));
    }
    let command = &*by_ourselves(command.to_vec(), NAMES);
    let mut limits = Connections::given(&options)?.limits(u32::MAX);
    let backlog =
        options.number(b'b', u64::MAX)?.map_or(i32::MAX, |n| n.min(i32::MAX as u64) as i32);
    let mode = mode(options.word(b'a'))?;
    let identity = Identity::given(&options)?;
    let (replace, swap, patience) = (!options.flag(b'D'), false, 0);
    let place = Place {
        path,
        mode,
        backlog,
        replace,
        swap,
        patience,
        // s6-sudod and its like are passed theirs.
        takes_descriptors: own_command(command, NAMES).is_none(),
        lengthens: false,
        hides_lock: false,
    };
    if let Some(millis) = privilege::exchange_timeout()? {
        limits.patience.client_millis = millis;
    }
    limits.credentials = !options.flag(b'P');
    let mut server_options = ServerOptions::given("ipcserver", &options, &identity);
    if identity.from_environment {
        // s6 takes them out, too: they are for the server.
        server_options.hidden = &["UID", "GID", "GIDLIST"];
    }
    if options.flag(check::OPTION) {
        return check::answer(|| try_sources(command));
    }
    // What is wrong with a script of ours is told before the socket is made.
    let verbose = server_options.log.verbosity > 0;
    let switch = if options.flag(b'S') { None } else { in_process(command, verbose)? };

    let passed = listener::passed()?.into_iter().next();
    let listener = Listener::open(&place, limits, passed.map(|passed| passed.socket))?;
    identity.assume()?;
    match switch {
        Some(mut switch) => {
            ready(&mut switch);
            server_options.log.tell_failures(&mut switch);
            // There are no workers: a lookup that turns out to need one fails.
            switch.wait_for_nothing();
            // Nothing is started here. A program for each client may be meant to gain rights.
            privilege::gain_no_more();
            let service = Service { protocol: Protocol::Nsss, listener, sources: 0..BACKENDS };
            serve(&[service], &server_options, &mut switch, None, None, Default::default())?;
        }
        None => {
            tell_missing(command);
            spawned::serve(&listener, &server_options, command)?;
        }
    }
    Ok(Exit::SUCCESS)
}

/// Octal, at most 0777; 0777 if absent.
fn mode(text: Option<&OsStr>) -> Result<u32, Error> {
    let Some(text) = text else { return Ok(0o777) };
    let mut mode = 0;
    for digit in text.as_bytes() {
        mode = match digit {
            b'0'..=b'7' if mode <= 0o77 => mode * 8 + u32::from(digit - b'0'),
            _ => 0o1000,
        };
    }
    if text.is_empty() || mode > 0o777 {
        return Err(Error::options("not an octal mode up to 0777:").about(text));
    }
    Ok(mode)
}

/// A program that is not there may come.
fn tell_missing(command: &[OsString]) {
    if let Some((program, errno)) = Origin::program(command).missing() {
        Message::warning("ipcserver")
            .text("unable to start ")
            .path(program)
            .text(": ")
            .errno(errno)
            .send();
    }
}

/// `--check`: tries what the command asks, if it is one of ours; another one need not speak nsss.
fn try_sources(command: &[OsString]) -> Result<Exit, Error> {
    match own_command(command, NAMES) {
        Some(("nsssd-switch" | "switch", args)) => {
            let (settings, blocks) = script_of(args)?;
            return check::run(&check::lines(&blocks), &mut *start(&blocks, settings, None)?);
        }
        Some((name, args)) => {
            if let Some(row) = registry::by_applet(name) {
                let mut switch = Switch::of(row.make(args, RunsIn::Daemon)?);
                let block = Block::new(0, command.to_vec());
                return check::run(&check::lines(&[block]), &mut switch);
            }
        }
        None => {}
    }
    match Origin::program(command).missing() {
        None => Ok(Exit::SUCCESS),
        Some((program, errno)) => {
            let error = Error::system("unable to start", errno);
            Err(error.about(OsStr::from_bytes(program)).with_exit(Exit::FAILURE))
        }
    }
}

/// What the arguments of nsssd-switch say.
fn script_of(args: &[OsString]) -> Result<(Settings, Vec<Block>), Error> {
    let options = SWITCH.split(args).map_err(|e| e.with_hint(Hint::SeeHelp))?;
    Ok((Settings::given(&options, NAMES)?, script::parse_with(options.rest, NAMES)?))
}

/// The switch of a command that can be served in this process. In any case its sources that are not
/// believed in everything are named.
fn in_process(command: &[OsString], verbose: bool) -> Result<Option<Box<Switch>>, Error> {
    let Some((name, args)) = own_command(command, NAMES) else { return Ok(None) };
    let mut switch = match (name, registry::by_applet(name)) {
        // One that blocks, too: its wrong command line is told at once.
        (_, Some(row)) => Switch::of(row.make(args, RunsIn::Daemon)?),
        ("nsssd-switch" | "switch", _) => {
            let (settings, blocks) = script_of(args)?;
            if verbose {
                name_refused("ipcserver", &blocks, settings.named(), settings.min_uid);
            }
            if !is_local(&blocks, settings) {
                for block in blocks.iter().filter(|b| by_command(&b.command, NAMES).is_none()) {
                    tell_missing(&block.command);
                }
                return Ok(None);
            }
            start(&blocks, settings, None)?
        }
        _ => return Ok(None),
    };
    check::tell_missing("ipcserver", &mut switch);
    // A switch that can block is run for each client in a process of its own; so is one with a
    // program, should one of ours not have been found a moment ago: it would keep our rights.
    if switch.slots().iter().any(|slot| slot.backend.may_block() || slot.origin.is_some()) {
        return Ok(None);
    }
    Ok(Some(switch))
}
