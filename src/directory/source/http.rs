//! The source `http`: one GET a map, conditional, of nsscache's line formats or of JSON.

use super::body::Body;
use super::client::{Answer, Client, Headers, body, refused, text_of};
use super::json::Paths;
use super::url::Url;
use super::{Fetched, Object, Since, Source, retries};
use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure};
use crate::directory::intake::Entries;
use crate::directory::lines;
use crate::directory::log::Log;
use crate::directory::maps::Map;
use crate::directory::signed;
use crate::directory::stamp::{http as http_date, parse_http};
use crate::directory::state::Validators;
use ureq::http::StatusCode;

/// How a map is fetched.
pub struct Http<'a> {
    config: &'a MapConfig<'a>,
    retries: (u32, u32),
    json: bool,
    /// It is one of a snapshot, which are fetched together.
    of_snapshot: bool,
    client: Client<'a>,
}

impl<'a> Http<'a> {
    /// What the configuration says.
    pub fn new(config: &'a MapConfig<'a>, log: &'a Log) -> Done<Self> {
        Ok(Http {
            config,
            retries: retries(config, "http")?,
            json: config.one_of("http_format", &["lines", "json"])? == "json",
            of_snapshot: signed::is_source(config),
            client: Client::new(config, "http", log)?,
        })
    }

    fn url(&self, object: Object<'_>) -> Done<Url> {
        if self.of_snapshot {
            return self.snapshot_url();
        }
        let key = self.key();
        let text = self.config.secret(&key)?;
        let text = text.ok_or_else(|| Failure::refused(format!("{key} is missing")))?;
        let url = Url::parse(&text)?;
        Ok(match object {
            Object::Map => url,
            Object::Master => url.beside("auto.master"),
            Object::Automount(name) => url.beside(name),
        })
    }

    /// The key that says where the map is.
    fn key(&self) -> String {
        match self.config.map {
            Map::Automount => "http_automount_base_url".to_owned(),
            map => format!("http_{}_url", map.name()),
        }
    }

    /// Where the snapshot is.
    pub fn snapshot_url(&self) -> Done<Url> {
        let (key, other) = (signed::URL, self.key());
        if self.config.text(&other)?.is_some() {
            return Err(self.config.wrong(&other, &format!("{key} says where the map is")));
        }
        let text = self.config.secret(key)?;
        Url::parse(&text.ok_or_else(|| Failure::refused(format!("{key} is missing")))?)
    }

    /// Asks for what a URL has now.
    pub fn get(&mut self, url: &Url, since: &Since) -> Done<Got> {
        let answer = self.client.get(url, false, conditions(since), false)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if is_conditional(since) => return Ok(Got::Unchanged),
            status => {
                return Ok(Got::Status(status.as_u16(), refused(status, answer.headers())));
            }
        }
        let validators = validators(&answer);
        let body = body(answer).map_err(|failure| self.broken(failure))?;
        Ok(Got::Body(body, validators))
    }

    /// An error while a body came.
    pub fn broken(&self, failure: Failure) -> Failure {
        self.client.broken(failure)
    }
}

/// What came of asking for a file.
pub enum Got {
    /// What we have is what there is.
    Unchanged,
    /// Its content.
    Body(Body<'static>, Validators),
    /// Another status, which is a failure.
    Status(u16, Failure),
}

/// What asks only for something newer.
pub fn conditions(since: &Since) -> Headers {
    let mut headers = Headers::new();
    if let Some(etag) = &since.validators.etag {
        headers.push(("If-None-Match", etag.clone()));
    }
    let modified = since.validators.modified.clone();
    if let Some(modified) = modified.or_else(|| since.modified.map(http_date)) {
        headers.push(("If-Modified-Since", modified));
    }
    headers
}

/// Whether a 304 was asked for.
pub fn is_conditional(since: &Since) -> bool {
    since.modified.is_some() || since.validators != Validators::default()
}

/// What an answer is called by its server.
pub fn validators(answer: &Answer) -> Validators {
    let header = |name| text_of(answer.headers(), name);
    Validators { etag: header("etag"), modified: header("last-modified") }
}

impl Source for Http<'_> {
    fn origin(&self, object: Object<'_>) -> Done<String> {
        Ok(self.url(object)?.bare())
    }

    fn fetch(
        &mut self,
        object: Object<'_>,
        since: &Since,
        into: &mut dyn Entries,
    ) -> Done<Fetched> {
        if self.of_snapshot {
            return Err(Failure::refused("a map of a snapshot is fetched with the others of it"));
        }
        let url = self.url(object)?;
        let (mut body, validators) = match self.get(&url, since)? {
            Got::Unchanged => return Ok(Fetched::Unchanged),
            Got::Body(body, validators) => (body, validators),
            Got::Status(_, failure) => return Err(failure),
        };
        let modified = validators.modified.as_deref().and_then(parse_http);
        let read = match self.json {
            true => Paths::new(self.config, "http")?.read(&mut body, into),
            false => lines::read(&mut body, self.config.map, into).map(drop),
        };
        read.map_err(|failure| self.broken(failure))?;
        Ok(Fetched::Whole { modified, validators, bytes: body.received() })
    }

    fn probe(&mut self, object: Object<'_>) -> Done {
        let url = self.url(object)?;
        let answer = self.client.get(&url, true, Headers::new(), false)?;
        match answer.status() {
            StatusCode::OK => Ok(()),
            status => Err(refused(status, answer.headers())),
        }
    }

    fn retries(&self) -> (u32, u32) {
        self.retries
    }
}
