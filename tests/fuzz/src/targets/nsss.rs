//! The codec of the nsss protocol: what is decoded is encoded to the same bytes.

use super::first;
use nssproto::entry::{Db, Gid, Name, Record, Uid};
use nssproto::line::{self, LineWriter};
use nssproto::nsss::stream::AreaChecker;
use nssproto::nsss::{self, Head, Reply, Request, RequestError};
use nssproto::{DecodeError, EncodeError};

/// One request.
pub fn nsss_request(data: &[u8]) {
    let took = match Request::decode(data) {
        Ok(took) => took,
        Err(RequestError::Incomplete(more)) => {
            assert!(more > 0);
            // One byte less than the missing ones makes no request.
            let padded = [data, &vec![0; more - 1]].concat();
            assert!(matches!(Request::decode(&padded), Err(RequestError::Incomplete(_))));
            return;
        }
        Err(RequestError::InvalidName { len }) => {
            return assert!((5..=13 + 255).contains(&len) && len <= data.len());
        }
        Err(RequestError::NameTooLong) => {
            let at = if data[0] == 0o25 { 9 } else { 1 };
            return assert!(u32::from_be_bytes(data[at..at + 4].try_into().unwrap()) > 255);
        }
        Err(RequestError::UnknownOpcode(opcode)) => return assert_eq!(data[0], opcode),
        Err(other) => panic!("{other}"),
    };
    let mut out = [0xa5; Request::MAX + 8];
    assert_eq!(took.value.encode(&mut out), Ok(took.len));
    assert_eq!(out[..took.len], data[..took.len]);
    assert!(out[took.len..].iter().all(|b| *b == 0xa5), "bytes behind it were written");
    assert_eq!(Request::decode(&out), Ok(took));
    for end in 0..took.len {
        assert!(matches!(Request::decode(&data[..end]), Err(RequestError::Incomplete(_))));
        assert_eq!(took.value.encode(&mut out[..end]), Err(EncodeError::NoSpace(took.len)));
    }
}

/// A byte that says what was asked, and a reply.
pub fn nsss_reply(data: &[u8]) {
    let (kind, data) = first(data);
    let name = Name::new(b"n").unwrap();
    let request = match kind % 8 {
        0 => Request::ByName(Db::Passwd, name),
        1 => Request::ByUid(Uid(1)),
        2 => Request::ByName(Db::Group, name),
        3 => Request::ByGid(Gid(1)),
        4 => Request::ByName(Db::Shadow, name),
        5 => Request::Next(Db::ALL[usize::from(kind / 8) % 3]),
        6 => Request::GroupList { max: u64::from(kind / 8), user: name },
        _ => Request::Rewind(Db::ALL[usize::from(kind / 8) % 3]),
    };
    let Ok(took) = Reply::decode(&request, data) else { return };
    for end in 0..took.len {
        assert!(matches!(Reply::decode(&request, &data[..end]), Err(DecodeError::Incomplete(_))));
    }
    match took.value {
        Reply::Done => assert_eq!(data[0], 0),
        Reply::NotFound => assert_eq!(data[0], 255),
        Reply::Failed(errno) => assert!(errno == data[0] && (1..255).contains(&errno)),
        Reply::GroupList(head) => {
            let mut out = [0; 17];
            assert_eq!(head.encode(&mut out), Ok(took.len));
            assert_eq!(out, data[..17]);
            assert!(head.sent() <= head.max && head.sent() <= head.total);
        }
        Reply::Record(head) => record(request.db().unwrap(), head, data, took.len, kind),
    }
}

/// A record whose head takes `at` bytes of `data`; its strings follow, if they are all there.
fn record(db: Db, head: Head, data: &[u8], at: usize, piece: u8) {
    let mut out = [0; Head::MAX];
    assert_eq!(head.encode(&mut out), Ok(at));
    assert_eq!(out[..at], data[..at]);
    assert_eq!(head.size(), at);
    let Some(area) = data[at..].get(..head.area_len() as usize) else { return };
    let record = head.record(area);
    let mut check = AreaChecker::new(&head);
    let pieces = || area.chunks(usize::from(piece / 8) + 1);
    let streamed = pieces().try_for_each(|piece| check.feed(piece));
    assert_eq!(record.is_ok(), streamed.is_ok(), "{head:?} {area:?}");
    let Ok(record) = record else { return };
    assert_eq!(check.left(), 0);
    let size = at + area.len();
    let mut out = vec![0xa5; size + 8];
    assert_eq!(nsss::encode(&record, &mut out), Ok(size));
    assert_eq!(out[..size], data[..size]);
    assert_eq!(nsss::encode(&record, &mut out[..size - 1]), Err(EncodeError::NoSpace(size)));
    let whole = text(&record);
    let (mut streamed, mut line) = (Vec::new(), LineWriter::new(head));
    for piece in pieces() {
        line.feed(piece, |bytes| put(&mut streamed, bytes)).unwrap();
    }
    assert_eq!(whole, streamed);
    let plain = |b: &u8| !b":,\n".contains(b);
    let no_members = matches!(record, Record::Group(g) if g.members.remaining() == 1);
    if area.iter().all(plain) && !no_members {
        assert_eq!(line::parse(db, &whole), Ok(record));
    }
}

/// The line of a record.
pub fn text(record: &Record<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    line::write(record, |bytes| put(&mut line, bytes)).unwrap();
    line
}

pub fn put(line: &mut Vec<u8>, bytes: &[u8]) -> Result<(), ()> {
    line.extend_from_slice(bytes);
    Ok(())
}
