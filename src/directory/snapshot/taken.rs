//! A snapshot is asked for, checked, and put in place: all of its maps, or none.

use super::SIGNED_BY;
use super::kept::Kept;
use super::known::Known;
use super::list::{self, List};
use super::signers::{SIGNATURE, Signers};
use super::source::{Taken, name_of};
use super::sum;
use crate::directory::attempts::fetch_master;
use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure, Kind};
use crate::directory::job::Job;
use crate::directory::log::Log;
use crate::directory::maps::Map;
use crate::directory::source::http::{Got, Http};
use crate::directory::source::url::Url;
use crate::directory::source::{Fetched, Object, Since, Source as _};
use crate::directory::stamp::{iso, now};
use crate::directory::targets::{self, Listed as Mount, Place};
use crate::directory::turns::{Options, Turn, Turns};
use crate::limits::{SNAPSHOT_AGAIN_MILLIS, SNAPSHOT_AGE_SECONDS, SNAPSHOT_SKEW_SECONDS};
use crate::sys::clock::millis;
use std::io::Read;
use std::time::Duration;

/// Why a snapshot was not taken.
struct Bad {
    failure: Failure,
    /// It may be that somebody is just uploading another one, or that a cache has the one half of it.
    may_move: bool,
}

impl From<Failure> for Bad {
    fn from(failure: Failure) -> Bad {
        Bad { failure, may_move: false }
    }
}

/// An update of the maps of one snapshot.
struct Run<'a> {
    maps: &'a [MapConfig<'a>],
    options: Options,
    log: &'a Log,
    /// Nothing: nobody else writes anyway.
    turns: Option<&'a dyn Turns>,
    url: Url,
    /// Of the timestamps.
    dir: String,
    signers: Signers,
    max_age: i64,
}

