//! What id, groups and whoami share: whose ids, and how they are printed.

use crate::backend::names::{Known, Names};
use crate::sys::error::Error;
use crate::sys::message::Message;
use crate::sys::output;
use nssproto::bytes::{DECIMAL_MAX, decimal_u32, write_decimal};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgid, getgroups, getuid};

/// Exit code for a name that was not found.
pub const FAILURE: u8 = 1;

/// Options with a value: where to ask.
pub const SOURCE: &str = "sS";

/// Whose ids are printed.
pub struct Person {
    /// The name; `None`: this process.
    name: Option<Vec<u8>>,
    /// Real user.
    pub uid: u32,
    /// Effective user.
    pub euid: u32,
    /// Real group.
    pub gid: u32,
    /// Effective group.
    pub egid: u32,
}

/// The user of this name, or else of this number; `+` in front leaves only the number.
pub fn person(known: &mut Names, text: &[u8]) -> Option<Person> {
    let (name, number) = match text.strip_prefix(b"+") {
        Some(digits) => (None, decimal_u32(digits)),
        None => (known.user(text).ok().flatten(), decimal_u32(text)),
    };
    let found = match (name, number) {
        (Some(found), _) => found,
        (None, Some(uid)) => known.uid(uid).ok().flatten()?,
        (None, None) => return None,
    };
    let Known { name, id, gid } = found;
    Some(Person { name: Some(name), uid: id, euid: id, gid, egid: gid })
}

impl Person {
    /// This process.
    pub fn ourselves() -> Self {
        Person {
            name: None,
            uid: getuid().as_raw(),
            euid: geteuid().as_raw(),
            gid: getgid().as_raw(),
            egid: getegid().as_raw(),
        }
    }

    /// All groups, the primary one first, each once.
    pub fn groups(&self, known: &mut Names, out: &mut Printer) -> Vec<u32> {
        let list = match &self.name {
            Some(name) => known.groups(name, self.gid),
            None => getgroups().map(|list| list.iter().map(|gid| gid.as_raw()).collect()),
        };
        let list = list.unwrap_or_else(|errno| {
            out.failed("unable to look up groups", errno);
            Vec::new()
        });
        let mut all = vec![self.egid];
        for gid in list {
            if !all.contains(&gid) {
                all.push(gid);
            }
        }
        all
    }
}

/// Puts a line together, and remembers whether anything was missing.
pub struct Printer {
    program: &'static str,
    names: bool,
    separator: u8,
    text: Vec<u8>,
    good: bool,
}

impl Printer {
    /// `names` instead of numbers.
    pub fn new(program: &'static str, names: bool, separator: u8) -> Self {
        Printer { program, names, separator, text: Vec::new(), good: true }
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    /// A byte as it is.
    pub fn byte(&mut self, byte: u8) {
        self.text.push(byte);
    }

    fn number(&mut self, number: u32) {
        self.bytes(write_decimal(number.into(), &mut [0; DECIMAL_MAX]));
    }

    /// A user, by number or name.
    pub fn user(&mut self, known: &mut Names, uid: u32) {
        if !self.names || !self.name_of_user(known, uid) {
            self.number(uid);
        }
    }

    /// A user's name; false, and told, if there is none.
    pub fn name_of_user(&mut self, known: &mut Names, uid: u32) -> bool {
        let found = known.uid(uid);
        self.name("cannot find name for user ID ", uid, found)
    }

    /// A group, by number or name.
    pub fn group(&mut self, known: &mut Names, gid: u32) {
        if !self.names {
            return self.number(gid);
        }
        let found = known.gid(gid);
        if !self.name("cannot find name for group ID ", gid, found) {
            self.number(gid);
        }
    }

    fn name(&mut self, what: &str, id: u32, found: Result<Option<Known>, Errno>) -> bool {
        match found {
            Ok(Some(known)) => {
                self.bytes(&known.name);
                return true;
            }
            Ok(None) => {
                Message::new(self.program, "warning").text(what).number(id.into()).send();
            }
            Err(errno) => {
                let mut message = Message::new(self.program, "warning");
                message.text(what).number(id.into());
                message.text(": ").errno(errno).send();
            }
        }
        self.good = false;
        false
    }

    /// Number and name: `uid=1(name)`.
    pub fn both(&mut self, label: &str, id: u32, found: Result<Option<Known>, Errno>) {
        self.bytes(label.as_bytes());
        self.number(id);
        if let Ok(Some(known)) = found {
            self.byte(b'(');
            self.bytes(&known.name);
            self.byte(b')');
        }
    }

    /// All groups of a person, the real one first.
    pub fn groups(&mut self, known: &mut Names, person: &Person) {
        let mut all = vec![person.gid];
        let more = person.groups(known, self);
        all.extend(more.into_iter().filter(|gid| *gid != person.gid));
        for (at, gid) in all.into_iter().enumerate() {
            if at > 0 {
                self.byte(self.separator);
            }
            self.group(known, gid);
        }
    }

    /// Tells that there is no such user.
    pub fn nobody(&mut self, user: &[u8]) {
        self.good = false;
        Message::new(self.program, "warning").text("no such user: ").quoted(user).send();
    }

    fn failed(&mut self, what: &str, errno: Errno) {
        self.good = false;
        Message::new(self.program, "warning").text(what).text(": ").errno(errno).send();
    }

    /// Writes it out; the exit code.
    pub fn finish(self) -> Result<u8, Error> {
        let fail = |e| Error::system("unable to write to stdout", e).with_code(FAILURE);
        output::print(&self.text).map_err(fail)?;
        Ok(if self.good { 0 } else { FAILURE })
    }
}
