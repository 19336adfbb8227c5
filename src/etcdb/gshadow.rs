//! gshadow: the passwords, administrators and members of groups.

use super::text;

/// `name:password:administrators:members`, the two lists with commas. A key is a name.
///
/// As in glibc, missing fields are empty, and blanks before a member and empty members are left
/// out. A member with a colon, of which glibc finds the line but refuses to print it, leaves
/// nothing here as well, and the key counts as found.
pub fn line(line: &[u8], key: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    let (name, rest) = text::split(line, is_colon);
    let same = match key {
        None => true,
        Some([b'+' | b'-', ..]) => false,
        Some(key) => key == name,
    };
    if !same {
        return false;
    }
    let (password, rest) = text::split(rest, is_colon);
    let (administrators, members) = text::split(rest, is_colon);
    if list(members).any(|member| member.contains(&b':')) {
        return true;
    }
    for field in [name, password] {
        out.extend_from_slice(field);
        out.push(b':');
    }
    push_list(out, administrators);
    out.push(b':');
    push_list(out, members);
    out.push(b'\n');
    true
}

fn is_colon(byte: u8) -> bool {
    byte == b':'
}

fn list(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|&byte| byte == b',').map(text::skip_blanks).filter(|member| !member.is_empty())
}

fn push_list(out: &mut Vec<u8>, field: &[u8]) {
    for (i, member) in list(field).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(member);
    }
}
