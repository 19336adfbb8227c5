//! Accounts for tests that ask a daemon everything: the files, and what must be answered.

use crate::support::{
    Connection, TempDir, by_id, by_name, group_reply, grouplist, grouplist_reply, op, passwd_reply,
    set_timeout, shadow_reply,
};
use std::collections::BTreeSet;

/// A request and the bytes that must come back.
pub type Asked = (Vec<u8>, Vec<u8>);

/// An entry of a database: its line, and how it is found.
#[derive(Clone, Debug)]
struct Entry {
    line: String,
    name: String,
    id: Option<u32>,
    members: Vec<String>,
    reply: Vec<u8>,
}

/// What the three files of a directory hold.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    passwd: Vec<Entry>,
    group: Vec<Entry>,
    shadow: Vec<Entry>,
}

impl Accounts {
    /// A user with an entry in passwd and one in shadow.
    pub fn user(&mut self, name: &str, uid: u32, gecos: &str) {
        let line = format!("{name}:x:{uid}:7:{gecos}:/home:/bin/sh\n");
        let reply = passwd_reply([name, "x"], uid, 7, [gecos, "/home", "/bin/sh"]);
        let entry = Entry { line, name: name.into(), id: Some(uid), members: vec![], reply };
        self.passwd.push(entry);
        let line = format!("{name}:{gecos}:19000:0:99999:7:::\n");
        let reply = shadow_reply(name, gecos, [19_000, 0, 99_999, 7, -1, -1, -1]);
        let entry = Entry { line, name: name.into(), id: None, members: vec![], reply };
        self.shadow.push(entry);
    }

    /// A group with members.
    pub fn group(&mut self, name: &str, gid: u32, members: &[impl AsRef<str>]) {
        let members: Vec<&str> = members.iter().map(AsRef::as_ref).collect();
        let line = format!("{name}:x:{gid}:{}\n", members.join(","));
        let reply = group_reply(name, "x", gid, &members);
        let members = members.iter().map(|m| (*m).to_owned()).collect();
        self.group.push(Entry { line, name: name.into(), id: Some(gid), members, reply });
    }

    /// Writes the three files, with lines among the good ones that must be skipped.
    #[track_caller]
    pub fn write(&self, dir: &TempDir) {
        let text = |entries: &[Entry]| -> String {
            let lines = entries.iter().enumerate().map(|(at, entry)| match at % 100 {
                7 => format!("bad:x\n+::::::\n\n{}", entry.line),
                _ => entry.line.clone(),
            });
            lines.collect()
        };
        dir.accounts(text(&self.passwd), text(&self.group), text(&self.shadow));
    }

    /// Few users and groups: files that a daemon keeps in memory.
    pub fn small() -> Accounts {
        let mut a = Accounts::default();
        for n in 0..20 {
            a.user(&format!("small{n}"), 100 + n, "Somebody");
            a.group(&format!("smallgroup{n}"), 100 + n, &["small1", "large1", "large2"]);
        }
        a.user("", 200, "no name");
        a.user(&"s".repeat(254), 201, "long name");
        a.group("none", 202, &[""; 0]);
        a
    }

    /// Files of several windows, with records above any buffer, and with users in 1,500 and in
    /// 5,000 groups.
    pub fn large() -> Accounts {
        let mut a = Accounts::default();
        for n in 0..1500 {
            a.user(&format!("large{n}"), 1000 + n, "Somebody with a name of some length");
        }
        a.user("piece", 5000, &"p".repeat(4075));
        a.user("pieces", 5001, &"q".repeat(6000));
        a.user("window", 5002, &"w".repeat(40_000));
        a.user(&"n".repeat(254), 5003, "long name");
        a.user("last", 4_294_967_295, "");
        for n in 1..=5000 {
            let members = if n <= 1500 { &["large1", "large2"][..] } else { &["large1"] };
            a.group(&format!("g{n}"), n, members);
        }
        // Longer than a window, and near the end: no search for others has to pass it.
        let many: Vec<String> = (0..7000).map(|n| format!("m{n:05}")).collect();
        a.group("many", 70_000, &many);
        a.group("after", 70_001, &["large3", "small1"]);
        a
    }
}

