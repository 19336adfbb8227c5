//! The source `etcd`: the keys `PREFIX/MAP/NAME` of etcd, by its JSON gateway (v3). A value is a line of
//! the map, or a JSON object with the fields that `http_format = json` has by default.
//!
//! A map is read in pages at one revision. What changes behind that revision comes by a watch, and is
//! brought into the lines that are there; an update without one asks for keys that are newer, and can
//! tell by their number whether any is gone.

mod changes;
mod kv;
mod watch;

use self::changes::Changes;
use self::kv::{Call, Position};
use self::watch::Told;
use super::client::{Answer, Client, Headers};
use super::json::{Paths, Wrong};
use super::url::Url;
use super::wait::Waiting;
use super::{Fetched, Follow, Object, Since, Source, retries};
use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure, Kind, os, shown};
use crate::directory::fields::Fields;
use crate::directory::intake::Entries;
use crate::directory::lines::{Lines, split};
use crate::directory::log::Log;
use crate::directory::maps::Map;
use crate::directory::state::Validators;
use crate::directory::targets::Place;
use crate::limits::WATCH_SECONDS;
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::fd::BorrowedFd;

/// Keys that are asked for at a time. With each page etcd counts all that follow: of 100,000 users a
/// thousand at a time take 2.0 s of its CPU, 5,000 (a megabyte) 1.2 s, and all together 1.1 s and 90 MB.
const PAGE: u64 = 5000;

/// Keys of the configuration by which the lines of the same entries are others.
const SHAPE: [&str; 6] = [
    "files_shadow_zero",
    "files_sshkey_format",
    "allow_uid0",
    "allow_local_names",
    "allow_odd_names",
    "allow_duplicate_ids",
];

/// How a map is fetched.
pub struct Etcd<'a> {
    config: &'a MapConfig<'a>,
    retries: (u32, u32),
    client: Client<'a>,
    paths: Paths,
    /// Which of the endpoints answered last.
    at: usize,
    /// What the user and the password were changed for.
    token: Option<String>,
    /// What was handed over last.
    position: Option<Position>,
    watch: Option<Waiting<Told>>,
    /// What the watch told.
    changes: Changes,
    /// A token was not taken since the last one that was.
    denied: bool,
    /// The watch has to begin anew once what is newer was asked for.
    broken: bool,
}

impl<'a> Etcd<'a> {
    /// What the configuration says.
    pub fn new(config: &'a MapConfig<'a>, log: &'a Log) -> Done<Self> {
        if config.map == Map::Automount {
            return Err(config.wrong("source", "etcd has no automount"));
        }
        let etcd = Etcd {
            config,
            retries: retries(config, "etcd")?,
            client: Client::new(config, "etcd", log)?,
            paths: Paths::new(config, "etcd")?,
            at: 0,
            token: None,
            position: None,
            watch: None,
            changes: Changes::default(),
            denied: false,
            broken: false,
        };
        etcd.endpoints()?;
        Ok(etcd)
    }

