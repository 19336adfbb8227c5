//! ipcserver: a super-server for a Unix domain socket.
//!
//! Follows s6-ipcserver (doc/ipcserver.md). Differs: nssbox's own nsss daemons are served in
//! this process, one event loop for all clients; a live socket is never taken over.

use super::Applet;
#[cfg(feature = "nsssd-map")]
use crate::backend::map::{Map, start::Host};
use crate::backend::script;
use crate::backend::switch::{Backend, Switch};
use crate::limits::{CLIENT_MILLIS, CONNECTIONS};
use crate::options::Spec;
use crate::server::ipc::listen::{Place, listener, tell_ready};
use crate::server::ipc::setup::{Identity, clamp, raise_descriptors};
use crate::server::ipc::{Rules, Service, serve};
use crate::sys::error::Error;
use crate::sys::sandbox::Sandbox;
use crate::sys::{own, privilege};
use std::ffi::OsString;

const USAGE: &str = "\
Usage: ipcserver [-q | -Q | -v] [-d | -D] [-P | -p] [-1] [-c MAX] [-C MAXPERUID] [-b BACKLOG] [-a PERMS] [-G GIDS] [-g GID] [-u UID] [-U] [--spawn] PATH PROG...

Listens at the socket PATH and runs PROG for each client, with the socket as its
standard input and output. If PROG is a nsssd-... of nssbox that needs no other
program, all clients are served in this one process instead.

  -q -Q -v       quiet; warnings (the default); tell of each connection
  -d             replace a socket that nobody listens at (the default)
  -D             refuse if PATH exists
  -p -P          look up the clients' credentials (the default); do not
  -1             write a newline to standard output when clients can be served
  -c MAX         most connections (256, at most 8192); others wait
  -C MAXPERUID   most connections of one user (MAX); others are closed
  -b BACKLOG     how many clients may wait (the most that the system allows)
  -a PERMS       mode of the socket (0777)
  -G GIDS, -g GID, -u UID
                 after binding, change supplementary groups, group, user
  -U             the same from GIDLIST, GID and UID in the environment
  -l N           accepted and ignored
  --spawn        start a program for each client in any case

Also understood: NOTIFY_SOCKET, LISTEN_FDS (then PATH is not bound),
NSSSD_TIMEOUT (milliseconds that a client served in this process may take over a
request or reply that it began; 1000).
Signals: TERM exit, HUP end the children, QUIT both, ABRT kill them and exit.
Exit codes: 0 ended by a signal, 100 usage, 111 system.
";

/// The row of the table.
pub const APPLET: Applet =
    Applet { name: "ipcserver", short: "ipcserver", usage: USAGE, usage_code: 100, main };

const SPEC: Spec = Spec {
    flags: "qQvdDPp1U",
    values: "cCbaGgul",
    cancels: &[
        ('q', "Qv"),
        ('Q', "qv"),
        ('v', "qQ"),
        ('d', "D"),
        ('D', "d"),
        ('P', "p"),
        ('p', "P"),
        ('U', "Ggu"),
    ],
    long: &["--spawn"],
    ..Spec::NONE
};

fn main(args: &[OsString]) -> Result<u8, Error> {
    let (mut options, rest) = SPEC.split(args)?;
    let [path, command @ ..] = rest else { return Err(Error::options("missing path and program")) };
    if command.is_empty() {
        return Err(Error::options("missing program"));
    }
    // As s6-ipcserver does, a number out of range is brought into it.
    let max = options.number("-c", u64::MAX)?.map_or(CONNECTIONS.0, |n| clamp(n, CONNECTIONS.1));
    let max_per_uid = options.number("-C", u64::MAX)?.map_or(max, |n| clamp(n, max));
    let backlog = options.number("-b", u64::MAX)?.map_or(i32::MAX, |n| n.min(i32::MAX as u64) as i32);
    let mode = mode(options.value("-a"))?;
    let identity = Identity::given(&mut options)?;
    let (replace, swap, patience) = (!options.flag("-D"), false, 0);
    let place = Place { path, mode, backlog, replace, swap, patience };
    let client_millis = privilege::exchange_timeout()?.unwrap_or(CLIENT_MILLIS);
    let rules = Rules {
        name: "ipcserver",
        max,
        max_per_uid,
        oldest_gives_way: false,
        credentials: !options.flag("-P"),
        verbosity: if options.flag("-q") { 0 } else { 1 + u8::from(options.flag("-v")) },
        client_millis,
        // s6 takes them out, too: they are for the server.
        hidden: if identity.from_environment { &["UID", "GID", "GIDLIST"] } else { &[] },
    };
    let newline = options.flag("-1");
    // What is wrong with a script of ours is told before the socket is made.
    let mut switch = if options.flag("--spawn") { None } else { in_process(command)? };

    let listener = listener(&place)?;
    identity.assume()?;
    let sandbox = switch.as_ref().map(Switch::sandbox);
    let service = match &mut switch {
        Some(switch) => {
            raise_descriptors(max);
            switch.reserve_descriptors();
            switch.guard();
            // Nothing is started here. A program for each client may be meant to gain rights.
            privilege::gain_no_more();
            Service::Switch(switch)
        }
        None => Service::Program(command),
    };
    serve(&listener.socket, &rules, service, || {
        tell_ready(newline);
        sandbox.map(Sandbox::enter);
    })?;
    Ok(0)
}

/// Octal, at most 0777; 0777 if absent.
fn mode(text: Option<OsString>) -> Result<u32, Error> {
    let Some(text) = text else { return Ok(0o777) };
    let parsed = text.to_str().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    let parsed = parsed.and_then(|t| u32::from_str_radix(t, 8).ok()).filter(|m| *m <= 0o777);
    parsed.ok_or_else(|| Error::options("not an octal mode up to 0777:").about(&text))
}

/// The switch of a command that can be served in this process.
fn in_process(command: &[OsString]) -> Result<Option<Switch>, Error> {
    match own::applet(command) {
        Some(("nsssd-unix" | "unix", args)) => {
            Ok(Some(Switch::of(Backend::Unix(Box::new(script::unix(args)?)))))
        }
        #[cfg(feature = "nsssd-map")]
        Some(("nsssd-map" | "map", args)) => {
            let map = Map::by_args(args, Host::Daemon)?;
            Ok(no_blocking(Switch::of(Backend::Map(map))))
        }
        // One that blocks, always: here only so that a wrong command line is told at once.
        #[cfg(feature = "nsssd-nslcd")]
        Some(("nsssd-nslcd" | "nslcd", args)) => script::nslcd(args, None).map(|_| None),
        Some(("nsssd-switch" | "switch", args)) => {
            let (mut options, words) = script::SWITCH.split(args)?;
            let how = script::how(&mut options)?;
            let blocks = script::parse(words)?;
            match script::is_local(&blocks, how) {
                true => script::start(&blocks, how, || Ok(())).map(no_blocking),
                false => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// A switch that can block is run for each client in a process of its own.
fn no_blocking(switch: Switch) -> Option<Switch> {
    (!switch.may_block()).then_some(switch)
}
