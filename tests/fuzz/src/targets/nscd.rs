//! The nscd protocol: its requests, and a whole connection against the naive reader.

use super::stage::{Peer, Scene, serve};
use super::{number, same};
use crate::naive::Naive;
use crate::wire::{by_id, by_name, grouplist, op};
use nssbox::server::conversation::Conversation as _;
use nssbox::server::conversation::nscd::Nscd;
use nssbox::sys::access::{self, Rights};
use nssproto::DecodeError;
use nssproto::entry::{Db, Gid, Uid};
use nssproto::line::{self, Rules};
use nssproto::nscd::{REQUEST_MAX, Request};
use nssproto::nsss;

/// One request.
pub fn nscd_request(data: &[u8]) {
    let took = match Request::decode(data) {
        Ok(took) => took,
        Err(DecodeError::Incomplete(more)) => {
            assert!(more > 0);
            let padded = [data, &vec![0; more - 1]].concat();
            assert!(!matches!(Request::decode(&padded), Ok(took) if took.len <= padded.len()));
            return;
        }
        Err(DecodeError::Malformed(_)) => return,
        Err(other) => panic!("a request that is neither: {other:?}"),
    };
    let (head, key) = data[..took.len].split_at(12);
    let word = |at: usize| i32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
    assert_eq!((word(0), word(8)), (2, key.len() as i32));
    let text = key.split_last().map(|(_, text)| text).unwrap_or_default();
    let id = || if text.len() > 10 { None } else { number(text, u64::from(u32::MAX)) };
    match took.value {
        Request::PasswdByName(name) => assert_eq!((word(4), name), (0, text)),
        Request::PasswdByUid(uid) => {
            assert_eq!((word(4), uid.map(|u| u64::from(u.0))), (1, id()));
        }
        Request::GroupByName(name) => assert_eq!((word(4), name), (2, text)),
        Request::GroupByGid(gid) => {
            assert_eq!((word(4), gid.map(|g| u64::from(g.0))), (3, id()));
        }
        Request::Initgroups(user) => assert_eq!((word(4), user), (15, text)),
        Request::Invalidate(db) => assert_eq!((word(4), db), (10, text)),
        Request::Descriptor => assert!([11, 12, 13, 18, 21].contains(&word(4))),
        Request::Unserved(_) => assert!([4, 5, 6, 7, 14, 16, 17, 19, 20].contains(&word(4))),
        Request::Shutdown => assert_eq!(word(4), 8),
        Request::Statistics => assert_eq!(word(4), 9),
        other => panic!("a request of another kind: {other:?}"),
    }
    let mut again = [0xa5; REQUEST_MAX];
    if let Ok(len) = took.value.encode(&mut again) {
        assert_eq!(Request::decode(&again[..len]).map(|took| took.value), Ok(took.value));
    }
    for end in 0..took.len {
        assert!(matches!(Request::decode(&data[..end]), Err(DecodeError::Incomplete(_))));
    }
}

/// How the bytes come, three files, and the bytes: see [`Scene::read`]. Bit 2 of the flags: two
/// clients in turn, who send the same; bit 3: root asks.
pub fn nscd_session(data: &[u8]) {
    let scene = Scene::read(data);
    let mut switch = scene.switch(true);
    let count = if scene.flags & 4 == 0 { 1 } else { 2 };
    let root = scene.flags & 8 != 0;
    let rights = Rights::Peer(access::Peer { uid: Uid(if root { 0 } else { 1000 }), gid: Gid(0) });
    let client = |number| Nscd::new(switch.new_client(rights, number));
    let mut peers: Vec<_> = (0..count).map(|n| Peer::new(client(n), &scene)).collect();
    serve(&mut peers, &mut switch);
    // The naive reader goes by nsss's rules, nscd by glibc's.
    if !scene.files.iter().zip(Db::ALL).all(|(file, db)| is_read_alike(db, file)) {
        return;
    }
    let (reply, closed) = naive(&scene, root);
    for peer in peers {
        same(&peer.replies, &reply);
        assert_eq!(peer.closed, closed);
    }
}

/// Whether all rules make the same of each line.
fn is_read_alike(db: Db, file: &[u8]) -> bool {
    let read = |rules, line| {
        let mut reply = vec![0; file.len() + nsss::Head::MAX + 64];
        let record = line::parse_by(rules, db, line).ok()?;
        let len = nsss::encode(&record, &mut reply).ok()?;
        reply.truncate(len);
        Some(reply)
    };
    file.split(|byte| *byte == b'\n').all(|line| {
        let nsss = read(Rules::Nsss, line);
        nsss == read(Rules::Glibc, line)
            && (db != Db::Group || nsss == read(Rules::GlibcMembers, line))
    })
}

