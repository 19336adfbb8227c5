//! nscd: answers what unmodified glibc and musl programs ask at /var/run/nscd/socket.
//!
//! Speaks the protocol of glibc's nscd for users, groups and the groups of a user
//! (doc/nscd.md). Differs: keeps no cache and passes no descriptors of one; its sources are
//! those of nsssd-switch; a source that fails closes the connection.

mod control;
mod nsswitch;

use super::{NAMES, help};
use crate::backend::password::is_shadow_closed;
use crate::backend::script;
use crate::backend::script::start::{MIN_UID_OPTION, min_uid};
use crate::limits::{BACKENDS, LOOKUP_MILLIS, NSCD_PER_UID, NSCD_ROOM, REQUEST_MILLIS};
use crate::options::Spec;
use crate::server::ServerOptions;
use crate::server::check;
use crate::server::conversation::{Patience, Protocol};
use crate::server::event_loop::{self, Service};
use crate::server::listener::{Limits, Listener, Place};
use crate::server::log::Log;
use crate::server::setup::{Connections, Identity, clamp, ready, with_room};
use crate::server::signals::settle;
use crate::server::sources::{Others, Sources};
use crate::server::worker;
use crate::server::worker::pool::Pool;
use crate::sys::access::shared_ids;
use crate::sys::error::{Error, Exit, not_made};
use crate::sys::file::{directory, path};
use crate::sys::message::Message;
use crate::sys::no_huge_pages;
use crate::sys::privilege;
use crate::sys::stat::{Stat, stat};
use crate::sys::watch::Watched;
use nssproto::bytes::decimal_u32;
use nssproto::nscd::SOCKET;
use rustix::fs::{Mode, mkdir};
use rustix::io::Errno;
use rustix::process::{Pid, geteuid, umask};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// What `--help` prints.
pub const USAGE: &[&str] = &[
    "\
Usage: nscd [OPTION]... [SCRIPT...]

Answers the lookups of users and groups that glibc and musl programs make, from
the backends of SCRIPT, that of nsssd-switch from the first bitfield on (none:
the local files and /etc/nssmap.conf):
  nscd 3 nsssd-unix \"\" 0 nsssd-unix -d /data/etc \"\"

  -S, --listen SOCKET  where (/var/run/nscd/socket); its directory is made
  -s, --ask SOCKET     ask the files (unless --no-files), then this nsss server
  -t MS      a slow source has MS milliseconds for a lookup (200)
  -C MAX     most connections of one user that are served (64); others wait
  --nsss SOCKET  serve the nsss protocol there, too
  --min-uid ID   uids below it (1000) and gid 0 are those of nsssd-unix alone
  --parent PID   exit 0 when the process PID ends
As glibc: -i TABLE, -K, -g alone (none), -d is -v; -F, -f FILE are ignored.
",
    help::SERVER,
    help::CHECK,
    help::SERVER_END,
];

/// How long the nscd of a program that has ended may take to end.
const ENDING_MILLIS: u64 = 500;

/// Makes a worker of this process, for another nscd. (Nothing to be called by hand.)
const WORKER: &str = "--worker";

/// Its options: ours, and those of glibc's nscd.
pub const SPEC: Spec = Spec {
    flags: "qv1dFKLWXZ",
    values: "StcCGgusPNifTM",
    cancels: &["qv", "vq", "qd", "dq"],
    alias: &[
        ("--listen", b'S'),
        ("--ask", b's'),
        ("--parent", b'P'),
        ("--nsss", b'N'),
        ("--invalidate", b'i'),
        ("--shutdown", b'K'),
        ("--debug", b'd'),
        ("--foreground", b'F'),
        ("--config-file", b'f'),
        ("--secure", b'f'),
        ("--nthreads", b'T'),
        MIN_UID_OPTION,
        (WORKER, b'W'),
        ("--no-files", b'L'),
        ("--check", check::OPTION),
        (control::STATISTICS, b'Z'),
        ("--version", b'V'),
        ("--help", b'?'),
        ("--usage", b'?'),
    ],
};

