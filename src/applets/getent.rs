//! getent: asks by hand.
//!
//! Follows glibc's getent: command line, output, exit codes (doc/getent.md lists what differs).
//! passwd, group, shadow and initgroups are asked through nsss, the other databases are read
//! from their files.

use super::Applet;
use crate::backend::gids::{HASH_START, hash};
use crate::backend::reach::sources;
use crate::backend::switch::Switch;
use crate::backend::{Client, Outcome};
use crate::etcdb;
use crate::options::Spec;
use crate::sys::access::Asker;
use crate::sys::error::{Error, unable};
use crate::sys::message::Message;
use crate::sys::output::Output;
use nssproto::bytes::{DECIMAL_MAX, decimal_u32, decimal_u64, write_decimal};
use nssproto::entry::{Db, Gid, Name, Uid};
use nssproto::line::{self, FromArea};
use nssproto::nsss::Request;
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

const USAGE: &[&str] = &[
    "\
Usage: getent [-s LIST] [-S SOCKET] [-i] [--explain] DATABASE [KEY...]

Prints what is known of each KEY, or all there is. DATABASE is one of
  passwd group shadow initgroups: from the nsss server, or without one from /etc
  gshadow services protocols rpc networks ethers aliases hosts: from the files
  in /etc (hosts: no DNS)

  -S SOCKET  ask this nsss server (/run/service/nsssd/s)
  -s LIST    ask no server but these backends: nssbox's own, without nsssd-,
             separated by semicolons, each behind a bitfield if it may end the
             search (see nsssd-switch); files means unix, ldap nslcd. Example:
             -s '3 unix -d /data/etc; unix'
  -s DATABASE:LIST
             the same for one database
  -i, -A     accepted and ignored
  --explain  tell on standard error what each backend said, and how fast

Exit codes: 0 found, 1 wrong usage, 2 a key was not found, 3 this database
cannot be listed, 64 unknown option.
",
];

/// Exit codes of glibc's getent.
mod exit {
    pub const FOUND: u8 = 0;
    pub const FAILURE: u8 = 1;
    pub const NOT_FOUND: u8 = 2;
    pub const NO_ENUMERATION: u8 = 3;
    /// EX_USAGE of sysexits.h, as argp has it.
    pub const OPTION: u8 = 64;
}

/// The row of the table.
pub const APPLET: Applet =
    Applet { name: "getent", short: "getent", usage: USAGE, usage_code: exit::OPTION, main };

const SPEC: Spec = Spec {
    flags: "iAV?",
    values: "sS",
    repeat: "s",
    long: &["--explain"],
    alias: &[
        ("--service", 's'),
        ("--no-idn", 'i'),
        ("--no-addrconfig", 'A'),
        ("--version", 'V'),
        ("--help", '?'),
        ("--usage", '?'),
    ],
    ..Spec::NONE
};

/// Databases that glibc's getent has and this one does not.
const UNSERVED: [&str; 4] = ["ahosts", "ahostsv4", "ahostsv6", "netgroup"];

#[derive(Default)]
struct Options<'a> {
    services: Vec<&'a OsStr>,
    socket: Option<&'a OsStr>,
    explain: bool,
    version: bool,
    help: bool,
}

fn main(args: &[OsString]) -> Result<u8, Error> {
    let (options, words) = parse(args)?;
    let mut out = Output::default();
    if options.help || options.version {
        let version = concat!("getent (nssbox ", env!("CARGO_PKG_VERSION"), ")\n");
        let text = if options.help { USAGE } else { &[version] };
        text.iter().try_for_each(|piece| out.put(piece.as_bytes())).map_err(output)?;
        out.flush().map_err(output)?;
        return Ok(exit::FOUND);
    }
    let Some((database, keys)) = words.split_first() else {
        return Err(Error::options("wrong number of arguments").with_code(exit::FAILURE));
    };
    let database = database.to_str().unwrap_or_default();
    let code = match database {
        "passwd" => records(Db::Passwd, &options, keys, &mut out),
        "group" => records(Db::Group, &options, keys, &mut out),
        "shadow" => records(Db::Shadow, &options, keys, &mut out),
        "initgroups" => groups(&options, keys, &mut out),
        _ if UNSERVED.contains(&database) => Err(Error::usage("database is not served by nssbox:")
            .about(database)
            .with_code(exit::FAILURE)),
        _ if etcdb::is_database(database) => local(database, keys, &mut out),
        _ => Err(Error::options("unknown database:").about(database).with_code(exit::FAILURE)),
    };
    let flushed = out.flush().map_err(output);
    let code = code?;
    flushed?;
    Ok(code)
}

