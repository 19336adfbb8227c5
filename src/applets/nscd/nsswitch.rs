//! Which sources glibc would have asked where nobody answers here: what /etc/nsswitch.conf lists.

use crate::backend::nsswitch::{PATH, services};
use crate::backend::script::registry;
use crate::server::sources::Sources;
use crate::sys::file::{base, read_path};
use crate::sys::message::Message;
use std::os::unix::ffi::OsStrExt;

/// "Not found" is final for glibc. So a source of its own that the script does not ask is hidden.
pub fn warn_of_uncovered(sources: &Sources) {
    let Ok(text) = read_path(PATH.as_bytes()) else { return };
    for database in &["passwd", "group", "initgroups"] {
        let mut message = Message::warning("nscd");
        message.text(PATH).text(" lists for ");
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
        Sources::Own(blocks) | Sources::Script(blocks, ..) => blocks,
        // A server is a switch of its own; at least it has the files.
        Sources::Server(..) => return service == b"files",
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::applets::nscd::sources;
    use std::ffi::OsString;

    #[test]
    fn sources_are_covered_by_the_backends_of_their_kind() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let script = words("3 /bin/nsssd-unix  0 nssbox nslcd ");
        let Ok(sources) = sources(None, true, &script, 1000) else { panic!("a script") };
        assert!(["files", "ldap"].iter().all(|s| covers(&sources, s.as_bytes())));
        assert!(["sss", "systemd", "compat"].iter().all(|s| !covers(&sources, s.as_bytes())));
    }
}
