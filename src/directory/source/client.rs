//! What all sources that speak HTTP share: one who asks, with the deadline, the proxy and the TLS of
//! the keys `PREFIX_…`, and what an answer's head says.
//!
//! Redirects are refused: where they lead is the server's choice, and a password would go with them.

use super::body::{ACCEPTED, Body, Packing};
use super::url::Url;
use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure, shown};
use crate::directory::log::Log;
use crate::limits::{DIRECTORY_ANSWER, DIRECTORY_HEADER, HTTP_SECONDS};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::Read as _;
use std::time::Duration;
use ureq::http::{HeaderMap, Method, Request, Response, StatusCode};
use ureq::{Agent, Proxy};

/// What is read of a connection at a time: little, since it is copied at once.
const BUFFER: usize = 32 * 1024;

/// Headers of a request.
pub type Headers = Vec<(&'static str, String)>;

/// An answer, of which the body is not read yet.
pub type Answer = Response<ureq::Body>;

/// One who asks.
pub struct Client<'a> {
    config: &'a MapConfig<'a>,
    log: &'a Log,
    /// What its keys begin with.
    prefix: &'static str,
    /// The key of its deadline, and that.
    limit: String,
    seconds: u64,
    /// There once somebody is asked, and whom: the same for all objects of a map.
    agent: Option<(String, Agent)>,
}

impl<'a> Client<'a> {
    /// One with the keys `PREFIX_…`, whose deadline is `PREFIX_timelimit`.
    pub fn new(config: &'a MapConfig<'a>, prefix: &'static str, log: &'a Log) -> Done<Self> {
        Client::with_limit(config, prefix, format!("{prefix}_timelimit"), log)
    }

    /// The same, with another key for the deadline.
    pub fn with_limit(
        config: &'a MapConfig<'a>,
        prefix: &'static str,
        limit: String,
        log: &'a Log,
    ) -> Done<Self> {
        let seconds = config.number(&limit, HTTP_SECONDS)?.max(1);
        Ok(Client { config, log, prefix, limit, seconds, agent: None })
    }

    fn proxy(&self, url: &Url) -> Done<Option<Proxy>> {
        let key = format!("{}_http_proxy", self.prefix);
        let configured = self.config.secret(&key)?;
        let found = configured.or_else(|| proxy_of_environment(url));
        let Some(found) = found else { return Ok(None) };
        // Its password, if it has one, is not told.
        let bad = |_| Failure::refused(format!("the proxy's URL ({key}, http_proxy) is none"));
        Proxy::new(&found).map(Some).map_err(bad)
    }

    fn agent(&mut self, url: &Url) -> Done<Agent> {
        let whom = url.origin();
        if let Some((known, agent)) = &self.agent
            && *known == whom
        {
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
            true => builder.tls_config(super::tls::config(self.config, self.prefix, self.log)?),
            false => builder,
        };
        let agent: Agent = builder.build().into();
        self.agent = Some((whom, agent.clone()));
        Ok(agent)
    }

