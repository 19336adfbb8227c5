//! Files that a map requires, told as files of ssh keys: what sshd reads as AuthorizedKeysFile.

use super::Map;
use super::config::{Section, SectionKind};
use super::evidence::{Look, Room, path};
use super::near::LastLink;
use super::plan::planned;
use super::template::Pattern;
use super::trust::is_safe;
use crate::backend::KeyPlace;
use crate::backend::stamp::Stamp;
use crate::limits::KEY_FILE;
use crate::sys::access::Rights;
use crate::sys::file::{c_str, directory, fill, pread_full};
use crate::sys::stat::fstat;
use rustix::fs::OFlags;
use rustix::io::Errno;

impl Map {
    /// The files that may be read so.
    pub(super) fn files_of_keys(&self) -> impl Iterator<Item = &Pattern<'static>> {
        let sections =
            self.config.sections.iter().filter(|_| self.tells_keys && !self.config.compat);
        sections.flat_map(|section| &section.require.files)
    }

    /// The next bytes of the files of a user: see [`Source::ssh_keys`](crate::backend::Source::ssh_keys).
    pub(super) fn key_files(
        &mut self,
        rights: Rights,
        name: &[u8],
        place: &mut KeyPlace,
        out: &mut [u8],
    ) -> Result<usize, Errno> {
        let Some((section, owner)) = self.section_with_keys(rights, name) else { return Ok(0) };
        let Map { room, look, .. } = self;
        while let Some(file) = section.require.files.get(usize::from(place.file)) {
            let len = read(file, name, owner, place, (room, look), out)?;
            if len > 0 {
                return Ok(len);
            }
            let is_begun = place.at > 0;
            *place = KeyPlace { file: place.file + 1, ..KeyPlace::default() };
            if let (true, Some(end)) = (is_begun, out.first_mut()) {
                // Its last line may lack it.
                *end = b'\n';
                return Ok(1);
            }
        }
        Ok(0)
    }

    /// The section whose files are those of a user, and who may own them besides root: where several
    /// users have one uid, nobody.
    fn section_with_keys(
        &self,
        rights: Rights,
        name: &[u8],
    ) -> Option<(&'static Section<'static>, u32)> {
        if !self.tells_keys || self.config.compat {
            return None;
        }
        // Who has a number for a name has no files.
        let number = self.number_of(SectionKind::Uids, name, rights);
        let account = planned(self.config, &self.key, name).ok().filter(|_| number == Ok(None))?;
        let owner = if account.section.derives() { account.uid } else { 0 };
        Some((account.section, owner))
    }
}

/// The next bytes of one file: none of what is there no more, or is no plain file of its owner that
/// only he can write, of one link, or is too large.
fn read(
    file: &Pattern<'_>,
    name: &[u8],
    owner: u32,
    place: &mut KeyPlace,
    (room, look): (&mut Room, &mut Look),
    out: &mut [u8],
) -> Result<usize, Errno> {
    let path = path(file, name, room)?.to_bytes();
    let mut above = Room::new();
    fill(&mut above, &[directory(path), b"\0"])?;
    let start = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let mut last = Room::new();
    fill(&mut last, &[path.get(start..).unwrap_or_default(), b"\0"])?;
    let opened = look
        .directory(c_str(&above)?, LastLink::Followed)
        .and_then(|dir| look.open_in(&dir, c_str(&last)?, OFlags::NOFOLLOW));
    let opened = match opened {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if place.at == 0 => return Ok(0),
        opened => opened?,
    };
    let stat = fstat(&opened)?;
    let is_told = is_safe(&stat, owner) && stat.st_nlink == 1 && stat.st_size as u64 <= KEY_FILE;
    let version = Stamp::of(&stat).digest();
    if place.at == 0 {
        if !is_told {
            return Ok(0);
        }
        place.version = version;
    }
    if !is_told || place.version != version {
        return Err(Errno::STALE);
    }
    let len = pread_full(&opened, out, place.at.into())?;
    place.at += len as u32;
    Ok(len)
}
