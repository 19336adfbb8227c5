//! One template: seven fields as in passwd(5), with places for the name and the number.

use crate::backend::text::cut;
use nssproto::bytes::{decimal_u32, decimal_u64};

/// Longest line of a configuration: with the longest name, a record still fits one piece of a
/// reply. (libnss_map takes 8191 bytes.)
pub const LINE_MAX: usize = 2048;

/// The largest number that a range may reach: some programs fail over it.
pub const RANGE_TOP: u32 = i32::MAX as u32;

/// Numbers that mean something else to programs or the kernel: nobody, its 16-bit form, and "do
/// not change" of 16 and of 32 bits.
const SPECIAL: [u32; 3] = [65534, 65535, u32::MAX];

/// Ids below this are the system's own: the lowest that names may be given.
pub const LOWEST: u32 = 500;

/// The lowest number that a section of numbers may name: it gives no id, but a name to what is
/// there, and whoever writes 33 down means it.
pub const LOWEST_NUMBER: u32 = 1;

/// Text with at most one place for a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pattern<'a> {
    /// What stands in front of the place, or all of it.
    pub before: &'a [u8],
    /// A slash stands between the two.
    pub slash: bool,
    /// What follows the place; `None` if there is none.
    pub after: Option<&'a [u8]>,
}

impl<'a> Pattern<'a> {
    /// Text without a place.
    pub fn literal(text: &'a [u8]) -> Self {
        Pattern { before: text, slash: false, after: None }
    }

    /// A slash and the name are put behind `text`.
    pub fn prefix(text: &'a [u8]) -> Self {
        Pattern { before: text, slash: true, after: Some(b"") }
    }

    /// Becomes text with `%u` at most once.
    pub fn parse(&mut self, text: &'a [u8]) -> Result<(), &'static str> {
        *self = Pattern::literal(text);
        if let Some((before, after)) = at_place(text) {
            (self.before, self.after) = (before, Some(after));
            if at_place(after).is_some() {
                return Err("%u stands twice in");
            }
        }
        Ok(())
    }

    /// Becomes where a map's HOME leads: a path with `%u`, or a prefix that gets exactly one slash
    /// and the name.
    pub fn parse_home(&mut self, text: &'a [u8]) -> Result<(), &'static str> {
        if text.is_empty() {
            return Err(NO_HOME);
        }
        self.parse(text)?;
        match &mut self.after {
            // With a slash at the end, a link would be followed.
            Some(after) => *after = without_slashes(after),
            None => *self = Pattern::prefix(without_slashes(text)),
        }
        Ok(())
    }

    /// Its bytes in turn, with `name` in the place.
    pub fn pieces<'b>(&'b self, name: &'b [u8]) -> [&'b [u8]; 4] {
        let slash: &[u8] = if self.slash { b"/" } else { b"" };
        match self.after {
            Some(after) => [self.before, slash, name, after],
            None => [self.before, b"", b"", b""],
        }
    }

    /// What stands in the place, if `text` is this pattern; `None` if there is no place, too.
    pub fn name_in<'b>(&self, text: &'b [u8]) -> Option<&'b [u8]> {
        text.strip_prefix(self.before)?.strip_suffix(self.after?)
    }
}

/// What stands before and behind the first `%u`.
fn at_place(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.windows(2).position(|w| w == b"%u")?;
    let (before, rest) = text.split_at_checked(at)?;
    Some((before, rest.get(2..)?))
}

/// Which uid a section gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ids {
    /// The same for all.
    One(u32),
    /// Each name its own: the lowest, and how many.
    Range {
        /// The first.
        lo: u32,
        /// How many, at least 1.
        size: u32,
    },
    /// The one that was asked for.
    #[default]
    Asked,
}

impl Ids {
    /// Whether they are a range that has `uid`.
    pub fn range_has(self, uid: u32) -> bool {
        matches!(self, Ids::Range { lo, size } if uid.wrapping_sub(lo) < size)
    }

