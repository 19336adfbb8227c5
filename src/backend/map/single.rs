//! The first format: the single line of libnss_map, safe or as libnss_map takes it.

use super::config::{Config, Problem, Require, Section};
use super::template::{self, GidOf, Ids, LINE_MAX, Pattern, Template, fields, text_fault};
use nssproto::bytes::decimal_u32;

/// Ids below this become this, as they always did.
const LOWEST: u32 = 500;

/// Reads a file in which comments and blank lines are passed over, and the first other line must
/// be in order. A line with an error is no template: then nobody is found.
pub fn safe(text: &[u8], require: Require, problems: &mut Vec<Problem>) -> Config {
    let mut config = Config::default();
    let mut found = false;
    for (number, line) in (1..).zip(text.split(|b| *b == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if found {
            problems.push(Problem::warning(number, "only the first template counts"));
            break;
        }
        found = true;
        match checked(line, number, problems) {
            Ok(template) => config.sections.push(section(number, template, require.clone())),
            Err(what) => problems.push(Problem::error(number, what, b"")),
        }
    }
    config
}

fn checked(line: &[u8], at: u64, problems: &mut Vec<Problem>) -> Result<Template, &'static str> {
    if line.len() > LINE_MAX {
        return Err("a line of more than 2048 bytes");
    }
    let parts = fields(line).ok_or("fewer than seven fields")?;
    if let Some(what) = text_fault(&parts) {
        return Err(what);
    }
    let [name, _, uid, gid, gecos, home, shell] = parts;
    let mut id = |text: &[u8]| {
        if decimal_u32(text).is_some_and(|id| id < LOWEST) {
            problems.push(Problem::warning(at, "an id below 500 becomes 500"));
            return Ok(LOWEST);
        }
        template::id(text)
    };
    let (uid, gid) = (id(uid)?, id(gid)?);
    Ok(Template {
        name: literal(name),
        ids: Ids::One(uid),
        gid: GidOf::One(gid),
        gecos: gecos.to_vec(),
        home: prefix(home),
        shell: shell.to_vec(),
    })
}

/// Reads a file as libnss_map does: the first line, whatever it looks like.
pub fn compat(text: &[u8]) -> Config {
    let mut config = Config { compat: true, ..Config::default() };
    let line = text.split(|b| *b == b'\n' || *b == 0).next().unwrap_or_default();
    if line.len() > LINE_MAX {
        return config;
    }
    if let Some([name, _, uid, gid, gecos, home, shell]) = fields(line) {
        let template = Template {
            name: literal(name),
            ids: Ids::One(atoi(uid)),
            gid: GidOf::One(atoi(gid)),
            gecos: gecos.to_vec(),
            home: prefix(home),
            shell: shell.to_vec(),
        };
        config.sections.push(section(1, template, Require::default()));
    }
    config
}

fn section(line: u64, template: Template, require: Require) -> Section {
    Section { line, globs: vec![b"*".to_vec()], template, require, groups: Vec::new(), rc: true }
}

fn literal(text: &[u8]) -> Pattern {
    Pattern { before: text.to_vec(), after: None }
}

/// The slash is always added, as libnss_map does.
fn prefix(home: &[u8]) -> Pattern {
    Pattern { before: [home, b"/"].concat(), after: Some(Vec::new()) }
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
