//! The source `gcs`: a map is an object of Google Cloud Storage in nsscache's line formats, by its JSON
//! API with a bearer token, or by its XML API with HMAC keys, which is S3's protocol.

use super::client::{Answer, Client, Headers, body, front, refused, text_of};
use super::http::is_conditional;
use super::json::{object_of, text_at};
use super::url::{Url, encoded};
use super::{Fetched, Object, Since, Source, retries};
use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure, shown};
use crate::directory::intake::Entries;
use crate::directory::lines;
use crate::directory::log::Log;
use crate::directory::maps::Map;
use crate::directory::stamp::parse_http;
use crate::directory::state::Validators;
use ureq::http::StatusCode;

/// Where it is, if not elsewhere.
const HOST: &str = "https://storage.googleapis.com";

/// How a map is fetched.
pub struct Gcs<'a> {
    config: &'a MapConfig<'a>,
    retries: (u32, u32),
    client: Client<'a>,
}

/// Who asks.
enum Who {
    /// Whoever has this token, which others may renew in its file.
    Bearer(String),
    /// Whoever signs with these keys.
    #[cfg(feature = "s3")]
    Keys(super::sigv4::Keys),
    /// Anybody: the object is public.
    Anybody,
}

impl<'a> Gcs<'a> {
    /// What the configuration says.
    pub fn new(config: &'a MapConfig<'a>, log: &'a Log) -> Done<Self> {
        if config.map == Map::Automount {
            return Err(config.wrong("source", "gcs has no automount"));
        }
        let (retries, client) = (retries(config, "gcs")?, Client::new(config, "gcs", log)?);
        Ok(Gcs { config, retries, client })
    }

    fn by_keys(&self) -> Done<bool> {
        Ok(self.config.text("gcs_hmac_key_id")?.is_some())
    }

    fn who(&self) -> Done<Who> {
        if let Some(token) = self.config.secret("gcs_token")? {
            return Ok(Who::Bearer(token));
        }
        let Some(id) = self.config.text("gcs_hmac_key_id")? else { return Ok(Who::Anybody) };
        #[cfg(feature = "s3")]
        return match self.config.secret("gcs_hmac_secret")? {
            Some(secret) => Ok(Who::Keys(super::sigv4::Keys { id, secret, token: None })),
            None => Err(Failure::refused("gcs_hmac_secret is missing")),
        };
        #[cfg(not(feature = "s3"))]
        Err(Failure::refused(format!("this build cannot sign for {id} (feature s3)")))
    }

    fn url(&self) -> Done<Url> {
        let bucket = self.config.required("gcs_bucket")?;
        let object = self.config.required(&format!("gcs_{}_object", self.config.map.name()))?;
        let endpoint = self.config.text("gcs_endpoint_url")?;
        let endpoint = Url::parse(endpoint.as_deref().unwrap_or(HOST))?;
        if self.by_keys()? && self.config.secret("gcs_token")?.is_none() {
            return Ok(endpoint.under(&format!("{bucket}/{object}")));
        }
        // Slashes of a name are escaped here.
        let (bucket, object) = (encoded(&bucket), encoded(&object));
        Url::parse(&format!(
            "{}/storage/v1/b/{bucket}/o/{object}",
            endpoint.bare().trim_end_matches('/')
        ))
    }

    fn ask(&mut self, head: bool, since: &Since) -> Done<Answer> {
        let (who, url) = (self.who()?, self.url()?);
        let known = since.validators.etag.as_deref();
        let headers: Headers = match who {
            #[cfg(feature = "s3")]
            Who::Keys(keys) => {
                let method = if head { "HEAD" } else { "GET" };
                let time = crate::directory::stamp::now();
                let scope = super::sigv4::Scope { region: "auto", service: "s3", time };
                let mut headers = super::sigv4::sign(method, &url, &[], &keys, &scope);
                if let Some(generation) = known {
                    headers.push(("x-goog-if-generation-not-match", generation.to_owned()));
                }
                return self.client.get(&url, head, headers, false);
            }
            Who::Bearer(token) => vec![("Authorization", format!("Bearer {token}"))],
            Who::Anybody => Headers::new(),
        };
        let secret = !headers.is_empty();
        // Without `alt` it tells of the object, and not what is in it.
        let url = if head { url } else { url.with("alt", Some("media")) };
        let url = match known {
            Some(generation) => url.with("ifGenerationNotMatch", Some(generation)),
            None => url,
        };
        self.client.get(&url, false, headers, secret)
    }
}

/// Why there is no object.
fn failure(answer: Answer) -> Failure {
    let status = answer.status();
    #[cfg(feature = "s3")]
    if text_of(answer.headers(), "content-type").is_some_and(|kind| kind.contains("xml")) {
        return super::s3::failure(answer, "gcs_bucket");
    }
    let mut failure = refused(status, answer.headers());
    let says = front(answer);
    let path = ["error".to_owned(), "message".to_owned()];
    let message = object_of(&says).and_then(|object| text_at(object, &path)).ok().flatten();
    if let Some(message) = message {
        failure = failure.adding(&shown(&message));
    }
    match status {
        StatusCode::UNAUTHORIZED => {
            Failure::refused(format!("{} (is the token of gcs_token_file old?)", failure.text))
        }
        StatusCode::FORBIDDEN => failure.refusing(),
        _ => failure,
    }
}

impl Source for Gcs<'_> {
    fn origin(&self, _: Object<'_>) -> Done<String> {
        Ok(self.url()?.bare())
    }

    fn fetch(&mut self, _: Object<'_>, since: &Since, into: &mut dyn Entries) -> Done<Fetched> {
        let answer = self.ask(false, since)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if is_conditional(since) => return Ok(Fetched::Unchanged),
            _ => return Err(failure(answer)),
        }
        // What an object is called each time that it is written.
        let etag = text_of(answer.headers(), "x-goog-generation");
        let modified = text_of(answer.headers(), "last-modified");
        let time = modified.as_deref().and_then(parse_http);
        let broken = |failure| self.client.broken(failure);
        let mut body = body(answer).map_err(broken)?;
        lines::read(&mut body, self.config.map, into).map_err(broken)?;
        let validators = Validators { etag, modified };
        Ok(Fetched::Whole { modified: time, validators, bytes: body.received() })
    }

    fn probe(&mut self, _: Object<'_>) -> Done {
        let answer = self.ask(true, &Since::default())?;
        match answer.status() {
            StatusCode::OK => Ok(()),
            _ => Err(failure(answer)),
        }
    }

    fn retries(&self) -> (u32, u32) {
        self.retries
    }
}
