//! A list in pages.

use crate::directory::failure::{Done, Failure, shown};
use crate::directory::source::client::{Answer, Client, Headers, body, front, refused};
use crate::directory::source::json::stream::{Aside, elements};
use crate::directory::source::json::{object_of, text_at};
use crate::directory::source::url::Url;
use crate::limits::DIRECTORY_PAGES;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use ureq::http::StatusCode;

/// Pages without an entry, one after the other, that a cursor may lead through.
const EMPTY: u32 = 10;

/// Where a list is read.
pub struct Pages {
    url: Url,
    token: String,
    /// Entries that are asked for at a time; 0: as many as the server likes.
    size: u64,
    /// Where the next page begins.
    next: Next,
    /// Entries in all, as the server says.
    total: Option<u64>,
    /// Those that came.
    came: u64,
    /// Hashes of their ids, and of cursors.
    seen: HashSet<u64>,
    hasher: RandomState,
    pages: u64,
    empty: u32,
    /// Bytes that came.
    pub bytes: u64,
}

/// How a page is named.
enum Next {
    /// By the number of its first entry.
    Index(u64),
    /// By what the page before it said; nothing: the first one.
    Cursor(String),
}

impl Pages {
    /// From the first one on.
    pub fn new(url: Url, token: String, cursor: bool, size: u64) -> Pages {
        Pages {
            url,
            token,
            size,
            next: if cursor { Next::Cursor(String::new()) } else { Next::Index(1) },
            total: None,
            came: 0,
            seen: HashSet::new(),
            hasher: RandomState::new(),
            pages: 0,
            empty: 0,
            bytes: 0,
        }
    }

    fn ask(&self, client: &mut Client<'_>) -> Done<Answer> {
        let url = match &self.next {
            Next::Index(index) => self.url.with("startIndex", Some(&index.to_string())),
            Next::Cursor(cursor) => self.url.with("cursor", Some(cursor)),
        };
        let url = match self.size {
            0 => url,
            size => url.with("count", Some(&size.to_string())),
        };
        let headers: Headers = vec![
            ("Authorization", format!("Bearer {}", self.token)),
            ("Accept", "application/scim+json, application/json".to_owned()),
        ];
        let answer = client.get(&url, false, headers, true)?;
        if answer.status() == StatusCode::OK { Ok(answer) } else { Err(failure(answer)) }
    }

    /// Hands the entries of the next page over; whether there is another one.
    pub fn fetch(
        &mut self,
        client: &mut Client<'_>,
        each: &mut dyn FnMut(&[u8], u64) -> Done,
    ) -> Done<bool> {
        let answer = self.ask(client)?;
        self.pages += 1;
        let mut aside = Aside::of(&["totalResults", "nextCursor"]);
        // Of no entries some servers have no list.
        aside.may_lack = true;
        let before = self.came;
        let mut body = body(answer).map_err(|failure| client.broken(failure))?;
        elements(&mut body, &["Resources".to_owned()], &mut aside, &mut |element, _| {
            self.came += 1;
            self.is_new(element)?;
            each(element, self.came)
        })
        .map_err(|failure| client.broken(failure))?;
        self.bytes += body.received();
        let came = self.came - before;
        self.empty = if came == 0 { self.empty + 1 } else { 0 };
        let total = aside.number("totalResults")?;
        if let (Some(before), Some(now)) = (self.total, total)
            && before != now
        {
            return Err(Failure::unavailable(format!(
                "the list changed while it was read: {before} entries, then {now}"
            )));
        }
        self.total = self.total.or(total);
        let cursor = aside.text("nextCursor")?.filter(|cursor| !cursor.is_empty());
        let more = match (&self.next, &cursor) {
            (_, Some(_)) => true,
            (Next::Cursor(_), None) => false,
            (Next::Index(_), None) => {
                let Some(total) = self.total else {
                    return Err(Failure::refused("a list without totalResults"));
                };
                self.came < total && came > 0
            }
        };
        if !more {
            return self.end().map(|()| false);
        }
        if self.pages >= DIRECTORY_PAGES || self.empty > EMPTY {
            return Err(Failure::unavailable("a list without end"));
        }
        self.next = match cursor {
            Some(cursor) => {
                if !self.seen.insert(self.hasher.hash_one(("cursor", &cursor))) {
                    return Err(Failure::unavailable("a cursor that leads back"));
                }
                Next::Cursor(cursor)
            }
            None => Next::Index(self.came + 1),
        };
        Ok(true)
    }

    /// An entry that came before is one of a page that came again, and then another one is missing.
    fn is_new(&mut self, element: &[u8]) -> Done {
        let id = object_of(element).and_then(|entry| text_at(entry, &["id".to_owned()]));
        let id = id.ok().flatten();
        let hash = self.hasher.hash_one(id.as_deref().unwrap_or(element));
        match self.seen.insert(hash) {
            true => Ok(()),
            false => {
                let id = id.map_or(String::new(), |id| format!(" {}", shown(&id)));
                Err(Failure::unavailable(format!("the entry{id} came twice")))
            }
        }
    }

    /// Whether all came.
    fn end(&self) -> Done {
        match self.total {
            Some(total) if total != self.came => Err(Failure::unavailable(format!(
                "the server says that there are {total} entries, and sent {}",
                self.came
            ))),
            _ => Ok(()),
        }
    }
}

/// Why there is no page.
fn failure(answer: Answer) -> Failure {
    let status = answer.status();
    let mut failure = refused(status, answer.headers());
    let says = front(answer);
    let part = |name: &str| {
        object_of(&says).and_then(|error| text_at(error, &[name.to_owned()])).ok().flatten()
    };
    for told in [part("scimType"), part("detail")].into_iter().flatten() {
        failure = failure.adding(&shown(&told));
    }
    match status {
        StatusCode::UNAUTHORIZED => {
            failure.adding("the token is not taken; is it old? (scim_auth_token_file)").refusing()
        }
        StatusCode::FORBIDDEN => failure.refusing(),
        _ => failure,
    }
}
