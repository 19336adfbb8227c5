//! A running nscd, asked as both C libraries ask it. Its replies are checked as musl checks them,
//! but for names in another case: a source that ignores case answers in its own spelling.

use crate::limits::{ANSWER_MILLIS, NSCD_REPLY, USER_GROUPS, WHOLE_ANSWER_MILLIS};
use crate::sys::clock::millis;
use crate::sys::socket::connected_within;
use crate::sys::stream::{send_all, wait_for};
use nssproto::DecodeError;
use nssproto::entry::{Db, Record};
use nssproto::nscd::{Gids, REQUEST_MAX, Reply, Request, SOCKET};
use nssproto::nsss;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;

/// Whether this build asks it.
pub const IS_ASKED: bool = cfg!(feature = "ask-nscd");

/// What is read at a time.
const PIECE: usize = 64 * 1024;

/// The nscd of this machine: each question is a connection of its own.
#[derive(Default)]
pub struct Nscd {
    reply: Vec<u8>,
    /// It was silent past the deadline, and is not waited for again.
    is_late: bool,
}

/// What it said.
pub enum Said<'a> {
    /// A user or a group.
    Found(Record<'a>),
    /// The groups that list a user.
    Groups(Gids<'a>),
    /// There is none: final.
    NotFound,
    /// Nobody listens, or this database is not served.
    Unserved,
    /// It closed without a reply.
    Closed,
    /// It was late (ETIMEDOUT), or what it said makes no sense.
    Failed(Errno),
}

/// How nsss's request is asked there; `None`: the protocol has nothing like it.
pub fn question<'a>(request: &nsss::Request<'a>) -> Option<Request<'a>> {
    Some(match *request {
        nsss::Request::ByName(Db::Passwd, name) => Request::PasswdByName(name.bytes()),
        nsss::Request::ByName(Db::Group, name) => Request::GroupByName(name.bytes()),
        nsss::Request::ByUid(uid) => Request::PasswdByUid(Some(uid)),
        nsss::Request::ByGid(gid) => Request::GroupByGid(Some(gid)),
        nsss::Request::GroupList { user, .. } => Request::Initgroups(user.bytes()),
        _ => return None,
    })
}

impl Nscd {
    /// Asks one question.
    pub fn ask(&mut self, request: &Request<'_>) -> Said<'_> {
        if self.is_late {
            return Said::Failed(Errno::TIMEDOUT);
        }
        self.reply.clear();
        if let Err(said) = self.exchange(request) {
            self.is_late = matches!(said, Said::Failed(Errno::TIMEDOUT));
            return said;
        }
        let decoded = request.reply_kind().map(|kind| Reply::decode(kind, &self.reply));
        match decoded {
            Some(Ok(decoded)) => match decoded.value {
                Reply::Found(record) if fits(request, &record) => Said::Found(record),
                Reply::Groups(gids) if gids.count() <= USER_GROUPS => Said::Groups(gids),
                Reply::Groups(_) => Said::Failed(Errno::RANGE),
                Reply::NotFound => Said::NotFound,
                Reply::Unserved => Said::Unserved,
                _ => Said::Failed(Errno::IO),
            },
            _ => Said::Failed(Errno::IO),
        }
    }

    /// Asks, and reads a whole reply. The error says what else became of it.
    fn exchange(&mut self, request: &Request<'_>) -> Result<(), Said<'static>> {
        let (mut room, until) = ([0; REQUEST_MAX], millis() + u64::from(WHOLE_ANSWER_MILLIS));
        // What no client sends, nobody has.
        let len = request.encode(&mut room).map_err(|_| Said::NotFound)?;
        let socket = connected_within(OsStr::new(SOCKET), ANSWER_MILLIS);
        let socket = socket.map_err(|errno| match errno {
            Errno::TIMEDOUT => Said::Failed(errno),
            _ => Said::Unserved,
        })?;
        let asked = room.get(..len).unwrap_or_default();
        send_all(&socket, asked, millis() + u64::from(ANSWER_MILLIS)).map_err(gone)?;
        let kind = request.reply_kind().ok_or(Said::Unserved)?;
        let mut need = 1;
        loop {
            if let Err(errno) = self.receive(&socket, until) {
                return Err(if self.reply.is_empty() { gone(errno) } else { cut(errno) });
            }
            if self.reply.len() < need {
                continue;
            }
            match Reply::decode(kind, &self.reply) {
                Err(DecodeError::Incomplete(more)) => need = self.reply.len() + more,
                // What is wrong with it is found once more.
                _ => return Ok(()),
            }
            if need > NSCD_REPLY {
                return Err(Said::Failed(Errno::OVERFLOW));
            }
        }
    }

    /// Reads what there is, at least a byte.
    fn receive(&mut self, socket: &OwnedFd, until: u64) -> Result<(), Errno> {
        let start = self.reply.len();
        if start > NSCD_REPLY {
            return Err(Errno::OVERFLOW);
        }
        let wait = until.saturating_sub(millis()).min(ANSWER_MILLIS.into());
        if !wait_for(socket, PollFlags::IN, Some(wait))? {
            return Err(Errno::TIMEDOUT);
        }
        self.reply.resize(start + PIECE, 0);
        let room = self.reply.get_mut(start..).unwrap_or_default();
        let got = recv(socket, room, RecvFlags::DONTWAIT).map(|(_, len)| len);
        self.reply.truncate(start + got.unwrap_or(0));
        match got {
            Ok(0) => Err(Errno::PIPE),
            // A signal, or a false alarm.
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

/// The end of a connection on which nothing was said.
fn gone(errno: Errno) -> Said<'static> {
    match errno {
        Errno::PIPE | Errno::CONNRESET => Said::Closed,
        errno => Said::Failed(errno),
    }
}

/// The same in the middle of a reply.
fn cut(errno: Errno) -> Said<'static> {
    match errno {
        Errno::PIPE | Errno::CONNRESET => Said::Failed(Errno::IO),
        errno => Said::Failed(errno),
    }
}

/// Whether a record is what was asked for.
fn fits(request: &Request<'_>, record: &Record<'_>) -> bool {
    match (request, record) {
        (Request::PasswdByName(name), Record::Passwd(user)) => user.name.eq_ignore_ascii_case(name),
        (Request::PasswdByUid(uid), Record::Passwd(user)) => *uid == Some(user.uid),
        (Request::GroupByName(name), Record::Group(group)) => group.name.eq_ignore_ascii_case(name),
        (Request::GroupByGid(gid), Record::Group(group)) => *gid == Some(group.gid),
        _ => false,
    }
}
