//! nscd: answers what unmodified glibc and musl programs ask at /var/run/nscd/socket.
//!
//! Speaks the protocol of glibc's nscd for users, groups and the groups of a user
//! (doc/nscd.md). Differs: keeps no cache and passes no descriptors of one; its sources are
//! those of nsssd-switch; a source that fails closes the connection.

use super::{NAMES, help};
use crate::backend::script::{self, Block, registry};
use crate::limits::{BACKENDS, LOOKUP_MILLIS, NSCD_PER_UID, REQUEST_MILLIS};
use crate::options::Spec;
use crate::server::ServerOptions;
use crate::server::conversation::{Patience, Protocol};
use crate::server::event_loop::{self, Service};
use crate::server::listener::{Limits, Listener, Place};
use crate::server::setup::{Connections, Identity, clamp, ready};
use crate::server::sources::Sources;
use crate::server::worker;
use crate::server::worker::pool::Pool;
use crate::sys::error::{Error, Exit, unable};
use crate::sys::file::{base, path, read_path};
use crate::sys::message::Message;
use crate::sys::privilege;
use crate::sys::stat::{Stat, stat};
use nssproto::bytes::decimal_u32;
use rustix::fs::{Access, Mode, access, mkdir};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, geteuid, getppid, pidfd_open, umask};
use std::ffi::{CStr, OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

/// What `--help` prints.
pub const USAGE: &[&str] = &[
    "\
Usage: nscd [OPTION]... [SCRIPT...]

Answers the lookups of users and groups that glibc and musl programs make, from
the backends of SCRIPT, that of nsssd-switch from the first bitfield on:
  nscd 3 nsssd-unix \"\" 0 nsssd-unix -d /data/etc \"\"
Without SCRIPT: from the local files, then from /etc/nssmap.conf if it is there.

  -S SOCKET  listen there (/var/run/nscd/socket); its directory is made
  -s SOCKET  ask this nsss server instead of a SCRIPT
  -t MS      close a connection not answered after MS milliseconds (200, at most
             4000)
  -C MAX     most connections of one user (64); his oldest one without a
             complete request gives way
  --nsss SOCKET  serve the nsss protocol there, too, as ipcserver does; -c and
             -C hold for each socket by itself, -C there is as -c by default
  --parent PID  exit 0 when our parent ends, which must be PID
",
    help::SERVER_END,
];

/// Where both C libraries ask; it cannot be changed there.
const SOCKET: &str = "/var/run/nscd/socket";

/// What a map is made of, if there is one.
const NSSMAP: &CStr = c"/etc/nssmap.conf";

/// Which sources glibc asks where nobody answers here.
const NSSWITCH: &str = "/etc/nsswitch.conf";

/// How long the nscd of a program that has ended may take to end.
const ENDING_MILLIS: u64 = 500;

/// Makes a worker of this process, for another nscd. (Nothing to be called by hand.)
const WORKER: &str = "--worker";

const SPEC: Spec = Spec {
    flags: "qv1",
    values: "StcCGgusPN",
    cancels: &["qv", "vq"],
    long: &[WORKER],
    alias: &[("--parent", 'P'), ("--nsss", 'N')],
};

/// A socket to serve, and how.
struct Endpoint<'a> {
    protocol: Protocol,
    socket: &'a OsStr,
    limits: Limits,
}

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    let options = SPEC.split(args)?;
    let socket = options.word("-S").unwrap_or(OsStr::new(SOCKET));
    let server = options.word("-s");
    let connections = Connections::given(&options)?;
    let millis = options.number("-t", u64::from(LOOKUP_MILLIS.1))?;
    let lookup_millis = millis.map_or(LOOKUP_MILLIS.0, |n| clamp(n, LOOKUP_MILLIS.1));
    let patience = Patience { client_millis: REQUEST_MILLIS, lookup_millis };
    let public = Limits { oldest_gives_way: true, patience, ..connections.limits(NSCD_PER_UID) };
    let mut services = vec![Endpoint { protocol: Protocol::Nscd, socket, limits: public }];
    if let Some(socket) = options.word("-N") {
        let limits = Limits { patience, ..connections.limits(u32::MAX) };
        services.push(Endpoint { protocol: Protocol::Nsss, socket, limits });
    }
    let identity = Identity::given(&options)?;
    let is_worker = options.flag(WORKER);
    let parent = match options.word("-P") {
        Some(pid) if !is_worker => Some(parent(pid)?),
        _ => None,
    };
    let server_options = ServerOptions::given("nscd", &options);
    let sources = sources(server, options.rest)?;
    if is_worker {
        work(&sources, &identity, patience)?;
    } else {
        serve(&sources, &services, &identity, &server_options, parent, args)?;
    }
    Ok(Exit::SUCCESS)
}

