//! userdb: answers what systemd's libnss_systemd and userdbctl ask below /run/systemd/userdb.
//!
//! Speaks systemd's User/Group Record Lookup API via Varlink (doc/userdb.md). Its sources are those
//! of nsssd-switch, of which the machine's own files are told by nobody but glibc itself.

use super::{NAMES, help};
use crate::backend::script;
use crate::backend::script::start::{MIN_UID_OPTION, min_uid};
use crate::limits::{LOOKUP_MILLIS, NSCD_PER_UID, REQUEST_MILLIS, USERDB_ROOM};
use crate::options::Spec;
use crate::server::ServerOptions;
use crate::server::check;
use crate::server::conversation::{Patience, Protocol, userdb};
use crate::server::listener::Limits;
use crate::server::public::make_directory;
use crate::server::public::{Endpoint, MULTIPLEXER_NAMES, Server, USERDB_NAMES, WORKER};
use crate::server::setup::{Connections, Identity, clamp, with_room};
use crate::server::signals::settle_server;
use crate::server::sources::Sources;
use crate::sys::error::{Error, Exit};
use crate::sys::file::directory;
use crate::sys::no_huge_pages;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What `--help` prints.
pub const USAGE: &[&str] = &[
    "\
Usage: userdb [OPTION]... SCRIPT...

Tells users and groups to glibc's programs through systemd's libnss_systemd,
lists and shadow included, from the backends of SCRIPT, that of nsssd-switch
from the first bitfield on, but not those of the machine's own files:
  userdb 3 nsssd-unix \"\" 0 nsssd-unix -d /data/etc \"\"

  -S, --listen SOCKET  where (/run/systemd/userdb/org.nssbox.Users); its last
             part is the name of the service
  -t MS      a slow source has MS milliseconds for a lookup (200)
  -C MAX     most calls of one user that are answered at once (64); others wait
  -M         serve io.systemd.Multiplexer, too, the own files included, for
             programs that ask systemd-userdbd alone
  --min-uid ID   uids below it (1000) and gid 0 are those of nsssd-unix alone
",
    help::SERVER,
    help::CHECK,
    help::SERVER_END,
];

/// Where clients look for services; without systemd neither directory is there.
const SOCKET: &str = "/run/systemd/userdb/org.nssbox.Users";

/// Its options.
const SPEC: Spec = Spec {
    flags: "qv1WXM",
    values: "StcCGguY",
    cancels: &["qv", "vq"],
    alias: &[
        ("--listen", b'S'),
        MIN_UID_OPTION,
        (WORKER, b'W'),
        ("--check", check::OPTION),
        ("--version", b'V'),
        ("--help", b'?'),
    ],
};

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    settle_server();
    no_huge_pages();
    let options = SPEC.split(args)?;
    let connections = Connections::given(&options)?;
    let millis = options.number(b't', u64::from(LOOKUP_MILLIS.1))?;
    let lookup_millis = millis.map_or(LOOKUP_MILLIS.0, |n| clamp(n, LOOKUP_MILLIS.1));
    let patience = Patience { client_millis: REQUEST_MILLIS, lookup_millis };
    let identity = Identity::given(&options)?;
    let server_options = ServerOptions::given("userdb", &options, &identity);
    if options.rest.is_empty() {
        return Err(Error::options("a script is missing: local files are told by glibc itself"));
    }
    let blocks = script::parse_with(options.rest, NAMES)?;
    let sources = Sources::Script(blocks, NAMES, min_uid(&options)?);
    if options.flag(check::OPTION) {
        return check::answer(|| check::run(&sources.lines(), &mut *sources.far()?));
    }
    let as_multiplexer = options.flag(b'M');
    let own = Limits { patience, ..connections.limits(NSCD_PER_UID) };
    // A client may have a list open besides its socket.
    let taken = if as_multiplexer { own.max * 2 + USERDB_ROOM } else { 0 };
    let limits = with_room(own, taken);
    let limits = Limits { room: limits.room.min(USERDB_ROOM), ..limits };
    let endpoint = endpoint(options.word(b'S'), limits)?;
    let beside = beside(endpoint.socket);
    let mut endpoints = vec![endpoint];
    if as_multiplexer {
        let socket = beside.as_os_str();
        let (protocol, names) = (Protocol::Multiplexer, MULTIPLEXER_NAMES);
        endpoints.push(Endpoint { protocol, socket, names, ..endpoint });
    }
    let server = Server {
        name: "userdb",
        sources: &sources,
        identity: &identity,
        patience,
        // No password is told that shadow does not have.
        prepare: |switch| {
            switch.tell_ssh_keys();
            false
        },
        look: || {},
        #[cfg(feature = "share")]
        companion: &|_| None,
    };
    if options.flag(b'W') {
        server.work(server_options.log)?;
        return Ok(Exit::SUCCESS);
    }
    prepare(&sources, &endpoint)?;
    if as_multiplexer && !sources.kinds()?.0 {
        return Err(Error::options(
            "-M needs the local files, too: who asks there asks nobody else",
        ));
    }
    server.serve(&endpoints, &server_options, None, args)?;
    Ok(Exit::SUCCESS)
}

/// The socket of this path, or the usual one, as a service that is called so.
pub fn endpoint(socket: Option<&OsStr>, limits: Limits) -> Result<Endpoint<'_>, Error> {
    let socket = socket.unwrap_or(OsStr::new(SOCKET));
    let name = socket.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let service = std::str::from_utf8(name).unwrap_or_default();
    if service.is_empty() || service.starts_with('.') {
        return Err(Error::options("no name of a service:").about(socket));
    }
    if service.starts_with("io.systemd.") {
        return Err(Error::options("a name of systemd's own:").about(socket));
    }
    userdb::name_service(service);
    Ok(Endpoint {
        protocol: Protocol::Userdb,
        socket,
        limits,
        names: USERDB_NAMES,
        makes_directory: true,
        hides_lock: true,
    })
}

/// Where systemd-userdbd has its socket, if ours is of the same directory.
fn beside(socket: &OsStr) -> OsString {
    let mut path = directory(socket.as_bytes()).to_vec();
    path.extend_from_slice(if path.is_empty() { b"" } else { b"/" });
    path.extend_from_slice(userdb::MULTIPLEXER.as_bytes());
    OsString::from_vec(path)
}

/// What has to be there for it: something to tell, and the directories.
pub fn prepare(sources: &Sources, endpoint: &Endpoint<'_>) -> Result<(), Error> {
    if !sources.kinds()?.1 {
        return Err(Error::options("nothing but local files, which are told by glibc itself"));
    }
    if endpoint.socket == SOCKET {
        make_directory(b"/run/systemd")?;
    }
    Ok(())
}
