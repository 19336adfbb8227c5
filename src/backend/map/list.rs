//! What the tools ask: the account that a name would have, and the collisions in a whole list.

use super::claim::errno_of;
use super::config::Lines;
use super::template::Ids;
use super::{Account, Hit, Map, names};
use crate::backend::Outcome;
use crate::sys::error::{Error, code};
use nssproto::nsss::Head;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// A name that will not be looked at, and why.
pub struct Refused(pub &'static str);

/// Exit code of a tool that found what it was to look for.
const FOUND_FAULT: u8 = 1;

impl Map {
    /// The account of `name` as if it were admitted, before anything is known of others.
    fn planned(&self, name: &[u8]) -> Result<Result<Account, Refused>, Error> {
        if !self.config.compat {
            let why = if !names::fits(name, self.config.letters) {
                "the rule for names forbids"
            } else if self.config.denies(name) {
                "the configuration denies"
            } else if self.is_reserved(name) {
                "reserved, so never mapped:"
            } else {
                ""
            };
            if !why.is_empty() {
                return Ok(Err(Refused(why)));
            }
        }
        let Some(section) = self.config.section_of(name) else {
            return Ok(Err(Refused("no section takes")));
        };
        let fail = |outcome| {
            let errno = errno_of(outcome).unwrap_or(rustix::io::Errno::IO);
            Error::system("unable to derive a uid of", errno).about(OsStr::from_bytes(name))
        };
        let uid = match section.template.ids {
            Ids::One(uid) => uid,
            Ids::Range { lo, size } => self.derived(name, lo, size).map_err(fail)?,
            Ids::Asked => return Ok(Err(Refused("no section takes"))),
        };
        Ok(Ok(Account { section, uid }))
    }

    /// The head of the record that `name` would have, whether it is admitted or not; see
    /// [`Map::record`]. A name that is refused, or collides, is an error, exit 1.
    pub fn foretell(&mut self, name: &[u8]) -> Result<Head, Error> {
        let about = OsStr::from_bytes(name);
        let refuse = |what| Error::usage(what).with_code(FOUND_FAULT).about(about);
        let account = match self.planned(name)? {
            Ok(account) => account,
            Err(Refused(why)) => return Err(refuse(why)),
        };
        if account.section.derives() {
            match self.foresee(name, account.uid) {
                Ok(()) => {}
                Err(Outcome::NotFound) => {
                    return Err(refuse("the uid has another owner; not given to"));
                }
                Err(other) => {
                    let errno = errno_of(other).unwrap_or(rustix::io::Errno::IO);
                    return Err(
                        Error::system("unable to tell who has the uid of", errno).about(about)
                    );
                }
            }
        }
        let mut hit = Hit::None;
        match (self.lend(&mut hit, name, account), hit) {
            (Ok(_), Hit::Map(head)) => Ok(head),
            _ => Err(Error::usage("a record that is too long for")
                .with_code(code::SYSTEM)
                .about(about)),
        }
    }
}

/// What a list of names comes to.
#[derive(Default)]
pub struct Found<'a> {
    /// Names that were derived.
    pub derived: usize,
    /// Names that no section derives.
    pub refused: usize,
    /// A uid, and two names that would have it.
    pub pairs: Vec<(u32, &'a [u8], &'a [u8])>,
}

/// Derives all names of a list, a line each, and finds those that share a uid. `tell` is called now
/// and then with how many are done, of how many.
pub fn collisions<'a>(
    map: &Map,
    text: &'a [u8],
    tell: &dyn Fn(usize, usize),
) -> Result<Found<'a>, Error> {
    let mut found = Found::default();
    let mut list: Vec<(u32, &[u8], bool)> = Vec::new();
    for line in Lines(text) {
        let name = line.trim_ascii();
        if !name.is_empty() {
            list.push((0, name, false));
        }
    }
    let total = list.len();
    for (number, one) in list.iter_mut().enumerate() {
        if number % 1000 == 0 {
            tell(number, total);
        }
        match map.planned(one.1)? {
            Ok(account) => (one.0, one.2) = (account.uid, account.section.derives()),
            Err(Refused(_)) => {
                found.refused += 1;
                one.1 = b"";
            }
        }
    }
    list.sort_unstable();
    let mut last: (u32, &[u8], bool) = (0, b"", false);
    for one in list {
        let (uid, name, derives) = one;
        // Refused, or it stands twice in the list.
        if name.is_empty() || name == last.1 {
            continue;
        }
        if derives && last.2 && uid == last.0 {
            found.pairs.push((uid, last.1, name));
        }
        found.derived += 1;
        last = one;
    }
    Ok(found)
}
