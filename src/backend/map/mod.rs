//! Users with no user database: each admitted name, or number, is an account made of a template.
//!
//! Follows libnss_map (A. J. Díaz) in what a single template answers, and goes beyond it as
//! doc/nsssd-map.md tells: names are checked and need evidence, each can have its own uid, and
//! numbers without a name get one. Everything is read at start, except the evidence, which is
//! asked anew for each lookup, and what others append to the registry.

mod claim;
pub mod config;
mod evidence;
mod groups;
pub mod key;
pub mod known;
mod list;
pub mod names;
mod rc;
pub mod registry;
mod scan;
pub mod sections;
pub mod single;
mod slow;
pub mod start;
pub mod template;

use super::{Hit, Outcome, Step};
use crate::sys::access::Asker;
use crate::sys::privilege::keep_secret;
use config::{Config, Kind, Section};
use nssproto::bytes::{DECIMAL_MAX, decimal_u32, write_decimal};
use nssproto::entry::{Db, Gid, Name, Record, Uid};
use nssproto::nsss::{Head, Request};
use rustix::fs::Stat;
use rustix::io::Errno;
use rustix::process::geteuid;
use template::{GidOf, Ids, LINE_MAX};

pub use list::collisions;

/// Room for the strings of a record: a template and the longest name thrice.
const AREA: usize = LINE_MAX + 3 * (Name::MAX + 1);

/// Collisions that are told; who has more of them has read enough.
const TOLD: usize = 64;

/// The day that libnss_map says each password was changed on, 2007-02-27, and its other numbers.
const SHADOW: [u64; 7] = [13571, 0, 99999, 7, u64::MAX, u64::MAX, u64::MAX];

/// The key, or why there is none.
enum Keyed {
    With(key::Key),
    Refused(Errno),
}

/// A configuration, and what it needs to answer.
pub struct Map {
    config: Config,
    key: Keyed,
    /// Names of templates that are users by themselves.
    own: Vec<Vec<u8>>,
    /// Uid and gid of the one client, where that is known.
    me: Option<(u32, u32)>,
    /// What the asker's own environment says, if that is to be believed.
    logname: Option<Vec<u8>>,
    known: known::Known,
    scan: Option<scan::Scan>,
    registry: Option<registry::Registry>,
    /// The registry may not be read.
    refused: Option<Errno>,
    groups: groups::Groups,
    /// Evidence can block.
    slow: bool,
    /// A path that is being looked at.
    room: evidence::Room,
    /// The strings of the record that was found.
    area: heapless::Vec<u8, AREA>,
    /// Uids whose collision was told.
    told: heapless::Vec<u32, TOLD>,
}

/// Whose account it is.
#[derive(Clone, Copy, Debug)]
enum Of {
    Section(usize),
    Numbers(usize),
}

/// An account that was found.
#[derive(Clone, Copy, Debug)]
struct Account {
    of: Of,
    uid: u32,
    gid: u32,
}

/// A name that is kept while other things are looked at.
type Login = heapless::Vec<u8, { Name::MAX }>;

/// Root's, or our own.
fn is_ours(stat: &Stat) -> bool {
    stat.st_uid == 0 || stat.st_uid == geteuid().as_raw()
}

impl Map {
    /// Whether a lookup can block, so that it must not run where others wait.
    pub fn may_block(&self) -> bool {
        self.slow
    }

    /// To be called after a change of user, which can make a process readable again.
    pub fn guard(&self) {
        if matches!(self.key, Keyed::With(_)) {
            keep_secret();
        }
    }

