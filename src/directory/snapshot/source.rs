//! The source of the maps of a list that was checked.

use super::list::{List, Listed};
use super::sum::Summed;
use crate::directory::failure::{Done, Failure, Kind};
use crate::directory::intake::Entries;
use crate::directory::lines;
use crate::directory::maps::Map;
use crate::directory::source::http::{Got, Http};
use crate::directory::source::url::Url;
use crate::directory::source::{Fetched, Object, Since, Source};
use crate::directory::state::Validators;
use std::io;

/// See the head of this file.
pub struct Taken<'a, 'h> {
    /// Who asks.
    pub http: &'a mut Http<'h>,
    /// Where the list is.
    pub url: &'a Url,
    /// The list.
    pub list: &'a List,
    /// What is asked for.
    pub map: Map,
    /// What went wrong may be otherwise in a moment.
    pub may_move: bool,
}

impl Taken<'_, '_> {
    /// What the list has by this name.
    pub fn listed(&self, name: &str) -> Done<&Listed> {
        let more = if name == Map::Shadow.name() { " (export --shadow)" } else { "" };
        self.list
            .find(name)
            .ok_or_else(|| Failure::refused(format!("the snapshot has no {name}{more}")))
    }
}

impl Source for Taken<'_, '_> {
    fn origin(&self, _: Object<'_>) -> Done<String> {
        Ok(self.url.bare())
    }

    fn fetch(
        &mut self,
        object: Object<'_>,
        since: &Since,
        into: &mut dyn Entries,
    ) -> Done<Fetched> {
        let listed = self.listed(name_of(self.map, object))?.clone();
        if since.validators.etag.as_ref() == Some(&listed.sum) {
            return Ok(Fetched::Unchanged);
        }
        let body = match self.http.get(&self.url.beside(&listed.file()), &Since::default())? {
            Got::Body(body, _) => body,
            Got::Unchanged => return Err(Failure::unavailable("HTTP status 304, unasked")),
            Got::Status(status, failure) => {
                self.may_move = status == 404;
                return Err(failure);
            }
        };
        let mut summed = Summed::new(body, listed.size);
        let read = lines::read(&mut summed, self.map, into);
        // Whatever is wrong with its lines: that it is not what was signed comes first.
        let rest = io::copy(&mut summed, &mut io::sink()).map_err(Failure::of_reading);
        let (size, len, sum) = (listed.size, summed.len, summed.sum());
        for failure in [read.as_ref().err(), rest.as_ref().err()].into_iter().flatten() {
            if failure.kind == Kind::Unavailable {
                return Err(self.http.broken(failure.clone()));
            }
        }
        if len != size || sum != listed.sum {
            self.may_move = true;
            return Err(Failure::refused(if len > size {
                format!("it is not what was signed: it has more than {size} bytes")
            } else if len < size {
                format!("it is not what was signed: it has {len} bytes of {size}")
            } else {
                "it is not what was signed: its SHA-256 is another one".to_owned()
            }));
        }
        read?;
        let validators = Validators { etag: Some(listed.sum), modified: None };
        Ok(Fetched::Whole { modified: Some(self.list.time), validators, bytes: len })
    }

    fn probe(&mut self, object: Object<'_>) -> Done {
        self.http.probe(object)
    }

    fn retries(&self) -> (u32, u32) {
        // The snapshot is asked for again, as a whole.
        (1, 0)
    }
}

/// The name by which a list has an object of a map.
pub fn name_of<'a>(map: Map, object: Object<'a>) -> &'a str {
    match object {
        Object::Map => map.name(),
        Object::Master => "auto.master",
        Object::Automount(name) => name,
    }
}
