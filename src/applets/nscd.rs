//! nscd: answers what unmodified glibc and musl programs ask at /var/run/nscd/socket.
//!
//! Speaks the protocol of glibc's nscd for users, groups and the groups of a user
//! (doc/nscd.md). Differs: keeps no cache and passes no descriptors of one; its sources are
//! those of nsssd-switch; a source that fails closes the connection.

use super::Applet;
use crate::backend::script::{self, Block, Sources};
use crate::limits::{CONNECTIONS, LOOKUP_MILLIS, NSCD_PER_UID};
use crate::options::Spec;
use crate::server::ipc::listen::{Place, listener, tell_ready};
use crate::server::ipc::setup::{Identity, clamp, raise_descriptors};
use crate::server::ipc::{Rules, Sources as Asked, ask_for_desk, desk, serve_nscd};
use crate::sys::error::{Error, unable};
use crate::sys::message::Message;
use crate::sys::privilege;
use crate::sys::sandbox::Sandbox;
use nssproto::bytes::decimal_u32;
use rustix::fs::{Mode, Stat, mkdir, stat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, geteuid, getppid, pidfd_open, umask};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const USAGE: &str = "\
Usage: nscd [-q | -v] [-1] [-S SOCKET] [-t MS] [-c MAX] [-C MAXPERUID] [-G GIDS] [-g GID] [-u UID] [-s NSSS-SOCKET | SCRIPT...]

Answers the lookups of users and groups that glibc and musl programs make at
/var/run/nscd/socket, from the backends of SCRIPT: that of nsssd-switch, from
the first bitfield on. Without SCRIPT: from the local files,
then from /etc/nssmap.conf if it is there.

  -q -v          quiet; tell of each connection
  -1             write a newline to standard output when clients can be served
  -S SOCKET      listen there (/var/run/nscd/socket); its directory is made
  -s NSSS-SOCKET ask this nsss server instead
  -t MS          a lookup is answered or its connection closed after so many
                 milliseconds (200, at most 4000)
  -c MAX         most connections (256, at most 8192); others wait
  -C MAXPERUID   most connections of one user (64); his oldest one without a
                 complete request gives way
  -G GIDS, -g GID, -u UID
                 after binding, change supplementary groups, group, user
  --parent PID   end when that process does, which must have started this one

Example: nscd 3 nsssd-unix \"\" 0 nsssd-unix -d /data/etc \"\"
Also understood: NOTIFY_SOCKET, LISTEN_FDS (then SOCKET is not bound).
Signals: TERM exit, HUP close all connections, QUIT both, ABRT exit at once.
Exit codes: 0 ended by a signal or with its parent, 100 usage, 111 system.
";

/// The row of the table.
pub const APPLET: Applet =
    Applet { name: "nscd", short: "nscd", usage: USAGE, usage_code: 100, main };

/// Where both C libraries ask; it cannot be changed there.
const SOCKET: &str = "/var/run/nscd/socket";

/// What a map is made of, if there is one.
const NSSMAP: &str = "/etc/nssmap.conf";

/// Which sources glibc asks where nobody answers here.
const NSSWITCH: &str = "/etc/nsswitch.conf";

/// How long the nscd of a program that has ended may take to end.
const ENDING_MILLIS: u64 = 500;

/// Makes an asker of this process, for the desk of another nscd. (Nothing to be called by hand.)
const ASKER: &str = "--asker";

const SPEC: Spec = Spec {
    flags: "qv1",
    values: "StcCGgusP",
    cancels: &[('q', "v"), ('v', "q")],
    long: &[ASKER],
    alias: &[("--parent", 'P')],
    ..Spec::NONE
};

fn main(args: &[OsString]) -> Result<u8, Error> {
    let (mut options, script) = SPEC.split(args)?;
    let socket = options.value("-S").unwrap_or_else(|| SOCKET.into());
    let server = options.value("-s");
    let max = options.number("-c", u64::MAX)?.map_or(CONNECTIONS.0, |n| clamp(n, CONNECTIONS.1));
    let per_uid = options.number("-C", u64::MAX)?.unwrap_or(u64::from(NSCD_PER_UID));
    let millis = options.number("-t", u64::from(LOOKUP_MILLIS.1))?;
    let millis = millis.map_or(LOOKUP_MILLIS.0, |n| clamp(n, LOOKUP_MILLIS.1));
    let identity = Identity::given(&mut options)?;
    if options.flag(ASKER) {
        let sources = sources(server, script)?;
        let mut far = sources.far()?;
        // One that takes another's place after the change of user is that user already.
        if geteuid().is_root() {
            identity.assume()?;
        }
        far.guard();
        if !sources.start_programs() {
            far.sandbox().enter();
        }
        return ask_for_desk(&mut far, millis).map(|()| 0);
    }
    let parent = options.value("-P").map(|pid| parent(&pid)).transpose()?;
    let verbosity = if options.flag("-q") { 0 } else { 1 + u8::from(options.flag("-v")) };
    let newline = options.flag("-1");
    let sources = sources(server, script)?;
    let rules = Rules {
        name: "nscd",
        max,
        max_per_uid: clamp(per_uid, max),
        oldest_gives_way: true,
        credentials: true,
        verbosity,
        client_millis: millis,
        hidden: &[],
    };
    // What is wrong with the script is told before the socket is made.
    let (mut near, others) = sources.near()?;
    if verbosity > 0 {
        warn_of_uncovered(&sources);
    }

    make_directory(&socket);
    if verbosity > 0 {
        warn_of_open_directory(&socket);
    }
    // An nscd that ends with its program needs a moment for it, and the next program may be there.
    let patience = if parent.is_some() { ENDING_MILLIS } else { 0 };
    let (path, backlog) = (socket.as_os_str(), i32::MAX);
    let place = Place { path, mode: 0o666, backlog, replace: true, swap: true, patience };
    let listener = listener(&place)?;
    if !sources.start_programs() {
        privilege::gain_no_more();
    }
    // Opened before rights are given up: the map may have a key that only root can read.
    let asker = || std::iter::once(ASKER.into()).chain(args.iter().cloned()).collect();
    let mut desk = if others { Some(desk(&rules, asker())?) } else { None };
    if let Some(desk) = desk.as_mut().filter(|_| identity.changes()) {
        desk.start_all()?;
    }
    identity.assume()?;
    near.guard();
    raise_descriptors(max);
    near.reserve_descriptors();
    // An asker is a program, and needs files of its own.
    let sandbox = desk.is_none().then(|| near.sandbox());
    let asked = Asked { near: &mut near, desk };
    serve_nscd(&listener.socket, &rules, asked, parent, || {
        tell_ready(newline);
        sandbox.map(Sandbox::enter);
    })?;
    Ok(0)
}

