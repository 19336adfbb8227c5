//! A running nslcd (nss-pam-ldapd): users and groups of an LDAP server.
//!
//! One connection and one request a lookup, as its protocol has it; so one that went away is
//! found again by the next lookup. It is waited for, so this never runs in an event loop. What
//! breaks the protocol, ends or is late is a failure of that lookup, and never "not found".

mod connection;
mod long;

use super::client::Hit;
use super::{Backend, Outcome, PerDb, RunsIn, Source, Step, Teller};
use crate::limits::{NSLCD_MILLIS, REPLY_PIECE};
use crate::options::{Options, Spec};
use crate::sys::access::Rights;
use crate::sys::clock::{NEVER, millis};
use crate::sys::error::Error;
use crate::sys::stat::stat;
use connection::{Connection, Query, WaitLimit};
use long::SecondAnswer;
use nssproto::bytes::copy_front;
use nssproto::entry::{Db, Name, Record};
use nssproto::nslcd::stream::EntrySummary;
use nssproto::nslcd::{Request as Ask, ResultCode};
use nssproto::nsss::{Head, Request};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Where Debian's nslcd, and any other that was not built otherwise, listens.
const SOCKET: &str = "/var/run/nslcd/socket";

/// The options of nsssd-nslcd.
pub const SPEC: Spec = Spec { values: "t", ..Spec::NONE };

/// A running nslcd by the arguments of nsssd-nslcd. As nsss's program, a daemon wants to be told its
/// socket.
pub fn make(options: &Options<'_>, runs_in: RunsIn) -> Result<Backend, Error> {
    let millis = options.number(b't', u64::from(u32::MAX))?.map(|millis| millis as u32);
    let path = match options.rest {
        [] if runs_in == RunsIn::Caller => OsStr::new(SOCKET),
        [] => return Err(Error::options("missing socket of nslcd")),
        [path] => path,
        [_, more, ..] => return Err(Error::options("a word too many:").about(more)),
    };
    let nslcd = Nslcd::new(path.as_bytes(), millis);
    let nslcd = nslcd.map_err(|e| Error::system("unable to use socket", e).about(path))?;
    Ok(Backend::Nslcd(nslcd))
}

/// An nslcd, and what is going on with it.
pub struct Nslcd {
    address: SocketAddrUnix,
    limits: Limits,
    /// Our own standard output is the client's.
    for_client: bool,
    /// It kept a switch waiting for too long.
    dead: bool,
    /// Of lookups.
    connection: Connection,
    lists: PerDb<List>,
    area: Area,
    /// The record that was found is larger than the area's buffer.
    long: Option<SecondAnswer>,
}

/// Milliseconds for an exchange; [`NEVER`]: no limit.
struct Limits {
    /// By our own command line.
    own: u64,
    /// That of the switch: over it, the backend has failed for good.
    switch: u64,
    /// What a server allows for each piece.
    server: u64,
    /// A time of the clock that no answer may come after.
    until: u64,
}

impl Limits {
    fn millis(&self) -> u64 {
        self.own.min(self.switch).min(self.server)
    }
}

/// An enumeration.
struct List {
    connection: Connection,
    state: ListState,
}

#[derive(Clone, Copy)]
enum ListState {
    /// The next GET asks for it.
    Fresh,
    Open,
    Ended,
    /// It broke: the rest is not known until it is started again.
    Failed(Errno),
}

/// The strings of the record that was found, whole or their beginning.
struct Area {
    bytes: Box<[u8]>,
    len: usize,
    /// How many were given out in pieces.
    given: usize,
}

/// nslcd tells shadow by the credentials of the process that asks. Where that is not the asker's
/// own, only root gets what root's process is told.
fn may_see_shadow(rights: Rights) -> bool {
    match rights {
        Rights::Own => true,
        Rights::Peer(peer) => peer.is_root(),
        Rights::Public(_) | Rights::Unknown => false,
    }
}

