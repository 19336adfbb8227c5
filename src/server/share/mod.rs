//! The maps that glibc's programs look users and groups up in without asking: made of local files, given
//! out by descriptor, off as soon as there is any doubt.
//!
//! Nobody has one before somebody asks. Then files are watched, both maps are made once nothing has
//! changed for a moment, and each second it is looked whether they hold. What changes turns them off
//! first, and makes new ones. A map is never changed but in its header: see doc/nscd.md.

mod build;
mod file;
mod watch;
mod way;

use super::companion::Companion;
use super::conversation::{Errand, Output};
use crate::backend::switch::Switch;
use crate::backend::{Teller, nsswitch};
use crate::limits::{SHARED_BYTES, SHARED_MEMORY};
use crate::sys::access::Peer;
use crate::sys::clock::{NEVER, millis};
use crate::sys::file::{directory, join, path};
use crate::sys::message::Message;
use crate::sys::stat::stat;
use build::{Build, Directory, MAPPED, Trouble, telling};
use file::{File, Place};
use nix::sys::sysinfo::sysinfo;
use nssproto::entry::Db;
use nssproto::nscd::map::{Header, encode_granted};
use rustix::event::epoll::EventFlags;
use rustix::fs::statfs;
use rustix::io::Errno;
use rustix::process::geteuid;
use std::os::fd::BorrowedFd;
use watch::Watch;

/// Milliseconds between two looks, and between two stamps.
const BEAT: u64 = 1000;

/// Milliseconds without a change before maps are made; and where changes follow each other.
const QUIET: u64 = 10;
const QUIET_AT_MOST: u64 = 1000;

/// Milliseconds after which what failed is tried again, at first, and at most.
const PAUSE: u64 = 1000;
const PAUSE_AT_MOST: u64 = 64_000;

/// How often is heard what has happened before maps are published: each time of some events.
const EVENTS: u32 = 16;

/// Milliseconds for a client to map what he was given. Who finds that it was let go meanwhile has no map
/// for as long as he lives.
const TAKING: u64 = 500;

/// Most maps that are off and wait for that.
const RETIRED: usize = 8;

const FOREIGN: &str = "files on a file system that does not tell of changes";

/// Whether there is to be a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nowhere.
    No,
    /// On a machine with memory to spare.
    Maybe,
    /// On any.
    Yes,
}

/// What the command line says of it.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// Whether.
    pub wanted: Wanted,
    /// Most bytes of both maps; `None`: the usual number, and of users, too.
    pub max: Option<usize>,
    /// Whose messages tell what is in its way; `None`: nobody's.
    pub tells: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nobody has asked.
    Asleep,
    /// Nothing is done before this time.
    Waiting(u64),
    /// What is in the files is added up.
    Adding,
    /// The maps are made.
    Building,
    /// It is seen whether the files are still the same.
    Checking,
    /// The maps count.
    On,
}

/// The maps, and what they are made of.
pub struct Share {
    directories: Vec<Directory>,
    watch: Watch,
    build: Build,
    places: [Option<Place>; 2],
    /// What is given out.
    files: [Option<File>; 2],
    /// What was given out a moment ago, and is off.
    retired: heapless::Vec<File, RETIRED>,
    phase: Phase,
    /// The sum over what is in the files.
    sum: u64,
    /// It is being added up once more.
    adds: bool,
    beat: u64,
    /// The next wait, and when there was a doubt.
    quiet: u64,
    since: u64,
    pause: u64,
    /// What is in the way.
    trouble: Option<Trouble>,
    tells: Option<&'static str>,
}

impl Share {
    /// For a server of these sources, whose socket is at `socket`, as soon as that is its own: maps that
    /// another one has left there are let go. `None`: there will be no map.
    pub fn new(wish: Wish, switch: &mut Switch, socket: &[u8]) -> Option<Box<Self>> {
        let places = MAPPED.map(|db| place(directory(socket), db));
        places.iter().flatten().for_each(file::revoke);
        let is_small = || sysinfo().is_ok_and(|info| info.ram_total() < SHARED_MEMORY);
        if wish.wanted == Wanted::No || wish.wanted == Wanted::Maybe && is_small() {
            return None;
        }
        let made = directories(switch).ok_or("these sources cannot be shared").and_then(|found| {
            let mut paths = found.iter().flat_map(|directory| &directory.paths);
            if paths.any(|path| statfs(&**path).is_ok_and(|there| !telling::tells(&there))) {
                return Err(FOREIGN);
            }
            let watch = watch(&found, switch).map_err(|_| "unable to watch files")?;
            Ok((found, watch))
        });
        let (directories, watch) = match made {
            Ok(made) => made,
            Err(why) => {
                if let Some(program) = wish.tells {
                    Message::new(program, "info").text("no shared map: ").text(why).send();
                }
                return None;
            }
        };
        let mut build = Build::new();
        (build.max, build.counts_users) = (wish.max.unwrap_or(SHARED_BYTES), wish.max.is_none());
        Some(Box::new(Share {
            directories,
            watch,
            build,
            places: places.map(|place| place.filter(|_| is_in_memory(directory(socket)))),
            files: [None, None],
            retired: heapless::Vec::new(),
            phase: Phase::Asleep,
            sum: 0,
            adds: false,
            beat: NEVER,
            quiet: QUIET,
            since: 0,
            pause: PAUSE,
            trouble: None,
            tells: wish.tells,
        }))
    }

