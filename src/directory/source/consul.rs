//! The source `consul`: a map is what lies under a prefix of Consul's key-value store, a key a field.
//!
//! Followed by blocking queries: what is asked with an index is answered once there is another one.

use super::client::{Answer, Client, Headers, body, front, refused, text_of};
use super::json::stream::{Aside, elements};
use super::json::{Wrong, object_of, text_at};
use super::records::{Record, fields_of};
use super::url::Url;
use super::wait::Waiting;
use super::{Fetched, Follow, Object, Since, Source, retries};
use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure, shown};
use crate::directory::fields::Fields;
use crate::directory::intake::Entries;
use crate::directory::log::Log;
use crate::directory::maps::Map;
use crate::directory::stamp::{http as http_date, parse_http};
use crate::directory::state::Validators;
use crate::limits::{DIRECTORY_LINE, WATCH_SECONDS};
use crate::sys::clock::millis;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::io::Read;
use std::os::fd::BorrowedFd;
use ureq::http::{Method, StatusCode};

/// Consul adds a sixteenth to the time that it is asked to wait; and what the way may take.
const SLACK: u64 = 30;

/// How a map is fetched.
pub struct Consul<'a> {
    config: &'a MapConfig<'a>,
    retries: (u32, u32),
    client: Client<'a>,
    /// The index of what was handed over last.
    index: Option<u64>,
    /// What is waited for, and since when.
    waiting: Option<(Waiting<Done<Answer>>, u64)>,
    /// What it told, until that is fetched.
    told: Option<Answer>,
}

impl<'a> Consul<'a> {
    /// What the configuration says.
    pub fn new(config: &'a MapConfig<'a>, log: &'a Log) -> Done<Self> {
        if fields_of(config.map).is_none() {
            let map = config.map.name();
            return Err(config.wrong("source", &format!("consul has no fields for {map}")));
        }
        Ok(Consul {
            config,
            retries: retries(config, "consul")?,
            client: Client::new(config, "consul", log)?,
            index: None,
            waiting: None,
            told: None,
        })
    }

    fn bare(&self) -> Done<Url> {
        let key = format!("consul_{}_url", self.config.map.name());
        let text = self.config.secret(&key)?;
        let text = text.ok_or_else(|| Failure::refused(format!("{key} is missing")))?;
        Url::parse(&text)
    }

    fn url(&self) -> Done<Url> {
        let url = self.bare()?.with("recurse", None);
        Ok(match self.config.text("consul_datacenter")? {
            Some(name) => url.with("dc", Some(&name)),
            None => url,
        })
    }

    /// With the token, which the original puts into the URL, where logs have it.
    fn headers(&self) -> Done<Headers> {
        let token = self.config.secret("consul_token")?;
        Ok(token.map(|token| ("X-Consul-Token", token)).into_iter().collect())
    }

    fn ask(&mut self, since: &Since) -> Done<Answer> {
        let (url, mut headers) = (self.url()?, self.headers()?);
        let secret = !headers.is_empty();
        let modified = since.validators.modified.clone();
        if let Some(modified) = modified.or_else(|| since.modified.map(http_date)) {
            headers.push(("If-Modified-Since", modified));
        }
        self.client.get(&url, false, headers, secret)
    }

    /// Waits for another index than the one that we have.
    fn wait(&mut self) -> Done {
        self.told = None;
        let seconds: u64 = self.config.number("watch_interval", WATCH_SECONDS)?.max(1);
        // Zero would not wait.
        let index = self.index.unwrap_or_default().max(1);
        let url = self.url()?.with("index", Some(&index.to_string()));
        let url = url.with("wait", Some(&format!("{seconds}s")));
        let headers = self.headers()?;
        let (secret, most) = (!headers.is_empty(), seconds + seconds / 16 + SLACK);
        let ready =
            self.client.prepare(Method::GET, &url, headers, Vec::new(), Some(most), secret)?;
        let waiting = Waiting::begin(move |teller| {
            teller.tell(ready.ask());
        })?;
        self.waiting = Some((waiting, millis()));
        Ok(())
    }
}