/// Whether nslcd takes a name for one, as long as its option `validnames` is the default one:
/// `/^[a-z0-9._@$()]([a-z0-9._@$() \\~-]*[a-z0-9._@$()~-])?$/i`. For another it closes the
/// connection before it says anything, which is no failure.
fn is_valid(name: Name<'_>) -> bool {
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"._@$() \\~-".contains(byte);
    let (first, last) = (name.bytes().first(), name.bytes().last());
    name.bytes().iter().all(inner)
        && !first.is_some_and(|byte| b" \\~-".contains(byte))
        && !last.is_some_and(|byte| b" \\".contains(byte))
}

impl Nslcd {
    /// That at `path`. `millis` for an exchange: 0, no limit; `None`, the usual one.
    pub fn new(path: &[u8], millis: Option<u32>) -> Result<Box<Self>, Errno> {
        let own = match millis.unwrap_or(NSLCD_MILLIS) {
            0 => NEVER,
            millis => millis.into(),
        };
        Ok(Box::new(Nslcd {
            address: crate::sys::socket::address(path)?,
            limits: Limits { own, switch: NEVER, server: NEVER, until: NEVER },
            for_client: false,
            dead: false,
            connection: Connection::new(),
            lists: PerDb::new(|_| List { connection: Connection::new(), state: ListState::Fresh }),
            area: Area { bytes: vec![0; REPLY_PIECE].into_boxed_slice(), len: 0, given: 0 },
            long: None,
        }))
    }
}

impl Source for Nslcd {
    fn asks_others(&self) -> bool {
        true
    }

    fn place(&self, _: Option<Db>) -> &[u8] {
        self.address.path_bytes().unwrap_or_default()
    }

    fn missing(&self, tell: &mut dyn FnMut(&[u8], Errno)) {
        if let Some(path) = self.address.path() {
            if let Err(errno) = stat(&path) {
                tell(path.to_bytes(), errno);
            }
        }
    }

    fn ask(&mut self, step: Step<'_>, request: &Request<'_>) -> Outcome {
        if self.dead {
            return Outcome::Dead;
        }
        let start = millis();
        self.drop_record();
        let until = start.saturating_add(self.limits.millis()).min(self.limits.until);
        let wait = WaitLimit { until, for_client: self.for_client };
        let answer = match *request {
            Request::Next(Db::Shadow) | Request::ByName(Db::Shadow, _)
                if !may_see_shadow(step.rights) =>
            {
                Err(Errno::ACCESS)
            }
            Request::SetTimeout { .. } => Ok(Outcome::Done),
            Request::End(db) | Request::Rewind(db) => {
                self.start_over(db);
                Ok(Outcome::Done)
            }
            Request::Next(db) => self.next(step, db, wait),
            // No entry of a directory has an empty name, and nslcd would not even say so.
            Request::ByName(_, name) if name.bytes().is_empty() => Ok(Outcome::NotFound),
            Request::GroupList { user, .. } if user.bytes().is_empty() => Ok(Outcome::Groups),
            Request::ByName(db, name) => self.lookup(step, Ask::ByName(db, name), wait),
            Request::ByUid(uid) => self.lookup(step, Ask::ByUid(uid), wait),
            Request::ByGid(gid) => self.lookup(step, Ask::ByGid(gid), wait),
            Request::GroupList { user, .. } => self.groups(step, user, wait),
        };
        answer.unwrap_or_else(|errno| {
            if self.connection.is_unheard() {
                match *request {
                    Request::ByName(_, name) if !is_valid(name) => return Outcome::NotFound,
                    Request::GroupList { user, .. } if !is_valid(user) => return Outcome::Groups,
                    _ => {}
                }
            }
            // It must not go on answering what nobody waits for.
            self.connection.close();
            if errno == Errno::TIMEDOUT && millis() - start >= self.limits.switch {
                self.dead = true;
                return Outcome::Dead;
            }
            Outcome::failed(errno)
        })
    }

    fn record<'a>(&'a self, _: &'a [u8], hit: &Hit) -> Option<Record<'a>> {
        match self.long {
            None => hit.head()?.record(self.area.bytes.get(..self.area.len)?).ok(),
            Some(_) => None,
        }
    }

