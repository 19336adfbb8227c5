//! The source `files`: a map is a local file, or what a command prints, in nsscache's line formats.
//!
//! Files are followed by inotify, which does not tell of all: other hosts write on a network's file system,
//! and a link on the way may lead elsewhere. So they are looked at now and then, too.

use super::body::Body;
use super::command::Output;
use super::told::{News, Told};
use super::{Fetched, Follow, Object, Since, Source, retries};
use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure, shown};
use crate::directory::intake::Entries;
use crate::directory::lines;
use crate::directory::log::Log;
use crate::directory::maps::Map;
use crate::directory::state::Validators;
use crate::limits::COMMAND_SECONDS;
use crate::sys::file::{join, open_path};
use crate::sys::message::errno_text;
use crate::sys::stat::{Stat, fstat};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};

/// How a map is read.
pub struct Files<'a> {
    config: &'a MapConfig<'a>,
    log: &'a Log,
    retries: (u32, u32),
    seconds: u64,
    /// The file that was read last.
    seen: Option<String>,
    told: Option<Told>,
    /// Whether another file is there.
    changed: bool,
}

/// One of them.
enum Way {
    Path(Vec<u8>),
    Command(String),
}

impl<'a> Files<'a> {
    /// What the configuration says.
    pub fn new(config: &'a MapConfig<'a>, log: &'a Log) -> Done<Self> {
        // A file that is not there now is not there in five seconds.
        let retries = match config.text("files_retry_max")? {
            Some(_) => retries(config, "files")?,
            None => (1, 0),
        };
        let seconds = config.number("files_timelimit", COMMAND_SECONDS)?.max(1);
        Ok(Files { config, log, retries, seconds, seen: None, told: None, changed: false })
    }

    fn way(&self, object: Object<'_>) -> Done<Way> {
        let map = self.config.map.name();
        if self.config.map == Map::Automount {
            let dir = self.config.required("files_automount_base_path")?;
            let name = match object {
                Object::Automount(name) => name,
                _ => "auto.master",
            };
            return Ok(Way::Path(join(dir.as_bytes(), name.as_bytes())));
        }
        let (path, command) = (format!("files_{map}_path"), format!("files_{map}_command"));
        match (self.config.text(&path)?, self.config.text(&command)?) {
            (Some(path), None) => Ok(Way::Path(path.into_bytes())),
            (None, Some(command)) => Ok(Way::Command(command)),
            (None, None) => Err(Failure::refused(format!("{path} or {command} is missing"))),
            (Some(_), Some(_)) => Err(Failure::refused(format!("both {path} and {command}"))),
        }
    }

    fn read(&mut self, path: &[u8], since: &Since, into: &mut dyn Entries) -> Done<Fetched> {
        let (file, stat) = open(path)?;
        let stamp = stamp(&stat);
        if since.validators.modified.as_ref() == Some(&stamp) {
            self.seen = Some(stamp);
            return Ok(Fetched::Unchanged);
        }
        let failed = |errno| unavailable("read", path, errno);
        let mut body =
            Body::new(File::from(file.try_clone().map_err(|_| failed(Errno::MFILE))?), &[])?;
        lines::read(&mut body, self.config.map, into)?;
        let bytes = body.received();
        // Whoever writes in place is not done yet.
        let after = fstat(&file).map_err(failed)?;
        if super::files::stamp(&after) != stamp {
            let path = shown(path);
            return Err(Failure::unavailable(format!("{path} changed while it was read")));
        }
        self.seen = Some(stamp.clone());
        let validators = Validators { etag: None, modified: Some(stamp) };
        #[allow(clippy::unnecessary_cast, reason = "the field has another type on other targets")]
        let modified = Some(stat.st_mtime as i64);
        Ok(Fetched::Whole { modified, validators, bytes })
    }
}

/// Opens a file for reading, and no FIFO, device or directory.
fn open(path: &[u8]) -> Done<(OwnedFd, Stat)> {
    let failed = |errno| unavailable("open", path, errno);
    let file = open_path(path, OFlags::RDONLY, Mode::empty()).map_err(failed)?;
    let stat = fstat(&file).map_err(failed)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok((file, stat)),
        _ => Err(Failure::refused(format!("{} is no regular file", shown(path)))),
    }
}

