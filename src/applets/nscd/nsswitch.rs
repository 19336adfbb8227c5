//! Which sources glibc would have asked where nobody answers here: what /etc/nsswitch.conf lists.

use crate::backend::script::registry;
use crate::server::sources::Sources;
use crate::sys::file::{base, read_path};
use crate::sys::message::Message;
use std::os::unix::ffi::OsStrExt;

/// Which sources glibc asks where nobody answers here.
const NSSWITCH: &str = "/etc/nsswitch.conf";

/// "Not found" is final for glibc. So a source of its own that the script does not ask is hidden.
pub fn warn_of_uncovered(sources: &Sources) {
    let Ok(text) = read_path(NSSWITCH.as_bytes()) else { return };
    for database in &["passwd", "group", "initgroups"] {
        let mut message = Message::warning("nscd");
        message.text(NSSWITCH).text(" lists for ");
        message.text(database).text(" what this nscd does not ask:");
        let mut uncovered = false;
        for service in services(&text, database).filter(|service| !covers(sources, service)) {
            uncovered = true;
            message.text(" ").quoted(service);
        }
        if uncovered {
            message.text("; glibc will not ask it either").send();
        }
    }
}

/// Whether a source of nsswitch.conf is asked, as far as that can be known.
fn covers(sources: &Sources, service: &[u8]) -> bool {
    let blocks = match sources {
        Sources::Own(blocks) | Sources::Script(blocks, _) => blocks,
        // A server is a switch of its own; at least it has the files.
        Sources::Server(_) => return service == b"files",
    };
    for block in blocks {
        // `nsssd-nslcd`, `nssbox nslcd`.
        for word in block.command.iter().take(2) {
            let name = base(word.as_bytes());
            let name = name.strip_prefix(b"nsssd-").unwrap_or(name);
            let known = registry::by_name(name);
            if known.map_or(name, |row| row.service.as_bytes()) == service {
                return true;
            }
        }
    }
    false
}

/// The sources of a database in nsswitch.conf, without what is to be done after each.
fn services<'a>(text: &'a [u8], database: &str) -> impl Iterator<Item = &'a [u8]> {
    let mut inside = false;
    list(text, database).split(u8::is_ascii_whitespace).filter(move |word| {
        let action = inside || word.starts_with(b"[");
        inside = action && !word.ends_with(b"]");
        !action && !word.is_empty()
    })
}

/// What stands behind the name of a database there, in its first line.
fn list<'a>(text: &'a [u8], database: &str) -> &'a [u8] {
    for line in text.split(|b| *b == b'\n') {
        let line = line.split(|b| *b == b'#').next().unwrap_or_default();
        let mut parts = line.splitn(2, |b| *b == b':');
        let name = parts.next().unwrap_or_default();
        match parts.next() {
            Some(list) if name.trim_ascii() == database.as_bytes() => return list,
            _ => {}
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::applets::nscd::sources;
    use std::ffi::OsString;

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
    fn sources_are_covered_by_the_backends_of_their_kind() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let script = words("3 /bin/nsssd-unix  0 nssbox nslcd ");
        let Ok(sources) = sources(None, &script) else { panic!("a script") };
        assert!(["files", "ldap"].iter().all(|s| covers(&sources, s.as_bytes())));
        assert!(["sss", "systemd", "compat"].iter().all(|s| !covers(&sources, s.as_bytes())));
    }
}
