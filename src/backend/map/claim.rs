//! Whether a derived uid belongs to its name: by the pins, then by the registry, or where there
//! is none by what a scan finds. A uid is never anybody's second choice.

use super::config::{Config, SectionKind};
use super::evidence::{Look, Room, look_for};
use super::plan::planned;
use super::{Account, Login, Map};
use crate::backend::client::{Enumerations, Hit, Search, Sequel};
use crate::backend::gids::Gids;
use crate::backend::{Outcome, Shared, Step};
use crate::sys::access::Rights;
use crate::sys::file::fill;
use crate::sys::message::Message;
use nssproto::line::Rules;
use rustix::io::Errno;
use std::ptr;

impl Map {
    /// Lets `name`, which is admitted, have `uid`, and keeps that if `keeps`. The error is "not
    /// found" for a collision, which is told, or a failure.
    pub(super) fn claim(
        &mut self,
        step: &mut Step<'_>,
        name: &[u8],
        uid: u32,
        keeps: bool,
    ) -> Result<(), Outcome> {
        if let Some(errno) = self.refused {
            return Err(Outcome::failed(errno));
        }
        if let Some(holder) = self.config.holder_of(uid).filter(|h| *h != name) {
            return Err(self.told.tell_pair(uid, name, holder));
        }
        if self.scans() {
            self.refresh_scan(step)?;
        } else if self.known.uid_of(name) == Some(uid) {
            // The registry only grows: what it has said stays.
            return Ok(());
        } else {
            self.read_on(step)?;
        }
        self.judge(name, uid)?;
        if !keeps || self.known.uid_of(name).is_some() {
            return Ok(());
        }
        let Some(registry) = &mut self.registry else { return Ok(()) };
        match registry.writable() {
            Ok(()) => {}
            Err(Errno::ROFS) => return Ok(()),
            Err(errno) => return Err(Outcome::failed(errno)),
        }
        let appended = registry.append(name, uid, &mut self.known, step.shared.window.room());
        appended.map_err(Outcome::failed)?;
        self.judge(name, uid)
    }

    /// What is known of `name` and `uid` must not speak against the pair: another uid of his, or
    /// another name with this one. A registered name always counts, one that was merely found if it
    /// is admitted.
    fn judge(&mut self, name: &[u8], uid: u32) -> Result<(), Outcome> {
        let Map { config, room, look, known, told, .. } = self;
        if let Some(other) = known.uid_of(name).filter(|known| *known != uid) {
            return Err(told.tell_moved(name, uid, other));
        }
        let mut number = 0;
        loop {
            let Some(pair) = known.nth(uid, number) else { return Ok(()) };
            let other = pair.name();
            if other != name
                && (known.is_registered(uid) || is_admitted(config, room, look, other, uid)?)
            {
                return Err(told.tell_pair(uid, name, other));
            }
            number += 1;
        }
    }

    /// Whether uids are found by a scan: there is no registry that could keep them.
    fn scans(&self) -> bool {
        self.registry.as_ref().is_none_or(|r| r.writable() == Err(Errno::ROFS))
    }

    /// Reads what was appended to the registry.
    fn read_on(&mut self, step: &mut Step<'_>) -> Result<(), Outcome> {
        let Some(registry) = &mut self.registry else { return Ok(()) };
        step.shared.holds_files = true;
        let read = registry.refresh(&mut self.known, step.shared.window.room());
        read.map_err(Outcome::failed)
    }

    /// Brings what a scan found up to date, or as far as the budget goes.
    fn refresh_scan(&mut self, step: &mut Step<'_>) -> Result<(), Outcome> {
        self.read_on(step)?;
        let Map { config, known, scan, key, look, .. } = self;
        let Some(scan) = scan else { return Ok(()) };
        if !scan.is_running() {
            if scan.is_current(look) {
                return Ok(());
            }
            known.forget_found();
            scan.start();
        }
        step.shared.holds_files = true;
        scan.go_on(look, step.budget, |section, name| match planned(config, key, name) {
            // Only a name that belongs to the section whose directory it is in.
            Ok(account) if ptr::eq(account.section, section) => known.find(name, account.uid),
            _ => {}
        })
    }

