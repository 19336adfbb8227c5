//! One file, which is to be what a source has: fetched and judged beside what is there, and then put in its
//! place.

use super::attempts::attempts;
use super::config::MapConfig;
use super::diff::{Counts, compare};
use super::failure::{Done, Failure};
use super::fields::Style;
use super::folder::Folder;
use super::intake::Intake;
use super::judge::Judge;
use super::log::Log;
use super::maps::Map;
use super::rebuild::rebuild;
use super::set::ReadyMap;
use super::signed;
use super::source::{Fetched, Object, Since, Source};
use super::stamp::{Stamps, Time, Which, now};
use super::state::{DataStamp, State, Validators};
use super::targets::{Listed, Place};
use super::temporary::sweep;
use super::turns::{Options, Turn, Turns};
use super::write::NewSet;
use crate::sys::clock::millis;
use crate::sys::file::open_path;
use rustix::fs::{Mode, OFlags};
use std::fs::File;

/// How far a map may shrink, in percent, before it is refused; and never by so few entries.
const MAX_SHRINK: u64 = 20;
const SHRINK_LEAST: u64 = 10;

/// How far an update is that has not touched anything yet.
pub enum Step<'j> {
    /// There is nothing new.
    Unchanged {
        /// What was asked.
        origin: String,
        /// When, by [`millis`].
        begun: u64,
    },
    /// The new set is written and judged.
    New(Box<Prepared<'j>>),
}

/// A set that is written and judged, and not in its place yet.
pub struct Prepared<'j> {
    ready: ReadyMap<'j>,
    /// `None`: of a master, which is whole each time.
    origin: Option<String>,
    entries: u64,
    counts: Option<Counts>,
    /// Whether what is there stays, since it has the same lines.
    keeps: bool,
    as_handed: bool,
    modified: Option<Time>,
    validators: Validators,
    bytes: u64,
    begun: u64,
}

/// One file, which is to be what a source has.
pub struct Job<'a> {
    config: &'a MapConfig<'a>,
    place: Place,
    folder: Folder,
    stamps: Stamps,
    options: Options,
    log: &'a Log,
    /// Nothing: nobody else writes anyway.
    turns: Option<&'a dyn Turns>,
}

impl<'a> Job<'a> {
    /// That of a place.
    pub fn new(
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

    /// Which map it is of.
    pub fn map(&self) -> Map {
        self.config.map
    }

    /// What it is called, for people.
    pub fn shown(&self) -> String {
        self.place.shown(self.config.map)
    }

    /// What is at its place.
    pub fn there(&self) -> Done<Option<DataStamp>> {
        Ok(DataStamp::of(&self.place.path(self.config)?))
    }

    /// Whether the file is there as it was written when its source called it so.
    pub fn has(&self, etag: &str) -> bool {
        let state = State::read(&self.stamps);
        let there = self.there().ok().flatten().filter(|data| data.size > 0);
        state.validators.etag.as_deref() == Some(etag) && there.is_some() && state.data == there
    }

    /// Fetches what is newer, and puts it in place; whether the file is new. How it ended is remembered.
    pub fn update(&mut self, source: &mut dyn Source) -> Done<bool> {
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
            self.note(failure);
        }
        done
    }

    /// Remembers a failure. The old validators stay: what was not taken is asked for again.
    pub fn note(&self, failure: &Failure) {
        let mut state = State::read(&self.stamps);
        (state.error, state.failed) = (Some(failure.text.clone()), Some(now()));
        let _ = state.write(&self.stamps);
    }

    /// `None`: somebody else has written what is there now.
    fn try_update(&mut self, source: &mut dyn Source) -> Done<Option<bool>> {
        let there = self.there()?;
        let step = match self.prepare(source, there) {
            Err(_) if self.there()? != there => return Ok(None),
            step => step?,
        };
        let _turn = self.take_turn()?;
        match self.there()? == there {
            true => self.commit(source, step).map(Some),
            false => Ok(None),
        }
    }

