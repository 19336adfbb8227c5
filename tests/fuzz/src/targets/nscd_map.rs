//! The shared map: any bytes as a file, and any lines as what a file is made of.

use super::same;
use nssproto::EncodeError;
use nssproto::entry::{Db, Record};
use nssproto::line::{Rules, parse_by};
use nssproto::nscd::map::{Builder, HEADER, Header, Key, Map, kind, module_for, table_size};
use nssproto::nscd::{self, Password, Reply, ReplyKind};
use std::collections::HashMap;

/// The first byte says which: even, a file; odd, lines of passwd (1) or group (3), and in how small a
/// buffer they begin.
pub fn nscd_map(data: &[u8]) {
    let (first, rest) = super::first(data);
    match first & 3 {
        1 => lines(Db::Passwd, first, rest),
        3 => lines(Db::Group, first, rest),
        _ => file(rest),
    }
}

/// What is taken for a good file is made once more of its entries, and says the same.
fn file(bytes: &[u8]) {
    let Ok(map) = Map::check(bytes) else { return };
    let header = map.header;
    assert_eq!(header.file_size(), bytes.len());
    assert_eq!(Header::decode(&header.encode()), Ok(header));
    let mut builder = Builder::new(vec![0; 16 * bytes.len()], vec![0; 64]);
    let mut seen = HashMap::new();
    for entry in map.entries() {
        // Of several entries the first one counts.
        let payload = *seen.entry((entry.kind, entry.key)).or_insert(entry.payload);
        assert_eq!(map.find(entry.kind, entry.key), Some(payload));
        if builder.find(entry.kind, entry.key).is_none() {
            builder.room()[..payload.len()].copy_from_slice(payload);
            builder.add(payload.len(), &[(entry.kind, Key::Behind(entry.key))]).unwrap();
        }
    }
    assert_eq!(builder.entries() as usize, seen.len());
    let made = finished(builder);
    let again = Map::check(&made).unwrap();
    for ((kind, key), payload) in seen {
        assert_eq!(again.find(kind, key), Some(payload));
    }
}

/// A map of lines answers as a table of the first lines does.
fn lines(db: Db, first: u8, text: &[u8]) {
    let mut builder = Builder::new(vec![0xa5; usize::from(first)], vec![0xa5; 4]);
    let mut model: HashMap<(u8, Vec<u8>), Vec<u8>> = HashMap::new();
    let (by_name, by_id) =
        if db == Db::Passwd { (kind::USER, kind::UID) } else { (kind::GROUP, kind::GID) };
    for line in text.split(|byte| *byte == b'\n') {
        let Ok(record) = parse_by(Rules::Glibc, db, line) else { continue };
        let mut payload = vec![0; 8 * line.len() + 64];
        let len = nscd::encode(&record, Password::AsItStands, &mut payload).unwrap();
        payload.truncate(len);
        let at = match record {
            Record::Group(group) => 24 + 4 * group.members.remaining() as usize,
            _ => 36,
        };
        let id = record.id().unwrap().to_string();
        let keys = [
            (by_name, Key::Within(at, record.name().len()), record.name()),
            (by_id, Key::Behind(id.as_bytes()), id.as_bytes()),
        ];
        let new: Vec<_> =
            keys.iter().filter(|(kind, _, key)| builder.find(*kind, key).is_none()).collect();
        let keys: Vec<_> = new.iter().map(|(kind, key, _)| (*kind, *key)).collect();
        if keys.is_empty() {
            continue;
        }
        loop {
            if let Some(room) = builder.room().get_mut(..len) {
                room.copy_from_slice(&payload);
            }
            match builder.add(len, &keys) {
                Ok(()) => break,
                Err(EncodeError::NoSpace(size)) => {
                    assert!(size > builder.data_room().len());
                    builder.data_room().resize(size, 0xa5);
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        for (kind, _, key) in new {
            assert!(model.insert((*kind, key.to_vec()), payload.clone()).is_none());
        }
    }
    assert_eq!(builder.entries() as usize, model.len());
    let made = finished(builder);
    let map = Map::check(&made).unwrap();
    let reply = if db == Db::Passwd { ReplyKind::Passwd } else { ReplyKind::Group };
    for ((kind, key), payload) in &model {
        same(map.find(*kind, key).unwrap(), payload);
        assert_eq!(Reply::decode(reply, payload).unwrap().len, payload.len());
        assert_eq!(map.find(9, key), None);
    }
    // Each byte of the header, the table and the heads that is another one is noticed, or harmless.
    for at in (HEADER..made.len()).step_by(1 + made.len() / 64) {
        let mut bad = made.clone();
        bad[at] ^= 0xff;
        if let Ok(map) = Map::check(&bad) {
            map.entries().for_each(|entry| assert!(map.find(entry.kind, entry.key).is_some()));
        }
    }
}

/// The whole file of what was added.
fn finished(mut builder: Builder<Vec<u8>>) -> Vec<u8> {
    let entries = builder.entries();
    let module = module_for(entries);
    builder.table_room().resize(table_size(module), 0xa5);
    builder.begin_link(module);
    while !builder.link(3) {}
    let data_size = builder.data().len() as u32;
    let header = Header { gc_cycle: 0, timestamp: 0, module, data_size, entries };
    [&header.encode()[..], builder.table(), builder.data()].concat()
}
