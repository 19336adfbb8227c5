//! Which sources glibc asks, by /etc/nsswitch.conf.

use super::text::{Lines, cut};

/// Where that stands.
pub const PATH: &str = "/etc/nsswitch.conf";

/// The sources of a database, without what is to be done after each.
pub fn services<'a>(text: &'a [u8], database: &str) -> impl Iterator<Item = &'a [u8]> {
    let mut inside = false;
    let list = list(text, database).unwrap_or_default();
    list.split(u8::is_ascii_whitespace).filter(move |word| {
        let action = inside || word.starts_with(b"[");
        inside = action && !word.ends_with(b"]");
        !action && !word.is_empty()
    })
}

/// The database that says who is asked for shadow: without a line of its own, passwd's holds.
pub fn for_shadow(text: &[u8]) -> &'static str {
    if list(text, "shadow").is_some() { "shadow" } else { "passwd" }
}

/// What stands behind the name of a database there, in its first line.
fn list<'a>(text: &'a [u8], database: &str) -> Option<&'a [u8]> {
    for line in Lines(text) {
        match cut(cut(line, b'#').0, b':') {
            (name, Some(list)) if name.trim_ascii() == database.as_bytes() => return Some(list),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_and_comments_are_no_sources() {
        let text = "# passwd: no\n\npasswd: files [NOTFOUND=return] sss # ldap\n\
                    group:\tcompat [!UNAVAIL=return SUCCESS=merge] systemd\npasswd: later\n";
        let of = |database| services(text.as_bytes(), database).collect::<Vec<_>>();
        assert_eq!(of("passwd"), [&b"files"[..], b"sss"]);
        assert_eq!(of("group"), [&b"compat"[..], b"systemd"]);
        assert!(of("initgroups").is_empty());
    }

    #[test]
    fn shadow_is_asked_of_those_of_passwd_where_it_has_no_line() {
        for (text, database) in [
            ("passwd: files\nshadow: ldap\n", "shadow"),
            ("passwd: files\nshadow:\n", "shadow"),
            ("passwd: files\n#shadow: ldap\n", "passwd"),
            ("", "passwd"),
        ] {
            assert_eq!(for_shadow(text.as_bytes()), database, "{text}");
        }
    }
}
