//! The source `http`: one GET a map, conditional, of nsscache's line formats or of JSON.
//!
//! Redirects are refused: where they lead is the server's choice, and a password would go with them.

use super::body::{ACCEPTED, Body, Packing};
use super::json::Paths;
use super::url::Url;
use super::{Fetched, Object, Since, Source, retries};
use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure, shown};
use crate::directory::intake::Entries;
use crate::directory::lines;
use crate::directory::log::Log;
use crate::directory::maps::Map;
use crate::directory::stamp::{http as http_date, parse_http};
use crate::directory::state::Validators;
use crate::limits::{DIRECTORY_HEADER, HTTP_SECONDS};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;
use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::{Agent, Proxy};

/// What is read of a connection at a time: little, since it is copied at once.
const BUFFER: usize = 32 * 1024;

/// How a map is fetched.
pub struct Http<'a> {
    config: &'a MapConfig<'a>,
    log: &'a Log,
    retries: (u32, u32),
    seconds: u64,
    json: bool,
    /// Who asks, once somebody is asked: the same for all objects of a map.
    agent: Option<Agent>,
}

impl<'a> Http<'a> {
    /// What the configuration says.
    pub fn new(config: &'a MapConfig<'a>, log: &'a Log) -> Done<Self> {
        Ok(Http {
            config,
            log,
            retries: retries(config, "http")?,
            seconds: config.number("http_timelimit", HTTP_SECONDS)?.max(1),
            json: config.one_of("http_format", &["lines", "json"])? == "json",
            agent: None,
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

    fn proxy(&self, url: &Url) -> Done<Option<Proxy>> {
        let configured = self.config.secret("http_http_proxy")?;
        let found = configured.or_else(|| proxy_of_environment(url));
        let Some(found) = found else { return Ok(None) };
        // Its password, if it has one, is not told.
        let bad = |_| Failure::refused("the proxy's URL (http_http_proxy, http_proxy) is none");
        Proxy::new(&found).map(Some).map_err(bad)
    }

    fn agent(&mut self, url: &Url) -> Done<Agent> {
        if let Some(agent) = &self.agent {
            return Ok(agent.clone());
        }
        let builder = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent("nsscache")
            .accept_encoding(ACCEPTED)
            .timeout_global(Some(Duration::from_secs(self.seconds)))
            .max_response_header_size(DIRECTORY_HEADER)
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER / 8)
            .max_idle_connections(1)
            .proxy(self.proxy(url)?);
        #[cfg(feature = "tls")]
        let builder = match url.secure {
            true => builder.tls_config(super::tls::config(self.config, "http", self.log)?),
            false => builder,
        };
        let agent: Agent = builder.build().into();
        self.agent = Some(agent.clone());
        Ok(agent)
    }

    /// Asks, and the answer's head.
    fn ask(&mut self, url: &Url, head: bool, since: &Since) -> Done<Response<ureq::Body>> {
        if url.secure && !cfg!(feature = "tls") {
            return Err(Failure::refused("this build has no https (feature tls)"));
        }
        if url.credentials.is_some() && !url.secure && url.is_far() {
            let host = shown(url.host().as_bytes());
            self.log.warning("http", format!("a password goes to {host} in plain text"));
        }
        let agent = self.agent(url)?;
        let bare = url.bare();
        let mut request = if head { agent.head(&bare) } else { agent.get(&bare) };
        if let Some((user, password)) = &url.credentials {
            let pair = STANDARD.encode([user, &b":"[..], password].concat());
            request = request.header("Authorization", format!("Basic {pair}"));
        }
        if let Some(etag) = &since.validators.etag {
            request = request.header("If-None-Match", etag);
        }
        let modified = since.validators.modified.clone();
        if let Some(modified) = modified.or_else(|| since.modified.map(http_date)) {
            request = request.header("If-Modified-Since", modified);
        }
        self.log.debug("http", format!("asks for {bare}"));
        request.call().map_err(|error| self.unreachable(&error))
    }

    /// Why there was no answer.
    fn unreachable(&self, error: &ureq::Error) -> Failure {
        #[cfg(feature = "tls")]
        if let Some(failure) = super::tls::refusal(error) {
            return failure;
        }
        match error {
            ureq::Error::Timeout(_) => self.late(),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                Failure::refused(format!("unable to ask: {error}"))
            }
            _ => Failure::unavailable(format!("unable to ask: {error}")),
        }
    }

    fn late(&self) -> Failure {
        let seconds = self.seconds;
        Failure::unavailable(format!("not done within {seconds} s (http_timelimit)"))
    }

    /// An error while the body came.
    fn broken(&self, failure: Failure) -> Failure {
        // ureq wraps its own in an error of reading.
        match failure.text.contains("timeout") {
            true => self.late(),
            false => failure,
        }
    }
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
        let asked = since.modified.is_some() || since.validators != Validators::default();
        let response = self.ask(&url, false, since)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if asked => return Ok(Fetched::Unchanged),
            status => return Err(refused(status, response.headers())),
        }
        let packed = packing(response.headers())?;
        let header = |name| text_of(response.headers(), name);
        let (etag, modified) = (header("etag"), header("last-modified"));
        let time = modified.as_deref().and_then(parse_http);
        let mut body = Body::new(response.into_body().into_reader(), &packed)
            .map_err(|failure| self.broken(failure))?;
        let read = match self.json {
            true => Paths::new(self.config, "http")?.read(&mut body, into),
            false => lines::read(&mut body, self.config.map, into).map(drop),
        };
        read.map_err(|failure| self.broken(failure))?;
        let validators = Validators { etag, modified };
        Ok(Fetched::Whole { modified: time, validators, bytes: body.received() })
    }

    fn probe(&mut self, object: Object<'_>) -> Done {
        let url = self.url(object)?;
        let response = self.ask(&url, true, &Since::default())?;
        match response.status() {
            StatusCode::OK => Ok(()),
            status => Err(refused(status, response.headers())),
        }
    }

    fn retries(&self) -> (u32, u32) {
        self.retries
    }
}

