//! Local files with indexes beside them, as Google's nsscache writes and libnss-cache reads them, and
//! the further indexes of nssbox.
//!
//! A map is a file of lines, `passwd.cache`; passwd, group and shadow are read by the rules
//! [`crate::line::Rules::Cache`], the others by [`lines`] and [`sshkey`]. What leads to a line by a
//! key stands beside it, under the name of the file with [`Key::ix`] or [`Key::hash`] behind it, and
//! [`MEMBERS`] for the groups of a user:
//!
//! - [`ix`]: sorted records of one width, which libnss-cache searches, too;
//! - [`hash`]: a hash table in blocks, each with a checksum: one read for a key;
//! - [`members`]: the groups of each user, found by such a table.
//!
//! An index only says where to look: whether a line is the one that is wanted, its parse decides.

pub mod hash;
pub mod ix;
pub mod lines;
pub mod members;
pub mod sshkey;

/// What a line is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The first field.
    Name,
    /// A user's number.
    Uid,
    /// A group's number.
    Gid,
}

impl Key {
    /// What the name of the [`ix`] file ends with.
    pub fn ix(self) -> &'static str {
        match self {
            Key::Name => ".ixname",
            Key::Uid => ".ixuid",
            Key::Gid => ".ixgid",
        }
    }

    /// What the name of the [`hash`] file ends with.
    pub fn hash(self) -> &'static str {
        match self {
            Key::Name => ".hashname",
            Key::Uid => ".hashuid",
            Key::Gid => ".hashgid",
        }
    }
}

/// What the name of the file with the groups of each user ends with: see [`members`].
pub const MEMBERS: &str = ".hashmember";

/// Longest key of an index: a name, [`crate::entry::Name::MAX`]. All records of an [`ix`] file are as
/// wide as the longest needs.
pub const KEY_MAX: usize = crate::entry::Name::MAX;
