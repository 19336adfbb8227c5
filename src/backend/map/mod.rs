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
#[cfg(feature = "userdb")]
mod key_files;
mod kinds;
mod list;
pub mod names;
mod near;
pub mod pairs;
mod plan;
pub mod problem;
mod rc;
pub mod registry;
mod scan;
pub mod sections;
pub mod single;
mod slow;
pub mod start;
pub mod template;
mod trust;

#[cfg(feature = "userdb")]
use super::KeyPlace;
use super::client::Hit;
use super::{Outcome, Source, Step, Teller};
use crate::sys::access::{Peer, Rights};
use crate::sys::file::fill;
use crate::sys::privilege::keep_secret;
use crate::sys::sandbox::Sandbox;
use config::{Config, Section, SectionKind};
use nssproto::bytes::{DECIMAL_MAX, decimal_u32, write_decimal};
use nssproto::entry::{Db, Gid, Name, Record, Uid};
use nssproto::nsss::{Head, Request};
use plan::planned_uid;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use template::{GidOf, Ids, LINE_MAX, Template};

pub use list::{collisions, put, show};

/// Room for the strings of a record: a template and the longest name thrice.
const AREA: usize = LINE_MAX + 3 * (Name::MAX + 1);

/// The day that libnss_map says each password was changed on, 2007-02-27, and its other numbers.
const SHADOW: [u64; 7] = [13571, 0, 99999, 7, u64::MAX, u64::MAX, u64::MAX];

/// The key, or why there is none.
enum Keyed {
    With(key::Key),
    Refused(Errno),
}

/// A configuration, and what it needs to answer.
pub struct Map {
    config: &'static Config<'static>,
    /// Where that is.
    file: &'static [u8],
    key: Keyed,
    /// Uid and gid of the one client, where that is known.
    me: Option<Peer>,
    /// What the asker's own environment says, if that is to be believed.
    logname: Option<Vec<u8>>,
    known: pairs::Pairs,
    scan: Option<scan::Scan>,
    registry: Option<registry::Registry>,
    /// The registry may not be read.
    refused: Option<Errno>,
    groups: groups::SectionGroups,
    /// Evidence can block.
    slow: bool,
    /// Files that are required are told as ssh keys.
    #[cfg(feature = "userdb")]
    tells_keys: bool,
    // What is large is elsewhere, so that the rest is near: that makes smaller code.
    /// A path that is being looked at.
    room: Box<evidence::Room>,
    /// How it is looked at.
    look: evidence::Look,
    /// The strings of the record that was found.
    area: Box<heapless::Vec<u8, AREA>>,
    told: Box<claim::Told>,
}

/// An account that was found: the section it is made of, and its uid.
#[derive(Clone, Copy, Debug)]
struct Account {
    section: &'static Section<'static>,
    uid: u32,
}

impl Account {
    fn gid(&self) -> u32 {
        match self.section.template.gid {
            GidOf::One(gid) => gid,
            GidOf::Uid => self.uid,
        }
    }
}

/// A name that is kept while other things are looked at.
type Login = heapless::Vec<u8, { Name::MAX }>;

impl Source for Map {
    fn place(&self, _: Option<Db>) -> &[u8] {
        self.file
    }

    fn ask(&mut self, mut step: Step<'_>, request: &Request<'_>) -> Outcome {
        let answer = match *request {
            Request::SetTimeout { .. } | Request::End(_) | Request::Rewind(_) => {
                return Outcome::Done;
            }
            // Nobody can tell who might exist.
            Request::Next(_) => return Outcome::NotFound,
            Request::ByName(Db::Group, name) => self.group_by_name(&mut step, name.bytes()),
            Request::ByName(Db::Shadow, name) if self.config.compat => {
                // libnss_map looks at nothing here.
                self.lend_shadow(step.hit, name.bytes())
            }
            Request::ByName(db, name) => match self.by_name(&mut step, name.bytes()) {
                Ok(_) if db == Db::Shadow => self.lend_shadow(step.hit, name.bytes()),
                Ok(account) => self.lend(step.hit, name.bytes(), account),
                Err(outcome) => Err(outcome),
            },
            Request::ByUid(uid) => self.by_number(&mut step, SectionKind::Uids, uid.0),
            Request::ByGid(gid) => self.by_number(&mut step, SectionKind::Gids, gid.0),
            Request::GroupList { user, .. } => self.groups_of(&mut step, user.bytes()),
        };
        match (answer, request) {
            (Err(outcome), _) => outcome,
            (Ok(()), Request::GroupList { .. }) => Outcome::Groups,
            (Ok(()), _) => Outcome::Found,
        }
    }