/// Clients that the kernel lets connect before they are accepted; its own limit is the same.
const BACKLOG: i32 = 4096;

/// The sockets to serve, and how.
struct Sockets<'a> {
    nscd: &'a OsStr,
    nsss: Option<&'a OsStr>,
    connections: Connections,
    patience: Patience,
}

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    settle();
    no_huge_pages();
    if let Some(before) = control::statistics(args) {
        return control::tell_statistics(before);
    }
    let options = SPEC.split(args)?;
    let socket = options.word(b'S').unwrap_or(OsStr::new(SOCKET));
    if let Some(exit) = control::run(&options, socket)? {
        return Ok(exit);
    }
    let server = options.word(b's');
    let connections = Connections::given(&options)?;
    let millis = options.number(b't', u64::from(LOOKUP_MILLIS.1))?;
    let lookup_millis = millis.map_or(LOOKUP_MILLIS.0, |n| clamp(n, LOOKUP_MILLIS.1));
    let patience = Patience { client_millis: REQUEST_MILLIS, lookup_millis };
    let identity = Identity::given(&options)?;
    let is_worker = options.flag(b'W');
    let parent = match options.word(b'P') {
        Some(pid) if !is_worker => Some(parent(pid)?),
        _ => None,
    };
    let mut server_options = ServerOptions::given("nscd", &options);
    if options.flag(b'd') {
        server_options.log.verbosity = 2;
    }
    let sources = sources(server, !options.flag(b'L'), options.rest, min_uid(&options)?)?;
    if options.flag(check::OPTION) {
        return check::answer(|| check::run(&sources.lines(), &mut *sources.far()?));
    }
    if is_worker {
        work(&sources, &identity, patience, server_options.log)?;
    } else {
        let nsss = options.word(b'N');
        let sockets = Sockets { nscd: socket, nsss, connections, patience };
        serve(&sources, &sockets, &identity, &server_options, parent, args)?;
    }
    Ok(Exit::SUCCESS)
}

/// A worker's work.
fn work(sources: &Sources, identity: &Identity, patience: Patience, log: Log) -> Result<(), Error> {
    let mut far = sources.far()?;
    log.tell_failures(&mut far);
    shared_ids();
    far.judge_passwords();
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

impl Sockets<'_> {
    /// Makes the one at `path`, or takes the one that was passed.
    fn listen(&self, protocol: Protocol, path: &OsStr, limits: Limits) -> Result<Service, Error> {
        let place = Place {
            path,
            mode: 0o666,
            backlog: BACKLOG,
            replace: true,
            swap: true,
            // One that ends, with its program or by `-K`, needs a moment for it.
            patience: ENDING_MILLIS,
            takes_descriptors: false,
            may_be_passed: protocol == Protocol::Nscd,
            lengthens: true,
        };
        let listener = Listener::open(&place, Limits { patience: self.patience, ..limits })?;
        Ok(Service { protocol, listener, sources: 0..BACKENDS })
    }
}