/// Options may stand anywhere, as with glibc.
fn parse(args: &[OsString]) -> Result<(Options<'_>, Vec<OsString>), Error> {
    let (mut options, mut words) = (Options::default(), Vec::new());
    let mut rest = args;
    loop {
        let (mut given, behind) = SPEC.split(rest)?;
        while let Some(service) = given.word("-s") {
            options.services.push(service);
        }
        options.socket = given.word("-S").or(options.socket);
        options.explain |= given.flag("--explain");
        options.version |= given.flag("-V");
        options.help |= given.flag("-?");
        if given.closed {
            words.extend_from_slice(behind);
            return Ok((options, words));
        }
        let Some((word, behind)) = behind.split_first() else { return Ok((options, words)) };
        words.push(word.clone());
        rest = behind;
    }
}

fn output(errno: Errno) -> Error {
    if errno == Errno::PIPE {
        // `getent passwd | head`: the reader has seen enough.
        return Error::silent(exit::FAILURE);
    }
    Error::system("unable to write to stdout", errno).with_code(exit::FAILURE)
}

fn local(database: &str, keys: &[OsString], out: &mut Output) -> Result<u8, Error> {
    let mut put = |bytes: &[u8]| out.put(bytes).and_then(|()| out.flush());
    match etcdb::answer(database, b"/etc", keys, &mut put) {
        Ok(etcdb::Outcome::Found) => Ok(exit::FOUND),
        Ok(etcdb::Outcome::NotFound) => Ok(exit::NOT_FOUND),
        Ok(etcdb::Outcome::NoEnumeration) => Ok(no_enumeration(database)),
        Err(failure) => {
            let what = match failure.what {
                "open" => "unable to open",
                "read" => "unable to read",
                _ => "unable to write to",
            };
            let error = Error::system(what, failure.error).with_code(exit::FAILURE);
            Err(error.about(OsStr::from_bytes(&failure.path)))
        }
    }
}

fn no_enumeration(database: &str) -> u8 {
    let mut message = Message::new("getent", "fatal");
    message.text("enumeration not supported on ");
    message.text(database).send();
    exit::NO_ENUMERATION
}

/// Who answers for `database`: the backends of `-s`, else the server, else the local files.
fn source(database: &str, options: &Options<'_>) -> Result<Switch, Error> {
    let mut list = None;
    for service in &options.services {
        match limited(service)? {
            Some((only, rest)) if only == database => list = Some(rest),
            Some(_) => {}
            None => list = Some(*service),
        }
    }
    let (mut switch, names) = sources(list, options.socket)?;
    if options.explain {
        switch.explain(names);
    }
    Ok(switch)
}

/// `DATABASE:LIST`, if the text begins so.
fn limited(service: &OsStr) -> Result<Option<(&str, &OsStr)>, Error> {
    let mut parts = service.as_bytes().splitn(2, |b| *b == b':');
    let (Some(name), Some(list)) = (parts.next(), parts.next()) else { return Ok(None) };
    if !name.iter().all(u8::is_ascii_lowercase) {
        return Ok(None);
    }
    let name = std::str::from_utf8(name).unwrap_or_default();
    let known = ["passwd", "group", "shadow", "initgroups"].contains(&name);
    if !known && !etcdb::is_database(name) && !UNSERVED.contains(&name) {
        return Err(Error::usage("unknown database name:").about(name).with_code(exit::FAILURE));
    }
    Ok(Some((name, OsStr::from_bytes(list))))
}

/// passwd, group, shadow: by key, or all.
fn records(
    db: Db,
    options: &Options<'_>,
    keys: &[OsString],
    out: &mut Output,
) -> Result<u8, Error> {
    let mut switch = source(db.name(), options)?;
    let mut client = Client::new(Asker::Ourselves, 0);
    switch.admit(&mut client);
    if keys.is_empty() {
        let ended = loop {
            match print_answer(&mut switch, &mut client, &Request::Next(db), out)? {
                Answer::Printed => {}
                ended => break ended,
            }
        };
        return Ok(match ended {
            Answer::Failed(errno) if !is_usual(errno) => exit::FAILURE,
            _ => exit::FOUND,
        });
    }
    let mut code = exit::FOUND;
    for key in keys {
        let request = match (db, id(key)) {
            (Db::Passwd, Some(id)) => Some(Request::ByUid(Uid(id))),
            (Db::Group, Some(id)) => Some(Request::ByGid(Gid(id))),
            _ => Name::new(key.as_bytes()).map(|name| Request::ByName(db, name)),
        };
        let found = match request {
            Some(request) => print_answer(&mut switch, &mut client, &request, out)?,
            None => Answer::None,
        };
        if found != Answer::Printed {
            code = exit::NOT_FOUND;
        }
    }
    Ok(code)
}

