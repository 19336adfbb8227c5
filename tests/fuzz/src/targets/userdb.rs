//! A whole connection of systemd's user database, its bytes in any pieces, against the naive reader.

use super::stage::{Peer, Scene, serve};
use super::varlink::{string, told};
use crate::naive::Naive;
use crate::wire::{by_name, grouplist, op};
use nssbox::server::conversation::Conversation as _;
use nssbox::server::conversation::userdb::{Userdb, VERSION, name_service};
use nssbox::sys::access::{self, Rights};
use nssproto::entry::{Gid, Uid};
use nssproto::json::Text;
use nssproto::userdb::{Keys, Question};
use nssproto::varlink::{CALL_MAX, Call};
use serde_json::{Value, json};
use std::collections::VecDeque;

/// The name of the service.
const SERVICE: &str = "s";

/// How many members back it is known that one was told.
const SEEN: usize = 32;

/// A hash as long as this may be hidden, since it has to fit a buffer.
const LONG_HASH: usize = 500;

/// How the bytes come, three files, and the bytes: see [`Scene::read`]. Bit 2 of the flags: two
/// clients in turn, who send the same; bit 3: root asks.
pub fn userdb_session(data: &[u8]) {
    name_service(SERVICE);
    let scene = Scene::read(data);
    let mut switch = scene.switch(true);
    let count = if scene.flags & 4 == 0 { 1 } else { 2 };
    let root = scene.flags & 8 != 0;
    let rights =
        Rights::Peer(access::Peer { uid: Uid(if root { 0 } else { 4_000_000 }), gid: Gid(0) });
    let client = |number| Userdb::new(switch.new_client(rights, number));
    let mut peers: Vec<_> = (0..count).map(|n| Peer::new(client(n), &scene)).collect();
    serve(&mut peers, &mut switch);
    let (wanted, closed) = Model::new(&scene, root).converse(scene.requests);
    for peer in peers {
        assert_eq!(peer.closed, closed);
        let messages: Vec<&[u8]> = peer.replies.split_inclusive(|byte| *byte == 0).collect();
        assert_eq!(messages.len(), wanted.len(), "messages");
        for (message, wanted) in messages.iter().zip(&wanted) {
            let message = message.strip_suffix(&[0]).expect("a whole message");
            assert!(!message.iter().any(u8::is_ascii_control));
            same(serde_json::from_slice(message).expect("JSON"), wanted);
        }
    }
}

/// Compares a reply. A hash that is too long for a buffer is hidden, and so is all else of shadow.
fn same(mut got: Value, wanted: &Value) {
    let record = &wanted["parameters"]["record"];
    let hash = record["privileged"]["hashedPassword"][0].as_str();
    if hash.is_some_and(|hash| hash.len() > LONG_HASH) && got["parameters"]["incomplete"] == true {
        got["parameters"]["record"] = record.clone();
        got["parameters"]["incomplete"] = false.into();
    }
    assert_eq!(&got, wanted);
}

/// A user, or a group and its members.
struct Entry {
    numbers: [u32; 2],
    strings: Vec<Vec<u8>>,
}

impl Entry {
    fn name(&self) -> &[u8] {
        &self.strings[0]
    }

    fn id(&self) -> u32 {
        self.numbers[0]
    }
}

/// What is to be answered.
struct Model {
    users: Vec<Entry>,
    groups: Vec<Entry>,
    files: Naive,
    root: bool,
}

/// The parameters of the replies to a call, or the name of an error.
type Answer = Result<Vec<Value>, &'static str>;

const NONE: &str = "io.systemd.UserDatabase.NoRecordFound";
const CONFLICT: &str = "io.systemd.UserDatabase.ConflictingRecordFound";
const FAILED: &str = "io.systemd.UserDatabase.ServiceNotAvailable";

impl Model {
    fn new(scene: &Scene<'_>, root: bool) -> Model {
        let [passwd, group, shadow] = &scene.files;
        let mut files = Naive::new(passwd, group, shadow);
        let (users, groups) = (all(&mut files, op::PWD_GET, 2), all(&mut files, op::GRP_GET, 1));
        Model { users, groups, files, root }
    }

