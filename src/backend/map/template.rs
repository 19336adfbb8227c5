//! One template: seven fields as in passwd(5), with places for the name and the number.

use nssproto::bytes::{decimal_u32, decimal_u64};

/// Longest line of a configuration: with the longest name, a record still fits one piece of a
/// reply. (libnss_map takes 8191 bytes.)
pub const LINE_MAX: usize = 2048;

/// The largest number that a range may reach: some programs fail over it.
pub const RANGE_TOP: u32 = i32::MAX as u32;

/// Numbers that mean something else to programs or the kernel: nobody, its 16-bit form, and "do
/// not change" of 16 and of 32 bits.
const SPECIAL: [u32; 3] = [65534, 65535, u32::MAX];

/// Ids below this are the system's own.
const LOWEST: u32 = 500;

/// Text with at most one place for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// What stands in front of the place, or all of it.
    pub before: Vec<u8>,
    /// What follows the place; `None` if there is none.
    pub after: Option<Vec<u8>>,
}

impl Pattern {
    /// Text with `%u` at most once.
    pub fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let Some(at) = text.windows(2).position(|w| w == b"%u") else {
            return Ok(Pattern { before: text.to_vec(), after: None });
        };
        let (before, after) = text.split_at_checked(at).unwrap_or_default();
        let after = after.get(2..).unwrap_or_default();
        if after.windows(2).any(|w| w == b"%u") {
            return Err("%u stands twice in");
        }
        Ok(Pattern { before: before.to_vec(), after: Some(after.to_vec()) })
    }

    /// Its bytes in turn, with `name` in the place.
    pub fn pieces<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let after = self.after.as_deref();
        [Some(self.before.as_slice()), after.map(|_| name), after].into_iter().flatten()
    }

    /// What stands in the place, if `text` is this pattern; `None` if there is no place, too.
    pub fn name_in<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let after = self.after.as_deref()?;
        text.strip_prefix(self.before.as_slice())?.strip_suffix(after)
    }
}

/// Which uid a section gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    Asked,
}

impl Ids {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GidOf {
    /// The same for all; its name stands in /etc/group.
    One(u32),
    /// That of the uid, a group of the user's own.
    Uid,
}

/// A template.
#[derive(Clone, Debug)]
pub struct Template {
    /// The template's own name.
    pub name: Pattern,
    /// The uid.
    pub ids: Ids,
    /// The gid.
    pub gid: GidOf,
    /// The GECOS field.
    pub gecos: Vec<u8>,
    /// The home directory.
    pub home: Pattern,
    /// The shell.
    pub shell: Vec<u8>,
}

/// The seven fields of a line; `None` if there are fewer, and the last one takes further colons.
pub fn fields(line: &[u8]) -> Option<[&[u8]; 7]> {
    let mut parts = line.splitn(7, |b| *b == b':');
    let mut next = || parts.next();
    Some([next()?, next()?, next()?, next()?, next()?, next()?, next()?])
}

/// What is wrong with the plain fields of a template, in both formats.
pub fn text_fault(fields: &[&[u8]; 7]) -> Option<&'static str> {
    let [.., home, shell] = fields;
    if fields.iter().any(|f| f.iter().any(|b| *b < 0x20 || *b == 0x7f)) {
        return Some("a control character");
    }
    if shell.contains(&b':') {
        return Some("more than seven fields");
    }
    if shell.is_empty() {
        return Some("an empty shell");
    }
    // An empty prefix gives /NAME.
    (!home.is_empty() && !home.starts_with(b"/")).then_some(NO_HOME)
}

/// What is wrong with an empty home, where it is no prefix.
pub const NO_HOME: &str = "a home that does not begin with /";

/// An id that may be given to people.
pub fn id(text: &[u8]) -> Result<u32, &'static str> {
    let id = decimal_u32(text).ok_or("an id that is no decimal number below 2^32")?;
    match id {
        _ if SPECIAL.contains(&id) => Err("an id with a meaning of its own (65534, 65535, 2^32-1)"),
        0..LOWEST => Err("an id below 500"),
        _ => Ok(id),
    }
}

/// `UID`, `LO+SIZE` or `LO-HI`.
pub fn ids(text: &[u8]) -> Result<Ids, &'static str> {
    let split = |sign: u8| {
        let at = text.iter().position(|b| *b == sign)?;
        Some((text.get(..at)?, text.get(at + 1..)?))
    };
    let (lo, hi) = match (split(b'+'), split(b'-')) {
        (Some((lo, size)), _) => {
            let lo = decimal_u64(lo).ok_or(NO_RANGE)?;
            let size = decimal_u64(size).filter(|s| *s > 0).ok_or(NO_RANGE)?;
            (lo, lo.checked_add(size - 1).ok_or(NO_RANGE)?)
        }
        (None, Some((lo, hi))) => {
            (decimal_u64(lo).ok_or(NO_RANGE)?, decimal_u64(hi).ok_or(NO_RANGE)?)
        }
        (None, None) => return Ok(Ids::One(id(text)?)),
    };
    if lo > hi {
        return Err("a range that ends before it begins");
    }
    if hi > u64::from(RANGE_TOP) {
        return Err("a range over 2^31-1");
    }
    if lo < u64::from(LOWEST) {
        return Err("an id below 500");
    }
    if SPECIAL.iter().any(|s| (lo..=hi).contains(&u64::from(*s))) {
        return Err("a range over 65534 or 65535");
    }
    Ok(Ids::Range { lo: lo as u32, size: (hi - lo + 1) as u32 })
}

const NO_RANGE: &str = "an id that is no number, LO+SIZE or LO-HI";

/// Where a map's HOME leads: a path with `%u`, or a prefix that gets exactly one slash and the
/// name.
pub fn home(text: &[u8]) -> Result<Pattern, &'static str> {
    if text.is_empty() {
        return Err(NO_HOME);
    }
    let mut home = Pattern::parse(text)?;
    if let Some(after) = &mut home.after {
        // With a slash at the end, a link would be followed.
        while after.ends_with(b"/") {
            after.pop();
        }
    } else {
        while home.before.ends_with(b"/") {
            home.before.pop();
        }
        home.before.push(b'/');
        home.after = Some(Vec::new());
    }
    Ok(home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_two_spellings() {
        assert_eq!(ids(b"20000+40000"), Ok(Ids::Range { lo: 20000, size: 40000 }));
        assert_eq!(ids(b"20000-59999"), Ok(Ids::Range { lo: 20000, size: 40000 }));
        assert_eq!(ids(b"15000"), Ok(Ids::One(15000)));
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
            assert!(ids(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(ids(b"2147483647+1"), Ok(Ids::Range { lo: RANGE_TOP, size: 1 }));
    }

    #[test]
    fn a_home_gets_exactly_one_slash() {
        let whole = |text: &[u8]| home(text).unwrap().pieces(b"n").collect::<Vec<_>>().concat();
        assert_eq!(whole(b"/home"), b"/home/n");
        assert_eq!(whole(b"/home//"), b"/home/n");
        assert_eq!(whole(b"/"), b"/n");
        assert_eq!(whole(b"/srv/%u/home"), b"/srv/n/home");
        assert!(home(b"/%u/%u").is_err());
    }
}
