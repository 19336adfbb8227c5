//! Two sets of users and groups, which tests/clients/cache-loop.c knows, too; and who writes them.

use nssbox::directory::folder::Folder;
use nssbox::directory::maps::Map;
use nssbox::directory::set::NewMap;
use std::fmt::Write as _;
use std::process::ExitCode;

/// A set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// 3,000 users: from 0 on, with uids from 10000 on.
    A,
    /// 2,500 users: from 500 on, with uids from 20000 on.
    B,
}

/// Users of A, and the first one of B.
pub const USERS: u32 = 3000;
pub const FIRST_OF_B: u32 = 500;

impl Set {
    /// A user's line, if there is such a user.
    pub fn line(self, user: u32) -> Option<String> {
        let first = if self == Set::A { 0 } else { FIRST_OF_B };
        if !(first..USERS).contains(&user) {
            return None;
        }
        Some(match self {
            Set::A => format!("user{user}:x:{}:100:A:/home/a/user{user}:/bin/sh", 10_000 + user),
            Set::B => format!("user{user}:x:{}:100::/srv/of/b/user{user}:/bin/bash", 20_000 + user),
        })
    }

    /// The line of a uid.
    pub fn line_of_uid(self, uid: u32) -> Option<String> {
        let base = if self == Set::A { 10_000 } else { 20_000 };
        uid.checked_sub(base).and_then(|user| self.line(user))
    }

    pub fn passwd(self) -> String {
        (0..USERS).filter_map(|user| self.line(user)).map(|line| line + "\n").collect()
    }

    /// The groups of a user of this number.
    pub fn groups(self, user: u32) -> Vec<u32> {
        (0..200).filter(|group| self.has(*group, user)).map(|group| self.gid(group)).collect()
    }

    fn gid(self, group: u32) -> u32 {
        if self == Set::A { 7000 + group } else { 8000 + group }
    }

    fn has(self, group: u32, user: u32) -> bool {
        let step = if self == Set::A { 3 } else { 5 };
        user < 100 && (group + user).is_multiple_of(10 + step)
    }

    pub fn group(self) -> String {
        let mut text = String::new();
        for group in 0..200 {
            let members: Vec<String> = (0..100)
                .filter(|user| self.has(group, *user))
                .map(|u| format!("user{u}"))
                .collect();
            writeln!(text, "group{group}:*:{}:{}", self.gid(group), members.join(",")).unwrap();
        }
        text
    }
}

/// Replaces passwd and group so many times; 0: until it is killed.
pub fn write(dir: &str, count: usize) -> ExitCode {
    let folder = Folder::open(dir.as_bytes()).expect("a directory");
    let texts = [Set::A, Set::B].map(|set| (set.passwd(), set.group()));
    // Whichever is there, the other one comes next.
    let there = std::fs::read(format!("{dir}/passwd.cache")).unwrap_or_default();
    let mut round = usize::from(there == texts[0].0.as_bytes());
    let last = if count == 0 { usize::MAX } else { round + count };
    while round < last {
        let (passwd, group) = &texts[round % 2];
        for (map, text) in [(Map::Passwd, passwd), (Map::Group, group)] {
            let new = NewMap::begin(&folder, map, map.name().as_bytes(), b"cache");
            let written = new.and_then(|mut new| {
                for piece in text.as_bytes().chunks(10_000) {
                    new.put(piece)?;
                }
                new.finish()
            });
            if let Err(error) = written {
                error.print("replace");
                return ExitCode::FAILURE;
            }
        }
        round += 1;
    }
    ExitCode::SUCCESS
}