    fn turn(&mut self, on: bool) {
        self.files.iter_mut().flatten().for_each(|file| file.turn(on));
    }

    /// Something has changed, or may have.
    fn doubt(&mut self) {
        if self.phase == Phase::Asleep {
            return;
        }
        self.turn(false);
        let now = millis();
        if !matches!(self.phase, Phase::Waiting(_)) {
            // Where changes follow each other, longer and longer, until there are none for so long.
            self.quiet = match now.saturating_sub(self.since) > QUIET_AT_MOST {
                true => QUIET,
                false => (2 * self.quiet).min(QUIET_AT_MOST),
            };
            self.since = now;
            self.build.clear();
        }
        (self.phase, self.pause) = (Phase::Waiting(now + self.quiet), PAUSE);
    }

    /// It cannot be now.
    fn fail(&mut self, trouble: Trouble) {
        if trouble == Trouble::Changes {
            return self.doubt();
        }
        self.build.clear();
        // What is too large stays so until it changes.
        let is_late = trouble == Trouble::TooLarge;
        self.phase = Phase::Waiting(if is_late { NEVER } else { millis() + self.pause });
        self.pause = (2 * self.pause).min(PAUSE_AT_MOST);
        if self.trouble.replace(trouble) == Some(trouble) {
            return;
        }
        let Some(program) = self.tells else { return };
        let mut message = Message::warning(program);
        message.text("no shared map at the moment: ");
        match trouble {
            Trouble::Failed(errno) => message.errno(errno),
            Trouble::Foreign => message.text(FOREIGN),
            Trouble::TooLarge => message.text("too many users and groups (see --share-max)"),
            Trouble::Changes | Trouble::Unreadable => message.text("a file is not for everybody"),
        };
        message.send();
    }

    /// Each second.
    fn look(&mut self, now: u64) {
        self.beat = now + BEAT;
        self.files.iter_mut().flatten().for_each(File::stamp);
        self.let_go(now.saturating_sub(TAKING));
        if self.phase == Phase::On {
            self.adds = true;
        }
        let looks = match self.phase {
            // After a failure: it may be worth another try.
            Phase::Waiting(until) => until > now + QUIET_AT_MOST,
            phase => phase == Phase::On,
        };
        if looks && self.watch.differs() {
            self.doubt();
        }
    }

