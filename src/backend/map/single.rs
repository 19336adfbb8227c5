//! The first format: the single line of libnss_map, safe or as libnss_map takes it.

use super::config::{Config, Section};
use super::problem::Problem;
use super::template::{
    self, GidOf, Ids, LINE_MAX, Pattern, TOO_FEW, TOO_LONG, Template, fields, text_fault,
};
use crate::backend::text::{Lines, Words};
use nssproto::bytes::{decimal_u32, decimal_u64};

/// Ids below this become this, as they always did.
const LOWEST: u32 = 500;

/// Reads a file in which comments and blank lines are passed over, and the first other line must
/// be in order. A line with an error is no template: then nobody is found.
pub fn safe<'a>(text: &'a [u8], config: &mut Config<'a>, problems: &mut Vec<Problem<'a>>) {
    let (mut found, mut line) = (false, 0);
    for text in Lines(text) {
        line += 1;
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() || text.starts_with(b"#") {
            continue;
        }
        if found {
            Problem::warn(problems, line, "only the first template counts");
            break;
        }
        found = true;
        if let Err(what) = take(config, line, text, Some(problems)) {
            Problem::add(problems, line, what, b"");
        }
    }
}

/// Reads a file as libnss_map does: the first line, whatever it looks like.
pub fn compat<'a>(text: &'a [u8], config: &mut Config<'a>) {
    config.compat = true;
    let line = text.split(|b| *b == b'\n' || *b == 0).next().unwrap_or_default();
    // What is no template is none, without a word.
    let _ = take(config, 1, line, None);
}

/// The one section, if the line is good. It is judged, and low ids are raised with a warning, if
/// somebody wants to know of problems.
fn take<'a>(
    config: &mut Config<'a>,
    line: u32,
    text: &'a [u8],
    mut problems: Option<&mut Vec<Problem<'a>>>,
) -> Result<(), &'static str> {
    if text.len() > LINE_MAX {
        return Err(TOO_LONG);
    }
    let (parts, count) = fields(text);
    if count < parts.len() {
        return Err(TOO_FEW);
    }
    if problems.is_some() {
        text_fault(&parts)?;
    }
    let [name, _, uid, gid, gecos, home, shell] = &parts;
    let mut id = |text: &[u8]| match &mut problems {
        None => Ok(atoi(text)),
        Some(problems) if decimal_u32(text).is_some_and(|id| id < LOWEST) => {
            Problem::warn(problems, line, "an id below 500 becomes 500");
            Ok(LOWEST)
        }
        Some(_) => template::id(text, template::LOWEST),
    };
    let (ids, gid) = (Ids::One(id(uid)?), GidOf::One(id(gid)?));
    // The slash is always added, as libnss_map does.
    let (name, home) = (Pattern::literal(name), Pattern::prefix(home));
    config.sections.push(Section {
        line,
        globs: Words(b"*"),
        template: Template { name, ids, gid, gecos, home, shell },
        rc: true,
        ..Section::default()
    });
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
    let end = digits.iter().position(|b| !b.is_ascii_digit()).unwrap_or(digits.len());
    let digits = digits.get(..end).unwrap_or_default();
    // What is too large becomes the largest long, or the smallest.
    let most = i64::MAX as u64 + u64::from(negative);
    let value = if digits.is_empty() { 0 } else { decimal_u64(digits).unwrap_or(most).min(most) };
    let value = value as u32;
    (if negative { value.wrapping_neg() } else { value }).max(LOWEST)
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
