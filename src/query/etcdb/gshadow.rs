//! gshadow: the passwords, administrators and members of groups.

use super::text::{self, Text};

/// `name:password:administrators:members`, the two lists with commas. A key is a name.
///
/// As in glibc, missing fields are empty, and blanks before a member and empty members are left
/// out. A member with a colon, of which glibc finds the line but refuses to print it, leaves
/// nothing here as well, and the key counts as found.
pub fn line(line: &[u8], key: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    let mut rest = Text(line);
    let name = rest.until(b':');
    if key.is_some_and(|key| key != name || matches!(key, [b'+' | b'-', ..])) {
        return false;
    }
    let (password, administrators) = (rest.until(b':'), rest.until(b':'));
    let members = rest.0;
    if members.contains(&b':') {
        return true;
    }
    text::push(out, name, b':');
    text::push(out, password, b':');
    push_members(out, administrators, b':');
    push_members(out, members, b'\n');
    true
}

fn push_members(out: &mut Vec<u8>, members: &[u8], end: u8) {
    let first = out.len();
    text::push_list(out, first, b",", members);
    out.push(end);
}