/// What any other status means.
fn refused(status: StatusCode, headers: &HeaderMap) -> Failure {
    let number = status.as_u16();
    match text_of(headers, "location") {
        Some(to) if status.is_redirection() => {
            let to = shown(to.as_bytes());
            Failure::unavailable(format!("HTTP status {number}: not followed to {to}"))
        }
        _ => Failure::unavailable(format!("HTTP status {number}")),
    }
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// What the body is said to be packed by, in the order in which that was done.
fn packing(headers: &HeaderMap) -> Done<Vec<Packing>> {
    let mut packed = Vec::new();
    for value in headers.get_all("content-encoding") {
        let value = value.to_str().unwrap_or("?").to_ascii_lowercase();
        for name in value.split(',').map(str::trim).filter(|n| !matches!(*n, "" | "identity")) {
            let Some(packing) = Packing::named(name) else {
                let name = shown(name.as_bytes());
                return Err(Failure::refused(format!("the body is packed by {name}")));
            };
            packed.push(packing);
        }
    }
    if packed.len() > 2 {
        return Err(Failure::refused("the body is packed more than twice"));
    }
    Ok(packed)
}

/// What the environment has for this URL, as curl reads it: HTTP_PROXY in capitals is what a CGI gets
/// from a client.
fn proxy_of_environment(url: &Url) -> Option<String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let no_proxy = variable("no_proxy").or_else(|| variable("NO_PROXY")).unwrap_or_default();
    if is_exempt(url.host(), &no_proxy) {
        return None;
    }
    let names: &[&str] = match url.secure {
        true => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        false => &["http_proxy", "all_proxy", "ALL_PROXY"],
    };
    names.iter().find_map(|name| variable(name))
}

/// Whether a host is in a list as no_proxy has it: names, each of which means what ends so, too.
fn is_exempt(host: &str, list: &str) -> bool {
    list.split([',', ' ']).map(str::trim).filter(|name| !name.is_empty()).any(|name| {
        let name = name.trim_start_matches('.');
        let inside = host.strip_suffix(name).is_some_and(|front| front.ends_with('.'));
        name == "*" || host.eq_ignore_ascii_case(name) || inside
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_exempt_by_name_and_by_domain() {
        for (host, list, exempt) in [
            ("a.example", "example", true),
            ("a.example", ".example", true),
            ("example", ".example", true),
            ("badexample", "example", false),
            ("a.example", "b.example, *", true),
            ("a.example", "", false),
        ] {
            assert_eq!(is_exempt(host, list), exempt, "{host} {list}");
        }
    }
}