    fn begin_pieces(&mut self, step: Step<'_>) -> Option<Head> {
        step.hit.head()
    }

    fn piece(&mut self, _: Step<'_>, out: &mut [u8]) -> Result<(usize, bool), Errno> {
        let limit = WaitLimit { until: self.limits.until, for_client: self.for_client };
        let Nslcd { long, connection, address, area, .. } = self;
        let Some(second) = long else { return Ok(area.give(out)) };
        let piece = second.pass(connection, address, out, limit);
        if !matches!(piece, Ok((_, false))) {
            self.drop_record();
        }
        piece
    }

    fn peek(&mut self, _: Step<'_>, out: &mut [u8]) -> Result<usize, Errno> {
        let name = self.area.name().ok_or(Errno::INVAL)?;
        Ok(copy_front(name, out))
    }

    fn may_block(&self) -> bool {
        true
    }

    fn teller(&self) -> Teller {
        Teller::Nslcd
    }

    fn name_in_other_case(&self, asked: &[u8]) -> Option<&[u8]> {
        self.area.name().filter(|name| *name != asked && name.eq_ignore_ascii_case(asked))
    }

    fn is_dead(&self) -> bool {
        self.dead
    }

    fn limit(&mut self, millis: u32, until: u64) {
        self.limits.server = millis.into();
        self.limits.until = until;
    }

    fn serve_one_client(&mut self, millis: Option<u32>) {
        // When he leaves, nothing is waited for.
        self.for_client = true;
        self.limits.switch = millis.map_or(NEVER, u64::from);
    }
}

impl Nslcd {
    /// Lets go of the record that was found last, and of its connection.
    fn drop_record(&mut self) {
        self.connection.close();
        self.long = None;
    }

    fn start_over(&mut self, db: Db) {
        let list = self.lists.get_mut(db);
        list.connection.close();
        list.state = ListState::Fresh;
    }

    fn lookup(&mut self, step: Step<'_>, ask: Ask<'_>, wait: WaitLimit) -> Result<Outcome, Errno> {
        let Nslcd { connection, address, area, .. } = self;
        let question = Query::new(&ask)?;
        connection.ask(address, &question, wait)?;
        if connection.mark(wait)? == ResultCode::End {
            connection.close();
            return Ok(Outcome::NotFound);
        }
        let measured = area.read(connection, question.db(), wait)?;
        // One is due: of two, nobody can tell which is meant.
        if connection.mark(wait)? != ResultCode::End || !area.answers(&measured.head, &ask) {
            return Err(Errno::PROTO);
        }
        connection.close();
        let again = (!area.holds(&measured.head)).then_some(question);
        self.lend(step.hit, measured, again);
        Ok(Outcome::Found)
    }

    /// The next entry of an enumeration, which is read from its connection as it is asked for.
    fn next(&mut self, step: Step<'_>, db: Db, wait: WaitLimit) -> Result<Outcome, Errno> {
        let Nslcd { lists, address, area, .. } = self;
        let list = lists.get_mut(db);
        let entry = list.next(address, area, db, wait);
        let Some(measured) = entry.inspect_err(|errno| list.fail(*errno))? else {
            return Ok(Outcome::NotFound);
        };
        let again = match area.holds(&measured.head) {
            true => None,
            // By its name: the rest of the list is behind it in this connection.
            false => {
                let name = area.name().and_then(Name::new).ok_or(Errno::NAMETOOLONG)?;
                Some(Query::new(&Ask::ByName(db, name))?)
            }
        };
        self.lend(step.hit, measured, again);
        Ok(Outcome::Found)
    }