/// Updates the maps of one snapshot; whether a file is new.
pub fn update(
    maps: &[MapConfig<'_>],
    options: Options,
    log: &Log,
    turns: Option<&dyn Turns>,
) -> Done<bool> {
    let Some(first) = maps.first() else { return Ok(false) };
    let done = tried(first, maps, options, log, turns);
    if let Err(failure) = &done {
        let _turn = turns.map(|turns| turns.turn());
        // Each of its maps is as old as it.
        for map in maps {
            if let Ok(job) = Job::new(map, Place::Map, options, log, None) {
                job.note(failure);
            }
        }
    }
    done
}

/// The serial of the snapshot that a map is of, if all of that stood when it was taken last.
pub fn serial(config: &MapConfig<'_>, log: &Log) -> Option<u64> {
    let dir = config.required("timestamp_dir").ok()?;
    let url = Http::new(config, log).ok()?.snapshot_url().ok()?;
    let signers = Signers::read(&config.required(SIGNED_BY).ok()?).ok()?;
    List::parse(&Known::read(&dir, &url, &signers).text).ok().map(|list| list.serial)
}

fn tried(
    first: &MapConfig<'_>,
    maps: &[MapConfig<'_>],
    options: Options,
    log: &Log,
    turns: Option<&dyn Turns>,
) -> Done<bool> {
    let mut http = Http::new(first, log)?;
    let url = http.snapshot_url()?;
    let dir = first.required("timestamp_dir")?;
    let signers = Signers::read(&first.required(SIGNED_BY)?)?;
    let max_age = first.number("http_signed_max_age", SNAPSHOT_AGE_SECONDS)?;
    let run = Run { maps, options, log, turns, url, dir, signers, max_age };
    // One that watches comes again by itself.
    let (max, delay) = if turns.is_some() { (1, 0) } else { http.retries() };
    let (mut number, mut may_move) = (1, true);
    loop {
        let Bad { failure, may_move: moves } = match run.once(&mut http) {
            Ok(Some(changed)) => return Ok(changed),
            Ok(None) => {
                log.debug("update", "somebody else has written meanwhile");
                continue;
            }
            Err(bad) => bad,
        };
        log.clear();
        let pause = if moves {
            if !may_move {
                return Err(failure);
            }
            may_move = false;
            Duration::from_millis(SNAPSHOT_AGAIN_MILLIS)
        } else {
            if failure.kind != Kind::Unavailable || number >= max {
                return Err(failure);
            }
            number += 1;
            Duration::from_secs(delay.into())
        };
        log.warning("update", format!("the snapshot is asked for again: {failure}"));
        std::thread::sleep(pause);
    }
}

/// A list that was signed by one whom we know.
struct Believed {
    list: List,
    signer: String,
}

impl Run<'_> {
    fn turn(&self) -> Done<Option<Turn<'_>>> {
        self.turns.map(|turns| turns.turn()).transpose()
    }

    /// One attempt; `None`: somebody else has written what is there now.
    fn once(&self, http: &mut Http<'_>) -> Result<Option<bool>, Bad> {
        let Run { url, log, .. } = self;
        let mut known = Known::read(&self.dir, url, &self.signers);
        // What is asked for only if it is new has to be here, each part of it.
        let there = List::parse(&known.text).ok();
        let there = there.filter(|list| !self.options.full && self.stands(list));
        let since = match there {
            Some(_) => Since { validators: known.validators.clone(), modified: None },
            None => Since::default(),
        };
        let got = match http.get(url, &since)? {
            Got::Unchanged => None,
            Got::Body(body, validators) => {
                let text =
                    whole(body, list::MOST as u64).map_err(|failure| http.broken(failure))?;
                Some((text, validators))
            }
            Got::Status(status, failure) => return Err(missing(status, failure)),
        };
        let new = got.as_ref().filter(|(text, _)| *text != known.text || there.is_none());
        let Some((text, validators)) = new else {
            let Some(list) = there else {
                return Err(Failure::unavailable("nothing came that could be checked").into());
            };
            self.judge_age(&list)?;
            let _turn = self.turn()?;
            if !self.stands(&list) {
                return Ok(None);
            }
            if let Some((_, validators)) = got {
                known.validators = validators;
                known.write()?;
            }
            return self.nothing_new().map(Some).map_err(Bad::from);
        };
        let Believed { list, signer } = self.believed(http, text)?;
        let first = self.maps.first().map_or(Map::Passwd, |map| map.map);
        let mut taken = Taken { http, url, list: &list, map: first, may_move: false };
        let changed = self.take(&mut taken, &signer, || {
            (known.text, known.validators) = (text.clone(), validators.clone());
            known.write()
        });
        let changed = changed.map_err(|failure| Bad { failure, may_move: taken.may_move })?;
        if changed.is_some() {
            let (serial, time) = (list.serial, iso(list.time));
            log.info("update", format!("snapshot {serial} of {time} stands"));
        }
        Ok(changed)
    }

    /// Checks a list that came: who has signed it, how old it is, and that it was not replaced. From then
    /// on there is no way back.
    fn believed(&self, http: &mut Http<'_>, text: &[u8]) -> Result<Believed, Bad> {
        let sum = sum::of(text);
        let place = self.url.beside(&list::signature(&sum));
        let signature = match http.get(&place, &Since::default())? {
            Got::Body(body, _) => whole(body, SIGNATURE).map_err(|failure| http.broken(failure))?,
            Got::Unchanged => Vec::new(),
            Got::Status(status, failure) => {
                let text = format!("the signature of the snapshot: {failure}");
                return Err(missing(status, failure.reworded(text)));
            }
        };
        // Two that accept at a time must not make it the older one.
        let _turn = self.turn()?;
        let mut kept = Kept::read(&self.dir)?;
        let signer = self.signers.signer(text, &signature, &kept);
        let signer = signer.map_err(|failure| Bad { failure, may_move: true })?.to_owned();
        let list = List::parse(text)
            .map_err(|why| Failure::refused(format!("the snapshot is signed, but {why}")))?;
        self.judge_age(&list)?;
        kept.accept(&signer, &list, &sum, self.options.accept_serial)?;
        Ok(Believed { list, signer })
    }

    /// A frozen one tells of nobody who left.
    fn judge_age(&self, list: &List) -> Done {
        let (max_age, log) = (self.max_age, self.log);
        let (now, time) = (now(), iso(list.time));
        let age = now.saturating_sub(list.time);
        if age < -SNAPSHOT_SKEW_SECONDS {
            let now = iso(now);
            log.warning(
                "update",
                format!(
                    "this machine's clock says {now}, the snapshot is of {time}: its age is not judged"
                ),
            );
        } else if max_age > 0 && age > max_age {
            return Err(Failure::refused(format!(
                "the snapshot is of {time}, {age} s ago: more than http_signed_max_age = {max_age}; is \
                 somebody holding newer ones back?"
            )));
        }
        Ok(())
    }

    /// Whether each map is here as a list has it.
    fn stands(&self, list: &List) -> bool {
        self.maps.iter().all(|map| {
            let Ok(places) = places(map) else { return false };
            places.into_iter().all(|(name, place)| {
                let Some(listed) = list.find(&name) else { return false };
                self.job(map, place).is_ok_and(|job| job.has(&listed.sum))
            })
        })
    }

    fn job<'j>(&'j self, map: &'j MapConfig<'j>, place: Place) -> Done<Job<'j>> {
        Job::new(map, place, self.options, self.log, self.turns)
    }

    /// All stands, and there is nothing newer.
    fn nothing_new(&self) -> Done<bool> {
        let (origin, begun) = (self.url.bare(), millis());
        for map in self.maps {
            for (_, place) in places(map)? {
                self.job(map, place)?.nothing_new(&origin, begun)?;
            }
        }
        Ok(false)
    }

    /// Fetches what we lack, then puts all of it in place, and then does `stands`; whether a file is new.
    /// `None`: somebody else has written what is there now.
    fn take(
        &self,
        source: &mut Taken<'_, '_>,
        signer: &str,
        stands: impl FnOnce() -> Done,
    ) -> Done<Option<bool>> {
        // Before anything is fetched.
        for map in self.maps.iter().filter(|map| map.map != Map::Automount) {
            source.listed(map.map.name())?;
        }
        let jobs = self.jobs(source)?;
        let mut steps = Vec::new();
        for (job, master) in &jobs {
            source.map = job.map();
            let there = job.there()?;
            let prepared = match master {
                Some((listed, fetched)) => job.prepare_master(listed, fetched.clone()),
                None => job.prepare(source, there),
            };
            match prepared {
                Ok(step) => steps.push((job, there, step)),
                Err(_) if job.there()? != there => return Ok(None),
                Err(failure) => {
                    let text = format!("{}: {failure}", job.shown());
                    return Err(failure.reworded(text));
                }
            }
        }
        let _turn = self.turn()?;
        let is_last = Kept::read(&self.dir)?.of(signer) == Some(source.list.serial);
        for (job, there, _) in &steps {
            if !is_last || job.there()? != *there {
                return Ok(None);
            }
        }
        let mut changed = false;
        for (job, _, step) in steps {
            changed |= job.commit(source, step)?;
        }
        stands()?;
        Ok(Some(changed))
    }

    /// What there is to do: a file each. Automount's master, which has come already, is behind what it lists.
    fn jobs(&self, source: &mut Taken<'_, '_>) -> Done<Vec<(Job<'_>, Master)>> {
        let mut jobs = Vec::new();
        for map in self.maps {
            source.map = map.map;
            if map.map != Map::Automount {
                jobs.push((self.job(map, Place::Map)?, None));
            } else if map.flag("files_local_automount_master", false)? {
                for place in targets::listed(map)? {
                    jobs.push((self.job(map, place)?, None));
                }
            } else {
                let (master, fetched) = fetch_master(source, map, self.log, true)?;
                for mount in &master.listed {
                    jobs.push((self.job(map, Place::Automount(mount.clone()))?, None));
                }
                jobs.push((self.job(map, Place::Master)?, Some((master.listed, fetched))));
            }
        }
        Ok(jobs)
    }
}

/// What a master lists, and how that came, of a job that is one.
type Master = Option<(Vec<Mount>, Fetched)>;

/// A failure by the status of an answer.
fn missing(status: u16, failure: Failure) -> Bad {
    Bad { failure, may_move: status == 404 }
}

/// All of a small body.
fn whole(body: impl Read, most: u64) -> Done<Vec<u8>> {
    let mut text = Vec::new();
    body.take(most + 1).read_to_end(&mut text).map_err(Failure::of_reading)?;
    match text.len() as u64 > most {
        true => Err(Failure::refused(format!("what came has more than {most} bytes"))),
        false => Ok(text),
    }
}

/// The files of a map that are here, each with its name in a list.
fn places(config: &MapConfig<'_>) -> Done<Vec<(String, Place)>> {
    if config.map != Map::Automount {
        return Ok(vec![(config.map.name().to_owned(), Place::Map)]);
    }
    let mut all = Vec::new();
    if !config.flag("files_local_automount_master", false)? {
        all.push((name_of(config.map, Object::Master).to_owned(), Place::Master));
    }
    for place in targets::listed(config)? {
        if let Place::Automount(Mount { name, .. }) = &place {
            all.push((name.clone(), place));
        }
    }
    Ok(all)
}
