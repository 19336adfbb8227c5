//! The commands that read nsscache.conf: update, verify, status, repair, check-config.
//!
//! Options, messages' sense and exit codes are those of Google's nsscache (doc/nsscache.md lists what
//! differs).

#[cfg(feature = "signed")]
mod export;
mod watch;

use super::texts;
use crate::directory::config::{Config, MapConfig};
use crate::directory::failure::{Done, Failure, shown};
use crate::directory::lock::{self, Lock, NotLocked};
use crate::directory::log::{Level, Log};
use crate::directory::source::Object;
use crate::directory::{maps::Map, status, update, verify};
use crate::limits::UPDATE_LOCK_MILLIS;
use crate::options::{Options, Spec};
use crate::sys::clock::millis;
use crate::sys::error::{Error, Exit};
use crate::sys::output;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

/// EX_TEMPFAIL: a source could not be reached.
const UNAVAILABLE: Exit = Exit::new(75);
/// Another process has the lock.
const LOCKED: Exit = Exit::new(200);
/// Warnings and errors of verify are counted in the exit code; more are not.
const COUNTED: u32 = 125;

/// What stands in front of the command.
pub struct Global<'a> {
    /// `-v`, `-d`
    pub level: Level,
    /// `-c`
    pub config: Vec<u8>,
    /// The command, and what is behind it.
    pub rest: &'a [OsString],
}

/// Options in front of the command.
const GLOBAL: Spec = Spec {
    flags: "vdh",
    values: "c",
    alias: &[
        ("--verbose", b'v'),
        ("--debug", b'd'),
        ("--config-file", b'c'),
        ("--version", b'V'),
        ("--help", b'h'),
    ],
    ..Spec::NONE
};

const MAP: (&str, u8) = ("--map", b'm');
const HELP: (&str, u8) = ("--help", b'h');

const UPDATE: Spec = Spec {
    flags: "fhWLAR",
    values: "ms",
    alias: &[
        ("--full", b'f'),
        ("--sleep", b's'),
        ("--force-write", b'W'),
        ("--force-lock", b'L'),
        ("--accept-shrink", b'A'),
        ("--accept-serial", b'R'),
        MAP,
        HELP,
    ],
    ..Spec::NONE
};

const EXPORT: Spec = Spec {
    flags: "hSA",
    values: "mkr",
    alias: &[
        ("--key", b'k'),
        ("--renew", b'r'),
        ("--shadow", b'S'),
        ("--accept-shrink", b'A'),
        MAP,
        HELP,
    ],
    ..Spec::NONE
};

const STATUS: Spec = Spec {
    flags: "hEJ",
    values: "mTA",
    alias: &[
        ("--epoch", b'E'),
        ("--json", b'J'),
        ("--template", b'T'),
        ("--automount-template", b'A'),
        MAP,
        HELP,
    ],
    ..Spec::NONE
};

const WATCH: Spec = Spec { flags: "h1", values: "m", alias: &[MAP, HELP], ..Spec::NONE };

/// verify, repair and check-config.
const MAPS: Spec = Spec { flags: "h", values: "m", alias: &[MAP, HELP], ..Spec::NONE };

impl<'a> Global<'a> {
    /// Reads them; `None`: help is asked for.
    pub fn split(args: &'a [OsString]) -> Result<Option<Self>, Error> {
        let options = GLOBAL.split(args)?;
        let level = match (options.flag(b'd'), options.flag(b'v')) {
            (true, _) => Level::Debug,
            (false, true) => Level::Info,
            (false, false) => Level::Warning,
        };
        let config = match options.word(b'c') {
            Some(word) => word.as_bytes().to_vec(),
            None => std::env::var_os("NSSCACHE_CONFIG")
                .map_or_else(|| b"/etc/nsscache.conf".to_vec(), OsString::into_vec),
        };
        Ok((!options.flag(b'h')).then_some(Global { level, config, rest: options.rest }))
    }
}

