//! aliases: names of mailboxes and where their mail goes.

use super::{Etc, Failure, Lines, read, text};

/// Writes the alias of that name, or all of them; says whether the name was found.
///
/// `name: member, member`, continued by lines that begin with a blank. The name is compared
/// without regard to case. An alias without members is none.
pub fn lookup(etc: &mut Etc<'_>, key: Option<&[u8]>) -> Result<bool, Box<Failure>> {
    let file = etc.read("aliases")?;
    let mut lines = Lines(&file);
    let mut ignoring = false;
    while let Some(line) = lines.next() {
        if ignoring && text::is_indented(line) {
            // Belongs to an alias that was not asked for.
            continue;
        }
        let line = text::skip(text::uncommented(line), text::BLANKS);
        let (name, members) = text::split(line, b":");
        if name.is_empty() || name.len() == line.len() {
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
        push_members(&mut etc.text, first, members);
        while lines.continues() {
            let more = lines.next().unwrap_or_default();
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
    let mut rest = line;
    while !rest.is_empty() {
        let member;
        (member, rest) = text::split(rest, b",");
        let Some(file) = text::skip(member, text::BLANKS).strip_prefix(b":include:") else {
            text::push_list(out, first, b", ", member);
            continue;
        };
        let file = read(file.to_vec()).unwrap_or_default();
        let mut lines = Lines(&file);
        while let Some(line) = lines.next() {
            text::push_list(out, first, b", ", text::uncommented(line));
        }
    }
}
