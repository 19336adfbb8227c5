//! An entry as its fields, and the line that it becomes.

use super::maps::Map;
use nssproto::bytes::decimal_u64;
use nssproto::cache::sshkey;

/// The fields of an entry, in the order of its line. Its room is used again for the next one.
#[derive(Debug, Default)]
pub struct Fields {
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// What keeps an entry from being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is no entry of this map: too few fields, or what should be a number is none.
    Malformed(&'static str),
    /// It is one that would break a line, or is more than it says.
    Unsafe(&'static str),
}

/// How lines are written, where that can be chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// A zero of shadow is an empty field, as nsscache writes it.
    pub empty_zeros: bool,
    /// Each key of sshkey has a line of its own.
    pub key_lines: bool,
}

/// Fields of passwd behind the name.
const UID: usize = 2;
const PASSWD_GID: usize = 3;
/// Of group.
const GROUP_GID: usize = 2;

/// The number that the kernel takes for "leave it as it is": whoever became that user would stay root.
const NO_ID: u64 = u32::MAX as u64;

impl Fields {
    /// No fields.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// One more.
    pub fn push(&mut self, field: &[u8]) {
        self.text.extend_from_slice(field);
        self.end();
    }

    /// One more, of which the text is put together with [`Fields::text`].
    pub fn end(&mut self) {
        self.ends.push(self.text.len());
    }

