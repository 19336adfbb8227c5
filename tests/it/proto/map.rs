//! The codec of nscd's shared map against the files in tests/vectors/nscd-map, byte for byte. They were
//! made on a little-endian machine.
#![cfg(target_endian = "little")]

use nssproto::entry::{Db, Record};
use nssproto::line::glibc::parse_membership;
use nssproto::line::{Rules, parse_by};
use nssproto::nscd::map::{
    Builder, Header, Key, Map, encode_granted, kind, module_for, table_size,
};
use nssproto::nscd::{self, Password, Request};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/nscd-map")
}

fn vector(name: &str) -> Value {
    let path = folder().join(format!("{name}.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
}

/// The bytes of a map.
fn bytes(vector: &Value) -> Vec<u8> {
    let mut bytes = unhex(vector["hex"].as_str().unwrap());
    bytes.resize(vector["size"].as_u64().unwrap() as usize, 0);
    bytes
}

fn builder() -> Builder<Vec<u8>> {
    Builder::new(vec![0xa5; 1 << 16], vec![0xa5; 4 * 31])
}

/// The whole file, whose timestamp is that of `like`.
fn finished(mut builder: Builder<Vec<u8>>, like: &[u8]) -> Vec<u8> {
    let (entries, module) = (builder.entries(), module_for(builder.entries()));
    builder.table_room().resize(table_size(module), 0xa5);
    builder.begin_link(module);
    while !builder.link(2) {}
    let data_size = builder.data().len() as u32;
    let timestamp = Header::decode(like).unwrap().timestamp;
    let header = Header { gc_cycle: 0, timestamp, module, data_size, entries };
    [&header.encode()[..], builder.table(), builder.data()].concat()
}

/// Adds the records of an input file, each with the keys that were not there.
fn add_records(builder: &mut Builder<Vec<u8>>, db: Db) {
    let text = fs::read_to_string(folder().join("input").join(db.name())).unwrap();
    // What its writer put in the place of a hash.
    let text = text.replace("$6$secret", "x");
    let (by_name, by_id) =
        if db == Db::Passwd { (kind::USER, kind::UID) } else { (kind::GROUP, kind::GID) };
    for line in text.lines() {
        let record = parse_by(Rules::Glibc, db, line.as_bytes()).unwrap();
        let len = nscd::encode(&record, Password::AsItStands, builder.room()).unwrap();
        let at = match record {
            Record::Group(group) => 24 + 4 * group.members.remaining() as usize,
            _ => 36,
        };
        let (name, id) = (record.name(), record.id().unwrap().to_string());
        let mut keys = Vec::new();
        if builder.find(by_name, name).is_none() {
            keys.push((by_name, Key::Within(at, name.len())));
        }
        if builder.find(by_id, id.as_bytes()).is_none() {
            keys.push((by_id, Key::Behind(id.as_bytes())));
        }
        builder.add(len, &keys).unwrap();
    }
}

fn add_groups(builder: &mut Builder<Vec<u8>>, name: &str, gids: &[u32]) {
    let len = nscd::encode_initgroups(gids.len() as u32, builder.room()).unwrap();
    let bytes: Vec<u8> = gids.iter().flat_map(|gid| gid.to_ne_bytes()).collect();
    builder.room()[len..len + bytes.len()].copy_from_slice(&bytes);
    builder.add(len + bytes.len(), &[(kind::GROUPS, Key::Behind(name.as_bytes()))]).unwrap();
}

#[test]
fn the_map_of_users_is_the_recorded_one() {
    let recorded = bytes(&vector("map-passwd-refmap"));
    let mut builder = builder();
    add_records(&mut builder, Db::Passwd);
    assert_eq!(finished(builder, &recorded), recorded);
}

#[test]
fn the_map_of_groups_is_the_recorded_one() {
    let recorded = bytes(&vector("map-group-refmap"));
    let mut builder = builder();
    add_records(&mut builder, Db::Group);
    let read = |name: &str| fs::read_to_string(folder().join("input").join(name)).unwrap();
    let (group, passwd) = (read("group"), read("passwd"));
    let mut members: Vec<(String, Vec<u32>)> = Vec::new();
    for line in group.lines() {
        let group = parse_membership(line.as_bytes()).unwrap();
        for member in group.members {
            let member = String::from_utf8(member.to_vec()).unwrap();
            match members.iter_mut().find(|(name, _)| *name == member) {
                Some((_, gids)) => gids.push(group.gid.0),
                None => members.push((member, vec![group.gid.0])),
            }
        }
    }
    for line in passwd.lines() {
        let name = line.split(':').next().unwrap();
        if !members.iter().any(|(member, _)| member == name) {
            members.push((name.to_owned(), Vec::new()));
        }
    }
    members.iter().for_each(|(name, gids)| add_groups(&mut builder, name, gids));
    assert_eq!(finished(builder, &recorded), recorded);
}

#[test]
fn a_map_that_is_off_is_the_recorded_one() {
    let recorded = bytes(&vector("map-empty-off"));
    let header = Header { timestamp: Header::decode(&recorded).unwrap().timestamp, ..Header::OFF };
    let mut builder = Builder::new(Vec::new(), vec![0; 16]);
    builder.begin_link(1);
    assert!(builder.link(1));
    let made = [&header.encode()[..], builder.table()].concat();
    assert_eq!(made, recorded);
}

#[test]
fn recorded_maps_are_taken_and_answer_what_is_told_of_them() {
    for file in fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with("map-") {
            continue;
        }
        let vector: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let bytes = bytes(&vector);
        let map = match Map::check(&bytes) {
            Ok(map) => map,
            // glibc's nscd writes -2 for the number 4294967294: no client finds that.
            Err(error) => {
                assert!(name.starts_with("map-passwd-nscd"), "{name}: {error:?}");
                assert_eq!(error.reason(), "payload of another key");
                continue;
            }
        };
        let entries = vector["entries"].as_array().unwrap();
        assert_eq!(map.entries().count(), entries.len(), "{name}");
        for entry in entries {
            let (kind, key) = (entry["type"].as_u64().unwrap() as u8, &entry["key_text"]);
            let key = key.as_str().unwrap().strip_suffix('\0').unwrap();
            let record = vector["records"].as_array().unwrap().iter();
            let record = record.clone().find(|record| record["ref"] == entry["packet"]).unwrap();
            let at = record["at"].as_u64().unwrap() as usize + 24;
            let len = record["recsize"].as_u64().unwrap() as usize;
            assert_eq!(map.find(kind, key.as_bytes()), Some(&bytes[at..at + len]), "{name} {key}");
        }
        assert_eq!(map.find(kind::USER, b"no such user"), None);
    }
}

#[test]
fn what_is_not_whole_is_no_map() {
    let good = bytes(&vector("map-group-refmap"));
    assert!(Map::check(&good).is_ok());
    for end in 0..good.len() {
        assert!(Map::check(&good[..end]).is_err(), "{end}");
    }
    let entries = vector("map-group-refmap");
    let entry = entries["entries"][1]["at"].as_u64().unwrap() as usize;
    // A word of the header, of the table, of an entry: type, length, key, next (a circle), record.
    let itself = entries["entries"][1]["ref"].as_u64().unwrap() as u32;
    let words = [
        (0, 1),
        (4, 121),
        (40, 0),
        (40, u32::MAX),
        (44, 1),
        (52, 1),
        (120 + 4 * 2, 8),
        (entry, 9),
        (entry + 4, 3),
        (entry + 8, u32::MAX),
        (entry + 16, itself),
        (entry + 16, u32::MAX - 8),
        (entry + 20, 0),
        (entry + 20, 4),
    ];
    for (at, word) in words {
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&u32::to_ne_bytes(word));
        assert!(Map::check(&bad).is_err(), "{word} at {at}");
    }
}

#[test]
fn what_is_sent_beside_the_descriptor_is_what_was_recorded() {
    for (name, db) in [("getfd-passwd-refmap", Db::Passwd), ("getfd-group-refmap", Db::Group)] {
        let vector = vector(name);
        let request = unhex(vector["request"].as_str().unwrap());
        assert_eq!(Request::decode(&request).unwrap().value, Request::Descriptor(Some(db)));
        let size = vector["descriptor"]["size"].as_u64().unwrap();
        let mut out = [0xa5; 32];
        let len = encode_granted(db.name().as_bytes(), size, &mut out).unwrap();
        assert_eq!(out[..len], unhex(vector["reply_data"].as_str().unwrap()));
    }
}
