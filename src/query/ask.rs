//! What programs that are run by hand ask, in the order of doc/one-answer.md: a server, or backends
//! in this process. They may allocate.

use super::nscd::{self, Nscd, Said};
use super::{explain, list};
use crate::backend::child::Child;
use crate::backend::gids::{HASH_START, hash};
use crate::backend::switch::{Answer, ClientState, Report, Switch};
use crate::backend::{Backend, Outcome};
use crate::limits::{ACCOUNT_NAME, ANSWER_MILLIS, USER_GROUPS, WHOLE_ANSWER_MILLIS, WINDOW};
use crate::sys::access::Rights;
use crate::sys::clock::{micros, millis};
use crate::sys::error::{Error, Exit};
use nssproto::entry::{Db, Gid, Name, Record, Uid};
use nssproto::line::Rules;
use nssproto::nscd::SOCKET as NSCD_SOCKET;
use nssproto::nsss::{Head, Request};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Where the server of an nsss system listens, fixed when nsss is built.
const SOCKET: &str = "/run/service/nsssd/s";

/// Asks one question after the other, and keeps what was said.
pub struct Resolver {
    /// Asked first, by key.
    nscd: Option<Nscd>,
    /// What is asked then; `None`: what the machine has without servers, not opened yet.
    switch: Option<(Box<Switch>, ClientState)>,
    server: Server,
    explains: bool,
    /// Why the last account is not known, if that is a failure.
    pub failure: Option<Errno>,
}

/// Whether the switch is a connection to a server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    /// It is not, and nobody is missed.
    None,
    /// That of the command line.
    Named,
    /// The usual one: if it closes without a word, the files are asked.
    Usual,
    /// One has closed, so that others may know more.
    Gone,
}

/// What is known of a user or a group.
pub struct Account {
    /// Its name.
    pub name: Vec<u8>,
    /// Its uid or gid.
    pub id: u32,
    /// A user's primary group; a group's own number.
    pub gid: u32,
}

/// A record that was found, or a piece of it.
pub enum Found<'a> {
    /// All of it.
    Whole(&'a Record<'a>),
    /// The next bytes of its strings, behind a head that is always the same.
    Part(&'a Head, &'a [u8]),
}