/// The number that Consul has for the state that it answers with.
fn index_of(answer: &Answer) -> Option<u64> {
    text_of(answer.headers(), "x-consul-index")?.trim().parse().ok()
}

/// An answer that has a map; `None`: it says that there is nothing.
fn good(answer: Answer, asked: bool) -> Done<Option<Answer>> {
    let filtered = text_of(answer.headers(), "x-consul-results-filtered-by-acls");
    match answer.status() {
        // It leaves out without a word what the token may not read.
        _ if filtered.is_some_and(|filtered| filtered == "true") => {
            Err(Failure::refused("the token may not read all keys (consul_token)"))
        }
        StatusCode::OK => Ok(Some(answer)),
        StatusCode::NOT_MODIFIED if asked => Ok(Some(answer)),
        // No key has this prefix.
        StatusCode::NOT_FOUND if index_of(&answer).is_some() => Ok(None),
        status => {
            let forbidden = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            let mut failure = refused(status, answer.headers());
            let says = front(answer);
            if !says.is_empty() {
                failure = failure.adding(&shown(says.trim_ascii()));
            }
            Err(if forbidden { failure.refusing() } else { failure })
        }
    }
}

impl Source for Consul<'_> {
    fn origin(&self, _: Object<'_>) -> Done<String> {
        Ok(self.url()?.bare())
    }

    fn fetch(&mut self, _: Object<'_>, since: &Since, into: &mut dyn Entries) -> Done<Fetched> {
        let conditional = since.modified.is_some() || since.validators.modified.is_some();
        let answer = match self.told.take() {
            Some(answer) => answer,
            None => self.ask(since)?,
        };
        let index = index_of(&answer);
        let known = since.validators.etag.as_deref().and_then(|etag| etag.parse().ok());
        let Some(answer) = good(answer, conditional)? else {
            self.index = index;
            return Ok(Fetched::Whole {
                modified: None,
                validators: Validators::default(),
                bytes: 0,
            });
        };
        let same = index.is_some() && index == known;
        if same || answer.status() == StatusCode::NOT_MODIFIED {
            self.index = index;
            return Ok(Fetched::Unchanged);
        }
        let modified = text_of(answer.headers(), "last-modified");
        let time = modified.as_deref().and_then(parse_http);
        let broken = |failure| self.client.broken(failure);
        let mut body = body(answer).map_err(broken)?;
        read(&mut body, self.config.map, into).map_err(broken)?;
        self.index = index;
        let validators = Validators { etag: index.map(|index| index.to_string()), modified };
        Ok(Fetched::Whole { modified: time, validators, bytes: body.received() })
    }

    fn probe(&mut self, _: Object<'_>) -> Done {
        // It knows no HEAD for keys.
        let answer = self.ask(&Since::default())?;
        match good(answer, false)? {
            Some(_) => Ok(()),
            None => Err(Failure::refused("there is no such key")),
        }
    }

    fn retries(&self) -> (u32, u32) {
        self.retries
    }

    fn follow(&mut self) -> Option<&mut dyn Follow> {
        Some(self)
    }
}

impl Follow for Consul<'_> {
    fn begin(&mut self) -> Done<bool> {
        // Whatever answers without an index is no Consul, and does not wait.
        if self.index.is_some() {
            self.wait()?;
        }
        Ok(self.index.is_some())
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.waiting.as_ref().map(|(waiting, _)| waiting.fd())
    }

    fn has_more(&mut self) -> bool {
        false
    }

    fn read(&mut self) -> Done<bool> {
        let Some((waiting, begun)) = &self.waiting else { return Ok(self.is_changed()) };
        let Some(answer) = waiting.take()? else { return Ok(false) };
        let begun = *begun;
        self.waiting = None;
        let answer = answer?;
        let index = index_of(&answer);
        let status = answer.status();
        if !matches!(status, StatusCode::OK | StatusCode::NOT_FOUND) || index.is_none() {
            good(answer, false)?;
            return Err(Failure::unavailable("an answer without X-Consul-Index"));
        }
        // Another one: a smaller one, too. Its servers were replaced, or brought back.
        if index != self.index {
            self.told = Some(answer);
            return Ok(true);
        }
        if millis() - begun < 500 {
            return Err(Failure::unavailable("Consul does not wait for changes"));
        }
        self.wait()?;
        Ok(false)
    }

    fn is_changed(&self) -> bool {
        self.told.is_some()
    }

    fn taken(&mut self) -> Done<bool> {
        self.begin()
    }
}

