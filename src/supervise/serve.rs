//! `sv serve`: one request of a client on a socket of AF_UNIX, for a super-server that starts a process
//! for each connection.
//!
//! A request is a line: `status [NAME]...` or `WORD NAME`. The reply are the lines of `-j`, and
//! `{"exit":N}`. Whoever may connect may ask for states; who may change them is told by the kernel
//! (SO_PEERCRED). Names are single, plain words below one directory.

use super::command::{Action, Command};
use super::find::{Directory, Service};
use super::json::{self, Object};
use super::run::{Options, run};
use crate::query::ask::Resolver;
use crate::sys::access::Peer;
use crate::sys::clock::{millis, time_left};
use crate::sys::error::{Error, Exit};
use crate::sys::file::path;
use crate::sys::message::Message;
use crate::sys::privilege::is_root;
use crate::sys::socket::peer_process;
use crate::sys::stat::fstat;
use nssproto::bytes::decimal_u32;
use nssproto::entry::{Db, Name};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::socket_type;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, getsockname, recv, send};
use rustix::process::geteuid;
use rustix::stdio::{stderr, stdin};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Bytes of a request, its newline among them.
const REQUEST_MAX: usize = 4096;

/// A client has so long to send his request, and since his last progress to take the reply.
const CLIENT_MILLIS: u64 = 5000;

/// The longest name: that of a file.
const NAME_MAX: usize = 255;

/// The words that are served, besides `status`. None of them ends a supervisor.
const WORDS: &[&str] = &[
    "1",
    "2",
    "alarm",
    "check",
    "cont",
    "disable",
    "down",
    "enable",
    "force-reload",
    "force-restart",
    "force-stop",
    "hup",
    "interrupt",
    "kill",
    "once",
    "pause",
    "quit",
    "reload",
    "restart",
    "start",
    "stop",
    "term",
    "try-restart",
    "up",
];

/// What is served, and to whom.
pub struct Server<'a> {
    /// Where services are.
    pub directory: &'a Directory,
    /// Its members may change what root may.
    pub group: Option<&'a OsStr>,
    /// Nobody may change anything.
    pub read_only: bool,
    /// Seconds that a change is waited for.
    pub wait: u64,
}

/// A request.
#[derive(Debug, PartialEq, Eq)]
enum Request<'a> {
    Status(Vec<&'a [u8]>),
    Change(&'a [u8], Command, &'a [u8]),
}

impl<'a> Request<'a> {
    /// A line without its end; what is wrong with it.
    fn parse(line: &'a [u8]) -> Result<Self, &'static str> {
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let word = words.next().ok_or("an empty request")?;
        let names: Vec<&[u8]> = words.collect();
        if names.iter().any(|name| !is_name(name)) {
            return Err("not a name of a service");
        }
        if word == b"status" {
            return Ok(Request::Status(names));
        }
        let is_served = WORDS.iter().any(|served| served.as_bytes() == word);
        let command = Command::of(word).filter(|_| is_served).ok_or("not a command")?;
        match names.as_slice() {
            [name] => Ok(Request::Change(word, command, name)),
            _ => Err("one service is changed at a time"),
        }
    }
}

/// Whether a name can be none but that of an entry: letters, digits and `._@-`, no dot in front.
fn is_name(name: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._@-".contains(byte);
    !name.is_empty()
        && name.len() <= NAME_MAX
        && name.iter().all(plain)
        && name.first() != Some(&b'.')
}

/// Serves the client on standard input.
///
/// Errors: exit 100 if that is no connected stream socket of AF_UNIX, or if standard error is the
/// client's, too; 1 if he breaks the protocol; 111 if he is not served.
pub fn serve(server: &Server<'_>) -> Result<Exit, Error> {
    let socket = stdin();
    let is_local = getsockname(socket).is_ok_and(|a| a.address_family() == AddressFamily::UNIX);
    if !is_local || socket_type(socket) != Ok(SocketType::STREAM) {
        return Err(Error::usage("standard input is no stream socket of AF_UNIX"));
    }
    let (peer, pid) =
        peer_process(socket).map_err(|_| Error::usage("standard input is not connected"))?;
    let inode = |fd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino)).ok();
    if inode(stderr()).is_some() && inode(stderr()) == inode(socket) {
        return Err(Error::usage("standard error is the client's: changes are logged there"));
    }
    let mut room = [0; REQUEST_MAX];
    let reply = match receive(&mut room)? {
        Some(line) => match Request::parse(line) {
            Ok(Request::Status(names)) => status(server, &names),
            Ok(Request::Change(word, command, name)) => {
                change(server, peer, pid, word, &command, name)
            }
            Err(why) => refuse(why),
        },
        None => refuse("no whole line of at most 4096 bytes within 5 s"),
    }?;
    send_all(&reply.text)?;
    Ok(if reply.exit == Exit::USAGE.code() { Exit::PROTOCOL } else { Exit::SUCCESS })
}

struct Reply {
    text: Vec<u8>,
    exit: u8,
}

impl Reply {
    fn new(mut text: Vec<u8>, exit: u8) -> Self {
        let mut object = Object::begin(&mut text);
        object.number("exit", exit.into());
        object.end();
        text.push(b'\n');
        Reply { text, exit }
    }
}