    /// A request that is ready to be made, by whomever. `seconds`: its own deadline. `secret`: something
    /// in the headers is one.
    pub fn prepare(
        &mut self,
        method: Method,
        url: &Url,
        headers: Headers,
        body: Vec<u8>,
        seconds: Option<u64>,
        secret: bool,
    ) -> Done<Prepared> {
        if url.secure && !cfg!(feature = "tls") {
            return Err(Failure::refused("this build has no https (feature tls)"));
        }
        if (secret || url.credentials.is_some()) && !url.secure && url.is_far() {
            let host = shown(url.host().as_bytes());
            let what = if secret { "a secret" } else { "a password" };
            self.log.warning(self.prefix, format!("{what} goes to {host} in plain text"));
        }
        let agent = self.agent(url)?;
        let bare = url.bare();
        let mut request = Request::builder().method(method).uri(&bare);
        if let Some((user, password)) = &url.credentials {
            let pair = STANDARD.encode([user, &b":"[..], password].concat());
            request = request.header("Authorization", format!("Basic {pair}"));
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        self.log.debug(self.prefix, format!("asks for {bare}"));
        let (limit, seconds) = match seconds {
            Some(seconds) => (None, seconds),
            None => (Some(self.limit.clone()), self.seconds),
        };
        let bad = |error| Failure::refused(format!("unable to ask: {error}"));
        Ok(Prepared { agent, request: request.body(body).map_err(bad)?, seconds, limit })
    }

    /// Asks for an object, or for its head alone.
    pub fn get(&mut self, url: &Url, head: bool, headers: Headers, secret: bool) -> Done<Answer> {
        let method = if head { Method::HEAD } else { Method::GET };
        self.prepare(method, url, headers, Vec::new(), None, secret)?.ask()
    }

    /// Sends JSON. `secret`: something in it, or in the headers, is one.
    pub fn post(
        &mut self,
        url: &Url,
        mut headers: Headers,
        json: String,
        secret: bool,
    ) -> Done<Answer> {
        headers.push(("Content-Type", "application/json".to_owned()));
        self.prepare(Method::POST, url, headers, json.into_bytes(), None, secret)?.ask()
    }

    /// The deadline passed.
    fn late(&self) -> Failure {
        late(Some(&self.limit), self.seconds)
    }

    /// An error while the body came.
    pub fn broken(&self, failure: Failure) -> Failure {
        // ureq wraps its own in an error of reading.
        match failure.text.contains("timeout") {
            true => self.late(),
            false => failure,
        }
    }
}

fn late(limit: Option<&str>, seconds: u64) -> Failure {
    let limit = limit.map_or(String::new(), |limit| format!(" ({limit})"));
    Failure::unavailable(format!("not done within {seconds} s{limit}"))
}

/// A request that is ready.
pub struct Prepared {
    agent: Agent,
    request: Request<Vec<u8>>,
    seconds: u64,
    limit: Option<String>,
}

impl Prepared {
    /// Makes it; the head of the answer.
    pub fn ask(self) -> Done<Answer> {
        let Prepared { agent, request, seconds, limit } = self;
        let timeout = Some(Duration::from_secs(seconds));
        let done = match *request.method() == Method::POST {
            true => {
                let request = agent.configure_request(request).timeout_global(timeout).build();
                agent.run(request)
            }
            false => {
                let request = request.map(drop);
                let request = agent.configure_request(request).timeout_global(timeout).build();
                agent.run(request)
            }
        };
        done.map_err(|error| unreachable(&error, limit.as_deref(), seconds))
    }
}

/// Why there was no answer.
fn unreachable(error: &ureq::Error, limit: Option<&str>, seconds: u64) -> Failure {
    #[cfg(feature = "tls")]
    if let Some(failure) = super::tls::refusal(error) {
        return failure;
    }
    match error {
        ureq::Error::Timeout(_) => late(limit, seconds),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            Failure::refused(format!("unable to ask: {error}"))
        }
        _ => Failure::unavailable(format!("unable to ask: {error}")),
    }
}

/// A body, unpacked as it is read.
pub fn body(answer: Answer) -> Done<Body<'static>> {
    let packed = packing(answer.headers())?;
    Body::new(answer.into_body().into_reader(), &packed)
}

/// What any other status means.
pub fn refused(status: StatusCode, headers: &HeaderMap) -> Failure {
    let number = status.as_u16();
    match text_of(headers, "location") {
        Some(to) if status.is_redirection() => {
            let to = shown(to.as_bytes());
            Failure::unavailable(format!("HTTP status {number}: not followed to {to}"))
        }
        _ => Failure::unavailable(format!("HTTP status {number}")),
    }
}

/// The front of a body, for a message: what a server says of an error.
pub fn front(answer: Answer) -> Vec<u8> {
    let mut front = Vec::new();
    // What cannot be read of it is not told.
    if let Ok(body) = body(answer) {
        let _ = body.take(DIRECTORY_ANSWER).read_to_end(&mut front);
    }
    front
}

/// A header that is text.
pub fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
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