/// A worker's work.
fn work(sources: &Sources, identity: &Identity, patience: Patience) -> Result<(), Error> {
    let mut far = sources.far()?;
    // One that takes another's place after the change of user is that user already.
    if geteuid().is_root() {
        identity.assume()?;
    }
    far.guard();
    if !sources.start_programs() {
        far.sandbox().enter();
    }
    worker::main::serve(&mut far, patience)
}

fn serve(
    sources: &Sources,
    endpoints: &[Endpoint<'_>],
    identity: &Identity,
    server_options: &ServerOptions,
    parent: Option<OwnedFd>,
    args: &[OsString],
) -> Result<(), Error> {
    // What is wrong with the script is told before the socket is made.
    let (mut near, others) = sources.near()?;
    let verbose = server_options.log.verbosity > 0;
    if verbose {
        warn_of_uncovered(sources);
    }
    // An nscd that ends with its program needs a moment for it, and the next program may be there.
    let patience = if parent.is_some() { ENDING_MILLIS } else { 0 };
    let (mut services, mut most) = (Vec::new(), 0);
    for &Endpoint { protocol, socket: path, limits } in endpoints {
        let public = protocol == Protocol::Nscd;
        if public {
            let directory = directory(path);
            make_directory(directory);
            if verbose {
                warn_of_open_directory(directory);
            }
        }
        let (mode, backlog, replace, swap) = (0o666, i32::MAX, true, true);
        let may_be_passed = public;
        let place = Place { path, mode, backlog, replace, swap, patience, may_be_passed };
        let (listener, sources) = (Listener::open(&place, limits)?, 0..BACKENDS);
        services.push(Service { protocol, listener, sources });
        most += limits.max;
    }
    if !sources.start_programs() {
        privilege::gain_no_more();
    }
    let mut workers = match others {
        true => {
            let enumerates = endpoints.iter().any(|endpoint| endpoint.protocol == Protocol::Nsss);
            Some(Pool::new(most, enumerates, &[b"nscd", WORKER.as_bytes()], args)?)
        }
        false => None,
    };
    if let Some(workers) = workers.as_mut().filter(|_| identity.changes()) {
        // Opened before rights are given up: the map may have a key that only root can read.
        workers.start_all()?;
    }
    let assumed = identity.assume();
    if let (Err(_), Some(workers)) = (&assumed, &workers) {
        // They would fail alike, and say so.
        workers.end();
    }
    assumed?;
    ready(&mut near, most);
    event_loop::serve(services, server_options, &mut near, workers, parent)
}

/// The backends that the command line names, or the usual ones.
fn sources(server: Option<&OsStr>, script: &[OsString]) -> Result<Sources, Error> {
    match server {
        Some(_) if !script.is_empty() => return Err(Error::options("either -s or a script")),
        Some(path) => return Ok(Sources::Server(path.to_owned())),
        None if !script.is_empty() => return Ok(Sources::Script(script::parse(script)?, NAMES)),
        None => {}
    }
    // A failure of the local files ends the search: nobody may take a local name meanwhile.
    let with_map = cfg!(feature = "nsssd-map") && access(NSSMAP, Access::EXISTS).is_ok();
    let mut blocks = Vec::new();
    for (bits, name) in [(3, "unix"), (0, "map")].iter().take(1 + usize::from(with_map)) {
        blocks.push(Block::new(*bits, vec![name.into()]));
    }
    Ok(Sources::Own(blocks))
}

/// The process that this one ends with, as something to wait for.
fn parent(pid: &OsStr) -> Result<OwnedFd, Error> {
    let number = decimal_u32(pid.as_bytes()).and_then(|n| i32::try_from(n).ok());
    let Some(pid) = number.and_then(Pid::from_raw) else {
        return Err(Error::options("not a process id:").about(pid));
    };
    let fd = pidfd_open(pid, PidfdFlags::empty()).map_err(unable("unable to watch the parent"))?;
    // Only now: the number may have been given to another process before.
    if getppid() != Some(pid) {
        return Err(Error::system("unable to watch the parent", Errno::CHILD));
    }
    Ok(fd)
}

/// The directory of the socket; empty where its path names none.
fn directory(socket: &OsStr) -> &[u8] {
    let path = socket.as_bytes();
    match path.iter().rposition(|b| *b == b'/') {
        Some(0) => b"/",
        end => path.get(..end.unwrap_or(0)).unwrap_or_default(),
    }
}

/// The socket's directory, 0755, if it is not there. What cannot be made is told by the bind.
fn make_directory(dir: &[u8]) {
    if let Ok(dir) = path(dir) {
        // A chmod afterwards could be led elsewhere by whoever may write the directory above.
        let before = umask(Mode::empty());
        let _ = mkdir(&dir, Mode::from_raw_mode(0o755));
        umask(before);
    }
}

/// Whoever may write the directory can put another socket there, and set-uid programs believe it.
/// Told where it could have been otherwise: a server without root's rights has no choice.
fn warn_of_open_directory(dir: &[u8]) {
    let open = |stat: Stat| stat.st_uid != 0 || stat.st_mode & 0o022 != 0;
    let stat = || path(dir).and_then(|dir| stat(&dir));
    if !dir.is_empty() && geteuid().is_root() && stat().is_ok_and(open) {
        let mut message = Message::warning("nscd");
        message.path(dir);
        message.text(" can be written by others, who can forge answers there").send();
    }
}

/// "Not found" is final for glibc. So a source of its own that the script does not ask is hidden.
fn warn_of_uncovered(sources: &Sources) {
    let Ok(text) = read_path(NSSWITCH.as_bytes()) else { return };
    for database in &["passwd", "group", "initgroups"] {
        let mut message = Message::warning("nscd");
        message.text(NSSWITCH).text(" lists for ");
        message.text(database).text(" what this nscd does not ask:");
        let mut uncovered = false;
        for service in services(&text, database).filter(|service| !covers(sources, service)) {
            uncovered = true;
            message.text(" ").quoted(service);
        }
        if uncovered {
            message.text("; glibc will not ask it either").send();
        }
    }
}

/// Whether a source of nsswitch.conf is asked, as far as that can be known.
fn covers(sources: &Sources, service: &[u8]) -> bool {
    let blocks = match sources {
        Sources::Own(blocks) | Sources::Script(blocks, _) => blocks,
        // A server is a switch of its own; at least it has the files.
        Sources::Server(_) => return service == b"files",
    };
    for block in blocks {
        // `nsssd-nslcd`, `nssbox nslcd`.
        for word in block.command.iter().take(2) {
            let name = base(word.as_bytes());
            let name = name.strip_prefix(b"nsssd-").unwrap_or(name);
            let known = registry::by_name(name);
            if known.map_or(name, |row| row.service.as_bytes()) == service {
                return true;
            }
        }
    }
    false
}

/// The sources of a database in nsswitch.conf, without what is to be done after each.
fn services<'a>(text: &'a [u8], database: &str) -> impl Iterator<Item = &'a [u8]> {
    let mut inside = false;
    list(text, database).split(u8::is_ascii_whitespace).filter(move |word| {
        let action = inside || word.starts_with(b"[");
        inside = action && !word.ends_with(b"]");
        !action && !word.is_empty()
    })
}

