//! The maps, and how their files are called.

use nssproto::cache::{Key, MEMBERS};
use nssproto::entry::Db;

/// What a file of lines holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// Users.
    Passwd,
    /// Groups.
    Group,
    /// Password ageing.
    Shadow,
    /// Netgroups.
    Netgroup,
    /// What is mounted where.
    Automount,
    /// Public keys of users.
    Sshkey,
}

impl Map {
    /// All of them, in the order in which they are indexed: a group that is known has users who are.
    pub const ALL: [Map; 6] =
        [Map::Passwd, Map::Group, Map::Shadow, Map::Netgroup, Map::Automount, Map::Sshkey];

    /// Its name in nsscache.conf, which its file begins with.
    pub fn name(self) -> &'static str {
        match self {
            Map::Passwd => "passwd",
            Map::Group => "group",
            Map::Shadow => "shadow",
            Map::Netgroup => "netgroup",
            Map::Automount => "automount",
            Map::Sshkey => "sshkey",
        }
    }

    /// The map of a name.
    pub fn by_name(name: &[u8]) -> Option<Map> {
        Map::ALL.into_iter().find(|map| map.name().as_bytes() == name)
    }

    /// The database whose lines it has.
    pub fn db(self) -> Option<Db> {
        match self {
            Map::Passwd => Some(Db::Passwd),
            Map::Group => Some(Db::Group),
            Map::Shadow => Some(Db::Shadow),
            Map::Netgroup | Map::Automount | Map::Sshkey => None,
        }
    }

    /// What its lines are found by.
    pub fn keys(self) -> &'static [Key] {
        match self {
            Map::Passwd => &[Key::Name, Key::Uid],
            Map::Group => &[Key::Name, Key::Gid],
            Map::Shadow | Map::Sshkey => &[Key::Name],
            Map::Netgroup | Map::Automount => &[],
        }
    }

    /// What follows the name of its file in those of the indexes that libnss-cache knows.
    pub fn shared_indexes(self) -> impl Iterator<Item = &'static str> {
        self.keys().iter().map(|key| key.ix())
    }

    /// What follows it in those that only nsssd-cache knows.
    pub fn own_indexes(self) -> impl Iterator<Item = &'static str> {
        let keys = if self.db().is_some() { self.keys() } else { &[] };
        let members = (self == Map::Group).then_some(MEMBERS);
        keys.iter().map(|key| key.hash()).chain(members)
    }
}

/// The file of a map, or of one of several automount maps, by the first part of its name.
pub fn file_name(map: &[u8], suffix: &[u8]) -> Vec<u8> {
    let dot: &[u8] = if suffix.is_empty() { b"" } else { b"." };
    [map, dot, suffix].concat()
}