    /// Serves one request, or as much of it as fits the turn.
    pub fn ask(&mut self, mut step: Step<'_>, request: &Request<'_>) -> Outcome {
        let answer = match *request {
            Request::SetTimeout { .. } | Request::End(_) | Request::Rewind(_) => Ok(Outcome::Done),
            // Nobody can tell who might exist.
            Request::Next(_) => Ok(Outcome::NotFound),
            Request::ByName(Db::Group, name) => self.group_by_name(&mut step, name.bytes()),
            Request::ByName(Db::Shadow, name) if self.config.compat => {
                // libnss_map looks at nothing here.
                let account = Account { of: Of::Section(0), uid: 0, gid: 0 };
                self.lend(step.hit, Db::Shadow, name.bytes(), account)
            }
            Request::ByName(db, name) => {
                let account = self.by_name(&mut step, name.bytes());
                account.and_then(|a| self.lend(step.hit, db, name.bytes(), a))
            }
            Request::ByUid(uid) => self.by_uid(&mut step, uid.0),
            Request::ByGid(gid) => self.by_gid(&mut step, gid.0),
            Request::GroupList { user, .. } => self.groups_of(&mut step, user.bytes()),
        };
        answer.unwrap_or_else(|outcome| outcome)
    }

    /// The record that was found.
    pub fn record(&self, head: &Head) -> Option<Record<'_>> {
        head.record(&self.area).ok()
    }

    fn section(&self, number: usize) -> Result<&Section, Outcome> {
        self.config.sections.get(number).ok_or(Outcome::NotFound)
    }

    /// The account of a name, if it is admitted. The error is "not found", a failure, or that the
    /// turn is over.
    fn by_name(&mut self, step: &mut Step<'_>, name: &[u8]) -> Result<Account, Outcome> {
        if !self.config.compat {
            if !names::fits(name, self.config.letters)
                || self.config.deny.iter().any(|glob| names::matches(glob, name))
            {
                return Err(Outcome::NotFound);
            }
            if let Some(id) = self.number_of(Kind::Uids, name, step.asker)? {
                return self.of_number(Kind::Uids, id);
            }
            if self.is_reserved(name) {
                return Err(Outcome::NotFound);
            }
        }
        let number = self.config.section_of(name).ok_or(Outcome::NotFound)?;
        self.admit(step, number, name)
    }

    fn is_reserved(&self, name: &[u8]) -> bool {
        names::is_reserved(name) || self.own.iter().any(|own| own == name)
    }

    /// The account of a name in its section.
    fn admit(
        &mut self,
        step: &mut Step<'_>,
        number: usize,
        name: &[u8],
    ) -> Result<Account, Outcome> {
        let Map { config, room, .. } = self;
        let section = config.sections.get(number).ok_or(Outcome::NotFound)?;
        let owner = evidence::look_for(&section.require, &section.template.home, name, room)?;
        let (owned, ids) = (section.require.owned, section.template.ids);
        let uid = match ids {
            Ids::One(uid) => uid,
            Ids::Range { lo, size } => self.derived(name, lo, size)?,
            Ids::Asked => return Err(Outcome::NotFound),
        };
        if owned && owner != Some(uid) {
            return Err(Outcome::NotFound);
        }
        if matches!(ids, Ids::Range { .. }) {
            self.claim(step, number, name, uid)?;
        }
        self.account(number, uid)
    }

    fn account(&self, number: usize, uid: u32) -> Result<Account, Outcome> {
        let gid = match self.section(number)?.template.gid {
            GidOf::One(gid) => gid,
            GidOf::Uid => uid,
        };
        Ok(Account { of: Of::Section(number), uid, gid })
    }

    /// The uid of a name before anything is known of others: its pin, or what the key derives.
    fn derived(&self, name: &[u8], lo: u32, size: u32) -> Result<u32, Outcome> {
        match (self.config.pinned(name), &self.key) {
            (Some(uid), _) => Ok(uid),
            (None, Keyed::With(key)) => Ok(key.derive(name, lo, size)),
            (None, Keyed::Refused(errno)) => Err(Outcome::failed(*errno)),
        }
    }

    /// The number that `name` stands for in a section of numbers.
    fn number_of(&self, kind: Kind, name: &[u8], asker: Asker) -> Result<Option<u32>, Outcome> {
        let mut depends = false;
        for numbers in self.config.numbers.iter().filter(|n| n.kind == kind) {
            let pattern = &numbers.template.name;
            if let Some(digits) = pattern.name_in(name) {
                // One spelling only, or one number would have several names.
                let plain = digits == b"0" || !digits.starts_with(b"0");
                let id = decimal_u32(digits).filter(|id| plain && numbers.holds(kind, *id));
                if id.is_some() {
                    return Ok(id);
                }
            } else if pattern.after.is_none() && pattern.before == name {
                depends = true;
                let (uid, gid) = self.ids_of(asker).ok_or(Outcome::failed(Errno::ACCESS))?;
                let id = if kind == Kind::Uids { uid } else { gid };
                if numbers.holds(kind, id) {
                    return Ok(Some(id));
                }
            }
        }
        if depends { Err(Outcome::NotFound) } else { Ok(None) }
    }

    /// Uid and gid of whoever asks; `None` if that is not known.
    fn ids_of(&self, asker: Asker) -> Option<(u32, u32)> {
        match asker {
            Asker::Ourselves => self.me,
            Asker::Peer { uid, gid } | Asker::Public { uid, gid } => Some((uid, gid)),
            Asker::Unknown => None,
        }
    }

    fn of_number(&self, kind: Kind, id: u32) -> Result<Account, Outcome> {
        let at = self.config.numbers.iter().position(|n| n.holds(kind, id));
        let at = at.ok_or(Outcome::NotFound)?;
        let gid = match self.config.numbers.get(at).map(|n| n.template.gid) {
            Some(GidOf::One(gid)) => gid,
            _ => id,
        };
        Ok(Account { of: Of::Numbers(at), uid: id, gid })
    }

    /// The name of a number.
    fn number_name(&self, of: Of, id: u32) -> Login {
        let mut login = Login::new();
        if let Of::Numbers(at) = of {
            let mut room = [0; DECIMAL_MAX];
            let digits = write_decimal(u64::from(id), &mut room);
            let name = self.config.numbers.get(at).map(|n| &n.template.name);
            for piece in name.into_iter().flat_map(|n| n.pieces(digits)) {
                // Judged at start: it fits.
                let _ = login.extend_from_slice(piece);
            }
        }
        login
    }

    fn by_uid(&mut self, step: &mut Step<'_>, uid: u32) -> Result<Outcome, Outcome> {
        if let Ok(account) = self.of_number(Kind::Uids, uid) {
            let name = self.number_name(account.of, uid);
            return self.lend(step.hit, Db::Passwd, &name, account);
        }
        let (name, account) = match self.config.section_of_uid(uid) {
            Some(_) => self.holder(step, uid)?,
            None => self.sharer(step, uid)?,
        };
        self.lend(step.hit, Db::Passwd, &name, account)
    }

    /// Who of those that share `uid` asks: in his own process, by LOGNAME.
    fn sharer(&mut self, step: &mut Step<'_>, uid: u32) -> Result<(Login, Account), Outcome> {
        let logname = self.logname.as_deref().and_then(|n| Login::from_slice(n).ok());
        let login = logname.ok_or(Outcome::NotFound)?;
        let account = self.by_name(step, &login)?;
        let shared = match account.of {
            Of::Section(at) => matches!(self.section(at)?.template.ids, Ids::One(_)),
            Of::Numbers(_) => false,
        };
        if shared && account.uid == uid { Ok((login, account)) } else { Err(Outcome::NotFound) }
    }

    fn group_by_name(&mut self, step: &mut Step<'_>, name: &[u8]) -> Result<Outcome, Outcome> {
        if self.config.compat {
            let account = self.by_name(step, name)?;
            return self.lend_group(step.hit, name, account.gid);
        }
        if names::fits(name, self.config.letters)
            && !self.config.deny.iter().any(|glob| names::matches(glob, name))
        {
            if let Some(id) = self.number_of(Kind::Gids, name, step.asker)? {
                return self.lend_group(step.hit, name, id);
            }
        }
        // Before any evidence is looked at: only some sections have groups at all.
        let number = self.config.section_of(name).ok_or(Outcome::NotFound)?;
        if self.section(number)?.template.gid != GidOf::Uid {
            return Err(Outcome::NotFound);
        }
        let account = self.by_name(step, name)?;
        match account.of {
            Of::Section(_) => self.lend_group(step.hit, name, account.gid),
            Of::Numbers(_) => Err(Outcome::NotFound),
        }
    }

    fn by_gid(&mut self, step: &mut Step<'_>, gid: u32) -> Result<Outcome, Outcome> {
        if let Ok(account) = self.of_number(Kind::Gids, gid) {
            let name = self.number_name(account.of, gid);
            return self.lend_group(step.hit, &name, gid);
        }
        let number = self.config.section_of_uid(gid).ok_or(Outcome::NotFound)?;
        if self.section(number)?.template.gid != GidOf::Uid {
            return Err(Outcome::NotFound);
        }
        let (name, _) = self.holder(step, gid)?;
        self.lend_group(step.hit, &name, gid)
    }

    /// The supplementary groups of a user: those of his section, then that of his .nssmaprc.
    fn groups_of(&mut self, step: &mut Step<'_>, name: &[u8]) -> Result<Outcome, Outcome> {
        let account = match self.by_name(step, name) {
            Ok(account) => account,
            // Whoever is unknown is in no group, as with the files.
            Err(Outcome::NotFound) => return Ok(Outcome::Groups),
            Err(other) => return Err(other),
        };
        let Of::Section(number) = account.of else { return Ok(Outcome::Groups) };
        let shared = &mut *step.shared;
        self.groups.refresh(&mut shared.window).map_err(Outcome::failed)?;
        let Map { config, room, groups, .. } = self;
        let section = config.sections.get(number).ok_or(Outcome::NotFound)?;
        for gid in section.groups.iter().filter_map(|g| groups.gid(g)) {
            shared.gids.add(gid);
        }
        if section.rc {
            evidence::path(&section.template.home, name, room).map_err(Outcome::failed)?;
            if let Some(gid) = rc::gid(room, !config.compat, &mut shared.window)? {
                shared.gids.add(gid);
            }
        }
        Ok(Outcome::Groups)
    }

    /// Puts together the record of an account.
    fn lend(
        &mut self,
        hit: &mut Hit,
        db: Db,
        name: &[u8],
        account: Account,
    ) -> Result<Outcome, Outcome> {
        let Map { config, area, .. } = self;
        area.clear();
        let put = |area: &mut heapless::Vec<u8, AREA>, text: &[u8]| {
            area.extend_from_slice(text).map_err(|_| Outcome::failed(Errno::NAMETOOLONG))
        };
        put(area, name)?;
        if db == Db::Shadow {
            // No hash is like this; some programs take "!" for a locked account.
            put(area, b"\0NP\0")?;
            let len = area.len() as u32;
            *hit = Hit::Map(Head::Shadow { numbers: SHADOW, len });
            return Ok(Outcome::Found);
        }
        let template = match account.of {
            Of::Section(at) => config.sections.get(at).map(|s| &s.template),
            Of::Numbers(at) => config.numbers.get(at).map(|n| &n.template),
        };
        let template = template.ok_or(Outcome::NotFound)?;
        put(area, b"\0x\0")?;
        put(area, &template.gecos)?;
        put(area, b"\0")?;
        let mut room = [0; DECIMAL_MAX];
        let place = match account.of {
            Of::Section(_) => name,
            Of::Numbers(_) => write_decimal(u64::from(account.uid), &mut room),
        };
        for piece in template.home.pieces(place) {
            put(area, piece)?;
        }
        put(area, b"\0")?;
        put(area, &template.shell)?;
        put(area, b"\0")?;
        let (uid, gid, len) = (Uid(account.uid), Gid(account.gid), area.len() as u32);
        *hit = Hit::Map(Head::Passwd { uid, gid, len });
        Ok(Outcome::Found)
    }

    /// Puts together a group without members.
    fn lend_group(&mut self, hit: &mut Hit, name: &[u8], gid: u32) -> Result<Outcome, Outcome> {
        self.area.clear();
        let whole = self.area.extend_from_slice(name);
        let whole = whole.and_then(|()| self.area.extend_from_slice(b"\0x\0"));
        whole.map_err(|_| Outcome::failed(Errno::NAMETOOLONG))?;
        let len = self.area.len() as u32;
        *hit = Hit::Map(Head::Group { gid: Gid(gid), len, members: 0 });
        Ok(Outcome::Found)
    }
}