    /// Where the text of the next field goes.
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// A field; empty if there are not so many.
    pub fn get(&self, at: usize) -> &[u8] {
        let end = self.ends.get(at).copied().unwrap_or(0);
        let start = at.checked_sub(1).and_then(|at| self.ends.get(at)).copied().unwrap_or(0);
        self.text.get(start..end).unwrap_or_default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// What the entry is called.
    pub fn name(&self) -> &[u8] {
        self.get(0)
    }

    /// The number that it has, if it has one: the uid of a user, the gid of a group.
    pub fn id(&self, map: Map) -> Option<u32> {
        let at = match map {
            Map::Passwd => UID,
            Map::Group => GROUP_GID,
            _ => return None,
        };
        decimal_u64(self.get(at))?.try_into().ok()
    }

    /// The gid of a user.
    pub fn user_gid(&self) -> Option<u32> {
        decimal_u64(self.get(PASSWD_GID))?.try_into().ok()
    }

    /// Adds its line, LF included, to `out`.
    pub fn write(&self, map: Map, style: Style, out: &mut Vec<u8>) -> Result<(), Fault> {
        let start = out.len();
        let done = self.write_line(map, style, out);
        if done.is_err() {
            out.truncate(start);
        }
        done
    }

    fn write_line(&self, map: Map, style: Style, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.check(map)?;
        if map == Map::Sshkey && style.key_lines {
            return self.write_key_lines(out);
        }
        let separator = if matches!(map, Map::Netgroup | Map::Automount) { b' ' } else { b':' };
        for at in 0..self.len() {
            if at > 0 {
                out.push(separator);
            }
            let field = self.get(at);
            match (map, at) {
                (Map::Passwd, UID | PASSWD_GID) | (Map::Group, GROUP_GID) => put_id(field, out)?,
                (Map::Shadow, 2..) => put_days(field, at, style, out)?,
                _ => out.extend_from_slice(field),
            }
        }
        out.push(b'\n');
        Ok(())
    }

    /// Whether it has the fields of its map, and none that would be more than a field.
    fn check(&self, map: Map) -> Result<(), Fault> {
        let (least, most) = match map {
            Map::Passwd => (7, 7),
            Map::Group => (4, 4),
            Map::Shadow => (9, 9),
            Map::Netgroup => (1, 2),
            Map::Automount => (2, 2),
            Map::Sshkey => (2, 2),
        };
        if !(least..=most).contains(&self.len()) {
            return Err(Fault::Malformed("it has not the fields of its map"));
        }
        if self.name().is_empty() {
            return Err(Fault::Unsafe("an empty name"));
        }
        let breaks = |byte: &u8| matches!(byte, b'\n' | b'\r' | b'\0');
        if self.text.iter().any(breaks) {
            return Err(Fault::Unsafe("a line break or NUL in a field"));
        }
        let colons = match map {
            // The last field of these is the rest of the line.
            Map::Sshkey => 0..1,
            Map::Netgroup | Map::Automount => 0..0,
            _ => 0..self.len(),
        };
        if colons.into_iter().any(|at| self.get(at).contains(&b':')) {
            return Err(Fault::Unsafe("a colon in a field"));
        }
        if matches!(map, Map::Netgroup | Map::Automount) && self.name().contains(&b' ') {
            return Err(Fault::Unsafe("a blank in a name"));
        }
        Ok(())
    }

    /// One line for each key of what is a list in Python's notation, or else a bare key.
    fn write_key_lines(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        for key in sshkey::keys(self.get(1)) {
            let key = key.map_err(|why| Fault::Unsafe(why.reason()))?;
            out.extend_from_slice(self.name());
            out.push(b':');
            out.extend(key.bytes());
            out.push(b'\n');
        }
        Ok(())
    }
}

/// Digits alone, without zeros in front.
fn put_id(field: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let number = decimal_u64(field).ok_or(Fault::Malformed("an id that is no number"))?;
    if number >= NO_ID {
        return Err(Fault::Unsafe("an id that stands for none (4294967295)"));
    }
    out.extend_from_slice(number.to_string().as_bytes());
    Ok(())
}

/// A number of shadow. Negative ones stand for none, and glibc would refuse the line. A zero says
/// something only where an empty field says otherwise: "change it now", "expired in 1970".
fn put_days(field: &[u8], at: usize, style: Style, out: &mut Vec<u8>) -> Result<(), Fault> {
    const LAST_CHANGE: usize = 2;
    const EXPIRES: usize = 7;
    if field.is_empty() {
        return Ok(());
    }
    let (negative, digits) = match field.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, field),
    };
    let number = decimal_u64(digits).ok_or(Fault::Malformed("a number of shadow that is none"))?;
    let zero_says_something = matches!(at, LAST_CHANGE | EXPIRES) && !style.empty_zeros;
    if !negative && (number > 0 || zero_says_something) {
        out.extend_from_slice(number.to_string().as_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(map: Map, style: Style, fields: &[&str]) -> Result<String, Fault> {
        let mut entry = Fields::default();
        fields.iter().for_each(|field| entry.push(field.as_bytes()));
        let mut out = b"before\n".to_vec();
        let done = entry.write(map, style, &mut out);
        let written = String::from_utf8(out.split_off(7)).unwrap();
        assert!(done.is_ok() || written.is_empty());
        done.map(|()| written)
    }

    #[test]
    fn entries_become_lines() {
        let plain = Style::default();
        let user = ["a", "x", "007", "4294967294", "A", "/h", "/bin/sh"];
        assert_eq!(line(Map::Passwd, plain, &user).unwrap(), "a:x:7:4294967294:A:/h:/bin/sh\n");
        assert_eq!(line(Map::Group, plain, &["g", "*", "5", ",a,"]).unwrap(), "g:*:5:,a,\n");
        assert_eq!(line(Map::Netgroup, plain, &["n"]).unwrap(), "n\n");
        assert_eq!(line(Map::Netgroup, plain, &["n", " (a,,)"]).unwrap(), "n  (a,,)\n");
        assert_eq!(line(Map::Automount, plain, &["*", "-ro h:/&"]).unwrap(), "* -ro h:/&\n");
        assert_eq!(
            line(Map::Sshkey, plain, &["a", "from=\"::1\" k"]).unwrap(),
            "a:from=\"::1\" k\n"
        );
    }

    #[test]
    fn numbers_of_shadow_say_what_they_mean() {
        let days = ["a", "x", "0", "0", "99999", "-1", "0", "0", "0"];
        assert_eq!(line(Map::Shadow, Style::default(), &days).unwrap(), "a:x:0::99999:::0:\n");
        let as_nsscache = Style { empty_zeros: true, ..Style::default() };
        assert_eq!(line(Map::Shadow, as_nsscache, &days).unwrap(), "a:x:::99999::::\n");
        let bad = ["a", "x", "soon", "", "", "", "", "", ""];
        assert!(matches!(line(Map::Shadow, as_nsscache, &bad), Err(Fault::Malformed(_))));
    }

    #[test]
    fn keys_may_have_lines_of_their_own() {
        let lines = Style { key_lines: true, ..Style::default() };
        let of = |value| line(Map::Sshkey, lines, &["a", value]).unwrap();
        assert_eq!(of("['k1', \"k'2\"]"), "a:k1\na:k'2\n");
        assert_eq!(of("k1"), "a:k1\n");
        assert_eq!(of(""), "");
        assert!(line(Map::Sshkey, lines, &["a", "['k1\\nroot:k2']"]).is_err());
    }

    #[test]
    fn no_field_is_more_than_a_field() {
        for (at, field) in
            [(0, ""), (0, "a:x:0"), (4, "x\nroot:x:0:0"), (5, "/h\r"), (6, "/bin/sh:x"), (6, "\0")]
        {
            let mut user = ["a", "x", "1", "1", "A", "/h", "/bin/sh"];
            user[at] = field;
            let got = line(Map::Passwd, Style::default(), &user);
            assert!(matches!(got, Err(Fault::Unsafe(_))), "{field:?}: {got:?}");
        }
        for id in ["", "x", "-1", "1x", "0x1", " 1", "99999999999999999999"] {
            let got = line(Map::Group, Style::default(), &["g", "x", id, ""]);
            assert!(matches!(got, Err(Fault::Malformed(_))), "{id:?}");
        }
        assert!(matches!(
            line(Map::Group, Style::default(), &["g", "x", "4294967295", ""]),
            Err(Fault::Unsafe(_))
        ));
        assert!(line(Map::Group, Style::default(), &["g", "x", "1"]).is_err());
    }
}