/// The text of an error with a command line: exit 2.
fn text_of(options: &Options<'_>, letter: u8) -> Result<Option<String>, Error> {
    let Some(word) = options.word(letter) else { return Ok(None) };
    match word.to_str() {
        Some(word) => Ok(Some(word.to_owned())),
        None => Err(Error::options("no text:").about(word)),
    }
}

/// Runs the command of this name; `None`: there is none.
pub fn run(name: &[u8], args: &[OsString], global: &Global<'_>) -> Result<Option<Exit>, Error> {
    let (spec, work): (&Spec, Work) = match name {
        b"update" => (&UPDATE, run_update),
        b"status" => (&STATUS, run_status),
        b"verify" => (&MAPS, run_verify),
        b"repair" => (&MAPS, run_repair),
        b"check-config" => (&MAPS, run_check),
        b"watch" => (&WATCH, run_watch),
        b"export" => (&EXPORT, run_export),
        _ => return Ok(None),
    };
    // `--help` of a command is its own.
    if args
        .iter()
        .take_while(|word| word.as_bytes().starts_with(b"-"))
        .any(|word| matches!(word.as_bytes(), b"--help" | b"-h" | b"-?"))
    {
        return texts::print(name).map(|()| Some(Exit::SUCCESS));
    }
    let options = spec.split(args)?;
    let run = Run {
        asked: maps_asked(&options)?,
        options,
        log: Log::new(global.level),
        level: global.level,
        path: &global.config,
    };
    // Where to: the one command with a word behind its options.
    let more = usize::from(name == b"export");
    if let Some(word) = options.rest.get(more) {
        let word = shown(word.as_bytes());
        run.log.warning("nsscache", format!("{word} is no option, and not looked at"));
    }
    work(&run).map(Some)
}

type Work = fn(&Run<'_>) -> Result<Exit, Error>;

/// A command under way.
pub struct Run<'a> {
    /// Those behind the command.
    pub options: Options<'a>,
    /// The maps that are named.
    pub asked: Vec<String>,
    /// Where it tells.
    pub log: Log,
    /// What it tells there.
    pub level: Level,
    /// Its configuration.
    pub path: &'a [u8],
}

fn maps_asked(options: &Options<'_>) -> Result<Vec<String>, Error> {
    let mut asked = Vec::new();
    for word in options.words(b'm') {
        let word = word.to_str().ok_or_else(|| Error::options("no map:").about(word))?;
        asked.push(word.to_owned());
    }
    Ok(asked)
}

