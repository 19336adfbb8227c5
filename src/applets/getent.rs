//! getent: asks by hand.
//!
//! Follows glibc's getent: command line, output, exit codes (doc/getent.md lists what differs).
//! passwd, group, shadow and initgroups are asked through nsss, the other databases are read
//! from their files.

use super::Applet;
use crate::backend::Outcome;
use crate::options::Spec;
use crate::query::ask::sources;
use crate::query::etcdb;
use crate::query::explain;
use crate::query::names::Names;
use crate::sys::error::{Code, Error, unable};
use crate::sys::message::Message;
use crate::sys::output::{Output, push_decimal};
use nssproto::entry::{Db, Gid, Name, Uid};
use nssproto::line::LineWriter;
use nssproto::nsss::Request;
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

const USAGE: &[&str] = &["\
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
"];

/// Exit codes of glibc's getent.
mod exit {
    use super::Code;

    pub const FOUND: Code = 0;
    pub const FAILURE: Code = 1;
    pub const NOT_FOUND: Code = 2;
    pub const NO_ENUMERATION: Code = 3;
    /// EX_USAGE of sysexits.h, as argp has it.
    pub const OPTION: Code = 64;
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

/// Who answers for a database.
#[derive(Clone, Copy)]
enum Source {
    /// An nsss server or backends.
    Nsss(Db),
    /// The same, with the groups of users.
    Groups,
    /// A file in /etc.
    Etc,
    /// glibc's getent has it, and this one has not.
    Nobody,
}

/// The databases that etcdb has not.
const DATABASES: [(&str, Source); 8] = [
    ("passwd", Source::Nsss(Db::Passwd)),
    ("group", Source::Nsss(Db::Group)),
    ("shadow", Source::Nsss(Db::Shadow)),
    ("initgroups", Source::Groups),
    ("ahosts", Source::Nobody),
    ("ahostsv4", Source::Nobody),
    ("ahostsv6", Source::Nobody),
    ("netgroup", Source::Nobody),
];

fn find(database: &[u8]) -> Option<Source> {
    let own = DATABASES.iter().find(|own| own.0.as_bytes() == database).map(|own| own.1);
    own.or(etcdb::is_database(database).then_some(Source::Etc))
}

/// A command line.
#[derive(Default)]
struct Asked<'a> {
    services: Vec<&'a OsStr>,
    socket: Option<&'a OsStr>,
    explain: bool,
    version: bool,
    help: bool,
    /// The database and the keys.
    words: Vec<&'a [u8]>,
}

fn main(args: &[OsString]) -> Result<Code, Error> {
    let mut asked = Asked::default();
    parse(args, &mut asked)?;
    let mut out = Output::default();
    let code = answer(&asked, &mut out);
    let flushed = out.flush().map_err(output);
    let code = code?;
    flushed?;
    Ok(code)
}

fn answer(asked: &Asked<'_>, out: &mut Output) -> Result<Code, Error> {
    if asked.help || asked.version {
        let version = concat!("getent (nssbox ", env!("CARGO_PKG_VERSION"), ")\n");
        let text = if asked.help { USAGE } else { &[version] };
        text.iter().try_for_each(|piece| out.put(piece.as_bytes())).map_err(output)?;
        return Ok(exit::FOUND);
    }
    let Some((database, keys)) = asked.words.split_first() else {
        return Err(Error::options("wrong number of arguments").with_code(exit::FAILURE));
    };
    let wrong = match find(database) {
        Some(Source::Groups) if keys.is_empty() => return Err(no_enumeration(database)),
        Some(Source::Groups) => return groups(&mut names(database, asked)?, keys, out),
        Some(Source::Nsss(db)) => return records(db, &mut names(database, asked)?, keys, out),
        Some(Source::Etc) => return local(database, keys, out),
        Some(Source::Nobody) => Error::usage("database is not served by nssbox:"),
        None => Error::options("unknown database:"),
    };
    Err(wrong.about(OsStr::from_bytes(database)).with_code(exit::FAILURE))
}

/// Options may stand anywhere, as with glibc.
fn parse<'a>(args: &'a [OsString], asked: &mut Asked<'a>) -> Result<(), Error> {
    let mut rest = args;
    loop {
        let (given, behind) = SPEC.split(rest)?;
        while let Some(service) = given.word("-s") {
            asked.services.push(service);
        }
        asked.socket = given.word("-S").or(asked.socket);
        asked.explain |= given.flag("--explain");
        asked.version |= given.flag("-V");
        asked.help |= given.flag("-?");
        let words = if given.closed { behind.len() } else { behind.len().min(1) };
        for word in behind.iter().take(words) {
            asked.words.push(word.as_bytes());
        }
        rest = behind.get(words..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
    }
}

fn output(errno: Errno) -> Error {
    if errno == Errno::PIPE {
        // `getent passwd | head`: the reader has seen enough.
        return Error::silent(exit::FAILURE);
    }
    Error::system("unable to write to stdout", errno).with_code(exit::FAILURE)
}

fn local(database: &[u8], keys: &[&[u8]], out: &mut Output) -> Result<Code, Error> {
    let mut put = |bytes: &[u8]| out.put(bytes).and_then(|()| out.flush());
    match etcdb::answer(database, b"/etc", keys, &mut put) {
        Ok(etcdb::Outcome::Found) => Ok(exit::FOUND),
        Ok(etcdb::Outcome::NotFound) => Ok(exit::NOT_FOUND),
        Ok(etcdb::Outcome::NoEnumeration) => Err(no_enumeration(database)),
        Err(failure) => {
            let mut message = Message::new("getent", "fatal");
            message.text("unable to ").text(failure.what).text(" ").path(&failure.path);
            message.text(": ").errno(failure.error).send();
            Ok(exit::FAILURE)
        }
    }
}

fn no_enumeration(database: &[u8]) -> Error {
    let error = Error::usage("enumeration not supported on").about(OsStr::from_bytes(database));
    error.with_code(exit::NO_ENUMERATION)
}

/// Who answers for `database`: the backends of `-s`, else the server, else the local files.
fn names(database: &[u8], asked: &Asked<'_>) -> Result<Names, Error> {
    let mut list = None;
    for service in &asked.services {
        let bytes = service.as_bytes();
        // `DATABASE:LIST` is for that one alone.
        let mut rest = etcdb::Text(bytes);
        let name = rest.until(b':');
        if name.len() == bytes.len() || !name.iter().all(u8::is_ascii_lowercase) {
            list = Some(*service);
            continue;
        }
        if find(name).is_none() {
            let error = Error::usage("unknown database name:").about(OsStr::from_bytes(name));
            return Err(error.with_code(exit::FAILURE));
        }
        if name == database {
            list = Some(OsStr::from_bytes(rest.0));
        }
    }
    let (mut switch, names) = sources(list, asked.socket)?;
    if asked.explain {
        switch.observe(explain::to_stderr(names));
    }
    Ok(Names::of(switch))
}

/// passwd, group, shadow: by key, or all.
fn records(db: Db, names: &mut Names, keys: &[&[u8]], out: &mut Output) -> Result<Code, Error> {
    let mut code = exit::FOUND;
    for key in keys {
        let request = match (db, etcdb::number(key)) {
            (Db::Passwd, Some(id)) => Some(Request::ByUid(Uid(id))),
            (Db::Group, Some(id)) => Some(Request::ByGid(Gid(id))),
            _ => Name::new(key).map(|name| Request::ByName(db, name)),
        };
        let outcome = match request {
            Some(request) => print(names, db, &request, out)?,
            None => Outcome::NotFound,
        };
        if outcome != Outcome::Found {
            code = exit::NOT_FOUND;
        }
    }
    while keys.is_empty() {
        match print(names, db, &Request::Next(db), out)? {
            Outcome::Found => {}
            Outcome::Failed(errno) if !is_usual(errno) => return Ok(exit::FAILURE),
            _ => break,
        }
    }
    Ok(code)
}

/// Asks, and prints the record as a line. A failure is told.
fn print(
    names: &mut Names,
    db: Db,
    request: &Request<'_>,
    out: &mut Output,
) -> Result<Outcome, Error> {
    let outcome = names.ask(request, 0);
    if let Outcome::Failed(errno) = outcome {
        tell_failure(db, errno);
    }
    if outcome != Outcome::Found {
        return Ok(outcome);
    }
    let (mut line, mut written) = (None, Ok(()));
    let taken = names.take(db, &mut |head, area| {
        let line = line.get_or_insert_with(|| LineWriter::new(*head));
        if written.is_ok() {
            written = line.feed(area, |piece| out.put(piece));
        }
    });
    taken.map_err(broken)?;
    written.and_then(|()| out.put(b"\n")).map_err(output)?;
    Ok(outcome)
}

fn broken(errno: Errno) -> Error {
    unable("unable to read a record to its end")(errno).with_code(exit::FAILURE)
}

/// A file that is missing, or not for this user: glibc lists nothing then, and is content.
fn is_usual(errno: u8) -> bool {
    [Errno::ACCESS, Errno::NOENT].iter().any(|e| e.raw_os_error() == i32::from(errno))
}

fn tell_failure(db: Db, errno: u8) {
    let mut message = Message::warning("getent");
    message.text("unable to look up in ").text(db.name());
    message.text(": ").errno(Errno::from_raw_os_error(errno.into())).send();
}

/// Width of a name in front of its groups.
const PADDED: usize = 21;

/// initgroups: the groups that list each user, on a line. Exit 0 for unknown users, too.
fn groups(names: &mut Names, keys: &[&[u8]], out: &mut Output) -> Result<Code, Error> {
    let mut code = exit::FOUND;
    for key in keys {
        let mut gids = Vec::new();
        match Name::new(key).map(|user| names.groups(user, &mut gids)) {
            Some(Ok(false)) => return Err(broken(Errno::STALE)),
            Some(Err(errno)) => {
                tell_failure(Db::Group, errno);
                if !is_usual(errno) {
                    code = exit::FAILURE;
                    continue;
                }
            }
            Some(Ok(true)) | None => {}
        }
        let mut line = key.to_vec();
        line.resize(line.len().max(PADDED), b' ');
        // 2^32-1 stands for none, and glibc leaves it out.
        for gid in gids.into_iter().filter(|gid| *gid != u32::MAX) {
            line.push(b' ');
            push_decimal(&mut line, gid);
        }
        line.push(b'\n');
        out.put(&line).map_err(output)?;
    }
    Ok(code)
}
