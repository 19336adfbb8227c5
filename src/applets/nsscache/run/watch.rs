//! `nsscache watch`: a thread for each map, and one for signals and the supervisor.

use super::Run;
use crate::directory::config::Config;
use crate::directory::failure::{Done, Failure};
use crate::directory::lock::{self, Lock, NotLocked};
use crate::directory::log::Log;
use crate::directory::snapshot::groups;
use crate::directory::watch::{Shared, Watch};
use crate::limits::WATCH_STACK;
use crate::server::signals::caught;
use crate::server::supervisor::tell_ready;
use crate::sys::clock::{NEVER, millis, timespec};
use crate::sys::error::{Error, Exit};
use crate::sys::spawn::become_program;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SfdFlags;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Another process watches.
const LOCKED: Exit = Exit::new(200);

/// Does the work; comes back when it is told to end.
pub fn run(run: &Run<'_>) -> Result<Exit, Error> {
    match watch(run) {
        Ok(exit) => Ok(exit),
        Err(failure) => Ok(run.failed(&failure)),
    }
}

fn pipe() -> Done<(OwnedFd, OwnedFd)> {
    let made = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK);
    made.map_err(|errno| Failure::system("make a pipe for", b"watch", errno))
}

fn watch(run: &Run<'_>) -> Done<Exit> {
    let config = Arc::new(Config::read(run.path)?);
    // A thread for each map, or for several that belong together.
    let count = groups(&config.maps(&run.asked)?).len();
    let (faults, _) = config.faults();
    faults.iter().for_each(|fault| run.log.warning("nsscache", fault));
    let path = config.text("lockfile")?.unwrap_or_else(|| lock::DEFAULT.to_owned());
    let watching = lock::of_watch(&path);
    let _lock = match Lock::take(&watching, false, &run.log) {
        Ok(lock) => lock,
        Err(NotLocked::Held) => {
            run.log
                .error("nsscache", format!("another process watches: it has the lock {watching}"));
            return Ok(LOCKED);
        }
        Err(NotLocked::Failed(failure)) => return Err(failure),
    };
    let mut ours = SigSet::empty();
    let wanted = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1];
    wanted.iter().for_each(|signal| ours.add(*signal));
    // Before there are threads: they inherit it.
    let (signals, _) = caught(&ours, SfdFlags::SFD_NONBLOCK)?;
    let (first_read, first_write) = pipe()?;
    let shared = Arc::new(Shared::new(count as u32, first_write));
    let mut wakes = Vec::new();
    for at in 0..count {
        let (wake_read, wake_write) = pipe()?;
        wakes.push(wake_write);
        let (config, shared, level) = (Arc::clone(&config), Arc::clone(&shared), run.level);
        let asked = run.asked.clone();
        let body = move || {
            let log = Log::new(level);
            let Ok(maps) = config.maps(&asked) else { return };
            let groups = groups(&maps);
            let Some(group) = groups.get(at) else { return };
            let Some(map) = group.first() else { return };
            Watch::new((map, group), &config, &log, &shared, &wake_read).run();
        };
        let builder = std::thread::Builder::new().stack_size(WATCH_STACK);
        let begun = builder.spawn(body);
        begun.map_err(|error| Failure::refused(format!("unable to begin a thread: {error}")))?;
    }
    let mut watchdog = None;
    loop {
        if shared.first.load(Ordering::Relaxed) == 0 && watchdog.is_none() {
            watchdog = Some(tell_ready(run.options.flag(b'1')));
        }
        let due = watchdog.as_ref().map_or(NEVER, |watchdog| watchdog.due);
        let left = (due != NEVER).then(|| timespec(due.saturating_sub(millis())));
        let mut fds = vec![PollFd::new(&signals, PollFlags::IN)];
        let first = first_read.as_fd();
        if watchdog.is_none() {
            fds.push(PollFd::new(&first, PollFlags::IN));
        }
        let _ = poll(&mut fds, left.as_ref());
        if watchdog.is_none() {
            let mut room = [0; 16];
            let _ = rustix::io::read(&first_read, &mut room);
        }
        if let Some(watchdog) = &mut watchdog {
            watchdog.keep_alive();
        }
        while let Ok(Some(came)) = signals.read_signal() {
            match Signal::try_from(came.ssi_signo as i32) {
                Ok(Signal::SIGUSR1) => {
                    run.log.info("watch", "SIGUSR1: all maps are updated now");
                    for wake in &wakes {
                        let _ = rustix::io::write(wake, b".");
                    }
                }
                Ok(Signal::SIGHUP) => again(run),
                _ => {
                    run.log.info("watch", "ends");
                    return Ok(Exit::SUCCESS);
                }
            }
        }
    }
}

/// Begins anew with the configuration that is there now, if it is one. Files are replaced whole, so that
/// this may happen at any time.
fn again(run: &Run<'_>) {
    let read = Config::read(run.path).and_then(|config| {
        for map in config.maps(&run.asked)? {
            map.dir()?;
            map.suffix()?;
            map.required("timestamp_dir")?;
            crate::directory::update::source(&map, &run.log)?;
        }
        Ok(())
    });
    if let Err(failure) = read {
        run.log.error("watch", format!("SIGHUP: the old configuration stays: {failure}"));
        return;
    }
    run.log.info("watch", "SIGHUP: begins anew");
    let mut words: Vec<OsString> = vec!["/proc/self/exe".into(), "nsscache".into()];
    words.extend(std::env::args_os().skip(1).skip_while(|word| word == "nsscache"));
    let Err(errno) = become_program(&words);
    run.log.error("watch", format!("SIGHUP: unable to begin anew: {errno}"));
}