    /// Fetches what is newer than what is `there`, and writes it beside that.
    pub fn prepare(&self, source: &mut dyn Source, there: Option<DataStamp>) -> Done<Step<'_>> {
        let begun = millis();
        let path = self.place.path(self.config)?;
        let origin = source.origin(self.object())?;
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
        if fetched.is_err() && self.there()? == there {
            judge.report(log);
        }
        let (set, fetched, came) = fetched?;
        let Fetched::Whole { modified, validators, bytes } = fetched else {
            return Ok(Step::Unchanged { origin, begun });
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
        // Names that come again have one line for several entries.
        let as_handed = entries + ready.report.bad == came && !style.key_lines;
        let counts = self.counts(&path, &mut ready, entries)?;
        let keeps = counts.is_some_and(|counts| counts.same) && !self.options.full;
        let prepared = Prepared {
            ready,
            origin: Some(origin),
            entries,
            counts,
            keeps,
            as_handed,
            modified: modified.filter(|_| came > 0),
            validators,
            bytes,
            begun,
        };
        Ok(Step::New(Box::new(prepared)))
    }

    /// Puts in place what was prepared, in our turn; whether the file is new.
    pub fn commit(&self, source: &mut dyn Source, step: Step<'_>) -> Done<bool> {
        let prepared = match step {
            Step::Unchanged { origin, begun } => {
                source.stays()?;
                return self.nothing_new(&origin, begun);
            }
            Step::New(prepared) => *prepared,
        };
        let path = self.place.path(self.config)?;
        let Prepared { ready, origin, entries, counts, keeps, .. } = prepared;
        if keeps {
            drop(ready);
            self.mend_indexes(&path)?;
        } else {
            ready.put_in_place()?;
        }
        if origin.is_some() {
            source.stands(self.object(), prepared.as_handed)?;
        }
        if let Some(modified) = prepared.modified {
            self.stamps.write(Which::Modify, modified)?;
        }
        self.stamps.write(Which::Update, now())?;
        let state = State {
            origin: origin.clone(),
            validators: prepared.validators,
            data: DataStamp::of(&path),
            entries: Some(entries),
            error: None,
            failed: None,
        };
        state.write(&self.stamps)?;
        let origin = origin.as_deref().unwrap_or("the master");
        self.tell(origin, entries, counts, prepared.begun, prepared.bytes);
        Ok(!keeps)
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
        // Of a snapshot, whoever exports it has judged that.
        let judged = !signed::is_source(self.config) || self.config.text("max_shrink")?.is_some();
        let accepted = self.options.accept_shrink || self.options.force_write || !judged;
        if lost > SHRINK_LEAST && lost * 100 > before * most && !accepted {
            return Err(Failure::refused(format!(
                "{entries} entries where {before} were: more than max_shrink = {most} percent are gone; \
                 --accept-shrink accepts that"
            )));
        }
        Ok(Some(counts))
    }

    /// The source has nothing newer.
    pub fn nothing_new(&self, origin: &str, begun: u64) -> Done<bool> {
        sweep(&self.folder)?;
        self.mend_indexes(&self.place.path(self.config)?)?;
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
    pub fn write_master(
        &mut self,
        source: &mut dyn Source,
        listed: &[Listed],
        fetched: Fetched,
    ) -> Done<bool> {
        let _turn = self.take_turn()?;
        let step = self.prepare_master(listed, fetched)?;
        self.commit(source, step)
    }

    /// The same beside what is there.
    pub fn prepare_master(&self, listed: &[Listed], fetched: Fetched) -> Done<Step<'_>> {
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
        let mut ready = set.ready(&mut judge)?;
        let entries = ready.report.entries;
        let counts = self.counts(&path, &mut ready, entries)?;
        let keeps = counts.is_some_and(|counts| counts.same) && !self.options.full;
        let Fetched::Whole { modified, validators, bytes } = fetched else {
            return Err(Failure::refused("the master did not come whole"));
        };
        let prepared = Prepared {
            ready,
            origin: None,
            entries,
            counts,
            keeps,
            as_handed: true,
            modified,
            validators,
            bytes,
            begun,
        };
        Ok(Step::New(Box::new(prepared)))
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
