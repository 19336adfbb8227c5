//! Content synchronization (RFC 4533): the server tells what has changed since a cookie of its own.

use super::connect::told;
use super::connection::{Connection, is_entry};
use super::search::{Query, ended};
use crate::directory::failure::{Done, Failure};
use crate::limits::LDAP_COOKIE;
use nssproto::ldap::control::{
    Change, SYNC_DONE, SYNC_REQUEST, SyncDone, SyncInfo, SyncRequest, Uuid,
};
use nssproto::ldap::{Control, Controls, Request, Response, SYNC_INFO, Scope, code};

/// What one message was.
pub enum Step {
    /// An entry is at the front of the connection.
    Entry,
    /// These have become so.
    Uuids(Vec<Uuid>, Change),
    /// Nothing that matters.
    Nothing,
    /// The refresh is over; what changes from now on comes as it changes.
    Refreshed,
    /// The search is over.
    Ended,
    /// The cookie is of no use.
    RefreshRequired,
    /// The server sets a limit, or there is nothing: a search in pages will tell.
    Limit,
}

/// A synchronization under way.
pub struct Sync {
    /// The number of its search.
    pub id: u32,
    /// What the server called the state last.
    pub cookie: Option<Vec<u8>>,
    /// Whether what was not told to be present is gone.
    pub only_present: bool,
}

/// Begins one.
pub fn begin(
    connection: &mut Connection,
    query: &Query<'_>,
    cookie: &[u8],
    persist: bool,
) -> Done<Sync> {
    let mut value = vec![0; cookie.len() + 32];
    let request =
        SyncRequest { persist, cookie: (!cookie.is_empty()).then_some(cookie), reload: false };
    let unable = |error| Failure::refused(format!("unable to ask: {error}"));
    let len = request.encode(&mut value).map_err(unable)?;
    let value = value.get(..len);
    let id = query.send(connection, Control { name: SYNC_REQUEST, critical: true, value })?;
    Ok(Sync { id, cookie: None, only_present: false })
}

impl Sync {
    /// Reads the next message.
    pub fn step(&mut self, connection: &mut Connection) -> Done<Step> {
        let front = connection.front()?;
        if front.id != self.id && front.id != 0 {
            // Of the other search on this connection.
            return Err(Failure::refused("the server answers what was not asked"));
        }
        if is_entry(&front) {
            return Ok(Step::Entry);
        }
        let message = connection.message()?;
        let bad = |error| Failure::refused(format!("the server sends {error}"));
        match message.operation {
            Response::Intermediate { name, value } if name == Some(SYNC_INFO) => {
                let info = SyncInfo::decode(value.unwrap_or_default()).map_err(bad)?;
                self.info(info)
            }
            Response::Intermediate { .. } | Response::Reference(_) => Ok(Step::Nothing),
            Response::Done(outcome) => match outcome.code {
                code::SUCCESS => {
                    let value = message.controls.value(SYNC_DONE);
                    let done = value.map(SyncDone::decode).transpose().map_err(bad)?;
                    if let Some(done) = done {
                        self.only_present |= !done.deletes;
                        self.keep(done.cookie)?;
                    }
                    Ok(Step::Ended)
                }
                code::SYNC_REFRESH_REQUIRED => Ok(Step::RefreshRequired),
                code::SIZE_LIMIT
                | code::ADMIN_LIMIT
                | code::UNAVAILABLE_EXTENSION
                | code::UNWILLING
                | code::NO_SUCH_OBJECT => Ok(Step::Limit),
                code::BUSY | code::UNAVAILABLE | code::TIME_LIMIT => {
                    Err(Failure::unavailable(format!("synchronization: {}", told(&outcome))))
                }
                _ => Err(Failure::refused(format!("synchronization: {}", told(&outcome)))),
            },
            Response::Extended { outcome, .. } => Err(ended(&outcome)),
            _ => Err(Failure::refused("a search is answered by something else")),
        }
    }

    fn info(&mut self, info: SyncInfo<'_>) -> Done<Step> {
        let (cookie, step) = match info {
            SyncInfo::Cookie(cookie) => (Some(cookie), Step::Nothing),
            SyncInfo::Deletes { cookie, done } => {
                (cookie, if done { Step::Refreshed } else { Step::Nothing })
            }
            SyncInfo::Presents { cookie, done } => {
                self.only_present = true;
                (cookie, if done { Step::Refreshed } else { Step::Nothing })
            }
            SyncInfo::Set { cookie, deletes, .. } => {
                let change = if deletes { Change::Delete } else { Change::Present };
                (cookie, Step::Uuids(info.uuids().collect(), change))
            }
        };
        self.keep(cookie)?;
        Ok(step)
    }

    /// A cookie that came; the old one stays where none did.
    pub fn keep(&mut self, cookie: Option<&[u8]>) -> Done {
        match cookie {
            Some(cookie) if cookie.len() > LDAP_COOKIE => {
                Err(Failure::refused(format!("a cookie of more than {LDAP_COOKIE} bytes")))
            }
            Some(cookie) if !cookie.is_empty() => {
                self.cookie = Some(cookie.to_vec());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Whether the server can synchronize.
pub fn is_there(connection: &mut Connection) -> Done<bool> {
    let mut filter = [0; 32];
    let all = nssproto::ldap::Filter::parse(b"(objectClass=*)", &mut filter);
    let search = nssproto::ldap::Search {
        base: b"",
        scope: Scope::Base,
        filter: all.map_err(|error| Failure::refused(error.to_string()))?,
        attributes: nssproto::ldap::Names::List(&[b"supportedControl"]),
        ..nssproto::ldap::Search::default()
    };
    let id = connection.send(&Request::Search(search), Controls::NONE)?;
    let mut found = false;
    loop {
        let front = connection.front()?;
        if is_entry(&front) && front.id == id {
            let mut items = connection.entry()?;
            while let Some(item) = items.next()? {
                let request = nssproto::ldap::stream::Item::Value(SYNC_REQUEST);
                found |= item == request;
            }
            continue;
        }
        let message = connection.message()?;
        match message.operation {
            Response::Done(_) if message.id == id => return Ok(found),
            Response::Reference(_) => {}
            Response::Extended { outcome, .. } => return Err(ended(&outcome)),
            _ => return Err(Failure::refused("a search is answered by something else")),
        }
    }
}

/// The cookie of now, without any entries: of a search that matches none.
pub fn cookie_of_now(connection: &mut Connection, query: &Query<'_>) -> Done<Vec<u8>> {
    let filter = format!("(&{}(!(objectClass=*)))", query.filter);
    let nothing = Query { filter: &filter, ..*query };
    let mut sync = begin(connection, &nothing, b"", false)?;
    loop {
        match sync.step(connection)? {
            Step::Entry => {
                let mut items = connection.entry()?;
                while items.next()?.is_some() {}
            }
            Step::Ended => return Ok(sync.cookie.unwrap_or_default()),
            Step::RefreshRequired | Step::Limit => return Ok(Vec::new()),
            Step::Nothing | Step::Uuids(..) | Step::Refreshed => {}
        }
    }
}
