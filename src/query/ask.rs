//! What programs that are run by hand ask: a server, or backends in this process. They may allocate.

use super::explain;
use crate::backend::child::Child;
use crate::backend::gids::{HASH_START, hash};
use crate::backend::script::Block;
use crate::backend::script::registry;
use crate::backend::script::start::{NamedBy, switch_of};
use crate::backend::switch::ClientState;
use crate::backend::switch::{Answer, Switch};
use crate::backend::{Backend, Outcome, RunsIn};
use crate::limits::{MIN_UID, WINDOW};
use crate::sys::access::Rights;
use crate::sys::error::{Error, Exit};
use nssproto::bytes::decimal_u32;
use nssproto::entry::{Db, Gid, Name, Record, Uid};
use nssproto::nsss::{Head, Request};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Where the server of an nsss system listens, fixed when nsss is built.
const SOCKET: &str = "/run/service/nsssd/s";

/// Asks one question after the other, and keeps what was said.
pub struct Resolver {
    switch: Box<Switch>,
    client: ClientState,
    /// Why the last account is not known, if that is a failure.
    pub failure: Option<Errno>,
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

impl Resolver {
    /// Asks the backends of `list`, else the server at `socket`, else the usual server, else the
    /// local files. `explain`: what each of them says is told on standard error. Errors exit 1.
    pub fn open(
        list: Option<&OsStr>,
        socket: Option<&OsStr>,
        explain: bool,
    ) -> Result<Self, Error> {
        let (mut switch, names) = sources(list, socket)?;
        if explain {
            switch.observe(explain::to_stderr(names));
        }
        let mut client = switch.new_client(Rights::Own, 0);
        // Nobody else waits.
        client.budget = u64::MAX;
        Ok(Resolver { switch, client, failure: None })
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

    fn account(&mut self, request: &Request<'_>) -> Option<Account> {
        let (mut account, mut named) = (Account { name: Vec::new(), id: 0, gid: 0 }, false);
        let outcome = self.ask(request, &mut |found| match found {
            Found::Whole(record) => {
                account.name.extend_from_slice(record.name());
                (account.id, account.gid) = match record {
                    Record::Passwd(user) => (user.uid.0, user.gid.0),
                    Record::Group(group) => (group.gid.0, group.gid.0),
                    Record::Shadow(_) => (0, 0),
                };
            }
            Found::Part(head, strings) => {
                (account.id, account.gid) = match head {
                    Head::Passwd { uid, gid, .. } => (uid.0, gid.0),
                    Head::Group { gid, .. } => (gid.0, gid.0),
                    Head::Shadow { .. } => (0, 0),
                };
                // The name comes first.
                if !named {
                    let end = strings.iter().position(|byte| *byte == 0);
                    let name = strings.get(..end.unwrap_or(strings.len())).unwrap_or_default();
                    account.name.extend_from_slice(name);
                    named = end.is_some();
                }
            }
        });
        self.failure = match outcome {
            Ok(Outcome::Failed(errno)) => Some(Errno::from_raw_os_error(errno.into())),
            Err(errno) => Some(errno),
            Ok(_) => None,
        };
        matches!(outcome, Ok(Outcome::Found)).then_some(account)
    }

    /// Asks for a record, and gives what is found to `put`: all of it at once, or piece by piece. An
    /// error means that not all of it could be taken.
    pub fn ask(
        &mut self,
        request: &Request<'_>,
        put: &mut dyn FnMut(Found<'_>),
    ) -> Result<Outcome, Errno> {
        let Resolver { switch, client, .. } = self;
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
            put(Found::Part(&head, room.get(..len).unwrap_or_default()));
            if last {
                return Ok(Outcome::Found);
            }
        }
    }

    /// Adds the groups that list a user; false if they changed meanwhile.
    /// The error is the errno of a failure.
    pub fn groups(&mut self, user: Name<'_>, all: &mut Vec<u32>) -> Result<bool, u8> {
        let request = Request::GroupList { max: u64::MAX, user };
        let (mut taken, mut total, mut taken_hash) = (0, 0, HASH_START);
        loop {
            let found = match self.switch.ask(&mut self.client, &request, taken) {
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

/// Who is asked, and the names of the backends.
fn sources(
    list: Option<&OsStr>,
    socket: Option<&OsStr>,
) -> Result<(Box<Switch>, Vec<Vec<u8>>), Error> {
    if let Some(list) = list {
        return backends(list);
    }
    let path = socket.unwrap_or(OsStr::new(SOCKET));
    match Child::connect(path, true) {
        Ok(server) => {
            let switch = Switch::of(Backend::Child(Box::new(server)));
            Ok((switch, vec![path.as_bytes().to_vec()]))
        }
        // As nsss does: only a failed connect falls back to the files.
        Err(_) if socket.is_none() => backends(OsStr::new("unix")),
        Err(errno) => {
            Err(Error::system("unable to connect to", errno).about(path).with_exit(Exit::FAILURE))
        }
    }
}

/// `[BITFIELD] BACKEND [ARGUMENT]...; ...`
///
/// The switch, and the names of its backends. Errors exit 1.
fn backends(list: &OsStr) -> Result<(Box<Switch>, Vec<Vec<u8>>), Error> {
    let fail = |what| Error::usage(what).with_exit(Exit::FAILURE);
    let (mut blocks, mut names) = (Vec::new(), Vec::new());
    for part in list.as_bytes().split(|b| *b == b';') {
        let (mut bits, mut command) = (None, Vec::new());
        for word in part.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            if command.is_empty() && bits.is_none() {
                bits = decimal_u32(word);
                if bits.is_some() {
                    continue;
                }
            }
            command.push(OsStr::from_bytes(word).to_owned());
        }
        let mut block = Block::new(bits.unwrap_or(0), command);
        let Some(word) = block.command.first_mut() else {
            return Err(fail("empty service in option -s"));
        };
        let Some(row) = registry::by_service(word.as_bytes()) else {
            return Err(fail("unknown service:").about(word));
        };
        *word = row.name.into();
        names.push(row.name.as_bytes().to_vec());
        blocks.push(block);
    }
    // As in glibc: one source is repeated as it is, several make a union.
    let merge = blocks.len() > 1;
    let switch = switch_of(&blocks, NamedBy::Short, RunsIn::Caller, merge, MIN_UID);
    Ok((switch.map_err(|e| e.with_exit(Exit::FAILURE))?, names))
}