/// The backends that the command line names, or the usual ones.
fn sources(server: Option<OsString>, script: &[OsString]) -> Result<Sources, Error> {
    match (server, script) {
        (Some(_), [_, ..]) => Err(Error::options("either -s or a script")),
        (Some(path), []) => Ok(Sources::Server(path)),
        (None, [_, ..]) => Ok(Sources::Script(script::parse(script)?)),
        // A failure of the local files ends the search: nobody may take a local name meanwhile.
        (None, []) => {
            let mut blocks = vec![Block::new(3, vec!["unix".into()])];
            if cfg!(feature = "nsssd-map") && Path::new(NSSMAP).exists() {
                blocks.push(Block::new(0, vec!["map".into()]));
            }
            Ok(Sources::Own(blocks))
        }
    }
}

/// The process that this one ends with, as something to wait for.
fn parent(pid: &OsStr) -> Result<OwnedFd, Error> {
    let number = decimal_u32(pid.as_bytes()).and_then(|n| i32::try_from(n).ok());
    let wrong = || Error::options("not a process id:").about(pid);
    let pid = number.and_then(Pid::from_raw).ok_or_else(wrong)?;
    let fd = pidfd_open(pid, PidfdFlags::empty()).map_err(unable("unable to watch the parent"))?;
    // Only now: the number may have been given to another process before.
    if getppid() != Some(pid) {
        return Err(Error::system("unable to watch the parent", Errno::CHILD));
    }
    Ok(fd)
}

/// The directory of the socket, if its path names one.
fn directory(socket: &OsStr) -> Option<&Path> {
    Path::new(socket).parent().filter(|dir| !dir.as_os_str().is_empty())
}

/// The socket's directory, 0755, if it is not there. What cannot be made is told by the bind.
fn make_directory(socket: &OsStr) {
    let Some(dir) = directory(socket) else { return };
    // A chmod afterwards could be led elsewhere by whoever may write the directory above.
    let before = umask(Mode::empty());
    let _ = mkdir(dir, Mode::from_raw_mode(0o755));
    umask(before);
}

/// Whoever may write the directory can put another socket there, and set-uid programs believe it.
/// Told where it could have been otherwise: a server without root's rights has no choice.
fn warn_of_open_directory(socket: &OsStr) {
    let Some(dir) = directory(socket) else { return };
    let open = |stat: Stat| stat.st_uid != 0 || stat.st_mode & 0o022 != 0;
    if geteuid().is_root() && stat(dir).is_ok_and(open) {
        let message = Message::new("nscd", "warning").path(dir.as_os_str().as_bytes());
        message.text(" can be written by others, who can forge answers there").send();
    }
}

/// "Not found" is final for glibc. So a source of its own that the script does not ask is hidden.
fn warn_of_uncovered(sources: &Sources) {
    let Ok(text) = std::fs::read_to_string(NSSWITCH) else { return };
    for database in ["passwd", "group", "initgroups"] {
        let services = services(&text, database);
        let missing: Vec<&str> = services.filter(|s| !sources.covers(s)).collect();
        if missing.is_empty() {
            continue;
        }
        let mut message = Message::new("nscd", "warning").text(NSSWITCH).text(" lists for ");
        message = message.text(database).text(" what this nscd does not ask:");
        for service in missing {
            message = message.text(" ").quoted(service.as_bytes());
        }
        message.text("; glibc will not ask it either").send();
    }
}

/// The sources of a database in nsswitch.conf, without what is to be done after each.
fn services<'a>(text: &'a str, database: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let mut named = lines.filter_map(move |line| {
        let (name, list) = line.split_once(':')?;
        (name.trim() == database).then_some(list)
    });
    let list = named.next().unwrap_or_default();
    let mut inside = false;
    list.split_whitespace().filter(move |word| {
        let action = inside || word.starts_with('[');
        inside = action && !word.ends_with(']');
        !action
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_and_comments_are_no_sources() {
        let text = "# passwd: no\n\npasswd: files [NOTFOUND=return] sss # ldap\n\
                    group:\tcompat [!UNAVAIL=return SUCCESS=merge] systemd\npasswd: later\n";
        let of = |database| services(text, database).collect::<Vec<_>>();
        assert_eq!(of("passwd"), ["files", "sss"]);
        assert_eq!(of("group"), ["compat", "systemd"]);
        assert!(of("initgroups").is_empty());
    }

    #[test]
    fn sources_are_covered_by_the_backends_of_their_kind() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let script = words("3 /bin/nsssd-unix  0 nssbox nslcd ");
        let Ok(sources) = sources(None, &script) else { panic!("a script") };
        assert!(["files", "ldap"].iter().all(|s| sources.covers(s)));
        assert!(["sss", "systemd", "compat"].iter().all(|s| !sources.covers(s)));
    }
}
