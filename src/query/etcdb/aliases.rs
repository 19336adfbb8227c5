//! aliases: names of mailboxes and where their mail goes.

use super::text::{self, BLANK, Text};
use super::{Etc, read};
use crate::sys::error::Error;

/// Writes the alias of that name, or all of them.
///
/// `name: member, member`, continued by lines that begin with a blank. The name is compared
/// without regard to case. An alias without members is none.
pub fn lookup(etc: &mut Etc<'_>, key: Option<&[u8]>) -> Result<(), Error> {
    let file = etc.read("aliases")?;
    let mut lines = Text(&file);
    let mut ignoring = false;
    while let Some(line) = lines.line() {
        if ignoring && Text(line).is_indented() {
            // Belongs to an alias that was not asked for.
            continue;
        }
        let mut members = Text::uncommented(line);
        members.skip(BLANK);
        let len = members.0.len();
        let name = members.until(b':');
        if name.is_empty() || name.len() == len {
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
        push_members(&mut etc.text, first, members.0);
        while lines.is_indented() {
            let more = lines.line().unwrap_or_default();
            push_members(&mut etc.text, first, Text::uncommented(more).0);
        }
        if etc.text.len() == first {
            etc.text.truncate(start);
            continue;
        }
        etc.text.push(b'\n');
        etc.found_one()?;
        if key.is_some() {
            break;
        }
    }
    Ok(())
}

/// Adds the members of one line to those that stand from `first` on. `:include:FILE` stands for
/// the members in the lines of that file; as in glibc, one that cannot be read has none.
fn push_members(out: &mut Vec<u8>, first: usize, line: &[u8]) {
    let mut rest = Text(line);
    while !rest.0.is_empty() {
        let mut member = Text(rest.until(b','));
        member.skip(BLANK);
        let Some(file) = member.0.strip_prefix(b":include:") else {
            text::push_list(out, first, b", ", member.0);
            continue;
        };
        let file = read(file).unwrap_or_default();
        let mut lines = Text(&file);
        while let Some(line) = lines.line() {
            text::push_list(out, first, b", ", Text::uncommented(line).0);
        }
    }
}