/// A request that is none.
fn refuse(why: &str) -> Result<Reply, Error> {
    Ok(failed(why, Exit::USAGE))
}

/// An error that is no service's.
fn failed(why: &str, exit: Exit) -> Reply {
    let mut text = Vec::new();
    let mut object = Object::begin(&mut text);
    object.text("error", why.as_bytes());
    object.end();
    text.push(b'\n');
    Reply::new(text, exit.code())
}

/// A service that is not told of.
fn refuse_service(name: &[u8], why: &str) -> Reply {
    let mut text = Vec::new();
    json::error(&mut text, name, why.as_bytes());
    text.push(b'\n');
    Reply::new(text, Exit::FAILURE.code())
}

const STATUS: &[u8] = b"status";

fn status(server: &Server<'_>, names: &[&[u8]]) -> Result<Reply, Error> {
    let Some(command) = Command::of(STATUS) else { return refuse("not a command") };
    let listed = names.is_empty();
    let mut all = Vec::new();
    if listed {
        all = match server.directory.names() {
            Ok(names) => names,
            Err(error) => {
                error.print("sv");
                return Ok(failed("unable to list the services", Exit::SYSTEM));
            }
        };
        all.retain(|name| is_name(name));
    }
    let names: Vec<&[u8]> =
        if listed { all.iter().map(Vec::as_slice).collect() } else { names.to_vec() };
    let options = Options { json: true, listed, ..Options::NONE };
    let (mut text, mut refused) = (Vec::new(), 0);
    let mut exit = 0_u8;
    // One at a time: each is a descriptor.
    for name in names {
        match open(server.directory, name) {
            Ok(service) => {
                let services = vec![service];
                let code = run(&command, services, options, &mut |bytes| {
                    text.extend_from_slice(bytes);
                    Ok(())
                })?;
                exit = exit.saturating_add(code);
            }
            Err(Errno::NOENT | Errno::NOTDIR) if listed => {}
            Err(errno) => {
                json::error(&mut text, name, &why_not(errno));
                text.push(b'\n');
                refused += 1;
            }
        }
    }
    Ok(Reply::new(text, exit.saturating_add(refused).min(99)))
}

fn change(
    server: &Server<'_>,
    peer: Peer,
    pid: u32,
    word: &[u8],
    command: &Command,
    name: &[u8],
) -> Result<Reply, Error> {
    let refusal = match may_change(server, peer) {
        true if command.is_exit() || command.action == Action::Status => Some("not served"),
        true => None,
        false if server.read_only => Some("this server changes nothing"),
        false => Some("you may not change services here"),
    };
    if let Some(why) = refusal {
        log(peer, pid, word, name, "refused");
        return Ok(refuse_service(name, why));
    }
    let service = match open(server.directory, name) {
        Ok(service) => service,
        Err(errno) => {
            log(peer, pid, word, name, "no such service");
            return Ok(refuse_service(name, &String::from_utf8_lossy(&why_not(errno))));
        }
    };
    let options = Options { json: true, verbose: true, wait: server.wait, ..Options::NONE };
    let mut text = Vec::new();
    let exit = run(command, vec![service], options, &mut |bytes| {
        text.extend_from_slice(bytes);
        Ok(())
    })?;
    log(peer, pid, word, name, if exit == 0 { "ok" } else { "failed" });
    Ok(Reply::new(text, exit))
}

/// Whether a client may change services: as root, or as one of the group. What cannot be found out
/// is no.
fn may_change(server: &Server<'_>, peer: Peer) -> bool {
    if server.read_only {
        return false;
    }
    if peer.is_root() {
        return true;
    }
    let Some(group) = server.group.map(|group| group.as_bytes()) else { return false };
    // Nobody: the socket is not connected, or he is in a user namespace that we know nothing of.
    let (many_users, many_groups) = crate::sys::access::shared_ids();
    if peer.uid.0 == u32::MAX || peer.uid.0 == many_users {
        return false;
    }
    let mut resolver = None;
    let number = decimal_u32(group);
    let Some(gid) = number.or_else(|| Some(open_resolver(&mut resolver)?.group(group)?.id)) else {
        return false;
    };
    if peer.gid.0 == gid && gid != many_groups {
        return true;
    }
    let Some(resolver) = open_resolver(&mut resolver) else { return false };
    let Some(user) = resolver.number(Db::Passwd, peer.uid.0) else { return false };
    let Some(name) = Name::new(&user.name) else { return false };
    let mut gids = vec![user.gid];
    // A list that changed while it was read is no list.
    matches!(resolver.groups(name, &mut gids), Ok(true)) && gids.contains(&gid)
}

/// What answers for users, as `id` asks it.
fn open_resolver(resolver: &mut Option<Resolver>) -> Option<&mut Resolver> {
    if resolver.is_none() {
        *resolver = Resolver::open(None, None, false).ok();
    }
    resolver.as_mut()
}