/// Takes what was found; false: no more of it is wanted.
pub type Put<'a> = &'a mut dyn FnMut(Found<'_>) -> bool;

impl Resolver {
    /// Asks the backends of `list`, else the server at `socket`, else the usual server, else nscd and
    /// the machine's own sources. `explains`: what each of them says is told on standard error.
    /// Errors exit 1.
    pub fn open(
        list: Option<&OsStr>,
        socket: Option<&OsStr>,
        explains: bool,
    ) -> Result<Self, Error> {
        let mut new =
            Resolver { nscd: None, switch: None, server: Server::None, explains, failure: None };
        if let Some(list) = list {
            new.use_switch(list::backends(list)?);
            return Ok(new);
        }
        let path = socket.unwrap_or(OsStr::new(SOCKET));
        match Child::connect_within(path, ANSWER_MILLIS) {
            Ok(server) => {
                let switch = Switch::of(Backend::Child(server));
                new.use_switch((switch, vec![path.as_bytes().to_vec()]));
                new.server = if socket.is_some() { Server::Named } else { Server::Usual };
            }
            // One that is silent is not one that is missing.
            Err(errno) if socket.is_some() || errno == Errno::TIMEDOUT => {
                let error = Error::system("unable to connect to", errno);
                return Err(error.about(path).with_exit(Exit::FAILURE));
            }
            Err(_) => new.nscd = Some(Nscd::default()),
        }
        Ok(new)
    }

    fn use_switch(&mut self, (mut switch, names): (Box<Switch>, Vec<Vec<u8>>)) {
        if explain::TELLS && self.explains {
            switch.observe(explain::to_stderr(names));
        }
        let mut client = switch.new_client(Rights::Own, 0);
        client.rules = Rules::Glibc;
        // Nobody else waits.
        client.budget = u64::MAX;
        self.switch = Some((switch, client));
    }

    /// Whether answers come from this machine's files or its nscd, and not from a server or from LDAP.
    pub fn is_local(&mut self) -> bool {
        let Some((switch, _)) = &mut self.switch else { return true };
        !switch.slots().iter().any(|slot| slot.backend.may_block() || slot.backend.asks_others())
    }

    /// The user of this name.
    pub fn user(&mut self, name: &[u8]) -> Option<Account> {
        self.account(&Request::ByName(Db::Passwd, Name::new(name)?))
    }

    /// The user (of passwd) or the group of this number.
    pub fn number(&mut self, db: Db, id: u32) -> Option<Account> {
        let by_uid = db == Db::Passwd;
        self.account(&if by_uid { Request::ByUid(Uid(id)) } else { Request::ByGid(Gid(id)) })
    }

    /// The group of this name.
    #[cfg(feature = "sv")]
    pub fn group(&mut self, name: &[u8]) -> Option<Account> {
        self.account(&Request::ByName(Db::Group, Name::new(name)?))
    }

    fn account(&mut self, request: &Request<'_>) -> Option<Account> {
        let (mut account, mut named) = (Account { name: Vec::new(), id: 0, gid: 0 }, false);
        let outcome = self.ask(request, &mut |found| {
            let head = match found {
                Found::Whole(record) => {
                    account.name.extend_from_slice(record.name());
                    Head::of(record, 0)
                }
                Found::Part(head, strings) => {
                    // The name comes first.
                    if !named {
                        let end = strings.iter().position(|byte| *byte == 0);
                        let name = strings.get(..end.unwrap_or(strings.len())).unwrap_or_default();
                        account.name.extend_from_slice(name);
                        named = end.is_some();
                    }
                    *head
                }
            };
            (account.id, account.gid) = match head {
                Head::Passwd { uid, gid, .. } => (uid.0, gid.0),
                Head::Group { gid, .. } => (gid.0, gid.0),
                Head::Shadow { .. } => (0, 0),
            };
            account.name.len() <= ACCOUNT_NAME
        });
        self.failure = match outcome {
            // A missing file is an empty one.
            Ok(Outcome::Failed(errno)) if is(errno, Errno::NOENT) => None,
            Ok(Outcome::Failed(errno)) => Some(Errno::from_raw_os_error(errno.into())),
            Err(errno) => Some(errno),
            Ok(_) => None,
        };
        matches!(outcome, Ok(Outcome::Found)).then_some(account)
    }

    /// Asks for a record, and gives what is found to `put`: all of it at once, or piece by piece. An
    /// error means that not all of it could be taken.
    pub fn ask(&mut self, request: &Request<'_>, put: Put<'_>) -> Result<Outcome, Errno> {
        let mut closed = false;
        if let (Some(nscd), Some(question)) = (&mut self.nscd, nscd::question(request)) {
            let start = micros();
            let outcome = match nscd.ask(&question) {
                Said::Found(record) => {
                    put(Found::Whole(&record));
                    Some(Outcome::Found)
                }
                Said::NotFound => Some(Outcome::NotFound),
                Said::Failed(errno) => Some(Outcome::failed(errno)),
                Said::Closed => {
                    closed = true;
                    None
                }
                Said::Unserved | Said::Groups(_) => None,
            };
            self.explain_nscd(start, outcome.unwrap_or(Outcome::Dead));
            if let Some(outcome) = outcome {
                return Ok(outcome);
            }
        }
        let mut outcome = self.ask_switch(request, put)?;
        if matches!(outcome, Outcome::Failed(_)) && self.falls_back(request) {
            outcome = self.ask_switch(request, put)?;
        }
        Ok(match outcome {
            Outcome::Failed(errno) => Outcome::Failed(self.errno(errno)),
            Outcome::NotFound if closed || self.server == Server::Gone => {
                Outcome::failed(Errno::IO)
            }
            outcome => outcome,
        })
    }

    /// Tells what nscd said, if that is wanted.
    fn explain_nscd(&self, start: u32, outcome: Outcome) {
        if explain::TELLS && self.explains {
            let micros = micros().wrapping_sub(start);
            explain::say(
                NSCD_SOCKET.as_bytes(),
                &Report { slot: 0, outcome, refused: false, micros },
            );
        }
    }

    /// The switch, and the time that a server may take from now on.
    fn switch(&mut self) -> Result<(&mut Switch, &mut ClientState), Errno> {
        if self.switch.is_none() {
            let sources = list::of_this_machine().map_err(|error| {
                error.print("nssbox");
                Errno::INVAL
            })?;
            self.use_switch(sources);
        }
        let (switch, client) = self.switch.as_mut().ok_or(Errno::INVAL)?;
        if matches!(self.server, Server::Named | Server::Usual) {
            let until = millis() + u64::from(WHOLE_ANSWER_MILLIS);
            switch.limit(ANSWER_MILLIS, until);
        }
        Ok((switch, client))
    }

    fn ask_switch(&mut self, request: &Request<'_>, put: Put<'_>) -> Result<Outcome, Errno> {
        let (switch, client) = self.switch()?;
        let pieces = match switch.ask(client, request, 0) {
            Answer::Found(found) => {
                if let Some(record) = found.record() {
                    put(Found::Whole(&record));
                    return Ok(Outcome::Found);
                }
                found.into_pieces()
            }
            Answer::Failed(errno) => return Ok(Outcome::Failed(errno)),
            _ => return Ok(Outcome::NotFound),
        };
        let (head, mut pieces) = pieces.ok_or(Errno::IO)?;
        let mut room = vec![0; WINDOW];
        loop {
            let (len, last) = pieces.next(switch, client, &mut room)?;
            if !put(Found::Part(&head, room.get(..len).unwrap_or_default())) {
                return Err(Errno::OVERFLOW);
            }
            if last {
                return Ok(Outcome::Found);
            }
        }
    }

    /// Why the server has failed for good.
    fn cause(&mut self) -> Option<Errno> {
        match &self.switch.as_mut()?.0.slots().first()?.backend {
            Backend::Child(server) => server.cause(),
            _ => None,
        }
    }

    /// The errno of a failure of the switch.
    fn errno(&mut self, errno: u8) -> u8 {
        match self.cause() {
            Some(Errno::TIMEDOUT) => Errno::TIMEDOUT.raw_os_error() as u8,
            _ => errno,
        }
    }

    /// Whether the files are to be asked now, since the usual server closed without a word. (They
    /// are no list of all that there is.)
    fn falls_back(&mut self, request: &Request<'_>) -> bool {
        let by_key = !matches!(request, Request::Next(_) | Request::Rewind(_) | Request::End(_));
        let closed = self.server == Server::Usual
            && matches!(self.cause(), Some(Errno::PIPE | Errno::CONNRESET));
        if closed && by_key {
            self.switch = None;
            self.server = Server::Gone;
        }
        closed && by_key
    }

    /// Adds the groups that list a user; false if they changed meanwhile.
    /// The error is the errno of a failure.
    pub fn groups(&mut self, user: Name<'_>, all: &mut Vec<u32>) -> Result<bool, u8> {
        let request = Request::GroupList { max: u64::MAX, user };
        let (mut closed, before) = (false, all.len());
        if let (Some(nscd), Some(question)) = (&mut self.nscd, nscd::question(&request)) {
            let start = micros();
            let outcome = match nscd.ask(&question) {
                Said::Groups(gids) => {
                    gids.for_each(|gid| all.push(gid.0));
                    Outcome::Groups
                }
                Said::NotFound => Outcome::NotFound,
                Said::Failed(errno) => Outcome::failed(errno),
                said => {
                    closed = matches!(said, Said::Closed);
                    Outcome::Dead
                }
            };
            self.explain_nscd(start, outcome);
            match outcome {
                Outcome::Failed(errno) => return Err(errno),
                Outcome::Dead => {}
                _ => return Ok(true),
            }
        }
        let mut found = self.groups_of_switch(&request, all);
        if found.is_err() && self.falls_back(&request) {
            found = self.groups_of_switch(&request, all);
        }
        // Whom the files do not know, others may.
        let lacks = |found: Result<Outcome, Errno>| !matches!(found, Ok(Outcome::Found));
        if (closed || self.server == Server::Gone)
            && all.len() == before
            && lacks(self.ask_switch(&Request::ByName(Db::Passwd, user), &mut |_| true))
        {
            return Err(Errno::IO.raw_os_error() as u8);
        }
        found.map_err(|errno| self.errno(errno))
    }

    fn groups_of_switch(&mut self, request: &Request<'_>, all: &mut Vec<u32>) -> Result<bool, u8> {
        let (mut taken, mut total, mut taken_hash) = (0, 0, HASH_START);
        loop {
            let (switch, client) = self.switch().map_err(|errno| errno.raw_os_error() as u8)?;
            let found = match switch.ask(client, request, taken) {
                Answer::Groups(found) => found,
                Answer::Failed(errno) => return Err(errno),
                _ => return Ok(true),
            };
            let (gids, passed) = found.gids().after_skipped();
            let now = found.gids().total();
            let changed = passed != taken_hash || (taken > 0 && total != now);
            if changed || (gids.is_empty() && taken < now) {
                return Ok(false);
            }
            if now > USER_GROUPS as u64 {
                return Err(Errno::RANGE.raw_os_error() as u8);
            }
            total = now;
            taken_hash = hash(taken_hash, gids);
            all.extend_from_slice(gids);
            taken += gids.len() as u64;
            if taken >= total {
                return Ok(true);
            }
        }
    }
}

/// Whether the errno of an answer is this one.
pub fn is(errno: u8, what: Errno) -> bool {
    i32::from(errno) == what.raw_os_error()
}