/// The reply, and whether the server closes; it does not while a request is incomplete.
fn naive(scene: &Scene<'_>, root: bool) -> (Vec<u8>, bool) {
    let nothing = (Vec::new(), true);
    let Some((head, rest)) = scene.requests.split_at_checked(12) else {
        return (Vec::new(), false);
    };
    let word = |at: usize| i32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
    let (version, kind, len) = (word(0), word(4), word(8));
    if version != 2 || !(0..=1024).contains(&len) {
        return nothing;
    }
    let Some(key) = rest.get(..len as usize) else { return (Vec::new(), false) };
    let text = match key.split_last() {
        Some((0, text)) if !text.contains(&0) => Some(text),
        _ => None,
    };
    let unserved = |size: usize| {
        let mut reply = words(&[2, u32::MAX]);
        reply.resize(size, 0);
        (reply, true)
    };
    let reply = match (kind, text) {
        (4..=7, _) => return unserved(32),
        (14 | 16 | 17, _) => return unserved(24),
        (19, _) => return unserved(16),
        (20, _) => return unserved(12),
        (10, Some(db)) if root => {
            let known = ["passwd", "group", "hosts", "services", "netgroup"];
            words(&[if known.iter().any(|k| k.as_bytes() == db) { 0 } else { 22 }])
        }
        (0..=3 | 15, Some(text)) => {
            let [passwd, group, shadow] = &scene.files;
            let mut files = Naive::new(passwd, group, shadow);
            match answer(&mut files, kind, text, root) {
                Some(reply) => reply,
                None => return nothing,
            }
        }
        _ => return nothing,
    };
    (reply, true)
}

/// `None`: closed without a reply.
fn answer(files: &mut Naive, kind: i32, key: &[u8], root: bool) -> Option<Vec<u8>> {
    let id = if key.len() > 10 { None } else { number(key, u64::from(u32::MAX)) };
    let fits = key.len() <= 254 && !key.contains(&b':') && !key.contains(&b'\n');
    let mut ask = |request: Option<Vec<u8>>| request.map_or(vec![255], |r| files.answer(&r));
    let found = match kind {
        0 => ask(fits.then(|| by_name(op::PWD_GETBYNAME, key))),
        1 => ask(id.map(|id| by_id(op::PWD_GETBYUID, id as u32))),
        2 => ask(fits.then(|| by_name(op::GRP_GETBYNAME, key))),
        3 => ask(id.map(|id| by_id(op::GRP_GETBYGID, id as u32))),
        _ if !fits => return Some(words(&[2, 0, 0])),
        _ => {
            let list = ask(Some(grouplist(u64::MAX, key)));
            let mut gids: Vec<u32> = Vec::new();
            for gid in list[17..].chunks(4).map(|g| u32::from_be_bytes(g.try_into().unwrap())) {
                if !gids.contains(&gid) {
                    gids.push(gid);
                }
            }
            let user = ask(Some(by_name(op::PWD_GETBYNAME, key)));
            return match gids.len() {
                0 => Some(words(&[2, u32::from(user[0] == 0), 0])),
                // More distinct ones than a merge keeps.
                4097.. => None,
                count => Some([words(&[2, 1, count as u32]), words(&gids)].concat()),
            };
        }
    };
    Some(match (kind, found[0]) {
        (0 | 1, 0) => user(&found, |field| shown(field, root, true)),
        (0 | 1, _) => words(&[2, 0, 0, 0, u32::MAX, u32::MAX, 0, 0, 0]),
        (_, 0) => group(&found, |field| shown(field, root, false)),
        _ => words(&[2, 0, 0, 0, u32::MAX, 0]),
    })
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

/// The numbers in front of the strings of an nsss reply, and the strings.
fn parts(reply: &[u8]) -> ([u32; 3], Vec<&[u8]>) {
    let number = |at: usize| u32::from_be_bytes(reply[at..at + 4].try_into().unwrap());
    let strings = reply[13..].strip_suffix(&[0]).unwrap();
    ([number(1), number(5), number(9)], strings.split(|b| *b == 0).collect())
}

/// What is sent of a password of a second directory that only root could read: `x` is not, of a user,
/// where own shadow is not looked at.
fn shown(password: &[u8], root: bool, user: bool) -> &[u8] {
    match password {
        b"" | b"*" | [b'!', ..] => password,
        b"x" if !user => password,
        b"x" => b"*",
        _ if root => password,
        _ => b"*",
    }
}

fn lengths(strings: &[&[u8]]) -> Vec<u8> {
    words(&strings.iter().map(|s| s.len() as u32 + 1).collect::<Vec<_>>())
}

fn closed(strings: &[&[u8]]) -> Vec<u8> {
    strings.iter().flat_map(|s| s.iter().chain(&[0])).copied().collect()
}

/// The nscd reply to what the nsss reply says of a user.
pub fn user(nsss: &[u8], shown: impl FnOnce(&[u8]) -> &[u8]) -> Vec<u8> {
    let ([uid, gid, _], mut strings) = parts(nsss);
    strings[1] = shown(strings[1]);
    let head = [words(&[2, 1]), lengths(&strings[..2]), words(&[uid, gid])].concat();
    [head, lengths(&strings[2..]), closed(&strings)].concat()
}

/// The nscd reply to what the nsss reply says of a group.
pub fn group(nsss: &[u8], shown: impl FnOnce(&[u8]) -> &[u8]) -> Vec<u8> {
    let ([gid, _, members], mut strings) = parts(nsss);
    strings[1] = shown(strings[1]);
    let head = [words(&[2, 1]), lengths(&strings[..2]), words(&[gid, members])].concat();
    [head, lengths(&strings[2..]), closed(&strings)].concat()
}
