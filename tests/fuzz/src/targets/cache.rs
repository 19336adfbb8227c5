//! Cache files: the codecs against their own way back, lines against glibc's rules, and lookups by
//! indexes of any bytes against a search of the lines.

use super::stage::Dir;
use super::{cut, first};
use nssbox::backend::RunsIn;
use nssbox::backend::script::registry;
use nssbox::backend::switch::{Answer, ClientState, Switch};
use nssbox::sys::access::Rights;
use nssproto::cache::hash::{BLOCK, Block, Filler, Header, Kind, hash};
use nssproto::cache::lines::{Automount, Netgroup, check};
use nssproto::cache::{ix, members, sshkey};
use nssproto::entry::{Db, Name, Record, Uid};
use nssproto::line::stream::LineScanner;
use nssproto::line::{Parsed, Rules, encode, parse_by};
use nssproto::nsss::Request;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A record of each index, and the numbers of a header.
pub fn cache_index(data: &[u8]) {
    if let Ok(record) = ix::Record::decode(data) {
        let mut room = vec![0xa5; data.len() + 1];
        assert_eq!(record.encode(data.len(), &mut room), Ok(data.len()));
        assert_eq!(ix::Record::decode(&room[..data.len()]), Ok(record));
        assert_eq!(ix::width_at(&room), room.iter().position(|b| *b == b'\n').map(|at| at + 1));
    }
    if let Ok(record) = members::Record::decode(data) {
        let gids: Vec<u32> = record.value.gids.collect();
        let mut room = vec![0; members::MAX];
        let len = members::Record::encode(record.value.name, &gids, &mut room).unwrap();
        let again = members::Record::decode(&room[..len]).unwrap().value;
        assert!(again.name == record.value.name && again.gids.eq(gids));
    }
    header(data);
    table(data);
}

fn header(data: &[u8]) {
    let mut numbers = data.chunks_exact(8).map(|c| u64::from_le_bytes(c.try_into().unwrap()));
    let mut number = || numbers.next().unwrap_or(3);
    let (size, time, keys) = (number(), (number() as i64, number() as u32), number());
    let mut header = Header::new(Kind::Member, size, time, keys);
    header.blocks = header.home.saturating_add(number() as u32 % 9);
    header.table = BLOCK as u64 * (number() >> 20);
    header.size = header.table + u64::from(header.blocks) * BLOCK as u64;
    assert_eq!(Header::decode(&header.encode()), Ok(header));
    let hash = number();
    assert!(header.home_of(hash) < header.home);
    let mut block = [0; BLOCK];
    let len = data.len().min(BLOCK);
    block[..len].copy_from_slice(&data[..len]);
    if let Ok(header) = Header::decode(&block) {
        assert_eq!(Header::decode(&header.encode()), Ok(header));
    }
    let _ = Block::decode(&block, 0, 0).map(|block| block.offsets(hash).count());
}

/// Keys, separated by LF, in a table.
fn table(data: &[u8]) {
    let keys: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let header = Header::new(Kind::Name, 1, (2, 3), keys.len() as u64);
    let Some(blocks) = filled(&header, &keys) else { return };
    for (at, key) in keys.iter().enumerate() {
        let hash = hash(key);
        let found = (header.home_of(hash)..blocks.len() as u32).any(|number| {
            let block = Block::decode(&blocks[number as usize], header.seed(), number).unwrap();
            block.offsets(hash).any(|offset| offset == at as u64)
        });
        assert!(found, "{key:?}");
    }
}

fn filled(header: &Header, keys: &[&[u8]]) -> Option<Vec<[u8; BLOCK]>> {
    let mut slots: Vec<_> =
        keys.iter().enumerate().map(|(at, key)| (hash(key), at as u64)).collect();
    slots.sort_unstable();
    let (mut filler, mut blocks) = (Filler::new(header), Vec::new());
    for (hash, offset) in slots {
        while let Some(block) = filler.put(hash, offset).ok()? {
            blocks.push(block);
        }
    }
    while let Some(block) = filler.end() {
        blocks.push(block);
    }
    Some(blocks)
}