fn serve(
    sources: &Sources,
    sockets: &Sockets<'_>,
    identity: &Identity,
    server_options: &ServerOptions,
    parent: Option<Watched>,
    args: &[OsString],
) -> Result<(), Error> {
    // What is wrong with the script is told before the socket is made.
    let (mut near, others) = sources.near("nscd")?;
    server_options.log.tell_failures(&mut near);
    let judges = near.judge_passwords();
    let as_root = geteuid().is_root();
    let verbose = server_options.log.verbosity > 0;
    if verbose {
        nsswitch::warn_of_uncovered(sources);
        sources.name_refused("nscd");
    }
    let nsss = sockets.connections.limits(u32::MAX);
    // An nsss client may have three enumerations open besides its socket.
    let taken = sockets.nsss.map_or(0, |_| 4 * nsss.max);
    let public = with_room(sockets.connections.limits(NSCD_PER_UID), taken);
    if verbose && public.room < NSCD_ROOM {
        warn_of_small_room(public.room);
    }
    let directory = directory(sockets.nscd.as_bytes());
    make_directory(directory)?;
    if verbose {
        warn_of_open_directory(directory);
    }
    let mut services = vec![sockets.listen(Protocol::Nscd, sockets.nscd, public)?];
    if let Some(path) = sockets.nsss {
        services.push(sockets.listen(Protocol::Nsss, path, nsss)?);
    }
    let most = services.iter().map(|service| service.listener.limits.rows()).sum();
    if !sources.start_programs() {
        privilege::gain_no_more();
    }
    // Where workers would only be there in case, a server that can forbid itself files does that.
    let needed = match others {
        Others::None => false,
        Others::Sometimes => cfg!(not(feature = "sandbox")),
        Others::Always => true,
    };
    let mut workers = None;
    if needed {
        let enumerates = sockets.nsss.is_some();
        let pool = Pool::new(most, enumerates, &[b"nscd", WORKER.as_bytes()], args)?;
        if others == Others::Always && identity.changes() {
            // Opened before rights are given up: the map may have a key that only root can read.
            pool.start_all()?;
        }
        workers = Some(pool);
    }
    let assumed = identity.assume();
    if let (Err(_), Some(workers)) = (&assumed, &workers) {
        // They would fail alike, and say so.
        workers.end();
    }
    assumed?;
    if judges && as_root && is_shadow_closed() {
        Message::warning("nscd")
            .text("unable to read /etc/shadow, so that nobody knows whom of other sources it has")
            .send();
    }
    ready(&mut near);
    event_loop::serve(&services, server_options, &mut near, workers, parent)
}

/// Fewer clients can wait than usual: above that, some are closed.
fn warn_of_small_room(room: u32) {
    let mut message = Message::warning("nscd");
    message.text("the limit of open files leaves room for ").number(room.into());
    message.text(" waiting clients; usual are ").number(NSCD_ROOM.into()).send();
}

/// The backends that the command line names, or the usual ones.
fn sources(
    server: Option<&OsStr>,
    with_files: bool,
    script: &[OsString],
    min_uid: u32,
) -> Result<Sources, Error> {
    let files = if with_files { script::files_of_this_machine() } else { Vec::new() };
    match server {
        None if !with_files => return Err(Error::options("--no-files is for -s")),
        Some(_) if !script.is_empty() => return Err(Error::options("either -s or a script")),
        Some(path) => return Ok(Sources::Server(files, path.to_owned())),
        None if !script.is_empty() => {
            return Ok(Sources::Script(script::parse_with(script, NAMES)?, NAMES, min_uid));
        }
        None => {}
    }
    Ok(Sources::Own(script::of_this_machine()))
}

/// The process that this one ends with.
fn parent(pid: &OsStr) -> Result<Watched, Error> {
    Watched::begin(process_id(pid)?)
        .map_err(|e| Error::system("unable to watch process", e).about(pid))
}

/// The number of a process.
pub fn process_id(text: &OsStr) -> Result<Pid, Error> {
    let number = decimal_u32(text.as_bytes()).and_then(|n| i32::try_from(n).ok());
    number.and_then(Pid::from_raw).ok_or_else(|| Error::options("not a process id:").about(text))
}

/// The socket's directory, 0755, if it is not there.
fn make_directory(name: &[u8]) -> Result<(), Error> {
    // What is no path is told by the bind; so is what is there and no directory.
    let Ok(dir) = path(name) else { return Ok(()) };
    if name.is_empty() || stat(&dir).is_ok() {
        return Ok(());
    }
    // A chmod afterwards could be led elsewhere by whoever may write the directory above.
    let before = umask(Mode::empty());
    let made = mkdir(&dir, Mode::from_raw_mode(0o755));
    umask(before);
    match made {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(not_made("unable to make directory", name, e)),
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