/// What stands behind the name of a database there, in its first line.
fn list<'a>(text: &'a [u8], database: &str) -> &'a [u8] {
    for line in text.split(|b| *b == b'\n') {
        let line = line.split(|b| *b == b'#').next().unwrap_or_default();
        let mut parts = line.splitn(2, |b| *b == b':');
        let name = parts.next().unwrap_or_default();
        match parts.next() {
            Some(list) if name.trim_ascii() == database.as_bytes() => return list,
            _ => {}
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_and_comments_are_no_sources() {
        let text = "# passwd: no\n\npasswd: files [NOTFOUND=return] sss # ldap\n\
                    group:\tcompat [!UNAVAIL=return SUCCESS=merge] systemd\npasswd: later\n";
        let of = |database| services(text.as_bytes(), database).collect::<Vec<_>>();
        assert_eq!(of("passwd"), [&b"files"[..], b"sss"]);
        assert_eq!(of("group"), [&b"compat"[..], b"systemd"]);
        assert!(of("initgroups").is_empty());
    }

    #[test]
    fn sources_are_covered_by_the_backends_of_their_kind() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let script = words("3 /bin/nsssd-unix  0 nssbox nslcd ");
        let Ok(sources) = sources(None, &script) else { panic!("a script") };
        assert!(["files", "ldap"].iter().all(|s| covers(&sources, s.as_bytes())));
        assert!(["sss", "systemd", "compat"].iter().all(|s| !covers(&sources, s.as_bytes())));
    }
}