    fn endpoints(&self) -> Done<Vec<Url>> {
        let text = self.config.secret("etcd_endpoints")?;
        let text = text.ok_or_else(|| Failure::refused("etcd_endpoints is missing"))?;
        let words = text.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty());
        let endpoints: Vec<Url> = words.map(Url::parse).collect::<Done<_>>()?;
        match endpoints.is_empty() {
            true => Err(Failure::refused("etcd_endpoints is missing")),
            false => Ok(endpoints),
        }
    }

    /// What the keys of the map begin with.
    fn prefix(&self) -> Done<Vec<u8>> {
        let prefix = self.config.required("etcd_prefix")?;
        let (prefix, map) = (prefix.trim_end_matches('/'), self.config.map.name());
        Ok(format!("{prefix}/{map}/").into_bytes())
    }

    /// What makes lines of the same entries others.
    fn shape(&self) -> Done<u64> {
        let mut hasher = DefaultHasher::new();
        for key in SHAPE {
            self.config.text(key)?.hash(&mut hasher);
        }
        Ok(hasher.finish())
    }

    /// Asks one endpoint after the other; the first that answers is asked first from then on.
    fn call(&mut self, call: &Call) -> Done<Answer> {
        let endpoints = self.endpoints()?;
        let mut failure = None;
        for step in 0..endpoints.len() {
            let at = (self.at + step) % endpoints.len();
            let Some(endpoint) = endpoints.get(at) else { continue };
            match self.call_at(endpoint, call) {
                Ok(answer) => {
                    self.at = at;
                    return Ok(answer);
                }
                Err(other) if other.kind == Kind::Unavailable => failure = Some(other),
                Err(other) => return Err(other),
            }
            // Whatever made it fail: the next one is asked with a token of its own.
            self.token = None;
        }
        Err(failure.unwrap_or_else(|| Failure::refused("etcd_endpoints is missing")))
    }

    fn call_at(&mut self, endpoint: &Url, call: &Call) -> Done<Answer> {
        let url = endpoint.under(call.path);
        let mut again = self.token.is_some();
        loop {
            let headers = self.headers(endpoint)?;
            let secret = !headers.is_empty();
            let answer = self.client.post(&url, headers, call.json.clone(), secret)?;
            match kv::refusal(answer)? {
                Ok(answer) => return Ok(answer),
                // Tokens last for five minutes, and not over a restart.
                Err(error) if error.is_of_token() && again => {
                    self.token = None;
                    again = false;
                }
                Err(error) => return Err(error.failure()),
            }
        }
    }

    /// With a token, where there is a user.
    fn headers(&mut self, endpoint: &Url) -> Done<Headers> {
        let Some(user) = self.config.text("etcd_user")? else { return Ok(Headers::new()) };
        if self.token.is_none() {
            let password = self.config.secret("etcd_password")?;
            let password = password.ok_or_else(|| Failure::refused("etcd_password is missing"))?;
            let url = endpoint.under("v3/auth/authenticate");
            let json = kv::authenticate(&user, &password)?;
            let answer = self.client.post(&url, Headers::new(), json, true)?;
            let answer = kv::refusal(answer)?.map_err(|error| error.failure())?;
            self.token = Some(kv::token(answer)?);
        }
        Ok(self.token.iter().map(|token| ("Authorization", token.clone())).collect())
    }

    /// The whole map; where it was then.
    fn all(&mut self, into: &mut dyn Entries) -> Done<(Position, u64)> {
        let (prefix, size) = (self.prefix()?, self.page_size()?);
        let shape = self.shape()?;
        let mut fields = Fields::default();
        let mut range = kv::Range::all(&prefix, size);
        let (mut came, mut total, mut bytes) = (0u64, None, 0);
        loop {
            let answer = self.call(&range.call())?;
            let (map, paths) = (self.config.map, &self.paths);
            let page = range.read(answer, &mut |pair, number| {
                came += 1;
                hand(
                    paths,
                    map,
                    pair.name(&prefix),
                    &pair.value,
                    came.max(number),
                    &mut fields,
                    into,
                )
            });
            let page = page.map_err(|failure| self.client.broken(failure))?;
            bytes += page.bytes;
            let total = *total.get_or_insert(page.count);
            if !page.more {
                if came != total {
                    return Err(Failure::unavailable(format!(
                        "etcd says that there are {total} keys, and sent {came}"
                    )));
                }
                let (cluster, revision) = (page.cluster, range.revision);
                return Ok((Position { cluster, revision, count: total, shape }, bytes));
            }
        }
    }

    fn page_size(&self) -> Done<u64> {
        Ok(self.config.number("etcd_page_size", PAGE)?.max(1))
    }

    /// What has changed behind a position, and where it is now; `None`: that cannot be told.
    fn newer(&mut self, known: Position) -> Done<Option<(Changes, Position, u64)>> {
        let (prefix, size) = (self.prefix()?, self.page_size()?);
        let mut range = kv::Range::all(&prefix, size);
        range.newer_than = known.revision;
        let mut changes = Changes::behind(known.revision);
        let (mut count, mut bytes) = (None, 0);
        loop {
            let answer = self.call(&range.call())?;
            let page = range.read(answer, &mut |pair, _| {
                changes.put(pair.event(&prefix));
                Ok(())
            });
            let page = page.map_err(|failure| self.client.broken(failure))?;
            bytes += page.bytes;
            // Another cluster, or one that was brought back from an older copy.
            if page.cluster != known.cluster || range.revision < known.revision {
                return Ok(None);
            }
            let count = *count.get_or_insert(page.count);
            if page.more && !changes.lost {
                continue;
            }
            // As many as there were and came: none is gone. One that went and came back counts as new.
            let same = count == known.count + changes.added(known.revision);
            let position = Position { revision: range.revision, count, ..known };
            return Ok((same && !changes.lost).then_some((changes, position, bytes)));
        }
    }

    /// Hands over the set that is there, as changes make it.
    fn merge(&self, changes: &Changes, behind: u64, into: &mut dyn Entries) -> Done {
        let path = Place::Map.path(self.config)?;
        let data = File::open(os(&path)).map_err(|error| {
            Failure::unavailable(format!("unable to read {}: {error}", shown(&path)))
        })?;
        let (map, mut latest) = (self.config.map, changes.latest(behind));
        let (mut lines, mut fields, mut number) = (Lines::new(data), Fields::default(), 0);
        let mut old = Fields::default();
        while let Some(line) = lines.next_line()? {
            number += 1;
            split(line, map, &mut old);
            match latest.take(old.name()) {
                None => into.entry(&old, number)?,
                Some(None) => {}
                Some(Some(value)) => {
                    hand(&self.paths, map, old.name(), value, number, &mut fields, into)?;
                }
            }
        }
        for (name, value) in latest.rest() {
            number += 1;
            hand(&self.paths, map, name, value, number, &mut fields, into)?;
        }
        Ok(())
    }

    /// What is behind the set that is there: by the watch, or else asked for.
    fn fetch_newer(&mut self, known: Position, into: &mut dyn Entries) -> Done<Option<Fetched>> {
        if self.watch.is_none() || !self.changes.reach(known.revision) {
            let Some((changes, position, bytes)) = self.newer(known)? else { return Ok(None) };
            return self.bring(&changes, known, position, bytes, into).map(Some);
        }
        let changes = std::mem::take(&mut self.changes);
        let count = changes.count(known.count, known.revision);
        let position = Position { revision: changes.upto.max(known.revision), count, ..known };
        let done = self.bring(&changes, known, position, changes.bytes as u64, into);
        // Until they are in place they may be needed once more.
        self.changes = changes;
        done.map(Some)
    }

    /// Brings changes into the set that is there, which then is at a position.
    fn bring(
        &mut self,
        changes: &Changes,
        known: Position,
        position: Position,
        bytes: u64,
        into: &mut dyn Entries,
    ) -> Done<Fetched> {
        let fetched = match changes.is_empty(known.revision) {
            true => Fetched::Unchanged,
            false => {
                self.merge(changes, known.revision, into)?;
                whole(position, bytes)
            }
        };
        self.position = Some(position);
        Ok(fetched)
    }

    /// Begins to be told of what is behind a revision.
    ///
    /// It begins with that revision, though all of it is there. An etcd of Debian's age (3.4.23) forgets what
    /// was deleted in the very revision that it was compacted to, and a watch that begins with that one is
    /// told neither of it nor of the compaction (etcd-io/etcd#18089).
    fn begin_watch(&mut self, revision: u64) -> Done {
        self.watch = None;
        let seconds: u64 = self.config.number("watch_interval", WATCH_SECONDS)?.max(1);
        let endpoints = self.endpoints()?;
        let Some(endpoint) = endpoints.get(self.at % endpoints.len()) else { return Ok(()) };
        let prefix = self.prefix()?;
        let mut headers = self.headers(endpoint)?;
        // A member that lost the others says so, and is not just silent.
        headers.push(("Grpc-Metadata-hasleader", "true".to_owned()));
        headers.push(("Content-Type", "application/json".to_owned()));
        headers.push(("Accept-Encoding", "identity".to_owned()));
        let (url, json) = (endpoint.under("v3/watch"), kv::watch(&prefix, revision.max(1)));
        let secret = self.token.is_some();
        let ready = self.client.prepare(
            ureq::http::Method::POST,
            &url,
            headers,
            json.into_bytes(),
            Some(seconds),
            secret,
        )?;
        self.watch = Some(Waiting::begin(move |teller| watch::run(ready, &prefix, &teller))?);
        Ok(())
    }
}

