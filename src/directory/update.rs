//! `nsscache update`: one run over the maps.

use super::config::{Config, MapConfig};
use super::diff::{Counts, compare};
use super::failure::{Done, Failure, Kind};
use super::fields::Style;
use super::folder::Folder;
use super::hook;
use super::intake::Intake;
use super::judge::Judge;
use super::lock::Lock;
use super::log::Log;
use super::maps::Map;
use super::rebuild::rebuild;
use super::set::ReadyMap;
use super::source::{Fetched, Object, SOURCES, Since, Source};
use super::stamp::{Stamps, Which, now};
use super::state::{DataStamp, State, Validators};
use super::targets::{self, Listed, Master, Place};
use super::temporary::sweep;
use super::write::NewSet;
use crate::sys::clock::millis;
use crate::sys::file::open_path;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::sync::{LockResult, MutexGuard};
use std::time::Duration;

/// What the command line says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whole maps, whatever we have.
    pub full: bool,
    /// An empty map is accepted.
    pub force_write: bool,
    /// A map that shrank too much is accepted.
    pub accept_shrink: bool,
    /// The most entries that the map had of late: it is measured against them, too.
    pub most_entries: Option<u64>,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// A map failed for good.
    pub refused: bool,
    /// A source could not be reached.
    pub unavailable: bool,
    /// A file is new.
    pub changed: bool,
}

impl Outcome {
    fn add(&mut self, failure: &Failure) {
        match failure.kind {
            Kind::Unavailable => self.unavailable = true,
            Kind::Refused => self.refused = true,
        }
    }
}

/// How far a map may shrink, in percent, before it is refused; and never by so few entries.
const MAX_SHRINK: u64 = 20;
const SHRINK_LEAST: u64 = 10;

/// Updates these maps, one after the other; a failed one does not hold up the others.
pub fn run(config: &Config, maps: &[MapConfig<'_>], options: Options, log: &Log) -> Outcome {
    let mut outcome = Outcome::default();
    for map in maps {
        let done = match map.map {
            Map::Automount => source(map, log).and_then(|mut source| {
                automount(map, source.as_mut(), options, &mut outcome, log, None)
            }),
            _ => single(map, options, log).map(|changed| outcome.changed |= changed),
        };
        log.clear();
        if let Err(failure) = done {
            log.error("update", format!("{}: {failure}", map.map.name()));
            outcome.add(&failure);
        }
    }
    if outcome.changed
        && let Ok(Some(command)) = config.text("post_update")
        && let Err(failure) = hook::run(&command)
    {
        log.warning("update", failure);
    }
    outcome
}

/// Updates one map from a source that is open; whether a file is new. It is asked once, and others may
/// write as long as it answers: a turn is taken for what comes then.
pub fn one(
    config: &MapConfig<'_>,
    source: &mut dyn Source,
    options: Options,
    log: &Log,
    turns: &dyn Turns,
) -> Done<bool> {
    let turns = Some(turns);
    if config.map != Map::Automount {
        return Job::new(config, Place::Map, options, log, turns)?.update(source);
    }
    let mut outcome = Outcome::default();
    automount(config, source, options, &mut outcome, log, turns)?;
    match outcome.refused || outcome.unavailable {
        true => Err(Failure::unavailable("a map that the master lists failed")),
        false => Ok(outcome.changed),
    }
}

/// Of the processes and threads that write, one at a time.
pub trait Turns {
    /// Waits until nobody else writes.
    fn turn(&self) -> Done<Turn<'_>>;
}

/// Until it is dropped nobody else writes.
pub struct Turn<'a> {
    /// Of all processes. It is given back first: this process has one.
    pub lock: Lock,
    /// Of the threads of this one.
    pub ours: LockResult<MutexGuard<'a, ()>>,
}

/// The source of a map.
pub fn source<'a>(config: &'a MapConfig<'a>, log: &'a Log) -> Done<Box<dyn Source + 'a>> {
    let name = config.required("source")?;
    if let Some(row) = SOURCES.iter().find(|row| row.name == name) {
        return (row.open)(config, log);
    }
    let all: Vec<&str> = SOURCES.iter().map(|row| row.name).collect();
    Err(config.wrong("source", &format!("this build has {}", all.join(", "))))
}

