//! The records that all codecs share. Every field is bytes, not UTF-8, and borrowed.

use crate::bytes::Reader;

/// The three databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// A word: ARM would mask a byte before each use.
#[repr(u32)]
pub enum Db {
    /// Users, passwd(5).
    Passwd,
    /// Groups, group(5).
    Group,
    /// Password ageing, shadow(5).
    Shadow,
}

impl Db {
    /// All three, in the order of their opcodes.
    pub const ALL: [Db; 3] = [Db::Passwd, Db::Group, Db::Shadow];

    /// The name of the database and of its file.
    pub fn name(self) -> &'static str {
        match self {
            Db::Passwd => "passwd",
            Db::Group => "group",
            Db::Shadow => "shadow",
        }
    }
}

/// A user's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uid(pub u32);

/// A group's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gid(pub u32);

/// A login or group name: no NUL, and at most 254 bytes but where nscd is asked. The empty name is
/// legal and finds what has an empty name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// 254: nsss takes 255 (LOGIN_NAME_MAX - 1) and counts the NUL.
    pub const MAX: usize = 254;

    /// `bytes` as a name; `None` if it is too long or holds a NUL.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() <= Self::MAX && !bytes.contains(&0)).then_some(Name(bytes))
    }

    /// The same for up to 1023 bytes, as glibc asks nscd: what asks others cannot send it on.
    pub fn new_long(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() <= 1023 && !bytes.contains(&0)).then_some(Name(bytes))
    }

    /// Whether it is longer than [`Name::MAX`].
    pub fn is_long(self) -> bool {
        self.0.len() > Self::MAX
    }

    /// The bytes, without a NUL.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// A passwd record, passwd(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passwd<'a> {
    /// Login name.
    pub name: &'a [u8],
    /// Password field, usually `x`.
    pub password: &'a [u8],
    /// User number.
    pub uid: Uid,
    /// Primary group.
    pub gid: Gid,
    /// Real name and the like.
    pub gecos: &'a [u8],
    /// Home directory.
    pub home: &'a [u8],
    /// Login shell; may hold colons.
    pub shell: &'a [u8],
}

/// A group record, group(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// Group name.
    pub name: &'a [u8],
    /// Password field.
    pub password: &'a [u8],
    /// Group number.
    pub gid: Gid,
    /// Names of the members.
    pub members: Members<'a>,
}

/// A shadow record, shadow(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shadow<'a> {
    /// Login name.
    pub name: &'a [u8],
    /// Password hash.
    pub password: &'a [u8],
    /// Last change, min, max, warn, inactive, expire (days), flag. An empty field is
    /// [`Shadow::EMPTY`].
    pub numbers: [u64; 7],
}

impl Shadow<'_> {
    /// What an empty number field is sent as: -1.
    pub const EMPTY: u64 = u64::MAX;
}

/// The members of a group: one slice, as they stand in a group line or on the wire. Iterating
/// yields `&[u8]` and cannot fail; a copy starts again.
#[derive(Clone, Copy, Debug)]
pub struct Members<'a> {
    bytes: &'a [u8],
    form: Form,
    left: u32,
}

/// How names are told apart.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// By this byte between them: `,` in a line, NUL in nsss.
    Separated(u8),
    /// By commas in a line that glibc reads: blanks in front of a name, and empty names, are none.
    Trimmed,
    /// By a length in front of each, as in nslcd.
    Counted,
}

impl<'a> Members<'a> {
    /// The member field of a group line. Empty: no members. Otherwise split at every comma, so
    /// `a,` and `,a` have an empty member each.
    pub fn from_field(field: &'a [u8]) -> Self {
        let commas = field.iter().filter(|b| **b == b',').count();
        let count =
            if field.is_empty() { 0 } else { u32::try_from(commas).unwrap_or(u32::MAX - 1) + 1 };
        Self::from_counted_field(field, count)
    }

    /// The member field of a group line, whose members were counted before.
    pub(crate) fn from_counted_field(field: &'a [u8], count: u32) -> Self {
        Members { bytes: field, form: Form::Separated(b','), left: count }
    }

    /// The member field of a group line as glibc reads it: blanks in front of a member are
    /// dropped, and empty members.
    pub fn from_trimmed_field(field: &'a [u8]) -> Self {
        let all = Self::from_counted_trimmed(field, u32::MAX);
        Members { left: u32::try_from(all.count()).unwrap_or(u32::MAX), ..all }
    }

    /// The same, whose members were counted before.
    pub(crate) fn from_counted_trimmed(field: &'a [u8], count: u32) -> Self {
        Members { bytes: field, form: Form::Trimmed, left: count }
    }

    /// `count` strings, each closed by a NUL, as nsss sends them; the caller has counted them.
    pub fn from_strings(strings: &'a [u8], count: u32) -> Self {
        let bytes = strings.strip_suffix(&[0]).unwrap_or(strings);
        Members { bytes, form: Form::Separated(0), left: count }
    }

    /// `count` strings, each behind its length of four bytes, as nslcd sends them; the caller
    /// has checked them.
    pub fn from_counted(strings: &'a [u8], count: u32) -> Self {
        Members { bytes: strings, form: Form::Counted, left: count }
    }

    /// How many are left.
    pub fn remaining(&self) -> u32 {
        self.left
    }

    /// Whether `name` is one of those that are left.
    pub fn contains(mut self, name: Name<'_>) -> bool {
        self.any(|member| member == name.bytes())
    }