    /// The groups that list a user.
    fn groups(
        &mut self,
        step: Step<'_>,
        user: Name<'_>,
        wait: WaitLimit,
    ) -> Result<Outcome, Errno> {
        let Nslcd { connection, address, .. } = self;
        let question = Query::new(&Ask::GroupsByMember(user))?;
        connection.ask(address, &question, wait)?;
        let mut last = None;
        while connection.mark(wait)? == ResultCode::Begin {
            let (measured, _) = connection.entry(Db::Group, &mut [], wait)?;
            let Head::Group { gid, .. } = measured.head else { return Err(Errno::PROTO) };
            // A group with two names comes twice.
            if last.replace(gid) != Some(gid) {
                step.shared.gids.add(gid.0);
            }
        }
        connection.close();
        Ok(Outcome::Groups)
    }

    /// The record that was found is in the area, unless it is to be asked for again.
    fn lend(&mut self, hit: &mut Hit, measured: EntrySummary, again: Option<Query>) {
        let left = self.limits.millis();
        self.long = again.map(|question| SecondAnswer::new(question, measured, left));
        *hit = Hit::Head(measured.head);
    }
}

impl List {
    /// `None`: there is none left.
    fn next(
        &mut self,
        address: &SocketAddrUnix,
        area: &mut Area,
        db: Db,
        wait: WaitLimit,
    ) -> Result<Option<EntrySummary>, Errno> {
        match self.state {
            ListState::Ended => return Ok(None),
            ListState::Failed(errno) => return Err(errno),
            ListState::Fresh => {
                self.connection.ask(address, &Query::new(&Ask::All(db))?, wait)?;
                self.state = ListState::Open;
            }
            ListState::Open => {}
        }
        match self.connection.mark(wait)? {
            ResultCode::Begin => area.read(&mut self.connection, db, wait).map(Some),
            ResultCode::End => {
                self.connection.close();
                self.state = ListState::Ended;
                Ok(None)
            }
        }
    }

    fn fail(&mut self, errno: Errno) {
        self.connection.close();
        self.state = ListState::Failed(errno);
    }
}

impl Area {
    /// Reads an entry, and keeps its area if there is room for it, else its beginning.
    fn read(
        &mut self,
        connection: &mut Connection,
        db: Db,
        wait: WaitLimit,
    ) -> Result<EntrySummary, Errno> {
        (self.len, self.given) = (0, 0);
        let (measured, kept) = connection.entry(db, &mut self.bytes, wait)?;
        self.len = kept;
        if let Some(end) = self.bytes.get_mut(kept) {
            *end = 0;
            self.len = kept + 1;
        }
        Ok(measured)
    }

    /// Whether it has the whole area of the record with this head.
    fn holds(&self, head: &Head) -> bool {
        self.len == head.area_len() as usize
    }

    /// The record's name, as far as there is room for one.
    fn name(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len)?.split(|byte| *byte == 0).next()
    }

    /// Whether an entry is one that was asked for. nslcd may be told to take names in any case.
    fn answers(&self, head: &Head, ask: &Ask<'_>) -> bool {
        match (ask, head) {
            (Ask::ByUid(uid), Head::Passwd { uid: found, .. }) => uid == found,
            (Ask::ByGid(gid), Head::Group { gid: found, .. }) => gid == found,
            (Ask::ByName(_, name), _) => {
                self.name().is_some_and(|found| found.eq_ignore_ascii_case(name.bytes()))
            }
            _ => false,
        }
    }

    /// The next of its bytes, and whether they are the last.
    fn give(&mut self, out: &mut [u8]) -> (usize, bool) {
        let rest = self.bytes.get(self.given..self.len).unwrap_or_default();
        let len = copy_front(rest, out);
        self.given += len;
        (len, self.given == self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_nslcd_takes() {
        let is_valid = |name: &str| is_valid(Name::new(name.as_bytes()).unwrap());
        for name in ["a", "Ada", "0", "_a", "pc$", "a b", "a\\b", "a~", "a-", "(a)", "a.b@c"] {
            assert!(is_valid(name), "{name}");
        }
        for name in ["~", "-a", " a", "a ", "a\\", "\\a", "a:", "a\n", "ä", "a+b", "a/b", "a,b"] {
            assert!(!is_valid(name), "{name}");
        }
    }
}
