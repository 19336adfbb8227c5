//! `nsscache update`: one run over the maps.

use super::attempts::fetch_master;
use super::config::{Config, MapConfig};
use super::failure::{Done, Failure, Kind};
use super::hook;
use super::job::Job;
use super::log::Log;
use super::maps::Map;
use super::snapshot;
use super::source::{SOURCES, Source};
use super::targets::{self, Place};
pub use super::turns::Options;
use super::turns::Turns;

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

/// Updates these maps, one after the other; a failed one does not hold up the others.
pub fn run(config: &Config, maps: &[MapConfig<'_>], options: Options, log: &Log) -> Outcome {
    let mut outcome = Outcome::default();
    for group in snapshot::groups(maps) {
        let Some(map) = group.first() else { continue };
        let mut name = map.map.name();
        let done = match map.map {
            _ if snapshot::is_source(map) => {
                name = "snapshot";
                snapshot::update(&group, options, log, None)
                    .map(|changed| outcome.changed |= changed)
            }
            Map::Automount => source(map, log).and_then(|mut source| {
                automount(map, source.as_mut(), options, &mut outcome, log, None)
            }),
            _ => single(map, options, log).map(|changed| outcome.changed |= changed),
        };
        log.clear();
        if let Err(failure) = done {
            log.error("update", format!("{name}: {failure}"));
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

/// Updates maps that belong together ([`snapshot::groups`]); else as [`one`].
pub fn group(
    maps: &[MapConfig<'_>],
    source: &mut dyn Source,
    options: Options,
    log: &Log,
    turns: &dyn Turns,
) -> Done<bool> {
    match maps {
        // What it is made of is summed: fetching it again would bring the same.
        [map, ..] if snapshot::is_source(map) => {
            snapshot::update(maps, Options { full: false, ..options }, log, Some(turns))
        }
        [map, ..] => one(map, source, options, log, turns),
        [] => Ok(false),
    }
}

/// Updates one map from a source that is open; whether a file is new. It is asked once, and others may
/// write as long as it answers: a turn is taken for what comes then.
fn one(
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

/// The source of a map.
pub fn source<'a>(config: &'a MapConfig<'a>, log: &'a Log) -> Done<Box<dyn Source + 'a>> {
    let name = config.required("source")?;
    snapshot::check(config)?;
    if let Some(row) = SOURCES.iter().find(|row| row.name == name) {
        return (row.open)(config, log);
    }
    let all: Vec<&str> = SOURCES.iter().map(|row| row.name).collect();
    Err(config.wrong("source", &format!("this build has {}", all.join(", "))))
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
        outcome.changed |= job.write_master(source, &master.listed, whole)?;
    }
    Ok(())
}
