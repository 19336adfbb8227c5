//! A source is asked as often as the configuration says.

use super::config::MapConfig;
use super::failure::{Done, Kind};
use super::log::Log;
use super::source::{Fetched, Object, Since, Source};
use super::targets::Master;
use std::time::Duration;

/// The master, whole each time.
pub fn fetch_master(
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
pub fn attempts<T>(
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
