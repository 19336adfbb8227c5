//! What id, groups and whoami share: whose ids, and how they are printed.

use crate::options::{Options, Spec};
use crate::query::ask::{Account, Resolver, is};
use crate::query::print::push_name;
use crate::sys::error::{Error, Exit};
use crate::sys::message::Message;
use crate::sys::output::{self, push_decimal};
use nssproto::bytes::decimal_u32;
use nssproto::entry::{Db, Name};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgid, getgroups, getuid};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// What all three understand: where to ask.
pub const SPEC: Spec = Spec {
    values: "sS",
    alias: &[("--help", b'?'), ("--version", b'V'), ("--ask", b'S')],
    ..Spec::NONE
};

/// Serves a command line, whose options may stand anywhere, as with coreutils.
pub fn main(
    spec: &Spec,
    args: &[OsString],
    run: fn(&Options<'_>) -> Result<Exit, Error>,
) -> Result<Exit, Error> {
    run(&spec.split(&spec.gather(args)?)?)
}

/// What is printed of a person.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// All, as id does by default.
    All,
    /// The user.
    User,
    /// The primary group.
    Group,
    /// All groups.
    Groups,
    /// All groups, behind the word of the command line.
    Titled,
    /// The user's name, or nothing.
    Name,
}

/// What is printed, and how.
pub struct Style {
    /// What is printed of each person.
    pub what: What,
    /// Names instead of numbers.
    pub names: bool,
    /// The real ids instead of the effective ones.
    pub real: bool,
    /// What stands between groups.
    pub separator: u8,
    /// What stands behind each person.
    pub end: &'static [u8],
}

impl Style {
    /// Names, in lines.
    pub const NAMES: Style =
        Style { what: What::Titled, names: true, real: false, separator: b' ', end: b"\n" };
}

/// Whose ids are printed.
struct Person<'a> {
    /// The word of the command line; `None`: this process.
    given: Option<&'a [u8]>,
    name: Vec<u8>,
    uid: u32,
    euid: u32,
    gid: u32,
    egid: u32,
}

impl Person<'_> {
    /// This process.
    fn ourselves() -> Self {
        Person {
            given: None,
            name: Vec::new(),
            uid: getuid().as_raw(),
            euid: geteuid().as_raw(),
            gid: getgid().as_raw(),
            egid: getegid().as_raw(),
        }
    }
}

/// Puts lines together, and remembers whether anything was missing.
struct Printer {
    program: &'static str,
    style: Style,
    resolver: Resolver,
    text: Vec<u8>,
    good: bool,
}

/// Prints each user, or this process, as the sources know them that the command line names; the
/// exit code.
pub fn print(program: &'static str, style: Style, options: &Options<'_>) -> Result<Exit, Error> {
    let (list, socket) = (options.word(b's'), options.word(b'S'));
    let resolver = Resolver::open(list, socket, false)?;
    let mut out = Printer { program, style, resolver, text: Vec::new(), good: true };
    if options.rest.is_empty() {
        out.person(&Person::ourselves());
    }
    for user in options.rest.iter().map(|user| user.as_bytes()) {
        if let Some(person) = out.find(user) {
            out.person(&person);
            continue;
        }
        out.good = false;
        let mut message = Message::warning(program);
        match out.resolver.failure {
            None => message.text("no such user: ").quoted(user),
            Some(errno) => message.text("unable to look up ").quoted(user).text(": ").errno(errno),
        };
        message.send();
    }
    output::print(&out.text)?;
    Ok(if out.good { Exit::SUCCESS } else { Exit::FAILURE })
}

