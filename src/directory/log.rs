//! The log: lines `LEVEL:WHERE:TEXT` on standard error, and where standard input is no terminal, as
//! under cron, also to syslog.

use super::failure::shown;
use rustix::stdio::{stderr, stdin};
use rustix::termios::isatty;
use std::cell::Cell;
use std::fmt::Display;
use std::os::unix::net::UnixDatagram;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever looks for a fault.
    Debug,
    /// What was done.
    Info,
    /// Something is odd, or was left out.
    Warning,
    /// Something was not done.
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warning => "WARNING",
            Level::Error => "ERROR",
        }
    }

    /// Facility daemon, and the severity, as syslog(3) has them.
    fn priority(self) -> u8 {
        const DAEMON: u8 = 3 << 3;
        DAEMON
            + match self {
                Level::Debug => 7,
                Level::Info => 6,
                Level::Warning => 4,
                Level::Error => 3,
            }
    }
}

/// Where syslog listens.
const SYSLOG: &str = "/dev/log";

/// Where lines go.
pub struct Log {
    /// What is less than this is not told on standard error.
    least: Level,
    syslog: Option<UnixDatagram>,
    /// Standard error is a terminal: progress is told there.
    terminal: bool,
    /// A line of progress stands there.
    progress: Cell<bool>,
    /// Warnings so far.
    pub warnings: Cell<u32>,
    /// Errors so far.
    pub errors: Cell<u32>,
}

impl Log {
    /// One that tells what is at least `least`.
    pub fn new(least: Level) -> Log {
        let syslog = (!isatty(stdin())).then(|| {
            let socket = UnixDatagram::unbound()?;
            // Nobody waits for a syslog that does not read.
            socket.set_nonblocking(true)?;
            socket.connect(SYSLOG)?;
            Ok::<_, std::io::Error>(socket)
        });
        Log {
            least,
            syslog: syslog.and_then(Result::ok),
            terminal: isatty(stderr()),
            progress: Cell::new(false),
            warnings: Cell::new(0),
            errors: Cell::new(0),
        }
    }

    /// Tells `text`, of one line.
    pub fn say(&self, level: Level, place: &str, text: impl Display) {
        let counter = match level {
            Level::Error => &self.errors,
            _ => &self.warnings,
        };
        if level >= Level::Warning {
            counter.set(counter.get().saturating_add(1));
        }
        if level < self.least && (self.syslog.is_none() || level < Level::Info) {
            return;
        }
        let text = text.to_string().replace(['\n', '\r'], " ");
        if let Some(socket) = &self.syslog
            && level >= Level::Info
        {
            let (priority, pid, name) = (level.priority(), std::process::id(), level.name());
            let _ = socket.send(format!("<{priority}>nsscache[{pid}]: {name} {text}").as_bytes());
        }
        if level >= self.least {
            self.clear();
            write(&format!("{}:{place}:{text}\n", level.name()));
        }
    }

    /// An error.
    pub fn error(&self, place: &str, text: impl Display) {
        self.say(Level::Error, place, text);
    }

    /// A warning.
    pub fn warning(&self, place: &str, text: impl Display) {
        self.say(Level::Warning, place, text);
    }

    /// What was done.
    pub fn info(&self, place: &str, text: impl Display) {
        self.say(Level::Info, place, text);
    }

    /// For whoever looks for a fault.
    pub fn debug(&self, place: &str, text: impl Display) {
        self.say(Level::Debug, place, text);
    }

    /// How far long work has come, on a terminal only: one line, which the next one replaces.
    pub fn progress(&self, text: impl Display) {
        if self.terminal {
            self.progress.set(true);
            write(&format!("\r{}\x1b[K", shown(text.to_string().as_bytes())));
        }
    }

    /// Takes the line of progress away.
    pub fn clear(&self) {
        if self.progress.take() {
            write("\r\x1b[K");
        }
    }
}

/// A log that nobody reads does not end an update.
fn write(text: &str) {
    let _ = rustix::io::write(stderr(), text.as_bytes());
}