/// One file, which is to be what a source has.
struct Job<'a> {
    config: &'a MapConfig<'a>,
    place: Place,
    folder: Folder,
    stamps: Stamps,
    options: Options,
    log: &'a Log,
    /// Nothing: nobody else writes anyway.
    turns: Option<&'a dyn Turns>,
}

fn single(config: &MapConfig<'_>, options: Options, log: &Log) -> Done<bool> {
    let mut source = source(config, log)?;
    Job::new(config, Place::Map, options, log, None)?.update(source.as_mut())
}

/// The maps that automount's master lists, and then the master, if all of them stand.
fn automount(
    config: &MapConfig<'_>,
    source: &mut dyn Source,
    options: Options,
    outcome: &mut Outcome,
    log: &Log,
    turns: Option<&dyn Turns>,
) -> Done {
    let keeps_master = config.flag("files_local_automount_master", false)?;
    let fetched = match keeps_master {
        true => None,
        false => Some(fetch_master(source, config, log, turns.is_some())?),
    };
    let places: Vec<Place> = match &fetched {
        Some((found, _)) => found.listed.iter().cloned().map(Place::Automount).collect(),
        None => targets::listed(config)?,
    };
    let mut good = true;
    for place in places {
        let name = place.shown(config.map);
        let done =
            Job::new(config, place, options, log, turns).and_then(|mut job| job.update(source));
        match done {
            Ok(changed) => outcome.changed |= changed,
            Err(failure) => {
                log.error("update", format!("{name}: {failure}"));
                outcome.add(&failure);
                good = false;
            }
        }
    }
    if let Some((master, whole)) = fetched
        && good
    {
        let mut job = Job::new(config, Place::Master, options, log, turns)?;
        outcome.changed |= job.write_master(&master.listed, whole)?;
    }
    Ok(())
}

/// The master, whole each time.
fn fetch_master(
    source: &mut dyn Source,
    config: &MapConfig<'_>,
    log: &Log,
    once: bool,
) -> Done<(Master, Fetched)> {
    let all = Since::default();
    let (master, fetched) = attempts(source, log, once, |source| {
        let mut master = Master::default();
        let fetched = source.fetch(Object::Master, &all, &mut master)?;
        Ok((master, fetched))
    })?;
    for bad in &master.bad {
        log.warning("update", format!("{}: master: {bad}", config.map.name()));
    }
    Ok((master, fetched))
}

/// Tries as often as the configuration says, where trying again may help; or once.
fn attempts<T>(
    source: &mut dyn Source,
    log: &Log,
    once: bool,
    mut attempt: impl FnMut(&mut dyn Source) -> Done<T>,
) -> Done<T> {
    let (max, delay) = if once { (1, 0) } else { source.retries() };
    let mut number = 1;
    loop {
        match attempt(source) {
            Err(failure) if failure.kind == Kind::Unavailable && number < max => {
                log.clear();
                log.warning("update", format!("attempt {number} of {max} failed: {failure}"));
                std::thread::sleep(Duration::from_secs(delay.into()));
                number += 1;
            }
            done => return done,
        }
    }
}

impl<'a> Job<'a> {
    fn new(
        config: &'a MapConfig<'a>,
        place: Place,
        options: Options,
        log: &'a Log,
        turns: Option<&'a dyn Turns>,
    ) -> Done<Self> {
        let folder = Folder::open(config.dir()?.as_bytes())?;
        let stamps = place.stamps(config)?;
        Ok(Job { config, place, folder, stamps, options, log, turns })
    }