impl Printer {
    /// The user of this name, or else of this number; `+` in front leaves only the number. groups
    /// knows names only.
    fn find<'a>(&mut self, given: &'a [u8]) -> Option<Person<'a>> {
        let by_number = !matches!(self.style.what, What::Titled);
        let number = given.strip_prefix(b"+").filter(|_| by_number);
        let mut found = None;
        self.resolver.failure = None;
        if number.is_none() {
            found = self.resolver.user(given);
        }
        // Whether there is such a name must be known first.
        if found.is_none() && by_number && self.resolver.failure.is_none() {
            // 4294967295 stands for nobody.
            let uid = decimal_u32(number.unwrap_or(given)).filter(|uid| *uid != u32::MAX)?;
            found = self.resolver.number(Db::Passwd, uid);
        }
        let Account { name, id, gid } = found?;
        Some(Person { given: Some(given), name, uid: id, euid: id, gid, egid: gid })
    }

    fn person(&mut self, person: &Person<'_>) {
        let Style { what, real, end, .. } = self.style;
        match what {
            What::User => self.one(Db::Passwd, if real { person.uid } else { person.euid }),
            What::Group => self.one(Db::Group, if real { person.gid } else { person.egid }),
            What::Name => {
                if !self.name(Db::Passwd, person.euid) {
                    return;
                }
            }
            What::All => {
                self.both("uid=", Db::Passwd, person.uid);
                self.both(" gid=", Db::Group, person.gid);
                if person.euid != person.uid {
                    self.both(" euid=", Db::Passwd, person.euid);
                }
                if person.egid != person.gid {
                    self.both(" egid=", Db::Group, person.egid);
                }
                self.groups(person, &[person.egid]);
            }
            What::Groups => self.groups(person, &[person.gid, person.egid]),
            What::Titled => {
                if let Some(user) = person.given {
                    self.bytes(user);
                    self.bytes(b" : ");
                }
                self.groups(person, &[person.gid, person.egid]);
            }
        }
        self.bytes(end);
    }

    /// Bytes as they are.
    fn bytes(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    /// A user (of passwd) or a group, by number or name.
    fn one(&mut self, db: Db, id: u32) {
        if !self.style.names || !self.name(db, id) {
            push_decimal(&mut self.text, id);
        }
    }

    /// The name of a user or a group; false, and told, if there is none.
    fn name(&mut self, db: Db, id: u32) -> bool {
        if let Some(account) = self.resolver.number(db, id) {
            push_name(&mut self.text, &account.name);
            return true;
        }
        self.no_name(db, id);
        false
    }

    /// Tells that a number has no name, or why that is not known.
    fn no_name(&mut self, db: Db, id: u32) {
        let what = if db == Db::Passwd { "user" } else { "group" };
        let mut message = Message::warning(self.program);
        message.text("cannot find name for ").text(what).text(" ID ").number(id.into());
        if let Some(errno) = self.resolver.failure {
            message.text(": ").errno(errno);
        }
        message.send();
        self.good = false;
    }

    /// Number and name: `uid=1(name)`.
    fn both(&mut self, label: &str, db: Db, id: u32) {
        self.bytes(label.as_bytes());
        push_decimal(&mut self.text, id);
        if let Some(account) = self.resolver.number(db, id) {
            self.bytes(b"(");
            push_name(&mut self.text, &account.name);
            self.bytes(b")");
        } else if self.resolver.failure.is_some() {
            self.no_name(db, id);
        }
    }

    /// All groups of a person, these first, each once.
    fn groups(&mut self, person: &Person<'_>, first: &[u32]) {
        let mut all = first.to_vec();
        let looked = if person.given.is_some() {
            match Name::new(&person.name).map(|name| self.resolver.groups(name, &mut all)) {
                Some(Ok(false)) => Err(Errno::STALE),
                // A missing file is an empty one.
                Some(Err(errno)) if is(errno, Errno::NOENT) => Ok(()),
                Some(Err(errno)) => Err(Errno::from_raw_os_error(errno.into())),
                _ => Ok(()),
            }
        } else {
            getgroups().map(|own| own.iter().for_each(|gid| all.push(gid.as_raw())))
        };
        if let Err(errno) = looked {
            all.truncate(first.len());
            self.good = false;
            let mut message = Message::warning(self.program);
            message.text("unable to look up groups: ").errno(errno).send();
        }
        for (at, gid) in all.iter().enumerate() {
            if all.get(..at).is_some_and(|before| before.contains(gid)) {
                continue;
            }
            if self.style.what == What::All {
                self.both(if at == 0 { " groups=" } else { "," }, Db::Group, *gid);
                continue;
            }
            if at > 0 {
                self.text.push(self.style.separator);
            }
            self.one(Db::Group, *gid);
        }
    }
}