    /// First and last; `None` for "as asked".
    pub fn bounds(self) -> Option<(u32, u32)> {
        match self {
            Ids::One(id) => Some((id, id)),
            Ids::Range { lo, size } => Some((lo, lo + (size - 1))),
            Ids::Asked => None,
        }
    }
}

/// Which gid a section gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GidOf {
    /// The same for all; its name stands in /etc/group.
    One(u32),
    /// That of the uid, a group of the user's own.
    #[default]
    Uid,
}

/// A template.
#[derive(Debug, Default)]
pub struct Template<'a> {
    /// The template's own name.
    pub name: Pattern<'a>,
    /// The uid.
    pub ids: Ids,
    /// The gid.
    pub gid: GidOf,
    /// The GECOS field.
    pub gecos: &'a [u8],
    /// The home directory.
    pub home: Pattern<'a>,
    /// The shell.
    pub shell: &'a [u8],
}

/// The fields of a line, and how many there are: seven at most, the last one takes further colons.
pub fn fields(line: &[u8]) -> ([&[u8]; 7], usize) {
    let mut fields = [&b""[..]; 7];
    let (mut rest, mut count) = (Some(line), 0);
    for field in &mut fields {
        let Some(text) = rest else { break };
        count += 1;
        (*field, rest) = if count < 7 { cut(text, b':') } else { (text, None) };
    }
    (fields, count)
}

/// Judges the plain fields of a template, in both formats.
pub fn text_fault(fields: &[&[u8]; 7]) -> Result<(), &'static str> {
    let [.., home, shell] = fields;
    if fields.iter().any(|f| f.iter().any(|b| is_control(*b))) {
        return Err(CONTROL);
    }
    if shell.contains(&b':') {
        return Err("more than seven fields");
    }
    if shell.is_empty() {
        return Err("an empty shell");
    }
    // An empty prefix gives /NAME.
    if home.is_empty() || home.starts_with(b"/") { Ok(()) } else { Err(NO_HOME) }
}

/// What is wrong with a line that is longer than [`LINE_MAX`].
pub const TOO_LONG: &str = "a line of more than 2048 bytes";

/// What is wrong with a template that has not all [`fields`].
pub const TOO_FEW: &str = "fewer than seven fields";

/// What is wrong with a line or a field that has such bytes.
pub const CONTROL: &str = "a control character";

/// Whether a terminal would obey this byte.
pub fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

/// What is wrong with an empty home, where it is no prefix.
pub const NO_HOME: &str = "a home that does not begin with /";

/// An id that may be given to people, of at least so much.
pub fn id(text: &[u8], lowest: u32) -> Result<u32, &'static str> {
    let id = decimal_u32(text).ok_or("an id that is no decimal number below 2^32")?;
    if SPECIAL.contains(&id) {
        return Err("an id with a meaning of its own (65534, 65535, 2^32-1)");
    }
    if id < lowest { Err(too_low(lowest)) } else { Ok(id) }
}

fn too_low(lowest: u32) -> &'static str {
    if lowest == LOWEST { "an id below 500" } else { "the id of root" }
}

/// `UID`, `LO+SIZE` or `LO-HI`.
pub fn ids(text: &[u8], lowest: u32) -> Result<Ids, &'static str> {
    let plus = text.contains(&b'+');
    let (lo, hi) = cut(text, if plus { b'+' } else { b'-' });
    let Some(hi) = hi else { return Ok(Ids::One(id(text, lowest)?)) };
    let (lo, mut hi) = decimal_u64(lo).zip(decimal_u64(hi)).ok_or(NO_RANGE)?;
    if plus {
        hi = hi.checked_sub(1).and_then(|more| lo.checked_add(more)).ok_or(NO_RANGE)?;
    }
    if lo > hi {
        return Err("a range that ends before it begins");
    }
    if hi > u64::from(RANGE_TOP) {
        return Err("a range over 2^31-1");
    }
    let (lo, hi) = (lo as u32, hi as u32);
    if lo < lowest {
        return Err(too_low(lowest));
    }
    if SPECIAL.iter().any(|s| (lo..=hi).contains(s)) {
        return Err("a range over 65534 or 65535");
    }
    Ok(Ids::Range { lo, size: hi - lo + 1 })
}