/// Hands all entries of a listing over. Keys that lie together are one; memory is that of the largest.
fn read(body: &mut dyn Read, map: Map, into: &mut dyn Entries) -> Done {
    let mut listing = Listing { map, open: Vec::new(), done: HashSet::new(), place: 0 };
    let hasher = RandomState::new();
    let mut fields = Fields::default();
    elements(body, &[], &mut Aside::default(), &mut |element, number| {
        let wrong = |what: Wrong| match what {
            Wrong::Missing => "a key is missing",
            Wrong::Malformed(what) | Wrong::Unsafe(what) => what,
        };
        let path = |name: &str| vec![name.to_owned()];
        let taken = object_of(element).and_then(|object| {
            Ok((text_at(object, &path("Key"))?, text_at(object, &path("Value"))?))
        });
        let (key, value) = match taken {
            Ok((Some(key), value)) => (key, value),
            Ok((None, _)) => return into.malformed("a key is missing", b"", number),
            Err(what) => return into.malformed(wrong(what), b"", number),
        };
        let Some(value) = value else { return Ok(()) };
        let (folder, field) = split(&key, b'/');
        let (_, name) = split(folder, b'/');
        let Ok(value) = STANDARD.decode(&value) else {
            return into.malformed("a value that is no base64", &key, number);
        };
        listing.leave(folder, &hasher, &mut fields, into)?;
        if listing.open.last().is_none_or(|(open, _)| open != folder) {
            if listing.done.contains(&hasher.hash_one(folder)) {
                let name = shown(name);
                return Err(Failure::refused(format!("the keys of {name} do not lie together")));
            }
            listing.open.push((folder.to_vec(), Record::of(name)));
        }
        if let Some((_, record)) = listing.open.last_mut() {
            record.put(map, field, value);
            if record.len() > DIRECTORY_LINE {
                let most = DIRECTORY_LINE >> 20;
                return Err(Failure::refused(format!("an entry of more than {most} MiB")));
            }
        }
        Ok(())
    })?;
    listing.leave(b"", &hasher, &mut fields, into)
}

/// What a listing has shown so far.
struct Listing {
    map: Map,
    /// Folders that more keys may come of, each in the one before it.
    open: Vec<(Vec<u8>, Record)>,
    /// Hashes of those that are complete.
    done: HashSet<u64>,
    place: u64,
}

impl Listing {
    /// Hands over those that a key of this folder does not lie in.
    fn leave(
        &mut self,
        folder: &[u8],
        hasher: &RandomState,
        fields: &mut Fields,
        into: &mut dyn Entries,
    ) -> Done {
        let inside = |open: &[u8]| {
            folder.strip_prefix(open).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        while let Some((open, record)) = self.open.pop_if(|(open, _)| !inside(open)) {
            self.done.insert(hasher.hash_one(&open[..]));
            self.place += 1;
            match record.fields(self.map, fields) {
                Ok(()) => into.entry(fields, self.place)?,
                Err(Wrong::Missing) => into.unsafe_entry("a field is missing", &record.name)?,
                Err(Wrong::Malformed(what) | Wrong::Unsafe(what)) => {
                    into.unsafe_entry(what, &record.name)?;
                }
            }
        }
        Ok(())
    }
}

/// What is in front of the last separator, and behind it.
fn split(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match memchr::memrchr(separator, text) {
        Some(at) => {
            let (front, behind) = text.split_at_checked(at).unwrap_or_default();
            (front, behind.get(1..).unwrap_or_default())
        }
        None => (b"", text),
    }
}
