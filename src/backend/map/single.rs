//! The first format: the single line of libnss_map, safe or as libnss_map takes it.

use super::config::{Config, Kind, Lines, Problem, Words};
use super::template::{
    self, GidOf, Ids, LINE_MAX, Pattern, TOO_FEW, TOO_LONG, Template, fields, text_fault,
};
use nssproto::bytes::decimal_u32;

/// Ids below this become this, as they always did.
const LOWEST: u32 = 500;

/// Reads a file in which comments and blank lines are passed over, and the first other line must
/// be in order. A line with an error is no template: then nobody is found.
pub fn safe<'a>(text: &'a [u8], config: &mut Config<'a>, problems: &mut Vec<Problem<'a>>) {
    let mut found = false;
    for (at, text) in (1..).zip(Lines(text)) {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() || text.starts_with(b"#") {
            continue;
        }
        let mut tell =
            |what, warning| problems.push(Problem { line: at, what, word: b"", warning });
        if found {
            tell("only the first template counts", true);
            break;
        }
        found = true;
        let mut id = |text: &[u8]| {
            if decimal_u32(text).is_some_and(|id| id < LOWEST) {
                tell("an id below 500 becomes 500", true);
                return Ok(LOWEST);
            }
            template::id(text)
        };
        if let Err(what) = take(config, at, text, true, &mut id) {
            tell(what, false);
        }
    }
}

/// Reads a file as libnss_map does: the first line, whatever it looks like.
pub fn compat<'a>(text: &'a [u8], config: &mut Config<'a>) {
    config.compat = true;
    let line = text.split(|b| *b == b'\n' || *b == 0).next().unwrap_or_default();
    // What is no template is none, without a word.
    let _ = take(config, 1, line, false, &mut |text| Ok(atoi(text)));
}

/// The one section, if the line is good.
fn take<'a>(
    config: &mut Config<'a>,
    at: u64,
    text: &'a [u8],
    strict: bool,
    id: &mut dyn FnMut(&[u8]) -> Result<u32, &'static str>,
) -> Result<(), &'static str> {
    if text.len() > LINE_MAX {
        return Err(TOO_LONG);
    }
    let mut parts = [&b""[..]; 7];
    if fields(text, &mut parts) < parts.len() {
        return Err(TOO_FEW);
    }
    if let Some(what) = text_fault(&parts).filter(|_| strict) {
        return Err(what);
    }
    let [name, _, uid, gid, gecos, home, shell] = parts;
    let (ids, gid) = (Ids::One(id(uid)?), GidOf::One(id(gid)?));
    config.begin(at, Kind::Map, Words(b"*"));
    if let Some(section) = config.sections.last_mut() {
        // The slash is always added, as libnss_map does.
        let (name, home) = (Pattern::literal(name), Pattern::prefix(home));
        section.template = Template { name, ids, gid, gecos, home, shell };
        section.rc = true;
    }
    Ok(())
}

/// atoi(3) where a long has 64 bits, then the lower limit, compared unsigned.
fn atoi(text: &[u8]) -> u32 {
    let space = |b: &u8| b.is_ascii_whitespace() || *b == 0x0b;
    let start = text.iter().position(|b| !space(b)).unwrap_or(text.len());
    let text = text.get(start..).unwrap_or_default();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let digits = digits.iter().take_while(|b| b.is_ascii_digit());
    let value = digits.fold(0i64, |n, b| {
        let digit = i64::from(b - b'0');
        n.saturating_mul(10).saturating_add(if negative { -digit } else { digit })
    });
    (value as u32).max(LOWEST)
}

#[cfg(test)]
mod tests {
    use super::atoi;

    #[test]
    fn compat_reads_numbers_as_atoi_does() {
        let cases = [
            ("abc", 500),
            ("12x", 500),
            ("", 500),
            (" 1000", 1000),
            ("+1001", 1001),
            ("-1", u32::MAX),
            ("-2", u32::MAX - 1),
            ("4294967296", 500),
            ("4294967295", u32::MAX),
            ("99999999999999999999", u32::MAX),
        ];
        for (text, want) in cases {
            assert_eq!(atoi(text.as_bytes()), want, "{text}");
        }
    }
}