const NO_RANGE: &str = "an id that is no number, LO+SIZE or LO-HI";

fn without_slashes(mut text: &[u8]) -> &[u8] {
    while let Some(front) = text.strip_suffix(b"/") {
        text = front;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_two_spellings() {
        assert_eq!(ids(b"20000+40000", LOWEST), Ok(Ids::Range { lo: 20000, size: 40000 }));
        assert_eq!(ids(b"20000-59999", LOWEST), Ok(Ids::Range { lo: 20000, size: 40000 }));
        assert_eq!(ids(b"15000", LOWEST), Ok(Ids::One(15000)));
        let bad = [
            "",
            "499",
            "0-600",
            "65534",
            "65535",
            "4294967295",
            "60000+10000",
            "9-5",
            "2147483648+1",
            "2147483647+2",
            "1000+0",
            "a+b",
            "-5",
            "+5",
            "1000-",
            "18446744073709551615+2",
        ];
        for bad in bad {
            assert!(ids(bad.as_bytes(), LOWEST).is_err(), "{bad}");
        }
        assert_eq!(ids(b"33-33", 1), Ok(Ids::Range { lo: 33, size: 1 }));
        assert!(ids(b"0-33", 1).is_err() && ids(b"60000-65534", 1).is_err());
        assert_eq!(ids(b"2147483647+1", LOWEST), Ok(Ids::Range { lo: RANGE_TOP, size: 1 }));
    }

    #[test]
    fn a_home_gets_exactly_one_slash() {
        let whole = |text: &[u8]| {
            let mut home = Pattern::default();
            home.parse_home(text).map(|()| home.pieces(b"n").concat())
        };
        assert_eq!(whole(b"/home").unwrap(), b"/home/n");
        assert_eq!(whole(b"/home//").unwrap(), b"/home/n");
        assert_eq!(whole(b"/").unwrap(), b"/n");
        assert_eq!(whole(b"/srv/%u/home").unwrap(), b"/srv/n/home");
        assert!(whole(b"/%u/%u").is_err());
    }

    #[test]
    fn a_name_is_found_in_its_place_only() {
        let mut pattern = Pattern::default();
        pattern.parse(b"u-%u.x").unwrap();
        assert_eq!(pattern.name_in(b"u-ada.x"), Some(&b"ada"[..]));
        assert_eq!(pattern.name_in(b"u-.x"), Some(&b""[..]));
        assert_eq!((pattern.name_in(b"u-ada"), pattern.name_in(b"v-ada.x")), (None, None));
        assert_eq!(Pattern::literal(b"u-ada.x").name_in(b"u-ada.x"), None);
    }

    #[test]
    fn the_last_field_takes_further_colons() {
        let (parts, count) = fields(b"n:x:1:2:g:/h:/bin/sh:-x");
        assert_eq!((parts[6], count), (&b"/bin/sh:-x"[..], 7));
        assert_eq!(fields(b"n:x").1, 2);
    }

    #[test]
    fn plain_fields_are_judged() {
        let judged = |line: &'static [u8]| text_fault(&fields(line).0);
        assert!(judged(b"n:x:1000:1000:g:/home:/bin/sh").is_ok());
        assert!(judged(b"n:x:1000:1000:g::/bin/sh").is_ok());
        assert_eq!(judged(b"n:x:1000:1000:g:home:/bin/sh"), Err(NO_HOME));
        assert_eq!(judged(b"n:x:1000:1000:\x1bg:/home:/bin/sh"), Err(CONTROL));
        assert!(judged(b"n:x:1000:1000:g:/home:").is_err());
        assert!(judged(b"n:x:1000:1000:g:/home:/bin/sh:").is_err());
    }
}
