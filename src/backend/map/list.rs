//! What the tools ask: the account that a name would have, and the collisions in a whole list.

use super::Map;
use super::claim::errno_of;
use super::plan::{Unplanned, planned};
use super::start::fail;
use crate::backend::Outcome;
use crate::backend::client::Hit;
use crate::backend::text::Lines;
use crate::sys::error::{Error, Exit};
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use nssproto::nsss::Head;
use rustix::io::Errno;
use rustix::stdio::stderr;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// What the tools say of such a name.
fn refused(name: &[u8], what: &'static str) -> Error {
    Error::usage(what).with_exit(Exit::FAILURE).about(OsStr::from_bytes(name))
}

const UNABLE: &str = "unable to derive a uid of";

impl Map {
    /// The head of the record that `name` would have, whether it is admitted or not; see
    /// [`Map::record_of`]. A name that is refused, or collides, is an error, exit 1.
    pub fn preview(&mut self, name: &[u8]) -> Result<Head, Error> {
        let account = match planned(self.config, &self.key, name) {
            Ok(account) => account,
            Err(Unplanned::Refused(why)) => return Err(refused(name, why)),
            Err(Unplanned::Failed(errno)) => return Err(fail(UNABLE, name, errno)),
        };
        if account.section.derives() {
            match self.check_claim(name, account.uid) {
                Ok(()) => {}
                Err(Outcome::NotFound) => {
                    return Err(refused(name, "the uid has another owner; not given to"));
                }
                Err(other) => {
                    let errno = errno_of(other).unwrap_or(Errno::IO);
                    return Err(fail("unable to tell who has the uid of", name, errno));
                }
            }
        }
        let mut hit = Hit::None;
        match (self.lend(&mut hit, name, account), hit) {
            (Ok(_), Hit::Head(head)) => Ok(head),
            _ => Err(refused(name, "a record that is too long for").with_exit(Exit::SYSTEM)),
        }
    }
}

/// What a list of names comes to.
#[derive(Default)]
pub struct Collisions {
    /// Names that were derived.
    pub derived: usize,
    /// Names that no section derives.
    pub refused: usize,
    /// Pairs of names that would have one uid.
    pub pairs: usize,
    /// A line for each pair.
    pub lines: Vec<u8>,
}

/// Derives all names of a list, a line each, and finds those that share a uid. Who `watches` is shown
/// now and then how many are done, of how many.
pub fn collisions(map: &Map, text: &[u8], watches: bool) -> Result<Collisions, Error> {
    let names = || Lines(text).map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
    let (mut found, total) = (Collisions::default(), names().count());
    let mut list: Vec<(u32, &[u8], bool)> = Vec::new();
    for name in names() {
        let done = list.len() + found.refused;
        if watches && done.is_multiple_of(1000) {
            let mut out = b"\r".to_vec();
            put(&mut out, done, b" of ");
            put(&mut out, total, b"");
            show(&out);
        }
        match planned(map.config, &map.key, name) {
            Ok(account) => list.push((account.uid, name, account.section.derives())),
            Err(Unplanned::Refused(_)) => found.refused += 1,
            Err(Unplanned::Failed(errno)) => return Err(fail(UNABLE, name, errno)),
        }
    }
    list.sort_unstable();
    let mut last: (u32, &[u8], bool) = (0, b"", false);
    for one in list {
        let (uid, name, derives) = one;
        // It stands twice in the list.
        if name == last.1 {
            continue;
        }
        if derives && last.2 && uid == last.0 {
            found.pairs += 1;
            put(&mut found.lines, uid as usize, b" ");
            // Derived names fit the rule: there is nothing to escape.
            found.lines.extend_from_slice(&[last.1, b" ", name, b"\n"].concat());
        }
        found.derived += 1;
        last = one;
    }
    Ok(found)
}

/// Progress, and what came of it: no reason to fail.
pub fn show(text: &[u8]) {
    let _ = rustix::io::write(stderr(), text);
}

/// Appends a number and what follows it.
pub fn put(out: &mut Vec<u8>, number: usize, text: &[u8]) {
    out.extend_from_slice(write_decimal(number as u64, &mut [0; DECIMAL_MAX]));
    out.extend_from_slice(text);
}