/// All that can be asked, in two parts: the order matters in one of them only.
pub struct Questions {
    pub listings: Vec<Asked>,
    pub lookups: Vec<Asked>,
}

impl Questions {
    /// What a client may ask of these accounts, one backend behind the other. `merge`: as
    /// `nsssd-switch -m`.
    #[track_caller]
    pub fn new(backends: &[&Accounts], merge: bool) -> Questions {
        let all = Questions { listings: listings(backends), lookups: lookups(backends, merge) };
        let asked = &opcodes(&all.listings) | &opcodes(&all.lookups);
        assert_eq!(asked, all_opcodes());
        all
    }

    /// All of them, one after the other.
    #[track_caller]
    pub fn ask(&self, client: &Connection) {
        ask_all(client, &self.listings);
        ask_all(client, &self.lookups);
    }
}

/// This reply must come. Its first byte tells a failure, for which the rest would not come.
#[track_caller]
pub fn assert_replies(client: &Connection, request: &[u8], reply: &[u8]) {
    let request = request.escape_ascii();
    let status = client.recv_exact(1)[0];
    assert_eq!(status, reply[0], "status of {request}");
    let rest = client.recv_exact(reply.len() - 1);
    assert!(rest == reply[1..], "reply to {request}");
}

/// One request after the other.
#[track_caller]
pub fn ask_all(client: &Connection, asked: &[Asked]) {
    for (request, reply) in asked {
        client.send(request);
        assert_replies(client, request, reply);
    }
}

/// Requests written ahead, so many in one piece.
#[track_caller]
pub fn ask_ahead(client: &Connection, asked: &[Asked], pieces: usize) {
    for part in asked.chunks(pieces) {
        let request: Vec<u8> = part.iter().flat_map(|(request, _)| request.clone()).collect();
        client.send(&request);
        part.iter().for_each(|(request, reply)| assert_replies(client, request, reply));
    }
}

/// The opcodes of END, REWIND, GET, GETBYNAME and GETBYID, the last of which shadow lacks.
const TABLES: [[u8; 5]; 3] = [
    [op::PWD_END, op::PWD_REWIND, op::PWD_GET, op::PWD_GETBYNAME, op::PWD_GETBYUID],
    [op::GRP_END, op::GRP_REWIND, op::GRP_GET, op::GRP_GETBYNAME, op::GRP_GETBYGID],
    [op::SHADOW_END, op::SHADOW_REWIND, op::SHADOW_GET, op::SHADOW_GETBYNAME, 0],
];

const DONE: [u8; 1] = [0];
const NOT_FOUND: [u8; 1] = [255];

/// The entries of a table, one backend behind the other.
fn entries_of<'a>(backends: &[&'a Accounts], table: usize) -> Vec<&'a Entry> {
    let entries = backends.iter().flat_map(|accounts| match table {
        0 => &accounts.passwd,
        1 => &accounts.group,
        _ => &accounts.shadow,
    });
    entries.collect()
}

/// Listings of all that these accounts hold, one backend behind the other, and listings that are
/// broken off: END, REWIND and GET of each database.
fn listings(backends: &[&Accounts]) -> Vec<Asked> {
    let mut all: Vec<Asked> = Vec::new();
    let mut ask = |request: u8, reply: &[u8]| all.push((vec![request], reply.to_vec()));
    for (table, [end, rewind, get, ..]) in TABLES.into_iter().enumerate() {
        let entries = entries_of(backends, table);
        ask(end, &DONE);
        entries.iter().for_each(|entry| ask(get, &entry.reply));
        ask(get, &NOT_FOUND);
        ask(get, &NOT_FOUND);
        ask(rewind, &DONE);
        entries.iter().take(30).for_each(|entry| ask(get, &entry.reply));
        ask(rewind, &DONE);
        ask(get, &entries[0].reply);
        ask(get, &entries[1].reply);
        ask(end, &DONE);
        ask(end, &DONE);
        ask(get, &entries[0].reply);
    }
    all
}

