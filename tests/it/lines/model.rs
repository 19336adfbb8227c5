//! What glibc answers about a file by the rules of doc/lines.md, with the parsers of nssproto.

use super::odd::File;
use nssproto::entry::{Db, Record, Shadow};
use nssproto::line::glibc;
use std::collections::BTreeSet;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    Name(Vec<u8>),
    Id(u32),
    /// The groups that list this user.
    Member(Vec<u8>),
    All,
}

impl Ask {
    /// A line for the helper.
    pub fn line(&self) -> String {
        match self {
            Ask::Name(name) => format!("n{}\n", escaped(name)),
            Ask::Id(id) => format!("i{id}\n"),
            Ask::Member(name) => format!("m{}\n", escaped(name)),
            Ask::All => "e\n".to_owned(),
        }
    }

    /// What is asked, without the key.
    pub fn kind(&self) -> &'static str {
        match self {
            Ask::Name(_) => "name",
            Ask::Id(_) => "number",
            Ask::Member(_) => "member",
            Ask::All => "all",
        }
    }

    /// The bytes of a name.
    pub fn name(&self) -> Option<&[u8]> {
        match self {
            Ask::Name(name) | Ask::Member(name) => Some(name),
            _ => None,
        }
    }
}

/// As the helper writes text.
fn escaped(text: &[u8]) -> String {
    let one = |b: &u8| match b {
        b'%' | b'|' | b',' => format!("%{b:02x}"),
        b'!'..=b'~' => char::from(*b).to_string(),
        _ => format!("%{b:02x}"),
    };
    text.iter().map(one).collect()
}

fn shown(record: &Record<'_>) -> String {
    match record {
        Record::Passwd(r) => {
            let [name, password, gecos, home, shell] =
                [r.name, r.password, r.gecos, r.home, r.shell].map(escaped);
            format!("{name}|{password}|{}|{}|{gecos}|{home}|{shell}", r.uid.0, r.gid.0)
        }
        Record::Group(r) => {
            let members: String = r.members.map(|m| escaped(m) + ",").collect();
            format!("{}|{}|{}|{members}", escaped(r.name), escaped(r.password), r.gid.0)
        }
        Record::Shadow(Shadow { name, password, numbers: [days @ .., flag] }) => {
            let days: String = days.iter().map(|d| format!("|{}", d.cast_signed())).collect();
            format!("{}|{}{days}|{flag}", escaped(name), escaped(password))
        }
    }
}

/// All that can be asked about a file with an answer, by the one rule or the other: names and
/// numbers of its lines, in order.
pub fn questions(file: &File) -> Vec<Ask> {
    let mut asks = BTreeSet::from([Ask::Name(b"nobody here".to_vec())]);
    // The mark is asked in between.
    for line in file.lines().into_iter().skip(1) {
        let until_nul = line.split(|b| *b == 0).next().unwrap();
        let mut fields = until_nul.split(|b| *b == b':');
        let first = fields.next().unwrap();
        asks.insert(Ask::Name(first.to_vec()));
        let both = [nssproto::line::parse(file.db, line), glibc::parse(file.db, line)];
        for record in both.iter().flatten() {
            asks.insert(Ask::Name(record.name().to_vec()));
            asks.extend(record.id().map(Ask::Id));
            if let Record::Group(group) = record {
                asks.extend(group.members.map(|m| Ask::Member(m.to_vec())));
            }
        }
        // What the one or the other might take for a number.
        if let (false, Some(text)) = (file.db == Db::Shadow, fields.nth(1)) {
            let digits: String =
                text.iter().filter(|b| b.is_ascii_digit()).map(|b| char::from(*b)).collect();
            asks.extend(digits.parse::<u32>().ok().map(Ask::Id));
            asks.extend(digits.parse::<u128>().ok().map(|n| Ask::Id(n as u32)));
        }
    }
    // The long ones last: they are not asked of everybody.
    let mut asks: Vec<Ask> = asks.into_iter().collect();
    asks.sort_by_key(|ask| ask.name().is_some_and(|n| n.len() > 254));
    asks
}

/// The answer, in the words of the helper, and the line that gave it.
pub fn answer(file: &File, ask: &Ask) -> (String, Option<usize>) {
    let lines = file.lines();
    let mut records = lines.iter().map(|line| glibc::parse(file.db, line).ok()).enumerate();
    let found = match ask {
        Ask::All => {
            let all: Vec<String> = records.filter_map(|(_, r)| r.as_ref().map(shown)).collect();
            return (all.join("\n"), None);
        }
        Ask::Member(user) => {
            let mut first = None;
            let mut gids = String::new();
            for (at, line) in lines.iter().enumerate() {
                let Ok(mut group) = glibc::parse_membership(line) else { continue };
                if group.gid.0 != u32::MAX && group.members.any(|m| m == user) {
                    first = first.or(Some(at));
                    gids.push_str(&format!("{},", group.gid.0));
                }
            }
            return (gids, first);
        }
        Ask::Name(name) => records.find(|(_, record)| {
            record.as_ref().is_some_and(|r| r.name() == name && glibc::has_key(name))
        }),
        Ask::Id(id) => records.find(|(_, record)| {
            record.as_ref().is_some_and(|r| r.id() == Some(*id) && glibc::has_key(r.name()))
        }),
    };
    match found {
        Some((at, Some(record))) => (shown(&record), Some(at)),
        _ => ("-".to_owned(), None),
    }
}

/// Blanks in front of a line that a NUL or the end of the file ends: glibc 2.36 repeats its last
/// bytes.
pub fn is_garbled(file: &File, line: &[u8], is_last: bool) -> bool {
    let blank = matches!(line.first(), Some(b' ' | b'\t'..=b'\r'));
    blank && (line.contains(&0) || is_last && !file.bytes.ends_with(b"\n"))
}