impl Run<'_> {
    /// What a failure of the command as a whole means.
    pub fn failed(&self, failure: &Failure) -> Exit {
        self.log.error("nsscache", failure);
        Exit::FAILURE
    }

    /// Reads the configuration, and does something with its maps.
    fn with_maps(&self, work: impl FnOnce(&Config, &[MapConfig<'_>]) -> Done<Exit>) -> Exit {
        let done = Config::read(self.path).and_then(|config| {
            let maps = config.maps(&self.asked)?;
            work(&config, &maps)
        });
        done.unwrap_or_else(|failure| self.failed(&failure))
    }

    /// Warnings and errors so far, as an exit code.
    fn count(&self) -> Exit {
        Exit::new((self.log.warnings.get() + self.log.errors.get()).min(COUNTED) as u8)
    }
}

/// The lock, and then `work`.
fn locked(run: &Run<'_>, config: &Config, force: bool, work: impl FnOnce() -> Exit) -> Done<Exit> {
    let path = config.text("lockfile")?.unwrap_or_else(|| lock::DEFAULT.to_owned());
    let until = millis() + UPDATE_LOCK_MILLIS;
    let taken = loop {
        match Lock::take(&path, force, &run.log) {
            // One that watches has it only while it writes.
            Err(NotLocked::Held) if millis() < until && lock::is_held(&lock::of_watch(&path)) => {
                std::thread::sleep(Duration::from_millis(100));
            }
            taken => break taken,
        }
    };
    match taken {
        Ok(_lock) => Ok(work()),
        Err(NotLocked::Held) => {
            run.log.error("nsscache", format!("another process has the lock {path}"));
            Ok(LOCKED)
        }
        Err(NotLocked::Failed(failure)) => Err(failure),
    }
}

fn exit_of(outcome: update::Outcome) -> Exit {
    match outcome {
        update::Outcome { refused: true, .. } => Exit::FAILURE,
        update::Outcome { unavailable: true, .. } => UNAVAILABLE,
        _ => Exit::SUCCESS,
    }
}

fn run_update(run: &Run<'_>) -> Result<Exit, Error> {
    // A day: cron does not ask for more.
    let sleep = run.options.number(b's', 86_400)?.unwrap_or(0);
    let options = update::Options {
        full: run.options.flag(b'f'),
        force_write: run.options.flag(b'W'),
        accept_shrink: run.options.flag(b'A'),
        accept_serial: run.options.flag(b'R'),
        most_entries: None,
    };
    Ok(run.with_maps(|config, maps| {
        let (faults, _) = config.faults();
        for fault in faults {
            run.log.warning("nsscache", fault);
        }
        std::thread::sleep(Duration::from_secs(sleep));
        let work = || exit_of(update::run(config, maps, options, &run.log));
        locked(run, config, run.options.flag(b'L'), work)
    }))
}

fn run_watch(run: &Run<'_>) -> Result<Exit, Error> {
    watch::run(run)
}

fn run_export(run: &Run<'_>) -> Result<Exit, Error> {
    #[cfg(feature = "signed")]
    return export::run(run);
    #[cfg(not(feature = "signed"))]
    return Ok(run.failed(&Failure::refused("this build has no export (feature signed)")));
}

fn run_status(run: &Run<'_>) -> Result<Exit, Error> {
    let options = status::Options {
        epoch: run.options.flag(b'E'),
        json: run.options.flag(b'J'),
        template: text_of(&run.options, b'T')?.unwrap_or_else(|| status::TEMPLATE.to_owned()),
        automount_template: text_of(&run.options, b'A')?
            .unwrap_or_else(|| status::AUTOMOUNT_TEMPLATE.to_owned()),
    };
    let mut text = String::new();
    let exit = run.with_maps(|_, maps| {
        text = status::text(maps, &options, &run.log)?;
        Ok(Exit::SUCCESS)
    });
    output::print(text.as_bytes())?;
    Ok(exit)
}

fn run_verify(run: &Run<'_>) -> Result<Exit, Error> {
    Ok(run.with_maps(|config, maps| {
        verify::all(config, maps, &run.log)?;
        Ok(run.count())
    }))
}

fn run_repair(run: &Run<'_>) -> Result<Exit, Error> {
    Ok(run.with_maps(|config, maps| {
        verify::switch(maps, &run.log)?;
        verify::sources(maps, &run.log);
        if run.log.errors.get() > 0 {
            return Ok(Exit::FAILURE);
        }
        let options = update::Options { full: true, ..update::Options::default() };
        locked(run, config, false, || exit_of(update::run(config, maps, options, &run.log)))
    }))
}

fn run_check(run: &Run<'_>) -> Result<Exit, Error> {
    let mut lines = Vec::new();
    let exit = run.with_maps(|config, maps| {
        let (faults, notes) = config.faults();
        lines = faults;
        for map in maps {
            let object = if map.map == Map::Automount { Object::Master } else { Object::Map };
            let tried = map
                .dir()
                .and_then(|_| map.suffix())
                .and_then(|_| map.required("timestamp_dir"))
                .and_then(|_| update::source(map, &run.log)?.origin(object));
            match tried {
                Ok(origin) => run.log.info("nsscache", format!("{}: {origin}", map.map.name())),
                Err(failure) => lines.push(format!("{}: {failure}", map.map.name())),
            }
        }
        for note in notes {
            run.log.info("nsscache", note);
        }
        Ok(if lines.is_empty() { Exit::SUCCESS } else { Exit::FAILURE })
    });
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    output::print(text.as_bytes())?;
    Ok(exit)
}