fn unavailable(what: &str, path: &[u8], errno: Errno) -> Failure {
    let reason = errno_text(errno);
    let reason = String::from_utf8_lossy(&reason);
    Failure::unavailable(format!("unable to {what} {}: {reason}", shown(path)))
}

/// The folder of a file, and its name there.
fn parts(path: &[u8]) -> (&[u8], &[u8]) {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    match slash.and_then(|at| path.split_at_checked(at + 1)) {
        Some(parts) => parts,
        None => (b".", path),
    }
}

/// What tells a file from another one at the same path.
fn stamp(stat: &Stat) -> String {
    format!("{}.{:09} {} {}", stat.st_mtime, stat.st_mtime_nsec, stat.st_size, stat.st_ino)
}

impl Source for Files<'_> {
    fn origin(&self, object: Object<'_>) -> Done<String> {
        Ok(match self.way(object)? {
            Way::Path(path) => String::from_utf8_lossy(&path).into_owned(),
            Way::Command(_) => format!("files_{}_command", self.config.map.name()),
        })
    }

    fn fetch(
        &mut self,
        object: Object<'_>,
        since: &Since,
        into: &mut dyn Entries,
    ) -> Done<Fetched> {
        match self.way(object)? {
            Way::Path(path) => self.read(&path, since, into),
            Way::Command(command) => {
                self.log.debug("files", format!("runs {command}"));
                let output = Output::of(&command, self.seconds)?;
                let mut body = Body::new(output, &[])?;
                lines::read(&mut body, self.config.map, into)?;
                let (modified, validators) = (None, Validators::default());
                Ok(Fetched::Whole { modified, validators, bytes: body.received() })
            }
        }
    }

    fn probe(&mut self, object: Object<'_>) -> Done {
        match self.way(object)? {
            Way::Path(path) => open(&path).map(drop),
            // What it does is not ours to try.
            Way::Command(_) => Ok(()),
        }
    }

    fn retries(&self) -> (u32, u32) {
        self.retries
    }

    fn follow(&mut self) -> Option<&mut dyn Follow> {
        Some(self)
    }
}

impl Files<'_> {
    /// Whether another file is there than the one that was read. Whoever has removed it may be about to
    /// bring the next one.
    fn is_another(&self, path: &[u8]) -> bool {
        open(path).is_ok_and(|(_, stat)| self.seen != Some(stamp(&stat)))
    }
}

impl Follow for Files<'_> {
    fn begin(&mut self) -> Done<bool> {
        (self.told, self.changed) = (None, false);
        // (Of automount, of which there are several, the master.)
        let Way::Path(path) = self.way(Object::Map)? else { return Ok(false) };
        let (dir, _) = parts(&path);
        match Told::of(dir) {
            Ok(told) => self.told = Some(told),
            Err(errno) => {
                self.log.debug("files", unavailable("watch", dir, errno));
                return Ok(false);
            }
        }
        // It may have been replaced since it was read.
        self.changed = self.config.map != Map::Automount && self.is_another(&path);
        Ok(true)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.told.as_ref().map(Told::fd)
    }

    fn has_more(&mut self) -> bool {
        false
    }

    fn read(&mut self) -> Done<bool> {
        let Way::Path(path) = self.way(Object::Map)? else { return Ok(false) };
        let is_one = self.config.map != Map::Automount;
        let name = is_one.then(|| parts(&path).1);
        match self.told.as_ref().map_or(News::Lost, |told| told.take(name)) {
            News::None => {}
            News::Some => self.changed |= !is_one || self.is_another(&path),
            News::Lost => return Err(Failure::unavailable("the folder of its file is gone")),
        }
        Ok(self.changed)
    }

    fn is_changed(&self) -> bool {
        self.changed
    }

    fn taken(&mut self) -> Done<bool> {
        self.changed = false;
        Ok(true)
    }

    fn tells_all(&self) -> bool {
        false
    }
}