/// What strtoul(3) takes for a number, and fits an id: blanks and a sign in front are fine.
fn id(key: &OsStr) -> Option<u32> {
    let is_space = |b: &u8| b.is_ascii_whitespace() || *b == 0x0b;
    let text = key.as_bytes();
    let start = text.iter().position(|b| !is_space(b))?;
    let text = text.get(start..)?;
    match text.split_first()? {
        (b'+', digits) => decimal_u32(digits),
        // Of the negative numbers only this one is an id.
        (b'-', digits) => decimal_u64(digits).filter(|n| *n == 0).map(|_| 0),
        _ => decimal_u32(text),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Printed,
    None,
    /// With this status; it was told.
    Failed(u8),
}

/// Asks, and prints the record as a line.
fn print_answer(
    switch: &mut Switch,
    client: &mut Client,
    request: &Request<'_>,
    out: &mut Output,
) -> Result<Answer, Error> {
    client.begin();
    client.turn = u64::MAX;
    match switch.ask(client, request, 0) {
        Outcome::Found => {}
        Outcome::Failed(errno) => {
            tell_failure(request, errno);
            return Ok(Answer::Failed(errno));
        }
        _ => return Ok(Answer::None),
    }
    if let Some(record) = switch.record(client) {
        line::write(&record, |piece| out.put(piece)).map_err(output)?;
        switch.taken(client);
    } else {
        let head = switch.long(client).ok_or_else(|| broken(Errno::IO))?;
        let mut text = FromArea::new(head);
        let (mut room, mut ended) = ([0; 4096], false);
        while !ended {
            let (len, last) = switch.area(client, &mut room).map_err(broken)?;
            let area = room.get(..len).unwrap_or_default();
            text.feed(area, |piece| out.put(piece)).map_err(output)?;
            ended = last;
        }
    }
    out.put(b"\n").map_err(output)?;
    Ok(Answer::Printed)
}

fn broken(errno: Errno) -> Error {
    unable("unable to read a record to its end")(errno).with_code(exit::FAILURE)
}

/// A file that is missing, or not for this user: glibc lists nothing then, and is content.
fn is_usual(errno: u8) -> bool {
    [Errno::ACCESS, Errno::NOENT].iter().any(|e| e.raw_os_error() == i32::from(errno))
}

fn tell_failure(request: &Request<'_>, errno: u8) {
    let database = request.db().map_or("", Db::name);
    let mut message = Message::new("getent", "warning");
    message.text("unable to look up in ").text(database);
    message.text(": ").errno(Errno::from_raw_os_error(errno.into())).send();
}

/// initgroups: the groups that list each user, on a line. Exit 0 for unknown users, too.
fn groups(options: &Options<'_>, keys: &[OsString], out: &mut Output) -> Result<u8, Error> {
    if keys.is_empty() {
        return Ok(no_enumeration("initgroups"));
    }
    let mut switch = source("initgroups", options)?;
    let mut client = Client::new(Asker::Ourselves, 0);
    switch.admit(&mut client);
    let mut code = exit::FOUND;
    for key in keys {
        let padding = [b' '; PADDED];
        let padding = padding.get(key.len().min(PADDED)..).unwrap_or_default();
        let mut line = [key.as_bytes(), padding].concat();
        if let Some(user) = Name::new(key.as_bytes()) {
            if !add_groups(&mut switch, &mut client, user, &mut line)? {
                code = exit::FAILURE;
                continue;
            }
        }
        line.push(b'\n');
        out.put(&line).map_err(output)?;
    }
    Ok(code)
}

/// Width of a name in front of its groups.
const PADDED: usize = 21;

/// Adds the groups of `user` to `line`; false after a failure, which is told.
fn add_groups(
    switch: &mut Switch,
    client: &mut Client,
    user: Name<'_>,
    line: &mut Vec<u8>,
) -> Result<bool, Error> {
    let request = Request::GroupList { max: u64::MAX, user };
    let (mut sent, mut total, mut sent_hash) = (0, None, HASH_START);
    while total.is_none_or(|total| sent < total) {
        client.begin();
        client.turn = u64::MAX;
        match switch.ask(client, &request, sent) {
            Outcome::Groups => {}
            Outcome::Failed(errno) => {
                tell_failure(&request, errno);
                return Ok(is_usual(errno));
            }
            _ => return Ok(true),
        }
        let (gids, passed) = switch.gids().after_skipped();
        let now = switch.gids().total();
        let same = passed == sent_hash && total.is_none_or(|total| total == now);
        if !same || (gids.is_empty() && sent < now) {
            return Err(broken(Errno::STALE));
        }
        total = Some(now);
        sent_hash = hash(sent_hash, gids);
        // 2^32-1 stands for none, and glibc leaves it out.
        for gid in gids.iter().filter(|gid| **gid != u32::MAX) {
            line.push(b' ');
            line.extend_from_slice(write_decimal(u64::from(*gid), &mut [0; DECIMAL_MAX]));
        }
        sent += gids.len() as u64;
        switch.taken(client);
    }
    Ok(true)
}
