//! `nsscache watch`: one map, kept current for as long as the process lives.
//!
//! A source that tells of changes is followed, any other is asked now and then. What comes in a burst is
//! gathered. Whatever fails, the last good set stays, and it is tried again later.

use super::config::{Config, MapConfig};
use super::failure::{Done, Failure};
use super::hook;
use super::lock::{self, Lock, NotLocked};
use super::log::Log;
use super::source::Source;
use super::state::State;
use super::targets::Place;
use super::turns::{Options, Turn, Turns};
use super::update;
use crate::limits::{
    WATCH_BACKOFF_SECONDS, WATCH_BURST_MILLIS, WATCH_LOCK_MILLIS, WATCH_QUIET_MILLIS, WATCH_SECONDS,
};
use crate::sys::clock::millis;
use crate::sys::file::read_path;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// What all maps share.
pub struct Shared {
    /// Who writes: a lock of the process, which the lock file is not.
    writing: Mutex<()>,
    /// Who runs `post_update`.
    calling: Mutex<()>,
    /// It is to be run.
    hook_due: AtomicBool,
    /// Maps that were not brought up to date yet, or failed to be, for the first time.
    pub first: AtomicU32,
    /// What is written to when one is: the reader waits for it.
    pub first_done: OwnedFd,
}

impl Shared {
    /// For so many maps.
    pub fn new(maps: u32, first_done: OwnedFd) -> Shared {
        let (writing, calling, hook_due) = (Mutex::new(()), Mutex::new(()), AtomicBool::new(false));
        Shared { writing, calling, hook_due, first: AtomicU32::new(maps), first_done }
    }
}

/// A map that is kept current.
pub struct Watch<'a> {
    /// What it is; of several that belong together the first.
    pub config: &'a MapConfig<'a>,
    /// All of those.
    pub maps: &'a [MapConfig<'a>],
    /// The whole.
    pub all: &'a Config,
    /// Where it tells.
    pub log: &'a Log,
    /// With the others.
    pub shared: &'a Shared,
    /// Readable: it is to be updated now.
    pub wake: &'a OwnedFd,
    told_first: bool,
    /// Since when what it does goes well.
    good_since: Option<u64>,
    /// Largest counts of the last day, by when they were.
    counts: VecDeque<(u64, u64)>,
    last_write: u64,
    /// When all is fetched again; 0: never, or not begun.
    next_full: u64,
}

const HOUR: u64 = 3_600_000;

