//! What nscd sends of a password field: the [rule], and what it has to look at. Without the feature
//! `passwords` that is taken for what cannot be read.

#[cfg(feature = "passwords")]
mod looks;
#[cfg(not(feature = "passwords"))]
mod no_looks;
pub mod rule;

use super::Source;
use crate::sys::access::Rights;
#[cfg(feature = "passwords")]
pub use looks::{Passwords, ShadowSearch};
#[cfg(not(feature = "passwords"))]
pub use no_looks::{Passwords, ShadowSearch};
use nssproto::entry::Db;
use nssproto::nscd::Password;
use rule::{Case, Facts, Field, Look};
use rustix::fs::{Access, access};
use rustix::io::Errno;

/// What is known before anything was looked at.
const FACTS: Facts = if cfg!(feature = "passwords") { Facts::NONE } else { Facts::UNREADABLE };

/// A field that was found, and for whom.
pub struct Subject<'a> {
    /// Of a user or of a group.
    pub db: Db,
    /// The name of the record.
    pub name: &'a [u8],
    /// Its password field, or the beginning of a very long one.
    pub field: &'a [u8],
    /// Who told it.
    pub source: &'a dyn Source,
    /// Who asks.
    pub rights: Rights,
}

/// What is sent of a field. `batch`: see [`Shared::batch`]. `None`: the budget is used up, so that
/// the record is to be asked for again.
pub fn shown(
    mut passwords: Option<&mut Passwords>,
    subject: &Subject<'_>,
    search: &mut ShadowSearch,
    budget: &mut u64,
    batch: u64,
) -> Option<Password> {
    let peer = match subject.rights {
        Rights::Peer(peer) | Rights::Public(peer) => Some(peer),
        Rights::Own | Rights::Unknown => None,
    };
    let case = Case {
        db: subject.db,
        field: Field::of(subject.field),
        teller: subject.source.teller(),
        by_root: peer.is_some_and(|peer| peer.is_root()),
    };
    let mut facts = FACTS;
    loop {
        let look = match rule::shown(case, &facts) {
            Ok(password) => return Some(password),
            Err(look) => look,
        };
        match (look, &mut passwords) {
            (Look::Readable, _) => {
                let readable = peer.is_some_and(|p| subject.source.could_read(subject.db, p));
                facts.readable = Some(readable);
            }
            (look, Some(passwords)) => {
                passwords.look(look, subject, search, budget, batch, &mut facts)?;
            }
            // Nobody else than own files was to tell anything.
            (_, None) => return Some(Password::Star),
        }
    }
}

/// Whether /etc/shadow is there, and this process may not read it.
pub fn is_shadow_closed() -> bool {
    access(c"/etc/shadow", Access::READ_OK) == Err(Errno::ACCESS)
}
