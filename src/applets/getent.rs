//! getent: asks by hand.
//!
//! Follows glibc's getent: command line, output, exit codes (doc/getent.md lists what differs).
//! passwd, group, shadow and initgroups are asked through nsss, the other databases are read
//! from their files.

use crate::backend::Outcome;
use crate::options::{Options, Spec};
use crate::query::ask::{Resolver, is};
use crate::query::etcdb;
use crate::query::explain;
use crate::query::print::{self, Printed};
use crate::sys::error::{Error, Exit};
use crate::sys::message::Message;
use crate::sys::output::{self, Output};
use nssproto::entry::{Db, Gid, Name, Uid};
use nssproto::nsss::Request;
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// What `--help` prints.
pub const USAGE: &[&str] = &[
    "\
Usage: getent [-s LIST] [-S SOCKET] [OPTION]... DATABASE [KEY...]

Prints what is known of each KEY, or all there is. DATABASE is one of
  passwd group shadow initgroups: from the nsss server, or without one from /etc
",
    ETC,
    "
  -S, --ask SOCKET  ask this nsss server (/run/service/nsssd/s)
  -s LIST    ask no server but these backends: nssbox's own, without nsssd-,
             separated by semicolons, each behind a bitfield if it may end the
             search (see nsssd-switch); files means unix, ldap nslcd. Example:
             -s '3 unix -d /data/etc; unix'
  -s DATABASE:LIST
             the same for one database
  -i, -A     accepted and ignored
",
    EXPLAIN,
    "
Exit codes: 0 found, 1 wrong usage, 2 a key was not found, 3 this database
cannot be listed, 64 unknown option.
",
];

const ETC: &str = if etcdb::IS_READ {
    "  gshadow services protocols rpc networks ethers aliases hosts: from the files
  in /etc (hosts: no DNS)\n"
} else {
    ""
};

const EXPLAIN: &str = if explain::TELLS {
    "  --explain  tell on standard error what each backend said, and how fast\n"
} else {
    ""
};

/// Exit codes of glibc's getent.
mod exit {
    use super::Exit;

    pub const FOUND: Exit = Exit::SUCCESS;
    pub const FAILURE: Exit = Exit::FAILURE;
    pub const NOT_FOUND: Exit = Exit::new(2);
    pub const NO_ENUMERATION: Exit = Exit::new(3);
}

const SPEC: Spec = Spec {
    flags: "iAX",
    values: "sS",
    alias: &[
        ("--service", b's'),
        ("--ask", b'S'),
        ("--explain", b'X'),
        ("--no-idn", b'i'),
        ("--no-addrconfig", b'A'),
        ("--version", b'V'),
        ("--help", b'?'),
        ("--usage", b'?'),
    ],
    ..Spec::NONE
};

/// Who answers for a database.
#[derive(Clone, Copy)]
enum Provider {
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
const DATABASES: [(&str, Provider); 8] = [
    ("passwd", Provider::Nsss(Db::Passwd)),
    ("group", Provider::Nsss(Db::Group)),
    ("shadow", Provider::Nsss(Db::Shadow)),
    ("initgroups", Provider::Groups),
    ("ahosts", Provider::Nobody),
    ("ahostsv4", Provider::Nobody),
    ("ahostsv6", Provider::Nobody),
    ("netgroup", Provider::Nobody),
];

fn find(database: &[u8]) -> Option<Provider> {
    let own = DATABASES.iter().find(|own| own.0.as_bytes() == database).map(|own| own.1);
    own.or(etcdb::is_database(database).then_some(Provider::Etc))
}

/// Does the work. Options may stand anywhere, as with glibc.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    let args = SPEC.gather(args)?;
    let options = SPEC.split(&args)?;
    let mut out = Output::default();
    let code = answer(&options, &mut out);
    let flushed = out.flush();
    let code = code?;
    flushed?;
    Ok(code)
}

fn answer(options: &Options<'_>, out: &mut Output) -> Result<Exit, Error> {
    let words: Vec<&[u8]> = options.rest.iter().map(|word| word.as_bytes()).collect();
    let Some((database, keys)) = words.split_first() else {
        return Err(Error::options("wrong number of arguments").with_exit(exit::FAILURE));
    };
    let wrong = match find(database) {
        Some(Provider::Groups) if keys.is_empty() => return Err(no_enumeration(database)),
        Some(Provider::Groups) => return groups(resolver(database, options)?, keys, out),
        Some(Provider::Nsss(db)) => return records(db, resolver(database, options)?, keys, out),
        Some(Provider::Etc) if etcdb::IS_READ => {
            only_files(list_of(database, options)?)?;
            return local(database, keys);
        }
        Some(Provider::Etc) => Error::usage("this build has no database"),
        Some(Provider::Nobody) => Error::usage("database is not served by nssbox:"),
        None => Error::options("unknown database:"),
    };
    Err(wrong.about(OsStr::from_bytes(database)).with_exit(exit::FAILURE))
}