fn whole(position: Position, bytes: u64) -> Fetched {
    let validators = Validators { etag: Some(position.to_string()), modified: None };
    Fetched::Whole { modified: None, validators, bytes }
}

/// Hands over what a key has: its name has to be that of the entry.
fn hand(
    paths: &Paths,
    map: Map,
    name: &[u8],
    value: &[u8],
    number: u64,
    fields: &mut Fields,
    into: &mut dyn Entries,
) -> Done {
    if name.is_empty() || name.contains(&b'/') {
        return into.unsafe_entry("a key that is no name", name);
    }
    let line = value.strip_suffix(b"\n").unwrap_or(value);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.trim_ascii_start().starts_with(b"{") {
        match paths.entry(line, Some(name), fields) {
            Ok(()) => {}
            Err(Wrong::Missing) => return into.malformed("a field is missing", name, number),
            Err(Wrong::Malformed(what)) => return into.malformed(what, name, number),
            Err(Wrong::Unsafe(what)) => return into.unsafe_entry(what, name),
        }
    } else {
        split(line, map, fields);
        if fields.len() < 2 && map != Map::Netgroup {
            return into.malformed("a value that is no line", name, number);
        }
    }
    if fields.name() != name {
        return into.unsafe_entry("a key whose value has another name", name);
    }
    into.entry(fields, number)
}