    fn teller(&self) -> Teller {
        Teller::Map
    }

    fn record<'a>(&'a self, _: &'a [u8], hit: &Hit) -> Option<Record<'a>> {
        self.record_of(&hit.head()?)
    }

    #[cfg(feature = "userdb")]
    fn tell_ssh_keys(&mut self) {
        self.tells_keys = true;
    }

    #[cfg(feature = "userdb")]
    fn ssh_keys(
        &mut self,
        rights: Rights,
        name: &[u8],
        place: &mut KeyPlace,
        out: &mut [u8],
    ) -> Result<usize, Errno> {
        self.key_files(rights, name, place, out)
    }

    fn may_block(&self) -> bool {
        self.slow
    }

    fn wait_for_nothing(&mut self) -> bool {
        let looks = |s: &Section| !s.require.is_empty() || s.rc;
        let looks = self.config.sections.iter().any(looks);
        if looks {
            self.look = evidence::Look::Near(near::Near::new());
        }
        looks
    }

    fn close_idle(&mut self) -> bool {
        let scan = self.scan.as_mut().is_some_and(scan::Scan::close_idle);
        let registry = self.registry.as_mut().is_some_and(registry::Registry::close_idle);
        self.groups.close_idle() | registry | scan
    }

    fn guard(&self) {
        if matches!(self.key, Keyed::With(_)) {
            keep_secret();
        }
    }

    fn allow(&self, sandbox: &mut Sandbox) {
        let path = |bytes| Path::new(OsStr::from_bytes(bytes));
        if !self.groups.is_empty() {
            sandbox.open_later(|| path(groups::FILE).into());
        }
        if let Some(registry) = &self.registry {
            sandbox.append_later(|| path(registry.path()).into());
        }
        if self.config.compat {
            // Names are not checked there, so a home may be anywhere.
            sandbox.list_later(|| "/".into());
        }
        if matches!(self.look, evidence::Look::Near(_)) {
            sandbox.list_later(|| near::INFO.into());
        }
        // Evidence is only looked at, which is always allowed.
        if let Some(scan) = &self.scan {
            for dir in scan.directories() {
                sandbox.list_later(|| path(dir.to_bytes()).into());
            }
        }
        #[cfg(feature = "userdb")]
        for file in self.files_of_keys() {
            let dir = || scan::directory(file).map_or(file.before, |(dir, ..)| dir);
            sandbox.list_later(|| path(dir()).into());
        }
        for section in self.config.sections.iter().filter(|s| s.rc) {
            let home = &section.template.home;
            let dir = || scan::directory(home).map_or(home.before, |(dir, ..)| dir);
            sandbox.list_later(|| path(dir()).into());
        }
    }
}