    /// Bytes of all names that are left, one NUL for each included.
    pub fn area_len(&self) -> usize {
        match self.form {
            _ if self.left == 0 => 0,
            Form::Separated(_) => self.bytes.len() + 1,
            Form::Trimmed => self.map(|name| name.len() + 1).sum(),
            // A NUL takes the place of each length.
            Form::Counted => self.bytes.len().saturating_sub(self.left as usize * 3),
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let (separator, trims) = match self.form {
            Form::Separated(separator) => (separator, false),
            Form::Trimmed => (b',', true),
            Form::Counted => {
                let mut c = Reader::new(self.bytes);
                let len = c.u32_be().ok()?;
                let member = c.take(len as usize).ok()?;
                self.bytes = self.bytes.get(c.taken()..)?;
                return Some(member);
            }
        };
        loop {
            let text = if trims { crate::line::glibc::trim(self.bytes) } else { self.bytes };
            let end = text.iter().position(|b| *b == separator).unwrap_or(text.len());
            let (member, rest) = text.split_at_checked(end)?;
            self.bytes = rest.get(1..).unwrap_or_default();
            if !trims || !member.is_empty() {
                return Some(member);
            }
            if rest.is_empty() {
                return None;
            }
        }
    }
}

/// The same names in the same order, whatever separates them.
impl PartialEq for Members<'_> {
    fn eq(&self, other: &Self) -> bool {
        (*self).eq_by_names(*other)
    }
}

impl Eq for Members<'_> {}

impl Members<'_> {
    fn eq_by_names(self, other: Members<'_>) -> bool {
        self.left == other.left && Iterator::eq(self, other)
    }
}

/// A record of one of the three databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A user.
    Passwd(Passwd<'a>),
    /// A group.
    Group(Group<'a>),
    /// Password ageing.
    Shadow(Shadow<'a>),
}

impl<'a> Record<'a> {
    /// The name that the record is found by.
    pub fn name(&self) -> &'a [u8] {
        match self {
            Record::Passwd(r) => r.name,
            Record::Group(r) => r.name,
            Record::Shadow(r) => r.name,
        }
    }

    /// The strings of the record.
    pub fn strings(&self) -> Strings<'a> {
        let none = Members::from_strings(&[], 0);
        let (name, password, members) = match *self {
            Record::Passwd(r) => {
                let own = [r.name, r.password, r.gecos, r.home, r.shell];
                return Strings { own, at: 0, members: none };
            }
            Record::Group(r) => (r.name, r.password, r.members),
            Record::Shadow(r) => (r.name, r.password, none),
        };
        Strings { own: [&[], &[], &[], name, password], at: 3, members }
    }

    /// The number that the record is found by; a shadow record has none.
    pub fn id(&self) -> Option<u32> {
        match self {
            Record::Passwd(r) => Some(r.uid.0),
            Record::Group(r) => Some(r.gid.0),
            Record::Shadow(_) => None,
        }
    }
}

/// The strings of a record in the order of its fields: name, password and others, then the members
/// of a group. A copy starts again.
#[derive(Clone, Copy, Debug)]
pub struct Strings<'a> {
    own: [&'a [u8]; 5],
    /// The next one of `own`.
    at: usize,
    members: Members<'a>,
}

impl<'a> Strings<'a> {
    /// The second one, if none has been taken yet.
    pub fn password(&mut self) -> Option<&mut &'a [u8]> {
        self.own.get_mut(self.at + 1)
    }

    /// How many are left.
    pub fn count(&self) -> usize {
        (self.own.len() - self.at).saturating_add(self.members.remaining() as usize)
    }

    /// Members that are left.
    pub fn members(&self) -> u32 {
        self.members.remaining()
    }

    /// Bytes of all that are left, one NUL for each included.
    pub fn area_len(&self) -> usize {
        let own = self.own.iter().skip(self.at).map(|text| text.len() + 1).sum::<usize>();
        own.saturating_add(self.members.area_len())
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let Some(text) = self.own.get(self.at) else { return self.members.next() };
        self.at += 1;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'a>(m: Members<'a>) -> impl Iterator<Item = &'a [u8]> {
        m
    }

    #[test]
    fn members_are_split_at_every_comma() {
        let cases: [(&[u8], &[&[u8]]); 6] = [
            (b"", &[]),
            (b"a", &[b"a"]),
            (b"a,", &[b"a", b""]),
            (b",a,b", &[b"", b"a", b"b"]),
            (b"a,,b", &[b"a", b"", b"b"]),
            (b",", &[b"", b""]),
        ];
        for (field, want) in cases {
            let m = Members::from_field(field);
            assert_eq!(m.remaining() as usize, want.len());
            assert!(names(m).eq(want.iter().copied()), "{field:?}");
        }
    }

    #[test]
    fn one_empty_member_on_the_wire_is_no_empty_list() {
        assert_eq!(Members::from_strings(b"\0", 1).remaining(), 1);
        assert_eq!(Members::from_strings(b"\0", 1).area_len(), 1);
        assert_eq!(Members::from_strings(b"", 0).area_len(), 0);
        assert_eq!(Members::from_strings(b"a\0b\0", 2), Members::from_field(b"a,b"));
        assert_ne!(Members::from_strings(b"a\0", 1), Members::from_field(b"a,b"));
        let counted = Members::from_counted(b"\0\0\0\x01a\0\0\0\x02bc", 2);
        assert_eq!(counted, Members::from_field(b"a,bc"));
        assert_eq!(counted.area_len(), Members::from_field(b"a,bc").area_len());
    }

    #[test]
    fn names_are_bounded_and_without_nul() {
        assert!(Name::new(&[b'n'; 254]).is_some());
        assert!(Name::new(&[b'n'; 255]).is_none());
        assert!(Name::new(b"a\0b").is_none());
        assert!(Name::new(b"").is_some());
    }
}