    /// Who has `uid`, of a range, and is admitted: `login` becomes his name.
    pub(super) fn holder(
        &mut self,
        step: &mut Step<'_>,
        uid: u32,
        login: &mut Login,
    ) -> Result<Account, Outcome> {
        if let Some(errno) = self.refused {
            return Err(Outcome::failed(errno));
        }
        let pinned = self.config.holder_of(uid).map(|h| fill(login, &[h])).is_some();
        if pinned {
            return self.confirmed(step, uid, login);
        }
        if self.scans() {
            if let super::Keyed::Refused(errno) = self.key {
                return Err(Outcome::failed(errno));
            }
            self.refresh_scan(step)?;
        } else if self.known.nth(uid, 0).is_none() {
            self.read_on(step)?;
        }
        let mut number = 0;
        loop {
            let pair = self.known.nth(uid, number).ok_or(Outcome::NotFound)?;
            // It has room for longer ones.
            let _ = fill(login, &[pair.name()]);
            match self.confirmed(step, uid, login) {
                Err(Outcome::NotFound) => number += 1,
                other => return other,
            }
        }
    }

    /// The account of `login`, if that has `uid`.
    fn confirmed(
        &mut self,
        step: &mut Step<'_>,
        uid: u32,
        login: &Login,
    ) -> Result<Account, Outcome> {
        let account = self.by_name(step, login)?;
        let of_name = account.section.kind == SectionKind::Map;
        if of_name && account.uid == uid { Ok(account) } else { Err(Outcome::NotFound) }
    }

    /// Whether `name` could have `uid` if it were admitted: the tools' question. Nothing is kept.
    pub(super) fn check_claim(&mut self, name: &[u8], uid: u32) -> Result<(), Outcome> {
        let mut step = Step {
            shared: &mut Shared::new(Gids::NONE),
            rights: Rights::Own,
            rules: Rules::Nsss,
            lists: false,
            budget: &mut { u64::MAX },
            search: &mut Search::default(),
            enumerations: &mut Enumerations::default(),
            sequel: &mut Sequel::default(),
            hit: &mut Hit::None,
        };
        self.claim(&mut step, name, uid, false)
    }
}

/// Whether the evidence for `name` is there, its uid being `uid`.
fn is_admitted(
    config: &Config,
    room: &mut Room,
    look: &mut Look,
    name: &[u8],
    uid: u32,
) -> Result<bool, Outcome> {
    let Some(section) = config.section_of(name) else { return Ok(false) };
    match look_for(&section.require, &section.template.home, name, room, look) {
        Ok(owner) => Ok(!section.require.owned || owner == uid),
        Err(Outcome::NotFound) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Uids whose collision was told; who has more of them has read enough.
#[derive(Default)]
pub(super) struct Told(heapless::Vec<u32, 64>);

impl Told {
    /// Names two people who would have one uid, once; "not found" for whoever asks.
    fn tell_pair(&mut self, uid: u32, name: &[u8], other: &[u8]) -> Outcome {
        if self.tells(uid) {
            let mut message = Message::warning("nsssd-map");
            message.quoted(name);
            message.text(" is refused: its uid ").number(u64::from(uid));
            message.text(" is that of ").quoted(other).text("; pin one of them").send();
        }
        Outcome::NotFound
    }

    /// Names somebody whom the registry knows with another uid; the same.
    fn tell_moved(&mut self, name: &[u8], uid: u32, registered: u32) -> Outcome {
        if self.tells(registered) {
            let mut message = Message::warning("nsssd-map");
            message.quoted(name);
            message.text(" is refused: its uid would be ").number(u64::from(uid));
            message.text(", but is registered as ").number(u64::from(registered));
            message.text("; pin it to that").send();
        }
        Outcome::NotFound
    }

    fn tells(&mut self, uid: u32) -> bool {
        !self.0.contains(&uid) && self.0.push(uid).is_ok()
    }
}

/// A failure for tools, as an errno.
pub(super) fn errno_of(outcome: Outcome) -> Option<Errno> {
    match outcome {
        Outcome::Failed(errno) => Some(Errno::from_raw_os_error(errno.into())),
        _ => None,
    }
}