impl Source for Etcd<'_> {
    fn origin(&self, _: Object<'_>) -> Done<String> {
        let endpoints: Vec<String> = self.endpoints()?.iter().map(Url::origin).collect();
        let prefix = self.prefix()?;
        let prefix = String::from_utf8_lossy(&prefix).replace(char::is_control, "?");
        Ok(format!("{} {prefix}", endpoints.join(",")))
    }

    fn fetch(&mut self, _: Object<'_>, since: &Since, into: &mut dyn Entries) -> Done<Fetched> {
        // Keys of a user have a line each; which of them are whose is not told from lines.
        let by_lines = self.config.map == Map::Sshkey
            && self.config.text("files_sshkey_format")?.as_deref() == Some("lines");
        let known = since.validators.etag.as_deref().and_then(Position::parse);
        let known = known.filter(|known| self.shape().is_ok_and(|shape| known.shape == shape));
        if let Some(known) = known.filter(|_| !by_lines)
            && let Some(fetched) = self.fetch_newer(known, into)?
        {
            return Ok(fetched);
        }
        let (position, bytes) = self.all(into)?;
        self.position = Some(position);
        Ok(whole(position, bytes))
    }

    fn probe(&mut self, _: Object<'_>) -> Done {
        let prefix = self.prefix()?;
        let mut range = kv::Range::all(&prefix, 1);
        let answer = self.call(&range.call())?;
        range.read(answer, &mut |_, _| Ok(())).map(drop)
    }

    fn retries(&self) -> (u32, u32) {
        self.retries
    }

    fn follow(&mut self) -> Option<&mut dyn Follow> {
        Some(self)
    }
}

impl Follow for Etcd<'_> {
    fn begin(&mut self) -> Done<bool> {
        let Some(position) = self.position else { return Ok(false) };
        self.changes = Changes::behind(position.revision);
        self.broken = false;
        self.begin_watch(position.revision)?;
        Ok(true)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(Waiting::fd)
    }

    fn has_more(&mut self) -> bool {
        false
    }

    fn read(&mut self) -> Done<bool> {
        let Some(watch) = &self.watch else { return Ok(self.is_changed()) };
        match watch.take()? {
            None => {}
            Some(Told::Events { revision, events }) => {
                self.denied = false;
                self.changes.follow(events, revision);
            }
            // Asked for, and then from there. (A store that others fill is compacted every few minutes.)
            Some(Told::Compacted) => {
                self.broken = true;
                self.watch = None;
            }
            Some(Told::Renew) => self.begin_watch(self.changes.upto)?,
            Some(Told::Denied(failure)) => {
                if self.denied || self.token.is_none() {
                    return Err(failure);
                }
                (self.denied, self.token) = (true, None);
                self.begin_watch(self.changes.upto)?;
            }
            Some(Told::Failed(failure)) => return Err(failure),
        }
        Ok(self.is_changed())
    }

    fn is_changed(&self) -> bool {
        self.broken || self.changes.has_some()
    }

    fn taken(&mut self) -> Done<bool> {
        let Some(position) = self.position else { return Ok(false) };
        self.changes.forget(position.revision);
        Ok(!self.broken && !self.changes.lost)
    }
}