impl<'a> Watch<'a> {
    /// One that has not begun.
    pub fn new(
        (config, maps): (&'a MapConfig<'a>, &'a [MapConfig<'a>]),
        all: &'a Config,
        log: &'a Log,
        shared: &'a Shared,
        wake: &'a OwnedFd,
    ) -> Self {
        let counts = VecDeque::new();
        Watch {
            config,
            maps,
            all,
            log,
            shared,
            wake,
            told_first: false,
            good_since: None,
            counts,
            last_write: 0,
            next_full: 0,
        }
    }

    /// Goes on for ever.
    pub fn run(&mut self) {
        let (mut failures, mut pause) = (0u32, 0);
        loop {
            self.good_since = None;
            let failure = match self.session() {
                Ok(never) => match never {},
                Err(failure) => failure,
            };
            self.tell_first();
            let name = self.config.map.name();
            self.log.error("watch", format!("{name}: {failure}"));
            // One that went well for longer than was waited for it begins from the start.
            let good = self.good_since.map_or(0, |since| millis().saturating_sub(since));
            failures = if good > pause { 1 } else { failures.saturating_add(1) };
            pause = WATCH_BACKOFF_SECONDS.min(1 << failures.min(16).saturating_sub(1)) * 1000;
            pause = pause / 2 + self.jitter(pause / 2 + 1, failures.into());
            self.note(&format!("waits {} s after an error", pause.div_ceil(1000)));
            self.wait(None, Some(pause));
        }
    }

    /// A number below `most` that is this machine's own for this map.
    fn jitter(&self, most: u64, salt: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        let id = read_path(b"/etc/machine-id").unwrap_or_default();
        let host = read_path(b"/proc/sys/kernel/hostname").unwrap_or_default();
        (id, host, self.config.map.name(), salt).hash(&mut hasher);
        hasher.finish() % most.max(1)
    }

    fn tell_first(&mut self) {
        if !self.told_first {
            self.told_first = true;
            self.shared.first.fetch_sub(1, Ordering::Relaxed);
            let _ = rustix::io::write(&self.shared.first_done, b".");
        }
    }

    /// What it does, for `status`.
    fn note(&self, what: &str) {
        for map in self.maps {
            if let Ok(stamps) = Place::Map.stamps(map) {
                let _ = stamps.write_file(&stamps.beside("watch"), &format!("{what}\n"));
            }
        }
    }

    /// From one failure to the next.
    fn session(&mut self) -> Done<std::convert::Infallible> {
        let interval = self.config.number("watch_interval", WATCH_SECONDS)?.max(1) * 1000;
        let mut source = update::source(self.config, self.log)?;
        self.write(source.as_mut())?;
        let mut follows = match source.follow() {
            Some(follow) => follow.begin()?,
            None => false,
        };
        self.tell_first();
        self.good_since = Some(millis());
        let note = |follows| match follows {
            true => "follows the source".to_owned(),
            false => format!("asks every {} s", interval / 1000),
        };
        self.note(&note(follows));
        // Hosts that begin together do not ask together.
        let mut next = millis() + self.jitter(interval, 0).max(1);
        loop {
            let asks = match source.follow() {
                Some(follow) => !follows || !follow.tells_all(),
                None => true,
            };
            let due = if asks { next } else { self.next_full };
            let woken = match follows {
                true => self.gather(source.as_mut(), due)?,
                false => self.wait(None, until(due)),
            };
            if woken == Woken::Time && millis() < due {
                continue;
            }
            if woken == Woken::Hand
                && follows
                && let Some(follow) = source.follow()
            {
                // What it is followed by may be dead, and nobody has noticed.
                follows = follow.begin()?;
            }
            self.write(source.as_mut())?;
            if asks && millis() >= next {
                next = next.max(millis().saturating_sub(interval)) + interval;
            }
            if follows
                && let Some(follow) = source.follow()
                && !follow.taken()?
            {
                follows = follow.begin()?;
                self.note(&note(follows));
            }
        }
    }

    /// Waits for changes, and until no more of them come; or until a time.
    fn gather(&self, source: &mut dyn Source, due: u64) -> Done<Woken> {
        let mut since = None;
        loop {
            let Some(follow) = source.follow() else { return Ok(Woken::Time) };
            if follow.is_changed() {
                since.get_or_insert_with(millis);
            }
            let left = match since {
                Some(since) => {
                    let burst = (since + WATCH_BURST_MILLIS).saturating_sub(millis());
                    Some(burst.min(WATCH_QUIET_MILLIS))
                }
                None => until(due),
            };
            let woken = match follow.has_more() {
                true => Woken::Source,
                false => self.wait(follow.fd(), left),
            };
            match woken {
                Woken::Source if left != Some(0) => {
                    follow.read()?;
                }
                Woken::Hand => return Ok(Woken::Hand),
                _ if since.is_some() => return Ok(Woken::Source),
                _ if millis() >= due => return Ok(Woken::Time),
                _ => {}
            }
        }
    }

    /// Updates the map.
    fn write(&mut self, source: &mut dyn Source) -> Done {
        let pause: u64 = self.config.number("watch_min_interval", 0)?;
        let early = (self.last_write + pause * 1000).saturating_sub(millis());
        if self.last_write > 0 && early > 0 {
            std::thread::sleep(Duration::from_millis(early));
        }
        let day = millis().saturating_sub(24 * HOUR);
        while self.counts.front().is_some_and(|(when, _)| *when < day) {
            self.counts.pop_front();
        }
        let most = self.counts.iter().map(|(_, count)| *count).max();
        let hours: u64 = self.config.number("watch_full_hours", 24)?;
        let full = self.next_full > 0 && hours > 0 && millis() >= self.next_full;
        if self.next_full == 0 || full {
            self.next_full = if hours > 0 { millis() + hours * HOUR } else { 0 };
        }
        let options = Options { full, most_entries: most, ..Options::default() };
        let done = update::group(self.maps, source, options, self.log, self);
        // Followed or not: between two changes only what tells of them is kept open.
        source.rest();
        let changed = done?;
        let stamps = Place::Map.stamps(self.config)?;
        if let Some(entries) = State::read(&stamps).entries {
            self.counts.retain(|(_, count)| *count > entries);
            self.counts.push_back((millis(), entries));
        }
        if changed {
            self.last_write = millis();
            self.shared.hook_due.store(true, Ordering::Relaxed);
        }
        self.hook();
        Ok(())
    }

    /// `post_update`, once for all maps that changed until it runs.
    fn hook(&self) {
        if !self.shared.hook_due.load(Ordering::Relaxed) {
            return;
        }
        // Others write meanwhile; then it is due again.
        let _calling = self.shared.calling.lock();
        if self.shared.hook_due.swap(false, Ordering::Relaxed)
            && let Ok(Some(command)) = self.all.text("post_update")
            && let Err(failure) = hook::run(&command)
        {
            self.log.warning("watch", failure);
        }
    }

    /// Waits until a source has something, or so many milliseconds.
    fn wait(&self, fd: Option<std::os::fd::BorrowedFd<'_>>, left: Option<u64>) -> Woken {
        let time = left.map(|left| Timespec {
            tv_sec: (left / 1000) as _,
            tv_nsec: (left % 1000 * 1_000_000) as _,
        });
        let mut fds = vec![PollFd::new(self.wake, PollFlags::IN)];
        if let Some(fd) = &fd {
            fds.push(PollFd::new(fd, PollFlags::IN));
        }
        match poll(&mut fds, time.as_ref()) {
            Err(Errno::INTR) | Ok(0) => return Woken::Time,
            Err(_) => {
                std::thread::sleep(Duration::from_secs(1));
                return Woken::Time;
            }
            Ok(_) => {}
        }
        if fds.first().is_some_and(|wake| !wake.revents().is_empty()) {
            let mut room = [0; 16];
            let _ = rustix::io::read(self.wake, &mut room);
            return Woken::Hand;
        }
        Woken::Source
    }
}

impl Turns for Watch<'_> {
    /// The lock that `update` takes, which may have it for a while.
    fn turn(&self) -> Done<Turn<'_>> {
        let ours = self.shared.writing.lock();
        let path = self.all.text("lockfile")?.unwrap_or_else(|| lock::DEFAULT.to_owned());
        let until = millis() + WATCH_LOCK_MILLIS;
        loop {
            match Lock::take(&path, false, self.log) {
                Ok(lock) => return Ok(Turn { lock, ours }),
                Err(NotLocked::Failed(failure)) => return Err(failure),
                Err(NotLocked::Held) if millis() < until => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(NotLocked::Held) => {
                    return Err(Failure::unavailable(format!(
                        "another process has the lock {path}"
                    )));
                }
            }
        }
    }
}

/// Milliseconds until then; 0 stands for never.
fn until(due: u64) -> Option<u64> {
    (due > 0).then(|| due.saturating_sub(millis()))
}

/// What ended a wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Woken {
    Time,
    Source,
    Hand,
}
