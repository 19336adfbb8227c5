//! The codec of userdb against the exchanges of tests/vectors/userdb: what stock clients send, and what
//! a slow and obvious server answers from input/ by it. How long a connection stays open is the
//! server's matter, and not tested here.

use nssproto::DecodeError;
use nssproto::entry::{Gid, Group, Passwd, Shadow};
use nssproto::json::Text;
use nssproto::line::{parse_group, parse_passwd, parse_shadow};
use nssproto::userdb::record::{
    Privileged, UserCheck, encode_group, encode_membership, encode_user_end, end,
};
use nssproto::userdb::{
    Error, Keys, Question, Told, encode_description, encode_info, is_id, is_name,
};
use nssproto::varlink::{Call, Reply};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const SERVICE: &str = "org.nssbox.Users";
/// As much as a client takes.
const REPLY_MAX: usize = 16 << 20;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/userdb")
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
}

/// The files, line by line.
struct Files([Vec<u8>; 3]);

impl Files {
    fn read() -> Self {
        Files(
            ["passwd", "group", "shadow"]
                .map(|file| fs::read(folder().join("input").join(file)).unwrap()),
        )
    }

    fn users(&self) -> impl Iterator<Item = Passwd<'_>> {
        self.0[0].split(|b| *b == b'\n').filter_map(|line| parse_passwd(line).ok())
    }

    fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        let groups = self.0[1].split(|b| *b == b'\n').filter_map(|line| parse_group(line).ok());
        groups.filter(|group| is_id(group.gid.0) && is_name(group.name))
    }

    fn shadow(&self, name: &[u8]) -> Option<Shadow<'_>> {
        let mut lines = self.0[2].split(|b| *b == b'\n').filter_map(|line| parse_shadow(line).ok());
        lines.find(|shadow| shadow.name == name)
    }
}

fn encoded<E: std::fmt::Debug>(encode: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Vec<u8> {
    let mut out = vec![0xa5; 4096];
    let len = encode(&mut out).unwrap();
    assert!(out[len..].iter().all(|byte| *byte == 0xa5));
    out.truncate(len);
    out
}

/// A user's record, whose strings are passed in pieces of this size; `None`: it is not told.
fn user(record: &Passwd<'_>, privileged: &Privileged<'_>, size: usize) -> Option<Vec<u8>> {
    let strings = [record.name, record.password, record.gecos, record.home, record.shell]
        .map(|text| [text, b"\0"].concat())
        .concat();
    let mut check = UserCheck::default();
    strings.chunks(size).for_each(|piece| check.feed(piece));
    let mut writer = check.finish(record.uid, record.gid)?;
    let mut all = Vec::new();
    for mut piece in strings.chunks(size) {
        while !piece.is_empty() {
            let mut room = [0; 700];
            let (taken, written) = writer.feed(piece, &mut room);
            assert!(taken > 0 || written > 0, "it goes on while there is room");
            piece = &piece[taken..];
            all.extend(&room[..written]);
        }
    }
    assert!(writer.is_complete());
    all.extend(encoded(|out| encode_user_end(SERVICE, privileged, out)));
    Some(all)
}

/// Whether a key is this name.
fn is(key: Option<Text<'_>>, name: &[u8]) -> bool {
    key.is_none_or(|key| key.bytes().eq(name.iter().copied()))
}

/// Those of `all` that both keys fit, each key being asked for by itself as of an ordinary source: the
/// first record counts.
fn chosen<T: Copy>(
    all: &[T],
    keys: Keys<'_>,
    name: fn(&T) -> &[u8],
    id: fn(&T) -> u32,
) -> Result<Vec<T>, Error<'static>> {
    if keys == Keys::default() {
        return Ok(all.to_vec());
    }
    let by_name = keys.name.map(|key| all.iter().find(|one| is(Some(key), name(one))));
    let by_id = keys.id.map(|key| all.iter().find(|one| id(one) == key));
    match (by_name, by_id) {
        (Some(Some(one)), None) | (None, Some(Some(one))) => Ok(vec![*one]),
        (Some(Some(one)), Some(_)) if Some(id(one)) == keys.id => Ok(vec![*one]),
        (Some(Some(_)), Some(_)) | (Some(None), Some(Some(_))) => {
            Err(Error::ConflictingRecordFound)
        }
        _ => Ok(Vec::new()),
    }
}

fn answer<'a>(
    files: &'a Files,
    question: &Question<'a>,
    may_read: bool,
    size: usize,
) -> Result<Vec<Vec<u8>>, Error<'a>> {
    let mut replies = Vec::new();
    match *question {
        Question::User(keys) => {
            let told: Vec<Passwd<'_>> = files
                .users()
                .filter(|record| user(record, &Privileged::Hidden, 4096).is_some())
                .collect();
            for record in chosen(&told, keys, |record| record.name, |record| record.uid.0)? {
                let privileged = match files.shadow(record.name) {
                    _ if !may_read => Privileged::Hidden,
                    Some(shadow) => Privileged::Shadow(shadow),
                    None => Privileged::None,
                };
                replies.push(user(&record, &privileged, size).unwrap());
            }
        }
        Question::Group(keys) => {
            let told: Vec<Group<'_>> = files.groups().collect();
            for Group { name, gid: Gid(gid), .. } in
                chosen(&told, keys, |group| group.name, |group| group.gid.0)?
            {
                replies.push(encoded(|out| encode_group(name, Gid(gid), SERVICE, !may_read, out)));
            }
        }
        Question::Memberships { user, group } => {
            for of in files.groups().filter(|of| is(group, of.name)) {
                let mut seen: Vec<&[u8]> = Vec::new();
                for member in of.members.filter(|member| is_name(member) && is(user, member)) {
                    if !seen.contains(&member) {
                        seen.push(member);
                        replies.push(encoded(|out| encode_membership(member, of.name, out)));
                    }
                }
            }
        }
        Question::Info => {
            replies.push(encoded(|out| encode_info("nssbox", "userdb", "0", out)));
        }
        Question::Description(text) => {
            replies.push(encoded(|out| encode_description(text, out)));
        }
        _ => panic!("a question that is new"),
    }
    if replies.is_empty() { Err(Error::NoRecordFound) } else { Ok(replies) }
}

