//! aliases: names of mailboxes and where their mail goes.

use super::{Etc, Failure, Lines, text};

/// Writes the alias of that name, or all of them; says whether the name was found.
///
/// `name: member, member`, continued by lines that begin with a blank. The name is compared
/// without regard to case. An alias without members is none.
pub fn lookup(etc: &mut Etc<'_>, key: Option<&[u8]>) -> Result<bool, Box<Failure>> {
    let mut lines = etc.open("aliases")?;
    let mut ignoring = false;
    while let Some(line) = lines.next()? {
        if ignoring && line.first().is_some_and(|&byte| text::is_blank(byte)) {
            // Belongs to an alias that was not asked for.
            continue;
        }
        let line = text::skip_blanks(text::uncommented(line));
        let (name, rest) = text::split(line, |byte| byte == b':');
        if name.is_empty() || !line.contains(&b':') {
            continue;
        }
        ignoring = key.is_some_and(|key| !key.eq_ignore_ascii_case(name));
        if ignoring {
            continue;
        }
        let start = etc.text.len();
        etc.text.extend_from_slice(name);
        etc.text.extend_from_slice(b": ");
        text::pad(&mut etc.text, start, 16);
        let first = etc.text.len();
        push_members(&mut etc.text, first, rest);
        while lines.continues()? {
            let more = lines.next()?.unwrap_or_default();
            push_members(&mut etc.text, first, text::uncommented(more));
        }
        if etc.text.len() == first {
            etc.text.truncate(start);
            continue;
        }
        etc.text.push(b'\n');
        etc.wrote_one()?;
        if key.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Adds the members of one line to those that stand from `first` on. `:include:FILE` stands for
/// the members in the lines of that file; as in glibc, one that cannot be read has none.
fn push_members(out: &mut Vec<u8>, first: usize, line: &[u8]) {
    for member in members(line) {
        let Some(file) = member.strip_prefix(b":include:") else {
            push_member(out, first, member);
            continue;
        };
        let Ok(mut lines) = Lines::open(file.to_vec()) else {
            continue;
        };
        while let Ok(Some(line)) = lines.next() {
            for member in members(text::uncommented(line)) {
                push_member(out, first, member);
            }
        }
    }
}

/// What stands between commas, without the blanks in front; those behind it belong to it.
fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| byte == b',').map(text::skip_blanks).filter(|member| !member.is_empty())
}

fn push_member(out: &mut Vec<u8>, first: usize, member: &[u8]) {
    if out.len() > first {
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(member);
}
