//! The codec of nslcd's protocol: what is decoded is encoded to the same bytes, and an entry in
//! pieces tells what the whole one does.

use super::first;
use nssproto::entry::{Db, Record};
use nssproto::nslcd::{self, Request, stream::EntryReader};
use nssproto::{DecodeError, EncodeError};

/// A byte that says what it is, and a request or an entry.
pub fn nslcd_reply(data: &[u8]) {
    let (kind, data) = first(data);
    if kind >= 128 {
        return request(data);
    }
    let db = Db::ALL[usize::from(kind) % 3];
    let whole = nslcd::decode(db, data);
    let passed = pass(db, data, usize::from(kind / 3) % 9 + 1);
    let Ok(took) = whole else {
        return assert!(passed.is_none(), "{whole:?}");
    };
    let mut out = vec![0; took.len];
    assert_eq!(nslcd::encode(&took.value, &mut out), Ok(took.len));
    assert_eq!(out, data[..took.len]);
    for end in 0..took.len {
        assert!(matches!(nslcd::decode(db, &data[..end]), Err(DecodeError::Incomplete(_))));
        assert_eq!(
            nslcd::encode(&took.value, &mut out[..end]),
            Err(EncodeError::NoSpace(took.len))
        );
    }
    let (len, area, passage) = passed.expect("the whole entry is good");
    assert_eq!(len, took.len);
    let head = passage.summary().expect("it has ended").head;
    let record = head.record(&area).expect("an area");
    assert_eq!(fields(&record), fields(&took.value));
}

fn request(data: &[u8]) {
    let took = match Request::decode(data) {
        Ok(took) => took,
        Err(DecodeError::Incomplete(more)) => return assert!(more > 0),
        Err(_) => return,
    };
    let mut out = vec![0; took.len];
    assert_eq!(took.value.encode(&mut out), Ok(took.len));
    assert_eq!(out, data[..took.len]);
    for end in 0..took.len {
        assert!(matches!(Request::decode(&data[..end]), Err(DecodeError::Incomplete(_))));
    }
}

/// An entry in pieces of `step` bytes, and its area in other ones; `None` if it is no entry.
fn pass(db: Db, data: &[u8], step: usize) -> Option<(usize, Vec<u8>, EntryReader)> {
    let (mut measured, mut passage) = (EntryReader::new(db), EntryReader::new(db));
    let (mut at, mut measured_at, mut area) = (0, 0, Vec::new());
    while !measured.ended() {
        let piece = &data[measured_at..data.len().min(measured_at + step)];
        let len = measured.measure(piece).ok()?;
        if piece.is_empty() {
            return None;
        }
        measured_at += len;
    }
    let mut stuck = 0;
    while !passage.ended() {
        let mut out = [0; 3];
        let piece = &data[at..data.len().min(at + step)];
        let (taken, put) = passage.feed(piece, &mut out).expect("it was measured");
        at += taken;
        area.extend_from_slice(&out[..put]);
        stuck = if taken + put == 0 { stuck + 1 } else { 0 };
        assert!(stuck < 3, "no progress");
    }
    assert_eq!(at, measured_at);
    assert_eq!(passage.summary(), measured.summary());
    // The last byte is the caller's.
    area.push(0);
    Some((at, area, passage))
}

/// A record's fields, to be compared whatever they were borrowed from.
fn fields(record: &Record<'_>) -> String {
    match record {
        Record::Group(group) => {
            let members: Vec<_> =
                group.members.map(<[u8]>::escape_ascii).map(|m| m.to_string()).collect();
            format!("{:?} {:?} {:?} {members:?}", group.name, group.password, group.gid)
        }
        other => format!("{other:?}"),
    }
}