/// All other requests, most of them with all outcomes. `merge`: as `nsssd-switch -m`.
fn lookups(backends: &[&Accounts], merge: bool) -> Vec<Asked> {
    let mut all: Vec<Asked> = Vec::new();
    let mut ask = |request: Vec<u8>, reply: &[u8]| all.push((request, reply.to_vec()));
    for (table, [.., by_name_, by_id_]) in TABLES.into_iter().enumerate() {
        let entries = entries_of(backends, table);
        let find = |wanted: &dyn Fn(&Entry) -> bool| {
            let found = entries.iter().find(|entry| wanted(entry));
            found.map_or_else(|| NOT_FOUND.to_vec(), |entry| entry.reply.clone())
        };
        let interesting = entries.iter().enumerate().filter(|(at, entry)| {
            at % 500 < 2 || entry.reply.len() > 300 || entries.len() - at < 3
        });
        let names: Vec<&str> = interesting.clone().map(|(_, entry)| entry.name.as_str()).collect();
        let ids: Vec<u32> = interesting.filter_map(|(_, entry)| entry.id).collect();
        let (nobody, longest) = ("nobody".repeat(40), "z".repeat(254));
        // Twice: the second time where it stands may be known.
        for _ in 0..2 {
            for name in names.iter().chain(&["nobody", "large", "", &nobody, &longest]) {
                ask(by_name(by_name_, name), &find(&|entry| entry.name == *name));
            }
            if by_id_ != 0 {
                for id in ids.iter().chain(&[0, 99_999, 4_294_967_294]) {
                    ask(by_id(by_id_, *id), &find(&|entry| entry.id == Some(*id)));
                }
            }
        }
        // Names that are refused, without losing step.
        let proto = status(rustix::io::Errno::PROTO);
        ask(vec![by_name_, 0, 0, 0, 0], &[proto]);
        ask(vec![by_name_, 0, 0, 0, 3, b'a', b'b', b'c'], &[proto]);
    }
    for user in ["large1", "large2", "large3", "small1", "m00017", "nobody", ""] {
        let groups = groups_of(backends, merge, user);
        // A merge of thousands takes its time.
        for n in if merge { &[3, u64::MAX][..] } else { &[0, 3, 4097, 1 << 62, u64::MAX] } {
            match &groups {
                Some(gids) => ask(grouplist(*n, user), &grouplist_reply(*n, gids)),
                None => ask(grouplist(*n, user), &[status(rustix::io::Errno::RANGE)]),
            }
        }
    }
    ask(set_timeout(0), &DONE);
    ask(set_timeout(600_000), &DONE);
    all
}

/// The groups that list a user; `None`: more than a merge may have.
fn groups_of(backends: &[&Accounts], merge: bool, user: &str) -> Option<Vec<u32>> {
    let gids_in = |accounts: &Accounts| -> Vec<u32> {
        let listed = accounts.group.iter().filter(|g| g.members.iter().any(|m| m == user));
        listed.filter_map(|group| group.id).collect()
    };
    if !merge {
        // Whoever works decides.
        return Some(gids_in(backends[0]));
    }
    let (mut gids, mut seen) = (Vec::new(), BTreeSet::new());
    for gid in backends.iter().flat_map(|accounts| gids_in(accounts)) {
        if seen.insert(gid) {
            gids.push(gid);
        }
    }
    (gids.len() <= 4096).then_some(gids)
}

/// An errno as it is sent.
pub fn status(errno: rustix::io::Errno) -> u8 {
    u8::try_from(errno.raw_os_error()).expect("a status")
}

/// The opcodes of some requests.
fn opcodes(asked: &[Asked]) -> BTreeSet<u8> {
    asked.iter().map(|(request, _)| request[0]).collect()
}

/// All opcodes that there are.
fn all_opcodes() -> BTreeSet<u8> {
    let others = [op::SET_TIMEOUT, op::GRP_GETLIST];
    TABLES.iter().flatten().copied().filter(|opcode| *opcode != 0).chain(others).collect()
}
