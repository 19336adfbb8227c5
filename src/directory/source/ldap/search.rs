//! Searches, in pages.

use super::connect::{refusal, told};
use super::connection::{Connection, Items, is_entry};
use crate::directory::failure::{Done, Failure, shown};
use crate::limits::{LDAP_FILTER, LDAP_PAGE};
use nssproto::ldap::control::{PAGED, Paged};
use nssproto::ldap::{
    Control, Controls, Filter, Names, Outcome, Request, Response, Scope, Search, code,
};

/// What is searched for.
pub struct Query<'a> {
    /// Where it begins.
    pub base: &'a [u8],
    /// How far it goes.
    pub scope: Scope,
    /// Which entries, as text.
    pub filter: &'a str,
    /// What of them.
    pub attributes: &'a [&'a [u8]],
}

impl Query<'_> {
    /// Sends it with a control; the number of the request.
    pub fn send(&self, connection: &mut Connection, control: Control<'_>) -> Done<u32> {
        let mut room = vec![0; LDAP_FILTER];
        let filter = Filter::parse(self.filter.as_bytes(), &mut room);
        let filter =
            filter.map_err(|error| Failure::refused(format!("{}: {error}", self.filter)))?;
        let search = Search {
            base: self.base,
            scope: self.scope,
            filter,
            attributes: Names::List(self.attributes),
            ..Search::default()
        };
        connection.send(&Request::Search(search), Controls::List(&[control]))
    }

    /// Hands each entry over, page by page; how many. A limit of the server is an error: what came is
    /// not all.
    pub fn pages(
        &self,
        connection: &mut Connection,
        entry: &mut dyn FnMut(Items<'_>) -> Done,
    ) -> Done<u64> {
        let (mut cookie, mut count) = (Vec::new(), 0);
        loop {
            let mut value = vec![0; cookie.len() + 32];
            let paged = Paged { size: LDAP_PAGE, cookie: &cookie };
            let unable = |error| Failure::refused(format!("unable to ask: {error}"));
            let len = paged.encode(&mut value).map_err(unable)?;
            let value = value.get(..len);
            let id = self.send(connection, Control { name: PAGED, critical: true, value })?;
            let next = self.page(connection, id, &mut count, entry)?;
            match next {
                Some(next) if !next.is_empty() => cookie = next,
                _ => return Ok(count),
            }
        }
    }

    /// One page; where the next begins.
    fn page(
        &self,
        connection: &mut Connection,
        id: u32,
        count: &mut u64,
        entry: &mut dyn FnMut(Items<'_>) -> Done,
    ) -> Done<Option<Vec<u8>>> {
        loop {
            let front = connection.front()?;
            if front.id != id && front.id != 0 {
                return Err(Failure::refused("the server answers what was not asked"));
            }
            if is_entry(&front) {
                *count += 1;
                entry(connection.entry()?)?;
                continue;
            }
            let message = connection.message()?;
            match message.operation {
                Response::Done(outcome) if outcome.code == code::SUCCESS => {
                    let bad = |error| Failure::refused(format!("the server sends {error}"));
                    let value = message.controls.value(PAGED);
                    let paged = value.map(Paged::decode).transpose().map_err(bad)?;
                    return Ok(paged.map(|paged| paged.cookie.to_vec()));
                }
                Response::Done(outcome) => return Err(self.refused(&outcome, *count)),
                // Where there may be more is not followed.
                Response::Reference(_) => {}
                Response::Extended { outcome, .. } => return Err(ended(&outcome)),
                _ => return Err(Failure::refused("a search is answered by something else")),
            }
        }
    }

    /// A search that did not end well.
    pub fn refused(&self, outcome: &Outcome<'_>, count: u64) -> Failure {
        let base = shown(self.base);
        match outcome.code {
            code::NO_SUCH_OBJECT => {
                Failure::refused(format!("there is no entry {base} (ldap_base)"))
            }
            code::SIZE_LIMIT | code::ADMIN_LIMIT => Failure::refused(format!(
                "the server stops after {count} entries of {base}: {}",
                told(outcome)
            )),
            code::TIME_LIMIT => Failure::unavailable(format!(
                "the server stops after {count} entries of {base}: {}",
                told(outcome)
            )),
            _ => refusal("search", outcome),
        }
    }
}

/// The server ends the connection, and says why.
pub fn ended(outcome: &Outcome<'_>) -> Failure {
    Failure::unavailable(format!("the server ends the connection: {}", told(outcome)))
}