/// A byte that says how long the pieces are, and a line of each map.
pub fn cache_lines(data: &[u8]) {
    let (step, line) = first(data);
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    for db in Db::ALL {
        let by_glibc = parse_by(Rules::Glibc, db, line).ok();
        let want = by_glibc.filter(|record| !matches!(record.name(), [] | [b'+' | b'-', ..]));
        assert_eq!(parse_by(Rules::Cache, db, line).ok(), want, "{db:?}");
        let parsed = Parsed::new(Rules::Cache, db, line).ok();
        assert_eq!(parsed.and_then(|parsed| parsed.record(line)), want);
        let mut scanner = LineScanner::new(Rules::Cache, db);
        line.chunks(usize::from(step).max(1)).for_each(|piece| scanner.feed(piece, b""));
        assert_eq!(scanner.finish(b"").is_ok(), want.is_some(), "{db:?}");
        if let Some(record) = want {
            written(db, &record);
        }
    }
    if let Ok(entry) = Automount::parse(line) {
        let text = put(|put| entry.write(|piece| put(piece)).unwrap());
        assert_eq!(Automount::parse(&text), Ok(entry));
    }
    if let Ok(entry) = Netgroup::parse(line) {
        let text = put(|put| entry.write(|piece| put(piece)).unwrap());
        assert_eq!(Netgroup::parse(&text), Ok(entry));
    }
    keys(line);
}

/// What may be written is read as it was.
fn written(db: Db, record: &Record<'_>) {
    if check(record).is_err() {
        return;
    }
    let mut room = vec![0; 64 * 1024];
    let Ok(len) = encode(record, &mut room) else { return };
    let text = &room[..len];
    assert!(!text.contains(&b'\n') && !text.contains(&0));
    // Of shadow, days before 1970 are no number.
    if !matches!(record, Record::Shadow(_)) {
        assert_eq!(parse_by(Rules::Cache, db, text), Ok(*record));
    }
}

