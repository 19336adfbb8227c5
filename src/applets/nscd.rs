//! nscd: answers what unmodified glibc and musl programs ask at /var/run/nscd/socket.
//!
//! Speaks the protocol of glibc's nscd for users, groups and the groups of a user
//! (doc/nscd.md). Differs: keeps no cache but a shared map of local files; its sources are those of
//! nsssd-switch; a source that fails closes the connection.

mod control;
mod nsswitch;

use super::{NAMES, help};
use crate::backend::password::is_shadow_closed;
use crate::backend::script;
use crate::backend::script::start::{MIN_UID_OPTION, min_uid};
use crate::backend::switch::Switch;
#[cfg(feature = "share")]
use crate::limits::SHARED_MIB;
#[cfg(feature = "userdb")]
use crate::limits::USERDB_ROOM;
use crate::limits::{LOOKUP_MILLIS, NSCD_PER_UID, NSCD_ROOM, REQUEST_MILLIS};
use crate::options::Spec;
use crate::server::ServerOptions;
use crate::server::check;
use crate::server::conversation::{Patience, Protocol};
use crate::server::listener::Limits;
use crate::server::public::{Endpoint, NSCD_NAMES, NSSS_NAMES, Server, WORKER};
use crate::server::setup::{Connections, Identity, clamp, with_room};
#[cfg(feature = "share")]
use crate::server::share::{Share, Wanted, Wish};
use crate::server::signals::settle_server;
use crate::server::sources::Sources;
use crate::sys::error::{Error, Exit};
use crate::sys::message::Message;
use crate::sys::no_huge_pages;
use crate::sys::watch::Watched;
use nssproto::bytes::decimal_u32;
use nssproto::nscd::SOCKET;
use rustix::process::Pid;
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
",
    if cfg!(feature = "userdb") {
        "  --nsss SOCKET, --userdb[=SOCKET]  serve nsss, libnss_systemd, too (doc/userdb)\n"
    } else {
        "  --nsss SOCKET  serve the nsss protocol there, too\n"
    },
    "\
  --min-uid ID   uids below it (1000) and gid 0 are those of nsssd-unix alone
",
    if cfg!(feature = "share") {
        "  --parent PID   exit 0 when that process ends; --no-share, --share-max MIB (8)\n"
    } else {
        "  --parent PID   exit 0 when the process PID ends\n"
    },
    "\
As glibc: -i TABLE, -K, -g alone (none), -d is -v; -F, -f FILE are ignored.
",
    help::SERVER,
    help::CHECK,
    help::SERVER_END,
];

/// Its options: ours, and those of glibc's nscd.
pub const SPEC: Spec = Spec {
    flags: if cfg!(feature = "userdb") { "qv1dFKLWXZEOD" } else { "qv1dFKLWXZEO" },
    values: if cfg!(feature = "userdb") { "StcCGgusPNifTMYD" } else { "StcCGgusPNifTMY" },
    cancels: &["qv", "vq", "qd", "dq", "EO", "OE"],
    alias: &[
        ("--listen", b'S'),
        ("--ask", b's'),
        ("--parent", b'P'),
        ("--nsss", b'N'),
        #[cfg(feature = "userdb")]
        ("--userdb", b'D'),
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
        ("--share", b'E'),
        ("--no-share", b'O'),
        ("--share-max", b'M'),
        ("--check", check::OPTION),
        (control::STATISTICS, b'Z'),
        ("--version", b'V'),
        ("--help", b'?'),
        ("--usage", b'?'),
    ],
};

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    settle_server();
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
    let mut server_options = ServerOptions::given("nscd", &options, &identity);
    if options.flag(b'd') {
        server_options.log.verbosity = 2;
    }
    if parent.is_some() {
        // It has a socket of its own, which goes with the program.
        server_options.executable = None;
    }
    #[cfg(not(feature = "share"))]
    if options.flag(b'E') || options.word(b'M').is_some() {
        return Err(Error::lacking("--share"));
    }
    #[cfg(feature = "share")]
    let wish = Wish {
        wanted: match (options.flag(b'O') || options.word(b'P').is_some(), options.flag(b'E')) {
            (true, _) => Wanted::No,
            (false, true) => Wanted::Yes,
            (false, false) => Wanted::Maybe,
        },
        max: options.number(b'M', u64::from(SHARED_MIB))?.map(|mib| (mib as usize) << 20),
        tells: (server_options.log.verbosity > 0).then_some("nscd"),
    };
    let sources = sources(server, !options.flag(b'L'), options.rest, min_uid(&options)?)?;
    if options.flag(check::OPTION) {
        return check::answer(|| check::run(&sources.lines(), &mut *sources.far()?));
    }
    #[cfg(feature = "userdb")]
    let userdb = match options.word(b'D') {
        Some(socket) => {
            let limits = connections.limits(NSCD_PER_UID);
            let limits = Limits { patience, room: USERDB_ROOM, ..limits };
            Some(super::userdb::endpoint(Some(socket).filter(|s| !s.is_empty()), limits)?)
        }
        None => None,
    };
    #[cfg(not(feature = "userdb"))]
    let userdb = None::<Endpoint<'_>>;
    let server = Server {
        name: "nscd",
        sources: &sources,
        identity: &identity,
        patience,
        prepare: match userdb {
            Some(_) => Switch::judge_passwords_beside_userdb,
            None => Switch::judge_passwords,
        },
        look: look_at_shadow,
        #[cfg(feature = "share")]
        companion: &|switch| Some(Box::leak(Share::new(wish, switch, socket.as_bytes())?)),
    };
    if is_worker {
        server.work(server_options.log)?;
        return Ok(Exit::SUCCESS);
    }
    #[cfg(feature = "userdb")]
    if let Some(userdb) = &userdb {
        super::userdb::prepare(&sources, userdb)?;
    }
    let nsss = options.word(b'N').map(|socket| Endpoint {
        protocol: Protocol::Nsss,
        socket,
        limits: Limits { patience, ..connections.limits(u32::MAX) },
        names: NSSS_NAMES,
        makes_directory: false,
        hides_lock: false,
    });
    // A client of the others may have three enumerations open besides its socket.
    let others = [&nsss, &userdb].into_iter().flatten();
    let taken = others.map(|endpoint| endpoint.limits.max * 4 + endpoint.limits.room).sum();
    let public = with_room(Limits { patience, ..connections.limits(NSCD_PER_UID) }, taken);
    if server_options.log.verbosity > 0 {
        nsswitch::warn_of_uncovered(&sources);
        if public.room < NSCD_ROOM {
            warn_of_small_room(public.room);
        }
    }
    let nscd = Endpoint {
        protocol: Protocol::Nscd,
        socket,
        limits: public,
        names: NSCD_NAMES,
        makes_directory: true,
        hides_lock: false,
    };
    let endpoints: Vec<Endpoint<'_>> = [Some(nscd), nsss, userdb].into_iter().flatten().collect();
    server.serve(&endpoints, &server_options, parent, args)?;
    Ok(Exit::SUCCESS)
}

/// Rights that are left may be too few to know whom shadow has.
fn look_at_shadow() {
    if is_shadow_closed() {
        Message::warning("nscd")
            .text("unable to read /etc/shadow, so that nobody knows whom of other sources it has")
            .send();
    }
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
