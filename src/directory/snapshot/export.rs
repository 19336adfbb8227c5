//! `nsscache export`: the files of maps as a snapshot that any web server or object store may hand out.
//!
//! Each map is written under its sum, then the signature of the list under that of the list, and the list
//! last, each by a rename: whoever reads meanwhile, and whatever ends this process, finds the old list
//! or the new one, and all that it lists. `minisign` signs, so that the secret key is read by nothing of
//! ours.

use super::list::{self, List, Listed};
use super::sum::{self, Summed};
use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure, shown};
use crate::directory::folder::{Folder, Version};
use crate::directory::log::Log;
use crate::directory::maps::Map;
use crate::directory::secret;
use crate::directory::stamp::{Time, iso, now};
use crate::directory::targets::{self, Place};
use crate::directory::temporary::{Temporary, sweep};
use crate::directory::text::Lines;
use crate::limits::{COMMAND_SECONDS, DIRECTORY_BODY, EXPORT_STAYS};
use crate::sys::clock::millis;
use crate::sys::file::{base, open_path, read_all};
use crate::sys::spawn::Command;
use minisign_verify::Signature;
use nssproto::bytes::decimal_u64;
use rustix::fs::{Mode, OFlags, Timespec, Timestamps, fchmod, futimens};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

/// What the command line says.
pub struct Options {
    /// Where the snapshot goes.
    pub dir: Vec<u8>,
    /// minisign's secret key, without a password.
    pub key: Vec<u8>,
    /// Shadow is exported, too.
    pub shadow: bool,
    /// A map that shrank too much is accepted.
    pub accept_shrink: bool,
    /// Seconds: where no map has changed, nothing is done if the last list is younger.
    pub renew: i64,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exported {
    /// There is a new list.
    New,
    /// The last one was good enough.
    Unchanged,
    /// Another process exports to that directory.
    Locked,
}

/// Files that are no longer listed: since when, and for how many exports. Lines `NAME EXPORTS TIME`.
const UNLISTED: &[u8] = b".unlisted";

/// How often it is looked whether minisign has ended.
const LOOK: Duration = Duration::from_millis(5);

/// A file that is to be exported.
struct Source {
    name: String,
    path: Vec<u8>,
    file: File,
    is_secret: bool,
}

/// Exports these maps.
pub fn run(maps: &[MapConfig<'_>], options: &Options, log: &Log) -> Done<Exported> {
    let folder = Folder::open(&options.dir)?;
    let unable = |what, name: &[u8], errno| Failure::from(folder.error(what, name, errno));
    if !folder.lock().map_err(|errno| unable("unable to lock", b"", errno))? {
        return Ok(Exported::Locked);
    }
    let key = secret::open(&options.key).map(|(_, stat)| secret::fault(&options.key, &stat))?;
    if let Some(fault) = key {
        return Err(Failure::refused(fault));
    }
    sweep(&folder)?;
    let last = last(&folder, log)?;
    let time = now();
    if let Some(last) = &last
        && time < last.time
    {
        // It would be refused everywhere as held back for years.
        let (now, then) = (iso(time), iso(last.time));
        return Err(Failure::refused(format!(
            "this machine's clock says {now}, and the last export was at {then}"
        )));
    }
    let mut listed = Vec::new();
    for map in maps.iter().filter(|map| map.map != Map::Shadow || options.shadow) {
        for mut source in sources(map)? {
            let before = last.as_ref().and_then(|last| last.find(&source.name));
            let most = map.number("max_shrink", 20)?;
            let one = measured(&mut source)?;
            judge(&source, &one, before, most, options.accept_shrink)?;
            put(&folder, &mut source, &one)?;
            listed.push(one);
        }
    }
    if listed.is_empty() {
        return Err(Failure::refused("there is no map to export (shadow: --shadow)"));
    }
    if let Some(last) = &last
        && last.maps == listed
        && time - last.time < options.renew
    {
        log.info("export", format!("nothing new since snapshot {}", last.serial));
        return Ok(Exported::Unchanged);
    }
    let unix = u64::try_from(time).unwrap_or(0);
    let serial = last.map_or(0, |last| last.serial.saturating_add(1)).max(unix);
    let list = List { serial, time, maps: listed };
    let signature = sign(&folder, &private(maps)?, &list, &options.key)?;
    let removed = clean(&folder, &list, &signature, time)?;
    let (count, dir) = (list.maps.len(), shown(&options.dir));
    let old = if removed > 0 { format!(", {removed} old files removed") } else { String::new() };
    log.info("export", format!("snapshot {serial} of {count} maps is in {dir}{old}"));
    Ok(Exported::New)
}

/// The list that is there.
fn last(folder: &Folder, log: &Log) -> Done<Option<List>> {
    let name = list::NAME.as_bytes();
    let file = match folder.open_data(name) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(folder.error("unable to read", name, errno).into()),
    };
    let text = read_all(file.as_fd(), list::MOST)
        .map_err(|errno| Failure::from(folder.error("unable to read", name, errno)))?;
    match List::parse(&text) {
        Ok(list) => Ok(Some(list)),
        Err(why) => {
            // The serial goes on with the time.
            let path = shown(&folder.path_of(name));
            log.warning("export", format!("{path} is not what an export has written: {why}"));
            Ok(None)
        }
    }
}

/// The files of a map.
fn sources(map: &MapConfig<'_>) -> Done<Vec<Source>> {
    let mut places = Vec::new();
    if map.map == Map::Automount {
        places.push(Place::Master);
        places.extend(targets::listed(map)?);
    } else {
        places.push(Place::Map);
    }
    let mut sources = Vec::new();
    for place in places {
        let path = place.path(map)?;
        let name = match &place {
            Place::Map | Place::Master => place.base(map.map),
            // As the master, which is exported as it stands, leads to it.
            Place::Automount(_) => String::from_utf8_lossy(base(&path)).into_owned(),
        };
        if !list::is_name(&name) {
            let name = shown(name.as_bytes());
            return Err(Failure::refused(format!("a map cannot be exported as {name}")));
        }
        let file = open_path(&path, OFlags::RDONLY, Mode::empty())
            .map_err(|errno| Failure::system("open", &path, errno))?;
        let is_secret = map.map == Map::Shadow;
        sources.push(Source { name, path, file: file.into(), is_secret });
    }
    Ok(sources)
}

impl Source {
    fn unread(&self, error: &io::Error) -> Failure {
        let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
        Failure::system("read", &self.path, errno)
    }
}

/// What the list is to say of a file.
fn measured(source: &mut Source) -> Done<Listed> {
    let mut summed = Summed::new(&source.file, DIRECTORY_BODY);
    let copied = io::copy(&mut summed, &mut io::sink());
    let (size, sum) = (summed.len, summed.sum());
    copied.map_err(|error| source.unread(&error))?;
    let (mut lines, mut entries) = (Lines::new(&source.file), 0);
    while let Some(line) = lines.next_line().map_err(|error| source.unread(&error))? {
        entries += u64::from(!line.text.is_empty() && !line.text.starts_with(b"#"));
    }
    Ok(Listed { name: source.name.clone(), sum, size, entries })
}

/// Clients do not ask whether a map shrank: it is judged here.
fn judge(
    source: &Source,
    new: &Listed,
    before: Option<&Listed>,
    most: u64,
    accepted: bool,
) -> Done {
    let (path, entries) = (shown(&source.path), new.entries);
    if entries == 0 {
        return Err(Failure::refused(format!("{path} has no entries")));
    }
    let before = before.map_or(0, |before| before.entries);
    let lost = before.saturating_sub(entries);
    if lost > 10 && lost * 100 > before * most && !accepted {
        return Err(Failure::refused(format!(
            "{path} has {entries} entries, and {before} were exported: more than max_shrink = {most} \
             percent are gone; --accept-shrink accepts that"
        )));
    }
    Ok(())
}

/// Writes a map under its sum, unless it is there.
fn put(folder: &Folder, source: &mut Source, listed: &Listed) -> Done {
    let name = listed.file();
    if let Ok(there) = folder.open_data(name.as_bytes()) {
        let mut summed = Summed::new(there, listed.size);
        if io::copy(&mut summed, &mut io::sink()).is_ok() && summed.sum() == listed.sum {
            return Ok(());
        }
    }
    let mut file = Temporary::new(folder)?;
    source.file.rewind().map_err(|error| source.unread(&error))?;
    let mut summed = Summed::new(&source.file, listed.size);
    let mut room = vec![0; 64 * 1024];
    loop {
        let len = summed.read(&mut room).map_err(|error| source.unread(&error))?;
        if len == 0 {
            break;
        }
        file.put(room.get(..len).unwrap_or_default())?;
    }
    if summed.sum() != listed.sum {
        let path = shown(&source.path);
        return Err(Failure::unavailable(format!("{path} changed while it was read")));
    }
    place(folder, file, name.as_bytes(), source.is_secret)
}

/// Gives a file its mode and its time, makes sure that it is kept, and then gives it its name.
///
/// The time is whole seconds, and later than that of the file whose place it takes: web servers tell two
/// files apart by no more than that and the size (nginx's ETag), and two lists are alike in size.
fn place(folder: &Folder, mut file: Temporary<'_>, name: &[u8], is_secret: bool) -> Done {
    let mode = Mode::from_raw_mode(if is_secret { 0o600 } else { 0o644 });
    let failed = |errno| folder.error("unable to write", name, errno);
    let before = folder.stat(name).map_err(failed)?.map(|stat| Version::from(&stat).mtime.0);
    let second = before.map_or(now(), |before| now().max(before.saturating_add(1)));
    let time = Timespec { tv_sec: second, tv_nsec: 0 };
    let open = file.file()?;
    fchmod(open, mode).map_err(failed)?;
    let times = Timestamps { last_access: time, last_modification: time };
    futimens(open, &times).map_err(failed)?;
    file.sync()?;
    Ok(file.rename(name)?)
}

/// The folder of the timestamps: whoever may write where we export to must not be able to say what is
/// signed, nor where minisign writes to.
fn private(maps: &[MapConfig<'_>]) -> Done<Folder> {
    let missing = || Failure::refused("no map is configured");
    let dir = maps.first().ok_or_else(missing)?.required("timestamp_dir")?;
    let failed = |error: io::Error| {
        Failure::system("make", dir.as_bytes(), Errno::from_io_error(&error).unwrap_or(Errno::IO))
    };
    std::fs::create_dir_all(&dir).map_err(failed)?;
    let folder = Folder::open(dir.as_bytes())?;
    sweep(&folder)?;
    Ok(folder)
}

/// Writes the list, signed; the name of the signature.
fn sign(folder: &Folder, private: &Folder, list: &List, key: &[u8]) -> Done<String> {
    let text = list.text();
    if text.len() > list::MOST {
        return Err(Failure::refused(format!("a list of more than {} bytes", list::MOST)));
    }
    let made = signature(private, list, &text, key)?;
    let name = list::signature(&sum::of(text.as_bytes()));
    write(folder, name.as_bytes(), &made)?;
    let unsynced = |errno| Failure::from(folder.error("unable to write in", b"", errno));
    // All that it leads to is there before the list is.
    folder.sync().map_err(unsynced)?;
    write(folder, list::NAME.as_bytes(), &text)?;
    folder.sync().map_err(unsynced)?;
    Ok(name)
}

/// A small file for everybody.
fn write(folder: &Folder, name: &[u8], text: &str) -> Done {
    let mut file = Temporary::new(folder)?;
    file.put(text.as_bytes())?;
    place(folder, file, name, false)
}

/// minisign's signature of a list.
fn signature(private: &Folder, list: &List, text: &str, key: &[u8]) -> Done<String> {
    let (mut file, made) = (Temporary::new(private)?, Temporary::new(private)?);
    file.put(text.as_bytes())?;
    file.sync()?;
    let comment = format!("nsscache snapshot, serial {}", list.serial);
    let words = [
        &b"minisign"[..],
        b"-S",
        b"-s",
        key,
        b"-m",
        &file.path(),
        b"-x",
        &made.path(),
        b"-t",
        comment.as_bytes(),
    ];
    minisign(&words.map(|word| OsString::from_vec(word.to_vec())))?;
    let made = read_signature(&made.path())?;
    match Signature::decode(&made) {
        Ok(_) => Ok(made),
        Err(_) => Err(Failure::refused("minisign has made no signature")),
    }
}

fn read_signature(path: &[u8]) -> Done<String> {
    let unable = |errno| Failure::system("read", path, errno);
    let file = open_path(path, OFlags::RDONLY, Mode::empty()).map_err(unable)?;
    let made = read_all(file.as_fd(), super::signers::SIGNATURE as usize).map_err(unable)?;
    String::from_utf8(made).map_err(|_| unable(Errno::ILSEQ))
}

/// Runs minisign, which must not ask anything. What it has to say it says itself.
fn minisign(words: &[OsString]) -> Done {
    let failed = |errno| Failure::system("run", b"minisign", errno);
    let nothing = open_path(b"/dev/null", OFlags::RDWR, Mode::empty()).map_err(failed)?;
    let command = Command::new(words).map_err(failed)?;
    let mut process = command.start(nothing.as_fd(), nothing.as_fd()).map_err(failed)?;
    let deadline = millis() + COMMAND_SECONDS * 1000;
    loop {
        match process.ended().map_err(failed)? {
            Some(status) if status.exit_status() == Some(0) => return Ok(()),
            Some(_) => return Err(Failure::refused("minisign could not sign")),
            None if millis() >= deadline => {
                process.kill();
                let _ = process.wait();
                return Err(Failure::refused("minisign does not end"));
            }
            None => std::thread::sleep(LOOK),
        }
    }
}

/// Removes what has not been listed for long enough; how many files.
fn clean(folder: &Folder, list: &List, signature: &str, time: Time) -> Done<u64> {
    let unable = |what, name: &[u8], errno| Failure::from(folder.error(what, name, errno));
    let before = match folder.open_data(UNLISTED) {
        Ok(file) => read_all(file.as_fd(), 16 << 20).unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let before = String::from_utf8_lossy(&before).into_owned();
    let known = |name: &str| {
        before.lines().find_map(|line| {
            let rest = line.strip_prefix(name)?.strip_prefix(' ')?;
            let (exports, since) = rest.split_once(' ')?;
            let since = decimal_u64(since.as_bytes())?.try_into().ok()?;
            Some((decimal_u64(exports.as_bytes())?, since))
        })
    };
    let current: Vec<String> = list.maps.iter().map(Listed::file).collect();
    let (mut text, mut removed) = (String::new(), 0);
    let names = folder.names(b"").map_err(|errno| unable("unable to list", b"", errno))?;
    for name in names.into_iter().filter(|name| list::is_file(name)) {
        let Ok(name) = String::from_utf8(name) else { continue };
        if name == signature || current.contains(&name) {
            continue;
        }
        let (exports, since) = known(&name).unwrap_or((0, time));
        let (exports, (seconds, most)) = (exports + 1, EXPORT_STAYS);
        if exports > most && time - since >= seconds {
            let gone = folder.remove(name.as_bytes());
            gone.map_err(|errno| unable("unable to remove", name.as_bytes(), errno))?;
            removed += 1;
        } else {
            text += &format!("{name} {exports} {since}\n");
        }
    }
    write(folder, UNLISTED, &text)?;
    Ok(removed)
}