    /// All replies to the calls, and whether the server closes then.
    fn converse(&mut self, mut requests: &[u8]) -> (Vec<Value>, bool) {
        let mut replies = Vec::new();
        while let Some(end) = requests.iter().position(|byte| *byte == 0) {
            let (message, behind) = requests.split_at(end + 1);
            requests = behind;
            let call = if message.len() > CALL_MAX { None } else { Call::decode(message).ok() };
            let Some(call) = call.map(|call| call.value).filter(|call| !call.upgrade) else {
                return (replies, true);
            };
            if call.oneway {
                continue;
            }
            let answer = match Question::decode(&call, SERVICE) {
                Ok(question) => self.answer(&question),
                Err(error) => {
                    let mut room = [0; 4096];
                    let Ok(len) = error.encode(&mut room) else { return (replies, true) };
                    replies.push(serde_json::from_slice(&room[..len - 1]).expect("JSON"));
                    continue;
                }
            };
            match answer {
                Err(error) => replies.push(json!({"error": error, "parameters": {}})),
                Ok(all) if all.is_empty() => {
                    replies.push(json!({"error": NONE, "parameters": {}}));
                }
                Ok(all) => {
                    let last = all.len() - 1;
                    replies.extend(all.into_iter().enumerate().map(|(at, parameters)| {
                        match at == last {
                            true => json!({"parameters": parameters}),
                            false => json!({"parameters": parameters, "continues": true}),
                        }
                    }));
                }
            }
        }
        (replies, requests.len() >= CALL_MAX)
    }

    fn answer(&mut self, question: &Question<'_>) -> Answer {
        match *question {
            Question::User(keys) => {
                let found = pick(&self.users, &keys)?;
                let told =
                    found.into_iter().filter(|user| is_told(user) && is_gid(user.numbers[1]));
                let told: Vec<usize> = told.map(|user| at(&self.users, user)).collect();
                Ok(told.into_iter().map(|at| self.user(at)).collect())
            }
            Question::Group(keys) => {
                let found = pick(&self.groups, &keys)?;
                let group = |group: &Entry| {
                    let name = told(group.name());
                    json!({
                        "record": {"groupName": name, "gid": group.id(), "service": SERVICE},
                        "incomplete": !self.root,
                    })
                };
                Ok(found.into_iter().filter(|group| is_told(group)).map(group).collect())
            }
            Question::Memberships { user: Some(user), group: None } => self.groups_of(user),
            Question::Memberships { user, group } => Ok(self.members(user, group)),
            Question::Info => Ok(vec![json!({
                "vendor": "nssbox", "product": "userdb", "version": VERSION,
                "url": "", "interfaces": ["io.systemd.UserDatabase", "org.varlink.service"],
            })]),
            Question::Description(text) => Ok(vec![json!({"description": text})]),
            _ => panic!("another question"),
        }
    }

    fn user(&mut self, at: usize) -> Value {
        let user = &self.users[at];
        let strings = &user.strings;
        let mut record = json!({
            "userName": told(user.name()), "uid": user.id(), "gid": user.numbers[1],
            "realName": told(&strings[2]), "homeDirectory": path(&strings[3], ["/", "/"]),
            "shell": path(&strings[4], ["/bin/sh", "/usr/sbin/nologin"]), "service": SERVICE,
        });
        let shadow = self.files.answer(&by_name(op::SHADOW_GETBYNAME, user.name()));
        if !self.root || shadow[0] != 0 {
            return json!({"record": record, "incomplete": !self.root});
        }
        let numbers: Vec<u64> = shadow[1..57]
            .chunks(8)
            .map(|number| u64::from_be_bytes(number.try_into().unwrap()))
            .collect();
        let names = ["lastPasswordChange", "passwordChangeMin", "passwordChangeMax"];
        let more = ["passwordChangeWarn", "passwordChangeInactive", "notAfter"];
        for (name, days) in names.iter().chain(&more).zip(&numbers) {
            if let Some(micros) = days.checked_mul(86_400_000_000) {
                record[format!("{name}USec")] = micros.into();
            }
        }
        if numbers[0] == 0 {
            record["passwordChangeNow"] = true.into();
        }
        let hash = shadow[61..].split(|byte| *byte == 0).nth(1).unwrap();
        record["privileged"] = json!({"hashedPassword": [told(hash)]});
        json!({"record": record, "incomplete": false})
    }

    fn groups_of(&mut self, user: Text<'_>) -> Answer {
        let Some(user) = key(user) else { return Ok(Vec::new()) };
        let list = self.files.answer(&grouplist(u64::MAX, &user));
        let mut gids: Vec<u32> = Vec::new();
        for gid in list[17..].chunks(4).map(|gid| u32::from_be_bytes(gid.try_into().unwrap())) {
            if !gids.contains(&gid) {
                gids.push(gid);
            }
        }
        if gids.len() > 4096 {
            return Err(FAILED);
        }
        let group = |gid| self.groups.iter().find(|group| group.id() == gid);
        let groups = gids.into_iter().filter_map(group).filter(|group| is_told(group));
        Ok(groups.map(|group| membership(&user, group.name())).collect())
    }

