//! The account that a name would have, before any evidence is looked at and anything is known of
//! others.

use super::config::{Config, Section};
use super::template::Ids;
use super::{Account, Keyed, names};
use rustix::io::Errno;

/// Why a name has no account, whatever evidence there is.
pub(super) enum Unplanned {
    /// Such names have none.
    Refused(&'static str),
    /// The key is missing.
    Failed(Errno),
}

/// The account that `name` would have, before any evidence is looked at and anything is known of
/// others.
pub(super) fn planned(
    config: &'static Config<'static>,
    key: &Keyed,
    name: &[u8],
) -> Result<Account, Unplanned> {
    let why = if config.compat {
        ""
    } else if !names::fits(name, config.letters) {
        "the rule for names forbids"
    } else if config.denies(name) {
        "the configuration denies"
    } else if config.is_reserved(name) {
        "reserved, so never mapped:"
    } else {
        ""
    };
    match config.section_of(name) {
        Some(section) if why.is_empty() => {
            let uid = planned_uid(config, key, section, name).map_err(Unplanned::Failed)?;
            Ok(Account { section, uid })
        }
        _ if why.is_empty() => Err(Unplanned::Refused("no section takes")),
        _ => Err(Unplanned::Refused(why)),
    }
}

/// The same of a name in its section: the one uid, its pin, or what the key derives.
pub(super) fn planned_uid(
    config: &Config,
    key: &Keyed,
    section: &Section,
    name: &[u8],
) -> Result<u32, Errno> {
    match section.template.ids {
        Ids::One(uid) => Ok(uid),
        Ids::Range { lo, size } => match (config.pinned(name), key) {
            (Some(uid), _) => Ok(uid),
            (None, Keyed::With(key)) => Ok(key.derive(name, lo, size)),
            (None, Keyed::Refused(errno)) => Err(*errno),
        },
        // Of a section of numbers, and no name is in one.
        Ids::Asked => Err(Errno::INVAL),
    }
}