    fn take_turn(&self) -> Done<Option<Turn<'a>>> {
        self.turns.map(|turns| turns.turn()).transpose()
    }

    fn object(&self) -> Object<'_> {
        match &self.place {
            Place::Map => Object::Map,
            Place::Master => Object::Master,
            Place::Automount(Listed { name, .. }) => Object::Automount(name),
        }
    }

    fn style(&self) -> Done<Style> {
        let zero = self.config.one_of("files_shadow_zero", &["zero", "empty"])?;
        let keys = self.config.one_of("files_sshkey_format", &["list", "lines"])?;
        Ok(Style { empty_zeros: zero == "empty", key_lines: keys == "lines" })
    }

    /// Fetches what is newer, and puts it in place; whether the file is new. How it ended is remembered.
    fn update(&mut self, source: &mut dyn Source) -> Done<bool> {
        let done = loop {
            match self.try_update(source) {
                Ok(None) => self.log.debug("update", "somebody else has written meanwhile"),
                Ok(Some(changed)) => break Ok(changed),
                Err(failure) => break Err(failure),
            }
        };
        if let Err(failure) = &done {
            // Even if somebody else writes: then a whole map is asked for once more than need be.
            let _turn = self.take_turn();
            // The old validators stay: what was not taken is asked for again.
            let mut state = State::read(&self.stamps);
            (state.error, state.failed) = (Some(failure.text.clone()), Some(now()));
            let _ = state.write(&self.stamps);
        }
        done
    }

    /// `None`: somebody else has written what is there now.
    fn try_update(&mut self, source: &mut dyn Source) -> Done<Option<bool>> {
        let begun = millis();
        let path = self.place.path(self.config)?;
        let origin = source.origin(self.object())?;
        let there = DataStamp::of(&path);
        let overtaken = || DataStamp::of(&path) != there;
        let since = self.since(there, &origin);
        let style = self.style()?;
        let mut judge = Judge::new(self.config, &path)?;
        let (config, log, object) = (self.config, self.log, self.object());
        let (folder, base) = (&self.folder, self.place.base(config.map));
        let fetched = attempts(source, log, self.turns.is_some(), |source| {
            judge.restart();
            let mut set = NewSet::begin(folder, config, base.clone())?;
            let mut intake = Intake::new(config.map, style, &mut judge, &mut set, log);
            let fetched = source.fetch(object, &since, &mut intake)?;
            if matches!(fetched, Fetched::Whole { .. }) {
                intake.finish()?;
            }
            let entries = intake.entries;
            Ok((set, fetched, entries))
        });
        log.clear();
        if fetched.is_err() && overtaken() {
            return Ok(None);
        }
        if fetched.is_err() {
            judge.report(log);
        }
        let (set, fetched, came) = fetched?;
        let Fetched::Whole { modified, validators, bytes } = fetched else {
            drop(set);
            let _turn = self.take_turn()?;
            return match overtaken() {
                true => Ok(None),
                false => {
                    source.stays()?;
                    self.nothing_new(&path, &origin, begun).map(Some)
                }
            };
        };
        if came == 0 && !self.options.force_write {
            judge.report(log);
            return Err(Failure::refused(format!(
                "{origin} has no entries; --force-write accepts that"
            )));
        }
        let ready = set.ready(&mut judge);
        judge.report(log);
        let mut ready = ready?;
        let entries = ready.report.entries;
        let _turn = self.take_turn()?;
        if overtaken() {
            return Ok(None);
        }
        // Names that come again have one line for several entries.
        let as_handed = entries + ready.report.bad == came && !style.key_lines;
        let counts = self.counts(&path, &mut ready, entries)?;
        let keeps = counts.is_some_and(|counts| counts.same) && !self.options.full;
        if keeps {
            drop(ready);
            self.mend_indexes(&path)?;
        } else {
            ready.put_in_place()?;
        }
        source.stands(self.object(), as_handed)?;
        if came > 0
            && let Some(modified) = modified
        {
            self.stamps.write(Which::Modify, modified)?;
        }
        self.stamps.write(Which::Update, now())?;
        let state = State {
            origin: Some(origin.clone()),
            validators,
            data: DataStamp::of(&path),
            entries: Some(entries),
            error: None,
            failed: None,
        };
        state.write(&self.stamps)?;
        self.tell(&origin, entries, counts, begun, bytes);
        Ok(Some(!keeps))
    }

    /// What we have, so that only something newer comes; nothing where all is wanted.
    fn since(&self, there: Option<DataStamp>, origin: &str) -> Since {
        let data = there.filter(|data| data.size > 0);
        let modified = self.stamps.read(Which::Modify, Some(self.log));
        if self.options.full || data.is_none() {
            return Since::default();
        }
        let state = State::read(&self.stamps);
        match (&state.origin, state.data) {
            // Google's nsscache was here.
            (None, None) => Since { validators: Validators::default(), modified },
            (Some(from), stamp) if from == origin && stamp == data => {
                Since { validators: state.validators, modified }
            }
            // Of another source, or somebody else wrote the file.
            _ => Since::default(),
        }
    }

    /// How the new set differs from the one that is there. An error if it shrank too much.
    fn counts(&self, path: &[u8], ready: &mut ReadyMap<'_>, entries: u64) -> Done<Option<Counts>> {
        let Ok(old) = open_path(path, OFlags::RDONLY, Mode::empty()) else { return Ok(None) };
        let counts = compare(self.config.map, &File::from(old), ready.data()?)?;
        let before = counts.before.max(self.options.most_entries.unwrap_or(0));
        let most = self.config.number("max_shrink", MAX_SHRINK)?;
        let lost = before.saturating_sub(entries);
        let accepted = self.options.accept_shrink || self.options.force_write;
        if lost > SHRINK_LEAST && lost * 100 > before * most && !accepted {
            return Err(Failure::refused(format!(
                "{entries} entries where {before} were: more than max_shrink = {most} percent are gone; \
                 --accept-shrink accepts that"
            )));
        }
        Ok(Some(counts))
    }

    /// The source has nothing newer.
    fn nothing_new(&self, path: &[u8], origin: &str, begun: u64) -> Done<bool> {
        sweep(&self.folder)?;
        self.mend_indexes(path)?;
        self.stamps.write(Which::Update, now())?;
        let mut state = State::read(&self.stamps);
        if state.error.is_some() {
            (state.error, state.failed) = (None, None);
            state.write(&self.stamps)?;
        }
        let (shown, seconds) = (self.place.shown(self.config.map), seconds_since(begun));
        self.log.info("update", format!("{shown}: nothing new from {origin}, {seconds} s"));
        Ok(false)
    }

    /// Makes indexes that are missing, or older than the data.
    fn mend_indexes(&self, path: &[u8]) -> Done {
        let Some(data) = DataStamp::of(path) else { return Ok(()) };
        let map = self.config.map;
        let all_fit = map.shared_indexes().chain(map.own_indexes()).all(|end| {
            let index = DataStamp::of(&[path, end.as_bytes()].concat());
            index.is_some_and(|index| index.mtime >= data.mtime)
        });
        if !all_fit {
            rebuild(&self.folder, map, &self.place.file(self.config)?)?;
        }
        Ok(())
    }

    /// Writes the master: each mount point with the path of our file.
    fn write_master(&mut self, listed: &[Listed], fetched: Fetched) -> Done<bool> {
        let begun = millis();
        let path = self.place.path(self.config)?;
        if listed.is_empty() && !self.options.force_write {
            return Err(Failure::refused("the master lists no map; --force-write accepts that"));
        }
        let base = self.place.base(self.config.map);
        let mut set = NewSet::begin(&self.folder, self.config, base)?;
        for one in listed {
            let file = Place::Automount(one.clone()).shown_path(self.config)?;
            let line = format!("{} {file}\n", one.mount);
            super::intake::Target::line(&mut set, one.mount.as_bytes(), line.as_bytes())?;
        }
        let mut judge = Judge::new(self.config, &path)?;
        let _turn = self.take_turn()?;
        let mut ready = set.ready(&mut judge)?;
        let entries = ready.report.entries;
        let counts = self.counts(&path, &mut ready, entries)?;
        let keeps = counts.is_some_and(|counts| counts.same) && !self.options.full;
        if !keeps {
            ready.put_in_place()?;
        }
        let Fetched::Whole { modified, validators, bytes } = fetched else { return Ok(false) };
        if let Some(modified) = modified {
            self.stamps.write(Which::Modify, modified)?;
        }
        self.stamps.write(Which::Update, now())?;
        let state = State {
            validators,
            data: DataStamp::of(&path),
            entries: Some(entries),
            ..State::default()
        };
        state.write(&self.stamps)?;
        self.tell("the master", entries, counts, begun, bytes);
        Ok(!keeps)
    }

    /// The line of the log.
    fn tell(&self, origin: &str, entries: u64, counts: Option<Counts>, begun: u64, bytes: u64) {
        let shown = self.place.shown(self.config.map);
        let seconds = seconds_since(begun);
        let differs = match counts {
            Some(Counts { uncounted: true, .. }) => "in another order".to_owned(),
            Some(Counts { added, changed, removed, .. }) => {
                format!("{added} added, {changed} changed, {removed} removed")
            }
            None => format!("{entries} added, 0 changed, 0 removed"),
        };
        let text = format!(
            "{shown}: {entries} entries from {origin}: {differs}, {seconds} s, {bytes} bytes"
        );
        self.log.info("update", text);
    }
}

/// With hundredths.
fn seconds_since(begun: u64) -> String {
    let hundredths = (millis() - begun) / 10;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
