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
use crate::options::{Options, Spec};
use crate::server::ipc::listen::{Place, listener, tell_ready};
use crate::server::ipc::{Rules, Service, serve};
use crate::sys::error::Error;
use crate::sys::{own, privilege};
use nssproto::bytes::decimal_u32;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

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

/// Whom to become after binding.
struct Identity {
    groups: Option<Vec<u32>>,
    gid: Option<u32>,
    uid: Option<u32>,
    /// The environment was asked.
    from_environment: bool,
}

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
    let identity = identity(&mut options)?;
    let place = Place { path, mode, backlog, replace: !options.flag("-D") };
    let client_millis = privilege::exchange_timeout()?.unwrap_or(CLIENT_MILLIS);
    let rules = Rules {
        max,
        max_per_uid,
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
    let service = match &mut switch {
        Some(switch) => {
            raise_descriptors(max);
            switch.reserve_descriptors();
            switch.guard();
            Service::Switch(switch)
        }
        None => Service::Program(command),
    };
    serve(&listener.socket, &rules, service, || tell_ready(newline))?;
    Ok(0)
}

fn clamp(number: u64, most: u32) -> u32 {
    number.clamp(1, u64::from(most)) as u32
}

/// Octal, at most 0777; 0777 if absent.
fn mode(text: Option<OsString>) -> Result<u32, Error> {
    let Some(text) = text else { return Ok(0o777) };
    let parsed = text.to_str().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    let parsed = parsed.and_then(|t| u32::from_str_radix(t, 8).ok()).filter(|m| *m <= 0o777);
    parsed.ok_or_else(|| Error::options("not an octal mode up to 0777:").about(&text))
}

/// `-G`, `-g`, `-u`, and `-U` for those that were not given.
fn identity(options: &mut Options) -> Result<Identity, Error> {
    let (mut groups, mut gid, mut uid) =
        (options.value("-G"), options.value("-g"), options.value("-u"));
    let from_environment = options.flag("-U");
    if from_environment {
        groups = groups.or_else(|| std::env::var_os("GIDLIST"));
        gid = gid.or_else(|| std::env::var_os("GID"));
        uid = uid.or_else(|| std::env::var_os("UID"));
        if uid.is_none() || gid.is_none() {
            return Err(Error::usage("-U needs UID and GID in the environment"));
        }
    }
    let list = groups.map(|list| match list.is_empty() {
        true => Ok(Vec::new()),
        false => list.as_bytes().split(|b| *b == b',').map(id).collect(),
    });
    let id = |value: Option<OsString>| value.map(|v| id(v.as_bytes())).transpose();
    Ok(Identity { groups: list.transpose()?, gid: id(gid)?, uid: id(uid)?, from_environment })
}

/// 2^32-1 means "no change" to the kernel, so it names nobody.
fn id(text: &[u8]) -> Result<u32, Error> {
    let id = decimal_u32(text).filter(|id| *id != u32::MAX);
    id.ok_or_else(|| Error::options("not a user or group id:").about(OsStr::from_bytes(text)))
}

impl Identity {
    /// With a new uid or gid the supplementary groups go, unless others were given: whoever
    /// gives root up does not mean to keep its groups.
    fn assume(self) -> Result<(), Error> {
        if self.groups.is_none() && self.gid.is_none() && self.uid.is_none() {
            return Ok(());
        }
        privilege::become_user(&self.groups.unwrap_or_default(), self.gid, self.uid)
    }
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
            Ok(no_blocking(Switch::of(Backend::Map(Box::new(map)))))
        }
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

/// Each connection may have three enumerations open besides its socket. As far as the hard
/// limit allows; with fewer, clients wait.
fn raise_descriptors(connections: u32) {
    let need = u64::from(connections) * 4 + 32;
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    if limit.current.is_some_and(|soft| soft < need) {
        let raised = Rlimit { current: Some(need.min(hard)), maximum: limit.maximum };
        // It is served on with what there is.
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