    /// Members of a group, or of all; perhaps only one of them.
    fn members(&self, user: Option<Text<'_>>, group: Option<Text<'_>>) -> Vec<Value> {
        let groups: Vec<&Entry> = match group.map(key) {
            None => self.groups.iter().collect(),
            Some(None) => Vec::new(),
            Some(Some(name)) => self.groups.iter().find(|g| g.name() == name).into_iter().collect(),
        };
        let mut told = Vec::new();
        for group in groups.into_iter().filter(|group| is_told(group)) {
            let mut seen: VecDeque<&[u8]> = VecDeque::new();
            for member in group.strings[2..].iter().filter(|member| is_name(member)) {
                if user.is_some_and(|user| !user.bytes().eq(member.iter().copied())) {
                    continue;
                }
                if seen.contains(&&**member) {
                    continue;
                }
                seen.push_back(member);
                if seen.len() > SEEN {
                    seen.pop_front();
                }
                told.push(membership(member, group.name()));
                if user.is_some() {
                    break;
                }
            }
        }
        told
    }
}

fn membership(user: &[u8], group: &[u8]) -> Value {
    json!({"userName": told(user), "groupName": told(group)})
}

/// The entries of a database, with so many numbers.
fn all(files: &mut Naive, get: u8, numbers: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    loop {
        let reply = files.answer(&[get]);
        if reply[0] != 0 {
            return entries;
        }
        let number = |at: usize| u32::from_be_bytes(reply[at..at + 4].try_into().unwrap());
        let strings = reply[13..].strip_suffix(&[0]).unwrap();
        entries.push(Entry {
            numbers: [number(1), if numbers == 2 { number(5) } else { 0 }],
            strings: strings.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect(),
        });
    }
}

fn at(entries: &[Entry], entry: &Entry) -> usize {
    entries.iter().position(|other| std::ptr::eq(other, entry)).unwrap()
}

/// A key that somebody can have.
fn key(text: Text<'_>) -> Option<Vec<u8>> {
    let name = string(text).into_bytes();
    is_name(&name).then_some(name)
}

/// Those who are asked for.
fn pick<'a>(entries: &'a [Entry], keys: &Keys<'_>) -> Result<Vec<&'a Entry>, &'static str> {
    let by_id = |id| entries.iter().find(|entry| entry.id() == id && is_id(id));
    match (keys.name, keys.id) {
        (None, None) => Ok(entries.iter().collect()),
        (None, Some(id)) => Ok(by_id(id).into_iter().collect()),
        (Some(name), id) => {
            let name = key(name);
            let found = name.and_then(|name| entries.iter().find(|entry| entry.name() == name));
            match (found, id) {
                (Some(entry), Some(id)) if entry.id() != id => Err(CONFLICT),
                (None, Some(id)) if by_id(id).is_some() => Err(CONFLICT),
                (found, _) => Ok(found.into_iter().collect()),
            }
        }
    }
}

fn is_told(entry: &Entry) -> bool {
    is_name(entry.name()) && is_id(entry.id())
}

fn is_id(id: u32) -> bool {
    ![0, 65534, 65535, u32::MAX].contains(&id)
}

fn is_gid(gid: u32) -> bool {
    ![65535, u32::MAX].contains(&gid)
}

fn is_name(name: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(name) else { return false };
    let digits = text.strip_prefix('-').unwrap_or(text);
    let forbidden = |c: char| c == ':' || c == '/' || c.is_ascii_control() || !is_character(c);
    !digits.chars().all(|c| c.is_ascii_digit())
        && name.len() <= 254
        && text.trim_matches(' ') == text
        && !["root", "nobody", ".", ".."].contains(&text)
        && !text.contains(forbidden)
}

fn is_character(character: char) -> bool {
    told(character.to_string().as_bytes()) == character.to_string()
}

/// A path as it is told; instead of an empty one, and of one that cannot be.
fn path(path: &[u8], [empty, other]: [&str; 2]) -> String {
    let Ok(text) = std::str::from_utf8(path) else { return other.into() };
    let parts: Vec<&str> = text.split('/').collect();
    let forbidden = |c: char| c == ':' || c.is_ascii_control() || !is_character(c);
    if text.is_empty() {
        return empty.into();
    }
    if !text.starts_with('/')
        || text.len() > 4096
        || text.contains(forbidden)
        || parts.iter().any(|part| *part == ".." || part.len() > 255)
    {
        return other.into();
    }
    let left: Vec<&str> = parts.into_iter().filter(|part| !["", "."].contains(part)).collect();
    if left.is_empty() { other.into() } else { format!("/{}", left.join("/")) }
}
