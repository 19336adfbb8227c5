//! Lines of passwd, group and shadow: against the naive reader, whole and in pieces.

use super::first;
use super::nsss::text;
use crate::naive::Naive;
use crate::wire::{by_id, by_name, grouplist, op};
use nssproto::entry::{Db, Name, Record};
use nssproto::line::Rules;
use nssproto::line::copy::LineCopier;
use nssproto::line::stream::{LineScanner, LineSummary};
use nssproto::nscd::Password;
use nssproto::nscd::stream::{HEADER_MAX, HeaderWriter};
use nssproto::{line, nscd, nsss};

/// A byte that says which file and how long the pieces are, and a line.
pub fn lines(data: &[u8]) {
    let (kind, data) = first(data);
    let (db, step) = (Db::ALL[usize::from(kind % 3)], usize::from(kind / 3) + 1);
    let text = data.split(|b| *b == b'\n').next().unwrap_or_default();
    let parsed = line::parse(db, text);
    let naive = naive(db, text);
    match (&parsed, naive.as_slice()) {
        (Err(_), [255]) => {}
        (Ok(record), reply) => assert_eq!(encoded(record), reply, "{db:?} {text:?}"),
        (Err(why), reply) => panic!("{db:?} {text:?}: {why}, but {reply:?}"),
    }
    let key = parsed.as_ref().map_or(&b"x"[..], |record| record.name());
    let measured = measure(db, text, step, key);
    let record = match (parsed, measured) {
        (Ok(record), Ok(measured)) => {
            assert!(measured.named && measured.line_len() == text.len() as u64);
            assert_eq!(copy(db, text, step, measured), naive);
            record
        }
        (Err(why), Err(same)) => return assert_eq!(why, same),
        (whole, pieces) => panic!("{db:?} {text:?}: {whole:?}, but {pieces:?}"),
    };
    again(db, &record);
    by_key(db, &record, text);
    if let Record::Passwd(_) | Record::Group(_) = record {
        to_nscd(&record, &naive, step);
    }
}

/// What the naive reader says of a file with this line.
fn naive(db: Db, text: &[u8]) -> Vec<u8> {
    let get = match db {
        Db::Passwd => op::PWD_GET,
        Db::Group => op::GRP_GET,
        Db::Shadow => op::SHADOW_GET,
    };
    reader(db, text).answer(&[get])
}

fn reader(db: Db, text: &[u8]) -> Naive {
    match db {
        Db::Passwd => Naive::new(text, "", ""),
        Db::Group => Naive::new("", text, ""),
        Db::Shadow => Naive::new("", "", text),
    }
}

fn encoded(record: &Record<'_>) -> Vec<u8> {
    let mut out = vec![0; 16 * 1024 + 64];
    let size = match nsss::encode(record, &mut out) {
        Err(nssproto::EncodeError::NoSpace(size)) => {
            out.resize(size, 0);
            nsss::encode(record, &mut out)
        }
        other => other,
    };
    out.truncate(size.unwrap());
    out
}

fn measure(
    db: Db,
    text: &[u8],
    step: usize,
    key: &[u8],
) -> Result<LineSummary, nssproto::Malformed> {
    let mut meter = LineScanner::new(Rules::Nsss, db);
    text.chunks(step).for_each(|piece| meter.feed(piece, key));
    meter.finish(key)
}

/// The whole reply, its strings copied in pieces.
fn copy(db: Db, text: &[u8], step: usize, measured: LineSummary) -> Vec<u8> {
    let mut reply = vec![0; nsss::Head::MAX];
    let size = measured.head.encode(&mut reply).unwrap();
    reply.truncate(size);
    let mut copier = LineCopier::new(db, measured);
    let mut room = vec![0; step % 7 + 1];
    while !copier.done() {
        let at = copier.taken() as usize;
        let piece = &text[at..text.len().min(at + step)];
        let (_, put) = copier.feed(piece, &mut room).unwrap();
        reply.extend_from_slice(&room[..put]);
    }
    reply
}

/// The line that is made of a record is read as that record.
fn again(db: Db, record: &Record<'_>) {
    let line = text(record);
    assert_eq!(line::parse(db, &line), Ok(*record));
}

/// A record is found by its name, its number and its members.
fn by_key(db: Db, record: &Record<'_>, line: &[u8]) {
    let mut naive = reader(db, line);
    let want = encoded(record);
    let (name, id) = match db {
        Db::Passwd => (op::PWD_GETBYNAME, op::PWD_GETBYUID),
        Db::Group => (op::GRP_GETBYNAME, op::GRP_GETBYGID),
        Db::Shadow => (op::SHADOW_GETBYNAME, 0),
    };
    assert_eq!(naive.answer(&by_name(name, record.name())), want);
    if let Some(number) = record.id() {
        assert_eq!(naive.answer(&by_id(id, number)), want);
    }
    let Record::Group(group) = record else { return };
    for member in group.members.into_iter().take(3) {
        let measured = measure(db, line, 5, member).unwrap();
        assert!(measured.listed, "{member:?} in {line:?}");
        if Name::new(member).is_some() {
            assert_eq!(naive.answer(&grouplist(1, member))[16], 1);
        }
    }
}

/// The reply of nscd, whole and in pieces, and as it follows from that of nsss.
fn to_nscd(record: &Record<'_>, nsss: &[u8], step: usize) {
    for password in [Password::AsItStands, Password::Star] {
        to_nscd_with(record, password, nsss, step);
    }
}

fn to_nscd_with(record: &Record<'_>, password: Password, nsss: &[u8], step: usize) {
    let mut out = vec![0; 5 * nsss.len() + 64];
    fn star(field: &[u8]) -> &[u8] {
        if field.is_empty() { field } else { b"*" }
    }
    fn as_it_stands(field: &[u8]) -> &[u8] {
        field
    }
    let shown: fn(&[u8]) -> &[u8] = match password {
        Password::Star => star,
        _ => as_it_stands,
    };
    let (size, want) = match record {
        Record::Passwd(_) => {
            (nscd::encode(record, password, &mut out), super::nscd::user(nsss, shown))
        }
        Record::Group(_) => {
            (nscd::encode(record, password, &mut out), super::nscd::group(nsss, shown))
        }
        Record::Shadow(_) => return,
    };
    out.truncate(size.unwrap());
    assert_eq!(out, want);
    let kind = match record {
        Record::Passwd(_) => nscd::ReplyKind::Passwd,
        _ => nscd::ReplyKind::Group,
    };
    let took = nscd::Reply::decode(kind, &out).unwrap();
    assert_eq!(took.len, out.len());
    assert!(matches!(took.value, nscd::Reply::Found(r) if r.name() == record.name()));
    let db = if matches!(record, Record::Passwd(_)) { Db::Passwd } else { Db::Group };
    let took = nsss::Head::decode(db, &nsss[1..]).unwrap();
    let area = &nsss[1 + took.len..];
    let mut survey = HeaderWriter::new(took.value, password).unwrap();
    let (mut streamed, mut room) = (Vec::new(), vec![0; 4 * step + HEADER_MAX]);
    for piece in area.chunks(step) {
        let len = survey.feed(piece, &mut room).unwrap();
        streamed.extend_from_slice(&room[..len]);
    }
    let mut strings = survey.finish().unwrap();
    for piece in area.chunks(step) {
        let mut piece = piece.to_vec();
        let len = strings.feed(&mut piece);
        streamed.extend_from_slice(&piece[..len]);
    }
    assert!(strings.holds());
    assert_eq!(streamed, want);
}