fn put(work: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Vec<u8> {
    let mut text = Vec::new();
    work(&mut |piece| text.extend_from_slice(piece));
    text
}

fn keys(line: &[u8]) {
    let Ok((_, value)) = sshkey::split(line) else { return };
    let found: Result<Vec<Vec<u8>>, _> =
        sshkey::keys(value).map(|key| key.map(|key| key.bytes().collect())).collect();
    let Ok(found) = found else { return };
    let mut list = Vec::new();
    sshkey::write_list(found.iter().map(Vec::as_slice), |byte| list.push(byte)).unwrap();
    let again: Vec<Vec<u8>> =
        sshkey::keys(&list).map(|key| key.unwrap().bytes().collect()).collect();
    assert_eq!(again, found);
}

/// A byte that says which index, passwd's lines, the index, and a key.
///
/// Bit 0: by number. Bit 1: the bytes change a hash table that was good, four for each change; else
/// they are an index of libnss-cache.
pub fn cache_lookup(data: &[u8]) {
    let (flags, data) = first(data);
    let (lines, data) = cut(data);
    let (index, key) = cut(data);
    // So that it is looked at as a whole, and lines are not taken in pieces.
    if index.len() > 4096 || lines.split(|byte| *byte == b'\n').any(|line| line.len() > 800) {
        return;
    }
    let id =
        key.iter().fold(0_u32, |id, byte| id.wrapping_mul(10).wrapping_add(u32::from(*byte & 15)));
    let digits = id.to_string();
    let Some(name) = Name::new(key) else { return };
    let (key, request) = match flags & 1 {
        0 => (key, Request::ByName(Db::Passwd, name)),
        _ => (digits.as_bytes(), Request::ByUid(Uid(id))),
    };
    let has_key = |line: &[u8]| match parse_by(Rules::Cache, Db::Passwd, line) {
        Ok(record) if flags & 1 == 0 => record.name() == key,
        Ok(record) => record.id() == Some(id),
        Err(_) => false,
    };
    Dir::with(|dir| {
        for end in [".ixname", ".ixuid", ".hashname", ".hashuid"] {
            let _ = fs::remove_file(dir.join(format!("passwd.cache{end}")));
        }
        fs::write(dir.join("passwd.cache"), lines).expect("a file");
        let is_sound = if flags & 2 == 0 {
            let end = if flags & 1 == 0 { "ixname" } else { "ixuid" };
            fs::write(dir.join(format!("passwd.cache.{end}")), index).expect("a file");
            told_by(index, key)
        } else {
            hash_file(dir, lines, flags & 1 == 1, index);
            Model::Nothing
        };
        let found = ask(dir, &request);
        let all: Vec<&[u8]> =
            lines.split(|byte| *byte == b'\n').filter(|line| has_key(line)).collect();
        match (found, is_sound) {
            (None, Model::Absent) => {}
            (None, _) => assert_eq!(all.len(), 0, "it is there"),
            (Some(line), Model::Absent) => panic!("an index that says no: {line:?}"),
            (Some(line), told) => {
                assert!(all.iter().any(|there| same_record(there, &line)), "{line:?} is not there");
                if let Model::At(at) = told {
                    let at = usize::try_from(at).unwrap_or(usize::MAX);
                    let begins =
                        at == 0 || at.checked_sub(1).and_then(|at| lines.get(at)) == Some(&b'\n');
                    let there = lines.get(at..).unwrap_or_default();
                    let there = there.split(|byte| *byte == b'\n').next().unwrap_or_default();
                    let want = if begins && has_key(there) { there } else { all[0] };
                    assert!(same_record(want, &line));
                }
            }
        }
    });
}

fn same_record(line: &[u8], written: &[u8]) -> bool {
    parse_by(Rules::Cache, Db::Passwd, line) == parse_by(Rules::Cache, Db::Passwd, written)
}

/// What an index says that is read as a whole.
enum Model {
    At(u64),
    Absent,
    Nothing,
}

fn key_of(record: &[u8]) -> &[u8] {
    record.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn told_by(index: &[u8], key: &[u8]) -> Model {
    let Some(width) = ix::width_at(index).filter(|width| index.len().is_multiple_of(*width)) else {
        return Model::Nothing;
    };
    if key.is_empty() || matches!(key, [b'+' | b'-', ..]) {
        return Model::Absent;
    }
    // In order; those that decide are looked at closely, the one with the key or its neighbours.
    let records: Vec<&[u8]> = index.chunks(width).collect();
    let in_order = records.windows(2).all(|pair| key_of(pair[0]) < key_of(pair[1]));
    if !in_order || records.iter().any(|record| record.last() != Some(&b'\n')) {
        return Model::Nothing;
    }
    let offset = |record: &[u8]| ix::Record::decode(record).ok().map(|record| record.offset);
    match records.binary_search_by(|record| key_of(record).cmp(key)) {
        Ok(at) => offset(records[at]).map_or(Model::Nothing, Model::At),
        Err(at) => {
            let around = &records[at.saturating_sub(1)..records.len().min(at + 1)];
            let good = around.iter().all(|record| offset(record).is_some());
            if good { Model::Absent } else { Model::Nothing }
        }
    }
}

/// Writes a good table of these lines, with some bytes changed.
fn hash_file(dir: &Path, lines: &[u8], by_id: bool, changes: &[u8]) {
    use std::os::unix::fs::MetadataExt as _;
    let data = fs::metadata(dir.join("passwd.cache")).expect("a file");
    let mut slots = std::collections::BTreeMap::new();
    let mut at = 0;
    for line in lines.split(|byte| *byte == b'\n') {
        if let Ok(record) = parse_by(Rules::Cache, Db::Passwd, line) {
            let id = record.id().unwrap_or(0).to_string();
            let key = if by_id { id.into_bytes() } else { record.name().to_vec() };
            slots.insert((hash(&key), key), at);
        }
        at += line.len() as u64 + 1;
    }
    let kind = if by_id { Kind::Id } else { Kind::Name };
    let mtime = (data.mtime(), data.mtime_nsec() as u32);
    let mut header = Header::new(kind, data.len(), mtime, slots.len() as u64);
    let (mut filler, mut bytes) = (Filler::new(&header), Vec::new());
    for ((hash, _), offset) in slots {
        while let Ok(Some(block)) = filler.put(hash, offset) {
            bytes.extend_from_slice(&block);
        }
    }
    while let Some(block) = filler.end() {
        bytes.extend_from_slice(&block);
    }
    (header.blocks, header.size) = (filler.blocks(), (BLOCK + bytes.len()) as u64);
    bytes.splice(0..0, header.encode());
    for change in changes.chunks_exact(3) {
        let at = usize::from(change[0]) << 8 | usize::from(change[1]);
        let len = bytes.len();
        bytes[at % len] ^= change[2];
    }
    let end = if by_id { "hashuid" } else { "hashname" };
    fs::write(dir.join(format!("passwd.cache.{end}")), bytes).expect("a file");
}

/// The record that nsssd-cache finds, as a line.
fn ask(dir: &Path, request: &Request<'_>) -> Option<Vec<u8>> {
    let row = registry::by_name(b"cache").expect("a row");
    let args = ["-d".into(), std::ffi::OsStr::from_bytes(dir.as_os_str().as_bytes()).to_owned()];
    let backend = row.make(&args, RunsIn::Daemon).map_err(drop).expect("a backend");
    let mut switch = Switch::of(backend);
    let mut client: ClientState = switch.new_client(Rights::Own, 0);
    for _ in 0..1000 {
        client.budget = 70_000;
        match switch.ask(&mut client, request, 0) {
            Answer::Pending => {}
            Answer::NotFound => return None,
            Answer::Found(found) => {
                let mut room = vec![0; 4096];
                let record = found.record().expect("a short line");
                let len = encode(&record, &mut room).expect("a short line");
                room.truncate(len);
                return Some(room);
            }
            _ => panic!("neither found nor not found"),
        }
    }
    panic!("a lookup without an end");
}