/// Opens a service by a name that was judged. A link is followed if root or who serves owns it; one of
/// somebody else may lead to no place outside of the directory.
fn open(directory: &Directory, name: &[u8]) -> Result<Service, Errno> {
    let parent = directory.fd()?;
    let file = path(name)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = retry_on_intr(|| openat(parent, &*file, flags, Mode::empty()))?;
    let stat = fstat(&found)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened: OwnedFd = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => found,
        FileType::Symlink if is_root(stat.st_uid) || stat.st_uid == geteuid().as_raw() => {
            // That very link: another one may be in its place by now.
            let target = readlinkat(&found, c"", Vec::new())?;
            retry_on_intr(|| openat(parent, &*target, flags, Mode::empty()))?
        }
        FileType::Symlink => {
            let target = readlinkat(&found, c"", Vec::new())?;
            let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            match openat2(parent, &*target, flags, Mode::empty(), beneath) {
                // An old kernel, of which nothing is asked twice.
                Err(Errno::NOSYS) => return Err(Errno::XDEV),
                opened => opened?,
            }
        }
        _ => return Err(Errno::NOTDIR),
    };
    Ok(Service::opened(name, opened))
}

fn why_not(errno: Errno) -> Vec<u8> {
    match errno {
        Errno::XDEV => b"a link out of the directory that is not root's".to_vec(),
        errno => [b"unable to open: ".as_slice(), &super::text::errno(errno)].concat(),
    }
}

/// `sv: info: uid 1000 pid 4242: down httpd: ok` on standard error.
fn log(peer: Peer, pid: u32, word: &[u8], name: &[u8], result: &str) {
    let mut message = Message::new("sv", "info");
    message.text("uid ").number(peer.uid.0.into()).text(" pid ").number(pid.into()).text(": ");
    message.path(word).text(" ").path(name).text(": ").text(result).send();
}

/// The request without its newline. `None`: it did not come whole.
fn receive(room: &mut [u8; REQUEST_MAX]) -> Result<Option<&[u8]>, Error> {
    let until = millis() + CLIENT_MILLIS;
    let mut len = 0;
    loop {
        let Some(rest) = room.get_mut(len..).filter(|rest| !rest.is_empty()) else {
            return Ok(None);
        };
        if !is_ready(PollFlags::IN, until)? {
            return Ok(None);
        }
        let got = match retry_on_intr(|| recv(stdin(), &mut *rest, RecvFlags::DONTWAIT)) {
            Ok((_, 0)) => return Ok(None),
            Ok((_, got)) => got,
            Err(Errno::AGAIN) => continue,
            Err(errno) => return Err(Error::system("unable to read the request", errno)),
        };
        let before = len;
        len += got;
        let came = room.get(before..len).unwrap_or_default();
        if let Some(end) = came.iter().position(|byte| *byte == b'\n') {
            let line = room.get(..before + end).unwrap_or_default();
            return Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)));
        }
    }
}

fn send_all(mut text: &[u8]) -> Result<(), Error> {
    let late = || Error::system("unable to send the reply", Errno::TIMEDOUT);
    while !text.is_empty() {
        if !is_ready(PollFlags::OUT, millis() + CLIENT_MILLIS)? {
            return Err(late());
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match retry_on_intr(|| send(stdin(), text, flags)) {
            Ok(sent) => text = text.get(sent..).unwrap_or_default(),
            Err(Errno::AGAIN) => {}
            Err(errno) => return Err(Error::system("unable to send the reply", errno)),
        }
    }
    Ok(())
}

/// Whether the client's socket is ready before a time of the clock.
fn is_ready(what: PollFlags, until: u64) -> Result<bool, Error> {
    let socket = stdin();
    let mut fds = [PollFd::from_borrowed_fd(socket.as_fd(), what)];
    let timeout = time_left(until);
    match retry_on_intr(|| poll(&mut fds, timeout.as_ref())) {
        Ok(ready) => Ok(ready > 0),
        Err(errno) => Err(Error::system("unable to wait for the client", errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_and_plain_names_are_requests() {
        let status = |names: &[&'static str]| {
            Ok(Request::Status(names.iter().map(|name| name.as_bytes()).collect()))
        };
        assert_eq!(Request::parse(b"status"), status(&[]));
        assert_eq!(Request::parse(b"status  a b.c@-_1 "), status(&["a", "b.c@-_1"]));
        for good in WORDS {
            let line = format!("{good} x");
            assert!(matches!(
                Request::parse(line.as_bytes()),
                Ok(Request::Change(_, command, b"x")) if !command.is_exit()
            ));
        }
        for bad in [
            "",
            " ",
            "stat a",
            "s",
            "d a",
            "exit a",
            "x a",
            "E a",
            "X a",
            "shutdown a",
            "serve a",
            "force-shutdown a",
            "down",
            "down a b",
            "down ..",
            "down .a",
            "down a/b",
            "down /a",
            "status ..",
            "status a\tb",
            "status a\0",
            "status \u{e4}",
            "status a b/../c",
            "downx a",
        ] {
            assert!(Request::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        let long = ["status ", &"a".repeat(256)].concat();
        assert!(Request::parse(long.as_bytes()).is_err());
        assert!(Request::parse(&long.as_bytes()[..long.len() - 1]).is_ok());
    }
}