impl Map {
    /// The record with this head.
    pub fn record_of(&self, head: &Head) -> Option<Record<'_>> {
        head.record(&self.area).ok()
    }

    /// The account of a name, if it is admitted. The error is "not found", a failure, or that the
    /// budget is used up.
    fn by_name(&mut self, step: &mut Step<'_>, name: &[u8]) -> Result<Account, Outcome> {
        if !self.config.compat {
            if !self.config.allows(name) {
                return Err(Outcome::NotFound);
            }
            if let Some(id) = self.number_of(SectionKind::Uids, name, step.rights)? {
                return self.of_number(SectionKind::Uids, id);
            }
            if self.config.is_reserved(name) {
                return Err(Outcome::NotFound);
            }
        }
        let section = self.config.section_of(name).ok_or(Outcome::NotFound)?;
        self.admit(step, section, name)
    }

    /// The account of a name in its section.
    fn admit(
        &mut self,
        step: &mut Step<'_>,
        section: &'static Section<'static>,
        name: &[u8],
    ) -> Result<Account, Outcome> {
        let home = &section.template.home;
        let Map { room, look, .. } = self;
        let owner = evidence::look_for(&section.require, home, name, room, look)?;
        let uid = planned_uid(self.config, &self.key, section, name).map_err(Outcome::failed)?;
        if section.require.owned && owner != uid {
            return Err(Outcome::NotFound);
        }
        if section.derives() {
            self.claim(step, name, uid, !section.require.is_empty())?;
        }
        Ok(Account { section, uid })
    }

    /// The number that `name` stands for in a section of numbers.
    fn number_of(
        &self,
        kind: SectionKind,
        name: &[u8],
        rights: Rights,
    ) -> Result<Option<u32>, Outcome> {
        let mut depends = false;
        for section in self.config.sections.iter().filter(|s| s.kind == kind) {
            let pattern = &section.template.name;
            let id = if let Some(digits) = pattern.name_in(name) {
                // One spelling only, or one number would have several names.
                let plain = digits == b"0" || !digits.starts_with(b"0");
                decimal_u32(digits).filter(|_| plain)
            } else if pattern.after.is_none() && pattern.before == name {
                depends = true;
                let Peer { uid: Uid(uid), gid: Gid(gid) } =
                    self.ids_of(rights).ok_or(Outcome::failed(Errno::ACCESS))?;
                Some(if kind == SectionKind::Uids { uid } else { gid })
            } else {
                None
            };
            let id = id.filter(|id| section.has_number(*id));
            if id.is_some() {
                return Ok(id);
            }
        }
        if depends { Err(Outcome::NotFound) } else { Ok(None) }
    }

    /// Uid and gid of whoever asks; `None` if that is not known.
    fn ids_of(&self, rights: Rights) -> Option<Peer> {
        match rights {
            Rights::Own => self.me,
            Rights::Peer(peer) | Rights::Public(peer) => Some(peer),
            Rights::Unknown => None,
        }
    }

    fn of_number(&self, kind: SectionKind, id: u32) -> Result<Account, Outcome> {
        let section = self.config.section_of_number(kind, id).ok_or(Outcome::NotFound)?;
        Ok(Account { section, uid: id })
    }

    /// The name of an account of a number.
    fn number_name(account: Account, login: &mut Login) {
        let mut room = [0; DECIMAL_MAX];
        let digits = write_decimal(u64::from(account.uid), &mut room);
        // Judged at start: it fits.
        let _ = fill(login, &account.section.template.name.pieces(digits));
    }

    /// The user, or the group, of a number.
    fn by_number(
        &mut self,
        step: &mut Step<'_>,
        kind: SectionKind,
        id: u32,
    ) -> Result<(), Outcome> {
        let mut name = Login::new();
        let section = self.config.section_of_uid(id);
        let account = if let Ok(account) = self.of_number(kind, id) {
            Self::number_name(account, &mut name);
            account
        } else if section.is_some_and(|s| kind == SectionKind::Uids || s.template.gid == GidOf::Uid)
        {
            self.holder(step, id, &mut name)?
        } else if kind == SectionKind::Uids {
            self.sharer(step, id, &mut name)?
        } else {
            return Err(Outcome::NotFound);
        };
        match kind {
            SectionKind::Gids => self.lend_group(step.hit, &name, id),
            _ => self.lend(step.hit, &name, account),
        }
    }

    /// Who of those that share `uid` asks: in his own process, by LOGNAME.
    fn sharer(
        &mut self,
        step: &mut Step<'_>,
        uid: u32,
        login: &mut Login,
    ) -> Result<Account, Outcome> {
        let name = self.logname.as_deref().ok_or(Outcome::NotFound)?;
        fill(login, &[name]).map_err(|_| Outcome::NotFound)?;
        let account = self.by_name(step, login)?;
        let shared = matches!(account.section.template.ids, Ids::One(_));
        if shared && account.uid == uid { Ok(account) } else { Err(Outcome::NotFound) }
    }

    fn group_by_name(&mut self, step: &mut Step<'_>, name: &[u8]) -> Result<(), Outcome> {
        if !self.config.compat {
            if self.config.allows(name) {
                if let Some(id) = self.number_of(SectionKind::Gids, name, step.rights)? {
                    return self.lend_group(step.hit, name, id);
                }
            }
            // Before any evidence is looked at: only some sections have groups at all.
            let section = self.config.section_of(name);
            if section.is_none_or(|s| s.template.gid != GidOf::Uid) {
                return Err(Outcome::NotFound);
            }
        }
        let account = self.by_name(step, name)?;
        match account.section.kind {
            SectionKind::Map => self.lend_group(step.hit, name, account.gid()),
            _ => Err(Outcome::NotFound),
        }
    }

    /// The supplementary groups of a user: those of his section, then that of his .nssmaprc.
    fn groups_of(&mut self, step: &mut Step<'_>, name: &[u8]) -> Result<(), Outcome> {
        let account = match self.by_name(step, name) {
            Ok(account) => account,
            // Whoever is unknown is in no group, as with the files.
            Err(Outcome::NotFound) => return Ok(()),
            Err(other) => return Err(other),
        };
        let section = account.section;
        if section.kind != SectionKind::Map {
            return Ok(());
        }
        let shared = &mut *step.shared;
        let Map { config, room, look, groups, .. } = self;
        groups.add(section.line, shared)?;
        if section.rc {
            let home = evidence::path(&section.template.home, name, room);
            let home = home.map_err(Outcome::failed)?;
            if let Some(gid) = rc::gid(home, !config.compat, look, shared.window.room())? {
                shared.gids.add(gid);
            }
        }
        Ok(())
    }

    /// Puts together the record of an account.
    fn lend(&mut self, hit: &mut Hit, name: &[u8], account: Account) -> Result<(), Outcome> {
        let area = &mut self.area;
        let Template { gecos, home, shell, .. } = &account.section.template;
        let mut room = [0; DECIMAL_MAX];
        let place = match account.section.kind {
            SectionKind::Map => name,
            _ => write_decimal(u64::from(account.uid), &mut room),
        };
        let [before, slash, place, after] = home.pieces(place);
        let end: &[u8] = b"\0";
        fill(
            &mut **area,
            &[name, b"\0x\0", gecos, end, before, slash, place, after, end, shell, end],
        )
        .map_err(Outcome::failed)?;
        let (uid, gid) = (Uid(account.uid), Gid(account.gid()));
        *hit = Hit::Head(Head::Passwd { uid, gid, len: area.len() as u32 });
        Ok(())
    }

    /// Puts together a shadow record.
    fn lend_shadow(&mut self, hit: &mut Hit, name: &[u8]) -> Result<(), Outcome> {
        // No hash is like this; some programs take "!" for a locked account.
        fill(&mut *self.area, &[name, b"\0NP\0"]).map_err(Outcome::failed)?;
        *hit = Hit::Head(Head::Shadow { numbers: SHADOW, len: self.area.len() as u32 });
        Ok(())
    }

    /// Puts together a group without members.
    fn lend_group(&mut self, hit: &mut Hit, name: &[u8], gid: u32) -> Result<(), Outcome> {
        fill(&mut *self.area, &[name, b"\0x\0"]).map_err(Outcome::failed)?;
        let len = self.area.len() as u32;
        *hit = Hit::Head(Head::Group { gid: Gid(gid), len, members: 0 });
        Ok(())
    }
}
