//! Whether the evidence of a configuration can block, as it is mounted at the start.

use super::config::Config;
use super::kinds::kind_of;
use super::near::{LastLink, Near};
use super::scan::directory;
use super::template::Pattern;
use crate::sys::file::path;
use crate::sys::message::Message;
use rustix::io::Errno;

/// Whether some evidence of the configuration can block as things are now; says so.
pub fn find(config: &Config, near: &mut Near) -> bool {
    let mut found = false;
    for section in &config.sections {
        if section.require.home || section.rc {
            found |= is_slow(&section.template.home, near);
        }
        for file in &section.require.files {
            found |= is_slow(file, near);
        }
    }
    found
}

/// Whether what a pattern leads to is on a slow file system; says so.
fn is_slow(pattern: &Pattern, near: &mut Near) -> bool {
    let Some((dir, front)) = directory(pattern) else { return false };
    let (where_, kind) = match (kind_at(dir, near), kind_below(pattern, dir, front, near)) {
        (Some(kind), _) => (" is on ", kind),
        (None, Some(kind)) => (" has below it ", kind),
        (None, None) => return false,
    };
    let mut message = Message::warning("nsssd-map");
    message.path(dir).text(where_).text(kind);
    message.text(": it can block, and is asked in a process of its own").send();
    true
}

/// What slow file system `dir` is on, or the nearest directory above it that exists.
fn kind_at(mut dir: &[u8], near: &mut Near) -> Option<&'static str> {
    loop {
        match near.open(&path(dir).ok()?, LastLink::Followed) {
            Ok(found) => {
                let good = near.mounts().is_good(&found);
                return if good == Ok(false) { Some(near.mounts().met()) } else { None };
            }
            Err(Errno::XDEV) => return Some(near.mounts().met()),
            Err(_) => {}
        }
        let slash = dir.iter().rposition(|b| *b == b'/')?;
        dir = match (slash, dir) {
            (0, [_]) => return None,
            (0, _) => b"/",
            _ => dir.get(..slash)?,
        };
    }
}

/// What slow file system is mounted where the pattern leads for some name, or on the way there.
fn kind_below(
    pattern: &Pattern,
    dir: &[u8],
    front: &[u8],
    near: &mut Near,
) -> Option<&'static str> {
    let after = pattern.after.unwrap_or_default();
    let mut found = None;
    let looked = near.mounts().each_mount(&mut |mount| {
        let place = mount.place.strip_prefix(dir).unwrap_or_default();
        let entry = if dir == b"/" { Some(place) } else { place.strip_prefix(b"/") };
        let Some(entry) = entry.and_then(|entry| entry.strip_prefix(front)) else { return };
        let behind = entry.iter().position(|b| *b == b'/').and_then(|at| entry.get(at..));
        // A name may hold what follows it in the pattern up to the next slash.
        let slash = after.iter().position(|b| *b == b'/').unwrap_or(after.len());
        let on_the_way = match (behind, after.get(slash..)) {
            (Some(behind), Some(after)) => after.starts_with(behind),
            _ => !entry.is_empty(),
        };
        if on_the_way {
            found = found.or(kind_of(mount.kind));
        }
    });
    looked.ok().and(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_is_judged_by_what_is_above() {
        assert_eq!(kind_at(b"/proc/self/nothing/there", &mut Near::new()), None);
    }
}