/// All replies to what a client sends, up to where it is closed.
fn serve(files: &Files, mut input: &[u8], may_read: bool, size: usize) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let call = match Call::decode(input) {
            Ok(call) => call,
            Err(DecodeError::Incomplete(_) | DecodeError::Malformed(_)) => return all,
            Err(other) => panic!("{other}"),
        };
        if call.value.upgrade {
            return all;
        }
        let question = Question::decode(&call.value, SERVICE);
        let replies = question.and_then(|question| answer(files, &question, may_read, size));
        match replies {
            _ if call.value.oneway => {}
            Ok(replies) => {
                let last = replies.len() - 1;
                all.extend(
                    replies
                        .iter()
                        .enumerate()
                        .flat_map(|(at, reply)| [reply, end(at < last)].concat()),
                );
            }
            Err(error) => all.extend(encoded(|out| error.encode(out))),
        }
        input = &input[call.len..];
    }
}

/// Messages as values; of texts that are a program's own only what has to be there.
fn messages(bytes: &[u8]) -> Vec<Value> {
    let value = |message: &[u8]| {
        let mut value: Value = serde_json::from_slice(message).unwrap();
        if value["parameters"]["interfaces"].is_array() {
            let interfaces = value["parameters"]["interfaces"].take();
            value = interfaces;
        }
        if let Some(text) = value["parameters"]["description"].as_str() {
            value = text.lines().next().unwrap().into();
        }
        value
    };
    bytes
        .split_inclusive(|byte| *byte == 0)
        .map(|message| value(&message[..message.len() - 1]))
        .collect()
}

/// What our client makes of a reply is what stands there.
fn is_told_as_it_stands(text: &[u8], reply: &Reply<'_>) {
    let value: Value = serde_json::from_slice(text).unwrap();
    let parameters = &value["parameters"];
    let text = |text: Option<Text<'_>>| {
        text.map_or(Value::Null, |text| String::from_utf8(text.bytes().collect()).unwrap().into())
    };
    match Told::decode(reply) {
        Ok(Told::User(user)) => {
            let record = &parameters["record"];
            let fields = ["userName", "realName", "homeDirectory", "shell"]
                .map(|field| record[field].clone());
            assert_eq!([Some(user.name), user.real_name, user.home, user.shell].map(text), fields);
            assert_eq!(
                [user.uid, user.gid].map(Value::from),
                ["uid", "gid"].map(|id| record[id].clone())
            );
            assert_eq!(text(user.hash), record["privileged"]["hashedPassword"][0]);
            assert_eq!(Value::from(user.incomplete), parameters["incomplete"]);
        }
        Ok(Told::Group { name, gid, incomplete }) => {
            assert_eq!(text(Some(name)), parameters["record"]["groupName"]);
            assert_eq!(Value::from(gid), parameters["record"]["gid"]);
            assert_eq!(Value::from(incomplete), parameters["incomplete"]);
        }
        Ok(Told::Membership { user, group }) => {
            assert_eq!(text(Some(user)), parameters["userName"]);
            assert_eq!(text(Some(group)), parameters["groupName"]);
        }
        Ok(Told::None(_) | Told::Failed(_)) => assert!(value["error"].is_string()),
        Ok(other) => panic!("{other:?}"),
        // GetInfo and descriptions are not for this client.
        Err(_) => assert!(parameters["record"].is_null() && parameters["groupName"].is_null()),
    }
}

/// What a client sends, written out.
fn sent(vector: &Value) -> Vec<u8> {
    if let Some(request) = vector["request"].as_str() {
        return unhex(request);
    }
    let steps = vector["send"].as_array().unwrap().iter();
    steps
        .flat_map(|step| {
            unhex(step["hex"].as_str().unwrap())
                .repeat(step["repeat"].as_u64().unwrap_or(1) as usize)
        })
        .collect()
}

#[test]
fn each_recorded_call_is_answered_as_it_was() {
    let files = Files::read();
    let mut played = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let vector: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let Some(reply) = vector["reply"].as_str() else { continue };
        let may_read = matches!(vector["peer"].as_str(), None | Some("root" | "shadow"));
        let mut wanted = vec![messages(&unhex(reply))];
        for other in vector["or"].as_array().into_iter().flatten() {
            wanted.push(messages(&unhex(other.as_str().unwrap())));
        }
        for size in [1, 7, 4096] {
            let got = serve(&files, &sent(&vector), may_read, size);
            assert!(
                wanted.contains(&messages(&got)),
                "{}: {}",
                path.display(),
                String::from_utf8_lossy(&got)
            );
            // A client of ours takes it, too.
            let mut rest = &got[..];
            while !rest.is_empty() {
                let reply = Reply::decode(rest, REPLY_MAX).unwrap();
                is_told_as_it_stands(&rest[..reply.len - 1], &reply.value);
                rest = &rest[reply.len..];
            }
        }
        played += 1;
    }
    assert!(played > 140, "only {played}");
}