    fn go_on(&mut self, switch: &mut Switch) -> Result<(), Trouble> {
        match self.phase {
            Phase::Waiting(until) if until <= millis() => {
                self.watch.arm()?;
                self.phase = Phase::Adding;
            }
            Phase::Adding => {
                if let Some(sum) = self.watch.sum() {
                    self.sum = sum;
                    self.build.begin()?;
                    self.phase = Phase::Building;
                }
            }
            Phase::Building => {
                let is_made = self.build.go_on(&self.directories, &self.places, switch)?;
                self.phase = if is_made { Phase::Checking } else { Phase::Building };
            }
            Phase::Checking => {
                if let Some(sum) = self.watch.sum() {
                    self.publish(sum)?;
                }
            }
            Phase::On if self.adds => {
                if let Some(sum) = self.watch.sum() {
                    self.adds = false;
                    if sum != self.sum {
                        return Err(Trouble::Changes);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The new maps count, unless the files have changed meanwhile.
    fn publish(&mut self, sum: u64) -> Result<(), Trouble> {
        let mut heard = self.watch.has_heard();
        for _ in 0..EVENTS {
            heard = heard.or_else(|| self.watch.has_heard());
        }
        if sum != self.sum || self.watch.differs() || heard != Some(false) {
            return Err(Trouble::Changes);
        }
        let new = self.build.take();
        for (file, place) in new.iter().zip(&self.places) {
            if let Some(file) = file {
                file.publish(place.as_ref())?;
            }
        }
        self.build.clear();
        for file in std::mem::replace(&mut self.files, new).into_iter().flatten() {
            if self.retired.is_full() {
                self.retired.remove(0).let_go();
            }
            let _ = self.retired.push(file);
        }
        self.let_go(millis().saturating_sub(TAKING));
        (self.phase, self.adds) = (Phase::On, false);
        (self.trouble, self.pause) = (None, PAUSE);
        Ok(())
    }

    /// Lets go of those that were given out for the last time before this time.
    fn let_go(&mut self, before: u64) {
        self.retired.retain_mut(|file| {
            let stays = file.lent > before;
            if !stays {
                file.let_go();
            }
            stays
        });
    }

    /// The map of a database for a client. What cannot be shared at all, he must not ask for again.
    fn lend(&mut self, db: Db, out: &mut Output) -> Option<BorrowedFd<'_>> {
        if self.trouble == Some(Trouble::Foreign) {
            return None;
        }
        if self.phase == Phase::Asleep {
            let now = millis();
            (self.phase, self.beat) = (Phase::Waiting(now), now + BEAT);
        }
        let at = MAPPED.iter().position(|mapped| *mapped == db)?;
        let place = self.files.get_mut(at)?;
        let file = match place {
            Some(file) => file,
            // He will ask for a better one.
            None => place.insert(off().ok()?),
        };
        let (shown, size) = file.lend();
        let len = encode_granted(db.name().as_bytes(), size, out.room()).ok()?;
        out.add(len);
        Some(shown)
    }
}

impl Companion for Share {
    fn watched(&self, which: usize) -> Option<(BorrowedFd<'_>, EventFlags)> {
        match which {
            0 => Some((self.watch.inotify(), EventFlags::IN)),
            // Urgent: the table is another one.
            _ => Some((self.watch.mounts()?, EventFlags::PRI)),
        }
    }

    fn on_event(&mut self, which: usize) {
        let has_changed = match which {
            0 => self.watch.has_heard() == Some(true),
            _ if self.phase == Phase::On => {
                // Off first: a look may take its time.
                self.turn(false);
                let differs = self.watch.differs();
                if !differs {
                    self.turn(true);
                }
                differs
            }
            _ => false,
        };
        if has_changed {
            self.doubt();
        }
    }

    fn due(&self) -> u64 {
        match self.phase {
            Phase::Asleep => NEVER,
            Phase::Waiting(until) => until.min(self.beat),
            Phase::On if !self.adds => self.beat,
            _ => 0,
        }
    }

    fn attend(&mut self, switch: &mut Switch) {
        let now = millis();
        if now >= self.beat {
            self.look(now);
        }
        if let Err(trouble) = self.go_on(switch) {
            self.fail(trouble);
        }
    }

    fn run(
        &mut self,
        errand: Errand,
        peer: Option<Peer>,
        out: &mut Output,
    ) -> Option<BorrowedFd<'_>> {
        match errand {
            Errand::Forget => {
                self.doubt();
                None
            }
            Errand::Lend(db) => {
                // Who is of the same uid could make it his to write to.
                let is_ours = |peer: &Peer| peer.uid.0 == geteuid().as_raw() && !peer.is_root();
                peer.filter(|peer| !is_ours(peer))?;
                self.lend(db, out)
            }
        }
    }

    fn leave(&mut self) {
        self.let_go(NEVER);
        self.files.iter_mut().flatten().for_each(File::let_go);
        for place in self.places.iter().flatten() {
            let _ = rustix::fs::unlink(&*place.path);
        }
    }
}

/// A map that is off, and has nothing.
fn off() -> Result<File, Errno> {
    let mut file = File::make(None)?;
    // Its only bucket has nothing.
    file.write(&[0xff; 4], nssproto::nscd::map::HEADER as u64)?;
    file.write(&[0; 12], nssproto::nscd::map::HEADER as u64 + 4)?;
    file.finish(Header::OFF)?;
    Ok(file)
}

/// The directories of the sources, if they are local files and nothing else, and each of them is asked.
fn directories(switch: &mut Switch) -> Option<Vec<Directory>> {
    let slots = switch.slots();
    let last = slots.len().checked_sub(1)?;
    let mut directories = Vec::new();
    for (at, slot) in slots.iter().enumerate() {
        // One may be the last for a name that it has not.
        if !slot.backend.has_plain_files() || slot.bits & 4 != 0 && at < last {
            return None;
        }
        let [passwd, group] = MAPPED.map(|db| path(slot.backend.place(Some(db))).ok());
        directories.push(Directory { paths: [passwd?, group?], slot: at });
    }
    Some(directories)
}

/// What they and the rule of passwords look at.
fn watch(directories: &[Directory], switch: &mut Switch) -> Result<Watch, Errno> {
    let mut watch = Watch::new()?;
    for path in directories.iter().flat_map(|directory| &directory.paths) {
        watch.add(path.to_bytes())?;
    }
    if switch.slots().iter().any(|slot| slot.backend.teller() != Teller::Own) {
        watch.add(b"/etc/shadow")?;
        watch.add(nsswitch::PATH.as_bytes())?;
    }
    Ok(watch)
}

/// Where a map has a name in the socket's directory. (Debian's profiles let confined programs read what
/// begins so there.)
fn place(directory: &[u8], db: Db) -> Option<Place> {
    let name = |suffix: &[u8]| {
        path(&join(directory, &[b"db", db.name().as_bytes(), suffix].concat())).ok()
    };
    Some(Place { path: name(b"")?, new: name(b".new")? })
}

/// Whether what is in a directory is in memory, where a stamp each second costs nothing, and nobody else
/// can write there.
fn is_in_memory(directory: &[u8]) -> bool {
    let Ok(directory) = path(directory) else { return false };
    let is_tmpfs = statfs(&*directory).is_ok_and(|there| telling::kind(&there) == telling::TMPFS);
    let is_ours = |there: &crate::sys::stat::Stat| {
        there.st_mode & 0o022 == 0 && there.st_uid == geteuid().as_raw()
    };
    is_tmpfs && stat(&directory).is_ok_and(|there| is_ours(&there))
}
