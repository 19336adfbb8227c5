//! What the daemons have to answer, worked out slowly and obviously from whole files: split into
//! lines, split into fields, look from the top.
//!
//! The rules are those of section 6 of doc/protocols/nsss.md. On purpose without the library: the
//! tests must not share a mistake with it.

use super::wire::{grouplist_reply, op};

const NOT_FOUND: u8 = 255;

/// One client's view of three files that do not change.
#[derive(Debug)]
pub struct Naive {
    tables: [Vec<Entry>; 3],
    /// The place of each enumeration.
    next: [usize; 3],
}

/// A good line.
#[derive(Debug)]
struct Entry {
    name: Vec<u8>,
    id: Option<u32>,
    members: Vec<Vec<u8>>,
    reply: Vec<u8>,
}

impl Naive {
    /// The files' whole contents.
    pub fn new(
        passwd: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
        shadow: impl AsRef<[u8]>,
    ) -> Naive {
        let tables = [
            lines(passwd.as_ref()).filter_map(passwd_entry).collect(),
            lines(group.as_ref()).filter_map(group_entry).collect(),
            lines(shadow.as_ref()).filter_map(shadow_entry).collect(),
        ];
        Naive { tables, next: [0; 3] }
    }

    /// How many good lines passwd, group and shadow have.
    pub fn sizes(&self) -> [usize; 3] {
        [0, 1, 2].map(|table| self.tables[table].len())
    }

    /// The reply to one well-formed request.
    pub fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let (opcode, rest) = request.split_first().expect("a request");
        let table = match opcode & 0o70 {
            0o10 => 0,
            0o20 => 1,
            0o40 => 2,
            _ => panic!("opcode {opcode:o}"),
        };
        match opcode & 0o7 {
            // END and REWIND.
            0 | 1 => {
                self.next[table] = 0;
                vec![0]
            }
            2 => {
                let entry = self.tables[table].get(self.next[table]);
                self.next[table] += usize::from(entry.is_some());
                reply_of(entry)
            }
            3 => {
                let name = name(rest);
                reply_of(self.tables[table].iter().find(|entry| entry.name == name))
            }
            4 => {
                let id = u32::from_be_bytes(rest.try_into().expect("four bytes"));
                reply_of(self.tables[table].iter().find(|entry| entry.id == Some(id)))
            }
            _ => self.group_list(rest),
        }
    }

    fn group_list(&self, rest: &[u8]) -> Vec<u8> {
        assert_eq!(op::GRP_GETLIST, 0o25);
        let (n, user) = rest.split_at(8);
        let user = name(user);
        let listed = |entry: &&Entry| entry.members.iter().any(|member| member == user);
        let gids: Vec<u32> =
            self.tables[1].iter().filter(listed).filter_map(|entry| entry.id).collect();
        grouplist_reply(u64::from_be_bytes(n.try_into().unwrap()), &gids)
    }
}

/// A length, a name, a NUL.
fn name(bytes: &[u8]) -> &[u8] {
    &bytes[4..bytes.len() - 1]
}

fn reply_of(entry: Option<&Entry>) -> Vec<u8> {
    entry.map_or_else(|| vec![NOT_FOUND], |entry| entry.reply.clone())
}

/// The lines of a file, each up to its first NUL. An empty one behind the last LF does no harm.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').map(|line| line.split(|byte| *byte == 0).next().unwrap())
}

fn passwd_entry(line: &[u8]) -> Option<Entry> {
    let fields: Vec<&[u8]> = line.splitn(7, |byte| *byte == b':').collect();
    let [name, password, uid, gid, gecos, home, shell] = fields[..] else { return None };
    let (uid, gid) = (id(uid)?, id(gid)?);
    let area = strings(&[name, password, gecos, home, shell]);
    let mut reply = vec![0];
    reply.extend(uid.to_be_bytes());
    reply.extend(gid.to_be_bytes());
    reply.extend(length(area.len()));
    reply.extend(area);
    Some(Entry { name: name.to_vec(), id: Some(uid), members: Vec::new(), reply })
}

fn group_entry(line: &[u8]) -> Option<Entry> {
    let fields: Vec<&[u8]> = line.splitn(4, |byte| *byte == b':').collect();
    let [name, password, gid, list] = fields[..] else { return None };
    let gid = id(gid)?;
    let members: Vec<&[u8]> = match list {
        [] => Vec::new(),
        list => list.split(|byte| *byte == b',').collect(),
    };
    let mut area = strings(&[name, password]);
    area.extend(strings(&members));
    let mut reply = vec![0];
    reply.extend(gid.to_be_bytes());
    reply.extend(length(area.len()));
    reply.extend(length(members.len()));
    reply.extend(area);
    let members = members.into_iter().map(<[u8]>::to_vec).collect();
    Some(Entry { name: name.to_vec(), id: Some(gid), members, reply })
}

fn shadow_entry(line: &[u8]) -> Option<Entry> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
    let [name, password, numbers @ ..] = &fields[..] else { return None };
    let mut reply = vec![0];
    for text in numbers.get(..7)? {
        // -1 for an empty one.
        let value = if text.is_empty() { u64::MAX } else { number(text, u64::MAX)? };
        reply.extend(value.to_be_bytes());
    }
    let area = strings(&[name, password]);
    reply.extend(length(area.len()));
    reply.extend(area);
    Some(Entry { name: name.to_vec(), id: None, members: Vec::new(), reply })
}

fn id(text: &[u8]) -> Option<u32> {
    number(text, u64::from(u32::MAX)).map(|id| u32::try_from(id).unwrap())
}

/// Decimal digits, any number of zeros in front.
fn number(text: &[u8], most: u64) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = std::str::from_utf8(text).unwrap().trim_start_matches('0');
    let value: u64 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    (value <= most).then_some(value)
}

fn strings(fields: &[&[u8]]) -> Vec<u8> {
    fields.iter().flat_map(|field| field.iter().chain(&[0])).copied().collect()
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("test data is small").to_be_bytes()
}