fn local(database: &[u8], keys: &[&[u8]]) -> Result<Exit, Error> {
    match etcdb::answer(database, b"/etc", keys, &mut output::print)? {
        etcdb::Status::Found => Ok(exit::FOUND),
        etcdb::Status::NotFound => Ok(exit::NOT_FOUND),
        etcdb::Status::NoEnumeration => Err(no_enumeration(database)),
    }
}

fn no_enumeration(database: &[u8]) -> Error {
    let error = Error::usage("enumeration not supported on").about(OsStr::from_bytes(database));
    error.with_exit(exit::NO_ENUMERATION)
}

/// The service list for `database` on the command line.
fn list_of<'a>(database: &[u8], options: &Options<'a>) -> Result<Option<&'a OsStr>, Error> {
    let mut list = None;
    for service in options.words(b's') {
        let bytes = service.as_bytes();
        // `DATABASE:LIST` is for that one alone.
        let mut rest = etcdb::Text(bytes);
        let name = rest.until(b':');
        if name.len() == bytes.len() || !name.iter().all(u8::is_ascii_lowercase) {
            list = Some(service);
            continue;
        }
        if find(name).is_none() {
            let error = Error::usage("unknown database name:").about(OsStr::from_bytes(name));
            return Err(error.with_exit(exit::FAILURE));
        }
        if name == database {
            list = Some(OsStr::from_bytes(rest.0));
        }
    }
    Ok(list)
}

/// The databases of /etc have their files, and no other service is asked for them.
fn only_files(list: Option<&OsStr>) -> Result<(), Error> {
    let Some(list) = list else { return Ok(()) };
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || *byte == b';';
    let mut words = list.as_bytes().split(is_end);
    if words.any(|word| word == b"files" || word == b"unix") {
        return Ok(());
    }
    let error = Error::usage("no service for this database but files:").about(list);
    Err(error.with_exit(exit::FAILURE))
}

/// Who answers for `database`: the backends of `-s`, else the machine's own sources.
fn resolver(database: &[u8], options: &Options<'_>) -> Result<Resolver, Error> {
    let explains = options.flag(b'X');
    if explains && !explain::TELLS {
        return Err(Error::lacking("--explain").with_exit(exit::FAILURE));
    }
    Resolver::open(list_of(database, options)?, options.word(b'S'), explains)
}

/// passwd, group, shadow: by key, or all.
fn records(
    db: Db,
    mut resolver: Resolver,
    keys: &[&[u8]],
    out: &mut Output,
) -> Result<Exit, Error> {
    let mut exit = exit::FOUND;
    for key in keys {
        let request = match (db, etcdb::number(key)) {
            (Db::Passwd, Some(id)) => Some(Request::ByUid(Uid(id))),
            (Db::Group, Some(id)) => Some(Request::ByGid(Gid(id))),
            _ => Name::new(key).map(|name| Request::ByName(db, name)),
        };
        let outcome = match request {
            Some(request) => record(&mut resolver, db, &request, out)?,
            None => Outcome::NotFound,
        };
        if outcome != Outcome::Found {
            exit = exit::NOT_FOUND;
        }
    }
    while keys.is_empty() {
        match record(&mut resolver, db, &Request::Next(db), out)? {
            Outcome::Found => {}
            Outcome::Failed(errno) if !is_usual(errno) => return Ok(exit::FAILURE),
            _ => break,
        }
    }
    Ok(exit)
}

/// Asks, and prints the record that is found. A failure is told.
fn record(
    resolver: &mut Resolver,
    db: Db,
    request: &Request<'_>,
    out: &mut Output,
) -> Result<Outcome, Error> {
    let outcome = match print::record(resolver, request, out)? {
        Printed::Answered(outcome) => outcome,
        Printed::Refused => {
            // As with glibc, it is found all the same.
            let mut message = Message::warning("getent");
            message.text("an entry of ").text(db.name());
            message.text(" has fields that would make another line: not printed").send();
            Outcome::Found
        }
    };
    if let Outcome::Failed(errno) = outcome {
        warn_of_failure(db, errno);
    }
    Ok(outcome)
}

/// A file that is missing, or not for this user: glibc lists nothing then, and is content.
fn is_usual(errno: u8) -> bool {
    is(errno, Errno::ACCESS) || is(errno, Errno::NOENT)
}

fn warn_of_failure(db: Db, errno: u8) {
    let mut message = Message::warning("getent");
    message.text("unable to look up in ").text(db.name());
    message.text(": ").errno(Errno::from_raw_os_error(errno.into())).send();
}

/// initgroups: the groups that list each user. Exit 0 for unknown users, too.
fn groups(mut resolver: Resolver, keys: &[&[u8]], out: &mut Output) -> Result<Exit, Error> {
    let mut exit = exit::FOUND;
    for key in keys {
        let mut gids = Vec::new();
        match Name::new(key).map(|user| resolver.groups(user, &mut gids)) {
            Some(Ok(false)) => return Err(print::broken(Errno::STALE)),
            Some(Err(errno)) => {
                warn_of_failure(Db::Group, errno);
                if !is_usual(errno) {
                    exit = exit::FAILURE;
                    continue;
                }
            }
            Some(Ok(true)) | None => {}
        }
        print::groups(key, &gids, out)?;
    }
    Ok(exit)
}
