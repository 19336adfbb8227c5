//! The source `http`: one GET a map, conditional, of nsscache's line formats or of JSON.

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
use crate::directory::stamp::{http as http_date, parse_http};
use crate::directory::state::Validators;
use ureq::http::StatusCode;

/// How a map is fetched.
pub struct Http<'a> {
    config: &'a MapConfig<'a>,
    retries: (u32, u32),
    json: bool,
    client: Client<'a>,
}

impl<'a> Http<'a> {
    /// What the configuration says.
    pub fn new(config: &'a MapConfig<'a>, log: &'a Log) -> Done<Self> {
        Ok(Http {
            config,
            retries: retries(config, "http")?,
            json: config.one_of("http_format", &["lines", "json"])? == "json",
            client: Client::new(config, "http", log)?,
        })
    }

    fn url(&self, object: Object<'_>) -> Done<Url> {
        let map = self.config.map;
        let key = match map {
            Map::Automount => "http_automount_base_url".to_owned(),
            map => format!("http_{}_url", map.name()),
        };
        let text = self.config.secret(&key)?;
        let text = text.ok_or_else(|| Failure::refused(format!("{key} is missing")))?;
        let url = Url::parse(&text)?;
        Ok(match object {
            Object::Map => url,
            Object::Master => url.beside("auto.master"),
            Object::Automount(name) => url.beside(name),
        })
    }
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
        let url = self.url(object)?;
        let answer = self.client.get(&url, false, conditions(since), false)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if is_conditional(since) => return Ok(Fetched::Unchanged),
            status => return Err(refused(status, answer.headers())),
        }
        let validators = validators(&answer);
        let modified = validators.modified.as_deref().and_then(parse_http);
        let broken = |failure| self.client.broken(failure);
        let mut body = body(answer).map_err(broken)?;
        let read = match self.json {
            true => Paths::new(self.config, "http")?.read(&mut body, into),
            false => lines::read(&mut body, self.config.map, into).map(drop),
        };
        read.map_err(broken)?;
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
